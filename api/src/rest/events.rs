//! `/cases/{id}/events`: the log.

use super::Api;
use super::query::Params;
use super::seen::Seen;
use super::views::{EventView, versioned};
use crate::error::{Problem, ProblemDocument};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of events, when nothing is asked for.
const LIMIT_DEFAULT: u64 = 100;
/// The longest page of events.
const LIMIT_MAX: u64 = 500;

/// A page of events.
#[derive(Serialize, ToSchema)]
pub struct EventPage {
    /// The events, oldest first.
    pub items: Vec<EventView>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// What happened in a case: ids and commitments, never values.
#[utoipa::path(get, operation_id = "list_events", path = "/cases/{id}/events", tag = "cases",
    params(
        ("id" = Uuid, Path),
        ("after" = Option<u64>, Query, description = "Only events after this number"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500, description = "100 when left out"),
    ),
    responses((status = 200, body = EventPage), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, seen: Seen, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["after", "limit"])?;
    let after = params.read("after", "an event's number", |t| t.parse::<u64>().ok())?.unwrap_or(0);
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let mut events = api.app.engine.store().events(seen.id, after, limit + 1).await?;
    let more = u64::try_from(events.len()).is_ok_and(|n| n > limit);
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = if more { events.last().map(|(event, _)| event.seq) } else { None };
    let items = events.into_iter().map(|(event, hash)| EventView::of(&event, Some(hash))).collect();
    Ok(versioned(seen.loaded.case.version, Json(EventPage { items, next })))
}
