//! Each kind of edit, made by hand, some of them by somebody who has the installation's key or knows how hashes are made.

use super::copy::{Copy, has, hex, listed};
use heyi_api::package::PrivateKey;
use heyi_engine::case::sha256;
use heyi_engine::proof::{Fault, log};
use heyi_engine::store::Store;
use heyi_engine::store::cases::chain;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// An edit, and what must be found: fault, event, table. The case is the one given to it.
type Edit = (&'static str, fn(&Copy, &str), Fault, fn(&Copy, &str) -> Option<i64>, &'static str);

fn none(_: &Copy, _: &str) -> Option<i64> {
    None
}
fn five(_: &Copy, _: &str) -> Option<i64> {
    Some(5)
}
fn first_file(copy: &Copy, case: &str) -> Option<i64> {
    let sql = format!("SELECT MIN(seq) FROM event WHERE case_id = '{case}' AND body LIKE '%\"file_attached\"%'");
    Some(copy.number(&sql))
}
fn first_value(copy: &Copy, case: &str) -> Option<i64> {
    Some(copy.number(&format!("SELECT MIN(seq) FROM case_value WHERE case_id = '{case}'")))
}
fn after_last(copy: &Copy, case: &str) -> Option<i64> {
    last(copy, case).map(|last| last + 1)
}
fn last(copy: &Copy, case: &str) -> Option<i64> {
    Some(copy.number(&format!("SELECT version FROM case_row WHERE id = '{case}'")))
}
/// The file that the first of these events took in.
fn file_of(copy: &Copy, case: &str) -> String {
    let seq = first_file(copy, case).expect("a number");
    let body: Json = serde_json::from_str(&copy.text(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = {seq}"))).expect("JSON");
    body["what"]["file"].as_str().expect("an id").to_owned()
}

const EDITS: &[Edit] = &[
    (
        "bit flip",
        |c, case| {
            let body = c.text(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = 5"));
            let mut bytes = body.into_bytes();
            let at = bytes.windows(9).position(|w| w == b"recorded_").expect("a time") + 17;
            bytes[at] ^= 1;
            c.run(&format!("UPDATE event SET body = CAST(x'{}' AS TEXT) WHERE case_id = '{case}' AND seq = 5", hex(&bytes)));
        },
        Fault::Hash,
        five,
        "event",
    ),
    ("changed time", |c, case| c.edit(case, 5, |b| b["legal_at"] = "2025-01-01".into()), Fault::Hash, five, "event"),
    ("changed actor", |c, case| c.edit(case, 5, |b| b["acted"]["as"] = "somebody".into()), Fault::Hash, five, "event"),
    ("changed texts", |c, case| c.edit(case, 5, |b| b["under"]["policy"] = "0".into()), Fault::Hash, five, "event"),
    (
        "a blank",
        |c, case| {
            c.run(&format!("UPDATE event SET body = ' ' || body WHERE case_id = '{case}' AND seq = 5"));
        },
        Fault::Hash,
        five,
        "event",
    ),
    (
        "edited, and its own hash made anew",
        |c, case| {
            c.edit(case, 5, |b| b["acted"]["as"] = "somebody".into());
            let before = c.text(&format!("SELECT hash FROM event WHERE case_id = '{case}' AND seq = 4"));
            let body = c.text(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = 5"));
            let hash = chain(&before, &serde_json::from_str(&body).expect("JSON")).expect("a form");
            c.run(&format!("UPDATE event SET hash = '{hash}' WHERE case_id = '{case}' AND seq = 5"));
        },
        Fault::Hash,
        |_, _| Some(6),
        "event",
    ),
    (
        "deleted",
        |c, case| {
            c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = 5"));
        },
        Fault::Gap,
        five,
        "event",
    ),
    (
        "first deleted",
        |c, case| {
            c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = 1"));
        },
        Fault::Gap,
        |_, _| Some(1),
        "event",
    ),
    (
        "all deleted",
        |c, case| {
            c.run(&format!("DELETE FROM event WHERE case_id = '{case}'"));
        },
        Fault::Gap,
        |_, _| Some(1),
        "event",
    ),
    (
        "last deleted",
        |c, case| {
            c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = (SELECT version FROM case_row WHERE id = '{case}')"));
        },
        Fault::Gap,
        last,
        "event",
    ),
    (
        "inserted at the end",
        |c, case| {
            let next = after_last(c, case).expect("a number");
            c.run(&format!("INSERT INTO event SELECT case_id, {next}, body, hash FROM event WHERE case_id = '{case}' AND seq = 5"));
        },
        Fault::Hash,
        after_last,
        "event",
    ),
    (
        "inserted at the end, and well hashed",
        |c, case| {
            let (last, next) = (last(c, case).expect("a number"), after_last(c, case).expect("a number"));
            c.run(&format!("INSERT INTO event SELECT case_id, {next}, body, hash FROM event WHERE case_id = '{case}' AND seq = {last}"));
            c.edit(case, next, |b| b["seq"] = next.into());
            let before = c.text(&format!("SELECT head FROM case_row WHERE id = '{case}'"));
            let body = c.text(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = {next}"));
            let hash = chain(&before, &serde_json::from_str(&body).expect("JSON")).expect("a form");
            c.run(&format!("UPDATE event SET hash = '{hash}' WHERE case_id = '{case}' AND seq = {next}"));
        },
        Fault::Head,
        after_last,
        "case_row",
    ),
    (
        "inserted in the middle",
        |c, case| {
            c.run(&format!("UPDATE event SET seq = -seq - 1 WHERE case_id = '{case}' AND seq >= 5"));
            c.run(&format!("UPDATE event SET seq = -seq WHERE case_id = '{case}' AND seq < 0"));
            c.run(&format!("INSERT INTO event SELECT case_id, 5, body, hash FROM event WHERE case_id = '{case}' AND seq = 3"));
        },
        Fault::Hash,
        five,
        "event",
    ),
    (
        "swapped",
        |c, case| {
            c.run(&format!("UPDATE event SET seq = -5 WHERE case_id = '{case}' AND seq = 5"));
            c.run(&format!("UPDATE event SET seq = 5 WHERE case_id = '{case}' AND seq = 9"));
            c.run(&format!("UPDATE event SET seq = 9 WHERE case_id = '{case}' AND seq = -5"));
        },
        Fault::Hash,
        five,
        "event",
    ),
    (
        "put into reverse order",
        |c, case| {
            c.run(&format!("UPDATE event SET seq = -seq WHERE case_id = '{case}' AND seq BETWEEN 5 AND 9"));
            c.run(&format!("UPDATE event SET seq = 14 + seq WHERE case_id = '{case}' AND seq < 0"));
        },
        Fault::Hash,
        five,
        "event",
    ),
    (
        "moved to another case: gone here",
        |c, case| {
            let other = c.cases().remove(1);
            let next = after_last(c, &other).expect("a number");
            c.run(&format!("UPDATE event SET case_id = '{other}', seq = {next} WHERE case_id = '{case}' AND seq = 5"));
        },
        Fault::Gap,
        five,
        "event",
    ),
    (
        "copied from another case",
        |c, case| {
            let other = c.cases().remove(1);
            c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = 5"));
            c.run(&format!("INSERT INTO event SELECT '{case}', seq, body, hash FROM event WHERE case_id = '{other}' AND seq = 5"));
        },
        Fault::Hash,
        five,
        "event",
    ),
    (
        "the head",
        |c, case| {
            c.run(&format!("UPDATE case_row SET head = 'x' WHERE id = '{case}'"));
        },
        Fault::Head,
        last,
        "case_row",
    ),
    (
        "a value's bytes",
        |c, case| {
            let seq = first_value(c, case).expect("a number");
            c.run(&format!("UPDATE case_value SET sealed = sealed || x'00' WHERE case_id = '{case}' AND seq = {seq} AND number = 0"));
        },
        Fault::Sealed,
        first_value,
        "case_value",
    ),
    (
        "a value by somebody with the key",
        |c, case| {
            let seq = first_value(c, case).expect("a number");
            let sealed = c.key(case).seal("{\"text\":\"另一句话\"}".as_bytes(), &format!("{case}/{seq}.0"));
            c.run(&format!("UPDATE case_value SET sealed = x'{}' WHERE case_id = '{case}' AND seq = {seq} AND number = 0", hex(&sealed)));
        },
        Fault::Differs,
        first_value,
        "case_value",
    ),
    (
        "a salt",
        |c, case| {
            let seq = first_value(c, case).expect("a number");
            c.run(&format!("UPDATE case_value SET salt = x'00' WHERE case_id = '{case}' AND seq = {seq} AND number = 0"));
        },
        Fault::Differs,
        first_value,
        "case_value",
    ),
    (
        "a value deleted",
        |c, case| {
            let seq = first_value(c, case).expect("a number");
            c.run(&format!("DELETE FROM case_value WHERE case_id = '{case}' AND seq = {seq} AND number = 0"));
        },
        Fault::Missing,
        first_value,
        "case_value",
    ),
    (
        "a value added",
        |c, case| {
            c.run(&format!("INSERT INTO case_value SELECT case_id, 5, 77, salt, sealed FROM case_value WHERE case_id = '{case}' LIMIT 1"));
        },
        Fault::Unexplained,
        five,
        "case_value",
    ),
    (
        "the key deleted",
        |c, case| {
            c.run(&format!("DELETE FROM case_key WHERE case_id = '{case}'"));
        },
        Fault::Missing,
        none,
        "case_key",
    ),
    (
        "another case's key",
        |c, case| {
            c.run(&format!("UPDATE case_key SET wrapped = (SELECT wrapped FROM case_key WHERE case_id <> '{case}') WHERE case_id = '{case}'"));
        },
        Fault::Sealed,
        none,
        "case_key",
    ),
    (
        "a file's bytes",
        |c, case| {
            let id = file_of(c, case);
            let mut sealed = c.bytes(&format!("SELECT sealed FROM file WHERE case_id = '{case}' AND id = '{id}'"));
            let at = sealed.len() / 2;
            sealed[at] ^= 0x20;
            c.run(&format!("UPDATE file SET sealed = x'{}' WHERE case_id = '{case}' AND id = '{id}'", hex(&sealed)));
        },
        Fault::Sealed,
        first_file,
        "file",
    ),
    (
        "a file's bytes by somebody with the key, digest and all",
        |c, case| {
            let id = file_of(c, case);
            let sealed = c.key(case).seal(b"another paper", &format!("{case}/{id}"));
            let digest = sha256(b"another paper");
            c.run(&format!("UPDATE file SET sealed = x'{}', sha256 = '{digest}', size = 13 WHERE case_id = '{case}' AND id = '{id}'", hex(&sealed)));
        },
        Fault::Differs,
        first_file,
        "file",
    ),
    (
        "a file deleted",
        |c, case| {
            c.run(&format!("DELETE FROM file WHERE case_id = '{case}' AND id = '{}'", file_of(c, case)));
        },
        Fault::Missing,
        first_file,
        "file",
    ),
    (
        "a file added",
        |c, case| {
            c.run(&format!(
                "INSERT INTO file SELECT case_id, 'another', sha256, media_type, size, sealed_name, sealed FROM file WHERE case_id = '{case}' LIMIT 1"
            ));
        },
        Fault::Unexplained,
        none,
        "file",
    ),
    (
        "letters added",
        |c, case| {
            c.run(&format!("UPDATE letter SET id = id || '9' WHERE case_id = '{case}'"));
        },
        Fault::Unexplained,
        none,
        "letter",
    ),
    (
        "the case's row deleted",
        |c, case| {
            c.run(&format!("DELETE FROM case_row WHERE id = '{case}'"));
        },
        Fault::NoCase,
        none,
        "event",
    ),
    (
        "when it was opened",
        |c, case| {
            c.run(&format!("UPDATE case_row SET opened_at = opened_at - 86400000 WHERE id = '{case}'"));
        },
        Fault::Differs,
        last,
        "case_row",
    ),
    (
        "the workflow",
        |c, case| {
            c.run(&format!("UPDATE case_row SET workflow = 'another' WHERE id = '{case}'"));
        },
        Fault::Differs,
        last,
        "case_row",
    ),
    (
        "the stage in the list",
        |c, case| {
            c.run(&format!("UPDATE case_row SET stage = 'another' WHERE id = '{case}'"));
        },
        Fault::Replay,
        last,
        "case_row",
    ),
    (
        "whether it is open",
        |c, case| {
            c.run(&format!("UPDATE case_row SET is_open = NOT is_open WHERE id = '{case}'"));
        },
        Fault::Replay,
        last,
        "case_row",
    ),
    (
        "somebody let in",
        |c, case| {
            c.run(&format!("INSERT INTO case_access VALUES ('{case}', '00000000-0000-0000-0000-00000000beef')"));
        },
        Fault::Unexplained,
        none,
        "case_access",
    ),
    (
        "work added",
        |c, case| {
            c.run(&format!("INSERT INTO work VALUES ('{case}', 'made-up', 1, 'mediator', NULL, NULL, '{{}}')"));
        },
        Fault::Replay,
        none,
        "work",
    ),
    (
        "a word that finds it deleted",
        |c, case| {
            c.run(&format!("DELETE FROM word WHERE case_id = '{case}' AND hash = (SELECT MIN(hash) FROM word WHERE case_id = '{case}')"));
        },
        Fault::Missing,
        none,
        "word",
    ),
    (
        "a deadline made up",
        |c, case| {
            c.run(&format!("INSERT INTO deadline VALUES ('{case}', 1, 'made_up', 5, 1, 'running', NULL, NULL, '{{}}')"));
        },
        Fault::Replay,
        five,
        "deadline",
    ),
    (
        "cut short, row and all",
        cut_last,
        Fault::Cut,
        // The event that is no longer there is the one that the checkpoint had covered.
        after_last,
        "event",
    ),
    (
        "written anew, hashes and all",
        |c, case| {
            c.edit(case, 5, |b| b["acted"]["as"] = "somebody".into());
            c.rehash(case);
        },
        Fault::Rewritten,
        last,
        "event",
    ),
];

/// Cuts the last event off a case, with all that belongs to it, and makes the row say what the one before says.
fn cut_last(copy: &Copy, case: &str) {
    let last = last(copy, case).expect("a number");
    let head = copy.text(&format!("SELECT hash FROM event WHERE case_id = '{case}' AND seq = {}", last - 1));
    let body = copy.text(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = {}", last - 1));
    let before: Json = serde_json::from_str(&body).expect("JSON");
    let at = chrono::DateTime::parse_from_rfc3339(before["recorded_at"].as_str().expect("a time")).expect("a time").timestamp_millis();
    for sql in [
        format!("DELETE FROM event WHERE case_id = '{case}' AND seq = {last}"),
        format!("DELETE FROM case_value WHERE case_id = '{case}' AND seq = {last}"),
        format!("DELETE FROM document WHERE case_id = '{case}' AND seq = {last}"),
        format!("DELETE FROM letter WHERE case_id = '{case}' AND id LIKE '{case}.{last}.%'"),
        format!("DELETE FROM answer WHERE case_id = '{case}' AND last_seq >= {last}"),
        format!("DELETE FROM export WHERE case_id = '{case}'"),
        format!("UPDATE case_row SET version = {}, head = '{head}', updated_at = {at} WHERE id = '{case}'", last - 1),
    ] {
        copy.run(&sql);
    }
}

#[test]
fn every_kind_of_edit_is_found_and_named() {
    let names = |edits: &[Edit]| edits.iter().map(|(name, ..)| *name).collect::<BTreeSet<_>>().len();
    assert_eq!(names(EDITS), EDITS.len(), "two edits of one name");
    let mut missed = Vec::new();
    for (name, edit, fault, event, table) in EDITS {
        let copy = Copy::new("edit");
        let case = copy.cases().remove(0);
        // Where the edit changes the last number itself, the event is looked up as it was after it.
        let before = event(&copy, &case);
        edit(&copy, &case);
        let event = if *fault == Fault::Cut { event(&copy, &case) } else { before };
        let report = copy.all();
        if report.whole || !has(&report, *fault, &case, event, table) {
            missed.push(format!("{name}: wanted {fault:?} {event:?} {table}, got\n{}", listed(&report.findings)));
        }
        // What was done to one case is not said of another, but where another took part.
        let others = report.findings.iter().filter(|f| f.case.as_ref().is_some_and(|c| *c != case)).count();
        if others > 0 && !name.contains("another case") {
            missed.push(format!("{name}: other cases are named:\n{}", listed(&report.findings)));
        }
    }
    assert!(missed.is_empty(), "{} of {} edits:\n{}", missed.len(), EDITS.len(), missed.join("\n\n"));
}

#[test]
fn what_belongs_to_no_case_is_found_too() {
    for (name, sql, fault) in [
        ("a number of a series", "UPDATE number SET last = last + 1", Fault::Series),
        ("a series gone", "DELETE FROM number", Fault::Series),
        ("a pinned text", "UPDATE source SET body = body || ' ' WHERE kind = 'calendar'", Fault::Pinned),
        ("a pinned text gone", "DELETE FROM source WHERE kind = 'policy'", Fault::Pinned),
        ("a leaf changed", "UPDATE log_leaf SET head = 'x' WHERE number = 0", Fault::Root),
        ("a leaf gone", "DELETE FROM log_leaf WHERE number = 0", Fault::Log),
        ("the last leaf gone", "DELETE FROM log_leaf WHERE number = (SELECT MAX(number) FROM log_leaf)", Fault::LogShort),
        ("a checkpoint gone", "DELETE FROM checkpoint", Fault::Missing),
        ("a checkpoint's time", "UPDATE checkpoint SET line = REPLACE(line, '\"at\":\"2', '\"at\":\"1')", Fault::Signature),
        ("a checkpoint's peaks", "UPDATE checkpoint SET peaks = '00'", Fault::Checkpoint),
    ] {
        let copy = Copy::new("installation");
        assert!(copy.run(sql) > 0, "{name}");
        let report = copy.all();
        assert!(report.findings.iter().any(|f| f.fault == fault), "{name}: {}", listed(&report.findings));
    }
}

/// A chain shows what was changed inside it; it cannot show that its end is gone, or that all of it is another. Each twin is
/// whole as long as no checkpoint is at hand, and is found with one.
#[test]
fn a_cut_and_a_rewritten_case_are_found_by_a_checkpoint_alone() {
    type Edit = fn(&Copy, &str);
    let edits: [(&str, Edit, Fault); 2] = [
        ("cut", cut_last, Fault::Cut),
        (
            "rewritten",
            |copy, case| {
                copy.edit(case, 5, |b| b["acted"]["as"] = "somebody".into());
                copy.rehash(case);
            },
            Fault::Rewritten,
        ),
    ];
    for (name, edit, fault) in edits {
        let copy = Copy::new(name);
        let case = copy.cases().remove(0);
        edit(&copy, &case);
        // The checkpoint in the database finds it.
        let report = copy.report(false, None);
        assert!(report.findings.iter().all(|f| f.fault == fault && f.case.as_ref() == Some(&case)), "{name}: {}", listed(&report.findings));
        assert_eq!(report.findings.len(), 1, "{name}: {}", listed(&report.findings));
        // Whoever did it changes the log in the database as well. Its root is signed, so the signature finds it.
        let (version, head) = (last(&copy, &case).expect("a number"), copy.text(&format!("SELECT head FROM case_row WHERE id = '{case}'")));
        copy.run(&format!("UPDATE log_leaf SET version = {version}, head = '{head}' WHERE case_id = '{case}'"));
        let report = copy.report(false, None);
        assert_eq!(report.findings.iter().map(|f| f.fault).collect::<Vec<_>>(), [Fault::Root], "{name}");
        // So the log is thrown away, with its checkpoints. Then nothing is left that could show it...
        copy.forget_checkpoints();
        let report = copy.report(false, None);
        assert!(report.whole, "{name}: found without a checkpoint, so this twin shows nothing: {}", listed(&report.findings));
        assert_eq!(report.since, report.cases);
        // ...but the file that was kept.
        let report = copy.report(false, Some(&copy.checkpoints()));
        let faults: Vec<Fault> = report.findings.iter().map(|f| f.fault).collect();
        assert_eq!(faults, [Fault::Missing, Fault::LogShort], "{name}");
        // A log grown anew over the rewritten cases has as many leaves, and another root.
        let other = PrivateKey::from_seed([9; 32]);
        copy.rt.block_on(async {
            let store = Store::connect(&format!("sqlite:{}", copy.folder.join("heyi.db").display())).await.expect("the database opens");
            log::take(&store, &other, chrono::Utc::now()).await.expect("a log is grown").expect("with a checkpoint");
        });
        let faults: BTreeSet<Fault> = copy.report(false, Some(&copy.checkpoints())).findings.iter().map(|f| f.fault).collect();
        assert!(faults.contains(&Fault::Root) && faults.contains(&Fault::Signature), "{name}: {faults:?}");
    }
}
