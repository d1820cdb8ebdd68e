//! A play that shows a finding: somebody who knows the file alone walks from the opening of a case to the place of the
//! fault, fills forms from their types, and removes what refusals say stands in the way.
//!
//! What comes out is an ordinary scenario: `heyi workflow test` plays it. It was played here to its end before it is
//! handed out, so it never claims what is not so. A place that the walk does not reach within its bound has no play,
//! and that is said; it does not mean that there is no fault.

use super::file::{Cast, Expect, PersonDef, Scenario, StepFile};
use super::memory::MemoryDoor;
use super::play::{Player, code};
use super::rehearsal;
use crate::calendar::Calendar;
use crate::case::refusal::{Code, Refusal};
use crate::case::scope::Scope;
use crate::case::{Account, Case, Policy, Proceeding, Rules, clock, decide};
use crate::definition::check::{Aim, Finding};
use crate::definition::file::{Localized, Of, TypeName};
use crate::definition::model::{Definition, Kind, LINKED_CASE, Step, StepOn, Transition};
use crate::guard::{Guard, Scope as Names, Slot};
use crate::ids::{LegalTime, ProceedingId};
use crate::value::{Type, Value};
use chrono::{DateTime, Duration, FixedOffset, TimeZone as _};
use indexmap::IndexMap;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// More steps than this mean that there is no way.
const STEPS_MAX: usize = 120;
/// At most so many tries of one step, each with one obstacle less.
const TRIES_MAX: usize = 24;
/// Steps that need other steps first, one within the other.
const DEPTH_MAX: usize = 14;
/// At most so many ways to fill in one form.
const FILLINGS_MAX: usize = 3_000;
/// The walk begins again so often, each time preferring other choices.
const WALKS_MAX: usize = 6;

/// Makes a scenario that shows a finding.
///
/// # Errors
/// Why there is none, as a sentence.
pub fn counterexample(definition: &Definition, finding: &Finding, calendar: &Calendar, cast: &Cast, name: &str) -> Result<Scenario, String> {
    let Some(aim) = &finding.aim else { return Err("this is a matter of spelling or of types: there is nothing to play".to_owned()) };
    let policy = Policy::of(definition, &BTreeMap::new()).map_err(|m| m.join("; "))?;
    let accounts = cast.accounts();
    let blank = blank(definition, finding, name);
    let mut why = String::new();
    for preference in 0..WALKS_MAX {
        let mut walk = Walk {
            definition,
            policy: &policy,
            calendar,
            accounts: &accounts,
            player: Player::new(&blank, definition, &accounts),
            door: MemoryDoor::new(definition, policy.clone(), calendar, accounts.values().cloned().collect()),
            now: definition.zone.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).earliest().map_or_else(Default::default, |t| t.fixed_offset()),
            steps: Vec::new(),
            given_up: BTreeSet::new(),
            wanted: None,
            preference,
        };
        match walk.aim(aim) {
            Ok(()) => {
                let scenario = Scenario { steps: walk.steps, ..blank.clone() };
                let (failures, _) = rehearsal::play(&scenario, definition, policy.clone(), calendar, cast, |_| {});
                if failures.is_empty() {
                    return Ok(scenario);
                }
                why = failures.join("; ");
            }
            Err(reason) => why = reason,
        }
    }
    Err(format!("no play was found: {why}"))
}

/// A scenario as a file: one line for each person and step.
#[must_use]
pub fn written(scenario: &Scenario) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let _ = writeln!(out, "scenario: {}\nworkflow: {}\ntitle: {}", scenario.scenario, scenario.workflow, flow(&scenario.title));
    if !scenario.people.is_empty() {
        out.push_str("people:\n");
        for (name, person) in &scenario.people {
            let _ = writeln!(out, "  {name}: {}", flow(person));
        }
    }
    out.push_str("steps:\n");
    for step in &scenario.steps {
        let _ = writeln!(out, "  - {}", flow(step));
    }
    out
}

/// A value in braces on one line: JSON is YAML too.
fn flow(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The scenario without its steps: one person for each side.
fn blank(definition: &Definition, finding: &Finding, name: &str) -> Scenario {
    let person = |side: &String| PersonDef {
        side: side.clone(),
        name: format!("某{side}"),
        email: Some("someone@example.org".to_owned()),
        language: None,
        address: None,
        identity: None,
        party: None,
        unit: None,
    };
    let title: Localized =
        definition.file.title.keys().map(|l| (l.clone(), format!("{}: {}", finding.mistake.key, finding.mistake.message))).collect();
    Scenario {
        scenario: name.to_owned(),
        workflow: definition.file.workflow.clone(),
        title,
        note: Localized::new(),
        demo: None,
        exports: Vec::new(),
        policy: BTreeMap::new(),
        people: definition.file.sides.keys().map(|s| (s.clone(), person(s))).collect(),
        steps: Vec::new(),
    }
}

type Walked<T> = Result<T, String>;

struct Walk<'a> {
    definition: &'a Definition,
    policy: &'a Policy,
    calendar: &'a Calendar,
    accounts: &'a IndexMap<String, Account>,
    player: Player<'a>,
    door: MemoryDoor<'a>,
    now: DateTime<FixedOffset>,
    steps: Vec<StepFile>,
    /// Steps that could not be taken.
    given_up: BTreeSet<(String, String)>,
    /// A refusal that would itself be what is to be shown.
    wanted: Option<Code>,
    preference: usize,
}

/// What came of a try.
enum Tried {
    Done,
    /// The refusal that was to be shown.
    Shown,
    Refused(Vec<Refusal>),
}

impl<'a> Walk<'a> {
    fn rules(&self) -> Rules<'a> {
        Rules { definition: self.definition, policy: self.policy, calendar: self.calendar }
    }

    fn case(&self) -> &Case {
        self.door.case()
    }

    fn kind(&self, name: &str) -> Walked<&'a Kind> {
        self.definition.kinds.get(name).ok_or_else(|| format!("there is no `{name}`"))
    }

    fn transition(&self, kind: &str, name: &str) -> Walked<(&'a Kind, &'a Transition)> {
        let kind = self.kind(kind)?;
        kind.transitions.get(name).map(|t| (kind, t)).ok_or_else(|| format!("there is no `{}.{name}`", kind.name))
    }

    fn aim(&mut self, aim: &Aim) -> Walked<()> {
        match aim {
            Aim::Stuck { kind, state } => {
                self.reach(kind, state, 0)?;
                let stays = self.kind(kind)?.transitions.values().all(|t| !t.from.contains(state) || t.to.as_ref().is_none_or(|to| to == state));
                self.pass(Duration::days(200))?;
                let states = if stays { IndexMap::from([(kind.clone(), state.clone())]) } else { IndexMap::new() };
                self.expect(Expect { states, closed: Some(false), ..Expect::default() })
            }
            Aim::Parks { kind, state, by } => {
                self.wanted = Some(Code::WouldPark);
                let shown = match by.first() {
                    Some(step) => self.take(kind, step, 0),
                    None => self.reach(kind, state, 0),
                };
                self.shown(shown)
            }
            Aim::Endless { kind, state } => {
                self.wanted = Some(Code::Loop);
                let mut shown = self.reach(kind, state, 0);
                let def = self.kind(kind)?;
                for auto in def.transitions.values().filter(|t| t.from.contains(state)).filter_map(|t| t.auto.as_ref()) {
                    if !self.is_shown() {
                        shown = self.by_condition(def, auto, 0);
                    }
                }
                self.shown(shown)
            }
            Aim::Breach { path } => {
                self.wanted = Some(Code::Invariant);
                let mut shown = Ok(());
                for step in path.iter().skip(1) {
                    let (kind, step) = step.split_once('.').unwrap_or((step, ""));
                    shown = self.take(kind, step, 0);
                    if shown.is_err() || self.is_shown() {
                        break;
                    }
                }
                self.shown(shown)
            }
            Aim::Closed { kind, transition } => self.closed(kind, transition),
            Aim::Unreached { kind, state } => {
                self.open_case()?;
                let entering = self.kind(kind)?.transitions.values().filter(|t| t.to.as_ref() == Some(state) && !t.def.by.is_empty());
                let may = entering.map(|t| (format!("{kind}.{}", t.name), Vec::new())).collect();
                let root = self.case().root().map(|p| (p.kind.clone(), p.state().to_owned()));
                self.expect(Expect { may, states: root.into_iter().collect(), ..Expect::default() })
            }
            Aim::Round { kind, state, round } => {
                // Steps that go round by themselves are stopped by the engine; that shows it as well.
                self.wanted = Some(Code::Loop);
                self.reach(kind, state, 0)?;
                for step in round.iter().chain(round) {
                    if !self.is_shown() {
                        self.take(kind, step, 0)?;
                    }
                }
                if self.is_shown() {
                    return Ok(());
                }
                self.expect(Expect { states: IndexMap::from([(kind.clone(), state.clone())]), ..Expect::default() })
            }
            Aim::Untold { kind, transition, side } => self.untold(kind, transition, side),
            Aim::Right { kind, state, of, actions } => {
                self.reach(kind, state, 0)?;
                let open = {
                    let case = self.door.case().clone();
                    let open = self.player.open_to(&case, self.now, &mut self.door)?;
                    let who = |action: &String| open.iter().filter(|(_, may)| may.contains(action)).map(|(n, _)| (*n).to_owned()).collect::<Vec<_>>();
                    actions.iter().map(|a| (a.clone(), who(a))).collect::<IndexMap<_, _>>()
                };
                let theirs = |name: &String| self.accounts.get(name).is_some_and(|a| a.role == *of);
                if open.values().flatten().any(theirs) {
                    return Err(format!("`{of}` may act here after all"));
                }
                self.expect(Expect { may: open, states: IndexMap::from([(kind.clone(), state.clone())]), ..Expect::default() })
            }
            Aim::Deadlines { kind, state, both } => {
                self.reach(kind, state, 0)?;
                let runs = clock::runs(self.rules(), self.case());
                let day = |name: &String| runs.iter().find(|r| r.id.deadline == *name).and_then(clock::Run::last_day).map(|d| d.to_string());
                match (day(&both[0]), day(&both[1])) {
                    (Some(one), Some(other)) if one == other => {
                        let deadlines = IndexMap::from([(both[0].clone(), one), (both[1].clone(), other)]);
                        self.expect(Expect { deadlines, ..Expect::default() })
                    }
                    _ => Err("the two clocks do not end on one day in this play".to_owned()),
                }
            }
            Aim::Autos { kind, both, .. } => {
                self.take(kind, &both[0], 0)?;
                let (_, first) = self.transition(kind, &both[0])?;
                let states = first.to.iter().map(|to| (kind.clone(), to.clone())).collect();
                self.expect(Expect { states, ..Expect::default() })
            }
        }
    }

    fn is_shown(&self) -> bool {
        self.steps.last().and_then(|s| s.expect.as_ref()).is_some_and(|e| e.refused.is_some())
    }

    fn shown(&self, walked: Walked<()>) -> Walked<()> {
        if self.is_shown() {
            return Ok(());
        }
        walked?;
        Err("the step that should be refused was accepted".to_owned())
    }

    /// A step that should be open, and is refused or never comes.
    fn closed(&mut self, kind: &str, name: &str) -> Walked<()> {
        let (kind, transition) = self.transition(kind, name)?;
        if transition.opens && kind.def.root {
            let mut step = self.blank();
            (step.by, step.do_) = (self.accounts.keys().next().cloned(), Some("case.open".to_owned()));
            return match self.attempt(step.clone())? {
                Tried::Refused(refusals) => {
                    let refused = refusals.first().map(|r| code(r.code));
                    self.steps.push(StepFile { expect: Some(Expect { refused, ..Expect::default() }), ..step });
                    Ok(())
                }
                _ => Err("the case was opened".to_owned()),
            };
        }
        self.open_case()?;
        for state in &transition.from {
            if self.reach(&kind.name, state, 0).is_ok() {
                break;
            }
        }
        if transition.opens
            && let Some(parent) = &kind.def.of
        {
            let first = self.kind(parent)?.opening().and_then(|t| t.to.clone()).unwrap_or_default();
            self.reach(parent, &first, 0).ok();
        }
        let action = format!("{}.{name}", kind.name);
        if transition.def.by.is_empty() {
            let here = self.of_kind(&kind.name).next().map(|p| (kind.name.clone(), p.state().to_owned()));
            self.pass(Duration::days(60))?;
            return self.expect(Expect { states: here.into_iter().collect(), ..Expect::default() });
        }
        for by in &transition.def.by {
            if self.definition.file.sides.contains_key(by) {
                self.person(by).ok();
            } else if self.definition.file.seats.contains_key(by) && self.case().holder(by, None).is_none() {
                self.seat(by, 0).ok();
            }
        }
        let mut commands = self.commands(kind, transition)?;
        if commands.is_empty() {
            // Nobody holds what it takes: whoever comes first is refused.
            let mut step = self.blank();
            (step.by, step.do_) = (self.accounts.keys().next().cloned(), Some(action.clone()));
            commands.push(step);
        }
        let mut last = String::new();
        for step in commands {
            match self.attempt(step.clone())? {
                Tried::Refused(refusals) if refusals.iter().all(|r| r.code != Code::Input) => {
                    let refused = refusals.first().map(|r| code(r.code));
                    let mut step = step;
                    step.expect = Some(Expect { refused, ..Expect::default() });
                    self.steps.push(step);
                    return Ok(());
                }
                Tried::Refused(refusals) => last = told(&refusals),
                _ => return Err(format!("{action} was accepted")),
            }
        }
        Err(last)
    }

    fn untold(&mut self, kind: &str, name: &str, side: &str) -> Walked<()> {
        for side in self.definition.file.sides.keys() {
            self.person(side).ok();
        }
        self.door.take();
        let before = self.case().version;
        self.take(kind, name, 0)?;
        let (_, transition) = self.transition(kind, name)?;
        let mut by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let seen = self.door.take();
        let last = seen.events.iter().rev().find(|e| matches!(&e.what, crate::case::event::What::Moved(m) if m.transition == name && m.kind == kind));
        let (Some(last), true) = (last, self.case().version > before) else { return Err("the step was not seen".to_owned()) };
        let crate::case::event::What::Moved(moved) = &last.what else { return Err("the step was not seen".to_owned()) };
        for told in &moved.tells {
            by.entry(told.notice.clone()).or_default().insert(told.as_.clone());
        }
        if by.values().any(|told| told.contains(side)) {
            return Err(format!("`{side}` is told in this play, under a condition that held"));
        }
        let file = &self.definition.file;
        let reaches =
            |n: &crate::definition::file::NoticeDef| n.to.iter().any(|t| t.name() == side || matches!(t.name(), "applicant" | "other_side"));
        let silent = transition.def.notices.iter().filter(|n| !by.contains_key(*n));
        let not_notices: Vec<String> = if by.is_empty() && transition.def.notices.is_empty() {
            // Of all that could have told this side nothing left.
            let left: BTreeSet<&String> = seen.notices.iter().map(|n| &n.kind).collect();
            file.notices.iter().filter(|(n, def)| reaches(def) && !left.contains(n)).map(|(n, _)| n.clone()).collect()
        } else {
            silent.cloned().collect()
        };
        let told = by.into_iter().map(|(notice, names)| (notice, names.into_iter().collect())).collect();
        let states = IndexMap::from([(kind.to_owned(), moved.to.clone())]);
        self.expect(Expect { told, not_notices, states, ..Expect::default() })
    }

    /// Adds an expectation to the last step, if it holds.
    fn expect(&mut self, expect: Expect) -> Walked<()> {
        let last = self.steps.last_mut().ok_or("nothing was done")?;
        last.expect = Some(expect);
        Ok(())
    }

    fn at(&self) -> String {
        self.now.format("%Y-%m-%d %H:%M").to_string()
    }

    fn blank(&self) -> StepFile {
        StepFile {
            at: self.at(),
            by: None,
            do_: None,
            input: IndexMap::new(),
            for_: None,
            person: None,
            paper: None,
            as_: None,
            evidence: Vec::new(),
            on: None,
            effective_on: None,
            tell: Localized::new(),
            expect: None,
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) -> Walked<()> {
        self.now += time;
        let step = self.blank();
        match self.attempt(step)? {
            Tried::Refused(refusals) => Err(told(&refusals)),
            _ => Ok(()),
        }
    }

    /// Plays a step; it stays when it was accepted.
    fn attempt(&mut self, step: StepFile) -> Walked<Tried> {
        if self.steps.len() >= STEPS_MAX {
            return Err(format!("not there after {STEPS_MAX} steps"));
        }
        let report = self.player.take(&step, &mut self.door)?;
        match report.outcome {
            Ok(_) => {
                self.steps.push(step);
                self.now += Duration::minutes(10);
                Ok(Tried::Done)
            }
            Err(refusals) => match self.wanted.filter(|w| refusals.iter().any(|r| r.code == *w)) {
                Some(wanted) => {
                    let expect = Some(Expect { refused: Some(code(wanted)), ..Expect::default() });
                    self.steps.push(StepFile { expect, ..step });
                    Ok(Tried::Shown)
                }
                None => Ok(Tried::Refused(refusals)),
            },
        }
    }

    fn of_kind<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'s Proceeding> {
        self.case().proceedings.values().rev().filter(move |p| p.kind == kind && p.is_open())
    }

    /// `kind#n` of a proceeding.
    fn named(&self, id: ProceedingId) -> Option<String> {
        let p = self.case().proceedings.get(&id)?;
        let n = self.case().proceedings.values().filter(|q| q.kind == p.kind).position(|q| q.id == id)?;
        Some(format!("{}#{}", p.kind, n + 1))
    }

    fn open_case(&mut self) -> Walked<()> {
        if self.case().version > 0 {
            return Ok(());
        }
        let opening = self.kind(&self.definition.root)?.opening().ok_or("nothing opens the case")?;
        let mut facts = Vec::new();
        for _ in 0..TRIES_MAX {
            let mut why = Vec::new();
            for who in self.accounts_of(&opening.def.by, None) {
                let mut step = self.blank();
                (step.by, step.do_) = (Some(who), Some("case.open".to_owned()));
                step.input = facts.iter().cloned().collect();
                match self.attempt(step)? {
                    Tried::Refused(refusals) => why = refusals,
                    _ => return Ok(()),
                }
            }
            let missing = opening.when.iter().filter_map(|g| self.facts_for(g, None)).next();
            match missing {
                Some(more) if facts.is_empty() => facts = more,
                _ => return Err(format!("the case cannot be opened: {}", told(&why))),
            }
        }
        Err("the case cannot be opened".to_owned())
    }

    /// Brings a proceeding of this kind into this state.
    fn reach(&mut self, kind: &str, state: &str, depth: usize) -> Walked<()> {
        if depth > DEPTH_MAX {
            return Err("too many steps need other steps first".to_owned());
        }
        self.open_case()?;
        let def = self.kind(kind)?;
        for _ in 0..TRIES_MAX {
            if self.is_shown() || self.of_kind(kind).any(|p| p.state() == state) {
                return Ok(());
            }
            let ended = def.state(state).is_some_and(|s| s.final_.is_some());
            if ended && self.case().proceedings.values().any(|p| p.kind == kind && p.state() == state) {
                return Ok(());
            }
            let here = self.of_kind(kind).next().map(|p| p.state().to_owned());
            let Some(here) = here else {
                self.open(def, depth + 1)?;
                continue;
            };
            let Some(next) = self.toward(def, &here, state) else {
                return Err(format!("no way is left from `{here}` to `{state}` of `{kind}`"));
            };
            if self.take_here(def, next, depth + 1).is_err() {
                self.given_up.insert((kind.to_owned(), next.name.clone()));
            }
        }
        Err(format!("`{state}` of `{kind}` was not reached"))
    }

    /// The first step of a shortest way between two states.
    fn toward(&self, kind: &'a Kind, from: &str, to: &str) -> Option<&'a Transition> {
        let mut seen: BTreeSet<&str> = BTreeSet::from([from]);
        let mut queue: VecDeque<(&str, Option<&'a Transition>)> = VecDeque::from([(from, None)]);
        while let Some((at, first)) = queue.pop_front() {
            let mut leaving: Vec<&'a Transition> = kind.transitions.values().filter(|t| t.from.contains(at)).collect();
            // Steps of people first, then what happens by itself, and the clock last.
            leaving.sort_by_key(|t| (t.def.by.is_empty(), t.auto.is_none()));
            if self.preference % 2 == 1 {
                leaving.reverse();
            }
            for transition in leaving {
                let Some(next) = transition.to.as_deref() else { continue };
                if self.given_up.contains(&(kind.name.clone(), transition.name.clone())) {
                    continue;
                }
                let first = first.or(Some(transition));
                if next == to {
                    return first;
                }
                if kind.state(next).is_some_and(|s| s.final_.is_none()) && seen.insert(next) {
                    queue.push_back((next, first));
                }
            }
        }
        None
    }

    /// Opens a proceeding of a kind.
    fn open(&mut self, kind: &'a Kind, depth: usize) -> Walked<()> {
        if depth > DEPTH_MAX {
            return Err("too many steps need other steps first".to_owned());
        }
        let opening = kind.opening().ok_or("nothing opens it")?;
        let parent = self.kind(kind.def.of.as_deref().unwrap_or_default())?;
        let mut why = format!("nothing opens `{}`", kind.name);
        if !opening.def.by.is_empty() {
            // In which state of the parent it opens, its condition says by name; otherwise in any.
            let named: Vec<&str> = opening
                .when
                .iter()
                .filter(|g| g.reads().contains(["this", "parent", "state"].map(str::to_owned).as_slice()))
                .flat_map(Guard::literals)
                .filter_map(|v| if let Value::Text(t) = v { parent.def.states.get_key_value(&t).map(|(n, _)| n.as_str()) } else { None })
                .collect();
            let first = parent.opening().and_then(|t| t.to.as_deref());
            let states: Vec<&str> = if named.is_empty() { first.into_iter().collect() } else { named };
            for state in states {
                if named_here(self, &parent.name, state) || self.reach(&parent.name, state, depth + 1).is_ok() {
                    match self.by_hand(kind, opening, depth + 1) {
                        Ok(()) => return Ok(()),
                        Err(reason) => why = reason,
                    }
                }
            }
        }
        for step in parent.transitions.values().filter(|t| t.then.iter().any(|s| matches!(s, Step::Open { kind: k, .. } if *k == kind.name))) {
            match self.take(&parent.name, &step.name, depth + 1) {
                Ok(()) if self.of_kind(&kind.name).next().is_some() || self.is_shown() => return Ok(()),
                Ok(()) => why = format!("`{}` opened no `{}`", step.name, kind.name),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// Takes a transition, wherever the proceeding is now.
    fn take(&mut self, kind: &str, name: &str, depth: usize) -> Walked<()> {
        let (kind, transition) = self.transition(kind, name)?;
        self.open_case()?;
        if transition.opens {
            return if kind.def.root { Ok(()) } else { self.open(kind, depth + 1) };
        }
        let mut why = format!("no state that `{name}` leaves was reached");
        let mut from: Vec<&String> = transition.from.iter().collect();
        let here: Vec<String> = self.of_kind(&kind.name).map(|p| p.state().to_owned()).collect();
        from.sort_by_key(|s| !here.contains(s));
        for state in from {
            match self.reach(&kind.name, state, depth + 1) {
                Ok(()) if self.is_shown() => return Ok(()),
                Ok(()) => match self.take_here(kind, transition, depth + 1) {
                    Ok(()) => return Ok(()),
                    Err(reason) => why = reason,
                },
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// Takes a transition from where the proceeding is, whoever or whatever fires it.
    fn take_here(&mut self, kind: &'a Kind, transition: &'a Transition, depth: usize) -> Walked<()> {
        if depth > DEPTH_MAX {
            return Err("too many steps need other steps first".to_owned());
        }
        let taken = |case: &Case| {
            let all = case.proceedings.values().filter(|p| p.kind == kind.name);
            all.map(|p| p.timeline.times(&transition.name)).sum::<usize>()
        };
        let before = taken(self.case());
        if !transition.def.by.is_empty() {
            self.by_hand(kind, transition, depth)?;
        } else if let Some(auto) = &transition.auto {
            self.by_condition(kind, auto, depth)?;
        } else {
            self.by_others(kind, transition, depth)?;
        }
        if self.is_shown() || taken(self.case()) > before { Ok(()) } else { Err(format!("`{}.{}` did not happen", kind.name, transition.name)) }
    }

    /// The clock, or a step of another proceeding.
    fn by_others(&mut self, kind: &'a Kind, transition: &'a Transition, depth: usize) -> Walked<()> {
        if kind.deadlines.values().any(|d| d.fires.contains(&transition.name)) {
            let runs = clock::runs(self.rules(), self.case());
            let due = runs.iter().filter(|r| kind.deadlines.get(&r.id.deadline).is_some_and(|d| d.fires.contains(&transition.name)));
            if let Some(at) = due.filter_map(|r| r.acts_at).min() {
                self.now = self.now.max(at.with_timezone(&self.definition.zone).fixed_offset() + Duration::minutes(5));
                return self.pass(Duration::zero());
            }
        }
        let mut why = format!("nothing fires `{}`", transition.name);
        for (other, step) in self.definition.kinds.values().flat_map(|k| k.transitions.values().map(move |t| (k, t))) {
            let fires = step.then.iter().any(|s| match s {
                Step::Fire { transition: t, on: StepOn::Parent } => *t == transition.name && other.def.of.as_ref() == Some(&kind.name),
                Step::Fire { transition: t, on: StepOn::Each(k, _) } => *t == transition.name && *k == kind.name,
                _ => false,
            });
            if fires {
                match self.take(&other.name, &step.name, depth + 1) {
                    Ok(()) => return Ok(()),
                    Err(reason) => why = reason,
                }
            }
        }
        Err(why)
    }

    /// Makes the condition of an automatic step come true.
    fn by_condition(&mut self, kind: &'a Kind, auto: &'a Guard, depth: usize) -> Walked<()> {
        let reads = auto.reads();
        let asks = |word: &str| reads.contains(&vec!["assents".to_owned(), word.to_owned()]);
        if asks("all") || asks("any_refused") {
            return self.answer(kind, if asks("all") { "give" } else { "refuse" });
        }
        if asks("lapsed") {
            let runs = clock::runs(self.rules(), self.case());
            let at = runs.iter().filter(|r| r.id.deadline.ends_with("_answers")).filter_map(|r| r.acts_at).min().ok_or("no round runs")?;
            self.now = self.now.max(at.with_timezone(&self.definition.zone).fixed_offset() + Duration::minutes(5));
            return self.pass(Duration::zero());
        }
        let here = self.of_kind(&kind.name).next().map(|p| p.id);
        if let Some(facts) = self.facts_for(auto, here) {
            return self.record(facts);
        }
        // What a datum of this proceeding decides, a step that sets it brings about.
        for path in reads.iter().filter(|p| p[0] == "this" && p.len() > 1) {
            let state = self.of_kind(&kind.name).next().map(|p| p.state().to_owned()).unwrap_or_default();
            let setting = kind.transitions.values().find(|t| t.from.contains(&state) && t.def.sets.contains_key(&path[1]) && !t.def.by.is_empty());
            if let Some(setting) = setting {
                return self.by_hand(kind, setting, depth + 1);
            }
        }
        Err(format!("nobody knows how to bring about `{}`", auto.source()))
    }

    /// Lets everyone who is asked answer.
    fn answer(&mut self, kind: &'a Kind, answer: &str) -> Walked<()> {
        let (id, state) = self.of_kind(&kind.name).next().map(|p| (p.id, p.state().to_owned())).ok_or("nothing is asked")?;
        let asked = kind.state(&state).and_then(|s| s.assents.as_ref()).map(|a| a.of.clone()).ok_or("nothing is asked here")?;
        for name in asked {
            if self.of_kind(&kind.name).all(|p| p.id != id || p.state() != state) {
                return Ok(());
            }
            if self.definition.file.sides.contains_key(&name) {
                self.person(&name)?;
            }
            if let Some(seat) = self.definition.file.seats.get(&name).map(|_| &name)
                && self.case().holder(seat, None).is_none()
            {
                self.seat(seat, 0)?;
            }
            let who = self.accounts_of(std::slice::from_ref(&name), Some(id)).into_iter().next().ok_or_else(|| format!("nobody acts as `{name}`"))?;
            let mut step = self.blank();
            (step.by, step.do_, step.on) = (Some(who), Some(format!("{}.assent", kind.name)), self.named(id));
            step.input.insert("answer".to_owned(), json!(answer));
            match self.attempt(step)? {
                Tried::Refused(refusals) => return Err(told(&refusals)),
                _ if answer == "refuse" => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The accounts of the cast that may act as one of these.
    fn accounts_of(&self, by: &[String], this: Option<ProceedingId>) -> Vec<String> {
        let mut out = Vec::new();
        for name in by {
            let own = |(_, a): &(&String, &Account)| {
                let held = self.case().holder(name, this);
                if name.starts_with("this.") || self.definition.file.seats.contains_key(name) { held == Some(a.id) } else { a.role == *name }
            };
            out.extend(self.accounts.iter().filter(own).map(|(n, _)| n.clone()));
            if name == LINKED_CASE {
                out.push(LINKED_CASE.to_owned());
            }
        }
        out
    }

    /// The ways in which somebody could take a step: who, where, and with what.
    fn commands(&mut self, kind: &'a Kind, transition: &'a Transition) -> Walked<Vec<StepFile>> {
        let target = if transition.opens {
            let parent = kind.def.of.clone().unwrap_or_default();
            self.case().proceedings.values().rev().find(|p| p.kind == parent).map(|p| p.id)
        } else {
            let fitting = self.of_kind(&kind.name).find(|p| transition.from.contains(p.state())).map(|p| p.id);
            fitting.or_else(|| self.case().proceedings.values().rev().find(|p| p.kind == kind.name).map(|p| p.id))
        };
        let this = if transition.opens { None } else { target };
        let mut out = Vec::new();
        for who in self.accounts_of(&transition.def.by, this) {
            let side = self.accounts.get(&who).map(|a| a.role.clone()).filter(|r| self.definition.file.sides.contains_key(r));
            for input in self.fillings(transition, this, target, side.as_deref()) {
                let mut step = self.blank();
                (step.by, step.do_, step.input) = (Some(who.clone()), Some(format!("{}.{}", kind.name, transition.name)), input);
                step.on = target.and_then(|id| self.named(id));
                out.push(step);
            }
        }
        Ok(out)
    }

    /// Somebody takes a step; what stands in the way is removed first.
    fn by_hand(&mut self, kind: &'a Kind, transition: &'a Transition, depth: usize) -> Walked<()> {
        if depth > DEPTH_MAX {
            return Err("too many steps need other steps first".to_owned());
        }
        let mut removed: BTreeSet<String> = BTreeSet::new();
        let mut why = format!("nobody may take `{}.{}`", kind.name, transition.name);
        for _ in 0..TRIES_MAX {
            for side in transition.def.by.iter().filter(|b| self.definition.file.sides.contains_key(*b)) {
                self.person(side)?;
            }
            for seat in transition.def.by.iter().filter(|b| self.definition.file.seats.contains_key(*b)) {
                if transition.def.by.len() == 1 && self.case().holder(seat, None).is_none() {
                    self.seat(seat, depth + 1)?;
                }
            }
            let mut blocked: Vec<Refusal> = Vec::new();
            for step in self.commands(kind, transition)? {
                match self.attempt(step)? {
                    Tried::Done | Tried::Shown => return Ok(()),
                    Tried::Refused(refusals) => {
                        let fewer = blocked.is_empty() || refusals.len() < blocked.len();
                        if fewer && refusals.iter().all(|r| r.code != Code::Role) {
                            blocked = refusals;
                        } else {
                            why = told(&refusals);
                        }
                    }
                }
            }
            if !blocked.is_empty() {
                why = told(&blocked);
            }
            let mut any = false;
            for refusal in &blocked {
                let mark = format!("{} {} {:?}", code(refusal.code), refusal.what, refusal.details.get("people"));
                if removed.insert(mark) {
                    any |= self.remove(kind, transition, refusal, depth).is_ok();
                    if self.is_shown() {
                        return Ok(());
                    }
                }
            }
            if !any {
                break;
            }
        }
        Err(format!("{}.{}: {why}", kind.name, transition.name))
    }

    /// Removes what a refusal names.
    fn remove(&mut self, kind: &'a Kind, transition: &'a Transition, refusal: &Refusal, depth: usize) -> Walked<()> {
        let what = refusal.what.as_str();
        match refusal.code {
            Code::Party => {
                for side in self.definition.file.sides.keys().filter(|s| what.split(", ").any(|w| w == *s)) {
                    self.person(side)?;
                }
                Ok(())
            }
            Code::Paper => {
                let own = self.definition.file.papers.get(what).is_some_and(|p| p.of == kind.name);
                let on = self.of_kind(&kind.name).find(|p| transition.from.contains(p.state())).map(|p| p.id).filter(|_| own);
                let on = on.and_then(|id| self.named(id));
                self.own_action("case.file", &self.definition.file.actions.file.by, |step| {
                    step.paper = Some(what.to_owned());
                    step.on = on.clone();
                })
            }
            Code::Consent => {
                let people: Vec<String> = self.definition.file.sides.keys().cloned().collect();
                for side in people {
                    self.person(&side)?;
                    self.own_action("case.consent", std::slice::from_ref(&side), |step| {
                        step.person = Some(side.clone());
                        step.input = IndexMap::from([("purpose".to_owned(), json!(what)), ("given".to_owned(), json!(true))]);
                    })?;
                }
                Ok(())
            }
            Code::Seat => self.seat(what, depth + 1),
            Code::Guard => {
                let here = self.of_kind(&kind.name).find(|p| transition.from.contains(p.state())).map(|p| p.id);
                let clause = transition.when.as_ref().ok_or("no condition")?;
                match self.facts_for(clause, here) {
                    Some(facts) => self.record(facts),
                    None => self.datum(kind, transition, clause, depth),
                }
            }
            _ => Err(told(std::slice::from_ref(refusal))),
        }
    }

    /// A condition on data of the proceeding: a step that sets them.
    fn datum(&mut self, kind: &'a Kind, transition: &'a Transition, guard: &'a Guard, depth: usize) -> Walked<()> {
        let state = self.of_kind(&kind.name).next().map(|p| p.state().to_owned()).unwrap_or_default();
        for path in guard.reads().iter().filter(|p| p[0] == "this" && p.len() > 1) {
            let setting = kind.transitions.values().find(|t| {
                t.name != transition.name
                    && t.from.contains(&state)
                    && t.def.sets.contains_key(&path[1])
                    && t.to.as_ref().is_none_or(|to| *to == state)
            });
            if let Some(setting) = setting {
                return self.take_here(kind, setting, depth + 1);
            }
        }
        Err(format!("nobody knows how to bring about `{}`", guard.source()))
    }

    fn own_action(&mut self, action: &str, by: &[String], fill: impl Fn(&mut StepFile)) -> Walked<()> {
        let mut why = format!("nobody may take {action}");
        for who in self.accounts_of(by, None) {
            let mut step = self.blank();
            (step.by, step.do_) = (Some(who), Some(action.to_owned()));
            fill(&mut step);
            match self.attempt(step)? {
                Tried::Refused(refusals) => why = told(&refusals),
                _ => return Ok(()),
            }
        }
        Err(why)
    }

    /// Writes down the person of a side.
    fn person(&mut self, side: &str) -> Walked<()> {
        self.open_case()?;
        if self.case().people.values().any(|p| p.side == side) {
            return Ok(());
        }
        let by: Vec<String> = self.definition.file.actions.person.by.clone();
        self.own_action("case.person", &by, |step| step.person = Some(side.to_owned()))
    }

    fn record(&mut self, facts: Vec<(String, Json)>) -> Walked<()> {
        let by = self.definition.file.actions.record.by.clone();
        self.own_action("case.record", &by, |step| step.input = facts.iter().cloned().collect())
    }

    /// Fills a seat: by the engine's own action, or by a step that does.
    fn seat(&mut self, seat: &str, depth: usize) -> Walked<()> {
        if depth > DEPTH_MAX {
            return Err("too many steps need other steps first".to_owned());
        }
        let file = &self.definition.file;
        if let Some(def) = file.seats.get(seat)
            && !file.actions.seat.by.is_empty()
        {
            for who in self.accounts.iter().filter(|(_, a)| a.role == def.role).map(|(n, _)| n.clone()).collect::<Vec<_>>() {
                let input: IndexMap<String, Json> =
                    IndexMap::from([("seat".to_owned(), json!(seat)), ("account".to_owned(), json!(format!("${who}")))]);
                if self.own_action("case.seat", &file.actions.seat.by, |step| step.input.clone_from(&input)).is_ok() {
                    return Ok(());
                }
            }
        }
        for (kind, step) in self.definition.kinds.values().flat_map(|k| k.transitions.values().map(move |t| (k, t))) {
            if step.then.iter().any(|s| matches!(s, Step::Seat { seat: filled, .. } if filled == seat)) {
                let key = (kind.name.clone(), step.name.clone());
                if !self.given_up.contains(&key) && self.take(&kind.name, &step.name, depth + 1).is_ok() {
                    return Ok(());
                }
            }
        }
        Err(format!("nobody fills `{seat}`"))
    }

    /// Facts that make a condition hold; none when facts alone do not.
    fn facts_for(&self, guard: &Guard, this: Option<ProceedingId>) -> Option<Vec<(String, Json)>> {
        let names: Vec<String> = guard.reads().into_iter().filter(|p| p[0] == "facts").filter_map(|p| p.into_iter().nth(1)).collect();
        if names.is_empty() {
            return None;
        }
        let sides: Vec<Option<&str>> = std::iter::once(None).chain(self.definition.file.sides.keys().map(|s| Some(s.as_str()))).collect();
        let choices: Vec<(String, Vec<Value>)> = names
            .iter()
            .map(|n| (n.clone(), self.definition.facts.get(n).map(|ty| self.values(ty, n, &guard.literals())).unwrap_or_default()))
            .collect();
        let legal_at = LegalTime::At(self.now);
        let mut found = None;
        combinations(&choices, |chosen| {
            // Who acts is settled later; facts that nobody could act on are none that help.
            let holds = sides.iter().any(|side| {
                let scope = Scope { side: *side, this, ..Scope::of(self.rules(), self.case(), this.unwrap_or(ProceedingId(0)), legal_at) };
                guard.eval(&Over { base: scope, facts: chosen }).is_true()
            });
            if holds {
                found = Some(chosen.iter().map(|(n, v)| (n.clone(), v.to_json())).collect());
            }
            holds
        });
        found
    }

    /// Ways to fill in a form that its own condition accepts.
    fn fillings(
        &self,
        transition: &Transition,
        this: Option<ProceedingId>,
        target: Option<ProceedingId>,
        side: Option<&str>,
    ) -> Vec<IndexMap<String, Json>> {
        let Type::Record(fields) = &transition.input else { return vec![IndexMap::new()] };
        let literals = transition.accepts.as_ref().map(Guard::literals).unwrap_or_default();
        let read: BTreeSet<String> =
            transition.accepts.iter().flat_map(Guard::reads).filter(|p| p[0] == "input").filter_map(|p| p.into_iter().nth(1)).collect();
        let choices: Vec<(String, Vec<Value>)> = fields
            .iter()
            .filter(|(n, f)| !f.optional || read.contains(*n))
            .map(|(n, f)| {
                let mut values = match transition.def.input.get(n) {
                    Some(def) if def.ty == TypeName::Staff => self.staff(def.of.as_ref()),
                    _ => self.values(&f.ty, n, &literals),
                };
                if !read.contains(n) && !matches!(f.ty, Type::Enum(_)) {
                    values.truncate(1);
                }
                (n.clone(), values)
            })
            .collect();
        let legal_at = LegalTime::At(self.now);
        let mut out = Vec::new();
        combinations(&choices, |chosen| {
            let input = Value::Record(chosen.iter().cloned().collect());
            let scope = Scope {
                side,
                this,
                parent: target,
                input: Some(&input),
                ..Scope::of(self.rules(), self.case(), this.unwrap_or(ProceedingId(0)), legal_at)
            };
            if transition.accepts.as_ref().is_none_or(|g| g.eval(&scope).is_true()) {
                let shown = |v: &Value| match v {
                    Value::Record(account) => match account.get("id") {
                        Some(Value::Text(id)) => {
                            self.accounts.iter().find(|(_, a)| a.id.to_string() == *id).map_or(Json::Null, |(n, _)| json!(format!("${n}")))
                        }
                        _ => v.to_json(),
                    },
                    _ => v.to_json(),
                };
                out.push(chosen.iter().map(|(n, v)| (n.clone(), shown(v))).collect());
            }
            out.len() >= 3
        });
        out
    }

    fn staff(&self, of: Option<&Of>) -> Vec<Value> {
        let roles: &[String] = if let Some(Of::Words(roles)) = of { roles } else { &[] };
        self.accounts.values().filter(|a| roles.contains(&a.role)).map(decide::account_value).collect()
    }

    /// Values of a type that are worth trying, the plainest first.
    fn values(&self, ty: &Type, name: &str, literals: &[Value]) -> Vec<Value> {
        let near = |f: &dyn Fn(&Value) -> Option<Value>| literals.iter().filter_map(f).collect::<Vec<_>>();
        let mut out = match ty {
            Type::Bool => vec![Value::Bool(true), Value::Bool(false)],
            Type::Int => {
                let mut all: Vec<i64> = vec![1];
                for literal in literals {
                    if let Value::Int(n) = literal {
                        all.extend([*n, n.saturating_add(1), n.saturating_sub(1)]);
                    }
                }
                all.push(0);
                all.into_iter().map(Value::Int).collect()
            }
            Type::Decimal => vec![Value::from_json(&json!("1"), ty, name).unwrap_or(Value::Null)],
            Type::Money => ["100000.00", "0.00", "1.00"].iter().filter_map(|m| Value::from_json(&json!(m), ty, name).ok()).collect(),
            Type::Date => [30, 0, 60].iter().map(|d| Value::Date((self.now + Duration::days(*d)).date_naive())).collect(),
            Type::Instant => [2, 0].iter().map(|d| Value::Instant(self.now + Duration::days(*d))).collect(),
            Type::Text => vec![Value::Text("如实填写".to_owned())],
            Type::Enum(words) => words.iter().map(|w| Value::Text(w.clone())).collect(),
            Type::Case => vec![Value::Text("019b0000-0000-7000-8000-0000000000c1".to_owned())],
            Type::Person | Type::Staff | Type::File => Vec::new(),
            Type::List(item) => {
                let items = self.values(item, name, literals);
                items.into_iter().take(12).map(|i| Value::List(vec![i])).chain([Value::List(Vec::new())]).collect()
            }
            Type::Record(fields) => {
                let choices: Vec<(String, Vec<Value>)> = fields.iter().map(|(n, f)| (n.clone(), self.values(&f.ty, n, literals))).collect();
                let mut all = Vec::new();
                combinations(&choices, |chosen| {
                    all.push(Value::Record(chosen.iter().cloned().collect()));
                    all.len() >= 12
                });
                all
            }
        };
        if matches!(ty, Type::Text) {
            out.extend(near(&|v| if let Value::Text(t) = v { Some(Value::Text(t.clone())) } else { None }));
        }
        if matches!(ty, Type::Enum(_)) && !out.is_empty() {
            let turn = self.preference % out.len();
            out.rotate_left(turn);
        }
        out.retain(|v| *v != Value::Null);
        out
    }
}

/// Whether a proceeding of the kind is in the state, ended or not.
fn named_here(walk: &Walk<'_>, kind: &str, state: &str) -> bool {
    walk.case().proceedings.values().any(|p| p.kind == kind && p.state() == state)
}

/// A case with other facts.
struct Over<'a> {
    base: Scope<'a>,
    facts: &'a [(String, Value)],
}

impl Names for Over<'_> {
    fn get(&self, path: &[&str]) -> Slot<'_> {
        match path {
            ["facts", name, rest @ ..] => match self.facts.iter().find(|(n, _)| n == name) {
                Some((_, value)) if rest.is_empty() => Slot::Set(Cow::Borrowed(value)),
                Some((_, value)) => Slot::within(value, rest),
                None => self.base.get(path),
            },
            _ => self.base.get(path),
        }
    }
}

/// Calls `look` for each combination, the first choices first, until it has seen enough or there were too many.
fn combinations(choices: &[(String, Vec<Value>)], mut look: impl FnMut(&[(String, Value)]) -> bool) {
    if choices.iter().any(|(_, values)| values.is_empty()) {
        return;
    }
    let mut digits = vec![0usize; choices.len()];
    for _ in 0..FILLINGS_MAX {
        let chosen: Vec<(String, Value)> = choices.iter().zip(&digits).map(|((n, values), at)| (n.clone(), values[*at].clone())).collect();
        if look(&chosen) {
            return;
        }
        let Some(next) = digits.iter().zip(choices).position(|(at, (_, values))| at + 1 < values.len()) else { return };
        digits[..next].fill(0);
        digits[next] += 1;
    }
}

fn told(refusals: &[Refusal]) -> String {
    refusals.iter().map(|r| format!("{} ({})", code(r.code), r.what)).collect::<Vec<_>>().join(", ")
}
