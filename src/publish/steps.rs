//! The steps after a decision, from wherever the ledger says a file is to its end. The same code serves the first time and
//! every restart: each step looks whether it is done, does it if not, and syncs either way before the ledger says so.

use std::path::{Path, PathBuf};

use super::{Finished, PublishError, Publisher, REJECTS, REJECTS_SUFFIX, gate, names};
use crate::admit::same_file;
use crate::config::Pipeline;
use crate::job::Outcome;
use crate::ledger::{Disposal, FileRow, FileState};

/// Where driving a file led.
#[derive(Debug)]
pub(super) enum Driven {
    /// To its end.
    Finished(Box<Finished>),
    /// Back to `claimed`: what was staged is lost, so it is processed again.
    Again(Box<FileRow>),
}

/// Whether the staged outputs are known to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// This very call staged them.
    JustStaged,
    /// A crash or an error lies between: verify every byte first.
    Verify,
}

/// Where the original of a file has come to rest.
pub(super) struct Rest {
    /// In a folder of ours.
    at: Option<PathBuf>,
    /// In the inbox it was taken from in place.
    in_inbox: bool,
    /// For a person.
    told: String,
}

impl Rest {
    fn at(target: &Path) -> Self {
        Self { at: Some(target.to_owned()), in_inbox: false, told: format!("the original is {}", target.display()) }
    }

    fn in_inbox(told: impl Into<String>) -> Self {
        Self { at: None, in_inbox: true, told: told.into() }
    }

    fn nowhere(told: impl Into<String>) -> Self {
        Self { at: None, in_inbox: false, told: told.into() }
    }
}

/// What became of an original that was to be moved.
enum Moved {
    /// Where it was to go.
    There,
    /// Nowhere we know.
    Gone,
    /// Still in the inbox, and it stays there.
    Stays(&'static str),
}

impl Publisher {
    /// Does what is left to do for a file, from its state in the ledger. For files this call did not stage.
    pub(super) fn finish(&self, pipeline: &Pipeline, row: FileRow) -> Result<Driven, PublishError> {
        self.drive(pipeline, row, Trust::Verify)
    }

    pub(super) fn drive(&self, pipeline: &Pipeline, row: FileRow, trust: Trust) -> Result<Driven, PublishError> {
        let id = row.id.clone();
        self.drive_on(pipeline, row, trust).map_err(|err| PublishError::unfinished(&id, err))
    }

    fn drive_on(&self, pipeline: &Pipeline, mut row: FileRow, trust: Trust) -> Result<Driven, PublishError> {
        loop {
            row = match row.state {
                FileState::Staged => self.make_visible(pipeline, &row, trust)?,
                FileState::Published | FileState::Archiving => self.put_away(pipeline, &row)?,
                FileState::Quarantining => self.lay_in_quarantine(pipeline, &row)?,
                FileState::Claimed => return Ok(Driven::Again(Box::new(row))),
                FileState::Done => {
                    // A finished row has both, by the table's own rules.
                    let outcome = row.outcome.unwrap_or(Outcome::Failed);
                    let at = row.finished_at.unwrap_or_else(|| self.clock.now());
                    return Ok(Driven::Finished(Box::new(Finished { outcome, at, row })));
                }
            }
        }
    }

    /// Steps 10 and 11: the original goes to the archive, or is deleted, or stays; then DONE.
    fn put_away(&self, pipeline: &Pipeline, row: &FileRow) -> Result<FileRow, PublishError> {
        if row.state == FileState::Archiving {
            self.storage.remove_tree(&names::staging(&pipeline.output, &row.id, row.starts))?;
        }
        self.forget_replaced(pipeline, row)?;
        let rest = match row.disposal.unwrap_or(Disposal::Keep) {
            Disposal::Keep => Rest::in_inbox("the original stays in the inbox"),
            Disposal::Delete => self.delete(pipeline, row)?,
            Disposal::Move => self.move_away(row)?,
        };
        self.done(row, &rest)
    }

    fn done(&self, row: &FileRow, rest: &Rest) -> Result<FileRow, PublishError> {
        Ok(self.ledger.done(&row.id, rest.at.as_deref(), rest.in_inbox, &rest.told)?)
    }

    /// Deletes an original if it is what was read. To one that is not somebody has written since, through a handle he had all
    /// the time: it goes to the archive.
    fn delete(&self, pipeline: &Pipeline, row: &FileRow) -> Result<Rest, PublishError> {
        let archived = names::archived(pipeline, row);
        match self.storage.stat(&row.input_path)? {
            Some(entry) if entry.stamp.is_unchanged_since(row.stamp) => {
                self.storage.remove_file(&row.input_path)?;
            }
            None if self.storage.stat(&archived)?.is_none() => {}
            _ => return self.lay_to_rest(row, &archived),
        }
        Ok(Rest::nowhere("the original is deleted"))
    }

    /// The refused original goes to quarantine, with its rejects and an explanation; then DONE.
    fn lay_in_quarantine(&self, pipeline: &Pipeline, row: &FileRow) -> Result<FileRow, PublishError> {
        let staging = names::staging(&pipeline.output, &row.id, row.starts);
        let mut rest = Rest::nowhere(row.message.as_str());
        if let Some(target) = row.resting.as_deref() {
            if let Some(folder) = target.parent() {
                self.storage.make_dirs(folder)?;
            }
            self.save_rejects(&staging, &names::beside(target, REJECTS_SUFFIX))?;
            // The explanation first: nobody shall find a file there without one.
            let explanation = row.explanation.as_deref().unwrap_or_default();
            self.storage.write_file(&names::beside(target, super::ERROR_SUFFIX), explanation.as_bytes())?;
            rest = self.move_away(row)?;
        }
        self.storage.remove_tree(&staging)?;
        self.done(row, &rest)
    }

    /// Syncs the rejected rows of a file that is about to be refused: once that is decided, nobody makes them again.
    pub(super) fn sync_rejects(&self, staging: &Path) -> Result<(), PublishError> {
        let rejects = staging.join(REJECTS);
        if self.storage.stat(&rejects)?.is_none() {
            return Ok(());
        }
        self.storage.sync_file(&rejects)?;
        self.storage.sync_dir(staging)?;
        Ok(self.storage.sync_dir(staging.parent().unwrap_or(staging))?)
    }

    /// Keeps the rejected rows of a refused file beside it, if there are any and the job lived to write them to their end.
    /// The output may be on another filesystem than the quarantine.
    fn save_rejects(&self, staging: &Path, target: &Path) -> Result<(), PublishError> {
        let rejects = staging.join(REJECTS);
        if self.storage.stat(&rejects)?.is_none() || !gate::has_rows(&rejects) {
            return Ok(());
        }
        match self.storage.rename_noreplace(&rejects, target) {
            Err(err) if err.is_exdev() => Ok(self.storage.copy_file(&rejects, target)?),
            Err(err) if !err.is_taken() => Err(err.into()),
            _ => Ok(()),
        }
    }

    /// Moves an original to its resting place if it is not there yet. Returns where it rests.
    pub(super) fn move_away(&self, row: &FileRow) -> Result<Rest, PublishError> {
        match row.resting.as_deref() {
            Some(target) => self.lay_to_rest(row, target),
            None => Ok(Rest::nowhere("it has no resting place")),
        }
    }

    fn lay_to_rest(&self, row: &FileRow, target: &Path) -> Result<Rest, PublishError> {
        Ok(match self.move_original(row, target)? {
            Moved::There => {
                let mut rest = Rest::at(target);
                let there = self.storage.stat(target)?;
                if there.is_some_and(|there| !there.stamp.is_unchanged_since(row.stamp)) {
                    let (pipeline, file_id, name) = (row.pipeline.as_str(), row.id.as_str(), row.display_name());
                    tracing::warn!(pipeline, file_id, name, "the original was written to after it was read");
                    rest.told.push_str(
                        "; it was written to after it was read, by somebody who had it open: what came \
                                        then was not processed",
                    );
                }
                rest
            }
            Moved::Gone => Rest::nowhere("the original is gone from the work folder: somebody took it away"),
            Moved::Stays(why) => Rest::in_inbox(format!("the original stays in the inbox: {why}")),
        })
    }

    fn move_original(&self, row: &FileRow, target: &Path) -> Result<Moved, PublishError> {
        let there = self.storage.stat(target)?;
        let here = self.storage.stat(&row.input_path)?;
        if row.in_place && here.is_some_and(|here| !here.stamp.is_unchanged_since(row.stamp)) {
            return Ok(if there.is_some() { Moved::There } else { Moved::Stays("another file has its name now") });
        }
        match (here, there) {
            (None, None) => Ok(Moved::Gone),
            (None, Some(_)) => {
                // Seen is not synced.
                for dir in [target.parent(), row.input_path.parent()].into_iter().flatten() {
                    if self.storage.stat(dir)?.is_some() {
                        self.storage.sync_dir(dir)?;
                    }
                }
                Ok(Moved::There)
            }
            (Some(here), Some(there)) if same_file(here.stamp, there.stamp) => {
                // A hard link made where the filesystem cannot rename without replacing: its second half.
                self.storage.remove_file(&row.input_path)?;
                Ok(Moved::There)
            }
            (Some(_), _) => {
                if let Some(folder) = target.parent() {
                    self.storage.make_dirs(folder)?;
                }
                match self.storage.rename_noreplace(&row.input_path, target) {
                    Ok(()) => Ok(Moved::There),
                    // An inbox taken from in place may be read-only, or another filesystem: that is what it is for.
                    Err(err) if row.in_place && (err.is_forbidden() || err.is_exdev()) => {
                        Ok(Moved::Stays("it cannot be moved out of it"))
                    }
                    Err(err) => Err(err.into()),
                }
            }
        }
    }
}
