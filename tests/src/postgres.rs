//! A throw-away PostgreSQL cluster, where the server's programs are installed.

use crate::process::not_tested;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
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
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
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
        assert!(ended.is_ok_and(|s| s.success()), "{name} failed:\n{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
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
