//! Is it certain what happens when two clocks or two conditions come true at one instant?

use super::model::Model;
use super::{Aim, Question, Room};
use crate::calendar::Length;
use crate::definition::model::{Deadline, Definition, Due, Kind, LengthOf, PolicyValue, Transition};

/// Deadlines that fall due together, and automatic steps whose conditions can hold together, with different ends.
pub(super) fn races(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        let deadlines: Vec<&Deadline> = kind.deadlines.values().collect();
        for (i, one) in deadlines.iter().enumerate() {
            for other in &deadlines[i + 1..] {
                let Some(state) = both_due(&room.model, kind, one, other) else { continue };
                let key = format!("proceedings.{}.deadlines.{}", kind.name, other.name);
                let message = format!(
                    "`{}` and `{}` start together, run equally long in `{state}` and fire different steps: which of them wins is an accident",
                    one.name, other.name
                );
                let both = [one.name.clone(), other.name.clone()];
                let aim = Aim::Deadlines { kind: kind.name.clone(), state: state.to_owned(), both };
                room.say(Question::Race, &key, message, "make one of them longer, or let one deadline fire both in order", Some(aim));
            }
        }
        let autos: Vec<&Transition> = kind.transitions.values().filter(|t| t.auto.is_some() && room.model.never(kind, t).is_none()).collect();
        for (i, one) in autos.iter().enumerate() {
            for other in autos[i + 1..].iter().filter(|o| o.to != one.to) {
                let Some(state) = both_open(&room.model, kind, one, other) else { continue };
                let key = format!("proceedings.{}.transitions.{}", kind.name, other.name);
                let message =
                    format!("in `{state}` the conditions of `{}` and `{}` can hold together, and they lead to different ends", one.name, other.name);
                let both = [one.name.clone(), other.name.clone()];
                let aim = Aim::Autos { kind: kind.name.clone(), state: state.to_owned(), both };
                room.say(Question::Race, &key, message, "let the conditions exclude each other", Some(aim));
            }
        }
    }
}

/// A length as written, or as policy says by default.
pub fn by_default(d: &Definition, length: &LengthOf) -> Option<Length> {
    match length {
        LengthOf::Literal(length) => Some(*length),
        LengthOf::Policy(name) => match d.policy.get(name) {
            Some(PolicyValue::Length(length)) => Some(*length),
            _ => None,
        },
    }
}

fn both_due<'d>(model: &Model<'d>, kind: &'d Kind, one: &'d Deadline, other: &'d Deadline) -> Option<&'d str> {
    let d = model.definition;
    let length = |l: &Option<LengthOf>| l.as_ref().and_then(|l| by_default(d, l));
    let same_end = match (&one.due, &other.due) {
        (Due::After { starts: a, length: l }, Due::After { starts: b, length: m }) => {
            a.steps.iter().any(|s| b.steps.contains(s))
                || (a.per == b.per && a.served.iter().any(|s| b.served.contains(s))) && by_default(d, l).is_some_and(|l| Some(l) == by_default(d, m))
        }
        (Due::At(a), Due::At(b)) => a.source() == b.source(),
        _ => false,
    };
    let (own, its) = (one.def.as_ref()?, other.def.as_ref()?);
    let counted_alike =
        own.roll == its.roll && length(&one.grace) == length(&other.grace) && own.extended_by == its.extended_by && own.runs_while == its.runs_while;
    let end = |x: &'d Deadline| x.fires.first().and_then(|f| kind.transitions.get(f)).map(|t| t.to.as_deref());
    let (first, second) = (end(one)?, end(other)?);
    if !same_end || !counted_alike || first == second {
        return None;
    }
    model.waiting(kind).find(|s| one.lives_in.contains(*s) && other.lives_in.contains(*s))
}

fn both_open<'d>(model: &Model<'d>, kind: &'d Kind, one: &'d Transition, other: &'d Transition) -> Option<&'d str> {
    let conditions = |t: &'d Transition| t.when.iter().chain(&t.auto).collect::<Vec<_>>();
    model
        .waiting(kind)
        .filter(|s| one.from.contains(*s) && other.from.contains(*s))
        .find(|state| model.place(kind, one, Some(state)).surely_together(&conditions(one), &conditions(other)))
}
