//! Heyi's outside: settings, letters, documents, packages, the API and the commands. It holds no rule about stages or
//! roles; those are in the workflow files, and the engine decides by them.

pub mod auth;
pub mod backup;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod documents;
pub mod error;
pub mod forms;
pub mod mail;
pub mod package;
pub mod proofs;
pub mod rest;
pub mod sandbox;
pub mod server;
pub mod shipped;
pub mod state;
pub mod templates;
pub mod words;
