//! Outputs that are moved, lost or not mounted while a file or a replay is on its way.

use super::testing::{Move, Rig, files_below};
use super::*;
use crate::config::OnSuccess;
use crate::ledger::Filter;
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault, until_death};

const GOOD: &str = "a,1\nb,2\n";

/// A rig with one published file.
fn published() -> (Rig, FileRow) {
    let rig = Rig::in_memory(OnSuccess::Archive);
    rig.drop_file("x.csv", GOOD);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    let row = newest(&publisher);
    (rig, row)
}

/// The same, and its replay is asked for.
fn asked() -> (Rig, FileRow) {
    let (rig, row) = published();
    rig.replay("x.csv");
    (rig, row)
}

fn newest(publisher: &Publisher) -> FileRow {
    publisher.ledger().files(&Filter::default()).unwrap().remove(0)
}

fn mv(from: &std::path::Path, to: &std::path::Path) {
    Disk::new().make_dirs(to.parent().unwrap()).unwrap();
    Disk::new().rename_noreplace(from, to).unwrap();
}

#[test]
fn a_replay_whose_old_result_is_nowhere_to_be_found_is_refused() {
    let (mut rig, old) = asked();
    let (dir, away) = (old.final_dir.clone().unwrap(), rig.dir.path().join("away").join(old.id.as_str()));
    mv(&dir, &away);
    rig.move_output(Move::Whole);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    assert_eq!(rig.seen(), [] as [PathBuf; 0], "the old result may come back: nothing is published beside it");
    let refused = newest(&publisher);
    assert_eq!(refused.outcome, Some(Outcome::Failed));
    let moved = rig.pipeline.output.join(dir.strip_prefix(rig.dir.path().join("out/trips")).unwrap());
    for part in [old.id.as_str(), &dir.display().to_string(), &moved.display().to_string()] {
        assert!(refused.message.contains(part), "{part} in {}", refused.message);
    }
    let explanation = refused.explanation.as_deref().unwrap();
    assert!(explanation.contains("forebay retry") && explanation.contains("--result-gone"), "{explanation}");
    assert_eq!(publisher.ledger().get(&old.id).unwrap().replaced_by, None);

    // Back where forebay looks, the replay goes on.
    mv(&away, &moved);
    release(&Disk::new(), &rig.pipeline, &refused).unwrap().unwrap();
    rig.run(&publisher);
    assert_eq!(newest(&publisher).replaces, Some(old.id));
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn a_result_that_was_copied_is_withdrawn_in_both_places() {
    let (mut rig, old) = asked();
    let dir = old.final_dir.clone().unwrap();
    rig.move_output(Move::Whole);
    for file in files_below(&rig.seen()[0]) {
        Disk::new().make_dirs(&dir).unwrap();
        Disk::new().write_file(&dir.join(file.file_name().unwrap()), &Disk::new().read(&file).unwrap()).unwrap();
    }
    assert_eq!(rig.seen().len(), 2);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn a_replay_of_a_result_that_is_gone_for_good_has_to_be_told_so() {
    let (rig, row) = published();
    Disk::new().remove_tree(row.final_dir.as_deref().unwrap()).unwrap();
    let original = row.resting.as_deref().unwrap();
    let lost = replay(&Disk::new(), &rig.pipeline, &row, original, false).unwrap();
    let Replay::Lost { message, advice } = &lost else { panic!("{lost:?}") };
    assert!(message.contains(&row.final_dir.as_ref().unwrap().display().to_string()), "{message}");
    assert!(advice.contains(&format!("--result-gone {}", row.id)), "{advice}");
    assert!(original.try_exists().unwrap(), "nothing has happened");
    assert!(!names::replay_marker(&rig.pipeline, &row.id).try_exists().unwrap());

    replay(&Disk::new(), &rig.pipeline, &row, original, true).unwrap();
    let publisher = rig.open_disk();
    rig.run(&publisher);
    assert_eq!(newest(&publisher).replaces, Some(row.id));
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

/// A rig whose file died right after STAGED, before anything of it was visible.
fn left_staged(prepare: fn() -> Rig) -> Rig {
    let found = (1..200).find_map(|at| {
        let rig = prepare();
        until_death(|| rig.run(&rig.open(Arc::new(FailAt::new(at, Fault::DieBefore)))));
        let unfinished = rig.open_disk().ledger().unfinished().unwrap();
        unfinished.iter().any(|row| row.state == FileState::Staged).then_some(rig)
    });
    found.expect("there is such a moment")
}

fn dropped() -> Rig {
    let rig = Rig::in_memory(OnSuccess::Archive);
    rig.drop_file("x.csv", GOOD);
    rig
}

fn replayed() -> Rig {
    asked().0
}

#[test]
fn what_was_staged_goes_on_where_its_output_was_moved() {
    let mut rig = left_staged(dropped);
    rig.move_output(Move::Whole);
    let publisher = rig.open_disk();
    let row = publisher.ledger().unfinished().unwrap().remove(0);
    rig.run(&publisher);
    let done = newest(&publisher);
    assert_eq!((done.starts, done.attempts), (row.starts, 0), "it is not processed again");
    assert_eq!(done.final_dir.as_deref(), Some(rig.seen()[0].as_path()), "the ledger knows where it is");
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn what_was_staged_and_is_lost_is_made_again_and_costs_an_attempt() {
    for prepare in [dropped, replayed] {
        let mut rig = left_staged(prepare);
        let row = rig.open_disk().ledger().unfinished().unwrap().remove(0);
        Disk::new().remove_tree(&rig.pipeline.output.join(".forebay/staging")).unwrap();
        rig.move_output(Move::Nothing);
        let publisher = rig.open_disk();
        rig.run(&publisher);
        let done = newest(&publisher);
        assert_eq!((&done.id, done.starts, done.attempts), (&row.id, row.starts + 1, 1));
        assert_eq!(done.final_dir.unwrap().file_name(), row.final_dir.unwrap().file_name(), "under the same name");
        rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
    }
}

#[test]
fn an_output_that_is_not_mounted_is_waited_for_by_what_was_staged_in_it() {
    let mut rig = left_staged(dropped);
    let (output, away) = (rig.pipeline.output.clone(), rig.dir.path().join("away"));
    mv(&output, &away);
    rig.move_output(Move::Nothing);
    {
        let publisher = rig.open_disk();
        let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
        let [Recovered::Stuck { message, .. }] = &told[..] else { panic!("{told:?}") };
        assert!(message.contains("mounted") && message.contains("out/trips/.forebay"), "{message}");
    }
    mv(&away, &output);
    let publisher = rig.open_disk();
    rig.run(&publisher);
    assert_eq!(newest(&publisher).attempts, 0);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}

#[test]
fn nothing_is_begun_in_an_output_that_is_not_mounted_and_nothing_is_made_there() {
    let rig = left_staged(|| {
        let (rig, _) = published();
        rig.drop_file("y.csv", "y,1\n");
        rig
    });
    let (output, away) = (rig.pipeline.output.clone(), rig.dir.path().join("away"));
    mv(&output, &away);
    // What is left is the folder it was mounted at.
    Disk::new().make_dirs(&output).unwrap();
    let publisher = rig.open_disk();
    let gone = publisher.make_output(&rig.pipeline).unwrap_err();
    assert!(gone.to_string().contains("out/trips/.forebay: it is missing: is its volume mounted?"), "{gone}");
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Stuck { .. }]), "{told:?}");
    let new = rig.claimed(&publisher, "z.csv", "z,1\n");
    let err = publisher.begin(&rig.pipeline, &new).unwrap_err();
    assert!(err.is_unfinished() && err.to_string().contains("mounted"), "{err}");
    assert_eq!(publisher.ledger().get(&new.id).unwrap().starts, 0, "it was not begun");
    assert_eq!(Disk::new().list(&output).unwrap(), [] as [&str; 0], "nothing is made where it should be mounted");
    drop(publisher);

    Disk::new().remove_empty_dir(&output).unwrap();
    mv(&away, &output);
    let publisher = rig.open_disk();
    publisher.make_output(&rig.pipeline).unwrap();
    rig.run(&publisher);
    let rows = publisher.ledger().files(&Filter::default()).unwrap();
    assert!(rows.iter().all(|row| row.outcome == Some(Outcome::Succeeded) && row.attempts == 0), "{rows:?}");
    assert_eq!((rows.len(), rig.seen().len()), (3, 3));
}

#[test]
fn an_output_nothing_was_published_in_is_made() {
    let mut rig = published().0;
    rig.move_output(Move::Nothing);
    let publisher = rig.open_disk();
    publisher.make_output(&rig.pipeline).unwrap();
    assert!(places::staging(&rig.pipeline.output).try_exists().unwrap());
}

#[test]
fn an_output_that_is_gone_for_good_is_given_up_by_making_its_folder() {
    let mut rig = left_staged(dropped);
    let output = rig.pipeline.output.clone();
    Disk::new().remove_tree(&output).unwrap();
    rig.move_output(Move::Nothing);
    let publisher = rig.open_disk();
    let told = publisher.recover(&[Arc::clone(&rig.pipeline)]).unwrap();
    assert!(matches!(&told[..], [Recovered::Stuck { .. }]), "{told:?}");
    Disk::new().make_dirs(&output.join(".forebay")).unwrap();
    rig.run(&publisher);
    rig.verdict(GOOD, Outcome::Succeeded, &publisher).unwrap();
}
