//! Killing the demo, at every commit, between a letter and its mark, and at any moment: the next start goes on without
//! a hand, and what stands at the end is what an undisturbed play leaves.
//!
//! By default a seeded sample of the exits is taken, so that `cargo test` stays short. Every single one, one after the
//! other: `HEYI_LONG=1 cargo test -p heyi-tests --test breakage`.

use heyi_api::config::Config;
use heyi_api::state::{App, Mode};
use heyi_engine::ids::CaseId;
use heyi_engine::store::cases::chain;
use heyi_engine::store::rows::{document, event, export, letter, opening};
use heyi_tests::process::{Dice, Ran, command, copy_folder, files, not_tested, scratch};
use mail_parser::MessageParser;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// The status of a planted exit.
const PLANTED: i32 = 86;
/// A chain that does not end in so many starts never will.
const MAX_STARTS: usize = 3_000;
/// Exits after commits that a sample must hit, and exits between letters and their marks.
const SAMPLE: [usize; 2] = [12, 10];
/// Kills at random moments.
const KILLS: usize = 20;
/// The latest moment of a random kill after the start, in milliseconds. A start alone takes part of it.
const KILL_WITHIN_MS: u64 = 2_000;

/// What stands at the end, by scenario: everything but made-up ids, salts and seals. Plain text, so that a difference
/// can be read.
type Outcome = BTreeMap<String, Vec<String>>;

/// A text without what chance decided: each UUID and each reference made of one becomes a number, in the order in which they occur,
/// and each digest a dash.
fn masked(text: &str, known: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let mut flush = |word: &mut String, out: &mut String| {
        let digest = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        if uuid::Uuid::try_parse(word).is_ok() || word.starts_with("HY-") {
            let n = known.iter().position(|k| k == word).unwrap_or_else(|| {
                known.push(word.clone());
                known.len() - 1
            });
            out.push_str(&format!("#{n}"));
        } else if digest {
            out.push('-');
        } else {
            out.push_str(word);
        }
        word.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '-' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// Events commit to salted values and stand under drawn definitions; what they say is compared, not these.
fn event_line(mut body: Json) -> Json {
    fn strip(json: &mut Json) {
        match json {
            Json::Object(map) => {
                map.remove("commitment");
                map.remove("shown");
                map.values_mut().for_each(strip);
            }
            Json::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut body);
    body
}

/// Reads what stands in a folder. What must be so in any folder, whatever was played, is asserted on the way.
async fn outcome(folder: &Path) -> Outcome {
    let app = App::open(Config { data_dir: folder.to_owned(), ..Config::default() }, Mode::Sandbox).await.expect("the folder opens without a hand");
    let store = app.engine.store();
    let db = store.db();
    let mut all = Outcome::new();
    let openings = opening::Entity::find().all(db).await.expect("the database answers");
    let mut on_file: BTreeSet<PathBuf> = files(&folder.join("mail"), "eml").into_iter().collect();
    let mut message_ids = BTreeSet::new();
    for row in openings {
        // demo:SCENARIO:STEP
        let scenario = row.key.split(':').nth(1).expect("the demo names its steps").to_owned();
        let case: CaseId = row.case_id.parse().expect("a case id");
        let (loaded, _) = app.engine.read(case).await.expect("the case can be read");
        let key = loaded.key.as_ref().expect("nothing was erased");
        let mut known = vec![row.case_id.clone(), case.reference()];
        let mut lines = Vec::new();
        let mut say = |what: &str, json: Json| lines.push(format!("{what} {}", masked(&json.to_string(), &mut known)));

        let r = &loaded.row;
        say("case", json!([r.workflow, r.version, r.state, r.stage, r.is_open, r.assignee, r.opened_at, r.updated_at, r.due_at, r.acts_at]));

        let events = event::Entity::find().filter(event::Column::CaseId.eq(&row.case_id)).all(db).await.expect("the database answers");
        let mut events: Vec<event::Model> = events;
        events.sort_by_key(|e| e.seq);
        let mut head = heyi_engine::case::sha256(row.case_id.as_bytes());
        for (n, e) in (1..).zip(&events) {
            let body: Json = serde_json::from_str(&e.body).expect("events are JSON");
            assert_eq!(e.seq, n, "{scenario}: the events have a gap");
            head = chain(&head, &body).expect("events have a canonical form");
            assert_eq!(e.hash, head, "{scenario}: the chain breaks at event {n}");
            say("event", event_line(body));
        }
        assert_eq!(r.head, head, "{scenario}: the case's row holds another head");
        assert_eq!(r.version, i64::try_from(events.len()).expect("few"), "{scenario}: the version does not follow the events");

        for (id, value) in &loaded.case.vault {
            say("value", json!([id.to_string(), value.to_json()]));
        }

        for d in store.deadlines(case).await.expect("the database answers") {
            say("deadline", json!([d.proceeding, d.name, d.started_by, d.nth, d.status, d.last_day, d.acts_at, d.body]));
        }
        for w in store.work(case).await.expect("the database answers") {
            say("work", json!([w.key, w.proceeding, w.for_role, w.account, w.due, w.title]));
        }
        let documents = document::Entity::find().filter(document::Column::CaseId.eq(&row.case_id)).all(db).await.expect("the database answers");
        for d in documents {
            let bytes = key.open(&d.sealed, &format!("{}/{}/{}", d.case_id, d.form, d.seq)).expect("documents open");
            say("document", json!([d.form, d.seq, serde_json::from_slice::<Json>(&bytes).expect("JSON")]));
        }
        let exports = export::Entity::find().filter(export::Column::CaseId.eq(&row.case_id)).all(db).await.expect("the database answers");
        for e in exports {
            let bytes = key.open(&e.sealed, &format!("{}/export/{}", e.case_id, e.id)).expect("packages open");
            let written = std::fs::read(folder.join(format!("exports/{scenario}-{}.zip", e.recipient))).expect("the package was written");
            assert!(bytes == written, "{scenario}: the package in the folder is not the one that is kept");
            say("export", json!([e.recipient, e.version]));
        }

        let mut told = Vec::new();
        let letters = letter::Entity::find().filter(letter::Column::CaseId.eq(&row.case_id)).all(db).await.expect("the database answers");
        for l in letters {
            let notice: Json = serde_json::from_slice(&key.open(&l.sealed, &l.id).expect("letters open")).expect("JSON");
            let path = folder.join(format!("mail/{}.eml", l.id));
            let there = on_file.remove(&path);
            // A letter that left has its file, a letter on paper has none: each notice once, none lost.
            assert_eq!(there, l.state != "paper", "{scenario}: {} ({}) and its file", l.id, l.state);
            if there {
                let bytes = std::fs::read(&path).expect("just listed");
                let mail = MessageParser::default().parse(&bytes).expect("a mail");
                assert_eq!(
                    mail.to().and_then(|to| to.first()).and_then(|a| a.address()),
                    notice["recipient"]["email"].as_str(),
                    "{scenario}: {}",
                    l.id
                );
                assert!(message_ids.insert(mail.message_id().expect("a Message-ID").to_owned()), "{scenario}: a Message-ID twice");
            }
            // The numbers in the notice's id are the event's and its own; times of the deciding and of the leaving are the play's.
            told.push(json!([
                l.id,
                l.kind,
                l.state,
                l.created_at,
                l.lease,
                l.problem,
                notice["recipient"]["as"],
                notice["recipient"]["email"],
                notice["data"]
            ]));
        }
        told.sort_by_key(|l| {
            let id = l[0].as_str().unwrap_or_default();
            let mut numbers = id.rsplit('.').map(|n| n.parse::<u64>().unwrap_or(0));
            let (index, seq) = (numbers.next(), numbers.next());
            (seq, index)
        });
        told.into_iter().for_each(|l| say("letter", l));
        assert!(all.insert(scenario.clone(), lines).is_none(), "{scenario} was opened twice");
    }
    assert!(on_file.is_empty(), "letters of no notice: {on_file:?}");
    let mut shown: Vec<String> = [("documents", "pdf"), ("exports", "zip")]
        .iter()
        .flat_map(|(sub, ending)| files(&folder.join(sub), ending))
        .map(|p| p.strip_prefix(folder).expect("below").display().to_string())
        .collect();
    // Files that were being written when the process died are hidden and are replaced or stay behind; none may be visible.
    shown.sort();
    all.insert("files".to_owned(), shown);
    for package in files(&folder.join("exports"), "zip") {
        let _ = Ran::of(command(["verify"]).arg(&package).arg("--key").arg(folder.join("public-key.pem"))).ended(0);
    }
    all
}

/// The first difference between two outcomes, or none.
fn difference(expected: &Outcome, found: &Outcome) -> Option<String> {
    for name in expected.keys().chain(found.keys()) {
        let (Some(a), Some(b)) = (expected.get(name), found.get(name)) else { return Some(format!("{name} stands on one side only")) };
        for n in 0..a.len().max(b.len()) {
            let none = String::from("(nothing)");
            let (a, b) = (a.get(n).unwrap_or(&none), b.get(n).unwrap_or(&none));
            if a != b {
                return Some(format!("{name}, line {n}\n  undisturbed: {a}\n  disturbed:   {b}"));
            }
        }
    }
    None
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// A play that nobody disturbed, and its folder.
fn undisturbed() -> &'static (PathBuf, Outcome) {
    static ONCE: OnceLock<(PathBuf, Outcome)> = OnceLock::new();
    ONCE.get_or_init(|| {
        let folder = scratch("undisturbed");
        let _ = Ran::of(command(["demo", "--data"]).arg(&folder)).ended(0);
        let outcome = run(outcome(&folder));
        assert!(outcome.len() > 5, "{:?}", outcome.keys());
        (folder, outcome)
    })
}

#[track_caller]
fn assert_same_end(folder: &Path) {
    let found = run(outcome(folder));
    let states: BTreeSet<&str> = ["\"waiting\"", "\"sending\"", "\"failed\""]
        .into_iter()
        .filter(|s| found.values().flatten().any(|l| l.starts_with("letter ") && l.contains(s)))
        .collect();
    let difference = difference(&undisturbed().1, &found);
    assert!(difference.is_none() && states.is_empty(), "letters that did not leave: {states:?}\n{}", difference.unwrap_or_default());
}

fn long() -> bool {
    std::env::var_os("HEYI_LONG").is_some()
}

/// Starts the demo again and again on one folder, with an exit planted at a moment; returns how many exits were hit
/// until a run came to its end. Each exit lies after work that no run before it had done, so each is another one.
/// A sample takes each `sample`th or the one after it, from a random beginning on.
fn chain_of_exits(test: &str, moment: &str, sample: u64) -> usize {
    let folder = scratch(test);
    let mut dice = Dice::new(test);
    let mut hit = 0;
    for _ in 0..MAX_STARTS {
        let count = match hit {
            _ if long() => 1,
            0 => 1 + dice.below(sample),
            _ => sample + dice.below(2),
        };
        let ran = Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder).env("HEYI_FAULT", format!("{moment}:{count}")));
        match ran.code {
            Some(PLANTED) => hit += 1,
            Some(0) => {
                assert_same_end(&folder);
                eprintln!("{test}: {hit} planted exits ({})", if long() { "every one" } else { "a sample; HEYI_LONG=1 takes every one" });
                return hit;
            }
            _ => panic!("after {hit} exits a start needed a hand: {ran:?}"),
        }
    }
    panic!("{hit} exits, and no end");
}

/// Planted exits are left out of a release build.
fn planted_exits() -> bool {
    if cfg!(debug_assertions) {
        return true;
    }
    not_tested("planted exits: they exist in the debug profile only");
    false
}

#[test]
fn an_exit_after_any_commit_ends_in_the_same_state() {
    if !planted_exits() {
        return;
    }
    let hit = chain_of_exits("exits-at-commits", "commit", 4);
    assert!(hit >= SAMPLE[0], "only {hit} commits were hit");
}

#[test]
fn an_exit_between_a_letter_and_its_mark_ends_in_the_same_state() {
    if !planted_exits() {
        return;
    }
    let hit = chain_of_exits("exits-at-letters", "mail_written", 7);
    assert!(hit >= SAMPLE[1], "only {hit} letters were hit");
}

#[test]
fn twenty_kills_at_random_moments_end_in_the_same_state() {
    let mut dice = Dice::new("kills");
    let (mut landed, mut plays) = (0, 0);
    while landed < KILLS {
        plays += 1;
        let folder = scratch(&format!("killed-{plays}"));
        loop {
            let mut child = command(["demo", "--quiet", "--data"])
                .arg(&folder)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("heyi can be started");
            if landed < KILLS {
                std::thread::sleep(Duration::from_millis(dice.below(KILL_WITHIN_MS)));
                // SIGKILL. It may come too late, when the play is over.
                drop(child.kill());
            }
            let left = child.wait_with_output().expect("a child ends");
            match left.status.code() {
                None => landed += 1,
                Some(0) => break,
                Some(code) => panic!("after {landed} kills a start needed a hand: {code}: {}", String::from_utf8_lossy(&left.stderr)),
            }
        }
        assert_same_end(&folder);
    }
    eprintln!("kills: {landed} in {plays} plays");
}

/// The comparison has teeth: whatever a crash could lose or double is seen.
#[test]
fn the_comparison_sees_what_is_lost_or_doubled() {
    let (folder, expected) = undisturbed();
    let scenario = expected.keys().find(|k| k.as_str() != "files").expect("there is a scenario");
    // (A finished demo leaves neither live deadlines nor open work; what they were at each step follows from the events.)
    for kind in ["case ", "event ", "value ", "letter ", "document ", "export "] {
        let (name, n) = expected
            .iter()
            .find_map(|(name, lines)| lines.iter().position(|l| l.starts_with(kind)).map(|n| (name, n)))
            .unwrap_or_else(|| panic!("the demo leaves no {kind}"));
        let mut lost = expected.clone();
        lost.get_mut(name).expect("just found").remove(n);
        assert!(difference(expected, &lost).is_some() && difference(&lost, expected).is_some(), "a lost {kind}is not seen");
        let mut changed = expected.clone();
        changed.get_mut(name).expect("just found")[n].push('!');
        assert!(difference(expected, &changed).is_some(), "a changed {kind}is not seen");
        let mut doubled = expected.clone();
        let again = doubled[name][n].clone();
        doubled.get_mut(name).expect("just found").insert(n, again);
        assert!(difference(expected, &doubled).is_some(), "a doubled {kind}is not seen");
    }
    let mut unplayed = expected.clone();
    unplayed.remove(scenario);
    assert!(difference(expected, &unplayed).is_some());

    // And in real folders: a letter's file is gone, a letter of no notice is there, an event is gone.
    let broken = |name: &str, sabotage: &dyn Fn(&Path)| {
        let copy = scratch(name);
        copy_folder(folder, &copy);
        sabotage(&copy);
        std::panic::catch_unwind(|| run(outcome(&copy))).map_or(true, |found| difference(expected, &found).is_some())
    };
    assert!(!broken("teeth-nothing", &|_| ()), "an untouched copy is the same");
    assert!(
        broken("teeth-letter-lost", &|copy| std::fs::remove_file(&files(&copy.join("mail"), "eml")[3]).expect("there")),
        "a lost letter is not seen"
    );
    assert!(
        broken("teeth-letter-doubled", &|copy| {
            let first = &files(&copy.join("mail"), "eml")[3];
            std::fs::copy(first, first.with_file_name("doubled.eml")).expect("there");
        }),
        "a letter that left twice is not seen"
    );
    let sql = |statement: &'static str| {
        move |copy: &Path| {
            run(async {
                use sea_orm::ConnectionTrait as _;
                let db = sea_orm::Database::connect(format!("sqlite:{}", copy.join("heyi.db").display())).await.expect("the copy opens");
                let done = db.execute_unprepared(statement).await.expect("the statement runs");
                assert_eq!(done.rows_affected(), 1);
            });
        }
    };
    assert!(broken("teeth-event", &sql("DELETE FROM event WHERE rowid = (SELECT max(rowid) FROM event)")), "a lost event is not seen");
    assert!(
        broken("teeth-notice", &sql("DELETE FROM letter WHERE rowid = (SELECT max(rowid) FROM letter WHERE state = 'paper' OR state = 'sent')")),
        "a lost notice is not seen"
    );
    assert!(
        broken("teeth-state", &sql("UPDATE letter SET state = 'waiting' WHERE rowid = (SELECT max(rowid) FROM letter WHERE state = 'sent')")),
        "a letter that waits is not seen"
    );
}
