//! A case and its rules: one log, one version, many proceedings.
//!
//! `event` is what happened, `evolve` folds it, `decide` turns a command into events or a refusal, `permit` says who
//! may act, `clock` derives deadlines, `consequences` says who is told and what is to be done, `advance` puts them in
//! order for the one door. Nothing here knows a database, a clock or chance: what it needs is passed in.

pub mod act;
pub mod advance;
pub mod amend;
pub mod clock;
pub mod consequences;
pub mod decide;
mod draft;
pub mod event;
pub mod evolve;
pub mod migrate;
pub mod options;
pub mod permit;
pub mod refusal;
pub mod scope;
pub mod timeline;

use crate::calendar::{Calendar, Length};
use crate::definition::Definition;
use crate::definition::model::{LengthOf, PolicyValue};
use crate::ids::{AccountId, CaseId, FileId, LegalTime, PersonId, ProceedingId};
use crate::value::Value;
use chrono::{DateTime, FixedOffset, NaiveDate};
use event::{Answer, Numbered, Service, Set, Under, ValueId, Who};
use imbl::{OrdMap, OrdSet, Vector};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use timeline::{Moment, Timeline};

/// The texts that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The workflow.
    pub definition: &'a Definition,
    /// The committee's parameters, frozen when the case opened.
    pub policy: &'a Policy,
    /// Working days.
    pub calendar: &'a Calendar,
}

impl Rules<'_> {
    /// The digests, for events.
    #[must_use]
    pub fn under(&self) -> Under {
        Under { definition: self.definition.digest.clone(), policy: self.policy.digest().to_owned(), calendar: self.calendar.digest().to_owned() }
    }

    /// A length, as written or as the committee set it. A parameter of another type was refused when the set was read.
    #[must_use]
    pub fn length(&self, length: &LengthOf) -> Option<Length> {
        match length {
            LengthOf::Literal(length) => Some(*length),
            LengthOf::Policy(name) => match self.policy.get(name) {
                Some(PolicyValue::Length(length)) => Some(*length),
                _ => None,
            },
        }
    }
}

/// A committee's parameters: a value for every parameter of the workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    values: IndexMap<String, PolicyValue>,
    /// Every event bears it.
    digest: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(IndexMap::new())
    }
}

impl Policy {
    /// A set of values.
    #[must_use]
    pub fn new(values: IndexMap<String, PolicyValue>) -> Self {
        let mut policy = Self { values, digest: String::new() };
        policy.digest = sha256(policy.canonical().as_bytes());
        policy
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&PolicyValue> {
        self.values.get(name)
    }

    /// The workflow's defaults with a committee's own values laid over them.
    ///
    /// # Errors
    /// Each name that the workflow does not know and each value of the wrong type.
    pub fn of(definition: &Definition, own: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut values = definition.policy.clone();
        let mut mistakes = Vec::new();
        for (name, text) in own {
            let read = match values.get(name) {
                None => {
                    let near = crate::definition::nearest(name, definition.policy.keys().map(String::as_str));
                    Err(near.map_or_else(
                        || "the workflow has no such parameter".to_owned(),
                        |n| format!("the workflow has no such parameter; did you mean `{n}`?"),
                    ))
                }
                Some(PolicyValue::Bool(_)) => text.parse().map(PolicyValue::Bool).map_err(|_| "true or false is wanted".to_owned()),
                Some(PolicyValue::Int(_)) => text.parse().map(PolicyValue::Int).map_err(|_| "a whole number is wanted".to_owned()),
                Some(PolicyValue::Money(_)) => text.parse().map(PolicyValue::Money).map_err(|e: crate::value::MoneyError| format!("`{text}` {e}")),
                Some(PolicyValue::Length(_)) => text.parse().map(PolicyValue::Length).map_err(|e: crate::calendar::LengthError| e.to_string()),
            };
            match read {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(error) => mistakes.push(format!("policy.{name}: {error}")),
            }
        }
        if mistakes.is_empty() { Ok(Self::new(values)) } else { Err(mistakes) }
    }

    /// One line a parameter, sorted: what is pinned and hashed.
    #[must_use]
    pub fn canonical(&self) -> String {
        let sorted: BTreeMap<&String, String> = self
            .values
            .iter()
            .map(|(name, value)| {
                let text = match value {
                    PolicyValue::Bool(b) => b.to_string(),
                    PolicyValue::Int(n) => n.to_string(),
                    PolicyValue::Money(m) => m.to_string(),
                    PolicyValue::Length(l) => l.to_string(),
                };
                (name, text)
            })
            .collect();
        serde_json::to_string(&sorted).unwrap_or_default()
    }

    /// Lower-case hexadecimal SHA-256 of the canonical form.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// All that `decide` needs beyond the case.
pub struct Outside<'a> {
    /// Now, in the workflow's zone.
    pub now: DateTime<FixedOffset>,
    /// Random bytes, drawn for this command, from which salts and ids are derived.
    pub seed: [u8; 32],
    /// Who is at the keyboard.
    pub me: &'a Account,
    /// Everyone with an account.
    pub accounts: &'a [Account],
    /// Whether a character can be printed. What cannot is refused at the door, not at the printer.
    pub printable: &'a (dyn Fn(char) -> bool + Sync),
    /// The case's events, for the two commands that look back: `case.correct` and `case.undo`. Empty for all others.
    pub log: &'a [event::Event],
}

/// An account, as far as rules look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The role, or the side whose people use it.
    pub role: String,
    /// Name shown to colleagues and parties.
    pub name: String,
    /// Home organisation, for conflict checks.
    pub organisation: Option<String>,
    /// Mail address.
    pub email: Option<String>,
    /// Language of letters.
    pub language: String,
    /// Stands in for whoever holds the role or side, in any case: training accounts.
    pub stands_in: bool,
}

impl Account {
    /// Whether this is the engine itself, which nobody can log in as.
    #[must_use]
    pub fn is_engine(&self) -> bool {
        self.role == "engine" && self.id.uuid().is_nil()
    }
}

/// Who acts in a case for another case, by `send`.
#[must_use]
pub fn linked_case_account() -> Account {
    Account {
        id: AccountId::new(uuid::Uuid::from_u128(1)),
        role: crate::definition::model::LINKED_CASE.to_owned(),
        name: "Heyi".to_owned(),
        organisation: None,
        email: None,
        language: "en".to_owned(),
        stands_in: false,
    }
}

/// A case, folded from its events. What grows with its age is kept so that copies share it: a decision is a copy.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its id; none before the first event.
    pub id: Option<CaseId>,
    /// Name of its workflow.
    pub workflow: String,
    /// The texts of the last event.
    pub under: Option<Under>,
    /// Number of the last event: the version.
    pub version: u64,
    /// Facts by name.
    pub facts: BTreeMap<String, ValueId>,
    /// Proceedings by id.
    pub proceedings: BTreeMap<ProceedingId, Proceeding>,
    /// People, in the order in which they came.
    pub people: IndexMap<PersonId, Person>,
    /// Files handed in.
    pub files: Vector<File>,
    /// Seats with their history, by name.
    pub seats: BTreeMap<String, Vec<Holding>>,
    /// Standing consents that hold.
    pub consents: BTreeSet<(PersonId, String)>,
    /// Notices that must be served and are not yet.
    pub unserved: OrdMap<(u64, u32), Unserved>,
    /// Notices that were served, in order.
    pub served: Vector<Served>,
    /// The latest event by which each notice that must be served was told, for each proceeding that told it.
    pub sendings: OrdMap<(String, ProceedingId), u64>,
    /// Deadline runs that fell due.
    pub fired: OrdMap<event::RunId, bool>,
    /// Warnings given: run, mark, last day.
    pub warned: OrdSet<(event::RunId, String, NaiveDate)>,
    /// Values, as far as they were not erased.
    pub vault: OrdMap<ValueId, Value>,
    /// When it was opened.
    pub opened_at: Option<DateTime<FixedOffset>>,
    /// When something was last taken back, corrected or counted anew: what was past by then is looked at by a person first.
    pub amended_at: Option<DateTime<FixedOffset>>,
}

/// A proceeding.
#[derive(Clone, Debug)]
pub struct Proceeding {
    /// Its id.
    pub id: ProceedingId,
    /// Its kind.
    pub kind: String,
    /// Its parent.
    pub parent: Option<ProceedingId>,
    /// Its moves, in order; never empty.
    pub timeline: Timeline,
    /// Its data by name.
    pub data: BTreeMap<String, ValueId>,
    /// What commits to each datum; what an assent is bound to.
    pub commitments: BTreeMap<String, String>,
    /// Its number.
    pub number: Option<Numbered>,
    /// Its outcome, when it has ended.
    pub outcome: Option<String>,
    /// The round of assents that it holds.
    pub round: Option<Round>,
    /// The last round that came to its end: who signed, and when.
    pub closed_round: Option<Round>,
    /// Its own seats with their history.
    pub seats: BTreeMap<String, Vec<Holding>>,
}

impl Proceeding {
    /// The last move.
    #[must_use]
    pub fn last(&self) -> &Moment {
        self.timeline.last().expect("a proceeding is made by its first move")
    }

    /// The state it is in.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.last().state
    }

    /// Whether it goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// The state at a moment of legal time, if it was open by then.
    #[must_use]
    pub fn state_at(&self, moment: LegalTime) -> Option<&Moment> {
        self.timeline.iter().rev().find(|m| !moment.before(m.legal_at))
    }

    /// What an assent binds to: a digest over the commitments of all data.
    #[must_use]
    pub fn shown(&self) -> String {
        let text: Vec<String> = self.commitments.iter().map(|(name, commitment)| format!("{name}={commitment}")).collect();
        sha256(text.join("\n").as_bytes())
    }
}

/// A round of assents.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The answers that count, by what was asked (a side, a seat, a role) and for whom the answer counts.
    pub answers: BTreeMap<(String, Who), (Answer, LegalTime)>,
    /// It ended unanswered.
    pub lapsed: bool,
}

/// Someone who holds, or held, a seat.
#[derive(Clone, Debug)]
pub struct Holding {
    /// The account.
    pub account: AccountId,
    /// Since when.
    pub from: LegalTime,
    /// Until when.
    pub to: Option<LegalTime>,
}

/// A person of the case.
#[derive(Clone, Debug)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// Its side.
    pub side: String,
    /// A party; else an agent.
    pub party: bool,
    /// Whom an agent acts for; empty means everyone of the side.
    pub acts_for: Vec<PersonId>,
    /// Until when an agent may act.
    pub until: Option<NaiveDate>,
    /// The person's own account.
    pub account: Option<AccountId>,
    /// Language of letters.
    pub language: String,
    /// Name, address and the like.
    pub data: BTreeMap<String, ValueId>,
}

/// A file handed in.
#[derive(Clone, Debug)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// The kind of paper.
    pub paper: Option<String>,
    /// The proceeding it belongs to.
    pub proceeding: ProceedingId,
    /// Its digest.
    pub sha256: String,
    /// The event.
    pub seq: u64,
}

/// A notice that still has to be served.
#[derive(Clone, Debug)]
pub struct Unserved {
    /// The notice.
    pub notice: String,
    /// To whom.
    pub who: Who,
    /// As what.
    pub as_: String,
    /// The proceeding it comes from.
    pub proceeding: ProceedingId,
    /// The last attempt.
    pub last: Option<Service>,
}

/// A notice that was served.
#[derive(Clone, Debug)]
pub struct Served {
    /// The event that recorded it.
    pub seq: u64,
    /// The event that told it.
    pub told_in: u64,
    /// The notice.
    pub notice: String,
    /// The proceeding it came from.
    pub proceeding: ProceedingId,
    /// When in law.
    pub legal_at: LegalTime,
    /// When written down.
    pub recorded_at: DateTime<FixedOffset>,
}

impl Case {
    /// Whether everybody who was last told by a notice has been served with it, or was given up; none where it was never
    /// told. What counts is the latest sending by the proceeding itself, or, where that never sent it, by any of the case.
    #[must_use]
    pub fn was_served(&self, notice: &str, proceeding: Option<ProceedingId>) -> Option<bool> {
        let of = |(name, _): &&(String, ProceedingId)| name == notice;
        let own = proceeding.and_then(|id| self.sendings.get(&(notice.to_owned(), id)));
        let told_in = own.or_else(|| self.sendings.iter().filter(|(key, _)| of(key)).map(|(_, seq)| seq).max())?;
        Some(!self.unserved.iter().any(|((seq, _), open)| seq == told_in && open.notice == notice))
    }

    /// Whether any proceeding goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.proceedings.values().any(Proceeding::is_open)
    }

    /// The root proceeding.
    #[must_use]
    pub fn root(&self) -> Option<&Proceeding> {
        self.proceedings.values().find(|p| p.parent.is_none())
    }

    /// The stage that people see: that of the youngest open proceeding that has one.
    #[must_use]
    pub fn stage<'d>(&self, definition: &'d Definition) -> Option<&'d str> {
        self.proceedings.values().rev().filter(|p| p.is_open()).find_map(|p| definition.kinds.get(&p.kind)?.stage(p.state()))
    }

    /// Who holds a seat now. `this.NAME` is a seat of `proceeding`.
    #[must_use]
    pub fn holder(&self, seat: &str, proceeding: Option<ProceedingId>) -> Option<AccountId> {
        let holdings = match seat.strip_prefix("this.") {
            Some(own) => self.proceedings.get(&proceeding?)?.seats.get(own),
            None => self.seats.get(seat),
        };
        holdings?.last().filter(|h| h.to.is_none()).map(|h| h.account)
    }

    /// The parties of a side, in the order in which they came.
    pub fn parties<'a>(&'a self, side: &'a str) -> impl Iterator<Item = &'a Person> {
        self.people.values().filter(move |p| p.party && p.side == side)
    }

    /// A text of a person: `name`, `email`, …
    #[must_use]
    pub fn person_text(&self, person: PersonId, field: &str) -> Option<&str> {
        match self.vault.get(self.people.get(&person)?.data.get(field)?) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A datum of a proceeding.
    #[must_use]
    pub fn datum(&self, proceeding: ProceedingId, name: &str) -> Option<&Value> {
        self.vault.get(self.proceedings.get(&proceeding)?.data.get(name)?)
    }

    /// A proceeding's parent chain, itself first.
    pub fn lineage(&self, proceeding: ProceedingId) -> impl Iterator<Item = &Proceeding> {
        let mut next = Some(proceeding);
        std::iter::from_fn(move || {
            let found = self.proceedings.get(&next?)?;
            next = found.parent;
            Some(found)
        })
    }

    fn holdings(&mut self, seat: &str, proceeding: Option<ProceedingId>) -> Option<&mut Vec<Holding>> {
        match proceeding {
            Some(id) => Some(self.proceedings.get_mut(&id)?.seats.entry(seat.to_owned()).or_default()),
            None => Some(self.seats.entry(seat.to_owned()).or_default()),
        }
    }

    fn remember(set: &[Set], into: &mut BTreeMap<String, ValueId>) {
        for one in set {
            into.insert(one.name.clone(), one.value);
        }
    }
}
