//! `heyi verify --database`: every kind of direct edit of a database is found and named; what a chain alone cannot show
//! is shown by a signed checkpoint; and a database that nobody touched is whole.
//!
//! The demo is played once. Each test copies its folder and edits the copy with plain SQL, as somebody would who has the
//! database and not the program; some edits are made with the installation's key too.

use heyi_api::config::Config;
use heyi_api::package::PublicKey;
use heyi_api::proofs::{self, ProofError};
use heyi_api::state::{App, Mode};
use heyi_engine::case::sha256;
use heyi_engine::proof::log::{self, Checkpoint, Signer};
use heyi_engine::proof::{Ask, Fault, Finding, Report, verify};
use heyi_engine::store::cases::chain;
use heyi_engine::store::seal::SealKey;
use heyi_engine::store::{Store, StoreError};
use heyi_tests::app::TestApp;
use heyi_tests::process::{Dice, Ran, command, copy_folder, scratch};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, QueryResult, Statement};
use serde_json::Value as Json;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio::runtime::Runtime;

/// A demo that was played to its end, with its checkpoint. Only looked at and copied.
fn demo() -> &'static Path {
    static DEMO: OnceLock<PathBuf> = OnceLock::new();
    DEMO.get_or_init(|| {
        let folder = scratch("whole");
        drop(Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder)).ended(0));
        folder
    })
}

/// A copy to be tampered with.
struct Copy {
    folder: PathBuf,
    rt: Runtime,
    db: DatabaseConnection,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Copy {
    fn new(name: &str) -> Self {
        let folder = scratch(&format!("tampered-{name}"));
        copy_folder(demo(), &folder);
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let db = rt.block_on(Database::connect(format!("sqlite:{}?mode=rw", folder.join("heyi.db").display()))).expect("the database opens");
        Self { folder, rt, db }
    }

    fn run(&self, sql: &str) -> u64 {
        self.rt.block_on(self.db.execute_unprepared(sql)).unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
    }

    fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql.to_owned());
        self.rt.block_on(self.db.query_all_raw(statement)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn text(&self, sql: &str) -> String {
        self.rows(sql).first().unwrap_or_else(|| panic!("{sql}: no row")).try_get_by_index(0).expect("a text")
    }

    fn number(&self, sql: &str) -> i64 {
        self.rows(sql).first().unwrap_or_else(|| panic!("{sql}: no row")).try_get_by_index(0).expect("a number")
    }

    fn bytes(&self, sql: &str) -> Vec<u8> {
        self.rows(sql).first().unwrap_or_else(|| panic!("{sql}: no row")).try_get_by_index(0).expect("bytes")
    }

    /// The cases, the one with the longest history first.
    fn cases(&self) -> Vec<String> {
        self.rows("SELECT id FROM case_row ORDER BY version DESC, id").iter().map(|row| row.try_get_by_index(0).expect("an id")).collect()
    }

    fn master(&self) -> SealKey {
        SealKey::of_installation(&self.folder.join("keys/master.key")).expect("the key is there")
    }

    /// The key of a case, as somebody has it who holds the installation's key.
    fn key(&self, case: &str) -> SealKey {
        let wrapped = self.bytes(&format!("SELECT wrapped FROM case_key WHERE case_id = '{case}'"));
        self.master().unwrap_key(&wrapped, case).expect("it opens")
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints/checkpoints.jsonl")
    }

    /// What verification says: with replay or without, against a file of checkpoints or none.
    fn report(&self, replay: bool, lines: Option<&Path>) -> Report {
        let public = PublicKey::load(&self.folder.join("public-key.pem")).expect("the public key is there");
        let master = self.master();
        self.rt.block_on(async {
            let store = Store::look(&format!("sqlite:{}", self.folder.join("heyi.db").display())).await.expect("the database opens");
            let ask = Ask {
                master: &master,
                replay,
                lines: lines.map(|path| Box::new(BufReader::new(File::open(path).expect("the file is there"))) as _),
                accepts: &|key, message, signature| public.fingerprint() == key && public.accepts(message, signature),
                progress: &|_, _| {},
            };
            let report = verify(&store, ask).await.expect("the database can be read");
            store.db().close_by_ref().await.expect("it closes");
            report
        })
    }

    /// What verification says, with all it has.
    fn all(&self) -> Report {
        self.report(true, Some(&self.checkpoints()))
    }

    /// As if no checkpoint had ever been taken.
    fn forget_checkpoints(&self) {
        self.run("DELETE FROM log_leaf");
        self.run("DELETE FROM checkpoint");
    }

    /// Writes the hashes of a case anew, from its first event to its last, and the head in its row: what somebody does who knows
    /// how it is done.
    fn rehash(&self, case: &str) {
        let mut head = sha256(case.as_bytes());
        for row in self.rows(&format!("SELECT seq, body FROM event WHERE case_id = '{case}' ORDER BY seq")) {
            let (seq, body): (i64, String) = (row.try_get_by_index(0).expect("seq"), row.try_get_by_index(1).expect("body"));
            head = chain(&head, &serde_json::from_str(&body).expect("JSON")).expect("a canonical form");
            self.run(&format!("UPDATE event SET hash = '{head}' WHERE case_id = '{case}' AND seq = {seq}"));
        }
        self.run(&format!("UPDATE case_row SET head = '{head}' WHERE id = '{case}'"));
    }

    /// Changes an event's body.
    fn edit(&self, case: &str, seq: i64, change: impl FnOnce(&mut Json)) {
        let at = format!("case_id = '{case}' AND seq = {seq}");
        let mut body: Json = serde_json::from_str(&self.text(&format!("SELECT body FROM event WHERE {at}"))).expect("JSON");
        let before = body.clone();
        change(&mut body);
        assert_ne!(body, before, "nothing was changed");
        self.run(&format!("UPDATE event SET body = '{}' WHERE {at}", body.to_string().replace('\'', "''")));
    }
}

fn has(report: &Report, fault: Fault, case: &str, event: Option<i64>, table: &str) -> bool {
    report.findings.iter().any(|f| f.fault == fault && f.case.as_deref() == Some(case) && f.event == event && f.table == table)
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().take(12).map(|f| format!("{f:?}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_nobody_touched_is_whole() {
    let copy = Copy::new("nothing");
    let report = copy.all();
    assert!(report.whole && report.findings.is_empty(), "{}", listed(&report.findings));
    assert!(report.cases >= 6 && report.events > 200 && report.values > 300 && report.files > 5, "{report:?}");
    assert_eq!((report.lines, report.checkpoints, report.since), (Some(1), 1, 0));
    assert_eq!(report.logged, report.cases);
    // As a person and as a program see it.
    let told = Ran::of(command(["verify", "--database", "--replay", "--data"]).arg(&copy.folder)).ended(0);
    assert!(told.stdout.trim_end().ends_with("完好：全部内容与写入时一致，重放每件案件的历史所得与库中所存相同。"), "{}", told.stdout);
    let english = Ran::of(command(["verify", "--database", "--language", "en", "--data"]).arg(&copy.folder)).ended(0);
    assert!(english.stdout.trim_end().ends_with("Whole: everything is as it was written."), "{}", english.stdout);
    let json = Ran::of(command(["verify", "--database", "--json", "--data"]).arg(&copy.folder)).ended(0);
    assert_eq!(json.stderr, "");
    let json: Json = serde_json::from_str(&json.stdout).expect("JSON alone");
    assert_eq!((json["whole"].as_bool(), json["findings"].as_array().map(Vec::len)), (Some(true), Some(0)));
}

#[test]
fn what_was_tampered_with_is_told_and_ends_with_one() {
    let copy = Copy::new("told");
    let case = copy.cases().remove(0);
    copy.edit(&case, 7, |body| body["recorded_at"] = "2020-01-01T00:00:00+08:00".into());
    let told = Ran::of(command(["verify", "--database", "--data"]).arg(&copy.folder)).ended(1);
    assert!(told.stdout.starts_with(&format!("案件 {case}，事件 7，event：哈希与内容不符\n")), "{}", told.stdout);
    assert!(told.stdout.trim_end().lines().last().is_some_and(|line| line.starts_with("不完好")), "{}", told.stdout);
    let json = Ran::of(command(["verify", "--database", "--json", "--data"]).arg(&copy.folder)).ended(1);
    let json: Json = serde_json::from_str(&json.stdout).expect("JSON alone");
    assert_eq!(json["findings"][0]["fault"], "hash");
    assert_eq!((json["findings"][0]["case"].as_str(), json["findings"][0]["event"].as_i64()), (Some(case.as_str()), Some(7)));
}

#[test]
fn wrong_use_ends_with_two_and_makes_nothing() {
    let folder = scratch("nowhere").join("data");
    let ran = Ran::of(command(["verify", "--database", "--data"]).arg(&folder)).ended(2);
    assert!(ran.stdout.is_empty() && !folder.exists(), "{ran:?}");
    let copy = Copy::new("wrong-use");
    drop(Ran::of(command(["verify", "--database", "--checkpoints", "/no/such/file", "--data"]).arg(&copy.folder)).ended(2));
    std::fs::remove_file(copy.folder.join("keys/master.key")).expect("it was there");
    let ran = Ran::of(command(["verify", "--database", "--data"]).arg(&copy.folder)).ended(2);
    assert!(ran.stderr.contains("master.key") && !copy.folder.join("keys/master.key").exists(), "{ran:?}");
    drop(Ran::heyi(["verify", "--replay", "package.zip"]).ended(2));
    drop(Ran::heyi(["verify"]).ended(2));
    // An older database is not brought up to date by looking at it.
    copy.run("DELETE FROM seaql_migrations WHERE version = 'm0003_checkpoints'");
    let older = copy.rt.block_on(Store::look(&format!("sqlite:{}", copy.folder.join("heyi.db").display())));
    assert!(matches!(older, Err(StoreError::Older { .. })));
}

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
        |c, case| drop(c.run(&format!("UPDATE event SET body = ' ' || body WHERE case_id = '{case}' AND seq = 5"))),
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
    ("deleted", |c, case| drop(c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = 5"))), Fault::Gap, five, "event"),
    ("first deleted", |c, case| drop(c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = 1"))), Fault::Gap, |_, _| Some(1), "event"),
    ("all deleted", |c, case| drop(c.run(&format!("DELETE FROM event WHERE case_id = '{case}'"))), Fault::Gap, |_, _| Some(1), "event"),
    (
        "last deleted",
        |c, case| drop(c.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = (SELECT version FROM case_row WHERE id = '{case}')"))),
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
    ("the head", |c, case| drop(c.run(&format!("UPDATE case_row SET head = 'x' WHERE id = '{case}'"))), Fault::Head, last, "case_row"),
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
    ("the key deleted", |c, case| drop(c.run(&format!("DELETE FROM case_key WHERE case_id = '{case}'"))), Fault::Missing, none, "case_key"),
    (
        "another case's key",
        |c, case| {
            drop(c.run(&format!("UPDATE case_key SET wrapped = (SELECT wrapped FROM case_key WHERE case_id <> '{case}') WHERE case_id = '{case}'")))
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
        |c, case| drop(c.run(&format!("DELETE FROM file WHERE case_id = '{case}' AND id = '{}'", file_of(c, case)))),
        Fault::Missing,
        first_file,
        "file",
    ),
    (
        "a file added",
        |c, case| {
            drop(c.run(&format!(
                "INSERT INTO file SELECT case_id, 'another', sha256, media_type, size, sealed_name, sealed FROM file WHERE case_id = '{case}' LIMIT 1"
            )))
        },
        Fault::Unexplained,
        none,
        "file",
    ),
    (
        "letters added",
        |c, case| drop(c.run(&format!("UPDATE letter SET id = id || '9' WHERE case_id = '{case}'"))),
        Fault::Unexplained,
        none,
        "letter",
    ),
    ("the case's row deleted", |c, case| drop(c.run(&format!("DELETE FROM case_row WHERE id = '{case}'"))), Fault::NoCase, none, "event"),
    (
        "when it was opened",
        |c, case| drop(c.run(&format!("UPDATE case_row SET opened_at = opened_at - 86400000 WHERE id = '{case}'"))),
        Fault::Differs,
        last,
        "case_row",
    ),
    (
        "the workflow",
        |c, case| drop(c.run(&format!("UPDATE case_row SET workflow = 'another' WHERE id = '{case}'"))),
        Fault::Differs,
        last,
        "case_row",
    ),
    (
        "the stage in the list",
        |c, case| drop(c.run(&format!("UPDATE case_row SET stage = 'another' WHERE id = '{case}'"))),
        Fault::Replay,
        last,
        "case_row",
    ),
    (
        "whether it is open",
        |c, case| drop(c.run(&format!("UPDATE case_row SET is_open = NOT is_open WHERE id = '{case}'"))),
        Fault::Replay,
        last,
        "case_row",
    ),
    (
        "somebody let in",
        |c, case| drop(c.run(&format!("INSERT INTO case_access VALUES ('{case}', '00000000-0000-0000-0000-00000000beef')"))),
        Fault::Unexplained,
        none,
        "case_access",
    ),
    (
        "work added",
        |c, case| drop(c.run(&format!("INSERT INTO work VALUES ('{case}', 'made-up', 1, 'mediator', NULL, NULL, '{{}}')"))),
        Fault::Replay,
        none,
        "work",
    ),
    (
        "a word that finds it deleted",
        |c, case| drop(c.run(&format!("DELETE FROM word WHERE case_id = '{case}' AND hash = (SELECT MIN(hash) FROM word WHERE case_id = '{case}')"))),
        Fault::Missing,
        none,
        "word",
    ),
    (
        "a deadline made up",
        |c, case| drop(c.run(&format!("INSERT INTO deadline VALUES ('{case}', 1, 'made_up', 5, 1, 'running', NULL, NULL, '{{}}')"))),
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
    let names = |edits: &[Edit]| edits.iter().map(|(name, ..)| *name).collect::<std::collections::BTreeSet<_>>().len();
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
    let edits: [(&str, fn(&Copy, &str), Fault); 2] = [
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
        let other = heyi_api::package::PrivateKey::from_seed([9; 32]);
        copy.rt.block_on(async {
            let store = Store::connect(&format!("sqlite:{}", copy.folder.join("heyi.db").display())).await.expect("the database opens");
            log::take(&store, &other, chrono::Utc::now()).await.expect("a log is grown").expect("with a checkpoint");
        });
        let faults: std::collections::BTreeSet<Fault> = copy.report(false, Some(&copy.checkpoints())).findings.iter().map(|f| f.fault).collect();
        assert!(faults.contains(&Fault::Root) && faults.contains(&Fault::Signature), "{name}: {faults:?}");
    }
}

/// A bit of a random byte in a random column, again and again. Each is found; those that are not are listed here with the reason.
#[test]
fn random_flips_are_found() {
    /// Columns of which a flip may mean nothing.
    const HARMLESS: &[(&str, &str)] = &[];
    const FLIPS: usize = 200;
    let copy = Copy::new("flips");
    let mut dice = Dice::new("random_flips_are_found");
    let mut pick = |n: usize| usize::try_from(dice.below(n as u64)).expect("small");
    let tables = ["event", "case_value", "file", "case_row"];
    let mut tried = 0;
    let mut missed = Vec::new();
    while tried < FLIPS {
        let table = tables[pick(tables.len())];
        let columns: Vec<String> =
            copy.rows(&format!("SELECT name FROM pragma_table_info('{table}')")).iter().map(|r| r.try_get_by_index(0).expect("a name")).collect();
        let column = &columns[pick(columns.len())];
        let ids: Vec<i64> =
            copy.rows(&format!("SELECT rowid FROM {table} ORDER BY rowid")).iter().map(|r| r.try_get_by_index(0).expect("an id")).collect();
        let rowid = ids[pick(ids.len())];
        let case_column = if table == "case_row" { "id" } else { "case_id" };
        let case = copy.text(&format!("SELECT {case_column} FROM {table} WHERE rowid = {rowid}"));
        let kind = copy.text(&format!("SELECT typeof({column}) FROM {table} WHERE rowid = {rowid}"));
        let write = |literal: &str| {
            let sql = format!("UPDATE {table} SET {column} = {literal} WHERE rowid = {rowid}");
            copy.rt.block_on(copy.db.execute_unprepared(&sql)).is_ok()
        };
        let (old, new) = match kind.as_str() {
            "null" => continue,
            "integer" => {
                let old = copy.number(&format!("SELECT {column} FROM {table} WHERE rowid = {rowid}"));
                // What is not 0 is true, so of a truth only the last bit says something.
                let bit = if column == "is_open" { 0 } else { pick(63) };
                (old.to_string(), (old ^ (1 << bit)).to_string())
            }
            _ => {
                let old = copy.bytes(&format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE rowid = {rowid}"));
                if old.is_empty() {
                    continue;
                }
                let mut new = old.clone();
                let at = pick(new.len());
                new[at] ^= 1 << pick(8);
                let literal = |bytes: &[u8]| if kind == "text" { format!("CAST(x'{}' AS TEXT)", hex(bytes)) } else { format!("x'{}'", hex(bytes)) };
                (literal(&old), literal(&new))
            }
        };
        if HARMLESS.contains(&(table, column.as_str())) || !write(&new) {
            continue;
        }
        tried += 1;
        let report = copy.all();
        if !report.findings.iter().any(|f| f.case.as_ref() == Some(&case)) {
            missed.push(format!("{table}.{column} of row {rowid}: {}", listed(&report.findings)));
        }
        assert!(write(&old), "the old value is put back");
    }
    assert!(missed.is_empty(), "{} of {tried}:\n{}", missed.len(), missed.join("\n"));
    assert!(copy.all().whole, "everything was put back");
}

fn lines(path: &Path) -> Vec<Checkpoint> {
    std::fs::read_to_string(path).expect("the file is there").lines().map(|line| Checkpoint::read(line).expect("a checkpoint")).collect()
}

#[test]
fn a_checkpoint_is_taken_when_something_changed_and_the_file_is_kept_whole() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    rt.block_on(async {
        let room = TestApp::start().await;
        let path = proofs::file(&room.app.config);
        room.open().await;
        proofs::take(&room.app).await.expect("a checkpoint is taken");
        assert_eq!(proofs::take(&room.app).await.expect("nothing had changed"), 0);
        room.open().await;
        room.open().await;
        assert_eq!(proofs::take(&room.app).await.expect("a checkpoint is taken"), 1);
        let written = lines(&path);
        assert_eq!(written.iter().map(|c| c.size).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(written[1].previous, written[0].root);
        // A file that was lost is written again; what a crash left of a line is mended.
        let whole = std::fs::read_to_string(&path).expect("the file is there");
        std::fs::remove_file(&path).expect("it was there");
        proofs::take(&room.app).await.expect("the file is mended");
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), whole);
        std::fs::write(&path, &whole[..whole.len() - 40]).expect("it can be written");
        proofs::take(&room.app).await.expect("the file is mended");
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), whole);
        // A database that was set back to an earlier day does not go on as if nothing had been.
        let store = room.app.engine.store();
        store.db().execute_unprepared("DELETE FROM checkpoint WHERE size = 3").await.expect("rows are deleted");
        store.db().execute_unprepared("DELETE FROM log_leaf WHERE number >= 1").await.expect("rows are deleted");
        assert!(matches!(proofs::take(&room.app).await, Err(ProofError::Another { size: 3, .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), whole, "nothing is added to it");
        // A checkpoint whose peaks were changed is not built upon.
        std::fs::remove_file(&path).expect("it was there");
        store.db().execute_unprepared("UPDATE checkpoint SET peaks = '00'").await.expect("a row is changed");
        assert!(matches!(proofs::take(&room.app).await, Err(ProofError::Log(log::LogError::Damaged { size: 1 }))));
    });
}

#[test]
fn the_end_of_serving_leaves_a_checkpoint_and_mails_it() {
    let folder = scratch("served");
    std::fs::write(folder.join("heyi.toml"), "[checkpoint_mail]\nto = \"keeper@archive.example\"\nlanguage = \"en\"\n").expect("it can be written");
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    rt.block_on(async {
        let serving = heyi_tests::process::Serving::sandbox(&folder, |serve| serve);
        let (status, _) = serving.post("intake_officer", "/api/v1/cases", &serde_json::json!({"workflow": "medical-dispute", "facts": {}})).await;
        assert_eq!(status, 201);
        serving.stop();
    });
    let written = lines(&folder.join("checkpoints/checkpoints.jsonl"));
    assert_eq!(written.iter().map(|c| c.size).collect::<Vec<_>>(), [1]);
    let mail = std::fs::read_to_string(folder.join("mail/checkpoint.1.eml")).expect("it was mailed");
    assert!(mail.contains("keeper@archive.example") && mail.contains("Subject: Checkpoint 1\r\n"), "{mail}");
    let report = Ran::of(command(["verify", "--database", "--replay", "--json", "--data"]).arg(&folder)).ended(0);
    let report: Json = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!((report["cases"].as_i64(), report["lines"].as_i64(), report["since"].as_i64()), (Some(1), Some(1), Some(0)));
}

/// Two programs on one database at one moment: every version is in the log once, and both files tell the same story.
#[test]
fn of_two_nodes_one_writes() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    rt.block_on(async {
        let folder = scratch("nodes");
        copy_folder(demo(), &folder);
        let config = Config { data_dir: folder.clone(), ..Config::default() };
        let app = App::open(config, Mode::Sandbox).await.expect("it opens");
        app.engine.store().db().execute_unprepared("DELETE FROM checkpoint").await.expect("rows are deleted");
        app.engine.store().db().execute_unprepared("DELETE FROM log_leaf").await.expect("rows are deleted");
        let mut nodes = Vec::new();
        for node in 0..8 {
            let store = Store::connect(&app.config.database()).await.expect("it connects");
            nodes.push(tokio::spawn(async move {
                let key = heyi_api::package::PrivateKey::from_seed([node; 32]);
                log::take(&store, &key as &dyn Signer, chrono::Utc::now()).await.expect("none fails")
            }));
        }
        let mut taken = 0;
        for node in nodes {
            taken += usize::from(node.await.expect("none panics").is_some());
        }
        assert_eq!(taken, 1, "one node took the checkpoint");
        let cases = app.engine.store().db().query_one_raw(Statement::from_string(
            app.engine.store().db().get_database_backend(),
            "SELECT COUNT(*), (SELECT COUNT(*) FROM case_row), (SELECT COUNT(*) FROM checkpoint) FROM log_leaf".to_owned(),
        ));
        let row = cases.await.expect("it can be read").expect("a row");
        let (leaves, cases, checkpoints): (i64, i64, i64) =
            (row.try_get_by_index(0).expect("n"), row.try_get_by_index(1).expect("n"), row.try_get_by_index(2).expect("n"));
        assert_eq!((leaves, checkpoints), (cases, 1));
    });
}
