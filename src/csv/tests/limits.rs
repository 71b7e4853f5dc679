//! Rules with a number in them, at that number and one beside it.

use super::case::{Case, Reading};
use super::{reader, reference};
use crate::config::{Column, CsvOptions, Drift, OnExtra, OnMissing};
use crate::job::{QuarantineReason, RejectReason};

/// Reads at several block sizes, and checks that the reference reads the same.
fn read(text: &[u8], csv: &CsvOptions, width: usize) -> Reading {
    let columns = ["a", "b", "c"].iter().take(width).map(|name| Column::plain(name)).collect();
    let drift = Drift { extra: OnExtra::Keep, missing: OnMissing::Null };
    let case = Case { text: text.to_vec(), csv: csv.clone(), columns, drift, bom: 0 };
    let expected = reference::read(&case);
    // Blocks of a few bytes only where there are not too many of them.
    let small = if text.len() < 100_000 { 0 } else { 3 };
    for block in &[1, 7, 64, 4096, 1 << 17, 4 << 20][small..] {
        assert_eq!(reader::read(&case, *block), expected, "blocks of {block}");
    }
    expected
}

fn csv(max_record_bytes: usize) -> CsvOptions {
    CsvOptions { header: false, max_record_bytes, ..CsvOptions::default() }
}

fn reasons(reading: &Reading) -> Vec<(u64, RejectReason)> {
    reading.rejects.iter().map(|reject| (reject.line, reject.reason)).collect()
}

#[test]
fn a_line_of_64_limits_ends_the_file_and_one_byte_less_does_not() {
    for (length, refused) in [(640, None), (641, Some(QuarantineReason::RecordTooLarge))] {
        let text = [b"a\n".to_vec(), b"x".repeat(length), b"\nb\n".to_vec()].concat();
        assert_eq!(read(&text, &csv(10), 1).refused, refused, "{length} bytes");
    }
}

#[test]
fn a_record_of_the_limit_is_sound_with_any_line_end_and_one_byte_more_is_not() {
    for end in ["\n", "\r\n", "\r", ""] {
        for (length, rejected) in [(10, 0), (11, 1)] {
            let text = format!("b\n{}{end}", "x".repeat(length));
            assert_eq!(read(text.as_bytes(), &csv(10), 1).rejects.len(), rejected, "{length} bytes, {end:?}");
        }
    }
}

#[test]
fn a_quote_must_close_before_the_limit_or_costs_its_line() {
    let closed = read(b"\"xx\nxxxx\"\nb\n", &csv(9), 1);
    assert_eq!((closed.rows.len(), closed.rejects.len()), (2, 0));
    let open = read(b"\"xx\nxxxxx\"\nb\n", &csv(9), 1);
    assert_eq!(reasons(&open), [(1, RejectReason::BadQuote)]);
    assert_eq!(open.rows.len(), 2, "the lines behind the quote are records again");
}

#[test]
fn the_first_64_kib_of_a_record_are_kept() {
    for (length, kept) in [(65_535, 65_535), (65_536, 65_536), (70_000, 65_536)] {
        let text = [b"y".repeat(length), b"\nb,c\n".to_vec()].concat();
        for max in [100_000, 50_000] {
            let reading = read(&text, &csv(max), 2);
            assert_eq!(reading.rejects[0].raw.len(), kept, "{length} bytes, limit {max}");
        }
    }
}

#[test]
fn a_header_has_4096_fields_at_most() {
    for (count, refused) in [(4096, None), (4097, Some(QuarantineReason::HeaderMismatch))] {
        let header: Vec<_> = (0..count).map(|n| format!("n{n}")).collect();
        let text = format!("{}\n{}1\n", header.join(","), "1,".repeat(count - 1));
        let reading = read(text.as_bytes(), &CsvOptions { header: true, ..csv(1 << 20) }, 0);
        assert_eq!((reading.refused, reading.rows.len()), (refused, usize::from(refused.is_none())));
    }
}

#[test]
fn blocks_of_very_many_lines_and_columns_of_very_many_rows_are_one_text() {
    // More lines than a chunk may hold, more rows than a tile, and a fault in every place of a tile.
    let lines = |quote: &str| -> String {
        (0..140_000)
            .map(|n| if n % 1021 == 7 { "x,y,z\n".to_owned() } else { format!("{quote}{n}{quote},b\n") })
            .collect()
    };
    for quote in ["", "\""] {
        let reading = read(lines(quote).as_bytes(), &csv(1 << 20), 2);
        assert_eq!((reading.records, reading.rejects.len()), (140_000, 138));
    }
}
