//! Broken workflow files: each yields the finding that its first lines announce, at the place that it marks; a file
//! with many mistakes yields all of them at once; and no mangled file makes the reader panic.
//!
//! A file under `data/broken` says `# finds: KEY | part of the text` at its top, once or more, and marks the line that
//! the finding must point to with `# <- here`. `good.yaml` is what they were made from.

use heyi_engine::definition::{self, Mistake};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MARK: &str = "# <- here";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/broken")
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a file announces: the key and a part of the text.
fn announced(source: &str) -> Vec<(String, String)> {
    let lines = source.lines().filter_map(|line| line.strip_prefix("# finds: ").or_else(|| line.strip_prefix("# finds:")));
    lines
        .map(|line| line.split_once('|').map(|(key, part)| (key.trim().to_owned(), part.trim().to_owned())).expect("a key, a bar and a text"))
        .collect()
}

/// The lines that a file marks, from 1.
fn marked(source: &str) -> BTreeSet<u64> {
    source.lines().zip(1u64..).filter(|(line, _)| line.contains(MARK)).map(|(_, number)| number).collect()
}

fn findings(source: &str) -> Vec<Mistake> {
    definition::load(source).err().map(|mistakes| mistakes.0).unwrap_or_default()
}

fn listed(found: &[Mistake]) -> String {
    found.iter().map(|m| format!("\n    {m}")).collect()
}

/// What is wrong with the findings of a file, as sentences.
fn judge(source: &str) -> Vec<String> {
    let found = findings(source);
    let mut out = Vec::new();
    let mut places = BTreeSet::new();
    for (key, part) in announced(source) {
        match found.iter().find(|m| m.key == key && m.to_string().contains(&part)) {
            Some(mistake) => drop(places.insert(mistake.line)),
            None => out.push(format!("nothing is found at `{key}` that says `{part}`; found:{}", listed(&found))),
        }
    }
    let marked = marked(source);
    if out.is_empty() && !marked.is_empty() && marked != places {
        out.push(format!("the lines {marked:?} are marked, and the findings point to {places:?}"));
    }
    out
}

#[test]
fn the_good_file_has_no_finding() {
    let found = findings(&read("good.yaml"));
    assert!(found.is_empty(), "{}", listed(&found));
}

#[test]
fn each_broken_file_yields_the_finding_that_it_announces() {
    let mut names: Vec<String> = fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|n| n != "good.yaml" && n != "many-at-once.yaml");
    names.sort();
    assert!(names.len() >= 15, "only {} broken files were found", names.len());
    let mut failures = Vec::new();
    for name in &names {
        let source = read(name);
        if announced(&source).is_empty() {
            failures.push(format!("{name}: announces nothing"));
        }
        failures.extend(judge(&source).into_iter().map(|f| format!("{name}: {f}")));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The judge itself has teeth: the good file with a false announcement, a wrong key, and a wrong line all fail.
#[test]
fn a_finding_that_is_missing_or_elsewhere_is_noticed() {
    let good = read("good.yaml");
    assert!(!judge(&format!("# finds: zone | is no time zone\n{good}")).is_empty());
    let broken = read("bad-zone.yaml");
    assert!(judge(&broken).is_empty());
    assert!(!judge(&broken.replace("finds: zone", "finds: title")).is_empty());
    assert!(!judge(&broken.replace(MARK, "").replace("calendar: china", &format!("calendar: china {MARK}"))).is_empty());
}

#[test]
fn many_mistakes_are_found_at_once_each_on_its_line() {
    let source = read("many-at-once.yaml");
    let found = findings(&source);
    let lines: BTreeSet<u64> = found.iter().map(|m| m.line).collect();
    let marked = marked(&source);
    assert!(marked.len() >= 10, "only {} lines are marked", marked.len());
    assert!(found.len() >= marked.len(), "{} findings:{}", found.len(), listed(&found));
    assert!(marked.is_subset(&lines), "nothing is found on the lines {:?}; found:{}", marked.difference(&lines).collect::<Vec<_>>(), listed(&found));
    // A name that is spelt wrong where it is declared is missing wherever it is used: those findings may be more.
    let in_order: Vec<(u64, u64)> = found.iter().map(|m| (m.line, m.column)).collect();
    assert!(in_order.is_sorted(), "the findings are not in the order of the file: {in_order:?}");
}

/// A small generator of numbers, so that a failure can be played again from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// Deletes, doubles and swaps a few lines, and now and then cuts a character out of one or indents it.
fn mangled(lines: &[&str], seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut out: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
    for _ in 0..=dice.below(3) {
        let (at, other) = (dice.below(out.len()), dice.below(out.len()));
        match dice.below(5) {
            0 => drop(out.remove(at)),
            1 => out.insert(at, out[other].clone()),
            2 => out.swap(at, other),
            3 => {
                let cut = dice.below(out[at].chars().count());
                out[at] = out[at].chars().enumerate().filter(|(i, _)| *i != cut).map(|(_, c)| c).collect();
            }
            _ => out[at].insert_str(0, "  "),
        }
    }
    out.join("\n")
}

const MANGLED_FILES: u64 = 500;

#[test]
fn no_mangled_file_makes_the_reader_panic() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/medical-dispute/workflow.yaml")).unwrap();
    let lines: Vec<&str> = source.lines().collect();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let (refused, panicked) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let lines = &lines;
                scope.spawn(move || {
                    let mut refused = 0;
                    let mut panicked = Vec::new();
                    for seed in (worker..MANGLED_FILES).step_by(usize::try_from(threads).unwrap_or(1)) {
                        let text = mangled(lines, seed);
                        match std::panic::catch_unwind(|| definition::load(&text).is_err()) {
                            Ok(no) => refused += u64::from(no),
                            Err(_) => panicked.push(seed),
                        }
                    }
                    (refused, panicked)
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().expect("a worker catches its panics")).fold((0, Vec::new()), |(n, mut all), (m, more)| {
            all.extend(more);
            (n + m, all)
        })
    });
    assert!(panicked.is_empty(), "these seeds make it panic: {panicked:?}");
    // Most of them are wrong; were nearly all taken, the mangling would not reach what matters.
    assert!(refused > MANGLED_FILES / 3, "only {refused} of {MANGLED_FILES} were refused");
}
