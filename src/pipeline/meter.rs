//! What each stage costs: time worked over all threads, and the highest resident memory seen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::Span;

use crate::clock::Clock;
use crate::job::{Job, Stage, StageCost};
use crate::telemetry;
use crate::telemetry::process::resident_bytes;

/// A sample of the resident memory serves for so long: it is three system calls, and a small file is done in less.
const SAMPLE_LASTS: Duration = Duration::from_millis(5);

/// The cost of one job, shared by its threads.
pub struct Meter<'c> {
    clock: &'c dyn Clock,
    stages: Vec<Entry>,
    /// The last sample of the resident memory, and when the next is due, in nanoseconds.
    resident: AtomicU64,
    sample_due: AtomicU64,
}

struct Entry {
    stage: Stage,
    span: Span,
    busy_nanos: AtomicU64,
    peak_rss: AtomicU64,
}

impl<'c> Meter<'c> {
    /// Starts at zero, with one span per stage of `job`.
    pub fn new(clock: &'c dyn Clock, job: &Job) -> Self {
        let entry = |stage: &Stage| Entry {
            stage: *stage,
            span: telemetry::span(job, *stage),
            busy_nanos: AtomicU64::new(0),
            peak_rss: AtomicU64::new(0),
        };
        let stages = Stage::ALL.iter().map(entry).collect();
        Self { clock, stages, resident: AtomicU64::new(0), sample_due: AtomicU64::new(0) }
    }

    /// Runs `work` as part of `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let Some(entry) = self.stages.iter().find(|entry| entry.stage == stage) else { return work() };
        let began = self.clock.monotonic();
        let result = entry.span.in_scope(work);
        let ended = self.clock.monotonic();
        entry.busy_nanos.fetch_add(nanos(ended.saturating_sub(began)), Ordering::Relaxed);
        entry.peak_rss.fetch_max(self.resident_at(ended), Ordering::Relaxed);
        result
    }

    /// Returns the resident memory, as of a moment ago.
    fn resident_at(&self, now: Duration) -> u64 {
        if nanos(now) >= self.sample_due.load(Ordering::Acquire) {
            self.resident.store(resident_bytes(), Ordering::Relaxed);
            self.sample_due.store(nanos(now + SAMPLE_LASTS), Ordering::Release);
        }
        self.resident.load(Ordering::Relaxed)
    }

    /// Returns the cost of every stage that ran.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 nanoseconds are 104 days")]
    pub fn costs(&self) -> BTreeMap<Stage, StageCost> {
        let cost = |entry: &Entry| StageCost {
            busy_seconds: entry.busy_nanos.load(Ordering::Relaxed) as f64 / 1e9,
            peak_rss_bytes: entry.peak_rss.load(Ordering::Relaxed),
        };
        let ran = self.stages.iter().filter(|entry| entry.peak_rss.load(Ordering::Relaxed) > 0);
        ran.map(|entry| (entry.stage, cost(entry))).collect()
    }

    /// Returns the highest resident memory seen in any stage, in bytes.
    #[must_use]
    pub fn peak_rss_bytes(&self) -> u64 {
        self.stages.iter().map(|entry| entry.peak_rss.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
