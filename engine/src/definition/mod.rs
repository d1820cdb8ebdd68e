//! The workflow language: from a file to a definition that the engine can decide by.
//!
//! `file` is the shape of the file as types; `shape` holds a YAML tree against the types; `compile` resolves names and reads the expressions, `model` is what comes of it; `check` asks the law-shaped questions. A definition is
//! known by the SHA-256 of its canonical form, and a case stays under the one that it was opened with.

pub mod check;
pub mod compile;
pub mod file;
mod marks;
pub mod model;
pub mod names;
pub mod shape;

pub use file::WorkflowFile;
pub use model::{Deadline, Definition, Due, Kind, Step, StepOn, Transition};

use crate::yaml;
use serde::Serialize;
use serde_json::Value as Json;
use std::fmt;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1, in characters.
    pub column: u64,
    /// The key, as `proceedings.mediation.transitions.accept.when`; empty for the whole file.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Mistake {
    /// A mistake of the file as a whole.
    #[must_use]
    pub fn whole(message: impl Into<String>) -> Self {
        Self { line: 1, column: 1, key: String::new(), message: message.into(), hint: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// All mistakes of a file, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Just one.
    #[must_use]
    pub fn one(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl From<yaml::SyntaxError> for Mistakes {
    fn from(error: yaml::SyntaxError) -> Self {
        Self::one(Mistake { line: error.line.max(1), column: error.column.max(1), key: String::new(), message: error.message, hint: None })
    }
}

/// The known name nearest to a wrong one, if near enough to ask "did you mean".
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4)
        .min()
        .map(|(_, name)| name)
}

/// The JSON Schema of a workflow file, for editors. `workflows/schema.json` is this.
#[must_use]
pub fn json_schema() -> Json {
    shape::schema_of::<WorkflowFile>().as_ref().clone()
}

/// Reads a definition that was pinned when a case was decided under it. What a later release would find wrong with it
/// no longer matters.
///
/// # Errors
/// When it cannot be read at all.
pub fn load_pinned(canonical: &str) -> Result<Definition, Mistakes> {
    let file: WorkflowFile = serde_json::from_str(canonical).map_err(|error| Mistakes::one(Mistake::whole(error.to_string())))?;
    let (definition, mistakes) = compile::compile(file, &shape::Places::new());
    if mistakes.is_empty() { Ok(definition) } else { Err(Mistakes(mistakes)) }
}

/// Reads, resolves and checks a workflow file.
///
/// # Errors
/// Every mistake that can be seen at once: first of syntax, then of shape, then of names and rules.
pub fn load(source: &str) -> Result<Definition, Mistakes> {
    let (definition, report) = load_with_findings(source)?;
    if report.findings.is_empty() { Ok(definition) } else { Err(Mistakes(report.mistakes())) }
}

/// Reads and resolves a workflow file, and says what is wrong with the procedure that it describes: a definition that
/// one can play and learn from, but that no case may be opened under while there are findings.
///
/// # Errors
/// Every mistake of syntax, of shape, or of names.
pub fn load_with_findings(source: &str) -> Result<(Definition, check::Report), Mistakes> {
    let tree = yaml::read(source)?;
    let (fitted, places) = shape::fit(&tree, &shape::schema_of::<WorkflowFile>())?;
    let file: WorkflowFile =
        fitted.read().map_err(|error| Mistakes::one(Mistake::whole(format!("the file fits the schema and yet cannot be read: {error}"))))?;
    let (definition, mut mistakes) = compile::compile(file, &places);
    if mistakes.is_empty() {
        let report = check::report(&definition, &places);
        return Ok((definition, report));
    }
    mistakes.sort_by_key(|m| (m.line, m.column));
    mistakes.dedup();
    Err(Mistakes(mistakes))
}
