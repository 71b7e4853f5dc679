//! Runs one job and contains its end: whatever the code underneath does, the caller gets a report or a typed error.
//!
//! [`Runner`] is the seam. The daemon runs jobs in child processes ([`Pool`]), so that a crash, an abort, the OOM killer or a
//! hang costs one attempt of one file; `once` runs them on the calling thread ([`InProcess`]). What a child is told and tells
//! is `protocol`; [`serve`] is the child's side.

mod check;
mod confine;
mod contain;
mod pool;
mod process;
mod protocol;
mod replies;
mod serve;

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{self, Config, Pipeline};
use crate::job::{Job, JobError, JobReport, Progress};

pub use check::{LoadError, load};
pub use contain::log_panics;
pub use pool::{Crash, Pool, WorkerCommand};
pub use serve::serve;

/// Runs jobs. Blocking: call it where blocking is allowed.
pub trait Runner: Send + Sync {
    /// Runs one job of a pipeline of `config` to its end. Never panics; checks `stop` at every block.
    fn run(
        &self,
        config: &Arc<Config>,
        pipeline: &Pipeline,
        job: &Job,
        stop: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<JobReport, JobError>;

    /// Reads and validates the configuration at `path`, for jobs of this runner.
    fn load(&self, path: &Path) -> Result<Config, LoadError> {
        Ok(config::load(path)?)
    }

    /// Makes ready for jobs of another configuration, which is not in force yet.
    ///
    /// # Errors
    ///
    /// None of its jobs could be run: says why.
    fn prepare(&self, _config: &Arc<Config>) -> Result<(), String> {
        Ok(())
    }

    /// From now on most jobs are of this configuration.
    fn adopt(&self, _config: &Arc<Config>) {}

    /// Returns the time that the processes of its own that live have had on the processors, in ticks.
    fn processor_ticks(&self) -> u64 {
        0
    }

    /// Returns the resident memory of each process of its own, in bytes, by the number it is known by.
    fn resident(&self) -> Vec<(usize, u64)> {
        Vec::new()
    }
}

/// Runs jobs on the calling thread.
pub struct InProcess {
    clock: Arc<dyn Clock>,
}

impl InProcess {
    /// Returns a runner that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl Runner for InProcess {
    fn run(
        &self,
        _config: &Arc<Config>,
        pipeline: &Pipeline,
        job: &Job,
        stop: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<JobReport, JobError> {
        contain::contain(|| crate::pipeline::run(pipeline, job, stop, &*self.clock, progress))
    }
}
