//! `/cases/{id}/documents`: printed forms. For staff and the sides; a body outside receives its package.

use super::Api;
use super::files::attachment;
use super::seen::Seen;
use super::views::versioned;
use crate::auth::Eyes;
use crate::error::{Problem, ProblemDocument};
use crate::forms::{self, FormError, PRINTABLE};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// A document that the case has produced.
#[derive(Serialize, ToSchema)]
pub struct DocumentView {
    /// The form.
    pub kind: String,
    /// What people call it.
    pub title: String,
    /// The rule of law.
    pub law: Option<String>,
    /// The proceeding that produced it.
    pub proceeding: String,
    /// The event that produced it.
    pub seq: i64,
    /// Where it can be had; none for a form without a printer, and for one that a younger one has replaced.
    pub url: Option<String>,
}

/// All documents of a case.
#[derive(Serialize, ToSchema)]
pub struct DocumentList {
    /// The documents, oldest first.
    pub items: Vec<DocumentView>,
}

/// The documents of a case.
#[utoipa::path(get, operation_id = "list_documents", path = "/cases/{id}/documents", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = DocumentList), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, seen: Seen) -> Result<Response, Problem> {
    let rows = if seen.eyes == Eyes::Outside { Vec::new() } else { api.app.engine.store().documents(seen.id).await? };
    let labels = seen.labels(&api);
    let forms = &seen.rules.definition.file.forms;
    let youngest = |form: &str| rows.iter().filter(|r| r.form == form).map(|r| r.seq).max();
    let items = rows
        .iter()
        .map(|row| {
            let def = forms.get(&row.form);
            let printable = PRINTABLE.contains(&row.form.as_str()) && youngest(&row.form) == Some(row.seq);
            DocumentView {
                kind: row.form.clone(),
                title: def.and_then(|d| labels.text(&d.title)).unwrap_or_else(|| row.form.clone()),
                law: def.and_then(|d| d.law.clone()),
                proceeding: format!("p{}", row.proceeding),
                seq: row.seq,
                url: printable.then(|| format!("/api/v1/cases/{}/documents/{}.pdf", seen.id, row.form)),
            }
        })
        .collect();
    Ok(versioned(seen.loaded.case.version, Json(DocumentList { items })))
}

/// A document as PDF.
#[utoipa::path(get, operation_id = "print_document", path = "/cases/{id}/documents/{document}", tag = "documents",
    params(("id" = Uuid, Path), ("document" = String, Path, description = "`KIND.pdf`", example = "agreement.pdf")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/pdf"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn print(State(api): State<Api>, seen: Seen, Path(ids): Path<(String, String)>) -> Result<Response, Problem> {
    let (_, document) = ids;
    let kind = document.strip_suffix(".pdf").filter(|_| seen.eyes != Eyes::Outside).ok_or_else(Problem::not_found)?;
    let pdf = forms::print(&api.app, seen.id, kind).await.map_err(|error| match error {
        FormError::None => Problem::not_found(),
        other => other.into(),
    })?;
    Ok(attachment("application/pdf", &document, pdf))
}
