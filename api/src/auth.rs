//! Who asks, and what they may see.
//!
//! Here: bearer tokens ([`authenticate`], [`Actor`]) and the eyes with which an account looks at a case ([`Eyes`]). Not
//! here: what somebody may do, which the engine decides, and which cases an account may see, which `rest::seen` asks.

use crate::error::{Language, Problem, ProblemCode, asked_for};
use crate::rest::Api;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use heyi_engine::case::Account;
use heyi_engine::definition::Definition;
use heyi_engine::definition::file::{Class, FieldDef, Of};
use heyi_engine::store::accounts::Token;
use heyi_engine::store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The longest token that is looked up.
const TOKEN_MAX_BYTES: usize = 200;

/// How long an account is known by its token without a look at the database. Who is given a new token is refused with the
/// old one after this at the latest, on every server.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Tokens that are known at most.
const KNOWN_MAX: usize = 4_096;

/// Whose token was shown a moment ago, by the token's digest. Unknown tokens are looked up each time.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<String, (Account, Instant)>>);

impl Known {
    async fn account(&self, store: &Store, token: &str) -> Result<Option<Account>, StoreError> {
        let digest = Token::hash(token);
        let fresh = |(account, since): &(Account, Instant)| (since.elapsed() < KNOWN_FOR).then(|| account.clone());
        if let Some(account) = self.0.lock().ok().and_then(|known| known.get(&digest).and_then(fresh)) {
            return Ok(Some(account));
        }
        // The time is that before the look, so that what changes meanwhile is not believed longer.
        let since = Instant::now();
        let found = store.account_by_token(token).await?;
        if let (Some(account), Ok(mut known)) = (&found, self.0.lock()) {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(digest, (account.clone(), since));
        }
        Ok(found)
    }
}

/// The person or program that asks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The account.
    pub account: Account,
    /// The language to answer in: the header's, else the account's.
    pub language: String,
}

/// The layer in front of `/api/v1`: without a token that somebody was given, nothing is answered.
pub async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let found = match token(request.headers()) {
        None => Ok(None),
        Some(token) => api.known.account(api.app.engine.store(), token).await,
    };
    let account = match found {
        Ok(Some(account)) => account,
        Ok(None) => return Problem::new(ProblemCode::Unauthenticated).into_response(),
        Err(error) => return Problem::from(error).into_response(),
    };
    let own = account.language.clone();
    let language = asked_for(request.headers()).map_or_else(|| own.clone(), str::to_owned);
    request.extensions_mut().insert(Actor { account, language });
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Language(own));
    response
}

/// The bearer token that a request shows, if it shows exactly one.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=TOKEN_MAX_BYTES).contains(&token.len())).then_some(token)
}

impl FromRequestParts<Api> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(ProblemCode::Unauthenticated))
    }
}

/// With which eyes an account looks at a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// Staff of the committee: everything.
    Staff,
    /// A side: everything but the other side's identity and ways to reach it, and others' letters and files.
    Side(String),
    /// A body outside: no personal and no sensitive values.
    Outside,
}

impl Eyes {
    /// The eyes of an account under a workflow; none for a role that the workflow does not know.
    #[must_use]
    pub fn of(definition: &Definition, account: &Account) -> Option<Self> {
        let file = &definition.file;
        match file.roles.get(&account.role) {
            Some(role) if !role.outside => Some(Self::Staff),
            Some(_) => Some(Self::Outside),
            None => file.sides.contains_key(&account.role).then(|| Self::Side(account.role.clone())),
        }
    }

    /// Whether this is staff.
    #[must_use]
    pub fn is_staff(&self) -> bool {
        *self == Self::Staff
    }

    /// Whether a value of this field may be shown.
    #[must_use]
    pub fn see(&self, field: Option<&FieldDef>) -> bool {
        *self != Self::Outside || field.is_some_and(|f| class(f) <= Class::Case)
    }

    /// Whether the people of a side are shown with identity and ways to reach them.
    #[must_use]
    pub fn reach(&self, side: &str) -> bool {
        match self {
            Self::Staff => true,
            Self::Side(own) => own == side,
            Self::Outside => false,
        }
    }
}

/// The class of a field: that of its most confidential part.
fn class(field: &FieldDef) -> Class {
    match &field.of {
        Some(Of::Record(fields)) => fields.values().map(class).fold(field.class, Class::max),
        _ => field.class,
    }
}

/// Whether a condition of the workflow speaks of a value that an outsider may not see.
#[must_use]
pub fn speaks_of_hidden(definition: &Definition, clause: &str) -> bool {
    let hidden = |f: &FieldDef| class(f) > Class::Case;
    let facts = definition.file.facts.iter().filter(|(_, f)| hidden(f)).map(|(name, _)| format!("facts.{name}"));
    let data = definition.kinds.values().flat_map(|k| &k.def.data).filter(|(_, f)| hidden(f)).map(|(name, _)| format!(".{name}"));
    facts
        .chain(data)
        .any(|name| clause.match_indices(&name).any(|(at, _)| !clause[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')))
}
