//! Whether this server can work, and if not, why not: one check for each thing that it needs.
//!
//! Here: the checks that `/readyz` answers with and the pulse of the workers. Not here: what a person can do about it
//! (`heyi doctor`). Nobody has to show a token for the answer, so it says what is wrong and nothing else.

use crate::sandbox;
use crate::server::Limits;
use crate::state::App;
use heyi_engine::store::StoreError;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// How long the database may take to answer.
const DATABASE_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a key file that are looked at; more is no key.
const KEY_MAX_BYTES: u64 = 16 * 1024;

/// One thing that the server needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// `database`, `durability`, `migrations`, `workers`, `keys`, `disk`, `templates`, `tokens`
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
}

impl Check {
    fn of(name: &'static str, problem: Option<&'static str>) -> Self {
        Self { name, ok: problem.is_none(), problem }
    }
}

/// The pulse of the workers: they say that they are alive, and nobody has to trust that they are.
#[derive(Debug)]
pub struct Pulse {
    born: Instant,
    last_ms: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { born: Instant::now(), last_ms: AtomicU64::new(0) }
    }
}

impl Pulse {
    /// Says that somebody works.
    pub fn beat(&self) {
        self.last_ms.store(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long nobody has said so; since the start, if nobody ever did.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// Looks at everything.
pub async fn checks(app: &App, limits: &Limits) -> Vec<Check> {
    let mut out = database(app).await;
    let silent = app.pulse.silence() > limits.worker_silence;
    out.push(Check::of("workers", silent.then_some("the background workers have been silent for too long")));
    let keys = app.config.below("keys");
    let unreadable = ["master.key", "signing.pem"].iter().any(|name| !is_key(&keys.join(name)));
    out.push(Check::of("keys", unreadable.then_some("a key file of the installation cannot be read")));
    let floor = app.config.disk_floor_bytes();
    let full = free_bytes(&app.config.data_dir).is_none_or(|free| free < floor);
    out.push(Check::of("disk", full.then_some("the disk of the data folder is almost full")));
    out.push(Check::of("templates", app.templates.is_empty().then_some("no templates are loaded")));
    if app.sandbox {
        let missing = !sandbox::tokens_file(app).is_file();
        out.push(Check::of("tokens", missing.then_some("the file with the training room's tokens is missing")));
    }
    out
}

async fn database(app: &App) -> Vec<Check> {
    let engine = app.engine.clone();
    // The questions run to their end in their own task; only the waiting has a limit.
    let asked = tokio::spawn(async move {
        let weak = engine.store().durability().await?.iter().any(|setting| !setting.is_fine());
        let schema = engine.store().schema().await?;
        Ok::<_, StoreError>((weak, schema.is_current()))
    });
    let unreachable = |problem| vec![Check::of("database", Some(problem))];
    match tokio::time::timeout(DATABASE_WITHIN, asked).await {
        Ok(Ok(Ok((weak, current)))) => vec![
            Check::of("database", None),
            Check::of("durability", weak.then_some("the database runs with a setting under which acknowledged work can be lost")),
            Check::of("migrations", (!current).then_some("the database has other migrations than this program")),
        ],
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "the database does not answer");
            unreachable("the database does not answer")
        }
        Ok(Err(_)) | Err(_) => unreachable("the database does not answer in time"),
    }
}

fn is_key(path: &Path) -> bool {
    let small = std::fs::metadata(path).is_ok_and(|m| m.is_file() && (1..=KEY_MAX_BYTES).contains(&m.len()));
    small && std::fs::read(path).is_ok()
}

/// Bytes that the disk of a folder has left for this program; none when it does not say.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_that_was_never_felt_is_silent_since_the_start() {
        let pulse = Pulse { born: Instant::now().checked_sub(Duration::from_secs(60)).unwrap(), last_ms: AtomicU64::new(0) };
        assert!(pulse.silence() >= Duration::from_secs(60));
        pulse.beat();
        assert!(pulse.silence() < Duration::from_secs(60));
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_room() {
        assert_eq!(free_bytes(Path::new("/there/is/no/such/folder")), None);
        assert!(free_bytes(Path::new(".")).is_some_and(|free| free > 0));
    }
}
