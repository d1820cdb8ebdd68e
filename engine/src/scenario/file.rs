//! The shape of scenario and cast files, and how they are read.

use crate::case::Account;
use crate::definition::file::Localized;
use crate::definition::model::LINKED_CASE;
use crate::definition::{Definition, Mistake, Mistakes, shape};
use crate::ids::{AccountId, uuid_v7};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeZone as _};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A scenario file: one play.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name, the same as the file's.
    pub scenario: String,
    /// The workflow it plays in.
    pub workflow: String,
    /// What people call it.
    pub title: Localized,
    /// What a reader should know: where it comes from, what was changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub note: Localized,
    /// Its place in the demo; without one it is not shown there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demo: Option<u32>,
    /// Packages that the demo hands over at the end: `court`, `notary`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<String>,
    /// The committee's own parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policy: BTreeMap<String, String>,
    /// The people of the dispute, by a short name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub people: IndexMap<String, PersonDef>,
    /// What happens, in order.
    pub steps: Vec<StepFile>,
}

/// A person of the dispute.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonDef {
    /// Side.
    pub side: String,
    /// Name.
    pub name: String,
    /// Mail address; without one letters are paper only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Language of letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Identity document, as printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// False for an agent or lawyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<bool>,
    /// An organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<bool>,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepFile {
    /// When it is written down: `2026-03-02 09:00`, in the workflow's zone.
    pub at: String,
    /// The account at the keyboard, by its name in the cast. Without it, time only passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The action.
    #[serde(default, rename = "do", skip_serializing_if = "Option::is_none")]
    pub do_: Option<String>,
    /// Its input; a text `$name` stands for the id of a person, an account or a file.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub input: IndexMap<String, Json>,
    /// The person acted for.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<String>,
    /// With `case.person`: which person; with `case.consent`: whose consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// With `case.file`: the kind of paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// With `case.file`: the name by which later steps call it.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub as_: Option<String>,
    /// Files that prove it, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The proceeding: `obligation`, or `obligation#2` for the second of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The legal date, when it is not the moment of writing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_on: Option<String>,
    /// A sentence for whoever watches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tell: Localized,
    /// What must be so afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// What must be so after a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The step is refused with this code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// States, by kind or `kind#n`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub states: IndexMap<String, String>,
    /// The stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Last days of deadlines, `paused`, or `none`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub deadlines: IndexMap<String, String>,
    /// Notices that left in this step (or in what the clock did before it), each at least once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// The case has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    /// Some open work is for this role or seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_for: Option<String>,
    /// Notices of which none left in this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_notices: Vec<String>,
    /// For each action exactly the accounts of the cast to which it is open now.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub may: IndexMap<String, Vec<String>>,
    /// For each notice exactly the sides, seats and roles as which people were told by it in this step.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub told: IndexMap<String, Vec<String>>,
    /// By kind or `kind#n`: some open work of such a proceeding is for this role or seat.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub work: IndexMap<String, String>,
    /// Numbers, by kind or `kind#n`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub number: IndexMap<String, String>,
}

/// A name that the workflow does not have.
struct Unknown {
    key: String,
    message: String,
    near: Option<String>,
}

impl Expect {
    /// Names that the workflow does not have. What is expected *not* to be would otherwise hold by a slip of the pen.
    fn unknown(&self, definition: &Definition) -> Vec<Unknown> {
        let mut out = Vec::new();
        let mut look = |key: &str, what: &str, name: &str, known: &mut dyn Iterator<Item = &str>| {
            let known: Vec<&str> = known.collect();
            if !known.contains(&name) {
                let near = crate::definition::nearest(name, known).map(str::to_owned);
                out.push(Unknown { key: format!("{key}.{name}"), message: format!("the workflow has no {what} `{name}`"), near });
            }
        };
        for (key, name) in self.notices.iter().map(|n| ("notices", n)).chain(self.not_notices.iter().map(|n| ("not_notices", n))) {
            look(key, "notice", name, &mut definition.file.notices.keys().map(String::as_str));
        }
        for name in self.told.keys() {
            look("told", "notice", name, &mut definition.file.notices.keys().map(String::as_str));
        }
        for name in self.deadlines.keys() {
            look("deadlines", "deadline", name, &mut definition.kinds.values().flat_map(|k| k.deadlines.keys()).map(String::as_str));
        }
        let of_kinds = [("states", self.states.keys()), ("work", self.work.keys()), ("number", self.number.keys())];
        for (key, name) in of_kinds.into_iter().flat_map(|(key, names)| names.map(move |n| (key, n))) {
            let kind = name.split_once('#').map_or(name.as_str(), |(kind, _)| kind);
            look(key, "proceeding", kind, &mut definition.kinds.keys().map(String::as_str));
        }
        for action in self.may.keys().filter(|a| !known_action(definition, a)) {
            let known: Vec<String> = definition.kinds.values().flat_map(|k| k.transitions.keys().map(|t| format!("{}.{t}", k.name))).collect();
            look("may", "action", action, &mut known.iter().map(String::as_str));
        }
        out
    }
}

/// The accounts of the training room.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// By the name that scenarios use; the same as the role unless `role` says otherwise.
    pub accounts: IndexMap<String, CastMember>,
}

/// One account of the cast.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CastMember {
    /// Role or side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Name.
    pub name: String,
    /// Home organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Language of letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

fn read<T: DeserializeOwned + JsonSchema + 'static>(source: &str) -> Result<(T, shape::Places), Mistakes> {
    let tree = crate::yaml::read(source)?;
    let (fitted, places) = shape::fit(&tree, &shape::schema_of::<T>())?;
    fitted.read().map(|value| (value, places)).map_err(|e| Mistakes::one(Mistake::whole(e.to_string())))
}

impl Scenario {
    /// Reads a scenario and holds its actions, people and dates against the workflow.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn parse(source: &str, definition: &Definition) -> Result<Self, Mistakes> {
        let (scenario, places): (Self, _) = read(source)?;
        let mut mistakes = Vec::new();
        let mut say = |key: String, message: String, hint: Option<String>| {
            mistakes.push(crate::definition::compile::at(&places, &key, message, hint));
        };
        let mut last: Option<DateTime<FixedOffset>> = None;
        for (i, step) in scenario.steps.iter().enumerate() {
            match scenario.time(definition, step) {
                None => say(format!("steps[{i}].at"), format!("`{}` is no time", step.at), Some("write it like 2026-03-02 09:00".to_owned())),
                Some(at) => {
                    if last.is_some_and(|last| at < last) {
                        say(format!("steps[{i}].at"), "this step lies before the one above it".to_owned(), None);
                    }
                    last = Some(at);
                }
            }
            if step.do_.is_some() != step.by.is_some() {
                say(format!("steps[{i}]"), "`do` and `by` go together".to_owned(), Some("without both, time only passes".to_owned()));
            }
            for name in step.person.iter().chain(step.for_.iter()) {
                if !scenario.people.contains_key(name) {
                    let near = crate::definition::nearest(name, scenario.people.keys().map(String::as_str));
                    say(format!("steps[{i}]"), format!("`{name}` is nobody of this scenario"), near.map(|n| format!("did you mean `{n}`?")));
                }
            }
            if let Some(action) = step.do_.as_deref().filter(|a| !known_action(definition, a))
                && step.expect.as_ref().and_then(|e| e.refused.as_deref()) != Some("unknown_action")
            {
                let known: Vec<String> = definition.kinds.values().flat_map(|k| k.transitions.keys().map(|t| format!("{}.{t}", k.name))).collect();
                let near = crate::definition::nearest(action, known.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
                say(format!("steps[{i}].do"), format!("the workflow has no action `{action}`"), near);
            }
            for unknown in step.expect.iter().flat_map(|e| e.unknown(definition)) {
                say(format!("steps[{i}].expect.{}", unknown.key), unknown.message, unknown.near.map(|n| format!("did you mean `{n}`?")));
            }
        }
        if mistakes.is_empty() { Ok(scenario) } else { Err(Mistakes(mistakes)) }
    }

    /// The moment of a step.
    #[must_use]
    pub fn time(&self, definition: &Definition, step: &StepFile) -> Option<DateTime<FixedOffset>> {
        let local = NaiveDateTime::parse_from_str(&step.at, "%Y-%m-%d %H:%M")
            .ok()
            .or_else(|| NaiveDate::parse_from_str(&step.at, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(9, 0, 0)))?;
        definition.zone.from_local_datetime(&local).earliest().map(|t| t.fixed_offset())
    }
}

fn known_action(definition: &Definition, action: &str) -> bool {
    match action.split_once('.') {
        Some(("case", own)) => crate::case::act::CASE_ACTIONS.contains(&own),
        Some((kind, transition)) => definition.kinds.get(kind).is_some_and(|k| transition == "assent" || k.transitions.contains_key(transition)),
        None => false,
    }
}

impl Cast {
    /// Reads a cast.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn parse(source: &str) -> Result<Self, Mistakes> {
        read(source).map(|(cast, _)| cast)
    }

    /// One account for each role and side of a workflow that brings no cast.
    #[must_use]
    pub fn of(definition: &Definition) -> Self {
        let titles = definition.file.roles.iter().map(|(n, r)| (n, &r.title)).chain(definition.file.sides.iter().map(|(n, s)| (n, &s.title)));
        let member = |title: &Localized| CastMember {
            role: None,
            name: title.values().next_back().cloned().unwrap_or_default(),
            organisation: None,
            email: None,
            language: None,
        };
        Self { accounts: titles.map(|(name, title)| (name.clone(), member(title))).collect() }
    }

    /// The account with which a scenario plays another case that sends a command to this one. It belongs to no cast, as
    /// nobody can be that, and so is given to none but the player.
    #[must_use]
    pub fn linked_case() -> Account {
        Account {
            id: account_id(LINKED_CASE),
            role: LINKED_CASE.to_owned(),
            name: LINKED_CASE.to_owned(),
            organisation: None,
            email: None,
            language: "zh-CN".to_owned(),
            stands_in: false,
        }
    }

    /// The accounts, by name. Their ids follow from their names, so that every play of a scenario has the same.
    #[must_use]
    pub fn accounts(&self) -> IndexMap<String, Account> {
        self.accounts
            .iter()
            .map(|(key, member)| {
                let account = Account {
                    id: account_id(key),
                    role: member.role.clone().unwrap_or_else(|| key.clone()),
                    name: member.name.clone(),
                    organisation: member.organisation.clone(),
                    email: member.email.clone(),
                    language: member.language.clone().unwrap_or_else(|| "zh-CN".to_owned()),
                    stands_in: true,
                };
                (key.clone(), account)
            })
            .collect()
    }
}

/// 2026-01-01T00:00:00Z, the moment that made-up ids carry.
const EPOCH_MS: u64 = 1_767_225_600_000;

fn account_id(key: &str) -> AccountId {
    AccountId::new(uuid_v7(EPOCH_MS, &seed_of(&["account", key])))
}

/// Sixteen bytes that follow from words.
#[must_use]
pub(super) fn seed_of(words: &[&str]) -> [u8; 16] {
    let digest = crate::case::sha256(words.join("\0").as_bytes());
    let mut out = [0u8; 16];
    out.copy_from_slice(&digest.as_bytes()[..16]);
    out
}
