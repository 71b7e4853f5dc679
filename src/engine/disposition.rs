//! The table of what happens after an attempt that ended without a report. Pure.

use std::time::Duration;

use crate::job::{InputFacts, JobError, RetryReason, Timestamp};

/// How often and how soon to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all before a file is given up.
    pub attempts: u32,
    /// Crashes before a file is given up.
    pub crashes: u32,
    /// Wait after the first failure; each further one waits three times as long.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 5, crashes: 3, base: Duration::from_secs(1), cap: Duration::from_mins(1) }
    }
}

impl RetryPolicy {
    /// Returns the wait after failure number `failures` (from 1). `jitter` is any number: it takes off up to half, so that
    /// files that failed together do not come back together.
    #[must_use]
    pub fn delay(&self, failures: u32, jitter: u64) -> Duration {
        let factor = 3_u32.saturating_pow(failures.saturating_sub(1));
        let whole = self.base.saturating_mul(factor).min(self.cap);
        let thousandths = u32::try_from(jitter % 501).unwrap_or(0);
        whole.saturating_sub(whole * thousandths / 1_000)
    }

    /// Returns how long to wait for a time an earlier run wrote down. Never longer than the longest wait: the wall clock may
    /// have been set back since.
    #[must_use]
    pub fn remaining(&self, until: Option<Timestamp>, now: Timestamp) -> Duration {
        until.map_or(Duration::ZERO, |until| until.since(now)).min(self.cap)
    }
}

/// Where no worker can be started, a file waits as long as after this many failures.
const NO_WORKER: u32 = 2;

/// Attempts of one file that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub attempts: u32,
    /// Those that ended in a crash.
    pub crashes: u32,
}

/// What becomes of a file whose attempt ended without a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Disposition {
    /// Drop the attempt's staging and try again after `delay`.
    Retry {
        /// Why.
        reason: RetryReason,
        /// Whether the attempt counts.
        counted: bool,
        /// When to try again.
        delay: Duration,
        /// For a person.
        message: String,
    },
    /// The content is at fault: quarantine it as `quarantined`. Holds the [`JobError::Quarantine`].
    Quarantine(Box<JobError>),
    /// No byte of text: archive it as `empty`.
    Empty(Box<InputFacts>),
    /// The attempts are used up: quarantine it as `failed`.
    GiveUp {
        /// What ended the last attempt.
        reason: RetryReason,
        /// Attempts that counted.
        attempts: u32,
        /// For a person.
        message: String,
    },
    /// It changed while it was read: back to where it came from, to settle again.
    PutBack {
        /// For a person.
        message: String,
    },
    /// It is gone: nothing to move.
    Forget {
        /// For a person.
        message: String,
    },
    /// The daemon stops: drop the attempt's staging, do not count it. The next run takes it up.
    Abandon,
}

/// Returns what happens after `error`, and the tally with this attempt in it.
#[must_use]
pub fn dispose(error: JobError, tally: Tally, policy: &RetryPolicy, jitter: u64) -> (Disposition, Tally) {
    let (reason, message) = match error {
        JobError::Quarantine { .. } => return (Disposition::Quarantine(Box::new(error)), tally),
        JobError::Vanished { message } => return (Disposition::Forget { message }, tally),
        JobError::Empty { input } => return (Disposition::Empty(input), tally),
        JobError::Cancelled => return (Disposition::Abandon, tally),
        JobError::Retry { reason, message } => (reason, message),
    };
    let crashed = match reason {
        RetryReason::Changed => return (Disposition::PutBack { message }, tally),
        // The wait for room belongs to the pipeline, not to the file.
        RetryReason::DiskFull => {
            return (Disposition::Retry { reason, counted: false, delay: Duration::ZERO, message }, tally);
        }
        // Nor does it ask for more than a look again soon, as the machine is short of something.
        RetryReason::NoWorker => {
            let delay = policy.delay(NO_WORKER, jitter);
            return (Disposition::Retry { reason, counted: false, delay, message }, tally);
        }
        RetryReason::Crash => 1,
        RetryReason::Io | RetryReason::OutOfMemory => 0,
    };
    let tally = Tally { attempts: tally.attempts + 1, crashes: tally.crashes + crashed };
    if tally.attempts >= policy.attempts || tally.crashes >= policy.crashes {
        return (Disposition::GiveUp { reason, attempts: tally.attempts, message }, tally);
    }
    let delay = policy.delay(tally.attempts, jitter);
    (Disposition::Retry { reason, counted: true, delay, message }, tally)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::job::QuarantineReason;

    fn retry(reason: RetryReason) -> JobError {
        JobError::Retry { reason, message: "no luck".to_owned() }
    }

    /// Fails the same way until the file is not tried again; returns the attempts and the last word.
    fn exhaust(reason: RetryReason) -> (u32, Disposition) {
        let mut tally = Tally::default();
        for attempt in 1..100 {
            let (disposition, next) = dispose(retry(reason), tally, &RetryPolicy::default(), 7);
            tally = next;
            if !matches!(disposition, Disposition::Retry { .. }) {
                return (attempt, disposition);
            }
        }
        (100, Disposition::Abandon)
    }

    #[test]
    fn io_and_memory_get_five_attempts_and_crashes_three() {
        for (reason, attempts) in [(RetryReason::Io, 5), (RetryReason::OutOfMemory, 5), (RetryReason::Crash, 3)] {
            let given_up = Disposition::GiveUp { reason, attempts, message: "no luck".to_owned() };
            assert_eq!(exhaust(reason), (attempts, given_up));
        }
    }

    #[test]
    fn what_the_machine_lacks_never_costs_an_attempt() {
        let policy = RetryPolicy::default();
        let last = Tally { attempts: 4, crashes: 2 };
        for (reason, wait) in [(RetryReason::DiskFull, 0), (RetryReason::NoWorker, 3)] {
            let (disposition, tally) = dispose(retry(reason), last, &policy, 0);
            let Disposition::Retry { counted: false, delay, .. } = disposition else { panic!("{disposition:?}") };
            assert_eq!((tally, delay.as_secs()), (last, wait), "a pipeline waits for room, a file for a worker");
        }
    }

    #[test]
    fn what_cannot_be_tried_again_is_not() {
        let of = |error| dispose(error, Tally::default(), &RetryPolicy::default(), 0).0;
        let refused = JobError::refuse(QuarantineReason::WrongEncoding, "not utf-8", "set csv.encoding");
        assert_eq!(of(refused.clone()), Disposition::Quarantine(Box::new(refused)));
        assert_eq!(of(JobError::Cancelled), Disposition::Abandon);
        assert!(matches!(of(retry(RetryReason::Changed)), Disposition::PutBack { .. }));
        assert!(matches!(of(JobError::Vanished { message: String::new() }), Disposition::Forget { .. }));
    }

    #[test]
    fn waits_grow_to_the_cap() {
        let policy = RetryPolicy::default();
        let seconds: Vec<_> = (1..7).map(|n| policy.delay(n, 0).as_secs()).collect();
        assert_eq!(seconds, [1, 3, 9, 27, 60, 60]);
    }

    #[test]
    fn a_wait_from_before_the_clock_was_set_back_is_no_longer_than_the_longest() {
        let policy = RetryPolicy::default();
        let now = Timestamp(1_795_168_800_000_000_000);
        let later = |seconds| Some(now.plus(Duration::from_secs(seconds)));
        assert_eq!(policy.remaining(later(27), now), Duration::from_secs(27));
        assert_eq!(policy.remaining(later(30 * 24 * 3_600), now), policy.cap);
        assert_eq!(policy.remaining(Some(Timestamp(0)), now), Duration::ZERO);
        assert_eq!(policy.remaining(None, now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn jitter_takes_off_at_most_half(failures in 1_u32..50, jitter: u64) {
            let policy = RetryPolicy::default();
            let (whole, delay) = (policy.delay(failures, 0), policy.delay(failures, jitter));
            prop_assert!(delay <= whole && delay >= whole / 2);
        }
    }
}
