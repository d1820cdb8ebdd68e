//! Counting a length of time from a start, over pauses, to its last day.
//!
//! The start is never counted (民法典 201, 民诉法 85): days are those in the half-open range (start, last day]. A pause
//! takes away the days in (pause, resume], so that the pause day counts as used and the resume day does not, and
//! overlapping pauses merge without any bookkeeping. A deadline is the last day that is still in time; its instant is
//! exclusive, the 24:00 of that day, which is the next day's 00:00.

use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::terms::in_range;
use super::{Calendar, CountError, Due, MAX_DAYS, Measure, Moment, Outcome, PauseMoment, Reason, Rule, SkipReason, Skipped, Unit};

const SECONDS_PER_HOUR: u32 = 3600;
/// Hours that fit into [`MAX_DAYS`].
const MAX_HOURS: u32 = MAX_DAYS * 24;

/// Counts a rule to its last day.
///
/// # Errors
/// When the start lies before the calendar's first day, a length or pause is wrong, or the count grows too long.
pub fn due(calendar: &Calendar, zone: Tz, rule: &Rule<'_>) -> Result<Due, CountError> {
    count(calendar, zone, rule, Share::WHOLE)
}

/// Counts to the moment at which a percentage of the whole (with extensions) is used, rounded up to a whole
/// [`Measure`]; for warnings such as "at 80 %". The result does not roll.
///
/// # Errors
/// As [`due`].
pub fn at_share(calendar: &Calendar, zone: Tz, rule: &Rule<'_>, percent: u32) -> Result<Due, CountError> {
    let rule = Rule { roll: false, ..*rule };
    count(calendar, zone, &rule, Share { percent: percent.clamp(1, 100) })
}

/// How much of a rule is used up when a moment ends, in the rule's [`Measure`] and at most the whole: what a pause or
/// a stop at that moment would leave behind it.
///
/// # Errors
/// As [`due`].
pub fn used_by(calendar: &Calendar, zone: Tz, rule: &Rule<'_>, at: Moment) -> Result<u32, CountError> {
    let mut pauses = rule.pauses.to_vec();
    pauses.push(PauseMoment { from: at, to: None });
    let stopped = due(calendar, zone, &Rule { pauses: &pauses, ..*rule })?;
    Ok(stopped.used())
}

/// The number of working days in the half-open range (from, to]; none if `to` is not later.
///
/// # Errors
/// When `from` lies before the calendar's first day or the range is longer than [`MAX_DAYS`].
pub fn working_days_between(calendar: &Calendar, from: NaiveDate, to: NaiveDate) -> Result<u32, CountError> {
    covered(calendar, from)?;
    in_range(to)?;
    if (to - from).num_days() > i64::from(MAX_DAYS) {
        return Err(CountError::TooLong);
    }
    let mut working = 0;
    let mut date = from;
    while date < to {
        date = next(date)?;
        working += u32::from(calendar.day(date).working);
    }
    Ok(working)
}

/// The part of the whole to count.
#[derive(Clone, Copy)]
struct Share {
    percent: u32,
}

impl Share {
    const WHOLE: Share = Share { percent: 100 };

    fn of(self, total: u32) -> u32 {
        let part = (u64::from(total) * u64::from(self.percent)).div_ceil(100);
        u32::try_from(part).unwrap_or(total)
    }
}

fn count(calendar: &Calendar, zone: Tz, rule: &Rule<'_>, share: Share) -> Result<Due, CountError> {
    rule.length.check()?;
    let n = rule.extensions.iter().try_fold(rule.length.n, |sum, more| sum.checked_add(*more)).ok_or(CountError::TooLong)?;
    let start = covered(calendar, rule.start.date(zone)?)?;
    // Months and years become the days up to the matching day, which pauses then shift one by one.
    let days_in_months = |each: u32| -> Result<u32, CountError> {
        let months = n.checked_mul(each).ok_or(CountError::TooLong)?;
        let end = start.checked_add_months(Months::new(months)).ok_or(CountError::OutOfRange)?;
        u32::try_from((end - start).num_days()).map_err(|_| CountError::OutOfRange)
    };
    let (measure, total) = match rule.length.unit {
        Unit::Hours if n > MAX_HOURS => return Err(CountError::TooLong),
        Unit::Hours => return count_hours(zone, rule, share.of(n * SECONDS_PER_HOUR)),
        Unit::CalendarDays => (Measure::CalendarDays, n),
        Unit::WorkingDays => (Measure::WorkingDays, n),
        Unit::Months => (Measure::CalendarDays, days_in_months(1)?),
        Unit::Years => (Measure::CalendarDays, days_in_months(12)?),
    };
    if total > MAX_DAYS {
        return Err(CountError::TooLong);
    }
    let pauses = rule.pauses.iter().map(|pause| {
        let to = pause.to.map(|to| to.date(zone)).transpose()?;
        Ok((pause.from.date(zone)?, to))
    });
    let pauses = merge(start, pauses.collect::<Result<_, CountError>>()?)?;
    let mut walk = Walk { calendar, due: Due::new(measure, share.of(total)), segment: (start, 0), used: 0 };
    match walk.run(start, &pauses)? {
        None => {
            let used = walk.used;
            let remaining = walk.due.total - used;
            walk.due.outcome = Outcome::Paused { used, remaining };
        }
        Some(counted_to) => {
            walk.due.counted_to = Some(counted_to);
            let last_day = if rule.roll { walk.roll(counted_to)? } else { counted_to };
            walk.due.outcome = Outcome::Running { last_day, due_at: end_of_day(last_day, zone)? };
        }
    }
    Ok(walk.due)
}

/// A walk from day to day.
struct Walk<'a> {
    calendar: &'a Calendar,
    due: Due,
    /// Where the running stretch began, and what was used before it.
    segment: (NaiveDate, u32),
    used: u32,
}

impl Walk<'_> {
    /// Walks until the whole is used, and gives that day; none if an open pause comes first.
    fn run(&mut self, start: NaiveDate, pauses: &[Span<NaiveDate>]) -> Result<Option<NaiveDate>, CountError> {
        let mut pauses = pauses.iter().peekable();
        let mut date = start;
        for _ in 0..MAX_DAYS {
            if let Some((from, to)) = pauses.next_if(|(from, _)| *from == date) {
                self.close_segment(*from);
                let Some(to) = to else { return Ok(None) };
                date = self.stand_still(*from, *to)?;
                self.segment = (*to, self.used);
            }
            date = next(date)?;
            if self.counts(date) {
                self.used += 1;
            }
            if self.used == self.due.total {
                self.close_segment(date);
                return Ok(Some(date));
            }
        }
        Err(CountError::TooLong)
    }

    /// Notes the days of a pause, which may not be longer than a whole count.
    fn stand_still(&mut self, from: NaiveDate, to: NaiveDate) -> Result<NaiveDate, CountError> {
        if self.due.skipped.len() as i64 + (to - from).num_days() > i64::from(MAX_DAYS) {
            return Err(CountError::TooLong);
        }
        let mut date = from;
        while date < to {
            date = next(date)?;
            self.due.skipped.push(Skipped { date, reason: SkipReason::Paused, rolled: false });
        }
        Ok(date)
    }

    fn counts(&mut self, date: NaiveDate) -> bool {
        if self.due.measure != Measure::WorkingDays {
            return true;
        }
        let day = self.calendar.day(date);
        self.due.provisional |= day.provisional;
        match day.reason {
            Reason::Weekday => {}
            Reason::MakeUp => self.due.make_up.push(date),
            Reason::Weekend => self.skip(date, SkipReason::Weekend, false),
            Reason::Holiday(key) => self.skip(date, SkipReason::Holiday(key), false),
        }
        day.working
    }

    /// The first worked day, from the counted last one on.
    fn roll(&mut self, counted_to: NaiveDate) -> Result<NaiveDate, CountError> {
        let mut date = counted_to;
        for _ in 0..MAX_DAYS {
            let day = self.calendar.day(date);
            self.due.provisional |= day.provisional;
            match day.reason {
                Reason::Weekday | Reason::MakeUp => return Ok(date),
                Reason::Weekend => self.skip(date, SkipReason::Weekend, true),
                Reason::Holiday(key) => self.skip(date, SkipReason::Holiday(key), true),
            }
            date = next(date)?;
        }
        Err(CountError::TooLong)
    }

    fn skip(&mut self, date: NaiveDate, reason: SkipReason, rolled: bool) {
        self.due.skipped.push(Skipped { date, reason, rolled });
    }

    fn close_segment(&mut self, to: NaiveDate) {
        let (after, used_before) = self.segment;
        self.due.close_segment(after, to, self.used - used_before);
    }
}

fn count_hours(zone: Tz, rule: &Rule<'_>, total: u32) -> Result<Due, CountError> {
    let start = rule.start.instant("start")?;
    let pauses = rule.pauses.iter().map(|pause| {
        let to = pause.to.map(|to| to.instant("end of a pause")).transpose()?;
        Ok((pause.from.instant("beginning of a pause")?, to))
    });
    let pauses = merge(start, pauses.collect::<Result<_, CountError>>()?)?;
    let mut due = Due::new(Measure::Seconds, total);
    let whole = TimeDelta::seconds(i64::from(total));
    // Whole seconds so far, so that the stretches add up to the total whatever their fractions.
    let seconds = |used: TimeDelta| u32::try_from(used.num_seconds()).unwrap_or(total).min(total);
    let (mut after, mut used) = (start, TimeDelta::zero());
    for (from, to) in pauses {
        let stretch = from - after;
        if used + stretch >= whole {
            break;
        }
        due.close_segment(after, from, seconds(used + stretch) - seconds(used));
        used += stretch;
        let Some(to) = to else {
            due.outcome = Outcome::Paused { used: seconds(used), remaining: total - seconds(used) };
            return Ok(due);
        };
        after = to;
    }
    let due_at = after.checked_add_signed(whole - used).ok_or(CountError::OutOfRange)?;
    let last_day = Moment::from(due_at).date(zone)?;
    due.close_segment(after, due_at, total - seconds(used));
    due.counted_to = Some(last_day);
    due.outcome = Outcome::Running { last_day, due_at };
    Ok(due)
}

/// The half-open range (from, to], open at the end while paused.
type Span<T> = (T, Option<T>);

/// Pauses in order, without overlaps, without what lies before the start.
fn merge<T: Copy + Ord + ToString>(start: T, mut pauses: Vec<Span<T>>) -> Result<Vec<Span<T>>, CountError> {
    if let Some((from, to)) = pauses.iter().find_map(|(from, to)| to.filter(|to| to < from).map(|to| (from, to))) {
        return Err(CountError::PauseBackwards { from: from.to_string(), to: to.to_string() });
    }
    pauses.sort_by_key(|(from, _)| *from);
    let mut merged: Vec<Span<T>> = Vec::with_capacity(pauses.len());
    for (from, to) in pauses {
        let from = from.max(start);
        if to.is_some_and(|to| to <= from) {
            continue;
        }
        match merged.last_mut() {
            // Nothing ends an open pause, whichever of the two is open.
            Some((_, end)) if end.is_none_or(|end| from <= end) => *end = end.zip(to).map(|(one, other)| one.max(other)),
            _ => merged.push((from, to)),
        }
    }
    Ok(merged)
}

fn covered(calendar: &Calendar, start: NaiveDate) -> Result<NaiveDate, CountError> {
    if start < calendar.first_day() {
        let (first_day, calendar) = (calendar.first_day(), calendar.name().to_owned());
        return Err(CountError::BeforeFirstDay { start, first_day, calendar });
    }
    in_range(start)
}

fn next(date: NaiveDate) -> Result<NaiveDate, CountError> {
    in_range(date.checked_add_days(Days::new(1)).ok_or(CountError::OutOfRange)?)
}

/// 24:00 of a day: the first instant of the next one.
fn end_of_day(date: NaiveDate, zone: Tz) -> Result<DateTime<Utc>, CountError> {
    let no_such_day = || CountError::NoSuchDay { date, zone: zone.name() };
    let midnight = next(date)?.and_hms_opt(0, 0, 0).ok_or_else(no_such_day)?;
    // Where clocks go forward at midnight the day begins later; no zone has ever left out more than a day.
    (0..=96)
        .find_map(|quarters| zone.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarters))).earliest())
        .map(|instant| instant.with_timezone(&Utc))
        .ok_or_else(no_such_day)
}
