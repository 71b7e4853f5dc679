//! `rejects.parquet`: one row per rejected record, in file order. Only files with rejects have one.

use polars::prelude::*;

use super::rows::RowWriter;
use super::sink::Staging;
use crate::config::{Compression, RowFormat, Rows};
use crate::csv::Reject;
use crate::job::{JobError, OutputFile};
use crate::pipeline::flow::query_failed;

/// Its name in the output directory.
pub const FILE_NAME: &str = "rejects.parquet";

/// Rejects carry their records, so they are let go of sooner than rows.
const ROW_GROUP_ROWS: usize = 16 << 10;

/// Writes rejects as they come.
pub struct RejectWriter<'p> {
    staging: Staging<'p>,
    writer: Option<RowWriter<'p>>,
}

impl<'p> RejectWriter<'p> {
    /// Creates no file until the first reject.
    #[must_use]
    pub const fn new(staging: Staging<'p>) -> Self {
        Self { staging, writer: None }
    }

    /// Appends rejects.
    pub fn write(&mut self, rejects: &[Reject]) -> Result<(), JobError> {
        if rejects.is_empty() {
            return Ok(());
        }
        let frame = frame(rejects).map_err(|error| query_failed(&error))?;
        let writer = if let Some(writer) = &mut self.writer {
            writer
        } else {
            let rows = Rows { format: RowFormat::Parquet, compression: Compression::Zstd, partition_by: Vec::new() };
            let writer = RowWriter::new(&self.staging, FILE_NAME, &rows, frame.schema())?;
            self.writer.insert(writer.with_group_rows(ROW_GROUP_ROWS))
        };
        writer.write(&frame)
    }

    /// Ends the file, if there is one.
    pub fn finish(&mut self) -> Result<Option<OutputFile>, JobError> {
        self.writer.take().map(RowWriter::finish).transpose()
    }
}

/// Returns rejects as the frame they are stored as.
pub fn frame(rejects: &[Reject]) -> PolarsResult<DataFrame> {
    let text = |name: &str, get: fn(&Reject) -> Option<&str>| {
        let values: StringChunked = rejects.iter().map(get).collect();
        values.with_name(name.into()).into_column()
    };
    let number = |name: &str, get: fn(&Reject) -> Option<u64>| {
        let values: UInt64Chunked = rejects.iter().map(get).collect();
        values.with_name(name.into()).into_column()
    };
    let raw: BinaryChunked = rejects.iter().map(|reject| Some(reject.raw.as_slice())).collect();
    DataFrame::new(
        rejects.len(),
        vec![
            number("record", |reject| Some(reject.record)),
            number("line", |reject| Some(reject.line)),
            number("byte_offset", |reject| reject.byte_offset),
            text("column", |reject| reject.column.as_deref()),
            text("reason", |reject| Some(reject.reason.as_str())),
            text("rule", |reject| reject.rule.as_deref()),
            text("detail", |reject| Some(&reject.detail)),
            raw.with_name("raw".into()).into_column(),
        ],
    )
}
