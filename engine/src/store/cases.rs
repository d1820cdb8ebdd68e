//! Reading a case: the only place where rows become a case. `decided` is the way back.

use super::rows::{case, case_key, deadline, event, source, value, work};
use super::seal::SealKey;
use super::{StoreError, from_ms};
use crate::case::event::{Event, ValueId};
use crate::case::{Case, evolve, sha256};
use crate::ids::CaseId;
use crate::value::{Value, canonical_json};
use chrono::DateTime;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Sorts after every date: cases without a deadline come last in a worklist.
pub const NO_DUE: i64 = i64::MAX;

/// A case and its row.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The case.
    pub case: Case,
    /// Its row.
    pub row: case::Model,
    /// Its key; none when it was erased.
    pub key: Option<SealKey>,
    /// Its rows of deadlines and of work, as they are stored: only what differs from them is written.
    pub(crate) derived: Derived,
}

/// What follows from a case, as rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Derived {
    pub deadlines: Vec<deadline::Model>,
    pub work: Vec<work::Model>,
}

pub(super) fn malformed(table: &'static str, row: impl std::fmt::Display, column: &'static str, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Malformed { table, row: row.to_string(), column, problem: problem.to_string() }
}

/// The row of a case.
pub(crate) async fn row<C: ConnectionTrait>(db: &C, id: CaseId) -> Result<Option<case::Model>, StoreError> {
    Ok(case::Entity::find_by_id(id.to_string()).one(db).await?)
}

/// The key of a case.
pub(crate) async fn key<C: ConnectionTrait>(db: &C, master: &SealKey, id: &str) -> Result<Option<SealKey>, StoreError> {
    match case_key::Entity::find_by_id(id).one(db).await? {
        Some(row) => Ok(Some(master.unwrap_key(&row.wrapped, id)?)),
        None => Ok(None),
    }
}

/// Folds a case from its events and values. Decides nothing.
pub(crate) async fn load<C: ConnectionTrait>(db: &C, master: &SealKey, row: case::Model) -> Result<Loaded, StoreError> {
    let key = key(db, master, &row.id).await?;
    let id: CaseId = row.id.parse().map_err(|e| malformed("case_row", &row.id, "id", e))?;
    let mut case = Case { id: Some(id), ..Case::default() };
    if let Some(key) = &key {
        for v in value::Entity::find().filter(value::Column::CaseId.eq(&row.id)).all(db).await? {
            let (id, value) = open_value(key, &v)?;
            case.vault.insert(id, value);
        }
    }
    // A commit that lands between these reads is not half seen: events beyond the row's version wait for its next reading.
    let mut events = log(db, &row.id).await?;
    events.retain(|e| i64::try_from(e.seq).is_ok_and(|seq| seq <= row.version));
    evolve::fold(&mut case, &events);
    let deadlines = deadline::Entity::find().filter(deadline::Column::CaseId.eq(&row.id)).all(db).await?;
    let work = work::Entity::find().filter(work::Column::CaseId.eq(&row.id)).all(db).await?;
    Ok(Loaded { case, row, key, derived: Derived { deadlines, work } })
}

/// All events of a case, in order.
pub(crate) async fn log<C: ConnectionTrait>(db: &C, id: &str) -> Result<Vec<Event>, StoreError> {
    let rows = event::Entity::find().filter(event::Column::CaseId.eq(id)).order_by_asc(event::Column::Seq).all(db).await?;
    rows.iter().map(read_event).collect()
}

/// An event out of its row.
pub(crate) fn read_event(row: &event::Model) -> Result<Event, StoreError> {
    let event: Event = serde_json::from_str(&row.body).map_err(|e| malformed("event", format!("{}/{}", row.case_id, row.seq), "body", e))?;
    if i64::try_from(event.seq) != Ok(row.seq) {
        return Err(malformed("event", format!("{}/{}", row.case_id, row.seq), "seq", "the body has another number"));
    }
    Ok(event)
}

/// Values are kept with their type, so that a date is not read back as a text.
pub(super) fn tagged(value: &Value) -> Json {
    let tag = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Decimal(_) => "decimal",
        Value::Money(_) => "money",
        Value::Date(_) => "date",
        Value::Instant(_) => "instant",
        Value::Text(_) => "text",
        Value::List(items) => return json!({"list": items.iter().map(tagged).collect::<Vec<_>>()}),
        Value::Record(fields) => return json!({"record": fields.iter().map(|(k, v)| (k.clone(), tagged(v))).collect::<BTreeMap<_, _>>()}),
    };
    json!({ tag: value.to_json() })
}

fn untagged(json: &Json) -> Option<Value> {
    use crate::value::Type;
    let (tag, inner) = json.as_object()?.iter().next()?;
    let ty = match tag.as_str() {
        "null" => return Some(Value::Null),
        "list" => return inner.as_array()?.iter().map(untagged).collect::<Option<Vec<_>>>().map(Value::List),
        "record" => {
            return inner.as_object()?.iter().map(|(k, v)| Some((k.clone(), untagged(v)?))).collect::<Option<BTreeMap<_, _>>>().map(Value::Record);
        }
        "bool" => Type::Bool,
        "int" => Type::Int,
        "decimal" => Type::Decimal,
        "money" => Type::Money,
        "date" => Type::Date,
        "instant" => Type::Instant,
        "text" => return inner.as_str().map(|t| Value::Text(t.to_owned())),
        _ => return None,
    };
    Value::from_json(inner, &ty, "").ok()
}

pub(crate) fn open_value(key: &SealKey, row: &value::Model) -> Result<(ValueId, Value), StoreError> {
    let name = format!("{}/{}.{}", row.case_id, row.seq, row.number);
    let bytes = key.open(&row.sealed, &name)?;
    let json: Json = serde_json::from_slice(&bytes).map_err(|e| malformed("case_value", &name, "sealed", e))?;
    let value = untagged(&json).ok_or_else(|| malformed("case_value", &name, "sealed", "no value that is known"))?;
    let seq = u64::try_from(row.seq).map_err(|e| malformed("case_value", &name, "seq", e))?;
    let number = u32::try_from(row.number).map_err(|e| malformed("case_value", &name, "number", e))?;
    Ok((ValueId(seq, number), value))
}

pub(crate) fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The hash of an event over its canonical bytes and the hash before it.
#[must_use]
pub fn chain(previous: &str, body: &Json) -> Option<String> {
    Some(chain_canonical(previous, &canonical_json(body).ok()?))
}

/// The same, over what is canonical already.
pub(super) fn chain_canonical(previous: &str, canonical: &str) -> String {
    sha256(format!("{previous}\n{canonical}").as_bytes())
}

/// Keeps a text by its digest, for as long as the database lives.
pub(crate) async fn pin<C: ConnectionTrait>(db: &C, kind: &str, name: &str, digest: &str, body: &str) -> Result<(), StoreError> {
    let row =
        source::ActiveModel { digest: Set(digest.to_owned()), kind: Set(kind.to_owned()), name: Set(name.to_owned()), body: Set(body.to_owned()) };
    source::Entity::insert(row).on_conflict_do_nothing_on([source::Column::Digest]).exec_without_returning(db).await?;
    Ok(())
}

/// When a case was last written.
#[must_use]
pub fn updated_at(row: &case::Model) -> DateTime<chrono::Utc> {
    from_ms(row.updated_at)
}
