//! Wire types that several routes share: refusals, actions, events, proceedings' names. Proceedings are texts such as
//! `p12` everywhere outside the engine.

use super::Api;
use super::seen::Seen;
use crate::auth::{Eyes, speaks_of_hidden};
use crate::error::Problem;
use crate::words::WITHHELD;
use crate::words::labels::Labels;
use axum::response::{IntoResponse, Response};
use heyi_engine::case::event::Event;
use heyi_engine::case::options::ActionOption;
use heyi_engine::case::refusal::{Code, Refusal};
use heyi_engine::ids::PersonId;
use heyi_engine::store::cases::Loaded;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One reason why something is refused, and what would unlock it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefusalView {
    /// The stable code.
    #[schema(value_type = String, example = "guard")]
    pub code: Code,
    /// What fails: a clause, a paper, a role, a field.
    pub what: String,
    /// The field, for wrong input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Further words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Actions that would unlock it.
    pub unlocked_by: Vec<String>,
    /// The rule of law.
    pub law: Option<String>,
    /// For people, in the asker's language.
    pub text: String,
}

impl RefusalView {
    /// A refusal as these eyes may see it.
    #[must_use]
    pub fn of(labels: Labels<'_>, eyes: &Eyes, action: &str, refusal: Refusal) -> Self {
        if *eyes == Eyes::Outside && refusal.code == Code::Guard && speaks_of_hidden(labels.definition, &refusal.what) {
            let Refusal { code, law, .. } = refusal;
            let what = WITHHELD.to_owned();
            return Self { code, what, field: None, details: BTreeMap::new(), unlocked_by: Vec::new(), law, text: labels.withheld() };
        }
        let text = labels.refusal(action, &refusal);
        let Refusal { code, what, field, details, unlocked_by, law } = refusal;
        Self { code, what, field, details, unlocked_by, law, text }
    }
}

/// Something that somebody could do here, or that happens by itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionView {
    /// `kind.transition`, `kind.assent` or `case.…`.
    #[schema(example = "mediation.accept")]
    pub action: String,
    /// What people call it, if the workflow says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where; for a step that opens a proceeding, its parent.
    #[schema(example = "p3")]
    pub proceeding: Option<String>,
    /// Whether it would be accepted now, given right input.
    pub allowed: bool,
    /// Why not.
    pub refusals: Vec<RefusalView>,
    /// JSON Schema of the input.
    #[schema(value_type = Object)]
    pub input: Json,
    /// The rule of law.
    pub law: Option<String>,
    /// It happens by itself as soon as the refusals are gone.
    pub automatic: bool,
    /// The people one may act for.
    #[serde(rename = "for")]
    #[schema(value_type = Vec<Uuid>)]
    pub for_: Vec<PersonId>,
    /// Keyed in for somebody else: `evidence` must name a file.
    pub needs_evidence: bool,
    /// An answer was given already; it may be changed or withdrawn.
    pub answered: bool,
    /// Taken by handing in a file.
    pub upload: bool,
}

impl ActionView {
    fn of(labels: Labels<'_>, eyes: &Eyes, option: ActionOption) -> Self {
        let ActionOption { action, proceeding, allowed, refusals, input, law, automatic, for_, needs_evidence, answered, upload } = option;
        Self {
            title: labels.action_title(&action),
            proceeding: proceeding.map(|p| p.to_string()),
            allowed,
            refusals: refusals.into_iter().map(|r| RefusalView::of(labels, eyes, &action, r)).collect(),
            input,
            law,
            automatic,
            for_,
            needs_evidence,
            answered,
            upload,
            action,
        }
    }
}

/// What the asker can do in a case as it stands.
///
/// # Errors
/// When the database fails.
pub async fn actions(api: &Api, seen: &Seen) -> Result<(u64, Vec<ActionView>), Problem> {
    let (version, options) = api.app.engine.options(seen.id, &seen.actor.account, &seen.actor.language).await?;
    Ok((version, worded(api, seen, options)))
}

/// What the asker can do in a case that a command has just led to.
///
/// # Errors
/// When the database fails.
pub async fn next_actions(api: &Api, seen: &Seen, after: &Loaded) -> Result<Vec<ActionView>, Problem> {
    let options = api.app.engine.options_of(after, &seen.rules, &seen.actor.account, &seen.actor.language).await?;
    Ok(worded(api, seen, options))
}

fn worded(api: &Api, seen: &Seen, options: Vec<ActionOption>) -> Vec<ActionView> {
    let labels = seen.labels(api);
    options.into_iter().map(|option| ActionView::of(labels, &seen.eyes, option)).collect()
}

/// An event: what happened, with ids and commitments, never a person's data.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// The event: `seq`, `recorded_at`, `legal_at`, `acted`, `cause`, `under`, `what`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub event: Map<String, Json>,
    /// Its place in the hash chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl EventView {
    /// An event, with proceedings as texts.
    #[must_use]
    pub fn of(event: &Event, hash: Option<String>) -> Self {
        let mut json = serde_json::to_value(event).unwrap_or_default();
        name_proceedings(&mut json);
        let event = if let Json::Object(map) = json { map } else { Map::new() };
        Self { event, hash }
    }
}

/// Turns the numbers of proceedings into texts, at whatever depth. Events and runs hold no other numbers of these names.
pub fn name_proceedings(json: &mut Json) {
    match json {
        Json::Object(map) => {
            for (key, value) in map.iter_mut() {
                match (key.as_str(), value.as_u64()) {
                    ("proceeding" | "parent", Some(n)) => *value = Json::String(format!("p{n}")),
                    _ => name_proceedings(value),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(name_proceedings),
        _ => {}
    }
}

/// A JSON answer that carries the case's version as its entity tag.
pub fn versioned(version: u64, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    if let Ok(tag) = super::query::etag(version).parse() {
        response.headers_mut().insert(axum::http::header::ETAG, tag);
    }
    response
}
