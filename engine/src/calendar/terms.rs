//! The words of counting: what goes into a count, what comes out, and why it may be refused.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Length, LengthError, MAX_DAYS};

/// Years that dates may lie in, well inside chrono's limits, so that no conversion can overflow.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;

/// When something happened in law: on a day, or at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Moment {
    /// A day in the zone of the installation.
    Date(NaiveDate),
    /// An instant.
    Instant(DateTime<Utc>),
}

impl From<NaiveDate> for Moment {
    fn from(date: NaiveDate) -> Self {
        Moment::Date(date)
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(instant: DateTime<Utc>) -> Self {
        Moment::Instant(instant)
    }
}

impl Moment {
    /// The day of this moment in a zone.
    ///
    /// # Errors
    /// When it lies outside the years 1 to 9999.
    pub fn date(self, zone: Tz) -> Result<NaiveDate, CountError> {
        match self {
            Moment::Date(date) => in_range(date),
            Moment::Instant(instant) => {
                in_range(instant.date_naive())?;
                in_range(instant.with_timezone(&zone).date_naive())
            }
        }
    }

    /// The instant, which a count of hours needs.
    pub(super) fn instant(self, what: &'static str) -> Result<DateTime<Utc>, CountError> {
        match self {
            Moment::Date(_) => Err(CountError::NeedsInstant { what }),
            Moment::Instant(instant) => {
                in_range(instant.date_naive())?;
                Ok(instant)
            }
        }
    }
}

/// A span of days in which a clock stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// The day of the pause. It counts as used.
    pub from: NaiveDate,
    /// The day of resuming, which does not count; none while still paused.
    pub to: Option<NaiveDate>,
}

/// A pause between two moments, as a case's timeline has them. For lengths in days the days of the moments count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PauseMoment {
    /// When the clock stopped.
    pub from: Moment,
    /// When it went on; none while still paused.
    pub to: Option<Moment>,
}

impl From<Pause> for PauseMoment {
    fn from(pause: Pause) -> Self {
        PauseMoment { from: pause.from.into(), to: pause.to.map(Moment::from) }
    }
}

/// All that a last day depends on, besides calendar and zone.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// The moment that starts the count and is not counted itself.
    pub start: Moment,
    /// How long.
    pub length: &'a Length,
    /// Added later, in the length's unit.
    pub extensions: &'a [u32],
    /// When the clock stood still; any order, overlaps welcome.
    pub pauses: &'a [PauseMoment],
    /// Whether a last day that is not worked moves on to the next worked one (民法典 203, 民诉法 85). Working days end
    /// on a worked day anyway, and hours never move.
    pub roll: bool,
}

impl<'a> Rule<'a> {
    /// A rule without extensions, pauses or rolling; set the others as fields.
    pub fn new(start: impl Into<Moment>, length: &'a Length) -> Rule<'a> {
        Rule { start: start.into(), length, extensions: &[], pauses: &[], roll: false }
    }
}

/// What `used`, `remaining` and `total` are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// For lengths in hours.
    Seconds,
    /// For lengths in calendar days, months and years.
    CalendarDays,
    /// For lengths in working days.
    WorkingDays,
}

/// Where a count ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has an end.
    Running {
        /// The last day that is still in time; for hours the day on which they end.
        last_day: NaiveDate,
        /// The exclusive instant: 24:00 of the last day, or the end of the hours.
        due_at: DateTime<Utc>,
    },
    /// It stands still, so it has none.
    Paused {
        /// Counted before the pause.
        used: u32,
        /// To be counted from the resume day on.
        remaining: u32,
    },
}

/// A running stretch, between the start or a resume and a pause or the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Where it begins, itself not counted.
    pub after: Moment,
    /// Where it ends, counted.
    pub to: Moment,
    /// What it used of the length.
    pub used: u32,
}

/// Why a day did not count. As text: `weekend`, `paused`, or the holiday's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SkipReason {
    /// A Saturday or Sunday.
    Weekend,
    /// A day off, with the key of its holiday.
    Holiday(String),
    /// The clock stood still.
    Paused,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SkipReason::Weekend => "weekend",
            SkipReason::Paused => "paused",
            SkipReason::Holiday(key) => key,
        })
    }
}

impl From<String> for SkipReason {
    fn from(text: String) -> Self {
        match text.as_str() {
            "weekend" => SkipReason::Weekend,
            "paused" => SkipReason::Paused,
            _ => SkipReason::Holiday(text),
        }
    }
}

impl From<SkipReason> for String {
    fn from(reason: SkipReason) -> Self {
        reason.to_string()
    }
}

/// A day that was walked over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The day.
    pub date: NaiveDate,
    /// Why it did not count.
    pub reason: SkipReason,
    /// True for the days at the end from which the last day was rolled on.
    pub rolled: bool,
}

/// A last day, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The last day, or that there is none as yet.
    pub outcome: Outcome,
    /// The unit of `total` and of every `used`.
    pub measure: Measure,
    /// The whole length with its extensions.
    pub total: u32,
    /// The running stretches with what each used.
    pub segments: Vec<Segment>,
    /// Every day that did not count. Empty for hours.
    pub skipped: Vec<Skipped>,
    /// Saturdays and Sundays that counted as working days, because they make up for a day off.
    pub make_up: Vec<NaiveDate>,
    /// Where the count ended, before rolling on. None while paused.
    pub counted_to: Option<NaiveDate>,
    /// True when the outcome rests on a day that no official schedule covers yet. A count that asks no schedule
    /// (hours; calendar days, months and years that do not roll) is never provisional.
    pub provisional: bool,
}

impl Due {
    /// The last day that is still in time, unless the count stands still.
    pub fn last_day(&self) -> Option<NaiveDate> {
        match self.outcome {
            Outcome::Running { last_day, .. } => Some(last_day),
            Outcome::Paused { .. } => None,
        }
    }

    /// What was counted: all of it, or what was used before the clock stopped.
    pub fn used(&self) -> u32 {
        match self.outcome {
            Outcome::Running { .. } => self.total,
            Outcome::Paused { used, .. } => used,
        }
    }
}

/// Why a count was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// The calendar does not go back that far; nothing is guessed.
    #[error("{start} lies before {first_day}, the first day that calendar {calendar} covers")]
    BeforeFirstDay {
        /// Where the count was to start.
        start: NaiveDate,
        /// The first covered day.
        first_day: NaiveDate,
        /// The calendar's name.
        calendar: String,
    },
    /// A moment or result outside the years that can be handled.
    #[error("the count leaves the years {} to {}", YEARS.start(), YEARS.end())]
    OutOfRange,
    /// The walk would be longer than [`MAX_DAYS`].
    #[error("the count is longer than {MAX_DAYS} days")]
    TooLong,
    /// The length itself is wrong.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// Hours were asked for, and a moment has no time of day.
    #[error("a length in hours needs a time of day for the {what}, not only a date")]
    NeedsInstant {
        /// Which moment.
        what: &'static str,
    },
    /// A pause that ends before it begins.
    #[error("a pause from {from} cannot end earlier, on {to}")]
    PauseBackwards {
        /// Its beginning.
        from: String,
        /// Its end.
        to: String,
    },
    /// Hours before a last day mean nothing, as a last day has no time of day.
    #[error("a time before a last day is counted in days, months or years, not in hours")]
    HoursBeforeDay,
    /// The zone has no such day, as when it crossed the date line.
    #[error("the day after {date} has no beginning in zone {zone}")]
    NoSuchDay {
        /// The last day.
        date: NaiveDate,
        /// The zone.
        zone: &'static str,
    },
}

impl Due {
    pub(super) fn new(measure: Measure, total: u32) -> Due {
        Due {
            outcome: Outcome::Paused { used: 0, remaining: total },
            measure,
            total,
            segments: Vec::new(),
            skipped: Vec::new(),
            make_up: Vec::new(),
            counted_to: None,
            provisional: false,
        }
    }

    pub(super) fn close_segment(&mut self, after: impl Into<Moment>, to: impl Into<Moment>, used: u32) {
        let (after, to) = (after.into(), to.into());
        if after != to {
            self.segments.push(Segment { after, to, used });
        }
    }
}

pub(super) fn in_range(date: NaiveDate) -> Result<NaiveDate, CountError> {
    if YEARS.contains(&date.year()) { Ok(date) } else { Err(CountError::OutOfRange) }
}
