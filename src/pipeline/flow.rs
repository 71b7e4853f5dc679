//! The flow of one file: chunks out of the input, over a few threads, back into file order.
//!
//! Small inputs run on the calling thread. Larger ones get a loading thread and a few parsing threads; the buffers
//! themselves are the permits, so a slow writer stops the reader, and memory is bounded by their number.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use polars::prelude::{DataFrame, PolarsError};
use tokio_util::sync::CancellationToken;

use super::aggregate;
use super::alone::Alone;
use super::clean::{Cleaned, Cleaner};
use super::load::{self, Input, Tracker};
use super::meter::Meter;
use super::no_rejects;
use crate::config::Pipeline;
use crate::csv::block::{BlockError, Head};
use crate::csv::reject::Position;
use crate::csv::{Blocks, Chunk, Dialect, Header, HeaderError, Layout, Parser, Reject};
use crate::job::{
    DriftKind, InputFacts, Job, JobError, Progress, QuarantineReason, RejectReason, RetryReason, RowCounts, Stage,
};

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

/// What a whole file added up to.
#[derive(Debug, Clone)]
pub struct Totals {
    /// The input as read.
    pub input: InputFacts,
    /// The counts.
    pub rows: RowCounts,
    /// Empty lines.
    pub blank_lines: u64,
    /// Rejects by reason, every reason present.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Rows rejected by each rule, in config order.
    pub rejects_by_rule: Vec<u64>,
    /// Rows failing each rule, in config order.
    pub violations: Vec<u64>,
    /// How the header differs from the config.
    pub drift: BTreeMap<DriftKind, u64>,
    /// Bytes of text parsed.
    pub text_bytes: u64,
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

type Work<'w> = dyn Fn(Chunk) -> Result<Worked, JobError> + Sync + 'w;
type Consume<'w> = dyn FnMut(Worked) -> Result<Vec<u8>, JobError> + 'w;
type Fail<'w> = dyn Fn(BlockError) -> JobError + Sync + 'w;
type Text = Box<dyn std::io::Read + Send>;

fn inline(
    blocks: &mut Blocks<Text>,
    meter: &Meter<'_>,
    work: &Work<'_>,
    consume: &mut Consume<'_>,
    fail: &Fail<'_>,
) -> Result<(), JobError> {
    let mut spare = Vec::new();
    while let Some(chunk) = meter.time(Stage::Load, || blocks.next_chunk(spare)).map_err(fail)? {
        spare = consume(work(chunk)?)?;
    }
    Ok(())
}

fn threaded(
    mut blocks: Blocks<Text>,
    meter: &Meter<'_>,
    work: &Work<'_>,
    consume: &mut Consume<'_>,
    fail: &Fail<'_>,
) -> Result<(), JobError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // One being loaded, one being written, and a few ready, so that a row group being encoded does not stop the parsers.
    let permits = threads + 4;
    let (give_back, spares) = sync_channel(permits);
    for _ in 0..permits {
        give_back.send(Vec::new()).map_err(|_| gone())?;
    }
    let (chunk_out, chunk_in) = sync_channel(permits);
    let (done_out, done_in) = sync_channel(permits);
    let chunk_in = Mutex::new(chunk_in);
    std::thread::scope(|scope| {
        named("load")
            .spawn_scoped(scope, move || load_chunks(&mut blocks, meter, &spares, &chunk_out))
            .map_err(none)?;
        for _ in 0..threads {
            let (chunk_in, done_out) = (&chunk_in, done_out.clone());
            named("parse").spawn_scoped(scope, move || work_chunks(chunk_in, &done_out, work, fail)).map_err(none)?;
        }
        drop(done_out);
        // Both ends move in here, so that an early return ends the threads: their next send or receive fails.
        consume_in_order(done_in, give_back, consume)
    })
}

/// Threads have the name of their stage, for whoever looks at the process.
fn named(stage: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(stage.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape `map_err` asks for")]
fn none(error: std::io::Error) -> JobError {
    JobError::Retry { reason: RetryReason::Io, message: format!("no thread to be had: {error}") }
}

/// A numbered piece of the file on its way to the workers.
type Numbered<T, E> = (u64, Result<T, E>);

fn load_chunks(
    blocks: &mut Blocks<Text>,
    meter: &Meter<'_>,
    spares: &Receiver<Vec<u8>>,
    out: &SyncSender<Numbered<Chunk, BlockError>>,
) {
    let mut number = 0;
    while let Ok(spare) = spares.recv() {
        let Some(chunk) = meter.time(Stage::Load, || blocks.next_chunk(spare)).transpose() else { return };
        let failed = chunk.is_err();
        if out.send((number, chunk)).is_err() || failed {
            return;
        }
        number += 1;
    }
}

fn work_chunks(
    chunks: &Mutex<Receiver<Numbered<Chunk, BlockError>>>,
    out: &SyncSender<Numbered<Worked, JobError>>,
    work: &Work<'_>,
    fail: &Fail<'_>,
) {
    let _alone = Alone::begin();
    loop {
        let received = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, chunk)) = received else { return };
        // A panic must answer too: everyone would wait for this chunk for ever.
        let attempt = AssertUnwindSafe(|| chunk.map_err(fail).and_then(work));
        let cleaned = catch_unwind(attempt).unwrap_or_else(|_| Err(panicked()));
        if out.send((number, cleaned)).is_err() {
            return;
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "dropping the channel ends tells the threads to stop")]
fn consume_in_order(
    done: Receiver<Numbered<Worked, JobError>>,
    give_back: SyncSender<Vec<u8>>,
    consume: &mut Consume<'_>,
) -> Result<(), JobError> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    while let Ok((number, cleaned)) = done.recv() {
        waiting.insert(number, cleaned);
        while let Some(cleaned) = waiting.remove(&next) {
            let spare = consume(cleaned?)?;
            // The loader may be at the end of the file and gone; then nobody needs the buffer.
            give_back.send(spare).ok();
            next += 1;
        }
    }
    // Every chunk was answered; should one ever be missing, no rows may go with it in silence.
    if waiting.is_empty() { Ok(()) } else { Err(gone()) }
}

fn panicked() -> JobError {
    JobError::Retry { reason: RetryReason::Crash, message: "parsing or cleaning a block panicked".to_owned() }
}

fn gone() -> JobError {
    JobError::Retry { reason: RetryReason::Crash, message: "a thread of the job ended early".to_owned() }
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

/// Adds up batches in file order.
struct Accounts {
    at: Position,
    transcoded: bool,
    rows: RowCounts,
    blank_lines: u64,
    rejects: BTreeMap<RejectReason, u64>,
    rejects_by_rule: Vec<u64>,
    violations: Vec<u64>,
    drift: BTreeMap<DriftKind, u64>,
    text_bytes: u64,
}

impl Accounts {
    fn new(pipeline: &Pipeline, drift: BTreeMap<DriftKind, u64>, head: &Head, transcoded: bool) -> Self {
        Self {
            at: Position { records: 0, lines: head.lines, offset: None },
            transcoded,
            rows: RowCounts::default(),
            blank_lines: head.blank_lines,
            rejects: no_rejects(),
            rejects_by_rule: vec![0; pipeline.rules.len()],
            violations: vec![0; pipeline.rules.len()],
            drift,
            text_bytes: 0,
        }
    }

    /// Accounts for a batch, hands it on, and returns its buffer.
    fn take(
        &mut self,
        Worked { cleaned, parts }: Worked,
        take: &mut dyn FnMut(Batches<'_>) -> Result<(), JobError>,
    ) -> Result<Vec<u8>, JobError> {
        let Cleaned { mut batch, frame, dropped, violations, rejected_by, refused } = cleaned;
        self.at.offset = (!self.transcoded).then(|| batch.offset());
        batch.shift(&self.at);
        self.rows += RowCounts {
            read: batch.records,
            written: frame.height() as u64,
            rejected: batch.rejects.len() as u64,
            dropped,
        };
        for reject in &batch.rejects {
            *self.rejects.entry(reject.reason).or_insert(0) += 1;
        }
        add(&mut self.rejects_by_rule, &rejected_by);
        add(&mut self.violations, &violations);
        self.blank_lines += batch.blank_lines;
        self.text_bytes += batch.text_bytes();
        // Also of a refused file: its rejects are kept beside it.
        take(Batches { frame: &frame, rejects: &batch.rejects, parts: &parts })?;
        if let Some(mut reject) = refused {
            reject.shift(&self.at);
            return Err(self.refuse(&reject));
        }
        self.at.records += batch.records;
        self.at.lines += batch.lines;
        Ok(batch.into_buffer())
    }

    fn refuse(&self, reject: &Reject) -> JobError {
        let rule = reject.rule.as_deref().unwrap_or_default();
        JobError::Quarantine {
            reason: QuarantineReason::Rule,
            message: format!("record {} on line {} {} (rule {rule})", reject.record, reject.line, reject.detail),
            hint: "the rule has action = \"quarantine\": mend the file and drop it again, or mend the rule".to_owned(),
            rows: self.rows,
            rejects: self.rejects.clone(),
            drift: self.drift.clone(),
        }
    }

    fn totals(self, input: InputFacts) -> Totals {
        Totals {
            input,
            rows: self.rows,
            blank_lines: self.blank_lines,
            rejects: self.rejects,
            rejects_by_rule: self.rejects_by_rule,
            violations: self.violations,
            drift: self.drift,
            text_bytes: self.text_bytes,
        }
    }
}

fn add(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
