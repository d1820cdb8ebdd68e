//! The exact record of a play as a short text: what each step did, and what each account may do after it that it could
//! not before. Any change of behaviour shows as a changed line, to be read like code.
//!
//! It names kinds, roles, sides and dates, never a person, a text of the case or an id.

use super::play::{Played, StepReport, code};
use crate::case::event::{Acted, Answer, Event, Moved, What, Who};
use crate::case::{Case, clock};
use crate::definition::Definition;
use crate::ids::ProceedingId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What accounts may do, by account.
pub type Open<'a> = BTreeMap<&'a str, BTreeSet<String>>;

/// Writes the record of one play.
pub struct Recorder<'a> {
    definition: &'a Definition,
    deadlines: BTreeMap<String, String>,
    work: BTreeMap<String, usize>,
    open: BTreeMap<String, BTreeSet<String>>,
    stage: String,
}

/// One step, as the record shows it.
pub struct Step<'a> {
    /// Who was at the keyboard, and the action; none when time only passed.
    pub doing: Option<(&'a str, &'a str)>,
    /// What came of it.
    pub report: &'a StepReport,
    /// Everything that happened since the step before, whether or not the step was refused.
    pub seen: &'a Played,
    /// What each account may do after it.
    pub open: &'a Open<'a>,
}

impl<'a> Recorder<'a> {
    /// A record at its beginning.
    #[must_use]
    pub fn new(definition: &'a Definition) -> Self {
        Self { definition, deadlines: BTreeMap::new(), work: BTreeMap::new(), open: BTreeMap::new(), stage: String::new() }
    }

    /// The lines of one step.
    pub fn step(&mut self, step: &Step<'_>) -> String {
        let mut out = String::new();
        let at = step.report.at.format("%Y-%m-%d %H:%M");
        let doing = step.doing.map_or_else(|| "time passes".to_owned(), |(who, action)| format!("{who} {action}"));
        let _ = writeln!(out, "{} | {at} | {doing}", step.report.number);
        let mut line = |text: String| {
            let _ = writeln!(out, "    {text}");
        };
        let case = &step.seen.case;
        step.seen.events.iter().for_each(|event| line(told_event(case, event)));
        if let Err(refusals) = &step.report.outcome {
            refusals.iter().for_each(|r| line(format!("refused {}: {}", code(r.code), masked(&r.what))));
        }
        let mut notices: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for notice in &step.seen.notices {
            *notices.entry(&notice.kind).or_default().entry(&notice.recipient.as_).or_default() += 1;
        }
        for (notice, to) in &notices {
            line(format!("told {notice}: {}", to.iter().map(|(as_, n)| times(as_, *n)).collect::<Vec<_>>().join(", ")));
        }
        let stage = if case.version == 0 { "" } else { case.stage(self.definition).unwrap_or("closed") };
        if stage != self.stage {
            line(format!("stage {stage}"));
            stage.clone_into(&mut self.stage);
        }
        let deadlines = step.seen.deadlines.iter().map(|run| (run_label(case, run), run_text(self.definition, run))).collect();
        for (name, _) in self.deadlines.iter().filter(|(name, _)| !BTreeMap::contains_key(&deadlines, *name)) {
            line(format!("clock {name}: gone"));
        }
        for (name, text) in deadlines.iter().filter(|(name, text)| self.deadlines.get(*name) != Some(*text)) {
            line(format!("clock {name}: {text}"));
        }
        self.deadlines = deadlines;
        let mut work: BTreeMap<String, usize> = BTreeMap::new();
        for item in &step.seen.work {
            let what = item.key.strip_prefix(&format!("{}:", item.proceeding)).unwrap_or("serve");
            *work.entry(format!("{}: {} ({what})", label(case, item.proceeding), item.for_)).or_default() += 1;
        }
        for (text, n) in self.work.iter().filter(|(text, n)| work.get(*text) != Some(*n) && !work.contains_key(*text)) {
            line(format!("- work {}", times(text, *n)));
        }
        for (text, n) in work.iter().filter(|(text, n)| self.work.get(*text) != Some(*n)) {
            line(format!("+ work {}", times(text, *n)));
        }
        self.work = work;
        self.may(step.open, &mut line);
        out
    }

    /// What has opened and what has closed, those together to whom the same happened.
    fn may(&mut self, open: &Open<'_>, line: &mut impl FnMut(String)) {
        let none = BTreeSet::new();
        let mut changes: BTreeMap<(char, Vec<&String>), Vec<&str>> = BTreeMap::new();
        for (account, now) in open {
            let before = self.open.get(*account).unwrap_or(&none);
            for (sign, change) in [('+', now.difference(before)), ('-', before.difference(now))] {
                let actions: Vec<&String> = change.collect();
                if !actions.is_empty() {
                    changes.entry((sign, actions)).or_default().push(account);
                }
            }
        }
        for ((sign, actions), accounts) in changes {
            let actions: Vec<&str> = actions.into_iter().map(String::as_str).collect();
            line(format!("{sign} {}: {}", accounts.join(", "), actions.join(", ")));
        }
        self.open = open.iter().map(|(name, actions)| ((*name).to_owned(), actions.clone())).collect();
    }
}

/// `obligation`, and `obligation#2` for the second of its kind.
fn label(case: &Case, id: ProceedingId) -> String {
    let Some(p) = case.proceedings.get(&id) else { return "?".to_owned() };
    match case.proceedings.values().filter(|q| q.kind == p.kind).position(|q| q.id == id) {
        Some(0) | None => p.kind.clone(),
        Some(n) => format!("{}#{}", p.kind, n + 1),
    }
}

fn run_label(case: &Case, run: &clock::Run) -> String {
    let of = label(case, run.id.proceeding);
    let place = of.split_once('#').map(|(_, n)| format!("#{n}")).unwrap_or_default();
    format!("{}{place}", run.id.deadline)
}

fn run_text(definition: &Definition, run: &clock::Run) -> String {
    use crate::calendar::Outcome;
    let mut out = match run.due.as_ref().map(|d| (&d.outcome, d.total)) {
        None => "not countable".to_owned(),
        Some((Outcome::Running { last_day, .. }, _)) => last_day.to_string(),
        Some((Outcome::Paused { used, .. }, total)) => format!("paused, {used} of {total} used"),
    };
    if run.id.nth > 1 {
        let _ = write!(out, ", number {}", run.id.nth);
    }
    if let Some(at) = run.acts_at.filter(|at| Some(*at) != run.due_at()) {
        let _ = write!(out, ", acts {}", at.with_timezone(&definition.zone).format("%Y-%m-%d %H:%M"));
    }
    if run.is_provisional() {
        out.push_str(", provisional");
    }
    if run.held {
        out.push_str(", held");
    }
    if run.fired {
        out.push_str(", done");
    }
    out
}

fn told_event(case: &Case, event: &Event) -> String {
    let later = if event.legal_at.date() == event.recorded_at.date_naive() { String::new() } else { format!(", as of {}", event.legal_at.date()) };
    let of = |id: ProceedingId| label(case, id);
    let by_whom = by(&event.acted);
    match &event.what {
        What::Moved(moved) => format!("{}{later}", told_move(&of(moved.proceeding), moved, &event.acted)),
        What::Recorded { set } => format!("facts {}, by {by_whom}{later}", set.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")),
        What::PersonRecorded { side, party, .. } => format!("person of {side}{}, by {by_whom}", if *party { "" } else { ", an agent" }),
        What::FileAttached { paper, proceeding, .. } => {
            format!("file {} of {}, by {by_whom}", paper.as_deref().unwrap_or("without a kind"), of(*proceeding))
        }
        What::Seated { seat, .. } => format!("seat {seat} filled, by {by_whom}{later}"),
        What::Vacated { seat, .. } => format!("seat {seat} emptied, by {by_whom}{later}"),
        What::Consented { purpose, given, .. } => {
            format!("consent {purpose} {} by {}{later}", if *given { "given" } else { "withdrawn" }, by(&event.acted))
        }
        What::Assented { proceeding, answer, .. } => {
            let word = match answer {
                Answer::Given => "given",
                Answer::Refused => "refused",
                Answer::Withdrawn => "withdrawn",
            };
            format!("assent to {} {word} by {}{later}", of(*proceeding), by(&event.acted))
        }
        What::ServiceRecorded { outcome, channel, .. } => {
            let outcome = serde_json::to_value(outcome).ok().and_then(|v| v.as_str().map(|t| t.replace('_', " ")));
            format!("service {}, {}, by {by_whom}", outcome.unwrap_or_default(), channel.replace('_', " "))
        }
        What::RoundLapsed { proceeding } => format!("round of {} lapsed{later}", of(*proceeding)),
        What::DeadlineFired { run, last_day, moved, late_minutes, .. } => {
            let late = if *late_minutes == 0 { String::new() } else { format!(", {late_minutes} minutes late") };
            let then = if *moved { "fires" } else { "fires nothing" };
            format!("due {} of {}, last day {last_day}: {then}{late}", run.deadline, of(run.proceeding))
        }
        What::DeadlineWarned { run, before, last_day, .. } => {
            format!("warning {} of {}, {before} before {last_day}", run.deadline, of(run.proceeding))
        }
        What::CalendarChanged { changed } => {
            let day = |d: &Option<chrono::NaiveDate>| d.map_or_else(|| "none".to_owned(), |d| d.to_string());
            let all: Vec<String> = changed.iter().map(|c| format!("{} {} → {}", c.run.deadline, day(&c.old), day(&c.new))).collect();
            format!("calendar changed: {}", all.join(", "))
        }
        What::Sent { proceeding, action, .. } => format!("sends {action} for {} to another case", of(*proceeding)),
        What::Undone { undone, states, void, recalls, .. } => {
            let states: Vec<String> = states.iter().map(|(id, state)| format!("{} is {}", of(*id), state.as_deref().unwrap_or("no more"))).collect();
            let void = if void.is_empty() { String::new() } else { format!(", void {}", void.join(", ")) };
            format!("undone {} events: {}{void}, {} letters called back", undone.len(), states.join(", "), recalls.len())
        }
        What::Corrected { dates, set, recalls, .. } => {
            let dates: Vec<String> = dates.iter().map(|(_, at)| at.date().to_string()).collect();
            let set: Vec<&str> = set.iter().map(|s| s.name.as_str()).collect();
            format!("corrected: dates {}; sets {}; {} letters corrected", dates.join(", "), set.join(", "), recalls.len())
        }
        other => {
            let tag = serde_json::to_value(other).ok().and_then(|v| v["type"].as_str().map(|t| t.replace('_', " ")));
            format!("{}{later}", tag.unwrap_or_default())
        }
    }
}

fn told_move(label: &str, moved: &Moved, acted: &Acted) -> String {
    let mut out = format!("{label}.{}: ", moved.transition);
    match &moved.from {
        Some(from) if *from == moved.to => out.push_str(from),
        Some(from) => {
            let _ = write!(out, "{from} → {}", moved.to);
        }
        None => {
            let _ = write!(out, "→ {}", moved.to);
        }
    }
    let _ = write!(out, ", by {}", by(acted));
    if !moved.set.is_empty() {
        let _ = write!(out, ", sets {}", moved.set.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", "));
    }
    if let Some(number) = &moved.number {
        let _ = write!(out, ", number {}", number.text);
    }
    if !moved.forms.is_empty() {
        let _ = write!(out, ", prints {}", moved.forms.join(", "));
    }
    out
}

/// As what it was done, and whether on paper.
fn by(acted: &Acted) -> String {
    let as_ = match acted.who {
        Who::Clock => "the clock",
        Who::Rule => "rule",
        _ => &acted.as_,
    };
    if acted.evidence.is_empty() { as_.to_owned() } else { format!("{as_} on paper") }
}

fn times(text: &str, n: usize) -> String {
    if n == 1 { text.to_owned() } else { format!("{text} ×{n}") }
}

/// A text in which ids are left out: they differ from play to play.
fn masked(text: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) && word.matches('-').count() == 4;
    text.split(' ').map(|word| if is_id(word) { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

/// The first line in which two records differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its number, from 1.
    pub line: usize,
    /// What the record says; none when it ends before.
    pub recorded: Option<String>,
    /// What happens now; none when it ends before.
    pub now: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |line: &Option<String>| line.as_ref().map_or_else(|| "nothing more".to_owned(), |l| format!("`{}`", l.trim()));
        write!(f, "line {} of the record says {}, now it is {}", self.line, told(&self.recorded), told(&self.now))
    }
}

/// Holds what happens now against a record.
#[must_use]
pub fn differs(recorded: &str, now: &str) -> Option<Difference> {
    let (mut old, mut new) = (recorded.lines(), now.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (old.next(), new.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some(Difference { line, recorded: a.map(str::to_owned), now: b.map(str::to_owned) }),
        }
    }
}
