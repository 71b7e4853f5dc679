//! Letting a file out of quarantine, back into the inbox: for `forebay retry`.
//!
//! It does not touch the ledger, so it is safe while the daemon runs: the file arrives anew, and the daemon notices that the
//! original has left quarantine ([`Publisher::reconcile_quarantine`](super::Publisher::reconcile_quarantine)).

use std::path::PathBuf;

use super::{ERROR_SUFFIX, PublishError, REJECTS_SUFFIX, names};
use crate::config::Pipeline;
use crate::ledger::FileRow;
use crate::storage::{Storage, StorageError};

/// Moves the original of a quarantined file back to the inbox under its old name and removes what lay beside it. Returns
/// where it is now; `None` if it does not lie in quarantine.
pub fn release(storage: &dyn Storage, pipeline: &Pipeline, row: &FileRow) -> Result<Option<PathBuf>, PublishError> {
    let Some(resting) = row.resting.as_deref().filter(|_| row.is_in_quarantine()) else { return Ok(None) };
    let target = pipeline.input.join(&row.name);
    match storage.rename_noreplace(resting, &target) {
        Ok(()) => {}
        Err(err) if err.is_missing() => return Ok(None),
        // The path in the message is the one that is in the way.
        Err(err) if err.is_taken() => {
            return Err(StorageError::new(err.operation, &target, err.cause).into());
        }
        Err(err) => return Err(err.into()),
    }
    for suffix in [ERROR_SUFFIX, REJECTS_SUFFIX] {
        storage.remove_file(&names::beside(resting, suffix))?;
    }
    Ok(Some(target))
}
