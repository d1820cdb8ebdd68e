//! Holds a tree against the JSON Schema of its types and reports every difference, with places and "did you mean".
//!
//! Here: the schema keywords that `schemars` makes of our types, no more. Not here: names and references (`check`).

use super::{Mistake, Mistakes, nearest};
use crate::yaml::{At, Node};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value as Json};
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

/// Where each key path of a document stands: `proceedings.mediation.states` to (line, column).
pub type Places = HashMap<String, (u64, u64)>;

/// A document that fits its schema, with the keys of each map in the order of the file: that order decides ties.
#[derive(Clone, Debug, PartialEq)]
pub enum Fitted {
    /// null, a truth, a number or a text
    Scalar(Json),
    /// a list
    List(Vec<Fitted>),
    /// a map
    Map(Vec<(String, Fitted)>),
}

impl Fitted {
    /// The document as what it describes.
    ///
    /// # Errors
    /// When the type wants more than its schema says.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        // By way of text: serde_json's own tree sorts its keys.
        serde_json::from_str(&serde_json::to_string(self)?)
    }
}

impl Serialize for Fitted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(json) => json.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

/// The JSON Schema of a type, made once in the life of the program: making it takes longer than reading a file against it.
#[must_use]
pub fn schema_of<T: JsonSchema + 'static>() -> Arc<Json> {
    static MADE: OnceLock<Mutex<HashMap<TypeId, Arc<Json>>>> = OnceLock::new();
    let make = || Arc::new(schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value());
    match MADE.get_or_init(Mutex::default).lock() {
        Ok(mut made) => made.entry(TypeId::of::<T>()).or_insert_with(make).clone(),
        Err(_) => make(),
    }
}

/// Compares `tree` with `schema` (whose `$defs` it may use), collecting places on the way.
///
/// # Returns
/// The document, for deserialising, and the places.
///
/// # Errors
/// Every structural mistake.
pub fn fit(tree: &At, schema: &Json) -> Result<(Fitted, Places), Mistakes> {
    let empty = Map::new();
    let defs = schema.get("$defs").and_then(Json::as_object).unwrap_or(&empty);
    let mut walk = Walk { defs, places: Places::new(), mistakes: Vec::new() };
    let fitted = walk.node(tree, schema, "");
    if walk.mistakes.is_empty() { Ok((fitted, walk.places)) } else { Err(Mistakes(walk.mistakes)) }
}

struct Walk<'a> {
    defs: &'a Map<String, Json>,
    places: Places,
    mistakes: Vec<Mistake>,
}

impl<'a> Walk<'a> {
    fn resolve(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        for _ in 0..8 {
            let Some(name) = schema.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix("#/$defs/")) else { break };
            schema = self.defs.get(name).unwrap_or(&Json::Null);
        }
        schema
    }

    /// Whether a value of this kind could stand here, whatever is inside it.
    fn admits(&self, schema: &'a Json, node: &Node) -> bool {
        let schema = self.resolve(schema);
        if let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|k| schema.get(*k)).and_then(Json::as_array) {
            return branches.iter().any(|b| self.admits(b, node));
        }
        if schema.get("const").is_some() || schema.get("enum").is_some() {
            return matches!(node, Node::Text(_));
        }
        let types = types(schema);
        let own = match node {
            Node::Null => "null",
            Node::Bool(_) => "boolean",
            Node::Int(_) => "integer",
            Node::Text(_) => "string",
            Node::List(_) => "array",
            Node::Map(_) => "object",
        };
        types.is_empty() || types.contains(&own) || (own == "integer" && types.contains(&"number"))
    }

    fn mistake(&mut self, at: (u64, u64), key: &str, message: String, hint: Option<String>) {
        self.mistakes.push(Mistake { line: at.0, column: at.1, key: key.to_owned(), message, hint });
    }

    fn node(&mut self, at: &At, schema: &'a Json, path: &str) -> Fitted {
        let place = (at.referenced.line(), at.referenced.column());
        self.places.entry(path.to_owned()).or_insert(place);
        let schema = self.resolve(schema);
        let branches = ["anyOf", "oneOf"].iter().find_map(|k| schema.get(*k)).and_then(Json::as_array);
        if let Some(branches) = branches {
            let open: Vec<&'a Json> = branches.iter().map(|b| self.resolve(b)).collect();
            if let Some(words) = word_list(&open) {
                return self.word(at, &words, place, path);
            }
            if let Some(branch) = open.iter().find(|b| self.admits(b, &at.value)) {
                return self.node(at, branch, path);
            }
            let wanted: Vec<String> = open.iter().filter(|b| b.get("type").and_then(Json::as_str) != Some("null")).map(|b| describe(b)).collect();
            self.mistake(place, path, format!("here stands {}", at.value.kind()), Some(format!("write {}", wanted.join(", or "))));
            return Fitted::Scalar(Json::Null);
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            return self.word(at, &words, place, path);
        }
        if !self.admits(schema, &at.value) {
            self.mistake(place, path, format!("here stands {}", at.value.kind()), Some(format!("write {}", describe(schema))));
            return Fitted::Scalar(Json::Null);
        }
        match &at.value {
            Node::Null => Fitted::Scalar(Json::Null),
            Node::Bool(b) => Fitted::Scalar(Json::Bool(*b)),
            Node::Int(n) => {
                if schema.get("minimum").and_then(Json::as_i64).is_some_and(|min| *n < min) {
                    self.mistake(place, path, "this number is too small".to_owned(), None);
                }
                Fitted::Scalar(Json::from(*n))
            }
            Node::Text(t) => Fitted::Scalar(Json::String(t.clone())),
            Node::List(items) => {
                let element = schema.get("items").unwrap_or(&Json::Null);
                Fitted::List(items.iter().enumerate().map(|(i, item)| self.node(item, element, &format!("{path}[{i}]"))).collect())
            }
            Node::Map(entries) => self.map(entries, schema, place, path),
        }
    }

    fn map(&mut self, entries: &[(serde_saphyr::Spanned<String>, At)], schema: &'a Json, place: (u64, u64), path: &str) -> Fitted {
        let properties = schema.get("properties").and_then(Json::as_object);
        // A schema that says nothing (`true`) takes anything, at any depth.
        let free = types(schema).is_empty() && properties.is_none();
        let others = if free { Some(schema) } else { schema.get("additionalProperties").filter(|o| o.is_object() || **o == Json::Bool(true)) };
        let mut out: Vec<(String, Fitted)> = Vec::with_capacity(entries.len());
        let has = |out: &[(String, Fitted)], name: &str| out.iter().any(|(known, _)| known == name);
        for (key, value) in entries {
            let name = key.value.as_str();
            let at = (key.referenced.line(), key.referenced.column());
            let inner = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            if has(&out, name) {
                self.mistake(at, &inner, format!("the key `{name}` stands here a second time"), Some("keep one of the two".to_owned()));
                continue;
            }
            self.places.insert(inner.clone(), at);
            if let Some(property) = properties.and_then(|p| p.get(name)).or(others) {
                let fitted = self.node(value, property, &inner);
                out.push((name.to_owned(), fitted));
            } else {
                let known: Vec<&str> = properties.map(|p| p.keys().map(String::as_str).collect()).unwrap_or_default();
                let hint = nearest(name, known.iter().copied())
                    .map_or_else(|| format!("known keys here: {}", known.join(", ")), |n| format!("did you mean `{n}`?"));
                self.mistake(at, &inner, format!("unknown key `{name}`"), Some(hint));
                out.push((name.to_owned(), Fitted::Scalar(Json::Null)));
            }
        }
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !has(&out, required) {
                self.mistake(place, path, format!("the key `{required}` is missing"), None);
            }
        }
        Fitted::Map(out)
    }

    fn word(&mut self, at: &At, words: &[&str], place: (u64, u64), path: &str) -> Fitted {
        if let Node::Text(text) = &at.value {
            if words.contains(&text.as_str()) {
                return Fitted::Scalar(Json::String(text.clone()));
            }
            let hint = nearest(text, words.iter().copied())
                .map_or_else(|| format!("write one of: {}", words.join(", ")), |n| format!("did you mean `{n}`?"));
            self.mistake(place, path, format!("`{text}` is not known here"), Some(hint));
        } else {
            self.mistake(place, path, format!("here stands {}", at.value.kind()), Some(format!("write one of: {}", words.join(", "))));
        }
        Fitted::Scalar(Json::Null)
    }
}

/// The words of an enum whose variants carry descriptions (`oneOf` of `const`s).
fn word_list<'a>(branches: &[&'a Json]) -> Option<Vec<&'a str>> {
    let mut words = Vec::new();
    for branch in branches {
        if let Some(word) = branch.get("const").and_then(Json::as_str) {
            words.push(word);
        } else if let Some(list) = branch.get("enum").and_then(Json::as_array) {
            words.extend(list.iter().filter_map(Json::as_str));
        } else {
            return None;
        }
    }
    (!words.is_empty()).then_some(words)
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn describe(schema: &Json) -> String {
    let words: Vec<String> = types(schema)
        .into_iter()
        .filter(|t| *t != "null")
        .map(|t| match t {
            "boolean" => "true or false".to_owned(),
            "integer" | "number" => "a whole number".to_owned(),
            "string" => "a text (in quotes when it looks like a number)".to_owned(),
            "array" => "a list".to_owned(),
            "object" => match schema.get("properties").and_then(Json::as_object) {
                Some(properties) => format!("a map with the keys {}", properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
                None => "a map".to_owned(),
            },
            other => other.to_owned(),
        })
        .collect();
    if words.is_empty() { "one of the known words".to_owned() } else { words.join(" or ") }
}
