//! What may be printed, and by which helper: dates, moments, sums and choices need theirs, and a field that may be
//! absent needs an `{{#if}}` around it. The walk through the template is `check`'s.

use handlebars::template::{HelperTemplate, Parameter};
use serde_json::Value;

use super::FieldType;
use super::check::{Check, Place, Scope, Slot, suggest};
use super::terms::{Term, kind};

/// The helpers that print.
pub(super) const FORMATS: [&str; 4] = ["date", "datetime", "money", "choice"];

impl Check<'_> {
    /// `{{name}}`: only words and numbers may be printed as they are.
    pub fn printed(&mut self, name: &str, scope: &Scope, place: Place<'_>) {
        let Some(slot) = self.lookup(name, scope, place) else {
            return;
        };
        let advice = match slot.ty {
            FieldType::Text | FieldType::Int => {
                return self.need_present(name, &slot, scope, place);
            }
            FieldType::Money => format!("write {{{{money {name}}}}}"),
            FieldType::Date => format!("write {{{{date {name}}}}}"),
            FieldType::Instant => format!("write {{{{datetime {name}}}}}"),
            FieldType::Choice(keys) => {
                let words: Vec<String> = keys.iter().map(|k| format!("{k}=\"…\"")).collect();
                format!("write {{{{choice {name} {}}}}}", words.join(" "))
            }
            FieldType::Bool => format!("write {{{{#if {name}}}}}…{{{{else}}}}…{{{{/if}}}}"),
            FieldType::TextList => format!("write {{{{#each {name}}}}}{{{{this}}}}{{{{/each}}}}"),
        };
        self.say(place, format!("{name} is not text"), advice);
    }

    fn need_present(&mut self, name: &str, slot: &Slot, scope: &Scope, place: Place<'_>) {
        if slot.optional && !scope.present.contains(name) {
            self.say(place, format!("{name} may be absent"), format!("put it inside {{{{#if {name}}}}}…{{{{/if}}}}"));
        }
    }

    pub fn format(&mut self, helper: &str, expression: &HelperTemplate, scope: &Scope, place: Place<'_>) {
        let [param] = &expression.params[..] else {
            return self.say(place, format!("{helper} takes one field"), format!("write {{{{{helper} data.FIELD}}}}"));
        };
        if helper != "choice" && !expression.hash.is_empty() {
            self.say(place, format!("{helper} takes no settings"), format!("write {{{{{helper} data.FIELD}}}}"));
        }
        let (name, slot) = match self.term(param, scope, place) {
            Term::Field(name, slot) => (name, slot),
            Term::Wrong => return,
            Term::Literal(_) | Term::Condition => {
                return self.say(place, format!("{helper} takes a field"), format!("write {{{{{helper} data.FIELD}}}}"));
            }
        };
        let fits = match (helper, &slot.ty) {
            ("date", FieldType::Date | FieldType::Instant) => true,
            ("datetime", FieldType::Instant) | ("money", FieldType::Money) => true,
            ("choice", FieldType::Choice(keys)) => {
                self.words_for(keys, expression, place);
                true
            }
            _ => false,
        };
        if !fits {
            let advice = match slot.ty {
                FieldType::Date => format!("write {{{{date {name}}}}}"),
                FieldType::Instant => format!("write {{{{datetime {name}}}}}"),
                FieldType::Money => format!("write {{{{money {name}}}}}"),
                FieldType::Choice(_) => format!("write {{{{choice {name} …}}}}"),
                FieldType::Text | FieldType::Int => format!("write {{{{{name}}}}}"),
                FieldType::Bool | FieldType::TextList => "use {{#if}} or {{#each}}".to_owned(),
            };
            self.say(place, format!("{helper} does not suit {name}, which is {}", kind(&slot.ty)), advice);
        }
        self.need_present(&name, &slot, scope, place);
    }

    /// `choice` must have words for every key and for no other.
    fn words_for(&mut self, keys: &[String], expression: &HelperTemplate, place: Place<'_>) {
        for key in keys.iter().filter(|k| !expression.hash.contains_key(*k)) {
            self.say(place, format!("choice has no words for {key}"), format!("add {key}=\"…\""));
        }
        for (key, words) in &expression.hash {
            if !keys.contains(key) {
                self.say(place, format!("{key} is no choice here"), suggest(key, keys.iter().map(String::as_str)));
            }
            if !matches!(words, Parameter::Literal(Value::String(_))) {
                self.say(place, format!("the words for {key} are no text"), format!("write {key}=\"…\""));
            }
        }
    }
}
