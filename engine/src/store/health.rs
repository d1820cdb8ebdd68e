//! How the database fares: whether it keeps what it acknowledges, which migrations it knows, and how much waits in it.
//!
//! Here: what `/readyz`, `/metrics` and `heyi doctor` ask. Nothing here writes, and nothing here knows a person.

use super::rows::case;
use super::{Store, StoreError, migration};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QueryResult,
    QuerySelect as _, Statement,
};
use sea_orm_migration::MigratorTrait as _;

/// A setting of the database on which durability rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub found: String,
    /// What it must be.
    pub wanted: &'static str,
}

impl Setting {
    /// Whether it is what it must be, or stronger.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        let stronger = self.name == "synchronous_commit" && matches!(self.found.as_str(), "remote_write" | "remote_apply");
        self.found == self.wanted || stronger
    }
}

/// The migrations of a database, held against those of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What the database has.
    pub applied: Vec<String>,
    /// What this program knows.
    pub known: Vec<String>,
}

impl Schema {
    /// Whether both are the same.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.applied == self.known
    }
}

/// Connections to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open ones.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// The most that there may be.
    pub most: u32,
}

/// What waits in the database, in numbers. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Letters by state.
    pub letters: Vec<(String, u64)>,
    /// When the oldest letter that has not left was decided.
    pub oldest_letter: Option<i64>,
    /// Commands for other cases that wait.
    pub errands: u64,
    /// Cases in which something goes on.
    pub open_cases: u64,
    /// Deadlines that are due and have not fired.
    pub due: u64,
    /// When the oldest of them fell due.
    pub oldest_due: Option<i64>,
    /// Open cases with neither work for anybody nor a running clock: always 0, or somebody waits for ever.
    pub uncovered_cases: u64,
    /// When any case was last written.
    pub last_written: Option<i64>,
}

fn later((at, id): &(i64, String)) -> Condition {
    let same = Condition::all().add(case::Column::UpdatedAt.eq(*at)).add(case::Column::Id.gt(id));
    Condition::any().add(case::Column::UpdatedAt.gt(*at)).add(same)
}

fn count(row: &QueryResult, column: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.try_get_by_index::<i64>(column)?).unwrap_or(0))
}

impl Store {
    /// Every setting on which durability rests. Empty for a database in memory, which promises nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn durability(&self) -> Result<Vec<Setting>, StoreError> {
        let checks: &[(&str, &'static str, &'static str)] = if self.is_postgres() {
            &[("SHOW synchronous_commit", "synchronous_commit", "on"), ("SHOW fsync", "fsync", "on")]
        } else {
            &[
                ("PRAGMA journal_mode", "journal_mode", "wal"),
                ("PRAGMA synchronous", "synchronous", "2"),
                ("PRAGMA foreign_keys", "foreign_keys", "1"),
            ]
        };
        let mut out = Vec::with_capacity(checks.len());
        for (sql, name, wanted) in checks {
            out.push(Setting { name, found: self.setting(sql).await?, wanted });
        }
        Ok(out)
    }

    /// The migrations that the database has, and those that this program knows.
    ///
    /// # Errors
    /// When the database fails, or has no tables at all.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let known = migration::Migrator::migrations().iter().map(|m| m.name().to_owned()).collect();
        let rows = self.rows_of("SELECT version FROM seaql_migrations ORDER BY version").await?;
        let applied = rows.iter().map(|row| row.try_get_by_index::<String>(0)).collect::<Result<_, _>>()?;
        Ok(Schema { applied, known })
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let (open, idle) = if self.is_postgres() {
            let pool = self.db().get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        } else {
            let pool = self.db().get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        };
        Connections { open, idle: u32::try_from(idle).unwrap_or(u32::MAX), most: super::POOL_MAX }
    }

    /// What waits, in numbers.
    ///
    /// # Arguments
    /// `now_ms` is the moment at which deadlines count as due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn figures(&self, now_ms: i64) -> Result<Figures, StoreError> {
        let mut out = Figures::default();
        for row in self.rows_of("SELECT state, COUNT(*) FROM letter GROUP BY state ORDER BY state").await? {
            out.letters.push((row.try_get_by_index(0)?, count(&row, 1)?));
        }
        let waiting = "SELECT MIN(created_at) FROM letter WHERE state IN ('waiting', 'sending')";
        out.oldest_letter = self.one(waiting).await?.try_get_by_index(0)?;
        out.errands = count(&self.one("SELECT COUNT(*) FROM errand WHERE state = 'waiting'").await?, 0)?;
        let cases = self.one("SELECT COUNT(CASE WHEN is_open THEN 1 END), MAX(updated_at) FROM case_row").await?;
        (out.open_cases, out.last_written) = (count(&cases, 0)?, cases.try_get_by_index(1)?);
        let due = format!("SELECT COUNT(*), MIN(acts_at) FROM deadline WHERE status IN ('running', 'held') AND acts_at <= {now_ms}");
        let due = self.one(&due).await?;
        (out.due, out.oldest_due) = (count(&due, 0)?, due.try_get_by_index(1)?);
        let uncovered = "SELECT COUNT(*) FROM case_row c WHERE c.is_open \
             AND NOT EXISTS (SELECT 1 FROM work w WHERE w.case_id = c.id AND w.key NOT LIKE 'serve:%') \
             AND NOT EXISTS (SELECT 1 FROM deadline d WHERE d.case_id = c.id AND d.status IN ('running', 'held') AND d.acts_at IS NOT NULL)";
        out.uncovered_cases = count(&self.one(uncovered).await?, 0)?;
        Ok(out)
    }

    /// The cases that were written after a moment, each with when, in that order.
    ///
    /// # Arguments
    /// `after` is the last case that is known already: when it was written, and its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn written_after(&self, after: &(i64, String), most: u64) -> Result<Vec<(i64, String)>, StoreError> {
        let query = case::Entity::find().filter(later(after)).order_by_asc(case::Column::UpdatedAt).order_by_asc(case::Column::Id).limit(most);
        let rows: Vec<(i64, String)> =
            query.select_only().column(case::Column::UpdatedAt).column(case::Column::Id).into_tuple().all(self.db()).await?;
        Ok(rows)
    }

    /// How many cases were written after a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_written_after(&self, after: &(i64, String)) -> Result<u64, StoreError> {
        Ok(case::Entity::find().filter(later(after)).count(self.db()).await?)
    }

    /// The last signed checkpoint over all cases: how many entries it covers, and its text. None before the first.
    ///
    /// # Errors
    /// When the database fails, or keeps none.
    pub async fn last_checkpoint(&self) -> Result<Option<(i64, String)>, StoreError> {
        let rows = self.rows_of("SELECT size, line FROM checkpoint ORDER BY size DESC LIMIT 1").await?;
        let read = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.first().map(read).transpose()
    }

    async fn rows_of(&self, sql: &str) -> Result<Vec<QueryResult>, StoreError> {
        let statement = Statement::from_string(self.db().get_database_backend(), sql.to_owned());
        Ok(self.db().query_all_raw(statement).await?)
    }

    /// The one row of a query that always has one.
    async fn one(&self, sql: &str) -> Result<QueryResult, StoreError> {
        let none = || sea_orm::DbErr::RecordNotFound("a query that counts gave no row".to_owned());
        Ok(self.rows_of(sql).await?.into_iter().next().ok_or_else(none)?)
    }
}
