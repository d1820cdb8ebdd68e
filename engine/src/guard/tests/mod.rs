//! Guards by example. Here are the names and values that the examples use.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod answers;
mod limits;
mod refusals;

use indexmap::IndexMap;
use serde_json::json;

use super::*;
use crate::value::{Field, Type};

fn record(fields: Vec<(&str, Type)>) -> Type {
    let field = |(name, ty): (&str, Type)| (name.to_owned(), Field { ty, optional: true });
    Type::Record(fields.into_iter().map(field).collect())
}

fn list(item: Type) -> Type {
    Type::List(Box::new(item))
}

fn states() -> Type {
    Type::Enum(["commissioned", "supplement", "done"].map(str::to_owned).into())
}

/// The names of the examples, and the types to read their values by.
fn types() -> Type {
    let obligation = record(vec![
        ("state", states()),
        ("open", Type::Bool),
        ("amount", Type::Money),
        ("count", Type::Int),
        ("share", Type::Decimal),
        ("due_on", Type::Date),
    ]);
    let facts = record(vec![
        ("claim", Type::Money),
        ("agreed", Type::Money),
        ("accepted", Type::Bool),
        ("referred", Type::Bool),
        ("kind", Type::Enum(vec!["injury".into(), "death".into()])),
        ("note", Type::Text),
        ("patients", Type::Int),
        ("share", Type::Decimal),
        ("occurred_on", Type::Date),
        ("filed_on", Type::Date),
        ("filed_at", Type::Instant),
        ("applicant", Type::Person),
        ("heir", Type::Person),
        ("clerk", Type::Staff),
        ("parties", list(Type::Person)),
        ("tags", list(Type::Text)),
        ("amounts", list(Type::Money)),
    ]);
    let assents = record(vec![("all", Type::Bool), ("lapsed", Type::Bool)]);
    record(vec![
        ("facts", facts),
        ("obligation", list(obligation.clone())),
        ("this", record(vec![("parent", obligation), ("groups", list(list(Type::Int)))])),
        ("assents", assents),
    ])
}

fn names() -> IndexMap<String, GuardType> {
    let Type::Record(roots) = types() else { panic!("the examples are a record") };
    roots.iter().map(|(name, field)| (name.clone(), GuardType::from(&field.ty))).collect()
}

fn scope(held: serde_json::Value) -> Value {
    Value::from_json(&held, &types(), "").unwrap()
}

/// The case that most examples ask about.
fn usual() -> Value {
    scope(json!({
        "facts": {
            "claim": "86000.10", "agreed": "50000.00", "accepted": true, "kind": "injury",
            "note": "张三 'x'", "patients": 2, "share": "0.35", "occurred_on": "2026-02-27",
            "filed_on": "2026-03-02", "filed_at": "2026-03-02T09:30:00+08:00", "applicant": "p1",
            "clerk": "a1", "parties": ["p1", "p2"], "tags": [], "amounts": ["1.00", "2.50"],
        },
        "obligation": [
            {"state": "done", "open": false, "amount": "100.50", "count": 1, "share": "0.5"},
            {"state": "commissioned", "open": true, "amount": "99.50", "count": 2, "share": "0.25"},
        ],
        "this": {"parent": {"state": "done"}, "groups": [[1, 2], [3]]},
    }))
}

fn answer(source: &str, want: GuardType, held: &Value) -> Outcome {
    let guard = check(source, &names(), want).unwrap_or_else(|found| panic!("{source}: {found:?}"));
    guard.eval(held)
}

fn holds(source: &str) -> Option<bool> {
    match answer(source, GuardType::Bool, &usual()) {
        Outcome::Known(Value::Bool(value)) => Some(value),
        Outcome::Unknown { .. } => None,
        other => panic!("{source}: {other:?}"),
    }
}

fn unknown(missing: &[&str], reason: Reason) -> Outcome {
    Outcome::Unknown { missing: missing.iter().map(|&name| name.to_owned()).collect(), reason }
}

/// Each mistake as the text that it marks, its message and its hint.
fn mistakes(source: &str, want: GuardType) -> Vec<(String, String, String)> {
    let found = check(source, &names(), want).expect_err(source);
    let shown = |mistake: GuardMistake| {
        let marked = source.get(mistake.span).expect("spans lie in the source");
        (marked.to_owned(), mistake.message, mistake.hint.unwrap_or_default())
    };
    found.into_iter().map(shown).collect()
}

/// The source has one mistake, which marks this and says so.
fn refused(source: &str, marked: &str, says: &str) {
    let found = mistakes(source, GuardType::Bool);
    let [(own, message, hint)] = found.as_slice() else { panic!("{source}: {found:?}") };
    assert_eq!(own, marked, "{source}: {message}; {hint}");
    let text = format!("{message}; {hint}");
    assert!(text.contains(says), "{source}: {text}");
}
