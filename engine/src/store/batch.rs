//! What one transaction writes, and the writing of it.
//!
//! A batch takes the decisions of any number of commands, table by table, and goes to the database at once: all of it,
//! or nothing. It names what its decisions rest on (versions of cases, the state of the accounts, the last numbers), and the
//! database refuses it when that has changed since.

use super::rows::{case, deadline, file, number, work};
use super::{Store, StoreError, tables};
use sea_orm::sqlx::{self, Postgres, Sqlite};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows of one table as a JSON array of arrays.
#[derive(Debug, Default)]
pub(crate) struct Rows(String);

impl Rows {
    pub fn push(&mut self, row: &impl Serialize) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(&serde_json::to_string(row).unwrap_or_default());
    }

    fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "[]" } else { "]" });
        self.0
    }

    fn of<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Self {
        let mut out = Self::default();
        rows.into_iter().for_each(|row| out.push(&row));
        out
    }
}

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
    pub file: Option<file::Model>,
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
    /// The database said no, and nothing was written.
    Failed(StoreError),
    /// The connection broke: it may have been written.
    Unknown(StoreError),
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

impl Batch {
    /// Whether nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Whether somebody waits for what goes into the outbox.
    pub fn wakes(&self) -> bool {
        !self.letters.0.is_empty() || !self.errands.0.is_empty()
    }

    /// How many bytes it holds, about.
    pub fn size(&self) -> usize {
        self.events.0.len() + self.values.0.len() + self.letters.0.len() + self.file.as_ref().map_or(0, |f| f.sealed.len())
    }

    /// The values of the parameters, in the order of [`tables`], without those of the file.
    fn parameters(&mut self) -> Vec<String> {
        fn keys<K: Serialize, T>(rows: &BTreeMap<K, Option<T>>) -> Rows {
            Rows::of(rows.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key))
        }
        let take = std::mem::take::<Rows>;
        let deadlines = self
            .deadlines
            .values()
            .flatten()
            .map(|d| (&d.case_id, d.proceeding, &d.name, d.started_by, d.nth, &d.status, &d.last_day, d.acts_at, &d.body));
        let work = self.work.values().flatten().map(|w| (&w.case_id, &w.key, w.proceeding, &w.for_role, &w.account, &w.due, &w.title));
        let cases = self.cases.values().map(|c| {
            let texts = (&c.id, &c.workflow, &c.definition, &c.policy, &c.calendar);
            (
                texts.0,
                texts.1,
                texts.2,
                texts.3,
                texts.4,
                c.version,
                &c.head,
                &c.state,
                &c.stage,
                c.is_open,
                &c.assignee,
                c.opened_at,
                c.updated_at,
                c.due_at,
                c.acts_at,
            )
        });
        let rows = vec![
            Rows::of(&self.versions),
            Rows::default(),
            Rows::of(self.numbers.iter().map(|((series, year), (before, _))| (series, year, before))),
            Rows::of(self.numbers.iter().map(|((series, year), (_, after))| (series, year, after))),
            take(&mut self.letters),
            Rows::of(&self.recalls),
            keys(&self.deadlines),
            keys(&self.work),
            Rows::of(cases),
            take(&mut self.keys),
            take(&mut self.events),
            take(&mut self.values),
            Rows::of(deadlines),
            Rows::of(work),
            take(&mut self.errands),
            take(&mut self.documents),
            take(&mut self.access),
            take(&mut self.words),
            take(&mut self.answers),
            take(&mut self.openings),
        ];
        let mut out: Vec<String> = rows.into_iter().map(Rows::finish).collect();
        out[1] = self.accounts.to_string();
        out
    }
}

impl Store {
    /// Writes a batch on SQLite: one transaction, sent at once.
    pub(crate) async fn write_sqlite(&self, mut batch: Batch) -> Result<(), NotWritten> {
        let parameters = batch.parameters();
        let mut query = sqlx::query::<Sqlite>(tables::sqlite());
        for parameter in parameters {
            query = query.bind(parameter);
        }
        let file = batch.file;
        query = query
            .bind(file.as_ref().map(|f| f.case_id.clone()))
            .bind(file.as_ref().map(|f| f.id.clone()))
            .bind(file.as_ref().map(|f| f.sha256.clone()))
            .bind(file.as_ref().map(|f| f.media_type.clone()))
            .bind(file.as_ref().map(|f| f.size))
            .bind(file.as_ref().map(|f| f.sealed_name.clone()))
            .bind(file.map(|f| f.sealed));
        let mut connection = self.db().get_sqlite_connection_pool().acquire().await.map_err(|e| NotWritten::Failed(e.into()))?;
        let Err(error) = query.execute(&mut *connection).await else { return Ok(()) };
        // The transaction is open unless `BEGIN` itself failed; a connection that cannot roll back is not used again.
        if let Err(rollback) = sqlx::query::<Sqlite>("ROLLBACK").execute(&mut *connection).await
            && !rollback.to_string().contains("no transaction is active")
        {
            connection.close_on_drop();
        }
        Err(NotWritten::why(error))
    }

    /// Writes a batch on PostgreSQL: one statement, which is its own transaction or part of one that drew numbers.
    pub(crate) async fn write_postgres(&self, mut batch: Batch, inside: Option<Inside>) -> Result<(), NotWritten> {
        let case = batch.cases.keys().next().cloned().unwrap_or_default();
        let parameters = batch.parameters();
        let mut query = sqlx::query::<Postgres>(tables::postgres());
        for parameter in parameters {
            query = query.bind(parameter);
        }
        let file = batch.file;
        query = query
            .bind(file.as_ref().map(|f| f.case_id.clone()))
            .bind(file.as_ref().map(|f| f.id.clone()))
            .bind(file.as_ref().map(|f| f.sha256.clone()))
            .bind(file.as_ref().map(|f| f.media_type.clone()))
            .bind(file.as_ref().map(|f| f.size))
            .bind(file.as_ref().map(|f| f.sealed_name.clone()))
            .bind(file.map(|f| f.sealed))
            .bind(case);
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
        let message = database.message();
        tracing::debug!(message, "a batch was not written");
        if database.is_check_violation() && message.contains("guard_stale") {
            return Self::Stale;
        }
        let answered = ["answer.", "opening.", "answer_pkey", "opening_pkey"];
        if database.is_unique_violation() && answered.iter().any(|a| message.contains(a)) {
            return Self::Answered;
        }
        // Another node numbered the same event first.
        if database.is_unique_violation() {
            return Self::Stale;
        }
        Self::Failed(error.into())
    }
}
