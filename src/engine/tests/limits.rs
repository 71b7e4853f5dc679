//! Who waits for whom: files that fail, and files that need much memory.

use super::super::{Action, Event};
use super::world::{Fate, World, name, pipeline};
use crate::job::FileStamp;

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Lets everything happen that can without time passing; files with `bad` in their names fail.
fn exhaust(world: &mut World) {
    while !world.effects.is_empty() {
        let is_bad = |id| world.claimed[id].1.to_string_lossy().contains("bad");
        let bad = if let Action::Start { id } = &world.effects[0] { is_bad(id) } else { false };
        world.carry_out(0, if bad { Fate::Io } else { Fate::Good });
    }
}

/// A pipeline with so many files that fail and then a sound one, all seen to be whole.
fn failing(files: usize) -> World {
    let mut world = World::new(1, 2, false);
    for number in 0..files {
        world.drop_file(pipeline(0), name(&format!("bad{number}.csv")));
    }
    world.drop_file(pipeline(0), name("good.csv"));
    world.apply(Event::Begin);
    exhaust(&mut world);
    world.advance(Duration::from_secs(3));
    exhaust(&mut world);
    world
}

#[test]
fn files_that_wait_for_another_attempt_hold_up_no_sound_ones() {
    let world = failing(100);
    assert_eq!((world.done.len(), world.claimed.len()), (1, 100), "the sound one is done, the others wait");
    assert!(world.starts.values().all(|starts| *starts == 1), "none is begun before its time");
}

#[test]
fn if_every_attempt_fails_the_other_files_stay_in_the_inbox() {
    let mut world = failing(400);
    assert_eq!((world.done.len(), world.claimed.len()), (0, 256));
    world.settle_down();
    assert_eq!(world.done.len(), 401, "and none is forgotten");
}

/// Two pipelines with four workers and so much memory. In the first a file at work for which 124 MiB are set aside, and one
/// that needs 448 MiB; in the second five that need 64 MiB each.
fn waiting(memory: u64) -> World {
    let mut world = World::with_memory(2, 4, false, Some(memory));
    for (ino, file, size) in [(1, "at work.csv", 10 * MIB), (2, "large.csv", 1 << 40)] {
        let stamp = FileStamp { dev: 9, ino, size, mtime_ns: i64::try_from(ino).unwrap() };
        world.disk.insert((pipeline(0), name(file)), stamp);
    }
    for number in 0..5 {
        world.disk.insert(
            (pipeline(1), name(&format!("small{number}.csv"))),
            FileStamp { dev: 9, ino: 10 + number, size: 0, mtime_ns: 3 },
        );
    }
    world.apply(Event::Begin);
    let carry_out = |world: &mut World, wanted: fn(&Action) -> bool| {
        while let Some(at) = world.effects.iter().position(wanted) {
            world.carry_out(at, Fate::Good);
        }
    };
    carry_out(&mut world, |action| matches!(action, Action::Scan { .. }));
    world.advance(Duration::from_secs(3));
    carry_out(&mut world, |action| matches!(action, Action::Look { .. }));
    carry_out(&mut world, |action| matches!(action, Action::Claim { pipeline, .. } if &**pipeline == "p0"));
    carry_out(&mut world, |action| matches!(action, Action::Claim { .. }));
    world
}

fn started(world: &World) -> Vec<String> {
    world.started.iter().map(|(_, name)| name.to_string_lossy().into_owned()).collect()
}

/// Lets the first of the files at work be done.
fn finish_first(world: &mut World) {
    let first = world.effects.iter().position(|action| matches!(action, Action::Start { .. })).unwrap();
    world.carry_out(first, Fate::Good);
}

#[test]
fn what_fits_in_beside_a_file_that_waits_for_memory_goes_on_and_never_delays_it() {
    let mut world = waiting(520 * MIB);
    // The first small one had its turn before the large one.
    let passed = ["at work.csv", "small0.csv", "small1.csv"];
    assert_eq!(started(&world), passed, "a second one that passes would take the place of the large one");
    finish_first(&mut world);
    assert_eq!(started(&world), passed);
    finish_first(&mut world);
    assert_eq!(started(&world)[3], "large.csv", "as soon as what was at work before it is done");
    world.settle_down();
    assert_eq!(world.done.len(), 7);
}

#[test]
fn nothing_passes_a_file_that_needs_all_the_memory_there_is() {
    let mut world = waiting(448 * MIB);
    assert_eq!(started(&world), ["at work.csv", "small0.csv"]);
    finish_first(&mut world);
    finish_first(&mut world);
    assert_eq!(started(&world)[2], "large.csv");
    world.settle_down();
    assert_eq!(world.done.len(), 7);
}
