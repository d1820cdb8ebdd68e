//! How checkpoints are taken, where they go, and what happens when the database and the file tell different stories.

use super::copy::demo;
use heyi_api::config::Config;
use heyi_api::package::PrivateKey;
use heyi_api::proofs::{self, ProofError};
use heyi_api::state::{App, Mode};
use heyi_engine::proof::log::{self, Checkpoint, Signer};
use heyi_engine::store::Store;
use heyi_tests::app::TestApp;
use heyi_tests::process::{Ran, Serving, command, copy_folder, scratch};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::Value as Json;
use std::path::Path;

fn lines(path: &Path) -> Vec<Checkpoint> {
    std::fs::read_to_string(path).expect("the file is there").lines().map(|line| Checkpoint::read(line).expect("a checkpoint")).collect()
}

#[test]
fn a_checkpoint_is_taken_when_something_changed_and_the_file_is_kept_whole() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    rt.block_on(async {
        let room = TestApp::start().await;
        let path = proofs::file(&room.app.config);
        room.open().await;
        proofs::take(&room.app).await.expect("a checkpoint is taken");
        assert_eq!(proofs::take(&room.app).await.expect("nothing had changed"), 0);
        room.open().await;
        room.open().await;
        assert_eq!(proofs::take(&room.app).await.expect("a checkpoint is taken"), 1);
        let written = lines(&path);
        assert_eq!(written.iter().map(|c| c.size).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(written[1].previous, written[0].root);
        // A file that was lost is written again; what a crash left of a line is mended.
        let whole = std::fs::read_to_string(&path).expect("the file is there");
        std::fs::remove_file(&path).expect("it was there");
        proofs::take(&room.app).await.expect("the file is mended");
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), whole);
        std::fs::write(&path, &whole[..whole.len() - 40]).expect("it can be written");
        proofs::take(&room.app).await.expect("the file is mended");
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), whole);
        // A database that was set back to an earlier day does not go on as if nothing had been.
        let store = room.app.engine.store();
        store.db().execute_unprepared("DELETE FROM checkpoint WHERE size = 3").await.expect("rows are deleted");
        store.db().execute_unprepared("DELETE FROM log_leaf WHERE number >= 1").await.expect("rows are deleted");
        assert!(matches!(proofs::take(&room.app).await, Err(ProofError::Another { size: 3, .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), whole, "nothing is added to it");
        // A checkpoint whose peaks were changed is not built upon.
        std::fs::remove_file(&path).expect("it was there");
        store.db().execute_unprepared("UPDATE checkpoint SET peaks = '00'").await.expect("a row is changed");
        assert!(matches!(proofs::take(&room.app).await, Err(ProofError::Log(log::LogError::Damaged { size: 1 }))));
    });
}

#[test]
fn the_end_of_serving_leaves_a_checkpoint_and_mails_it() {
    let folder = scratch("served");
    std::fs::write(folder.join("heyi.toml"), "[checkpoint_mail]\nto = \"keeper@archive.example\"\nlanguage = \"en\"\n").expect("it can be written");
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    rt.block_on(async {
        let serving = Serving::sandbox(&folder, |serve| serve);
        let (status, _) = serving.post("intake_officer", "/api/v1/cases", &serde_json::json!({"workflow": "medical-dispute", "facts": {}})).await;
        assert_eq!(status, 201);
        serving.stop();
    });
    let written = lines(&folder.join("checkpoints/checkpoints.jsonl"));
    assert_eq!(written.iter().map(|c| c.size).collect::<Vec<_>>(), [1]);
    let mail = std::fs::read_to_string(folder.join("mail/checkpoint.1.eml")).expect("it was mailed");
    assert!(mail.contains("keeper@archive.example") && mail.contains("Subject: Checkpoint 1\r\n"), "{mail}");
    let report = Ran::of(command(["verify", "--database", "--replay", "--json", "--data"]).arg(&folder)).ended(0);
    let report: Json = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!((report["cases"].as_i64(), report["lines"].as_i64(), report["since"].as_i64()), (Some(1), Some(1), Some(0)));
}

/// Two programs on one database at one moment: every version is in the log once, and both files tell the same story.
#[test]
fn of_two_nodes_one_writes() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    rt.block_on(async {
        let folder = scratch("nodes");
        copy_folder(demo(), &folder);
        let config = Config { data_dir: folder.clone(), ..Config::default() };
        let app = App::open(config, Mode::Sandbox).await.expect("it opens");
        app.engine.store().db().execute_unprepared("DELETE FROM checkpoint").await.expect("rows are deleted");
        app.engine.store().db().execute_unprepared("DELETE FROM log_leaf").await.expect("rows are deleted");
        let mut nodes = Vec::new();
        for node in 0..8 {
            let store = Store::connect(&app.config.database()).await.expect("it connects");
            nodes.push(tokio::spawn(async move {
                let key = PrivateKey::from_seed([node; 32]);
                log::take(&store, &key as &dyn Signer, chrono::Utc::now()).await.expect("none fails")
            }));
        }
        let mut taken = 0;
        for node in nodes {
            taken += usize::from(node.await.expect("none panics").is_some());
        }
        assert_eq!(taken, 1, "one node took the checkpoint");
        let cases = app.engine.store().db().query_one_raw(Statement::from_string(
            app.engine.store().db().get_database_backend(),
            "SELECT COUNT(*), (SELECT COUNT(*) FROM case_row), (SELECT COUNT(*) FROM checkpoint) FROM log_leaf".to_owned(),
        ));
        let row = cases.await.expect("it can be read").expect("a row");
        let (leaves, cases, checkpoints): (i64, i64, i64) =
            (row.try_get_by_index(0).expect("n"), row.try_get_by_index(1).expect("n"), row.try_get_by_index(2).expect("n"));
        assert_eq!((leaves, checkpoints), (cases, 1));
    });
}
