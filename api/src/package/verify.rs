//! Checking a package with nothing but its bytes, and if wanted a key that was obtained another way.
//!
//! A package is good when it is, byte for byte, what [`build`](super::build) makes of its own contents and its signature
//! holds. All that differs is found by comparing with the rebuilt container; the other findings say *what* differs.
//! Not here: whether the signer may sign for that committee. Without a key to expect, a package signed anew by
//! anybody passes, and the report says whose fingerprint it carries.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use thiserror::Error;

use super::build::{assemble, digest};
use super::container::{self, Entry, Unreadable};
use super::keys::PublicKey;
use super::manifest::{MANIFEST_NAME, Manifest, SIGNATURE_NAME, Signed, check_name};

/// How much of a stranger's file name a finding repeats.
const NAME_SHOWN: usize = 100;

/// The outcome of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the package is whole and its signature valid; with a key to expect, also by that key.
    pub ok: bool,
    /// Fingerprint of the key in the package, if there is one that can be read.
    pub signer: Option<String>,
    /// Whether that key is the expected one; nothing when none was given.
    pub signer_is_expected: Option<bool>,
    /// What the manifest says. Only to be believed when `ok`.
    pub manifest: Option<Manifest>,
    /// Everything that is wrong, in the order of checking; empty exactly when `ok`.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong with a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Finding {
    /// No zip file, or one with a broken directory.
    #[error("the file is not a zip container, or its directory is damaged")]
    NotAZip,
    /// Over a limit, packed or unpacked.
    #[error("the container is larger than a package may be")]
    TooLarge,
    /// Over the limit of entries.
    #[error("the container has more entries than a package may have")]
    TooManyEntries,
    /// A damaged, encrypted or otherwise unreadable entry.
    #[error("{name}: the entry is damaged and cannot be read")]
    EntryUnreadable {
        /// Which entry.
        name: String,
    },
    /// Two entries of one name.
    #[error("{name}: more than one entry has this name")]
    EntryDuplicated {
        /// Which entry.
        name: String,
    },
    /// A name that no package has.
    #[error("{name}: a package holds no such name")]
    NameNotCanonical {
        /// Which entry.
        name: String,
    },
    /// No `manifest.json`.
    #[error("manifest.json is missing")]
    ManifestMissing,
    /// Not the JSON of a manifest of a known version.
    #[error("manifest.json cannot be understood")]
    ManifestMalformed,
    /// Not written in the one canonical way.
    #[error("manifest.json is not in canonical form")]
    ManifestNotCanonical,
    /// No `manifest.json.sig`.
    #[error("manifest.json.sig is missing")]
    SignatureMissing,
    /// Not the form of a signature, or a key that is none.
    #[error("manifest.json.sig cannot be understood")]
    SignatureMalformed,
    /// Not written in the one canonical way.
    #[error("manifest.json.sig is not in canonical form")]
    SignatureNotCanonical,
    /// The signature does not belong to this manifest and key.
    #[error("the signature does not match manifest.json")]
    SignatureWrong,
    /// The manifest names another signer than the signature.
    #[error("manifest.json names another signer than the signature")]
    SignerContradicted,
    /// Signed by another key than the expected one.
    #[error("the package was signed by another key than the expected one")]
    SignerUnexpected {
        /// Fingerprint of the expected key.
        expected: String,
        /// Fingerprint of the key in the package.
        found: String,
    },
    /// A file with other bytes than the manifest says.
    #[error("{name}: the file was changed")]
    FileChanged {
        /// Which file.
        name: String,
    },
    /// A file that the manifest does not know.
    #[error("{name}: the file was added")]
    FileAdded {
        /// Which file.
        name: String,
    },
    /// A file of the manifest that is not there.
    #[error("{name}: the file was removed")]
    FileMissing {
        /// Which file.
        name: String,
    },
    /// The container is not, byte for byte, the canonical one of its contents.
    #[error("the container is not byte for byte the one that was handed over")]
    ContainerNotCanonical,
}

/// Checks a package. It never fails: whatever the bytes are, the report says what is wrong with them.
pub fn verify(bytes: &[u8], expected: Option<&PublicKey>) -> Report {
    let mut check = Check { expected, report: Report { ok: false, signer: None, signer_is_expected: None, manifest: None, findings: Vec::new() } };
    match container::read(bytes) {
        Ok(entries) => check.contents(bytes, &entries),
        Err(Unreadable::NotAZip) => check.found(Finding::NotAZip),
        Err(Unreadable::TooLarge) => check.found(Finding::TooLarge),
        Err(Unreadable::TooManyEntries) => check.found(Finding::TooManyEntries),
    }
    let mut report = check.report;
    report.signer_is_expected = expected.map(|key| report.signer.as_ref() == Some(&key.fingerprint()));
    report.ok = report.findings.is_empty();
    report
}

struct Check<'a> {
    expected: Option<&'a PublicKey>,
    report: Report,
}

impl Check<'_> {
    fn found(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    fn contents(&mut self, bytes: &[u8], entries: &[Entry]) {
        let readable = self.entries(entries);
        let by_name: BTreeMap<&str, &[u8]> = entries.iter().rev().filter_map(|entry| Some((entry.name.as_str(), entry.data.as_deref()?))).collect();
        let known: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();

        let manifest = self.part(MANIFEST_NAME, &known, &by_name, Finding::ManifestMissing);
        let signature = self.part(SIGNATURE_NAME, &known, &by_name, Finding::SignatureMissing);
        if let Some(manifest) = manifest {
            self.manifest(manifest);
        }
        if let Some(signature) = signature {
            self.signature(manifest, signature);
        }
        self.files(&known, &by_name);

        // The last word: nothing of the container, its headers included, may differ from the rebuilt one.
        let rebuilt = match (manifest, signature) {
            (Some(manifest), Some(signature)) if readable => {
                let kept = [MANIFEST_NAME, SIGNATURE_NAME];
                let files = by_name.iter().map(|(name, data)| (*name, *data)).filter(|(name, _)| !kept.contains(name));
                Some(assemble(files.collect(), manifest, signature))
            }
            _ => None,
        };
        if rebuilt.as_deref() != Some(bytes) {
            self.found(Finding::ContainerNotCanonical);
        }
    }

    /// Looks at each entry by itself; says whether all can be read and stand once.
    fn entries(&mut self, entries: &[Entry]) -> bool {
        let mut seen = HashSet::new();
        let mut told = HashSet::new();
        let mut readable = true;
        for Entry { name, data } in entries {
            if !seen.insert(name.as_str()) {
                readable = false;
                if told.insert(name.as_str()) {
                    self.found(Finding::EntryDuplicated { name: shown(name) });
                }
                continue;
            }
            if ![MANIFEST_NAME, SIGNATURE_NAME].contains(&name.as_str()) && check_name(name).is_err() {
                readable = false;
                self.found(Finding::NameNotCanonical { name: shown(name) });
            }
            if data.is_none() {
                readable = false;
                self.found(Finding::EntryUnreadable { name: shown(name) });
            }
        }
        readable
    }

    /// One of the two parts that each package has; a damaged one was reported already.
    fn part<'b>(&mut self, name: &str, known: &HashSet<&str>, by_name: &BTreeMap<&str, &'b [u8]>, missing: Finding) -> Option<&'b [u8]> {
        if !known.contains(name) {
            self.found(missing);
        }
        by_name.get(name).copied()
    }

    fn manifest(&mut self, bytes: &[u8]) {
        match Manifest::from_bytes(bytes).filter(Manifest::is_well_formed) {
            None => self.found(Finding::ManifestMalformed),
            Some(manifest) => {
                if manifest.to_bytes().as_deref() != Some(bytes) {
                    self.found(Finding::ManifestNotCanonical);
                }
                self.report.manifest = Some(manifest);
            }
        }
    }

    fn signature(&mut self, manifest: Option<&[u8]>, bytes: &[u8]) {
        let Some(signed) = Signed::from_bytes(bytes) else {
            self.found(Finding::SignatureMalformed);
            return;
        };
        if signed.to_bytes().as_deref() != Some(bytes) {
            self.found(Finding::SignatureNotCanonical);
        }
        if manifest.is_some_and(|manifest| !signed.by.accepts(manifest, &signed.signature)) {
            self.found(Finding::SignatureWrong);
        }
        let signer = signed.by.fingerprint();
        if self.report.manifest.as_ref().is_some_and(|manifest| manifest.signer != signer) {
            self.found(Finding::SignerContradicted);
        }
        if let Some(expected) = self.expected.filter(|expected| **expected != signed.by) {
            self.found(Finding::SignerUnexpected { expected: expected.fingerprint(), found: signer.clone() });
        }
        self.report.signer = Some(signer);
    }

    fn files(&mut self, known: &HashSet<&str>, by_name: &BTreeMap<&str, &[u8]>) {
        let Some(manifest) = self.report.manifest.take() else {
            return;
        };
        let mut listed = HashSet::from([MANIFEST_NAME, SIGNATURE_NAME]);
        for file in &manifest.files {
            listed.insert(&file.name);
            match by_name.get(file.name.as_str()) {
                Some(data) if data.len() as u64 == file.size && digest(data) == file.sha256 => {}
                Some(_) => self.found(Finding::FileChanged { name: file.name.clone() }),
                None if known.contains(file.name.as_str()) => {} // unreadable, and reported as such
                None => self.found(Finding::FileMissing { name: file.name.clone() }),
            }
        }
        let mut added: Vec<&str> = known.difference(&listed).copied().collect();
        added.sort_unstable();
        for name in added {
            self.found(Finding::FileAdded { name: shown(name) });
        }
        self.report.manifest = Some(manifest);
    }
}

/// A name from a stranger's file, fit for a terminal and a log.
fn shown(name: &str) -> String {
    let safe: String = name.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().count() > NAME_SHOWN { safe + "…" } else { safe }
}
