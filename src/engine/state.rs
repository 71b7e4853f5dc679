//! The engine's state and its one way in: `apply`. Pure.

mod reload;
mod silence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::disk::DiskWait;
use super::gather::Gathering;
use super::inbox::{Inbox, Wants};
use super::memory::Learned;
use super::work::{Phase, Step, Work, Works};
use super::{Action, ClaimResult, Claimed, Disposition, Event, RetryPolicy, Tell, dispose};
use crate::discover::Name;
use crate::job::{DiscoverySource, FileId, JobError, RetryReason, Timestamp};
use silence::SILENCE;

/// Shortest time between the starts of two scans of one inbox, however many events are lost.
const SCAN_GAP: Duration = Duration::from_secs(1);

/// Claimed files a pipeline may hold. If every attempt fails, the other files stay in the inbox, untouched.
const MAX_CLAIMED: usize = 64;

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
    /// Whose turn it is next to start and to claim.
    start_turn: Option<Arc<str>>,
    claim_turn: Option<Arc<str>>,
    works: Works,
    gathering: Gathering,
    timers: BTreeSet<(Duration, Timer)>,
    jitter: fastrand::Rng,
    life: Life,
    told_first_scans: bool,
    waits: Waits,
    told_waits: Waits,
}

/// What work waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Waits {
    disk: bool,
    /// A file waits for memory, and with it all that would start after it.
    memory: bool,
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
            claim_turn: None,
            works: Works::default(),
            gathering: Gathering::default(),
            timers: BTreeSet::new(),
            jitter: fastrand::Rng::with_seed(seed),
            life: Life::Before,
            told_first_scans: false,
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
            self.schedule(now, &mut out);
        }
        self.publish(now, &mut out);
        self.let_go(&mut out);
        self.waits.disk = self.lanes.values().any(|lane| lane.disk.is_active());
        let told = std::mem::replace(&mut self.told_waits, self.waits);
        if told.disk != self.waits.disk {
            out.push(Action::Tell(Tell::DiskWait { active: self.waits.disk }));
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
            Event::Looked { pipeline, taken, seen } => self.inbox(&pipeline, out, |inbox, wants| {
                for (name, sighting) in seen {
                    inbox.looked(&name, sighting, taken, now, wants);
                }
            }),
            Event::Scanned { pipeline, taken, seen } => {
                let Some(first) = self.scan_ended(&pipeline, taken) else { return };
                let source = if first { DiscoverySource::Startup } else { DiscoverySource::Scan };
                self.inbox(&pipeline, out, |inbox, wants| inbox.scanned(&seen, taken, source, now, wants));
                self.plan_scan(&pipeline, now, out);
            }
            Event::ScanFailed { pipeline, taken, message } => {
                let Some(_) = self.scan_ended(&pipeline, taken) else { return };
                self.inbox(&pipeline, out, |inbox, _| inbox.scan_failed());
                out.push(Action::Tell(Tell::ScanFailed { pipeline: Arc::clone(&pipeline), message }));
                self.plan_scan(&pipeline, now, out);
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
        if !wants.looks.is_empty() && self.life == Life::Going && !lane.leaving {
            out.push(Action::Look { pipeline: Arc::clone(pipeline), names: wants.looks });
        }
    }

    fn begin(&mut self, now: Now) {
        self.life = Life::Going;
        for (pipeline, lane) in &mut self.lanes {
            lane.scan_due = now.monotonic;
            self.timers.insert((now.monotonic, Timer::Scan(Arc::clone(pipeline))));
        }
    }

    fn rescan(&mut self, pipeline: &Arc<str>, now: Now) {
        let Some(lane) = self.lanes.get_mut(pipeline) else { return };
        let earliest = lane.scan_began.map_or(now.monotonic, |began| now.monotonic.max(began + SCAN_GAP));
        // While a scan is under way its end makes the plan, and keeps an earlier time.
        lane.scan_due = if lane.scanning { earliest } else { lane.scan_due.min(earliest) };
        self.timers.insert((lane.scan_due, Timer::Scan(Arc::clone(pipeline))));
    }

    /// Returns whether the scan that ended was the first; `None` for an echo of an earlier one.
    fn scan_ended(&mut self, pipeline: &str, taken: Duration) -> Option<bool> {
        let lane = self.lanes.get_mut(pipeline).filter(|lane| lane.scanning)?;
        lane.scan_began.filter(|began| taken >= *began)?;
        lane.scanning = false;
        Some(!std::mem::replace(&mut lane.first_scan_done, true))
    }

    fn plan_scan(&mut self, pipeline: &Arc<str>, now: Now, out: &mut Vec<Action>) {
        if let Some(lane) = self.lanes.get_mut(pipeline) {
            let regular = now.monotonic + lane.inbox.rules.scan_interval;
            // A rescan asked for during this scan has set an earlier time.
            let asked = Some(lane.scan_due).filter(|due| lane.scan_began.is_some_and(|began| *due > began));
            lane.scan_due = asked.map_or(regular, |asked| asked.min(regular));
            self.timers.insert((lane.scan_due, Timer::Scan(Arc::clone(pipeline))));
        }
        self.tell_first_scans(out);
    }

    /// Does what the times that have come ask for.
    fn fire(&mut self, now: Now, out: &mut Vec<Action>) {
        let mut names: BTreeMap<Arc<str>, Vec<Name>> = BTreeMap::new();
        while self.timers.first().is_some_and(|(at, _)| *at <= now.monotonic) {
            match self.timers.pop_first() {
                Some((_, Timer::Candidate(pipeline, name))) => names.entry(pipeline).or_default().push(name),
                Some((_, Timer::Scan(pipeline))) => self.scan(pipeline, now, out),
                Some((_, Timer::Work(id))) => self.works.wake(&id, now.monotonic),
                Some((_, Timer::Silence(id))) => self.listen(id, now),
                Some((_, Timer::Disk | Timer::Publish)) | None => {}
            }
        }
        for (pipeline, names) in names {
            self.inbox(&pipeline, out, |inbox, wants| {
                for name in names {
                    inbox.wake(&name, now, wants);
                }
            });
        }
    }

    fn scan(&mut self, pipeline: Arc<str>, now: Now, out: &mut Vec<Action>) {
        let Some(lane) = self.lanes.get_mut(&pipeline) else { return };
        if !lane.scanning && !lane.leaving && lane.scan_due <= now.monotonic {
            lane.scanning = true;
            lane.scan_began = Some(now.monotonic);
            lane.inbox.scan_begins();
            out.push(Action::Scan { pipeline });
        }
    }

    /// Starts and claims as much as the limits allow.
    fn schedule(&mut self, now: Now, out: &mut Vec<Action>) {
        let Limits { workers, ahead, .. } = self.limits;
        self.waits.memory = false;
        while self.works.working() < workers && self.has_places() {
            let may = |pipeline: &Arc<str>, lane: &Lane| {
                self.works.startable(pipeline) > 0 && lane.disk.allows(now.monotonic) && !self.is_crowded(pipeline)
            };
            let Some(pipeline) = next_turn(&self.lanes, self.start_turn.as_ref(), may) else { break };
            let memory = self.memory_for_next(&pipeline);
            if self.limits.memory.is_some_and(|budget| self.works.reserved() + memory > budget)
                && self.works.working() > 0
            {
                // Whose turn it is waits, and nobody overtakes it: small files would for ever.
                self.waits.memory = true;
                break;
            }
            self.start_turn = Some(Arc::clone(&pipeline));
            let Some((id, ending)) = self.works.start(&pipeline, now.wall, now.monotonic, memory) else {
                break;
            };
            self.timers.insert((now.monotonic + SILENCE, Timer::Silence(id.clone())));
            if let Some(lane) = self.lanes.get_mut(&pipeline) {
                lane.disk.begin();
            }
            out.push(match ending {
                None => Action::Start { id },
                Some(disposition) => Action::Conclude { id, disposition },
            });
        }
        // Claimed in company, too: half the store is used up before it is filled again.
        let on_hand = |pipeline: &str, lane: &Lane| self.works.startable(pipeline) + lane.inbox.claiming();
        let low = |(pipeline, lane): &(&Arc<str>, &Lane)| on_hand(pipeline, lane) <= workers + ahead / 2;
        let filling: BTreeSet<_> = self.lanes.iter().filter(low).map(|(pipeline, _)| Arc::clone(pipeline)).collect();
        loop {
            let may = |pipeline: &Arc<str>, lane: &Lane| {
                let claimed = self.works.count(pipeline) + lane.inbox.claiming();
                let on_hand = self.works.startable(pipeline) + lane.inbox.claiming();
                let room = if lane.disk.is_active() { claimed == 0 } else { claimed < MAX_CLAIMED };
                let room = room && filling.contains(pipeline) && !lane.leaving && on_hand < workers + ahead;
                room && lane.inbox.has_ready() && lane.disk.allows(now.monotonic)
            };
            let Some(pipeline) = next_turn(&self.lanes, self.claim_turn.as_ref(), may) else { break };
            self.claim_turn = Some(Arc::clone(&pipeline));
            let Some(lane) = self.lanes.get_mut(&pipeline) else { break };
            let Some(claim) = lane.inbox.claim() else { break };
            lane.disk.begin();
            out.push(claim);
        }
    }

    /// Returns the memory to set aside for the file of `pipeline` that starts next; nothing for one that only has to end.
    fn memory_for_next(&self, pipeline: &str) -> u64 {
        let (Some(lane), Some(work)) = (self.lanes.get(pipeline), self.works.next(pipeline)) else { return 0 };
        if work.unconcluded.is_some() { 0 } else { lane.memory.estimate(work.bytes, work.too_little) }
    }

    fn claim_done(&mut self, pipeline: Arc<str>, name: Name, result: ClaimResult, now: Now, out: &mut Vec<Action>) {
        let Some(lane) = self.lanes.get_mut(&pipeline) else { return };
        if !lane.inbox.end_claim(&name) {
            return;
        }
        match &result {
            // The claim was the probe, and `full` below counts it as one.
            ClaimResult::Failed { disk_full: true, .. } => {}
            ClaimResult::Failed { .. } | ClaimResult::Claimed(_) => lane.disk.undecided(),
            // Who waited is gone. The next one finds out by itself whether the disk is still full.
            ClaimResult::Changed | ClaimResult::Vanished | ClaimResult::NotAFile(_) | ClaimResult::AlreadyDone => {
                lane.disk.lift();
            }
        }
        let cap = self.limits.retry.cap;
        let delay = match &result {
            ClaimResult::Failed { disk_full, .. } => {
                let failures = lane.inbox.claim_failures(&name);
                let own = self.limits.retry.delay(failures, self.jitter.u64(..));
                if *disk_full { self.disk_full(&pipeline, now) } else { own }
            }
            ClaimResult::Claimed(_)
            | ClaimResult::Changed
            | ClaimResult::Vanished
            | ClaimResult::NotAFile(_)
            | ClaimResult::AlreadyDone => Duration::ZERO,
        };
        self.inbox(&pipeline, out, |inbox, wants| match &result {
            ClaimResult::Claimed(Claimed { id, .. }) => inbox.claimed(&name, id, now, wants),
            ClaimResult::Changed => inbox.look_anew(&name, None, now, wants),
            ClaimResult::Vanished => inbox.leave(&name, now, wants),
            ClaimResult::NotAFile(kind) => inbox.refuse(&name, kind, now.monotonic + cap, wants),
            ClaimResult::AlreadyDone => inbox.keep(&name, None, now, wants),
            ClaimResult::Failed { .. } => inbox.hold(&name, now.monotonic + delay, wants),
        });
        match result {
            ClaimResult::Claimed(claimed) => self.take_in(pipeline, name, &claimed, now),
            ClaimResult::Failed { message, .. } => {
                out.push(Action::Tell(Tell::ClaimFailed { pipeline, name, message, delay }));
            }
            ClaimResult::Changed | ClaimResult::Vanished | ClaimResult::NotAFile(_) | ClaimResult::AlreadyDone => {}
        }
    }

    /// A claimed file waits for its turn.
    fn take_in(&mut self, pipeline: Arc<str>, name: Name, claimed: &Claimed, now: Now) {
        if self.works.get(&claimed.id).is_none() {
            let not_before = now.monotonic + claimed.delay;
            self.works.insert(claimed.id.clone(), Work::new(pipeline, name, claimed, not_before));
            self.wake_after(&claimed.id, now, claimed.delay);
        }
    }

    /// A disk is full: `pipeline` waits. Returns for how long.
    fn disk_full(&mut self, pipeline: &str, now: Now) -> Duration {
        let jitter = self.jitter.u64(..);
        let Some(lane) = self.lanes.get_mut(pipeline) else { return Duration::ZERO };
        let until = lane.disk.full(now.monotonic, &self.limits.retry, jitter);
        self.timers.insert((until, Timer::Disk));
        until.saturating_sub(now.monotonic)
    }

    fn processed(&mut self, id: FileId, peak_memory: u64, now: Now) {
        let Some(work) = self.works.running(&id) else { return };
        if !matches!(work.phase, Phase::Running { step: Step::Working, .. }) {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(&work.pipeline) {
            lane.memory.learn(work.bytes, peak_memory);
        }
        self.works.step(&id, Step::Publishing, now.monotonic);
        let until = self.gathering.add(id, now.monotonic);
        self.timers.insert((until, Timer::Publish));
    }

    /// Publishes what is staged once nothing is gained by waiting for more.
    fn publish(&mut self, now: Now, out: &mut Vec<Action>) {
        let nobody_comes = self.works.working() == 0 || self.life == Life::Draining;
        let together = self.gathering.publish(now.monotonic, self.limits.ahead.div_ceil(2), nobody_comes);
        out.extend(together.into_iter().map(|id| Action::Publish { id }));
    }

    fn finished(&mut self, id: &FileId, now: Now, out: &mut Vec<Action>) {
        if self.works.running(id).is_none() {
            return;
        }
        let Some(work) = self.works.remove(id) else { return };
        if let Some(lane) = self.lanes.get_mut(&work.pipeline) {
            lane.disk.lift();
        }
        self.left_in_place(&work, now, out);
    }

    /// A file that was processed where it lies is done with.
    fn left_in_place(&mut self, work: &Work, now: Now, out: &mut Vec<Action>) {
        self.inbox(&work.pipeline, out, |inbox, wants| {
            if inbox.rules.keep {
                inbox.keep(&work.name, None, now, wants);
            }
        });
    }

    fn failed(&mut self, id: FileId, error: JobError, now: Now, out: &mut Vec<Action>) {
        let jitter = self.jitter.u64(..);
        let Some(work) = self.works.running(&id) else { return };
        if matches!(work.phase, Phase::Running { step: Step::Ending(_), .. }) {
            return;
        }
        let (mut disposition, tally) = dispose(error, work.tally, &self.limits.retry, jitter);
        work.tally = tally;
        work.stuck = 0;
        if matches!(disposition, Disposition::Retry { reason: RetryReason::OutOfMemory, .. }) {
            work.too_little += 1;
        }
        let pipeline = Arc::clone(&work.pipeline);
        if let Disposition::Retry { reason, delay, message, .. } = &mut disposition {
            if *reason == RetryReason::DiskFull {
                *delay = self.disk_full(&pipeline, now);
            }
            let tell = Tell::Retried { id: id.clone(), reason: *reason, message: message.clone(), delay: *delay };
            out.push(Action::Tell(tell));
        }
        self.works.step(&id, Step::Ending(disposition.clone()), now.monotonic);
        out.push(Action::Conclude { id, disposition });
    }

    fn concluded(&mut self, id: &FileId, held: bool, now: Now, out: &mut Vec<Action>) {
        let Some(work) = self.works.running(id) else { return };
        let Phase::Running { step: Step::Ending(disposition), .. } = work.phase.clone() else { return };
        work.stuck = 0;
        let pipeline = Arc::clone(&work.pipeline);
        if let Disposition::Retry { delay, .. } = disposition {
            self.wait(id, now, delay);
        } else if disposition == Disposition::Abandon {
            self.wait(id, now, Duration::ZERO);
        } else if held {
            let settle = self.lanes.get(&pipeline).map_or(Duration::ZERO, |lane| lane.inbox.rules.settle);
            self.wait(id, now, settle);
        } else if let Some(work) = self.works.remove(id) {
            match disposition {
                Disposition::PutBack { .. } => self.inbox(&pipeline, out, |inbox, wants| {
                    inbox.look_anew(&work.name, Some(work.arrived_at), now, wants);
                }),
                Disposition::Forget { .. } => {
                    self.inbox(&pipeline, out, |inbox, wants| {
                        if inbox.rules.keep {
                            inbox.leave(&work.name, now, wants);
                        }
                    });
                }
                Disposition::Quarantine(_)
                | Disposition::Empty(_)
                | Disposition::GiveUp { .. }
                | Disposition::Retry { .. }
                | Disposition::Abandon => self.left_in_place(&work, now, out),
            }
        }
        let over = self.works.get(id).is_none();
        if let Some(lane) = self.lanes.get_mut(&pipeline) {
            // A file that reached its end wrote that down, or is gone: nothing waits for room any more.
            if over { lane.disk.lift() } else { lane.disk.undecided() }
        }
    }

    fn stuck(&mut self, id: FileId, settled: bool, disk_full: bool, message: String, now: Now, out: &mut Vec<Action>) {
        let jitter = self.jitter.u64(..);
        let Some(work) = self.works.running(&id) else { return };
        let ending = match work.phase.clone() {
            Phase::Running { step: Step::Ending(ending), .. } => Some(ending),
            Phase::Running { .. } | Phase::Waiting { .. } => None,
        };
        work.stuck += 1;
        work.unconcluded = ending.filter(|_| !settled);
        let own = self.limits.retry.delay(work.stuck, jitter);
        let pipeline = Arc::clone(&work.pipeline);
        let delay = if disk_full { self.disk_full(&pipeline, now) } else { own };
        // A full disk is the pipeline's wait: the file itself may go on as soon as that is over.
        self.wait(&id, now, if disk_full { Duration::ZERO } else { delay });
        if let Some(lane) = self.lanes.get_mut(&pipeline).filter(|_| !disk_full) {
            lane.disk.undecided();
        }
        out.push(Action::Tell(Tell::Stuck { id, message, delay }));
    }

    /// Takes a file out of flight for `delay`.
    fn wait(&mut self, id: &FileId, now: Now, delay: Duration) {
        self.works.park(id, now.monotonic + delay);
        self.wake_after(id, now, delay);
    }

    fn wake_after(&mut self, id: &FileId, now: Now, delay: Duration) {
        let until = now.monotonic + delay;
        if delay.is_zero() {
            self.works.wake(id, now.monotonic);
        } else {
            self.timers.insert((until, Timer::Work(id.clone())));
        }
    }
}

/// Returns the next pipeline after `last` for which `may` holds: turn and turn about.
fn next_turn(
    lanes: &BTreeMap<Arc<str>, Lane>,
    last: Option<&Arc<str>>,
    may: impl Fn(&Arc<str>, &Lane) -> bool,
) -> Option<Arc<str>> {
    let after = lanes.iter().filter(|(pipeline, _)| last.is_none_or(|last| *pipeline > last));
    let upto = lanes.iter().filter(|(pipeline, _)| last.is_some_and(|last| *pipeline <= last));
    after.chain(upto).find(|(pipeline, lane)| may(pipeline, lane)).map(|(pipeline, _)| Arc::clone(pipeline))
}
