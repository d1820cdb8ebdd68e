//! Query parameters and the headers that steer a command. Each parameter is known, stands there once, and fits.

use super::Api;
use crate::error::{Problem, ProblemCode};
use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use heyi_engine::definition::nearest;
use std::collections::BTreeMap;

/// The header that makes a repeated command harmless.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The header of wishes about the answer.
const PREFER: &str = "prefer";
/// The wish for an answer without what the asker did not ask for.
pub const MINIMAL: &str = "return=minimal";
/// The longest idempotency key.
pub const KEY_MAX_CHARS: usize = 200;

/// All parameters as they came.
pub struct Params(BTreeMap<String, String>, Option<String>);

impl FromRequestParts<Api> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let unreadable = |_| Problem::new(ProblemCode::BadQuery);
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, api).await.map_err(unreadable)?;
        let mut params = BTreeMap::new();
        let mut twice = None;
        for (name, value) in pairs {
            if params.insert(name.clone(), value).is_some() {
                twice = Some(name);
            }
        }
        Ok(Self(params, twice))
    }
}

impl Params {
    /// Refuses what is not among `known`, and what stands there twice.
    ///
    /// # Errors
    /// The parameter.
    pub fn only(self, known: &[&'static str]) -> Result<Self, Problem> {
        if let Some(unknown) = self.0.keys().find(|name| !known.contains(&name.as_str())) {
            let near = nearest(unknown, known.iter().copied());
            let problem = Problem::new(ProblemCode::BadQuery).detail("reason", "unknown").maybe("did_you_mean", near);
            let name = known_name(unknown);
            return Err(problem.maybe("name", name).maybe("expected", (!known.is_empty()).then(|| known.join(", "))));
        }
        match &self.1 {
            Some(name) => Err(Problem::new(ProblemCode::BadQuery).detail("name", name.clone()).detail("reason", "twice")),
            None => Ok(self),
        }
    }

    /// A parameter's text; an empty one counts as left out.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|t| !t.is_empty())
    }

    /// A parameter that must fit when it is there.
    ///
    /// # Errors
    /// What is expected.
    pub fn read<T>(&self, name: &'static str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let wrong = || Problem::new(ProblemCode::BadQuery).detail("name", name).detail("expected", expected);
        self.text(name).map(|text| read(text).ok_or_else(wrong)).transpose()
    }

    /// How many to answer at most.
    ///
    /// # Errors
    /// When it is no number within bounds.
    pub fn limit(&self, default: u64, most: u64) -> Result<u64, Problem> {
        let fits = |text: &str| text.parse().ok().filter(|n| (1..=most).contains(n));
        Ok(self.read("limit", &format!("1 … {most}"), fits)?.unwrap_or(default))
    }
}

/// A name may be anything that somebody typed, so only what looks like one is repeated.
fn known_name(name: &str) -> Option<&str> {
    (name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(name)
}

/// The headers of a command.
pub struct Steering {
    /// `Idempotency-Key`
    pub key: Option<String>,
    /// `Prefer: return=minimal` (RFC 7240): what is possible next is not asked for.
    pub minimal: bool,
    matches: Option<String>,
}

impl FromRequestParts<Api> for Steering {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let expected = format!("1 … {KEY_MAX_CHARS} visible ASCII characters, once");
        let wrong = || Problem::new(ProblemCode::BadHeader).detail("name", "Idempotency-Key").detail("expected", expected.clone());
        let key = once(&parts.headers, IDEMPOTENCY_KEY).map_err(|()| wrong())?;
        if key.as_ref().is_some_and(|k| k.is_empty() || k.len() > KEY_MAX_CHARS || !k.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(wrong());
        }
        let all: Vec<&str> = parts.headers.get_all(IF_MATCH).iter().filter_map(|v| v.to_str().ok()).collect();
        let preferences = parts.headers.get_all(PREFER).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
        let minimal = preferences.map(str::trim).any(|preference| preference.eq_ignore_ascii_case(MINIMAL));
        Ok(Self { key, minimal, matches: (!all.is_empty()).then(|| all.join(",")) })
    }
}

fn once(headers: &HeaderMap, name: &str) -> Result<Option<String>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(|v| Some(v.trim().to_owned())).map_err(|_| ()),
        _ => Err(()),
    }
}

impl Steering {
    /// The version that `If-Match` asks for, where the case is at `current`. A tag that this server never gave matches
    /// no version.
    #[must_use]
    pub fn expected(&self, current: u64) -> Option<u64> {
        let tags: Vec<&str> = self.matches.as_deref()?.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
        if tags.contains(&"*") {
            return None;
        }
        let versions: Vec<u64> = tags.iter().filter_map(|t| t.trim_matches('"').parse().ok()).collect();
        Some(versions.iter().copied().find(|v| *v == current).or(versions.first().copied()).unwrap_or(u64::MAX))
    }
}

/// The entity tag of a version.
#[must_use]
pub fn etag(version: u64) -> String {
    format!("\"{version}\"")
}
