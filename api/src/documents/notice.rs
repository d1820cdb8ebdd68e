//! The printed form of a notice: the letter's words on the committee's head, and a receipt of service (送达回证) to be
//! cut off and filed.
//!
//! Not here: what the letter says (the templates of letters), and whether it was served (the case). The receipt leaves
//! blank what is only known when somebody stands at the door: place, hour, manner, signatures.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::agreement::{Lines, MAX_CHARACTERS};
use super::numerals;
use super::render::{self, DocumentError, Rendered};
use super::templates::Templates;

/// The languages that the form has words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeLanguage {
    /// Chinese.
    #[serde(rename = "zh-CN")]
    Chinese,
    /// English.
    #[serde(rename = "en")]
    English,
}

impl NoticeLanguage {
    /// The language of a letter; Chinese for any but `en`.
    #[must_use]
    pub fn of(tag: &str) -> Self {
        if tag == "en" { Self::English } else { Self::Chinese }
    }

    /// Its tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }
}

/// Everything that a printed notice shows. Plain text; `text` alone may have more than one line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeDocument {
    /// The language of the letter, and of the form's own words.
    pub language: NoticeLanguage,
    /// The committee's full name.
    pub committee: String,
    /// Its telephone; may be empty.
    pub phone: String,
    /// Its address; may be empty.
    pub address: String,
    /// What the notice is called (受理通知书).
    pub title: String,
    /// Its code in the catalogue (N05).
    pub code: String,
    /// The case's reference.
    pub reference: String,
    /// The letter's number within the case.
    pub number: String,
    /// Whom it is for.
    pub addressee: String,
    /// The letter from salutation to closing formula. An empty line ends a block; a line that begins with a blank is set in.
    pub text: String,
    /// The day on which it was issued.
    pub issued_on: NaiveDate,
}

// A letter holds personal data; what logs and panics print of it does not.
impl std::fmt::Debug for NoticeDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NoticeDocument({}, {}, {})", self.code, self.language.tag(), self.number)
    }
}

impl NoticeDocument {
    /// Each text with its field name, for checks that look at every character.
    fn texts(&self) -> Vec<(String, &str, Lines)> {
        let one = [
            ("committee", &self.committee),
            ("phone", &self.phone),
            ("address", &self.address),
            ("title", &self.title),
            ("code", &self.code),
            ("reference", &self.reference),
            ("number", &self.number),
            ("addressee", &self.addressee),
        ];
        let mut all: Vec<_> = one.into_iter().map(|(field, text)| (field.to_owned(), text.as_str(), Lines::One)).collect();
        all.push(("text".to_owned(), &self.text, Lines::Many));
        all
    }

    fn check(&self) -> Result<(), DocumentError> {
        let mut left = MAX_CHARACTERS;
        for (field, text, _) in self.texts() {
            left = left.checked_sub(text.chars().count()).ok_or(DocumentError::TooLong { field: field.clone(), limit: MAX_CHARACTERS })?;
            if text.trim().is_empty() && field != "phone" && field != "address" {
                return Err(DocumentError::Missing { field });
            }
        }
        Ok(())
    }

    /// A sample in each language: a long letter with a list, and one of a single line whose options are absent. People
    /// and numbers are invented.
    #[must_use]
    pub fn samples() -> [Self; 2] {
        let issued_on = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap_or_default();
        let full = Self {
            language: NoticeLanguage::Chinese,
            committee: "安平县医疗纠纷人民调解委员会".into(),
            phone: "0000-1234567".into(),
            address: "安平县城关镇人民大街1号".into(),
            title: "受理通知书".into(),
            code: "N05".into(),
            reference: "HY-000000000001".into(),
            number: "12.0".into(),
            addressee: "张某".into(),
            text: "尊敬的张某：\n\n　　您好。\n\n　　双方当事人均同意以人民调解的方式解决纠纷。依照《医疗纠纷预防和处理条例》第三十一条，本委员会决定受理。\n\n　　受理编号：医调受〔2026〕12号\n　　受理日期：2026年3月2日（星期一）\n　　调解期限至：2026年4月14日（星期二）24时\n\n　　本委员会自受理之日起三十个工作日内完成调解，鉴定所需时间不计入。\n\n　　特此告知。\n".into(),
            issued_on,
        };
        let bare = Self {
            language: NoticeLanguage::English,
            committee: "Anping County Mediation Committee".into(),
            phone: String::new(),
            address: String::new(),
            title: "Notice of closing".into(),
            code: "N26".into(),
            number: "40.1".into(),
            addressee: "Zhang".into(),
            text: "Dear Zhang,\n\nThis case was closed on Monday, 2 March 2026.\n\n  Papers: kept by the committee\n\nYours faithfully,\n".into(),
            ..full.clone()
        };
        [full, bare]
    }
}

/// Prints a notice. The same data, template and fonts give the same bytes.
///
/// ```
/// use heyi_api::documents::{NoticeDocument, Templates, render_notice};
/// for notice in NoticeDocument::samples() {
///     assert!(render_notice(&notice, &Templates::embedded())?.pdf.starts_with(b"%PDF-1.7"));
/// }
/// # Ok::<(), heyi_api::documents::DocumentError>(())
/// ```
pub fn render_notice(document: &NoticeDocument, templates: &Templates) -> Result<Rendered, DocumentError> {
    document.check()?;
    let texts = document.texts();
    templates.fonts().check(texts.iter().cloned())?;
    let values = texts.into_iter().map(|(_, text, _)| text).collect();
    render::print(templates.notice(), templates, values, &NoticeView::new(document), document, document.issued_on)
}

/// The inputs of `documents/notice.typ`.
#[derive(Serialize)]
struct NoticeView<'a> {
    /// `zh` or `en`.
    language: &'static str,
    committee: &'a str,
    phone: Option<&'a str>,
    address: Option<&'a str>,
    title: &'a str,
    code: &'a str,
    reference: &'a str,
    number: &'a str,
    addressee: &'a str,
    blocks: Vec<Vec<LineView<'a>>>,
    issued_on: String,
}

/// One line of the letter.
#[derive(Debug, PartialEq, Serialize)]
struct LineView<'a> {
    /// Whether it was set in.
    indented: bool,
    text: &'a str,
}

impl<'a> NoticeView<'a> {
    fn new(document: &'a NoticeDocument) -> Self {
        let given = |text: &'a str| Some(text).filter(|t| !t.trim().is_empty());
        Self {
            language: match document.language {
                NoticeLanguage::Chinese => "zh",
                NoticeLanguage::English => "en",
            },
            committee: &document.committee,
            phone: given(&document.phone),
            address: given(&document.address),
            title: &document.title,
            code: &document.code,
            reference: &document.reference,
            number: &document.number,
            addressee: &document.addressee,
            blocks: blocks(&document.text),
            issued_on: match document.language {
                NoticeLanguage::Chinese => numerals::formal_date(document.issued_on),
                NoticeLanguage::English => document.issued_on.format("%A, %-d %B %Y").to_string(),
            },
        }
    }
}

/// Lines that belong together, as the letter's empty lines divide them.
fn blocks(text: &str) -> Vec<Vec<LineView<'_>>> {
    let mut all = vec![Vec::new()];
    for line in text.lines() {
        let words = line.trim();
        match all.last_mut() {
            Some(block) if !words.is_empty() => block.push(LineView { indented: line.starts_with(char::is_whitespace), text: words }),
            _ => all.push(Vec::new()),
        }
    }
    all.retain(|block| !block.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(document: &NoticeDocument) -> Rendered {
        render_notice(document, &Templates::embedded()).expect("printed")
    }

    #[test]
    fn both_samples_print_on_one_page_and_stay_the_same_byte_for_byte() {
        for document in NoticeDocument::samples() {
            let first = printed(&document);
            assert!(first.pdf.starts_with(b"%PDF-1.7"));
            assert_eq!(first.pages, 1, "{document:?}");
            assert_eq!(first, printed(&document));
            let json = serde_json::to_string(&document).expect("JSON");
            assert!(serde_json::from_str::<NoticeDocument>(&json).expect("parsed") == document);
        }
    }

    #[test]
    fn the_file_claims_both_standards_its_language_and_the_day_of_the_letter() {
        for (document, language) in NoticeDocument::samples().iter().zip(["zh", "en"]) {
            let pdf = printed(document).pdf;
            let text = String::from_utf8_lossy(&pdf);
            for claim in ["<pdfaid:part>2</pdfaid:part>", "<pdfaid:conformance>A</pdfaid:conformance>", "<pdfuaid:part>1</pdfuaid:part>"] {
                assert!(text.contains(claim), "{claim}");
            }
            assert!(text.contains("2026-03-02T00:00:00+08:00") && text.contains(&format!("<rdf:li>{language}")), "{language}");
        }
    }

    #[test]
    fn the_letter_is_divided_as_it_was_written() {
        let line = |indented, text| LineView { indented, text };
        let found = blocks("尊敬的张某：\n\n\n　　第一段。\n\n　　甲：1\r\n　　乙：2\n  three\n\n");
        assert_eq!(
            found,
            [vec![line(false, "尊敬的张某：")], vec![line(true, "第一段。")], vec![line(true, "甲：1"), line(true, "乙：2"), line(true, "three")]]
        );
        assert!(blocks("\n \n").is_empty());
    }

    #[test]
    fn what_the_form_needs_must_be_there_and_within_the_limit() {
        let broken = |change: fn(&mut NoticeDocument)| {
            let [mut document, _] = NoticeDocument::samples();
            change(&mut document);
            render_notice(&document, &Templates::embedded()).expect_err("refused")
        };
        for (field, change) in [
            ("committee", (|d| d.committee.clear()) as fn(&mut NoticeDocument)),
            ("title", |d| d.title = " ".into()),
            ("reference", |d| d.reference.clear()),
            ("addressee", |d| d.addressee.clear()),
            ("text", |d| d.text = "\n".into()),
        ] {
            assert!(matches!(broken(change), DocumentError::Missing { field: f } if f == field), "{field}");
        }
        assert!(matches!(broken(|d| d.text = "字".repeat(MAX_CHARACTERS)), DocumentError::TooLong { .. }));
        assert!(matches!(broken(|d| d.addressee = "甲\n乙".into()), DocumentError::Character { field, .. } if field == "addressee"));
        let unprintable = broken(|d| d.text = "尊敬的张\u{2A6D6}：\n".into()).to_string();
        assert!(unprintable.contains("text: character 5 (U+2A6D6)") && !unprintable.contains('张'), "{unprintable}");
    }

    #[test]
    fn values_are_data_and_a_long_letter_takes_more_pages() {
        let [full, bare] = NoticeDocument::samples();
        for mut document in [full, bare] {
            for hostile in ["#panic(\"ran\")", "#read(\"/etc/passwd\")", "$x^2$ *b* _i_ `c` = h", "\\u{41} // ~ -- @a <b> [c]"] {
                document.addressee = hostile.into();
                document.title = hostile.into();
                document.text = format!("{hostile}\n\n  {hostile}\n");
                assert_eq!(printed(&document).pages, 1);
            }
            document.text = "　　甲：一行。\n".repeat(120);
            let pages = printed(&document).pages;
            assert!((3..=6).contains(&pages), "{pages}");
        }
    }

    #[test]
    fn neither_errors_nor_debug_carry_the_letter() {
        let [document, _] = NoticeDocument::samples();
        assert_eq!(format!("{document:?}"), "NoticeDocument(N05, zh-CN, 12.0)");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("documents")).expect("made");
        std::fs::write(folder.path().join("documents/notice.typ"), "#panic(sys.inputs.addressee)").expect("written");
        let templates = Templates::with_folder(folder.path()).expect("read");
        let told = render_notice(&document, &templates).expect_err("must fail").to_string();
        assert!(told.starts_with("the template documents/notice.typ failed: line 1") && !told.contains("张某"), "{told}");
        assert!(templates.check().is_err());
    }

    /// For looking at: writes both samples when a folder is given.
    #[test]
    #[ignore = "writes files; run with HEYI_LOOK=folder to see the pages"]
    fn look() {
        let Some(folder) = std::env::var_os("HEYI_LOOK").map(std::path::PathBuf::from) else {
            return;
        };
        for document in NoticeDocument::samples() {
            let path = folder.join(format!("notice-{}.pdf", document.language.tag()));
            std::fs::write(path, printed(&document).pdf).expect("written");
        }
    }
}
