//! What must never lie in a backup: the installation's key, the signing key, the tokens of a training room. They go into
//! a file of their own, or stay where they are.

use super::manifest::Fingerprints;
use super::{BackupError, part};
use crate::config::Config;
use crate::package::{PrivateKey, PublicKey};
use crate::sandbox::TOKENS_FILE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use heyi_engine::store::seal::SealKey;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The format of key files.
const FORMAT: u32 = 1;
/// No key file is larger.
const MOST_BYTES: u64 = 1 << 20;

/// The keys of an installation, in a file of their own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    /// What it is, for whoever finds it.
    note: String,
    /// 32 bytes as base64.
    master_key: String,
    /// PEM.
    signing_key: Option<String>,
    /// The training room's tokens, as they stood in their file.
    tokens: Option<String>,
}

/// The files of a data folder that must be kept apart from a backup.
#[must_use]
pub fn secret_files(config: &Config) -> Vec<PathBuf> {
    let files = [master_path(config), signing_path(config), config.below(TOKENS_FILE)];
    files.into_iter().filter(|path| path.exists()).collect()
}

fn master_path(config: &Config) -> PathBuf {
    config.below("keys").join("master.key")
}

fn signing_path(config: &Config) -> PathBuf {
    config.below("keys").join("signing.pem")
}

/// The name of a master key: a keyed hash of a fixed text, so nothing can be had from it.
fn name_of(key: &SealKey) -> String {
    super::lines::hex(&key.mac(b"the name of this key in backups")[..16])
}

/// The names of the keys in a data folder. Makes none.
///
/// # Errors
/// When a key is there and cannot be read.
pub fn fingerprints(config: &Config) -> Result<Fingerprints, BackupError> {
    let (master, signing) = (master_path(config), signing_path(config));
    let master = if master.exists() { Some(name_of(&SealKey::of_installation(&master)?)) } else { None };
    let signing = if signing.exists() {
        Some(PrivateKey::load(&signing).map_err(|e| BackupError::file(&signing, e))?.public().fingerprint())
    } else {
        PublicKey::load(&config.below("public-key.pem")).ok().map(|k| k.fingerprint())
    };
    Ok(Fingerprints { master, signing })
}

/// Writes the keys of a data folder into a file that only its owner may read.
///
/// # Errors
/// When there is no master key, or the file cannot be written.
pub fn write(config: &Config, path: &Path, force: bool) -> Result<(), BackupError> {
    let read = |path: &Path| fs::read(path).map_err(|e| BackupError::file(path, e));
    let text = |path: PathBuf| {
        if path.exists() { fs::read_to_string(&path).map(Some).map_err(|e| BackupError::file(&path, e)) } else { Ok(None) }
    };
    let keys = KeyFile {
        format: FORMAT,
        note: "The keys of a Heyi installation. Whoever has this file and a backup can read every case. Keep them apart.".to_owned(),
        master_key: BASE64.encode(read(&master_path(config))?),
        signing_key: text(signing_path(config))?,
        tokens: text(config.below(TOKENS_FILE))?,
    };
    let bytes = serde_json::to_vec_pretty(&keys).map_err(|e| BackupError::file(path, e))?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.is_dir()) {
        return Err(BackupError::file(folder, "there is no such folder"));
    }
    part::write(path, &bytes, force)
}

/// Keys on their way into a data folder.
pub struct Keys {
    master: SealKey,
    /// Where each file goes, below the data folder, and its bytes.
    files: Vec<(PathBuf, Vec<u8>)>,
    signing: Option<String>,
}

impl Keys {
    /// Reads a key file.
    ///
    /// # Errors
    /// When it is none. The text repeats no part of a key.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let failed = |problem: &dyn std::fmt::Display| BackupError::file(path, problem);
        if fs::metadata(path).map_err(|e| failed(&e))?.len() > MOST_BYTES {
            return Err(failed(&"too large for a key file"));
        }
        let text = fs::read(path).map_err(|e| failed(&e))?;
        let none = |_| failed(&"this is no key file of `heyi backup --keys`");
        let keys: KeyFile = serde_json::from_slice(&text).map_err(none)?;
        let master = BASE64.decode(&keys.master_key).ok().filter(|_| keys.format == FORMAT).and_then(|k| <[u8; 32]>::try_from(k).ok());
        let master = master.ok_or_else(|| failed(&"this is no key file of `heyi backup --keys`"))?;
        let mut files = vec![(PathBuf::from("keys/master.key"), master.to_vec())];
        let mut signing = None;
        if let Some(pem) = keys.signing_key {
            signing = Some(PrivateKey::from_pem(&pem).map_err(|e| failed(&e))?.public().fingerprint());
            files.push((PathBuf::from("keys/signing.pem"), pem.into_bytes()));
        }
        files.extend(keys.tokens.map(|tokens| (PathBuf::from(TOKENS_FILE), tokens.into_bytes())));
        Ok(Self { master: SealKey::from_bytes(master), files, signing })
    }

    /// Their names.
    #[must_use]
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints { master: Some(name_of(&self.master)), signing: self.signing.clone() }
    }

    /// The files, where they go below a data folder.
    #[must_use]
    pub fn files(&self) -> &[(PathBuf, Vec<u8>)] {
        &self.files
    }
}
