//! Signed checkpoints over all cases: taken every hour and at the end, written to a file, and mailed to whoever keeps them.
//!
//! Here: when, where to, and by whose key. Not here: what a checkpoint is (`heyi_engine::proof::log`), and looking for
//! what was changed (`heyi verify --database`). A checkpoint proves something only where nobody who could change the
//! database can change it too: so the file wants to be copied elsewhere, or mailed.

use crate::config::{CheckpointMail, Config};
use crate::mail::{Failure, Mail};
use crate::package::PrivateKey;
use crate::state::App;
use heyi_engine::proof::log::{self, Checkpoint, LogError, Signer};
use heyi_engine::store::StoreError;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// How often a checkpoint is taken.
const EVERY: Duration = Duration::from_secs(3_600);
/// Lines that are read from the database at once.
const PAGE: u64 = 1_000;
/// The longest line, in bytes.
const MAX_LINE_BYTES: u64 = 4_096;
/// The key under which the database remembers how many leaves the last mailed checkpoint had.
const MAILED: &str = "checkpoint_mailed";

/// Why no checkpoint was taken, or why it did not get where it should lie.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error("the file of checkpoints: {0}")]
    File(#[from] io::Error),
    /// The file and the database tell different stories.
    #[error(
        "the last checkpoint in {file}, of {size} leaves, is not in the database: it was changed, or restored from a backup. \
         Run `heyi verify --database`; after a restore, keep that file elsewhere and start a new one"
    )]
    Another {
        /// The file.
        file: String,
        /// The checkpoint's size; 0 when the line is none.
        size: u64,
    },
}

impl Signer for PrivateKey {
    fn key(&self) -> String {
        self.public().fingerprint()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        PrivateKey::sign(self, message)
    }
}

/// Where the checkpoints lie, one JSON line each.
#[must_use]
pub fn file(config: &Config) -> PathBuf {
    config.below("checkpoints").join("checkpoints.jsonl")
}

/// Takes checkpoints until everything committed is under one, and writes them to the file.
///
/// # Returns
/// How many were taken; none when nothing had changed.
///
/// # Errors
/// When the database or the file fails, or they tell different stories.
pub async fn take(app: &App) -> Result<usize, ProofError> {
    let path = file(&app.config);
    let written = last_line(&path)?;
    let store = app.engine.store();
    // The file is asked before anything is added, so that a log that was cut and grown again does not pass for the old one.
    let size = match &written {
        None => 0,
        Some(line) => {
            let size = Checkpoint::read(line).map_or(0, |read| read.size);
            if store.checkpoint_line(size).await?.as_ref() != Some(line) {
                return Err(ProofError::Another { file: path.display().to_string(), size });
            }
            size
        }
    };
    let mut taken = 0;
    while log::take(store, &app.key, app.engine.now()).await?.is_some() {
        taken += 1;
    }
    let last = publish(app, &path, size).await?;
    if let (Some(keeper), Some((size, line))) = (&app.config.checkpoint_mail, last) {
        mail(app, keeper, size, &line).await?;
    }
    Ok(taken)
}

/// Appends the checkpoints that the file lacks: those just taken, those of another node, one that a crash kept out.
///
/// # Returns
/// The last of all.
async fn publish(app: &App, path: &Path, mut after: u64) -> Result<Option<(i64, String)>, ProofError> {
    let store = app.engine.store();
    let mut last = None;
    loop {
        let page = store.checkpoint_lines(i64::try_from(after).unwrap_or(i64::MAX), PAGE).await?;
        let Some((size, _)) = page.last() else { break };
        after = u64::try_from(*size).unwrap_or(0);
        let text: String = page.iter().map(|(_, line)| format!("{line}\n")).collect();
        append(path, &text)?;
        last = page.into_iter().next_back();
    }
    match last {
        Some(last) => Ok(Some(last)),
        None => Ok(store.checkpoint_line(after).await?.map(|line| (i64::try_from(after).unwrap_or(i64::MAX), line))),
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // The name of a new file is only safe once its folder is.
    File::open(folder)?.sync_all()
}

/// The last whole line. What a crash left of another behind it is taken away.
fn last_line(path: &Path) -> io::Result<Option<String>> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * MAX_LINE_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|b| *b == b'\n') else {
        file.set_len(from)?;
        return Ok(None);
    };
    file.set_len(from + end as u64 + 1)?;
    let begin = bytes[..end].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    Ok(Some(String::from_utf8_lossy(&bytes[begin..end]).into_owned()))
}

/// Mails the last checkpoint, unless it was. One that does not leave goes with the next hour's: each covers all before it.
async fn mail(app: &App, keeper: &CheckpointMail, size: i64, line: &str) -> Result<(), ProofError> {
    let store = app.engine.store();
    if store.meta(MAILED).await?.and_then(|mailed| mailed.parse().ok()) == Some(size) {
        return Ok(());
    }
    let (lang, subject, text) = if keeper.language == "en" {
        (
            "en",
            format!("Checkpoint {size}"),
            "Please keep this message where nobody of the committee can change it. The line below is a signed checkpoint of all cases up to this moment. \
             Put one or several such lines into a file, and heyi verify --database --checkpoints FILE finds whether a case was cut short or written anew since.",
        )
    } else {
        (
            "zh-CN",
            format!("检查点 {size}"),
            "请将本邮件保存在调解委员会人员无法改动之处。下面一行是截至此刻全部案件的签名检查点。\
             将一行或多行存入文件后，以 heyi verify --database --checkpoints 核对该文件，即可发现此后有无案件被截短或重写。",
        )
    };
    let mail = Mail {
        id: format!("checkpoint.{size}"),
        to_name: String::new(),
        to_address: keeper.to.clone(),
        subject: subject.clone(),
        text: format!("{text}\n\n{line}\n"),
        html: format!(
            "<!DOCTYPE html><html lang=\"{lang}\"><head><meta charset=\"utf-8\"><title>{subject}</title></head><body><p>{text}</p><pre>{}</pre></body></html>\n",
            line.replace('&', "&amp;").replace('<', "&lt;")
        ),
        invitation: None,
        date: app.engine.now(),
    };
    match app.post.deliver(&mail).await {
        Ok(_) => Ok(store.set_meta(MAILED, &size.to_string()).await?),
        Err(Failure::Temporary(problem) | Failure::Permanent(problem)) => {
            tracing::warn!(%problem, size, "a checkpoint was not mailed; the next one covers it");
            Ok(())
        }
    }
}

/// Takes checkpoints, and writes into the log what comes of it.
pub async fn take_and_log(app: &App) {
    let app = app.clone();
    // In a task of its own: a stop must not tear a transaction out of a pooled connection.
    let task = tokio::spawn(async move { take(&app).await });
    match task.await {
        Ok(Ok(0)) => {}
        Ok(Ok(taken)) => tracing::info!(taken, "a checkpoint over all cases was signed"),
        Ok(Err(error)) => tracing::error!(%error, "no checkpoint was taken"),
        Err(error) => tracing::error!(%error, "taking a checkpoint was broken off"),
    }
}

/// Takes a checkpoint at the start and every hour, until it is told to stop.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    loop {
        take_and_log(&app).await;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_of_a_line_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints/checkpoints.jsonl");
        assert_eq!(last_line(&path).unwrap(), None);
        append(&path, "one\n").unwrap();
        append(&path, "two\n").unwrap();
        assert_eq!(last_line(&path).unwrap().as_deref(), Some("two"));
        append(&path, "{\"half").unwrap();
        assert_eq!(last_line(&path).unwrap().as_deref(), Some("two"));
        append(&path, "three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        std::fs::write(&path, "{\"half").unwrap();
        assert_eq!(last_line(&path).unwrap(), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}
