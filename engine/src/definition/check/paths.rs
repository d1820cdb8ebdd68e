//! Can every state be reached and left, and can every transition fire?

use super::model::{Model, list};
use super::{Aim, Question, Room};
use crate::definition::model::{Kind, Step, StepOn};
use std::collections::BTreeSet;

/// States to which no path leads.
pub(super) fn unreachable(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        for state in kind.def.states.keys() {
            if room.model.is_reached(kind, state) {
                continue;
            }
            let entering: Vec<&str> = kind.transitions.values().filter(|t| t.to.as_ref() == Some(state)).map(|t| t.name.as_str()).collect();
            let message = if entering.is_empty() {
                "no path leads to this state: no transition enters it".to_owned()
            } else {
                format!("no path leads to this state: {} would enter it and can never fire", list(&entering))
            };
            let key = format!("proceedings.{}.states.{state}", kind.name);
            let aim = Aim::Unreached { kind: kind.name.clone(), state: state.clone() };
            room.say(Question::Unreachable, &key, message, "let a transition lead here, or leave the state out", Some(aim));
        }
    }
}

/// Transitions that nothing fires, or whose conditions never hold; and steps that would always be refused.
pub(super) fn never_fires(room: &mut Room<'_>) {
    let d = room.definition;
    for (kind, transition) in room.model.transitions() {
        let key = format!("proceedings.{}.transitions.{}", kind.name, transition.name);
        let aim = || Some(Aim::Closed { kind: kind.name.clone(), transition: transition.name.clone() });
        let by_clock = kind.deadlines.values().any(|d| d.fires.contains(&transition.name));
        let opened = transition.opens && (kind.def.root || room.model.by_opening(kind));
        if transition.def.by.is_empty() && transition.auto.is_none() && !by_clock && !room.model.by_step(kind, transition) && !opened {
            let hint = "say `by`, `auto`, or name it in a `then` step or a deadline";
            room.say(Question::NeverFires, &key, "nobody and nothing fires this transition", hint, aim());
        } else if transition.opens && transition.auto.is_some() && !opened {
            let message = "this transition can never fire: `auto` asks a proceeding that is there already";
            room.say(Question::NeverFires, &key, message, "open it by `by`, or by an `open` step", aim());
        } else if let Some(why) = room.model.never(kind, transition) {
            let message = format!("this transition can never fire: {why}");
            room.say(Question::NeverFires, &key, message, "", aim());
        }
        for (i, step) in transition.then.iter().enumerate() {
            let Step::Fire { transition: fired, on: StepOn::Each(other, states) } = step else { continue };
            let Some(target) = d.kinds.get(other) else { continue };
            let Some(fired) = target.transitions.get(fired) else { continue };
            let all: Vec<&str> = room.model.waiting(target).collect();
            let wanted: Vec<&str> = all.iter().copied().filter(|s| states.is_empty() || states.iter().any(|n| n == s)).collect();
            let unfit: Vec<&str> = wanted.into_iter().filter(|s| !fired.from.contains(*s)).collect();
            if !unfit.is_empty() {
                let message =
                    format!("`{}` does not lead from {}, so while a `{other}` is there this whole step would be refused", fired.name, list(&unfit));
                room.say(Question::NeverFires, &format!("{key}.then[{i}]"), message, "say `in: […]` with the states that it leaves", None);
            }
        }
    }
    for kind in d.kinds.values() {
        for deadline in kind.deadlines.values() {
            for (i, name) in deadline.fires.iter().enumerate() {
                let Some(fired) = kind.transitions.get(name) else { continue };
                if fired.opens || fired.from.is_disjoint(&deadline.lives_in) {
                    let lives: Vec<&str> = deadline.lives_in.iter().map(String::as_str).collect();
                    let key = format!("proceedings.{}.deadlines.{}.fires[{i}]", kind.name, deadline.name);
                    let message = format!("this deadline runs in {} and `{name}` leads from none of them", list(&lives));
                    room.say(Question::NeverFires, &key, message, "", None);
                }
            }
        }
    }
}

/// States from which no end is reached.
pub(super) fn dead_ends(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        let ends = ending(&room.model, kind);
        for state in room.model.waiting(kind).collect::<Vec<_>>() {
            let key = format!("proceedings.{}.states.{state}", kind.name);
            let aim = Some(Aim::Stuck { kind: kind.name.clone(), state: state.to_owned() });
            let leaves = room.model.leaving(kind, state).any(|t| t.to.as_deref().is_some_and(|to| to != state));
            if !leaves {
                room.say(Question::DeadEnd, &key, "a dead end: no transition leads out of this state", "add one, or say `final`", aim);
            } else if !ends.contains(state) {
                let message = "a dead end: whatever is done from here on, this proceeding never comes to an end";
                room.say(Question::DeadEnd, &key, message, "let a path lead to a final state", aim);
            }
        }
    }
}

/// The states from which some path leads to an end.
fn ending<'d>(model: &Model<'d>, kind: &'d Kind) -> BTreeSet<&'d str> {
    let mut out: BTreeSet<&str> = kind.def.states.iter().filter(|(_, s)| s.final_.is_some()).map(|(n, _)| n.as_str()).collect();
    loop {
        let before = out.len();
        for transition in kind.transitions.values().filter(|t| model.never(kind, t).is_none()) {
            if transition.to.as_deref().is_some_and(|to| out.contains(to)) {
                out.extend(transition.from.iter().map(String::as_str));
            }
        }
        if out.len() == before {
            return out;
        }
    }
}
