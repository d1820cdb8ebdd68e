//! Counting, and the page on which a collector reads it (Prometheus text).
//!
//! What happens is counted where it happens, under the names of `heyi_engine::measures`. What waits is asked of the
//! database when somebody reads, so that it is true after a restart too. No label names a case, a person or an address.

use crate::cover;
use crate::state::App;
use crate::telemetry;
use crate::words::refusal_name;
use heyi_engine::measures::{COMMAND_SECONDS, COMMANDS, COMMIT_GROUP, COMMIT_SECONDS, HTTP_REQUESTS, HTTP_SECONDS};
use heyi_engine::measures::{LETTER_ATTEMPTS, RETURNED_MAIL, WORKER_ROUNDS};
use heyi_engine::submit::{Committed, Request, SubmitError};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Instant;
use tracing::Instrument as _;

/// The media type of the page.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of what is measured in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of how many commands a transaction carries.
const GROUP: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// What this process has counted.
static COUNTED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count, once in a process.
pub fn start() {
    COUNTED.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(COMMIT_GROUP.to_owned()), &GROUP)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS))
            .expect("there are buckets")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("something else counts in this process; /metrics stays empty");
        }
        describe();
        handle
    });
}

fn describe() {
    describe_counter!(HTTP_REQUESTS, "Requests over HTTP.");
    describe_histogram!(HTTP_SECONDS, "Seconds from a request's header to its answer.");
    describe_counter!(COMMANDS, "Commands through the one door, by where they came from and how they ended.");
    describe_histogram!(COMMAND_SECONDS, "Seconds that a command took, waiting included.");
    describe_histogram!(COMMIT_SECONDS, "Seconds that a transaction took.");
    describe_histogram!(COMMIT_GROUP, "Commands that one transaction carried.");
    describe_counter!(LETTER_ATTEMPTS, "Attempts to deliver a letter.");
    describe_counter!(RETURNED_MAIL, "Messages about undelivered letters that were read.");
    describe_counter!(WORKER_ROUNDS, "Rounds of the workers.");
}

/// Says that the workers begin a round, and folds what was measured: else it would be kept one by one until somebody reads.
pub fn round() {
    counter!(WORKER_ROUNDS).increment(1);
    if let Some(counted) = COUNTED.get() {
        counted.run_upkeep();
    }
}

/// Says that a request was answered.
pub fn request(method: &str, route: &str, status: u16, seconds: f64) {
    // A method can be any word; those that no route has are one.
    let method = ["GET", "HEAD", "POST", "OPTIONS"].into_iter().find(|known| *known == method).unwrap_or("other");
    counter!(HTTP_REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(HTTP_SECONDS, "route" => route.to_owned()).record(seconds);
}

impl App {
    /// Goes through the one door, and counts how it ended.
    ///
    /// # Arguments
    /// `from` is where the command comes from: `act`, `open`, `clock`, `errand`, `post`.
    ///
    /// # Errors
    /// Why nothing was written.
    pub async fn submit(&self, from: &'static str, request: Request) -> Result<Committed, SubmitError> {
        let began = Instant::now();
        let span = tracing::info_span!("command", from);
        let answer = self.engine.submit(request).instrument(span.clone()).await;
        let (outcome, code) = ended(&answer);
        telemetry::ended(&span, outcome);
        counter!(COMMANDS, "from" => from, "outcome" => outcome, "code" => code).increment(1);
        histogram!(COMMAND_SECONDS, "from" => from).record(began.elapsed().as_secs_f64());
        answer
    }
}

/// How a command ended, in one word, and why it was refused, in another.
fn ended(answer: &Result<Committed, SubmitError>) -> (&'static str, &'static str) {
    match answer {
        Ok(committed) if committed.repeated => ("repeated", ""),
        Ok(committed) if committed.events.is_empty() => ("nothing", ""),
        Ok(_) => ("done", ""),
        Err(SubmitError::Refused(refusals)) => ("refused", refusals.first().map_or("", |r| refusal_name(r.code))),
        Err(SubmitError::Version { .. }) => ("version", ""),
        Err(SubmitError::KeyReused) => ("key_reused", ""),
        Err(SubmitError::NoCase | SubmitError::NoWorkflow(_)) => ("not_found", ""),
        Err(_) => ("failed", ""),
    }
}

/// The page: what was counted since the start, and what waits now. While the database does not answer, the page says so
/// and holds the rest.
pub async fn page(app: &App) -> String {
    let now_ms = app.engine.now().timestamp_millis();
    let waiting = async { Ok::<_, SubmitError>((app.engine.store().figures(now_ms).await?, cover::look(app).await?)) };
    let waiting = waiting.await.inspect_err(|error| tracing::error!(%error, "what waits in the database could not be counted")).ok();
    let connections = app.engine.store().connections();
    #[expect(clippy::cast_precision_loss, reason = "an age in milliseconds and a number of rows are far below 2^53")]
    let age = |since: Option<i64>| since.map_or(0.0, |ms| (now_ms - ms).max(0) as f64 / 1000.0);
    #[expect(clippy::cast_precision_loss, reason = "a number of rows is far below 2^53")]
    let number = |n: u64| n as f64;
    // A recorder of its own for each reading: a state that no letter is in any more does not linger.
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let set = |name: &'static str, help: &'static str, value: f64| {
            describe_gauge!(name, help);
            gauge!(name).set(value);
        };
        set("heyi_database_up", "Whether the database answers.", f64::from(u8::from(waiting.is_some())));
        if let Some((figures, cover)) = &waiting {
            describe_gauge!("heyi_letters", "Letters by state.");
            for (state, n) in &figures.letters {
                gauge!("heyi_letters", "state" => state.clone()).set(number(*n));
            }
            set("heyi_oldest_waiting_letter_seconds", "Age of the oldest letter that has not left.", age(figures.oldest_letter));
            set("heyi_errands_waiting", "Commands on their way to another case.", number(figures.errands));
            set("heyi_open_cases", "Cases in which something goes on.", number(figures.open_cases));
            set("heyi_deadlines_due", "Deadlines that are due and have not fired.", number(figures.due));
            set("heyi_oldest_due_deadline_seconds", "How long the oldest of them has been due.", age(figures.oldest_due));
            set("heyi_uncovered_proceedings", "Open proceedings that wait, with nobody and nothing to wake them: 0.", number(cover.uncovered));
            set("heyi_uncovered_cases", "Open cases with neither work nor a running clock: 0.", number(figures.uncovered_cases));
            set("heyi_cover_unseen_cases", "Cases that were written and are yet to be looked at for the figure above.", number(cover.unseen));
        }
        set("heyi_clock_held", "Whether the clock is not believed, so that nothing falls due.", f64::from(u8::from(app.engine.clock_is_held())));
        set("heyi_worker_silence_seconds", "How long the workers have given no sign of life.", app.pulse.silence().as_secs_f64());
        describe_gauge!("heyi_database_connections", "Connections to the database.");
        gauge!("heyi_database_connections", "state" => "idle").set(f64::from(connections.idle));
        gauge!("heyi_database_connections", "state" => "busy").set(f64::from(connections.open.saturating_sub(connections.idle)));
        set("heyi_database_connections_most", "The most connections that there may be.", f64::from(connections.most));
        if let Some(free) = crate::ready::free_bytes(&app.config.data_dir) {
            set("heyi_disk_free_bytes", "Room on the disk of the data folder.", number(free));
        }
        if let Some(bytes) = resident_bytes() {
            set("process_resident_memory_bytes", "Memory that this process holds.", number(bytes));
        }
    });
    let counted = COUNTED.get().map(|counted| {
        counted.run_upkeep();
        counted.render()
    });
    counted.unwrap_or_default() + &handle.render()
}

/// Memory that this process holds, where the system says it as Linux does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
