//! The state of each pipeline as the last events told it, for pages that people read. The metrics say the same.

use crate::job::{RowCounts, Timestamp};

/// One pipeline, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineNow {
    /// Its name.
    pub name: String,
    /// Files seen and not started.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// When the oldest of them was first seen.
    pub oldest_pending: Option<Timestamp>,
    /// Files in progress.
    pub in_flight: u64,
    /// Files in quarantine.
    pub quarantined: u64,
    /// Whether file events are delivered.
    pub watching: bool,
    /// Rows published since this process started.
    pub rows: RowCounts,
    /// When a file was last published.
    pub last_success: Option<Timestamp>,
    /// When a file last reached any outcome.
    pub last_completion: Option<Timestamp>,
    /// When a file was last quarantined or failed.
    pub last_failure: Option<Timestamp>,
    /// When a file was last seen for the first time.
    pub last_arrival: Option<Timestamp>,
}
