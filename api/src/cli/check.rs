//! `heyi workflow check`: what is wrong with workflows, how long they may take, and plays that show it.

use super::workflow::Which;
use super::{Failure, Outcome};
use crate::shipped::{Source, Sources};
use crate::templates::{Templates, shapes};
use clap::Args;
use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition::Definition;
use heyi_engine::definition::check::{Report, longest};
use heyi_engine::library::Library;
use heyi_engine::scenario::{Cast, Scenario, find};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Find every mistake in workflows, with file, line and key.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    which: Which,
    /// Say how long a case may lawfully take at most, by which path, and what makes it longer than any number.
    #[arg(long)]
    longest: bool,
    /// Write for each finding about behaviour a scenario that shows it: `heyi workflow test --workflows DIR` plays it.
    #[arg(long, value_name = "DIR")]
    counterexamples: Option<PathBuf>,
    /// A folder whose templates replace the shipped ones.
    #[arg(long, value_name = "DIR", env = "HEYI_TEMPLATES")]
    templates: Option<PathBuf>,
}

/// All that is said.
#[derive(Default)]
struct Said {
    findings: Vec<String>,
    notes: Vec<String>,
    longest: Map<String, Json>,
    lines: Vec<String>,
    plays: Vec<Json>,
}

/// A workflow that can be read, with what belongs to it.
struct Read<'s> {
    source: &'s Source,
    definition: Definition,
    report: Report,
}

impl Check {
    /// Runs it.
    pub(super) fn run(&self) -> Outcome {
        let (all, chosen) = self.which.sources()?;
        let mut said = Said::default();
        let mut sound = Vec::new();
        for source in &chosen {
            match source.read() {
                Err(more) => said.findings.extend(more),
                Ok((definition, report)) => {
                    let read = Read { source, definition, report };
                    self.one(&all, &read, &mut said)?;
                    sound.push(read.definition);
                }
            }
        }
        said.findings.extend(letters(&all, sound, self.templates.as_deref()));
        self.tell(&chosen, &said);
        if said.findings.is_empty() { Ok(()) } else { Err(Failure::negative("")) }
    }

    fn one(&self, all: &Sources, read: &Read<'_>, said: &mut Said) -> Result<(), Failure> {
        let Read { source, definition, report } = read;
        said.findings.extend(report.findings.iter().map(|f| format!("{}/workflow.yaml:{}", source.name, f.mistake)));
        said.notes.extend(report.notes.iter().map(|n| format!("{}/workflow.yaml: {n}", source.name)));
        for (name, text) in &source.scenarios {
            let parsed = Scenario::parse(text, definition);
            said.findings.extend(parsed.err().into_iter().flat_map(|m| m.0).map(|m| format!("{}/scenarios/{name}.yaml:{m}", source.name)));
        }
        let (cast, calendar) = match (source.cast(definition), all.calendar(&definition.file.calendar)) {
            (Ok(cast), Ok(calendar)) => (cast, calendar),
            (cast, calendar) => {
                said.findings.extend(cast.err().into_iter().chain(calendar.err()).flatten());
                return Ok(());
            }
        };
        if self.longest {
            let answer = longest::longest(definition, &calendar);
            said.lines.push(format!("{}: {answer}", source.name));
            said.longest.insert(source.name.clone(), serde_json::to_value(&answer)?);
        }
        if let Some(folder) = &self.counterexamples {
            plays(folder, all, read, &calendar, &cast, said)?;
        }
        Ok(())
    }

    fn tell(&self, chosen: &[Source], said: &Said) {
        if self.which.json {
            let mut out = json!({"workflows": chosen.iter().map(|s| &s.name).collect::<Vec<_>>(), "findings": said.findings});
            if !said.notes.is_empty() {
                out["notes"] = json!(said.notes);
            }
            if self.longest {
                out["longest"] = Json::Object(said.longest.clone());
            }
            if self.counterexamples.is_some() {
                out["counterexamples"] = json!(said.plays);
            }
            println!("{out}");
            return;
        }
        said.findings.iter().for_each(|f| println!("{f}"));
        said.notes.iter().for_each(|n| println!("note: {n}"));
        said.lines.iter().for_each(|l| println!("{l}"));
        println!("{} workflow(s), {} finding(s)", chosen.len(), said.findings.len());
    }
}

/// Writes a play for each finding that has one, beside the workflow and all that playing it needs.
fn plays(folder: &Path, all: &Sources, read: &Read<'_>, calendar: &Calendar, cast: &Cast, said: &mut Said) -> Result<(), Failure> {
    let Read { source, definition, report } = read;
    let below = folder.join(&source.name);
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for finding in &report.findings {
        let question = serde_json::to_value(finding.question)?.as_str().unwrap_or_default().replace('_', "-");
        let number = numbers.entry(question.clone()).or_default();
        *number += 1;
        let name = format!("{question}-{number}");
        let where_ = format!("{}/workflow.yaml:{}:{}: {}", source.name, finding.mistake.line, finding.mistake.column, finding.mistake.key);
        match find::counterexample(definition, finding, calendar, cast, &name) {
            Err(why) => {
                said.lines.push(format!("{where_}: no scenario: {why}"));
                said.plays.push(json!({"finding": where_, "file": null, "why": why}));
            }
            Ok(scenario) => {
                let file = below.join("scenarios").join(format!("{name}.yaml"));
                write(&file, &find::written(&scenario))?;
                said.lines.push(format!("{where_}: shown by {}", file.display()));
                said.plays.push(json!({"finding": where_, "file": file}));
            }
        }
    }
    if report.findings.is_empty() {
        return Ok(());
    }
    write(&below.join("workflow.yaml"), &source.workflow)?;
    if let Some(cast) = &source.cast {
        write(&below.join("cast.yaml"), cast)?;
    }
    if let Some(text) = all.calendars.get(&definition.file.calendar) {
        write(&folder.join("calendars").join(format!("{}.yaml", definition.file.calendar)), text)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, text).map_err(failed)
}

/// Every notice has its letter in each language, with data that are there: what `heyi serve` asks before it listens.
fn letters(all: &Sources, definitions: Vec<Definition>, folder: Option<&Path>) -> Vec<String> {
    let mut library = Library::default();
    let calendars: BTreeSet<String> = definitions.iter().map(|d| d.file.calendar.clone()).collect();
    // A calendar that cannot be read was told already.
    calendars.iter().filter_map(|c| all.calendar(c).ok()).for_each(|c| library.add_calendar(c));
    for definition in definitions {
        if let Ok(policy) = Policy::of(&definition, &BTreeMap::new()) {
            // Without its calendar a workflow is not installed; that was told too.
            let _ = library.add_workflow(definition, policy);
        }
    }
    let shapes = match shapes::of(&library) {
        Ok(shapes) => shapes,
        Err(mistakes) => return mistakes,
    };
    match Templates::load(&shapes, &["zh-CN", "en"], folder) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(|m| format!("templates/{m}")).collect(),
    }
}
