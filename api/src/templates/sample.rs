//! Made-up notices that try every template before the server listens, and the context that a template sees.
//! A real view is checked against its shape here too, so that rendering meets the types that the check assumed.

use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value, json};

use super::helpers::{Language, money};
use super::{Committee, Field, FieldType, Localised, MAX_REFERENCE_CHARACTERS, NoticeView, Recipient, Shape};

/// The names outside `data` that every template may use; true when the value may be absent.
pub(super) const COMMON: [(&str, FieldType, bool); 10] = [
    ("recipient.name", FieldType::Text, false),
    ("recipient.side", FieldType::Text, true),
    ("recipient.role", FieldType::Text, true),
    ("committee.name", FieldType::Text, false),
    ("committee.phone", FieldType::Text, false),
    ("committee.address", FieldType::Text, false),
    ("reference", FieldType::Text, false),
    ("issued_on", FieldType::Date, false),
    ("correction_of", FieldType::Text, true),
    ("paper", FieldType::Bool, false),
];

/// What a template sees of `view`.
pub(super) fn context(view: &NoticeView) -> Value {
    json!({
        "recipient": {
            "name": view.recipient.name,
            "side": view.recipient.side,
            "role": view.recipient.role,
        },
        "committee": {
            "name": view.committee.name.in_language(&view.language),
            "phone": view.committee.phone,
            "address": view.committee.address,
        },
        "reference": view.reference,
        "issued_on": view.issued_on,
        "correction_of": view.correction_of,
        "paper": view.paper,
        "data": view.data,
    })
}

/// The view with every field of `shape` in its data, or the field that does not fit and why.
pub(super) fn fitted(shape: &Shape, view: &NoticeView) -> Result<NoticeView, (String, String)> {
    let no = |field: &str, why: &str| Err((field.to_owned(), why.to_owned()));
    if let Some(name) = view.data.keys().find(|name| shape.fields.iter().all(|f| f.name != **name)) {
        return no(name, "is not a field of this notice");
    }
    if !is_date(&view.issued_on) {
        return no("issued_on", "is no date");
    }
    let mut view = view.clone();
    for field in &shape.fields {
        match view.data.get(&field.name).unwrap_or(&Value::Null) {
            Value::Null if field.optional => {
                view.data.insert(field.name.clone(), Value::Null);
            }
            Value::Null => return no(&field.name, "is absent"),
            value if !fits(&field.ty, value) => return no(&field.name, expected(&field.ty)),
            _ => {}
        }
    }
    Ok(view)
}

fn is_date(text: &str) -> bool {
    // The form is checked as well: chrono also reads 2026-3-2.
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn fits(ty: &FieldType, value: &Value) -> bool {
    let text = value.as_str();
    match ty {
        FieldType::Text => text.is_some(),
        FieldType::Int => value.is_i64() || value.is_u64(),
        FieldType::Money => text.is_some_and(|t| money(t, Language::Chinese).is_some()),
        FieldType::Date => text.is_some_and(is_date),
        FieldType::Instant => text.is_some_and(|t| DateTime::parse_from_rfc3339(t).is_ok()),
        FieldType::Bool => value.is_boolean(),
        FieldType::Choice(keys) => text.is_some_and(|t| keys.iter().any(|k| k == t)),
        FieldType::TextList => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
    }
}

fn expected(ty: &FieldType) -> &'static str {
    match ty {
        FieldType::Text => "is no text",
        FieldType::Int => "is no whole number",
        FieldType::Money => "is no sum with at most two places",
        FieldType::Date => "is no date (2026-03-02)",
        FieldType::Instant => "is no moment (RFC 3339 with offset)",
        FieldType::Bool => "is neither true nor false",
        FieldType::Choice(_) => "is none of its choices",
        FieldType::TextList => "is no list of texts",
    }
}

/// A notice of this shape: with everything (`full`), or with every optional field absent.
pub(super) fn view(shape: &Shape, language: &str, full: bool) -> NoticeView {
    let words = if language == "en" { "sample words" } else { "示例文字" };
    let given = |text: &str| full.then(|| text.to_owned());
    NoticeView {
        kind: shape.kind.clone(),
        code: "N00".into(),
        language: language.into(),
        recipient: Recipient { name: words.into(), side: given("patient_side"), role: given("director") },
        committee: Committee {
            name: Localised { zh_cn: "示例县医疗纠纷人民调解委员会".into(), en: "Sample County Mediation Committee".into() },
            phone: "0000-1234567".into(),
            address: words.into(),
        },
        reference: "R".repeat(MAX_REFERENCE_CHARACTERS),
        issued_on: "2026-03-02".into(),
        data: shape.fields.iter().map(|f| (f.name.clone(), value(f, words, full))).collect::<Map<_, _>>(),
        correction_of: given("0-1"),
        paper: false,
    }
}

fn value(field: &Field, words: &str, full: bool) -> Value {
    if field.optional && !full {
        return Value::Null;
    }
    match &field.ty {
        FieldType::Text => json!(words),
        FieldType::Int => json!(if full { 3 } else { 0 }),
        FieldType::Money => json!("86400.50"),
        FieldType::Date => json!("2026-04-14"),
        FieldType::Instant => json!("2026-03-11T09:30:00+08:00"),
        FieldType::Bool => json!(full),
        FieldType::Choice(keys) => json!(if full { keys.first() } else { keys.last() }),
        FieldType::TextList => json!([words, words]),
    }
}
