//! Amounts and dates as Chinese legal documents write them: 大写 amounts, grouped figures, 年月日 dates.
//!
//! Pure functions of whole 分 and calendar dates. Not here: rounding, shares, interest (the engine computes those)
//! and anything that knows what a document looks like.

use chrono::{Datelike, NaiveDate};
use thiserror::Error;

/// The largest amount that can be written out, in 分: one 分 below 10¹⁶ 元 (万亿 stays the highest unit).
pub const MAX_FEN: i64 = 999_999_999_999_999_999;

const DIGITS: [&str; 10] = ["零", "壹", "贰", "叁", "肆", "伍", "陆", "柒", "捌", "玖"];
const PLAIN: [&str; 10] = ["〇", "一", "二", "三", "四", "五", "六", "七", "八", "九"];

/// An amount that has no written form here. The amount itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Bills and agreements know no negative sums.
    #[error("an amount may not be negative")]
    Negative,
    /// Above [`MAX_FEN`].
    #[error("an amount must stay below 10^16 yuan")]
    TooLarge,
}

/// The capital form (大写) of an amount in 分, without the leading 人民币.
///
/// It follows 《正确填写票据和结算凭证的基本规定》 (支付结算办法, annex 1). Where that rule leaves a choice, we take
/// the shorter form: 整 is written after 元 and never after 角 (it may be left out there) or 分 (it must be); when
/// the 万 or 元 place is a zero and a non-zero 千 or 角 follows, no 零 is put between.
///
/// ```
/// # use heyi_api::documents::numerals;
/// assert_eq!(numerals::capital(22_620_000).as_deref(), Ok("贰拾贰万陆仟贰佰元整"));
/// ```
pub fn capital(fen: i64) -> Result<String, AmountError> {
    let fen = checked(fen)?;
    let (yuan, jiao, cent) = (fen / 100, (fen / 10 % 10) as usize, (fen % 10) as usize);
    let mut out = String::new();
    if yuan > 0 {
        write_yuan(&mut out, yuan);
        out.push('元');
    }
    match (jiao, cent) {
        (0, 0) if yuan == 0 => out.push_str("零元整"),
        (0, 0) => out.push('整'),
        (0, c) => {
            if yuan > 0 {
                out.push('零');
            }
            out.push_str(DIGITS[c]);
            out.push('分');
        }
        (j, c) => {
            out.push_str(DIGITS[j]);
            out.push('角');
            if c > 0 {
                out.push_str(DIGITS[c]);
                out.push('分');
            }
        }
    }
    Ok(out)
}

/// The amount in figures with two decimals and thousands groups: `226,200.00`.
pub fn figures(fen: i64) -> Result<String, AmountError> {
    let fen = checked(fen)?;
    let yuan = (fen / 100).to_string();
    let mut out = String::with_capacity(yuan.len() * 4 / 3 + 4);
    for (i, digit) in yuan.chars().enumerate() {
        if i > 0 && (yuan.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(&format!(".{:02}", fen % 100));
    Ok(out)
}

/// A date in figures: `2026年11月23日`.
pub fn date(day: NaiveDate) -> String {
    format!("{}年{}月{}日", day.year(), day.month(), day.day())
}

/// A date in Chinese numerals, as it stands beside a seal: `二〇二六年十一月二十三日`.
pub fn formal_date(day: NaiveDate) -> String {
    let year: String = day.year().to_string().chars().map(|c| c.to_digit(10).map_or("", |d| PLAIN[d as usize])).collect();
    format!("{year}年{}月{}日", below_hundred(day.month()), below_hundred(day.day()))
}

/// 1..=99 as it is read: 十, 十一, 二十, 三十一.
fn below_hundred(n: u32) -> String {
    let (tens, ones) = (n as usize / 10 % 10, n as usize % 10);
    let mut out = String::new();
    if tens > 1 {
        out.push_str(PLAIN[tens]);
    }
    if tens > 0 {
        out.push('十');
    }
    if ones > 0 {
        out.push_str(PLAIN[ones]);
    }
    out
}

fn checked(fen: i64) -> Result<u64, AmountError> {
    match u64::try_from(fen) {
        Err(_) => Err(AmountError::Negative),
        Ok(n) if fen <= MAX_FEN => Ok(n),
        Ok(_) => Err(AmountError::TooLarge),
    }
}

/// Writes a positive whole number in groups of four digits. The second and the fourth group carry 万, and 亿 follows
/// whatever stands above the lower eight digits.
fn write_yuan(out: &mut String, yuan: u64) {
    let groups = [yuan / 1_0000_0000_0000, yuan / 1_0000_0000 % 1_0000, yuan / 1_0000 % 1_0000, yuan % 1_0000];
    let mut zero_due = false;
    for (i, &group) in groups.iter().enumerate() {
        if group > 0 {
            if !out.is_empty() && (zero_due || group < 1000) {
                out.push('零');
            }
            write_group(out, group as usize);
            if i % 2 == 0 {
                out.push('万');
            }
            zero_due = false;
        } else {
            zero_due = true; // a whole group of zeros between two others is one 零
        }
        if i == 1 && yuan >= 1_0000_0000 {
            out.push('亿');
        }
    }
}

/// Writes 1..=9999; zeros inside give one 零, zeros at either end give none.
fn write_group(out: &mut String, group: usize) {
    let mut started = false;
    let mut zero_due = false;
    for (unit, name) in [(1000, "仟"), (100, "佰"), (10, "拾"), (1, "")] {
        match group / unit % 10 {
            0 => zero_due = started,
            digit => {
                if zero_due {
                    out.push('零');
                    zero_due = false;
                }
                out.push_str(DIGITS[digit]);
                out.push_str(name);
                started = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capital_follows_the_bill_rules() {
        for (fen, want) in [
            (0, "零元整"),
            (1, "壹分"),
            (10, "壹角"),
            (11, "壹角壹分"),
            (99, "玖角玖分"),
            (100, "壹元整"),
            (101, "壹元零壹分"),
            (110, "壹元壹角"),
            (1_000, "壹拾元整"),
            (1_050, "壹拾元伍角"),
            (1_100, "壹拾壹元整"),
            (10_100, "壹佰零壹元整"),
            (11_000, "壹佰壹拾元整"),
            (100_100, "壹仟零壹元整"),
            (101_000, "壹仟零壹拾元整"),
            (110_000, "壹仟壹佰元整"),
            (1_000_500, "壹万零伍元整"),
            (1_000_000, "壹万元整"),
            (1_010_000, "壹万零壹佰元整"),
            (1_100_000, "壹万壹仟元整"),
            (10_000_000, "壹拾万元整"),
            (10_010_000, "壹拾万零壹佰元整"),
            (22_620_000, "贰拾贰万陆仟贰佰元整"),
            (19_284_020, "壹拾玖万贰仟捌佰肆拾元贰角"),
            (2_001_000_000, "贰仟零壹万元整"),
            (10_000_000_000, "壹亿元整"),
            (10_000_000_001, "壹亿元零壹分"),
            (10_000_000_100, "壹亿零壹元整"),
            (10_000_700_000, "壹亿零柒仟元整"),
            (10_001_000_000, "壹亿零壹万元整"),
            (10_100_000_000, "壹亿零壹佰万元整"),
            (11_000_000_000, "壹亿壹仟万元整"),
            (100_000_000_000, "壹拾亿元整"),
            (100_000_000_000_000, "壹万亿元整"),
            (100_050_000_000_000, "壹万零伍亿元整"),
            (100_000_001_000_000, "壹万亿零壹万元整"),
            (100_000_000_000_100, "壹万亿零壹元整"),
            (MAX_FEN, "玖仟玖佰玖拾玖万玖仟玖佰玖拾玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元玖角玖分"),
        ] {
            assert_eq!(capital(fen).as_deref(), Ok(want), "{fen}");
        }
    }

    /// The examples printed in 《正确填写票据和结算凭证的基本规定》 itself.
    #[test]
    fn capital_writes_the_examples_of_the_rule() {
        assert_eq!(capital(140_950).as_deref(), Ok("壹仟肆佰零玖元伍角"));
        assert_eq!(capital(600_714).as_deref(), Ok("陆仟零柒元壹角肆分"));
        assert_eq!(capital(168_032).as_deref(), Ok("壹仟陆佰捌拾元叁角贰分"));
        assert_eq!(capital(10_700_053).as_deref(), Ok("壹拾万柒仟元伍角叁分"));
        assert_eq!(capital(1_640_902).as_deref(), Ok("壹万陆仟肆佰零玖元零贰分"));
        assert_eq!(capital(32_504).as_deref(), Ok("叁佰贰拾伍元零肆分"));
    }

    #[test]
    fn amounts_outside_the_limits_are_refused() {
        for bad in [-1, i64::MIN] {
            assert_eq!(capital(bad), Err(AmountError::Negative));
            assert_eq!(figures(bad), Err(AmountError::Negative));
        }
        for bad in [MAX_FEN + 1, i64::MAX] {
            assert_eq!(capital(bad), Err(AmountError::TooLarge));
            assert_eq!(figures(bad), Err(AmountError::TooLarge));
        }
    }

    /// Reads a capital amount back, by the way it is spoken; an independent road to the same number.
    fn read_back(text: &str) -> i64 {
        let (mut total, mut section, mut group, mut digit, mut fen) = (0_i64, 0_i64, 0_i64, 0_i64, 0_i64);
        for c in text.chars() {
            match c {
                '仟' | '佰' | '拾' => {
                    group += digit
                        * if c == '仟' {
                            1000
                        } else if c == '佰' {
                            100
                        } else {
                            10
                        };
                    digit = 0;
                }
                '万' => {
                    section += (group + digit) * 10_000;
                    (group, digit) = (0, 0);
                }
                '亿' => {
                    total += (section + group + digit) * 100_000_000;
                    (section, group, digit) = (0, 0, 0);
                }
                '元' => {
                    fen += (total + section + group + digit) * 100;
                    digit = 0;
                }
                '角' => {
                    fen += digit * 10;
                    digit = 0;
                }
                '分' => {
                    fen += digit;
                    digit = 0;
                }
                '整' => {}
                _ => digit = DIGITS.iter().position(|d| d.starts_with(c)).expect("a digit") as i64,
            }
        }
        fen
    }

    #[test]
    fn every_capital_amount_reads_back_and_never_doubles_a_zero() {
        let mut x = 0x9E37_79B9_7F4A_7C15_u64;
        let mut tried = (0..=200_000).collect::<Vec<i64>>();
        for _ in 0..60_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Zeros are where the rule is hard, so knock out random digits.
            let digits = (x % 1_000_000_000_000_000_000).to_string();
            let holed: String = digits.chars().enumerate().map(|(i, c)| if (x >> (i * 3)) & 3 == 0 { c } else { '0' }).collect();
            tried.push(holed.parse::<i64>().expect("digits") >> (x % 40));
            tried.push(holed.parse::<i64>().expect("digits"));
        }
        for fen in tried {
            let text = capital(fen).expect("within limits");
            assert_eq!(read_back(&text), fen, "{text}");
            assert!(!text.contains("零零") && (fen == 0 || !text.contains("零元")) && !text.contains("零万") && !text.contains("零亿"), "{text}");
            assert!(fen == 0 || !text.starts_with('零'), "{text}");
        }
    }

    #[test]
    fn figures_are_grouped() {
        for (fen, want) in
            [(0, "0.00"), (1, "0.01"), (100_000, "1,000.00"), (99_999, "999.99"), (22_620_000, "226,200.00"), (123_456_789_012, "1,234,567,890.12")]
        {
            assert_eq!(figures(fen).as_deref(), Ok(want));
        }
    }

    #[test]
    fn dates_in_both_forms() {
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).expect("a date");
        assert_eq!(date(day(2026, 3, 2)), "2026年3月2日");
        assert_eq!(formal_date(day(2026, 11, 23)), "二〇二六年十一月二十三日");
        assert_eq!(formal_date(day(2030, 10, 10)), "二〇三〇年十月十日");
        assert_eq!(formal_date(day(2026, 1, 31)), "二〇二六年一月三十一日");
        assert_eq!(formal_date(day(2026, 12, 20)), "二〇二六年十二月二十日");
    }
}
