//! What is counted and measured while the program works, by name.
//!
//! Here: the names, in one place, and the helpers with which the store says what it did. Not here: who reads them (the
//! server's `/metrics`). A label is a word out of a short list: never a case, a person, a file or an address.

use metrics::{counter, histogram};

/// Requests over HTTP, by `method`, `route` (as described, not as asked) and `status`.
pub const HTTP_REQUESTS: &str = "heyi_http_requests_total";
/// Seconds from a request's header to its answer, by `route`.
pub const HTTP_SECONDS: &str = "heyi_http_request_seconds";
/// Commands through the one door, by `from` (`act`, `open`, `clock`, `errand`, `post`), `outcome` and, when refused, the
/// first reason's `code`.
pub const COMMANDS: &str = "heyi_commands_total";
/// Seconds that a command took, waiting included, by `from`.
pub const COMMAND_SECONDS: &str = "heyi_command_seconds";
/// Seconds that a transaction took, from its begin to its commit.
pub const COMMIT_SECONDS: &str = "heyi_commit_seconds";
/// Commands that one transaction carried.
pub const COMMIT_GROUP: &str = "heyi_commit_group_size";
/// Attempts to deliver a letter, by `outcome`: `delivered`, `temporary`, `permanent`.
pub const LETTER_ATTEMPTS: &str = "heyi_letter_attempts_total";
/// Messages that came back, by `kind`: `bounced`, `delayed`, `arrived`, `not_understood`.
pub const RETURNED_MAIL: &str = "heyi_returned_mail_total";
/// Rounds of the workers.
pub const WORKER_ROUNDS: &str = "heyi_worker_rounds_total";

/// Says that a transaction was committed.
///
/// # Arguments
/// `seconds` from its begin to its commit; `commands` how many it carried.
pub fn commit(seconds: f64, commands: usize) {
    histogram!(COMMIT_SECONDS).record(seconds);
    #[expect(clippy::cast_precision_loss, reason = "a group holds tens of commands")]
    histogram!(COMMIT_GROUP).record(commands as f64);
}

/// Says how an attempt to deliver a letter ended.
pub fn letter(outcome: &'static str) {
    counter!(LETTER_ATTEMPTS, "outcome" => outcome).increment(1);
}
