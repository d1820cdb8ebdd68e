//! A made-up mail, and a reader of messages that shares no code with the writer.

mod built;
mod posted;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;

use super::*;

fn sender() -> Sender {
    Sender {
        name: "新安县医疗纠纷人民调解委员会".into(), address: "committee@mediation.example".into(), domain: "mediation.example".into()
    }
}

fn mail() -> Mail {
    Mail {
        id: "0198f0c4-7.3.0".into(),
        to_name: "王芳".into(),
        to_address: "wang.fang@mail.example".into(),
        subject: "调解委员会通知：受理决定［2026-0007］".into(),
        text: "尊敬的王芳：\n\n　　您好。\n.\n.. 点开头的行\n".into(),
        html: "<!doctype html>\n<html lang=\"zh-CN\"><p>尊敬的王芳：</p></html>\n".into(),
        invitation: None,
        date: DateTime::parse_from_rfc3339("2026-03-02T09:00:00+08:00").expect("a date").into(),
    }
}

fn invited() -> Mail {
    Mail {
        invitation: Some(Invitation {
            uid: "0198f0c4-session-1".into(),
            at: DateTime::parse_from_rfc3339("2026-03-11T09:30:00+08:00").expect("a date"),
            minutes: 120,
            place: "新安县司法局，二楼调解室；东侧 (201)".into(),
            title: "调解会［2026-0007］，请您准时参加，不能按时参加的请提前来电，我们会另行商定时间".into(),
            cancelled: false,
        }),
        ..mail()
    }
}

fn formatted(mail: &Mail) -> String {
    let bytes = message(mail, &sender()).expect("builds").formatted();
    assert!(bytes.is_ascii(), "nothing but ASCII travels");
    String::from_utf8(bytes).expect("ASCII")
}

/// A message or a part of one, as read.
struct Part {
    headers: Vec<(String, String)>,
    body: String,
}

impl Part {
    fn read(raw: &str) -> Part {
        let (head, body) = raw.split_once("\r\n\r\n").expect("headers and a body");
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("name: value");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Part { headers: unfolded.split("\r\n").map(header).collect(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let value = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    fn parts(&self) -> Vec<Part> {
        let kind = self.header("content-type");
        let (_, rest) = kind.split_once("boundary=\"").unwrap_or_else(|| panic!("no boundary in {kind}"));
        let boundary = rest.split('"').next().expect("a boundary");
        let body = format!("\r\n{}", self.body);
        let pieces: Vec<&str> = body.split(&format!("\r\n--{boundary}")).collect();
        assert!(pieces.last().expect("an end").starts_with("--"), "the last boundary closes");
        pieces[1..pieces.len() - 1].iter().map(|p| Part::read(p.trim_start_matches("\r\n"))).collect()
    }

    fn text(&self) -> String {
        let bytes = match self.header("content-transfer-encoding") {
            "base64" => STANDARD.decode(self.body.replace("\r\n", "")).expect("base64"),
            "quoted-printable" => unquoted(self.body.replace("=\r\n", "").as_bytes(), b'='),
            other => panic!("encoded as {other}"),
        };
        String::from_utf8(bytes).expect("UTF-8").replace("\r\n", "\n")
    }
}

fn unquoted(bytes: &[u8], mark: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == mark {
            let digits = std::str::from_utf8(&bytes[i + 1..i + 3]).expect("digits");
            out.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    out
}

/// RFC 2047, both encodings; blanks between encoded words do not count.
fn decoded_header(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut after_word = false;
    for piece in value.split(' ') {
        let word = piece.strip_prefix("=?utf-8?").and_then(|p| p.strip_suffix("?="));
        let joined = after_word && word.is_some();
        if !bytes.is_empty() && !joined {
            bytes.push(b' ');
        }
        after_word = word.is_some();
        match word {
            Some(word) if word.starts_with("b?") => bytes.extend(STANDARD.decode(&word[2..]).expect("base64")),
            Some(word) => bytes.extend(unquoted(word[2..].replace('_', " ").as_bytes(), b'=')),
            None => bytes.extend(piece.as_bytes()),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
