//! Back-pressure of one pipeline whose disk is full. Pure.
//!
//! While it waits, one step at a time tries whether there is room again; the first that gets through lifts it.

use std::time::Duration;

use super::RetryPolicy;

/// Whether a pipeline waits for room, and when it tries again.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskWait {
    wait: Option<Wait>,
}

#[derive(Debug, Clone)]
struct Wait {
    until: Duration,
    probing: bool,
    tries: u32,
}

impl DiskWait {
    pub(super) const fn is_active(&self) -> bool {
        self.wait.is_some()
    }

    /// Returns whether a step may begin now.
    pub(super) fn allows(&self, now: Duration) -> bool {
        self.wait.as_ref().is_none_or(|wait| !wait.probing && now >= wait.until)
    }

    /// A step begins: while waiting it is the one that tries.
    pub(super) const fn begin(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.probing = true;
        }
    }

    /// A step found the disk full. Returns when the next may begin.
    pub(super) fn full(&mut self, now: Duration, policy: &RetryPolicy, jitter: u64) -> Duration {
        // Steps that were under way when the first one failed tell nothing new.
        let tries = self.wait.as_ref().map_or(1, |wait| wait.tries + u32::from(wait.probing));
        let until = now + policy.delay(tries, jitter);
        self.wait = Some(Wait { until, probing: false, tries });
        until
    }

    /// A step ended without an answer to whether there is room.
    pub(super) const fn undecided(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.probing = false;
        }
    }

    /// A step got through: there is room.
    pub(super) fn lift(&mut self) {
        self.wait = None;
    }
}
