//! The start after an end: finish what was begun, from the ledger's point of view, and sweep what nobody owns.
//!
//! Run it as often as you like: the second run finds nothing to do.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::steps::Driven;
use super::{Finished, PublishError, Publisher, names, plain, release};
use crate::admit::{Arrival, same_file};
use crate::config::Pipeline;
use crate::job::{FileId, FileStamp, RetryReason, places, split_kept_name};
use crate::ledger::{AttemptEnd, FileRow, FileState};
use crate::storage::EntryKind;

/// Something recovery did or found.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovered {
    /// A claimed file is to be processed (again).
    Queued(Arrival),
    /// A file whose outcome was settled is finished now, or one is found gone.
    Finished(Box<Finished>),
    /// A file could not be recovered yet; queue it, and `begin` goes on from there.
    Stuck {
        /// The file.
        arrival: Arrival,
        /// What stopped it, for a person.
        message: String,
    },
    /// A claim that came to nothing: the file is in the inbox, or was replaced there, and arrives anew.
    Dropped {
        /// Its pipeline.
        pipeline: String,
        /// Its name.
        name: OsString,
    },
    /// A file in the work folder that the ledger does not know as in progress was put back into the inbox.
    PutBack {
        /// Its pipeline.
        pipeline: String,
        /// Its name.
        name: OsString,
    },
    /// Something in the work folder belongs to nobody and cannot be put back: somebody must look.
    Left {
        /// Its pipeline.
        pipeline: String,
        /// Where it lies.
        path: PathBuf,
        /// Why it stays there.
        message: String,
    },
}

impl Publisher {
    /// Finishes what was begun before this process, by state; sweeps staging and work folders. Files of pipelines that are
    /// not among `pipelines` are left alone. One file's failure does not stop the others; a failing ledger does.
    pub fn recover(&self, pipelines: &[Arc<Pipeline>]) -> Result<Vec<Recovered>, PublishError> {
        let mut told = Vec::new();
        self.resume(pipelines, &mut told)?;
        for pipeline in pipelines {
            self.sweep_staging(pipeline)?;
            plain::sweep_abandoned(&*self.storage, &pipeline.output)?;
            self.sweep_retired(pipeline)?;
            self.sweep_claimed(pipeline, &mut told)?;
        }
        Ok(told)
    }

    /// Does the same but for the sweeping: for pipelines that come while others are at work, maybe in the same folders. What it
    /// did is in `told`, also if it fails half way.
    pub fn resume(&self, pipelines: &[Arc<Pipeline>], told: &mut Vec<Recovered>) -> Result<(), PublishError> {
        for pipeline in pipelines {
            self.sync_roots(pipeline)?;
        }
        for row in self.ledger.unfinished()? {
            let Some(pipeline) = pipelines.iter().find(|pipeline| pipeline.name == row.pipeline) else {
                continue;
            };
            let arrival = Arrival::of(&row);
            match self.recover_one(pipeline, row) {
                Ok(recovered) => told.push(recovered),
                Err(err) if err.must_stop() => return Err(err),
                Err(err) => told.push(Recovered::Stuck { arrival, message: err.to_string() }),
            }
        }
        Ok(())
    }

    /// Looks which originals have left quarantine (mended, retried or removed by somebody) and tells the ledger; a refused
    /// replay that was taken out of it is given up. Returns how many are still there.
    pub fn reconcile_quarantine(&self, pipeline: &Pipeline) -> Result<u64, PublishError> {
        let mut there = 0;
        // Without its folder nothing can be said of the files in it.
        let seen = self.storage.stat(&pipeline.quarantine)?.is_some();
        for row in self.ledger.in_quarantine(&pipeline.name)? {
            let gone = match row.resting.as_deref() {
                Some(path) => row.state == FileState::Done && seen && self.storage.stat(path)?.is_none(),
                None => true,
            };
            if gone {
                self.tidy_after(pipeline, &row)?;
                self.ledger.left_quarantine(&row.id, "the original is no longer in quarantine")?;
            } else {
                there += 1;
            }
        }
        if seen {
            self.forget_given_up(pipeline)?;
        }
        Ok(there)
    }

    /// Finishes letting a file out of quarantine, if whoever did that did not live to do it. Of one that was taken away nobody
    /// knows whether what lies beside it is still wanted.
    fn tidy_after(&self, pipeline: &Pipeline, row: &FileRow) -> Result<(), PublishError> {
        let Some(original) = row.resting.as_deref() else { return Ok(()) };
        if release::is_let_out(&*self.storage, pipeline, row, &|name| self.ledger.find(name))? {
            release::remove_beside(&*self.storage, original)?;
        }
        Ok(())
    }

    /// Syncs the shared folders: what a process made and did not live to sync is seen, but may not survive a power cut.
    fn sync_roots(&self, pipeline: &Pipeline) -> Result<(), PublishError> {
        let roots = [
            places::staging(&pipeline.output),
            places::claimed(&pipeline.input),
            pipeline.archive.clone(),
            pipeline.quarantine.clone(),
        ];
        for root in roots {
            // The folder, and the two above it: as many as forebay makes below a folder that the user made.
            for dir in root.ancestors().take(3).filter(|dir| !dir.as_os_str().is_empty()) {
                if self.storage.stat(dir)?.is_some() {
                    self.storage.sync_dir(dir)?;
                }
            }
        }
        Ok(())
    }

    fn recover_one(&self, pipeline: &Pipeline, row: FileRow) -> Result<Recovered, PublishError> {
        match row.state {
            FileState::Claimed => self.recover_claimed(pipeline, row),
            FileState::Staged
            | FileState::Published
            | FileState::Archiving
            | FileState::Quarantining
            | FileState::Done => match self.finish(pipeline, row)? {
                Driven::Finished(finished) => Ok(Recovered::Finished(finished)),
                Driven::Again(row) => self.recover_claimed(pipeline, self.staging_lost(&row)?),
            },
        }
    }

    /// Counts the attempt whose outputs are lost.
    fn staging_lost(&self, row: &FileRow) -> Result<FileRow, PublishError> {
        let message = row.last_error.clone().unwrap_or_default();
        let reason = Some(RetryReason::Io);
        Ok(self
            .ledger
            .give_up(&row.id, &AttemptEnd { reason, message: &message, counted: true, next_attempt_at: None })?)
    }

    /// A claimed file is in the work folder, or still (or again) in the inbox, or gone.
    fn recover_claimed(&self, pipeline: &Pipeline, row: FileRow) -> Result<Recovered, PublishError> {
        let in_inbox = self.file_at(&pipeline.input.join(&row.name))?;
        if row.in_place {
            return match in_inbox {
                Some(stamp) if stamp == row.stamp => self.queue_again(&row),
                Some(_) => self.drop_claim(&row),
                None => self.gone(pipeline, &row),
            };
        }
        if let Some(stamp) = self.file_at(&row.input_path)? {
            let row = if stamp == row.stamp { row } else { self.ledger.restamp(&row.id, stamp)? };
            return self.queue_again(&row);
        }
        match in_inbox {
            // Not renamed yet, or on its way back.
            Some(stamp) if same_file(stamp, row.stamp) => self.drop_claim(&row),
            // Replaced before we got to it.
            Some(_) if row.starts == 0 => self.drop_claim(&row),
            _ => self.gone(pipeline, &row),
        }
    }

    fn queue_again(&self, row: &FileRow) -> Result<Recovered, PublishError> {
        if row.running {
            self.ledger.interrupted(&row.id)?;
        }
        Ok(Recovered::Queued(Arrival::of(row)))
    }

    fn drop_claim(&self, row: &FileRow) -> Result<Recovered, PublishError> {
        self.ledger.forget(&row.id)?;
        Ok(Recovered::Dropped { pipeline: row.pipeline.clone(), name: row.name.clone() })
    }

    fn gone(&self, pipeline: &Pipeline, row: &FileRow) -> Result<Recovered, PublishError> {
        if let Some(work) = self.missing_work_root(pipeline, row)? {
            let message = format!("{} is missing: is its volume mounted?", work.display());
            return Ok(Recovered::Stuck { arrival: Arrival::of(row), message });
        }
        let message = format!(
            "{} was claimed and is gone from {}: somebody took it away while forebay was not running",
            row.display_name(),
            row.input_path.display()
        );
        Ok(Recovered::Finished(Box::new(self.vanished(pipeline, &row.id, &message)?)))
    }

    fn file_at(&self, path: &Path) -> Result<Option<FileStamp>, PublishError> {
        let entry = self.storage.stat(path)?;
        Ok(entry.filter(|entry| entry.kind == EntryKind::File).map(|entry| entry.stamp))
    }

    /// Removes the staging directories of attempts that will never be published.
    fn sweep_staging(&self, pipeline: &Pipeline) -> Result<(), PublishError> {
        let root = places::staging(&pipeline.output);
        for name in self.storage.list(&root)? {
            let Some((id, attempt)) = names::staging_owner(&name) else { continue };
            let row = self.known(&id)?;
            // One that is settled but stuck still needs what it staged.
            let needed = row
                .is_some_and(|row| row.starts == attempt && !matches!(row.state, FileState::Claimed | FileState::Done));
            if !needed {
                self.storage.remove_tree(&root.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes results that a replay has replaced. One that is still to be replaced is needed should that come to nothing.
    fn sweep_retired(&self, pipeline: &Pipeline) -> Result<(), PublishError> {
        let root = places::retired(&pipeline.output);
        for name in self.storage.list(&root)? {
            let Some(old) = name.to_str().and_then(FileId::parse) else { continue };
            let Some(replay) = self.known(&old)?.and_then(|row| row.replaced_by) else { continue };
            let replaced = self.known(&replay)?.is_some_and(|row| row.state != FileState::Staged);
            if replaced {
                self.storage.remove_tree(&root.join(name))?;
            }
        }
        Ok(())
    }

    /// Puts files of no known claim back into the inbox.
    fn sweep_claimed(&self, pipeline: &Pipeline, told: &mut Vec<Recovered>) -> Result<(), PublishError> {
        let root = places::claimed(&pipeline.input);
        for kept in self.storage.list(&root)? {
            let (row, name) = match split_kept_name(&kept) {
                Some((id, name)) => (self.known(&id)?, name),
                None => (None, kept.clone()),
            };
            if row.is_none_or(|row| row.state == FileState::Done) {
                told.push(self.put_orphan_back(pipeline, &root.join(&kept), &name)?);
            }
        }
        Ok(())
    }

    fn put_orphan_back(&self, pipeline: &Pipeline, path: &Path, name: &OsStr) -> Result<Recovered, PublishError> {
        let left = |message: &str| Recovered::Left {
            pipeline: pipeline.name.clone(),
            path: path.to_owned(),
            message: message.to_owned(),
        };
        if self.file_at(path)?.is_none() {
            return Ok(left("it is no regular file, and no claim of the ledger"));
        }
        match self.storage.rename_noreplace(path, &pipeline.input.join(name)) {
            Ok(()) => Ok(Recovered::PutBack { pipeline: pipeline.name.clone(), name: name.to_owned() }),
            Err(err) if err.is_taken() => Ok(left("the inbox has another file of this name: rename one of them")),
            Err(err) => Err(err.into()),
        }
    }

    pub(super) fn known(&self, id: &FileId) -> Result<Option<FileRow>, PublishError> {
        match self.ledger.get(id) {
            Ok(row) => Ok(Some(row)),
            Err(crate::ledger::LedgerError::NoSuchFile { .. }) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }
}
