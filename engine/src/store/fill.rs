//! A whole database, held and filled: where a restore or a move ends, and how the old place of a move is closed.

use super::Store;
use super::copy::{CopyError, MOVED_TO, Row, Snapshot, Table, names, quoted, value, without_limits};
use sea_orm::{ConnectionTrait as _, IsolationLevel, Statement, TransactionOptions, TransactionTrait as _, Value};

/// Values bound to one statement at most; SQLite takes 32,766, PostgreSQL 65,535.
const MOST_VALUES: usize = 30_000;
/// How long the other writers are waited for before a database is held, in seconds.
const HOLD_SECONDS: u32 = 10;
/// Tables to which nothing may be added once the installation lives elsewhere.
const CLOSED_WHEN_MOVED: [&str; 4] = ["case_row", "event", "letter", "errand"];

impl Store {
    /// The whole database, held so that nobody else writes until this is committed or dropped.
    ///
    /// # Errors
    /// When others write and do not end in time.
    pub async fn hold(&self) -> Result<Held, CopyError> {
        let tx = if self.is_postgres() {
            let tables: Vec<String> = names(self.db()).await?.iter().map(|t| quoted(t)).collect();
            let options = TransactionOptions { isolation_level: Some(IsolationLevel::RepeatableRead), ..TransactionOptions::default() };
            let tx = self.db().begin_with_options(options).await?;
            // Before the first look, so that the moment of reading lies behind the last commit of somebody else.
            without_limits(&tx).await?;
            tx.execute_unprepared(&format!("SET LOCAL lock_timeout = '{HOLD_SECONDS}s'")).await?;
            if !tables.is_empty() {
                tx.execute_unprepared(&format!("LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "))).await?;
            }
            tx
        } else {
            let tx = self.begin().await?;
            tx.execute_unprepared("PRAGMA defer_foreign_keys = ON").await?;
            tx
        };
        Ok(Held(Snapshot::new(tx)))
    }

    /// Holds an empty database, to be filled.
    ///
    /// # Errors
    /// When it is not empty.
    pub async fn hold_empty(&self) -> Result<Held, CopyError> {
        let held = self.hold().await?;
        self.must_be_empty(&held.tx).await?;
        Ok(held)
    }
}

/// A whole database that nobody else writes. Dropped without [`Held::commit`] it is as it was.
#[derive(Debug)]
pub struct Held(Snapshot);

impl std::ops::Deref for Held {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Held {
    /// Adds rows to a table.
    ///
    /// # Errors
    /// When a row does not fit the table, or the database fails.
    pub async fn insert(&self, table: &Table, rows: Vec<Row>) -> Result<(), CopyError> {
        let width = table.columns.len();
        let names: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
        let most = (MOST_VALUES / width.max(1)).max(1);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut values = Vec::new();
            let mut groups = Vec::new();
            for row in rows.by_ref().take(most) {
                if row.len() != width {
                    return Err(table.error(format!("a row has {} values, the table {width} columns", row.len())));
                }
                let first = values.len() + 1;
                for (column, cell) in table.columns.iter().zip(row) {
                    values.push(value(column.kind, cell).ok_or_else(|| table.error(format!("column {} holds another kind of value", column.name)))?);
                }
                let place = |n: usize| if self.postgres() { format!("${n}") } else { "?".to_owned() };
                groups.push(format!("({})", (first..first + width).map(place).collect::<Vec<_>>().join(", ")));
            }
            let sql = format!("INSERT INTO {} ({}) VALUES {}", quoted(&table.name), names.join(", "), groups.join(", "));
            self.0.tx.execute_raw(Statement::from_sql_and_values(self.0.backend(), sql, values)).await?;
        }
        Ok(())
    }

    /// Lets columns that count by themselves go on behind the rows that were added. SQLite does so of itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_on(&self, table: &Table) -> Result<(), CopyError> {
        if !self.postgres() {
            return Ok(());
        }
        let sql = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 \
                   AND (is_identity = 'YES' OR column_default LIKE 'nextval(%')";
        let ask = Statement::from_sql_and_values(self.0.backend(), sql, [Value::from(table.name.clone())]);
        for row in self.0.tx.query_all_raw(ask).await? {
            let column: String = row.try_get_by_index(0)?;
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence($1, $2), GREATEST(COALESCE(MAX({c}), 1), 1), COUNT(*) > 0) FROM {t}",
                c = quoted(&column),
                t = quoted(&table.name)
            );
            let ask = Statement::from_sql_and_values(self.0.backend(), sql, [Value::from(quoted(&table.name)), Value::from(column)]);
            self.0.tx.query_one_raw(ask).await?;
        }
        Ok(())
    }

    /// Notes that the installation lives elsewhere from now on. The database itself then refuses every new event and
    /// letter, so that a program which runs on it still cannot go on with the old copy.
    ///
    /// # Arguments
    /// `to` names the new place, without a password.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_moved(&self, to: &str) -> Result<(), CopyError> {
        let place = if self.postgres() { ["$1", "$2"] } else { ["?", "?"] };
        let sql = format!("INSERT INTO meta (\"key\", value) VALUES ({}, {})", place[0], place[1]);
        let note = Statement::from_sql_and_values(self.0.backend(), sql, [Value::from(MOVED_TO), Value::from(to)]);
        self.0.tx.execute_raw(note).await?;
        if self.postgres() {
            self.0
                .tx
                .execute_unprepared(
                    "CREATE OR REPLACE FUNCTION heyi_moved() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN RAISE EXCEPTION 'this installation has moved'; END $$",
                )
                .await?;
        }
        let there = names(&self.0.tx).await?;
        for table in CLOSED_WHEN_MOVED.iter().filter(|t| there.iter().any(|name| name == **t)) {
            for happening in ["INSERT", "UPDATE", "DELETE"] {
                let head = format!("CREATE TRIGGER heyi_moved_{table}_{} BEFORE {happening} ON {table}", happening.to_ascii_lowercase());
                let sql = if self.postgres() {
                    format!("{head} FOR EACH ROW EXECUTE FUNCTION heyi_moved()")
                } else {
                    format!("{head} BEGIN SELECT RAISE(ABORT, 'this installation has moved'); END")
                };
                self.0.tx.execute_unprepared(&sql).await?;
            }
        }
        Ok(())
    }

    /// Keeps everything that was added.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn commit(self) -> Result<(), CopyError> {
        Ok(self.0.tx.commit().await?)
    }

    /// Takes back everything that was added.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up(self) -> Result<(), CopyError> {
        Ok(self.0.tx.rollback().await?)
    }
}
