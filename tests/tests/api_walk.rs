//! With the tokens of the training room alone, and knowing only the name of the last step, a fresh case is driven to a
//! notarised agreement: by what `…/actions` lists as allowed, and by what its refusals say would unlock the rest.

use heyi_tests::app::{START, TestApp};
use heyi_tests::walk::Walk;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_actions_alone_lead_to_a_notarised_agreement() {
    let app = TestApp::start().await;
    let (case, steps) = Walk::new(&app, "medical-dispute", "notarisation.issue", START).await.run().await;
    println!("{}", steps.join("\n"));
    let read = app.get("director", &format!("/api/v1/cases/{case}")).await.expect(200);
    let proceedings = read["proceedings"].as_array().cloned().unwrap_or_default();
    let state = |kind: &str| proceedings.iter().find(|p| p["kind"] == kind).map(|p| p["state"].clone());
    assert_eq!(state("notarisation"), Some(json!("issued")));
    assert_eq!(state("agreement"), Some(json!("effective")));

    // What the case has produced: the form, the package, and a letter to everybody who had to be told.
    let pdf = app.get("director", &format!("/api/v1/cases/{case}/documents/agreement.pdf")).await;
    assert_eq!((pdf.status, pdf.header("content-type")), (200, "application/pdf"));
    assert!(pdf.bytes.starts_with(b"%PDF-"));
    let made = app.post("director", &format!("/api/v1/cases/{case}/exports"), &json!({"recipient": "notary"})).await.expect(201);
    let again = app.post("mediator", &format!("/api/v1/cases/{case}/exports"), &json!({"recipient": "notary"})).await.expect(201);
    assert_eq!(made["id"], again["id"], "the same agreement gives the same package");
    let zip = app.get("director", made["url"].as_str().unwrap_or_default()).await;
    assert!(zip.status == 200 && zip.bytes.starts_with(b"PK"));
    assert_eq!(heyi_engine::case::sha256(&zip.bytes), made["sha256"].as_str().unwrap_or_default());
    app.drain().await;
    let notices = app.get("director", &format!("/api/v1/cases/{case}/notices")).await.expect(200);
    let states: Vec<&str> = notices["items"].as_array().into_iter().flatten().filter_map(|n| n["state"].as_str()).collect();
    assert!(states.len() > 10 && states.iter().all(|s| *s == "sent"), "{states:?}");
    app.stop().await;
}
