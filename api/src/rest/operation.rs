//! Outside `/api/v1`, for whoever runs the server and for whoever checks a package. No token is needed but for `/metrics`.

use super::Api;
use crate::auth::{Eyes, token};
use crate::error::{Problem, ProblemCode, ProblemDocument};
use crate::measure::{self, PROMETHEUS_TEXT};
use crate::ready::{Check, checks};
use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use heyi_engine::store::accounts::Token;
use serde::Serialize;
use utoipa::ToSchema;

/// That all is well.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: &'static str,
}

/// That the server can work.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`
    pub status: &'static str,
    /// Each thing that it needs.
    pub checks: Vec<Check>,
}

/// Whether the process is alive.
#[utoipa::path(get, operation_id = "health", path = "/healthz", tag = "operation", security(()), responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether it can work, and if not, why not.
///
/// Database, durability, migrations, workers, keys, disk, templates; in the training room its tokens too.
#[utoipa::path(get, operation_id = "readiness", path = "/readyz", tag = "operation", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = ProblemDocument, content_type = "application/problem+json", description = "Why not, under `checks`")))]
pub async fn readyz(State(api): State<Api>) -> Result<Response, Problem> {
    let checks = checks(&api.app, &api.limits).await;
    if checks.iter().any(|check| !check.ok) {
        return Err(Problem::not_ready(checks));
    }
    let mut response = Json(Readiness { status: "ready", checks }).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What was counted and what waits, as Prometheus reads it. For staff, and for the token of the setting `metrics_token`.
#[utoipa::path(get, operation_id = "metrics", path = "/metrics", tag = "operation",
    responses(
        (status = 200, description = "Prometheus text; no label names a case or a person", body = String, content_type = "text/plain"),
        (status = 401, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let given = token(&headers).ok_or_else(|| Problem::new(ProblemCode::Unauthenticated))?;
    // Digests are compared, so that the time it takes says nothing about the token.
    let collector = api.app.config.metrics_token.as_deref().is_some_and(|known| !known.is_empty() && Token::hash(known) == Token::hash(given));
    if !collector {
        let account = api.app.engine.store().account_by_token(given).await?.ok_or_else(|| Problem::new(ProblemCode::Unauthenticated))?;
        let staff = api.app.engine.library().workflows().any(|w| Eyes::of(&w.definition, &account).is_some_and(|eyes| eyes.is_staff()));
        if !staff {
            return Err(Problem::new(ProblemCode::Forbidden));
        }
    }
    let mut response = measure::page(&api.app).await.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS_TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// This description.
#[utoipa::path(get, operation_id = "description", path = "/openapi.json", tag = "operation", security(()), responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn openapi(State(api): State<Api>) -> Response {
    let mut response = api.openapi.to_vec().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The key that packages are checked with.
#[utoipa::path(get, operation_id = "public_key", path = "/.well-known/heyi-key.pem", tag = "operation", security(()), responses((status = 200, body = String, content_type = "application/x-pem-file")))]
pub async fn key(State(api): State<Api>) -> Response {
    let mut response = api.app.key.public().to_pem().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
    response
}
