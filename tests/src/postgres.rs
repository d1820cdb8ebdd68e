//! A throw-away PostgreSQL cluster, where the server's programs are installed.

use crate::process::not_tested;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A cluster on a port of its own; stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    databases: AtomicU32,
}

impl Cluster {
    /// Starts one; none, with a loud line, where there is no server. `what` is not tested then.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(what: &str) -> Option<Self> {
        let Some(bin) = programs() else {
            not_tested(&format!("{what}: PostgreSQL's programs are not under /usr/lib/postgresql"));
            return None;
        };
        let folder = tempfile::Builder::new().prefix("heyi-pg-").tempdir_in("/tmp").expect("a folder for the cluster");
        if root() {
            let owned = Command::new("chown").arg("postgres:postgres").arg(folder.path()).status();
            assert!(owned.is_ok_and(|s| s.success()), "chown");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let cluster = Self { folder, bin, port, databases: AtomicU32::new(0) };
        let data = cluster.folder.path().join("data");
        let data = data.to_str().expect("a path in ASCII");
        // An order of letters that is not that of bytes, so that nothing rests on the cluster's language by accident.
        let language = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"];
        cluster.run("initdb", &[&["-D", data, "-U", "postgres", "--auth=trust", "--no-sync"], &language[..]].concat());
        let options = format!("-k {} -c listen_addresses=127.0.0.1 -p {port}", cluster.folder.path().display());
        let log = cluster.folder.path().join("log");
        cluster.run("pg_ctl", &["-D", data, "-l", log.to_str().expect("a path in ASCII"), "-w", "-o", &options, "start"]);
        Some(cluster)
    }

    /// The address of a database that nobody has used.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn fresh(&self) -> String {
        let name = format!("heyi_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let port = self.port.to_string();
        self.run("createdb", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", &name]);
        format!("postgres://postgres@127.0.0.1:{port}/{name}")
    }

    /// The address of the database that is there from the beginning.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn run(&self, name: &str, args: &[&str]) {
        let ended = self.program(name).args(args).status();
        assert!(ended.is_ok_and(|s| s.success()), "{name} failed:\n{}", self.log());
    }

    /// Ends the server at once, as a crash would; what it acknowledged stays.
    ///
    /// # Panics
    /// When it does not end.
    pub fn fall(&self) {
        let data = self.folder.path().join("data");
        self.run("pg_ctl", &["-D", data.to_str().expect("a path in ASCII"), "-m", "immediate", "-w", "stop"]);
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn rise(&self) {
        let (data, log) = (self.folder.path().join("data"), self.folder.path().join("log"));
        let options = format!("-k {} -c listen_addresses=127.0.0.1 -p {}", self.folder.path().display(), self.port);
        let (data, log) = (data.to_str().expect("a path in ASCII"), log.to_str().expect("a path in ASCII"));
        self.run("pg_ctl", &["-D", data, "-l", log, "-w", "-o", &options, "start"]);
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Another server that follows this one; from now on a commit here waits until it is safe there too.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("heyi-pg-").tempdir_in("/tmp").expect("a folder for the standby");
        if root() {
            let owned = Command::new("chown").arg("postgres:postgres").arg(folder.path()).status();
            assert!(owned.is_ok_and(|s| s.success()), "chown");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let standby = Self { folder, bin: self.bin.clone(), port, databases: AtomicU32::new(0) };
        let data = standby.folder.path().join("data");
        let from = self.port.to_string();
        let data = data.to_str().expect("a path in ASCII");
        self.run("pg_basebackup", &["-h", "127.0.0.1", "-p", &from, "-U", "postgres", "-D", data, "-R", "-X", "stream", "-c", "fast"]);
        standby.rise();
        let psql = |sql: &str| self.run("psql", &["-h", "127.0.0.1", "-p", &from, "-U", "postgres", "-d", "postgres", "-q", "-c", sql]);
        psql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        psql("SELECT pg_reload_conf()");
        standby
    }

    /// Freezes every process of the server: connections stay open, and nothing answers.
    ///
    /// # Panics
    /// When there is none.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Kills every process of the server.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).expect("the server runs");
        let first = pid.lines().next().expect("a number").to_owned();
        let children =
            Command::new("pgrep").args(["-P", &first]).output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        let all = std::iter::once(first.as_str()).chain(children.lines());
        let sent = Command::new("kill").arg(format!("-{name}")).args(all).stderr(Stdio::null()).status();
        assert!(sent.is_ok(), "signal {name}");
    }

    /// Makes a standby the server.
    ///
    /// # Panics
    /// When it does not become one.
    pub fn promote(&self) {
        let data = self.folder.path().join("data");
        self.run("pg_ctl", &["-D", data.to_str().expect("a path in ASCII"), "-w", "promote"]);
        // It follows nobody's word about other standbys any more.
        let port = self.port.to_string();
        let psql = |sql: &str| self.run("psql", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-d", "postgres", "-q", "-c", sql]);
        psql("ALTER SYSTEM SET synchronous_standby_names = ''");
        psql("SELECT pg_reload_conf()");
    }

    /// A program of the server; it refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = if root() {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(self.bin.join(name));
            setpriv
        } else {
            Command::new(self.bin.join(name))
        };
        // The server inherits what it is started with: a pipe would never end.
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        drop(self.program("pg_ctl").arg("-D").arg(data).args(["-m", "immediate", "-w", "stop"]).status());
    }
}

/// An address that leads to one server or another, as a floating address does.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    to: Arc<AtomicU16>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// One that leads to a port of this machine.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let relay = Self { port, to: Arc::new(AtomicU16::new(to)), open: Arc::default() };
        let (to, open) = (relay.to.clone(), relay.open.clone());
        std::thread::spawn(move || {
            for one in listener.incoming().flatten() {
                let Ok(other) = TcpStream::connect(("127.0.0.1", to.load(Ordering::SeqCst))) else { continue };
                for (from, into) in [(&one, &other), (&other, &one)] {
                    let (Ok(mut from), Ok(mut into)) = (from.try_clone(), into.try_clone()) else { continue };
                    std::thread::spawn(move || {
                        drop(std::io::copy(&mut from, &mut into));
                        drop(into.shutdown(Shutdown::Both));
                    });
                }
                open.lock().expect("nobody fell").extend([one, other]);
            }
        });
        relay
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads to another server from now on. What was open is cut off.
    ///
    /// # Panics
    /// When a thread of it fell over.
    pub fn lead_to(&self, port: u16) {
        self.to.store(port, Ordering::SeqCst);
        for stream in self.open.lock().expect("nobody fell").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// The folder of the server's programs, the newest version first.
fn programs() -> Option<PathBuf> {
    let all = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<(u32, PathBuf)> = all.filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin")))).collect();
    found.retain(|(_, bin)| ["initdb", "pg_ctl", "createdb"].iter().all(|name| bin.join(name).is_file()));
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}
