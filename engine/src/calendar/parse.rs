//! From the file to a [`Calendar`]: first a `tree` that remembers where each piece stands, then one pass that collects
//! every mistake, so that a clerk mends a file in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use super::tree::{Entry, Node, Place, Value};
use super::{Calendar, Names, RESERVED, Year, is_weekend};

/// The largest file that is read.
const MAX_BYTES: usize = 1 << 20;
/// The most mistakes that are told at once.
const MAX_MISTAKES: usize = 200;
/// The longest text, in characters.
const MAX_TEXT: usize = 500;
/// Years a block may be for.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=9998;
/// Month and day are checked in a leap year, so that 02-29 is one.
const LEAP_YEAR: i32 = 2024;

const TOP_KEYS: [&str; 7] = ["calendar", "over", "title", "holidays", "years", "statutory", "every_year"];
const YEAR_KEYS: [&str; 4] = ["source", "remark", "days_off", "makeup"];

/// A holiday that the law fixes by date: its key, its names in zh-CN and en, its days by month and day.
type Fixed = (&'static str, &'static str, &'static str, &'static [(u32, u32)]);

/// The days fixed by date in 全国年节及纪念日放假办法 (2024), meant when a file has no `every_year`.
const FIXED: [Fixed; 3] = [
    ("new_year", "元旦", "New Year's Day", &[(1, 1)]),
    ("labour_day", "劳动节", "Labour Day", &[(5, 1), (5, 2)]),
    ("national_day", "国庆节", "National Day", &[(10, 1), (10, 2), (10, 3)]),
];

/// One mistake in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// From 1; 0 when no place is known.
    pub line: u64,
    /// From 1, in characters; 0 when no place is known.
    pub column: u64,
    /// The path of keys, such as `years.2026.makeup`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

pub(super) fn read(source: &str) -> Result<Calendar, Vec<Mistake>> {
    let whole = |message: String| Mistake { line: 0, column: 0, key: String::new(), message };
    if source.len() > MAX_BYTES {
        return Err(vec![whole(format!("the file is larger than {MAX_BYTES} bytes"))]);
    }
    let root: Node = crate::yaml::read(source)
        .map(Node::from)
        .map_err(|error| vec![Mistake { line: error.line, column: error.column, ..whole(error.message) }])?;
    let mut reader = Reader { mistakes: Vec::new() };
    let calendar = reader.calendar(&root);
    let mut mistakes = reader.mistakes;
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    let more = mistakes.len().saturating_sub(MAX_MISTAKES);
    mistakes.truncate(MAX_MISTAKES);
    if more > 0 {
        mistakes.push(whole(format!("and {more} more mistakes")));
    }
    match calendar {
        Some(calendar) if mistakes.is_empty() => Ok(calendar),
        _ => Err(mistakes),
    }
}

/// Collects mistakes on the way. Its methods give what they could make out, so that reading goes on.
struct Reader {
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn note(&mut self, place: Place, path: &str, message: impl Into<String>) {
        let (line, column) = place;
        self.mistakes.push(Mistake { line, column, key: path.to_owned(), message: message.into() });
    }

    fn calendar(&mut self, root: &Node) -> Option<Calendar> {
        let top = self.fields(root, "", &TOP_KEYS);
        let name = self.name(root, "calendar", top.get("calendar").copied());
        let over = top.get("over").and_then(|node| self.name(root, "over", Some(node)));
        let title = top.get("title").map(|node| self.names(node, "title")).unwrap_or_default();
        let mut holidays = BTreeMap::new();
        for entry in top.get("holidays").map(|node| self.entries(node, "holidays")).unwrap_or_default() {
            let path = format!("holidays.{}", entry.key);
            if !is_key(&entry.key, "_") {
                self.note(entry.place, &path, "the key of a holiday has small letters, digits and _ only");
            } else if RESERVED.contains(&entry.key.as_str()) {
                self.note(entry.place, &path, "this word has a meaning of its own; choose another key");
            }
            holidays.insert(entry.key.clone(), self.names(&entry.node, &path));
        }
        let years = match top.get("years") {
            Some(node) => self.years(node, "years", &holidays),
            None => {
                self.note(root.place, "years", "is missing: at least one year with its official schedule is needed");
                return None;
            }
        };
        let statutory = top.get("statutory").map(|node| self.years(node, "statutory", &holidays)).unwrap_or_default();
        let every_year = match top.get("every_year") {
            Some(node) => self.days_by_key(node, "every_year", &holidays, month_day),
            None => BTreeMap::new(),
        };
        let every_year = every_year.into_iter().map(|(date, (key, _))| ((date.month(), date.day()), key)).collect();
        self.check_years(&years, &statutory, top.contains_key("over"));
        let first = years.keys().next().copied();
        let last = years.keys().next_back().copied();
        let (Some(first), Some(last)) = (first, last) else {
            let place = top.get("years").map_or(root.place, |node| node.place);
            self.note(place, "years", "needs at least one year with its official schedule");
            return None;
        };
        let plain = |years: BTreeMap<i32, (Year, Place)>| years.into_iter().map(|(key, (year, _))| (key, year)).collect();
        let mut calendar = Calendar {
            name: name?,
            over,
            title,
            holidays,
            years: plain(years),
            statutory: plain(statutory),
            every_year,
            first_day: NaiveDate::from_ymd_opt(first, 1, 1)?,
            last_published: NaiveDate::from_ymd_opt(last, 12, 31)?,
            digest: String::new(),
        };
        // A file of local days adds only what it says.
        if !top.contains_key("every_year") && calendar.over.is_none() {
            for (key, chinese, english, days) in FIXED {
                calendar.every_year.extend(days.iter().map(|day| (*day, key.to_owned())));
                calendar
                    .holidays
                    .entry(key.to_owned())
                    .or_insert_with(|| [("zh-CN", chinese), ("en", english)].map(|(tag, text)| (tag.to_owned(), text.to_owned())).into());
            }
        }
        calendar.seal();
        Some(calendar)
    }

    fn name(&mut self, root: &Node, path: &str, node: Option<&Node>) -> Option<String> {
        let Some(node) = node else {
            self.note(root.place, path, "is missing: give the calendar a name, such as china");
            return None;
        };
        let text = self.text(node, path)?;
        if is_key(&text, "_-+") {
            return Some(text);
        }
        self.note(node.place, path, "a calendar's name has small letters, digits, - and _ only");
        None
    }

    fn names(&mut self, node: &Node, path: &str) -> Names {
        let mut names = Names::new();
        let known = self.mistakes.len();
        for entry in self.entries(node, path) {
            let path = format!("{path}.{}", entry.key);
            if !is_language(&entry.key) {
                self.note(entry.place, &path, "is no language tag, such as zh-CN or en");
            }
            if let Some(text) = self.text(&entry.node, &path) {
                names.insert(entry.key.clone(), text);
            }
        }
        if !names.contains_key("zh-CN") && self.mistakes.len() == known {
            self.note(node.place, path, "needs a name in zh-CN");
        }
        names
    }

    /// The blocks of `years` or `statutory`, each with its place.
    fn years(&mut self, node: &Node, path: &str, holidays: &BTreeMap<String, Names>) -> BTreeMap<i32, (Year, Place)> {
        let mut years = BTreeMap::new();
        for entry in self.entries(node, path) {
            let path = format!("{path}.{}", entry.key);
            let digits = entry.key.len() == 4 && entry.key.bytes().all(|byte| byte.is_ascii_digit());
            let year = entry.key.parse().ok().filter(|year| digits && YEARS.contains(year));
            if year.is_none() {
                self.note(entry.place, &path, "is no year, such as 2026");
            }
            let block = self.year(entry, &path, year, holidays);
            if let Some(year) = year {
                years.insert(year, (block, entry.place));
            }
        }
        years
    }

    fn year(&mut self, entry: &Entry, path: &str, year: Option<i32>, holidays: &BTreeMap<String, Names>) -> Year {
        let fields = self.fields(&entry.node, path, &YEAR_KEYS);
        let source = match fields.get("source") {
            Some(node) => self.text(node, &format!("{path}.source")).unwrap_or_default(),
            None => {
                self.note(entry.place, path, "source is missing: name the notice or law that the days come from");
                String::new()
            }
        };
        let remark = fields.get("remark").and_then(|node| self.text(node, &format!("{path}.remark")));
        let inside = |date: NaiveDate| year.is_none_or(|year| date.year() == year);
        let full_date = |text: &str| -> Result<NaiveDate, String> {
            let date = date(text)?;
            if inside(date) { Ok(date) } else { Err(format!("{date} does not lie in {}", entry.key)) }
        };
        let days_off = match fields.get("days_off") {
            Some(node) => self.days_by_key(node, &format!("{path}.days_off"), holidays, full_date),
            None => {
                self.note(entry.place, path, "days_off is missing: list the holidays with their days");
                BTreeMap::new()
            }
        };
        let mut makeup = BTreeSet::new();
        let path = format!("{path}.makeup");
        for (date, place) in fields.get("makeup").map(|node| self.days(node, &path, &full_date)).unwrap_or_default() {
            if let Some((key, _)) = days_off.get(&date) {
                self.note(place, &path, format!("{date} is listed both as a day off ({key}) and as a working day"));
            } else if !is_weekend(date) {
                let weekday = date.format("%A");
                self.note(place, &path, format!("{date} is a {weekday}, a working day already; only Saturdays and Sundays can be make-up days"));
            } else if !makeup.insert(date) {
                self.note(place, &path, format!("{date} is listed twice"));
            }
        }
        Year { source, remark, days_off: days_off.into_iter().map(|(date, (key, _))| (date, key)).collect(), makeup }
    }

    /// Days off under the keys of their holidays.
    fn days_by_key(
        &mut self,
        node: &Node,
        path: &str,
        holidays: &BTreeMap<String, Names>,
        read: impl Fn(&str) -> Result<NaiveDate, String>,
    ) -> BTreeMap<NaiveDate, (String, Place)> {
        let mut days: BTreeMap<NaiveDate, (String, Place)> = BTreeMap::new();
        for entry in self.entries(node, path) {
            let path = format!("{path}.{}", entry.key);
            if !holidays.contains_key(&entry.key) {
                let hint = did_you_mean(&entry.key, holidays.keys().map(String::as_str));
                self.note(entry.place, &path, format!("has no name under holidays{hint}"));
            }
            for (date, place) in self.days(&entry.node, &path, &read) {
                if let Some((other, _)) = days.get(&date) {
                    let message = match *other == entry.key {
                        true => format!("{} is listed twice", date.format("%m-%d")),
                        false => {
                            format!("{} is listed under {other} already", date.format("%m-%d"))
                        }
                    };
                    self.note(place, &path, message);
                } else {
                    days.insert(date, (entry.key.clone(), place));
                }
            }
        }
        days
    }

    /// A day, a range `first..last`, or a list of these.
    fn days(&mut self, node: &Node, path: &str, read: &impl Fn(&str) -> Result<NaiveDate, String>) -> Vec<(NaiveDate, Place)> {
        let mut days = Vec::new();
        match &node.value {
            Value::List(nodes) => {
                for node in nodes {
                    match &node.value {
                        Value::Text(text) => self.range(text, node.place, path, read, &mut days),
                        other => self.note(node.place, path, format!("a day or a range of days belongs here, not {}", other.kind())),
                    }
                }
            }
            Value::Text(text) => self.range(text, node.place, path, read, &mut days),
            other => {
                self.note(node.place, path, format!("a day, a range first..last or a list belongs here, not {}", other.kind()));
            }
        }
        days
    }

    fn range(&mut self, text: &str, place: Place, path: &str, read: &impl Fn(&str) -> Result<NaiveDate, String>, days: &mut Vec<(NaiveDate, Place)>) {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        match (read(first.trim()), read(last.trim())) {
            (Ok(first), Ok(last)) if first > last => {
                self.note(place, path, format!("the range {text} ends before it begins"));
            }
            // Both ends lie in one year, so a range is short; only a block whose year is unreadable could hold a
            // longer one, and is refused anyway.
            (Ok(first), Ok(last)) => days.extend(first.iter_days().take_while(|date| *date <= last).take(366).map(|date| (date, place))),
            (first, last) => {
                let messages: BTreeSet<String> = [first.err(), last.err()].into_iter().flatten().collect();
                for message in messages {
                    self.note(place, path, message);
                }
            }
        }
    }

    fn check_years(&mut self, years: &BTreeMap<i32, (Year, Place)>, statutory: &BTreeMap<i32, (Year, Place)>, local: bool) {
        for ((year, _), (following, (_, place))) in years.iter().zip(years.iter().skip(1)) {
            // Local days may be known for some years only; a country's schedule with a hole would have us guess.
            if year + 1 != *following && !local {
                self.note(*place, &format!("years.{following}"), format!("{} is missing between {year} and {following}", year + 1));
            }
        }
        let last = years.keys().next_back();
        for (year, (_, place)) in statutory {
            if last.is_some_and(|last| year <= last) {
                self.note(*place, &format!("statutory.{year}"), "this year is published, under years; remove it here");
            }
        }
    }

    /// The entries of a group of keys that stands for itself, each key once.
    fn entries<'n>(&mut self, node: &'n Node, path: &str) -> Vec<&'n Entry> {
        let Value::Map(entries) = &node.value else {
            self.note(node.place, path, format!("a group of keys belongs here, not {}", node.value.kind()));
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let (once, again): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| seen.insert(entry.key.as_str()));
        for entry in again {
            self.note(entry.place, &join(path, &entry.key), "this key is given twice");
        }
        once
    }

    /// The values of a group whose keys are known.
    fn fields<'n>(&mut self, node: &'n Node, path: &str, known: &[&'static str]) -> BTreeMap<&'static str, &'n Node> {
        let mut fields = BTreeMap::new();
        for entry in self.entries(node, path) {
            match known.iter().find(|key| **key == entry.key) {
                Some(key) => {
                    fields.insert(*key, &entry.node);
                }
                None => {
                    let hint = did_you_mean(&entry.key, known.iter().copied());
                    self.note(entry.place, &join(path, &entry.key), format!("unknown key{hint}; the keys here are {}", known.join(", ")));
                }
            }
        }
        fields
    }

    fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        let message = match &node.value {
            // Line breaks and other control characters would not survive every reader of the canonical form.
            Value::Text(text) if text.chars().any(|c| c.is_control() || "\u{2028}\u{2029}\u{feff}".contains(c)) => {
                "a text is one line without control characters".to_owned()
            }
            Value::Text(text) if text.chars().count() > MAX_TEXT => {
                format!("a text has at most {MAX_TEXT} characters")
            }
            Value::Text(text) if text.trim().is_empty() => "this may not be empty".to_owned(),
            Value::Text(text) => return Some(text.clone()),
            Value::Other("empty") => "this may not be empty".to_owned(),
            other @ Value::Other(_) => format!("a text belongs here, not {}; put it in quotes", other.kind()),
            other => format!("a text belongs here, not {}", other.kind()),
        };
        self.note(node.place, path, message);
        None
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn is_key(text: &str, also: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
}

fn is_language(tag: &str) -> bool {
    tag.split('-').enumerate().all(|(index, part)| {
        let longest = if index == 0 { 3 } else { 8 };
        (2..=longest).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|key| (strsim::damerau_levenshtein(word, key), key)).min();
    match near {
        Some((distance, key)) if distance <= (key.len() / 3).clamp(1, 3) => {
            format!(" (did you mean {key}?)")
        }
        _ => String::new(),
    }
}

/// A date written in full, digits and dashes only.
fn date(text: &str) -> Result<NaiveDate, String> {
    let form =
        text.len() == 10 && text.bytes().enumerate().all(|(index, byte)| if index == 4 || index == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if !form {
        return Err(format!("{text:?} is no date; write it as 2026-01-31, and a range as 2026-01-30..2026-01-31"));
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| format!("there is no day {text}"))
}

/// A day of any year, such as 05-01.
fn month_day(text: &str) -> Result<NaiveDate, String> {
    date(&format!("{LEAP_YEAR}-{text}")).map_err(|_| format!("{text:?} is no day of the year; write it as 05-01, and a range as 05-01..05-02"))
}
