//! What becomes of an effect that failed, and the words `errors_total` has for it: a full disk and a step that is repeated
//! each have their own.

use super::Shared;
use crate::engine::Event;
use crate::job::{FileId, JobError};
use crate::ledger::FileState;
use crate::publish::PublishError;

/// A disk that is full, as `errors_total` has it.
pub(super) const FULL: [&str; 2] = ["storage", "disk_full"];

/// The ledger cannot be trusted any more: the daemon must end, and recover at its next start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fatal(String);

impl Shared {
    /// A step of the durable path failed during an attempt.
    pub(super) fn broke(&self, id: FileId, error: PublishError) -> Result<Event, Fatal> {
        let error = self.survivable(error)?;
        if error.is_unfinished() {
            return Ok(self.stuck(id, &error));
        }
        let message = error.to_string();
        let error = if matches!(error, PublishError::Vanished { .. }) {
            JobError::Vanished { message }
        } else {
            JobError::Retry { reason: error.retry_reason(), message }
        };
        Ok(Event::Failed { id, error })
    }

    /// A step that must not be skipped failed.
    pub(super) fn stuck(&self, id: FileId, error: &PublishError) -> Event {
        let (settled, disk_full, message) = (error.is_unfinished(), error.is_full(), error.to_string());
        let [component, kind] = if disk_full { FULL } else { self.step(&id) };
        self.error(component, kind, &format!("{id}: {message}"));
        Event::Stuck { id, settled, disk_full, message }
    }

    /// Returns the step a file is at, as `errors_total` has it.
    fn step(&self, id: &FileId) -> [&'static str; 2] {
        match self.publisher.ledger().get(id).map(|row| row.state) {
            Ok(FileState::Claimed) => ["publish", "attempt"],
            Ok(FileState::Staged) => ["publish", "publish"],
            Ok(FileState::Published | FileState::Archiving | FileState::Done) => ["publish", "archive"],
            Ok(FileState::Quarantining) => ["publish", "quarantine"],
            Err(_) => ["ledger", "query"],
        }
    }

    /// Lets an error through that one file can have, and stops at one that concerns them all.
    pub(super) fn survivable(&self, error: PublishError) -> Result<PublishError, Fatal> {
        if error.must_stop() {
            self.error("ledger", "other", &error.to_string());
            return Err(Fatal(error.to_string()));
        }
        Ok(error)
    }
}
