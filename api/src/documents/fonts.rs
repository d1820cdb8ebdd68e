//! The faces that documents are set in, and which characters they can show.
//!
//! Not here: which face a text gets (the template says so). Sources and licences: `templates/fonts/README.md`.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use typst::foundations::Bytes;
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;

use super::agreement::Lines;
use super::render::DocumentError;

static SERIF: &[u8] = include_bytes!("../../../templates/fonts/NotoSerifSC-Regular.ttf");
static HEADING: &[u8] = include_bytes!("../../../templates/fonts/NotoSansSC-Bold-GB2312.ttf");

/// A set of faces, in the order in which typst tries them.
pub(super) struct Fonts {
    faces: Vec<Font>,
    book: LazyHash<FontBook>,
    /// The faces that may show a value of a case. The subset heading face may not.
    for_values: Vec<Font>,
    /// A bit for each character of the basic plane that those faces show: every character of every text is asked about.
    shown: Vec<u64>,
}

/// Characters of the basic plane.
const BASIC: u32 = 0x1_0000;

impl Fonts {
    /// The two faces in the binary, parsed once.
    pub(super) fn embedded() -> Arc<Self> {
        static FONTS: OnceLock<Arc<Fonts>> = OnceLock::new();
        FONTS.get_or_init(|| Arc::new(Self::with_extra(Vec::new()))).clone()
    }

    /// The embedded faces, and after them `extra` ones of the committee.
    pub(super) fn with_extra(extra: Vec<Font>) -> Self {
        let parse = |data: &'static [u8]| Font::iter(Bytes::new(data)).collect::<Vec<_>>();
        let mut for_values = parse(SERIF);
        for_values.extend(extra);
        let mut faces = for_values.clone();
        faces.extend(parse(HEADING));
        let mut book = FontBook::new();
        for face in &faces {
            book.push(face.info().clone());
        }
        let shows = |c: u32| for_values.iter().any(|face| face.info().coverage.contains(c));
        let word = |from: u32| (0..64).fold(0, |word, bit| word | u64::from(shows(from + bit)) << bit);
        let shown = (0..BASIC).step_by(64).map(word).collect();
        Self { faces, book: LazyHash::new(book), for_values, shown }
    }

    pub(super) fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    pub(super) fn face(&self, index: usize) -> Option<Font> {
        self.faces.get(index).cloned()
    }

    /// Whether a character of a value can be printed as it is.
    pub(super) fn prints(&self, c: char) -> bool {
        !is_invisible(c) && self.shows(c)
    }

    fn shows(&self, c: char) -> bool {
        let c = c as u32;
        match self.shown.get(c as usize / 64) {
            Some(word) => word >> (c % 64) & 1 == 1,
            None => self.for_values.iter().any(|face| face.info().coverage.contains(c)),
        }
    }

    /// Whether every character of every text can be printed as it is. A character that would show as nothing, change
    /// the order of its neighbours or break a line where none may be is refused like a missing one.
    pub(super) fn check<'a>(&self, texts: impl IntoIterator<Item = (String, &'a str, Lines)>) -> Result<(), DocumentError> {
        let mut seen = HashSet::new();
        for (field, text, lines) in texts {
            let mut rest = text.chars().enumerate().peekable();
            while let Some((at, c)) = rest.next() {
                // A form in a browser ends its lines with CR LF.
                let ends_line = c == '\n' || c == '\r' && matches!(rest.peek(), Some((_, '\n')));
                if ends_line && lines == Lines::Many || seen.contains(&c) {
                    continue;
                }
                if !self.prints(c) {
                    return Err(DocumentError::Character { field, position: at + 1, code_point: c as u32 });
                }
                seen.insert(c);
            }
        }
        Ok(())
    }
}

/// Controls, and format characters that are not seen on paper.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFC}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, lines: Lines) -> Result<(), DocumentError> {
        Fonts::embedded().check([("parties[0].name".to_owned(), text, lines)])
    }

    #[test]
    fn rare_characters_of_names_are_there() {
        // From 通用规范汉字表 (third list), the basic block and extension A.
        assert!(verdict("㛃䶮喆堃垚犇骉淼燚祎昇璟鋆丨龥·李〇", Lines::One).is_ok());
        let unihan: String = ('\u{4E00}'..='\u{9FA5}').collect();
        assert!(verdict(&unihan, Lines::One).is_ok());
    }

    #[test]
    fn a_character_that_no_face_has_is_named_without_the_value() {
        let error = verdict("王\u{2A6D6}某", Lines::One).expect_err("refused");
        let said = error.to_string();
        assert!(said.contains("U+2A6D6") && said.contains("parties[0].name"), "{said}");
        assert!(!said.contains('王') && !format!("{error:?}").contains('王'), "{said}");
        assert!(matches!(error, DocumentError::Character { position: 2, .. }));
    }

    #[test]
    fn what_paper_cannot_show_is_refused() {
        for bad in ["a\tb", "甲\u{202E}乙", "甲\u{200B}", "\u{FEFF}甲", "甲\u{FE01}", "甲\u{0}", "甲\r", "甲\u{2028}乙", "甲\n乙", "\u{E001}"]
        {
            assert!(verdict(bad, Lines::One).is_err(), "{bad:?}");
        }
        assert!(verdict("甲\n乙　丙 d", Lines::Many).is_ok());
        assert!(verdict("甲\r\n乙", Lines::Many).is_ok());
        assert!(verdict("甲\r\n乙", Lines::One).is_err());
        assert!(verdict("甲\r乙", Lines::Many).is_err());
    }

    #[test]
    fn the_heading_subset_never_answers_for_a_value() {
        let fonts = Fonts::embedded();
        assert_eq!(fonts.for_values.len(), 1);
        assert!(fonts.for_values.iter().all(|face| face.info().family == "Noto Serif SC"));
        assert_eq!(fonts.faces.len(), 2);
    }
}
