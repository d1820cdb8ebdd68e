//! Plays: a case as far as it is needed, through the door in memory.

use crate::twins::{load, shipped};
use heyi_engine::calendar::Calendar;
use heyi_engine::case::event::Event;
use heyi_engine::case::refusal::Code;
use heyi_engine::case::{Account, Case, Policy};
use heyi_engine::definition::Definition;
use heyi_engine::scenario::{Cast, Door as _, MemoryDoor, Played, Player, Scenario};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

const CHINA: &str = include_str!("../../../workflows/calendars/china.yaml");
const CAST: &str = include_str!("../../../workflows/medical-dispute/cast.yaml");

pub const PEOPLE: &str = "  li: {side: patient_side, name: 李某}\n  hospital: {side: hospital_side, name: 县某医院, unit: true}\n";
pub const OPEN: &str = r#"
  - {at: 2026-04-02 09:00, by: intake_officer, do: case.open, input: {reference_source: party, channel: visit, hospital: 县某医院, outcome: injury, summary: 术后感染。, suit_pending: false, admin_pending: false, treatment_dispute: true, court_referral: false}}
  - {at: 2026-04-02 09:05, by: intake_officer, do: case.person, person: li}
  - {at: 2026-04-02 09:10, by: intake_officer, do: case.person, person: hospital}
  - {at: 2026-04-02 09:20, by: patient_side, do: case.file, paper: application}
  - {at: 2026-04-02 09:20, by: intake_officer, do: case.file, paper: identity}
"#;
pub const CONSENT: &str = "\n  - {at: 2026-04-02 09:25, by: patient_side, do: case.consent, person: li, input: {purpose: handling, given: true}}";
pub const ONE_SIDED: &str = r#"
  - {at: 2026-04-02 09:30, by: patient_side, do: mediation.apply, for: li, input: {applicant: patient_side, request: 请求赔偿。}, expect: {states: {mediation: drafted}}}"#;
pub const JOINT: &str = r#"
  - {at: 2026-04-02 09:30, by: patient_side, do: mediation.apply, for: li, input: {applicant: joint, request: 请求赔偿。}, expect: {states: {mediation: drafted}}}"#;
pub const SUBMIT: &str = "\n  - {at: 2026-04-02 09:40, by: intake_officer, do: mediation.submit}";
pub const BOTH: &str = r#"
  - {at: 2026-04-02 09:45, by: patient_side, do: mediation.assent, for: li, input: {answer: give}}
  - {at: 2026-04-02 09:50, by: hospital_side, do: mediation.assent, input: {answer: give}, expect: {states: {mediation: screening}}}"#;
pub const ACCEPT: &str = "\n  - {at: 2026-04-03 10:00, by: intake_officer, do: mediation.accept}";
pub const ASSIGN: &str =
    "\n  - {at: 2026-04-03 14:00, by: director, do: mediation.assign, input: {mediator: $mediator, no_conflict: true, sides_asked: true}}";
pub const READY: &str = r#"
  - {at: 2026-04-08 09:00, by: mediator, do: case.record, input: {patient_position: 用药不当。, hospital_position: 符合常规。}}
  - {at: 2026-04-08 09:10, by: mediator, do: mediation.ready, expect: {states: {mediation: mediating}, deadlines: {mediation_limit: 2026-05-20}}}"#;
pub const AGREE: &str = r#"
  - {at: 2026-05-18 09:00, by: mediator, do: case.file, paper: compensation_sheet}
  - {at: 2026-05-18 09:00, by: mediator, do: mediation.propose, input: {proposal: 一次性补偿。, amount: "60000.00"}}
  - {at: 2026-05-18 10:00, by: patient_side, do: mediation.assent, for: li, input: {answer: give}}
  - {at: 2026-05-18 10:30, by: hospital_side, do: mediation.assent, input: {answer: give}, expect: {states: {mediation: agreeing, agreement: drafting}}}"#;
pub const DRAFT: &str = r#"
  - {at: 2026-05-18 11:00, by: mediator, do: agreement.draft_ready, input: {facts: 术后感染。, terms: [医院支付补偿款。], total: "60000.00", hospital_part: "60000.00", insurer_part: "0.00", instalments: [{payer: hospital, amount: "60000.00", due_on: 2026-06-15}], manner: 银行转账, payee: 本人账户, settles_all: true, copies: 4}}"#;
pub const APPROVE: &str = r#"
  - {at: 2026-05-18 15:00, by: director, do: agreement.approve, input: {lawful: true, at: "2026-05-20T09:00:00+08:00", place: 调解室}, expect: {states: {agreement: signing}}}"#;
pub const MARKS: [(&str, &str); 4] = [
    ("patient_side", "\n  - {at: 2026-05-20 09:10, by: patient_side, do: agreement.assent, for: li, input: {answer: give}}"),
    ("hospital_side", "\n  - {at: 2026-05-20 09:15, by: hospital_side, do: agreement.assent, input: {answer: give}}"),
    ("lead_mediator", "\n  - {at: 2026-05-20 09:20, by: mediator, do: agreement.assent, input: {answer: give}}"),
    ("director", "\n  - {at: 2026-05-20 09:25, by: director, do: agreement.assent, input: {answer: give}}"),
];
pub const APPRAISAL: &str = r#"
  - {at: 2026-04-09 09:00, by: mediator, do: appraisal.propose, input: {kind: damage, reason: 各执一词。, questions: 有无过错？, body: 市医学会, commissioned_by: committee, patient_percent: 50}}"#;
pub const PREPARED: &str = r#"
  - {at: 2026-04-09 10:00, by: patient_side, do: appraisal.assent, for: li, input: {answer: give}}
  - {at: 2026-04-09 10:10, by: hospital_side, do: appraisal.assent, input: {answer: give}, expect: {states: {appraisal: agreed}}}
  - {at: 2026-04-09 11:00, by: clerk, do: appraisal.collect, input: {material: 病历。}}
  - {at: 2026-04-09 11:10, by: patient_side, do: appraisal.assent, for: li, input: {answer: give}}
  - {at: 2026-04-09 11:20, by: hospital_side, do: appraisal.assent, input: {answer: give}}"#;
pub const PAPER_OF_COMMISSION: &str = "\n  - {at: 2026-04-09 12:00, by: mediator, do: case.file, paper: commission}";
pub const COMMISSION: &str = r#"
  - {at: 2026-04-10 09:00, by: director, do: appraisal.commission, input: {fee: "6000.00", fee_paid: true, handed_over: true, no_conflict: true}}"#;

pub fn screening() -> String {
    [OPEN, CONSENT, JOINT, SUBMIT, BOTH].concat()
}

pub fn mediating() -> String {
    [&screening(), ACCEPT, ASSIGN, READY].concat()
}

pub fn signing() -> String {
    [&mediating(), AGREE, DRAFT, APPROVE].concat()
}

pub fn effective() -> String {
    signing() + &MARKS.map(|(_, mark)| mark).concat()
}

pub fn calendar() -> &'static Calendar {
    static CALENDAR: OnceLock<Calendar> = OnceLock::new();
    CALENDAR.get_or_init(|| Calendar::parse(CHINA).expect("the shipped calendar is good"))
}

pub fn cast() -> IndexMap<String, Account> {
    Cast::parse(CAST).unwrap_or_else(|mistakes| panic!("{mistakes}")).accounts()
}

pub fn policy(definition: &Definition) -> Policy {
    Policy::of(definition, &BTreeMap::new()).expect("the defaults are good")
}

/// A play to its end: the last step is judged by whoever asked for it, all before it must go as written.
pub struct Play {
    pub last: Result<Played, BTreeSet<Code>>,
    pub case: Case,
    pub log: Vec<Event>,
    /// What each account may do at the end.
    pub open: BTreeSet<String>,
}

impl Play {
    pub fn state(&self, kind: &str) -> &str {
        self.case.proceedings.values().rev().find(|p| p.kind == kind).map_or("", |p| p.state())
    }

    pub fn day(&self, deadline: &str) -> String {
        let runs = &self.last.as_ref().expect("the last step is accepted").deadlines;
        let run = runs.iter().find(|r| r.id.deadline == deadline);
        run.map_or("none".to_owned(), |r| if r.is_paused() { "paused".to_owned() } else { r.last_day().map(|d| d.to_string()).unwrap_or_default() })
    }

    pub fn told(&self, notice: &str) -> BTreeSet<&str> {
        let played = self.last.as_ref().expect("the last step is accepted");
        played.notices.iter().filter(|n| n.kind == notice).map(|n| n.recipient.as_.as_str()).collect()
    }
}

pub fn play_with(definition: &Definition, people: &str, steps: &str) -> Play {
    let source = format!("scenario: play\nworkflow: medical-dispute\ntitle: {{zh-CN: 戏, en: Play}}\npeople:\n{people}steps:{steps}\n");
    let scenario = Scenario::parse(&source, definition).unwrap_or_else(|m| panic!("{m}\n{source}"));
    let accounts = cast();
    let mut door = MemoryDoor::new(definition, policy(definition), calendar(), accounts.values().cloned().collect());
    let mut player = Player::new(&scenario, definition, &accounts);
    let mut reports = Vec::new();
    while let Some(report) = player.step(&mut door) {
        reports.push(report.unwrap_or_else(|fault| panic!("{fault}")));
    }
    let last = reports.pop().expect("a play has steps");
    for report in reports {
        assert!(report.failures.is_empty(), "step {} of the way there: {:?}", report.number, report.failures);
    }
    let case = door.case().clone();
    let open = accounts.values().flat_map(|me| door.allowed(&case, last.at, me).expect("nothing is written")).collect();
    let last = last.outcome.map_err(|refusals| refusals.iter().map(|r| r.code).collect());
    Play { last, case, log: door.take().events, open }
}

/// The same in two worlds: refused for this reason in the shipped one, accepted in the twin.
pub fn only_the_rule_refuses(twin: &str, steps: &str, code: Code) -> Play {
    let shipped = play(shipped(), steps).last;
    let refused = shipped.as_ref().err().is_some_and(|codes| codes.contains(&code));
    assert!(refused, "the shipped workflow answers {:?} and not {code:?} to{}", shipped.map(|_| "yes"), steps.lines().last().unwrap_or_default());
    let twin = play(&load(twin), steps);
    assert!(twin.last.is_ok(), "something else refuses too: {:?}", twin.last.as_ref().err());
    twin
}

pub fn play(definition: &Definition, steps: &str) -> Play {
    play_with(definition, PEOPLE, steps)
}
