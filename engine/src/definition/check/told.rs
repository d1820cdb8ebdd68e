//! Is each party told of what changes its position in law?

use super::{Aim, Question, Room};
use crate::definition::model::{Definition, Kind, Step, StepOn, Transition};
use std::collections::BTreeSet;

/// Steps that change a side's position and tell it nothing.
pub(super) fn untold(room: &mut Room<'_>) {
    let d = room.definition;
    for (kind, transition) in room.model.transitions().filter(|(k, t)| room.model.never(k, t).is_none()).collect::<Vec<_>>() {
        let told = told(d, kind, transition, 0);
        for side in affected(d, kind, transition) {
            if told.contains(side) {
                continue;
            }
            let key = format!("proceedings.{}.transitions.{}", kind.name, transition.name);
            let why = match (&transition.to, &transition.def.number) {
                (Some(to), _) if kind.def.root && kind.state(to).is_some_and(|s| s.final_.is_some()) => "ends the case",
                (_, Some(_)) => "is an act with a number of its own",
                _ => "changes its position in law",
            };
            let message = format!("`{side}` is told nothing of this step, which {why}");
            let hint = "name a notice to this side under `notices`, or say under `affects` whom the step concerns";
            let aim = Aim::Untold { kind: kind.name.clone(), transition: transition.name.clone(), side: side.to_owned() };
            room.say(Question::Untold, &key, message, hint, Some(aim));
        }
    }
}

/// The sides whose position a step changes.
fn affected<'d>(d: &'d Definition, kind: &Kind, transition: &'d Transition) -> Vec<&'d str> {
    if let Some(named) = &transition.def.affects {
        return named.iter().map(String::as_str).collect();
    }
    let ends = kind.def.root && transition.to.as_deref().and_then(|to| kind.state(to)).is_some_and(|s| s.final_.is_some());
    if ends || transition.def.number.is_some() { d.file.sides.keys().map(String::as_str).collect() } else { Vec::new() }
}

/// Steps within steps that are followed.
const DEPTH_MAX: usize = 8;

/// The sides that certainly are told: by the notices of the step, and of what it fires and opens in any case.
fn told<'d>(d: &'d Definition, kind: &'d Kind, transition: &'d Transition, depth: usize) -> BTreeSet<&'d str> {
    let mut out = BTreeSet::new();
    let recipients = transition.def.notices.iter().filter_map(|n| d.file.notices.get(n)).flat_map(|n| &n.to);
    let sure: BTreeSet<&str> = recipients.filter(|to| to.when().is_none()).map(super::super::file::ToDef::name).collect();
    // Whoever applied is one of the sides; that both are told is known only when both words are there.
    let everyone = sure.contains("applicant") && sure.contains("other_side");
    out.extend(d.file.sides.keys().map(String::as_str).filter(|side| everyone || sure.contains(side)));
    if depth < DEPTH_MAX {
        for step in &transition.then {
            let follows = match step {
                Step::Fire { transition, on: StepOn::Parent } => {
                    kind.def.of.as_deref().and_then(|of| d.kinds.get(of)).and_then(|k| Some((k, k.transitions.get(transition)?)))
                }
                Step::Open { kind, for_each: None, .. } => d.kinds.get(kind).and_then(|k| Some((k, k.opening()?))),
                // Of these there may be none, and then nobody is told by them.
                _ => None,
            };
            if let Some((kind, transition)) = follows {
                out.extend(told(d, kind, transition, depth + 1));
            }
        }
    }
    out
}
