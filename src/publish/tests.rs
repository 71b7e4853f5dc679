use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::sync::Barrier;

use rustix::io::Errno;

use super::testing::{Rig, files_below, names as visible, refusal, stage, state_of};
use super::*;
use crate::clock::SystemClock;
use crate::config::OnSuccess;
use crate::ledger::Filter;
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault};

const GOOD: &str = "a,1\nb,2\n";

/// A file that is about to be published: its job and its report.
fn ready(rig: &Rig, publisher: &Publisher, name: &str, text: &str) -> (Arrival, Job, JobReport) {
    let arrival = rig.claimed(publisher, name, text);
    let job = rig.begun(publisher, &arrival);
    let report = stage(&job, text);
    (arrival, job, report)
}

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
            "quarantining: make_dirs quarantine/trips",
            "quarantining: sync_file out/trips/.forebay/staging/ID-1/rejects.parquet",
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
    let known = publisher.known_content(&rig.pipeline, &job).unwrap().unwrap();
    assert_eq!(known.original, first.id);
    let finished = publisher.archive_duplicate(&rig.pipeline, &job, &known).unwrap();
    assert_eq!((finished.outcome, finished.row.duplicate_of), (Outcome::Duplicate, Some(first.id)));
    rig.verdict(GOOD, Outcome::Duplicate, &publisher).unwrap();
    // Same size, other content: no duplicate.
    let arrival = rig.claimed(&publisher, "x.csv", "c,3\nd,4\n");
    let job = rig.begun(&publisher, &arrival);
    assert_eq!(publisher.known_content(&rig.pipeline, &job).unwrap(), None);
}

#[test]
fn content_that_was_only_refused_before_is_taken_again() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    assert_eq!(publisher.known_content(&rig.pipeline, &job).unwrap(), None);
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

/// What the gate must say, and a way to make a report and its outputs disagree.
type Lie = (&'static str, fn(&mut JobReport, &Path));

#[test]
fn the_gate_lets_nothing_through_that_does_not_add_up() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let arrival = rig.claimed(&publisher, "x.csv", GOOD);
    let lies: &[Lie] = &[
        ("rows read", |report, _| report.rows.read += 1),
        ("by reason", |report, _| {
            report.rejects.insert(RejectReason::BadQuote, 1);
        }),
        ("in the row files", |report, _| {
            report.rows.read += 1;
            report.rows.written += 1;
        }),
        ("in rejects.parquet", |report, _| {
            report.rows.written -= 1;
            report.rows.rejected += 1;
            report.rejects.insert(RejectReason::BadQuote, 1);
            report.outputs.remove("rows.parquet");
            report.outputs.remove("rejects.parquet");
        }),
        ("bytes instead of", |report, _| report.outputs.get_mut("rows.parquet").unwrap().bytes += 1),
        ("rows instead of", |report, _| report.outputs.get_mut("rows.parquet").unwrap().rows += 1),
        ("is missing", |_, staging| {
            Disk::new().remove_file(&staging.join("rows.parquet")).unwrap();
        }),
        ("is not in the report", |_, staging| {
            Disk::new().write_file(&staging.join("stray"), b"").unwrap();
        }),
        ("does not belong there", |_, staging| {
            std::os::unix::fs::symlink("/etc/passwd", staging.join("link")).unwrap();
        }),
        ("is no Parquet file", |report, staging| {
            Disk::new().write_file(&staging.join("rows.parquet"), b"PAR1 not really PAR1").unwrap();
            report.outputs.get_mut("rows.parquet").unwrap().bytes = 20;
        }),
        ("is no hash", |report, _| report.input.blake3 = "abc".to_owned()),
    ];
    for (wanted, lie) in lies {
        let job = rig.begun(&publisher, &arrival);
        let mut report = stage(&job, GOOD);
        lie(&mut report, &job.staging);
        if *wanted == "in rejects.parquet" {
            for name in ["rows.parquet", "rejects.parquet"] {
                Disk::new().remove_file(&job.staging.join(name)).unwrap();
            }
        }
        let err = publisher.publish(&rig.pipeline, &job, &report).unwrap_err();
        assert!(matches!(&err, PublishError::Gate { message } if message.contains(wanted)), "{wanted}: {err}");
        assert_eq!(state_of(&publisher, &arrival), FileState::Claimed);
    }
    // The right to reject is not the right to lie: a true report passes.
    let job = rig.begun(&publisher, &arrival);
    publisher.publish(&rig.pipeline, &job, &stage(&job, GOOD)).unwrap();
}

#[test]
fn outputs_in_partitions_pass_and_are_published_whole() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (_, job, mut report) = ready(&rig, &publisher, "x.csv", GOOD);
    let rows = report.outputs.remove("rows.parquet").unwrap();
    let part = job.staging.join("day=2015-01-01");
    Disk::new().make_dirs(&part).unwrap();
    Disk::new().rename_noreplace(&job.staging.join("rows.parquet"), &part.join("rows.parquet")).unwrap();
    report.outputs.insert("day=2015-01-01/rows.parquet".to_owned(), rows);
    let finished = publisher.publish(&rig.pipeline, &job, &report).unwrap();
    assert!(finished.row.final_dir.unwrap().join("day=2015-01-01/rows.parquet").is_file());
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn an_input_that_changed_or_went_while_it_was_read_is_not_published() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", GOOD);
    Disk::new().write_file(&job.input, b"other").unwrap();
    let err = publisher.publish(&rig.pipeline, &job, &report).unwrap_err();
    assert!(matches!(err, PublishError::Changed { .. }), "{err}");
    assert_eq!(err.retry_reason(), RetryReason::Changed);
    Disk::new().remove_file(&job.input).unwrap();
    let err = publisher.publish(&rig.pipeline, &job, &report).unwrap_err();
    assert!(matches!(err, PublishError::Vanished { .. }), "{err}");
    let finished = publisher.vanished(&rig.pipeline, &arrival.id, "it is gone").unwrap();
    assert_eq!((finished.outcome, finished.row.resting), (Outcome::Failed, None));
    assert_eq!(finished.row.message, "it is gone");
    assert!(files_below(&rig.pipeline.quarantine).is_empty(), "there is nothing to explain beside");
    assert!(files_below(&rig.pipeline.output).is_empty());
}

#[test]
fn a_refused_file_lies_in_quarantine_with_an_explanation_a_person_understands() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (arrival, job, report) = ready(&rig, &publisher, "x.csv", "a,1\nbad,2\n");
    let finished = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(finished.outcome, Outcome::Quarantined);
    rig.verdict("a,1\nbad,2\n", Outcome::Quarantined, &publisher).unwrap();
    let id = &arrival.id;
    let around: Vec<OsString> =
        ["", ".error.json", ".rejects.parquet"].iter().map(|suffix| format!("{id}-x.csv{suffix}").into()).collect();
    assert_eq!(visible(&rig.pipeline.quarantine), around);
    let text = fs::read(rig.pipeline.quarantine.join(format!("{id}-x.csv.error.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(json["reason"], "too_many_rejects");
    assert_eq!(json["message"], "1 of 2 rows rejected (50.0 %)");
    assert_eq!(json["rows"]["rejected"], 1);
    assert_eq!(json["rejects"]["bad_type"], 1);
    let next = json["what_next"].to_string();
    for verb in ["forebay rejects", "forebay retry", "forebay explain"] {
        assert!(next.contains(&format!("{verb} {id}")), "{next}");
    }
    assert_eq!(publisher.reconcile_quarantine(&rig.pipeline).unwrap(), 1);
}

#[test]
fn half_written_rejects_are_not_kept() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", "bad\n");
    Disk::new().write_file(&job.staging.join(REJECTS), b"PAR1half").unwrap();
    publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(visible(&rig.pipeline.quarantine).len(), 2);
}

#[test]
fn a_name_as_long_as_the_system_allows_fits_into_archive_and_quarantine() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let name = "x".repeat(251) + ".csv";
    let (_, job, report) = ready(&rig, &publisher, &name, GOOD);
    publisher.publish(&rig.pipeline, &job, &report).unwrap();
    let (_, job, report) = ready(&rig, &publisher, &name, "a,1\nbad,2\n");
    publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(visible(&rig.pipeline.quarantine).len(), 3);
    assert_eq!(files_below(&rig.pipeline.archive).len(), 1);
}

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
    let rows = job.staging.join("rows.parquet");
    let mut bytes = fs::read(&rows).unwrap();
    bytes[10] ^= 1;
    Disk::new().write_file(&rows, &bytes).unwrap();
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Queued(again)] if again.id == arrival.id), "{told:?}");
    assert!(publisher.ledger().published_as("trips", &blake3::hash(GOOD.as_bytes()).to_hex()).unwrap().is_none());
    assert_eq!(rig.attempt(&publisher, &arrival).unwrap().outcome, Outcome::Succeeded);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
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

#[test]
fn a_kept_file_that_was_replaced_is_not_taken_for_the_refused_one() {
    let rig = Rig::new(OnSuccess::Keep);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", "bad\n");
    rig.drop_file("x.csv", "newer\n");
    let finished = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(finished.row.resting, None);
    assert_eq!(fs::read(rig.pipeline.input.join("x.csv")).unwrap(), b"newer\n");
}

#[test]
fn a_released_file_is_back_in_the_inbox_and_the_daemon_notices() {
    let rig = Rig::new(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", "a,1\nbad,2\n");
    let row = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap().row;
    rig.drop_file("x.csv", "in the way");
    let err = release(&Disk::new(), &rig.pipeline, &row).unwrap_err();
    assert!(err.to_string().contains("in/trips/x.csv"), "{err}");
    Disk::new().remove_file(&rig.pipeline.input.join("x.csv")).unwrap();
    let back = release(&Disk::new(), &rig.pipeline, &row).unwrap().unwrap();
    assert_eq!(fs::read(back).unwrap(), b"a,1\nbad,2\n");
    assert!(visible(&rig.pipeline.quarantine).is_empty(), "nothing is left beside it");
    assert_eq!(publisher.reconcile_quarantine(&rig.pipeline).unwrap(), 0);
    assert_eq!(publisher.ledger().counts().unwrap().in_quarantine.get("trips"), None);
    let row = publisher.ledger().get(&row.id).unwrap();
    assert_eq!(release(&Disk::new(), &rig.pipeline, &row).unwrap(), None, "it is not there any more");
}

#[test]
fn one_shot_results_look_like_the_daemons_and_leave_the_input_alone() {
    let rig = Rig::new(OnSuccess::Archive);
    let found = rig.drop_file("x.csv", GOOD);
    let root = rig.dir.path().join("once/trips");
    let plain = Plain::new(Arc::new(Disk::new()), Arc::clone(&rig.clock) as Arc<dyn Clock>, root.clone());
    let jobs: Vec<Job> = (0..2).map(|_| plain.job(&rig.pipeline, &found.path).unwrap()).collect();
    assert_ne!(jobs[0].id, jobs[1].id);
    plain.discard(&jobs[1]).unwrap();
    let report = stage(&jobs[0], GOOD);
    let (dir, manifest) = plain.publish(&rig.pipeline, &jobs[0], &report).unwrap();
    assert_eq!(dir, root.join("ingest_date=2026-11-20").join(jobs[0].id.as_str()));
    assert_eq!(Manifest::read(&dir).unwrap(), manifest);
    assert_eq!(visible(&dir), ["_manifest.json", "rejects.parquet", "rows.parquet"]);
    assert_eq!(fs::read(&found.path).unwrap(), GOOD.as_bytes());
    assert_eq!(Disk::new().list(&root).unwrap(), ["ingest_date=2026-11-20"], "no work folder is left");
    let err = plain.job(&rig.pipeline, Path::new("/nowhere/x.csv")).unwrap_err();
    assert!(err.to_string().starts_with("cannot read /nowhere/x.csv: "), "{err}");
}

#[test]
fn errors_of_any_kind_know_what_must_happen_next() {
    let id = FileId::parse("x").unwrap();
    let changed = PublishError::unfinished(&id, PublishError::Changed { name: "a".to_owned() });
    let twice = PublishError::unfinished(&id, changed);
    assert_eq!(twice.to_string(), "file x is settled but not finished: a changed while it was read");
    assert_eq!(twice.retry_reason(), RetryReason::Io);
}
