//! Who may ask what: every described route with every token of the training room and with none, as a text that is
//! reviewed (`tests/golden/api-access.txt`); and what accounts that belong to one case see of it and of others.
//!
//! `HEYI_GOLDEN=write` writes the text anew.

use heyi_engine::case::Account;
use heyi_engine::ids::AccountId;
use heyi_engine::scenario::Cast;
use heyi_engine::store::accounts::Token;
use heyi_tests::app::{START, TestApp};
use heyi_tests::walk::Walk;
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// One line of the matrix: method, path as described, address, body.
type Route = (Method, &'static str, String, Option<Json>);

fn routes(case: &str, file: &str, export: &str, notice: &str) -> Vec<Route> {
    let get = |path: &'static str, address: String| (Method::GET, path, address, None);
    let post = |path: &'static str, address: String, body: Json| (Method::POST, path, address, Some(body));
    let here = format!("/api/v1/cases/{case}");
    vec![
        get("/healthz", "/healthz".to_owned()),
        get("/readyz", "/readyz".to_owned()),
        get("/metrics", "/metrics".to_owned()),
        get("/openapi.json", "/openapi.json".to_owned()),
        get("/.well-known/heyi-key.pem", "/.well-known/heyi-key.pem".to_owned()),
        get("/api/v1/workflows", "/api/v1/workflows".to_owned()),
        get("/api/v1/workflows/{name}", "/api/v1/workflows/medical-dispute".to_owned()),
        get("/api/v1/workflows/{name}/graph.svg", "/api/v1/workflows/medical-dispute/graph.svg?kind=mediation".to_owned()),
        get("/api/v1/cases", "/api/v1/cases".to_owned()),
        post("/api/v1/cases", "/api/v1/cases".to_owned(), json!({"workflow": "medical-dispute"})),
        get("/api/v1/cases/{id}", here.clone()),
        get("/api/v1/cases/{id}/events", format!("{here}/events")),
        get("/api/v1/cases/{id}/deadlines", format!("{here}/deadlines")),
        get("/api/v1/cases/{id}/notices", format!("{here}/notices")),
        get("/api/v1/cases/{id}/notices/{notice}", format!("{here}/notices/{notice}.pdf")),
        post("/api/v1/cases/{id}/notices/{notice}/retry", format!("{here}/notices/{notice}/retry"), json!({})),
        get("/api/v1/cases/{id}/work", format!("{here}/work")),
        get("/api/v1/cases/{id}/actions", format!("{here}/actions")),
        post("/api/v1/cases/{id}/actions/{action}", format!("{here}/actions/case.record"), json!({"input": {"department": "骨科"}})),
        post("/api/v1/cases/{id}/files", format!("{here}/files"), Json::Null),
        get("/api/v1/cases/{id}/files/{file}", format!("{here}/files/{file}")),
        get("/api/v1/cases/{id}/documents", format!("{here}/documents")),
        get("/api/v1/cases/{id}/documents/{document}", format!("{here}/documents/agreement.pdf")),
        post("/api/v1/cases/{id}/exports", format!("{here}/exports"), json!({"recipient": "notary"})),
        get("/api/v1/cases/{id}/exports/{export}", format!("{here}/exports/{export}")),
        post("/api/v1/sandbox/clock", "/api/v1/sandbox/clock".to_owned(), json!({"now": START})),
        post("/api/v1/sandbox/drain", "/api/v1/sandbox/drain".to_owned(), json!({})),
    ]
}

async fn status(app: &TestApp, route: &Route, who: Option<&str>) -> u16 {
    let (method, path, address, body) = route;
    let request = app.request(method.clone(), who, address);
    let request = match body {
        Some(Json::Null) => request.header("content-type", "text/plain").body("一份材料\n"),
        Some(body) => request.json(body),
        None => request,
    };
    let answer = app.send(request).await;
    assert!(answer.status < 500, "{method} {path} for {who:?}: {}", String::from_utf8_lossy(&answer.bytes));
    answer.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_for_every_role_as_reviewed() {
    let mut app = TestApp::start().await;
    let (case, _) = Walk::new(&app, "medical-dispute", "notarisation.issue", START).await.run().await;
    let read = app.get("director", &format!("/api/v1/cases/{case}")).await.expect(200);
    let file = text(&read["files"][0]["id"]).to_owned();
    let export = app.post("director", &format!("/api/v1/cases/{case}/exports"), &json!({"recipient": "notary"})).await.expect(201);
    // A letter to the patient side.
    let letters = app.get("director", &format!("/api/v1/cases/{case}/notices")).await.expect(200);
    let letter = letters["items"].as_array().unwrap().iter().find(|l| l["as"] == "patient_side").expect("a letter to the patient side");
    let routes = routes(&case, &file, text(&export["id"]), text(&letter["id"]));

    let described = app.send(app.request(Method::GET, None, "/openapi.json")).await.expect(200);
    let described: BTreeSet<String> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase())))
        .collect();
    let covered: BTreeSet<String> = routes.iter().map(|(method, path, _, _)| format!("{method} {path}")).collect();
    assert_eq!(described, covered, "a new route needs a line here, and its description");

    // Beside the training room's accounts, which stand in for anybody: one account of a side and one of a body outside
    // that have nothing to do with this case, and staff who do not stand in.
    for (key, role) in [("stranger_patient", "patient_side"), ("stranger_court", "court"), ("real_clerk", "clerk")] {
        let token = Token::generate();
        app.app.engine.store().put_account(&account(key, role), &token).await.unwrap();
        app.remember(key, token.reveal());
    }
    let mut who: Vec<Option<String>> = vec![None];
    let order = [
        "intake_officer",
        "mediator",
        "clerk",
        "director",
        "archivist",
        "patient_side",
        "hospital_side",
        "expert",
        "appraiser",
        "insurer",
        "notary",
        "court",
        "agency",
        "supervisor",
    ];
    who.extend(order.iter().chain(&["real_clerk", "stranger_patient", "stranger_court"]).map(|w| Some((*w).to_owned())));
    // The other procedures bring people of their own, whom this case does not concern.
    let cast = Cast::parse(include_str!("../../workflows/medical-dispute/cast.yaml")).expect("the shipped cast is good");
    let known: BTreeSet<&str> = app.everybody().into_iter().collect();
    assert!(who.iter().flatten().all(|w| known.contains(w.as_str())), "{known:?}");
    assert_eq!(cast.accounts.keys().map(String::as_str).collect::<BTreeSet<_>>(), order.into_iter().collect(), "each role is asked");

    let mut out = String::from(
        "Who may ask what: the status of each route for nobody, for the training room's accounts, which stand in for anybody of\n\
         their role, and for three that do not. The case is one with a notarised agreement. 409: may ask, and the rules say no.\n\n",
    );
    let names: Vec<&str> = who.iter().map(|w| w.as_deref().unwrap_or("(no token)")).collect();
    for (n, name) in names.iter().enumerate() {
        let _ = writeln!(out, "{:>2} {name}", n + 1);
    }
    let heads: Vec<String> = (1..=names.len()).map(|n| format!("{n:>3}")).collect();
    let _ = writeln!(out, "\n{:<52}{}", "", heads.join(" "));
    for route in &routes {
        let mut line = format!("{:<52}", format!("{} {}", route.0, route.1));
        for one in &who {
            let _ = write!(line, "{} ", status(&app, route, one.as_deref()).await);
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/api-access.txt");
    if std::env::var_os("HEYI_GOLDEN").is_some_and(|v| v == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &out).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(out == reviewed, "access has changed; review it, and write it anew with HEYI_GOLDEN=write:\n{out}");
    app.stop().await;
}

fn account(key: &str, role: &str) -> Account {
    let digest = heyi_engine::case::sha256(key.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    Account {
        id: AccountId::new(heyi_engine::ids::uuid_v7(1_767_225_600_000, &bytes)),
        role: role.to_owned(),
        name: key.to_owned(),
        organisation: None,
        email: Some(format!("{key}@example.org")),
        language: "en".to_owned(),
        stands_in: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_belongs_to_one_case_sees_that_one_and_no_more_of_it_than_is_theirs() {
    let mut app = TestApp::start().await;
    let mut ids = Vec::new();
    for (key, role) in [("wang", "patient_side"), ("clinic", "hospital_side"), ("judge", "court")] {
        let token = Token::generate();
        let new = account(key, role);
        app.app.engine.store().put_account(&new, &token).await.unwrap();
        app.remember(key, token.reveal());
        ids.push(new.id.to_string());
    }
    let facts = json!({"hospital": "县人民医院", "patient": "王小明", "summary": "术后感染"});
    let mine = app.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-dispute", "facts": facts})).await.expect(201);
    let mine = text(&mine["id"]).to_owned();
    let other = app.open().await;
    let person = |side: &str, name: &str, account: &str| json!({"input": {"side": side, "name": name, "phone": "13800000000", "email": format!("{side}@example.org"), "identity": "320000000000000000", "account": account}});
    app.act("clerk", &mine, "case.person", &person("patient_side", "王某", &ids[0])).await.expect(200);
    app.act("clerk", &mine, "case.person", &person("hospital_side", "县人民医院", &ids[1])).await.expect(200);
    // The court's account is let in as a person would be; its role keeps its eyes.
    app.act("clerk", &mine, "case.person", &person("hospital_side", "旁听", &ids[2])).await.expect(200);

    for who in ["wang", "clinic", "judge"] {
        let page = app.get(who, "/api/v1/cases").await.expect(200);
        let seen: Vec<&str> = page["items"].as_array().unwrap().iter().map(|c| text(&c["id"])).collect();
        assert_eq!(seen, [mine.as_str()], "{who}");
        for route in ["", "/events", "/deadlines", "/notices", "/work", "/actions", "/documents"] {
            app.get(who, &format!("/api/v1/cases/{other}{route}")).await.problem(404, "not_found");
            app.get(who, &format!("/api/v1/cases/{mine}{route}")).await.expect(200);
        }
        app.act(who, &other, "mediation.withdraw", &json!({})).await.problem(404, "not_found");
        app.post(who, &format!("/api/v1/cases/{mine}/exports"), &json!({"recipient": "court"})).await.problem(403, "forbidden");
    }

    let read = async |who: &str| app.get(who, &format!("/api/v1/cases/{mine}")).await.expect(200);
    let staff = read("clerk").await;
    assert_eq!(staff["facts"]["patient"], "王小明");
    assert_eq!(staff["people"][1]["phone"], "13800000000");
    // A side: the facts, itself whole, and the other side by name alone.
    let wang = read("wang").await;
    assert_eq!(wang["facts"]["summary"], "术后感染");
    assert_eq!((&wang["people"][0]["phone"], &wang["people"][1]["name"]), (&json!("13800000000"), &json!("县人民医院")));
    for hidden in ["phone", "email", "identity"] {
        assert!(wang["people"][1][hidden].is_null() && wang["people"][1]["withheld"].as_array().unwrap().contains(&json!(hidden)), "{wang}");
    }
    // A body outside: nothing personal and nothing sensitive, and what is missing is said.
    let judge = read("judge").await;
    assert_eq!(judge["facts"], json!({"hospital": "县人民医院"}));
    assert_eq!(judge["withheld"], json!(["patient", "summary"]));
    let whole = judge.to_string();
    assert!(!whole.contains("王") && !whole.contains("13800000000") && !whole.contains("example.org"), "{whole}");
    app.get("judge", "/api/v1/cases?q=王小明").await.problem(403, "forbidden");

    // Letters: everybody sees how far each has come, and reads their own.
    app.upload("clerk", &mine, "paper=application").await.expect(201);
    app.act("patient_side", &mine, "mediation.apply", &json!({"input": {"applicant": "patient_side", "request": "请求赔偿"}})).await.expect(200);
    app.drain().await;
    let letters = async |who: &str| app.get(who, &format!("/api/v1/cases/{mine}/notices")).await.expect(200)["items"].as_array().cloned().unwrap();
    let (of_wang, of_clinic) = (letters("wang").await, letters("clinic").await);
    assert!(!of_wang.is_empty() && of_wang.len() == of_clinic.len());
    assert!(of_wang.iter().all(|l| l["state"] == "sent"));
    assert!(of_wang.iter().any(|l| text(&l["letter"]["text"]).contains("王某")));
    assert!(of_clinic.iter().all(|l| l["letter"].is_null() && l["proof"].is_null()), "{of_clinic:?}");

    // On paper likewise: for staff and the recipient, and for nobody else not even that there is such a letter.
    let own = of_wang.iter().find(|l| text(&l["letter"]["text"]).contains("王某")).expect("a letter to 王某");
    for who in ["clerk", "wang"] {
        let pdf = app.get(who, text(&own["letter"]["url"])).await;
        assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"), "{who}");
        assert!(pdf.bytes.starts_with(b"%PDF-"), "{who}");
    }
    for who in ["clinic", "judge"] {
        app.get(who, text(&own["letter"]["url"])).await.problem(404, "not_found");
    }
    let elsewhere = text(&own["letter"]["url"]).replace(&mine, &other);
    app.get("clerk", &elsewhere).await.problem(404, "not_found");
    app.get("clerk", text(&own["letter"]["url"]).trim_end_matches(".pdf")).await.problem(404, "not_found");
    app.stop().await;
}
