//! Which files start, within the limits, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::silence::SILENCE;
use super::{Lane, Now, State, Timer};
use crate::engine::Action;
use crate::job::FileId;

/// The file whose turn it is, and that waits for memory.
struct Waiting {
    id: FileId,
    memory: u64,
}

impl State {
    /// Starts as much as the limits allow.
    pub(super) fn start(&mut self, now: Now, out: &mut Vec<Action>) {
        let mut waiting: Option<Waiting> = None;
        let mut too_large = BTreeSet::new();
        while self.works.working() < self.limits.workers && self.has_places() {
            let may = |pipeline: &Arc<str>, lane: &Lane| {
                let startable = self.works.startable(pipeline) > 0 && !too_large.contains(pipeline);
                startable && lane.disk.allows(now.monotonic) && !self.is_crowded(pipeline)
            };
            // Whose turn it is keeps it while he waits.
            let turn = if waiting.is_none() { self.start_turn.as_ref() } else { self.pass_turn.as_ref() };
            let Some(pipeline) = next_turn(&self.lanes, turn, may) else { break };
            let memory = self.memory_for_next(&pipeline);
            if !self.fits(memory, waiting.as_ref()) {
                let next = self.works.next(&pipeline).map(|(id, _)| Waiting { id: id.clone(), memory });
                waiting = waiting.or(next);
                too_large.insert(pipeline);
                continue;
            }
            let turn = if waiting.is_none() { &mut self.start_turn } else { &mut self.pass_turn };
            *turn = Some(Arc::clone(&pipeline));
            let before = waiting.as_ref().map(|waiting| waiting.id.clone());
            let started = self.works.start(&pipeline, now.wall, now.monotonic, memory, before);
            let Some((id, ending)) = started else { break };
            self.timers.insert((now.monotonic + SILENCE, Timer::Silence(id.clone())));
            if let Some(lane) = self.lanes.get_mut(&pipeline) {
                lane.disk.begin();
            }
            out.push(match ending {
                None => Action::Start { id },
                Some(disposition) => Action::Conclude { id, disposition },
            });
        }
        self.waits.memory = waiting.is_some();
    }

    /// Whether there is memory for a file; also beside one that waits for it, with all that were started before that one:
    /// otherwise small files would pass it for ever.
    fn fits(&self, memory: u64, waiting: Option<&Waiting>) -> bool {
        let Some(budget) = self.limits.memory else { return true };
        // What a silent file holds counts: it may be at work all the same.
        let reserved = self.works.reserved();
        let within = reserved.saturating_add(memory) <= budget;
        match waiting {
            None => within || reserved == 0,
            Some(Waiting { id, memory: more }) => {
                let before = self.works.reserved_before(id);
                within && before.saturating_add(memory).saturating_add(*more) <= budget
            }
        }
    }

    /// Returns the memory to set aside for the file of `pipeline` that starts next; nothing for one that only has to end.
    fn memory_for_next(&self, pipeline: &str) -> u64 {
        let (Some(lane), Some((_, work))) = (self.lanes.get(pipeline), self.works.next(pipeline)) else { return 0 };
        if work.unconcluded.is_some() { 0 } else { lane.memory.estimate(work.bytes, work.too_little) }
    }
}

/// Returns the next pipeline after `last` for which `may` holds: turn and turn about.
pub(super) fn next_turn(
    lanes: &BTreeMap<Arc<str>, Lane>,
    last: Option<&Arc<str>>,
    may: impl Fn(&Arc<str>, &Lane) -> bool,
) -> Option<Arc<str>> {
    let after = lanes.iter().filter(|(pipeline, _)| last.is_none_or(|last| *pipeline > last));
    let upto = lanes.iter().filter(|(pipeline, _)| last.is_some_and(|last| *pipeline <= last));
    after.chain(upto).find(|(pipeline, lane)| may(pipeline, lane)).map(|(pipeline, _)| Arc::clone(pipeline))
}
