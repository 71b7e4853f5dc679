//! What a start finds, and what it makes of that.

use super::*;

/// Leaves a file STAGED, as a crash right after that commit does.
fn left_staged(rig: &Rig) -> (Arrival, Job) {
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(rig, &publisher, "x.csv", GOOD);
    let row = publisher.ledger().get(&job.id).unwrap();
    let manifest = Manifest::of(&rig.pipeline, &job, &report, row.started_at, row.arrived_at);
    let hash = gate::make_durable(&*publisher.storage, &job.staging, &report, &manifest).unwrap();
    let (disposal, resting) = names::after_success(&rig.pipeline, &row);
    let facts = StagedFacts {
        blake3: &report.input.blake3,
        manifest_hash: &hash,
        final_dir: &names::published(&rig.pipeline.output, &row.id, row.arrived_at),
        rows: report.rows,
        disposal,
        resting: resting.as_deref(),
        replaces: None,
    };
    assert_eq!(publisher.ledger().stage(&job.id, &facts).unwrap(), Reservation::Ours);
    (arrival, job)
}

#[test]
fn staged_outputs_that_were_damaged_are_made_again() {
    let rig = Rig::new(OnSuccess::Archive);
    let (arrival, job) = left_staged(&rig);
    damage(&job);
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Queued(again)] if again.id == arrival.id), "{told:?}");
    assert!(publisher.ledger().published_as("trips", &blake3::hash(GOOD.as_bytes()).to_hex()).unwrap().is_none());
    assert_eq!(rig.attempt(&publisher, &arrival).unwrap().outcome, Outcome::Succeeded);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

/// Damages what an attempt staged.
fn damage(job: &Job) {
    let rows = job.staging.join("rows.parquet");
    let mut bytes = fs::read(&rows).unwrap();
    bytes[10] ^= 1;
    Disk::new().write_file(&rows, &bytes).unwrap();
}

#[test]
fn staged_outputs_that_were_damaged_end_their_attempt_and_count_once() {
    let rig = Rig::new(OnSuccess::Archive);
    let (arrival, job) = left_staged(&rig);
    damage(&job);
    let publisher = rig.open_disk();
    let err = publisher.begin(&rig.pipeline, &arrival).unwrap_err();
    assert!(matches!(err, PublishError::StagingLost { .. }), "{err}");
    assert!(!err.is_unfinished() && !err.is_full(), "whoever counts the attempts hears of it");
    let row = publisher.ledger().get(&arrival.id).unwrap();
    assert_eq!(
        (row.state, row.starts, row.attempts),
        (FileState::Claimed, 1, 0),
        "no other one was begun, none counted"
    );
    drop(publisher);

    let rig = Rig::new(OnSuccess::Archive);
    let (arrival, job) = left_staged(&rig);
    damage(&job);
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Queued(again)] if again.attempts == 1), "{told:?}");
    assert_eq!(publisher.ledger().get(&arrival.id).unwrap().attempts, 1, "at a start nobody else counts it");
}

#[test]
fn a_place_somebody_else_took_is_not_overwritten() {
    let rig = Rig::new(OnSuccess::Archive);
    let (arrival, _) = left_staged(&rig);
    let place = names::published(&rig.pipeline.output, &arrival.id, arrival.arrived_at);
    Disk::new().make_dirs(&place).unwrap();
    Disk::new().write_file(&place.join("theirs"), b"theirs").unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    let [Recovered::Finished(finished)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(finished.outcome, Outcome::Failed);
    assert!(finished.row.message.contains("taken by something forebay did not write"), "{}", finished.row.message);
    assert_eq!(fs::read(place.join("theirs")).unwrap(), b"theirs");
    assert_eq!(visible(&rig.pipeline.quarantine).len(), 2);
    assert!(publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap().is_empty());
}

#[test]
fn files_of_a_pipeline_that_left_the_config_are_left_alone() {
    let rig = Rig::new(OnSuccess::Archive);
    let (arrival, job) = left_staged(&rig);
    let publisher = rig.open_disk();
    let before = rig.snapshot();
    assert!(publisher.recover(&[]).unwrap().is_empty());
    assert_eq!(rig.snapshot(), before);
    assert_eq!(state_of(&publisher, &arrival), FileState::Staged);
    assert!(job.staging.is_dir());
}

#[test]
fn a_claimed_file_that_was_taken_away_is_told_as_failed() {
    let rig = Rig::new(OnSuccess::Archive);
    let arrival = rig.claimed(&rig.open_disk(), "x.csv", GOOD);
    Disk::new().remove_file(&arrival.path).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    let [Recovered::Finished(finished)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(finished.outcome, Outcome::Failed);
    assert!(finished.row.message.contains("somebody took it away"), "{}", finished.row.message);
    assert_eq!(publisher.ledger().counts().unwrap().in_quarantine.get("trips"), None, "no file lies there");
}

#[test]
fn a_file_on_its_way_back_to_the_inbox_arrives_anew() {
    let rig = Rig::new(OnSuccess::Archive);
    let job = {
        let publisher = rig.open_disk();
        let arrival = rig.claimed(&publisher, "x.csv", GOOD);
        rig.begun(&publisher, &arrival)
    };
    // It was put back, and the process died before the ledger forgot it.
    Disk::new().rename_noreplace(&job.input, &rig.pipeline.input.join("x.csv")).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Dropped { name, .. }] if name == "x.csv"), "{told:?}");
    assert!(publisher.ledger().unfinished().unwrap().is_empty());
    rig.run(&publisher);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn an_inbox_that_is_not_mounted_is_waited_for() {
    let rig = Rig::new(OnSuccess::Archive);
    let arrival = rig.claimed(&rig.open_disk(), "x.csv", GOOD);
    let away = rig.dir.path().join("away");
    Disk::new().rename_noreplace(&rig.pipeline.input, &away).unwrap();
    Disk::new().make_dirs(&rig.pipeline.input).unwrap();
    {
        let told = rig.open_disk().recover(&[Arc::clone(&rig.pipeline)]).unwrap();
        assert!(matches!(&told[..], [Recovered::Stuck { message, .. }] if message.contains("mounted")), "{told:?}");
    }
    Disk::new().remove_empty_dir(&rig.pipeline.input).unwrap();
    Disk::new().rename_noreplace(&away, &rig.pipeline.input).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert_eq!(told, [Recovered::Queued(arrival)]);
}

#[test]
fn an_inbox_that_files_stay_in_is_waited_for_when_it_is_not_mounted() {
    let rig = Rig::in_memory(OnSuccess::Keep);
    let arrival = rig.claimed(&rig.open_disk(), "x.csv", GOOD);
    let (input, away) = (&rig.pipeline.input, rig.dir.path().join("away"));
    Disk::new().rename_noreplace(input, &away).unwrap();
    // What it was mounted at: an empty folder on another filesystem.
    let bare = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(bare.path(), input).unwrap();
    {
        let publisher = rig.open_disk();
        let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
        assert!(matches!(&told[..], [Recovered::Stuck { message, .. }] if message.contains("mounted")), "{told:?}");
        let err = publisher.vanished(&rig.pipeline, &arrival.id, "gone").unwrap_err();
        assert!(err.to_string().contains("mounted"), "{err}");
    }
    Disk::new().remove_file(input).unwrap();
    Disk::new().rename_noreplace(&away, input).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert_eq!(told, [Recovered::Queued(arrival)]);
}

#[test]
fn a_kept_file_that_vanished_is_taken_again_when_it_comes_back_as_it_was() {
    let rig = Rig::new(OnSuccess::Keep);
    let arrival = rig.claimed(&rig.open_disk(), "x.csv", GOOD);
    let away = rig.dir.path().join("away");
    Disk::new().rename_noreplace(&arrival.path, &away).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Finished(it)] if it.outcome == Outcome::Failed), "{told:?}");
    Disk::new().rename_noreplace(&away, &arrival.path).unwrap();
    assert_eq!(rig.found(OsStr::new("x.csv")).unwrap().stamp, arrival.stamp);
    rig.run(&publisher);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn orphans_in_the_work_folder_go_back_to_the_inbox_and_never_over_another_file() {
    let rig = Rig::new(OnSuccess::Archive);
    let work = rig.pipeline.input.join(".forebay/claimed");
    Disk::new().make_dirs(&work.join("01cccccccccccccccccccccccc-folder")).unwrap();
    Disk::new().write_file(&work.join("01aaaaaaaaaaaaaaaaaaaaaaaa-a.csv"), b"a").unwrap();
    Disk::new().write_file(&work.join("01bbbbbbbbbbbbbbbbbbbbbbbb-taken.csv"), b"old").unwrap();
    rig.drop_file("taken.csv", "new");
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[0], Recovered::PutBack { name, .. } if name == "a.csv"), "{told:?}");
    assert!(
        matches!(&told[1], Recovered::Left { path, .. } if path.ends_with("01bbbbbbbbbbbbbbbbbbbbbbbb-taken.csv")),
        "{told:?}"
    );
    assert!(matches!(&told[2], Recovered::Left { message, .. } if message.contains("no regular file")), "{told:?}");
    assert_eq!(visible(&rig.pipeline.input), ["a.csv", "taken.csv"]);
    assert_eq!(fs::read(rig.pipeline.input.join("taken.csv")).unwrap(), b"new");
    assert_eq!(visible(&work), ["01bbbbbbbbbbbbbbbbbbbbbbbb-taken.csv", "01cccccccccccccccccccccccc-folder"]);
}

#[test]
fn attempts_a_dead_daemon_left_do_not_count_and_their_staging_is_swept() {
    let rig = Rig::new(OnSuccess::Archive);
    for _ in 0..4 {
        let publisher = rig.open_disk();
        let found = rig.found(OsStr::new("x.csv"));
        let arrival = match publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap().pop() {
            Some(Recovered::Queued(arrival)) => arrival,
            other => {
                assert!(other.is_none() && found.is_none(), "{other:?}");
                rig.claimed(&publisher, "x.csv", GOOD)
            }
        };
        assert_eq!((arrival.attempts, arrival.crashes), (0, 0));
        assert!(visible(&rig.pipeline.output.join(".forebay/staging")).is_empty());
        rig.begun(&publisher, &arrival);
    }
    let publisher = rig.open_disk();
    let row = publisher.ledger().unfinished().unwrap().pop().unwrap();
    assert_eq!((row.starts, row.attempts), (4, 0));
}

#[test]
fn a_kept_file_that_changed_meanwhile_arrives_anew() {
    let rig = Rig::new(OnSuccess::Keep);
    rig.claimed(&rig.open_disk(), "x.csv", GOOD);
    let newer = rig.drop_file("x.csv", "c,3\n");
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Dropped { name, .. }] if name == "x.csv"), "{told:?}");
    assert!(matches!(publisher.claim(&rig.pipeline, &newer).unwrap(), Claim::Claimed(_)));
}
