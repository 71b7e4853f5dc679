//! Letting a file out of quarantine, back into the inbox: for `forebay retry`.
//!
//! It does not touch the ledger, so it is safe while the daemon runs: the file arrives anew, and the daemon notices that the
//! original has left quarantine ([`Publisher::reconcile_quarantine`](super::Publisher::reconcile_quarantine)). If it dies in
//! between, what lay beside the file is removed then, or when it is said again.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{ERROR_SUFFIX, PublishError, REJECTS_SUFFIX, names};
use crate::config::Pipeline;
use crate::ledger::{FileRow, LedgerError};
use crate::storage::{Storage, StorageError};

/// Moves the original of a quarantined file back to the inbox under its old name and removes what lay beside it. Returns
/// where it is now; `None` if it does not lie in quarantine.
pub fn release(storage: &dyn Storage, pipeline: &Pipeline, row: &FileRow) -> Result<Option<PathBuf>, PublishError> {
    let Some(resting) = row.resting.as_deref().filter(|_| row.is_in_quarantine()) else { return Ok(None) };
    let target = pipeline.input.join(&row.name);
    match storage.rename_noreplace(resting, &target) {
        Ok(()) => {}
        Err(err) if err.is_missing() => {
            // It did not live to do the rest.
            if !is_in_inbox(storage, pipeline, row)? {
                return Ok(None);
            }
        }
        // The path in the message is the one that is in the way.
        Err(err) if err.is_taken() => {
            return Err(StorageError::new(err.operation, &target, err.cause).into());
        }
        Err(err) => return Err(err.into()),
    }
    remove_beside(storage, resting)?;
    Ok(Some(target))
}

/// Removes what lies beside a file that has left quarantine.
pub(super) fn remove_beside(storage: &dyn Storage, original: &Path) -> Result<(), StorageError> {
    for suffix in [ERROR_SUFFIX, REJECTS_SUFFIX] {
        storage.remove_file(&names::beside(original, suffix))?;
    }
    Ok(())
}

/// Whether a refused file that is not in quarantine any more has been let out of it: it is the very file in the inbox, or of a
/// later arrival. `find` returns the files of the ledger with a name.
pub(super) fn is_let_out(
    storage: &dyn Storage,
    pipeline: &Pipeline,
    row: &FileRow,
    find: &dyn Fn(&OsStr) -> Result<Vec<FileRow>, LedgerError>,
) -> Result<bool, PublishError> {
    if is_in_inbox(storage, pipeline, row)? {
        return Ok(true);
    }
    // Not by the device: its number may be another one after a restart.
    Ok(find(&row.name)?.iter().any(|later| later.id > row.id && later.stamp.ino == row.stamp.ino))
}

fn is_in_inbox(storage: &dyn Storage, pipeline: &Pipeline, row: &FileRow) -> Result<bool, StorageError> {
    let entry = storage.stat(&pipeline.input.join(&row.name))?;
    Ok(entry.is_some_and(|entry| entry.stamp.ino == row.stamp.ino))
}
