//! The documents tell the truth: the paths they name exist, the commands they show are understood, the schema for
//! editors is that of the types, and nothing of any one machine stands in the tree.

use clap::CommandFactory as _;
use heyi_api::cli::Cli;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCUMENTS: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/operation.md",
    "workflows/README.md",
    "workflows/calendars/README.md",
    "templates/README.md",
    "templates/fonts/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documents() -> Vec<(&'static str, String)> {
    DOCUMENTS.iter().map(|name| (*name, std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}")))).collect()
}

/// Texts between single backticks, and lines of fenced blocks.
fn code(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            out.push(line.trim().to_owned());
        } else {
            out.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    out
}

/// The paths below known folders that a text names. Patterns and placeholders are not paths.
fn paths(text: &str) -> Vec<String> {
    let tops = ["engine/", "api/", "workflows/", "templates/", "tests/", ".ci/", "docs/"];
    code(text)
        .iter()
        .flat_map(|piece| piece.split_whitespace())
        .map(|word| word.trim_matches(|c: char| ",;:()".contains(c)).to_owned())
        .filter(|word| tops.iter().any(|top| word.starts_with(top)) && !word.contains(['<', '*', '{', '$', '…']))
        .collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for (name, text) in documents() {
        for path in paths(&text) {
            seen += 1;
            let beside = root().join(name).parent().map(|p| p.join(&path));
            if !root().join(&path).exists() && !beside.is_some_and(|p| p.exists()) {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(seen > 20, "only {seen} paths were found: the reader of documents is broken");
}

#[test]
fn every_command_that_a_document_shows_is_understood() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, text) in documents() {
        for line in code(&text) {
            let line = line.split(" #").next().unwrap_or_default().trim().to_owned();
            let Some(rest) = line.strip_prefix("heyi ").or_else(|| line.strip_prefix("cargo run -- ")).or_else(|| line.strip_prefix("./heyi "))
            else {
                continue;
            };
            if rest.contains(['…', '|', '[', '<']) {
                continue;
            }
            seen += 1;
            let words: Vec<&str> = rest.split(" > ").next().unwrap_or_default().split_whitespace().collect();
            // A document may name a command without its arguments; what must hold is that its words are known.
            if let Err(error) = Cli::command().try_get_matches_from(std::iter::once("heyi").chain(words)) {
                use clap::error::ErrorKind::{
                    DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, MissingRequiredArgument, MissingSubcommand,
                };
                let told = matches!(
                    error.kind(),
                    DisplayHelp | DisplayVersion | MissingRequiredArgument | MissingSubcommand | DisplayHelpOnMissingArgumentOrSubcommand
                );
                if !told {
                    wrong.push(format!("{name}: heyi {rest}: {}", error.kind()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 5, "only {seen} commands were found: the reader of documents is broken");
}

#[test]
fn the_readers_of_documents_find_what_is_wrong() {
    assert_eq!(paths("see `engine/src/nowhere.rs`, `templates/mail/<notice>/x` and `tests/`"), ["engine/src/nowhere.rs", "tests/"]);
    assert!(Cli::command().try_get_matches_from(["heyi", "workflow", "chekc"]).is_err());
}

#[test]
fn the_schema_for_editors_is_that_of_the_types() {
    let committed = std::fs::read_to_string(root().join("workflows/schema.json")).expect("workflows/schema.json is committed");
    let made = serde_json::to_string_pretty(&heyi_engine::definition::json_schema()).expect("a schema is JSON") + "\n";
    assert!(committed == made, "workflows/schema.json is not that of the types; write it anew: heyi workflow schema > workflows/schema.json");
}

#[test]
fn no_path_of_a_machine_stands_in_the_tree() {
    let Ok(output) = Command::new("git")
        .args(["grep", "-nIE", "/(root|home|Users)/[a-z]|crates\\.io-|://static\\.|registry\\.npmjs"])
        .current_dir(root())
        .output()
    else {
        println!("SKIPPED: git is not there");
        return;
    };
    let hits: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.starts_with("tests/tests/docs.rs") && !line.starts_with("Cargo.lock"))
        .map(str::to_owned)
        .collect();
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}
