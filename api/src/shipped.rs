//! What the binary carries: workflows, scenarios, casts and calendars, and how a folder replaces or joins them.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition::check::Report;
use heyi_engine::definition::{self, Definition};
use heyi_engine::library::Library;
use heyi_engine::scenario::Cast;
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::path::Path;

static WORKFLOWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../workflows");

/// One workflow with what belongs to it, as text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// `workflow.yaml`
    pub workflow: String,
    /// `cast.yaml`
    pub cast: Option<String>,
    /// Scenario files by name.
    pub scenarios: BTreeMap<String, String>,
}

/// All sources: the shipped ones, with a folder laid over them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Workflows by name.
    pub workflows: BTreeMap<String, Source>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, String>,
}

/// What is wrong with the sources, as sentences that name file, line and key.
pub type Mistakes = Vec<String>;

impl Sources {
    /// The shipped files, with those of `folder` laid over them: a file of the same name replaces, another one joins.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub fn read(folder: Option<&Path>) -> Result<Self, Mistakes> {
        let mut out = Self::default();
        let mut files = BTreeMap::new();
        collect(&WORKFLOWS, &mut files);
        if let Some(folder) = folder {
            if !folder.is_dir() {
                return Err(vec![format!("{}: there is no such folder", folder.display())]);
            }
            walk(folder, folder, &mut files, 0)?;
        }
        for (path, text) in files {
            match path.split('/').collect::<Vec<_>>().as_slice() {
                ["calendars", file] if yaml(file) => drop(out.calendars.insert(stem(file), text)),
                [name, "workflow.yaml"] => out.source(name).workflow = text,
                [name, "cast.yaml"] => out.source(name).cast = Some(text),
                [name, "scenarios", file] if yaml(file) => drop(out.source(name).scenarios.insert(stem(file), text)),
                _ => {}
            }
        }
        out.workflows.retain(|_, source| !source.workflow.is_empty());
        Ok(out)
    }

    fn source(&mut self, name: &str) -> &mut Source {
        self.workflows.entry(name.to_owned()).or_insert_with(|| Source {
            name: name.to_owned(),
            workflow: String::new(),
            cast: None,
            scenarios: BTreeMap::new(),
        })
    }

    /// Reads everything into a library.
    ///
    /// # Errors
    /// Every mistake of every file.
    pub fn library(&self, policies: &BTreeMap<String, BTreeMap<String, String>>) -> Result<Library, Mistakes> {
        let mut library = Library::default();
        let mut mistakes = Vec::new();
        for name in self.calendars.keys() {
            match self.calendar(name) {
                Ok(calendar) => library.add_calendar(calendar),
                Err(more) => mistakes.extend(more),
            }
        }
        for unknown in policies.keys().filter(|name| !self.workflows.contains_key(*name)) {
            mistakes.push(format!("settings: policy.{unknown}: there is no such workflow"));
        }
        let none = BTreeMap::new();
        for (name, source) in &self.workflows {
            match source.definition() {
                Err(more) => mistakes.extend(more),
                Ok(definition) => match Policy::of(&definition, policies.get(name).unwrap_or(&none)) {
                    Ok(policy) => mistakes.extend(library.add_workflow(definition, policy).err()),
                    Err(more) => mistakes.extend(more.into_iter().map(|m| format!("settings: {name}: {m}"))),
                },
            }
        }
        if mistakes.is_empty() { Ok(library) } else { Err(mistakes) }
    }

    /// Reads a calendar.
    ///
    /// # Errors
    /// Every mistake, or that there is none of this name.
    pub fn calendar(&self, name: &str) -> Result<Calendar, Mistakes> {
        let source = self.calendars.get(name).ok_or_else(|| vec![format!("there is no calendar `{name}`")])?;
        Calendar::parse(source).map_err(|mistakes| mistakes.iter().map(|m| format!("calendars/{name}.yaml:{m}")).collect())
    }
}

impl Source {
    /// Reads the definition, for cases to be opened under.
    ///
    /// # Errors
    /// Every mistake, and every finding of the check.
    pub fn definition(&self) -> Result<Definition, Mistakes> {
        let (definition, report) = self.read()?;
        if report.findings.is_empty() {
            return Ok(definition);
        }
        Err(report.findings.iter().map(|f| format!("{}/workflow.yaml:{}", self.name, f.mistake)).collect())
    }

    /// Reads the definition with what the check finds about it, to be played and looked at.
    ///
    /// # Errors
    /// Every mistake for which it cannot be read.
    pub fn read(&self) -> Result<(Definition, Report), Mistakes> {
        let (definition, report) = definition::load_with_findings(&self.workflow)
            .map_err(|mistakes| mistakes.0.iter().map(|m| format!("{}/workflow.yaml:{m}", self.name)).collect::<Mistakes>())?;
        if definition.file.workflow != self.name {
            return Err(vec![format!(
                "{}/workflow.yaml: the workflow calls itself `{}`; give the folder the same name",
                self.name, definition.file.workflow
            )]);
        }
        Ok((definition, report))
    }

    /// Reads the cast; a workflow without one gets one account per role and side.
    ///
    /// # Errors
    /// Every mistake.
    pub fn cast(&self, definition: &Definition) -> Result<Cast, Mistakes> {
        match &self.cast {
            None => Ok(Cast::of(definition)),
            Some(source) => Cast::parse(source).map_err(|m| m.0.iter().map(|m| format!("{}/cast.yaml:{m}", self.name)).collect()),
        }
    }
}

fn yaml(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|e| e == "yaml")
}

fn stem(file: &str) -> String {
    file.trim_end_matches(".yaml").to_owned()
}

fn collect(dir: &Dir<'_>, out: &mut BTreeMap<String, String>) {
    for file in dir.files() {
        if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
            out.insert(path.to_owned(), text.to_owned());
        }
    }
    for inner in dir.dirs() {
        collect(inner, out);
    }
}

/// Folders below the override folder are read this deep.
const MAX_DEPTH: usize = 3;

fn walk(root: &Path, folder: &Path, out: &mut BTreeMap<String, String>, depth: usize) -> Result<(), Mistakes> {
    let failed = |path: &Path, error: std::io::Error| vec![format!("{}: {error}", path.display())];
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                walk(root, &path, out, depth + 1)?;
            }
        } else if path.extension().is_some_and(|e| e == "yaml")
            && let Some(relative) = path.strip_prefix(root).ok().and_then(|p| p.to_str())
        {
            let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
            out.insert(relative.replace('\\', "/"), text);
        }
    }
    Ok(())
}
