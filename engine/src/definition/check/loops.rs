//! Does each loop have a limit or a clock, and does each chain of automatic steps come to its end?

use super::model::{Model, list};
use super::{Aim, Question, Room};
use crate::definition::model::{Deadline, Due, Kind, Step, Transition};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A loop that nothing bounds: its states, and one round through them.
pub struct Loop<'d> {
    /// The states that can reach each other, in the order of the file.
    pub states: Vec<&'d str>,
    /// The transitions of one round, from the first state back to it.
    pub round: Vec<&'d Transition>,
}

/// Circles of two states or more that no clock ends and no `at_most` limits.
pub(super) fn loops(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        for found in unbounded(&room.model, kind) {
            let round: Vec<&str> = found.round.iter().map(|t| t.name.as_str()).collect();
            let message = format!("a loop without limit or clock: {} can be taken round and round", list(&round));
            let hint = "say `at_most` on one of these steps, or let a deadline run that ends the round";
            let key = format!("proceedings.{}.states.{}", kind.name, found.states[0]);
            let aim =
                Aim::Round { kind: kind.name.clone(), state: found.states[0].to_owned(), round: round.iter().map(|r| (*r).to_owned()).collect() };
            room.say(Question::Loop, &key, message, hint, Some(aim));
        }
    }
}

/// The loops of a kind that nothing bounds.
pub fn unbounded<'d>(model: &Model<'d>, kind: &'d Kind) -> Vec<Loop<'d>> {
    if ended_from_above(model, kind, 0) {
        return Vec::new();
    }
    let free: Vec<&'d str> = model.waiting(kind).filter(|s| !clocked(model, kind, s)).collect();
    let edges = edges(model, kind, &free);
    let mut out = Vec::new();
    for states in components(&free, &edges) {
        let inside = |t: &&Transition| t.from.iter().any(|s| states.contains(&s.as_str())) && t.to.as_deref().is_some_and(|to| states.contains(&to));
        // A clock that runs through the whole of it and that no step of it starts anew: somebody looks, if nothing else.
        let overseen = kind.deadlines.values().any(|d| {
            let anew = |t: &&Transition| matches!(&d.due, Due::After { starts, .. } | Due::Every { starts, .. } if starts.steps.contains(&t.name));
            states.iter().all(|s| d.lives_in.contains(*s)) && !kind.transitions.values().filter(inside).any(|t| anew(&t))
        });
        if overseen {
            continue;
        }
        let round = round(states[0], &states, &edges);
        out.push(Loop { states, round });
    }
    out
}

/// Every loop of a kind, whatever bounds it, but for those that `at_most` limits.
pub fn any<'d>(model: &Model<'d>, kind: &'d Kind) -> Vec<Loop<'d>> {
    let states: Vec<&'d str> = model.waiting(kind).collect();
    let edges = edges(model, kind, &states);
    let rounds = components(&states, &edges).into_iter();
    rounds.map(|states| Loop { round: round(states[0], &states, &edges), states }).collect()
}

type Edges<'d> = BTreeMap<&'d str, Vec<(&'d Transition, &'d str)>>;

fn edges<'d>(model: &Model<'d>, kind: &'d Kind, states: &[&'d str]) -> Edges<'d> {
    let mut edges: Edges<'d> = BTreeMap::new();
    for state in states {
        let leaving = model.leaving(kind, state).filter(|t| t.def.at_most.is_none());
        let onward = leaving.filter_map(|t| Some((t, t.to.as_deref().filter(|to| to != state && states.contains(to))?)));
        edges.insert(state, onward.collect());
    }
    edges
}

/// Sets of states that can all reach each other, of two or more, in the order of `states`.
fn components<'d>(states: &[&'d str], edges: &Edges<'d>) -> Vec<Vec<&'d str>> {
    let reach = |from: &'d str| {
        let mut seen = BTreeSet::new();
        let mut queue = vec![from];
        while let Some(at) = queue.pop() {
            for (_, to) in edges.get(at).into_iter().flatten() {
                if seen.insert(*to) {
                    queue.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = states.iter().map(|s| (*s, reach(s))).collect();
    let mut left: Vec<&'d str> = states.iter().copied().filter(|s| reached[s].contains(s)).collect();
    let mut out = Vec::new();
    while let Some(first) = left.first().copied() {
        let (with, without): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|s| *s == first || (reached[first].contains(s) && reached[s].contains(first)));
        left = without;
        if with.len() > 1 {
            out.push(with);
        }
    }
    out
}

/// The shortest round from a state back to itself.
fn round<'d>(start: &'d str, states: &[&'d str], edges: &Edges<'d>) -> Vec<&'d Transition> {
    let mut came: BTreeMap<&str, (&'d Transition, &'d str)> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (transition, to) in edges.get(at).into_iter().flatten().filter(|(_, to)| states.contains(to)) {
            if came.contains_key(to) {
                continue;
            }
            came.insert(to, (transition, at));
            if *to == start {
                let mut out = Vec::new();
                let mut state = start;
                while let Some((transition, from)) = came.get(state) {
                    out.push(*transition);
                    state = from;
                    if state == start {
                        break;
                    }
                }
                out.reverse();
                return out;
            }
            queue.push_back(to);
        }
    }
    Vec::new()
}

/// Whether the deadline acts by itself when it is due.
pub fn acts(deadline: &Deadline) -> bool {
    !deadline.fires.is_empty() || matches!(deadline.due, Due::Round { .. })
}

/// Whether a clock acts on a proceeding that stays in this state, or on one that it waits for.
fn clocked(model: &Model<'_>, kind: &Kind, state: &str) -> bool {
    let own = kind.deadlines.values().any(|d| acts(d) && d.lives_in.contains(state));
    let waits = kind.state(state).map(|s| s.waits_on.as_slice()).unwrap_or_default();
    own || waits.iter().any(|k| model.definition.kinds.get(k).is_some_and(|k| k.deadlines.values().any(acts)))
}

/// Parents within parents; a file holds no more.
const LINEAGE_MAX: usize = 32;

/// Whether a clock of a proceeding above ends this one.
fn ended_from_above<'d>(model: &Model<'d>, kind: &'d Kind, depth: usize) -> bool {
    let d = model.definition;
    let Some(parent) = kind.def.of.as_deref().and_then(|of| d.kinds.get(of)).filter(|_| depth < LINEAGE_MAX) else { return false };
    if kind.def.ends_as.is_none() || born_late(model, kind, parent) {
        return false;
    }
    let ends = |t: &Transition| t.then.iter().any(|s| matches!(s, Step::End { kind: which } if which.as_ref().is_none_or(|k| *k == kind.name)));
    let by_clock = parent.deadlines.values().flat_map(|d| &d.fires).filter_map(|f| parent.transitions.get(f)).any(ends);
    by_clock || ended_from_above(model, parent, depth + 1)
}

/// Whether it is opened only under a parent that has ended, so that no clock of the parent reaches it.
fn born_late<'d>(model: &Model<'d>, kind: &'d Kind, parent: &'d Kind) -> bool {
    let Some(opening) = kind.opening() else { return false };
    let open = |s: &str| parent.state(s).is_some_and(|s| s.final_.is_none());
    let by_hand = !opening.def.by.is_empty()
        && parent.def.states.keys().filter(|s| open(s)).any(|s| {
            let place = super::domain::Place { parent: Some(s), ..model.place(kind, opening, None) };
            place.can_hold(&opening.when.iter().collect::<Vec<_>>())
        });
    let opens = |t: &&Transition| t.then.iter().any(|s| matches!(s, Step::Open { kind: k, .. } if *k == kind.name));
    let by_step = parent.transitions.values().filter(opens).any(|t| t.to.as_deref().is_none_or(open));
    !by_hand && !by_step
}

/// The longest round of automatic steps that is looked for.
const AUTO_ROUND_MAX: usize = 6;

/// Rounds of automatic steps that would never stop.
pub(super) fn autos(room: &mut Room<'_>) {
    let d = room.definition;
    for kind in d.kinds.values() {
        let mut told: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
        for state in room.model.waiting(kind).collect::<Vec<_>>() {
            for round in auto_rounds(&room.model, kind, state) {
                let names: Vec<&str> = round.iter().map(|(_, t)| t.name.as_str()).collect();
                if !told.insert(names.iter().copied().collect()) {
                    continue;
                }
                let key = format!("proceedings.{}.transitions.{}", kind.name, names[0]);
                let message = if let [only] = names.as_slice() {
                    format!(
                        "`{only}` fires by itself, stays in the same state and changes nothing that its condition asks for: it would fire for ever"
                    )
                } else {
                    format!("{} fire by themselves one after the other, and nothing that they do ends the round", list(&names))
                };
                let aim = Aim::Endless { kind: kind.name.clone(), state: state.to_owned() };
                room.say(Question::AutoLoop, &key, message, "let the condition ask for something that the step itself changes", Some(aim));
            }
        }
    }
}

/// Rounds of automatic steps from a state back to it, of which each condition, once it holds, goes on holding.
fn auto_rounds<'d>(model: &Model<'d>, kind: &'d Kind, start: &'d str) -> Vec<Vec<(&'d str, &'d Transition)>> {
    let mut out = Vec::new();
    let mut open: Vec<Vec<(&'d str, &'d Transition)>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let at = path.last().map_or(start, |(s, t)| t.to.as_deref().unwrap_or(s));
        for transition in model.leaving(kind, at).filter(|t| t.auto.is_some()) {
            let mut path = path.clone();
            path.push((at, transition));
            let to = transition.to.as_deref().unwrap_or(at);
            if to == start {
                if goes_on(model, kind, &path) {
                    out.push(path);
                }
            } else if path.len() < AUTO_ROUND_MAX && !path.iter().any(|(s, _)| *s == to) {
                open.push(path);
            }
        }
    }
    out
}

fn goes_on<'d>(model: &Model<'d>, kind: &'d Kind, round: &[(&'d str, &'d Transition)]) -> bool {
    let sets: BTreeSet<&str> = round.iter().flat_map(|(_, t)| &t.sets).map(|(datum, _)| datum.as_str()).collect();
    let steps = round.iter().any(|(_, t)| !t.then.is_empty());
    let asks = round.iter().any(|(_, t)| t.to.as_deref().and_then(|s| kind.state(s)).is_some_and(|s| s.assents.is_some()));
    let guards = |t: &'d Transition| t.when.iter().chain(&t.auto);
    let mut together = Vec::new();
    for (state, transition) in round {
        if transition.def.at_most.is_some() {
            return false;
        }
        for guard in guards(transition) {
            let reads = guard.reads();
            let changed = reads.iter().any(|path| match (path[0].as_str(), path.get(1).map(String::as_str)) {
                ("this", Some(datum)) => sets.contains(datum) || (datum == "number" && round.iter().any(|(_, t)| t.def.number.is_some())),
                ("assents", _) => asks,
                (other, _) => steps && model.definition.kinds.contains_key(other),
            });
            if changed {
                return false;
            }
            if !reads.iter().any(|p| p[0] == "this" && p.get(1).is_some_and(|n| n == "state")) {
                together.push(guard);
            }
        }
        if !model.place(kind, transition, Some(state)).can_hold(&guards(transition).collect::<Vec<_>>()) {
            return false;
        }
    }
    round.first().is_some_and(|(state, transition)| model.place(kind, transition, Some(state)).can_hold(&together))
}
