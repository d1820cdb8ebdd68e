//! The log of a running server: readable lines or JSON, on standard error. It names cases by their ids and requests by
//! their numbers, and nobody by name: a test reads what a whole procedure leaves in it.

use crate::config::LogFormat;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// The environment variable that says how much is logged, such as `info` or `heyi_api=debug,info`.
pub const LEVEL: &str = "HEYI_LOG";

/// What is logged. `handlebars` would log what letters say, so it is kept quiet whatever the level.
#[must_use]
pub fn filter(level: Option<&str>) -> EnvFilter {
    let filter = level.and_then(|level| EnvFilter::try_new(level).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    filter.add_directive("handlebars=info".parse().unwrap_or_default())
}

/// Starts the log of this process.
pub fn start(format: LogFormat) {
    let level = std::env::var(LEVEL).ok();
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level.as_deref())).with_writer(std::io::stderr);
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(std::io::stderr().is_terminal()).try_init() };
}
