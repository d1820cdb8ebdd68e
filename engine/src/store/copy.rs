//! A whole database, read as it is: for backups, and for moving from one kind of database to the other.
//!
//! Tables and columns are asked of the database itself, so that a table which a later migration adds is carried too.
//! Rows come in the byte order of their primary key on both databases, page by page, out of one snapshot. Not here: filling
//! a database (`fill`), how rows look in a file, and whether a chain holds (`chains`).

use super::rows::case_key;
use super::seal::SealKey;
use super::{Store, StoreError, migration};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, EntityTrait as _, IsolationLevel, QueryOrder as _,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _, Value,
};
use sea_orm_migration::MigratorTrait as _;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// The key in `meta` that says where this installation has moved to. It belongs to the place, so it is never carried.
pub const MOVED_TO: &str = "moved_to";
/// The key in `meta` with the time of the last good backup, RFC 3339.
pub const LAST_BACKUP: &str = "last_backup";
/// The table in which the migrations are noted: part of the schema, not of the data.
const MIGRATIONS: &str = "seaql_migrations";
/// A page holds no more than this, unless a single row does.
const PAGE_BYTES: u64 = 4 << 20;
/// Rows of a page, at most.
const PAGE_ROWS: u64 = 500;

/// Why a database cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table of a shape that this program does not know how to carry.
    #[error("table {table} cannot be carried: {problem}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong.
        problem: String,
    },
    /// The place to be filled holds something.
    #[error("the database is not empty: table {table} holds {rows} row(s); give an empty one")]
    NotEmpty {
        /// A table with rows.
        table: String,
        /// How many.
        rows: u64,
    },
    /// The tables of the other side are from another step of the schema.
    #[error("the tables are those of {found}, but {wanted} is needed; give a database that nobody has used")]
    Schema {
        /// The last migration there.
        found: String,
        /// The one that is needed.
        wanted: String,
    },
}

impl From<DbErr> for CopyError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

/// What a column holds, the same on both databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number of 64 bits.
    Whole,
    /// True or false.
    Truth,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// The columns of its primary key, in their order.
    pub key: Vec<String>,
}

impl Table {
    pub(super) fn error(&self, problem: impl Into<String>) -> CopyError {
        CopyError::Table { table: self.name.clone(), problem: problem.into() }
    }

    /// Where a column stands.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn position(&self, column: &str) -> Result<usize, CopyError> {
        self.columns.iter().position(|c| c.name == column).ok_or_else(|| self.error(format!("it has no column {column}")))
    }

    /// What stays behind: `meta` says where the installation has moved to, and that is no part of it.
    fn carried(&self) -> String {
        if self.name == "meta" { format!("\"key\" <> '{MOVED_TO}'") } else { "1 = 1".to_owned() }
    }
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// True or false.
    Truth(bool),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of the table's columns.
pub type Row = Vec<Cell>;

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// All tables but the one of the migrations, by name.
pub(super) async fn names<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let backend = db.get_database_backend();
    let sql = if backend == DatabaseBackend::Postgres {
        // A partition is a part of its table.
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    } else {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
    };
    let rows = db.query_all_raw(Statement::from_string(backend, sql)).await?;
    let mut names = rows.iter().map(|row| row.try_get_by_index::<String>(0)).collect::<Result<Vec<_>, _>>()?;
    names.retain(|name| name != MIGRATIONS);
    names.sort();
    Ok(names)
}

fn kind(declared: &str) -> Option<Kind> {
    let declared = declared.to_ascii_uppercase();
    match declared.split('(').next().unwrap_or_default().trim() {
        "TEXT" | "VARCHAR" | "CHARACTER VARYING" => Some(Kind::Text),
        "BIGINT" | "INTEGER" | "INT" | "SMALLINT" => Some(Kind::Whole),
        "BOOLEAN" => Some(Kind::Truth),
        "BLOB" | "BYTEA" => Some(Kind::Bytes),
        _ => None,
    }
}

async fn table<C: ConnectionTrait>(db: &C, name: String) -> Result<Table, CopyError> {
    let backend = db.get_database_backend();
    let postgres = backend == DatabaseBackend::Postgres;
    let mut table = Table { name: name.clone(), columns: Vec::new(), key: Vec::new() };
    let ask = |sql: &str| Statement::from_sql_and_values(backend, sql, [Value::from(name.clone())]);
    let sql = if postgres {
        "SELECT column_name::text, data_type::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
    } else {
        "SELECT name, type FROM pragma_table_info(?) ORDER BY cid"
    };
    for row in db.query_all_raw(ask(sql)).await? {
        let (column, declared): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let kind = kind(&declared).ok_or_else(|| table.error(format!("column {column} is of type {declared}")))?;
        table.columns.push(Column { name: column, kind });
    }
    let sql = if postgres {
        "SELECT k.column_name::text FROM information_schema.table_constraints t \
         JOIN information_schema.key_column_usage k USING (constraint_schema, constraint_name, table_name) \
         WHERE t.table_schema = current_schema() AND t.table_name = $1 AND t.constraint_type = 'PRIMARY KEY' ORDER BY k.ordinal_position"
    } else {
        "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
    };
    for row in db.query_all_raw(ask(sql)).await? {
        table.key.push(row.try_get_by_index(0)?);
    }
    if table.key.is_empty() { Err(table.error("it has no primary key, so its rows have no order")) } else { Ok(table) }
}

/// The migrations that a database has seen, in order; none when it is new.
async fn migrations<C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let backend = db.get_database_backend();
    let there = if backend == DatabaseBackend::Postgres {
        format!("SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = '{MIGRATIONS}'")
    } else {
        format!("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{MIGRATIONS}'")
    };
    if db.query_one_raw(Statement::from_string(backend, there)).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = db.query_all_raw(Statement::from_string(backend, format!("SELECT version FROM {MIGRATIONS} ORDER BY version"))).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// A whole database takes longer than the limits that a careful server sets for a request.
pub(super) async fn without_limits(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DatabaseBackend::Postgres {
        tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        tx.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    }
    Ok(())
}

impl Store {
    /// The migrations that this program knows, in order.
    #[must_use]
    pub fn known_migrations() -> Vec<String> {
        migration::Migrator::migrations().iter().map(|m| m.name().to_owned()).collect()
    }

    /// Brings an empty database to the tables that these migrations make.
    ///
    /// # Errors
    /// When it holds rows, or tables of a later step; nothing is changed then.
    pub async fn prepare(&self, wanted: &[String]) -> Result<(), CopyError> {
        self.must_be_empty(self.db()).await?;
        let found = migrations(self.db()).await?;
        if !wanted.starts_with(&found) {
            let last = |of: &[String]| of.last().cloned().unwrap_or_default();
            return Err(CopyError::Schema { found: last(&found), wanted: last(wanted) });
        }
        let missing = u32::try_from(wanted.len() - found.len()).unwrap_or(u32::MAX);
        if missing > 0 {
            migration::Migrator::up(self.db(), Some(missing)).await?;
        }
        Ok(())
    }

    /// Brings the tables up to date.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(migration::Migrator::up(self.db(), None).await?)
    }

    /// Whether the values of this database open with a key, or without any. One without cases always does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn opens_with(&self, master: Option<&SealKey>) -> Result<bool, StoreError> {
        let row = case_key::Entity::find().order_by_asc(case_key::Column::CaseId).one(self.db()).await?;
        Ok(row.is_none_or(|row| master.is_some_and(|m| m.unwrap_key(&row.wrapped, &row.case_id).is_ok())))
    }

    pub(super) async fn must_be_empty<C: ConnectionTrait>(&self, db: &C) -> Result<(), CopyError> {
        for table in names(db).await? {
            let count = Statement::from_string(db.get_database_backend(), format!("SELECT COUNT(*) FROM {}", quoted(&table)));
            let rows: i64 = db.query_one_raw(count).await?.map_or(Ok(0), |row| row.try_get_by_index(0))?;
            if rows > 0 {
                return Err(CopyError::NotEmpty { table, rows: rows.unsigned_abs() });
            }
        }
        Ok(())
    }

    /// One moment of the whole database, for reading. Writers go on meanwhile.
    ///
    /// # Errors
    /// When the database cannot give one.
    pub async fn snapshot(&self) -> Result<Snapshot, CopyError> {
        let options = if self.is_postgres() {
            TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            }
        } else {
            TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred), ..TransactionOptions::default() }
        };
        let tx = self.db().begin_with_options(options).await?;
        without_limits(&tx).await?;
        // The moment is that of the first look.
        names(&tx).await?;
        Ok(Snapshot::new(tx))
    }
}

/// One moment of a whole database.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) tx: DatabaseTransaction,
    cursors: AtomicU64,
}

impl Snapshot {
    pub(super) fn new(tx: DatabaseTransaction) -> Self {
        Self { tx, cursors: AtomicU64::new(0) }
    }

    pub(super) fn backend(&self) -> DatabaseBackend {
        self.tx.get_database_backend()
    }

    pub(super) fn postgres(&self) -> bool {
        self.backend() == DatabaseBackend::Postgres
    }

    /// The migrations that the database has seen, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn migrations(&self) -> Result<Vec<String>, CopyError> {
        Ok(migrations(&self.tx).await?)
    }

    /// All tables with data, by name.
    ///
    /// # Errors
    /// When one of them cannot be carried.
    pub async fn tables(&self) -> Result<Vec<Table>, CopyError> {
        let mut out = Vec::new();
        for name in names(&self.tx).await? {
            out.push(table(&self.tx, name).await?);
        }
        Ok(out)
    }

    /// The rows of a table, page by page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pages<'s>(&'s self, table: &Table) -> Result<Pages<'s>, CopyError> {
        let length = |c: &Column| match (c.kind, self.postgres()) {
            (Kind::Text | Kind::Bytes, true) => Some(format!("COALESCE(OCTET_LENGTH({}), 0)::bigint", quoted(&c.name))),
            (Kind::Text, false) => Some(format!("4 * COALESCE(LENGTH({}), 0)", quoted(&c.name))),
            (Kind::Bytes, false) => Some(format!("COALESCE(LENGTH({}), 0)", quoted(&c.name))),
            _ => None,
        };
        let mut lengths: Vec<String> = table.columns.iter().filter_map(length).collect();
        lengths.push("0".to_owned());
        let sql = format!(
            "SELECT COUNT(*), CAST(COALESCE(MAX({}), 0) AS BIGINT) FROM {} WHERE {}",
            lengths.join(" + "),
            quoted(&table.name),
            table.carried()
        );
        let (rows, largest): (i64, i64) = match self.tx.query_one_raw(Statement::from_string(self.backend(), sql)).await? {
            Some(row) => (row.try_get_by_index(0)?, row.try_get_by_index(1)?),
            None => (0, 0),
        };
        let at_once = (PAGE_BYTES / largest.unsigned_abs().max(1)).clamp(1, PAGE_ROWS);
        Ok(Pages { snapshot: self, table: table.clone(), rows: rows.unsigned_abs(), at_once, place: Place::Start })
    }

    /// Lets the moment go.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(self) -> Result<(), CopyError> {
        Ok(self.tx.rollback().await?)
    }
}

/// How far a reader has come.
#[derive(Debug)]
enum Place {
    Start,
    /// SQLite: behind this key.
    After(Vec<Value>),
    /// PostgreSQL: in this cursor.
    In(String),
    End,
}

/// The rows of a table, in the byte order of their key.
#[derive(Debug)]
pub struct Pages<'s> {
    snapshot: &'s Snapshot,
    table: Table,
    rows: u64,
    at_once: u64,
    place: Place,
}

impl Pages<'_> {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// When the database fails or holds what its column should not.
    pub async fn next(&mut self) -> Result<Vec<Row>, CopyError> {
        let statement = match &self.place {
            Place::End => return Ok(Vec::new()),
            Place::Start if self.snapshot.postgres() => {
                let cursor = format!("heyi_copy_{}", self.snapshot.cursors.fetch_add(1, Ordering::Relaxed));
                let select = self.select("");
                self.snapshot.tx.execute_unprepared(&format!("DECLARE {cursor} NO SCROLL CURSOR FOR {select}")).await?;
                let fetch = self.fetch(&cursor);
                self.place = Place::In(cursor);
                fetch
            }
            Place::In(cursor) => self.fetch(cursor),
            Place::Start => Statement::from_string(self.snapshot.backend(), format!("{} LIMIT {}", self.select(""), self.at_once)),
            Place::After(key) => {
                let columns: Vec<String> = self.table.key.iter().map(|k| quoted(k)).collect();
                let behind = format!(" AND ({}) > ({})", columns.join(", "), vec!["?"; key.len()].join(", "));
                let sql = format!("{} LIMIT {}", self.select(&behind), self.at_once);
                Statement::from_sql_and_values(self.snapshot.backend(), sql, key.clone())
            }
        };
        let found = self.snapshot.tx.query_all_raw(statement).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            let cells = self.table.columns.iter().enumerate().map(|(i, column)| {
                let cell = match column.kind {
                    Kind::Text => row.try_get_by_index::<Option<String>>(i)?.map(Cell::Text),
                    Kind::Whole => row.try_get_by_index::<Option<i64>>(i)?.map(Cell::Whole),
                    Kind::Truth => row.try_get_by_index::<Option<bool>>(i)?.map(Cell::Truth),
                    Kind::Bytes => row.try_get_by_index::<Option<Vec<u8>>>(i)?.map(Cell::Bytes),
                };
                Ok(cell.unwrap_or(Cell::Null))
            });
            rows.push(cells.collect::<Result<Row, DbErr>>()?);
        }
        self.go_on(&rows).await?;
        Ok(rows)
    }

    async fn go_on(&mut self, rows: &[Row]) -> Result<(), CopyError> {
        if let Place::In(cursor) = &self.place {
            if rows.is_empty() {
                self.snapshot.tx.execute_unprepared(&format!("CLOSE {cursor}")).await?;
                self.place = Place::End;
            }
            return Ok(());
        }
        self.place = match rows.last() {
            None => Place::End,
            Some(last) => {
                let mut key = Vec::with_capacity(self.table.key.len());
                for name in &self.table.key {
                    let at = self.table.position(name)?;
                    key.push(value(self.table.columns[at].kind, last[at].clone()).ok_or_else(|| self.table.error("a key is empty"))?);
                }
                Place::After(key)
            }
        };
        Ok(())
    }

    fn fetch(&self, cursor: &str) -> Statement {
        Statement::from_string(self.snapshot.backend(), format!("FETCH FORWARD {} FROM {cursor}", self.at_once))
    }

    fn select(&self, behind: &str) -> String {
        let postgres = self.snapshot.postgres();
        let one = |c: &Column| match (c.kind, postgres) {
            (Kind::Whole, true) => format!("{}::bigint", quoted(&c.name)),
            (Kind::Text, true) => format!("{}::text", quoted(&c.name)),
            _ => quoted(&c.name),
        };
        let columns: Vec<String> = self.table.columns.iter().map(one).collect();
        // SQLite compares bytes anyway; PostgreSQL would sort as the language of the cluster does.
        let order = |name: &String| {
            let text = self.table.columns.iter().any(|c| c.name == *name && c.kind == Kind::Text);
            format!("{}{}", quoted(name), if postgres && text { " COLLATE \"C\"" } else { "" })
        };
        let key: Vec<String> = self.table.key.iter().map(order).collect();
        format!("SELECT {} FROM {} WHERE {}{behind} ORDER BY {}", columns.join(", "), quoted(&self.table.name), self.table.carried(), key.join(", "))
    }
}

/// A cell as a value of its column; none when it is of another kind.
pub(super) fn value(kind: Kind, cell: Cell) -> Option<Value> {
    Some(match (kind, cell) {
        (Kind::Text, Cell::Text(text)) => Value::from(text),
        (Kind::Whole, Cell::Whole(number)) => Value::from(number),
        (Kind::Truth, Cell::Truth(truth)) => Value::from(truth),
        (Kind::Bytes, Cell::Bytes(bytes)) => Value::from(bytes),
        (Kind::Text, Cell::Null) => Value::from(None::<String>),
        (Kind::Whole, Cell::Null) => Value::from(None::<i64>),
        (Kind::Truth, Cell::Null) => Value::from(None::<bool>),
        (Kind::Bytes, Cell::Null) => Value::from(None::<Vec<u8>>),
        _ => return None,
    })
}
