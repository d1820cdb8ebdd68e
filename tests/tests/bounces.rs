//! Messages about undelivered letters, as mail servers write them: which letter each is about, what becomes of it and of
//! the work that hangs on it, and that nothing happens twice, to nobody else's letter, and through no crafted message.

use heyi_engine::ids::CaseId;
use heyi_tests::app::TestApp;
use heyi_tests::play::play;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Postfix: the report, and our whole letter.
fn postfix(message_id: &str, action: &str, status: &str) -> String {
    format!(
        "Return-Path: <>\r\nDate: Tue, 9 Jun 2026 09:31:00 +0800 (CST)\r\nFrom: MAILER-DAEMON@mx.committee.example (Mail Delivery System)\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nTo: office@committee.example\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"9B095B5ADA0.1780968660/mx.committee.example\"\r\n\
         Message-Id: <20260609013100.1BF1C5B5ADB@mx.committee.example>\r\n\r\nThis is a MIME-encapsulated message.\r\n\r\n\
         --9B095B5ADA0.1780968660/mx.committee.example\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This is the mail system at host mx.committee.example.\r\n\r\n<medical-affairs@hospital.example>: host mx.hospital.example said: 550 5.1.1 no such user\r\n\r\n\
         --9B095B5ADA0.1780968660/mx.committee.example\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.committee.example\r\nX-Postfix-Queue-ID: 9B095B5ADA0\r\nX-Postfix-Sender: rfc822; office@committee.example\r\n\
         Arrival-Date: Tue, 9 Jun 2026 09:30:58 +0800 (CST)\r\n\r\nFinal-Recipient: rfc822; medical-affairs@hospital.example\r\n\
         Original-Recipient: rfc822;medical-affairs@hospital.example\r\nAction: {action}\r\nStatus: {status}\r\nRemote-MTA: dns; mx.hospital.example\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <medical-affairs@hospital.example>: no such\r\n    user\r\n\r\n\
         --9B095B5ADA0.1780968660/mx.committee.example\r\nContent-Description: Undelivered Message\r\nContent-Type: message/rfc822\r\n\r\n\
         Message-ID: {message_id}\r\nFrom: office@committee.example\r\nTo: medical-affairs@hospital.example\r\nSubject: x\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nx\r\n--9B095B5ADA0.1780968660/mx.committee.example--\r\n"
    )
}

/// Exchange: the report, only the headers of our letter, and pointers to it above.
fn exchange(message_id: &str, headers: bool) -> String {
    let repeated = if headers {
        format!("--_b\r\nContent-Type: text/rfc822-headers\r\n\r\nReceived: from x by y\r\nMessage-ID:\r\n {message_id}\r\nSubject: x\r\n\r\n")
    } else {
        String::new()
    };
    format!(
        "MIME-Version: 1.0\r\nFrom: <postmaster@hospital.example>\r\nTo: <office@committee.example>\r\nDate: Tue, 9 Jun 2026 01:31:02 +0000\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=_b\r\nX-MS-Exchange-Message-Is-Ndr:\r\nContent-Language: zh-CN\r\n\
         Message-ID: <2f1d@exchange.hospital.example>\r\nIn-Reply-To: {message_id}\r\nReferences: <older@elsewhere.example> {message_id}\r\n\
         Subject: =?utf-8?B?5peg5rOV5Lyg6YCS?=\r\n\r\n--_b\r\nContent-Type: multipart/alternative; boundary=_c\r\n\r\n--_c\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n5peg5rOV5Lyg6YCS\r\n--_c--\r\n\r\n--_b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns;exchange.hospital.example\r\n\r\nFinal-recipient: RFC822; medical-affairs@hospital.example\r\nAction: failed\r\nStatus: 5.7.1\r\n\
         X-Display-Name: x\r\n\r\n{repeated}--_b--\r\n"
    )
}

struct Room {
    app: TestApp,
    case: CaseId,
}

impl Room {
    /// A case in which the hospital was asked for its consent, by a letter that must be served.
    async fn new() -> Self {
        let app = TestApp::start().await;
        let (_, case) = play(&app, "other-side-refuses", Some("mediation.ask_other_side"));
        app.drain().await;
        Self { app, case }
    }

    async fn letters(&self) -> Vec<Json> {
        let all = self.app.get("director", &format!("/api/v1/cases/{}/notices", self.case)).await.expect(200);
        all["items"].as_array().cloned().expect("a list")
    }

    async fn letter(&self, kind: &str) -> Json {
        self.letters().await.into_iter().find(|l| l["kind"] == kind).unwrap_or_else(|| panic!("there is no letter {kind}"))
    }

    async fn events(&self) -> Vec<Json> {
        let all = self.app.get("director", &format!("/api/v1/cases/{}/events?limit=100", self.case)).await.expect(200);
        all["items"].as_array().cloned().expect("a list")
    }

    /// The titles of the open work about serving letters.
    async fn to_serve(&self) -> Vec<String> {
        let all = self.app.get("director", &format!("/api/v1/cases/{}/work", self.case)).await.expect(200);
        let serving = all["items"].as_array().expect("a list").iter().filter(|w| w["key"].as_str().is_some_and(|k| k.starts_with("serve:")));
        serving.map(|w| w["title"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn folder(&self, below: &str) -> PathBuf {
        self.app.folder().join("bounces").join(below)
    }

    /// Puts a message into the folder, and lets the workers read it.
    async fn receive(&self, name: &str, message: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.folder("")).expect("a folder");
        let beside = self.folder(".arriving");
        std::fs::write(&beside, message).expect("it is written");
        std::fs::rename(beside, self.folder(name)).expect("it arrives");
        self.app.drain().await;
        assert!(!self.folder(name).exists(), "{name} was not read");
    }

    /// How many messages lie in each place.
    fn lie(&self) -> BTreeMap<&'static str, usize> {
        let count = |place| std::fs::read_dir(self.folder(place)).map_or(0, |all| all.flatten().filter(|e| e.path().is_file()).count());
        ["", "done", "unread"].into_iter().map(|place| (place, count(place))).collect()
    }

    /// The Message-ID of a letter, as it stands in its file.
    fn message_id(&self, letter: &Json) -> String {
        let id = letter["id"].as_str().expect("an id");
        let mail = std::fs::read_to_string(self.app.folder().join("mail").join(format!("{id}.eml"))).expect("the letter was written");
        let line = mail.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("it has a Message-ID");
        assert_eq!(line, format!("<{id}@committee.example>"));
        line.to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legal_notice_that_bounced_is_served_in_another_way() {
    for (style, status) in [("postfix", "5.1.1"), ("exchange", "5.7.1"), ("exchange, no headers", "5.7.1")] {
        let room = Room::new().await;
        let letter = room.letter("consent_request").await;
        let id = room.message_id(&letter);
        let message = if style == "postfix" { postfix(&id, "failed", status) } else { exchange(&id, style == "exchange") };
        let before = room.events().await.len();
        room.receive("1.eml", &message).await;

        let bounced = room.letter("consent_request").await;
        assert_eq!(
            (&bounced["state"], &bounced["problem"], &bounced["service"]),
            (&json!("bounced"), &json!(format!("it bounced: {status}")), &json!("open")),
            "{style}"
        );
        let events = room.events().await;
        assert_eq!(events.len(), before + 1, "{style}");
        let recorded = events.last().expect("an event").to_string();
        assert!(recorded.contains("service_recorded") && recorded.contains("bounced"), "{style}: {recorded}");
        let work = room.to_serve().await;
        assert!(work.len() == 1 && work[0].contains("bounced"), "{style}: {work:?}");
        assert_eq!(room.lie(), [("", 0), ("done", 1), ("unread", 0)].into());

        // The same message again, and the same report again later as another message: nothing more.
        room.receive("1.eml", &message).await;
        room.receive("2.eml", &message).await;
        assert_eq!((room.events().await.len(), room.letter("consent_request").await), (before + 1, bounced), "{style}");
        assert_eq!(room.lie(), [("", 0), ("done", 3), ("unread", 0)].into());

        // Somebody serves it by hand, and a late report does not undo that.
        let (seq, index) = letter["id"].as_str().and_then(|id| id.split_once('.')).and_then(|(_, place)| place.split_once('.')).expect("a place");
        let served = json!({"input": {"notice": format!("{seq}.{index}"), "outcome": "served", "channel": "by_hand"}});
        room.app.act("clerk", &room.case.to_string(), "case.serve", &served).await.expect(200);
        room.receive("3.eml", &message).await;
        assert_eq!((room.events().await.len(), room.to_serve().await.len()), (before + 2, 0), "{style}");
        room.app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_only_late_is_noted_and_one_that_need_not_be_served_is_marked() {
    let room = Room::new().await;
    let before = room.events().await.len();
    let asked = room.letter("consent_request").await;
    room.receive("late.eml", postfix(&room.message_id(&asked), "delayed", "4.4.1")).await;
    let late = room.letter("consent_request").await;
    assert_eq!((&late["state"], &late["problem"]), (&json!("delayed"), &json!("it is late: 4.4.1")));
    room.receive("arrived.eml", postfix(&room.message_id(&asked), "delivered", "2.0.0")).await;
    assert_eq!(room.letter("consent_request").await["state"], "delayed", "that a server has it is no proof of service");
    // What bounced does not become late again.
    room.receive("gone.eml", postfix(&room.message_id(&asked), "failed", "5.1.1")).await;
    room.receive("late-again.eml", postfix(&room.message_id(&asked), "delayed", "4.4.1")).await;
    assert_eq!(room.letter("consent_request").await["state"], "bounced");
    assert_eq!(room.events().await.len(), before + 1);

    let told = room.letter("application_received").await;
    assert!(told["service"].is_null(), "{told}");
    room.receive("told.eml", postfix(&room.message_id(&told), "failed", "5.2.2")).await;
    assert_eq!(room.letter("application_received").await["state"], "bounced");
    assert_eq!(room.events().await.len(), before + 1, "no case moves for a letter that need not be served");
    assert_eq!(room.lie(), [("", 0), ("done", 5), ("unread", 0)].into());
    room.app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_report_about_a_letter_of_ours_changes_nothing() {
    let room = Room::new().await;
    let letter = room.letter("consent_request").await;
    let id = room.message_id(&letter);
    let before = (room.letters().await, room.events().await);
    let ours = letter["id"].as_str().expect("an id").to_owned();
    let stranger = ours.replace(|c: char| c.is_ascii_digit(), "7");
    let good = postfix(&id, "failed", "5.1.1");
    let messages: Vec<(&str, Vec<u8>)> = vec![
        ("an absence note", format!("From: a@b.example\r\nIn-Reply-To: {id}\r\nSubject: away\r\n\r\nI am away.\r\n").into_bytes()),
        ("a report about a letter of nobody", postfix("<x@elsewhere.example>", "failed", "5.1.1").into_bytes()),
        ("a forged id", postfix(&format!("<{stranger}@committee.example>"), "failed", "5.1.1").into_bytes()),
        ("a letter with one part more", postfix(&format!("<{ours}.0@committee.example>"), "failed", "5.1.1").into_bytes()),
        ("a path for an id", postfix("<../../keys/master.key@committee.example>", "failed", "5.1.1").into_bytes()),
        ("an action that is none", postfix(&id, "exploded", "5.1.1").into_bytes()),
        ("a report cut off before it says anything", good.as_bytes()[..900].to_vec()),
        ("no mail at all", vec![0xff; 5_000]),
        ("nothing", Vec::new()),
        ("messages in messages", "Content-Type: message/rfc822\r\n\r\n".repeat(8_000).into_bytes()),
        ("digests in digests", "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\n".repeat(5_000).into_bytes()),
        (
            "parts in parts",
            (0..5_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect::<String>().into_bytes(),
        ),
        ("ten megabytes of nothing", [b"Subject: x\r\n\r\n".to_vec(), vec![b'x'; 10 << 20]].concat()),
    ];
    let wanted = messages.len();
    for (what, message) in messages {
        // One name for all: what is put away does not replace what was.
        room.receive("message.eml", message).await;
        assert_eq!((room.letters().await, room.events().await), before, "{what}");
    }
    assert_eq!(room.lie(), [("", 0), ("done", 0), ("unread", wanted)].into());
    // What is no message is left alone: other names, folders, links.
    std::fs::write(room.folder("note.txt"), good.as_bytes()).expect("it is written");
    std::fs::create_dir(room.folder("folder.eml")).expect("a folder");
    std::fs::write(room.app.folder().join("elsewhere"), good.as_bytes()).expect("it is written");
    std::os::unix::fs::symlink(room.app.folder().join("elsewhere"), room.folder("link.eml")).expect("a link");
    room.app.drain().await;
    assert_eq!((room.letters().await, room.events().await), before);

    // A report with ten megabytes of letter behind it is read all the same.
    let large = good.replace("\r\nx\r\n--9B095", &format!("\r\n{}\r\n--9B095", "x".repeat(10 << 20)));
    assert!(large.len() > 10 << 20);
    room.receive("large.eml", large).await;
    assert_eq!(room.letter("consent_request").await["state"], "bounced");
    room.app.stop().await;
}

/// Which twin a child of this test is to be.
const TWIN: &str = "HEYI_BOUNCE_TWIN";

/// The parser by itself, on messages inside each other. Runs in a process of its own, as it may end it.
#[test]
fn twin_in_a_process_of_its_own() {
    if std::env::var_os(TWIN).is_none() {
        return;
    }
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(300_000);
    drop(mail_parser::MessageParser::default().parse(nested.as_bytes()));
}

#[test]
fn messages_inside_each_other_are_counted_before_they_are_read() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(300_000);
    assert_eq!(heyi_api::mail::read_report(nested.as_bytes()), None);
    let this = std::env::current_exe().expect("a running test has a path");
    let ended =
        std::process::Command::new(this).args(["--exact", "twin_in_a_process_of_its_own"]).env(TWIN, "1").output().expect("it can be started");
    assert!(!ended.status.success(), "the parser bears any nesting: the count before it is no longer needed");
}

// ---------------------------------------------------------------------------------------------------------------------
// Letters that do not leave.

/// Nobody listens at the mail server: after four hours the one who keeps the case is told, after five days the letters are given
/// up, and one call tries a letter anew. None of it touches the case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_the_case_is_told_of_letters_that_do_not_leave() {
    let app = TestApp::start_as(heyi_api::server::Limits::default(), |config| config.smtp_url = Some("smtp://127.0.0.1:1".to_owned())).await;
    let case = app.open().await;
    let reported = json!({"input": {"at": "2026-03-02T07:30:00+08:00", "place": "x", "people": 3, "level": "critical"}});
    app.act("director", &case, "incident.report", &reported).await.expect(200);
    app.act("director", &case, "incident.declare", &json!({"input": {"level": "critical", "why": "x"}})).await.expect(200);
    let look = async |what: &str| {
        let answer = app.get("director", &format!("/api/v1/cases/{case}/{what}")).await;
        (answer.header("etag").to_owned(), answer.expect(200)["items"].as_array().cloned().unwrap_or_default())
    };
    let states = async || look("notices").await.1.iter().map(|l| l["state"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    let told = async || {
        let items = look("work").await.1;
        items.into_iter().filter(|w| w["key"].as_str().is_some_and(|k| k.starts_with("letter:"))).collect::<Vec<_>>()
    };
    app.drain().await;
    let letters = look("notices").await.1;
    assert_eq!((states().await, told().await.len()), (vec!["waiting".to_owned(); 4], 0), "they may still leave in time");
    app.clock("2026-03-02T13:05:00+08:00").await;
    app.drain().await;
    assert_eq!(states().await, vec!["delayed"; 4]);
    let items = told().await;
    assert_eq!(items.len(), 4);
    for item in &items {
        let title = item["title"].as_str().unwrap_or_default();
        assert!(title.starts_with("Has not left for four hours") && item["for"].as_str().is_some_and(|f| !f.is_empty()), "{item}");
    }
    let id = letters[0]["id"].as_str().unwrap_or_default();
    let again = format!("/api/v1/cases/{case}/notices/{id}/retry");
    app.post("director", &again, &json!({})).await.problem(409, "not_given_up");
    app.clock("2026-03-08T09:00:00+08:00").await;
    app.drain().await;
    assert_eq!(states().await, vec!["failed"; 4]);
    let version = look("notices").await.0;
    assert!(told().await.iter().all(|w| w["title"].as_str().is_some_and(|t| t.starts_with("Could not be delivered"))));
    app.post("patient_side", &again, &json!({})).await.problem(403, "forbidden");
    let answer = app.post("director", &again, &json!({})).await.expect(202);
    assert!(["waiting", "sending", "delayed"].contains(&answer["state"].as_str().unwrap_or_default()), "{answer}");
    app.drain().await;
    assert_eq!(states().await, vec!["failed"; 4], "it was tried, and older than five days it is given up again");
    assert!(look("notices").await.1[0]["attempts"].as_i64() > letters[0]["attempts"].as_i64());
    assert_eq!(look("notices").await.0, version, "what becomes of a letter moves no case");
}
