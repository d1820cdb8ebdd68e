//! Does each state offer the rights that are declared for it?

use super::domain::Place;
use super::{Aim, Question, Room};
use crate::definition::model::{Kind, Transition};

/// States that forget a declared right.
pub(super) fn forgotten(room: &mut Room<'_>) {
    let d = room.definition;
    for (name, right) in &d.file.rights {
        let Some(kind) = d.kinds.get(&right.of) else { continue };
        let mut states: Vec<&str> = Vec::new();
        for named in right.in_.as_slice() {
            match kind.def.groups.get(named) {
                Some(group) => states.extend(group.iter().map(String::as_str)),
                None => states.push(named),
            }
        }
        states.retain(|s| room.model.is_reached(kind, s));
        for state in states {
            for who in &right.by {
                if right.actions.iter().any(|action| offers(room, kind, state, who, action)) {
                    continue;
                }
                let key = format!("proceedings.{}.states.{state}", kind.name);
                let actions: Vec<&str> = right.actions.iter().map(String::as_str).collect();
                let message = format!("this state forgets a right: `{name}` is open to `{who}` here by none of {}", super::model::list(&actions));
                let aim = Aim::Right { kind: kind.name.clone(), state: state.to_owned(), of: who.clone(), actions: right.actions.clone() };
                room.say(Question::Right, &key, message, "let one of these steps lead from here, and name whose right it is in its `by`", Some(aim));
            }
        }
    }
}

/// Whether the action is open to `who` while the proceeding is in the state.
fn offers<'d>(room: &Room<'d>, kind: &'d Kind, state: &'d str, who: &'d String, action: &str) -> bool {
    let found = action.split_once('.').and_then(|(k, t)| {
        let kind = room.definition.kinds.get(k)?;
        Some((kind, kind.transitions.get(t)?))
    });
    let Some((on, transition)) = found else { return false };
    if !transition.def.by.contains(who) || room.model.never(on, transition).is_some() {
        return false;
    }
    let by = std::slice::from_ref(who);
    let conditions = |t: &'d Transition| t.when.iter().collect::<Vec<_>>();
    if on.name == kind.name {
        let place = Place { by, ..room.model.place(kind, transition, Some(state)) };
        transition.from.contains(state) && place.can_hold(&conditions(transition))
    } else {
        let place = Place { by, parent: Some(state), ..room.model.place(on, transition, None) };
        transition.opens && on.def.of.as_ref() == Some(&kind.name) && place.can_hold(&conditions(transition))
    }
}
