//! Kills at random moments under sixteen writers, on each database: what was acknowledged is there, nothing is half there,
//! no letter is lost, and the next start needs no hand.
//!
//! By default 25 kills with 5,000 cases stored. The long run: `HEYI_LONG=1 cargo test --release -p heyi-tests --test crash -- --nocapture`
//! (500 kills, 100,000 cases). `kill -9` says nothing of power cuts, as the page cache survives it: so the power is cut as well, on a
//! file system of its own in a file, where the machine allows it.

use heyi_api::config::Config;
use heyi_api::state::{App, Mode};
use heyi_engine::case::decide::Command;
use heyi_engine::store::rows::{answer, event, letter};
use heyi_engine::submit::Request;
use heyi_tests::postgres::Cluster;
use heyi_tests::process::{Dice, Ran, Serving, command, files, heyi, scratch};
use reqwest::Client;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Power cuts, by default and in the long run.
const CUTS: (usize, usize) = (4, 40);
/// How long a server may take from its start to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// People who write at once.
const WRITERS: usize = 16;
/// Kills and stored cases, by default and in the long run.
const SHORT: (usize, usize) = (25, 5_000);
const LONG: (usize, usize) = (500, 100_000);
/// The latest moment of a kill after the server is ready, in milliseconds.
const KILL_WITHIN_MS: u64 = 900;

/// Whether this is the long run.
fn long() -> bool {
    std::env::var_os("HEYI_LONG").is_some()
}

/// A command that somebody sends until it is answered.
#[derive(Clone)]
struct Ask {
    who: &'static str,
    path: String,
    body: Json,
    key: String,
}

/// A command that was answered, and what it was told.
struct Told {
    ask: Ask,
    events: Vec<u64>,
}

/// One writer: opens a case, reports an incident in it, declares it (which writes four letters), and goes on with the next.
struct Writer {
    number: usize,
    cases: u64,
    case: Option<String>,
    step: u8,
    told: Vec<Told>,
}

impl Writer {
    fn next(&self) -> Ask {
        let key = format!("crash-{}-{}-{}", self.number, self.cases, self.step);
        let act = |who, action: &str, input: Json| Ask {
            who,
            path: format!("/api/v1/cases/{}/actions/{action}", self.case.as_deref().unwrap_or_default()),
            body: json!({"input": input}),
            key: key.clone(),
        };
        match self.step {
            0 => Ask {
                who: "intake_officer",
                path: "/api/v1/cases".to_owned(),
                body: json!({"workflow": "medical-dispute", "facts": {"summary": "x"}}),
                key: key.clone(),
            },
            1 => act("director", "incident.report", json!({"at": "2026-03-02T07:30:00+08:00", "place": "x", "people": 3, "level": "critical"})),
            _ => act("director", "incident.declare", json!({"level": "critical", "why": "x"})),
        }
    }

    /// Sends until the server is gone.
    async fn write(&mut self, server: &Address, acknowledged: &AtomicU64) {
        loop {
            let ask = self.next();
            let Some((status, answer)) = server.send(&ask).await else { return };
            if status >= 500 {
                return;
            }
            assert!((200..300).contains(&status), "{} was answered with {status}: {}", ask.path, answer["code"]);
            acknowledged.fetch_add(1, Ordering::Relaxed);
            if self.step == 0 {
                self.case = answer["id"].as_str().map(str::to_owned);
            }
            self.told.push(Told { ask, events: numbers(&answer) });
            self.step = (self.step + 1) % 3;
            if self.step == 0 {
                self.cases += 1;
                self.case = None;
            }
        }
    }
}

fn numbers(answer: &Json) -> Vec<u64> {
    answer["events"].as_array().map(|all| all.iter().filter_map(|e| e["seq"].as_u64()).collect()).unwrap_or_default()
}

#[derive(Clone)]
struct Address {
    base: String,
    tokens: BTreeMap<String, String>,
    client: Client,
}

impl Address {
    /// None when the server is gone.
    async fn send(&self, ask: &Ask) -> Option<(u16, Json)> {
        let request = self.client.post(format!("{}{}", self.base, ask.path)).bearer_auth(&self.tokens[ask.who]);
        let answer = request.header("Idempotency-Key", &ask.key).json(&ask.body).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }
}

/// Fills the database through the one door, as many at once as there are writers.
async fn fill(folder: &Path, url: Option<&str>, cases: usize) {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    config.database_url = url.map(str::to_owned);
    let app = App::open(config, Mode::Sandbox).await.expect("the folder opens");
    let accounts = heyi_api::sandbox::prepare(&app).await.expect("the training room is prepared");
    let me = accounts["intake_officer"].clone();
    let left = Arc::new(AtomicU64::new(u64::try_from(cases).expect("few")));
    let fillers = (0..64).map(|_| {
        let (app, me, left) = (app.clone(), me.clone(), left.clone());
        tokio::spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let command = Some(Command::new("case.open", json!({"summary": "x"})));
                let workflow = Some("medical-dispute".to_owned());
                let request = Request { case: None, workflow, me: me.clone(), command, key: None, expected: None, file: None };
                app.engine.submit(request).await.expect("a case is opened");
            }
        })
    });
    for filler in fillers.collect::<Vec<_>>() {
        filler.await.expect("it ends");
    }
}

fn survives(name: &str, url: Option<&str>) {
    let (kills, cases) = if long() { LONG } else { SHORT };
    let mut dice = Dice::new(name);
    // Built before anything is measured.
    let _ = heyi();
    let folder = scratch(name);
    let rt = tokio::runtime::Runtime::new().expect("a runtime");
    rt.block_on(fill(&folder, url, cases));
    let mut writers: Vec<Writer> = (0..WRITERS).map(|number| Writer { number, cases: 0, case: None, step: 0, told: Vec::new() }).collect();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut slowest = Duration::ZERO;
    let serve = || Serving::sandbox(&folder, |serve| if let Some(url) = url { serve.env("HEYI_DATABASE_URL", url) } else { serve });
    let address = |server: &Serving| {
        let (base, tokens) = server.address();
        Address { base, tokens, client: Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client") }
    };
    for _ in 0..kills {
        let begin = Instant::now();
        let server = serve();
        slowest = slowest.max(begin.elapsed());
        let at = address(&server);
        rt.block_on(async {
            let kill_at = Duration::from_millis(50 + dice.below(KILL_WITHIN_MS));
            let writing = std::mem::take(&mut writers).into_iter().map(|mut writer| {
                let (at, acknowledged) = (at.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    writer.write(&at, &acknowledged).await;
                    writer
                })
            });
            let writing: Vec<_> = writing.collect();
            tokio::time::sleep(kill_at).await;
            drop(server); // SIGKILL
            for writer in writing {
                writers.push(writer.await.expect("a writer ends"));
            }
        });
    }
    let answered = acknowledged.load(Ordering::Relaxed);
    let server = serve();
    let at = address(&server);
    // Everything that was answered is answered again, with the same events: it was written, and once.
    let (again, declared) = rt.block_on(async {
        let (mut again, mut declared) = (0u64, 0u64);
        for writer in &writers {
            for told in &writer.told {
                let (status, answer) = at.send(&told.ask).await.expect("the server answers");
                assert!((200..300).contains(&status), "what was acknowledged is answered with {status}");
                assert_eq!(numbers(&answer), told.events, "what was acknowledged has other events now");
                again += 1;
                declared += u64::from(told.ask.path.ends_with("incident.declare"));
            }
        }
        (again, declared)
    });
    assert_eq!(again, answered);
    assert!(declared > 0, "the writers came to no letter");
    server.stop();
    // Every chain is whole, and every row is what its history says: nothing is half there.
    let mut verify = command(["verify", "--database", "--replay", "--json", "--data"]);
    verify.arg(&folder);
    if let Some(url) = url {
        verify.env("HEYI_DATABASE_URL", url);
    }
    let report: Json = serde_json::from_str(&Ran::of(&mut verify).ended(0).stdout).expect("JSON alone");
    assert!(report["cases"].as_u64() >= Some(u64::try_from(cases).expect("few")), "{}", report["cases"]);
    // Each letter that an event tells of is there, and has left, as one file by its number.
    let (letters, waiting, declares) = rt.block_on(async {
        let mut config = Config { data_dir: folder.clone(), ..Config::default() };
        config.database_url = url.map(str::to_owned);
        let app = App::open(config, Mode::Sandbox).await.expect("the folder opens without a hand");
        // A letter that a killed worker held is free when its lease has ended.
        heyi_api::sandbox::set_clock(&app, app.engine.now() + Duration::from_secs(300)).await.expect("the clock is moved");
        heyi_api::deliver::drain(&app).await.expect("the workers run");
        let db = app.engine.store().db();
        let letters = letter::Entity::find().count(db).await.expect("it can be read");
        let waiting = app.engine.store().letters_waiting().await.expect("it can be read");
        let declared = event::Entity::find().filter(event::Column::Body.contains("\"transition\":\"declare\""));
        let declares = declared.count(db).await.expect("it can be read");
        (letters, waiting, declares)
    });
    assert_eq!(waiting, 0, "letters wait for ever");
    assert_eq!(letters, 4 * declares, "four letters a declaration");
    assert_eq!(files(&folder.join("mail"), "eml").len() as u64, letters, "one file a letter");
    eprintln!(
        "{name}: {kills} kills, {cases} cases stored, {answered} commands acknowledged, 0 lost, {letters} letters, 0 lost; slowest start {} ms",
        slowest.as_millis()
    );
    // The long run is of the program as it is used. A debug build on a busy machine gets a bound that only a fault exceeds.
    let within = if long() { READY_WITHIN } else { 6 * READY_WITHIN };
    assert!(slowest < within, "ready again after {} s", slowest.as_secs());
}

/// A file system in a file, which can lose its power.
struct Volume {
    image: tempfile::TempPath,
    place: tempfile::TempDir,
}

impl Volume {
    /// None, with a loud line, where the machine does not allow it.
    fn new(what: &str) -> Option<Self> {
        let image = tempfile::NamedTempFile::new().ok()?;
        image.as_file().set_len(600 << 20).ok()?;
        let volume = Self { image: image.into_temp_path(), place: tempfile::tempdir().ok()? };
        let made = run("mkfs.xfs", &["-q", &volume.image.to_string_lossy()]) && volume.mount();
        if !made {
            eprintln!(
                "\n!!! NOT TESTED: {what}: this machine lets nobody mount a file system in a file (root, loop devices and xfsprogs are wanted)\n"
            );
        }
        made.then_some(volume)
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop", &self.image.to_string_lossy(), &self.place.path().to_string_lossy()])
    }

    /// What the file system has not yet been told to keep is gone from now on.
    fn cut(&self) {
        assert!(run("xfs_io", &["-x", "-c", "shutdown", &self.place.path().to_string_lossy()]), "the power is cut");
    }

    fn power_again(&self) {
        assert!((0..50).any(|_| run("umount", &[&self.place.path().to_string_lossy()]) || wait()), "it is unmounted");
        assert!(self.mount(), "it is mounted again");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = (0..20).any(|_| run("umount", &[&self.place.path().to_string_lossy()]) || wait());
    }
}

fn wait() -> bool {
    std::thread::sleep(Duration::from_millis(100));
    false
}

fn run(program: &str, args: &[&str]) -> bool {
    let silent = std::process::Stdio::null;
    std::process::Command::new(program).args(args).stdout(silent()).stderr(silent()).status().is_ok_and(|s| s.success())
}

/// Writes until the power is cut, again and again.
///
/// # Returns
/// How many commands were acknowledged, and how many of these are not stored at the end; none where it cannot be tested.
fn power_cuts(name: &str, synchronous: &str) -> Option<(usize, usize)> {
    let volume = Volume::new(name)?;
    let mut dice = Dice::new(name);
    let folder = volume.place.path().join("heyi");
    let rt = tokio::runtime::Runtime::new().expect("a runtime");
    let mut acknowledged: Vec<String> = Vec::new();
    let cuts = if long() { CUTS.1 } else { CUTS.0 };
    // The first start makes keys and tables, and ends well.
    Serving::sandbox(&folder, |serve| serve).stop();
    for cut in 0..cuts {
        let server = Serving::sandbox(&folder, |serve| serve.env("HEYI_FAULT", format!("synchronous:{synchronous}")));
        let (base, tokens) = server.address();
        let at = Address { base, tokens, client: Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client") };
        rt.block_on(async {
            let writing: Vec<_> = (0..WRITERS)
                .map(|number| {
                    let at = at.clone();
                    let mut writer = Writer { number: number + WRITERS * (cut + 1), cases: 0, case: None, step: 0, told: Vec::new() };
                    tokio::spawn(async move {
                        writer.write(&at, &AtomicU64::new(0)).await;
                        writer.told
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(300 + dice.below(KILL_WITHIN_MS))).await;
            volume.cut();
            // What is answered now cannot have been written; the server says so, or nothing.
            drop(server);
            for writer in writing {
                acknowledged.extend(writer.await.expect("a writer ends").into_iter().map(|told| told.ask.key));
            }
        });
        volume.power_again();
    }
    let mut verify = command(["verify", "--database", "--replay", "--json", "--data"]);
    drop(Ran::of(verify.arg(&folder)).ended(0));
    let stored: BTreeSet<String> = rt.block_on(async {
        let config = Config { data_dir: folder.clone(), ..Config::default() };
        let app = App::open(config, Mode::Sandbox).await.expect("the folder opens without a hand");
        let keys = answer::Entity::find().select_only().column(answer::Column::Key).into_tuple();
        keys.all(app.engine.store().db()).await.expect("it can be read").into_iter().collect()
    });
    let lost = acknowledged.iter().filter(|key| !stored.contains(*key)).count();
    let many = acknowledged.len();
    eprintln!("{name}: {cuts} power cuts with synchronous = {synchronous}, {many} commands acknowledged, {} stored, {lost} lost", stored.len());
    Some((many, lost))
}

#[test]
fn power_cuts_on_sqlite() {
    let Some((acknowledged, lost)) = power_cuts("power cuts on SQLite", "FULL") else { return };
    assert!(acknowledged > 0 && lost == 0, "{lost} acknowledged commands were lost");
    // The twin that does not wait for the disk loses, and this test sees it. A release build has no place to plant it.
    if !cfg!(debug_assertions) {
        return;
    }
    let Some((_, lost)) = power_cuts("power cuts on a twin", "NORMAL") else { return };
    assert!(lost > 0, "the twin has lost nothing: this test would not notice a loss");
}

#[test]
fn kills_on_sqlite() {
    survives("crash-sqlite", None);
}

#[test]
fn kills_on_postgresql() {
    let Some(cluster) = Cluster::start("kills on PostgreSQL") else { return };
    survives("crash-postgresql", Some(&cluster.fresh()));
}
