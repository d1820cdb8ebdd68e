//! Which template includes which partial, and whether that ever comes back to itself.
//! Rendering recurses along these edges, so a cycle would end the process (dependencies M3).

use std::collections::{BTreeMap, BTreeSet};

use handlebars::template::{HelperTemplate, Template, TemplateElement};

/// The partials that `template` names itself, with the line of the first mention.
pub(super) fn included(template: &Template) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    collect(template, &mut names);
    names
}

fn collect(template: &Template, names: &mut BTreeMap<String, usize>) {
    for (index, element) in template.elements.iter().enumerate() {
        let line = template.mapping.get(index).map_or(0, |m| m.0);
        match element {
            TemplateElement::HelperBlock(block) => branches(block).for_each(|t| collect(t, names)),
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                if let Some(name) = partial.name.as_name() {
                    names.entry(name.to_owned()).or_insert(line);
                }
                partial.template.iter().for_each(|t| collect(t, names));
            }
            _ => {}
        }
    }
}

/// The two branches of a block.
pub(super) fn branches(block: &HelperTemplate) -> impl Iterator<Item = &Template> {
    block.template.iter().chain(block.inverse.iter())
}

/// The partials that come back to themselves, each cycle once: its members in order, and the line in the first
/// that leads on.
pub(super) fn cycles(partials: &BTreeMap<String, Template>) -> Vec<(Vec<String>, usize)> {
    let edges: BTreeMap<&str, BTreeMap<String, usize>> = partials.iter().map(|(name, template)| (name.as_str(), included(template))).collect();
    let mut found: Vec<(Vec<String>, usize)> = Vec::new();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        // An explicit stack of (partial, the edges still to follow), so that a long chain cannot recurse either.
        let mut path: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut next = Some(*start);
        loop {
            if let Some(name) = next.take() {
                if let Some(position) = path.iter().position(|(n, _)| *n == name) {
                    let members: Vec<String> = path[position..].iter().map(|(n, _)| (*n).to_owned()).collect();
                    let onward = members.get(1).unwrap_or(&members[0]);
                    let line = edges[members[0].as_str()].get(onward).copied().unwrap_or(0);
                    found.push((members, line));
                } else if !done.contains(name)
                    && let Some(targets) = edges.get(name)
                {
                    path.push((name, targets.keys().map(String::as_str).collect()));
                }
            }
            let Some((name, targets)) = path.last_mut() else {
                break;
            };
            match targets.pop() {
                Some(target) => next = Some(target),
                None => {
                    done.insert(*name);
                    path.pop();
                }
            }
        }
    }
    found
}

/// Every partial that `template` reaches, through others too.
pub(super) fn reached(template: &Template, partials: &BTreeMap<String, Template>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<String> = included(template).into_keys().collect();
    while let Some(name) = waiting.pop() {
        if let Some(partial) = partials.get(&name)
            && seen.insert(name)
        {
            waiting.extend(included(partial).into_keys());
        }
    }
    seen
}
