//! One attempt in the air: turns its progress into telemetry and gives back what it told when it lands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Told;
use crate::job::{Job, Progress};
use crate::telemetry::{Telemetry, span};

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
            Progress::Wrote { .. } => {}
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
