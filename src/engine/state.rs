//! The engine's state and its one way in: `apply`. Pure.

mod attempt;
mod claim;
mod reload;
mod scan;
mod silence;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::disk::DiskWait;
use super::gather::Gathering;
use super::inbox::{Inbox, Wants};
use super::looks::Looks;
use super::memory::Learned;
use super::work::{Phase, Works};
use super::{Action, Event, RetryPolicy, Tell};
use crate::discover::Name;
use crate::job::{DiscoverySource, FileId, Timestamp};

/// The time, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Never goes back: waiting times.
    pub monotonic: Duration,
    /// For people: first seen, started.
    pub wall: Timestamp,
}

/// What the engine needs to know of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Its name.
    pub pipeline: Arc<str>,
    /// Unchanged this long: whole.
    pub settle: Duration,
    /// Time between full scans.
    pub scan_interval: Duration,
    /// Files stay in the inbox (`on_success = "keep"`). Never changes while the pipeline has files in progress.
    pub keep: bool,
    /// What the pipeline means, as a hash: with another one what waits in its inbox is looked at anew.
    pub meaning: Arc<str>,
}

/// What holds for all pipelines together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files worked on at once.
    pub workers: usize,
    /// Files that may wait for the disk beside those: in all to be published, and per pipeline to be claimed. They share its
    /// syncs, so a few are hardly slower than one.
    pub ahead: usize,
    /// Bytes of memory that all workers together may need; `None`: nobody knows. One file is always worked on.
    pub memory: Option<u64>,
    /// How often and how soon to try again.
    pub retry: RetryPolicy,
}

/// The queue of one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Files seen and not started.
    pub pending: u64,
    /// Those of them that are whole and wait for us, not for their sender.
    pub queued: u64,
    /// Bytes of the files that are pending.
    pub pending_bytes: u64,
    /// First seen of the oldest of them.
    pub oldest_pending: Option<Timestamp>,
    /// Files in flight.
    pub in_flight: u64,
    /// Start of the oldest of them.
    pub oldest_in_flight: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Scan(Arc<str>),
    Candidate(Arc<str>, Name),
    Work(FileId),
    /// A file in flight may have been silent for too long.
    Silence(FileId),
    /// The disk wait of some pipeline is over: schedule.
    Disk,
    /// Staged files have waited for company long enough.
    Publish,
}

#[derive(Debug, Clone)]
struct Lane {
    inbox: Inbox,
    looks: Looks,
    disk: DiskWait,
    memory: Learned,
    /// When the scan under way, or the last one, began.
    scan_began: Option<Duration>,
    scanning: bool,
    scan_due: Duration,
    first_scan_done: bool,
    /// A reload removed the pipeline: it only finishes what it has claimed.
    leaving: bool,
}

impl Lane {
    fn new(rules: Rules) -> Self {
        Self {
            inbox: Inbox::new(rules),
            looks: Looks::default(),
            disk: DiskWait::default(),
            memory: Learned::default(),
            scan_began: None,
            scanning: false,
            scan_due: Duration::ZERO,
            first_scan_done: false,
            leaving: false,
        }
    }
}

/// Where the engine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Told what was kept and recovered; does nothing yet.
    Before,
    Going,
    /// Begins nothing new.
    Draining,
}

/// Everything the engine knows.
#[derive(Debug, Clone)]
pub struct State {
    limits: Limits,
    lanes: BTreeMap<Arc<str>, Lane>,
    /// Whose turn it is next to start, to start before one that waits for memory, and to claim.
    start_turn: Option<Arc<str>>,
    pass_turn: Option<Arc<str>>,
    claim_turn: Option<Arc<str>>,
    works: Works,
    gathering: Gathering,
    timers: BTreeSet<(Duration, Timer)>,
    jitter: fastrand::Rng,
    life: Life,
    told_first_scans: bool,
    /// Files whose step got stuck, and not for want of room.
    stuck: BTreeSet<FileId>,
    waits: Waits,
    told_waits: Waits,
}

/// What work waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Waits {
    disk: bool,
    /// A file waits for memory, and with it all of its pipeline, and those of others that do not fit in beside it.
    memory: bool,
    /// A file has its outcome, or nearly, and what is left to do for it fails.
    output: bool,
}

impl State {
    /// Builds the state before anything is known. `seed` only spreads retries.
    #[must_use]
    pub fn new(rules: Vec<Rules>, limits: Limits, seed: u64) -> Self {
        let lane = |rules: Rules| (Arc::clone(&rules.pipeline), Lane::new(rules));
        Self {
            limits,
            lanes: rules.into_iter().map(lane).collect(),
            start_turn: None,
            pass_turn: None,
            claim_turn: None,
            works: Works::default(),
            gathering: Gathering::default(),
            timers: BTreeSet::new(),
            jitter: fastrand::Rng::with_seed(seed),
            life: Life::Before,
            told_first_scans: false,
            stuck: BTreeSet::new(),
            waits: Waits::default(),
            told_waits: Waits::default(),
        }
    }

    /// Takes in an event and returns what to do now.
    pub fn apply(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut out = Vec::new();
        self.handle(event, now, &mut out);
        if self.life == Life::Going {
            self.fire(now, &mut out);
            self.start(now, &mut out);
            self.claim(now, &mut out);
        }
        self.publish(now, &mut out);
        self.let_go(&mut out);
        self.waits.disk = self.lanes.values().any(|lane| lane.disk.is_active());
        self.waits.output = !self.stuck.is_empty();
        let told = std::mem::replace(&mut self.told_waits, self.waits);
        if told.disk != self.waits.disk {
            out.push(Action::Tell(Tell::DiskWait { active: self.waits.disk }));
        }
        if told.output != self.waits.output {
            out.push(Action::Tell(Tell::OutputWait { active: self.waits.output }));
        }
        if told.memory != self.waits.memory {
            out.push(Action::Tell(Tell::MemoryWait { active: self.waits.memory }));
        }
        out
    }

    /// Returns when to send [`Event::Tick`], by the monotonic clock.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.timers.first().filter(|_| self.life == Life::Going).map(|(at, _)| *at)
    }

    /// Returns the files in flight.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.works.in_flight() + self.works.aside()
    }

    /// Returns those of them that have given no sign of life for a while, and do not count against the limits.
    #[must_use]
    pub const fn silent(&self) -> usize {
        self.works.aside()
    }

    /// Returns the files that have a worker, but for the silent ones.
    #[must_use]
    pub const fn working(&self) -> usize {
        self.works.working()
    }

    /// Returns the bytes of memory set aside for them.
    #[must_use]
    pub const fn reserved_memory(&self) -> u64 {
        self.works.reserved()
    }

    /// Returns whether, while draining, nothing is under way any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.life == Life::Draining
            && self.in_flight() == 0
            && self.lanes.values().all(|lane| lane.inbox.claiming() == 0)
    }

    /// Returns whether the inbox of `pipeline` has been looked into: before, nobody knows what waits there.
    #[must_use]
    pub fn has_looked(&self, pipeline: &str) -> bool {
        self.lanes.get(pipeline).is_some_and(|lane| lane.first_scan_done)
    }

    /// Returns the queue of `pipeline`. Walks over its candidates.
    #[must_use]
    pub fn backlog(&self, pipeline: &str) -> Backlog {
        let Some(lane) = self.lanes.get(pipeline) else { return Backlog::default() };
        let mut backlog = lane.inbox.backlog();
        let earlier = |known: &mut Option<Timestamp>, at| *known = Some(known.map_or(at, |known| known.min(at)));
        for work in self.works.of(pipeline) {
            if let Phase::Running { since, .. } = work.phase {
                backlog.in_flight += 1;
                earlier(&mut backlog.oldest_in_flight, since);
            } else {
                backlog.pending += 1;
                backlog.queued += 1;
                backlog.pending_bytes += work.bytes;
                earlier(&mut backlog.oldest_pending, work.arrived_at);
            }
        }
        backlog
    }

    fn handle(&mut self, event: Event, now: Now, out: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Begin => self.begin(now),
            Event::Drain => self.life = Life::Draining,
            Event::Reload { rules, limits, then } => {
                self.reload(rules, limits, now, out);
                for event in then {
                    self.handle(event, now, out);
                }
            }
            Event::Hint { pipeline, .. } | Event::Looked { pipeline, .. } if self.is_leaving(&pipeline) => {}
            Event::Hint { pipeline, name } => {
                self.inbox(&pipeline, out, |inbox, wants| inbox.hint(&name, now, wants));
            }
            Event::Rescan { pipeline } => self.rescan(&pipeline, now),
            Event::Looked { pipeline, taken, seen } => self.looked(&pipeline, taken, seen, now, out),
            Event::Scanned { pipeline, taken, seen } => {
                let Some(first) = self.scan_ended(&pipeline, taken) else { return };
                let source = if first { DiscoverySource::Startup } else { DiscoverySource::Scan };
                self.inbox(&pipeline, out, |inbox, wants| inbox.scanned(&seen, taken, source, now, wants));
                self.plan_scan(&pipeline, false, now, out);
            }
            Event::ScanFailed { pipeline, taken, message } => {
                let Some(_) = self.scan_ended(&pipeline, taken) else { return };
                self.inbox(&pipeline, out, |inbox, _| inbox.scan_failed());
                out.push(Action::Tell(Tell::ScanFailed { pipeline: Arc::clone(&pipeline), message }));
                self.plan_scan(&pipeline, true, now, out);
            }
            Event::Kept { pipeline, name, stamp } => {
                self.inbox(&pipeline, out, |inbox, wants| inbox.keep(&name, Some(stamp), now, wants));
            }
            Event::Recovered { pipeline, name, claimed } => {
                self.inbox(&pipeline, out, |inbox, _| inbox.recovered(&name, &claimed.id, now));
                self.take_in(pipeline, name, &claimed, now);
            }
            Event::ClaimDone { pipeline, name, result } => self.claim_done(pipeline, name, result, now, out),
            Event::Alive { id } => self.alive(&id, now),
            Event::Processed { id, peak_memory } => self.processed(id, peak_memory, now),
            Event::Finished { id } => self.finished(&id, now, out),
            Event::Failed { id, error } => self.failed(id, error, now, out),
            Event::Concluded { id, held } => self.concluded(&id, held, now, out),
            Event::Stuck { id, settled, disk_full, message } => {
                self.stuck(id, settled, disk_full, message, now, out);
            }
        }
    }

    /// Lets the inbox of `pipeline` do something and carries over what it wants.
    fn inbox(&mut self, pipeline: &Arc<str>, out: &mut Vec<Action>, act: impl FnOnce(&mut Inbox, &mut Wants)) {
        let Some(lane) = self.lanes.get_mut(pipeline) else { return };
        let mut wants = Wants::default();
        act(&mut lane.inbox, &mut wants);
        out.append(&mut wants.actions);
        let timer = |(at, name)| (at, Timer::Candidate(Arc::clone(pipeline), name));
        self.timers.extend(wants.wakes.into_iter().map(timer));
        if self.life == Life::Going && !lane.leaving {
            lane.looks.want(wants.looks);
            let look = |names| Action::Look { pipeline: Arc::clone(pipeline), names };
            out.extend(lane.looks.begin().map(look));
        }
    }
}
