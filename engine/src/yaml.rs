//! A YAML document as a tree that remembers where each key and value stands.
//!
//! Here: reading text into the tree, with limits. Not here: what a tree should look like (`definition::shape` for
//! workflows and scenarios, `calendar` for its own few keys).

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

/// A value of the document.
#[derive(Clone, Debug)]
pub enum Node {
    /// Nothing, or `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text, and a number with a point as it was written.
    Text(String),
    /// A list.
    List(Vec<At>),
    /// A map, in the order of the file, duplicates included.
    Map(Vec<(Spanned<String>, At)>),
}

/// A value and its place.
pub type At = Spanned<Node>;

impl Node {
    /// What a person would call this kind of value.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;
        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
                Ok(Node::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
                Ok(Node::Int(v))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Node, E> {
                i64::try_from(v).map(Node::Int).map_err(|_| E::custom("this number is too large"))
            }
            fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Node, E> {
                Err(E::custom("a number with a point is written as a text, in quotes, so that it stays exact"))
            }
            fn visit_str<E>(self, v: &str) -> Result<Node, E> {
                Ok(Node::Text(v.to_owned()))
            }
            fn visit_string<E>(self, v: String) -> Result<Node, E> {
                Ok(Node::Text(v))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<At>()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    if key.value.len() > 200 {
                        return Err(A::Error::custom("this key is longer than 200 bytes"));
                    }
                    entries.push((key, map.next_value::<At>()?));
                }
                Ok(Node::Map(entries))
            }
        }
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 2 << 20;

/// Why a text is no YAML that we read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1; 0 when no place is known.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
}

/// Reads a YAML document.
///
/// # Errors
/// The first syntax mistake, with its place; or that the document is too large, too deep, or uses anchors.
pub fn read(source: &str) -> Result<At, SyntaxError> {
    if source.len() > MAX_FILE_BYTES {
        return Err(SyntaxError { line: 0, column: 0, message: format!("the file is larger than {MAX_FILE_BYTES} bytes") });
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        // Duplicate keys are told together with the other mistakes.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! { max_depth: 32, max_nodes: 100_000, max_aliases: 0, max_anchors: 0 },
    };
    serde_saphyr::from_str_with_options::<At>(source, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        SyntaxError { line, column, message: format!("this cannot be read as YAML: {error}") }
    })
}
