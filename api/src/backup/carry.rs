//! The three ways: an installation into a file, out of a file, and into another database.
//!
//! Each reads one moment, writes all or nothing, and reads back what it wrote before anything counts as done. The old
//! database of a move is held meanwhile, so that nothing is committed there that the new one does not have.

use super::beside::{self, OWN_FOLDERS};
use super::container::{Reader, Writer};
use super::keys::{self, Keys};
use super::lines::{Sum, Tally, encode};
use super::manifest::{FORMAT, FileEntry, Fingerprints, Manifest, TableEntry, path};
use super::part::{self, Part};
use super::{BackupError, Progress, running};
use crate::config::{Config, without_password};
use crate::state::CLOCK_OFFSET;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use heyi_engine::store::Store;
use heyi_engine::store::chains::{Chains, chains_whole};
use heyi_engine::store::copy::{CopyError, LAST_BACKUP, MOVED_TO, Snapshot, Table};
use heyi_engine::store::fill::Held;
use heyi_engine::store::outbox::LEASE_SECONDS;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// About so many bytes of lines are filled in at once.
const FILL_BYTES: usize = 4 << 20;

/// What was carried, and that it was compared.
#[derive(Debug, Serialize)]
pub struct Carried {
    /// Each table with its rows and their digest.
    pub tables: BTreeMap<String, Sum>,
    /// All rows.
    pub rows: u64,
    /// Cases whose chain was walked.
    pub cases: u64,
    /// Events walked.
    pub events: u64,
    /// The first place where a chain does not hold, if any: it did not before either.
    pub broken_chain: Option<String>,
}

impl Carried {
    fn new(tables: impl IntoIterator<Item = (String, Sum)>, chains: &Chains) -> Self {
        let tables: BTreeMap<String, Sum> = tables.into_iter().collect();
        let rows = tables.values().map(|s| s.rows).sum();
        Self { tables, rows, cases: chains.cases, events: chains.events, broken_chain: chains.broken.as_ref().map(ToString::to_string) }
    }
}

/// A backup that was written.
#[derive(Debug, Serialize)]
pub struct BackedUp {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When.
    pub created_at: String,
    /// What is in it of the database.
    pub carried: Carried,
    /// What is in it of files, by name.
    pub files: Vec<String>,
    /// Which keys it needs.
    pub fingerprints: Fingerprints,
    /// The file that the keys were written to.
    pub keys: Option<PathBuf>,
    /// Files with secrets, none of which is in the backup.
    pub keep_apart: Vec<PathBuf>,
    /// What else lies in the data folder and is not in the backup.
    pub left_behind: Vec<String>,
}

/// A backup that was put back.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The data folder.
    pub data_dir: PathBuf,
    /// When the backup was made.
    pub created_at: String,
    /// What was filled in.
    pub carried: Carried,
    /// Files that were written, below the data folder.
    pub files: Vec<String>,
    /// The key that is still to be put into place; nothing can be read before.
    pub missing_key: Option<PathBuf>,
    /// Settings without which the folders of one's own are not used.
    pub settings: Vec<String>,
}

/// An installation that lives in another database now.
#[derive(Debug, Serialize)]
pub struct Moved {
    /// Where, without a password.
    pub to: String,
    /// What was carried.
    pub carried: Carried,
}

fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.split('?').next().unwrap_or_default();
    Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
}

/// Where a database is, without a password and without parameters, of which one may be a password too.
fn place_of(url: &str) -> String {
    match sqlite_file(url) {
        Some(path) => format!("sqlite:{}", std::path::absolute(&path).unwrap_or(path).display()),
        None => without_password(url).split('?').next().unwrap_or_default().to_owned(),
    }
}

/// The database of an installation that must be there, with its tables as they are.
async fn existing(config: &Config) -> Result<Store, BackupError> {
    let url = config.database();
    if let Some(path) = sqlite_file(&url).filter(|p| !p.is_file()) {
        return Err(BackupError::file(&path, "there is no such database; which installation is meant? (--data DIR)"));
    }
    let store = Store::connect_as_is(&url).await?;
    Ok(store)
}

async fn sum_of(snapshot: &Snapshot, table: &Table, progress: &dyn Progress) -> Result<Sum, BackupError> {
    let mut pages = snapshot.pages(table).await?;
    let mut tally = Tally::default();
    loop {
        let rows = pages.next().await?;
        if rows.is_empty() {
            return Ok(tally.sum());
        }
        rows.iter().for_each(|row| tally.add(&encode(row)));
        progress.done(rows.len() as u64);
    }
}

/// How many rows a snapshot has in all, and how many events.
async fn size_of(snapshot: &Snapshot, tables: &[Table]) -> Result<(u64, u64), BackupError> {
    let (mut all, mut events) = (0, 0);
    for table in tables {
        let rows = snapshot.pages(table).await?.rows();
        all += rows;
        events += if table.name == "event" { rows } else { 0 };
    }
    Ok((all, events))
}

/// Writes an installation into a file, while others go on working with it.
///
/// # Arguments
/// `keys` is the file that the keys go to, which is never `file`; `now` is noted as the time.
///
/// # Errors
/// Why there is no backup; then there is no file either. A broken chain is told in the answer: what can be saved is.
pub async fn backup(
    config: &Config,
    file: &Path,
    keys: Option<&Path>,
    force: bool,
    now: DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<BackedUp, BackupError> {
    let store = existing(config).await?;
    let (part, written) = Part::begin(file, force)?;
    let fingerprints = keys::fingerprints(config)?;
    let snapshot = store.snapshot().await?;
    let migrations = snapshot.migrations().await?;
    if migrations.is_empty() {
        return Err(BackupError::Unfit(format!("{}: there is no installation in this database", place_of(&config.database()))));
    }
    let tables = snapshot.tables().await?;
    let (rows, events) = size_of(&snapshot, &tables).await?;
    progress.expect(2 * rows + events);
    let mut writer = Writer::new(written, file);
    let mut entries = Vec::new();
    for table in tables {
        let sum = write_table(&snapshot, &table, &mut writer, progress).await?;
        entries.push(TableEntry { table, sum });
    }
    let chains = chains_whole(&snapshot, &|n| progress.done(n)).await?;
    snapshot.end().await?;
    let mut files: Vec<FileEntry> = Vec::new();
    let mut take = |beside: beside::Beside, writer: &mut Writer| {
        writer.entry(&beside.entry.path())?;
        writer.write(&beside.bytes)?;
        files.push(beside.entry);
        Ok::<(), BackupError>(())
    };
    take(beside::settings(config), &mut writer)?;
    for (name, path) in beside::list(config)? {
        take(beside::read(name, &path)?, &mut writer)?;
    }
    let created_at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let manifest =
        Manifest { format: FORMAT, program, created_at: created_at.clone(), migrations, keys: fingerprints.clone(), tables: entries, files };
    let written = writer.finish(&manifest)?;
    written.sync_all().map_err(|e| BackupError::file(file, e))?;
    Reader::open(part.path())?.check(progress)?;
    if let Some(keys) = keys {
        keys::write(config, keys, force)?;
    }
    part.keep(&written)?;
    store.set_meta(LAST_BACKUP, &created_at).await?;
    Ok(BackedUp {
        file: file.to_owned(),
        bytes: fs::metadata(file).map_err(|e| BackupError::file(file, e))?.len(),
        created_at,
        carried: Carried::new(manifest.tables.into_iter().map(|t| (t.table.name, t.sum)), &chains),
        files: manifest.files.into_iter().map(|f| f.name).collect(),
        fingerprints,
        keys: keys.map(Path::to_owned),
        keep_apart: keys::secret_files(config),
        left_behind: beside::left_behind(config),
    })
}

async fn write_table(snapshot: &Snapshot, table: &Table, writer: &mut Writer, progress: &dyn Progress) -> Result<Sum, BackupError> {
    writer.entry(&path(&table.name))?;
    let mut pages = snapshot.pages(table).await?;
    let mut tally = Tally::default();
    loop {
        let rows = pages.next().await?;
        if rows.is_empty() {
            return Ok(tally.sum());
        }
        for row in &rows {
            let line = encode(row);
            tally.add(&line);
            writer.write(&line)?;
        }
        progress.done(rows.len() as u64);
    }
}

/// Reads back what was filled in, and walks the chains.
async fn compare(held: &Held, wanted: &[(Table, Sum)], place: &str, progress: &dyn Progress) -> Result<Chains, BackupError> {
    for (table, sum) in wanted {
        if sum_of(held, table, progress).await? != *sum {
            return Err(BackupError::Differs(place.to_owned()));
        }
    }
    Ok(chains_whole(held, &|n| progress.done(n)).await?)
}

/// The tables that are to be filled must be those that were read.
async fn same_tables(held: &Held, wanted: &[Table]) -> Result<(), BackupError> {
    let there = held.tables().await?;
    if there == wanted {
        return Ok(());
    }
    let odd = there.iter().find(|t| !wanted.contains(t)).or_else(|| wanted.iter().find(|t| !there.contains(t)));
    let name = odd.map_or_else(String::new, |t| t.name.clone());
    Err(BackupError::Unfit(format!("table {name} is not the same on both sides, so nothing was carried")))
}

/// Puts a backup into an empty place.
///
/// # Errors
/// Why not. The whole backup is checked before anything is written, and the rows come in one transaction.
pub async fn restore(config: &Config, file: &Path, keys: Option<&Path>, progress: &dyn Progress) -> Result<Restored, BackupError> {
    let mut reader = Reader::open(file)?;
    let manifest = reader.manifest().clone();
    let keys = keys.map(Keys::read).transpose()?;
    let rows: u64 = manifest.tables.iter().map(|t| t.sum.rows).sum();
    let events = manifest.tables.iter().find(|t| t.table.name == "event").map_or(0, |t| t.sum.rows);
    progress.expect(3 * rows + events);
    reader.check(progress)?;
    let has_key = fit(config, &manifest, keys.as_ref())?;
    let files = files_to_write(config, &mut reader, keys.as_ref())?;

    fs::create_dir_all(&config.data_dir).map_err(|e| BackupError::file(&config.data_dir, e))?;
    let place = place_of(&config.database());
    let store = Store::connect_as_is(&config.database()).await?;
    store.prepare(&manifest.migrations).await?;
    let held = store.hold_empty().await?;
    let tables: Vec<Table> = manifest.tables.iter().map(|t| t.table.clone()).collect();
    let filled = fill(&held, &mut reader, &manifest, &tables, &place, progress).await;
    let chains = match filled {
        Ok(chains) => chains,
        Err(error) => {
            held.give_up().await?;
            return Err(error);
        }
    };
    let written = match write_files(config, &mut reader, keys.as_ref(), &files) {
        Ok(written) => written,
        Err(error) => {
            held.give_up().await?;
            return Err(error);
        }
    };
    held.commit().await?;
    store.migrate().await?;
    let own = |name: &&&str| written.iter().any(|w| w.starts_with(&format!("{name}/")));
    let setting = |name: &&str| format!("{name} = {:?}", config.below(name).display().to_string());
    Ok(Restored {
        data_dir: config.data_dir.clone(),
        created_at: manifest.created_at,
        carried: Carried::new(manifest.tables.into_iter().map(|t| (t.table.name, t.sum)), &chains),
        settings: OWN_FOLDERS.iter().filter(own).map(setting).collect(),
        files: written,
        missing_key: (!has_key).then(|| config.below("keys").join("master.key")),
    })
}

async fn fill(
    held: &Held,
    reader: &mut Reader,
    manifest: &Manifest,
    tables: &[Table],
    place: &str,
    progress: &dyn Progress,
) -> Result<Chains, BackupError> {
    same_tables(held, tables).await?;
    for entry in &manifest.tables {
        let mut lines = reader.lines(entry)?;
        let mut tally = Tally::default();
        loop {
            let rows = lines.rows(FILL_BYTES, &mut tally)?;
            if rows.is_empty() {
                break;
            }
            let many = rows.len() as u64;
            held.insert(&entry.table, rows).await?;
            progress.done(many);
        }
        if tally.sum() != entry.sum {
            return Err(BackupError::Unfit(format!("{} was changed while it was read; nothing was kept", entry.path())));
        }
        held.count_on(&entry.table).await?;
    }
    let wanted: Vec<(Table, Sum)> = manifest.tables.iter().map(|t| (t.table.clone(), t.sum.clone())).collect();
    compare(held, &wanted, place, progress).await
}

/// Whether the key that the backup needs is at hand; another one is refused.
fn fit(config: &Config, manifest: &Manifest, keys: Option<&Keys>) -> Result<bool, BackupError> {
    let there = keys::fingerprints(config)?;
    let given = keys.map(Keys::fingerprints).unwrap_or_default();
    for (found, whose) in [(&given.master, "the key file"), (&there.master, "the data folder's keys/master.key")] {
        if found.is_some() && manifest.keys.master.is_some() && *found != manifest.keys.master {
            return Err(BackupError::Unfit(format!("{whose} holds the key of another installation; nothing was written")));
        }
    }
    Ok(given.master.is_some() || there.master.is_some())
}

/// The files of a backup that are not in the data folder yet. One that is there with other contents is refused.
fn files_to_write(config: &Config, reader: &mut Reader, keys: Option<&Keys>) -> Result<Vec<FileEntry>, BackupError> {
    let differs = |path: &Path| BackupError::file(path, "it is there already and holds something else; restore into an empty folder");
    for (name, bytes) in keys.map(Keys::files).unwrap_or_default() {
        let path = config.data_dir.join(name);
        if path.exists() && fs::read(&path).map_err(|e| BackupError::file(&path, e))? != *bytes {
            return Err(differs(&path));
        }
    }
    let mut out = Vec::new();
    for entry in reader.manifest().files.clone() {
        let path = config.data_dir.join(&entry.name);
        if !path.exists() {
            out.push(entry);
        } else if fs::read(&path).map_err(|e| BackupError::file(&path, e))? != reader.file(&entry)? {
            return Err(differs(&path));
        }
    }
    Ok(out)
}

fn write_files(config: &Config, reader: &mut Reader, keys: Option<&Keys>, files: &[FileEntry]) -> Result<Vec<String>, BackupError> {
    let mut written = Vec::new();
    for (name, bytes) in keys.map(Keys::files).unwrap_or_default() {
        let path = config.data_dir.join(name);
        if !path.exists() {
            part::write(&path, bytes, false)?;
            written.push(name.display().to_string());
        }
    }
    for entry in files {
        part::write(&config.data_dir.join(&entry.name), &reader.file(entry)?, false)?;
        written.push(entry.name.clone());
    }
    Ok(written)
}

/// Carries an installation into another, empty database, and closes the old one. The data folder stays where it is.
///
/// # Arguments
/// `to` is the address of the new database, `now` tells which letters are on their way.
///
/// # Errors
/// Why not; then the old database is as it was, and goes on.
pub async fn move_to(config: &Config, to: &str, parts: Option<u32>, now: DateTime<Utc>, progress: &dyn Progress) -> Result<Moved, BackupError> {
    let from = existing(config).await?;
    let place = place_of(to);
    let old = from.snapshot().await?;
    let migrations = old.migrations().await?;
    old.end().await?;
    if migrations.is_empty() {
        return Err(BackupError::Unfit(format!("{}: there is no installation in this database", place_of(&config.database()))));
    }
    if let Some(to) = from.meta(MOVED_TO).await? {
        return Err(BackupError::Unfit(format!("this installation has moved to {to} already")));
    }
    let _nobody_serves = running::nobody_serves(&config.data_dir)?;
    let target = Store::connect_as_is(to).await?;
    target.prepare(&migrations).await?;
    if let Some(parts) = parts {
        spread(&target, parts).await?;
    }

    let source = from.hold().await?;
    // A training room's clock may stand elsewhere.
    let offset = from.meta(CLOCK_OFFSET).await?.and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let on_lease = from.letters_on_lease(now + TimeDelta::milliseconds(offset)).await?;
    if on_lease > 0 {
        return Err(BackupError::Unfit(format!(
            "{on_lease} letter(s) are on their way just now; stop the servers and try again in {LEASE_SECONDS} seconds"
        )));
    }
    let tables = source.tables().await?;
    let (rows, events) = size_of(&source, &tables).await?;
    progress.expect(2 * rows + 2 * events);
    if let Some(broken) = chains_whole(&source, &|n| progress.done(n)).await?.broken {
        return Err(BackupError::Unfit(format!("a chain does not hold ({broken}); nothing was moved")));
    }
    let held = target.hold_empty().await?;
    match carry(&source, &held, &tables, &place, progress).await {
        Ok((sums, chains)) => {
            held.commit().await?;
            source.mark_moved(&place).await?;
            source.commit().await?;
            target.migrate().await?;
            Ok(Moved { to: place, carried: Carried::new(sums, &chains) })
        }
        Err(error) => {
            held.give_up().await?;
            source.give_up().await?;
            Err(error)
        }
    }
}

/// Spreads the tables of an empty database, unless an attempt before this one did.
async fn spread(target: &Store, parts: u32) -> Result<(), BackupError> {
    match target.parts().await? {
        0 => Ok(target.spread(parts).await?),
        found if found == parts => Ok(()),
        found => Err(BackupError::Unfit(format!("the other database is spread over {found} partitions already; take a fresh one"))),
    }
}

async fn carry(
    source: &Held,
    held: &Held,
    tables: &[Table],
    place: &str,
    progress: &dyn Progress,
) -> Result<(Vec<(String, Sum)>, Chains), BackupError> {
    same_tables(held, tables).await?;
    let mut wanted = Vec::new();
    for table in tables {
        let mut pages = source.pages(table).await?;
        let mut tally = Tally::default();
        loop {
            let rows = pages.next().await?;
            if rows.is_empty() {
                break;
            }
            let many = rows.len() as u64;
            rows.iter().for_each(|row| tally.add(&encode(row)));
            held.insert(table, rows).await?;
            progress.done(many);
        }
        held.count_on(table).await?;
        wanted.push((table.clone(), tally.sum()));
    }
    let chains = compare(held, &wanted, place, progress).await?;
    if let Some(broken) = &chains.broken {
        return Err(CopyError::Table { table: "event".to_owned(), problem: broken.to_string() }.into());
    }
    Ok((wanted.into_iter().map(|(table, sum)| (table.name, sum)).collect(), chains))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_without_what_is_secret() {
        assert_eq!(place_of("postgres://me:hush@db.example:5432/heyi?password=hush"), "postgres://me:***@db.example:5432/heyi");
        assert_eq!(place_of("postgres://me@db.example/heyi"), "postgres://me:***@db.example/heyi");
        assert!(place_of("sqlite:heyi.db?mode=rwc").ends_with("/heyi.db"));
        assert_eq!(place_of("sqlite:///srv/heyi/heyi.db"), "sqlite:/srv/heyi/heyi.db");
    }
}
