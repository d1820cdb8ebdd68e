//! PostgreSQL hash partitions: the tables of cases, each spread by its case over so many parts.
//!
//! Every key of these tables leads with the case, and every statement of a step names the case, so that it touches one part of
//! each. Tables that belong to no case stay whole.

use super::{Store, StoreError};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement, TransactionTrait as _};

/// The tables of cases, and the column that names the case.
pub const BY_CASE: [(&str, &str); 14] = [
    ("case_row", "id"),
    ("case_key", "case_id"),
    ("case_access", "case_id"),
    ("case_value", "case_id"),
    ("event", "case_id"),
    ("deadline", "case_id"),
    ("work", "case_id"),
    ("letter", "case_id"),
    ("errand", "case_id"),
    ("document", "case_id"),
    ("file", "case_id"),
    ("export", "case_id"),
    ("word", "case_id"),
    ("answer", "case_id"),
];

impl Store {
    /// Over how many partitions the tables of cases are spread; 0 where they are whole.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn parts(&self) -> Result<u32, StoreError> {
        if self.db().get_database_backend() != DbBackend::Postgres {
            return Ok(0);
        }
        let counted = "SELECT count(*) AS n FROM pg_inherits WHERE inhparent = to_regclass('case_row')";
        let row = self.db().query_one_raw(Statement::from_string(DbBackend::Postgres, counted)).await?;
        let n: i64 = row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0);
        Ok(u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// Spreads the tables of cases over so many hash partitions, with the rows that they hold: one transaction, during which
    /// nobody else may write. On PostgreSQL only.
    ///
    /// # Errors
    /// When the database fails; then all is as it was.
    pub async fn spread(&self, parts: u32) -> Result<(), StoreError> {
        let transaction = self.db().begin().await?;
        for (table, case) in BY_CASE {
            let whole = format!("{table}_whole");
            transaction.execute_unprepared(&format!("ALTER TABLE {table} RENAME TO {whole}")).await?;
            let made = format!("CREATE TABLE {table} (LIKE {whole} INCLUDING ALL) PARTITION BY HASH ({case})");
            transaction.execute_unprepared(&made).await?;
            for part in 0..parts {
                let part = format!("CREATE TABLE {table}_p{part} PARTITION OF {table} FOR VALUES WITH (MODULUS {parts}, REMAINDER {part})");
                transaction.execute_unprepared(&part).await?;
            }
            transaction.execute_unprepared(&format!("INSERT INTO {table} SELECT * FROM {whole}")).await?;
            transaction.execute_unprepared(&format!("DROP TABLE {whole}")).await?;
        }
        Ok(transaction.commit().await?)
    }
}
