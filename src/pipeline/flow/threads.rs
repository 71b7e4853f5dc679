//! Chunks out of the input, over a few threads, back into file order. The buffers are the permits.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::Worked;
use crate::csv::block::BlockError;
use crate::csv::{Blocks, Chunk};
use crate::job::{JobError, RetryReason, Stage};
use crate::pipeline::alone::Alone;
use crate::pipeline::meter::Meter;

pub(super) type Work<'w> = dyn Fn(Chunk) -> Result<Worked, JobError> + Sync + 'w;
pub(super) type Consume<'w> = dyn FnMut(Worked) -> Result<Vec<u8>, JobError> + 'w;
pub(super) type Fail<'w> = dyn Fn(BlockError) -> JobError + Sync + 'w;
type Text = Box<dyn std::io::Read + Send>;

/// Takes one chunk after the other, on the thread that asks.
pub(super) fn inline(
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

/// Loads on one thread and parses on a few; `consume` is called on the thread that asks, in file order.
pub(super) fn threaded(
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
