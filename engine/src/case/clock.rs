//! Deadlines, derived from events: which run, since when, paused when, extended by what, due when and why.
//!
//! Nothing here is stored and nothing fires here: `advance` fires what is due, the store keeps rows to find it by.

use super::event::RunId;
use super::scope::Scope;
use super::{Case, Moment, Proceeding, Rules, Served};
use crate::calendar::{self, Length, Outcome, PauseMoment, Unit};
use crate::definition::file::Per;
use crate::definition::model::{Deadline, Due, Kind, LengthOf, Mark, Starts, Transition};
use crate::guard::{Guard, Outcome as Answer, Scope as _};
use crate::ids::{LegalTime, ProceedingId};
use crate::value::Value;
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use std::collections::BTreeSet;

/// A live run of a deadline, with its explanation.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which run.
    #[serde(flatten)]
    pub id: RunId,
    /// The legal moment that is day 0.
    pub started: LegalTime,
    /// The rule as a text: the length.
    pub length: String,
    /// The article.
    pub law: Option<String>,
    /// When it stood still.
    pub pauses: Vec<PauseMoment>,
    /// What was added, in the unit of the length.
    pub extensions: Vec<u32>,
    /// The count: last day, each skipped day; none when the calendar refuses the start.
    pub due: Option<calendar::Due>,
    /// When the clock acts: the end of the last day, and of the grace after it.
    pub acts_at: Option<DateTime<Utc>>,
    /// Past already when it was computed: a person looks first, and it acts after `acts_at`.
    pub held: bool,
    /// It has fallen due, and what was to happen then has happened.
    pub fired: bool,
    /// The digest of the calendar that was counted by.
    pub calendar: String,
    /// Warnings to come: mark, and the instant from which it is due.
    #[serde(skip)]
    pub warnings: Vec<(String, DateTime<Utc>)>,
}

impl Run {
    /// The last day that is still in time; none while paused.
    #[must_use]
    pub fn last_day(&self) -> Option<NaiveDate> {
        self.due.as_ref().and_then(calendar::Due::last_day)
    }

    /// The exclusive instant at which the law says it is over.
    #[must_use]
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        match self.due.as_ref()?.outcome {
            Outcome::Running { due_at, .. } => Some(due_at),
            Outcome::Paused { .. } => None,
        }
    }

    /// It stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.due.as_ref().is_some_and(|d| matches!(d.outcome, Outcome::Paused { .. }))
    }

    /// It rests on a day that no published schedule covers.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.due.as_ref().is_some_and(|d| d.provisional)
    }

    /// `running`, `paused`, `provisional`, `held` or `fired`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match () {
            () if self.fired => "fired",
            () if self.is_paused() => "paused",
            () if self.is_provisional() => "provisional",
            () if self.held => "held",
            () => "running",
        }
    }
}

/// Every live run of every proceeding, in the order of proceedings and of the file. In an ended proceeding only those
/// live whose deadline names its final state.
#[must_use]
pub fn runs(rules: Rules<'_>, case: &Case) -> Vec<Run> {
    let mut out = Vec::new();
    for p in case.proceedings.values() {
        let Some(kind) = rules.definition.kinds.get(&p.kind) else { continue };
        let lives = |d: &&Deadline| p.is_open() || d.lives_in.contains(p.state());
        out.extend(kind.deadlines.values().filter(lives).flat_map(|d| runs_of(rules, case, p, kind, d)));
    }
    out
}

/// The live run of a deadline by name: of this proceeding or one above it, else the youngest below or beside. Where each
/// recipient has a run of its own, the last one started.
#[must_use]
pub fn find(rules: Rules<'_>, case: &Case, near: Option<ProceedingId>, name: &str) -> Option<Run> {
    let kind = rules.definition.kinds.values().find(|k| k.deadlines.contains_key(name))?;
    let deadline = &kind.deadlines[name];
    let above = near.into_iter().flat_map(|id| case.lineage(id)).find(|p| p.kind == kind.name);
    let p = above.or_else(|| case.proceedings.values().rev().find(|p| p.kind == kind.name))?;
    runs_of(rules, case, p, kind, deadline).pop()
}

/// The declared name and the deadline of a run.
#[must_use]
pub fn declared<'d>(rules: Rules<'d>, case: &Case, id: &RunId) -> Option<(&'d Kind, &'d Deadline)> {
    let kind = rules.definition.kinds.get(&case.proceedings.get(&id.proceeding)?.kind)?;
    Some((kind, kind.deadlines.get(&id.deadline)?))
}

/// What started a run.
#[derive(Clone, Copy)]
struct Start<'a> {
    seq: u64,
    legal_at: LegalTime,
    recorded_at: DateTime<FixedOffset>,
    /// The transition; none for a service.
    transition: Option<&'a str>,
}

impl<'a> Start<'a> {
    fn moved(m: &'a Moment) -> Self {
        Self { seq: m.seq, legal_at: m.legal_at, recorded_at: m.recorded_at, transition: Some(&m.transition) }
    }
    fn served(s: &Served) -> Self {
        Self { seq: s.seq, legal_at: s.legal_at, recorded_at: s.recorded_at, transition: None }
    }
}

/// The runs of a deadline in a proceeding: at most one, or one for each recipient of a notice whose service starts it.
fn runs_of(rules: Rules<'_>, case: &Case, p: &Proceeding, kind: &Kind, deadline: &Deadline) -> Vec<Run> {
    // A run lives from its start for as long as the proceeding has stayed in its states. When the proceeding has
    // just left them, the run that it left is still asked about by what the same commit tells.
    let Some(stay) = p.timeline.last_stay(|state| deadline.lives_in.contains(state)) else { return Vec::new() };
    if p.is_open() && !stay.goes_on() {
        return Vec::new();
    }
    let one = |start: Option<Start<'_>>| start.into_iter().filter_map(|s| run(rules, case, p, kind, deadline, s)).collect();
    match &deadline.due {
        Due::At(_) => one(Some(Start::moved(stay.first()))),
        Due::Round { state, .. } => one(stay.last_in(state).map(Start::moved)),
        Due::After { starts, .. } | Due::Every { starts, .. } => {
            let step = stay.last_of(&starts.steps).map(Start::moved);
            let services = services(case, p, starts, stay.first().seq);
            if starts.per == Per::Recipient {
                return step.into_iter().chain(services).filter_map(|s| run(rules, case, p, kind, deadline, s)).collect();
            }
            one(step.into_iter().chain(services).max_by_key(|s| s.seq))
        }
    }
}

/// The services that start a deadline: of letters told since the proceeding entered its states.
fn services<'c>(case: &'c Case, p: &Proceeding, starts: &Starts, since: u64) -> Vec<Start<'c>> {
    let counts = |s: &&Served| s.proceeding == p.id && s.told_in >= since && starts.served.contains(&s.notice);
    // What was told later is served later: nothing before the stay is looked at.
    let mut all: Vec<&Served> = case.served.iter().rev().take_while(|s| s.seq >= since).filter(counts).collect();
    all.reverse();
    // A notice that was told again counts from its last telling.
    let Some(told_in) = all.iter().map(|s| s.told_in).max() else { return Vec::new() };
    let of_it = all.into_iter().filter(|s| s.told_in == told_in);
    match starts.per {
        Per::Recipient => of_it.map(Start::served).collect(),
        Per::First => of_it.min_by_key(|s| s.seq).map(Start::served).into_iter().collect(),
        Per::Last => {
            let open = case.unserved.iter().any(|((seq, _), u)| *seq == told_in && starts.served.contains(&u.notice));
            let latest = |a: &'c Served, b: &'c Served| if a.legal_at.before(b.legal_at) { b } else { a };
            if open { Vec::new() } else { of_it.reduce(latest).map(Start::served).into_iter().collect() }
        }
    }
}

fn run(rules: Rules<'_>, case: &Case, p: &Proceeding, kind: &Kind, deadline: &Deadline, start: Start<'_>) -> Option<Run> {
    let def = deadline.def.as_ref();
    let roll = def.is_some_and(|d| d.roll);
    let zone = rules.definition.zone;
    let mut id = RunId { proceeding: p.id, deadline: deadline.name.clone(), started_by: start.seq, nth: 1 };
    let pauses = deadline.runs_while.as_ref().map(|g| pauses(rules, case, p, start.legal_at, g)).unwrap_or_default();
    let extensions = extensions(case, deadline, start.seq);
    let counted = |length, roll| Counted { start: start.legal_at, length, extensions: &extensions, pauses: &pauses, roll };
    let (length, counted) = match &deadline.due {
        Due::At(guard) => {
            let day = match guard.eval(&Scope::of(rules, case, p.id, start.legal_at)) {
                Answer::Known(Value::Date(day)) => day,
                Answer::Known(Value::Instant(at)) => at.with_timezone(&zone).date_naive(),
                _ => return None,
            };
            // A day is one day after its eve.
            let eve = Counted { start: LegalTime::On(day.pred_opt()?), ..counted(Length { n: 1, unit: Unit::CalendarDays }, roll) };
            ("on the day agreed".to_owned(), eve)
        }
        Due::After { length, .. } | Due::Round { length, .. } => {
            let length = rules.length(length)?;
            (length.to_string(), counted(length, roll))
        }
        Due::Every { length, at_most, .. } => {
            let fired = (1..=*at_most).take_while(|n| case.fired.contains_key(&RunId { nth: *n, ..id.clone() })).count();
            id.nth = u32::try_from(fired).unwrap_or(u32::MAX).saturating_add(1).min(*at_most);
            let one = rules.length(length)?;
            (format!("every {one}"), counted(Length { n: one.n.saturating_mul(id.nth), unit: one.unit }, roll))
        }
    };
    let due = counted.due(rules);
    let grace = deadline.grace.as_ref().and_then(|g| rules.length(g));
    let due_at = due.as_ref().and_then(ends_at);
    let last_day = due.as_ref().and_then(calendar::Due::last_day);
    // Late entry: what was written down after the end is looked at by a person before the clock acts.
    let known_since = known_since(case, p, start.recorded_at, deadline);
    let late = rules.definition.policy.contains_key("late_entry").then(|| LengthOf::Policy("late_entry".to_owned())).and_then(|l| rules.length(&l));
    let held = due_at.is_some_and(|at| known_since >= at.fixed_offset());
    let after = |day: NaiveDate, length: Option<Length>| ends_at(&Counted::plain(LegalTime::On(day), length?).due(rules)?);
    let acts_at = match (due_at, held, last_day) {
        (None, _, _) => None,
        (Some(_), true, _) => Some(after(known_since.with_timezone(&zone).date_naive(), late).unwrap_or(known_since.to_utc())),
        (Some(at), false, Some(day)) => Some(after(day, grace).unwrap_or(at)),
        (Some(at), false, None) => Some(at),
    };
    let fired = case.fired.contains_key(&id);
    let warnings = match (last_day, fired) {
        (Some(day), false) => warnings(rules, case, deadline, &id, (day, start.recorded_at.to_utc()), &counted),
        _ => Vec::new(),
    };
    let law_of = |name| kind.transitions.get(name).and_then(|t: &Transition| t.def.law.clone());
    Some(Run {
        id,
        started: start.legal_at,
        length,
        law: def.and_then(|d| d.law.clone()).or_else(|| start.transition.and_then(law_of)),
        pauses: pauses.clone(),
        extensions: extensions.clone(),
        due,
        acts_at,
        held,
        fired,
        calendar: rules.calendar.digest().to_owned(),
        warnings,
    })
}

fn ends_at(due: &calendar::Due) -> Option<DateTime<Utc>> {
    if let Outcome::Running { due_at, .. } = due.outcome { Some(due_at) } else { None }
}

/// When the last thing that this run depends on was written down.
fn known_since(case: &Case, p: &Proceeding, started: DateTime<FixedOffset>, deadline: &Deadline) -> DateTime<FixedOffset> {
    let extended = deadline.def.iter().flat_map(|d| d.extended_by.keys()).filter_map(|step| step.split_once('.'));
    let later = extended.flat_map(|(kind, transition)| {
        case.proceedings
            .values()
            .filter(move |c| c.kind == kind && c.parent == Some(p.id))
            .flat_map(move |c| c.timeline.iter().filter(move |m| m.transition == transition))
            .map(|m| m.recorded_at)
    });
    later.chain(case.amended_at).fold(started, DateTime::max)
}

fn moment(time: LegalTime, unit: Unit, zone: Tz) -> calendar::Moment {
    match (time, unit) {
        (LegalTime::At(at), _) => calendar::Moment::Instant(at.to_utc()),
        (LegalTime::On(_), Unit::Hours) => calendar::Moment::Instant(time.instant(zone).to_utc()),
        (LegalTime::On(day), _) => calendar::Moment::Date(day),
    }
}

/// What is counted.
#[derive(Clone, Copy)]
struct Counted<'a> {
    start: LegalTime,
    length: Length,
    extensions: &'a [u32],
    pauses: &'a [PauseMoment],
    roll: bool,
}

impl Counted<'_> {
    /// A period alone.
    fn plain(start: LegalTime, length: Length) -> Self {
        Self { start, length, extensions: &[], pauses: &[], roll: false }
    }

    /// The count; none when the calendar refuses it.
    fn due(&self, rules: Rules<'_>) -> Option<calendar::Due> {
        self.rule(rules, |rule, zone| calendar::due(rules.calendar, zone, rule).ok())
    }

    /// The count of a share of it.
    fn share(&self, rules: Rules<'_>, percent: u32) -> Option<calendar::Due> {
        self.rule(rules, |rule, zone| calendar::at_share(rules.calendar, zone, rule, percent).ok())
    }

    fn rule<T>(&self, rules: Rules<'_>, count: impl FnOnce(&calendar::Rule<'_>, Tz) -> T) -> T {
        let zone = rules.definition.zone;
        let start = moment(self.start, self.length.unit, zone);
        count(&calendar::Rule { start, length: &self.length, extensions: self.extensions, pauses: self.pauses, roll: self.roll }, zone)
    }
}

fn warnings(
    rules: Rules<'_>,
    case: &Case,
    deadline: &Deadline,
    id: &RunId,
    (last_day, began): (NaiveDate, DateTime<Utc>),
    counted: &Counted<'_>,
) -> Vec<(String, DateTime<Utc>)> {
    let zone = rules.definition.zone;
    let mut out = Vec::new();
    for mark in &deadline.warns {
        let name = mark.to_string();
        if case.warned.contains(&(id.clone(), name.clone(), last_day)) {
            continue;
        }
        // A mark that had passed when the run began warns of nothing that was not plain.
        let at = match mark {
            Mark::Before(length) => rules.calendar.before(last_day, length).ok().map(|day| LegalTime::On(day).instant(zone).to_utc()),
            Mark::Share(percent) => counted.share(rules, *percent).as_ref().and_then(ends_at),
        };
        out.extend(at.filter(|at| *at >= began).map(|at| (name, at)));
    }
    out
}

fn extensions(case: &Case, deadline: &Deadline, started_by: u64) -> Vec<u32> {
    let mut out = Vec::new();
    for (step, datum) in deadline.def.iter().flat_map(|d| &d.extended_by) {
        let Some((kind, transition)) = step.split_once('.') else { continue };
        for p in case.proceedings.values().filter(|p| p.kind == kind) {
            let granted = p.timeline.last_time(transition).is_some_and(|m| m.seq > started_by);
            if let (true, Some(Value::Int(n))) = (granted, case.datum(p.id, datum)) {
                out.extend(u32::try_from(*n));
            }
        }
    }
    out
}

/// The intervals in which the condition does not hold, on legal time. It asks only for states and policy, so it can
/// change only where some proceeding moved.
fn pauses(rules: Rules<'_>, case: &Case, p: &Proceeding, start: LegalTime, guard: &Guard) -> Vec<PauseMoment> {
    let kinds: BTreeSet<String> = guard.reads().into_iter().filter_map(|path| path.into_iter().next()).collect();
    let concerns = |q: &&Proceeding| q.id == p.id || kinds.contains(&q.kind) || Some(q.id) == p.parent;
    let mut marks: Vec<LegalTime> =
        case.proceedings.values().filter(concerns).flat_map(|q| q.timeline.iter().map(|m| m.legal_at)).filter(|at| !at.before(start)).collect();
    let zone = rules.definition.zone;
    marks.sort_by_key(|at| at.instant(zone));
    marks.dedup();
    let mut out: Vec<PauseMoment> = Vec::new();
    let mut paused_since: Option<LegalTime> = None;
    for mark in marks {
        let scope = Scope { as_of: Some(mark), ..Scope::of(rules, case, p.id, mark) };
        debug_assert!(!matches!(scope.get(&["this", "state"]), crate::guard::Slot::Erased));
        match (guard.eval(&scope).is_true(), paused_since) {
            (false, None) => paused_since = Some(mark),
            (true, Some(from)) => {
                out.push(PauseMoment { from: moment(from, Unit::CalendarDays, zone), to: Some(moment(mark, Unit::CalendarDays, zone)) });
                paused_since = None;
            }
            _ => {}
        }
    }
    if let Some(from) = paused_since {
        out.push(PauseMoment { from: moment(from, Unit::CalendarDays, zone), to: None });
    }
    out
}
