//! The rate limit: a token bucket. Time is a parameter.

use std::time::Duration;

/// `rate_limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Time in which one token comes.
    pub(super) interval: Duration,
    /// Tokens there can be.
    pub(super) burst: u32,
}

/// The tokens, as the time it took them to come.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    saved: Duration,
    at: Duration,
}

impl Bucket {
    /// Returns a bucket with all its tokens.
    pub(super) fn full(rate: Rate, now: Duration) -> Self {
        Self { rate, saved: rate.interval.saturating_mul(rate.burst), at: now }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let most = self.rate.interval.saturating_mul(self.rate.burst);
        self.saved = self.saved.saturating_add(now.saturating_sub(self.at)).min(most);
        self.at = now;
        let left = self.saved.checked_sub(self.rate.interval);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let mut bucket = Bucket::full(Rate { interval: Duration::from_secs(1), burst: 3 }, Duration::ZERO);
        let mut taken = |millis| (0..5).filter(|_| bucket.take(Duration::from_millis(millis))).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(999), 0);
        assert_eq!(taken(1000), 1);
        assert_eq!(taken(3000), 2);
        assert_eq!(taken(60_000), 3, "no more is saved than the burst");
    }
}
