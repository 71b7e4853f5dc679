//! Event to metrics: the only place where a number changes.

mod file;
mod inbox;

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use metrics::Counter;

use super::event::{Event, Loaded};
use super::handles::{DaemonHandles, pair};
use super::registry::{Late, PerWord, Samples};
use super::topic::Topic;
use super::{Inner, Readiness};
use crate::job::Timestamp;

impl Inner {
    /// Moves the metrics of one event.
    pub(super) fn record(&self, event: &Event<'_>) {
        match Topic::of(event) {
            Topic::File => self.record_file(event),
            Topic::Inbox => self.record_inbox(event),
            Topic::Workers => self.record_workers(event),
            Topic::Daemon => self.record_daemon(event),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or move nothing")]
    fn record_workers(&self, event: &Event<'_>) {
        let daemon = &self.daemon;
        match *event {
            Event::Limits { workers, memory_budget } => {
                daemon.workers.set_count(u64::try_from(workers).unwrap_or(u64::MAX));
                if let Some(bytes) = memory_budget {
                    daemon.memory_budget.set_count(bytes);
                }
            }
            Event::WorkerCrashed { cause, .. } => one(&daemon.worker_crashes, cause.as_str()),
            Event::WorkersResident { workers } => {
                *self.workers_resident.lock().unwrap_or_else(PoisonError::into_inner) = workers.to_vec();
            }
            Event::WorkersProcessor { time } => {
                // Who ended a moment ago may be missing: a counter does not fall.
                let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.workers_processor.fetch_max(time, Ordering::Relaxed);
            }
            Event::WorkersBusy { workers, reserved_memory } => {
                daemon.workers_busy.set_count(u64::try_from(workers).unwrap_or(u64::MAX));
                daemon.memory_reserved.set_count(reserved_memory);
            }
            Event::Backpressure { reason, active } => {
                if let Some(gauge) = daemon.backpressure.get(reason.as_str()) {
                    gauge.set(f64::from(u8::from(active)));
                }
            }
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or move nothing")]
    fn record_daemon(&self, event: &Event<'_>) {
        let daemon = &self.daemon;
        match *event {
            Event::Ready => self.enter(Readiness::Ready),
            Event::Draining { .. } => self.enter(Readiness::Draining),
            Event::LedgerOperation { op, took, failed } => {
                sample(&daemon.ledger_duration, op, took.as_secs_f64());
                if failed {
                    one(&daemon.ledger_errors, op);
                }
            }
            Event::LedgerHolds { files, bytes } => holds(daemon, files, bytes),
            Event::Filesystem { volume, free, size } => {
                if let (Some(left), Some(all)) =
                    (daemon.filesystem_free.get(volume), daemon.filesystem_size.get(volume))
                {
                    left.set_count(free);
                    all.set_count(size);
                }
            }
            Event::ConfigLoaded { at, outcome, .. } => {
                let ok = outcome != Loaded::Refused;
                daemon.reload_successful.set(f64::from(u8::from(ok)));
                if ok {
                    daemon.reload_time.set(at.as_seconds());
                } else {
                    self.error("config", "reload");
                }
            }
            Event::HttpRequest { handler, code } => {
                let counter = pair(&daemon.http, handler, &code.to_string()).or_else(|| {
                    self.error("telemetry", "unknown_word");
                    pair(&daemon.http, "other", "other")
                });
                if let Some(counter) = counter {
                    counter.increment(1);
                }
            }
            Event::Error { component, kind, .. } => self.error(component, kind),
            _ => {}
        }
    }

    /// Counts a failure; a word the catalogue does not know is counted as `other` of its component.
    fn error(&self, component: &'static str, kind: &'static str) {
        let errors = &self.daemon.errors;
        let counter = pair(errors, component, kind)
            .or_else(|| pair(errors, component, "other"))
            .or_else(|| pair(errors, "telemetry", "unknown_word"));
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    fn enter(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Release);
        self.daemon.draining.set(f64::from(u8::from(readiness == Readiness::Draining)));
    }
}

fn one(counters: &PerWord<Counter>, word: &str) {
    if let Some(counter) = counters.get(word) {
        counter.increment(1);
    }
}

fn sample(samples: &PerWord<Samples>, word: &str, value: f64) {
    if let Some(samples) = samples.get(word) {
        samples.add(value);
    }
}

fn restore(gauge: &Late, now: &mut Option<Timestamp>, at: Option<Timestamp>) {
    if let Some(at) = at {
        gauge.set(at.as_seconds());
        *now = Some(at);
    }
}

fn holds(daemon: &DaemonHandles, files: &[(&'static str, u64)], bytes: u64) {
    daemon.ledger_size.set_count(bytes);
    for (state, gauge) in daemon.ledger_files.iter() {
        let count = files.iter().find(|(known, _)| known == state).map_or(0, |(_, count)| *count);
        gauge.set_count(count);
    }
}
