//! The stage of a chapter: an engine over a fresh database, a clock that the test moves, and a door that plays scenarios through it.

use super::texts::texts;
use chrono::{DateTime, FixedOffset};
use heyi_engine::case::decide::Command;
use heyi_engine::case::event::{Event, What};
use heyi_engine::case::refusal::{Code, Refusals};
use heyi_engine::case::{Account, Case, Policy, sha256};

use heyi_engine::ids::CaseId;
use heyi_engine::library::Library;
use heyi_engine::scenario::{Door, Played, Player, Request as Step, Scenario};
use heyi_engine::store::Store;
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::SealKey;
use heyi_engine::submit::{Clock, Committed, Engine, Request, SubmitError};
use heyi_engine::value::canonical_json;
use heyi_tests::play::{permitted, played};
use heyi_tests::postgres::Cluster;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use tokio::runtime::Runtime;

/// Where the story is told.
pub enum Home {
    Sqlite(tempfile::TempDir),
    Postgres {
        cluster: Cluster,
        /// Hash partitions of each new database; none where tables stay whole.
        parts: Option<u32>,
    },
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Home {
    /// The address of a database that nobody has used.
    pub fn fresh(&self, rt: &Runtime) -> String {
        match self {
            Self::Sqlite(folder) => {
                let number = DATABASES.fetch_add(1, Ordering::SeqCst);
                format!("sqlite:{}", folder.path().join(format!("story_{number}.db")).display())
            }
            Self::Postgres { cluster, parts } => {
                let url = cluster.fresh();
                if let Some(parts) = parts {
                    rt.block_on(async { Store::connect(&url).await.expect("the database is good").spread(*parts).await })
                        .expect("the tables are spread");
                }
                url
            }
        }
    }
}

pub struct Moved(pub AtomicI64);

impl Clock for Moved {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).expect("a time")
    }
}

impl Moved {
    pub fn set(&self, at: &str) {
        let at = chrono::DateTime::parse_from_rfc3339(at).expect("a time");
        self.0.store(at.timestamp_millis(), Ordering::SeqCst);
    }
}

pub struct Stage<'h> {
    pub home: &'h Home,
    pub rt: Runtime,
    pub url: String,
    pub master: SealKey,
    pub clock: Arc<Moved>,
    pub policy: BTreeMap<String, String>,
    pub engine: Engine,
    pub accounts: Vec<Account>,
}

/// Every table of a case or of the installation.
pub const TABLES: [&str; 21] = [
    "account",
    "answer",
    "case_access",
    "case_key",
    "case_row",
    "case_value",
    "checkpoint",
    "deadline",
    "document",
    "errand",
    "event",
    "export",
    "file",
    "letter",
    "log_leaf",
    "meta",
    "number",
    "opening",
    "source",
    "word",
    "work",
];

pub fn tables() -> Vec<&'static str> {
    TABLES.to_vec()
}

pub async fn engine_on(url: &str, master: &SealKey, clock: &Arc<Moved>, policy: &BTreeMap<String, String>) -> Engine {
    let store = Store::connect(url).await.expect("the database is good");
    for account in texts().cast.values() {
        store.put_account(account, &Token::generate()).await.expect("an account is kept");
    }
    let mut library = Library::default();
    library.add_calendar(texts().calendar.clone());
    for definition in [&texts().shipped, &texts().tiny] {
        let own = if definition.file.workflow == "tiny" { Policy::of(definition, &BTreeMap::new()) } else { Policy::of(definition, policy) };
        library.add_workflow(definition.clone(), own.expect("the policy is good")).expect("the calendar is there");
    }
    Engine::new(store, master.clone(), library, clock.clone(), Box::new(|_| true)).await.expect("an engine")
}

impl<'h> Stage<'h> {
    pub fn new(home: &'h Home) -> Self {
        Self::under(home, &BTreeMap::new())
    }

    pub fn under(home: &'h Home, policy: &BTreeMap<String, String>) -> Self {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
        let url = home.fresh(&rt);
        let master = SealKey::generate();
        let clock = Arc::new(Moved(AtomicI64::new(0)));
        clock.set("2026-03-02T09:00:00+08:00");
        let engine = rt.block_on(engine_on(&url, &master, &clock, policy));
        Self { home, rt, url, master, clock, policy: policy.clone(), engine, accounts: texts().cast.values().cloned().collect() }
    }

    /// Another process on the same database: its own pool, its own cache, its own lock.
    pub fn another(&self) -> Engine {
        self.rt.block_on(engine_on(&self.url, &self.master, &self.clock, &self.policy))
    }

    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.rt.block_on(future)
    }

    pub fn db(&self) -> &DatabaseConnection {
        self.engine.store().db()
    }

    pub fn run(&self, sql: &str) -> u64 {
        self.wait(self.db().execute_unprepared(sql)).unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
    }

    pub fn rows(&self, sql: &str) -> Vec<sea_orm::QueryResult> {
        let statement = Statement::from_string(self.db().get_database_backend(), sql.to_owned());
        self.wait(self.db().query_all_raw(statement)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn one(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        let row = rows.first().unwrap_or_else(|| panic!("{sql}: no row"));
        row.try_get_by_index::<String>(0)
            .or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string()))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// How many rows each table holds.
    pub fn counts(&self) -> BTreeMap<&'static str, String> {
        tables().into_iter().map(|t| (t, self.one(&format!("SELECT COUNT(*) FROM {t}")))).collect()
    }

    /// A digest of everything that a case's tables hold.
    pub fn contents(&self) -> BTreeMap<&'static str, String> {
        let postgres = matches!(self.home, Home::Postgres { .. });
        let digest = |table: &str| {
            if postgres {
                return self.one(&format!("SELECT COALESCE(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t"));
            }
            let columns: Vec<String> =
                self.rows(&format!("SELECT name FROM pragma_table_info('{table}')")).iter().map(|r| r.try_get_by_index(0).expect("a name")).collect();
            let quoted: Vec<String> = columns.iter().map(|c| format!("quote({c})")).collect();
            let rows = self.rows(&format!("SELECT {} AS r FROM {table} ORDER BY r", quoted.join("||'|'||")));
            sha256(rows.iter().map(|r| r.try_get_by_index::<String>(0).expect("a text")).collect::<Vec<_>>().join("\n").as_bytes())
        };
        tables().into_iter().map(|t| (t, digest(t))).collect()
    }

    pub fn me(&self, name: &str) -> Account {
        texts().cast[name].clone()
    }

    pub fn request(&self, me: &str, case: Option<CaseId>, action: &str, input: Json) -> Request {
        let workflow = case.is_none().then(|| "tiny".to_owned());
        Request { case, workflow, me: self.me(me), command: Some(Command::new(action, input)), key: None, expected: None, file: None }
    }

    pub fn submit(&self, request: Request) -> Result<Committed, SubmitError> {
        self.wait(self.engine.submit(request))
    }

    /// Opens a case of the tiny workflow.
    pub fn open(&self, story: &str) -> CaseId {
        let done = self.submit(self.request("clerk", None, "case.open", json!({"amount": "10.00", "story": story}))).expect("a case is opened");
        done.loaded.case.id.expect("it has an id")
    }

    pub fn passes(&self, case: CaseId) -> Request {
        Request { command: None, ..self.request("clerk", Some(case), "", json!({})) }
    }

    pub fn events(&self, case: CaseId) -> Vec<(Event, String)> {
        self.wait(self.engine.store().events(case, 0, 100_000)).expect("the events are read")
    }

    pub fn row_head(&self, case: CaseId) -> (String, u64) {
        let rows = self.rows(&format!("SELECT head, version FROM case_row WHERE id = '{case}'"));
        (rows[0].try_get_by_index(0).expect("a head"), u64::try_from(rows[0].try_get_by_index::<i64>(1).expect("a version")).expect("a version"))
    }

    /// Computes the chain anew from the rows, by itself: a hash over the one before and the canonical body.
    pub fn chain(&self, case: CaseId) -> Result<usize, String> {
        let rows = self.rows(&format!("SELECT seq, body, hash FROM event WHERE case_id = '{case}' ORDER BY seq"));
        let mut head = sha256(case.to_string().as_bytes());
        for (row, seq) in rows.iter().zip(1i64..) {
            let (number, body, hash): (i64, String, String) =
                (row.try_get_by_index(0).expect("seq"), row.try_get_by_index(1).expect("body"), row.try_get_by_index(2).expect("hash"));
            let body: Json = serde_json::from_str(&body).map_err(|_| format!("event {seq} is no JSON"))?;
            head = sha256(format!("{head}\n{}", canonical_json(&body).map_err(|_| format!("event {seq} has no canonical form"))?).as_bytes());
            if number != seq || body["seq"] != json!(seq) {
                return Err(format!("event {seq} is numbered {number}"));
            }
            if head != hash {
                return Err(format!("event {seq} has another hash"));
            }
        }
        let (stored, version) = self.row_head(case);
        if stored != head || version != rows.len() as u64 {
            return Err("the head of the row is another".to_owned());
        }
        Ok(rows.len())
    }

    /// The case folded by somebody who holds nothing in memory.
    pub fn folded_again(&self, case: CaseId) -> Case {
        let another = self.another();
        let (loaded, _) = self.wait(another.read(case)).expect("the case is read");
        loaded.case.clone()
    }

    /// Everything in the database as bytes: the raw files of SQLite, every column of PostgreSQL.
    pub fn raw(&self) -> Vec<u8> {
        match self.home {
            Home::Sqlite(folder) => {
                let path = self.url.trim_start_matches("sqlite:");
                let mut bytes = fs::read(path).expect("the database file");
                bytes.extend(fs::read(format!("{path}-wal")).unwrap_or_default());
                assert!(folder.path().is_dir() && bytes.len() > 100_000, "the files hold too little to be the database");
                bytes
            }
            Home::Postgres { .. } => tables()
                .iter()
                .flat_map(|t| self.rows(&format!("SELECT t::text FROM {t} t")))
                .flat_map(|row| row.try_get_by_index::<String>(0).expect("a row as text").into_bytes())
                .collect(),
        }
    }
}

/// Whether bytes hold a text, plain, or in hexadecimal as PostgreSQL shows bytes.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
    [text.as_bytes(), hex.as_bytes()].iter().any(|needle| bytes.windows(needle.len()).any(|w| w == *needle))
}

/// What changed between two counts, for people.
pub fn changed<'t>(before: &BTreeMap<&'t str, String>, after: &BTreeMap<&'t str, String>) -> Vec<&'t str> {
    before.iter().filter(|(table, n)| after.get(*table) != Some(n)).map(|(table, _)| *table).collect()
}

pub fn codes(refusals: &Refusals) -> Vec<Code> {
    refusals.iter().map(|r| r.code).collect()
}

pub fn refused(result: Result<Committed, SubmitError>) -> Vec<Code> {
    match result {
        Err(SubmitError::Refused(refusals)) => codes(&refusals),
        Err(other) => panic!("no refusal, but: {other}"),
        Ok(_) => panic!("accepted"),
    }
}

/// An event without ids, digests and numbers: type, transition, states and legal time.
pub fn outline(event: &Event) -> String {
    let ty = serde_json::to_value(&event.what).expect("an event is written")["type"].to_string();
    let legal = event.legal_at;
    match &event.what {
        What::Moved(m) => format!("{legal} {}.{}: {:?} -> {}", m.kind, m.transition, m.from, m.to),
        What::DeadlineFired { run, last_day, moved, .. } => format!("{legal} {ty} {} {} {last_day} {moved}", run.deadline, run.nth),
        What::DeadlineWarned { run, before, last_day, .. } => format!("{legal} {ty} {} {before} {last_day}", run.deadline),
        _ => format!("{legal} {ty}"),
    }
}

pub fn outlines(events: &[Event]) -> Vec<String> {
    events.iter().map(outline).collect()
}

/// The parts of two cases that differ, by name.
pub fn differing(a: &Case, b: &Case) -> Vec<&'static str> {
    let parts = |c: &Case| {
        [
            ("id", format!("{:?}", c.id)),
            ("workflow", c.workflow.clone()),
            ("under", format!("{:?}", c.under)),
            ("version", c.version.to_string()),
            ("facts", format!("{:?}", c.facts)),
            ("proceedings", format!("{:?}", c.proceedings)),
            ("people", format!("{:?}", c.people)),
            ("files", format!("{:?}", c.files)),
            ("seats", format!("{:?}", c.seats)),
            ("consents", format!("{:?}", c.consents)),
            ("unserved", format!("{:?}", c.unserved)),
            ("fired", format!("{:?}", c.fired)),
            ("warned", format!("{:?}", c.warned)),
            ("vault", format!("{:?}", c.vault)),
            ("opened_at", format!("{:?}", c.opened_at)),
        ]
    };
    parts(a).into_iter().zip(parts(b)).filter(|((_, x), (_, y))| x != y).map(|((name, _), _)| name).collect()
}

/// The one door, as scenarios use it.
pub struct EngineDoor<'s, 'h> {
    pub stage: &'s Stage<'h>,
    pub prefix: String,
}

impl Door for EngineDoor<'_, '_> {
    type Error = SubmitError;

    fn submit(&mut self, step: Step) -> Result<Result<Played, Refusals>, SubmitError> {
        let stage = self.stage;
        stage.clock.0.store(step.now.timestamp_millis(), Ordering::SeqCst);
        let workflow = step.case.is_none().then(|| "medical-dispute".to_owned());
        let key = Some(format!("{}{}", self.prefix, step.key));
        let request = Request { case: step.case, workflow, me: step.me, command: step.command, key, expected: None, file: step.file };
        stage.wait(async { played(&stage.engine, &stage.accounts, stage.engine.submit(request).await).await })
    }

    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, SubmitError> {
        self.stage.wait(permitted(&self.stage.engine, &self.stage.accounts, case, now, me))
    }
}

impl<'h> Stage<'h> {
    /// Plays a scenario through the one door; each step must go as the scenario says.
    pub fn play(&self, scenario: &Scenario, prefix: &str) -> CaseId {
        let mut player = Player::new(scenario, &texts().shipped, &texts().cast);
        let mut door = EngineDoor { stage: self, prefix: prefix.to_owned() };
        while let Some(step) = player.step(&mut door) {
            let report = step.unwrap_or_else(|fault| panic!("{fault}"));
            assert!(report.failures.is_empty(), "{}, step {}: {:?}", scenario.scenario, report.number, report.failures);
        }
        player.case().expect("the scenario opens a case")
    }
}
