//! What a workflow calls its own things, in the asker's language; and with it the text of a refusal.
//!
//! Here: titles of kinds, states, roles, seats, papers and actions, as far as the file gives them; a name without a
//! title stands for itself. Not here: the sentences (`templates/words`).

use super::{WITHHELD, Words, refusal_name};
use heyi_engine::case::options::in_language;
use heyi_engine::case::refusal::{Code, Refusal};
use heyi_engine::definition::Definition;
use heyi_engine::definition::file::{FieldDef, Localized};
use indexmap::IndexMap;

/// A workflow's names in one language.
#[derive(Clone, Copy)]
pub struct Labels<'a> {
    /// The workflow.
    pub definition: &'a Definition,
    /// The program's own words.
    pub words: &'a Words,
    /// The language.
    pub language: &'a str,
}

impl Labels<'_> {
    /// A text of the file.
    #[must_use]
    pub fn text(&self, text: &Localized) -> Option<String> {
        in_language(text, self.language).map(str::to_owned)
    }

    /// A field's label.
    #[must_use]
    pub fn field(&self, def: &FieldDef) -> Option<String> {
        def.label.as_ref().and_then(|l| self.text(l))
    }

    /// A kind of proceeding.
    #[must_use]
    pub fn kind(&self, name: &str) -> String {
        self.definition.kinds.get(name).and_then(|k| self.text(&k.def.title)).unwrap_or_else(|| name.to_owned())
    }

    /// A state of a kind.
    #[must_use]
    pub fn state(&self, kind: &str, state: &str) -> String {
        let def = self.definition.kinds.get(kind).and_then(|k| k.state(state));
        def.and_then(|s| self.text(&s.title)).unwrap_or_else(|| state.to_owned())
    }

    /// A stage.
    #[must_use]
    pub fn stage(&self, name: &str) -> String {
        self.definition.file.stages.get(name).and_then(|s| self.text(s)).unwrap_or_else(|| name.to_owned())
    }

    /// A role, a side, a seat, or the seat of a proceeding (`this.chair`).
    #[must_use]
    pub fn who(&self, name: &str) -> String {
        let file = &self.definition.file;
        let own = || name.strip_prefix("this.").and_then(|seat| self.definition.kinds.values().find_map(|k| k.def.seats.get(seat)));
        let title = file
            .roles
            .get(name)
            .map(|r| &r.title)
            .or_else(|| file.sides.get(name).map(|s| &s.title))
            .or_else(|| file.seats.get(name).map(|s| &s.title));
        let title = title.or_else(|| own().map(|s| &s.title));
        title
            .and_then(|t| self.text(t))
            .unwrap_or_else(|| if name == "engine" { self.words.term(self.language, "engine").to_owned() } else { name.to_owned() })
    }

    /// An action: its title, or its name.
    #[must_use]
    pub fn action(&self, action: &str) -> String {
        let own = self.words.term(self.language, action);
        if !own.is_empty() {
            return own.to_owned();
        }
        self.action_title(action).unwrap_or_else(|| action.to_owned())
    }

    /// An action's title, if it has one.
    #[must_use]
    pub fn action_title(&self, action: &str) -> Option<String> {
        let (kind, name) = action.split_once('.')?;
        if kind == "case" {
            return Some(self.words.term(self.language, action).to_owned()).filter(|t| !t.is_empty());
        }
        let found = self.definition.kinds.get(kind)?;
        if name == "assent" {
            return Some(format!("{} · {}", self.kind(kind), self.words.term(self.language, "case.assent")));
        }
        self.text(&found.transitions.get(name)?.def.title)
    }

    fn paper(&self, name: &str) -> String {
        self.definition.file.papers.get(name).and_then(|p| self.text(&p.title)).unwrap_or_else(|| name.to_owned())
    }

    fn consent(&self, name: &str) -> String {
        self.definition.file.consents.get(name).and_then(|c| self.text(&c.title)).unwrap_or_else(|| name.to_owned())
    }

    fn notice(&self, name: &str) -> String {
        self.definition.file.notices.get(name).and_then(|n| self.text(&n.title)).unwrap_or_else(|| name.to_owned())
    }

    /// A deadline.
    #[must_use]
    pub fn deadline(&self, name: &str) -> String {
        let def = self.definition.kinds.values().find_map(|k| k.deadlines.get(name)).and_then(|d| d.def.as_ref());
        def.and_then(|d| self.text(&d.title)).unwrap_or_else(|| name.to_owned())
    }

    fn joined<'x>(&self, names: impl Iterator<Item = &'x str>, title: impl Fn(&'x str) -> String) -> String {
        let titles: Vec<String> = names.filter(|n| !n.is_empty()).map(title).collect();
        titles.join(self.words.term(self.language, "and"))
    }

    /// What a refusal is about, in words.
    fn title(&self, action: &str, refusal: &Refusal) -> String {
        let what = refusal.what.as_str();
        let kind = action.split('.').next().unwrap_or_default();
        let list = || what.split(", ");
        match refusal.code {
            Code::Limit if what.contains('.') => self.action(what),
            Code::Proceeding | Code::Limit | Code::Assent => self.kind(what),
            Code::Conflict => self.who(what),
            Code::Invariant => self.definition.file.always.get(what).and_then(|a| self.text(&a.title)).unwrap_or_else(|| what.to_owned()),
            Code::State => self.state(kind, what),
            Code::Role | Code::Seat | Code::Party => self.joined(list(), |n| self.who(n)),
            Code::Evidence => self.who(what),
            Code::Paper => self.paper(what),
            Code::Consent => self.consent(what),
            Code::Deadline => self.deadline(what),
            Code::Closed => match self.definition.kinds.contains_key(what) {
                true => self.kind(what),
                false => self.text(&self.definition.file.title).unwrap_or_else(|| what.to_owned()),
            },
            Code::Input => self.words.phrase(self.language, what),
            _ => what.to_owned(),
        }
    }

    /// The label of an input field, with its path.
    fn labelled(&self, action: &str, path: &str) -> String {
        let name = path.strip_prefix("input.").unwrap_or(path).split(['.', '[']).next().unwrap_or_default();
        let inputs: Option<&IndexMap<String, FieldDef>> = match action.split_once('.') {
            Some(("case", _)) => Some(&self.definition.file.facts),
            Some((kind, transition)) => self.definition.kinds.get(kind).and_then(|k| k.transitions.get(transition)).map(|t| &t.def.input),
            None => None,
        };
        let label = inputs.and_then(|i| i.get(name)).and_then(|f| self.field(f));
        label.map_or_else(|| path.to_owned(), |label| format!("{label} ({path})"))
    }

    /// The text of a refusal of this action.
    #[must_use]
    pub fn refusal(&self, action: &str, refusal: &Refusal) -> String {
        let kind = action.split('.').next().unwrap_or_default();
        self.words.refusal(self.language, refusal_name(refusal.code), |name| match name {
            "what" => Some(refusal.what.clone()),
            "title" => Some(self.title(action, refusal)),
            "field" => refusal.field.as_deref().map(|f| if refusal.code == Code::Input { self.labelled(action, f) } else { f.to_owned() }),
            "law" => refusal.law.clone(),
            "unlocked_by" => Some(self.joined(refusal.unlocked_by.iter().map(String::as_str), |a| self.action(a))).filter(|t| !t.is_empty()),
            "unserved" => refusal.details.get(name).map(|notices| self.joined(notices.split(", "), |n| self.notice(n))),
            "beside" => refusal.details.get(name).map(|other| self.who(other)),
            "wanted" => refusal.details.get(name).map(|states| self.joined(states.split(", "), |s| self.state(kind, s))),
            "expected" => refusal.details.get(name).map(|text| self.words.phrase(self.language, text)),
            detail => refusal.details.get(detail).filter(|d| !d.is_empty()).cloned(),
        })
    }

    /// The text that stands where the asker may not know why.
    #[must_use]
    pub fn withheld(&self) -> String {
        self.words.refusal(self.language, WITHHELD, |_| None)
    }
}
