//! A decision as rows: what a commit adds to a batch.

use super::batch::{Batch, deadline_key};
use super::cases::{Derived, Loaded, NO_DUE, as_i64, chain_canonical, malformed, tagged};
use super::rows::{case, deadline, work};
use super::seal::SealKey;
use super::{StoreError, ms};
use crate::case::consequences::{Consequences, Notice, WorkItem};
use crate::case::decide::Decision;
use crate::case::event::{Event, What, Who};
use crate::case::{Case, Rules, clock, sha256};
use crate::ids::{AccountId, CaseId};
use crate::value::{Value, canonical_json};
use chrono::{DateTime, FixedOffset};
use std::collections::BTreeSet;

/// A decision, and what follows from it.
pub(crate) struct Commit<'a> {
    pub rules: Rules<'a>,
    pub id: CaseId,
    pub key: &'a SealKey,
    pub master: &'a SealKey,
    pub decision: Decision,
    pub consequences: &'a Consequences,
    pub now: DateTime<FixedOffset>,
}

impl Batch {
    /// Adds events with their chain, values, the case's row, deadlines, work, letters, errands and documents.
    ///
    /// # Returns
    /// The case as it will be.
    ///
    /// # Errors
    /// When an event has no canonical form; then nothing was added.
    pub fn add(&mut self, commit: Commit<'_>, before: Option<&Loaded>) -> Result<Loaded, StoreError> {
        let id = commit.id.to_string();
        let mut head = before.map_or_else(|| sha256(id.as_bytes()), |loaded| loaded.row.head.clone());
        let mut chained = Vec::with_capacity(commit.decision.events.len());
        for e in &commit.decision.events {
            let body = serde_json::to_value(e).map_err(|x| malformed("event", e.seq, "body", x))?;
            let body = canonical_json(&body).map_err(|x| malformed("event", e.seq, "body", x))?;
            head = chain_canonical(&head, &body);
            chained.push((e.seq, body, head.clone()));
        }
        for (seq, body, hash) in chained {
            self.events.push([(&id).into(), as_i64(seq).into(), body.into(), hash.into()]);
        }
        for v in &commit.decision.values {
            let body = serde_json::to_vec(&tagged(&v.value)).unwrap_or_default();
            let sealed = commit.key.seal(&body, &format!("{id}/{}", v.id));
            self.values.push([(&id).into(), as_i64(v.id.0).into(), i64::from(v.id.1).into(), v.salt.to_vec().into(), sealed.into()]);
        }
        if before.is_none() {
            self.keys.push([(&id).into(), commit.master.wrap(commit.key, &id).into()]);
        }
        let row = summary(commit.rules, commit.id, &commit.decision.case, commit.consequences, head, commit.now);
        self.cases.insert(id.clone(), row.clone());
        let none = Derived::default();
        let stored = before.map_or(&none, |loaded| &loaded.derived);
        let derived = Derived { deadlines: deadline_rows(&id, &commit.consequences.deadlines), work: work_rows(&id, &commit.consequences.work) };
        changes(&mut self.deadlines, &stored.deadlines, &derived.deadlines, deadline_key);
        changes(&mut self.work, &stored.work, &derived.work, |row| (row.case_id.clone(), row.key.clone()));
        self.letters(&commit, &id);
        for errand in &commit.consequences.errands {
            let sealed = commit.key.seal(&serde_json::to_vec(errand).unwrap_or_default(), &errand.id);
            self.errands.push([(&id).into(), (&errand.id).into(), "waiting".into(), 0.into(), ms(commit.now.to_utc()).into(), sealed.into()]);
        }
        for d in &commit.consequences.documents {
            let sealed = commit.key.seal(&serde_json::to_vec(&d.data).unwrap_or_default(), &format!("{id}/{}/{}", d.form, d.seq));
            self.documents.push([(&id).into(), (&d.form).into(), as_i64(d.seq).into(), as_i64(d.proceeding.0).into(), sealed.into()]);
        }
        let shares = |kind: &str| commit.rules.definition.file.notices.get(kind).is_some_and(|n| n.shares);
        for account in who_may_see(&commit.decision.events, &commit.consequences.notices, shares) {
            self.access.push([(&id).into(), account.to_string().into()]);
        }
        for hash in words(&commit) {
            self.words.push([(&id).into(), hash.into()]);
        }
        Ok(Loaded { case: commit.decision.case, row, key: Some(commit.key.clone()), derived })
    }

    fn letters(&mut self, commit: &Commit<'_>, id: &str) {
        let now = ms(commit.now.to_utc());
        for n in &commit.consequences.notices {
            let state = if n.recipient.email.is_some() { "waiting" } else { "paper" };
            let sealed = commit.key.seal(&serde_json::to_vec(n).unwrap_or_default(), &n.id);
            let needed_if_left = n.recalls.as_ref().filter(|r| r.only_if_left).map(|r| r.id.clone());
            self.letters.push([
                id.into(),
                (&n.id).into(),
                (&n.kind).into(),
                state.into(),
                0.into(),
                now.into(),
                now.into(),
                sealed.into(),
                needed_if_left.into(),
            ]);
            self.recalls.extend(n.recalls.iter().map(|r| (id.to_owned(), r.id.clone())));
        }
    }
}

/// Notes what differs from what is stored.
fn changes<K: Ord, R: Clone + PartialEq>(out: &mut std::collections::BTreeMap<K, Option<R>>, stored: &[R], wanted: &[R], key: impl Fn(&R) -> K) {
    let old: std::collections::BTreeMap<K, &R> = stored.iter().map(|row| (key(row), row)).collect();
    for row in wanted {
        let key = key(row);
        if old.get(&key).is_none_or(|known| *known != row) {
            out.insert(key, Some(row.clone()));
        }
    }
    let wanted: BTreeSet<K> = wanted.iter().map(&key).collect();
    for gone in old.into_keys().filter(|k| !wanted.contains(k)) {
        out.insert(gone, None);
    }
}

/// A case in one row.
pub(crate) fn summary(
    rules: Rules<'_>,
    id: CaseId,
    case: &Case,
    consequences: &Consequences,
    head: String,
    now: DateTime<FixedOffset>,
) -> case::Model {
    let under = rules.under();
    let open = case.is_open();
    let due = consequences.deadlines.iter().filter(|r| !r.fired).filter_map(clock::Run::due_at).min();
    let wakes = consequences.deadlines.iter().filter(|r| !r.is_provisional()).flat_map(|r| {
        let acts = r.acts_at.filter(|_| !r.fired);
        acts.into_iter().chain(r.warnings.iter().map(|(_, at)| *at))
    });
    let assignee = rules.definition.file.seats.keys().find_map(|seat| case.holder(seat, None));
    case::Model {
        id: id.to_string(),
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
        updated_at: ms(now.to_utc()),
        due_at: due.filter(|_| open).map_or(NO_DUE, ms),
        // An ended case may still be waked: by a deadline that lives in a final state.
        acts_at: wakes.min().map(ms),
    }
}

fn deadline_rows(id: &str, runs: &[clock::Run]) -> Vec<deadline::Model> {
    let row = |run: &clock::Run| deadline::Model {
        case_id: id.to_owned(),
        proceeding: as_i64(run.id.proceeding.0),
        name: run.id.deadline.clone(),
        started_by: as_i64(run.id.started_by),
        nth: i64::from(run.id.nth),
        status: run.status().to_owned(),
        last_day: run.last_day().map(|d| d.to_string()),
        acts_at: run.acts_at.filter(|_| !run.fired).map(ms),
        body: serde_json::to_string(run).unwrap_or_default(),
    };
    runs.iter().map(row).collect()
}

fn work_rows(id: &str, items: &[WorkItem]) -> Vec<work::Model> {
    let row = |item: &WorkItem| work::Model {
        case_id: id.to_owned(),
        key: item.key.clone(),
        proceeding: as_i64(item.proceeding.0),
        for_role: item.for_.clone(),
        account: item.account.map(|a| a.to_string()),
        due: item.due.map(|d| d.to_string()),
        title: serde_json::to_string(&item.title).unwrap_or_default(),
    };
    items.iter().map(row).collect()
}

fn who_may_see(events: &[Event], told: &[Notice], shares: impl Fn(&str) -> bool) -> BTreeSet<AccountId> {
    events
        .iter()
        .filter_map(|e| match &e.what {
            What::PersonRecorded { account, .. } => *account,
            What::Seated { account, .. } => Some(*account),
            _ => None,
        })
        .chain(told.iter().filter(|n| shares(&n.kind)).filter_map(|n| if let Who::Account(id) = n.recipient.who { Some(id) } else { None }))
        .collect()
}

fn words(commit: &Commit<'_>) -> BTreeSet<String> {
    let mut hashes = BTreeSet::new();
    for e in &commit.decision.events {
        let (What::Recorded { set } | What::PersonRecorded { set, .. }) = &e.what else { continue };
        for one in set.iter().filter(|s| !matches!(s.name.as_str(), "identity" | "phone" | "email")) {
            if let Some(Value::Text(text)) = commit.decision.case.vault.get(&one.value) {
                hashes.extend(word_hashes(commit.master, text));
            }
        }
    }
    hashes
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
