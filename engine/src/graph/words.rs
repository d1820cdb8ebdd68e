//! The few words of a picture that the workflow's file does not bring: Chinese, or else English.

use crate::calendar::{Length, Unit};

/// Words in one language.
#[derive(Clone, Copy)]
pub struct Words {
    chinese: bool,
}

impl Words {
    /// The words of a language.
    pub fn of(language: &str) -> Self {
        Self { chinese: language == "zh" || language.starts_with("zh-") }
    }

    /// Whether they are Chinese.
    pub fn chinese(self) -> bool {
        self.chinese
    }

    /// One of two texts.
    pub fn pick<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        if self.chinese { zh } else { en }
    }

    /// A list of equals.
    pub fn list(self, items: &[String]) -> String {
        items.join(self.pick("、", ", "))
    }

    /// A list that stops after a few.
    pub fn few(self, items: &[String], most: usize) -> String {
        if items.len() <= most {
            return self.list(items);
        }
        let first = self.list(&items[..most]);
        let left = items.len() - most;
        if self.chinese { format!("{first}等{}项", items.len()) } else { format!("{first} and {left} more") }
    }

    /// Who does what.
    pub fn who_does(self, who: &[String], what: &str) -> String {
        let who = self.list(who);
        if self.chinese { format!("{who}：{what}") } else { format!("{}: {what}", capital(&who)) }
    }

    /// A name in quotation marks.
    pub fn quoted(self, name: &str) -> String {
        // The curved marks of a Chinese font are as wide as a character, and look lost among Latin letters.
        if self.chinese { format!("“{name}”") } else { format!("\"{name}\"") }
    }

    /// A length, as `30 个工作日`.
    pub fn length(self, length: Length) -> String {
        if !self.chinese {
            return length.to_string();
        }
        let unit = match length.unit {
            Unit::Hours => "小时",
            Unit::CalendarDays => "日",
            Unit::WorkingDays => "个工作日",
            Unit::Months => "个月",
            Unit::Years => "年",
        };
        format!("{}{unit}", length.n)
    }

    /// In brackets.
    pub fn brackets(self, text: &str) -> String {
        if self.chinese { format!("（{text}）") } else { format!(" ({text})") }
    }

    /// A name and what is said of it.
    pub fn says(self, name: &str, what: &str) -> String {
        if self.chinese { format!("{name}：{what}") } else { format!("{name}: {what}") }
    }

    /// A sentence.
    pub fn sentence(self, text: &str) -> String {
        if self.chinese { format!("{text}。") } else { format!("{}.", capital(text)) }
    }
}

/// With a capital letter in front.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
