//! Letters that came back: what a mail server reported about one goes onto its row. What it means for the case is a
//! command like any other.

use super::rows::letter;
use super::{Store, StoreError};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

impl Store {
    /// A letter by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letter(&self, case_id: &str, id: &str) -> Result<Option<letter::Model>, StoreError> {
        Ok(letter::Entity::find_by_id((case_id.to_owned(), id.to_owned())).one(self.db()).await?)
    }

    /// Writes down that a letter bounced. One that is still being tried is tried no more.
    ///
    /// # Arguments
    /// `problem` says why, without personal data.
    ///
    /// # Returns
    /// Whether that was news.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_bounced(&self, case_id: &str, id: &str, problem: &str) -> Result<bool, StoreError> {
        let tried = Condition::all().add(letter::Column::State.eq("waiting")).add(letter::Column::Attempts.gt(0));
        let from = Condition::any().add(letter::Column::State.is_in(["sent", "delayed", "sending"])).add(tried);
        self.mark(case_id, id, "bounced", problem, from).await
    }

    /// Writes down that a letter is still on its way. One that has bounced stays so.
    ///
    /// # Arguments
    /// `problem` says why, without personal data.
    ///
    /// # Returns
    /// Whether that was news.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_delayed(&self, case_id: &str, id: &str, problem: &str) -> Result<bool, StoreError> {
        self.mark(case_id, id, "delayed", problem, Condition::all().add(letter::Column::State.eq("sent"))).await
    }

    async fn mark(&self, case_id: &str, id: &str, state: &str, problem: &str, from: Condition) -> Result<bool, StoreError> {
        let update = letter::Entity::update_many()
            .col_expr(letter::Column::State, Expr::value(state))
            .col_expr(letter::Column::Problem, Expr::value(problem))
            .col_expr(letter::Column::Lease, Expr::value(Option::<String>::None))
            .col_expr(letter::Column::LeasedUntil, Expr::value(Option::<i64>::None))
            .filter(letter::Column::CaseId.eq(case_id))
            .filter(letter::Column::Id.eq(id))
            .filter(from);
        Ok(update.exec(self.db()).await?.rows_affected > 0)
    }
}
