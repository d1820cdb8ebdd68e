//! The pinned texts: each held against its digest, and read when a case is replayed under it.

use super::{Fault, Report, rows};
use crate::calendar::Calendar;
use crate::case::event::Under;
use crate::case::{Policy, sha256};
use crate::definition::{self, Definition};
use crate::store::StoreError;
use crate::store::rows::source;
use sea_orm::{ConnectionTrait, EntityTrait as _, QueryOrder as _};
use std::collections::{BTreeMap, BTreeSet};

/// The texts of one case.
pub(super) struct RulesOf {
    pub definition: Definition,
    pub policy: Policy,
    pub calendar: Calendar,
}

/// Every pinned text, and those that were read.
#[derive(Default)]
pub(super) struct Texts {
    bodies: BTreeMap<String, String>,
    read: BTreeMap<(String, String, String), Option<RulesOf>>,
    missing: BTreeSet<String>,
}

impl Texts {
    /// Holds every pinned text against its digest.
    pub(super) async fn of<C: ConnectionTrait>(db: &C, report: &mut Report) -> Result<Self, StoreError> {
        let mut texts = Self::default();
        for row in rows::all(db, source::Entity::find().order_by_asc(source::Column::Digest)).await? {
            match row {
                Err(row) => report.found(Fault::Unreadable, "source", rows::text(&row, "digest")),
                Ok(row) if sha256(row.body.as_bytes()) != row.digest => report.found(Fault::Pinned, "source", row.digest),
                Ok(row) => drop(texts.bodies.insert(row.digest, row.body)),
            }
        }
        Ok(texts)
    }

    /// Notes which texts a decision rests on; one that is not pinned is found once.
    pub(super) fn needed(&mut self, under: &Under, report: &mut Report) {
        for digest in [&under.definition, &under.policy, &under.calendar] {
            if !self.bodies.contains_key(digest) && self.missing.insert(digest.clone()) {
                report.found(Fault::Pinned, "source", digest.clone());
            }
        }
    }

    /// The rules behind these digests; none when one of them is missing or cannot be read.
    pub(super) fn rules(&mut self, under: &Under, report: &mut Report) -> Option<&RulesOf> {
        let digests = (under.definition.clone(), under.policy.clone(), under.calendar.clone());
        let Self { bodies, read, .. } = self;
        let entry = read.entry(digests).or_insert_with(|| {
            let body = |digest| bodies.get(digest).map(String::as_str);
            let (definition, policy, calendar) = (body(&under.definition)?, body(&under.policy)?, body(&under.calendar)?);
            let rules = read_all(definition, policy, calendar);
            if rules.is_none() {
                report.found(Fault::Pinned, "source", under.definition.clone());
            }
            rules
        });
        entry.as_ref()
    }

    /// The rules that were read before.
    pub(super) fn known(&self, under: &Under) -> Option<&RulesOf> {
        self.read.get(&(under.definition.clone(), under.policy.clone(), under.calendar.clone()))?.as_ref()
    }
}

fn read_all(definition: &str, policy: &str, calendar: &str) -> Option<RulesOf> {
    let definition = definition::load_pinned(definition).ok()?;
    let values: BTreeMap<String, String> = serde_json::from_str(policy).ok()?;
    let policy = Policy::of(&definition, &values).ok()?;
    Some(RulesOf { definition, policy, calendar: Calendar::parse(calendar).ok()? })
}
