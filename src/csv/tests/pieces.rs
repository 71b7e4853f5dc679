//! Texts made of parts that mean something, and small changes to any text.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::case::Case;
use super::values::cell;
use crate::config::{Column, CsvOptions};

/// Names a header may have: those of columns, an alias, and strangers.
const NAMES: [&str; 10] = ["a", "b", "c", "d", "B", "x", "", " a ", "column_2", "é"];

/// Values of every type and near misses of them.
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "", "a", " a ", "NA", "é", "\u{feff}", "1", "-1", "+1", "007", "-0", "0", "127", "128", "-128", "-129", "255",
    "256", "32768", "65536", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "18446744073709551615", "18446744073709551616", "1.5", "1,5", "-.5", "1.", ".", "-", "+",
    "1e3", "1E-3", "1e400", "nan", "inf", "1_000", " 1", "1 ", "0.30000000000000004", "123456789012345678",
    "3.4028236e38", "1e-46", "999.99", "1000", "12.345", "0.100", "99999999999999999999999999999999999999",
    "100000000000000000000000000000000000000", "true", "F", "YES", "on", "2015-01-31", "2015-02-29", "2016-02-29",
    "2015-1-31", "0000-01-01", "9999-12-31", "2015-01-31 23:59:59", "1969-12-31T23:59", "2015-01-31 23:59:59.123456",
    "2015-01-31 23:59:59.1234567", "2015-01-31 23:59:60", "2015-01-31  3:00:00", "23:59", "24:00",
    "23:59:59.123456789", "00:00:00.", "31.01.2015", "31.1.2015", "29.02.2015", "2359", "0000", "31/01/2015 23:59",
    "31/01/2015 24:00",
];

/// Bytes that no sound text holds, or that look like more than they are.
const ODD: &[&[u8]] =
    &[b"\xff", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b"\x0b", b"\x0c", b"\xc2\x85", b"\\"];

/// A part of a text, named by what it means to the dialect it will be read in.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Delimiter,
    Quote,
    Comment,
    Text(&'static [u8]),
    /// A value the column at this position takes.
    Fit(usize, Index),
}

/// Texts of the bytes that matter in any order, and tables.
pub(super) fn texts() -> impl Strategy<Value = Vec<Piece>> {
    let dense = prop_oneof![6 => mark(), 2 => select(ODD).prop_map(Piece::Text)];
    // Without quotes and comments the reader takes another path.
    let plain = mark().prop_filter("plain", |piece| !matches!(piece, Piece::Quote | Piece::Comment));
    prop_oneof![
        3 => prop::collection::vec(piece(), 0..60),
        2 => prop::collection::vec(dense, 0..250),
        1 => prop::collection::vec(plain, 0..250),
        6 => table(),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let text = |text: &'static str| Piece::Text(text.as_bytes());
    prop_oneof![
        6 => Just(Piece::Delimiter),
        5 => Just(Piece::Quote),
        1 => Just(Piece::Comment),
        5 => select(vec![text("\n"), text("\r\n"), text("\r"), text("\n"), text("\n\r")]),
        4 => select(VALUES).prop_map(text),
        2 => select(vec![text("a"), text(" "), text("xxxxxxxxxxxxxxxxxxxxxxxxx")]),
        1 => select(ODD).prop_map(Piece::Text),
    ]
}

/// The bytes that have a meaning, and one that has none.
fn mark() -> impl Strategy<Value = Piece> {
    prop_oneof![
        4 => Just(Piece::Delimiter),
        4 => Just(Piece::Quote),
        1 => Just(Piece::Comment),
        3 => Just(Piece::Text(b"\n")),
        2 => Just(Piece::Text(b"\r")),
        5 => Just(Piece::Text(b"a")),
        1 => Just(Piece::Text(b" ")),
    ]
}

pub(super) fn render(pieces: &[Piece], csv: &CsvOptions, columns: &[Column]) -> Vec<u8> {
    let bytes = |piece: &Piece| match piece {
        Piece::Delimiter => vec![csv.delimiter],
        Piece::Quote => vec![csv.quote.unwrap_or(b'"')],
        Piece::Comment => vec![csv.comment.unwrap_or(b'#')],
        Piece::Text(text) => text.to_vec(),
        Piece::Fit(position, pick) => {
            let column = &columns[position % columns.len()];
            let fits = |value: &&&str| cell(value.as_bytes(), column, csv).is_ok();
            let fitting: Vec<_> = VALUES.iter().filter(fits).collect();
            if fitting.is_empty() { Vec::new() } else { pick.get(&fitting).as_bytes().to_vec() }
        }
    };
    pieces.iter().flat_map(bytes).collect()
}

/// Rows of a table, most of them of the right width, with quotes where they please.
fn table() -> impl Strategy<Value = Vec<Piece>> {
    let end = || select(vec!["\n", "\n", "\r\n", "\r", "\n\n"]).prop_map(|end: &str| Piece::Text(end.as_bytes()));
    let names = prop_oneof![
        1 => prop::sample::subsequence(NAMES.to_vec(), 1..=5).prop_shuffle(),
        1 => (1_usize..=4).prop_map(|width| ["a", "b", "c", "d"][..width].to_vec()),
        // Likely a name that comes twice.
        1 => prop::collection::vec(select(NAMES.to_vec()), 2..4),
    ];
    (names, end()).prop_flat_map(move |(names, header_end)| {
        let width = names.len();
        let mut header = join(&names.iter().map(|name| vec![Piece::Text(name.as_bytes())]).collect::<Vec<_>>());
        header.push(header_end);
        let count = prop_oneof![8 => Just(width), 1 => Just(width + 1), 1 => Just(width.max(2) - 1)];
        let row = (count.prop_flat_map(|count| (0..count).map(field).collect::<Vec<_>>()), end());
        prop::collection::vec(row, 0..12).prop_map(move |rows| {
            let rows = rows.into_iter().flat_map(|(fields, end)| [join(&fields), vec![end]].concat());
            header.iter().cloned().chain(rows).collect()
        })
    })
}

fn field(position: usize) -> impl Strategy<Value = Vec<Piece>> {
    let value = prop_oneof![
        4 => any::<Index>().prop_map(move |pick| Piece::Fit(position, pick)),
        1 => select(VALUES).prop_map(|value| Piece::Text(value.as_bytes())),
    ];
    let blank = prop_oneof![6 => Just("".as_bytes()), 1 => Just(" \t".as_bytes()), 1 => Just("\n".as_bytes())];
    let quotes = prop_oneof![4 => Just(0), 4 => Just(1), 1 => Just(2)];
    (value, blank, quotes).prop_map(|(value, blank, quotes)| {
        let blank = Piece::Text(blank);
        match quotes {
            0 if matches!(&blank, Piece::Text(b"\n")) => vec![value],
            0 => vec![blank.clone(), value, blank],
            1 => vec![Piece::Quote, blank.clone(), value, blank, Piece::Quote],
            _ => vec![Piece::Quote, value, Piece::Quote, Piece::Quote, Piece::Delimiter, Piece::Quote],
        }
    })
}

fn join(fields: &[Vec<Piece>]) -> Vec<Piece> {
    fields.join(&[Piece::Delimiter][..])
}

/// A small change to a text.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Insert(Piece),
    Remove(usize),
    Repeat(usize, usize),
    Cut,
}

pub(super) fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let change = prop_oneof![
        6 => piece().prop_map(Change::Insert),
        3 => (1_usize..6).prop_map(Change::Remove),
        2 => (1_usize..40, 1_usize..20).prop_map(|(length, times)| Change::Repeat(length, times)),
        1 => Just(Change::Cut),
    ];
    prop::collection::vec((any::<Index>(), change), 0..5)
}

pub(super) fn change(case: &mut Case, changes: &[(Index, Change)]) {
    let Case { text, csv, columns, .. } = case;
    for (at, change) in changes {
        let at = at.index(text.len() + 1);
        let upto = |length: usize| at..text.len().min(at + length);
        match change {
            Change::Insert(piece) => drop(text.splice(at..at, render(std::slice::from_ref(piece), csv, columns))),
            Change::Remove(length) => drop(text.drain(upto(*length))),
            Change::Repeat(length, times) => {
                let part = text[upto(*length)].repeat(*times);
                drop(text.splice(at..at, part));
            }
            Change::Cut => text.truncate(at),
        }
    }
}
