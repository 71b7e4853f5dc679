//! The reader, driven as the pipeline drives it, but with blocks of any size and chunks parsed in any order.

use std::path::Path;

use polars::prelude::AnyValue;

use super::case::{Case, Reading, Rejected};
use super::values::Cell;
use crate::config::{Pipeline, parse};
use crate::csv::block::BlockError;
use crate::csv::{Batch, Blocks, Chunk, Dialect, Header, Layout, Parser, Position, Reject};
use crate::job::QuarantineReason;

/// Reads a case in blocks of `block` bytes; the last chunk is parsed first, as a thread may.
pub(super) fn read(case: &Case, block: usize) -> Reading {
    let mut blocks = Blocks::new(case.text.as_slice(), Dialect::from(&case.csv), block, case.bom);
    let head = blocks.head(case.csv.skip_lines, case.csv.header).unwrap();
    let layout = if case.csv.header {
        let Some(text) = &head.header else { return Reading::refused(QuarantineReason::HeaderMismatch) };
        let header = Header::parse(text, &head.ends, case.csv.quote);
        match header.and_then(|header| header.layout(&pipeline(case))) {
            Ok(layout) => layout,
            Err(error) => return Reading::refused(error.reason),
        }
    } else {
        Layout::positional(&case.columns)
    };
    let mut chunks = Vec::new();
    loop {
        match blocks.next_chunk(Vec::new()) {
            Ok(Some(chunk)) => chunks.push(within_memory(chunk, block, case)),
            Ok(None) => break,
            Err(BlockError::Endless { .. }) => return Reading::refused(QuarantineReason::RecordTooLarge),
            Err(BlockError::Io(error)) => panic!("{error}"),
        }
    }
    let parser = Parser::new(&case.csv, &layout);
    let mut batches: Vec<_> = chunks.into_iter().rev().map(|chunk| parser.parse(chunk).unwrap()).collect();
    batches.reverse();
    if batches.iter().any(|batch| batch.endless.is_some()) {
        return Reading::refused(QuarantineReason::RecordTooLarge);
    }
    let mut reading = Reading {
        drift: layout.drift.clone(),
        names: layout.sources.iter().map(|source| source.column.name.clone()).collect(),
        lines: head.lines,
        blank_lines: head.blank_lines,
        ..Reading::default()
    };
    for batch in batches {
        reading.take(batch);
    }
    reading.told()
}

/// A chunk holds no more than a block and one record, whatever the text.
fn within_memory(chunk: Chunk, block: usize, case: &Case) -> Chunk {
    let most = block.max(1) + case.csv.max_record_bytes + 2;
    assert!(chunk.text.len() <= most, "a chunk of {} bytes, at most {most} are allowed", chunk.text.len());
    assert!(chunk.text.capacity() <= 2 * most + 64, "a buffer of {} bytes for {most}", chunk.text.capacity());
    chunk
}

impl Reading {
    fn take(&mut self, mut batch: Batch) {
        let base = Position { records: self.records, lines: self.lines, offset: Some(batch.offset()) };
        batch.shift(&base);
        self.rows.extend(rows(&batch.frame));
        self.rejects.extend(batch.rejects.into_iter().map(Rejected::from));
        self.records += batch.records;
        self.lines += batch.lines;
        self.blank_lines += batch.blank_lines;
    }
}

impl From<Reject> for Rejected {
    fn from(reject: Reject) -> Self {
        let Reject { record, line, byte_offset, column, reason, raw, .. } = reject;
        Self { record, line, offset: byte_offset.unwrap_or(Self::NO_OFFSET), column, reason, raw }
    }
}

/// The rows of a frame as cells.
pub(super) fn rows(frame: &polars::prelude::DataFrame) -> Vec<Vec<Option<Cell>>> {
    let of = |row: usize| frame.columns().iter().map(|column| cell(&column.get(row).unwrap())).collect();
    (0..frame.height()).map(of).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "no column of ours holds the others")]
fn cell(value: &AnyValue<'_>) -> Option<Cell> {
    Some(match value {
        AnyValue::Null => return None,
        AnyValue::String(text) => Cell::Text((*text).to_owned()),
        AnyValue::StringOwned(text) => Cell::Text(text.to_string()),
        AnyValue::Boolean(truth) => Cell::Bool(*truth),
        AnyValue::Int8(whole) => Cell::Whole((*whole).into()),
        AnyValue::Int16(whole) => Cell::Whole((*whole).into()),
        AnyValue::Int32(whole) | AnyValue::Date(whole) => Cell::Whole((*whole).into()),
        AnyValue::Int64(whole) | AnyValue::Time(whole) => Cell::Whole((*whole).into()),
        AnyValue::Datetime(micros, ..) | AnyValue::DatetimeOwned(micros, ..) => Cell::Whole((*micros).into()),
        AnyValue::UInt8(whole) => Cell::Whole((*whole).into()),
        AnyValue::UInt16(whole) => Cell::Whole((*whole).into()),
        AnyValue::UInt32(whole) => Cell::Whole((*whole).into()),
        AnyValue::UInt64(whole) => Cell::Whole((*whole).into()),
        AnyValue::Decimal(digits, ..) => Cell::Whole(*digits),
        AnyValue::Float32(value) => Cell::Bits(value.to_bits().into()),
        AnyValue::Float64(value) => Cell::Bits(value.to_bits()),
        other => panic!("no column holds {other:?}"),
    })
}

/// A pipeline of the case's columns; the rest of it is of no meaning here.
pub(super) fn pipeline(case: &Case) -> Pipeline {
    static PLAIN: std::sync::OnceLock<Pipeline> = std::sync::OnceLock::new();
    let plain = PLAIN.get_or_init(|| {
        let config = parse("[pipelines.p.columns]\na = \"string\"\n", Path::new("/nowhere/forebay.toml")).unwrap();
        config.pipelines[0].as_ref().clone()
    });
    Pipeline { csv: case.csv.clone(), columns: case.columns.clone(), drift: case.drift, ..plain.clone() }
}
