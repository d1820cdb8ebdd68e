//! Where template files come from: embedded in the binary, and a committee's folder that replaces them one by one.
//! Only reading and naming live here; what a file says is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};

use super::{MAX_TEMPLATE_BYTES, Shape, TemplateMistake};

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../templates/mail");

/// The folder of the partials that all notices share.
pub(super) const SHARED: &str = "_shared";
/// The three files of a notice in a language.
pub(super) const PARTS: [Part; 3] = [Part::Subject, Part::Text, Part::Html];
/// How many files an override folder may hold.
const MAX_OVERRIDES: usize = 5_000;

/// One of the three files of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Subject,
    Text,
    Html,
}

impl Part {
    /// The file's name without `.hbs`.
    pub(super) fn file(self) -> &'static str {
        match self {
            Part::Subject => "subject.txt",
            Part::Text => "body.txt",
            Part::Html => "body.html",
        }
    }
}

/// All sources by path below `mail/`, without that prefix: `acceptance/zh-CN/body.txt.hbs`.
pub(super) type Sources = BTreeMap<String, String>;

/// Reads the embedded files, then those of `folder/mail`, which replace them.
pub(super) fn read(shapes: &[Shape], languages: &[&str], folder: Option<&Path>, mistakes: &mut BTreeSet<TemplateMistake>) -> Sources {
    let mut sources = Sources::new();
    embedded(&EMBEDDED, &mut sources);
    let shipped: BTreeSet<String> = sources.keys().filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
    if let Some(folder) = folder {
        if !folder.is_dir() {
            mistakes.insert(mistake("", "the folder of own templates does not exist", "create it, or drop the setting"));
        }
        let mut found = Vec::new();
        list(&folder.join("mail"), "", 0, &mut found, mistakes);
        for path in found {
            place(&path, shapes, languages, &shipped, mistakes);
            match load(&folder.join("mail").join(&path)) {
                Ok(text) => {
                    sources.insert(path, text);
                }
                Err((problem, advice)) => {
                    mistakes.insert(mistake(&path, &problem, advice));
                }
            }
        }
    }
    sources
}

fn mistake(path: &str, problem: &str, advice: &str) -> TemplateMistake {
    TemplateMistake { file: shown(path), line: None, problem: problem.to_owned(), advice: advice.to_owned() }
}

/// How a path is shown to people: below the templates folder.
pub(super) fn shown(path: &str) -> String {
    format!("mail/{path}")
}

fn embedded(dir: &Dir<'static>, sources: &mut Sources) {
    for file in dir.files() {
        if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8())
            && path.ends_with(".hbs")
        {
            // Windows separators would make other names there than here.
            sources.insert(path.replace('\\', "/"), text.to_owned());
        }
    }
    dir.dirs().for_each(|dir| embedded(dir, sources));
}

fn list(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>, mistakes: &mut BTreeSet<TemplateMistake>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || found.len() >= MAX_OVERRIDES {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if !entry.path().is_dir() {
            found.push(path);
        } else if depth < 2 {
            list(&entry.path(), &path, depth + 1, found, mistakes);
        } else {
            mistakes.insert(mistake(&path, "a folder too deep", "the form is NOTICE/LANGUAGE/FILE.hbs"));
        }
    }
}

/// Says when a file of an override folder stands where nothing would ever read it.
fn place(path: &str, shapes: &[Shape], languages: &[&str], shipped: &BTreeSet<String>, mistakes: &mut BTreeSet<TemplateMistake>) {
    let mut say = |problem: String, advice: String| {
        mistakes.insert(TemplateMistake { file: shown(path), line: None, problem, advice });
    };
    let pieces: Vec<&str> = path.split('/').collect();
    let [notice, language, file] = pieces[..] else {
        return say("a file outside NOTICE/LANGUAGE".into(), "the form is NOTICE/LANGUAGE/FILE.hbs".into());
    };
    if notice != SHARED && !shipped.contains(notice) && shapes.iter().all(|s| s.kind != notice) {
        let kinds = shapes.iter().map(|s| s.kind.as_str());
        say(format!("there is no notice {notice}"), super::check::suggest(notice, kinds));
    }
    if !languages.contains(&language) {
        let advice = super::check::suggest(language, languages.iter().copied());
        say(format!("language {language} is not in use"), advice);
    }
    let known = PARTS.iter().any(|p| file.strip_suffix(".hbs") == Some(p.file()));
    let shared = file.ends_with(".txt.hbs") || file.ends_with(".html.hbs");
    if !(known || notice == SHARED && shared) {
        let names = PARTS.map(|p| format!("{}.hbs", p.file()));
        say(format!("{file} is no file of a notice"), super::check::suggest(file, names.iter().map(String::as_str)));
    }
}

fn load(path: &Path) -> Result<String, (String, &'static str)> {
    let problem = |what: &str| what.to_owned();
    let size = fs::metadata(path).map_err(|e| (format!("cannot be read: {}", e.kind()), "check its permissions"))?;
    if size.len() > MAX_TEMPLATE_BYTES as u64 {
        return Err((problem("the file is larger than 256 KB"), "shorten it"));
    }
    let bytes = fs::read(path).map_err(|e| (format!("cannot be read: {}", e.kind()), "check its permissions"))?;
    String::from_utf8(bytes).map_err(|_| (problem("the file is not UTF-8"), "save it as UTF-8"))
}
