//! A content is published once, in the order of the durable steps, with a manifest that tells of it.

use super::*;

#[test]
fn a_sound_file_is_published_once_and_archived() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    let finished = publisher.publish(&rig.pipeline, &job, &report).unwrap();
    assert_eq!(finished.outcome, Outcome::Succeeded);
    assert_eq!(finished.row.rows, Some(report.rows));
    let dir = rig.pipeline.output.join("ingest_date=2026-11-20").join(arrival.id.as_str());
    assert_eq!(finished.row.final_dir.as_deref(), Some(dir.as_path()));
    assert_eq!(visible(&dir), ["_manifest.json", "rejects.parquet", "rows.parquet"]);
    let archived = rig.pipeline.archive.join("2026-11-20").join(format!("{}-x.csv", arrival.id));
    assert_eq!(finished.row.resting.as_deref(), Some(archived.as_path()));
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
    let story: Vec<_> = publisher.ledger().story(&arrival.id).unwrap().into_iter().map(|line| line.what).collect();
    assert_eq!(story, ["claimed", "started", "staged", "published", "done"]);
}

/// Runs one file to its end and tells every change of the disk, with what the ledger knew at that moment.
fn steps_of(on_success: OnSuccess, text: &str) -> Vec<String> {
    let rig = Rig::new(on_success);
    let storage = Arc::new(FailAt::never());
    let publisher = rig.open(Arc::<FailAt>::clone(&storage));
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (told, ledger, base) = (Arc::clone(&log), Arc::downgrade(publisher.ledger()), rig.dir.path().to_owned());
    storage.tell(Box::new(move |what, path| {
        let known = ledger.upgrade().unwrap().files(&Filter::default()).unwrap();
        let (id, state) = known.first().map_or(("-", "-"), |row| (row.id.as_str(), row.state.as_str()));
        let path = path.strip_prefix(&base).unwrap().to_str().unwrap().replace(id, "ID");
        told.lock().unwrap().push(format!("{state}: {what} {path}"));
    }));
    let found = rig.drop_file("x.csv", text);
    let Claim::Claimed(arrival) = publisher.claim(&rig.pipeline, &found).unwrap() else { panic!("not claimed") };
    rig.attempt(&publisher, &arrival).unwrap();
    let log = log.lock().unwrap();
    log.clone()
}

#[test]
fn the_ledger_knows_before_the_disk_and_every_output_is_synced_before_it_is_seen() {
    assert_eq!(
        steps_of(OnSuccess::Archive, GOOD),
        [
            "claimed: make_dirs in/trips/.forebay/claimed",
            "claimed: rename_noreplace in/trips/.forebay/claimed/ID-x.csv",
            "claimed: make_dirs out/trips/.forebay/staging",
            "claimed: remove_tree out/trips/.forebay/staging/ID-1",
            "claimed: make_scratch_dir out/trips/.forebay/staging/ID-1",
            "claimed: sync_file out/trips/.forebay/staging/ID-1/rejects.parquet",
            "claimed: sync_file out/trips/.forebay/staging/ID-1/rows.parquet",
            "claimed: write_file out/trips/.forebay/staging/ID-1/_manifest.json",
            "claimed: sync_dir out/trips/.forebay/staging",
            "staged: make_dirs out/trips/ingest_date=2026-11-20",
            "staged: rename_noreplace out/trips/ingest_date=2026-11-20/ID",
            "published: make_dirs archive/trips/2026-11-20",
            "published: rename_noreplace archive/trips/2026-11-20/ID-x.csv",
        ]
    );
    let delete = steps_of(OnSuccess::Delete, GOOD);
    assert!(delete.contains(&"published: remove_file in/trips/.forebay/claimed/ID-x.csv".to_owned()), "{delete:#?}");
    assert_eq!(
        steps_of(OnSuccess::Archive, "bad\n")[5..],
        [
            "claimed: sync_file out/trips/.forebay/staging/ID-1/rejects.parquet",
            "claimed: sync_dir out/trips/.forebay/staging/ID-1",
            "claimed: sync_dir out/trips/.forebay/staging",
            "quarantining: make_dirs quarantine/trips",
            "quarantining: rename_noreplace quarantine/trips/ID-x.csv.rejects.parquet",
            "quarantining: write_file quarantine/trips/ID-x.csv.error.json",
            "quarantining: make_dirs quarantine/trips",
            "quarantining: rename_noreplace quarantine/trips/ID-x.csv",
            "quarantining: remove_tree out/trips/.forebay/staging/ID-1",
        ]
    );
}

#[test]
fn the_manifest_says_what_the_design_promises() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    let finished = publisher.publish(&rig.pipeline, &job, &report).unwrap();
    let dir = finished.row.final_dir.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(dir.join(MANIFEST)).unwrap()).unwrap();
    assert_eq!(json["id"], arrival.id.as_str());
    assert_eq!(json["pipeline"], "trips");
    assert_eq!(json["config_hash"], "0123456789abcdef");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["input"]["name"], "x.csv");
    assert_eq!(json["input"]["bytes"], 8);
    assert_eq!(json["input"]["blake3"], blake3::hash(GOOD.as_bytes()).to_hex().as_str());
    assert_eq!(json["input"]["encoding"], "utf-8");
    assert_eq!(json["input"]["compression"], "none");
    assert_eq!(json["input"]["arrived_at"], "2026-11-20T10:00:00Z");
    assert_eq!(json["rows"], serde_json::json!({"read": 2, "written": 2, "rejected": 0, "dropped": 0}));
    assert_eq!(json["rejects"]["bad_type"], 0);
    assert_eq!(json["outputs"]["rows.parquet"]["rows"], 2);
    assert_eq!(json["attempt"], 1);
    assert_eq!(json["trace_id"], job.trace_id.as_str());
    assert_eq!(job.trace_id.len(), 32);
    let read = Manifest::read(&dir).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json, "and it reads back whole");
}

#[test]
fn the_same_content_is_published_once_whatever_its_name() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (first, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    publisher.publish(&rig.pipeline, &job, &report).unwrap();
    // Found out by its size and hash, before any work.
    let arrival = rig.claimed(&publisher, "y.csv", GOOD);
    let job = rig.begun(&publisher, &arrival);
    let known = publisher.known_content(&rig.pipeline, &job, &|| false).unwrap().unwrap();
    assert_eq!(known.original, first.id);
    let finished = publisher.archive_duplicate(&rig.pipeline, &job, &known).unwrap();
    assert_eq!((finished.outcome, finished.row.duplicate_of), (Outcome::Duplicate, Some(first.id)));
    rig.verdict(GOOD, Outcome::Duplicate, &publisher).unwrap();
    // Same size, other content: no duplicate.
    let arrival = rig.claimed(&publisher, "x.csv", "c,3\nd,4\n");
    let job = rig.begun(&publisher, &arrival);
    assert_eq!(publisher.known_content(&rig.pipeline, &job, &|| false).unwrap(), None);
}

#[test]
fn only_the_very_file_that_was_claimed_is_read() {
    let rig = Rig::new(OnSuccess::Keep);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    publisher.publish(&rig.pipeline, &job, &report).unwrap();
    let arrival = rig.claimed(&publisher, "y.csv", GOOD);
    let job = rig.begun(&publisher, &arrival);
    let known = |stop: bool| publisher.known_content(&rig.pipeline, &job, &|| stop);
    let stopped = known(true).unwrap_err().to_string();
    assert!(stopped.contains("asked to stop"), "{stopped}");
    let path = rig.pipeline.input.join("y.csv");
    let elsewhere = rig.dir.path().join("y.csv");
    rustix::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(known(false), Err(PublishError::Changed { .. })), "a link is not followed");
    rustix::fs::unlink(&path).unwrap();
    let read_only = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, read_only, 0).unwrap();
    assert!(matches!(known(false), Err(PublishError::Changed { .. })), "nobody ever writes to this pipe");
    rustix::fs::unlink(&path).unwrap();
    assert!(matches!(known(false), Err(PublishError::Vanished { .. })));
}

#[test]
fn content_that_was_only_refused_before_is_taken_again() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    assert_eq!(publisher.known_content(&rig.pipeline, &job, &|| false).unwrap(), None);
    assert_eq!(publisher.publish(&rig.pipeline, &job, &report).unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn of_two_files_with_one_content_in_progress_exactly_one_is_published() {
    for _ in 0..20 {
        let rig = Rig::in_memory(OnSuccess::Archive);
        let publisher = rig.open_disk();
        let jobs: Vec<_> = (0..4).map(|n| ready(&rig, &publisher, &format!("{n}.csv"), GOOD)).collect();
        let start = Barrier::new(jobs.len());
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = jobs
                .iter()
                .map(|(_, job, report)| {
                    scope.spawn(|| {
                        start.wait();
                        publisher.publish(&rig.pipeline, job, report).unwrap().outcome
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let successes = outcomes.iter().filter(|outcome| **outcome == Outcome::Succeeded).count();
        assert_eq!(successes, 1, "{outcomes:?}");
        assert_eq!(files_below(&rig.pipeline.archive).len(), 4);
        let manifests = files_below(&rig.pipeline.output).iter().filter(|path| path.ends_with(MANIFEST)).count();
        assert_eq!(manifests, 1);
        assert!(visible(&rig.pipeline.output.join(".forebay/staging")).is_empty());
    }
}
