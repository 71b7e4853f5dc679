//! What the engine tells, with the names and numbers people want to see beside it.

use super::failing::FULL;
use super::{Notice, Shared, Told};
use crate::engine::Tell;
use crate::job::{FileId, RetryReason, display_name};
use crate::telemetry::event::Resource;

impl Shared {
    /// Tells people what the engine wants told.
    pub(super) fn tell(&self, tell: Tell) {
        match tell {
            Tell::Discovered { pipeline, name, bytes, source, at } => {
                let name = display_name(&name);
                self.telemetry.emit(Told::FileDiscovered { pipeline: &pipeline, name: &name, bytes, source, at });
            }
            Tell::Ignored { pipeline, name, kind } => {
                self.telemetry.emit(Told::FileIgnored { pipeline: &pipeline, name: &display_name(&name), kind });
            }
            Tell::Scanned { pipeline, missed } => {
                self.telemetry.emit(Told::Scanned { pipeline: &pipeline, at: self.clock.now(), missed });
            }
            Tell::ScanFailed { pipeline, message } => {
                self.telemetry.emit(Told::ScanFailed { pipeline: &pipeline, message: &message });
            }
            Tell::ClaimFailed { pipeline, name, disk_full, message, delay } => {
                let (name, delay) = (display_name(&name), delay.as_secs_f64());
                let message = format!("{pipeline}: cannot claim {name}: {message}; next try in {delay:.1} s");
                let [component, kind] = if disk_full { FULL } else { ["publish", "claim"] };
                self.error(component, kind, &message);
            }
            Tell::Retried { id, reason, message, delay } => self.tell_retried(&id, reason, &message, delay),
            // What failed was told where it did: there it is known at which step.
            Tell::Stuck { id, message, delay } => {
                let delay_seconds = delay.as_secs_f64();
                tracing::debug!(file_id = id.as_str(), detail = message, delay_seconds, "the step is tried again");
            }
            Tell::MemoryWait { active } => self.wait(Resource::Memory, active),
            Tell::DiskWait { active } => self.wait(Resource::Disk, active),
            Tell::OutputWait { active } => self.wait(Resource::Output, active),
            Tell::Gone { pipeline } => self.gone(&pipeline),
            Tell::FirstScanDone => {
                self.telemetry.emit(Told::Ready);
                super::manager::ready();
                self.notice(|| Notice::Ready);
            }
        }
    }

    fn wait(&self, reason: Resource, active: bool) {
        self.telemetry.emit(Told::Backpressure { reason, active });
    }

    /// A pipeline that a reload removed has finished what it had.
    fn gone(&self, pipeline: &str) {
        let mut plans = self.plans();
        plans.leaving.remove(pipeline);
        // The next reload may have brought it back already.
        if plans.any(pipeline).is_none() {
            self.telemetry.forget_pipeline(pipeline);
            tracing::info!(pipeline, "the removed pipeline has finished its files");
        }
        drop(plans);
        self.locks.release();
    }

    fn tell_retried(&self, id: &FileId, reason: RetryReason, message: &str, delay: std::time::Duration) {
        let Some(held) = self.files().get(id).cloned() else { return };
        self.telemetry.emit(Told::FileRetried {
            pipeline: &held.lane.key,
            id,
            name: &display_name(&held.arrival.name),
            reason,
            message,
            attempt: held.job.map_or(0, |job| job.attempt),
            delay,
        });
    }
}
