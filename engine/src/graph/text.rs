//! Words as they stand in a picture: cleaned, measured and broken into lines.

/// Text without line breaks and without characters that a picture file may not hold.
pub fn clean(text: &str) -> String {
    let kept: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    kept.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A Chinese character and its punctuation take twice the room of a Latin letter.
fn wide(c: char) -> bool {
    matches!(c, '\u{2014}' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{2026}' | '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{3fffd}')
}

/// The room that a text takes, in hundredths of its size. Latin letters differ, so the wider ones are reckoned wider.
fn hundredths(c: char) -> i64 {
    match c {
        c if wide(c) => 100,
        'i' | 'j' | 'l' | 'f' | 't' | 'r' | '.' | ',' | ':' | ';' | '\'' | ' ' | '(' | ')' | '|' => 36,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 92,
        'A'..='Z' => 70,
        _ => 58,
    }
}

/// The room that a text takes.
pub fn width(text: &str, size: i64) -> i64 {
    (text.chars().map(hundredths).sum::<i64>() * size + 99) / 100
}

/// What may not begin a line.
fn clings(c: char) -> bool {
    matches!(c, '·' | '，' | '。' | '、' | '；' | '：' | '）' | '〕' | '”' | '’' | '？' | '！' | '》' | ',' | '.' | ';' | ':' | ')' | '%' | '*')
}

/// What may not end a line.
fn opens(c: char) -> bool {
    matches!(c, '（' | '〔' | '“' | '‘' | '《' | '(')
}

/// Pieces that stay in one piece: Latin words with their blank, single Chinese characters.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut last: Option<char> = None;
    for c in text.chars() {
        let apart = last.is_none_or(|l| (l == ' ' || wide(l) || wide(c)) && !clings(c) && !opens(l) && c != ' ');
        match pieces.last_mut() {
            Some(piece) if !apart => piece.push(c),
            _ => pieces.push(c.to_string()),
        }
        last = Some(c);
    }
    pieces
}

/// Breaks a text into as few lines of at most `most` as it can, evenly, and rather where a reader pauses. A word that is
/// longer keeps its length.
pub fn wrap(text: &str, size: i64, most: i64) -> Vec<String> {
    let whole = width(text, size);
    if whole <= most {
        return vec![text.to_owned()];
    }
    let pieces = pieces(text);
    // A list is best broken between its items.
    let pauses = |c: char| if text.contains('·') { c == '·' } else { matches!(c, '：' | '，' | '；' | '、' | ':' | ',' | ';' | '→') };
    let even = whole / (whole.div_euclid(most) + 1);
    let tries = (even..most).step_by(8).chain([most]).map(|share| broken(&pieces, size, share, &pauses));
    let uneven = |lines: &[String]| {
        let widths = || lines.iter().map(|l| width(l, size));
        widths().max().unwrap_or(0) - widths().min().unwrap_or(0)
    };
    let torn = |lines: &[String]| lines.iter().rev().skip(1).filter(|l| !l.ends_with(pauses)).count();
    tries.min_by_key(|lines| (lines.len(), torn(lines), uneven(lines))).unwrap_or_default()
}

fn broken(pieces: &[String], size: i64, share: i64, pauses: &impl Fn(char) -> bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line: Vec<&str> = Vec::new();
    let room = |pieces: &[&str]| width(pieces.concat().trim_end(), size);
    for piece in pieces {
        line.push(piece);
        if line.len() > 1 && room(&line) > share {
            let longest = line.len() - 1;
            let after = |n: &usize| line[n - 1].trim_end().ends_with(pauses) && room(&line[..*n]) * 2 >= share;
            let end = (1..=longest).rev().find(after).unwrap_or(longest);
            lines.push(line[..end].concat().trim_end().to_owned());
            line.drain(..end);
        }
    }
    lines.push(line.concat().trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chinese_character_takes_the_room_of_two_letters() {
        assert!(width("调解", 14) > width("ab", 14) * 3 / 2);
        assert_eq!(width("调解", 14), 28);
    }

    #[test]
    fn lines_break_between_characters_and_between_words_but_not_before_a_comma() {
        let lines = wrap("患方、医方：告知受理前法院已受理诉讼", 12, 110);
        assert!(lines.len() > 1 && lines.iter().all(|l| width(l, 12) <= 110), "{lines:?}");
        assert!(lines.iter().all(|l| !l.starts_with(clings)), "{lines:?}");
        assert_eq!(lines.concat(), "患方、医方：告知受理前法院已受理诉讼");
        assert_eq!(wrap("closes the matter", 12, 70), ["closes the", "matter"]);
    }

    #[test]
    fn what_no_picture_may_hold_is_dropped() {
        assert_eq!(clean(" a\n\tb\u{0}\u{ffff}c "), "a bc");
    }
}
