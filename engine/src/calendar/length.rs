//! Lengths of time as a workflow writes them: `30 working days`, `48 hours`, `1 month`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a length is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Hours from an instant.
    Hours,
    /// Every day counts.
    CalendarDays,
    /// Only worked days count.
    WorkingDays,
    /// To the matching day of a later month, else that month's last (民法典 202).
    Months,
    /// To the matching day of a later year, else the month's last.
    Years,
}

impl Unit {
    /// All units, in the order an error message lists them.
    pub const ALL: [Unit; 5] = [Unit::WorkingDays, Unit::CalendarDays, Unit::Hours, Unit::Months, Unit::Years];

    /// The unit's word for one.
    pub fn singular(self) -> &'static str {
        match self {
            Unit::Hours => "hour",
            Unit::CalendarDays => "calendar day",
            Unit::WorkingDays => "working day",
            Unit::Months => "month",
            Unit::Years => "year",
        }
    }

    /// The unit's word for several.
    pub fn plural(self) -> &'static str {
        match self {
            Unit::Hours => "hours",
            Unit::CalendarDays => "calendar days",
            Unit::WorkingDays => "working days",
            Unit::Months => "months",
            Unit::Years => "years",
        }
    }
}

/// How long something may take, such as `30 working days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Length {
    /// How many, 1 to [`Length::MAX`].
    pub n: u32,
    /// Of what.
    pub unit: Unit,
}

/// A text or number that is no length, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a length: {right}")]
pub struct LengthError {
    /// What was given.
    pub text: String,
    /// What to write instead.
    pub right: String,
}

impl Length {
    /// The largest number of units.
    pub const MAX: u32 = 36_500;

    /// A length, if its number is within bounds.
    ///
    /// # Errors
    /// When `n` is 0 or above [`Length::MAX`].
    pub fn new(n: u32, unit: Unit) -> Result<Length, LengthError> {
        let length = Length { n, unit };
        length.check()?;
        Ok(length)
    }

    /// The fields are public, so counting checks them again.
    pub(super) fn check(&self) -> Result<(), LengthError> {
        if (1..=Length::MAX).contains(&self.n) {
            return Ok(());
        }
        Err(LengthError { text: self.to_string(), right: format!("the number goes from 1 to {}", Length::MAX) })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.n == 1 { self.unit.singular() } else { self.unit.plural() };
        write!(f, "{} {word}", self.n)
    }
}

impl FromStr for Length {
    type Err = LengthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |right: String| LengthError { text: shorten(text), right };
        let trimmed = text.trim();
        let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, word) = trimmed.split_at(digits);
        if number.is_empty() {
            return Err(wrong("write a number and a unit, such as \"30 working days\" or \"48 hours\"".into()));
        }
        // A number too large for u32 is out of bounds all the same.
        let n = number.parse().unwrap_or(u32::MAX);
        let word = word.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if word == "day" || word == "days" {
            let [working, calendar] = [Unit::WorkingDays, Unit::CalendarDays].map(|unit| Length { n, unit });
            return Err(wrong(format!("say which days, \"{working}\" or \"{calendar}\"")));
        }
        let Some(unit) = Unit::ALL.into_iter().find(|unit| [unit.singular(), unit.plural()].contains(&word.as_str())) else {
            let units = Unit::ALL.map(Unit::plural).join(", ");
            let near = Unit::ALL.into_iter().map(|unit| (strsim::damerau_levenshtein(&word, unit.plural()), unit)).min();
            return Err(wrong(match near {
                Some((distance, unit)) if distance <= 3 && word.len() > 2 => {
                    format!("did you mean \"{}\"? The units are {units}", Length { n, unit })
                }
                _ => format!("the units are {units}"),
            }));
        };
        let length = Length { n, unit };
        length.check().map_err(|error| wrong(error.right))?;
        // One spelling for one length, so that equal definitions have equal text.
        if length.to_string() != text {
            return Err(wrong(format!("write \"{length}\"")));
        }
        Ok(length)
    }
}

impl TryFrom<String> for Length {
    type Error = LengthError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Length> for String {
    fn from(length: Length) -> Self {
        length.to_string()
    }
}

/// A mistaken text can be a whole page; an error quotes its start.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
