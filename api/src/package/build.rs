//! Making a package. The same input gives the same bytes, today and in later releases.
//!
//! Not here: the shape of the bytes (`container`, `manifest`) and where the files come from.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::container;
use super::keys::PrivateKey;
use super::manifest::{
    FORMAT, MANIFEST_NAME, Manifest, ManifestFile, NameError, Names, Recipient, SCHEMA_VERSION, SIGNATURE_NAME, Signed, media_type,
};
use super::{MAX_ENTRIES, MAX_TOTAL_BYTES, hex};

/// Everything that a package is made of.
#[derive(Debug)]
pub struct PackageInput<'a> {
    /// For whom.
    pub recipient: Recipient,
    /// The case.
    pub case_id: Uuid,
    /// The agreement's number (编号).
    pub agreement_number: String,
    /// The committee's id.
    pub committee: String,
    /// Where to ask, if the committee gives an address or number.
    pub contact: Option<String>,
    /// The legal date of the hand-over; not the moment of building.
    pub created_on: NaiveDate,
    /// The files, in any order.
    pub files: Vec<PackageFile>,
    /// The installation's key.
    pub key: &'a PrivateKey,
}

/// One file to pack.
#[derive(Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Name in the container: `agreement.pdf`, `evidence/01.pdf`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl PackageFile {
    /// A file of this name and content.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl std::fmt::Debug for PackageFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackageFile({:?}, {} bytes)", self.name, self.bytes.len())
    }
}

/// Why a package was not made. Files are named by their place in the input, as a name might tell of a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackageError {
    /// A name that a package may not hold.
    #[error("file {index}: {reason}")]
    Name {
        /// Which file, from 0.
        index: usize,
        /// What is wrong with its name.
        reason: NameError,
    },
    /// No file at all.
    #[error("a package needs at least one file")]
    Empty,
    /// More than [`MAX_ENTRIES`] with the manifest and its signature.
    #[error("a package holds at most {MAX_ENTRIES} entries")]
    TooManyFiles,
    /// More than [`MAX_TOTAL_BYTES`] together.
    #[error("the files of a package have at most {MAX_TOTAL_BYTES} bytes together")]
    TooLarge,
    /// The manifest could not be written as JSON.
    #[error("the manifest could not be written")]
    Manifest,
}

/// Makes a package: the files, `manifest.json` with their digests, and `manifest.json.sig` over it.
///
/// ```
/// use heyi_api::package::{PackageFile, PackageInput, PrivateKey, Recipient, build, verify};
/// let key = PrivateKey::from_seed([7; 32]); // in earnest: 32 bytes from the system's random source
/// let package = build(PackageInput {
///     recipient: Recipient::Court,
///     case_id: "0199c2a4-5d10-7c31-8a55-2f6f3c1b9e01".parse()?,
///     agreement_number: "安医人调字〔2026〕第017号".into(),
///     committee: "anping".into(),
///     contact: None,
///     created_on: "2026-11-23".parse()?,
///     files: vec![PackageFile::new("agreement.pdf", *b"%PDF-1.7")],
///     key: &key,
/// })?;
/// assert!(verify(&package, Some(&key.public())).ok);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn build(input: PackageInput<'_>) -> Result<Vec<u8>, PackageError> {
    let PackageInput { recipient, case_id, agreement_number, committee, contact, created_on, mut files, key } = input;
    check(&files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        agreement_number,
        case_id,
        committee,
        contact,
        created_on,
        files: files.iter().map(describe).collect(),
        format: FORMAT.into(),
        recipient,
        schema_version: SCHEMA_VERSION,
        signer: key.public().fingerprint(),
    };
    let manifest = manifest.to_bytes().ok_or(PackageError::Manifest)?;
    let signature = Signed::new(&manifest, key).to_bytes().ok_or(PackageError::Manifest)?;
    let contents: Vec<(&str, &[u8])> = files.iter().map(|file| (file.name.as_str(), file.bytes.as_slice())).collect();
    // The limit counts everything that a reader unpacks.
    let total: usize = contents.iter().map(|(_, data)| data.len()).sum::<usize>() + manifest.len() + signature.len();
    if total > MAX_TOTAL_BYTES {
        return Err(PackageError::TooLarge);
    }
    Ok(assemble(contents, &manifest, &signature))
}

/// The canonical container of these parts; `verify` compares a package with it.
pub(super) fn assemble<'a>(mut contents: Vec<(&'a str, &'a [u8])>, manifest: &'a [u8], signature: &'a [u8]) -> Vec<u8> {
    contents.push((MANIFEST_NAME, manifest));
    contents.push((SIGNATURE_NAME, signature));
    contents.sort_by_key(|(name, _)| *name);
    container::write(&contents)
}

pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn describe(file: &PackageFile) -> ManifestFile {
    ManifestFile { media_type: media_type(&file.name).into(), name: file.name.clone(), sha256: digest(&file.bytes), size: file.bytes.len() as u64 }
}

fn check(files: &[PackageFile]) -> Result<(), PackageError> {
    if files.is_empty() {
        return Err(PackageError::Empty);
    }
    if files.len() + 2 > MAX_ENTRIES {
        return Err(PackageError::TooManyFiles);
    }
    let mut names = Names::default();
    for (index, file) in files.iter().enumerate() {
        names.add(&file.name).map_err(|reason| PackageError::Name { index, reason })?;
    }
    Ok(())
}
