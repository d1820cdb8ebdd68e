//! What is read off a template's source before the parser sees it.
//!
//! The parser recurses, so a few kilobytes of nested blocks or brackets end the process, not the load (dependencies M3).
//! This scan therefore follows the tags as the grammar does (comments, escapes, strings, white space after the braces)
//! and counts; a file with a *fatal* finding is never parsed. What needs names or types is `check`'s.

use super::MAX_NESTING;

/// How deep brackets may nest inside one tag.
const MAX_BRACKETS: usize = 8;

/// What would make a mail fetch something, follow something or run something.
const REMOTE: [&str; 15] =
    ["<script", "<img", "<link", "<iframe", "<object", "<embed", "<form", "<video", "<audio", "<base", "src=", "srcset=", "href=", "url(", "@import"];

/// One finding of the scan.
pub(super) struct Finding {
    pub line: usize,
    pub problem: String,
    pub advice: String,
    /// Whether the source must not be parsed.
    pub fatal: bool,
}

/// Reads `source` and says what is wrong with its tags; `html` adds the rules for HTML.
pub(super) fn scan(source: &str, html: bool) -> Vec<Finding> {
    let mut scan = Scan { source, html, at: 0, open: Vec::new(), inside_html_tag: false, found: Vec::new() };
    scan.run();
    if html {
        scan.remote();
    }
    scan.found
}

struct Scan<'a> {
    source: &'a str,
    html: bool,
    at: usize,
    /// For each open block: one, and one more for each `else if` in it (they nest in the parsed form).
    open: Vec<usize>,
    inside_html_tag: bool,
    found: Vec<Finding>,
}

impl Scan<'_> {
    fn run(&mut self) {
        let source = self.source;
        while let Some(offset) = source[self.at..].find("{{") {
            let start = self.at + offset;
            self.plain(self.at, start);
            let backslashes = source[self.at..start].bytes().rev().take_while(|b| *b == b'\\').count();
            if backslashes == 1 {
                let rest = &source[start..];
                self.at = start + if rest.starts_with("{{{{") { 4 } else { 2 };
                continue;
            }
            if !self.tag(start) {
                return;
            }
        }
    }

    /// Reads the tag at `start`; false when what follows cannot be read any more.
    fn tag(&mut self, start: usize) -> bool {
        let source = self.source;
        let line = self.line(start);
        if source[start..].starts_with("{{{{") {
            self.add(line, "a raw block {{{{…}}}} is not used here", "write \\{{ for braces that stay as they are", true);
            return false;
        }
        if source[start..].starts_with("{{!") {
            let long = source[start + 3..].trim_start().starts_with("--");
            let end = long.then(|| source[start..].find("--}}").map(|i| i + 4)).flatten();
            let end = end.or_else(|| source[start..].find("}}").map(|i| i + 2));
            self.at = start + end.unwrap_or(source.len() - start);
            return true;
        }
        let Some(end) = self.end_of_tag(start + 2, line) else {
            return false;
        };
        let inner = source[start + 2..end].trim_start().trim_start_matches('~').trim_start();
        if self.html && self.inside_html_tag {
            self.add(line, "a {{…}} stands inside an HTML tag", "put values between tags, where they are escaped", false);
        }
        match inner.as_bytes().first() {
            Some(b'{' | b'&') => self.add(line, "{{{…}}} or {{&…}} prints a value unescaped", "write {{…}}", false),
            Some(b'#') => {
                if inner[1..].trim_start().starts_with('*') {
                    self.add(line, "{{#*…}} defines a partial on the fly", "put it into a file under _shared", true);
                }
                self.open.push(1);
            }
            Some(b'*') => self.add(line, "{{*…}} is not used here", "leave it out", true),
            Some(b'/') => {
                self.open.pop();
            }
            Some(b'^') => self.chain(),
            _ if inner.strip_prefix("else").is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric() || c == '_')) => {
                self.chain();
            }
            _ => {}
        }
        if self.open.iter().sum::<usize>() > MAX_NESTING {
            let problem = format!("blocks nest deeper than {MAX_NESTING}");
            self.add(line, &problem, "split the template, or use fewer conditions", true);
            return false;
        }
        self.at = end + if source[end..].starts_with("}}}") { 3 } else { 2 };
        true
    }

    fn chain(&mut self) {
        if let Some(top) = self.open.last_mut() {
            *top += 1;
        }
    }

    /// Where the tag's closing braces stand; strings are skipped, brackets counted.
    fn end_of_tag(&mut self, from: usize, line: usize) -> Option<usize> {
        let bytes = self.source.as_bytes();
        let mut i = from;
        let mut brackets = 0usize;
        while i < bytes.len() {
            match bytes[i] {
                quote @ (b'"' | b'\'') => {
                    i += 1;
                    while i < bytes.len() && bytes[i] != quote {
                        i += if bytes[i] == b'\\' { 2 } else { 1 };
                    }
                }
                b'}' if bytes.get(i + 1) == Some(&b'}') => return Some(i),
                b'(' | b'{' => brackets += 1,
                b')' | b'}' => brackets = brackets.saturating_sub(1),
                b'[' => {
                    self.add(line, "[…] inside {{…}} is not used here", "write the plain name", true);
                    return None;
                }
                _ => {}
            }
            if brackets > MAX_BRACKETS {
                self.add(line, "too many brackets inside {{…}}", "split the condition", true);
                return None;
            }
            i += 1;
        }
        self.add(line, "{{ without }}", "close the tag", true);
        None
    }

    /// Follows HTML tags through the text between two template tags.
    fn plain(&mut self, from: usize, to: usize) {
        if !self.html {
            return;
        }
        let text = &self.source[from..to];
        for (i, c) in text.char_indices() {
            match c {
                '<' => {
                    let next = text[i + 1..].chars().next();
                    // At the very end a {{…}} follows: an element name made from a value.
                    self.inside_html_tag = next.is_none_or(|n| n.is_ascii_alphabetic() || n == '/' || n == '!');
                }
                '>' => self.inside_html_tag = false,
                _ => {}
            }
        }
    }

    fn remote(&mut self) {
        let lower = self.source.to_ascii_lowercase();
        for needle in REMOTE {
            if let Some(at) = lower.find(needle) {
                let problem = format!("{needle} makes a mail load, link or run something");
                self.add(self.line(at), &problem, "use words and inline style only", false);
            }
        }
    }

    fn line(&self, at: usize) -> usize {
        self.source[..at].matches('\n').count() + 1
    }

    fn add(&mut self, line: usize, problem: &str, advice: &str, fatal: bool) {
        self.found.push(Finding { line, problem: problem.to_owned(), advice: advice.to_owned(), fatal });
    }
}
