//! The syntax tree of a guard. The checker turns its literals into the types they stand for; the evaluator reads it.
//!
//! Not here: how text becomes a tree (`parse`), and what a tree means (`check`, `eval`).

use std::{collections::BTreeSet, ops::Range};

use crate::value::Value;

/// Where something stands in the source, in bytes.
pub(super) type Span = Range<usize>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expr {
    pub span: Span,
    pub kind: Kind,
}

/// Chains (`&&`, `||`, `+ -`) are flat, so that a long one is not a deep one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    Path(Path),
    Has(Path),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Relation, Box<Expr>, Box<Expr>),
    In(Box<Expr>, Box<Expr>),
    Chain(Box<Expr>, Vec<(Sign, Expr)>),
    List(Vec<Expr>),
    Size(Box<Expr>),
    Over(Box<Over>),
}

/// A question to each item of a list: `list.exists(item, body)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Over {
    pub fold: Fold,
    pub list: Path,
    pub item: Name,
    pub body: Expr,
}

/// How the answers for the items become one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fold {
    Exists,
    All,
    /// The sum, from this zero; the checker knows which zero it is.
    Sum(Value),
}

/// `a.b.c`: the name of a root or of an item, then fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub span: Span,
    pub root: Name,
    pub fields: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    pub span: Span,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// The items that are in scope at one place of a guard, innermost first, each with the list it stands for.
#[derive(Clone, Copy)]
pub(super) struct Items<'a> {
    pub name: &'a str,
    pub list: &'a [String],
    pub outer: Option<&'a Items<'a>>,
}

impl Path {
    /// As the source has it.
    pub fn written(&self) -> String {
        self.resolve(None).join(".")
    }

    /// The path with the name of an item replaced by that of its list: `a.state` in `this.appraisal.exists(a, …)` is
    /// `this.appraisal.state`.
    pub fn resolve(&self, items: Option<&Items<'_>>) -> Vec<String> {
        let mut looked_at = items;
        while let Some(item) = looked_at {
            if item.name == self.root.text {
                return item.list.iter().chain(self.fields.iter().map(|field| &field.text)).cloned().collect();
            }
            looked_at = item.outer;
        }
        std::iter::once(&self.root).chain(&self.fields).map(|name| name.text.clone()).collect()
    }
}

impl Expr {
    /// Adds the paths that are read in here.
    pub fn reads(&self, items: Option<&Items<'_>>, found: &mut BTreeSet<Vec<String>>) {
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Path(path) | Kind::Has(path) => {
                found.insert(path.resolve(items));
            }
            Kind::Not(inner) | Kind::Negate(inner) | Kind::Size(inner) => inner.reads(items, found),
            Kind::And(parts) | Kind::Or(parts) | Kind::List(parts) => {
                parts.iter().for_each(|part| part.reads(items, found));
            }
            Kind::Compare(_, left, right) | Kind::In(left, right) => {
                left.reads(items, found);
                right.reads(items, found);
            }
            Kind::Chain(first, rest) => {
                first.reads(items, found);
                rest.iter().for_each(|(_, part)| part.reads(items, found));
            }
            Kind::Over(over) => {
                let list = over.list.resolve(items);
                over.body.reads(Some(&Items { name: &over.item.text, list: &list, outer: items }), found);
                found.insert(list);
            }
        }
    }
}
