//! Literals that stand for something richer: an amount, a word of an enum, a day, a moment.
//!
//! Not here: where that is tried (`check`).

use super::{
    ast::{Expr, Kind},
    check::Checker,
    types::{GuardType, quoted},
};
use crate::value::{Money, MoneyError, Value, did_you_mean, parse_date, parse_instant};

/// Whether an expression may stand for a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It may; its literals were turned.
    Yes,
    /// It is a literal of the right kind, but a wrong one; that was reported.
    Reported,
    /// It may not.
    No,
}

impl Fit {
    pub fn then(self, ty: GuardType) -> Result<GuardType, Fit> {
        if self == Fit::Yes { Ok(ty) } else { Err(self) }
    }
}

/// What a literal is when nothing around it says more; `None` for null.
pub(super) fn literal_type(value: &Value) -> Option<GuardType> {
    match value {
        Value::Bool(_) => Some(GuardType::Bool),
        Value::Int(_) => Some(GuardType::Int),
        Value::Decimal(_) => Some(GuardType::Decimal),
        Value::Money(_) => Some(GuardType::Money),
        Value::Date(_) => Some(GuardType::Date),
        Value::Instant(_) => Some(GuardType::Instant),
        Value::Text(_) => Some(GuardType::Text),
        Value::Null | Value::List(_) | Value::Record(_) => None,
    }
}

impl Checker<'_> {
    /// Tries to read an expression of type `have` as `want`.
    pub(super) fn fit(&mut self, expr: &mut Expr, have: &GuardType, want: &GuardType) -> Fit {
        if have.is(want) || (*have == GuardType::Int && *want == GuardType::Decimal) {
            return Fit::Yes;
        }
        if *want == GuardType::Money && is_constant(expr) {
            return self.amount(expr);
        }
        let span = expr.span.clone();
        match (want, &mut expr.kind) {
            (GuardType::Enum(words), Kind::Literal(Value::Text(text))) => {
                if words.contains(text) {
                    return Fit::Yes;
                }
                let hint = match did_you_mean(text, words.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("it is one of {}", quoted(words.iter())),
                };
                self.report(&span, format!("'{text}' is none of the words that may stand here"), Some(hint));
                Fit::Reported
            }
            (GuardType::Date, Kind::Literal(value)) => {
                let Value::Text(text) = value else {
                    return Fit::No;
                };
                match parse_date(text) {
                    Some(date) => *value = Value::Date(date),
                    None => {
                        return self.misread(expr, "this text is no day", "write it as '2026-03-02'");
                    }
                }
                Fit::Yes
            }
            (GuardType::Instant, Kind::Literal(value)) => {
                let Value::Text(text) = value else {
                    return Fit::No;
                };
                match parse_instant(text) {
                    Some(instant) => *value = Value::Instant(instant),
                    None => {
                        let hint = "write it as '2026-03-02T09:30:00+08:00'";
                        return self.misread(expr, "this text is no moment", hint);
                    }
                }
                Fit::Yes
            }
            (GuardType::List(want_item), Kind::List(items)) => {
                let GuardType::List(have_item) = have else {
                    return Fit::No;
                };
                let mut all = Fit::Yes;
                for item in items {
                    let own = if let Kind::Literal(value) = &item.kind { literal_type(value) } else { None };
                    match self.fit(item, own.as_ref().unwrap_or(have_item), want_item) {
                        Fit::Yes => {}
                        Fit::No => return Fit::No,
                        Fit::Reported => all = Fit::Reported,
                    }
                }
                all
            }
            _ => Fit::No,
        }
    }

    fn misread(&mut self, expr: &Expr, message: &str, hint: &str) -> Fit {
        self.report(&expr.span, message, Some(hint.to_owned()));
        Fit::Reported
    }

    /// Turns every number in a constant into yuan.
    fn amount(&mut self, expr: &mut Expr) -> Fit {
        let parts: Vec<&mut Expr> = match &mut expr.kind {
            Kind::Literal(value) => {
                let money = match value {
                    Value::Int(yuan) => Money::from_yuan(*yuan).ok_or(MoneyError::OutOfRange),
                    Value::Decimal(yuan) => Money::from_decimal(*yuan),
                    _ => Err(MoneyError::NotAnAmount),
                };
                return match money {
                    Ok(money) => {
                        *value = Value::Money(money);
                        Fit::Yes
                    }
                    Err(error) => self.misread(expr, &format!("this amount {error}"), "amounts are exact: 86000.10"),
                };
            }
            Kind::Negate(inner) => vec![inner],
            Kind::Chain(first, rest) => std::iter::once(first.as_mut()).chain(rest.iter_mut().map(|(_, part)| part)).collect(),
            _ => return Fit::No,
        };
        let fits: Vec<Fit> = parts.into_iter().map(|part| self.amount(part)).collect();
        fits.into_iter().find(|fit| *fit != Fit::Yes).unwrap_or(Fit::Yes)
    }
}

/// Whether the expression is made of numbers alone.
fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Literal(value) => matches!(value, Value::Int(_) | Value::Decimal(_)),
        Kind::Negate(inner) => is_constant(inner),
        Kind::Chain(first, rest) => is_constant(first) && rest.iter().all(|(_, part)| is_constant(part)),
        _ => false,
    }
}
