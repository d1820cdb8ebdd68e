//! Through the API: one case writes to another and hears back once; what was told and is undone is taken back by another
//! letter; a printed letter carries its receipt of service.

use heyi_tests::app::{START, TestApp};
use heyi_tests::walk::Walk;
use serde_json::{Value as Json, json};

async fn case(app: &TestApp, id: &str) -> Json {
    app.get("director", &format!("/api/v1/cases/{id}")).await.expect(200)
}

async fn events(app: &TestApp, id: &str) -> Vec<Json> {
    let all = app.get("director", &format!("/api/v1/cases/{id}/events?limit=200")).await.expect(200);
    all["items"].as_array().cloned().unwrap_or_default()
}

/// The number of the last step of this name.
async fn step(app: &TestApp, id: &str, transition: &str) -> u64 {
    let all = events(app, id).await;
    let found = all.iter().rev().find(|e| e["what"]["transition"] == transition).unwrap_or_else(|| panic!("nothing did {transition}"));
    found["seq"].as_u64().expect("a number")
}

/// The letters of a kind, by their state.
async fn letters(app: &TestApp, id: &str, kind: &str) -> Vec<String> {
    let all = app.get("director", &format!("/api/v1/cases/{id}/notices")).await.expect(200);
    let of_kind = all["items"].as_array().cloned().unwrap_or_default().into_iter().filter(|n| n["kind"] == kind);
    of_kind.map(|n| n["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_is_merged_into_another_once_or_told_that_it_cannot_be() {
    let app = TestApp::start().await;
    let (kept, _) = Walk::new(&app, "medical-dispute", "mediation.submit", START).await.run().await;
    let (second, _) = Walk::new(&app, "medical-dispute", "mediation.submit", START).await.run().await;

    // Nobody but another case may take what is another case's.
    let refused = app.act("director", &kept, "mediation.absorb", &json!({"input": {"request": "x"}})).await.problem(409, "refused");
    assert!(refused["refusals"].as_array().is_some_and(|all| all.iter().any(|r| r["code"] == "role")), "{refused}");

    // A case that is not there says no, and this one goes on.
    let nowhere = "019b0000-0000-7000-8000-0000000000c1";
    app.act("intake_officer", &second, "mediation.merge", &json!({"input": {"kept": nowhere}})).await.expect(200);
    app.drain().await;
    // Both sides said that they apply together, and are asked again.
    assert_eq!(case(&app, &second).await["state"], "joining");

    app.act("intake_officer", &second, "mediation.merge", &json!({"input": {"kept": kept}})).await.expect(200);
    app.drain().await;
    assert_eq!(case(&app, &second).await["state"], "merged");
    let taken_in = |all: &[Json]| all.iter().filter(|e| e["what"]["transition"] == "absorb").count();
    assert_eq!(taken_in(&events(&app, &kept).await), 1);
    app.drain().await;
    assert_eq!(taken_in(&events(&app, &kept).await), 1, "draining again does nothing a second time");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_and_is_undone_is_taken_back_by_a_letter() {
    let app = TestApp::start().await;
    let (id, _) = Walk::new(&app, "medical-dispute", "mediation.ask_correction", START).await.run().await;
    let asks = json!({"input": {"missing": "病历复印件"}});
    let undo = |event: u64| json!({"input": {"event": event, "reason": "录入有误"}});

    // The walk ended with this step: undone by whoever may, it has not been.
    let before = step(&app, &id, "ask_correction").await;
    app.act("mediator", &id, "case.undo", &undo(before)).await.problem(409, "refused");
    app.act("director", &id, "case.undo", &undo(before)).await.expect(200);
    assert_eq!(case(&app, &id).await["state"], "screening");

    // Undone after it left: whoever had it is told.
    app.act("intake_officer", &id, "mediation.ask_correction", &asks).await.expect(200);
    app.drain().await;
    let after = step(&app, &id, "ask_correction").await;
    app.act("director", &id, "case.undo", &undo(after)).await.expect(200);
    app.drain().await;
    let told = letters(&app, &id, "step_undone").await;
    assert!(!told.is_empty() && told.iter().all(|s| s == "sent"), "{told:?}");

    // A corrected day corrects the letter that named another.
    app.act("intake_officer", &id, "mediation.ask_correction", &asks).await.expect(200);
    app.drain().await;
    let wrong = step(&app, &id, "submit").await;
    let future = json!({"input": {"event": wrong, "on": "2030-01-01", "reason": "日期有误"}});
    app.act("director", &id, "case.correct", &future).await.problem(409, "refused");
    let empty = json!({"input": {"event": wrong, "reason": "没有更正内容"}});
    app.act("director", &id, "case.correct", &empty).await.problem(422, "input");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_printed_for_its_reader_and_for_staff_only() {
    let app = TestApp::start().await;
    let (id, _) = Walk::new(&app, "medical-dispute", "mediation.submit", START).await.run().await;
    let all = app.get("clerk", &format!("/api/v1/cases/{id}/notices")).await.expect(200);
    let first = all["items"][0]["letter"]["url"].as_str().expect("a letter can be had on paper").to_owned();
    let pdf = app.get("clerk", &first).await;
    assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
    assert!(pdf.bytes.starts_with(b"%PDF-"));
    assert_eq!(app.get("insurer", &first).await.status, 404, "whoever may not read it learns nothing of it");
    app.stop().await;
}
