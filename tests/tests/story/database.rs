//! Chapters about the database itself: pages, versions, durability, and how many statements and transactions commands take.

use super::stage::{Home, Stage, changed, engine_on};
use super::texts::beginning;
use heyi_engine::case::Account;
use heyi_engine::ids::CaseId;
use heyi_engine::store::views::Worklist;
use heyi_engine::store::{Store, StoreError};
use heyi_engine::submit::Request;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use std::collections::BTreeSet;

pub fn a_worklist_is_turned_page_by_page(home: &Home) {
    let stage = Stage::new(home);
    let mut cases = BTreeSet::new();
    for n in 0..9i64 {
        // Three days of opening, so that some deadlines fall on one day, and some cases have none.
        stage.clock.set(&format!("2026-03-0{}T09:00:00+08:00", 2 + n % 3));
        let case = stage.open("");
        if n % 4 != 0 {
            stage.submit(stage.request("clerk", Some(case), "matter.take", json!({"lead": stage.me("clerk").id}))).expect("a lead is named");
            stage.submit(stage.request("clerk", Some(case), "matter.wait", json!({}))).expect("a reply is awaited");
        }
        cases.insert(case.to_string());
    }
    let page =
        |ask: Worklist, only_for: Option<&Account>| stage.wait(stage.engine.store().worklist(&stage.master, &ask, only_for)).expect("it is answered");
    let whole = page(Worklist { limit: 100, ..Worklist::default() }, None);
    assert!(whole.is_sorted_by_key(|r| (r.due_at, r.id.clone())));
    let dues: BTreeSet<i64> = whole.iter().map(|r| r.due_at).collect();
    assert!(dues.len() > 2 && dues.len() < whole.len(), "there must be equal and unequal due times");
    for limit in [1, 2, 4] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let rows = page(Worklist { limit, after: after.clone(), ..Worklist::default() }, None);
            let Some(last) = rows.last() else { break };
            after = Some((last.due_at, last.id.clone()));
            seen.extend(rows);
            assert!(seen.len() <= whole.len(), "pages of {limit}: a row was told twice");
            // Somebody opens a case that sorts before: no row is told twice or left out.
            if seen.len() == 4 && limit == 4 {
                stage.clock.set("2026-03-02T08:00:00+08:00");
                let early = stage.open("");
                stage.submit(stage.request("clerk", Some(early), "matter.take", json!({"lead": stage.me("clerk").id}))).expect("a lead is named");
                stage.submit(stage.request("clerk", Some(early), "matter.wait", json!({}))).expect("a reply is awaited");
            }
        }
        assert_eq!(seen, whole, "pages of {limit}");
    }
    // Somebody outside sees only the cases that name them.
    let asker = stage.me("asker");
    assert!(page(Worklist { limit: 100, ..Worklist::default() }, Some(&asker)).is_empty());
    let own = cases.iter().next().expect("a case").parse().expect("an id");
    let person = json!({"side": "asker", "name": "某甲", "account": asker.id});
    stage.submit(stage.request("clerk", Some(own), "case.person", person)).expect("a person is written down");
    let seen = page(Worklist { limit: 100, ..Worklist::default() }, Some(&asker));
    assert_eq!(seen.iter().map(|r| r.id.clone()).collect::<Vec<_>>(), [own.to_string()]);
    let before = dues.iter().nth(1).copied();
    let urgent = page(Worklist { limit: 100, due_before: before, ..Worklist::default() }, None);
    assert!(!urgent.is_empty() && urgent.iter().all(|r| Some(r.due_at) < before));
}

/// A database that a newer program has written is left alone; one of this program opens as often as one likes.
pub fn a_newer_database_is_refused(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.open("");
    let connect = || stage.wait(Store::connect(&stage.url));
    assert!(connect().is_ok());
    stage.run("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_from_the_future', 1)");
    let before = stage.contents();
    match connect() {
        Err(StoreError::Newer { newer }) => assert_eq!(newer, "m9999_from_the_future"),
        Err(other) => panic!("refused, but with: {other}"),
        Ok(_) => panic!("a newer database was opened"),
    }
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    stage.run("DELETE FROM seaql_migrations WHERE version = 'm9999_from_the_future'");
    assert!(connect().is_ok());
    assert!(stage.chain(case).is_ok());
}

/// What durability needs is in force on every connection, and a database that cannot give it is refused.
///
/// `synchronous` of SQLite belongs to a connection and is set by `Store::connect` on each, so that nothing outside can
/// weaken it: its twin cannot be tested from here. The same check is seen refusing another journal mode, and both
/// settings of PostgreSQL.
pub fn what_durability_needs_is_in_force(home: &Home) {
    let stage = Stage::new(home);
    match home {
        Home::Sqlite(_) => {
            let pragmas = [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("busy_timeout", "10000")];
            let found = stage.wait(async {
                // Held at once, so that each is another connection of the pool.
                let mut held = Vec::new();
                for _ in 0..6 {
                    held.push(stage.db().get_sqlite_connection_pool().acquire().await.expect("a connection"));
                }
                let mut found = Vec::new();
                for connection in &mut held {
                    for (pragma, wanted) in pragmas {
                        use sea_orm::sqlx::Row as _;
                        let row = sea_orm::sqlx::query(sea_orm::sqlx::AssertSqlSafe(format!("PRAGMA {pragma}")))
                            .fetch_one(&mut **connection)
                            .await
                            .expect("a setting");
                        let text = row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string())).expect("a value");
                        found.push((pragma, text, wanted));
                    }
                }
                found
            });
            assert_eq!(found.len(), 24);
            found.iter().for_each(|(pragma, text, wanted)| assert_eq!(text, wanted, "{pragma}"));
            match stage.wait(Store::connect("sqlite://weak?mode=memory")) {
                Err(StoreError::Setting { setting, found, .. }) => assert_eq!((setting, found.as_str()), ("journal_mode", "memory")),
                Err(other) => panic!("refused, but with: {other}"),
                Ok(_) => panic!("a database without a journal on disk was opened"),
            }
        }
        Home::Postgres { .. } => {
            assert_eq!((stage.one("SHOW fsync").as_str(), stage.one("SHOW synchronous_commit").as_str()), ("on", "on"));
            let refused = |setting: &str| match stage.wait(Store::connect(&format!("{}?options[synchronous_commit]={setting}", stage.url))) {
                Err(StoreError::Setting { setting, found, .. }) => format!("{setting} = {found}"),
                Err(other) => panic!("refused, but with: {other}"),
                Ok(_) => "nothing".to_owned(),
            };
            assert_eq!(refused("off"), "synchronous_commit = off");
            assert_eq!(refused("local"), "synchronous_commit = local");
            assert_eq!(refused("remote_apply"), "nothing");
            stage.run("ALTER SYSTEM SET fsync = off");
            stage.run("SELECT pg_reload_conf()");
            // The server takes it up in its own time: at most ten seconds.
            let weak = (0..100).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(100));
                matches!(stage.wait(Store::connect(&stage.url)), Err(StoreError::Setting { setting: "fsync", .. }))
            });
            stage.run("ALTER SYSTEM RESET fsync");
            stage.run("SELECT pg_reload_conf()");
            assert!(weak, "a server without fsync was taken");
        }
    }
}

/// How many statements the server ran for one command, as it logged them itself. A bound, so that a loop over rows
/// does not creep in; only on PostgreSQL, where the server can be asked.
pub fn one_command_takes_few_statements(home: &Home) {
    let Home::Postgres { cluster, .. } = home else { return };
    let stage = Stage::new(home);
    let case = stage.play(&beginning("refusals", "mediation.ready"), "");
    let engine = stage.wait(engine_on(&format!("{}?options[log_statement]=all", stage.url), &stage.master, &stage.clock, &stage.policy));
    let need = |key: &str| Request {
        workflow: None,
        key: Some(key.to_owned()),
        ..stage.request("mediator", Some(case), "mediation.need_facts", json!({"questions": "术后谁签的字？", "asked_of": "hospital_side"}))
    };
    // One before it, so that what is read once is read.
    let warm = Request { workflow: None, ..stage.request("mediator", Some(case), "case.record", json!({"summary": "术后出血"})) };
    stage.wait(engine.submit(warm)).expect("it is accepted");
    let fence = |mark: &str| stage.wait(engine.store().db().execute_unprepared(&format!("SELECT '{mark}'"))).expect("a mark is set");
    fence("begin of one command");
    stage.wait(engine.submit(need("counted"))).expect("it is accepted");
    fence("end of one command");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let log = cluster.log();
    let between = log.split("begin of one command").last().and_then(|t| t.split("end of one command").next()).expect("the marks are in the log");
    let statements: Vec<&str> = between.lines().filter(|l| l.contains("LOG:  execute") || l.contains("LOG:  statement:")).skip(1).collect();
    assert_eq!(statements.len(), 1, "{} statements:\n{}", statements.len(), statements.join("\n"));
}

/// What waits together is written together: far fewer transactions than commands, and every answer is there on the disk.
pub fn what_waits_together_is_written_together(home: &Home) {
    let Home::Sqlite(_) = home else { return };
    let stage = Stage::new(home);
    let cases: Vec<CaseId> = (0..64).map(|n| stage.open(&format!("{n}"))).collect();
    let before = stage.engine.figures();
    let answers = stage.wait(async {
        let asked = cases.iter().map(|case| {
            let (engine, request) = (stage.engine.clone(), stage.request("clerk", Some(*case), "matter.count", json!({})));
            tokio::spawn(async move { engine.submit(request).await })
        });
        let asked: Vec<_> = asked.collect();
        let mut answers = Vec::new();
        for one in asked {
            answers.push(one.await.expect("a task ends").expect("it is counted"));
        }
        answers
    });
    let after = stage.engine.figures();
    assert_eq!(after.commands - before.commands, 64);
    let commits = after.commits - before.commits;
    assert!((1..=32).contains(&commits), "64 commands took {commits} transactions");
    for answer in answers {
        let id = answer.loaded.row.id.clone();
        let rows = stage.rows(&format!("SELECT head FROM case_row WHERE id = '{id}' AND version = {}", answer.loaded.row.version));
        assert_eq!(rows.len(), 1, "an answer is not on the disk");
        assert_eq!(rows[0].try_get_by_index::<String>(0).expect("a head"), answer.loaded.row.head);
    }
}

/// A group in which one cannot be written: each of the others gets its answer, and that one its own error.
pub fn one_that_fails_spoils_nobody_elses_answer(home: &Home) {
    let stage = Stage::new(home);
    let cases: Vec<CaseId> = (0..16).map(|n| stage.open(&format!("{n}"))).collect();
    // The next event of one case is there already, as after a fault: no command can write it.
    let bad = cases[7];
    stage.run(&format!(
        "INSERT INTO event (case_id, seq, body, hash) SELECT case_id, seq + 1, body, hash FROM event WHERE case_id = '{bad}' \
         AND seq = (SELECT max(seq) FROM event WHERE case_id = '{bad}')"
    ));
    let results = stage.wait(async {
        let asked = cases.iter().map(|case| {
            let (engine, request) = (stage.engine.clone(), stage.request("clerk", Some(*case), "matter.count", json!({})));
            (*case, tokio::spawn(async move { engine.submit(request).await }))
        });
        let asked: Vec<_> = asked.collect();
        let mut results = Vec::new();
        for (case, one) in asked {
            results.push((case, one.await.expect("a task ends")));
        }
        results
    });
    for (case, result) in results {
        assert_eq!(result.is_ok(), case != bad, "of one case that cannot be written, another heard");
    }
    let numbers: Vec<String> = stage
        .rows("SELECT last FROM number WHERE series = 'matter'")
        .iter()
        .map(|row| row.try_get_by_index::<i64>(0).expect("a number").to_string())
        .collect();
    assert_eq!(numbers, ["15"], "fifteen steps were numbered, without a gap");
}
