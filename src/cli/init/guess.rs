//! Guessing a column's type from all its values. Pure.
//!
//! A type is proposed only if **every** value of the sample fits it. What could be two things (a day that may be a month,
//! a number with leading zeros) is text, with a comment: a wrong guess would change data in silence.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// Text that stands for "no value" in other people's files. Proposed as `null_values` only where it keeps a column from
/// being typed.
const NULL_TOKENS: &[&str] =
    &["NA", "N/A", "n/a", "#N/A", "NULL", "null", "Null", "NaN", "nan", "None", "none", "\\N", "-", "--", "?"];

/// A proposed type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guess {
    /// A type without a format.
    Plain(&'static str),
    /// A number with a decimal comma.
    DecimalComma,
    /// `date`, `time` or `datetime` in a format.
    Formatted(&'static str, &'static str),
    /// Day and month cannot be told apart: the type and both formats.
    DayOrMonth(&'static str, [&'static str; 2]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Date,
    Time,
    Datetime,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "time",
            Self::Datetime => "datetime",
        }
    }
}

/// The formats tried, the likelier first.
const FORMATS: &[(Kind, &str)] = &[
    (Kind::Datetime, "%Y-%m-%d %H:%M:%S"),
    (Kind::Datetime, "%Y-%m-%dT%H:%M:%S"),
    (Kind::Datetime, "%Y-%m-%d %H:%M"),
    (Kind::Datetime, "%Y-%m-%dT%H:%M"),
    (Kind::Datetime, "%Y-%m-%d %H:%M:%S%.f"),
    (Kind::Datetime, "%Y-%m-%dT%H:%M:%S%.f"),
    (Kind::Datetime, "%Y-%m-%dT%H:%M:%SZ"),
    (Kind::Datetime, "%Y-%m-%dT%H:%M:%S%.fZ"),
    (Kind::Datetime, "%d/%m/%Y %H:%M:%S"),
    (Kind::Datetime, "%m/%d/%Y %H:%M:%S"),
    (Kind::Datetime, "%d/%m/%Y %H:%M"),
    (Kind::Datetime, "%m/%d/%Y %H:%M"),
    (Kind::Datetime, "%d/%m/%Y %I:%M:%S %p"),
    (Kind::Datetime, "%m/%d/%Y %I:%M:%S %p"),
    (Kind::Datetime, "%d.%m.%Y %H:%M:%S"),
    (Kind::Datetime, "%d.%m.%Y %H:%M"),
    (Kind::Datetime, "%Y/%m/%d %H:%M:%S"),
    (Kind::Date, "%Y-%m-%d"),
    (Kind::Date, "%Y/%m/%d"),
    (Kind::Date, "%d.%m.%Y"),
    (Kind::Date, "%d/%m/%Y"),
    (Kind::Date, "%m/%d/%Y"),
    (Kind::Date, "%d-%b-%Y"),
    (Kind::Time, "%H:%M:%S"),
    (Kind::Time, "%H:%M"),
    (Kind::Time, "%H:%M:%S%.f"),
];

/// What the values of one column have in common so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    /// Values that are not empty.
    pub(super) filled: u64,
    /// Empty values.
    pub(super) empty: u64,
    /// The first value that is not empty.
    pub(super) example: String,
    /// Values with blanks around them.
    pub(super) padded: u64,
    /// Values that begin with a 0 that a number would lose.
    pub(super) leading_zeros: u64,
    /// Null tokens seen, in the order of [`NULL_TOKENS`].
    pub(super) tokens: Vec<&'static str>,
    token_values: u64,
    ints: u64,
    unsigned: u64,
    floats: u64,
    whole_floats: u64,
    comma_floats: u64,
    bools: u64,
    /// Indexes into [`FORMATS`] that fit every value so far; `None` before the first value.
    formats: Option<Vec<usize>>,
}

impl Column {
    /// Takes one more value into account.
    pub(super) fn see(&mut self, value: &str) {
        let trimmed = value.trim();
        if trimmed.is_empty() {
            // Blanks alone are text to a string column and nothing to a number: the comment on padding tells.
            self.padded += u64::from(!value.is_empty());
            self.empty += 1;
            return;
        }
        self.filled += 1;
        self.padded += u64::from(trimmed.len() != value.len());
        if self.example.is_empty() {
            trimmed.clone_into(&mut self.example);
        }
        if let Some(token) = NULL_TOKENS.iter().find(|token| **token == trimmed) {
            self.token_values += 1;
            if !self.tokens.contains(token) {
                self.tokens.push(token);
            }
            return;
        }
        self.see_number(trimmed);
        self.bools += u64::from(trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false"));
        match &mut self.formats {
            Some(formats) => formats.retain(|&index| fits(trimmed, index)),
            formats @ None => *formats = Some((0..FORMATS.len()).filter(|&index| fits(trimmed, index)).collect()),
        }
    }

    fn see_number(&mut self, value: &str) {
        match number(value) {
            Number::LeadingZero => self.leading_zeros += 1,
            Number::Int => {
                self.ints += u64::from(value.parse::<i64>().is_ok());
                self.unsigned += u64::from(value.parse::<u64>().is_ok());
                // A long id among fractions would lose digits as a float.
                let exact = value.trim_start_matches('-').len() <= 15;
                self.floats += u64::from(exact);
                self.comma_floats += u64::from(exact);
            }
            Number::Float { whole } => {
                self.floats += 1;
                self.whole_floats += u64::from(whole);
            }
            Number::CommaFloat => self.comma_floats += 1,
            Number::No => {}
        }
    }

    /// Returns the proposed type.
    pub(super) fn guess(&self) -> Guess {
        let values = self.filled - self.token_values;
        if values == 0 {
            return Guess::Plain("string");
        }
        for (fitting, guess) in [
            (self.bools, Guess::Plain("bool")),
            (self.ints, Guess::Plain("int64")),
            (self.unsigned, Guess::Plain("uint64")),
            (self.floats, Guess::Plain("float64")),
            (self.comma_floats, Guess::DecimalComma),
        ] {
            if fitting == values {
                return guess;
            }
        }
        self.guess_format().unwrap_or(Guess::Plain("string"))
    }

    fn guess_format(&self) -> Option<Guess> {
        let mut fitting = self.formats.iter().flatten().filter_map(|&index| FORMATS.get(index));
        let &(kind, format) = fitting.next()?;
        let day_first = format.starts_with("%d/%m");
        let rival = fitting.find(|(_, rival)| day_first && rival.starts_with("%m/%d"));
        Some(match rival {
            Some((_, rival)) => Guess::DayOrMonth(kind.name(), [format, rival]),
            None => Guess::Formatted(kind.name(), format),
        })
    }

    /// Returns whether every number is whole but some are written like `17850.0`.
    pub(super) fn whole_numbers_as_floats(&self) -> bool {
        self.whole_floats > 0 && self.whole_floats + self.ints == self.filled - self.token_values
    }
}

fn fits(value: &str, index: usize) -> bool {
    match FORMATS.get(index) {
        Some((Kind::Date, format)) => NaiveDate::parse_from_str(value, format).is_ok(),
        Some((Kind::Time, format)) => NaiveTime::parse_from_str(value, format).is_ok(),
        Some((Kind::Datetime, format)) => NaiveDateTime::parse_from_str(value, format).is_ok(),
        None => false,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Number {
    Int,
    Float {
        whole: bool,
    },
    CommaFloat,
    /// Digits that a number would not give back: `0818`, `007`.
    LeadingZero,
    No,
}

/// Says what kind of number a text is: `-?digits`, `-?digits.digits` with either side maybe missing, an exponent, or a
/// decimal comma.
fn number(text: &str) -> Number {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if exponent.is_empty() || !all_digits(exponent) {
                return Number::No;
            }
            mantissa
        }
        None => digits,
    };
    let has_exponent = mantissa.len() != digits.len();
    let (whole, fraction, comma) = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction), mantissa.contains(',')),
        None => (mantissa, None, false),
    };
    if !all_digits(whole)
        || !all_digits(fraction.unwrap_or("0"))
        || (whole.is_empty() && fraction.is_none_or(str::is_empty))
    {
        return Number::No;
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Number::LeadingZero;
    }
    match fraction {
        Some(_) if comma => Number::CommaFloat,
        None if !has_exponent => Number::Int,
        fraction => Number::Float { whole: !has_exponent && fraction.unwrap_or("1").bytes().all(|byte| byte == b'0') },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&str]) -> Column {
        let mut column = Column::default();
        for value in values {
            column.see(value);
        }
        column
    }

    fn guess(values: &[&str]) -> Guess {
        column(values).guess()
    }

    #[test]
    fn one_value_late_in_the_file_decides() {
        let mut fares = vec!["12"; 10_000];
        assert_eq!(guess(&fares), Guess::Plain("int64"));
        fares.push("0.5");
        assert_eq!(guess(&fares), Guess::Plain("float64"));
        fares.push("C536379");
        assert_eq!(guess(&fares), Guess::Plain("string"));
    }

    #[test]
    fn digits_with_leading_zeros_are_text() {
        let times = column(&["1045", "0818", ""]);
        assert_eq!(times.guess(), Guess::Plain("string"));
        assert_eq!(times.leading_zeros, 1);
        assert_eq!(guess(&["0", "0.5", "-0.25"]), Guess::Plain("float64"));
        assert_eq!(guess(&["00.5"]), Guess::Plain("string"));
    }

    #[test]
    fn numbers_in_all_their_dress() {
        assert_eq!(guess(&[".50", "16.30", "-3.8", "1e-7"]), Guess::Plain("float64"));
        assert_eq!(guess(&["18446744073709551615", "1"]), Guess::Plain("uint64"));
        assert_eq!(guess(&["-1", "18446744073709551615"]), Guess::Plain("string"));
        assert_eq!(guess(&["0.5", "12345678901234567"]), Guess::Plain("string"));
        assert_eq!(guess(&["1,5", "2", "-0,25"]), Guess::DecimalComma);
        assert_eq!(guess(&["1,5", "2.5"]), Guess::Plain("string"));
        for text in ["1.", "1..2", "1.2.3", "1e", "-", ".", "", "1_000", "١", "1,234.5", "0x1f"] {
            assert!(matches!(number(text), Number::No) || text == "1.", "{text:?}");
        }
    }

    #[test]
    fn integers_written_as_floats_are_told() {
        let ids = column(&["17850.0", "", "13047.0"]);
        assert_eq!(ids.guess(), Guess::Plain("float64"));
        assert!(ids.whole_numbers_as_floats());
        assert!(!column(&["1.5", "2.0"]).whole_numbers_as_floats());
        assert!(!column(&["1", "2"]).whole_numbers_as_floats());
    }

    #[test]
    fn nothing_at_all_is_text() {
        assert_eq!(guess(&[]), Guess::Plain("string"));
        assert_eq!(guess(&["", " ", ""]), Guess::Plain("string"));
        assert_eq!(guess(&["NA", "-"]), Guess::Plain("string"));
    }

    #[test]
    fn dates_need_every_value_to_fit() {
        assert_eq!(guess(&["2015-01-22 08:22:49"]), Guess::Formatted("datetime", "%Y-%m-%d %H:%M:%S"));
        assert_eq!(guess(&["2015-01-22", "2015-02-29"]), Guess::Plain("string"));
        assert_eq!(guess(&["22.1.2015"]), Guess::Formatted("date", "%d.%m.%Y"));
        assert_eq!(guess(&["08:22:49", "23:59:05"]), Guess::Formatted("time", "%H:%M:%S"));
        assert_eq!(
            guess(&["2015-01-22T08:22:49", "2015-01-22T08:22:49.125"]),
            Guess::Formatted("datetime", "%Y-%m-%dT%H:%M:%S%.f")
        );
    }

    #[test]
    fn day_and_month_are_not_guessed() {
        assert_eq!(guess(&["10/1/1987", "10/2/1987"]), Guess::DayOrMonth("date", ["%d/%m/%Y", "%m/%d/%Y"]));
        assert_eq!(guess(&["10/1/1987", "10/13/1987"]), Guess::Formatted("date", "%m/%d/%Y"));
        assert_eq!(
            guess(&["31/12/2020 10:00:00", "01/12/2020 11:00:00"]),
            Guess::Formatted("datetime", "%d/%m/%Y %H:%M:%S")
        );
    }

    #[test]
    fn null_tokens_count_only_where_the_rest_is_typed() {
        let typed = column(&["1", "NA", "2"]);
        assert_eq!((typed.guess(), typed.tokens.as_slice()), (Guess::Plain("int64"), ["NA"].as_slice()));
        assert_eq!(guess(&["DE", "NA", "FR"]), Guess::Plain("string"));
    }

    #[test]
    fn blanks_around_values_are_told() {
        let padded = column(&[" 1", "2 "]);
        assert_eq!((padded.guess(), padded.padded), (Guess::Plain("int64"), 2));
    }
}
