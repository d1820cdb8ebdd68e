//! Heyi's outside: settings, letters, documents, packages, the API and the commands. It holds no rule about stages or
//! roles; those are in the workflow files, and the engine decides by them.

pub mod auth;
pub mod backup;
pub mod bounces;
pub mod cli;
pub mod clockwatch;
pub mod config;
pub mod cover;
pub mod deliver;
pub mod doctor;
pub mod documents;
pub mod error;
pub mod forms;
pub mod logs;
pub mod mail;
pub mod measure;
pub mod package;
pub mod proofs;
pub mod ready;
pub mod rest;
pub mod sandbox;
pub mod server;
pub mod shipped;
pub mod stall;
pub mod state;
pub mod telemetry;
pub mod templates;
pub mod words;
