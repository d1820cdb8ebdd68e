//! Working days and the counting of legal time.
//!
//! Here live: a calendar read from a file ([`Calendar`]), the lengths a workflow may name ([`Length`]) and the one
//! function that turns a start, a length, pauses and extensions into a last day ([`due`]). Not here: what time it is,
//! who asks, and what a deadline does when it falls due. A calendar knows days only; the zone is an argument, as one
//! calendar serves a country and the zone belongs to the installation.
//!
//! Everything is derived from events each time it is asked for. A stored end date that is nudged while a case is
//! paused drifts; a pure count over the file's days does not.

mod assemble;
mod count;
mod length;
mod parse;
#[cfg(test)]
mod parse_tests;
mod terms;
#[cfg(test)]
mod tests;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use count::{at_share, due, used_by, working_days_between};
pub use length::{Length, LengthError, Unit};
pub use parse::Mistake;
pub use terms::{CountError, Due, Measure, Moment, Outcome, Pause, PauseMoment, Rule, Segment, SkipReason, Skipped};

/// The most days any count may walk over, some 109 years. Longer counts are refused.
pub const MAX_DAYS: u32 = 40_000;

/// Words that [`Reason`] and [`SkipReason`] use themselves, so no holiday may have one of them as its key.
const RESERVED: [&str; 4] = ["weekday", "weekend", "make_up", "paused"];

/// One text in several languages, by language tag (`zh-CN`, `en`).
type Names = BTreeMap<String, String>;

/// A named calendar: which days are worked. It knows neither zone nor hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    over: Option<String>,
    title: Names,
    holidays: BTreeMap<String, Names>,
    /// Years with an official schedule. Never empty; without gaps unless `over` is set.
    years: BTreeMap<i32, Year>,
    /// Later years, of which only the days fixed by law are known.
    statutory: BTreeMap<i32, Year>,
    /// Days off by month and day, for years with neither block.
    every_year: BTreeMap<(u32, u32), String>,
    first_day: NaiveDate,
    last_published: NaiveDate,
    digest: String,
}

/// What a file says about one year.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Year {
    source: String,
    remark: Option<String>,
    days_off: BTreeMap<NaiveDate, String>,
    makeup: BTreeSet<NaiveDate>,
}

/// What a calendar says about one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Whether it counts as a working day.
    pub working: bool,
    /// Why it does or does not.
    pub reason: Reason,
    /// True when no official schedule covers the day, so that the answer may change when one is loaded.
    pub provisional: bool,
}

/// Why a day is worked or not. As text: `weekday`, `make_up`, `weekend`, or the holiday's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Reason {
    /// A plain Monday to Friday: worked.
    Weekday,
    /// A Saturday or Sunday worked in exchange for a day off (调休): worked.
    MakeUp,
    /// A plain Saturday or Sunday: not worked.
    Weekend,
    /// A day off, with the key of its holiday: not worked.
    Holiday(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Weekday => "weekday",
            Reason::MakeUp => "make_up",
            Reason::Weekend => "weekend",
            Reason::Holiday(key) => key,
        })
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        match text.as_str() {
            "weekday" => Reason::Weekday,
            "make_up" => Reason::MakeUp,
            "weekend" => Reason::Weekend,
            _ => Reason::Holiday(text),
        }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.to_string()
    }
}

impl FromStr for Calendar {
    type Err = Mistakes;

    fn from_str(source: &str) -> Result<Self, Self::Err> {
        Calendar::parse(source).map_err(Mistakes)
    }
}

/// All mistakes of a file as one error, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl Calendar {
    /// Reads a calendar from YAML, or from JSON, which is a part of YAML.
    ///
    /// # Errors
    /// Every mistake in the file, in file order, each with its place; `workflows/calendars/README.md` tells the keys.
    /// Where the text is no YAML at all there is one mistake, as nothing after it can be read.
    pub fn parse(source: &str) -> Result<Calendar, Vec<Mistake>> {
        parse::read(source)
    }

    /// The key by which workflows and cases name this calendar, such as `china`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The calendar this one is meant to be laid over, if it holds local days only.
    pub fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// The calendar's title in a language, else in zh-CN, else its name.
    pub fn title(&self, language: &str) -> &str {
        in_language(&self.title, language).unwrap_or(&self.name)
    }

    /// The name of a holiday in a language, else in zh-CN, else its key. For words such as `weekend`, which are no
    /// holidays, it gives the word back.
    pub fn holiday_name<'a>(&'a self, key: &'a str, language: &str) -> &'a str {
        self.holidays.get(key).and_then(|names| in_language(names, language)).unwrap_or(key)
    }

    /// The official notice (or, for a year not yet published, the law) behind a year, if the file has that year.
    pub fn source(&self, year: i32) -> Option<&str> {
        self.years.get(&year).or_else(|| self.statutory.get(&year)).map(|block| block.source.as_str())
    }

    /// Lowercase hexadecimal SHA-256 of [`Calendar::canonical`]. Comments, order and layout do not change it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The calendar as canonical JSON, every day spelled out. It parses to a calendar with the same digest, so it is
    /// what a database keeps.
    pub fn canonical(&self) -> String {
        let canonical = CanonicalCalendar {
            calendar: &self.name,
            over: self.over.as_deref(),
            title: &self.title,
            holidays: &self.holidays,
            years: self.years.iter().map(|(year, block)| (*year, block.canonical())).collect(),
            statutory: self.statutory.iter().map(|(year, block)| (*year, block.canonical())).collect(),
            every_year: by_key(self.every_year.iter().map(|((month, day), key)| (key, format!("{month:02}-{day:02}")))),
        };
        serde_json::to_string(&canonical).expect("maps with text keys, and text, always have a JSON form")
    }

    /// The first covered day. Counts may not start earlier.
    pub fn first_day(&self) -> NaiveDate {
        self.first_day
    }

    /// The last day of the last year that has an official schedule. Later days are provisional.
    pub fn last_published(&self) -> NaiveDate {
        self.last_published
    }

    /// Whether a day is worked, and why.
    ///
    /// A year without an official schedule is answered from its `statutory` block, else from `every_year`, both on
    /// top of plain weekends, and marked provisional. Days before [`Calendar::first_day`] are answered in the same
    /// way; the counting functions refuse them.
    pub fn day(&self, date: NaiveDate) -> Day {
        let official = self.years.get(&date.year());
        let provisional = official.is_none();
        let holiday = match official.or_else(|| self.statutory.get(&date.year())) {
            Some(block) if block.makeup.contains(&date) => {
                return Day { working: true, reason: Reason::MakeUp, provisional };
            }
            Some(block) => block.days_off.get(&date),
            None => self.every_year.get(&(date.month(), date.day())),
        };
        let (working, reason) = match holiday {
            Some(key) => (false, Reason::Holiday(key.clone())),
            None if is_weekend(date) => (false, Reason::Weekend),
            None => (true, Reason::Weekday),
        };
        Day { working, reason, provisional }
    }

    /// This calendar with a local one laid over it, such as an autonomous county's own holidays.
    ///
    /// Where both name a day, the local one decides. What is covered and published stays as it is here: local days of
    /// a year that this calendar has not published are provisional, and those before its first day are left out.
    #[must_use]
    pub fn overlay(&self, local: &Calendar) -> Calendar {
        let mut merged = self.clone();
        merged.name = format!("{}+{}", self.name, local.name);
        for (language, text) in &local.title {
            let title = merged.title.entry(language.clone()).or_default();
            *title = if title.is_empty() { text.clone() } else { format!("{title} + {text}") };
        }
        for (key, names) in &local.holidays {
            merged.holidays.entry(key.clone()).or_insert_with(|| names.clone());
        }
        for (month_day, key) in &local.every_year {
            merged.every_year.insert(*month_day, key.clone());
        }
        let later = local.years.keys().chain(local.statutory.keys()).filter(|year| **year > self.last_published.year());
        let years: BTreeSet<i32> = self.years.keys().chain(self.statutory.keys()).chain(later).copied().collect();
        for year in years {
            let over = local.block(year);
            if over.days_off.is_empty() && over.makeup.is_empty() {
                continue;
            }
            let block = self.block(year).into_owned().overlay(&over);
            let place = if self.years.contains_key(&year) { &mut merged.years } else { &mut merged.statutory };
            place.insert(year, block);
        }
        merged.seal();
        merged
    }

    /// The day that lies a length before a last day: for warnings such as "5 working days before".
    ///
    /// Working days are counted back from the day before `last_day`, so that as many remain as the length says.
    /// Months and years go back to the matching day, else the month's last. Days before [`Calendar::first_day`] are
    /// answered from weekends and yearly days, as a warning that early lies before its deadline's start anyway.
    ///
    /// # Errors
    /// When the length is in hours, not a valid length, or leads out of the years 1 to 9999.
    pub fn before(&self, last_day: NaiveDate, length: &Length) -> Result<NaiveDate, CountError> {
        length.check()?;
        let months = |each: u32| -> Result<NaiveDate, CountError> {
            let months = length.n.checked_mul(each).ok_or(CountError::OutOfRange)?;
            last_day.checked_sub_months(Months::new(months)).ok_or(CountError::OutOfRange)
        };
        let date = match length.unit {
            Unit::Hours => return Err(CountError::HoursBeforeDay),
            Unit::Months => months(1)?,
            Unit::Years => months(12)?,
            Unit::CalendarDays => last_day.checked_sub_days(Days::new(u64::from(length.n))).ok_or(CountError::OutOfRange)?,
            Unit::WorkingDays => {
                let (mut date, mut left) = (last_day, length.n);
                for _ in 0..MAX_DAYS {
                    date = date.pred_opt().ok_or(CountError::OutOfRange)?;
                    left -= u32::from(self.day(date).working);
                    if left == 0 {
                        break;
                    }
                }
                if left > 0 {
                    return Err(CountError::TooLong);
                }
                date
            }
        };
        terms::in_range(date)
    }

    /// What is known of a year, from its schedule, its statutory days or the yearly ones.
    fn block(&self, year: i32) -> Cow<'_, Year> {
        if let Some(block) = self.years.get(&year).or_else(|| self.statutory.get(&year)) {
            return Cow::Borrowed(block);
        }
        let days_off = self.every_year.iter().filter_map(|((month, day), key)| {
            Some((NaiveDate::from_ymd_opt(year, *month, *day)?, key.clone())) // none: 29 February in a plain year
        });
        Cow::Owned(Year { source: format!("every_year ({})", self.name), days_off: days_off.collect(), ..Year::default() })
    }

    /// Recomputes what is derived from the rest. Called once, when all fields are in place.
    fn seal(&mut self) {
        self.digest = Sha256::digest(self.canonical().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    }
}

impl Year {
    /// This year with local days laid over it.
    fn overlay(mut self, local: &Year) -> Year {
        self.source = format!("{}; {}", self.source, local.source);
        self.remark = match (self.remark, &local.remark) {
            (Some(own), Some(other)) => Some(format!("{own}; {other}")),
            (own, other) => own.or_else(|| other.clone()),
        };
        for (date, key) in &local.days_off {
            self.makeup.remove(date);
            self.days_off.insert(*date, key.clone());
        }
        for date in &local.makeup {
            self.days_off.remove(date);
            self.makeup.insert(*date);
        }
        self
    }

    fn canonical(&self) -> CanonicalYear<'_> {
        CanonicalYear {
            source: &self.source,
            remark: self.remark.as_deref(),
            days_off: by_key(self.days_off.iter().map(|(date, key)| (key, date.to_string()))),
            makeup: &self.makeup,
        }
    }
}

/// The canonical form. Its fields are written in this order and its maps by key, whatever features serde_json was
/// built with, so the digest of a calendar is the same in every build.
#[derive(Serialize)]
struct CanonicalCalendar<'a> {
    calendar: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    over: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    title: &'a Names,
    holidays: &'a BTreeMap<String, Names>,
    years: BTreeMap<i32, CanonicalYear<'a>>,
    statutory: BTreeMap<i32, CanonicalYear<'a>>,
    every_year: BTreeMap<&'a str, Vec<String>>,
}

#[derive(Serialize)]
struct CanonicalYear<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<&'a str>,
    days_off: BTreeMap<&'a str, Vec<String>>,
    makeup: &'a BTreeSet<NaiveDate>,
}

fn by_key<'a>(days: impl Iterator<Item = (&'a String, String)>) -> BTreeMap<&'a str, Vec<String>> {
    let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, day) in days {
        lists.entry(key).or_default().push(day);
    }
    lists
}

fn in_language<'a>(names: &'a Names, language: &str) -> Option<&'a str> {
    names.get(language).or_else(|| names.get("zh-CN")).map(String::as_str)
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}
