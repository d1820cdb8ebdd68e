//! The chain of one case: its events by number, each hash computed anew from the one before.

use super::rows::{self, number};
use super::{Fault, OfCase};
use crate::case::event::{Event, What};
use crate::case::sha256;
use crate::store::rows::{case, event};
use crate::store::{StoreError, cases, ms};
use crate::value::canonical_json;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::Value as Json;

/// What a case's events say, as far as they can be believed.
pub(super) struct Chain {
    /// The events before the first bad one.
    pub events: Vec<Event>,
    /// Number of the first bad event: what belongs to it or to a later one cannot be judged.
    pub broken_at: Option<i64>,
}

impl Chain {
    /// Whether what an event of this number says can be believed.
    pub fn holds(&self, seq: i64) -> bool {
        self.broken_at.is_none_or(|broken| seq < broken)
    }
}

/// Walks a chain, and names the first bad entry.
pub(super) async fn walk<C: ConnectionTrait>(db: &C, row: &case::Model, found: &mut OfCase<'_>) -> Result<Chain, StoreError> {
    let query = event::Entity::find().filter(event::Column::CaseId.eq(&row.id)).order_by_asc(event::Column::Seq);
    let mut head = sha256(row.id.as_bytes());
    let mut chain = Chain { events: Vec::new(), broken_at: None };
    for (stored, expected) in rows::all(db, query).await?.into_iter().zip(1i64..) {
        match entry(&stored, expected, &head) {
            Ok((event, hash)) => {
                chain.events.push(event);
                head = hash;
            }
            Err((fault, seq)) => {
                found.found(fault, seq, "event", None);
                chain.broken_at = Some(seq.min(expected));
                return Ok(chain);
            }
        }
    }
    found.report.events += chain.events.len() as u64;
    let last = i64::try_from(chain.events.len()).unwrap_or(i64::MAX);
    if row.version > last {
        found.found(Fault::Gap, last + 1, "event", None);
        chain.broken_at = Some(last + 1);
    } else if row.version < last {
        found.found(Fault::Head, row.version.max(0) + 1, "case_row", "version".to_owned());
        chain.broken_at = Some(row.version.max(0) + 1);
    } else if row.head != head {
        found.found(Fault::Head, last, "case_row", "head".to_owned());
    }
    if chain.broken_at.is_none() {
        summary(row, &chain.events, found);
    }
    Ok(chain)
}

/// One entry: its number, its hash, its form.
fn entry(stored: &rows::Row<event::Entity>, expected: i64, head: &str) -> Result<(Event, String), (Fault, i64)> {
    let stored = stored.as_ref().map_err(|row| (Fault::Unreadable, number(row, "seq").unwrap_or(expected)))?;
    if stored.seq != expected {
        return Err((Fault::Gap, expected.min(stored.seq)));
    }
    let unreadable = (Fault::Unreadable, expected);
    let body: Json = serde_json::from_str(&stored.body).map_err(|_| unreadable)?;
    let canonical = canonical_json(&body).map_err(|_| unreadable)?;
    let hash = cases::chain(head, &body).ok_or(unreadable)?;
    // Canonical JSON is what was stored with its keys sorted: blanks, or a key twice, would change the length and nothing else.
    if hash != stored.hash || canonical.len() != stored.body.len() {
        return Err((Fault::Hash, expected));
    }
    let event: Event = serde_json::from_value(body).map_err(|_| unreadable)?;
    if i64::try_from(event.seq) != Ok(expected) {
        return Err((Fault::Gap, expected));
    }
    Ok((event, hash))
}

/// What the case's row repeats of its first and last event.
fn summary(row: &case::Model, events: &[Event], found: &mut OfCase<'_>) {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return found.found(Fault::Gap, 1, "event", None);
    };
    let opened = matches!(&first.what, What::CaseOpened { workflow } if *workflow == row.workflow);
    let columns = [
        ("workflow", opened),
        ("definition", row.definition == last.under.definition),
        ("policy", row.policy == last.under.policy),
        ("calendar", row.calendar == last.under.calendar),
        ("opened_at", row.opened_at == ms(first.recorded_at.to_utc())),
        ("updated_at", row.updated_at == ms(last.recorded_at.to_utc())),
    ];
    for (column, right) in columns {
        if !right {
            found.found(Fault::Differs, last.seq.try_into().ok(), "case_row", column.to_owned());
        }
    }
}
