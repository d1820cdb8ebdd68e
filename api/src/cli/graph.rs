//! `heyi workflow graph`: pictures of a workflow, on standard output or as files.

use super::{Failure, Language, Outcome};
use crate::shipped::{Source, Sources};
use clap::{Args, ValueEnum};
use heyi_engine::definition::{Definition, nearest};
use heyi_engine::graph::{self, Format, Picture};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The name of the picture of all proceedings.
const WHOLE: &str = "whole";

/// Draw workflows.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi workflow graph medical-dispute > whole.svg\n  heyi workflow graph medical-dispute --kind mediation --language zh-CN > mediation.svg\n  heyi workflow graph --out pictures\n  heyi workflow graph medical-dispute --format dot | dot -Tpdf > whole.pdf\n\nWithout --kind the picture of all proceedings is printed; with --out every picture is written to a file of its own."
)]
pub struct Graph {
    /// The workflow; may be left out where only one is installed, and with --out for all of them.
    name: Option<String>,
    /// Only this kind of proceeding.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// How the picture is written.
    #[arg(long, value_enum, default_value = "svg")]
    format: Written,
    /// The language of the words; the terminal's when left out.
    #[arg(long, value_enum)]
    language: Option<Language>,
    /// A folder for the files: one for each proceeding, and `whole`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A folder whose workflows replace or join the shipped ones.
    #[arg(long, value_name = "DIR", env = "HEYI_WORKFLOWS")]
    workflows: Option<PathBuf>,
}

/// A format, as the command names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Written {
    /// Text for documents and wikis
    Mermaid,
    /// Text for Graphviz
    Dot,
    /// A picture for browsers
    Svg,
}

impl From<Written> for Format {
    fn from(written: Written) -> Self {
        match written {
            Written::Mermaid => Self::Mermaid,
            Written::Dot => Self::Dot,
            Written::Svg => Self::Svg,
        }
    }
}

impl Graph {
    /// Runs it.
    pub(super) fn run(self) -> Outcome {
        let all = Sources::read(self.workflows.as_deref()).map_err(|m| Failure::usage(m.join("\n")))?;
        let chosen = self.chosen(&all)?;
        let format = Format::from(self.format);
        let language = self.language.unwrap_or_else(Language::of_terminal).tag();
        for source in &chosen {
            let definition = source.definition().map_err(|m| Failure::negative(m.join("\n")))?;
            let Some(out) = &self.out else {
                let (_, picture) = self.pictures(&definition, language)?.pop().ok_or_else(|| Failure::negative("there is nothing to draw"))?;
                return print(&picture.write(format));
            };
            // Several workflows may have proceedings of one name.
            let folder = if chosen.len() > 1 { out.join(&source.name) } else { out.clone() };
            let failed = |path: &Path, error: &std::io::Error| Failure::negative(format!("{}: {error}", path.display()));
            std::fs::create_dir_all(&folder).map_err(|e| failed(&folder, &e))?;
            for (name, picture) in self.pictures(&definition, language)? {
                let path = folder.join(format!("{name}.{}", format.extension()));
                std::fs::write(&path, picture.write(format)).map_err(|e| failed(&path, &e))?;
                println!("{}", path.display());
            }
        }
        Ok(())
    }

    fn chosen(&self, all: &Sources) -> Result<Vec<Source>, Failure> {
        let names = || all.workflows.keys().map(String::as_str);
        let Some(name) = &self.name else {
            if self.out.is_none() && all.workflows.len() != 1 {
                return Err(Failure::usage(format!("say which workflow: {}", names().collect::<Vec<_>>().join(", "))));
            }
            return Ok(all.workflows.values().cloned().collect());
        };
        let found = all.workflows.get(name).cloned();
        found.map(|source| vec![source]).ok_or_else(|| unknown("workflow", name, names()))
    }

    /// The pictures that are asked for, that of the whole last.
    fn pictures(&self, definition: &Definition, language: &str) -> Result<Vec<(String, Picture)>, Failure> {
        if let Some(kind) = &self.kind {
            let picture = graph::kind(definition, language, kind);
            let picture = picture.ok_or_else(|| unknown("kind of proceeding", kind, definition.kinds.keys().map(String::as_str)))?;
            return Ok(vec![(kind.clone(), picture)]);
        }
        let kinds = if self.out.is_some() { definition.kinds.keys().cloned().collect() } else { Vec::new() };
        let drawn = kinds.into_iter().filter_map(|kind| graph::kind(definition, language, &kind).map(|picture| (kind, picture)));
        Ok(drawn.chain([(WHOLE.to_owned(), graph::whole(definition, language))]).collect())
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone) -> Failure {
    let near = nearest(name, known.clone());
    let hint = near.map_or_else(|| format!("there are: {}", known.collect::<Vec<_>>().join(", ")), |n| format!("did you mean `{n}`?"));
    Failure::usage(format!("there is no {what} `{name}` ({hint})"))
}

/// Prints a text whole; a reader that has seen enough is no failure.
fn print(text: &str) -> Outcome {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
