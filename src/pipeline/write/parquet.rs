//! A Parquet file: rows gathered into row groups, encoded on all cores, written in file order.
//!
//! A group ends at a number of rows or bytes, never because a thread was ready: the same rows give the same file.

pub mod compress;
pub mod dictionary;
pub mod encode;
pub mod indices;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, sync_channel};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use polars_parquet::write::{ParquetType, Version, WriteOptions};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::sink::Sink;
use encode::Pages;

/// Rows gathered for one row group: large enough for good encodings, small enough to hold.
const ROW_GROUP_ROWS: usize = 128 << 10;

/// Bytes that end a row group early: rows may be wide, and rejects carry their records.
const ROW_GROUP_BYTES: usize = 48 << 20;

/// Rows from which other threads help: below, telling them takes longer than the work.
const SHARED_ROWS: usize = 8 << 10;

/// Row groups being encoded while the next one is gathered.
const GROUPS_IN_FLIGHT: usize = 2;

/// Larger than the plain values of one group: a column of a group is one page.
const PAGE_BYTES: usize = 4 << 20;

/// Threads for encoding, one per core; `None` if the system has none to give, and every writer encodes on its own.
///
/// Not those of Polars: a rule waiting for its turn behind a row group would stop the parsing.
static ENCODERS: LazyLock<Option<ThreadPool>> =
    LazyLock::new(|| ThreadPoolBuilder::new().thread_name(|_| "encode".to_owned()).build().ok());

/// A Parquet file while it is written.
pub struct ParquetFile<'p> {
    writer: BatchedWriter<Sink<'p>>,
    fields: Vec<ParquetType>,
    options: WriteOptions,
    group_rows: usize,
    pending: DataFrame,
    in_flight: VecDeque<Group>,
}

/// A row group whose columns are being encoded.
struct Group {
    rows: u64,
    columns: Vec<Receiver<PolarsResult<Pages>>>,
}

impl<'p> ParquetFile<'p> {
    /// Starts a file for rows of `schema`.
    pub fn new(sink: Sink<'p>, compression: ParquetCompression, schema: &Schema) -> PolarsResult<Self> {
        let mut writer = ParquetWriter::new(sink).with_compression(compression).batched(schema)?;
        let fields = writer.parquet_schema().fields().to_vec();
        let options = WriteOptions {
            statistics: StatisticsOptions::default(),
            version: Version::V1,
            compression: compression.into(),
            data_page_size: Some(PAGE_BYTES),
        };
        let pending = DataFrame::empty_with_schema(schema);
        Ok(Self { writer, fields, options, group_rows: ROW_GROUP_ROWS, pending, in_flight: VecDeque::new() })
    }

    /// Ends row groups after so many rows already.
    pub const fn set_group_rows(&mut self, rows: usize) {
        self.group_rows = rows;
    }

    /// Appends rows.
    pub fn write(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        self.pending.vstack_mut(frame)?;
        if self.pending.height() >= self.group_rows || self.pending.estimated_size() >= ROW_GROUP_BYTES {
            self.end_group()?;
        }
        while self.in_flight.len() > GROUPS_IN_FLIGHT {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and the footer.
    pub fn finish(&mut self) -> PolarsResult<()> {
        if self.pending.height() > 0 {
            self.end_group()?;
        }
        while !self.in_flight.is_empty() {
            self.write_group()?;
        }
        self.writer.finish().map(|_| ())
    }

    fn end_group(&mut self) -> PolarsResult<()> {
        let empty = self.pending.clear();
        let group = std::mem::replace(&mut self.pending, empty);
        if group.height() >= SHARED_ROWS
            && let Some(encoders) = ENCODERS.as_ref()
        {
            self.in_flight.push_back(self.share(group, encoders));
            return Ok(());
        }
        while !self.in_flight.is_empty() {
            self.write_group()?;
        }
        let mut leaves = Vec::new();
        for (column, kind) in group.columns().iter().zip(&self.fields) {
            leaves.extend(encode::column(column, kind, self.options)?);
        }
        self.writer.write_row_group(group.height() as u64, &leaves)
    }

    /// Hands every column of a group to whatever thread is free.
    fn share(&self, group: DataFrame, encoders: &ThreadPool) -> Group {
        let rows = group.height() as u64;
        let columns = group.into_columns().into_iter().zip(&self.fields).map(|(column, kind)| {
            let (answer, answered) = sync_channel(1);
            let (kind, options) = (kind.clone(), self.options);
            encoders.spawn_fifo(move || {
                // A panic must answer too, and must not end the process.
                let encoded = catch_unwind(AssertUnwindSafe(|| encode::column(&column, &kind, options)));
                drop(column);
                // Nobody waits any more if the job has failed elsewhere.
                answer.send(encoded.unwrap_or_else(|_| Err(panicked()))).ok();
            });
            answered
        });
        Group { rows, columns: columns.collect() }
    }

    /// Waits for the oldest group and writes it.
    fn write_group(&mut self) -> PolarsResult<()> {
        let Some(group) = self.in_flight.pop_front() else { return Ok(()) };
        let mut leaves = Vec::with_capacity(group.columns.len());
        for column in group.columns {
            leaves.extend(column.recv().unwrap_or_else(|_| Err(panicked()))?);
        }
        self.writer.write_row_group(group.rows, &leaves)
    }
}

fn panicked() -> PolarsError {
    polars_err!(ComputeError: "encoding a column panicked")
}
