//! What a million cases cost: the worklist, an idle server's memory, and its start.
//!
//! `cargo bench -p heyi-tests --bench large`. The cases are rows as lists see them; a case that waits is no more than that.

use heyi_api::config::Config;
use heyi_api::state::{App, Mode};
use heyi_engine::case::Account;
use heyi_engine::ids::AccountId;
use heyi_engine::store::Store;
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::SealKey;
use heyi_engine::store::views::Worklist;
use heyi_tests::postgres::Cluster;
use heyi_tests::process::Serving;
use sea_orm::ConnectionTrait as _;
use std::time::Instant;
use tokio::runtime::Runtime;

/// The smaller and the larger number of cases.
const FEW: u32 = 10_000;
const MANY: u32 = 1_000_000;
/// People who share them.
const PEOPLE: u32 = 100;
/// How often the list is asked for.
const ASKED: usize = 400;

fn somebody(n: u32) -> String {
    uuid::Uuid::from_u128(0x1000 + u128::from(n)).to_string()
}

/// Rows of cases from one number to another, a hundredth for each of the people.
fn rows(postgres: bool, from: u32, to: u32) -> String {
    let (source, id) = if postgres {
        (format!("generate_series({from}, {}) AS g(n)", to - 1), "lpad(to_hex(n), 32, '0')::uuid::text")
    } else {
        (
            format!("(WITH RECURSIVE g(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM g WHERE n + 1 < {to}) SELECT n FROM g)"),
            "'00000000-0000-0000-0000-' || printf('%012x', n)",
        )
    };
    let assignee = if postgres {
        "'00000000-0000-0000-0000-' || lpad(to_hex(4096 + n % 100), 12, '0')"
    } else {
        "'00000000-0000-0000-0000-' || printf('%012x', 4096 + n % 100)"
    };
    format!(
        "INSERT INTO case_row (id, workflow, definition, policy, calendar, version, head, state, stage, is_open, assignee, opened_at, updated_at, due_at, acts_at) \
         SELECT {id}, 'medical-dispute', 'd', 'p', 'c', 12, 'h', 'investigation', 'mediation', TRUE, {assignee}, 1772413200000, 1772413200000, \
         1772413200000 + (CAST(n AS BIGINT) * 7919) % 2592000000, NULL FROM {source}"
    )
}

/// The slowest of a hundred, in microseconds.
fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

fn asked(rt: &Runtime, store: &Store) -> f64 {
    let master = SealKey::generate();
    let ask = |n: u32| Worklist { assignee: Some(somebody(n % PEOPLE)), limit: 20, ..Worklist::default() };
    let mut times = Vec::new();
    for n in 0..u32::try_from(ASKED).expect("few") {
        let begin = Instant::now();
        let found = rt.block_on(store.worklist(&master, &ask(n), None)).expect("it can be read");
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        assert_eq!(found.len(), 20);
    }
    p99(times)
}

fn worklist(rt: &Runtime, name: &str, url: &str) {
    let store = rt.block_on(Store::connect(url)).expect("the database is good");
    let run = |sql: &str| rt.block_on(store.db().execute_unprepared(sql)).expect("it runs");
    run(&rows(store.is_postgres(), 0, FEW));
    run("ANALYZE");
    let few = asked(rt, &store);
    run(&rows(store.is_postgres(), FEW, MANY));
    run("ANALYZE");
    let many = asked(rt, &store);
    let ratio = many / few;
    println!(
        "{name}: my 20 most urgent, p99 of {ASKED}: {few:.0} µs with {FEW} cases, {many:.0} µs with {MANY}, ratio {ratio:.2} (wanted at most 2.00){}",
        if ratio > 2.0 { "  SHORT" } else { "" }
    );
}

/// The log over all cases takes up what it has not seen, as a server does in its first hour.
async fn logged(folder: &std::path::Path) {
    let app = App::open(Config { data_dir: folder.to_owned(), ..Config::default() }, Mode::Sandbox).await.expect("it opens");
    heyi_api::proofs::take(&app).await.expect("a checkpoint");
}

fn idle(folder: &std::path::Path) {
    let begin = Instant::now();
    let server = Serving::sandbox(folder, |serve| serve);
    let ready = begin.elapsed();
    std::thread::sleep(std::time::Duration::from_secs(20));
    let rss = server.memory_kib();
    println!(
        "a server over {MANY} cases: listens after {} ms (wanted under 1,000), holds {} MiB twenty seconds later (wanted under 60){}",
        ready.as_millis(),
        rss / 1024,
        if rss / 1024 >= 60 || ready.as_millis() >= 1_000 { "  SHORT" } else { "" }
    );
    server.stop();
}

fn main() {
    let rt = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    // A first start makes the tables and the training room; then the rows come.
    Serving::sandbox(folder.path(), |serve| serve).stop();
    let account = Account {
        id: AccountId::new(uuid::Uuid::from_u128(0x1000)),
        role: "mediator".to_owned(),
        name: "M".to_owned(),
        organisation: None,
        email: None,
        language: "en".to_owned(),
        stands_in: false,
    };
    let url = format!("sqlite:{}", folder.path().join("heyi.db").display());
    rt.block_on(async { Store::connect(&url).await.expect("good").put_account(&account, &Token::generate()).await }).expect("an account is kept");
    worklist(&rt, "SQLite", &url);
    rt.block_on(logged(folder.path()));
    idle(folder.path());
    match Cluster::start("a million cases on PostgreSQL") {
        Some(cluster) => worklist(&rt, "PostgreSQL", &cluster.fresh()),
        None => println!("PostgreSQL: SKIPPED"),
    }
}
