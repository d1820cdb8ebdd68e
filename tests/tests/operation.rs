//! Whoever runs Heyi: what is counted and who may read it, whether the server is ready and why not, one number for a
//! request in its answer, its problem and its log lines, and what the doctor finds.

use chrono::{DateTime, Duration};
use heyi_api::cli::Language;
use heyi_api::config::{Config, Flags};
use heyi_api::doctor::{Report, State, examine};
use heyi_api::server::Limits;
use heyi_engine::measures;
use heyi_tests::app::{START, TestApp};
use heyi_tests::postgres::Cluster;
use heyi_tests::process::not_tested;
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

// ---------------------------------------------------------------------------------------------------------------------
// What is counted.

/// Every sample of a page, by name with labels. The page must be well formed.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    for line in page.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(out.insert(name.to_owned(), value).is_none(), "twice: {name}");
    }
    out
}

async fn page(app: &TestApp, who: &str) -> BTreeMap<String, f64> {
    let answer = app.get(who, "/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, heyi_api::measure::PROMETHEUS_TEXT));
    samples(std::str::from_utf8(&answer.bytes).expect("text"))
}

/// The sum of all samples of a name whose labels hold each of these.
fn sum(page: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let is = |key: &str| key.split('{').next() == Some(name) && labels.iter().all(|label| key.contains(label));
    page.iter().filter(|(key, _)| is(key)).map(|(_, value)| value).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_staff_and_the_collectors_own_token_read_the_figures() {
    let app = TestApp::start_as(Limits::default(), |config| config.metrics_token = Some("a-collector".to_owned())).await;
    app.send(app.request(Method::GET, None, "/metrics")).await.problem(401, "unauthenticated");
    app.get("no such token", "/metrics").await.problem(401, "unauthenticated");
    for who in ["patient_side", "hospital_side", "court", "notary"] {
        app.get(who, "/metrics").await.problem(403, "forbidden");
    }
    for who in ["director", "clerk", "a-collector"] {
        assert_eq!(app.get(who, "/metrics").await.status, 200, "{who}");
    }
    // What reads the figures opens nothing else.
    app.get("a-collector", "/api/v1/cases").await.problem(401, "unauthenticated");
    app.stop().await;
    // Where no such token is set, an empty one does not fit.
    let app = TestApp::start_as(Limits::default(), |config| config.metrics_token = Some(String::new())).await;
    app.get("", "/metrics").await.problem(401, "unauthenticated");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_requests_and_letters_are_counted_without_a_word_about_anybody() {
    let app = TestApp::start().await;
    let before = page(&app, "director").await;
    let case = app.open().await;
    let person = |side: &str, name: &str| json!({"input": {"side": side, "name": name, "email": format!("{side}@example.org")}});
    app.act("clerk", &case, "case.person", &person("patient_side", "王某")).await.expect(200);
    app.act("clerk", &case, "case.person", &person("hospital_side", "县人民医院")).await.expect(200);
    app.upload("clerk", &case, "paper=application").await.expect(201);
    app.act("clerk", &case, "case.record", &json!({"input": {"hospital": "县人民医院", "summary": "术后感染"}})).await.expect(200);
    app.act("court", &case, "mediation.accept", &json!({})).await.problem(409, "refused");
    app.act("patient_side", &case, "mediation.apply", &json!({"input": {"applicant": "patient_side", "request": "请求赔偿"}})).await.expect(200);
    app.drain().await;
    let answer = app.get("director", "/metrics").await;
    let whole = String::from_utf8(answer.bytes).expect("text");
    let after = samples(&whole);
    let grown = |name: &str, labels: &[&str]| sum(&after, name, labels) - sum(&before, name, labels);
    assert!(grown(measures::COMMANDS, &["from=\"open\"", "outcome=\"done\""]) >= 1.0);
    assert!(grown(measures::COMMANDS, &["from=\"act\"", "outcome=\"done\""]) >= 4.0);
    assert!(grown(measures::COMMANDS, &["from=\"act\"", "outcome=\"refused\"", "code=\"role\""]) >= 1.0, "{whole}");
    assert!(grown(measures::HTTP_REQUESTS, &["method=\"POST\"", "/api/v1/cases/{id}/actions/{action}", "status=\"200\""]) >= 3.0, "{whole}");
    assert!(grown(&format!("{}_count", measures::HTTP_SECONDS), &["/api/v1/cases/{id}/actions/{action}"]) >= 4.0);
    assert!(grown(measures::LETTER_ATTEMPTS, &["outcome=\"delivered\""]) >= 1.0);
    assert!(grown(measures::WORKER_ROUNDS, &[]) >= 1.0 || sum(&after, measures::WORKER_ROUNDS, &[]) >= 1.0);
    for (name, least) in [
        ("heyi_letters{state=\"sent\"}", 1.0),
        ("heyi_open_cases", 1.0),
        ("heyi_database_up", 1.0),
        ("heyi_database_connections_most", 2.0),
        ("heyi_disk_free_bytes", 1.0),
    ] {
        assert!(after.get(name).is_some_and(|value| *value >= least), "{name} in {whole}");
    }
    for name in
        ["heyi_errands_waiting", "heyi_oldest_waiting_letter_seconds", "heyi_deadlines_due", "heyi_uncovered_cases", "heyi_uncovered_proceedings"]
    {
        assert_eq!(after.get(name), Some(&0.0), "{name} in {whole}");
    }
    if cfg!(target_os = "linux") {
        assert!(after["process_resident_memory_bytes"] > 1_000_000.0);
    }
    // The store counts its own commits by these names as soon as it does.
    measures::commit(0.002, 3);
    assert!(sum(&page(&app, "director").await, &format!("{}_count", measures::COMMIT_GROUP), &[]) >= 1.0);
    // Neither case nor person, nor where they can be reached.
    for hidden in [case.as_str(), "王某", "人民医院", "example.org", "赔偿", "感染"] {
        assert!(!whole.contains(hidden), "{hidden}");
    }
    assert!(whole.is_ascii());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_and_who_waits_for_nobody_shows() {
    let app = TestApp::start().await;
    let case = app.open().await;
    assert_eq!(page(&app, "director").await["heyi_deadlines_due"], 0.0);
    app.clock("2026-04-20T09:00:00+08:00").await;
    let late = page(&app, "director").await;
    // The workers look by themselves now and then; whoever was first, nothing is due once all is done.
    assert!(late["heyi_deadlines_due"] == 0.0 || late["heyi_oldest_due_deadline_seconds"] > 86_400.0);
    app.drain().await;
    let done = page(&app, "director").await;
    assert_eq!((done["heyi_deadlines_due"], done["heyi_uncovered_cases"], done["heyi_uncovered_proceedings"]), (0.0, 0.0, 0.0));
    assert_eq!(done["heyi_cover_unseen_cases"], 0.0);

    // The teeth: take away what covers a case, as no commit would.
    let other = app.open().await;
    let db = app.app.engine.store().db();
    let run = |sql: String| async move { db.execute_unprepared(&sql).await.expect("rows are changed") };
    for table in ["work", "deadline"] {
        run(format!("CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE case_id = '{other}'")).await;
        run(format!("DELETE FROM {table} WHERE case_id = '{other}'")).await;
    }
    let parked = page(&app, "director").await;
    assert_eq!((parked["heyi_uncovered_cases"], parked["heyi_uncovered_proceedings"]), (1.0, 1.0));
    // It stays in sight until it is mended: a commit writes only what differs from the rows that it knows of.
    assert_eq!(page(&app, "director").await["heyi_uncovered_proceedings"], 1.0);
    for table in ["work", "deadline"] {
        run(format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
    }
    app.act("clerk", &other, "case.record", &json!({"input": {"department": "骨科"}})).await.expect(200);
    let mended = page(&app, "director").await;
    assert_eq!((mended["heyi_uncovered_cases"], mended["heyi_uncovered_proceedings"]), (0.0, 0.0));
    drop(case);
    app.stop().await;
}

// ---------------------------------------------------------------------------------------------------------------------
// Whether it is ready.

/// The checks that fail, by what `/readyz` says.
async fn failing(app: &TestApp) -> Vec<String> {
    let answer = app.send(app.request(Method::GET, None, "/readyz")).await;
    if answer.status == 200 {
        let told = answer.json();
        assert_eq!(told["status"], "ready");
        assert!(told["checks"].as_array().is_some_and(|c| c.len() >= 8 && c.iter().all(|c| c["ok"] == json!(true))), "{told}");
        return Vec::new();
    }
    let told = answer.problem(503, "not_ready");
    let failing: Vec<&Json> = told["checks"].as_array().expect("a list").iter().filter(|c| c["ok"] == json!(false)).collect();
    assert!(failing.iter().all(|c| text(&told["detail"]).contains(text(&c["problem"]))), "{told}");
    assert!(!told.to_string().contains('/'), "where things lie is nobody's business: {told}");
    failing.iter().map(|c| text(&c["name"]).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_work_says_why() {
    let app = TestApp::start().await;
    assert!(failing(&app).await.is_empty());
    let aside = |name: &str| (app.folder().join(name), app.folder().join("aside"));
    for (file, check) in [("keys/master.key", "keys"), ("keys/signing.pem", "keys"), ("sandbox-tokens.json", "tokens")] {
        let (file, aside) = aside(file);
        std::fs::rename(&file, &aside).expect("it is moved");
        assert_eq!(failing(&app).await, [check]);
        std::fs::rename(&aside, &file).expect("it is moved back");
    }
    let db = app.app.engine.store().db();
    db.execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)").await.expect("a row");
    assert_eq!(failing(&app).await, ["migrations"]);
    // In Chinese the reasons are Chinese.
    let request = reqwest::Client::new().get(format!("http://{}/readyz", app.address)).header("accept-language", "zh-CN");
    let told = app.send(request).await.problem(503, "not_ready");
    assert!(text(&told["detail"]).contains("表结构") && !text(&told["detail"]).contains(|c: char| c.is_ascii_alphabetic()), "{told}");
    db.execute_unprepared("DELETE FROM seaql_migrations WHERE version = 'm9999_later'").await.expect("a row less");
    assert!(failing(&app).await.is_empty());
    db.get_sqlite_connection_pool().close().await;
    assert_eq!(failing(&app).await, ["database"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_silent_and_a_disk_that_is_full_are_told() {
    let app = TestApp::start_with(Limits { worker_silence: std::time::Duration::ZERO, ..Limits::default() }).await;
    assert_eq!(failing(&app).await, ["workers"]);
    app.stop().await;
    let app = TestApp::start_as(Limits::default(), |config| config.disk_floor_mib = u64::MAX).await;
    assert_eq!(failing(&app).await, ["disk"]);
    app.stop().await;
}

// ---------------------------------------------------------------------------------------------------------------------
// The doctor.

async fn doctor(config: &Config) -> Report {
    let flags = Flags { data: Some(config.data_dir.clone()), ..Flags::default() };
    examine(config, &Config::origins(&flags).expect("settings"), Language::English).await
}

/// What is wrong, and what is worth a word.
fn found(report: &Report, state: State) -> Vec<&'static str> {
    assert_eq!(report.ok, report.findings.iter().all(|f| f.state != State::Wrong));
    assert!(report.findings.iter().all(|f| (f.state == State::Fine) == f.advice.is_none()), "{report:?}");
    report.findings.iter().filter(|f| f.state == state).map(|f| f.what).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_what_is_wrong_and_changes_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = TestApp::start().await;
    let config = app.app.config.clone();
    app.open().await;
    let healthy = doctor(&config).await;
    assert_eq!(found(&healthy, State::Wrong), [""; 0], "{healthy:?}");
    assert!(found(&healthy, State::Note).contains(&"mail"), "letters go into a folder: {healthy:?}");
    let said = |what: &str| healthy.findings.iter().find(|f| f.what == what).map(|f| f.said.clone()).unwrap_or_default();
    assert!(said("database").contains("synchronous = 2") && said("schema").starts_with('m') && said("backup") == "never", "{healthy:?}");
    assert!(said("calendar").contains("until 20") && said("cases").starts_with("1 open"), "{healthy:?}");
    assert_eq!(healthy.settings["data_dir"]["from"], "--data");

    // Keys that others can read, or that are gone.
    let key = app.folder().join("keys/signing.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("the mode is set");
    assert_eq!(found(&doctor(&config).await, State::Wrong), ["keys"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("the mode is set");
    std::fs::rename(app.folder().join("keys/master.key"), app.folder().join("aside")).expect("it is moved");
    assert_eq!(found(&doctor(&config).await, State::Wrong), ["keys"]);
    assert!(!app.folder().join("keys/master.key").exists(), "the doctor makes no key");
    std::fs::rename(app.folder().join("aside"), app.folder().join("keys/master.key")).expect("it is moved back");

    // A clock behind the newest entry, deadlines that nobody acts on, a disk without room, a post that is not there.
    app.clock("2026-01-05T09:00:00+08:00").await;
    assert_eq!(found(&doctor(&config).await, State::Wrong), ["clock"]);
    app.clock(START).await;
    let db = app.app.engine.store().db();
    let long_ago = (DateTime::parse_from_rfc3339(START).expect("a time") - Duration::days(1)).timestamp_millis();
    db.execute_unprepared(&format!("UPDATE deadline SET acts_at = {long_ago}")).await.expect("rows");
    assert!(found(&doctor(&config).await, State::Wrong).contains(&"deadlines"));
    db.execute_unprepared("DELETE FROM deadline").await.expect("rows");
    db.execute_unprepared("DELETE FROM work").await.expect("rows");
    assert_eq!(found(&doctor(&config).await, State::Wrong), ["cases"]);
    assert!(found(&doctor(&Config { disk_floor_mib: u64::MAX, ..config.clone() }).await, State::Wrong).contains(&"disk"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let post = Config { smtp_url: Some(format!("smtp://127.0.0.1:{closed}")), ..config.clone() };
    assert!(found(&doctor(&post).await, State::Wrong).contains(&"mail"));

    // A backup is remembered by the database.
    let store = app.app.engine.store();
    store.set_meta("last_backup", "2026-03-01T00:00:00+08:00").await.expect("the database answers");
    let told = doctor(&config).await;
    assert!(told.findings.iter().any(|f| f.what == "backup" && f.state == State::Fine && f.said.starts_with("2026-03-01")), "{told:?}");

    // A folder in which nothing is, and a database of a later program.
    let empty = tempfile::tempdir().expect("a folder");
    let nowhere = Config { data_dir: empty.path().to_owned(), ..Config::default() };
    let wrong = doctor(&nowhere).await;
    assert!(found(&wrong, State::Wrong).contains(&"database"), "{wrong:?}");
    assert_eq!(std::fs::read_dir(empty.path()).expect("a folder").count(), 0, "the doctor leaves nothing");
    db.execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)").await.expect("a row");
    assert!(found(&doctor(&config).await, State::Wrong).contains(&"schema"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_asks_a_mail_server_how_it_is_and_sends_nothing() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let app = TestApp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("somebody asks");
        let (read, mut write) = stream.into_split();
        write.write_all(b"220 mx.example ESMTP\r\n").await.expect("it is sent");
        let (mut lines, mut said) = (BufReader::new(read).lines(), Vec::new());
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = if line.starts_with("QUIT") { "221 bye\r\n" } else { "250 mx.example\r\n" };
            said.push(line);
            if write.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
        said
    });
    let config = Config { smtp_url: Some(format!("smtp://127.0.0.1:{port}")), ..app.app.config.clone() };
    let report = doctor(&config).await;
    assert!(report.findings.iter().any(|f| f.what == "mail" && f.state == State::Fine), "{report:?}");
    let said = server.await.expect("the server ends");
    assert!(said[0].starts_with("EHLO ") && !said.iter().any(|line| line.starts_with("MAIL") || line.starts_with("DATA")), "{said:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_names_a_setting_of_postgresql_that_forgets() {
    let Some(cluster) = Cluster::start("the doctor on PostgreSQL") else { return not_tested("the doctor on PostgreSQL: there is none") };
    let app = TestApp::start_as(Limits::default(), |config| config.database_url = Some(cluster.url())).await;
    let config = app.app.config.clone();
    app.open().await;
    assert!(failing(&app).await.is_empty());
    let figures = page(&app, "director").await;
    assert_eq!((figures["heyi_open_cases"], figures["heyi_uncovered_proceedings"], figures["heyi_database_up"]), (1.0, 0.0, 1.0));
    let healthy = doctor(&config).await;
    assert_eq!(found(&healthy, State::Wrong), [""; 0], "{healthy:?}");
    let db = app.app.engine.store().db();
    db.execute_unprepared("ALTER DATABASE postgres SET synchronous_commit = off").await.expect("it is set");
    let told = doctor(&config).await;
    let database = told.findings.iter().find(|f| f.what == "database").expect("it was looked at");
    assert!(database.state == State::Wrong && database.advice.as_deref().is_some_and(|a| a.contains("synchronous_commit")), "{database:?}");
    app.stop().await;
}
