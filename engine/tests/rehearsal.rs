//! Scenarios as tests: what they expect bites, their record says exactly what they do, and coverage counts what they take.
//! Played in the tiny workflow under `data/broken/good.yaml`, so that a change of the shipped one changes nothing here.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition::{self, Definition};
use heyi_engine::scenario::coverage::{Report, alike, sequence};
use heyi_engine::scenario::record::differs;
use heyi_engine::scenario::rehearsal::play;
use heyi_engine::scenario::{Cast, Coverage, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const WORKFLOW: &str = include_str!("data/broken/good.yaml");
const SCENARIO: &str = include_str!("data/tiny/reply-in-time.yaml");
const CHINA: &str = include_str!("../../workflows/calendars/china.yaml");

struct Played {
    failures: Vec<String>,
    record: String,
    report: Report,
    sequence: Vec<String>,
}

fn definition(source: &str) -> Definition {
    definition::load(source).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn played(workflow: &str, scenario: &str) -> Played {
    let definition = definition(workflow);
    let scenario = Scenario::parse(scenario, &definition).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let calendar = Calendar::parse(CHINA).expect("the test's own texts are good");
    let policy = Policy::of(&definition, &BTreeMap::new()).expect("the test's own texts are good");
    let (mut coverage, mut moves) = (Coverage::default(), Vec::new());
    let (failures, record) = play(&scenario, &definition, policy, &calendar, &Cast::of(&definition), |act| {
        coverage.watch(&act.seen);
        moves.extend(sequence(&act.seen));
    });
    Played { failures, record, report: coverage.report(&definition), sequence: moves }
}

/// The one place where a text stands, replaced.
fn changed(source: &str, old: &str, new: &str) -> String {
    assert_eq!(source.matches(old).count(), 1, "`{old}` does not stand there once");
    source.replace(old, new)
}

#[test]
fn the_record_says_exactly_what_happens() {
    let now = played(WORKFLOW, SCENARIO);
    assert_eq!(now.failures, Vec::<String>::new());
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny/reply-in-time.txt");
    if std::env::var_os("HEYI_BLESS").is_some() {
        std::fs::write(&place, &now.record).unwrap();
    }
    let recorded = std::fs::read_to_string(&place).unwrap();
    assert_eq!(differs(&recorded, &now.record).map(|d| d.to_string()), None);
    assert_eq!(played(WORKFLOW, SCENARIO).record, now.record, "a second play is the same");
    for personal in ["赵", "钱", "home.example"] {
        assert!(!recorded.contains(personal), "the record names somebody");
    }
}

/// Each of these changes of the workflow leaves every expectation standing, and shows in the record.
#[test]
fn a_change_that_no_expectation_sees_shows_in_the_record() {
    let recorded = played(WORKFLOW, SCENARIO).record;
    for (what, old, new) in [
        ("no paper any longer", "by: [answerer, court]", "by: [answerer, court, clerk]"),
        ("a role more", "hang: {from: fresh, to: waiting, by: [clerk]", "hang: {from: fresh, to: waiting, by: [clerk, court]"),
        ("a side less", "drop: {from: running, to: dropped, by: [clerk, asker]", "drop: {from: running, to: dropped, by: [clerk]"),
        ("a warning less", "warns: {before: [1 working day], notice: told}, ", ""),
        ("a later warning", "before: [1 working day]", "before: [2 working days]"),
        ("somebody else's work", "pending: {work: {for: clerk,", "pending: {work: {for: lead,"),
        ("another number", "\"{year}-{seq}\"", "\"{seq}/{year}\""),
    ] {
        // The number is expected, the letter and the notices are not.
        let scenario = SCENARIO.replace(", expect: {number: {matter: 2026-1}}", "");
        let workflow = changed(WORKFLOW, old, new);
        let now = played(&workflow, &scenario);
        assert_eq!(now.failures, Vec::<String>::new(), "{what}: an expectation saw it already");
        assert!(differs(&recorded, &now.record).is_some(), "{what}: the record is the same");
    }
}

#[test]
fn each_expectation_bites() {
    for (old, new, says) in [
        ("may: {matter.take: [clerk], matter", "may: {matter.take: [], matter", "matter.take is open to clerk, expected nobody"),
        ("matter.ask: [],", "matter.ask: [clerk],", "matter.ask is open to nobody, expected clerk"),
        ("matter.count: [clerk, asker]", "matter.count: [clerk, asker, court]", "matter.count is open to asker, clerk, expected asker, clerk, court"),
        ("not_notices: [told], states: {reply: pending}", "not_notices: [asked], states: {reply: ended}", "reply is in pending, expected ended"),
        ("told: {told: [asker, lead], asked: []}", "told: {told: [asker]}", "the notice told went to asker, lead, expected asker"),
        ("told: {told: [asker, lead], asked: []}", "told: {told: [asker, lead], asked: [asker]}", "the notice asked went to nobody, expected asker"),
        ("told: {told: [asker, lead], asked: []}", "not_notices: [told]", "the notice told left, to asker"),
        ("number: {matter: 2026-1}", "number: {matter: 2026-2}", "the number of matter is 2026-1, expected 2026-2"),
        ("asked: []}, states", "asked: []}, number: {matter: 2026-1}, states", "the number of matter is none, expected 2026-1"),
        ("asked: []}, states", "asked: []}, work: {reply: lead}, states", "the work of reply is for clerk, expected lead"),
        (
            "work: {matter: clerk}}\n  - {at: 2026-09-28 09:06",
            "work: {matter: lead}}\n  - {at: 2026-09-28 09:06",
            "the work of matter is for clerk, expected lead",
        ),
    ] {
        let failures = played(WORKFLOW, &changed(SCENARIO, old, new)).failures;
        assert_eq!(failures.len(), 1, "{new}: {failures:?}");
        assert!(failures[0].ends_with(says), "{new}: {failures:?}");
    }
    let nobody = played(WORKFLOW, &changed(SCENARIO, "matter.ask: []", "matter.ask: [nobody]")).failures;
    assert_eq!(nobody, ["reply-in-time, step 6: nobody of the cast is called `nobody`"]);
}

#[test]
fn names_that_the_workflow_lacks_are_mistakes_of_the_scenario() {
    for (old, new, says) in [
        ("not_notices: [told]", "not_notices: [tolt]", "expect.not_notices.tolt: the workflow has no notice `tolt` (did you mean `told`?)"),
        ("told: {told: [asker, lead], asked: []}", "told: {askt: []}", "expect.told.askt: the workflow has no notice `askt` (did you mean `asked`?)"),
        (
            "number: {matter: 2026-1}",
            "number: {mater: 2026-1}",
            "expect.number.mater: the workflow has no proceeding `mater` (did you mean `matter`?)",
        ),
        ("matter.ask: []", "matter.aks: []", "expect.may.matter.aks: the workflow has no action `matter.aks` (did you mean `matter.ask`?)"),
        ("{answer: 2026-10-08}", "{anwser: none}", "expect.deadlines.anwser: the workflow has no deadline `anwser` (did you mean `answer`?)"),
    ] {
        let mistakes = Scenario::parse(&changed(SCENARIO, old, new), &definition(WORKFLOW)).expect_err("a wrong name").to_string();
        assert!(mistakes.ends_with(says), "{mistakes}");
    }
}

#[test]
fn coverage_names_what_is_taken_and_what_is_not() {
    let report = played(WORKFLOW, SCENARIO).report;
    let part = |name: &str| report.parts().into_iter().find(|(n, _)| *n == name).unwrap().1;
    let transitions = part("transitions");
    let missing: BTreeSet<&str> = transitions.missing.iter().map(String::as_str).collect();
    assert_eq!(missing, BTreeSet::from(["matter.ask", "matter.agreed", "matter.refused", "matter.hang"]));
    assert_eq!((transitions.taken, transitions.all, transitions.percent().as_str()), (9, 13, "69.2"));
    assert_eq!(part("deadlines").missing, ["matter_asking_answers"]);
    assert_eq!((part("warnings").taken, part("warnings").missing.len()), (1, 0));
    assert_eq!(part("exits").missing, ["matter.done"]);
    assert_eq!(part("pauses").percent(), "100.0", "there is no pause to take");
    // A deadline that stands still while no round is held: never seen running.
    let pausing = changed(
        WORKFLOW,
        "length: policy.answer_time, warns",
        "length: policy.answer_time, runs_while: \"matter.exists(m, m.state == 'asking')\", warns",
    );
    let paused = played(&pausing, SCENARIO).report;
    assert_eq!((paused.pauses.missing.as_slice(), paused.pauses.percent().as_str()), (["answer (never ran)".to_owned()].as_slice(), "0.0"));
}

#[test]
fn plays_of_the_same_sequence_are_found() {
    let one = played(WORKFLOW, SCENARIO).sequence;
    assert_eq!(one.first().map(String::as_str), Some("matter.begin"));
    let plays = [("a", one.clone()), ("b", one.clone()), ("c", one[1..].to_vec())];
    let plays = plays.into_iter().map(|(name, moves)| (name.to_owned(), moves)).collect();
    assert_eq!(alike(&plays), [["a", "b"]]);
}
