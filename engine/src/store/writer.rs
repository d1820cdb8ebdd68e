//! The one writer of cases on SQLite: a thread with a connection of its own, which keeps its pages and its statements.
//!
//! The pool's driver hands each statement to another thread, and its connections take each other's pages away; here a
//! statement is a call. Readers go through the pool, and never wait for the writer.

use super::batch::{Batch, NotWritten};
use super::tables::{Cell, PARTS, SQLITE};
use super::{BUSY_SECONDS, CHECKPOINT_PAGES, Store, StoreError, fault};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, ToSql, TransactionBehavior, params_from_iter};
use sea_orm::{DbErr, RuntimeErr};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Statements that stay prepared: one for each part of a batch, and the looks before.
const STATEMENTS: usize = 64;
/// Pages that the writer may keep, in KiB.
const CACHE_KIB: i32 = 8 * 1024;

type Written = Result<(), NotWritten>;

enum Task {
    Write(Box<Batch>, oneshot::Sender<Written>),
    Limit(u32, oneshot::Sender<Written>),
}

/// The thread that writes. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Writer(mpsc::Sender<Task>);

impl Writer {
    /// Opens the writer's connection to a store's database, as durable as those of the pool.
    ///
    /// # Errors
    /// When the database cannot be opened or is not as durable as it must be.
    pub fn start(store: &Store) -> Result<Self, StoreError> {
        let path = store.db().get_sqlite_connection_pool().connect_options().get_filename().to_owned();
        let mut connection = open(&path)?;
        let (tasks, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new().name("heyi-writer".to_owned());
        let started = thread.spawn(move || {
            while let Ok(task) = waiting.recv() {
                serve(&mut connection, &path, task);
            }
        });
        started.map_err(|error| StoreError::File { what: "the thread that writes".to_owned(), error })?;
        Ok(Self(tasks))
    }

    /// Writes a batch: all of it in one transaction, or nothing. Runs to its end even when the asker has gone.
    pub async fn write(&self, batch: Batch) -> Written {
        self.ask(|tell| Task::Write(Box::new(batch), tell)).await
    }

    /// Lets the database take no more than so many pages, to rehearse a full disk.
    pub async fn limit_pages(&self, most: u32) -> Written {
        self.ask(|tell| Task::Limit(most, tell)).await
    }

    async fn ask(&self, task: impl FnOnce(oneshot::Sender<Written>) -> Task) -> Written {
        let (tell, told) = oneshot::channel();
        let gone = || NotWritten::Unknown(StoreError::Unreachable("the thread that writes has ended".to_owned()));
        self.0.send(task(tell)).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

fn serve(connection: &mut Connection, path: &Path, task: Task) {
    match task {
        Task::Write(batch, tell) => {
            // A fault here is the batch's own: the writer goes on, with a connection that has nothing open.
            let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(connection, *batch)));
            let written = written.unwrap_or_else(|_| Err(NotWritten::Failed(StoreError::Unreachable("the writer fell over".to_owned()))));
            if !connection.is_autocommit()
                && let Ok(fresh) = open(path)
            {
                *connection = fresh;
            }
            let _ = tell.send(written);
        }
        Task::Limit(most, tell) => {
            let _ = tell.send(connection.pragma_update(None, "max_page_count", most).map_err(NotWritten::why_sqlite));
        }
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let connect = || -> rusqlite::Result<(Connection, [String; 2])> {
        let connection = Connection::open_with_flags(
            PathBuf::from(path),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX | rusqlite::OpenFlags::SQLITE_OPEN_URI,
        )?;
        connection.busy_timeout(Duration::from_secs(BUSY_SECONDS))?;
        connection.pragma_update(None, "synchronous", fault::synchronous())?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let journal = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?;
        let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?.to_string();
        Ok((connection, [journal, synchronous]))
    };
    let (connection, found) = connect().map_err(store_error)?;
    for ((setting, wanted), found) in [("journal_mode", "wal"), ("synchronous", "2")].into_iter().zip(found) {
        if found != wanted && fault::synchronous() == "FULL" {
            return Err(StoreError::Setting { setting, found, wanted });
        }
    }
    Ok(connection)
}

fn write(connection: &mut Connection, mut batch: Batch) -> Written {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(NotWritten::why_sqlite)?;
    if !stands(&transaction, &batch).map_err(NotWritten::why_sqlite)? {
        return Err(NotWritten::Stale);
    }
    put(&transaction, &mut batch).map_err(NotWritten::why_sqlite)?;
    transaction.commit().map_err(NotWritten::why_sqlite)
}

/// Whether all that the batch rests on is still so.
fn stands(connection: &Connection, batch: &Batch) -> rusqlite::Result<bool> {
    let mut version = connection.prepare_cached("SELECT version FROM case_row WHERE id = ?1")?;
    for (case, wanted) in &batch.versions {
        if version.query_row([case], |row| row.get::<_, i64>(0)).optional()? != Some(*wanted) {
            return Ok(false);
        }
    }
    let mut accounts = connection.prepare_cached("SELECT value FROM meta WHERE key = 'accounts'")?;
    let accounts = accounts.query_row([], |row| row.get::<_, String>(0)).optional()?;
    if accounts.as_deref().unwrap_or("0") != batch.accounts.to_string() {
        return Ok(false);
    }
    let mut last = connection.prepare_cached("SELECT last FROM number WHERE series = ?1 AND year = ?2")?;
    for ((series, year), (before, _)) in &batch.numbers {
        if last.query_row((series, year), |row| row.get::<_, i64>(0)).optional()?.unwrap_or(0) != *before {
            return Ok(false);
        }
    }
    Ok(true)
}

fn put(connection: &Connection, batch: &mut Batch) -> rusqlite::Result<()> {
    let mut number = connection.prepare_cached(
        "INSERT INTO number (series, year, last) VALUES (?1, ?2, ?3) ON CONFLICT (series, year) DO UPDATE SET last = excluded.last",
    )?;
    for ((series, year), (_, after)) in &batch.numbers {
        number.execute((series, year, after))?;
    }
    for ((part, sql), rows) in PARTS.iter().zip(SQLITE.iter()).zip(batch.parts()) {
        if rows.is_empty() {
            continue;
        }
        let mut statement = connection.prepare_cached(sql)?;
        for row in rows.rows(part.columns.len()) {
            statement.execute(params_from_iter(row))?;
        }
    }
    Ok(())
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Int(Some(n)) => ValueRef::Integer(*n),
            Self::Bool(b) => ValueRef::Integer(i64::from(*b)),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Text(None) | Self::Int(None) => ValueRef::Null,
        }))
    }
}

fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Unreachable(error.to_string()),
        _ => StoreError::Database(DbErr::Exec(RuntimeErr::Internal(error.to_string()))),
    }
}

impl NotWritten {
    /// Nothing is written when a transaction fails on SQLite: it is rolled back as it is dropped.
    fn why_sqlite(error: rusqlite::Error) -> Self {
        let message = error.to_string();
        tracing::debug!(message, "a batch was not written");
        let unique = matches!(&error, rusqlite::Error::SqliteFailure(e, _)
            if matches!(e.extended_code, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY));
        if unique { Self::taken(&message, store_error(error)) } else { Self::Failed(store_error(error)) }
    }
}
