//! One command through the one door on SQLite, in a file, with everything that it writes, synced as in running use.
//!
//! `cargo bench -p heyi-engine --bench submit`. What it measures is mostly the disk: WAL with `synchronous = FULL`
//! waits for it once a commit.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use heyi_engine::calendar::Calendar;
use heyi_engine::case::decide::Command;
use heyi_engine::case::{Account, Policy};
use heyi_engine::definition;
use heyi_engine::ids::CaseId;
use heyi_engine::library::Library;
use heyi_engine::scenario::Cast;
use heyi_engine::store::Store;
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::SealKey;
use heyi_engine::submit::{Clock, Engine, Request};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use tokio::runtime::Runtime;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp(1_772_413_200, 0).expect("2026-03-02 09:00 in Shanghai")
    }
}

async fn engine(url: &str) -> (Engine, Account) {
    let definition = definition::load(include_str!("../tests/data/broken/good.yaml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let policy = Policy::of(&definition, &BTreeMap::new()).expect("the defaults are good");
    let cast = Cast::of(&definition).accounts();
    let mut library = Library::default();
    library.add_calendar(Calendar::parse(include_str!("../../workflows/calendars/china.yaml")).expect("the shipped calendar is good"));
    library.add_workflow(definition, policy).expect("the calendar is there");
    let store = Store::connect(url).await.expect("the database is good");
    for account in cast.values() {
        store.put_account(account, &Token::generate()).await.expect("an account is kept");
    }
    let engine = Engine::new(store, SealKey::generate(), library, Arc::new(Fixed), Box::new(|_| true)).await.expect("an engine");
    (engine, cast["clerk"].clone())
}

fn request(me: &Account, case: Option<CaseId>, action: &str, input: serde_json::Value) -> Request {
    let workflow = case.is_none().then(|| "tiny".to_owned());
    Request { case, workflow, me: me.clone(), command: Some(Command::new(action, input)), key: None, expected: None, file: None }
}

async fn setting(engine: &Engine, pragma: &str) -> String {
    let db = engine.store().db();
    let row =
        db.query_one_raw(Statement::from_string(db.get_database_backend(), format!("PRAGMA {pragma}"))).await.expect("a setting").expect("a row");
    row.try_get_by_index::<String>(0).or_else(|_| row.try_get_by_index::<i32>(0).map(|n| n.to_string())).expect("a value")
}

fn submit(c: &mut Criterion) {
    let rt = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let (engine, me) = rt.block_on(engine(&url));
    let (journal, sync) = rt.block_on(async { (setting(&engine, "journal_mode").await, setting(&engine, "synchronous").await) });
    println!(
        "SQLite in {}: journal_mode = {journal}, synchronous = {} (each commit waits for the disk)",
        folder.path().display(),
        if sync == "2" { "FULL" } else { &sync }
    );
    let opened = rt.block_on(engine.submit(request(&me, None, "case.open", json!({"amount": "10.00"})))).expect("a case is opened");
    let case = opened.loaded.case.id;
    let mut group = c.benchmark_group("through the one door on SQLite");
    group.throughput(Throughput::Elements(1));
    group.bench_function("open a case", |b| {
        b.iter(|| rt.block_on(engine.submit(request(&me, None, "case.open", json!({"amount": "10.00"})))).expect("a case is opened"));
    });
    // A new case for each batch would hide the growth of the log; one case for all would measure it. So each step goes
    // to the youngest of a row of cases.
    let mut steps = 0u32;
    let mut current = case;
    group.bench_function("one step of a case", |b| {
        b.iter(|| {
            steps += 1;
            if steps.is_multiple_of(64) {
                current = rt.block_on(engine.submit(request(&me, None, "case.open", json!({})))).expect("a case is opened").loaded.case.id;
            }
            rt.block_on(engine.submit(request(&me, current, "matter.count", json!({})))).expect("a step is taken")
        });
    });
    group.throughput(Throughput::Elements(64));
    group.sample_size(10);
    group.bench_function("64 steps of 64 cases, asked for at once", |b| {
        let cases: Vec<CaseId> = (0..64)
            .filter_map(|_| rt.block_on(engine.submit(request(&me, None, "case.open", json!({})))).expect("a case is opened").loaded.case.id)
            .collect();
        b.iter(|| {
            rt.block_on(async {
                let tasks: Vec<_> = cases
                    .iter()
                    .map(|case| {
                        let (engine, request) = (engine.clone(), request(&me, Some(*case), "matter.count", json!({})));
                        tokio::spawn(async move { engine.submit(request).await })
                    })
                    .collect();
                for task in tasks {
                    black_box(task.await.expect("a task ends")).expect("a step is taken");
                }
            });
        });
    });
    group.bench_function("64 commands refused", |b| {
        b.iter(|| {
            rt.block_on(async {
                for _ in 0..64 {
                    black_box(engine.submit(request(&me, case, "matter.wait", json!({}))).await).expect_err("the seat is empty");
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, submit);
criterion_main!(benches);
