//! The vocabulary every room shares: ids, stages, outcomes, reasons, counts.
//!
//! Only data lives here: no I/O, no clock, nothing of ours imported. Each closed set is one enum with one spelling, which
//! is the word used in code, config, metric label, ledger row, manifest and log line.

mod kept;
mod name;
pub mod places;
mod sets;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use kept::{SUFFIX_MAX, is_legal_name, kept_name, legal_name, split_kept_name};
pub use name::{display_name, is_invisible};
pub use sets::{CrashCause, DiscoverySource, DriftKind, Outcome, QuarantineReason, RejectReason, RetryReason, Stage};

/// The ledger's id for one arrival: 26 characters of `[0-9a-z]`, unique, ordered by arrival.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(String);

impl FileId {
    /// Returns the id if `text` is one word of `[0-9a-z]`: it becomes a directory name, so nothing else may pass.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sound = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        sound.then(|| Self(text.to_owned()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A point in time: nanoseconds since 1970-01-01 UTC. Taken from `Clock`, never from the system directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns seconds since the epoch, as Prometheus wants them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a gauge is an f64; microseconds survive")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Returns the time from `earlier` to `self`, zero if the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns this time plus `duration`.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// What `fstat` says of a file: enough to notice that it changed or was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStamp {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch, by the file system's clock.
    pub mtime_ns: i64,
}

impl FileStamp {
    /// Returns whether a file looks as it did then. Its volume may have another device number by now: those are given out anew
    /// at every start of the machine.
    #[must_use]
    pub const fn is_unchanged_since(self, then: Self) -> bool {
        self.ino == then.ino && self.size == then.size && self.mtime_ns == then.mtime_ns
    }
}

/// Row counts of one file. The law of conservation: `read = written + rejected + dropped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowCounts {
    /// Records in the file, header and blank lines not counted.
    pub read: u64,
    /// Clean rows in the output.
    pub written: u64,
    /// Records in `rejects.parquet`.
    pub rejected: u64,
    /// Rows dropped by rules with `action = "drop"`.
    pub dropped: u64,
}

impl RowCounts {
    /// Returns whether every record is accounted for.
    #[must_use]
    pub const fn conserved(&self) -> bool {
        self.read == self.written + self.rejected + self.dropped
    }
}

impl std::ops::AddAssign for RowCounts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.rejected += other.rejected;
        self.dropped += other.dropped;
    }
}

/// What one stage cost for one file.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct StageCost {
    /// Time worked, summed over threads.
    pub busy_seconds: f64,
    /// Highest resident memory of the process seen while the stage ran, in bytes.
    pub peak_rss_bytes: u64,
}

/// One file of the output directory, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Size in bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// BLAKE3 of its bytes, lower-case hex.
    pub blake3: String,
}

/// The input as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFacts {
    /// Name in the inbox; bytes that are not UTF-8 and control characters are escaped as `\xNN`.
    pub name: String,
    /// Size in bytes as it arrived (compressed, if it was).
    pub bytes: u64,
    /// BLAKE3 of those bytes, lower-case hex.
    pub blake3: String,
    /// Text encoding it was read as, by its WHATWG name in lower case (`utf-8`).
    pub encoding: String,
    /// `none`, `gzip` or `zstd`.
    pub compression: String,
    /// When it was first seen.
    pub arrived_at: Timestamp,
}

/// One job: one attempt at one file. Everything a worker needs besides the pipeline's config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The arrival.
    pub id: FileId,
    /// Pipeline name.
    pub pipeline: String,
    /// Where the input lies now (claimed, or in place with `on_success = "keep"`).
    #[serde(with = "bytes_of_path")]
    pub input: PathBuf,
    /// Name in the inbox, escaped for display.
    pub name: String,
    /// What the input looked like when it was claimed; a difference after reading discards the attempt.
    pub stamp: FileStamp,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// Directory to write the outputs into. Empty and private to this attempt.
    #[serde(with = "bytes_of_path")]
    pub staging: PathBuf,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// 32 lower-case hex digits, in logs, manifest and exemplars.
    pub trace_id: String,
}

/// What a finished job reports. Its outputs lie in the staging directory, not yet published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    /// The input as read.
    pub input: InputFacts,
    /// The counts.
    pub rows: RowCounts,
    /// Lines without any byte between two line ends; no records.
    pub blank_lines: u64,
    /// Rejects by reason; every reason is present.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Rejects whose deciding rule it was, by rule name. Every rule is present.
    pub rejects_by_rule: BTreeMap<String, u64>,
    /// Rows that failed each rule, by rule name, whatever its action. Every rule is present.
    pub rule_violations: BTreeMap<String, u64>,
    /// How the header differed, with counts of columns; empty without drift.
    pub drift: BTreeMap<DriftKind, u64>,
    /// Path below the output directory (`rows.parquet`, with partitions `day=2015-01-01/rows.parquet`) to its facts.
    pub outputs: BTreeMap<String, OutputFile>,
    /// Cost per stage.
    pub stages: BTreeMap<Stage, StageCost>,
    /// Highest resident memory of the process during the job, in bytes.
    pub peak_rss_bytes: u64,
    /// Bytes of text parsed, after decompression.
    pub text_bytes: u64,
}

/// A path as its bytes: serde would refuse one that is no text.
mod bytes_of_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }
}

/// Why a job did not produce a report, by what must happen next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum JobError {
    /// The content is at fault: trying again cannot help.
    #[error("{message}")]
    Quarantine {
        /// The bounded reason.
        reason: QuarantineReason,
        /// What happened and where, for a person.
        message: String,
        /// What to do.
        hint: String,
        /// Rows seen until the file was refused, if any were read.
        rows: RowCounts,
        /// Rejects by reason until then.
        rejects: BTreeMap<RejectReason, u64>,
        /// How the header differed, with counts of columns; it may be why the file is refused.
        drift: BTreeMap<DriftKind, u64>,
    },
    /// The surroundings are at fault: try again.
    #[error("{message}")]
    Retry {
        /// The bounded reason.
        reason: RetryReason,
        /// What happened and where, for a person.
        message: String,
    },
    /// The input vanished: nothing to do, nothing to move.
    #[error("input vanished: {message}")]
    Vanished {
        /// What was missing.
        message: String,
    },
    /// The file holds no byte of text: 0 bytes, or a compressed file of 0 bytes.
    #[error("empty file")]
    Empty {
        /// The input as read.
        input: Box<InputFacts>,
    },
    /// The daemon is stopping; the attempt does not count.
    #[error("stopped before the file was done")]
    Cancelled,
}

impl JobError {
    /// Returns a quarantine without row counts, for files refused before any row was read.
    #[must_use]
    pub fn refuse(reason: QuarantineReason, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Quarantine {
            reason,
            message: message.into(),
            hint: hint.into(),
            rows: RowCounts::default(),
            rejects: BTreeMap::new(),
            drift: BTreeMap::new(),
        }
    }
}

/// What a running job tells while it runs. Cheap: at most a few per block.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Progress {
    /// Bytes of the input file read and records parsed since the last tick.
    Read {
        /// Input bytes (compressed, if they were).
        bytes: u64,
        /// Records.
        rows: u64,
    },
    /// Bytes written to staging since the last tick.
    Wrote {
        /// Output bytes.
        bytes: u64,
    },
    /// A stage begins.
    Stage(Stage),
    /// There is nothing new to tell, but it is at work.
    Alive,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_plain_word() {
        assert!(FileId::parse("01kah5zq8v3w").is_some());
        for refused in ["", "A", "../x", "a b", "a\0"] {
            assert!(FileId::parse(refused).is_none(), "{refused:?}");
        }
    }
}
