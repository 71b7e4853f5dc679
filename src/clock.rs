//! The time, as a parameter: production takes it from the system, a test holds it still.
//!
//! Nothing else in this crate asks the system what time it is. Text forms of a [`Timestamp`] live here too, so that every
//! manifest, story and directory name spells a moment the same way: UTC, RFC 3339.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat};

use crate::job::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Returns the wall clock. It may jump in either direction.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed moment. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The moment [`Clock::monotonic`] counts from: the first time anyone asked.
static START: LazyLock<Instant> = LazyLock::new(start);

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
fn start() -> Instant {
    Instant::now()
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Timestamp {
        let nanos = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Timestamp(nanos)
    }

    fn monotonic(&self) -> Duration {
        START.elapsed()
    }
}

/// A clock that stands still until it is told otherwise. For tests.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// Returns a clock that shows `now`, and zero on its monotonic side.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self { wall: AtomicI64::new(now.0), monotonic: AtomicU64::new(0) }
    }

    /// Lets time pass on both sides.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.monotonic.fetch_add(nanos, Ordering::SeqCst);
        let signed = i64::try_from(nanos).unwrap_or(i64::MAX);
        self.wall.fetch_add(signed, Ordering::SeqCst);
    }

    /// Sets the wall clock, as an operator or NTP would: the monotonic side does not move.
    pub fn set_wall(&self, now: Timestamp) {
        self.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Returns a clock at 2026-11-20 10:00:00 UTC.
    fn default() -> Self {
        Self::at(Timestamp(1_795_168_800_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic.load(Ordering::SeqCst))
    }
}

/// Returns `at` as RFC 3339 in UTC, with as many digits of the second as it needs: `2026-11-20T10:00:00.250Z`.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    DateTime::from_timestamp_nanos(at.0).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads what [`rfc3339`] wrote.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let at = DateTime::parse_from_rfc3339(text).map_err(|err| format!("'{text}': {err}"))?;
    at.timestamp_nanos_opt().map(Timestamp).ok_or_else(|| format!("'{text}' is outside the years 1678 to 2262"))
}

/// Returns the day of `at` in UTC: `2026-11-20`.
#[must_use]
pub fn utc_day(at: Timestamp) -> String {
    DateTime::from_timestamp_nanos(at.0).date_naive().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::default();
        assert_eq!(rfc3339(clock.now()), "2026-11-20T10:00:00Z");
        clock.advance(Duration::from_millis(250));
        assert_eq!(rfc3339(clock.now()), "2026-11-20T10:00:00.250Z");
        clock.set_wall(Timestamp(0));
        assert_eq!(clock.monotonic(), Duration::from_millis(250), "the wall clock jumped, not time");
        assert_eq!(utc_day(clock.now()), "1970-01-01");
    }

    #[test]
    fn the_system_clock_is_of_this_age_and_does_not_go_back() {
        let clock = SystemClock;
        assert!(clock.now() > Timestamp(1_700_000_000_000_000_000));
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    proptest::proptest! {
        #[test]
        fn every_moment_reads_back(nanos: i64) {
            let at = Timestamp(nanos);
            proptest::prop_assert_eq!(parse_rfc3339(&rfc3339(at)), Ok(at));
        }
    }
}
