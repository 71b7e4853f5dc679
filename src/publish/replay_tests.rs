//! Replays: which files, what readers see meanwhile, and what comes of those that come to nothing.

use std::fs;
use std::sync::Mutex;

use rustix::io::Errno;

use super::testing::{Rig, files_below, names as visible, refusal, stage};
use super::*;
use crate::config::OnSuccess;
use crate::ledger::Filter;
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault, until_death};

const GOOD: &str = "a,1\nb,2\n";

/// A rig with one file that is published and archived.
fn published(on_success: OnSuccess) -> (Rig, FileRow) {
    let rig = Rig::new(on_success);
    rig.drop_file("x.csv", GOOD);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    let row = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
    (rig, row)
}

#[test]
fn a_replay_takes_the_place_of_what_it_replays() {
    let (rig, old) = published(OnSuccess::Archive);
    assert_eq!(rig.replay("x.csv").id, old.id);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    let new = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
    let old = publisher.ledger().get(&old.id).unwrap();
    assert_eq!((new.replaces.as_ref(), old.replaced_by.as_ref()), (Some(&old.id), Some(&new.id)));
    let dir = new.final_dir.clone().unwrap();
    assert_eq!(rig.seen(), std::slice::from_ref(&dir));
    assert_eq!(Manifest::read(&dir).unwrap().replaces, Some(old.id.clone()));
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
    assert!(matches!(original_to_replay(&old), Err(CannotReplay::Replaced(id)) if id == new.id));

    // The marker is used up: the same content once more is a duplicate of the replay.
    rig.drop_file("again.csv", GOOD);
    rig.run(&publisher);
    let again = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
    assert_eq!((again.outcome, again.duplicate_of), (Some(Outcome::Duplicate), Some(new.id.clone())));
    // And a replay can be replayed.
    drop(publisher);
    rig.replay("x.csv");
    let publisher = rig.open_disk();
    rig.run(&publisher);
    let newest = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
    assert_eq!(newest.replaces, Some(new.id));
    assert_eq!(rig.seen(), [newest.final_dir.unwrap()]);
}

#[test]
fn readers_never_see_both_results() {
    let (rig, _) = published(OnSuccess::Archive);
    rig.replay("x.csv");
    let storage = Arc::new(FailAt::never());
    let publisher = rig.open(Arc::<FailAt>::clone(&storage));
    let counts = Arc::new(Mutex::new(Vec::new()));
    let output = rig.pipeline.output.clone();
    storage.tell(Box::new({
        let counts = Arc::clone(&counts);
        move |what, _| {
            let dirs = visible(&output).iter().map(|day| visible(&output.join(day)).len()).sum::<usize>();
            counts.lock().unwrap().push((what.to_owned(), dirs));
        }
    }));
    rig.run(&publisher);
    let counts = counts.lock().unwrap();
    assert!(counts.iter().all(|(_, dirs)| *dirs <= 1), "{counts:?}");
    let gone = counts.iter().filter(|(_, dirs)| *dirs == 0).count();
    assert!(gone <= 1, "nothing but one rename happens while neither is seen: {counts:?}");
}

#[test]
fn readers_see_a_result_while_a_replay_waits_for_the_disk() {
    for fault in [Fault::Error(Errno::NOSPC), Fault::ErrorAfter(Errno::IO)] {
        for at in 1.. {
            let (rig, _) = published(OnSuccess::Archive);
            rig.replay("x.csv");
            let arrival = {
                let publisher = rig.open_disk();
                let found = rig.found("x.csv".as_ref()).unwrap();
                let Claim::Claimed(arrival) = publisher.claim(&rig.pipeline, &found).unwrap() else {
                    panic!("not claimed")
                };
                arrival
            };
            let storage = Arc::new(FailAt::new(at, fault));
            let publisher = rig.open(Arc::<FailAt>::clone(&storage));
            let ended = rig.attempt(&publisher, &arrival);
            assert_eq!(rig.seen().len(), 1, "{fault:?} at step {at}: {ended:?}");
            while rig.attempt(&publisher, &arrival).is_err() {}
            rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
            if !storage.struck() {
                assert!(at > 10, "only {at} steps were struck");
                break;
            }
        }
    }
}

#[test]
fn a_verb_that_dies_at_any_step_is_said_again() {
    let mut steps = 0;
    for fault in [Fault::DieBefore, Fault::DieAfter, Fault::Error(Errno::IO)] {
        for at in 1.. {
            let (rig, row) = published(OnSuccess::Archive);
            let storage = FailAt::new(at, fault);
            until_death(|| drop(replay(&storage, &rig.pipeline, &row, row.resting.as_deref().unwrap(), false)));
            let again = replay(&Disk::new(), &rig.pipeline, &row, row.resting.as_deref().unwrap(), false).unwrap();
            assert_ne!(again, Replay::Missing, "{fault:?} at step {at}");
            let publisher = rig.open_disk();
            rig.run(&publisher);
            rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
            let old = publisher.ledger().get(&row.id).unwrap();
            assert!(old.replaced_by.is_some(), "{fault:?} at step {at}");
            if !storage.struck() {
                break;
            }
            steps += 1;
        }
    }
    assert!(steps > 6, "only {steps} steps were struck");
}

#[test]
fn a_replay_that_is_refused_leaves_the_old_result() {
    let (rig, old) = published(OnSuccess::Archive);
    rig.replay("x.csv");
    let publisher = rig.open_disk();
    let found = rig.found("x.csv".as_ref()).unwrap();
    let Claim::Claimed(arrival) = publisher.claim(&rig.pipeline, &found).unwrap() else { panic!("not claimed") };
    let job = rig.begun(&publisher, &arrival);
    let report = stage(&job, GOOD);
    publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(rig.seen(), [old.final_dir.clone().unwrap()]);
    // Once the config is mended, `retry` goes on with the replay.
    let refused = publisher.ledger().get(&arrival.id).unwrap();
    release(&Disk::new(), &rig.pipeline, &refused).unwrap().unwrap();
    rig.run(&publisher);
    let old = publisher.ledger().get(&old.id).unwrap();
    assert!(old.replaced_by.is_some_and(|new| new > arrival.id));
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn a_replay_whose_staging_is_lost_puts_the_old_result_back_until_it_is_made_again() {
    // Dies when the old one is out of sight and the new one is not visible yet.
    let between = (1..100).find_map(|at| {
        let (rig, old) = published(OnSuccess::Archive);
        rig.replay("x.csv");
        let storage: Arc<dyn Storage> = Arc::new(FailAt::new(at, Fault::DieBefore));
        until_death(|| rig.run(&rig.open(storage)));
        rig.seen().is_empty().then_some((rig, old))
    });
    let (rig, old) = between.expect("there is such a moment");
    let staging = rig.pipeline.output.join(".forebay/staging");
    let rows = files_below(&staging).into_iter().find(|path| path.ends_with("rows.parquet")).unwrap();
    let rows_file = fs::OpenOptions::new().write(true).open(rows).unwrap();
    rows_file.set_len(3).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(told.as_slice(), [Recovered::Queued(_)]), "{told:?}");
    assert_eq!(rig.seen(), [old.final_dir.clone().unwrap()], "the old result is back");
    let known = publisher.ledger().get(&old.id).unwrap();
    assert_eq!(known.replaced_by, None);
    drop(publisher);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
    assert!(publisher.ledger().get(&old.id).unwrap().replaced_by.is_some());
}

#[test]
fn what_cannot_be_replayed_says_why() {
    for (on_success, why) in [(OnSuccess::Delete, CannotReplay::Deleted), (OnSuccess::Keep, CannotReplay::NotArchived)]
    {
        let (_rig, row) = published(on_success);
        assert_eq!(original_to_replay(&row), Err(why.clone()));
        assert!(why.to_string().contains("on_success") && why.hint(&row).contains("forebay once"));
    }
    let (rig, old) = published(OnSuccess::Archive);
    for (name, text) in [("again.csv", GOOD), ("empty.csv", ""), ("refused.csv", "bad\n")] {
        rig.drop_file(name, text);
    }
    let publisher = rig.open_disk();
    rig.run(&publisher);
    let of = |name: &str| publisher.ledger().find(name.as_ref()).unwrap().remove(0);
    assert_eq!(original_to_replay(&of("again.csv")), Err(CannotReplay::Duplicate(Some(old.id))));
    assert_eq!(original_to_replay(&of("empty.csv")), Err(CannotReplay::Empty));
    assert_eq!(original_to_replay(&of("refused.csv")), Err(CannotReplay::Refused(Outcome::Quarantined)));
    let claimed = rig.claimed(&publisher, "new.csv", "c,3\n");
    let row = publisher.ledger().get(&claimed.id).unwrap();
    assert_eq!(original_to_replay(&row), Err(CannotReplay::Unfinished(FileState::Claimed)));
}

#[test]
fn an_original_in_the_way_stops_a_replay_before_it_began() {
    let (rig, row) = published(OnSuccess::Archive);
    rig.drop_file("x.csv", "other\n");
    let err = replay(&Disk::new(), &rig.pipeline, &row, row.resting.as_deref().unwrap(), false).unwrap_err();
    assert!(err.to_string().contains("in/trips/x.csv"), "{err}");
    let publisher = rig.open_disk();
    rig.run(&publisher);
    assert_eq!(rig.seen().len(), 2, "both contents are published, and nothing is replaced");
    assert_eq!(publisher.ledger().get(&row.id).unwrap().replaced_by, None);
}
