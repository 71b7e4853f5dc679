//! Calendar arithmetic on microseconds since 1970, in plain integers.
//!
//! Years follow the proleptic Gregorian calendar, weeks start on Monday. Nothing here panics on extreme values.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;

const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;

/// The units of `date_trunc`, `date_diff` and `date_sub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A fixed number of microseconds, at most an hour: the same in every zone.
    Fixed(i64),
    Day,
    Week,
    /// Calendar months: month 1, quarter 3, year 12.
    Months(i64),
}

impl Unit {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let unit = match text.to_ascii_lowercase().as_str() {
            "microsecond" => Self::Fixed(1),
            "millisecond" => Self::Fixed(1_000),
            "second" => Self::Fixed(SECOND),
            "minute" => Self::Fixed(60 * SECOND),
            "hour" => Self::Fixed(3_600 * SECOND),
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => return None,
        };
        Some(unit)
    }

    /// Returns how many whole units lie between 1970 (or the Monday before it) and the local time `at`.
    fn index(self, at: i64) -> i64 {
        match self {
            Self::Fixed(length) => at.div_euclid(length),
            Self::Day => at.div_euclid(DAY),
            // 1970-01-01 was a Thursday.
            Self::Week => at.div_euclid(DAY).saturating_add(3).div_euclid(7),
            Self::Months(months) => month_index(at).div_euclid(months),
        }
    }

    /// Returns the start of the unit that holds the local time `at`.
    pub(super) fn floor(self, at: i64) -> i64 {
        let index = self.index(at);
        match self {
            Self::Fixed(length) => index.saturating_mul(length),
            Self::Day => index.saturating_mul(DAY),
            Self::Week => index.saturating_mul(7).saturating_sub(3).saturating_mul(DAY),
            Self::Months(months) => first_of_month(index.saturating_mul(months)).saturating_mul(DAY),
        }
    }

    /// Counts the boundaries of this unit between the local times `a` and `b`.
    pub(super) fn boundaries(self, a: i64, b: i64) -> i64 {
        self.index(b).saturating_sub(self.index(a))
    }

    /// Counts the whole units that passed from the local time `a` to `b`, towards zero.
    pub(super) fn elapsed(self, a: i64, b: i64) -> i64 {
        let passed = b.saturating_sub(a);
        match self {
            Self::Fixed(length) => passed / length,
            Self::Day => passed / DAY,
            Self::Week => passed / (7 * DAY),
            Self::Months(months) => elapsed_months(a, b) / months,
        }
    }
}

/// A month has passed when the same day of the month and the same time of day is reached.
fn elapsed_months(a: i64, b: i64) -> i64 {
    let months = month_index(b).saturating_sub(month_index(a));
    let within = |at: i64| at.saturating_sub(first_of_month(month_index(at)).saturating_mul(DAY));
    match months {
        1.. if within(b) < within(a) => months - 1,
        ..=-1 if within(b) > within(a) => months + 1,
        _ => months,
    }
}

/// Months since January 1970.
fn month_index(at: i64) -> i64 {
    let (year, month) = year_month(at.div_euclid(DAY));
    (year - 1970) * 12 + month - 1
}

/// The year and month (1 to 12) of a day since 1970, by Howard Hinnant's civil-from-days.
fn year_month(day: i64) -> (i64, i64) {
    let day = day.saturating_add(719_468);
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years of this count begin in March, so that the leap day comes last.
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// The day since 1970 on which a month (counted from January 1970) begins.
fn first_of_month(index: i64) -> i64 {
    let (year, month) = (1970 + index.div_euclid(12), index.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * march_month + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// Returns the local time in `zone` of an instant, both in microseconds.
pub(super) fn to_local(at: i64, zone: Tz) -> i64 {
    at.saturating_add(offset_at(at, zone))
}

/// Returns the instant of a local time that was reached by going back from the instant `from`.
///
/// A local time that the clocks skipped is the moment they jumped; one that came twice is the one with the offset of `from`
/// if that fits, else the earlier.
pub(super) fn from_local(local: i64, from: i64, zone: Tz) -> i64 {
    let guess = local.saturating_sub(offset_at(from, zone));
    if offset_at(guess, zone) == offset_at(from, zone) {
        return guess;
    }
    let Some(naive) = naive(local) else {
        return guess;
    };
    match zone.offset_from_local_datetime(&naive) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => local.saturating_sub(micros(offset.fix())),
        LocalResult::None => local.saturating_sub(offset_at(guess, zone)),
    }
}

fn offset_at(at: i64, zone: Tz) -> i64 {
    naive(at).map_or(0, |naive| micros(zone.offset_from_utc_datetime(&naive).fix()))
}

fn micros(offset: chrono::FixedOffset) -> i64 {
    i64::from(offset.local_minus_utc()) * SECOND
}

fn naive(at: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(at).map(|instant| instant.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike as _, Months, NaiveDate};
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp_micros()
    }

    fn unit(name: &str) -> Unit {
        Unit::parse(name).unwrap()
    }

    #[test]
    fn floors_by_hand() {
        for (name, from, to) in [
            ("second", "2015-01-22 08:22:49", "2015-01-22 08:22:49"),
            ("minute", "2015-01-22 08:22:49", "2015-01-22 08:22:00"),
            ("hour", "2015-01-22 08:22:49", "2015-01-22 08:00:00"),
            ("day", "2015-01-22 08:22:49", "2015-01-22 00:00:00"),
            ("week", "2015-01-22 08:22:49", "2015-01-19 00:00:00"),
            ("week", "2015-01-19 00:00:00", "2015-01-19 00:00:00"),
            ("week", "2015-01-18 23:59:59", "2015-01-12 00:00:00"),
            ("month", "2016-02-29 08:22:49", "2016-02-01 00:00:00"),
            ("quarter", "2016-02-29 08:22:49", "2016-01-01 00:00:00"),
            ("quarter", "1969-12-31 23:59:59", "1969-10-01 00:00:00"),
            ("year", "1969-12-31 23:59:59", "1969-01-01 00:00:00"),
            ("hour", "1969-12-31 23:59:59", "1969-12-31 23:00:00"),
        ] {
            assert_eq!(unit(name).floor(at(from)), at(to), "{name} of {from}");
        }
    }

    #[test]
    fn boundaries_and_elapsed_units_differ_as_documented() {
        for (name, a, b, boundaries, elapsed) in [
            ("hour", "2015-01-01 08:59:59", "2015-01-01 09:00:00", 1, 0),
            ("hour", "2015-01-01 09:00:00", "2015-01-01 08:59:59", -1, 0),
            ("day", "2015-01-01 23:00:00", "2015-01-03 22:00:00", 2, 1),
            ("week", "2015-01-18 00:00:00", "2015-01-19 00:00:00", 1, 0),
            ("month", "2015-01-31 00:00:00", "2015-02-28 00:00:00", 1, 0),
            ("month", "2015-01-15 10:00:00", "2015-02-15 10:00:00", 1, 1),
            ("month", "2015-02-15 10:00:00", "2015-01-15 11:00:00", -1, 0),
            ("quarter", "2015-03-31 00:00:00", "2015-04-01 00:00:00", 1, 0),
            ("year", "2014-12-31 00:00:00", "2015-01-01 00:00:00", 1, 0),
            ("year", "2014-01-31 00:00:00", "2016-01-31 00:00:00", 2, 2),
        ] {
            assert_eq!(unit(name).boundaries(at(a), at(b)), boundaries, "boundaries: {name} {a} {b}");
            assert_eq!(unit(name).elapsed(at(a), at(b)), elapsed, "elapsed: {name} {a} {b}");
        }
    }

    #[test]
    fn local_days_begin_where_the_zone_says() {
        let new_york: Tz = "America/New_York".parse().unwrap();
        let floor = |text: &str, zone: Tz| {
            let instant = at(text);
            from_local(Unit::Day.floor(to_local(instant, zone)), instant, zone)
        };
        assert_eq!(floor("2015-01-22 03:00:00", new_york), at("2015-01-21 05:00:00"));
        // The day the clocks go forward began under the winter offset.
        assert_eq!(floor("2015-03-08 12:00:00", new_york), at("2015-03-08 05:00:00"));
        // In Beirut midnight itself was skipped: the day began at 01:00.
        assert_eq!(floor("2022-03-27 12:00:00", "Asia/Beirut".parse().unwrap()), at("2022-03-26 22:00:00"));
    }

    #[test]
    fn an_hour_that_comes_twice_stays_in_its_own_half() {
        let new_york: Tz = "America/New_York".parse().unwrap();
        let floor = |text: &str| {
            let instant = at(text);
            from_local(unit("hour").floor(to_local(instant, new_york)), instant, new_york)
        };
        assert_eq!(floor("2015-11-01 05:30:00"), at("2015-11-01 05:00:00"));
        assert_eq!(floor("2015-11-01 06:30:00"), at("2015-11-01 06:00:00"));
    }

    #[test]
    fn extreme_values_do_not_panic() {
        for name in super::super::functions::UNITS {
            for at in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
                let _ = unit(name).floor(at);
                let _ = (unit(name).boundaries(at, i64::MIN), unit(name).elapsed(i64::MAX, at));
                let _ = from_local(to_local(at, Tz::Asia__Tokyo), at, Tz::Asia__Tokyo);
            }
        }
    }

    proptest! {
        #[test]
        fn the_calendar_agrees_with_chrono(day in -1_000_000_i64..1_000_000) {
            let date = NaiveDate::default() + chrono::Days::new(0) + chrono::TimeDelta::days(day);
            let (year, month) = year_month(day);
            prop_assert_eq!((year, month), (i64::from(date.year()), i64::from(date.month())));
            let first = date.with_day(1).unwrap();
            prop_assert_eq!(first_of_month(month_index(day * DAY)), (first - NaiveDate::default()).num_days());
            let monday = date.week(chrono::Weekday::Mon).first_day();
            prop_assert_eq!(Unit::Week.floor(day * DAY) / DAY, (monday - NaiveDate::default()).num_days());
        }

        #[test]
        fn elapsed_months_are_the_most_that_fit(a in -200_000_i64..200_000, n in 0_u32..500, extra in 0_i64..40) {
            let start = NaiveDate::default() + chrono::TimeDelta::days(a);
            prop_assume!(start.day() <= 28);
            let end = start + Months::new(n) + chrono::TimeDelta::days(extra);
            let end_day = (end - NaiveDate::default()).num_days();
            let most = (0..1_000).take_while(|m| start + Months::new(*m) <= end).last().unwrap();
            prop_assert_eq!(Unit::Months(1).elapsed(a * DAY, end_day * DAY), i64::from(most));
        }
    }
}
