//! What is settled stays settled, and what cannot be done yet waits.

use super::*;

#[test]
fn what_is_settled_is_not_decided_again() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    let finished = publisher.publish(&rig.pipeline, &job, &report).unwrap();
    let refused = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(refused, finished, "it keeps its outcome");
    assert_eq!(publisher.archive_empty(&rig.pipeline, &job).ok(), None, "the input is no longer where it was");
    assert_eq!(publisher.vanished(&rig.pipeline, &job.id, "gone").unwrap(), finished);
    match publisher.begin(&rig.pipeline, &arrival).unwrap() {
        Begun::Finished(again) => assert_eq!(*again, finished),
        Begun::Job(job) => panic!("begun again: {job:?}"),
    }
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn a_full_disk_costs_no_attempt_and_gives_its_room_back() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    let full = Publisher::new(
        Arc::new(FailAt::new(1, Fault::Error(Errno::NOSPC))),
        Arc::clone(publisher.ledger()),
        Arc::new(SystemClock),
    );
    let err = full.publish(&rig.pipeline, &job, &report).unwrap_err();
    assert!(err.is_full() && !err.must_stop() && !err.is_unfinished(), "{err}");
    assert_eq!(err.retry_reason(), RetryReason::DiskFull);
    let end = AttemptEnd {
        reason: Some(err.retry_reason()),
        message: &err.to_string(),
        counted: false,
        next_attempt_at: Some(Timestamp(1)),
    };
    let again = publisher.give_up_attempt(&job, &end).unwrap();
    assert_eq!((again.attempts, again.next_attempt_at), (0, Some(Timestamp(1))));
    assert!(!job.staging.try_exists().unwrap(), "the room is given back");
    assert_eq!(rig.attempt(&publisher, &arrival).unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn a_settled_file_that_cannot_be_moved_yet_waits_and_keeps_what_it_staged() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    // Fails when the day's folder is to be made: after STAGED.
    let mut at = 1;
    let err = loop {
        let storage = Arc::new(FailAt::new(at, Fault::ErrorsFrom(Errno::NOSPC)));
        let full = Publisher::new(storage, Arc::clone(publisher.ledger()), Arc::new(SystemClock));
        let err = full.publish(&rig.pipeline, &job, &report).unwrap_err();
        if err.is_unfinished() {
            break err;
        }
        at += 1;
    };
    assert!(err.is_full(), "{err}");
    assert_eq!(state_of(&publisher, &arrival), FileState::Staged);
    let end = AttemptEnd { reason: None, message: "no room", counted: false, next_attempt_at: None };
    publisher.give_up_attempt(&job, &end).unwrap();
    assert!(job.staging.join(MANIFEST).is_file(), "what is staged is needed");
    let refused = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(refused.outcome, Outcome::Succeeded, "it cannot be given up any more");
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn errors_of_any_kind_know_what_must_happen_next() {
    let id = FileId::parse("x").unwrap();
    let changed = PublishError::unfinished(&id, PublishError::Changed { name: "a".to_owned() });
    let twice = PublishError::unfinished(&id, changed);
    assert_eq!(twice.to_string(), "file x is settled but not finished: a changed while it was read");
    assert_eq!(twice.retry_reason(), RetryReason::Io);
}
