//! From a [`Mail`] to the bytes that go out.
//! Everything a person may have typed is validated before lettre sees it, as lettre panics on a line break in a display
//! name and lets a bare CR into a body (dependencies M4). The same mail gives the same bytes each time: boundaries
//! come from its id, the date is the notice's.

use chrono::{DateTime, Datelike, Utc};
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use sha2::{Digest, Sha256};

use super::{Mail, Sender, invitation};

/// The longest id, in bytes: file names and Message-IDs stay well within what systems bear.
const MAX_ID_BYTES: usize = 120;
/// The longest name or subject, in characters.
const MAX_NAME_CHARACTERS: usize = 200;
/// The longest mail address (RFC 5321).
const MAX_ADDRESS_BYTES: usize = 254;

/// Why a mail cannot be built. Says which part, never what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The id would not do as file name and Message-ID.
    #[error("the {0} is not of letters, digits, dots and hyphens")]
    Id(&'static str),
    /// A name has a line break or another control character, or is too long.
    #[error("the name of the {0} has a control character or is too long")]
    Name(&'static str),
    /// No mail address.
    #[error("the mail address of the {0} is not valid")]
    Address(&'static str),
    /// The subject has a line break or another control character, or is too long.
    #[error("the subject is empty, too long, or has a control character")]
    Subject,
    /// A date that a mail cannot carry.
    #[error("the date of the {0} is out of range")]
    Date(&'static str),
    /// The mail library refused the message.
    #[error("the message cannot be put together")]
    Build,
}

/// Builds the message: text and HTML as alternatives and, with an invitation, a calendar part and the same as a file.
///
/// # Errors
/// When a name, address, id, subject or date would not survive the journey.
pub fn message(mail: &Mail, sender: &Sender) -> Result<Message, MailError> {
    check_id(&mail.id, "id")?;
    let from = check_sender(sender)?;
    let to = mailbox(&mail.to_name, &mail.to_address, "recipient")?;
    if mail.subject.trim().is_empty() || !is_one_line(&mail.subject) {
        return Err(MailError::Subject);
    }
    let date = in_range(mail.date, "mail")?;

    let mut alternatives = MultiPart::alternative()
        .boundary(boundary(mail, "alternative"))
        .singlepart(part(ContentType::TEXT_PLAIN, &mail.text)?)
        .singlepart(part(ContentType::TEXT_HTML, &mail.html)?);
    let body = match &mail.invitation {
        None => alternatives,
        Some(invitation) => {
            let calendar = invitation::calendar(invitation, mail, sender)?;
            let method = invitation::method(invitation);
            let kind = |text: String| ContentType::parse(&text).map_err(|_| MailError::Build);
            let inline = kind(format!("text/calendar; method={method}; charset=utf-8"))?;
            alternatives = alternatives.singlepart(part(inline, &calendar)?);
            let file = kind("application/ics; name=\"invite.ics\"".to_owned())?;
            let file = Attachment::new("invite.ics".to_owned()).body(encoded(&calendar)?, file);
            MultiPart::mixed().boundary(boundary(mail, "mixed")).multipart(alternatives).singlepart(file)
        }
    };
    Message::builder()
        .message_id(Some(format!("<{}@{}>", mail.id, sender.domain)))
        .date(date.into())
        .from(from)
        .to(to)
        .subject(mail.subject.clone())
        // So that no absence note answers (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .multipart(body)
        .map_err(|_| MailError::Build)
}

/// The sender as a mailbox, when all its parts will do.
pub(super) fn check_sender(sender: &Sender) -> Result<Mailbox, MailError> {
    check_id(&sender.domain, "domain of the sender")?;
    mailbox(&sender.name, &sender.address, "sender")
}

/// An id that is a file name, the left side of a Message-ID and harmless in a calendar.
pub(super) fn check_id(id: &str, whose: &'static str) -> Result<(), MailError> {
    let characters = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    let ends = [id.bytes().next(), id.bytes().last()];
    let solid = ends.iter().all(|b| b.is_some_and(|b| b.is_ascii_alphanumeric()));
    if characters && solid && !id.contains("..") && id.len() <= MAX_ID_BYTES { Ok(()) } else { Err(MailError::Id(whose)) }
}

fn mailbox(name: &str, address: &str, whose: &'static str) -> Result<Mailbox, MailError> {
    if !is_one_line(name) {
        return Err(MailError::Name(whose));
    }
    // Addresses outside ASCII need SMTPUTF8 at every server on the way; none of ours promises that.
    let plain = address.len() <= MAX_ADDRESS_BYTES && address.bytes().all(|b| b.is_ascii_graphic());
    let address = address.parse().ok().filter(|_| plain).ok_or(MailError::Address(whose))?;
    let name = Some(name.trim()).filter(|n| !n.is_empty()).map(str::to_owned);
    Ok(Mailbox::new(name, address))
}

/// One line of bearable length, without control characters and without those that turn the direction of writing.
fn is_one_line(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().count() <= MAX_NAME_CHARACTERS && !text.chars().any(|c| c.is_control() || turns(c))
}

/// The mail library panics on years that its date format cannot write.
pub(super) fn in_range(date: DateTime<Utc>, whose: &'static str) -> Result<DateTime<Utc>, MailError> {
    if (1970..=9999).contains(&date.year()) { Ok(date) } else { Err(MailError::Date(whose)) }
}

fn part(kind: ContentType, text: &str) -> Result<SinglePart, MailError> {
    Ok(SinglePart::builder().header(kind).body(encoded(text)?))
}

/// Always encoded: a body as it stands could carry a bare CR or a line that a server breaks.
fn encoded(text: &str) -> Result<Body, MailError> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let beyond_ascii = text.chars().filter(|c| !c.is_ascii()).count();
    let encoding = if beyond_ascii * 6 > text.len() { ContentTransferEncoding::Base64 } else { ContentTransferEncoding::QuotedPrintable };
    Body::new_with_encoding(text, encoding).map_err(|_| MailError::Build)
}

/// `=_` occurs in neither encoding, so no body can hold the boundary.
fn boundary(mail: &Mail, kind: &str) -> String {
    let digest: String = Sha256::digest(format!("{kind} {}", mail.id)).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("=_{digest}")
}
