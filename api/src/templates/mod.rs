//! The words of a notice: typed view in, subject, text and HTML out.
//!
//! What lives here: the shape of each notice ([`Shape`]), what one notice carries ([`NoticeView`]), the embedded files
//! under `templates/mail` and the folder that may replace them, the check that reads all of them before the server
//! listens, and the rendering. Strict mode alone misses a wrong name inside a condition, so the check walks the parsed
//! templates and compares every name and type with the shape.
//!
//! What does not: who is told what and when (the workflow), how a mail is built and sent (`mail`), pages and printed
//! documents. How to write a template stands in `templates/README.md`.

mod check;
mod formats;
mod graph;
mod helpers;
mod load;
mod sample;
mod scan;
pub mod shapes;
mod sources;
mod terms;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use load::Templates;

/// The largest template file, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;
/// The largest rendered part, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// How deep blocks and partials together may nest.
pub const MAX_NESTING: usize = 32;
/// The longest subject, in characters.
pub const MAX_SUBJECT_CHARACTERS: usize = 78;
/// The longest case reference that every shipped subject has room for, in characters (a UUID).
pub const MAX_REFERENCE_CHARACTERS: usize = 36;

/// What kind of value a field of a notice holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// Words, printed as they are (escaped in HTML).
    Text,
    /// A whole number.
    Int,
    /// A decimal string in CNY, `86400.50`; printed by `money`.
    Money,
    /// A day, `2026-03-02`; printed by `date`.
    Date,
    /// A moment with offset, RFC 3339; printed by `datetime` or `date`.
    Instant,
    /// Yes or no; for conditions.
    Bool,
    /// One of these keys; put into words by `choice`.
    Choice(Vec<String>),
    /// Several texts; for `each`.
    TextList,
}

/// One field that a notice carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; templates say `data.NAME`.
    pub name: String,
    /// What it holds.
    pub ty: FieldType,
    /// Whether it may be absent (null).
    pub optional: bool,
}

/// One notice as the workflow declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The notice's key, which is also the name of its folder.
    pub kind: String,
    /// What it carries.
    pub fields: Vec<Field>,
}

/// Whom a notice addresses.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The name that the letter opens with.
    pub name: String,
    /// The side that the person is on (`patient_side`), if a party.
    pub side: Option<String>,
    /// The role or seat (`director`, `court`), if not a party.
    pub role: Option<String>,
}

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Localised {
    /// Chinese.
    #[serde(rename = "zh-CN")]
    pub zh_cn: String,
    /// English.
    pub en: String,
}

impl Localised {
    /// The text in `language`; Chinese for any but `en`.
    pub fn in_language(&self, language: &str) -> &str {
        if language == "en" { &self.en } else { &self.zh_cn }
    }
}

/// The committee that signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    /// Its name.
    pub name: Localised,
    /// Where it can be called.
    pub phone: String,
    /// Where it can be visited.
    pub address: String,
}

/// All that one notice says, frozen when the step that caused it was committed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeView {
    /// The notice's key in the workflow (`acceptance`).
    pub kind: String,
    /// Its number in the catalogue (`N05`).
    pub code: String,
    /// `zh-CN` or `en`.
    pub language: String,
    /// Whom it addresses.
    pub recipient: Recipient,
    /// Who signs.
    pub committee: Committee,
    /// The case reference: no personal data, at most [`MAX_REFERENCE_CHARACTERS`].
    pub reference: String,
    /// The day under the signature, `2026-03-02`.
    pub issued_on: String,
    /// The fields of its [`Shape`]: `2026-03-02`, RFC 3339 with offset, `86400.50`; null when absent.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// The reference of the earlier notice that this one replaces.
    pub correction_of: Option<String>,
    /// Whether it is printed, and not sent as mail.
    #[serde(default)]
    pub paper: bool,
}

// A view holds personal data; what logs and panics print of it does not.
impl fmt::Debug for NoticeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoticeView { kind, language, reference, .. } = self;
        write!(f, "NoticeView({kind}, {language}, {reference})")
    }
}

/// A notice in words.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line, at most [`MAX_SUBJECT_CHARACTERS`].
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML, with nothing remote.
    pub html: String,
}

/// One thing wrong with a template, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateMistake {
    /// The file below the templates folder.
    pub file: String,
    /// The line, where one can be named.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub advice: String,
}

impl fmt::Display for TemplateMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: ", self.file)?,
            None => write!(f, "{}: ", self.file)?,
        }
        write!(f, "{}; {}", self.problem, self.advice)
    }
}

impl std::error::Error for TemplateMistake {}

/// Why a notice could not be put into words. Names fields, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No such notice, or not in this language.
    #[error("there is no template for notice {kind} in {language}")]
    Unknown {
        /// The notice.
        kind: String,
        /// The language asked for.
        language: String,
    },
    /// The view does not have the shape that the workflow declares.
    #[error("notice {kind}: {field} {problem}")]
    Data {
        /// The notice.
        kind: String,
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The template failed, or what came out breaks a rule.
    #[error("notice {kind} in {language}, {part}: {problem}")]
    Output {
        /// The notice.
        kind: String,
        /// The language.
        language: String,
        /// `subject`, `body.txt` or `body.html`.
        part: String,
        /// What is wrong.
        problem: String,
    },
}
