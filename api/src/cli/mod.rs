//! The commands. Exit status: 0 done, 1 a negative answer (invalid, tampered, refused), 2 wrong use.
//!
//! Here: arguments, and what is printed. With `--json` standard output holds the JSON alone; logs go to standard error.

mod backup;
mod calendar;
mod check;
mod clock;
mod demo;
mod doctor;
mod graph;
mod migrate;
mod serve;
mod story;
mod user;
mod verify;
mod verify_database;
mod workflow;

use crate::config::{Config, Flags};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Workflow engine for mediating medical disputes (医疗纠纷人民调解).
#[derive(Debug, Parser)]
#[command(name = "heyi", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Examples:\n  heyi demo\n  heyi serve --sandbox --data ./training\n  heyi calendar deadline --from 2026-02-13 --working-days 30\n  heyi verify package.zip --key public-key.pem"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the scenarios from the hospital gate to the notary and the court, and leave letters and packages.
    Demo(demo::Demo),
    /// Serve the API (and, with --sandbox, the training room).
    Serve(serve::Serve),
    /// Check, play and draw workflow files.
    #[command(subcommand)]
    Workflow(workflow::Workflow),
    /// Count working days and deadlines, and say why.
    #[command(subcommand)]
    Calendar(calendar::Calendar),
    /// Check a package that a committee handed over (needs no server and no data folder), or a whole database.
    Verify(verify::Verify),
    /// Manage accounts.
    #[command(subcommand)]
    User(user::User),
    /// Write an installation into one file, while it is being used. Keys are not in it.
    Backup(backup::Backup),
    /// Put a backup into an empty data folder, and its rows into an empty database.
    Restore(backup::Restore),
    /// Carry an installation into another database. Files and keys stay in the data folder.
    Move(backup::Move),
    /// Tell whether the server believes its clock, and say that it may.
    Clock(clock::Clock),
    /// Look whether everything about an installation is in order, and say what to do where it is not.
    Doctor(doctor::Doctor),
    /// Show the settings in force, without secrets.
    #[command(after_help = "Example:\n  heyi config --data /srv/heyi")]
    Config {
        #[command(flatten)]
        place: Place,
        /// JSON instead of TOML.
        #[arg(long)]
        json: bool,
    },
    /// Print the API's description (OpenAPI 3.1), as the server has it at /openapi.json.
    Openapi,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  heyi completions bash > /etc/bash_completion.d/heyi")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which installation.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The settings file; else `heyi.toml` in the data folder, else in the current folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn flags(&self, listen: Option<SocketAddr>) -> Flags {
        Flags { config: self.config.clone(), data: self.data.clone(), listen }
    }

    fn read(&self, listen: Option<SocketAddr>) -> Result<Config, Failure> {
        Config::read(&self.flags(listen)).map_err(|error| Failure::usage(error.to_string()))
    }
}

/// The language of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Chinese
    #[value(name = "zh-CN", alias = "zh")]
    Chinese,
    /// English
    #[value(name = "en")]
    English,
}

impl Language {
    /// The language of the terminal's locale; English when it says neither.
    fn of_terminal() -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|v| std::env::var(v).ok().filter(|v| !v.is_empty()));
        if locale.is_some_and(|l| l.starts_with("zh")) { Self::Chinese } else { Self::English }
    }

    /// Its tag.
    fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en",
        }
    }

    /// One of two texts.
    pub(crate) fn pick<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        match self {
            Self::Chinese => zh,
            Self::English => en,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// A negative answer.
    fn negative(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
    /// Wrong use: arguments, settings.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::negative(error.to_string())
    }
}

type Outcome = Result<(), Failure>;

/// Runs a command line.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Demo(args) => on_runtime(args.run()),
        Command::Serve(args) => on_runtime(args.run()),
        Command::Workflow(args) => args.run(),
        Command::Calendar(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::User(args) => on_runtime(args.run()),
        Command::Backup(args) => on_runtime(args.run()),
        Command::Restore(args) => on_runtime(args.run()),
        Command::Move(args) => on_runtime(args.run()),
        Command::Clock(args) => on_runtime(args.run()),
        Command::Doctor(args) => on_runtime(args.run()),
        Command::Config { place, json } => config(&place, json),
        Command::Openapi => crate::rest::openapi().to_pretty_json().map(|text| println!("{text}")).map_err(Failure::from),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "heyi", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("heyi: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn on_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

fn config(place: &Place, json: bool) -> Outcome {
    let config = place.read(None)?;
    if json {
        println!("{}", serde_json::to_string(&config.without_secrets())?);
    } else {
        print!("{}", config.shown());
    }
    Ok(())
}
