//! Can each seat be held, and each step be taken by those who may?

use super::model::list;
use super::{Aim, Question, Room};
use crate::definition::file::{Of, SeatDef};
use crate::definition::model::{Kind, Step, Transition};
use std::collections::BTreeMap;

/// Seats that nobody can hold, and steps that only such seats may take.
pub(super) fn conflicts(room: &mut Room<'_>) {
    let d = room.definition;
    // Why a seat stays empty, by the kind that it belongs to (none for the case's own) and its name as written in `by`.
    let mut empty: BTreeMap<(Option<&str>, String), String> = BTreeMap::new();
    let own = d.kinds.values().flat_map(|k| k.def.seats.iter().map(move |(n, s)| (Some(k), n, s)));
    let all: Vec<(Option<&Kind>, &String, &SeatDef)> = d.file.seats.iter().map(|(n, s)| (None, n, s)).chain(own).collect();
    for (kind, name, def) in all {
        let key = kind.map_or_else(|| format!("seats.{name}"), |k| format!("proceedings.{}.seats.{name}", k.name));
        let written = kind.map_or_else(|| name.clone(), |_| format!("this.{name}"));
        let apart = &def.apart_from;
        let clash = apart.iter().find(|other| **other == def.role || **other == written || **other == *name);
        if let Some(other) = clash {
            let message = format!("nobody can hold this seat: it is for a `{}`, and whoever holds it may not be `{other}`", def.role);
            room.say(Question::Conflict, &format!("{key}.apart_from"), message, "", None);
            empty.insert((kind.map(|k| k.name.as_str()), written), format!("nobody can hold `{name}`"));
        } else if !filled(room, kind, &written) {
            let message = "nobody can ever fill this seat: no step does, and `case.seat` may not";
            room.say(Question::Conflict, &key, message, "let a step say `{seat: …, with: input.…}`", None);
            empty.insert((kind.map(|k| k.name.as_str()), written), format!("nobody ever fills `{name}`"));
        }
    }
    for (kind, transition) in room.model.transitions().collect::<Vec<_>>() {
        let key = format!("proceedings.{}.transitions.{}", kind.name, transition.name);
        let why = |name: &String| {
            let of = if name.starts_with("this.") { Some(kind.name.as_str()) } else { None };
            empty.get(&(of, name.clone()))
        };
        let reasons: Vec<&String> = transition.def.by.iter().filter_map(why).collect();
        if !reasons.is_empty() && reasons.len() == transition.def.by.len() {
            let message = format!("nobody can take this step: {}", reasons.iter().map(|r| r.as_str()).collect::<Vec<_>>().join(", "));
            let aim = Aim::Closed { kind: kind.name.clone(), transition: transition.name.clone() };
            room.say(Question::Conflict, &key, message, "", Some(aim));
        }
        seating(room, kind, transition, &key);
    }
}

/// Whether anything fills a seat.
fn filled(room: &Room<'_>, kind: Option<&Kind>, written: &str) -> bool {
    let by_hand = kind.is_none() && !room.definition.file.actions.seat.by.is_empty();
    let fills = |t: &Transition| t.then.iter().any(|s| matches!(s, Step::Seat { seat, .. } if seat == written));
    by_hand || room.model.transitions().any(|(k, t)| kind.is_none_or(|own| own.name == k.name) && fills(t) && room.model.never(k, t).is_none())
}

/// The steps of `then` that fill seats: with accounts that may hold them, and not one account in two that keep apart.
fn seating(room: &mut Room<'_>, kind: &Kind, transition: &Transition, key: &str) {
    let d = room.definition;
    let def = |seat: &str| match seat.strip_prefix("this.") {
        Some(own) => kind.def.seats.get(own),
        None => d.file.seats.get(seat),
    };
    let seats: Vec<(usize, &String, &String)> = transition
        .then
        .iter()
        .enumerate()
        .filter_map(|(i, s)| if let Step::Seat { seat, input } = s { Some((i, seat, input)) } else { None })
        .collect();
    for (i, seat, input) in &seats {
        let Some(seat_def) = def(seat) else { continue };
        let roles: &[String] = match transition.def.input.get(*input).and_then(|f| f.of.as_ref()) {
            Some(Of::Words(roles)) => roles,
            _ => &[],
        };
        let wrong: Vec<&str> = roles.iter().filter(|r| **r != seat_def.role).map(String::as_str).collect();
        if !wrong.is_empty() {
            let message = format!("`{input}` may name {}, and only a `{}` may hold `{seat}`", list(&wrong), seat_def.role);
            room.say(Question::Conflict, &format!("{key}.then[{i}]"), message, "name the seat's role in the input's `of`", None);
        }
        let apart = &seat_def.apart_from;
        let twin = seats.iter().find(|(_, other, with)| *other != *seat && *with == *input && apart.contains(*other));
        if let Some((_, other, _)) = twin {
            let message = format!("this step is always refused: it puts one account into `{seat}` and `{other}`, which are to be kept apart");
            let aim = Aim::Closed { kind: kind.name.clone(), transition: transition.name.clone() };
            room.say(Question::Conflict, &format!("{key}.then[{i}]"), message, "ask for two accounts", Some(aim));
        }
    }
}
