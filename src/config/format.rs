//! What a strftime format can read, so that one that cannot give its column's type is refused before any file arrives.

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};

/// The parts of a date and time a format reads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent parts")]
struct Parts {
    year: bool,
    iso_year: bool,
    month: bool,
    day: bool,
    ordinal: bool,
    week: bool,
    iso_week: bool,
    weekday: bool,
    hour: bool,
    half_day: bool,
    am_pm: bool,
    minute: bool,
    second: bool,
    offset: bool,
    zone_name: bool,
    timestamp: bool,
}

impl Parts {
    fn read(&mut self, item: &Item<'_>) {
        match item {
            Item::Numeric(numeric, _) => self.read_numeric(numeric),
            Item::Fixed(fixed) => self.read_fixed(fixed),
            Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) | Item::Error => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
    fn read_numeric(&mut self, numeric: &Numeric) {
        match numeric {
            Numeric::Year | Numeric::YearMod100 => self.year = true,
            Numeric::IsoYear | Numeric::IsoYearMod100 => self.iso_year = true,
            Numeric::Month => self.month = true,
            Numeric::Day => self.day = true,
            Numeric::WeekFromSun | Numeric::WeekFromMon => self.week = true,
            Numeric::IsoWeek => self.iso_week = true,
            Numeric::NumDaysFromSun | Numeric::WeekdayFromMon => self.weekday = true,
            Numeric::Ordinal => self.ordinal = true,
            Numeric::Hour => self.hour = true,
            Numeric::Hour12 => self.half_day = true,
            Numeric::Minute => self.minute = true,
            Numeric::Second => self.second = true,
            Numeric::Timestamp => self.timestamp = true,
            // A century alone, a quarter and a fraction decide nothing; what chrono may add does neither.
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and large")]
    fn read_fixed(&mut self, fixed: &Fixed) {
        match fixed {
            Fixed::ShortMonthName | Fixed::LongMonthName => self.month = true,
            Fixed::ShortWeekdayName | Fixed::LongWeekdayName => self.weekday = true,
            Fixed::LowerAmPm | Fixed::UpperAmPm => self.am_pm = true,
            Fixed::TimezoneName => self.zone_name = true,
            Fixed::TimezoneOffset
            | Fixed::TimezoneOffsetColon
            | Fixed::TimezoneOffsetDoubleColon
            | Fixed::TimezoneOffsetTripleColon
            | Fixed::TimezoneOffsetColonZ
            | Fixed::TimezoneOffsetZ => self.offset = true,
            Fixed::RFC2822 | Fixed::RFC3339 => {
                *self = Self { year: true, month: true, day: true, hour: true, ..*self };
                *self = Self { minute: true, second: true, offset: true, ..*self };
            }
            // Fractions of a second need nothing and give nothing else.
            _ => {}
        }
    }

    fn full_date(self) -> bool {
        (self.year && self.month && self.day)
            || (self.year && self.ordinal)
            || (self.year && self.week && self.weekday)
            || (self.iso_year && self.iso_week && self.weekday)
    }

    fn any_date(self) -> bool {
        self.year || self.iso_year || self.month || self.day || self.ordinal || self.week || self.iso_week
    }

    fn full_time(self) -> bool {
        (self.hour || (self.half_day && self.am_pm)) && self.minute
    }

    fn any_time(self) -> bool {
        self.hour || self.half_day || self.minute || self.second
    }

    /// Names the first part a full time of day lacks.
    fn missing_time(self) -> &'static str {
        if self.half_day && !self.am_pm && !self.hour {
            "no AM or PM (%p) beside its 12-hour clock"
        } else if !self.hour && !self.half_day {
            "no hour (%H)"
        } else {
            "no minute (%M)"
        }
    }
}

/// Why a format is refused: message and hint.
pub(super) type Refusal = (String, String);

/// The kinds of columns that take a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Date,
    Time,
    Datetime {
        /// The column has a `time_zone`.
        zoned: bool,
        /// And that zone is UTC.
        utc: bool,
    },
}

/// Checks that `format` is one chrono can read and that it gives everything the column's type needs.
pub(super) fn check(format: &str, wants: Wants) -> Result<(), Refusal> {
    let parts = parts_of(format)?;
    let refuse = |what: &str, hint: &str| Err((format!("the format \"{format}\" has {what}"), hint.to_owned()));
    if parts.zone_name {
        return refuse(
            "a zone name (%Z)",
            "names of zones are ambiguous: read an offset (%z), or give the zone in `time_zone`",
        );
    }
    match wants {
        Wants::Date if parts.any_time() || parts.timestamp || parts.offset => {
            refuse("a time of day, which a date cannot hold", "use type \"datetime\"")
        }
        Wants::Date if !parts.full_date() => refuse("no full date", "a date needs year, month and day: \"%Y-%m-%d\""),
        Wants::Time if parts.any_date() || parts.timestamp || parts.offset => {
            refuse("a date or an offset, which a time cannot hold", "use type \"datetime\"")
        }
        Wants::Time if !parts.full_time() => refuse(parts.missing_time(), "a time needs hour and minute: \"%H:%M:%S\""),
        Wants::Datetime { zoned, utc } => check_datetime(parts, zoned, utc, refuse),
        Wants::Date | Wants::Time => Ok(()),
    }
}

fn check_datetime(
    parts: Parts,
    zoned: bool,
    utc: bool,
    refuse: impl Fn(&str, &str) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if parts.timestamp {
        return if zoned && !utc {
            refuse("a Unix timestamp (%s), which is UTC", "set time_zone = \"UTC\", or leave it out")
        } else {
            Ok(())
        };
    }
    if !parts.full_date() {
        return refuse("no full date", "a datetime needs year, month and day: \"%Y-%m-%d %H:%M:%S\"");
    }
    if !parts.any_time() {
        return refuse("no time of day", "use type \"date\", or add the time: \"%Y-%m-%d %H:%M:%S\"");
    }
    if !parts.full_time() {
        return refuse(parts.missing_time(), "a datetime needs hour and minute: \"%Y-%m-%d %H:%M\"");
    }
    Ok(())
}

fn parts_of(format: &str) -> Result<Parts, Refusal> {
    let mut parts = Parts::default();
    for item in StrftimeItems::new(format) {
        if item == Item::Error {
            return Err((
                format!("\"{format}\" is not a strftime format"),
                "specifiers are %Y %m %d %H %M %S %.f %z ...; a percent sign is %%".to_owned(),
            ));
        }
        parts.read(&item);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAIVE: Wants = Wants::Datetime { zoned: false, utc: false };
    const UTC: Wants = Wants::Datetime { zoned: true, utc: true };
    const ELSEWHERE: Wants = Wants::Datetime { zoned: true, utc: false };

    #[test]
    fn formats_that_give_all_the_type_needs_pass() {
        for (format, wants) in [
            ("%Y-%m-%d", Wants::Date),
            ("%d/%m/%y", Wants::Date),
            ("%d %b %Y", Wants::Date),
            ("%Y%j", Wants::Date),
            ("%G-W%V-%u", Wants::Date),
            ("%H:%M", Wants::Time),
            ("%I:%M %p", Wants::Time),
            ("%H:%M:%S%.f", Wants::Time),
            ("%Y-%m-%d %H:%M:%S", NAIVE),
            ("%m/%d/%Y %I:%M:%S %p", NAIVE),
            ("%s", NAIVE),
            ("%s", UTC),
            ("%Y-%m-%dT%H:%M:%S%z", UTC),
            ("%Y-%m-%dT%H:%M:%S%z", NAIVE),
            ("%+", ELSEWHERE),
            ("%Y-%m-%d %H:%M:%S", ELSEWHERE),
        ] {
            assert_eq!(check(format, wants), Ok(()), "{format} for {wants:?}");
        }
    }

    #[test]
    fn formats_that_lack_or_exceed_the_type_are_refused_by_name() {
        for (format, wants, says) in [
            ("%Y-%m", Wants::Date, "no full date"),
            ("%Y-%m-%d %H:%M", Wants::Date, "time of day, which a date cannot hold"),
            ("%H", Wants::Time, "no minute"),
            ("%I:%M", Wants::Time, "no AM or PM"),
            ("%Y-%m-%d", Wants::Time, "a date"),
            ("%Y-%m-%d", NAIVE, "no time of day"),
            ("%H:%M:%S", NAIVE, "no full date"),
            ("%Y-%m-%d %H", NAIVE, "no minute"),
            ("%Y-%m-%d %M:%S", NAIVE, "no hour"),
            ("%Y-%m-%d %H:%M %Z", UTC, "zone name"),
            ("%s", ELSEWHERE, "which is UTC"),
            ("%Y-%Q", Wants::Date, "not a strftime format"),
            ("%", NAIVE, "not a strftime format"),
        ] {
            let (message, _) = check(format, wants).unwrap_err();
            assert!(message.contains(says), "{format} for {wants:?}: {message}");
        }
    }
}
