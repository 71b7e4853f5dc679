//! Ids: sortable by the time they were given, and never smaller than one given before.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ulid::Ulid;

use crate::job::{FileId, Timestamp};

/// Gives out ids, each greater than the last, also when the wall clock jumps back.
#[derive(Debug)]
pub struct IdSource {
    newest: Mutex<Ulid>,
}

impl IdSource {
    /// Returns a source whose ids are all greater than `newest`.
    #[must_use]
    pub fn after(newest: Option<&FileId>) -> Self {
        let newest = newest.and_then(|id| Ulid::from_string(id.as_str()).ok());
        Self { newest: Mutex::new(newest.unwrap_or_else(Ulid::nil)) }
    }

    /// Returns the next id.
    ///
    /// # Panics
    ///
    /// Never: a ULID in lower case is an id.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a ULID is 26 characters of Crockford's alphabet, so in lower case it is an id"
    )]
    pub fn next(&self, now: Timestamp) -> FileId {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        *newest = if millis > newest.timestamp_ms() {
            Ulid::from_datetime(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
        } else {
            // `Err` is the next one too: its random part ran over into the time.
            newest.increment().unwrap_or_else(|next| next)
        };
        FileId::parse(&newest.to_string().to_ascii_lowercase()).expect("a ULID in lower case is an id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up_also_when_the_clock_goes_back() {
        let first = IdSource::after(None).next(Timestamp(1_795_168_800_000_000_000));
        assert_eq!(first.as_str().len(), 26);
        let source = IdSource::after(Some(&first));
        let mut last = first;
        for second in [1_795_168_900, 1_795_168_900, 0, 5, 1_795_169_000_i64] {
            let next = source.next(Timestamp(second * 1_000_000_000));
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    #[test]
    fn a_ledger_from_the_future_does_not_break_the_order() {
        let future = FileId::parse("7zzzzzzzz0zzzzzzzzzzzzzzzz").unwrap();
        let source = IdSource::after(Some(&future));
        let a = source.next(Timestamp(0));
        let b = source.next(Timestamp(0));
        assert!(future < a && a < b);
    }
}
