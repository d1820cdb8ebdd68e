//! `/cases/{id}/work`: what has to be done, by whom, until when.

use super::Api;
use super::cases::AccountView;
use super::seen::Seen;
use super::views::versioned;
use crate::error::{Problem, ProblemDocument};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use heyi_engine::definition::file::Localized;
use serde::Serialize;
use utoipa::ToSchema;

/// Something that somebody has to do.
#[derive(Serialize, ToSchema)]
pub struct WorkView {
    /// Its name within the case.
    pub key: String,
    /// The proceeding.
    pub proceeding: String,
    /// The role or seat.
    #[serde(rename = "for")]
    pub for_: String,
    /// What people call it.
    pub for_title: String,
    /// Who holds that seat.
    pub account: Option<AccountView>,
    /// What is to be done.
    pub title: String,
    /// Until when.
    pub due: Option<String>,
}

/// All open work of a case.
#[derive(Serialize, ToSchema)]
pub struct WorkList {
    /// The items.
    pub items: Vec<WorkView>,
}

/// The open work of a case.
#[utoipa::path(get, operation_id = "list_work", path = "/cases/{id}/work", tag = "cases", params(("id" = Uuid, Path)),
    responses((status = 200, body = WorkList), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, seen: Seen) -> Result<Response, Problem> {
    let store = api.app.engine.store();
    let rows = store.work(seen.id).await?;
    let accounts = store.accounts().await?;
    let labels = seen.labels(&api);
    let items = rows
        .into_iter()
        .map(|row| {
            let title: Localized = serde_json::from_str(&row.title).unwrap_or_default();
            WorkView {
                title: labels.text(&title).unwrap_or_default(),
                for_title: labels.who(&row.for_role),
                account: row.account.as_ref().and_then(|a| AccountView::find(&accounts, a)),
                proceeding: format!("p{}", row.proceeding),
                key: row.key,
                for_: row.for_role,
                due: row.due,
            }
        })
        .collect();
    Ok(versioned(seen.loaded.case.version, Json(WorkList { items })))
}
