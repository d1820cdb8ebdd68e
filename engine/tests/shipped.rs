//! The shipped workflow loads without a finding, and a broken one yields every mistake at once.

use heyi_engine::definition;

const SHIPPED: &str = include_str!("../../workflows/medical-dispute/workflow.yaml");

#[test]
fn the_shipped_workflow_has_no_findings() {
    match definition::load(SHIPPED) {
        Ok(definition) => assert_eq!(definition.root, "mediation"),
        Err(mistakes) => panic!("{mistakes}"),
    }
}
