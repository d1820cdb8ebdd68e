//! Lists that people look at. Every query starts from what the asker may see.

use super::rows::{case, case_access, deadline, document, event, export, file, letter, source, word, work};
use super::seal::SealKey;
use super::{Store, StoreError, cases};
use crate::case::Account;
use crate::case::event::Event;
use crate::ids::CaseId;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// What a worklist asks for.
#[derive(Clone, Debug, Default)]
pub struct Worklist {
    /// Only this stage.
    pub stage: Option<String>,
    /// Words that must all occur.
    pub words: Option<String>,
    /// Only cases whose seat this account holds.
    pub assignee: Option<String>,
    /// Only cases with a deadline before this time, in milliseconds.
    pub due_before: Option<i64>,
    /// Where the page before ended: due time and case.
    pub after: Option<(i64, String)>,
    /// At most this many.
    pub limit: u64,
    /// Workflows whose cases are seen even by an account that else sees only its own.
    pub all_of: Vec<String>,
}

/// Whether an account sees every case: staff of the committee, and accounts of the training room.
#[must_use]
pub fn sees_all(account: &Account, outside_role: bool) -> bool {
    !outside_role || account.stands_in
}

impl Store {
    /// A page of cases, the most urgent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn worklist(&self, master: &SealKey, ask: &Worklist, only_for: Option<&Account>) -> Result<Vec<case::Model>, StoreError> {
        let mut query = case::Entity::find();
        if let Some(account) = only_for {
            let mine = Query::select()
                .column(case_access::Column::CaseId)
                .from(case_access::Entity)
                .and_where(case_access::Column::Account.eq(account.id.to_string()))
                .to_owned();
            let seen = Condition::any().add(case::Column::Id.in_subquery(mine)).add(case::Column::Workflow.is_in(&ask.all_of));
            query = query.filter(seen);
        }
        if let Some(stage) = &ask.stage {
            query = query.filter(case::Column::Stage.eq(stage));
        }
        if let Some(assignee) = &ask.assignee {
            query = query.filter(case::Column::Assignee.eq(assignee));
        }
        if let Some(before) = ask.due_before {
            query = query.filter(case::Column::DueAt.lt(before));
        }
        if let Some(words) = &ask.words {
            let hashes = super::decided::word_hashes(master, words);
            let wanted = i64::try_from(hashes.len()).unwrap_or(i64::MAX);
            let found = Query::select()
                .column(word::Column::CaseId)
                .from(word::Entity)
                .and_where(word::Column::Hash.is_in(hashes))
                .group_by_col(word::Column::CaseId)
                .and_having(Expr::col(word::Column::Hash).count().eq(wanted))
                .to_owned();
            query = query.filter(case::Column::Id.in_subquery(found));
        }
        if let Some((due, id)) = &ask.after {
            let later = Condition::any()
                .add(case::Column::DueAt.gt(*due))
                .add(Condition::all().add(case::Column::DueAt.eq(*due)).add(case::Column::Id.gt(id)));
            query = query.filter(later);
        }
        Ok(query.order_by_asc(case::Column::DueAt).order_by_asc(case::Column::Id).limit(ask.limit).all(self.db()).await?)
    }

    /// Whether an account that does not see all may see this case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn may_see(&self, case: CaseId, account: &Account) -> Result<bool, StoreError> {
        Ok(case_access::Entity::find_by_id((case.to_string(), account.id.to_string())).one(self.db()).await?.is_some())
    }

    /// The events of a case after a number, with the hash of each.
    ///
    /// # Errors
    /// When the database fails or a row cannot be read.
    pub async fn events(&self, case: CaseId, after: u64, limit: u64) -> Result<Vec<(Event, String)>, StoreError> {
        let rows = event::Entity::find()
            .filter(event::Column::CaseId.eq(case.to_string()))
            .filter(event::Column::Seq.gt(i64::try_from(after).unwrap_or(i64::MAX)))
            .order_by_asc(event::Column::Seq)
            .limit(limit)
            .all(self.db())
            .await?;
        rows.iter().map(|row| Ok((cases::read_event(row)?, row.hash.clone()))).collect()
    }

    /// The open cases of a workflow that stand under another version than this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn under_other_versions(&self, workflow: &str, digest: &str) -> Result<Vec<case::Model>, StoreError> {
        Ok(case::Entity::find()
            .filter(case::Column::Workflow.eq(workflow))
            .filter(case::Column::IsOpen.eq(true))
            .filter(case::Column::Definition.ne(digest))
            .order_by_asc(case::Column::Id)
            .all(self.db())
            .await?)
    }

    /// The deadlines of a case, each with its explanation as JSON.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deadlines(&self, case: CaseId) -> Result<Vec<deadline::Model>, StoreError> {
        Ok(deadline::Entity::find()
            .filter(deadline::Column::CaseId.eq(case.to_string()))
            .order_by_asc(deadline::Column::Proceeding)
            .all(self.db())
            .await?)
    }

    /// The open work of a case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn work(&self, case: CaseId) -> Result<Vec<work::Model>, StoreError> {
        Ok(work::Entity::find().filter(work::Column::CaseId.eq(case.to_string())).order_by_asc(work::Column::Key).all(self.db()).await?)
    }

    /// The letters of a case, without their content.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letters(&self, case: CaseId) -> Result<Vec<letter::Model>, StoreError> {
        Ok(letter::Entity::find()
            .filter(letter::Column::CaseId.eq(case.to_string()))
            .order_by_asc(letter::Column::CreatedAt)
            .order_by_asc(letter::Column::Id)
            .all(self.db())
            .await?)
    }

    /// How many letters a worker holds at this moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letters_on_lease(&self, now: chrono::DateTime<chrono::Utc>) -> Result<u64, StoreError> {
        use sea_orm::PaginatorTrait as _;
        let held = Condition::all().add(letter::Column::State.eq("sending")).add(letter::Column::LeasedUntil.gt(super::ms(now)));
        Ok(letter::Entity::find().filter(held).count(self.db()).await?)
    }

    /// The documents of a case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn documents(&self, case: CaseId) -> Result<Vec<document::Model>, StoreError> {
        Ok(document::Entity::find().filter(document::Column::CaseId.eq(case.to_string())).order_by_asc(document::Column::Seq).all(self.db()).await?)
    }

    /// A file of a case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn file(&self, case: CaseId, id: &str) -> Result<Option<file::Model>, StoreError> {
        Ok(file::Entity::find_by_id((case.to_string(), id.to_owned())).one(self.db()).await?)
    }

    /// A package that was handed over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn export(&self, case: CaseId, id: &str) -> Result<Option<export::Model>, StoreError> {
        Ok(export::Entity::find_by_id((case.to_string(), id.to_owned())).one(self.db()).await?)
    }

    /// The package for a recipient that was made of a case as it stands, if any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn export_of(&self, case: CaseId, recipient: &str) -> Result<Option<export::Model>, StoreError> {
        Ok(export::Entity::find()
            .filter(export::Column::CaseId.eq(case.to_string()))
            .filter(export::Column::Recipient.eq(recipient))
            .order_by_desc(export::Column::Version)
            .one(self.db())
            .await?)
    }

    /// Keeps a package.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_export(&self, row: export::Model) -> Result<(), StoreError> {
        export::Entity::insert(export::ActiveModel::from(row)).exec_without_returning(self.db()).await?;
        Ok(())
    }

    /// Pins a text by its digest; a text that is pinned already stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pin(&self, kind: &str, name: &str, digest: &str, body: &str) -> Result<(), StoreError> {
        cases::pin(self.db(), kind, name, digest, body).await
    }

    /// A pinned text.
    ///
    /// # Errors
    /// When the database fails, or nothing is pinned under this digest.
    pub async fn pinned(&self, kind: &'static str, digest: &str) -> Result<source::Model, StoreError> {
        let row = source::Entity::find_by_id(digest).one(self.db()).await?;
        row.ok_or_else(|| StoreError::Pinned { kind, digest: digest.to_owned(), problem: "is missing".to_owned() })
    }

    /// The cases whose clock is due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases_due(&self, now_ms: i64, limit: u64) -> Result<Vec<String>, StoreError> {
        let rows =
            case::Entity::find().filter(case::Column::ActsAt.lte(now_ms)).order_by_asc(case::Column::ActsAt).limit(limit).all(self.db()).await?;
        Ok(rows.into_iter().map(|r| r.id).collect())
    }

    /// A setting that belongs to the data.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(super::rows::meta::Entity::find_by_id(key).one(self.db()).await?.map(|r| r.value))
    }

    /// Writes a setting that belongs to the data.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        use super::rows::meta;
        let row = meta::ActiveModel { key: Set(key.to_owned()), value: Set(value.to_owned()) };
        meta::Entity::insert(row)
            .on_conflict(sea_orm::sea_query::OnConflict::column(meta::Column::Key).update_column(meta::Column::Value).to_owned())
            .exec_without_returning(self.db())
            .await?;
        Ok(())
    }
}
