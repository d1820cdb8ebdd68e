//! Reading: files, lengths, digests and overlays.

use super::tests::{CHINA, china, china_with_year, d, length};
use super::*;

const README: &str = include_str!("../../../workflows/calendars/README.md");

fn mistakes(source: &str) -> Vec<String> {
    Calendar::parse(source).expect_err("a file with mistakes").iter().map(Mistake::to_string).collect()
}

#[test]
fn lengths_have_one_spelling() {
    for text in ["30 working days", "5 calendar days", "48 hours", "3 years", "1 month", "1 working day", "36500 calendar days"] {
        assert_eq!(length(text).to_string(), text);
        let json = format!("{text:?}");
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Length>(&json).expect("a length")).expect("text"), json);
    }
    let told = |text: &str| text.parse::<Length>().expect_err("no length").to_string();
    assert_eq!(told("5 days"), "\"5 days\" is not a length: say which days, \"5 working days\" or \"5 calendar days\"");
    assert_eq!(told("1 working days"), "\"1 working days\" is not a length: write \"1 working day\"");
    assert_eq!(told("07 Hours"), "\"07 Hours\" is not a length: write \"7 hours\"");
    assert_eq!(
        told("30 workng days"),
        "\"30 workng days\" is not a length: did you mean \"30 working days\"? The units are working days, calendar days, hours, months, years"
    );
    assert_eq!(told("3 fortnights"), "\"3 fortnights\" is not a length: the units are working days, calendar days, hours, months, years");
    assert_eq!(told("soon"), "\"soon\" is not a length: write a number and a unit, such as \"30 working days\" or \"48 hours\"");
    assert_eq!(told("0 hours"), "\"0 hours\" is not a length: the number goes from 1 to 36500");
    assert_eq!(told("99999999999 hours"), "\"99999999999 hours\" is not a length: the number goes from 1 to 36500");
    for text in ["", " ", "1", "-1 hours", "１ hour", "1\u{a0}hour", &"9".repeat(100_000)] {
        assert!(text.parse::<Length>().is_err(), "{text:?}");
    }
    assert!(serde_json::from_str::<Length>("\"5 days\"").expect_err("no length").to_string().contains("say which days"));
}

#[test]
fn all_mistakes_are_told_at_once_with_their_place() {
    let file = "\
calender: x
calendar: Bad Name
holidays:
  new_year: {zh-CN: 元旦}
  weekend: {zh-CN: 周末}
  spring: {en: Spring}
  number: {zh-CN: 7}
years:
  2024:
    days_off:
      new_yer: 2024-01-01
      new_year: [2024-01-02, 2024-02-30, 2025-01-01, 2024-03-09..2024-03-01, soon]
    makeup: [2024-01-02, 2024-01-03, 2024-01-06, 2024-01-06]
    makup: []
  2026: {source: '', days_off: {new_year: [2026-01-01..2026-01-03, 2026-01-03]}}
  26: {source: x, days_off: {}}
  2026: {source: x, days_off: {}}
statutory:
  2026: {source: law, days_off: {new_year: 2026-01-01}}
every_year: {new_year: 13-01}
";
    let expected = [
        "line 1, column 1: calender: unknown key (did you mean calendar?); the keys here are calendar, over, title, holidays, years, statutory, every_year",
        "line 2, column 11: calendar: a calendar's name has small letters, digits, - and _ only",
        "line 5, column 3: holidays.weekend: this word has a meaning of its own; choose another key",
        "line 6, column 11: holidays.spring: needs a name in zh-CN",
        "line 7, column 19: holidays.number.zh-CN: a text belongs here, not a number; put it in quotes",
        "line 9, column 3: years.2024: source is missing: name the notice or law that the days come from",
        "line 11, column 7: years.2024.days_off.new_yer: has no name under holidays (did you mean new_year?)",
        "line 12, column 30: years.2024.days_off.new_year: there is no day 2024-02-30",
        "line 12, column 42: years.2024.days_off.new_year: 2025-01-01 does not lie in 2024",
        "line 12, column 54: years.2024.days_off.new_year: the range 2024-03-09..2024-03-01 ends before it begins",
        "line 12, column 78: years.2024.days_off.new_year: \"soon\" is no date; write it as 2026-01-31, and a range as 2026-01-30..2026-01-31",
        "line 13, column 14: years.2024.makeup: 2024-01-02 is listed both as a day off (new_year) and as a working day",
        "line 13, column 26: years.2024.makeup: 2024-01-03 is a Wednesday, a working day already; only Saturdays and Sundays can be make-up days",
        "line 13, column 50: years.2024.makeup: 2024-01-06 is listed twice",
        "line 14, column 5: years.2024.makup: unknown key (did you mean makeup?); the keys here are source, remark, days_off, makeup",
        "line 15, column 3: years.2026: 2025 is missing between 2024 and 2026",
        "line 15, column 18: years.2026.source: this may not be empty",
        "line 15, column 68: years.2026.days_off.new_year: 01-03 is listed twice",
        "line 16, column 3: years.26: is no year, such as 2026",
        "line 17, column 3: years.2026: this key is given twice",
        "line 19, column 3: statutory.2026: this year is published, under years; remove it here",
        "line 20, column 24: every_year.new_year: \"13-01\" is no day of the year; write it as 05-01, and a range as 05-01..05-02",
    ];
    let told = mistakes(file);
    assert_eq!(told, expected, "{}", told.join("\n"));
}

#[test]
fn unreadable_files_are_told_not_panicked_over() {
    for file in [
        "",
        "[]",
        "7",
        "a: b\n---\nc: d",
        "{a: b",
        "- x\n y",
        "years: {}",
        "calendar: c",
        "calendar: c\nyears: {}\n",
        "? [a]\n: b",
        "~: x",
        "\u{0}",
        "*x",
    ] {
        assert!(!mistakes(file).is_empty(), "{file:?}");
    }
    assert!(!mistakes(&"[".repeat(100_000)).is_empty());
    assert!(!mistakes(&"x".repeat(2 << 20)).is_empty());
    let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert!(!mistakes(bomb).is_empty());
    let many: String = (0..1000).map(|n| format!("k{n}: x\n")).collect();
    assert_eq!(mistakes(&many).len(), 201);
    // Cut anywhere, the shipped file gives a calendar or mistakes.
    for (end, _) in CHINA.char_indices().step_by(7) {
        let _ = Calendar::parse(&CHINA[..end]);
    }
}

#[test]
fn the_digest_rests_on_meaning_alone() {
    let china = china();
    assert_eq!(china.digest().len(), 64);
    let again = Calendar::parse(&china.canonical()).expect("the canonical form is a calendar");
    assert_eq!(again, china);
    assert_eq!(again.canonical(), china.canonical());
    let bare: String = CHINA.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(|line| format!("{line}\r\n")).collect();
    let layout = bare.replace("2024-01-01\r\n", "[2024-01-01..2024-01-01] # the same\r\n");
    assert_ne!(layout, CHINA);
    assert_eq!(Calendar::parse(&layout).expect("a calendar").digest(), china.digest());
    let moved = Calendar::parse(&CHINA.replace("dragon_boat: 2024-06-10", "dragon_boat: 2024-06-11")).expect("a calendar");
    assert_ne!(moved.digest(), china.digest());
    // The default for every_year is spelled out in the canonical form, so it survives the way there and back.
    let small = china_with_year(2026);
    assert!(!small.day(d("2027-10-02")).working);
    assert_eq!(Calendar::parse(&small.canonical()).as_ref(), Ok(&small));
}

#[test]
fn a_local_calendar_lies_over_the_national_one() {
    let china = china();
    let local = "
calendar: county
over: china
title: {zh-CN: 县}
holidays: {county_day: {zh-CN: 县庆日}, spring_festival: {zh-CN: 别名}}
years:
  2023: {source: notice, days_off: {county_day: 2023-04-07}}
  2026: {source: notice, days_off: {county_day: [2026-02-14, 2026-04-07]}, makeup: [2026-02-22]}
  2027: {source: notice, days_off: {county_day: 2027-04-07}}
  2029: {source: notice, days_off: {county_day: 2029-04-06}}
";
    let local = Calendar::parse(local).expect("local days may leave years out");
    assert_eq!(local.over(), Some("china"));
    let both = china.overlay(&local);
    assert_eq!((both.name(), both.over()), ("china+county", None));
    assert_eq!(both.title("zh-CN"), "中国大陆工作日 + 县");
    assert_eq!((both.first_day(), both.last_published()), (china.first_day(), china.last_published()));
    let told = |date| both.day(d(date)).reason.to_string();
    assert_eq!(told("2026-04-07"), "county_day");
    assert_eq!(told("2026-02-14"), "county_day", "a local day off takes back a national make-up day");
    assert_eq!(told("2026-02-22"), "make_up", "a local make-up day takes back a national day off");
    assert_eq!(told("2026-02-23"), "spring_festival");
    assert_eq!(told("2025-04-07"), "weekday");
    assert_eq!(both.day(d("2027-04-07")), Day { working: false, reason: Reason::Holiday("county_day".into()), provisional: true });
    assert_eq!(told("2027-02-05"), "spring_festival", "the statutory days stay");
    assert_eq!(told("2029-04-06"), "county_day");
    assert_eq!(told("2029-10-01"), "national_day", "the days of every year stay");
    assert_eq!(both.holiday_name("spring_festival", "zh-CN"), "春节", "national names stay");
    assert_ne!(both.digest(), china.digest());
    assert_eq!(Calendar::parse(&both.canonical()).as_ref(), Ok(&both));
    assert_eq!(china.overlay(&local), both);
}

#[test]
fn the_example_in_the_readme_is_a_calendar() {
    let (_, rest) = README.split_once("```yaml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let local: Calendar = example.parse().unwrap_or_else(|mistakes: Mistakes| panic!("README.md:\n{mistakes}"));
    let both = china().overlay(&local);
    assert!(local.over() == Some("china") && !both.day(d("2026-04-07")).working);
    for key in ["calendar", "over", "title", "holidays", "years", "statutory", "every_year", "source", "remark", "days_off", "makeup"] {
        assert!(README.contains(&format!("| `{key}` |")), "README.md does not explain {key}");
    }
}
