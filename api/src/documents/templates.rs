//! Where templates and extra fonts come from: the binary, or a folder that overrides it.
//!
//! Not here: mail and page templates, which are handlebars (`crate::templates`).

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use typst::foundations::Bytes;
use typst::syntax::Source;
use typst::text::Font;

use super::agreement::AgreementDocument;
use super::fonts::Fonts;
use super::notice::{NoticeDocument, render_notice};
use super::render::{DocumentError, hex, render_agreement};

static AGREEMENT: &str = include_str!("../../../templates/documents/agreement.typ");
static NOTICE: &str = include_str!("../../../templates/documents/notice.typ");

const AGREEMENT_FILE: &str = "documents/agreement.typ";
const NOTICE_FILE: &str = "documents/notice.typ";

/// The largest template source.
const MAX_TEMPLATE_BYTES: u64 = 1024 * 1024;
/// The largest font file, and how many of them a folder may hold.
const MAX_FONT_BYTES: u64 = 64 * 1024 * 1024;
const MAX_FONT_FILES: usize = 32;

/// The templates and fonts that documents are rendered with. Cheap to clone.
#[derive(Clone)]
pub struct Templates {
    agreement: Template,
    notice: Template,
    fonts: Arc<Fonts>,
}

/// One template.
#[derive(Clone)]
pub(super) struct Template {
    /// Its path below the templates folder.
    pub file: &'static str,
    /// Its text.
    pub source: Source,
    /// Lowercase hex SHA-256 of its text.
    pub sha256: String,
}

impl Template {
    fn new(file: &'static str, text: String) -> Self {
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        Self { file, source: Source::detached(text), sha256 }
    }
}

/// Why a template folder cannot be used. Names are relative to the folder.
#[derive(Debug, Error)]
pub enum TemplateFolderError {
    /// A file that could not be read.
    #[error("{name}: {source}")]
    Read {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file over its limit.
    #[error("{name}: more than {limit_bytes} bytes")]
    TooLarge {
        /// Which file.
        name: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// A template that is not UTF-8.
    #[error("{name}: not UTF-8 text")]
    NotText {
        /// Which file.
        name: String,
    },
    /// A font file that holds no face.
    #[error("{name}: holds no font face that can be read")]
    NotAFont {
        /// Which file.
        name: String,
    },
    /// More font files than allowed.
    #[error("fonts: more than {limit} files")]
    TooManyFonts {
        /// The limit.
        limit: usize,
    },
}

impl Templates {
    /// Whether a character of a value can be printed as it is.
    #[must_use]
    pub fn covers(&self, c: char) -> bool {
        self.fonts.prints(c)
    }

    /// The templates and fonts in the binary.
    pub fn embedded() -> Self {
        Self::new(AGREEMENT.to_owned(), NOTICE.to_owned(), Fonts::embedded())
    }

    /// The embedded ones, where `documents/agreement.typ` and `documents/notice.typ` in `folder` replace the templates and
    /// each `.ttf`, `.otf` or `.ttc` in its `fonts/` adds faces. An override is a file by itself: it can include nothing else.
    pub fn with_folder(folder: &Path) -> Result<Self, TemplateFolderError> {
        let text = |name: &str, ours: &str| match read(folder, name, MAX_TEMPLATE_BYTES)? {
            Some(bytes) => String::from_utf8(bytes).map_err(|_| TemplateFolderError::NotText { name: name.into() }),
            None => Ok(ours.to_owned()),
        };
        let (agreement, notice) = (text(AGREEMENT_FILE, AGREEMENT)?, text(NOTICE_FILE, NOTICE)?);
        let extra = read_fonts(folder)?;
        let fonts = if extra.is_empty() { Fonts::embedded() } else { Arc::new(Fonts::with_extra(extra)) };
        Ok(Self::new(agreement, notice, fonts))
    }

    /// Renders the samples, so that a broken override is found at the start and not on the day of signing.
    pub fn check(&self) -> Result<(), DocumentError> {
        for sample in [AgreementDocument::sample_full(), AgreementDocument::sample_bare()] {
            render_agreement(&sample, self)?;
        }
        for sample in NoticeDocument::samples() {
            render_notice(&sample, self)?;
        }
        Ok(())
    }

    /// Lowercase hex SHA-256 of the agreement's template source.
    pub fn agreement_sha256(&self) -> &str {
        &self.agreement.sha256
    }

    /// The agreement's template source, for keeping it by digest.
    pub fn agreement_source(&self) -> &str {
        self.agreement.source.text()
    }

    /// Templates as they were kept by digest, with the embedded fonts; for making an old agreement again.
    pub fn from_source(agreement: &str) -> Self {
        Self::new(agreement.to_owned(), NOTICE.to_owned(), Fonts::embedded())
    }

    fn new(agreement: String, notice: String, fonts: Arc<Fonts>) -> Self {
        Self { agreement: Template::new(AGREEMENT_FILE, agreement), notice: Template::new(NOTICE_FILE, notice), fonts }
    }

    pub(super) fn agreement(&self) -> &Template {
        &self.agreement
    }

    pub(super) fn notice(&self) -> &Template {
        &self.notice
    }

    pub(super) fn fonts(&self) -> &Fonts {
        &self.fonts
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Templates")
            .field("agreement_sha256", &self.agreement.sha256)
            .field("notice_sha256", &self.notice.sha256)
            .finish_non_exhaustive()
    }
}

/// The file's bytes, or nothing when there is no such file.
fn read(folder: &Path, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, TemplateFolderError> {
    let failed = |source| TemplateFolderError::Read { name: name.into(), source };
    let file = match fs::File::open(folder.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(TemplateFolderError::TooLarge { name: name.into(), limit_bytes });
    }
    Ok(Some(bytes))
}

/// The faces under `fonts/`, by file name, so that their order does not hang on the file system.
fn read_fonts(folder: &Path) -> Result<Vec<Font>, TemplateFolderError> {
    let failed = |source| TemplateFolderError::Read { name: "fonts".into(), source };
    let entries = match fs::read_dir(folder.join("fonts")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let extension = Path::new(&name).extension().map(|e| e.to_ascii_lowercase());
        if matches!(extension.as_ref().and_then(|e| e.to_str()), Some("ttf" | "otf" | "ttc")) {
            names.push(name);
        }
        if names.len() > MAX_FONT_FILES {
            return Err(TemplateFolderError::TooManyFonts { limit: MAX_FONT_FILES });
        }
    }
    names.sort();
    let mut faces = Vec::new();
    for name in names {
        let name = format!("fonts/{name}");
        let Some(bytes) = read(folder, &name, MAX_FONT_BYTES)? else {
            continue;
        };
        let before = faces.len();
        faces.extend(Font::iter(Bytes::new(bytes)));
        if faces.len() == before {
            return Err(TemplateFolderError::NotAFont { name });
        }
    }
    Ok(faces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_templates_pass_their_own_check() {
        Templates::embedded().check().expect("sound");
    }

    #[test]
    fn a_folder_without_overrides_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let templates = Templates::with_folder(folder.path()).expect("read");
        assert_eq!(templates.agreement_sha256(), Templates::embedded().agreement_sha256());
    }

    #[test]
    fn an_override_replaces_the_template_and_its_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("documents")).expect("made");
        let path = folder.path().join("documents/agreement.typ");
        let own = format!("{AGREEMENT}\n// ours\n");
        fs::write(&path, &own).expect("written");
        let templates = Templates::with_folder(folder.path()).expect("read");
        assert_ne!(templates.agreement_sha256(), Templates::embedded().agreement_sha256());
        assert_eq!(templates.agreement_source(), own);
        templates.check().expect("sound");
        fs::write(&path, "#sys.inputs.nmber").expect("written");
        assert!(matches!(Templates::with_folder(folder.path()).expect("read").check(), Err(DocumentError::Template(..))));
        fs::write(&path, [0xFF, 0xFE]).expect("written");
        assert!(matches!(Templates::with_folder(folder.path()), Err(TemplateFolderError::NotText { .. })));
    }

    #[test]
    fn a_file_that_is_no_font_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("fonts")).expect("made");
        fs::write(folder.path().join("fonts/fang.ttf"), b"not a font").expect("written");
        fs::write(folder.path().join("fonts/README.md"), b"ignored").expect("written");
        assert!(matches!(Templates::with_folder(folder.path()), Err(TemplateFolderError::NotAFont { name }) if name == "fonts/fang.ttf"));
    }
}
