//! The daemon: wires the rooms together and watches over its tasks. Decides nothing about files.
//!
//! Three tasks: the endpoint, the engine's loop, and upkeep. The first that ends without being asked to stops the others,
//! by name, and the process ends with an error: a daemon nobody can watch, or that does nothing, is worse than none.

mod apart;
mod door;
mod effects;
mod error;
mod failing;
mod fields;
mod files;
mod flight;
mod generation;
mod locks;
mod look;
mod manager;
mod reload;
mod run;
mod setup;
mod story;
mod upkeep;
mod view;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admit::Arrival;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::{Event, Now, RetryPolicy};
use crate::http::ReloadRequest;
use crate::job::{FileId, Job, JobReport};
use crate::ledger::FileRow;
use crate::lifecycle::Lifecycle;
use crate::publish::Publisher;
use crate::storage::Storage;
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event as Told;
use crate::worker::{Runner, WorkerCommand, log_panics};

use generation::{Generation, Lane, Plans};

pub use error::DaemonError;
pub use files::enough as enough_files;
pub use view::{LedgerView, document};

/// How long jobs that were told to stop may take until the daemon leaves without them.
const LAST_BLOCK: Duration = Duration::from_secs(10);

/// How long the other tasks may take to end after the engine has.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long threads may take to end after everything else has.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// How long the endpoint waits for what is known before it answers the first request. A start may take longer than that, and
/// whoever asks then must be told so.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

/// What the caller may want besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    /// Where the configuration came from: looked at again on SIGHUP.
    pub config_path: Option<PathBuf>,
    /// Who is told what happens, besides telemetry.
    pub notices: Option<UnboundedSender<Notice>>,
    /// How often and how soon failed attempts are tried again.
    pub retry: RetryPolicy,
    /// How to start workers; `None`: jobs run in this process, and what crashes them crashes it.
    pub worker: Option<WorkerCommand>,
}

/// What [`DaemonOptions::notices`] hears of.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The endpoint is there, on this address.
    Listening(SocketAddr),
    /// Recovery and the first scans are done.
    Ready,
    /// An attempt begins.
    Started {
        /// Its pipeline.
        pipeline: String,
        /// Its id.
        id: FileId,
        /// Its name, fit to be shown.
        name: String,
    },
    /// A file reached its outcome: everything the ledger knows of it.
    Finished(Box<FileRow>),
}

/// What all effects share.
struct Shared {
    plans: Mutex<Plans>,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    storage: Arc<dyn Storage>,
    publisher: Publisher,
    runner: Box<dyn Runner>,
    retry: RetryPolicy,
    /// Claimed files, with the attempt under way.
    files: Mutex<HashMap<FileId, Held>>,
    /// Attempts that wait to be published.
    staged: Mutex<HashMap<FileId, Staged>>,
    watcher: Mutex<look::Watch>,
    /// The folders that are ours alone.
    locks: locks::Locks,
    /// To the engine, for what no effect ends with.
    events: Events,
    /// How long counting the ledger took last, in nanoseconds.
    counting_took: AtomicU64,
    /// Tells the jobs in progress to stop.
    cancel: CancellationToken,
    /// Cancelled once the first scans are done and the backlog was told.
    known: CancellationToken,
    notices: Option<UnboundedSender<Notice>>,
}

/// A claimed file.
#[derive(Debug, Clone)]
struct Held {
    lane: Arc<Lane>,
    arrival: Arrival,
    job: Option<Job>,
}

/// What an attempt came to.
struct Staged {
    flight: flight::Flight,
    report: JobReport,
}

impl Shared {
    fn now(&self) -> Now {
        Now { monotonic: self.clock.monotonic(), wall: self.clock.now() }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Held>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staged(&self) -> MutexGuard<'_, HashMap<FileId, Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the configuration in force.
    fn plan(&self) -> Arc<Generation> {
        Arc::clone(&self.plans().current)
    }

    /// Returns the pipeline of this name, if the configuration in force has it.
    fn lane(&self, key: &str) -> Option<Arc<Lane>> {
        self.plans().current.lanes.get(key).cloned()
    }

    fn notice(&self, notice: impl FnOnce() -> Notice) {
        if let Some(notices) = &self.notices {
            // Whoever asked to be told may have stopped listening.
            drop(notices.send(notice()));
        }
    }

    fn error(&self, component: &'static str, kind: &'static str, message: &str) {
        self.telemetry.emit(Told::Error { component, kind, message });
    }
}

/// Runs the daemon on a runtime of its own and lets SIGTERM, SIGINT and SIGHUP steer it. Blocks until it has ended; a job
/// that would not stop does not keep the process.
pub fn start(config: Config, options: DaemonOptions, life: &Lifecycle) -> Result<(), DaemonError> {
    let runtime = runtime(&config)?;
    let ended = runtime.block_on(async {
        life.listen_to_signals().map_err(DaemonError::Runtime)?;
        // On a task: a panic must end the process, and not wait on its way for jobs that nobody stops any more.
        let ended = tokio::spawn(run(config, options, life.clone())).await;
        ended.map_err(|error| DaemonError::Task { name: "the daemon", message: error.to_string() })?
    });
    // A job that does not hear the stop must not keep the process: it is taken up again at the next start.
    runtime.shutdown_timeout(LAST_THREADS);
    ended
}

/// Returns a runtime that a daemon of this configuration can run on, with all the open files it may need.
pub fn runtime(config: &Config) -> Result<tokio::runtime::Runtime, DaemonError> {
    files::enough_for(config)?;
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("forebay").enable_all().build();
    threads.map_err(DaemonError::Runtime)
}

/// Runs the daemon until `life` asks it to end or something it cannot live without fails.
pub async fn run(config: Config, options: DaemonOptions, life: Lifecycle) -> Result<(), DaemonError> {
    log_panics();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let telemetry = Telemetry::new(&setup::infos(&config));
    let door = door::open(&config, &telemetry).await?;
    setup::announce(&config, &telemetry, &*clock, &door.addresses);
    door.warn(&telemetry);
    if let (Some(notices), Some(address)) = (&options.notices, door.addresses.first()) {
        drop(notices.send(Notice::Listening(*address)));
    }
    let view = Arc::new(LedgerView::new(&config));
    let end = CancellationToken::new();
    // However this ends, the endpoint's own thread ends too.
    let _end_with_us = end.clone().drop_guard();
    let (reload, mut reload_asked) = tokio::sync::mpsc::channel(1);
    let reload = config.enable_lifecycle.then_some(reload);
    let mut tasks = Tasks::default();
    let web = door.web.clone();
    let endpoint = crate::http::Endpoint { telemetry: telemetry.clone(), view: Arc::clone(&view) as _, reload, web };
    let served = crate::http::serve_apart(door.listeners, endpoint, end.clone());
    let known = CancellationToken::new();
    let answering = first_answer(known.clone(), end.clone());
    tasks.spawn("http", async {
        answering.await;
        served.await.map_err(|error| error.to_string())
    });

    let (events, inbox) = unbounded_channel();
    let path = options.config_path.clone();
    let prepared = tokio::task::spawn_blocking({
        let (telemetry, events, view) = (telemetry.clone(), events.clone(), Arc::clone(&view));
        move || setup::prepare(config, options, telemetry, clock, &view, events, known)
    });
    // A start that hangs (a locked disk, say) can still be stopped.
    let prepared = tokio::select! {
        prepared = prepared => prepared.map_err(|error| DaemonError::Task { name: "start", message: error.to_string() })?,
        () = life.stopping().cancelled() => return Ok(()),
        never = refuse_reloads(&mut reload_asked) => match never {},
    };
    let (shared, state) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            end.cancel();
            return Err(error);
        }
    };
    let shared = Arc::new(shared);
    let reloader =
        reload::Reloader { path, shared: Arc::clone(&shared), view, web: door.web, events, life: life.clone() };
    tasks.spawn("reload", until(end.clone(), reloader.serve(reload_asked)));
    tasks.spawn("upkeep", until(end.clone(), upkeep::keep(Arc::clone(&shared))));
    tasks.spawn("engine", run::drive(Arc::clone(&shared), state, inbox, life.clone()));
    let ended = supervise(tasks, &shared.telemetry, &life, &end).await;
    // After an orderly drain there is none left.
    shared.cancel.cancel();
    if ended.is_ok() {
        shared.telemetry.emit(Told::Stopped);
    }
    ended
}

/// Waits until everything is known that a scrape tells: a quarantine that seems empty because nobody has looked yet would
/// call off an alert. Connections wait that long, too, unless the start takes its time.
async fn first_answer(known: CancellationToken, end: CancellationToken) {
    tokio::select! {
        () = known.cancelled() => {}
        () = end.cancelled() => {}
        () = tokio::time::sleep(FIRST_ANSWER) => {}
    }
}

/// Lets nobody who asks for a reload wait for the end of a start: a request that is dropped is answered.
async fn refuse_reloads(asked: &mut Receiver<ReloadRequest>) -> Infallible {
    while let Some(request) = asked.recv().await {
        drop(request);
    }
    std::future::pending().await
}

/// Waits for the end of the engine; the first task that ends before it was asked to is what ends the daemon.
async fn supervise(
    mut tasks: Tasks,
    telemetry: &Telemetry,
    life: &Lifecycle,
    end: &CancellationToken,
) -> Result<(), DaemonError> {
    let mut fault = None;
    while let Some((name, result)) = tasks.join_next().await {
        let message = match result {
            Ok(()) if name == "engine" && life.draining().is_cancelled() => String::new(),
            Ok(()) => "it ended without being asked to".to_owned(),
            Err(message) => message,
        };
        if !message.is_empty() && fault.is_none() {
            let component = if name == "http" { "http" } else { "worker" };
            telemetry.emit(Told::Error { component, kind: "other", message: &format!("{name} ended: {message}") });
            fault = Some(DaemonError::Task { name, message });
            life.drain(name);
        }
        if name == "engine" {
            break;
        }
    }
    end.cancel();
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    fault.map_or(Ok(()), Err)
}

/// Runs a task until it is told to end.
async fn until(end: CancellationToken, task: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::select! {
        result = task => result,
        () = end.cancelled() => Ok(()),
    }
}

/// Tasks that are known by name, however they end.
#[derive(Default)]
struct Tasks {
    set: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = Result<(), String>> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    async fn join_next(&mut self) -> Option<(&'static str, Result<(), String>)> {
        let (id, result) = match self.set.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(error.to_string())),
        };
        Some((self.names.get(&id).copied().unwrap_or("a task"), result))
    }
}

/// Where the engine's events come from.
type Events = UnboundedSender<Event>;
type Inbox = UnboundedReceiver<Event>;

#[cfg(test)]
mod tests;
