//! Messages about letters that came back (RFC 3464): which letter, and what became of it.
//!
//! Here: one message in, one [`Report`] out; nothing is believed that is not said in the message's own machine-readable
//! part. Not here: where messages come from and what follows (`bounces`). Whoever knows our address can send us
//! anything, so a message is read within limits: its head only, and no more parts than a report has.

use mail_parser::{HeaderValue, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};

/// Bytes of a message that are read. The report comes first in it; after that our own letter is only repeated.
pub const HEAD_MAX_BYTES: usize = 256 * 1024;
/// Parts and messages inside each other that are read; the parser follows each, however deep.
const MAX_PARTS: usize = 32;
/// Recipients of one report that are looked at.
const MAX_RECIPIENTS: usize = 32;
/// The longest status that is kept.
const MAX_STATUS_BYTES: usize = 16;

/// What a message says of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The left sides of the Message-IDs that it may be about, the most reliable first.
    pub about: Vec<String>,
    /// What became of the letter.
    pub fate: Fate,
}

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It will not arrive.
    Bounced {
        /// Such as `5.1.1` (RFC 3463).
        status: String,
    },
    /// It is still being tried.
    Delayed {
        /// Such as `4.4.1`.
        status: String,
    },
    /// It has arrived, or gone on.
    Arrived,
}

/// Reads a message.
///
/// # Arguments
/// `head` are its first bytes, at most [`HEAD_MAX_BYTES`]; more is not looked at.
///
/// # Returns
/// Nothing when it is no delivery-status message, or one that cannot be read.
#[must_use]
pub fn read(head: &[u8]) -> Option<Report> {
    let head = &head[..head.len().min(HEAD_MAX_BYTES)];
    if parts(head) > MAX_PARTS {
        return None;
    }
    let message = MessageParser::default().parse(head)?;
    let report = message.parts.iter().find(|part| is(part, "message", "delivery-status"))?;
    let fate = fate(&String::from_utf8_lossy(report.contents()))?;
    Some(Report { about: about(&message), fate })
}

/// How many parts a message may have at most: each is announced by its type.
fn parts(head: &[u8]) -> usize {
    let named = |word: &[u8]| head.windows(word.len()).filter(|w| w.eq_ignore_ascii_case(word)).count();
    named(b"message/") + named(b"multipart/")
}

fn is(part: &MessagePart<'_>, kind: &str, subtype: &str) -> bool {
    part.content_type().is_some_and(|t| t.ctype().eq_ignore_ascii_case(kind) && t.subtype().is_some_and(|s| s.eq_ignore_ascii_case(subtype)))
}

/// What the worst recipient's fields say. The first group of fields is about the message, each further one about a recipient.
fn fate(status: &str) -> Option<Fate> {
    let status = status.replace("\r\n", "\n");
    let mut worst = None;
    for group in status.split("\n\n").take(MAX_RECIPIENTS) {
        let Some(action) = field(group, "action") else { continue };
        let code = field(group, "status").map(|code| code.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>());
        let code = code.filter(|code| !code.is_empty() && code.len() <= MAX_STATUS_BYTES);
        let code = |class: &str| code.clone().filter(|code| code.starts_with(class)).unwrap_or_else(|| format!("{class}.0.0"));
        let fate = match action.split([' ', ';', '(']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "failed" => return Some(Fate::Bounced { status: code("5") }),
            "delayed" => Fate::Delayed { status: code("4") },
            "delivered" | "relayed" | "expanded" => Fate::Arrived,
            _ => continue,
        };
        if worst.is_none() || matches!(fate, Fate::Delayed { .. }) {
            worst = Some(fate);
        }
    }
    worst
}

/// A field of a group of header-like lines; a line that begins with white space goes on with the one before.
fn field(group: &str, name: &str) -> Option<String> {
    let mut lines = group.lines().skip_while(|line| !line.split_once(':').is_some_and(|(n, _)| n.trim().eq_ignore_ascii_case(name)));
    let mut value = lines.next()?.split_once(':')?.1.trim().to_owned();
    for more in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(more.trim());
    }
    Some(value)
}

/// The Message-IDs that a report may be about: of the letter that it repeats, else of the headers that point to one.
fn about(message: &Message<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for part in &message.parts {
        match &part.body {
            PartType::Message(letter) => out.extend(letter.message_id().map(str::to_owned)),
            _ if is(part, "text", "rfc822-headers") || is(part, "message", "rfc822-headers") => {
                out.extend(field(&String::from_utf8_lossy(part.contents()), "message-id"));
            }
            _ => {}
        }
    }
    let headers = ["X-Original-Message-ID", "In-Reply-To", "References"];
    out.extend(headers.into_iter().filter_map(|name| message.header(name)).flat_map(texts));
    out.iter().filter_map(|id| left_side(id)).collect()
}

fn texts(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        HeaderValue::TextList(list) => list.iter().map(|text| text.as_ref().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// `ID` of `<ID@DOMAIN>`.
fn left_side(message_id: &str) -> Option<String> {
    let (left, _) = message_id.trim().trim_matches(['<', '>']).split_once('@')?;
    Some(left.to_owned()).filter(|left| !left.is_empty() && left.len() <= 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_recipient_counts_and_a_status_must_fit_its_action() {
        let group = |action: &str, status: &str| format!("Final-Recipient: rfc822; x@example.org\nAction: {action}\nStatus: {status}");
        let all = |groups: &[String]| fate(&format!("Reporting-MTA: dns; mx.example.org\n\n{}\n", groups.join("\n\n")));
        assert_eq!(all(&[group("delivered", "2.0.0"), group("delayed", "4.4.1")]), Some(Fate::Delayed { status: "4.4.1".to_owned() }));
        assert_eq!(all(&[group("delayed", "4.4.1"), group("failed", "5.1.1 (no such user)")]), Some(Fate::Bounced { status: "5.1.1".to_owned() }));
        assert_eq!(all(&[group("failed", "2.0.0")]), Some(Fate::Bounced { status: "5.0.0".to_owned() }));
        assert_eq!(all(&[group("relayed", "2.0.0")]), Some(Fate::Arrived));
        assert_eq!(all(&[group("vanished", "5.1.1")]), None);
        assert_eq!(fate(""), None);
    }

    #[test]
    fn only_the_left_side_of_a_message_id_is_taken() {
        assert_eq!(left_side("<a.1.0@committee.example>").as_deref(), Some("a.1.0"));
        assert_eq!(left_side("a.1.0"), None);
        assert_eq!(left_side("<@x>"), None);
    }
}
