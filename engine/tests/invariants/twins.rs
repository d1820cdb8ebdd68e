//! Twins: the shipped text without a rule. Whoever takes out what is not there exactly once is told so.

use heyi_engine::definition::check::{self, Question};
use heyi_engine::definition::compile::compile;
use heyi_engine::definition::{self, Definition, Mistake, WorkflowFile, shape};
use heyi_engine::yaml;
use std::collections::BTreeSet;
use std::sync::OnceLock;

pub const SHIPPED: &str = include_str!("../../../workflows/medical-dispute/workflow.yaml");

/// The lines of the entry that these keys lead to, each two spaces deeper than the one before.
fn entry(text: &str, keys: &[&str]) -> std::ops::Range<usize> {
    let mut range = 0..text.len();
    for (depth, key) in keys.iter().enumerate() {
        let head = format!("{}{key}:", "  ".repeat(depth));
        let mut found = Vec::new();
        let mut at = range.start;
        for line in text[range.clone()].split_inclusive('\n') {
            let starts = line.strip_prefix(&head).is_some_and(|rest| rest.starts_with([' ', '\n']));
            if starts {
                found.push(at);
            }
            at += line.len();
        }
        let [start] = found.as_slice() else { panic!("the text has {} entries {keys:?}", found.len()) };
        let mut end = *start;
        for (n, line) in text[*start..range.end].split_inclusive('\n').enumerate() {
            let inside = line.trim().is_empty() || line.len() - line.trim_start().len() > 2 * depth;
            if n > 0 && !inside {
                break;
            }
            end += line.len();
        }
        range = *start..end;
    }
    range
}

/// The text with something else at one place of an entry.
pub fn with(text: &str, keys: &[&str], old: &str, new: &str) -> String {
    let range = entry(text, keys);
    let block = &text[range.clone()];
    assert_eq!(block.matches(old).count(), 1, "{keys:?} does not say `{old}` exactly once:\n{block}");
    format!("{}{}{}", &text[..range.start], block.replace(old, new), &text[range.end..])
}

/// The text without an entry.
pub fn without(text: &str, keys: &[&str]) -> String {
    let range = entry(text, keys);
    format!("{}{}", &text[..range.start], &text[range.end..])
}

/// Where a transition, a state or a deadline stands.
pub fn at<'k>(kind: &'k str, part: &'k str, name: &'k str) -> [&'k str; 4] {
    ["proceedings", kind, part, name]
}

/// Where a step stands.
pub fn step<'k>(kind: &'k str, name: &'k str) -> [&'k str; 4] {
    at(kind, "transitions", name)
}

/// A text as a definition, or what is wrong with its names. The procedure itself is not asked anything.
pub fn read(text: &str) -> Result<Definition, Vec<Mistake>> {
    let tree = yaml::read(text).unwrap_or_else(|error| panic!("{error:?}"));
    let (fitted, places) = shape::fit(&tree, &shape::schema_of::<WorkflowFile>()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let (definition, mistakes) = compile(fitted.read().expect("it fits"), &places);
    if mistakes.is_empty() { Ok(definition) } else { Err(mistakes) }
}

/// A text whose names are right.
pub fn load(text: &str) -> Definition {
    read(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// The keys that the checker finds fault with when it asks for rights and for letters.
pub fn found_at(text: &str) -> BTreeSet<String> {
    let report = |d: Definition| check::ask(&d, &shape::Places::new(), &[Question::Right, Question::Untold]).mistakes();
    read(text).map_or_else(|mistakes| mistakes, report).into_iter().map(|m| m.key).collect()
}

pub fn shipped() -> &'static Definition {
    static SHIPPED_ONCE: OnceLock<Definition> = OnceLock::new();
    SHIPPED_ONCE.get_or_init(|| definition::load(SHIPPED).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}
