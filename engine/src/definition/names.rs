//! What the expressions of a workflow may name, with types: the static side of `case::scope`.

use super::file::{FieldDef, Of, TypeName};
use super::model::Definition;
use crate::guard::GuardType;
use crate::value::{Field, Type};
use indexmap::IndexMap;

/// The word that `actor.side` has for somebody who belongs to no side.
pub const NO_SIDE: &str = "none";

/// Reads a declared field as a type.
///
/// # Errors
/// What is missing or too much, as a sentence.
pub fn field_type(def: &FieldDef) -> Result<Type, String> {
    match (def.ty, &def.of) {
        (TypeName::Enum, Some(Of::Words(words))) if !words.is_empty() => Ok(Type::Enum(words.clone())),
        (TypeName::Enum, _) => Err("an enum needs `of: [word, …]`".to_owned()),
        (TypeName::Staff, Some(Of::Words(_))) => Ok(Type::Staff),
        (TypeName::Staff, _) => Err("a staff field needs `of: [role, …]`".to_owned()),
        (TypeName::List, Some(Of::Element(element))) => simple(*element).map(|t| Type::List(Box::new(t))),
        (TypeName::List, Some(Of::Record(fields))) => Ok(Type::List(Box::new(record(fields)?))),
        (TypeName::List, _) => Err("a list needs `of: text` (or another simple type) or `of: {field: {type: …}}`".to_owned()),
        (_, Some(_)) => Err("`of` goes with enum, staff and list".to_owned()),
        (name, None) => simple(name),
    }
}

/// Reads declared fields as a record type.
///
/// # Errors
/// The first field that cannot be read.
pub fn record(fields: &IndexMap<String, FieldDef>) -> Result<Type, String> {
    let mut out = IndexMap::new();
    for (name, def) in fields {
        out.insert(name.clone(), Field { ty: field_type(def).map_err(|e| format!("{name}: {e}"))?, optional: def.optional });
    }
    Ok(Type::Record(out))
}

fn simple(name: TypeName) -> Result<Type, String> {
    Ok(match name {
        TypeName::Bool => Type::Bool,
        TypeName::Int => Type::Int,
        TypeName::Decimal => Type::Decimal,
        TypeName::Money => Type::Money,
        TypeName::Date => Type::Date,
        TypeName::Instant => Type::Instant,
        TypeName::Text => Type::Text,
        TypeName::Case => Type::Case,
        TypeName::Enum | TypeName::Staff | TypeName::List => return Err("a list holds a simple type or records".to_owned()),
    })
}

/// An account as expressions see it.
fn staff() -> GuardType {
    GuardType::record([("id", GuardType::Staff), ("role", GuardType::Text), ("organisation", GuardType::Text)])
}

fn guard_type(ty: &Type) -> GuardType {
    match ty {
        Type::Staff => staff(),
        other => other.into(),
    }
}

/// Which roots an expression sees.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    /// `runs_while`: states and policy.
    States,
    /// `when`, `auto`, notices, forms.
    Case,
    /// `accepts`, `sets`: the input of this transition too.
    Input(&'a Type),
    /// `with` of `open … for_each`: the element too.
    Each(&'a GuardType, Option<&'a Type>),
}

/// The roots and their types for expressions of `kind`.
#[must_use]
pub fn roots(definition: &Definition, kind: &str, reach: Reach<'_>) -> IndexMap<String, GuardType> {
    let states_only = matches!(reach, Reach::States);
    with_input(base(definition, kind, states_only, &common(definition, states_only)), reach)
}

/// The roots that every expression sees, in whatever kind it stands. They name every field of every proceeding, so whoever reads many
/// expressions makes them once.
#[must_use]
pub fn common(definition: &Definition, states_only: bool) -> IndexMap<String, GuardType> {
    let mut roots = IndexMap::new();
    let policy = definition.policy.iter().filter_map(|(name, value)| value.ty().map(|t| (name.clone(), t)));
    roots.insert("policy".to_owned(), GuardType::record(policy));
    for other in definition.kinds.keys() {
        roots.insert(other.clone(), GuardType::list(GuardType::record(proceeding(definition, other, states_only))));
    }
    if states_only {
        return roots;
    }
    roots.insert("facts".to_owned(), GuardType::record(definition.facts.iter().map(|(n, t)| (n.clone(), guard_type(t)))));
    let sides = definition.file.sides.keys().cloned().chain([NO_SIDE.to_owned()]);
    roots.insert("actor".to_owned(), GuardType::record([("side", GuardType::words(sides))]));
    roots.insert("assents".to_owned(), GuardType::record([("all", GuardType::Bool), ("any_refused", GuardType::Bool), ("lapsed", GuardType::Bool)]));
    let deadlines = definition.kinds.values().flat_map(|k| k.def.deadlines.keys()).map(|d| (d.clone(), GuardType::Date));
    roots.insert("deadlines".to_owned(), GuardType::record(deadlines));
    roots.insert("seats".to_owned(), GuardType::record(definition.file.seats.keys().map(|s| (s.clone(), GuardType::Text))));
    let required = definition.file.notices.iter().filter(|(_, n)| n.service.is_some());
    roots.insert("served".to_owned(), GuardType::record(required.map(|(name, _)| (name.clone(), GuardType::Bool))));
    roots.insert("legal_on".to_owned(), GuardType::Date);
    roots
}

/// The same with what is a kind's own: `this`, and its parent.
#[must_use]
pub fn base(definition: &Definition, kind: &str, states_only: bool, common: &IndexMap<String, GuardType>) -> IndexMap<String, GuardType> {
    let parent = definition.kinds.get(kind).and_then(|k| k.def.of.as_deref());
    let mut this = proceeding(definition, kind, states_only);
    if let Some(parent) = parent {
        this.insert("parent".to_owned(), GuardType::record(proceeding(definition, parent, states_only)));
    }
    let mut roots = common.clone();
    roots.insert("this".to_owned(), GuardType::record(this));
    roots
}

/// The same with what is put in, and with the element of a list.
#[must_use]
pub fn with_input(mut roots: IndexMap<String, GuardType>, reach: Reach<'_>) -> IndexMap<String, GuardType> {
    match reach {
        Reach::Input(Type::Record(fields)) | Reach::Each(_, Some(Type::Record(fields))) => {
            roots.insert("input".to_owned(), GuardType::record(fields.iter().map(|(n, f)| (n.clone(), guard_type(&f.ty)))));
        }
        _ => {}
    }
    if let Reach::Each(element, _) = reach {
        roots.insert("each".to_owned(), element.clone());
    }
    roots
}

fn proceeding(definition: &Definition, kind: &str, states_only: bool) -> IndexMap<String, GuardType> {
    let mut fields = IndexMap::new();
    if let Some(kind) = definition.kinds.get(kind) {
        fields.insert("state".to_owned(), GuardType::words(kind.def.states.keys().cloned()));
        fields.insert("open".to_owned(), GuardType::Bool);
        if !states_only {
            for (name, ty) in &kind.data {
                fields.insert(name.clone(), guard_type(ty));
            }
        }
    }
    fields
}
