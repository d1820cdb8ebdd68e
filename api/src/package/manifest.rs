//! The manifest (清单) and its detached signature as bytes, and which names a package may hold.
//!
//! Not here: reading the container, and comparing the manifest with what is in it.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::keys::{PrivateKey, PublicKey};

/// The entry that lists all others.
pub const MANIFEST_NAME: &str = "manifest.json";
/// The entry with the signature over the manifest.
pub const SIGNATURE_NAME: &str = "manifest.json.sig";
/// What `format` says in each manifest.
pub const FORMAT: &str = "heyi-package";
/// The version of the format that this release writes and reads.
pub const SCHEMA_VERSION: u32 = 1;
/// The longest name of an entry.
pub const MAX_NAME_BYTES: usize = 200;

const ALGORITHM: &str = "Ed25519";

/// For whom a package is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// A people's court, for 司法确认.
    Court,
    /// A notary's office (公证处).
    Notary,
}

/// What `manifest.json` says. The fields stand in the order of their names, as they do in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The agreement's number (编号).
    pub agreement_number: String,
    /// The case.
    pub case_id: Uuid,
    /// The committee's id.
    pub committee: String,
    /// Where to ask, if the committee gives an address or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The legal date of the hand-over.
    pub created_on: NaiveDate,
    /// Every entry but the manifest and its signature, by name.
    pub files: Vec<ManifestFile>,
    /// Always [`FORMAT`].
    pub format: String,
    /// For whom.
    pub recipient: Recipient,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Fingerprint of the key that signs; it binds the manifest to its signer.
    pub signer: String,
}

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Media type, by the name's ending.
    pub media_type: String,
    /// Name in the container.
    pub name: String,
    /// Lowercase hex SHA-256 of its bytes.
    pub sha256: String,
    /// Number of its bytes.
    pub size: u64,
}

/// Why a name may not stand in a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Empty, or longer than [`MAX_NAME_BYTES`].
    #[error("a name must have 1 to {MAX_NAME_BYTES} bytes")]
    Length,
    /// A character outside ASCII letters, digits, `.`, `_`, `-` and `/`.
    #[error("a name may hold only ASCII letters, digits, dot, underscore, hyphen, and slashes between folders")]
    Character,
    /// An empty part, or one that begins or ends with a dot.
    #[error("no part of a name may be empty, or begin or end with a dot")]
    Part,
    /// Kept for the manifest and its signature.
    #[error("the name is kept for the manifest and its signature")]
    Reserved,
    /// Twice, also when only the case of letters differs, or as both a file and a folder.
    #[error("the name stands in the package already")]
    Taken,
}

/// Whether a name may stand in a package. It unpacks to the same place on each system and needs no quoting.
///
/// ```
/// use heyi_api::package::{NameError, check_name};
/// assert_eq!(check_name("evidence/01.pdf"), Ok(()));
/// assert_eq!(check_name("../01.pdf"), Err(NameError::Part));
/// assert_eq!(check_name("my file.pdf"), Err(NameError::Character));
/// ```
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(NameError::Length);
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) {
        return Err(NameError::Character);
    }
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with('.')) {
        return Err(NameError::Part);
    }
    if [MANIFEST_NAME, SIGNATURE_NAME].iter().any(|kept| kept.eq_ignore_ascii_case(name)) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Checks names one after another, each by itself and against those before it.
#[derive(Default)]
pub(super) struct Names {
    files: HashSet<String>,
    folders: HashSet<String>,
}

impl Names {
    pub(super) fn add(&mut self, name: &str) -> Result<(), NameError> {
        check_name(name)?;
        // Some file systems know no difference between A and a.
        let folded = name.to_ascii_lowercase();
        let folders: Vec<String> = folded.match_indices('/').map(|(at, _)| folded[..at].to_owned()).collect();
        let taken = self.files.contains(&folded) || self.folders.contains(&folded) || folders.iter().any(|folder| self.files.contains(folder));
        // The manifest lies at the top, so no folder may be called like it.
        let kept = folders.iter().any(|folder| folder == MANIFEST_NAME || folder == SIGNATURE_NAME);
        if taken || kept {
            return Err(NameError::Taken);
        }
        self.files.insert(folded);
        self.folders.extend(folders);
        Ok(())
    }
}

impl Manifest {
    /// The bytes of `manifest.json`, or nothing if it cannot be written (never for one that was read).
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        one_line(self)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether everything in it has the form that [`build`](super::build) gives it.
    pub(super) fn is_well_formed(&self) -> bool {
        let mut names = Names::default();
        self.format == FORMAT
            && self.schema_version == SCHEMA_VERSION
            && self.files.is_sorted_by(|a, b| a.name < b.name)
            && self.files.iter().all(|file| names.add(&file.name).is_ok())
    }
}

/// What `manifest.json.sig` says, its fields in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    algorithm: String,
    public_key: String,
    signature: String,
    signed: String,
}

/// A signature as read: by whom, and its 64 bytes.
pub(super) struct Signed {
    pub(super) by: PublicKey,
    pub(super) signature: [u8; 64],
}

impl Signed {
    pub(super) fn new(manifest: &[u8], key: &PrivateKey) -> Self {
        Self { by: key.public(), signature: key.sign(manifest) }
    }

    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        one_line(&SignatureFile {
            algorithm: ALGORITHM.into(),
            public_key: self.by.to_pem(),
            signature: BASE64.encode(self.signature),
            signed: MANIFEST_NAME.into(),
        })
    }

    /// Reads the file; whether it is written in the one canonical way is for the caller to compare.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let file: SignatureFile = serde_json::from_slice(bytes).ok()?;
        if file.algorithm != ALGORITHM || file.signed != MANIFEST_NAME {
            return None;
        }
        let by = PublicKey::from_pem(&file.public_key).ok()?;
        let signature = BASE64.decode(file.signature).ok()?.try_into().ok()?;
        Some(Self { by, signature })
    }
}

/// Compact JSON and a line feed. Field order is that of the struct, so no feature of serde_json can change it.
fn one_line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

/// The media type that goes with a name's ending.
pub(super) fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "ofd" => "application/ofd",
        "json" => "application/json",
        "pem" => "application/x-pem-file",
        "xml" => "application/xml",
        "txt" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "tif" | "tiff" => "image/tiff",
        _ => "application/octet-stream",
    }
}
