//! Everything worth telling, as one closed enum: flow code emits, one place turns it into log line and metric.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::job::{
    CrashCause, DiscoverySource, DriftKind, FileId, JobReport, Outcome, Progress, QuarantineReason, RetryReason,
    Timestamp,
};

/// What came of a look at the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// It is in force from now on.
    TakenUp,
    /// It is the one in force.
    Unchanged,
    /// It cannot be taken up: the one before stays.
    Refused,
}

/// What work may wait for. The `reason` of `backpressure_active`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Memory for one more job.
    Memory,
    /// Room on a disk.
    Disk,
    /// The output, the archive or the quarantine: a file's last steps fail there, and not for want of room.
    Output,
}

impl Resource {
    /// Every resource.
    pub const ALL: &'static [Self] = &[Self::Memory, Self::Disk, Self::Output];

    /// Returns its label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Output => "output",
        }
    }
}

/// Something happened. Borrowed, built on the spot, never stored.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The daemon starts: what it is and what it watches.
    Starting {
        /// Pipelines in the config.
        pipelines: usize,
        /// The HTTP addresses.
        listen: &'a [std::net::SocketAddr],
    },
    /// The endpoint can be reached from other machines, and something is missing that should protect it there.
    Exposed {
        /// The address.
        listen: std::net::SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// What the daemon may use, known once the config is resolved.
    Limits {
        /// Files processed at once.
        workers: usize,
        /// Bytes of memory jobs may plan with.
        memory_budget: Option<u64>,
    },
    /// Ledger open, recovery and first scan done.
    Ready,
    /// A stop was asked for; files in progress are finished within the limit.
    Draining {
        /// `SIGTERM`, `SIGINT` or the name of the task that ended.
        cause: &'a str,
    },
    /// The daemon has ended as it was asked to; nothing is half done.
    Stopped,
    /// A file is seen for the first time.
    FileDiscovered {
        /// Its pipeline.
        pipeline: &'a str,
        /// Its name, escaped.
        name: &'a str,
        /// Its size so far.
        bytes: u64,
        /// Who told of it.
        source: DiscoverySource,
        /// When it arrived (`last_arrival_timestamp_seconds`).
        at: Timestamp,
    },
    /// Something in an inbox is no regular file (symlink, FIFO, device, directory): left alone, told once.
    FileIgnored {
        /// The pipeline of the inbox.
        pipeline: &'a str,
        /// Its name, escaped.
        name: &'a str,
        /// `symlink`, `directory`, `fifo`, `device`, `socket`, `unreadable`.
        kind: &'static str,
    },
    /// A whole file was claimed: it has an id now.
    FileClaimed {
        /// Its pipeline.
        pipeline: &'a str,
        /// Its id.
        id: &'a FileId,
        /// Its name, escaped.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// An attempt begins.
    FileStarted {
        /// Its pipeline.
        pipeline: &'a str,
        /// Its id.
        id: &'a FileId,
        /// Its name, escaped.
        name: &'a str,
        /// 1 for the first.
        attempt: u32,
        /// The job's trace id.
        trace_id: &'a str,
        /// Arrival to start.
        wait: Duration,
    },
    /// An attempt makes progress (`read_bytes_total`, `written_bytes_total`, `in_flight_*`).
    FileProgress {
        /// Its pipeline.
        pipeline: &'a str,
        /// What moved.
        progress: Progress,
    },
    /// An attempt is over without an outcome; it will be tried again.
    FileRetried {
        /// Its pipeline.
        pipeline: &'a str,
        /// Its id.
        id: &'a FileId,
        /// Its name, escaped.
        name: &'a str,
        /// Why.
        reason: RetryReason,
        /// For a person.
        message: &'a str,
        /// The attempt that ended.
        attempt: u32,
        /// When the next may begin.
        delay: Duration,
    },
    /// A file reached its outcome. Published counters move here, together.
    FileFinished {
        /// Its pipeline.
        pipeline: &'a str,
        /// Its id.
        id: &'a FileId,
        /// Its name, escaped.
        name: &'a str,
        /// The trace id of its last attempt; empty without one.
        trace_id: &'a str,
        /// How it ended.
        outcome: Outcome,
        /// When it ended.
        at: Timestamp,
        /// Start of the last attempt to the end.
        duration: Duration,
        /// Arrival to the end.
        latency: Duration,
        /// The report, if the job got that far.
        report: Option<&'a JobReport>,
        /// For quarantined and failed: why, in one word.
        reason: Option<QuarantineReason>,
        /// For quarantined and failed: why, for a person. Empty otherwise.
        message: &'a str,
        /// Rows read, for quarantined files (`rows_quarantined_total`).
        rows_quarantined: u64,
    },
    /// The header of a refused file differed from the config. (Of a published file the report tells.)
    SchemaDrift {
        /// Its pipeline.
        pipeline: &'a str,
        /// How, with counts of columns.
        drift: &'a BTreeMap<DriftKind, u64>,
    },
    /// The attempt ended (in any way): its in-flight rows and bytes are given back.
    FileLeftFlight {
        /// Its pipeline.
        pipeline: &'a str,
        /// Rows told by `FileProgress` of this attempt.
        rows: u64,
        /// Bytes told by `FileProgress` of this attempt.
        bytes: u64,
    },
    /// The queue of one pipeline, after any change.
    Backlog {
        /// Its pipeline.
        pipeline: &'a str,
        /// Files seen and not started.
        pending: u64,
        /// Those of them that are whole.
        queued: u64,
        /// Bytes of those that are pending.
        pending_bytes: u64,
        /// First seen of the oldest of them.
        oldest_pending: Option<Timestamp>,
        /// Files in progress.
        in_flight: u64,
        /// Start of the oldest of them.
        oldest_in_flight: Option<Timestamp>,
    },
    /// A worker, or the attempt in it, came to a bad end.
    WorkerCrashed {
        /// How.
        cause: CrashCause,
        /// The pipeline of the file it had; empty if it had none.
        pipeline: &'a str,
        /// The id of that file.
        id: &'a str,
        /// How, for a person.
        message: &'a str,
    },
    /// Resident memory of the worker processes there are, in bytes, by their numbers.
    WorkersResident {
        /// All of them.
        workers: &'a [(usize, u64)],
    },
    /// Processor time of all workers there have been.
    WorkersProcessor {
        /// Theirs and, with those that have ended, that of children that judged a configuration.
        time: Duration,
    },
    /// Files that are being worked on, in all pipelines.
    WorkersBusy {
        /// As many workers.
        workers: usize,
        /// Bytes of memory set aside for them.
        reserved_memory: u64,
    },
    /// Files in quarantine, as the ledger counts them.
    Quarantine {
        /// Its pipeline.
        pipeline: &'a str,
        /// Files.
        files: u64,
    },
    /// A full scan ended.
    Scanned {
        /// Its pipeline.
        pipeline: &'a str,
        /// When.
        at: Timestamp,
        /// Files found that no event had told of, on a scan after the first.
        missed: u64,
    },
    /// A full scan failed.
    ScanFailed {
        /// Its pipeline.
        pipeline: &'a str,
        /// For a person.
        message: &'a str,
    },
    /// The watcher of an inbox works or not (scans go on either way).
    Watch {
        /// Its pipeline.
        pipeline: &'a str,
        /// Whether events are delivered.
        up: bool,
        /// Why not, for a person.
        message: &'a str,
    },
    /// The kernel sent a file event.
    WatchEvent {
        /// `create`, `close_write`, `moved_to`, `remove`, `other`.
        kind: &'static str,
    },
    /// The kernel dropped file events: a full scan follows.
    WatchOverflow,
    /// Work waits for a resource, or no longer.
    Backpressure {
        /// Which.
        reason: Resource,
        /// Whether it waits.
        active: bool,
    },
    /// A ledger operation ended.
    LedgerOperation {
        /// `open`, `claim`, `attempt`, `stage`, `publish`, `finish`, `query`.
        op: &'static str,
        /// How long it took.
        took: Duration,
        /// Whether it failed.
        failed: bool,
    },
    /// What the ledger holds.
    LedgerHolds {
        /// Files by state.
        files: &'a [(&'static str, u64)],
        /// Bytes of the database.
        bytes: u64,
    },
    /// Room on a volume.
    Filesystem {
        /// `input`, `output` or `state`.
        volume: &'static str,
        /// Bytes free for us.
        free: u64,
        /// Bytes in all.
        size: u64,
    },
    /// Values that are known from the ledger at start.
    Restored {
        /// Its pipeline.
        pipeline: &'a str,
        /// Last `succeeded`.
        last_success: Option<Timestamp>,
        /// Last end of any kind.
        last_completion: Option<Timestamp>,
        /// Last `quarantined` or `failed`.
        last_failure: Option<Timestamp>,
        /// Last file seen.
        last_arrival: Option<Timestamp>,
    },
    /// The config was looked at, at the start or by a reload.
    ConfigLoaded {
        /// When.
        at: Timestamp,
        /// What came of it.
        outcome: Loaded,
        /// For a person.
        message: &'a str,
    },
    /// An HTTP request was answered.
    HttpRequest {
        /// Route, from a closed set.
        handler: &'static str,
        /// Status code.
        code: u16,
    },
    /// Something failed that is no file's outcome.
    Error {
        /// `discover`, `ledger`, `publish`, `storage`, `http`, `worker`, `config`.
        component: &'static str,
        /// One word of a closed set per component: [`ERROR_KINDS`](super::catalog::ERROR_KINDS).
        kind: &'static str,
        /// For a person.
        message: &'a str,
    },
}
