//! `/cases/{id}/deadlines`: every date, with its explanation.

use super::Api;
use super::seen::Seen;
use super::views::{name_proceedings, versioned};
use crate::error::{Problem, ProblemDocument};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use heyi_engine::store::StoreError;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A deadline that runs, or has run while its proceeding stays where it is.
#[derive(Serialize, ToSchema)]
pub struct DeadlineView {
    /// What people call it.
    pub title: String,
    /// `running`, `paused`, `provisional`, `held` or `fired`.
    pub status: String,
    /// The last day that is still in time; none while paused.
    pub last_day: Option<String>,
    /// The explanation: which run, its start, length and law, each skipped day, pauses, extensions, the calendar's digest.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub explanation: Map<String, Value>,
}

/// All live deadlines of a case.
#[derive(Serialize, ToSchema)]
pub struct DeadlinesView {
    /// The deadlines, by proceeding.
    pub items: Vec<DeadlineView>,
}

/// The deadlines of a case.
#[utoipa::path(get, operation_id = "list_deadlines", path = "/cases/{id}/deadlines", tag = "cases", params(("id" = Uuid, Path)),
    responses((status = 200, body = DeadlinesView), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, seen: Seen) -> Result<Response, Problem> {
    let rows = api.app.engine.store().deadlines(seen.id).await?;
    let labels = seen.labels(&api);
    let items = rows.into_iter().map(|row| {
        let malformed =
            |problem: String| StoreError::Malformed { table: "deadline", row: format!("{}/{}", row.case_id, row.name), column: "body", problem };
        let mut body: Value = serde_json::from_str(&row.body).map_err(|e| malformed(e.to_string()))?;
        name_proceedings(&mut body);
        let Value::Object(explanation) = body else { return Err(malformed("no object".to_owned())) };
        Ok(DeadlineView { title: labels.deadline(&row.name), status: row.status, last_day: row.last_day, explanation })
    });
    let items = items.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(versioned(seen.loaded.case.version, Json(DeadlinesView { items })))
}
