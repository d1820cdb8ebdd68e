//! What happened: the events of a case, as they are stored for ever.
//!
//! An event carries all that `evolve` needs; replay asks neither the definition nor a rule. It holds ids and
//! commitments, never a person's data: values live apart, under the case's key, so that they can be erased.
//! The shape of a released event is never changed; a sample of each stands in the tests.

use crate::ids::{AccountId, CaseId, FileId, LegalTime, PersonId, ProceedingId};
use chrono::{DateTime, FixedOffset, NaiveDate};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One event of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the case, from 1 without gaps.
    pub seq: u64,
    /// When it was written down.
    pub recorded_at: DateTime<FixedOffset>,
    /// When it counts in law.
    pub legal_at: LegalTime,
    /// Who acted, who keyed it in, on what evidence.
    pub acted: Acted,
    /// The event that led to it, when no person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// The texts it was decided under.
    pub under: Under,
    /// What happened.
    pub what: What,
}

/// Digests of the texts that a decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Under {
    /// The workflow.
    pub definition: String,
    /// The policy set.
    pub policy: String,
    /// The calendar.
    pub calendar: String,
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Who acted in law.
    pub who: Who,
    /// As what: a role, a seat or a side.
    #[serde(rename = "as")]
    pub as_: String,
    /// Who keyed it in, when that was somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_by: Option<AccountId>,
    /// Files that prove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<FileId>,
}

impl Acted {
    /// The engine, because a rule or a clock said so.
    #[must_use]
    pub fn engine(who: Who) -> Self {
        Self { who, as_: "engine".to_owned(), entered_by: None, evidence: Vec::new() }
    }
}

/// Somebody or something that acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// An account of the installation.
    Account(AccountId),
    /// A person of the case.
    Person(PersonId),
    /// A body outside, acting by paper that staff keyed in.
    Body,
    /// A deadline.
    Clock,
    /// A rule of the workflow that fired by itself.
    Rule,
}

/// Where a value is kept: the event that set it and its number in that event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ValueId(pub u64, pub u32);

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A value that was set: its name, where it is kept, and what commits to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Name of the fact or datum.
    pub name: String,
    /// Where it is kept.
    pub value: ValueId,
    /// SHA-256 over the salt and the value's canonical form.
    pub commitment: String,
}

/// Someone who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The notice.
    pub notice: String,
    /// Who: a person, or an account.
    pub who: Who,
    /// As what: a side, a seat or a role.
    #[serde(rename = "as")]
    pub as_: String,
    /// Must be served.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// A number out of a series; the writer fills `seq` before the event is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The series.
    pub series: String,
    /// The year of recording.
    pub year: i32,
    /// The place in the series, from 1 without gaps.
    pub seq: u32,
    /// The number as printed.
    pub text: String,
}

/// The answer of somebody asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Agreed, or signed.
    Given,
    /// Refused.
    Refused,
    /// Took back an answer.
    Withdrawn,
}

/// How a notice reached, or did not reach, a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Served.
    Served,
    /// The recipient would not take it.
    Refused,
    /// It came back.
    Returned,
    /// Nobody could be found.
    Unreachable,
    /// On its way.
    Posted,
    /// The recipient's mail server would not take it.
    Bounced,
    /// No more attempts are made.
    GivenUp,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// The case began.
    CaseOpened {
        /// Name of the workflow.
        workflow: String,
    },
    /// A proceeding was opened or moved.
    Moved(Moved),
    /// Facts were written down.
    Recorded {
        /// The facts.
        set: Vec<Set>,
    },
    /// A person of the case was written down, or written down anew.
    PersonRecorded {
        /// The person.
        person: PersonId,
        /// The side.
        side: String,
        /// A party, or an agent who acts for parties.
        party: bool,
        /// Whom an agent acts for; empty means everyone of the side.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        acts_for: Vec<PersonId>,
        /// Until when an agent may act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<NaiveDate>,
        /// The person's own account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<AccountId>,
        /// Language of letters.
        language: String,
        /// Name, address and the like.
        set: Vec<Set>,
    },
    /// A file was handed in.
    FileAttached {
        /// The file.
        file: FileId,
        /// The kind of paper, or other evidence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paper: Option<String>,
        /// The proceeding it belongs to.
        proceeding: ProceedingId,
        /// Lower-case hexadecimal SHA-256.
        sha256: String,
        /// Size in bytes.
        size: u64,
        /// Media type.
        media_type: String,
    },
    /// A seat was filled.
    Seated {
        /// The seat.
        seat: String,
        /// The proceeding, for a seat of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proceeding: Option<ProceedingId>,
        /// Who holds it.
        account: AccountId,
    },
    /// A seat was emptied.
    Vacated {
        /// The seat.
        seat: String,
        /// The proceeding, for a seat of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proceeding: Option<ProceedingId>,
    },
    /// A standing consent was given or taken back.
    Consented {
        /// Whose.
        person: PersonId,
        /// To what.
        purpose: String,
        /// Given, or withdrawn.
        given: bool,
    },
    /// Somebody who was asked answered.
    Assented {
        /// The proceeding that asks.
        proceeding: ProceedingId,
        /// For whom the answer counts.
        who: Who,
        /// The answer.
        answer: Answer,
        /// Digest of what was shown.
        shown: String,
    },
    /// A round of assents came to its end unanswered.
    RoundLapsed {
        /// The proceeding.
        proceeding: ProceedingId,
    },
    /// A notice was served, or an attempt failed.
    ServiceRecorded {
        /// The event that told it.
        told_in: u64,
        /// Its number in that event.
        index: u32,
        /// Outcome.
        outcome: Service,
        /// By hand, post, e-service or notice board.
        channel: String,
    },
    /// A deadline fell due.
    DeadlineFired {
        /// The run.
        run: RunId,
        /// The last day that was still in time.
        last_day: NaiveDate,
        /// Whether a transition follows; else it left a work item.
        moved: bool,
        /// How many minutes after its time it fired, because nobody was there to fire it.
        #[serde(default, skip_serializing_if = "is_zero")]
        late_minutes: u64,
        /// Who is told that it is due.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tells: Vec<Told>,
    },
    /// A deadline's warning was given.
    DeadlineWarned {
        /// The run.
        run: RunId,
        /// Which warning.
        before: String,
        /// The last day it warns of.
        last_day: NaiveDate,
        /// Who is told.
        tells: Vec<Told>,
    },
    /// A command was sent to another case; it leaves with the commit, and its answer comes back as a command.
    Sent {
        /// The proceeding that sends it.
        proceeding: ProceedingId,
        /// The other case.
        to: CaseId,
        /// `kind.transition` there.
        action: String,
        /// Its input.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        set: Vec<Set>,
        /// What fires here when it was done there.
        done: String,
        /// What fires here when it was refused there.
        refused: String,
    },
    /// An event was taken back, with all that it caused.
    Undone {
        /// The event that was named.
        event: u64,
        /// All that no longer count, that one first.
        undone: Vec<u64>,
        /// The states that result: none for a proceeding that is no more.
        states: Vec<(ProceedingId, Option<String>)>,
        /// Numbers that stay drawn and are void.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        void: Vec<String>,
        /// The reason.
        set: Vec<Set>,
        /// Letters that are called back, and who is told so.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        recalls: Vec<Recall>,
    },
    /// An event was given another date or another value.
    Corrected {
        /// The event.
        event: u64,
        /// New legal times: of that event, and of what followed from it at the same moment.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dates: Vec<(u64, LegalTime)>,
        /// New values, under the names that the event had set; and the reason, as `reason`.
        set: Vec<Set>,
        /// Letters that said it otherwise, each with the letter that corrects it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        recalls: Vec<Recall>,
    },
    /// The case moved to a newer version of its workflow.
    Migrated {
        /// Digest of the version it leaves.
        from: String,
        /// States that have another name there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        states: Vec<(ProceedingId, String)>,
    },
    /// A newer calendar was loaded.
    CalendarChanged {
        /// What changed by it.
        changed: Vec<DueChange>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A letter that is called back: one that has not left never will, one that has is followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The event that had told it.
    pub told_in: u64,
    /// Its number in that event.
    pub index: u32,
    /// The proceeding that had told it.
    pub proceeding: ProceedingId,
    /// The legal moment that the letter that follows speaks of.
    pub legal_at: LegalTime,
    /// The letter that follows.
    pub tells: Told,
}

/// A proceeding was opened or moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// The proceeding; for an opening, named by this event's own number.
    pub proceeding: ProceedingId,
    /// Its kind.
    pub kind: String,
    /// Its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProceedingId>,
    /// The transition; `end` when its parent ended it.
    pub transition: String,
    /// The state left; none for an opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state entered.
    pub to: String,
    /// The outcome, when that state is final.
    #[serde(default, rename = "final", skip_serializing_if = "Option::is_none")]
    pub final_: Option<String>,
    /// Entering it opened a round of assents.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks: bool,
    /// Data that it set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Set>,
    /// The number it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Numbered>,
    /// Forms that it produced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<String>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tells: Vec<Told>,
}

/// A run of a deadline: its proceeding, its name, the event that started it, and its repetition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId {
    /// The proceeding.
    pub proceeding: ProceedingId,
    /// The deadline.
    pub deadline: String,
    /// The event that started it.
    pub started_by: u64,
    /// From 1; more for a deadline that repeats.
    pub nth: u32,
}

/// A due date that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueChange {
    /// The run.
    pub run: RunId,
    /// The last day before.
    pub old: Option<NaiveDate>,
    /// The last day now.
    pub new: Option<NaiveDate>,
}
