//! Outside `/api/v1`, for whoever runs the server and for whoever checks a package: no token is needed.

use super::Api;
use crate::error::{Problem, ProblemCode, ProblemDocument};
use crate::sandbox;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use heyi_engine::submit::Engine;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How long the database may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// That all is well.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: &'static str,
}

/// Whether the process is alive.
#[utoipa::path(get, operation_id = "health", path = "/healthz", tag = "operation", security(()), responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether it can work: the database answers, and a training room has its tokens.
#[utoipa::path(get, operation_id = "readiness", path = "/readyz", tag = "operation", security(()),
    responses((status = 200, body = Health), (status = 503, body = ProblemDocument, content_type = "application/problem+json", description = "Why not")))]
pub async fn readyz(State(api): State<Api>) -> Result<Json<Health>, Problem> {
    let not_ready = |reason: &str| Problem::new(ProblemCode::NotReady).detail("reason", reason);
    let engine: Engine = api.app.engine.clone();
    // The question runs to its end in its own task; only the waiting has a limit.
    let asked = tokio::spawn(async move { engine.store().meta(crate::state::SANDBOX).await });
    match tokio::time::timeout(READY_WITHIN, asked).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "the database does not answer");
            return Err(not_ready("the database does not answer"));
        }
        Ok(Err(_)) | Err(_) => return Err(not_ready("the database does not answer in time")),
    }
    if api.app.sandbox && !sandbox::tokens_file(&api.app).is_file() {
        return Err(not_ready("the file with the training room's tokens is missing"));
    }
    Ok(Json(Health { status: "ready" }))
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
