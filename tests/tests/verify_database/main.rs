//! `heyi verify --database`: every kind of direct edit of a database is found and named; what a chain alone cannot show
//! is shown by a signed checkpoint; and a database that nobody touched is whole.
//!
//! `copy` is what is tampered with, `edits` are the kinds, each by hand, `flips` is chance, `checkpoints` is how they are taken.

mod checkpoints;
mod copy;
mod edits;
mod flips;

use copy::{Copy, listed};
use heyi_engine::store::{Store, StoreError};
use heyi_tests::postgres::Cluster;
use heyi_tests::process::{Ran, command, not_tested, scratch};
use sea_orm::{ConnectionTrait as _, Database, Statement};
use serde_json::Value as Json;

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

/// The same on PostgreSQL: whole when nobody touched it, and each kind of place in which something can be changed.
#[test]
fn on_postgresql_too() {
    let Some(cluster) = Cluster::start("verifying a database on PostgreSQL") else {
        return not_tested("verify --database on PostgreSQL: its programs are not under /usr/lib/postgresql");
    };
    let folder = scratch("postgres");
    let heyi = |args: &[&str]| Ran::of(command(args).arg("--data").arg(&folder).env("HEYI_DATABASE_URL", cluster.url()));
    drop(heyi(&["demo", "--quiet"]).ended(0));
    let report =
        |code: i32| -> Json { serde_json::from_str(&heyi(&["verify", "--database", "--replay", "--json"]).ended(code).stdout).expect("JSON alone") };
    let whole = report(0);
    assert!(whole["cases"].as_i64() >= Some(6) && whole["lines"] == 1 && whole["since"] == 0, "{whole}");
    let rt = tokio::runtime::Runtime::new().expect("a runtime");
    let db = rt.block_on(Database::connect(cluster.url())).expect("the server answers");
    let run = |sql: &str| rt.block_on(db.execute_unprepared(sql)).unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected();
    let row = rt.block_on(db.query_one_raw(Statement::from_string(db.get_database_backend(), "SELECT MAX(id) FROM case_row".to_owned())));
    let case: String = row.expect("it can be read").expect("a row").try_get_by_index(0).expect("an id");
    // Each is made undone before the next.
    for (edit, back, fault, event) in [
        (
            "UPDATE event SET body = replace(body, '\"as\":', '\"as\" :') WHERE case_id = '$' AND seq = 5",
            "UPDATE event SET body = replace(body, '\"as\" :', '\"as\":') WHERE case_id = '$' AND seq = 5",
            "hash",
            Some(5),
        ),
        ("UPDATE event SET seq = -7 WHERE case_id = '$' AND seq = 7", "UPDATE event SET seq = 7 WHERE case_id = '$' AND seq = -7", "gap", Some(-7)),
        (
            "UPDATE case_value SET sealed = sealed || '\\x00' WHERE case_id = '$'",
            "UPDATE case_value SET sealed = substring(sealed FOR length(sealed) - 1) WHERE case_id = '$'",
            "sealed",
            None,
        ),
        ("UPDATE case_row SET is_open = NOT is_open WHERE id = '$'", "UPDATE case_row SET is_open = NOT is_open WHERE id = '$'", "replay", None),
        (
            "UPDATE log_leaf SET head = head || '0' WHERE case_id = '$'",
            "UPDATE log_leaf SET head = left(head, -1) WHERE case_id = '$'",
            "rewritten",
            None,
        ),
    ] {
        assert!(run(&edit.replace('$', &case)) > 0, "{edit}");
        let found = report(1);
        let named = found["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|f| f["fault"] == fault && f["case"].as_str() == Some(&case) && event.is_none_or(|seq: i64| f["event"].as_i64() == Some(seq)));
        assert!(named, "{edit}: {found}");
        assert!(run(&back.replace('$', &case)) > 0, "{back}");
    }
    assert_eq!(report(0)["whole"], true);
}
