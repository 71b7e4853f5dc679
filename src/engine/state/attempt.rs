//! From the start of a file to its end, or to its next attempt.

use std::sync::Arc;
use std::time::Duration;

use super::{Life, Now, State, Timer};
use crate::engine::work::{Phase, Step, Work};
use crate::engine::{Action, Disposition, Tell, dispose};
use crate::job::{FileId, JobError, RetryReason};

impl State {
    pub(super) fn processed(&mut self, id: FileId, peak_memory: u64, now: Now) {
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
    pub(super) fn publish(&mut self, now: Now, out: &mut Vec<Action>) {
        let nobody_comes = self.works.working() == 0 || self.life == Life::Draining;
        let together = self.gathering.publish(now.monotonic, self.limits.ahead.div_ceil(2), nobody_comes);
        out.extend(together.into_iter().map(|id| Action::Publish { id }));
    }

    pub(super) fn finished(&mut self, id: &FileId, now: Now, out: &mut Vec<Action>) {
        if self.works.running(id).is_none() {
            return;
        }
        self.stuck.remove(id);
        let Some(work) = self.works.remove(id) else { return };
        if let Some(lane) = self.lanes.get_mut(&work.pipeline) {
            lane.disk.lift();
        }
        self.left_in_place(&work, now, out);
    }

    /// A file that was processed where it lies is done with.
    pub(super) fn left_in_place(&mut self, work: &Work, now: Now, out: &mut Vec<Action>) {
        self.inbox(&work.pipeline, out, |inbox, wants| {
            if inbox.rules.keep {
                inbox.keep(&work.name, None, now, wants);
            }
        });
    }

    pub(super) fn failed(&mut self, id: FileId, error: JobError, now: Now, out: &mut Vec<Action>) {
        let jitter = self.jitter.u64(..);
        let Some(work) = self.works.running(&id) else { return };
        if matches!(work.phase, Phase::Running { step: Step::Ending(_), .. }) {
            return;
        }
        self.stuck.remove(&id);
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
        if let Disposition::PutBack { message } = &disposition {
            let delay = self.lanes.get(&pipeline).map_or(Duration::ZERO, |lane| lane.inbox.rules.settle);
            let (id, message) = (id.clone(), message.clone());
            out.push(Action::Tell(Tell::Retried { id, reason: RetryReason::Changed, message, delay }));
        }
        self.works.step(&id, Step::Ending(disposition.clone()), now.monotonic);
        out.push(Action::Conclude { id, disposition });
    }

    pub(super) fn concluded(&mut self, id: &FileId, held: bool, now: Now, out: &mut Vec<Action>) {
        let Some(work) = self.works.running(id) else { return };
        let Phase::Running { step: Step::Ending(disposition), .. } = work.phase.clone() else { return };
        work.stuck = 0;
        self.stuck.remove(id);
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

    pub(super) fn stuck(
        &mut self,
        id: FileId,
        settled: bool,
        disk_full: bool,
        message: String,
        now: Now,
        out: &mut Vec<Action>,
    ) {
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
        if disk_full {
            self.stuck.remove(&id)
        } else {
            self.stuck.insert(id.clone())
        };
        let delay = if disk_full { self.disk_full(&pipeline, now) } else { own };
        // A full disk is the pipeline's wait: the file itself may go on as soon as that is over.
        self.wait(&id, now, if disk_full { Duration::ZERO } else { delay });
        if let Some(lane) = self.lanes.get_mut(&pipeline).filter(|_| !disk_full) {
            lane.disk.undecided();
        }
        out.push(Action::Tell(Tell::Stuck { id, message, delay }));
    }

    /// Takes a file out of flight for `delay`.
    pub(super) fn wait(&mut self, id: &FileId, now: Now, delay: Duration) {
        self.works.park(id, now.monotonic + delay);
        self.wake_after(id, now, delay);
    }

    pub(super) fn wake_after(&mut self, id: &FileId, now: Now, delay: Duration) {
        let until = now.monotonic + delay;
        if delay.is_zero() {
            self.works.wake(id, now.monotonic);
        } else {
            self.timers.insert((until, Timer::Work(id.clone())));
        }
    }

    /// A disk is full: `pipeline` waits. Returns for how long.
    pub(super) fn disk_full(&mut self, pipeline: &str, now: Now) -> Duration {
        let jitter = self.jitter.u64(..);
        let Some(lane) = self.lanes.get_mut(pipeline) else { return Duration::ZERO };
        let until = lane.disk.full(now.monotonic, &self.limits.retry, jitter);
        self.timers.insert((until, Timer::Disk));
        until.saturating_sub(now.monotonic)
    }
}
