//! What is held in memory between commands: folded cases, the accounts, the last numbers. All of it is only ever believed
//! together with the version that it was read at; the database refuses what rests on an older one.

use super::SubmitError;
use crate::case::Account;
use crate::ids::{AccountId, CaseId};
use crate::store::Store;
use crate::store::cases::Loaded;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Folded cases that are held at most.
const CASES_MAX: usize = 512;
/// Idempotency keys that are remembered at most.
const KEYS_MAX: usize = 8_192;

/// Everyone with an account, and how often accounts had changed.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    pub changes: i64,
    pub all: Arc<Vec<Account>>,
    read_at: Instant,
}

/// How long accounts are believed without a look at the database, where nothing is written that rests on them.
const LATELY: Duration = Duration::from_secs(1);

/// An idempotency key that was used: case, account, key.
pub(super) type UsedKey = (CaseId, AccountId, String);

#[derive(Default)]
pub(super) struct Held {
    cases: Mutex<HashMap<CaseId, Arc<Loaded>>>,
    accounts: Mutex<Option<Accounts>>,
    numbers: Mutex<HashMap<(String, i64), i64>>,
    keys: Mutex<HashSet<UsedKey>>,
}

impl Held {
    pub fn case(&self, id: CaseId) -> Option<Arc<Loaded>> {
        self.cases.lock().ok()?.get(&id).cloned()
    }

    pub fn keep_case(&self, id: CaseId, loaded: Arc<Loaded>) {
        let Ok(mut cases) = self.cases.lock() else { return };
        // Who reads late must not put back what a writer has replaced.
        if cases.get(&id).is_some_and(|known| known.row.version > loaded.row.version) {
            return;
        }
        if cases.len() >= CASES_MAX && !cases.contains_key(&id) {
            let victim = cases.keys().next().copied();
            victim.map(|victim| cases.remove(&victim));
        }
        cases.insert(id, loaded);
    }

    pub fn forget_case(&self, id: CaseId) {
        if let Ok(mut cases) = self.cases.lock() {
            cases.remove(&id);
        }
    }

    /// Forgets what may have changed under somebody else's hands.
    pub fn forget_common(&self) {
        if let Ok(mut accounts) = self.accounts.lock() {
            *accounts = None;
        }
        if let Ok(mut numbers) = self.numbers.lock() {
            numbers.clear();
        }
    }

    pub async fn accounts(&self, store: &Store) -> Result<Accounts, SubmitError> {
        if let Some(known) = self.accounts.lock().ok().and_then(|held| held.clone()) {
            return Ok(known);
        }
        let (changes, all) = store.accounts_as_of().await?;
        let read = Accounts { changes, all: Arc::new(all), read_at: Instant::now() };
        if let Ok(mut accounts) = self.accounts.lock() {
            *accounts = Some(read.clone());
        }
        Ok(read)
    }

    /// Accounts for what is only shown: as they stood a moment ago.
    pub async fn accounts_lately(&self, store: &Store) -> Result<Accounts, SubmitError> {
        if let Ok(mut held) = self.accounts.lock() {
            held.take_if(|known| known.read_at.elapsed() > LATELY);
        }
        self.accounts(store).await
    }

    pub async fn number(&self, store: &Store, series: &str, year: i64) -> Result<i64, SubmitError> {
        let key = (series.to_owned(), year);
        if let Some(last) = self.numbers.lock().ok().and_then(|held| held.get(&key).copied()) {
            return Ok(last);
        }
        let last = store.last_number(series, year).await?;
        if let Ok(mut numbers) = self.numbers.lock() {
            numbers.insert(key, last);
        }
        Ok(last)
    }

    pub fn keep_number(&self, series: String, year: i64, last: i64) {
        if let Ok(mut numbers) = self.numbers.lock() {
            numbers.insert((series, year), last);
        }
    }

    /// Notes that a key was used.
    pub fn keep_key(&self, key: UsedKey) {
        let Ok(mut keys) = self.keys.lock() else { return };
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key);
    }

    /// Whether a key was used lately: then its answer is there, and nothing needs to be decided.
    pub fn knows_key(&self, key: &UsedKey) -> bool {
        self.keys.lock().is_ok_and(|keys| keys.contains(key))
    }
}
