//! The words of refusals and problems: a small template for each code in each language, read from `templates/words`.
//!
//! Here: the files, the check that reads every entry before anybody can ask, and the rendering. Not here: which codes
//! there are (`engine::case::refusal`, `error`), and the names that a workflow gives its own things ([`labels`]).
//! An entry knows only the names listed for its code, so that no person's data can slip into an error's text.

pub mod labels;

use crate::error::ProblemCode;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use handlebars::Handlebars;
use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use heyi_engine::case::refusal::Code;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::path::Path;

/// The languages that every text exists in; the first is the one for those who ask for none of them.
pub const LANGUAGES: [&str; 2] = ["zh-CN", "en"];
/// The longest entry, in bytes.
const MAX_ENTRY_BYTES: usize = 2_000;
/// The most blocks and brackets of an entry: the parser recurses.
const MAX_BLOCKS: usize = 48;

const SHIPPED: [&str; 2] = [include_str!("../../templates/words/zh-CN.toml"), include_str!("../../templates/words/en.toml")];

/// Words that the program itself contributes.
pub const TERMS: [&str; 11] = [
    "and",
    "engine",
    "case.record",
    "case.person",
    "case.consent",
    "case.seat",
    "case.serve",
    "case.file",
    "case.assent",
    "letter_late",
    "letter_given_up",
];

/// Names that the text of a refusal may use.
const REFUSAL_NAMES: [&str; 21] = [
    "what",
    "title",
    "field",
    "law",
    "unlocked_by",
    "action",
    "character",
    "did_you_mean",
    "earliest",
    "erased",
    "events",
    "expected",
    "first_day",
    "last_day",
    "latest",
    "missing",
    "proceeding",
    "reason",
    "wanted",
    "beside",
    "unserved",
];

/// The name under which the text of "the asker may not know" stands.
pub const WITHHELD: &str = "withheld";

/// The name of a refusal's code in files and answers.
#[must_use]
pub fn refusal_name(code: Code) -> &'static str {
    match code {
        Code::UnknownAction => "unknown_action",
        Code::Proceeding => "proceeding",
        Code::State => "state",
        Code::Role => "role",
        Code::Seat => "seat",
        Code::Party => "party",
        Code::Evidence => "evidence",
        Code::Guard => "guard",
        Code::Paper => "paper",
        Code::Consent => "consent",
        Code::Limit => "limit",
        Code::Deadline => "deadline",
        Code::Input => "input",
        Code::LegalTime => "legal_time",
        Code::Assent => "assent",
        Code::Step => "step",
        Code::Closed => "closed",
        Code::WouldPark => "would_park",
        Code::Loop => "loop",
        Code::Calendar => "calendar",
        Code::Conflict => "conflict",
        Code::Invariant => "invariant",
        Code::Amend => "amend",
    }
}

const REFUSALS: [&str; 24] = [
    "unknown_action",
    "proceeding",
    "state",
    "role",
    "seat",
    "party",
    "evidence",
    "guard",
    "paper",
    "consent",
    "limit",
    "deadline",
    "input",
    "legal_time",
    "assent",
    "step",
    "closed",
    "would_park",
    "loop",
    "calendar",
    "conflict",
    "invariant",
    "amend",
    WITHHELD,
];

/// All texts, checked.
pub struct Words {
    languages: BTreeMap<&'static str, Texts>,
}

struct Texts {
    registry: Handlebars<'static>,
    terms: BTreeMap<String, String>,
    phrases: Vec<(String, String)>,
}

type Sections = BTreeMap<String, BTreeMap<String, String>>;

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

impl Words {
    /// Reads and checks every text; files of `FOLDER/words` replace single entries.
    ///
    /// # Errors
    /// Every mistake, with file and key.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut languages = BTreeMap::new();
        for (language, shipped) in LANGUAGES.into_iter().zip(SHIPPED) {
            let mut sections = sections(&format!("words/{language}.toml"), shipped, &mut mistakes);
            let path = folder.map(|f| f.join("words").join(format!("{language}.toml"))).filter(|p| p.is_file());
            if let Some(path) = path {
                match std::fs::read_to_string(&path) {
                    Ok(text) => {
                        for (section, entries) in self::sections(&path.display().to_string(), &text, &mut mistakes) {
                            sections.entry(section).or_default().extend(entries);
                        }
                    }
                    Err(error) => mistakes.push(format!("{}: {error}", path.display())),
                }
            }
            languages.insert(language, check(language, sections, &mut mistakes));
        }
        if mistakes.is_empty() { Ok(Self { languages }) } else { Err(mistakes) }
    }

    fn texts(&self, language: &str) -> Option<&Texts> {
        self.languages.get(language).or_else(|| self.languages.get(LANGUAGES[0]))
    }

    /// A word of the program's own.
    #[must_use]
    pub fn term(&self, language: &str, name: &str) -> &str {
        self.texts(language).and_then(|t| t.terms.get(name)).map_or("", String::as_str)
    }

    /// A sentence of the engine in the asker's language, as far as there is a translation.
    #[must_use]
    pub fn phrase(&self, language: &str, sentence: &str) -> String {
        let found = self.texts(language).into_iter().flat_map(|t| &t.phrases).find_map(|(pattern, text)| match pattern.split_once('*') {
            Some((start, end)) => {
                let middle = sentence.strip_prefix(start)?.strip_suffix(end)?;
                Some(text.replacen('*', middle, 1))
            }
            None => (pattern == sentence).then(|| text.clone()),
        });
        found.unwrap_or_else(|| sentence.to_owned())
    }

    /// The title and the explanation of a problem.
    #[must_use]
    pub fn problem(&self, language: &str, code: ProblemCode, details: &BTreeMap<&'static str, String>) -> (String, String) {
        let names = code.names().iter().map(|name| (*name, details.get(name).cloned()));
        let context = context(names);
        let name = code.name();
        (self.render(language, "title", name, &context), self.render(language, "detail", name, &context))
    }

    /// The text of a refusal, or of "the asker may not know".
    #[must_use]
    pub fn refusal<'n>(&self, language: &str, name: &str, values: impl Fn(&str) -> Option<String> + 'n) -> String {
        self.render(language, "refusal", name, &context(REFUSAL_NAMES.iter().map(|n| (*n, values(n)))))
    }

    fn render(&self, language: &str, section: &str, name: &str, context: &Json) -> String {
        let Some(texts) = self.texts(language) else { return String::new() };
        texts.registry.render(&format!("{section}.{name}"), context).unwrap_or_else(|error| {
            tracing::error!(%error, language, section, name, "a text that was checked at start cannot be rendered");
            String::new()
        })
    }
}

/// Absent names are there as null, so that strict mode can tell a wrong name from an absent value.
fn context<'n>(values: impl Iterator<Item = (&'n str, Option<String>)>) -> Json {
    Json::Object(values.map(|(name, value)| (name.to_owned(), value.map_or(Json::Null, Json::String))).collect::<Map<_, _>>())
}

fn sections(file: &str, text: &str, mistakes: &mut Vec<String>) -> Sections {
    Figment::from(Toml::string(text)).extract().unwrap_or_else(|error| {
        mistakes.push(format!("{file}: {error}"));
        Sections::new()
    })
}

/// Holds the sections against the known codes, and every entry against the names it may use.
fn check(language: &str, mut sections: Sections, mistakes: &mut Vec<String>) -> Texts {
    let file = format!("words/{language}.toml");
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(handlebars::no_escape);
    let problems: Vec<&str> = ProblemCode::ALL.iter().map(|c| c.name()).collect();
    let terms = sections.remove("terms").unwrap_or_default();
    let phrases = sections.remove("phrase").unwrap_or_default().into_iter().collect();
    complete(&file, "terms", &terms, &TERMS, mistakes);
    for (section, known) in [("refusal", REFUSALS.as_slice()), ("title", &problems), ("detail", &problems)] {
        let entries = sections.remove(section).unwrap_or_default();
        complete(&file, section, &entries, known, mistakes);
        for (name, source) in &entries {
            let names = match section {
                "refusal" => REFUSAL_NAMES.as_slice(),
                _ => ProblemCode::ALL.iter().find(|c| c.name() == name).map_or(&[] as &[_], |c| c.names()),
            };
            let key = format!("{section}.{name}");
            if let Err(problem) = entry(&mut registry, &key, source, names) {
                mistakes.push(format!("{file}: {key}: {problem}"));
            }
        }
    }
    mistakes.extend(sections.keys().map(|unknown| format!("{file}: [{unknown}]: there is no such section")));
    Texts { registry, terms, phrases }
}

fn complete(file: &str, section: &str, entries: &BTreeMap<String, String>, known: &[&str], mistakes: &mut Vec<String>) {
    for name in known.iter().filter(|name| !entries.contains_key(**name)) {
        mistakes.push(format!("{file}: {section}.{name}: is missing"));
    }
    for name in entries.keys().filter(|name| !known.contains(&name.as_str())) {
        let hint = heyi_engine::definition::nearest(name, known.iter().copied()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        mistakes.push(format!("{file}: {section}.{name}: there is no such entry{hint}"));
    }
}

/// Reads one entry, and renders it with everything present and with everything absent.
fn entry(registry: &mut Handlebars<'static>, key: &str, source: &str, names: &[&str]) -> Result<(), String> {
    let blocks = source.matches("{{#").count() + source.matches('(').count() + source.matches("else").count();
    if source.trim().is_empty() || source.len() > MAX_ENTRY_BYTES || blocks > MAX_BLOCKS {
        return Err(format!("an entry has 1 to {MAX_ENTRY_BYTES} bytes and at most {MAX_BLOCKS} blocks"));
    }
    if ["{{{", "{{&", "{{>", "{{*", "{{#*", "{{#>"].iter().any(|tag| source.contains(tag)) {
        return Err("only {{name}} and {{#if …}} are understood".to_owned());
    }
    let template = Template::compile(source).map_err(|error| error.to_string())?;
    read(&template, names)?;
    registry.register_template(key, template);
    let full = context(names.iter().map(|n| (*n, Some("1".to_owned()))));
    let empty = context(names.iter().map(|n| (*n, None)));
    for sample in [full, empty] {
        registry.render(key, &sample).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Compares every name with the known ones: strict mode is silent about a wrong name inside a condition.
fn read(template: &Template, names: &[&str]) -> Result<(), String> {
    for element in &template.elements {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(tag) | TemplateElement::HtmlExpression(tag) => match &tag.name {
                Parameter::Path(_) | Parameter::Name(_) if tag.params.is_empty() => parameter(&tag.name, names)?,
                _ => return Err("only {{name}} and {{#if …}} are understood".to_owned()),
            },
            TemplateElement::HelperBlock(block) => condition(block, names)?,
            _ => return Err("only {{name}} and {{#if …}} are understood".to_owned()),
        }
    }
    Ok(())
}

fn condition(block: &HelperTemplate, names: &[&str]) -> Result<(), String> {
    if block.name.as_name() != Some("if") || block.params.len() != 1 {
        return Err("the only block is {{#if …}}".to_owned());
    }
    block.params.iter().try_for_each(|p| parameter(p, names))?;
    block.template.iter().chain(&block.inverse).try_for_each(|t| read(t, names))
}

fn parameter(parameter: &Parameter, names: &[&str]) -> Result<(), String> {
    match parameter {
        Parameter::Literal(_) => Ok(()),
        Parameter::Path(_) | Parameter::Name(_) => {
            let name = parameter.as_name().unwrap_or_default();
            if names.contains(&name) { Ok(()) } else { Err(format!("there is no name `{name}` here; known are {}", names.join(", "))) }
        }
        Parameter::Subexpression(inner) => {
            let TemplateElement::Expression(call) = inner.element.as_ref() else { return Err("this cannot be read".to_owned()) };
            if call.name.as_name() != Some("eq") {
                return Err("the only helper is (eq name \"word\")".to_owned());
            }
            call.params.iter().try_for_each(|p| self::parameter(p, names))
        }
        _ => Err("this cannot be read".to_owned()),
    }
}

/// The languages that a text is asked for in, as a header says: the known one that the asker likes best.
#[must_use]
pub fn preferred(accept_language: &str) -> Option<&'static str> {
    let mut best: Option<(f32, &'static str)> = None;
    for part in accept_language.split(',').take(20) {
        let (tag, q) = part.split_once(";q=").unwrap_or((part, "1"));
        let tag = tag.trim().to_ascii_lowercase();
        let Some(language) = LANGUAGES.into_iter().find(|l| tag.split('-').next() == l.split('-').next()) else { continue };
        let q: f32 = q.trim().parse().unwrap_or(0.0);
        if q > 0.0 && best.is_none_or(|(most, _)| q > most) {
            best = Some((q, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_words_are_complete() {
        let words = Words::load(None).unwrap_or_else(|mistakes| panic!("{}", mistakes.join("\n")));
        for language in LANGUAGES {
            for code in ProblemCode::ALL {
                let (title, detail) = words.problem(language, code, &BTreeMap::new());
                assert!(!title.is_empty() && !detail.contains("{{"), "{language} {code:?}");
            }
        }
        assert_eq!(words.phrase("zh-CN", "one of a, b"), "下列之一：a, b");
        assert_eq!(words.phrase("en", "one of a, b"), "one of a, b");
    }

    #[test]
    fn a_wrong_entry_is_told_with_file_and_key() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("words")).unwrap();
        let text = "[refusal]\npapers = \"x\"\npaper = \"{{#if titel}}x{{/if}}\"\n[detail]\ninternal = \"{{{title}}}\"\n[odd]\nx = \"y\"\n";
        std::fs::write(folder.path().join("words/en.toml"), text).unwrap();
        let mistakes = Words::load(Some(folder.path())).unwrap_err().join("\n");
        for wanted in [
            "refusal.papers: there is no such entry; did you mean paper?",
            "refusal.paper: there is no name `titel`",
            "detail.internal: only",
            "[odd]",
        ] {
            assert!(mistakes.contains(wanted), "{wanted} in {mistakes}");
        }
    }

    #[test]
    fn the_language_that_is_liked_best_wins() {
        assert_eq!(preferred("en-GB,en;q=0.9,zh;q=0.8"), Some("en"));
        assert_eq!(preferred("fr, zh-Hans-CN;q=0.5, en;q=0.1"), Some("zh-CN"));
        assert_eq!(preferred("fr"), None);
        assert_eq!(preferred("en;q=0"), None);
    }
}
