//! One attempt in the air: turns its progress into telemetry and gives back what it told when it lands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Told;
use crate::job::{Job, Progress};
use crate::telemetry::{Telemetry, span};

/// Time between two signs of life that are passed on.
const BEAT: Duration = Duration::from_millis(150);

/// Thins out the signs of life of one attempt.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    /// Returns whether it is time to pass one on.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let last = self.0.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= u64::try_from(BEAT.as_millis()).unwrap_or(u64::MAX);
        due && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// One attempt under way.
pub(super) struct Flight {
    telemetry: Telemetry,
    job: Job,
    rows: AtomicU64,
    bytes: AtomicU64,
    stage: Mutex<Option<tracing::Span>>,
}

impl Flight {
    pub(super) const fn of(job: Job, telemetry: Telemetry) -> Self {
        Self { telemetry, job, rows: AtomicU64::new(0), bytes: AtomicU64::new(0), stage: Mutex::new(None) }
    }

    pub(super) fn progress(&self, progress: Progress) {
        match progress {
            Progress::Read { bytes, rows } => {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.rows.fetch_add(rows, Ordering::Relaxed);
            }
            Progress::Stage(stage) => {
                // One span at a time: the next stage ends the one before.
                *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(span(&self.job, stage));
            }
            Progress::Wrote { .. } | Progress::Alive => {}
        }
        self.telemetry.emit(Told::FileProgress { pipeline: &self.job.pipeline, progress });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.telemetry.emit(Told::FileLeftFlight { pipeline: &self.job.pipeline, rows, bytes });
    }
}
