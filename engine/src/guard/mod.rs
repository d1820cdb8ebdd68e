//! Guards: the conditions and small expressions of a workflow file, in a typed subset of CEL.
//!
//! A guard is read and checked once, when its workflow is loaded, against the [`Names`] of its place; every mistake has
//! a span and says what would be right. Later it is evaluated in a [`Scope`], as often as needed. A name that holds
//! nothing makes what is asked of it *unknown*, and `&&`, `||`, `exists` and `all` absorb that as CEL absorbs errors:
//! `false && unknown` is false, `true || unknown` is true.
//!
//! Known are `|| && ! == != < <= > >= in + - ( )`, `a.b`, literals, lists `['a', 'b']`, `has(a.b)`, `size(x)`,
//! `list.exists(item, …)`, `list.all(item, …)` and `sum(list, item, …)`. There are no loops, no calls into anything,
//! no clock and no floats.
//!
//! Not here: which names a place of a workflow offers (`definition`), and what they hold in a case (`case`).

mod ast;
mod check;
mod eval;
mod lex;
mod literal;
mod parse;
mod possible;
#[cfg(test)]
mod tests;
mod types;

use std::{collections::BTreeSet, fmt, ops::Range};

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

pub use eval::{Outcome, Reason, Scope, Slot};
pub use possible::{Answers, Held, World};
pub use types::{GuardType, Names};

use crate::value::Value;
use ast::{Expr, Kind};

/// Longest guard, in bytes.
pub const MAX_LENGTH_BYTES: usize = 512;
/// Deepest nesting of brackets, calls and `!`.
pub const MAX_DEPTH: usize = 32;
/// Questions to lists within each other; each level multiplies the work.
pub const MAX_NESTED_LISTS: usize = 2;

/// One thing wrong with a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardMistake {
    /// Where in the source, in bytes; both ends lie between characters.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl GuardMistake {
    fn new(span: Range<usize>, message: impl Into<String>) -> GuardMistake {
        GuardMistake { span, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> GuardMistake {
        GuardMistake { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for GuardMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for GuardMistake {}

/// A guard that has been checked. It is written, compared and stored as its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    source: String,
    expr: Expr,
    /// A whole number may stand where a decimal is wanted; the answer is a decimal all the same.
    widens: bool,
}

/// Reads and checks a guard. All mistakes of one kind come at once: of its words, else its first mistake of form, else
/// all of its names and types. They come in the order of the source.
pub fn check(source: &str, names: &dyn Names, want: GuardType) -> Result<Guard, Vec<GuardMistake>> {
    if source.len() > MAX_LENGTH_BYTES {
        let message = format!("the guard is longer than {MAX_LENGTH_BYTES} bytes");
        let mistake = GuardMistake::new(0..source.len(), message);
        return Err(vec![mistake.hint("give a part of it a transition or a fact of its own")]);
    }
    let mut mistakes = Vec::new();
    let tokens = lex::lex(source, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let mut expr = parse::parse(tokens).map_err(|mistake| vec![mistake])?;
    let mut checker = check::Checker::new(names);
    checker.guard(&mut expr, &want);
    let mut mistakes = checker.mistakes;
    if !mistakes.is_empty() {
        mistakes.sort_by_key(|mistake| (mistake.span.start, mistake.span.end));
        return Err(mistakes);
    }
    Ok(Guard { source: source.to_owned(), expr, widens: holds_decimals(&want) })
}

impl Guard {
    /// The text that was read.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The answer in this scope.
    pub fn eval(&self, scope: &dyn Scope) -> Outcome {
        let answer = eval::Place::of(scope).value(&self.expr).map(std::borrow::Cow::into_owned);
        Outcome::from(answer.map(|value| if self.widens { widened(value) } else { value }))
    }

    /// What it could answer in a world of which only the domains of its names are known.
    pub fn could(&self, world: &dyn World) -> Answers {
        possible::View::of(&self.source, world).answers(&self.expr)
    }

    /// The questions in it that no small domain decides, each once, as they are written: over lists, and comparisons
    /// of which a side can hold anything.
    pub fn open_questions(&self, world: &dyn World) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        possible::View::of(&self.source, world).open(&self.expr, &mut found);
        found
    }

    /// The largest whole number that the path may hold where the guard holds, as far as a clause of its own says so.
    pub fn at_most(&self, path: &[&str]) -> Option<i64> {
        possible::at_most(&self.expr, path)
    }

    /// The literals of the guard, for whoever looks for values that satisfy it.
    pub fn literals(&self) -> Vec<Value> {
        let mut found = Vec::new();
        possible::literals(&self.expr, &mut found);
        found
    }

    /// The parts that `&&` joins at the top, in order, so that a refusal can name each one that fails. A guard without
    /// `&&` is one clause.
    pub fn clauses(&self) -> Vec<Clause<'_>> {
        let mut clauses = Vec::new();
        let mut open = vec![&self.expr];
        while let Some(expr) = open.pop() {
            match &expr.kind {
                Kind::And(parts) => open.extend(parts.iter().rev()),
                _ => clauses.push(Clause { source: self.source.get(expr.span.clone()).unwrap_or(&self.source), expr }),
            }
        }
        clauses
    }

    /// The paths that the guard reads; what is read of an item counts as read of its list.
    pub fn reads(&self) -> BTreeSet<Vec<String>> {
        reads(&self.expr)
    }

    /// Whether the guard reads anything of this root.
    pub fn mentions(&self, root: &str) -> bool {
        self.reads().iter().any(|path| path.first().is_some_and(|first| first == root))
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Serialize for Guard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

/// One of the conditions that `&&` joins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clause<'g> {
    source: &'g str,
    expr: &'g Expr,
}

impl<'g> Clause<'g> {
    /// Its part of the guard's text.
    pub fn source(&self) -> &'g str {
        self.source
    }

    /// Its answer in this scope.
    pub fn eval(&self, scope: &dyn Scope) -> Outcome {
        eval::Place::of(scope).value(self.expr).map(std::borrow::Cow::into_owned).into()
    }

    /// The paths that it reads.
    pub fn reads(&self) -> BTreeSet<Vec<String>> {
        reads(self.expr)
    }
}

fn holds_decimals(ty: &GuardType) -> bool {
    match ty {
        GuardType::List(item) => holds_decimals(item),
        _ => *ty == GuardType::Decimal,
    }
}

fn widened(value: Value) -> Value {
    match value {
        Value::Int(whole) => Value::Decimal(Decimal::from(whole)),
        Value::List(items) => Value::List(items.into_iter().map(widened).collect()),
        other => other,
    }
}

fn reads(expr: &Expr) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    expr.reads(None, &mut found);
    found
}
