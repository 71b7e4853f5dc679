//! When an inbox is scanned and looked into, and what time brings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Life, Now, State, Timer};
use crate::discover::{Name, Sighting};
use crate::engine::Action;

/// Shortest time between the starts of two scans of one inbox, however many events are lost.
const SCAN_GAP: Duration = Duration::from_secs(1);

/// Longest time until a scan that failed is tried again.
const SCAN_RETRY: Duration = Duration::from_mins(1);

impl State {
    pub(super) fn begin(&mut self, now: Now) {
        self.life = Life::Going;
        for (pipeline, lane) in &mut self.lanes {
            lane.scan_due = now.monotonic;
            self.timers.insert((now.monotonic, Timer::Scan(Arc::clone(pipeline))));
        }
    }

    pub(super) fn rescan(&mut self, pipeline: &Arc<str>, now: Now) {
        let Some(lane) = self.lanes.get_mut(pipeline) else { return };
        let earliest = lane.scan_began.map_or(now.monotonic, |began| now.monotonic.max(began + SCAN_GAP));
        // While a scan is under way its end makes the plan, and keeps an earlier time.
        lane.scan_due = if lane.scanning { earliest } else { lane.scan_due.min(earliest) };
        self.timers.insert((lane.scan_due, Timer::Scan(Arc::clone(pipeline))));
    }

    /// Returns whether the scan that ended was the first; `None` for an echo of an earlier one.
    pub(super) fn scan_ended(&mut self, pipeline: &str, taken: Duration) -> Option<bool> {
        let lane = self.lanes.get_mut(pipeline).filter(|lane| lane.scanning)?;
        lane.scan_began.filter(|began| taken >= *began)?;
        lane.scanning = false;
        Some(!std::mem::replace(&mut lane.first_scan_done, true))
    }

    /// Plans the scan after one that ended, or soon after one that failed.
    pub(super) fn plan_scan(&mut self, pipeline: &Arc<str>, failed: bool, now: Now, out: &mut Vec<Action>) {
        if let Some(lane) = self.lanes.get_mut(pipeline) {
            let interval = lane.inbox.rules.scan_interval;
            let regular = now.monotonic + if failed { interval.min(SCAN_RETRY) } else { interval };
            // A rescan asked for during this scan has set an earlier time.
            let asked = Some(lane.scan_due).filter(|due| lane.scan_began.is_some_and(|began| *due > began));
            lane.scan_due = asked.map_or(regular, |asked| asked.min(regular));
            self.timers.insert((lane.scan_due, Timer::Scan(Arc::clone(pipeline))));
        }
        self.tell_first_scans(out);
    }

    /// Does what the times that have come ask for.
    pub(super) fn fire(&mut self, now: Now, out: &mut Vec<Action>) {
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

    /// A look is done.
    pub(super) fn looked(
        &mut self,
        pipeline: &Arc<str>,
        taken: Duration,
        seen: Vec<(Name, Sighting)>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if let Some(lane) = self.lanes.get_mut(pipeline) {
            lane.looks.ended();
        }
        self.inbox(pipeline, out, |inbox, wants| {
            for (name, sighting) in seen {
                inbox.looked(&name, sighting, taken, now, wants);
            }
        });
    }

    pub(super) fn scan(&mut self, pipeline: Arc<str>, now: Now, out: &mut Vec<Action>) {
        let Some(lane) = self.lanes.get_mut(&pipeline) else { return };
        if !lane.scanning && !lane.leaving && lane.scan_due <= now.monotonic {
            lane.scanning = true;
            lane.scan_began = Some(now.monotonic);
            lane.inbox.scan_begins();
            out.push(Action::Scan { pipeline });
        }
    }
}
