//! The candidates of one inbox, until they are claimed. Pure.

mod candidate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use candidate::{Candidate, Phase, arrival};

use super::state::Backlog;
use super::{Action, Now, Rules, Tell};
use crate::discover::{Name, Settle, Sighting, Verdict};
use crate::job::{DiscoverySource, FileId, FileStamp, Timestamp};

/// What an inbox wants: actions, looks (gathered into one action), and times to be woken at.
#[derive(Debug, Default)]
pub(super) struct Wants {
    pub(super) actions: Vec<Action>,
    pub(super) looks: Vec<Name>,
    pub(super) wakes: Vec<(Duration, Name)>,
}

/// Oldest first: first seen, then last written, then by name.
type Order = (Timestamp, i64, Name);

/// The candidates of one inbox.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    pub(super) rules: Rules,
    candidates: BTreeMap<Name, Candidate>,
    ready: BTreeSet<Order>,
    claiming: usize,
    missed: u64,
    /// Names that left while a scan was under way: it may have seen them just before.
    left: BTreeMap<Name, Duration>,
    scanning: bool,
}

impl Inbox {
    pub(super) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            candidates: BTreeMap::new(),
            ready: BTreeSet::new(),
            claiming: 0,
            missed: 0,
            left: BTreeMap::new(),
            scanning: false,
        }
    }

    pub(super) const fn claiming(&self) -> usize {
        self.claiming
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns the backlog of the files that are not claimed yet.
    pub(super) fn backlog(&self) -> Backlog {
        let mut sum = Backlog::default();
        for candidate in self.candidates.values() {
            let (waits, whole) = match candidate.phase {
                // Of a new one nothing is known, unless a reload asks for another look.
                Phase::New | Phase::Settling | Phase::Unmarked => (true, false),
                Phase::Ready | Phase::Held(_) | Phase::Claiming => (true, true),
                Phase::Taken(_) | Phase::Kept | Phase::NotAFile(_) => (false, false),
            };
            if let (true, None, Some(settle)) = (waits, candidate.refused, &candidate.settle) {
                sum.pending += 1;
                sum.queued += u64::from(whole);
                sum.pending_bytes += settle.stamp().size;
                let oldest = sum.oldest_pending.map_or(candidate.first_seen, |oldest| oldest.min(candidate.first_seen));
                sum.oldest_pending = Some(oldest);
            }
        }
        sum
    }

    /// The rules are others now: what waits is looked at anew. How long it has lain unchanged stays known.
    pub(super) fn renew(&mut self, rules: Rules, now: Now, wants: &mut Wants) {
        self.rules = rules;
        self.scan_failed();
        self.ready.clear();
        for (name, candidate) in &mut self.candidates {
            if !matches!(candidate.phase, Phase::Claiming | Phase::Taken(_) | Phase::Kept) {
                candidate.phase = Phase::New;
                (candidate.refused, candidate.looking, candidate.again) = (None, None, false);
                candidate.look(name, now, wants);
            }
        }
    }

    /// The pipeline is being removed: forgets what it has not begun to take.
    pub(super) fn let_go(&mut self) {
        self.scan_failed();
        self.ready.clear();
        self.candidates.retain(|_, candidate| matches!(candidate.phase, Phase::Claiming | Phase::Taken(_)));
    }

    /// An event spoke of `name`.
    pub(super) fn hint(&mut self, name: &Name, now: Now, wants: &mut Wants) {
        let Some(candidate) = self.candidates.get_mut(name) else {
            let candidate = Candidate { hinted: true, ..Candidate::new(DiscoverySource::Event, now) };
            self.candidates.entry(Arc::clone(name)).or_insert(candidate).look(name, now, wants);
            return;
        };
        candidate.hinted = true;
        match candidate.phase {
            // A claim compares the stamps.
            Phase::Ready | Phase::Held(_) => {}
            Phase::Claiming | Phase::Taken(_) => candidate.again = true,
            // One that settles is looked at too: a change seen now need not be waited for twice.
            Phase::New | Phase::Settling | Phase::Unmarked | Phase::Kept | Phase::NotAFile(_) => {
                if candidate.looking.is_some() {
                    candidate.again = true;
                } else {
                    candidate.look(name, now, wants);
                }
            }
        }
    }

    /// A look at `name` is done.
    pub(super) fn looked(&mut self, name: &Name, sighting: Sighting, taken: Duration, now: Now, wants: &mut Wants) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        // A look asked for before this candidate was known shows an earlier file of that name.
        if candidate.looking.is_some_and(|asked| taken < asked) {
            return;
        }
        candidate.looking = None;
        let again = std::mem::take(&mut candidate.again);
        let in_our_hands = matches!(candidate.phase, Phase::Claiming | Phase::Taken(_));
        candidate.again = again && in_our_hands;
        self.sight(name, sighting, taken, DiscoverySource::Event, now, wants);
        if again && !in_our_hands {
            self.hint(name, now, wants);
        }
        // Only a look that came too late leaves a name as it was.
        if let Some(candidate) = self.candidates.get_mut(name).filter(|candidate| candidate.phase == Phase::New) {
            candidate.look(name, now, wants);
        }
    }

    /// A full scan begins.
    pub(super) const fn scan_begins(&mut self) {
        self.scanning = true;
    }

    /// A full scan failed: nothing is known.
    pub(super) fn scan_failed(&mut self) {
        self.scanning = false;
        self.left.clear();
    }

    /// A full scan is done: what it did not see is gone.
    pub(super) fn scanned(
        &mut self,
        seen: &[(Name, Sighting)],
        taken: Duration,
        source: DiscoverySource,
        now: Now,
        wants: &mut Wants,
    ) {
        for (name, sighting) in seen {
            if !self.candidates.contains_key(name) {
                if self.left.get(name).is_some_and(|left| taken <= *left) {
                    continue;
                }
                self.candidates.insert(Arc::clone(name), Candidate::new(source, now));
            }
            self.sight(name, *sighting, taken, source, now, wants);
        }
        let listed: BTreeSet<&Name> = seen.iter().map(|(name, _)| name).collect();
        let gone = |(name, candidate): (&Name, &Candidate)| {
            let unseen = candidate.looking.is_none() && candidate.seen_at < taken && !listed.contains(name);
            unseen.then(|| Arc::clone(name))
        };
        let gone: Vec<Name> = self.candidates.iter().filter_map(gone).collect();
        for name in gone {
            self.sight(&name, Sighting::Gone, taken, source, now, wants);
        }
        self.scan_failed();
        let missed = std::mem::take(&mut self.missed);
        let pipeline = Arc::clone(&self.rules.pipeline);
        wants.actions.push(Action::Tell(Tell::Scanned { pipeline, missed }));
    }

    /// Takes in what one look showed.
    fn sight(
        &mut self,
        name: &Name,
        sighting: Sighting,
        taken: Duration,
        source: DiscoverySource,
        now: Now,
        wants: &mut Wants,
    ) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        if taken < candidate.seen_at || matches!(candidate.phase, Phase::Claiming | Phase::Taken(_)) {
            return;
        }
        candidate.seen_at = taken;
        match sighting {
            Sighting::Gone if candidate.looking.is_some() => {}
            Sighting::Gone => {
                self.unready(name);
                self.candidates.remove(name);
            }
            Sighting::NotAFile(kind) => {
                self.unready(name);
                self.not_a_file(name, kind, wants);
            }
            Sighting::File { stamp, changed, marked } => {
                self.sight_file(name, stamp, changed, marked, source, taken, now, wants);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one look, spelled out")]
    fn sight_file(
        &mut self,
        name: &Name,
        stamp: FileStamp,
        changed: Timestamp,
        marked: bool,
        source: DiscoverySource,
        taken: Duration,
        now: Now,
        wants: &mut Wants,
    ) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        let known = candidate.settle.map(|settle| settle.stamp());
        if candidate.phase == Phase::Kept && known.is_some_and(|known| stamp.is_unchanged_since(known)) {
            candidate.hinted = false;
            return;
        }
        if matches!(candidate.phase, Phase::Kept | Phase::NotAFile(_)) {
            let source = if candidate.hinted { DiscoverySource::Event } else { source };
            *candidate = Candidate {
                hinted: candidate.hinted,
                looking: candidate.looking,
                seen_at: taken,
                ..Candidate::new(source, now)
            };
        }
        let wait = self.rules.settle;
        let verdict = if let Some(settle) = &mut candidate.settle {
            settle.look(stamp, taken, now.monotonic, wait)
        } else {
            candidate.settle = Some(Settle::first(stamp, now.monotonic));
            if wait.is_zero() { Verdict::Whole } else { Verdict::Wait(now.monotonic + wait) }
        };
        if !std::mem::replace(&mut candidate.told, true) {
            if source == DiscoverySource::Startup {
                candidate.first_seen = arrival(changed, candidate.first_seen);
            }
            let pipeline = Arc::clone(&self.rules.pipeline);
            let (source, at) = (candidate.source, candidate.first_seen);
            let discovered = Tell::Discovered { pipeline, name: Arc::clone(name), bytes: stamp.size, source, at };
            wants.actions.push(Action::Tell(discovered));
        }
        self.judge(name, known, verdict, marked, wants);
    }

    fn judge(&mut self, name: &Name, known: Option<FileStamp>, verdict: Verdict, marked: bool, wants: &mut Wants) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        let Some(settle) = candidate.settle else { return };
        let was_ready = candidate.phase == Phase::Ready;
        let place = |stamp: FileStamp| (candidate.first_seen, stamp.mtime_ns, Arc::clone(name));
        if known.is_some_and(|known| known != settle.stamp()) {
            candidate.refused = None;
        }
        // The place in the queue names the modification time: leave the old place.
        let (old, new) = (known.map(place), place(settle.stamp()));
        candidate.phase = match verdict {
            Verdict::Wait(until) => {
                wants.wakes.push((until, Arc::clone(name)));
                Phase::Settling
            }
            Verdict::Whole if !marked => Phase::Unmarked,
            Verdict::Whole if matches!(candidate.phase, Phase::Held(_)) => return,
            Verdict::Whole => Phase::Ready,
        };
        let is_ready = candidate.phase == Phase::Ready;
        if is_ready && candidate.source == DiscoverySource::Scan && !std::mem::replace(&mut candidate.hinted, true) {
            self.missed += 1;
        }
        if was_ready && let Some(old) = old {
            self.ready.remove(&old);
        }
        if is_ready {
            self.ready.insert(new);
        }
    }

    fn unready(&mut self, name: &Name) {
        if let Some(candidate) = self.candidates.get(name)
            && let Some(settle) = candidate.settle
        {
            self.ready.remove(&(candidate.first_seen, settle.stamp().mtime_ns, Arc::clone(name)));
        }
    }

    /// Something else than a file lies there.
    fn not_a_file(&mut self, name: &Name, kind: &'static str, wants: &mut Wants) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        if candidate.phase != Phase::NotAFile(kind) {
            let pipeline = Arc::clone(&self.rules.pipeline);
            wants.actions.push(Action::Tell(Tell::Ignored { pipeline, name: Arc::clone(name), kind }));
        }
        candidate.phase = Phase::NotAFile(kind);
        candidate.settle = None;
        candidate.hinted = false;
    }

    /// A waiting time of `name` is over.
    pub(super) fn wake(&mut self, name: &Name, now: Now, wants: &mut Wants) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        match (&candidate.phase, candidate.settle) {
            (Phase::Settling, Some(settle)) if settle.due(self.rules.settle) <= now.monotonic => {
                candidate.look(name, now, wants);
            }
            (Phase::Held(until), Some(settle)) if *until <= now.monotonic => {
                candidate.phase = Phase::Ready;
                self.ready.insert((candidate.first_seen, settle.stamp().mtime_ns, Arc::clone(name)));
            }
            _ => {}
        }
    }

    /// Begins the claim of the oldest whole file.
    pub(super) fn claim(&mut self) -> Option<Action> {
        let (first_seen, _, name) = self.ready.pop_first()?;
        let candidate = self.candidates.get_mut(&name)?;
        candidate.phase = Phase::Claiming;
        self.claiming += 1;
        let stamp = candidate.settle?.stamp();
        Some(Action::Claim { pipeline: Arc::clone(&self.rules.pipeline), name, stamp, first_seen })
    }

    /// Ends a claim. Returns false if none was under way.
    pub(super) fn end_claim(&mut self, name: &Name) -> bool {
        let claiming = self.candidates.get_mut(name).filter(|candidate| candidate.phase == Phase::Claiming);
        let Some(candidate) = claiming else { return false };
        candidate.phase = Phase::New;
        self.claiming -= 1;
        true
    }

    /// The claim succeeded: the file is no candidate any more, or is taken in place.
    pub(super) fn claimed(&mut self, name: &Name, id: &FileId, now: Now, wants: &mut Wants) {
        if self.rules.keep {
            if let Some(candidate) = self.candidates.get_mut(name) {
                candidate.phase = Phase::Taken(id.clone());
            }
        } else {
            self.leave(name, now, wants);
        }
    }

    /// The file is gone from the inbox; an event that came meanwhile speaks of another one.
    pub(super) fn leave(&mut self, name: &Name, now: Now, wants: &mut Wants) {
        if self.scanning {
            self.left.insert(Arc::clone(name), now.monotonic);
        }
        if self.candidates.remove(name).is_some_and(|candidate| candidate.again) {
            self.hint(name, now, wants);
        }
    }

    /// The file changed, or came back from processing: look, and let it settle anew.
    pub(super) fn look_anew(&mut self, name: &Name, first_seen: Option<Timestamp>, now: Now, wants: &mut Wants) {
        self.unready(name);
        let fresh = Candidate { told: true, ..Candidate::new(DiscoverySource::Event, now) };
        let candidate = self.candidates.entry(Arc::clone(name)).or_insert(fresh);
        // Another file of that name is on its way out of the inbox: look when it has left. (One taken in place is the
        // very file that comes back.)
        if candidate.phase == Phase::Claiming {
            candidate.again = true;
            return;
        }
        candidate.phase = Phase::New;
        candidate.settle = None;
        candidate.again = false;
        candidate.first_seen = first_seen.unwrap_or(candidate.first_seen);
        candidate.look(name, now, wants);
    }

    /// A claim refused the file although it looks like one (it may not be read, say): told once, tried again later.
    pub(super) fn refuse(&mut self, name: &Name, kind: &'static str, until: Duration, wants: &mut Wants) {
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        if candidate.refused.replace(kind) != Some(kind) {
            let pipeline = Arc::clone(&self.rules.pipeline);
            wants.actions.push(Action::Tell(Tell::Ignored { pipeline, name: Arc::clone(name), kind }));
        }
        self.hold(name, until, wants);
    }

    /// A claim failed. Returns how often in a row.
    pub(super) fn claim_failures(&mut self, name: &Name) -> u32 {
        self.candidates.get_mut(name).map_or(0, |candidate| {
            candidate.claim_failures += 1;
            candidate.claim_failures
        })
    }

    /// Holds a file back until the time given.
    pub(super) fn hold(&mut self, name: &Name, until: Duration, wants: &mut Wants) {
        if let Some(candidate) = self.candidates.get_mut(name) {
            candidate.phase = Phase::Held(until);
            wants.wakes.push((until, Arc::clone(name)));
        }
    }

    /// An earlier run took the file in place and this one goes on with it. What it looked like when it was taken was told
    /// before ([`keep`](Self::keep)), and by that it is known when it is done with.
    pub(super) fn recovered(&mut self, name: &Name, id: &FileId, now: Now) {
        if self.rules.keep {
            let settle = self.candidates.get(name).and_then(|candidate| candidate.settle);
            let new = Candidate::new(DiscoverySource::Startup, now);
            let taken = Candidate { phase: Phase::Taken(id.clone()), settle, ..new };
            self.candidates.insert(Arc::clone(name), taken);
        }
    }

    /// The file is done with and stays where it is.
    pub(super) fn keep(&mut self, name: &Name, stamp: Option<FileStamp>, now: Now, wants: &mut Wants) {
        if stamp.is_some() && !self.candidates.contains_key(name) {
            self.candidates.insert(Arc::clone(name), Candidate::new(DiscoverySource::Startup, now));
        }
        let Some(candidate) = self.candidates.get_mut(name) else { return };
        if let Some(stamp) = stamp {
            // Another file of that name is in progress: it is not the one that was kept before.
            if matches!(candidate.phase, Phase::Claiming | Phase::Taken(_)) {
                return;
            }
            candidate.settle = Some(Settle::first(stamp, now.monotonic));
        }
        candidate.phase = Phase::Kept;
        candidate.hinted = false;
        if std::mem::take(&mut candidate.again) {
            self.hint(name, now, wants);
        }
    }
}
