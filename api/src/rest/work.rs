//! `/cases/{id}/work`: what has to be done, by whom, until when.

use super::Api;
use super::cases::AccountView;
use super::notices::{Trouble, trouble};
use super::seen::Seen;
use super::views::versioned;
use crate::error::{Problem, ProblemDocument};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use heyi_engine::case::Account;
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
    let mut items: Vec<WorkView> = rows
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
    items.extend(troubles(&api, &seen, &accounts).await?);
    Ok(versioned(seen.loaded.case.version, Json(WorkList { items })))
}

/// Letters that do not arrive are somebody's work, though the case itself stands where it stood: whoever holds its first seat
/// is told, or who records services. A letter that must be served and bounced is work of the case already.
async fn troubles(api: &Api, seen: &Seen, accounts: &[Account]) -> Result<Vec<WorkView>, Problem> {
    let file = &seen.rules.definition.file;
    let case = &seen.loaded.case;
    let seat = file.seats.keys().find_map(|seat| Some((seat.clone(), case.holder(seat, None)?)));
    let server = || file.actions.serve.by.first().cloned().unwrap_or_default();
    let (for_, holder) = seat.map_or_else(|| (server(), None), |(seat, account)| (seat, Some(account.to_string())));
    let labels = seen.labels(api);
    let root = case.root().map_or_else(String::new, |root| root.id.to_string());
    let letters = api.app.engine.store().letters(seen.id).await?;
    let now = api.app.engine.now();
    let item = |row: &heyi_engine::store::rows::letter::Model| {
        let said = match trouble(row, now)? {
            Trouble::Late => "letter_late",
            Trouble::GivenUp => "letter_given_up",
            Trouble::Bounced => return None,
        };
        let name = file.notices.get(&row.kind).and_then(|n| labels.text(&n.title)).unwrap_or_else(|| row.kind.clone());
        Some(WorkView {
            key: format!("letter:{}", row.id),
            proceeding: root.clone(),
            for_title: labels.who(&for_),
            for_: for_.clone(),
            account: holder.as_ref().and_then(|a| AccountView::find(accounts, a)),
            title: format!("{}{name}", api.words.term(&seen.actor.language, said)),
            due: None,
        })
    };
    Ok(letters.iter().filter_map(item).collect())
}
