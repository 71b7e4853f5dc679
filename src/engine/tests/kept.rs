//! Files that stay in their inbox (`on_success = "keep"`), over a restart.

use super::super::{Action, Claimed, Event, Limits, Now, RetryPolicy, Rules, State, Tally};
use super::world::{file, pipeline};
use crate::discover::Name;
use crate::job::{FileId, FileStamp, Timestamp};

use std::sync::Arc;
use std::time::Duration;

fn at(seconds: u64) -> Now {
    let monotonic = Duration::from_secs(seconds);
    Now { monotonic, wall: Timestamp(i64::try_from(monotonic.as_nanos()).unwrap()) }
}

/// Scans the inbox, with this file in it, and returns everything that follows within a while.
fn scan(state: &mut State, name: &Name, stamp: FileStamp, seconds: u64) -> Vec<Action> {
    let mut actions = state.apply(Event::Tick, at(seconds));
    assert!(actions.iter().any(|action| matches!(action, Action::Scan { .. })), "no scan is due: {actions:?}");
    let seen = vec![(Arc::clone(name), file(stamp, true))];
    let taken = at(seconds).monotonic;
    actions.extend(state.apply(Event::Scanned { pipeline: pipeline(0), taken, seen }, at(seconds)));
    actions.extend(state.apply(Event::Tick, at(seconds + 5)));
    actions
}

#[test]
fn a_file_begun_before_a_restart_is_not_taken_again_when_it_is_done() {
    let rules = Rules {
        pipeline: pipeline(0),
        settle: Duration::from_secs(2),
        scan_interval: Duration::from_secs(30),
        keep: true,
        meaning: "any".into(),
    };
    let limits = Limits { workers: 1, ahead: 4, memory: None, retry: RetryPolicy::default() };
    let mut state = State::new(vec![rules], limits, 7);
    let (id, name): (FileId, Name) = (FileId::parse("01a").unwrap(), std::ffi::OsString::from("a.csv").into());
    let stamp = FileStamp { dev: 1, ino: 2, size: 3, mtime_ns: 4 };
    state.apply(Event::Kept { pipeline: pipeline(0), name: Arc::clone(&name), stamp }, at(1));
    let claimed = Claimed {
        id: id.clone(),
        bytes: stamp.size,
        arrived_at: Timestamp(0),
        tally: Tally::default(),
        delay: Duration::ZERO,
    };
    state.apply(Event::Recovered { pipeline: pipeline(0), name: Arc::clone(&name), claimed }, at(1));
    let begun = state.apply(Event::Begin, at(2));
    assert!(begun.contains(&Action::Start { id: id.clone() }), "{begun:?}");
    let seen = vec![(Arc::clone(&name), file(stamp, true))];
    state.apply(Event::Scanned { pipeline: pipeline(0), taken: at(2).monotonic, seen }, at(2));
    state.apply(Event::Finished { id }, at(3));
    let asks = |action: &Action| matches!(action, Action::Look { .. } | Action::Claim { .. });
    let later = scan(&mut state, &name, stamp, 40);
    assert!(!later.iter().any(asks), "taken again: {later:?}");
    let renumbered = scan(&mut state, &name, FileStamp { dev: 9, ..stamp }, 80);
    assert!(!renumbered.iter().any(asks), "taken again, as its volume has another number: {renumbered:?}");
    let changed = scan(&mut state, &name, FileStamp { mtime_ns: 5, ..stamp }, 120);
    assert!(changed.iter().any(asks), "another file under its name is taken: {changed:?}");
}
