//! Whether conditions can hold, asked of the domains that the file declares: states, words, yes and no. What a sum, a
//! day or a text might be is left open, so that nothing is called impossible which a case could bring about.

use super::model::Model;
use crate::definition::model::{Kind, PolicyValue};
use crate::definition::names::NO_SIDE;
use crate::guard::{Answers, Guard, Held, Outcome, World};
use crate::value::{Type, Value};
use std::collections::BTreeMap;

/// At most so many worlds are looked at for one question; names beyond that are left open.
const WORLDS_MAX: usize = 4_096;

/// Where conditions are asked.
#[derive(Clone, Copy)]
pub struct Place<'m, 'd> {
    /// What is known of the file.
    pub model: &'m Model<'d>,
    /// The kind of the proceeding.
    pub kind: &'d Kind,
    /// Its state; none while it is being opened.
    pub state: Option<&'d str>,
    /// The state of its parent, where that is asked for in particular.
    pub parent: Option<&'d str>,
    /// Policy stands as the file has it; otherwise a committee may have set it to anything.
    pub defaults: bool,
    /// Who may act: roles, seats, sides.
    pub by: &'d [String],
    /// The input.
    pub input: Option<&'d Type>,
}

type Path = Vec<String>;

/// One way in which things may stand.
struct Pinned<'p, 'm, 'd> {
    place: &'p Place<'m, 'd>,
    held: BTreeMap<Path, Held>,
    settled: BTreeMap<String, Answers>,
}

impl World for Pinned<'_, '_, '_> {
    fn held(&self, path: &[String]) -> Held {
        self.held.get(path).cloned().unwrap_or_else(|| self.place.held(path))
    }

    fn settled(&self, question: &str) -> Option<Answers> {
        self.settled.get(question).copied()
    }
}

fn words<'s>(names: impl IntoIterator<Item = &'s str>) -> Held {
    Held::one_of(names.into_iter().map(|n| Value::Text(n.to_owned())).collect())
}

fn both() -> Held {
    Held::one_of(vec![Value::Bool(true), Value::Bool(false)])
}

fn of_type(ty: &Type, rest: &[String]) -> Held {
    match (ty, rest) {
        (_, [_, ..]) => Held::anything(),
        (Type::Bool, []) => both(),
        (Type::Enum(names), []) => words(names.iter().map(String::as_str)),
        _ => Held::something(),
    }
}

impl<'m, 'd> Place<'m, 'd> {
    /// What a path may hold here.
    pub fn held(&self, path: &[String]) -> Held {
        let d = self.model.definition;
        let Some((root, rest)) = path.split_first() else { return Held::anything() };
        match (root.as_str(), rest) {
            ("policy", [name]) if self.defaults => d.policy.get(name).and_then(PolicyValue::value).map_or_else(Held::something, Held::just),
            ("policy", [name]) => match d.policy.get(name) {
                Some(PolicyValue::Bool(_)) => both(),
                _ => Held::something(),
            },
            ("facts", [name, rest @ ..]) => d.facts.get(name).map_or_else(Held::anything, |ty| of_type(ty, rest).or_nothing()),
            ("actor", _) => {
                let sides = self.by.iter().filter(|b| d.file.sides.contains_key(*b)).map(String::as_str);
                let others = self.by.is_empty() || self.by.iter().any(|b| !d.file.sides.contains_key(b));
                words(sides.chain(others.then_some(NO_SIDE)))
            }
            ("assents", _) if !self.holds_round() => Held::nothing(),
            ("assents", _) => both(),
            ("legal_on", _) => Held::something(),
            // Whoever was told may have been served or not, or nobody was told at all.
            ("served", _) => both().or_nothing(),
            ("input", [name, rest @ ..]) => match self.input {
                Some(Type::Record(fields)) => fields.get(name).map_or_else(Held::anything, |f| {
                    let held = of_type(&f.ty, rest);
                    if f.optional { held.or_nothing() } else { held }
                }),
                _ => Held::anything(),
            },
            ("this", [first, rest @ ..]) if first == "parent" => match self.kind.def.of.as_deref().and_then(|of| d.kinds.get(of)) {
                Some(parent) => match (self.parent, rest) {
                    (Some(state), [name]) if name == "state" => words([state]),
                    (Some(state), [name]) if name == "open" => Held::just(Value::Bool(parent.state(state).is_some_and(|s| s.final_.is_none()))),
                    _ => self.of_kind(parent, None, rest),
                },
                None => Held::nothing(),
            },
            ("this", rest) if self.state.is_some() => self.of_kind(self.kind, self.state, rest),
            // While a proceeding is being opened there is nothing of it yet.
            ("this", _) => Held::nothing(),
            (kind, []) if d.kinds.contains_key(kind) => Held::something(),
            (kind, rest) => d.kinds.get(kind).map_or_else(Held::anything, |kind| self.of_kind(kind, None, rest)),
        }
    }

    fn holds_round(&self) -> bool {
        self.state.and_then(|s| self.kind.state(s)).is_some_and(|s| s.assents.is_some())
    }

    fn of_kind(&self, kind: &'d Kind, state: Option<&str>, rest: &[String]) -> Held {
        match rest {
            [name] if name == "state" => match state {
                Some(state) => words([state]),
                None => words(self.model.reached(kind)),
            },
            [name] if name == "open" => match state {
                Some(_) => Held::just(Value::Bool(true)),
                None => both(),
            },
            [name, ..] if name == "parent" => Held::anything(),
            [name, inner @ ..] => self.model.datum(kind, name, inner),
            [] => Held::something(),
        }
    }

    /// The choices that together make up every way in which what the guards read may stand.
    fn choices(&self, guards: &[&Guard]) -> Vec<Vec<Vec<(Path, Held)>>> {
        let mut paths: Vec<Path> = guards.iter().flat_map(|g| g.reads()).collect();
        paths.sort();
        paths.dedup();
        let mut out: Vec<Vec<Vec<(Path, Held)>>> = Vec::new();
        let mut round = false;
        for path in paths {
            // What is read of the items of a list differs from item to item.
            if self.model.definition.kinds.contains_key(&path[0]) {
                continue;
            }
            if path[0] == "assents" {
                round = true;
                continue;
            }
            let held = self.held(&path);
            let mut choice: Vec<Held> = match &held.values {
                Some(values) => values.iter().map(|v| Held::just(v.clone())).collect(),
                None => vec![Held::something()],
            };
            if held.unset {
                choice.push(Held::nothing());
            }
            out.push(choice.into_iter().map(|h| vec![(path.clone(), h)]).collect());
        }
        if round && self.holds_round() {
            let lapses = self.state.and_then(|s| self.kind.state(s)).and_then(|s| s.assents.as_ref()).is_some_and(|a| a.lapses.is_some());
            let named = ["all", "any_refused", "lapsed"];
            let mut ways = vec![[false, false, false], [true, false, false], [false, true, false]];
            if lapses {
                ways.extend([[false, false, true], [false, true, true]]);
            }
            let way = |w: &[bool; 3]| {
                named.iter().zip(w).map(|(n, b)| (vec!["assents".to_owned(), (*n).to_owned()], Held::just(Value::Bool(*b)))).collect()
            };
            out.push(ways.iter().map(way).collect());
        }
        out.sort_by_key(Vec::len);
        let mut product = 1;
        out.retain(|choice| {
            product = choice.len().max(1).saturating_mul(product);
            product <= WORLDS_MAX
        });
        out
    }

    /// Calls `look` for each way in which things may stand until it says that it has seen enough.
    fn any_world(&self, guards: &[&Guard], questions: &[String], mut look: impl FnMut(&dyn World) -> bool) -> bool {
        let choices = self.choices(guards);
        let mut digits = vec![0usize; choices.len() + questions.len()];
        let sizes: Vec<usize> = choices.iter().map(Vec::len).chain(questions.iter().map(|_| 2)).collect();
        if sizes.contains(&0) {
            return false;
        }
        loop {
            let held = choices.iter().zip(&digits).flat_map(|(choice, at)| choice[*at].iter().cloned()).collect();
            let answers = digits[choices.len()..].iter().map(|at| if *at == 0 { Answers::YES } else { Answers::NO });
            let world = Pinned { place: self, held, settled: questions.iter().cloned().zip(answers).collect() };
            if look(&world) {
                return true;
            }
            let Some(next) = digits.iter().zip(&sizes).position(|(at, size)| at + 1 < *size) else { return false };
            digits[..next].fill(0);
            digits[next] += 1;
        }
    }

    /// Whether all of these can hold at once.
    pub fn can_hold(&self, guards: &[&Guard]) -> bool {
        guards.is_empty() || self.any_world(guards, &[], |world| guards.iter().all(|g| g.could(world).can_be_yes()))
    }

    /// Whether all of these conditions, each a conjunction, can fail to hold at once.
    pub fn can_all_fail(&self, conditions: &[Vec<&Guard>]) -> bool {
        let all: Vec<&Guard> = conditions.iter().flatten().copied().collect();
        self.any_world(&all, &[], |world| conditions.iter().all(|guards| guards.iter().any(|g| g.could(world) != Answers::YES)))
    }

    /// Whether two conditions certainly can hold at once: not where that rests on two questions that nothing decides,
    /// which may exclude each other.
    pub fn surely_together(&self, one: &[&Guard], other: &[&Guard]) -> bool {
        let all: Vec<&Guard> = one.iter().chain(other).copied().collect();
        let open = Pinned { place: self, held: BTreeMap::new(), settled: BTreeMap::new() };
        let mut questions: Vec<String> = all.iter().flat_map(|g| g.open_questions(&open)).collect();
        questions.sort();
        questions.dedup();
        let source = |guards: &[&Guard]| guards.iter().map(|g| g.source().to_owned()).collect::<Vec<_>>();
        if source(one) == source(other) {
            return self.can_hold(&all);
        }
        if questions.len() > 1 {
            return false;
        }
        self.any_world(&all, &questions, |world| all.iter().all(|g| g.could(world) == Answers::YES))
    }
}

/// The value of an expression that reads nothing.
pub fn constant(guard: &Guard) -> Option<Value> {
    if !guard.reads().is_empty() {
        return None;
    }
    match guard.eval(&Value::Record(BTreeMap::new())) {
        Outcome::Known(value) => Some(value),
        Outcome::Unknown { .. } => None,
    }
}

/// What a datum may hold, from every expression that sets it.
pub fn datum(kind: &Kind, name: &str, inner: &[String]) -> Held {
    let Some(ty) = kind.data.get(name) else { return Held::anything() };
    if !inner.is_empty() {
        return Held::anything();
    }
    let mut values: Option<Vec<Value>> = Some(Vec::new());
    for transition in kind.transitions.values() {
        if transition.def.number.is_some() && name == "number" {
            values = None;
        }
        for (_, guard) in transition.sets.iter().filter(|(datum, _)| datum == name) {
            let set = match (constant(guard), guard.source().strip_prefix("input.")) {
                (Some(value), _) => Held::just(value),
                (None, Some(field)) => match &transition.input {
                    Type::Record(fields) => fields.get(field).map_or_else(Held::anything, |f| of_type(&f.ty, &[])),
                    _ => Held::anything(),
                },
                _ => of_type(ty, &[]),
            };
            values = match (values, set.values) {
                (Some(mut all), Some(more)) => {
                    all.extend(more.into_iter().filter(|v| !all.contains(v)).collect::<Vec<_>>());
                    Some(all)
                }
                _ => None,
            };
        }
    }
    // Money and days that are written as constants are few values too, but a total is not one of them.
    let opening = kind.opening();
    let given = |guard: &Guard| {
        guard.source() == "legal_on"
            || constant(guard).is_some()
            || guard.source().strip_prefix("input.").is_some_and(|field| match opening.map(|t| &t.input) {
                Some(Type::Record(fields)) => fields.get(field).is_some_and(|f| !f.optional),
                _ => false,
            })
    };
    let always = opening.is_some_and(|t| t.sets.iter().any(|(datum, guard)| datum == name && given(guard)));
    Held { values, unset: !always }
}
