//! Does each invariant hold in every state that the steps lead to? A bounded search over what the invariant asks for:
//! at most two proceedings of a kind, their states, and such data as decide between few ways on.
//!
//! A breach is reported only when every condition on its path is certainly met by some case. One that rests on a
//! condition which the search cannot decide is a note: to call it a fault might be a false alarm. So is a search that
//! came to its bound. Whatever is missed here, the engine refuses at the commit.

use super::domain::Place;
use super::model::{Model, list};
use super::{Aim, Question, Room};
use crate::definition::model::{Kind, PolicyValue, Step, StepOn, Transition};
use crate::guard::{Answers, Guard, Held, World};
use crate::value::{Type, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// At most so many states are looked at for all invariants of a file together.
const STATES_MAX: usize = 20_000;
/// At most so many proceedings of a kind.
const INSTANCES_MAX: usize = 2;
/// At most so many automatic steps after one step, and steps within steps.
const STEPS_MAX: usize = 32;
/// At most so many ways to choose the input of one step.
const INPUTS_MAX: usize = 16;

/// Invariants that some path breaks.
pub(super) fn breaches(room: &mut Room<'_>) {
    let d = room.definition;
    let mut left = STATES_MAX;
    // Those that ask for the same kinds are looked at together.
    let mut groups: BTreeMap<Vec<&str>, Vec<(&String, &Guard)>> = BTreeMap::new();
    for (name, guard) in &d.always {
        groups.entry(concerned(&room.model, guard)).or_default().push((name, guard));
    }
    for (kinds, group) in groups {
        // First without any data, by whatever may happen: where nothing breaks it even so, it holds.
        let guards: Vec<&Guard> = group.iter().map(|(_, g)| *g).collect();
        let loose = Search::new(&room.model, &kinds, &guards, false).run(&mut left);
        for ((name, guard), path) in group.iter().zip(&loose.breaches) {
            if path.is_none() && !loose.bound {
                continue;
            }
            let key = format!("always.{name}");
            let sure = Search::new(&room.model, &kinds, &[*guard], true).run(&mut left);
            match (sure.breaches.into_iter().next().flatten(), path) {
                (Some(path), _) => {
                    let steps: Vec<&str> = path.iter().map(String::as_str).collect();
                    let message = format!("this can be broken: {}", list(&steps));
                    let hint = "let a condition of one of these steps exclude it; the engine would refuse the last of them";
                    room.say(Question::Invariant, &key, message, hint, Some(Aim::Breach { path }));
                }
                (None, Some(path)) if !sure.bound => room.note(format!(
                    "{key}: {} would break it, if conditions on data that the search cannot decide allow these steps",
                    path.join(", ")
                )),
                _ => room.note(format!("{key}: the search came to its bound of {STATES_MAX} states, and found no breach up to there")),
            }
        }
    }
}

/// The kinds that an invariant asks for, and those above them.
fn concerned<'d>(model: &Model<'d>, invariant: &Guard) -> Vec<&'d str> {
    let d = model.definition;
    let mut names: BTreeSet<&str> = BTreeSet::from([d.root.as_str()]);
    for path in invariant.reads() {
        let mut next = d.kinds.get(&path[0]);
        while let Some(kind) = next.filter(|k| names.insert(k.name.as_str())) {
            next = kind.def.of.as_deref().and_then(|of| d.kinds.get(of));
        }
    }
    names.into_iter().collect()
}

/// What a search found.
struct Found {
    /// For each invariant the steps that break it, `kind.transition`, in order.
    breaches: Vec<Option<Vec<String>>>,
    /// It came to its bound.
    bound: bool,
}

/// What a datum holds: nothing, something, or the value of this place in its list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Datum {
    Nothing,
    Something,
    Value(u8),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Node {
    kind: u8,
    state: u8,
    parent: u8,
    data: Vec<Datum>,
}

/// Where a case stands, as far as the search looks.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Stand {
    nodes: Vec<Node>,
    /// Kinds beyond the search of which there may be some by now.
    beyond: u64,
}

/// What may move a proceeding that is in a state.
#[derive(Default)]
struct Plan<'d> {
    /// Each with whether its conditions hold whatever else there is.
    moves: Vec<(&'d Transition, bool)>,
    /// Those that may come to hold certainly.
    autos: Vec<&'d Transition>,
}

/// A quick hash: what is hashed here are a few small numbers of our own, which nobody chooses to collide.
#[derive(Default)]
struct Mixed(u64);

type Quick = BuildHasherDefault<Mixed>;

impl Mixed {
    fn mix(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.mix(u64::from(*b)));
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.mix(n.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

/// A condition, by its place in memory; the state of the proceeding and of its parent; and of the lists that it asks for.
type Asked = (usize, u8, u8, Vec<u16>);

/// A step that was taken.
type Taken<'d> = (&'d Kind, &'d Transition);

struct Search<'m, 'd> {
    model: &'m Model<'d>,
    invariants: Vec<&'d Guard>,
    kinds: Vec<&'d Kind>,
    /// Only by conditions that certainly can be met, and with the data that decide them.
    sure: bool,
    /// For each kind and state the one that stands for it: ends that no condition tells apart are one.
    class: Vec<Vec<u8>>,
    /// Whether nothing in the search is opened below a kind.
    leaf: Vec<bool>,
    /// For each kind and state what may move a proceeding there.
    plan: Vec<Vec<Plan<'d>>>,
    /// The kinds of the search that a condition asks for as a list.
    asks: HashMap<usize, Vec<u8>, Quick>,
    /// Answers by condition, own state, parent's state, and the states of the lists that are asked for. Without data
    /// nothing else decides.
    answers: RefCell<HashMap<Asked, Answers, Quick>>,
    /// For each kind the data that conditions ask for, with the values they may hold.
    data: Vec<Vec<(&'d str, Vec<Value>)>>,
}

impl<'m, 'd> Search<'m, 'd> {
    fn new(model: &'m Model<'d>, names: &[&str], invariants: &[&'d Guard], sure: bool) -> Self {
        let kinds: Vec<&'d Kind> = model.definition.kinds.values().filter(|k| names.contains(&k.name.as_str())).collect();
        let data = kinds.iter().map(|k| if sure { tracked(model, &kinds, k) } else { Vec::new() }).collect();
        let told: BTreeSet<String> = kinds
            .iter()
            .flat_map(|k| k.transitions.values().flat_map(Model::conditions))
            .chain(invariants.iter().copied())
            .flat_map(Guard::literals)
            .filter_map(|v| if let Value::Text(word) = v { Some(word) } else { None })
            .collect();
        let class = kinds.iter().map(|k| classes(k, &told)).collect();
        let leaf = kinds.iter().map(|k| !kinds.iter().any(|c| c.def.of.as_ref() == Some(&k.name))).collect();
        let guards = kinds.iter().flat_map(|k| k.transitions.values().flat_map(Model::conditions)).chain(invariants.iter().copied());
        let asks = guards.map(|g| {
            let read = g.reads();
            let lists = kinds.iter().enumerate().filter(|(_, k)| read.iter().any(|p| p[0] == k.name));
            (std::ptr::from_ref::<Guard>(g) as usize, lists.filter_map(|(i, _)| u8::try_from(i).ok()).collect())
        });
        let asks = asks.collect();
        let mut search =
            Self { model, invariants: invariants.to_vec(), kinds, sure, class, leaf, plan: Vec::new(), asks, answers: RefCell::default(), data };
        search.plan = search.kinds.iter().map(|k| k.def.states.keys().map(|s| search.plan(k, s)).collect()).collect();
        search
    }

    fn kind(&self, name: &str) -> Option<usize> {
        self.kinds.iter().position(|k| k.name == name)
    }

    fn state_of(&self, node: &Node) -> &'d str {
        self.kinds[usize::from(node.kind)].def.states.get_index(usize::from(node.state)).map_or("", |(n, _)| n.as_str())
    }

    fn is_open(&self, node: &Node) -> bool {
        self.kinds[usize::from(node.kind)].def.states.get_index(usize::from(node.state)).is_some_and(|(_, s)| s.final_.is_none())
    }

    /// Breadth first, so that the shortest breach is found.
    fn run(&self, left: &mut usize) -> Found {
        let mut found = Found { breaches: vec![None; self.invariants.len()], bound: false };
        let Some(root) = self.kind(&self.model.definition.root) else { return found };
        let Some(opening) = self.kinds[root].opening() else { return found };
        let mut known: HashSet<Stand, Quick> = HashSet::default();
        let mut seen: HashSet<Stand, Quick> = HashSet::default();
        let mut came: Vec<(usize, Taken<'d>)> = Vec::new();
        let mut queue: VecDeque<(Stand, usize)> = VecDeque::new();
        let mut first = Vec::new();
        self.open(&Stand::default(), root, opening, u8::MAX, &mut first, 0);
        let mut pending: Vec<(Stand, usize, Taken<'d>)> = first.into_iter().map(|s| (s, usize::MAX, (self.kinds[root], opening))).collect();
        loop {
            for (stand, from, step) in pending.drain(..) {
                if !seen.insert(stand.clone()) {
                    continue;
                }
                let stand = self.canonical(self.settle(stand));
                if known.contains(&stand) {
                    continue;
                }
                if *left == 0 {
                    found.bound = true;
                    return found;
                }
                *left -= 1;
                let index = came.len();
                came.push((from, step));
                let look = Look { search: self, stand: &stand, this: None, parent: None, place: None, input: &BTreeMap::new() };
                for (breach, invariant) in found.breaches.iter_mut().zip(&self.invariants) {
                    if breach.is_none() && !self.answer(&look, invariant).can_be_yes() {
                        let path = path(&came, index);
                        // A path that takes a step more often than it may be taken is none.
                        *breach = self.within_limits(&path).then(|| path.iter().map(|(k, t)| format!("{}.{}", k.name, t.name)).collect());
                    }
                }
                if found.breaches.iter().all(Option::is_some) {
                    return found;
                }
                known.insert(stand.clone());
                queue.push_back((stand, index));
            }
            let Some((stand, index)) = queue.pop_front() else { return found };
            self.moves(&stand, |next, step| pending.push((next, index, step)));
        }
    }

    fn within_limits(&self, path: &[Taken<'d>]) -> bool {
        path.iter().all(|(kind, step)| {
            let times = path.iter().filter(|(k, s)| k.name == kind.name && s.name == step.name).count();
            step.def.at_most.is_none_or(|most| times <= usize::try_from(most).unwrap_or(usize::MAX))
        })
    }

    /// What may move a proceeding of this kind in this state.
    fn plan(&self, kind: &'d Kind, state: &'d str) -> Plan<'d> {
        let mut plan = Plan::default();
        let mut alike = BTreeSet::new();
        if kind.state(state).is_none_or(|s| s.final_.is_some()) {
            return plan;
        }
        for transition in self.model.leaving(kind, state) {
            let fixed = self.fixed(kind, transition, state);
            // What nothing else decides and is not certain, is never certain.
            if transition.auto.is_some() && fixed.iter().all(|a| a.is_none_or(|a| a == Answers::YES)) {
                plan.autos.push(transition);
            }
            if fixed.iter().flatten().any(|a| !a.can_be_yes()) {
                continue;
            }
            let free = !self.sure && fixed.iter().all(|a| a.is_some_and(Answers::can_be_yes));
            let own = !transition.def.by.is_empty()
                || transition.auto.is_some()
                || kind.deadlines.values().any(|d| d.fires.contains(&transition.name) && d.lives_in.contains(state));
            // A step of a kind beyond the search may fire it, or may not.
            let foreign = !own && !self.sure && self.model.firing(kind, transition).any(|k| self.kind(k).is_none());
            if !own && !foreign {
                continue;
            }
            if !self.sure {
                // Without data, a step that moves nothing here adds nothing, and of steps that do the same one is enough.
                let does: Vec<(&str, &str)> = transition.then.iter().filter(|s| self.moves_something(s)).map(outline).collect();
                let stays = transition.to.as_deref().is_none_or(|to| to == state);
                let asks: Vec<&str> = Model::conditions(transition).iter().map(|g| g.source()).collect();
                if (stays && does.is_empty()) || !alike.insert((transition.to.as_deref(), does, asks)) {
                    continue;
                }
            }
            plan.moves.push((transition, free));
        }
        plan
    }

    /// What the conditions of a step answer in a state; none where other proceedings, or data that are followed, decide.
    fn fixed(&self, kind: &'d Kind, transition: &'d Transition, state: &'d str) -> Vec<Option<Answers>> {
        let place = self.model.place(kind, transition, Some(state));
        let answer = |g: &Guard| {
            let reads = g.reads();
            let elsewhere = reads.iter().any(|p| {
                let own = p[0] == "this" && p.get(1).is_some_and(|n| n != "state" && n != "open");
                self.model.definition.kinds.contains_key(&p[0]) || (own && (self.sure || p[1] == "parent")) || (self.sure && p[0] == "input")
            });
            (!elsewhere).then(|| g.could(&Fixed(place, self.model.definition)))
        };
        transition.when.iter().chain(&transition.auto).chain(&transition.accepts).map(answer).collect()
    }

    fn moves_something(&self, step: &Step) -> bool {
        match step {
            Step::End { kind } => kind.as_ref().is_none_or(|k| self.kind(k).is_some()),
            Step::Open { kind, .. } => self.kind(kind).is_some(),
            Step::Fire { on: StepOn::Each(kind, _), .. } => self.kind(kind).is_some(),
            Step::Fire { .. } => true,
            Step::Seat { .. } | Step::Vacate { .. } | Step::Send { .. } => false,
        }
    }

    /// Every step that may follow.
    fn moves(&self, stand: &Stand, mut next: impl FnMut(Stand, Taken<'d>)) {
        let mut out = Vec::new();
        for (index, node) in stand.nodes.iter().enumerate() {
            let kind = self.kinds[usize::from(node.kind)];
            for (transition, free) in &self.plan[usize::from(node.kind)][usize::from(node.state)].moves {
                self.fire(stand, index, transition, *free, &mut out, 0);
                out.drain(..).for_each(|s| next(s, (kind, transition)));
            }
            for (child, kind) in self.kinds.iter().enumerate().filter(|(_, k)| k.def.of.as_deref() == Some(kind.name.as_str())) {
                let Some(opening) = kind.opening().filter(|t| !t.def.by.is_empty() && self.model.never(kind, t).is_none()) else { continue };
                // Below a parent that has ended only what outlives it is opened, or what asks for just that.
                if !self.is_open(node) && !kind.def.outlives && opening.when.is_none() {
                    continue;
                }
                self.open(stand, child, opening, u8::try_from(index).unwrap_or(u8::MAX), &mut out, 0);
                out.drain(..).for_each(|s| next(s, (kind, opening)));
            }
        }
    }

    /// One form for stands that differ only in the order of like proceedings, or in which end they came to.
    fn canonical(&self, stand: Stand) -> Stand {
        let mut order: Vec<usize> = (0..stand.nodes.len()).collect();
        order.sort_by_key(|i| {
            let node = &stand.nodes[*i];
            if self.leaf[usize::from(node.kind)] { (1, 0, node.kind, node.parent, node.state) } else { (0, *i, 0, 0, 0) }
        });
        let mut place = vec![u8::MAX; stand.nodes.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = u8::try_from(new).unwrap_or(u8::MAX);
        }
        let node = |i: &usize| {
            let mut node = stand.nodes[*i].clone();
            node.state = self.class[usize::from(node.kind)][usize::from(node.state)];
            node.parent = place.get(usize::from(node.parent)).copied().unwrap_or(u8::MAX);
            node
        };
        Stand { nodes: order.iter().map(node).collect(), beyond: stand.beyond }
    }

    /// What a condition may answer.
    fn answer(&self, look: &Look<'_, '_, 'd>, guard: &Guard) -> Answers {
        if self.sure {
            return guard.could(look);
        }
        let state = |index: Option<usize>| index.map_or(u8::MAX, |i| look.stand.nodes[i].state);
        let id = std::ptr::from_ref::<Guard>(guard) as usize;
        let lists = self.asks.get(&id).map(Vec::as_slice).unwrap_or_default();
        let listed = look.stand.nodes.iter().filter(|n| lists.contains(&n.kind)).map(|n| u16::from(n.kind) << 8 | u16::from(n.state));
        let key = (id, state(look.this), state(look.parent), listed.collect());
        if let Some(known) = self.answers.borrow().get(&key) {
            return *known;
        }
        let answer = guard.could(look);
        self.answers.borrow_mut().insert(key, answer);
        answer
    }

    /// Whether the conditions of a step may be met; and, where that is wanted, whether they certainly can be.
    fn holds(&self, look: &Look<'_, '_, 'd>, transition: &'d Transition) -> bool {
        // What people answer in a round is theirs to choose.
        let mut guards = transition.when.iter().chain(&transition.auto).chain(&transition.accepts);
        guards.all(|g| self.answer(look, g).can_be_yes() && (!self.sure || g.open_questions(look).is_empty()))
    }

    fn look<'s>(
        &'s self,
        stand: &'s Stand,
        this: Option<usize>,
        parent: Option<usize>,
        kind: &'d Kind,
        transition: &'d Transition,
        input: &'s BTreeMap<String, Held>,
    ) -> Look<'s, 'm, 'd> {
        let state = this.map(|i| self.state_of(&stand.nodes[i]));
        let place = Place { parent: None, ..self.model.place(kind, transition, state) };
        Look { search: self, stand, this, parent, place: Some(place), input }
    }

    fn fire(&self, stand: &Stand, index: usize, transition: &'d Transition, free: bool, out: &mut Vec<Stand>, depth: usize) {
        if depth > STEPS_MAX {
            return;
        }
        let node = &stand.nodes[index];
        let kind = self.kinds[usize::from(node.kind)];
        if !transition.from.contains(self.state_of(node)) {
            return;
        }
        for input in self.inputs(transition) {
            let parent = (node.parent != u8::MAX).then_some(usize::from(node.parent));
            let look = self.look(stand, Some(index), parent, kind, transition, &input);
            if !free && !self.holds(&look, transition) {
                continue;
            }
            let data = self.set(&look, usize::from(node.kind), node.data.clone(), transition, &input);
            let mut after = stand.clone();
            after.nodes[index].data = data;
            if let Some(to) = transition.to.as_ref().and_then(|to| kind.def.states.get_index_of(to)) {
                after.nodes[index].state = u8::try_from(to).unwrap_or(u8::MAX);
            }
            self.then(after, index, &transition.then, out, depth);
        }
    }

    fn open(&self, stand: &Stand, kind: usize, transition: &'d Transition, parent: u8, out: &mut Vec<Stand>, depth: usize) {
        let def = self.kinds[kind];
        let same: Vec<&Node> = stand.nodes.iter().filter(|n| usize::from(n.kind) == kind).collect();
        let taken = same.iter().any(|n| n.parent == parent && def.limit.iter().any(|s| s == self.state_of(n)));
        if same.len() >= INSTANCES_MAX || taken || depth > STEPS_MAX {
            return;
        }
        let Some(state) = transition.to.as_ref().and_then(|to| def.def.states.get_index_of(to)) else { return };
        for input in self.inputs(transition) {
            let above = (parent != u8::MAX).then_some(usize::from(parent));
            let look = self.look(stand, None, above, def, transition, &input);
            if !self.holds(&look, transition) {
                continue;
            }
            let data = self.set(&look, kind, vec![Datum::Nothing; self.data[kind].len()], transition, &input);
            let mut after = stand.clone();
            after.nodes.push(Node { kind: u8::try_from(kind).unwrap_or(u8::MAX), state: u8::try_from(state).unwrap_or(u8::MAX), parent, data });
            let index = after.nodes.len() - 1;
            self.then(after, index, &transition.then, out, depth);
        }
    }

    /// The steps that follow in the same breath: one that is refused refuses all.
    fn then(&self, stand: Stand, index: usize, steps: &'d [Step], out: &mut Vec<Stand>, depth: usize) {
        let Some((step, rest)) = steps.split_first() else { return out.push(stand) };
        let mut inner = Vec::new();
        match step {
            Step::End { kind } => inner.push(self.end(stand, index, kind.as_deref())),
            Step::Open { kind, .. } => match self.kind(kind) {
                Some(kind) => {
                    if let Some(opening) = self.kinds[kind].opening() {
                        self.open(&stand, kind, opening, u8::try_from(index).unwrap_or(u8::MAX), &mut inner, depth + 1);
                        if inner.is_empty() && stand.nodes.iter().filter(|n| usize::from(n.kind) == kind).count() >= INSTANCES_MAX {
                            // A third one is beyond the search.
                            return;
                        }
                    }
                }
                None => {
                    let bit = self.model.definition.kinds.get_index_of(kind).map_or(63, |i| i.min(63));
                    // What there may be beyond the search decides only where nothing is left open.
                    let beyond = if self.sure { stand.beyond | (1 << bit) } else { 0 };
                    inner.push(Stand { beyond, ..stand });
                }
            },
            Step::Fire { transition, on } => {
                let targets: Vec<usize> = match on {
                    StepOn::Parent => Some(stand.nodes[index].parent).filter(|p| *p != u8::MAX).map(usize::from).into_iter().collect(),
                    StepOn::Each(kind, states) => (0..stand.nodes.len())
                        .filter(|i| {
                            let node = &stand.nodes[*i];
                            let state = self.state_of(node);
                            self.kinds[usize::from(node.kind)].name == *kind
                                && self.is_open(node)
                                && (states.is_empty() || states.iter().any(|s| s == state))
                        })
                        .collect(),
                };
                let mut stands = vec![stand];
                for target in targets {
                    let mut after = Vec::new();
                    for stand in &stands {
                        let kind = self.kinds[usize::from(stand.nodes[target].kind)];
                        if let Some(transition) = kind.transitions.get(transition) {
                            self.fire(stand, target, transition, false, &mut after, depth + 1);
                        }
                    }
                    stands = after;
                }
                inner = stands;
            }
            Step::Seat { .. } | Step::Vacate { .. } | Step::Send { .. } => inner.push(stand),
        }
        for stand in inner {
            self.then(stand, index, rest, out, depth);
        }
    }

    fn end(&self, mut stand: Stand, index: usize, only: Option<&str>) -> Stand {
        let children: Vec<usize> = (0..stand.nodes.len())
            .filter(|i| {
                let node = &stand.nodes[*i];
                usize::from(node.parent) == index && self.is_open(node) && only.is_none_or(|k| self.kinds[usize::from(node.kind)].name == k)
            })
            .collect();
        for child in children {
            let kind = self.kinds[usize::from(stand.nodes[child].kind)];
            let Some(to) = kind.def.ends_as.as_ref().and_then(|to| kind.def.states.get_index_of(to)) else { continue };
            stand = self.end(stand, child, None);
            stand.nodes[child].state = u8::try_from(to).unwrap_or(u8::MAX);
        }
        stand
    }

    /// Automatic steps whose condition certainly holds follow at once.
    fn settle(&self, mut stand: Stand) -> Stand {
        for _ in 0..STEPS_MAX {
            let next = (0..stand.nodes.len()).find_map(|index| {
                let node = &stand.nodes[index];
                let kind = self.kinds[usize::from(node.kind)];
                let parent = (node.parent != u8::MAX).then_some(usize::from(node.parent));
                let certain = |t: &&&'d Transition| {
                    let nothing = BTreeMap::new();
                    let look = self.look(&stand, Some(index), parent, kind, t, &nothing);
                    t.when.iter().chain(&t.auto).all(|g| self.answer(&look, g) == Answers::YES)
                };
                let transition = self.plan[usize::from(node.kind)][usize::from(node.state)].autos.iter().find(certain)?;
                let mut out = Vec::new();
                self.fire(&stand, index, transition, true, &mut out, 0);
                out.into_iter().next()
            });
            match next {
                Some(after) if after != stand => stand = after,
                _ => break,
            }
        }
        stand
    }

    /// The ways to fill in the input that decides data which the search follows.
    fn inputs(&self, transition: &Transition) -> Vec<BTreeMap<String, Held>> {
        if !self.sure {
            return vec![BTreeMap::new()];
        }
        let Type::Record(fields) = &transition.input else { return vec![BTreeMap::new()] };
        let mut out = vec![BTreeMap::new()];
        let kept = |name: &str| transition.sets.iter().any(|(_, g)| g.source().strip_prefix("input.") == Some(name));
        for (name, field) in fields.iter().filter(|(n, _)| kept(n)) {
            let values: Vec<Value> = match &field.ty {
                Type::Bool => vec![Value::Bool(true), Value::Bool(false)],
                Type::Enum(words) => words.iter().map(|w| Value::Text(w.clone())).collect(),
                _ => continue,
            };
            if out.len() * values.len() > INPUTS_MAX {
                continue;
            }
            out = out
                .iter()
                .flat_map(|chosen: &BTreeMap<String, Held>| {
                    values.iter().map(move |v| {
                        let mut more = chosen.clone();
                        more.insert(name.clone(), Held::just(v.clone()));
                        more
                    })
                })
                .collect();
        }
        out
    }

    /// The data after a step.
    fn set(&self, look: &Look<'_, '_, 'd>, kind: usize, mut data: Vec<Datum>, transition: &Transition, input: &BTreeMap<String, Held>) -> Vec<Datum> {
        for (slot, (name, values)) in data.iter_mut().zip(&self.data[kind]) {
            if *name == "number" && transition.def.number.is_some() {
                *slot = Datum::Something;
            }
            for (_, guard) in transition.sets.iter().filter(|(datum, _)| datum == name) {
                let held = match guard.source().strip_prefix("input.").and_then(|f| input.get(f)) {
                    Some(held) => Some(held.clone()),
                    None => super::domain::constant(guard).map(Held::just),
                };
                let value = held.and_then(|h| h.values).and_then(|v| v.into_iter().next());
                *slot = match value {
                    Some(value) => values.iter().position(|v| *v == value).and_then(|i| u8::try_from(i).ok()).map_or(Datum::Something, Datum::Value),
                    // What an expression asks for may hold nothing, and then nothing is set.
                    None if guard.reads().iter().any(|p| p[0] != "input" && p[0] != "legal_on" && look.held(p).unset) => *slot,
                    None => Datum::Something,
                };
            }
        }
        data
    }
}

/// For each state the first that no condition tells from it: among ends whose names no condition knows.
fn classes(kind: &Kind, told: &BTreeSet<String>) -> Vec<u8> {
    let plain = |name: &str, def: &crate::definition::file::StateDef| def.final_.is_some() && !told.contains(name);
    let first = kind.def.states.iter().position(|(n, d)| plain(n, d));
    let class = |(at, (n, d)): (usize, (&String, &crate::definition::file::StateDef))| {
        let at = if plain(n, d) { first.unwrap_or(at) } else { at };
        u8::try_from(at).unwrap_or(u8::MAX)
    };
    kind.def.states.iter().enumerate().map(class).collect()
}

/// What a step does, as far as the search follows it.
fn outline(step: &Step) -> (&str, &str) {
    match step {
        Step::End { kind } => ("end", kind.as_deref().unwrap_or_default()),
        Step::Open { kind, .. } => ("open", kind),
        Step::Fire { transition, on: StepOn::Each(kind, _) } => (transition, kind),
        Step::Fire { transition, on: StepOn::Parent } => (transition, ""),
        Step::Seat { .. } | Step::Vacate { .. } | Step::Send { .. } => ("", ""),
    }
}

/// The steps that led to a stand.
fn path<'d>(came: &[(usize, Taken<'d>)], index: usize) -> Vec<Taken<'d>> {
    let mut out = Vec::new();
    let mut at = index;
    while let Some((from, step)) = came.get(at) {
        out.push(*step);
        at = *from;
    }
    out.reverse();
    out
}

/// The data of a kind that conditions within the search ask for, with their values where those are few.
fn tracked<'d>(model: &Model<'d>, kinds: &[&'d Kind], kind: &'d Kind) -> Vec<(&'d str, Vec<Value>)> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for asking in kinds {
        for guard in asking.transitions.values().flat_map(Model::conditions) {
            for path in guard.reads() {
                let parts: Vec<&str> = path.iter().map(String::as_str).collect();
                match parts.as_slice() {
                    ["this", "parent", name, ..] if asking.def.of.as_ref() == Some(&kind.name) => drop(names.insert((*name).to_owned())),
                    ["this", name, ..] if asking.name == kind.name => drop(names.insert((*name).to_owned())),
                    [list, name, ..] if *list == kind.name => drop(names.insert((*name).to_owned())),
                    _ => {}
                }
            }
        }
    }
    let known = kind.data.keys().filter(|n| names.contains(*n));
    known.map(|n| (n.as_str(), model.datum(kind, n, &[]).values.unwrap_or_default())).collect()
}

/// A place with policy as the file has it.
struct Fixed<'m, 'd>(Place<'m, 'd>, &'d crate::definition::Definition);

impl World for Fixed<'_, '_> {
    fn held(&self, path: &[String]) -> Held {
        match path {
            [root, name] if root == "policy" => by_default(self.1, name),
            _ => self.0.held(path),
        }
    }

    fn settled(&self, _: &str) -> Option<Answers> {
        None
    }
}

fn by_default(d: &crate::definition::Definition, name: &str) -> Held {
    d.policy.get(name).and_then(PolicyValue::value).map_or_else(Held::something, Held::just)
}

/// What names hold at one place of one stand.
struct Look<'s, 'm, 'd> {
    search: &'s Search<'m, 'd>,
    stand: &'s Stand,
    this: Option<usize>,
    parent: Option<usize>,
    place: Option<Place<'m, 'd>>,
    input: &'s BTreeMap<String, Held>,
}

impl Look<'_, '_, '_> {
    fn of(&self, index: Option<usize>, rest: &[String]) -> Held {
        let Some(node) = index.and_then(|i| self.stand.nodes.get(i)) else { return Held::nothing() };
        let search = self.search;
        match rest {
            [name] if name == "state" => Held::just(Value::Text(search.state_of(node).to_owned())),
            [name] if name == "open" => Held::just(Value::Bool(search.is_open(node))),
            [name, rest @ ..] if name == "parent" => self.of((node.parent != u8::MAX).then_some(usize::from(node.parent)), rest),
            [name, inner @ ..] => match search.data[usize::from(node.kind)].iter().position(|(n, _)| n == name) {
                Some(_) if !inner.is_empty() => Held::anything(),
                Some(at) => self.datum(node, at),
                None => search.model.datum(search.kinds[usize::from(node.kind)], name, inner),
            },
            [] => Held::something(),
        }
    }

    /// The proceedings of a kind.
    fn nodes(&self, kind: usize) -> impl Iterator<Item = &Node> {
        self.stand.nodes.iter().filter(move |n| usize::from(n.kind) == kind)
    }

    fn datum(&self, node: &Node, at: usize) -> Held {
        match node.data[at] {
            Datum::Nothing => Held::nothing(),
            Datum::Something => Held::something(),
            Datum::Value(i) => Held::just(self.search.data[usize::from(node.kind)][at].1[usize::from(i)].clone()),
        }
    }
}

impl World for Look<'_, '_, '_> {
    fn held(&self, path: &[String]) -> Held {
        let search = self.search;
        let d = search.model.definition;
        match (path[0].as_str(), &path[1..]) {
            ("this", [first, rest @ ..]) if first == "parent" => self.of(self.parent, rest),
            ("this", rest) => self.of(self.this, rest),
            ("input", [name]) if self.input.contains_key(name) => self.input[name].clone(),
            ("policy", [name]) => by_default(d, name),
            (kind, []) if d.kinds.contains_key(kind) => match search.kind(kind) {
                Some(kind) => {
                    let records = self.nodes(kind).map(|n| {
                        let mut record = BTreeMap::from([
                            ("state".to_owned(), Value::Text(search.state_of(n).to_owned())),
                            ("open".to_owned(), Value::Bool(search.is_open(n))),
                        ]);
                        for (at, (name, _)) in search.data[kind].iter().enumerate() {
                            if let Some([value]) = self.datum(n, at).values.as_deref() {
                                record.insert((*name).to_owned(), value.clone());
                            }
                        }
                        Value::Record(record)
                    });
                    Held::just(Value::List(records.collect()))
                }
                None => {
                    let bit = d.kinds.get_index_of(kind).map_or(63, |i| i.min(63));
                    if search.sure && self.stand.beyond & (1 << bit) == 0 { Held::just(Value::List(Vec::new())) } else { Held::something() }
                }
            },
            _ => self.place.as_ref().map_or_else(Held::anything, |place| place.held(path)),
        }
    }

    fn items(&self, list: &[String]) -> Option<usize> {
        let [kind] = list else { return None };
        Some(self.nodes(self.search.kind(kind)?).count())
    }

    fn item(&self, list: &[String], place: usize, field: &str) -> Option<Held> {
        let kind = self.search.kind(&list[0])?;
        let node = self.nodes(kind).nth(place)?;
        match field {
            "state" => Some(Held::just(Value::Text(self.search.state_of(node).to_owned()))),
            "open" => Some(Held::just(Value::Bool(self.search.is_open(node)))),
            _ => {
                let at = self.search.data[kind].iter().position(|(n, _)| *n == field)?;
                // What is set, and to something that is known; else the field may hold anything of its kind.
                Some(self.datum(node, at)).filter(|held| held.values.as_ref().is_some_and(|v| v.len() == 1))
            }
        }
    }

    fn settled(&self, _: &str) -> Option<Answers> {
        None
    }
}
