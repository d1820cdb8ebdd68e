//! What a built message says when another program reads it, and what is refused.

use super::*;

#[test]
fn a_mail_reads_back_as_it_was_written() {
    let raw = formatted(&mail());
    let message = Part::read(&raw);
    assert_eq!(message.header("message-id"), "<0198f0c4-7.3.0@mediation.example>");
    assert_eq!(message.header("date"), "Mon, 02 Mar 2026 01:00:00 +0000");
    assert_eq!(message.header("auto-submitted"), "auto-generated");
    assert_eq!(decoded_header(message.header("subject")), mail().subject);
    assert_eq!(decoded_header(message.header("to")), "王芳 <wang.fang@mail.example>");
    assert_eq!(decoded_header(message.header("from")), "新安县医疗纠纷人民调解委员会 <committee@mediation.example>");
    assert!(message.header("content-type").starts_with("multipart/alternative;"));
    let parts = message.parts();
    let kinds: Vec<&str> = parts.iter().map(|p| p.header("content-type")).collect();
    assert_eq!(kinds, ["text/plain; charset=utf-8", "text/html; charset=utf-8"]);
    assert_eq!(parts[0].text(), mail().text);
    assert_eq!(parts[1].text(), mail().html);
    let sound = |line: &str| line.len() <= 120 && !line.contains(['\r', '\n']);
    assert!(raw.split("\r\n").all(sound), "{raw}");
    let words: Vec<&str> = raw.split([' ', '\r', '\n']).filter(|w| w.starts_with("=?")).collect();
    assert!(words.len() > 3 && words.iter().all(|w| w.len() <= 75), "{raw}");
    assert_eq!(raw, formatted(&mail()), "the same mail is the same bytes");
}

#[test]
fn english_is_readable_on_the_wire_and_no_bare_cr_passes() {
    let mut english = mail();
    english.to_name.clear();
    english.text = "Dear Ms Wang,\r\rthe committee’s letter\rfollows.\r\n.\r\nFrom here\n".into();
    let raw = formatted(&english);
    assert!(!raw.replace("\r\n", "").contains(['\r', '\n']));
    let message = Part::read(&raw);
    assert_eq!(message.header("to"), "wang.fang@mail.example");
    let text = &message.parts()[0];
    assert_eq!(text.header("content-transfer-encoding"), "quoted-printable");
    assert!(text.body.contains("Dear Ms Wang,"));
    assert_eq!(text.text(), "Dear Ms Wang,\n\nthe committee’s letter\nfollows.\n.\nFrom here\n");
}

fn calendar_of(part: &Part) -> Vec<String> {
    let ics = part.text();
    // RFC 5545 asks for 75; the calendar crate does not count the blank that continues a line.
    assert!(ics.split('\n').all(|line| line.len() <= 76), "a long line: {ics}");
    ics.replace("\n ", "").lines().map(str::to_owned).collect()
}

#[test]
fn an_invitation_is_a_calendar_part_and_a_file() {
    let message = Part::read(&formatted(&invited()));
    assert!(message.header("content-type").starts_with("multipart/mixed;"));
    let outer = message.parts();
    let alternatives = outer[0].parts();
    assert_eq!(alternatives.len(), 3);
    assert_eq!(alternatives[2].header("content-type"), "text/calendar; method=REQUEST; charset=utf-8");
    assert_eq!(outer[1].header("content-type"), "application/ics; name=\"invite.ics\"");
    assert_eq!(outer[1].header("content-disposition"), "attachment; filename=\"invite.ics\"");
    assert_eq!(outer[1].text(), alternatives[2].text());
    let lines = calendar_of(&alternatives[2]);
    for line in [
        "METHOD:REQUEST",
        "UID:0198f0c4-session-1@mediation.example",
        "DTSTAMP:20260302T010000Z",
        "DTSTART:20260311T013000Z",
        "DTEND:20260311T033000Z",
        "LOCATION:新安县司法局，二楼调解室；东侧 (201)",
        "SUMMARY:调解会［2026-0007］，请您准时参加，不能按时参加的请提前来电，我们会另行商定时间",
        "STATUS:CONFIRMED",
        "ORGANIZER;CN=新安县医疗纠纷人民调解委员会:mailto:committee@mediation.example",
        "ATTENDEE;CN=王芳;PARTSTAT=NEEDS-ACTION;ROLE=REQ-PARTICIPANT;RSVP=FALSE:mailto:wang.fang@mail.example",
    ] {
        assert!(lines.iter().any(|l| l == line), "no {line} in {lines:#?}");
    }
}

#[test]
fn a_cancellation_takes_the_same_appointment_back() {
    let asked = invited();
    let mut called_off = invited();
    called_off.date = asked.date + chrono::TimeDelta::hours(1);
    called_off.invitation.as_mut().expect("an invitation").cancelled = true;
    let sequence = |mail: &Mail| {
        let message = Part::read(&formatted(mail));
        let lines = calendar_of(&message.parts()[0].parts()[2]);
        let value = |name: &str| lines.iter().find_map(|l| l.strip_prefix(name)).expect("a line").to_owned();
        (value("METHOD:"), value("STATUS:"), value("UID:"), value("SEQUENCE:").parse::<u32>().expect("a number"))
    };
    let (first, second) = (sequence(&asked), sequence(&called_off));
    assert_eq!((second.0.as_str(), second.1.as_str()), ("CANCEL", "CANCELLED"));
    assert_eq!(first.2, second.2);
    assert!(second.3 > first.3, "calendars follow the higher number");
}

#[test]
fn what_would_break_a_header_is_refused_and_nothing_panics() {
    type Spoil = fn(&mut Mail);
    let cases: [(&str, Spoil); 16] = [
        ("name of the recipient", |m| m.to_name = "王\r\nBcc: all@example.org".into()),
        ("name of the recipient", |m| m.to_name = "王\n芳".into()),
        ("name of the recipient", |m| m.to_name = "王\u{0}".into()),
        ("name of the recipient", |m| m.to_name = "王\u{202e}芳".into()),
        ("name of the recipient", |m| m.to_name = "长".repeat(201)),
        ("mail address of the recipient", |m| m.to_address = "a@b.example\r\nBcc: c@d.example".into()),
        ("mail address of the recipient", |m| m.to_address = "a b@b.example".into()),
        ("mail address of the recipient", |m| m.to_address = "nobody".into()),
        ("mail address of the recipient", |m| m.to_address = "王@b.example".into()),
        ("subject", |m| m.subject = "一\r\nX: y".into()),
        ("subject", |m| m.subject = " ".into()),
        ("id", |m| m.id = "../../etc/passwd".into()),
        ("id", |m| m.id = ".hidden".into()),
        ("id", |m| m.id = "a..b".into()),
        ("id", |m| m.id = String::new()),
        ("date of the mail", |m| m.date = DateTime::from_timestamp(-1, 0).expect("a date")),
    ];
    for (part, spoil) in cases {
        let mut bad = mail();
        spoil(&mut bad);
        let error = message(&bad, &sender()).map(|_| ()).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("王") && !error.contains('@') && !error.contains("etc"), "{error}");
    }
    let mut bad = invited();
    bad.invitation.as_mut().expect("an invitation").uid = "a\r\nATTENDEE:x".into();
    assert_eq!(message(&bad, &sender()).map(|_| ()).expect_err("refused"), MailError::Id("id of the invitation"));
    let mut vague = sender();
    vague.name = "a\rb".into();
    assert_eq!(message(&mail(), &vague).map(|_| ()).expect_err("refused"), MailError::Name("sender"));
}

#[test]
fn odd_but_honest_names_arrive() {
    let long = "长".repeat(200);
    for name in ["O'Neil \"Tom\" \\ (x) <y@z>, w; v:", "😀 王", "a", &long, "=?utf-8?b?5ZCN?=", "王芳（代理人）", "  x  "] {
        let mut odd = invited();
        odd.to_name = name.into();
        let place = &mut odd.invitation.as_mut().expect("an invitation").place;
        *place = format!("{name}\r\nBEGIN:VALARM");
        let message = Part::read(&formatted(&odd));
        assert!(message.header("to").ends_with("<wang.fang@mail.example>"), "{name}");
        let lines = calendar_of(&message.parts()[0].parts()[2]);
        assert!(!lines.iter().any(|l| l.starts_with("BEGIN:VALARM")), "{lines:?}");
        assert_eq!(lines.iter().filter(|l| l.starts_with("ATTENDEE")).count(), 1);
    }
}

#[test]
fn places_of_any_form_fold() {
    // The calendar crate folds by bytes and looks at characters: try every mix of widths and blanks.
    for length in 0..200 {
        for unit in ["长", "a", " ", "长 ", "a　", "é ", "😀", ",;\\"] {
            let mut one = invited();
            one.invitation.as_mut().expect("an invitation").place = unit.repeat(length);
            calendar_of(&Part::read(&formatted(&one)).parts()[0].parts()[2]);
        }
    }
}

#[test]
fn debug_names_nobody() {
    assert_eq!(format!("{:?}", mail()), "Mail { id: \"0198f0c4-7.3.0\", .. }");
}
