//! Telemetry: every [`Event`] becomes one log line, its metrics, or both, in one place.
//!
//! A [`Telemetry`] owns its recorder: there is no global one, so tests run side by side and read exact numbers. It never
//! decides anything and never touches a user's file.

pub mod budget;
pub mod catalog;
pub mod event;
mod exemplars;
mod exposition;
mod handles;
pub mod logging;
mod narrate;
mod now;
pub mod oneshot;
pub mod process;
mod push;
mod record;
pub mod reference;
mod registry;
mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub use self::exposition::{Exposition, Format};
pub use self::now::{ConfigNow, DaemonNow, PipelineNow};

use self::catalog::Name;
use self::event::Event;
use self::exposition::{Born, Page};
use self::handles::{DaemonHandles, PipelineHandles};
use self::registry::Registry;
use crate::clock::{Clock, SystemClock};
use crate::job::{Job, Stage, Timestamp};

/// What telemetry knows of a pipeline: the only label values that come from a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineInfo {
    /// Its name.
    pub name: String,
    /// Names of its rules.
    pub rules: Vec<String>,
    /// `objectives.freshness`.
    pub freshness: Option<Duration>,
    /// `objectives.latency`.
    pub latency: Option<Duration>,
    /// `scan_interval`.
    pub scan_interval: Duration,
}

/// Without a sign of life for so long, the engine counts as stuck. It gives one every few seconds.
const STUCK: Duration = Duration::from_mins(1);

/// Where the daemon is in its life: what `/-/ready` answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Readiness {
    /// Ledger, recovery or first scan are not done.
    #[default]
    Starting = 0,
    /// At work.
    Ready = 1,
    /// Finishing what is in progress.
    Draining = 2,
}

/// The version this binary was built from, as `build_info` and `/version` tell it.
pub const BUILD: [(&str, &str); 4] = [
    ("version", env!("CARGO_PKG_VERSION")),
    ("revision", build_fact(option_env!("FOREBAY_REVISION"))),
    ("rustc", build_fact(option_env!("FOREBAY_RUSTC"))),
    ("polars", polars::VERSION),
];

const fn build_fact(fact: Option<&'static str>) -> &'static str {
    match fact {
        Some(fact) => fact,
        None => "unknown",
    }
}

/// The one receiver of events and the one source of `/metrics`. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("readiness", &self.readiness()).finish_non_exhaustive()
    }
}

struct Inner {
    clock: Arc<dyn Clock>,
    born: Timestamp,
    /// The same moment on the monotonic clock.
    began: Duration,
    /// Nanoseconds of the monotonic clock at the engine's last sign of life, plus one; 0 before the first.
    heartbeat: AtomicU64,
    registry: Arc<Registry>,
    daemon: DaemonHandles,
    pipelines: RwLock<Pipelines>,
    /// Held shared while the counters of one file move, exclusively while a scrape reads.
    commit: RwLock<()>,
    readiness: AtomicU8,
    process: Mutex<process::Sampler>,
    /// Resident memory of the workers, by their numbers.
    workers_resident: Mutex<Vec<(usize, u64)>>,
    /// Processor time of all workers there have been, in milliseconds.
    workers_processor: AtomicU64,
    /// The daemon itself, for pages that people read.
    now: Mutex<DaemonNow>,
}

#[derive(Default)]
struct Pipelines {
    handles: BTreeMap<String, PipelineHandles>,
    infos: Vec<PipelineInfo>,
    /// When the series of each came.
    born: BTreeMap<String, Timestamp>,
}

impl Inner {
    /// Gives the pipeline's handles to `act`. An event of a pipeline that is not in the config moves nothing: its name may
    /// not become a label.
    fn with(&self, pipeline: &str, act: impl FnOnce(&PipelineHandles)) {
        let pipelines = self.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = pipelines.handles.get(pipeline) {
            act(handles);
        }
    }
}

impl Telemetry {
    /// Makes every series these pipelines will ever have, at 0.
    #[must_use]
    pub fn new(pipelines: &[PipelineInfo]) -> Self {
        Self::with_clock(pipelines, Arc::new(SystemClock))
    }

    /// The same, with a clock of the caller's: it dates series, exemplars and heartbeats.
    #[must_use]
    pub fn with_clock(pipelines: &[PipelineInfo], clock: Arc<dyn Clock>) -> Self {
        let registry = Arc::new(Registry::new());
        let daemon = DaemonHandles::new(&registry);
        let inner = Inner {
            born: clock.now(),
            began: clock.monotonic(),
            clock,
            heartbeat: AtomicU64::new(0),
            registry,
            daemon,
            pipelines: RwLock::default(),
            commit: RwLock::new(()),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            process: Mutex::new(process::Sampler::new()),
            workers_resident: Mutex::default(),
            workers_processor: AtomicU64::new(0),
            now: Mutex::default(),
        };
        let telemetry = Self { inner: Arc::new(inner) };
        telemetry.set_pipelines(pipelines);
        telemetry
    }

    /// Takes the pipelines of a reloaded config. New ones start at 0. The info and the objectives of a removed one vanish;
    /// what counts its files stays until [`Self::forget_pipeline`], as some may be in progress. Of one that stays, the
    /// series of removed rules vanish.
    pub fn set_pipelines(&self, infos: &[PipelineInfo]) {
        let mut pipelines = self.inner.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        for info in infos {
            let before = pipelines.handles.get(&info.name).map(|of| of.now(|now| now.clone()));
            let handles = PipelineHandles::new(&self.inner.registry, info);
            if let Some(before) = before {
                handles.now(|now| *now = before);
            }
            handles.now(|now| (now.freshness, now.latency) = (info.freshness, info.latency));
            pipelines.handles.insert(info.name.clone(), handles);
            let now = self.inner.clock.now();
            pipelines.born.entry(info.name.clone()).or_insert(now);
        }
        pipelines.infos = infos.to_vec();
    }

    /// Takes the series of a removed pipeline off the page. Should it come back, its counters go on where they were.
    pub fn forget_pipeline(&self, pipeline: &str) {
        let mut pipelines = self.inner.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        if !pipelines.infos.iter().any(|info| info.name == pipeline) {
            pipelines.handles.remove(pipeline);
        }
    }

    /// Tells of an event: one log line at most, and its metrics.
    #[expect(clippy::needless_pass_by_value, reason = "an event is built on the spot, for this call only")]
    pub fn emit(&self, event: Event<'_>) {
        self.inner.record(&event);
        self.inner.note(&event);
        narrate::tell(&event);
    }

    /// Returns where the daemon is in its life.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.inner.readiness.load(Ordering::Acquire) {
            1 => Readiness::Ready,
            2 => Readiness::Draining,
            _ => Readiness::Starting,
        }
    }

    /// The engine is alive. To be told every few seconds, also when there is nothing to do.
    pub fn beat(&self) {
        let now = u64::try_from(self.inner.clock.monotonic().as_nanos()).unwrap_or(u64::MAX - 1);
        self.inner.heartbeat.store(now + 1, Ordering::Release);
    }

    /// Returns how long the engine has given no sign of life, if that is too long. Before its first one it is starting, which
    /// may take its time.
    #[must_use]
    pub fn stuck(&self) -> Option<Duration> {
        let last = self.inner.heartbeat.load(Ordering::Acquire).checked_sub(1)?;
        let silent = self.inner.clock.monotonic().saturating_sub(Duration::from_nanos(last));
        (silent > STUCK).then_some(silent)
    }

    /// Returns whether files are taken in: the daemon is ready, and its engine not stuck.
    fn is_working(&self) -> bool {
        self.readiness() == Readiness::Ready && self.stuck().is_none()
    }

    /// Returns the state of every pipeline of the config, in its order.
    #[must_use]
    pub fn now(&self) -> Vec<PipelineNow> {
        let pipelines = self.inner.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        let handles = pipelines.infos.iter().filter_map(|info| pipelines.handles.get(&info.name));
        handles.map(|of| of.now(|now| now.clone())).collect()
    }

    /// Returns the state of the daemon itself. One small read of `/proc`, no waiting.
    #[must_use]
    pub fn daemon_now(&self) -> DaemonNow {
        let inner = &self.inner;
        DaemonNow {
            at: inner.clock.now(),
            up: inner.clock.monotonic().saturating_sub(inner.began),
            readiness: self.readiness(),
            stuck: self.stuck(),
            resident: process::resident_bytes(),
            ..inner.noted(|now| now.clone())
        }
    }

    /// Sorts collected samples into buckets. To be called every few seconds: between scrapes they pile up.
    pub fn run_upkeep(&self) {
        self.inner.registry.run_upkeep();
    }

    /// Returns everything there is to tell now. Takes milliseconds: call it where blocking is allowed.
    #[must_use]
    pub fn exposition(&self) -> Exposition {
        self.inner.daemon.ready.set(f64::from(u8::from(self.is_working())));
        let (recorded, exemplars) = {
            let _whole_files = self.inner.commit.write().unwrap_or_else(PoisonError::into_inner);
            (self.inner.registry.render(), self.inner.registry.exemplars())
        };
        let mut page = Page::parse(&recorded);
        self.leave_out_removed(&mut page);
        self.append(&mut page);
        Exposition { page, exemplars, born: self.born() }
    }

    /// Returns every series in text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.exposition().write(Format::Text, &BTreeSet::new())
    }

    /// The recorder keeps every series for ever, as it has no way to let one go; those of removed pipelines and rules are left out of the page.
    fn leave_out_removed(&self, page: &mut Page) {
        let pipelines = self.inner.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        page.keep_pipelines(|pipeline, rule| {
            let handles = pipelines.handles.get(pipeline);
            handles.is_some_and(|of| rule.is_none_or(|rule| of.violations.contains_key(rule)))
        });
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are exact in an f64")]
    fn born(&self) -> Born {
        let pipelines = self.inner.pipelines.read().unwrap_or_else(PoisonError::into_inner).born.clone();
        let started = self.inner.process.lock().unwrap_or_else(PoisonError::into_inner).started();
        Born { daemon: self.inner.born, pipelines, process: started.map(|seconds| seconds as f64) }
    }

    /// Adds what the recorder cannot hold: fractions, other people's counters, and series that may vanish.
    fn append(&self, page: &mut Page) {
        page.add(Name::BuildInfo, &BUILD.map(|(_, value)| value), 1);
        for (level, count) in logging::COUNTS.read() {
            page.add(Name::LogEvents, &[level], count);
        }
        let infos = self.inner.pipelines.read().unwrap_or_else(PoisonError::into_inner).infos.clone();
        for info in &infos {
            let seconds = |objective: Option<Duration>| objective.map_or(0.0, |objective| objective.as_secs_f64());
            page.add(Name::PipelineInfo, &[&info.name], 1);
            page.add(Name::FreshnessObjective, &[&info.name], seconds(info.freshness));
            page.add(Name::LatencyObjective, &[&info.name], seconds(info.latency));
            page.add(Name::ScanInterval, &[&info.name], info.scan_interval.as_secs_f64());
        }
        for (worker, bytes) in &*self.inner.workers_resident.lock().unwrap_or_else(PoisonError::into_inner) {
            page.add(Name::WorkerResident, &[&worker.to_string()], bytes);
        }
        let workers = process::thousandths(self.inner.workers_processor.load(Ordering::Relaxed));
        page.add(Name::WorkerCpu, &[], workers);
        self.inner.process.lock().unwrap_or_else(PoisonError::into_inner).add_to(page);
    }
}

/// Returns the span of one stage of one job. Costs next to nothing when logging is off.
#[must_use]
pub fn span(job: &Job, stage: Stage) -> tracing::Span {
    tracing::info_span!(
        "stage",
        file_id = job.id.as_str(),
        pipeline = job.pipeline.as_str(),
        stage = stage.as_str(),
        trace_id = job.trace_id.as_str()
    )
}

#[cfg(test)]
mod tests;
