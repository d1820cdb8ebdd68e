//! The demo's letters over a real mail server with STARTTLS (aiosmtpd, `tests/smtp/server.py`): the same letters as in
//! the folder, one of them after a temporary refusal; and what becomes of letters when there is no server.
//!
//! Needs `openssl` and a `python3` that has aiosmtpd: `python3 -m venv .venv && .venv/bin/pip install aiosmtpd`, then
//! `PATH=$PWD/.venv/bin:$PATH cargo test -p heyi-tests --test smtp`. Without them the tests say that they were left out.

use heyi_engine::store::Store;
use heyi_engine::store::rows::letter;
use heyi_tests::process::{Ran, Serving, command, copy_folder, files, not_tested, scratch};
use mail_parser::{MessageParser, MimeHeaders as _};
use sea_orm::EntityTrait as _;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a server may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the other end can be had.
fn can_run() -> bool {
    let works = |program: &str, args: &[&str]| Command::new(program).args(args).output().is_ok_and(|o| o.status.success());
    if !works("python3", &["-c", "import aiosmtpd.smtp"]) {
        not_tested("letters over SMTP: python3 has no aiosmtpd");
        return false;
    }
    if !works("openssl", &["version"]) {
        not_tested("letters over SMTP: there is no openssl");
        return false;
    }
    true
}

/// The other end. It stops with the test.
struct MailServer {
    folder: PathBuf,
    url: String,
    lines: Receiver<String>,
    child: Child,
    _until_closed: Option<ChildStdin>,
}

impl MailServer {
    fn start(name: &str, refuse_first: &str) -> Self {
        let folder = scratch(name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("smtp/server.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args(["--until-eof", "--refuse-first", refuse_first, "--folder"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be started");
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let first: Json = serde_json::from_str(&lines.recv_timeout(PATIENCE).expect("the server says where it listens")).expect("JSON");
        let url = format!("smtp+starttls://localhost:{}?ca={}", first["port"], first["ca"].as_str().expect("a path"));
        let until = child.stdin.take();
        Self { folder, url, lines, child, _until_closed: until }
    }

    /// What happened since the last time.
    fn said(&self) -> Vec<Json> {
        self.lines.try_iter().map(|line| serde_json::from_str(&line).expect("JSON")).collect()
    }

    fn letters(&self) -> Vec<Letter> {
        read(&self.folder)
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A letter as it arrived. Cases have new ids in each play, so their references are left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    to: String,
    subject: String,
    text: String,
    invited: bool,
    message_id: String,
}

impl Letter {
    /// What is the same in each play.
    fn content(&self) -> (String, String, String, bool) {
        (self.to.clone(), without_reference(&self.subject), without_reference(&self.text), self.invited)
    }
}

/// A case's reference: this, and hexadecimal digits.
const REFERENCE: &str = "HY-";

fn without_reference(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(REFERENCE) {
        out.push_str(&rest[..at]);
        out.push_str(REFERENCE);
        rest = rest[at + REFERENCE.len()..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}

fn read(folder: &Path) -> Vec<Letter> {
    let letter = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a letter can be read");
        let mail = MessageParser::default().parse(&bytes).expect("a mail");
        Letter {
            to: mail.to().and_then(|to| to.first()).and_then(|a| a.address()).expect("a recipient").to_owned(),
            subject: mail.subject().expect("a subject").to_owned(),
            text: mail.body_text(0).expect("a text").replace("\r\n", "\n"),
            invited: mail.parts.iter().any(|p| p.content_type().is_some_and(|t| t.subtype() == Some("calendar"))),
            message_id: mail.message_id().expect("a Message-ID").to_owned(),
        }
    };
    files(folder, "eml").iter().map(letter).collect()
}

fn contents(letters: &[Letter]) -> Vec<(String, String, String, bool)> {
    let mut all: Vec<_> = letters.iter().map(Letter::content).collect();
    all.sort();
    all
}

fn distinct_ids(letters: &[Letter]) -> usize {
    letters.iter().map(|l| l.message_id.as_str()).collect::<BTreeSet<_>>().len()
}

/// The letters of a demo that wrote them into its folder.
fn of_the_folder() -> &'static [Letter] {
    static LETTERS: OnceLock<Vec<Letter>> = OnceLock::new();
    LETTERS.get_or_init(|| {
        let folder = scratch("folder");
        let _ = Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder)).ended(0);
        read(&folder.join("mail"))
    })
}

/// The outbox of a folder.
fn outbox(folder: &Path) -> Vec<letter::Model> {
    let url = format!("sqlite:{}", folder.join("heyi.db").display());
    let read = async { letter::Entity::find().all(Store::connect(&url).await.expect("the database opens").db()).await };
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(read).expect("the database answers")
}

fn by_state(outbox: &[letter::Model]) -> BTreeMap<&str, usize> {
    outbox.iter().fold(BTreeMap::new(), |mut all, l| {
        *all.entry(l.state.as_str()).or_default() += 1;
        all
    })
}

#[test]
fn the_same_letters_arrive_over_starttls_one_after_a_refusal() {
    if !can_run() {
        return;
    }
    let expected = of_the_folder();
    // Somebody who is told more than once, so that the one refusal meets one letter among several.
    let refused = "wang@family.example";
    let for_the_refused = expected.iter().filter(|l| l.to == refused).count();
    assert!(for_the_refused > 1, "{for_the_refused} letters");
    let server = MailServer::start("server", refused);
    let folder = scratch("over-smtp");
    let _ = Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder).env("HEYI_SMTP_URL", &server.url)).ended(0);

    let said = server.said();
    assert_eq!(said.iter().filter(|s| s["refused"] == true).count(), 1, "one refusal");
    let taken: Vec<&Json> = said.iter().filter(|s| s["file"].is_string()).collect();
    assert!(taken.iter().all(|s| s["tls"] == true), "a letter crossed the network in the clear");
    let connections: BTreeSet<String> = taken.iter().map(|s| s["peer"].to_string()).collect();
    assert!(connections.len() * 2 < taken.len(), "{} connections for {} letters: they are not pooled", connections.len(), taken.len());

    let arrived = server.letters();
    assert_eq!(contents(&arrived), contents(expected), "other letters arrived than lie in the folder");
    assert_eq!((arrived.len(), distinct_ids(&arrived)), (expected.len(), expected.len()), "a letter arrived twice");
    assert!(!folder.join("mail").exists(), "letters that went to the server also lie in the folder");

    // The later steps of the demo's clock gave the refused letter its second chance, and it needed no third.
    let outbox = outbox(&folder);
    assert_eq!(by_state(&outbox).keys().filter(|s| !["sent", "paper"].contains(s)).count(), 0, "{:?}", by_state(&outbox));
    let again: Vec<&letter::Model> = outbox.iter().filter(|l| l.attempts > 1).collect();
    assert_eq!(again.len(), 1, "letters that needed more than one attempt");
    assert_eq!(again[0].attempts, 2);
    let waited = again[0].sent_at.expect("it was sent") - again[0].created_at;
    assert!(waited >= 120_000, "it was tried again after {waited} ms, before the two minutes of the schedule");
}

/// A scenario whose last step sends the only letter to its recipient.
const ASKED_LAST: &str = "
scenario: asked-last
workflow: neighbourhood-noise
title: {zh-CN: 刚刚征求意见, en: Just asked}
demo: 99
people:
  upstairs: {side: neighbour, name: 楼上住户, email: upstairs@quarter.example}
steps:
  - {at: 2026-02-13 09:00, by: caseworker, do: case.open, input: {place: 三号楼}}
  - {at: 2026-02-13 09:05, by: caseworker, do: case.person, person: upstairs}
  - {at: 2026-02-13 09:10, by: caseworker, do: talk.ask, expect: {notices: [noise_answer_request]}}
";

#[test]
fn a_letter_refused_at_the_end_waits_and_leaves_from_the_server() {
    if !can_run() {
        return;
    }
    // A play of our own that ends with a letter, after all that are shipped.
    let refused = "upstairs@quarter.example";
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/overrides");
    let mine = scratch("asked-last");
    copy_folder(&own.join("workflows"), &mine);
    std::fs::write(mine.join("neighbourhood-noise/scenarios/asked-last.yaml"), ASKED_LAST).expect("scratch can be written");

    let server = MailServer::start("server-of-one", refused);
    let folder = scratch("waiting");
    let mut demo = command(["demo", "--quiet", "--data"]);
    let _ = Ran::of(demo.arg(&folder).env("HEYI_SMTP_URL", &server.url).env("HEYI_WORKFLOWS", &mine).env("HEYI_TEMPLATES", own.join("templates")))
        .ended(0);
    let before = outbox(&folder);
    let waiting: Vec<&letter::Model> = before.iter().filter(|l| l.state == "waiting").collect();
    assert_eq!(waiting.len(), 1, "{:?}", by_state(&before));
    assert_eq!((waiting[0].attempts, waiting[0].next_at - waiting[0].created_at), (1, 120_000), "two minutes after the first refusal");
    let problem = waiting[0].problem.clone().unwrap_or_default();
    assert!(problem.contains("451") && !problem.contains('@'), "{problem}");
    let to_refused = |letters: &[Letter]| letters.iter().filter(|l| l.to == refused).count();
    let arrived = server.letters();
    assert_eq!(to_refused(&arrived), 0);

    let serving = Serving::sandbox(&folder, |serve| {
        serve.env("HEYI_SMTP_URL", &server.url).env("HEYI_WORKFLOWS", &mine).env("HEYI_TEMPLATES", own.join("templates"))
    });
    let post = async |path: &str, body: Json| {
        let (status, answer) = serving.post("director", &format!("/api/v1/sandbox/{path}"), &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        post("clock", json!({"now": "2026-02-13T10:00:00+08:00"})).await;
        post("drain", json!({})).await;
        // Draining again finds nothing more to do.
        let again = post("drain", json!({})).await;
        assert_eq!(again, json!({"cases": 0, "letters": 0}));
    });
    serving.stop();
    let after = server.letters();
    assert_eq!((to_refused(&after), after.len()), (1, arrived.len() + 1), "the waiting letter, once, and no other");
    assert_eq!(distinct_ids(&after), after.len(), "a letter arrived twice");
    let states = outbox(&folder);
    assert_eq!(by_state(&states).keys().filter(|s| !["sent", "paper"].contains(s)).count(), 0, "{:?}", by_state(&states));
}

#[test]
fn a_demo_without_its_mail_server_goes_on_and_loses_no_letter() {
    // A port where nobody listens, or nobody does so any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let folder = scratch("no-server");
    let _ = Ran::of(command(["demo", "--quiet", "--data"]).arg(&folder).env("HEYI_SMTP_URL", format!("smtp://127.0.0.1:{port}"))).ended(0);
    let outbox = outbox(&folder);
    let states = by_state(&outbox);
    // Every letter is still there: on its schedule, or given up after five days of the play's clock, with the reason.
    let kept = states.get("waiting").unwrap_or(&0) + states.get("failed").unwrap_or(&0);
    assert_eq!(kept, of_the_folder().len(), "{states:?}");
    assert!(states.keys().all(|s| ["waiting", "failed", "paper"].contains(s)), "{states:?}");
    for letter in outbox.iter().filter(|l| l.state != "paper") {
        let problem = letter.problem.as_deref().unwrap_or_default();
        assert!(!problem.is_empty() && !problem.contains('@'), "{}: {problem}", letter.id);
        let given_up = letter.state == "failed";
        assert!(letter.attempts > u8::from(given_up).into(), "{}: given up after {} attempts", letter.id, letter.attempts);
    }
}
