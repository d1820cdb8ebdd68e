//! `heyi calendar deadline`: a last day, and why it is that day.

use super::{Failure, Outcome};
use crate::shipped::Sources;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use heyi_engine::calendar::{Length, Outcome as Count, Rule, Unit, due};
use serde_json::json;
use std::path::PathBuf;

/// Count working days.
#[derive(Debug, Subcommand)]
pub enum Calendar {
    /// The last day of a period, with each skipped day.
    Deadline(Deadline),
}

/// The last day of a period that starts after a day.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("length").required(true).args(["working_days", "calendar_days"]))]
#[command(
    after_help = "Examples:\n  heyi calendar deadline --from 2026-02-13 --working-days 30\n  heyi calendar deadline --from 2026-01-20 --calendar-days 30 --roll --json"
)]
pub struct Deadline {
    /// The day that is not counted itself, as 2026-02-13.
    #[arg(long, value_name = "DATE")]
    from: NaiveDate,
    /// How many working days (工作日).
    #[arg(long, value_name = "N")]
    working_days: Option<u32>,
    /// How many calendar days.
    #[arg(long, value_name = "N")]
    calendar_days: Option<u32>,
    /// Move a last day that is no working day to the next one (民法典 203).
    #[arg(long)]
    roll: bool,
    /// The calendar.
    #[arg(long, default_value = "china")]
    calendar: String,
    /// A folder whose calendars replace the shipped ones.
    #[arg(long, value_name = "DIR", env = "HEYI_WORKFLOWS")]
    workflows: Option<PathBuf>,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
}

impl Calendar {
    /// Runs it.
    pub(super) fn run(self) -> Outcome {
        let Self::Deadline(args) = self;
        let sources = Sources::read(args.workflows.as_deref()).map_err(|m| Failure::usage(m.join("\n")))?;
        let calendar = sources.calendar(&args.calendar).map_err(|m| Failure::usage(m.join("\n")))?;
        let (n, unit) = match (args.working_days, args.calendar_days) {
            (Some(n), _) => (n, Unit::WorkingDays),
            (_, n) => (n.unwrap_or(0), Unit::CalendarDays),
        };
        let length = Length::new(n, unit).map_err(|e| Failure::usage(e.to_string()))?;
        let rule = Rule { roll: args.roll, ..Rule::new(args.from, &length) };
        let due = due(&calendar, Tz::Asia__Shanghai, &rule).map_err(|e| Failure::negative(e.to_string()))?;
        let Count::Running { last_day, .. } = due.outcome else { return Err(Failure::negative("the count does not end")) };
        let name = |reason: &str| calendar.holiday_name(reason, "zh-CN").to_owned();
        if args.json {
            let skipped: Vec<_> = due
                .skipped
                .iter()
                .map(|s| json!({"date": s.date, "reason": s.reason.to_string(), "name": name(&s.reason.to_string()), "rolled": s.rolled}))
                .collect();
            let answer = json!({
                "deadline": last_day, "provisional": due.provisional, "skipped": skipped, "make_up": due.make_up,
                "from": args.from, "length": length, "roll": args.roll, "calendar": {"name": calendar.name(), "digest": calendar.digest(), "published_until": calendar.last_published()},
            });
            println!("{answer}");
            return Ok(());
        }
        println!("{last_day} ({}) is the last day that is still in time: {length} after {}, which is not counted.", last_day.format("%A"), args.from);
        if due.provisional {
            println!("Provisional: the schedule is published until {}; load the next year's calendar when it appears.", calendar.last_published());
        }
        for skipped in &due.skipped {
            let why = match skipped.reason.to_string().as_str() {
                "weekend" => "weekend".to_owned(),
                key => format!("{} ({})", name(key), calendar.holiday_name(key, "en")),
            };
            println!("  {} {}  {}{why}", skipped.date, skipped.date.format("%a"), if skipped.rolled { "rolled over: " } else { "not counted: " });
        }
        for day in &due.make_up {
            println!("  {day} {}  counted: a weekend day worked in exchange (调休)", day.format("%a"));
        }
        Ok(())
    }
}
