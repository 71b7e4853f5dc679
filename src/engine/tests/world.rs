//! A model of everything around the engine: files that come and go, effects that end in any order and any way.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use crate::discover::{Name, Sighting};
use crate::engine::{
    Action, ClaimResult, Claimed, Disposition, Event, Limits, Now, RetryPolicy, Rules, State, Tally, Tell,
};
use crate::job::{FileId, FileStamp, JobError, QuarantineReason, RetryReason, Timestamp};

/// How an effect goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    Io,
    Crash,
    DiskFull,
    Changed,
    Refused,
    Stuck,
}

/// Files that may wait for the disk.
pub(super) const AHEAD: usize = 4;

pub(super) struct World {
    pub(super) state: State,
    pub(super) clock: Duration,
    pub(super) disk: BTreeMap<(Arc<str>, Name), FileStamp>,
    /// Claimed, by id: where from, the stamp, and whether an attempt is under way.
    pub(super) claimed: BTreeMap<FileId, (Arc<str>, Name, FileStamp, bool)>,
    pub(super) done: Vec<(Arc<str>, Name, FileStamp)>,
    pub(super) gave_up: Vec<(FileId, u32)>,
    pub(super) effects: Vec<Action>,
    pub(super) tells: Vec<Tell>,
    pub(super) starts: BTreeMap<FileId, u32>,
    pub(super) claims: Vec<(Arc<str>, Name)>,
    pub(super) started: Vec<(Arc<str>, Name)>,
    pub(super) keep: bool,
    pub(super) last: Option<Event>,
    /// The pipelines of the configuration, and those that the engine has let go.
    pub(super) present: BTreeSet<Arc<str>>,
    pub(super) gone: BTreeSet<Arc<str>>,
    scanning: BTreeSet<Arc<str>>,
    workers: usize,
    memory: Option<u64>,
    next: u64,
}

/// Returns what a look shows of a file.
pub(super) fn file(stamp: FileStamp, marked: bool) -> Sighting {
    Sighting::File { stamp, changed: Timestamp(stamp.mtime_ns), marked }
}

pub(super) fn name(text: &str) -> Name {
    OsStr::new(text).into()
}

fn rules(pipeline: &Arc<str>, keep: bool, meaning: &str) -> Rules {
    Rules {
        pipeline: Arc::clone(pipeline),
        settle: Duration::from_secs(2),
        scan_interval: Duration::from_secs(30),
        keep,
        meaning: meaning.into(),
    }
}

pub(super) fn pipeline(number: usize) -> Arc<str> {
    format!("p{number}").into()
}

impl World {
    pub(super) fn new(pipelines: usize, workers: usize, keep: bool) -> Self {
        Self::with_memory(pipelines, workers, keep, None)
    }

    pub(super) fn with_memory(pipelines: usize, workers: usize, keep: bool, memory: Option<u64>) -> Self {
        let present: BTreeSet<Arc<str>> = (0..pipelines).map(pipeline).collect();
        let rules = present.iter().map(|pipeline| rules(pipeline, keep, "as it began"));
        let limits = Limits { workers, ahead: AHEAD, memory, retry: RetryPolicy::default() };
        Self {
            state: State::new(rules.collect(), limits, 7),
            clock: Duration::from_secs(1),
            disk: BTreeMap::new(),
            claimed: BTreeMap::new(),
            done: Vec::new(),
            gave_up: Vec::new(),
            effects: Vec::new(),
            tells: Vec::new(),
            starts: BTreeMap::new(),
            claims: Vec::new(),
            started: Vec::new(),
            keep,
            last: None,
            present,
            gone: BTreeSet::new(),
            scanning: BTreeSet::new(),
            workers,
            memory,
            next: 1,
        }
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.clock += Duration::from_nanos(1);
        let nanos = i64::try_from(self.clock.as_nanos()).unwrap();
        let now = Now { monotonic: self.clock, wall: Timestamp(nanos) };
        self.last = Some(event.clone());
        for action in self.state.apply(event, now) {
            self.check(&action);
            if let Action::Tell(tell) = action {
                if let Tell::Gone { pipeline } = &tell {
                    assert!(!self.present.contains(pipeline), "let go of a pipeline that is there");
                    let left = self.claimed.values().any(|(of, ..)| of == pipeline);
                    assert!(!left, "let go of a pipeline with files in progress");
                    self.gone.insert(Arc::clone(pipeline));
                }
                self.tells.push(tell);
            } else {
                self.effects.push(action);
            }
        }
        assert!(self.state.working() <= self.workers, "more files worked on than there are workers");
        let counted = self.state.in_flight() - self.state.silent();
        assert!(counted <= self.workers + AHEAD, "too many files in flight");
        let fits = self.memory.is_none_or(|memory| self.state.reserved_memory() <= memory);
        assert!(fits || self.state.working() <= 1, "more memory is set aside than there is");
        self.clock += Duration::from_nanos(1);
    }

    /// What must hold of every action.
    fn check(&mut self, action: &Action) {
        match action {
            Action::Start { id } => {
                let claimed = self.claimed.get_mut(id).expect("started a file that is not claimed");
                assert!(!std::mem::replace(&mut claimed.3, true), "started twice at the same time");
                *self.starts.entry(id.clone()).or_default() += 1;
                self.started.push((Arc::clone(&claimed.0), Arc::clone(&claimed.1)));
            }
            Action::Claim { pipeline, name, .. } => {
                let same = |effect: &Action| matches!(effect, Action::Claim { pipeline: p, name: n, .. } if p == pipeline && n == name);
                assert!(!self.effects.iter().any(same), "claimed twice at the same time");
                let in_place = |(of, taken, ..): &(Arc<str>, Name, FileStamp, bool)| of == pipeline && taken == name;
                assert!(!self.keep || !self.claimed.values().any(in_place), "claimed while it is processed in place");
                assert!(self.present.contains(pipeline), "claimed for a pipeline that is gone");
                self.claims.push((Arc::clone(pipeline), Arc::clone(name)));
            }
            Action::Scan { pipeline } => {
                assert!(self.scanning.insert(Arc::clone(pipeline)), "two scans at the same time");
            }
            Action::Conclude { id, .. } => {
                self.claimed.get_mut(id).expect("concluded a file that is not claimed").3 = true;
            }
            Action::Publish { id } => {
                assert!(self.claimed.get(id).is_some_and(|claimed| claimed.3), "published without an attempt");
            }
            Action::Look { .. } | Action::Tell(_) => {}
        }
    }

    /// Reloads: these pipelines, with this meaning. Of those that come anew the ledger tells what was kept.
    pub(super) fn reload(&mut self, present: impl IntoIterator<Item = usize>, meaning: &str) {
        self.present = present.into_iter().map(pipeline).collect();
        self.scanning.clear();
        let rules = self.present.iter().map(|pipeline| rules(pipeline, self.keep, meaning)).collect();
        let limits = Limits { workers: self.workers, ahead: AHEAD, memory: self.memory, retry: RetryPolicy::default() };
        let anew: Vec<_> = self.gone.intersection(&self.present).cloned().collect();
        self.gone.retain(|pipeline| !anew.contains(pipeline));
        let kept = self.done.iter().filter(|(pipeline, ..)| self.keep && anew.contains(pipeline)).cloned();
        let then = kept.map(|(pipeline, name, stamp)| Event::Kept { pipeline, name, stamp }).collect();
        self.apply(Event::Reload { rules, limits, then });
    }

    pub(super) fn drop_file(&mut self, pipeline: Arc<str>, name: Name) {
        self.next += 1;
        let stamp =
            FileStamp { dev: 1, ino: self.next, size: self.next * 10, mtime_ns: i64::try_from(self.next).unwrap() };
        self.disk.insert((pipeline, name), stamp);
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.clock += time;
        self.apply(Event::Tick);
    }

    fn sighting(&self, pipeline: &Arc<str>, name: &Name) -> Sighting {
        let found = self.disk.get(&(Arc::clone(pipeline), Arc::clone(name)));
        found.map_or(Sighting::Gone, |stamp| file(*stamp, true))
    }

    /// Carries out effect number `index`.
    pub(super) fn carry_out(&mut self, index: usize, fate: Fate) {
        let action = self.effects.remove(index);
        let taken = self.clock;
        let event = match action {
            // As the daemon does it: nobody looks into the inbox of a pipeline that is gone.
            Action::Look { pipeline, .. } | Action::Scan { pipeline } if !self.present.contains(&pipeline) => return,
            Action::Claim { pipeline, name, .. } if !self.present.contains(&pipeline) => {
                Event::ClaimDone { pipeline, name, result: ClaimResult::Vanished }
            }
            Action::Look { pipeline, names } => {
                let seen = names.into_iter().map(|name| (Arc::clone(&name), self.sighting(&pipeline, &name))).collect();
                Event::Looked { pipeline, taken, seen }
            }
            Action::Scan { pipeline } => {
                self.scanning.remove(&pipeline);
                if fate == Fate::Io {
                    Event::ScanFailed { pipeline, taken, message: "no".to_owned() }
                } else {
                    let of = self.disk.keys().filter(|(of, _)| *of == pipeline);
                    let seen = of.map(|(_, name)| (Arc::clone(name), self.sighting(&pipeline, name))).collect();
                    Event::Scanned { pipeline, taken, seen }
                }
            }
            Action::Claim { pipeline, name, stamp, first_seen } => {
                let result = self.claim(&pipeline, &name, stamp, first_seen, fate);
                Event::ClaimDone { pipeline, name, result }
            }
            Action::Start { id } if fate == Fate::Good => Event::Processed { id, peak_memory: 100 },
            Action::Start { id } | Action::Publish { id } => self.run(id, fate),
            Action::Conclude { id, disposition } => self.conclude(id, &disposition, fate),
            Action::Tell(_) => unreachable!("tells are kept apart"),
        };
        self.apply(event);
    }

    fn claim(
        &mut self,
        pipeline: &Arc<str>,
        name: &Name,
        stamp: FileStamp,
        arrived_at: Timestamp,
        fate: Fate,
    ) -> ClaimResult {
        if matches!(fate, Fate::Io | Fate::DiskFull) {
            return ClaimResult::Failed { disk_full: fate == Fate::DiskFull, message: "no".to_owned() };
        }
        let key = (Arc::clone(pipeline), Arc::clone(name));
        match self.disk.get(&key) {
            None => ClaimResult::Vanished,
            Some(now) if *now != stamp => ClaimResult::Changed,
            Some(_) => {
                self.next += 1;
                let id = FileId::parse(&format!("id{:06}", self.next)).unwrap();
                self.claimed.insert(id.clone(), (Arc::clone(pipeline), Arc::clone(name), stamp, false));
                if !self.keep {
                    self.disk.remove(&key);
                }
                ClaimResult::Claimed(Claimed {
                    id,
                    bytes: stamp.size,
                    arrived_at,
                    tally: Tally::default(),
                    delay: Duration::ZERO,
                })
            }
        }
    }

    fn run(&mut self, id: FileId, fate: Fate) -> Event {
        self.claimed.get_mut(&id).unwrap().3 = false;
        let retry = |reason| JobError::Retry { reason, message: "no".to_owned() };
        let error = match fate {
            Fate::Good => {
                let (pipeline, name, stamp, _) = self.claimed.remove(&id).unwrap();
                self.done.push((pipeline, name, stamp));
                return Event::Finished { id };
            }
            Fate::Stuck => {
                return Event::Stuck { id, settled: true, disk_full: false, message: "no".to_owned() };
            }
            Fate::Io => retry(RetryReason::Io),
            Fate::Crash => retry(RetryReason::Crash),
            Fate::DiskFull => retry(RetryReason::DiskFull),
            Fate::Changed => retry(RetryReason::Changed),
            Fate::Refused => JobError::refuse(QuarantineReason::WrongEncoding, "no", "no"),
        };
        Event::Failed { id, error }
    }

    fn conclude(&mut self, id: FileId, disposition: &Disposition, fate: Fate) -> Event {
        self.claimed.get_mut(&id).unwrap().3 = false;
        if fate == Fate::Stuck || fate == Fate::DiskFull {
            let disk_full = fate == Fate::DiskFull;
            return Event::Stuck { id, settled: false, disk_full, message: "no".to_owned() };
        }
        match disposition {
            Disposition::Retry { .. } | Disposition::Abandon => {}
            Disposition::Quarantine(_)
            | Disposition::Empty(_)
            | Disposition::GiveUp { .. }
            | Disposition::Forget { .. } => {
                let (pipeline, name, stamp, _) = self.claimed.remove(&id).unwrap();
                if matches!(disposition, Disposition::GiveUp { .. }) {
                    self.gave_up.push((id.clone(), self.starts[&id]));
                }
                self.done.push((pipeline, name, stamp));
            }
            Disposition::PutBack { .. } if fate == Fate::Changed => return Event::Concluded { id, held: true },
            Disposition::PutBack { .. } => {
                let (pipeline, name, stamp, _) = self.claimed.remove(&id).unwrap();
                self.disk.entry((pipeline, name)).or_insert(stamp);
            }
        }
        Event::Concluded { id, held: false }
    }

    /// Lets time pass with every effect going well, until nothing more can happen.
    pub(super) fn settle_down(&mut self) {
        for _ in 0..4_000 {
            while !self.effects.is_empty() {
                self.carry_out(0, Fate::Good);
            }
            let waiting = self.disk.iter().any(|((pipeline, name), stamp)| !self.is_done(pipeline, name, *stamp));
            if !waiting && self.claimed.is_empty() {
                return;
            }
            let Some(wake) = self.state.next_wake() else { break };
            self.clock = self.clock.max(wake);
            self.apply(Event::Tick);
        }
        panic!("forgotten: {:?} {:?}", self.disk, self.claimed);
    }

    fn is_done(&self, pipeline: &Arc<str>, name: &Name, stamp: FileStamp) -> bool {
        self.keep && self.done.iter().any(|done| (&done.0, &done.1, done.2) == (pipeline, name, stamp))
    }
}
