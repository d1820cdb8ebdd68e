//! Backup, restoring and moving: a whole installation in one file, or in another database.
//!
//! `lines` is how a row looks in a file, `manifest` what a backup says of itself, `container` the file, `keys` what must
//! never be in it, `beside` what lies beside the database, `carry` the three ways. The format is the same for both
//! databases, and what is read is one moment of it, so chains go on wherever the rows are put.

mod beside;
pub mod carry;
mod container;
pub mod keys;
mod lines;
pub mod manifest;
mod part;
pub mod running;

use crate::config::Config;
use crate::state::StartError;
use heyi_engine::store::copy::{CopyError, MOVED_TO};
use heyi_engine::store::seal::SealKey;
use heyi_engine::store::{Store, StoreError};
use std::path::Path;

/// Why a backup, a restore or a move did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A file or folder.
    #[error("{what}: {problem}")]
    File {
        /// Which.
        what: String,
        /// What happened.
        problem: String,
    },
    /// The backup is not what it says it is, or not for this program.
    #[error("{0}")]
    Unfit(String),
    /// What was written reads differently.
    #[error("what was written to {0} is not what was read: nothing was kept")]
    Differs(String),
}

impl BackupError {
    fn file(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self::File { what: path.display().to_string(), problem: problem.to_string() }
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Copy(error.into())
    }
}

/// How far the work has come.
pub trait Progress {
    /// So many more steps will be needed.
    fn expect(&self, steps: u64);
    /// So many steps are done.
    fn done(&self, steps: u64);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Progress for Unseen {
    fn expect(&self, _: u64) {}
    fn done(&self, _: u64) {}
}

/// Refuses a database that is no longer this installation's, or whose values another key has sealed. Asked before a first
/// start would make keys.
///
/// # Errors
/// Where the installation has moved to, or which key is needed.
pub async fn guard(store: &Store, config: &Config) -> Result<(), StartError> {
    if let Some(to) = store.meta(MOVED_TO).await? {
        return Err(StartError::Elsewhere(format!(
            "this installation has moved to {to}: set database_url to it (heyi.toml or HEYI_DATABASE_URL); this database is the old copy"
        )));
    }
    let path = config.below("keys").join("master.key");
    let master = if path.exists() { Some(SealKey::of_installation(&path)?) } else { None };
    if store.opens_with(master.as_ref()).await? {
        return Ok(());
    }
    let found = if master.is_some() { "that is another key" } else { "there is none" };
    Err(StartError::Elsewhere(format!("the values in this database were sealed under a key that must lie in {}; {found}", path.display())))
}
