//! The shape of a workflow file, as types. The JSON Schema for editors and the structural check come from these.
//!
//! Here: names, nesting, which keys exist and what each means. Not here: whether a name that is used was declared
//! (`check`), nor how guards are read (`crate::guard`). Order of maps is kept: it decides ties.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A text in each of the file's languages.
pub type Localized = BTreeMap<String, String>;

/// A whole workflow file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkflowFile {
    /// Name of the workflow: lower-case words joined by hyphens, the same as its folder.
    pub workflow: String,
    /// What people call it.
    pub title: Localized,
    /// IANA time zone in which days begin and end.
    pub zone: String,
    /// Name of the calendar that counts working days.
    pub calendar: String,
    /// The phases that people see, in order: labels on states, never a second truth.
    pub stages: IndexMap<String, Localized>,
    /// Staff of the body, and bodies outside it.
    pub roles: IndexMap<String, RoleDef>,
    /// The sides of the dispute.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub sides: IndexMap<String, SideDef>,
    /// Places in the case that one account holds, with history.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub seats: IndexMap<String, SeatDef>,
    /// Parameters that a committee may set, each with its default and where it comes from.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub policy: IndexMap<String, PolicyDef>,
    /// The case's own data.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub facts: IndexMap<String, FieldDef>,
    /// Papers that a step may need, handed in as files.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub papers: IndexMap<String, PaperDef>,
    /// Standing consents that a step may need.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub consents: IndexMap<String, ConsentDef>,
    /// Gap-free number series.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub numbers: IndexMap<String, NumberDef>,
    /// The engine's own actions and who may take them.
    pub actions: ActionsDef,
    /// What is told to whom.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub notices: IndexMap<String, NoticeDef>,
    /// Documents that the engine hands to the printer.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub forms: IndexMap<String, FormDef>,
    /// Invariants: what must hold over the states of all proceedings after every commit.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub always: IndexMap<String, AlwaysDef>,
    /// Rights: what every state of a group must offer.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub rights: IndexMap<String, RightDef>,
    /// How running cases of an older version may move to this one; what is not named keeps its state.
    #[serde(default, skip_serializing_if = "MigratesDef::is_empty")]
    pub migrates: MigratesDef,
    /// The proceedings, each a flat state machine.
    pub proceedings: IndexMap<String, KindDef>,
}

/// An invariant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlwaysDef {
    /// The condition, over states and policy alone.
    pub holds: String,
    /// What it says, for people.
    pub title: Localized,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
}

/// A right that must be offered wherever it is due.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RightDef {
    /// What people call it.
    pub title: Localized,
    /// The kind of proceeding in whose states it is due.
    pub of: String,
    /// The states, or a group.
    #[serde(rename = "in")]
    pub in_: Names,
    /// Whose right it is: sides, roles, seats.
    pub by: Vec<String>,
    /// `kind.transition`: any one of these grants it.
    pub actions: Vec<String>,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
}

/// Rules by which a running case moves from an older version of the file to this one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MigratesDef {
    /// `kind.old_state: new_state`
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub states: IndexMap<String, String>,
}

impl MigratesDef {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

/// A role: staff, or a body outside.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleDef {
    /// What people call it.
    pub title: Localized,
    /// May enter, with evidence, what a party or an outside body did in law.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keys_in: bool,
    /// Belongs to a body outside the committee: sees only what concerns it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outside: bool,
}

/// A side of the dispute.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SideDef {
    /// What people call it.
    pub title: Localized,
    /// Whether each party of the side must answer for itself, or one authorised person answers for the side.
    pub speaks: Speaks,
}

/// How a side gives an assent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// Every party of the side answers (or its agent for it).
    Each,
    /// One person of the side answers for all.
    Authorised,
}

/// A seat: held by one account of a role at a time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeatDef {
    /// The role that may hold it.
    pub role: String,
    /// What people call it.
    pub title: Localized,
    /// Roles and seats that its holder may not have at the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart_from: Vec<String>,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
}

/// A policy parameter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDef {
    /// The value where a committee sets none: true or false, a whole number, or a length such as `30 working days`.
    pub default: Literal,
    /// Whether law, practice or our own choice says so.
    pub basis: Basis,
    /// The text it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What people call it.
    pub title: Localized,
}

/// A literal value in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    /// true or false
    Bool(bool),
    /// a whole number
    Int(i64),
    /// a text
    Text(String),
}

impl Literal {
    /// The literal as the source text of an expression.
    #[must_use]
    pub fn source(&self) -> String {
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Text(t) => t.clone(),
        }
    }
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A statute or a judicial interpretation.
    Law,
    /// A local rule or a habit of committees.
    Practice,
    /// A choice of this workflow's authors.
    Ours,
}

/// The names of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeName {
    /// true or false
    Bool,
    /// a whole number
    Int,
    /// an exact decimal number
    Decimal,
    /// CNY, counted in whole 分
    Money,
    /// a day
    Date,
    /// a day and an hour, with offset
    Instant,
    /// text
    Text,
    /// one of the words in `of`
    Enum,
    /// an account whose role is one of `of`
    Staff,
    /// another case of this installation
    Case,
    /// a list whose elements are `of`
    List,
}

/// What a composed type is made of.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Of {
    /// The element type of a list.
    Element(TypeName),
    /// The words of an enum, or the roles of a staff field.
    Words(Vec<String>),
    /// The fields of each record in a list.
    Record(IndexMap<String, FieldDef>),
}

/// How confidential a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Anybody may know.
    Public,
    /// Those who take part in the case.
    #[default]
    Case,
    /// Personal data.
    Personal,
    /// Sensitive personal data: health, identity, minors under fourteen.
    Sensitive,
}

/// A typed field: a fact, a proceeding's datum, or an input.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldDef {
    /// Its type.
    #[serde(rename = "type")]
    pub ty: TypeName,
    /// Words, roles, element or record fields, where the type wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Of>,
    /// How confidential it is.
    #[serde(default)]
    pub class: Class,
    /// An input that may be left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Said in order to settle: nobody may use it as an admission.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_admission: bool,
    /// Kept from the other sides, for a datum of a proceeding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<PrivateDef>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Localized>,
}

/// From whom a datum is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateDef {
    /// The datum of the same proceeding that holds the side whose word it is: beside staff only that side sees it.
    pub to: String,
    /// States in which it is private no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub until: Vec<String>,
}

/// A kind of paper.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaperDef {
    /// The kind of proceeding that such a paper belongs to.
    pub of: String,
    /// What people call it.
    pub title: Localized,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
}

/// A standing consent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentDef {
    /// What people call it.
    pub title: Localized,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
}

/// A number series, one per year.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberDef {
    /// The number's form, with `{year}` and `{seq}`.
    pub form: String,
    /// What people call it.
    pub title: Localized,
}

/// Who may take the engine's own actions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionsDef {
    /// `case.record`: write down facts.
    pub record: ByDef,
    /// `case.person`: write down a person of the case.
    pub person: ByDef,
    /// `case.consent`: give or withdraw a standing consent.
    pub consent: ByDef,
    /// `case.seat`: fill or vacate a seat.
    pub seat: ByDef,
    /// `case.serve`: record that a notice was served.
    pub serve: ByDef,
    /// `case.file`: hand in a file.
    pub file: ByDef,
    /// `case.correct`: give an event another date or another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<ByDef>,
    /// `case.undo`: take an event back, with all that it caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoDef>,
}

/// Who may take an event back, and by which notice those who had been told of it hear.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoDef {
    /// Roles, seats and sides.
    pub by: Vec<String>,
    /// The notice for everyone who had been told.
    pub notice: String,
}

/// Who may act.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByDef {
    /// Roles, seats and sides.
    pub by: Vec<String>,
}

/// A notice.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeDef {
    /// What people call it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub title: Localized,
    /// Its code in the catalogue, as N05.
    pub code: String,
    /// Sides, seats, roles; `applicant` and `other_side` follow the root's datum `applicant`. With `{to: …, when: …}`
    /// only when that holds.
    pub to: Vec<ToDef>,
    /// `required`: a work item waits until each recipient is served or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceDef>,
    /// Its recipients outside the committee may look at the case from then on, as far as outsiders may.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shares: bool,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
    /// What the template may show: name to expression.
    #[serde(default)]
    pub data: IndexMap<String, String>,
    /// A calendar invitation that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<InvitationDef>,
}

/// Who is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ToDef {
    /// Always.
    Always(String),
    /// Only under a condition.
    When(ToWhen),
}

/// Who is told under a condition.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToWhen {
    /// A side, seat or role.
    pub to: String,
    /// The condition, over the proceeding that sends the notice, as it stands before the step.
    pub when: String,
}

impl ToDef {
    /// The side, seat or role.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Always(name) => name,
            Self::When(to) => &to.to,
        }
    }

    /// The condition.
    #[must_use]
    pub fn when(&self) -> Option<&str> {
        match self {
            Self::Always(_) => None,
            Self::When(to) => Some(&to.when),
        }
    }
}

/// Whether a notice must be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceDef {
    /// Each recipient must be served.
    Required,
}

/// A calendar invitation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationDef {
    /// Expression for the instant.
    pub at: String,
    /// Expression for the place.
    pub place: String,
    /// How long it is planned to take.
    pub minutes: u32,
}

/// A printed document.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormDef {
    /// What people call it.
    pub title: Localized,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
    /// What is printed: name to expression.
    pub data: IndexMap<String, String>,
}

/// A kind of proceeding.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KindDef {
    /// The one that opens with the case.
    #[serde(default, skip_serializing_if = "is_false")]
    pub root: bool,
    /// The kind of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// What people call it.
    pub title: Localized,
    /// Stage of all its states that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// How many may run: `one open`, or `{one: [states]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitDef>,
    /// The state that `end: children` takes it to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_as: Option<String>,
    /// Goes on when its parent has ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outlives: bool,
    /// Names for sets of states.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub groups: IndexMap<String, Vec<String>>,
    /// Seats of one proceeding, named `this.SEAT`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub seats: IndexMap<String, SeatDef>,
    /// Its data.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub data: IndexMap<String, FieldDef>,
    /// Its states.
    pub states: IndexMap<String, StateDef>,
    /// Its transitions.
    pub transitions: IndexMap<String, TransitionDef>,
    /// Its deadlines.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub deadlines: IndexMap<String, DeadlineDef>,
}

/// How many of a kind.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LimitDef {
    /// `one open`: no second one while one is open.
    Text(String),
    /// No second one while one is in these states.
    One(LimitStates),
}

/// States that count for a limit.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitStates {
    /// The states.
    pub one: Vec<String>,
}

/// A state.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateDef {
    /// What people call it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub title: Localized,
    /// The stage that people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// An end, and the name of the outcome.
    #[serde(default, rename = "final", skip_serializing_if = "Option::is_none")]
    pub final_: Option<String>,
    /// The work item that stands while the proceeding waits here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkDef>,
    /// A round of assents held while the proceeding waits here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assents: Option<AssentsDef>,
    /// Kinds of proceedings that this state waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_on: Vec<String>,
    /// A wait without end: why, and what looks at it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indefinite: Option<IndefiniteDef>,
}

/// A wait without end.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IndefiniteDef {
    /// Why it has no end.
    pub why: Localized,
    /// The deadline of this proceeding that looks at it again.
    pub review: String,
}

/// A work item.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkDef {
    /// The role or seat that must act.
    #[serde(rename = "for")]
    pub for_: String,
    /// What is to be done.
    pub title: Localized,
}

/// A round of assents.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssentsDef {
    /// Sides, roles and seats that are asked.
    pub of: Vec<String>,
    /// What they are bound to: this proceeding's `data`. A change of it voids what was given.
    pub to: AssentTo,
    /// Whether a consent or a signature is asked.
    #[serde(rename = "as")]
    pub as_: AssentForm,
    /// How long the round stays open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapses: Option<String>,
    /// How long the clock waits for answers given in time and entered late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
}

/// What an assent binds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssentTo {
    /// All data of the proceeding as shown.
    Data,
}

/// The form of an assent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssentForm {
    /// A declared consent.
    Consent,
    /// A signature, seal or fingerprint on paper, or an e-signature.
    Signature,
}

/// One name or several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// One name: a state or a group of states.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Names {
    /// The names as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// A transition.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransitionDef {
    /// What people call it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub title: Localized,
    /// A state, a group, several, or `new`.
    pub from: Names,
    /// A state, or `same`.
    pub to: String,
    /// Roles, seats and sides that may act in law. Without it and without `auto` only `then` and deadlines fire it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// Fires as soon as this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<String>,
    /// The legal moment of an automatic step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
    /// What must already be true. Never mentions `input`; alone decides what is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What the input must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<String>,
    /// Papers and consents that must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<NeedsDef>,
    /// How often it may be taken in one proceeding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// The sides whose position in law it changes; `[]` is nobody's. Left out: every side, where the step ends the root or
    /// draws a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affects: Option<Vec<String>>,
    /// The deadline before whose end the step must be dated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// What the actor must supply.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub input: IndexMap<String, FieldDef>,
    /// Data of the proceeding that the step sets: name to expression.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub sets: IndexMap<String, Literal>,
    /// The number series that gives this step its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Steps in the same commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<StepDef>,
    /// Documents that the step produces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<String>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
    /// Where no law speaks: practice or ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

/// What a step needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeedsDef {
    /// Kinds of papers, handed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub papers: Vec<String>,
    /// Standing consents, of each party.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// Seats that must be held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<String>,
}

/// One step of `then`: exactly one of `end`, `open`, `fire`, `seat`, `vacate`, `send`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepDef {
    /// `children`, or a kind: take every open child, or those of the kind, to its `ends_as`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Open a proceeding of this kind below this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// With `open`: one for each element of this list; `each` is the element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// With `open`: its input, name to expression. With `seat`: the expression for the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<With>,
    /// Fire this transition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fire: Option<String>,
    /// With `fire`: `parent`, or `each KIND`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// With `fire … on each KIND`: only those in these states.
    #[serde(default, rename = "in", skip_serializing_if = "Vec::is_empty")]
    pub in_: Vec<String>,
    /// Fill this seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// Empty this seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vacate: Option<String>,
    /// Send this command, `kind.transition`, to another case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// With `send`: the expression for the other case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// With `send`: what the other case's answer fires here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswersDef>,
}

/// What the answer of another case fires.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswersDef {
    /// The transition when it was done there.
    pub done: String,
    /// The transition when it was refused there.
    pub refused: String,
}

/// What a step passes on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum With {
    /// One expression.
    One(String),
    /// Input fields.
    Fields(IndexMap<String, Literal>),
}

/// A deadline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadlineDef {
    /// What people call it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub title: Localized,
    /// Transitions whose legal day is day 0, and `served(NOTICE)`: the day on which the notice was served. A repeated
    /// start begins a new run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<String>,
    /// With `served(…)`: a run for each recipient, one from the first, or one when the last was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// Instead of `starts` and `length`: the expression for the last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// States in which it lives.
    #[serde(rename = "in")]
    pub in_: Names,
    /// How long: a literal such as `5 working days`, or `policy.NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
    /// Repeats at this length instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// How often it repeats at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// Runs only while this holds; over states and policy alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_while: Option<String>,
    /// `kind.transition: datum`: each such step adds the datum, in the unit of the length.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub extended_by: IndexMap<String, String>,
    /// A last day that is no working day moves to the next one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub roll: bool,
    /// How long the clock waits for papers signed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
    /// Who is warned, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warns: Option<WarnsDef>,
    /// What fires when it is due: the first that is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fires: Vec<String>,
    /// The notice that is sent when it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tells: Option<String>,
    /// The work item when it is due and nothing fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<WorkDef>,
    /// Article of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
    /// Where no law speaks: practice or ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
}

/// Whose service counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A run for each recipient.
    Recipient,
    /// One run, from the first who was served.
    #[default]
    First,
    /// One run, from the last, once all are served.
    Last,
}

/// Warnings of a deadline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarnsDef {
    /// How long before the last day, or which share of the length is used up by then: `5 working days`, `80%`.
    pub before: Vec<String>,
    /// The notice that is sent.
    pub notice: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
