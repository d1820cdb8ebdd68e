//! The database: rows, and nothing that decides.
//!
//! `rows` are the tables as types, `migration` makes them, `seal` encrypts what belongs to people, `cases` reads a case, `decided` turns a
//! decision into rows, `batch` and `tables` say how a batch of them is written, `writer` writes it on SQLite, `outbox` leases letters, `returned` marks those that came back, `accounts` keeps who
//! may log in, `views` answers lists, `health` says how the database fares, `copy` reads a whole database as it is, `fill` fills one,
//! `chains` walks every chain, `spread` makes hash partitions. Appending events is private to the engine: only `submit` can change a case.

pub mod accounts;
pub(crate) mod batch;
pub mod cases;
pub mod chains;
pub mod copy;
pub(crate) mod decided;
pub mod fault;
pub mod fill;
pub mod health;
pub mod migration;
pub mod outbox;
pub mod returned;
pub mod rows;
pub mod seal;
pub mod spread;
mod tables;
pub mod views;
pub(crate) mod writer;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait as _, sqlx,
};
use sea_orm_migration::MigratorTrait as _;
use std::time::Duration;

/// How long a statement waits for another writer before it gives up.
const BUSY_SECONDS: u64 = 10;
/// How long somebody waits for a connection before the database counts as not to be reached.
const ACQUIRE_SECONDS: u64 = 5;
/// How long a statement may run at a PostgreSQL server. Copying or proving a large table is one statement.
const STATEMENT_SECONDS: u64 = 900;
/// How long a transaction may stand open there while nobody says anything.
const SILENT_SECONDS: u64 = 60;
/// A connection that nobody has used for so long may have lost its server.
const RESTED: Duration = Duration::from_secs(1);
/// Pages of SQLite's log before it is copied into the database: 32 MB. A page that many commits touch is then copied once; a start
/// after a crash reads that much more.
const CHECKPOINT_PAGES: u32 = 8_000;
/// Connections in the pool.
const POOL_MAX: u32 = 8;
/// The same on PostgreSQL, where each command has one for itself.
const POSTGRES_POOL_MAX: u32 = 24;

/// A database that is ready.
#[derive(Clone, Debug)]
pub struct Store {
    db: DatabaseConnection,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no.
    #[error("the database: {0}")]
    Database(DbErr),
    /// Nothing more can be written: the disk, or the space that the database may take, is full.
    #[error("the database has no space left")]
    Full,
    /// The database does not answer.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// A setting that durability needs is not in force.
    #[error("the database runs with {setting} = {found}, but {wanted} is needed so that what was acknowledged stays")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// A row that cannot be read.
    #[error("table {table}, row {row}, column {column}: {problem}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The key.
        row: String,
        /// The column.
        column: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The database was written by a newer program.
    #[error("this database was written by a newer Heyi (it knows {newer}); use that version or a newer one")]
    Newer {
        /// A migration that this program does not know.
        newer: String,
    },
    /// The database was written by an older program, and is only looked at.
    #[error("this database was written by an older Heyi (it lacks {older}): start `heyi serve` once, which brings it up to date")]
    Older {
        /// A migration that it lacks.
        older: String,
    },
    /// Files of the installation.
    #[error("{what}: {error}")]
    File {
        /// Which file.
        what: String,
        /// What happened.
        error: std::io::Error,
    },
    /// Ciphertext that does not open.
    #[error("a sealed value does not open with this installation's key")]
    Sealed,
    /// A text that was pinned is not there or cannot be read.
    #[error("the pinned {kind} {digest} {problem}")]
    Pinned {
        /// workflow, policy or calendar
        kind: &'static str,
        /// Its digest.
        digest: String,
        /// What is wrong.
        problem: String,
    },
}

/// A fault of the driver that has a name of its own.
fn known_fault(error: &sqlx::Error) -> Option<StoreError> {
    match error {
        // A server that is torn away in the middle of a word leaves half a word behind.
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Tls(_) => Some(StoreError::Unreachable(error.to_string())),
        sqlx::Error::Database(database) => match database.code()?.as_ref() {
            // SQLITE_FULL; PostgreSQL's disk_full.
            "13" | "53100" => Some(StoreError::Full),
            // PostgreSQL that stops, starts, has too many guests, or takes no writes while a standby takes over.
            code if code.starts_with("57P") || code.starts_with("08") || code == "25006" || code == "53300" => {
                Some(StoreError::Unreachable(database.message().to_owned()))
            }
            _ => None,
        },
        _ => None,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        known_fault(&error).unwrap_or_else(|| Self::Database(DbErr::Custom(error.to_string())))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let known = match &error {
            DbErr::Conn(_) => Some(Self::Unreachable(error.to_string())),
            DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => known_fault(inner),
            DbErr::ConnectionAcquire(_) => Some(Self::Unreachable(error.to_string())),
            _ => None,
        };
        known.unwrap_or(Self::Database(error))
    }
}

impl Store {
    /// Connects, checks the settings that durability needs, and brings the tables up to date.
    ///
    /// # Arguments
    /// `url` is `sqlite:PATH` or `postgres://…`.
    ///
    /// # Errors
    /// When the database cannot be reached, is not durable, or is newer than this program.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let store = Self::connect_as_is(url).await?;
        migration::Migrator::up(&store.db, None).await?;
        Ok(store)
    }

    /// Connects and checks as [`Store::connect`] does, and leaves the tables as they are.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_as_is(url: &str) -> Result<Self, StoreError> {
        let store = Self::open(url, "rwc").await?;
        if let Some(weak) = store.durability().await?.into_iter().find(|setting| !setting.is_fine() && fault::synchronous() == "FULL") {
            return Err(StoreError::Setting { setting: weak.name, found: weak.found, wanted: weak.wanted });
        }
        store.check_version().await?;
        Ok(store)
    }

    /// Connects to a database that is there, and leaves it as it is: for somebody who asks whether it is in order.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn as_found(url: &str) -> Result<Self, StoreError> {
        Self::open(url, "rw").await
    }

    /// Connects. `mode` is SQLite's: whether a missing file is made.
    async fn open(url: &str, mode: &str) -> Result<Self, StoreError> {
        let url_is_postgres = url.starts_with("postgres");
        let url = if url.starts_with("sqlite:") && !url.contains('?') { format!("{url}?mode={mode}") } else { url.to_owned() };
        let mut options = ConnectOptions::new(url);
        let most = if url_is_postgres { POSTGRES_POOL_MAX } else { POOL_MAX };
        options.max_connections(most).sqlx_logging(false).acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS));
        // A look at each connection before its use would cost every command a round trip: only one that has rested is looked at.
        options.test_before_acquire_if_idle_for(RESTED);
        options.map_sqlx_sqlite_opts(|o| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            o.journal_mode(SqliteJournalMode::Wal)
                .synchronous(if fault::synchronous() == "FULL" { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
                .busy_timeout(Duration::from_secs(BUSY_SECONDS))
                .foreign_keys(true)
                .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        });
        // What a torn connection may hold at the server, it holds for this long at most (a statement, an open transaction).
        let limits = [("statement_timeout", STATEMENT_SECONDS), ("idle_in_transaction_session_timeout", SILENT_SECONDS)];
        // A command is one long statement over few rows: to compile it costs more than to run it, and a plan that was made once for all,
        // while the tables were young, may take three times as long as one made for these rows.
        let plans = [("jit", "off"), ("plan_cache_mode", "force_custom_plan")];
        options.map_sqlx_postgres_opts(move |o| o.options(limits.map(|(name, seconds)| (name, format!("{seconds}s")))).options(plans));
        Ok(Self { db: Database::connect(options).await? })
    }

    /// Connects to a database that is there, to look at it: nothing is made, brought up to date or written.
    ///
    /// # Errors
    /// When there is none, or it is older or newer than this program.
    pub async fn look(url: &str) -> Result<Self, StoreError> {
        let url = if url.starts_with("sqlite:") && !url.contains('?') { format!("{url}?mode=rw") } else { url.to_owned() };
        let mut options = ConnectOptions::new(url);
        options.max_connections(POOL_MAX).sqlx_logging(false).acquire_timeout(Duration::from_secs(30));
        options.map_sqlx_sqlite_opts(|o| o.busy_timeout(Duration::from_secs(BUSY_SECONDS)).pragma("query_only", "ON"));
        let store = Self { db: Database::connect(options).await? };
        store.check_version().await?;
        let statement = Statement::from_string(store.db.get_database_backend(), "SELECT version FROM seaql_migrations".to_owned());
        let rows = store.db.query_all_raw(statement).await.unwrap_or_default();
        let applied: Vec<String> = rows.iter().filter_map(|row| row.try_get_by_index(0).ok()).collect();
        match migration::Migrator::migrations().iter().find(|m| !applied.iter().any(|name| name == m.name())) {
            Some(lacking) => Err(StoreError::Older { older: lacking.name().to_owned() }),
            None => Ok(store),
        }
    }

    /// The pool, for reading.
    #[must_use]
    pub fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Whether this is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.db.get_database_backend() == DatabaseBackend::Postgres
    }

    /// Begins a writing transaction: on SQLite it takes the write lock at once.
    ///
    /// # Errors
    /// When the database cannot give one.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..TransactionOptions::default() };
        self.db.begin_with_options(options).await
    }

    async fn setting(&self, sql: &str) -> Result<String, StoreError> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql.to_owned());
        let row = self.db.query_one_raw(statement).await?;
        let Some(row) = row else { return Ok(String::new()) };
        if let Ok(text) = row.try_get_by_index::<String>(0) {
            return Ok(text);
        }
        Ok(row.try_get_by_index::<i64>(0).map(|n| n.to_string()).or_else(|_| row.try_get_by_index::<i32>(0).map(|n| n.to_string()))?)
    }

    /// Refuses a database that knows migrations of which this program has never heard.
    async fn check_version(&self) -> Result<(), StoreError> {
        let known: Vec<String> = migration::Migrator::migrations().iter().map(|m| m.name().to_owned()).collect();
        let statement = Statement::from_string(self.db.get_database_backend(), "SELECT version FROM seaql_migrations".to_owned());
        let Ok(rows) = self.db.query_all_raw(statement).await else { return Ok(()) };
        for row in rows {
            let version: String = row.try_get_by_index(0)?;
            if !known.contains(&version) {
                return Err(StoreError::Newer { newer: version });
            }
        }
        Ok(())
    }
}

/// Milliseconds since 1970, as every time is stored.
#[must_use]
pub fn ms(at: chrono::DateTime<chrono::Utc>) -> i64 {
    at.timestamp_millis()
}

/// A stored time.
#[must_use]
pub fn from_ms(ms: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
