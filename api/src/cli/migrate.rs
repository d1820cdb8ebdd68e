//! `heyi workflow migrate`: what a newer version of a workflow would do to the cases that run under an older one, and
//! the move itself. All of them move, or none.

use super::{Failure, Outcome, Place};
use crate::state::{App, Mode, engine_account};
use clap::Args;
use heyi_engine::case::migrate::Plan;
use heyi_engine::ids::CaseId;
use serde_json::json;
use std::path::PathBuf;

/// Move running cases to the version in force.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The workflow.
    name: String,
    #[command(flatten)]
    place: Place,
    /// A folder whose workflows replace or join the shipped ones.
    #[arg(long, value_name = "DIR", env = "HEYI_WORKFLOWS")]
    workflows: Option<PathBuf>,
    /// Move them. Without this nothing is written.
    #[arg(long)]
    apply: bool,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
}

impl Migrate {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        let mut config = self.place.read(None)?;
        config.workflows = self.workflows.or(config.workflows);
        let app = App::open(config, Mode::Either).await?;
        let me = engine_account();
        let plans = app.engine.migration(&self.name, &me).await?;
        let stranded = plans.iter().filter(|(_, plan)| !plan.stranded.is_empty()).count();
        if self.json {
            let cases: Vec<_> = plans.iter().map(|(id, plan)| json!({"case": id, "reference": id.reference(), "plan": plan})).collect();
            println!("{}", json!({"workflow": self.name, "cases": cases, "stranded": stranded, "applied": self.apply && stranded == 0}));
        } else {
            plans.iter().for_each(|(id, plan)| tell(*id, plan));
            println!("{} running case(s) under other versions, {stranded} of them stranded", plans.len());
        }
        if stranded > 0 {
            return Err(Failure::negative(
                "nothing was moved: name the missing states under `migrates` in the workflow, or let these cases end first",
            ));
        }
        if self.apply {
            for (id, _) in &plans {
                app.engine.migrate(*id, &me).await?;
            }
            if !self.json {
                println!("{} case(s) moved", plans.len());
            }
        } else if !self.json && !plans.is_empty() {
            println!("Nothing was written; --apply moves them.");
        }
        Ok(())
    }
}

fn tell(id: CaseId, plan: &Plan) {
    println!("{}", id.reference());
    for state in &plan.states {
        println!("    {} {}: {} -> {}", state.proceeding, state.kind, state.from, state.to);
    }
    for deadline in &plan.deadlines {
        let day = |d: Option<chrono::NaiveDate>| d.map_or_else(|| "none".to_owned(), |d| d.to_string());
        println!("    {} {}: {} -> {}", deadline.proceeding, deadline.deadline, day(deadline.from), day(deadline.to));
    }
    for why in &plan.stranded {
        println!("    stranded: {why}");
    }
}
