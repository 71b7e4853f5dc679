//! Files in flight that give no sign of life: their disk hangs, or their worker does. Pure.
//!
//! Such a file uses no processor, so it does not count against the limits, and whoever waits for its place goes on; of one
//! pipeline only so many, for a disk that hangs would take file after file. It has its end as any other, whenever that comes.

use std::time::Duration;

use super::{Now, State, Timer};
use crate::job::FileId;

/// Without a sign of life for so long a file does not count.
pub(super) const SILENCE: Duration = Duration::from_millis(500);

impl State {
    /// A sign of life: the file counts again, if there is room for it.
    pub(super) fn alive(&mut self, id: &FileId, now: Now) {
        let Some(work) = self.works.running(id) else { return };
        work.heard = now.monotonic;
        if !self.works.is_aside(id) {
            return;
        }
        let fits = self.limits.memory.is_none_or(|memory| self.works.reserved() <= memory);
        let room = self.works.working() < self.limits.workers && self.has_places();
        if room && (fits || self.works.working() == 0) {
            self.works.set_aside(id, false);
            self.timers.insert((now.monotonic + SILENCE, Timer::Silence(id.clone())));
        }
    }

    /// Looks whether a file in flight has been silent for too long.
    pub(super) fn listen(&mut self, id: FileId, now: Now) {
        let Some(heard) = self.works.running(&id).map(|work| work.heard) else { return };
        if self.works.is_aside(&id) {
            return;
        }
        if now.monotonic >= heard + SILENCE {
            self.works.set_aside(&id, true);
        } else {
            self.timers.insert((heard + SILENCE, Timer::Silence(id)));
        }
    }

    /// Returns whether another file may be put in flight.
    pub(super) const fn has_places(&self) -> bool {
        self.works.in_flight() < self.limits.workers + self.limits.ahead
    }

    /// Returns whether a pipeline has as many files in flight as it may, those that do not count included: twice what all
    /// of them may have that do.
    pub(super) fn is_crowded(&self, pipeline: &str) -> bool {
        if self.works.aside() == 0 {
            return false;
        }
        let (in_flight, working) = self.works.load(pipeline);
        working >= 2 * self.limits.workers || in_flight >= 2 * (self.limits.workers + self.limits.ahead)
    }
}
