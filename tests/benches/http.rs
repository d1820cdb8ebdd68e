//! Commands through HTTP against the same commands through the one door, in one process, with 64 clients.
//!
//! `cargo bench -p heyi-tests --bench http`. The client is as bare as HTTP/1.1 allows, as it runs on the same cores.

use heyi_api::server::Limits;
use heyi_engine::case::Account;
use heyi_engine::case::decide::Command;
use heyi_engine::ids::CaseId;
use heyi_engine::submit::Request;
use heyi_tests::app::TestApp;
use heyi_tests::postgres::Cluster;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// As the program itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of the comparison.
const ROUNDS: usize = 5;
/// How long each side runs in a round.
const ROUND: Duration = Duration::from_millis(1_500);
/// Clients that ask at once, each on a case of its own.
const CLIENTS: usize = 64;
/// What a command is given, in bytes.
const INPUT: usize = 500;
/// What HTTP may cost: the ratio that is wanted at least.
const WANTED: f64 = 0.7;

static KEYS: AtomicU64 = AtomicU64::new(0);

fn key() -> String {
    format!("key-{:020}", KEYS.fetch_add(1, Ordering::Relaxed))
}

async fn through_the_door(app: &TestApp, me: &Account, cases: &[CaseId]) -> f64 {
    let (done, begin) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let clients: Vec<_> = cases
        .iter()
        .map(|case| {
            let (engine, me, case, done) = (app.app.engine.clone(), me.clone(), *case, done.clone());
            tokio::spawn(async move {
                while begin.elapsed() < ROUND {
                    let command = Some(Command::new("case.record", json!({"summary": "x".repeat(INPUT)})));
                    let request = Request { case: Some(case), workflow: None, me: me.clone(), command, key: Some(key()), expected: None, file: None };
                    engine.submit(request).await.expect("it is taken");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client ends");
    }
    done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}

/// What is asked of the answer: what the command did alone, or all that is possible next as well.
#[derive(Clone, Copy)]
enum Answer {
    Minimal,
    Whole,
}

/// Whether an answer has come with all of its body.
fn whole(got: &[u8]) -> bool {
    let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&got[..end]).expect("a header in ASCII");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    got.len() >= end + 4 + length.parse::<usize>().expect("a number")
}

async fn through_http(app: &TestApp, token: &str, cases: &[CaseId], answer: Answer) -> f64 {
    let prefer = match answer {
        Answer::Minimal => "prefer: return=minimal\r\n",
        Answer::Whole => "",
    };
    let (done, begin) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let body = json!({"input": {"summary": "x".repeat(INPUT)}}).to_string();
    let clients: Vec<_> = cases
        .iter()
        .map(|case| {
            let (address, token, body, case, done) = (app.address, token.to_owned(), body.clone(), *case, done.clone());
            tokio::spawn(async move {
                let stream = TcpStream::connect(address).await.expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let mut stream = stream;
                let mut got = Vec::with_capacity(64 << 10);
                while begin.elapsed() < ROUND {
                    let request = format!(
                        "POST /api/v1/cases/{case}/actions/case.record HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
                         content-type: application/json\r\n{prefer}idempotency-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
                        key(),
                        body.len()
                    );
                    stream.write_all(request.as_bytes()).await.expect("it is sent");
                    got.clear();
                    while !whole(&got) {
                        assert!(stream.read_buf(&mut got).await.expect("an answer") > 0, "it was cut off");
                    }
                    assert!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client ends");
    }
    done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(name: &str, app: TestApp) {
    let tokens = std::fs::read(app.folder().join(heyi_api::sandbox::TOKENS_FILE)).expect("tokens");
    let tokens: std::collections::BTreeMap<String, String> = serde_json::from_slice(&tokens).expect("tokens");
    let accounts = app.app.engine.store().accounts().await.expect("accounts");
    let me = accounts.into_iter().find(|a| a.role == "intake_officer").expect("an intake officer");
    let mut cases = Vec::new();
    for _ in 0..CLIENTS {
        cases.push(app.open().await.parse::<CaseId>().expect("an id"));
    }
    let token = &tokens["intake_officer"];
    let (mut minimal, mut whole, mut door) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        door.push(through_the_door(&app, &me, &cases).await);
        minimal.push(through_http(&app, token, &cases, Answer::Minimal).await);
        whole.push(through_http(&app, token, &cases, Answer::Whole).await);
    }
    let ratio = |http: &[f64]| median(http.iter().zip(&door).map(|(h, d)| h / d).collect());
    let (lean, full) = (ratio(&minimal), ratio(&whole));
    println!(
        "{name}, 64 clients: {:.0} commands/s through HTTP, {:.0} through the one door, ratio {lean:.2} (wanted {WANTED:.2}){}; \
         with all that is possible next in each answer {:.0}, ratio {full:.2}",
        median(minimal),
        median(door),
        if lean < WANTED { "  SHORT" } else { "" },
        median(whole)
    );
    app.stop().await;
}

#[tokio::main]
async fn main() {
    compare("SQLite", TestApp::start_with(Limits::default()).await).await;
    match Cluster::start("HTTP over PostgreSQL") {
        Some(cluster) => {
            let url = cluster.fresh();
            compare("PostgreSQL", TestApp::start_as(Limits::default(), |config| config.database_url = Some(url)).await).await;
        }
        None => println!("PostgreSQL: SKIPPED"),
    }
}
