//! Claimed files: those that wait for a worker, and those in flight. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Claimed, Disposition, Tally};
use crate::discover::Name;
use crate::job::{FileId, Timestamp};

/// One claimed file.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) pipeline: Arc<str>,
    pub(super) name: Name,
    pub(super) bytes: u64,
    pub(super) arrived_at: Timestamp,
    pub(super) tally: Tally,
    /// How often in a row its step got stuck.
    pub(super) stuck: u32,
    /// How often its worker ran out of memory.
    pub(super) too_little: u32,
    /// Bytes of memory set aside for it while a worker has it.
    reserved: u64,
    /// The file that waited for memory when this one was started before it.
    passed: Option<FileId>,
    /// When its attempt last gave a sign of life.
    pub(super) heard: Duration,
    /// It has given none for too long: it does not count against the limits.
    aside: bool,
    /// How the last attempt ends, if that could not be carried out yet.
    pub(super) unconcluded: Option<Disposition>,
    pub(super) phase: Phase,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// May start from this time on.
    Waiting { not_before: Duration },
    /// An attempt is under way, or its end.
    Running { since: Timestamp, step: Step },
}

/// What is done of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A worker has it.
    Working,
    /// Its outputs are staged: only the disk has work left.
    Publishing,
    /// It ends this way.
    Ending(Disposition),
}

impl Work {
    /// Returns a file that may start from `not_before` on.
    pub(super) fn new(pipeline: Arc<str>, name: Name, claimed: &Claimed, not_before: Duration) -> Self {
        Self {
            pipeline,
            name,
            bytes: claimed.bytes,
            arrived_at: claimed.arrived_at,
            tally: claimed.tally,
            stuck: 0,
            too_little: 0,
            reserved: 0,
            passed: None,
            heard: Duration::ZERO,
            aside: false,
            unconcluded: None,
            phase: Phase::Waiting { not_before },
        }
    }

    pub(super) const fn in_flight(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    const fn has_worker(&self) -> bool {
        matches!(self.phase, Phase::Running { step: Step::Working, .. })
    }
}

/// All claimed files, and per pipeline those that may start, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Works {
    all: BTreeMap<FileId, Work>,
    startable: BTreeMap<Arc<str>, BTreeSet<(Timestamp, FileId)>>,
    count: BTreeMap<Arc<str>, usize>,
    /// Those that count against the limits.
    in_flight: usize,
    working: usize,
    /// Those in flight that do not.
    aside: usize,
    reserved: u64,
}

impl Works {
    /// Returns the files in flight that count against the limits.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns the files in flight that do not: nobody has heard of them for a while.
    pub(super) const fn aside(&self) -> usize {
        self.aside
    }

    /// Returns how many files that count have a worker.
    pub(super) const fn working(&self) -> usize {
        self.working
    }

    /// Returns the bytes of memory set aside for them.
    pub(super) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Returns the bytes of memory set aside for files that were started before this one, which waits for memory.
    pub(super) fn reserved_before(&self, id: &FileId) -> u64 {
        let passed = self.all.values().filter(|work| work.has_worker() && work.passed.as_ref() == Some(id));
        passed.map(|work| work.reserved).sum()
    }

    /// Returns the file of `pipeline` that starts next.
    pub(super) fn next(&self, pipeline: &str) -> Option<(&FileId, &Work)> {
        let (_, id) = self.startable.get(pipeline)?.first()?;
        Some((id, self.all.get(id)?))
    }

    pub(super) fn get(&self, id: &FileId) -> Option<&Work> {
        self.all.get(id)
    }

    pub(super) fn of<'a>(&'a self, pipeline: &'a str) -> impl Iterator<Item = &'a Work> {
        self.all.values().filter(move |work| &*work.pipeline == pipeline)
    }

    /// Puts a file in, to be woken. An id that is known already is left as it is.
    pub(super) fn insert(&mut self, id: FileId, work: Work) {
        if !self.all.contains_key(&id) {
            *self.count.entry(Arc::clone(&work.pipeline)).or_default() += 1;
            self.all.insert(id, work);
        }
    }

    /// Takes a file out for good.
    pub(super) fn remove(&mut self, id: &FileId) -> Option<Work> {
        self.land(id);
        let work = self.all.remove(id)?;
        if let Some(count) = self.count.get_mut(&work.pipeline) {
            *count -= 1;
        }
        if let Some(startable) = self.startable.get_mut(&work.pipeline) {
            startable.remove(&(work.arrived_at, id.clone()));
        }
        Some(work)
    }

    /// Returns how many files of `pipeline` are claimed.
    pub(super) fn count(&self, pipeline: &str) -> usize {
        self.count.get(pipeline).copied().unwrap_or(0)
    }

    /// Returns how many files of `pipeline` wait for another attempt, as one of their own has failed.
    pub(super) fn failing(&self, pipeline: &str, now: Duration) -> usize {
        let waits = |work: &Work| matches!(work.phase, Phase::Waiting { not_before } if not_before > now);
        self.of(pipeline).filter(|work| waits(work) && work.tally.attempts > 0 && work.stuck == 0).count()
    }

    /// Returns how many files of `pipeline` may start.
    pub(super) fn startable(&self, pipeline: &str) -> usize {
        self.startable.get(pipeline).map_or(0, BTreeSet::len)
    }

    /// Takes the oldest file of `pipeline` that may start and puts it in flight, before one that waits for memory if there is
    /// any.
    pub(super) fn start(
        &mut self,
        pipeline: &str,
        since: Timestamp,
        now: Duration,
        memory: u64,
        before: Option<FileId>,
    ) -> Option<(FileId, Option<Disposition>)> {
        let (_, id) = self.startable.get_mut(pipeline)?.pop_first()?;
        let work = self.all.get_mut(&id)?;
        let ending = work.unconcluded.take();
        work.heard = now;
        work.passed = before;
        work.phase = Phase::Running { since, step: ending.clone().map_or(Step::Working, Step::Ending) };
        self.in_flight += 1;
        if work.has_worker() {
            work.reserved = memory;
            self.reserved += memory;
            self.working += 1;
        }
        Some((id, ending))
    }

    /// Moves a file in flight on to a step that takes no worker.
    pub(super) fn step(&mut self, id: &FileId, next: Step, now: Duration) {
        let Some(work) = self.all.get_mut(id) else { return };
        if work.has_worker() {
            self.working -= usize::from(!work.aside);
            self.reserved -= work.reserved;
        }
        work.heard = now;
        if let Phase::Running { step, .. } = &mut work.phase {
            *step = next;
        }
    }

    /// Takes a file out of the counts, if it is in flight.
    fn land(&mut self, id: &FileId) {
        let Some(work) = self.all.get_mut(id).filter(|work| work.in_flight()) else { return };
        let counts = !std::mem::take(&mut work.aside);
        if work.has_worker() {
            self.working -= usize::from(counts);
            self.reserved -= work.reserved;
        }
        let count = if counts { &mut self.in_flight } else { &mut self.aside };
        *count -= 1;
    }

    /// Lets a file in flight not count against the limits, or count again.
    pub(super) fn set_aside(&mut self, id: &FileId, aside: bool) {
        let Some(work) = self.all.get_mut(id).filter(|work| work.in_flight() && work.aside != aside) else { return };
        work.aside = aside;
        let (from, to) =
            if aside { (&mut self.in_flight, &mut self.aside) } else { (&mut self.aside, &mut self.in_flight) };
        *from -= 1;
        *to += 1;
        if work.has_worker() {
            self.working = if aside { self.working - 1 } else { self.working + 1 };
        }
    }

    /// Returns whether a file that nobody had heard of is in flight.
    pub(super) fn is_aside(&self, id: &FileId) -> bool {
        self.all.get(id).is_some_and(|work| work.aside)
    }

    /// Returns how many files of `pipeline` are in flight and how many have a worker, whether they count or not.
    pub(super) fn load(&self, pipeline: &str) -> (usize, usize) {
        let in_flight = || self.of(pipeline).filter(|work| work.in_flight());
        (in_flight().count(), in_flight().filter(|work| work.has_worker()).count())
    }

    /// Returns a file in flight, to change it.
    pub(super) fn running(&mut self, id: &FileId) -> Option<&mut Work> {
        self.all.get_mut(id).filter(|work| work.in_flight())
    }

    /// Takes a file out of flight, to wait until `not_before`.
    pub(super) fn park(&mut self, id: &FileId, not_before: Duration) {
        self.land(id);
        if let Some(work) = self.running(id) {
            work.phase = Phase::Waiting { not_before };
        }
    }

    /// Makes a waiting file startable if its time has come.
    pub(super) fn wake(&mut self, id: &FileId, now: Duration) {
        if let Some(work) = self.all.get(id)
            && let Phase::Waiting { not_before } = work.phase
            && not_before <= now
        {
            self.startable.entry(Arc::clone(&work.pipeline)).or_default().insert((work.arrived_at, id.clone()));
        }
    }
}
