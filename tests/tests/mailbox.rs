//! A mailbox to which mail servers answer (Dovecot): what is unread there is fetched, leads to what it leads to in the
//! folder, and is marked as read only once it lies there safely.
//!
//! Needs `dovecot` and `openssl`, and root, as a mail server does. Without them the tests say that they were left out.

use heyi_api::mail::{Mailbox, MailboxError};
use heyi_api::server::Limits;
use heyi_tests::app::TestApp;
use heyi_tests::play::play;
use heyi_tests::process::{Ran, command, files, not_tested, scratch};
use serde_json::json;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &str = "one/two@three";

/// A mail server with one user and any number of folders. It ends with the test.
struct Dovecot {
    folder: PathBuf,
    ports: (u16, u16),
    child: Child,
}

impl Dovecot {
    /// None, and a word about it, where it cannot run.
    fn start(name: &str) -> Option<Self> {
        let there = |program: &str, flag: &str| Command::new(program).arg(flag).output().is_ok_and(|o| o.status.success());
        if !there("dovecot", "--version") || !there("openssl", "version") {
            not_tested("reports out of a mailbox: there is no dovecot, or no openssl");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            not_tested("reports out of a mailbox: dovecot wants to be started by root");
            return None;
        }
        // Its sockets want a short path that everybody may walk through.
        let folder = tempfile::Builder::new().prefix(name).tempdir().expect("a folder").keep();
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let ports = (free(), free());
        let here = folder.display();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &format!("{here}/key.pem"), "-out", &format!("{here}/ca.pem")])
            .output();
        assert!(made.is_ok_and(|o| o.status.success()), "openssl makes a certificate");
        let settings = format!(
            "protocols = imap\nbase_dir = {here}/run\nstate_dir = {here}/state\nlog_path = {here}/log\nssl = required\nssl_cert = <{here}/ca.pem\n\
             ssl_key = <{here}/key.pem\nmail_location = maildir:{here}/mail\nfirst_valid_uid = 1\ndefault_login_user = nobody\n\
             default_internal_user = nobody\ndefault_internal_group = nogroup\npassdb {{\n driver = static\n args = password={PASSWORD}\n}}\n\
             userdb {{\n driver = static\n args = uid=nobody gid=nogroup home={here}/mail\n}}\nservice anvil {{\n chroot =\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n address = 127.0.0.1\n port = {}\n }}\n \
             inet_listener imaps {{\n address = 127.0.0.1\n port = {}\n ssl = yes\n }}\n}}\n",
            ports.0, ports.1
        );
        std::fs::write(folder.join("dovecot.conf"), settings).expect("it is written");
        let open = Command::new("chmod").arg("755").arg(&folder).status();
        assert!(open.is_ok_and(|s| s.success()));
        for place in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(folder.join("mail").join(place)).expect("a folder");
        }
        let child = Command::new("dovecot").arg("-F").arg("-c").arg(folder.join("dovecot.conf")).stderr(Stdio::null()).spawn().expect("it starts");
        let server = Self { folder, ports, child };
        server.give_away();
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", ports.1)).is_err() {
            assert!(Instant::now() < until, "dovecot does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// What lies in the mailbox belongs to the server's user.
    fn give_away(&self) {
        let given = Command::new("chown").args(["-R", "nobody:nogroup"]).arg(self.folder.join("mail")).status();
        assert!(given.is_ok_and(|s| s.success()));
    }

    fn url(&self, scheme: &str, password: &str, folder: &str, authority: Option<&str>) -> String {
        let port = if scheme == "imaps" { self.ports.1 } else { self.ports.0 };
        let password = password.replace('/', "%2F").replace('@', "%40");
        let authority = authority.map_or_else(|| self.folder.join("ca.pem").display().to_string(), str::to_owned);
        format!("{scheme}://bounces:{password}@localhost:{port}/{folder}?ca={authority}")
    }

    /// A message arrives.
    fn receive(&self, name: &str, message: &[u8]) {
        std::fs::write(self.folder.join("mail/new").join(name), message).expect("it arrives");
        self.give_away();
    }

    /// How many messages are unread, and how many read.
    fn lie(&self) -> (usize, usize) {
        let names = |place: &str| -> Vec<String> {
            let entries = std::fs::read_dir(self.folder.join("mail").join(place)).into_iter().flatten().flatten();
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        };
        let (read, unread): (Vec<_>, Vec<_>) = names("cur").into_iter().partition(|name| name.rsplit(',').next().is_some_and(|f| f.contains('S')));
        (names("new").len() + unread.len(), read.len())
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn report(message_id: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;mx.example\r\n\r\nFinal-Recipient: rfc822;x@hospital.example\r\n\
         Action: failed\r\nStatus: 5.1.1\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {message_id}\r\n\r\n--b--\r\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_fetched_and_leads_to_what_it_leads_to_in_the_folder() {
    let Some(server) = Dovecot::start("heyi-a") else { return };
    for scheme in ["imaps", "imap+starttls"] {
        let url = server.url(scheme, PASSWORD, "INBOX", None);
        let app = TestApp::start_as(Limits::default(), |config| config.bounce_mailbox = Some(url)).await;
        let (_, case) = play(&app, "other-side-refuses", Some("mediation.ask_other_side"));
        app.drain().await;
        let letter = async || {
            let all = app.get("director", &format!("/api/v1/cases/{case}/notices")).await.expect(200);
            all["items"].as_array().into_iter().flatten().find(|l| l["kind"] == "consent_request").cloned().expect("it was sent")
        };
        let id = letter().await["id"].as_str().unwrap_or_default().to_owned();
        let read_before = server.lie().1;
        server.receive(&format!("{scheme}.1"), report(&format!("<{id}@committee.example>")).as_bytes());
        server.receive(&format!("{scheme}.2"), &[b"Subject: x\r\n\r\n".to_vec(), vec![b'x'; 3 << 20]].concat());
        let mailbox = app.app.mailbox.as_ref().expect("it is set");
        let fetched = mailbox.fetch(&app.app.config.bounces()).await.expect("it can be fetched");
        let lying = files(&app.app.config.bounces(), "eml");
        let most = lying.iter().map(|path| path.metadata().map_or(0, |m| m.len())).max();
        assert_eq!((fetched, lying.len(), most), (2, 2, Some(256 << 10)), "{scheme}: no more of a message than is read");
        assert_eq!(server.lie(), (0, read_before + 2), "{scheme}: nothing is deleted");
        app.drain().await;
        assert_eq!(letter().await["state"], "bounced", "{scheme}");
        assert_eq!(mailbox.fetch(&app.app.config.bounces()).await, Ok(0), "{scheme}: what is read does not come again");
        app.stop().await;
    }
}

/// The server looks by itself, beginning with its start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_looks_into_its_mailbox_without_being_asked() {
    let Some(server) = Dovecot::start("heyi-b") else { return };
    server.receive("1", b"Subject: away\r\n\r\nI am away.\r\n");
    let url = server.url("imaps", PASSWORD, "", None);
    let app = TestApp::start_as(Limits::default(), |config| config.bounce_mailbox = Some(url)).await;
    let aside = app.app.config.bounces().join("unread");
    let until = Instant::now() + Duration::from_secs(30);
    while files(&aside, "eml").is_empty() {
        assert!(Instant::now() < until, "nobody looked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.lie(), (0, 1));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_kept_stays_unread() {
    let Some(server) = Dovecot::start("heyi-c") else { return };
    server.receive("1", b"Subject: x\r\n\r\nx\r\n");
    let mailbox = Mailbox::from_url(&server.url("imaps", PASSWORD, "INBOX", None)).expect("a mailbox");
    let folder = scratch("mailbox-full");
    // A file where the folder should be: nothing can be written below it.
    let blocked = folder.join("bounces");
    std::fs::write(&blocked, "x").expect("it is written");
    assert!(matches!(mailbox.fetch(&blocked).await, Err(MailboxError::Disk(_))));
    assert_eq!(server.lie(), (1, 0), "it must come again");
    std::fs::remove_file(&blocked).expect("it goes away");
    assert_eq!(mailbox.fetch(&blocked).await, Ok(1));
    assert_eq!(server.lie(), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_fail_has_its_own_words_and_none_has_the_password() {
    let Some(server) = Dovecot::start("heyi-d") else { return };
    let stranger = server.folder.join("other.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=other"])
        .arg("-keyout")
        .arg(server.folder.join("other.key"))
        .arg("-out")
        .arg(&stranger)
        .output();
    assert!(made.is_ok_and(|o| o.status.success()));
    let stranger = stranger.display().to_string();
    let nobody = server.url("imaps", PASSWORD, "", None).replace(&server.ports.1.to_string(), "1");
    for (url, wanted) in [
        (server.url("imaps", "wrong", "", None), MailboxError::LogIn),
        (server.url("imap+starttls", "wrong", "", None), MailboxError::LogIn),
        (server.url("imaps", PASSWORD, "Returned", None), MailboxError::NoFolder),
        (server.url("imaps", PASSWORD, "", Some(&stranger)), MailboxError::NotSafe),
        (server.url("imap+starttls", PASSWORD, "", Some(&stranger)), MailboxError::NotSafe),
        (nobody, MailboxError::Unreachable),
    ] {
        let mailbox = Mailbox::from_url(&url).expect("a mailbox");
        assert_eq!(mailbox.probe().await, Err(wanted));
        assert!(!format!("{mailbox} {mailbox:?}").contains("three"));
    }
    // The same by `heyi doctor`.
    let data = scratch("mailbox-doctor");
    let seen = |password: &str| {
        let asked = |args: [&str; 4]| {
            let mut asked = command(args);
            Ran::of(asked.env("HEYI_BOUNCE_MAILBOX", server.url("imaps", password, "", None)))
        };
        let ran = asked(["doctor", "--json", "--data", &data.display().to_string()]);
        assert!(!ran.stdout.contains(&password.replace('/', "%2F").replace('@', "%40")), "the password is shown");
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        report["findings"].as_array().into_iter().flatten().find(|f| f["what"] == "mailbox").map(|f| f["state"].clone()).unwrap_or_default()
    };
    assert_eq!((seen(PASSWORD), seen("wrong-one")), (json!("fine"), json!("wrong")));
}
