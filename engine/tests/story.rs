//! One story on each database: the one door, what it writes, and what it never does. Each chapter is told on SQLite, in
//! a file, and on PostgreSQL, in a throw-away cluster.
//!
//! Where the server's programs are missing, the PostgreSQL half is left out with a loud line; under `CI` that is a
//! failure. A failure names chapters, tables and event types, never what a value holds.

use chrono::{DateTime, FixedOffset};
use heyi_engine::calendar::Calendar;
use heyi_engine::case::consequences::consequences;
use heyi_engine::case::decide::Command;
use heyi_engine::case::event::{Event, What};
use heyi_engine::case::options::allowed;
use heyi_engine::case::refusal::{Code, Refusals};
use heyi_engine::case::{Account, Case, Outside, Policy, sha256};
use heyi_engine::definition::{self, Definition};
use heyi_engine::ids::{CaseId, LegalTime};
use heyi_engine::library::Library;
use heyi_engine::scenario::{Cast, Door, MemoryDoor, Played, Player, Request as Step, Scenario};
use heyi_engine::store::accounts::Token;
use heyi_engine::store::outbox::{Attempt, LEASE_SECONDS};
use heyi_engine::store::seal::SealKey;
use heyi_engine::store::views::Worklist;
use heyi_engine::store::{Store, StoreError};
use heyi_engine::submit::{Clock, Committed, Engine, Request, SubmitError};
use heyi_engine::value::canonical_json;
use indexmap::IndexMap;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;

// ---------------------------------------------------------------------------------------------------------------------
// The texts.

struct Texts {
    shipped: Definition,
    tiny: Definition,
    calendar: Calendar,
    cast: IndexMap<String, Account>,
    scenarios: Vec<Scenario>,
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn texts() -> &'static Texts {
    static TEXTS: OnceLock<Texts> = OnceLock::new();
    TEXTS.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = here.join("../workflows/medical-dispute");
        let shipped = definition::load(&read(folder.join("workflow.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let tiny = definition::load(&read(here.join("tests/data/broken/good.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let calendar = Calendar::parse(&read(here.join("../workflows/calendars/china.yaml"))).expect("the shipped calendar is good");
        let mut cast = Cast::parse(&read(folder.join("cast.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}")).accounts();
        for (name, account) in Cast::of(&tiny).accounts() {
            cast.entry(name).or_insert(account);
        }
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder.join("scenarios")).expect("a folder can be read").map(|e| e.expect("a folder can be read").path()).collect();
        files.sort();
        let scenarios = files.into_iter().map(|f| Scenario::parse(&read(f), &shipped).unwrap_or_else(|mistakes| panic!("{mistakes}"))).collect();
        Texts { shipped, tiny, calendar, cast, scenarios }
    })
}

fn scenario(name: &str) -> &'static Scenario {
    texts().scenarios.iter().find(|s| s.scenario == name).unwrap_or_else(|| panic!("there is no scenario {name}"))
}

/// The beginning of a scenario, up to the first step that does `action` and is not meant to be refused.
fn beginning(name: &str, action: &str) -> Scenario {
    let whole = scenario(name);
    let meant = |e: &Option<heyi_engine::scenario::file::Expect>| e.as_ref().is_none_or(|e| e.refused.is_none());
    let last =
        whole.steps.iter().position(|s| s.do_.as_deref() == Some(action) && meant(&s.expect)).unwrap_or_else(|| panic!("{name} never does {action}"));
    Scenario { steps: whole.steps[..=last].to_vec(), ..whole.clone() }
}

// ---------------------------------------------------------------------------------------------------------------------
// The databases.

/// A throw-away PostgreSQL cluster; stopped and removed when dropped.
struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
    /// Hash partitions of each new database; none where tables stay whole.
    parts: Option<u32>,
}

impl Cluster {
    /// The folder of the server's programs, the newest version first.
    fn programs() -> Option<PathBuf> {
        let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .flatten()
            .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
            .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("pg_ctl").is_file())
            .collect();
        found.sort();
        found.pop().map(|(_, bin)| bin)
    }

    fn root() -> bool {
        Process::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
    }

    /// A program of the server; it refuses to run as root.
    fn program(&self, name: &str) -> Process {
        let mut process = if Self::root() {
            let mut setpriv = Process::new("setpriv");
            setpriv.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(self.bin.join(name));
            setpriv
        } else {
            Process::new(self.bin.join(name))
        };
        // The server inherits what it is started with: a pipe would never end.
        process.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        process
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    fn start() -> Option<Self> {
        let bin = Self::programs()?;
        let folder = tempfile::Builder::new().prefix("heyi-pg-").tempdir_in("/tmp").expect("a folder for the cluster");
        if Self::root() {
            assert!(Process::new("chown").arg("postgres:postgres").arg(folder.path()).status().is_ok_and(|s| s.success()), "chown");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let cluster = Self { folder, bin, port, parts: None };
        let data = cluster.folder.path().join("data");
        let made = cluster
            .program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .status();
        assert!(made.is_ok_and(|s| s.success()), "initdb failed");
        let options = format!("-k {} -c listen_addresses=127.0.0.1 -p {port}", cluster.folder.path().display());
        let started = cluster
            .program("pg_ctl")
            .arg("-D")
            .arg(&data)
            .arg("-l")
            .arg(cluster.folder.path().join("log"))
            .args(["-w", "-o", &options, "start"])
            .status();
        assert!(started.is_ok_and(|s| s.success()), "the server did not start:\n{}", cluster.log());
        Some(cluster)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let _ = self.program("pg_ctl").arg("-D").arg(data).args(["-m", "immediate", "-w", "stop"]).status();
    }
}

/// Where the story is told.
enum Home {
    Sqlite(tempfile::TempDir),
    Postgres(Cluster),
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Home {
    /// The address of a database that nobody has used.
    fn fresh(&self, rt: &Runtime) -> String {
        let name = format!("story_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join(format!("{name}.db")).display()),
            Self::Postgres(cluster) => {
                rt.block_on(async {
                    let admin = Database::connect(cluster.url("postgres")).await.expect("the server answers");
                    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database is made");
                    admin.close().await.expect("the connection is closed");
                    if let Some(parts) = cluster.parts {
                        let store = Store::connect(&cluster.url(&name)).await.expect("the database is good");
                        store.spread(parts).await.expect("the tables are spread");
                    }
                });
                cluster.url(&name)
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The stage: an engine over a fresh database, and a clock that the test moves.

struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).expect("a time")
    }
}

impl Moved {
    fn set(&self, at: &str) {
        let at = chrono::DateTime::parse_from_rfc3339(at).expect("a time");
        self.0.store(at.timestamp_millis(), Ordering::SeqCst);
    }
}

struct Stage<'h> {
    home: &'h Home,
    rt: Runtime,
    url: String,
    master: SealKey,
    clock: Arc<Moved>,
    policy: BTreeMap<String, String>,
    engine: Engine,
    accounts: Vec<Account>,
}

/// Every table of a case or of the installation.
const TABLES: [&str; 20] = [
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
];
/// The table that `work` items stand in, apart because the list above is sorted by hand.
const WORK: &str = "work";

fn tables() -> Vec<&'static str> {
    TABLES.into_iter().chain([WORK]).collect()
}

async fn engine_on(url: &str, master: &SealKey, clock: &Arc<Moved>, policy: &BTreeMap<String, String>) -> Engine {
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
    fn new(home: &'h Home) -> Self {
        Self::under(home, &BTreeMap::new())
    }

    fn under(home: &'h Home, policy: &BTreeMap<String, String>) -> Self {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
        let url = home.fresh(&rt);
        let master = SealKey::generate();
        let clock = Arc::new(Moved(AtomicI64::new(0)));
        clock.set("2026-03-02T09:00:00+08:00");
        let engine = rt.block_on(engine_on(&url, &master, &clock, policy));
        Self { home, rt, url, master, clock, policy: policy.clone(), engine, accounts: texts().cast.values().cloned().collect() }
    }

    /// Another process on the same database: its own pool, its own cache, its own lock.
    fn another(&self) -> Engine {
        self.rt.block_on(engine_on(&self.url, &self.master, &self.clock, &self.policy))
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.rt.block_on(future)
    }

    fn db(&self) -> &DatabaseConnection {
        self.engine.store().db()
    }

    fn run(&self, sql: &str) -> u64 {
        self.wait(self.db().execute_unprepared(sql)).unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
    }

    fn rows(&self, sql: &str) -> Vec<sea_orm::QueryResult> {
        let statement = Statement::from_string(self.db().get_database_backend(), sql.to_owned());
        self.wait(self.db().query_all_raw(statement)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn one(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        let row = rows.first().unwrap_or_else(|| panic!("{sql}: no row"));
        row.try_get_by_index::<String>(0)
            .or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string()))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// How many rows each table holds.
    fn counts(&self) -> BTreeMap<&'static str, String> {
        tables().into_iter().map(|t| (t, self.one(&format!("SELECT COUNT(*) FROM {t}")))).collect()
    }

    /// A digest of everything that a case's tables hold.
    fn contents(&self) -> BTreeMap<&'static str, String> {
        let postgres = matches!(self.home, Home::Postgres(_));
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

    fn me(&self, name: &str) -> Account {
        texts().cast[name].clone()
    }

    fn request(&self, me: &str, case: Option<CaseId>, action: &str, input: Json) -> Request {
        let workflow = case.is_none().then(|| "tiny".to_owned());
        Request { case, workflow, me: self.me(me), command: Some(Command::new(action, input)), key: None, expected: None, file: None }
    }

    fn submit(&self, request: Request) -> Result<Committed, SubmitError> {
        self.wait(self.engine.submit(request))
    }

    /// Opens a case of the tiny workflow.
    fn open(&self, story: &str) -> CaseId {
        let done = self.submit(self.request("clerk", None, "case.open", json!({"amount": "10.00", "story": story}))).expect("a case is opened");
        done.loaded.case.id.expect("it has an id")
    }

    fn passes(&self, case: CaseId) -> Request {
        Request { command: None, ..self.request("clerk", Some(case), "", json!({})) }
    }

    fn events(&self, case: CaseId) -> Vec<(Event, String)> {
        self.wait(self.engine.store().events(case, 0, 100_000)).expect("the events are read")
    }

    fn row_head(&self, case: CaseId) -> (String, u64) {
        let rows = self.rows(&format!("SELECT head, version FROM case_row WHERE id = '{case}'"));
        (rows[0].try_get_by_index(0).expect("a head"), u64::try_from(rows[0].try_get_by_index::<i64>(1).expect("a version")).expect("a version"))
    }

    /// Computes the chain anew from the rows, by itself: a hash over the one before and the canonical body.
    fn chain(&self, case: CaseId) -> Result<usize, String> {
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
    fn folded_again(&self, case: CaseId) -> Case {
        let another = self.another();
        let (loaded, _) = self.wait(another.read(case)).expect("the case is read");
        loaded.case.clone()
    }

    /// Everything in the database as bytes: the raw files of SQLite, every column of PostgreSQL.
    fn raw(&self) -> Vec<u8> {
        match self.home {
            Home::Sqlite(folder) => {
                let path = self.url.trim_start_matches("sqlite:");
                let mut bytes = fs::read(path).expect("the database file");
                bytes.extend(fs::read(format!("{path}-wal")).unwrap_or_default());
                assert!(folder.path().is_dir() && bytes.len() > 100_000, "the files hold too little to be the database");
                bytes
            }
            Home::Postgres(_) => tables()
                .iter()
                .flat_map(|t| self.rows(&format!("SELECT t::text FROM {t} t")))
                .flat_map(|row| row.try_get_by_index::<String>(0).expect("a row as text").into_bytes())
                .collect(),
        }
    }
}

/// Whether bytes hold a text, plain, or in hexadecimal as PostgreSQL shows bytes.
fn holds(bytes: &[u8], text: &str) -> bool {
    let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
    [text.as_bytes(), hex.as_bytes()].iter().any(|needle| bytes.windows(needle.len()).any(|w| w == *needle))
}

/// What changed between two counts, for people.
fn changed<'t>(before: &BTreeMap<&'t str, String>, after: &BTreeMap<&'t str, String>) -> Vec<&'t str> {
    before.iter().filter(|(table, n)| after.get(*table) != Some(n)).map(|(table, _)| *table).collect()
}

fn codes(refusals: &Refusals) -> Vec<Code> {
    refusals.iter().map(|r| r.code).collect()
}

fn refused(result: Result<Committed, SubmitError>) -> Vec<Code> {
    match result {
        Err(SubmitError::Refused(refusals)) => codes(&refusals),
        Err(other) => panic!("no refusal, but: {other}"),
        Ok(_) => panic!("accepted"),
    }
}

/// An event without ids, digests and numbers: type, transition, states and legal time.
fn outline(event: &Event) -> String {
    let ty = serde_json::to_value(&event.what).expect("an event is written")["type"].to_string();
    let legal = event.legal_at;
    match &event.what {
        What::Moved(m) => format!("{legal} {}.{}: {:?} -> {}", m.kind, m.transition, m.from, m.to),
        What::DeadlineFired { run, last_day, moved, .. } => format!("{legal} {ty} {} {} {last_day} {moved}", run.deadline, run.nth),
        What::DeadlineWarned { run, before, last_day, .. } => format!("{legal} {ty} {} {before} {last_day}", run.deadline),
        _ => format!("{legal} {ty}"),
    }
}

fn outlines(events: &[Event]) -> Vec<String> {
    events.iter().map(outline).collect()
}

/// The parts of two cases that differ, by name.
fn differing(a: &Case, b: &Case) -> Vec<&'static str> {
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
struct EngineDoor<'s, 'h> {
    stage: &'s Stage<'h>,
    prefix: String,
}

impl Door for EngineDoor<'_, '_> {
    type Error = SubmitError;

    fn submit(&mut self, step: Step) -> Result<Result<Played, Refusals>, SubmitError> {
        let stage = self.stage;
        stage.clock.0.store(step.now.timestamp_millis(), Ordering::SeqCst);
        let workflow = step.case.is_none().then(|| "medical-dispute".to_owned());
        let key = Some(format!("{}{}", self.prefix, step.key));
        let request = Request { case: step.case, workflow, me: step.me, command: step.command, key, expected: None, file: step.file };
        let answer = stage.wait(async {
            let committed = stage.engine.submit(request).await?;
            let id = committed.loaded.case.id.ok_or(SubmitError::NoCase)?;
            let (_, rules) = stage.engine.read(id).await?;
            Ok::<_, SubmitError>((committed, rules))
        });
        match answer {
            Ok((committed, rules)) => {
                let case = committed.loaded.case.clone();
                let now = consequences(rules.rules(), &case, &[], &stage.accounts);
                Ok(Ok(Played { case, events: committed.events, notices: committed.notices, deadlines: now.deadlines, work: now.work }))
            }
            Err(SubmitError::Refused(refusals)) => Ok(Err(refusals)),
            Err(error) => Err(error),
        }
    }

    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, SubmitError> {
        let id = case.id.ok_or(SubmitError::NoCase)?;
        let (_, rules) = self.stage.wait(self.stage.engine.read(id))?;
        let outside = Outside { now, seed: [0; 32], me, accounts: &self.stage.accounts, printable: &|_| true, log: &[] };
        Ok(allowed(rules.rules(), case, &outside))
    }
}

impl<'h> Stage<'h> {
    /// Plays a scenario through the one door; each step must go as the scenario says.
    fn play(&self, scenario: &Scenario, prefix: &str) -> CaseId {
        let mut player = Player::new(scenario, &texts().shipped, &texts().cast);
        let mut door = EngineDoor { stage: self, prefix: prefix.to_owned() };
        while let Some(step) = player.step(&mut door) {
            let report = step.unwrap_or_else(|fault| panic!("{fault}"));
            assert!(report.failures.is_empty(), "{}, step {}: {:?}", scenario.scenario, report.number, report.failures);
        }
        player.case().expect("the scenario opens a case")
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The chapters.

/// Played through the database and played in memory, a scenario leads to the same events, step by step.
fn every_scenario_goes_as_it_does_in_memory(home: &Home) {
    let mut by_policy: BTreeMap<String, Stage> = BTreeMap::new();
    let mut steps = 0;
    for scenario in &texts().scenarios {
        let policy = Policy::of(&texts().shipped, &scenario.policy).expect("the policy is good");
        let stage = by_policy.entry(policy.canonical()).or_insert_with(|| Stage::under(home, &scenario.policy));
        let mut memory = MemoryDoor::new(&texts().shipped, policy, &texts().calendar, stage.accounts.clone());
        let mut door = EngineDoor { stage, prefix: String::new() };
        let (mut here, mut there) = (Player::new(scenario, &texts().shipped, &texts().cast), Player::new(scenario, &texts().shipped, &texts().cast));
        while let (Some(stored), Some(pure)) = (here.step(&mut door), there.step(&mut memory)) {
            let (stored, pure) = (stored.unwrap_or_else(|fault| panic!("{fault}")), pure.unwrap_or_else(|fault| panic!("{fault}")));
            let at = format!("{}, step {}", scenario.scenario, stored.number);
            match (&stored.outcome, &pure.outcome) {
                (Ok(a), Ok(b)) => assert_eq!(outlines(&a.events), outlines(&b.events), "{at}"),
                (Err(a), Err(b)) => assert_eq!(codes(a), codes(b), "{at}"),
                _ => panic!("{at}: accepted by the one and refused by the other"),
            }
            // One database counts its numbers on over all plays; a play expects those of its own.
            let failures: Vec<&String> = stored.failures.iter().filter(|f| !f.starts_with("the number of ")).collect();
            assert!(failures.is_empty(), "{at}: {failures:?}");
            steps += 1;
        }
        let case = here.case().expect("a case was opened");
        assert_eq!(stage.chain(case), Ok(stage.events(case).len()), "{}", scenario.scenario);
        // Events as stored, clock and all, are those of memory, folded: same states, same legal times.
        let timeline = |c: &Case| {
            c.proceedings
                .values()
                .map(|p| (p.kind.clone(), p.timeline.iter().map(|m| (m.state.clone(), m.legal_at)).collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        };
        let (cached, _) = stage.wait(stage.engine.read(case)).expect("the case is read");
        assert_eq!(timeline(&cached.case), timeline(memory.case()), "{}", scenario.scenario);
        let differ = differing(&cached.case, &stage.folded_again(case));
        assert!(differ.is_empty(), "{}: folded again, these differ: {differ:?}", scenario.scenario);
    }
    println!("    {} scenarios, {steps} steps", texts().scenarios.len());
    assert!(steps > 300);
}

/// Each stored hash follows from the rows; a changed body, a lost event and a swapped head are noticed. Values can be
/// held against what commits to them.
fn the_chain_holds_and_a_changed_row_breaks_it(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.play(scenario("wang-village-clinic"), "");
    let events = stage.chain(case).expect("the chain holds");
    assert!(events > 30);
    let (loaded, _) = stage.wait(stage.engine.read(case)).expect("the case is read");
    let mut opened = 0;
    let (events, _): (Vec<Event>, Vec<String>) = stage.events(case).into_iter().unzip();
    for event in &events {
        let set = match &event.what {
            What::Moved(m) => m.set.as_slice(),
            What::Recorded { set } | What::PersonRecorded { set, .. } => set,
            _ => continue,
        };
        for one in set {
            let rows =
                stage.rows(&format!("SELECT salt FROM case_value WHERE case_id = '{case}' AND seq = {} AND number = {}", one.value.0, one.value.1));
            let mut bytes: Vec<u8> = rows[0].try_get_by_index(0).expect("a salt");
            bytes.extend(canonical_json(&loaded.case.vault[&one.value].to_json()).expect("a canonical form").as_bytes());
            assert_eq!(sha256(&bytes), one.commitment, "event {}, {}: the commitment does not open", event.seq, one.name);
            opened += 1;
        }
    }
    assert!(opened > 20, "only {opened} commitments");
    // Weakened twins: a date in a body, the last event, the head.
    let body = stage.one(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = 5"));
    let forged = body.replacen("2026-", "2025-", 1);
    assert_ne!(body, forged);
    stage.run(&format!("UPDATE event SET body = '{}' WHERE case_id = '{case}' AND seq = 5", forged.replace('\'', "''")));
    assert_eq!(stage.chain(case), Err("event 5 has another hash".to_owned()));
    stage.run(&format!("UPDATE event SET body = '{}' WHERE case_id = '{case}' AND seq = 5", body.replace('\'', "''")));
    assert!(stage.chain(case).is_ok());
    stage.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = {}", events.len()));
    assert_eq!(stage.chain(case), Err("the head of the row is another".to_owned()));
}

fn a_key_has_exactly_one_answer(home: &Home) {
    let stage = Stage::new(home);
    let keyed = |request: Request, key: &str| Request { key: Some(key.to_owned()), ..request };
    let opening = || keyed(stage.request("clerk", None, "case.open", json!({"amount": "1.00"})), "k1");
    let first = stage.submit(opening()).expect("a case is opened");
    let again = stage.submit(opening()).expect("it is told again");
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.loaded.case.id, again.loaded.case.id);
    assert_eq!(first.events, again.events);
    let case = first.loaded.case.id.expect("an id");
    let count = || keyed(stage.request("clerk", Some(case), "matter.count", json!({})), "k2");
    let first = stage.submit(count()).expect("it is counted");
    // In between the case goes on; the answer stays what it was.
    stage.submit(stage.request("clerk", Some(case), "matter.count", json!({}))).expect("it is counted");
    let before = stage.contents();
    for engine in [stage.engine.clone(), stage.another()] {
        let before = stage.contents();
        let again = stage.wait(engine.submit(count())).expect("it is told again");
        assert!(again.repeated);
        assert_eq!(first.events, again.events);
        assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    }
    // Another body, another action, another input: no answer, and nothing written.
    for other in
        [stage.request("clerk", Some(case), "matter.drop", json!({})), stage.request("clerk", Some(case), "case.record", json!({"urgent": true}))]
    {
        assert!(matches!(stage.submit(keyed(other, "k2")), Err(SubmitError::KeyReused)));
    }
    assert!(matches!(stage.submit(keyed(stage.request("clerk", None, "case.open", json!({"amount": "2.00"})), "k1")), Err(SubmitError::KeyReused)));
    // The key is each account's own: somebody else's is another.
    let mine = stage.submit(keyed(stage.request("asker", Some(case), "matter.count", json!({})), "k2"));
    assert_eq!(refused(mine), [Code::Party], "the key of another account answered");
    // The other process came with its accounts, and that is counted.
    let account = ["account", "meta", "source"];
    let rest: Vec<&str> = changed(&before, &stage.contents()).into_iter().filter(|t| !account.contains(t)).collect();
    assert_eq!(rest, Vec::<&str>::new());
    // A refused command does not use up its key.
    let hang = keyed(stage.request("clerk", Some(case), "matter.hang", json!({})), "k3");
    assert_eq!(refused(stage.submit(hang)), [Code::WouldPark]);
    let done = stage.submit(keyed(stage.request("clerk", Some(case), "matter.count", json!({})), "k3")).expect("the key is still free");
    assert!(!done.repeated);
}

/// Many ask at once with one key, of two processes: one case, one set of events.
fn a_key_has_one_answer_when_many_ask_at_once(home: &Home) {
    let stage = Stage::new(home);
    let another = stage.another();
    let case = stage.open("");
    let count = || Request { key: Some("once".to_owned()), ..stage.request("clerk", Some(case), "matter.count", json!({})) };
    let answers = stage.wait(async {
        let tasks: Vec<_> = (0..12)
            .map(|n| {
                let e = if n % 2 == 0 { stage.engine.clone() } else { another.clone() };
                let r = count();
                tokio::spawn(async move { e.submit(r).await })
            })
            .collect();
        let mut out = Vec::new();
        for task in tasks {
            out.push(task.await.expect("a task ends").expect("it is answered"));
        }
        out
    });
    assert_eq!(answers.iter().filter(|a| !a.repeated).count(), 1);
    assert!(answers.iter().all(|a| a.events == answers[0].events));
    assert_eq!(stage.one(&format!("SELECT COUNT(*) FROM event WHERE case_id = '{case}' AND body LIKE '%\"count\"%'")), "1");
    // Openings: in one process everybody gets the answer. Of two processes, the slower may find the key taken at the
    // very end; it is told an error, has written nothing, and gets the answer when it asks again.
    let opening = |key: &str| Request { key: Some(key.to_owned()), ..stage.request("clerk", None, "case.open", json!({})) };
    for (key, engines) in [("one process", [stage.engine.clone(), stage.engine.clone()]), ("two processes", [stage.engine.clone(), another.clone()])]
    {
        let before: u64 = stage.one("SELECT COUNT(*) FROM case_row").parse().expect("a number");
        let answers: Vec<Result<Committed, SubmitError>> = stage.wait(async {
            let tasks: Vec<_> = (0..8)
                .map(|n| {
                    let e = engines[n % 2].clone();
                    let r = opening(key);
                    tokio::spawn(async move { e.submit(r).await })
                })
                .collect();
            let mut out = Vec::new();
            for task in tasks {
                out.push(task.await.expect("a task ends"));
            }
            out
        });
        let ids: BTreeSet<CaseId> = answers.iter().filter_map(|a| a.as_ref().ok()?.loaded.case.id).collect();
        let errors: Vec<String> = answers.iter().filter_map(|a| a.as_ref().err().map(ToString::to_string)).collect();
        println!("    8 openings with one key, {key}: {} answered, {} errors", 8 - errors.len(), errors.len());
        assert_eq!(ids.len(), 1);
        assert_eq!(stage.one("SELECT COUNT(*) FROM case_row"), (before + 1).to_string());
        assert!(key == "two processes" || errors.is_empty(), "{errors:?}");
        let again = stage.submit(opening(key)).expect("it is answered");
        assert!(again.repeated && ids.contains(&again.loaded.case.id.expect("an id")));
    }
}

fn of_two_who_saw_the_same_version_one_wins(home: &Home) {
    let stage = Stage::new(home);
    let another = stage.another();
    let case = stage.open("");
    let seen = stage.row_head(case).1;
    let wrong = Request { expected: Some(seen + 7), ..stage.request("clerk", Some(case), "matter.count", json!({})) };
    assert!(matches!(stage.submit(wrong), Err(SubmitError::Version { current }) if current == seen));
    for round in 0..6 {
        let seen = stage.row_head(case).1;
        // In one process, then in two.
        let engines = if round % 2 == 0 { [stage.engine.clone(), stage.engine.clone()] } else { [stage.engine.clone(), another.clone()] };
        let answers = stage.wait(async {
            let mut tasks = Vec::new();
            for n in 0..6 {
                let engine = engines[n % 2].clone();
                let request = Request { expected: Some(seen), ..stage.request("clerk", Some(case), "matter.count", json!({})) };
                tasks.push(tokio::spawn(async move { engine.submit(request).await }));
            }
            let mut out = Vec::new();
            for task in tasks {
                out.push(task.await.expect("a task ends"));
            }
            out
        });
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1, "round {round}");
        for lost in answers.iter().filter_map(|a| a.as_ref().err()) {
            assert!(matches!(lost, SubmitError::Version { current } if *current == seen + 1), "round {round}: {lost}");
        }
    }
    assert!(stage.chain(case).is_ok());
}

/// Numbers have no gaps and no doubles: many cases at once, in two processes, with refused steps in between. `hang`
/// draws its number before the commit refuses it, so a number that is not given back would show.
fn numbers_have_no_gaps(home: &Home) {
    let stage = Stage::new(home);
    let another = stage.another();
    let cases: Vec<CaseId> = (0..6).map(|_| stage.open("")).collect();
    let answers = stage.wait(async {
        let mut tasks = Vec::new();
        for n in 0..36 {
            let engine = if n % 2 == 0 { stage.engine.clone() } else { another.clone() };
            let action = if n % 3 == 2 { "matter.hang" } else { "matter.count" };
            let request = stage.request("clerk", Some(cases[n % cases.len()]), action, json!({}));
            tasks.push(tokio::spawn(async move { engine.submit(request).await }));
        }
        let mut out = Vec::new();
        for task in tasks {
            out.push(task.await.expect("a task ends"));
        }
        out
    });
    let (done, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let numbers = |done: &Committed| {
        let drawn = |e: &Event| if let What::Moved(m) = &e.what { m.number.as_ref().map(|n| (n.seq, n.text.clone())) } else { None };
        done.events.iter().filter_map(drawn).collect::<Vec<_>>()
    };
    let mut drawn: Vec<(u32, String)> = done.iter().flat_map(|d| numbers(d.as_ref().expect("it was done"))).collect();
    drawn.sort();
    assert_eq!(drawn, (1..=24).map(|n| (n, format!("2026-{n}"))).collect::<Vec<_>>());
    assert_eq!(refusals.len(), 12);
    refusals.into_iter().for_each(|r| assert_eq!(refused(r), [Code::WouldPark]));
    // What is stored carries the numbers that were answered, and the next is the next; a new year begins anew.
    assert_eq!(stage.one("SELECT last FROM number WHERE series = 'matter' AND year = 2026"), "24");
    stage.clock.set("2027-01-04T09:00:00+08:00");
    let next = stage.submit(stage.request("clerk", Some(cases[0]), "matter.count", json!({}))).expect("it is counted");
    assert_eq!(numbers(&next), [(1, "2027-1".to_owned())]);
    for case in cases {
        let differ = differing(&stage.wait(stage.engine.read(case)).expect("the case is read").0.case, &stage.folded_again(case));
        assert!(differ.is_empty() && stage.chain(case).is_ok(), "{differ:?}");
    }
}

fn a_refused_command_writes_nothing(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.open("");
    let hole = CaseId::new(heyi_engine::ids::uuid_v7(0, &[9; 16]));
    let before = (stage.counts(), stage.contents());
    let file = heyi_engine::scenario::FileToStore {
        id: "019b0000-0000-7000-8000-0000000000f1".parse().expect("an id"),
        name: "a.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: vec![1],
    };
    let keyed = |r: Request| Request { key: Some("refused".to_owned()), file: Some(file.clone()), ..r };
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "matter.hang", json!({}))))), [Code::WouldPark]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "matter.ask", json!({"rounds": 1}))))), [Code::Seat]);
    assert_eq!(refused(stage.submit(keyed(stage.request("court", Some(case), "matter.count", json!({}))))), [Code::Role]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "matter.cuont", json!({}))))), [Code::UnknownAction]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "case.record", json!({"amount": "much"}))))), [Code::Input]);
    assert_eq!(refused(stage.submit(keyed(stage.request("asker", None, "case.open", json!({}))))), [Code::Role]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", None, "matter.begin", json!({}))))), [Code::Proceeding]);
    let wrong = Request { expected: Some(99), ..keyed(stage.request("clerk", Some(case), "matter.count", json!({}))) };
    assert!(matches!(stage.submit(wrong), Err(SubmitError::Version { .. })));
    assert!(matches!(stage.submit(keyed(stage.request("clerk", Some(hole), "matter.count", json!({})))), Err(SubmitError::NoCase)));
    let nowhere = Request { workflow: Some("none".to_owned()), ..keyed(stage.request("clerk", None, "case.open", json!({}))) };
    assert!(matches!(stage.submit(nowhere), Err(SubmitError::NoWorkflow(_))));
    assert_eq!(changed(&before.0, &stage.counts()), Vec::<&str>::new());
    assert_eq!(changed(&before.1, &stage.contents()), Vec::<&str>::new());
    // The comparison has teeth: the same step, accepted, changes these.
    stage.submit(keyed(stage.request("clerk", Some(case), "matter.count", json!({})))).expect("it is counted");
    assert_eq!(changed(&before.0, &stage.counts()), ["answer", "event", "file", "number"]);
    // And the list of tables is whole.
    let all = match home {
        Home::Sqlite(_) => stage
            .rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT IN ('seaql_migrations', 'guard')"),
        Home::Postgres(_) => {
            // A part of a table is no table of its own.
            stage.rows(
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition \
                 AND relname NOT IN ('seaql_migrations', 'guard')",
            )
        }
    };
    let all: BTreeSet<String> = all.iter().map(|r| r.try_get_by_index(0).expect("a name")).collect();
    assert_eq!(all, tables().into_iter().map(str::to_owned).collect());
}

/// Values are ciphertext wherever they come to lie: facts, data of proceedings, people, letters, documents, files.
fn nobody_reads_a_name_in_the_database(home: &Home) {
    let stage = Stage::new(home);
    let played = scenario("tong-cataract");
    let case = stage.play(played, "");
    let raw = stage.raw();
    let mut looked_for = 0;
    for person in played.people.values() {
        for (what, text) in [
            ("name", Some(&person.name)),
            ("email", person.email.as_ref()),
            ("address", person.address.as_ref()),
            ("identity", person.identity.as_ref()),
        ] {
            if let Some(text) = text.filter(|t| t.chars().count() > 1) {
                assert!(!holds(&raw, text), "a person's {what} lies open in the database");
                looked_for += 1;
            }
        }
    }
    let (loaded, _) = stage.wait(stage.engine.read(case)).expect("the case is read");
    for (id, value) in &loaded.case.vault {
        // Words that workflows themselves use, and what is too short to be told from chance, say nothing.
        if let heyi_engine::value::Value::Text(text) = value
            && text.chars().count() > 3
            && !text.is_ascii()
            && !stage.accounts.iter().any(|a| a.name == *text || a.organisation.as_ref() == Some(text))
        {
            assert!(!holds(&raw, text), "the value {id} lies open in the database");
            looked_for += 1;
        }
    }
    assert!(looked_for > 20, "only {looked_for} texts were looked for");
    // The search has teeth: what may be read is found, and so is a name that somebody wrote into a table.
    assert!(holds(&raw, "medical-dispute") && holds(&raw, "mediation_limit"));
    let name = &played.people[0].name;
    stage.wait(stage.engine.store().set_meta("planted", name)).expect("a row is written");
    assert!(holds(&stage.raw(), name), "a planted name was not found");
}

/// Without its key a case loads, and what belonged to people is absent; the chain stays whole.
fn an_erased_case_keeps_its_chain(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.play(&beginning("appraisal-pauses", "mediation.accept"), "");
    let other = stage.open("");
    let full = stage.folded_again(case);
    assert!(!full.vault.is_empty());
    stage.run(&format!("DELETE FROM case_key WHERE case_id = '{case}'"));
    let erased = stage.folded_again(case);
    assert!(erased.vault.is_empty());
    assert_eq!(differing(&full, &erased), ["vault"]);
    assert!(erased.people.keys().all(|p| erased.person_text(*p, "name").is_none()));
    assert!(stage.chain(case).is_ok());
    // The values themselves go too, and nothing else needs them.
    stage.run(&format!("DELETE FROM case_value WHERE case_id = '{case}'"));
    assert_eq!(differing(&erased, &stage.folded_again(case)), Vec::<&str>::new());
    let another = stage.another();
    // What could be done is still answered, and a command is refused as a whole: nothing new is sealed without a key.
    let (_, offers) = stage.wait(another.options(case, &stage.me("director"), "en")).expect("it is answered");
    assert!(!offers.is_empty());
    let before = stage.contents();
    let tried = Request { workflow: None, ..stage.request("director", Some(case), "case.record", json!({"claim": "再记一笔。"})) };
    assert!(matches!(stage.wait(another.submit(tried)), Err(SubmitError::Store(StoreError::Sealed))));
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    // Letters that had not left are given up, those of other cases are not touched.
    let leased = stage.wait(another.store().lease_letters(&stage.master, stage.engine.now(), 1_000)).expect("letters are leased");
    assert!(leased.iter().all(|l| l.case_id != case.to_string()));
    assert_eq!(stage.one(&format!("SELECT COUNT(*) FROM letter WHERE case_id = '{case}' AND state IN ('waiting', 'sending')")), "0");
    assert!(stage.wait(another.read(other)).is_ok());
    // Another installation's key opens nothing.
    let stranger = stage.wait(engine_on(&stage.url, &SealKey::generate(), &stage.clock, &stage.policy));
    assert!(matches!(stage.wait(stranger.read(other)), Err(SubmitError::Store(StoreError::Sealed))));
}

/// Deadlines that fell due while nobody asked: each once, in the order in which they were due, with the legal time at
/// which they were due. A command that comes first lets them pass before it.
fn what_fell_due_while_nobody_asked_happens_once_and_in_order(home: &Home) {
    let stage = Stage::new(home);
    let part = beginning("refusals", "hearing.propose");
    let case = stage.play(&part, "");
    let second = stage.play(&part, "second ");
    let due = |now: &str| {
        stage.clock.set(now);
        stage.wait(stage.engine.store().cases_due(stage.engine.now().timestamp_millis(), 10)).expect("cases are listed")
    };
    assert_eq!(due("2026-04-03T10:00:00+08:00"), Vec::<String>::new());
    let before = stage.contents();
    assert!(stage.submit(stage.passes(case)).expect("time passes").events.is_empty());
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    // The round of assents ends on 13 April and acts after two days of grace, the warnings come before 14 May, the limit acts after two days of grace.
    // A case is listed from the very instant at which its first deadline is due.
    assert_eq!(due("2026-04-15T23:59:59+08:00"), Vec::<String>::new());
    assert_eq!(due("2026-04-16T00:00:00+08:00").len(), 2);
    let listed = due("2026-05-19T08:00:00+08:00");
    assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from([case.to_string(), second.to_string()]));
    let another = stage.another();
    let (one, two) = stage.wait(async {
        let (a, b) = (stage.engine.clone(), another.clone());
        let (x, y) = (stage.passes(case), stage.passes(case));
        let (one, two) = tokio::join!(tokio::spawn(async move { a.submit(x).await }), tokio::spawn(async move { b.submit(y).await }));
        (one.expect("a task ends").expect("time passes"), two.expect("a task ends").expect("time passes"))
    });
    // Two workers woke: between them they did it once.
    let mut all: Vec<Event> = one.events.into_iter().chain(two.events).collect();
    all.sort_by_key(|e| e.seq);
    let clock: Vec<String> = all.iter().filter(|e| matches!(e.what, What::DeadlineFired { .. } | What::DeadlineWarned { .. })).map(outline).collect();
    let names: Vec<&str> = clock.iter().map(|l| l.split(' ').nth(2).expect("a name")).collect();
    // Five warnings (half, four fifths, five, three and one working day before), then the end.
    let limit = ["mediation_limit"; 6];
    assert_eq!(names, ["hearing_proposed_answers"].into_iter().chain(limit).collect::<Vec<_>>(), "{clock:?}");
    let legal: Vec<LegalTime> = all.iter().filter(|e| matches!(e.what, What::DeadlineFired { .. })).map(|e| e.legal_at).collect();
    assert_eq!(legal.iter().map(|l| l.to_string()).collect::<Vec<_>>(), ["2026-04-14T00:00:00+08:00", "2026-05-15T00:00:00+08:00"], "{clock:?}");
    let numbers: Vec<u64> = all.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + numbers.len() as u64).collect::<Vec<_>>(), "an event was written twice or lost");
    let state = stage.folded_again(case);
    assert_eq!(state.root().map(|p| p.state()), Some("lapsed"));
    // A second time is a no-op.
    let before = stage.contents();
    assert!(stage.submit(stage.passes(case)).expect("time passes").events.is_empty());
    assert!(stage.wait(another.submit(stage.passes(case))).expect("time passes").events.is_empty());
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    assert_eq!(due("2026-05-19T08:00:00+08:00"), [second.to_string()]);
    // The other case is first asked for something that the limit forbids: the clock comes first, and is told with it.
    let late = Request { workflow: None, ..stage.request("director", Some(second), "mediation.fail", json!({})) };
    assert_eq!(refused(stage.submit(late)), [Code::Proceeding]);
    assert_eq!(stage.folded_again(second).root().map(|p| p.state()), Some("lapsed"));
    let stored = |case| stage.events(case).into_iter().map(|(e, _)| outline(&e)).collect::<Vec<_>>();
    assert_eq!(stored(case), stored(second), "whether a worker or a command came first made a difference");
    assert!(stage.chain(case).is_ok() && stage.chain(second).is_ok());
}

fn an_expired_lease_is_taken_over_and_the_sleeper_is_fenced_off(home: &Home) {
    let stage = Stage::new(home);
    let _case = stage.play(&beginning("appraisal-pauses", "mediation.accept"), "");
    let store = stage.engine.store().clone();
    let lease = |most| stage.wait(store.lease_letters(&stage.master, stage.engine.now(), most)).expect("letters are leased");
    let mark = |l: &_, attempt: &Attempt| stage.wait(store.mark_letter(l, attempt, stage.engine.now())).expect("it is answered");
    let delivered = Attempt::Delivered { proof: "taken".to_owned() };
    let total: usize = stage.one("SELECT COUNT(*) FROM letter WHERE state = 'waiting'").parse().expect("a number");
    assert!(total >= 3, "only {total} letters wait");
    // Two processes lease at once: nobody gets the other's letters.
    let another = stage.another();
    let (mine, theirs) = stage.wait(async {
        let (a, b) = (store.clone(), another.store().clone());
        let (m, n, now) = (stage.master.clone(), stage.master.clone(), stage.engine.now());
        let (x, y) = tokio::join!(
            tokio::spawn(async move { a.lease_letters(&m, now, 1_000).await }),
            tokio::spawn(async move { b.lease_letters(&n, now, 1_000).await })
        );
        (x.expect("a task ends").expect("letters"), y.expect("a task ends").expect("letters"))
    });
    let ids: BTreeSet<String> = mine.iter().chain(&theirs).map(|l| l.notice.id.clone()).collect();
    assert_eq!((ids.len(), mine.len() + theirs.len()), (total, total));
    let held: Vec<_> = mine.into_iter().chain(theirs).collect();
    assert!(lease(1_000).is_empty(), "a letter on lease was leased again");
    // The first is delivered in time; it never comes back.
    assert!(mark(&held[0], &delivered));
    assert!(!mark(&held[0], &delivered), "it was marked twice");
    // Everybody sleeps past the lease; somebody else takes over.
    let later = stage.engine.now() + chrono::TimeDelta::seconds(LEASE_SECONDS + 1);
    stage.clock.0.store(later.timestamp_millis(), Ordering::SeqCst);
    let taken_over = lease(1_000);
    assert_eq!(taken_over.len(), total - 1);
    assert!(taken_over.iter().all(|l| l.attempts == 1));
    for sleeper in &held[1..] {
        assert!(!mark(sleeper, &delivered), "the sleeper's mark was taken");
        assert!(!mark(sleeper, &Attempt::Permanent { problem: "late".to_owned() }), "the sleeper's mark was taken");
    }
    assert_eq!(stage.one("SELECT COUNT(*) FROM letter WHERE state = 'sent'"), "1");
    // A temporary failure goes back to wait, and not before its time; a permanent one stays.
    assert!(mark(&taken_over[0], &Attempt::Temporary { problem: "busy".to_owned() }));
    assert!(mark(&taken_over[1], &Attempt::Permanent { problem: "no such box".to_owned() }));
    taken_over[2..].iter().for_each(|l| assert!(mark(l, &delivered)));
    assert!(lease(1_000).is_empty());
    let next = stage.wait(store.next_letter_at()).expect("it is answered").expect("one waits");
    stage.clock.0.store(next - 1, Ordering::SeqCst);
    assert!(lease(1_000).is_empty(), "it was tried before its time");
    stage.clock.0.store(next, Ordering::SeqCst);
    let again = lease(1_000);
    assert_eq!((again.len(), again[0].attempts), (1, 2));
    assert!(mark(&again[0], &delivered));
    assert_eq!(stage.wait(store.letters_waiting()).expect("it is answered"), 0);
}

fn a_case_is_found_by_two_characters(home: &Home) {
    let stage = Stage::new(home);
    let first = stage.open("患者欧阳静怡术后感染，要求 Reimbursement");
    let second = stage.open("静脉输液后不适");
    let find = |words: &str, master: &SealKey| -> BTreeSet<String> {
        let ask = Worklist { words: Some(words.to_owned()), limit: 10, ..Worklist::default() };
        stage.wait(stage.engine.store().worklist(master, &ask, None)).expect("it is answered").into_iter().map(|r| r.id).collect()
    };
    let found = |words: &str| find(words, &stage.master);
    let (one, two) = (BTreeSet::from([first.to_string()]), BTreeSet::from([second.to_string()]));
    for words in ["静怡", "欧阳静怡", "欧阳", "感染 静怡", "reimbursement", "术后 REIMBURSEMENT"] {
        assert_eq!(found(words), one, "{words}");
    }
    assert_eq!(found("输液"), two);
    // Both words must occur; a group across words is none; one character, or none, finds nothing.
    for words in ["静怡 输液", "怡欧", "阳怡", "静", "reimburse", "，。", ""] {
        assert_eq!(found(words), BTreeSet::new(), "{words}");
    }
    assert_eq!(find("静怡", &SealKey::generate()), BTreeSet::new(), "the index answers to another key");
    // People are found by name, and not by what tells them apart elsewhere.
    let person = json!({"side": "asker", "name": "慕容复", "email": "murong@family.example", "phone": "13800001111", "identity": "证件九八七"});
    stage.submit(stage.request("clerk", Some(second), "case.person", person)).expect("a person is written down");
    assert_eq!(found("慕容"), two);
    for words in ["murong", "13800001111", "证件", "九八"] {
        assert_eq!(found(words), BTreeSet::new());
    }
}

fn a_worklist_is_turned_page_by_page(home: &Home) {
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
fn a_newer_database_is_refused(home: &Home) {
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
fn what_durability_needs_is_in_force(home: &Home) {
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
        Home::Postgres(_) => {
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
fn one_command_takes_few_statements(home: &Home) {
    let Home::Postgres(cluster) = home else { return };
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
fn what_waits_together_is_written_together(home: &Home) {
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
fn one_that_fails_spoils_nobody_elses_answer(home: &Home) {
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

fn what_is_undone_calls_its_letters_back(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.play(&beginning("corrected-and-rejected", "mediation.ask_correction"), "");
    let states = |kind: &str| {
        let rows = stage.rows(&format!("SELECT state FROM letter WHERE kind = '{kind}'"));
        rows.iter().map(|r| r.try_get_by_index::<String>(0).expect("a state")).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let asked = |stage: &Stage| {
        let asks = |(e, _): &&(Event, String)| matches!(&e.what, What::Moved(m) if m.transition == "ask_correction");
        stage.events(case).iter().rev().find(asks).map(|(e, _)| e.seq).expect("it was asked")
    };
    let undo = |event: u64| stage.request("director", Some(case), "case.undo", json!({"event": event, "reason": "录入有误"}));
    assert_eq!(states("correction_list"), ["waiting"]);
    stage.submit(undo(asked(&stage))).expect("nobody has acted on it");
    assert_eq!(states("correction_list"), ["cancelled"]);
    assert!(states("step_undone").is_empty(), "who has had no letter needs none that takes it back");
    // The twin that has left is followed by another.
    stage
        .submit(stage.request("intake_officer", Some(case), "mediation.ask_correction", json!({"missing": "病历复印件"})))
        .expect("it is asked again");
    stage.run("UPDATE letter SET state = 'sent' WHERE kind = 'correction_list' AND state = 'waiting'");
    stage.submit(undo(asked(&stage))).expect("nobody has acted on it");
    assert_eq!(states("correction_list"), ["cancelled", "sent"]);
    assert_eq!(states("step_undone"), ["waiting"]);
    // What is stored folds to what is held in memory.
    let differ = differing(&stage.wait(stage.engine.read(case)).expect("the case is read").0.case, &stage.folded_again(case));
    assert!(differ.is_empty() && stage.chain(case).is_ok(), "{differ:?}");
}

/// A clock that is not believed: commands are taken, nothing falls due; once it is believed, what fell due happens, once.
fn while_the_clock_is_not_believed_nothing_falls_due(home: &Home) {
    let stage = Stage::new(home);
    let play = beginning("appraisal-pauses", "mediation.accept");
    let case = stage.play(&play, "held");
    let due = stage.wait(stage.engine.read(case)).expect("the case is read").0.row.acts_at.expect("something falls due");
    stage.clock.0.store(due + 1, Ordering::SeqCst);
    let fired = |events: &[Event]| events.iter().filter(|e| matches!(e.what, What::DeadlineFired { .. } | What::DeadlineWarned { .. })).count();
    stage.engine.hold_clock(true);
    let nothing = stage.submit(stage.passes(case)).expect("the clock may be asked");
    assert_eq!(nothing.events.len(), 0, "the clock acted though it is not believed");
    let noted = stage.submit(stage.request("intake_officer", Some(case), "case.record", json!({"summary": "x"}))).expect("work goes on");
    assert_eq!(fired(&noted.events), 0);
    stage.engine.hold_clock(false);
    let then = stage.submit(stage.passes(case)).expect("the clock acts");
    assert!(fired(&then.events) >= 1, "what fell due is forgotten");
    assert!(stage.chain(case).is_ok());
}

type Chapter = (&'static str, fn(&Home));

macro_rules! chapters {
    ($($chapter:ident),+ $(,)?) => { const CHAPTERS: &[Chapter] = &[$((stringify!($chapter), $chapter)),+]; };
}

chapters! {
    every_scenario_goes_as_it_does_in_memory,
    the_chain_holds_and_a_changed_row_breaks_it,
    a_key_has_exactly_one_answer,
    a_key_has_one_answer_when_many_ask_at_once,
    of_two_who_saw_the_same_version_one_wins,
    numbers_have_no_gaps,
    a_refused_command_writes_nothing,
    what_is_undone_calls_its_letters_back,
    nobody_reads_a_name_in_the_database,
    an_erased_case_keeps_its_chain,
    what_fell_due_while_nobody_asked_happens_once_and_in_order,
    an_expired_lease_is_taken_over_and_the_sleeper_is_fenced_off,
    a_case_is_found_by_two_characters,
    a_worklist_is_turned_page_by_page,
    a_newer_database_is_refused,
    what_durability_needs_is_in_force,
    one_command_takes_few_statements,
    what_waits_together_is_written_together,
    one_that_fails_spoils_nobody_elses_answer,
    while_the_clock_is_not_believed_nothing_falls_due,
}

/// Tells all chapters, or those that `HEYI_CHAPTER` is part of, and then says which failed.
fn tell(home: &Home) {
    let only = std::env::var("HEYI_CHAPTER").unwrap_or_default();
    let mut failed = Vec::new();
    for (name, chapter) in CHAPTERS.iter().filter(|(name, _)| name.contains(&only)) {
        println!("  {name}");
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chapter(home))).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "these chapters failed: {failed:?}");
}

#[test]
fn the_story_on_sqlite() {
    tell(&Home::Sqlite(tempfile::tempdir().expect("a folder")));
}

/// The same on tables that are spread over eight hash partitions.
#[test]
fn the_story_on_hash_partitions() {
    if let Some(mut cluster) = Cluster::start() {
        cluster.parts = Some(8);
        tell(&Home::Postgres(cluster));
    }
}

#[test]
fn the_story_on_postgresql() {
    match Cluster::start() {
        Some(cluster) => tell(&Home::Postgres(cluster)),
        None if std::env::var_os("CI").is_some() => {
            panic!("PostgreSQL's programs are not under /usr/lib/postgresql: install the package `postgresql`")
        }
        None => eprintln!("\n!!!! LEFT OUT: PostgreSQL's programs are not under /usr/lib/postgresql, so the story was told on SQLite only !!!!\n"),
    }
}
