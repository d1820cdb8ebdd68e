//! Folding events into a case. Total, and without opinions: replay calls only this.
//!
//! [`evolve`] applies one event to the case before it. What was taken back or corrected later changes what an earlier
//! event did, so a log that holds such an event is folded whole, by [`fold`], which knows them beforehand.

use super::event::{Answer, Event, Moved, Service, Set, Told, What};
use super::timeline::{Moment, Timeline};
use super::{Case, File, Holding, Person, Proceeding, Round, Served, Unserved};
use crate::ids::{LegalTime, ProceedingId};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Folds a whole log into a case that holds nothing yet but its id and its values.
pub fn fold(case: &mut Case, log: &[Event]) {
    let amended = Amended::of(log);
    for event in log {
        if amended.undone.contains(&event.seq) {
            case.version = event.seq;
            case.under = Some(event.under.clone());
        } else {
            evolve(case, &amended.apply(event));
        }
    }
}

/// What later events say about earlier ones.
#[derive(Default)]
struct Amended<'l> {
    undone: BTreeSet<u64>,
    dates: BTreeMap<u64, (LegalTime, &'l Event)>,
    values: BTreeMap<u64, Vec<&'l Set>>,
}

impl<'l> Amended<'l> {
    fn of(log: &'l [Event]) -> Self {
        let mut out = Self::default();
        for event in log {
            match &event.what {
                What::Undone { undone, .. } => out.undone.extend(undone),
                What::Corrected { event: of, dates, set, .. } => {
                    out.dates.extend(dates.iter().map(|(seq, at)| (*seq, (*at, event))));
                    out.values.entry(*of).or_default().extend(set);
                }
                _ => {}
            }
        }
        out
    }

    /// An event as it counts now. A corrected date is known only since it was corrected.
    fn apply<'e>(&self, event: &'e Event) -> Cow<'e, Event> {
        let date = self.dates.get(&event.seq);
        let values = self.values.get(&event.seq);
        if date.is_none() && values.is_none() {
            return Cow::Borrowed(event);
        }
        let mut event = event.clone();
        if let Some((at, by)) = date {
            event.legal_at = *at;
            event.recorded_at = event.recorded_at.max(by.recorded_at);
        }
        if let (Some(values), What::Recorded { set } | What::PersonRecorded { set, .. } | What::Moved(Moved { set, .. })) = (values, &mut event.what)
        {
            for new in values {
                set.iter_mut().filter(|old| old.name == new.name).for_each(|old| old.clone_from(new));
            }
        }
        Cow::Owned(event)
    }
}

/// Applies one event. An event that does not follow the case's version changes nothing but the version; the store
/// reports such a gap before it comes here.
pub fn evolve(case: &mut Case, event: &Event) {
    case.version = event.seq;
    case.under = Some(event.under.clone());
    if matches!(event.what, What::Undone { .. } | What::Corrected { .. } | What::CalendarChanged { .. } | What::Migrated { .. }) {
        case.amended_at = Some(event.recorded_at);
    }
    match &event.what {
        What::CaseOpened { workflow } => {
            case.workflow.clone_from(workflow);
            case.opened_at = Some(event.recorded_at);
        }
        What::Moved(moved) => apply_move(case, event, moved),
        What::Recorded { set } => Case::remember(set, &mut case.facts),
        What::PersonRecorded { person, side, party, acts_for, until, account, language, set } => {
            let mut data = case.people.get(person).map(|p| p.data.clone()).unwrap_or_default();
            Case::remember(set, &mut data);
            case.people.insert(
                *person,
                Person {
                    id: *person,
                    side: side.clone(),
                    party: *party,
                    acts_for: acts_for.clone(),
                    until: *until,
                    account: *account,
                    language: language.clone(),
                    data,
                },
            );
        }
        What::FileAttached { file, paper, proceeding, sha256, .. } => {
            case.files.push_back(File { id: *file, paper: paper.clone(), proceeding: *proceeding, sha256: sha256.clone(), seq: event.seq });
        }
        What::Seated { seat, proceeding, account } => {
            if let Some(holdings) = case.holdings(seat, *proceeding) {
                end_last(holdings, event);
                holdings.push(Holding { account: *account, from: event.legal_at, to: None });
            }
        }
        What::Vacated { seat, proceeding } => {
            if let Some(holdings) = case.holdings(seat, *proceeding) {
                end_last(holdings, event);
            }
        }
        What::Consented { person, purpose, given } => {
            let key = (*person, purpose.clone());
            if *given {
                case.consents.insert(key)
            } else {
                case.consents.remove(&key)
            };
        }
        What::Assented { proceeding, who, answer, .. } => {
            if let Some(round) = case.proceedings.get_mut(proceeding).and_then(|p| p.round.as_mut()) {
                let key = (event.acted.as_.clone(), *who);
                match answer {
                    Answer::Withdrawn => drop(round.answers.remove(&key)),
                    _ => drop(round.answers.insert(key, (*answer, event.legal_at))),
                }
            }
        }
        What::RoundLapsed { proceeding } => {
            if let Some(round) = case.proceedings.get_mut(proceeding).and_then(|p| p.round.as_mut()) {
                round.lapsed = true;
            }
        }
        What::ServiceRecorded { told_in, index, outcome, .. } => match outcome {
            Service::GivenUp => drop(case.unserved.remove(&(*told_in, *index))),
            Service::Served | Service::Refused => {
                if let Some(Unserved { notice, proceeding, .. }) = case.unserved.remove(&(*told_in, *index)) {
                    let Event { seq, legal_at, recorded_at, .. } = *event;
                    case.served.push_back(Served { seq, told_in: *told_in, notice, proceeding, legal_at, recorded_at });
                }
            }
            Service::Returned | Service::Unreachable | Service::Posted | Service::Bounced => {
                if let Some(unserved) = case.unserved.get_mut(&(*told_in, *index)) {
                    unserved.last = Some(*outcome);
                }
            }
        },
        What::DeadlineFired { run, moved, tells, .. } => {
            case.fired.insert(run.clone(), *moved);
            for (index, told) in (0u32..).zip(tells) {
                require_service(case, event.seq, index, run.proceeding, told);
            }
        }
        What::DeadlineWarned { run, before, last_day, .. } => {
            case.warned.insert((run.clone(), before.clone(), *last_day));
        }
        What::Migrated { states, .. } => {
            for (id, state) in states {
                if let Some(p) = case.proceedings.get_mut(id) {
                    p.timeline.rename_last(state);
                }
            }
        }
        // What no longer counts, or counts otherwise, is seen by `fold`; here are the letters that follow.
        What::Undone { recalls, .. } | What::Corrected { recalls, .. } => {
            for (index, recall) in (0u32..).zip(recalls) {
                case.unserved.remove(&(recall.told_in, recall.index));
                require_service(case, event.seq, index, recall.proceeding, &recall.tells);
            }
        }
        What::CalendarChanged { .. } | What::Sent { .. } => {}
    }
}

fn end_last(holdings: &mut [Holding], event: &Event) {
    if let Some(last) = holdings.last_mut().filter(|h| h.to.is_none()) {
        last.to = Some(event.legal_at);
    }
}

fn apply_move(case: &mut Case, event: &Event, moved: &Moved) {
    let proceeding = case.proceedings.entry(moved.proceeding).or_insert_with(|| Proceeding {
        id: moved.proceeding,
        kind: moved.kind.clone(),
        parent: moved.parent,
        timeline: Timeline::default(),
        data: BTreeMap::new(),
        commitments: BTreeMap::new(),
        number: None,
        outcome: None,
        round: None,
        closed_round: None,
        seats: BTreeMap::new(),
    });
    let stays = proceeding.timeline.last().is_some_and(|m| m.state == moved.to);
    proceeding.timeline.push(Moment {
        seq: event.seq,
        transition: moved.transition.clone(),
        state: moved.to.clone(),
        legal_at: event.legal_at,
        recorded_at: event.recorded_at,
    });
    let changed = !moved.set.is_empty();
    for set in &moved.set {
        proceeding.data.insert(set.name.clone(), set.value);
        proceeding.commitments.insert(set.name.clone(), set.commitment.clone());
    }
    if let Some(number) = &moved.number {
        proceeding.number = Some(number.clone());
    }
    proceeding.outcome.clone_from(&moved.final_);
    if moved.asks {
        proceeding.round = Some(Round::default());
    } else if !stays || moved.final_.is_some() {
        if let Some(round) = proceeding.round.take() {
            proceeding.closed_round = Some(round);
        }
    } else if changed && proceeding.round.is_some() {
        // What was shown has changed, so what was given no longer counts.
        proceeding.round = Some(Round::default());
    }
    for (index, told) in (0u32..).zip(&moved.tells) {
        require_service(case, event.seq, index, moved.proceeding, told);
    }
}

/// Notes that a letter must be served, if it must.
fn require_service(case: &mut Case, seq: u64, index: u32, proceeding: ProceedingId, told: &Told) {
    if told.required {
        case.sendings.insert((told.notice.clone(), proceeding), seq);
        let unserved = Unserved { notice: told.notice.clone(), who: told.who, as_: told.as_.clone(), proceeding, last: None };
        case.unserved.insert((seq, index), unserved);
    }
}
