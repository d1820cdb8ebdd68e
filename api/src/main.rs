//! `heyi`: one binary for a county office and for a province.

use clap::Parser as _;
use heyi_api::cli::{Cli, run};
use std::process::ExitCode;

/// A decision makes and drops many small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    quiet_on_closed_pipe();
    run(Cli::parse())
}

/// `heyi … | head` ends like any other program whose reader has gone: without a word.
fn quiet_on_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(141);
        }
        usual(panic);
    }));
}
