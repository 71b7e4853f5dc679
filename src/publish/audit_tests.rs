//! The comparison of ledger and disk, on folders with files of every fate, sound and spoiled.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::testing::{Rig, files_below};
use super::*;
use crate::config::OnSuccess;
use crate::ledger::LedgerReader;
use crate::storage::Disk;
use crate::storage::failing::{FailAt, Fault, until_death};

pub(super) const GOOD: &str = "a,1\nb,2\n";

/// A rig with a file of every fate; the ledger is closed.
pub(super) fn every_fate() -> Rig {
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

pub(super) fn findings(rig: &Rig) -> Vec<Finding> {
    let ledger = LedgerReader::open(&rig.state()).unwrap();
    let mut found = Vec::new();
    let pipelines = [Arc::clone(&rig.pipeline)];
    let audit = Audit { pipelines: &pipelines, ledger: &ledger, storage: &Disk::new(), contents: true };
    audit.run(&mut |finding| found.push(finding)).unwrap();
    found
}

pub(super) fn kinds(rig: &Rig) -> Vec<&'static str> {
    findings(rig).iter().map(|finding| finding.kind.as_str()).collect()
}

pub(super) fn below(root: &Path, part: &str) -> PathBuf {
    files_below(root).into_iter().find(|path| path.to_string_lossy().contains(part)).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "spoils what the durable path made")]
pub(super) fn write(path: &Path, text: &[u8]) {
    fs::write(path, text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "spoils what the durable path made")]
pub(super) fn remove(path: &Path) {
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
