//! What can go wrong on the durable path, by what must happen next.

use crate::admit::AdmitError;
use crate::job::{FileId, RetryReason};
use crate::ledger::LedgerError;
use crate::storage::StorageError;

/// A durable step failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The input is no longer what was claimed: put it back and let it settle.
    #[error("{name} changed while it was read")]
    Changed {
        /// Its name, fit to be shown.
        name: String,
    },
    /// The input is gone.
    #[error("{name} vanished while it was read")]
    Vanished {
        /// Its name, fit to be shown.
        name: String,
    },
    /// What a job reported is not what lies in its staging directory.
    #[error("the outputs do not agree with the report: {message}")]
    Gate {
        /// The disagreement.
        message: String,
    },
    /// What was staged is lost or damaged; nothing was published.
    #[error("the staged outputs are lost: {message}")]
    StagingLost {
        /// What is wrong with them.
        message: String,
    },
    /// The output is gone, and with it results that the ledger knows: its volume may not be mounted. Begin it again until it
    /// is there; no attempt is spent.
    #[error(transparent)]
    OutputGone(StorageError),
    /// The outcome is settled and only the rest of the steps is left: `begin` does them. No attempt is spent, however often.
    #[error("file {id} is settled but not finished: {cause}")]
    Unfinished {
        /// The file.
        id: FileId,
        /// What stopped it.
        cause: Box<PublishError>,
    },
}

impl PublishError {
    pub(super) fn unfinished(id: &FileId, cause: impl Into<Self>) -> Self {
        let cause = cause.into();
        if cause.is_unfinished() { cause } else { Self::Unfinished { id: id.clone(), cause: Box::new(cause) } }
    }

    /// Returns whether it waits for room on a disk; no attempt is spent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Storage(err) => err.is_full(),
            Self::Ledger(err) => err.is_full(),
            Self::Unfinished { cause, .. } => cause.is_full(),
            Self::Changed { .. }
            | Self::Vanished { .. }
            | Self::Gate { .. }
            | Self::StagingLost { .. }
            | Self::OutputGone(_) => false,
        }
    }

    /// Returns whether the ledger cannot be trusted any more: the process ends and recovers at its next start.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        match self {
            Self::Ledger(err) => err.must_stop(),
            Self::Unfinished { cause, .. } => cause.must_stop(),
            Self::Storage(_)
            | Self::Changed { .. }
            | Self::Vanished { .. }
            | Self::Gate { .. }
            | Self::StagingLost { .. }
            | Self::OutputGone(_) => false,
        }
    }

    /// Returns whether the file itself is not at fault, as its outcome is settled or its output is gone: begin it again until
    /// it is finished, and spend no attempt on it.
    #[must_use]
    pub const fn is_unfinished(&self) -> bool {
        matches!(self, Self::Unfinished { .. } | Self::OutputGone(_))
    }

    /// Returns why the attempt is tried again, in one word.
    #[must_use]
    pub fn retry_reason(&self) -> RetryReason {
        if self.is_full() {
            RetryReason::DiskFull
        } else if matches!(self, Self::Changed { .. }) {
            RetryReason::Changed
        } else {
            RetryReason::Io
        }
    }
}

impl From<AdmitError> for PublishError {
    fn from(err: AdmitError) -> Self {
        match err {
            AdmitError::Storage(err) => Self::Storage(err),
            AdmitError::Ledger(err) => Self::Ledger(err),
        }
    }
}
