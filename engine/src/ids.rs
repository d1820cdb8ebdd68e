//! Newtypes for identifiers and for moments in legal time.
//!
//! Here: what names a case, a proceeding, a person, an account, a file, and the two ways in which the law dates
//! an act (a day, or an instant). Not here: how identifiers are drawn (the store draws the random part) and how
//! periods are counted (see `calendar`).

use chrono::{DateTime, FixedOffset, NaiveDate, TimeZone as _};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that was drawn or read elsewhere.
            #[must_use]
            pub const fn new(id: Uuid) -> Self { Self(id) }
            /// The UUID itself.
            #[must_use]
            pub const fn uuid(self) -> Uuid { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { Ok(Self(Uuid::parse_str(text)?)) }
        }
    };
}

uuid_id!(/** A case (案件): one dispute, one log. */ CaseId);
uuid_id!(/** A person of a case: a party, an agent, a hospital as a unit. */ PersonId);
uuid_id!(/** An account of the installation: staff, an outside body, or a party who logs in. */ AccountId);
uuid_id!(/** A file handed in: evidence, a scan, a signed paper. */ FileId);

impl CaseId {
    /// The reference printed on notices: it names the case to the committee and says nothing to anybody else.
    #[must_use]
    pub fn reference(self) -> String {
        let hex = self.0.simple().to_string();
        format!("HY-{}", hex[20..].to_uppercase())
    }
}

/// A proceeding within its case: the sequence number of the event that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProceedingId(pub u64);

impl fmt::Display for ProceedingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl FromStr for ProceedingId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('p').and_then(|digits| digits.parse().ok()).map(Self).ok_or_else(|| "a proceeding is named like p12".to_owned())
    }
}

/// A UUIDv7 made from given time and given random bytes, so that pure code can derive one.
#[must_use]
pub fn uuid_v7(unix_ms: u64, random: &[u8; 16]) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random[..10]);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

/// When an act counts in law: on a day, or at an instant. A day is what paper usually says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LegalTime {
    /// An instant, in the workflow's zone. Tried first when reading: a date alone is not RFC 3339.
    At(DateTime<FixedOffset>),
    /// A day, in the workflow's zone.
    On(NaiveDate),
}

impl LegalTime {
    /// The day, in the zone that it was recorded in.
    #[must_use]
    pub fn date(self) -> NaiveDate {
        match self {
            Self::On(date) => date,
            Self::At(at) => at.date_naive(),
        }
    }

    /// True when this is certainly before `other`; a day and an instant within it are not ordered.
    #[must_use]
    pub fn before(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(a), Self::At(b)) => a < b,
            _ => self.date() < other.date(),
        }
    }

    /// The later of the two; `self` when they are not ordered.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The instant, a day counting from its start in `zone`.
    #[must_use]
    pub fn instant(self, zone: chrono_tz::Tz) -> DateTime<FixedOffset> {
        match self {
            Self::At(at) => at,
            Self::On(date) => {
                let midnight = date.and_hms_opt(0, 0, 0).unwrap_or_default();
                zone.from_local_datetime(&midnight).earliest().unwrap_or_else(|| zone.from_utc_datetime(&midnight)).fixed_offset()
            }
        }
    }
}

impl FromStr for LegalTime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Self::On(date));
        }
        DateTime::parse_from_rfc3339(text)
            .map(Self::At)
            .map_err(|_| "a day such as 2026-03-02, or a time such as 2026-03-02T09:00:00+08:00".to_owned())
    }
}

impl fmt::Display for LegalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(date) => date.fmt(f),
            Self::At(at) => f.write_str(&at.to_rfc3339()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_an_instant_within_it_are_not_ordered() {
        let day: LegalTime = "2026-03-02".parse().unwrap();
        let noon: LegalTime = "2026-03-02T12:00:00+08:00".parse().unwrap();
        assert!(!day.before(noon) && !noon.before(day));
        let next: LegalTime = "2026-03-03".parse().unwrap();
        assert!(noon.before(next) && noon.or_later(next) == next);
    }

    #[test]
    fn a_derived_id_is_a_version_7_uuid() {
        let id = uuid_v7(1_790_000_000_000, &[0xff; 16]);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(CaseId::new(id).reference().len(), 15);
    }

    #[test]
    fn legal_time_reads_back_what_it_writes() {
        for text in ["2026-03-02", "2026-03-02T12:00:00+08:00"] {
            let time: LegalTime = text.parse().unwrap();
            let json = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<LegalTime>(&json).unwrap(), time);
        }
    }
}
