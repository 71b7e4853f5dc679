//! Very many texts through one column of the reader, against the same texts read by [`super::values`].
//!
//! `FOREBAY_VALUES=1000000 cargo test --release csv::tests` makes so many of every shape.

use super::case::Case;
use super::values::{Cell, cell};
use super::{reader, values};
use crate::config::{Column, ColumnType, CsvOptions, Drift, OnExtra, OnMissing};

/// Texts of every shape where nothing else is said.
const COUNT: usize = 20_000;

/// How many texts of each shape are asked for.
pub(super) fn count() -> usize {
    std::env::var("FOREBAY_VALUES").map_or(COUNT, |count| count.parse().unwrap())
}

/// What the reader makes of texts in a column: `None` if it rejects one.
///
/// No text may be empty or hold a line end or the byte 0x1f.
pub(super) fn read(kind: &ColumnType, texts: &[String]) -> Vec<Option<Cell>> {
    let csv = CsvOptions { delimiter: 0x1f, quote: None, header: false, ..CsvOptions::default() };
    let columns = vec![Column { kind: kind.clone(), ..Column::plain("a") }];
    let drift = Drift { extra: OnExtra::Ignore, missing: OnMissing::Null };
    let case = Case { text: texts.join("\n").into_bytes(), csv, columns, drift, bom: 0 };
    let reading = reader::read(&case, 1 << 20);
    assert_eq!(reading.records, texts.len() as u64);
    let (mut rows, mut rejects) = (reading.rows.into_iter(), reading.rejects.into_iter().peekable());
    let read = |record: usize| match rejects.next_if(|reject| reject.record == record as u64) {
        Some(_) => None,
        None => rows.next().unwrap().remove(0),
    };
    (1..=texts.len()).map(read).collect()
}

/// Checks so many texts that `make` makes.
pub(super) fn check(kind: &ColumnType, count: usize, mut make: impl FnMut() -> String) {
    const BATCH: usize = 10_000;
    let column = Column { kind: kind.clone(), ..Column::plain("a") };
    for start in (0..count).step_by(BATCH) {
        let texts: Vec<_> = (start..count.min(start + BATCH)).map(|_| make()).collect();
        for (text, found) in texts.iter().zip(read(kind, &texts)) {
            let expected = cell(text.as_bytes(), &column, &CsvOptions::default()).ok().flatten();
            assert_eq!(found, expected, "{text:?} as {kind}");
        }
    }
}

/// Random bytes of an alphabet: mostly nonsense, now and then a value.
pub(super) fn nonsense(random: &mut fastrand::Rng, alphabet: &[u8], longest: usize) -> String {
    (0..random.usize(1..=longest)).map(|_| char::from(*random.choice(alphabet).unwrap())).collect()
}

/// Random digits.
pub(super) fn digits(random: &mut fastrand::Rng, count: usize) -> String {
    (0..count).map(|_| random.digit(10)).collect()
}

/// One of the signs a number may have.
pub(super) fn sign(random: &mut fastrand::Rng) -> &'static str {
    random.choice(["", "", "-", "+"]).unwrap()
}

#[test]
fn the_oracle_itself_is_right_where_the_answer_is_known() {
    let day = |year, month, day| values::civil_days(year, month, day);
    assert_eq!([day(1970, 1, 1), day(2000, 2, 29), day(1, 1, 1)], [Some(0), Some(11_016), Some(-719_162)]);
    assert_eq!([day(1900, 2, 29), day(2015, 4, 31), day(2015, 13, 1), day(2015, 0, 1)], [None; 4]);
    assert_eq!(values::digits("-001.50", 3, 1).as_deref(), Some("-15"));
    assert_eq!(values::digits("-0.00", 3, 1).as_deref(), Some("0"));
    assert_eq!(
        [values::digits("1.55", 3, 1), values::digits("100", 3, 1), values::digits("1..", 3, 1)],
        [None, None, None]
    );
    assert_eq!(values::iso_micros("1970-01-02T00:00:01.5", &["T"]), Some(86_401_500_000));
}
