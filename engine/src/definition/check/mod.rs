//! The law-shaped questions about a definition whose names all resolve. One room for each question; `model` and `domain`
//! hold what several of them ask.
//!
//! A finding says where, what, and why it matters; a finding about behaviour also says what a play of it would show
//! ([`Aim`]), so that a scenario can be made of it. What a bounded search could not settle is a note, not a finding.
//! Not here: spelling (`compile`), and the same questions about a running case (`case::consequences`).

mod conflicts;
mod domain;
mod ends;
mod invariants;
pub mod longest;
mod loops;
mod model;
mod names;
mod paths;
mod races;
mod rights;
mod told;
mod waits;

use super::Mistake;
use super::compile::at;
use super::model::Definition;
use super::shape::Places;
use model::Model;
use serde::Serialize;

/// A question that the check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is each name that is declared used?
    Unused,
    /// Is what is read ever set, and what is put in ever kept?
    Data,
    /// Does exactly one transition open each proceeding?
    Opening,
    /// Can each state be reached?
    Unreachable,
    /// Can each transition fire?
    NeverFires,
    /// Does a path lead from each state to an end?
    DeadEnd,
    /// Is each wait covered by somebody's work, a clock, or another proceeding that is itself covered?
    SilentWait,
    /// Does each loop have a limit or a clock?
    Loop,
    /// Does each chain of automatic steps come to its end?
    AutoLoop,
    /// Does each deadline have an outcome, whatever the conditions of what it fires?
    Outcome,
    /// Is each party told of what changes its position in law?
    Untold,
    /// Can each seat be held, and each step be taken by those who may?
    Conflict,
    /// Does each state offer the rights that are declared for it?
    Right,
    /// Is it certain what happens when two clocks or conditions come true at one instant?
    Race,
    /// Does each child know what becomes of it when its parent ends?
    Orphan,
    /// Does each invariant hold in every state that the steps lead to?
    Invariant,
}

impl Question {
    /// All of them.
    pub const ALL: [Question; 16] = [
        Question::Unused,
        Question::Data,
        Question::Opening,
        Question::Unreachable,
        Question::NeverFires,
        Question::DeadEnd,
        Question::SilentWait,
        Question::Loop,
        Question::AutoLoop,
        Question::Outcome,
        Question::Untold,
        Question::Conflict,
        Question::Right,
        Question::Race,
        Question::Orphan,
        Question::Invariant,
    ];
}

/// What a play of a finding would show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// That this state is reached, and what then never happens.
    Stuck {
        /// The kind.
        kind: String,
        /// The state.
        state: String,
    },
    /// That the step into this state is refused, because it would wait in silence.
    Parks {
        /// The kind.
        kind: String,
        /// The state.
        state: String,
        /// The transitions that enter it so; any, when empty.
        by: Vec<String>,
    },
    /// That a step is refused, or does not happen, where it should be open.
    Closed {
        /// The kind.
        kind: String,
        /// The transition.
        transition: String,
    },
    /// That nothing leads to this state from where one might look for it.
    Unreached {
        /// The kind.
        kind: String,
        /// The state.
        state: String,
    },
    /// That one can go round and round.
    Round {
        /// The kind.
        kind: String,
        /// The state where the round begins and ends.
        state: String,
        /// The transitions, in order.
        round: Vec<String>,
    },
    /// That a chain of automatic steps does not end.
    Endless {
        /// The kind.
        kind: String,
        /// The state where it begins.
        state: String,
    },
    /// That somebody is not told of a step.
    Untold {
        /// The kind.
        kind: String,
        /// The transition.
        transition: String,
        /// The side.
        side: String,
    },
    /// That a right is not offered in a state.
    Right {
        /// The kind.
        kind: String,
        /// The state.
        state: String,
        /// Whose right.
        of: String,
        /// The actions that would be it.
        actions: Vec<String>,
    },
    /// That two deadlines fall due at one instant.
    Deadlines {
        /// The kind.
        kind: String,
        /// The state in which both run.
        state: String,
        /// The deadlines.
        both: [String; 2],
    },
    /// That two automatic steps are open at once, and the order of the file decides.
    Autos {
        /// The kind.
        kind: String,
        /// The state.
        state: String,
        /// The transitions.
        both: [String; 2],
    },
    /// That these steps in this order break an invariant.
    Breach {
        /// `kind.transition`, in order.
        path: Vec<String>,
    },
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The question that found it.
    pub question: Question,
    /// Where and what.
    pub mistake: Mistake,
    /// What a play of it would show; none for spelling and types.
    pub aim: Option<Aim>,
}

/// All that a check has to say.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, in the order of the file.
    pub findings: Vec<Finding>,
    /// What could not be settled, and why.
    pub notes: Vec<String>,
}

impl Report {
    /// The mistakes alone.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        self.findings.iter().map(|f| f.mistake.clone()).collect()
    }
}

/// Asks every question.
#[must_use]
pub fn report(definition: &Definition, places: &Places) -> Report {
    ask(definition, places, &Question::ALL)
}

/// Asks some of the questions.
#[must_use]
pub fn ask(definition: &Definition, places: &Places, questions: &[Question]) -> Report {
    let mut room = Room { model: Model::of(definition), definition, places, report: Report::default() };
    for question in questions {
        match question {
            Question::Unused => names::unused(&mut room),
            Question::Data => names::data(&mut room),
            Question::Opening => ends::openings(&mut room),
            Question::Unreachable => paths::unreachable(&mut room),
            Question::NeverFires => paths::never_fires(&mut room),
            Question::DeadEnd => paths::dead_ends(&mut room),
            Question::SilentWait => waits::silent(&mut room),
            Question::Loop => loops::loops(&mut room),
            Question::AutoLoop => loops::autos(&mut room),
            Question::Outcome => waits::outcomes(&mut room),
            Question::Untold => told::untold(&mut room),
            Question::Conflict => conflicts::conflicts(&mut room),
            Question::Right => rights::forgotten(&mut room),
            Question::Race => races::races(&mut room),
            Question::Orphan => ends::orphans(&mut room),
            Question::Invariant => invariants::breaches(&mut room),
        }
    }
    let mut report = room.report;
    report.findings.sort_by(|a, b| {
        let place = |f: &Finding| (f.mistake.line, f.mistake.column, f.question);
        place(a).cmp(&place(b)).then_with(|| a.mistake.key.cmp(&b.mistake.key)).then_with(|| a.mistake.message.cmp(&b.mistake.message))
    });
    report.findings.dedup_by(|a, b| a.mistake == b.mistake);
    report
}

/// Where a question is asked, and where its findings go.
struct Room<'d> {
    model: Model<'d>,
    definition: &'d Definition,
    places: &'d Places,
    report: Report,
}

impl Room<'_> {
    fn say(&mut self, question: Question, key: &str, message: impl Into<String>, hint: &str, aim: Option<Aim>) {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let mistake = at(self.places, key, message, hint);
        self.report.findings.push(Finding { question, mistake, aim });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.report.notes.push(text.into());
    }
}
