//! What scenarios take of a workflow, and what none of them takes: transitions, deadlines, warnings, exits, pauses.
//!
//! Counted from what happened in plays, so that a step that a scenario only tries and is refused counts for nothing.

use super::play::Played;
use crate::case::event::{Moved, What};
use crate::definition::Definition;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What plays have taken so far.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    transitions: BTreeSet<String>,
    deadlines: BTreeSet<String>,
    warnings: BTreeSet<String>,
    exits: BTreeSet<String>,
    ran: BTreeSet<String>,
    stood_still: BTreeSet<String>,
}

/// How much of a workflow its scenarios take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Steps of the procedure, as `kind.transition`.
    pub transitions: Share,
    /// Deadlines that fell due and did what they are for.
    pub deadlines: Share,
    /// Warnings given, each mark for itself.
    pub warnings: Share,
    /// Final states reached, as `kind.state`.
    pub exits: Share,
    /// Conditions under which a deadline stands still, seen both ways.
    pub pauses: Share,
}

impl Report {
    /// The parts by name, in the order in which they are told.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, &Share); 5] {
        [
            ("transitions", &self.transitions),
            ("deadlines", &self.deadlines),
            ("warnings", &self.warnings),
            ("exits", &self.exits),
            ("pauses", &self.pauses),
        ]
    }
}

/// A part of a whole, with what is missing by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many are taken.
    pub taken: usize,
    /// How many there are.
    pub all: usize,
    /// What is not taken, in file order.
    pub missing: Vec<String>,
}

impl Share {
    fn of(all: impl IntoIterator<Item = (String, Result<(), &'static str>)>) -> Self {
        let mut share = Self { taken: 0, all: 0, missing: Vec::new() };
        for (name, taken) in all {
            share.all += 1;
            match taken {
                Ok(()) => share.taken += 1,
                Err("") => share.missing.push(name),
                Err(why) => share.missing.push(format!("{name} ({why})")),
            }
        }
        share
    }

    /// Per cent with one decimal, rounded down: 100.0 means all of it. Of nothing it is all.
    #[must_use]
    pub fn percent(&self) -> String {
        let tenths = (self.taken * 1000).checked_div(self.all).unwrap_or(1000);
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

impl Coverage {
    /// Looks at what happened.
    pub fn watch(&mut self, played: &Played) {
        for event in &played.events {
            match &event.what {
                What::Moved(Moved { kind, transition, to, final_, .. }) => {
                    self.transitions.insert(format!("{kind}.{transition}"));
                    if final_.is_some() {
                        self.exits.insert(format!("{kind}.{to}"));
                    }
                }
                What::DeadlineFired { run, .. } => drop(self.deadlines.insert(run.deadline.clone())),
                What::DeadlineWarned { run, before, .. } => drop(self.warnings.insert(warning(&run.deadline, before))),
                _ => {}
            }
        }
        for run in &played.deadlines {
            if !run.pauses.is_empty() {
                self.stood_still.insert(run.id.deadline.clone());
            }
            if !run.is_paused() {
                self.ran.insert(run.id.deadline.clone());
            }
        }
    }

    /// Adds what other plays have taken.
    pub fn join(&mut self, other: &Self) {
        let pairs = [
            (&mut self.transitions, &other.transitions),
            (&mut self.deadlines, &other.deadlines),
            (&mut self.warnings, &other.warnings),
            (&mut self.exits, &other.exits),
            (&mut self.ran, &other.ran),
            (&mut self.stood_still, &other.stood_still),
        ];
        for (own, more) in pairs {
            own.extend(more.iter().cloned());
        }
    }

    /// Holds it against the workflow.
    #[must_use]
    pub fn report(&self, definition: &Definition) -> Report {
        let found = |set: &BTreeSet<String>, name: String| {
            let taken = if set.contains(&name) { Ok(()) } else { Err("") };
            (name, taken)
        };
        let kinds = || definition.kinds.values();
        let transitions = kinds().flat_map(|k| k.transitions.keys().map(|t| format!("{}.{t}", k.name)));
        let exits = kinds().flat_map(|k| k.def.states.iter().filter(|(_, s)| s.final_.is_some()).map(|(s, _)| format!("{}.{s}", k.name)));
        let deadlines = || kinds().flat_map(|k| k.deadlines.values());
        let marks = |name: &str| {
            let warns = kinds().find_map(|k| k.def.deadlines.get(name)?.warns.as_ref());
            warns.map(|w| w.before.iter().map(|mark| warning(name, mark)).collect::<Vec<_>>()).unwrap_or_default()
        };
        Report {
            transitions: Share::of(transitions.map(|t| found(&self.transitions, t))),
            deadlines: Share::of(deadlines().map(|d| found(&self.deadlines, d.name.clone()))),
            warnings: Share::of(deadlines().flat_map(|d| marks(&d.name)).map(|w| found(&self.warnings, w))),
            exits: Share::of(exits.map(|e| found(&self.exits, e))),
            pauses: Share::of(deadlines().filter(|d| d.runs_while.is_some()).map(|d| {
                let taken = match (self.ran.contains(&d.name), self.stood_still.contains(&d.name)) {
                    (true, true) => Ok(()),
                    (true, false) => Err("never stood still"),
                    (false, true) => Err("never ran"),
                    (false, false) => Err(""),
                };
                (d.name.clone(), taken)
            })),
        }
    }
}

fn warning(deadline: &str, mark: &str) -> String {
    format!("{deadline}, {mark} before")
}

/// Scenarios that play the same sequence of transitions, in groups by name: all but one of a group add nothing.
#[must_use]
pub fn alike(plays: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let mut by_sequence: BTreeMap<&[String], Vec<String>> = BTreeMap::new();
    for (name, sequence) in plays {
        by_sequence.entry(sequence).or_default().push(name.clone());
    }
    by_sequence.into_values().filter(|names| names.len() > 1).collect()
}

/// The transitions of a play, in order, as `kind.transition`.
pub fn sequence(played: &Played) -> impl Iterator<Item = String> {
    played.events.iter().filter_map(|e| if let What::Moved(m) = &e.what { Some(format!("{}.{}", m.kind, m.transition)) } else { None })
}
