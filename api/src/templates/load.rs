//! Loading all templates with every mistake at once, and rendering one notice with what was loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use handlebars::template::Template;
use handlebars::{Context, Handlebars};
use sha2::{Digest, Sha256};

use super::check::{Check, Format};
use super::helpers::{Language, register};
use super::sources::{PARTS, Part, SHARED, Sources, read, shown};
use super::{
    MAX_OUTPUT_BYTES, MAX_SUBJECT_CHARACTERS, MAX_TEMPLATE_BYTES, NoticeView, RenderError, Rendered, Shape, TemplateMistake, graph, sample, scan,
};

/// The templates of every notice in every language, checked.
pub struct Templates {
    shapes: BTreeMap<String, Shape>,
    languages: BTreeMap<String, Registries>,
    digests: BTreeMap<(String, String), String>,
}

/// Escaping belongs to the registry, so text and HTML have one each; and a language sees no other's partials.
struct Registries {
    text: Handlebars<'static>,
    html: Handlebars<'static>,
}

impl Registries {
    fn new(language: Language) -> Registries {
        let mut text = Handlebars::new();
        text.register_escape_fn(handlebars::no_escape);
        let mut html = Handlebars::new();
        html.register_escape_fn(handlebars::html_escape);
        for registry in [&mut text, &mut html] {
            registry.set_strict_mode(true);
            register(registry, language);
        }
        Registries { text, html }
    }

    fn of(&self, part: Part) -> &Handlebars<'static> {
        if part == Part::Html { &self.html } else { &self.text }
    }
}

impl Templates {
    /// Reads the embedded templates and those that `override_folder/mail` replaces, and checks all of them against
    /// `shapes` in each of `languages` (`zh-CN`, `en`).
    ///
    /// # Errors
    /// Every mistake of every file, with line and advice, sorted by file.
    pub fn load(shapes: &[Shape], languages: &[&str], override_folder: Option<&Path>) -> Result<Templates, Vec<TemplateMistake>> {
        let mut mistakes = BTreeSet::new();
        let sources = read(shapes, languages, override_folder, &mut mistakes);
        let mut templates =
            Templates { shapes: shapes.iter().map(|s| (s.kind.clone(), s.clone())).collect(), languages: BTreeMap::new(), digests: BTreeMap::new() };
        for tag in languages {
            match Language::parse(tag) {
                Some(language) => templates.language(tag, language, &sources, &mut mistakes),
                None => {
                    mistakes.insert(TemplateMistake {
                        file: shown(SHARED),
                        line: None,
                        problem: format!("dates and sums cannot be written in {tag}"),
                        advice: "the languages are zh-CN and en".into(),
                    });
                }
            }
        }
        if mistakes.is_empty() { Ok(templates) } else { Err(mistakes.into_iter().collect()) }
    }

    fn language(&mut self, tag: &str, language: Language, sources: &Sources, mistakes: &mut BTreeSet<TemplateMistake>) {
        let mut registries = Registries::new(language);
        let text = partials(tag, Format::Text, sources, mistakes);
        let html = partials(tag, Format::Html, sources, mistakes);
        for (registry, format) in [(&mut registries.text, &text), (&mut registries.html, &html)] {
            for (name, template) in &format.parsed {
                registry.register_template(name, template.clone());
            }
        }
        for shape in self.shapes.values() {
            let mut hash = Sha256::new();
            for part in PARTS {
                let path = format!("{}/{tag}/{}.hbs", shape.kind, part.file());
                let Some(source) = sources.get(&path) else {
                    // One that is there and could not be read has been told already.
                    if mistakes.iter().all(|m| m.file != shown(&path)) {
                        mistakes.insert(TemplateMistake {
                            file: shown(&path),
                            line: None,
                            problem: format!("notice {} has no {} in {tag}", shape.kind, part.file()),
                            advice: "write this file".into(),
                        });
                    }
                    continue;
                };
                let format = if part == Part::Html { &html } else { &text };
                let name = template_name(&shape.kind, part);
                let Some(template) = parse(&path, &name, source, part == Part::Html, mistakes) else {
                    continue;
                };
                let mut add = |path: &str, source: &str| {
                    // Lengths first, so that no two sets of files give the same bytes.
                    hash.update(format!("{path} {}\n", source.len()));
                    hash.update(source);
                };
                add(&path, source);
                for partial in graph::reached(&template, &format.parsed) {
                    let path = format.path(&partial);
                    sources.get(&path).into_iter().for_each(|source| add(&path, source));
                }
                let sound = Check::new(format, shape, mistakes).run(&path, part, &template);
                let registry = if part == Part::Html { &mut registries.html } else { &mut registries.text };
                registry.register_template(&name, template);
                if sound {
                    try_samples(registry, &path, part, shape, tag, mistakes);
                }
            }
            let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            self.digests.insert((shape.kind.clone(), tag.to_owned()), digest);
        }
        self.languages.insert(tag.to_owned(), registries);
    }

    /// Whether there is nothing to write letters with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.languages.is_empty() || self.digests.is_empty()
    }

    /// Puts `view` into words.
    ///
    /// # Errors
    /// When there is no such notice, or the view lacks the shape that the templates were checked against.
    pub fn render(&self, view: &NoticeView) -> Result<Rendered, RenderError> {
        let unknown = || RenderError::Unknown { kind: view.kind.clone(), language: view.language.clone() };
        let shape = self.shapes.get(&view.kind).ok_or_else(unknown)?;
        let registries = self.languages.get(&view.language).ok_or_else(unknown)?;
        let view = sample::fitted(shape, view).map_err(|(field, problem)| RenderError::Data { kind: view.kind.clone(), field, problem })?;
        let part = |part: Part| {
            part_in_words(registries.of(part), part, &view).map_err(|failed| RenderError::Output {
                kind: view.kind.clone(),
                language: view.language.clone(),
                part: part.file().to_owned(),
                problem: failed.problem,
            })
        };
        Ok(Rendered { subject: part(Part::Subject)?, text: part(Part::Text)?, html: part(Part::Html)? })
    }

    /// SHA-256 over the files that this notice is made from in this language, as hexadecimal digits.
    pub fn digest(&self, kind: &str, language: &str) -> Option<String> {
        self.digests.get(&(kind.to_owned(), language.to_owned())).cloned()
    }
}

/// The partials of one language and format.
pub(super) struct Partials {
    pub parsed: BTreeMap<String, Template>,
    /// Named in a file, but not parsed: a mistake that is already told.
    pub broken: BTreeSet<String>,
    /// Those that come back to themselves or include one that does.
    pub cyclic: BTreeSet<String>,
    language: String,
    format: Format,
}

impl Partials {
    /// The path of the partial `name`.
    pub fn path(&self, name: &str) -> String {
        format!("{SHARED}/{}/{name}{}", self.language, self.format.ending())
    }
}

fn partials(tag: &str, format: Format, sources: &Sources, mistakes: &mut BTreeSet<TemplateMistake>) -> Partials {
    let mut partials = Partials { parsed: BTreeMap::new(), broken: BTreeSet::new(), cyclic: BTreeSet::new(), language: tag.to_owned(), format };
    let folder = format!("{SHARED}/{tag}/");
    for (path, source) in sources {
        let Some(name) = path.strip_prefix(&folder).and_then(|file| file.strip_suffix(format.ending())) else {
            continue;
        };
        match parse(path, name, source, format == Format::Html, mistakes) {
            Some(template) => drop(partials.parsed.insert(name.to_owned(), template)),
            None => drop(partials.broken.insert(name.to_owned())),
        }
    }
    let cycles = graph::cycles(&partials.parsed);
    for (members, line) in &cycles {
        let round = [members.as_slice(), &members[..1]].concat().join(" → ");
        mistakes.insert(TemplateMistake {
            file: shown(&partials.path(&members[0])),
            line: Some(*line),
            problem: format!("partials include each other without end: {round}"),
            advice: "take one of them out of the round".into(),
        });
    }
    for (name, template) in &partials.parsed {
        let mut reached = graph::reached(template, &partials.parsed);
        reached.insert(name.clone());
        if cycles.iter().any(|(members, _)| members.iter().any(|m| reached.contains(m))) {
            partials.cyclic.insert(name.clone());
        }
    }
    partials
}

fn template_name(kind: &str, part: Part) -> String {
    // A slash keeps it apart from the names of partials, which are file names.
    format!("{kind}/{}", part.file())
}

fn parse(path: &str, name: &str, source: &str, html: bool, mistakes: &mut BTreeSet<TemplateMistake>) -> Option<Template> {
    let mut say = |line: Option<usize>, problem: String, advice: String| {
        mistakes.insert(TemplateMistake { file: shown(path), line, problem, advice });
    };
    if source.len() > MAX_TEMPLATE_BYTES {
        say(None, "the file is larger than 256 KB".into(), "shorten it".into());
        return None;
    }
    let mut fatal = false;
    for finding in scan::scan(source, html) {
        fatal |= finding.fatal;
        say(Some(finding.line), finding.problem, finding.advice);
    }
    if fatal {
        return None;
    }
    match Template::compile_with_name(source, name.to_owned()) {
        Ok(template) => Some(template),
        Err(error) => {
            let reason = error.reason().to_string();
            let line = error.pos().map(|(line, _)| line);
            say(line, format!("it cannot be read: {}", one_line(&reason)), "close every {{#…}} with its {{/…}}".into());
            None
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a part could not be put into words; the line is the template's.
struct Failed {
    line: Option<usize>,
    problem: String,
}

fn failed(problem: impl Into<String>) -> Failed {
    Failed { line: None, problem: problem.into() }
}

fn part_in_words(registry: &Handlebars<'static>, part: Part, view: &NoticeView) -> Result<String, Failed> {
    let name = template_name(&view.kind, part);
    let context = Context::wraps(sample::context(view)).map_err(|_| failed("the view cannot be read"))?;
    let mut out = Capped(Vec::new());
    registry.render_with_context_to_write(&name, &context, &mut out).map_err(|error| Failed {
        line: error.line_no,
        // The reason names variables and helpers; our helpers never put a value into it.
        problem: one_line(&error.reason().to_string()),
    })?;
    let words = String::from_utf8(out.0).map_err(|_| failed("not UTF-8"))?;
    match part {
        Part::Subject => subject(words.trim_end_matches('\n')),
        Part::Text => Ok(tidy(&words)),
        Part::Html => Ok(words),
    }
}

/// A subject is one line that every mail program shows whole.
fn subject(words: &str) -> Result<String, Failed> {
    let characters = words.chars().count();
    if words.trim().is_empty() {
        return Err(failed("the subject is empty"));
    }
    if words.chars().any(char::is_control) {
        return Err(failed("the subject has a line break or another control character"));
    }
    if characters > MAX_SUBJECT_CHARACTERS {
        return Err(failed(format!("the subject has {characters} characters of at most {MAX_SUBJECT_CHARACTERS}")));
    }
    Ok(words.to_owned())
}

/// No blanks at line ends and at most one empty line in a row: an absent field leaves no hole.
fn tidy(text: &str) -> String {
    let mut out = String::new();
    let mut empty = true;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() && empty {
            continue;
        }
        empty = line.is_empty();
        out.push_str(line);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// A buffer that refuses to grow beyond [`MAX_OUTPUT_BYTES`].
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other("the output is larger than 4 MB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Renders the full sample and the bare one, the text on paper too, and looks at what comes out.
fn try_samples(registry: &Handlebars<'static>, path: &str, part: Part, shape: &Shape, tag: &str, mistakes: &mut BTreeSet<TemplateMistake>) {
    let mut sound = true;
    for (full, paper) in [(true, false), (false, false), (true, true), (false, true)] {
        // Only the text is printed, and what is wrong in a mail need not be told a second time.
        if paper && (part != Part::Text || !sound) {
            continue;
        }
        let which = match (full, paper) {
            (true, false) => "the full sample",
            (false, false) => "the sample without optional fields",
            (true, true) => "the full sample on paper",
            (false, true) => "the sample without optional fields, on paper",
        };
        let mut say = |line: Option<usize>, problem: String, advice: &str| {
            sound = false;
            let problem = format!("with {which}: {problem}");
            mistakes.insert(TemplateMistake { file: shown(path), line, problem, advice: advice.to_owned() });
        };
        match part_in_words(registry, part, &NoticeView { paper, ..sample::view(shape, tag, full) }) {
            Err(failed) => say(failed.line, failed.problem, "mend the template until both samples render"),
            Ok(words) if words.trim().is_empty() => say(None, "nothing comes out".into(), "say something"),
            Ok(words) => {
                if !full && ["null", "[object]"].iter().any(|w| words.contains(w)) {
                    say(None, "an absent field shows".into(), "put it inside {{#if …}}");
                }
                if part == Part::Html && !words.contains(&format!("lang=\"{tag}\"")) {
                    say(None, format!("no lang=\"{tag}\""), "use {{#> layout}}, or put it on <html>");
                }
            }
        }
    }
}
