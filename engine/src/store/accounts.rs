//! Accounts and their tokens. A token is shown once; only its hash is kept.

use super::rows::account;
use super::seal::random;
use super::{Store, StoreError};
use crate::case::{Account, sha256};
use crate::ids::AccountId;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QueryOrder, TransactionTrait as _};

/// A bearer token, as handed to a person once.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new token: 256 random bits.
    #[must_use]
    pub fn generate() -> Self {
        let bytes: [u8; 32] = random();
        Self(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// A token that was handed out before.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The token's text, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(text: &str) -> String {
        sha256(text.as_bytes())
    }
}

impl From<&account::Model> for Account {
    fn from(row: &account::Model) -> Self {
        Self {
            id: row.id.parse().unwrap_or_else(|_| AccountId::new(uuid::Uuid::nil())),
            role: row.role.clone(),
            name: row.name.clone(),
            organisation: row.organisation.clone(),
            email: row.email.clone(),
            language: row.language.clone(),
            stands_in: row.stands_in,
        }
    }
}

/// Under this key stands how often accounts have changed, so that a decision made with older ones is noticed.
const CHANGES: &str = "accounts";

impl Store {
    /// Everyone with an account, and how often accounts had changed by then.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn accounts_as_of(&self) -> Result<(i64, Vec<Account>), StoreError> {
        // First the count: accounts newer than it are noticed, never the other way round.
        let changes = self.account_changes().await?;
        Ok((changes, self.accounts().await?))
    }

    /// How often accounts have changed.
    pub(crate) async fn account_changes(&self) -> Result<i64, StoreError> {
        Ok(self.meta(CHANGES).await?.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Everyone with an account, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        Ok(account::Entity::find().order_by_asc(account::Column::Id).all(self.db()).await?.iter().map(Account::from).collect())
    }

    /// The account that a token belongs to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn account_by_token(&self, token: &str) -> Result<Option<Account>, StoreError> {
        let row = account::Entity::find().filter(account::Column::TokenHash.eq(Token::hash(token))).one(self.db()).await?;
        Ok(row.as_ref().map(Account::from))
    }

    /// Adds an account, or gives a known one a new token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_account(&self, new: &Account, token: &Token) -> Result<(), StoreError> {
        let row = account::ActiveModel {
            id: Set(new.id.to_string()),
            role: Set(new.role.clone()),
            name: Set(new.name.clone()),
            organisation: Set(new.organisation.clone()),
            email: Set(new.email.clone()),
            language: Set(new.language.clone()),
            stands_in: Set(new.stands_in),
            token_hash: Set(Token::hash(token.reveal())),
        };
        let update = [
            account::Column::Role,
            account::Column::Name,
            account::Column::Organisation,
            account::Column::Email,
            account::Column::Language,
            account::Column::StandsIn,
            account::Column::TokenHash,
        ];
        let tx = self.db().begin().await?;
        account::Entity::insert(row)
            .on_conflict(OnConflict::column(account::Column::Id).update_columns(update).to_owned())
            .exec_without_returning(&tx)
            .await?;
        let count = "INSERT INTO meta (key, value) VALUES ('accounts', '1') \
                     ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)";
        tx.execute_unprepared(count).await?;
        tx.commit().await?;
        Ok(())
    }
}
