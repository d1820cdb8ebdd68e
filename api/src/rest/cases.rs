//! `/cases`: opening one, and the worklist.

use super::Api;
use super::json::{Body, Fields, Strict};
use super::query::{Params, Steering};
use super::seen::Seen;
use super::views::{ActionView, RefusalView, actions, versioned};
use crate::auth::{Actor, Eyes};
use crate::error::{Problem, ProblemCode, ProblemDocument};
use crate::words::labels::Labels;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header::LOCATION};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use heyi_engine::case::Account;
use heyi_engine::case::decide::Command;
use heyi_engine::case::refusal::Code;
use heyi_engine::definition::{Definition, nearest};
use heyi_engine::ids::{AccountId, CaseId, LegalTime};
use heyi_engine::store::cases::NO_DUE;
use heyi_engine::store::rows::case;
use heyi_engine::store::views::{Worklist, sees_all};
use heyi_engine::store::{from_ms, ms};
use heyi_engine::submit::{Request, SubmitError};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of the worklist, when nothing is asked for.
const LIMIT_DEFAULT: u64 = 20;
/// The longest page of the worklist.
const LIMIT_MAX: u64 = 100;

/// What opens a case.
#[derive(ToSchema)]
pub struct OpenBody {
    /// The workflow.
    #[schema(example = "medical-dispute")]
    pub workflow: String,
    /// Facts that are known already; may be left out.
    #[schema(value_type = Option<Object>)]
    pub facts: Value,
}

impl Body for OpenBody {
    const FIELDS: &'static [&'static str] = &["workflow", "facts"];
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let workflow = fields.required("workflow", "medical-dispute", |json| json.as_str().map(str::to_owned))?;
        Ok(Self { workflow, facts: fields.object("facts")? })
    }
}

/// A case that was opened.
#[derive(Serialize, ToSchema)]
pub struct OpenedView {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: CaseId,
    /// The version.
    pub version: u64,
    /// The state of its root proceeding.
    pub state: String,
    /// The stage that people see.
    pub stage: String,
    /// What the asker can do next.
    pub actions: Vec<ActionView>,
    /// Other cases that name the same person: likely the same dispute, opened before. Only an offer to look.
    pub similar: Vec<SimilarView>,
}

/// A case that may be the same dispute.
#[derive(Serialize, ToSchema)]
pub struct SimilarView {
    /// Its id.
    pub id: String,
    /// Its stage.
    pub stage: String,
}

/// Open a case.
#[utoipa::path(post, operation_id = "open_case", path = "/cases", tag = "cases", request_body = OpenBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again answers with the case it opened")),
    responses(
        (status = 201, body = OpenedView, headers(("Location" = String), ("ETag" = String))),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json", description = "Refused"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json", description = "Wrong input, or a key used with another body"),
    ))]
pub async fn open(State(api): State<Api>, actor: Actor, steering: Steering, Strict(body): Strict<OpenBody>) -> Result<Response, Problem> {
    let engine = &api.app.engine;
    let library = engine.library();
    let Some(installed) = library.workflow(&body.workflow) else {
        let names: Vec<String> = library.workflows().map(|w| w.definition.file.workflow.clone()).collect();
        let near = nearest(&body.workflow, names.iter().map(String::as_str));
        let problem = Problem::new(ProblemCode::UnknownWorkflow).detail("name", name_only(&body.workflow)).maybe("did_you_mean", near);
        return Err(problem.detail("expected", names.join(", ")));
    };
    let definition = installed.definition.clone();
    let command = Command::new("case.open", body.facts);
    let request = Request {
        case: None,
        workflow: Some(body.workflow),
        me: actor.account.clone(),
        command: Some(command),
        key: steering.key,
        expected: None,
        file: None,
    };
    let committed = match api.app.submit("open", request).await {
        Ok(committed) => committed,
        Err(SubmitError::Refused(refusals)) => {
            let code = if refusals.iter().all(|r| r.code == Code::Input) { ProblemCode::Input } else { ProblemCode::Refused };
            let labels = Labels { definition: &definition, words: &api.words, language: &actor.language };
            let eyes = Eyes::of(&definition, &actor.account).unwrap_or(Eyes::Outside);
            return Err(Problem::new(code).refusals(refusals.into_iter().map(|r| RefusalView::of(labels, &eyes, "case.open", r)).collect()));
        }
        Err(other) => return Err(other.into()),
    };
    let id = committed.loaded.case.id.ok_or_else(Problem::not_found)?;
    let seen = Seen::look(&api, actor, id).await?;
    let (version, actions) = actions(&api, &seen).await?;
    let row = &seen.loaded.row;
    let all = Eyes::of(&definition, &seen.actor.account).is_some_and(|eyes| eyes == Eyes::Staff);
    let similar = engine.similar(id, (!all).then_some(&seen.actor.account)).await?;
    let similar = similar.into_iter().map(|row| SimilarView { id: row.id, stage: row.stage }).collect();
    let view = OpenedView { id, version, state: row.state.clone(), stage: row.stage.clone(), actions, similar };
    let mut response = versioned(version, (StatusCode::CREATED, Json(view)));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/cases/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn name_only(name: &str) -> String {
    if name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) { name.to_owned() } else { "…".to_owned() }
}

/// An account, by name.
#[derive(Serialize, ToSchema)]
pub struct AccountView {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: AccountId,
    /// The name that colleagues and parties see.
    pub name: String,
}

impl AccountView {
    /// The account of this id among all.
    #[must_use]
    pub fn find(accounts: &[Account], id: &str) -> Option<Self> {
        accounts.iter().find(|a| a.id.to_string() == id).map(|a| Self { id: a.id, name: a.name.clone() })
    }
}

/// One line of the worklist.
#[derive(Serialize, ToSchema)]
pub struct CaseLine {
    /// Its id.
    pub id: Uuid,
    /// The reference printed on letters.
    pub reference: String,
    /// The workflow.
    pub workflow: String,
    /// The version.
    pub version: u64,
    /// The state of its root proceeding.
    pub state: String,
    /// What people call it.
    pub state_title: String,
    /// The stage.
    pub stage: String,
    /// What people call it.
    pub stage_title: String,
    /// Whether anything in it goes on.
    pub open: bool,
    /// Who holds its first seat.
    pub assignee: Option<AccountView>,
    /// The next last day that is still in time.
    pub due_on: Option<NaiveDate>,
    /// When it was opened.
    pub opened_at: String,
    /// When it was last written.
    pub updated_at: String,
}

/// A page of the worklist.
#[derive(Serialize, ToSchema)]
pub struct CasePage {
    /// The cases, the most urgent first.
    pub items: Vec<CaseLine>,
    /// Where the next page begins; none on the last.
    pub next: Option<String>,
}

/// The worklist: the most urgent cases first.
#[utoipa::path(get, operation_id = "list_cases", path = "/cases", tag = "cases",
    params(
        ("stage" = Option<String>, Query, description = "Only this stage"),
        ("q" = Option<String>, Query, description = "Words that must all occur in facts and names"),
        ("assignee" = Option<Uuid>, Query, description = "Only cases of this account"),
        ("due_before" = Option<String>, Query, description = "A day: only cases with a last day before it; or a moment"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 100, description = "20 when left out"),
    ),
    responses((status = 200, body = CasePage), (status = 400, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, actor: Actor, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["stage", "q", "assignee", "due_before", "cursor", "limit"])?;
    let engine = &api.app.engine;
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let zone = engine.library().workflows().next().map_or(Tz::UTC, |w| w.definition.zone);
    let definitions: Vec<&Arc<Definition>> = engine.library().workflows().map(|w| &w.definition).collect();
    let sees = |d: &&&Arc<Definition>| {
        let eyes = Eyes::of(d, &actor.account);
        eyes.is_some_and(|e| sees_all(&actor.account, !e.is_staff()))
    };
    let all_of: Vec<String> = definitions.iter().filter(sees).map(|d| d.file.workflow.clone()).collect();
    // A search by words that one may not read would tell them all the same.
    if params.text("q").is_some() && definitions.iter().any(|d| Eyes::of(d, &actor.account) == Some(Eyes::Outside)) {
        return Err(Problem::new(ProblemCode::Forbidden));
    }
    let mut ask = Worklist {
        stage: params.text("stage").map(str::to_owned),
        words: params.text("q").map(str::to_owned),
        assignee: params.read("assignee", "an account's id", |t| t.parse::<AccountId>().ok())?.map(|a| a.to_string()),
        due_before: params.read("due_before", "2026-03-02, or 2026-03-02T09:00:00+08:00", |t| before(t, zone))?,
        after: params.read("cursor", "`next` of a page", read_cursor)?,
        limit: limit + 1,
        all_of: all_of.clone(),
    };
    let everything = all_of.len() == definitions.len();
    if everything {
        ask.all_of.clear();
    }
    let mut rows = engine.store().worklist(engine.master(), &ask, (!everything).then_some(&actor.account)).await?;
    let more = u64::try_from(rows.len()).is_ok_and(|n| n > limit);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = if more { rows.last().map(cursor) } else { None };
    let accounts = engine.store().accounts().await?;
    let items = rows.iter().filter_map(|row| line(&api, &actor.language, &accounts, row)).collect();
    Ok(Json(CasePage { items, next }).into_response())
}

fn line(api: &Api, language: &str, accounts: &[Account], row: &case::Model) -> Option<CaseLine> {
    let id: CaseId = row.id.parse().ok()?;
    let installed = api.app.engine.library().workflow(&row.workflow);
    let labels = installed.map(|w| Labels { definition: &w.definition, words: &api.words, language });
    let root = installed.map(|w| w.definition.root.clone()).unwrap_or_default();
    let zone = installed.map_or(Tz::UTC, |w| w.definition.zone);
    let due = (row.due_at != NO_DUE).then(|| (from_ms(row.due_at) - Duration::milliseconds(1)).with_timezone(&zone).date_naive());
    Some(CaseLine {
        id: id.uuid(),
        reference: id.reference(),
        workflow: row.workflow.clone(),
        version: u64::try_from(row.version).unwrap_or(0),
        state_title: labels.map_or_else(|| row.state.clone(), |l| l.state(&root, &row.state)),
        stage_title: labels.map_or_else(|| row.stage.clone(), |l| l.stage(&row.stage)),
        state: row.state.clone(),
        stage: row.stage.clone(),
        open: row.is_open,
        assignee: row.assignee.as_ref().and_then(|a| AccountView::find(accounts, a)),
        due_on: due,
        opened_at: moment(from_ms(row.opened_at), zone),
        updated_at: moment(from_ms(row.updated_at), zone),
    })
}

/// A moment as answers write it: with the workflow's offset.
#[must_use]
pub fn moment(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// The exclusive bound of `due_before`: a last day is over at the next midnight.
fn before(text: &str, zone: Tz) -> Option<i64> {
    match text.parse().ok()? {
        LegalTime::At(at) => Some(ms(at.to_utc())),
        day @ LegalTime::On(_) => Some(ms(day.instant(zone).to_utc()) + 1),
    }
}

fn cursor(row: &case::Model) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", row.due_at, row.id))
}

fn read_cursor(text: &str) -> Option<(i64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (due, id) = text.split_once(':')?;
    Some((due.parse().ok()?, id.parse::<CaseId>().ok()?.to_string()))
}
