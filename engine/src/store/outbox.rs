//! The outbox: letters, and commands for other cases, wait here from the commit that decided them until they have left.
//!
//! A lease is a conditional update, so that it works alike on both databases; its token fences off a worker that slept
//! past its end. Progress here never moves a case's version.

use super::rows::{errand, letter};
use super::seal::{SealKey, random};
use super::{Store, StoreError, cases, ms};
use crate::case::consequences::{Errand, Notice};
use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// How long a worker may hold a letter.
pub const LEASE_SECONDS: i64 = 120;
/// Minutes to wait after each temporary failure; the last repeats until [`GIVE_UP_DAYS`] have passed.
pub const RETRY_MINUTES: [i64; 7] = [2, 5, 10, 15, 30, 60, 120];
/// Hours after which the mediator is told of a letter that has not left.
pub const TOLD_LATE_HOURS: i64 = 4;
/// Days after which a letter is given up.
pub const GIVE_UP_DAYS: i64 = 5;

/// A letter on lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The letter.
    pub notice: Notice,
    /// The case.
    pub case_id: String,
    /// Proves the lease.
    pub lease: String,
    /// Attempts before this one.
    pub attempts: i64,
    /// When it was decided.
    pub created_at: i64,
}

/// How an attempt went.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// The server, or the folder, took it.
    Delivered {
        /// What it said.
        proof: String,
    },
    /// It may go later.
    Temporary {
        /// Why, without personal data.
        problem: String,
    },
    /// It never will.
    Permanent {
        /// Why, without personal data.
        problem: String,
    },
}

impl Attempt {
    /// How it went, in one word.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Temporary { .. } => "temporary",
            Self::Permanent { .. } => "permanent",
        }
    }
}

impl Store {
    /// Leases the letters that are due, oldest first.
    ///
    /// # Errors
    /// When the database fails, or a letter cannot be opened.
    pub async fn lease_letters(&self, master: &SealKey, now: DateTime<Utc>, most: u64) -> Result<Vec<Leased>, StoreError> {
        let now_ms = ms(now);
        let due = Condition::any()
            .add(Condition::all().add(letter::Column::State.eq("waiting")).add(letter::Column::NextAt.lte(now_ms)))
            .add(Condition::all().add(letter::Column::State.eq("sending")).add(letter::Column::LeasedUntil.lte(now_ms)));
        let rows = letter::Entity::find()
            .filter(due)
            .order_by_asc(letter::Column::NextAt)
            .order_by_asc(letter::Column::Id)
            .limit(most)
            .all(self.db())
            .await?;
        let mut out = Vec::new();
        for row in rows {
            let lease: [u8; 12] = random();
            let lease: String = lease.iter().map(|b| format!("{b:02x}")).collect();
            let taken = letter::Entity::update_many()
                .col_expr(letter::Column::State, Expr::value("sending"))
                .col_expr(letter::Column::Lease, Expr::value(lease.clone()))
                .col_expr(letter::Column::LeasedUntil, Expr::value(now_ms + LEASE_SECONDS * 1000))
                .col_expr(letter::Column::Attempts, Expr::col(letter::Column::Attempts).add(1))
                .filter(letter::Column::CaseId.eq(&row.case_id))
                .filter(letter::Column::Id.eq(&row.id))
                .filter(letter::Column::Attempts.eq(row.attempts))
                .filter(letter::Column::State.eq(&row.state))
                .exec(self.db())
                .await?;
            if taken.rows_affected == 0 {
                continue;
            }
            let Some(key) = cases::key(self.db(), master, &row.case_id).await? else {
                self.park(&row.case_id, &row.id, "the case's key was erased").await?;
                continue;
            };
            match key.open(&row.sealed, &row.id).ok().and_then(|bytes| serde_json::from_slice::<Notice>(&bytes).ok()) {
                Some(notice) => out.push(Leased { notice, case_id: row.case_id, lease, attempts: row.attempts, created_at: row.created_at }),
                None => self.park(&row.case_id, &row.id, "the letter cannot be read").await?,
            }
        }
        Ok(out)
    }

    async fn park(&self, case_id: &str, id: &str, problem: &str) -> Result<(), StoreError> {
        letter::Entity::update_many()
            .col_expr(letter::Column::State, Expr::value("failed"))
            .col_expr(letter::Column::Problem, Expr::value(problem))
            .filter(letter::Column::CaseId.eq(case_id))
            .filter(letter::Column::Id.eq(id))
            .exec(self.db())
            .await?;
        Ok(())
    }

    /// Whether the lease of a letter still holds; if so it holds from now on for as long as a new one. Asked right before the letter
    /// is sent: a worker that slept, or was kept by the letters before, does not send what another has taken over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_lease(&self, leased: &Leased, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let renewed = letter::Entity::update_many()
            .col_expr(letter::Column::LeasedUntil, Expr::value(ms(now) + LEASE_SECONDS * 1000))
            .filter(letter::Column::CaseId.eq(&leased.case_id))
            .filter(letter::Column::Id.eq(&leased.notice.id))
            .filter(letter::Column::State.eq("sending"))
            .filter(letter::Column::Lease.eq(&leased.lease))
            .exec(self.db())
            .await?;
        Ok(renewed.rows_affected == 1)
    }

    /// Lets a letter that was given up be tried once more, at once. Should it fail for a reason that may pass and be older than
    /// [`GIVE_UP_DAYS`], it is given up again.
    ///
    /// # Returns
    /// Whether it was given up before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_letter(&self, case_id: &str, id: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let waiting = letter::Entity::update_many()
            .col_expr(letter::Column::State, Expr::value("waiting"))
            .col_expr(letter::Column::NextAt, Expr::value(ms(now)))
            .col_expr(letter::Column::Problem, Expr::value(Option::<String>::None))
            .filter(letter::Column::CaseId.eq(case_id))
            .filter(letter::Column::Id.eq(id))
            .filter(letter::Column::State.eq("failed"))
            .exec(self.db())
            .await?;
        Ok(waiting.rows_affected == 1)
    }

    /// Writes down how an attempt went, if the lease still holds.
    ///
    /// # Returns
    /// Whether it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_letter(&self, leased: &Leased, attempt: &Attempt, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let now_ms = ms(now);
        let update = letter::Entity::update_many()
            .filter(letter::Column::CaseId.eq(&leased.case_id))
            .filter(letter::Column::Id.eq(&leased.notice.id))
            .filter(letter::Column::State.eq("sending"))
            .filter(letter::Column::Lease.eq(&leased.lease))
            .col_expr(letter::Column::Lease, Expr::value(Option::<String>::None))
            .col_expr(letter::Column::LeasedUntil, Expr::value(Option::<i64>::None));
        let update = match attempt {
            Attempt::Delivered { proof } => update
                .col_expr(letter::Column::State, Expr::value("sent"))
                .col_expr(letter::Column::SentAt, Expr::value(now_ms))
                .col_expr(letter::Column::Proof, Expr::value(proof.clone()))
                .col_expr(letter::Column::Problem, Expr::value(Option::<String>::None)),
            Attempt::Temporary { problem } if now_ms - leased.created_at < GIVE_UP_DAYS * 86_400_000 => {
                let step = usize::try_from(leased.attempts).unwrap_or(0).min(RETRY_MINUTES.len() - 1);
                update
                    .col_expr(letter::Column::State, Expr::value("waiting"))
                    .col_expr(letter::Column::NextAt, Expr::value(now_ms + RETRY_MINUTES[step] * 60_000))
                    .col_expr(letter::Column::Problem, Expr::value(problem.clone()))
            }
            Attempt::Temporary { problem } | Attempt::Permanent { problem } => {
                update.col_expr(letter::Column::State, Expr::value("failed")).col_expr(letter::Column::Problem, Expr::value(problem.clone()))
            }
        };
        Ok(update.exec(self.db()).await?.rows_affected == 1)
    }

    /// How many letters have not left yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letters_waiting(&self) -> Result<u64, StoreError> {
        use sea_orm::PaginatorTrait as _;
        Ok(letter::Entity::find().filter(letter::Column::State.is_in(["waiting", "sending"])).count(self.db()).await?)
    }

    /// When the next letter may be tried, for a clock that jumps.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_letter_at(&self) -> Result<Option<i64>, StoreError> {
        let row = letter::Entity::find().filter(letter::Column::State.eq("waiting")).order_by_asc(letter::Column::NextAt).one(self.db()).await?;
        Ok(row.map(|r| r.next_at))
    }

    /// Commands for other cases that are due, oldest first. No lease: each is idempotent by its id, so two who take the
    /// same do it once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn errands_due(&self, master: &SealKey, now: DateTime<Utc>, most: u64) -> Result<Vec<(String, Errand)>, StoreError> {
        let rows = errand::Entity::find()
            .filter(errand::Column::State.eq("waiting"))
            .filter(errand::Column::NextAt.lte(ms(now)))
            .order_by_asc(errand::Column::NextAt)
            .order_by_asc(errand::Column::Id)
            .limit(most)
            .all(self.db())
            .await?;
        let mut out = Vec::new();
        for row in rows {
            let key = cases::key(self.db(), master, &row.case_id).await?;
            let opened = key.and_then(|k| k.open(&row.sealed, &row.id).ok()).and_then(|bytes| serde_json::from_slice::<Errand>(&bytes).ok());
            match opened {
                Some(errand) => out.push((row.case_id, errand)),
                None => self.mark_errand(&row.case_id, &row.id, Some("it cannot be read"), None).await?,
            }
        }
        Ok(out)
    }

    /// Writes down that a command for another case was answered, or that it has to be tried again at a time, or why it is given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mark_errand(&self, case_id: &str, id: &str, problem: Option<&str>, again_at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        let state = match (problem, again_at) {
            (None, _) => "done",
            (Some(_), Some(_)) => "waiting",
            (Some(_), None) => "failed",
        };
        let mut update = errand::Entity::update_many()
            .col_expr(errand::Column::State, Expr::value(state))
            .col_expr(errand::Column::Problem, Expr::value(problem.map(str::to_owned)))
            .col_expr(errand::Column::Attempts, Expr::col(errand::Column::Attempts).add(1))
            .filter(errand::Column::CaseId.eq(case_id))
            .filter(errand::Column::Id.eq(id));
        if let Some(at) = again_at {
            update = update.col_expr(errand::Column::NextAt, Expr::value(ms(at)));
        }
        update.exec(self.db()).await?;
        Ok(())
    }
}
