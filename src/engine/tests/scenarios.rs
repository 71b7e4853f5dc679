//! One test per thing that happens to a file.

use std::time::Duration;

use super::world::{AHEAD, Fate, World, file, name, pipeline};
use crate::discover::Sighting;
use crate::engine::{Action, ClaimResult, Event, Tell};
use crate::job::{DiscoverySource, FileStamp, JobError, RetryReason};

fn world() -> World {
    let mut world = World::new(1, 2, false);
    world.apply(Event::Begin);
    finish_effects(&mut world);
    world
}

fn finish_effects(world: &mut World) {
    while !world.effects.is_empty() {
        world.carry_out(0, Fate::Good);
    }
}

fn hint(world: &mut World, file: &str) {
    world.apply(Event::Hint { pipeline: pipeline(0), name: name(file) });
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Brings a file to the point where its attempt is under way.
fn started(world: &mut World, file: &str) {
    world.drop_file(pipeline(0), name(file));
    hint(world, file);
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    while !matches!(world.effects[0], Action::Start { .. }) {
        world.carry_out(0, Fate::Good);
    }
}

#[test]
fn a_hinted_file_is_claimed_as_soon_as_it_has_settled() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    assert!(matches!(world.effects[..], [Action::Look { .. }]));
    let seen_at = world.clock;
    world.carry_out(0, Fate::Good);
    let wake = world.state.next_wake().unwrap();
    let waited = wake.checked_sub(seen_at).unwrap();
    assert!(waited < secs(2) + Duration::from_millis(1), "woken {waited:?} after the look");
    world.clock = wake;
    world.apply(Event::Tick);
    world.carry_out(0, Fate::Good);
    assert!(matches!(world.effects[..], [Action::Claim { .. }]));
    finish_effects(&mut world);
    assert_eq!(world.done.len(), 1);
}

#[test]
fn a_file_that_grows_is_not_claimed() {
    let mut world = world();
    for _ in 0..20 {
        world.drop_file(pipeline(0), name("a.csv"));
        hint(&mut world, "a.csv");
        world.advance(secs(1));
        finish_effects(&mut world);
    }
    assert!(world.claims.is_empty());
    let backlog = world.state.backlog("p0");
    assert_eq!((backlog.pending, backlog.queued), (1, 0), "it waits for its sender");
    world.settle_down();
    assert_eq!(world.done.len(), 1);
    let discovered = world.tells.iter().filter(|tell| matches!(tell, Tell::Discovered { .. })).count();
    assert_eq!(discovered, 1, "one file is discovered once, however often it changes");
}

#[test]
fn a_file_written_after_its_first_look_settles_from_its_last_event() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    world.carry_out(0, Fate::Good);
    world.advance(Duration::from_millis(100));
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    finish_effects(&mut world);
    let closed = world.clock;
    world.advance(Duration::from_millis(1_950));
    finish_effects(&mut world);
    assert!(world.claims.is_empty(), "it has not rested for the whole time");
    world.settle_down();
    let waited = world.clock.checked_sub(closed).unwrap();
    assert!(waited < secs(2) + Duration::from_millis(1), "done {waited:?} after the last event");
}

#[test]
fn a_file_without_an_event_is_found_by_the_scan_and_counted_as_missed() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    world.settle_down();
    world.advance(secs(31));
    finish_effects(&mut world);
    let source = |tell: &Tell| if let Tell::Discovered { source, .. } = tell { Some(*source) } else { None };
    assert_eq!(world.tells.iter().find_map(source), Some(DiscoverySource::Scan));
    let missed = |tell: &Tell| {
        if let Tell::Scanned { missed, .. } = tell { *missed } else { 0 }
    };
    assert_eq!(world.tells.iter().map(missed).sum::<u64>(), 1);
}

#[test]
fn names_that_come_during_a_look_are_looked_at_together() {
    let mut world = world();
    for file in ["a.csv", "b.csv", "c.csv"] {
        world.drop_file(pipeline(0), name(file));
        hint(&mut world, file);
    }
    let looks = |world: &World| match &world.effects[..] {
        [Action::Look { names, .. }] => names.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(looks(&world), [name("a.csv")]);
    world.carry_out(0, Fate::Good);
    assert_eq!(looks(&world), [name("b.csv"), name("c.csv")]);
    world.carry_out(0, Fate::Good);
    world.settle_down();
    assert_eq!(world.done.len(), 3);
}

#[test]
fn a_look_that_a_reload_overtook_holds_up_no_other() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    // As the daemon does it: nobody looks into the inbox of a pipeline that is gone, and nobody says so.
    world.effects.clear();
    world.reload([], "as it began");
    world.reload([0], "as it began");
    world.effects.clear();
    hint(&mut world, "a.csv");
    assert!(matches!(world.effects[..], [Action::Look { .. }]), "{:?}", world.effects);
}

#[test]
fn files_of_the_first_scan_are_not_missed() {
    let mut world = World::new(1, 2, false);
    world.drop_file(pipeline(0), name("a.csv"));
    world.apply(Event::Begin);
    world.settle_down();
    world.advance(secs(31));
    finish_effects(&mut world);
    assert!(world.tells.iter().all(|tell| !matches!(tell, Tell::Scanned { missed: 1.., .. })));
    assert!(world.tells.contains(&Tell::FirstScanDone));
}

#[test]
fn something_that_is_no_file_is_told_once_and_may_become_one() {
    let mut world = world();
    let dir = vec![(name("x.csv"), Sighting::NotAFile("directory"))];
    for _ in 0..3 {
        hint(&mut world, "x.csv");
        world.effects.clear();
        world.apply(Event::Looked { pipeline: pipeline(0), taken: world.clock, seen: dir.clone() });
    }
    let ignored = |tell: &&Tell| matches!(tell, Tell::Ignored { kind: "directory", .. });
    assert_eq!(world.tells.iter().filter(ignored).count(), 1);
    world.drop_file(pipeline(0), name("x.csv"));
    world.settle_down();
    assert_eq!(world.done.len(), 1);
}

#[test]
fn a_file_that_may_not_be_read_is_told_once_and_taken_when_it_may() {
    let mut world = world();
    world.drop_file(pipeline(0), name("secret.csv"));
    for _ in 0..10 {
        while !world.effects.is_empty() {
            if let Action::Claim { pipeline, name, .. } = world.effects[0].clone() {
                world.effects.remove(0);
                world.apply(Event::ClaimDone { pipeline, name, result: ClaimResult::NotAFile("unreadable") });
            } else {
                world.carry_out(0, Fate::Good);
            }
        }
        world.advance(secs(31));
    }
    let told = |wanted: fn(&Tell) -> bool| world.tells.iter().filter(|tell| wanted(tell)).count();
    assert_eq!(told(|tell| matches!(tell, Tell::Ignored { kind: "unreadable", .. })), 1);
    assert_eq!(told(|tell| matches!(tell, Tell::Discovered { .. })), 1);
    assert!(world.claims.len() > 2, "it is tried again");
    assert_eq!(world.state.backlog("p0").pending, 0);
    world.settle_down();
    assert_eq!(world.done.len(), 1);
}

#[test]
fn a_whole_file_waits_for_its_marker() {
    let mut world = world();
    let stamp = FileStamp { dev: 1, ino: 1, size: 1, mtime_ns: 1 };
    let see = |world: &mut World, marked| {
        world.effects.clear();
        let seen = vec![(name("a.csv"), file(stamp, marked))];
        world.apply(Event::Looked { pipeline: pipeline(0), taken: world.clock, seen });
    };
    hint(&mut world, "a.csv");
    see(&mut world, false);
    world.advance(secs(3));
    see(&mut world, false);
    assert!(world.claims.is_empty());
    let waiting = |world: &World| (world.state.backlog("p0").pending, world.state.backlog("p0").queued);
    assert_eq!(waiting(&world), (1, 0), "it waits for its sender");
    hint(&mut world, "a.csv");
    see(&mut world, true);
    assert_eq!(world.claims.len(), 1);
    assert_eq!(waiting(&world), (1, 1), "it is whole, and waits for us");
}

#[test]
fn a_claimed_file_seen_by_a_scan_that_began_before_is_no_new_file() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    world.carry_out(0, Fate::Good);
    let seen = vec![(name("a.csv"), file(world.disk.values().next().copied().unwrap(), true))];
    world.apply(Event::Rescan { pipeline: pipeline(0) });
    let taken = world.clock;
    let scan = world.effects.iter().position(|effect| matches!(effect, Action::Scan { .. })).unwrap();
    world.effects.remove(scan);
    finish_effects(&mut world);
    assert_eq!(world.done.len(), 1);
    world.apply(Event::Scanned { pipeline: pipeline(0), taken, seen });
    let discovered = world.tells.iter().filter(|tell| matches!(tell, Tell::Discovered { .. })).count();
    assert_eq!((discovered, world.state.backlog("p0").pending), (1, 0));
}

#[test]
fn every_reason_to_try_again_is_told() {
    for reason in RetryReason::ALL {
        let mut world = world();
        world.drop_file(pipeline(0), name("a.csv"));
        hint(&mut world, "a.csv");
        world.carry_out(0, Fate::Good);
        world.advance(secs(3));
        while !matches!(world.effects[0], Action::Start { .. }) {
            world.carry_out(0, Fate::Good);
        }
        let Action::Start { id } = world.effects.remove(0) else { unreachable!("it is one") };
        world.claimed.get_mut(&id).unwrap().3 = false;
        let error = JobError::Retry { reason: *reason, message: "no".to_owned() };
        world.apply(Event::Failed { id, error });
        let told = |tell: &Tell| matches!(tell, Tell::Retried { reason: told, .. } if told == reason);
        assert!(world.tells.iter().any(told), "{reason}");
        world.settle_down();
        assert_eq!(world.done.len(), 1, "{reason}");
    }
}

#[test]
fn a_step_that_fails_for_another_reason_than_room_is_a_wait_for_the_output() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    while !world.tells.iter().any(|tell| matches!(tell, Tell::Stuck { .. })) {
        let start = matches!(world.effects[0], Action::Start { .. });
        world.carry_out(0, if start { Fate::Stuck } else { Fate::Good });
    }
    let waits = |world: &World| -> Vec<bool> {
        let told = world.tells.iter();
        told.filter_map(|tell| if let Tell::OutputWait { active } = tell { Some(*active) } else { None }).collect()
    };
    assert_eq!(waits(&world), [true]);
    world.settle_down();
    assert_eq!(waits(&world), [true, false]);
}

#[test]
fn a_full_disk_holds_back_its_pipeline_only_and_heals() {
    let mut world = World::new(2, 2, false);
    for file in ["a.csv", "b.csv", "c.csv"] {
        world.drop_file(pipeline(0), name(file));
    }
    world.drop_file(pipeline(1), name("z.csv"));
    world.apply(Event::Begin);
    for _ in 0..200 {
        while !world.effects.is_empty() {
            let full = if let Action::Start { id } = &world.effects[0] { &*world.claimed[id].0 == "p0" } else { false };
            world.carry_out(0, if full { Fate::DiskFull } else { Fate::Good });
        }
        let Some(wake) = world.state.next_wake() else { break };
        world.clock = wake;
        world.apply(Event::Tick);
    }
    assert_eq!(world.done.len(), 1, "the other pipeline went on");
    assert!(world.tells.contains(&Tell::DiskWait { active: true }));
    assert!(world.starts.values().sum::<u32>() > 10, "it keeps trying");
    assert!(world.gave_up.is_empty());
    world.settle_down();
    assert_eq!(world.done.len(), 4);
    assert_eq!(
        world.tells.iter().rfind(|tell| matches!(tell, Tell::DiskWait { .. })),
        Some(&Tell::DiskWait { active: false })
    );
}

#[test]
fn a_full_disk_at_the_claim_holds_back_too() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    world.carry_out(0, Fate::Good);
    world.carry_out(0, Fate::DiskFull);
    assert!(world.tells.contains(&Tell::DiskWait { active: true }));
    world.settle_down();
    assert_eq!(world.done.len(), 1);
    assert!(world.tells.contains(&Tell::DiskWait { active: false }));
}

#[test]
fn draining_begins_nothing_new_and_ends_when_all_is_done() {
    let mut world = world();
    started(&mut world, "a.csv");
    world.drop_file(pipeline(0), name("b.csv"));
    world.apply(Event::Drain);
    assert!(!world.state.is_drained());
    hint(&mut world, "b.csv");
    world.apply(Event::Rescan { pipeline: pipeline(0) });
    world.advance(secs(100));
    assert!(matches!(world.effects[..], [Action::Start { .. }]), "{:?}", world.effects);
    world.carry_out(0, Fate::Good);
    assert!(
        matches!(world.effects[..], [Action::Publish { .. }]),
        "what is worked out is published: {:?}",
        world.effects
    );
    world.carry_out(0, Fate::Good);
    assert!(world.state.is_drained());
    assert_eq!(world.state.next_wake(), None);
}

#[test]
fn a_failure_while_draining_is_concluded_but_not_tried_again() {
    let mut world = world();
    started(&mut world, "a.csv");
    world.apply(Event::Drain);
    world.carry_out(0, Fate::Io);
    assert!(!world.state.is_drained(), "the attempt must be put away first");
    world.carry_out(0, Fate::Good);
    assert!(world.state.is_drained());
    assert!(world.effects.is_empty());
}

#[test]
fn kept_files_are_taken_once_per_content() {
    let mut world = World::new(1, 2, true);
    world.drop_file(pipeline(0), name("old.csv"));
    let stamp = world.disk[&(pipeline(0), name("old.csv"))];
    world.apply(Event::Kept { pipeline: pipeline(0), name: name("old.csv"), stamp });
    world.drop_file(pipeline(0), name("new.csv"));
    world.apply(Event::Begin);
    for _ in 0..20 {
        finish_effects(&mut world);
        world.advance(secs(10));
    }
    assert_eq!(world.claims, [(pipeline(0), name("new.csv"))]);
    world.drop_file(pipeline(0), name("old.csv"));
    hint(&mut world, "old.csv");
    for _ in 0..5 {
        finish_effects(&mut world);
        world.advance(secs(10));
    }
    assert_eq!(world.claims.len(), 2);
}

#[test]
fn two_hundred_thousand_files_are_taken_in_well_under_a_second_each_step() {
    let mut world = World::new(1, 2, false);
    for number in 0..200_000 {
        world.drop_file(pipeline(0), name(&format!("{number:06}.csv")));
    }
    world.apply(Event::Begin);
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    assert!(matches!(&world.effects[..], [Action::Look { names, .. }] if names.len() == 200_000));
    world.carry_out(0, Fate::Good);
    assert_eq!(world.state.backlog("p0").pending, 200_000);
    assert_eq!(world.claims.len(), 2 + AHEAD, "no more are claimed than the workers can use and the disk can share");
}

#[test]
fn a_worker_is_free_while_the_disk_has_its_file_and_the_disk_does_not_get_too_many() {
    let mut world = World::new(1, 1, false);
    for number in 0..9 {
        world.drop_file(pipeline(0), name(&format!("{number}.csv")));
    }
    world.apply(Event::Begin);
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    while let Some(next) = world.effects.iter().position(|effect| !matches!(effect, Action::Publish { .. })) {
        world.carry_out(next, Fate::Good);
    }
    assert_eq!(world.effects.len(), 1 + AHEAD, "nothing more is started until one of these is published");
    assert_eq!((world.state.working(), world.state.in_flight()), (0, 1 + AHEAD));
    world.carry_out(0, Fate::Good);
    assert_eq!((world.state.working(), world.state.in_flight()), (1, 1 + AHEAD));
}

/// Brings so many files to the point where the first is being worked on, and carries nothing else out.
fn claimed(files: usize) -> World {
    let mut world = World::new(1, 1, false);
    for number in 0..files {
        world.drop_file(pipeline(0), name(&format!("{number}.csv")));
    }
    world.apply(Event::Begin);
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    while let Some(next) = world.effects.iter().position(|effect| !matches!(effect, Action::Start { .. })) {
        world.carry_out(next, Fate::Good);
    }
    world
}

#[test]
fn staged_files_are_published_in_company_and_the_last_one_alone() {
    let publishing = |world: &World| world.effects.iter().filter(|it| matches!(it, Action::Publish { .. })).count();
    let mut world = claimed(3);
    world.carry_out(0, Fate::Good);
    assert_eq!(publishing(&world), 0, "the next one is on its way");
    world.carry_out(0, Fate::Good);
    assert_eq!(publishing(&world), AHEAD / 2, "half of what the disk may have is enough");
    world.carry_out(0, Fate::Good);
    assert_eq!(publishing(&world), 3, "nobody is left to wait for");
    let mut world = claimed(2);
    world.carry_out(0, Fate::Good);
    world.clock = world.state.next_wake().unwrap();
    world.apply(Event::Tick);
    assert_eq!(publishing(&world), 1, "the other one takes too long");
}

#[test]
fn files_are_claimed_in_company() {
    let mut world = claimed(20);
    assert_eq!(world.claims.len(), 1 + AHEAD, "the store was filled once");
    let mut claims = Vec::new();
    while claims.len() < 6 {
        let start = world.effects.iter().position(|effect| matches!(effect, Action::Start { .. })).unwrap();
        world.carry_out(start, Fate::Good);
        let before = world.claims.len();
        while let Some(next) = world.effects.iter().position(|effect| !matches!(effect, Action::Start { .. })) {
            world.carry_out(next, Fate::Good);
        }
        claims.push(world.claims.len() - before);
    }
    assert!(claims.contains(&0) && claims.iter().all(|claims| *claims != 1), "{claims:?}");
}

#[test]
fn files_wait_for_memory_in_their_turn_but_one_is_always_worked_on() {
    // Room for one unknown file of a few bytes, not for two.
    let mut world = World::with_memory(1, 2, false, Some(100 << 20));
    world.drop_file(pipeline(0), name("a.csv"));
    world.drop_file(pipeline(0), name("b.csv"));
    world.apply(Event::Begin);
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    while let Some(next) = world.effects.iter().position(|effect| !matches!(effect, Action::Start { .. })) {
        world.carry_out(next, Fate::Good);
    }
    assert_eq!((world.state.working(), world.state.reserved_memory()), (1, (64 << 20) + 6 * 20));
    assert_eq!(world.tells.last(), Some(&Tell::MemoryWait { active: true }));
    world.carry_out(0, Fate::Good);
    assert_eq!(world.state.working(), 1, "the first one has shown how little it takes");
    assert!(world.tells.contains(&Tell::MemoryWait { active: false }));
    world.settle_down();
    assert_eq!((world.done.len(), world.state.reserved_memory()), (2, 0));
}

/// Two pipelines whose inboxes are known.
fn two_pipelines() -> World {
    let mut world = World::new(2, 2, false);
    world.apply(Event::Begin);
    finish_effects(&mut world);
    world
}

#[test]
fn a_removed_pipeline_finishes_what_it_has_and_leaves_its_inbox_alone() {
    let mut world = two_pipelines();
    started(&mut world, "a.csv");
    world.drop_file(pipeline(0), name("b.csv"));
    hint(&mut world, "b.csv");
    world.reload([1], "as it began");
    assert!(world.state.pipelines().any(|known| *known == pipeline(0)), "it still has a file in progress");
    assert_eq!(world.state.backlog("p0").in_flight, 1);
    world.advance(secs(100));
    hint(&mut world, "b.csv");
    world.apply(Event::Rescan { pipeline: pipeline(0) });
    finish_effects(&mut world);
    assert_eq!(world.done.len(), 1, "only the file in progress is done");
    assert_eq!(world.tells.last(), Some(&Tell::Gone { pipeline: pipeline(0) }));
    assert!(world.disk.contains_key(&(pipeline(0), name("b.csv"))));
    assert!(!world.state.pipelines().any(|known| *known == pipeline(0)));
    world.reload([0, 1], "as it began");
    world.settle_down();
    assert_eq!(world.done.len(), 2, "back in the configuration it goes on");
}

#[test]
fn a_reload_touches_no_pipeline_that_has_not_changed() {
    let mut world = two_pipelines();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    finish_effects(&mut world);
    world.reload([0, 1], "as it began");
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    world.reload([0, 1], "another");
    let scans = world.effects.iter().filter(|effect| matches!(effect, Action::Scan { .. })).count();
    let looks = world.effects.iter().filter(|effect| matches!(effect, Action::Look { .. })).count();
    assert_eq!((scans, looks), (2, 1), "{:?}", world.effects);
    assert_eq!(world.state.backlog("p0").pending, 1, "it still waits");
}

#[test]
fn however_often_the_configuration_changes_files_settle() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    for round in 0..30 {
        finish_effects(&mut world);
        world.advance(Duration::from_millis(100));
        world.reload([0], &format!("round {round}"));
    }
    finish_effects(&mut world);
    assert_eq!(world.done.len(), 1);
}

#[test]
fn what_a_scan_of_before_a_reload_saw_counts_for_nothing() {
    let mut world = World::new(1, 2, false);
    world.apply(Event::Begin);
    let taken = world.clock;
    world.reload([0], "another");
    world.clock += secs(1);
    world.apply(Event::Scanned { pipeline: pipeline(0), taken, seen: Vec::new() });
    assert!(!world.tells.contains(&Tell::FirstScanDone), "the scan of the new configuration is still to come");
    finish_effects(&mut world);
    assert!(world.tells.contains(&Tell::FirstScanDone));
}

#[test]
fn removing_the_last_inbox_that_was_not_scanned_makes_the_daemon_ready() {
    let mut world = World::new(2, 2, false);
    world.apply(Event::Begin);
    world.carry_out(0, Fate::Good);
    world.reload([0], "as it began");
    assert!(world.tells.contains(&Tell::FirstScanDone));
}

#[test]
fn a_claim_that_ends_after_its_pipeline_is_gone_is_finished_all_the_same() {
    let mut world = world();
    world.drop_file(pipeline(0), name("a.csv"));
    hint(&mut world, "a.csv");
    world.carry_out(0, Fate::Good);
    world.advance(secs(3));
    world.carry_out(0, Fate::Good);
    let Some(Action::Claim { stamp, .. }) = world.effects.first().cloned() else { panic!("{:?}", world.effects) };
    world.reload([], "as it began");
    assert!(world.gone.is_empty(), "a claim is under way");
    world.carry_out(0, Fate::Good);
    assert_eq!(world.gone.len(), 1);
    assert!(world.disk.values().any(|left| *left == stamp), "it lies where it was");
}
