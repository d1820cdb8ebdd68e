//! What a name may stand for while a guard is checked.
//!
//! Not here: the types of stored values (`value`), which are a part of these.

use std::{fmt, sync::Arc};

use indexmap::IndexMap;

use crate::value::Type;

/// The type of a name or of a whole guard. Shared inside, so that a record with many fields is cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum GuardType {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A decimal number.
    Decimal,
    /// An amount of money.
    Money,
    /// A day.
    Date,
    /// A moment.
    Instant,
    /// Text.
    Text,
    /// One of these words.
    Enum(Arc<[String]>),
    /// The id of a person of the case.
    Person,
    /// The id of an account.
    Staff,
    /// The id of a file.
    File,
    /// The id of another case.
    Case,
    /// Values of one type: a field that is a list, or the proceedings of a kind.
    List(Arc<GuardType>),
    /// Named fields: `facts`, `this`, `policy`, one proceeding.
    Record(Arc<IndexMap<String, GuardType>>),
}

impl GuardType {
    /// One of these words.
    pub fn words<S: Into<String>>(words: impl IntoIterator<Item = S>) -> GuardType {
        GuardType::Enum(words.into_iter().map(Into::into).collect())
    }

    /// A list of this type.
    pub fn list(item: GuardType) -> GuardType {
        GuardType::List(Arc::new(item))
    }

    /// A record with these fields.
    pub fn record<S: Into<String>>(fields: impl IntoIterator<Item = (S, GuardType)>) -> GuardType {
        GuardType::Record(Arc::new(fields.into_iter().map(|(name, ty)| (name.into(), ty)).collect()))
    }

    /// Whether a value of the one may stand where the other is wanted. The order of words does not matter.
    pub(super) fn is(&self, wanted: &GuardType) -> bool {
        match (self, wanted) {
            (GuardType::Enum(own), GuardType::Enum(other)) => {
                own.iter().all(|word| other.contains(word)) && other.iter().all(|word| own.contains(word))
            }
            (GuardType::List(own), GuardType::List(other)) => own.is(other),
            _ => self == wanted,
        }
    }

    /// Whether `==` has a meaning: not for lists and records.
    pub(super) fn is_single(&self) -> bool {
        !matches!(self, GuardType::List(_) | GuardType::Record(_))
    }

    /// Whether `<` has a meaning.
    pub(super) fn is_ordered(&self) -> bool {
        use GuardType::{Date, Decimal, Instant, Int, Money};
        matches!(self, Int | Decimal | Money | Date | Instant)
    }
}

impl From<&Type> for GuardType {
    fn from(ty: &Type) -> GuardType {
        match ty {
            Type::Bool => GuardType::Bool,
            Type::Int => GuardType::Int,
            Type::Decimal => GuardType::Decimal,
            Type::Money => GuardType::Money,
            Type::Date => GuardType::Date,
            Type::Instant => GuardType::Instant,
            Type::Text => GuardType::Text,
            Type::Enum(words) => GuardType::words(words),
            Type::Person => GuardType::Person,
            Type::Staff => GuardType::Staff,
            Type::File => GuardType::File,
            Type::Case => GuardType::Case,
            Type::List(item) => GuardType::list(item.as_ref().into()),
            Type::Record(fields) => GuardType::record(fields.iter().map(|(name, field)| (name, GuardType::from(&field.ty)))),
        }
    }
}

impl fmt::Display for GuardType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GuardType::Bool => "a condition (true or false)",
            GuardType::Int => "a whole number",
            GuardType::Decimal => "a decimal number",
            GuardType::Money => "money",
            GuardType::Date => "a day",
            GuardType::Instant => "a moment",
            GuardType::Text => "text",
            GuardType::Enum(words) => return write!(f, "one of {}", quoted(words.iter())),
            GuardType::Person => "a person",
            GuardType::Staff => "an account",
            GuardType::File => "a file",
            GuardType::Case => "another case",
            GuardType::List(item) => return write!(f, "a list ({item} each)"),
            GuardType::Record(_) => "a record with fields",
        })
    }
}

/// At most this many names or words are listed in a hint.
const LISTED_MAX: usize = 12;

/// `'a', 'b', …`
pub(super) fn quoted<'a>(words: impl Iterator<Item = &'a String>) -> String {
    listed(words.map(|word| format!("'{word}'")))
}

/// `a, b, …`
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.take(LISTED_MAX + 1).collect();
    if names.len() > LISTED_MAX {
        names.truncate(LISTED_MAX);
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// The names that a guard may use, as they are known when a workflow is loaded.
pub trait Names {
    /// What this root (`facts`, `this`, `policy`, a kind of proceeding) stands for, if there is one.
    fn type_of(&self, root: &str) -> Option<GuardType>;
    /// All roots, for "did you mean".
    fn roots(&self) -> Vec<String>;
}

/// Names in a map; enough for tests and for scopes that are built once.
impl Names for IndexMap<String, GuardType> {
    fn type_of(&self, root: &str) -> Option<GuardType> {
        self.get(root).cloned()
    }

    fn roots(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}
