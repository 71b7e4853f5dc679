//! Quarantine: what lies there, under which names, and how it leaves.

use super::*;

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
fn a_kept_file_that_was_replaced_is_not_taken_for_the_refused_one() {
    let rig = Rig::new(OnSuccess::Keep);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", "bad\n");
    rig.drop_file("x.csv", "newer\n");
    let finished = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap();
    assert_eq!(finished.row.resting, None);
    assert_eq!(fs::read(rig.pipeline.input.join("x.csv")).unwrap(), b"newer\n");
}

/// A rig with a refused file, and its row.
fn refused() -> (Rig, FileRow) {
    let rig = Rig::in_memory(OnSuccess::Archive);
    let publisher = rig.open_disk();
    let (_, job, report) = ready(&rig, &publisher, "x.csv", "a,1\nbad,2\n");
    let row = publisher.quarantine(&rig.pipeline, &job, &refusal(&report.rejects, report.rows)).unwrap().row;
    (rig, row)
}

#[test]
fn a_release_that_died_at_any_step_is_finished_by_the_daemon_or_by_saying_it_again() {
    for said_again in [false, true] {
        for (at, fault) in (1..).flat_map(|at| [(at, Fault::DieBefore), (at, Fault::DieAfter)]) {
            let (rig, row) = refused();
            let dying = FailAt::new(at, fault);
            until_death(|| release(&dying, &rig.pipeline, &row).map(drop).unwrap());
            let left = visible(&rig.pipeline.quarantine);
            if said_again {
                release(&Disk::new(), &rig.pipeline, &row).unwrap().expect("it is in the inbox");
                assert!(visible(&rig.pipeline.quarantine).is_empty(), "{fault:?} at {at}: {left:?} was left");
            }
            let publisher = rig.open_disk();
            publisher.reconcile_quarantine(&rig.pipeline).unwrap();
            rig.run(&publisher);
            publisher.reconcile_quarantine(&rig.pipeline).unwrap();
            // It lies there once, with its own two: as it was, or as it was refused again.
            let there = visible(&rig.pipeline.quarantine);
            let newest = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
            let own = there.iter().all(|name| name.to_string_lossy().starts_with(newest.id.as_str()));
            assert!(there.len() == 3 && own, "{fault:?} at {at}: {there:?}");
            if !dying.struck() {
                assert!(at > 3, "the sweep struck only {at} steps");
                break;
            }
        }
    }
}

#[test]
fn what_lies_beside_a_file_that_somebody_took_away_is_left_to_him() {
    let (rig, row) = refused();
    let away = rig.dir.path().join("mend.csv");
    Disk::new().rename_noreplace(row.resting.as_deref().unwrap(), &away).unwrap();
    let publisher = rig.open_disk();
    assert_eq!(publisher.reconcile_quarantine(&rig.pipeline).unwrap(), 0);
    assert_eq!(visible(&rig.pipeline.quarantine).len(), 2, "he may want the explanation and the rows");
    assert_eq!(release(&Disk::new(), &rig.pipeline, &row).unwrap(), None, "and it cannot be let out");
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
