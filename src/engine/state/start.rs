//! Which files start, within the limits, and whose turn it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::silence::SILENCE;
use super::{Lane, Now, State, Timer};
use crate::engine::Action;

impl State {
    /// Starts as much as the limits allow.
    pub(super) fn start(&mut self, now: Now, out: &mut Vec<Action>) {
        let workers = self.limits.workers;
        self.waits.memory = false;
        while self.works.working() < workers && self.has_places() {
            let may = |pipeline: &Arc<str>, lane: &Lane| {
                self.works.startable(pipeline) > 0 && lane.disk.allows(now.monotonic) && !self.is_crowded(pipeline)
            };
            let Some(pipeline) = next_turn(&self.lanes, self.start_turn.as_ref(), may) else { break };
            let memory = self.memory_for_next(&pipeline);
            let reserved = self.works.reserved();
            // What a silent file holds counts: it may be at work all the same.
            if self.limits.memory.is_some_and(|budget| reserved + memory > budget) && reserved > 0 {
                // Whose turn it is waits, and nobody overtakes it: small files would for ever.
                self.waits.memory = true;
                break;
            }
            self.start_turn = Some(Arc::clone(&pipeline));
            let Some((id, ending)) = self.works.start(&pipeline, now.wall, now.monotonic, memory) else { break };
            self.timers.insert((now.monotonic + SILENCE, Timer::Silence(id.clone())));
            if let Some(lane) = self.lanes.get_mut(&pipeline) {
                lane.disk.begin();
            }
            out.push(match ending {
                None => Action::Start { id },
                Some(disposition) => Action::Conclude { id, disposition },
            });
        }
    }

    /// Returns the memory to set aside for the file of `pipeline` that starts next; nothing for one that only has to end.
    fn memory_for_next(&self, pipeline: &str) -> u64 {
        let (Some(lane), Some(work)) = (self.lanes.get(pipeline), self.works.next(pipeline)) else { return 0 };
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
