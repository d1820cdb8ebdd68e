//! The file of a backup: a zip of `tables/NAME.jsonl`, `files/…` and, written last, `manifest.json`.
//!
//! Written and read as streams, a page of rows at a time. Who opens it with another tool finds lines of JSON.

use super::lines::{Tally, decode, hex};
use super::manifest::{FileEntry, Manifest, NAME, TableEntry};
use super::{BackupError, Progress};
use heyi_engine::store::copy::{Row, Table};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// No row's line is longer.
const MOST_LINE_BYTES: u64 = 1 << 30;
/// No manifest is longer.
const MOST_MANIFEST_BYTES: u64 = 64 << 20;

/// What the container is written to. After the first failure it takes everything and keeps nothing, so that giving up
/// is silent; who writes was told of the failure.
struct Sink {
    file: BufWriter<File>,
    failed: bool,
}

impl Sink {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.failed |= result.is_err();
        result
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Ok(bytes.len());
        }
        let written = self.file.write(bytes);
        self.note(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        let flushed = self.file.flush();
        self.note(flushed)
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.failed {
            return Ok(0);
        }
        let place = self.file.seek(to);
        self.note(place)
    }
}

/// A backup that is being written.
pub struct Writer {
    zip: ZipWriter<Sink>,
    path: PathBuf,
}

impl Writer {
    /// Begins. `path` is what errors name.
    pub fn new(file: File, path: &Path) -> Self {
        Self { zip: ZipWriter::new(Sink { file: BufWriter::new(file), failed: false }), path: path.to_owned() }
    }

    /// Begins an entry.
    pub fn entry(&mut self, name: &str) -> Result<(), BackupError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
        self.zip.start_file(name, options).map_err(|e| BackupError::file(&self.path, e))
    }

    /// Writes into the entry.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.zip.write_all(bytes).map_err(|e| BackupError::file(&self.path, e))
    }

    /// Writes the manifest and ends.
    pub fn finish(mut self, manifest: &Manifest) -> Result<File, BackupError> {
        let failed = |e: &dyn std::fmt::Display| BackupError::file(&self.path, e);
        let text = serde_json::to_vec_pretty(manifest).map_err(|e| failed(&e))?;
        self.entry(NAME)?;
        self.write(&text)?;
        let path = self.path;
        let sink = self.zip.finish().map_err(|e| BackupError::file(&path, e))?;
        if sink.failed {
            return Err(BackupError::file(&path, "it could not be written to its end"));
        }
        sink.file.into_inner().map_err(|e| BackupError::file(&path, e.error()))
    }
}

/// A backup that is being read.
pub struct Reader {
    zip: ZipArchive<BufReader<File>>,
    path: PathBuf,
    manifest: Manifest,
}

impl Reader {
    /// Opens a backup and checks its manifest: that this program can read it, and that nothing is there too much or
    /// too little.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let unfit = |problem: &dyn std::fmt::Display| BackupError::Unfit(format!("{}: {problem}", path.display()));
        let file = File::open(path).map_err(|e| BackupError::file(path, e))?;
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| unfit(&format!("this is no backup of Heyi ({e})")))?;
        let mut text = Vec::new();
        {
            let entry = zip.by_name(NAME).map_err(|_| unfit(&"this is no backup of Heyi: it has no manifest.json"))?;
            entry.take(MOST_MANIFEST_BYTES).read_to_end(&mut text).map_err(|e| unfit(&format!("manifest.json was damaged ({e})")))?;
        }
        // Which version wrote it is told even when the rest has another shape.
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| unfit(&format!("manifest.json was damaged ({e})")))?;
        let format = json["format"].as_u64();
        let manifest: Manifest = match serde_json::from_value(json) {
            Ok(manifest) => manifest,
            Err(_) if format.is_some_and(|f| f > u64::from(super::manifest::FORMAT)) => {
                return Err(unfit(&"it was written by a newer Heyi; use that version or a newer one"));
            }
            Err(error) => return Err(unfit(&format!("manifest.json was damaged ({error})"))),
        };
        manifest.check().map_err(|problem| unfit(&problem))?;
        let wanted: BTreeSet<String> =
            manifest.tables.iter().map(TableEntry::path).chain(manifest.files.iter().map(FileEntry::path)).chain([NAME.to_owned()]).collect();
        let found = zip.file_names().map(|name| name.map(|n| n.into_owned())).collect::<Result<BTreeSet<_>, _>>().map_err(|e| unfit(&e))?;
        if let Some(odd) = wanted.symmetric_difference(&found).next() {
            return Err(unfit(&format!("it was damaged: {odd} is {}", if wanted.contains(odd) { "missing" } else { "no part of it" })));
        }
        if zip.has_duplicate_names() || wanted.len() != manifest.tables.len() + manifest.files.len() + 1 {
            return Err(unfit(&"it was damaged: something is in it twice"));
        }
        Ok(Self { zip, path: path.to_owned(), manifest })
    }

    /// What the backup says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn damaged(path: &Path, entry: &str, problem: impl std::fmt::Display) -> BackupError {
        BackupError::Unfit(format!("{}: {entry} was damaged ({problem}); nothing was written", path.display()))
    }

    /// Reads everything and compares it with the manifest. Nothing is held.
    pub fn check(&mut self, progress: &dyn Progress) -> Result<(), BackupError> {
        for table in self.manifest.tables.clone() {
            let mut tally = Tally::default();
            let mut lines = self.lines(&table)?;
            while let Some(line) = lines.next()? {
                tally.add(line);
                progress.done(1);
            }
            drop(lines);
            if tally.sum() != table.sum {
                return Err(Self::damaged(&self.path, &table.path(), "its digest is another one"));
            }
        }
        for file in self.manifest.files.clone() {
            self.file(&file)?;
        }
        Ok(())
    }

    /// The lines of a table.
    pub fn lines(&mut self, table: &TableEntry) -> Result<Lines<'_>, BackupError> {
        let (name, path) = (table.path(), self.path.clone());
        let entry = self.zip.by_name(&name).map_err(|e| Self::damaged(&path, &name, e))?;
        Ok(Lines { entry: BufReader::with_capacity(1 << 16, Box::new(entry)), line: Vec::new(), name, path, table: table.table.clone() })
    }

    /// A file, if it is what the manifest says.
    pub fn file(&mut self, file: &FileEntry) -> Result<Vec<u8>, BackupError> {
        let name = file.path();
        let entry = self.zip.by_name(&name).map_err(|e| Self::damaged(&self.path, &name, e))?;
        let mut bytes = Vec::new();
        entry.take(file.size + 1).read_to_end(&mut bytes).map_err(|e| Self::damaged(&self.path, &name, e))?;
        if bytes.len() as u64 == file.size && hex(&Sha256::digest(&bytes)) == file.sha256 {
            Ok(bytes)
        } else {
            Err(Self::damaged(&self.path, &name, "its digest is another one"))
        }
    }
}

/// The lines of a table in a backup.
pub struct Lines<'r> {
    entry: BufReader<Box<dyn Read + 'r>>,
    line: Vec<u8>,
    name: String,
    path: PathBuf,
    table: Table,
}

impl Lines<'_> {
    /// The next line, with its line feed.
    pub fn next(&mut self) -> Result<Option<&[u8]>, BackupError> {
        self.line.clear();
        let read = self.entry.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) if self.line.ends_with(b"\n") => Ok(Some(&self.line)),
            Ok(_) => Err(Reader::damaged(&self.path, &self.name, "a line has no end")),
            Err(error) => Err(Reader::damaged(&self.path, &self.name, error)),
        }
    }

    /// The next rows: about so many bytes of lines. None at the end.
    pub fn rows(&mut self, about_bytes: usize, tally: &mut Tally) -> Result<Vec<Row>, BackupError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while bytes < about_bytes {
            let Some(line) = self.next()? else { break };
            tally.add(line);
            bytes += line.len();
            let row = decode(&self.line, &self.table).map_err(|e| Reader::damaged(&self.path, &self.name, e))?;
            rows.push(row);
        }
        Ok(rows)
    }
}
