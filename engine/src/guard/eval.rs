//! What a guard answers in one case: a value, or *unknown* with the names that were missing.
//!
//! Not here: which guards are well formed (`check`). Whatever the scope holds, evaluation ends and never panics.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeSet};

use chrono::TimeDelta;
use rust_decimal::Decimal;

use super::ast::{Expr, Fold, Items, Kind, Over, Path, Relation, Sign};
use crate::value::{Money, Value, is_writable};

/// What a scope holds under a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Slot<'a> {
    /// This value; lists of proceedings are lists of records.
    Set(Cow<'a, Value>),
    /// Nothing yet.
    Unset,
    /// Nothing any more: the data was erased.
    Erased,
}

/// What the names of a guard hold while it is evaluated.
pub trait Scope {
    /// The value under a path such as `["facts", "claim"]`. Only paths that [`Names`](super::Names) allowed are asked
    /// for; what lies inside an item of a list is not asked for but looked up in the list.
    fn get(&self, path: &[&str]) -> Slot<'_>;
}

impl<'a> Slot<'a> {
    /// What lies in `value` under `path`; for scopes that hold whole records.
    pub fn within(value: &'a Value, path: &[&str]) -> Slot<'a> {
        let mut found = value;
        for name in path {
            match found {
                Value::Record(fields) => match fields.get(*name) {
                    Some(field) => found = field,
                    None => return Slot::Unset,
                },
                _ => return Slot::Unset,
            }
        }
        Slot::Set(Cow::Borrowed(found))
    }
}

/// A record of roots is a scope.
impl Scope for Value {
    fn get(&self, path: &[&str]) -> Slot<'_> {
        Slot::within(self, path)
    }
}

/// The answer of a guard.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A value of the type that was wanted.
    Known(Value),
    /// No answer can be given.
    Unknown {
        /// The names that hold nothing, as dotted paths, sorted.
        missing: Vec<String>,
        /// The gravest reason.
        reason: Reason,
    },
}

/// Why a guard has no answer, from harmless to grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Something is not set.
    Unset,
    /// Something was erased.
    Erased,
    /// A sum, an amount or a day left its bounds.
    Overflow,
    /// The scope held a value that is not of the type that was declared: a mistake of ours.
    Mismatch,
}

impl Outcome {
    /// Whether the guard holds. Unknown does not.
    pub fn is_true(&self) -> bool {
        *self == Outcome::Known(Value::Bool(true))
    }
}

/// Unknown, while it travels upwards.
#[derive(Debug)]
pub(super) struct Unknown {
    missing: BTreeSet<String>,
    reason: Reason,
}

impl Unknown {
    fn of(reason: Reason) -> Unknown {
        Unknown { missing: BTreeSet::new(), reason }
    }

    fn at(path: Vec<String>, reason: Reason) -> Unknown {
        Unknown { missing: BTreeSet::from([path.join(".")]), reason }
    }

    fn join(earlier: Option<Unknown>, later: Unknown) -> Unknown {
        let Some(mut both) = earlier else {
            return later;
        };
        both.missing.extend(later.missing);
        both.reason = both.reason.max(later.reason);
        both
    }
}

impl From<Result<Value, Unknown>> for Outcome {
    fn from(answer: Result<Value, Unknown>) -> Outcome {
        match answer {
            Ok(value) => Outcome::Known(value),
            Err(Unknown { missing, reason }) => Outcome::Unknown { missing: missing.into_iter().collect(), reason },
        }
    }
}

pub(super) type Answer<T> = Result<T, Unknown>;

/// Where an expression is evaluated: the scope, and the items around it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    scope: &'a dyn Scope,
    item: Option<&'a Item<'a>>,
}

struct Item<'a> {
    names: Items<'a>,
    value: &'a Value,
    outer: Option<&'a Item<'a>>,
}

impl<'a> Place<'a> {
    pub fn of(scope: &'a dyn Scope) -> Place<'a> {
        Place { scope, item: None }
    }

    pub fn value(self, expr: &'a Expr) -> Answer<Cow<'a, Value>> {
        let owned = match &expr.kind {
            Kind::Literal(value) => return Ok(Cow::Borrowed(value)),
            Kind::Path(path) => return self.path(path),
            Kind::Has(path) => Value::Bool(matches!(self.slot(path), Slot::Set(_))),
            Kind::Not(inner) => Value::Bool(!self.truth(inner)?),
            Kind::Negate(inner) => negate(&*self.value(inner)?)?,
            Kind::And(parts) => Value::Bool(kleene(parts.iter().map(|part| self.truth(part)), false)?),
            Kind::Or(parts) => Value::Bool(kleene(parts.iter().map(|part| self.truth(part)), true)?),
            Kind::Compare(relation, left, right) => {
                let (left, right) = self.both(left, right)?;
                Value::Bool(relation.holds(compare(&left, &right)?))
            }
            Kind::In(left, right) => {
                let (left, right) = self.both(left, right)?;
                let Value::List(items) = right.as_ref() else {
                    return Err(Unknown::of(Reason::Mismatch));
                };
                let equal = |item| compare(&left, item).map(|order| order == Some(Ordering::Equal));
                Value::Bool(kleene(items.iter().map(equal), true)?)
            }
            Kind::Chain(first, rest) => self.chain(first, rest)?,
            Kind::List(items) => Value::List(all_known(items.iter().map(|item| self.value(item).map(Cow::into_owned)))?),
            Kind::Size(inner) => match self.value(inner)?.as_ref() {
                Value::List(items) => count(items.len())?,
                Value::Text(text) => count(text.chars().count())?,
                _ => return Err(Unknown::of(Reason::Mismatch)),
            },
            Kind::Over(over) => self.over(over)?,
        };
        Ok(Cow::Owned(owned))
    }

    fn truth(self, expr: &'a Expr) -> Answer<bool> {
        match self.value(expr)?.as_ref() {
            Value::Bool(value) => Ok(*value),
            _ => Err(Unknown::of(Reason::Mismatch)),
        }
    }

    /// Both sides, so that every missing name is told and not just the first.
    fn both(self, left: &'a Expr, right: &'a Expr) -> Answer<(Cow<'a, Value>, Cow<'a, Value>)> {
        match (self.value(left), self.value(right)) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            (Err(left), Err(right)) => Err(Unknown::join(Some(left), right)),
            (Err(unknown), _) | (_, Err(unknown)) => Err(unknown),
        }
    }

    fn slot(self, path: &Path) -> Slot<'a> {
        let fields = path.fields.iter().map(|field| field.text.as_str());
        let mut around = self.item;
        while let Some(item) = around {
            if item.names.name == path.root.text {
                return Slot::within(item.value, &fields.collect::<Vec<_>>());
            }
            around = item.outer;
        }
        self.scope.get(&std::iter::once(path.root.text.as_str()).chain(fields).collect::<Vec<_>>())
    }

    fn path(self, path: &Path) -> Answer<Cow<'a, Value>> {
        let reason = match self.slot(path) {
            Slot::Set(value) => return Ok(value),
            Slot::Unset => Reason::Unset,
            Slot::Erased => Reason::Erased,
        };
        Err(Unknown::at(path.resolve(self.item.map(|item| &item.names)), reason))
    }

    fn chain(self, first: &'a Expr, rest: &'a [(Sign, Expr)]) -> Answer<Value> {
        let parts = all_known(std::iter::once(first).chain(rest.iter().map(|(_, part)| part)).map(|p| self.value(p)))?;
        let (first, others) = parts.split_first().ok_or_else(|| Unknown::of(Reason::Mismatch))?;
        let mut sum = first.as_ref().clone();
        for ((sign, _), part) in rest.iter().zip(others) {
            sum = add(&sum, *sign, part)?;
        }
        Ok(sum)
    }

    fn over(self, over: &Over) -> Answer<Value> {
        let list = self.path(&over.list)?;
        let Value::List(items) = list.as_ref() else {
            return Err(Unknown::of(Reason::Mismatch));
        };
        let outer = self.item.map(|item| &item.names);
        let path = over.list.resolve(outer);
        let around = |value| Item { names: Items { name: &over.item.text, list: &path, outer }, value, outer: self.item };
        let truths = items.iter().map(|value| {
            let item = around(value);
            Place { scope: self.scope, item: Some(&item) }.truth(&over.body)
        });
        match &over.fold {
            Fold::Exists => kleene(truths, true).map(Value::Bool),
            Fold::All => kleene(truths, false).map(Value::Bool),
            Fold::Sum(zero) => {
                let parts = all_known(items.iter().map(|value| {
                    let item = around(value);
                    let place = Place { scope: self.scope, item: Some(&item) };
                    place.value(&over.body).map(Cow::into_owned)
                }))?;
                parts.iter().try_fold(zero.clone(), |sum, part| add(&sum, Sign::Plus, part))
            }
        }
    }
}

/// Kleene's and (`absorbing` is false) and or (true): one absorbing part decides, whatever is unknown beside it.
fn kleene(parts: impl Iterator<Item = Answer<bool>>, absorbing: bool) -> Answer<bool> {
    let mut unknown = None;
    for part in parts {
        match part {
            Ok(truth) if truth == absorbing => return Ok(absorbing),
            Ok(_) => {}
            Err(more) => unknown = Some(Unknown::join(unknown, more)),
        }
    }
    unknown.map_or(Ok(!absorbing), Err)
}

/// Every part, or everything that is missing in them.
fn all_known<T>(parts: impl Iterator<Item = Answer<T>>) -> Answer<Vec<T>> {
    let (mut known, mut unknown) = (Vec::new(), None);
    for part in parts {
        match part {
            Ok(value) => known.push(value),
            Err(more) => unknown = Some(Unknown::join(unknown, more)),
        }
    }
    unknown.map_or(Ok(known), Err)
}

fn count(len: usize) -> Answer<Value> {
    i64::try_from(len).map(Value::Int).map_err(|_| Unknown::of(Reason::Overflow))
}

/// How two values of one type stand to each other; `None` where they differ without an order.
pub(super) fn compare(left: &Value, right: &Value) -> Answer<Option<Ordering>> {
    use Value::{Bool, Date, Decimal as Dec, Instant, Int, Money, Text};
    let unordered = |equal: bool| equal.then_some(Ordering::Equal);
    Ok(match (left, right) {
        (Bool(left), Bool(right)) => unordered(left == right),
        (Text(left), Text(right)) => unordered(left == right),
        (Int(left), Int(right)) => Some(left.cmp(right)),
        (Int(left), Dec(right)) => Some(Decimal::from(*left).cmp(right)),
        (Dec(left), Int(right)) => Some(left.cmp(&Decimal::from(*right))),
        (Dec(left), Dec(right)) => Some(left.cmp(right)),
        (Money(left), Money(right)) => Some(left.cmp(right)),
        (Date(left), Date(right)) => Some(left.cmp(right)),
        (Instant(left), Instant(right)) => Some(left.cmp(right)),
        _ => return Err(Unknown::of(Reason::Mismatch)),
    })
}

impl Relation {
    pub(super) fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Relation::Equal => order == Some(Ordering::Equal),
            Relation::NotEqual => order != Some(Ordering::Equal),
            Relation::Less => order == Some(Ordering::Less),
            Relation::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Relation::Greater => order == Some(Ordering::Greater),
            Relation::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

pub(super) fn negate(value: &Value) -> Answer<Value> {
    match value {
        Value::Int(_) => add(&Value::Int(0), Sign::Minus, value),
        Value::Decimal(number) => Ok(Value::Decimal(-*number)),
        Value::Money(_) => add(&Value::Money(Money::ZERO), Sign::Minus, value),
        _ => Err(Unknown::of(Reason::Mismatch)),
    }
}

pub(super) fn add(sum: &Value, sign: Sign, part: &Value) -> Answer<Value> {
    use Value::{Date, Decimal as Dec, Int, Money};
    let plus = sign == Sign::Plus;
    let result = match (sum, part) {
        (Int(sum), Int(part)) => (if plus { sum.checked_add(*part) } else { sum.checked_sub(*part) }).map(Int),
        (Int(sum), Dec(part)) => exact(Decimal::from(*sum), plus, *part),
        (Dec(sum), Int(part)) => exact(*sum, plus, Decimal::from(*part)),
        (Dec(sum), Dec(part)) => exact(*sum, plus, *part),
        (Money(sum), Money(part)) => (if plus { sum.checked_add(*part) } else { sum.checked_sub(*part) }).map(Money),
        (Date(from), Date(to)) if !plus => Some(Int(from.signed_duration_since(*to).num_days())),
        (Date(date), Int(days)) => {
            let days = if plus { Some(*days) } else { days.checked_neg() };
            let moved = days.and_then(TimeDelta::try_days).and_then(|days| date.checked_add_signed(days));
            moved.filter(|date| is_writable(*date)).map(Date)
        }
        _ => return Err(Unknown::of(Reason::Mismatch)),
    };
    result.ok_or_else(|| Unknown::of(Reason::Overflow))
}

/// `Decimal` would round a sum that needs more digits than it has; here that is an overflow.
fn exact(sum: Decimal, plus: bool, part: Decimal) -> Option<Value> {
    let result = if plus { sum.checked_add(part) } else { sum.checked_sub(part) }?;
    let rounded = !sum.is_zero() && !part.is_zero() && result.scale() < sum.scale().max(part.scale());
    (!rounded).then_some(Value::Decimal(result))
}
