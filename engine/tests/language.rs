//! What the workflow language can say beyond states and steps: service that starts a deadline, shares that warn, letters
//! of a deadline, deadlines in a final state, limits, seats kept apart, invariants, commands between cases, corrections
//! and undoing. Each play says what must be so; most have a twin that shows what would happen otherwise.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::event::What;
use heyi_engine::case::migrate;
use heyi_engine::case::{Account, Case, Outside, Policy, Rules, evolve};
use heyi_engine::definition::{self, Definition};
use heyi_engine::scenario::{Cast, MemoryDoor, Player, Scenario, StepReport};
use std::collections::BTreeMap;

const WORKFLOW: &str = include_str!("data/language/workflow.yaml");
const CHINA: &str = include_str!("../../workflows/calendars/china.yaml");

/// Everybody is there from the first step on; the ruling of 2 March is told to three.
const BEGINNING: &str = r#"
scenario: play
workflow: allotment
title: {zh-CN: 园地, en: Allotment}
people:
  gao: {side: tenant, name: 高某, email: gao@garden.example}
  luo: {side: tenant, name: 罗某, email: luo@garden.example}
  shi: {side: neighbour, name: 石某, email: shi@garden.example}
steps:
  - {at: 2026-03-02 09:00, by: warden, do: case.open, input: {plot: 七号地, size: 3}, expect: {deadlines: {decide_by: 2026-03-16}}}
  - {at: 2026-03-02 09:01, by: warden, do: case.person, person: gao}
  - {at: 2026-03-02 09:02, by: warden, do: case.person, person: luo}
  - {at: 2026-03-02 09:03, by: warden, do: case.person, person: shi}
"#;

fn definition() -> Definition {
    // The check finds what is planted here on purpose: an invariant that only the engine upholds, and seats without a task.
    definition::load_with_findings(WORKFLOW).map(|(definition, _)| definition).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

struct World {
    definition: Definition,
    calendar: Calendar,
    accounts: indexmap::IndexMap<String, Account>,
}

impl World {
    fn new() -> Self {
        Self::of(definition())
    }

    fn of(definition: Definition) -> Self {
        let accounts = Cast::of(&definition).accounts();
        Self { calendar: Calendar::parse(CHINA).expect("the shipped calendar is good"), accounts, definition }
    }

    fn policy(&self) -> Policy {
        Policy::of(&self.definition, &BTreeMap::new()).expect("the defaults are good")
    }

    fn rules<'a>(&'a self, policy: &'a Policy) -> Rules<'a> {
        Rules { definition: &self.definition, policy, calendar: &self.calendar }
    }

    /// Plays the beginning and these steps; what is not as expected fails.
    fn play(&self, steps: &str) -> Vec<StepReport> {
        let source = format!("{BEGINNING}{steps}");
        let scenario = Scenario::parse(&source, &self.definition).unwrap_or_else(|m| panic!("{m}"));
        let mut door = MemoryDoor::new(&self.definition, self.policy(), &self.calendar, self.accounts.values().cloned().collect());
        let mut player = Player::new(&scenario, &self.definition, &self.accounts);
        let mut out = Vec::new();
        while let Some(report) = player.step(&mut door) {
            let report = report.unwrap_or_else(|fault| panic!("{fault}"));
            assert!(report.failures.is_empty(), "step {}: {:?}", report.number, report.failures);
            out.push(report);
        }
        out
    }
}

fn last_case(reports: &[StepReport]) -> &Case {
    let played = reports.iter().rev().find_map(|r| r.outcome.as_ref().ok());
    &played.expect("something was accepted").case
}

#[test]
fn a_deadline_starts_on_service_for_each_for_the_first_and_for_the_last() {
    World::new().play(
        r#"
  - {at: 2026-03-03 09:00, by: warden, do: quarrel.decide, expect: {states: {quarrel: decided, ruling: open}, deadlines: {object: none, first_word: none, all_served: none}}}
  - {at: 2026-03-04 09:00, by: warden, do: case.serve, input: {notice: $unserved.gao, outcome: posted, channel: post}, expect: {deadlines: {object: none}}}
  - {at: 2026-03-05 09:10, by: warden, do: case.serve, input: {notice: $unserved.gao, outcome: served, channel: post}, expect: {deadlines: {object: 2026-03-20, first_word: 2026-03-08, all_served: none}}}
  - {at: 2026-03-06 09:00, by: warden, do: case.serve, input: {notice: $unserved.luo, outcome: returned, channel: post}}
  - {at: 2026-03-09 09:00, by: warden, do: case.serve, input: {notice: $unserved.luo, outcome: served, channel: by_hand}}
  - {at: 2026-03-10 09:05, by: warden, do: case.serve, input: {notice: $unserved.shi, outcome: given_up, channel: by_hand}, expect: {deadlines: {all_served: 2026-03-14}}}
  - {at: 2026-03-21 09:00, expect: {notices: [over]}}
  - {at: 2026-03-23 09:00, expect: {not_notices: [over]}}
  - {at: 2026-03-25 09:00, expect: {notices: [over]}}
"#,
    );
}

#[test]
fn a_share_warns_when_so_much_is_used_up_and_a_limit_counts() {
    World::new().play(
        r#"
  - {at: 2026-03-03 09:00, by: warden, do: quarrel.ask, expect: {told: {noted: [tenant]}}}
  - {at: 2026-03-04 09:00, by: warden, do: quarrel.ask}
  - {at: 2026-03-05 09:00, by: warden, do: quarrel.ask, expect: {refused: limit}}
  - {at: 2026-03-09 23:00, expect: {not_notices: [warned]}}
  - {at: 2026-03-10 01:00, expect: {notices: [warned]}}
  - {at: 2026-03-13 01:00, expect: {notices: [warned], not_notices: [joined]}}
  - {at: 2026-03-17 01:00, expect: {states: {quarrel: expired}, notices: [joined], closed: true}}
  - {at: 2027-03-15 09:00, expect: {not_notices: [over]}}
  - {at: 2027-03-18 09:00, expect: {notices: [over], work_for: head, closed: true}}
"#,
    );
}

#[test]
fn a_deadline_that_nobody_fired_in_time_says_how_late_it_was() {
    let reports = World::new().play("  - {at: 2026-03-18 00:30, expect: {states: {quarrel: expired}}}\n");
    let late = reports.iter().flat_map(|r| &r.outcome.as_ref().expect("accepted").events).find_map(|e| match &e.what {
        What::DeadlineFired { late_minutes, .. } => Some(*late_minutes),
        _ => None,
    });
    assert_eq!(late, Some(24 * 60 + 30), "it was due at the end of 16 March");
}

#[test]
fn seats_keep_apart_and_an_invariant_holds() {
    World::new().play(
        r#"
  - {at: 2026-03-03 09:00, by: head, do: case.seat, input: {seat: witness, account: $warden}}
  - {at: 2026-03-03 09:01, by: head, do: case.seat, input: {seat: referee, account: $warden}, expect: {refused: conflict}}
  - {at: 2026-03-03 09:02, by: head, do: case.seat, input: {seat: witness}}
  - {at: 2026-03-03 09:03, by: head, do: case.seat, input: {seat: referee, account: $warden}}
  - {at: 2026-03-03 09:04, by: head, do: case.seat, input: {seat: witness, account: $warden}, expect: {refused: conflict}}
  - {at: 2026-03-04 09:00, by: warden, do: quarrel.decide}
  - {at: 2026-03-04 10:00, by: warden, do: quarrel.hear_again, expect: {refused: invariant}}
  - {at: 2026-03-05 09:00, by: head, do: ruling.become}
  - {at: 2026-03-05 10:00, by: warden, do: quarrel.hear_again, expect: {states: {quarrel: heard}}}
"#,
    );
}

#[test]
fn a_case_writes_to_another_and_hears_back() {
    let world = World::new();
    let reports = world.play(
        r#"
  - {at: 2026-03-03 09:00, by: warden, do: quarrel.join, input: {into: 019b0000-0000-7000-8000-0000000000c1}, expect: {states: {quarrel: joining}}}
  - {at: 2026-03-03 10:00, by: warden, do: quarrel.joined_there, expect: {refused: role}}
  - {at: 2026-03-03 11:00, by: linked_case, do: quarrel.refused_there, expect: {states: {quarrel: heard}, deadlines: {decide_by: 2026-03-16}}}
  - {at: 2026-03-03 12:00, by: warden, do: quarrel.join, input: {into: not-a-case}, expect: {refused: input}}
  - {at: 2026-03-04 09:00, by: warden, do: quarrel.join, input: {into: 019b0000-0000-7000-8000-0000000000c1}}
  - {at: 2026-03-04 11:00, by: linked_case, do: quarrel.joined_there, expect: {states: {quarrel: joined}, told: {joined: [tenant, neighbour]}, closed: true}}
"#,
    );
    let sent = reports.iter().flat_map(|r| r.outcome.iter().flat_map(|p| &p.events)).filter(|e| matches!(e.what, What::Sent { .. })).count();
    assert_eq!(sent, 2);
}

#[test]
fn undoing_takes_back_what_followed_and_frees_nothing_that_people_built_on() {
    let world = World::new();
    let reports = world.play(
        r#"
  - {at: 2026-03-03 09:00, by: warden, do: quarrel.decide, expect: {number: {quarrel: 园〔2026〕1号}}}
  - {at: 2026-03-03 10:00, by: warden, do: case.undo, input: {event: $event.quarrel.decide, reason: 录错案件}, expect: {refused: role}}
  - {at: 2026-03-03 10:05, by: head, do: case.undo, input: {event: 9999, reason: 录错案件}, expect: {refused: input}}
  - at: 2026-03-03 10:10
    by: head
    do: case.undo
    input: {event: $event.quarrel.decide, reason: 录错案件}
    expect: {states: {quarrel: heard}, told: {taken_back: [tenant, neighbour]}, deadlines: {decide_by: 2026-03-16}}
  - {at: 2026-03-04 09:00, by: warden, do: quarrel.decide, expect: {number: {quarrel: 园〔2026〕2号}}}
  - {at: 2026-03-04 09:30, by: warden, do: case.serve, input: {notice: $unserved.gao, outcome: served, channel: by_hand}}
  - {at: 2026-03-04 10:00, by: head, do: case.undo, input: {event: $event.quarrel.decide, reason: 又错了}, expect: {refused: amend}}
  - {at: 2026-03-04 10:05, by: head, do: case.undo, input: {event: $event.case.serve, reason: 送错人}}
  - {at: 2026-03-04 10:10, by: head, do: case.undo, input: {event: $event.quarrel.decide, reason: 又错了}, expect: {states: {quarrel: heard}}}
  - {at: 2026-03-04 10:20, by: head, do: case.undo, input: {event: $event.quarrel.decide, reason: 再来一次}, expect: {refused: input}}
"#,
    );
    let case = last_case(&reports);
    assert_eq!(case.proceedings.len(), 1, "the rulings are no more");
    let void: Vec<String> = reports
        .iter()
        .flat_map(|r| r.outcome.iter().flat_map(|p| &p.events))
        .filter_map(|e| if let What::Undone { void, .. } = &e.what { Some(void.clone()) } else { None })
        .flatten()
        .collect();
    assert_eq!(void, ["园〔2026〕1号", "园〔2026〕2号"], "void numbers stay drawn and are named");
    // Replay of the whole log gives the same case; folding it event by event does not, as only the fold knows what was taken back.
    let log: Vec<_> = reports.iter().flat_map(|r| r.outcome.iter().flat_map(|p| p.events.clone())).collect();
    let mut again = Case { id: case.id, vault: case.vault.clone(), ..Case::default() };
    evolve::fold(&mut again, &log);
    assert_eq!(format!("{:?}", again.proceedings), format!("{:?}", case.proceedings));
    let mut twin = Case { id: case.id, vault: case.vault.clone(), ..Case::default() };
    log.iter().for_each(|e| evolve::evolve(&mut twin, e));
    assert_ne!(twin.proceedings.len(), case.proceedings.len());
}

#[test]
fn an_end_that_the_clock_brought_can_be_undone_and_waits_for_a_person() {
    World::new().play(
        r#"
  - {at: 2026-03-17 09:00, expect: {states: {quarrel: expired}, closed: true}}
  - at: 2026-03-17 10:00
    by: head
    do: case.undo
    input: {event: $event.clock.decide_by, reason: 裁定书签发在期限内}
    expect: {states: {quarrel: heard}, closed: false, work_for: warden}
  - {at: 2026-03-18 09:00, expect: {states: {quarrel: heard}}}
  - {at: 2026-03-20 09:00, expect: {states: {quarrel: expired}}}
"#,
    );
}

#[test]
fn a_corrected_date_moves_its_deadlines_and_corrects_its_letters() {
    let world = World::new();
    let reports = world.play(
        r#"
  - {at: 2026-03-03 09:00, by: warden, do: quarrel.ask}
  - {at: 2026-03-03 09:10, by: warden, do: case.correct, input: {event: $event.quarrel.ask, on: 2026-03-01, reason: 记错日期}, expect: {refused: legal_time}}
  - {at: 2026-03-03 09:20, by: warden, do: case.correct, input: {event: $event.quarrel.ask, on: 2026-04-01, reason: 记错日期}, expect: {refused: legal_time}}
  - {at: 2026-03-03 09:30, by: warden, do: case.correct, input: {event: $event.quarrel.ask, reason: 记错日期}, expect: {refused: input}}
  - {at: 2026-03-03 09:40, by: warden, do: case.correct, input: {event: $event.quarrel.ask, on: 2026-03-02, reason: 记错日期}, expect: {told: {noted: [tenant]}}}
  - {at: 2026-03-04 09:00, by: warden, do: case.correct, input: {event: $event.quarrel.open, on: 2026-02-27, reason: 收件在周五}, expect: {deadlines: {decide_by: 2026-03-12}}}
  - {at: 2026-03-04 09:05, by: warden, do: case.correct, input: {event: $event.case.record, values: {size: "many"}, reason: 面积}, expect: {refused: input}}
  - {at: 2026-03-04 09:10, by: warden, do: case.correct, input: {event: $event.case.record, values: {size: 5}, reason: 面积}}
"#,
    );
    let case = last_case(&reports);
    let size = case.facts.get("size").and_then(|id| case.vault.get(id));
    assert_eq!(size, Some(&heyi_engine::value::Value::Int(5)));
    let letter =
        reports.iter().flat_map(|r| r.outcome.iter().flat_map(|p| &p.notices)).find(|n| n.correction_of.is_some()).expect("a letter that corrects");
    assert_eq!(letter.kind, "noted");
    assert_eq!(letter.data["on"], "2026-03-02", "it speaks of the corrected day");
}

#[test]
fn a_running_case_moves_to_a_newer_version_by_rules_or_not_at_all() {
    let old = World::new();
    let reports = old.play("  - {at: 2026-03-03 09:00, by: warden, do: quarrel.ask}\n");
    let case = last_case(&reports);
    let policy = old.policy();
    let now = reports.last().expect("steps were played").at;
    let accounts: Vec<Account> = old.accounts.values().cloned().collect();
    let outside = Outside { now, seed: [3; 32], me: &accounts[0], accounts: &accounts, printable: &|_| true, log: &[] };
    let plan = |source: &str| {
        let newer = World::of(definition::load_with_findings(source).unwrap_or_else(|m| panic!("{m}")).0);
        let to = migrate::policy(&policy, &newer.definition);
        migrate::plan(old.rules(&policy), newer.rules(&to), case, &outside)
    };
    // A longer time limit is a change that the preview shows.
    let longer = plan(&WORKFLOW.replace("length: 10 working days", "length: 20 working days"));
    assert!(longer.stranded.is_empty(), "{longer:?}");
    assert_eq!(longer.deadlines.len(), 1);
    assert_eq!(longer.deadlines[0].to.map(|d| d.to_string()), Some("2026-03-30".to_owned()));
    // A state of another name strands the case, unless the newer file names it.
    let renamed = WORKFLOW
        .replace("heard:    {work", "hearing:    {work")
        .replace("from: heard,", "from: hearing,")
        .replace("from: heard\n", "from: hearing\n")
        .replace("to: heard,", "to: hearing,")
        .replace("[heard", "[hearing")
        .replace("'heard'", "'hearing'");
    let stranded = plan(&renamed);
    assert_eq!(stranded.stranded.len(), 1, "{stranded:?}");
    assert!(stranded.stranded[0].contains("quarrel.heard"));
    let named = plan(&format!("{renamed}\nmigrates: {{states: {{quarrel.heard: hearing}}}}\n"));
    assert!(named.stranded.is_empty(), "{named:?}");
    assert_eq!(named.states.len(), 1);
    assert_eq!((named.states[0].from.as_str(), named.states[0].to.as_str()), ("heard", "hearing"));
}

#[test]
fn guards_see_whether_the_latest_sending_has_been_served() {
    let asks = |from: &str, to: &str, text: String| {
        assert_eq!(text.matches(from).count(), 1);
        text.replace(from, to)
    };
    let text =
        asks("by: [head]}\n    deadlines:\n      object", "by: [head], when: served.ruled}\n    deadlines:\n      object", WORKFLOW.to_owned());
    let text = asks("settle: {from: decided, to: settled, by: [head],", "settle: {from: decided, to: settled, by: [head], when: served.ruled,", text);
    let never = asks(
        "hear_again: {from: decided, to: heard, by: [warden]}",
        "hear_again: {from: decided, to: heard, by: [warden], when: '!has(served.ruled)'}",
        text.clone(),
    );
    let load = |text: &str| definition::load_with_findings(text).map(|(definition, _)| definition).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let first = r#"
  - {at: 2026-03-03 09:00, by: warden, do: quarrel.decide}
  - {at: 2026-03-03 09:05, by: head, do: ruling.become, expect: {refused: guard}}
  - {at: 2026-03-04 09:00, by: warden, do: case.serve, input: {notice: $unserved.gao, outcome: served, channel: post}}
  - {at: 2026-03-04 09:01, by: warden, do: case.serve, input: {notice: $unserved.luo.ruled, outcome: returned, channel: post}}
  - {at: 2026-03-04 09:02, by: warden, do: case.serve, input: {notice: $unserved.shi, outcome: refused, channel: post}, expect: {may: {ruling.become: []}}}
  - {at: 2026-03-04 09:05, by: head, do: ruling.become, expect: {refused: guard}}
"#;
    let again = r#"
  - {at: 2026-03-05 09:00, by: warden, do: case.serve, input: {notice: $unserved.luo, outcome: given_up, channel: post}, expect: {may: {ruling.become: [head], quarrel.settle: [head]}}}
  - {at: 2026-03-05 09:05, by: head, do: ruling.become, expect: {states: {ruling: final}}}
  - {at: 2026-03-06 09:00, by: warden, do: quarrel.hear_again}
  - {at: 2026-03-06 09:05, by: warden, do: quarrel.decide}
  - {at: 2026-03-06 09:10, by: head, do: quarrel.settle, expect: {refused: guard}}
  - {at: 2026-03-06 09:15, by: warden, do: case.serve, input: {notice: $unserved.gao, outcome: served, channel: post}}
  - {at: 2026-03-06 09:16, by: warden, do: case.serve, input: {notice: $unserved.luo, outcome: served, channel: post}}
  - {at: 2026-03-06 09:20, by: head, do: quarrel.settle, expect: {refused: guard}}
  - {at: 2026-03-06 09:25, by: warden, do: case.serve, input: {notice: $unserved.shi, outcome: served, channel: post}, expect: {may: {quarrel.settle: [head]}}}
  - {at: 2026-03-06 09:30, by: head, do: quarrel.settle, expect: {states: {quarrel: settled}}}
"#;
    let reports = World::of(load(&text)).play(&format!("{first}{again}"));
    let refused = reports.iter().find_map(|r| r.outcome.as_ref().err()).expect("somebody is refused");
    assert_eq!((refused[0].what.as_str(), refused[0].details.get("unserved").map(String::as_str)), ("served.ruled", Some("ruled")));
    assert_eq!(refused[0].unlocked_by, ["case.serve"]);
    // What was never told is unknown, and can be asked for: there a ruling was told already.
    World::of(load(&never)).play(&format!("{first}  - {{at: 2026-03-06 09:00, by: warden, do: quarrel.hear_again, expect: {{refused: guard}}}}\n"));
    // Only a notice that must be served can be asked about.
    assert!(definition::load_with_findings(&text.replace("when: served.ruled,", "when: served.noted,")).is_err());
}

#[test]
fn a_policy_may_be_a_sum_of_money() {
    let with = |default: &str| {
        let own = format!("policy:\n  top: {{default: \"{default}\", basis: ours, title: {{zh-CN: 上限, en: Top}}}}\n");
        definition::load_with_findings(&WORKFLOW.replace("policy:\n", &own)).map(|(definition, _)| definition)
    };
    let definition = with("100.50").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let set = |text: &str| Policy::of(&definition, &BTreeMap::from([("top".to_owned(), text.to_owned())]));
    assert!(set("7").is_ok_and(|p| p.canonical().contains("\"top\":\"7.00\"")));
    assert_eq!(set("7.125"), Err(vec!["policy.top: `7.125` has more than two decimals".to_owned()]));
    assert!(set("5 working days").is_err());
    let wrong = with("1.005").expect_err("no sum is finer than a fen");
    assert!(wrong.0.iter().any(|m| m.key == "policy.top.default" && m.message.contains("more than two decimals")), "{wrong}");
}
