//! `/cases/{id}/notices`: what was told to whom, how far each letter has come, the letter on paper, and another try.

use super::Api;
use super::cases::moment;
use super::files::attachment;
use super::seen::Seen;
use super::views::versioned;
use crate::deliver;
use crate::error::{Problem, ProblemCode, ProblemDocument};
use crate::forms;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, TimeDelta, Utc};
use heyi_engine::case::consequences::Notice;
use heyi_engine::case::event::Who;
use heyi_engine::store::from_ms;
use heyi_engine::store::outbox::TOLD_LATE_HOURS;
use heyi_engine::store::rows::letter;
use serde::Serialize;
use utoipa::ToSchema;

/// A letter to one recipient.
#[derive(Serialize, ToSchema)]
pub struct NoticeView {
    /// Its id, which names the mail's file and Message-ID.
    pub id: String,
    /// The notice of the workflow.
    pub kind: String,
    /// What people call it, if the workflow says.
    pub title: Option<String>,
    /// Its code in the catalogue.
    pub code: Option<String>,
    /// The side, seat or role that is told.
    #[serde(rename = "as")]
    pub as_: Option<String>,
    /// `waiting`, `sending`, `sent` (the mail server has taken it), `delayed` (it has not left for four hours, or a mail server on its
    /// way reports so), `failed` (given up), `bounced`, `cancelled` when called back, or `paper` for a recipient without a mail
    /// address.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was decided.
    pub created_at: String,
    /// When the post took it.
    pub sent_at: Option<String>,
    /// For a notice that must be served: `open` or `done`.
    pub service: Option<&'static str>,
    /// Who and what, for staff and for the recipient.
    pub letter: Option<LetterView>,
    /// Why it has not left, for staff.
    pub problem: Option<String>,
    /// What the post answered, for staff.
    pub proof: Option<String>,
}

/// The letter itself.
#[derive(Serialize, ToSchema)]
pub struct LetterView {
    /// The recipient.
    pub name: String,
    /// The address; none for paper.
    pub email: Option<String>,
    /// The language.
    pub language: String,
    /// The subject.
    pub subject: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// Where it can be had on paper, with its receipt of service.
    pub url: String,
}

/// All letters of a case.
#[derive(Serialize, ToSchema)]
pub struct NoticeList {
    /// The letters, oldest first.
    pub items: Vec<NoticeView>,
}

/// The letters of a case.
#[utoipa::path(get, operation_id = "list_notices", path = "/cases/{id}/notices", tag = "cases", params(("id" = Uuid, Path)),
    responses((status = 200, body = NoticeList), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, seen: Seen) -> Result<Response, Problem> {
    let rows = api.app.engine.store().letters(seen.id).await?;
    let items = rows.into_iter().map(|row| view(&api, &seen, row)).collect();
    Ok(versioned(seen.loaded.case.version, Json(NoticeList { items })))
}

/// A letter on paper, with a receipt of service to be filled in: for staff and for its recipient.
#[utoipa::path(get, operation_id = "print_notice", path = "/cases/{id}/notices/{notice}", tag = "cases",
    params(("id" = Uuid, Path), ("notice" = String, Path, description = "`ID.pdf`", example = "01890a5d-ac96-774b-bcce-b302099a8057.12.0.pdf")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/pdf"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn print(State(api): State<Api>, seen: Seen, Path(ids): Path<(String, String)>) -> Result<Response, Problem> {
    let (_, name) = ids;
    let wanted = name.strip_suffix(".pdf").ok_or_else(Problem::not_found)?;
    let rows = api.app.engine.store().letters(seen.id).await?;
    let row = rows.into_iter().find(|row| row.id == wanted).ok_or_else(Problem::not_found)?;
    // Whoever may not read a letter learns nothing of it here.
    let notice = opened(&seen, &row).filter(|n| readable(&seen, n)).ok_or_else(Problem::not_found)?;
    let pdf = forms::print_notice(&api.app, &seen.rules, &notice)?;
    Ok(attachment("application/pdf", &name, pdf))
}

/// Lets a letter that was given up be tried once more, at once. For staff.
///
/// Who writes to an address that was wrong corrects the person first: a letter goes where it was addressed when it was decided.
#[utoipa::path(post, operation_id = "retry_notice", path = "/cases/{id}/notices/{notice}/retry", tag = "cases",
    params(("id" = Uuid, Path), ("notice" = String, Path, description = "The letter's id", example = "01890a5d-ac96-774b-bcce-b302099a8057.12.0")),
    responses(
        (status = 202, body = NoticeView),
        (status = 403, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json", description = "It was not given up"),
    ))]
pub async fn retry(State(api): State<Api>, seen: Seen, Path(ids): Path<(String, String)>) -> Result<Response, Problem> {
    seen.staff_only(&api)?;
    let (_, id) = ids;
    let store = api.app.engine.store();
    let case = seen.id.to_string();
    let there = store.letter(&case, &id).await?.ok_or_else(Problem::not_found)?;
    if !store.retry_letter(&case, &there.id, api.app.engine.now()).await? {
        return Err(Problem::new(ProblemCode::NotGivenUp));
    }
    tracing::info!(notice = %there.id, "a letter that was given up is tried anew");
    api.app.engine.wake();
    let now = store.letter(&case, &id).await?.ok_or_else(Problem::not_found)?;
    Ok((StatusCode::ACCEPTED, Json(view(&api, &seen, now))).into_response())
}

/// Why a letter wants somebody's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It has not left for [`TOLD_LATE_HOURS`].
    Late,
    /// It was given up.
    GivenUp,
    /// It came back.
    Bounced,
}

/// What is the matter with a letter, if anything.
#[must_use]
pub fn trouble(row: &letter::Model, now: DateTime<Utc>) -> Option<Trouble> {
    let late = now - from_ms(row.created_at) >= TimeDelta::hours(TOLD_LATE_HOURS);
    match row.state.as_str() {
        "waiting" | "sending" if row.attempts > 0 && late => Some(Trouble::Late),
        "failed" => Some(Trouble::GivenUp),
        "bounced" => Some(Trouble::Bounced),
        _ => None,
    }
}

/// The letter, if its case still has the key.
fn opened(seen: &Seen, row: &letter::Model) -> Option<Notice> {
    let bytes = seen.loaded.key.as_ref()?.open(&row.sealed, &row.id).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether the asker may read this letter: staff, and whom it addresses.
fn readable(seen: &Seen, notice: &Notice) -> bool {
    seen.eyes.is_staff() || is_own(seen, notice)
}

/// Whether the asker is who this letter addresses.
fn is_own(seen: &Seen, notice: &Notice) -> bool {
    let me = &seen.actor.account;
    let stands_in = me.stands_in && notice.recipient.as_ == me.role;
    match notice.recipient.who {
        Who::Account(id) => id == me.id || stands_in,
        Who::Person(id) => stands_in || seen.loaded.case.people.get(&id).is_some_and(|p| p.account == Some(me.id)),
        _ => false,
    }
}

fn view(api: &Api, seen: &Seen, row: letter::Model) -> NoticeView {
    let zone = seen.rules.definition.zone;
    let notice = opened(seen, &row);
    let staff = seen.eyes.is_staff();
    let letter = notice.as_ref().filter(|n| readable(seen, n)).map(|n| {
        // Written anew from the frozen data, as a mail even for a recipient without an address.
        let written = deliver::mail(&api.app, &with_address(n)).ok();
        LetterView {
            name: n.recipient.name.clone(),
            email: n.recipient.email.clone(),
            language: n.recipient.language.clone(),
            subject: written.as_ref().map(|m| m.subject.clone()),
            text: written.map(|m| m.text),
            url: format!("/api/v1/cases/{}/notices/{}.pdf", seen.id, row.id),
        }
    });
    let late = trouble(&row, api.app.engine.now()) == Some(Trouble::Late);
    let def = seen.rules.definition.file.notices.get(&row.kind);
    let (seq, index) = place(&row.id);
    let open = seen.loaded.case.unserved.contains_key(&(seq, index));
    NoticeView {
        title: def.and_then(|d| seen.labels(api).text(&d.title)),
        code: def.map(|d| d.code.clone()),
        as_: notice.as_ref().map(|n| n.recipient.as_.clone()),
        service: notice.as_ref().filter(|n| n.required).map(|_| if open { "open" } else { "done" }),
        id: row.id,
        kind: row.kind,
        state: if late { "delayed".to_owned() } else { row.state },
        attempts: row.attempts,
        created_at: moment(from_ms(row.created_at), zone),
        sent_at: row.sent_at.map(|at| moment(from_ms(at), zone)),
        letter,
        problem: row.problem.filter(|_| staff),
        proof: row.proof.filter(|_| staff),
    }
}

fn with_address(notice: &Notice) -> Notice {
    let mut copy = notice.clone();
    copy.recipient.email.get_or_insert_with(String::new);
    copy
}

/// Event and number, out of `{case}.{event}.{number}`.
fn place(id: &str) -> (u64, u32) {
    let mut parts = id.rsplit('.');
    let index = parts.next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX);
    let seq = parts.next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX);
    (seq, index)
}
