//! How long the core takes, without database or clock: one step of a workflow with twelve states, the same step on a
//! case with ten thousand events, folding those again, and the check of the largest workflow.
//!
//! `cargo bench -p heyi-engine --no-default-features --bench core`

use chrono::{DateTime, FixedOffset};
use criterion::{Criterion, criterion_group, criterion_main};
use heyi_engine::calendar::Calendar;
use heyi_engine::case::decide::{Command, Decision, decide};
use heyi_engine::case::event::Event;
use heyi_engine::case::{Account, Case, Outside, Policy, Rules, advance, evolve};
use heyi_engine::definition::shape::Places;
use heyi_engine::definition::{self, Definition};
use heyi_engine::scenario::Cast;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;

const STATES: usize = 12;
const EVENTS: u64 = 10_000;

/// Twelve states in a ring, each with work and a deadline, and a step to the same state that writes a note.
fn workflow() -> String {
    let mut text = "\
workflow: ring
title: {zh-CN: 环, en: Ring}
zone: Asia/Shanghai
calendar: china
stages: {work: {zh-CN: 办理, en: Work}}
roles: {clerk: {title: {zh-CN: 记录人, en: Clerk}}}
facts: {note: {type: text}}
actions: {record: {by: [clerk]}, person: {by: [clerk]}, consent: {by: [clerk]}, seat: {by: [clerk]}, serve: {by: [clerk]}, file: {by: [clerk]}}
notices: {moved_on: {code: R1, to: [clerk], data: {on: legal_on, rounds: this.rounds}}}
proceedings:
  ring:
    root: true
    title: {zh-CN: 环, en: Ring}
    stage: work
    data: {rounds: {type: int}, note: {type: text}}
    states:
"
    .to_owned();
    for n in 0..STATES {
        let _ = writeln!(text, "      s{n}: {{work: {{for: clerk, title: {{zh-CN: 办理, en: Work}}}}}}");
    }
    text.push_str("      ended: {final: ended}\n    transitions:\n      begin: {from: new, to: s0, by: [clerk]}\n");
    for n in 0..STATES {
        let next = (n + 1) % STATES;
        let _ = writeln!(
            text,
            "      go{n}: {{from: s{n}, to: s{next}, by: [clerk], input: {{rounds: {{type: int}}}}, accepts: input.rounds > 0, sets: {{rounds: input.rounds}}, notices: [moved_on]}}"
        );
    }
    let all: Vec<String> = (0..STATES).map(|n| format!("s{n}")).collect();
    let _ = writeln!(
        text,
        "      write: {{from: [{all}], to: same, by: [clerk], input: {{note: {{type: text}}}}, sets: {{note: input.note}}}}\n      end: {{from: [{all}], to: ended, by: [clerk]}}",
        all = all.join(", ")
    );
    let _ = writeln!(
        text,
        "    deadlines:\n      limit: {{starts: [begin], in: [{}], length: 30 working days, work: {{for: clerk, title: {{zh-CN: 到期, en: Due}}}}}}",
        all.join(", ")
    );
    text
}

struct Ring {
    definition: Definition,
    calendar: Calendar,
    policy: Policy,
    accounts: Vec<Account>,
    now: DateTime<FixedOffset>,
}

impl Ring {
    fn new() -> Self {
        let definition = definition::load(&workflow()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let calendar = Calendar::parse(include_str!("../../workflows/calendars/china.yaml")).expect("the shipped calendar is good");
        let policy = Policy::of(&definition, &BTreeMap::new()).expect("the defaults are good");
        let accounts = Cast::of(&definition).accounts().into_values().collect();
        let now = DateTime::parse_from_rfc3339("2026-03-02T09:00:00+08:00").expect("a time");
        Self { definition, calendar, policy, accounts, now }
    }

    fn rules(&self) -> Rules<'_> {
        Rules { definition: &self.definition, policy: &self.policy, calendar: &self.calendar }
    }

    fn outside(&self) -> Outside<'_> {
        Outside { now: self.now, seed: [7; 32], me: &self.accounts[0], accounts: &self.accounts, printable: &|_| true, log: &[] }
    }

    fn decide(&self, case: &Case, command: &Command) -> Decision {
        decide(self.rules(), case, &self.outside(), command).unwrap_or_else(|refusals| panic!("{refusals:?}"))
    }

    /// A case with about so many events, and these events.
    fn case(&self, events: u64) -> (Case, Vec<Event>) {
        let case = Case { id: "019b0000-0000-7000-8000-000000000001".parse().ok(), ..Case::default() };
        let opened = self.decide(&case, &Command::new("case.open", json!({"note": "开始"})));
        let (mut case, mut log) = (opened.case, opened.events);
        while case.version < events {
            // The log grows by a draft's events alone: copying a case of this length for each would take minutes.
            let mut small = case.clone();
            for p in small.proceedings.values_mut() {
                let last = p.last().clone();
                p.timeline = heyi_engine::case::timeline::Timeline::default();
                p.timeline.push(last);
            }
            small.vault.clear();
            let step = self.decide(&small, &Command::new("ring.write", json!({"note": "一条记录"})));
            for value in step.values {
                case.vault.insert(value.id, value.value);
            }
            for event in step.events {
                evolve::evolve(&mut case, &event);
                log.push(event);
            }
        }
        (case, log)
    }
}

fn core(c: &mut Criterion) {
    let ring = Ring::new();
    let go = Command::new("ring.go0", json!({"rounds": 1}));
    let (short, _) = ring.case(3);
    let (long, log) = ring.case(EVENTS);
    c.bench_function("decide and evolve, twelve states", |b| b.iter(|| black_box(ring.decide(&short, &go))));
    c.bench_function("decide, evolve and what follows, twelve states", |b| {
        b.iter(|| {
            let decision = ring.decide(&short, &go);
            black_box(advance::follow(ring.rules(), &decision, &ring.outside())).expect("nobody waits in silence")
        });
    });
    c.bench_function("decide and evolve, 10000 events", |b| b.iter(|| black_box(ring.decide(&long, &go))));
    c.bench_function("fold 10000 events", |b| {
        b.iter(|| {
            let mut case = Case { id: long.id, vault: long.vault.clone(), ..Case::default() };
            log.iter().for_each(|event| evolve::evolve(&mut case, event));
            black_box(case)
        });
    });
}

/// The check of the largest shipped workflow: every question, and reading the file beside it.
fn check(c: &mut Criterion) {
    let source = include_str!("../../workflows/medical-dispute/workflow.yaml");
    let (definition, report) = definition::load_with_findings(source).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    println!("{} kinds, {} finding(s), {} note(s)", definition.kinds.len(), report.findings.len(), report.notes.len());
    c.bench_function("check, medical-dispute", |b| b.iter(|| black_box(definition::check::report(&definition, &Places::new()))));
    c.bench_function("read and check, medical-dispute", |b| b.iter(|| black_box(definition::load_with_findings(source)).is_ok()));
}

criterion_group!(benches, core, check);
criterion_main!(benches);
