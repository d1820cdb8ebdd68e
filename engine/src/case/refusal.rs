//! Why not: refusals with a stable code, what fails, what would unlock it, and the rule of law.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The stable codes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No such action in this workflow.
    UnknownAction,
    /// No proceeding here that the action could concern, or several.
    Proceeding,
    /// The proceeding is in another state.
    State,
    /// Somebody else must act.
    Role,
    /// A seat is empty, or held by somebody else.
    Seat,
    /// Nobody of that side is recorded, or it is not said for whom one acts.
    Party,
    /// What staff key in for somebody else needs a file that proves it.
    Evidence,
    /// A condition of the workflow does not hold.
    Guard,
    /// A paper is missing.
    Paper,
    /// A standing consent is missing.
    Consent,
    /// There is another one already.
    Limit,
    /// The deadline has passed, or does not run.
    Deadline,
    /// The input is wrong.
    Input,
    /// The legal date is wrong.
    LegalTime,
    /// Nothing is asked here, or the answer does not count.
    Assent,
    /// A step that must follow is itself refused.
    Step,
    /// The case has ended.
    Closed,
    /// A proceeding would wait without anybody or anything to wake it: a fault of the workflow.
    WouldPark,
    /// A chain of automatic steps did not come to its end: a fault of the workflow.
    Loop,
    /// The start date lies before the first calendar year.
    Calendar,
    /// Whoever is to hold a seat may not hold it beside what they are already.
    Conflict,
    /// Something that must always hold would not.
    Invariant,
    /// It cannot be taken back: people have acted on it since.
    Amend,
}

/// One reason why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What fails: the source of a clause, a paper, a role, a field.
    pub what: String,
    /// The field, for wrong input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Further words for the text, never a person's data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Actions that would unlock it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlocked_by: Vec<String>,
    /// The rule of law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub law: Option<String>,
}

impl Refusal {
    /// A refusal with nothing but its reason.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), field: None, details: BTreeMap::new(), unlocked_by: Vec::new(), law: None }
    }

    /// With an action that would unlock it.
    #[must_use]
    pub fn unlocked_by(mut self, action: impl Into<String>) -> Self {
        self.unlocked_by.push(action.into());
        self
    }

    /// With the rule of law.
    #[must_use]
    pub fn law(mut self, law: Option<&str>) -> Self {
        self.law = law.map(str::to_owned);
        self
    }

    /// With a further word.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// At a field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// All reasons, never empty.
pub type Refusals = Vec<Refusal>;
