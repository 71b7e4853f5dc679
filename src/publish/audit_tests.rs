//! The comparison of ledger and disk, and the ledger made anew: on folders with files of every fate, sound and spoiled.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::testing::{Rig, files_below};
use super::*;
use crate::config::OnSuccess;
use crate::ledger::{Begin, Filter, LedgerError, LedgerReader, Rebuild};
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault, until_death};

const GOOD: &str = "a,1\nb,2\n";

/// A rig with a file of every fate; the ledger is closed.
fn every_fate() -> Rig {
    let rig = Rig::new(OnSuccess::Archive);
    for (name, text) in
        [("a.csv", GOOD), ("b.csv", GOOD), ("c\u{1b}.csv", "c,3\n"), ("empty.csv", ""), ("r.csv", "bad\n")]
    {
        rig.drop_file(name, text);
        rig.run(&rig.open_disk());
        rig.clock.advance(std::time::Duration::from_mins(1));
    }
    rig
}

fn findings(rig: &Rig) -> Vec<Finding> {
    let ledger = LedgerReader::open(&rig.state()).unwrap();
    let mut found = Vec::new();
    let pipelines = [Arc::clone(&rig.pipeline)];
    let audit = Audit { pipelines: &pipelines, ledger: &ledger, storage: &Disk::new(), contents: true };
    audit.run(&mut |finding| found.push(finding)).unwrap();
    found
}

fn kinds(rig: &Rig) -> Vec<&'static str> {
    findings(rig).iter().map(|finding| finding.kind.as_str()).collect()
}

fn below(root: &Path, part: &str) -> PathBuf {
    files_below(root).into_iter().find(|path| path.to_string_lossy().contains(part)).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "spoils what the durable path made")]
fn write(path: &Path, text: &[u8]) {
    fs::write(path, text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "spoils what the durable path made")]
fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

#[test]
fn a_sound_world_has_no_findings() {
    let rig = every_fate();
    assert_eq!(findings(&rig), []);
    rig.replay("a.csv");
    assert_eq!(findings(&rig), [], "a replay that was asked for is no finding");
    rig.run(&rig.open_disk());
    assert_eq!(findings(&rig), [], "and neither is one that is done");
}

#[test]
fn every_harm_is_found_and_told_with_its_place() {
    type Harm = fn(&Rig);
    let harms: &[(&str, Harm)] = &[
        ("output_missing", |rig| remove(below(&rig.pipeline.output, "rows.parquet").parent().unwrap())),
        ("output_missing", |rig| remove(&below(&rig.pipeline.output, "rows.parquet"))),
        ("output_changed", |rig| {
            let rows = below(&rig.pipeline.output, "rows.parquet");
            let mut bytes = fs::read(&rows).unwrap();
            bytes[9] ^= 1;
            write(&rows, &bytes);
        }),
        ("output_changed", |rig| write(&below(&rig.pipeline.output, "rows.parquet"), b"short")),
        ("output_changed", |rig| write(&below(&rig.pipeline.output, "rows.parquet").with_file_name("more"), b"x")),
        ("output_unknown", |rig| {
            let dir = below(&rig.pipeline.output, "rows.parquet").parent().unwrap().with_file_name("01unknown");
            Disk::new().make_dirs(&dir).unwrap();
        }),
        ("manifest_differs", |rig| {
            let manifest = below(&rig.pipeline.output, MANIFEST);
            let mut text = fs::read(&manifest).unwrap();
            text.push(b'\n');
            write(&manifest, &text);
        }),
        ("original_missing", |rig| remove(&below(&rig.pipeline.archive, "a.csv"))),
        ("original_changed", |rig| write(&below(&rig.pipeline.archive, "a.csv"), b"a,1\nb,9\n")),
        ("original_changed", |rig| write(&below(&rig.pipeline.archive, "b.csv"), b"longer than it was")),
        ("original_missing", |rig| {
            for path in files_below(&rig.pipeline.quarantine) {
                remove(&path);
            }
        }),
        ("explanation_missing", |rig| remove(&below(&rig.pipeline.quarantine, ERROR_SUFFIX))),
        ("rows_unaccounted", |rig| {
            let ledger = Connection::open(rig.state().join("ledger.db")).unwrap();
            ledger
                .execute("UPDATE files SET rows_read = rows_read + 1 WHERE name = CAST('a.csv' AS BLOB)", ())
                .unwrap();
        }),
    ];
    for (kind, harm) in harms {
        let rig = every_fate();
        harm(&rig);
        let found = findings(&rig);
        assert!(found.iter().any(|finding| finding.kind.as_str() == *kind), "{kind}: {found:?}");
        assert!(found.iter().all(|finding| finding.path.is_some() && !finding.hint.is_empty()), "{found:?}");
    }
}

#[test]
fn a_file_on_its_way_is_no_finding_at_any_step() {
    for text in [GOOD, "bad\n", ""] {
        for at in 1.. {
            let rig = Rig::in_memory(OnSuccess::Archive);
            rig.drop_file("x.csv", text);
            let storage = Arc::new(FailAt::new(at, Fault::DieAfter));
            let disk: Arc<dyn Storage> = Arc::<FailAt>::clone(&storage);
            until_death(|| rig.run(&rig.open(disk)));
            // The process is dead, and nobody has cleaned up yet.
            assert_eq!(findings(&rig), [], "{text:?}, died after step {at}");
            if !storage.struck() {
                break;
            }
        }
    }
}

#[test]
fn what_was_let_out_of_quarantine_is_no_finding() {
    let rig = every_fate();
    let row = LedgerReader::open(&rig.state()).unwrap().find("r.csv".as_ref()).unwrap().remove(0);
    release(&Disk::new(), &rig.pipeline, &row).unwrap().unwrap();
    assert_eq!(kinds(&rig), [""; 0], "it lies in the inbox");
    rig.run(&rig.open_disk());
    assert_eq!(kinds(&rig), [""; 0], "it arrived anew");
}

/// Makes the ledger anew from what lies on the disk.
fn rebuild(rig: &Rig) -> Gathered {
    let Begin::New(rebuild) = Rebuild::begin(&rig.state(), true).unwrap() else { panic!("nothing was begun before") };
    let mut take = |row: &FileRow, story: &[_]| rebuild.insert(row, story);
    let gathered = gather(&Disk::new(), &*rig.clock, &[Arc::clone(&rig.pipeline)], &mut take).unwrap();
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
