//! Faults planted in the shipped workflow, each kind at ten places that a seed chooses: the check finds each, and names
//! the place. A check without the question that a fault belongs to does not find it.
//!
//! `HEYI_SEED=… cargo test --test planted` plays a run again.

use heyi_engine::definition::check::{self, Question};
use heyi_engine::definition::compile::compile;
use heyi_engine::definition::file::{
    AlwaysDef, ConsentDef, DeadlineDef, FieldDef, FormDef, Localized, Names, NumberDef, PaperDef, RightDef, SeatDef, StateDef, TransitionDef,
    TypeName, WorkDef, WorkflowFile,
};
use heyi_engine::definition::model::Definition;
use heyi_engine::definition::shape::Places;
use serde_json::json;
use std::collections::BTreeSet;

const SHIPPED: &str = include_str!("../../workflows/medical-dispute/workflow.yaml");
/// At how many places each fault is planted.
const PLACES: usize = 10;

/// A small generator of numbers, so that a failure can be played again from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
        items
    }
}

/// A chosen seed, or always the same.
fn seed() -> u64 {
    std::env::var("HEYI_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_126)
}

/// A fault: the file with it, and the key that a finding must name.
struct Plant {
    question: Question,
    file: WorkflowFile,
    key: String,
}

fn resolve(file: WorkflowFile) -> Option<Definition> {
    let (definition, mistakes) = compile(file, &Places::new());
    mistakes.is_empty().then_some(definition)
}

fn found(definition: &Definition, questions: &[Question]) -> BTreeSet<(String, String)> {
    check::ask(definition, &Places::new(), questions).findings.into_iter().map(|f| (f.mistake.key, f.mistake.message)).collect()
}

fn texts(file: &WorkflowFile) -> Localized {
    file.title.clone()
}

fn work(file: &WorkflowFile) -> WorkDef {
    WorkDef { for_: role(file), title: texts(file) }
}

fn role(file: &WorkflowFile) -> String {
    file.roles.keys().next().cloned().expect("a workflow has roles")
}

fn state(file: &WorkflowFile) -> StateDef {
    let mut state: StateDef = serde_json::from_value(json!({})).expect("a state may say nothing");
    state.work = Some(work(file));
    state.stage = file.stages.keys().next().cloned();
    state
}

fn step(from: &str, to: &str) -> TransitionDef {
    serde_json::from_value(json!({"from": from, "to": to})).expect("a transition has a from and a to")
}

fn text_field() -> FieldDef {
    serde_json::from_value(json!({"type": "text"})).expect("a field has a type")
}

fn deadline(starts: &[String], state: &str, fires: &str) -> DeadlineDef {
    serde_json::from_value(json!({"starts": starts, "in": [state], "length": "9 working days", "fires": [fires]})).expect("a deadline")
}

/// The states that a `from` or `in` names, groups taken apart.
fn states(file: &WorkflowFile, kind: &str, names: &Names) -> Vec<String> {
    let def = &file.proceedings[kind];
    names.as_slice().iter().flat_map(|n| def.groups.get(n).cloned().unwrap_or_else(|| vec![n.clone()])).collect()
}

/// Every open state of every kind.
fn waiting(file: &WorkflowFile) -> Vec<(String, String)> {
    let open = |k: &String| file.proceedings[k].states.iter().filter(|(_, s)| s.final_.is_none()).map(|(n, _)| n.clone()).collect::<Vec<_>>();
    file.proceedings.keys().flat_map(|k| open(k).into_iter().map(move |s| (k.clone(), s))).collect()
}

/// Every transition that does not open a proceeding.
fn steps(file: &WorkflowFile) -> Vec<(String, String)> {
    let later =
        |k: &String| file.proceedings[k].transitions.iter().filter(|(_, t)| t.from.as_slice() != ["new"]).map(|(n, _)| n.clone()).collect::<Vec<_>>();
    file.proceedings.keys().flat_map(|k| later(k).into_iter().map(move |t| (k.clone(), t))).collect()
}

/// Takes a state out of every `from` and `in` of a kind.
fn leave_out(file: &mut WorkflowFile, kind: &str, state: &str, steps: bool, deadlines: bool) {
    let copy = file.clone();
    let def = &mut file.proceedings[kind];
    if steps {
        for t in def.transitions.values_mut().filter(|t| t.from.as_slice() != ["new"]) {
            t.from = Names::Many(states(&copy, kind, &t.from).into_iter().filter(|s| s != state).collect());
        }
    }
    if deadlines {
        for d in def.deadlines.values_mut() {
            d.in_ = Names::Many(states(&copy, kind, &d.in_).into_iter().filter(|s| s != state).collect());
        }
    }
}

/// All ways to plant a fault of this kind.
fn plants(question: Question, base: &WorkflowFile) -> Vec<Plant> {
    let mut out = Vec::new();
    let mut plant = |key: String, change: &dyn Fn(&mut WorkflowFile)| {
        let mut file = base.clone();
        change(&mut file);
        out.push(Plant { question, file, key });
    };
    let title = texts(base);
    match question {
        Question::Unused => {
            plant("papers.planted".to_owned(), &|f| {
                let of = f.proceedings.keys().next().cloned().unwrap_or_default();
                f.papers.insert("planted".to_owned(), PaperDef { of, title: title.clone(), law: None });
            });
            plant("consents.planted".to_owned(), &|f| drop(f.consents.insert("planted".to_owned(), ConsentDef { title: title.clone(), law: None })));
            plant("numbers.planted".to_owned(), &|f| {
                f.numbers.insert("planted".to_owned(), NumberDef { form: "{year}-{seq}".to_owned(), title: title.clone() });
            });
            plant("forms.planted".to_owned(), &|f| {
                f.forms.insert("planted".to_owned(), FormDef { title: title.clone(), law: None, data: indexmap::IndexMap::new() });
            });
            plant("stages.planted".to_owned(), &|f| drop(f.stages.insert("planted".to_owned(), title.clone())));
            plant("seats.planted".to_owned(), &|f| {
                let seat = SeatDef { role: role(f), title: title.clone(), apart_from: Vec::new(), law: None };
                f.seats.insert("planted".to_owned(), seat);
            });
            if let Some((_, def)) = base.policy.first() {
                plant("policy.planted".to_owned(), &|f| drop(f.policy.insert("planted".to_owned(), def.clone())));
            }
            for (kind, state) in waiting(base) {
                plant(format!("proceedings.{kind}.groups.planted"), &|f| {
                    f.proceedings[kind.as_str()].groups.insert("planted".to_owned(), vec![state.clone()]);
                });
            }
        }
        Question::Data => {
            for kind in base.proceedings.keys() {
                plant(format!("proceedings.{kind}.data.planted"), &|f| drop(f.proceedings[kind].data.insert("planted".to_owned(), text_field())));
            }
            for (kind, name) in steps(base) {
                if base.proceedings[kind.as_str()].transitions[name.as_str()].auto.is_none() {
                    plant(format!("proceedings.{kind}.transitions.{name}.input.planted"), &|f| {
                        f.proceedings[kind.as_str()].transitions[name.as_str()].input.insert("planted".to_owned(), text_field());
                    });
                }
            }
        }
        Question::Opening => {
            for kind in base.proceedings.keys() {
                plant(format!("proceedings.{kind}.transitions"), &|f| {
                    let def = &mut f.proceedings[kind];
                    let opening = def.transitions.values().find(|t| t.from.as_slice() == ["new"]).cloned();
                    def.transitions.extend(opening.map(|t| ("planted".to_owned(), t)));
                });
            }
        }
        Question::Unreachable => {
            for (kind, state) in waiting(base) {
                let def = &base.proceedings[kind.as_str()];
                let entering: Vec<&String> = def.transitions.iter().filter(|(_, t)| t.to == state).map(|(n, _)| n).collect();
                let opens = entering.iter().any(|n| def.transitions[*n].from.as_slice() == ["new"]);
                if !opens && !entering.is_empty() {
                    plant(format!("proceedings.{kind}.states.{state}"), &|f| {
                        for t in f.proceedings[kind.as_str()].transitions.values_mut().filter(|t| t.to == state) {
                            t.to = "same".to_owned();
                        }
                    });
                }
            }
        }
        Question::NeverFires => {
            for (kind, name) in steps(base) {
                let def = &base.proceedings[kind.as_str()];
                let from = states(base, &kind, &def.transitions[name.as_str()].from);
                let key = format!("proceedings.{kind}.transitions.{name}");
                if let Some(other) = def.states.keys().find(|s| !from.contains(s)) {
                    plant(key, &|f| {
                        let t = &mut f.proceedings[kind.as_str()].transitions[name.as_str()];
                        let old = t.when.as_ref().map(|w| format!(" && ({w})")).unwrap_or_default();
                        t.when = Some(format!("this.state == '{other}'{old}"));
                    });
                }
            }
        }
        Question::DeadEnd => {
            for (kind, state) in waiting(base) {
                plant(format!("proceedings.{kind}.states.{state}"), &|f| leave_out(f, &kind, &state, true, false));
            }
        }
        Question::SilentWait => {
            for (kind, state) in waiting(base) {
                plant(format!("proceedings.{kind}.states.{state}"), &|f| {
                    leave_out(f, &kind, &state, false, true);
                    let def = &mut f.proceedings[kind.as_str()].states[state.as_str()];
                    (def.work, def.indefinite) = (None, None);
                    def.waits_on.clear();
                    def.assents.iter_mut().for_each(|a| (a.lapses, a.grace) = (None, None));
                });
            }
        }
        Question::Loop => {
            for (kind, at) in waiting(base) {
                plant(format!("proceedings.{kind}.states.{at}"), &|f| {
                    leave_out(f, &kind, &at, false, true);
                    let (new, mut out, mut back) = (state(f), step(&at, "planted"), step("planted", &at));
                    (out.by, back.by) = (vec![role(f)], vec![role(f)]);
                    let def = &mut f.proceedings[kind.as_str()];
                    def.states.insert("planted".to_owned(), new);
                    def.transitions.extend([("planted_out".to_owned(), out), ("planted_back".to_owned(), back)]);
                });
            }
        }
        Question::AutoLoop => {
            for (kind, at) in waiting(base) {
                plant(format!("proceedings.{kind}.transitions.planted_out"), &|f| {
                    let (new, mut out, mut back) = (state(f), step(&at, "planted"), step("planted", &at));
                    (out.auto, back.auto) = (Some("true".to_owned()), Some("true".to_owned()));
                    let def = &mut f.proceedings[kind.as_str()];
                    def.states.insert("planted".to_owned(), new);
                    def.transitions.extend([("planted_out".to_owned(), out), ("planted_back".to_owned(), back)]);
                });
            }
        }
        Question::Outcome => {
            let fact = base.facts.iter().find(|(_, f)| f.ty == TypeName::Text).map(|(n, _)| n.clone()).unwrap_or_default();
            for (kind, at) in waiting(base) {
                let Some(end) = base.proceedings[kind.as_str()].states.iter().find(|(_, s)| s.final_.is_some()).map(|(n, _)| n.clone()) else {
                    continue;
                };
                let entering: Vec<String> =
                    base.proceedings[kind.as_str()].transitions.iter().filter(|(_, t)| t.to == at).map(|(n, _)| n.clone()).collect();
                if !entering.is_empty() {
                    plant(format!("proceedings.{kind}.deadlines.planted"), &|f| {
                        let mut fired = step(&at, &end);
                        fired.when = Some(format!("has(facts.{fact})"));
                        let def = &mut f.proceedings[kind.as_str()];
                        def.states[at.as_str()].work = None;
                        def.transitions.insert("planted".to_owned(), fired);
                        def.deadlines.insert("planted".to_owned(), deadline(&entering, &at, "planted"));
                    });
                }
            }
        }
        Question::Untold => {
            for (kind, name) in steps(base) {
                for side in base.sides.keys() {
                    plant(format!("proceedings.{kind}.transitions.{name}"), &|f| {
                        let t = &mut f.proceedings[kind.as_str()].transitions[name.as_str()];
                        t.notices.clear();
                        t.affects = Some(vec![side.clone()]);
                        // What a step fires and opens tells people too.
                        t.then.retain(|s| s.fire.is_none() && s.open.is_none());
                    });
                }
            }
        }
        Question::Conflict => {
            for (kind, name) in steps(base) {
                if !base.proceedings[kind.as_str()].transitions[name.as_str()].by.is_empty() {
                    plant(format!("proceedings.{kind}.transitions.{name}"), &|f| {
                        let role = role(f);
                        let seat = SeatDef { apart_from: vec![role.clone()], role, title: title.clone(), law: None };
                        let def = &mut f.proceedings[kind.as_str()];
                        def.seats.insert("planted".to_owned(), seat);
                        def.transitions[name.as_str()].by = vec!["this.planted".to_owned()];
                    });
                }
            }
        }
        Question::Right => {
            for (kind, name) in steps(base) {
                let def = &base.proceedings[kind.as_str()].transitions[name.as_str()];
                // A condition may forbid it already; the plain ones are places enough.
                let (Some(who), None) = (def.by.first(), &def.when) else { continue };
                let from = states(base, &kind, &def.from);
                for forgotten in &from {
                    if from.len() > 1 {
                        plant(format!("proceedings.{kind}.states.{forgotten}"), &|f| {
                            let right = RightDef {
                                title: title.clone(),
                                of: kind.clone(),
                                in_: Names::Many(from.clone()),
                                by: vec![who.clone()],
                                actions: vec![format!("{kind}.{name}")],
                                law: None,
                            };
                            f.rights.insert("planted".to_owned(), right);
                            let rest = from.iter().filter(|s| *s != forgotten).cloned().collect();
                            f.proceedings[kind.as_str()].transitions[name.as_str()].from = Names::Many(rest);
                        });
                    }
                }
            }
        }
        Question::Race => {
            for (kind, at) in waiting(base) {
                let def = &base.proceedings[kind.as_str()];
                let ends: Vec<String> = def.states.iter().filter(|(_, s)| s.final_.is_some()).map(|(n, _)| n.clone()).collect();
                let entering: Vec<String> = def.transitions.iter().filter(|(_, t)| t.to == at).map(|(n, _)| n.clone()).collect();
                let [one, other, ..] = ends.as_slice() else { continue };
                if entering.is_empty() {
                    continue;
                }
                plant(format!("proceedings.{kind}.deadlines.planted_2"), &|f| {
                    let def = &mut f.proceedings[kind.as_str()];
                    def.transitions.extend([("planted_1".to_owned(), step(&at, one)), ("planted_2".to_owned(), step(&at, other))]);
                    def.deadlines.extend(["planted_1", "planted_2"].map(|n| (n.to_owned(), deadline(&entering, &at, n))));
                });
                plant(format!("proceedings.{kind}.transitions.planted_2"), &|f| {
                    let (mut first, mut second) = (step(&at, one), step(&at, other));
                    (first.auto, second.auto) = (Some("legal_on == legal_on".to_owned()), Some("legal_on == legal_on".to_owned()));
                    f.proceedings[kind.as_str()].transitions.extend([("planted_1".to_owned(), first), ("planted_2".to_owned(), second)]);
                });
            }
        }
        Question::Orphan => {
            for (kind, def) in base.proceedings.iter().filter(|(_, k)| !k.root) {
                plant(format!("proceedings.{kind}"), &|f| (f.proceedings[kind].ends_as, f.proceedings[kind].outlives) = (None, false));
                if def.ends_as.is_some() {
                    plant(format!("proceedings.{kind}"), &|f| f.proceedings[kind].outlives = true);
                }
            }
        }
        Question::Invariant => {
            let all = base.proceedings.iter().flat_map(|(k, def)| def.states.keys().map(move |s| (k, s)));
            for (kind, at) in all {
                plant("always.planted".to_owned(), &|f| {
                    let holds = format!("!{kind}.exists(p, p.state == '{at}')");
                    f.always.insert("planted".to_owned(), AlwaysDef { holds, title: title.clone(), law: None });
                });
            }
        }
    }
    out
}

/// Faults whose place excludes that they are one: a loop that a clock ends is none.
fn is_a_fault(question: Question, definition: &Definition, key: &str) -> bool {
    if question != Question::Loop {
        return true;
    }
    let mut parts = key.split('.').skip(1);
    let (Some(kind), Some(state)) = (parts.next(), parts.nth(1)) else { return false };
    let kind = &definition.kinds[kind];
    // Only where the loop is new: no clock at the state, and none above that ends the proceeding.
    kind.def.ends_as.is_none() && !kind.deadlines.values().any(|d| d.lives_in.contains(state)) && kind.def.states[state].waits_on.is_empty()
}

#[test]
fn the_shipped_workflow_has_no_finding_and_every_planted_fault_is_found_where_it_is() {
    let seed = seed();
    println!("seed {seed}");
    let base = match heyi_engine::definition::load_with_findings(SHIPPED) {
        Ok((definition, report)) => {
            assert!(report.findings.is_empty(), "the shipped workflow has findings of its own: {:#?}", report.mistakes());
            definition
        }
        Err(mistakes) => panic!("{mistakes}"),
    };
    let mut failures = Vec::new();
    for question in Question::ALL {
        let mut dice = Dice(seed ^ question as u64);
        let without: Vec<Question> = Question::ALL.into_iter().filter(|q| *q != question).collect();
        let (mut planted, mut named, mut missed_without) = (0, 0, 0);
        let mut keys = BTreeSet::new();
        for plant in dice.shuffled(plants(question, &base.file)) {
            if planted == PLACES {
                break;
            }
            // A change that the names of the file forbid is another fault; one at a place taken already is no new one.
            let mark = format!("{} {}", plant.key, plant.file.always.get("planted").map(|a| a.holds.as_str()).unwrap_or_default());
            let Some(definition) = resolve(plant.file) else { continue };
            if !is_a_fault(question, &definition, &plant.key) || !keys.insert(mark) {
                continue;
            }
            assert_eq!(plant.question, question);
            let report = check::ask(&definition, &Places::new(), &[question]);
            let hit = report.findings.iter().find(|f| f.mistake.key == plant.key);
            // Whether a state is reached in a breach, only data may decide: then the check says so, and that is no finding.
            let noted = report.notes.iter().any(|n| n.starts_with(&plant.key));
            if question == Question::Invariant && hit.is_none() && noted {
                continue;
            }
            planted += 1;
            match hit {
                None => failures.push(format!("{question:?} at {}: not found; found: {:?}", plant.key, report.mistakes())),
                Some(hit) => {
                    named += 1;
                    // The rest of the check does not see it; a few places are enough to show that.
                    if planted <= 2 && !found(&definition, &without).contains(&(hit.mistake.key.clone(), hit.mistake.message.clone())) {
                        missed_without += 1;
                    }
                }
            }
        }
        println!("{question:?}: planted at {planted} places, found and named at {named}; without this question {missed_without} of 2 go unfound");
        if planted < PLACES {
            failures.push(format!("{question:?}: only {planted} places for it"));
        }
        if missed_without < 2 {
            failures.push(format!("{question:?}: another question finds the same, so this one is not needed or is not tested"));
        }
    }
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
}
