//! The start: folders, ledger, recovery, and what the engine knows before its first scan.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::locks::Locks;
use super::look::Watch;
use super::{DaemonError, DaemonOptions, Events, Generation, Held, Lane, LedgerView, Plans, Shared, Told};
use crate::admit::Arrival;
use crate::clock::Clock;
use crate::config::{Config, OnSuccess, Pipeline};
use crate::engine::{Claimed, Event, Limits, RetryPolicy, Rules, State, Tally};
use crate::job::display_name;
use crate::ledger::{Ledger, LedgerError, PipelineTimes};
use crate::publish::{PublishError, Publisher, Recovered, any_result};
use crate::storage::{Disk, Storage, StorageError};
use crate::telemetry::event::Loaded;
use crate::telemetry::{PipelineInfo, Telemetry, process};
use crate::worker::{Crash, InProcess, Pool, Runner, WorkerCommand};

/// Files that wait for the disk beside those the workers have. Measured with files of a hundred rows on two cores: fewer wait
/// for each other's syncs, more gain nothing.
const AHEAD: usize = 16;

/// Operations of the ledger that have a label of their own.
const OPERATIONS: &[&str] = &["open", "claim", "attempt", "stage", "publish", "finish", "query"];

/// Returns what telemetry needs to know of the pipelines.
pub(super) fn infos(config: &Config) -> Vec<PipelineInfo> {
    let info = |pipeline: &Arc<Pipeline>| PipelineInfo {
        name: pipeline.name.clone(),
        rules: pipeline.rules.iter().map(|rule| rule.name.clone()).collect(),
        freshness: pipeline.freshness,
        latency: pipeline.latency,
        scan_interval: pipeline.scan_interval,
    };
    config.pipelines.iter().map(info).collect()
}

/// Tells what starts here.
pub(super) fn announce(config: &Config, telemetry: &Telemetry, clock: &dyn Clock, listen: &[SocketAddr]) {
    telemetry.emit(Told::Starting { pipelines: config.pipelines.len(), listen });
    tell_limits(config, telemetry);
    telemetry.emit(Told::ConfigLoaded { at: clock.now(), outcome: Loaded::TakenUp, message: "" });
}

/// Tells what all files together may have.
pub(super) fn tell_limits(config: &Config, telemetry: &Telemetry) {
    telemetry.emit(Told::Limits { workers: config.workers, memory_budget: memory_budget(config) });
}

/// Returns the memory jobs may need together: what the configuration says, or most of what there is. The rest is for this
/// process, and for the pages of the files themselves.
fn memory_budget(config: &Config) -> Option<u64> {
    config.memory.or_else(|| process::available_memory().map(|bytes| bytes / 10 * 7))
}

/// Does everything that comes before the first scan. Blocking.
pub(super) fn prepare(
    config: Config,
    options: DaemonOptions,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    view: &LedgerView,
    events: Events,
    known: CancellationToken,
) -> Result<(Shared, State), DaemonError> {
    let storage: Arc<dyn Storage> = Arc::new(Disk::new());
    refuse_lost_ledger(&*storage, &config)?;
    make_folders(&*storage, &config)?;
    crate::config::check_folders(&config).map_err(DaemonError::Folders)?;
    let ledger = Arc::new(open_ledger(&config, &telemetry, &clock)?);
    view.open(&config)?;
    let publisher = Publisher::new(Arc::clone(&storage), Arc::clone(&ledger), Arc::clone(&clock));
    make_outputs(&publisher, &config, &telemetry).map_err(DaemonError::Recovery)?;
    let first = Arc::new(Generation::of(config));
    let (config, locks) = (&first.config, Locks::default());
    let recovered = publisher.recover(&locks.sound(&*storage, &first, &telemetry)?).map_err(DaemonError::Recovery)?;
    tell_restored(&telemetry, &restored(&ledger, &config.pipelines)?);
    let mut state = State::new(rules(config), limits(config, options.retry), fastrand::u64(..));
    let watcher = Mutex::new(Watch::new(config, &telemetry, events.clone()));
    let shared = Shared {
        files: Mutex::default(),
        staged: Mutex::default(),
        watcher,
        locks,
        events,
        cancel: CancellationToken::new(),
        known,
        counting_took: AtomicU64::new(0),
        runner: runner(options.worker, &first.config, &telemetry, &clock)?,
        notices: options.notices,
        retry: options.retry,
        plans: Mutex::new(Plans::new(Arc::clone(&first))),
        telemetry,
        clock,
        storage,
        publisher,
    };
    for event in kept(&ledger, first.lanes.values())?.into_iter().chain(take_up(&shared, recovered)) {
        // Before its begin the engine only takes note.
        drop(state.apply(event, shared.now()));
    }
    shared.holdings();
    Ok((shared, state))
}

/// Refuses to begin with an empty ledger beside results: whatever is dropped again would be published again.
fn refuse_lost_ledger(storage: &dyn Storage, config: &Config) -> Result<(), DaemonError> {
    if !Ledger::would_be_new(&config.state)? {
        return Ok(());
    }
    for pipeline in &config.pipelines {
        if let Some(result) = any_result(storage, pipeline)? {
            return Err(DaemonError::LedgerLost { state: config.state.clone(), result });
        }
    }
    Ok(())
}

/// Makes every folder the pipelines need but their outputs.
pub(super) fn make_folders(storage: &dyn Storage, config: &Config) -> Result<(), StorageError> {
    for pipeline in &config.pipelines {
        for dir in [&pipeline.input, &pipeline.archive, &pipeline.quarantine] {
            storage.make_dirs(dir)?;
        }
    }
    Ok(())
}

/// Makes their outputs. One that is gone is told and left alone: its files wait for it, and the other pipelines go on.
pub(super) fn make_outputs(publisher: &Publisher, config: &Config, telemetry: &Telemetry) -> Result<(), PublishError> {
    for pipeline in &config.pipelines {
        match publisher.make_output(pipeline) {
            Err(PublishError::OutputGone(gone)) => {
                let message = format!("{}: {gone}", pipeline.name);
                telemetry.emit(Told::Error { component: "publish", kind: "recover", message: &message });
            }
            made => made?,
        }
    }
    Ok(())
}

/// A pipeline's name, and what the ledger knows of its times.
pub(super) type Restored = (String, PipelineTimes);

/// Returns what the ledger knows of the times of these pipelines.
pub(super) fn restored(ledger: &Ledger, pipelines: &[Arc<Pipeline>]) -> Result<Vec<Restored>, LedgerError> {
    let times = |pipeline: &Arc<Pipeline>| Ok((pipeline.name.clone(), ledger.times(&pipeline.name)?));
    pipelines.iter().map(times).collect()
}

/// Tells it.
pub(super) fn tell_restored(telemetry: &Telemetry, restored: &[Restored]) {
    for (pipeline, times) in restored {
        telemetry.emit(Told::Restored {
            pipeline,
            last_success: times.last_success,
            last_completion: times.last_completion,
            last_failure: times.last_failure,
            last_arrival: times.last_arrival,
        });
    }
}

/// Returns who runs the jobs.
fn runner(
    command: Option<WorkerCommand>,
    config: &Arc<Config>,
    telemetry: &Telemetry,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Runner>, DaemonError> {
    let Some(command) = command else { return Ok(Box::new(InProcess::new(Arc::clone(clock)))) };
    let telemetry = telemetry.clone();
    let observe = move |crash: &Crash<'_>| {
        let (pipeline, id) = crash.job.map_or(("", ""), |job| (job.pipeline.as_str(), job.id.as_str()));
        telemetry.emit(Told::WorkerCrashed { cause: crash.cause, pipeline, id, message: crash.message });
    };
    let pool = Pool::new(command, Arc::clone(config), Arc::clone(clock), Box::new(observe));
    pool.warm_up().map_err(DaemonError::Workers)?;
    Ok(Box::new(pool))
}

fn open_ledger(config: &Config, telemetry: &Telemetry, clock: &Arc<dyn Clock>) -> Result<Ledger, DaemonError> {
    let began = clock.monotonic();
    let ledger = Ledger::open(&config.state, Arc::clone(clock));
    let took = clock.monotonic().saturating_sub(began);
    telemetry.emit(Told::LedgerOperation { op: "open", took, failed: ledger.is_err() });
    let ledger = ledger?;
    let telemetry = telemetry.clone();
    ledger.observe(Box::new(move |op, took, failed| {
        let op = if OPERATIONS.contains(&op) { op } else { "query" };
        telemetry.emit(Told::LedgerOperation { op, took, failed });
    }));
    Ok(ledger)
}

/// Returns what the engine needs to know of all pipelines together.
pub(super) fn limits(config: &Config, retry: RetryPolicy) -> Limits {
    Limits { workers: config.workers, ahead: AHEAD, memory: memory_budget(config), retry }
}

/// Returns what it needs to know of each.
pub(super) fn rules(config: &Config) -> Vec<Rules> {
    let rules = |pipeline: &Arc<Pipeline>| Rules {
        pipeline: pipeline.name.as_str().into(),
        settle: pipeline.settle,
        scan_interval: pipeline.scan_interval,
        keep: pipeline.on_success == OnSuccess::Keep,
        meaning: pipeline.config_hash.as_str().into(),
    };
    config.pipelines.iter().map(rules).collect()
}

/// Returns the files of these pipelines that were done with and stay in their inboxes.
pub(super) fn kept<'l>(ledger: &Ledger, lanes: impl Iterator<Item = &'l Arc<Lane>>) -> Result<Vec<Event>, LedgerError> {
    let mut kept = Vec::new();
    for Lane { key, .. } in lanes.map(|lane| &**lane).filter(|lane| lane.pipeline.on_success == OnSuccess::Keep) {
        let event = |(name, stamp): (OsString, _)| Event::Kept { pipeline: Arc::clone(key), name: name.into(), stamp };
        kept.extend(ledger.kept(key)?.into_iter().map(event));
    }
    Ok(kept)
}

/// Tells what recovery found, and returns what the engine must know of it.
pub(super) fn take_up(shared: &Shared, recovered: Vec<Recovered>) -> Vec<Event> {
    let mut queued = Vec::new();
    for one in recovered {
        match one {
            Recovered::Queued(arrival) => {
                let (pipeline, file_id) = (arrival.pipeline.as_str(), arrival.id.as_str());
                let name = display_name(&arrival.name);
                tracing::info!(pipeline, file_id, name, "a file begun before the last stop is taken up again");
                queued.extend(queue(shared, arrival));
            }
            Recovered::Stuck { arrival, message } => {
                shared.error("publish", "recover", &message);
                queued.extend(queue(shared, arrival));
            }
            Recovered::Finished(finished) => shared.tell_finished(&finished, None),
            Recovered::Dropped { pipeline, name } => {
                tracing::info!(pipeline, name = display_name(&name), "a claim came to nothing: the file arrives anew");
            }
            Recovered::PutBack { pipeline, name } => {
                tracing::info!(pipeline, name = display_name(&name), "a file nobody owned was put back into its inbox");
            }
            Recovered::Left { pipeline, path, message } => {
                let path = display_name(path.as_os_str());
                shared.error("publish", "recover", &format!("{pipeline}: {path} was left where it is: {message}"));
            }
        }
    }
    queued
}

/// Tells only what recovery finished: for pipelines that do not come after all.
pub(super) fn tell_finished(shared: &Shared, recovered: Vec<Recovered>) {
    for one in recovered {
        if let Recovered::Finished(finished) = one {
            shared.tell_finished(&finished, None);
        }
    }
}

fn queue(shared: &Shared, arrival: Arrival) -> Option<Event> {
    let lane = shared.lane(&arrival.pipeline)?;
    let (pipeline, name) = (Arc::clone(&lane.key), arrival.name.as_os_str().into());
    let event = Event::Recovered { pipeline, name, claimed: claimed(shared, &arrival) };
    let held = Held { lane, job: None, arrival };
    shared.files().insert(held.arrival.id.clone(), held);
    Some(event)
}

/// Returns what the engine needs to know of a claimed file.
pub(super) fn claimed(shared: &Shared, arrival: &Arrival) -> Claimed {
    Claimed {
        id: arrival.id.clone(),
        bytes: arrival.stamp.size,
        arrived_at: arrival.arrived_at,
        tally: Tally { attempts: arrival.attempts, crashes: arrival.crashes },
        delay: shared.retry.remaining(arrival.next_attempt_at, shared.clock.now()),
    }
}
