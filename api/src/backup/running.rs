//! Whether a server runs on a data folder: it holds a lock there for as long as it lives. A lock, not a number in a file,
//! so that nothing is left to be cleaned up after a crash.

use super::BackupError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The file that is locked.
pub const LOCK: &str = "serve.lock";

/// Held by a server.
#[derive(Debug)]
pub struct Running {
    _file: File,
}

/// Says that a server runs on this folder, until the answer is dropped. Several may.
///
/// # Errors
/// When the installation is being moved away just now.
pub fn serving(data_dir: &Path) -> Result<Running, BackupError> {
    let path = data_dir.join(LOCK);
    let file = open(&path)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(Running { _file: file }),
        Err(TryLockError::WouldBlock) => Err(BackupError::file(data_dir, "this installation is being moved to another database just now")),
        Err(TryLockError::Error(error)) => Err(BackupError::file(&path, error)),
    }
}

/// Makes sure that no server runs on this folder or starts there, until the answer is dropped.
///
/// # Errors
/// When one runs.
pub fn nobody_serves(data_dir: &Path) -> Result<Running, BackupError> {
    let path = data_dir.join(LOCK);
    let file = open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Running { _file: file }),
        Err(TryLockError::WouldBlock) => {
            Err(BackupError::file(data_dir, "`heyi serve` runs on this folder; stop it first, so that nobody writes into the old database"))
        }
        Err(TryLockError::Error(error)) => Err(BackupError::file(&path, error)),
    }
}

fn open(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(|e| BackupError::file(path, e))
}
