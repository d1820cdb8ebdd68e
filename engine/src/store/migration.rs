//! The tables, step by step. A released migration is never changed; each runs in a transaction on both databases.
//!
//! Every table of a case leads its key with the case, so that a larger database can spread cases over machines.

use sea_orm_migration::prelude::*;

/// All migrations, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First), Box::new(Errands), Box::new(Checkpoints), Box::new(Guard), Box::new(Desk)]
    }
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &'static str {
        "m0001_first"
    }
}

/// `BLOB` stands for the database's own type of bytes.
const TABLES: &[&str] = &[
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE source (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE account (id TEXT PRIMARY KEY, role TEXT NOT NULL, name TEXT NOT NULL, organisation TEXT, email TEXT, language TEXT NOT NULL, \
     stands_in BOOLEAN NOT NULL, token_hash TEXT NOT NULL UNIQUE)",
    "CREATE TABLE case_row (id TEXT PRIMARY KEY, workflow TEXT NOT NULL, definition TEXT NOT NULL, policy TEXT NOT NULL, calendar TEXT NOT NULL, \
     version BIGINT NOT NULL, head TEXT NOT NULL, state TEXT NOT NULL, stage TEXT NOT NULL, is_open BOOLEAN NOT NULL, assignee TEXT, \
     opened_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, due_at BIGINT NOT NULL, acts_at BIGINT)",
    "CREATE INDEX case_by_urgency ON case_row (due_at, id)",
    "CREATE INDEX case_by_clock ON case_row (acts_at) WHERE acts_at IS NOT NULL",
    "CREATE TABLE case_key (case_id TEXT PRIMARY KEY, wrapped BLOB NOT NULL)",
    "CREATE TABLE case_access (case_id TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (case_id, account))",
    "CREATE INDEX case_access_by_account ON case_access (account, case_id)",
    "CREATE TABLE event (case_id TEXT NOT NULL, seq BIGINT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (case_id, seq))",
    "CREATE TABLE case_value (case_id TEXT NOT NULL, seq BIGINT NOT NULL, number BIGINT NOT NULL, salt BLOB NOT NULL, sealed BLOB NOT NULL, \
     PRIMARY KEY (case_id, seq, number))",
    "CREATE TABLE deadline (case_id TEXT NOT NULL, proceeding BIGINT NOT NULL, name TEXT NOT NULL, started_by BIGINT NOT NULL, nth BIGINT NOT NULL, \
     status TEXT NOT NULL, last_day TEXT, acts_at BIGINT, body TEXT NOT NULL, PRIMARY KEY (case_id, proceeding, name, started_by, nth))",
    "CREATE TABLE work (case_id TEXT NOT NULL, key TEXT NOT NULL, proceeding BIGINT NOT NULL, for_role TEXT NOT NULL, account TEXT, due TEXT, \
     title TEXT NOT NULL, PRIMARY KEY (case_id, key))",
    "CREATE TABLE letter (case_id TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL, \
     next_at BIGINT NOT NULL, lease TEXT, leased_until BIGINT, created_at BIGINT NOT NULL, sent_at BIGINT, proof TEXT, problem TEXT, \
     sealed BLOB NOT NULL, PRIMARY KEY (case_id, id))",
    "CREATE INDEX letter_waiting ON letter (state, next_at)",
    "CREATE TABLE answer (case_id TEXT NOT NULL, account TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL, first_seq BIGINT NOT NULL, \
     last_seq BIGINT NOT NULL, PRIMARY KEY (case_id, account, key))",
    "CREATE TABLE opening (account TEXT NOT NULL, key TEXT NOT NULL, case_id TEXT NOT NULL, PRIMARY KEY (account, key))",
    "CREATE TABLE number (series TEXT NOT NULL, year BIGINT NOT NULL, last BIGINT NOT NULL, PRIMARY KEY (series, year))",
    "CREATE TABLE file (case_id TEXT NOT NULL, id TEXT NOT NULL, sha256 TEXT NOT NULL, media_type TEXT NOT NULL, size BIGINT NOT NULL, \
     sealed_name BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (case_id, id))",
    "CREATE TABLE document (case_id TEXT NOT NULL, form TEXT NOT NULL, seq BIGINT NOT NULL, proceeding BIGINT NOT NULL, sealed BLOB NOT NULL, \
     PRIMARY KEY (case_id, form, seq))",
    "CREATE TABLE export (case_id TEXT NOT NULL, id TEXT NOT NULL, recipient TEXT NOT NULL, sha256 TEXT NOT NULL, version BIGINT NOT NULL, \
     created_at BIGINT NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (case_id, id))",
    "CREATE TABLE word (case_id TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (case_id, hash))",
    "CREATE INDEX word_by_hash ON word (hash, case_id)",
];

#[async_trait::async_trait]
impl MigrationTrait for First {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, TABLES).await
    }
}

struct Errands;

impl MigrationName for Errands {
    fn name(&self) -> &'static str {
        "m0002_errands"
    }
}

/// Commands on their way to other cases.
const ERRANDS: &[&str] = &[
    "CREATE TABLE errand (case_id TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL, next_at BIGINT NOT NULL, \
     problem TEXT, sealed BLOB NOT NULL, PRIMARY KEY (case_id, id))",
    "CREATE INDEX errand_waiting ON errand (next_at) WHERE state = 'waiting'",
];

#[async_trait::async_trait]
impl MigrationTrait for Errands {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, ERRANDS).await
    }
}

struct Checkpoints;

impl MigrationName for Checkpoints {
    fn name(&self) -> &'static str {
        "m0003_checkpoints"
    }
}

/// The log over all cases, and its signed checkpoints.
const CHECKPOINTS: &[&str] = &[
    "CREATE TABLE log_leaf (number BIGINT PRIMARY KEY, case_id TEXT NOT NULL, version BIGINT NOT NULL, head TEXT NOT NULL, \
     UNIQUE (case_id, version))",
    "CREATE TABLE checkpoint (size BIGINT PRIMARY KEY, peaks TEXT NOT NULL, line TEXT NOT NULL)",
];

#[async_trait::async_trait]
impl MigrationTrait for Checkpoints {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, CHECKPOINTS).await
    }
}

struct Guard;

impl MigrationName for Guard {
    fn name(&self) -> &'static str {
        "m0004_guard"
    }
}

/// Never holds a row: putting one in fails, and with it the transaction that found its ground changed.
const GUARD: &[&str] = &["CREATE TABLE guard (stale TEXT PRIMARY KEY CONSTRAINT guard_stale CHECK (stale = ''))"];

#[async_trait::async_trait]
impl MigrationTrait for Guard {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, GUARD).await
    }
}

struct Desk;

impl MigrationName for Desk {
    fn name(&self) -> &'static str {
        "m0005_desk"
    }
}

/// A mediator's own cases, the most urgent first: without it the list would pass over everybody else's.
const DESK: &[&str] = &["CREATE INDEX case_by_assignee ON case_row (assignee, due_at, id) WHERE assignee IS NOT NULL"];

#[async_trait::async_trait]
impl MigrationTrait for Desk {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(manager, DESK).await
    }
}

async fn create(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    let postgres = manager.get_database_backend() == sea_orm::DatabaseBackend::Postgres;
    for table in tables {
        let sql = if postgres { table.replace("BLOB", "BYTEA") } else { (*table).to_owned() };
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
