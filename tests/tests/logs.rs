//! The log names cases and requests by number, and nobody by name. A whole procedure is played with everything logged
//! that the program can log; then every name, number and address of its people is looked for in what was written.

use heyi_api::logs::filter;
use heyi_tests::app::TestApp;
use heyi_tests::play::play;
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Everything that was logged, as the program writes it where no terminal is: a JSON object a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody fell while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Begins to log everything but what the test's own client says.
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let everything = filter(Some("trace,reqwest=off,hyper_util::client=off"));
        tracing_subscriber::fmt().with_env_filter(everything).with_writer(move || writer.clone()).json().init();
        log
    }

    fn lines(&self) -> Vec<Json> {
        let bytes = self.0.lock().expect("nobody fell while logging").clone();
        String::from_utf8(bytes).expect("the log is UTF-8").lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// The lines in which one of these words stands.
    fn with(&self, words: &BTreeSet<String>) -> Vec<String> {
        let text = self.lines().into_iter().map(|line| line.to_string());
        text.filter(|line| words.iter().any(|word| line.contains(word.as_str()))).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_procedure_leaves_nobody_in_the_log() {
    let log = Log::start();
    let app = TestApp::start().await;
    let (scenario, case) = play(&app, "tong-cataract", None);
    let accounts = heyi_api::sandbox::accounts(&app.app).expect("the shipped casts are good");
    app.drain().await;
    // People look at it, search in it by name, print it, and ask what is refused and what is nonsense.
    let here = format!("/api/v1/cases/{case}");
    for path in ["", "/events", "/deadlines", "/notices", "/work", "/actions", "/documents", "/documents/agreement.pdf"] {
        assert_eq!(app.get("director", &format!("{here}{path}")).await.status, 200, "{path}");
    }
    app.get("director", "/api/v1/cases?q=佟某").await.expect(200);
    app.get("director", "/api/v1/cases/佟某").await.problem(404, "not_found");
    app.get("佟某", "/api/v1/cases").await.problem(401, "unauthenticated");
    let open = app.open().await;
    app.act("clerk", &open, "case.person", &json!({"input": {"side": "patient_side", "name": "佟某\r\n"}})).await.problem(422, "input");
    app.act("clerk", &open, "佟某", &json!({"佟某": 1})).await.problem(400, "unknown_field");
    app.post("director", &format!("{here}/exports"), &json!({"recipient": "notary"})).await.expect(201);
    std::fs::create_dir_all(app.folder().join("bounces")).expect("a folder");
    std::fs::write(app.folder().join("bounces/tong@family.example.eml"), "From: tong@family.example\r\n\r\n佟某 is away\r\n").expect("a mail");
    app.drain().await;

    let mut people: BTreeSet<String> = accounts.values().flat_map(|a| [Some(a.name.clone()), a.email.clone()]).flatten().collect();
    for person in scenario.people.values() {
        let fields = serde_json::to_value(person).expect("a person is JSON");
        let words = ["name", "email", "phone", "address", "identity"].map(|field| fields[field].as_str().unwrap_or_default().to_owned());
        people.extend(words.into_iter().filter(|word| !word.is_empty()));
    }
    people.extend(["白内障", "堵住", "家属", "@"].map(str::to_owned));
    assert!(people.len() > 15 && people.contains("佟某") && people.contains("tong@family.example"), "{people:?}");
    let lines = log.lines();
    let targets: BTreeSet<&str> = lines.iter().filter_map(|line| line["target"].as_str()).collect();
    assert!(lines.len() > 20 && ["heyi_api::rest", "heyi_api::bounces"].iter().all(|t| targets.contains(t)), "the log is broken: {targets:?}");
    let hits = log.with(&people);
    assert!(hits.is_empty(), "{}", hits.join("\n"));
    // The twin: one line that names somebody is found.
    tracing::info!(who = "佟某", "a line that should never have been written");
    assert_eq!(log.with(&people).len(), 1);

    a_request_has_one_number_everywhere(&app, &log).await;
    app.stop().await;
}

/// The number that an asker gives, or is given, stands in the answer, in the problem and in every line of its log.
async fn a_request_has_one_number_everywhere(app: &TestApp, log: &Log) {
    let case = app.open().await;
    let numbered =
        |line: &Json, id: &str| line["span"]["request_id"] == id || line["spans"].as_array().into_iter().flatten().any(|s| s["request_id"] == id);
    let lines_of = |id: &str| log.lines().into_iter().filter(|line| numbered(line, id)).collect::<Vec<_>>();

    // A step on a version that is gone: the engine says so in a line of its own, in a task of its own.
    let path = format!("/api/v1/cases/{case}/actions/case.record");
    let stale = app.request(Method::POST, Some("clerk"), &path).header("if-match", "\"1\"").header("x-request-id", "asked-42");
    let answer = app.send(stale.json(&json!({"input": {"department": "骨科"}}))).await;
    assert_eq!(answer.header("x-request-id"), "asked-42");
    assert_eq!(answer.problem(412, "version")["instance"], "urn:heyi:request:asked-42");
    let lines = lines_of("asked-42");
    let targets: BTreeSet<&str> = lines.iter().filter_map(|l| l["target"].as_str()).collect();
    assert!(targets.contains("heyi_engine::submit") && targets.contains("heyi_api::rest"), "{targets:?}");
    let told: Vec<&Json> = lines.iter().filter(|l| l["fields"]["message"] == "request").collect();
    assert_eq!(told.len(), 1, "a request is told once");
    assert_eq!((&told[0]["fields"]["status"], &told[0]["fields"]["route"]), (&json!(412), &json!("/api/v1/cases/{id}/actions/{action}")));

    // One that does not look like a number is not taken, and one is made.
    for strange in ["a b", "x\u{7f}", &"9".repeat(65)] {
        let request = app.request(Method::GET, None, "/healthz");
        let Ok(value) = reqwest::header::HeaderValue::from_str(strange) else { continue };
        let answer = app.send(request.header("x-request-id", value)).await;
        let made = answer.header("x-request-id");
        assert!(made != strange && made.len() == 24, "{made}");
        assert!(!lines_of(made).is_empty());
    }
}
