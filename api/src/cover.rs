//! The guarantee that nobody waits in silence, looked at from outside: proceedings that are open, and have neither work
//! for a person nor a running clock, nor wait on one that has.
//!
//! The engine refuses a commit that would leave one. Here the *rows* are looked at, as people and clock find them, so
//! that what went wrong later shows as well. Each case is looked at again when it was written; a few at each scrape.

use crate::state::App;
use heyi_engine::case::consequences::uncovered;
use heyi_engine::ids::{CaseId, ProceedingId};
use heyi_engine::store::StoreError;
use heyi_engine::submit::SubmitError;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Cases that are looked at in one go.
const MOST: u64 = 100;

/// What is known so far.
#[derive(Debug, Default)]
pub struct Cover(Mutex<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    /// The last case that was looked at: when it was written, and its id.
    up_to: (i64, String),
    /// How many proceedings of a case wait for nobody.
    uncovered: BTreeMap<String, u64>,
}

/// What is known of all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Proceedings that wait for nobody.
    pub uncovered: u64,
    /// Cases that were written and not looked at yet.
    pub unseen: u64,
}

impl Cover {
    fn known(&self) -> Known {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Looks at the cases that were written since the last time, and again at those in which something was wrong.
///
/// # Errors
/// When the database fails.
pub async fn look(app: &App) -> Result<Seen, SubmitError> {
    let store = app.engine.store();
    let mut known = app.cover.known();
    let again: Vec<String> = known.uncovered.keys().cloned().collect();
    let new = store.written_after(&known.up_to, MOST).await?;
    if let Some(last) = new.last() {
        known.up_to = last.clone();
    }
    for id in again.into_iter().chain(new.into_iter().map(|(_, id)| id)) {
        let waiting = match id.parse() {
            Ok(case) => in_case(app, case).await,
            Err(_) => Ok(0),
        };
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(SubmitError::NoCase) => 0,
            Err(SubmitError::Store(error @ StoreError::Database(_))) => return Err(error.into()),
            // Nobody and nothing can wake a case that cannot be read.
            Err(error) => {
                tracing::error!(case = %id, %error, "a case cannot be read");
                1
            }
        };
        if waiting == 0 {
            known.uncovered.remove(&id);
        } else {
            tracing::error!(case = %id, proceedings = waiting, "somebody waits, and nobody and nothing is there to wake the case");
            known.uncovered.insert(id, waiting);
        }
    }
    let unseen = store.count_written_after(&known.up_to).await?;
    let seen = Seen { uncovered: known.uncovered.values().sum(), unseen };
    *app.cover.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    Ok(seen)
}

async fn in_case(app: &App, id: CaseId) -> Result<u64, SubmitError> {
    let (loaded, rules) = app.engine.read(id).await?;
    if !loaded.case.is_open() {
        return Ok(0);
    }
    let store = app.engine.store();
    let work = store.work(id).await?.into_iter().filter(|w| !w.key.starts_with("serve:")).map(|w| w.proceeding);
    let running = |status: &str| matches!(status, "running" | "held");
    let clocks = store.deadlines(id).await?.into_iter().filter(|d| d.acts_at.is_some() && running(&d.status)).map(|d| d.proceeding);
    let covered = work.chain(clocks).filter_map(|p| u64::try_from(p).ok()).map(ProceedingId).collect();
    Ok(u64::try_from(uncovered(rules.rules(), &loaded.case, covered).len()).unwrap_or(u64::MAX))
}
