//! Deadlines, derived from events: which run, since when, paused when, extended by what, due when and why.
//!
//! Nothing here is stored and nothing fires here: `advance` fires what is due, the store keeps rows to find it by.

use super::event::RunId;
use super::scope::Scope;
use super::{Case, Moment, Proceeding, Rules};
use crate::calendar::{self, Length, Outcome, PauseMoment, Unit};
use crate::definition::compile::{Deadline, Due, Kind, LengthOf};
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

/// Every live run of every open proceeding, in the order of proceedings and of the file.
#[must_use]
pub fn runs(rules: Rules<'_>, case: &Case) -> Vec<Run> {
    let mut out = Vec::new();
    for p in case.proceedings.values().filter(|p| p.is_open()) {
        let Some(kind) = rules.definition.kinds.get(&p.kind) else { continue };
        out.extend(kind.deadlines.values().filter_map(|d| run(rules, case, p, kind, d)));
    }
    out
}

/// The live run of a deadline by name: of this proceeding or one above it, else the youngest below or beside.
#[must_use]
pub fn find(rules: Rules<'_>, case: &Case, near: Option<ProceedingId>, name: &str) -> Option<Run> {
    let kind = rules.definition.kinds.values().find(|k| k.deadlines.contains_key(name))?;
    let deadline = &kind.deadlines[name];
    let above = near.into_iter().flat_map(|id| case.lineage(id)).find(|p| p.kind == kind.name);
    let p = above.or_else(|| case.proceedings.values().rev().find(|p| p.kind == kind.name))?;
    run(rules, case, p, kind, deadline)
}

/// The declared name and the deadline of a run.
#[must_use]
pub fn declared<'d>(rules: Rules<'d>, case: &Case, id: &RunId) -> Option<(&'d Kind, &'d Deadline)> {
    let kind = rules.definition.kinds.get(&case.proceedings.get(&id.proceeding)?.kind)?;
    Some((kind, kind.deadlines.get(&id.deadline)?))
}

fn run(rules: Rules<'_>, case: &Case, p: &Proceeding, kind: &Kind, deadline: &Deadline) -> Option<Run> {
    // The run lives from its start for as long as the proceeding has stayed in its states. When the proceeding has
    // just left them, the run that it left is still asked about by what the same commit tells.
    let lives = |m: &Moment| deadline.lives_in.contains(&m.state);
    let last = p.timeline.iter().rposition(lives)?;
    if p.is_open() && last + 1 != p.timeline.len() {
        return None;
    }
    let since = p.timeline[..=last].iter().rposition(|m| !lives(m)).map_or(0, |i| i + 1);
    let stretch = &p.timeline[since..=last];
    let start = match &deadline.due {
        Due::After { starts, .. } | Due::Every { starts, .. } => stretch.iter().rev().find(|m| starts.contains(&m.transition))?,
        Due::At(_) => stretch.first()?,
        Due::Round { state, .. } => stretch.iter().rev().find(|m| &m.state == state)?,
    };
    let def = deadline.def.as_ref();
    let roll = def.is_some_and(|d| d.roll);
    let zone = rules.definition.zone;
    let mut id = RunId { proceeding: p.id, deadline: deadline.name.clone(), started_by: start.seq, nth: 1 };
    let pauses = deadline.runs_while.as_ref().map(|g| pauses(rules, case, p, start.legal_at, g)).unwrap_or_default();
    let extensions = extensions(case, deadline, start);
    let (length, due) = match &deadline.due {
        Due::At(guard) => {
            let Answer::Known(Value::Date(day)) = guard.eval(&Scope::of(rules, case, p.id, start.legal_at)) else { return None };
            ("on the day agreed".to_owned(), on_day(rules, zone, day, roll))
        }
        Due::After { length, .. } | Due::Round { length, .. } => {
            let length = rules.length(length)?;
            (length.to_string(), count(rules, zone, start.legal_at, length, &extensions, &pauses, roll))
        }
        Due::Every { length, at_most, .. } => {
            let fired = (1..=*at_most).take_while(|n| case.fired.contains_key(&RunId { nth: *n, ..id.clone() })).count();
            id.nth = u32::try_from(fired).unwrap_or(u32::MAX).saturating_add(1).min(*at_most);
            let one = rules.length(length)?;
            let times = Length { n: one.n.saturating_mul(id.nth), unit: one.unit };
            (format!("every {one}"), count(rules, zone, start.legal_at, times, &extensions, &pauses, roll))
        }
    };
    let grace = deadline.grace.as_ref().and_then(|g| rules.length(g));
    let due_at = due.as_ref().and_then(|d| if let Outcome::Running { due_at, .. } = d.outcome { Some(due_at) } else { None });
    let last_day = due.as_ref().and_then(calendar::Due::last_day);
    // Late entry: what was written down after the end is looked at by a person before the clock acts.
    let known_since = known_since(case, p, start, deadline);
    let late = rules.definition.policy.contains_key("late_entry").then(|| LengthOf::Policy("late_entry".to_owned())).and_then(|l| rules.length(&l));
    let held = due_at.is_some_and(|at| known_since >= at.fixed_offset());
    let acts_at = match (due_at, held) {
        (None, _) => None,
        (Some(_), true) => {
            match late.and_then(|l| count(rules, zone, LegalTime::On(known_since.with_timezone(&zone).date_naive()), l, &[], &[], false)) {
                Some(calendar::Due { outcome: Outcome::Running { due_at, .. }, .. }) => Some(due_at),
                _ => Some(known_since.to_utc()),
            }
        }
        (Some(at), false) => match (grace, last_day) {
            (Some(grace), Some(day)) => match count(rules, zone, LegalTime::On(day), grace, &[], &[], false).map(|d| d.outcome) {
                Some(Outcome::Running { due_at, .. }) => Some(due_at),
                _ => Some(at),
            },
            _ => Some(at),
        },
    };
    let fired = case.fired.contains_key(&id);
    let warnings = match (last_day, fired) {
        (Some(day), false) => warnings(rules, case, deadline, &id, day),
        _ => Vec::new(),
    };
    Some(Run {
        id,
        started: start.legal_at,
        length,
        law: def.and_then(|d| d.law.clone()).or_else(|| kind.transitions.get(&start.transition).and_then(|t| t.def.law.clone())),
        pauses,
        extensions,
        due,
        acts_at,
        held,
        fired,
        calendar: rules.calendar.digest().to_owned(),
        warnings,
    })
}

/// When the last thing that this run depends on was written down.
fn known_since(case: &Case, p: &Proceeding, start: &Moment, deadline: &Deadline) -> DateTime<FixedOffset> {
    let extended = deadline.def.iter().flat_map(|d| d.extended_by.keys()).filter_map(|step| step.split_once('.'));
    let later = extended.flat_map(|(kind, transition)| {
        case.proceedings
            .values()
            .filter(move |c| c.kind == kind && c.parent == Some(p.id))
            .flat_map(|c| &c.timeline)
            .filter(move |m| m.transition == transition)
            .map(|m| m.recorded_at)
    });
    later.fold(start.recorded_at, DateTime::max)
}

fn moment(time: LegalTime, unit: Unit, zone: Tz) -> calendar::Moment {
    match (time, unit) {
        (LegalTime::At(at), _) => calendar::Moment::Instant(at.to_utc()),
        (LegalTime::On(_), Unit::Hours) => calendar::Moment::Instant(time.instant(zone).to_utc()),
        (LegalTime::On(day), _) => calendar::Moment::Date(day),
    }
}

fn count(
    rules: Rules<'_>,
    zone: Tz,
    start: LegalTime,
    length: Length,
    extensions: &[u32],
    pauses: &[PauseMoment],
    roll: bool,
) -> Option<calendar::Due> {
    let rule = calendar::Rule { start: moment(start, length.unit, zone), length: &length, extensions, pauses, roll };
    calendar::due(rules.calendar, zone, &rule).ok()
}

/// A day out of the data, rolled on when it is no working day.
fn on_day(rules: Rules<'_>, zone: Tz, day: NaiveDate, roll: bool) -> Option<calendar::Due> {
    let eve = day.pred_opt()?;
    count(rules, zone, LegalTime::On(eve), Length { n: 1, unit: Unit::CalendarDays }, &[], &[], roll)
}

fn warnings(rules: Rules<'_>, case: &Case, deadline: &Deadline, id: &RunId, last_day: NaiveDate) -> Vec<(String, DateTime<Utc>)> {
    let zone = rules.definition.zone;
    let mut out = Vec::new();
    for before in &deadline.warns {
        let mark = before.to_string();
        if case.warned.contains(&(id.clone(), mark.clone(), last_day)) {
            continue;
        }
        if let Ok(day) = rules.calendar.before(last_day, before) {
            out.push((mark, LegalTime::On(day).instant(zone).to_utc()));
        }
    }
    out
}

fn extensions(case: &Case, deadline: &Deadline, start: &Moment) -> Vec<u32> {
    let mut out = Vec::new();
    for (step, datum) in deadline.def.iter().flat_map(|d| &d.extended_by) {
        let Some((kind, transition)) = step.split_once('.') else { continue };
        for p in case.proceedings.values().filter(|p| p.kind == kind) {
            let granted = p.timeline.iter().any(|m| m.transition == transition && m.seq > start.seq);
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
