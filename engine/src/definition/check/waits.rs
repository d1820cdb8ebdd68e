//! Is every wait covered, and does every deadline bring something about?

use super::domain::Place;
use super::model::{Model, list};
use super::{Aim, Question, Room};
use crate::definition::model::{Deadline, Due, Kind};
use crate::guard::Guard;
use std::collections::{BTreeMap, BTreeSet};

/// States in which nobody has work, no clock is sure to run, and nothing else is waited for.
pub(super) fn silent(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        for state in room.model.waiting(kind).collect::<Vec<_>>() {
            let Some(def) = kind.state(state) else { continue };
            if def.work.is_some() || !def.waits_on.is_empty() {
                continue;
            }
            let key = format!("proceedings.{}.states.{state}", kind.name);
            let hint = "say `work`, `waits_on`, or give it a deadline";
            let clocks: Vec<&Deadline> = kind.deadlines.values().filter(|d| d.lives_in.contains(state) && d.runs_while.is_none()).collect();
            let parks = |by: Vec<String>| Some(Aim::Parks { kind: kind.name.clone(), state: state.to_owned(), by });
            if clocks.is_empty() {
                let paused = kind.deadlines.values().any(|d| d.lives_in.contains(state));
                let message = if paused {
                    "a silent wait: nobody has work here, and the only clock may stand still"
                } else {
                    "a silent wait: nobody has work here and no deadline runs"
                };
                room.say(Question::SilentWait, &key, message, hint, parks(Vec::new()));
                continue;
            }
            let unclocked = unclocked(&room.model, kind, state, &clocks);
            if !unclocked.is_empty() {
                let by: Vec<&str> = unclocked.iter().map(String::as_str).collect();
                let message = format!("a silent wait: nobody has work here, and no clock starts when it is entered by {}", list(&by));
                room.say(Question::SilentWait, &key, message, "name the step in `starts`, or say `work`", parks(unclocked.clone()));
            }
        }
    }
    circles(room);
}

/// The steps into a state that start none of its clocks and carry none over.
fn unclocked<'d>(model: &Model<'d>, kind: &'d Kind, state: &str, clocks: &[&Deadline]) -> Vec<String> {
    let always = clocks.iter().any(|c| matches!(c.due, Due::Round { .. } | Due::At(_)));
    if always {
        return Vec::new();
    }
    let starts = |clock: &Deadline, name: &str| match &clock.due {
        Due::After { starts, .. } | Due::Every { starts, .. } => starts.steps.iter().any(|s| s == name),
        _ => true,
    };
    let entering = kind.transitions.values().filter(|t| t.to.as_deref() == Some(state) && model.never(kind, t).is_none());
    let covered = |t: &&crate::definition::Transition| {
        clocks.iter().any(|c| starts(c, &t.name) || (!t.from.is_empty() && t.from.iter().all(|s| c.lives_in.contains(s))))
    };
    entering.filter(|t| !covered(t)).map(|t| t.name.clone()).collect()
}

/// States that only wait for each other.
fn circles(room: &mut Room<'_>) {
    let d = room.definition;
    let mut waits: BTreeMap<(&str, &str), Vec<(&str, &str)>> = BTreeMap::new();
    for kind in d.kinds.values() {
        for state in room.model.waiting(kind) {
            let only = kind.state(state).is_some_and(|s| s.work.is_none() && !s.waits_on.is_empty())
                && !kind.deadlines.values().any(|d| d.lives_in.contains(state) && d.runs_while.is_none());
            if only {
                waits.insert((&kind.name, state), Vec::new());
            }
        }
    }
    let nodes: Vec<(&str, &str)> = waits.keys().copied().collect();
    for (node, targets) in &mut waits {
        let on = d.kinds.get(node.0).and_then(|k| k.state(node.1)).map(|s| s.waits_on.as_slice()).unwrap_or_default();
        targets.extend(nodes.iter().filter(|(kind, _)| on.iter().any(|n| n == kind)));
    }
    for (kind, state) in &nodes {
        // A state is in a circle when it can be reached from itself.
        let mut seen = BTreeSet::new();
        let mut queue = waits[&(*kind, *state)].clone();
        while let Some(next) = queue.pop() {
            if seen.insert(next) {
                queue.extend(&waits[&next]);
            }
        }
        if seen.contains(&(*kind, *state)) {
            let others: Vec<String> = seen.iter().map(|(k, s)| format!("{k}: {s}")).collect();
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            let message = format!("a wait in a circle: {} wait for each other, and nothing else wakes them", list(&others));
            let aim = Aim::Parks { kind: (*kind).to_owned(), state: (*state).to_owned(), by: Vec::new() };
            let key = format!("proceedings.{kind}.states.{state}.waits_on");
            room.say(Question::SilentWait, &key, message, "give one of them `work` or a deadline", Some(aim));
        }
    }
}

/// Deadlines that may fall due and bring about nothing.
pub(super) fn outcomes(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        for deadline in kind.deadlines.values() {
            let Some(def) = &deadline.def else { continue };
            if deadline.fires.is_empty() || def.work.is_some() {
                continue;
            }
            let refusing: Vec<&str> = room
                .model
                .waiting(kind)
                .filter(|s| deadline.lives_in.contains(*s) && kind.state(s).is_some_and(|s| s.work.is_none()))
                .filter(|state| may_refuse(&room.model, kind, deadline, state, false))
                .collect();
            if !refusing.is_empty() {
                let key = format!("proceedings.{}.deadlines.{}", kind.name, deadline.name);
                let message = format!(
                    "what this deadline fires can be refused in {}, and then it has no outcome: there is no work to fall back on",
                    list(&refusing)
                );
                room.say(Question::Outcome, &key, message, "say `work` beside `fires`", None);
            }
        }
    }
}

/// Whether every transition that the deadline fires in this state can be refused at once.
pub fn may_refuse<'d>(model: &Model<'d>, kind: &'d Kind, deadline: &'d Deadline, state: &'d str, defaults: bool) -> bool {
    let firing: Vec<_> = deadline.fires.iter().filter_map(|f| kind.transitions.get(f)).filter(|t| t.from.contains(state)).collect();
    let needy = |t: &&&crate::definition::Transition| {
        let needs = t.def.needs.as_ref().is_some_and(|n| !(n.papers.is_empty() && n.consents.is_empty() && n.seats.is_empty()));
        needs || t.def.within.is_some()
    };
    let conditions: Vec<Vec<&Guard>> = firing.iter().filter(|t| !needy(t)).map(|t| t.when.iter().collect()).collect();
    let Some(first) = firing.first() else { return true };
    let place = Place { defaults, ..model.place(kind, first, Some(state)) };
    conditions.is_empty() || place.can_all_fail(&conditions)
}
