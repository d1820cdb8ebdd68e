//! Looking back: `case.undo` takes an event back with all that it caused, `case.correct` gives it another date or value.
//!
//! Nothing is edited. Both write an event of their own that names what no longer counts or counts otherwise; the case
//! is then folded anew ([`evolve::fold`]), so that every deadline follows from what is now so. Letters that had not left
//! never will, and those that had are followed by another: the one door does that in the same commit.

use super::decide::Command;
use super::draft::Draft;
use super::event::{Acted, Event, Moved, Recall, Set, Told, What, Who};
use super::refusal::{Code, Refusal, Refusals};
use super::{Case, evolve};
use crate::definition::file::ServiceDef;
use crate::ids::{LegalTime, ProceedingId};
use crate::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The word under which an amending event keeps its reason.
const REASON: &str = "reason";

/// The event that a command names, if it may be amended.
fn named<'l>(log: &'l [Event], input: &BTreeMap<String, Value>, already: &BTreeSet<u64>) -> Result<&'l Event, Refusals> {
    let wrong = |reason: &str| vec![Refusal::new(Code::Input, "event").field("input.event").detail("reason", reason)];
    let Some(Value::Int(seq)) = input.get("event") else { return Err(wrong("missing")) };
    let event = log.iter().find(|e| i64::try_from(e.seq) == Ok(*seq)).ok_or_else(|| wrong("no_such_event"))?;
    if already.contains(&event.seq) {
        return Err(wrong("undone_already"));
    }
    match &event.what {
        // The case itself began, or an amendment: the first is withdrawn by the workflow's own steps, the second by another amendment.
        What::CaseOpened { .. } | What::Undone { .. } | What::Corrected { .. } | What::Migrated { .. } | What::CalendarChanged { .. } => {
            Err(wrong("cannot_be_amended"))
        }
        _ => Ok(event),
    }
}

/// Events that were taken back before.
fn undone_before(log: &[Event]) -> BTreeSet<u64> {
    log.iter().filter_map(|e| if let What::Undone { undone, .. } = &e.what { Some(undone) } else { None }).flatten().copied().collect()
}

/// An event and all that followed from it, in order.
fn with_consequences(log: &[Event], first: u64) -> Vec<u64> {
    let mut all = BTreeSet::from([first]);
    for event in log {
        if event.cause.is_some_and(|cause| all.contains(&cause)) {
            all.insert(event.seq);
        }
    }
    all.into_iter().collect()
}

/// The proceedings that an event touches.
fn touched(event: &Event) -> Option<ProceedingId> {
    match &event.what {
        What::Moved(Moved { proceeding, .. })
        | What::Assented { proceeding, .. }
        | What::RoundLapsed { proceeding }
        | What::FileAttached { proceeding, .. }
        | What::Sent { proceeding, .. } => Some(*proceeding),
        What::DeadlineFired { run, .. } => Some(run.proceeding),
        What::Seated { proceeding, .. } | What::Vacated { proceeding, .. } => *proceeding,
        _ => None,
    }
}

/// Who was told by an event.
fn told(event: &Event) -> &[Told] {
    match &event.what {
        What::Moved(Moved { tells, .. }) | What::DeadlineWarned { tells, .. } | What::DeadlineFired { tells, .. } => tells,
        _ => &[],
    }
}

/// What people have done since on the result of what is to be taken back.
fn acted_upon(log: &[Event], undone: &[u64], already: &BTreeSet<u64>) -> Vec<u64> {
    let first = undone.first().copied().unwrap_or_default();
    let places: BTreeSet<ProceedingId> = log.iter().filter(|e| undone.contains(&e.seq)).filter_map(touched).collect();
    let by_people = |e: &&Event| matches!(e.acted.who, Who::Account(_) | Who::Person(_) | Who::Body);
    let later = log.iter().filter(|e| e.seq > first && !undone.contains(&e.seq) && !already.contains(&e.seq));
    later.filter(by_people).filter(|e| touched(e).is_some_and(|p| places.contains(&p)) || serves(e, undone)).map(|e| e.seq).collect()
}

/// An event records the service of a letter that one of these had told.
fn serves(event: &Event, told_by: &[u64]) -> bool {
    matches!(&event.what, What::ServiceRecorded { told_in, .. } if told_by.contains(told_in))
}

fn reason(input: &mut BTreeMap<String, Value>) -> Result<(String, Value), Refusals> {
    match input.remove(REASON) {
        Some(Value::Text(text)) if !text.trim().is_empty() => Ok((REASON.to_owned(), Value::Text(text))),
        _ => Err(vec![Refusal::new(Code::Input, REASON).field("input.reason").detail("expected", "why")]),
    }
}

/// Takes an event back.
pub(super) fn undo(draft: &mut Draft<'_>, mut input: BTreeMap<String, Value>, acted: Acted, legal_at: LegalTime) -> Result<(), Refusals> {
    let log = draft.outside.log;
    let already = undone_before(log);
    let event = named(log, &input, &already)?.seq;
    let reason = reason(&mut input)?;
    let undone = with_consequences(log, event);
    let since = acted_upon(log, &undone, &already);
    if !since.is_empty() {
        let list: Vec<String> = since.iter().map(ToString::to_string).collect();
        return Err(vec![Refusal::new(Code::Amend, "acted_upon").field("input.event").detail("events", list.join(", ")).unlocked_by("case.undo")]);
    }
    let first_of_root = log.iter().any(|e| undone.contains(&e.seq) && matches!(&e.what, What::Moved(m) if m.parent.is_none() && m.from.is_none()));
    if first_of_root {
        return Err(vec![Refusal::new(Code::Amend, "opening").field("input.event")]);
    }
    let of = |seq: &u64| log.iter().find(|e| e.seq == *seq);
    let void = undone.iter().filter_map(of).filter_map(|e| if let What::Moved(Moved { number, .. }) = &e.what { number.as_ref() } else { None });
    let void: Vec<String> = void.map(|n| n.text.clone()).collect();
    let notice = draft.rules.definition.file.actions.undo.as_ref().map(|u| u.notice.clone()).unwrap_or_default();
    let recalls = recalls(draft, log, &undone, |_| notice.clone(), |_| legal_at);
    let set = draft.keep(vec![reason])?;
    let touched: BTreeSet<ProceedingId> = undone.iter().filter_map(of).filter_map(touched).collect();
    // The states that result are those of the case without what is taken back.
    let after = folded(
        draft,
        log,
        &What::Undone { event, undone: undone.clone(), states: Vec::new(), void: Vec::new(), set: Vec::new(), recalls: Vec::new() },
    );
    let states = touched.into_iter().map(|id| (id, after.proceedings.get(&id).map(|p| p.state().to_owned()))).collect();
    draft.amend(What::Undone { event, undone, states, void, set, recalls }, acted, legal_at);
    Ok(())
}

/// Gives an event another date or other values.
pub(super) fn correct(
    draft: &mut Draft<'_>,
    command: &Command,
    mut input: BTreeMap<String, Value>,
    acted: Acted,
    legal_at: LegalTime,
) -> Result<(), Refusals> {
    let log = draft.outside.log;
    let event = named(log, &input, &undone_before(log))?;
    let reason = reason(&mut input)?;
    let date = corrected_date(&mut input);
    let mut values = corrected_values(draft, command, event)?;
    if date.is_none() && values.is_empty() {
        return Err(vec![Refusal::new(Code::Input, "empty").field("input").detail("expected", "on, at, or values")]);
    }
    let now = LegalTime::At(draft.outside.now);
    if date.is_some_and(|at| now.before(at)) {
        return Err(vec![Refusal::new(Code::LegalTime, "future").field("input.on").detail("latest", draft.outside.now.date_naive().to_string())]);
    }
    let first_day = draft.rules.calendar.first_day();
    if date.is_some_and(|at| at.date() < first_day) {
        return Err(vec![Refusal::new(Code::Calendar, "before_first_day").field("input.on").detail("first_day", first_day.to_string())]);
    }
    // What followed at the same legal moment followed from it, and moves along.
    let followed = with_consequences(log, event.seq);
    let dates: Vec<(u64, LegalTime)> = date
        .map(|at| log.iter().filter(|e| followed.contains(&e.seq) && e.legal_at == event.legal_at).map(|e| (e.seq, at)).collect())
        .unwrap_or_default();
    let moved: Vec<u64> = dates.iter().map(|(seq, _)| *seq).chain([event.seq]).collect();
    let recalls =
        recalls(draft, log, &moved, |told| told.notice.clone(), |e| dates.iter().find(|(seq, _)| *seq == e.seq).map_or(e.legal_at, |(_, at)| *at));
    values.push(reason);
    let set = draft.keep(values)?;
    let what = What::Corrected { event: event.seq, dates, set, recalls };
    let after = folded(draft, log, &what);
    if let Some(p) = after.proceedings.values().find(|p| p.timeline.iter().zip(p.timeline.iter().skip(1)).any(|(a, b)| b.legal_at.before(a.legal_at)))
    {
        return Err(vec![Refusal::new(Code::LegalTime, "order_of_steps").field("input.on").detail("proceeding", p.id.to_string())]);
    }
    draft.amend(what, acted, legal_at);
    Ok(())
}

fn corrected_date(input: &mut BTreeMap<String, Value>) -> Option<LegalTime> {
    match (input.remove("at"), input.remove("on")) {
        (Some(Value::Instant(at)), _) => Some(LegalTime::At(at)),
        (_, Some(Value::Date(on))) => Some(LegalTime::On(on)),
        _ => None,
    }
}

/// New values, each read as what the event had set under its name.
fn corrected_values(draft: &Draft<'_>, command: &Command, event: &Event) -> Result<Vec<(String, Value)>, Refusals> {
    let Some(given) = command.input.get("values").and_then(serde_json::Value::as_object) else { return Ok(Vec::new()) };
    let definition = draft.rules.definition;
    let declared = match &event.what {
        What::Recorded { .. } => definition.facts.clone(),
        What::Moved(moved) => definition.kinds.get(&moved.kind).map(|k| k.data.clone()).unwrap_or_default(),
        _ => indexmap::IndexMap::new(),
    };
    let before: &[Set] = match &event.what {
        What::Recorded { set } | What::Moved(Moved { set, .. }) => set,
        _ => &[],
    };
    let mut out = Vec::new();
    for (name, json) in given {
        let field = format!("input.values.{name}");
        let (Some(ty), true) = (declared.get(name), before.iter().any(|s| &s.name == name)) else {
            let known: Vec<&str> = before.iter().map(|s| s.name.as_str()).collect();
            return Err(vec![Refusal::new(Code::Input, "values").field(field).detail("expected", known.join(", "))]);
        };
        let value = Value::from_json(json, ty, &field).map_err(|m| {
            m.into_iter().map(|m| Refusal::new(Code::Input, m.message).field(m.path).detail("expected", m.expected)).collect::<Refusals>()
        })?;
        out.push((name.clone(), value));
    }
    Ok(out)
}

/// The letters that these events had told, each with the one that follows it.
fn recalls(draft: &Draft<'_>, log: &[Event], of: &[u64], notice: impl Fn(&Told) -> String, speaks_of: impl Fn(&Event) -> LegalTime) -> Vec<Recall> {
    let file = &draft.rules.definition.file;
    let mut out = Vec::new();
    for event in log.iter().filter(|e| of.contains(&e.seq)) {
        let Some(proceeding) = (match &event.what {
            What::DeadlineWarned { run, .. } => Some(run.proceeding),
            _ => touched(event),
        }) else {
            continue;
        };
        for (index, one) in (0u32..).zip(told(event)) {
            let name = notice(one);
            let Some(def) = file.notices.get(&name) else { continue };
            let required = def.service == Some(ServiceDef::Required) && matches!(one.who, Who::Person(_));
            let tells = Told { notice: name, required, ..one.clone() };
            out.push(Recall { told_in: event.seq, index, proceeding, legal_at: speaks_of(event), tells });
        }
    }
    out
}

/// The case with one more event, folded anew.
fn folded(draft: &Draft<'_>, log: &[Event], what: &What) -> Case {
    let mut log = log.to_vec();
    log.push(draft.event(what.clone(), Acted::engine(Who::Rule), LegalTime::At(draft.outside.now), None));
    let mut case = Case { id: draft.case.id, vault: draft.case.vault.clone(), ..Case::default() };
    evolve::fold(&mut case, &log);
    case
}
