//! The workers of a daemon: warm, reused, and replaced when they crash, hang, or keep memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use super::process::{Death, Ended, Patience, Process};
use super::{LoadError, Runner};
use crate::clock::Clock;
use crate::config::{Config, Pipeline};
use crate::job::{CrashCause, Job, JobError, JobReport, Progress, RetryReason};

/// A worker that holds more than this after a job is replaced: what the allocator keeps does not come back otherwise.
const KEPT_BYTES: u64 = 160 << 20;

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program: this one.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// A worker, or the attempt in it, came to a bad end.
#[derive(Debug)]
pub struct Crash<'a> {
    /// How, in one word.
    pub cause: CrashCause,
    /// How, for a person.
    pub message: &'a str,
    /// The job it was running; `None`: it had not begun.
    pub job: Option<&'a Job>,
}

/// Runs jobs in child processes.
pub struct Pool {
    command: WorkerCommand,
    clock: Arc<dyn Clock>,
    observe: Box<dyn Fn(&Crash<'_>) + Send + Sync>,
    workers: Mutex<Workers>,
}

struct Workers {
    idle: Vec<Worker>,
    /// Process ids by number; `None` is a number that is free.
    numbers: Vec<Option<u32>>,
    /// The configuration in force: workers that know another one are not kept.
    config: Arc<Config>,
    told_unconfined: bool,
}

/// A worker and the number it is known by.
struct Worker {
    number: usize,
    config: Arc<Config>,
    process: Process,
}

impl Pool {
    /// Returns a pool that starts workers as jobs come, and tells `observe` of every crash.
    #[must_use]
    pub fn new(
        command: WorkerCommand,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        observe: Box<dyn Fn(&Crash<'_>) + Send + Sync>,
    ) -> Self {
        let workers = Workers { idle: Vec::new(), numbers: Vec::new(), config, told_unconfined: false };
        Self { command, clock, observe, workers: Mutex::new(workers) }
    }

    /// Starts a worker for each file that is processed at once, so that the first files need not wait for them.
    ///
    /// # Errors
    ///
    /// None can be started: no file ever will be processed.
    pub fn warm_up(&self) -> Result<(), String> {
        let config = Arc::clone(&self.workers().config);
        (0..config.workers).try_for_each(|_| self.prepare(&config))
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, config: &Arc<Config>) -> Result<Worker, Death> {
        let idle = {
            let idle = &mut self.workers().idle;
            let knows = idle.iter().rposition(|worker| Arc::ptr_eq(&worker.config, config));
            knows.map(|at| idle.swap_remove(at))
        };
        idle.map_or_else(|| self.start(config), Ok)
    }

    fn start(&self, config: &Arc<Config>) -> Result<Worker, Death> {
        let (process, unconfined) = Process::start(&self.command, config)?;
        let mut workers = self.workers();
        if let Some(why) = unconfined.filter(|_| !std::mem::replace(&mut workers.told_unconfined, true)) {
            tracing::warn!(why, "workers keep rights that no job needs");
        }
        let id = Some(process.id());
        let free = workers.numbers.iter().position(Option::is_none);
        let number = free.unwrap_or(workers.numbers.len());
        match workers.numbers.get_mut(number) {
            Some(free) => *free = id,
            None => workers.numbers.push(id),
        }
        drop(workers);
        Ok(Worker { number, config: Arc::clone(config), process })
    }

    fn retire(&self, worker: Worker) {
        let number = worker.number;
        drop(worker);
        if let Some(number) = self.workers().numbers.get_mut(number) {
            *number = None;
        }
    }

    /// Keeps a worker for the next job, unless a fresh one is better.
    fn keep(&self, worker: Worker, ended: &Ended) {
        // After an I/O error too: its rights name folders as they were when it started.
        let io = matches!(ended.result, Err(JobError::Retry { .. }));
        let mut workers = self.workers();
        let wanted = Arc::ptr_eq(&worker.config, &workers.config) && workers.idle.len() < workers.config.workers;
        if wanted && !io && ended.resident <= KEPT_BYTES {
            workers.idle.push(worker);
        } else {
            drop(workers);
            self.retire(worker);
        }
    }

    fn crashed(&self, death: &Death, job: Option<&Job>) {
        (self.observe)(&Crash { cause: death.cause, message: &death.message, job });
    }
}

impl Runner for Pool {
    fn run(
        &self,
        config: &Arc<Config>,
        _pipeline: &Pipeline,
        job: &Job,
        stop: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<JobReport, JobError> {
        let mut worker = self.take(config).map_err(|death| {
            self.crashed(&death, None);
            JobError::Retry { reason: RetryReason::NoWorker, message: format!("no worker: {}", death.message) }
        })?;
        let kills = out_of_memory_kills();
        match worker.process.run(job, stop, progress, &*self.clock, Patience::of(config)) {
            Ok(ended) => {
                if ended.panicked {
                    let message = ended.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
                    self.crashed(&Death { cause: CrashCause::Panic, message }, Some(job));
                }
                self.keep(worker, &ended);
                ended.result
            }
            Err(mut death) => {
                self.retire(worker);
                if death.cause == CrashCause::Killed && out_of_memory_kills() > kills {
                    death.cause = CrashCause::OutOfMemory;
                }
                self.crashed(&death, Some(job));
                Err(attempt_lost(&death))
            }
        }
    }

    fn load(&self, path: &Path) -> Result<Config, LoadError> {
        super::load(&self.command, path)
    }

    fn prepare(&self, config: &Arc<Config>) -> Result<(), String> {
        let worker = self.start(config).map_err(|death| death.message)?;
        self.workers().idle.push(worker);
        Ok(())
    }

    fn adopt(&self, config: &Arc<Config>) {
        let others: Vec<Worker> = {
            let mut workers = self.workers();
            workers.config = Arc::clone(config);
            workers.idle.extract_if(.., |worker| !Arc::ptr_eq(&worker.config, config)).collect()
        };
        for worker in others {
            self.retire(worker);
        }
    }

    fn processor_ticks(&self) -> u64 {
        let numbers = self.workers().numbers.clone();
        numbers.into_iter().flatten().filter_map(crate::telemetry::process::processor_ticks_of).sum()
    }

    fn resident(&self) -> Vec<(usize, u64)> {
        let numbers = self.workers().numbers.clone();
        let resident =
            |(number, id): (usize, Option<u32>)| Some((number, crate::telemetry::process::resident_of(id?)?));
        numbers.into_iter().enumerate().filter_map(resident).collect()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("command", &self.command).finish_non_exhaustive()
    }
}

/// Returns what the death of a worker means for the file it had.
fn attempt_lost(death: &Death) -> JobError {
    let Death { cause, message } = death;
    let reason = if *cause == CrashCause::OutOfMemory { RetryReason::OutOfMemory } else { RetryReason::Crash };
    JobError::Retry { reason, message: format!("the worker that had this file died ({cause}): {message}") }
}

/// Returns how many processes of this control group the kernel has killed for memory; `None` where it does not tell.
fn out_of_memory_kills() -> Option<u64> {
    static COUNTS: OnceLock<Option<String>> = OnceLock::new();
    let counts = std::fs::read_to_string(COUNTS.get_or_init(memory_events).as_deref()?).ok()?;
    counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Returns where this control group's memory events are counted.
fn memory_events() -> Option<String> {
    let group = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        match rest.split_once(':')? {
            ("", path) => Some(format!("/sys/fs/cgroup{path}/memory.events")),
            ("memory", path) => Some(format!("/sys/fs/cgroup/memory{path}/memory.oom_control")),
            _ => None,
        }
    };
    group.lines().find_map(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::worker::process::tests::a_job;

    #[test]
    fn a_worker_that_cannot_be_started_is_not_held_against_the_file() {
        let text = "pipelines.p.columns.a = \"int64\"";
        let config = Arc::new(crate::config::parse(text, Path::new("/f.toml")).unwrap());
        let job = a_job();
        // The second one starts, and leaves instead of greeting.
        for program in ["/nowhere/forebay", "/bin/false"] {
            let command = WorkerCommand { program: program.into(), args: Vec::new() };
            let pool = Pool::new(command, Arc::clone(&config), Arc::new(SystemClock), Box::new(|_| {}));
            let ended = pool.run(&config, &config.pipelines[0], &job, &CancellationToken::new(), &|_| {});
            assert!(matches!(ended, Err(JobError::Retry { reason: RetryReason::NoWorker, .. })), "{ended:?}");
        }
    }
}
