//! What is played: the shipped workflow, a tiny one, and the scenarios with their cast.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Account;
use heyi_engine::definition::{self, Definition};
use heyi_engine::scenario::{Cast, Scenario};
use indexmap::IndexMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub struct Texts {
    pub shipped: Definition,
    pub tiny: Definition,
    pub calendar: Calendar,
    pub cast: IndexMap<String, Account>,
    pub scenarios: Vec<Scenario>,
}

pub fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn texts() -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = here.join("../workflows/medical-dispute");
        let shipped = definition::load(&read(folder.join("workflow.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let tiny = definition::load(&read(here.join("../engine/tests/data/broken/good.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let calendar = Calendar::parse(&read(here.join("../workflows/calendars/china.yaml"))).expect("the shipped calendar is good");
        let mut cast = Cast::parse(&read(folder.join("cast.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}")).accounts();
        for (name, account) in Cast::of(&tiny).accounts() {
            cast.entry(name).or_insert(account);
        }
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder.join("scenarios")).expect("a folder can be read").map(|e| e.expect("a folder can be read").path()).collect();
        files.sort();
        let scenarios = files.into_iter().map(|f| Scenario::parse(&read(f), &shipped).unwrap_or_else(|mistakes| panic!("{mistakes}"))).collect();
        Texts { shipped, tiny, calendar, cast, scenarios }
    })
}

pub fn scenario(name: &str) -> &'static Scenario {
    texts().scenarios.iter().find(|s| s.scenario == name).unwrap_or_else(|| panic!("there is no scenario {name}"))
}

/// The beginning of a scenario, up to the first step that does `action` and is not meant to be refused.
pub fn beginning(name: &str, action: &str) -> Scenario {
    let whole = scenario(name);
    let meant = |e: &Option<heyi_engine::scenario::file::Expect>| e.as_ref().is_none_or(|e| e.refused.is_none());
    let last =
        whole.steps.iter().position(|s| s.do_.as_deref() == Some(action) && meant(&s.expect)).unwrap_or_else(|| panic!("{name} never does {action}"));
    Scenario { steps: whole.steps[..=last].to_vec(), ..whole.clone() }
}
