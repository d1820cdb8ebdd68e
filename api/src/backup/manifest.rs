//! What a backup says of itself.

use super::lines::Sum;
use heyi_engine::store::Store;
use heyi_engine::store::copy::Table;
use serde::{Deserialize, Serialize};

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;
/// Its name in the container.
pub const NAME: &str = "manifest.json";

/// The manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// When, RFC 3339.
    pub created_at: String,
    /// The migrations that the database had seen, in order: its schema.
    pub migrations: Vec<String>,
    /// Which keys belong to it.
    pub keys: Fingerprints,
    /// The tables, in the order in which they are filled.
    pub tables: Vec<TableEntry>,
    /// What lay beside the database.
    pub files: Vec<FileEntry>,
}

/// Names of keys, from which no key can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// The key under which the keys of the cases are wrapped; none when it was not in the data folder.
    pub master: Option<String>,
    /// The key that signs packages; none when it was not in the data folder.
    pub signing: Option<String>,
}

/// A table in a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its shape.
    #[serde(flatten)]
    pub table: Table,
    /// Its rows.
    #[serde(flatten)]
    pub sum: Sum,
}

impl TableEntry {
    /// Its name in the container.
    pub fn path(&self) -> String {
        path(&self.table.name)
    }
}

/// The name of a table in the container.
pub fn path(table: &str) -> String {
    format!("tables/{table}.jsonl")
}

/// A file in a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it lies below the data folder, with `/` between folders.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

impl FileEntry {
    /// Its name in the container.
    pub fn path(&self) -> String {
        format!("files/{}", self.name)
    }
}

impl Manifest {
    /// Whether this program can read what the manifest describes.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "it is of format {}, and this Heyi reads format {FORMAT}; use the version that wrote it ({})",
                self.format, self.program
            ));
        }
        let known = Store::known_migrations();
        if let Some(newer) = self.migrations.iter().find(|m| !known.contains(m)) {
            return Err(format!("it was written by a newer Heyi ({}, it knows {newer}); use that version or a newer one", self.program));
        }
        if self.migrations.is_empty() || !known.starts_with(&self.migrations) {
            return Err(format!("its schema is none that Heyi ever had ({})", self.migrations.join(", ")));
        }
        let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if let Some(odd) = self.tables.iter().find(|t| !plain(&t.table.name)) {
            return Err(format!("{:?} is no name of a table", odd.table.name));
        }
        match self.files.iter().find(|f| !super::beside::may_be_written(&f.name)) {
            Some(odd) => Err(format!("{:?} is no place for a file of a backup", odd.name)),
            None => Ok(()),
        }
    }
}
