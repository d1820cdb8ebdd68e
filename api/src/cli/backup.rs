//! `heyi backup`, `heyi restore`, `heyi move`: arguments, the bar, and what is said at the end.

use super::{Failure, Outcome, Place};
use crate::backup::carry::{self, Carried};
use crate::backup::{Progress, Unseen};
use crate::state::MovableClock;
use clap::Args;
use heyi_engine::submit::Clock as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// What is told, and how.
#[derive(Debug, Clone, Args)]
struct Telling {
    /// No progress bar, and nothing said but what must be known.
    #[arg(long)]
    quiet: bool,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
}

/// Write an installation into one file, while it is being used. Keys are not in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi backup heyi-2026-03-02.zip --data /srv/heyi\n  heyi backup heyi.zip --keys /media/safe/heyi-keys.json --data /srv/heyi\n\nWithout the keys nobody can read the backup: keep them elsewhere, once. Whoever has both can read every case."
)]
pub struct Backup {
    /// The file. It is refused when it exists.
    file: PathBuf,
    /// Write the keys too, into this other file, which only its owner may read.
    #[arg(long, value_name = "KEYFILE")]
    keys: Option<PathBuf>,
    /// Write over files of these names.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    place: Place,
}

/// Put a backup into an empty data folder, and its rows into an empty database.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi restore heyi.zip --keys heyi-keys.json --data /srv/heyi\n  HEYI_DATABASE_URL=postgres://heyi@db/heyi heyi restore heyi.zip --data /srv/heyi\n\nThe whole file is checked before anything is written. Without --keys, put keys/master.key and keys/signing.pem into the data folder yourself."
)]
pub struct Restore {
    /// The backup.
    file: PathBuf,
    /// The keys, as `heyi backup --keys` wrote them.
    #[arg(long, value_name = "KEYFILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    place: Place,
}

/// Carry an installation into another database. Files and keys stay in the data folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi move --to postgres://heyi@db.example/heyi --data /srv/heyi\n  heyi move --to postgres://heyi@db.example/heyi --parts 8 --data /srv/heyi\n  heyi move --to sqlite:/srv/heyi/new.db --data /srv/heyi\n\nStop `heyi serve` first. The other database must be empty. Afterwards the old one refuses every change and names the new one."
)]
pub struct Move {
    /// The other database: `postgres://…` or `sqlite:PATH`.
    #[arg(long, value_name = "URL", env = "HEYI_MOVE_TO", hide_env_values = true)]
    to: String,
    /// Spread the tables of cases over so many hash partitions, each case in one of them. On PostgreSQL; see docs/scale.md.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..=1024))]
    parts: Option<u32>,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    place: Place,
}

/// A bar on standard error.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn expect(&self, steps: u64) {
        self.0.inc_length(steps);
    }
    fn done(&self, steps: u64) {
        self.0.inc(steps);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Telling {
    fn progress(&self) -> Box<dyn Progress> {
        if self.quiet || !std::io::stderr().is_terminal() {
            return Box::new(Unseen);
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}");
        Box::new(Bar(style.map_or(bar.clone(), |style| bar.with_style(style))))
    }

    /// JSON, or lines for a person.
    fn tell(&self, answer: &impl Serialize, lines: impl FnOnce() -> Vec<String>) -> Outcome {
        if self.json {
            println!("{}", serde_json::to_string(answer)?);
        } else {
            lines().iter().for_each(|line| println!("{line}"));
        }
        Ok(())
    }
}

fn counted(carried: &Carried) -> String {
    format!(
        "{} rows of {} tables, compared row by row; the chains of {} case(s) with {} events were walked.",
        carried.rows,
        carried.tables.len(),
        carried.cases,
        carried.events
    )
}

/// A chain that does not hold is told at the end, with status 1.
fn whole(carried: &Carried) -> Outcome {
    match &carried.broken_chain {
        None => Ok(()),
        Some(broken) => Err(Failure::negative(format!("a chain does not hold, and did not before this either: {broken}"))),
    }
}

fn listed(paths: &[PathBuf]) -> impl Iterator<Item = String> + '_ {
    paths.iter().map(|p| format!("  {}", p.display()))
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (std::path::absolute(one), std::path::absolute(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

impl Backup {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        if self.keys.as_ref().is_some_and(|keys| same_file(keys, &self.file)) {
            return Err(Failure::usage("--keys must name another file than the backup: whoever has both can read every case"));
        }
        let config = self.place.read(None)?;
        let progress = self.telling.progress();
        let now = MovableClock::default().now();
        let done = carry::backup(&config, &self.file, self.keys.as_deref(), self.force, now, &*progress).await;
        drop(progress);
        let done = done?;
        self.telling.tell(&done, || {
            let mut lines = vec![format!("{}  {} bytes", done.file.display(), done.bytes), counted(&done.carried)];
            if !done.left_behind.is_empty() && !self.telling.quiet {
                lines.push(format!("Not in it: {}.", done.left_behind.join(", ")));
            }
            match &done.keys {
                Some(keys) => {
                    lines.push("The keys are in another file. Keep it elsewhere: whoever has both can read every case.".to_owned());
                    lines.extend(listed(std::slice::from_ref(keys)));
                }
                None if done.keep_apart.is_empty() => {
                    lines.push("There are no keys in the data folder. Without keys/master.key nobody can read this backup.".to_owned());
                }
                None => {
                    lines.push("The keys are not in it. Without them nobody can read it. Keep these files elsewhere:".to_owned());
                    lines.extend(listed(&done.keep_apart));
                }
            }
            lines
        })?;
        whole(&done.carried)
    }
}

impl Restore {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        if let Some(missing) = [Some(&self.file), self.keys.as_ref()].into_iter().flatten().find(|path| !path.is_file()) {
            return Err(Failure::usage(format!("{}: there is no such file", missing.display())));
        }
        let config = self.place.read(None)?;
        let progress = self.telling.progress();
        let done = carry::restore(&config, &self.file, self.keys.as_deref(), &*progress).await;
        drop(progress);
        let done = done?;
        self.telling.tell(&done, || {
            let mut lines = vec![format!("{}  as of {}", done.data_dir.display(), done.created_at), counted(&done.carried)];
            if !done.settings.is_empty() {
                lines.push("Put these settings into heyi.toml, so that folders of your own are used:".to_owned());
                lines.extend(done.settings.iter().map(|s| format!("  {s}")));
            }
            if let Some(key) = &done.missing_key {
                lines.push("Before anything else, put the keys into place; until then nothing can be read:".to_owned());
                lines.extend(listed(&[key.clone(), key.with_file_name("signing.pem")]));
            }
            lines
        })?;
        whole(&done.carried)
    }
}

impl Move {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        if !["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| self.to.starts_with(scheme)) {
            return Err(Failure::usage("--to: write postgres://user@host/database or sqlite:PATH"));
        }
        if self.parts.is_some() && self.to.starts_with("sqlite:") {
            return Err(Failure::usage("--parts: only PostgreSQL has partitions"));
        }
        let config = self.place.read(None)?;
        let progress = self.telling.progress();
        let done = carry::move_to(&config, &self.to, self.parts, MovableClock::default().now(), &*progress).await;
        drop(progress);
        let done = done?;
        self.telling.tell(&done, || {
            vec![
                format!("The installation lives in {} now.", done.to),
                counted(&done.carried),
                "Set database_url in heyi.toml, or HEYI_DATABASE_URL, to this address. The data folder and its keys stay.".to_owned(),
                "The old database refuses changes from now on; keep it until the new one has been backed up.".to_owned(),
            ]
        })?;
        whole(&done.carried)
    }
}
