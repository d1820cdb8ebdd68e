//! A step through the one door against a bare program that writes the same rows and bytes with the same durability.
//!
//! `cargo bench -p heyi-engine --bench steps`, or one part of it: `-- sqlite`, `-- postgres`, `-- age`. Each figure is the median of several rounds in which both take turns, so
//! that a noisy machine is noisy for both. What is wanted stands beside what was found; nothing here fails.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::decide::Command;
use heyi_engine::case::{Account, Policy};
use heyi_engine::definition;
use heyi_engine::ids::{AccountId, CaseId};
use heyi_engine::library::Library;
use heyi_engine::store::Store;
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::SealKey;
use heyi_engine::submit::{Clock, Engine, Request};
use postgres::Cluster;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

#[path = "../../tests/src/postgres.rs"]
#[expect(dead_code, reason = "the tests ask more of it than this benchmark")]
mod postgres;
/// What the throw-away server asks of the tests that it was written for.
mod process {
    pub fn not_tested(why: &str) {
        println!("SKIPPED: {why}");
    }
}

/// As the program itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of each comparison.
const ROUNDS: usize = 5;
/// How long each side runs in a round.
const ROUND: Duration = Duration::from_millis(1_500);
/// Clients that ask at once.
const CLIENTS: usize = 64;
/// What a step is given, in bytes.
const INPUT: usize = 500;

/// A clock that moves on by a millisecond whenever it is asked, so that no two steps are alike.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let ms = self.0.fetch_add(1, Ordering::Relaxed);
        chrono::DateTime::from_timestamp_millis(1_772_413_200_000 + i64::try_from(ms / 64).unwrap_or(0)).expect("a time")
    }
}

fn me() -> Account {
    Account {
        id: AccountId::new(uuid::Uuid::from_u128(7)),
        role: "clerk".to_owned(),
        name: "Clerk".to_owned(),
        organisation: None,
        email: Some("clerk@example.org".to_owned()),
        language: "en".to_owned(),
        stands_in: true,
    }
}

async fn engine(url: &str) -> Engine {
    let definition = definition::load(include_str!("step.yaml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let policy = Policy::of(&definition, &BTreeMap::new()).expect("the defaults are good");
    let mut library = Library::default();
    library.add_calendar(Calendar::parse(include_str!("../../workflows/calendars/china.yaml")).expect("the shipped calendar is good"));
    library.add_workflow(definition, policy).expect("the calendar is there");
    let store = Store::connect(url).await.expect("the database is good");
    store.put_account(&me(), &Token::generate()).await.expect("an account is kept");
    Engine::new(store, SealKey::generate(), library, Arc::new(Ticking(AtomicU64::new(0))), Box::new(|_| true)).await.expect("an engine")
}

fn note(case: CaseId, key: String) -> Request {
    let command = Command::new("matter.note", json!({"text": "x".repeat(INPUT)}));
    Request { case: Some(case), workflow: None, me: me(), command: Some(command), key: Some(key), expected: None, file: None }
}

async fn open(engine: &Engine) -> CaseId {
    let command = Command::new("case.open", json!({}));
    let request = Request { case: None, workflow: Some("steps".to_owned()), me: me(), command: Some(command), key: None, expected: None, file: None };
    let committed = engine.submit(request).await.expect("a case is opened");
    let id = committed.loaded.case.id.expect("an opened case has an id");
    engine.submit(note(id, "first".to_owned())).await.expect("a step is taken");
    id
}

static KEYS: AtomicU64 = AtomicU64::new(0);

/// Steps a second through the one door, with so many clients, each on a case of its own.
async fn through_the_door(engine: &Engine, cases: &[CaseId]) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let clients: Vec<_> = cases
        .iter()
        .map(|case| {
            let (engine, case, done) = (engine.clone(), *case, done.clone());
            tokio::spawn(async move {
                while begin.elapsed() < ROUND {
                    let key = format!("key-{:020}", KEYS.fetch_add(1, Ordering::Relaxed));
                    engine.submit(note(case, key)).await.expect("a step is taken");
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

/// What one step writes, as the engine wrote it: the bare program writes the same again under other keys.
#[derive(Clone)]
struct Sample {
    event: String,
    value: Vec<u8>,
    deadline: String,
    letter: Vec<u8>,
    row: Vec<String>,
}

async fn sample(engine: &Engine, case: CaseId) -> Sample {
    use heyi_engine::store::rows::{deadline, event, letter, value};
    use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
    let db = engine.store().db();
    let id = case.to_string();
    let event =
        event::Entity::find().filter(event::Column::CaseId.eq(&id)).order_by_desc(event::Column::Seq).one(db).await.expect("read").expect("one");
    let value =
        value::Entity::find().filter(value::Column::CaseId.eq(&id)).order_by_desc(value::Column::Seq).one(db).await.expect("read").expect("one");
    let deadline = deadline::Entity::find().filter(deadline::Column::CaseId.eq(&id)).one(db).await.expect("read").expect("one");
    let letter = letter::Entity::find().filter(letter::Column::CaseId.eq(&id)).one(db).await.expect("read").expect("one");
    let row = engine.read(case).await.expect("read").0.row.clone();
    Sample {
        event: event.body,
        value: value.sealed,
        deadline: deadline.body,
        letter: letter.sealed,
        row: vec![row.definition, row.policy, row.calendar, row.head],
    }
}

const INSERT_EVENT: &str = "INSERT INTO event (case_id, seq, body, hash) VALUES ($1, $2, $3, $4)";
const INSERT_VALUE: &str = "INSERT INTO case_value (case_id, seq, number, salt, sealed) VALUES ($1, $2, 0, $3, $4)";
const UPDATE_CASE: &str = "UPDATE case_row SET definition = $2, policy = $3, calendar = $4, version = $5, head = $6, state = 'open', stage = 'work', \
     is_open = TRUE, assignee = NULL, opened_at = 1772413200000, updated_at = $7, due_at = $8, acts_at = $8 WHERE id = $1";
const DELETE_DEADLINE: &str = "DELETE FROM deadline WHERE case_id = $1";
const INSERT_DEADLINE: &str = "INSERT INTO deadline (case_id, proceeding, name, started_by, nth, status, last_day, acts_at, body) \
     VALUES ($1, 1, 'answer', $2, 1, 'running', '2026-03-09', $3, $4)";
const INSERT_LETTER: &str = "INSERT INTO letter (case_id, id, kind, state, attempts, next_at, created_at, sealed) \
     VALUES ($1, $2, 'noted', 'waiting', 0, $3, $3, $4)";
const INSERT_ANSWER: &str = "INSERT INTO answer (case_id, account, key, body_hash, first_seq, last_seq) VALUES ($1, $2, $3, $4, $5, $5)";

/// The bare program on SQLite: the driver itself, prepared statements, one transaction for so many steps, a savepoint for each.
struct BareSqlite {
    connection: rusqlite::Connection,
    cases: Vec<(String, i64)>,
    sample: Sample,
}

impl BareSqlite {
    fn new(path: &Path, cases: &[CaseId], sample: Sample) -> Self {
        let connection = rusqlite::Connection::open(path).expect("the copy opens");
        connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
        connection.pragma_update(None, "synchronous", "FULL").expect("FULL");
        connection.pragma_update(None, "foreign_keys", true).expect("foreign keys");
        connection.pragma_update(None, "wal_autocheckpoint", 8_000).expect("as often into the database as ours");
        connection.set_prepared_statement_cache_capacity(64);
        let cases = cases.iter().map(|id| (id.to_string(), 1_000_000)).collect();
        Self { connection, cases, sample }
    }

    fn step(&self, case: &str, seq: i64) -> rusqlite::Result<()> {
        let (c, s) = (&self.connection, &self.sample);
        let now = 1_772_413_200_000 + seq;
        let key = format!("key-{:020}", KEYS.fetch_add(1, Ordering::Relaxed));
        c.prepare_cached(INSERT_EVENT)?.execute((case, seq, &s.event, &s.row[3]))?;
        c.prepare_cached(INSERT_VALUE)?.execute((case, seq, &s.value[..32], &s.value))?;
        c.prepare_cached(UPDATE_CASE)?.execute((case, &s.row[0], &s.row[1], &s.row[2], seq, &s.row[3], now, now + 432_000_000))?;
        c.prepare_cached(DELETE_DEADLINE)?.execute([case])?;
        c.prepare_cached(INSERT_DEADLINE)?.execute((case, seq, now + 432_000_000, &s.deadline))?;
        c.prepare_cached(INSERT_LETTER)?.execute((case, format!("{case}.{seq}.1"), now, &s.letter))?;
        c.prepare_cached(INSERT_ANSWER)?.execute((case, "00000000-0000-0000-0000-000000000007", key, &s.row[3], seq))?;
        Ok(())
    }

    fn rate(&mut self, group: usize) -> f64 {
        let begin = Instant::now();
        let mut done = 0u64;
        let mut at = 0;
        while begin.elapsed() < ROUND {
            self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut s| s.execute([])).expect("begin");
            for _ in 0..group {
                at = (at + 1) % self.cases.len();
                self.cases[at].1 += 1;
                let (case, seq) = self.cases[at].clone();
                if group > 1 {
                    self.connection.prepare_cached("SAVEPOINT step").and_then(|mut s| s.execute([])).expect("savepoint");
                }
                self.step(&case, seq).expect("a bare step");
                if group > 1 {
                    self.connection.prepare_cached("RELEASE step").and_then(|mut s| s.execute([])).expect("release");
                }
                done += 1;
            }
            self.connection.prepare_cached("COMMIT").and_then(|mut s| s.execute([])).expect("commit");
        }
        done as f64 / begin.elapsed().as_secs_f64()
    }
}

/// The bare program on PostgreSQL: so many connections, each a transaction a step, prepared statements sent without waiting for each other.
async fn bare_postgres(url: &str, cases: &[CaseId], sample: &Sample, from: i64) -> f64 {
    let begin = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = cases
        .iter()
        .map(|case| {
            let (url, case, done, s) = (url.to_owned(), case.to_string(), done.clone(), sample.clone());
            tokio::spawn(async move {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a connection");
                let driver = tokio::spawn(connection);
                let mut prepared = Vec::new();
                for sql in [INSERT_EVENT, INSERT_VALUE, UPDATE_CASE, DELETE_DEADLINE, INSERT_DEADLINE, INSERT_LETTER, INSERT_ANSWER] {
                    prepared.push(client.prepare(sql).await.expect("it is prepared"));
                }
                let mut seq = from;
                while begin.elapsed() < ROUND {
                    seq += 1;
                    let now = 1_772_413_200_000 + seq;
                    let due = now + 432_000_000;
                    let key = format!("key-{:020}", KEYS.fetch_add(1, Ordering::Relaxed));
                    let letter = format!("{case}.{seq}.1");
                    let account = "00000000-0000-0000-0000-000000000007";
                    let salt = s.value[..32].to_vec();
                    let p0: &[Value<'_>] = &[&case, &seq, &s.event, &s.row[3]];
                    let p1: &[Value<'_>] = &[&case, &seq, &salt, &s.value];
                    let p2: &[Value<'_>] = &[&case, &s.row[0], &s.row[1], &s.row[2], &seq, &s.row[3], &now, &due];
                    let p3: &[Value<'_>] = &[&case];
                    let p4: &[Value<'_>] = &[&case, &seq, &due, &s.deadline];
                    let p5: &[Value<'_>] = &[&case, &letter, &now, &s.letter];
                    let p6: &[Value<'_>] = &[&case, &account, &key, &s.row[3], &seq];
                    // One round trip: everything is sent before the first answer is waited for.
                    let (a, b, c, d, e, f, g, h, i) = tokio::join!(
                        client.batch_execute("BEGIN"),
                        client.execute(&prepared[0], p0),
                        client.execute(&prepared[1], p1),
                        client.execute(&prepared[2], p2),
                        client.execute(&prepared[3], p3),
                        client.execute(&prepared[4], p4),
                        client.execute(&prepared[5], p5),
                        client.execute(&prepared[6], p6),
                        client.batch_execute("COMMIT"),
                    );
                    a.and(b.map(drop))
                        .and(c.map(drop))
                        .and(d.map(drop))
                        .and(e.map(drop))
                        .and(f.map(drop))
                        .and(g.map(drop))
                        .and(h.map(drop))
                        .and(i)
                        .expect("a bare step");
                    done.fetch_add(1, Ordering::Relaxed);
                }
                drop(client);
                let _ = driver.await;
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client ends");
    }
    done.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64()
}

/// A value of a parameter.
type Value<'v> = &'v (dyn tokio_postgres::types::ToSql + Sync);

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn say(what: &str, ours: &[f64], bare: &[f64], wanted: f64) {
    let ratios = ours.iter().zip(bare).map(|(o, b)| o / b).collect();
    let ratio = median(ratios);
    println!(
        "{what:<58} {:>8.0} steps/s   bare {:>8.0} steps/s   ratio {ratio:.2}  (wanted {wanted:.2}){}",
        median(ours.to_vec()),
        median(bare.to_vec()),
        if ratio < wanted { "  SHORT" } else { "" }
    );
}

fn on_sqlite(rt: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("ours.db"), folder.path().join("bare.db"));
    let engine = rt.block_on(engine(&format!("sqlite:{}", ours.display())));
    let cases: Vec<CaseId> = rt.block_on(async {
        let mut cases = Vec::new();
        for _ in 0..CLIENTS {
            cases.push(open(&engine).await);
        }
        cases
    });
    let policy = rt.block_on(async {
        let mut out = Vec::new();
        for pragma in ["journal_mode", "synchronous", "wal_autocheckpoint"] {
            let db = engine.store().db();
            let row = db
                .query_one_raw(Statement::from_string(db.get_database_backend(), format!("PRAGMA {pragma}")))
                .await
                .expect("a setting")
                .expect("a row");
            out.push(row.try_get_by_index::<String>(0).or_else(|_| row.try_get_by_index::<i32>(0).map(|n| n.to_string())).expect("a value"));
        }
        out
    });
    println!(
        "SQLite: journal_mode = {}, synchronous = {} (2 is FULL: each commit waits for the disk), wal_autocheckpoint = {}, both sides alike",
        policy[0], policy[1], policy[2]
    );
    let sample = rt.block_on(sample(&engine, cases[0]));
    rt.block_on(engine.store().db().execute_unprepared(&format!("VACUUM INTO '{}'", theirs.display()))).expect("a copy");
    let mut bare = BareSqlite::new(&theirs, &cases, sample);
    let (mut one, mut bare_one, mut many, mut bare_many) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(rt.block_on(through_the_door(&engine, &cases[..1])));
        bare_one.push(bare.rate(1));
        many.push(rt.block_on(through_the_door(&engine, &cases)));
        bare_many.push(bare.rate(CLIENTS));
    }
    say("SQLite, one client, against a transaction a step", &one, &bare_one, 0.5);
    say("SQLite, 64 clients, against groups of 64", &many, &bare_many, 0.7);
    say("SQLite, 64 clients, against a transaction a step", &many, &bare_one, 2.5);
    let gain = median(bare_many.iter().zip(&bare_one).map(|(many, one)| many / one).collect());
    println!("the bare program itself gains {gain:.2} by groups on this disk");
}

fn on_postgres(rt: &Runtime) {
    let Some(cluster) = Cluster::start("steps on PostgreSQL") else { return };
    let url = cluster.fresh();
    let engine = rt.block_on(engine(&url));
    let cases: Vec<CaseId> = rt.block_on(async {
        let mut cases = Vec::new();
        for _ in 0..CLIENTS {
            cases.push(open(&engine).await);
        }
        cases
    });
    println!("PostgreSQL: synchronous_commit and fsync on (the store refuses to start otherwise), both sides alike");
    let sample = rt.block_on(sample(&engine, cases[0]));
    let others: Vec<CaseId> = rt.block_on(async {
        let mut cases = Vec::new();
        for _ in 0..CLIENTS {
            cases.push(open(&engine).await);
        }
        cases
    });
    let (mut one, mut bare_one, mut many, mut bare_many) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let from = 1_000_000 * (i64::try_from(round).unwrap_or(0) + 1);
        one.push(rt.block_on(through_the_door(&engine, &cases[..1])));
        bare_one.push(rt.block_on(bare_postgres(&url, &others[..1], &sample, from)));
        many.push(rt.block_on(through_the_door(&engine, &cases)));
        bare_many.push(rt.block_on(bare_postgres(&url, &others, &sample, from + 500_000)));
    }
    say("PostgreSQL, one client", &one, &bare_one, 0.7);
    say("PostgreSQL, 64 clients", &many, &bare_many, 0.6);
}

/// A step of an old case against one of a young case, on SQLite.
fn by_age(rt: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = rt.block_on(engine(&format!("sqlite:{}", folder.path().join("age.db").display())));
    let (young, old) = rt.block_on(async { (open(&engine).await, open(&engine).await) });
    let steps = |case: CaseId, count: usize| {
        let begin = Instant::now();
        for _ in 0..count {
            let key = format!("key-{:020}", KEYS.fetch_add(1, Ordering::Relaxed));
            rt.block_on(engine.submit(note(case, key))).expect("a step is taken");
        }
        begin.elapsed().as_secs_f64() / count as f64 * 1e6
    };
    steps(old, 10_000);
    let (mut at_ten, mut at_ten_thousand) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        at_ten.push(steps(young, 20));
        at_ten_thousand.push(steps(old, 20));
    }
    let ratio = median(at_ten_thousand.iter().zip(&at_ten).map(|(o, y)| o / y).collect());
    println!(
        "a step at event 10: {:.0} µs, at event 10,000: {:.0} µs, ratio {ratio:.2} (wanted at most 1.20){}",
        median(at_ten),
        median(at_ten_thousand),
        if ratio > 1.2 { "  SHORT" } else { "" }
    );
}

fn main() {
    let rt = Runtime::new().expect("a runtime");
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    if wanted("sqlite") {
        on_sqlite(&rt);
    }
    if wanted("postgres") {
        on_postgres(&rt);
    }
    if wanted("age") {
        by_age(&rt);
    }
}
