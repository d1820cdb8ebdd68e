//! A deadline that reaches into a year whose schedule is not published is provisional: it never ends a case. When the
//! schedule is loaded it is counted anew, by an event that shows the old day and the new one, and then it acts.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::case::event::What;
use heyi_engine::definition;
use heyi_engine::scenario::{Cast, Door as _, MemoryDoor, Player, Request, Scenario};

const WORKFLOW: &str = include_str!("../../workflows/medical-dispute/workflow.yaml");
const CAST: &str = include_str!("../../workflows/medical-dispute/cast.yaml");
const CHINA: &str = include_str!("../../workflows/calendars/china.yaml");

/// Accepted on 2026-11-23: thirty working days reach into January 2027. The schedule of 2027 is made up here.
const SCENARIO: &str = r"
scenario: over-new-year
workflow: medical-dispute
title: {zh-CN: 跨年, en: Over the new year}
people:
  tong: {side: patient_side, name: 佟某, email: tong@family.example}
  hospital: {side: hospital_side, name: 某医院, email: office@hospital.example, unit: true}
steps:
  - {at: 2026-11-20 09:00, by: intake_officer, do: case.open, input: {hospital: 某医院, summary: 略, suit_pending: false, admin_pending: false, treatment_dispute: true, court_referral: false}}
  - {at: 2026-11-20 09:01, by: intake_officer, do: case.person, person: tong}
  - {at: 2026-11-20 09:02, by: intake_officer, do: case.person, person: hospital}
  - {at: 2026-11-20 09:03, by: patient_side, do: case.file, paper: application}
  - {at: 2026-11-20 09:04, by: patient_side, do: case.consent, person: tong, input: {purpose: handling, given: true}}
  - {at: 2026-11-20 09:05, by: patient_side, do: mediation.apply, for: tong, input: {applicant: patient_side, request: 略}}
  - {at: 2026-11-20 09:06, by: intake_officer, do: case.file, paper: identity}
  - {at: 2026-11-20 09:07, by: intake_officer, do: mediation.submit}
  - {at: 2026-11-20 10:00, by: intake_officer, do: mediation.ask_other_side}
  - {at: 2026-11-23 09:00, by: hospital_side, do: mediation.other_side_agrees, for: hospital, expect: {deadlines: {mediation_limit: 2027-01-05}}}
  - {at: 2027-03-01 09:00, expect: {states: {mediation: assigning}}}
";

/// The shipped calendar with 2027 published: its provisional block gives way to a schedule.
fn published() -> String {
    let schedule = "  2027:\n    source: made up for this test\n    days_off:\n      new_year: 2027-01-01..2027-01-06\n";
    let (before, after) = CHINA.split_once("# NOT OFFICIAL").expect("the block is there");
    let (statutory, every_year) = after.split_once("# For years that are in neither block").expect("the block is there");
    assert!(statutory.contains("2027"));
    format!("{before}{schedule}\n# {every_year}")
}

#[test]
fn a_provisional_deadline_waits_for_its_calendar() {
    let definition = definition::load(WORKFLOW).unwrap();
    let china = Calendar::parse(CHINA).unwrap();
    let newer = Calendar::parse(&published()).unwrap_or_else(|m| panic!("{m:?}"));
    let accounts = Cast::parse(CAST).unwrap().accounts();
    let scenario = Scenario::parse(SCENARIO, &definition).unwrap_or_else(|m| panic!("{m}"));
    let policy = Policy::of(&definition, &std::collections::BTreeMap::new()).unwrap();
    let mut door = MemoryDoor::new(&definition, policy, &china, accounts.values().cloned().collect());
    let mut player = Player::new(&scenario, &definition, &accounts);
    let mut now = None;
    while let Some(report) = player.step(&mut door) {
        let report = report.unwrap();
        assert!(report.failures.is_empty(), "step {}: {:?}", report.number, report.failures);
        let played = report.outcome.unwrap();
        if let Some(run) = played.deadlines.iter().find(|r| r.id.deadline == "mediation_limit") {
            assert!(run.is_provisional() && !run.fired, "the limit rests on a year without a schedule");
        }
        now = Some(report.at);
    }
    // Two months after the provisional day nothing has ended the case. Loading the schedule does two things, in order.
    door.load_calendar(&newer);
    let request = Request { now: now.unwrap(), case: None, me: accounts["director"].clone(), command: None, key: "load".to_owned(), file: None };
    let played = door.submit(request).unwrap().unwrap();
    let changed = played.events.iter().find_map(|e| if let What::CalendarChanged { changed } = &e.what { Some(changed) } else { None });
    let limit = changed.unwrap().iter().find(|c| c.run.deadline == "mediation_limit").unwrap();
    assert_eq!(limit.old.unwrap().to_string(), "2027-01-05");
    assert_eq!(limit.new.unwrap().to_string(), "2027-01-08", "1 January to 6 January are off, so three working days more");
    // Its day is past already when it is counted anew: a person looks first, and the clock acts after the grace of late entry.
    assert_ne!(played.case.root().unwrap().state(), "lapsed", "what was past when it was counted anew is held");
    let held = played.deadlines.iter().find(|r| r.id.deadline == "mediation_limit").unwrap();
    assert!(held.held && !held.fired && !held.is_provisional());
    assert!(played.work.iter().any(|w| w.key.ends_with(":mediation_limit:held")), "somebody is asked to look");
    let later = now.unwrap() + chrono::Duration::days(10);
    let request = Request { now: later, case: None, me: accounts["director"].clone(), command: None, key: "later".to_owned(), file: None };
    let played = door.submit(request).unwrap().unwrap();
    assert_eq!(played.case.root().unwrap().state(), "lapsed", "with a published schedule the limit acts");
    assert!(played.notices.iter().any(|n| n.kind == "lapsed"));
}
