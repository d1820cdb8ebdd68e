//! A decision in the making: a copy of the case to which each event is applied as it is made, so that `then` steps and
//! automatic steps see the ones before. A refusal throws the draft away.
//!
//! Here: how a transition fires with all that follows from it. Not here: what stands in its way (`decide::obstacles`).

use super::decide::{Command, Decision, END, MAX_STEPS, NewValue, Target, account_value, choose, failing, obstacles};
use super::event::{Acted, Event, Moved, Numbered, Set, Told, ValueId, What, Who};
use super::refusal::{Code, Refusal, Refusals};
use super::scope::Scope;
use super::{Case, Outside, Proceeding, Rules, evolve, permit, sha256};
use crate::definition::file::{FieldDef, Of, ServiceDef, TypeName};
use crate::definition::model::{Kind, Step, StepOn, Transition};
use crate::guard::{Outcome, Reason};
use crate::ids::{AccountId, CaseId, LegalTime, ProceedingId};
use crate::value::{Type, Value, canonical_json};
use chrono::Datelike as _;
use indexmap::IndexMap;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// A transition about to fire.
pub(super) struct Fire<'x> {
    pub kind: &'x Kind,
    pub transition: &'x Transition,
    pub target: Target,
    pub input: Value,
    pub acted: Acted,
    pub side: Option<String>,
    pub legal_at: LegalTime,
    pub cause: Option<u64>,
}

/// A decision in the making.
pub(super) struct Draft<'a> {
    pub rules: Rules<'a>,
    pub outside: &'a Outside<'a>,
    pub case: Case,
    events: Vec<Event>,
    values: Vec<NewValue>,
    steps: u32,
}

impl<'a> Draft<'a> {
    pub fn new(rules: Rules<'a>, case: Case, outside: &'a Outside<'a>) -> Self {
        Self { rules, outside, case, events: Vec::new(), values: Vec::new(), steps: 0 }
    }

    pub fn finish(self) -> Decision {
        Decision { events: self.events, values: self.values, case: self.case }
    }

    /// The number of the event that comes next.
    pub fn next_seq(&self) -> u64 {
        self.case.version + 1
    }

    /// Keeps values for the next event, and commits to them.
    pub fn keep(&mut self, named: Vec<(String, Value)>) -> Result<Vec<Set>, Refusals> {
        let seq = self.next_seq();
        let mut sets = Vec::with_capacity(named.len());
        for (index, (name, value)) in (0u32..).zip(named) {
            if let Some(bad) = unprintable(&value, self.outside.printable) {
                let refusal = Refusal::new(Code::Input, "character").field(name).detail("character", format!("U+{:04X}", u32::from(bad)));
                return Err(vec![refusal]);
            }
            let id = ValueId(seq, index);
            let salt = self.derive("salt", seq, index);
            let canonical = canonical_json(&value.to_json()).map_err(|_| vec![Refusal::new(Code::Input, "value").field(name.clone())])?;
            let mut bytes = salt.to_vec();
            bytes.extend_from_slice(canonical.as_bytes());
            sets.push(Set { name, value: id, commitment: sha256(&bytes) });
            self.case.vault.insert(id, value.clone());
            self.values.push(NewValue { id, salt, value });
        }
        Ok(sets)
    }

    /// Bytes derived from this command's seed.
    pub fn derive(&self, purpose: &str, seq: u64, index: u32) -> [u8; 32] {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        hash.update(self.outside.seed);
        hash.update(purpose.as_bytes());
        hash.update(seq.to_be_bytes());
        hash.update(index.to_be_bytes());
        hash.finalize().into()
    }

    /// The event that comes next.
    pub fn event(&self, what: What, acted: Acted, legal_at: LegalTime, cause: Option<u64>) -> Event {
        Event { seq: self.next_seq(), recorded_at: self.outside.now, legal_at, acted, cause, under: self.rules.under(), what }
    }

    /// Appends an event and applies it.
    pub fn push(&mut self, what: What, acted: Acted, legal_at: LegalTime, cause: Option<u64>) -> u64 {
        let event = self.event(what, acted, legal_at, cause);
        let seq = event.seq;
        evolve::evolve(&mut self.case, &event);
        self.events.push(event);
        seq
    }

    /// Appends an event that says something about earlier ones, and folds the case anew.
    pub fn amend(&mut self, what: What, acted: Acted, legal_at: LegalTime) {
        let event = self.event(what, acted, legal_at, None);
        let mut log = self.outside.log.to_vec();
        log.push(event.clone());
        let mut case = Case { id: self.case.id, vault: std::mem::take(&mut self.case.vault), ..Case::default() };
        evolve::fold(&mut case, &log);
        self.case = case;
        self.events.push(event);
    }

    /// Refuses what would break an invariant of the workflow.
    pub fn uphold(&self) -> Result<(), Refusals> {
        let definition = self.rules.definition;
        let root = self.case.root().map_or(ProceedingId(0), |r| r.id);
        let scope = Scope::of(self.rules, &self.case, root, LegalTime::At(self.outside.now));
        let broken = definition.always.iter().filter(|(_, guard)| guard.eval(&scope) == Outcome::Known(Value::Bool(false)));
        let broken: Refusals = broken
            .map(|(name, _)| Refusal::new(Code::Invariant, name.clone()).law(definition.file.always.get(name).and_then(|a| a.law.as_deref())))
            .collect();
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }

    /// Refuses to seat somebody who is or holds what the seat must be apart from.
    pub fn may_sit(&self, seat: &str, proceeding: Option<ProceedingId>, account: AccountId) -> Result<(), Refusals> {
        let file = &self.rules.definition.file;
        let kind = proceeding.and_then(|id| self.case.proceedings.get(&id)).and_then(|p| self.rules.definition.kinds.get(&p.kind));
        let own = kind.map(|k| &k.def.seats);
        let declared = |name: &str| match name.strip_prefix("this.") {
            Some(name) => own.and_then(|seats| seats.get(name)),
            None => file.seats.get(name),
        };
        let full = if proceeding.is_some() { format!("this.{seat}") } else { seat.to_owned() };
        let role = self.outside.accounts.iter().find(|a| a.id == account).map_or("", |a| a.role.as_str());
        let has = |name: &String| name == role || self.case.holder(name, proceeding) == Some(account);
        let others = file.seats.keys().cloned().chain(own.into_iter().flat_map(|seats| seats.keys().map(|s| format!("this.{s}"))));
        let apart = declared(&full).map(|d| d.apart_from.clone()).unwrap_or_default();
        let mirrored = others.filter(|other| *other != full && declared(other).is_some_and(|d| d.apart_from.contains(&full)));
        match apart.into_iter().chain(mirrored).find(|name| has(name)) {
            Some(with) => {
                let law = declared(&full).and_then(|d| d.law.as_deref());
                Err(vec![Refusal::new(Code::Conflict, full.clone()).detail("beside", with).law(law)])
            }
            None => Ok(()),
        }
    }

    /// A person's transition.
    pub fn command(&mut self, command: &Command, kind: &Kind, transition: &Transition, legal_at: LegalTime) -> Result<(), Refusals> {
        let (rules, outside) = (self.rules, self.outside);
        let label = format!("{}.{}", kind.name, transition.name);
        if transition.def.by.is_empty() {
            return Err(vec![Refusal::new(Code::Role, "engine").detail("action", label)]);
        }
        let target = choose(&self.case, kind, transition, command)?;
        let ask = permit::Ask {
            by: &transition.def.by,
            this: target.this(),
            for_: command.for_,
            evidence: &command.evidence,
            on: legal_at,
            offering: false,
        };
        let (acted, side) = match permit::act(rules, &self.case, outside, &ask) {
            Ok(acted) => acted,
            Err(refusal) => {
                let mut all = vec![refusal.law(transition.def.law.as_deref())];
                all.extend(obstacles(rules, &self.case, kind, transition, target, None, legal_at).into_iter().filter(|r| r.code == Code::State));
                return Err(all);
            }
        };
        let input = self.input(&command.input, &transition.input, &transition.def.input)?;
        self.fire(Fire { kind, transition, target, input, acted, side, legal_at, cause: None })?;
        Ok(())
    }

    /// Reads input against its type; accounts become what expressions see of them.
    pub fn input(&self, json: &Json, ty: &Type, fields: &IndexMap<String, FieldDef>) -> Result<Value, Refusals> {
        let empty = Json::Object(serde_json::Map::new());
        let json = if json.is_null() { &empty } else { json };
        let mut value = Value::from_json(json, ty, "input").map_err(|mistakes| {
            let refusal = |m: crate::value::InputMistake| Refusal::new(Code::Input, m.message).field(m.path).detail("expected", m.expected);
            mistakes.into_iter().map(refusal).collect::<Refusals>()
        })?;
        let Value::Record(record) = &mut value else { return Ok(value) };
        for (name, def) in fields.iter().filter(|(_, f)| f.ty == TypeName::Staff) {
            let Some(slot) = record.get_mut(name) else { continue };
            let roles: &[String] = if let Some(Of::Words(roles)) = &def.of { roles } else { &[] };
            let account = match slot {
                Value::Text(id) => self.outside.accounts.iter().find(|a| a.id.to_string() == *id && roles.contains(&a.role)),
                _ => None,
            };
            match account {
                Some(account) => *slot = account_value(account),
                None => {
                    let refusal = Refusal::new(Code::Input, "account").field(format!("input.{name}")).detail("expected", roles.join(", "));
                    return Err(vec![refusal]);
                }
            }
        }
        Ok(value)
    }

    /// Fires a transition with all that follows from it, apart from automatic steps.
    pub fn fire(&mut self, fire: Fire<'_>) -> Result<u64, Refusals> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(vec![Refusal::new(Code::Loop, format!("{}.{}", fire.kind.name, fire.transition.name))]);
        }
        let Fire { kind, transition, target, input, acted, side, legal_at, cause } = fire;
        let law = transition.def.law.as_deref();
        let blocked = obstacles(self.rules, &self.case, kind, transition, target, side.as_deref(), legal_at);
        if !blocked.is_empty() {
            return Err(blocked);
        }
        let seq = self.next_seq();
        let id = target.this().unwrap_or(ProceedingId(seq));
        let mut named = Vec::new();
        {
            let scope = Scope {
                this: target.this(),
                parent: target.parent(),
                side: side.as_deref(),
                input: Some(&input),
                ..Scope::of(self.rules, &self.case, id, legal_at)
            };
            if let Some(accepts) = &transition.accepts {
                let refused = failing(accepts, &scope, kind, self.rules, Code::Input, law);
                if !refused.is_empty() {
                    return Err(refused);
                }
            }
            for (datum, guard) in &transition.sets {
                match guard.eval(&scope) {
                    Outcome::Known(value) => named.push((datum.clone(), value)),
                    Outcome::Unknown { reason: Reason::Unset, .. } => {}
                    Outcome::Unknown { missing, .. } => {
                        return Err(vec![Refusal::new(Code::Input, "range").field(datum.clone()).detail("missing", missing.join(", "))]);
                    }
                }
            }
        }
        let applicant = named.iter().find(|(datum, _)| datum == "applicant").map(|(_, value)| value.clone());
        let set = self.keep(named)?;
        let from = target.this().and_then(|id| self.case.proceedings.get(&id)).map(|p| p.state().to_owned());
        let to = transition.to.clone().or_else(|| from.clone()).unwrap_or_default();
        let state = kind.state(&to);
        let moved = Moved {
            proceeding: id,
            kind: kind.name.clone(),
            parent: match target {
                Target::New(parent) => parent,
                Target::In(id) => self.case.proceedings.get(&id).and_then(|p| p.parent),
            },
            transition: transition.name.clone(),
            asks: transition.to.is_some() && state.is_some_and(|s| s.assents.is_some()),
            final_: state.and_then(|s| s.final_.clone()),
            from,
            to,
            set,
            number: transition.def.number.as_ref().map(|series| Numbered {
                series: series.clone(),
                year: self.outside.now.year(),
                seq: 0,
                text: String::new(),
            }),
            forms: transition.def.forms.clone(),
            tells: transition.def.notices.iter().flat_map(|n| self.told(n, id, applicant.as_ref())).collect(),
        };
        let seq = self.push(What::Moved(moved), acted.clone(), legal_at, cause);
        for step in &transition.then {
            self.step(step, id, &input, &acted, legal_at, seq)?;
        }
        Ok(seq)
    }

    fn step(&mut self, step: &Step, this: ProceedingId, input: &Value, acted: &Acted, legal_at: LegalTime, cause: u64) -> Result<(), Refusals> {
        let rules = self.rules;
        let by_rule = || Acted::engine(Who::Rule);
        match step {
            Step::End { kind } => self.end_children(this, kind.as_deref(), legal_at, cause),
            Step::Open { kind, for_each, with } => {
                let kind = &rules.definition.kinds[kind.as_str()];
                let Some(transition) = kind.opening() else { return Ok(()) };
                let elements = match for_each {
                    None => vec![None],
                    Some(guard) => {
                        let scope = Scope { input: Some(input), ..Scope::of(rules, &self.case, this, legal_at) };
                        match guard.eval(&scope) {
                            Outcome::Known(Value::List(items)) => items.into_iter().map(Some).collect(),
                            _ => Vec::new(),
                        }
                    }
                };
                for each in elements {
                    let mut record = BTreeMap::new();
                    for (field, guard) in with {
                        let scope = Scope { input: Some(input), each: each.as_ref(), ..Scope::of(rules, &self.case, this, legal_at) };
                        if let Outcome::Known(value) = guard.eval(&scope) {
                            record.insert(field.clone(), value);
                        }
                    }
                    let fire = Fire {
                        kind,
                        transition,
                        target: Target::New(Some(this)),
                        input: Value::Record(record),
                        acted: by_rule(),
                        side: None,
                        legal_at,
                        cause: Some(cause),
                    };
                    self.fire(fire)?;
                }
                Ok(())
            }
            Step::Fire { transition, on } => {
                let targets: Vec<ProceedingId> = match on {
                    StepOn::Parent => self.case.proceedings.get(&this).and_then(|p| p.parent).into_iter().collect(),
                    StepOn::Each(kind, states) => self
                        .case
                        .proceedings
                        .values()
                        .filter(|p| &p.kind == kind && p.is_open() && (states.is_empty() || states.iter().any(|s| s == p.state())))
                        .map(|p| p.id)
                        .collect(),
                };
                for id in targets {
                    let Some(p) = self.case.proceedings.get(&id) else { continue };
                    let kind = &rules.definition.kinds[p.kind.as_str()];
                    let at = legal_at.or_later(p.last().legal_at);
                    let transition = &kind.transitions[transition.as_str()];
                    let fire = Fire {
                        kind,
                        transition,
                        target: Target::In(id),
                        input: Value::Record(BTreeMap::new()),
                        acted: by_rule(),
                        side: None,
                        legal_at: at,
                        cause: Some(cause),
                    };
                    self.fire(fire)?;
                }
                Ok(())
            }
            Step::Seat { seat, input: field } => {
                let account = match input {
                    Value::Record(record) => match record.get(field) {
                        Some(Value::Record(account)) => account.get("id").and_then(|id| if let Value::Text(t) = id { t.parse().ok() } else { None }),
                        _ => None,
                    },
                    _ => None,
                };
                let Some(account) = account else { return Err(vec![Refusal::new(Code::Input, "account").field(format!("input.{field}"))]) };
                let (seat, proceeding) = own_seat(seat, this);
                self.may_sit(&seat, proceeding, account)?;
                self.push(What::Seated { seat, proceeding, account }, acted.clone(), legal_at, Some(cause));
                Ok(())
            }
            Step::Send { action, to, with, done, refused } => {
                let scope = Scope { input: Some(input), ..Scope::of(rules, &self.case, this, legal_at) };
                let to = match to.eval(&scope) {
                    Outcome::Known(Value::Text(id)) => id.parse::<CaseId>().ok().filter(|id| Some(*id) != self.case.id),
                    _ => None,
                };
                let Some(to) = to else { return Err(vec![Refusal::new(Code::Input, "case").field("input").detail("expected", "another case")]) };
                let mut named = Vec::new();
                for (field, guard) in with {
                    if let Outcome::Known(value) = guard.eval(&scope) {
                        named.push((field.clone(), value));
                    }
                }
                let set = self.keep(named)?;
                let what = What::Sent { proceeding: this, to, action: action.clone(), set, done: done.clone(), refused: refused.clone() };
                self.push(what, by_rule(), legal_at, Some(cause));
                Ok(())
            }
            Step::Vacate { seat } => {
                let (seat, proceeding) = own_seat(seat, this);
                self.push(What::Vacated { seat, proceeding }, acted.clone(), legal_at, Some(cause));
                Ok(())
            }
        }
    }

    /// Takes every open child, or those of a kind, to its `ends_as`, the children of children first.
    fn end_children(&mut self, this: ProceedingId, kind: Option<&str>, legal_at: LegalTime, cause: u64) -> Result<(), Refusals> {
        let children: Vec<ProceedingId> = self
            .case
            .proceedings
            .values()
            .filter(|p| p.parent == Some(this) && p.is_open() && kind.is_none_or(|k| p.kind == k))
            .map(|p| p.id)
            .collect();
        for id in children {
            let (kind, from, at) = {
                let p = &self.case.proceedings[&id];
                (p.kind.clone(), p.state().to_owned(), legal_at.or_later(p.last().legal_at))
            };
            let Some(to) = self.rules.definition.kinds[kind.as_str()].def.ends_as.clone() else { continue };
            self.end_children(id, None, at, cause)?;
            let final_ = self.rules.definition.kinds[kind.as_str()].state(&to).and_then(|s| s.final_.clone());
            let moved = Moved {
                proceeding: id,
                kind,
                parent: Some(this),
                transition: END.to_owned(),
                from: Some(from),
                to,
                final_,
                asks: false,
                set: Vec::new(),
                number: None,
                forms: Vec::new(),
                tells: Vec::new(),
            };
            self.push(What::Moved(moved), Acted::engine(Who::Rule), at, Some(cause));
        }
        Ok(())
    }

    /// Runs automatic transitions until none holds: proceedings by age, transitions in file order.
    pub fn settle(&mut self) -> Result<(), Refusals> {
        loop {
            let Some((id, name)) = self.next_auto() else { return Ok(()) };
            let p = &self.case.proceedings[&id];
            let kind = &self.rules.definition.kinds[p.kind.as_str()];
            let transition = &kind.transitions[name.as_str()];
            let legal_at = self.auto_time(p, transition);
            let cause = Some(self.case.version);
            let fire = Fire {
                kind,
                transition,
                target: Target::In(id),
                input: Value::Record(BTreeMap::new()),
                acted: Acted::engine(Who::Rule),
                side: None,
                legal_at,
                cause,
            };
            self.fire(fire)?;
        }
    }

    fn auto_time(&self, p: &Proceeding, transition: &Transition) -> LegalTime {
        let last_event = self.events.last().map_or(LegalTime::At(self.outside.now), |e| e.legal_at);
        let own = if transition.def.effective.is_some() { permit::last_answer(p).unwrap_or(last_event) } else { last_event };
        own.or_later(p.last().legal_at)
    }

    fn next_auto(&self) -> Option<(ProceedingId, String)> {
        for p in self.case.proceedings.values().filter(|p| p.is_open()) {
            let kind = self.rules.definition.kinds.get(&p.kind)?;
            for transition in kind.transitions.values().filter(|t| t.from.contains(p.state())) {
                let Some(auto) = &transition.auto else { continue };
                let at = self.auto_time(p, transition);
                if auto.eval(&Scope::of(self.rules, &self.case, p.id, at)).is_true()
                    && obstacles(self.rules, &self.case, kind, transition, Target::In(p.id), None, at).is_empty()
                {
                    return Some((p.id, transition.name.clone()));
                }
            }
        }
        None
    }

    /// Who is told by a notice, each once. `applicant` is what this very step sets of that name.
    pub fn told(&self, notice: &str, from: ProceedingId, applicant: Option<&Value>) -> Vec<Told> {
        let file = &self.rules.definition.file;
        let Some(def) = file.notices.get(notice) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        let mut add = |who: Who, as_: &str| {
            if seen.insert(who) {
                out.push(Told {
                    notice: notice.to_owned(),
                    who,
                    as_: as_.to_owned(),
                    required: def.service == Some(ServiceDef::Required) && matches!(who, Who::Person(_)),
                });
            }
        };
        for (place, to) in def.to.iter().enumerate() {
            if to.when().is_some() && !self.told_when(notice, place, from) {
                continue;
            }
            let to = to.name();
            let sides: Vec<&str> = match to {
                "applicant" | "other_side" => self.applying(to == "applicant", applicant),
                side if file.sides.contains_key(side) => vec![side],
                _ => Vec::new(),
            };
            for side in sides {
                self.case.people.values().filter(|p| p.side == side).for_each(|p| add(Who::Person(p.id), side));
            }
            if file.roles.contains_key(to) {
                self.outside.accounts.iter().filter(|a| a.role == to).for_each(|a| add(Who::Account(a.id), to));
            } else if let Some(account) = self.case.holder(to, Some(from)) {
                add(Who::Account(account), to);
            }
        }
        out
    }

    /// Whether the condition of a recipient holds.
    fn told_when(&self, notice: &str, place: usize, from: ProceedingId) -> bool {
        let Some(kind) = self.case.proceedings.get(&from).map(|p| p.kind.clone()) else { return false };
        let Some(guard) = self.rules.definition.told_when.get(&(notice.to_owned(), place, kind)) else { return false };
        let legal_at = self.events.last().map_or(LegalTime::At(self.outside.now), |e| e.legal_at);
        guard.eval(&Scope::of(self.rules, &self.case, from, legal_at)).is_true()
    }

    /// The sides that applied, or the others, by the root's datum `applicant`; a joint application has no others.
    fn applying(&self, applied: bool, set_now: Option<&Value>) -> Vec<&str> {
        let datum = set_now.or_else(|| self.case.root().and_then(|root| self.case.datum(root.id, "applicant")));
        let asked = if let Some(Value::Text(side)) = datum { side.as_str() } else { "" };
        let joint = !self.rules.definition.file.sides.contains_key(asked);
        let sides = self.rules.definition.file.sides.keys().map(String::as_str);
        sides.filter(|side| if joint { applied } else { (*side == asked) == applied }).collect()
    }
}

fn own_seat(seat: &str, this: ProceedingId) -> (String, Option<ProceedingId>) {
    match seat.strip_prefix("this.") {
        Some(own) => (own.to_owned(), Some(this)),
        None => (seat.to_owned(), None),
    }
}

/// The first character that cannot be printed, if any.
fn unprintable(value: &Value, printable: &dyn Fn(char) -> bool) -> Option<char> {
    match value {
        Value::Text(text) => text.chars().find(|c| !(matches!(c, '\n' | '\t') || printable(*c))),
        Value::List(items) => items.iter().find_map(|v| unprintable(v, printable)),
        Value::Record(fields) => fields.values().find_map(|v| unprintable(v, printable)),
        _ => None,
    }
}
