//! The pieces of a calendar file, each with its place: a calendar knows only texts, lists and groups of keys.

use crate::yaml;

/// A place in the file.
pub(super) type Place = (u64, u64);

/// A piece of the file and where it stands.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

pub(super) enum Value {
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A scalar that is no text, by what it is.
    Other(&'static str),
}

pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a group of keys",
            Value::Other(kind) => kind,
        }
    }
}

impl From<yaml::At> for Node {
    fn from(at: yaml::At) -> Self {
        let place = (at.referenced.line(), at.referenced.column());
        let value = match at.value {
            yaml::Node::Text(text) => Value::Text(text),
            yaml::Node::List(items) => Value::List(items.into_iter().map(Node::from).collect()),
            yaml::Node::Map(entries) => {
                let entry = |(key, node): (serde_saphyr::Spanned<String>, yaml::At)| Entry {
                    place: (key.referenced.line(), key.referenced.column()),
                    key: key.value,
                    node: node.into(),
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
            yaml::Node::Null => Value::Other("empty"),
            yaml::Node::Bool(_) => Value::Other("true or false"),
            yaml::Node::Int(_) => Value::Other("a number"),
        };
        Node { value, place }
    }
}
