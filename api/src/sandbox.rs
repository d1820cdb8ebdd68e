//! The training room: one account for each role and side, with tokens in a file, and a clock that can be moved.

use crate::state::{App, CLOCK_OFFSET, StartError};
use chrono::{DateTime, Utc};
use heyi_engine::case::Account;
use heyi_engine::store::accounts::Token;
use heyi_engine::store::seal::sync_folder;
use heyi_engine::submit::SubmitError;
use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The name of the file with the tokens, in the data folder.
pub const TOKENS_FILE: &str = "sandbox-tokens.json";

/// The accounts of the training room: the casts of all workflows together.
///
/// # Errors
/// Every mistake in a cast.
pub fn accounts(app: &App) -> Result<IndexMap<String, Account>, StartError> {
    let mut all = IndexMap::new();
    for (name, source) in &app.sources.workflows {
        let Some(installed) = app.engine.library().workflow(name) else { continue };
        let cast = source.cast(&installed.definition).map_err(StartError::Sources)?;
        for (key, account) in cast.accounts() {
            // A workflow with a cast of its own names its people; others borrow them.
            if source.cast.is_some() || !all.contains_key(&key) {
                all.insert(key, account);
            }
        }
    }
    Ok(all)
}

/// Makes accounts and the token file, if they are not there yet. Tokens stay the same over restarts.
///
/// # Errors
/// When files or database fail.
pub async fn prepare(app: &App) -> Result<IndexMap<String, Account>, StartError> {
    let accounts = accounts(app)?;
    let path = tokens_file(app);
    let failed = |error: &dyn std::fmt::Display| StartError::File { what: TOKENS_FILE.to_owned(), problem: error.to_string() };
    let mut tokens: BTreeMap<String, String> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(&e))?,
        Err(_) => BTreeMap::new(),
    };
    let known = app.engine.store().accounts().await?;
    for (key, account) in &accounts {
        let token = tokens.get(key).map(|text| Token::from_text(text));
        if token.is_some() && known.contains(account) {
            continue;
        }
        let token = token.unwrap_or_else(Token::generate);
        app.engine.store().put_account(account, &token).await?;
        tokens.insert(key.clone(), token.reveal().to_owned());
    }
    // Written beside and renamed, so that no reader sees half a file.
    let beside = path.with_extension("new");
    let text = serde_json::to_vec_pretty(&tokens).map_err(|e| failed(&e))?;
    let lasting = write_private(&beside, &text).and_then(|()| std::fs::rename(&beside, &path)).and_then(|()| sync_folder(&app.config.data_dir));
    lasting.map_err(|e| failed(&e))?;
    Ok(accounts)
}

/// Writes a file that only its owner may read.
fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Where the tokens lie.
#[must_use]
pub fn tokens_file(app: &App) -> PathBuf {
    app.config.below(TOKENS_FILE)
}

/// Moves the clock, and remembers it over restarts.
///
/// # Errors
/// When the database fails.
pub async fn set_clock(app: &App, now: DateTime<Utc>) -> Result<(), SubmitError> {
    let offset = app.clock.set(now);
    Ok(app.engine.store().set_meta(CLOCK_OFFSET, &offset.to_string()).await?)
}
