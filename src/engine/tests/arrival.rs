//! When a file arrived: when it was first seen, or, if it lay there at the start, when it last changed.

use std::time::Duration;

use super::world::{Fate, World, name, pipeline};
use crate::engine::Event;
use crate::job::{FileStamp, Timestamp};

/// Seconds since the epoch, and of the world's clock.
fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

/// Puts a file there that last changed at that time.
fn put(world: &mut World, changed: Timestamp) {
    let stamp = FileStamp { dev: 1, ino: 1, size: 1, mtime_ns: changed.0 };
    world.disk.insert((pipeline(0), name("a.csv")), stamp);
}

fn oldest(world: &World) -> Timestamp {
    world.state.backlog("p0").oldest_pending.expect("a file is pending")
}

#[test]
fn what_lay_there_at_the_start_arrived_when_it_last_changed() {
    let (start, never) = (at(100), Timestamp(0));
    for changed in [at(5), at(100_000), never] {
        let mut world = World::new(1, 2, false);
        world.clock = Duration::from_secs(100);
        put(&mut world, changed);
        world.apply(Event::Begin);
        world.carry_out(0, Fate::Good);
        if changed == at(5) {
            assert_eq!(oldest(&world), changed);
        } else {
            assert!((start..at(101)).contains(&oldest(&world)), "{changed:?}: nobody knows, or it is yet to come");
        }
        assert!(world.claims.is_empty(), "whole it is only when it has not changed for a while, as any other");
        world.settle_down();
        assert_eq!(world.done.len(), 1);
    }
}

#[test]
fn what_comes_later_arrived_when_it_was_first_seen() {
    let mut world = World::new(1, 2, false);
    world.apply(Event::Begin);
    world.carry_out(0, Fate::Good);
    put(&mut world, at(1));
    world.advance(Duration::from_secs(31));
    world.carry_out(0, Fate::Good);
    assert!(oldest(&world) > at(31), "{:?}", oldest(&world));
}
