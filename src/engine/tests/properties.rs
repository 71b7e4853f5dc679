//! What holds in every order of events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::world::{Fate, World, name, pipeline};
use crate::engine::{Action, Event, RetryPolicy, Tell};

#[derive(Debug, Clone)]
enum Step {
    /// A file is dropped or replaced; whether an event tells of it.
    Drop { pipeline: usize, file: usize, told: bool },
    /// A file is taken away.
    Remove { pipeline: usize, file: usize },
    /// A stray event.
    Hint { pipeline: usize, file: usize },
    /// Events are lost.
    Rescan { pipeline: usize },
    /// One of the effects under way ends.
    End { which: usize, fate: Fate },
    /// Time passes.
    Wait { millis: u64 },
    /// The last event is told again.
    Again,
    /// The configuration is another one: with these pipelines, and with another meaning.
    Reload { present: [bool; 3], meaning: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        6 => Just(Fate::Good),
        1 => Just(Fate::Io),
        1 => Just(Fate::Crash),
        1 => Just(Fate::DiskFull),
        1 => Just(Fate::Changed),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Stuck),
    ];
    prop_oneof![
        3 => (0_usize..3, 0_usize..5, any::<bool>()).prop_map(|(pipeline, file, told)| Step::Drop { pipeline, file, told }),
        1 => (0_usize..3, 0_usize..5).prop_map(|(pipeline, file)| Step::Remove { pipeline, file }),
        1 => (0_usize..3, 0_usize..5).prop_map(|(pipeline, file)| Step::Hint { pipeline, file }),
        1 => (0_usize..3).prop_map(|pipeline| Step::Rescan { pipeline }),
        8 => (any::<usize>(), fate).prop_map(|(which, fate)| Step::End { which, fate }),
        3 => prop_oneof![0_u64..50, 1_900_u64..2_100, 0_u64..40_000].prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Again),
        1 => (any::<[bool; 3]>(), 0_u8..3).prop_map(|(present, meaning)| Step::Reload { present, meaning }),
    ]
}

fn play(world: &mut World, pipelines: usize, steps: Vec<Step>) {
    world.apply(Event::Begin);
    for step in steps {
        match step {
            Step::Drop { pipeline: number, file, told } => {
                let (pipeline, name) = (pipeline(number % pipelines), name(&format!("f{file}.csv")));
                world.drop_file(Arc::clone(&pipeline), Arc::clone(&name));
                if told {
                    world.apply(Event::Hint { pipeline, name });
                }
            }
            Step::Remove { pipeline: number, file } => {
                world.disk.remove(&(pipeline(number % pipelines), name(&format!("f{file}.csv"))));
            }
            Step::Hint { pipeline: number, file } => {
                let (pipeline, name) = (pipeline(number % pipelines), name(&format!("f{file}.csv")));
                world.apply(Event::Hint { pipeline, name });
            }
            Step::Rescan { pipeline: number } => world.apply(Event::Rescan { pipeline: pipeline(number % pipelines) }),
            Step::End { which, fate } if !world.effects.is_empty() => {
                world.carry_out(which % world.effects.len(), fate);
            }
            Step::End { .. } => {}
            Step::Wait { millis } => world.advance(Duration::from_millis(millis)),
            Step::Again => {
                if let Some(event) = world.last.clone() {
                    world.apply(event);
                }
            }
            Step::Reload { present, meaning } => {
                let present = (0..pipelines).filter(|number| present[*number]);
                world.reload(present, &format!("meaning {meaning}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Limits and "never twice" are checked by the world at every action; here: nothing is forgotten, and retries end.
    #[test]
    fn whatever_happens_every_file_gets_its_end(
        pipelines in 1_usize..4, workers in 1_usize..4, keep: bool,
        memory in prop::option::of(prop_oneof![Just(0_u64), Just(150 << 20)]),
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut world = World::with_memory(pipelines, workers, keep, memory);
        play(&mut world, pipelines, steps);
        // A pipeline that was removed leaves its inbox alone: bring them all back.
        world.reload(0..pipelines, "as it ends");
        world.settle_down();
        // One more round of scans forgets what was taken away.
        for _ in 0..2 {
            world.advance(Duration::from_secs(31));
            while !world.effects.is_empty() {
                world.carry_out(0, Fate::Good);
            }
        }
        prop_assert_eq!(world.state.in_flight(), 0);
        for number in 0..pipelines {
            let backlog = world.state.backlog(&pipeline(number));
            prop_assert_eq!((backlog.pending, backlog.pending_bytes, backlog.in_flight), (0, 0, 0));
        }
        let waits = world.tells.iter().rev().find_map(|tell| if let Tell::DiskWait { active } = tell { Some(*active) } else { None });
        prop_assert!(!world.claims.is_empty() || waits != Some(true));
    }

    /// A file that only ever fails is given up after as many starts as the table says.
    #[test]
    fn retries_are_bounded(fates in prop::collection::vec(prop_oneof![Just(Fate::Io), Just(Fate::Crash)], 5)) {
        let mut world = World::new(1, 2, false);
        world.drop_file(pipeline(0), name("a.csv"));
        world.apply(Event::Begin);
        let mut fates = fates.into_iter();
        for _ in 0..100 {
            while !world.effects.is_empty() {
                let starts = matches!(world.effects[0], Action::Start { .. });
                let fate = if starts { fates.next().expect("started too often") } else { Fate::Good };
                world.carry_out(0, fate);
            }
            let Some(wake) = world.state.next_wake() else { break };
            world.clock = world.clock.max(wake);
            world.apply(Event::Tick);
        }
        let policy = RetryPolicy::default();
        prop_assert_eq!(world.gave_up.len(), 1);
        prop_assert!(world.gave_up[0].1 <= policy.attempts && world.gave_up[0].1 >= policy.crashes);
    }

    /// Files found by one scan are started in the order they were written, pipelines turn and turn about.
    #[test]
    fn oldest_first_and_turn_about(files in prop::collection::vec(0_usize..3, 1..40), workers in 1_usize..4) {
        let mut world = World::new(3, workers, false);
        for (index, number) in files.iter().enumerate() {
            // Names in the opposite order of age.
            world.drop_file(pipeline(*number), name(&format!("f{:03}.csv", 999 - index)));
        }
        world.apply(Event::Begin);
        for _ in 0..3 {
            world.carry_out(0, Fate::Good);
        }
        world.advance(Duration::from_secs(3));
        let attempt = |effect: &Action| matches!(effect, Action::Start { .. } | Action::Publish { .. });
        while let Some(next) = world.effects.iter().position(|effect| !attempt(effect)) {
            world.carry_out(next, Fate::Good);
        }
        // From here on every inbox is known, and has claimed what it may.
        let known = world.started.len();
        world.settle_down();
        prop_assert_eq!(world.started.len(), files.len());
        let mut left: BTreeMap<_, usize> = BTreeMap::new();
        for number in &files {
            *left.entry(pipeline(*number)).or_default() += 1;
        }
        let mut previous: BTreeMap<_, _> = BTreeMap::new();
        let mut since: BTreeMap<_, usize> = BTreeMap::new();
        for (turn, (started, name)) in world.started.iter().enumerate() {
            if let Some(earlier) = previous.insert(Arc::clone(started), Arc::clone(name)) {
                prop_assert!(*name < earlier, "a younger file went first");
            }
            *left.get_mut(started).unwrap() -= 1;
            since.insert(Arc::clone(started), 0);
            for (waiting, _) in left.iter().filter(|(other, left)| turn >= known && **left > 0 && *other != started) {
                let turns = since.entry(Arc::clone(waiting)).or_default();
                *turns += 1;
                prop_assert!(*turns <= 2, "{waiting} waited for more than one turn of each other pipeline");
            }
        }
    }
}
