//! Replays that were refused: where they are, and that those given up are forgotten.

use super::testing::{Rig, refusal, stage};
use super::*;
use crate::config::OnSuccess;
use crate::ledger::Filter;
use crate::storage::Disk;

const GOOD: &str = "a,1\nb,2\n";

fn newest(publisher: &Publisher) -> FileRow {
    publisher.ledger().files(&Filter::default()).unwrap().remove(0)
}

/// Where the replay of a file is.
fn followed(rig: &Rig, publisher: &Publisher, old: &FileRow) -> Followed {
    follow(&Disk::new(), &rig.pipeline, old, &|name| publisher.ledger().find(name)).unwrap()
}

/// A rig with a replay that was refused; its row, and that of what it was to replace.
fn refused() -> (Rig, FileRow, FileRow) {
    let rig = Rig::in_memory(OnSuccess::Archive);
    rig.drop_file("x.csv", GOOD);
    rig.run(&rig.open_disk());
    let old = rig.replay("x.csv");
    let publisher = rig.open_disk();
    assert_eq!(followed(&rig, &publisher, &old), Followed::InInbox);
    let found = rig.found("x.csv".as_ref()).unwrap();
    let Claim::Claimed(arrival) = publisher.claim(&rig.pipeline, &found).unwrap() else { panic!("not claimed") };
    let job = rig.begun(&publisher, &arrival);
    let Followed::InProgress(row) = followed(&rig, &publisher, &old) else { panic!("it is in progress") };
    assert_eq!(row.id, arrival.id);
    let report = stage(&job, GOOD);
    let refused = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    (rig, refused.row, old)
}

#[test]
fn a_refused_replay_that_is_given_up_is_forgotten() {
    let (rig, refused, old) = refused();
    let publisher = rig.open_disk();
    let marker = names::replay_marker(&rig.pipeline, &old.id);
    assert_eq!(publisher.reconcile_quarantine(&rig.pipeline).unwrap(), 1);
    assert!(marker.try_exists().unwrap(), "it may be tried again");
    assert_eq!(followed(&rig, &publisher, &old), Followed::Refused(Box::new(refused.clone())));
    let away = rig.dir.path().join("taken.csv");
    Disk::new().rename_noreplace(refused.resting.as_deref().unwrap(), &away).unwrap();
    assert!(matches!(followed(&rig, &publisher, &old), Followed::Over(Some(row)) if row.id == refused.id));
    assert_eq!(publisher.reconcile_quarantine(&rig.pipeline).unwrap(), 0);
    assert!(!marker.try_exists().unwrap(), "nobody can try it again");
    let story = publisher.ledger().story(&old.id).unwrap();
    assert!(story.iter().any(|line| line.what == "replay_given_up"), "{story:?}");
    // The same content once more is a duplicate, and replaces nothing.
    rig.drop_file("later.csv", GOOD);
    rig.run(&publisher);
    assert_eq!(newest(&publisher).outcome, Some(Outcome::Duplicate));
    assert_eq!(publisher.ledger().get(&old.id).unwrap().replaced_by, None);
}

#[test]
fn a_refused_replay_that_is_tried_again_is_not_forgotten_on_its_way() {
    let (rig, refused, old) = refused();
    let publisher = rig.open_disk();
    release(&Disk::new(), &rig.pipeline, &refused).unwrap().unwrap();
    assert_eq!(followed(&rig, &publisher, &old), Followed::InInbox);
    assert_eq!(publisher.reconcile_quarantine(&rig.pipeline).unwrap(), 0);
    let found = rig.found("x.csv".as_ref()).unwrap();
    let Claim::Claimed(arrival) = publisher.claim(&rig.pipeline, &found).unwrap() else { panic!("not claimed") };
    publisher.reconcile_quarantine(&rig.pipeline).unwrap();
    rig.attempt(&publisher, &arrival).unwrap();
    assert_eq!(newest(&publisher).replaces, Some(old.id));
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn a_quarantine_that_is_not_mounted_makes_nobody_forget_a_replay() {
    let (rig, _, old) = refused();
    let publisher = rig.open_disk();
    Disk::new().rename_noreplace(&rig.pipeline.quarantine, &rig.dir.path().join("away")).unwrap();
    publisher.reconcile_quarantine(&rig.pipeline).unwrap();
    assert!(names::replay_marker(&rig.pipeline, &old.id).try_exists().unwrap());
}
