//! Whole files the way a job reads them: opened, inflated, decoded, cut into the real blocks, parsed by real threads.

use std::io::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio_util::sync::CancellationToken;

use super::case::{Case, Reading, Rejected};
use super::{pieces, reader, reference};
use crate::clock::SystemClock;
use crate::config::{Column, ColumnType, CsvOptions, Drift, OnExtra, OnMissing};
use crate::pipeline::flow::{self, BLOCK_BYTES, Batches};
use crate::pipeline::meter::Meter;
use crate::pipeline::tests::job;

/// Some thousand made texts behind each other, again and again, so that blocks end in every place of them.
fn case() -> Case {
    let csv = CsvOptions { header: false, comment: Some(b'#'), max_record_bytes: 200, ..CsvOptions::default() };
    let columns = vec![
        Column { kind: ColumnType::Float64, trim: true, ..Column::plain("a") },
        Column::plain("b"),
        Column { kind: ColumnType::Datetime { format: None, time_zone: None }, ..Column::plain("c") },
    ];
    let mut runner = TestRunner::deterministic();
    let mut part = Vec::new();
    while part.len() < 200_000 {
        let made = pieces::texts().new_tree(&mut runner).unwrap().current();
        part.extend(pieces::render(&made, &csv, &columns));
        part.extend_from_slice(b"\n1.5,plain,2015-01-31 00:00\n");
    }
    let text = part.repeat(2 * BLOCK_BYTES / part.len() + 2);
    Case { text, csv, columns, drift: Drift { extra: OnExtra::Keep, missing: OnMissing::Null }, bom: 0 }
}

/// Reads `bytes` as a job of the case's pipeline.
fn read(case: &Case, bytes: &[u8]) -> Reading {
    let folder = tempfile::tempdir().unwrap();
    let (job, clock) = (job(folder.path(), bytes), SystemClock);
    let mut reading = Reading { names: case.columns.iter().map(|c| c.name.clone()).collect(), ..Reading::default() };
    let mut take = |batch: Batches<'_>| {
        reading.rows.extend(reader::rows(batch.frame));
        reading.rejects.extend(batch.rejects.iter().cloned().map(Rejected::from));
        Ok(())
    };
    let meter = Meter::new(&clock, &job);
    let pipeline = reader::pipeline(case);
    let totals = flow::run(&pipeline, &job, &CancellationToken::new(), &meter, &|_| {}, &mut take).unwrap();
    assert!(totals.rows.conserved());
    reading.records = totals.rows.read;
    reading.blank_lines = totals.blank_lines;
    reading
}

fn expected(case: &Case) -> Reading {
    // Nobody is told the number of lines of a whole file.
    Reading { lines: 0, ..reference::read(case) }
}

/// Asserts without printing megabytes.
fn assert_same(found: &Reading, expected: &Reading) {
    assert_eq!((found.records, found.blank_lines), (expected.records, expected.blank_lines));
    let differs = found.rejects.iter().zip(&expected.rejects).find(|(found, expected)| found != expected);
    assert_eq!((differs, found.rejects.len()), (None, expected.rejects.len()));
    let differs = found.rows.iter().zip(&expected.rows).find(|(found, expected)| found != expected);
    assert_eq!((differs, found.rows.len()), (None, expected.rows.len()));
    assert!(found == expected && !found.rows.is_empty() && !found.rejects.is_empty());
}

fn behind_bom(mut reading: Reading) -> Reading {
    reading.rejects.iter_mut().for_each(|reject| reject.offset += 3);
    reading
}

#[test]
fn a_file_of_several_blocks_is_read_as_its_text_is_however_it_is_packed() {
    let case = case();
    assert!(case.text.len() > 2 * BLOCK_BYTES, "several threads are meant");
    let expected = expected(&case);
    assert_same(&read(&case, &case.text), &expected);
    let (front, back) = case.text.split_at(case.text.len() / 3);
    let gzip = |text: &[u8]| {
        let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        member.write_all(text).unwrap();
        member.finish().unwrap()
    };
    let zstd = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
    let packed = [[gzip(front), gzip(back)].concat(), [zstd(front), zstd(back)].concat()];
    for bytes in packed {
        assert_same(&read(&case, &bytes), &expected);
    }
    let marked = [b"\xef\xbb\xbf", case.text.as_slice()].concat();
    assert_same(&read(&case, &marked), &behind_bom(expected));
}

#[test]
fn a_file_in_another_encoding_is_read_as_its_text_is() {
    let mut case = case();
    let text = String::from_utf8_lossy(&case.text).replace('\u{feff}', "\u{fffd}");
    case.text = text.clone().into_bytes();
    let mut expected = expected(&case);
    // Positions in the text mean nothing to who knows the file.
    expected.rejects.iter_mut().for_each(|reject| reject.offset = Rejected::NO_OFFSET);
    let little = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    assert_same(&read(&case, &little), &expected);
    let big = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    assert_same(&read(&case, &big), &expected);
}
