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
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
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

async fn through_http(app: &TestApp, token: &str, cases: &[CaseId]) -> f64 {
    let (done, begin) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let body = json!({"input": {"summary": "x".repeat(INPUT)}}).to_string();
    let clients: Vec<_> = cases
        .iter()
        .map(|case| {
            let (address, token, body, case, done) = (app.address, token.to_owned(), body.clone(), *case, done.clone());
            tokio::spawn(async move {
                let stream = TcpStream::connect(address).await.expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let mut answer = Vec::new();
                while begin.elapsed() < ROUND {
                    let request = format!(
                        "POST /api/v1/cases/{case}/actions/case.record HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
                         content-type: application/json\r\nidempotency-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
                        key(),
                        body.len()
                    );
                    stream.write_all(request.as_bytes()).await.expect("it is sent");
                    let mut length = 0;
                    for number in 0.. {
                        line.clear();
                        stream.read_line(&mut line).await.expect("a line");
                        assert!(number > 0 || line.starts_with("HTTP/1.1 200"), "{line}");
                        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().expect("a length");
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    answer.resize(length, 0);
                    stream.read_exact(&mut answer).await.expect("a body");
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
    let (mut http, mut door) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        door.push(through_the_door(&app, &me, &cases).await);
        http.push(through_http(&app, &tokens["intake_officer"], &cases).await);
    }
    let ratio = median(http.iter().zip(&door).map(|(h, d)| h / d).collect());
    println!(
        "{name}, 64 clients: {:.0} commands/s through HTTP, {:.0} through the one door, ratio {ratio:.2} (wanted {WANTED:.2}){}",
        median(http),
        median(door),
        if ratio < WANTED { "  SHORT" } else { "" }
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
