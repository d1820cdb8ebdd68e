//! Mutation: one thing changed in the shipped workflow, and at least one scenario must notice, by what it expects or by
//! its record. What nobody notices is either a scenario that is missing, or a change that changes nothing; those stand in
//! `data/mutation/<workflow>.txt`, each with its reason, and are played all the same.
//!
//! Without settings a seeded sample is played. `HEYI_MUTATE=all` plays every mutant, `HEYI_MUTATE=30` so many,
//! `HEYI_MUTATE_SEED=7` draws others, `HEYI_MUTATE_WORKFLOW=name` changes another workflow:
//! `HEYI_MUTATE=all cargo test --release -p heyi-engine --no-default-features --test mutation -- --nocapture`

mod operators;

use heyi_engine::calendar::Calendar;
use heyi_engine::case::event::What;
use heyi_engine::case::{Account, Policy};
use heyi_engine::definition::shape::{self, Places};
use heyi_engine::definition::{self, Definition, compile};
use heyi_engine::scenario::{Cast, Rehearsal, Scenario};
use indexmap::IndexMap;
use operators::Mutant;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many mutants are played without settings.
const SAMPLE: usize = 200;
/// The seed of that sample.
const SEED: u64 = 20_261_126;
/// Of a hundred, so many must be noticed.
const WANTED_PERCENT: usize = 95;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A shipped calendar, with those that it lies over.
fn calendar(name: &str) -> Calendar {
    let folder = here().join("../workflows/calendars");
    let files: Vec<PathBuf> = fs::read_dir(folder).expect("there are calendars").map(|e| e.expect("the test's own texts are good").path()).collect();
    let of = |file: &PathBuf| Some((file.file_stem()?.to_str()?.to_owned(), file.extension().filter(|e| *e == "yaml").map(|_| read(file))?));
    let texts: BTreeMap<String, String> = files.iter().filter_map(of).collect();
    Calendar::assemble(name, |wanted| texts.get(wanted).map(String::as_str), &[]).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// A definition as it compiles. What `check` finds with it is not asked, of the file as little as of its mutants.
fn unchecked(source: &str) -> Definition {
    let tree = heyi_engine::yaml::read(source).unwrap_or_else(|error| panic!("{error:?}"));
    let (fitted, places) = shape::fit(&tree, &definition::json_schema()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let (definition, mistakes) = compile::compile(fitted.read().expect("it fits the schema"), &places);
    assert!(mistakes.is_empty(), "{}", definition::Mistakes(mistakes));
    definition
}

/// A workflow with its plays, as they go unchanged.
struct World {
    definition: Definition,
    calendar: Calendar,
    accounts: IndexMap<String, Account>,
    plays: Vec<Play>,
}

/// A scenario, its record step by step, and the step in which it first meets each kind (`kind`), each state
/// (`kind:state`) and each transition that it takes or tries (`kind.transition`).
struct Play {
    scenario: Scenario,
    meets: BTreeMap<String, usize>,
    record: Vec<String>,
}

impl Play {
    /// The first step in which the mutant can show; none if never.
    fn first(&self, mutant: &Mutant) -> Option<usize> {
        if mutant.shows_in.is_empty() { Some(0) } else { mutant.shows_in.iter().filter_map(|what| self.meets.get(what).copied()).min() }
    }
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// This scenario noticed, by what it expects or by its record.
    Noticed(String),
    /// It is no workflow at all.
    Stillborn(String),
    /// No scenario noticed.
    Survived,
}

impl World {
    fn new(definition: Definition, cast: &Cast, scenarios: Vec<Scenario>) -> Self {
        let calendar = calendar(&definition.file.calendar);
        let mut world = Self { definition, calendar, accounts: cast.accounts(), plays: Vec::new() };
        for scenario in scenarios {
            let mut play = Play { meets: BTreeMap::new(), record: Vec::new(), scenario };
            let policy = Policy::of(&world.definition, &play.scenario.policy).expect("a scenario's policy is good");
            let mut rehearsal = Rehearsal::new(&play.scenario, &world.definition, policy, &world.calendar, &world.accounts);
            while let Some(act) = rehearsal.step() {
                let act = act.unwrap_or_else(|fault| panic!("{fault}"));
                assert!(act.report.failures.is_empty(), "{}, step {}: {:?}", play.scenario.scenario, act.report.number, act.report.failures);
                let tried = play.scenario.steps[play.record.len()].do_.clone();
                let moved = act.seen.events.iter().filter_map(|e| if let What::Moved(m) = &e.what { Some(m) } else { None });
                let met = moved.flat_map(|m| [m.kind.clone(), format!("{}:{}", m.kind, m.to), format!("{}.{}", m.kind, m.transition)]);
                for what in met.chain(tried) {
                    play.meets.entry(what).or_insert(play.record.len());
                }
                play.record.push(act.record);
            }
            world.plays.push(play);
        }
        // The shortest first: among those that may notice, it notices soonest.
        world.plays.sort_by_key(|p| p.record.len());
        world
    }

    fn shipped(name: &str) -> Self {
        let folder = here().join("../workflows").join(name);
        let definition = unchecked(&read(&folder.join("workflow.yaml")));
        let cast = match fs::read_to_string(folder.join("cast.yaml")) {
            Ok(source) => Cast::parse(&source).unwrap_or_else(|mistakes| panic!("{mistakes}")),
            Err(_) => Cast::of(&definition),
        };
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder.join("scenarios")).expect("there are scenarios").map(|e| e.expect("the test's own texts are good").path()).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
        files.sort();
        let scenarios = files.iter().map(|f| Scenario::parse(&read(f), &definition).unwrap_or_else(|m| panic!("{}: {m}", f.display()))).collect();
        Self::new(definition, &cast, scenarios)
    }

    fn fate(&self, mutant: &Mutant) -> Fate {
        let (definition, mistakes) = compile::compile(mutant.of(&self.definition.file), &Places::new());
        if let Some(mistake) = mistakes.first() {
            return Fate::Stillborn(mistake.to_string());
        }
        // Those that take the very step come first.
        let (first, rest): (Vec<&Play>, Vec<&Play>) = self.plays.iter().partition(|p| p.meets.contains_key(&mutant.touches));
        for play in first.into_iter().chain(rest) {
            let Some(from) = play.first(mutant) else { continue };
            // A panic is noticed too, and is worse.
            let noticed = catch_unwind(AssertUnwindSafe(|| self.noticed(play, from, &definition)));
            if noticed.unwrap_or(true) {
                return Fate::Noticed(play.scenario.scenario.clone());
            }
        }
        Fate::Survived
    }

    /// Whether a play goes otherwise under another definition. Before the step `from` it cannot, so there its record,
    /// which is most of the work, is not asked for.
    fn noticed(&self, play: &Play, from: usize, definition: &Definition) -> bool {
        let Ok(policy) = Policy::of(definition, &play.scenario.policy) else { return true };
        let mut rehearsal = Rehearsal::new(&play.scenario, definition, policy, &self.calendar, &self.accounts);
        play.record.iter().enumerate().any(|(at, recorded)| {
            let went = if at + 1 < from {
                rehearsal.skip().map(|report| report.map(|r| r.failures.is_empty()))
            } else {
                // The record of a step tells what is new since the one before, so the one before is looked at too.
                rehearsal.step().map(|act| act.map(|a| a.report.failures.is_empty() && (at < from || a.record == *recorded)))
            };
            went != Some(Ok(true))
        })
    }

    /// What becomes of each, with as many at once as there are cores.
    fn fates(&self, mutants: &[&Mutant]) -> Vec<Fate> {
        let next = AtomicUsize::new(0);
        let fates = Mutex::new(vec![Fate::Survived; mutants.len()]);
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(mutants.len().max(1));
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(mutant) = mutants.get(i) else { break };
                        let fate = self.fate(mutant);
                        fates.lock().expect("the test's own texts are good")[i] = fate;
                    }
                });
            }
        });
        fates.into_inner().expect("the test's own texts are good")
    }
}

/// Mutants that change nothing, with the reason.
fn equivalent(workflow: &str) -> BTreeMap<String, String> {
    let Ok(text) = fs::read_to_string(here().join(format!("tests/data/mutation/{workflow}.txt"))) else { return BTreeMap::new() };
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, why) = line.split_once(" ⇒ ").unwrap_or_else(|| panic!("`{line}` gives no reason: write MUTANT ⇒ REASON"));
            assert!(!why.trim().is_empty(), "`{name}` gives no reason");
            (name.trim().to_owned(), why.trim().to_owned())
        })
        .collect()
}

/// A sample without doubles, the same for the same seed.
fn sample(mutants: &[Mutant], n: usize, seed: u64) -> Vec<&Mutant> {
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let mut all: Vec<&Mutant> = mutants.iter().collect();
    let n = n.min(all.len());
    for i in 0..n {
        let other = i + random(all.len() - i);
        all.swap(i, other);
    }
    all.truncate(n);
    all
}

/// The figures, by kind of change, and what fails.
struct Result {
    text: String,
    noticed: usize,
    survived: Vec<String>,
    /// Said to change nothing, and noticed.
    not_equivalent: Vec<String>,
}

fn result(mutants: &[&Mutant], fates: &[Fate], equivalent: &BTreeMap<String, String>) -> Result {
    let mut rows: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut out = Result { text: String::new(), noticed: 0, survived: Vec::new(), not_equivalent: Vec::new() };
    for (mutant, fate) in mutants.iter().zip(fates) {
        let row = rows.entry(mutant.operator).or_default();
        match fate {
            Fate::Noticed(_) => {
                row[0] += 1;
                out.noticed += 1;
                if equivalent.contains_key(&mutant.name) {
                    out.not_equivalent.push(mutant.name.clone());
                }
            }
            Fate::Survived if equivalent.contains_key(&mutant.name) => row[2] += 1,
            Fate::Survived => {
                row[1] += 1;
                out.survived.push(format!("{}: {}", mutant.operator, mutant.name));
            }
            Fate::Stillborn(_) => row[3] += 1,
        }
    }
    let mut all = [0; 4];
    let _ = writeln!(out.text, "{:20} {:>10} {:>10} {:>10} {:>10}", "", "noticed", "survived", "equivalent", "no workflow");
    for (operator, row) in &rows {
        let _ = writeln!(out.text, "{operator:20} {:>10} {:>10} {:>10} {:>10}", row[0], row[1], row[2], row[3]);
        all.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    let _ = writeln!(out.text, "{:20} {:>10} {:>10} {:>10} {:>10}", "all", all[0], all[1], all[2], all[3]);
    out
}

#[test]
fn at_least_one_scenario_notices() {
    let setting = |name: &str| std::env::var(name).ok();
    let workflow = setting("HEYI_MUTATE_WORKFLOW").unwrap_or_else(|| "medical-dispute".to_owned());
    let seed = setting("HEYI_MUTATE_SEED").map_or(SEED, |s| s.parse().expect("HEYI_MUTATE_SEED is a number"));
    let how_many =
        setting("HEYI_MUTATE").map_or(SAMPLE, |s| if s == "all" { usize::MAX } else { s.parse().expect("HEYI_MUTATE is a number, or all") });
    let world = World::shipped(&workflow);
    let all = operators::all(&world.definition);
    let names: BTreeSet<&str> = all.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "two mutants bear one name");
    let equivalent = equivalent(&workflow);
    let unknown: Vec<&String> = equivalent.keys().filter(|name| !names.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "said to change nothing, but there is no such mutant: {unknown:#?}");
    let mutants = sample(&all, how_many, seed);
    let fates = world.fates(&mutants);
    let told = result(&mutants, &fates, &equivalent);
    let counted = told.noticed + told.survived.len();
    let percent = (told.noticed * 100).checked_div(counted).unwrap_or(100);
    let text = format!(
        "{workflow}: {} of {} mutants, seed {seed}, {} scenarios\n{}{percent} % of {counted} noticed\nsurvived:\n  {}",
        mutants.len(),
        all.len(),
        world.plays.len(),
        told.text,
        told.survived.join("\n  ")
    );
    println!("{text}");
    for (mutant, fate) in mutants.iter().zip(&fates) {
        if let Fate::Stillborn(why) = fate {
            println!("no workflow: {}: {why}", mutant.name);
        }
    }
    assert!(told.not_equivalent.is_empty(), "said to change nothing, and noticed all the same: {:#?}", told.not_equivalent);
    assert!(percent >= WANTED_PERCENT, "{text}");
}

/// The tiny workflow and its one play: what it takes is noticed, what it never tries is not, and no change is no mutant.
#[test]
fn what_no_scenario_tries_survives() {
    let definition = definition::load(include_str!("../data/broken/good.yaml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let scenario = Scenario::parse(include_str!("../data/tiny/reply-in-time.yaml"), &definition).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let cast = Cast::of(&definition);
    let world = World::new(definition, &cast, vec![scenario]);
    assert!(!world.noticed(&world.plays[0], 0, &world.definition), "a play that is not changed goes as it went");
    let all = operators::all(&world.definition);
    let mutants: Vec<&Mutant> = all.iter().collect();
    let fates = world.fates(&mutants);
    // Where a mutant is said not to show yet, it does not: looked at from the first step on, each has the same fate.
    for (mutant, fate) in all.iter().zip(&fates) {
        let (definition, mistakes) = compile::compile(mutant.of(&world.definition.file), &Places::new());
        let noticed = mistakes.is_empty() && world.noticed(&world.plays[0], 0, &definition);
        assert_eq!(matches!(fate, Fate::Noticed(_)), noticed, "{}", mutant.name);
    }
    let fate = |name: &str| {
        let at = all.iter().position(|m| m.name == name);
        let at = at.unwrap_or_else(|| panic!("no mutant `{name}` among {:#?}", all.iter().map(|m| &m.name).collect::<Vec<_>>()));
        fates[at].clone()
    };
    for name in [
        "matter.take.by without clerk",
        "matter.drop.by without asker",
        "matter.ask.when with `!(has(facts.amount))`",
        "matter.wait without then[0] open reply",
        "reply.answer without the notice told",
        "notices.told without lead",
        "policy.answer_time: 4 working days",
        "reply.deadlines.answer without the warning at 1 working day",
        "matter.ask without the need of consents handling",
        "actions.file.by without asker",
    ] {
        assert_eq!(fate(name), Fate::Noticed("reply-in-time".to_owned()), "{name}");
    }
    for name in [
        "matter.ask.accepts without `input.rounds <= policy.most`",
        "matter.refused.auto with `!(assents.any_refused || assents.lapsed)`",
        "policy.most: 6",
    ] {
        assert_eq!(fate(name), Fate::Survived, "{name}");
    }
    let told = result(&mutants, &fates, &BTreeMap::from([("policy.most: 6".to_owned(), "nobody asks".to_owned())]));
    assert!(!told.survived.iter().any(|s| s.ends_with("policy.most: 6")) && told.survived.iter().any(|s| s.ends_with("policy.most: 4")));
}
