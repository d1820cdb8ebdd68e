//! The law-shaped questions about a definition whose names all resolve: can every state be reached and left, is every
//! wait covered, does anything fire each transition, does every child know what becomes of it.
//!
//! Not here: spelling (`compile`), and the same questions about a running case (`case::cover`).

use super::Mistake;
use super::compile::{Definition, Kind, Step, StepOn, at};
use super::shape::Places;
use std::collections::BTreeSet;

/// Every finding, each with its key and a reason.
#[must_use]
pub fn findings(definition: &Definition, places: &Places) -> Vec<Mistake> {
    let mut out = Vec::new();
    let fired = fired_by_others(definition);
    let opened: BTreeSet<&str> = definition
        .kinds
        .values()
        .flat_map(|k| k.transitions.values())
        .flat_map(|t| &t.then)
        .filter_map(|s| if let Step::Open { kind, .. } = s { Some(kind.as_str()) } else { None })
        .collect();
    for kind in definition.kinds.values() {
        let key = format!("proceedings.{}", kind.name);
        let mut say = |key: String, message: String, hint: Option<String>| out.push(at(places, &key, message, hint));
        let openings = kind.transitions.values().filter(|t| t.opens).count();
        if openings != 1 {
            say(format!("{key}.transitions"), format!("{openings} transitions lead from `new`"), Some("exactly one opens a proceeding".to_owned()));
        }
        if !kind.def.root {
            match (&kind.def.ends_as, kind.def.outlives) {
                (None, false) => say(
                    key.clone(),
                    "nothing says what becomes of this proceeding when its parent ends".to_owned(),
                    Some("say `ends_as: STATE`, or `outlives: true`".to_owned()),
                ),
                (Some(_), true) => say(key.clone(), "`ends_as` and `outlives` exclude each other".to_owned(), None),
                _ => {}
            }
        }
        for transition in kind.transitions.values() {
            let key = format!("{key}.transitions.{}", transition.name);
            let by_clock = kind.deadlines.values().any(|d| d.fires.contains(&transition.name));
            let by_step = fired.contains(&(kind.name.as_str(), transition.name.as_str()));
            let by_opening = transition.opens && (kind.def.root || opened.contains(kind.name.as_str()));
            if transition.def.by.is_empty() && transition.auto.is_none() && !by_clock && !by_step && !by_opening {
                say(
                    key.clone(),
                    "nobody and nothing fires this transition".to_owned(),
                    Some("say `by`, `auto`, or name it in a `then` step or a deadline".to_owned()),
                );
            }
            if transition.auto.as_ref().is_some_and(|_| transition.to.is_none() && transition.sets.is_empty()) {
                say(key.clone(), "an automatic step to the same state that sets nothing would fire for ever".to_owned(), None);
            }
            if transition.def.law.is_none()
                && !transition.def.notices.is_empty()
                && transition.def.basis.is_none()
                && transition.def.by.is_empty()
                && transition.auto.is_none()
                && !by_clock
                && !by_step
            {
                say(key, "a step that tells people says under which article".to_owned(), None);
            }
        }
        reach(kind, &key, &mut say);
        for (name, state) in &kind.def.states {
            if state.final_.is_some() {
                continue;
            }
            let leaves = kind.transitions.values().any(|t| t.from.contains(name) && t.to.as_ref().is_some_and(|to| to != name));
            if !leaves {
                say(
                    format!("{key}.states.{name}"),
                    "a dead end: no transition leads out of this state".to_owned(),
                    Some("add one, or say `final`".to_owned()),
                );
            }
            let timed = kind.deadlines.values().any(|d| d.lives_in.contains(name) && d.runs_while.is_none());
            if state.work.is_none() && state.waits_on.is_empty() && !timed {
                say(
                    format!("{key}.states.{name}"),
                    "a silent wait: nobody has work here and no deadline runs".to_owned(),
                    Some("say `work`, `waits_on`, or give it a deadline".to_owned()),
                );
            }
        }
    }
    unused(definition, places, &mut out);
    out
}

fn fired_by_others(definition: &Definition) -> BTreeSet<(&str, &str)> {
    let mut out = BTreeSet::new();
    for kind in definition.kinds.values() {
        for step in kind.transitions.values().flat_map(|t| &t.then) {
            if let Step::Fire { transition, on } = step {
                let target = match on {
                    StepOn::Parent => kind.def.of.as_deref(),
                    StepOn::Each(other, _) => Some(other.as_str()),
                };
                if let Some(target) = target {
                    out.insert((target, transition.as_str()));
                }
            }
        }
    }
    out
}

fn reach(kind: &Kind, key: &str, say: &mut impl FnMut(String, String, Option<String>)) {
    let mut reached: BTreeSet<&str> = kind.transitions.values().filter(|t| t.opens).filter_map(|t| t.to.as_deref()).collect();
    reached.extend(kind.def.ends_as.as_deref());
    loop {
        let before = reached.len();
        for transition in kind.transitions.values() {
            if transition.from.iter().any(|s| reached.contains(s.as_str())) {
                reached.extend(transition.to.as_deref());
            }
        }
        if reached.len() == before {
            break;
        }
    }
    for state in kind.def.states.keys().filter(|s| !reached.contains(s.as_str())) {
        say(format!("{key}.states.{state}"), "no path leads to this state".to_owned(), None);
    }
}

fn unused(definition: &Definition, places: &Places, out: &mut Vec<Mistake>) {
    let text = definition.file.proceedings.values().flat_map(|k| k.transitions.values()).collect::<Vec<_>>();
    for name in definition.file.numbers.keys() {
        if !text.iter().any(|t| t.number.as_deref() == Some(name)) {
            out.push(at(places, &format!("numbers.{name}"), "no transition draws a number from this series", None));
        }
    }
    for name in definition.file.papers.keys() {
        if !text.iter().any(|t| t.needs.as_ref().is_some_and(|n| n.papers.contains(name))) {
            out.push(at(places, &format!("papers.{name}"), "no step needs this paper", None));
        }
    }
    for name in definition.file.forms.keys() {
        if !text.iter().any(|t| t.forms.contains(name)) {
            out.push(at(places, &format!("forms.{name}"), "no step produces this form", None));
        }
    }
}
