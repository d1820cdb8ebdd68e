//! `heyi workflow check` and `heyi workflow test`, and the door to `heyi workflow graph`: without a server, without a data folder.

use super::check::Check;
use super::graph::Graph;
use super::{Failure, Outcome};
use crate::shipped::{Source, Sources};
use clap::{Args, Subcommand};
use heyi_engine::case::Policy;
use heyi_engine::definition::Definition;
use heyi_engine::scenario::{MemoryDoor, Player, Scenario};
use serde_json::json;
use std::path::PathBuf;

/// Check, play and draw workflow files.
#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// Find every mistake in workflows, with file, line and key.
    #[command(after_help = "Examples:\n  heyi workflow check\n  heyi workflow check medical-dispute --workflows ./mine\n  heyi workflow check medical-dispute --longest\n  heyi workflow check mine --counterexamples ./plays && heyi workflow test mine --workflows ./plays")]
    Check(Check),
    /// Play the scenarios of workflows and say what is not as expected.
    #[command(after_help = "Examples:\n  heyi workflow test\n  heyi workflow test medical-dispute --json")]
    Test(Which),
    /// Draw workflows: each proceeding, and the whole.
    Graph(Graph),
    /// Move running cases to the version of a workflow that is in force now; without --apply, only say what would change.
    #[command(after_help = "Examples:\n  heyi workflow migrate medical-dispute --data /srv/heyi\n  heyi workflow migrate medical-dispute --data /srv/heyi --apply")]
    Migrate(super::migrate::Migrate),
    /// Print the JSON Schema of workflow files, for editors.
    Schema,
}

/// Which workflows.
#[derive(Debug, Args)]
pub struct Which {
    /// Names; all installed ones when left out.
    pub(super) names: Vec<String>,
    /// A folder whose workflows replace or join the shipped ones.
    #[arg(long, value_name = "DIR", env = "HEYI_WORKFLOWS")]
    pub(super) workflows: Option<PathBuf>,
    /// JSON alone on standard output.
    #[arg(long)]
    pub(super) json: bool,
}

impl Workflow {
    /// Runs it.
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Check(check) => check.run(),
            Self::Test(which) => which.test(),
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
    pub(super) fn sources(&self) -> Result<(Sources, Vec<Source>), Failure> {
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

    fn test(&self) -> Outcome {
        let (all, chosen) = self.sources()?;
        let mut results = Vec::new();
        let mut failed = 0;
        for source in &chosen {
            // What the check finds about behaviour can be played: that is how one sees it.
            let (definition, _) = source.read().map_err(|m| Failure::negative(m.join("\n")))?;
            for (name, text) in &source.scenarios {
                let failures = play(&all, source, &definition, text).unwrap_or_else(|error| vec![error]);
                if !failures.is_empty() {
                    failed += 1;
                }
                if !self.json {
                    println!("{} {}/{name}", if failures.is_empty() { "ok    " } else { "FAILED" }, source.name);
                    failures.iter().for_each(|f| println!("         {f}"));
                }
                results.push(json!({"workflow": source.name, "scenario": name, "failures": failures}));
            }
        }
        if self.json {
            println!("{}", json!({"scenarios": results, "failed": failed}));
        } else {
            println!("{} scenario(s), {failed} failed", results.len());
        }
        if failed == 0 { Ok(()) } else { Err(Failure::negative("")) }
    }
}

/// Plays a scenario in memory.
fn play(all: &Sources, source: &Source, definition: &Definition, text: &str) -> Result<Vec<String>, String> {
    let scenario = Scenario::parse(text, definition).map_err(|m| m.to_string())?;
    let calendar = all.calendar(&definition.file.calendar).map_err(|m| m.join("\n"))?;
    let policy = Policy::of(definition, &scenario.policy).map_err(|m| m.join("\n"))?;
    let accounts = source.cast(definition).map_err(|m| m.join("\n"))?.accounts();
    let mut door = MemoryDoor::new(definition, policy, &calendar, accounts.values().cloned().collect());
    let mut player = Player::new(&scenario, definition, &accounts);
    let mut failures = Vec::new();
    while let Some(report) = player.step(&mut door) {
        let report = report?;
        failures.extend(report.failures.iter().map(|f| format!("step {}: {f}", report.number)));
    }
    Ok(failures)
}
