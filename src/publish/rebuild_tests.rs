//! The ledger made anew from what lies on the disk: files of every fate, deaths at every step, copies and hostile names.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use super::audit_tests::{GOOD, below, every_fate, findings, kinds, remove, write};
use super::testing::{Rig, files_below};
use super::*;
use crate::config::OnSuccess;
use crate::ledger::{Begin, Filter, LedgerError, LedgerReader, Rebuild};
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault, until_death};

/// Makes the ledger anew from what lies on the disk.
fn rebuild(rig: &Rig) -> Gathered {
    rebuild_of(rig, &[Arc::clone(&rig.pipeline)])
}

fn rebuild_of(rig: &Rig, pipelines: &[Arc<Pipeline>]) -> Gathered {
    let Begin::New(rebuild) = Rebuild::begin(&rig.state(), true).unwrap() else { panic!("nothing was begun before") };
    let mut take = |row: &FileRow, story: &[_]| rebuild.insert(row, story);
    let gathered = gather(&Disk::new(), &*rig.clock, pipelines, &mut take).unwrap();
    rebuild.finish().unwrap();
    gathered
}

/// What must be known again: everything but attempts, messages of the past, and where a file lay while in progress.
fn known(rig: &Rig) -> Vec<String> {
    let rows = LedgerReader::open(&rig.state()).unwrap().files(&Filter::default()).unwrap();
    let tell = |row: FileRow| {
        let hash = row.manifest_hash.filter(|_| row.outcome == Some(Outcome::Succeeded));
        let rows = row.rows.filter(|_| row.outcome != Some(Outcome::Duplicate));
        let what = (row.id, row.name, row.state, row.outcome, row.reason, row.stamp, row.duplicate_of, rows);
        format!("{what:?} {:?} {:?} {hash:?} {:?} {:?}", row.final_dir, row.resting, row.blake3, row.explanation)
    };
    rows.into_iter().map(tell).collect()
}

#[test]
fn a_ledger_made_anew_knows_what_the_old_one_knew() {
    let rig = every_fate();
    let before = known(&rig);
    let gathered = rebuild(&rig);
    assert_eq!((gathered.published, gathered.archived, gathered.quarantined), (2, 2, 1), "{gathered:?}");
    assert_eq!(gathered.left, []);
    assert_eq!(known(&rig), before);
    assert_eq!(findings(&rig), []);
    // The same contents once more: none is published again.
    let snapshot = files_below(&rig.pipeline.output);
    rig.drop_file("again.csv", GOOD);
    rig.drop_file("again2.csv", "c,3\n");
    let publisher = rig.open_disk();
    rig.run(&publisher);
    assert_eq!(files_below(&rig.pipeline.output), snapshot);
    let duplicates = Filter { outcome: Some(Outcome::Duplicate), ..Filter::default() };
    assert_eq!(publisher.ledger().files(&duplicates).unwrap().len(), 3);
    let newest = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
    let story = publisher.ledger().story(&newest.id).unwrap();
    assert!(story.len() > 2, "{story:?}");
}

/// Two pipelines that share archive and quarantine. Both have published one content and another each, archived a
/// duplicate and an empty file, and refused a file. The ledger is closed.
fn shared() -> (Rig, [Arc<Pipeline>; 2]) {
    let mut rig = Rig::new(OnSuccess::Archive);
    let one = Arc::clone(&rig.pipeline);
    let other = Arc::new(Pipeline {
        name: "fares".to_owned(),
        input: rig.dir.path().join("in/fares"),
        output: rig.dir.path().join("out/fares"),
        ..(*one).clone()
    });
    fs::create_dir_all(&other.input).unwrap();
    for (own, pipeline) in [("own,1\n", &one), ("own,2\n", &other)] {
        rig.pipeline = Arc::clone(pipeline);
        for (name, text) in [("a.csv", GOOD), ("b.csv", own), ("again.csv", own), ("empty.csv", ""), ("r.csv", "bad\n")]
        {
            rig.drop_file(name, text);
            rig.run(&rig.open_disk());
            rig.clock.advance(std::time::Duration::from_mins(1));
        }
    }
    (rig, [one, other])
}

#[test]
fn pipelines_that_share_archive_and_quarantine_get_their_own_files_back() {
    let (rig, pipelines) = shared();
    let empty = |line: &String| line.contains("Some(Empty)");
    let before: Vec<_> = known(&rig).into_iter().filter(|line| !empty(line)).collect();
    let gathered = rebuild_of(&rig, &pipelines);
    assert_eq!((gathered.published, gathered.archived, gathered.quarantined), (4, 2, 2), "{gathered:?}");
    // Of an empty file nothing tells whose it was.
    assert_eq!(gathered.left.len(), 2, "{gathered:?}");
    for (path, why) in &gathered.left {
        assert!(
            path.ends_with(path.file_name().unwrap()) && path.to_string_lossy().ends_with("-empty.csv"),
            "{path:?}"
        );
        assert!(why.contains("trips, fares share this folder"), "{why}");
    }
    assert_eq!(known(&rig), before);
    let rows = LedgerReader::open(&rig.state()).unwrap().files(&Filter::default()).unwrap();
    let of = |name: &str| rows.iter().filter(|row| row.pipeline == name).count();
    assert_eq!((of("trips"), of("fares")), (4, 4));
}

#[test]
fn in_a_shared_archive_a_content_both_have_published_is_nobodys_duplicate() {
    let (mut rig, pipelines) = shared();
    rig.pipeline = Arc::clone(&pipelines[0]);
    rig.drop_file("twice.csv", GOOD);
    rig.run(&rig.open_disk());
    let gathered = rebuild_of(&rig, &pipelines);
    assert_eq!(gathered.left.len(), 3, "{gathered:?}");
    // A quarantined file without an explanation is nobody's either.
    let refused = files_below(&pipelines[0].quarantine);
    let original = refused.iter().find(|path| path.to_string_lossy().ends_with("-r.csv")).unwrap();
    remove(&beside(original, ERROR_SUFFIX));
    let gathered = rebuild_of(&rig, &pipelines);
    assert_eq!((gathered.quarantined, gathered.left.len()), (1, 5), "{gathered:?}");
    assert!(gathered.left.iter().any(|(path, _)| path == original), "{gathered:?}");
}

#[test]
fn a_crash_at_any_step_and_the_loss_of_the_ledger_lose_and_double_nothing() {
    for (text, outcome) in [(GOOD, Outcome::Succeeded), ("a,1\nbad,2\n", Outcome::Quarantined)] {
        for at in 1.. {
            let rig = Rig::in_memory(OnSuccess::Archive);
            rig.drop_file("x.csv", text);
            let storage = Arc::new(FailAt::new(at, Fault::DieAfter));
            let disk: Arc<dyn Storage> = Arc::<FailAt>::clone(&storage);
            until_death(|| rig.run(&rig.open(disk)));
            let gathered = rebuild(&rig);
            assert_eq!(gathered.left, [], "died after step {at}");
            let publisher = rig.open_disk();
            rig.run(&publisher);
            rig.verdict(text, outcome, &publisher).unwrap_or_else(|wrong| panic!("died after step {at}: {wrong}"));
            drop(publisher);
            assert_eq!(findings(&rig), [], "died after step {at}");
            if !storage.struck() {
                break;
            }
        }
    }
}

#[test]
fn a_replay_that_died_with_the_ledger_leaves_one_result() {
    for at in 1.. {
        let rig = Rig::in_memory(OnSuccess::Archive);
        rig.drop_file("x.csv", GOOD);
        rig.run(&rig.open_disk());
        rig.replay("x.csv");
        let storage = Arc::new(FailAt::new(at, Fault::DieAfter));
        let disk: Arc<dyn Storage> = Arc::<FailAt>::clone(&storage);
        until_death(|| rig.run(&rig.open(disk)));
        rebuild(&rig);
        let publisher = rig.open_disk();
        rig.run(&publisher);
        drop(publisher);
        let manifests = files_below(&rig.pipeline.output).into_iter().filter(|path| path.ends_with(MANIFEST));
        assert_eq!(manifests.count(), 1, "died after step {at}");
        assert_eq!(findings(&rig), [], "died after step {at}");
        if !storage.struck() {
            break;
        }
    }
}

#[test]
fn kept_files_are_known_again() {
    let rig = Rig::new(OnSuccess::Keep);
    rig.drop_file("x.csv", GOOD);
    rig.run(&rig.open_disk());
    rebuild(&rig);
    let publisher = rig.open_disk();
    let stamp = rig.found("x.csv".as_ref()).unwrap().stamp;
    assert_eq!(publisher.ledger().kept(&rig.pipeline.name).unwrap().into_values().collect::<Vec<_>>(), [stamp]);
}

#[test]
fn an_archived_content_whose_result_is_gone_is_not_published_again() {
    let rig = every_fate();
    let dir = below(&rig.pipeline.output, "rows.parquet").parent().unwrap().to_owned();
    remove(&dir);
    rebuild(&rig);
    assert_eq!(kinds(&rig), ["output_missing"]);
    let contents = rig.open_disk();
    let hash = blake3::hash(GOOD.as_bytes()).to_hex().to_string();
    assert!(contents.ledger().published_as(&rig.pipeline.name, &hash).unwrap().is_some());
}

#[test]
fn a_sound_ledger_is_not_replaced_unasked_and_never_deleted() {
    let rig = every_fate();
    let err = Rebuild::begin(&rig.state(), false).unwrap_err();
    assert!(matches!(err, LedgerError::Sound { .. }), "{err}");
    let publisher = rig.open_disk();
    let err = Rebuild::begin(&rig.state(), true).unwrap_err();
    assert!(matches!(err, LedgerError::Locked { .. }), "{err}");
    drop(publisher);
    let old = fs::read(rig.state().join("ledger.db")).unwrap();
    rebuild(&rig);
    assert_eq!(fs::read(rig.state().join("ledger.db.old-1")).unwrap(), old);
    // A broken one needs no asking.
    write(&rig.state().join("ledger.db"), b"no database");
    assert!(matches!(Rebuild::begin(&rig.state(), false).unwrap(), Begin::New(_)));
}

#[test]
fn a_rebuild_that_was_cut_short_keeps_everybody_out_until_it_is_finished() {
    let rig = every_fate();
    let state = rig.state();
    rustix::fs::rename(state.join("ledger.db"), state.join("ledger.db.rebuilt")).unwrap();
    let clock: Arc<dyn Clock> = Arc::<crate::clock::ManualClock>::clone(&rig.clock);
    let err = Ledger::open(&state, clock).unwrap_err();
    assert!(err.to_string().contains("forebay ledger rebuild"), "{err}");
    assert!(matches!(Rebuild::begin(&state, false).unwrap(), Begin::Resumed(None)));
    assert_eq!(findings(&rig), []);
}

#[test]
fn a_copy_beside_a_quarantined_file_is_not_taken_for_it() {
    // Sorted, the first two come before `<id>-r.csv`.
    for (suffix, explained) in [("-r.bak.csv", false), ("-r.bak.csv", true), ("-r.csv.bak", true), ("-a.csv", false)] {
        let rig = every_fate();
        let original =
            files_below(&rig.pipeline.quarantine).into_iter().find(|path| path.to_string_lossy().ends_with("-r.csv"));
        let original = original.unwrap();
        let before = known(&rig);
        let row = LedgerReader::open(&rig.state()).unwrap().find("r.csv".as_ref()).unwrap().remove(0);
        let copy = original.with_file_name(format!("{}{suffix}", row.id));
        write(&copy, b"bad, and half mended\n");
        if explained {
            write(&beside(&copy, ERROR_SUFFIX), &fs::read(beside(&original, ERROR_SUFFIX)).unwrap());
        }
        let gathered = rebuild(&rig);
        assert_eq!(known(&rig), before, "{suffix}");
        let [(left, why)] = gathered.left.as_slice() else { panic!("{gathered:?}") };
        assert_eq!((left, why.contains(row.id.as_str())), (&copy, true), "{why}");
    }
}

/// A name as long as a name can be, which no text can be made of.
fn hostile(end: &str) -> OsString {
    let mut name = vec![0xe9_u8; 255 - end.len()];
    name.extend_from_slice(end.as_bytes());
    OsString::from_vec(name)
}

#[test]
fn a_name_that_is_long_and_no_text_can_be_taken_in_again() {
    for (text, on_success) in [(GOOD, OnSuccess::Archive), ("bad\n", OnSuccess::Archive), (GOOD, OnSuccess::Delete)] {
        let rig = Rig::new(on_success);
        rig.drop_file(hostile(".csv"), text);
        rig.run(&rig.open_disk());
        let gathered = rebuild(&rig);
        assert_eq!((gathered.published + gathered.quarantined, gathered.left), (1, vec![]));
        let publisher = rig.open_disk();
        let row = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
        assert!(row.name.len() <= 255, "{:?}", row.name);
        match (text, on_success) {
            (GOOD, OnSuccess::Archive) => {
                replay(&Disk::new(), &rig.pipeline, &row, row.resting.as_deref().unwrap(), false).map(drop).unwrap();
            }
            (GOOD, _) => continue,
            _ => assert!(release(&Disk::new(), &rig.pipeline, &row).unwrap().is_some()),
        }
        rig.run(&publisher);
        let again = publisher.ledger().files(&Filter::default()).unwrap().remove(0);
        assert_eq!((again.outcome, again.replaces.is_some()), (row.outcome, text == GOOD), "it arrived anew");
    }
}

#[test]
fn a_name_is_told_whole_where_it_was_only_cut_or_only_escaped() {
    let names: [OsString; 3] =
        ["x".repeat(251) + ".csv", "ü".repeat(120) + "\\.csv", "short".to_owned()].map(Into::into);
    for name in names.into_iter().chain([OsString::from_vec(b"caf\xe9.csv".to_vec())]) {
        for text in [GOOD, "bad\n"] {
            let rig = Rig::in_memory(OnSuccess::Archive);
            rig.drop_file(&name, text);
            rig.run(&rig.open_disk());
            rebuild(&rig);
            let row = rig.open_disk().ledger().files(&Filter::default()).unwrap().remove(0);
            assert_eq!(row.name, name);
        }
    }
}
