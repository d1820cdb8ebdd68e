//! Every shipped template in both languages and samples, and what a committee puts in its place.

use serde_json::json;

use super::super::helpers::{Language, money};
use super::super::sample::view;
use super::*;

fn is_chinese(c: char) -> bool {
    ('\u{3400}'..='\u{9fff}').contains(&c) || ('\u{3000}'..='\u{303f}').contains(&c) || ('\u{ff00}'..='\u{ffef}').contains(&c)
}

#[test]
fn shipped_templates_render_with_everything_and_with_nothing() {
    for shapes in [shipped(), all_optional()] {
        let templates = load(&shapes, None).unwrap_or_else(|told| panic!("{told}"));
        for shape in &shapes {
            for language in LANGUAGES {
                for full in [true, false] {
                    let out = templates.render(&view(shape, language, full)).expect("renders");
                    look_at(&out, &shape.kind, language);
                    let printed = templates.render(&NoticeView { paper: true, ..view(shape, language, full) }).expect("renders");
                    look_at_paper(&printed.text, &shape.kind, language);
                }
                assert_eq!(templates.digest(&shape.kind, language).map(|d| d.len()), Some(64));
            }
        }
    }
}

/// What every shipped mail keeps to.
fn look_at(out: &Rendered, kind: &str, language: &str) {
    let place = format!("{kind} {language}:\n{}\n{}", out.subject, out.text);
    assert!(out.subject.contains(&"R".repeat(MAX_REFERENCE_CHARACTERS)), "no reference: {place}");
    let lower = out.subject.to_lowercase();
    for word in ["医疗", "患", "病", "伤", "死", "亡", "赔", "款", "鉴定", "patient", "hospital", "medical", "death", "injur", "payment"] {
        assert!(!lower.contains(word), "{word} in a subject: {place}");
    }
    for gap in ["\n\n\n", " \n", "，。", "。。", "：。", "，，", "  on", " .", " ,", "()", "（）", "：\n\n　　特此"] {
        assert!(!out.text.contains(gap), "{gap:?} left a hole: {place}");
    }
    for part in [&out.subject, &out.text] {
        if language == "en" {
            assert!(!part.contains(is_chinese), "Chinese in English: {place}");
        } else {
            // What a person typed and the made-up reference may be in Latin letters; our words are not.
            let ours = part.replace("RRRR", "");
            let latin = ours.split(|c: char| !c.is_ascii_alphabetic()).find(|w| w.len() > 2 && w.contains(|c| c != 'R'));
            assert_eq!(latin, None, "English in Chinese: {place}");
        }
    }
    assert!(out.html.starts_with("<!doctype html>\n<html lang="), "{place}");
    let html = out.html.to_lowercase();
    for remote in ["http", "src=", "url(", "<img", "<script", "<link", "href"] {
        assert!(!html.contains(remote), "{remote}: {place}");
    }
    for tag in ["p", "ul", "ol", "li", "strong", "div", "body", "html"] {
        let open = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(open, html.matches(&format!("</{tag}>")).count(), "<{tag}>: {place}\n{}", out.html);
    }
}

/// What is printed says nothing of mail, and leaves name, day and address to the form's own head and foot.
fn look_at_paper(text: &str, kind: &str, language: &str) {
    let place = format!("{kind} {language}:\n{text}");
    let (begins, ends) = if language == "en" { ("Dear ", "Yours faithfully,\n") } else { ("", "　　特此告知。\n") };
    assert!(text.starts_with(begins) && text.ends_with(ends), "{place}");
    for of_mail in ["本邮件", "邮件中", "转发", "message", "attached", "forward it", "0000-1234567", "----", "\n\n\n"] {
        assert!(!text.contains(of_mail), "{of_mail:?} on paper: {place}");
    }
}

#[test]
fn a_letter_reads_as_written() {
    let templates = load(&shipped(), None).unwrap_or_else(|told| panic!("{told}"));
    let mut notice = view(&shape("acceptance", "number: text; accepted_on: date; finish_by: date; materials_by: date"), "zh-CN", false);
    notice.recipient = Recipient { name: "王<某>".into(), side: Some("patient_side".into()), role: None };
    notice.reference = "2026-0007".into();
    notice.data.insert("finish_by".into(), json!("2026-04-14"));
    let out = templates.render(&notice).expect("renders");
    assert_eq!(out.subject, "调解委员会通知：受理决定［2026-0007］");
    assert!(out.text.starts_with("尊敬的王<某>：\n\n　　您好。\n\n　　双方当事人均同意"), "{}", out.text);
    assert!(out.text.contains("　　调解期限至：2026年4月14日（星期二）24时\n"), "{}", out.text);
    assert!(out.text.contains("请准备下列材料：本人身份证明"), "{}", out.text);
    assert!(out.text.contains("　　材料请于2026年4月14日（星期二）24时前提交"), "{}", out.text);
    assert!(out.html.contains("尊敬的王&lt;某&gt;：") && !out.html.contains("<某>"), "{}", out.html);

    let mut notice = view(&shape("session_invitation", "at: instant; place: text"), "en", true);
    notice.data.insert("at".into(), json!("2026-03-11T09:30:00+08:00"));
    notice.reference = "2026-0007".into();
    let out = templates.render(&notice).expect("renders");
    assert_eq!(out.subject, "Correction: Mediation meeting [2026-0007]");
    assert!(out.text.contains("Time: Wednesday, 11 March 2026, 09:30\n"), "{}", out.text);
}

#[test]
fn a_view_of_another_shape_is_refused_without_its_values() {
    let templates = load(&shipped(), None).unwrap_or_else(|told| panic!("{told}"));
    let good = view(&shape("obligation_due", "amount: money; due_on: date"), "en", true);
    let cases = [
        ("amount", json!(86400), "obligation_due: amount is no sum"),
        ("amount", json!(null), "obligation_due: amount is absent"),
        ("due_on", json!("2026-02-30"), "obligation_due: due_on is no date"),
        ("amuont", json!("1.00"), "obligation_due: amuont is not a field"),
    ];
    for (name, value, message) in cases {
        let mut bad = good.clone();
        bad.data.insert(name.into(), value);
        let error = templates.render(&bad).map(|r| r.text).expect_err("refused").to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("86400") && !error.contains("02-30"), "{error}");
    }
    let mut unknown = good;
    unknown.language = "fr".into();
    assert!(matches!(templates.render(&unknown), Err(RenderError::Unknown { .. })));
}

#[test]
fn sums_and_days() {
    let zh = |s| money(s, Language::Chinese);
    assert_eq!(zh("86400.50").as_deref(), Some("86,400.50元"));
    assert_eq!(zh("999").as_deref(), Some("999.00元"));
    assert_eq!(money("-1234567.8", Language::English).as_deref(), Some("CNY -1,234,567.80"));
    for wrong in ["", ".", "1.", ".5", "1.234", "1,000", "1e3", "-", "١"] {
        assert_eq!(zh(wrong), None, "{wrong}");
    }
}

#[test]
fn an_own_file_replaces_the_shipped_one_and_changes_the_digest() {
    let shapes = shipped();
    let shipped = load(&shapes, None).unwrap_or_else(|told| panic!("{told}"));
    let folder = Folder::new("own");
    folder.put("hearing_off/zh-CN/body.txt.hbs", "{{recipient.name}}：听证会改期，另行通知。");
    folder.put("_shared/en/signature.txt.hbs", "Your committee");
    let own = load(&shapes, Some(&folder.0)).unwrap_or_else(|told| panic!("{told}"));
    let notice = |language| view(&shape("hearing_off", ""), language, true);
    assert_eq!(own.render(&notice("zh-CN")).expect("renders").text, "示例文字：听证会改期，另行通知。\n");
    assert!(own.render(&notice("en")).expect("renders").text.ends_with("\n\nYour committee\n"));
    let changed = |kind, language| shipped.digest(kind, language) != own.digest(kind, language);
    assert!(changed("hearing_off", "zh-CN") && changed("closed", "en"));
    assert!(!changed("closed", "zh-CN"));
}

#[test]
fn debug_of_a_view_names_nobody() {
    let mut notice = view(&shape("closed", "closed_on: date"), "en", true);
    notice.recipient.name = "Zhang Wei".into();
    assert_eq!(format!("{notice:?}"), format!("NoticeView(closed, en, {})", "R".repeat(36)));
}
