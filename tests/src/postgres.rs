//! A throw-away PostgreSQL cluster, where the server's programs are there (Debian: `postgresql`).

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A running cluster; stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

/// The folder of the server's programs, of the newest version.
fn programs() -> Option<PathBuf> {
    let version = |e: fs::DirEntry| Some((e.file_name().to_str()?.parse::<u32>().ok()?, e.path().join("bin")));
    let found = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().filter_map(version);
    found.filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("pg_ctl").is_file()).max().map(|(_, bin)| bin)
}

impl Cluster {
    /// Starts one; none where the programs are missing.
    ///
    /// # Panics
    /// When they are there and the server does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let bin = programs()?;
        let folder = tempfile::Builder::new().prefix("heyi-pg-").tempdir_in("/tmp").expect("a folder for the cluster");
        if is_root() {
            assert!(Command::new("chown").arg("postgres:postgres").arg(folder.path()).status().is_ok_and(|s| s.success()), "chown");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let cluster = Self { folder, bin, port };
        let data = cluster.folder.path().join("data");
        let made = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];
        assert!(cluster.program("initdb").arg("-D").arg(&data).args(made).status().is_ok_and(|s| s.success()), "initdb");
        let options = format!("-k {} -c listen_addresses=127.0.0.1 -p {port}", cluster.folder.path().display());
        let log = cluster.folder.path().join("log");
        let started = cluster.program("pg_ctl").arg("-D").arg(&data).arg("-l").arg(&log).args(["-w", "-o", &options, "start"]).status();
        assert!(started.is_ok_and(|s| s.success()), "{}", String::from_utf8_lossy(&fs::read(log).unwrap_or_default()));
        Some(cluster)
    }

    /// The address of its one database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A program of the server; it refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let mut command = if is_root() {
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

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        drop(self.program("pg_ctl").arg("-D").arg(data).args(["-m", "immediate", "-w", "stop"]).status());
    }
}
