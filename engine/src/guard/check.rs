//! Names and types of a guard, checked once when its workflow is loaded. Literals become what they stand for: `100.00`
//! beside money is an amount, `'open'` beside a state is one of its words, `'2026-03-02'` beside a day is that day.
//!
//! Not here: how conversions of literals work (`literal`) and what a guard answers (`eval`).

use super::{
    GuardMistake, MAX_NESTED_LISTS,
    ast::{Expr, Fold, Kind, Over, Path, Relation, Sign, Span},
    literal::{Fit, literal_type},
    types::{GuardType, Names, listed},
};
use crate::value::{Money, Value, did_you_mean};

/// `None` where a mistake was reported, so that it is not reported again by what stands around it.
pub(super) type Known = Option<GuardType>;

pub(super) struct Checker<'n> {
    names: &'n dyn Names,
    /// The items in scope, innermost last.
    items: Vec<(String, Known)>,
    pub mistakes: Vec<GuardMistake>,
}

impl<'n> Checker<'n> {
    pub fn new(names: &'n dyn Names) -> Checker<'n> {
        Checker { names, items: Vec::new(), mistakes: Vec::new() }
    }

    /// Checks the whole guard against what its place wants.
    pub fn guard(&mut self, expr: &mut Expr, want: &GuardType) {
        if *want == GuardType::Bool {
            return self.condition(expr);
        }
        let Some(have) = self.expr(expr) else { return };
        if self.fit(expr, &have, want) == Fit::No {
            self.report(&expr.span, format!("this is {have}, but {want} is wanted here"), conversion_hint(&have, want));
        }
    }

    pub(super) fn report(&mut self, span: &Span, message: impl Into<String>, hint: Option<String>) {
        self.mistakes.push(GuardMistake { hint, ..GuardMistake::new(span.clone(), message) });
    }

    fn expr(&mut self, expr: &mut Expr) -> Known {
        let span = expr.span.clone();
        match &mut expr.kind {
            Kind::Literal(value) => {
                let ty = literal_type(value);
                if ty.is_none() {
                    self.report(&span, "nothing is compared with null here", Some("ask has(name) instead".into()));
                }
                ty
            }
            Kind::Path(path) => self.path(path),
            Kind::Has(path) => {
                self.path(path);
                Some(GuardType::Bool)
            }
            Kind::Not(inner) => {
                self.condition(inner);
                Some(GuardType::Bool)
            }
            Kind::Negate(inner) => {
                let ty = self.expr(inner)?;
                self.number(&span, ty, "only numbers and money have a minus sign")
            }
            Kind::And(parts) | Kind::Or(parts) => {
                parts.iter_mut().for_each(|part| self.condition(part));
                Some(GuardType::Bool)
            }
            Kind::Compare(relation, left, right) => {
                let relation = *relation;
                self.compare(&span, relation, left, right);
                Some(GuardType::Bool)
            }
            Kind::In(left, right) => {
                self.member(&span, left, right);
                Some(GuardType::Bool)
            }
            Kind::Chain(first, rest) => self.chain(first, rest),
            Kind::List(items) => self.list(&span, items),
            Kind::Size(inner) => {
                let ty = self.expr(inner)?;
                if !matches!(ty, GuardType::List(_) | GuardType::Text) {
                    let message = format!("size counts a list or the characters of a text, but this is {ty}");
                    self.report(&inner.span, message, None);
                }
                Some(GuardType::Int)
            }
            Kind::Over(over) => self.over(over),
        }
    }

    fn condition(&mut self, expr: &mut Expr) {
        let Some(ty) = self.expr(expr) else { return };
        if ty != GuardType::Bool {
            let hint = match (&expr.kind, &ty) {
                (Kind::Path(path), GuardType::List(_)) => {
                    format!("write size({}) > 0", path.written())
                }
                (Kind::Path(path), _) => format!("write has({}), or compare it", path.written()),
                _ => "compare it with something".to_owned(),
            };
            self.report(&expr.span, format!("a condition is wanted here, but this is {ty}"), Some(hint));
        }
    }

    fn number(&mut self, span: &Span, ty: GuardType, message: &str) -> Known {
        if matches!(ty, GuardType::Int | GuardType::Decimal | GuardType::Money) {
            return Some(ty);
        }
        self.report(span, format!("{message}, but this is {ty}"), None);
        None
    }

    fn path(&mut self, path: &Path) -> Known {
        let root = &path.root;
        let item = self.items.iter().rev().find(|(name, _)| *name == root.text);
        let mut ty = match item.map(|(_, ty)| ty.clone()).or_else(|| self.names.type_of(&root.text).map(Some)) {
            Some(known) => known?,
            None => {
                let mut names: Vec<String> = self.items.iter().map(|(name, _)| name.clone()).collect();
                names.extend(self.names.roots());
                self.unknown(&root.span, &root.text, "there is no such name", &names);
                return None;
            }
        };
        let mut before = root;
        for field in &path.fields {
            let GuardType::Record(fields) = &ty else {
                let hint = match &ty {
                    GuardType::List(_) => format!("ask its items: {}.exists(item, item.{} …)", before.text, field.text),
                    _ => format!("{} has no fields; use it as it is", before.text),
                };
                self.report(&field.span, format!("{} is {ty}, so nothing can be read in it", before.text), Some(hint));
                return None;
            };
            let Some(found) = fields.get(&field.text).cloned() else {
                let names: Vec<String> = fields.keys().cloned().collect();
                self.unknown(&field.span, &field.text, &format!("{} has no such field", before.text), &names);
                return None;
            };
            (ty, before) = (found, field);
        }
        Some(ty)
    }

    fn unknown(&mut self, span: &Span, name: &str, message: &str, known: &[String]) {
        let near = did_you_mean(name, known.iter().map(String::as_str));
        let hint = match near {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "nothing is known here".to_owned(),
            None => format!("known are {}", listed(known.iter().cloned())),
        };
        self.report(span, message, Some(hint));
    }

    fn compare(&mut self, span: &Span, relation: Relation, left: &mut Expr, right: &mut Expr) {
        let (left_type, right_type) = (self.expr(left), self.expr(right));
        let (Some(left_type), Some(right_type)) = (left_type, right_type) else {
            return;
        };
        let ty = match self.fit_either(left, &left_type, right, &right_type) {
            Ok(ty) => ty,
            Err(Fit::No) => {
                let hint = conversion_hint(&left_type, &right_type);
                return self.report(span, format!("{left_type} cannot be compared with {right_type}"), hint);
            }
            Err(_) => return,
        };
        if !ty.is_single() {
            let hint = "use in, exists or all for lists, and compare the fields of records";
            self.report(span, format!("{ty} cannot be compared as a whole"), Some(hint.into()));
        } else if !matches!(relation, Relation::Equal | Relation::NotEqual) && !ty.is_ordered() {
            let hint = "only numbers, money, days and moments are more or less; use ==, != or in";
            self.report(span, format!("{ty} has no order"), Some(hint.into()));
        }
    }

    /// Makes both sides one type and says which, turning the literals of either side.
    fn fit_either(&mut self, left: &mut Expr, left_type: &GuardType, right: &mut Expr, right_type: &GuardType) -> Result<GuardType, Fit> {
        match self.fit(right, right_type, left_type) {
            Fit::Yes => return Ok(left_type.clone()),
            Fit::Reported => return Err(Fit::Reported),
            Fit::No => {}
        }
        match self.fit(left, left_type, right_type) {
            Fit::Yes => Ok(right_type.clone()),
            other => Err(other),
        }
    }

    fn member(&mut self, span: &Span, left: &mut Expr, right: &mut Expr) {
        let (left_type, right_type) = (self.expr(left), self.expr(right));
        let Some(right_type) = right_type else { return };
        let GuardType::List(item_type) = &right_type else {
            let hint = Some("write a list behind in, such as ['a', 'b']".into());
            return self.report(&right.span, format!("a list is wanted behind in, but this is {right_type}"), hint);
        };
        let Some(left_type) = left_type else { return };
        if !left_type.is_single() || !item_type.is_single() {
            let hint = Some("use exists to look into the items".into());
            return self.report(span, format!("{left_type} cannot be looked for in {right_type}"), hint);
        }
        let fits = match self.fit(left, &left_type, item_type) {
            Fit::No => self.fit(right, &right_type, &GuardType::list(left_type.clone())),
            other => other,
        };
        if fits == Fit::No {
            let hint = conversion_hint(&left_type, item_type);
            self.report(span, format!("{left_type} cannot be looked for in {right_type}"), hint);
        }
    }

    /// A sum and difference. One money makes all of it money; one day makes it an account of days.
    fn chain(&mut self, first: &mut Expr, rest: &mut [(Sign, Expr)]) -> Known {
        let first_type = self.expr(first);
        let rest_types: Vec<Known> = rest.iter_mut().map(|(_, part)| self.expr(part)).collect();
        let mut sum = first_type?;
        let types: Vec<GuardType> = rest_types.into_iter().collect::<Option<_>>()?;
        for wanted in [GuardType::Money, GuardType::Date] {
            if types.contains(&wanted) {
                match self.fit(first, &sum, &wanted) {
                    Fit::Yes => sum = wanted,
                    Fit::Reported => return None,
                    Fit::No => {}
                }
            }
        }
        let mut clean = true;
        for ((sign, part), ty) in rest.iter_mut().zip(&types) {
            let span = first.span.start..part.span.end;
            match self.step(&sum, *sign, part, ty) {
                Ok(next) => sum = next,
                Err(reported) => {
                    clean = false;
                    if reported == Fit::No {
                        let (verb, hint) = step_hint(&sum, *sign, ty);
                        self.report(&span, format!("{sum} and {ty} cannot be {verb}"), hint);
                        return None;
                    }
                }
            }
        }
        clean.then_some(sum)
    }

    fn step(&mut self, sum: &GuardType, sign: Sign, part: &mut Expr, ty: &GuardType) -> Result<GuardType, Fit> {
        use GuardType::{Date, Decimal, Int, Money};
        match (sum, ty) {
            (Int, Int) => Ok(Int),
            (Int | Decimal, Int | Decimal) => Ok(Decimal),
            (Date, Int) => Ok(Date),
            (Date, _) if sign == Sign::Minus => self.fit(part, ty, &Date).then(Int),
            (Money, _) => self.fit(part, ty, &Money).then(Money),
            _ => Err(Fit::No),
        }
    }

    fn list(&mut self, span: &Span, items: &mut [Expr]) -> Known {
        if items.is_empty() {
            self.report(span, "an empty list holds nothing to compare with", Some("write its items".into()));
            return None;
        }
        let types: Vec<Known> = items.iter_mut().map(|item| self.expr(item)).collect();
        let types: Vec<GuardType> = types.into_iter().collect::<Option<_>>()?;
        let named = items.iter().position(|item| !matches!(item.kind, Kind::Literal(_)));
        let decimal = types.iter().position(|ty| *ty == GuardType::Decimal);
        let common = types[named.or(decimal).unwrap_or(0)].clone();
        let mut clean = true;
        for (item, ty) in items.iter_mut().zip(&types) {
            let fits = self.fit(item, ty, &common);
            clean &= fits == Fit::Yes;
            if fits == Fit::No {
                let message = format!("this is {ty}, but the other items of the list are {common}");
                self.report(&item.span, message, None);
            }
        }
        clean.then(|| GuardType::list(common))
    }

    fn over(&mut self, over: &mut Over) -> Known {
        let list = self.path(&over.list);
        let item_type = match list {
            Some(GuardType::List(item)) => Some(item.as_ref().clone()),
            Some(ty) => {
                self.report(&over.list.span, format!("a list is wanted here, but this is {ty}"), None);
                None
            }
            None => None,
        };
        let name = over.item.text.as_str();
        let taken = self.items.iter().any(|(outer, _)| outer == name) || self.names.type_of(name).is_some();
        if taken || ["true", "false", "null", "in"].contains(&name) {
            let hint = "choose another name for the item".to_owned();
            self.report(&over.item.span, format!("{name} already means something here"), Some(hint));
        }
        if self.items.len() == MAX_NESTED_LISTS {
            let message = format!("questions to lists are nested deeper than {MAX_NESTED_LISTS}");
            self.report(&over.list.span, message, None);
            return None;
        }
        self.items.push((name.to_owned(), item_type));
        let result = match &mut over.fold {
            Fold::Exists | Fold::All => {
                self.condition(&mut over.body);
                Some(GuardType::Bool)
            }
            Fold::Sum(zero) => {
                let ty = self.expr(&mut over.body);
                let ty = ty.and_then(|ty| self.number(&over.body.span, ty, "sum adds numbers or money"));
                *zero = match ty {
                    Some(GuardType::Money) => Value::Money(Money::ZERO),
                    Some(GuardType::Decimal) => Value::Decimal(rust_decimal::Decimal::ZERO),
                    _ => Value::Int(0),
                };
                ty
            }
        };
        self.items.pop();
        result
    }
}

fn step_hint(sum: &GuardType, sign: Sign, part: &GuardType) -> (&'static str, Option<String>) {
    use GuardType::{Date, Instant, Int, Text};
    let hint = match (sum, part) {
        (Int, Date) => Some("write the day first: a day and a number of days"),
        (Instant, _) | (_, Instant) => Some("only days can be counted with, not moments"),
        (Date, Date) => Some("days can be subtracted, which gives the number of days between them"),
        (Text, _) | (_, Text) => Some("text is not joined in a guard"),
        _ => None,
    };
    let verb = if sign == Sign::Plus { "added" } else { "subtracted" };
    (verb, hint.map(str::to_owned).or_else(|| conversion_hint(sum, part)))
}

/// What to tell somebody who brings these two together.
fn conversion_hint(one: &GuardType, other: &GuardType) -> Option<String> {
    use GuardType::{Bool, Date, Decimal, Enum, File, Instant, Int, List, Money, Person, Record, Staff, Text};
    let either = |ty: &GuardType| one == ty || other == ty;
    let hint = match (one, other) {
        (List(_), List(_)) | (Record(_), _) | (_, Record(_)) => return None,
        (List(_), _) | (_, List(_)) => "use in, or ask the items with exists or all",
        _ if either(&Money) && either(&Text) => "write an amount without quotes, as yuan: 100000.00",
        _ if either(&Money) && (either(&Int) || either(&Decimal)) => {
            "a count or a share is no amount; write an amount as a number of yuan, such as 100000.00"
        }
        (Enum(_), Enum(_)) => "their words are not the same",
        (Enum(words), _) | (_, Enum(words)) => {
            return Some(format!("write one of {}", super::types::quoted(words.iter())));
        }
        _ if (either(&Int) || either(&Decimal)) && either(&Text) => "write a number without quotes",
        _ if either(&Bool) => "a condition stands by itself: x or !x",
        _ if either(&Date) && either(&Instant) => "a day and a moment are different; compare two of one kind",
        _ if either(&Date) => "a day is written '2026-03-02'",
        _ if either(&Instant) => "a moment is written '2026-03-02T09:30:00+08:00'",
        _ if either(&Person) || either(&Staff) || either(&File) => {
            "ids are not written in a guard; compare with a name that holds the same kind of id"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
