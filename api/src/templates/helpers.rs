//! How dates, moments, sums and choices are written in each language, and the template helpers that do it.
//! Only formatting lives here; whether a helper suits a field is `check`'s question, asked before anything is rendered.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Timelike};
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use serde_json::Value;

/// A language that dates and sums can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Chinese,
    English,
}

impl Language {
    pub(super) fn parse(tag: &str) -> Option<Language> {
        match tag {
            "zh-CN" => Some(Language::Chinese),
            "en" => Some(Language::English),
            _ => None,
        }
    }
}

/// 2026年4月14日（星期二） or Tuesday, 14 April 2026.
pub(super) fn day(date: NaiveDate, language: Language) -> String {
    match language {
        Language::Chinese => {
            let weekday = ["一", "二", "三", "四", "五", "六", "日"][date.weekday().num_days_from_monday() as usize];
            format!("{}年{}月{}日（星期{weekday}）", date.year(), date.month(), date.day())
        }
        Language::English => date.format("%A, %-d %B %Y").to_string(),
    }
}

/// The day with the hour, on the clock that the value's own offset names.
pub(super) fn moment(at: DateTime<FixedOffset>, language: Language) -> String {
    let separator = match language {
        Language::Chinese => "",
        Language::English => ", ",
    };
    let day = day(at.date_naive(), language);
    format!("{day}{separator}{:02}:{:02}", at.hour(), at.minute())
}

/// 86,400.50元 or CNY 86,400.50; nothing when `sum` is no decimal with at most two places.
pub(super) fn money(sum: &str, language: Language) -> Option<String> {
    let (sign, digits) = match sum.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", sum),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let bare_point = digits.ends_with('.');
    if whole.is_empty() || bare_point || places.len() > 2 || !all_digits(whole) || !all_digits(places) {
        return None;
    }
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    Some(match language {
        Language::Chinese => format!("{sign}{grouped}.{places:0<2}元"),
        Language::English => format!("CNY {sign}{grouped}.{places:0<2}"),
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Date,
    DateTime,
    Money,
    Choice,
}

struct Format {
    kind: Kind,
    language: Language,
}

impl Format {
    fn words(&self, helper: &Helper<'_>) -> Option<String> {
        let value = helper.param(0)?.value().as_str()?;
        match self.kind {
            Kind::Date => match NaiveDate::parse_from_str(value, "%Y-%m-%d") {
                Ok(date) => Some(day(date, self.language)),
                Err(_) => {
                    let at = DateTime::parse_from_rfc3339(value).ok()?;
                    Some(day(at.date_naive(), self.language))
                }
            },
            Kind::DateTime => Some(moment(DateTime::parse_from_rfc3339(value).ok()?, self.language)),
            Kind::Money => money(value, self.language),
            Kind::Choice => helper.hash_get(value)?.value().as_str().map(str::to_owned),
        }
    }
}

impl HelperDef for Format {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        // The message names the helper only: a value may be personal.
        let words = self.words(helper).ok_or_else(|| RenderErrorReason::Other(format!("{} got a value that it cannot write", helper.name())))?;
        Ok(ScopedJson::Derived(Value::String(words)))
    }
}

/// Gives `registry` the four formatting helpers in `language`.
pub(super) fn register(registry: &mut Handlebars<'static>, language: Language) {
    let helpers = [("date", Kind::Date), ("datetime", Kind::DateTime), ("money", Kind::Money), ("choice", Kind::Choice)];
    for (name, kind) in helpers {
        registry.register_helper(name, Box::new(Format { kind, language }));
    }
}
