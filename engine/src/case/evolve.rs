//! Folding events into a case. Total, and without opinions: replay calls only this.

use super::event::{Answer, Event, Moved, Service, What};
use super::{Case, File, Holding, Moment, Person, Proceeding, Round, Unserved};
use std::collections::BTreeMap;

/// Applies one event. An event that does not follow the case's version changes nothing but the version; the store
/// reports such a gap before it comes here.
pub fn evolve(case: &mut Case, event: &Event) {
    case.version = event.seq;
    case.under = Some(event.under.clone());
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
            case.files.push(File { id: *file, paper: paper.clone(), proceeding: *proceeding, sha256: sha256.clone(), seq: event.seq });
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
            Service::Served | Service::Refused | Service::GivenUp => drop(case.unserved.remove(&(*told_in, *index))),
            Service::Returned | Service::Unreachable => {
                if let Some(unserved) = case.unserved.get_mut(&(*told_in, *index)) {
                    unserved.last = Some(*outcome);
                }
            }
        },
        What::DeadlineFired { run, moved, .. } => drop(case.fired.insert(run.clone(), *moved)),
        What::DeadlineWarned { run, before, last_day, .. } => {
            case.warned.insert((run.clone(), before.clone(), *last_day));
        }
        What::CalendarChanged { .. } => {}
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
        timeline: Vec::new(),
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
        if told.required {
            let unserved = Unserved { notice: told.notice.clone(), who: told.who, as_: told.as_.clone(), proceeding: moved.proceeding, last: None };
            case.unserved.insert((event.seq, index), unserved);
        }
    }
}
