//! The start: folders, ledger, recovery, and what the engine knows before its first scan.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::look::Watch;
use super::{DaemonError, DaemonOptions, Events, Held, Lane, LedgerView, Shared, Told};
use crate::admit::Arrival;
use crate::clock::Clock;
use crate::config::{Config, OnSuccess, Pipeline};
use crate::discover::Names;
use crate::engine::{Claimed, Event, Limits, Rules, State, Tally};
use crate::job::display_name;
use crate::ledger::Ledger;
use crate::publish::{Publisher, Recovered};
use crate::storage::{Disk, Storage};
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
    };
    config.pipelines.iter().map(info).collect()
}

/// Tells what starts here.
pub(super) fn announce(config: &Config, telemetry: &Telemetry, clock: &dyn Clock, listen: &[SocketAddr]) {
    telemetry.emit(Told::Starting { pipelines: config.pipelines.len(), listen });
    telemetry.emit(Told::Limits { workers: config.workers, memory_budget: memory_budget(config) });
    telemetry.emit(Told::ConfigLoaded { at: clock.now(), ok: true, message: "" });
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
) -> Result<(Shared, State), DaemonError> {
    let storage: Arc<dyn Storage> = Arc::new(Disk::new());
    for pipeline in &config.pipelines {
        let staging = pipeline.staging_root();
        for dir in [&pipeline.input, &pipeline.output, &staging, &pipeline.archive, &pipeline.quarantine] {
            storage.make_dirs(dir)?;
        }
    }
    crate::config::check_folders(&config).map_err(DaemonError::Folders)?;
    let ledger = Arc::new(open_ledger(&config, &telemetry, &clock)?);
    view.open(&config)?;
    let publisher = Publisher::new(storage, Arc::clone(&ledger), Arc::clone(&clock));
    let recovered = publisher.recover(&config.pipelines).map_err(DaemonError::Recovery)?;
    for pipeline in &config.pipelines {
        let times = ledger.times(&pipeline.name)?;
        telemetry.emit(Told::Restored {
            pipeline: &pipeline.name,
            last_success: times.last_success,
            last_completion: times.last_completion,
            last_failure: times.last_failure,
            last_arrival: times.last_arrival,
        });
    }
    let lanes = config.pipelines.iter().map(|pipeline| {
        let lane = Lane { pipeline: Arc::clone(pipeline), names: Names::of(pipeline) };
        (Arc::from(pipeline.name.as_str()), lane)
    });
    let memory = memory_budget(&config);
    let limits = Limits { workers: config.workers, ahead: AHEAD, memory, retry: options.retry };
    let mut state = State::new(rules(&config), limits, fastrand::u64(..));
    let shared = Shared {
        lanes: lanes.collect(),
        files: Mutex::default(),
        staged: Mutex::default(),
        watcher: Mutex::new(Watch::new(&config, &telemetry, events)),
        cancel: CancellationToken::new(),
        counting_took: AtomicU64::new(0),
        runner: runner(options.worker, &config, &telemetry, &clock)?,
        notices: options.notices,
        config,
        telemetry,
        clock,
        publisher,
    };
    tell_kept(&shared, &ledger, &mut state)?;
    take_up(&shared, recovered, &mut state);
    Ok((shared, state))
}

/// Returns who runs the jobs.
fn runner(
    command: Option<WorkerCommand>,
    config: &Config,
    telemetry: &Telemetry,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Runner>, DaemonError> {
    let Some(command) = command else { return Ok(Box::new(InProcess::new(Arc::clone(clock)))) };
    let telemetry = telemetry.clone();
    let observe = move |crash: &Crash<'_>| {
        let (pipeline, id) = crash.job.map_or(("", ""), |job| (job.pipeline.as_str(), job.id.as_str()));
        telemetry.emit(Told::WorkerCrashed { cause: crash.cause, pipeline, id, message: crash.message });
    };
    let pool = Pool::new(command, config.clone(), Arc::clone(clock), Box::new(observe));
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

fn rules(config: &Config) -> Vec<Rules> {
    let rules = |pipeline: &Arc<Pipeline>| Rules {
        pipeline: pipeline.name.as_str().into(),
        settle: pipeline.settle,
        scan_interval: pipeline.scan_interval,
        keep: pipeline.on_success == OnSuccess::Keep,
    };
    config.pipelines.iter().map(rules).collect()
}

fn tell_kept(shared: &Shared, ledger: &Ledger, state: &mut State) -> Result<(), DaemonError> {
    for (key, lane) in &shared.lanes {
        if lane.pipeline.on_success == OnSuccess::Keep {
            for (name, stamp) in ledger.kept(key)? {
                let kept = Event::Kept { pipeline: Arc::clone(key), name: name.into(), stamp };
                // Before its begin the engine only takes note.
                drop(state.apply(kept, shared.now()));
            }
        }
    }
    Ok(())
}

fn take_up(shared: &Shared, recovered: Vec<Recovered>, state: &mut State) {
    for one in recovered {
        match one {
            Recovered::Queued(arrival) => {
                let (pipeline, file_id) = (arrival.pipeline.as_str(), arrival.id.as_str());
                let name = display_name(&arrival.name);
                tracing::info!(pipeline, file_id, name, "a file begun before the last stop is taken up again");
                queue(shared, arrival, state);
            }
            Recovered::Stuck { arrival, message } => {
                shared.error("publish", "recover", &message);
                queue(shared, arrival, state);
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
}

fn queue(shared: &Shared, arrival: Arrival, state: &mut State) {
    let Some((key, _)) = shared.lanes.get_key_value(arrival.pipeline.as_str()) else { return };
    let name = arrival.name.as_os_str().into();
    let event = Event::Recovered { pipeline: Arc::clone(key), name, claimed: claimed(shared, &arrival) };
    let held = Held { lane: Arc::clone(key), job: None, arrival };
    shared.files().insert(held.arrival.id.clone(), held);
    drop(state.apply(event, shared.now()));
}

/// Returns what the engine needs to know of a claimed file.
pub(super) fn claimed(shared: &Shared, arrival: &Arrival) -> Claimed {
    let now = shared.clock.now();
    Claimed {
        id: arrival.id.clone(),
        bytes: arrival.stamp.size,
        arrived_at: arrival.arrived_at,
        tally: Tally { attempts: arrival.attempts, crashes: arrival.crashes },
        delay: arrival.next_attempt_at.map_or(Duration::ZERO, |at| at.since(now)),
    }
}
