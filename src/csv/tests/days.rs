//! Days, times and instants against a calendar counted by hand, and against chrono where a format is chrono's.

use chrono::{Datelike as _, NaiveDate};
use fastrand::Rng;

use super::sweep::{check, count, digits, nonsense, read};
use super::values::{Cell, civil_days};
use crate::config::ColumnType;

const MICROS_PER_DAY: i64 = 86_400_000_000;

fn date(format: Option<&str>) -> ColumnType {
    ColumnType::Date { format: format.map(str::to_owned) }
}

fn time(format: Option<&str>) -> ColumnType {
    ColumnType::Time { format: format.map(str::to_owned) }
}

fn datetime(format: Option<&str>) -> ColumnType {
    ColumnType::Datetime { format: format.map(str::to_owned), time_zone: None }
}

/// Every day of the years 1 to 9999 with its number: one more than the day before.
fn every_day() -> Vec<(i64, i64, i64, i64)> {
    let mut days = Vec::with_capacity(3_652_059);
    let mut number = -719_162;
    for year in 1..=9999 {
        for month in 1..=12 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            for day in 1..=length {
                days.push((year, month, day, number));
                number += 1;
            }
        }
    }
    assert_eq!(days.len(), 3_652_059);
    days
}

/// Checks that every day, written by `show`, is read as its number times `unit`.
fn check_days(kind: &ColumnType, unit: i64, step: usize, show: impl Fn(i64, i64, i64) -> String) {
    let days: Vec<_> = every_day().into_iter().step_by(step).collect();
    for days in days.chunks(50_000) {
        let texts: Vec<_> = days.iter().map(|(year, month, day, _)| show(*year, *month, *day)).collect();
        for (((_, _, _, number), text), found) in days.iter().zip(&texts).zip(read(kind, &texts)) {
            assert_eq!(found, Some(Cell::Whole((number * unit).into())), "{text}");
        }
    }
}

/// The general path through chrono is slower: in a plain run it gets some of the days.
fn step() -> usize {
    if std::env::var_os("FOREBAY_VALUES").is_some() { 1 } else { 7 }
}

#[test]
fn every_day_of_the_years_1_to_9999() {
    check_days(&date(None), 1, 1, |year, month, day| format!("{year:04}-{month:02}-{day:02}"));
    for (year, month, day, number) in every_day() {
        let [y, m, d] = [year, month, day].map(|part| i32::try_from(part).unwrap());
        let theirs = NaiveDate::from_ymd_opt(y, m.cast_unsigned(), d.cast_unsigned()).unwrap();
        assert_eq!(i64::from(theirs.num_days_from_ce()) - 719_163, number, "the hand calendar against chrono's");
    }
}

#[test]
fn every_day_in_formats() {
    check_days(&date(Some("%Y-%m-%d")), 1, step(), |year, month, day| format!("{year:04}-{month:02}-{day:02}"));
    check_days(&date(Some("%d.%m.%Y")), 1, step(), |year, month, day| format!("{day:02}.{month:02}.{year:04}"));
    check_days(&date(Some("%Y%m%d")), 1, step(), |year, month, day| format!("{year:04}{month:02}{day:02}"));
    check_days(&date(Some("%e %B %Y")), 1, step() * 3, |year, month, day| {
        let months = "January February March April May June July August September October November December";
        let month = months.split(' ').nth(usize::try_from(month).unwrap() - 1).unwrap();
        format!("{day:2} {month} {year:04}")
    });
}

#[test]
fn every_day_as_midnight() {
    check_days(&datetime(None), MICROS_PER_DAY, 1, |year, month, day| format!("{year:04}-{month:02}-{day:02} 00:00"));
    let format = "%Y-%m-%d %H:%M:%S";
    check_days(&datetime(Some(format)), MICROS_PER_DAY, step(), |year, month, day| {
        format!("{year:04}-{month:02}-{day:02} 00:00:00")
    });
}

#[test]
fn days_that_do_not_exist() {
    for year in [0, 1, 4, 100, 1900, 1970, 2000, 2015, 2016, 9999] {
        let all = (0..100).flat_map(|month| (0..100).map(move |day| (month, day)));
        let texts: Vec<_> = all.clone().map(|(month, day)| format!("{year:04}-{month:02}-{day:02}")).collect();
        for ((found, (month, day)), text) in read(&date(None), &texts).into_iter().zip(all).zip(&texts) {
            let expected = civil_days(year, month, day).map(|days| Cell::Whole(days.into()));
            assert_eq!(found, expected, "{text}");
        }
    }
}

#[test]
fn every_second_of_a_day_and_of_what_is_beyond() {
    let all = (0..100).flat_map(|hour| (0..100).map(move |minute| (hour, minute)));
    let texts: Vec<_> = all.clone().map(|(hour, minute)| format!("{hour:02}:{minute:02}")).collect();
    for ((text, found), (hour, minute)) in texts.iter().zip(read(&time(None), &texts)).zip(all) {
        let exists = hour < 24 && minute < 60;
        assert_eq!(found, exists.then_some(Cell::Whole((hour * 60 + minute) * 60_000_000_000)), "{text}");
    }
    for format in [None, Some("%H:%M:%S")] {
        let texts: Vec<_> = (0..86_400).map(|s| format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)).collect();
        let expected = (0..86_400_i128).map(|second| Some(Cell::Whole(second * 1_000_000_000)));
        assert!(read(&time(format), &texts).into_iter().eq(expected), "{format:?}");
        let beyond: Vec<_> = (60..100).map(|second| format!("00:00:{second}")).collect();
        assert!(read(&time(format), &beyond).into_iter().all(|found| found.is_none()), "{format:?}");
    }
}

/// A sound instant, and then perhaps a character of it changed, lost, or doubled.
fn instant(random: &mut Rng, separator: &str) -> String {
    let fraction = match random.usize(0..12) {
        0..4 => String::new(),
        length => format!(".{}", digits(random, length - 3)),
    };
    let clock = format!("{:02}:{:02}:{:02}{fraction}", random.u8(0..25), random.u8(0..61), random.u8(0..61));
    let clock = if random.u8(0..5) == 0 { clock.chars().take(5).collect() } else { clock };
    let (year, month, day) = (random.u16(0..10_000), random.u8(1..=12), random.u8(1..=31));
    let mut text = format!("{year:04}-{month:02}-{day:02}{separator}{clock}");
    if random.u8(0..3) == 0 {
        let at = random.usize(0..text.len());
        let changed = match random.u8(0..3) {
            0 => random.choice(["0", "9", "-", ":", ".", " ", "+", "T", "/", "é"]).unwrap().to_owned(),
            1 => String::new(),
            _ => text.get(at..=at).unwrap().repeat(2),
        };
        text.replace_range(at..=at, &changed);
    }
    text
}

#[test]
fn instants_sound_and_not_so_sound() {
    let mut random = Rng::new();
    for (format, separators) in [
        (None, [" ", "T"]),
        (Some("%Y-%m-%d %H:%M:%S"), [" ", "T"]),
        (Some("%Y-%m-%d %H:%M:%S%.f"), [" ", " "]),
        (Some("%Y-%m-%dT%H:%M"), ["T", "T"]),
    ] {
        check(&datetime(format), count() * 3, || {
            let separator = random.choice(separators).unwrap();
            instant(&mut random, separator)
        });
    }
    check(&time(None), count(), || instant(&mut random, " ").get(11..).unwrap_or("?").to_owned());
    check(&date(None), count(), || instant(&mut random, " ").chars().take(10).collect());
    check(&date(None), count(), || nonsense(&mut random, b"0123456789-", 10));
}

#[test]
fn formats_without_a_path_of_their_own() {
    let mut random = Rng::new();
    for format in ["%d.%m.%Y", "%d.%m.%y", "%Y%m%d", "%m/%d/%Y", "%d-%b-%Y", "%Y-%j", "%G-W%V-%u"] {
        check(&date(Some(format)), count(), || {
            let day =
                NaiveDate::from_ymd_opt(random.i32(1..9999), 1, 1).unwrap().with_ordinal(random.u32(1..=365)).unwrap();
            let mut text = day.format(format).to_string();
            if random.bool() {
                let at = random.usize(0..text.len());
                text.replace_range(at..=at, &random.digit(10).to_string());
            }
            text
        });
    }
}

/// A format, the same one spelled so that it has no path of its own, and what it has between day and time.
const TWO_SPELLINGS: [(Option<&str>, &str, &str); 6] = [
    (Some("%Y-%m-%d %H:%M:%S"), "%Y-%m-%d %H:%M:%-S", " "),
    (Some("%F %T"), "%Y-%m-%d %H:%M:%-S", " "),
    (Some("%Y-%m-%dT%H:%M:%S"), "%Y-%m-%dT%H:%M:%-S", "T"),
    (Some("%FT%T"), "%Y-%m-%dT%H:%M:%-S", "T"),
    (None, "%Y-%m-%d %H:%M:%S%.f", " "),
    (None, "%Y-%m-%dT%H:%M:%S%.f", "T"),
];

#[test]
fn the_fast_path_and_the_general_one_agree_where_every_number_has_its_digits() {
    let mut random = Rng::new();
    for (fast, general, separator) in TWO_SPELLINGS {
        let texts: Vec<_> = (0..count()).map(|_| instant(&mut random, separator)).collect();
        let (mut agreed, general) = (0, read(&datetime(Some(general)), &texts));
        for ((text, found), general) in texts.iter().zip(read(&datetime(fast), &texts)).zip(general) {
            if is_full(text, separator) {
                assert_eq!(found, general, "{text}");
                agreed += usize::from(found.is_some());
            } else if fast.is_some() {
                assert_eq!(found, None, "{text}: chrono may take it, the contract does not");
            }
        }
        assert!(agreed > texts.len() / 10, "{agreed} sound instants: the test compares next to nothing");
    }
}

/// Whether every number has all its digits: chrono also takes `2015-1-5`.
fn is_full(text: &str, separator: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let rest = shape.strip_prefix(&format!("0000-00-00{separator}00:00:00"));
    let fraction = |rest: &str| rest.strip_prefix('.').is_some_and(|f| (1..10).contains(&f.len()) && !f.contains('.'));
    rest.is_some_and(|rest| rest.is_empty() || fraction(rest))
}
