//! What can be known of a file before any case runs: which states are reached, which transitions can fire and why the
//! others cannot. Every room of the check asks this, so it is worked out once.

use super::domain::{self, Place};
use crate::definition::model::{Definition, Kind, Step, StepOn, Transition};
use crate::guard::{Guard, Held};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The file, looked at once.
pub struct Model<'d> {
    /// The file.
    pub definition: &'d Definition,
    /// States that can be reached, by kind.
    reached: BTreeMap<&'d str, BTreeSet<&'d str>>,
    /// Transitions that can never fire, by kind and name, with the reason.
    never: BTreeMap<&'d str, BTreeMap<&'d str, String>>,
    /// Transitions that a step of another one fires.
    by_step: BTreeMap<&'d str, BTreeMap<&'d str, BTreeSet<&'d str>>>,
    /// Kinds that a step opens.
    by_opening: BTreeSet<&'d str>,
    data: RefCell<BTreeMap<(&'d str, String), Held>>,
}

impl<'d> Model<'d> {
    /// Looks at a file.
    #[must_use]
    pub fn of(definition: &'d Definition) -> Self {
        let mut model = Self {
            definition,
            reached: BTreeMap::new(),
            never: BTreeMap::new(),
            by_step: BTreeMap::new(),
            by_opening: BTreeSet::new(),
            data: RefCell::new(BTreeMap::new()),
        };
        for (kind, transition) in model.transitions() {
            for step in &transition.then {
                match step {
                    Step::Open { kind, .. } => drop(model.by_opening.insert(kind)),
                    Step::Fire { transition, on } => {
                        let target = match on {
                            StepOn::Parent => kind.def.of.as_deref(),
                            StepOn::Each(other, _) => Some(other.as_str()),
                        };
                        if let Some(target) = target {
                            model.by_step.entry(target).or_default().entry(transition).or_default().insert(&kind.name);
                        }
                    }
                    _ => {}
                }
            }
        }
        // Parents first, because a child is opened in a state of its parent.
        let mut left: Vec<&'d Kind> = definition.kinds.values().collect();
        while !left.is_empty() {
            let known = |k: &&Kind| k.def.of.as_deref().is_none_or(|of| model.reached.contains_key(of) || !definition.kinds.contains_key(of));
            // A circle of parents cannot be opened at all; its kinds are taken as they come.
            let next = left.iter().position(known).unwrap_or(0);
            model.reach(left.remove(next));
        }
        model
    }

    /// Every transition with its kind, in the order of the file.
    pub fn transitions(&self) -> impl Iterator<Item = (&'d Kind, &'d Transition)> + use<'d> {
        let definition = self.definition;
        definition.kinds.values().flat_map(|k| k.transitions.values().map(move |t| (k, t)))
    }

    /// The states of a kind that can be reached; all of them before that is known.
    pub fn reached(&self, kind: &'d Kind) -> Vec<&'d str> {
        match self.reached.get(kind.name.as_str()) {
            Some(states) => states.iter().copied().collect(),
            None => kind.def.states.keys().map(String::as_str).collect(),
        }
    }

    /// Whether a state can be reached.
    pub fn is_reached(&self, kind: &Kind, state: &str) -> bool {
        self.reached.get(kind.name.as_str()).is_none_or(|states| states.contains(state))
    }

    /// The open states of a kind that can be reached, in the order of the file.
    pub fn waiting(&self, kind: &'d Kind) -> impl Iterator<Item = &'d str> {
        kind.def.states.iter().filter(|(n, s)| s.final_.is_none() && self.is_reached(kind, n)).map(|(n, _)| n.as_str())
    }

    /// Why a transition can never fire.
    pub fn never(&self, kind: &Kind, transition: &Transition) -> Option<&str> {
        self.never.get(kind.name.as_str())?.get(transition.name.as_str()).map(String::as_str)
    }

    /// The transitions that lead from a state and can fire.
    pub fn leaving<'s>(&'s self, kind: &'d Kind, state: &'s str) -> impl Iterator<Item = &'d Transition> + use<'s, 'd> {
        kind.transitions.values().filter(move |t| t.from.contains(state) && self.never(kind, t).is_none())
    }

    /// Whether a step of another transition fires this one.
    pub fn by_step(&self, kind: &Kind, transition: &Transition) -> bool {
        self.firing(kind, transition).next().is_some()
    }

    /// The kinds of which a step fires this transition.
    pub fn firing(&self, kind: &Kind, transition: &Transition) -> impl Iterator<Item = &'d str> {
        let found = self.by_step.get(kind.name.as_str()).and_then(|k| k.get(transition.name.as_str()));
        found.into_iter().flatten().copied()
    }

    /// Whether a step opens proceedings of this kind.
    pub fn by_opening(&self, kind: &Kind) -> bool {
        self.by_opening.contains(kind.name.as_str())
    }

    /// What a datum may hold.
    pub fn datum(&self, kind: &'d Kind, name: &str, inner: &[String]) -> Held {
        if !inner.is_empty() {
            return Held::anything();
        }
        let key = (kind.name.as_str(), name.to_owned());
        if let Some(held) = self.data.borrow().get(&key) {
            return held.clone();
        }
        let held = domain::datum(kind, name, inner);
        self.data.borrow_mut().insert(key, held.clone());
        held
    }

    /// Where the conditions of a transition are asked.
    pub fn place<'m>(&'m self, kind: &'d Kind, transition: &'d Transition, state: Option<&'d str>) -> Place<'m, 'd> {
        Place { model: self, kind, state, parent: None, defaults: false, by: &transition.def.by, input: Some(&transition.input) }
    }

    fn reach(&mut self, kind: &'d Kind) {
        let mut reached: BTreeSet<&'d str> = BTreeSet::new();
        let mut fires: BTreeSet<&'d str> = BTreeSet::new();
        for transition in kind.transitions.values().filter(|t| t.opens) {
            match self.cannot_open(kind, transition) {
                Some(why) => drop(self.never.entry(&kind.name).or_default().insert(&transition.name, why)),
                None => drop(fires.insert(&transition.name)),
            }
            // What would follow is looked at all the same, so that one mistake does not bring thirty.
            reached.extend(transition.to.as_deref());
        }
        reached.extend(kind.def.ends_as.as_deref());
        let mut tried: BTreeSet<(&str, &str)> = BTreeSet::new();
        loop {
            let before = reached.len();
            for transition in kind.transitions.values().filter(|t| !t.opens) {
                let states: Vec<&'d str> = transition.from.iter().map(String::as_str).filter(|s| reached.contains(s)).collect();
                for state in states {
                    if tried.insert((&transition.name, state)) && self.can_leave(kind, transition, state) {
                        fires.insert(&transition.name);
                        reached.extend(transition.to.as_deref());
                    }
                }
            }
            if reached.len() == before {
                break;
            }
        }
        for transition in kind.transitions.values().filter(|t| !t.opens && !fires.contains(t.name.as_str())) {
            let why = self.why_never(kind, transition, &reached);
            self.never.entry(&kind.name).or_default().insert(&transition.name, why);
        }
        self.reached.insert(&kind.name, reached);
    }

    /// Everything that must hold for a transition.
    pub fn conditions(transition: &'d Transition) -> Vec<&'d Guard> {
        transition.when.iter().chain(&transition.auto).chain(&transition.accepts).collect()
    }

    /// Whether something or somebody could fire it in this state.
    fn can_leave(&self, kind: &'d Kind, transition: &'d Transition, state: &'d str) -> bool {
        let fires = |d: &crate::definition::model::Deadline| d.fires.contains(&transition.name) && d.lives_in.contains(state);
        let moved =
            !transition.def.by.is_empty() || transition.auto.is_some() || self.by_step(kind, transition) || kind.deadlines.values().any(fires);
        let in_time = transition.def.within.as_ref().is_none_or(|d| kind.deadlines.get(d).is_none_or(|d| d.lives_in.contains(state)));
        moved && in_time && self.place(kind, transition, Some(state)).can_hold(&Self::conditions(transition))
    }

    fn why_never(&self, kind: &'d Kind, transition: &'d Transition, reached: &BTreeSet<&'d str>) -> String {
        let states: Vec<&'d str> = transition.from.iter().map(String::as_str).filter(|s| reached.contains(s)).collect();
        if states.is_empty() {
            return "no path leads to the states that it leaves".to_owned();
        }
        let can = |guards: &[&Guard]| states.iter().any(|s| self.place(kind, transition, Some(s)).can_hold(guards));
        let named = [("when", &transition.when), ("auto", &transition.auto), ("accepts", &transition.accepts)];
        for (name, guard) in named.iter().filter_map(|(n, g)| Some((n, g.as_ref()?))) {
            if !can(&[guard]) {
                return format!("`{name}: {}` can never hold in {}", guard.source(), list(&states));
            }
        }
        if !can(&Self::conditions(transition)) {
            return "its conditions can never hold together".to_owned();
        }
        if let Some(within) = transition.def.within.as_ref().and_then(|d| kind.deadlines.get(d))
            && !states.iter().any(|s| within.lives_in.contains(*s))
        {
            return format!("it must be `within` {}, which never runs in {}", within.name, list(&states));
        }
        if kind.deadlines.values().any(|d| d.fires.contains(&transition.name)) {
            return format!("only a deadline fires it, and none of them runs in {}", list(&states));
        }
        "nobody and nothing fires it".to_owned()
    }

    fn cannot_open(&self, kind: &'d Kind, transition: &'d Transition) -> Option<String> {
        let file = &self.definition.file;
        let by = &transition.def.by;
        let needs = transition.def.needs.as_ref();
        if !self.place(kind, transition, None).can_hold(&Self::conditions(transition)) {
            let guard = transition.when.iter().chain(&transition.accepts).next().map(|g| g.source().to_owned()).unwrap_or_default();
            return Some(format!("`{guard}` can never hold when this proceeding is opened"));
        }
        if let Some(paper) = needs.and_then(|n| n.papers.iter().find(|p| file.papers.get(*p).is_some_and(|p| p.of == kind.name))) {
            return Some(format!("it needs the paper `{paper}`, which belongs to the very proceeding that it opens"));
        }
        let own_seat = |b: &String| b.starts_with("this.");
        if !by.is_empty() && by.iter().all(own_seat) && !self.by_opening(kind) {
            return Some("only the holder of a seat of this proceeding may open it, and nobody holds that before it is there".to_owned());
        }
        if kind.def.root {
            if let Some(consent) = needs.and_then(|n| n.consents.first()) {
                return Some(format!("it needs the consent `{consent}` of people who can only be written down once the case is open"));
            }
            if let Some(seat) = needs.and_then(|n| n.seats.first()) {
                return Some(format!("it needs the seat `{seat}`, which can only be filled once the case is open"));
            }
            if !by.iter().any(|b| file.roles.contains_key(b)) {
                return Some("nobody of the committee may open the case, and there are no parties or seats before it is open".to_owned());
            }
        }
        None
    }
}

/// Names as a reader would list them.
pub fn list<'s>(names: impl IntoIterator<Item = &'s &'s str>) -> String {
    names.into_iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
