//! What one transaction writes, and the writing of it.
//!
//! A batch takes the decisions of any number of commands, table by table, and goes to the database at once: all of it,
//! or nothing. It names what its decisions rest on (versions of cases, the state of the accounts, the last numbers), and the
//! database refuses it when that has changed since.

use super::rows::{case, deadline, number, work};
use super::tables::{self, Cell, Column, PARTS_COUNT, Rows};
use super::{Store, StoreError};
use sea_orm::sqlx::{self, AssertSqlSafe, Postgres};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use std::collections::BTreeMap;

/// The key of a row of deadlines: case, proceeding, name, start, repetition.
pub(crate) type DeadlineKey = (String, i64, String, i64, i64);

/// The key of a row.
pub(crate) fn deadline_key(row: &deadline::Model) -> DeadlineKey {
    (row.case_id.clone(), row.proceeding, row.name.clone(), row.started_by, row.nth)
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Cases that decisions rest on, with the version that the database has of each.
    pub versions: BTreeMap<String, i64>,
    /// The state of the accounts that decisions rest on.
    pub accounts: i64,
    /// Last numbers of series: as the database has them, and as they will be. Empty where they were drawn beforehand.
    pub numbers: BTreeMap<(String, i64), (i64, i64)>,
    pub cases: BTreeMap<String, case::Model>,
    pub keys: Rows,
    pub events: Rows,
    pub values: Rows,
    /// None: the row goes.
    pub deadlines: BTreeMap<DeadlineKey, Option<deadline::Model>>,
    /// None: the row goes.
    pub work: BTreeMap<(String, String), Option<work::Model>>,
    pub letters: Rows,
    pub errands: Rows,
    pub documents: Rows,
    pub access: Rows,
    pub words: Rows,
    pub answers: Rows,
    pub openings: Rows,
    /// Letters that are called back.
    pub recalls: Vec<(String, String)>,
    pub files: Rows,
}

/// A transaction on PostgreSQL that began before the batch was complete.
pub(crate) type Inside = sqlx::Transaction<'static, Postgres>;

/// Why a batch was not written.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// It rests on something that has changed.
    Stale,
    /// An answer to the same key is there already.
    Answered,
    /// A row is there already: another node numbered the same event first. Should it stay so, it is a fault.
    Taken(StoreError),
    /// The database said no, and nothing was written.
    Failed(StoreError),
    /// The connection broke: it may have been written.
    Unknown(StoreError),
}

impl Batch {
    /// Whether nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Whether somebody waits for what goes into the outbox.
    pub fn wakes(&self) -> bool {
        !self.letters.is_empty() || !self.errands.is_empty()
    }

    /// How many bytes it holds, about.
    pub fn size(&self) -> usize {
        [&self.events, &self.values, &self.letters, &self.files].map(Rows::size).iter().sum()
    }

    /// The rows of each part, in the order of [`tables::PARTS`].
    pub fn parts(&mut self) -> [Rows; PARTS_COUNT] {
        let take = std::mem::take::<Rows>;
        let recalls = std::mem::take(&mut self.recalls).into_iter().map(|(case, id)| [case.into(), id.into()]).collect();
        let (mut no_deadlines, mut deadlines) = (Rows::default(), Rows::default());
        for ((case, proceeding, name, started_by, nth), row) in std::mem::take(&mut self.deadlines) {
            let key: [Cell; 5] = [case.into(), proceeding.into(), name.into(), started_by.into(), nth.into()];
            match row {
                None => no_deadlines.push(key),
                Some(d) => {
                    deadlines.push(key);
                    deadlines.push::<4>([d.status.into(), d.last_day.into(), d.acts_at.into(), d.body.into()]);
                }
            }
        }
        let (mut no_work, mut work) = (Rows::default(), Rows::default());
        for ((case, key), row) in std::mem::take(&mut self.work) {
            let key: [Cell; 2] = [case.into(), key.into()];
            match row {
                None => no_work.push(key),
                Some(w) => {
                    work.push(key);
                    work.push::<5>([w.proceeding.into(), w.for_role.into(), w.account.into(), w.due.into(), w.title.into()]);
                }
            }
        }
        [
            take(&mut self.letters),
            recalls,
            no_deadlines,
            no_work,
            std::mem::take(&mut self.cases).into_values().map(case_cells).collect(),
            take(&mut self.keys),
            take(&mut self.events),
            take(&mut self.values),
            deadlines,
            work,
            take(&mut self.errands),
            take(&mut self.documents),
            take(&mut self.access),
            take(&mut self.words),
            take(&mut self.answers),
            take(&mut self.openings),
            take(&mut self.files),
        ]
    }
}

fn case_cells(c: case::Model) -> [Cell; 15] {
    [
        c.id.into(),
        c.workflow.into(),
        c.definition.into(),
        c.policy.into(),
        c.calendar.into(),
        c.version.into(),
        c.head.into(),
        c.state.into(),
        c.stage.into(),
        c.is_open.into(),
        c.assignee.into(),
        c.opened_at.into(),
        c.updated_at.into(),
        c.due_at.into(),
        c.acts_at.into(),
    ]
}

impl Store {
    /// Writes a batch of one case on PostgreSQL: one statement, which is its own transaction or part of one that drew numbers.
    pub(crate) async fn write_postgres(&self, mut batch: Batch, inside: Option<Inside>) -> Result<(), NotWritten> {
        let case = batch.cases.keys().next().cloned().unwrap_or_default();
        let before = batch.versions.get(&case).copied();
        let parts = batch.parts();
        let text = tables::postgres(tables::shape(&parts, before.is_none()));
        let mut query = sqlx::query::<Postgres>(AssertSqlSafe(text)).bind(case).bind(before).bind(batch.accounts.to_string());
        for (part, rows) in tables::PARTS.iter().zip(parts) {
            query = bind(query, part.columns, rows);
        }
        match inside {
            None => query.execute(self.db().get_postgres_connection_pool()).await.map(drop).map_err(NotWritten::why),
            Some(mut transaction) => match query.execute(&mut *transaction).await {
                Ok(_) => transaction.commit().await.map_err(NotWritten::why),
                Err(error) => {
                    let _ = transaction.rollback().await;
                    Err(NotWritten::why(error))
                }
            },
        }
    }
}

type PostgresQuery = sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>;

/// Binds one row as it is, several as an array a column.
fn bind(mut query: PostgresQuery, columns: &[Column], rows: Rows) -> PostgresQuery {
    let width = columns.len();
    let mut cells = rows.into_cells();
    if cells.len() == width {
        for cell in cells {
            query = match cell {
                Cell::Text(text) => query.bind(text),
                Cell::Int(n) => query.bind(n),
                Cell::Bool(b) => query.bind(b),
                Cell::Bytes(bytes) => query.bind(bytes),
            };
        }
        return query;
    }
    if cells.is_empty() {
        return query;
    }
    for (place, column) in columns.iter().enumerate() {
        let column_cells = cells.iter_mut().skip(place).step_by(width);
        query = match column {
            Column::Text(_) => query.bind(column_cells.map(|c| if let Cell::Text(text) = c { text.take() } else { None }).collect::<Vec<_>>()),
            Column::Int(_) => query.bind(column_cells.map(|c| if let Cell::Int(n) = c { *n } else { None }).collect::<Vec<_>>()),
            Column::Bool(_) => query.bind(column_cells.map(|c| matches!(c, Cell::Bool(true))).collect::<Vec<_>>()),
            Column::Bytes(_) => {
                query.bind(column_cells.map(|c| if let Cell::Bytes(bytes) = c { std::mem::take(bytes) } else { Vec::new() }).collect::<Vec<_>>())
            }
        };
    }
    query
}

impl Store {
    /// The last number of a series.
    pub(crate) async fn last_number(&self, series: &str, year: i64) -> Result<i64, StoreError> {
        Ok(number::Entity::find_by_id((series.to_owned(), year)).one(self.db()).await?.map_or(0, |row| row.last))
    }

    /// Draws the next number of a series on PostgreSQL, in a transaction that is begun for it: rolled back, it uses none.
    pub(crate) async fn draw(&self, inside: &mut Option<Inside>, series: &str, year: i64) -> Result<i64, StoreError> {
        let sql = "INSERT INTO number (series, year, last) VALUES ($1, $2, 1) \
                   ON CONFLICT (series, year) DO UPDATE SET last = number.last + 1 RETURNING last";
        let transaction = self.inside(inside).await?;
        Ok(sqlx::query_scalar::<Postgres, i64>(sql).bind(series).bind(year).fetch_one(&mut **transaction).await?)
    }

    /// Gives back a number that was drawn last in this transaction, which holds the series until its end.
    pub(crate) async fn put_back(&self, inside: &mut Option<Inside>, series: &str, year: i64) -> Result<(), StoreError> {
        let transaction = self.inside(inside).await?;
        let sql = "UPDATE number SET last = last - 1 WHERE series = $1 AND year = $2";
        sqlx::query::<Postgres>(sql).bind(series).bind(year).execute(&mut **transaction).await?;
        Ok(())
    }

    /// Holds letters that are to be called back, so that none leaves meanwhile.
    pub(crate) async fn hold_letters(&self, inside: &mut Option<Inside>, case: &str, ids: &[&str]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = "SELECT id FROM letter WHERE case_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE";
        let transaction = self.inside(inside).await?;
        sqlx::query::<Postgres>(sql).bind(case).bind(ids).execute(&mut **transaction).await?;
        Ok(())
    }

    async fn inside<'t>(&self, inside: &'t mut Option<Inside>) -> Result<&'t mut Inside, StoreError> {
        if inside.is_none() {
            *inside = Some(self.db().get_postgres_connection_pool().begin().await?);
        }
        inside.as_mut().ok_or_else(|| StoreError::Unreachable("a transaction was begun and is gone".to_owned()))
    }

    /// Whether each case is at the version that is said of it.
    pub(crate) async fn at_versions(&self, versions: &BTreeMap<String, i64>) -> Result<bool, StoreError> {
        let rows: Vec<(String, i64)> = case::Entity::find()
            .select_only()
            .columns([case::Column::Id, case::Column::Version])
            .filter(case::Column::Id.is_in(versions.keys()))
            .into_tuple()
            .all(self.db())
            .await?;
        Ok(rows.len() == versions.len() && rows.iter().all(|(id, version)| versions.get(id) == Some(version)))
    }
}

impl NotWritten {
    fn why(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return Self::Unknown(error.into());
        };
        let message = database.message().to_owned();
        tracing::debug!(message, "a batch was not written");
        if database.is_check_violation() && message.contains("guard_stale") {
            return Self::Stale;
        }
        if database.is_unique_violation() { Self::taken(&message, error.into()) } else { Self::Failed(error.into()) }
    }

    /// A key that is there already: of an answer, or of a row that somebody else wrote first, if it is not a fault of our own.
    pub(super) fn taken(message: &str, error: StoreError) -> Self {
        let answered = ["answer.", "opening.", "answer_pkey", "opening_pkey"];
        if answered.iter().any(|a| message.contains(a)) { Self::Answered } else { Self::Taken(error) }
    }
}
