//! `/cases/{id}`: one case, as the asker may see it.

use super::Api;
use super::cases::{AccountView, moment};
use super::files::visible;
use super::seen::Seen;
use super::views::versioned;
use crate::auth::Eyes;
use crate::error::{Problem, ProblemDocument};
use crate::words::labels::Labels;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use heyi_engine::case::event::{Answer, ValueId, Who};
use heyi_engine::case::{Account, Case, Holding, Person, Proceeding, permit};
use heyi_engine::definition::file::FieldDef;
use heyi_engine::ids::{FileId, PersonId};
use heyi_engine::store::from_ms;
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// A case.
#[derive(Serialize, ToSchema)]
pub struct CaseView {
    /// Its id.
    pub id: Uuid,
    /// The reference printed on letters.
    pub reference: String,
    /// The workflow.
    pub workflow: String,
    /// The digest of the workflow that it runs under.
    pub definition: String,
    /// The version, which is also the entity tag.
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
    /// When it was opened.
    pub opened_at: String,
    /// When it was last written.
    pub updated_at: String,
    /// The facts.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub facts: Facts,
    /// The people of the case.
    pub people: Vec<PersonView>,
    /// The proceedings, oldest first.
    pub proceedings: Vec<ProceedingView>,
    /// Who holds which seat.
    pub seats: BTreeMap<String, SeatView>,
    /// The files that the asker may read.
    pub files: Vec<FileLine>,
}

/// The facts of a case.
#[derive(Serialize)]
pub struct Facts {
    facts: Map<String, Value>,
    fact_labels: BTreeMap<String, String>,
    withheld: Vec<String>,
    erased: Vec<String>,
}

/// Values, and the names of those that are there and not shown.
#[derive(Default)]
struct Shown {
    values: Map<String, Value>,
    withheld: Vec<String>,
    erased: Vec<String>,
}

/// What may be shown of these values; `kept` names those that are kept from the asker whatever their class.
fn shown(seen: &Seen, values: &BTreeMap<String, ValueId>, fields: &IndexMap<String, FieldDef>, kept: impl Fn(&str) -> bool) -> Shown {
    let mut out = Shown::default();
    for (name, id) in values {
        match seen.loaded.case.vault.get(id) {
            _ if kept(name) || !seen.eyes.see(fields.get(name)) => out.withheld.push(name.clone()),
            None => out.erased.push(name.clone()),
            Some(value) => drop(out.values.insert(name.clone(), value.to_json())),
        }
    }
    out
}

/// A person of the case.
#[derive(Serialize, ToSchema)]
pub struct PersonView {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: PersonId,
    /// The side.
    pub side: String,
    /// What people call it.
    pub side_title: String,
    /// A party; else an agent.
    pub party: bool,
    /// Whom an agent acts for; empty means everyone of the side.
    #[schema(value_type = Vec<Uuid>)]
    pub acts_for: Vec<PersonId>,
    /// Until when an agent may act.
    pub until: Option<chrono::NaiveDate>,
    /// The person's own account.
    pub account: Option<Uuid>,
    /// Language of letters.
    pub language: String,
    /// Standing consents that hold.
    pub consents: Vec<String>,
    /// Name, and for those who may see them identity, telephone, address and mail address.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
    /// What is known and not shown.
    pub withheld: Vec<String>,
}

/// What is known of a person and only shown to those who may reach them.
const REACH: [&str; 4] = ["identity", "phone", "address", "email"];

fn person(seen: &Seen, labels: Labels<'_>, person: &Person) -> PersonView {
    let case = &seen.loaded.case;
    let mut data = Map::new();
    let mut withheld = Vec::new();
    for (name, id) in &person.data {
        let hidden = if REACH.contains(&name.as_str()) { !seen.eyes.reach(&person.side) } else { !seen.eyes.see(None) };
        match case.vault.get(id) {
            _ if hidden => withheld.push(name.clone()),
            Some(value) => drop(data.insert(name.clone(), value.to_json())),
            None => {}
        }
    }
    PersonView {
        id: person.id,
        side_title: labels.who(&person.side),
        side: person.side.clone(),
        party: person.party,
        acts_for: person.acts_for.clone(),
        until: person.until,
        account: person.account.map(|a| a.uuid()),
        language: person.language.clone(),
        consents: case.consents.iter().filter(|(p, _)| *p == person.id).map(|(_, purpose)| purpose.clone()).collect(),
        data,
        withheld,
    }
}

/// A proceeding.
#[derive(Serialize, ToSchema)]
pub struct ProceedingView {
    /// Its id.
    #[schema(example = "p2")]
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What people call it.
    pub title: String,
    /// Its parent.
    pub parent: Option<String>,
    /// Its state.
    pub state: String,
    /// What people call it.
    pub state_title: String,
    /// Whether it goes on.
    pub open: bool,
    /// Its outcome, when it has ended.
    pub outcome: Option<String>,
    /// Its number.
    pub number: Option<String>,
    /// Its data.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
    /// Data that are there and not shown.
    pub withheld: Vec<String>,
    /// Data that were erased.
    pub erased: Vec<String>,
    /// Who is asked in the round that it holds, and what was answered.
    pub round: Vec<AskedView>,
    /// Its moves.
    pub timeline: Vec<MomentView>,
    /// Its own seats.
    pub seats: BTreeMap<String, SeatView>,
}

/// One who is asked, with the answers.
#[derive(Serialize, ToSchema)]
pub struct AskedView {
    /// The side, seat or role.
    pub of: String,
    /// What people call it.
    pub title: String,
    /// Each whose answer is wanted.
    pub answers: Vec<AnswerView>,
}

/// An answer, or that it is awaited.
#[derive(Serialize, ToSchema)]
pub struct AnswerView {
    /// A person of the case.
    pub person: Option<Uuid>,
    /// An account.
    pub account: Option<Uuid>,
    /// `given`, `refused` or `withdrawn`; none while awaited.
    #[schema(value_type = Option<String>)]
    pub answer: Option<Answer>,
}

/// A move.
#[derive(Serialize, ToSchema)]
pub struct MomentView {
    /// The event.
    pub seq: u64,
    /// The transition.
    pub transition: String,
    /// The state entered.
    pub state: String,
    /// When in law.
    pub legal_at: String,
    /// When it was written down.
    pub recorded_at: String,
}

/// A seat.
#[derive(Serialize, ToSchema)]
pub struct SeatView {
    /// What people call it.
    pub title: String,
    /// Who holds it now.
    pub holder: Option<AccountView>,
    /// Since when.
    pub since: Option<String>,
}

fn seat(labels: Labels<'_>, accounts: &[Account], name: &str, holdings: &[Holding]) -> SeatView {
    let now = holdings.last().filter(|h| h.to.is_none());
    SeatView {
        title: labels.who(name),
        holder: now.and_then(|h| AccountView::find(accounts, &h.account.to_string())),
        since: now.map(|h| h.from.to_string()),
    }
}

fn proceeding(seen: &Seen, labels: Labels<'_>, accounts: &[Account], p: &Proceeding) -> ProceedingView {
    let fields = seen.rules.definition.kinds.get(&p.kind).map(|k| &k.def.data);
    let none = IndexMap::new();
    let kept = |name: &str| match &seen.eyes {
        Eyes::Side(side) => permit::kept_from(&seen.rules.definition, &seen.loaded.case, p, name, side),
        Eyes::Staff | Eyes::Outside => false,
    };
    let Shown { values, withheld, erased } = shown(seen, &p.data, fields.unwrap_or(&none), kept);
    let answer = |(who, answer): (Option<Who>, Option<Answer>)| AnswerView {
        person: if let Some(Who::Person(id)) = who { Some(id.uuid()) } else { None },
        account: if let Some(Who::Account(id)) = who { Some(id.uuid()) } else { None },
        answer,
    };
    let round = permit::asked(seen.rules.rules(), &seen.loaded.case, p);
    ProceedingView {
        id: p.id.to_string(),
        kind: p.kind.clone(),
        title: labels.kind(&p.kind),
        parent: p.parent.map(|id| id.to_string()),
        state: p.state().to_owned(),
        state_title: labels.state(&p.kind, p.state()),
        open: p.is_open(),
        outcome: p.outcome.clone(),
        number: p.number.as_ref().map(|n| n.text.clone()),
        data: values,
        withheld,
        erased,
        round: round
            .into_iter()
            .map(|asked| AskedView { title: labels.who(&asked.name), answers: asked.answers.into_iter().map(answer).collect(), of: asked.name })
            .collect(),
        timeline: p
            .timeline
            .iter()
            .map(|m| MomentView {
                seq: m.seq,
                transition: m.transition.clone(),
                state: m.state.clone(),
                legal_at: m.legal_at.to_string(),
                recorded_at: m.recorded_at.to_rfc3339(),
            })
            .collect(),
        seats: p.seats.iter().map(|(name, h)| (name.clone(), seat(labels, accounts, &format!("this.{name}"), h))).collect(),
    }
}

/// A file that was handed in.
#[derive(Serialize, ToSchema)]
pub struct FileLine {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: FileId,
    /// The kind of paper; none for other evidence.
    pub paper: Option<String>,
    /// The proceeding it belongs to.
    pub proceeding: String,
    /// Its digest.
    pub sha256: String,
    /// The event.
    pub seq: u64,
}

fn facts(seen: &Seen, labels: Labels<'_>, case: &Case) -> Facts {
    let declared = &seen.rules.definition.file.facts;
    let Shown { values, withheld, erased } = shown(seen, &case.facts, declared, |_| false);
    let fact_labels = declared.iter().filter_map(|(name, def)| Some((name.clone(), labels.field(def)?))).collect();
    Facts { facts: values, fact_labels, withheld, erased }
}

/// One case.
#[utoipa::path(get, operation_id = "read_case", path = "/cases/{id}", tag = "cases", params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = CaseView, headers(("ETag" = String))),
        (status = 404, body = ProblemDocument, content_type = "application/problem+json", description = "No such case, or none that the asker may know of"),
    ))]
pub async fn read(State(api): State<Api>, seen: Seen) -> Result<Response, Problem> {
    let accounts = api.app.engine.store().accounts().await?;
    let files = visible(&api, &seen).await?;
    let labels = seen.labels(&api);
    let (case, row) = (&seen.loaded.case, &seen.loaded.row);
    let definition = &seen.rules.definition;
    let view = CaseView {
        id: seen.id.uuid(),
        reference: seen.id.reference(),
        workflow: case.workflow.clone(),
        definition: definition.digest.clone(),
        version: case.version,
        state: row.state.clone(),
        state_title: labels.state(&definition.root, &row.state),
        stage: row.stage.clone(),
        stage_title: labels.stage(&row.stage),
        open: row.is_open,
        opened_at: moment(from_ms(row.opened_at), definition.zone),
        updated_at: moment(from_ms(row.updated_at), definition.zone),
        facts: facts(&seen, labels, case),
        people: case.people.values().map(|p| person(&seen, labels, p)).collect(),
        proceedings: case.proceedings.values().map(|p| proceeding(&seen, labels, &accounts, p)).collect(),
        seats: definition
            .file
            .seats
            .keys()
            .map(|name| (name.clone(), seat(labels, &accounts, name, case.seats.get(name).map_or(&[], Vec::as_slice))))
            .collect(),
        files: files
            .into_iter()
            .map(|f| FileLine { id: f.id, paper: f.paper.clone(), proceeding: f.proceeding.to_string(), sha256: f.sha256.clone(), seq: f.seq })
            .collect(),
    };
    Ok(versioned(view.version, Json(view)))
}
