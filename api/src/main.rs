//! `heyi`: one binary for a county office and for a province.

use clap::Parser as _;
use heyi_api::cli::{Cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(Cli::parse())
}
