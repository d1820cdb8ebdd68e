//! Replay: a history is folded, what follows from it is computed, and every stored row beside it must say the same.

use super::belongings::Look;
use super::rows::{self, text};
use super::texts::Texts;
use super::{Fault, OfCase};
use crate::case::consequences::{Consequences, consequences};
use crate::case::event::{Event, ValueId, What};
use crate::case::{Case, Rules, clock, evolve};
use crate::store::decided::{summary, word_hashes};
use crate::store::rows::{case, deadline, word, work};
use crate::store::seal::SealKey;
use crate::store::{StoreError, ms};
use crate::value::Value;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// Replays a case whose chain holds and whose values were opened.
pub(super) async fn compare<C: ConnectionTrait>(
    look: &Look<'_, C>,
    master: &SealKey,
    row: &case::Model,
    vault: BTreeMap<ValueId, Value>,
    texts: &mut Texts,
    found: &mut OfCase<'_>,
) -> Result<(), StoreError> {
    let events = &look.chain.events;
    let (Ok(id), Some(last)) = (row.id.parse(), events.last()) else {
        found.found(Fault::Unreadable, None, "case_row", "id".to_owned());
        return Ok(());
    };
    // Every text that an event was decided under, so that what follows can ask for any of them.
    let readable = events.iter().map(|event| &event.under).filter(|under| texts.rules(under, found.report).is_none()).count() == 0;
    let Some(known) = texts.known(&last.under).filter(|_| readable) else { return Ok(()) };
    let rules = Rules { definition: &known.definition, policy: &known.policy, calendar: &known.calendar };
    let mut case = Case { id: Some(id), vault: vault.into_iter().collect(), ..Case::default() };
    evolve::fold(&mut case, events);
    let follows = consequences(rules, &case, &[], &[]);
    words(look, master, &case, found).await?;
    deadlines(look, &follows.deadlines, found).await?;
    work_items(look, &follows, found).await?;
    columns(row, &summary(rules, id, &case, &follows, row.head.clone(), last.recorded_at), last, found);
    let shared = |event: &Event, notice: &str| {
        texts.known(&event.under).is_some_and(|texts| texts.definition.file.notices.get(notice).is_some_and(|notice| notice.shares))
    };
    look.access(shared, found).await
}

/// The case's row, column by column. Those that repeat an event were looked at with the chain.
fn columns(stored: &case::Model, right: &case::Model, last: &Event, found: &mut OfCase<'_>) {
    let columns = [
        ("state", stored.state == right.state),
        ("stage", stored.stage == right.stage),
        ("is_open", stored.is_open == right.is_open),
        ("assignee", stored.assignee == right.assignee),
        ("due_at", stored.due_at == right.due_at),
        ("acts_at", stored.acts_at == right.acts_at),
    ];
    for (column, same) in columns {
        if !same {
            found.found(Fault::Replay, i64::try_from(last.seq).ok(), "case_row", column.to_owned());
        }
    }
}

/// Whether a stored explanation says nothing that is not so. A later release may explain more than what was stored.
fn says_no_other(stored: &Json, right: &Json) -> bool {
    match (stored, right) {
        (Json::Object(stored), Json::Object(right)) => stored.iter().all(|(key, value)| right.get(key).is_some_and(|r| says_no_other(value, r))),
        (Json::Array(stored), Json::Array(right)) => stored.len() == right.len() && stored.iter().zip(right).all(|(s, r)| says_no_other(s, r)),
        _ => stored == right,
    }
}

async fn deadlines<C: ConnectionTrait>(look: &Look<'_, C>, runs: &[clock::Run], found: &mut OfCase<'_>) -> Result<(), StoreError> {
    type Key = (i64, String, i64, i64);
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut right: BTreeMap<Key, &clock::Run> = BTreeMap::new();
    for run in runs {
        let id = &run.id;
        right.insert((signed(id.proceeding.0), id.deadline.clone(), signed(id.started_by), i64::from(id.nth)), run);
    }
    for row in rows::all(look.db, deadline::Entity::find().filter(deadline::Column::CaseId.eq(look.case))).await? {
        let Ok(row) = row else {
            found.found(Fault::Unreadable, None, "deadline", None);
            continue;
        };
        let Some(run) = right.remove(&(row.proceeding, row.name.clone(), row.started_by, row.nth)) else {
            found.found(Fault::Replay, row.started_by, "deadline", row.name);
            continue;
        };
        let explained = serde_json::from_str(&row.body).ok().zip(serde_json::to_value(run).ok());
        let same = row.status == run.status()
            && row.last_day == run.last_day().map(|day| day.to_string())
            && row.acts_at == run.acts_at.filter(|_| !run.fired).map(ms)
            && explained.is_some_and(|(stored, right)| says_no_other(&stored, &right));
        if !same {
            found.found(Fault::Replay, row.started_by, "deadline", row.name);
        }
    }
    for (_, name, started_by, _) in right.into_keys() {
        found.found(Fault::Missing, started_by, "deadline", name);
    }
    Ok(())
}

async fn work_items<C: ConnectionTrait>(look: &Look<'_, C>, follows: &Consequences, found: &mut OfCase<'_>) -> Result<(), StoreError> {
    let mut right: BTreeMap<&str, _> = follows.work.iter().map(|item| (item.key.as_str(), item)).collect();
    for row in rows::all(look.db, work::Entity::find().filter(work::Column::CaseId.eq(look.case))).await? {
        let row = match row {
            Ok(row) => row,
            Err(row) => {
                found.found(Fault::Unreadable, None, "work", text(&row, "key"));
                continue;
            }
        };
        let same = right.remove(row.key.as_str()).is_some_and(|item| {
            i64::try_from(item.proceeding.0) == Ok(row.proceeding)
                && row.for_role == item.for_
                && row.account == item.account.map(|account| account.to_string())
                && row.due == item.due.map(|day| day.to_string())
                && serde_json::from_str(&row.title).is_ok_and(|title: Json| serde_json::to_value(&item.title).is_ok_and(|right| title == right))
        });
        if !same {
            found.found(Fault::Replay, None, "work", row.key);
        }
    }
    for key in right.into_keys() {
        found.found(Fault::Missing, None, "work", key.to_owned());
    }
    Ok(())
}

/// The words under which the case is found: those of every text that was ever recorded, as the one door writes them.
async fn words<C: ConnectionTrait>(look: &Look<'_, C>, master: &SealKey, case: &Case, found: &mut OfCase<'_>) -> Result<(), StoreError> {
    let mut right = BTreeSet::new();
    for event in &look.chain.events {
        let (What::Recorded { set } | What::PersonRecorded { set, .. }) = &event.what else { continue };
        for one in set.iter().filter(|set| !matches!(set.name.as_str(), "identity" | "phone" | "email")) {
            if let Some(Value::Text(text)) = case.vault.get(&one.value) {
                right.extend(word_hashes(master, text));
            }
        }
    }
    for row in rows::all(look.db, word::Entity::find().filter(word::Column::CaseId.eq(look.case))).await? {
        match row {
            Err(_) => found.found(Fault::Unreadable, None, "word", None),
            Ok(row) if !right.remove(&row.hash) => found.found(Fault::Replay, None, "word", row.hash),
            Ok(_) => {}
        }
    }
    for hash in right {
        found.found(Fault::Missing, None, "word", hash);
    }
    Ok(())
}
