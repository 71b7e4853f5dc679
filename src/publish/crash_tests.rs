//! The process dies at every single step, before and after it took effect; a new one starts, and the promise must hold.

use std::sync::Arc;

use rustix::io::Errno;

use super::testing::{Move, Rig};
use crate::config::OnSuccess;
use crate::job::Outcome;
use crate::storage::Storage;
use crate::storage::failing::{FailAt, Fault, until_death};

/// A way for a file to end: the content decides.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    on_success: OnSuccess,
    text: &'static str,
    outcome: Outcome,
    /// Dropped and published before, undisturbed.
    before: Option<&'static str>,
    /// The file published before is asked for again, instead of another one dropped.
    replay: bool,
    /// What happens to the output and the configuration before that.
    then: fn(&mut Rig),
}

const GOOD: &str = "a,1\nb,2\n";
const BAD: &str = "a,1\nbad,2\n";

const ARCHIVE: Scenario = Scenario {
    name: "archive",
    on_success: OnSuccess::Archive,
    text: GOOD,
    outcome: Outcome::Succeeded,
    before: None,
    replay: false,
    then: |_| {},
};
const REPLAY: Scenario = Scenario { name: "replay", before: Some(GOOD), replay: true, ..ARCHIVE };

const SCENARIOS: &[Scenario] = &[
    ARCHIVE,
    Scenario { name: "delete", on_success: OnSuccess::Delete, ..ARCHIVE },
    Scenario { name: "keep", on_success: OnSuccess::Keep, ..ARCHIVE },
    Scenario { name: "quarantine", text: BAD, outcome: Outcome::Quarantined, ..ARCHIVE },
    Scenario {
        name: "quarantine, output apart",
        text: BAD,
        outcome: Outcome::Quarantined,
        then: Rig::put_output_apart,
        ..ARCHIVE
    },
    Scenario { name: "output apart", then: Rig::put_output_apart, ..ARCHIVE },
    Scenario { name: "keep, bad", on_success: OnSuccess::Keep, text: BAD, outcome: Outcome::Quarantined, ..ARCHIVE },
    Scenario { name: "empty", text: "", outcome: Outcome::Empty, ..ARCHIVE },
    Scenario { name: "duplicate", outcome: Outcome::Duplicate, before: Some(GOOD), ..ARCHIVE },
    REPLAY,
    Scenario { name: "replay, output moved", then: |rig| rig.move_output(Move::Whole), ..REPLAY },
    Scenario { name: "replay, results moved", then: |rig| rig.move_output(Move::Results), ..REPLAY },
    Scenario { name: "replay, another output", then: |rig| rig.move_output(Move::Nothing), ..REPLAY },
    Scenario { name: "replay, now delete", then: |rig| rig.configure(|p| p.on_success = OnSuccess::Delete), ..REPLAY },
    Scenario { name: "replay, now keep", then: |rig| rig.configure(|p| p.on_success = OnSuccess::Keep), ..REPLAY },
];

fn prepare(scenario: &Scenario) -> Rig {
    let mut rig = Rig::in_memory(scenario.on_success);
    if let Some(text) = scenario.before {
        rig.drop_file("before.csv", text);
        rig.run(&rig.open_disk());
    }
    (scenario.then)(&mut rig);
    if scenario.replay {
        rig.replay("before.csv");
    } else {
        rig.drop_file("x.csv", scenario.text);
    }
    rig
}

/// Runs until the fault strikes; returns whether it did.
fn run_with(rig: &Rig, at: u64, fault: Fault) -> bool {
    let storage = Arc::new(FailAt::new(at, fault));
    let disk: Arc<dyn Storage> = Arc::<FailAt>::clone(&storage);
    until_death(|| rig.run(&rig.open(disk)));
    storage.struck()
}

/// A start after the crash: the promise holds, and another start finds nothing to do.
fn check(rig: &Rig, scenario: &Scenario, when: &str) {
    {
        let publisher = rig.open_disk();
        rig.run(&publisher);
        if let Err(wrong) = rig.verdict(scenario.text, scenario.outcome, &publisher) {
            panic!("{}, {when}: {wrong}", scenario.name);
        }
    }
    let before = rig.snapshot();
    let again = rig.run(&rig.open_disk());
    assert_eq!(again, [], "{}, {when}: a second recovery had something to do", scenario.name);
    assert_eq!(rig.snapshot(), before, "{}, {when}: a second recovery changed something", scenario.name);
}

fn sweep(fault: Fault) {
    for scenario in SCENARIOS {
        let mut steps = 0;
        for at in 1.. {
            let rig = prepare(scenario);
            let struck = run_with(&rig, at, fault);
            check(&rig, scenario, &format!("{fault:?} at step {at}"));
            if !struck {
                break;
            }
            steps = at;
        }
        assert!(steps > 5, "{}: the sweep struck only {steps} steps, so it tested nothing", scenario.name);
    }
}

#[test]
fn dying_before_any_step_loses_nothing_and_doubles_nothing() {
    sweep(Fault::DieBefore);
}

#[test]
fn dying_after_any_step_loses_nothing_and_doubles_nothing() {
    sweep(Fault::DieAfter);
}

#[test]
fn an_error_at_any_step_is_got_over_without_a_restart() {
    for fault in [Fault::Error(Errno::IO), Fault::ErrorAfter(Errno::IO), Fault::Error(Errno::NOSPC)] {
        for scenario in SCENARIOS {
            let mut struck = true;
            for at in 1.. {
                if !struck {
                    break;
                }
                let rig = prepare(scenario);
                let storage = Arc::new(FailAt::new(at, fault));
                let disk: Arc<dyn Storage> = Arc::<FailAt>::clone(&storage);
                let publisher = rig.open(disk);
                rig.run(&publisher);
                if let Err(wrong) = rig.verdict(scenario.text, scenario.outcome, &publisher) {
                    // A failed clean-up of what is disposable is made good by the next start.
                    assert!(wrong.contains("left in"), "{}, {fault:?} at step {at}: {wrong}", scenario.name);
                }
                drop(publisher);
                check(&rig, scenario, &format!("{fault:?} at step {at}"));
                struck = storage.struck();
            }
        }
    }
}

#[test]
fn dying_while_recovering_from_a_death_is_recovered_from() {
    for scenario in SCENARIOS {
        for first in 1.. {
            let rig = prepare(scenario);
            if !run_with(&rig, first, Fault::DieAfter) {
                break;
            }
            // Each start gets one step further before it dies, until one lives.
            let mut starts = 0;
            for second in 1.. {
                starts = second;
                if !run_with(&rig, second, Fault::DieBefore) {
                    break;
                }
            }
            check(&rig, scenario, &format!("died at step {first}, and {starts} times after"));
        }
    }
}

/// What is under way when its output is moved: a file of its own, and a replay.
const MOVING: [Scenario; 2] = [ARCHIVE, REPLAY];

#[test]
fn an_output_that_is_moved_after_a_death_loses_nothing_and_doubles_nothing() {
    for scenario in &MOVING {
        for (how, fault) in Move::ALL.into_iter().flat_map(|how| [(how, Fault::DieBefore), (how, Fault::DieAfter)]) {
            for at in 1.. {
                let mut rig = prepare(scenario);
                let struck = run_with(&rig, at, fault);
                rig.move_output(how);
                check(&rig, scenario, &format!("{fault:?} at step {at}, then {how:?} moved"));
                if !struck {
                    break;
                }
            }
        }
    }
}

#[test]
fn dying_in_an_output_that_was_moved_after_a_death_is_recovered_from() {
    for scenario in &MOVING {
        for first in 1.. {
            let mut rig = prepare(scenario);
            if !run_with(&rig, first, Fault::DieAfter) {
                break;
            }
            rig.move_output(Move::Whole);
            let mut starts = 0;
            for second in 1.. {
                starts = second;
                if !run_with(&rig, second, Fault::DieBefore) {
                    break;
                }
            }
            check(&rig, scenario, &format!("died at step {first}, moved, and died {starts} times after"));
        }
    }
}
