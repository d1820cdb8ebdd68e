//! What belongs to a case's events: values against their commitments, files against their digests, and letters, documents,
//! errands, packages and answers against the events that they came from.

use super::chain::Chain;
use super::rows::{self, number, text};
use super::{Fault, OfCase};
use crate::case::consequences::{Errand, Notice};
use crate::case::event::{Event, Moved, Set, Told, ValueId, What};
use crate::case::sha256;
use crate::store::rows::{answer, case_access, case_key, document, errand, export, file, letter, value};
use crate::store::seal::SealKey;
use crate::store::{StoreError, cases};
use crate::value::{Value, canonical_json};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use std::collections::{BTreeMap, BTreeSet};

/// What is needed to look at a case.
pub(super) struct Look<'a, C> {
    pub db: &'a C,
    pub case: &'a str,
    pub key: SealKey,
    pub chain: &'a Chain,
}

/// The case's key.
pub(super) async fn key<C: ConnectionTrait>(db: &C, master: &SealKey, case: &str, found: &mut OfCase<'_>) -> Result<Option<SealKey>, StoreError> {
    // No rule of this release lets a key go, so one that is not there was taken away.
    match rows::all(db, case_key::Entity::find_by_id(case)).await?.pop() {
        None => found.found(Fault::Missing, None, "case_key", None),
        Some(Err(_)) => found.found(Fault::Unreadable, None, "case_key", None),
        Some(Ok(row)) => match master.unwrap_key(&row.wrapped, case) {
            Ok(key) => return Ok(Some(key)),
            Err(_) => found.found(Fault::Sealed, None, "case_key", None),
        },
    }
    Ok(None)
}

/// The values that an event sets.
fn sets(event: &Event) -> &[Set] {
    match &event.what {
        What::Recorded { set }
        | What::PersonRecorded { set, .. }
        | What::Moved(Moved { set, .. })
        | What::Sent { set, .. }
        | What::Undone { set, .. }
        | What::Corrected { set, .. } => set,
        _ => &[],
    }
}

/// The letters that an event tells, by their number in it; whether each must be there. One that is called back before it
/// left needs no letter that says so.
pub(super) fn tells(event: &Event) -> Vec<(&Told, bool)> {
    match &event.what {
        What::Moved(Moved { tells, .. }) | What::DeadlineWarned { tells, .. } | What::DeadlineFired { tells, .. } => {
            tells.iter().map(|told| (told, true)).collect()
        }
        What::Undone { recalls, .. } => recalls.iter().map(|r| (&r.tells, false)).collect(),
        What::Corrected { recalls, .. } => recalls.iter().map(|r| (&r.tells, true)).collect(),
        _ => Vec::new(),
    }
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl<C: ConnectionTrait> Look<'_, C> {
    /// Opens every value, and holds it against what its event committed to.
    ///
    /// # Returns
    /// The values.
    pub(super) async fn values(&self, found: &mut OfCase<'_>) -> Result<BTreeMap<ValueId, Value>, StoreError> {
        let mut committed: BTreeMap<ValueId, &str> =
            self.chain.events.iter().flat_map(sets).map(|set| (set.value, set.commitment.as_str())).collect();
        let mut vault = BTreeMap::new();
        for row in rows::all(self.db, value::Entity::find().filter(value::Column::CaseId.eq(self.case))).await? {
            let row = match row {
                Ok(row) => row,
                Err(row) => {
                    found.found(Fault::Unreadable, number(&row, "seq"), "case_value", None);
                    continue;
                }
            };
            if !self.chain.holds(row.seq) {
                continue;
            }
            let at = format!("{}.{}", row.seq, row.number);
            let id = u64::try_from(row.seq).ok().zip(u32::try_from(row.number).ok()).map(|(seq, number)| ValueId(seq, number));
            let Some((id, commitment)) = id.and_then(|id| Some((id, committed.remove(&id)?))) else {
                found.found(Fault::Unexplained, row.seq, "case_value", at);
                continue;
            };
            let Ok((_, value)) = cases::open_value(&self.key, &row) else {
                found.found(Fault::Sealed, row.seq, "case_value", at);
                continue;
            };
            found.report.values += 1;
            let mut bytes = row.salt;
            bytes.extend(canonical_json(&value.to_json()).unwrap_or_default().into_bytes());
            if sha256(&bytes) != commitment {
                found.found(Fault::Differs, row.seq, "case_value", at);
            }
            vault.insert(id, value);
        }
        for id in committed.into_keys() {
            found.found(Fault::Missing, signed(id.0), "case_value", id.to_string());
        }
        Ok(vault)
    }

    /// Opens every file and hashes it. One at a time, as each may be large.
    pub(super) async fn files(&self, found: &mut OfCase<'_>) -> Result<(), StoreError> {
        let mut told: BTreeMap<String, (&Event, &str, u64, &str)> = BTreeMap::new();
        for event in &self.chain.events {
            if let What::FileAttached { file, sha256, size, media_type, .. } = &event.what {
                told.insert(file.to_string(), (event, sha256, *size, media_type));
            }
        }
        let ids =
            file::Entity::find().select_only().column(file::Column::Id).filter(file::Column::CaseId.eq(self.case)).order_by_asc(file::Column::Id);
        for id in rows::texts(self.db, ids, "id").await? {
            let Some(id) = id else {
                found.found(Fault::Unreadable, None, "file", None);
                continue;
            };
            let Some((event, sha256, size, media_type)) = told.remove(&id) else {
                if self.chain.broken_at.is_none() {
                    found.found(Fault::Unexplained, None, "file", id);
                }
                continue;
            };
            let seq = signed(event.seq);
            let query = file::Entity::find_by_id((self.case.to_owned(), id.clone()));
            let Some(Ok(row)) = rows::all(self.db, query).await?.pop() else {
                found.found(Fault::Unreadable, seq, "file", id);
                continue;
            };
            if row.sha256 != sha256 || u64::try_from(row.size) != Ok(size) || row.media_type != media_type {
                found.found(Fault::Differs, seq, "file", id.clone());
            }
            let name = format!("{}/{id}", self.case);
            let opened = self.key.open(&row.sealed, &name);
            if self.key.open(&row.sealed_name, &format!("{name}/name")).is_err() || opened.is_err() {
                found.found(Fault::Sealed, seq, "file", id);
            } else if opened.is_ok_and(|bytes| crate::case::sha256(&bytes) != sha256) {
                found.found(Fault::Differs, seq, "file", id);
            }
            found.report.files += 1;
        }
        for (id, (event, ..)) in told {
            found.found(Fault::Missing, signed(event.seq), "file", id);
        }
        Ok(())
    }

    /// Every letter came from an event that tells it, and every event that tells has its letters.
    pub(super) async fn letters(&self, found: &mut OfCase<'_>) -> Result<(), StoreError> {
        let mut told: BTreeMap<String, (i64, &str, bool)> = BTreeMap::new();
        for event in &self.chain.events {
            for (index, (one, must)) in tells(event).into_iter().enumerate() {
                told.insert(format!("{}.{}.{index}", self.case, event.seq), (signed(event.seq), &one.notice, must));
            }
        }
        for row in rows::all(self.db, letter::Entity::find().filter(letter::Column::CaseId.eq(self.case))).await? {
            let row = match row {
                Ok(row) => row,
                Err(row) => {
                    if let Some(id) = text(&row, "id") {
                        told.remove(&id);
                    }
                    found.found(Fault::Unreadable, None, "letter", None);
                    continue;
                }
            };
            let Some((seq, kind, _)) = told.remove(&row.id) else {
                if self.chain.broken_at.is_none() {
                    found.found(Fault::Unexplained, None, "letter", row.id);
                }
                continue;
            };
            let opened = self.key.open(&row.sealed, &row.id).ok().and_then(|bytes| serde_json::from_slice::<Notice>(&bytes).ok());
            match opened {
                None => found.found(Fault::Sealed, seq, "letter", row.id),
                Some(notice) if notice.id != row.id || notice.kind != kind || row.kind != kind => found.found(Fault::Differs, seq, "letter", row.id),
                Some(_) => {}
            }
        }
        for (id, (seq, _, must)) in told {
            if must {
                found.found(Fault::Missing, seq, "letter", id);
            }
        }
        Ok(())
    }

    /// Every document was produced by an event, and every event that produces one has it.
    pub(super) async fn documents(&self, found: &mut OfCase<'_>) -> Result<(), StoreError> {
        let mut told: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for event in &self.chain.events {
            if let What::Moved(Moved { forms, proceeding, .. }) = &event.what {
                told.extend(forms.iter().map(|form| ((form.clone(), signed(event.seq)), signed(proceeding.0))));
            }
        }
        for row in rows::all(self.db, document::Entity::find().filter(document::Column::CaseId.eq(self.case))).await? {
            let row = match row {
                Ok(row) => row,
                Err(row) => {
                    found.found(Fault::Unreadable, number(&row, "seq"), "document", text(&row, "form"));
                    continue;
                }
            };
            if !self.chain.holds(row.seq) {
                continue;
            }
            match told.remove(&(row.form.clone(), row.seq)) {
                None => found.found(Fault::Unexplained, row.seq, "document", row.form),
                Some(proceeding) if proceeding != row.proceeding => found.found(Fault::Differs, row.seq, "document", row.form),
                Some(_) if self.key.open(&row.sealed, &format!("{}/{}/{}", self.case, row.form, row.seq)).is_err() => {
                    found.found(Fault::Sealed, row.seq, "document", row.form);
                }
                Some(_) => {}
            }
        }
        for ((form, seq), _) in told {
            found.found(Fault::Missing, seq, "document", form);
        }
        Ok(())
    }

    /// Every command for another case was sent by an event, and says what that event says.
    pub(super) async fn errands(&self, found: &mut OfCase<'_>) -> Result<(), StoreError> {
        let sent = |event: &&Event| matches!(event.what, What::Sent { .. });
        let mut told: BTreeMap<String, &Event> =
            self.chain.events.iter().filter(sent).map(|event| (format!("{}.{}", self.case, event.seq), event)).collect();
        for row in rows::all(self.db, errand::Entity::find().filter(errand::Column::CaseId.eq(self.case))).await? {
            let Ok(row) = row else {
                found.found(Fault::Unreadable, None, "errand", None);
                continue;
            };
            let Some(event) = told.remove(&row.id) else {
                if self.chain.broken_at.is_none() {
                    found.found(Fault::Unexplained, None, "errand", row.id);
                }
                continue;
            };
            let seq = signed(event.seq);
            let opened = self.key.open(&row.sealed, &row.id).ok().and_then(|bytes| serde_json::from_slice::<Errand>(&bytes).ok());
            match (opened, &event.what) {
                (None, _) => found.found(Fault::Sealed, seq, "errand", row.id),
                (Some(errand), What::Sent { to, action, proceeding, .. })
                    if errand.to != *to || errand.action != *action || errand.proceeding != *proceeding =>
                {
                    found.found(Fault::Differs, seq, "errand", row.id);
                }
                _ => {}
            }
        }
        for (id, event) in told {
            found.found(Fault::Missing, signed(event.seq), "errand", id);
        }
        Ok(())
    }

    /// Every package has the digest that was noted; every answer to a request names events that are there.
    pub(super) async fn packages_and_answers(&self, found: &mut OfCase<'_>) -> Result<(), StoreError> {
        let last = signed(self.chain.events.len() as u64);
        let beyond = |seq: i64| self.chain.broken_at.is_none() && seq > last;
        let ids = export::Entity::find().select_only().column(export::Column::Id).filter(export::Column::CaseId.eq(self.case));
        for id in rows::texts(self.db, ids.order_by_asc(export::Column::Id), "id").await? {
            let Some(id) = id else {
                found.found(Fault::Unreadable, None, "export", None);
                continue;
            };
            let query = export::Entity::find_by_id((self.case.to_owned(), id.clone()));
            let Some(Ok(row)) = rows::all(self.db, query).await?.pop() else {
                found.found(Fault::Unreadable, None, "export", id);
                continue;
            };
            match self.key.open(&row.sealed, &format!("{}/export/{id}", self.case)) {
                Err(_) => found.found(Fault::Sealed, None, "export", id),
                Ok(bytes) if sha256(&bytes) != row.sha256 => found.found(Fault::Differs, None, "export", id),
                Ok(_) if beyond(row.version) => found.found(Fault::Unexplained, row.version, "export", id),
                Ok(_) => {}
            }
        }
        for row in rows::all(self.db, answer::Entity::find().filter(answer::Column::CaseId.eq(self.case))).await? {
            match row {
                Err(_) => found.found(Fault::Unreadable, None, "answer", None),
                Ok(row) if row.first_seq < 1 || row.last_seq < row.first_seq || beyond(row.last_seq) => {
                    found.found(Fault::Unexplained, row.last_seq, "answer", None);
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Only accounts that an event has let in may see the case. `shared` says whether a notice of that event does so.
    pub(super) async fn access(&self, shared: impl Fn(&Event, &str) -> bool, found: &mut OfCase<'_>) -> Result<(), StoreError> {
        use crate::case::event::Who;
        let mut must = BTreeSet::new();
        let mut may = BTreeSet::new();
        for event in &self.chain.events {
            match &event.what {
                What::PersonRecorded { account: Some(account), .. } | What::Seated { account, .. } => {
                    must.insert(account.to_string());
                }
                _ => {}
            }
            for (told, _) in tells(event) {
                if let Who::Account(account) = told.who
                    && shared(event, &told.notice)
                {
                    may.insert(account.to_string());
                }
            }
        }
        for row in rows::all(self.db, case_access::Entity::find().filter(case_access::Column::CaseId.eq(self.case))).await? {
            match row {
                Err(_) => found.found(Fault::Unreadable, None, "case_access", None),
                Ok(row) if !must.remove(&row.account) && !may.contains(&row.account) => {
                    found.found(Fault::Unexplained, None, "case_access", row.account);
                }
                Ok(_) => {}
            }
        }
        for account in must {
            found.found(Fault::Missing, None, "case_access", account);
        }
        Ok(())
    }
}
