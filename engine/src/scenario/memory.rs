//! A door without a database: one case, in memory. What the one door does, in the same order.

use super::play::{Door, Played, Request};
use crate::calendar::Calendar;
use crate::case::advance::{clock_step, command_step, follow};
use crate::case::consequences::{Notice, WorkItem};
use crate::case::decide::Decision;
use crate::case::event::Event;
use crate::case::options::allowed;
use crate::case::refusal::Refusals;
use crate::case::{Account, Case, Outside, Policy, Rules, clock, sha256};
use crate::definition::Definition;
use crate::ids::{CaseId, uuid_v7};
use chrono::{DateTime, FixedOffset};
use std::collections::{BTreeMap, BTreeSet};

/// One case in memory.
pub struct MemoryDoor<'a> {
    definition: &'a Definition,
    policy: Policy,
    calendar: &'a Calendar,
    previous: Option<&'a Calendar>,
    accounts: Vec<Account>,
    case: Case,
    numbers: BTreeMap<(String, i32), u32>,
    commits: u64,
    log: Vec<Event>,
    since: Since,
}

/// What nobody has looked at yet, and the latest consequences.
#[derive(Default)]
struct Since {
    /// How many events were looked at.
    looked_at: usize,
    notices: Vec<Notice>,
    deadlines: Vec<clock::Run>,
    work: Vec<WorkItem>,
}

impl<'a> MemoryDoor<'a> {
    /// A door to a case that is not open yet.
    #[must_use]
    pub fn new(definition: &'a Definition, policy: Policy, calendar: &'a Calendar, accounts: Vec<Account>) -> Self {
        Self {
            definition,
            policy,
            calendar,
            previous: None,
            accounts,
            case: Case::default(),
            numbers: BTreeMap::new(),
            commits: 0,
            log: Vec::new(),
            since: Since::default(),
        }
    }

    /// Loads a newer calendar: what is open is counted anew before the next command.
    pub fn load_calendar(&mut self, calendar: &'a Calendar) {
        self.previous = Some(self.calendar);
        self.calendar = calendar;
    }

    /// Everything that happened since this was last asked, and the case as it stands. What the clock did before a
    /// command that was refused is no part of the refusal, and is told here alone.
    pub fn take(&mut self) -> Played {
        let new = self.log.iter().skip(self.since.looked_at).cloned().collect();
        self.since.looked_at = self.log.len();
        Played {
            case: self.case.clone(),
            events: new,
            notices: std::mem::take(&mut self.since.notices),
            deadlines: self.since.deadlines.clone(),
            work: self.since.work.clone(),
        }
    }

    /// The case as it stands.
    #[must_use]
    pub fn case(&self) -> &Case {
        &self.case
    }
}

impl Door for MemoryDoor<'_> {
    type Error = String;

    fn submit(&mut self, request: Request) -> Result<Result<Played, Refusals>, String> {
        let me = request.me;
        let rules = Rules { definition: self.definition, policy: &self.policy, calendar: self.calendar };
        if self.case.id.is_none() {
            let ms = u64::try_from(request.now.timestamp_millis()).unwrap_or(0);
            let digest = sha256(request.key.as_bytes());
            let mut random = [0u8; 16];
            random.copy_from_slice(&digest.as_bytes()[..16]);
            self.case.id = Some(CaseId::new(uuid_v7(ms, &random)));
        }
        let mut played = Played { case: Case::default(), events: Vec::new(), notices: Vec::new(), deadlines: Vec::new(), work: Vec::new() };
        let mut command = request.command.as_ref();
        loop {
            self.commits += 1;
            let mut seed = [0u8; 32];
            seed.copy_from_slice(&sha256(format!("{}{}", request.key, self.commits).as_bytes()).as_bytes()[..32]);
            let outside = Outside { now: request.now, seed, me: &me, accounts: &self.accounts, printable: &|_| true, log: &self.log };
            let step: Decision = match clock_step(rules, &self.case, &outside, self.previous.take()) {
                Err(refusals) => return Ok(Err(refusals)),
                Ok(Some(decision)) => decision,
                Ok(None) => match command.take() {
                    None => break,
                    Some(command) => match command_step(rules, &self.case, &outside, command) {
                        Ok(decision) => decision,
                        Err(refusals) => return Ok(Err(refusals)),
                    },
                },
            };
            let mut decision = step;
            for (index, series, year) in decision.slots() {
                let last = self.numbers.entry((series.clone(), year)).or_insert(0);
                *last += 1;
                let form = self.definition.file.numbers[series.as_str()].form.clone();
                decision.number(index, *last, &form);
            }
            match follow(rules, &decision, &outside) {
                Err(refusals) => return Ok(Err(refusals)),
                Ok(consequences) => {
                    self.case = decision.case;
                    self.log.extend(decision.events.iter().cloned());
                    self.since.notices.extend(consequences.notices.iter().cloned());
                    self.since.deadlines.clone_from(&consequences.deadlines);
                    self.since.work.clone_from(&consequences.work);
                    played.events.extend(decision.events);
                    played.notices.extend(consequences.notices);
                    played.deadlines = consequences.deadlines;
                    played.work = consequences.work;
                }
            }
            if command.is_none() && request.command.is_some() {
                break;
            }
        }
        if played.deadlines.is_empty() {
            played.deadlines = crate::case::clock::runs(rules, &self.case);
        }
        played.case = self.case.clone();
        Ok(Ok(played))
    }

    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, String> {
        let rules = Rules { definition: self.definition, policy: &self.policy, calendar: self.calendar };
        // Nothing is decided, so no id is made and no chance is needed.
        let outside = Outside { now, seed: [0; 32], me, accounts: &self.accounts, printable: &|_| true, log: &self.log };
        Ok(allowed(rules, case, &outside))
    }
}
