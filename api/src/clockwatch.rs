//! A clock that jumps is not believed: nothing falls due by it until an operator says that it is right.
//!
//! What is compared is the wall clock against the time since the machine was started, which nobody can set and which goes on
//! while the machine sleeps. Before the first look there is only the database, in which the time is written down every few
//! minutes: a clock that stands before it is wrong. A node that doubts writes so into the database; every node holds its clock
//! while that stands there.

use crate::cli::Language;
use crate::state::App;
use chrono::{DateTime, TimeDelta, Utc};
use heyi_engine::store::{Store, StoreError};
use rustix::time::{ClockId, clock_gettime};

/// How far the clock may go astray between two looks. Our choice: enough for a clock that is set by hand to the minute, and
/// far less than a day, in which deadlines count.
const TOLERANCE: TimeDelta = TimeDelta::minutes(10);
/// Where a doubt is written down.
pub const DOUBT: &str = "clock_doubt";
/// Where the time is written down.
const SEEN: &str = "clock_seen";
/// How often.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(5);

/// What both clocks said at the last look.
#[derive(Debug)]
pub struct ClockWatch {
    wall: DateTime<Utc>,
    running: TimeDelta,
    /// How long the machine had been running when the time was last written down.
    written: Option<TimeDelta>,
}

/// How long the machine has been running, asleep or not.
fn running() -> TimeDelta {
    let time = clock_gettime(ClockId::Boottime);
    TimeDelta::new(time.tv_sec, u32::try_from(time.tv_nsec).unwrap_or(0)).unwrap_or_default()
}

impl ClockWatch {
    /// A first look.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: Utc::now(), running: running(), written: None }
    }

    /// How far the wall clock has jumped since the last look, if it has.
    fn jump(&mut self, wall: DateTime<Utc>, running: TimeDelta) -> Option<TimeDelta> {
        let astray = (wall - self.wall) - (running - self.running);
        (self.wall, self.running) = (wall, running);
        (astray.abs() > TOLERANCE).then_some(astray)
    }

    /// Looks at the clock, and lets the engine know whether it is believed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn look(&mut self, app: &App) -> Result<(), StoreError> {
        if let Some(astray) = self.jump(Utc::now(), running()) {
            doubt(app.engine.store(), Some(astray)).await?;
        }
        let held = doubted(app.engine.store()).await?.is_some();
        if !held && self.written.is_none_or(|at| self.running - at >= SEEN_EVERY) {
            app.engine.store().set_meta(SEEN, &self.wall.to_rfc3339()).await?;
            self.written = Some(self.running);
        }
        if held != app.engine.clock_is_held() {
            if held {
                tracing::error!("the clock is not believed: nothing falls due until `heyi clock trust`");
            } else {
                tracing::info!("the clock is believed again");
            }
            app.engine.hold_clock(held);
        }
        Ok(())
    }
}

/// Before anything falls due: whether the clock stands before the time that was written down last.
///
/// # Errors
/// When the database fails.
pub async fn at_start(app: &App) -> Result<(), StoreError> {
    let store = app.engine.store();
    if let Some(seen) = store.meta(SEEN).await?.and_then(|seen| DateTime::parse_from_rfc3339(&seen).ok())
        && Utc::now() < seen.to_utc() - TOLERANCE
    {
        doubt(store, None).await?;
    }
    app.engine.hold_clock(doubted(store).await?.is_some());
    Ok(())
}

/// Why the clock is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Since when, by that clock.
    since: String,
    /// By how many seconds it jumped; none where it stands before the time that was written down last.
    jumped: Option<i64>,
}

impl Doubt {
    /// In words.
    #[must_use]
    pub fn told(&self, language: Language) -> String {
        let since = &self.since;
        match (language, self.jumped) {
            (Language::Chinese, Some(seconds)) => format!("{since} 发现本机时钟跳变 {seconds} 秒"),
            (Language::Chinese, None) => format!("{since} 发现本机时钟早于上次记录的时间"),
            (Language::English, Some(seconds)) => format!("it jumped by {seconds} s, seen at {since}"),
            (Language::English, None) => format!("it stood before the time written down last, seen at {since}"),
        }
    }
}

async fn doubt(store: &Store, jumped: Option<TimeDelta>) -> Result<(), StoreError> {
    let jumped = jumped.map_or_else(|| "behind".to_owned(), |astray| astray.num_seconds().to_string());
    store.set_meta(DOUBT, &format!("{} {jumped}", Utc::now().to_rfc3339())).await
}

/// Since when, and why, the clock is not believed.
///
/// # Errors
/// When the database fails.
pub async fn doubted(store: &Store) -> Result<Option<Doubt>, StoreError> {
    let stored = store.meta(DOUBT).await?.unwrap_or_default();
    Ok(stored.split_once(' ').map(|(since, why)| Doubt { since: since.to_owned(), jumped: why.parse().ok() }))
}

/// An operator says that the clock is right.
///
/// # Errors
/// When the database fails.
pub async fn trust(store: &Store) -> Result<(), StoreError> {
    store.set_meta(DOUBT, "").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_either_way_is_noticed_and_slow_drift_and_sleep_are_not() {
        let start = Utc::now();
        let mut watch = ClockWatch { wall: start, running: TimeDelta::hours(5), written: None };
        let at = |wall: i64, running: i64| (start + TimeDelta::seconds(wall), TimeDelta::hours(5) + TimeDelta::seconds(running));
        let mut look = |(wall, running)| watch.jump(wall, running).map(|astray| astray.num_seconds());
        assert_eq!(look(at(20, 20)), None);
        assert_eq!(look(at(45, 40)), None, "a clock that is set right by seconds");
        assert_eq!(look(at(45 + 30_000, 40 + 30_000)), None, "a machine that slept: both went on");
        assert_eq!(look(at(45 + 30_020 + 86_400, 40 + 30_020)), Some(86_400), "a day ahead");
        assert_eq!(look(at(45 + 30_040 + 86_400, 40 + 30_040)), None, "and on from there");
        assert_eq!(look(at(45 + 30_060, 40 + 30_060)), Some(-86_400), "and back");
    }
}
