//! Values and their types: what a fact, a field of a proceeding or an input of a command may hold, how JSON becomes
//! one, and how one becomes JSON again.
//!
//! Not here: which fields a workflow declares (`definition`), and conditions over values (`guard`). No text of an error
//! repeats the value that was refused, because values are personal data and errors end up in logs.

use std::{collections::BTreeMap, fmt, str::FromStr};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, SecondsFormat};
use indexmap::IndexMap;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Number, Value as Json, json};

/// Longest text, in characters.
pub const TEXT_MAX_CHARS: usize = 20_000;
/// Longest id of a person, an account or a file, in characters.
pub const ID_MAX_CHARS: usize = 128;
/// Longest list.
pub const LIST_MAX_ITEMS: usize = 200;
/// Most mistakes that one reading reports.
pub const MISTAKES_MAX: usize = 100;
/// Deepest JSON that [`canonical_json`] writes.
pub const JSON_MAX_DEPTH: usize = 128;
/// Largest amount of money on either side of zero, in 分: ten million million yuan.
pub const MONEY_MAX_FEN: i64 = 1_000_000_000_000_000;

const MONEY_PATTERN: &str = r"^-?(0|[1-9][0-9]{0,13})(\.[0-9]{1,2})?$";
const DECIMAL_PATTERN: &str = r"^-?[0-9]{1,28}(\.[0-9]{1,28})?$";
const DECIMAL_MAX_DIGITS: usize = 28;
const KEY_MAX_CHARS: usize = 64;

/// One value. What is not set, or was erased, is no value at all: it is absent from its record and its scope.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The literal `null`; no declared type holds it.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// An exact decimal number.
    Decimal(Decimal),
    /// An amount of money.
    Money(Money),
    /// A day, with no time of day.
    Date(NaiveDate),
    /// A moment, with the offset in which it was told.
    Instant(DateTime<FixedOffset>),
    /// Text; also one value of an enum, and the id of a person, an account or a file.
    Text(String),
    /// Several values of one type.
    List(Vec<Value>),
    /// Named values.
    Record(BTreeMap<String, Value>),
}

/// What a field may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A decimal number of at most 28 digits.
    Decimal,
    /// An amount in yuan with two decimals.
    Money,
    /// A day.
    Date,
    /// A moment.
    Instant,
    /// Text of at most [`TEXT_MAX_CHARS`] characters.
    Text,
    /// One of these words.
    Enum(Vec<String>),
    /// The id of a person of the case.
    Person,
    /// The id of an account.
    Staff,
    /// The id of a file of the case.
    File,
    /// The id of another case.
    Case,
    /// At most [`LIST_MAX_ITEMS`] values of one type.
    List(Box<Type>),
    /// Named fields; no others may appear.
    Record(IndexMap<String, Field>),
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What it holds.
    pub ty: Type,
    /// Whether it may be left out.
    pub optional: bool,
}

/// An amount of money: whole 分 (hundredths of a yuan), within ±[`MONEY_MAX_FEN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// Why a text or number is no [`Money`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with an optional minus sign and decimals.
    #[error("is not an amount in yuan such as 100000.00")]
    NotAnAmount,
    /// Finer than 分.
    #[error("has more than two decimals")]
    TooManyDecimals,
    /// Beyond [`MONEY_MAX_FEN`].
    #[error("is beyond ten million million yuan")]
    OutOfRange,
}

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);

    /// An amount of so many 分, if within bounds.
    pub fn from_fen(fen: i64) -> Option<Money> {
        (-MONEY_MAX_FEN..=MONEY_MAX_FEN).contains(&fen).then_some(Money(fen))
    }

    /// An amount of so many yuan, if within bounds.
    pub fn from_yuan(yuan: i64) -> Option<Money> {
        yuan.checked_mul(100).and_then(Money::from_fen)
    }

    /// Exactly this many yuan: nothing is rounded.
    pub fn from_decimal(yuan: Decimal) -> Result<Money, MoneyError> {
        if yuan != yuan.round_dp_with_strategy(2, RoundingStrategy::ToZero) {
            return Err(MoneyError::TooManyDecimals);
        }
        let fen = yuan.checked_mul(Decimal::ONE_HUNDRED).and_then(|fen| i64::try_from(fen).ok());
        fen.and_then(Money::from_fen).ok_or(MoneyError::OutOfRange)
    }

    /// The amount in 分.
    pub fn fen(self) -> i64 {
        self.0
    }

    /// The sum, if within bounds.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        self.0.checked_add(other.0).and_then(Money::from_fen)
    }

    /// The difference, if within bounds.
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.0.checked_sub(other.0).and_then(Money::from_fen)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (yuan, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        if !all_digits(yuan) || !all_digits(decimals) || (yuan.len() > 1 && yuan.starts_with('0')) {
            return Err(MoneyError::NotAnAmount);
        }
        let fen: i64 = match decimals.len() {
            1 => format!("{yuan}{decimals}0"),
            2 => format!("{yuan}{decimals}"),
            _ => return Err(MoneyError::TooManyDecimals),
        }
        .parse()
        .map_err(|_| MoneyError::OutOfRange)?;
        let fen = if text.starts_with('-') { -fen } else { fen };
        Money::from_fen(fen).ok_or(MoneyError::OutOfRange)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.abs() / 100, self.0.abs() % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format_args!("the amount {error}")))
    }
}

impl schemars::JsonSchema for Money {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "pattern": MONEY_PATTERN, "format": "money", "examples": ["100000.00"]
        })
    }
}

/// One thing wrong with an input. It names the place and what would be right, never the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{path}: {message}; expected {expected}")]
pub struct InputMistake {
    /// Where: `instalments[2].amount`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
}

impl Value {
    /// Reads JSON as a value of this type, and reports every mistake at once (at most [`MISTAKES_MAX`]).
    pub fn from_json(json: &Json, ty: &Type, path: &str) -> Result<Value, Vec<InputMistake>> {
        let mut mistakes = Vec::new();
        match read(json, ty, path, &mut mistakes) {
            Some(value) if mistakes.is_empty() => Ok(value),
            _ => Err(mistakes),
        }
    }

    /// The same value as JSON; [`Value::from_json`] reads it back.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(value) => json!(value),
            Value::Int(value) => json!(value),
            Value::Decimal(value) => json!(value.to_string()),
            Value::Money(value) => json!(value.to_string()),
            Value::Date(value) => json!(value.format("%Y-%m-%d").to_string()),
            Value::Instant(value) => json!(value.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Value::Text(value) => json!(value),
            Value::List(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Record(fields) => fields.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
        }
    }
}

impl Type {
    /// What is expected, for people: `an amount in yuan as text, such as "100000.00"`.
    pub fn expected(&self) -> String {
        match self {
            Type::Bool => "true or false".into(),
            Type::Int => "a whole number".into(),
            Type::Decimal => "a decimal number as text of at most 28 digits, such as \"0.35\"".into(),
            Type::Money => "an amount in yuan as text with at most two decimals, such as \"100000.00\"".into(),
            Type::Date => "a day such as \"2026-03-02\"".into(),
            Type::Instant => "a moment with its offset, such as \"2026-03-02T09:30:00+08:00\"".into(),
            Type::Text => {
                format!("text of at most {TEXT_MAX_CHARS} characters, without control characters but \\n and \\t")
            }
            Type::Enum(words) => format!("one of {}", words.join(", ")),
            Type::Person => "the id of a person of the case".into(),
            Type::Staff => "the id of an account".into(),
            Type::File => "the id of a file of the case".into(),
            Type::Case => "the id of another case".into(),
            Type::List(_) => format!("a list of at most {LIST_MAX_ITEMS}"),
            Type::Record(fields) => {
                format!("an object with {}", fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// The JSON Schema (draft 2020-12) of what [`Value::from_json`] reads and [`Value::to_json`] writes.
    pub fn json_schema(&self) -> Json {
        let id = |format: &str| json!({"type": "string", "format": format, "minLength": 1, "maxLength": ID_MAX_CHARS});
        match self {
            Type::Bool => json!({"type": "boolean"}),
            Type::Int => {
                json!({"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX})
            }
            Type::Decimal => {
                json!({"type": "string", "pattern": DECIMAL_PATTERN, "format": "decimal", "examples": ["0.35"]})
            }
            Type::Money => {
                json!({"type": "string", "pattern": MONEY_PATTERN, "format": "money", "examples": ["100000.00"]})
            }
            Type::Date => json!({"type": "string", "format": "date", "examples": ["2026-03-02"]}),
            Type::Instant => {
                json!({"type": "string", "format": "date-time", "examples": ["2026-03-02T09:30:00+08:00"]})
            }
            Type::Text => json!({"type": "string", "maxLength": TEXT_MAX_CHARS}),
            Type::Enum(words) => json!({"type": "string", "enum": words}),
            Type::Person => id("person-id"),
            Type::Staff => id("account-id"),
            Type::File => id("file-id"),
            Type::Case => json!({"type": "string", "format": "uuid"}),
            Type::List(item) => {
                json!({"type": "array", "items": item.json_schema(), "maxItems": LIST_MAX_ITEMS})
            }
            Type::Record(fields) => {
                let properties: Map<String, Json> = fields.iter().map(|(name, field)| (name.clone(), field.ty.json_schema())).collect();
                let required: Vec<&String> = fields.iter().filter(|(_, field)| !field.optional).map(|(name, _)| name).collect();
                json!({
                    "type": "object", "properties": properties, "required": required, "additionalProperties": false
                })
            }
        }
    }
}

/// Recursion goes no deeper than the type does. `None` means that a mistake was reported.
fn read(json: &Json, ty: &Type, path: &str, mistakes: &mut Vec<InputMistake>) -> Option<Value> {
    let result = match (ty, json) {
        (Type::Record(fields), Json::Object(entries)) => {
            return read_record(entries, fields, path, mistakes);
        }
        (Type::List(item), Json::Array(items)) if items.len() <= LIST_MAX_ITEMS => {
            let read_item = |(index, json): (usize, &Json)| read(json, item, &format!("{path}[{index}]"), mistakes);
            let values: Vec<Option<Value>> = items.iter().enumerate().map(read_item).collect();
            return values.into_iter().collect::<Option<_>>().map(Value::List);
        }
        (Type::List(_), Json::Array(_)) => Err(format!("the list is longer than {LIST_MAX_ITEMS}")),
        _ => read_scalar(json, ty),
    };
    result.map_err(|message| report(mistakes, path, &message, ty.expected())).ok()
}

fn read_scalar(json: &Json, ty: &Type) -> Result<Value, String> {
    let out_of_form = || "this text does not have the right form".to_owned();
    match (ty, json) {
        (_, Json::Null) => Err("a value is missing here".into()),
        (Type::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Type::Int, Json::Number(number)) => number.as_i64().map(Value::Int).ok_or_else(|| "this is not a whole number of 64 bits".into()),
        (Type::Money, Json::String(text)) => text.parse().map(Value::Money).map_err(|error: MoneyError| format!("this text {error}")),
        (Type::Money, Json::Number(number)) => match number.as_i64() {
            Some(yuan) => Money::from_yuan(yuan).map(Value::Money).ok_or_else(|| MoneyError::OutOfRange.to_string()),
            None => Err("an amount with decimals is sent as text, as JSON numbers are not exact".into()),
        },
        (Type::Decimal, Json::String(text)) => parse_decimal(text).map(Value::Decimal).ok_or_else(out_of_form),
        (Type::Decimal, Json::Number(number)) => match number.as_i64() {
            Some(whole) => Ok(Value::Decimal(whole.into())),
            None => Err("a number with decimals is sent as text, as JSON numbers are not exact".into()),
        },
        (Type::Date, Json::String(text)) => parse_date(text).map(Value::Date).ok_or_else(out_of_form),
        (Type::Instant, Json::String(text)) => parse_instant(text).map(Value::Instant).ok_or_else(out_of_form),
        (Type::Text, Json::String(text)) => match text.chars().nth(TEXT_MAX_CHARS) {
            Some(_) => Err("the text is too long".into()),
            None if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => Err("the text holds a control character".into()),
            None => Ok(Value::Text(text.clone())),
        },
        (Type::Enum(words), Json::String(text)) => match words.contains(text) {
            true => Ok(Value::Text(text.clone())),
            false => Err("this is none of the words that may stand here".into()),
        },
        (Type::Case, Json::String(text)) => match text.parse::<crate::ids::CaseId>() {
            Ok(id) => Ok(Value::Text(id.to_string())),
            Err(_) => Err(out_of_form()),
        },
        (Type::Person | Type::Staff | Type::File, Json::String(text)) => {
            let right = (1..=ID_MAX_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            if right { Ok(Value::Text(text.clone())) } else { Err(out_of_form()) }
        }
        (_, other) => Err(format!("this is {}", kind_of(other))),
    }
}

fn read_record(entries: &Map<String, Json>, fields: &IndexMap<String, Field>, path: &str, mistakes: &mut Vec<InputMistake>) -> Option<Value> {
    let under = |key: &str| {
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    };
    let expected = || Type::Record(fields.clone()).expected();
    let before = mistakes.len();
    for key in entries.keys().filter(|key| !fields.contains_key(*key)) {
        // A key may be anything that somebody typed, so only what looks like a name is repeated.
        let named = key.len() <= KEY_MAX_CHARS && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let near = did_you_mean(key, fields.keys().map(String::as_str));
        match near {
            Some(near) if named => {
                report(mistakes, &under(key), &format!("there is no such field; did you mean {near}?"), expected());
            }
            None if named => report(mistakes, &under(key), "there is no such field", expected()),
            _ => report(mistakes, path, "a key here is not the name of a field", expected()),
        }
    }
    let mut values = BTreeMap::new();
    for (name, field) in fields {
        match entries.get(name) {
            None | Some(Json::Null) if field.optional => {}
            None => report(mistakes, &under(name), "this field is missing", field.ty.expected()),
            Some(json) => {
                values.extend(read(json, &field.ty, &under(name), mistakes).map(|value| (name.clone(), value)));
            }
        }
    }
    (mistakes.len() == before && before < MISTAKES_MAX).then_some(Value::Record(values))
}

fn report(mistakes: &mut Vec<InputMistake>, path: &str, message: &str, expected: String) {
    if mistakes.len() < MISTAKES_MAX {
        mistakes.push(InputMistake { path: path.to_owned(), message: message.to_owned(), expected });
    }
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A decimal number with digits on both sides of its point, kept exactly as written.
pub(crate) fn parse_decimal(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = unsigned.len() - usize::from(unsigned.contains('.'));
    let right = all_digits(whole) && all_digits(decimals) && digits <= DECIMAL_MAX_DIGITS;
    if right { Decimal::from_str_exact(text).ok() } else { None }
}

/// A day written `2026-03-02`, in the years 1 to 9999.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    let right = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = if right {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?
    } else {
        return None;
    };
    is_writable(date).then_some(date)
}

/// A moment written as RFC 3339 wants it.
pub(crate) fn parse_instant(text: &str) -> Option<DateTime<FixedOffset>> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    is_writable(instant.date_naive()).then_some(instant)
}

/// Whether the day has a year of four digits, so that its text can be read again.
pub(crate) fn is_writable(date: NaiveDate) -> bool {
    (1..=9999).contains(&date.year())
}

/// The candidate that the writer may have meant, if one is near.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > KEY_MAX_CHARS {
        return None;
    }
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Why JSON has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number with a fraction or an exponent, or beyond 64 bits: its text is not the same everywhere.
    #[error("{path} holds a number that is no whole number of 64 bits; send it as text")]
    Float {
        /// Where: `$.facts.claim`.
        path: String,
    },
    /// Nested beyond [`JSON_MAX_DEPTH`].
    #[error("the JSON is nested deeper than {JSON_MAX_DEPTH}")]
    TooDeep,
}

/// The one text of this JSON that digests are taken of: no spaces, and keys sorted by code point however
/// `serde_json` was built.
pub fn canonical_json(json: &Json) -> Result<String, CanonicalError> {
    let mut out = Vec::new();
    write_canonical(json, &Place::Root, 1, &mut out)?;
    // What was written is text, and texts.
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// Where in a document one is; spelt out only for an error.
enum Place<'p> {
    Root,
    Item(&'p Place<'p>, usize),
    Key(&'p Place<'p>, &'p str),
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("$"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
        }
    }
}

fn write_canonical(json: &Json, place: &Place<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if depth > JSON_MAX_DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    let text = |text: &str, out: &mut Vec<u8>| serde_json::to_writer(out, text).expect("a text is written to memory");
    match json {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Json::String(string) => text(string, out),
        Json::Number(number) => {
            let whole = whole(number).ok_or_else(|| CanonicalError::Float { path: place.to_string() })?;
            out.extend_from_slice(whole.as_bytes());
        }
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, &Place::Item(place, index), depth + 1, out)?;
            }
            out.push(b']');
        }
        Json::Object(entries) => {
            let sorted: BTreeMap<&String, &Json> = entries.iter().collect(); // UTF-8 sorts by code point
            out.push(b'{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                text(key, out);
                out.push(b':');
                write_canonical(value, &Place::Key(place, key), depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn whole(number: &Number) -> Option<String> {
    number.as_i64().map(|n| n.to_string()).or_else(|| number.as_u64().map(|n| n.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    fn field(ty: Type, optional: bool) -> Field {
        Field { ty, optional }
    }

    fn claim() -> Type {
        Type::Record(IndexMap::from([
            ("amount".to_owned(), field(Type::Money, false)),
            ("due_on".to_owned(), field(Type::Date, true)),
            ("shares".to_owned(), field(Type::List(Box::new(Type::Decimal)), true)),
        ]))
    }

    fn mistakes(json: Json, ty: &Type) -> Vec<(String, String)> {
        let found = Value::from_json(&json, ty, "input").unwrap_err();
        found.into_iter().map(|mistake| (mistake.path, mistake.message)).collect()
    }

    #[test]
    fn money_is_read_exactly() {
        for (text, fen, shown) in [
            ("86400.50", 8_640_050, "86400.50"),
            ("0.05", 5, "0.05"),
            ("-0.05", -5, "-0.05"),
            ("-0", 0, "0.00"),
            ("1.5", 150, "1.50"),
            ("10000000000000.00", MONEY_MAX_FEN, "10000000000000.00"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.fen(), money.to_string().as_str()), (fen, shown));
            assert_eq!(Money::from_decimal(text.parse().unwrap()), Ok(money));
        }
        for text in ["", "-", "+5", "--5", "5.", ".5", "1e3", "007", " 5", "5 ", "1,000", "五", "0x1", "1.2.3"] {
            assert_eq!(text.parse::<Money>(), Err(MoneyError::NotAnAmount), "{text:?}");
        }
        assert_eq!("0.001".parse::<Money>(), Err(MoneyError::TooManyDecimals));
        assert_eq!("10000000000000.01".parse::<Money>(), Err(MoneyError::OutOfRange));
        assert_eq!("9".repeat(60).parse::<Money>(), Err(MoneyError::OutOfRange));
        assert_eq!(Money::from_decimal(Decimal::MAX), Err(MoneyError::OutOfRange));
        assert_eq!(Money::from_fen(MONEY_MAX_FEN + 1), None);
        assert_eq!(Money::from_yuan(i64::MAX), None);
    }

    #[test]
    fn money_stays_within_its_bounds() {
        let (most, one) = (Money::from_fen(MONEY_MAX_FEN).unwrap(), Money::from_fen(1).unwrap());
        assert_eq!(most.checked_add(one), None);
        assert_eq!(most.checked_sub(one).map(Money::fen), Some(MONEY_MAX_FEN - 1));
        assert_eq!(Money::ZERO.checked_sub(most).and_then(|least| least.checked_sub(one)), None);
        assert_eq!(serde_json::to_string(&one).unwrap(), "\"0.01\"");
        assert_eq!(serde_json::from_str::<Money>("\"0.01\"").unwrap(), one);
        assert!(!serde_json::from_str::<Money>("\"secret\"").unwrap_err().to_string().contains("secret"));
    }

    #[test]
    fn json_goes_in_and_comes_out() {
        for (ty, json) in [
            (Type::Bool, json!(true)),
            (Type::Int, json!(i64::MIN)),
            (Type::Decimal, json!("0.350")),
            (Type::Money, json!("100.00")),
            (Type::Date, json!("2026-03-02")),
            (Type::Instant, json!("2026-03-02T09:30:00+08:00")),
            (Type::Text, json!("张三\n\t")),
            (Type::Enum(vec!["a".into()]), json!("a")),
            (Type::Person, json!("p-1")),
            (Type::List(Box::new(Type::Int)), json!([1, 2])),
            (claim(), json!({"amount": "1.00", "due_on": "2026-03-02", "shares": ["0.5"]})),
        ] {
            assert_eq!(Value::from_json(&json, &ty, "input").unwrap().to_json(), json);
        }
        let yuan = Value::from_json(&json!({"amount": 100, "due_on": null}), &claim(), "").unwrap();
        assert_eq!(yuan.to_json(), json!({"amount": "100.00"}));
    }

    #[test]
    fn refusals_name_the_place_and_what_is_right_but_never_the_value() {
        let found =
            Value::from_json(&json!({"amuont": "secret", "shares": ["0.5", 0.5, "secret"], "due_on": "2026-3-2", "张三": 1}), &claim(), "input")
                .unwrap_err();
        let paths: Vec<&str> = found.iter().map(|mistake| mistake.path.as_str()).collect();
        let wanted = ["input.amuont", "input", "input.amount", "input.due_on", "input.shares[1]", "input.shares[2]"];
        assert_eq!(paths.iter().collect::<std::collections::BTreeSet<_>>(), wanted.iter().collect(), "every mistake at once");
        let all: String = found.iter().map(ToString::to_string).collect();
        assert!(all.contains("did you mean amount?") && all.contains("\"0.35\""), "{all}");
        assert!(!all.contains("secret") && !all.contains("张三") && !all.contains("2026-3-2"), "{all}");
    }

    #[test]
    fn each_type_refuses_what_it_is_not() {
        for (ty, json) in [
            (Type::Bool, json!("true")),
            (Type::Int, json!(1.0)),
            (Type::Int, json!(u64::MAX)),
            (Type::Decimal, json!(0.1)),
            (Type::Decimal, json!("1".repeat(29))),
            (Type::Decimal, json!("1_000")),
            (Type::Decimal, json!("1e3")),
            (Type::Money, json!(100.5)),
            (Type::Money, json!(i64::MAX)),
            (Type::Money, json!("100.001")),
            (Type::Date, json!("+2026-3-02")),
            (Type::Date, json!("0000-01-01")),
            (Type::Date, json!("2026-02-30")),
            (Type::Instant, json!("2026-03-02T09:30:00")),
            (Type::Text, json!("a\u{0}")),
            (Type::Text, json!("a\r\n")),
            (Type::Text, json!("字".repeat(TEXT_MAX_CHARS + 1))),
            (Type::Enum(vec!["a".into()]), json!("b")),
            (Type::Person, json!("")),
            (Type::Staff, json!("a b")),
            (Type::File, json!("x".repeat(ID_MAX_CHARS + 1))),
            (Type::List(Box::new(Type::Int)), json!(vec![0; LIST_MAX_ITEMS + 1])),
            (Type::List(Box::new(Type::Int)), json!({})),
            (claim(), json!([])),
            (claim(), json!(null)),
        ] {
            assert_eq!(mistakes(json, &ty).len(), 1, "{ty:?}");
        }
        let longest = Value::from_json(&json!("字".repeat(TEXT_MAX_CHARS)), &Type::Text, "input");
        assert!(longest.is_ok());
        let advice = &Value::from_json(&json!(100.5), &Type::Money, "input").unwrap_err()[0];
        assert_eq!(advice.expected, Type::Money.expected());
    }

    #[test]
    fn the_number_of_mistakes_is_bounded() {
        let many: Map<String, Json> = (0..5_000).map(|n| (format!("k{n}"), json!(1))).collect();
        assert_eq!(mistakes(Json::Object(many), &claim()).len(), MISTAKES_MAX);
    }

    #[test]
    fn canonical_json_has_one_form() {
        let json: Json = serde_json::from_str(r#"{"b":[1,{},[]],"a":"\u00e9\n","ｚ":null,"𐀀":true,"":-1}"#).unwrap();
        assert_eq!(canonical_json(&json).unwrap(), r#"{"":-1,"a":"é\n","b":[1,{},[]],"ｚ":null,"𐀀":true}"#);
        let float = canonical_json(&json!({"a": [0.5]})).unwrap_err();
        assert_eq!(float, CanonicalError::Float { path: "$.a[0]".into() });
        let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(canonical_json(&deep), Err(CanonicalError::TooDeep));
    }

    #[test]
    fn the_schema_says_what_is_read() {
        let schema = claim().json_schema();
        assert_eq!(schema["required"], json!(["amount"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["amount"]["format"], json!("money"));
        assert_eq!(schema["properties"]["due_on"]["format"], json!("date"));
        assert_eq!(schema["properties"]["shares"]["maxItems"], json!(LIST_MAX_ITEMS));
        assert_eq!(Type::Enum(vec!["a".into()]).json_schema()["enum"], json!(["a"]));
    }
}
