//! The log of a running server: readable lines or JSON, on standard error. It names cases by their ids and requests by
//! their numbers, and nobody by name: a test reads what a whole procedure leaves in it.

use crate::config::LogFormat;
use crate::telemetry::Spans;
use std::io::IsTerminal as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

/// The environment variable that says how much is logged, such as `info` or `heyi_api=debug,info`.
pub const LEVEL: &str = "HEYI_LOG";

/// Kept quiet whatever the level: the one would log what letters say, the other a password on its way.
const QUIET: [&str; 2] = ["handlebars=info", "async_imap=info"];

/// What is logged.
#[must_use]
pub fn filter(level: Option<&str>) -> EnvFilter {
    let filter = level.and_then(|level| EnvFilter::try_new(level).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    QUIET.iter().fold(filter, |filter, quiet| filter.add_directive(quiet.parse().unwrap_or_default()))
}

/// Starts the log of this process, and sends its spans if there is somewhere to send them.
pub fn start(format: LogFormat, spans: Option<&Spans>) {
    let level = std::env::var(LEVEL).ok();
    let lines = tracing_subscriber::fmt::layer::<Registry>().with_writer(std::io::stderr);
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines = if json { lines.json().boxed() } else { lines.with_ansi(std::io::stderr().is_terminal()).boxed() };
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter(level.as_deref()))).with(spans.map(Spans::layer)).try_init();
}
