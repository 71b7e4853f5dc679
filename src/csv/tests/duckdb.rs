//! The rejects `DuckDB`'s own tests expect: the same records at the same line and byte, for the corresponding reason.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::case::Case;
use super::{reader, real, reference};
use crate::config::{Column, ColumnType, CsvOptions, Drift, OnExtra, OnMissing};
use crate::job::RejectReason;

/// File, line, their reason, ours, and why we differ.
type Difference = (&'static str, u64, Option<RejectReason>, Option<RejectReason>, &'static str);

/// Where we differ on purpose. A difference that is not here fails the test, and so does one that is here and not found.
#[rustfmt::skip]
const DIFFERENCES: &[Difference] = {
    use RejectReason::{BadType, TooManyFields};
    const TRAILING: &str = "a delimiter at the end of a line is followed by one more field, in every record as in a header";
    &[
        ("error/mismatch/bad.csv", 1, None, Some(TooManyFields), TRAILING),
        ("error/mismatch/bad.csv", 2, Some(BadType), Some(TooManyFields), TRAILING),
        ("error/mismatch/bad.csv", 3, None, Some(TooManyFields), TRAILING),
        ("error/mismatch/bad2.csv", 1, None, Some(TooManyFields), TRAILING),
        ("error/mismatch/bad2.csv", 1, Some(BadType), Some(TooManyFields), TRAILING),
        ("error/mismatch/bad2.csv", 2, None, Some(TooManyFields), TRAILING),
        ("error/mismatch/bad2.csv", 3, Some(BadType), Some(TooManyFields), TRAILING),
        ("rejects/flush.csv", 7, None, Some(BadType), "33.438600 is not exactly representable with three places, and nothing is rounded"),
    ]
};

/// The one read we cannot do: its delimiter is a duck, and ours is one byte. The config says so.
const DUCK: &str = "csv_rejects_truncate_line_invalid_utf8#1";

/// A record they reject or we do: file, line, offset.
type At = (String, u64, u64);

fn lines(name: &str) -> Option<Vec<Value>> {
    let path = real::shared(&format!("torture/duckdb-rejects/{name}"))?;
    Some(std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Their error types in our words.
fn reason(error_type: &str) -> RejectReason {
    match error_type {
        "CAST" => RejectReason::BadType,
        "MISSING COLUMNS" => RejectReason::TooFewFields,
        "TOO MANY COLUMNS" => RejectReason::TooManyFields,
        "LINE SIZE OVER MAXIMUM" => RejectReason::RecordTooLarge,
        "INVALID ENCODING" => RejectReason::InvalidEncoding,
        "UNQUOTED VALUE" => RejectReason::BadQuote,
        other => panic!("{other} has no counterpart"),
    }
}

/// What they expect of one read: of a record with several errors the first in the order of our contract.
fn theirs(case: &str, expected: &[Value]) -> BTreeMap<At, RejectReason> {
    let order = |reason: RejectReason| RejectReason::ALL.iter().position(|other| *other == reason);
    let mut rejects: BTreeMap<At, RejectReason> = BTreeMap::new();
    for error in expected.iter().filter(|error| error["case"] == case) {
        let [line, byte] = ["line", "line_byte_position"].map(|key| error[key].as_u64().unwrap());
        let reason = reason(error["error_type"].as_str().unwrap());
        let first = rejects.entry((text(&error["file"]), line, byte - 1)).or_insert(reason);
        if order(reason) < order(*first) {
            *first = reason;
        }
    }
    rejects
}

fn column(name: &str, kind: &str, options: &Value) -> Column {
    let format = || options["dateformat"].as_str().map(str::to_owned);
    let kind = match kind {
        "VARCHAR" => ColumnType::String,
        "INTEGER" => ColumnType::Int(32),
        "DECIMAL" => ColumnType::Decimal { precision: 18, scale: 3 },
        "DATE" => ColumnType::Date { format: format() },
        "TIME" | "TIMETZ" => ColumnType::Time { format: None },
        "TIMESTAMP" => ColumnType::Datetime { format: None, time_zone: None },
        "TIMESTAMPTZ" => ColumnType::Datetime { format: None, time_zone: Some(chrono_tz::UTC) },
        other => panic!("{other} has no counterpart"),
    };
    // They cast without the blanks around a value.
    Column { trim: kind != ColumnType::String, kind, ..Column::plain(name) }
}

/// Columns that they guess and we are told.
fn guessed(file: &str) -> &'static [(&'static str, &'static str)] {
    match file {
        "comments/error.csv" => &[("a", "INTEGER"), ("b", "INTEGER")],
        "error.csv" => &[("column1", "VARCHAR"), ("column2", "VARCHAR")],
        "error/banklist.csv" => &[
            ("a", "VARCHAR"),
            ("b", "VARCHAR"),
            ("c", "VARCHAR"),
            ("d", "VARCHAR"),
            ("e", "VARCHAR"),
            ("f", "VARCHAR"),
            ("g", "VARCHAR"),
        ],
        _ => &[("num", "INTEGER"), ("str", "VARCHAR")],
    }
}

/// Lines before the data, the header the last of them, where their options leave that to a guess.
fn head_lines(file: &str, options: &Value) -> u64 {
    let header = match file {
        "comments/error.csv" => return 3,
        "error.csv" | "rejects/flush.csv" | "rejects/dr_who.csv" | "error/flush_cast.csv" => true,
        _ => file.starts_with("error/mismatch/small"),
    };
    u64::from(header || options["header"] == 1 || options["header"] == true)
}

fn case(file: &str, options: &Value) -> Case {
    let byte = |value: &Value| value.as_str().map(|text| text.as_bytes()[0]);
    let columns = match options["columns"].as_object() {
        Some(columns) => columns.iter().map(|(name, kind)| column(name, kind.as_str().unwrap(), options)).collect(),
        None => guessed(file).iter().map(|(name, kind)| column(name, kind, options)).collect(),
    };
    let csv = CsvOptions {
        delimiter: byte(&options["delim"]).unwrap_or(if file == "comments/error.csv" { b';' } else { b',' }),
        comment: byte(&options["comment"]),
        header: false,
        skip_lines: head_lines(file, options),
        max_record_bytes: options["max_line_size"].as_u64().map_or(1 << 20, |size| usize::try_from(size).unwrap()),
        ..CsvOptions::default()
    };
    let path = real::shared(&format!("torture/duckdb-rejects/{file}")).unwrap();
    let drift = Drift { extra: OnExtra::Ignore, missing: OnMissing::Null };
    Case { text: std::fs::read(path).unwrap(), csv, columns, drift, bom: 0 }
}

/// What we make of one read, in blocks of any size: rejects and the number of rows.
fn ours(read: &Value) -> (BTreeMap<At, RejectReason>, usize) {
    let (mut rejects, mut rows) = (BTreeMap::new(), 0);
    for file in read["files"].as_array().unwrap().iter().map(text) {
        let case = case(&file, &read["options"]);
        let reading = reader::read(&case, 4 << 20);
        assert_eq!(reading, reference::read(&case), "{file}");
        for block in [5, 7, 10, 14, 22, 39] {
            assert_eq!(reader::read(&case, block), reading, "{file} in blocks of {block}");
        }
        rows += reading.rows.len();
        rejects.extend(reading.rejects.iter().map(|r| ((file.clone(), r.line, r.offset), r.reason)));
    }
    (rejects, rows)
}

#[test]
fn every_record_duckdb_rejects_is_rejected_for_that_reason_or_the_difference_is_listed() {
    let (Some(reads), Some(expected)) = (lines("cases.jsonl"), lines("expected.jsonl")) else { return };
    let (mut differences, mut used) = (BTreeSet::new(), 0);
    for read in reads.iter().filter(|read| read["case"] != DUCK) {
        let name = read["case"].as_str().unwrap();
        let (theirs, (ours, rows)) = (theirs(name, &expected), ours(read));
        used += expected.iter().filter(|error| error["case"] == name).count();
        let all_told = read["complete"] == true && !theirs.is_empty();
        let only_counted = theirs.is_empty().then(|| read["error_rows"].as_u64()).flatten();
        let mut more = 0;
        for at in theirs.keys().chain(ours.keys().filter(|_| all_told)).collect::<BTreeSet<_>>() {
            let (theirs, ours) = (theirs.get(at).copied(), ours.get(at).copied());
            if theirs != ours {
                differences.insert((at.0.clone(), at.1, theirs, ours));
                more += usize::from(theirs.is_none());
            }
        }
        if let Some(count) = only_counted.filter(|_| read["complete"] == true) {
            assert_eq!(ours.len() as u64, count, "{name}");
        }
        if let Some(accepted) = read["accepted_rows"].as_u64().or(read["accepted_rows_by_line_count"].as_u64()) {
            assert_eq!((rows + more) as u64, accepted, "{name}");
        }
    }
    assert_eq!((reads.len(), used), (53, 181), "every read and every expected error was looked at");
    let listed: BTreeSet<_> =
        DIFFERENCES.iter().map(|(file, line, theirs, ours, _)| ((*file).to_owned(), *line, *theirs, *ours)).collect();
    assert_eq!(differences, listed);
}

#[test]
fn a_header_that_is_not_utf_8_refuses_the_file_where_duckdb_rejects_a_row() {
    if real::shared("torture/duckdb-rejects/error/banklist.csv").is_none() {
        return;
    }
    let mut case = case("error/banklist.csv", &Value::Null);
    case.csv.header = true;
    assert_eq!(reader::read(&case, 64).refused, Some(crate::job::QuarantineReason::WrongEncoding));
}

#[test]
fn a_delimiter_is_one_byte() {
    let config = "[pipelines.p.csv]\ndelimiter = \"🦆\"\n[pipelines.p.columns]\na = \"date\"\n";
    let refused = crate::config::parse(config, std::path::Path::new("/nowhere/forebay.toml")).unwrap_err();
    assert!(refused.to_string().contains("expected one character"), "{refused}");
}
