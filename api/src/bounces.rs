//! The folder into which messages about undelivered letters are put, and what follows from them. What is unread in a
//! mailbox, if one is set, is fetched into the same folder.
//!
//! A letter that bounced is marked, and one that must be served stays somebody's work: its service is written down as
//! bounced, by the same road as every command. A letter that is only late is marked and nothing else. Each message is
//! moved away when it is done, `done/` or `unread/`; read twice, it changes nothing. Whoever fills the folder writes a
//! file beside it and renames it into place. No log line here names a file, as its name may hold an address.

use crate::mail::{Fate, REPORT_HEAD_MAX_BYTES, Report, read_report};
use crate::state::{App, engine_account};
use heyi_engine::case::decide::Command;
use heyi_engine::ids::CaseId;
use heyi_engine::measures::RETURNED_MAIL;
use heyi_engine::store::StoreError;
use heyi_engine::submit::{Request, SubmitError};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// Messages that are read in one go; more wait for the next.
const BATCH: usize = 100;
/// How often the mailbox is looked at.
const FETCH_EVERY: Duration = Duration::from_secs(60);
/// How many files of one name are kept in the same folder.
const SAME_NAME_MAX: u32 = 1_000;

/// What a message led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Bounced,
    Delayed,
    Arrived,
    NotUnderstood(&'static str),
}

impl Read {
    fn kind(self) -> &'static str {
        match self {
            Self::Bounced => "bounced",
            Self::Delayed => "delayed",
            Self::Arrived => "arrived",
            Self::NotUnderstood(_) => "not_understood",
        }
    }
}

/// Fetches what comes into the mailbox, until it is told to stop. Without the setting there is nothing to do.
pub async fn fetch(app: App, mut stop: watch::Receiver<bool>) {
    let Some(mailbox) = &app.mailbox else { return };
    loop {
        match mailbox.fetch(&app.config.bounces()).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "messages were fetched from the mailbox");
                app.engine.wake();
            }
            Err(error) => tracing::warn!(%error, "the mailbox could not be read; it is tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(FETCH_EVERY) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Reads every message that lies in the folder.
///
/// # Returns
/// How many were read.
///
/// # Errors
/// When the database fails; what was not read stays where it is.
pub async fn collect(app: &App) -> Result<usize, SubmitError> {
    let folder = app.config.bounces();
    let mut done = 0;
    for path in waiting(&folder) {
        let read = match head(&path) {
            Ok(head) => one(app, &head).await?,
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "a message in the bounce folder cannot be opened");
                continue;
            }
        };
        metrics::counter!(RETURNED_MAIL, "kind" => read.kind()).increment(1);
        if let Read::NotUnderstood(reason) = read {
            tracing::warn!(reason, "a message in the bounce folder is set aside unread");
        }
        let place = if matches!(read, Read::NotUnderstood(_)) { "unread" } else { "done" };
        if let Err(error) = put_away(&path, &folder.join(place)) {
            tracing::warn!(kind = ?error.kind(), "a message in the bounce folder cannot be moved away; it will be read again");
        }
        done += 1;
    }
    Ok(done)
}

/// The messages that lie there, in the order of their names. A folder that is not there holds none.
fn waiting(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let mut found: Vec<PathBuf> = entries.flatten().filter(file).map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "eml"));
    found.sort();
    found.truncate(BATCH);
    found
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let most = u64::try_from(REPORT_HEAD_MAX_BYTES).unwrap_or(u64::MAX);
    File::open(path)?.take(most).read_to_end(&mut head)?;
    Ok(head)
}

fn put_away(path: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = (1..SAME_NAME_MAX).map(|n| folder.join(format!("{n}-{name}")));
    let free = [folder.join(&name)].into_iter().chain(beside).find(|to| !to.exists());
    fs::rename(path, free.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?)
}

async fn one(app: &App, head: &[u8]) -> Result<Read, SubmitError> {
    let Some(report) = read_report(head) else { return Ok(Read::NotUnderstood("it is no delivery-status message")) };
    let Some((case, id)) = letter(app, &report).await? else { return Ok(Read::NotUnderstood("it is about no letter of ours")) };
    match &report.fate {
        Fate::Bounced { status } => {
            served_in_vain(app, case, &id).await?;
            let news = app.engine.store().mark_bounced(&case.to_string(), &id, &format!("it bounced: {status}")).await?;
            tracing::info!(notice = %id, status, news, "a letter bounced");
            Ok(Read::Bounced)
        }
        Fate::Delayed { status } => {
            app.engine.store().mark_delayed(&case.to_string(), &id, &format!("it is late: {status}")).await?;
            Ok(Read::Delayed)
        }
        Fate::Arrived => Ok(Read::Arrived),
    }
}

/// The letter that a report is about: the first id that is one of ours and has left.
async fn letter(app: &App, report: &Report) -> Result<Option<(CaseId, String)>, SubmitError> {
    for id in &report.about {
        let Some((case, _, _)) = parts(id) else { continue };
        let row = app.engine.store().letter(&case.to_string(), id).await?;
        if row.is_some_and(|row| row.attempts > 0) {
            return Ok(Some((case, id.clone())));
        }
    }
    Ok(None)
}

/// Case, event and number, out of `{case}.{event}.{number}`.
fn parts(id: &str) -> Option<(CaseId, u64, u32)> {
    let mut parts = id.split('.');
    let all = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(all)
}

/// Writes down that service by this letter failed, if it is still to be served.
async fn served_in_vain(app: &App, case: CaseId, id: &str) -> Result<(), SubmitError> {
    let why = match record(app, case, id).await {
        Ok(()) => return Ok(()),
        // An ended case takes nothing any more, and one that was erased or cannot be read neither: the letter's row says
        // what became of it, and other messages are not kept waiting.
        Err(SubmitError::Refused(refusals)) => refusals.iter().map(|r| format!("{:?}", r.code)).collect::<Vec<_>>().join(", "),
        Err(SubmitError::Store(error @ (StoreError::Sealed | StoreError::Malformed { .. } | StoreError::Pinned { .. }))) => error.to_string(),
        Err(error) => return Err(error),
    };
    tracing::warn!(notice = %id, why, "the case takes no record of a letter that bounced");
    Ok(())
}

async fn record(app: &App, case: CaseId, id: &str) -> Result<(), SubmitError> {
    let Some((_, seq, index)) = parts(id) else { return Ok(()) };
    let (loaded, _) = app.engine.read(case).await?;
    if !loaded.case.unserved.contains_key(&(seq, index)) {
        return Ok(());
    }
    let input = json!({"notice": format!("{seq}.{index}"), "outcome": "bounced", "channel": "e_mail"});
    let request = Request {
        case: Some(case),
        workflow: None,
        me: engine_account(),
        command: Some(Command::new("case.serve", input)),
        key: Some(format!("bounce:{id}")),
        expected: None,
        file: None,
    };
    app.submit("post", request).await.map(drop)
}
