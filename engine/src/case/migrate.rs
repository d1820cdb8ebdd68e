//! A running case moves to a newer version of its workflow: what would change, and why it may not.
//!
//! A case stays under the version that it was opened with until somebody decides otherwise. What the newer file's
//! `migrates` does not name keeps its kind and state; what has no place there any more is stranded, and then nothing moves.

use super::consequences::{self, Consequences};
use super::decide::Decision;
use super::draft::Draft;
use super::event::{Acted, What};
use super::refusal::Refusals;
use super::{Case, Outside, Policy, Rules, clock};
use crate::definition::Definition;
use crate::ids::{LegalTime, ProceedingId};
use chrono::NaiveDate;
use serde::Serialize;
use std::collections::BTreeMap;

/// What moving would do to a case.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// States that change their name.
    pub states: Vec<StateChange>,
    /// Last days that change: deadline, before, after.
    pub deadlines: Vec<DeadlineChange>,
    /// Why the case cannot move; empty when it can.
    pub stranded: Vec<String>,
}

/// A state with another name in the newer version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateChange {
    /// The proceeding.
    pub proceeding: ProceedingId,
    /// Its kind.
    pub kind: String,
    /// The state now.
    pub from: String,
    /// The state there.
    pub to: String,
}

/// A last day that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadlineChange {
    /// The proceeding.
    pub proceeding: ProceedingId,
    /// The deadline.
    pub deadline: String,
    /// The last day now; none where it does not run.
    pub from: Option<NaiveDate>,
    /// The last day there.
    pub to: Option<NaiveDate>,
}

/// The committee's parameters under the newer version: its defaults, with what was frozen for the case laid over them
/// where the parameter is still there.
#[must_use]
pub fn policy(frozen: &Policy, to: &Definition) -> Policy {
    let mut values = to.policy.clone();
    for (name, slot) in &mut values {
        if let Some(value) = frozen.get(name).filter(|value| std::mem::discriminant(*value) == std::mem::discriminant(slot)) {
            slot.clone_from(value);
        }
    }
    Policy::new(values)
}

/// What moving a case would do.
#[must_use]
pub fn plan(from: Rules<'_>, to: Rules<'_>, case: &Case, outside: &Outside<'_>) -> Plan {
    let (states, mut stranded) = states(to.definition, case);
    if !stranded.is_empty() {
        return Plan { states, stranded, ..Plan::default() };
    }
    let before = days(from, case);
    match decide(to, case, outside, &states, from.definition.digest.clone()) {
        Err(refusals) => {
            stranded.extend(refusals.iter().map(|r| format!("{:?}: {}", r.code, r.what)));
            Plan { states, stranded, ..Plan::default() }
        }
        Ok((decision, follows)) => {
            let parked = consequences::parked(to, &decision.case, &follows);
            stranded.extend(parked.iter().map(|id| {
                let p = &decision.case.proceedings[id];
                format!("{id} ({} {}) would wait with nobody and nothing to wake it", p.kind, p.state())
            }));
            let after = days(to, &decision.case);
            let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            let changed = keys.into_iter().filter_map(|key| {
                let (from, to) = (before.get(&key).copied().flatten(), after.get(&key).copied().flatten());
                (from != to).then_some(DeadlineChange { proceeding: key.0, deadline: key.1, from, to })
            });
            Plan { deadlines: changed.collect(), states, stranded }
        }
    }
}

/// Decides the move.
///
/// # Errors
/// Why a rule of the newer version forbids it.
pub fn decide(to: Rules<'_>, case: &Case, outside: &Outside<'_>, states: &[StateChange], left: String) -> Result<(Decision, Consequences), Refusals> {
    let mut draft = Draft::new(to, case.clone(), outside);
    let states = states.iter().map(|s| (s.proceeding, s.to.clone())).collect();
    let acted = Acted { as_: outside.me.role.clone(), ..Acted::engine(super::event::Who::Account(outside.me.id)) };
    draft.push(What::Migrated { from: left, states }, acted, LegalTime::At(outside.now), None);
    draft.settle()?;
    draft.uphold()?;
    let decision = draft.finish();
    let follows = consequences::consequences(to, &decision.case, &decision.events, outside.accounts);
    Ok((decision, follows))
}

/// The states that change their name, and the proceedings that have no place in the newer version.
fn states(to: &Definition, case: &Case) -> (Vec<StateChange>, Vec<String>) {
    let mut changes = Vec::new();
    let mut stranded = Vec::new();
    for p in case.proceedings.values().filter(|p| p.is_open()) {
        let Some(kind) = to.kinds.get(&p.kind) else {
            stranded.push(format!("{} is a {}, which the newer version does not know", p.id, p.kind));
            continue;
        };
        let named = to.file.migrates.states.get(&format!("{}.{}", p.kind, p.state()));
        let state = named.map_or(p.state(), String::as_str);
        match kind.state(state) {
            None => {
                stranded.push(format!("{} is in {}.{}, which the newer version does not know and `migrates` does not name", p.id, p.kind, p.state()))
            }
            Some(def) if def.final_.is_some() => stranded.push(format!("{} would end by moving to {}.{state}", p.id, p.kind)),
            Some(def) if p.round.is_some() && def.assents.is_none() => {
                stranded.push(format!("{} holds a round of assents in {}.{}, and {state} holds none there", p.id, p.kind, p.state()));
            }
            Some(_) if state != p.state() => {
                changes.push(StateChange { proceeding: p.id, kind: p.kind.clone(), from: p.state().to_owned(), to: state.to_owned() });
            }
            Some(_) => {}
        }
    }
    (changes, stranded)
}

fn days(rules: Rules<'_>, case: &Case) -> BTreeMap<(ProceedingId, String), Option<NaiveDate>> {
    clock::runs(rules, case).into_iter().filter(|r| !r.fired).map(|r| ((r.id.proceeding, r.id.deadline.clone()), r.last_day())).collect()
}
