//! Days, times and instants.
//!
//! The ISO shapes have a path of their own, since nearly every feed uses them; any other format goes through chrono.

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike as _, LocalResult, NaiveDateTime, NaiveTime, TimeZone as _, Timelike as _};
use chrono_tz::Tz;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// How text becomes a time. Made once per column.
#[derive(Debug, Clone)]
pub struct TimeReader {
    shape: Shape,
    zone: Option<Tz>,
}

#[derive(Debug, Clone)]
enum Shape {
    /// `YYYY-MM-DD[T| ]HH:MM[:SS[.f]]`, or the date or time part of it, as the column's type asks.
    Iso {
        /// `None`: a blank or `T`.
        separator: Option<u8>,
        fraction: bool,
    },
    Custom(Vec<Item<'static>>),
}

impl TimeReader {
    /// Returns a reader for a strftime `format`, or for ISO 8601 without one. `zone` is the zone of texts without an offset.
    #[must_use]
    pub fn new(format: Option<&str>, zone: Option<Tz>) -> Self {
        let shape = match format {
            None => Shape::Iso { separator: None, fraction: true },
            Some("%Y-%m-%d %H:%M:%S" | "%F %T") => Shape::Iso { separator: Some(b' '), fraction: false },
            Some("%Y-%m-%dT%H:%M:%S" | "%FT%T") => Shape::Iso { separator: Some(b'T'), fraction: false },
            Some("%Y-%m-%d" | "%F" | "%H:%M:%S" | "%T") => Shape::Iso { separator: None, fraction: false },
            Some(other) => Shape::Custom(StrftimeItems::new(other).map(Item::to_owned).collect()),
        };
        Self { shape, zone }
    }

    /// Returns days since 1970-01-01.
    #[must_use]
    pub fn date(&self, text: &[u8]) -> Option<i32> {
        match &self.shape {
            Shape::Iso { .. } => (text.len() == 10).then(|| iso_date(text)).flatten(),
            Shape::Custom(items) => {
                let date = parsed(text, items)?.to_naive_date().ok()?;
                Some(date.num_days_from_ce() - DAYS_TO_EPOCH)
            }
        }
    }

    /// Returns nanoseconds since midnight.
    #[must_use]
    pub fn time(&self, text: &[u8]) -> Option<i64> {
        match &self.shape {
            Shape::Iso { fraction, .. } => iso_time(text, *fraction),
            Shape::Custom(items) => Some(nanos_of_day(parsed(text, items)?.to_naive_time().ok()?)),
        }
    }

    /// Returns microseconds since 1970-01-01, UTC if the column has a zone or the text an offset.
    #[must_use]
    pub fn datetime(&self, text: &[u8]) -> Option<i64> {
        match &self.shape {
            Shape::Iso { separator, fraction } => {
                let local = iso_datetime(text, *separator, *fraction)?;
                match self.zone {
                    None => Some(local),
                    Some(zone) => in_zone(DateTime::from_timestamp_micros(local)?.naive_utc(), zone),
                }
            }
            Shape::Custom(items) => self.custom_datetime(&parsed(text, items)?),
        }
    }

    fn custom_datetime(&self, parsed: &Parsed) -> Option<i64> {
        if parsed.offset().is_some() || parsed.timestamp().is_some() {
            let instant =
                parsed.to_naive_datetime_with_offset(parsed.offset().unwrap_or(0)).ok().filter(whole_micros)?;
            let shift = i64::from(parsed.offset().unwrap_or(0)) * 1_000_000;
            return instant.and_utc().timestamp_micros().checked_sub(shift);
        }
        let local = parsed.to_naive_datetime_with_offset(0).ok().filter(whole_micros)?;
        match self.zone {
            None => Some(local.and_utc().timestamp_micros()),
            Some(zone) => in_zone(local, zone),
        }
    }
}

const DAYS_TO_EPOCH: i32 = 719_163;

/// Finer digits must be zero, since dropping them would change the value.
fn whole_micros(time: &NaiveDateTime) -> bool {
    time.nanosecond().is_multiple_of(1000)
}

/// Returns the instant of a local time. A time skipped in spring does not exist; of a time that comes twice in autumn,
/// the first is meant.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Option<i64> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant.timestamp_micros()),
        LocalResult::None => None,
    }
}

fn parsed(text: &[u8], items: &[Item<'static>]) -> Option<Parsed> {
    let text = std::str::from_utf8(text).ok()?;
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).ok()?;
    // chrono's parser allows a leap second anywhere; no feed means one, and Polars cannot hold it.
    (parsed.second() != Some(60)).then_some(parsed)
}

fn nanos_of_day(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond())
}

/// `YYYY-MM-DD` at the start of `text`, as days since 1970-01-01.
fn iso_date(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, 0, m1, m2, 0] = digits(*text.first_chunk()?, *b"0000-00-")?.map(i32::from) else {
        return None;
    };
    let (d1, d2) = (text.get(8)?.wrapping_sub(b'0'), text.get(9)?.wrapping_sub(b'0'));
    if d1 > 9 || d2 > 9 {
        return None;
    }
    days(y1 * 1000 + y2 * 100 + y3 * 10 + y4, m1 * 10 + m2, i32::from(d1) * 10 + i32::from(d2))
}

/// Returns what each byte of `text` is above `shape`: its digit where `shape` has `0`, 0 where they are the same sign.
/// `None` if a digit is none, or a sign another.
fn digits(text: [u8; 8], shape: [u8; 8]) -> Option<[u8; 8]> {
    // All at once: a digit is at most 9, so adding 0x76 does not reach the high bit; a sign allows nothing but 0.
    let room = u64::from_le_bytes(shape.map(|byte| if byte == b'0' { 0x76 } else { 0x7f }));
    let above = u64::from_le_bytes(text) ^ u64::from_le_bytes(shape);
    let wrong = (above | above.wrapping_add(room)) & u64::from_le_bytes([0x80; 8]);
    (wrong == 0).then(|| above.to_le_bytes())
}

/// Days from 1 March of the year -400 to 1970-01-01.
const MARCH_OF_YEAR_MINUS_400: i32 = 719_468 + 146_097;

/// Returns days since 1970-01-01 of a day of the Gregorian calendar in the years 0 to 9999, if there is such a day.
fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i32::from(leap),
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    // Counted from 1 March of the year -400, so that a leap day is the last of its year and nothing is negative.
    let (year, month) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
    Some(year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - MARCH_OF_YEAR_MINUS_400)
}

/// `HH:MM[:SS[.f{1,9}]]`, seconds required unless a fraction is allowed too (the ISO default).
fn iso_time(text: &[u8], fraction: bool) -> Option<i64> {
    let (clock, rest) = match text {
        [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] => ((two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?), rest),
        [h1, h2, b':', m1, m2] if fraction => ((two(*h1, *h2)?, two(*m1, *m2)?, 0), [].as_slice()),
        _ => return None,
    };
    let (hour, minute, second) = clock;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match rest {
        [] => 0,
        [b'.', digits @ ..] if fraction => fraction_nanos(digits)?,
        _ => return None,
    };
    Some(i64::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanos)
}

fn fraction_nanos(digits: &[u8]) -> Option<i64> {
    if !(1..=9).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    Some(value * 10_i64.pow(u32::try_from(9 - digits.len()).ok()?))
}

/// Microseconds of a local `date separator time`; finer digits must be zero, since dropping them would change the value.
fn iso_datetime(text: &[u8], separator: Option<u8>, fraction: bool) -> Option<i64> {
    let days = i64::from(iso_date(text)?);
    let (found, time) = text.get(10..)?.split_first()?;
    if !separator.map_or(matches!(found, b' ' | b'T'), |wanted| *found == wanted) {
        return None;
    }
    let micros = if let Some(whole) = time.as_array() {
        i64::from(whole_seconds(*whole)?) * 1_000_000
    } else {
        let nanos = iso_time(time, fraction)?;
        if nanos % 1000 == 0 { nanos / 1000 } else { return None }
    };
    Some(days * MICROS_PER_DAY + micros)
}

/// `HH:MM:SS` in seconds.
fn whole_seconds(text: [u8; 8]) -> Option<i32> {
    let [h1, h2, _, m1, m2, _, s1, s2] = digits(text, *b"00:00:00")?.map(i32::from);
    let (hour, minute, second) = (h1 * 10 + h2, m1 * 10 + m2, s1 * 10 + s2);
    (hour <= 23 && minute <= 59 && second <= 59).then_some(hour * 3600 + minute * 60 + second)
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use proptest::prelude::*;

    fn datetime(format: Option<&str>, text: &str) -> Option<i64> {
        TimeReader::new(format, None).datetime(text.as_bytes())
    }

    #[test]
    fn iso_datetimes_are_strict() {
        assert_eq!(datetime(None, "1970-01-02 00:00:01"), Some(MICROS_PER_DAY + 1_000_000));
        assert_eq!(datetime(None, "1970-01-01T00:00:00.25"), Some(250_000));
        assert_eq!(datetime(None, "1970-01-01 00:01"), Some(60_000_000));
        assert_eq!(datetime(None, "1969-12-31 23:59:59"), Some(-1_000_000));
        for text in [
            "2015-02-30 12:00:00",
            "2015-13-01 10:00:00",
            "2015-01-15 25:61:00",
            "0000-00-00 00:00:00",
            "2015-01-01",
            "2015-1-1 00:00:00",
            "2015-01-01 00:00:00 ",
            "2015-01-01 00:00:60",
            "2015-01-01 00:00:00.0000001",
            "",
        ] {
            assert_eq!(datetime(None, text), None, "{text:?}");
        }
        assert_eq!(datetime(Some("%Y-%m-%d %H:%M:%S"), "1970-01-01T00:00:00"), None, "the format asks for a blank");
        assert_eq!(datetime(Some("%Y-%m-%d %H:%M:%S"), "1970-01-01 00:00"), None);
    }

    #[test]
    fn other_formats_go_through_chrono() {
        assert_eq!(datetime(Some("%d.%m.%Y %H:%M"), "02.01.1970 00:01"), Some(MICROS_PER_DAY + 60_000_000));
        assert_eq!(datetime(Some("%Y-%m-%dT%H:%M:%S%z"), "1970-01-01T01:00:00+0100"), Some(0));
        assert_eq!(datetime(Some("%s"), "86400"), Some(MICROS_PER_DAY));
        assert_eq!(datetime(Some("%d.%m.%Y %H:%M"), "31.02.1970 00:01"), None);
        assert_eq!(datetime(Some("%d.%m.%Y %H:%M:%S%.f"), "01.01.1970 00:00:00.123456"), Some(123_456));
        assert_eq!(datetime(Some("%d.%m.%Y %H:%M:%S%.f"), "01.01.1970 00:00:00.1234567"), None);
        assert_eq!(datetime(Some("%d.%m.%Y %H:%M"), "02.01.1970 00:01x"), None);
    }

    #[test]
    fn local_times_become_instants_of_their_zone() {
        let berlin = TimeReader::new(None, Some(chrono_tz::Europe::Berlin));
        assert_eq!(berlin.datetime(b"1970-01-01 01:00:00"), Some(0));
        assert_eq!(berlin.datetime(b"2024-03-31 02:30:00"), None, "skipped in spring");
        let first = berlin.datetime(b"2024-10-27 02:30:00");
        assert_eq!(first, Some(1_729_989_000_000_000), "twice in autumn: the first");
    }

    #[test]
    fn dates_and_times_read_alone() {
        let iso = TimeReader::new(None, None);
        assert_eq!(iso.date(b"1970-01-02"), Some(1));
        assert_eq!(iso.date(b"1970-01-02 00:00:00"), None);
        assert_eq!(iso.time(b"01:00:00.5"), Some(3_600_500_000_000));
        assert_eq!(iso.time(b"24:00:00"), None);
        assert_eq!(TimeReader::new(Some("%d.%m.%y"), None).date(b"02.01.70"), Some(1));
        assert_eq!(TimeReader::new(Some("%H%M"), None).time(b"0001"), Some(60_000_000_000));
    }

    #[test]
    fn every_day_of_ten_thousand_years_is_counted_once() {
        let mut expected = days(0, 1, 1).unwrap();
        assert_eq!(days(1970, 1, 1), Some(0));
        for year in 0..10_000 {
            for month in 0..15 {
                for day in 0..34 {
                    let exists = NaiveDate::from_ymd_opt(year, month, day).is_some();
                    let (month, day) = (month.cast_signed(), day.cast_signed());
                    assert_eq!(days(year, month, day), exists.then_some(expected), "{year}-{month}-{day}");
                    expected += i32::from(exists);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_iso_path_agrees_with_chrono(text in "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-5][0-9]") {
            let expected = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").ok().map(|time| time.and_utc().timestamp_micros());
            prop_assert_eq!(datetime(Some("%Y-%m-%d %H:%M:%S"), &text), expected);
        }
    }
}
