//! Reading rows one by one, so that one that holds nonsense is a finding and does not hide the others.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult as _, QueryResult, QueryTrait as _, Select};

/// A row, or what could not be read as one.
pub(super) type Row<E> = Result<<E as EntityTrait>::Model, QueryResult>;

/// The rows of a query.
pub(super) async fn all<E: EntityTrait, C: ConnectionTrait>(db: &C, query: Select<E>) -> Result<Vec<Row<E>>, DbErr> {
    let rows = db.query_all_raw(query.build(db.get_database_backend())).await?;
    Ok(rows.into_iter().map(|row| E::Model::from_query_result(&row, "").map_err(|_| row)).collect())
}

/// A text of a row that could not be read whole.
pub(super) fn text(row: &QueryResult, column: &str) -> Option<String> {
    row.try_get::<String>("", column).ok()
}

/// A number of a row that could not be read whole.
pub(super) fn number(row: &QueryResult, column: &str) -> Option<i64> {
    row.try_get::<i64>("", column).ok()
}

/// One text column of a query's rows; none where it cannot be read.
pub(super) async fn texts<E: EntityTrait, C: ConnectionTrait>(db: &C, query: Select<E>, column: &str) -> Result<Vec<Option<String>>, DbErr> {
    let rows = db.query_all_raw(query.build(db.get_database_backend())).await?;
    Ok(rows.iter().map(|row| text(row, column)).collect())
}
