//! Every shipped workflow loads without a finding, and each is what its folder says.

use heyi_engine::definition;
use std::fs;
use std::path::Path;

const SHIPPED_MAIN: &str = include_str!("../../workflows/medical-dispute/workflow.yaml");

#[test]
fn the_shipped_workflows_have_no_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let mut roots = Vec::new();
    let mut findings = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // The calendars lie in a folder beside the workflows.
        let Ok(source) = fs::read_to_string(path.join("workflow.yaml")) else { continue };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match definition::load(&source) {
            Ok(definition) if definition.file.workflow == name => roots.push((name, definition.root)),
            Ok(definition) => findings.push(format!("{name}: calls itself {}", definition.file.workflow)),
            Err(mistakes) => findings.extend(mistakes.0.iter().map(|m| format!("{name}: {m}"))),
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    roots.sort();
    let known = [
        ("administrative-mediation", "mediation"),
        ("court-referred-mediation", "referral"),
        ("japan-medical-adr", "adr"),
        ("medical-dispute", "mediation"),
        ("periodic-screening", "round"),
    ];
    assert_eq!(roots, known.map(|(name, root)| (name.to_owned(), root.to_owned())));
}

#[test]
fn the_order_of_the_file_is_kept_as_it_decides_ties() {
    let definition = definition::load(SHIPPED_MAIN).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let stages: Vec<&str> = definition.file.stages.keys().map(String::as_str).collect();
    assert_eq!(stages.first(), Some(&"intake"), "stages stand in the order of the procedure: {stages:?}");
    let states = &definition.file.proceedings["mediation"].states;
    assert_eq!(states.keys().next().map(String::as_str), Some("received"));
    let again = definition::load_pinned(&definition.canonical).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(again.file.stages.keys().eq(definition.file.stages.keys()) && again.digest == definition.digest, "what is pinned keeps it too");
}
