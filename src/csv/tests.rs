//! The reader against a slow reference written from the contract, byte by byte, over the whole text at once.

use proptest::prelude::*;

use super::reject::Position;
use super::{Blocks, Dialect, Layout, Parser};
use crate::config::{Column, ColumnType, CsvOptions};
use crate::job::RejectReason;

/// What both readers must agree on.
#[derive(Debug, PartialEq, Eq, Default)]
struct Reading {
    /// Values of sound records; `None` is null.
    rows: Vec<Vec<Option<String>>>,
    /// Record, line, offset and reason of the others.
    rejects: Vec<(u64, u64, u64, RejectReason)>,
    blank_lines: u64,
    lines: u64,
    /// The text holds a record that does not end: nothing else counts.
    endless: bool,
}

fn options(max_record_bytes: usize) -> CsvOptions {
    CsvOptions { comment: Some(b'#'), header: false, max_record_bytes, ..CsvOptions::default() }
}

fn columns(width: usize) -> Vec<Column> {
    let column = |number| Column {
        name: format!("c{number}"),
        aliases: Vec::new(),
        kind: ColumnType::String,
        nullable: true,
        optional: false,
        trim: false,
        decimal_comma: false,
    };
    (0..width).map(column).collect()
}

/// The reader as the pipeline drives it.
fn read(text: &[u8], width: usize, options: &CsvOptions, block: usize) -> Reading {
    let parser = Parser::new(options, &Layout::positional(&columns(width)));
    let mut blocks = Blocks::new(text, Dialect::from(options), block, 0);
    let mut reading = Reading::default();
    let mut at = Position::default();
    let mut spare = Vec::new();
    loop {
        let chunk = match blocks.next_chunk(spare) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return reading,
            Err(_) => return Reading { endless: true, ..Reading::default() },
        };
        at.offset = Some(chunk.offset);
        let mut batch = parser.parse(chunk).unwrap();
        if batch.endless.is_some() {
            return Reading { endless: true, ..Reading::default() };
        }
        batch.shift(&at);
        for row in 0..batch.frame.height() {
            let value = |column: &polars::prelude::Column| column.str().unwrap().get(row).map(str::to_owned);
            reading.rows.push(batch.frame.columns().iter().map(value).collect());
        }
        let told = batch.rejects.iter().map(|r| (r.record, r.line, r.byte_offset.unwrap(), r.reason));
        reading.rejects.extend(told);
        reading.blank_lines += batch.blank_lines;
        at.records += batch.records;
        at.lines += batch.lines;
        reading.lines = at.lines;
        spare = batch.into_buffer();
    }
}

/// The contract, spelled out.
fn reference(text: &[u8], width: usize, options: &CsvOptions) -> Reading {
    let max = options.max_record_bytes;
    let mut reading = Reading::default();
    let (mut at, mut record) = (0, 0);
    while at < text.len() {
        if is_line_end(text[at]) {
            at = behind_line_end(text, at);
            reading.blank_lines += 1;
            reading.lines += 1;
            continue;
        }
        let (mut fault, fields, end) = fields_of(text, at, max);
        if text[at] == b'#' {
            at = behind_line_end(text, next_line_end(text, at));
            reading.lines += 1;
            continue;
        }
        record += 1;
        let line = reading.lines + 1;
        let bytes = &text[at..end];
        if bytes.len() > max * 64 {
            return Reading { endless: true, ..Reading::default() };
        }
        if bytes.len() > max {
            fault = Some(RejectReason::RecordTooLarge);
        }
        let invalid = std::str::from_utf8(bytes).is_err().then_some(RejectReason::InvalidEncoding);
        let width_fault = match fields.len().cmp(&width) {
            std::cmp::Ordering::Less => Some(RejectReason::TooFewFields),
            std::cmp::Ordering::Greater => Some(RejectReason::TooManyFields),
            std::cmp::Ordering::Equal => None,
        };
        match fault.or(invalid).or(width_fault) {
            Some(reason) => reading.rejects.push((record, line, at as u64, reason)),
            None => reading.rows.push(fields.iter().map(|field| value_of(field)).collect()),
        }
        let mut inner = at;
        while inner < end {
            if is_line_end(text[inner]) {
                reading.lines += 1;
                inner = behind_line_end(text, inner);
            } else {
                inner += 1;
            }
        }
        reading.lines += 1;
        at = behind_line_end(text, end);
    }
    reading
}

/// Returns the quote fault, the fields with their quotes, and the end of the record at `start`.
fn fields_of(text: &[u8], start: usize, max: usize) -> (Option<RejectReason>, Vec<&[u8]>, usize) {
    let mut fields = Vec::new();
    let mut from = start;
    loop {
        if from - start > max {
            return (Some(RejectReason::RecordTooLarge), fields, next_line_end(text, from));
        }
        let mut to = from;
        if text.get(from) == Some(&b'"') {
            to += 1;
            loop {
                if to >= text.len() || to - start >= max {
                    return (Some(RejectReason::BadQuote), fields, next_line_end(text, from));
                }
                match (text[to], text.get(to + 1)) {
                    (b'"', Some(b'"')) => to += 2,
                    (b'"', _) => break,
                    _ => to += 1,
                }
            }
            to += 1;
            if text.get(to).is_some_and(|byte| *byte != b',' && !is_line_end(*byte)) {
                return (Some(RejectReason::BadQuote), fields, next_line_end(text, to));
            }
        } else {
            while text.get(to).is_some_and(|byte| *byte != b',' && !is_line_end(*byte)) {
                to += 1;
            }
        }
        fields.push(&text[from..to]);
        if text.get(to) != Some(&b',') {
            return (None, fields, to);
        }
        from = to + 1;
    }
}

fn value_of(field: &[u8]) -> Option<String> {
    let text = String::from_utf8(field.to_vec()).unwrap();
    match text.strip_prefix('"') {
        Some(inner) => Some(inner.strip_suffix('"').unwrap().replace("\"\"", "\"")),
        None if text.is_empty() => None,
        None => Some(text),
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

fn next_line_end(text: &[u8], from: usize) -> usize {
    (from..text.len()).find(|at| is_line_end(text[*at])).unwrap_or(text.len())
}

fn behind_line_end(text: &[u8], at: usize) -> usize {
    match (text.get(at), text.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => at + 2,
        (Some(_), _) => at + 1,
        (None, _) => at,
    }
}

/// Texts of the bytes that matter, so that every combination of them turns up.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b','), 4 => Just(b'"'), 3 => Just(b'\n'), 2 => Just(b'\r'), 4 => Just(b'a'),
        1 => Just(b'#'), 1 => Just(b' '), 1 => Just(0xff), 1 => Just(0xc3), 1 => Just(0xa9), 1 => Just(0),
    ];
    prop::collection::vec(byte, 0..120)
}

/// The same without quotes: another path through the index.
fn plain_texts() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b','), 3 => Just(b'\n'), 3 => Just(b'\r'), 5 => Just(b'a'), 1 => Just(0xff)];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn texts_without_quotes_are_read_like_all_others(
        text in plain_texts(), width in 1_usize..4, max_record in 1_usize..60, block in 1_usize..210,
    ) {
        let options = CsvOptions { comment: None, ..options(max_record) };
        prop_assert_eq!(read(&text, width, &options, block), reference(&text, width, &options));
    }

    #[test]
    fn the_reader_agrees_with_the_reference_at_every_block_size(
        text in texts(), width in 1_usize..4, max_record in 1_usize..30, block in 1_usize..130,
    ) {
        let options = options(max_record);
        prop_assert_eq!(read(&text, width, &options, block), reference(&text, width, &options));
    }

    #[test]
    fn any_bytes_at_all_are_read_without_panic(
        text in prop::collection::vec(any::<u8>(), 0..300), width in 1_usize..4, max_record in 1_usize..300, block in 1_usize..310,
    ) {
        let options = options(max_record);
        prop_assert_eq!(read(&text, width, &options, block), reference(&text, width, &options));
    }
}

#[test]
fn a_line_of_64_limits_ends_the_file_and_one_byte_less_does_not() {
    let options = options(10);
    for (length, endless) in [(640, false), (641, true)] {
        let text = [b"a\n".to_vec(), b"x".repeat(length), b"\nb\n".to_vec()].concat();
        for block in [1, 7, 64, 4096] {
            let reading = read(&text, 1, &options, block);
            assert_eq!(reading.endless, endless, "{length} bytes in blocks of {block}");
            assert_eq!(reading, reference(&text, 1, &options));
        }
    }
}
