//! `/workflows`: what is installed, as the file says it.

use super::Api;
use super::query::Params;
use crate::auth::Actor;
use crate::error::{Problem, ProblemDocument};
use crate::words::labels::Labels;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use heyi_engine::definition::model::{Kind, Step, Transition};
use heyi_engine::definition::{Deadline, Definition};
use heyi_engine::graph::{self as pictures, Format};
use heyi_engine::guard::Guard;
use serde::Serialize;
use utoipa::ToSchema;

/// A name and what people call it.
#[derive(Serialize, ToSchema)]
pub struct Named {
    /// The name.
    pub name: String,
    /// What people call it.
    pub title: String,
}

/// An installed workflow.
#[derive(Serialize, ToSchema)]
pub struct WorkflowLine {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its version: the digest of its canonical form.
    pub digest: String,
    /// Its stages, in order.
    pub stages: Vec<Named>,
}

/// All installed workflows.
#[derive(Serialize, ToSchema)]
pub struct WorkflowList {
    /// The workflows.
    pub items: Vec<WorkflowLine>,
}

/// A workflow.
#[derive(Serialize, ToSchema)]
pub struct WorkflowView {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its version: the digest of its canonical form.
    pub digest: String,
    /// The zone in which its days begin.
    pub zone: String,
    /// The calendar that counts its working days.
    pub calendar: String,
    /// Its stages, in order.
    pub stages: Vec<Named>,
    /// Staff, and bodies outside.
    pub roles: Vec<Named>,
    /// The sides.
    pub sides: Vec<Named>,
    /// The papers.
    pub papers: Vec<Named>,
    /// The facts of a case.
    pub facts: Vec<Named>,
    /// Its kinds of proceedings; the first opens with the case.
    pub kinds: Vec<KindView>,
}

/// A kind of proceeding.
#[derive(Serialize, ToSchema)]
pub struct KindView {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Whether it opens with the case.
    pub root: bool,
    /// The kind of its parent.
    pub of: Option<String>,
    /// Whether it goes on when its parent has ended.
    pub outlives: bool,
    /// Its states.
    pub states: Vec<StateView>,
    /// Its transitions.
    pub transitions: Vec<TransitionView>,
    /// Its deadlines.
    pub deadlines: Vec<DeadlineRuleView>,
}

/// A state.
#[derive(Serialize, ToSchema)]
pub struct StateView {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its stage.
    pub stage: Option<String>,
    /// The outcome, when it is an end.
    #[serde(rename = "final")]
    pub final_: Option<String>,
    /// Who is asked while it lasts.
    pub asks: Vec<String>,
}

/// A transition.
#[derive(Serialize, ToSchema)]
pub struct TransitionView {
    /// Its name.
    pub name: String,
    /// What people call it, if the workflow says.
    pub title: Option<String>,
    /// The states that it leaves; none when it opens the proceeding.
    pub from: Vec<String>,
    /// The state that it enters; none when it stays.
    pub to: Option<String>,
    /// Who acts in law; nobody for a step that happens by itself.
    pub by: Vec<String>,
    /// The condition on which it happens by itself.
    pub auto: Option<String>,
    /// What must already be true.
    pub when: Option<String>,
    /// What the input must satisfy.
    pub accepts: Option<String>,
    /// The deadline within which it must be taken.
    pub within: Option<String>,
    /// Kinds of proceedings that it opens.
    pub opens: Vec<String>,
    /// Transitions that it fires elsewhere.
    pub fires: Vec<String>,
    /// Papers that must be there.
    pub papers: Vec<String>,
    /// Consents that must be there.
    pub consents: Vec<String>,
    /// Who is told.
    pub notices: Vec<String>,
    /// The rule of law.
    pub law: Option<String>,
}

/// A deadline.
#[derive(Serialize, ToSchema)]
pub struct DeadlineRuleView {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// How long: a length, or the committee's parameter.
    pub length: Option<String>,
    /// The transitions that start it.
    pub starts: Vec<String>,
    /// The states in which it lives.
    #[serde(rename = "in")]
    pub in_: Vec<String>,
    /// What happens when it is over.
    pub fires: Vec<String>,
    /// The rule of law.
    pub law: Option<String>,
}

fn stages(labels: Labels<'_>) -> Vec<Named> {
    labels.definition.file.stages.keys().map(|name| Named { title: labels.stage(name), name: name.clone() }).collect()
}

fn line(labels: Labels<'_>) -> WorkflowLine {
    let Definition { file, digest, .. } = labels.definition;
    let title = labels.text(&file.title).unwrap_or_else(|| file.workflow.clone());
    WorkflowLine { name: file.workflow.clone(), title, digest: digest.clone(), stages: stages(labels) }
}

fn transition(labels: Labels<'_>, kind: &Kind, t: &Transition) -> TransitionView {
    let source = |guard: &Option<Guard>| guard.as_ref().map(|g| g.source().to_owned());
    let opens = |step: &Step| if let Step::Open { kind, .. } = step { Some(kind.clone()) } else { None };
    let fires = |step: &Step| if let Step::Fire { transition, .. } = step { Some(transition.clone()) } else { None };
    let needs = t.def.needs.clone().unwrap_or_default();
    TransitionView {
        title: labels.action_title(&format!("{}.{}", kind.name, t.name)),
        name: t.name.clone(),
        from: t.from.iter().cloned().collect(),
        to: t.to.clone(),
        by: t.def.by.clone(),
        auto: source(&t.auto),
        when: source(&t.when),
        accepts: source(&t.accepts),
        within: t.def.within.clone(),
        opens: t.then.iter().filter_map(opens).collect(),
        fires: t.then.iter().filter_map(fires).collect(),
        papers: needs.papers,
        consents: needs.consents,
        notices: t.def.notices.clone(),
        law: t.def.law.clone(),
    }
}

fn deadline(labels: Labels<'_>, d: &Deadline) -> DeadlineRuleView {
    let def = d.def.as_ref();
    DeadlineRuleView {
        name: d.name.clone(),
        title: labels.deadline(&d.name),
        length: def.and_then(|d| d.length.clone().or_else(|| d.every.clone())),
        starts: def.map(|d| d.starts.clone()).unwrap_or_default(),
        in_: d.lives_in.iter().cloned().collect(),
        fires: d.fires.clone(),
        law: def.and_then(|d| d.law.clone()),
    }
}

fn kind(labels: Labels<'_>, kind: &Kind) -> KindView {
    let states = kind.def.states.iter().map(|(name, def)| StateView {
        name: name.clone(),
        title: labels.state(&kind.name, name),
        stage: kind.stage(name).map(str::to_owned),
        final_: def.final_.clone(),
        asks: def.assents.as_ref().map(|a| a.of.clone()).unwrap_or_default(),
    });
    KindView {
        name: kind.name.clone(),
        title: labels.kind(&kind.name),
        root: kind.name == labels.definition.root,
        of: kind.def.of.clone(),
        outlives: kind.def.outlives,
        states: states.collect(),
        transitions: kind.transitions.values().map(|t| transition(labels, kind, t)).collect(),
        deadlines: kind.deadlines.values().map(|d| deadline(labels, d)).collect(),
    }
}

/// What is installed.
#[utoipa::path(get, operation_id = "list_workflows", path = "/workflows", tag = "workflows", responses((status = 200, body = WorkflowList)))]
pub async fn list(State(api): State<Api>, actor: Actor) -> Json<WorkflowList> {
    let all = api.app.engine.library().workflows();
    let items = all.map(|w| line(Labels { definition: &w.definition, words: &api.words, language: &actor.language })).collect();
    Json(WorkflowList { items })
}

/// A workflow: its kinds of proceedings with states, transitions, deadlines and law.
#[utoipa::path(get, operation_id = "read_workflow", path = "/workflows/{name}", tag = "workflows", params(("name" = String, Path, example = "medical-dispute")),
    responses((status = 200, body = WorkflowView), (status = 404, body = ProblemDocument, content_type = "application/problem+json")))]
pub async fn read(State(api): State<Api>, actor: Actor, Path(name): Path<String>) -> Result<Json<WorkflowView>, Problem> {
    let installed = api.app.engine.library().workflow(&name).ok_or_else(Problem::not_found)?;
    let labels = Labels { definition: &installed.definition, words: &api.words, language: &actor.language };
    let file = &labels.definition.file;
    let who = |name: &String| Named { title: labels.who(name), name: name.clone() };
    let mut kinds: Vec<KindView> = labels.definition.kinds.values().map(|k| kind(labels, k)).collect();
    kinds.sort_by_key(|k| !k.root);
    let WorkflowLine { name, title, digest, stages } = line(labels);
    Ok(Json(WorkflowView {
        name,
        title,
        digest,
        zone: file.zone.clone(),
        calendar: file.calendar.clone(),
        stages,
        roles: file.roles.keys().map(who).collect(),
        sides: file.sides.keys().map(who).collect(),
        papers: file.papers.iter().map(|(n, p)| Named { title: labels.text(&p.title).unwrap_or_default(), name: n.clone() }).collect(),
        facts: file.facts.iter().map(|(n, f)| Named { title: labels.field(f).unwrap_or_else(|| n.clone()), name: n.clone() }).collect(),
        kinds,
    }))
}

/// A picture of a workflow: of all its proceedings, or of one kind.
#[utoipa::path(get, operation_id = "draw_workflow", path = "/workflows/{name}/graph.svg", tag = "workflows",
    params(
        ("name" = String, Path, example = "medical-dispute"),
        ("kind" = Option<String>, Query, description = "A kind of proceeding; all of them when left out", example = "mediation"),
        ("language" = Option<String>, Query, description = "A language of the workflow; the asker's when left out", example = "zh-CN"),
    ),
    responses(
        (status = 200, body = String, content_type = "image/svg+xml"),
        (status = 400, body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub async fn graph(State(api): State<Api>, actor: Actor, Path(name): Path<String>, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["kind", "language"])?;
    let installed = api.app.engine.library().workflow(&name).ok_or_else(Problem::not_found)?;
    let definition = &installed.definition;
    let languages: Vec<&str> = definition.file.title.keys().map(String::as_str).collect();
    let named = |text: &str| languages.contains(&text).then(|| text.to_owned());
    let language = params.read("language", &languages.join(", "), named)?.unwrap_or(actor.language);
    let kinds: Vec<&str> = definition.kinds.keys().map(String::as_str).collect();
    let picture = params.read("kind", &kinds.join(", "), |kind| pictures::kind(definition, &language, kind))?;
    let svg = picture.unwrap_or_else(|| pictures::whole(definition, &language)).write(Format::Svg);
    let mut response = svg.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    // Opened by itself a picture is a document, and needs nothing from anywhere.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}
