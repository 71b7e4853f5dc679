//! The steps after a decision, from wherever the ledger says a file is to its end. The same code serves the first time and
//! every restart: each step looks whether it is done, does it if not, and syncs either way before the ledger says so.

use std::path::Path;

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

/// Where the original of a file is.
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
        let (resting, told) = match row.disposal.unwrap_or(Disposal::Keep) {
            Disposal::Keep => (None, "the original stays in the inbox".to_owned()),
            Disposal::Delete => {
                self.storage.remove_file(&row.input_path)?;
                (None, "the original is deleted".to_owned())
            }
            Disposal::Move => self.move_away(row)?,
        };
        Ok(self.ledger.done(&row.id, resting, &told)?)
    }

    /// The refused original goes to quarantine, with its rejects and an explanation; then DONE.
    fn lay_in_quarantine(&self, pipeline: &Pipeline, row: &FileRow) -> Result<FileRow, PublishError> {
        let staging = names::staging(&pipeline.output, &row.id, row.starts);
        let (mut resting, mut told) = (None, row.message.clone());
        if let Some(target) = row.resting.as_deref() {
            if let Some(folder) = target.parent() {
                self.storage.make_dirs(folder)?;
            }
            self.save_rejects(&staging, &names::beside(target, REJECTS_SUFFIX))?;
            // The explanation first: nobody shall find a file there without one.
            let explanation = row.explanation.as_deref().unwrap_or_default();
            self.storage.write_file(&names::beside(target, super::ERROR_SUFFIX), explanation.as_bytes())?;
            (resting, told) = self.move_away(row)?;
        }
        self.storage.remove_tree(&staging)?;
        Ok(self.ledger.done(&row.id, resting, &told)?)
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

    /// Moves an original to its resting place if it is not there yet. Returns where it rests, and what to tell.
    pub(super) fn move_away<'a>(&self, row: &'a FileRow) -> Result<(Option<&'a Path>, String), PublishError> {
        let Some(target) = row.resting.as_deref() else {
            return Ok((None, "it has no resting place".to_owned()));
        };
        Ok(match self.move_original(row, target)? {
            Moved::There => (Some(target), format!("the original is {}", target.display())),
            Moved::Gone => (None, "the original is gone from the work folder: somebody took it away".to_owned()),
            Moved::Stays(why) => (None, format!("the original stays in the inbox: {why}")),
        })
    }

    fn move_original(&self, row: &FileRow, target: &Path) -> Result<Moved, PublishError> {
        let there = self.storage.stat(target)?;
        let here = self.storage.stat(&row.input_path)?;
        if row.in_place && here.is_some_and(|here| here.stamp != row.stamp) {
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
