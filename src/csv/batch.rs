//! A chunk of text into a typed frame and its rejects.

use polars::prelude::*;

use super::block::Chunk;
use super::builder::{Builder, TILE_ROWS};
use super::column::{ColumnReader, Faults, Fields};
use super::header::Layout;
use super::index::Index;
use super::record::Dialect;
use super::reject::{Position, Reject};
use crate::config::CsvOptions;
use crate::job::RejectReason;

/// Parses chunks of one file. Shared by threads.
#[derive(Debug)]
pub struct Parser {
    dialect: Dialect,
    width: usize,
    /// In the order of the frame's columns.
    readers: Vec<ColumnReader>,
    /// Indices into `readers` in the order of the file's fields.
    file_order: Vec<usize>,
}

/// The rows and rejects of one chunk. Positions count from the chunk's start until [`Batch::shift`].
#[derive(Debug)]
pub struct Batch {
    /// Rows that are of their columns' types: one column per source of the layout.
    pub frame: DataFrame,
    /// Records that are not, in no particular order.
    pub rejects: Vec<Reject>,
    /// All records.
    pub records: u64,
    /// All physical lines.
    pub lines: u64,
    /// Empty lines.
    pub blank_lines: u64,
    /// Start of a record so long that the file is none of records, from the chunk's start.
    pub endless: Option<u64>,
    chunk: Chunk,
    index: Index,
    /// Row of the frame to row of the index; `None`: the same.
    rows: Option<Vec<usize>>,
}

impl Parser {
    /// Returns a parser for files of this layout.
    #[must_use]
    pub fn new(options: &CsvOptions, layout: &Layout) -> Self {
        let readers: Vec<_> = layout.sources.iter().map(|source| ColumnReader::new(source.clone(), options)).collect();
        let mut file_order: Vec<_> = (0..readers.len()).collect();
        file_order.sort_by_key(|reader| readers.get(*reader).and_then(ColumnReader::field));
        Self { dialect: Dialect::from(options), width: layout.width, readers, file_order }
    }

    /// Returns every record of `chunk` as a row or a reject.
    pub fn parse(&self, mut chunk: Chunk) -> PolarsResult<Batch> {
        let mut index = Index::build(&chunk.text, self.width, &self.dialect);
        let mut rejects = std::mem::take(&mut index.rejects);
        let mut faults = Faults::new();
        let fields = Fields { text: &chunk.text, index: &index };
        let mut builders: Vec<_> = self.readers.iter().map(|reader| reader.builder(index.len())).collect();
        for start in (0..index.len()).step_by(TILE_ROWS) {
            let tile = start..index.len().min(start + TILE_ROWS);
            for number in &self.file_order {
                if let Some(builder) = builders.get_mut(*number) {
                    builder.append(fields, tile.clone(), &mut faults);
                }
            }
        }
        let columns = builders.into_iter().map(Builder::finish).collect::<PolarsResult<_>>()?;
        let mut frame = DataFrame::new(index.len(), columns)?;
        let mut rows = None;
        if !faults.is_empty() {
            let kept: Vec<_> = (0..index.len()).filter(|row| !faults.contains_key(row)).collect();
            let mask: BooleanChunked = (0..index.len()).map(|row| !faults.contains_key(&row)).collect();
            frame = frame.filter_seq(&mask)?;
            rows = Some(kept);
        }
        for (row, fault) in faults {
            let mut reject = index.reject_row(&chunk.text, row, fault.reason, fault.detail);
            reject.column = Some(fault.column);
            rejects.push(reject);
        }
        let (mut records, mut lines) = (index.record_count, index.line_count);
        if let Some(oversized) = chunk.oversized.take() {
            if let Some(mut reject) = oversized.reject {
                let base = Position { records, lines, offset: Some(chunk.text.len() as u64) };
                reject.shift(&base);
                rejects.push(reject);
                records += 1;
            }
            lines += oversized.lines;
        }
        let (blank_lines, endless) = (index.blank_lines, index.endless);
        Ok(Batch { frame, rejects, records, lines, blank_lines, endless, chunk, index, rows })
    }
}

impl Batch {
    /// Returns a reject for row `row` of the frame as parsed.
    #[must_use]
    pub fn reject_row(&self, row: usize, rule: &str, detail: String) -> Reject {
        let row = self.rows.as_ref().map_or(row, |rows| rows.get(row).copied().unwrap_or(row));
        let mut reject = self.index.reject_row(&self.chunk.text, row, RejectReason::Rule, detail);
        reject.rule = Some(rule.to_owned());
        reject
    }

    /// Turns positions within the chunk into positions within the file, and puts rejects in file order.
    pub fn shift(&mut self, base: &Position) {
        for reject in &mut self.rejects {
            reject.shift(base);
        }
        self.rejects.sort_by_key(|reject| reject.record);
    }

    /// Returns the offset of the chunk in the text.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.chunk.offset
    }

    /// Returns the bytes parsed.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.chunk.text.len() as u64
    }

    /// Gives the text's buffer back for reuse.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.chunk.text
    }
}
