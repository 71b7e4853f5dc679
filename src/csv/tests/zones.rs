//! Local times of two zones against their rules of summer time, written out by hand.

use super::sweep::{count, read};
use super::values::{Cell, civil_days};
use crate::config::ColumnType;

/// A zone whose rules have not changed between two years.
struct Zone {
    name: chrono_tz::Tz,
    years: std::ops::Range<i64>,
    /// Hours from UTC in winter.
    winter: i64,
    /// Number of the hour, from local midnight, that is skipped in spring; and the hour that comes twice in autumn.
    hours: (i64, i64),
    days: fn(i64) -> (i64, i64),
}

/// The `n`th Sunday of a month, or the last one before its end.
fn sunday(year: i64, month: i64, from: i64) -> i64 {
    // 1970-01-04 was a Sunday.
    (from..from + 7).filter_map(|day| civil_days(year, month, day)).find(|days| (days - 3) % 7 == 0).unwrap()
}

fn zones() -> [Zone; 2] {
    let berlin = |year| (sunday(year, 3, 25), sunday(year, 10, 25));
    let new_york = |year| (sunday(year, 3, 8), sunday(year, 11, 1));
    [
        Zone { name: chrono_tz::Europe::Berlin, years: 1996..2037, winter: 1, hours: (2, 2), days: berlin },
        Zone { name: chrono_tz::America::New_York, years: 2007..2037, winter: -5, hours: (2, 1), days: new_york },
    ]
}

impl Zone {
    /// Seconds since 1970 UTC of a local time; none if it was skipped, the first of two.
    fn instant(&self, day: i64, second: i64, year: i64) -> Option<i64> {
        let ((spring, autumn), local) = ((self.days)(year), day * 86_400 + second);
        let (skipped, twice) = (spring * 24 + self.hours.0, autumn * 24 + self.hours.1);
        let hour = local.div_euclid(3600);
        let summer = hour > skipped && hour <= twice;
        (hour != skipped).then(|| local - (self.winter + i64::from(summer)) * 3600)
    }
}

fn check(zone: &Zone, moments: &[(i64, i64, i64, i64)]) {
    let show = |(year, month, day, second): &(i64, i64, i64, i64)| {
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    };
    let texts: Vec<_> = moments.iter().map(show).collect();
    for format in [None, Some("%Y-%m-%d %H:%M:%S"), Some("%Y-%m-%d %H:%M:%-S")] {
        let kind = ColumnType::Datetime { format: format.map(str::to_owned), time_zone: Some(zone.name) };
        for ((found, text), (year, month, day, second)) in read(&kind, &texts).into_iter().zip(&texts).zip(moments) {
            let instant = zone.instant(civil_days(*year, *month, *day).unwrap(), *second, *year);
            let expected = instant.map(|instant| Cell::Whole((instant * 1_000_000).into()));
            assert_eq!(found, expected, "{text} in {}", zone.name);
        }
    }
}

#[test]
fn local_times_of_any_moment() {
    let mut random = fastrand::Rng::new();
    for zone in zones() {
        let moment = |_| {
            let (year, month, day) = (random.i64(zone.years.clone()), random.i64(1..=12), random.i64(1..=28));
            (year, month, day, random.i64(0..86_400))
        };
        check(&zone, &(0..count()).map(moment).collect::<Vec<_>>());
    }
}

#[test]
fn local_times_of_the_nights_the_clock_is_set() {
    for zone in zones() {
        let mut moments = Vec::new();
        for (year, month, day) in zone
            .years
            .clone()
            .flat_map(|year| (1..=31).flat_map(move |day| [3, 10, 11].map(|month| (year, month, day))))
        {
            let days = civil_days(year, month, day);
            if days.is_some_and(|days| [(zone.days)(year).0, (zone.days)(year).1].contains(&days)) {
                moments.extend((0..5 * 60).map(|minute| (year, month, day, minute * 60 + 59)));
            }
        }
        assert_eq!(moments.len(), zone.years.clone().count() * 2 * 300);
        check(&zone, &moments);
    }
}
