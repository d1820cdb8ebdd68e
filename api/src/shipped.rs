//! What the binary carries: workflows, scenarios, casts and calendars, and how a folder replaces or joins them.

use heyi_engine::calendar::Calendar;
use heyi_engine::case::Policy;
use heyi_engine::definition::check::Report;
use heyi_engine::definition::{self, Definition};
use heyi_engine::library::Library;
use heyi_engine::scenario::Cast;
use include_dir::{Dir, include_dir};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

static WORKFLOWS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../workflows");

/// The text of a file: in the binary, where it lies without being copied, or read.
pub type Text = Cow<'static, str>;

/// One workflow with what belongs to it, as text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// `workflow.yaml`
    pub workflow: Text,
    /// `cast.yaml`
    pub cast: Option<Text>,
    /// Scenario files by name.
    pub scenarios: BTreeMap<String, Text>,
    /// Their records, by the scenario's name.
    pub records: BTreeMap<String, Text>,
}

/// All sources: the shipped ones, with a folder laid over them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Workflows by name.
    pub workflows: BTreeMap<String, Source>,
    /// Calendars by name.
    pub calendars: BTreeMap<String, Text>,
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
            let mut own = BTreeMap::new();
            walk(folder, folder, &mut own, 0)?;
            files.retain(|path, _| !outdated(path, &own));
            files.append(&mut own);
        }
        for (path, text) in files {
            match path.split('/').collect::<Vec<_>>().as_slice() {
                ["calendars", file] if yaml(file) => drop(out.calendars.insert(stem(file), text)),
                [name, "workflow.yaml"] => out.source(name).workflow = text,
                [name, "cast.yaml"] => out.source(name).cast = Some(text),
                [name, "scenarios", file] if yaml(file) => drop(out.source(name).scenarios.insert(stem(file), text)),
                [name, "records", file] if record(file) => drop(out.source(name).records.insert(stem(file), text)),
                _ => {}
            }
        }
        out.workflows.retain(|_, source| !source.workflow.is_empty());
        Ok(out)
    }

    fn source(&mut self, name: &str) -> &mut Source {
        self.workflows.entry(name.to_owned()).or_insert_with(|| Source {
            name: name.to_owned(),
            workflow: Text::default(),
            cast: None,
            scenarios: BTreeMap::new(),
            records: BTreeMap::new(),
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
                Ok(calendar) => library.add_calendar_as(name, calendar),
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

    /// Reads a calendar, laid over those that it says it is `over`.
    ///
    /// # Errors
    /// Every mistake, or that there is none of this name.
    pub fn calendar(&self, name: &str) -> Result<Calendar, Mistakes> {
        let known: Vec<&str> = self.calendars.keys().map(String::as_str).collect();
        Calendar::assemble(name, |wanted| self.calendars.get(wanted).map(AsRef::as_ref), &known)
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

fn record(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|e| e == "txt")
}

fn stem(file: &str) -> String {
    file.trim_end_matches(".yaml").trim_end_matches(".txt").to_owned()
}

/// Whether a shipped file is the record of a play that goes otherwise with the files of a folder.
fn outdated(path: &str, own: &BTreeMap<String, Text>) -> bool {
    let [name, "records", file] = path.split('/').collect::<Vec<_>>()[..] else { return false };
    let scenario = format!("{name}/scenarios/{}.yaml", stem(file));
    let rests_on = |own: &String| own.starts_with("calendars/") || *own == format!("{name}/workflow.yaml") || *own == format!("{name}/cast.yaml");
    own.keys().any(|path| rests_on(path) || *path == scenario)
}

fn collect(dir: &'static Dir<'static>, out: &mut BTreeMap<String, Text>) {
    for file in dir.files() {
        if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
            out.insert(path.to_owned(), Cow::Borrowed(text));
        }
    }
    for inner in dir.dirs() {
        collect(inner, out);
    }
}

/// Folders below the override folder are read this deep.
const MAX_DEPTH: usize = 3;

fn walk(root: &Path, folder: &Path, out: &mut BTreeMap<String, Text>, depth: usize) -> Result<(), Mistakes> {
    let failed = |path: &Path, error: std::io::Error| vec![format!("{}: {error}", path.display())];
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                walk(root, &path, out, depth + 1)?;
            }
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "txt")
            && let Some(relative) = path.strip_prefix(root).ok().and_then(|p| p.to_str())
        {
            let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
            out.insert(relative.replace('\\', "/"), Cow::Owned(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder can be made");
        std::fs::write(path, text).expect("a file can be written");
    }

    const COUNTY: &str =
        "calendar: county\nover: china\nholidays: {county_day: {zh-CN: 县庆日}}\nyears:\n  2026: {source: s, days_off: {county_day: 2026-04-07}}\n";

    #[test]
    fn a_workflow_that_names_local_days_is_counted_by_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let shipped = Sources::read(None).expect("the shipped files are good");
        let ours = shipped.workflows["medical-dispute"].workflow.replace("calendar: china", "calendar: county");
        write(folder.path(), "medical-dispute/workflow.yaml", &ours);
        write(folder.path(), "calendars/county.yaml", COUNTY);
        let library = Sources::read(Some(folder.path())).expect("they can be read").library(&BTreeMap::new()).expect("they are good");
        let workflow = library.workflow("medical-dispute").expect("it is there");
        let calendar = library.calendar(&workflow.definition.file.calendar).expect("the calendar is there");
        let off = |date: &str| !calendar.day(date.parse().expect("a day")).working;
        assert!(off("2026-04-07"), "the county's own day");
        assert!(off("2026-10-01"), "the country's day");
        assert!(!off("2026-04-08"));
        write(folder.path(), "calendars/county.yaml", &COUNTY.replace("over: china", "over: chnia"));
        let wrong = Sources::read(Some(folder.path())).expect("they can be read").library(&BTreeMap::new()).expect_err("nothing to lie over");
        assert_eq!(wrong.join("\n").lines().next(), Some("calendars/county.yaml: over: there is no calendar `chnia` (did you mean `china`?)"));
    }

    #[test]
    fn a_record_goes_when_what_it_rests_on_is_replaced() {
        let own = |path: &str| BTreeMap::from([(path.to_owned(), Text::default())]);
        for path in ["w/workflow.yaml", "w/cast.yaml", "w/scenarios/a.yaml", "calendars/china.yaml"] {
            assert!(outdated("w/records/a.txt", &own(path)), "{path}");
        }
        for path in ["v/workflow.yaml", "w/scenarios/b.yaml", "w/records/a.txt"] {
            assert!(!outdated("w/records/a.txt", &own(path)), "{path}");
        }
        assert!(!outdated("w/scenarios/a.yaml", &own("w/workflow.yaml")));
    }
}
