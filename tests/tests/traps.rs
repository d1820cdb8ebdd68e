//! The traps of the libraries that Heyi stands on. Each is shown twice: the guard holds, and beside it a twin without
//! the guard falls in; so no test here is about a danger that is not there, and a guard that is taken out shows.
//!
//! What is counted are connections, rows and answers. Where a limit of time is the guard, the test makes it short and
//! waits for the end of what it cuts.

use axum::Router;
use axum::routing::get;
use heyi_api::mail::{Mail, MailError, Sender, message};
use heyi_api::rest;
use heyi_api::server::{Limits, stand_up_again};
use heyi_api::shipped::Sources;
use heyi_api::templates::{Templates, shapes};
use heyi_engine::case::decide::Command;
use heyi_engine::store::migration::Migrator;
use heyi_engine::submit::Request;
use heyi_tests::app::{START, TestApp};
use heyi_tests::postgres::Cluster;
use heyi_tests::process::{not_tested, scratch};
use reqwest::Method;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbErr, Statement, TransactionTrait as _};
use sea_orm_migration::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Rounds in which a unit of work is torn at another moment each.
const ROUNDS: usize = 240;
/// How many turns later in each round.
const TURNS: usize = 25;
/// What a limit of time is in these tests.
const SHORT: Duration = Duration::from_millis(300);
/// How long the end of something is waited for before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

// ---------------------------------------------------------------------------------------------------------------------
// A client that hangs up.

/// Works at a future for `polls` turns, then drops it, as a server does whose client has gone.
async fn torn<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if polled {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn number(db: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), sql.to_owned());
    db.query_one_raw(statement).await.expect("the database answers").expect("a row").try_get_by_index(0).expect("a number")
}

async fn one_connection(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url.to_owned());
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.expect("the database answers")
}

/// The twin: a unit of work in the task of who asked for it.
async fn in_the_askers_task(db: &DatabaseConnection, n: usize) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    tx.execute_unprepared(&format!("INSERT INTO twin VALUES ({n})")).await?;
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_of_work_that_is_torn_leaves_no_connection_in_a_transaction() {
    let Some(cluster) = Cluster::start("torn transactions on PostgreSQL") else { return not_tested("torn transactions: there is no PostgreSQL") };
    let witness = one_connection(&cluster.url()).await;

    // The guard: each unit of work runs to its end in a task of its own.
    let app = TestApp::start_as(Limits::default(), |config| config.database_url = Some(cluster.url())).await;
    let case = app.open().await.parse().expect("an id");
    let me = app.app.engine.store().accounts().await.expect("accounts").into_iter().find(|a| a.role == "clerk").expect("a clerk");
    let record = |n: usize| Request {
        case: Some(case),
        workflow: None,
        me: me.clone(),
        command: Some(Command::new("case.record", json!({"department": format!("科室{n}")}))),
        key: None,
        expected: None,
        file: None,
    };
    let mut unseen = 0;
    for n in 0..ROUNDS {
        torn(app.app.engine.submit(record(n)), n * TURNS).await;
        // What is acknowledged on any connection of the pool afterwards is there for everybody.
        app.app.engine.store().set_meta("trap", &n.to_string()).await.expect("the database answers");
        unseen += usize::from(number(&witness, "SELECT value::bigint FROM meta WHERE key = 'trap'").await != n as i64);
    }
    app.app.engine.submit(record(ROUNDS)).await.expect("the door still opens");
    let torn_open = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    assert_eq!((unseen, number(&witness, torn_open).await), (0, 0));
    // Beside it, the server lets go by itself of what a torn connection holds.
    for (setting, wanted) in [("statement_timeout", "15min"), ("idle_in_transaction_session_timeout", "1min")] {
        let statement = Statement::from_string(sea_orm::DatabaseBackend::Postgres, format!("SHOW {setting}"));
        let row = app.app.engine.store().db().query_one_raw(statement).await.expect("the database answers").expect("a row");
        assert_eq!(row.try_get_by_index::<String>(0).expect("a text"), wanted, "{setting}");
    }
    app.stop().await;

    // The twin: the same, torn in the task of who asked. Statements are acknowledged that nobody else ever sees.
    let pool = one_connection(&cluster.url()).await;
    pool.execute_unprepared("CREATE TABLE twin (n INT); CREATE TABLE honest (n INT)").await.expect("tables");
    let mut unseen = 0;
    for n in 0..ROUNDS {
        torn(in_the_askers_task(&pool, n), n * TURNS).await;
        pool.execute_unprepared(&format!("INSERT INTO honest VALUES ({n})")).await.expect("it is acknowledged");
        unseen += usize::from(number(&witness, &format!("SELECT COUNT(*) FROM honest WHERE n = {n}")).await == 0);
    }
    assert!(unseen > 0, "the twin lost nothing in {ROUNDS} rounds: this trap is gone, and its guard with it");
}

/// Sends the head of a request, its body once the server asks for it, and hangs up without waiting for an answer.
async fn ask_and_hang_up(address: SocketAddr, head: &str, body: &str) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!("{head}content-length: {}\r\nexpect: 100-continue\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    stream.read_exact(&mut [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()]).await.expect("the body is asked for");
    stream.write_all(body.as_bytes()).await.expect("it is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_before_hanging_up_is_done_to_its_end() {
    const CLIENTS: usize = 40;
    let app = TestApp::start().await;
    let case = app.open().await;
    let before = app.get("director", &format!("/api/v1/cases/{case}")).await.expect(200)["version"].as_u64().expect("a version");
    let head = format!(
        "POST /api/v1/cases/{case}/actions/case.record HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        app.token("clerk")
    );
    for n in 0..CLIENTS {
        ask_and_hang_up(app.address, &head, &json!({"input": {"department": format!("科室{n}")}}).to_string()).await;
    }
    let done = async {
        loop {
            let version = app.get("director", &format!("/api/v1/cases/{case}")).await.expect(200)["version"].as_u64().expect("a version");
            if version >= before + CLIENTS as u64 {
                return version;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, done).await.expect("all is done"), before + CLIENTS as u64);
    app.stop().await;

    // The twin: a handler that runs in the connection's task is torn with it.
    struct Torn(Arc<AtomicUsize>);
    impl Drop for Torn {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (begun, torn) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (in_handler, counter) = (begun.clone(), torn.clone());
    let handler = move || async move {
        let _torn = Torn(counter);
        in_handler.notify_one();
        std::future::pending::<()>().await;
    };
    let address = without_guards(Router::new().route("/", get(handler))).await;
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is sent");
    begun.notified().await;
    drop(stream);
    let ended = async {
        while torn.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the twin's handler is torn");
}

/// Work that falls over in its first two rounds, and is done in its third.
fn falls_twice(rounds: &Arc<AtomicUsize>) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + use<> {
    let rounds = rounds.clone();
    move || {
        let rounds = rounds.clone();
        Box::pin(async move { assert!(rounds.fetch_add(1, Ordering::SeqCst) >= 2, "a fault that is meant") })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_fall_over_are_stood_up_again() {
    let rounds = Arc::new(AtomicUsize::new(0));
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    tokio::time::timeout(PATIENCE, stand_up_again(falls_twice(&rounds), stopped)).await.expect("it is done");
    assert_eq!(rounds.load(Ordering::SeqCst), 3);
    // The twin: a task that is only spawned is gone, and nobody hears of it.
    let rounds = Arc::new(AtomicUsize::new(0));
    assert!(tokio::spawn(falls_twice(&rounds)()).await.is_err());
    assert_eq!(rounds.load(Ordering::SeqCst), 1);
    // Told to stop, nobody is stood up.
    let rounds = Arc::new(AtomicUsize::new(0));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    stop.send(true).expect("somebody listens");
    tokio::time::timeout(PATIENCE, stand_up_again(falls_twice(&rounds), stopped)).await.expect("it ends");
    assert_eq!(rounds.load(Ordering::SeqCst), 1);
}

// ---------------------------------------------------------------------------------------------------------------------
// Clients that take their time.

/// The same routes behind the server that the library brings.
async fn without_guards(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn half_sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is sent");
    stream
}

/// Whether the other end has closed, or has said something.
fn stirred(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0; 64]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_never_ends_and_a_connection_that_says_nothing_are_cut() {
    const CLIENTS: usize = 20;
    let app = TestApp::start_with(Limits { header: SHORT, ..Limits::default() }).await;
    let bare = without_guards(rest::app(app.app.clone())).await;
    for sent in [&b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "[..], b""] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..CLIENTS {
            theirs.push(half_sent(bare, sent).await);
            ours.push(half_sent(app.address, sent).await);
        }
        for stream in &mut ours {
            let mut answer = Vec::new();
            let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            assert!(end.is_ok(), "a half-sent request is still open");
        }
        // The twins were there first, and all of them still are.
        assert_eq!(theirs.iter().filter(|stream| stirred(stream)).count(), 0);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_pauses_or_drips_is_not_waited_for() {
    let head = |app: &TestApp| {
        format!(
            "POST /api/v1/sandbox/clock HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            app.token("director")
        )
    };
    // One that pauses is cut by the pause alone, and one that drips without a pause by the whole.
    let pause = Limits { pause: SHORT, body: PATIENCE, handler: PATIENCE * 2, ..Limits::default() };
    let whole = Limits { pause: PATIENCE, body: SHORT, handler: PATIENCE * 2, ..Limits::default() };
    for (limits, drips) in [(pause, false), (whole, true)] {
        let app = TestApp::start_with(limits).await;
        let mut stream = half_sent(app.address, head(&app).as_bytes()).await;
        let (mut read, mut write) = stream.split();
        let mut status = [0; 12];
        let drip = async {
            loop {
                tokio::time::sleep(SHORT / 10).await;
                if drips && write.write_all(b" ").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            answer = read.read_exact(&mut status) => drop(answer.expect("an answer")),
            () = drip => {}
        }
        assert_eq!(&status, b"HTTP/1.1 408");
        drop(stream);
        app.stop().await;
    }
    // The twin: a handler that takes its body as the library gives it.
    let bare = without_guards(Router::new().route("/", axum::routing::post(|body: axum::body::Bytes| async move { body.len().to_string() }))).await;
    let stream = half_sent(bare, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await;
    tokio::time::sleep(SHORT * 4).await;
    assert!(!stirred(&stream), "the twin has cut a body that pauses");
}

/// Asks for more than the system's buffers hold, and reads none of it.
async fn asks_and_does_not_read(address: SocketAddr) -> TcpStream {
    let one = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n";
    half_sent(address, one.repeat(40).as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_takes_does_not_hold_a_place() {
    let answered = async |app: &TestApp| {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        client.get(format!("http://{}/healthz", app.address)).send().await.is_ok()
    };
    let one = Limits { connections: 1, header: PATIENCE, ..Limits::default() };
    let mut app = TestApp::start_with(Limits { write: SHORT, ..one }).await;
    let stalled = asks_and_does_not_read(app.address).await;
    assert!(tokio::time::timeout(PATIENCE, answered(&app)).await.expect("the place is given to the next"), "an answer");
    drop(stalled);
    app.begin_stop();
    app.ended().await;

    // The twin: the same server with all the time in the world.
    let mut app = TestApp::start_with(Limits { write: PATIENCE * 60, ..one }).await;
    let stalled = asks_and_does_not_read(app.address).await;
    assert!(tokio::time::timeout(SHORT * 5, answered(&app)).await.is_err(), "the twin's only place was given away");
    drop(stalled);
    app.begin_stop();
    app.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_there_is_room_for_wait_outside() {
    const ROOM: usize = 3;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut app = TestApp::start_with(Limits { connections: ROOM, header: PATIENCE, ..Limits::default() }).await;
    let bare = without_guards(rest::app(app.app.clone())).await;
    for (address, guarded) in [(app.address, true), (bare, false)] {
        let mut inside = Vec::new();
        for _ in 0..ROOM {
            let mut stream = half_sent(address, ask).await;
            stream.read_exact(&mut [0; 12]).await.expect("an answer");
            inside.push(stream);
        }
        let mut next = half_sent(address, ask).await;
        let mut answer = [0; 12];
        if guarded {
            // Those inside were answered; whoever waits outside was not.
            tokio::time::sleep(SHORT).await;
            assert!(!stirred(&next), "one more than there is room for was let in");
            drop(inside);
        }
        tokio::time::timeout(PATIENCE, next.read_exact(&mut answer)).await.expect("an answer").expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    app.begin_stop();
    app.ended().await;
}

// ---------------------------------------------------------------------------------------------------------------------
// Migrations.

/// A migration whose second statement fails.
struct Half {
    wrapped: Option<bool>,
}

impl MigrationName for Half {
    fn name(&self) -> &'static str {
        "half"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Half {
    fn use_transaction(&self) -> Option<bool> {
        self.wrapped
    }
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("CREATE TABLE first_half (n INTEGER)").await?;
        manager.get_connection().execute_unprepared("CREATE TABLE second_half (n INTEGER, FAULT FAULT FAULT(").await?;
        Ok(())
    }
}

struct Guarded;
struct Bare;

#[async_trait::async_trait]
impl MigratorTrait for Guarded {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Half { wrapped: Some(true) })]
    }
}

#[async_trait::async_trait]
impl MigratorTrait for Bare {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Half { wrapped: None })]
    }
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    for migration in Migrator::migrations() {
        assert_eq!(migration.use_transaction(), Some(true), "{} is not all or nothing on SQLite", migration.name());
    }
    let left = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'first_half'";
    for guarded in [true, false] {
        let db = one_connection("sqlite::memory:").await;
        let failed = if guarded { Guarded::up(&db, None).await } else { Bare::up(&db, None).await };
        assert!(failed.is_err());
        assert_eq!(number(&db, left).await, i64::from(!guarded), "guarded: {guarded}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Templates.

/// Which twin a child of this test is to be.
const TWIN: &str = "HEYI_TRAP_TWIN";

/// Partials that include each other.
const ROUND: [(&str, &str); 2] = [("opening", "{{> layout}}"), ("layout", "{{> opening}}")];

fn nested() -> String {
    format!("{}x{}", "{{#if a}}".repeat(1_200), "{{/if}}".repeat(1_200))
}

/// What the library does with such templates by itself. Runs in a process of its own, as it ends it.
#[test]
fn twin_in_a_process_of_its_own() {
    let Ok(twin) = std::env::var(TWIN) else { return };
    let mut registry = handlebars::Handlebars::new();
    registry.set_strict_mode(true);
    if twin == "round" {
        for (name, source) in ROUND {
            registry.register_partial(name, source).expect("each by itself is good");
        }
        drop(registry.render("opening", &json!({})));
    } else {
        registry.register_template_string("nested", nested()).expect("the library takes it");
        drop(registry.render("nested", &json!({"a": "1"})));
    }
}

fn load(name: &str, files: &[(&str, String)]) -> Result<Templates, String> {
    let folder = scratch(name);
    for (path, text) in files {
        let path = folder.join("mail").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("scratch can be written");
        std::fs::write(path, text).expect("scratch can be written");
    }
    let library = Sources::read(None).and_then(|s| s.library(&BTreeMap::new())).expect("what is shipped is good");
    let shapes = shapes::of(&library).expect("what is shipped is good");
    let loaded = Templates::load(&shapes, &["zh-CN", "en"], Some(&folder));
    loaded.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn templates_that_would_end_the_process_are_mistakes_with_a_place() {
    let round: Vec<(&str, String)> = ROUND
        .iter()
        .map(|(name, source)| (if *name == "opening" { "_shared/en/opening.txt.hbs" } else { "_shared/en/layout.txt.hbs" }, (*source).to_owned()))
        .collect();
    let nested = [("acceptance/en/body.txt.hbs", nested())];
    let large = [("acceptance/en/body.txt.hbs", "x".repeat(256 * 1024 + 1))];
    let unescaped = [("acceptance/en/body.html.hbs", "<p lang=\"en\">{{{recipient.name}}}</p>".to_owned())];
    for (name, files, wanted) in [
        ("round", &round[..], "without end"),
        ("nested", &nested[..], "nest deeper than 32"),
        ("large", &large[..], "larger than 256 KB"),
        ("unescaped", &unescaped[..], "unescaped"),
    ] {
        let told = load(name, files).err().unwrap_or_default();
        assert!(told.contains(wanted) && told.contains("/en/"), "{name}: {told}");
    }
    assert!(load("none", &[]).is_ok(), "what is shipped is good");
    // The twins: the library alone takes the whole process with it.
    for twin in ["round", "nested"] {
        let this = std::env::current_exe().expect("a running test has a path");
        let ended = Process::new(this).args(["--exact", "twin_in_a_process_of_its_own"]).env(TWIN, twin).output().expect("it can be started");
        assert!(ended.status.signal().is_some(), "{twin} ended with {}: this trap is gone, and its guard with it", ended.status);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Control characters, and keys that stand there twice.

const CRAFTED: &str = "王某\r\nBcc: everybody@example.org";

fn mail(name: &str, text: &str) -> Mail {
    Mail {
        id: "1.1.0".to_owned(),
        to_name: name.to_owned(),
        to_address: "w@example.org".to_owned(),
        subject: "x".to_owned(),
        text: text.to_owned(),
        html: "<p>x</p>".to_owned(),
        invitation: None,
        date: chrono::DateTime::parse_from_rfc3339(START).expect("a time").to_utc(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_with_a_line_break_comes_no_further_than_the_door() {
    let app = TestApp::start().await;
    let case = app.open().await;
    for name in [CRAFTED, "王\r某", "王\n某", "王\u{0}某", "王\u{7f}某", "王\u{85}某"] {
        let body = json!({"input": {"side": "patient_side", "name": name}});
        let told = app.act("clerk", &case, "case.person", &body).await.problem(422, "input");
        assert!(!told.to_string().contains("everybody"), "what was sent is not repeated: {told}");
    }
    app.stop().await;
    // Should one come from elsewhere, the letter is not written, and nothing falls.
    let sender = Sender { name: "委员会".to_owned(), address: "office@committee.example".to_owned(), domain: "committee.example".to_owned() };
    assert_eq!(message(&mail(CRAFTED, "x"), &sender).err(), Some(MailError::Name("recipient")));
    let lone = |bytes: &[u8]| bytes.windows(2).any(|w| w[0] == b'\r' && w[1] != b'\n');
    assert!(!lone(&message(&mail("王某", "a\rb"), &sender).expect("a message").formatted()));

    // The twins: the library falls over the name, and lets the lone carriage return through.
    let from = || "office@committee.example".parse().expect("an address");
    let fell = std::panic::catch_unwind(|| {
        let to = lettre::message::Mailbox::new(Some(CRAFTED.to_owned()), "w@example.org".parse().expect("an address"));
        lettre::Message::builder().from(from()).to(to).body(String::new()).map(|m| m.formatted())
    });
    assert!(fell.is_err(), "the library takes a line break in a name: this trap is gone, and its guard with it");
    let body = lettre::Message::builder().from(from()).to(from()).body("a\rb".to_owned()).expect("a message").formatted();
    assert!(lone(&body), "the library mends a lone carriage return");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_stands_there_twice_is_refused_by_name() {
    let app = TestApp::start().await;
    let case = app.open().await;
    let path = format!("/api/v1/cases/{case}/actions/case.record");
    for (twice, key) in
        [(r#"{"input": {"department": "骨科", "department": "外科"}}"#, "department"), (r#"{"input": {"department": "骨科"}, "input": {}}"#, "input")]
    {
        let request = app.request(Method::POST, Some("clerk"), &path).header("content-type", "application/json").body(twice);
        let told = app.send(request).await.problem(400, "duplicate_key");
        assert!(told["detail"].as_str().is_some_and(|d| d.contains(key)), "{told}");
        // The twin: the library takes it, and one of the two silently wins.
        let taken: Json = serde_json::from_str(twice).expect("the library takes it");
        assert!(taken["input"] == json!({"department": "外科"}) || taken["input"] == json!({}));
    }
    let facts = app.get("director", &format!("/api/v1/cases/{case}")).await.expect(200);
    assert!(!facts["facts"].to_string().contains("科"), "nothing was stored");
    app.stop().await;
}
