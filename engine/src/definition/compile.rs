//! From the file's types to a definition with every name resolved and every expression read.
//!
//! Here: names of states, kinds, seats, papers, notices, lengths and expressions; all mistakes are collected. Not
//! here: whether the procedure makes sense (`check`).

use super::file::{DeadlineDef, KindDef, Names, ServiceDef, StateDef, StepDef, TransitionDef, With, WorkflowFile};
use super::model::{Conditions, Deadline, Definition, Due, Kind, LINKED_CASE, LengthOf, Mark, PolicyValue, Starts, Step, StepOn, Transition};
use super::names::{self, Reach};
use super::shape::Places;
use super::{Mistake, nearest};
use crate::guard::{self, Guard, GuardType};
use crate::value::Type;
use chrono_tz::Tz;
use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Resolves a file.
///
/// # Returns
/// The definition, usable only when the list of mistakes is empty.
#[must_use]
pub fn compile(file: WorkflowFile, places: &Places) -> (Definition, Vec<Mistake>) {
    let mut c = Compiler { places, mistakes: Vec::new(), bases: BTreeMap::new(), common: [None, None] };
    let canonical = serde_json::to_string(&file).unwrap_or_default();
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let zone = file.zone.parse::<Tz>().unwrap_or_else(|_| {
        c.say("zone", format!("`{}` is no time zone of the IANA list", file.zone), Some("for example Asia/Shanghai".to_owned()));
        Tz::Asia__Shanghai
    });
    let mut policy = IndexMap::new();
    for (name, def) in &file.policy {
        match PolicyValue::read(&def.default) {
            Ok(value) => drop(policy.insert(name.clone(), value)),
            Err(error) => c.say(&format!("policy.{name}.default"), error, None),
        }
    }
    let facts = c.types("facts", &file.facts);
    let roots: Vec<&String> = file.proceedings.iter().filter(|(_, k)| k.root).map(|(n, _)| n).collect();
    let root = roots.first().map_or_else(String::new, |n| (*n).clone());
    if roots.len() != 1 {
        c.say("proceedings", format!("{} proceedings say `root: true`", roots.len()), Some("exactly one opens with the case".to_owned()));
    }
    let mut definition = Definition {
        canonical,
        digest,
        zone,
        root,
        facts,
        policy,
        kinds: IndexMap::new(),
        notice_fields: IndexMap::new(),
        told_when: Conditions::new(),
        always: IndexMap::new(),
        file,
    };
    for (name, def) in &definition.file.proceedings {
        let data = c.types(&format!("proceedings.{name}.data"), &def.data);
        definition.kinds.insert(
            name.clone(),
            Kind {
                name: name.clone(),
                def: Arc::new(def.clone()),
                data,
                transitions: IndexMap::new(),
                deadlines: IndexMap::new(),
                limit: Vec::new(),
            },
        );
    }
    c.declarations(&definition);
    let kinds: Vec<String> = definition.kinds.keys().cloned().collect();
    let mut seen = BTreeSet::new();
    for name in kinds {
        let kind = c.kind(&definition, &name, &mut seen);
        definition.kinds.insert(name, kind);
    }
    (definition.notice_fields, definition.told_when) = c.notices(&definition);
    c.forms(&definition);
    definition.always = c.always(&definition);
    c.rights(&definition);
    for (key, message) in super::marks::broken(&definition) {
        c.say(&key, message, None);
    }
    (definition, c.mistakes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

struct Compiler<'a> {
    places: &'a Places,
    mistakes: Vec<Mistake>,
    /// What the expressions of each kind may name, with and without data.
    bases: BTreeMap<(String, bool), IndexMap<String, GuardType>>,
    /// What the expressions of every kind may name, with and without data.
    common: [Option<IndexMap<String, GuardType>>; 2],
}

impl Compiler<'_> {
    /// The roots and their types for expressions of a kind.
    fn roots(&mut self, d: &Definition, kind: &str, reach: Reach<'_>) -> IndexMap<String, GuardType> {
        let states_only = matches!(reach, Reach::States);
        let common = self.common[usize::from(states_only)].get_or_insert_with(|| names::common(d, states_only));
        let base = self.bases.entry((kind.to_owned(), states_only)).or_insert_with(|| names::base(d, kind, states_only, common));
        names::with_input(base.clone(), reach)
    }

    fn say(&mut self, key: &str, message: impl Into<String>, hint: Option<String>) {
        self.mistakes.push(at(self.places, key, message, hint));
    }

    fn unknown<'n>(&mut self, key: &str, what: &str, name: &str, known: impl IntoIterator<Item = &'n str> + Clone) {
        let hint = nearest(name, known.clone())
            .map_or_else(|| format!("known: {}", known.into_iter().collect::<Vec<_>>().join(", ")), |n| format!("did you mean `{n}`?"));
        self.say(key, format!("unknown {what} `{name}`"), Some(hint));
    }

    fn types(&mut self, key: &str, fields: &IndexMap<String, super::file::FieldDef>) -> IndexMap<String, Type> {
        let mut out = IndexMap::new();
        for (name, def) in fields {
            match names::field_type(def) {
                Ok(ty) => drop(out.insert(name.clone(), ty)),
                Err(error) => self.say(&format!("{key}.{name}"), error, None),
            }
        }
        out
    }

    fn guard(&mut self, key: &str, source: &str, roots: &IndexMap<String, GuardType>, want: &GuardType) -> Option<Guard> {
        match guard::check(source, roots, want.clone()) {
            Ok(guard) => Some(guard),
            Err(mistakes) => {
                for mistake in mistakes {
                    let excerpt = source.get(mistake.span.clone()).unwrap_or(source);
                    self.say(key, format!("at `{excerpt}`: {}", mistake.message), mistake.hint);
                }
                None
            }
        }
    }

    /// A dotted name, whose type is taken from what it names.
    fn name(&mut self, key: &str, source: &str, roots: &IndexMap<String, GuardType>) -> Option<(Guard, GuardType)> {
        let mut parts = source.split('.');
        let mut ty = parts.next().and_then(|root| roots.get(root).cloned());
        for part in parts {
            ty = match ty {
                Some(GuardType::Record(fields)) => fields.get(part).cloned(),
                _ => None,
            };
        }
        // A wrong name is reported by the guard checker, which knows what is near.
        let want = ty.unwrap_or(GuardType::Text);
        self.guard(key, source, roots, &want).map(|guard| (guard, want))
    }

    fn length(&mut self, definition: &Definition, key: &str, source: &str) -> Option<LengthOf> {
        if let Some(name) = source.strip_prefix("policy.") {
            if matches!(definition.policy.get(name), Some(PolicyValue::Length(_))) {
                return Some(LengthOf::Policy(name.to_owned()));
            }
            let known = definition.policy.iter().filter(|(_, v)| matches!(v, PolicyValue::Length(_))).map(|(n, _)| n.as_str());
            let known: Vec<&str> = known.collect();
            self.unknown(key, "length in policy", name, known.iter().copied());
            return None;
        }
        match source.parse() {
            Ok(length) => Some(LengthOf::Literal(length)),
            Err(error) => {
                let error: crate::calendar::LengthError = error;
                self.say(key, error.to_string(), None);
                None
            }
        }
    }

    fn declarations(&mut self, d: &Definition) {
        let languages: BTreeSet<&String> = d.file.title.keys().collect();
        let mut titles: Vec<(String, &super::file::Localized)> = Vec::new();
        for (n, t) in &d.file.stages {
            titles.push((format!("stages.{n}"), t));
        }
        for (n, r) in &d.file.roles {
            titles.push((format!("roles.{n}.title"), &r.title));
        }
        for (n, s) in &d.file.sides {
            titles.push((format!("sides.{n}.title"), &s.title));
        }
        for (n, p) in &d.file.policy {
            titles.push((format!("policy.{n}.title"), &p.title));
        }
        for (n, p) in &d.file.papers {
            titles.push((format!("papers.{n}.title"), &p.title));
        }
        for (n, k) in &d.file.proceedings {
            titles.push((format!("proceedings.{n}.title"), &k.title));
        }
        for (key, title) in titles {
            let own: BTreeSet<&String> = title.keys().collect();
            if own != languages {
                let want: Vec<&str> = languages.iter().map(|s| s.as_str()).collect();
                self.say(&key, "this text is not there in every language of the file", Some(format!("write {}", want.join(" and "))));
            }
        }
        for (name, seat) in &d.file.seats {
            if !d.file.roles.contains_key(&seat.role) {
                self.unknown(&format!("seats.{name}.role"), "role", &seat.role, d.file.roles.keys().map(String::as_str));
            }
            if d.file.roles.contains_key(name) || d.file.sides.contains_key(name) {
                self.say(&format!("seats.{name}"), "a seat may not share its name with a role or a side", None);
            }
            self.who(d, &format!("seats.{name}.apart_from"), &seat.apart_from, None);
        }
        for (name, paper) in &d.file.papers {
            if !d.kinds.contains_key(&paper.of) {
                self.unknown(&format!("papers.{name}.of"), "proceeding", &paper.of, d.kinds.keys().map(String::as_str));
            }
        }
        for (name, number) in &d.file.numbers {
            if !number.form.contains("{seq}") || !number.form.contains("{year}") {
                self.say(&format!("numbers.{name}.form"), "a number's form holds {year} and {seq}", None);
            }
        }
        let a = &d.file.actions;
        for (name, by) in
            [("record", &a.record), ("person", &a.person), ("consent", &a.consent), ("seat", &a.seat), ("serve", &a.serve), ("file", &a.file)]
        {
            self.who(d, &format!("actions.{name}.by"), &by.by, None);
        }
        if let Some(correct) = &a.correct {
            self.who(d, "actions.correct.by", &correct.by, None);
        }
        if let Some(undo) = &a.undo {
            self.who(d, "actions.undo.by", &undo.by, None);
            self.notice(d, "actions.undo.notice", &undo.notice);
        }
    }

    fn notice(&mut self, d: &Definition, key: &str, name: &str) {
        if !d.file.notices.contains_key(name) {
            self.unknown(key, "notice", name, d.file.notices.keys().map(String::as_str));
        }
    }

    /// Invariants: conditions over the states of all proceedings.
    fn always(&mut self, d: &Definition) -> IndexMap<String, Guard> {
        let mut roots = self.roots(d, &d.root, Reach::States);
        roots.shift_remove("this");
        let read = |(name, def): (&String, &super::file::AlwaysDef)| {
            self.guard(&format!("always.{name}.holds"), &def.holds, &roots, &GuardType::Bool).map(|guard| (name.clone(), guard))
        };
        d.file.always.iter().filter_map(read).collect()
    }

    /// Rights: where they are due, whose they are, and what grants them.
    fn rights(&mut self, d: &Definition) {
        for (name, right) in &d.file.rights {
            let key = format!("rights.{name}");
            match d.file.proceedings.get(&right.of) {
                None => self.unknown(&format!("{key}.of"), "proceeding", &right.of, d.kinds.keys().map(String::as_str)),
                Some(kind) => drop(self.states(&format!("{key}.in"), kind, &right.in_)),
            }
            self.who(d, &format!("{key}.by"), &right.by, d.file.proceedings.get(&right.of));
            for (i, action) in right.actions.iter().enumerate() {
                let known = action.split_once('.').and_then(|(kind, step)| d.file.proceedings.get(kind)?.transitions.get(step));
                if known.is_none() {
                    let all: Vec<String> = d.kinds.values().flat_map(|k| k.def.transitions.keys().map(|t| format!("{}.{t}", k.name))).collect();
                    self.unknown(&format!("{key}.actions[{i}]"), "transition", action, all.iter().map(String::as_str).collect::<Vec<_>>());
                }
            }
        }
        for (old, new) in &d.file.migrates.states {
            let key = format!("migrates.states.{old}");
            match old.split_once('.').and_then(|(kind, _)| d.file.proceedings.get(kind)) {
                None => self.say(&key, format!("`{old}` is no KIND.STATE"), Some("write `mediation.old_state: new_state`".to_owned())),
                Some(kind) if !kind.states.contains_key(new) => self.unknown(&key, "state", new, kind.states.keys().map(String::as_str)),
                Some(_) => {}
            }
        }
    }

    fn who(&mut self, d: &Definition, key: &str, names: &[String], kind: Option<&KindDef>) {
        for (i, name) in names.iter().enumerate() {
            let own = name.strip_prefix("this.").is_some_and(|seat| kind.is_some_and(|k| k.seats.contains_key(seat)));
            if !(own || d.file.roles.contains_key(name) || d.file.sides.contains_key(name) || d.file.seats.contains_key(name)) {
                let own: Vec<String> = kind.map(|k| k.seats.keys().map(|s| format!("this.{s}")).collect()).unwrap_or_default();
                let known: Vec<&str> =
                    d.file.roles.keys().chain(d.file.sides.keys()).chain(d.file.seats.keys()).chain(own.iter()).map(String::as_str).collect();
                self.unknown(&format!("{key}[{i}]"), "role, seat or side", name, known.iter().copied());
            }
        }
    }

    fn states(&mut self, key: &str, kind: &KindDef, names: &Names) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for name in names.as_slice() {
            if kind.states.contains_key(name) {
                out.insert(name.clone());
            } else if let Some(group) = kind.groups.get(name) {
                out.extend(group.iter().cloned());
            } else {
                let known: Vec<&str> = kind.states.keys().chain(kind.groups.keys()).map(String::as_str).collect();
                self.unknown(key, "state or group", name, known.iter().copied());
            }
        }
        out
    }

    fn kind(&mut self, d: &Definition, name: &str, deadlines_seen: &mut BTreeSet<String>) -> Kind {
        let mut kind = d.kinds[name].clone();
        let key = format!("proceedings.{name}");
        let def = kind.def.clone();
        match (&def.of, def.root) {
            (None, false) => self.say(&key, "this proceeding has no parent", Some("say `of: KIND`, or `root: true`".to_owned())),
            (Some(_), true) => self.say(&format!("{key}.of"), "the root has no parent", None),
            (Some(of), false) if !d.kinds.contains_key(of) => {
                self.unknown(&format!("{key}.of"), "proceeding", of, d.kinds.keys().map(String::as_str));
            }
            _ => {}
        }
        for (group, states) in &def.groups {
            for (i, state) in states.iter().enumerate() {
                if !def.states.contains_key(state) {
                    self.unknown(&format!("{key}.groups.{group}[{i}]"), "state", state, def.states.keys().map(String::as_str));
                }
            }
        }
        if let Some(state) = &def.ends_as
            && def.states.get(state).is_none_or(|s| s.final_.is_none())
        {
            self.say(&format!("{key}.ends_as"), format!("`{state}` is no final state here"), None);
        }
        for (seat, seat_def) in &def.seats {
            if !d.file.roles.contains_key(&seat_def.role) {
                self.unknown(&format!("{key}.seats.{seat}.role"), "role", &seat_def.role, d.file.roles.keys().map(String::as_str));
            }
            self.who(d, &format!("{key}.seats.{seat}.apart_from"), &seat_def.apart_from, Some(&def));
        }
        kind.limit = match &def.limit {
            None => Vec::new(),
            Some(super::file::LimitDef::Text(text)) => {
                if text != "one open" {
                    self.say(&format!("{key}.limit"), format!("`{text}` is no limit"), Some("write `one open`, or {one: [states]}".to_owned()));
                }
                def.states.iter().filter(|(_, s)| s.final_.is_none()).map(|(n, _)| n.clone()).collect()
            }
            Some(super::file::LimitDef::One(states)) => {
                self.states(&format!("{key}.limit.one"), &def, &Names::Many(states.one.clone())).into_iter().collect()
            }
        };
        for (state, state_def) in &def.states {
            self.state(d, &format!("{key}.states.{state}"), &def, state_def);
        }
        for (transition, transition_def) in &def.transitions {
            let compiled = self.transition(d, &kind, transition, transition_def);
            kind.transitions.insert(transition.clone(), compiled);
        }
        for (deadline, deadline_def) in &def.deadlines {
            let key = format!("{key}.deadlines.{deadline}");
            if !deadlines_seen.insert(deadline.clone()) {
                self.say(
                    &key,
                    format!("a deadline `{deadline}` stands in another proceeding already"),
                    Some("names of deadlines are unique in the file".to_owned()),
                );
            }
            if let Some(compiled) = self.deadline(d, &kind, &key, deadline, deadline_def) {
                kind.deadlines.insert(deadline.clone(), compiled);
            }
        }
        for (state, state_def) in &def.states {
            let Some(lapses) = state_def.assents.as_ref().and_then(|a| a.lapses.as_deref()) else { continue };
            let grace = state_def.assents.as_ref().and_then(|a| a.grace.as_deref());
            if let Some(length) = self.length(d, &format!("{key}.states.{state}.assents.lapses"), lapses) {
                let name = format!("{name}_{state}_answers");
                let deadline = Deadline {
                    name: name.clone(),
                    def: None,
                    due: Due::Round { state: state.clone(), length },
                    lives_in: BTreeSet::from([state.clone()]),
                    runs_while: None,
                    grace: grace.and_then(|g| self.length(d, &format!("{key}.states.{state}.assents.grace"), g)),
                    warns: Vec::new(),
                    fires: Vec::new(),
                };
                kind.deadlines.insert(name, deadline);
            }
        }
        kind
    }

    fn state(&mut self, d: &Definition, key: &str, kind: &KindDef, state: &StateDef) {
        for stage in state.stage.iter().chain(kind.stage.iter()) {
            if !d.file.stages.contains_key(stage) {
                self.unknown(&format!("{key}.stage"), "stage", stage, d.file.stages.keys().map(String::as_str));
            }
        }
        if state.final_.is_some() && (state.work.is_some() || state.assents.is_some() || !state.waits_on.is_empty() || state.indefinite.is_some()) {
            self.say(key, "a final state waits for nothing", Some("leave out work, assents, waits_on and indefinite".to_owned()));
        }
        if let Some(indefinite) = &state.indefinite
            && !kind.deadlines.contains_key(&indefinite.review)
        {
            self.unknown(&format!("{key}.indefinite.review"), "deadline", &indefinite.review, kind.deadlines.keys().map(String::as_str));
        }
        if let Some(work) = &state.work {
            self.who(d, &format!("{key}.work.for"), std::slice::from_ref(&work.for_), Some(kind));
        }
        if let Some(assents) = &state.assents {
            self.who(d, &format!("{key}.assents.of"), &assents.of, Some(kind));
        }
        for (i, other) in state.waits_on.iter().enumerate() {
            if !d.kinds.contains_key(other) {
                self.unknown(&format!("{key}.waits_on[{i}]"), "proceeding", other, d.kinds.keys().map(String::as_str));
            }
        }
    }

    fn transition(&mut self, d: &Definition, kind: &Kind, name: &str, def: &TransitionDef) -> Transition {
        let key = format!("proceedings.{}.transitions.{name}", kind.name);
        let opens = def.from.as_slice() == ["new"];
        let from = if opens { BTreeSet::new() } else { self.states(&format!("{key}.from"), &kind.def, &def.from) };
        let to = (def.to != "same").then(|| def.to.clone());
        if let Some(to) = &to
            && !kind.def.states.contains_key(to)
        {
            self.unknown(&format!("{key}.to"), "state", to, kind.def.states.keys().map(String::as_str));
        }
        if opens && to.is_none() {
            self.say(&format!("{key}.to"), "a step from `new` enters a state", None);
        }
        if let Some(state) = from.iter().find(|s| kind.def.states.get(*s).is_some_and(|s| s.final_.is_some())) {
            self.say(&format!("{key}.from"), format!("nothing leads on from the final state `{state}`"), None);
        }
        let people: Vec<String> = def.by.iter().filter(|by| *by != LINKED_CASE).cloned().collect();
        self.who(d, &format!("{key}.by"), &people, Some(&kind.def));
        for (i, side) in def.affects.iter().flatten().enumerate().filter(|(_, s)| !d.file.sides.contains_key(*s)) {
            self.unknown(&format!("{key}.affects[{i}]"), "side", side, d.file.sides.keys().map(String::as_str));
        }
        if def.at_most == Some(0) {
            self.say(&format!("{key}.at_most"), "a step that may be taken no time at all is no step", None);
        }
        if def.auto.is_some() && (!def.by.is_empty() || !def.input.is_empty()) {
            self.say(&format!("{key}.auto"), "`auto` stands instead of `by` and `input`", None);
        }
        if def.effective.as_deref().is_some_and(|e| e != "assents.last_on") || (def.effective.is_some() && def.auto.is_none()) {
            self.say(&format!("{key}.effective"), "`effective` goes with `auto` and says `assents.last_on`", None);
        }
        let input = names::record(&def.input).unwrap_or_else(|error| {
            self.say(&format!("{key}.input"), error, None);
            Type::Record(IndexMap::new())
        });
        let case = self.roots(d, &kind.name, Reach::Case);
        let with_input = self.roots(d, &kind.name, Reach::Input(&input));
        let when = def.when.as_ref().and_then(|g| self.guard(&format!("{key}.when"), g, &case, &GuardType::Bool));
        let auto = def.auto.as_ref().and_then(|g| self.guard(&format!("{key}.auto"), g, &case, &GuardType::Bool));
        let accepts = def.accepts.as_ref().and_then(|g| self.guard(&format!("{key}.accepts"), g, &with_input, &GuardType::Bool));
        if let Some(needs) = &def.needs {
            for (i, paper) in needs.papers.iter().enumerate().filter(|(_, p)| !d.file.papers.contains_key(*p)) {
                self.unknown(&format!("{key}.needs.papers[{i}]"), "paper", paper, d.file.papers.keys().map(String::as_str));
            }
            for (i, consent) in needs.consents.iter().enumerate().filter(|(_, c)| !d.file.consents.contains_key(*c)) {
                self.unknown(&format!("{key}.needs.consents[{i}]"), "consent", consent, d.file.consents.keys().map(String::as_str));
            }
            for (i, seat) in needs.seats.iter().enumerate().filter(|(_, s)| !d.file.seats.contains_key(*s)) {
                self.unknown(&format!("{key}.needs.seats[{i}]"), "seat", seat, d.file.seats.keys().map(String::as_str));
            }
        }
        if let Some(within) = &def.within {
            let known: Vec<&str> = d.kinds.values().flat_map(|k| k.def.deadlines.keys()).map(String::as_str).collect();
            if !known.contains(&within.as_str()) {
                self.unknown(&format!("{key}.within"), "deadline", within, known.iter().copied());
            }
        }
        let mut sets = Vec::new();
        for (datum, source) in &def.sets {
            let key = format!("{key}.sets.{datum}");
            match kind.data.get(datum) {
                None => self.unknown(&key, "datum", datum, kind.data.keys().map(String::as_str)),
                Some(ty) => {
                    if let Some(guard) = self.guard(&key, &source.source(), &with_input, &ty.into()) {
                        sets.push((datum.clone(), guard));
                    }
                }
            }
        }
        if let Some(series) = &def.number {
            if !d.file.numbers.contains_key(series) {
                self.unknown(&format!("{key}.number"), "number series", series, d.file.numbers.keys().map(String::as_str));
            }
            if kind.data.get("number") != Some(&Type::Text) {
                self.say(&format!("{key}.number"), "a proceeding that gets a number declares the datum `number: {type: text}`", None);
            }
        }
        for (i, notice) in def.notices.iter().enumerate().filter(|(_, n)| !d.file.notices.contains_key(*n)) {
            self.unknown(&format!("{key}.notices[{i}]"), "notice", notice, d.file.notices.keys().map(String::as_str));
        }
        for (i, form) in def.forms.iter().enumerate().filter(|(_, f)| !d.file.forms.contains_key(*f)) {
            self.unknown(&format!("{key}.forms[{i}]"), "form", form, d.file.forms.keys().map(String::as_str));
        }
        let mut then = Vec::new();
        for (i, step) in def.then.iter().enumerate() {
            let key = format!("{key}.then[{i}]");
            then.extend(self.step(d, kind, &key, step, &input, &def.input));
        }
        Transition { name: name.to_owned(), def: Arc::new(def.clone()), opens, from, to, auto, when, accepts, input, sets, then }
    }

    fn step(
        &mut self,
        d: &Definition,
        kind: &Kind,
        key: &str,
        step: &StepDef,
        input: &Type,
        fields: &IndexMap<String, super::file::FieldDef>,
    ) -> Option<Step> {
        let seat_known = |seat: &str| match seat.strip_prefix("this.") {
            Some(own) => kind.def.seats.contains_key(own),
            None => d.file.seats.contains_key(seat),
        };
        match step {
            StepDef { end: Some(end), open: None, fire: None, seat: None, vacate: None, send: None, .. } => {
                let kind_of = d.file.proceedings.get(end);
                match (end.as_str(), kind_of) {
                    ("children", _) => {}
                    (_, Some(child)) if child.of.as_deref() == Some(kind.name.as_str()) && child.ends_as.is_some() => {}
                    (_, Some(_)) => self.say(&format!("{key}.end"), format!("`{end}` is no child of `{}` that says `ends_as`", kind.name), None),
                    _ => self.unknown(
                        &format!("{key}.end"),
                        "proceeding",
                        end,
                        d.kinds.keys().map(String::as_str).chain(["children"]).collect::<Vec<_>>(),
                    ),
                }
                Some(Step::End { kind: kind_of.map(|_| end.clone()) })
            }
            StepDef { open: Some(open), end: None, fire: None, seat: None, vacate: None, send: None, .. } => {
                let Some(target) = d.file.proceedings.get(open) else {
                    self.unknown(&format!("{key}.open"), "proceeding", open, d.kinds.keys().map(String::as_str));
                    return None;
                };
                if target.of.as_deref() != Some(kind.name.as_str()) {
                    self.say(
                        &format!("{key}.open"),
                        format!("`{open}` is opened below `{}`, not below `{}`", target.of.as_deref().unwrap_or("nothing"), kind.name),
                        None,
                    );
                }
                let case = self.roots(d, &kind.name, Reach::Input(input));
                let listed = step.for_each.as_ref().and_then(|source| {
                    let (guard, ty) = self.name(&format!("{key}.for_each"), source, &case)?;
                    if let GuardType::List(element) = ty {
                        return Some((guard, element.as_ref().clone()));
                    }
                    self.say(&format!("{key}.for_each"), format!("`{source}` is no list"), None);
                    None
                });
                let opening = target.transitions.values().find(|t| t.from.as_slice() == ["new"]);
                let mut with = Vec::new();
                let roots = match &listed {
                    Some((_, element)) => self.roots(d, &kind.name, Reach::Each(element, Some(input))),
                    None => case,
                };
                if let Some(With::Fields(given)) = &step.with {
                    for (field, source) in given {
                        let key = format!("{key}.with.{field}");
                        match opening.and_then(|t| t.input.get(field)).map(names::field_type) {
                            Some(Ok(ty)) => with.extend(self.guard(&key, &source.source(), &roots, &(&ty).into()).map(|g| (field.clone(), g))),
                            _ => self.unknown(
                                &key,
                                "input",
                                field,
                                opening.iter().flat_map(|t| t.input.keys()).map(String::as_str).collect::<Vec<_>>(),
                            ),
                        }
                    }
                }
                if opening.is_none() {
                    self.say(&format!("{key}.open"), format!("`{open}` has no transition from `new`"), None);
                }
                Some(Step::Open { kind: open.clone(), for_each: listed.map(|(g, _)| g), with })
            }
            StepDef { fire: Some(transition), end: None, open: None, seat: None, vacate: None, send: None, .. } => {
                let on = match step.on.as_deref() {
                    Some("parent") => StepOn::Parent,
                    Some(on) if on.starts_with("each ") => StepOn::Each(on[5..].to_owned(), step.in_.clone()),
                    _ => {
                        self.say(key, "`fire` goes `on: parent` or `on: each KIND`", None);
                        return None;
                    }
                };
                let target = match &on {
                    StepOn::Parent => kind.def.of.as_ref(),
                    StepOn::Each(other, _) => Some(other),
                };
                match target.and_then(|t| d.file.proceedings.get(t)) {
                    None => self.say(&format!("{key}.on"), "there is no such proceeding", None),
                    Some(target) => {
                        if !target.transitions.contains_key(transition) {
                            self.unknown(&format!("{key}.fire"), "transition", transition, target.transitions.keys().map(String::as_str));
                        }
                        for state in step.in_.iter().filter(|s| !target.states.contains_key(*s)) {
                            self.unknown(&format!("{key}.in"), "state", state, target.states.keys().map(String::as_str));
                        }
                    }
                }
                Some(Step::Fire { transition: transition.clone(), on })
            }
            StepDef { seat: Some(seat), end: None, open: None, fire: None, vacate: None, send: None, .. } => {
                if !seat_known(seat) {
                    self.unknown(&format!("{key}.seat"), "seat", seat, d.file.seats.keys().map(String::as_str));
                }
                let field = match &step.with {
                    Some(With::One(source)) => source.strip_prefix("input.").unwrap_or_default(),
                    _ => "",
                };
                if fields.get(field).is_none_or(|f| f.ty != super::file::TypeName::Staff) {
                    self.say(&format!("{key}.with"), "a seat is filled `with: input.FIELD`, where the field's type is staff", None);
                }
                Some(Step::Seat { seat: seat.clone(), input: field.to_owned() })
            }
            StepDef { vacate: Some(seat), end: None, open: None, fire: None, seat: None, send: None, .. } => {
                if !seat_known(seat) {
                    self.unknown(&format!("{key}.vacate"), "seat", seat, d.file.seats.keys().map(String::as_str));
                }
                Some(Step::Vacate { seat: seat.clone() })
            }
            StepDef { send: Some(action), end: None, open: None, fire: None, seat: None, vacate: None, .. } => {
                self.send(d, kind, key, step, action, input)
            }
            _ => {
                self.say(key, "a step says exactly one of end, open, fire, seat, vacate, send", None);
                None
            }
        }
    }

    /// A command for another case of this workflow, and what its answer fires here.
    fn send(&mut self, d: &Definition, kind: &Kind, key: &str, step: &StepDef, action: &str, input: &Type) -> Option<Step> {
        let roots = self.roots(d, &kind.name, Reach::Input(input));
        let there = action.split_once('.').and_then(|(other, transition)| d.file.proceedings.get(other)?.transitions.get(transition));
        match there {
            None => self.say(&format!("{key}.send"), format!("`{action}` is no KIND.TRANSITION of this file"), None),
            Some(t) if !t.by.iter().any(|by| by == LINKED_CASE) => {
                self.say(
                    &format!("{key}.send"),
                    format!("`{action}` may not be taken by another case"),
                    Some(format!("it says `by: [{LINKED_CASE}]`")),
                );
            }
            Some(_) => {}
        }
        let to = match &step.to {
            Some(source) => self.guard(&format!("{key}.to"), source, &roots, &GuardType::Case),
            None => {
                self.say(key, "`send` says `to`: which case", None);
                None
            }
        };
        let mut with = Vec::new();
        if let Some(With::Fields(given)) = &step.with {
            for (field, source) in given {
                let key = format!("{key}.with.{field}");
                match there.and_then(|t| t.input.get(field)).map(names::field_type) {
                    Some(Ok(ty)) => with.extend(self.guard(&key, &source.source(), &roots, &(&ty).into()).map(|g| (field.clone(), g))),
                    _ => self.unknown(&key, "input", field, there.iter().flat_map(|t| t.input.keys()).map(String::as_str).collect::<Vec<_>>()),
                }
            }
        }
        let Some(answers) = &step.answers else {
            self.say(key, "`send` says `answers`: what fires here when it was done, and when it was refused", None);
            return None;
        };
        for (which, name) in [("done", &answers.done), ("refused", &answers.refused)] {
            let key = format!("{key}.answers.{which}");
            match kind.def.transitions.get(name) {
                None => self.unknown(&key, "transition", name, kind.def.transitions.keys().map(String::as_str)),
                Some(t) if !t.by.iter().any(|by| by == LINKED_CASE) || !t.input.is_empty() => {
                    self.say(&key, format!("`{name}` says `by: [{LINKED_CASE}]` and has no input"), None);
                }
                Some(_) => {}
            }
        }
        let to = to?;
        Some(Step::Send { action: action.to_owned(), to, with, done: answers.done.clone(), refused: answers.refused.clone() })
    }

    fn deadline(&mut self, d: &Definition, kind: &Kind, key: &str, name: &str, def: &DeadlineDef) -> Option<Deadline> {
        let lives_in = self.states(&format!("{key}.in"), &kind.def, &def.in_);
        let starts = self.starts(d, kind, key, def);
        let nothing = def.starts.is_empty();
        let due = match (&def.at, &def.length, &def.every) {
            (Some(at), None, None) if nothing => {
                let roots = self.roots(d, &kind.name, Reach::Case);
                let (guard, ty) = self.name(&format!("{key}.at"), at, &roots)?;
                if !matches!(ty, GuardType::Date | GuardType::Instant) {
                    self.say(&format!("{key}.at"), format!("`{at}` is {ty}, and a day or a moment is wanted"), None);
                }
                Due::At(guard)
            }
            (None, Some(length), None) if !nothing => Due::After { starts, length: self.length(d, &format!("{key}.length"), length)? },
            (None, None, Some(every)) if !nothing && def.at_most.is_some_and(|n| n > 0) => {
                Due::Every { starts, length: self.length(d, &format!("{key}.every"), every)?, at_most: def.at_most.unwrap_or(1) }
            }
            _ => {
                self.say(key, "a deadline says `starts` with `length`, or `starts` with `every` and `at_most`, or `at`", None);
                return None;
            }
        };
        let states = self.roots(d, &kind.name, Reach::States);
        let runs_while = def.runs_while.as_ref().and_then(|g| self.guard(&format!("{key}.runs_while"), g, &states, &GuardType::Bool));
        let grace = def.grace.as_ref().and_then(|g| self.length(d, &format!("{key}.grace"), g));
        for (step, datum) in &def.extended_by {
            let key = format!("{key}.extended_by.{step}");
            let found = step.split_once('.').and_then(|(k, t)| Some((d.file.proceedings.get(k)?, t)));
            match found {
                Some((other, transition)) if other.transitions.contains_key(transition) => {
                    if other.data.get(datum).is_none_or(|f| f.ty != super::file::TypeName::Int) {
                        self.say(&key, format!("`{datum}` is no whole number of that proceeding"), None);
                    }
                }
                _ => self.say(&key, format!("`{step}` is no KIND.TRANSITION of this file"), None),
            }
        }
        let mut warns = Vec::new();
        if let Some(w) = &def.warns {
            for (i, before) in w.before.iter().enumerate() {
                match before.parse::<Mark>() {
                    Ok(Mark::Share(_)) if def.length.is_none() => {
                        self.say(&format!("{key}.warns.before[{i}]"), "a share is of a length, and this deadline has none", None);
                    }
                    Ok(mark) => warns.push(mark),
                    Err(error) => self.say(&format!("{key}.warns.before[{i}]"), error, None),
                }
            }
            self.notice(d, &format!("{key}.warns.notice"), &w.notice);
        }
        if let Some(tells) = &def.tells {
            self.notice(d, &format!("{key}.tells"), tells);
        }
        if let Some(state) = lives_in.iter().find(|s| kind.def.states.get(*s).is_some_and(|s| s.final_.is_some()))
            && !def.fires.is_empty()
        {
            self.say(&format!("{key}.fires"), format!("nothing leads on from the final state `{state}`"), Some("say `work` or `tells`".to_owned()));
        }
        for (i, fire) in def.fires.iter().enumerate() {
            match kind.def.transitions.get(fire) {
                None => self.unknown(&format!("{key}.fires[{i}]"), "transition", fire, kind.def.transitions.keys().map(String::as_str)),
                Some(t) if !t.input.is_empty() => self.say(&format!("{key}.fires[{i}]"), "the clock has no input to give", None),
                Some(_) => {}
            }
        }
        if def.fires.is_empty() && def.work.is_none() && def.tells.is_none() {
            self.say(key, "this deadline has no outcome", Some("say `fires`, `work`, or `tells`".to_owned()));
        }
        if let Some(work) = &def.work {
            self.who(d, &format!("{key}.work.for"), std::slice::from_ref(&work.for_), Some(&kind.def));
        }
        Some(Deadline { name: name.to_owned(), def: Some(def.clone()), due, lives_in, runs_while, grace, warns, fires: def.fires.clone() })
    }

    /// `starts`: transitions of the kind, and `served(NOTICE)`.
    fn starts(&mut self, d: &Definition, kind: &Kind, key: &str, def: &DeadlineDef) -> Starts {
        let mut starts = Starts { per: def.per.unwrap_or_default(), ..Starts::default() };
        for (i, start) in def.starts.iter().enumerate() {
            let key = format!("{key}.starts[{i}]");
            let Some(notice) = start.strip_prefix("served(").and_then(|rest| rest.strip_suffix(')')) else {
                if !kind.def.transitions.contains_key(start) {
                    self.unknown(&key, "transition", start, kind.def.transitions.keys().map(String::as_str));
                }
                starts.steps.push(start.clone());
                continue;
            };
            self.notice(d, &key, notice);
            if d.file.notices.get(notice).is_some_and(|n| n.service != Some(ServiceDef::Required)) {
                self.say(&key, format!("nobody has to serve `{notice}`"), Some("the notice says `service: required`".to_owned()));
            }
            if !kind.def.transitions.values().any(|t| t.notices.iter().any(|n| n == notice)) {
                self.say(&key, format!("no step of `{}` sends `{notice}`", kind.name), None);
            }
            starts.served.push(notice.to_owned());
        }
        if def.per.is_some() && starts.served.is_empty() {
            self.say(&format!("{key}.per"), "`per` goes with `served(…)`", None);
        }
        starts
    }

    fn notices(&mut self, d: &Definition) -> (IndexMap<String, IndexMap<String, GuardType>>, Conditions) {
        let mut users: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for kind in d.kinds.values() {
            for transition in kind.def.transitions.values() {
                for notice in &transition.notices {
                    users.entry(notice).or_default().insert(&kind.name);
                }
            }
            for deadline in kind.def.deadlines.values() {
                for notice in deadline.warns.iter().map(|w| &w.notice).chain(&deadline.tells) {
                    users.entry(notice).or_default().insert(&kind.name);
                }
            }
            if let Some(undo) = &d.file.actions.undo {
                users.entry(&undo.notice).or_default().insert(&kind.name);
            }
        }
        let mut out = IndexMap::new();
        let mut conditions = BTreeMap::new();
        for (name, def) in &d.file.notices {
            let key = format!("notices.{name}");
            for (i, to) in def.to.iter().enumerate() {
                if matches!(to.name(), "applicant" | "other_side") {
                    continue;
                }
                // A seat of the proceeding (`this.chair`) is one of every kind that sends the notice.
                let senders = users.get(name.as_str()).into_iter().flatten().map(|kind| Some(&*d.kinds[*kind].def));
                for sender in senders.chain((!users.contains_key(name.as_str())).then_some(None)) {
                    self.who(d, &format!("{key}.to[{i}]"), &[to.name().to_owned()], sender);
                }
            }
            let mut fields: IndexMap<String, GuardType> = IndexMap::new();
            let Some(kinds) = users.get(name.as_str()) else {
                self.say(&key, "no transition and no deadline sends this notice", Some("name it under `notices`, or leave it out".to_owned()));
                continue;
            };
            for kind in kinds {
                let roots = self.roots(d, kind, Reach::Case);
                for (i, when) in def.to.iter().enumerate().filter_map(|(i, to)| Some((i, to.when()?))) {
                    let guard = self.guard(&format!("{key}.to[{i}].when"), when, &roots, &GuardType::Bool);
                    let opens = d.kinds[*kind].def.transitions.values().any(|t| t.from.as_slice() == ["new"] && t.notices.contains(name));
                    if opens {
                        self.say(
                            &format!("{key}.to[{i}].when"),
                            format!("`{kind}` sends this notice when it opens, when there is nothing to ask yet"),
                            None,
                        );
                    }
                    conditions.extend(guard.map(|g| ((name.clone(), i, (*kind).to_owned()), g)));
                }
                for (field, source) in &def.data {
                    if let Some((_, ty)) = self.name(&format!("{key}.data.{field}"), source, &roots) {
                        match fields.get_mut(field) {
                            Some(GuardType::Enum(words)) if matches!(ty, GuardType::Enum(_)) => {
                                let GuardType::Enum(more) = ty else { continue };
                                let mut all: Vec<String> = words.to_vec();
                                all.extend(more.iter().filter(|w| !words.contains(w)).cloned());
                                *words = all.into();
                            }
                            Some(other) if *other != ty => {
                                self.say(
                                    &format!("{key}.data.{field}"),
                                    format!("`{source}` is {other} in one proceeding and {ty} in another"),
                                    None,
                                );
                            }
                            Some(_) => {}
                            None => drop(fields.insert(field.clone(), ty)),
                        }
                    }
                }
                if let Some(invitation) = &def.invitation {
                    self.guard(&format!("{key}.invitation.at"), &invitation.at, &roots, &GuardType::Instant);
                    self.guard(&format!("{key}.invitation.place"), &invitation.place, &roots, &GuardType::Text);
                }
            }
            out.insert(name.clone(), fields);
        }
        (out, conditions)
    }

    fn forms(&mut self, d: &Definition) {
        for (name, form) in &d.file.forms {
            for kind in d.kinds.values().filter(|k| k.def.transitions.values().any(|t| t.forms.contains(name))) {
                let roots = self.roots(d, &kind.name, Reach::Case);
                for (field, source) in &form.data {
                    self.name(&format!("forms.{name}.data.{field}"), source, &roots);
                }
            }
        }
    }
}

/// A mistake at a key, placed at the nearest key that the file holds.
#[must_use]
pub fn at(places: &Places, key: &str, message: impl Into<String>, hint: Option<String>) -> Mistake {
    let mut near = key;
    let (line, column) = loop {
        if let Some(place) = places.get(near) {
            break *place;
        }
        match near.rfind(['.', '[']) {
            Some(cut) => near = &near[..cut],
            None => break (1, 1),
        }
    };
    Mistake { line, column, key: key.to_owned(), message: message.into(), hint }
}
