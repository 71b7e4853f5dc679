//! What the endpoint may see of the ledger, and nothing more.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::story::Story;
use crate::job::{FileId, Outcome, QuarantineReason, RejectReason, RowCounts, Timestamp};

/// Files by pipeline and outcome.
pub type OutcomeCounts = BTreeMap<String, BTreeMap<Outcome, u64>>;

/// Why the ledger did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The question makes no sense: an unknown state or pipeline, say. Told to whoever asked.
    #[error("{0}")]
    Refused(String),
    /// It is not open yet.
    #[error("forebay is starting and has not opened its ledger yet; ask again in a moment")]
    Starting,
    /// The ledger failed.
    #[error("the ledger cannot be read: {0}")]
    Failed(String),
}

/// Read access to the ledger. Calls may block; the endpoint makes them where that is allowed.
pub trait ReadView: Send + Sync + 'static {
    /// Returns files by pipeline and outcome, over everything the ledger holds.
    fn outcomes(&self) -> Result<OutcomeCounts, ViewError>;

    /// Returns every pipeline there are files of or may be: those of the configuration in force, in its order, then those that
    /// only the ledger knows any more.
    fn pipelines(&self) -> Result<Vec<String>, ViewError>;

    /// Returns the files that fit, last arrival first.
    fn files(&self, filter: &FileFilter) -> Result<Vec<FileSummary>, ViewError>;

    /// Returns the configuration in force as TOML, without secrets. Does not block.
    fn config(&self) -> String;

    /// Returns a file's whole story as `forebay explain --json` tells it; `None` if the ledger does not know it.
    fn file(&self, id: &FileId) -> Result<Option<serde_json::Value>, ViewError>;

    /// Returns the same for the page about the file, with its first rejected rows. Reads a bounded amount.
    fn story(&self, id: &FileId) -> Result<Option<Story>, ViewError>;
}

/// Which files are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFilter {
    /// A state of the ledger or an outcome, as given.
    pub state: Option<String>,
    /// A pipeline, as given.
    pub pipeline: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

/// One file in a list.
#[derive(Debug, Clone, Serialize)]
pub struct FileSummary {
    /// Its id.
    pub id: FileId,
    /// Its pipeline.
    pub pipeline: String,
    /// Its name in the inbox, escaped.
    pub name: String,
    /// Its size as it arrived.
    pub bytes: u64,
    /// Its state in the ledger.
    pub state: String,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was first seen.
    #[serde(serialize_with = "serialize_time")]
    pub arrived_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "serialize_maybe_time")]
    pub finished_at: Option<Timestamp>,
    /// Its rows, once counted.
    pub rows: Option<RowCounts>,
    /// Its rejects by reason.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Why it was refused.
    pub reason: Option<QuarantineReason>,
    /// The same, for a person.
    pub message: Option<String>,
    /// The file whose result its own takes the place of: it is a replay.
    pub replaces: Option<FileId>,
    /// The replay whose result took the place of its own.
    pub replaced_by: Option<FileId>,
}

/// Returns a point in time as RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_nanos(at.0).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn serialize_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference")]
fn serialize_maybe_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize_time(at, serializer),
        None => serializer.serialize_none(),
    }
}
