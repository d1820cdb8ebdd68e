//! Backup, restore and move: what comes out is what went in, row by row; chains, numbers and waiting letters go on; what
//! is damaged, newer or too much is refused before anything is written; and no secret is in the file.

use heyi_api::backup::Unseen;
use heyi_api::backup::carry;
use heyi_api::config::Config;
use heyi_api::deliver;
use heyi_api::server::Limits;
use heyi_api::shipped::Sources;
use heyi_api::state::{App, Mode};
use heyi_engine::scenario::Scenario;
use heyi_engine::store::Store;
use heyi_engine::store::chains::chains_whole;
use heyi_engine::store::rows::{case, event, letter, number};
use heyi_tests::app::{START, TestApp};
use heyi_tests::postgres::Cluster;
use heyi_tests::process::{Dice, Ran, Serving, command, copy_folder, files, heyi, scratch};
use heyi_tests::walk::Walk;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, QueryOrder as _, Statement};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

// ---------------------------------------------------------------------------------------------------------------------
// What the tests share.

/// A demo that was played to its end: cases of every kind, letters, files, packages. Only looked at, or copied first.
fn demo() -> &'static Path {
    static DEMO: OnceLock<PathBuf> = OnceLock::new();
    DEMO.get_or_init(|| {
        let folder = scratch("demo");
        let _ = Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder)).ended(0);
        folder
    })
}

/// A copy of it to work on.
fn copied(name: &str) -> PathBuf {
    let folder = scratch(name);
    copy_folder(demo(), &folder);
    folder
}

/// One backup of it, and its keys.
fn saved() -> &'static (PathBuf, PathBuf) {
    static SAVED: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    SAVED.get_or_init(|| {
        let (data, folder) = (copied("saved"), scratch("saved-files"));
        let (file, keys) = (folder.join("heyi.zip"), folder.join("keys.json"));
        let _ = Ran::of(command(["backup"]).arg(&file).arg("--keys").arg(&keys).arg("--data").arg(&data)).ended(0);
        (file, keys)
    })
}

#[track_caller]
fn json_of(ran: &Ran) -> Json {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", ran.stdout, ran.stderr))
}

/// Backs up, and tells what is in it.
#[track_caller]
fn backup(data: &Path, file: &Path, database: Option<&str>) -> Json {
    let mut command = command(["backup", "--json", "--data"]);
    command.arg(data).arg(file);
    if let Some(url) = database {
        command.env("HEYI_DATABASE_URL", url);
    }
    json_of(&Ran::of(&mut command).ended(0))
}

fn restore(file: &Path, keys: Option<&Path>, data: &Path) -> Ran {
    let mut command = command(["restore", "--json", "--data"]);
    command.arg(data).arg(file);
    if let Some(keys) = keys {
        command.arg("--keys").arg(keys);
    }
    Ran::of(&mut command)
}

/// Rows and digest of each table.
#[track_caller]
fn sums(told: &Json) -> BTreeMap<String, (u64, String)> {
    let tables = told["carried"]["tables"].as_object().unwrap_or_else(|| panic!("no tables: {told}"));
    let one = |sum: &Json| (sum["rows"].as_u64().expect("rows"), sum["sha256"].as_str().expect("a digest").to_owned());
    tables.iter().map(|(name, sum)| (name.clone(), one(sum))).collect()
}

/// The entries of a zip, unpacked.
fn entries(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).expect("a backup")).expect("a zip");
    (0..zip.len())
        .map(|i| {
            let mut entry = zip.by_index(i).expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("a whole entry");
            (entry.name().expect("UTF-8").into_owned(), bytes)
        })
        .collect()
}

fn pack(path: &Path, entries: &[(String, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).expect("scratch can be written"));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), options).expect("an entry");
        zip.write_all(bytes).expect("an entry");
    }
    zip.finish().expect("a zip");
}

/// A backup as somebody with a text editor would change it: one table's lines, and the manifest so that it fits again.
fn changed(to: &Path, table: &str, change: impl Fn(Vec<String>) -> Vec<String>) {
    let mut all = entries(&saved().0);
    let name = format!("tables/{table}.jsonl");
    let at = all.iter().position(|(n, _)| *n == name).expect("the table is in the backup");
    let lines = String::from_utf8(all[at].1.clone()).expect("JSON").lines().map(str::to_owned).collect();
    let lines = change(lines);
    all[at].1 = lines.iter().map(|l| format!("{l}\n")).collect::<String>().into_bytes();
    let (rows, digest) = (lines.len(), heyi_engine::case::sha256(&all[at].1));
    manifest(&mut all, |m| {
        let entry = m["tables"].as_array_mut().expect("tables").iter_mut().find(|t| t["name"] == table).expect("the table");
        entry["rows"] = json!(rows);
        entry["sha256"] = json!(digest);
    });
    pack(to, &all);
}

fn manifest(all: &mut [(String, Vec<u8>)], change: impl FnOnce(&mut Json)) {
    let (_, bytes) = all.iter_mut().find(|(n, _)| n == "manifest.json").expect("a manifest");
    let mut json: Json = serde_json::from_slice(bytes).expect("JSON");
    change(&mut json);
    *bytes = serde_json::to_vec(&json).expect("JSON");
}

fn sqlite(data: &Path) -> String {
    format!("sqlite:{}", data.join("heyi.db").display())
}

async fn run_sql(url: &str, sql: &str) -> Result<u64, sea_orm::DbErr> {
    let db = sea_orm::Database::connect(url).await.expect("the database answers");
    let done = db.execute_unprepared(sql).await.map(|r| r.rows_affected());
    db.close().await.expect("it is closed");
    done
}

fn config(data: &Path) -> Config {
    Config { data_dir: data.to_owned(), ..Config::default() }
}

// ---------------------------------------------------------------------------------------------------------------------
// What comes out is what went in.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_installation_is_the_same_and_its_letters_leave_once() {
    let data = copied("same");
    let folder = scratch("same-files");
    // One letter has not left yet.
    let store = Store::connect(&sqlite(&data)).await.expect("the demo's database");
    let waiting = letter::Entity::find().order_by_asc(letter::Column::Id).one(store.db()).await.expect("rows").expect("a letter");
    assert_eq!(waiting.state, "sent");
    let sql = format!("UPDATE letter SET state = 'waiting', sent_at = NULL, proof = NULL WHERE id = '{}'", waiting.id);
    assert_eq!(run_sql(&sqlite(&data), &sql).await.expect("it is marked"), 1);

    let (file, keys) = (folder.join("heyi.zip"), folder.join("keys.json"));
    let mut with_keys = command(["backup", "--json", "--data"]);
    let first = json_of(&Ran::of(with_keys.arg(&data).arg(&file).arg("--keys").arg(&keys)).ended(0));
    assert_eq!(first["carried"]["broken_chain"], Json::Null);
    assert!(first["carried"]["cases"].as_u64().is_some_and(|n| n >= 6) && first["carried"]["events"].as_u64().is_some_and(|n| n > 100), "{first}");
    let noted = store.meta("last_backup").await.expect("rows").expect("the time of the backup is noted");
    assert_eq!(noted, first["created_at"].as_str().unwrap_or_default());
    for secret in [&file, &keys] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(secret).expect("there").permissions().mode() & 0o777, 0o600, "{}", secret.display());
    }

    let new = folder.join("below/new");
    let told = json_of(&restore(&file, Some(&keys), &new).ended(0));
    assert_eq!(sums(&told), sums(&first));
    assert_eq!(told["missing_key"], Json::Null);
    // Read by itself, and not by what the restore says: the same rows, and the same files.
    assert_eq!(sums(&backup(&new, &folder.join("again.zip"), None)), sums(&first));
    for same in ["keys/master.key", "keys/signing.pem", "public-key.pem", "sandbox-tokens.json"] {
        assert_eq!(std::fs::read(new.join(same)).expect(same), std::fs::read(data.join(same)).expect(same), "{same}");
    }
    assert!(!new.join("mail").exists(), "letters in clear are not carried");
    // It is a training room still.
    let refused = Ran::ending(command(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&new)).ended(1);
    assert!(refused.stderr.contains("training room"), "{}", refused.stderr);
    let app = App::open(config(&new), Mode::Sandbox).await.expect("the restored installation opens");
    assert_eq!(app.engine.store().letters_waiting().await.expect("rows"), 1);
    assert_eq!(deliver::letters(&app).await.expect("letters leave"), 1);
    assert_eq!(deliver::letters(&app).await.expect("letters leave"), 0, "a letter left twice");
    let mail = files(&new.join("mail"), "eml");
    assert_eq!(mail.len(), 1, "{mail:?}");
    let name = mail[0].file_name().expect("a name").to_owned();
    assert!(data.join("mail").join(name).exists(), "it is the letter that the old place would have sent, under the same name");
}

/// Opens cases until it is told to stop.
async fn open_cases(app: &TestApp, stop: &AtomicBool, opened: &AtomicU64) {
    while !stop.load(Ordering::SeqCst) {
        let _ = app.open().await;
        opened.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_one_moment_while_others_work_and_the_numbers_go_on() {
    // Built before anybody works, however long it takes.
    let _ = heyi();
    let app = TestApp::start().await;
    let (accepted, _) = Walk::new(&app, "medical-dispute", "mediation.accept", START).await.run().await;
    let _ = app.open().await;
    let folder = scratch("online");
    let (file, keys, data) = (folder.join("heyi.zip"), folder.join("keys.json"), app.folder());
    let (stop, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    let saving = async {
        while opened.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let before = opened.load(Ordering::SeqCst);
        let (file, keys) = (file.clone(), keys.clone());
        let run = move || Ran::of(command(["backup", "--json", "--data"]).arg(&data).arg(&file).arg("--keys").arg(&keys));
        let ran = tokio::task::spawn_blocking(run).await.expect("it ends");
        let after = opened.load(Ordering::SeqCst);
        stop.store(true, Ordering::SeqCst);
        (ran, before, after)
    };
    let ((ran, before, after), (), ()) = tokio::join!(saving, open_cases(&app, &stop, &opened), open_cases(&app, &stop, &opened));
    let told = json_of(&ran.ended(0));
    assert!(after > before, "nobody worked meanwhile: {before} and {after}");
    // Two cases from before the race, and those whose opening was answered; one more of each worker may be on its way.
    let cases = told["carried"]["cases"].as_u64().unwrap_or_default();
    assert!((before + 2..=after + 4).contains(&cases), "{cases} cases in the backup, {before} to {after} were opened");
    assert_eq!(told["carried"]["broken_chain"], Json::Null);

    let new = tempfile::Builder::new().prefix("restored").tempdir_in(&folder).expect("a folder");
    let _ = restore(&file, Some(&keys), new.path()).ended(0);
    let again = TestApp::start_in(new, Limits::default()).await;
    // Every event of the backup is an event of the old place; nothing is there that was not acknowledged.
    let rows = async |app: &TestApp| event::Entity::find().all(app.app.engine.store().db()).await.expect("rows");
    let (old, restored) = (rows(&app).await, rows(&again).await);
    let old: BTreeMap<(String, i64), String> = old.into_iter().map(|e| ((e.case_id, e.seq), e.hash)).collect();
    assert!(restored.iter().all(|e| old.get(&(e.case_id.clone(), e.seq)) == Some(&e.hash)));
    let worklist = async |app: &TestApp| app.get("director", "/api/v1/cases?limit=100").await.expect(200);
    assert!(worklist(&again).await["items"].as_array().is_some_and(|items| items.iter().any(|i| i["id"] == json!(accepted))));
    // The accepted case goes on where it stood, in the old place and in the new, and the next acceptance draws the next number.
    let drawn = async |app: &TestApp| {
        let rows = number::Entity::find().all(app.app.engine.store().db()).await.expect("rows");
        rows.into_iter().map(|n| (n.series, n.year, n.last)).collect::<Vec<_>>()
    };
    let first = drawn(&again).await;
    assert!(first.iter().any(|n| n.2 == 1), "an acceptance has drawn a number: {first:?}");
    again.clock(START).await;
    let (second, _) = Walk::new(&again, "medical-dispute", "mediation.accept", START).await.run().await;
    assert_ne!(second, accepted);
    let raised: Vec<_> = first.iter().map(|(s, y, n)| (s.clone(), *y, n + 1)).collect();
    assert_eq!(drawn(&again).await, raised, "numbers go on without a gap");
    let whole = async |app: &TestApp| {
        let snapshot = app.app.engine.store().snapshot().await.expect("a snapshot");
        let chains = chains_whole(&snapshot, &|_| ()).await.expect("rows");
        snapshot.end().await.expect("it ends");
        chains
    };
    let chains = whole(&again).await;
    assert_eq!(chains.broken, None);
    assert!(chains.events > u64::try_from(restored.len()).expect("few"), "the chains have gone on");
    again.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_walk_over_chains_finds_each_fault() {
    let data = copied("chains");
    let whole = async |url: &str| {
        let store = Store::connect(url).await.expect("the database");
        let snapshot = store.snapshot().await.expect("a snapshot");
        chains_whole(&snapshot, &|_| ()).await.expect("rows")
    };
    let good = whole(&sqlite(&data)).await;
    assert!(good.broken.is_none() && good.cases >= 6 && good.events > 100, "{good:?}");
    let one = "(SELECT id FROM case_row ORDER BY id LIMIT 1 OFFSET 2)";
    for (n, (sql, event)) in [
        (format!("UPDATE event SET body = replace(body, '\"seq\":2', '\"seq\":4') WHERE case_id = {one} AND seq = 2"), 2),
        (format!("DELETE FROM event WHERE case_id = {one} AND seq = 3"), 3),
        (format!("UPDATE event SET hash = 'x' || hash WHERE case_id = {one} AND seq = 4"), 4),
        (format!("DELETE FROM event WHERE case_id = {one} AND seq = (SELECT MAX(seq) FROM event WHERE case_id = {one})"), 0),
        (format!("UPDATE case_row SET head = 'x' || head WHERE id = {one}"), 0),
        (format!("UPDATE case_row SET id = 'nobody' WHERE id = {one}"), 0),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = copied(&format!("chains-{n}"));
        assert_eq!(run_sql(&sqlite(&folder), &sql).await.expect("done"), 1, "{sql}");
        let broken = whole(&sqlite(&folder)).await.broken.unwrap_or_else(|| panic!("not found: {sql}"));
        assert!(event == 0 || broken.event == event, "{broken}: {sql}");
    }
}

/// A snapshot sees one moment and stands in nobody's way.
async fn one_moment(url: &str) {
    let store = Store::connect(url).await.expect("a database");
    store.set_meta("a", "1").await.expect("written");
    let count = async |snapshot: &heyi_engine::store::copy::Snapshot| {
        let meta = snapshot.tables().await.expect("tables").into_iter().find(|t| t.name == "meta").expect("meta");
        snapshot.pages(&meta).await.expect("pages").rows()
    };
    let snapshot = store.snapshot().await.expect("a snapshot");
    store.set_meta("b", "2").await.expect("written while somebody reads");
    assert_eq!(count(&snapshot).await, 1);
    snapshot.end().await.expect("it ends");
    let later = store.snapshot().await.expect("a snapshot");
    assert_eq!(count(&later).await, 2, "the next moment is another one");
    later.end().await.expect("it ends");
}

// ---------------------------------------------------------------------------------------------------------------------
// From one kind of database to the other.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_moment_on_sqlite() {
    one_moment(&sqlite(&scratch("moment"))).await;
}

fn moved(data: &Path, from: Option<&str>, to: &str) -> Ran {
    let mut command = command(["move", "--json", "--to", to, "--data"]);
    command.arg(data);
    if let Some(url) = from {
        command.env("HEYI_DATABASE_URL", url);
    }
    Ran::of(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_postgresql_and_back_every_row_is_the_same() {
    let Some(cluster) = Cluster::start("moving to PostgreSQL and back") else { return };
    one_moment(&cluster.fresh()).await;
    let data = copied("round");
    let folder = scratch("round-files");
    let first = sums(&backup(&data, &folder.join("1.zip"), None));
    let province = cluster.fresh();
    let there = sums(&json_of(&moved(&data, None, &province).ended(0)));
    let no_meta = |sums: &BTreeMap<String, (u64, String)>| {
        let mut sums = sums.clone();
        sums.remove("meta");
        sums
    };
    assert_eq!(no_meta(&there), no_meta(&first));
    assert_eq!(there["meta"].0, first["meta"].0 + 1, "the time of the backup was noted in between");

    // The old one refuses everything, by name and without a password, and its database does too.
    for args in [&["serve", "--sandbox", "--listen", "127.0.0.1:0", "--data"][..], &["user", "add", "--role", "clerk", "--name", "甲", "--data"]] {
        let refused = Ran::ending(command(args).arg(&data)).ended(1);
        assert!(refused.stderr.contains("has moved to postgres://postgres:***@127.0.0.1:"), "{}", refused.stderr);
    }
    let again = moved(&data, None, &cluster.fresh()).ended(1);
    assert!(again.stderr.contains("has moved to"), "{}", again.stderr);
    for sql in ["DELETE FROM event", "UPDATE letter SET attempts = attempts + 1", "UPDATE case_row SET version = 0"] {
        let error = run_sql(&sqlite(&data), sql).await.expect_err(sql).to_string();
        assert!(error.contains("this installation has moved"), "{error}");
    }

    // The new one goes on; then the way back.
    let mut add = command(["user", "add", "--role", "clerk", "--name", "甲", "--json", "--data"]);
    let _ = Ran::of(add.arg(&data).env("HEYI_DATABASE_URL", &province)).ended(0);
    let back = format!("sqlite:{}", folder.join("back.db").display());
    let home = sums(&json_of(&moved(&data, Some(&province), &back).ended(0)));
    let differing: Vec<&String> = there.keys().filter(|t| there[*t] != home[*t]).collect();
    assert_eq!(differing, ["account", "meta"], "only the new account, and its being counted, make a difference");
    assert_eq!(home["account"].0, there["account"].0 + 1);
    let error = run_sql(&province, "DELETE FROM event").await.expect_err("the old one is closed").to_string();
    assert!(error.contains("this installation has moved"), "{error}");

    // A backup of one kind is restored into the other, and the same comes out of it.
    let county = cluster.fresh();
    let (file, keys) = saved();
    let other = folder.join("other");
    let mut into = command(["restore", "--json", "--data"]);
    into.arg(&other).arg(file).arg("--keys").arg(keys).env("HEYI_DATABASE_URL", &county);
    let told = sums(&json_of(&Ran::of(&mut into).ended(0)));
    assert_eq!(told, sums(&backup(&other, &folder.join("2.zip"), Some(&county))));
    assert!(!other.join("heyi.db").exists());
    let full = Ran::of(&mut into).ended(1);
    assert!(full.stderr.contains("not empty"), "{}", full.stderr);
}

/// A county that grew moves into tables that are spread by case; every row is the same, and the way back leads home.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_may_spread_the_cases_over_partitions() {
    let Some(cluster) = Cluster::start("moving into partitions") else { return };
    let data = copied("parts");
    let folder = scratch("parts-files");
    let province = cluster.fresh();
    let spread = |to: &str, parts: &str| Ran::of(command(["move", "--json", "--parts", parts, "--to", to, "--data"]).arg(&data));
    assert!(spread("sqlite:/nowhere.db", "8").ended(2).stderr.contains("only PostgreSQL"));
    assert!(spread(&province, "1").ended(2).stderr.contains("--parts"));
    let there = sums(&json_of(&spread(&province, "8").ended(0)));
    let store = Store::connect(&province).await.expect("a database");
    assert_eq!(store.parts().await.expect("it is counted"), 8);
    let filled = "SELECT 1 / (count(*) - 1) FROM (SELECT DISTINCT tableoid FROM event) parts";
    run_sql(&province, filled).await.expect("more than one part holds events");
    let back = format!("sqlite:{}", folder.join("back.db").display());
    let home = sums(&json_of(&moved(&data, Some(&province), &back).ended(0)));
    assert_eq!(there.keys().filter(|t| there[*t] != home[*t]).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_under_a_running_server() {
    let data = copied("running");
    let to = format!("sqlite:{}", scratch("running-to").join("new.db").display());
    let serving = Serving::sandbox(&data, |c| c);
    let refused = moved(&data, None, &to).ended(1);
    assert!(refused.stderr.contains("heyi serve") && refused.stderr.contains("stop it"), "{}", refused.stderr);
    assert_eq!(serving.get("director", "/api/v1/cases?limit=1").await["items"].as_array().map(Vec::len), Some(1));
    serving.stop();
    let _ = moved(&data, None, &to).ended(0);
    // What is full is not moved into, and the one that would move stays what it is.
    let other = copied("running-other");
    let full = moved(&other, None, &to).ended(1);
    assert!(full.stderr.contains("not empty"), "{}", full.stderr);
    Serving::sandbox(&other, |c| c).stop();
}

// ---------------------------------------------------------------------------------------------------------------------
// What is refused.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_in_a_table_is_refused_before_anything_is_written() {
    let (file, keys) = saved();
    let folder = scratch("flipped");
    let bytes = std::fs::read(file).expect("the backup");
    let good = entries(file);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("a zip");
    let places: Vec<(u64, u64)> = (0..zip.len())
        .filter_map(|i| {
            let entry = zip.by_index(i).expect("an entry");
            let table = entry.name().is_ok_and(|n| n.starts_with("tables/"));
            table.then(|| (entry.data_start().expect("its place"), entry.compressed_size()))
        })
        .collect();
    let all: u64 = places.iter().map(|(_, size)| size).sum();
    let mut dice = Dice::new("a flipped byte of a backup");
    let (mut refused, mut same) = (0, 0);
    for _ in 0..50 {
        let mut at = dice.below(all);
        let (start, _) = places
            .iter()
            .find(|(_, size)| {
                if at < *size {
                    true
                } else {
                    at -= size;
                    false
                }
            })
            .expect("a place");
        let mut bytes = bytes.clone();
        let flip = u8::try_from(1 + dice.below(255)).expect("a byte");
        bytes[usize::try_from(start + at).expect("it fits")] ^= flip;
        let broken = folder.join("broken.zip");
        std::fs::write(&broken, &bytes).expect("scratch can be written");
        let new = folder.join("new");
        match carry::restore(&config(&new), &broken, Some(keys), &Unseen).await {
            Err(error) => {
                assert!(error.to_string().contains("damaged"), "byte {}: {error}", start + at);
                assert!(!new.exists(), "byte {}: something was written", start + at);
                refused += 1;
            }
            Ok(_) => {
                // Padding at the end of a compressed stream says nothing: then what is read is exactly what was saved.
                assert!(entries(&broken) == good, "byte {}: other rows were taken", start + at);
                std::fs::remove_dir_all(&new).expect("it can be removed");
                same += 1;
            }
        }
    }
    assert!(refused >= 48, "{refused} refused, {same} without a difference");
    // The same road takes the unchanged file.
    let told = carry::restore(&config(&folder.join("good")), file, Some(keys), &Unseen).await.expect("the backup is good");
    assert!(told.carried.rows > 500);
}

#[test]
fn what_is_newer_foreign_or_incomplete_is_refused() {
    let folder = scratch("foreign");
    let keys = &saved().1;
    let refused = |entries: &[(String, Vec<u8>)], says: &str| {
        let file = folder.join("odd.zip");
        pack(&file, entries);
        let ran = restore(&file, Some(keys), &folder.join("new")).ended(1);
        assert!(ran.stderr.contains(says), "`{says}` is not said: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !folder.join("new").exists());
    };
    let good = entries(&saved().0);
    let with = |change: &dyn Fn(&mut Json)| {
        let mut all = good.clone();
        manifest(&mut all, change);
        all
    };
    refused(&with(&|m| m["migrations"].as_array_mut().expect("a list").push(json!("m9999_future"))), "newer Heyi");
    refused(&with(&|m| m["format"] = json!(2)), "format 2");
    refused(&with(&|m| *m = json!({"format": 2, "else": true})), "newer Heyi");
    refused(&with(&|m| m["tables"][0]["name"] = json!("../../account")), "no name of a table");
    refused(&with(&|m| m["files"][0]["name"] = json!("../outside")), "no place for a file");
    refused(&with(&|m| m["files"][0]["name"] = json!("keys/master.key")), "no place for a file");
    refused(&good.iter().filter(|(n, _)| n != "tables/event.jsonl").cloned().collect::<Vec<_>>(), "tables/event.jsonl is missing");
    refused(&[good.clone(), vec![("more.txt".to_owned(), b"x".to_vec())]].concat(), "more.txt is no part of it");
    refused(&good.iter().filter(|(n, _)| n != "manifest.json").cloned().collect::<Vec<_>>(), "no backup of Heyi");
    std::fs::write(folder.join("text.zip"), "no zip").expect("scratch can be written");
    let ran = restore(&folder.join("text.zip"), None, &folder.join("new")).ended(1);
    assert!(ran.stderr.contains("no backup of Heyi"), "{}", ran.stderr);
    let _ = restore(&folder.join("nowhere.zip"), None, &folder.join("new")).ended(2);
    // Packed anew and otherwise unchanged it is taken: what was refused above was refused for its fault alone.
    pack(&folder.join("same.zip"), &good);
    let _ = restore(&folder.join("same.zip"), Some(keys), &folder.join("new")).ended(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_breaks_off_leaves_an_empty_database_and_a_full_place_is_left_alone() {
    let folder = scratch("broken-off");
    let (file, keys) = saved();
    let new = folder.join("new");
    // The manifest fits, the rows do not: a number twice. It shows only when most of the tables are filled.
    let odd = folder.join("odd.zip");
    changed(&odd, "number", |lines| [lines.clone(), lines].concat());
    let ran = restore(&odd, Some(keys), &new).ended(1);
    assert!(ran.stderr.to_lowercase().contains("unique"), "{}", ran.stderr);
    let store = Store::connect(&sqlite(&new)).await.expect("tables are there");
    assert_eq!(case::Entity::find().all(store.db()).await.expect("rows").len(), 0);
    assert!(!new.join("keys").exists(), "keys were written although nothing was restored");
    // The same place then takes a good one, once.
    let _ = restore(file, Some(keys), &new).ended(0);
    let before = std::fs::read(new.join("keys/master.key")).expect("the key");
    let full = restore(file, Some(keys), &new).ended(1);
    assert!(full.stderr.contains("not empty"), "{}", full.stderr);
    assert_eq!(std::fs::read(new.join("keys/master.key")).expect("the key"), before);
    assert!(case::Entity::find().all(store.db()).await.expect("rows").len() >= 6);

    // Another installation's key is refused, in the place and in the key file.
    let other = folder.join("other");
    std::fs::create_dir_all(other.join("keys")).expect("a folder");
    std::fs::write(other.join("keys/master.key"), [7; 32]).expect("a key");
    let ran = restore(file, None, &other).ended(1);
    assert!(ran.stderr.contains("another installation") && !other.join("heyi.db").exists(), "{}", ran.stderr);
    // Without any key the rows come, and what is missing is said.
    let bare = folder.join("bare");
    let told = json_of(&restore(file, None, &bare).ended(0));
    assert!(told["missing_key"].as_str().is_some_and(|p| p.ends_with("keys/master.key")), "{told}");
    // A server does not make itself a new key beside values that it cannot read.
    for says in ["there is none", "another key"] {
        let refused = Ran::ending(command(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--data"]).arg(&bare)).ended(1);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
        assert_eq!(bare.join("keys").exists(), says == "another key");
        std::fs::create_dir_all(bare.join("keys")).expect("a folder");
        std::fs::write(bare.join("keys/master.key"), [7; 32]).expect("a key");
    }
    std::fs::copy(demo().join("keys/master.key"), bare.join("keys/master.key")).expect("the right one");
    Serving::sandbox(&bare, |c| c).stop();

    // A chain that did not hold when it was saved is put back as it was, and told with status 1.
    let unchained = folder.join("unchained.zip");
    changed(&unchained, "event", |mut lines| {
        lines.remove(1);
        lines
    });
    let ran = restore(&unchained, Some(keys), &folder.join("unchained")).ended(1);
    assert!(ran.stderr.contains("a chain does not hold") && ran.stderr.contains("event 2"), "{}", ran.stderr);
    let ran = moved(&folder.join("unchained"), None, &format!("sqlite:{}", folder.join("to.db").display())).ended(1);
    assert!(ran.stderr.contains("a chain does not hold"), "{}", ran.stderr);
}

#[test]
fn a_backup_comes_into_being_whole_or_not_at_all() {
    let folder = scratch("whole");
    let data = copied("whole-data");
    let run = |file: &Path, more: &[&str]| Ran::of(command(["backup", "--data"]).arg(&data).arg(file).args(more));
    let missing = run(&folder.join("nowhere/heyi.zip"), &[]).ended(1);
    assert!(missing.stderr.contains("there is no folder") && missing.stderr.contains("nowhere"), "{}", missing.stderr);
    let nothing = Ran::of(command(["backup", "--data"]).arg(folder.join("no-data")).arg(folder.join("x.zip"))).ended(1);
    assert!(nothing.stderr.contains("there is no such database"), "{}", nothing.stderr);
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "something was left");

    // A disk without room: what is written beside goes to a device that is always full.
    if Path::new("/dev/full").exists() {
        std::os::unix::fs::symlink("/dev/full", folder.join("full.zip.part")).expect("a link");
        let full = run(&folder.join("full.zip"), &[]).ended(1);
        assert!(full.stderr.starts_with("heyi: ") && full.stderr.contains("No space left"), "{}", full.stderr);
        assert_eq!(full.stderr.lines().count(), 1, "{}", full.stderr);
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "half a file was left");
    }
    let file = folder.join("heyi.zip");
    // What a broken-off run left is no obstacle, and no part of the next one.
    std::fs::write(folder.join("heyi.zip.part"), vec![7; 10_000_000]).expect("scratch can be written");
    let told = run(&file, &[]).ended(0);
    for says in ["The keys are not in it", "keys/master.key", "keys/signing.pem", "sandbox-tokens.json"] {
        assert!(told.stdout.contains(says), "`{says}` is not said: {}", told.stdout);
    }
    assert!(std::fs::metadata(&file).expect("a file").len() < 10_000_000 && !folder.join("heyi.zip.part").exists());
    let first = std::fs::read(&file).expect("a file");
    let refused = run(&file, &[]).ended(1);
    assert!(refused.stderr.contains("exists already") && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert!(std::fs::read(&file).expect("a file") == first);
    let _ = run(&file, &["--force"]).ended(0);
    assert!(std::fs::read(&file).expect("a file") != first, "it holds the time of the first backup now");
    let together = Ran::of(command(["backup", "--data"]).arg(&data).arg(&file).arg("--keys").arg(&file)).ended(2);
    assert!(together.stderr.contains("another file"), "{}", together.stderr);
}

// ---------------------------------------------------------------------------------------------------------------------
// What is in it, and what is not.

/// Where some bytes are found in a backup, packed or unpacked.
fn found(file: &Path, all: &[(String, Vec<u8>)], wanted: &[u8]) -> Vec<String> {
    let raw = std::fs::read(file).expect("the backup");
    let inside = |bytes: &[u8]| bytes.windows(wanted.len()).any(|w| w == wanted);
    let packed = inside(&raw).then(|| "the container".to_owned());
    all.iter().filter(|(_, bytes)| inside(bytes)).map(|(name, _)| name.clone()).chain(packed).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        (0..=three.len()).for_each(|i| out.push(char::from(LETTERS[(n >> (18 - 6 * i)) as usize & 63])));
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_name_of_a_dispute_is_in_it() {
    let (file, keys) = saved();
    let all = entries(file);
    let data = demo();
    let master = std::fs::read(data.join("keys/master.key")).expect("the key");
    let hex: String = master.iter().map(|b| format!("{b:02x}")).collect();
    let pem = std::fs::read_to_string(data.join("keys/signing.pem")).expect("the key");
    let tokens: BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(data.join("sandbox-tokens.json")).expect("the tokens")).expect("JSON");
    let body = pem.lines().find(|l| !l.starts_with("-----")).expect("base64").to_owned();
    let coded = base64(&master);
    let mut secrets: Vec<&[u8]> = vec![&master, hex.as_bytes(), coded.as_bytes(), body.as_bytes()];
    secrets.extend(tokens.values().map(|t| t.as_bytes()));
    assert!(secrets.len() > 10 && secrets.iter().all(|s| s.len() >= 32));
    for (n, secret) in secrets.iter().enumerate() {
        assert_eq!(found(file, &all, secret), Vec::<String>::new(), "secret {n}");
    }
    // The search would find them: they are in the file that is kept elsewhere.
    let kept = std::fs::read(keys).expect("the key file");
    assert!([coded.as_bytes(), body.as_bytes()].iter().all(|s| kept.windows(s.len()).any(|w| w == *s)));

    // People of the disputes. Staff have accounts with names; those may be read by whoever runs the place.
    let sources = Sources::read(None).expect("the shipped files");
    let mut people = BTreeSet::new();
    for source in sources.workflows.values() {
        let definition = source.definition().expect("the shipped workflow is sound");
        for text in source.scenarios.values() {
            let scenario = Scenario::parse(text, &definition).expect("the shipped scenarios are sound");
            if scenario.demo.is_some() {
                people.extend(scenario.people.values().map(|p| p.name.clone()));
            }
        }
    }
    let store = Store::connect(&sqlite(&copied("names"))).await.expect("the database");
    let staff: BTreeSet<String> = store.accounts().await.expect("rows").into_iter().flat_map(|a| [Some(a.name), a.organisation]).flatten().collect();
    people.retain(|name| !staff.iter().any(|s| s.contains(name.as_str())));
    assert!(people.contains("佟某") && people.len() >= 6, "{} people", people.len());
    for (n, name) in people.iter().enumerate() {
        assert_eq!(found(file, &all, name.as_bytes()), Vec::<String>::new(), "person {n}");
    }
    // Twin: a name in clear, planted in a column, is found by the same search.
    let planted = copied("planted");
    run_sql(&sqlite(&planted), "INSERT INTO meta (key, value) VALUES ('note', '佟某 called')").await.expect("planted");
    let other = scratch("planted-file").join("heyi.zip");
    let _ = backup(&planted, &other, None);
    assert_eq!(found(&other, &entries(&other), "佟某".as_bytes()), ["tables/meta.jsonl"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_carried() {
    let data = copied("tables");
    let folder = scratch("tables-files");
    let tables = async |data: &Path| {
        let db = sea_orm::Database::connect(sqlite(data)).await.expect("the database");
        let ask = Statement::from_string(db.get_database_backend(), "SELECT name FROM sqlite_master WHERE type = 'table'");
        let rows = db.query_all_raw(ask).await.expect("rows");
        rows.iter().map(|r| r.try_get_by_index::<String>(0).expect("a name")).collect::<BTreeSet<_>>()
    };
    let mut there = tables(&data).await;
    assert!(there.remove("seaql_migrations") && there.len() >= 19, "{there:?}");
    let carried = |told: &Json| sums(told).into_keys().collect::<BTreeSet<_>>();
    let told = backup(&data, &folder.join("1.zip"), None);
    assert_eq!(carried(&told), there);
    for full in ["event", "case_value", "letter", "document", "export", "file", "word", "account", "source", "number"] {
        assert!(sums(&told)[full].0 > 0, "the demo leaves nothing in {full}, so nothing was shown");
    }
    // A table that comes later is carried too; and where it is unknown, nothing is restored rather than half of it.
    run_sql(&sqlite(&data), "CREATE TABLE later (id BIGINT PRIMARY KEY, body BLOB)").await.expect("made");
    run_sql(&sqlite(&data), "INSERT INTO later VALUES (2, x'00ff'), (-1, NULL)").await.expect("filled");
    let later = folder.join("2.zip");
    assert_eq!(sums(&backup(&data, &later, None))["later"].0, 2);
    let lines = entries(&later).into_iter().find(|(n, _)| n == "tables/later.jsonl").expect("the table").1;
    assert_eq!(String::from_utf8_lossy(&lines), "[-1,null]\n[2,\"AP8=\"]\n");
    let ran = restore(&later, None, &folder.join("new")).ended(1);
    assert!(ran.stderr.contains("later"), "{}", ran.stderr);
    // What cannot be carried is named, and there is no backup without it.
    for (sql, says) in [("CREATE TABLE odd (id TEXT)", "primary key"), ("CREATE TABLE odd (id TEXT PRIMARY KEY, share REAL)", "REAL")] {
        run_sql(&sqlite(&data), "DROP TABLE IF EXISTS odd").await.expect("dropped");
        run_sql(&sqlite(&data), sql).await.expect("made");
        let file = folder.join("3.zip");
        let ran = Ran::of(command(["backup", "--data"]).arg(&data).arg(&file)).ended(1);
        assert!(ran.stderr.contains("table odd") && ran.stderr.contains(says), "{}", ran.stderr);
        assert!(!file.exists());
    }
}

#[test]
fn folders_of_ones_own_and_checkpoints_go_along_and_passwords_do_not() {
    let data = copied("own");
    let folder = scratch("own-files");
    let checkpoint = data.join("checkpoints/2026-03-02.json");
    std::fs::create_dir_all(data.join("checkpoints")).expect("a folder");
    std::fs::write(&checkpoint, "{}").expect("a file");
    let own = folder.join("own-workflows");
    std::fs::create_dir_all(own.join("calendars")).expect("a folder");
    std::fs::write(own.join("calendars/notes.txt"), "ours").expect("a file");
    std::fs::write(data.join("heyi.toml"), "smtp_url = \"smtp+starttls://me:hush-never-tell@mail.example\"\n").expect("settings");
    let file = folder.join("heyi.zip");
    let told = Ran::of(command(["backup", "--json", "--data"]).arg(&data).arg(&file).env("HEYI_WORKFLOWS", &own)).ended(0);
    let left: Vec<Json> = json_of(&told)["left_behind"].as_array().cloned().unwrap_or_default();
    assert!(["mail", "exports", "documents", "keys", "heyi.toml"].iter().all(|n| left.contains(&json!(n))), "{left:?}");
    let all = entries(&file);
    assert_eq!(found(&file, &all, b"hush-never-tell"), Vec::<String>::new());
    assert_eq!(found(&file, &all, b"mail.example"), ["files/settings.toml"], "the search finds what is beside the password");
    let new = folder.join("new");
    let told = json_of(&restore(&file, None, &new).ended(0));
    assert_eq!(std::fs::read(new.join("checkpoints/2026-03-02.json")).expect("the checkpoint"), b"{}");
    assert_eq!(std::fs::read(new.join("workflows/calendars/notes.txt")).expect("the file"), b"ours");
    assert!(told["settings"][0].as_str().is_some_and(|s| s.starts_with("workflows = ")), "{told}");
    assert!(!new.join("heyi.toml").exists());
}
