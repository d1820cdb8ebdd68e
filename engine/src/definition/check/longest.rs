//! How long may a case lawfully take? The longest way through the root, in working days, and what makes it longer than
//! any number: waits that only somebody's work ends, clocks that stand still, extensions and rounds without limit.
//!
//! A way is a path through the states of the root on which no state comes twice. Each clock that acts by itself bounds
//! the stretch of the path from where it starts to where it ends; the longest stay that all these bounds allow together
//! is a shortest path over them (difference constraints), so overlapping clocks need no special case. What a step that
//! may be repeated `at_most` so often adds, is added for each repetition. A wait without such a clock is named, and
//! counted for "without it" with the length after which somebody is reminded, or not at all. Grace is not counted: it
//! lets the clock wait for paper and moves no last day.

use super::loops::{self, acts};
use super::model::Model;
use super::races::by_default;
use crate::calendar::{Calendar, Length, Unit};
use crate::definition::model::{Deadline, Definition, Due, Kind, Transition};
use crate::guard::{Answers, Guard, Held, World};
use crate::value::Value;
use chrono::{Days, Months, NaiveDate};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// At most so many paths are compared.
const PATHS_MAX: usize = 20_000;
/// At most so many extensions of one deadline are tried before they count as unlimited.
const EXTENSIONS_MAX: u32 = 8;

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Longest {
    /// The longest lawful duration, in working days; none when nothing bounds it.
    pub working_days: Option<u32>,
    /// The longest, counting what is unbounded only as far as somebody is reminded.
    pub without_unbounded: u32,
    /// The path.
    pub path: Vec<Leg>,
    /// What makes it unbounded.
    pub unbounded: Vec<Unbounded>,
    /// How it was counted.
    pub counted: Vec<String>,
}

/// A stay in a state.
#[derive(Clone, Debug, Serialize)]
pub struct Leg {
    /// The step by which it begins.
    pub by: String,
    /// The state.
    pub state: String,
    /// For how many working days at most.
    pub working_days: u32,
    /// The clocks that bound it, or what was counted instead.
    pub bound: Vec<String>,
}

/// Something that no clock bounds.
#[derive(Clone, Debug, Serialize)]
pub struct Unbounded {
    /// Where.
    pub key: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.working_days {
            Some(days) => writeln!(f, "the longest lawful duration is {days} working day(s)")?,
            None => {
                writeln!(f, "no law of this file bounds the duration:")?;
                for open in &self.unbounded {
                    writeln!(f, "  {}: {}", open.key, open.why)?;
                }
                writeln!(f, "without these, the longest is {} working day(s)", self.without_unbounded)?;
            }
        }
        writeln!(f, "the path:")?;
        for leg in &self.path {
            writeln!(f, "  {} -> {}: {} working day(s) ({})", leg.by, leg.state, leg.working_days, leg.bound.join("; "))?;
        }
        write!(f, "{}", self.counted.join("\n"))
    }
}

/// Works it out for the root of a definition.
#[must_use]
pub fn longest(definition: &Definition, calendar: &Calendar) -> Longest {
    let model = Model::of(definition);
    let kind = &definition.kinds[definition.root.as_str()];
    let mut work = Work { model: &model, kind, days: WorkingDays::of(calendar), unbounded: Vec::new(), extended: BTreeMap::new() };
    work.clocks();
    let (mut path, mut total) = work.best();
    for (leg, times) in work.repeats(&path) {
        total = total.saturating_add(leg.working_days.saturating_mul(times));
        path.push(leg);
    }
    work.waits();
    work.rounds();
    let counted = vec![
        "counted: calendar days, months, years and hours as the most working days that so many of them hold, from any start in the published years of the calendar".to_owned(),
        "policy parameters stand at their defaults; grace for late entry moves no last day and is not counted".to_owned(),
    ];
    let working_days = work.unbounded.is_empty().then_some(total);
    Longest { working_days, without_unbounded: total, path, unbounded: work.unbounded, counted }
}

/// Working days in lengths.
struct WorkingDays {
    first: NaiveDate,
    /// How many working days lie before each day.
    before: Vec<u32>,
    starts: usize,
}

impl WorkingDays {
    /// Years beyond the published ones into which a length may reach.
    const BEYOND_YEARS: u32 = 4;

    fn of(calendar: &Calendar) -> Self {
        let first = calendar.first_day();
        let last = calendar.last_published();
        let end = last.checked_add_months(Months::new(12 * Self::BEYOND_YEARS)).unwrap_or(last);
        let mut before = vec![0];
        let mut sum = 0;
        for day in first.iter_days().take_while(|d| *d <= end) {
            sum += u32::from(calendar.day(day).working);
            before.push(sum);
        }
        let starts = usize::try_from((last - first).num_days()).unwrap_or(0) + 1;
        Self { first, before, starts }
    }

    /// The most working days that a length holds.
    fn most(&self, length: Length) -> u32 {
        let ends = |start: NaiveDate| match length.unit {
            Unit::Hours => start.checked_add_days(Days::new(u64::from(length.n.div_ceil(24)))),
            Unit::CalendarDays | Unit::WorkingDays => start.checked_add_days(Days::new(u64::from(length.n))),
            Unit::Months => start.checked_add_months(Months::new(length.n)),
            Unit::Years => start.checked_add_months(Months::new(length.n.saturating_mul(12))),
        };
        if length.unit == Unit::WorkingDays {
            return length.n;
        }
        let most = (0..self.starts).filter_map(|start| {
            let from = self.first.checked_add_days(Days::new(u64::try_from(start).ok()?))?;
            let to = usize::try_from((ends(from)? - self.first).num_days()).ok()?;
            // Beyond what the calendar reaches, five days in seven.
            let known = to.min(self.before.len() - 2);
            let beyond = u32::try_from(to - known).unwrap_or(u32::MAX).div_ceil(7).saturating_mul(5);
            Some(self.before[known + 1].saturating_sub(self.before[start + 1]).saturating_add(beyond))
        });
        most.max().unwrap_or(length.n)
    }
}

/// A stretch of a path that a clock bounds: from the stay of this number up to that one, excluded.
struct Bound {
    from: usize,
    to: usize,
    days: u32,
    why: String,
    acts: bool,
}

struct Work<'m, 'd> {
    model: &'m Model<'d>,
    kind: &'d Kind,
    days: WorkingDays,
    unbounded: Vec<Unbounded>,
    /// By deadline: working days of extensions.
    extended: BTreeMap<&'d str, u32>,
}

impl<'d> Work<'_, 'd> {
    fn key(&self, what: &str, name: &str) -> String {
        format!("proceedings.{}.{what}.{name}", self.kind.name)
    }

    fn open(&mut self, key: String, why: String) {
        self.unbounded.push(Unbounded { key, why });
    }

    /// Pauses and extensions of the clocks that act.
    fn clocks(&mut self) {
        let kind = self.kind;
        for deadline in kind.deadlines.values().filter(|d| acts(d)) {
            let key = self.key("deadlines", &deadline.name);
            if let Some(guard) = &deadline.runs_while {
                self.open(key.clone(), format!("a pause: this clock stands still while `{}` does not hold", guard.source()));
            }
            for (step, datum) in deadline.def.iter().flat_map(|d| &d.extended_by) {
                match self.extension(step, datum) {
                    Some((times, each)) => {
                        let unit = self.length(deadline).map_or(Unit::WorkingDays, |l| l.unit);
                        let n = u32::try_from(each).unwrap_or(0).saturating_mul(times).clamp(1, Length::MAX);
                        let days = self.days.most(Length { n, unit });
                        *self.extended.entry(&deadline.name).or_default() += days;
                    }
                    None => self.open(format!("{key}.extended_by.{step}"), "extensions: nothing says how often, or for how long".to_owned()),
                }
            }
        }
    }

    /// How often a deadline may be extended by this step, and by how much each time.
    fn extension(&self, step: &str, datum: &str) -> Option<(u32, i64)> {
        let d = self.model.definition;
        let (kind, transition) = step.split_once('.')?;
        let kind = d.kinds.get(kind)?;
        let granting = kind.transitions.get(transition)?;
        let each = kind.transitions.values().find_map(|t| {
            let (_, guard) = t.sets.iter().find(|(name, _)| name == datum)?;
            let field = guard.source().strip_prefix("input.")?;
            t.accepts.as_ref()?.at_most(&["input", field])
        })?;
        let opening = kind.opening()?;
        let conditions: Vec<&Guard> = opening.when.iter().chain(&granting.when).chain(&granting.auto).collect();
        let granted = granting.to.as_deref()?;
        let once = (1..=EXTENSIONS_MAX).find(|n| {
            let world = Granted { kind: &kind.name, state: granted, n: *n };
            conditions.iter().any(|g| !g.could(&world).can_be_yes())
        });
        once.map(|n| (n, each))
    }

    fn length(&self, deadline: &Deadline) -> Option<Length> {
        match &deadline.due {
            Due::After { length, .. } | Due::Every { length, .. } | Due::Round { length, .. } => by_default(self.model.definition, length),
            Due::At(_) => None,
        }
    }

    /// Whether the end of a round moves the proceeding.
    fn lapses(&self, deadline: &Deadline) -> bool {
        let Due::Round { state, .. } = &deadline.due else { return false };
        self.model.leaving(self.kind, state).any(|t| {
            t.to.as_ref() != Some(state) && t.auto.as_ref().is_some_and(|g| g.reads().contains(&vec!["assents".to_owned(), "lapsed".to_owned()]))
        })
    }

    /// Whether the deadline, when it is due in this state, moves the proceeding whatever the data are.
    fn acts_in(&self, deadline: &'d Deadline, state: &'d str) -> bool {
        let fires = !deadline.fires.is_empty() && !super::waits::may_refuse(self.model, self.kind, deadline, state, true);
        fires || self.lapses(deadline)
    }

    /// The bounds on a path: stays, each with the step that begins it.
    fn bounds(&self, path: &[(&'d Transition, &'d str)]) -> Vec<Bound> {
        let mut out = Vec::new();
        let mut covered = vec![false; path.len()];
        for deadline in self.kind.deadlines.values() {
            let Some(length) = self.length(deadline) else { continue };
            let round = matches!(deadline.due, Due::Round { .. });
            let mut days = self.days.most(length);
            let mut why = format!("{}: {length}", deadline.name);
            if let Some(more) = self.extended.get(deadline.name.as_str()) {
                days = days.saturating_add(*more);
                why.push_str(&format!(" and {more} working days of extensions"));
            }
            let starts = |i: usize| {
                let (by, state) = path[i];
                deadline.lives_in.contains(state)
                    && match &deadline.due {
                        Due::After { starts, .. } | Due::Every { starts, .. } => starts.steps.contains(&by.name),
                        _ => round,
                    }
            };
            for from in (0..path.len()).filter(|i| starts(*i)) {
                let to = (from + 1..path.len()).find(|j| !deadline.lives_in.contains(path[*j].1) || starts(*j)).unwrap_or(path.len());
                let acting = path[from..to].iter().all(|(_, state)| self.acts_in(deadline, state));
                if acting {
                    covered[from..to].fill(true);
                }
                let why = if acting { why.clone() } else { format!("no clock acts; somebody is reminded by {why}") };
                out.push(Bound { from, to, days, why, acts: acting });
            }
        }
        // Where a clock acts, a reminder bounds nothing; where none does, it is all that can be counted.
        out.retain(|b| b.acts || covered[b.from..b.to].iter().any(|c| !c));
        for at in (0..path.len()).filter(|i| !covered[*i]) {
            if !out.iter().any(|b| b.from <= at && at < b.to) {
                out.push(Bound { from: at, to: at + 1, days: 0, why: "no clock at all: not counted".to_owned(), acts: false });
            }
        }
        out
    }

    /// The longest stays that the bounds allow, from the beginning to each point of the path.
    fn stays(path_len: usize, bounds: &[Bound]) -> Vec<u32> {
        let mut latest = vec![u32::MAX; path_len + 1];
        latest[0] = 0;
        for _ in 0..=path_len {
            let mut changed = false;
            for bound in bounds {
                if latest[bound.from] != u32::MAX && latest[bound.from].saturating_add(bound.days) < latest[bound.to] {
                    latest[bound.to] = latest[bound.from].saturating_add(bound.days);
                    changed = true;
                }
            }
            for at in (0..path_len).rev() {
                if latest[at + 1] < latest[at] {
                    latest[at] = latest[at + 1];
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        latest
    }

    fn legs(&self, path: &[(&'d Transition, &'d str)]) -> (Vec<Leg>, u32) {
        let bounds = self.bounds(path);
        let latest = Self::stays(path.len(), &bounds);
        let leg = |(at, (by, state)): (usize, &(&Transition, &str))| Leg {
            by: by.name.clone(),
            state: (*state).to_owned(),
            working_days: latest[at + 1].saturating_sub(latest[at]),
            bound: bounds.iter().filter(|b| b.from <= at && at < b.to).map(|b| b.why.clone()).collect(),
        };
        (path.iter().enumerate().map(leg).collect(), latest[path.len()])
    }

    /// The path that lasts longest.
    fn best(&self) -> (Vec<Leg>, u32) {
        let Some((opening, first)) = self.kind.opening().and_then(|t| Some((t, t.to.as_deref()?))) else { return (Vec::new(), 0) };
        let mut best: Option<(u32, Vec<(&'d Transition, &'d str)>)> = None;
        let mut open = vec![vec![(opening, first)]];
        let mut seen = 0;
        while let Some(path) = open.pop().filter(|_| seen < PATHS_MAX) {
            let Some((_, at)) = path.last().copied() else { continue };
            // Which end it comes to does not change how long it took.
            let mut onward: BTreeSet<(&str, Vec<&str>)> = BTreeSet::new();
            let mut ended = false;
            for transition in self.model.leaving(self.kind, at) {
                let Some(to) = transition.to.as_deref().filter(|to| *to != at) else { continue };
                if self.kind.state(to).is_some_and(|s| s.final_.is_some()) {
                    if !std::mem::replace(&mut ended, true) {
                        seen += 1;
                        let bounds = self.bounds(&path);
                        let days = Self::stays(path.len(), &bounds)[path.len()];
                        if best.as_ref().is_none_or(|(most, known)| days > *most || (days == *most && path.len() < known.len())) {
                            best = Some((days, path.clone()));
                        }
                    }
                } else if !path.iter().any(|(_, s)| *s == to) {
                    let starts = |d: &&Deadline| match &d.due {
                        Due::After { starts, .. } | Due::Every { starts, .. } => starts.steps.contains(&transition.name),
                        _ => false,
                    };
                    let started: Vec<&str> = self.kind.deadlines.values().filter(starts).map(|d| d.name.as_str()).collect();
                    if onward.insert((to, started)) {
                        let mut longer = path.clone();
                        longer.push((transition, to));
                        open.push(longer);
                    }
                }
            }
        }
        best.map_or_else(|| (Vec::new(), 0), |(_, path)| self.legs(&path))
    }

    /// What steps that may be repeated so often add to a path that meets their round.
    fn repeats(&self, path: &[Leg]) -> Vec<(Leg, u32)> {
        let mut out = Vec::new();
        for transition in self.kind.transitions.values().filter(|t| self.model.never(self.kind, t).is_none()) {
            let (Some(times), Some(to)) = (transition.def.at_most, transition.to.as_deref()) else { continue };
            for from in transition.from.iter().map(String::as_str).filter(|f| *f != to && self.model.is_reached(self.kind, f)) {
                let Some(back) = self.back(transition, to, from) else { continue };
                if !path.iter().any(|l| back.iter().any(|(_, s)| *s == l.state)) {
                    continue;
                }
                let through = |d: &&Deadline| {
                    let anew =
                        |by: &Transition| matches!(&d.due, Due::After { starts, .. } | Due::Every { starts, .. } if starts.steps.contains(&by.name));
                    acts(d) && back.iter().all(|(by, s)| d.lives_in.contains(*s) && !anew(by))
                };
                if self.kind.deadlines.values().any(|d| through(&d)) {
                    continue;
                }
                let (legs, days) = self.legs(&back);
                let names: Vec<&str> = legs.iter().map(|l| l.state.as_str()).collect();
                // The first time lies on the path already, if the path takes the step at all.
                let again = if path.iter().any(|l| l.by == transition.name) { times.saturating_sub(1) } else { times };
                if again > 0 {
                    let bound = vec![format!("{again} more time(s) at most, {days} working day(s) each")];
                    let leg = Leg { by: transition.name.clone(), state: names.join(", "), working_days: days, bound };
                    out.push((leg, again));
                    break;
                }
            }
        }
        out
    }

    /// The shortest way from a state back to another, with the steps that begin each stay.
    fn back(&self, by: &'d Transition, from: &'d str, to: &'d str) -> Option<Vec<(&'d Transition, &'d str)>> {
        let mut queue = VecDeque::from([vec![(by, from)]]);
        let mut seen = BTreeSet::from([from]);
        while let Some(path) = queue.pop_front() {
            let (_, at) = *path.last()?;
            if at == to {
                return Some(path);
            }
            for transition in self.model.leaving(self.kind, at) {
                if let Some(next) = transition.to.as_deref().filter(|n| seen.insert(n)) {
                    let mut longer = path.clone();
                    longer.push((transition, next));
                    queue.push_back(longer);
                }
            }
        }
        None
    }

    /// States that only somebody's work ends.
    fn waits(&mut self) {
        let kind = self.kind;
        for state in self.model.waiting(kind).collect::<Vec<_>>() {
            let acting = |d: &&'d Deadline| d.lives_in.contains(state) && self.acts_in(d, state);
            let entering: Vec<&Transition> =
                kind.transitions.values().filter(|t| t.to.as_deref() == Some(state) && self.model.never(kind, t).is_none()).collect();
            let starts = |d: &Deadline, t: &Transition| match &d.due {
                Due::After { starts, .. } | Due::Every { starts, .. } => {
                    starts.steps.contains(&t.name) || (!t.from.is_empty() && t.from.iter().all(|s| d.lives_in.contains(s)))
                }
                Due::Round { .. } => true,
                Due::At(_) => false,
            };
            let clocks: Vec<&'d Deadline> = kind.deadlines.values().filter(acting).collect();
            if !entering.is_empty() && entering.iter().all(|t| clocks.iter().any(|d| starts(d, t))) {
                continue;
            }
            let reminder = kind.deadlines.values().filter(|d| d.lives_in.contains(state) && !acting(d));
            let reminders: Vec<String> = reminder.filter_map(|d| Some(format!("{} after {}", d.name, self.length(d)?))).collect();
            let why = if reminders.is_empty() {
                "a wait that only somebody's work ends".to_owned()
            } else {
                format!("a wait that only somebody's work ends; a reminder comes by {}", reminders.join(", "))
            };
            self.open(self.key("states", state), why);
        }
    }

    /// Rounds that may be taken again and again, each with new clocks.
    fn rounds(&mut self) {
        let kind = self.kind;
        for found in loops::any(self.model, kind) {
            let through = |d: &&Deadline| {
                let inside = |t: &&Transition| {
                    t.from.iter().any(|s| found.states.contains(&s.as_str())) && t.to.as_deref().is_some_and(|to| found.states.contains(&to))
                };
                let anew = |t: &Transition| matches!(&d.due, Due::After { starts, .. } | Due::Every { starts, .. } if starts.steps.contains(&t.name));
                acts(d) && found.states.iter().all(|s| d.lives_in.contains(*s)) && !kind.transitions.values().filter(inside).any(anew)
            };
            if kind.deadlines.values().any(|d| through(&d)) {
                continue;
            }
            let steps: Vec<&str> = found.round.iter().map(|t| t.name.as_str()).collect();
            self.open(self.key("states", found.states[0]), format!("a round that may be taken any number of times: {}", super::model::list(&steps)));
        }
    }
}

/// A world in which so many extensions were granted.
struct Granted<'a> {
    kind: &'a str,
    state: &'a str,
    n: u32,
}

impl World for Granted<'_> {
    fn held(&self, path: &[String]) -> Held {
        if path.len() == 1 && path[0] == self.kind {
            let one =
                Value::Record(BTreeMap::from([("state".to_owned(), Value::Text(self.state.to_owned())), ("open".to_owned(), Value::Bool(false))]));
            return Held::just(Value::List((0..self.n).map(|_| one.clone()).collect()));
        }
        Held::anything()
    }

    fn settled(&self, _: &str) -> Option<Answers> {
        None
    }
}
