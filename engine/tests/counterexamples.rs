//! What the check finds about behaviour can be seen: each finding of the broken files is played from the opening of a
//! case to the place of the fault, by a scenario that is written down, read back, and holds.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition::{self, check::Question};
use heyi_engine::scenario::{Cast, Scenario, find, rehearsal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Findings of these files have no play, each for its reason.
const WITHOUT_PLAY: [(&str, &str); 3] = [
    ("clock-may-stand-still.yaml", "the parent never leaves the state in which the clock runs"),
    ("silent-wait.yaml", "the loop in it leads through the silent wait, into which no step is let"),
    ("wait-in-a-circle.yaml", "the loop in it leads through the silent wait, into which no step is let"),
];

#[test]
fn each_finding_about_behaviour_has_a_play_that_shows_it() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let calendar = Calendar::parse(&fs::read_to_string(here.join("../workflows/calendars/china.yaml")).unwrap()).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(here.join("tests/data/broken")).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mut shown: BTreeMap<Question, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut without = BTreeSet::new();
    for name in &names {
        let source = fs::read_to_string(here.join("tests/data/broken").join(name)).unwrap();
        let Ok((definition, report)) = definition::load_with_findings(&source) else { continue };
        let cast = Cast::of(&definition);
        for finding in report.findings.iter().filter(|f| f.aim.is_some()) {
            match find::counterexample(&definition, finding, &calendar, &cast, "shown") {
                Err(_) if WITHOUT_PLAY.iter().any(|(file, _)| file == name) => drop(without.insert(name.as_str())),
                Err(why) => failures.push(format!("{name}: {:?} {}: {why}", finding.question, finding.mistake)),
                Ok(scenario) => {
                    let written = find::written(&scenario);
                    let read = Scenario::parse(&written, &definition).unwrap_or_else(|m| panic!("{name}: {m}\n{written}"));
                    let policy = Policy::of(&definition, &BTreeMap::new()).unwrap();
                    let (wrong, _) = rehearsal::play(&read, &definition, policy, &calendar, &cast, |_| {});
                    failures.extend(wrong.iter().map(|w| format!("{name}: the written play: {w}\n{written}")));
                    let says = read.steps.last().and_then(|s| s.expect.as_ref()).is_some();
                    if !says {
                        failures.push(format!("{name}: the play ends without saying what it shows"));
                    }
                    *shown.entry(finding.question).or_default() += 1;
                }
            }
        }
    }
    println!("{shown:?}");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    for (file, why) in WITHOUT_PLAY {
        assert!(without.contains(file), "{file} has a play after all, though {why}");
    }
    let behaviour = [
        Question::Unreachable,
        Question::NeverFires,
        Question::DeadEnd,
        Question::SilentWait,
        Question::Loop,
        Question::AutoLoop,
        Question::Untold,
        Question::Right,
        Question::Race,
        Question::Invariant,
    ];
    for question in behaviour {
        assert!(shown.contains_key(&question), "no finding of {question:?} was played");
    }
}
