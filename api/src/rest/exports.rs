//! `/cases/{id}/exports`: packages for a court or a notary, handed over by staff.

use super::Api;
use super::cases::moment;
use super::files::attachment;
use super::json::{Body, Fields, Strict};
use super::seen::Seen;
use crate::error::{Problem, ProblemDocument};
use crate::forms;
use crate::package::Recipient;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use heyi_engine::store::{StoreError, from_ms};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// For whom a package is made.
#[derive(ToSchema)]
pub struct ExportBody {
    /// `court` or `notary`.
    #[schema(value_type = String, example = "notary")]
    pub recipient: Recipient,
}

impl Body for ExportBody {
    const FIELDS: &'static [&'static str] = &["recipient"];
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let known = |json: &serde_json::Value| match json.as_str()? {
            "court" => Some(Recipient::Court),
            "notary" => Some(Recipient::Notary),
            _ => None,
        };
        Ok(Self { recipient: fields.required("recipient", "court, notary", known)? })
    }
}

/// A package.
#[derive(Serialize, ToSchema)]
pub struct ExportView {
    /// Its id.
    pub id: String,
    /// For whom.
    pub recipient: String,
    /// Digest of its bytes.
    pub sha256: String,
    /// Size in bytes.
    pub size: usize,
    /// The event of the agreement that it holds.
    pub version: i64,
    /// When it was made.
    pub created_at: String,
    /// Where it can be had.
    pub url: String,
}

/// Make a package. The same agreement for the same recipient gives the same package.
#[utoipa::path(post, operation_id = "make_export", path = "/cases/{id}/exports", tag = "documents", params(("id" = Uuid, Path)), request_body = ExportBody,
    responses(
        (status = 201, body = ExportView, headers(("Location" = String))),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json", description = "Only the committee's staff hands over"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json", description = "There is no agreement in force yet"),
    ))]
pub async fn make(State(api): State<Api>, seen: Seen, Strict(body): Strict<ExportBody>) -> Result<Response, Problem> {
    seen.staff_only(&api)?;
    let (row, bytes) = forms::export(&api.app, seen.id, body.recipient).await?;
    let url = format!("/api/v1/cases/{}/exports/{}", seen.id, row.id);
    let view = ExportView {
        created_at: moment(from_ms(row.created_at), seen.rules.definition.zone),
        id: row.id,
        recipient: row.recipient,
        sha256: row.sha256,
        size: bytes.len(),
        version: row.version,
        url: url.clone(),
    };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&url) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// A package as it was made.
#[utoipa::path(get, operation_id = "read_export", path = "/cases/{id}/exports/{export}", tag = "documents", params(("id" = Uuid, Path), ("export" = Uuid, Path)),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/zip"),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn fetch(State(api): State<Api>, seen: Seen, Path(ids): Path<(String, String)>) -> Result<Response, Problem> {
    seen.staff_only(&api)?;
    let (_, export) = ids;
    let id: Uuid = export.parse().map_err(|_| Problem::not_found())?;
    let row = api.app.engine.store().export(seen.id, &id.to_string()).await?.ok_or_else(Problem::not_found)?;
    let key = seen.loaded.key.as_ref().ok_or(StoreError::Sealed)?;
    let bytes = key.open(&row.sealed, &format!("{}/export/{}", seen.id, row.id))?;
    Ok(attachment("application/zip", &format!("{}-{}.zip", seen.id.reference(), row.recipient), bytes))
}
