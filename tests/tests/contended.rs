//! When many want the same case at once, when the disk is full, and when the database is gone.

use heyi_api::config::Config;
use heyi_api::server::Limits;
use heyi_api::state::{App, Mode};
use heyi_engine::case::Account;
use heyi_engine::case::decide::Command;
use heyi_engine::ids::CaseId;
use heyi_engine::submit::{Request, SubmitError};
use heyi_tests::app::TestApp;
use heyi_tests::postgres::Cluster;
use heyi_tests::process::{Dice, scratch};
use sea_orm::sqlx;
use serde_json::json;
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// People who ask at once, cases they ask for, and how often each asks.
const CLIENTS: usize = 64;
const CASES: usize = 50;
const TURNS: usize = 10;

/// A case as its clients see it: a version that goes on by one for whoever saw the last.
#[derive(Clone, Debug)]
struct Versions(u64);

/// A command under `If-Match`, and the answer: the new version, or the current one.
impl SequentialSpec for Versions {
    type Op = u64;
    type Ret = Result<u64, u64>;

    fn invoke(&mut self, expected: &u64) -> Self::Ret {
        if *expected == self.0 {
            self.0 += 1;
            Ok(self.0)
        } else {
            Err(self.0)
        }
    }
}

type History = LinearizabilityTester<usize, Versions>;

async fn open(folder: &Path, url: Option<String>) -> (App, Account) {
    let app =
        App::open(Config { data_dir: folder.to_owned(), database_url: url, ..Config::default() }, Mode::Sandbox).await.expect("the folder opens");
    let accounts = heyi_api::sandbox::prepare(&app).await.expect("the training room is prepared");
    (app, accounts["intake_officer"].clone())
}

fn request(me: &Account, case: Option<CaseId>, expected: Option<u64>) -> Request {
    let (action, workflow) = if case.is_some() { ("case.record", None) } else { ("case.open", Some("medical-dispute".to_owned())) };
    let command = Some(Command::new(action, json!({"summary": "x"})));
    Request { case, workflow, me: me.clone(), command, key: None, expected, file: None }
}

/// Two nodes, 64 clients, 50 hot cases: each version has one winner, and each history could have happened one after the other.
async fn hot(nodes: Vec<App>, me: Account, seed: &mut Dice) {
    let mut cases: Vec<(CaseId, Arc<Mutex<History>>)> = Vec::new();
    for _ in 0..CASES {
        let opened = nodes[0].engine.submit(request(&me, None, None)).await.expect("a case is opened");
        let id = opened.loaded.case.id.expect("an id");
        cases.push((id, Arc::new(Mutex::new(History::new(Versions(opened.loaded.case.version))))));
    }
    let plans: Vec<Vec<(usize, usize)>> =
        (0..CLIENTS).map(|_| (0..TURNS).map(|_| (below(seed, CASES), below(seed, nodes.len()))).collect()).collect();
    let clients = plans.into_iter().enumerate().map(|(client, plan)| {
        let (nodes, me, cases) = (nodes.clone(), me.clone(), cases.clone());
        tokio::spawn(async move {
            let (mut won, mut lost) = (0, 0);
            for (case, node) in plan {
                let (id, history) = &cases[case];
                let engine = &nodes[node].engine;
                let seen = engine.read(*id).await.expect("the case is read").0.case.version;
                history.lock().expect("no panic").on_invoke(client, seen).expect("one at a time");
                let answer = match engine.submit(request(&me, Some(*id), Some(seen))).await {
                    Ok(committed) => Ok(committed.loaded.case.version),
                    Err(SubmitError::Version { current }) => Err(current),
                    Err(other) => panic!("neither won nor lost: {other}"),
                };
                if answer.is_ok() {
                    won += 1
                } else {
                    lost += 1
                }
                history.lock().expect("no panic").on_return(client, answer).expect("one at a time");
            }
            (won, lost)
        })
    });
    let (mut won, mut lost) = (0, 0);
    for client in clients.collect::<Vec<_>>() {
        let (w, l) = client.await.expect("a client ends");
        won += w;
        lost += l;
    }
    assert_eq!(won + lost, CLIENTS * TURNS);
    for (_, history) in &cases {
        assert!(history.lock().expect("no panic").is_consistent(), "a history that no order explains");
    }
    eprintln!("{} nodes: {won} won, {lost} lost, each history has an order", nodes.len());
}

fn below(seed: &mut Dice, end: usize) -> usize {
    usize::try_from(seed.below(u64::try_from(end).expect("few"))).expect("few")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_wins_each_version_on_sqlite() {
    let folder = scratch("hot-sqlite");
    let (app, me) = open(&folder, None).await;
    // A second engine on the same file stands for another process.
    let (second, _) = open(&folder, None).await;
    let mut seed = Dice::new("hot-sqlite");
    hot(vec![app.clone()], me.clone(), &mut seed).await;
    hot(vec![app, second], me, &mut seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_wins_each_version_on_postgresql() {
    let Some(cluster) = Cluster::start("64 clients on 50 cases of two nodes") else { return };
    let (folder, url) = (scratch("hot-postgresql"), cluster.fresh());
    let (app, me) = open(&folder, Some(url.clone())).await;
    let (second, _) = open(&folder, Some(url)).await;
    hot(vec![app, second], me, &mut Dice::new("hot-postgresql")).await;
}

/// The checker has teeth: two winners of one version, and a loser who was told an older version, are noticed.
#[test]
fn the_checker_finds_two_winners() {
    let told = |answers: [(u64, Result<u64, u64>); 2]| {
        let mut history = History::new(Versions(1));
        for (client, (seen, answer)) in answers.into_iter().enumerate() {
            history.on_invoke(client, seen).expect("one at a time").on_return(client, answer).expect("one at a time");
        }
        history.is_consistent()
    };
    assert!(told([(1, Ok(2)), (1, Err(2))]));
    assert!(!told([(1, Ok(2)), (1, Ok(2))]), "two winners");
    assert!(!told([(1, Ok(2)), (1, Err(1))]), "a loser who was told what was past");
}

/// No more space: 507 for whoever writes, reading goes on, and it recovers without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_is_said_and_recovered_from() {
    let app = TestApp::start().await;
    let first = app.open().await;
    let pages = |most: &'static str| {
        let pool = app.app.engine.store().db().get_sqlite_connection_pool().clone();
        async move {
            let mut all = Vec::new();
            for _ in 0..8 {
                all.push(pool.acquire().await.expect("a connection"));
            }
            for connection in &mut all {
                // A limit below what is there counts as what is there.
                sqlx::query(most).execute(&mut **connection).await.expect("a limit is set");
            }
        }
    };
    pages("PRAGMA max_page_count = 1").await;
    app.app.engine.limit_pages(1).await.expect("a limit is set");
    let mut full = None;
    for n in 0..2_000 {
        let facts = json!({"workflow": "medical-dispute", "facts": {"summary": "x".repeat(2_000)}});
        let answer = app.post("intake_officer", "/api/v1/cases", &facts).await;
        if answer.status == 507 {
            full = Some((n, answer));
            break;
        }
        assert_eq!(answer.status, 201, "neither written nor full");
    }
    let (_, answer) = full.expect("the space ends");
    answer.problem(507, "full");
    app.get("intake_officer", &format!("/api/v1/cases/{first}")).await.expect(200);
    app.get("intake_officer", "/api/v1/cases?limit=5").await.expect(200);
    pages("PRAGMA max_page_count = 1000000").await;
    app.app.engine.limit_pages(1_000_000).await.expect("a limit is set");
    app.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-dispute", "facts": {}})).await.expect(201);
    app.stop().await;
}

/// The database falls and comes back: 503 with a time to wait, never a wrong answer, and all is well again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_is_gone_is_said_and_found_again() {
    let Some(cluster) = Cluster::start("a database that is gone") else { return };
    let url = cluster.fresh();
    let app = TestApp::start_as(Limits::default(), |config| config.database_url = Some(url)).await;
    let case = app.open().await;
    cluster.fall();
    for _ in 0..3 {
        let answer = app.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-dispute", "facts": {}})).await;
        assert_eq!(answer.headers.get("retry-after").and_then(|v| v.to_str().ok()), Some("5"), "{}", answer.status);
        answer.problem(503, "unavailable");
        let answer = app.get("intake_officer", &format!("/api/v1/cases/{case}")).await;
        answer.problem(503, "unavailable");
    }
    cluster.rise();
    let begin = Instant::now();
    while app.get("intake_officer", &format!("/api/v1/cases/{case}")).await.status != 200 {
        assert!(begin.elapsed() < Duration::from_secs(60), "it is not found again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("found again after {} ms", begin.elapsed().as_millis());
    app.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-dispute", "facts": {}})).await.expect(201);
    app.stop().await;
}
