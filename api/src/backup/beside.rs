//! What lies beside the database and belongs to the installation: the public key, signed checkpoints, and folders of
//! one's own with workflows and templates.
//!
//! Left behind on purpose: keys and tokens (`keys`), `heyi.toml`, which may hold passwords and names places of this
//! machine (a copy without them goes along, to be read), and `mail/`, `documents/`, `exports/`: copies in clear of what
//! the database holds sealed.

use super::BackupError;
use super::lines::hex;
use super::manifest::FileEntry;
use crate::config::Config;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The settings of the backed-up installation, to be read by a person; nothing reads it.
const SETTINGS: &str = "settings.toml";
/// Carried from the data folder.
const CARRIED: [&str; 2] = ["public-key.pem", "checkpoints"];
/// Folders of one's own, and the settings that name them.
pub const OWN_FOLDERS: [&str; 2] = ["workflows", "templates"];
/// Files carried at most.
const MOST_FILES: usize = 20_000;
/// Bytes carried of one file at most.
const MOST_FILE_BYTES: u64 = 64 << 20;
/// Folders in folders.
const MOST_DEPTH: usize = 16;

/// Whether a name in a backup is a place that a restore may write to, below the data folder.
pub fn may_be_written(name: &str) -> bool {
    let mut parts = name.split('/');
    let top = parts.next().unwrap_or_default();
    let known = top == SETTINGS || CARRIED.contains(&top) || OWN_FOLDERS.contains(&top);
    known && parts.all(|p| !p.is_empty() && p != "." && p != ".." && !p.contains(['\\', '\0']))
}

/// A file on its way.
pub struct Beside {
    /// What the manifest says of it.
    pub entry: FileEntry,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Beside {
    fn new(name: String, bytes: Vec<u8>) -> Self {
        let entry = FileEntry { name, size: bytes.len() as u64, sha256: hex(&Sha256::digest(&bytes)) };
        Self { entry, bytes }
    }
}

/// Where the files lie that go along, with their names in the backup, in order.
///
/// # Errors
/// When a folder cannot be read, or holds too much.
pub fn list(config: &Config) -> Result<Vec<(String, PathBuf)>, BackupError> {
    let mut out = Vec::new();
    for name in CARRIED {
        walk(&config.below(name), name, 0, &mut out)?;
    }
    for (name, folder) in OWN_FOLDERS.iter().zip([&config.workflows, &config.templates]) {
        if let Some(folder) = folder {
            walk(folder, name, 0, &mut out)?;
        }
    }
    out.retain(|(name, _)| may_be_written(name));
    out.sort();
    Ok(out)
}

fn walk(path: &Path, name: &str, depth: usize, out: &mut Vec<(String, PathBuf)>) -> Result<(), BackupError> {
    if out.len() > MOST_FILES || depth > MOST_DEPTH {
        return Err(BackupError::file(path, "there are too many files or folders here"));
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(|e| BackupError::file(path, e))? {
            let entry = entry.map_err(|e| BackupError::file(path, e))?;
            // A name that is not UTF-8 is none that Heyi would read.
            if let Some(file) = entry.file_name().to_str().filter(|f| !f.starts_with('.')) {
                walk(&entry.path(), &format!("{name}/{file}"), depth + 1, out)?;
            }
        }
    } else if path.is_file() {
        out.push((name.to_owned(), path.to_owned()));
    }
    Ok(())
}

/// Reads one of them.
///
/// # Errors
/// When it cannot be read, or is too large.
pub fn read(name: String, path: &Path) -> Result<Beside, BackupError> {
    if fs::metadata(path).map_err(|e| BackupError::file(path, e))?.len() > MOST_FILE_BYTES {
        return Err(BackupError::file(path, format!("larger than {MOST_FILE_BYTES} bytes")));
    }
    Ok(Beside::new(name, fs::read(path).map_err(|e| BackupError::file(path, e))?))
}

/// The settings in force, without secrets.
pub fn settings(config: &Config) -> Beside {
    let note = "# The settings of the installation that was backed up, without passwords. Nothing reads this file.\n";
    Beside::new(SETTINGS.to_owned(), format!("{note}{}", config.shown()).into_bytes())
}

/// What lies in the data folder and does not go along, by name.
pub fn left_behind(config: &Config) -> Vec<String> {
    let mut out: Vec<String> =
        fs::read_dir(&config.data_dir).into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    out.retain(|name| {
        let database = name.starts_with("heyi.db") || name == crate::backup::running::LOCK;
        !database && !CARRIED.contains(&name.as_str()) && !OWN_FOLDERS.contains(&name.as_str()) && name != SETTINGS
    });
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_names_no_place_outside() {
        for good in ["public-key.pem", "checkpoints/1.json", "workflows/medical-dispute/workflow.yaml", "settings.toml"] {
            assert!(may_be_written(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "workflows/../../x",
            "workflows//x",
            "keys/master.key",
            "heyi.toml",
            "heyi.db",
            "templates/a\\..\\b",
            "workflows/",
        ] {
            assert!(!may_be_written(bad), "{bad}");
        }
    }
}
