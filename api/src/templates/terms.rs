//! What a value inside a tag is: a field with its type, a literal, a condition; and whether two can be compared.
//! `check` walks the template and asks here; nothing here knows of elements or partials.

use std::collections::BTreeSet;

use handlebars::template::{Parameter, TemplateElement};
use serde_json::Value;

use super::check::{Check, Place, Scope, Slot, suggest};
use super::{FieldType, sample};

const CONDITIONS: [&str; 5] = ["eq", "ne", "and", "or", "not"];

/// What a parameter turned out to be.
pub(super) enum Term {
    Field(String, Slot),
    Literal(Value),
    Condition,
    /// A mistake that is already told.
    Wrong,
}

impl Check<'_> {
    /// A condition: any field, or a comparison.
    pub fn condition(&mut self, param: &Parameter, scope: &Scope, place: Place<'_>) {
        if let Term::Literal(_) = self.term(param, scope, place) {
            self.say(place, "a condition that never changes", "name a field");
        }
    }

    pub fn term(&mut self, param: &Parameter, scope: &Scope, place: Place<'_>) -> Term {
        match param {
            Parameter::Literal(value) => Term::Literal(value.clone()),
            Parameter::Name(name) => self.named(name, scope, place),
            Parameter::Path(_) => self.named(param.as_name().unwrap_or_default(), scope, place),
            Parameter::Subexpression(inner) => {
                let TemplateElement::Expression(inner) = inner.as_element() else {
                    return Term::Wrong;
                };
                let name = inner.name.as_name().unwrap_or_default();
                match (name, &inner.params[..]) {
                    ("eq" | "ne", [left, right]) => self.comparison(left, right, scope, place),
                    ("and" | "or", params) if params.len() > 1 => {
                        params.iter().for_each(|param| self.condition(param, scope, place));
                    }
                    ("not", [one]) => self.condition(one, scope, place),
                    _ if CONDITIONS.contains(&name) => {
                        self.say(place, format!("({name} …) has a wrong number of values"), "write (eq A B), (and A B), (not A)");
                        return Term::Wrong;
                    }
                    _ => {
                        let advice = suggest(name, CONDITIONS.into_iter());
                        self.say(place, format!("there is no condition ({name} …)"), advice);
                        return Term::Wrong;
                    }
                }
                Term::Condition
            }
            _ => {
                self.say(place, "a kind of value that is not used here", "name a field");
                Term::Wrong
            }
        }
    }

    fn named(&mut self, name: &str, scope: &Scope, place: Place<'_>) -> Term {
        self.lookup(name, scope, place).map_or(Term::Wrong, |slot| Term::Field(name.to_owned(), slot))
    }

    fn comparison(&mut self, left: &Parameter, right: &Parameter, scope: &Scope, place: Place<'_>) {
        let (left, right) = (self.term(left, scope, place), self.term(right, scope, place));
        match (&left, &right) {
            (Term::Wrong, _) | (_, Term::Wrong) => {}
            (Term::Field(_, a), Term::Field(_, b)) if a.ty == b.ty => {}
            (Term::Field(name, slot), Term::Literal(value)) | (Term::Literal(value), Term::Field(name, slot)) => match (&slot.ty, value) {
                (FieldType::Choice(keys), Value::String(key)) => {
                    if !keys.contains(key) {
                        let advice = suggest(key, keys.iter().map(String::as_str));
                        self.say(place, format!("{name} is never {key}"), advice);
                    }
                }
                (FieldType::Text, Value::String(_)) | (FieldType::Int, Value::Number(_)) | (FieldType::Bool, Value::Bool(_)) => {}
                (ty, _) => self.say(place, format!("{name} is {} and is compared with something else", kind(ty)), "compare values of one type"),
            },
            _ => self.say(place, "two values that cannot be compared", "compare a field with a text or with a field of its type"),
        }
    }

    pub fn lookup(&mut self, name: &str, scope: &Scope, place: Place<'_>) -> Option<Slot> {
        if let Some(slot) = scope.names.get(name) {
            return Some(slot.clone());
        }
        let of_notice = name.strip_prefix("data.").is_some_and(|n| self.shape.fields.iter().any(|f| f.name == n))
            || sample::COMMON.iter().any(|(common, ..)| *common == name);
        if self.subject && of_notice {
            self.say(place, format!("{name} in a subject"), "a subject names nothing but reference and correction_of");
        } else if place.in_each && of_notice {
            self.say(place, format!("{name} inside {{{{#each}}}}"), "only this, @index, @first and @last are known here");
        } else {
            let advice = suggest(name, scope.names.keys().map(String::as_str));
            self.say(place, format!("unknown name {name}"), advice);
        }
        None
    }
}

/// The names that are certainly there when this condition holds.
pub(super) fn present_when_true(param: &Parameter) -> BTreeSet<String> {
    match param {
        Parameter::Path(_) | Parameter::Name(_) => param.as_name().map(str::to_owned).into_iter().collect(),
        Parameter::Subexpression(inner) => {
            let TemplateElement::Expression(inner) = inner.as_element() else {
                return BTreeSet::new();
            };
            match (inner.name.as_name(), &inner.params[..]) {
                (Some("and"), params) => params.iter().flat_map(present_when_true).collect(),
                (Some("eq"), [field @ Parameter::Path(_), Parameter::Literal(value)])
                | (Some("eq"), [Parameter::Literal(value), field @ Parameter::Path(_)])
                    if !value.is_null() =>
                {
                    present_when_true(field)
                }
                _ => BTreeSet::new(),
            }
        }
        _ => BTreeSet::new(),
    }
}

/// The type in words.
pub(super) fn kind(ty: &FieldType) -> &'static str {
    match ty {
        FieldType::Text => "text",
        FieldType::Int => "a number",
        FieldType::Money => "a sum",
        FieldType::Date => "a date",
        FieldType::Instant => "a moment",
        FieldType::Bool => "yes or no",
        FieldType::Choice(_) => "a choice",
        FieldType::TextList => "a list",
    }
}
