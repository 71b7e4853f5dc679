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

/// Runs until the process dies after step `at`; somebody writes to the claimed file right before its result becomes visible.
/// Returns whether it came so far, and whether it died.
fn append_and_die(rig: &Rig, at: u64) -> (bool, bool) {
    let storage = Arc::new(FailAt::new(at, Fault::DieAfter));
    let (claimed, appended) = (rig.pipeline.input.join(".forebay/claimed"), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&appended);
    storage.tell(Box::new(move |what, path| {
        if what == "rename_noreplace" && path.to_string_lossy().contains("ingest_date=") {
            let [file] = &files_below(&claimed)[..] else { panic!("one file is claimed") };
            fs::OpenOptions::new().append(true).open(file).unwrap().write_all(b"more\n").unwrap();
            told.store(true, Ordering::SeqCst);
        }
    }));
    let disk: Arc<dyn Storage> = Arc::<FailAt>::clone(&storage);
    until_death(|| rig.run(&rig.open(disk)));
    (appended.load(Ordering::SeqCst), storage.struck())
}

#[test]
fn what_was_written_to_after_it_was_read_is_never_deleted_and_told() {
    for on_success in [OnSuccess::Delete, OnSuccess::Archive] {
        for at in 1.. {
            let rig = Rig::in_memory(on_success);
            rig.drop_file("x.csv", GOOD);
            let (appended, died) = append_and_die(&rig, at);
            let publisher = rig.open_disk();
            rig.run(&publisher);
            let row = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
            let kept: Vec<_> = files_below(&rig.pipeline.archive).iter().map(|path| fs::read(path).unwrap()).collect();
            let wanted: &[&[u8]] = match (appended, on_success) {
                (true, _) => &[b"a,1\nb,2\nmore\n"],
                (false, OnSuccess::Delete) => &[],
                (false, _) => &[GOOD.as_bytes()],
            };
            assert_eq!(kept, wanted, "{on_success:?}, died after step {at}");
            let story = publisher.ledger().story(&row.id).unwrap();
            let told = story.iter().any(|line| line.message.contains("it was written to after it was read"));
            assert_eq!((row.outcome, told), (Some(Outcome::Succeeded), appended), "{story:?}");
            if !died {
                assert!(appended, "nothing was written to: this tests nothing");
                break;
            }
        }
    }
}

#[test]
fn errors_of_any_kind_know_what_must_happen_next() {
    let id = FileId::parse("x").unwrap();
    let changed = PublishError::unfinished(&id, PublishError::Changed { name: "a".to_owned() });
    let twice = PublishError::unfinished(&id, changed);
    assert_eq!(twice.to_string(), "file x is settled but not finished: a changed while it was read");
    assert_eq!(twice.retry_reason(), RetryReason::Io);
}
