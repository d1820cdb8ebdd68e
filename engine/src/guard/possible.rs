//! What a guard could answer when only the domains of its names are known, not what they hold: the question of
//! somebody who reads a workflow before any case runs under it.
//!
//! Nothing here is guessed. An answer that is not among those found is impossible; one that is among them may still be,
//! because names are looked at one by one, unless the caller pins them.

use std::collections::BTreeSet;

use super::ast::{Expr, Fold, Items, Kind, Over, Path, Relation, Sign};
use super::eval::{Slot, add, compare, negate};
use crate::value::Value;

/// A set of answers: yes, no, and unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answers(u8);

impl Answers {
    /// Only yes.
    pub const YES: Answers = Answers(1);
    /// Only no.
    pub const NO: Answers = Answers(2);
    /// Only unknown: something that was asked holds nothing.
    pub const UNKNOWN: Answers = Answers(4);

    /// The answers of both sets.
    #[must_use]
    pub fn or(self, other: Answers) -> Answers {
        Answers(self.0 | other.0)
    }

    /// Whether yes is among them.
    #[must_use]
    pub fn can_be_yes(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether no is among them.
    #[must_use]
    pub fn can_be_no(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether unknown is among them.
    #[must_use]
    pub fn can_be_unknown(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether there is exactly one.
    #[must_use]
    pub fn is_single(self) -> bool {
        self.0.count_ones() == 1
    }

    fn when(condition: bool, answer: Answers) -> Answers {
        if condition { answer } else { Answers(0) }
    }

    fn not(self) -> Answers {
        Answers((self.0 & 4) | ((self.0 & 1) << 1) | ((self.0 & 2) >> 1))
    }

    /// Kleene's and: one no decides, whatever the parts after it are; unknown stays where nothing says no.
    fn and(parts: impl IntoIterator<Item = Answers>) -> Answers {
        let (mut no, mut yes, mut any_unknown, mut none_only_no) = (false, true, false, true);
        for part in parts {
            if part == Answers::NO {
                return Answers::NO;
            }
            no |= part.can_be_no();
            yes &= part.can_be_yes();
            any_unknown |= part.can_be_unknown();
            none_only_no &= part.can_be_yes() || part.can_be_unknown();
        }
        Answers::when(no, Answers::NO).or(Answers::when(yes, Answers::YES)).or(Answers::when(any_unknown && none_only_no, Answers::UNKNOWN))
    }
}

/// What a name may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The values, when they are few; none where it may be any of its type.
    pub values: Option<Vec<Value>>,
    /// Whether it may hold nothing.
    pub unset: bool,
}

impl Held {
    /// Something, nobody knows what.
    #[must_use]
    pub fn something() -> Held {
        Held { values: None, unset: false }
    }

    /// Something or nothing.
    #[must_use]
    pub fn anything() -> Held {
        Held { values: None, unset: true }
    }

    /// Nothing.
    #[must_use]
    pub fn nothing() -> Held {
        Held { values: Some(Vec::new()), unset: true }
    }

    /// One of these.
    #[must_use]
    pub fn one_of(values: Vec<Value>) -> Held {
        Held { values: Some(values), unset: false }
    }

    /// This.
    #[must_use]
    pub fn just(value: Value) -> Held {
        Held::one_of(vec![value])
    }

    /// Or nothing.
    #[must_use]
    pub fn or_nothing(self) -> Held {
        Held { unset: true, ..self }
    }

    fn map(self, f: impl Fn(&Value) -> Option<Value>) -> Held {
        let values = self.values.and_then(|all| all.iter().map(f).collect());
        Held { values, unset: self.unset }
    }

    fn truth(&self) -> Answers {
        let is = |b: bool| self.values.as_ref().is_none_or(|v| v.contains(&Value::Bool(b)));
        Answers::when(is(true), Answers::YES).or(Answers::when(is(false), Answers::NO)).or(Answers::when(self.unset, Answers::UNKNOWN))
    }
}

/// What names may hold.
pub trait World {
    /// What the path may hold; a field of an item is asked for under the path of its list.
    fn held(&self, path: &[String]) -> Held;
    /// The answer to a question as it is written, when somebody has settled it.
    fn settled(&self, question: &str) -> Option<Answers>;
    /// How many items the list at this path has, where that is known and each can be asked for by its place.
    fn items(&self, _list: &[String]) -> Option<usize> {
        None
    }
    /// What a field of an item may hold; none where only the list as a whole can say.
    fn item(&self, _list: &[String], _place: usize, _field: &str) -> Option<Held> {
        None
    }
}

/// At most so many pairs are compared one by one.
const PAIRS_MAX: usize = 4_096;

/// Where an expression is looked at.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    source: &'a str,
    world: &'a dyn World,
    items: Option<&'a Items<'a>>,
    known: Option<&'a Known<'a>>,
}

/// An item that is looked at by itself.
struct Known<'a> {
    name: &'a str,
    item: Item<'a>,
    outer: Option<&'a Known<'a>>,
}

/// How an item is known.
enum Item<'a> {
    Value(&'a Value),
    Place(&'a [String], usize),
}

impl<'a> View<'a> {
    pub fn of(source: &'a str, world: &'a dyn World) -> View<'a> {
        View { source, world, items: None, known: None }
    }

    pub fn answers(self, expr: &Expr) -> Answers {
        let found = self.found(expr);
        if found.is_single() {
            return found;
        }
        // What a caller has settled narrows what is open, and never contradicts what is certain.
        let settled = self.question(expr).and_then(|question| self.world.settled(question)).map(|s| Answers(s.0 & found.0));
        settled.filter(|s| s.0 != 0).unwrap_or(found)
    }

    fn found(self, expr: &Expr) -> Answers {
        match &expr.kind {
            Kind::Has(path) => {
                let held = self.held(path);
                let some = held.values.as_ref().is_none_or(|v| !v.is_empty());
                Answers::when(some, Answers::YES).or(Answers::when(held.unset, Answers::NO))
            }
            Kind::Not(inner) => self.answers(inner).not(),
            Kind::And(parts) => Answers::and(parts.iter().map(|p| self.answers(p))),
            Kind::Or(parts) => Answers::and(parts.iter().map(|p| self.answers(p).not())).not(),
            Kind::Compare(relation, left, right) => self.compare(*relation, &self.term(left), &self.term(right)),
            Kind::In(left, right) => self.member(&self.term(left), right),
            Kind::Over(over) => self.over(over),
            _ => self.term(expr).truth(),
        }
    }

    /// The text of a question that a caller may settle: not inside a list, where it is asked once for each item.
    fn question(self, expr: &Expr) -> Option<&'a str> {
        let asks = matches!(expr.kind, Kind::Over(_) | Kind::Compare(..) | Kind::In(..));
        (asks && self.items.is_none()).then(|| self.source.get(expr.span.clone())).flatten()
    }

    /// Collects the questions that small domains do not decide.
    pub fn open(self, expr: &Expr, found: &mut BTreeSet<String>) {
        match &expr.kind {
            Kind::Not(inner) => self.open(inner, found),
            Kind::And(parts) | Kind::Or(parts) => parts.iter().for_each(|p| self.open(p, found)),
            Kind::Compare(_, left, right) if self.term(left).values.is_some() && self.term(right).values.is_some() => {}
            Kind::In(left, right) if self.term(left).values.is_some() && self.term(right).values.is_some() => {}
            Kind::Over(_) if self.found(expr).is_single() => {}
            _ => found.extend(self.question(expr).map(str::to_owned)),
        }
    }

    fn held(self, path: &Path) -> Held {
        let mut known = self.known;
        while let Some(item) = known {
            if item.name == path.root.text {
                let found = match (&item.item, path.fields.as_slice()) {
                    (Item::Place(list, place), [field]) => self.world.item(list, *place, &field.text),
                    (Item::Place(..), _) => None,
                    (Item::Value(value), fields) => {
                        let fields: Vec<&str> = fields.iter().map(|f| f.text.as_str()).collect();
                        if let Slot::Set(value) = Slot::within(value, &fields) { Some(Held::just(value.into_owned())) } else { None }
                    }
                };
                match found {
                    Some(held) => return held,
                    None => break,
                }
            }
            known = item.outer;
        }
        self.world.held(&path.resolve(self.items))
    }

    fn term(self, expr: &Expr) -> Held {
        match &expr.kind {
            Kind::Literal(value) => Held::just(value.clone()),
            Kind::Path(path) => self.held(path),
            Kind::Negate(inner) => self.term(inner).map(|v| negate(v).ok()),
            Kind::Chain(first, rest) => rest.iter().fold(self.term(first), |sum, (sign, part)| chain(&sum, *sign, &self.term(part))),
            Kind::List(parts) => {
                let parts: Vec<Held> = parts.iter().map(|p| self.term(p)).collect();
                let unset = parts.iter().any(|p| p.unset);
                let single = |p: &Held| p.values.as_ref().filter(|v| v.len() == 1).map(|v| v[0].clone());
                let all: Option<Vec<Value>> = parts.iter().map(single).collect();
                Held { values: all.map(|all| vec![Value::List(all)]), unset }
            }
            Kind::Size(inner) => self.term(inner).map(|v| match v {
                Value::List(items) => i64::try_from(items.len()).ok().map(Value::Int),
                Value::Text(text) => i64::try_from(text.chars().count()).ok().map(Value::Int),
                _ => None,
            }),
            Kind::Over(over) if matches!(over.fold, Fold::Sum(_)) => Held { values: None, unset: true },
            _ => {
                let answers = self.answers(expr);
                let values = [(answers.can_be_yes(), true), (answers.can_be_no(), false)];
                Held {
                    values: Some(values.into_iter().filter(|(can, _)| *can).map(|(_, b)| Value::Bool(b)).collect()),
                    unset: answers.can_be_unknown(),
                }
            }
        }
    }

    fn compare(self, relation: Relation, left: &Held, right: &Held) -> Answers {
        let unknown = Answers::when(left.unset || right.unset, Answers::UNKNOWN);
        match (&left.values, &right.values) {
            (Some(lefts), Some(rights)) if lefts.len() * rights.len() <= PAIRS_MAX => {
                let pairs = lefts.iter().flat_map(|l| rights.iter().map(move |r| (l, r)));
                pairs.fold(unknown, |found, (l, r)| match compare(l, r) {
                    Ok(order) => found.or(if relation.holds(order) { Answers::YES } else { Answers::NO }),
                    Err(_) => found.or(Answers::UNKNOWN),
                })
            }
            _ => unknown.or(Answers::YES).or(Answers::NO),
        }
    }

    fn member(self, left: &Held, right: &Expr) -> Answers {
        if let Kind::List(parts) = &right.kind {
            // One value of the left at a time, so that `x in ['a', 'b']` is not `no` for both and `yes` for neither.
            return match &left.values {
                Some(values) if parts.iter().all(|p| matches!(p.kind, Kind::Literal(_))) => values
                    .iter()
                    .map(|v| {
                        let equal = |p: &Expr| matches!(&p.kind, Kind::Literal(l) if compare(v, l).is_ok_and(|o| Relation::Equal.holds(o)));
                        if parts.iter().any(equal) { Answers::YES } else { Answers::NO }
                    })
                    .fold(Answers::when(left.unset, Answers::UNKNOWN), Answers::or),
                _ => Answers::and(parts.iter().map(|p| self.compare(Relation::Equal, left, &self.term(p)).not())).not(),
            };
        }
        let right = self.term(right);
        Answers::YES.or(Answers::NO).or(Answers::when(left.unset || right.unset, Answers::UNKNOWN))
    }

    fn over(self, over: &Over) -> Answers {
        let path = over.list.resolve(self.items);
        let items = Items { name: &over.item.text, list: &path, outer: self.items };
        let exists = over.fold == Fold::Exists;
        let one = |item: Item<'_>| {
            let known = Known { name: &over.item.text, item, outer: self.known };
            let answer = View { items: Some(&items), known: Some(&known), ..self }.answers(&over.body);
            if exists { answer.not() } else { answer }
        };
        let folds = !matches!(over.fold, Fold::Sum(_));
        if let Some(count) = self.world.items(&path).filter(|_| folds) {
            let all = Answers::and((0..count).map(|place| one(Item::Place(&path, place))));
            return if exists { all.not() } else { all };
        }
        let list = self.world.held(&path);
        if let (Some([Value::List(all)]), true) = (list.values.as_deref(), folds) {
            let all = Answers::and(all.iter().map(|value| one(Item::Value(value))));
            return if exists { all.not() } else { all };
        }
        let body = View { items: Some(&items), ..self }.answers(&over.body);
        let unset = Answers::when(list.unset, Answers::UNKNOWN);
        // Of an empty list nothing exists, and everything is true of all.
        match over.fold {
            Fold::Exists => Answers(body.0 & !Answers::NO.0).or(Answers::NO).or(unset),
            Fold::All => Answers(body.0 & !Answers::YES.0).or(Answers::YES).or(unset),
            Fold::Sum(_) => Answers::UNKNOWN,
        }
    }
}

fn chain(sum: &Held, sign: Sign, part: &Held) -> Held {
    let unset = sum.unset || part.unset;
    let values = match (&sum.values, &part.values) {
        (Some(sums), Some(parts)) if sums.len() * parts.len() <= PAIRS_MAX => {
            sums.iter().flat_map(|s| parts.iter().map(move |p| add(s, sign, p).ok())).collect()
        }
        _ => None,
    };
    Held { values, unset }
}

/// The bound that a clause of its own sets on a path.
pub(super) fn at_most(expr: &Expr, path: &[&str]) -> Option<i64> {
    let is = |e: &Expr| matches!(&e.kind, Kind::Path(p) if p.resolve(None).iter().map(String::as_str).eq(path.iter().copied()));
    let whole = |e: &Expr| if let Kind::Literal(Value::Int(n)) = &e.kind { Some(*n) } else { None };
    match &expr.kind {
        Kind::And(parts) => parts.iter().filter_map(|p| at_most(p, path)).min(),
        Kind::Compare(Relation::LessOrEqual | Relation::Equal, left, right) if is(left) => whole(right),
        Kind::Compare(Relation::Less, left, right) if is(left) => whole(right).and_then(|n| n.checked_sub(1)),
        Kind::Compare(Relation::GreaterOrEqual | Relation::Equal, left, right) if is(right) => whole(left),
        Kind::Compare(Relation::Greater, left, right) if is(right) => whole(left).and_then(|n| n.checked_sub(1)),
        _ => None,
    }
}

/// Every literal of an expression.
pub(super) fn literals(expr: &Expr, found: &mut Vec<Value>) {
    match &expr.kind {
        Kind::Literal(value) => found.push(value.clone()),
        Kind::Path(_) | Kind::Has(_) => {}
        Kind::Not(inner) | Kind::Negate(inner) | Kind::Size(inner) => literals(inner, found),
        Kind::And(parts) | Kind::Or(parts) | Kind::List(parts) => parts.iter().for_each(|p| literals(p, found)),
        Kind::Compare(_, left, right) | Kind::In(left, right) => {
            literals(left, found);
            literals(right, found);
        }
        Kind::Chain(first, rest) => {
            literals(first, found);
            rest.iter().for_each(|(_, part)| literals(part, found));
        }
        Kind::Over(over) => literals(&over.body, found),
    }
}
