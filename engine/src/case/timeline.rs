//! The moves of a proceeding, in order, with what is asked of them most at hand: so that an old case is decided as fast as
//! a young one. Copies share what they have in common.

use crate::ids::LegalTime;
use chrono::{DateTime, FixedOffset};
use imbl::{OrdMap, Vector};
use std::ops::RangeInclusive;

/// A move of a proceeding.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The event.
    pub seq: u64,
    /// The transition.
    pub transition: String,
    /// The state entered.
    pub state: String,
    /// When in law.
    pub legal_at: LegalTime,
    /// When written down.
    pub recorded_at: DateTime<FixedOffset>,
}

/// How often a step was taken, and the place of the last time.
#[derive(Clone, Copy, Debug)]
struct Taken {
    times: usize,
    last: usize,
}

/// The moves of a proceeding.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    moments: Vector<Moment>,
    /// The places at which another state was entered than the one before.
    turns: Vector<usize>,
    taken: OrdMap<String, Taken>,
}

impl Timeline {
    /// Adds a move.
    pub fn push(&mut self, moment: Moment) {
        let place = self.moments.len();
        if self.moments.last().is_none_or(|last| last.state != moment.state) {
            self.turns.push_back(place);
        }
        let times = self.times(&moment.transition) + 1;
        self.taken.insert(moment.transition.clone(), Taken { times, last: place });
        self.moments.push_back(moment);
    }

    /// The last move; none only while the proceeding is being made.
    #[must_use]
    pub fn last(&self) -> Option<&Moment> {
        self.moments.last()
    }

    /// All moves, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Moment> {
        self.moments.iter()
    }

    /// How often a step was taken.
    #[must_use]
    pub fn times(&self, transition: &str) -> usize {
        self.taken.get(transition).map_or(0, |t| t.times)
    }

    /// The last time that a step was taken.
    #[must_use]
    pub fn last_time(&self, transition: &str) -> Option<&Moment> {
        self.moments.get(self.taken.get(transition)?.last)
    }

    /// Gives the last state another name: that of a newer workflow.
    pub fn rename_last(&mut self, state: &str) {
        let Some(mut last) = self.moments.pop_back() else { return };
        let place = self.moments.len();
        state.clone_into(&mut last.state);
        self.moments.push_back(last);
        if self.turns.last() == Some(&place) {
            self.turns.pop_back();
        }
        if place == 0 || self.moments[place - 1].state != state {
            self.turns.push_back(place);
        }
    }

    /// The places of the last stay in states that are `among`, without a break; none if it was never in one.
    fn stay(&self, among: impl Fn(&str) -> bool) -> Option<RangeInclusive<usize>> {
        let mut end = self.moments.len().checked_sub(1)?;
        let mut turns = self.turns.iter().rev();
        let mut since = loop {
            let turn = *turns.next()?;
            if among(&self.moments[turn].state) {
                break turn;
            }
            end = turn.checked_sub(1)?;
        };
        for turn in turns {
            if !among(&self.moments[*turn].state) {
                break;
            }
            since = *turn;
        }
        Some(since..=end)
    }

    /// The last stay in states that are `among`, and whether it goes on.
    #[must_use]
    pub fn last_stay(&self, among: impl Fn(&str) -> bool) -> Option<Stay<'_>> {
        self.stay(among).map(|places| Stay { timeline: self, places })
    }
}

/// An unbroken stay of a proceeding in some of its states.
pub struct Stay<'t> {
    timeline: &'t Timeline,
    places: RangeInclusive<usize>,
}

impl<'t> Stay<'t> {
    /// Whether the proceeding is still there.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.places.end() + 1 == self.timeline.moments.len()
    }

    /// Its first move.
    #[must_use]
    pub fn first(&self) -> &'t Moment {
        &self.timeline.moments[*self.places.start()]
    }

    /// The last move in it that entered, or stayed in, this state.
    #[must_use]
    pub fn last_in(&self, state: &str) -> Option<&'t Moment> {
        let moments = &self.timeline.moments;
        let mut end = *self.places.end();
        for turn in self.timeline.turns.iter().rev().filter(|turn| *turn <= self.places.end()) {
            if turn < self.places.start() {
                break;
            }
            if moments[*turn].state == state {
                return moments.get(end);
            }
            end = turn.checked_sub(1)?;
        }
        None
    }

    /// The last time in it that any of these steps was taken.
    #[must_use]
    pub fn last_of(&self, steps: &[String]) -> Option<&'t Moment> {
        let timeline = self.timeline;
        let last = steps.iter().filter_map(|step| timeline.taken.get(step)).map(|t| t.last).max()?;
        if self.places.contains(&last) {
            return timeline.moments.get(last);
        }
        if last < *self.places.start() {
            return None;
        }
        // They were taken again after the stay: only a proceeding that has ended is asked about a stay that it has left.
        self.places.clone().rev().map(|place| &timeline.moments[place]).find(|m| steps.contains(&m.transition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone as _;
    use proptest::prelude::*;

    fn moment(seq: u64, transition: u8, state: u8) -> Moment {
        let at = FixedOffset::east_opt(0).and_then(|zone| zone.timestamp_opt(1_772_413_200, 0).single()).expect("a time");
        Moment { seq, transition: format!("t{transition}"), state: format!("s{state}"), legal_at: LegalTime::At(at), recorded_at: at }
    }

    proptest! {
        /// Every answer equals that of a plain walk through all moves.
        #[test]
        fn answers_like_a_plain_walk(
            moves in proptest::collection::vec((0u8..4, 0u8..4), 1..40),
            rename in proptest::option::of(0u8..4),
            lives in proptest::collection::btree_set(0u8..4, 0..4),
            steps in proptest::collection::btree_set(0u8..4, 0..4),
            state in 0u8..4,
        ) {
            let mut timeline = Timeline::default();
            let mut plain: Vec<Moment> = Vec::new();
            for (seq, (transition, state)) in (1u64..).zip(moves) {
                timeline.push(moment(seq, transition, state));
                plain.push(moment(seq, transition, state));
            }
            if let Some(state) = rename {
                timeline.rename_last(&format!("s{state}"));
                plain.last_mut().expect("a move").state = format!("s{state}");
            }
            let lives = |s: &str| lives.iter().any(|l| format!("s{l}") == s);
            let steps: Vec<String> = steps.iter().map(|t| format!("t{t}")).collect();
            let state = format!("s{state}");

            let last = plain.iter().rposition(|m| lives(&m.state));
            let stay = timeline.last_stay(lives);
            prop_assert_eq!(last.is_some(), stay.is_some());
            if let (Some(last), Some(stay)) = (last, stay) {
                let since = plain[..=last].iter().rposition(|m| !lives(&m.state)).map_or(0, |i| i + 1);
                let stretch = &plain[since..=last];
                prop_assert_eq!(stay.goes_on(), last + 1 == plain.len());
                prop_assert_eq!(stay.first().seq, stretch[0].seq);
                prop_assert_eq!(stay.last_in(&state).map(|m| m.seq), stretch.iter().rev().find(|m| m.state == state).map(|m| m.seq));
                let of = stretch.iter().rev().find(|m| steps.contains(&m.transition)).map(|m| m.seq);
                prop_assert_eq!(stay.last_of(&steps).map(|m| m.seq), of);
            }
            for step in &steps {
                prop_assert_eq!(timeline.times(step), plain.iter().filter(|m| m.transition == *step).count());
                prop_assert_eq!(timeline.last_time(step).map(|m| m.seq), plain.iter().rev().find(|m| m.transition == *step).map(|m| m.seq));
            }
        }
    }
}
