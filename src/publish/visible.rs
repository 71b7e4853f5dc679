//! Steps 8 and 9: what was staged becomes visible by one rename, wherever its output lies by now.
//!
//! Between a crash and the next start somebody may have moved the output and changed the configuration accordingly. What was
//! staged, or was visible already, is then looked for under the same name in the output of the configuration. If it is gone
//! the file is processed again, under the same id and name; unless its output is gone too: a volume that is not mounted
//! looks just like that, and what lies on it would stand beside the new result. By forebay's own folder in it an output is known to
//! be there, so that one is never made anew where the ledger has results.

use std::io;
use std::path::{Path, PathBuf};

use super::steps::Trust;
use super::{PublishError, Publisher, gate, names};
use crate::config::Pipeline;
use crate::job::{Outcome, places};
use crate::ledger::{FileRow, QuarantineDecision};
use crate::planted::{self, Bug};
use crate::storage::{Operation, StorageError};

/// Says that an output is gone.
pub(super) fn not_mounted(output: &Path) -> StorageError {
    let message = "it is missing: is its volume mounted? If what lay there is gone for good, make this folder, and what was \
                   staged in it is made again";
    StorageError::new(Operation::Stat, &places::ours(output), io::Error::new(io::ErrorKind::NotFound, message))
}

impl Publisher {
    /// Makes a pipeline's output, with the folder in which attempts write. One that is gone although the ledger has results
    /// in it is not made: its volume may not be mounted, and what was made in its place would hide it.
    pub fn make_output(&self, pipeline: &Pipeline) -> Result<(), PublishError> {
        if self.output_is_gone(pipeline)? {
            return Err(PublishError::OutputGone(not_mounted(&pipeline.output)));
        }
        Ok(self.storage.make_dirs(&places::staging(&pipeline.output))?)
    }

    pub(super) fn output_is_gone(&self, pipeline: &Pipeline) -> Result<bool, PublishError> {
        let there = self.storage.stat(&places::ours(&pipeline.output))?.is_some();
        Ok(!there && self.ledger.has_results_in(&pipeline.name, &pipeline.output)?)
    }

    /// Steps 8 and 9: one rename from staging to the final name, then PUBLISHED.
    pub(super) fn make_visible(
        &self,
        pipeline: &Pipeline,
        row: &FileRow,
        trust: Trust,
    ) -> Result<FileRow, PublishError> {
        let Some(target) = row.final_dir.as_deref() else {
            return Ok(self.ledger.unstage(&row.id, "the ledger names no directory for it")?);
        };
        let target = &*planted::final_name(target);
        if planted::is(Bug::ArchiveBeforePublished) {
            self.move_away(row)?;
        }
        let output = names::output_of(target).unwrap_or(&pipeline.output);
        let staging = names::staging(output, &row.id, row.starts);
        if trust == Trust::Verify {
            if self.storage.stat(target)?.is_some() {
                return self.already_there(pipeline, row, target, output);
            }
            if let Err(why) = gate::verify(&*self.storage, &staging, row)? {
                return self.not_there(pipeline, row, target, &why);
            }
            // The process that made it may have died before it synced it.
            self.storage.sync_dir(&places::staging(output))?;
        }
        if let Some(day) = target.parent() {
            self.storage.make_dirs(day)?;
        }
        match self.retire_replaced(pipeline, row) {
            Ok(Ok(())) => {}
            Ok(Err(lost)) => return self.conflict(pipeline, row, &lost.message, &lost.advice),
            Err(err) => return Err(self.show_again(pipeline, row, target, err)),
        }
        match self.storage.rename_noreplace(&staging, target) {
            Ok(()) => Ok(self.ledger.published(&row.id)?),
            Err(err) if err.is_taken() => self.already_there(pipeline, row, target, output),
            Err(err) => Err(self.show_again(pipeline, row, target, err.into())),
        }
    }

    /// Puts a result back that a replay was about to replace: it may be long until the new one can appear. Returns why.
    fn show_again(&self, pipeline: &Pipeline, row: &FileRow, target: &Path, why: PublishError) -> PublishError {
        // Only where readers surely see nothing instead: a rename may have happened and answered with an error. What fails here
        // is what failed before, and the next try begins with it.
        if matches!(self.storage.stat(target), Ok(None)) {
            drop(self.restore_replaced(pipeline, row));
        }
        why
    }

    /// The final name exists: either we made it and did not live to say so, or it is not ours.
    fn already_there(
        &self,
        pipeline: &Pipeline,
        row: &FileRow,
        target: &Path,
        output: &Path,
    ) -> Result<FileRow, PublishError> {
        if gate::has_manifest_of(&*self.storage, target, row)? {
            // Seen is not synced.
            for dir in [target.parent(), Some(output)].into_iter().flatten() {
                self.storage.sync_dir(dir)?;
            }
            let staged = places::staging(output);
            if self.storage.stat(&staged)?.is_some() {
                self.storage.sync_dir(&staged)?;
            }
            return Ok(self.ledger.published(&row.id)?);
        }
        let message = format!(
            "its place {} is taken by something forebay did not write; nothing was published",
            target.display()
        );
        self.restore_replaced(pipeline, row)?;
        self.conflict(pipeline, row, &message, "find out who wrote there and move it away")
    }

    /// What was staged is not where the ledger says, or damaged: it was moved, or is made again.
    fn not_there(&self, pipeline: &Pipeline, row: &FileRow, target: &Path, why: &str) -> Result<FileRow, PublishError> {
        let output = names::output_of(target).unwrap_or(&pipeline.output);
        if let Some(now) = self.moved(pipeline, row, target)? {
            return Ok(self.ledger.moved(&row.id, &now)?);
        }
        let staged = [output, &pipeline.output].map(|output| names::staging(output, &row.id, row.starts));
        let mut found = false;
        for staging in &staged {
            found |= self.storage.stat(staging)?.is_some();
        }
        let work = places::ours(output);
        if !found && self.storage.stat(&work)?.is_none() {
            return Err(not_mounted(output).into());
        }
        staged.iter().try_for_each(|staging| self.storage.remove_tree(staging))?;
        self.restore_replaced(pipeline, row)?;
        Ok(self.ledger.unstage(&row.id, why)?)
    }

    /// Looks in the output of the configuration for what was staged or visible in another one. Returns the directory it is
    /// or will be published as there. Whoever moved it may not have synced it.
    fn moved(&self, pipeline: &Pipeline, row: &FileRow, target: &Path) -> Result<Option<PathBuf>, PublishError> {
        let Some(now) = names::in_output(&pipeline.output, target).filter(|now| now != target) else { return Ok(None) };
        let staging = names::staging(&pipeline.output, &row.id, row.starts);
        let found = if gate::has_manifest_of(&*self.storage, &now, row)? {
            &now
        } else if gate::verify(&*self.storage, &staging, row)?.is_ok() {
            &staging
        } else {
            return Ok(None);
        };
        gate::sync(&*self.storage, found)?;
        Ok(Some(now))
    }

    /// Decides that a file is not published, as things are in the output: nothing is wrong with the file itself.
    pub(super) fn conflict(
        &self,
        pipeline: &Pipeline,
        row: &FileRow,
        message: &str,
        advice: &str,
    ) -> Result<FileRow, PublishError> {
        let explanation = super::explain::conflict(row, message, advice, self.clock.now());
        let resting = names::quarantined(pipeline, row);
        Ok(self.ledger.decide_quarantine(
            &row.id,
            row.state,
            &QuarantineDecision {
                outcome: Outcome::Failed,
                reason: None,
                message,
                explanation: &explanation,
                rows: row.rows.unwrap_or_default(),
                resting: Some(&resting),
                ended_by: None,
            },
        )?)
    }
}
