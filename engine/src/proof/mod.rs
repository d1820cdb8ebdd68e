//! Proof that nothing stored was altered: everything is computed anew from the rows, and each difference is named.
//!
//! `log` takes signed checkpoints over all cases, `verify` walks the whole database, `chain` looks at one case's events
//! and `belongings` at what belongs to them, `replay` folds each history and compares it with what is stored beside it,
//! `texts` are the pinned texts, held against their digests. Nothing here writes, but for `log`.
//!
//! Who may read the database can do all this with the installation's key; who has only the checkpoints and the public key
//! can check those. What cannot be found stands in `ARCHITECTURE.md`.

mod belongings;
mod chain;
pub mod log;
mod replay;
mod rows;
mod texts;
mod verify;
mod witness;

pub use verify::{Ask, verify};

use serde::Serialize;

/// Findings that are kept; those beyond are only counted.
pub const MAX_FINDINGS: usize = 1_000;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A row holds bytes that its column cannot mean.
    Unreadable,
    /// An event's hash does not follow from its body and the hash before it.
    Hash,
    /// An event is not where its number says: the one that should be there is missing, or another is.
    Gap,
    /// The case's row says another version, or another hash, than its last event.
    Head,
    /// What an event speaks of is not there.
    Missing,
    /// No event speaks of this.
    Unexplained,
    /// It does not open with the case's key: it was changed, or belongs elsewhere.
    Sealed,
    /// It is not what its event committed to.
    Differs,
    /// It belongs to a case that is not there.
    NoCase,
    /// The numbers of a series that cases bear are not all those that were drawn, each once.
    Series,
    /// A pinned text is missing, or is another than its digest says.
    Pinned,
    /// It is not what the case's history leads to.
    Replay,
    /// A leaf of the log is missing or out of place.
    Log,
    /// A version that was under a checkpoint is no longer there: the case's end was cut off, or the case is gone.
    Cut,
    /// A version that was under a checkpoint has another hash: the case was written anew.
    Rewritten,
    /// The log holds less than a checkpoint says.
    LogShort,
    /// The leaves have another root than a checkpoint says.
    Root,
    /// A checkpoint cannot be read, or does not follow from the one before.
    Checkpoint,
    /// A checkpoint was not signed by the key that was asked for.
    Signature,
}

/// One thing that is not as it was written. Holds ids and names of columns, never what a value holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The case, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The event, if it is one or belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<i64>,
    /// The table.
    pub table: &'static str,
    /// The rest of the row's key, or the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Nothing was found.
    pub whole: bool,
    /// Cases.
    pub cases: u64,
    /// Events whose hash was computed anew.
    pub events: u64,
    /// Values that were opened and held against their commitment.
    pub values: u64,
    /// Files that were opened and hashed.
    pub files: u64,
    /// Histories were folded and compared with what is stored.
    pub replayed: bool,
    /// Signed checkpoints in the database.
    pub checkpoints: u64,
    /// Lines of the file of checkpoints; none when there was none to compare with.
    pub lines: Option<u64>,
    /// Versions of cases under checkpoints, each held against the event it names.
    pub logged: u64,
    /// When the last checkpoint was taken.
    pub last_checkpoint: Option<String>,
    /// Cases that have changed since, for which the chain alone stands.
    pub since: u64,
    /// What is not as it was written.
    pub findings: Vec<Finding>,
    /// How many more there are than are listed.
    pub more: u64,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn found(&mut self, fault: Fault, table: &'static str, at: impl Into<Option<String>>) {
        self.add(Finding { fault, case: None, event: None, table, at: at.into() });
    }
}

/// Findings of one case.
struct OfCase<'r> {
    case: &'r str,
    report: &'r mut Report,
}

impl OfCase<'_> {
    fn found(&mut self, fault: Fault, event: impl Into<Option<i64>>, table: &'static str, at: impl Into<Option<String>>) {
        self.report.add(Finding { fault, case: Some(self.case.to_owned()), event: event.into(), table, at: at.into() });
    }
}
