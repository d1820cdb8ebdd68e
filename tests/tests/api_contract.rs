//! What the API promises whatever a workflow says: problem documents, idempotency, versions, limits, paging, and a
//! description that is true.

use heyi_api::server::Limits;
use heyi_engine::store::accounts::Token;
use heyi_tests::app::TestApp;
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn list(json: &Json) -> Vec<Json> {
    json.as_array().cloned().unwrap_or_default()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// Every `$ref` of a document.
fn references(json: &Json, out: &mut BTreeSet<String>) {
    match json {
        Json::Object(map) => {
            out.extend(map.get("$ref").and_then(Json::as_str).map(str::to_owned));
            map.values().for_each(|v| references(v, out));
        }
        Json::Array(items) => items.iter().for_each(|v| references(v, out)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_sound_and_every_described_route_is_served() {
    let app = TestApp::start().await;
    let served = app.send(app.request(Method::GET, None, "/openapi.json")).await.expect(200);
    assert_eq!(served, serde_json::to_value(heyi_api::rest::openapi()).unwrap(), "what is served is what the program knows");
    assert_eq!(served["openapi"], "3.1.0");
    assert!(!text(&served["info"]["title"]).is_empty() && !text(&served["info"]["version"]).is_empty());
    assert_eq!(served["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut found = BTreeSet::new();
    references(&served, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} points outside"));
        assert!(served.pointer(pointer).is_some(), "{reference} points nowhere");
    }
    let case = app.open().await;
    let mut ids = BTreeSet::new();
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = text(&operation["operationId"]);
            assert!(!id.is_empty() && ids.insert(id.to_owned()), "{method} {path}: the operationId {id:?} is missing or not its own");
            assert!(!text(&operation["summary"]).is_empty(), "{method} {path} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.values().all(|r| !r["description"].is_null()) && responses.keys().any(|s| s.starts_with('2')),
                "{method} {path}: {responses:?}"
            );
            let named: BTreeSet<&str> = path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = list(&operation["parameters"]);
            let declared: BTreeSet<&str> = parameters.iter().filter(|p| p["in"] == "path").map(|p| text(&p["name"])).collect();
            assert_eq!(named, declared, "{method} {path}");
            assert!(parameters.iter().all(|p| p["in"] != "path" || p["required"] == json!(true)), "{method} {path}");
            let open = operation["security"] == json!([{}]);
            let guarded = path.starts_with("/api/v1") || path == "/metrics";
            assert_eq!(open, !guarded, "{method} {path}: only what lies outside /api/v1 needs no token, but for the figures");

            let address = path
                .replace("{id}", &case)
                .replace("{action}", "case.record")
                .replace("{name}", "medical-dispute")
                .replace("{document}", "agreement.pdf")
                .replace("{notice}", &format!("{case}.1.0.pdf"))
                .replace("{file}", &case)
                .replace("{export}", &case);
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = app.send(app.request(method.clone(), Some("director"), &address)).await;
            // A file, a package and a document that this case does not have are not there; the route is.
            let absent = ["{document}", "{notice}", "{file}", "{export}"].iter().any(|p| path.contains(p));
            assert!(answer.status != 405 && (answer.status != 404 || absent), "{method} {path} answers {}", answer.status);
            assert!(
                responses.contains_key(&answer.status.to_string()) || answer.status == 400,
                "{method} {path} answers {}, which is not described",
                answer.status
            );
        }
    }
    let docs = app.send(app.request(Method::GET, None, "/docs/")).await;
    assert!(docs.status == 200 && String::from_utf8_lossy(&docs.bytes).contains("swagger"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_drawn_in_the_language_that_is_asked_for() {
    let app = TestApp::start().await;
    let here = "/api/v1/workflows/medical-dispute/graph.svg";
    let whole = app.get("director", &format!("{here}?language=en")).await;
    assert_eq!(
        (whole.status, whole.header("content-type"), whole.header("content-security-policy")),
        (200, "image/svg+xml", "default-src 'none'; sandbox")
    );
    let whole = String::from_utf8_lossy(&whole.bytes).into_owned();
    assert!(whole.starts_with("<svg") && whole.contains("Mediation") && !whole.contains("调解"), "{whole}");
    let one = app.get("director", &format!("{here}?kind=mediation&language=zh-CN")).await;
    let one = String::from_utf8_lossy(&one.bytes).into_owned();
    assert!(one.contains("data-state=\"mediation.screening\"") && one.contains("受理审查中"), "{one}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_goes_wrong_has_one_face() {
    let app = TestApp::start().await;
    let case = app.open().await;
    let here = format!("/api/v1/cases/{case}");
    let act = |action: &str| format!("{here}/actions/{action}");

    // Who asks.
    let anonymous = app.send(app.request(Method::GET, None, &here)).await;
    assert!(anonymous.header("www-authenticate").starts_with("Bearer"));
    anonymous.problem(401, "unauthenticated");
    app.get("no such token", &here).await.problem(401, "unauthenticated");
    app.send(app.request(Method::GET, None, "/api/v1/nowhere")).await.problem(401, "unauthenticated");

    // What is not there.
    app.get("director", "/api/v1/nowhere").await.problem(404, "not_found");
    app.get("director", "/nowhere").await.problem(404, "not_found");
    app.get("director", "/docs/nowhere").await.problem(404, "not_found");
    app.get("director", "/api/v1/cases/%FF").await.problem(404, "not_found");
    app.get("director", "/api/v1/workflows/%FF").await.problem(400, "bad_query");
    app.get("director", "/api/v1/workflows/medical-disputes/graph.svg").await.problem(404, "not_found");
    let kind = app.get("director", "/api/v1/workflows/medical-dispute/graph.svg?kind=meditation").await.problem(400, "bad_query");
    assert!(text(&kind["detail"]).contains("mediation"), "{kind}");
    app.get("director", "/api/v1/workflows/medical-dispute/graph.svg?language=fr").await.problem(400, "bad_query");
    app.get("director", "/api/v1/cases/0199f3c0-0000-7000-8000-000000000000").await.problem(404, "not_found");
    app.get("director", "/api/v1/cases/nonsense").await.problem(404, "not_found");
    let wrong_method = app.send(app.request(Method::DELETE, Some("director"), &here)).await;
    assert_eq!(wrong_method.header("allow"), "GET,HEAD");
    wrong_method.problem(405, "method");

    // What is meant.
    let unknown = app.post("director", &act("mediation.acept"), &json!({})).await.problem(404, "unknown_action");
    assert!(text(&unknown["detail"]).contains("mediation.accept"), "{unknown}");
    assert_eq!(unknown["refusals"][0]["details"]["did_you_mean"], "mediation.accept");
    let workflow = app.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-disputes"})).await.problem(422, "unknown_workflow");
    assert!(text(&workflow["detail"]).contains("Did you mean “medical-dispute”"), "{workflow}");
    app.post("director", &act("case.file"), &json!({})).await.problem(409, "upload");
    app.post("director", &act("case.open"), &json!({})).await.problem(409, "opening");

    // Wrong input: every mistake at once, each with its field, and no value repeated.
    let body = json!({"input": {"claim_amount": "lots of 4711", "patient_age": "old", "hospitl": "x"}});
    let wrong = app.post("mediator", &act("case.record"), &body).await.problem(422, "input");
    let fields: Vec<&str> = wrong["refusals"].as_array().unwrap().iter().map(|r| text(&r["field"])).collect();
    assert_eq!(BTreeSet::from_iter(fields), BTreeSet::from(["input.claim_amount", "input.patient_age", "input.hospitl"]));
    assert!(!wrong.to_string().contains("4711"));

    // Bodies that guess is needed for.
    for (body, code, named) in [
        (r#"{"input": {"hospital": "a", "hospital": "b"}}"#, "duplicate_key", "hospital"),
        (r#"{"inputs": {}}"#, "unknown_field", "Did you mean “input”"),
        (r#"{"proceeding": 3}"#, "bad_field", "proceeding"),
        (r#"{"input": [1]}"#, "bad_field", "input"),
        (r#"{"for": "王某"}"#, "bad_field", "for"),
        (r#"{"input": {"#, "bad_json", "line 1"),
        ("[]", "bad_json", "object"),
    ] {
        let request = app.request(Method::POST, Some("mediator"), &act("case.record")).header("content-type", "application/json").body(body);
        let document = app.send(request).await.problem(400, code);
        assert!(text(&document["detail"]).contains(named), "{document}");
        assert!(!document.to_string().contains("王某"));
    }
    let form =
        app.request(Method::POST, Some("mediator"), &act("case.record")).header("content-type", "application/x-www-form-urlencoded").body("a=b");
    app.send(form).await.problem(415, "media_type");

    // Too large is said, not cut off.
    let large = format!(r#"{{"input": {{"summary": "{}"}}}}"#, "x".repeat(1024 * 1024));
    let request = app.request(Method::POST, Some("mediator"), &act("case.record")).header("content-type", "application/json").body(large);
    app.send(request).await.problem(413, "too_large");

    // Parameters and headers.
    for (query, named) in [
        ("stages=intake", "Did you mean “stage”"),
        ("limit=0", "limit"),
        ("limit=5&limit=6", "twice"),
        ("cursor=x", "cursor"),
        ("due_before=soon", "due_before"),
    ] {
        let document = app.get("director", &format!("/api/v1/cases?{query}")).await.problem(400, "bad_query");
        assert!(text(&document["detail"]).contains(named), "{document}");
    }
    let request = app.request(Method::POST, Some("mediator"), &act("case.record")).header("idempotency-key", "k".repeat(201)).json(&json!({}));
    app.send(request).await.problem(400, "bad_header");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_explains_itself_in_the_askers_language() {
    let app = TestApp::start().await;
    let case = app.open().await;
    let path = format!("/api/v1/cases/{case}/actions/mediation.accept");
    let refused = app.post("director", &path, &json!({})).await.problem(409, "refused");
    let refusal = &refused["refusals"][0];
    assert_eq!(refusal["code"], "state");
    assert!(list(&refusal["unlocked_by"]).contains(&json!("mediation.submit")), "{refused}");
    assert_eq!(refusal["law"], "条例 31");
    assert_eq!(refused["law"], "条例 31");
    assert!(text(&refusal["text"]).contains("possible from"), "{refused}");
    // Without a wish, the account's language; with one, that.
    for (wish, wanted) in [("", "须在下列状态进行"), ("zh-TW,zh;q=0.9", "须在下列状态进行"), ("en-GB", "possible from")] {
        let request = reqwest::Client::new().post(format!("http://{}{path}", app.address)).bearer_auth(app.token("director")).json(&json!({}));
        let request = if wish.is_empty() { request } else { request.header("accept-language", wish) };
        let document = app.send(request).await.problem(409, "refused");
        assert!(text(&document["refusals"][0]["text"]).contains(wanted), "{wish}: {document}");
    }
    // What `accepts` refuses is a rule of the workflow: a conflict, at a field, with the law.
    let input = json!({"input": {"at": "2026-03-02T09:00:00+08:00", "place": "门诊大厅", "people": -1, "level": "major"}});
    let rule = app.act("director", &case, "incident.report", &input).await.problem(409, "refused");
    assert_eq!((&rule["refusals"][0]["code"], &rule["refusals"][0]["field"]), (&json!("input"), &json!("input.people")));
    assert!(text(&rule["law"]).contains("调解法 25") && text(&rule["refusals"][0]["text"]).contains("must hold"), "{rule}");
    let somebody_else = app.post("court", &path, &json!({})).await.problem(409, "refused");
    assert_eq!(somebody_else["refusals"][0]["code"], "role");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_minimal_for_those_who_wish_it() {
    let app = TestApp::start().await;
    let path = format!("/api/v1/cases/{}/actions/case.record", app.open().await);
    let record = |prefer: &'static str| {
        let request = app.request(Method::POST, Some("director"), &path).header("prefer", prefer);
        app.send(request.json(&json!({"input": {"summary": "x"}})))
    };
    let whole = record("respond-async").await;
    assert_eq!(whole.header("preference-applied"), "");
    let whole = whole.expect(200);
    assert!(whole["actions"].as_array().is_some_and(|all| !all.is_empty()));
    let minimal = record("respond-async, Return=Minimal").await;
    assert_eq!(minimal.header("preference-applied"), "return=minimal");
    let minimal = minimal.expect(200);
    assert_eq!((minimal.get("actions"), &minimal["version"]), (None, &json!(whole["version"].as_u64().unwrap_or_default() + 1)));
    app.stop().await;
}

/// A token that was replaced, on whichever server, opens nothing a second later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_replaced_is_soon_refused() {
    let app = TestApp::start().await;
    app.get("clerk", "/api/v1/cases").await.expect(200);
    let accounts = app.app.engine.store().accounts().await.expect("accounts");
    let clerk = accounts.into_iter().find(|a| a.role == "clerk").expect("a clerk");
    let new = Token::generate();
    app.app.engine.store().put_account(&clerk, &new).await.expect("it is kept");
    app.get(new.reveal(), "/api/v1/cases").await.expect(200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    app.get("clerk", "/api/v1/cases").await.problem(401, "unauthenticated");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_happens_twice_and_nothing_on_a_version_that_is_gone() {
    let app = TestApp::start().await;
    let with_key =
        |key: &str, path: &str, body: &Json| app.request(Method::POST, Some("intake_officer"), path).header("idempotency-key", key).json(body);

    // Opening.
    let body = json!({"workflow": "medical-dispute", "facts": {"hospital": "县人民医院"}});
    let first = app.send(with_key("open-1", "/api/v1/cases", &body)).await;
    assert!(first.header("location").starts_with("/api/v1/cases/"));
    let first = first.expect(201);
    let again = app.send(with_key("open-1", "/api/v1/cases", &body)).await.expect(201);
    assert_eq!((&first["id"], &first["version"]), (&again["id"], &again["version"]));
    let other = json!({"workflow": "medical-dispute", "facts": {}});
    app.send(with_key("open-1", "/api/v1/cases", &other)).await.problem(422, "key_reused");
    let cases = app.get("director", "/api/v1/cases").await.expect(200);
    assert_eq!(list(&cases["items"]).len(), 1);

    // A step: the same events, and nothing new.
    let case = text(&first["id"]).to_owned();
    let path = format!("/api/v1/cases/{case}/actions/case.record");
    let body = json!({"input": {"department": "骨科"}});
    let one = app.send(with_key("step-1", &path, &body)).await.expect(200);
    let two = app.send(with_key("step-1", &path, &body)).await.expect(200);
    assert_eq!((&one["events"], &one["version"]), (&two["events"], &two["version"]));
    app.send(with_key("step-1", &path, &json!({"input": {"department": "外科"}}))).await.problem(422, "key_reused");
    // A refused command does not use up its key.
    app.send(with_key("step-2", &path, &json!({"input": {}}))).await.problem(422, "input");
    app.send(with_key("step-2", &path, &body)).await.expect(200);
    // The key of one asker is not that of another.
    let theirs =
        app.request(Method::POST, Some("mediator"), &path).header("idempotency-key", "step-1").json(&json!({"input": {"department": "内科"}}));
    app.send(theirs).await.expect(200);

    // A file: the same bytes under the same key are the same file.
    let upload = || {
        let request = app.request(Method::POST, Some("intake_officer"), &format!("/api/v1/cases/{case}/files?paper=application"));
        request.header("content-type", "text/plain").header("idempotency-key", "file-1").body("申请书\n")
    };
    let one = app.send(upload()).await.expect(201);
    let two = app.send(upload()).await.expect(201);
    assert_eq!((&one["id"], &one["version"]), (&two["id"], &two["version"]));

    // If-Match.
    let read = app.get("director", &format!("/api/v1/cases/{case}")).await;
    let tag = read.header("etag").to_owned();
    let current = read.json()["version"].clone();
    let matching = |tag: &str, department: &str| {
        let request = app.request(Method::POST, Some("intake_officer"), &path).header("if-match", tag);
        request.json(&json!({"input": {"department": department}}))
    };
    for wrong in ["\"1\"", "\"nonsense\"", "W/\"1\""] {
        let document = app.send(matching(wrong, "产科")).await.problem(412, "version");
        assert_eq!(document["version"], current);
    }
    let moved = app.send(matching(&tag, "产科")).await;
    assert_ne!(moved.header("etag"), tag);
    moved.expect(200);
    app.send(matching(&tag, "儿科")).await.problem(412, "version");
    app.send(matching("*", "儿科")).await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_headers_and_silence_are_cut() {
    let limits = Limits { header: Duration::from_millis(300), ..Limits::default() };
    let app = TestApp::start_with(limits).await;
    for sent in ["GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ", "", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The end of the stream is what is waited for; a minute is for machines that do other things too.
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{sent:?} is still open");
        let whole = sent.ends_with("\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"), whole, "{sent:?}");
    }
    // A body that does not arrive is not waited for without end.
    app.stop().await;
    let limits = Limits { body: Duration::from_millis(300), ..Limits::default() };
    let app = TestApp::start_with(limits).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /api/v1/sandbox/clock HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        app.token("director")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    drop(stream);
    app.stop().await;
    // Where there is room for one connection, the next waits until the silent one is cut.
    let limits = Limits { header: Duration::from_millis(300), connections: 1, ..Limits::default() };
    let app = TestApp::start_with(limits).await;
    let silent = TcpStream::connect(app.address).await.unwrap();
    app.send(app.request(Method::GET, None, "/healthz")).await.expect(200);
    drop(silent);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_what_is_in_flight_finish() {
    let mut app = TestApp::start().await;
    let case = app.open().await;
    let body = json!({"input": {"department": "骨科"}}).to_string();
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /api/v1/cases/{case}/actions/case.record HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        app.token("clerk"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // That the body is asked for proves that the request is in flight.
    let mut go_on = vec![0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    app.begin_stop();
    while TcpStream::connect(app.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    app.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_visit_every_case_once() {
    let app = TestApp::start().await;
    let mut opened = BTreeSet::new();
    for n in 0..13 {
        let case = app.open().await;
        if n % 3 == 0 {
            app.act("intake_officer", &case, "case.record", &json!({"input": {"hospital": "王村卫生院", "department": format!("科室{n}")}}))
                .await
                .expect(200);
        }
        if n % 4 == 0 {
            app.act("intake_officer", &case, "mediation.advise_only", &json!({"input": {"advice": "说明途径", "ways": ["协商"]}})).await.expect(200);
        }
        opened.insert(case);
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/cases?limit=4".to_owned();
    loop {
        let page = app.get("mediator", &path).await.expect(200);
        let items = list(&page["items"]);
        assert!(items.len() <= 4);
        seen.extend(items.iter().map(|i| text(&i["id"]).to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/cases?limit=4&cursor={next}");
    }
    assert_eq!(seen.len(), opened.len());
    assert_eq!(BTreeSet::from_iter(seen), opened);

    let count = async |query: &str| list(&app.get("mediator", &format!("/api/v1/cases?limit=100&{query}")).await.expect(200)["items"]).len();
    assert_eq!(count("q=王村卫生院").await, 5);
    assert_eq!(count("q=王村卫生院 科室3").await, 1);
    assert_eq!(count("stage=intake").await, 9);
    assert_eq!(count("due_before=2026-03-03").await, 0, "the first answer is due on the next working day, the 3rd");
    assert_eq!(count("due_before=2026-03-04").await, 9);

    // The log pages by number.
    let case = opened.first().unwrap();
    let all = app.get("mediator", &format!("/api/v1/cases/{case}/events")).await.expect(200);
    let first = app.get("mediator", &format!("/api/v1/cases/{case}/events?limit=1")).await.expect(200);
    let rest = app.get("mediator", &format!("/api/v1/cases/{case}/events?after={}", first["next"])).await.expect(200);
    assert_eq!([list(&first["items"]), list(&rest["items"])].concat(), list(&all["items"]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_what_they_say_and_only_saved() {
    let app = TestApp::start().await;
    let case = app.open().await;
    let upload = |media_type: &str, query: &str, bytes: &'static [u8]| {
        let request = app.request(Method::POST, Some("clerk"), &format!("/api/v1/cases/{case}/files{query}"));
        request.header("content-type", media_type).body(bytes)
    };
    app.send(upload("application/pdf", "", b"<html>")).await.problem(415, "media_type");
    app.send(upload("text/html", "", b"<html>")).await.problem(415, "media_type");
    app.send(upload("text/plain", "", b"")).await.problem(415, "media_type");
    app.send(upload("text/plain", "?papr=application", b"x")).await.problem(400, "bad_query");
    app.send(upload("text/plain", "?paper=aplication", b"x")).await.problem(422, "input");
    let huge: &'static [u8] = Box::leak(vec![b'x'; 12 * 1024 * 1024 + 1].into_boxed_slice());
    app.send(upload("text/plain", "", huge)).await.problem(413, "too_large");
    let kept = app.send(upload("application/pdf", "?paper=application&name=..%2F%E7%94%B3%E8%AF%B7.pdf", b"%PDF-1.7\n")).await;
    let location = kept.header("location").to_owned();
    let kept = kept.expect(201);
    assert_eq!((&kept["paper"], &kept["size"]), (&json!("application"), &json!(9)));
    let file = app.get("director", &location).await;
    assert_eq!((file.status, file.bytes.as_slice()), (200, b"%PDF-1.7\n".as_slice()));
    assert_eq!(file.header("content-disposition"), "attachment; filename*=UTF-8''%E7%94%B3%E8%AF%B7.pdf");
    assert_eq!((file.header("content-type"), file.header("x-content-type-options")), ("application/pdf", "nosniff"));
    // What staff handed in is not everybody's to read.
    app.get("patient_side", &location).await.problem(404, "not_found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_moved_back_holds_cases_from_later() {
    let app = TestApp::start().await;
    let early = app.open().await;
    app.clock("2026-04-01T09:00:00+08:00").await;
    let late = app.open().await;
    app.clock("2026-03-03T09:00:00+08:00").await;
    let body = json!({"input": {"department": "骨科"}});
    app.act("clerk", &early, "case.record", &body).await.expect(200);
    let held = app.act("clerk", &late, "case.record", &body).await.problem(409, "clock_behind");
    assert!(text(&held["detail"]).contains("2026-04-01T09:00"), "{held}");
    app.clock("2026-04-01T10:00:00+08:00").await;
    app.act("clerk", &late, "case.record", &body).await.expect(200);
    for wrong in [json!({}), json!({"now": "tomorrow"}), json!({"now": "9999-01-01T00:00:00Z"})] {
        app.post("clerk", "/api/v1/sandbox/clock", &wrong).await.problem(400, "bad_field");
    }
    app.stop().await;
}
