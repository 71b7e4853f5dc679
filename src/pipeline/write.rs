//! The outputs of one job, as files in its staging directory.

pub mod parquet;
pub mod partition;
pub mod rejects;
pub mod rows;
pub mod sink;

use std::collections::BTreeMap;
use std::path::Path;

use polars::prelude::*;

use super::flow::Batches;
use crate::config::{Compression, Pipeline, RowFormat, Rows};
use crate::job::{JobError, OutputFile, Progress};
use partition::PartitionWriter;
use rejects::RejectWriter;
use rows::RowWriter;
use sink::Staging;

/// Every output of one job, while it is written.
pub struct Outputs<'p> {
    pipeline: &'p Pipeline,
    staging: Staging<'p>,
    rows: Option<RowOutput<'p>>,
    /// Rows for the aggregates, where the rows output cannot be scanned.
    spool: Option<RowWriter<'p>>,
    rejects: RejectWriter<'p>,
    files: BTreeMap<String, OutputFile>,
}

enum RowOutput<'p> {
    None,
    Single { name: &'static str, writer: Box<RowWriter<'p>> },
    Partitioned(PartitionWriter<'p>),
}

/// Name of the spool: a dot file, never published.
const SPOOL: &str = ".rows-for-aggregates.arrow";

impl<'p> Outputs<'p> {
    /// Starts without any file; each is made when its first rows come.
    pub fn new(pipeline: &'p Pipeline, directory: &Path, progress: &'p (dyn Fn(Progress) + Sync)) -> Self {
        let staging = Staging::new(directory.to_owned(), progress);
        Self {
            pipeline,
            rows: None,
            spool: None,
            rejects: RejectWriter::new(staging.clone()),
            staging,
            files: BTreeMap::new(),
        }
    }

    /// Writes one batch. The first tells the schema.
    pub fn write(&mut self, batch: &Batches<'_>) -> Result<(), JobError> {
        self.rejects.write(batch.rejects)?;
        if self.rows.is_none() {
            self.start(batch.frame.schema())?;
        }
        match self.rows.as_mut() {
            Some(RowOutput::Single { writer, .. }) => writer.write(batch.frame)?,
            Some(RowOutput::Partitioned(writer)) => writer.write(batch.frame)?,
            Some(RowOutput::None) | None => {}
        }
        match self.spool.as_mut() {
            Some(spool) => spool.write(batch.frame),
            None => Ok(()),
        }
    }

    fn start(&mut self, schema: &Schema) -> Result<(), JobError> {
        let rows = &self.pipeline.rows;
        self.rows = Some(if rows.format == RowFormat::None {
            RowOutput::None
        } else if rows.partition_by.is_empty() {
            let name = rows::file_name(rows);
            RowOutput::Single { name, writer: Box::new(RowWriter::new(&self.staging, name, rows, schema)?) }
        } else {
            RowOutput::Partitioned(PartitionWriter::new(self.staging.clone(), rows.clone()))
        });
        if self.needs_spool() {
            let spool = Rows { format: RowFormat::Ipc, compression: Compression::None, partition_by: Vec::new() };
            self.spool = Some(RowWriter::new(&self.staging, SPOOL, &spool, schema)?);
        }
        Ok(())
    }

    /// Whether an aggregate must see all rows at once, and cannot scan the output for them.
    fn needs_spool(&self) -> bool {
        !self.rows_can_be_scanned() && self.pipeline.aggregates.iter().any(|aggregate| aggregate.steps.is_none())
    }

    fn rows_can_be_scanned(&self) -> bool {
        let rows = &self.pipeline.rows;
        matches!(rows.format, RowFormat::Parquet | RowFormat::Ipc) && rows.partition_by.is_empty()
    }

    /// Finishes `rejects.parquet`, also of a file that is refused.
    pub fn finish_rejects(&mut self) -> Result<(), JobError> {
        if let Some(file) = self.rejects.finish()? {
            self.files.insert(rejects::FILE_NAME.to_owned(), file);
        }
        Ok(())
    }

    /// Finishes the rows.
    pub fn finish_rows(&mut self) -> Result<(), JobError> {
        match self.rows.take() {
            Some(RowOutput::Single { name, writer }) => {
                self.files.insert(name.to_owned(), writer.finish()?);
            }
            Some(RowOutput::Partitioned(writer)) => self.files.extend(writer.finish()?),
            Some(RowOutput::None) | None => {}
        }
        if let Some(spool) = self.spool.take() {
            spool.finish()?;
        }
        Ok(())
    }

    /// Returns the finished rows for queries; call it after [`Outputs::finish_rows`].
    pub fn scan(&self) -> PolarsResult<LazyFrame> {
        let (name, parquet) = if self.rows_can_be_scanned() {
            (rows::file_name(&self.pipeline.rows), self.pipeline.rows.format == RowFormat::Parquet)
        } else {
            (SPOOL, false)
        };
        let path = self.staging.path(name);
        // Our own paths may hold characters of a glob; they mean themselves.
        let plain = PlRefPath::try_from_path(&path)?;
        if parquet {
            LazyFrame::scan_parquet(plain, ScanArgsParquet { glob: false, ..Default::default() })
        } else {
            let args = UnifiedScanArgs { glob: false, ..Default::default() };
            LazyFrame::scan_ipc(plain, IpcScanOptions::default(), args)
        }
    }

    /// Writes one aggregate as `<name>.parquet`.
    pub fn write_aggregate(&mut self, name: &str, frame: &DataFrame) -> Result<(), JobError> {
        let name = format!("{name}.parquet");
        let file = rows::write_parquet(&self.staging, &name, frame)?;
        self.files.insert(name, file);
        Ok(())
    }

    /// Removes the spool, if there is one.
    pub fn drop_spool(&mut self) -> Result<(), JobError> {
        if self.needs_spool() { self.staging.remove(SPOOL) } else { Ok(()) }
    }

    /// Returns the finished files.
    #[must_use]
    pub fn into_files(self) -> BTreeMap<String, OutputFile> {
        self.files
    }
}
