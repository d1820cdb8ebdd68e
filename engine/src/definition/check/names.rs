//! Is each name that is declared used, is what is read ever set, and is what is put in ever kept?
//!
//! Not every unused name is a mistake. A role or a fact that no step asks for may be there for people to read: that is
//! no finding. A parameter, paper, consent, form, series, group or stage that nothing uses is a promise that the file
//! does not keep.

use super::{Question, Room};
use crate::definition::file::{Names, With};
use crate::definition::model::{Step, Transition};
use std::collections::BTreeSet;

/// Names that nothing uses.
pub(super) fn unused(room: &mut Room<'_>) {
    let d = room.definition;
    let file = &d.file;
    let steps: Vec<&Transition> = room.model.transitions().map(|(_, t)| t).collect();
    let mut out: Vec<(String, &str)> = Vec::new();
    let mut ask = |place: &str, name: &str, used: bool, message: &'static str| {
        if !used {
            out.push((format!("{place}.{name}"), message));
        }
    };
    let policy = named_after(&d.canonical, "policy.");
    // The clock asks for `late_entry` by itself: what was past when it was keyed in waits for so long.
    for name in file.policy.keys().filter(|n| *n != "late_entry") {
        ask("policy", name, policy.contains(name.as_str()), "no rule of this file asks for this parameter, so to set it changes nothing");
    }
    let needs = || steps.iter().filter_map(|t| t.def.needs.as_ref());
    for name in file.papers.keys() {
        ask("papers", name, needs().any(|n| n.papers.contains(name)), "no step needs this paper");
    }
    for name in file.consents.keys() {
        ask("consents", name, needs().any(|n| n.consents.contains(name)), "no step needs this consent");
    }
    for name in file.numbers.keys() {
        ask("numbers", name, steps.iter().any(|t| t.def.number.as_ref() == Some(name)), "no transition draws a number from this series");
    }
    for name in file.forms.keys() {
        ask("forms", name, steps.iter().any(|t| t.def.forms.contains(name)), "no step produces this form");
    }
    for name in file.stages.keys() {
        let own = |k: &crate::definition::Kind| {
            k.def.states.values().any(|s| s.final_.is_none() && s.stage.as_ref().or(k.def.stage.as_ref()) == Some(name))
        };
        ask("stages", name, d.kinds.values().any(own), "no state belongs to this stage, so nobody ever sees it");
    }
    for kind in d.kinds.values() {
        let in_rights = file.rights.values().filter(|r| r.of == kind.name).flat_map(|r| r.in_.as_slice());
        let in_limit = kind.def.limit.iter().flat_map(|l| match l {
            crate::definition::file::LimitDef::One(states) => states.one.as_slice(),
            crate::definition::file::LimitDef::Text(_) => &[],
        });
        let used: BTreeSet<&String> = kind
            .def
            .transitions
            .values()
            .map(|t| &t.from)
            .chain(kind.def.deadlines.values().map(|d| &d.in_))
            .flat_map(Names::as_slice)
            .chain(in_rights)
            .chain(in_limit)
            .collect();
        for group in kind.def.groups.keys() {
            ask(&format!("proceedings.{}.groups", kind.name), group, used.contains(group), "no transition, deadline or right uses this group");
        }
    }
    let acting = acting(room);
    let shown = named_after(&d.canonical, "seats.");
    for name in file.seats.keys() {
        let used = acting.contains(name.as_str()) || shown.contains(name.as_str());
        ask("seats", name, used, "whoever holds this seat has nothing to do, decide or hear");
    }
    for kind in d.kinds.values() {
        for name in kind.def.seats.keys() {
            let used = acting.contains(format!("this.{name}").as_str());
            ask(&format!("proceedings.{}.seats", kind.name), name, used, "whoever holds this seat has nothing to do, decide or hear");
        }
    }
    for name in file.sides.keys() {
        ask("sides", name, acting.contains(name.as_str()), "this side may do nothing, is asked nothing and is told nothing");
    }
    for (key, message) in out {
        room.say(Question::Unused, &key, message, "use it, or leave it out", None);
    }
}

/// The names that follow a word such as `policy.` anywhere in the file.
fn named_after<'t>(text: &'t str, word: &str) -> BTreeSet<&'t str> {
    let parts = text.match_indices(word).map(|(at, _)| &text[at + word.len()..]);
    parts.map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default()).collect()
}

/// Every role, side and seat that may act, is asked, has work, or is told.
fn acting<'d>(room: &Room<'d>) -> BTreeSet<&'d str> {
    let d = room.definition;
    let a = &d.file.actions;
    let mut out: BTreeSet<&str> = BTreeSet::new();
    let own = [&a.record, &a.person, &a.consent, &a.seat, &a.serve, &a.file].into_iter().chain(&a.correct).map(|b| &b.by);
    out.extend(own.chain(a.undo.iter().map(|u| &u.by)).flatten().map(String::as_str));
    for notice in d.file.notices.values() {
        for to in &notice.to {
            match to.name() {
                "applicant" | "other_side" => out.extend(d.file.sides.keys().map(String::as_str)),
                name => drop(out.insert(name)),
            }
        }
    }
    for right in d.file.rights.values() {
        out.extend(right.by.iter().map(String::as_str));
    }
    for kind in d.kinds.values() {
        for state in kind.def.states.values() {
            out.extend(state.work.iter().map(|w| w.for_.as_str()));
            out.extend(state.assents.iter().flat_map(|a| &a.of).map(String::as_str));
        }
        out.extend(kind.def.deadlines.values().filter_map(|d| d.work.as_ref()).map(|w| w.for_.as_str()));
        for transition in kind.def.transitions.values() {
            out.extend(transition.by.iter().map(String::as_str));
            out.extend(transition.needs.iter().flat_map(|n| &n.seats).map(String::as_str));
        }
    }
    out
}

/// Data that nothing sets, and input that nobody keeps.
pub(super) fn data(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        for name in kind.data.keys() {
            let sets = |t: &Transition| t.def.sets.contains_key(name) || (name == "number" && t.def.number.is_some());
            if !kind.transitions.values().any(sets) {
                let key = format!("proceedings.{}.data.{name}", kind.name);
                room.say(
                    Question::Data,
                    &key,
                    "no step ever sets this, so it is always empty",
                    "name it under `sets` of a step, or leave it out",
                    None,
                );
            }
        }
        for transition in kind.transitions.values() {
            let read = input_read(transition);
            for name in transition.def.input.keys().filter(|n| !read.contains(*n)) {
                let key = format!("proceedings.{}.transitions.{}.input.{name}", kind.name, transition.name);
                let message = "this is asked for and then lost: no condition looks at it, and nothing keeps it";
                room.say(Question::Data, &key, message, "keep it under `sets`, or do not ask for it", None);
            }
        }
    }
}

/// The input that a step looks at, keeps or passes on.
fn input_read(transition: &Transition) -> BTreeSet<String> {
    let mut guards: Vec<&crate::guard::Guard> = transition.accepts.iter().chain(transition.sets.iter().map(|(_, g)| g)).collect();
    let mut out = BTreeSet::new();
    for step in &transition.then {
        match step {
            Step::Open { for_each, with, .. } => {
                guards.extend(for_each);
                guards.extend(with.iter().map(|(_, g)| g));
            }
            Step::Send { to, with, .. } => {
                guards.push(to);
                guards.extend(with.iter().map(|(_, g)| g));
            }
            Step::Seat { input, .. } => drop(out.insert(input.clone())),
            _ => {}
        }
    }
    for step in &transition.def.then {
        if let Some(With::One(source)) = &step.with {
            out.extend(source.strip_prefix("input.").map(str::to_owned));
        }
    }
    out.extend(guards.iter().flat_map(|g| g.reads()).filter(|p| p[0] == "input").filter_map(|p| p.get(1).cloned()));
    out
}
