//! Local working days laid over the national ones: a workflow that names the local calendar counts by both. And
//! deadlines of a case in every unit, as the clock of a case counts them.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition;
use heyi_engine::scenario::rehearsal::play;
use heyi_engine::scenario::{Cast, Scenario};
use std::collections::BTreeMap;

const CHINA: &str = include_str!("../../workflows/calendars/china.yaml");
const COUNTY: &str =
    "calendar: county\nover: china\nholidays: {county_day: {zh-CN: 县庆日}}\nyears:\n  2026: {source: s, days_off: {county_day: 2026-09-29}}\n";
const TOWN: &str = "calendar: town\nover: county\nholidays: {fair: {zh-CN: 集市}}\nyears:\n  2026: {source: s, days_off: {fair: 2026-09-30}, makeup: [2026-10-04]}\n";
const TINY: &str = include_str!("data/broken/good.yaml");

fn assembled(files: &[(&'static str, &'static str)], name: &str) -> Result<Calendar, Vec<String>> {
    let known: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    Calendar::assemble(name, |wanted| files.iter().find(|(name, _)| *name == wanted).map(|(_, text)| *text), &known)
}

/// The last day of the tiny workflow's `answer`, when the wait for it begins at this moment.
fn last_day(workflow: &str, calendar: &Calendar, from: &str, wanted: &str) -> Vec<String> {
    let definition = definition::load(workflow).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let scenario = format!(
        "scenario: s
workflow: tiny
title: {{zh-CN: 期限, en: Deadlines}}
steps:
  - {{at: {from}, by: clerk, do: case.open}}
  - {{at: {from}, by: clerk, do: matter.take, input: {{lead: $clerk}}}}
  - {{at: {from}, by: clerk, do: matter.wait, expect: {{deadlines: {{answer: {wanted}}}}}}}
"
    );
    let scenario = Scenario::parse(&scenario, &definition).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let policy = Policy::of(&definition, &BTreeMap::new()).expect("the test's own texts are good");
    play(&scenario, &definition, policy, calendar, &Cast::of(&definition), |_| ()).0
}

#[test]
fn a_workflow_counts_by_the_calendars_that_lie_over_each_other() {
    let files = [("china", CHINA), ("county", COUNTY), ("town", TOWN)];
    let workflow = |calendar: &str| TINY.replace("calendar: china", &format!("calendar: {calendar}"));
    // Three working days after Monday 2026-09-28; 1 to 7 October are off.
    for (name, wanted) in [("china", "2026-10-08"), ("county", "2026-10-09"), ("town", "2026-10-09")] {
        let calendar = assembled(&files, name).unwrap_or_else(|m| panic!("{m:?}"));
        assert_eq!(last_day(&workflow(name), &calendar, "2026-09-28 09:00", wanted), Vec::<String>::new(), "{name}");
        assert_eq!(last_day(&workflow(name), &calendar, "2026-09-28 09:00", "2026-09-30").len(), 1, "{name}: any day would do");
        // What a database keeps of it counts the same, without the files.
        assert_eq!(Calendar::parse(&calendar.canonical()).as_ref(), Ok(&calendar));
    }
    let told = |name: &str, date: &str| assembled(&files, name).unwrap().day(date.parse().unwrap()).reason.to_string();
    assert_eq!(
        (told("china", "2026-09-29"), told("county", "2026-09-29"), told("town", "2026-09-29")),
        ("weekday".into(), "county_day".into(), "county_day".into())
    );
    assert_eq!((told("county", "2026-10-04"), told("town", "2026-10-04")), ("national_day".into(), "make_up".into()));
}

#[test]
fn calendars_that_cannot_lie_over_each_other_are_told() {
    let wrong = |files: &[(&'static str, &'static str)], name: &str| assembled(files, name).expect_err("a mistake").join("\n");
    assert_eq!(wrong(&[("china", CHINA)], "chna"), "there is no calendar `chna` (did you mean `china`?)");
    assert_eq!(wrong(&[("county", COUNTY)], "county"), "calendars/county.yaml: over: there is no calendar `china`");
    assert_eq!(
        wrong(&[("kreis", COUNTY), ("china", CHINA)], "kreis"),
        "calendars/kreis.yaml: the calendar calls itself `county`; give the file the same name"
    );
    let round = "calendar: china\nover: county\nyears:\n  2026: {source: s, days_off: {}}\n";
    assert!(wrong(&[("county", COUNTY), ("china", round)], "county").contains("would lie over itself"));
    assert!(wrong(&[("county", COUNTY), ("china", "calendar: china\nyears: {}")], "county").starts_with("calendars/china.yaml:"));
}

#[test]
fn deadlines_of_a_case_are_counted_in_every_unit() {
    let china = Calendar::parse(CHINA).unwrap();
    for (length, roll, from, wanted) in [
        ("48 hours", false, "2026-09-30 09:00", "2026-10-02"),
        ("48 hours", false, "2026-02-28 23:30", "2026-03-02"),
        ("3 working days", false, "2026-09-30 23:59", "2026-10-10"),
        ("3 calendar days", false, "2026-09-30 00:00", "2026-10-03"),
        ("3 calendar days", true, "2026-09-30 00:00", "2026-10-08"),
        ("1 month", false, "2026-01-31 09:00", "2026-02-28"),
        ("1 month", false, "2024-01-31 09:00", "2024-02-29"),
        ("1 month", true, "2026-04-01 09:00", "2026-05-06"),
        ("3 months", false, "2026-11-30 09:00", "2027-02-28"),
        ("1 year", false, "2024-02-29 09:00", "2025-02-28"),
        ("4 years", false, "2024-02-29 09:00", "2028-02-29"),
        ("3 years", false, "2024-03-04 09:00", "2027-03-04"),
    ] {
        let workflow = TINY.replace("{default: 3 working days,", &format!("{{default: {length},"));
        // Hours have no day of which a working day before could be told.
        let workflow = workflow.replace("warns: {before: [1 working day], notice: told}, ", if roll { "roll: true, " } else { "" });
        assert_ne!(workflow, TINY);
        assert_eq!(last_day(&workflow, &china, from, wanted), Vec::<String>::new(), "{length} from {from}");
    }
}
