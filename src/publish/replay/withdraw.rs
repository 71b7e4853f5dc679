//! The old result of a replay: out of sight right before the new one appears, back if that comes to nothing or has to wait,
//! gone after it.
//!
//! The ledger knows where it was published. Its output may have been moved since, with the configuration or without, so it
//! is looked for under the same name in every output that forebay knows of. Where it is in none, nothing is published: it
//! might come back and stand beside the new one.

use std::path::{Path, PathBuf};

use crate::config::Pipeline;
use crate::job::{FileId, Job, places};
use crate::ledger::{FileRow, FileState};
use crate::planted::{self, Bug};
use crate::publish::{Finished, PublishError, Publisher, names};
use crate::storage::{Operation, Storage, StorageError};

/// Where the result of a file may lie.
pub(super) struct Places(Vec<Place>);

/// One output it may lie in.
struct Place {
    /// While readers see it.
    visible: PathBuf,
    /// Out of their sight.
    aside: PathBuf,
    /// Our folder in that output: there as long as the output is.
    work: PathBuf,
}

impl Place {
    fn holds_it(&self, storage: &dyn Storage) -> Result<bool, StorageError> {
        Ok(storage.stat(&self.visible)?.is_some() || storage.stat(&self.aside)?.is_some())
    }

    fn hide(&self, storage: &dyn Storage) -> Result<(), StorageError> {
        if planted::is(Bug::ReplayBesideOld) {
            return Ok(());
        }
        if storage.stat(&self.visible)?.is_none() {
            return self.sync(storage);
        }
        storage.make_dirs(self.aside.parent().unwrap_or(&self.aside))?;
        // Somebody made a copy while it was aside: one of them will do.
        if storage.stat(&self.aside)?.is_some() {
            storage.remove_tree(&self.aside)?;
        }
        storage.rename_noreplace(&self.visible, &self.aside)
    }

    fn show(&self, storage: &dyn Storage) -> Result<(), StorageError> {
        if storage.stat(&self.visible)?.is_none() && storage.stat(&self.aside)?.is_some() {
            storage.make_dirs(self.visible.parent().unwrap_or(&self.visible))?;
            return storage.rename_noreplace(&self.aside, &self.visible);
        }
        self.sync(storage)
    }

    /// Seen is not synced.
    fn sync(&self, storage: &dyn Storage) -> Result<(), StorageError> {
        for dir in [self.visible.parent(), self.aside.parent()].into_iter().flatten() {
            if storage.stat(dir)?.is_some() {
                storage.sync_dir(dir)?;
            }
        }
        Ok(())
    }
}

impl Places {
    /// Returns where the result of `old` was published, and the same place in each of these outputs.
    pub(super) fn of<'a>(old: &'a FileRow, outputs: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut places: Vec<Place> = Vec::new();
        let Some(published) = old.final_dir.as_deref() else { return Self(places) };
        for output in names::output_of(published).into_iter().chain(outputs) {
            let Some(visible) = names::in_output(output, published) else { continue };
            if places.iter().all(|place| place.visible != visible) {
                let aside = places::retired(output).join(old.id.as_str());
                places.push(Place { aside, work: places::ours(output), visible });
            }
        }
        Self(places)
    }

    /// Whether it lies in any of them, seen or not.
    pub(super) fn hold_it(&self, storage: &dyn Storage) -> Result<bool, StorageError> {
        for place in &self.0 {
            if place.holds_it(storage)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says that it is not to be found, for a person.
    pub(super) fn searched(&self, old: &FileId) -> String {
        let places: Vec<_> = self.0.iter().map(|place| place.visible.display().to_string()).collect();
        format!("the result of {old}, which its replay is to take the place of, is not to be found: {}", none(&places))
    }
}

fn none(places: &[String]) -> String {
    match places {
        [only] => format!("there is no {only}"),
        several => format!("it is none of {}", several.join(", ")),
    }
}

/// Returns what to do when the result of `old` is not to be found.
pub(super) fn advice(old: &FileId) -> String {
    format!(
        "if it was moved, or its volume is not mounted, see to it that it is in that place again; if it is gone for good, \
         `forebay replay --result-gone {old}` says so"
    )
}

impl Publisher {
    /// Ends a replay of `old` whose result is not to be found, before anything is decided; `None` if it may go on.
    pub(in crate::publish) fn refuse_lost(
        &self,
        pipeline: &Pipeline,
        job: &Job,
        old: &FileId,
    ) -> Result<Option<Finished>, PublishError> {
        let row = self.ledger.get(old)?;
        let places = Places::of(&row, [pipeline.output.as_path()]);
        if places.hold_it(&*self.storage)? || super::is_given_up(&*self.storage, pipeline, old)? {
            return Ok(None);
        }
        let row = self.ledger.get(&job.id)?;
        if row.state != FileState::Claimed {
            return self.finished(pipeline, row).map(Some);
        }
        let refused = self.conflict(pipeline, &row, &places.searched(old), &advice(old))?;
        self.finished(pipeline, refused).map(Some)
    }

    /// Takes the result that a replay replaces out of sight, wherever it is seen. If it is nowhere, says so.
    pub(in crate::publish) fn retire_replaced(
        &self,
        pipeline: &Pipeline,
        row: &FileRow,
    ) -> Result<Result<(), Lost>, PublishError> {
        let Some((old, places)) = self.replaced(pipeline, row)? else { return Ok(Ok(())) };
        let mut found = false;
        for place in &places.0 {
            if place.holds_it(&*self.storage)? {
                place.hide(&*self.storage)?;
                found = true;
            }
        }
        if found || super::is_given_up(&*self.storage, pipeline, &old)? {
            return Ok(Ok(()));
        }
        for place in &places.0 {
            if self.storage.stat(&place.work)?.is_none() {
                // It would come back with its volume, beside the new one.
                let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "it is missing: is its volume mounted?");
                return Err(StorageError::new(Operation::Stat, &place.work, cause).into());
            }
        }
        Ok(Err(Lost { message: places.searched(&old), advice: advice(&old) }))
    }

    /// Puts the result back that a replay was to replace: the replay comes to nothing.
    pub(in crate::publish) fn restore_replaced(&self, pipeline: &Pipeline, row: &FileRow) -> Result<(), PublishError> {
        let Some((_, places)) = self.replaced(pipeline, row)? else { return Ok(()) };
        Ok(places.0.iter().try_for_each(|place| place.show(&*self.storage))?)
    }

    /// Removes what is left of a replay that is published: the marker that asked for it, and what it replaced.
    pub(in crate::publish) fn forget_replaced(&self, pipeline: &Pipeline, row: &FileRow) -> Result<(), PublishError> {
        let Some((old, places)) = self.replaced(pipeline, row)? else { return Ok(()) };
        places.0.iter().try_for_each(|place| self.storage.remove_tree(&place.aside))?;
        self.storage.remove_file(&names::replay_marker(pipeline, &old))?;
        Ok(())
    }

    /// Returns what a file replaces, if it is a replay, and where the result of that may lie.
    fn replaced(&self, pipeline: &Pipeline, row: &FileRow) -> Result<Option<(FileId, Places)>, PublishError> {
        let Some(id) = &row.replaces else { return Ok(None) };
        let old = self.ledger.get(id)?;
        let staged = row.final_dir.as_deref().and_then(names::output_of);
        let places = Places::of(&old, staged.into_iter().chain([pipeline.output.as_path()]));
        Ok(Some((old.id.clone(), places)))
    }
}

/// What a replay is to replace is not to be found.
pub(in crate::publish) struct Lost {
    /// What was looked for and where, for a person.
    pub(in crate::publish) message: String,
    /// What to do.
    pub(in crate::publish) advice: String,
}
