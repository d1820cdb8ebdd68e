//! One story on each database: the one door, what it writes, and what it never does. Each chapter is told on SQLite, in
//! a file, and on PostgreSQL, in a throw-away cluster.
//!
//! Where the server's programs are missing, the PostgreSQL half is left out with a loud line; under `CI` that is a
//! failure. A failure names chapters, tables and event types, never what a value holds.

mod commands;
mod database;
mod secrets;
mod stage;
mod texts;
mod time;

use commands::*;
use database::*;
use heyi_tests::postgres::Cluster;
use secrets::*;
use stage::Home;
use time::*;

type Chapter = (&'static str, fn(&Home));

macro_rules! chapters {
    ($($chapter:ident),+ $(,)?) => { const CHAPTERS: &[Chapter] = &[$((stringify!($chapter), $chapter)),+]; };
}

chapters! {
    every_scenario_goes_as_it_does_in_memory,
    the_chain_holds_and_a_changed_row_breaks_it,
    a_key_has_exactly_one_answer,
    a_key_has_one_answer_when_many_ask_at_once,
    of_two_who_saw_the_same_version_one_wins,
    numbers_have_no_gaps,
    a_refused_command_writes_nothing,
    what_is_undone_calls_its_letters_back,
    nobody_reads_a_name_in_the_database,
    an_erased_case_keeps_its_chain,
    what_fell_due_while_nobody_asked_happens_once_and_in_order,
    an_expired_lease_is_taken_over_and_the_sleeper_is_fenced_off,
    a_case_is_found_by_two_characters,
    a_worklist_is_turned_page_by_page,
    a_newer_database_is_refused,
    what_durability_needs_is_in_force,
    one_command_takes_few_statements,
    what_waits_together_is_written_together,
    one_that_fails_spoils_nobody_elses_answer,
    while_the_clock_is_not_believed_nothing_falls_due,
    what_comes_again_after_a_restart_is_answered_before_the_clock_acts,
}

/// Tells all chapters, or those that `HEYI_CHAPTER` is part of, and then says which failed.
fn tell(home: &Home) {
    let only = std::env::var("HEYI_CHAPTER").unwrap_or_default();
    let mut failed = Vec::new();
    for (name, chapter) in CHAPTERS.iter().filter(|(name, _)| name.contains(&only)) {
        println!("  {name}");
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chapter(home))).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "these chapters failed: {failed:?}");
}

#[test]
fn the_story_on_sqlite() {
    tell(&Home::Sqlite(tempfile::tempdir().expect("a folder")));
}

#[test]
fn the_story_on_postgresql() {
    let Some(cluster) = Cluster::start("the story on PostgreSQL") else { return };
    tell(&Home::Postgres { cluster, parts: None });
}

/// The same on tables that are spread over eight hash partitions.
#[test]
fn the_story_on_hash_partitions() {
    let Some(cluster) = Cluster::start("the story on hash partitions") else { return };
    tell(&Home::Postgres { cluster, parts: Some(8) });
}
