//! Scans that fail.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Action, Event, Limits, Now, RetryPolicy, Rules, State};
use super::world::pipeline;
use crate::job::Timestamp;

fn at(seconds: u64) -> Now {
    let monotonic = Duration::from_secs(seconds);
    Now { monotonic, wall: Timestamp(i64::try_from(monotonic.as_nanos()).unwrap()) }
}

/// Returns after how many seconds the next scan is due, the first one having ended at second 10.
fn next_scan(scan_interval: Duration, failed: bool) -> u64 {
    let (settle, meaning) = (Duration::from_secs(2), "any".into());
    let rules = Rules { pipeline: pipeline(0), settle, scan_interval, keep: false, meaning };
    let limits = Limits { workers: 1, ahead: 4, memory: None, retry: RetryPolicy::default() };
    let mut state = State::new(vec![rules], limits, 7);
    let begun = state.apply(Event::Begin, at(10));
    let scans = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Scan { .. }));
    assert!(scans(&begun) || scans(&state.apply(Event::Tick, at(10))), "the first scan is due at once");
    let (of, taken) = (Arc::clone(&pipeline(0)), at(10).monotonic);
    let ended = if failed {
        Event::ScanFailed { pipeline: of, taken, message: "no".to_owned() }
    } else {
        Event::Scanned { pipeline: of, taken, seen: Vec::new() }
    };
    state.apply(ended, at(10));
    let due = state.next_wake().unwrap();
    assert!(scans(&state.apply(Event::Tick, Now { monotonic: due, ..at(10) })), "what is due is the scan");
    due.as_secs() - 10
}

#[test]
fn a_scan_that_failed_is_tried_again_within_a_minute() {
    let day = Duration::from_hours(24);
    assert_eq!((next_scan(day, false), next_scan(day, true)), (24 * 60 * 60, 60));
    let seconds = Duration::from_secs(5);
    assert_eq!((next_scan(seconds, false), next_scan(seconds, true)), (5, 5));
}
