//! Playing a scenario through a door, step by step, and holding it against what it expects.

use super::file::{Cast, Expect, Scenario, StepFile, seed_of};
use crate::case::consequences::{Notice, WorkItem};
use crate::case::decide::Command;
use crate::case::event::{Event, What};
use crate::case::options::ON_PAPER;
use crate::case::refusal::{Code, Refusals};
use crate::case::{Account, Case, clock};
use crate::definition::Definition;
use crate::definition::model::LINKED_CASE;
use crate::ids::{CaseId, FileId, LegalTime, PersonId, ProceedingId, uuid_v7};
use chrono::{DateTime, FixedOffset};
use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the player asks of a door.
#[derive(Clone, Debug)]
pub struct Request {
    /// The moment.
    pub now: DateTime<FixedOffset>,
    /// The case; none to open one.
    pub case: Option<CaseId>,
    /// Who is at the keyboard.
    pub me: Account,
    /// The command; none when time only passes.
    pub command: Option<Command>,
    /// Names this step, so that a repeated play finds what it did.
    pub key: String,
    /// A file that goes with it.
    pub file: Option<FileToStore>,
}

/// A file to keep.
#[derive(Clone, Debug)]
pub struct FileToStore {
    /// Its id.
    pub id: FileId,
    /// What it is called.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Played {
    /// The case after it.
    pub case: Case,
    /// Events of the clock and of the step.
    pub events: Vec<Event>,
    /// Letters.
    pub notices: Vec<Notice>,
    /// Live deadlines after it.
    pub deadlines: Vec<clock::Run>,
    /// Open work after it.
    pub work: Vec<WorkItem>,
}

/// A way into the engine.
pub trait Door {
    /// Why a step could not even be tried.
    type Error: std::fmt::Display;
    /// Lets time pass, then takes the command.
    ///
    /// # Errors
    /// Inner: refusals. Outer: a fault.
    fn submit(&mut self, request: Request) -> Result<Result<Played, Refusals>, Self::Error>;

    /// The actions that are open to an account in a case that is up to date at `now`.
    ///
    /// # Errors
    /// A fault.
    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, Self::Error>;
}

/// One step, for whoever watches.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub number: usize,
    /// The moment.
    pub at: DateTime<FixedOffset>,
    /// What it did, or why not.
    pub outcome: Result<Played, Refusals>,
    /// What was expected and is not so.
    pub failures: Vec<String>,
}

/// Plays one scenario.
pub struct Player<'a> {
    scenario: &'a Scenario,
    definition: &'a Definition,
    accounts: IndexMap<String, Account>,
    case: Option<CaseId>,
    state: Option<Case>,
    people: BTreeMap<String, PersonId>,
    files: BTreeMap<String, FileId>,
    /// The last event of each name that a step may call by `$event.NAME`.
    events: BTreeMap<String, u64>,
    next: usize,
}

impl<'a> Player<'a> {
    /// A player at the beginning.
    #[must_use]
    pub fn new(scenario: &'a Scenario, definition: &'a Definition, accounts: &'a IndexMap<String, Account>) -> Self {
        let mut accounts = accounts.clone();
        accounts.entry(LINKED_CASE.to_owned()).or_insert_with(Cast::linked_case);
        Self {
            scenario,
            definition,
            accounts,
            case: None,
            state: None,
            people: BTreeMap::new(),
            files: BTreeMap::new(),
            events: BTreeMap::new(),
            next: 0,
        }
    }

    /// The case, once it is open.
    #[must_use]
    pub fn case(&self) -> Option<CaseId> {
        self.case
    }

    /// Plays the next step; none when the play is over.
    ///
    /// # Errors
    /// A fault of the door, or of the scenario itself.
    pub fn step<D: Door>(&mut self, door: &mut D) -> Option<Result<StepReport, String>> {
        let step = self.scenario.steps.get(self.next)?;
        self.next += 1;
        Some(self.play(step, door))
    }

    /// Plays a step that is not in the scenario yet. One that is refused leaves no number behind.
    ///
    /// # Errors
    /// As [`Player::step`].
    pub(super) fn take<D: Door>(&mut self, step: &StepFile, door: &mut D) -> Result<StepReport, String> {
        self.next += 1;
        let report = self.play(step, door)?;
        self.next -= usize::from(report.outcome.is_err());
        Ok(report)
    }

    fn play<D: Door>(&mut self, step: &StepFile, door: &mut D) -> Result<StepReport, String> {
        let number = self.next;
        let fail = |text: String| format!("{}, step {number}: {text}", self.scenario.scenario);
        let now = self.scenario.time(self.definition, step).ok_or_else(|| fail("no time".to_owned()))?;
        let key = format!("{}:{number}", self.scenario.scenario);
        let who = step.by.as_deref().or_else(|| self.accounts.keys().next().map(String::as_str)).unwrap_or_default();
        let me = self.accounts.get(who).cloned().ok_or_else(|| fail(format!("nobody of the cast is called `{who}`")))?;
        let file = (step.do_.as_deref() == Some("case.file")).then(|| self.file(step, number));
        let command = match &step.do_ {
            Some(action) => Some(self.command(step, action, file.as_ref()).map_err(fail)?),
            None => None,
        };
        let request = Request { now, case: self.case, me, command, key, file: file.clone() };
        let outcome = door.submit(request).map_err(|e| format!("{}, step {number}: {e}", self.scenario.scenario))?;
        if let Ok(played) = &outcome {
            self.case = played.case.id;
            for event in &played.events {
                self.events.extend(called(&played.case, event).map(|name| (name, event.seq)));
                if let (What::PersonRecorded { person, .. }, Some(name)) = (&event.what, &step.person) {
                    self.people.insert(name.clone(), *person);
                }
            }
            if let Some(file) = &file {
                let name = step.as_.clone().or_else(|| step.paper.clone()).unwrap_or_default();
                self.files.insert(name, file.id);
            }
            self.state = Some(played.case.clone());
        }
        let mut failures = self.compare(step.expect.as_ref(), &outcome);
        if let (Some(Expect { may, refused: None, .. }), Ok(played)) = (&step.expect, &outcome)
            && !may.is_empty()
        {
            failures.extend(self.compare_may(may, &played.case, now, door).map_err(fail)?);
        }
        Ok(StepReport { number, at: now, outcome, failures })
    }

    fn file(&self, step: &StepFile, number: usize) -> FileToStore {
        let name = step.as_.clone().or_else(|| step.paper.clone()).unwrap_or_default();
        let id = FileId::new(uuid_v7(1_767_225_600_000, &seed_of(&["file", &self.scenario.scenario, &number.to_string()])));
        let title = step
            .paper
            .as_ref()
            .and_then(|p| self.definition.file.papers.get(p))
            .and_then(|p| p.title.get("zh-CN"))
            .cloned()
            .unwrap_or_else(|| name.clone());
        FileToStore { id, name: format!("{name}.txt"), media_type: "text/plain".to_owned(), bytes: format!("{title}\n").into_bytes() }
    }

    fn resolve(&self, value: &Json) -> Result<Json, String> {
        Ok(match value {
            Json::String(text) => match text.strip_prefix('$') {
                None => value.clone(),
                Some(name) if name.starts_with("event.") => {
                    let seq = self.events.get(&name["event.".len()..]);
                    json!(*seq.ok_or_else(|| format!("`${name}` has not happened so far"))?)
                }
                Some(name) => {
                    let id = self
                        .people
                        .get(name)
                        .map(ToString::to_string)
                        .or_else(|| self.accounts.get(name).map(|a| a.id.to_string()))
                        .or_else(|| self.files.get(name).map(ToString::to_string))
                        .or_else(|| name.strip_prefix("unserved.").and_then(|who| self.unserved(who)));
                    json!(id.ok_or_else(|| format!("`${name}` names nobody and nothing so far"))?)
                }
            },
            Json::Array(items) => Json::Array(items.iter().map(|i| self.resolve(i)).collect::<Result<_, _>>()?),
            Json::Object(map) => Json::Object(map.iter().map(|(k, v)| Ok((k.clone(), self.resolve(v)?))).collect::<Result<Map<_, _>, String>>()?),
            other => other.clone(),
        })
    }

    /// The first notice that a person is still to be served with: `li`, or of this name: `li.lapsed`.
    fn unserved(&self, name: &str) -> Option<String> {
        let (who, notice) = name.split_once('.').map_or((name, None), |(who, notice)| (who, Some(notice)));
        let person = crate::case::event::Who::Person(*self.people.get(who)?);
        let wanted = |u: &crate::case::Unserved| u.who == person && notice.is_none_or(|n| u.notice == n);
        self.state.as_ref()?.unserved.iter().find(|(_, u)| wanted(u)).map(|((seq, index), _)| format!("{seq}.{index}"))
    }

    fn command(&self, step: &StepFile, action: &str, file: Option<&FileToStore>) -> Result<Command, String> {
        let mut input = Map::new();
        for (name, value) in &step.input {
            input.insert(name.clone(), self.resolve(value)?);
        }
        if let (Some(person), "case.person") = (&step.person, action) {
            let def = serde_json::to_value(&self.scenario.people[person.as_str()]).map_err(|e| e.to_string())?;
            if let Json::Object(fields) = def {
                input.extend(fields);
            }
        }
        if let (Some(person), "case.consent") = (&step.person, action) {
            input.insert("person".to_owned(), self.resolve(&json!(format!("${person}")))?);
        }
        if let Some(file) = file {
            input.insert("file".to_owned(), json!(file.id));
            input.insert("sha256".to_owned(), json!(crate::case::sha256(&file.bytes)));
            input.insert("size".to_owned(), json!(file.bytes.len()));
            input.insert("media_type".to_owned(), json!(file.media_type));
            input.insert("name".to_owned(), json!(file.name));
            if let Some(paper) = &step.paper {
                input.insert("paper".to_owned(), json!(paper));
            }
        }
        let mut evidence = Vec::new();
        for name in &step.evidence {
            evidence.push(*self.files.get(name).ok_or_else(|| format!("no file is called `{name}` so far"))?);
        }
        let for_ = match &step.for_ {
            Some(name) => Some(*self.people.get(name).ok_or_else(|| format!("`{name}` is not yet recorded"))?),
            None => None,
        };
        let effective_on = match &step.effective_on {
            Some(text) => Some(text.parse::<LegalTime>()?),
            None => None,
        };
        let proceeding = match &step.on {
            Some(name) => Some(self.proceeding(name).ok_or_else(|| format!("there is no proceeding `{name}` so far"))?),
            None => None,
        };
        Ok(Command { action: action.to_owned(), proceeding, input: Json::Object(input), for_, evidence, effective_on })
    }

    fn proceeding(&self, name: &str) -> Option<ProceedingId> {
        nth(self.state.as_ref()?, name).map(|p| p.id)
    }

    /// Which actions are open now, for each account of the cast by name, as [`crate::case::options::allowed`] writes them.
    ///
    /// # Errors
    /// A fault of the door.
    pub fn open_to<D: Door>(&self, case: &Case, now: DateTime<FixedOffset>, door: &mut D) -> Result<BTreeMap<&str, BTreeSet<String>>, String> {
        let mut out = BTreeMap::new();
        for (name, account) in &self.accounts {
            out.insert(name.as_str(), door.allowed(case, now, account).map_err(|e| e.to_string())?);
        }
        Ok(out)
    }

    fn compare_may<D: Door>(
        &self,
        may: &IndexMap<String, Vec<String>>,
        case: &Case,
        now: DateTime<FixedOffset>,
        door: &mut D,
    ) -> Result<Vec<String>, String> {
        let open = self.open_to(case, now, door)?;
        let mut out = Vec::new();
        for (action, wanted) in may {
            if let Some(nobody) = wanted.iter().find(|name| !self.accounts.contains_key(*name)) {
                return Err(format!("nobody of the cast is called `{nobody}`"));
            }
            let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
            let paper = format!("{action}{ON_PAPER}");
            let may = |actions: &BTreeSet<String>| actions.contains(action) || actions.contains(&paper);
            let own: BTreeSet<&str> = open.iter().filter(|(_, actions)| may(actions)).map(|(name, _)| *name).collect();
            if own != wanted {
                out.push(format!("{action} is open to {}, expected {}", listed(&own), listed(&wanted)));
            }
        }
        Ok(out)
    }

    fn compare(&self, expect: Option<&Expect>, outcome: &Result<Played, Refusals>) -> Vec<String> {
        let mut out = Vec::new();
        let refused = expect.and_then(|e| e.refused.as_deref());
        let played = match (outcome, refused) {
            (Err(refusals), None) => {
                let codes: Vec<String> = refusals.iter().map(|r| format!("{} ({}) {:?}", code(r.code), r.what, r.details)).collect();
                return vec![format!("refused: {}", codes.join("; "))];
            }
            (Err(refusals), Some(wanted)) => {
                if !refusals.iter().any(|r| code(r.code) == wanted) {
                    let codes: Vec<String> = refusals.iter().map(|r| code(r.code)).collect();
                    out.push(format!("refused with {}, expected {wanted}", codes.join(", ")));
                }
                return out;
            }
            (Ok(_), Some(wanted)) => return vec![format!("accepted, expected a refusal with {wanted}")],
            (Ok(played), None) => played,
        };
        let Some(expect) = expect else { return out };
        for (name, state) in &expect.states {
            let own = nth(&played.case, name).map(|p| p.state().to_owned());
            if own.as_ref() != Some(state) {
                out.push(format!("{name} is in {}, expected {state}", own.unwrap_or_else(|| "no state".to_owned())));
            }
        }
        if let Some(stage) = &expect.stage {
            let own = played.case.stage(self.definition).unwrap_or("closed");
            if own != stage {
                out.push(format!("the stage is {own}, expected {stage}"));
            }
        }
        for (name, wanted) in &expect.deadlines {
            let run = played.deadlines.iter().find(|r| &r.id.deadline == name);
            let own = match run {
                None => "none".to_owned(),
                Some(run) if run.is_paused() => "paused".to_owned(),
                Some(run) => run.last_day().map_or_else(|| "none".to_owned(), |d| d.to_string()),
            };
            if &own != wanted {
                out.push(format!("the deadline {name} is {own}, expected {wanted}"));
            }
        }
        for notice in &expect.notices {
            if !played.notices.iter().any(|n| &n.kind == notice) {
                let left: Vec<&str> = played.notices.iter().map(|n| n.kind.as_str()).collect();
                out.push(format!("no notice {notice} left; left: {}", left.join(", ")));
            }
        }
        if let Some(closed) = expect.closed
            && closed == played.case.is_open()
        {
            out.push(format!("the case is {}", if closed { "still open" } else { "closed" }));
        }
        if let Some(role) = &expect.work_for
            && !played.work.iter().any(|w| &w.for_ == role)
        {
            out.push(format!("no work is for {role}"));
        }
        for notice in &expect.not_notices {
            if let Some(left) = played.notices.iter().find(|n| &n.kind == notice) {
                out.push(format!("the notice {notice} left, to {}", left.recipient.as_));
            }
        }
        for (notice, wanted) in &expect.told {
            let own: BTreeSet<&str> = played.notices.iter().filter(|n| &n.kind == notice).map(|n| n.recipient.as_.as_str()).collect();
            let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
            if own != wanted {
                out.push(format!("the notice {notice} went to {}, expected {}", listed(&own), listed(&wanted)));
            }
        }
        for (name, wanted) in &expect.work {
            let meant: Vec<ProceedingId> = match name.split_once('#') {
                Some(_) => nth(&played.case, name).map(|p| p.id).into_iter().collect(),
                None => played.case.proceedings.values().filter(|p| &p.kind == name).map(|p| p.id).collect(),
            };
            let own: BTreeSet<&str> = played.work.iter().filter(|w| meant.contains(&w.proceeding)).map(|w| w.for_.as_str()).collect();
            if !own.contains(wanted.as_str()) {
                out.push(format!("the work of {name} is for {}, expected {wanted}", listed(&own)));
            }
        }
        for (name, wanted) in &expect.number {
            let own = nth(&played.case, name).and_then(|p| p.number.as_ref()).map(|n| n.text.as_str());
            if own != Some(wanted) {
                out.push(format!("the number of {name} is {}, expected {wanted}", own.unwrap_or("none")));
            }
        }
        out
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.iter().copied().collect::<Vec<_>>().join(", ") }
}

/// The name by which a scenario calls an event: `mediation.accept`, `mediation.assent`, `clock.mediation_limit`,
/// `case.record`, `case.serve`, `case.consent`.
fn called(case: &Case, event: &Event) -> Option<String> {
    let kind = |id| case.proceedings.get(id).map(|p| p.kind.clone());
    Some(match &event.what {
        What::Moved(moved) => format!("{}.{}", moved.kind, moved.transition),
        What::Assented { proceeding, .. } => format!("{}.assent", kind(proceeding)?),
        What::DeadlineFired { run, .. } => format!("clock.{}", run.deadline),
        What::Recorded { .. } => "case.record".to_owned(),
        What::ServiceRecorded { .. } => "case.serve".to_owned(),
        What::Consented { .. } => "case.consent".to_owned(),
        _ => return None,
    })
}

/// The code as written in files and answers.
pub(super) fn code(code: Code) -> String {
    serde_json::to_value(code).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// `obligation#2`: the second proceeding of a kind; without a number the youngest.
fn nth<'c>(case: &'c Case, name: &str) -> Option<&'c crate::case::Proceeding> {
    match name.split_once('#') {
        Some((kind, n)) => case.proceedings.values().filter(|p| p.kind == kind).nth(n.parse::<usize>().ok()?.checked_sub(1)?),
        None => case.proceedings.values().rev().find(|p| p.kind == name),
    }
}
