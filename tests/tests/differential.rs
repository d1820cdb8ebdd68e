//! The same thousands of random commands on SQLite and on PostgreSQL: the same answers, events, hashes and rows.
//!
//! All shipped scenarios of the medical workflow are played at once, step by step in random order, and between their steps
//! commands that any of them has given are given again to any case by anybody. Both databases get each command at the same time of
//! the clock and with the same chance. `HEYI_SEED` plays a run again.

use chrono::{DateTime, FixedOffset, Utc};
use heyi_engine::calendar::Calendar;
use heyi_engine::case::refusal::Refusals;
use heyi_engine::case::{Account, Case, Policy, sha256};
use heyi_engine::definition::{self, Definition};
use heyi_engine::ids::CaseId;
use heyi_engine::library::Library;
use heyi_engine::scenario::{Cast, Door, Played, Player, Request as Step, Scenario};
use heyi_engine::store::Store;
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::SealKey;
use heyi_engine::submit::{Clock, Committed, Engine, Request, SubmitError};
use heyi_tests::play::{permitted, played};
use heyi_tests::postgres::Cluster;
use heyi_tests::process::Dice;
use sea_orm::{ConnectionTrait as _, Statement};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::runtime::Runtime;

/// Commands that are given at least.
const COMMANDS: u64 = 3_000;

/// A clock that stands where the test puts it, and whose chance is a number that the test counts on.
#[derive(Default)]
struct Told {
    now_ms: AtomicI64,
    chance: AtomicU64,
}

impl Clock for Told {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.now_ms.load(Ordering::SeqCst)).expect("a time")
    }

    fn chance(&self) -> [u8; 32] {
        let mut out = [0; 32];
        let number = self.chance.load(Ordering::SeqCst);
        for (n, chunk) in out.chunks_mut(8).enumerate() {
            let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(13 * u32::try_from(n).unwrap_or(0)) ^ number;
            chunk.copy_from_slice(&mixed.to_be_bytes());
        }
        out
    }
}

struct Texts {
    definition: Definition,
    calendar: Calendar,
    cast: indexmap::IndexMap<String, Account>,
    scenarios: Vec<Scenario>,
}

fn texts() -> Texts {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let read = |path: &Path| fs::read_to_string(path).expect("a shipped file");
    let folder = here.join("medical-dispute");
    let definition = definition::load(&read(&folder.join("workflow.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let calendar = Calendar::parse(&read(&here.join("calendars/china.yaml"))).expect("the shipped calendar is good");
    let cast = Cast::parse(&read(&folder.join("cast.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}")).accounts();
    let mut files: Vec<_> = fs::read_dir(folder.join("scenarios")).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let scenario = |file: &std::path::PathBuf| Scenario::parse(&read(file), &definition).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    // One policy for all: what another one would decide is another test's question.
    let scenarios = files.iter().map(scenario).filter(|s| s.policy.is_empty()).collect();
    Texts { calendar, cast, scenarios, definition }
}

async fn engine(url: &str, texts: &Texts, clock: &Arc<Told>) -> Engine {
    let store = Store::connect(url).await.expect("the database is good");
    for account in texts.cast.values() {
        store.put_account(account, &Token::generate()).await.expect("an account is kept");
    }
    let mut library = Library::default();
    library.add_calendar(texts.calendar.clone());
    let policy = Policy::of(&texts.definition, &BTreeMap::new()).expect("the defaults are good");
    library.add_workflow(texts.definition.clone(), policy).expect("the calendar is there");
    Engine::new(store, SealKey::generate(), library, clock.clone(), Box::new(|_| true)).await.expect("an engine")
}

/// Both databases behind one door.
struct Both<'t> {
    rt: &'t Runtime,
    texts: &'t Texts,
    clock: Arc<Told>,
    engines: [Engine; 2],
    accounts: Vec<Account>,
    given: u64,
    accepted: u64,
    /// Commands that were given, to be given again.
    pool: Vec<Request>,
    /// Each case, and when it was last written.
    cases: BTreeMap<CaseId, i64>,
}

/// What two answers must have in common.
fn gist(answer: &Result<Committed, SubmitError>) -> String {
    match answer {
        Ok(c) => format!("{} {} {}", c.loaded.row.head, c.repeated, serde_json::to_string(&c.events).expect("events are written")),
        Err(SubmitError::Refused(refusals)) => format!("refused {}", serde_json::to_string(refusals).expect("refusals are written")),
        Err(error) => format!("failed: {error}"),
    }
}

impl Both<'_> {
    fn give(&mut self, request: Request, now_ms: i64) -> Result<Committed, SubmitError> {
        self.clock.now_ms.store(now_ms, Ordering::SeqCst);
        self.clock.chance.fetch_add(1, Ordering::SeqCst);
        let [here, there] = self.engines.clone().map(|engine| self.rt.block_on(engine.submit(request.clone())));
        let what = request.command.as_ref().map_or("the clock", |c| c.action.as_str());
        assert_eq!(gist(&here), gist(&there), "command {}: {what}", self.given);
        self.given += 1;
        self.accepted += u64::from(here.is_ok());
        if let Ok(committed) = &here
            && let Some(id) = committed.loaded.case.id
        {
            self.cases.insert(id, now_ms);
        }
        here
    }
}

impl Door for Both<'_> {
    type Error = SubmitError;

    fn submit(&mut self, step: Step) -> Result<Result<Played, Refusals>, SubmitError> {
        let workflow = step.case.is_none().then(|| "medical-dispute".to_owned());
        let request = Request { case: step.case, workflow, me: step.me, command: step.command, key: None, expected: None, file: step.file };
        if request.file.is_none() && request.case.is_some() {
            self.pool.push(request.clone());
        }
        let answer = self.give(request, step.now.timestamp_millis());
        self.rt.block_on(played(&self.engines[0], &self.accounts, answer))
    }

    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, SubmitError> {
        self.rt.block_on(permitted(&self.engines[0], &self.accounts, case, now, me))
    }
}

/// A digest of what a table holds, apart from what is sealed under another key in each database.
async fn contents(engine: &Engine, columns: &str, table: &str) -> (usize, String) {
    let db = engine.store().db();
    let sql = format!("SELECT {columns} FROM {table}");
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.expect("a table is read");
    let width = columns.split(',').count();
    let text = |row: &sea_orm::QueryResult, n: usize| {
        let number = || row.try_get_by_index::<Option<i64>>(n).map(|n| n.map_or_else(|| "-".to_owned(), |n| n.to_string()));
        row.try_get_by_index::<Option<String>>(n).map(|t| t.unwrap_or_else(|| "-".to_owned())).or_else(|_| number()).expect("a text or a number")
    };
    let mut lines: Vec<String> = rows.iter().map(|row| (0..width).map(|n| text(row, n)).collect::<Vec<_>>().join("|")).collect();
    lines.sort();
    (lines.len(), sha256(lines.join("\n").as_bytes()))
}

#[test]
fn both_databases_answer_alike() {
    let Some(cluster) = Cluster::start("random commands on both databases") else { return };
    let (mut dice, texts) = (Dice::new("random commands on both databases"), texts());
    let rt = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Told::default());
    clock.now_ms.store(1_772_413_200_000, Ordering::SeqCst);
    let sqlite = rt.block_on(engine(&format!("sqlite:{}", folder.path().join("one.db").display()), &texts, &clock));
    let postgres = rt.block_on(engine(&cluster.fresh(), &texts, &clock));
    let accounts: Vec<Account> = texts.cast.values().cloned().collect();
    let mut both = Both {
        rt: &rt,
        texts: &texts,
        clock,
        engines: [sqlite, postgres],
        accounts,
        given: 0,
        accepted: 0,
        pool: Vec::new(),
        cases: BTreeMap::new(),
    };
    while both.given < COMMANDS {
        let mut players: Vec<Player<'_>> = both.texts.scenarios.iter().map(|s| Player::new(s, &both.texts.definition, &both.texts.cast)).collect();
        while !players.is_empty() && both.given < COMMANDS {
            let chosen = dice.among(players.len());
            // A case that somebody else has meddled with goes its own way: what its scenario expects is not asked here.
            if players[chosen].step(&mut both).is_none_or(|step| step.is_err()) {
                players.swap_remove(chosen);
            }
            if !both.pool.is_empty() && dice.below(2) == 0 {
                let mut request = both.pool[dice.among(both.pool.len())].clone();
                let case = both.cases.iter().nth(dice.among(both.cases.len())).map(|(id, at)| (*id, *at)).expect("a case");
                request.case = Some(case.0);
                if dice.below(3) == 0 {
                    request.me = both.accounts[dice.among(both.accounts.len())].clone();
                }
                let later = i64::try_from(dice.below(4) * dice.below(86_400_000)).expect("a few days");
                drop(both.give(request, case.1 + later));
            }
        }
    }
    let (given, accepted, cases) = (both.given, both.accepted, both.cases.len());
    eprintln!("both databases: {given} commands, {accepted} accepted, {cases} cases");
    assert!(accepted * 3 > given, "most commands were refused: {accepted} of {given}");
    let tables = [
        ("case_id, seq, body, hash", "event"),
        ("id, version, head, state, stage, assignee, opened_at, updated_at, due_at, acts_at", "case_row"),
        ("case_id, proceeding, name, started_by, nth, status, last_day, acts_at, body", "deadline"),
        ("case_id, key, proceeding, for_role, account, due, title", "work"),
        ("case_id, id, kind, state, next_at, created_at", "letter"),
        ("case_id, form, seq, proceeding", "document"),
        ("case_id, account", "case_access"),
        ("series, year, last", "number"),
    ];
    for (columns, table) in tables {
        let [here, there] = both.engines.clone().map(|engine| rt.block_on(contents(&engine, columns, table)));
        assert_eq!(here, there, "table {table}");
        // Whether any play comes as far as a document is chance.
        assert!(here.0 > 0 || table == "document", "table {table} is empty");
    }
}

/// The comparison has teeth: one other salt, and the two are told apart.
#[test]
fn another_chance_is_noticed() {
    let (one, two) = (Told::default(), Told::default());
    two.chance.store(1, Ordering::SeqCst);
    assert_eq!(one.chance(), Told::default().chance());
    assert_ne!(one.chance(), two.chance());
    let failed = |error: &str| gist(&Err(SubmitError::Broken(error.to_owned())));
    assert_ne!(failed("a"), failed("b"));
}
