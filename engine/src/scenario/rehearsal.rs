//! A whole play in memory, each step with all that came of it and its lines in the record.

use super::memory::MemoryDoor;
use super::play::{Played, Player, StepReport};
use super::record::{Recorder, Step};
use super::{Cast, Scenario};
use crate::calendar::Calendar;
use crate::case::{Account, Policy};
use crate::definition::Definition;
use indexmap::IndexMap;

/// One scenario on the stage.
pub struct Rehearsal<'a> {
    scenario: &'a Scenario,
    door: MemoryDoor<'a>,
    player: Player<'a>,
    recorder: Recorder<'a>,
    next: usize,
}

/// A step that was played.
#[derive(Clone, Debug)]
pub struct Act {
    /// What came of it.
    pub report: StepReport,
    /// Everything that happened, also what the clock did before a step that was refused.
    pub seen: Played,
    /// Its lines in the record.
    pub record: String,
}

impl<'a> Rehearsal<'a> {
    /// A scenario at its beginning.
    #[must_use]
    pub fn new(
        scenario: &'a Scenario,
        definition: &'a Definition,
        policy: Policy,
        calendar: &'a Calendar,
        accounts: &'a IndexMap<String, Account>,
    ) -> Self {
        let door = MemoryDoor::new(definition, policy, calendar, accounts.values().cloned().collect());
        Self { scenario, door, player: Player::new(scenario, definition, accounts), recorder: Recorder::new(definition), next: 0 }
    }

    /// Plays the next step without its record, which is most of the work; none when the play is over. The first record
    /// after that tells of more than its own step.
    ///
    /// # Errors
    /// When the scenario itself cannot go on.
    pub fn skip(&mut self) -> Option<Result<StepReport, String>> {
        self.next += 1;
        let report = self.player.step(&mut self.door)?;
        drop(self.door.take());
        Some(report)
    }

    /// Plays the next step; none when the play is over.
    ///
    /// # Errors
    /// When the scenario itself cannot go on.
    pub fn step(&mut self) -> Option<Result<Act, String>> {
        let step = self.scenario.steps.get(self.next)?;
        self.next += 1;
        let report = match self.player.step(&mut self.door)? {
            Ok(report) => report,
            Err(fault) => return Some(Err(fault)),
        };
        let seen = self.door.take();
        let open = match self.player.open_to(&seen.case, report.at, &mut self.door) {
            Ok(open) => open,
            Err(fault) => return Some(Err(fault)),
        };
        let doing = step.by.as_deref().zip(step.do_.as_deref());
        let record = self.recorder.step(&Step { doing, report: &report, seen: &seen, open: &open });
        Some(Ok(Act { report, seen, record }))
    }
}

/// Plays a scenario to its end.
///
/// # Returns
/// What is not as expected, and the record as far as it goes.
pub fn play(
    scenario: &Scenario,
    definition: &Definition,
    policy: Policy,
    calendar: &Calendar,
    cast: &Cast,
    mut look: impl FnMut(&Act),
) -> (Vec<String>, String) {
    let accounts = cast.accounts();
    let mut rehearsal = Rehearsal::new(scenario, definition, policy, calendar, &accounts);
    let (mut failures, mut record) = (Vec::new(), String::new());
    while let Some(act) = rehearsal.step() {
        match act {
            Err(fault) => {
                failures.push(fault);
                break;
            }
            Ok(act) => {
                failures.extend(act.report.failures.iter().map(|f| format!("step {}: {f}", act.report.number)));
                record.push_str(&act.record);
                look(&act);
            }
        }
    }
    (failures, record)
}
