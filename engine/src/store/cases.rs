//! Reading and writing a case: the only place where rows become a case and a decision becomes rows.

use super::rows::{case, case_access, case_key, deadline, document, errand, event, letter, number, source, value, word, work};
use super::seal::SealKey;
use super::{StoreError, from_ms, ms};
use crate::case::consequences::{Consequences, Notice, WorkItem};
use crate::case::decide::{Decision, NewValue};
use crate::case::event::{Event, ValueId, What, Who};
use crate::case::{Case, Rules, clock, evolve, sha256};
use crate::ids::{AccountId, CaseId};
use crate::value::{Value, canonical_json};
use chrono::{DateTime, FixedOffset};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

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
}

fn malformed(table: &'static str, row: impl std::fmt::Display, column: &'static str, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Malformed { table, row: row.to_string(), column, problem: problem.to_string() }
}

/// The row of a case, locked against other writers where the database can.
pub(crate) async fn row<C: ConnectionTrait>(db: &C, id: CaseId, lock: bool) -> Result<Option<case::Model>, StoreError> {
    let mut query = case::Entity::find_by_id(id.to_string());
    if lock {
        query = query.lock(LockType::Update);
    }
    Ok(query.one(db).await?)
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
    evolve::fold(&mut case, &log(db, &row.id).await?);
    Ok(Loaded { case, row, key })
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
fn tagged(value: &Value) -> Json {
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

fn value_row(key: &SealKey, case: &str, new: &NewValue) -> value::ActiveModel {
    let name = format!("{case}/{}", new.id);
    let body = serde_json::to_vec(&tagged(&new.value)).unwrap_or_default();
    value::ActiveModel {
        case_id: Set(case.to_owned()),
        seq: Set(as_i64(new.id.0)),
        number: Set(i64::from(new.id.1)),
        salt: Set(new.salt.to_vec()),
        sealed: Set(key.seal(&body, &name)),
    }
}

fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The hash of an event over its canonical bytes and the hash before it.
#[must_use]
pub fn chain(previous: &str, body: &Json) -> Option<String> {
    let canonical = canonical_json(body).ok()?;
    Some(sha256(format!("{previous}\n{canonical}").as_bytes()))
}

/// Keeps a text by its digest, for as long as the database lives.
pub(crate) async fn pin<C: ConnectionTrait>(db: &C, kind: &str, name: &str, digest: &str, body: &str) -> Result<(), StoreError> {
    let row =
        source::ActiveModel { digest: Set(digest.to_owned()), kind: Set(kind.to_owned()), name: Set(name.to_owned()), body: Set(body.to_owned()) };
    source::Entity::insert(row).on_conflict_do_nothing_on([source::Column::Digest]).exec_without_returning(db).await?;
    Ok(())
}

/// The next number of a series.
pub(crate) async fn draw<C: ConnectionTrait>(db: &C, series: &str, year: i32) -> Result<u32, StoreError> {
    let new = number::ActiveModel { series: Set(series.to_owned()), year: Set(i64::from(year)), last: Set(0) };
    number::Entity::insert(new).on_conflict_do_nothing_on([number::Column::Series, number::Column::Year]).exec_without_returning(db).await?;
    number::Entity::update_many()
        .col_expr(number::Column::Last, Expr::col(number::Column::Last).add(1))
        .filter(number::Column::Series.eq(series))
        .filter(number::Column::Year.eq(i64::from(year)))
        .exec(db)
        .await?;
    let row = number::Entity::find_by_id((series.to_owned(), i64::from(year))).one(db).await?;
    u32::try_from(row.map_or(0, |r| r.last)).map_err(|e| malformed("number", format!("{series}/{year}"), "last", e))
}

/// Everything that a commit writes.
pub(crate) struct Commit<'a> {
    pub rules: Rules<'a>,
    pub id: CaseId,
    pub before: Option<&'a case::Model>,
    pub key: &'a SealKey,
    pub master: &'a SealKey,
    pub decision: &'a Decision,
    pub consequences: &'a Consequences,
    pub now: DateTime<FixedOffset>,
}

/// Writes events, values, the case's row, deadlines, work, letters and documents into an open transaction.
///
/// # Returns
/// The case's new row.
pub(crate) async fn write<C: ConnectionTrait>(db: &C, commit: &Commit<'_>) -> Result<case::Model, StoreError> {
    let id = commit.id.to_string();
    let Commit { decision, consequences, key, .. } = commit;
    let mut head = commit.before.map_or_else(|| sha256(id.as_bytes()), |row| row.head.clone());
    let mut events = Vec::with_capacity(decision.events.len());
    for e in &decision.events {
        let body = serde_json::to_value(e).map_err(|x| malformed("event", e.seq, "body", x))?;
        head = chain(&head, &body).ok_or_else(|| malformed("event", e.seq, "body", "it has no canonical form"))?;
        events.push(event::ActiveModel { case_id: Set(id.clone()), seq: Set(as_i64(e.seq)), body: Set(body.to_string()), hash: Set(head.clone()) });
    }
    let row = summary(commit, head);
    if commit.before.is_none() {
        case::Entity::insert(case::ActiveModel::from(row.clone())).exec_without_returning(db).await?;
        let wrapped = commit.master.wrap(key, &id);
        case_key::Entity::insert(case_key::ActiveModel { case_id: Set(id.clone()), wrapped: Set(wrapped) }).exec_without_returning(db).await?;
    } else {
        // The whole row is written anew, so every column but the key counts as changed.
        let mut model = case::ActiveModel::from(row.clone()).reset_all();
        model.id = sea_orm::ActiveValue::Unchanged(id.clone());
        case::Entity::update(model).exec(db).await?;
    }
    event::Entity::insert_many(events).exec_without_returning(db).await?;
    if !decision.values.is_empty() {
        let values = decision.values.iter().map(|v| value_row(key, &id, v));
        value::Entity::insert_many(values).exec_without_returning(db).await?;
    }
    write_deadlines(db, &id, &consequences.deadlines, commit.before.is_some()).await?;
    write_work(db, &id, &consequences.work, commit.before.is_some()).await?;
    write_letters(db, commit, &id).await?;
    write_errands(db, commit, &id).await?;
    for d in &consequences.documents {
        let body = serde_json::to_vec(&d.data).unwrap_or_default();
        let sealed = key.seal(&body, &format!("{id}/{}/{}", d.form, d.seq));
        let new = document::ActiveModel {
            case_id: Set(id.clone()),
            form: Set(d.form.clone()),
            seq: Set(as_i64(d.seq)),
            proceeding: Set(as_i64(d.proceeding.0)),
            sealed: Set(sealed),
        };
        document::Entity::insert(new).exec_without_returning(db).await?;
    }
    let shares = |kind: &str| commit.rules.definition.file.notices.get(kind).is_some_and(|n| n.shares);
    write_access(db, &id, &decision.events, &consequences.notices, shares).await?;
    write_words(db, commit, &id).await?;
    Ok(row)
}

pub(crate) fn summary(commit: &Commit<'_>, head: String) -> case::Model {
    let Commit { decision, consequences, rules, .. } = commit;
    let case = &decision.case;
    let under = rules.under();
    let open = case.is_open();
    let due = consequences.deadlines.iter().filter(|r| !r.fired).filter_map(clock::Run::due_at).min();
    let wakes = consequences.deadlines.iter().filter(|r| !r.is_provisional()).flat_map(|r| {
        let acts = r.acts_at.filter(|_| !r.fired);
        acts.into_iter().chain(r.warnings.iter().map(|(_, at)| *at))
    });
    let assignee = rules.definition.file.seats.keys().find_map(|seat| case.holder(seat, None));
    case::Model {
        id: commit.id.to_string(),
        workflow: case.workflow.clone(),
        definition: under.definition,
        policy: under.policy,
        calendar: under.calendar,
        version: as_i64(case.version),
        head,
        state: case.root().map_or_else(String::new, |r| r.state().to_owned()),
        stage: case.stage(rules.definition).unwrap_or("closed").to_owned(),
        is_open: open,
        assignee: assignee.map(|a: AccountId| a.to_string()),
        opened_at: case.opened_at.map_or(0, |at| ms(at.to_utc())),
        updated_at: ms(commit.now.to_utc()),
        due_at: due.filter(|_| open).map_or(NO_DUE, ms),
        // An ended case may still be waked: by a deadline that lives in a final state.
        acts_at: wakes.min().map(ms),
    }
}

async fn write_deadlines<C: ConnectionTrait>(db: &C, id: &str, runs: &[clock::Run], replace: bool) -> Result<(), StoreError> {
    if replace {
        deadline::Entity::delete_many().filter(deadline::Column::CaseId.eq(id)).exec(db).await?;
    }
    let rows: Vec<deadline::ActiveModel> = runs
        .iter()
        .map(|run| deadline::ActiveModel {
            case_id: Set(id.to_owned()),
            proceeding: Set(as_i64(run.id.proceeding.0)),
            name: Set(run.id.deadline.clone()),
            started_by: Set(as_i64(run.id.started_by)),
            nth: Set(i64::from(run.id.nth)),
            status: Set(run.status().to_owned()),
            last_day: Set(run.last_day().map(|d| d.to_string())),
            acts_at: Set(run.acts_at.filter(|_| !run.fired).map(ms)),
            body: Set(serde_json::to_string(run).unwrap_or_default()),
        })
        .collect();
    if !rows.is_empty() {
        deadline::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn write_work<C: ConnectionTrait>(db: &C, id: &str, items: &[WorkItem], replace: bool) -> Result<(), StoreError> {
    if replace {
        work::Entity::delete_many().filter(work::Column::CaseId.eq(id)).exec(db).await?;
    }
    let rows: Vec<work::ActiveModel> = items
        .iter()
        .map(|item| work::ActiveModel {
            case_id: Set(id.to_owned()),
            key: Set(item.key.clone()),
            proceeding: Set(as_i64(item.proceeding.0)),
            for_role: Set(item.for_.clone()),
            account: Set(item.account.map(|a| a.to_string())),
            due: Set(item.due.map(|d| d.to_string())),
            title: Set(serde_json::to_string(&item.title).unwrap_or_default()),
        })
        .collect();
    if !rows.is_empty() {
        work::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn write_errands<C: ConnectionTrait>(db: &C, commit: &Commit<'_>, id: &str) -> Result<(), StoreError> {
    for errand in &commit.consequences.errands {
        let row = errand::ActiveModel {
            case_id: Set(id.to_owned()),
            id: Set(errand.id.clone()),
            state: Set("waiting".to_owned()),
            attempts: Set(0),
            next_at: Set(ms(commit.now.to_utc())),
            problem: Set(None),
            sealed: Set(commit.key.seal(&serde_json::to_vec(errand).unwrap_or_default(), &errand.id)),
        };
        errand::Entity::insert(row).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Calls a letter back. One that has not left yet never will.
///
/// # Returns
/// Whether it had not left.
async fn call_back<C: ConnectionTrait>(db: &C, case: &str, id: &str) -> Result<bool, StoreError> {
    let cancelled = letter::Entity::update_many()
        .col_expr(letter::Column::State, Expr::value("cancelled"))
        .filter(letter::Column::CaseId.eq(case))
        .filter(letter::Column::Id.eq(id))
        .filter(letter::Column::State.eq("waiting"))
        .exec(db)
        .await?;
    Ok(cancelled.rows_affected > 0)
}

async fn write_letters<C: ConnectionTrait>(db: &C, commit: &Commit<'_>, id: &str) -> Result<(), StoreError> {
    let mut needed = Vec::new();
    for notice in &commit.consequences.notices {
        let never_left = match &notice.recalls {
            Some(recalled) => call_back(db, id, &recalled.id).await? && recalled.only_if_left,
            None => false,
        };
        if !never_left {
            needed.push(notice);
        }
    }
    let rows: Vec<letter::ActiveModel> = needed
        .into_iter()
        .map(|n| letter::ActiveModel {
            case_id: Set(id.to_owned()),
            id: Set(n.id.clone()),
            kind: Set(n.kind.clone()),
            state: Set(if n.recipient.email.is_some() { "waiting" } else { "paper" }.to_owned()),
            attempts: Set(0),
            next_at: Set(ms(commit.now.to_utc())),
            lease: Set(None),
            leased_until: Set(None),
            created_at: Set(ms(commit.now.to_utc())),
            sent_at: Set(None),
            proof: Set(None),
            problem: Set(None),
            sealed: Set(commit.key.seal(&serde_json::to_vec(n).unwrap_or_default(), &n.id)),
        })
        .collect();
    if !rows.is_empty() {
        letter::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

async fn write_access<C: ConnectionTrait>(
    db: &C,
    id: &str,
    events: &[Event],
    told: &[Notice],
    shares: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    let accounts: BTreeSet<AccountId> = events
        .iter()
        .filter_map(|e| match &e.what {
            What::PersonRecorded { account, .. } => *account,
            What::Seated { account, .. } => Some(*account),
            _ => None,
        })
        .chain(told.iter().filter(|n| shares(&n.kind)).filter_map(|n| if let Who::Account(id) = n.recipient.who { Some(id) } else { None }))
        .collect();
    if accounts.is_empty() {
        return Ok(());
    }
    let rows = accounts.iter().map(|a| case_access::ActiveModel { case_id: Set(id.to_owned()), account: Set(a.to_string()) });
    case_access::Entity::insert_many(rows)
        .on_conflict_do_nothing_on([case_access::Column::CaseId, case_access::Column::Account])
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// At most this many words of one value are indexed.
const MAX_WORDS: usize = 400;

/// The keyed hashes under which a text is found: whole words, and groups of two characters for scripts without spaces.
#[must_use]
pub fn word_hashes(master: &SealKey, text: &str) -> BTreeSet<String> {
    let key = master.derive("search");
    let mut words = BTreeSet::new();
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        if word.is_ascii() {
            words.insert(word.to_owned());
        } else {
            let chars: Vec<char> = word.chars().collect();
            if chars.len() == 1 {
                words.insert(word.to_owned());
            }
            words.extend(chars.windows(2).map(|pair| pair.iter().collect::<String>()));
        }
    }
    let short = |word: &String| key.mac(word.as_bytes())[..12].iter().map(|b| format!("{b:02x}")).collect::<String>();
    words.iter().take(MAX_WORDS).map(short).collect()
}

async fn write_words<C: ConnectionTrait>(db: &C, commit: &Commit<'_>, id: &str) -> Result<(), StoreError> {
    let mut hashes = BTreeSet::new();
    for e in &commit.decision.events {
        let (What::Recorded { set } | What::PersonRecorded { set, .. }) = &e.what else { continue };
        for one in set.iter().filter(|s| !matches!(s.name.as_str(), "identity" | "phone" | "email")) {
            if let Some(Value::Text(text)) = commit.decision.case.vault.get(&one.value) {
                hashes.extend(word_hashes(commit.master, text));
            }
        }
    }
    if hashes.is_empty() {
        return Ok(());
    }
    let rows = hashes.iter().map(|hash| word::ActiveModel { case_id: Set(id.to_owned()), hash: Set(hash.clone()) });
    word::Entity::insert_many(rows).on_conflict_do_nothing_on([word::Column::CaseId, word::Column::Hash]).exec_without_returning(db).await?;
    Ok(())
}

/// When a case was last written.
#[must_use]
pub fn updated_at(row: &case::Model) -> DateTime<chrono::Utc> {
    from_ms(row.updated_at)
}
