//! Which files are claimed, and what a claim has come to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::start::next_turn;
use super::{Lane, Limits, Now, State};
use crate::discover::Name;
use crate::engine::work::Work;
use crate::engine::{Action, ClaimResult, Claimed, Tell};

/// Claimed files a pipeline may hold, but for those that wait for another attempt.
const MAX_CLAIMED: usize = 64;

/// Files that wait for another attempt and hold up no sound ones. If every attempt fails, the other files stay in the inbox,
/// untouched.
const MAX_FAILING: usize = 192;

impl State {
    /// Claims as much as the limits allow, in company too: half the store is used up before it is filled again.
    pub(super) fn claim(&mut self, now: Now, out: &mut Vec<Action>) {
        let Limits { workers, ahead, .. } = self.limits;
        let on_hand = |pipeline: &str, lane: &Lane| self.works.startable(pipeline) + lane.inbox.claiming();
        let low = |(pipeline, lane): &(&Arc<str>, &Lane)| on_hand(pipeline, lane) <= workers + ahead / 2;
        let filling: BTreeSet<_> = self.lanes.iter().filter(low).map(|(pipeline, _)| Arc::clone(pipeline)).collect();
        loop {
            let may = |pipeline: &Arc<str>, lane: &Lane| {
                let claimed = self.works.count(pipeline) + lane.inbox.claiming();
                let on_hand = self.works.startable(pipeline) + lane.inbox.claiming();
                let room = if lane.disk.is_active() { claimed == 0 } else { self.has_room(pipeline, claimed, now) };
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

    /// Whether a pipeline that holds so many files may claim another.
    fn has_room(&self, pipeline: &str, claimed: usize, now: Now) -> bool {
        let failing = || self.works.failing(pipeline, now.monotonic).min(MAX_FAILING);
        claimed < MAX_CLAIMED || claimed < MAX_CLAIMED + failing()
    }

    pub(super) fn claim_done(
        &mut self,
        pipeline: Arc<str>,
        name: Name,
        result: ClaimResult,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        let Some(lane) = self.lanes.get_mut(&pipeline) else { return };
        if !lane.inbox.end_claim(&name) {
            return;
        }
        match &result {
            // The claim was the probe, and `full` below counts it as one.
            ClaimResult::Failed { disk_full: true, .. } => {}
            ClaimResult::Failed { .. } | ClaimResult::Claimed(_) => lane.disk.undecided(),
            // Who waited is gone. The next one finds out by itself whether the disk is still full.
            ClaimResult::Changed | ClaimResult::Vanished | ClaimResult::NotAFile(_) => {
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
            ClaimResult::Claimed(_) | ClaimResult::Changed | ClaimResult::Vanished | ClaimResult::NotAFile(_) => {
                Duration::ZERO
            }
        };
        self.inbox(&pipeline, out, |inbox, wants| match &result {
            ClaimResult::Claimed(Claimed { id, .. }) => inbox.claimed(&name, id, now, wants),
            ClaimResult::Changed => inbox.look_anew(&name, None, now, wants),
            ClaimResult::Vanished => inbox.leave(&name, now, wants),
            ClaimResult::NotAFile(kind) => inbox.refuse(&name, kind, now.monotonic + cap, wants),
            ClaimResult::Failed { .. } => inbox.hold(&name, now.monotonic + delay, wants),
        });
        match result {
            ClaimResult::Claimed(claimed) => self.take_in(pipeline, name, &claimed, now),
            ClaimResult::Failed { disk_full, message } => {
                out.push(Action::Tell(Tell::ClaimFailed { pipeline, name, disk_full, message, delay }));
            }
            ClaimResult::Changed | ClaimResult::Vanished | ClaimResult::NotAFile(_) => {}
        }
    }

    /// A claimed file waits for its turn.
    pub(super) fn take_in(&mut self, pipeline: Arc<str>, name: Name, claimed: &Claimed, now: Now) {
        if self.works.get(&claimed.id).is_none() {
            let not_before = now.monotonic + claimed.delay;
            self.works.insert(claimed.id.clone(), Work::new(pipeline, name, claimed, not_before));
            self.wake_after(&claimed.id, now, claimed.delay);
        }
    }
}
