//! What the names in an expression hold in one case: the living side of `definition::names`.

use super::{Case, Proceeding, Rules, clock, permit};
use crate::definition::names::NO_SIDE;
use crate::guard::{self, Slot};
use crate::ids::{LegalTime, ProceedingId};
use crate::value::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An expression's view of a case.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The rules.
    pub rules: Rules<'a>,
    /// The case.
    pub case: &'a Case,
    /// The proceeding; none while it is being opened.
    pub this: Option<ProceedingId>,
    /// The parent of a proceeding that is being opened.
    pub parent: Option<ProceedingId>,
    /// The side of who acts.
    pub side: Option<&'a str>,
    /// The input, a record.
    pub input: Option<&'a Value>,
    /// The element of a `for_each`.
    pub each: Option<&'a Value>,
    /// The legal day of the step.
    pub legal_at: LegalTime,
    /// States as they were at this moment of legal time, instead of as they are.
    pub as_of: Option<LegalTime>,
}

impl<'a> Scope<'a> {
    /// The view of a proceeding, with nobody acting.
    #[must_use]
    pub fn of(rules: Rules<'a>, case: &'a Case, this: ProceedingId, legal_at: LegalTime) -> Self {
        Self { rules, case, this: Some(this), parent: None, side: None, input: None, each: None, legal_at, as_of: None }
    }

    fn proceeding(&self, id: Option<ProceedingId>) -> Option<&'a Proceeding> {
        self.case.proceedings.get(&id?)
    }

    fn state(&self, p: &'a Proceeding) -> Option<(&'a str, bool)> {
        match self.as_of {
            None => Some((p.state(), p.is_open())),
            Some(moment) => {
                let at = p.state_at(moment)?;
                let ended = p.outcome.is_some() && p.last().seq == at.seq;
                Some((&at.state, !ended))
            }
        }
    }

    fn field(&self, p: &'a Proceeding, path: &[&str]) -> Slot<'a> {
        let Some((name, rest)) = path.split_first() else { return Slot::Unset };
        match *name {
            "state" => self.state(p).map_or(Slot::Unset, |(state, _)| set(Value::Text(state.to_owned()))),
            "open" => self.state(p).map_or(Slot::Unset, |(_, open)| set(Value::Bool(open))),
            "parent" => self.proceeding(p.parent).map_or(Slot::Unset, |parent| self.field(parent, rest)),
            "number" if p.number.is_some() => p.number.as_ref().map_or(Slot::Unset, |n| set(Value::Text(n.text.clone()))),
            name => match p.data.get(name) {
                None => Slot::Unset,
                Some(id) => self.case.vault.get(id).map_or(Slot::Erased, |value| Slot::within(value, rest)),
            },
        }
    }

    fn list(&self, kind: &str) -> Slot<'a> {
        let mut out = Vec::new();
        for p in self.case.proceedings.values().filter(|p| p.kind == kind) {
            let Some((state, open)) = self.state(p) else { continue };
            let mut record = BTreeMap::from([("state".to_owned(), Value::Text(state.to_owned())), ("open".to_owned(), Value::Bool(open))]);
            if self.as_of.is_none() {
                for (name, id) in &p.data {
                    if let Some(value) = self.case.vault.get(id) {
                        record.insert(name.clone(), value.clone());
                    }
                }
            }
            out.push(Value::Record(record));
        }
        set(Value::List(out))
    }

    fn assents(&self, name: &str) -> Slot<'a> {
        let Some(p) = self.proceeding(self.this) else { return Slot::Unset };
        let Some(round) = &p.round else { return Slot::Unset };
        let asked = permit::asked(self.rules, self.case, p);
        match name {
            "all" => set(Value::Bool(!asked.is_empty() && asked.iter().all(permit::Asked::is_given))),
            "any_refused" => set(Value::Bool(asked.iter().any(permit::Asked::is_refused))),
            "lapsed" => set(Value::Bool(round.lapsed)),
            _ => Slot::Unset,
        }
    }
}

fn set<'a>(value: Value) -> Slot<'a> {
    Slot::Set(Cow::Owned(value))
}

impl guard::Scope for Scope<'_> {
    fn get(&self, path: &[&str]) -> Slot<'_> {
        let Some((root, rest)) = path.split_first() else { return Slot::Unset };
        match (*root, rest) {
            ("facts", [name, rest @ ..]) => match self.case.facts.get(*name) {
                None => Slot::Unset,
                Some(id) => self.case.vault.get(id).map_or(Slot::Erased, |value| Slot::within(value, rest)),
            },
            ("this", ["parent", rest @ ..]) if self.this.is_none() => self.proceeding(self.parent).map_or(Slot::Unset, |p| self.field(p, rest)),
            ("this", rest) => self.proceeding(self.this).map_or(Slot::Unset, |p| self.field(p, rest)),
            ("policy", [name]) => self.rules.policy.get(name).and_then(|v| v.value()).map_or(Slot::Unset, set),
            ("input", rest) => self.input.map_or(Slot::Unset, |input| Slot::within(input, rest)),
            ("each", rest) => self.each.map_or(Slot::Unset, |each| Slot::within(each, rest)),
            ("actor", ["side"]) => set(Value::Text(self.side.unwrap_or(NO_SIDE).to_owned())),
            ("assents", [name]) => self.assents(name),
            ("deadlines", [name]) => clock::find(self.rules, self.case, self.this.or(self.parent), name)
                .and_then(|run| run.last_day())
                .map_or(Slot::Unset, |day| set(Value::Date(day))),
            // A holder is named by account; the name is filled in where accounts are known.
            ("seats", [name]) => self.case.holder(name, self.this).map_or(Slot::Unset, |account| set(Value::Text(account.to_string()))),
            ("served", [notice]) => self.case.was_served(notice, self.this).map_or(Slot::Unset, |served| set(Value::Bool(served))),
            ("legal_on", []) => set(Value::Date(self.legal_at.date())),
            (kind, []) => self.list(kind),
            _ => Slot::Unset,
        }
    }
}
