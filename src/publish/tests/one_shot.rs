//! Publishing without a ledger.

use super::*;

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
fn what_a_killed_run_staged_is_swept_by_the_next_and_by_the_daemon_but_not_that_of_a_living_one() {
    let rig = Rig::new(OnSuccess::Archive);
    let found = rig.drop_file("x.csv", GOOD);
    let begin = || {
        let (disk, clock) = (Arc::new(Disk::new()), Arc::clone(&rig.clock) as Arc<dyn Clock>);
        let plain = Plain::new(disk, clock, rig.pipeline.output.clone());
        let job = plain.job(&rig.pipeline, &found.path).unwrap();
        (plain, job)
    };
    let there = |job: &Job| job.staging.try_exists().unwrap();
    // Whoever is killed keeps nothing open.
    let (killed, left) = begin();
    drop(killed);
    let (living, first) = begin();
    assert!(!there(&left), "nobody owns it");
    let (other, second) = begin();
    let publisher = rig.open_disk();
    publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(there(&first) && there(&second), "they are alive");
    // He stages two, and the first is still his when the other is done.
    let third = living.job(&rig.pipeline, &found.path).unwrap();
    other.discard(&second).unwrap();
    drop((other, begin()));
    assert!(there(&first) && there(&third), "one of them is alive");
    drop(living);
    publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(!rig.pipeline.output.join(".forebay/once").try_exists().unwrap(), "nobody is");
}
