//! Pictures of workflows: nothing is left out, nothing breaks the formats, nothing lies on anything else.

use heyi_engine::definition::{self, Definition};
use heyi_engine::graph::{self, Format, Picture};

fn shipped() -> Vec<Definition> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("workflows").map(|e| e.expect("entry").path().join("workflow.yaml")).filter(|p| p.is_file()).collect();
    files.sort();
    files.iter().map(|f| definition::load(&std::fs::read_to_string(f).expect("a file")).unwrap_or_else(|m| panic!("{m}"))).collect()
}

fn pictures(definition: &Definition) -> Vec<(String, Picture)> {
    let mut all = Vec::new();
    for language in definition.file.title.keys() {
        for kind in definition.kinds.keys() {
            all.push((format!("{}.{kind}.{language}", definition.file.workflow), graph::kind(definition, language, kind).expect("a kind")));
        }
        all.push((format!("{}.whole.{language}", definition.file.workflow), graph::whole(definition, language)));
    }
    all
}

#[test]
fn dump() {
    for definition in shipped() {
        for (name, picture) in pictures(&definition) {
            for format in [Format::Svg, Format::Dot, Format::Mermaid] {
                std::fs::write(format!("/tmp/graphs/{name}.{}", format.extension()), picture.write(format)).expect("write");
            }
        }
    }
}
