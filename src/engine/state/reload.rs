//! A reload: which pipelines come, change and go. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Lane, Life, Limits, Looks, Now, Rules, State, Timer};
use crate::engine::{Action, Tell};

impl State {
    /// Returns the pipelines there are, those included that only finish what they have claimed.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lanes.keys()
    }

    pub(super) fn is_leaving(&self, pipeline: &str) -> bool {
        self.lanes.get(pipeline).is_some_and(|lane| lane.leaving)
    }

    pub(super) fn reload(&mut self, rules: Vec<Rules>, limits: Limits, now: Now, out: &mut Vec<Action>) {
        self.limits = limits;
        let mut gone: BTreeSet<Arc<str>> = self.lanes.keys().cloned().collect();
        for rules in rules {
            gone.remove(&rules.pipeline);
            self.admit(rules, now, out);
        }
        for (_, lane) in self.lanes.iter_mut().filter(|(pipeline, _)| gone.contains(*pipeline)) {
            lane.leaving = true;
            lane.scanning = false;
            lane.looks = Looks::default();
            lane.inbox.let_go();
        }
        // Nobody waits any more for the first scan of a pipeline that is gone.
        self.tell_first_scans(out);
    }

    /// A pipeline of the new configuration. One that has not changed is not touched.
    fn admit(&mut self, rules: Rules, now: Now, out: &mut Vec<Action>) {
        let pipeline = Arc::clone(&rules.pipeline);
        match self.lanes.get(&pipeline) {
            Some(lane) if !lane.leaving && lane.inbox.rules == rules => return,
            Some(_) => {}
            None => drop(self.lanes.insert(Arc::clone(&pipeline), Lane::new(rules.clone()))),
        }
        if let Some(lane) = self.lanes.get_mut(&pipeline) {
            lane.leaving = false;
            // A scan or a look under way sees with the eyes of before.
            lane.scanning = false;
            lane.looks.ended();
            lane.scan_due = now.monotonic;
            self.timers.insert((now.monotonic, Timer::Scan(Arc::clone(&pipeline))));
        }
        self.inbox(&pipeline, out, |inbox, wants| inbox.renew(rules, now, wants));
    }

    /// Forgets pipelines that a reload removed and that have finished.
    pub(super) fn let_go(&mut self, out: &mut Vec<Action>) {
        let works = &self.works;
        let over = |(pipeline, lane): (&Arc<str>, &Lane)| {
            let over = lane.leaving && works.count(pipeline) == 0 && lane.inbox.claiming() == 0;
            over.then(|| Arc::clone(pipeline))
        };
        let over: Vec<Arc<str>> = self.lanes.iter().filter_map(over).collect();
        for pipeline in over {
            self.lanes.remove(&pipeline);
            out.push(Action::Tell(Tell::Gone { pipeline }));
        }
    }

    pub(super) fn tell_first_scans(&mut self, out: &mut Vec<Action>) {
        let all = self.lanes.values().all(|lane| lane.first_scan_done || lane.leaving);
        // Ready must not be told after the end was.
        if all && self.life == Life::Going && !std::mem::replace(&mut self.told_first_scans, true) {
            out.push(Action::Tell(Tell::FirstScanDone));
        }
    }
}
