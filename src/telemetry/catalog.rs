//! Every metric of forebay, in one table.
//!
//! The table drives the descriptions, the buckets, the handles, the zero-born series, `docs/METRICS.md` and
//! `forebay print metrics`. The doc comment of an entry **is** its help text. Label values come from closed sets: enums of
//! [`crate::job`], the word lists below, and pipeline and rule names of the config. Never a file, path, id or error text.
//! A metric, and a word of a label, enters the table together with the event that moves it: what nothing moves is not
//! exported, and a test looks for it in the code.

mod words;

pub use words::{ERROR_KINDS, HANDLER_CODES};

use words::{
    BACKPRESSURE, CODES, COMPONENTS, HANDLERS, LEDGER_OPS, LEDGER_STATES, LEVELS, VOLUMES, WATCH_EVENTS, all_of,
};

use crate::job::{CrashCause, DiscoverySource, DriftKind, Outcome, RejectReason, RetryReason, Stage};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// A state, now.
    Gauge,
    /// Samples sorted into a ladder of buckets.
    Histogram(Ladder),
}

impl Kind {
    /// Returns the word of the `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What the numbers of a metric count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: files, rows, events; and yes or no.
    Count,
    /// Seconds, of a timestamp those since 1970.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Returns its word, which is the last of a metric's name; things have none.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Count => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
        }
    }
}

/// The upper bounds of a histogram's buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ladder {
    /// 5 ms to an hour: how long a file takes for those who wait for it. Fine enough for an objective.
    Seconds,
    /// The same span in coarser steps: parts of a file's time, of which there are many series.
    Parts,
    /// 1 KiB to 64 GiB.
    Bytes,
    /// 1 to 1e9.
    Rows,
}

impl Ladder {
    /// Every ladder.
    pub const ALL: &'static [Self] = &[Self::Seconds, Self::Parts, Self::Bytes, Self::Rows];

    /// Returns the bounds, ascending, without `+Inf`.
    #[must_use]
    pub const fn bounds(self) -> &'static [f64] {
        match self {
            Self::Seconds => &[
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
                3600.0,
            ],
            Self::Parts => &[0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0],
            Self::Bytes => &[
                1024.0,
                4096.0,
                16_384.0,
                65_536.0,
                262_144.0,
                1_048_576.0,
                4_194_304.0,
                16_777_216.0,
                67_108_864.0,
                268_435_456.0,
                1_073_741_824.0,
                4_294_967_296.0,
                17_179_869_184.0,
                68_719_476_736.0,
            ],
            Self::Rows => &[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9],
        }
    }
}

/// A label: its name and where its values come from.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// Where the values of a label come from.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// The pipelines of the config.
    Pipeline,
    /// The rules of the pipeline.
    Rule,
    /// A closed set.
    Set(fn() -> Vec<&'static str>),
    /// A closed set for each value of the label before it.
    PerWord(&'static [(&'static str, &'static [&'static str])]),
    /// One value each: facts of this build.
    Build,
    /// Numbers of the workers, from 0.
    Worker,
}

/// When a series of a metric exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Born {
    /// From the first scrape, at 0 (info metrics at 1).
    Zero,
    /// Once the value is known: a 0 would be a lie. What alerts compare is not known before ledger and inbox were looked at.
    Known,
}

/// Who exports a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The daemon, through the recorder.
    Daemon,
    /// The daemon, appended to the recorder's text: fractional counters, and series that may vanish.
    Appended,
    /// `forebay once`, by `--textfile` or `--push`.
    OneShot,
}

/// One entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name, unit and `_total` included.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// What its numbers count.
    pub unit: Unit,
    /// Labels, in order.
    pub labels: &'static [Label],
    /// When its series exist.
    pub born: Born,
    /// Who exports it.
    pub scope: Scope,
    /// The version of forebay that exported it first.
    pub since: &'static str,
    help: &'static str,
}

impl Metric {
    /// Returns the entry of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Name::ALL.iter().map(|known| known.metric()).find(|metric| metric.name == name)
    }

    /// Returns the help text.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }
}

const PIPELINE: Label = Label { name: "pipeline", values: Values::Pipeline };
const RULE: Label = Label { name: "rule", values: Values::Rule };
const SOURCE: Label = all_of!("source", DiscoverySource);
const OUTCOME: Label = all_of!("outcome", Outcome);
const RETRY_REASON: Label = all_of!("reason", RetryReason);
const REJECT_REASON: Label = all_of!("reason", RejectReason);
const STAGE: Label = all_of!("stage", Stage);
const DRIFT: Label = all_of!("kind", DriftKind);
const CRASH_CAUSE: Label = all_of!("cause", CrashCause);
const WORKER: Label = Label { name: "worker", values: Values::Worker };
const BUILD: [Label; 4] = [
    Label { name: "version", values: Values::Build },
    Label { name: "revision", values: Values::Build },
    Label { name: "rustc", values: Values::Build },
    Label { name: "polars", values: Values::Build },
];

/// The version that brought a metric; without one, the first.
macro_rules! since {
    () => {
        "0.1.0"
    };
    ($version:literal) => {
        $version
    };
}

/// Writes the enum of names and the table behind it.
macro_rules! catalogue {
    ($(#[doc = $help:literal] $id:ident: $name:literal, $kind:ident $(($ladder:ident))?, $unit:ident, $labels:expr, $born:ident, $scope:ident
        $(, since $since:literal)?;)+) => {
        /// The name of a metric: the only way to get a handle for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name { $(#[doc = $help] $id),+ }

        impl Name {
            /// Every metric, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$id),+];

            /// Returns the entry of the catalogue.
            #[must_use]
            pub const fn metric(self) -> &'static Metric {
                match self {
                    $(Self::$id => &Metric {
                        name: $name,
                        kind: Kind::$kind $((Ladder::$ladder))?,
                        unit: Unit::$unit,
                        labels: &$labels,
                        born: Born::$born,
                        scope: Scope::$scope,
                        since: since!($($since)?),
                        help: $help,
                    }),+
                }
            }
        }
    };
}

catalogue! {
    /// Files seen for the first time.
    FilesDiscovered: "forebay_files_discovered_total", Counter, Count, [PIPELINE, SOURCE], Zero, Daemon;
    /// Files that reached their outcome.
    FilesProcessed: "forebay_files_processed_total", Counter, Count, [PIPELINE, OUTCOME], Zero, Daemon;
    /// Attempts that ended without an outcome and are tried again.
    FileRetries: "forebay_file_retries_total", Counter, Count, [PIPELINE, RETRY_REASON], Zero, Daemon;
    /// Files seen and not started.
    FilesPending: "forebay_files_pending", Gauge, Count, [PIPELINE], Known, Daemon;
    /// Pending files that are whole and wait for forebay, not for their sender.
    FilesQueued: "forebay_files_queued", Gauge, Count, [PIPELINE], Known, Daemon;
    /// Files in progress.
    FilesInFlight: "forebay_files_in_flight", Gauge, Count, [PIPELINE], Known, Daemon;
    /// Files lying in quarantine, as the ledger counts them.
    FilesQuarantined: "forebay_files_quarantined", Gauge, Count, [PIPELINE], Known, Daemon;
    /// Bytes of the files seen and not started.
    PendingBytes: "forebay_pending_bytes", Gauge, Bytes, [PIPELINE], Known, Daemon;
    /// When the oldest pending file arrived: was first seen, or last changed before the daemon started; 0 when none is pending.
    OldestPending: "forebay_oldest_pending_file_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// When the oldest file in progress was started; 0 when none is in progress.
    OldestInFlight: "forebay_oldest_in_flight_start_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// When a file was last published. Restored from the ledger at start.
    LastSuccess: "forebay_last_success_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// When a file last reached any outcome. Restored from the ledger at start.
    LastCompletion: "forebay_last_completion_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// When a file was last quarantined or failed. Restored from the ledger at start.
    LastFailure: "forebay_last_failure_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// When a file last arrived. Restored at start, from the ledger and from what waits in the inbox.
    LastArrival: "forebay_last_arrival_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// The objective `freshness`: a success at least this often; 0 when none is set.
    FreshnessObjective: "forebay_freshness_objective_seconds", Gauge, Seconds, [PIPELINE], Zero, Appended;
    /// The objective `latency`: arrival to published; 0 when none is set.
    LatencyObjective: "forebay_latency_objective_seconds", Gauge, Seconds, [PIPELINE], Zero, Appended;
    /// 1 for every pipeline of the config.
    PipelineInfo: "forebay_pipeline_info", Gauge, Count, [PIPELINE], Zero, Appended;
    /// Start of the last attempt to the outcome.
    FileDuration: "forebay_file_duration_seconds", Histogram(Parts), Seconds, [PIPELINE, OUTCOME], Zero, Daemon;
    /// Arrival to the start of the first attempt.
    FileWait: "forebay_file_wait_seconds", Histogram(Seconds), Seconds, [PIPELINE], Zero, Daemon;
    /// Arrival to published; published files only.
    FileLatency: "forebay_file_latency_seconds", Histogram(Seconds), Seconds, [PIPELINE], Zero, Daemon;
    /// Busy time of a stage for one file, over all threads.
    StageDuration: "forebay_stage_duration_seconds", Histogram(Parts), Seconds, [PIPELINE, STAGE], Zero, Daemon;
    /// Records read of published files.
    RowsRead: "forebay_rows_read_total", Counter, Count, [PIPELINE], Zero, Daemon;
    /// Clean rows of published files.
    RowsWritten: "forebay_rows_written_total", Counter, Count, [PIPELINE], Zero, Daemon;
    /// Rows of published files left out by rules with action drop.
    RowsDropped: "forebay_rows_dropped_total", Counter, Count, [PIPELINE], Zero, Daemon;
    /// Records of published files that went to rejects.parquet.
    RowsRejected: "forebay_rows_rejected_total", Counter, Count, [PIPELINE, REJECT_REASON], Zero, Daemon;
    /// Rows of published files for which a rule was false, whatever its action.
    RuleViolations: "forebay_rule_violations_total", Counter, Count, [PIPELINE, RULE], Zero, Daemon;
    /// Records read of quarantined files.
    RowsQuarantined: "forebay_rows_quarantined_total", Counter, Count, [PIPELINE], Zero, Daemon;
    /// Records read so far of the files in progress.
    InFlightRows: "forebay_in_flight_rows", Gauge, Count, [PIPELINE], Zero, Daemon;
    /// Input bytes read so far of the files in progress.
    InFlightBytes: "forebay_in_flight_bytes", Gauge, Bytes, [PIPELINE], Zero, Daemon;
    /// Input bytes read, block by block, every attempt counted.
    ReadBytes: "forebay_read_bytes_total", Counter, Bytes, [PIPELINE], Zero, Daemon;
    /// Output bytes written to staging, block by block, every attempt counted.
    WrittenBytes: "forebay_written_bytes_total", Counter, Bytes, [PIPELINE], Zero, Daemon;
    /// Sizes of the files taken in, as they arrived.
    FileSize: "forebay_file_size_bytes", Histogram(Bytes), Bytes, [PIPELINE], Zero, Daemon;
    /// Records of published files.
    FileRows: "forebay_file_rows", Histogram(Rows), Count, [PIPELINE], Zero, Daemon;
    /// Files whose header differed from the configured columns.
    SchemaDrift: "forebay_schema_drift_total", Counter, Count, [PIPELINE, DRIFT], Zero, Daemon;
    /// Highest resident memory of the process while the stage ran, for the last file.
    StagePeakRss: "forebay_stage_peak_rss_bytes", Gauge, Bytes, [PIPELINE, STAGE], Known, Daemon;
    /// Files that may be processed at once.
    Workers: "forebay_workers", Gauge, Count, [], Zero, Daemon;
    /// Files being processed, over all pipelines.
    WorkersBusy: "forebay_workers_busy", Gauge, Count, [], Zero, Daemon;
    /// Times a worker, or the attempt in it, came to a bad end.
    WorkerCrashes: "forebay_worker_crashes_total", Counter, Count, [CRASH_CAUSE], Zero, Daemon;
    /// User and system CPU time of the worker processes, those that have ended included: nearly all of forebay's work.
    WorkerCpu: "forebay_worker_cpu_seconds_total", Counter, Seconds, [], Zero, Appended;
    /// Resident memory of each worker process.
    WorkerResident: "forebay_worker_resident_memory_bytes", Gauge, Bytes, [WORKER], Known, Appended;
    /// Bytes of memory jobs may plan with.
    MemoryBudget: "forebay_memory_budget_bytes", Gauge, Bytes, [], Known, Daemon;
    /// Bytes of memory set aside for the jobs under way.
    MemoryReserved: "forebay_memory_reserved_bytes", Gauge, Bytes, [], Zero, Daemon;
    /// 1 while work waits: for memory, for room on a disk, or for an output, archive or quarantine that cannot be written.
    Backpressure: "forebay_backpressure_active", Gauge, Count, [BACKPRESSURE], Zero, Daemon;
    /// 1 while the inbox's file events are delivered; scans go on either way.
    WatchUp: "forebay_watch_up", Gauge, Count, [PIPELINE], Known, Daemon;
    /// The setting `scan_interval`: time between full scans of the inbox.
    ScanInterval: "forebay_scan_interval_seconds", Gauge, Seconds, [PIPELINE], Zero, Appended;
    /// When the last full scan of the inbox ended.
    WatchLastScan: "forebay_watch_last_scan_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, Daemon;
    /// File events received from the kernel.
    WatchEvents: "forebay_watch_events_total", Counter, Count, [WATCH_EVENTS], Zero, Daemon;
    /// Times the kernel dropped file events; a full scan followed.
    WatchOverflows: "forebay_watch_overflows_total", Counter, Count, [], Zero, Daemon;
    /// Files found by a scan that no file event told of.
    WatchMissed: "forebay_watch_missed_files_total", Counter, Count, [], Zero, Daemon;
    /// Files in the ledger by state.
    LedgerFiles: "forebay_ledger_files", Gauge, Count, [LEDGER_STATES], Known, Daemon;
    /// Size of the ledger database.
    LedgerSize: "forebay_ledger_size_bytes", Gauge, Bytes, [], Known, Daemon;
    /// Time of ledger operations.
    LedgerDuration: "forebay_ledger_operation_duration_seconds", Histogram(Parts), Seconds, [LEDGER_OPS], Zero, Daemon;
    /// Ledger operations that failed.
    LedgerErrors: "forebay_ledger_errors_total", Counter, Count, [LEDGER_OPS], Zero, Daemon;
    /// Bytes free for forebay on the volume; of several inputs or outputs, on the one with the least room.
    FilesystemFree: "forebay_filesystem_free_bytes", Gauge, Bytes, [VOLUMES], Known, Daemon;
    /// Size of the volume; of several inputs or outputs, of the one with the least room.
    FilesystemSize: "forebay_filesystem_size_bytes", Gauge, Bytes, [VOLUMES], Known, Daemon;
    /// 1 if the config was taken up whole when it was last loaded; the log names what was refused.
    ReloadSuccessful: "forebay_config_last_reload_successful", Gauge, Count, [], Zero, Daemon;
    /// When a config was last taken up.
    ReloadTime: "forebay_config_last_reload_success_timestamp_seconds", Gauge, Seconds, [], Known, Daemon;
    /// 1 once the ledger is open, recovery is done and every inbox was scanned; 0 while draining, and after a minute in which the engine gave no sign of life.
    Ready: "forebay_ready", Gauge, Count, [], Zero, Daemon;
    /// 1 while files in progress are finished before the stop.
    Draining: "forebay_draining", Gauge, Count, [], Zero, Daemon;
    /// Log lines by level.
    LogEvents: "forebay_log_events_total", Counter, Count, [LEVELS], Zero, Appended;
    /// HTTP requests answered.
    HttpRequests: "forebay_http_requests_total", Counter, Count, [HANDLERS, CODES], Zero, Daemon;
    /// Failures that are no file's outcome.
    Errors: "forebay_errors_total", Counter, Count, COMPONENTS, Zero, Daemon;
    /// 1, with what this binary was built from.
    BuildInfo: "forebay_build_info", Gauge, Count, BUILD, Zero, Appended;
    /// User and system CPU time of the daemon alone, with fractions; the workers have a counter of their own.
    ProcessCpu: "process_cpu_seconds_total", Counter, Seconds, [], Known, Appended;
    /// Open file descriptors.
    ProcessOpenFds: "process_open_fds", Gauge, Count, [], Known, Appended;
    /// Limit of open file descriptors.
    ProcessMaxFds: "process_max_fds", Gauge, Count, [], Known, Appended;
    /// Virtual memory.
    ProcessVirtual: "process_virtual_memory_bytes", Gauge, Bytes, [], Known, Appended;
    /// Limit of virtual memory; 18446744073709551615 when unlimited.
    ProcessVirtualMax: "process_virtual_memory_max_bytes", Gauge, Bytes, [], Known, Appended;
    /// Resident memory.
    ProcessResident: "process_resident_memory_bytes", Gauge, Bytes, [], Known, Appended;
    /// Private writable memory (`VmData`).
    ProcessHeap: "process_heap_bytes", Gauge, Bytes, [], Known, Appended;
    /// When the process started.
    ProcessStart: "process_start_time_seconds", Gauge, Seconds, [], Known, Appended;
    /// Threads of the process.
    ProcessThreads: "process_threads", Gauge, Count, [], Known, Appended;
    /// Records read by the run.
    RunRowsRead: "forebay_run_rows_read", Gauge, Count, [PIPELINE], Zero, OneShot;
    /// Clean rows written by the run.
    RunRowsWritten: "forebay_run_rows_written", Gauge, Count, [PIPELINE], Zero, OneShot;
    /// Records rejected by the run.
    RunRowsRejected: "forebay_run_rows_rejected", Gauge, Count, [PIPELINE], Zero, OneShot;
    /// Rows dropped by the run.
    RunRowsDropped: "forebay_run_rows_dropped", Gauge, Count, [PIPELINE], Zero, OneShot;
    /// How long the run took.
    RunDuration: "forebay_run_duration_seconds", Gauge, Seconds, [PIPELINE], Zero, OneShot;
    /// When the run ended, in any way.
    RunCompletion: "forebay_run_completion_timestamp_seconds", Gauge, Seconds, [PIPELINE], Zero, OneShot;
    /// When a run last ended with every file taken and none quarantined or failed. Any other run leaves it as it was.
    RunLastSuccess: "forebay_run_last_success_timestamp_seconds", Gauge, Seconds, [PIPELINE], Known, OneShot;
    /// Files of the run by outcome.
    RunFiles: "forebay_run_files", Gauge, Count, [PIPELINE, OUTCOME], Zero, OneShot;
    /// Files given to the run that it did not begin, as it was interrupted.
    RunFilesNotTaken: "forebay_run_files_not_taken", Gauge, Count, [PIPELINE], Zero, OneShot;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_unit_and_type() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in Name::ALL.iter().map(|name| name.metric()) {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", metric.name);
            assert!(metric.help().ends_with('.'), "{}", metric.name);
            assert!(!metric.help().contains(['\\', '\n']), "{}", metric.name);
            let base = metric.name.trim_end_matches("_total");
            let last = ["seconds", "bytes"].into_iter().find(|unit| base.rsplit('_').next() == Some(unit));
            assert_eq!(metric.unit.as_str(), last, "{}", metric.name);
            if let Kind::Histogram(ladder) = metric.kind {
                let unit = match ladder {
                    Ladder::Seconds | Ladder::Parts => Unit::Seconds,
                    Ladder::Bytes => Unit::Bytes,
                    Ladder::Rows => Unit::Count,
                };
                assert_eq!(metric.unit, unit, "{}", metric.name);
            }
            assert!(
                metric.since.split('.').filter_map(|part| part.parse::<u32>().ok()).count() == 3,
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn ladders_ascend() {
        for ladder in Ladder::ALL {
            assert!(ladder.bounds().is_sorted_by(|a, b| a < b), "{ladder:?}");
            assert!(ladder.bounds().iter().all(|bound| bound.is_finite() && *bound > 0.0), "{ladder:?}");
        }
    }

    #[test]
    fn label_values_are_plain_words() {
        let mut words: Vec<&str> = Vec::new();
        for label in Name::ALL.iter().flat_map(|name| name.metric().labels) {
            words.push(label.name);
            match label.values {
                Values::Set(set) => words.extend(set()),
                Values::PerWord(sets) => words.extend(sets.iter().flat_map(|(_, set)| *set)),
                Values::Pipeline | Values::Rule | Values::Build | Values::Worker => {}
            }
        }
        for word in words {
            assert!(
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
        }
    }
}
