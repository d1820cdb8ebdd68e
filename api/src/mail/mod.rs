//! Mails: one finished notice in, one delivered message out.
//!
//! What lives here: building the message (encodings, Message-ID, invitation), the two posts (a folder of `.eml` files,
//! and SMTP over a small pool of connections), telling a failure that may pass from one that will not, reading
//! what a mail server reports about a letter (`bounce`), and fetching such reports from a mailbox (`mailbox`).
//!
//! What does not: the words (`templates`), the queue with its leases and retries (the mail worker), and when anybody is
//! told anything (the workflow). No error or log text here carries a recipient's name or address.

mod bounce;
mod folder;
mod invitation;
mod mailbox;
mod message;
mod smtp;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;

use chrono::{DateTime, FixedOffset, Utc};

pub use bounce::{Fate, HEAD_MAX_BYTES as REPORT_HEAD_MAX_BYTES, Report, read as read_report};
pub use folder::FolderPost;
pub use mailbox::{Mailbox, MailboxError};
pub use message::{MailError, message};
pub use smtp::SmtpPost;
pub use url::ConfigError;

/// One message to one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The notice's id: letters, digits, dots and hyphens. Message-ID and file name come from it, so that a second
    /// delivery shows as the same message.
    pub id: String,
    /// The recipient's name; may be empty.
    pub to_name: String,
    /// The recipient's mail address.
    pub to_address: String,
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
    /// What to enter into a calendar, if anything.
    pub invitation: Option<Invitation>,
    /// The moment of the notice, not of this attempt: a second delivery carries the same.
    pub date: DateTime<Utc>,
}

// Whoever prints a mail into a log learns which one it is, and nothing about anybody.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An appointment that calendars understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The appointment's own id; a change or cancellation carries the same. Written like [`Mail::id`].
    pub uid: String,
    /// When it begins.
    pub at: DateTime<FixedOffset>,
    /// How long it takes.
    pub minutes: u32,
    /// Where.
    pub place: String,
    /// What calendars show: as neutral as a subject.
    pub title: String,
    /// Whether it takes the appointment back.
    pub cancelled: bool,
}

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The committee's name.
    pub name: String,
    /// Its mail address.
    pub address: String,
    /// The domain that Message-IDs end with and that the server introduces itself as.
    pub domain: String,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What proves it: the server's answer, or the file with its digest.
    pub proof: String,
}

/// A mail that was not taken. The reason is fit for logs and pages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may work later.
    #[error("not delivered yet: {0}")]
    Temporary(String),
    /// Trying again is of no use.
    #[error("cannot be delivered: {0}")]
    Permanent(String),
}

/// Where mails go.
#[derive(Debug)]
pub enum Post {
    /// Into a folder, one file each.
    Folder(FolderPost),
    /// To a mail server.
    Smtp(SmtpPost),
}

impl Post {
    /// The post that `url` names: `smtp://HOST:25`, `smtp+starttls://USER:PASSWORD@HOST:587`, `smtps://…`, each TLS
    /// one with `?ca=FILE` for a private authority, or `folder:DIR`. User and password are percent-encoded.
    /// Nothing switches the verification of certificates off.
    ///
    /// # Errors
    /// When `url`, the certificate file or `sender` cannot be used. The message never repeats `url`.
    pub fn from_url(url: &str, sender: Sender) -> Result<Post, ConfigError> {
        message::check_sender(&sender)?;
        Ok(match url::parse(url)? {
            url::Target::Folder(dir) => Post::Folder(FolderPost::new(&dir, sender)),
            url::Target::Server(server) => Post::Smtp(SmtpPost::new(server, sender)),
        })
    }

    /// Delivers `mail`, or says whether trying again makes sense.
    ///
    /// # Errors
    /// [`Failure`], without name or address of anybody.
    pub async fn deliver(&self, mail: &Mail) -> Result<Delivered, Failure> {
        match self {
            Post::Folder(folder) => folder.deliver(mail).await,
            Post::Smtp(smtp) => smtp.deliver(mail).await,
        }
    }

    /// Looks whether a mail would be taken now, without sending one: the folder can be written, or the server greets us.
    ///
    /// # Errors
    /// [`Failure`], without name or address of anybody.
    pub async fn probe(&self) -> Result<(), Failure> {
        match self {
            Post::Folder(folder) => folder.probe().await,
            Post::Smtp(smtp) => smtp.probe().await,
        }
    }

    /// What makes this post unfit for production, if anything does.
    pub fn weakness(&self) -> Option<&'static str> {
        match self {
            Post::Folder(_) => Some("mails are written to a folder, nobody receives them"),
            Post::Smtp(smtp) if smtp.in_the_clear() => Some("mails cross the network unencrypted"),
            Post::Smtp(_) => None,
        }
    }
}

/// The post without its secrets, for logs and `heyi doctor`.
impl fmt::Display for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Post::Folder(folder) => folder.fmt(f),
            Post::Smtp(smtp) => smtp.fmt(f),
        }
    }
}
