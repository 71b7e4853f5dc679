//! The flow of one file: chunks out of the input, over a few threads, back into file order and into the accounts.
//!
//! Small inputs run on the calling thread. Larger ones get a loading thread and a few parsing threads; the buffers
//! themselves are the permits, so a slow writer stops the reader, and memory is bounded by their number.

mod accounts;
mod threads;

use std::cell::Cell;
use std::collections::BTreeMap;

use accounts::Accounts;
pub use accounts::Totals;
use polars::prelude::{DataFrame, PolarsError};
use threads::{inline, threaded};
use tokio_util::sync::CancellationToken;

use super::aggregate;
use super::clean::{Cleaned, Cleaner};
use super::load::{self, Input, Tracker};
use super::meter::Meter;
use super::no_rejects;
use crate::config::Pipeline;
use crate::csv::block::{BlockError, Head};
use crate::csv::{Blocks, Chunk, Dialect, Header, HeaderError, Layout, Parser, Reject};
use crate::job::{Job, JobError, Progress, QuarantineReason, RetryReason, RowCounts, Stage};

/// Bytes of text per block: large enough to amortise the work per block, small enough to stay in the caches' reach.
pub const BLOCK_BYTES: usize = 4 << 20;

/// One batch in file order, ready to be written.
pub struct Batches<'b> {
    /// Clean rows.
    pub frame: &'b DataFrame,
    /// Rejects, with their positions in the file.
    pub rejects: &'b [Reject],
    /// What the clean rows come to in each aggregate that is computed in steps.
    pub parts: &'b [DataFrame],
}

/// A batch that has been through parse and clean.
struct Worked {
    cleaned: Cleaned,
    parts: Vec<DataFrame>,
}

/// Runs the stages load, parse and clean over the input of `job` and hands every batch to `take`, in file order; the first
/// one, possibly without rows, tells the schema.
pub fn run(
    pipeline: &Pipeline,
    job: &Job,
    stop: &CancellationToken,
    meter: &Meter<'_>,
    progress: &(dyn Fn(Progress) + Sync),
    take: &mut dyn FnMut(Batches<'_>) -> Result<(), JobError>,
) -> Result<Totals, JobError> {
    progress(Progress::Stage(Stage::Load));
    let input = meter.time(Stage::Load, || load::open(job, pipeline.csv.encoding, pipeline.inflate))?;
    let tracker = input.tracker.clone();
    let ended = read(pipeline, job, stop, meter, progress, take, input);
    if matches!(ended, Err(JobError::Quarantine { .. })) {
        // What was read may be half of what the sender is still writing: then it is no reason to refuse the file.
        tracker.check_unchanged(job)?;
    }
    ended
}

fn read(
    pipeline: &Pipeline,
    job: &Job,
    stop: &CancellationToken,
    meter: &Meter<'_>,
    progress: &(dyn Fn(Progress) + Sync),
    take: &mut dyn FnMut(Batches<'_>) -> Result<(), JobError>,
    input: Input,
) -> Result<Totals, JobError> {
    let Input { text, bom_bytes, transcoded, tracker } = input;
    let mut blocks = Blocks::new(text, Dialect::from(&pipeline.csv), BLOCK_BYTES, bom_bytes);
    let head = meter.time(Stage::Load, || blocks.head(pipeline.csv.skip_lines, pipeline.csv.header));
    let head = head.map_err(|error| tracker.failed(&error, job))?;
    let layout = layout(pipeline, &head).map_err(header_refused)?;
    let parser = Parser::new(&pipeline.csv, &layout);
    let cleaner = Cleaner::new(pipeline);
    let mut accounts = Accounts::new(pipeline, layout.drift.clone(), &head, transcoded);
    let work = |chunk: Chunk| process(&parser, &cleaner, pipeline, meter, chunk);
    let mut ticker = Ticker { progress, tracker: tracker.clone(), bytes: 0 };
    let begun = Cell::new(false);
    let mut consume = |worked: Worked| -> Result<Vec<u8>, JobError> {
        begun.set(true);
        if stop.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        ticker.tick(worked.cleaned.batch.records);
        accounts.take(worked, take)
    };
    let fail = |error: BlockError| tracker.failed(&error, job);
    if job.stamp.size <= BLOCK_BYTES as u64 {
        inline(&mut blocks, meter, &work, &mut consume, &fail)?;
    } else {
        threaded(blocks, meter, &work, &mut consume, &fail)?;
    }
    if !begun.get() {
        // A file of no rows has a schema too.
        consume(work(Chunk::default())?)?;
    }
    ticker.tick(0);
    let input = tracker.finish(job)?;
    Ok(accounts.totals(input))
}

fn layout(pipeline: &Pipeline, head: &Head) -> Result<Layout, HeaderError> {
    if !pipeline.csv.header {
        return Ok(Layout::positional(&pipeline.columns));
    }
    let mismatch = |message: String| HeaderError {
        reason: QuarantineReason::HeaderMismatch,
        message,
        hint: "check csv.skip_lines, csv.header and csv.quote against the file".to_owned(),
        drift: BTreeMap::new(),
    };
    if let Some(fault) = &head.fault {
        return Err(mismatch(format!("the header (line {}) cannot be read: {fault}", head.lines + 1)));
    }
    let Some(text) = &head.header else {
        return Err(mismatch("there is no header: the file has no line with text".to_owned()));
    };
    Header::parse(text, &head.ends, pipeline.csv.quote)?.layout(pipeline)
}

fn header_refused(error: HeaderError) -> JobError {
    let HeaderError { reason, message, hint, drift } = error;
    let (rows, rejects) = (RowCounts::default(), no_rejects());
    JobError::Quarantine { reason, message, hint, rows, rejects, drift }
}

fn process(
    parser: &Parser,
    cleaner: &Cleaner<'_>,
    pipeline: &Pipeline,
    meter: &Meter<'_>,
    chunk: Chunk,
) -> Result<Worked, JobError> {
    let batch = meter.time(Stage::Parse, || parser.parse(chunk)).map_err(|error| query_failed(&error))?;
    if let Some(start) = batch.endless {
        return Err(JobError::refuse(
            QuarantineReason::RecordTooLarge,
            format!(
                "the record at byte {} has no line end within 64 times csv.max_record_bytes",
                batch.offset() + start
            ),
            "this is no file of records; if it is, raise csv.max_record_bytes or check csv.quote",
        ));
    }
    let clean = meter.time(Stage::Clean, || cleaner.clean(batch)).map_err(|error| query_failed(&error))?;
    let parts = if pipeline.aggregates.is_empty() || clean.frame.height() == 0 {
        Vec::new()
    } else {
        let parts = meter.time(Stage::Aggregate, || aggregate::parts(&pipeline.aggregates, &clean.frame));
        parts.map_err(|error| query_failed(&error))?
    };
    Ok(Worked { cleaned: clean, parts })
}

/// An expression that compiled but cannot be computed over these rows. The text of a Polars error may quote cells, so only
/// its first line is kept, and it goes to the quarantine's explanation, never to a label.
pub(super) fn query_failed(error: &PolarsError) -> JobError {
    if let PolarsError::IO { error, .. } = error {
        return JobError::Retry {
            reason: retry_reason(error.kind()),
            message: format!("a query failed to read: {error}"),
        };
    }
    let text = error.to_string();
    let first: String = text.lines().next().unwrap_or_default().chars().take(300).collect();
    JobError::refuse(
        QuarantineReason::Query,
        format!("an expression could not be computed over these rows: {first}"),
        "check derive, rules and aggregates against the values of this file",
    )
}

/// Returns why an I/O error is tried again.
pub(super) fn retry_reason(kind: std::io::ErrorKind) -> RetryReason {
    let full = matches!(kind, std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    if full { RetryReason::DiskFull } else { RetryReason::Io }
}

/// Tells progress per batch.
struct Ticker<'p> {
    progress: &'p (dyn Fn(Progress) + Sync),
    tracker: Tracker,
    bytes: u64,
}

impl Ticker<'_> {
    fn tick(&mut self, rows: u64) {
        let total = self.tracker.bytes();
        let bytes = total - self.bytes;
        self.bytes = total;
        (self.progress)(Progress::Read { bytes, rows });
    }
}
