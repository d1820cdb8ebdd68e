//! Several nodes on one PostgreSQL, and what becomes of them: one that freezes in the middle of a letter and wakes up after its
//! lease, and a database server that freezes and is replaced by its standby.

use heyi_tests::postgres::{Cluster, Relay};
use heyi_tests::process::{Ran, Serving, command, scratch};
use reqwest::Client;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

// ---------------------------------------------------------------------------------------------------------------------
// A mail server that keeps the first who comes waiting.

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().expect("nobody fell") = true;
        self.moved.notify_all();
    }

    fn wait(&self) {
        let open = self.open.lock().expect("nobody fell");
        drop(self.moved.wait_timeout_while(open, Duration::from_secs(120), |open| !*open).expect("nobody fell"));
    }
}

struct MailServer {
    address: String,
    /// The Message-ID of each message that was taken, in order.
    taken: Arc<Mutex<Vec<String>>>,
    /// The first message has arrived whole, and is not answered yet.
    first: Arc<Gate>,
    /// It may be answered.
    go: Arc<Gate>,
}

impl MailServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = Self { address, taken: Arc::default(), first: Arc::default(), go: Arc::default() };
        let (taken, first, go) = (server.taken.clone(), server.first.clone(), server.go.clone());
        std::thread::spawn(move || {
            let kept = Arc::new(AtomicBool::new(false));
            for stream in listener.incoming().flatten() {
                let (taken, first, go, kept) = (taken.clone(), first.clone(), go.clone(), kept.clone());
                std::thread::spawn(move || drop(talk(stream, &taken, &first, &go, &kept)));
            }
        });
        server
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("nobody fell").clone()
    }
}

fn talk(stream: TcpStream, taken: &Mutex<Vec<String>>, first: &Gate, go: &Gate, kept: &AtomicBool) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 mail.example ESMTP\r\n")?;
    while let Some(line) = lines.next() {
        let line = line?;
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => out.write_all(b"250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut id = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    if let Some(value) = line.strip_prefix("Message-ID:") {
                        id = value.trim().to_owned();
                    }
                }
                taken.lock().expect("nobody fell").push(id);
                if !kept.swap(true, Ordering::SeqCst) {
                    first.open();
                    go.wait();
                }
                out.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => {
                out.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => out.write_all(b"250 ok\r\n")?,
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------------------

/// Opens a case in which four letters are written.
async fn four_letters(node: &Serving) -> String {
    let (status, case) = node.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-dispute", "facts": {"summary": "x"}})).await;
    assert_eq!(status, 201, "{case}");
    let id = text(&case["id"]).to_owned();
    let act = |action: &'static str, input: Json| {
        let path = format!("/api/v1/cases/{id}/actions/{action}");
        async move { node.post("director", &path, &json!({"input": input})).await }
    };
    let reported = json!({"at": "2026-03-02T07:30:00+08:00", "place": "x", "people": 3, "level": "critical"});
    let (status, answer) = act("incident.report", reported).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = act("incident.declare", json!({"level": "critical", "why": "x"})).await;
    assert_eq!(status, 200, "{answer}");
    id
}

fn node(folder: &Path, url: &str, mail: &str) -> Serving {
    Serving::sandbox(folder, |serve| serve.env("HEYI_DATABASE_URL", url).env("HEYI_SMTP_URL", format!("smtp://{mail}")))
}

/// A node that freezes while the mail server has its letter, and wakes up when another has taken all its letters over: each letter
/// is sent once but the one that was on its way, which comes twice as the same message; nothing is marked twice.
#[test]
fn a_frozen_node_does_nothing_twice() {
    let Some(cluster) = Cluster::start("a node that freezes past its lease") else { return };
    let (folder, url, mail) = (scratch("frozen-node"), cluster.fresh(), MailServer::start());
    let rt = tokio::runtime::Runtime::new().expect("a runtime");
    let slow = node(&folder, &url, &mail.address);
    let case = rt.block_on(async {
        assert_eq!(slow.post("director", "/api/v1/sandbox/clock", &json!({"now": "2026-03-02T09:00:00+08:00"})).await.0, 200);
        four_letters(&slow).await
    });
    mail.first.wait();
    assert_eq!(mail.taken().len(), 1, "the first letter is on its way");
    slow.signal("STOP");
    let quick = node(&folder, &url, &mail.address);
    let letters = format!("/api/v1/cases/{case}/notices");
    let states = |node: &Serving| {
        let list = rt.block_on(node.get("director", &letters));
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|l| (text(&l["id"]).to_owned(), text(&l["state"]).to_owned(), text(&l["sent_at"]).to_owned())).collect::<Vec<_>>()
    };
    // Past every lease, by the other's clock.
    let (status, _) = rt.block_on(quick.post("director", "/api/v1/sandbox/clock", &json!({"now": "2026-03-02T09:10:00+08:00"})));
    assert_eq!(status, 200);
    let (status, drained) = rt.block_on(quick.post("director", "/api/v1/sandbox/drain", &json!({})));
    assert_eq!(status, 200, "{drained}");
    let until = Instant::now() + Duration::from_secs(60);
    while states(&quick).iter().any(|(_, state, _)| state != "sent") {
        assert!(Instant::now() < until, "the other node does not take over: {:?}", states(&quick));
        std::thread::sleep(Duration::from_millis(100));
    }
    let before = states(&quick);
    assert_eq!((before.len(), mail.taken().len()), (4, 5), "four letters, and the first a second time");
    // It wakes up, and is told that its letter was taken; its lease is another's long since.
    slow.signal("CONT");
    mail.go.open();
    let (status, _) = rt.block_on(slow.post("director", "/api/v1/sandbox/drain", &json!({})));
    assert_eq!(status, 200);
    assert_eq!(states(&quick), before, "the sleeper has marked what was not its own any more");
    let taken = mail.taken();
    assert_eq!(taken.len(), 5, "the sleeper has sent what another had sent");
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    taken.iter().for_each(|id| *by_id.entry(id).or_default() += 1);
    assert_eq!(by_id.len(), 4, "a letter that comes twice is the same message");
    slow.stop();
    quick.stop();
    let mut verify = command(["verify", "--database", "--replay", "--data"]);
    drop(Ran::of(verify.arg(&folder).env("HEYI_DATABASE_URL", &url)).ended(0));
}

/// A server that freezes, dies, and is replaced by its standby: with a synchronous standby nothing that was acknowledged is lost;
/// meanwhile whoever asks is told to come again.
#[test]
fn a_promoted_standby_has_everything() {
    let Some(cluster) = Cluster::start("a primary that freezes and a standby that is promoted") else { return };
    let (folder, url) = (scratch("standby"), cluster.fresh());
    let standby = cluster.standby();
    let relay = Relay::start(cluster.port());
    let through = url.replace(&format!(":{}/", cluster.port()), &format!(":{}/", relay.port()));
    let rt = tokio::runtime::Runtime::new().expect("a runtime");
    let server = Serving::sandbox(&folder, |serve| serve.env("HEYI_DATABASE_URL", &through).env("HEYI_LOG", "warn"));
    let (base, tokens) = server.address();
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client");
    let (told, refused, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (ours, ready) = rt.block_on(async {
        let writers: Vec<_> = (0..16)
            .map(|_| {
                let (client, base, token, told, refused, stop) =
                    (client.clone(), base.clone(), tokens["intake_officer"].clone(), told.clone(), refused.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let ask = client.post(format!("{base}/api/v1/cases")).bearer_auth(&token);
                        let answer = ask.json(&json!({"workflow": "medical-dispute", "facts": {"summary": "x"}})).send().await.expect("an answer");
                        match answer.status().as_u16() {
                            201 => {
                                let case: Json = answer.json().await.expect("JSON");
                                told.lock().expect("nobody fell").push(text(&case["id"]).to_owned());
                            }
                            503 => {
                                assert!(answer.headers().contains_key("retry-after"), "503 says when to come again");
                                refused.fetch_add(1, Ordering::Relaxed);
                                tokio::time::sleep(Duration::from_millis(200)).await;
                            }
                            other => panic!("answered with {other}: {}", answer.text().await.unwrap_or_default()),
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let ours = tokio::task::spawn_blocking(move || {
            cluster.freeze();
            std::thread::sleep(Duration::from_secs(1));
            cluster.kill();
            // A while with no server at all.
            std::thread::sleep(Duration::from_secs(6));
            cluster
        });
        let ours = ours.await.expect("the primary is gone");
        standby.promote();
        relay.lead_to(standby.port());
        let promoted = Instant::now();
        let before = told.lock().expect("nobody fell").len();
        while told.lock().expect("nobody fell").len() == before {
            assert!(promoted.elapsed() < Duration::from_secs(60), "nobody can work after the standby was promoted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ready = promoted.elapsed();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.expect("a writer ends");
        }
        (ours, ready)
    });
    let told = told.lock().expect("nobody fell").clone();
    let lost = rt.block_on(async {
        let mut lost = 0;
        for id in &told {
            let ask = client.get(format!("{base}/api/v1/cases/{id}")).bearer_auth(&tokens["intake_officer"]);
            lost += u64::from(ask.send().await.expect("an answer").status().as_u16() != 200);
        }
        lost
    });
    let refused = refused.load(Ordering::Relaxed);
    eprintln!(
        "standby promoted: {} cases acknowledged, {lost} lost, {refused} answers of 503, work again {} ms after",
        told.len(),
        ready.as_millis()
    );
    assert_eq!(lost, 0, "acknowledged cases are lost");
    assert!(refused > 0, "nobody was told to come again");
    drop(ours);
}
