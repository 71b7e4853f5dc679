//! Files in flight that nobody hears of, and those that would wait for their place.

use std::ffi::OsString;
use std::time::Duration;

use super::super::{Action, Claimed, Event, Limits, Now, RetryPolicy, Rules, State, Tally};
use super::world::pipeline;
use crate::job::{FileId, Timestamp};

fn at(millis: u64) -> Now {
    let monotonic = Duration::from_millis(millis);
    Now { monotonic, wall: Timestamp(i64::try_from(monotonic.as_nanos()).unwrap()) }
}

fn id(text: &str) -> FileId {
    FileId::parse(text).unwrap()
}

/// One worker, and claimed files: three of one pipeline, three of another.
fn state(memory: Option<u64>) -> State {
    let rules = |number| Rules {
        pipeline: pipeline(number),
        settle: Duration::from_secs(2),
        scan_interval: Duration::from_secs(30),
        keep: false,
        meaning: "any".into(),
    };
    let limits = Limits { workers: 1, ahead: 4, memory, retry: RetryPolicy::default() };
    let mut state = State::new(vec![rules(0), rules(1)], limits, 7);
    for (number, name) in [(0, "a1"), (0, "a2"), (0, "a3"), (1, "b1"), (1, "b2"), (1, "b3")] {
        let claimed = Claimed {
            id: id(name),
            bytes: 1,
            arrived_at: Timestamp(0),
            tally: Tally::default(),
            delay: Duration::ZERO,
        };
        let name = OsString::from(name).into();
        state.apply(Event::Recovered { pipeline: pipeline(number), name, claimed }, at(0));
    }
    state
}

fn started(actions: &[Action]) -> Vec<&str> {
    let mut ids = Vec::new();
    for action in actions {
        if let Action::Start { id } = action {
            ids.push(id.as_str());
        }
    }
    ids
}

#[test]
fn a_silent_file_holds_nobody_up_and_its_pipeline_takes_no_more_than_its_share() {
    let mut state = state(None);
    assert_eq!(started(&state.apply(Event::Begin, at(1_000))), ["a1"]);
    assert!(started(&state.apply(Event::Tick, at(1_499))).is_empty(), "it may still be heard of");
    assert_eq!(started(&state.apply(Event::Tick, at(1_500))), ["b1"]);
    assert_eq!((state.working(), state.silent(), state.in_flight()), (1, 1, 2));
    assert_eq!(started(&state.apply(Event::Finished { id: id("b1") }, at(1_700))), ["a2"]);
    // So is this one: the disk of that pipeline hangs.
    assert_eq!(started(&state.apply(Event::Tick, at(2_200))), ["b2"]);
    assert_eq!(started(&state.apply(Event::Finished { id: id("b2") }, at(2_400))), ["b3"], "not a third");
    state.apply(Event::Finished { id: id("b3") }, at(2_500));
    assert_eq!((state.working(), state.silent()), (0, 2));
    // It goes on.
    let done = Event::Processed { id: id("a1"), peak_memory: 0 };
    assert_eq!(started(&state.apply(done, at(9_000))), ["a3"]);
    for name in ["a1", "a2", "a3"] {
        state.apply(Event::Finished { id: id(name) }, at(9_100));
    }
    assert_eq!((state.working(), state.silent(), state.in_flight(), state.reserved_memory()), (0, 0, 0, 0));
}

#[test]
fn a_file_that_is_heard_of_keeps_its_place() {
    let mut state = state(None);
    assert_eq!(started(&state.apply(Event::Begin, at(1_000))), ["a1"]);
    for millis in (1_200..20_000).step_by(200) {
        let actions = state.apply(Event::Alive { id: id("a1") }, at(millis));
        assert!(started(&actions).is_empty(), "{millis}: {actions:?}");
    }
    assert_eq!((state.working(), state.silent()), (1, 0));
}

#[test]
fn a_file_that_is_heard_of_again_counts_again_when_there_is_room() {
    let mut state = state(None);
    state.apply(Event::Begin, at(1_000));
    assert_eq!(started(&state.apply(Event::Tick, at(1_500))), ["b1"]);
    state.apply(Event::Alive { id: id("a1") }, at(1_700));
    assert_eq!((state.working(), state.silent()), (1, 1), "its place is taken");
    state.apply(Event::Drain, at(1_800));
    state.apply(Event::Finished { id: id("b1") }, at(1_800));
    state.apply(Event::Alive { id: id("a1") }, at(1_900));
    assert_eq!((state.working(), state.silent()), (1, 0));
}

#[test]
fn what_a_silent_file_holds_in_memory_stays_set_aside() {
    let mut state = state(Some(1));
    state.apply(Event::Begin, at(1_000));
    let reserved = state.reserved_memory();
    assert!(reserved > 1, "one file is worked on, whatever it needs");
    assert!(started(&state.apply(Event::Tick, at(1_500))).is_empty(), "it may be at work, and need it all");
    assert_eq!((state.working(), state.silent(), state.reserved_memory()), (0, 1, reserved));
    let done = Event::Processed { id: id("a1"), peak_memory: 0 };
    assert_eq!(started(&state.apply(done, at(1_600))), ["b1"]);
}
