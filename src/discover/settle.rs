//! Decides when a file counts as whole. Pure.
//!
//! Only our own monotonic clock counts. The age of a modification time says nothing: a copy that preserves it looks old
//! while it is still being written, and the file server's clock may be off.

use std::time::Duration;

use crate::job::FileStamp;

/// What looks have shown of one file so far. Times are the monotonic clock's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    stamp: FileStamp,
    since: Duration,
}

/// What a look means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Unchanged long enough: whole.
    Whole,
    /// Look again at this time.
    Wait(Duration),
}

impl Settle {
    /// Starts with the first look. `now` is a time after the look, so that waiting is never cut short.
    #[must_use]
    pub const fn first(stamp: FileStamp, now: Duration) -> Self {
        Self { stamp, since: now }
    }

    /// Returns what is known of the file.
    #[must_use]
    pub const fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// Returns when to look again, if nothing changes.
    #[must_use]
    pub const fn due(&self, settle: Duration) -> Duration {
        self.since.saturating_add(settle)
    }

    /// Takes in another look. `taken` is a time before the look and `now` one after it: both err on the side of waiting.
    pub fn look(&mut self, stamp: FileStamp, taken: Duration, now: Duration, settle: Duration) -> Verdict {
        if stamp != self.stamp {
            *self = Self::first(stamp, now);
        } else if taken >= self.due(settle) {
            return Verdict::Whole;
        }
        if settle.is_zero() { Verdict::Whole } else { Verdict::Wait(self.due(settle)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(size: u64) -> FileStamp {
        FileStamp { dev: 1, ino: 2, size, mtime_ns: 3 }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn two_equal_looks_far_enough_apart_make_it_whole() {
        let mut settle = Settle::first(stamp(1), ms(100));
        assert_eq!(settle.look(stamp(1), ms(1_000), ms(1_001), ms(2_000)), Verdict::Wait(ms(2_100)));
        assert_eq!(settle.look(stamp(1), ms(2_100), ms(2_101), ms(2_000)), Verdict::Whole);
    }

    #[test]
    fn any_change_starts_the_wait_anew() {
        for changed in [
            FileStamp { size: 9, ..stamp(1) },
            FileStamp { mtime_ns: 9, ..stamp(1) },
            FileStamp { ino: 9, ..stamp(1) },
            FileStamp { dev: 9, ..stamp(1) },
        ] {
            let mut settle = Settle::first(stamp(1), ms(0));
            assert_eq!(settle.look(changed, ms(5_000), ms(5_001), ms(2_000)), Verdict::Wait(ms(7_001)));
        }
    }

    #[test]
    fn a_settle_of_zero_needs_one_look() {
        assert_eq!(Settle::first(stamp(1), ms(9)).look(stamp(1), ms(9), ms(9), ms(0)), Verdict::Whole);
    }

    proptest! {
        /// Against the definition: whole only if some earlier look showed the same, and everything since, for `settle`.
        #[test]
        fn whole_means_unchanged_for_the_whole_time(
            looks in prop::collection::vec((0_u64..3, 0_u64..900), 2..40), settle in 1_u64..1_500,
        ) {
            let mut now = 0;
            let mut history: Vec<(u64, u64)> = Vec::new();
            let mut subject: Option<Settle> = None;
            for (size, step) in looks {
                now += step;
                let verdict = match &mut subject {
                    None => { subject = Some(Settle::first(stamp(size), ms(now))); None }
                    Some(subject) => Some(subject.look(stamp(size), ms(now), ms(now), ms(settle))),
                };
                let same_since = history.iter().rev().take_while(|(_, seen)| *seen == size).last().map(|(at, _)| *at);
                let whole = same_since.is_some_and(|since| now - since >= settle);
                history.push((now, size));
                match verdict {
                    None => {}
                    Some(Verdict::Whole) => prop_assert!(whole),
                    Some(Verdict::Wait(until)) => {
                        prop_assert!(!whole);
                        prop_assert_eq!(until, ms(same_since.unwrap_or(now) + settle));
                    }
                }
            }
        }
    }
}
