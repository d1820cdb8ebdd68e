//! A demo that was played to its end, and copies of it that can be edited as somebody would who has the database and not the program.

use heyi_api::package::PublicKey;
use heyi_engine::case::sha256;
use heyi_engine::proof::{Ask, Fault, Finding, Report, verify};
use heyi_engine::store::Store;
use heyi_engine::store::cases::chain;
use heyi_engine::store::seal::SealKey;
use heyi_tests::process::{Ran, command, copy_folder, scratch};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, QueryResult, Statement};
use serde_json::Value as Json;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio::runtime::Runtime;

/// A demo that was played to its end, with its checkpoint. Only looked at and copied.
pub fn demo() -> &'static Path {
    static DEMO: OnceLock<PathBuf> = OnceLock::new();
    DEMO.get_or_init(|| {
        let folder = scratch("whole");
        drop(Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder)).ended(0));
        folder
    })
}

/// A copy to be tampered with.
pub struct Copy {
    pub folder: PathBuf,
    pub rt: Runtime,
    pub db: DatabaseConnection,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Copy {
    pub fn new(name: &str) -> Self {
        let folder = scratch(&format!("tampered-{name}"));
        copy_folder(demo(), &folder);
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let db = rt.block_on(Database::connect(format!("sqlite:{}?mode=rw", folder.join("heyi.db").display()))).expect("the database opens");
        Self { folder, rt, db }
    }

    pub fn run(&self, sql: &str) -> u64 {
        self.rt.block_on(self.db.execute_unprepared(sql)).unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
    }

    pub fn rows(&self, sql: &str) -> Vec<QueryResult> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql.to_owned());
        self.rt.block_on(self.db.query_all_raw(statement)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub fn text(&self, sql: &str) -> String {
        self.rows(sql).first().unwrap_or_else(|| panic!("{sql}: no row")).try_get_by_index(0).expect("a text")
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.rows(sql).first().unwrap_or_else(|| panic!("{sql}: no row")).try_get_by_index(0).expect("a number")
    }

    pub fn bytes(&self, sql: &str) -> Vec<u8> {
        self.rows(sql).first().unwrap_or_else(|| panic!("{sql}: no row")).try_get_by_index(0).expect("bytes")
    }

    /// The cases, the one with the longest history first.
    pub fn cases(&self) -> Vec<String> {
        self.rows("SELECT id FROM case_row ORDER BY version DESC, id").iter().map(|row| row.try_get_by_index(0).expect("an id")).collect()
    }

    pub fn master(&self) -> SealKey {
        SealKey::of_installation(&self.folder.join("keys/master.key")).expect("the key is there")
    }

    /// The key of a case, as somebody has it who holds the installation's key.
    pub fn key(&self, case: &str) -> SealKey {
        let wrapped = self.bytes(&format!("SELECT wrapped FROM case_key WHERE case_id = '{case}'"));
        self.master().unwrap_key(&wrapped, case).expect("it opens")
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints/checkpoints.jsonl")
    }

    /// What verification says: with replay or without, against a file of checkpoints or none.
    pub fn report(&self, replay: bool, lines: Option<&Path>) -> Report {
        let public = PublicKey::load(&self.folder.join("public-key.pem")).expect("the public key is there");
        let master = self.master();
        self.rt.block_on(async {
            let store = Store::look(&format!("sqlite:{}", self.folder.join("heyi.db").display())).await.expect("the database opens");
            let ask = Ask {
                master: &master,
                replay,
                lines: lines.map(|path| Box::new(BufReader::new(File::open(path).expect("the file is there"))) as _),
                accepts: &|key, message, signature| public.fingerprint() == key && public.accepts(message, signature),
                progress: &|_, _| {},
            };
            let report = verify(&store, ask).await.expect("the database can be read");
            store.db().close_by_ref().await.expect("it closes");
            report
        })
    }

    /// What verification says, with all it has.
    pub fn all(&self) -> Report {
        self.report(true, Some(&self.checkpoints()))
    }

    /// As if no checkpoint had ever been taken.
    pub fn forget_checkpoints(&self) {
        self.run("DELETE FROM log_leaf");
        self.run("DELETE FROM checkpoint");
    }

    /// Writes the hashes of a case anew, from its first event to its last, and the head in its row: what somebody does who knows
    /// how it is done.
    pub fn rehash(&self, case: &str) {
        let mut head = sha256(case.as_bytes());
        for row in self.rows(&format!("SELECT seq, body FROM event WHERE case_id = '{case}' ORDER BY seq")) {
            let (seq, body): (i64, String) = (row.try_get_by_index(0).expect("seq"), row.try_get_by_index(1).expect("body"));
            head = chain(&head, &serde_json::from_str(&body).expect("JSON")).expect("a canonical form");
            self.run(&format!("UPDATE event SET hash = '{head}' WHERE case_id = '{case}' AND seq = {seq}"));
        }
        self.run(&format!("UPDATE case_row SET head = '{head}' WHERE id = '{case}'"));
    }

    /// Changes an event's body.
    pub fn edit(&self, case: &str, seq: i64, change: impl FnOnce(&mut Json)) {
        let at = format!("case_id = '{case}' AND seq = {seq}");
        let mut body: Json = serde_json::from_str(&self.text(&format!("SELECT body FROM event WHERE {at}"))).expect("JSON");
        let before = body.clone();
        change(&mut body);
        assert_ne!(body, before, "nothing was changed");
        self.run(&format!("UPDATE event SET body = '{}' WHERE {at}", body.to_string().replace('\'', "''")));
    }
}

pub fn has(report: &Report, fault: Fault, case: &str, event: Option<i64>, table: &str) -> bool {
    report.findings.iter().any(|f| f.fault == fault && f.case.as_deref() == Some(case) && f.event == event && f.table == table)
}

pub fn listed(findings: &[Finding]) -> String {
    findings.iter().take(12).map(|f| format!("{f:?}")).collect::<Vec<_>>().join("\n")
}
