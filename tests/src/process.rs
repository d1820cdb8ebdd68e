//! Running the real `heyi` binary, as a person at a terminal would, and places for its files.
//!
//! Here: where the binary comes from, a clean environment, the server as a process, scratch folders, seeded chance, and
//! the one way in which a test may be left out. Not here: what a finished demo looks like; the test files say that.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Settings of the caller's shell that must not reach the process under test.
const SETTINGS_PREFIX: &str = "HEYI_";

/// How long a process that should end by itself may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `heyi` binary of the profile that this test was built with, built when it is not there or is older than its sources.
///
/// # Panics
/// When cargo cannot build it.
#[must_use]
pub fn heyi() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let exe = std::env::current_exe().expect("a running test has a path");
        // TARGET/PROFILE/deps/NAME-HASH
        let folder = exe.parent().and_then(Path::parent).expect("test binaries lie in the deps folder of a profile");
        let target = folder.parent().expect("profiles lie in the target folder");
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What cargo tells this test about its own package would look like a change to build scripts that ask for it
        // (ring), and half of the dependencies would be compiled anew.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"].iter().any(|p| name.to_string_lossy().starts_with(p))
            {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .args(["build", "--quiet", "-p", "heyi", "-p", "heyi-tests", "--bin", "heyi", "--profile", profile, "--target-dir"])
            .arg(target)
            .arg("--manifest-path")
            .arg(manifest)
            .output()
            .expect("cargo can be started");
        assert!(built.status.success(), "cargo build -p heyi:\n{}", String::from_utf8_lossy(&built.stderr));
        folder.join(format!("heyi{}", std::env::consts::EXE_SUFFIX))
    })
}

/// The binary with arguments, in a clean environment, away from any `heyi.toml`, told to speak Chinese.
#[must_use]
pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    let mut command = Command::new(heyi());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(SETTINGS_PREFIX)) {
        command.env_remove(name);
    }
    for name in ["LC_ALL", "LC_MESSAGES", "LANGUAGE"] {
        command.env_remove(name);
    }
    command.env("LANG", "zh_CN.UTF-8").current_dir(empty_folder()).args(args).stdin(Stdio::null());
    command
}

/// A folder in which nothing lies.
fn empty_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| scratch("empty"))
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// Exit status; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started, or says something that is not UTF-8.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("heyi can be started");
        let text = |bytes| String::from_utf8(bytes).expect("heyi speaks UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs `heyi` with these arguments.
    #[must_use]
    pub fn heyi<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Self {
        Self::of(&mut command(args))
    }

    /// Runs a command that should end by itself, and ends it when it does not within a minute.
    ///
    /// # Panics
    /// When it had to be ended.
    #[must_use]
    pub fn ending(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("heyi can be started");
        let until = Instant::now() + PATIENCE;
        while child.try_wait().expect("a child can be asked").is_none() {
            if Instant::now() > until {
                drop(child.kill());
                let Output { stdout, stderr, .. } = child.wait_with_output().expect("a dead child can be read");
                panic!("it went on and on:\n{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let Output { status, stdout, stderr } = child.wait_with_output().expect("a dead child can be read");
        let text = |bytes| String::from_utf8(bytes).expect("heyi speaks UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The same, if the exit status is this one.
    ///
    /// # Panics
    /// When it is another one.
    #[must_use]
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard output:\n{}\nstandard error:\n{}", self.stdout, self.stderr);
        self
    }
}

/// `heyi serve`, running as a process of its own. It is ended when this is dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    base: String,
    tokens: BTreeMap<String, String>,
    client: reqwest::Client,
}

impl Serving {
    /// Starts a training room on any free port; `with` adds settings.
    ///
    /// # Panics
    /// When it does not start.
    pub fn sandbox(folder: &Path, with: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut serve = command(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--data"]);
        with(serve.arg(folder));
        let mut child = serve.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("heyi can be started");
        let (send, lines) = channel();
        let err = BufReader::new(child.stderr.take().expect("it is piped"));
        // Read to its end, so that the server never waits for a reader.
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                if line.contains("\"level\":\"ERROR\"") {
                    eprintln!("{line}");
                }
                drop(send.send(line));
            }
        });
        let mut said = Vec::new();
        let base = loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the server does not say where it listens:\n{}", said.join("\n")));
            if let Some(address) = line.strip_prefix("Heyi listens on ") {
                break address.split_whitespace().next().expect("an address").to_owned();
            }
            said.push(line);
        };
        let tokens = std::fs::read(folder.join("sandbox-tokens.json")).expect("the tokens are there before anybody can ask");
        let tokens = serde_json::from_slice(&tokens).expect("the tokens are a JSON object");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { child, base, tokens, client }
    }

    /// Posts JSON as somebody of the token file.
    ///
    /// # Returns
    /// Status and JSON of the answer.
    ///
    /// # Panics
    /// When nothing answers.
    pub async fn post(&self, who: &str, path: &str, body: &Json) -> (u16, Json) {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.tokens[who]).json(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Reads JSON as somebody of the token file.
    ///
    /// # Panics
    /// When nothing answers, or not with 200.
    pub async fn get(&self, who: &str, path: &str) -> Json {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.tokens[who]);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// Sends it a signal: `STOP` freezes it, `CONT` thaws it.
    ///
    /// # Panics
    /// When it is not there.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "signal {name}");
    }

    /// How much memory it holds, in KiB.
    ///
    /// # Panics
    /// Where `/proc` does not say.
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the system says");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("a line of memory");
        line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Where it listens, and the tokens of its people.
    #[must_use]
    pub fn address(&self) -> (String, BTreeMap<String, String>) {
        (self.base.clone(), self.tokens.clone())
    }

    /// Ends it with SIGTERM.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill can be started");
        assert!(asked.success());
        assert!(self.child.wait().expect("it ends").success(), "SIGTERM is no failure");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A new, empty folder below the target folder. What dead test runs left there is swept away first.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let exe = std::env::current_exe().expect("a running test has a path");
        let root = exe.ancestors().nth(3).expect("test binaries lie below the target folder").join("tmp/heyi-tests");
        std::fs::create_dir_all(&root).expect("the target folder can be written");
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            let dead = entry.file_name().to_str().is_some_and(|pid| !Path::new("/proc").join(pid).exists());
            if dead && Path::new("/proc/self").exists() {
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
        root.join(std::process::id().to_string())
    });
    let folder = own.join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// Copies a folder with all that is below it.
///
/// # Panics
/// When something cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder to copy into");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("entries have names"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

/// The files of a folder whose names end so, in the order of their names; none when there is no such folder.
#[must_use]
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    out.retain(|path| path.extension().is_some_and(|e| e == ending));
    out.sort();
    out
}

/// Says that something was not tested, so that nobody overlooks it.
///
/// # Panics
/// Where `CI` is set: there everything must be tested.
pub fn not_tested(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "NOT TESTED: {why}");
    eprintln!("\n!!! NOT TESTED: {why}\n");
}

/// Chance that can be had again: `HEYI_SEED` in the environment, else the system's, printed either way.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice for a test.
    ///
    /// # Panics
    /// When `HEYI_SEED` is no number.
    #[must_use]
    pub fn new(test: &str) -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let seed = match std::env::var("HEYI_SEED") {
            Ok(text) => text.parse().expect("HEYI_SEED is a whole number"),
            Err(_) => RandomState::new().hash_one(test) >> 1,
        };
        eprintln!("{test}: HEYI_SEED={seed}");
        Self(seed)
    }

    /// The next number below `end` (splitmix64).
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
    /// The place of one among so many.
    ///
    /// # Panics
    /// When there is none.
    pub fn among(&mut self, many: usize) -> usize {
        usize::try_from(self.below(many as u64)).expect("it is below a usize")
    }
}
