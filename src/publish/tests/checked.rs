//! What is not as it was reported is not published.

use super::*;

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
