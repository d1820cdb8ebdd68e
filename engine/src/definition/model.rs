//! A definition with every name resolved and every expression read: what the engine decides by.
//!
//! Here: the types alone. `compile` makes them of a file, `case` decides by them, `graph` draws them.

use super::file::{DeadlineDef, KindDef, Literal, Per, StateDef, TransitionDef, WorkflowFile};
use crate::calendar::Length;
use crate::guard::{Guard, GuardType};
use crate::value::{Money, MoneyError, Type, Value};
use chrono_tz::Tz;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The word in `by` for another case.
pub const LINKED_CASE: &str = "linked_case";

/// A workflow that the engine can decide by.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The file as read.
    pub file: WorkflowFile,
    /// Its canonical form: JSON in the order of the file, without comments and layout.
    pub canonical: String,
    /// Lower-case hexadecimal SHA-256 of the canonical form.
    pub digest: String,
    /// The zone in which days begin.
    pub zone: Tz,
    /// The kind that opens with the case.
    pub root: String,
    /// The case's own data.
    pub facts: IndexMap<String, Type>,
    /// Policy parameters with their defaults.
    pub policy: IndexMap<String, PolicyValue>,
    /// Kinds of proceedings.
    pub kinds: IndexMap<String, Kind>,
    /// For each notice what its template may show.
    pub notice_fields: IndexMap<String, IndexMap<String, GuardType>>,
    /// Conditions of recipients: by notice, place in its `to`, and kind of the proceeding that sends it.
    pub told_when: Conditions,
    /// Invariants by name.
    pub always: IndexMap<String, Guard>,
}

/// Conditions of recipients.
pub type Conditions = BTreeMap<(String, usize, String), Guard>;

/// The value of a policy parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyValue {
    /// A switch.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A sum.
    Money(Money),
    /// A period.
    Length(Length),
}

impl PolicyValue {
    /// Its type in expressions; a period has none.
    #[must_use]
    pub fn ty(&self) -> Option<GuardType> {
        match self {
            Self::Bool(_) => Some(GuardType::Bool),
            Self::Int(_) => Some(GuardType::Int),
            Self::Money(_) => Some(GuardType::Money),
            Self::Length(_) => None,
        }
    }

    /// Its value in expressions.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        match self {
            Self::Bool(b) => Some(Value::Bool(*b)),
            Self::Int(n) => Some(Value::Int(*n)),
            Self::Money(m) => Some(Value::Money(*m)),
            Self::Length(_) => None,
        }
    }

    pub(super) fn read(literal: &Literal) -> Result<Self, String> {
        match literal {
            Literal::Bool(b) => Ok(Self::Bool(*b)),
            Literal::Int(n) => Ok(Self::Int(*n)),
            // A sum is a number alone; a period says of what.
            Literal::Text(t) if t.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')) => {
                t.parse().map(Self::Money).map_err(|e: MoneyError| format!("`{t}` {e}"))
            }
            Literal::Text(t) => t.parse().map(Self::Length).map_err(|e: crate::calendar::LengthError| e.to_string()),
        }
    }
}

/// A kind of proceeding.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// As written.
    pub def: Arc<KindDef>,
    /// Its data.
    pub data: IndexMap<String, Type>,
    /// Its transitions, in file order.
    pub transitions: IndexMap<String, Transition>,
    /// Its deadlines, in file order.
    pub deadlines: IndexMap<String, Deadline>,
    /// States in which a second one is forbidden; empty without a limit.
    pub limit: Vec<String>,
}

impl Kind {
    /// The transition that opens one, if there is exactly one.
    #[must_use]
    pub fn opening(&self) -> Option<&Transition> {
        self.transitions.values().find(|t| t.opens)
    }

    /// The stage of a state: its own, else the kind's.
    #[must_use]
    pub fn stage(&self, state: &str) -> Option<&str> {
        let def = self.def.states.get(state)?;
        if def.final_.is_some() {
            return None;
        }
        def.stage.as_deref().or(self.def.stage.as_deref())
    }

    /// A state's declaration.
    #[must_use]
    pub fn state(&self, state: &str) -> Option<&StateDef> {
        self.def.states.get(state)
    }
}

/// A transition.
#[derive(Clone, Debug)]
pub struct Transition {
    /// Its name.
    pub name: String,
    /// As written.
    pub def: Arc<TransitionDef>,
    /// Opens the proceeding.
    pub opens: bool,
    /// The states that it leaves.
    pub from: BTreeSet<String>,
    /// The state that it enters; none means the same.
    pub to: Option<String>,
    /// Condition of an automatic transition.
    pub auto: Option<Guard>,
    /// What must already be true.
    pub when: Option<Guard>,
    /// What the input must satisfy.
    pub accepts: Option<Guard>,
    /// The type of its input.
    pub input: Type,
    /// What it sets.
    pub sets: Vec<(String, Guard)>,
    /// What follows in the same commit.
    pub then: Vec<Step>,
}

impl Transition {
    /// Whether a person may take it, and not a rule, the clock or another case alone.
    #[must_use]
    pub fn by_people(&self) -> bool {
        self.def.by.iter().any(|by| by != LINKED_CASE)
    }
}

/// A step of `then`.
#[derive(Clone, Debug)]
pub enum Step {
    /// End every open child, or those of one kind.
    End {
        /// The kind; none means all.
        kind: Option<String>,
    },
    /// Open proceedings of a kind.
    Open {
        /// The kind.
        kind: String,
        /// One for each element of this list.
        for_each: Option<Guard>,
        /// Its input.
        with: Vec<(String, Guard)>,
    },
    /// Fire a transition elsewhere in the case.
    Fire {
        /// The transition.
        transition: String,
        /// Where.
        on: StepOn,
    },
    /// Fill a seat from an input field.
    Seat {
        /// The seat; `this.NAME` for one of this proceeding.
        seat: String,
        /// The input field that names the account.
        input: String,
    },
    /// Empty a seat.
    Vacate {
        /// The seat.
        seat: String,
    },
    /// A command for another case.
    Send {
        /// `kind.transition` there.
        action: String,
        /// The other case.
        to: Guard,
        /// Its input.
        with: Vec<(String, Guard)>,
        /// What fires here when it was done there.
        done: String,
        /// What fires here when it was refused there.
        refused: String,
    },
}

/// Where a `fire` step goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOn {
    /// To the parent.
    Parent,
    /// To each child of a kind in one of these states.
    Each(String, Vec<String>),
}

/// A deadline.
#[derive(Clone, Debug)]
pub struct Deadline {
    /// Its name, unique in the file.
    pub name: String,
    /// As written; absent for the end of a round of assents.
    pub def: Option<DeadlineDef>,
    /// When it is due.
    pub due: Due,
    /// States in which it lives.
    pub lives_in: BTreeSet<String>,
    /// Runs only while this holds.
    pub runs_while: Option<Guard>,
    /// How long the clock waits for paper.
    pub grace: Option<LengthOf>,
    /// Warnings.
    pub warns: Vec<Mark>,
    /// Transitions it fires.
    pub fires: Vec<String>,
}

impl Deadline {
    /// The notice that is sent when it is due.
    #[must_use]
    pub fn tells(&self) -> Option<&str> {
        self.def.as_ref()?.tells.as_deref()
    }
}

/// When a warning is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// So long before the last day.
    Before(Length),
    /// When this percentage of the length is used up.
    Share(u32),
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Before(length) => length.fmt(f),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

impl std::str::FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%').map(str::parse::<u32>) {
            Some(Ok(percent)) if (1..=99).contains(&percent) => Ok(Self::Share(percent)),
            Some(_) => Err(format!("`{text}` is no share: write 1% to 99%")),
            None => text.parse().map(Self::Before).map_err(|e: crate::calendar::LengthError| e.to_string()),
        }
    }
}

/// What starts a deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Transitions of its kind.
    pub steps: Vec<String>,
    /// Notices of its kind, by their service.
    pub served: Vec<String>,
    /// Whose service.
    pub per: Per,
}

/// What a deadline counts.
#[derive(Clone, Debug)]
pub enum Due {
    /// A period from the last of these starts.
    After {
        /// The starts.
        starts: Starts,
        /// The period.
        length: LengthOf,
    },
    /// A period again and again.
    Every {
        /// The starts.
        starts: Starts,
        /// The period.
        length: LengthOf,
        /// How often at most.
        at_most: u32,
    },
    /// A day out of the data, or the day of a moment.
    At(Guard),
    /// The end of a round of assents held in this state.
    Round {
        /// The state.
        state: String,
        /// The period from the opening of the round.
        length: LengthOf,
    },
}

/// A length: written, or a policy parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LengthOf {
    /// Written in the file.
    Literal(Length),
    /// Named.
    Policy(String),
}
