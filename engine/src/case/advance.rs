//! The order of things: a newer calendar first, then each deadline due by now, and only then the command.
//!
//! Each step is decided by itself, in order, so that no outcome depends on whether a worker was late. The one door repeats
//! [`clock_step`] until it answers none, and then decides the command with [`command_step`].

use super::consequences::{self, Consequences};
use super::decide::{Command, Decision, Target, decide, obstacles};
use super::draft::{Draft, Fire};
use super::event::{Acted, DueChange, What, Who};
use super::refusal::{Code, Refusal, Refusals};
use super::{Case, Outside, Rules, clock};
use crate::calendar::Calendar;
use crate::definition::model::Due;
use crate::ids::LegalTime;
use crate::value::Value;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// What the clock does next, if anything is due: one commit.
///
/// # Arguments
/// `previous` is the calendar that the case was last decided under, when it is not that of `rules`.
///
/// # Errors
/// Only a fault of the workflow: a chain of automatic steps without end.
pub fn clock_step(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, previous: Option<&Calendar>) -> Result<Option<Decision>, Refusals> {
    let runs = clock::runs(rules, case);
    if runs.is_empty() && !case.is_open() {
        return Ok(None);
    }
    if let Some(previous) = previous.filter(|p| p.digest() != rules.calendar.digest()) {
        return Ok(Some(recompute(rules, case, outside, previous)));
    }
    let now = outside.now.to_utc();
    let mut next: Option<(DateTime<Utc>, usize, Option<&str>)> = None;
    for (order, run) in runs.iter().enumerate() {
        let acts = run.acts_at.filter(|_| !run.fired && !run.is_provisional()).map(|at| (at, None));
        let warns = run.warnings.iter().map(|(mark, at)| (*at, Some(mark.as_str())));
        for (at, mark) in warns.chain(acts).filter(|(at, _)| *at <= now) {
            if next.is_none_or(|(earliest, _, _)| at < earliest) {
                next = Some((at, order, mark));
            }
        }
    }
    let Some((_, order, mark)) = next else { return Ok(None) };
    let run = &runs[order];
    match mark {
        Some(mark) => Ok(warn(rules, case, outside, run, mark)),
        None => fall_due(rules, case, outside, run).map(Some),
    }
}

fn recompute(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, previous: &Calendar) -> Decision {
    let before = clock::runs(Rules { calendar: previous, ..rules }, case);
    let changed = clock::runs(rules, case)
        .into_iter()
        .filter_map(|run| {
            let old = before.iter().find(|b| b.id == run.id).and_then(clock::Run::last_day);
            let new = run.last_day();
            (old != new).then_some(DueChange { run: run.id, old, new })
        })
        .collect();
    let mut draft = Draft::new(rules, case.clone(), outside);
    draft.push(What::CalendarChanged { changed }, Acted::engine(Who::Rule), LegalTime::At(outside.now), None);
    draft.finish()
}

fn warn(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, run: &clock::Run, mark: &str) -> Option<Decision> {
    let (_, deadline) = clock::declared(rules, case, &run.id)?;
    let notice = &deadline.def.as_ref()?.warns.as_ref()?.notice;
    let mut draft = Draft::new(rules, case.clone(), outside);
    let tells = draft.told(notice, run.id.proceeding, None);
    let what = What::DeadlineWarned { run: run.id.clone(), before: mark.to_owned(), last_day: run.last_day()?, tells };
    draft.push(what, Acted::engine(Who::Clock), LegalTime::At(outside.now), None);
    Some(draft.finish())
}

fn fall_due(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, run: &clock::Run) -> Result<Decision, Refusals> {
    let id = run.id.proceeding;
    let zone = rules.definition.zone;
    let due = run.due_at().map_or(outside.now, |at| at.with_timezone(&zone).fixed_offset());
    let last = case.proceedings[&id].last().legal_at;
    let legal_at = LegalTime::At(due).or_later(last);
    let last_day = run.last_day().unwrap_or_else(|| due.date_naive());
    let late = run.acts_at.map_or(0, |at| (outside.now.to_utc() - at).num_minutes());
    let late_minutes = u64::try_from(late).unwrap_or(0);
    let Some((kind, deadline)) = clock::declared(rules, case, &run.id) else {
        return Err(vec![Refusal::new(Code::Deadline, run.id.deadline.clone())]);
    };
    for name in &deadline.fires {
        let transition = &kind.transitions[name.as_str()];
        if !obstacles(rules, case, kind, transition, Target::In(id), None, legal_at).is_empty() {
            continue;
        }
        let mut draft = Draft::new(rules, case.clone(), outside);
        let tells = deadline.tells().into_iter().flat_map(|n| draft.told(n, id, None)).collect();
        let fired = What::DeadlineFired { run: run.id.clone(), last_day, moved: true, late_minutes, tells };
        let cause = draft.push(fired, Acted::engine(Who::Clock), legal_at, None);
        let fire = Fire {
            kind,
            transition,
            target: Target::In(id),
            input: Value::Record(BTreeMap::new()),
            acted: Acted::engine(Who::Clock),
            side: None,
            legal_at,
            cause: Some(cause),
        };
        if draft.fire(fire).is_ok() && draft.settle().is_ok() && draft.uphold().is_ok() {
            return Ok(draft.finish());
        }
    }
    let mut draft = Draft::new(rules, case.clone(), outside);
    let tells = deadline.tells().into_iter().flat_map(|n| draft.told(n, id, None)).collect();
    let fired = What::DeadlineFired { run: run.id.clone(), last_day, moved: false, late_minutes, tells };
    let cause = draft.push(fired, Acted::engine(Who::Clock), legal_at, None);
    if matches!(deadline.due, Due::Round { .. }) {
        draft.push(What::RoundLapsed { proceeding: id }, Acted::engine(Who::Clock), legal_at, Some(cause));
        draft.settle()?;
    }
    Ok(draft.finish())
}

/// Decides the command on a case that is up to date, and refuses what would leave a proceeding waiting in silence.
///
/// # Errors
/// All reasons why not.
pub fn command_step(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, command: &Command) -> Result<Decision, Refusals> {
    decide(rules, case, outside, command)
}

/// What follows from a decision, once its numbers are drawn.
///
/// # Errors
/// When it would leave a proceeding waiting with nobody and nothing to wake it.
pub fn follow(rules: Rules<'_>, decision: &Decision, outside: &Outside<'_>) -> Result<Consequences, Refusals> {
    let consequences = consequences::consequences(rules, &decision.case, &decision.events, outside.accounts);
    let parked = consequences::parked(rules, &decision.case, &consequences);
    if parked.is_empty() {
        return Ok(consequences);
    }
    let kind = |id| decision.case.proceedings.get(id).map_or_else(String::new, |p| format!("{} {}: {}", p.id, p.kind, p.state()));
    Err(parked.iter().map(|id| Refusal::new(Code::WouldPark, kind(id))).collect())
}
