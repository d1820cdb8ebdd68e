//! `heyi workflow migrate`: a running case keeps the version that it was opened under; a newer file shows first what it
//! would change, strands nobody, and moves all or none.

use heyi_tests::app::TestApp;
use heyi_tests::process::{Ran, command, scratch};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

const SHIPPED: &str = include_str!("../../workflows/medical-dispute/workflow.yaml");

/// The shipped procedure with its first state under another name, in a folder of its own.
fn renamed(name: &str, rule: &str) -> PathBuf {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut text = String::new();
    let mut rest = SHIPPED;
    while let Some(at) = rest.find("received") {
        let end = at + "received".len();
        let alone = !rest[..at].ends_with(word) && !rest[end..].starts_with(word);
        text.push_str(&rest[..at]);
        text.push_str(if alone { "welcomed" } else { "received" });
        rest = &rest[end..];
    }
    text.push_str(rest);
    let folder = scratch(name).join("medical-dispute");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("workflow.yaml"), text.replace("\nproceedings:\n", &format!("\n{rule}\nproceedings:\n"))).expect("a file");
    folder.parent().expect("a parent").to_owned()
}

fn migrate(data: &Path, workflows: &Path, apply: bool) -> Ran {
    let mut command = command(["workflow", "migrate", "medical-dispute", "--json", "--data"]);
    command.arg(data).arg("--workflows").arg(workflows);
    if apply {
        command.arg("--apply");
    }
    Ran::of(&mut command)
}

fn said(ran: &Ran) -> Json {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", ran.stdout, ran.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_strands_nobody_and_moves_all_or_none() {
    let app = TestApp::start().await;
    let case = app.open().await;
    let state = async || app.get("director", &format!("/api/v1/cases/{case}")).await.expect(200)["state"].clone();
    assert_eq!(state().await, "received");

    // Without a rule the case has no place to go: the list says which and why, and nothing is written.
    let bare = renamed("migrate-bare", "");
    for apply in [false, true] {
        let ran = migrate(&app.folder(), &bare, apply).ended(1);
        let answer = said(&ran);
        assert_eq!((answer["stranded"].as_u64(), answer["applied"].as_bool()), (Some(1), Some(false)));
        assert!(answer["cases"][0]["plan"]["stranded"][0].as_str().is_some_and(|why| why.contains("mediation.received")), "{answer}");
    }
    assert_eq!(state().await, "received");

    // With one, the preview shows the change and writes nothing; --apply moves it.
    let ruled = renamed("migrate-ruled", "migrates: {states: {mediation.received: welcomed}}\n");
    let preview = said(&migrate(&app.folder(), &ruled, false).ended(0));
    assert_eq!(preview["cases"][0]["plan"]["states"][0]["to"], "welcomed");
    assert_eq!(state().await, "received");
    let applied = said(&migrate(&app.folder(), &ruled, true).ended(0));
    assert_eq!(applied["applied"], true);
    assert_eq!(said(&migrate(&app.folder(), &ruled, false).ended(0))["cases"].as_array().map(Vec::len), Some(0), "all of them have moved");
    // The server that runs on reads the pinned version of the case, whatever it was started with.
    assert_eq!(state().await, "welcomed");
    app.stop().await;
}
