//! Text into values by the rules of the contract: hand rules, `std`, and chrono only for formats, which are chrono's.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};

use crate::config::{Column, ColumnType, CsvOptions};
use crate::job::RejectReason;

/// A value, comparable to the bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    Bool(bool),
    /// Integers, digits of a decimal, days, nanoseconds of the day, microseconds since 1970.
    Whole(i128),
    /// Bits of a float.
    Bits(u64),
}

/// One field of a sound record as a value of its column; `None` is null.
pub(super) fn cell(field: &[u8], column: &Column, csv: &CsvOptions) -> Result<Option<Cell>, RejectReason> {
    let (bytes, quoted) = text_of(field, csv.quote);
    let mut text = std::str::from_utf8(&bytes).unwrap();
    if column.trim {
        text = text.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
    }
    let null = if quoted {
        text.is_empty() && column.kind != ColumnType::String
    } else {
        text.is_empty() || csv.null_values.iter().any(|null| null == text.as_bytes())
    };
    match null {
        true if column.nullable => Ok(None),
        true => Err(RejectReason::NullValue),
        false => typed(text, column).map(Some).ok_or(RejectReason::BadType),
    }
}

/// A field without its quotes, and whether it had any.
pub(super) fn text_of(field: &[u8], quote: Option<u8>) -> (Vec<u8>, bool) {
    let (Some(quote), Some(first)) = (quote, field.first()) else { return (field.to_vec(), false) };
    if *first != quote {
        return (field.to_vec(), false);
    }
    let (mut text, mut at) = (Vec::new(), 1);
    while at < field.len() - 1 {
        text.push(field[at]);
        at += if field[at] == quote { 2 } else { 1 };
    }
    (text, true)
}

fn typed(text: &str, column: &Column) -> Option<Cell> {
    let pointed = || match column.decimal_comma {
        true if text.contains('.') => None,
        true => Some(text.replace(',', ".")),
        false => Some(text.to_owned()),
    };
    let number = |text: &str| text.parse().ok().map(Cell::Whole);
    Some(match &column.kind {
        ColumnType::String => Cell::Text(text.to_owned()),
        ColumnType::Bool => Cell::Bool(truth(text)?),
        ColumnType::Int(8) => Cell::Whole(text.parse::<i8>().ok()?.into()),
        ColumnType::Int(16) => Cell::Whole(text.parse::<i16>().ok()?.into()),
        ColumnType::Int(32) => Cell::Whole(text.parse::<i32>().ok()?.into()),
        ColumnType::Int(_) => Cell::Whole(text.parse::<i64>().ok()?.into()),
        ColumnType::UInt(8) => Cell::Whole(text.parse::<u8>().ok()?.into()),
        ColumnType::UInt(16) => Cell::Whole(text.parse::<u16>().ok()?.into()),
        ColumnType::UInt(32) => Cell::Whole(text.parse::<u32>().ok()?.into()),
        ColumnType::UInt(_) => Cell::Whole(text.parse::<u64>().ok()?.into()),
        ColumnType::Float32 => {
            Cell::Bits(pointed()?.parse::<f32>().ok().filter(|value| value.is_finite())?.to_bits().into())
        }
        ColumnType::Float64 => Cell::Bits(pointed()?.parse::<f64>().ok().filter(|value| value.is_finite())?.to_bits()),
        ColumnType::Decimal { precision, scale } => number(&digits(&pointed()?, *precision, *scale)?)?,
        ColumnType::Date { format: None } => Cell::Whole(iso_days(text)?.into()),
        ColumnType::Date { format: Some(format) } => {
            let day = NaiveDate::parse_from_str(text, format).ok()?;
            Cell::Whole(day.signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?).num_days().into())
        }
        ColumnType::Time { format: None } => Cell::Whole(iso_nanos(text)?.into()),
        ColumnType::Time { format: Some(format) } => {
            let time = NaiveTime::parse_from_str(text, format).ok().filter(no_leap_second)?;
            Cell::Whole(time.signed_duration_since(NaiveTime::MIN).num_nanoseconds()?.into())
        }
        ColumnType::Datetime { format: None, .. } => Cell::Whole(iso_micros(text, &[" ", "T"])?.into()),
        ColumnType::Datetime { format: Some(format), .. } if format == "%Y-%m-%d %H:%M:%S" => {
            (text.len() == 19).then(|| iso_micros(text, &[" "]))?.map(|micros| Cell::Whole(micros.into()))?
        }
        ColumnType::Datetime { format: Some(format), .. } => {
            let time = NaiveDateTime::parse_from_str(text, format).ok().filter(no_leap_second)?;
            let micros = time.and_utc().timestamp_micros();
            time.nanosecond().is_multiple_of(1000).then_some(Cell::Whole(micros.into()))?
        }
    })
}

/// chrono shows a leap second as the 59th with a second's worth of nanoseconds too many.
fn no_leap_second(time: &impl chrono::Timelike) -> bool {
    time.nanosecond() < 1_000_000_000
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// The digits of a decimal with its point moved `scale` places, if it has at most `precision` of them.
pub(super) fn digits(text: &str, precision: u8, scale: u8) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if unsigned.is_empty() || unsigned == "." || !only_digits(whole) || !only_digits(fraction) {
        return None;
    }
    let (kept, cut) = fraction.split_at(fraction.len().min(scale.into()));
    let all = format!("{whole}{kept:0<scale$}", scale = usize::from(scale));
    let significant = all.trim_start_matches('0');
    let fits = cut.bytes().all(|byte| byte == b'0') && significant.len() <= precision.into();
    fits.then(|| if significant.is_empty() { "0".to_owned() } else { format!("{sign}{significant}") })
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, counted by the rule of the Gregorian calendar.
pub(super) fn iso_days(text: &str) -> Option<i64> {
    let (year, month, day) = (number(text.get(..4)?)?, number(text.get(5..7)?)?, number(text.get(8..)?)?);
    if text.len() != 10 || text.get(4..5)? != "-" || text.get(7..8)? != "-" {
        return None;
    }
    civil_days(year, month, day)
}

pub(super) fn civil_days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if day < 1 || day > length {
        return None;
    }
    let before: i64 = lengths.iter().take(usize::try_from(month).ok()? - 1).sum();
    // Days of the years 0 to year - 1; year 0 is a leap year.
    let years = 365 * year + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    Some(years + before + day - 1 - 719_528)
}

/// Nanoseconds of `HH:MM[:SS[.f]]`.
pub(super) fn iso_nanos(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("00"));
    let (second, fraction) = second.split_once('.').map_or((second, "0"), |(second, fraction)| (second, fraction));
    let two = |text: &str| if text.len() == 2 { number(text) } else { None };
    let (hour, minute, second) = (two(hour)?, two(minute)?, two(second)?);
    let fits = hour < 24 && minute < 60 && second < 60 && (1..=9).contains(&fraction.len()) && parts.next().is_none();
    let nanos = number(&format!("{fraction:0<9}"))?;
    fits.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos)
}

/// Microseconds since 1970-01-01 of a day, one of `separators`, and a time without a finer part.
pub(super) fn iso_micros(text: &str, separators: &[&str]) -> Option<i64> {
    let (day, time) = (text.get(..10)?, text.get(11..)?);
    let nanos = iso_nanos(time).filter(|nanos| nanos % 1000 == 0)?;
    separators.contains(&text.get(10..11)?).then_some(iso_days(day)? * 86_400_000_000 + nanos / 1000)
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
