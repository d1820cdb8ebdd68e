//! Plays every shipped scenario through the pure core: no database, no clock, no network. Each goes as it expects, and
//! exactly as its record says, if there is one: `HEYI_BLESS=1` writes the records anew, to be read like code.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition;
use heyi_engine::scenario::{Cast, Coverage, Scenario, record, rehearsal};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A shipped calendar, with those that it lies over.
fn calendar(name: &str) -> Calendar {
    let texts: BTreeMap<String, String> = files(&workflows().join("calendars"), "yaml").iter().map(|f| (stem(f), read(f))).collect();
    Calendar::assemble(name, |wanted| texts.get(wanted).map(String::as_str), &[]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// The files of a folder with this ending, in the order of their names.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().map(|e| e.expect("the test's own texts are good").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == ending));
    files.sort();
    files
}

fn stem(file: &Path) -> String {
    file.file_stem().expect("the test's own texts are good").to_string_lossy().into_owned()
}

#[test]
fn every_scenario_plays_as_written_and_as_recorded() {
    let bless = std::env::var_os("HEYI_BLESS").is_some();
    let mut failures = Vec::new();
    let mut played = 0;
    let mut folders: Vec<PathBuf> =
        fs::read_dir(workflows()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("workflow.yaml").is_file()).collect();
    folders.sort();
    for folder in folders {
        let definition = definition::load(&read(&folder.join("workflow.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let calendar = calendar(&definition.file.calendar);
        let cast = match fs::read_to_string(folder.join("cast.yaml")) {
            Ok(source) => Cast::parse(&source).unwrap_or_else(|mistakes| panic!("{mistakes}")),
            Err(_) => Cast::of(&definition),
        };
        let mut coverage = Coverage::default();
        let mut names = Vec::new();
        for file in files(&folder.join("scenarios"), "yaml") {
            let name = stem(&file);
            let scenario = match Scenario::parse(&read(&file), &definition) {
                Ok(scenario) => scenario,
                Err(mistakes) => {
                    failures.extend(mistakes.0.iter().map(|m| format!("{name}: {m}")));
                    continue;
                }
            };
            let policy = Policy::of(&definition, &scenario.policy).unwrap();
            let (more, now) = rehearsal::play(&scenario, &definition, policy, &calendar, &cast, |act| coverage.watch(&act.seen));
            failures.extend(more.iter().map(|f| format!("{name}: {f}")));
            let place = folder.join("records").join(format!("{name}.txt"));
            if bless {
                fs::create_dir_all(folder.join("records")).unwrap();
                fs::write(&place, &now).unwrap();
            } else if let Ok(recorded) = fs::read_to_string(&place) {
                failures.extend(record::differs(&recorded, &now).map(|d| format!("{name}: {d}")));
            }
            names.push(name);
            played += 1;
        }
        let left_over = files(&folder.join("records"), "txt").into_iter().filter(|r| !names.contains(&stem(r)));
        failures.extend(left_over.map(|r| format!("{}: a record of no scenario", r.display())));
        for (part, share) in coverage.report(&definition).parts() {
            println!("{}: {part} {} %; not taken: {}", definition.file.workflow, share.percent(), share.missing.join(", "));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(played > 0, "no scenario was found");
}
