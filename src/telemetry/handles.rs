//! Typed handles, made once: to make one is to put its series on the page at 0.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Counter;

use super::PipelineInfo;
use super::catalog::{ERROR_KINDS, HANDLER_CODES, Name};
use super::now::PipelineNow;
use super::registry::{Late, Level, PerWord, Registry, Samples, Traced};
use crate::job::Stage;

/// The handles of one pipeline.
pub(super) struct PipelineHandles {
    pub(super) discovered: PerWord<Counter>,
    pub(super) processed: PerWord<Counter>,
    pub(super) retries: PerWord<Counter>,
    pub(super) pending: Late,
    pub(super) queued: Late,
    pub(super) in_flight: Late,
    pub(super) quarantined: Late,
    pub(super) pending_bytes: Late,
    pub(super) oldest_pending: Late,
    pub(super) oldest_in_flight: Late,
    pub(super) last_success: Late,
    pub(super) last_completion: Late,
    pub(super) last_failure: Late,
    pub(super) last_arrival: Late,
    pub(super) duration: PerWord<Traced>,
    pub(super) wait: Traced,
    pub(super) latency: Traced,
    pub(super) stages: PerWord<Samples>,
    pub(super) stage_peaks: Vec<(Stage, Late)>,
    pub(super) rows_read: Counter,
    pub(super) rows_written: Counter,
    pub(super) rows_dropped: Counter,
    pub(super) rejected: PerWord<Counter>,
    pub(super) violations: BTreeMap<String, Counter>,
    pub(super) rows_quarantined: Counter,
    pub(super) in_flight_rows: Level,
    pub(super) in_flight_bytes: Level,
    pub(super) read_bytes: Counter,
    pub(super) written_bytes: Counter,
    pub(super) file_size: Samples,
    pub(super) file_rows: Samples,
    pub(super) drift: PerWord<Counter>,
    pub(super) watch_up: Late,
    pub(super) watch_last_scan: Late,
    now: Mutex<PipelineNow>,
}

impl PipelineHandles {
    /// Makes every handle of the pipeline.
    pub(super) fn new(registry: &Arc<Registry>, info: &PipelineInfo) -> Self {
        let of = [info.name.as_str()];
        let counter = |name| registry.counter(name, &of);
        let gauge = |name| registry.gauge(name, &of);
        let samples = |name| registry.histogram(name, &of);
        let late = |name| Late::new(registry, name, &of);
        let counters = |name| registry.per_word(name, &of, Registry::counter);
        let violation = |rule: &String| {
            (rule.clone(), registry.counter(Name::RuleViolations, &[info.name.as_str(), rule.as_str()]))
        };
        let stage_peak =
            |stage: &Stage| (*stage, Late::new(registry, Name::StagePeakRss, &[info.name.as_str(), stage.as_str()]));
        Self {
            discovered: counters(Name::FilesDiscovered),
            processed: counters(Name::FilesProcessed),
            retries: counters(Name::FileRetries),
            pending: late(Name::FilesPending),
            queued: late(Name::FilesQueued),
            in_flight: late(Name::FilesInFlight),
            quarantined: late(Name::FilesQuarantined),
            pending_bytes: late(Name::PendingBytes),
            oldest_pending: late(Name::OldestPending),
            oldest_in_flight: late(Name::OldestInFlight),
            last_success: late(Name::LastSuccess),
            last_completion: late(Name::LastCompletion),
            last_failure: late(Name::LastFailure),
            last_arrival: late(Name::LastArrival),
            duration: registry.per_word(Name::FileDuration, &of, Registry::traced),
            wait: registry.traced(Name::FileWait, &of),
            latency: registry.traced(Name::FileLatency, &of),
            stages: registry.per_word(Name::StageDuration, &of, Registry::histogram),
            stage_peaks: Stage::ALL.iter().map(stage_peak).collect(),
            rows_read: counter(Name::RowsRead),
            rows_written: counter(Name::RowsWritten),
            rows_dropped: counter(Name::RowsDropped),
            rejected: counters(Name::RowsRejected),
            violations: info.rules.iter().map(violation).collect(),
            rows_quarantined: counter(Name::RowsQuarantined),
            in_flight_rows: gauge(Name::InFlightRows),
            in_flight_bytes: gauge(Name::InFlightBytes),
            read_bytes: counter(Name::ReadBytes),
            written_bytes: counter(Name::WrittenBytes),
            file_size: samples(Name::FileSize),
            file_rows: samples(Name::FileRows),
            drift: counters(Name::SchemaDrift),
            watch_up: late(Name::WatchUp),
            watch_last_scan: late(Name::WatchLastScan),
            now: Mutex::new(PipelineNow { name: info.name.clone(), ..PipelineNow::default() }),
        }
    }

    /// Gives the readable state to `act`.
    pub(super) fn now<T>(&self, act: impl FnOnce(&mut PipelineNow) -> T) -> T {
        act(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The handles of the whole daemon.
pub(super) struct DaemonHandles {
    pub(super) workers: Level,
    pub(super) workers_busy: Level,
    pub(super) worker_crashes: PerWord<Counter>,
    pub(super) memory_budget: Late,
    pub(super) memory_reserved: Level,
    pub(super) backpressure: PerWord<Level>,
    pub(super) watch_events: PerWord<Counter>,
    pub(super) watch_overflows: Counter,
    pub(super) watch_missed: Counter,
    pub(super) ledger_files: PerWord<Late>,
    pub(super) ledger_size: Late,
    pub(super) ledger_duration: PerWord<Samples>,
    pub(super) ledger_errors: PerWord<Counter>,
    pub(super) filesystem_free: PerWord<Late>,
    pub(super) filesystem_size: PerWord<Late>,
    pub(super) reload_successful: Level,
    pub(super) reload_time: Late,
    pub(super) ready: Level,
    pub(super) draining: Level,
    pub(super) http: Vec<(&'static str, PerWord<Counter>)>,
    pub(super) errors: Vec<(&'static str, PerWord<Counter>)>,
}

impl DaemonHandles {
    /// Makes every handle that is no pipeline's.
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let pairs = |name, sets: &[(&'static str, &[&str])]| {
            sets.iter().map(|(word, _)| (*word, registry.per_word(name, &[word], Registry::counter))).collect()
        };
        let late = |_: &Registry, name: Name, values: &[&str]| Late::new(registry, name, values);
        Self {
            workers: registry.gauge(Name::Workers, &[]),
            workers_busy: registry.gauge(Name::WorkersBusy, &[]),
            worker_crashes: registry.per_word(Name::WorkerCrashes, &[], Registry::counter),
            memory_budget: Late::new(registry, Name::MemoryBudget, &[]),
            memory_reserved: registry.gauge(Name::MemoryReserved, &[]),
            backpressure: registry.per_word(Name::Backpressure, &[], Registry::gauge),
            watch_events: registry.per_word(Name::WatchEvents, &[], Registry::counter),
            watch_overflows: registry.counter(Name::WatchOverflows, &[]),
            watch_missed: registry.counter(Name::WatchMissed, &[]),
            ledger_files: registry.per_word(Name::LedgerFiles, &[], late),
            ledger_size: Late::new(registry, Name::LedgerSize, &[]),
            ledger_duration: registry.per_word(Name::LedgerDuration, &[], Registry::histogram),
            ledger_errors: registry.per_word(Name::LedgerErrors, &[], Registry::counter),
            filesystem_free: registry.per_word(Name::FilesystemFree, &[], late),
            filesystem_size: registry.per_word(Name::FilesystemSize, &[], late),
            reload_successful: registry.gauge(Name::ReloadSuccessful, &[]),
            reload_time: Late::new(registry, Name::ReloadTime, &[]),
            ready: registry.gauge(Name::Ready, &[]),
            draining: registry.gauge(Name::Draining, &[]),
            http: pairs(Name::HttpRequests, HANDLER_CODES),
            errors: pairs(Name::Errors, ERROR_KINDS),
        }
    }
}

/// Finds the handle of a pair of words.
pub(super) fn pair<'h>(
    handles: &'h [(&'static str, PerWord<Counter>)],
    first: &str,
    second: &str,
) -> Option<&'h Counter> {
    handles.iter().find(|(word, _)| *word == first).and_then(|(_, handles)| handles.find(second))
}
