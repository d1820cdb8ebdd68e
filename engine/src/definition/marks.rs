//! What the marks of a field promise, and where the file breaks the promise: what was said in order to settle
//! (`no_admission`) stays marked wherever it is kept and is printed on no form; what one side said alone (`private`) goes
//! into no letter and no form.

use super::file::{FieldDef, Of};
use super::model::{Definition, Kind};
use crate::guard::Guard;
use indexmap::IndexMap;

/// Each place that breaks such a promise: its key, and what is wrong there.
pub(super) fn broken(d: &Definition) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut only_data = |key: String, fields: &IndexMap<String, FieldDef>| {
        let marked = fields.iter().filter(|(_, f)| f.private.is_some());
        out.extend(marked.map(|(name, _)| (format!("{key}.{name}.private"), "only a datum of a proceeding is private".to_owned())));
    };
    only_data("facts".to_owned(), &d.file.facts);
    for kind in d.kinds.values() {
        for (name, transition) in &kind.def.transitions {
            only_data(format!("proceedings.{}.transitions.{name}.input", kind.name), &transition.input);
        }
    }
    for kind in d.kinds.values() {
        private(d, kind, &mut out);
        for transition in kind.transitions.values() {
            for (datum, guard) in &transition.sets {
                let kept = kind.def.data.get(datum).is_some_and(|f| f.no_admission);
                if let Some(path) = said(d, kind, &transition.def.input, guard, |f| f.no_admission).filter(|_| !kept) {
                    let key = format!("proceedings.{}.transitions.{}.sets.{datum}", kind.name, transition.name);
                    out.push((key, format!("`{path}` was said in order to settle, and `{datum}` does not say `no_admission: true`")));
                }
            }
            for form in &transition.def.forms {
                let fields = d.file.forms.get(form).into_iter().flat_map(|f| &f.data);
                for (field, source) in fields.filter(|(_, source)| named(d, kind, source, |f| f.no_admission || f.private.is_some())) {
                    out.push((
                        format!("forms.{form}.data.{field}"),
                        format!("`{source}` was said in confidence or in order to settle: it is printed on no form"),
                    ));
                }
            }
            for notice in &transition.def.notices {
                let fields = d.file.notices.get(notice).into_iter().flat_map(|n| &n.data);
                for (field, source) in fields.filter(|(_, source)| named(d, kind, source, |f| f.private.is_some())) {
                    out.push((format!("notices.{notice}.data.{field}"), format!("`{source}` is private to one side: no letter tells it")));
                }
            }
        }
    }
    out
}

/// What is wrong with the private data of a kind.
fn private(d: &Definition, kind: &Kind, out: &mut Vec<(String, String)>) {
    for (name, field) in &kind.def.data {
        let Some(private) = &field.private else { continue };
        let key = format!("proceedings.{}.data.{name}.private", kind.name);
        let of_sides = match kind.def.data.get(&private.to).and_then(|f| f.of.as_ref()) {
            Some(Of::Words(words)) => words.iter().all(|w| d.file.sides.contains_key(w)),
            _ => false,
        };
        if !of_sides {
            out.push((format!("{key}.to"), format!("`{}` is no datum of this proceeding whose words are sides", private.to)));
        }
        for state in private.until.iter().filter(|s| !kind.def.states.contains_key(*s)) {
            out.push((format!("{key}.until"), format!("unknown state `{state}`")));
        }
    }
}

/// The first path of an expression that names a field of this sort.
fn said(d: &Definition, kind: &Kind, input: &IndexMap<String, FieldDef>, guard: &Guard, sort: impl Fn(&FieldDef) -> bool) -> Option<String> {
    guard.reads().into_iter().map(|path| path.join(".")).find(|path| match path.strip_prefix("input.") {
        Some(rest) => input.get(rest.split('.').next().unwrap_or(rest)).is_some_and(&sort),
        None => named(d, kind, path, &sort),
    })
}

/// Whether a dotted name leads to a datum of this sort.
fn named(d: &Definition, kind: &Kind, source: &str, sort: impl Fn(&FieldDef) -> bool) -> bool {
    let (kind, name) = match source.split('.').collect::<Vec<_>>().as_slice() {
        ["this", "parent", name, ..] => (kind.def.of.as_ref().and_then(|of| d.kinds.get(of)), *name),
        ["this", name, ..] => (Some(kind), *name),
        [other, name, ..] => (d.kinds.get(*other), *name),
        _ => return false,
    };
    kind.and_then(|k| k.def.data.get(name)).is_some_and(sort)
}
