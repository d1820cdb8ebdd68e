//! Plays every shipped scenario through the pure core: no database, no clock, no network.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition;
use heyi_engine::scenario::{Cast, MemoryDoor, Player, Scenario};
use std::fs;
use std::path::{Path, PathBuf};

fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_scenario_plays_as_written() {
    let mut failures = Vec::new();
    let mut played = 0;
    let mut folders: Vec<PathBuf> =
        fs::read_dir(workflows()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("workflow.yaml").is_file()).collect();
    folders.sort();
    for folder in folders {
        let definition = definition::load(&read(&folder.join("workflow.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let calendar = Calendar::parse(&read(&workflows().join(format!("calendars/{}.yaml", definition.file.calendar)))).unwrap();
        let cast = match fs::read_to_string(folder.join("cast.yaml")) {
            Ok(source) => Cast::parse(&source).unwrap_or_else(|mistakes| panic!("{mistakes}")),
            Err(_) => Cast::of(&definition),
        };
        let accounts = cast.accounts();
        let mut files: Vec<PathBuf> = fs::read_dir(folder.join("scenarios")).into_iter().flatten().map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let scenario = match Scenario::parse(&read(&file), &definition) {
                Ok(scenario) => scenario,
                Err(mistakes) => {
                    failures.extend(mistakes.0.iter().map(|m| format!("{name}: {m}")));
                    continue;
                }
            };
            let policy = Policy::of(&definition, &scenario.policy).unwrap();
            let mut door = MemoryDoor::new(&definition, policy, &calendar, accounts.values().cloned().collect());
            let mut player = Player::new(&scenario, &definition, &accounts);
            while let Some(step) = player.step(&mut door) {
                match step {
                    Err(error) => failures.push(format!("{name}: {error}")),
                    Ok(report) => failures.extend(report.failures.iter().map(|f| format!("{name}, step {}: {f}", report.number))),
                }
            }
            played += 1;
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(played > 0, "no scenario was found");
}
