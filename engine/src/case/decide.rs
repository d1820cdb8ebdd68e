//! The decision: a command on a case becomes events, or a refusal that says why.
//!
//! Pure: no clock, no I/O, no chance. Here is what a command is, what stands in its way, and what comes of it; `draft` is the
//! decision in the making.

use super::draft::Draft;
use super::event::{Event, Moved, ValueId, What};
use super::refusal::{Code, Refusal, Refusals};
use super::scope::Scope;
use super::{Account, Case, Outside, Rules, act, clock, permit};
use crate::definition::model::{Kind, Transition};
use crate::guard::{Guard, Outcome, Reason};
use crate::ids::{FileId, LegalTime, PersonId, ProceedingId};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// The root of expressions that tells whether a notice was served.
const SERVED: &str = "served";

/// How many automatic steps may follow one command.
pub const MAX_STEPS: u32 = 32;
/// The name of the move by which a parent ends its child.
pub const END: &str = "end";

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// `kind.transition`, `kind.assent`, or one of the engine's own: `case.open`, `case.record`, …
    pub action: String,
    /// Which proceeding; may be left out when exactly one fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proceeding: Option<ProceedingId>,
    /// The input, an object.
    #[serde(default)]
    pub input: Json,
    /// The person acted for.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<PersonId>,
    /// Files that prove what is keyed in for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<FileId>,
    /// When it counts in law; now, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_on: Option<LegalTime>,
}

impl Command {
    /// A command with nothing but its action and input.
    #[must_use]
    pub fn new(action: impl Into<String>, input: Json) -> Self {
        Self { action: action.into(), proceeding: None, input, for_: None, evidence: Vec::new(), effective_on: None }
    }
}

/// A value to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewValue {
    /// Where.
    pub id: ValueId,
    /// The salt of its commitment.
    pub salt: [u8; 32],
    /// The value.
    pub value: Value,
}

/// Events that follow from a command, and the case after them.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The values they set.
    pub values: Vec<NewValue>,
    /// The case with them applied.
    pub case: Case,
}

impl Decision {
    /// The numbers still to be drawn: index of the event, series, year.
    #[must_use]
    pub fn slots(&self) -> Vec<(usize, String, i32)> {
        let numbered = |e: &Event| if let What::Moved(Moved { number: Some(n), .. }) = &e.what { Some((n.series.clone(), n.year)) } else { None };
        self.events.iter().enumerate().filter_map(|(i, e)| numbered(e).map(|(series, year)| (i, series, year))).collect()
    }

    /// Writes a drawn number into its event and into the case.
    pub fn number(&mut self, index: usize, seq: u32, form: &str) {
        let Some(Event { what: What::Moved(moved), .. }) = self.events.get_mut(index) else { return };
        if let Some(number) = &mut moved.number {
            number.seq = seq;
            number.text = form.replace("{year}", &number.year.to_string()).replace("{seq}", &seq.to_string());
            if let Some(p) = self.case.proceedings.get_mut(&moved.proceeding) {
                p.number = Some(number.clone());
            }
        }
    }
}

/// Decides a command.
///
/// # Errors
/// All reasons why not.
pub fn decide(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, command: &Command) -> Result<Decision, Refusals> {
    let mut draft = Draft::new(rules, case.clone(), outside);
    let legal_at = legal_at(rules, outside, command)?;
    let Some((kind, action)) = command.action.split_once('.') else { return Err(unknown_action(rules, &command.action)) };
    let known = match kind {
        "case" => act::CASE_ACTIONS.contains(&action),
        kind => rules.definition.kinds.get(kind).is_some_and(|k| action == "assent" || k.transitions.contains_key(action)),
    };
    if known && case.version > 0 && !case.is_open() && !act::looks_back(&command.action) {
        return Err(vec![Refusal::new(Code::Closed, case.workflow.clone())]);
    }
    if case.version == 0 && command.action != "case.open" {
        // The step from `new` of the root is the case's opening, and is taken by no other name.
        return Err(vec![Refusal::new(Code::Proceeding, rules.definition.root.clone()).detail("reason", "none").unlocked_by("case.open")]);
    }
    if kind == "case" {
        act::case_action(&mut draft, command, action, legal_at)?;
    } else {
        let Some(kind) = rules.definition.kinds.get(kind) else { return Err(unknown_action(rules, &command.action)) };
        if action == "assent" {
            act::assent(&mut draft, command, kind, legal_at)?;
        } else {
            let Some(transition) = kind.transitions.get(action) else { return Err(unknown_action(rules, &command.action)) };
            draft.command(command, kind, transition, legal_at)?;
        }
    }
    draft.settle()?;
    draft.uphold()?;
    Ok(draft.finish())
}

/// The legal moment of a command.
fn legal_at(rules: Rules<'_>, outside: &Outside<'_>, command: &Command) -> Result<LegalTime, Refusals> {
    let now = LegalTime::At(outside.now);
    let at = command.effective_on.unwrap_or(now);
    if now.before(at) {
        return Err(vec![Refusal::new(Code::LegalTime, "future").field("effective_on").detail("latest", outside.now.date_naive().to_string())]);
    }
    let first = rules.calendar.first_day();
    if at.date() < first {
        return Err(vec![Refusal::new(Code::Calendar, "before_first_day").field("effective_on").detail("first_day", first.to_string())]);
    }
    Ok(at)
}

fn unknown_action(rules: Rules<'_>, action: &str) -> Refusals {
    let known: Vec<String> = rules
        .definition
        .kinds
        .values()
        .flat_map(|k| k.transitions.keys().map(|t| format!("{}.{t}", k.name)))
        .chain(act::CASE_ACTIONS.iter().map(|a| format!("case.{a}")))
        .collect();
    let mut refusal = Refusal::new(Code::UnknownAction, action);
    if let Some(near) = crate::definition::nearest(action, known.iter().map(String::as_str)) {
        refusal = refusal.detail("did_you_mean", near);
    }
    vec![refusal]
}

/// Where a transition fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// In a proceeding.
    In(ProceedingId),
    /// It opens one below this parent.
    New(Option<ProceedingId>),
}

impl Target {
    pub(super) fn this(self) -> Option<ProceedingId> {
        if let Self::In(id) = self { Some(id) } else { None }
    }
    pub(super) fn parent(self) -> Option<ProceedingId> {
        if let Self::New(parent) = self { parent } else { None }
    }
}

/// The places where a transition could fire, whether or not it would be allowed.
#[must_use]
pub fn targets(case: &Case, kind: &Kind, transition: &Transition) -> Vec<Target> {
    if !transition.opens {
        return case.proceedings.values().filter(|p| p.kind == kind.name && p.is_open()).map(|p| Target::In(p.id)).collect();
    }
    match &kind.def.of {
        None if case.proceedings.is_empty() => vec![Target::New(None)],
        None => Vec::new(),
        Some(of) => case.proceedings.values().filter(|p| &p.kind == of).map(|p| Target::New(Some(p.id))).collect(),
    }
}

/// What stands in the way of a transition, apart from who acts and what is put in.
#[must_use]
pub fn obstacles(
    rules: Rules<'_>,
    case: &Case,
    kind: &Kind,
    transition: &Transition,
    target: Target,
    side: Option<&str>,
    legal_at: LegalTime,
) -> Refusals {
    let law = transition.def.law.as_deref();
    let mut out = Vec::new();
    match target {
        Target::In(id) => {
            let Some(p) = case.proceedings.get(&id) else { return vec![Refusal::new(Code::Proceeding, kind.name.clone())] };
            if !p.is_open() || !transition.from.contains(p.state()) {
                let from: Vec<&str> = transition.from.iter().map(String::as_str).collect();
                let leading = kind.transitions.values().filter(|t| t.to.as_ref().is_some_and(|to| transition.from.contains(to)) && t.by_people());
                let mut refusal = Refusal::new(Code::State, p.state()).detail("wanted", from.join(", ")).law(law);
                refusal.unlocked_by = leading.map(|t| format!("{}.{}", kind.name, t.name)).collect();
                return vec![refusal];
            }
            let taken = p.timeline.times(&transition.name);
            if transition.def.at_most.is_some_and(|most| taken >= most as usize) {
                out.push(Refusal::new(Code::Limit, format!("{}.{}", kind.name, transition.name)).detail("taken", taken.to_string()).law(law));
            }
            if legal_at.before(p.last().legal_at) {
                let last = p.last().legal_at.to_string();
                out.push(Refusal::new(Code::LegalTime, "before_last_step").field("effective_on").detail("earliest", last));
            }
        }
        Target::New(parent) => {
            let open = case.proceedings.values().find(|p| p.kind == kind.name && p.parent == parent && kind.limit.iter().any(|s| s == p.state()));
            if let Some(open) = open {
                out.push(Refusal::new(Code::Limit, kind.name.clone()).detail("proceeding", open.id.to_string()).law(law));
            }
            let parent_ended = parent.and_then(|id| case.proceedings.get(&id)).is_some_and(|p| !p.is_open());
            // What only a `then` step opens follows from the very step that ends the parent.
            if parent_ended && !kind.def.outlives && transition.when.is_none() && !transition.def.by.is_empty() {
                out.push(Refusal::new(Code::Closed, kind.def.of.clone().unwrap_or_default()).law(law));
            }
        }
    }
    let scope = Scope { this: target.this(), parent: target.parent(), side, ..Scope::of(rules, case, ProceedingId(0), legal_at) };
    if let Some(when) = &transition.when {
        out.extend(failing(when, &scope, kind, rules, Code::Guard, law));
    }
    if let Some(needs) = &transition.def.needs {
        for paper in &needs.papers {
            let own = rules.definition.file.papers.get(paper).is_some_and(|p| p.of == kind.name);
            let there = case.files.iter().any(|f| f.paper.as_ref() == Some(paper) && (!own || Some(f.proceeding) == target.this()));
            if !there {
                let law = rules.definition.file.papers.get(paper).and_then(|p| p.law.as_deref()).or(law);
                out.push(Refusal::new(Code::Paper, paper.clone()).unlocked_by("case.file").law(law));
            }
        }
        for purpose in &needs.consents {
            let parties: Vec<PersonId> = case.people.values().filter(|p| p.party && !is_unit(case, p.id)).map(|p| p.id).collect();
            let missing: Vec<String> = parties.iter().filter(|p| !case.consents.contains(&(**p, purpose.clone()))).map(ToString::to_string).collect();
            if parties.is_empty() || !missing.is_empty() {
                let law = rules.definition.file.consents.get(purpose).and_then(|p| p.law.as_deref()).or(law);
                let unlock = if parties.is_empty() { "case.person" } else { "case.consent" };
                out.push(Refusal::new(Code::Consent, purpose.clone()).detail("people", missing.join(", ")).unlocked_by(unlock).law(law));
            }
        }
        for seat in needs.seats.iter().filter(|s| case.holder(s, target.this()).is_none()) {
            let mut refusal = Refusal::new(Code::Seat, seat.clone()).law(law);
            refusal.unlocked_by = permit::seated_by(rules, seat);
            out.push(refusal);
        }
    }
    if let Some(name) = &transition.def.within {
        let near = target.this().or(target.parent());
        let in_time = match clock::find(rules, case, near, name) {
            Some(run) => run.is_paused() || run.last_day().is_some_and(|day| legal_at.date() <= day),
            None => false,
        };
        if !in_time {
            let last = clock::find(rules, case, near, name).and_then(|r| r.last_day());
            let mut refusal = Refusal::new(Code::Deadline, name.clone()).law(law);
            if let Some(day) = last {
                refusal = refusal.detail("last_day", day.to_string());
            }
            out.push(refusal);
        }
    }
    out
}

/// Organisations do not consent to the handling of personal data about themselves.
fn is_unit(case: &Case, person: PersonId) -> bool {
    let kind = case.people.get(&person).and_then(|p| p.data.get("unit")).and_then(|id| case.vault.get(id));
    kind == Some(&Value::Bool(true))
}

/// The clauses of a guard that do not hold, each with what would unlock it.
pub(super) fn failing(guard: &Guard, scope: &Scope<'_>, kind: &Kind, rules: Rules<'_>, code: Code, law: Option<&str>) -> Refusals {
    let mut out = Vec::new();
    for clause in guard.clauses() {
        let outcome = clause.eval(scope);
        if outcome.is_true() {
            continue;
        }
        let mut refusal = Refusal::new(code, clause.source()).law(law);
        if let Outcome::Unknown { missing, reason } = &outcome {
            refusal = refusal.detail("missing", missing.join(", "));
            if *reason == Reason::Erased {
                refusal = refusal.detail("erased", "true");
            }
        }
        let mut unlock = BTreeSet::new();
        let reads = clause.reads();
        let unserved = reads.iter().filter(|p| p[0] == SERVED).filter_map(|p| p.get(1));
        let unserved: Vec<&str> = unserved.filter(|n| scope.case.was_served(n, scope.this) != Some(true)).map(String::as_str).collect();
        if !unserved.is_empty() {
            refusal = refusal.detail("unserved", unserved.join(", "));
        }
        for path in reads {
            match (path.first().map(String::as_str), path.get(1)) {
                (Some("facts"), _) => drop(unlock.insert("case.record".to_owned())),
                (Some(SERVED), _) => drop(unlock.insert("case.serve".to_owned())),
                (Some("input"), Some(field)) => refusal.field = Some(format!("input.{field}")),
                (Some("this"), Some(word)) if word == "parent" => {
                    // The parent's steps into a state that the clause names.
                    let parent = kind.def.of.as_ref().and_then(|of| rules.definition.kinds.get(of));
                    let named = |t: &&Transition| t.to.as_ref().is_some_and(|to| clause.source().contains(&format!("'{to}'"))) && t.by_people();
                    unlock.extend(parent.into_iter().flat_map(|k| k.transitions.values().filter(named).map(|t| format!("{}.{}", k.name, t.name))));
                }
                (Some("this"), Some(datum)) => unlock.extend(
                    kind.transitions
                        .values()
                        .filter(|t| t.def.sets.contains_key(datum) && t.by_people())
                        .map(|t| format!("{}.{}", kind.name, t.name)),
                ),
                (Some(other), _) => {
                    if let Some(other) = rules.definition.kinds.get(other) {
                        unlock.extend(other.transitions.values().filter(|t| t.by_people()).map(|t| format!("{}.{}", other.name, t.name)));
                    }
                }
                _ => {}
            }
        }
        if code == Code::Guard {
            refusal.unlocked_by = unlock.into_iter().collect();
        }
        out.push(refusal);
    }
    out
}

/// Chooses where a command's transition fires.
pub(super) fn choose(case: &Case, kind: &Kind, transition: &Transition, command: &Command) -> Result<Target, Refusals> {
    let all = targets(case, kind, transition);
    let unfit = |detail: &str| {
        let mut refusal = Refusal::new(Code::Proceeding, kind.name.clone()).field("proceeding").detail("reason", detail);
        if detail == "none" && !transition.opens {
            refusal.unlocked_by =
                kind.transitions.values().filter(|t| t.opens && t.by_people()).map(|t| format!("{}.{}", kind.name, t.name)).collect();
        }
        vec![refusal]
    };
    if let Some(wanted) = command.proceeding {
        let fits = |t: &&Target| match t {
            Target::In(id) => *id == wanted,
            Target::New(parent) => *parent == Some(wanted),
        };
        return all.iter().find(fits).copied().ok_or_else(|| unfit("not_there"));
    }
    let in_state = |t: &&Target| match t {
        Target::In(id) => transition.from.contains(case.proceedings[id].state()),
        Target::New(parent) => parent.is_none_or(|id| case.proceedings[&id].is_open()),
    };
    let fitting: Vec<&Target> = all.iter().filter(in_state).collect();
    match (fitting.as_slice(), all.as_slice()) {
        ([one], _) => Ok(**one),
        ([], [one]) => Ok(*one),
        ([], []) => Err(unfit("none")),
        ([], many) => Ok(many[many.len() - 1]),
        _ => Err(unfit("several")),
    }
}

/// What expressions see of an account.
#[must_use]
pub fn account_value(account: &Account) -> Value {
    let mut record = BTreeMap::from([("id".to_owned(), Value::Text(account.id.to_string())), ("role".to_owned(), Value::Text(account.role.clone()))]);
    if let Some(organisation) = &account.organisation {
        record.insert("organisation".to_owned(), Value::Text(organisation.clone()));
    }
    Value::Record(record)
}
