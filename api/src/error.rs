//! Problems: what went wrong with a request, with one face for everybody (RFC 9457).
//!
//! Here: the stable codes with their status, how faults of the engine become problems, and the layer that writes them in
//! the asker's language. Not here: the words (`templates/words`). No text carries a value that somebody sent, because
//! values are personal data and errors end up in logs.

use crate::forms::FormError;
use crate::ready::Check;
use crate::rest::views::RefusalView;
use crate::words::{LANGUAGES, Words, preferred};
use axum::extract::Request;
use axum::http::header::{ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use heyi_engine::store::StoreError;
use heyi_engine::submit::SubmitError;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, [$($detail:literal),*];)*) => {
        /// The stable codes of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ProblemCode { $($(#[$doc])* $variant,)* }

        impl ProblemCode {
            /// All of them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// As it stands in answers and in the files of words.
            #[must_use]
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name),* } }

            /// The status it is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode { match self { $(Self::$variant => StatusCode::$status),* } }

            /// The names that its text may use.
            #[must_use]
            pub fn names(self) -> &'static [&'static str] { match self { $(Self::$variant => &[$($detail),*]),* } }
        }
    };
}

codes! {
    /// No token, or one that nobody was given.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, [];
    /// May be seen, but not done.
    Forbidden = "forbidden", FORBIDDEN, ["wanted"];
    /// Nothing here, or nothing that the asker may know of.
    NotFound = "not_found", NOT_FOUND, [];
    /// The address is right, the method is not.
    Method = "method", METHOD_NOT_ALLOWED, ["method"];
    /// A parameter of the query.
    BadQuery = "bad_query", BAD_REQUEST, ["name", "reason", "did_you_mean", "expected"];
    /// A header.
    BadHeader = "bad_header", BAD_REQUEST, ["name", "expected"];
    /// No JSON object, or one nested too deeply.
    BadJson = "bad_json", BAD_REQUEST, ["reason", "line", "column"];
    /// A key that stands there twice.
    DuplicateKey = "duplicate_key", BAD_REQUEST, ["name"];
    /// A key that is not known here.
    UnknownField = "unknown_field", BAD_REQUEST, ["name", "did_you_mean", "expected"];
    /// A field that is missing or of the wrong form.
    BadField = "bad_field", BAD_REQUEST, ["name", "reason", "expected"];
    /// A body of the wrong type.
    MediaType = "media_type", UNSUPPORTED_MEDIA_TYPE, ["reason", "expected"];
    /// A body beyond the limit.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, ["limit"];
    /// A body that did not arrive.
    TooSlow = "too_slow", REQUEST_TIMEOUT, [];
    /// The workflow has no such action.
    UnknownAction = "unknown_action", NOT_FOUND, ["name", "did_you_mean"];
    /// No such workflow is installed.
    UnknownWorkflow = "unknown_workflow", UNPROCESSABLE_ENTITY, ["name", "did_you_mean", "expected"];
    /// Input that does not fit its schema.
    Input = "input", UNPROCESSABLE_ENTITY, [];
    /// The rules say no.
    Refused = "refused", CONFLICT, [];
    /// The asker saw another version.
    Version = "version", PRECONDITION_FAILED, ["version"];
    /// The idempotency key was used with another body.
    KeyReused = "key_reused", UNPROCESSABLE_ENTITY, [];
    /// Files have a route of their own.
    Upload = "upload", CONFLICT, ["name"];
    /// Opening has a route of its own.
    Opening = "opening", CONFLICT, ["name"];
    /// Nothing to print or hand over yet.
    NoDocument = "no_document", CONFLICT, [];
    /// A letter that has not been given up is not tried anew.
    NotGivenUp = "not_given_up", CONFLICT, [];
    /// The training room's clock stands before the case's last entry.
    ClockBehind = "clock_behind", CONFLICT, ["latest"];
    /// The case's key is gone.
    Erased = "erased", GONE, [];
    /// The server cannot work yet, or not any more.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, ["reason"];
    /// The answer took too long.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, [];
    /// There is no space left to write; reading goes on.
    Full = "full", INSUFFICIENT_STORAGE, [];
    /// The database does not answer.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, [];
    /// A fault of ours; the log knows more.
    Internal = "internal", INTERNAL_SERVER_ERROR, [];
}

/// What went wrong. A handler returns it; the layer [`face`] writes it.
#[derive(Clone, Debug)]
pub struct Problem {
    code: ProblemCode,
    details: BTreeMap<&'static str, String>,
    refusals: Vec<RefusalView>,
    version: Option<u64>,
    checks: Vec<Check>,
}

impl Problem {
    /// A problem with nothing but its code.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self { code, details: BTreeMap::new(), refusals: Vec::new(), version: None, checks: Vec::new() }
    }

    /// With a word for its text. Never a value that somebody sent.
    #[must_use]
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        debug_assert!(self.code.names().contains(&name), "{name} is not a name of {:?}", self.code);
        self.details.insert(name, value.into());
        self
    }

    /// With a word for its text, if there is one.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.detail(name, value),
            None => self,
        }
    }

    /// With the reasons.
    #[must_use]
    pub fn refusals(mut self, refusals: Vec<RefusalView>) -> Self {
        self.refusals = refusals;
        self
    }

    /// The server cannot work; the checks say why.
    #[must_use]
    pub fn not_ready(checks: Vec<Check>) -> Self {
        let mut problem = Self::new(ProblemCode::NotReady);
        problem.checks = checks;
        problem
    }

    /// The case is at this version.
    #[must_use]
    pub fn version(current: u64) -> Self {
        let mut problem = Self::new(ProblemCode::Version).detail("version", current.to_string());
        problem.version = Some(current);
        problem
    }

    /// A fault of ours: told to the log, not to the asker.
    #[must_use]
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(ProblemCode::Internal)
    }

    /// Nothing here, or nothing to know of.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ProblemCode::NotFound)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Sealed => Self::new(ProblemCode::Erased),
            StoreError::Full => {
                tracing::error!("the database has no space left");
                Self::new(ProblemCode::Full)
            }
            StoreError::Unreachable(problem) => {
                tracing::warn!(%problem, "the database does not answer");
                Self::new(ProblemCode::Unavailable)
            }
            other => Self::internal(&other),
        }
    }
}

impl From<SubmitError> for Problem {
    /// Refusals need the asker's words, so the handler that has them turns those itself.
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::NoCase => Self::not_found(),
            SubmitError::Version { current } => Self::version(current),
            SubmitError::KeyReused => Self::new(ProblemCode::KeyReused),
            SubmitError::NoWorkflow(_) => Self::new(ProblemCode::UnknownWorkflow),
            SubmitError::Store(error) => error.into(),
            SubmitError::Refused(_) => Self::new(ProblemCode::Refused),
            SubmitError::Broken(problem) => Self::internal(&problem),
        }
    }
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::None => Self::new(ProblemCode::NoDocument),
            FormError::Unknown(_) => Self::not_found(),
            FormError::Store(error) => error.into(),
            FormError::Submit(error) => error.into(),
            FormError::Print(problem) => Self::internal(&problem),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A problem document.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `urn:heyi:problem:CODE`
    #[serde(rename = "type")]
    pub type_: String,
    /// Its name in the asker's language.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What it means here.
    pub detail: String,
    /// The stable code.
    pub code: &'static str,
    /// `urn:heyi:request:ID`: the number under which the log has this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Each reason why the rules say no.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalView>,
    /// The rules of law that the reasons rest on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
    /// The version that the case is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Each thing that the server needs, when it is not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// The number of a request, in answers and in the log.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The language of who asks, told by the layer that knows the account.
#[derive(Clone, Debug)]
pub struct Language(pub String);

/// The language that a header asks for.
#[must_use]
pub fn asked_for(headers: &HeaderMap) -> Option<&'static str> {
    headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).and_then(preferred)
}

/// What a library answered in plain text instead of us: it gets the same face.
fn faceless(response: &Response) -> Option<Problem> {
    let status = response.status();
    let code = match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::Method,
        status if status.is_server_error() => ProblemCode::Internal,
        status if status.is_client_error() => ProblemCode::BadQuery,
        _ => return None,
    };
    Some(Problem::new(code))
}

/// What a problem's document takes from the request: the asker's language by header, else by account, else the first.
pub struct Asked {
    language: Option<&'static str>,
    id: Option<RequestId>,
    method: Method,
}

impl Asked {
    /// Reads it off a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let id = request.extensions().get::<RequestId>().cloned();
        Self { language: asked_for(request.headers()), id, method: request.method().clone() }
    }

    /// Writes the problem that a handler answered with, if it did.
    pub fn face(self, words: &Words, mut response: Response) -> Response {
        match response.extensions_mut().remove::<Problem>().or_else(|| faceless(&response)) {
            Some(problem) => written(self, words, problem, &response),
            None => response,
        }
    }
}

fn written(asked: Asked, words: &Words, mut problem: Problem, response: &Response) -> Response {
    let Asked { language, id, method } = asked;
    let known = response.extensions().get::<Language>().map(|l| l.0.clone());
    let language = language.map(str::to_owned).or(known).unwrap_or_else(|| LANGUAGES[0].to_owned());
    if problem.code == ProblemCode::Method {
        problem = problem.detail("method", method.as_str());
    }
    if !problem.checks.is_empty() {
        let wrong = problem.checks.iter().filter_map(|check| check.problem).map(|why| words.phrase(&language, why));
        let reason = wrong.collect::<Vec<_>>().join(if language == "en" { "; " } else { "；" });
        problem = problem.detail("reason", reason);
    }
    let (title, detail) = words.problem(&language, problem.code, &problem.details);
    let mut law: Vec<&str> = problem.refusals.iter().filter_map(|r| r.law.as_deref()).collect();
    law.dedup();
    let document = ProblemDocument {
        type_: format!("urn:heyi:problem:{}", problem.code.name()),
        title,
        status: problem.code.status().as_u16(),
        detail,
        code: problem.code.name(),
        instance: id.map(|id| format!("urn:heyi:request:{}", id.0)),
        law: (!law.is_empty()).then(|| law.join("; ")),
        version: problem.version,
        refusals: problem.refusals,
        checks: problem.checks,
    };
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut written = (problem.code.status(), body).into_response();
    let headers = written.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(language) = HeaderValue::from_str(&language) {
        headers.insert(CONTENT_LANGUAGE, language);
    }
    match problem.code {
        ProblemCode::Unauthenticated => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"heyi\""))),
        ProblemCode::NotReady | ProblemCode::Overloaded | ProblemCode::Unavailable => {
            drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("5")))
        }
        _ => {}
    }
    if let Some(allow) = response.headers().get(ALLOW) {
        headers.insert(ALLOW, allow.clone());
    }
    written
}
