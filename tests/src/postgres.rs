//! A throw-away PostgreSQL server, where its programs are installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A cluster of its own; stopped and removed when dropped.
pub struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Cluster {
    /// Starts one; none where the programs are missing.
    ///
    /// # Panics
    /// When they are there and it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let bin = programs()?;
        let folder = tempfile::Builder::new().prefix("heyi-pg-").tempdir_in("/tmp").expect("a folder for the cluster");
        if root() {
            assert!(Command::new("chown").arg("postgres:postgres").arg(folder.path()).status().is_ok_and(|s| s.success()), "chown");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let cluster = Self { folder, bin, port };
        let data = cluster.folder.path().join("data");
        let made = cluster
            .program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .status();
        assert!(made.is_ok_and(|s| s.success()), "initdb failed");
        let options = format!("-k {} -c listen_addresses=127.0.0.1 -p {port}", cluster.folder.path().display());
        let mut start = cluster.program("pg_ctl");
        start.arg("-D").arg(&data).arg("-l").arg(cluster.folder.path().join("log")).args(["-w", "-o", &options, "start"]);
        assert!(start.status().is_ok_and(|s| s.success()), "the server did not start");
        Some(cluster)
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
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
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("pg_ctl").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}
