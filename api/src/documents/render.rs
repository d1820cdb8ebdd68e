//! Rendering: frozen data and a template to PDF/A-2a + PDF/UA-1 with typst as a library.
//!
//! The world that typst sees here has one source (the template), the fonts, the inputs and a fixed date: no files, no
//! packages, no clock. Not here: what is in the data (`agreement`) and what the template gets of it (`view`).

use chrono::{Datelike, NaiveDate};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::foundations::{Bytes, Datetime, Dict, Duration, Smart};
use typst::syntax::{FileId, Source};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World, WorldExt, comemo};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use super::agreement::AgreementDocument;
use super::numerals::AmountError;
use super::templates::{Template, Templates};
use super::view::AgreementView;

/// The offset of Chinese legal time (UTC+8) in minutes.
const CHINA_OFFSET_MINUTES: i32 = 480;
/// How many compilations an unused intermediate result of typst outlives; 0 keeps memory flat.
const CACHE_AGE: usize = 0;
/// How many of typst's findings an error repeats.
const FINDINGS_SHOWN: usize = 5;

/// A rendered document.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The PDF file.
    pub pdf: Vec<u8>,
    /// Its number of pages.
    pub pages: usize,
    /// Lowercase hex SHA-256 of the template that was used; kept with the bytes.
    pub template_sha256: String,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered")
            .field("pdf_bytes", &self.pdf.len())
            .field("pages", &self.pages)
            .field("template_sha256", &self.template_sha256)
            .finish()
    }
}

/// Why a document was not rendered. No variant repeats a value of the case.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// A part that the form needs is absent or blank.
    #[error("{field}: the form needs it")]
    Missing {
        /// Which part, as a path into the data.
        field: String,
    },
    /// Over one of the limits.
    #[error("{field}: more than {limit} entries or characters")]
    TooLong {
        /// Which part, as a path into the data.
        field: String,
        /// The limit: [`MAX_ITEMS`](super::MAX_ITEMS) or [`MAX_CHARACTERS`](super::MAX_CHARACTERS).
        limit: usize,
    },
    /// A character that cannot be printed faithfully.
    #[error("{field}: character {position} (U+{code_point:04X}) cannot be printed with the installed fonts")]
    Character {
        /// Which part, as a path into the data.
        field: String,
        /// Which character of it, from 1.
        position: usize,
        /// Its Unicode code point.
        code_point: u32,
    },
    /// An amount without a written form.
    #[error("{field}: {source}")]
    Amount {
        /// Which part, as a path into the data.
        field: String,
        /// What is wrong with it.
        source: AmountError,
    },
    /// Two parts that say different things.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The template has a mistake; warnings count as mistakes. Values of the case are masked in the text.
    #[error("the template {0} failed: {1}")]
    Template(&'static str, String),
    /// The page was laid out, but could not be written as PDF/A-2a with PDF/UA-1.
    #[error("the document does not reach PDF/A-2a with PDF/UA-1: {0}")]
    Archive(String),
}

/// Checks an agreement without rendering it: required parts, sums, limits and characters.
pub fn check_agreement(document: &AgreementDocument, templates: &Templates) -> Result<(), DocumentError> {
    // Characters come last: a field over its limit need not be searched.
    document.check()?;
    templates.fonts().check(document.texts())
}

/// Renders 人民调解协议书. The same data, template and fonts give the same bytes.
///
/// ```
/// use heyi_api::documents::{AgreementDocument, Templates, render_agreement};
/// let rendered = render_agreement(&AgreementDocument::sample_full(), &Templates::embedded())?;
/// assert!(rendered.pdf.starts_with(b"%PDF-1.7"));
/// # Ok::<(), heyi_api::documents::DocumentError>(())
/// ```
pub fn render_agreement(document: &AgreementDocument, templates: &Templates) -> Result<Rendered, DocumentError> {
    check_agreement(document, templates)?;
    let values = document.texts().into_iter().map(|(_, text, _)| text).collect();
    print(templates.agreement(), templates, values, &AgreementView::new(document)?, document, document.effective_on)
}

/// Sets `view` with `template`. `values` are what messages must not repeat, `frozen` and `day` what the file is known by.
pub(super) fn print(
    template: &Template,
    templates: &Templates,
    values: Vec<&str>,
    view: &impl Serialize,
    frozen: &impl Serialize,
    day: NaiveDate,
) -> Result<Rendered, DocumentError> {
    let mask = Mask(values);
    let inputs_failed = || DocumentError::Template(template.file, "the inputs could not be handed over".into());
    let inputs = serde_json::to_value(view).and_then(serde_json::from_value::<Dict>).map_err(|_| inputs_failed())?;
    let frozen = serde_json::to_vec(frozen).map_err(|_| inputs_failed())?;
    let world = TemplateWorld::new(template, templates, inputs, day).ok_or_else(unprintable_date)?;
    let compiled = typst::compile::<PagedDocument>(&world);
    comemo::evict(CACHE_AGE);
    let pages = match compiled.output {
        Ok(pages) => pages,
        Err(found) => return Err(DocumentError::Template(template.file, mask.describe(&world, &found))),
    };
    if !compiled.warnings.is_empty() {
        return Err(DocumentError::Template(template.file, mask.describe(&world, &compiled.warnings)));
    }
    let options = pdf_options(template, &frozen, day)?;
    let written = typst_pdf::pdf(&pages, &options);
    comemo::evict(CACHE_AGE);
    let pdf = written.map_err(|found| DocumentError::Archive(mask.describe(&world, &found)))?;
    Ok(Rendered { pdf, pages: pages.pages().len(), template_sha256: template.sha256.clone() })
}

/// Nothing in here may depend on the moment of rendering.
fn pdf_options(template: &Template, frozen: &[u8], day: NaiveDate) -> Result<PdfOptions, DocumentError> {
    let ident = hex(&Sha256::new().chain_update(&template.sha256).chain_update(frozen).finalize());
    let timestamp = datetime(day).and_then(|at| Timestamp::new_local(at, CHINA_OFFSET_MINUTES)).ok_or_else(unprintable_date)?;
    let standards =
        PdfStandards::new(&[PdfStandard::A_2a, PdfStandard::Ua_1]).map_err(|refusal| DocumentError::Archive(refusal.message().to_string()))?;
    Ok(PdfOptions {
        ident: Smart::Custom(ident),
        creator: Smart::Custom(Some("Heyi".into())),
        timestamp: Some(timestamp),
        standards,
        ..PdfOptions::default()
    })
}

fn datetime(day: NaiveDate) -> Option<Datetime> {
    Datetime::from_ymd_hms(day.year(), day.month() as u8, day.day() as u8, 0, 0, 0)
}

fn unprintable_date() -> DocumentError {
    DocumentError::Contradiction("the day of the document is not a date that a PDF can carry")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All that typst can reach while rendering.
struct TemplateWorld<'a> {
    template: &'a Template,
    templates: &'a Templates,
    library: LazyHash<Library>,
    today: Datetime,
}

impl<'a> TemplateWorld<'a> {
    fn new(template: &'a Template, templates: &'a Templates, inputs: Dict, today: NaiveDate) -> Option<Self> {
        let library = LazyHash::new(Library::builder().with_inputs(inputs).build());
        Some(Self { template, templates, library, today: datetime(today)? })
    }
}

impl World for TemplateWorld<'_> {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        self.templates.fonts().book()
    }

    fn main(&self) -> FileId {
        self.template.source.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main() { Ok(self.template.source.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, _: FileId) -> FileResult<Bytes> {
        Err(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.templates.fonts().face(index)
    }

    /// The day of the document, so that `datetime.today()` in a template is no clock.
    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        Some(self.today)
    }
}

/// The values of a case, so that typst's messages can be told without them.
struct Mask<'a>(Vec<&'a str>);

impl Mask<'_> {
    fn describe(&self, world: &TemplateWorld<'_>, found: &[SourceDiagnostic]) -> String {
        let mut lines: Vec<String> = Vec::new();
        for diagnostic in found.iter().take(FINDINGS_SHOWN) {
            let source = &world.template.source;
            let place = world.range(diagnostic.span).and_then(|range| source.lines().byte_to_line(range.start));
            let message = self.hide(&diagnostic.message);
            lines.push(match place {
                Some(line) => format!("line {}: {message}", line + 1),
                None => message,
            });
        }
        lines.join("; ")
    }

    fn hide(&self, message: &str) -> String {
        // Longest first, or a name inside an address would leave the rest of the address standing.
        let mut values: Vec<&str> = self.0.iter().flat_map(|value| value.lines()).map(str::trim).filter(|v| !v.is_empty()).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.iter().fold(message.to_owned(), |text, value| text.replace(value, "…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{Templates, agreement::AgreementDocument};

    fn with_template(source: &str) -> Result<Rendered, DocumentError> {
        render_agreement(&AgreementDocument::sample_full(), &Templates::from_source(source))
    }

    #[test]
    fn both_samples_render_and_stay_the_same_byte_for_byte() {
        let templates = Templates::embedded();
        for document in [AgreementDocument::sample_full(), AgreementDocument::sample_bare()] {
            let first = render_agreement(&document, &templates).expect("rendered");
            assert!(first.pdf.starts_with(b"%PDF-1.7"));
            assert!((1..=3).contains(&first.pages), "{}", first.pages);
            let again = render_agreement(&document, &Templates::embedded()).expect("rendered");
            assert_eq!(first, again);
        }
    }

    #[test]
    fn other_data_give_another_identifier() {
        let pdf = |document: &AgreementDocument| render_agreement(document, &Templates::embedded()).expect("rendered").pdf;
        let mut changed = AgreementDocument::sample_full();
        changed.facts = changed.facts.replace("5月11日", "5月12日");
        assert_ne!(pdf(&AgreementDocument::sample_full()), pdf(&changed));
    }

    #[test]
    fn the_file_claims_both_standards_and_the_fixed_date() {
        let pdf = render_agreement(&AgreementDocument::sample_full(), &Templates::embedded()).expect("rendered").pdf;
        let text = String::from_utf8_lossy(&pdf);
        for claim in [
            "<pdfaid:part>2</pdfaid:part>",
            "<pdfaid:conformance>A</pdfaid:conformance>",
            "<pdfuaid:part>1</pdfuaid:part>",
            "2026-11-23T00:00:00+08:00",
        ] {
            assert!(text.contains(claim), "{claim}");
        }
    }

    #[test]
    fn values_are_data_and_never_run() {
        let mut document = AgreementDocument::sample_full();
        for hostile in ["#panic(\"ran\")", "#read(\"/etc/passwd\")", "$x^2$ *b* _i_ `c` = h", "#{while true {}}", "\\u{41} // ~ -- @a <b> [c]"] {
            document.parties[0].name = hostile.into();
            document.terms[0] = hostile.into();
            document.facts = hostile.into();
            render_agreement(&document, &Templates::embedded()).expect("printed as it stands");
        }
    }

    #[test]
    fn long_lists_and_long_names_still_fit() {
        let mut document = AgreementDocument::sample_full();
        document.parties[1].name = "安平县第一人民医院".repeat(12);
        document.shares.truncate(1);
        document.shares[0].amount_fen = document.total_fen;
        let last = document.instalments[0].clone();
        document.instalments =
            (1..=120).map(|n| super::super::AgreementInstalment { n, amount_fen: document.total_fen / 120, ..last.clone() }).collect();
        document.terms = vec![document.terms[0].clone(); 40];
        let rendered = render_agreement(&document, &Templates::embedded()).expect("rendered");
        assert!((8..=16).contains(&rendered.pages), "{}", rendered.pages);
    }

    #[test]
    fn an_unprintable_character_is_named_before_typst_runs() {
        let mut document = AgreementDocument::sample_full();
        document.signatures[1].name = "王\u{2A6D6}".into();
        let error = render_agreement(&document, &Templates::embedded()).expect_err("refused");
        assert_eq!(error.to_string(), "signatures[1].name: character 2 (U+2A6D6) cannot be printed with the installed fonts");
    }

    #[test]
    fn a_template_reaches_no_file_no_package_and_no_clock() {
        for source in ["#read(\"/etc/passwd\")", "#image(\"a.png\")", "#import \"other.typ\": x", "#import \"@preview/tablex:0.0.8\": x"] {
            assert!(matches!(with_template(source), Err(DocumentError::Template(..))), "{source}");
        }
        let day = "#set document(title: \"t\")\n#set text(lang: \"zh\", font: \"Noto Serif SC\")\n#datetime.today().display()";
        with_template(day).expect("the day of the document");
    }

    #[test]
    fn a_warning_is_an_error_and_so_is_a_missing_input() {
        let unknown_font = "#set document(title: \"t\")\n#set text(lang: \"zh\", font: \"No Such Face\")\n甲";
        assert!(matches!(with_template(unknown_font), Err(DocumentError::Template(_, said)) if said.contains("line 2")));
        assert!(matches!(with_template("#sys.inputs.nmber"), Err(DocumentError::Template(_, said)) if said.contains("line 1")));
    }

    #[test]
    fn messages_of_typst_carry_no_values() {
        let Err(DocumentError::Template(_, said)) = with_template("#panic(sys.inputs.parties.at(0).name, sys.inputs.facts)") else {
            panic!("must fail");
        };
        assert!(said.starts_with("line 1: panicked with:"), "{said}");
        assert!(!said.contains("张秀兰") && !said.contains("右髋部"), "{said}");
    }

    #[test]
    fn an_untagged_or_untitled_page_is_refused() {
        assert!(matches!(with_template("#set text(font: \"Noto Serif SC\")\n甲"), Err(DocumentError::Archive(_))));
    }

    /// For looking at: writes both samples when a folder is given.
    #[test]
    #[ignore = "writes files; run with HEYI_LOOK=folder to see the pages"]
    fn look() {
        let Some(folder) = std::env::var_os("HEYI_LOOK").map(std::path::PathBuf::from) else {
            return;
        };
        let mut hostile = AgreementDocument::sample_bare();
        hostile.parties[0].name = "#panic(\"x\") $x^2$ *b* _i_ `c` = h // -- ~ @a <b> [c] \\u{41}".into();
        for (name, document) in [("full", AgreementDocument::sample_full()), ("bare", AgreementDocument::sample_bare()), ("hostile", hostile)] {
            let begun = std::time::Instant::now();
            let rendered = render_agreement(&document, &Templates::embedded()).expect("rendered");
            println!("{name}: {} pages, {} bytes, {:?}", rendered.pages, rendered.pdf.len(), begun.elapsed());
            std::fs::write(folder.join(name).with_extension("pdf"), rendered.pdf).expect("written");
        }
    }
}
