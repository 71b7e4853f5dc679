//! Publishing without a ledger, for `forebay once`: same layout, same manifest, same syncs; the input stays where it is.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Manifest, PublishError, gate, names, trace_id};
use crate::clock::Clock;
use crate::config::Pipeline;
use crate::job::{Job, JobReport, display_name, places};
use crate::ledger::IdSource;
use crate::storage::{Opened, Operation, Storage, StorageError, open_regular};

mod shared;

pub(super) use shared::sweep_abandoned;

/// Makes jobs of given files and publishes their outputs below one root.
pub struct Plain {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    root: PathBuf,
    /// Held as long as something of ours may be staged.
    working: Mutex<Option<File>>,
}

impl Plain {
    /// Returns a publisher that lays results out as `root/ingest_date=.../<id>/`. The daemon's root is the pipeline's output;
    /// with `--out DIR` it is `DIR/<pipeline>`.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, root: PathBuf) -> Self {
        Self { storage, clock, ids: IdSource::after(None), root, working: Mutex::default() }
    }

    /// Returns a job for one file, with an empty staging directory. Its arrival is now.
    pub fn job(&self, pipeline: &Pipeline, file: &Path) -> Result<Job, PublishError> {
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = file.file_name().unwrap_or_else(|| OsStr::new(""));
        let refused = |kind: std::io::ErrorKind| StorageError::new(Operation::Read, file, kind);
        // A person named this file, so a link is followed; the daemon does not.
        let real = std::fs::canonicalize(file).map_err(|err| StorageError::new(Operation::Read, file, err))?;
        let (real_folder, real_name) = (real.parent().unwrap_or(folder), real.file_name().unwrap_or(name));
        let stamp = match open_regular(real_folder, real_name)? {
            Opened::File(_, stamp) => stamp,
            Opened::Missing => return Err(refused(std::io::ErrorKind::NotFound).into()),
            Opened::NotAFile("unreadable") => return Err(refused(std::io::ErrorKind::PermissionDenied).into()),
            Opened::NotAFile("directory") => return Err(refused(std::io::ErrorKind::IsADirectory).into()),
            Opened::NotAFile(_) => return Err(refused(std::io::ErrorKind::InvalidInput).into()),
        };
        let now = self.clock.now();
        let id = self.ids.next(now);
        let root = places::once(&self.root);
        let staging = root.join(format!("{id}-1"));
        self.make_staging(&root, &staging)?;
        Ok(Job {
            id,
            pipeline: pipeline.name.clone(),
            input: real,
            name: display_name(name),
            stamp,
            arrived_at: now,
            staging,
            attempt: 1,
            trace_id: trace_id(),
        })
    }

    /// Another `once` that ends may sweep the shared folder between the two steps.
    fn make_staging(&self, root: &Path, staging: &Path) -> Result<(), PublishError> {
        for _ in 0..3 {
            self.storage.make_dirs(root)?;
            let Some(working) = shared::join(&*self.storage, root)? else { continue };
            match self.storage.make_scratch_dir(staging) {
                Err(err) if err.is_missing() => continue,
                Err(err) if !err.is_taken() => return Err(err.into()),
                _ => {}
            }
            // What is held must be what others look at.
            if shared::is(&working, &*self.storage, root)? {
                *self.working.lock().unwrap_or_else(PoisonError::into_inner) = Some(working);
                return Ok(());
            }
        }
        Ok(self.storage.make_dirs(staging)?)
    }

    /// Publishes what a job staged and returns the directory and its manifest.
    pub fn publish(
        &self,
        pipeline: &Pipeline,
        job: &Job,
        report: &JobReport,
    ) -> Result<(PathBuf, Manifest), PublishError> {
        gate::check(&*self.storage, &job.staging, report)?;
        let manifest = Manifest::of(pipeline, job, report, Some(job.arrived_at), self.clock.now());
        gate::make_durable(&*self.storage, &job.staging, report, &manifest)?;
        let target = names::published(&self.root, &job.id, job.arrived_at);
        if let Some(day) = target.parent() {
            self.storage.make_dirs(day)?;
        }
        self.storage.rename_noreplace(&job.staging, &target)?;
        self.sweep();
        Ok((target, manifest))
    }

    /// Removes what a job staged.
    pub fn discard(&self, job: &Job) -> Result<(), PublishError> {
        self.storage.remove_tree(&job.staging)?;
        self.sweep();
        Ok(())
    }

    /// Removes the work folders when nobody uses them any more: another `once` may.
    fn sweep(&self) {
        for empty in [places::once(&self.root), places::ours(&self.root)] {
            drop(self.storage.remove_empty_dir(&empty));
        }
    }
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("root", &self.root).finish_non_exhaustive()
    }
}
