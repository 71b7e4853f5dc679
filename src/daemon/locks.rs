//! One daemon per inbox and per output: two of them would take each other's claimed files for nobody's, and sweep each other's
//! staging. A pipeline is locked before anything in its folders is touched, and stays so until its last file is done.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::generation::{Generation, Lane};
use super::{DaemonError, Told};
use crate::config::{OnSuccess, Pipeline};
use crate::job::places;
use crate::storage::{FolderLock, LockError, Storage, holder, place_of, refuse_links};
use crate::telemetry::Telemetry;

/// The locks this process holds, by what they lock: the pipelines of two configurations share them. Taken and given back one
/// at a time, as a lock that is about to be given back is held still.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<HashMap<(u64, u64), Arc<FolderLock>>>);

/// The locks of one pipeline.
#[derive(Debug, Default)]
pub(super) struct Held {
    input: Mutex<Option<Arc<FolderLock>>>,
    output: Mutex<Option<Arc<FolderLock>>>,
}

/// Why a pipeline may not touch its folders.
#[derive(Debug)]
pub(super) enum NotOurs {
    /// Another daemon does.
    Another(PathBuf, Option<u32>),
    /// Its folders are not as they must be; says how.
    Unsound(String),
    /// This folder of ours in its output is not there, and not to be made: its volume may not be mounted.
    Gone(PathBuf),
}

impl std::fmt::Display for NotOurs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Another(dir, pid) => {
                let (dir, holder) = (dir.display(), holder(*pid));
                write!(f, "another forebay ({holder}) works in {dir}: stop it, or give this one other folders")
            }
            Self::Unsound(why) => f.write_str(why),
            Self::Gone(work) => {
                let work = work.display();
                write!(
                    f,
                    "{work} is missing: is its volume mounted? If what lay there is gone for good, make this folder"
                )
            }
        }
    }
}

impl Locks {
    /// Locks the folders of a pipeline that are not locked, or are other folders by now. With `keep` nothing is moved in an
    /// inbox, and any number may read it.
    pub(super) fn lock(&self, storage: &dyn Storage, lane: &Lane) -> Result<(), NotOurs> {
        self.release();
        let Lane { pipeline, locks: held, .. } = lane;
        if pipeline.on_success != OnSuccess::Keep {
            refuse_links(&places::claimed(&pipeline.input)).map_err(|error| NotOurs::Unsound(error.to_string()))?;
            let mut input = held.input.lock().unwrap_or_else(PoisonError::into_inner);
            let still = |lock: &Arc<FolderLock>| place_of(&pipeline.input).is_ok_and(|place| place == lock.place());
            if !input.as_ref().is_some_and(still) {
                *input = None;
                *input = Some(self.take(storage, &pipeline.input)?);
            }
        }
        let mut output = held.output.lock().unwrap_or_else(PoisonError::into_inner);
        if output.is_none() {
            let work = places::ours(&pipeline.output);
            if matches!(storage.stat(&work), Ok(None)) {
                return Err(NotOurs::Gone(work));
            }
            *output = Some(self.take(storage, &pipeline.output)?);
        }
        Ok(())
    }

    fn take(&self, storage: &dyn Storage, dir: &Path) -> Result<Arc<FolderLock>, NotOurs> {
        let unsound = |error: &dyn std::fmt::Display| NotOurs::Unsound(error.to_string());
        storage.make_dirs(&places::ours(dir)).map_err(|error| unsound(&error))?;
        let place = place_of(dir).map_err(|error| unsound(&error))?;
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&place) {
            return Ok(Arc::clone(lock));
        }
        let lock = FolderLock::take(dir).map(Arc::new).map_err(|error| match error {
            LockError::Held(pid) => NotOurs::Another(dir.to_owned(), pid),
            LockError::Storage(error) => unsound(&error),
        })?;
        locks.insert(lock.place(), Arc::clone(&lock));
        Ok(lock)
    }

    /// Gives back what no pipeline and no file needs any more.
    pub(super) fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, lock| Arc::strong_count(lock) > 1);
    }

    /// Locks every pipeline of a configuration that is to take the place of another, but for outputs that are gone. One that is `known` already may have
    /// folders that are not sound: its scans say so, and whoever can write to its inbox must not hold up the others.
    pub(super) fn all(
        &self,
        storage: &dyn Storage,
        generation: &Generation,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        generation.lanes.values().try_for_each(|lane| match self.lock(storage, lane) {
            Ok(()) | Err(NotOurs::Gone(_)) => Ok(()),
            Err(NotOurs::Unsound(_)) if known(&lane.key) => Ok(()),
            Err(why @ (NotOurs::Another(..) | NotOurs::Unsound(_))) => Err(why.to_string()),
        })
    }

    /// Locks every pipeline, and returns those whose folders are sound: the others are told of, and wait.
    pub(super) fn sound(
        &self,
        storage: &dyn Storage,
        generation: &Generation,
        telemetry: &Telemetry,
    ) -> Result<Vec<Arc<Pipeline>>, DaemonError> {
        let mut sound = Vec::new();
        for lane in generation.lanes.values() {
            match self.lock(storage, lane) {
                // Recovery knows what to do without an output.
                Ok(()) | Err(NotOurs::Gone(_)) => sound.push(Arc::clone(&lane.pipeline)),
                Err(NotOurs::Unsound(why)) => {
                    let message =
                        format!("{}: {why}; its files wait until then, those in progress for a restart", lane.key);
                    telemetry.emit(Told::Error { component: "publish", kind: "recover", message: &message });
                }
                Err(another @ NotOurs::Another(..)) => return Err(DaemonError::Shared(another.to_string())),
            }
        }
        Ok(sound)
    }
}

impl Held {
    /// Returns whether this pipeline may touch its folders.
    pub(super) fn are_ours(&self, pipeline: &Pipeline) -> bool {
        let held = |lock: &Mutex<Option<_>>| lock.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        held(&self.output) && (pipeline.on_success == OnSuccess::Keep || held(&self.input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;

    fn generation(dir: &Path, pipelines: &str) -> Generation {
        let text = format!("[paths]\nbase = \"data\"\n{pipelines}");
        let config = crate::config::parse(&text, &dir.join("forebay.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        super::super::setup::make_folders(&Disk::new(), &config).unwrap();
        for pipeline in &config.pipelines {
            Disk::new().make_dirs(&places::staging(&pipeline.output)).unwrap();
        }
        Generation::of(config)
    }

    #[test]
    fn a_pipeline_is_locked_until_nobody_needs_it_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[pipelines.p]\ncolumns.x = \"int64\"";
        let (ours, theirs) = (Locks::default(), Locks::default());
        let first = generation(dir.path(), text);
        ours.all(&Disk::new(), &first, |_| false).unwrap();
        let next = generation(dir.path(), &format!("{text}\n[pipelines.q]\ncolumns.x = \"int64\""));
        ours.all(&Disk::new(), &next, |_| false).expect("a reload shares the locks of before");
        drop(first);
        let other = generation(dir.path(), text);
        let refused = theirs.all(&Disk::new(), &other, |_| false).unwrap_err();
        assert!(refused.contains(&format!("another forebay (pid {})", std::process::id())), "{refused}");
        assert!(refused.contains("data/in/p"), "{refused}");
        assert!(!other.lanes["p"].locks.are_ours(&other.lanes["p"].pipeline));
        let file_in_progress = Arc::clone(&next.lanes["p"]);
        drop(next);
        ours.release();
        assert!(theirs.all(&Disk::new(), &other, |_| false).is_err(), "its last file is not done");
        drop(file_in_progress);
        ours.release();
        theirs.all(&Disk::new(), &other, |_| false).unwrap();
        assert!(other.lanes["p"].locks.are_ours(&other.lanes["p"].pipeline));
    }

    #[test]
    fn who_moves_nothing_shares_an_inbox_but_no_output() {
        let dir = tempfile::tempdir().unwrap();
        let text = |output: &str| {
            let columns = "columns.x = \"int64\"\non_success = \"keep\"";
            generation(dir.path(), &format!("[pipelines.p]\noutput = \"{output}\"\n{columns}"))
        };
        let (ours, theirs) = (Locks::default(), Locks::default());
        let (first, second, same) = (text("a"), text("b"), text("a"));
        ours.all(&Disk::new(), &first, |_| false).unwrap();
        theirs.all(&Disk::new(), &second, |_| false).unwrap();
        let refused = theirs.all(&Disk::new(), &same, |_| false).unwrap_err();
        assert!(refused.contains("/a: stop it"), "{refused}");
    }

    #[test]
    fn an_inbox_that_was_replaced_is_locked_anew() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[pipelines.p]\ncolumns.x = \"int64\"";
        let (ours, theirs) = (Locks::default(), Locks::default());
        let (first, other) = (generation(dir.path(), text), generation(dir.path(), text));
        ours.all(&Disk::new(), &first, |_| false).unwrap();
        let inbox = dir.path().join("data/in/p");
        rustix::fs::rename(&inbox, dir.path().join("away")).unwrap();
        Disk::new().make_dirs(&inbox).unwrap();
        ours.all(&Disk::new(), &first, |_| false).unwrap();
        assert!(theirs.all(&Disk::new(), &other, |_| false).unwrap_err().contains("data/in/p"));
    }

    #[test]
    fn a_link_in_an_inbox_holds_up_no_reload_that_does_not_bring_it() {
        let dir = tempfile::tempdir().unwrap();
        let generation = generation(dir.path(), "[pipelines.p]\ncolumns.x = \"int64\"");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("data/in/p/.forebay")).unwrap();
        let locks = Locks::default();
        let refused = locks.all(&Disk::new(), &generation, |_| false).unwrap_err();
        assert!(refused.contains("symbolic link"), "{refused}");
        locks.all(&Disk::new(), &generation, |key| key == "p").unwrap();
        assert!(!generation.lanes["p"].locks.are_ours(&generation.lanes["p"].pipeline), "its files wait");
    }
}
