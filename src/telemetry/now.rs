//! The state of each pipeline and of the daemon as the last events told it, for pages that people read. The metrics say
//! the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use super::event::{Event, Loaded};
use super::{Inner, Readiness};
use crate::job::{RejectReason, RowCounts, Timestamp};

/// One pipeline, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineNow {
    /// Its name.
    pub name: String,
    /// `objectives.freshness`.
    pub freshness: Option<Duration>,
    /// `objectives.latency`.
    pub latency: Option<Duration>,
    /// Files seen and not started.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// When the oldest of them was first seen.
    pub oldest_pending: Option<Timestamp>,
    /// Files in progress.
    pub in_flight: u64,
    /// When the oldest of them was begun.
    pub oldest_in_flight: Option<Timestamp>,
    /// Files in quarantine.
    pub quarantined: u64,
    /// Whether file events are delivered.
    pub watching: bool,
    /// Rows published since this process started.
    pub rows: RowCounts,
    /// The rejected ones of them, by reason.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Rows that broke each rule, whatever the rule does to them.
    pub violations: BTreeMap<String, u64>,
    /// Rows read since this process started, of files in progress too, whatever became of them.
    pub rows_seen: u64,
    /// When a file was last published.
    pub last_success: Option<Timestamp>,
    /// When a file last reached any outcome.
    pub last_completion: Option<Timestamp>,
    /// When a file was last quarantined or failed.
    pub last_failure: Option<Timestamp>,
    /// When a file was last seen for the first time.
    pub last_arrival: Option<Timestamp>,
}

/// The daemon itself, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonNow {
    /// The wall clock.
    pub at: Timestamp,
    /// How long it has run.
    pub up: Duration,
    /// Where it is in its life.
    pub readiness: Readiness,
    /// How long its engine has given no sign of life, if that is too long.
    pub stuck: Option<Duration>,
    /// Why it drains: the signal, or the name of the task that ended.
    pub draining: String,
    /// Files it works on at once.
    pub workers: usize,
    /// Files it works on now.
    pub workers_busy: usize,
    /// Workers that came to a bad end since it started.
    pub worker_crashes: u64,
    /// Bytes of memory jobs may plan with.
    pub memory_budget: Option<u64>,
    /// Bytes of it that are set aside.
    pub memory_reserved: u64,
    /// Resident memory of this process, in bytes.
    pub resident: u64,
    /// Resident memory of the workers, in bytes.
    pub workers_resident: u64,
    /// What work waits for: `memory`, `disk`, `output`.
    pub waits_for: BTreeSet<&'static str>,
    /// Bytes free and bytes in all, by `input`, `output`, `state`.
    pub volumes: BTreeMap<&'static str, (u64, u64)>,
    /// The configuration in force, once there is one.
    pub config: Option<ConfigNow>,
}

/// What is known of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigNow {
    /// When the one in force was taken up.
    pub since: Timestamp,
    /// When the last look found another one that could not be, and why, for a person.
    pub refused: Option<(Timestamp, String)>,
}

impl Inner {
    /// Takes note of what an event tells of the daemon itself.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other event is told by the pipelines or by numbers only")]
    pub(super) fn note(&self, event: &Event<'_>) {
        match *event {
            Event::Limits { workers, memory_budget } => self.noted(|now| {
                (now.workers, now.memory_budget) = (workers, memory_budget);
            }),
            Event::Draining { cause } => self.noted(|now| cause.clone_into(&mut now.draining)),
            Event::WorkerCrashed { .. } => self.noted(|now| now.worker_crashes += 1),
            Event::WorkersResident { workers } => {
                self.noted(|now| now.workers_resident = workers.iter().map(|(_, bytes)| bytes).sum());
            }
            Event::WorkersBusy { workers, reserved_memory } => {
                self.noted(|now| (now.workers_busy, now.memory_reserved) = (workers, reserved_memory));
            }
            Event::Backpressure { reason, active: true } => self.noted(|now| now.waits_for.extend([reason.as_str()])),
            Event::Backpressure { reason, active: false } => {
                self.noted(|now| now.waits_for.retain(|waiting| *waiting != reason.as_str()));
            }
            Event::Filesystem { volume, free, size } => self.noted(|now| now.volumes.extend([(volume, (free, size))])),
            Event::ConfigLoaded { at, outcome, message } => self.noted(|now| {
                let before = now.config.as_ref().filter(|_| outcome != Loaded::TakenUp);
                let refused = (outcome == Loaded::Refused).then(|| (at, message.to_owned()));
                now.config = Some(ConfigNow { since: before.map_or(at, |before| before.since), refused });
            }),
            _ => {}
        }
    }

    /// Gives the readable state of the daemon to `act`.
    pub(super) fn noted<T>(&self, act: impl FnOnce(&mut DaemonNow) -> T) -> T {
        act(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
