//! Counting: the golden vectors of the domain notes (§7.2, §7.4), and what surrounds them.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Asia::Shanghai;
use chrono_tz::Tz;

use super::*;

pub(super) const CHINA: &str = include_str!("../../../workflows/calendars/china.yaml");

pub(super) fn china() -> Calendar {
    CHINA.parse().unwrap_or_else(|mistakes: Mistakes| panic!("china.yaml:\n{mistakes}"))
}

pub(super) fn d(text: &str) -> NaiveDate {
    text.parse().expect("a date in a test")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant in a test")
}

pub(super) fn length(text: &str) -> Length {
    text.parse().unwrap_or_else(|error: LengthError| panic!("{error}"))
}

fn pause(from: &str, to: &str) -> PauseMoment {
    Pause { from: d(from), to: (!to.is_empty()).then(|| d(to)) }.into()
}

/// Counts with the shipped calendar in Shanghai.
fn counted(start: &str, text: &str, extensions: &[u32], pauses: &[PauseMoment], roll: bool) -> Due {
    let length = length(text);
    let rule = Rule { extensions, pauses, roll, ..Rule::new(d(start), &length) };
    due(&china(), Shanghai, &rule).unwrap_or_else(|error| panic!("{start} + {text}: {error}"))
}

fn last_day(due: &Due) -> NaiveDate {
    due.last_day().expect("a running count")
}

// The schedules once more, typed from the domain notes in another form, so that neither the file nor its reader is
// its own judge.
const OFF: [(&str, &str); 20] = [
    ("2024-01-01", "2024-01-01"),
    ("2024-02-10", "2024-02-17"),
    ("2024-04-04", "2024-04-06"),
    ("2024-05-01", "2024-05-05"),
    ("2024-06-10", "2024-06-10"),
    ("2024-09-15", "2024-09-17"),
    ("2024-10-01", "2024-10-07"),
    ("2025-01-01", "2025-01-01"),
    ("2025-01-28", "2025-02-04"),
    ("2025-04-04", "2025-04-06"),
    ("2025-05-01", "2025-05-05"),
    ("2025-05-31", "2025-06-02"),
    ("2025-10-01", "2025-10-08"),
    ("2026-01-01", "2026-01-03"),
    ("2026-02-15", "2026-02-23"),
    ("2026-04-04", "2026-04-06"),
    ("2026-05-01", "2026-05-05"),
    ("2026-06-19", "2026-06-21"),
    ("2026-09-25", "2026-09-27"),
    ("2026-10-01", "2026-10-07"),
];
#[rustfmt::skip]
const MADE_UP: [&str; 19] = [
    "2024-02-04", "2024-02-18", "2024-04-07", "2024-04-28", "2024-05-11", "2024-09-14", "2024-09-29", "2024-10-12",
    "2025-01-26", "2025-02-08", "2025-04-27", "2025-09-28", "2025-10-11",
    "2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10",
];

/// All days of 2024 to 2026, each with whether it is worked.
fn naive_days() -> Vec<(NaiveDate, bool)> {
    let off = OFF.map(|(first, last)| (d(first), d(last)));
    let made_up = MADE_UP.map(d);
    d("2024-01-01")
        .iter_days()
        .take_while(|day| *day <= d("2026-12-31"))
        .map(|day| {
            let weekend = day.weekday().number_from_monday() > 5;
            let listed = off.iter().any(|(first, last)| (*first..=*last).contains(&day));
            (day, made_up.contains(&day) || !(weekend || listed))
        })
        .collect()
}

#[test]
fn every_published_year_has_its_known_number_of_working_days() {
    let china = china();
    for (year, working) in [(2024, 251), (2025, 248), (2026, 248)] {
        let day = |month, day| NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        let counted = day(1, 1).iter_days().take_while(|date| date.year() == year).filter(|date| china.day(*date).working);
        assert_eq!(counted.count(), working, "{year}");
        let first = u32::from(china.day(day(1, 1)).working);
        let between = working_days_between(&china, day(1, 1), day(12, 31)).expect("within bounds");
        assert_eq!((between + first) as usize, working, "{year}");
    }
    for (day, working) in naive_days() {
        assert_eq!(china.day(day).working, working, "{day}");
    }
}

#[test]
fn days_tell_their_reason() {
    let china = china();
    let told = |date| {
        let Day { working, reason, provisional } = china.day(d(date));
        (working, reason.to_string(), provisional)
    };
    assert_eq!(told("2024-02-09"), (true, "weekday".into(), false), "New Year's Eve was worked in 2024");
    assert_eq!(told("2026-02-14"), (true, "make_up".into(), false));
    assert_eq!(told("2026-02-15"), (false, "spring_festival".into(), false));
    assert_eq!(told("2026-03-01"), (false, "weekend".into(), false));
    assert_eq!(told("2027-02-05"), (false, "spring_festival".into(), true));
    assert_eq!(told("2027-02-09"), (true, "weekday".into(), true));
    assert_eq!(told("2028-05-02"), (false, "labour_day".into(), true));
    assert_eq!(told("2028-02-29"), (true, "weekday".into(), true));
    assert_eq!(china.holiday_name("spring_festival", "zh-CN"), "春节");
    assert_eq!(china.holiday_name("spring_festival", "en"), "Spring Festival");
    assert_eq!(china.holiday_name("spring_festival", "mn"), "春节");
    assert_eq!(china.holiday_name("weekend", "en"), "weekend");
    assert_eq!((china.first_day(), china.last_published()), (d("2024-01-01"), d("2026-12-31")));
    assert_eq!(china.source(2024), Some("国办发明电〔2023〕7号"));
    for extreme in [NaiveDate::MIN, NaiveDate::MAX] {
        assert!(china.day(extreme).provisional);
    }
}

#[test]
fn golden_vectors_of_working_days() {
    let table = [
        ("2024-01-31", ["2024-02-04", "2024-02-06", "2024-02-26", "2024-03-18"]),
        ("2024-09-20", ["2024-09-25", "2024-09-27", "2024-10-16", "2024-11-06"]),
        ("2025-01-20", ["2025-01-23", "2025-01-26", "2025-02-14", "2025-03-07"]),
        ("2025-01-26", ["2025-02-06", "2025-02-08", "2025-02-21", "2025-03-14"]),
        ("2025-09-26", ["2025-09-30", "2025-10-10", "2025-10-23", "2025-11-13"]),
        ("2025-12-31", ["2026-01-06", "2026-01-08", "2026-01-22", "2026-02-12"]),
        ("2026-02-13", ["2026-02-25", "2026-02-27", "2026-03-12", "2026-04-02"]),
        ("2026-04-03", ["2026-04-09", "2026-04-13", "2026-04-27", "2026-05-20"]),
        ("2026-04-30", ["2026-05-08", "2026-05-11", "2026-05-25", "2026-06-15"]),
        ("2026-09-30", ["2026-10-10", "2026-10-13", "2026-10-27", "2026-11-17"]),
        ("2026-11-02", ["2026-11-05", "2026-11-09", "2026-11-23", "2026-12-14"]),
    ];
    for (start, ends) in table {
        for (n, end) in ["3", "5", "15", "30"].into_iter().zip(ends) {
            for roll in [false, true] {
                let due = counted(start, &format!("{n} working days"), &[], &[], roll);
                assert_eq!(last_day(&due), d(end), "{start} + {n}");
                assert!(!due.provisional, "{start} + {n}");
                assert_eq!(working_days_between(&china(), d(start), d(end)).map(|n| n.to_string()), Ok(n.to_owned()));
            }
        }
    }
}

#[test]
fn golden_vectors_of_thirty_calendar_days() {
    let table = [
        ("2026-01-05", "2026-02-04", "2026-02-04"),
        ("2026-01-20", "2026-02-19", "2026-02-24"),
        ("2026-02-13", "2026-03-15", "2026-03-16"),
        ("2026-04-02", "2026-05-02", "2026-05-06"),
        ("2026-08-21", "2026-09-20", "2026-09-20"),
        ("2025-09-01", "2025-10-01", "2025-10-09"),
    ];
    for (start, raw, effective) in table {
        assert_eq!(last_day(&counted(start, "30 calendar days", &[], &[], false)), d(raw), "{start}");
        let rolled = counted(start, "30 calendar days", &[], &[], true);
        assert_eq!((rolled.counted_to, last_day(&rolled)), (Some(d(raw)), d(effective)), "{start}");
        assert_eq!(rolled.skipped.len() as i64, (d(effective) - d(raw)).num_days(), "{start}: each rolled day is told");
        assert!(rolled.skipped.iter().all(|day| day.rolled));
    }
}

struct PauseVector {
    accepted: &'static str,
    pauses: &'static [(&'static str, &'static str)],
    extensions: &'static [u32],
    used: &'static [u32],
    deadline: &'static str,
}

const PAUSE_VECTORS: [PauseVector; 5] = [
    PauseVector { accepted: "2026-03-02", pauses: &[("2026-03-11", "2026-04-20")], extensions: &[], used: &[7], deadline: "2026-05-25" },
    PauseVector { accepted: "2026-01-26", pauses: &[("2026-02-06", "2026-02-28")], extensions: &[], used: &[9], deadline: "2026-03-30" },
    PauseVector {
        accepted: "2026-03-02",
        pauses: &[("2026-03-11", "2026-04-20"), ("2026-04-27", "2026-05-11")],
        extensions: &[],
        used: &[7, 5],
        deadline: "2026-06-04",
    },
    PauseVector { accepted: "2026-03-02", pauses: &[("2026-03-11", "2026-04-20")], extensions: &[15], used: &[7], deadline: "2026-06-15" },
    PauseVector { accepted: "2026-09-01", pauses: &[("2026-09-19", "2026-10-10")], extensions: &[], used: &[13], deadline: "2026-11-03" },
];

#[test]
fn golden_vectors_of_pauses() {
    for PauseVector { accepted, pauses, extensions, used, deadline } in PAUSE_VECTORS {
        let all: Vec<PauseMoment> = pauses.iter().map(|(from, to)| pause(from, to)).collect();
        let due = counted(accepted, "30 working days", extensions, &all, false);
        assert_eq!(last_day(&due), d(deadline), "{accepted} {pauses:?}");
        let told: Vec<u32> = due.segments.iter().map(|segment| segment.used).collect();
        assert_eq!(&told[..used.len()], used, "{accepted} {pauses:?}");
        assert_eq!(told.iter().sum::<u32>(), 30 + extensions.iter().sum::<u32>());
        // While still in the last pause, the same count stands with the same use.
        let mut open = all.clone();
        open.last_mut().expect("a pause").to = None;
        let paused = counted(accepted, "30 working days", extensions, &open, false);
        let used: u32 = used.iter().sum();
        assert_eq!(paused.outcome, Outcome::Paused { used, remaining: due.total - used });
        assert_eq!((paused.last_day(), paused.counted_to), (None, None));
    }
}

/// The counter that someone in a hurry would write, once right and with two plausible slips.
#[derive(Clone, Copy, PartialEq)]
enum Naive {
    Right,
    ResumeDayCounts,
    StartDayCounts,
}

fn naive(days: &[(NaiveDate, bool)], start: NaiveDate, n: usize, pauses: &[(NaiveDate, NaiveDate)], how: Naive) -> Option<NaiveDate> {
    let paused = |day: NaiveDate| pauses.iter().any(|(from, to)| *from < day && if how == Naive::ResumeDayCounts { day < *to } else { day <= *to });
    days.iter()
        .filter(|(day, _)| *day > start || (how == Naive::StartDayCounts && *day == start))
        .filter(|(day, working)| *working && !paused(*day))
        .nth(n - 1)
        .map(|(day, _)| *day)
}

#[test]
fn pause_vectors_have_teeth() {
    let days = naive_days();
    let all_right = |how| {
        PAUSE_VECTORS.iter().all(|vector| {
            let pauses: Vec<_> = vector.pauses.iter().map(|(from, to)| (d(from), d(to))).collect();
            let n = 30 + vector.extensions.iter().sum::<u32>() as usize;
            naive(&days, d(vector.accepted), n, &pauses, how) == Some(d(vector.deadline))
        })
    };
    assert!(all_right(Naive::Right));
    assert!(!all_right(Naive::ResumeDayCounts), "the vectors must tell whether the resume day counts");
    assert!(!all_right(Naive::StartDayCounts), "the vectors must tell whether the start day counts");
}

#[test]
fn agrees_with_a_naive_counter_everywhere() {
    let (china, days) = (china(), naive_days());
    let mut seed: u64 = 20_261_124;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut compared = 0;
    for (start, _) in days.iter().take(365 * 2 + 200).copied() {
        for _ in 0..3 {
            let n = 1 + random(45) as u32;
            let mut spans: Vec<(NaiveDate, NaiveDate)> = Vec::new();
            for _ in 0..random(4) {
                // From a little before the start, so that pauses overlap it, touch and swallow one another.
                let from = start + chrono::TimeDelta::days(random(70) as i64 - 10);
                spans.push((from, from + chrono::TimeDelta::days(random(25) as i64)));
            }
            let pauses: Vec<PauseMoment> = spans.iter().map(|(from, to)| Pause { from: *from, to: Some(*to) }.into()).collect();
            let of = Length::new(n, Unit::WorkingDays).expect("within bounds");
            let rule = Rule { pauses: &pauses, ..Rule::new(start, &of) };
            let Some(expected) = naive(&days, start, n as usize, &spans, Naive::Right) else {
                continue;
            };
            let due = due(&china, Shanghai, &rule).expect("within bounds");
            assert_eq!(last_day(&due), expected, "{start} + {of}, {spans:?}");
            assert_eq!(due.segments.iter().map(|segment| segment.used).sum::<u32>(), n);
            // Every day of the walk is either counted or told as skipped, once.
            assert_eq!(due.skipped.len() as i64 + i64::from(n), (expected - start).num_days(), "{start} + {of}, {spans:?}");
            assert_eq!(used_by(&china, Shanghai, &rule, expected.into()), Ok(n));
            assert_eq!(used_by(&china, Shanghai, &rule, (expected - Days::new(1)).into()), Ok(n - 1));

            let of = Length::new(n, Unit::CalendarDays).expect("within bounds");
            let rule = Rule { pauses: &pauses, roll: true, ..Rule::new(start, &of) };
            let every: Vec<_> = days.iter().map(|(day, _)| (*day, true)).collect();
            let raw = naive(&every, start, n as usize, &spans, Naive::Right);
            let rolled = raw.and_then(|raw| days.iter().find(|(day, working)| *day >= raw && *working));
            if let (Some(raw), Some((rolled, _))) = (raw, rolled) {
                let due = super::due(&china, Shanghai, &rule).expect("within bounds");
                assert_eq!((due.counted_to, last_day(&due)), (Some(raw), *rolled), "{start} + {of}, {spans:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 2500, "only {compared} cases were compared");
}

#[test]
fn skipped_days_are_told_with_their_reason() {
    let due = counted("2026-02-13", "3 working days", &[], &[], false);
    let told: Vec<String> = due.skipped.iter().map(|day| format!("{} {}", day.date, day.reason)).collect();
    let expected: Vec<String> = (15..=23).map(|day| format!("2026-02-{day} spring_festival")).collect();
    assert_eq!(told, expected);
    assert_eq!(due.make_up, [d("2026-02-14")]);
    let json = serde_json::to_value(&due).expect("plain data");
    assert_eq!(json["skipped"][0], serde_json::json!({"date": "2026-02-15", "reason": "spring_festival", "rolled": false}));
    assert_eq!(json["outcome"]["running"]["due_at"], "2026-02-25T16:00:00Z");
    assert_eq!(serde_json::from_value::<Due>(json).expect("its own form"), due);

    let due = counted("2026-03-05", "3 working days", &[], &[pause("2026-03-06", "2026-03-09")], false);
    let told: Vec<String> = due.skipped.iter().map(|day| format!("{} {}", day.date, day.reason)).collect();
    assert_eq!(told, ["2026-03-07 paused", "2026-03-08 paused", "2026-03-09 paused"]);
    assert_eq!(last_day(&due), d("2026-03-11"));
}

#[test]
fn a_deadline_ends_at_midnight_of_the_zone() {
    let length = length("3 working days");
    let ends = |zone: Tz, start: Moment| match due(&china(), zone, &Rule::new(start, &length)).expect("within bounds").outcome {
        Outcome::Running { last_day, due_at } => (last_day, due_at),
        Outcome::Paused { .. } => panic!("nothing pauses here"),
    };
    assert_eq!(ends(Shanghai, d("2026-03-02").into()), (d("2026-03-05"), at("2026-03-05T16:00:00Z")));
    // 00:30 on the 2nd in Shanghai is still the 1st in UTC; the zone's day counts.
    assert_eq!(ends(Shanghai, at("2026-03-01T16:30:00Z").into()).0, d("2026-03-05"));
    assert_eq!(ends(Tz::UTC, at("2026-03-01T16:30:00Z").into()).0, d("2026-03-04"));
    // Beirut's clocks go forward at midnight, so 2026-03-29 begins at 01:00.
    let length = Length { n: 2, unit: Unit::CalendarDays };
    let due = due(&china(), chrono_tz::Asia::Beirut, &Rule::new(d("2026-03-26"), &length)).expect("within bounds");
    let due_at = chrono_tz::Asia::Beirut.with_ymd_and_hms(2026, 3, 29, 1, 0, 0).single().expect("one instant");
    assert_eq!(due.outcome, Outcome::Running { last_day: d("2026-03-28"), due_at: due_at.to_utc() });
}

#[test]
fn hours_are_instants_without_pauses_and_roll() {
    let length = length("48 hours");
    let start = at("2026-02-14T02:30:00Z");
    let rule = Rule { roll: true, ..Rule::new(start, &length) };
    let counted = |rule: &Rule<'_>| due(&china(), Shanghai, rule);
    let plain = counted(&rule).expect("within bounds");
    assert_eq!(plain.outcome, Outcome::Running { last_day: d("2026-02-16"), due_at: at("2026-02-16T02:30:00Z") });
    assert!(plain.skipped.is_empty());

    let part = |from, to: &str| PauseMoment { from: Moment::Instant(at(from)), to: (!to.is_empty()).then(|| at(to).into()) };
    // Overlapping: six hours stood still in all. The second pause comes after the end and changes nothing.
    let pauses = [
        part("2026-02-15T02:30:00Z", "2026-02-15T06:30:00Z"),
        part("2026-02-20T00:00:00Z", ""),
        part("2026-02-15T04:30:00Z", "2026-02-15T08:30:00Z"),
    ];
    let paused = counted(&Rule { pauses: &pauses, ..rule }).expect("within bounds");
    assert_eq!(paused.outcome, Outcome::Running { last_day: d("2026-02-16"), due_at: at("2026-02-16T08:30:00Z") });
    assert_eq!(paused.segments.iter().map(|segment| segment.used / 3600).collect::<Vec<_>>(), [24, 24]);
    let longer = counted(&Rule { extensions: &[24], pauses: &pauses[..1], ..rule }).expect("within bounds");
    assert_eq!(longer.last_day(), Some(d("2026-02-17")));

    let open = [part("2026-02-14T03:00:00.5Z", "")];
    let stands = counted(&Rule { pauses: &open, ..rule }).expect("within bounds");
    assert_eq!(stands.outcome, Outcome::Paused { used: 1800, remaining: 48 * 3600 - 1800 });
    assert_eq!(used_by(&china(), Shanghai, &rule, at("2026-02-15T02:30:00Z").into()), Ok(24 * 3600));

    // A pause at the very end comes too late.
    let late = [part("2026-02-16T02:30:00Z", "")];
    let ended = counted(&Rule { pauses: &late, ..rule }).expect("within bounds");
    assert_eq!(ended, plain);

    let no_time = counted(&Rule::new(d("2026-02-14"), &length)).expect_err("a date has no hours");
    assert_eq!(no_time.to_string(), "a length in hours needs a time of day for the start, not only a date");
    assert!(counted(&Rule { pauses: &[pause("2026-02-14", "")], ..rule }).is_err());
}

#[test]
fn months_and_years_end_on_the_matching_day() {
    let ends = |start: &str, text: &str, pauses: &[PauseMoment], roll| last_day(&counted(start, text, &[], pauses, roll));
    assert_eq!(ends("2026-01-30", "1 month", &[], false), d("2026-02-28"));
    assert_eq!(ends("2026-01-31", "3 months", &[], false), d("2026-04-30"));
    assert_eq!(ends("2024-02-29", "1 year", &[], false), d("2025-02-28"));
    assert_eq!(ends("2024-02-29", "4 years", &[], false), d("2028-02-29"));
    assert_eq!(ends("2024-03-04", "3 years", &[], false), d("2027-03-04"));
    // 2026-05-01 is 劳动节: on to the 6th.
    assert_eq!(ends("2026-04-01", "1 month", &[], true), d("2026-05-06"));
    // Ten days stood still; the matching day 04-10 moves to 04-20.
    assert_eq!(ends("2026-03-10", "1 month", &[pause("2026-03-15", "2026-03-25")], false), d("2026-04-20"));
    // The shift itself may run into a pause.
    let twice = [pause("2026-03-15", "2026-03-25"), pause("2026-04-15", "2026-04-18")];
    assert_eq!(ends("2026-03-10", "1 month", &twice, false), d("2026-04-23"));
    // Extensions lengthen the months before the matching day is looked up.
    assert_eq!(last_day(&counted("2026-01-31", "1 month", &[1], &[], false)), d("2026-03-31"));
    let open = counted("2026-03-10", "1 month", &[], &[pause("2026-03-15", "")], false);
    assert_eq!((open.outcome, open.measure), (Outcome::Paused { used: 5, remaining: 26 }, Measure::CalendarDays));
}

#[test]
fn beyond_the_published_years_is_provisional() {
    let crossing = counted("2026-12-01", "30 working days", &[], &[], false);
    assert!(crossing.provisional);
    assert_eq!(last_day(&crossing), d("2027-01-13")); // 22 in December after the 1st, and 元旦 is a Friday
    assert!(!counted("2026-11-02", "30 working days", &[], &[], false).provisional);
    let last = counted("2026-12-30", "1 working day", &[], &[], false);
    assert_eq!((last_day(&last), last.provisional), (d("2026-12-31"), false));
    assert!(counted("2026-12-31", "1 working day", &[], &[], false).provisional);
    // Spring Festival 2027 by law: worked again on Tuesday the 9th.
    assert_eq!(last_day(&counted("2027-02-04", "1 working day", &[], &[], false)), d("2027-02-09"));
    // Only what asks a schedule can be provisional: a roll does, plain days and years do not.
    assert!(counted("2026-12-15", "30 calendar days", &[], &[], true).provisional);
    assert!(!counted("2026-12-15", "30 calendar days", &[], &[], false).provisional);
    assert!(!counted("2026-12-15", "3 years", &[], &[], false).provisional);
    // An end before the pause rests on published days only.
    assert!(!counted("2026-12-21", "30 working days", &[], &[pause("2026-12-25", "")], false).provisional);
}

#[test]
fn a_start_before_the_first_year_is_refused() {
    let china = china();
    for text in ["30 working days", "30 calendar days", "1 month", "3 years"] {
        let length = length(text);
        let error = due(&china, Shanghai, &Rule::new(d("2023-12-31"), &length)).expect_err("2023 is not covered");
        assert_eq!(error.to_string(), "2023-12-31 lies before 2024-01-01, the first day that calendar china covers");
        assert!(due(&china, Shanghai, &Rule::new(d("2024-01-01"), &length)).is_ok());
    }
    assert!(working_days_between(&china, d("2023-12-31"), d("2024-02-01")).is_err());
    // The same instant is refused or not by the day it has in the zone.
    let length = length("1 hour");
    let instant = at("2023-12-31T16:30:00Z");
    assert!(due(&china, Shanghai, &Rule::new(instant, &length)).is_ok());
    assert!(due(&china, Tz::UTC, &Rule::new(instant, &length)).is_err());
}

#[test]
fn extreme_input_is_an_error_not_a_panic() {
    let china = china();
    let dates = [NaiveDate::MIN, NaiveDate::MAX, d("9999-12-31"), d("9999-12-20"), d("2026-01-01")];
    let mut moments: Vec<Moment> = dates.map(Moment::Date).to_vec();
    moments.extend([DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, at("9999-12-31T23:00:00Z")].map(Moment::Instant));
    for unit in Unit::ALL {
        for n in [0, 1, 30, Length::MAX, u32::MAX] {
            let length = Length { n, unit };
            for date in dates {
                let _ = china.before(date, &length);
                let _ = working_days_between(&china, d("2024-01-01"), date);
            }
            for start in &moments {
                for other in &moments {
                    for pauses in [&[][..], &[PauseMoment { from: *other, to: None }], &[PauseMoment { from: *start, to: Some(*other) }]] {
                        for extensions in [&[][..], &[u32::MAX], &[u32::MAX, 1]] {
                            let rule = Rule { start: *start, length: &length, extensions, pauses, roll: true };
                            for zone in [Shanghai, chrono_tz::Pacific::Kiritimati, chrono_tz::Pacific::Pago_Pago] {
                                let _ = due(&china, zone, &rule);
                            }
                        }
                    }
                }
            }
        }
    }
    let refused = |n, unit, extensions: &[u32]| {
        let length = Length { n, unit };
        due(&china, Shanghai, &Rule { extensions, ..Rule::new(d("2026-01-01"), &length) }).expect_err("out of bounds")
    };
    assert_eq!(refused(36_500, Unit::WorkingDays, &[]), CountError::TooLong);
    assert_eq!(refused(110, Unit::Years, &[]), CountError::TooLong);
    assert_eq!(refused(1, Unit::CalendarDays, &[u32::MAX]), CountError::TooLong);
    assert!(matches!(refused(0, Unit::CalendarDays, &[]), CountError::Length(_)));
    let length = Length { n: 30, unit: Unit::WorkingDays };
    let backwards = [pause("2026-03-11", "2026-03-10")];
    let error = due(&china, Shanghai, &Rule { pauses: &backwards, ..Rule::new(d("2026-03-02"), &length) });
    assert_eq!(error.expect_err("backwards").to_string(), "a pause from 2026-03-11 cannot end earlier, on 2026-03-10");
    let ages = [pause("2026-03-11", "2226-03-11")];
    assert_eq!(due(&china, Shanghai, &Rule { pauses: &ages, ..Rule::new(d("2026-03-02"), &length) }), Err(CountError::TooLong));
    // Samoa left out 2011-12-30; the day after the 29th begins with the 31st.
    let old = china_with_year(2011);
    let apia = due(&old, chrono_tz::Pacific::Apia, &Rule::new(d("2011-12-28"), &Length { n: 1, unit: Unit::CalendarDays }));
    let Ok(Due { outcome: Outcome::Running { due_at, .. }, .. }) = apia else { panic!("{apia:?}") };
    assert_eq!(due_at, at("2011-12-30T10:00:00Z"));
}

pub(super) fn china_with_year(year: i32) -> Calendar {
    let file = format!("calendar: c\nyears:\n  {year}: {{source: s, days_off: {{}}}}\n");
    file.parse().unwrap_or_else(|mistakes: Mistakes| panic!("{mistakes}"))
}

#[test]
fn warnings_lie_before_the_last_day() {
    let china = china();
    let before = |date, text: &str| china.before(d(date), &length(text));
    assert_eq!(before("2026-04-02", "5 working days"), Ok(d("2026-03-26")));
    assert_eq!(before("2026-02-25", "1 working day"), Ok(d("2026-02-24")));
    assert_eq!(before("2026-02-24", "1 working day"), Ok(d("2026-02-14")), "back over Spring Festival to a make-up Saturday");
    assert_eq!(before("2026-03-31", "3 calendar days"), Ok(d("2026-03-28")));
    assert_eq!(before("2026-03-31", "1 month"), Ok(d("2026-02-28")));
    assert_eq!(before("2028-02-29", "1 year"), Ok(d("2027-02-28")));
    assert_eq!(before("2024-01-03", "5 working days"), Ok(d("2023-12-26")));
    assert_eq!(before("2026-03-31", "3 hours"), Err(CountError::HoursBeforeDay));
    for n in [1, 3, 5] {
        let early = china.before(d("2026-05-08"), &Length { n, unit: Unit::WorkingDays }).expect("in range");
        assert_eq!(working_days_between(&china, early, d("2026-05-08")), Ok(n));
    }
    let thirty = length("30 working days");
    let pauses = [pause("2026-03-11", "2026-04-20")];
    let rule = Rule { pauses: &pauses, ..Rule::new(d("2026-03-02"), &thirty) };
    let share = |percent| at_share(&china, Shanghai, &rule, percent).ok().and_then(|due| due.last_day());
    assert_eq!(share(50), Some(d("2026-04-30"))); // 7 in March, the 8th on 04-21
    assert_eq!(share(100), Some(d("2026-05-25")));
    assert_eq!(share(25), Some(d("2026-04-21")), "7.5 days are rounded up");
    assert_eq!(share(20), Some(d("2026-03-10")));
}
