//! How proceedings begin, and what becomes of children when their parent ends.

use super::{Question, Room};

/// Exactly one transition opens each kind.
pub(super) fn openings(room: &mut Room<'_>) {
    for kind in room.definition.kinds.values() {
        let openings = kind.transitions.values().filter(|t| t.opens).count();
        if openings != 1 {
            let key = format!("proceedings.{}.transitions", kind.name);
            room.say(Question::Opening, &key, format!("{openings} transitions lead from `new`"), "exactly one opens a proceeding", None);
        }
    }
}

/// Every child says what becomes of it.
pub(super) fn orphans(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values().filter(|k| !k.def.root) {
        let key = format!("proceedings.{}", kind.name);
        match (&kind.def.ends_as, kind.def.outlives) {
            (None, false) => {
                let message = "nothing says what becomes of this proceeding when its parent ends";
                room.say(Question::Orphan, &key, message, "say `ends_as: STATE`, or `outlives: true`", None);
                let Some(parent) = kind.def.of.as_deref().and_then(|of| d.kinds.get(of)) else { continue };
                let final_ = |s: &str| parent.state(s).is_some_and(|s| s.final_.is_some());
                let ending = parent.transitions.values().find(|t| t.to.as_deref().is_some_and(final_));
                if let Some(ending) = ending {
                    let key = format!("proceedings.{}.transitions.{}", parent.name, ending.name);
                    let message = format!("this ends `{}` over an open `{}`, of which nothing says what becomes then", parent.name, kind.name);
                    room.say(Question::Orphan, &key, message, &format!("say so at `{}`", kind.name), None);
                }
            }
            (Some(_), true) => room.say(Question::Orphan, &key, "`ends_as` and `outlives` exclude each other", "", None),
            _ => {}
        }
    }
}
