//! Generated files whose every broken record is known, by line and class.
//!
//! `FOREBAY_TRUTH_ROWS=1000000 cargo test exact::truth` makes them that large.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::once;
use crate::support::{Project, Published, python, read_parquet, tool};

const CONFIG: &str = include_str!("truth.toml");

/// Valid rows per file where nothing else is said.
const ROWS: u64 = 50_000;

/// A class of broken records, the reason it is rejected for, and the columns that may be at fault (none: the record is).
const CLASSES: [(&str, &str, &[&str]); 6] = [
    ("too_few_fields", "too_few_fields", &[]),
    ("too_many_fields", "too_many_fields", &[]),
    ("non_numeric_fare", "bad_type", &["fare_amount"]),
    ("bad_timestamp", "bad_type", &["tpep_pickup_datetime", "tpep_dropoff_datetime"]),
    ("stray_quote", "bad_type", &["trip_distance", "fare_amount", "total_amount"]),
    ("invalid_utf8", "invalid_encoding", &[]),
];

/// A generated file and what is known of it.
struct Generated {
    project: Project,
    rows: u64,
    truth: Value,
    text: Vec<u8>,
    /// Where each physical line starts.
    lines: Vec<usize>,
}

fn generate(seed: &str, more: &[&str]) -> Option<Generated> {
    let rows = std::env::var("FOREBAY_TRUTH_ROWS").map_or(ROWS, |rows| rows.parse().unwrap());
    let project = Project::new("");
    let file = project.path("synth.csv");
    let size = rows.to_string();
    let args = [file.to_str().unwrap(), "--rows", &size, "--seed", seed, "--truth-lines", "100000"];
    python(tool("synth_yellow.py")?, &[&args, more].concat())?;
    let truth = serde_json::from_slice(&std::fs::read(project.path("synth.csv.truth.json")).unwrap()).unwrap();
    let text = std::fs::read(file).unwrap();
    let mut lines = vec![0];
    lines.extend(memchr::memchr_iter(b'\n', &text).map(|end| end + 1));
    Some(Generated { project, rows, truth, text, lines })
}

/// A reject as `rejects.parquet` has it: line, record, offset, column, reason, raw bytes.
type Reject = (u64, u64, u64, Option<String>, String, Vec<u8>);

impl Generated {
    fn run(&self, csv: &str) -> (Project, Published) {
        once(&format!("{CONFIG}\n[pipelines.p.csv]\n{csv}"), &self.project.path("synth.csv"))
    }

    /// The lines of a class, all of them.
    fn lines_of(&self, class: &str) -> Vec<u64> {
        let class = &self.truth["structural"]["classes"][class];
        let lines = class["lines"]["synth.csv"].as_array().unwrap().iter().map(|line| line.as_u64().unwrap());
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len() as u64, class["count"].as_u64().unwrap(), "the truth file lists every line");
        lines
    }

    /// Where a line starts, and its bytes without the CRLF.
    fn line(&self, line: u64) -> (usize, &[u8]) {
        let start = self.lines[usize::try_from(line).unwrap() - 1];
        let length = memchr::memchr(b'\r', &self.text[start..]).unwrap();
        (start, &self.text[start..start + length])
    }
}

fn rejects(published: &Published) -> Vec<Reject> {
    let frame = read_parquet(&published.path.join("rejects.parquet"));
    let numbers = |name: &str| frame.column(name).unwrap().u64().unwrap().into_no_null_iter().collect::<Vec<_>>();
    let texts = |name: &str, row| frame.column(name).unwrap().str().unwrap().get(row).map(str::to_owned);
    let (lines, records, offsets) = (numbers("line"), numbers("record"), numbers("byte_offset"));
    let raw = frame.column("raw").unwrap().binary().unwrap();
    let reject = |row: usize| {
        let reason = texts("reason", row).unwrap();
        (lines[row], records[row], offsets[row], texts("column", row), reason, raw.get(row).unwrap().to_vec())
    };
    (0..frame.height()).map(reject).collect()
}

/// Hundredths of a text such as `12.5`.
fn cents(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<2}").parse().unwrap()
}

/// The sums of the clean rows in hundredths, exactly.
fn sums(published: &Published, names: impl Iterator<Item = String>) -> BTreeMap<String, i128> {
    let frame = read_parquet(&published.path.join("rows.parquet"));
    let sum = |name: &str| -> i128 {
        let column = frame.column(name).unwrap().decimal().unwrap();
        assert_eq!(column.scale(), 2, "{name}");
        column.physical().iter().flatten().sum()
    };
    names.map(|name| (name.clone(), sum(&name))).collect()
}

#[test]
fn every_broken_record_is_rejected_where_and_why_the_truth_file_says_and_no_other() {
    let Some(made) = generate("7", &["--dirty-structural", "0.01"]) else { return };
    let (_project, published) = made.run("");
    let broken = made.truth["broken_records"].as_u64().unwrap();
    assert_eq!(published.rows(), [made.rows + broken, made.rows, broken, 0]);
    let mut expected = BTreeMap::new();
    for (class, reason, columns) in CLASSES {
        let lines = made.lines_of(class);
        assert!(lines.len() as u64 >= broken / 6, "{class} is there");
        expected.extend(lines.into_iter().map(|line| (line, (reason, columns))));
    }
    let told = rejects(&published);
    assert!(told.iter().map(|reject| reject.0).eq(expected.keys().copied()), "in file order, every line once");
    for (line, record, offset, column, reason, raw) in told {
        let (wanted, columns) = expected[&line];
        let (start, bytes) = made.line(line);
        assert_eq!((reason.as_str(), offset, raw.as_slice()), (wanted, start as u64, bytes), "line {line}");
        assert_eq!(record, line - 1, "no record spans lines, and the header is the first");
        let column = column.as_deref();
        assert_eq!(columns.is_empty(), column.is_none(), "line {line}: {column:?}");
        assert!(column.is_none_or(|column| columns.contains(&column)), "line {line}: {column:?}");
    }
    let wanted = made.truth["column_sums"].as_object().unwrap();
    let wanted: BTreeMap<_, _> =
        wanted.iter().map(|(name, sum)| (name.clone(), cents(sum.as_str().unwrap()))).collect();
    assert_eq!(sums(&published, wanted.keys().cloned()), wanted);
}

/// Which lines quotes cost and why, by the rule of the contract: an open quote its own line; and if another quote follows
/// within the limit, all up to that one's line, in one record. And how many lines are inside such records.
fn cost_of_quotes(made: &Generated, limit: usize) -> (Vec<(u64, &'static str)>, u64) {
    let (mut rejected, mut swallowed, mut next) = (Vec::new(), 0, 0);
    let quotes: BTreeSet<_> = ["open_quote", "stray_quote"].iter().flat_map(|class| made.lines_of(class)).collect();
    for line in quotes {
        if line < next {
            continue;
        }
        let (start, bytes) = made.line(line);
        let quote = start + memchr::memchr(b'"', bytes).unwrap();
        next = line + 1;
        // A stray quote stands inside a field, where it is text.
        if made.text[quote - 1] != b',' {
            rejected.push((line, "bad_type"));
            continue;
        }
        let window = &made.text[quote + 1..made.text.len().min(start + limit)];
        let Some(found) = memchr::memchr(b'"', window) else {
            rejected.push((line, "bad_quote"));
            continue;
        };
        let more = memchr::memchr_iter(b'\n', &window[..found]).count() as u64;
        swallowed += more;
        next += more;
        let last = made.line(line + more);
        let length = last.0 + last.1.len() - start;
        rejected.push((line, if length > limit { "record_too_large" } else { "bad_quote" }));
    }
    (rejected, swallowed)
}

#[test]
fn a_quote_costs_what_the_contract_says() {
    let classes = ["--dirty-structural", "0.005", "--dirty-classes", "open_quote,stray_quote"];
    let Some(made) = generate("8", &classes) else { return };
    let broken = made.truth["broken_records"].as_u64().unwrap();
    for limit in [512, 64 << 10, 1 << 20] {
        let (_project, published) = made.run(&format!("max_record_bytes = \"{limit}B\""));
        let (expected, swallowed) = cost_of_quotes(&made, limit);
        let told = rejects(&published);
        let told: Vec<_> = told.iter().map(|(line, _, _, _, reason, _)| (*line, reason.as_str())).collect();
        assert_eq!(told, expected, "limit {limit}");
        let read = made.rows + broken - swallowed;
        let rejected = expected.len() as u64;
        assert_eq!(published.rows(), [read, read - rejected, rejected, 0], "limit {limit}");
        assert!(limit == 512 || swallowed > 0, "limit {limit}: no quote met another one");
    }
}
