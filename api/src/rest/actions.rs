//! `/cases/{id}/actions`: what can be done, and the one way to do it.

use super::Api;
use super::json::{Body, Fields, Strict, parsed};
use super::query::{MINIMAL, Steering};
use super::seen::{Acting, Seen};
use super::views::{ActionView, EventView, RefusalView, actions, next_actions, versioned};
use crate::error::{Problem, ProblemCode, ProblemDocument};
use crate::state::engine_account;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::Response;
use heyi_engine::case::decide::Command;
use heyi_engine::case::refusal::{Code, Refusal, Refusals};
use heyi_engine::ids::{CaseId, FileId, LegalTime, PersonId, ProceedingId};
use heyi_engine::scenario::FileToStore;
use heyi_engine::store::ms;
use heyi_engine::submit::{Committed, Request, SubmitError};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The most files that one command may name as evidence.
const EVIDENCE_MAX: usize = 50;

/// Everything that the asker could ever do here.
#[derive(Serialize, ToSchema)]
pub struct ActionsView {
    /// The version that this is true of.
    pub version: u64,
    /// The actions, and the steps that happen by themselves with what they wait for.
    pub actions: Vec<ActionView>,
}

/// What can be done in a case.
#[utoipa::path(get, operation_id = "list_actions", path = "/cases/{id}/actions", tag = "actions", params(("id" = Uuid, Path)),
    responses((status = 200, body = ActionsView), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn list(State(api): State<Api>, seen: Seen) -> Result<Response, Problem> {
    up_to_date(&api, &seen).await?;
    let (version, actions) = actions(&api, &seen).await?;
    Ok(versioned(version, Json(ActionsView { version, actions })))
}

/// Lets the clock do first what is due, so that nothing is offered that a deadline has taken away already.
async fn up_to_date(api: &Api, seen: &Seen) -> Result<(), Problem> {
    let engine = &api.app.engine;
    if seen.loaded.row.acts_at.is_none_or(|at| at > ms(engine.now())) || seen.in_time(api).is_err() {
        return Ok(());
    }
    let request = Request { case: Some(seen.id), workflow: None, me: engine_account(), command: None, key: None, expected: None, file: None };
    match api.app.submit("clock", request).await {
        Err(SubmitError::Refused(refusals)) => tracing::error!(case = %seen.id, ?refusals, "a deadline could not fire: the workflow has a fault"),
        Err(other) => return Err(other.into()),
        Ok(_) => {}
    }
    Ok(())
}

/// A step to be taken.
#[derive(ToSchema)]
pub struct ActBody {
    /// Which proceeding; may be left out when exactly one fits.
    #[schema(value_type = Option<String>, example = "p3")]
    pub proceeding: Option<ProceedingId>,
    /// The input, as its schema in `actions` says.
    #[schema(value_type = Option<Object>)]
    pub input: Value,
    /// The person acted for.
    #[schema(rename = "for", value_type = Option<Uuid>)]
    pub for_: Option<PersonId>,
    /// Files that prove what is keyed in for others.
    #[schema(value_type = Option<Vec<Uuid>>)]
    pub evidence: Vec<FileId>,
    /// When it counts in law: a day or a moment; now, when left out.
    #[schema(value_type = Option<String>, example = "2026-03-02")]
    pub effective_on: Option<LegalTime>,
}

impl Body for ActBody {
    const FIELDS: &'static [&'static str] = &["proceeding", "input", "for", "evidence", "effective_on"];
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let files = |json: &Value| json.as_array().filter(|a| a.len() <= EVIDENCE_MAX)?.iter().map(parsed).collect::<Option<Vec<FileId>>>();
        Ok(Self {
            proceeding: fields.optional("proceeding", "p3", parsed)?,
            input: fields.object("input")?,
            for_: fields.optional("for", "a person's id", parsed)?,
            evidence: fields.optional("evidence", "[a file's id, …]", files)?.unwrap_or_default(),
            effective_on: fields.optional("effective_on", "2026-03-02, or 2026-03-02T09:00:00+08:00", parsed)?,
        })
    }
}

/// What a step did.
#[derive(Serialize, ToSchema)]
pub struct ActedView {
    /// The case.
    #[schema(value_type = Uuid)]
    pub id: CaseId,
    /// The version now.
    pub version: u64,
    /// The state of its root proceeding.
    pub state: String,
    /// The stage that people see.
    pub stage: String,
    /// What happened.
    pub events: Vec<EventView>,
    /// What the asker can do next; left out when the answer was to be minimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<ActionView>>,
}

/// Take a step.
#[utoipa::path(post, operation_id = "act", path = "/cases/{id}/actions/{action}", tag = "actions", request_body = ActBody,
    params(
        ("id" = Uuid, Path),
        ("action" = String, Path, description = "As `actions` names it: `mediation.accept`, `case.record`, `agreement.assent`"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again answers with the same events, and nothing happens twice"),
        ("If-Match" = Option<String>, Header, description = "The version that the asker saw"),
        ("Prefer" = Option<String>, Header, description = "`return=minimal`: without what is possible next, which is most of the answer"),
    ),
    responses(
        (status = 200, body = ActedView, headers(("ETag" = String))),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json", description = "No such case, or no such action"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json", description = "Refused by the rules, with every reason"),
        (status = 412, body = ProblemDocument, content_type = "application/problem+json", description = "The case has moved on"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json", description = "Wrong input, or a key used with another body"),
    ))]
pub async fn act(
    State(api): State<Api>,
    Acting(seen): Acting,
    Path(ids): Path<(String, String)>,
    steering: Steering,
    Strict(body): Strict<ActBody>,
) -> Result<Response, Problem> {
    let ((_, action), minimal) = (ids, steering.minimal);
    match action.as_str() {
        "case.file" => return Err(Problem::new(ProblemCode::Upload).detail("name", format!("/api/v1/cases/{}/files", seen.id))),
        "case.open" => return Err(Problem::new(ProblemCode::Opening).detail("name", "/api/v1/cases")),
        _ => {}
    }
    let ActBody { proceeding, input, for_, evidence, effective_on } = body;
    let command = Command { action, proceeding, input, for_, evidence, effective_on };
    let committed = submit(&api, &seen, steering, command, None).await?;
    let actions = if minimal { None } else { Some(next_actions(&api, &seen, &committed.loaded).await?) };
    let row = &committed.loaded.row;
    let view = ActedView {
        id: seen.id,
        version: committed.loaded.case.version,
        state: row.state.clone(),
        stage: row.stage.clone(),
        events: committed.events.iter().map(|e| EventView::of(e, None)).collect(),
        actions,
    };
    let mut response = versioned(view.version, Json(view));
    if minimal {
        response.headers_mut().insert("preference-applied", HeaderValue::from_static(MINIMAL));
    }
    Ok(response)
}

/// Goes through the one door, and turns a refusal into a problem in the asker's words.
///
/// # Errors
/// Why nothing was written.
pub async fn submit(api: &Api, seen: &Seen, steering: Steering, command: Command, file: Option<FileToStore>) -> Result<Committed, Problem> {
    seen.in_time(api)?;
    let action = command.action.clone();
    let expected = steering.expected(seen.loaded.case.version);
    let request =
        Request { case: Some(seen.id), workflow: None, me: seen.actor.account.clone(), command: Some(command), key: steering.key, expected, file };
    match api.app.submit("act", request).await {
        Ok(committed) => Ok(committed),
        Err(SubmitError::Refused(refusals)) => Err(refused(api, seen, &action, refusals)),
        Err(other) => Err(other.into()),
    }
}

fn refused(api: &Api, seen: &Seen, action: &str, refusals: Refusals) -> Problem {
    let labels = seen.labels(api);
    let problem = match refusals.as_slice() {
        [Refusal { code: Code::UnknownAction, details, .. }] => {
            let named = action.len() <= 80 && action.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'));
            let name = if named { action } else { "…" };
            Problem::new(ProblemCode::UnknownAction).detail("name", name).maybe("did_you_mean", details.get("did_you_mean").cloned())
        }
        all if all.iter().all(|r| r.code == Code::Input && !is_rule(seen, action, r)) => Problem::new(ProblemCode::Input),
        _ => Problem::new(ProblemCode::Refused),
    };
    problem.refusals(refusals.into_iter().map(|r| RefusalView::of(labels, &seen.eyes, action, r)).collect())
}

/// Whether wrong input breaks a rule of the workflow (`accepts`), rather than not being what the schema asks for.
fn is_rule(seen: &Seen, action: &str, refusal: &Refusal) -> bool {
    let transition = action.split_once('.').and_then(|(kind, name)| seen.rules.definition.kinds.get(kind)?.transitions.get(name));
    let accepts = transition.and_then(|t| t.accepts.as_ref());
    accepts.is_some_and(|guard| guard.clauses().iter().any(|clause| clause.source() == refusal.what))
}
