//! `heyi workflow check` and `heyi workflow test`, and the door to `heyi workflow graph`: without a server, without a data folder.

use super::graph::Graph;
use super::{Failure, Outcome};
use crate::shipped::{Source, Sources};
use clap::{Args, Subcommand};
use heyi_engine::case::Policy;
use heyi_engine::definition::Definition;
use heyi_engine::scenario::coverage::{Report, alike, sequence};
use heyi_engine::scenario::record::differs;
use heyi_engine::scenario::rehearsal::{self, Act};
use heyi_engine::scenario::{Coverage, Scenario};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Check, play and draw workflow files.
#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// Find every mistake in workflows, with file, line and key.
    #[command(after_help = "Examples:\n  heyi workflow check\n  heyi workflow check medical-dispute --workflows ./mine")]
    Check(Which),
    /// Play the scenarios of workflows and say what is not as expected, or not as recorded.
    #[command(
        after_help = "Examples:\n  heyi workflow test\n  heyi workflow test medical-dispute --coverage\n  heyi workflow test --record --workflows ./mine"
    )]
    Test(Test),
    /// Draw workflows: each proceeding, and the whole.
    Graph(Graph),
    /// Move running cases to the version of a workflow that is in force now; without --apply, only say what would change.
    #[command(
        after_help = "Examples:\n  heyi workflow migrate medical-dispute --data /srv/heyi\n  heyi workflow migrate medical-dispute --data /srv/heyi --apply"
    )]
    Migrate(super::migrate::Migrate),
    /// Print the JSON Schema of workflow files, for editors.
    Schema,
}

/// Which workflows.
#[derive(Debug, Args)]
pub struct Which {
    /// Names; all installed ones when left out.
    names: Vec<String>,
    /// A folder whose workflows replace or join the shipped ones.
    #[arg(long, value_name = "DIR", env = "HEYI_WORKFLOWS")]
    workflows: Option<PathBuf>,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
}

/// What to play, and what to make of it.
#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    which: Which,
    /// Say how much of each workflow its scenarios take, and name what they do not.
    #[arg(long)]
    coverage: bool,
    /// Write what each scenario does into the folder given by --workflows, as its record from now on.
    #[arg(long)]
    record: bool,
}

impl Workflow {
    /// Runs it.
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Check(which) => which.check(),
            Self::Test(test) => test.run(),
            Self::Graph(graph) => graph.run(),
            Self::Migrate(args) => super::on_runtime(args.run()),
            Self::Schema => {
                println!("{}", serde_json::to_string_pretty(&heyi_engine::definition::json_schema())?);
                Ok(())
            }
        }
    }
}

impl Which {
    fn sources(&self) -> Result<(Sources, Vec<Source>), Failure> {
        let all = Sources::read(self.workflows.as_deref()).map_err(|m| Failure::usage(m.join("\n")))?;
        let mut chosen = Vec::new();
        for name in &self.names {
            let found = all.workflows.get(name).cloned().ok_or_else(|| {
                let near = heyi_engine::definition::nearest(name, all.workflows.keys().map(String::as_str));
                let hint = near.map_or_else(
                    || format!("installed: {}", all.workflows.keys().cloned().collect::<Vec<_>>().join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                Failure::usage(format!("there is no workflow `{name}` ({hint})"))
            })?;
            chosen.push(found);
        }
        if chosen.is_empty() {
            chosen = all.workflows.values().cloned().collect();
        }
        Ok((all, chosen))
    }

    fn check(&self) -> Outcome {
        let (all, chosen) = self.sources()?;
        let mut findings = Vec::new();
        for source in &chosen {
            match source.definition() {
                Err(more) => findings.extend(more),
                Ok(definition) => {
                    findings.extend(all.calendar(&definition.file.calendar).err().into_iter().flatten());
                    findings.extend(source.cast(&definition).err().into_iter().flatten());
                    for (name, text) in &source.scenarios {
                        let parsed = Scenario::parse(text, &definition);
                        findings.extend(parsed.err().into_iter().flat_map(|m| m.0).map(|m| format!("{}/scenarios/{name}.yaml:{m}", source.name)));
                    }
                }
            }
        }
        if self.json {
            println!("{}", json!({"workflows": chosen.iter().map(|s| &s.name).collect::<Vec<_>>(), "findings": findings}));
        } else {
            findings.iter().for_each(|f| println!("{f}"));
            println!("{} workflow(s), {} finding(s)", chosen.len(), findings.len());
        }
        if findings.is_empty() { Ok(()) } else { Err(Failure::negative("")) }
    }
}

impl Test {
    fn run(&self) -> Outcome {
        let folder = match (self.record, &self.which.workflows) {
            (false, _) => None,
            (true, Some(folder)) => Some(folder.as_path()),
            (true, None) => return Err(Failure::usage("--record needs --workflows DIR: the folder that records are written into")),
        };
        let (all, chosen) = self.which.sources()?;
        let (mut results, mut covered, mut failed, mut written) = (Vec::new(), Vec::new(), 0, 0);
        for source in &chosen {
            let definition = source.definition().map_err(|m| Failure::negative(m.join("\n")))?;
            let mut coverage = Coverage::default();
            let mut sequences = BTreeMap::new();
            for (name, text) in &source.scenarios {
                let mut moves = Vec::new();
                let look = |act: &Act| {
                    coverage.watch(&act.seen);
                    moves.extend(sequence(&act.seen));
                };
                let (mut failures, now) = play(&all, source, &definition, text, look).unwrap_or_else(|error| (vec![error], String::new()));
                sequences.insert(name.clone(), moves);
                match (folder, source.records.get(name)) {
                    (Some(folder), _) if failures.is_empty() => {
                        write_record(&folder.join(&source.name).join("records"), name, &now)?;
                        written += 1;
                    }
                    (None, Some(recorded)) => failures.extend(differs(recorded, &now).map(|d| d.to_string())),
                    _ => {}
                }
                failed += usize::from(!failures.is_empty());
                self.tell(&format!("{}/{name}", source.name), &failures);
                results.push(json!({"workflow": source.name, "scenario": name, "failures": failures}));
            }
            for name in source.records.keys().filter(|name| !source.scenarios.contains_key(*name)) {
                let failures = ["a record of no scenario".to_owned()];
                failed += 1;
                self.tell(&format!("{}/{name}", source.name), &failures);
                results.push(json!({"workflow": source.name, "scenario": name, "failures": failures}));
            }
            covered.push((source.name.clone(), coverage.report(&definition), alike(&sequences)));
        }
        if self.which.json {
            let mut out = json!({"scenarios": results, "failed": failed});
            if self.coverage {
                out["coverage"] = covered.iter().map(|(name, report, alike)| coverage_json(name, report, alike)).collect();
            }
            println!("{out}");
        } else {
            if self.coverage {
                covered.iter().for_each(|(name, report, alike)| tell_coverage(name, report, alike));
            }
            if self.record {
                println!("{written} record(s) written");
            }
            println!("{} scenario(s), {failed} failed", results.len());
        }
        if failed == 0 { Ok(()) } else { Err(Failure::negative("")) }
    }

    fn tell(&self, name: &str, failures: &[String]) {
        if !self.which.json {
            println!("{} {name}", if failures.is_empty() { "ok    " } else { "FAILED" });
            failures.iter().for_each(|f| println!("         {f}"));
        }
    }
}

fn write_record(folder: &Path, name: &str, text: &str) -> Outcome {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{name}.txt")), text)?;
    Ok(())
}

fn coverage_json(workflow: &str, report: &Report, alike: &[Vec<String>]) -> serde_json::Value {
    let mut out = json!({"workflow": workflow, "alike": alike});
    for (part, share) in report.parts() {
        out[part] = json!({"taken": share.taken, "all": share.all, "percent": share.percent(), "missing": share.missing});
    }
    out
}

fn tell_coverage(workflow: &str, report: &Report, alike: &[Vec<String>]) {
    println!("{workflow}");
    for (part, share) in report.parts() {
        println!("  {part:12} {:>6} %  {} of {}", share.percent(), share.taken, share.all);
        share.missing.iter().for_each(|name| println!("               not taken: {name}"));
    }
    for names in alike {
        println!("  the same transitions in the same order: {}", names.join(", "));
    }
}

/// Plays a scenario in memory: what is not as expected, and what it does.
fn play(all: &Sources, source: &Source, definition: &Definition, text: &str, look: impl FnMut(&Act)) -> Result<(Vec<String>, String), String> {
    let scenario = Scenario::parse(text, definition).map_err(|m| m.to_string())?;
    let calendar = all.calendar(&definition.file.calendar).map_err(|m| m.join("\n"))?;
    let policy = Policy::of(definition, &scenario.policy).map_err(|m| m.join("\n"))?;
    let cast = source.cast(definition).map_err(|m| m.join("\n"))?;
    Ok(rehearsal::play(&scenario, definition, policy, &calendar, &cast, look))
}
