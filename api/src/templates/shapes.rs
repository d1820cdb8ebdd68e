//! The shapes of letters: what the workflows say that each of their notices carries.

use super::{Field, FieldType, Shape};
use heyi_engine::guard::GuardType;
use heyi_engine::library::Library;
use std::collections::BTreeMap;

/// The shape of every notice of every workflow, by name. A workflow may leave any field out, so each is optional.
///
/// # Errors
/// Each notice that two workflows declare with different data: one name has one letter.
pub fn of(library: &Library) -> Result<Vec<Shape>, Vec<String>> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for installed in library.workflows() {
        for (kind, fields) in &installed.definition.notice_fields {
            let fields = fields.iter().map(|(name, ty)| Field { name: name.clone(), ty: field_type(ty), optional: true }).collect();
            let shape = Shape { kind: kind.clone(), fields };
            match shapes.get(kind) {
                Some(other) if *other != shape => mistakes.push(format!(
                    "{}/workflow.yaml: notices.{kind}: another workflow has a notice of this name with other data; give it another name",
                    installed.definition.file.workflow
                )),
                _ => drop(shapes.insert(kind.clone(), shape)),
            }
        }
    }
    if mistakes.is_empty() { Ok(shapes.into_values().collect()) } else { Err(mistakes) }
}

fn field_type(ty: &GuardType) -> FieldType {
    match ty {
        GuardType::Bool => FieldType::Bool,
        GuardType::Int => FieldType::Int,
        GuardType::Money => FieldType::Money,
        GuardType::Date => FieldType::Date,
        GuardType::Instant => FieldType::Instant,
        GuardType::Enum(words) => FieldType::Choice(words.to_vec()),
        GuardType::List(_) => FieldType::TextList,
        _ => FieldType::Text,
    }
}
