//! Words of a guard: names, numbers, texts and signs, each with its place.
//!
//! Not here: what they form together (`parse`).

use rust_decimal::Decimal;

use super::{GuardMistake, ast::Span};
use crate::value::parse_decimal;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    /// Up to 2^63, so that the lowest Int can be written behind a minus sign.
    Int(u64),
    Decimal(Decimal),
    Text(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// Closes every list of tokens.
    End,
}

/// Longer signs stand before their beginnings.
const SIGNS: [&str; 17] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "(", ")", "[", "]", ",", "."];

/// What people type for a sign, and what to tell them.
const NOT_SIGNS: [(char, &str); 23] = [
    ('&', "write && for \"and\""),
    ('|', "write || for \"or\""),
    ('=', "write == to compare"),
    ('?', "there is no ? : here; write two guards"),
    (':', "there is no ? : here; write two guards"),
    ('*', "only + and - are known"),
    ('/', "only + and - are known"),
    ('%', "only + and - are known"),
    ('{', "only lists can be written here, such as ['a', 'b']"),
    ('}', "only lists can be written here, such as ['a', 'b']"),
    (';', "a guard is one condition"),
    ('（', "write the half-width ("),
    ('）', "write the half-width )"),
    ('，', "write the half-width ,"),
    ('。', "write the half-width ."),
    ('！', "write the half-width !"),
    ('＝', "write the half-width =="),
    ('＜', "write the half-width <"),
    ('＞', "write the half-width >"),
    ('“', "write the plain \""),
    ('”', "write the plain \""),
    ('‘', "write the plain '"),
    ('’', "write the plain '"),
];

/// Cuts the source into tokens; what is no token is reported and skipped.
pub(super) fn lex(source: &str, mistakes: &mut Vec<GuardMistake>) -> Vec<(Span, Token)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = source.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &source[at..];
        let (len, token) = match next {
            ' ' | '\t' | '\n' | '\r' => (1, None),
            'a'..='z' | 'A'..='Z' | '_' => {
                let len = run(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                (len, Some(Token::Name(rest[..len].to_owned())))
            }
            '0'..='9' => number(rest, at, mistakes),
            '\'' | '"' => text(rest, at, next, mistakes),
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (sign.len(), Some(Token::Sign(sign))),
                None => {
                    let len = next.len_utf8();
                    let hint = NOT_SIGNS.iter().find(|(sign, _)| *sign == next).map(|(_, hint)| *hint);
                    let hint = hint.unwrap_or("names are plain letters, digits and _; other text stands in quotes");
                    mistakes.push(GuardMistake::new(at..at + len, "this sign means nothing here").hint(hint));
                    (len, None)
                }
            },
        };
        tokens.extend(token.map(|token| (at..at + len, token)));
        at += len;
    }
    tokens.push((source.len()..source.len(), Token::End));
    tokens
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Takes everything that is glued to the number, so that `12abc` and `1e3` are one mistake and not two tokens.
fn number(rest: &str, at: usize, mistakes: &mut Vec<GuardMistake>) -> (usize, Option<Token>) {
    let len = run(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let written = &rest[..len];
    let token = match written.contains('.') {
        true => parse_decimal(written).map(Token::Decimal),
        false => written.parse().ok().filter(|whole| *whole <= i64::MIN.unsigned_abs()).map(Token::Int),
    };
    if token.is_none() {
        let hint = "write 12 or 86000.10: digits, at most one point, nothing else; whole numbers have 64 bits";
        mistakes.push(GuardMistake::new(at..at + len, "this is no number").hint(hint));
    }
    (len, token)
}

fn text(rest: &str, at: usize, quote: char, mistakes: &mut Vec<GuardMistake>) -> (usize, Option<Token>) {
    let mut out = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            _ if c == quote => return (index + 1, Some(Token::Text(out))),
            '\n' | '\r' => break,
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, same @ ('\\' | '\'' | '"'))) => out.push(same),
                other => {
                    let end = other.map_or(rest.len(), |(index, c)| index + c.len_utf8());
                    let mistake = GuardMistake::new(at + index..at + end, "this escape is not known");
                    mistakes.push(mistake.hint(r#"known are \\ \' \" \n \t"#));
                }
            },
            _ => out.push(c),
        }
    }
    let mistake = GuardMistake::new(at..at + rest.len(), "this text is never closed");
    mistakes.push(mistake.hint(format!("close it with {quote} on the same line")));
    (rest.len(), None)
}
