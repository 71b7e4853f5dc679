//! The oracle itself is put to the test: things are broken by hand, and it must see each of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use polars::prelude::{Float64Chunked, IntoColumn as _, ParquetReader, ParquetWriter, SerReader as _};

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::Feed;
use crate::inventory::{Inventory, difference, hash, snapshot};
use crate::measure::figures;
use crate::oracle::{self, Verdict};
use crate::site::{Setting, Site, walk};

/// Makes good again what was broken.
type Mend = Box<dyn FnOnce()>;
/// Breaks one thing.
type Break = fn(&Site) -> Mend;
/// Whether a verdict says so.
type Seen = fn(&Verdict) -> bool;

/// What is broken, how, and the part of the verdict that must say so.
const BREAKS: &[(&str, Break, Seen)] = &[
    (
        "an archived original is gone",
        |site| away(first(&site.archive(), "-good.csv")),
        |verdict| !verdict.lost.is_empty(),
    ),
    (
        "a quarantined original is gone",
        |site| away(first(&site.quarantine(), "-broken.csv")),
        |verdict| !verdict.lost.is_empty(),
    ),
    (
        "a byte of an original is another",
        |site| another_byte(first(&site.archive(), "-dirty.csv")),
        |verdict| !verdict.lost.is_empty(),
    ),
    (
        "a byte of the rows is another",
        |site| another_byte(first(&site.output(), "/rows.parquet")),
        |verdict| !verdict.lost.is_empty(),
    ),
    (
        "a cell is another, and the manifest says so too",
        |site| another_cell(&published(site)),
        |verdict| verdict.lost.iter().any(|fault| fault.contains("amount of row 0 is 8.5 instead of 7.25")),
    ),
    (
        "the rejects are gone",
        |site| away(first(&site.output(), "/rejects.parquet")),
        |verdict| !verdict.lost.is_empty(),
    ),
    ("a published directory is gone", |site| away(published(site)), |verdict| !verdict.lost.is_empty()),
    (
        "an original is there twice",
        |site| copy(&first(&site.archive(), "-good.csv"), &site.inbox().join("good.csv")),
        |verdict| !verdict.doubled.is_empty(),
    ),
    (
        "a content is published twice",
        |site| copy(&published(site), &published(site).with_file_name("0")),
        |verdict| !verdict.doubled.is_empty(),
    ),
    (
        "something is left in staging",
        |site| new(&site.output().join(".forebay/staging/x/rows.parquet")),
        |verdict| !verdict.stuck.is_empty(),
    ),
    (
        "a folder is left among the claimed",
        |site| new(&site.claimed().join("x/y")),
        |verdict| !verdict.stuck.is_empty(),
    ),
    (
        "a strange file is published",
        |site| new(&published(site).join("more.parquet")),
        |verdict| !verdict.contradicted.is_empty(),
    ),
    (
        "an explanation is gone",
        |site| away(first(&site.quarantine(), ".error.json")),
        |verdict| !verdict.contradicted.is_empty(),
    ),
    (
        "the manifest is another",
        |site| another_byte(first(&site.output(), "_manifest.json")),
        |verdict| !verdict.is_sound(),
    ),
];

#[test]
fn the_oracle_sees_what_is_broken() {
    let site = Site::new(Setting::default());
    let mut daemon = Daemon::start(&site);
    for input in Feed::one_of_each() {
        assert!(site.drop_file(input));
    }
    assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done);
    assert!(daemon.stop().success());
    oracle::demand(&oracle::settled(&site), "nothing is broken yet");
    let sound = snapshot(&site);
    for (what, break_it, is_seen) in BREAKS {
        let mend = break_it(&site);
        let verdict = oracle::settled(&site);
        assert!(is_seen(&verdict), "{what}, and the oracle says:\n{verdict}");
        assert!(!difference(&sound, &snapshot(&site)).is_empty(), "{what}, and the snapshot is the same");
        mend();
        oracle::demand(&oracle::settled(&site), what);
    }
    figures("oracle", &format!("{} of {} things broken by hand are seen", BREAKS.len(), BREAKS.len()));
}

fn first(folder: &Path, end: &str) -> PathBuf {
    walk(folder).into_iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap()
}

fn published(site: &Site) -> PathBuf {
    Inventory::of(site).published.remove(0).path
}

fn away(path: PathBuf) -> Mend {
    let aside = tempfile::tempdir().unwrap().keep().join("x");
    fs::rename(&path, &aside).unwrap();
    Box::new(move || fs::rename(&aside, &path).and_then(|()| fs::remove_dir(aside.parent().unwrap())).unwrap())
}

fn another_byte(path: PathBuf) -> Mend {
    let bytes = fs::read(&path).unwrap();
    let mut broken = bytes.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    fs::write(&path, broken).unwrap();
    Box::new(move || fs::write(&path, bytes).unwrap())
}

/// Puts another amount into the first row, and hash and size of what that makes into the manifest.
fn another_cell(published: &Path) -> Mend {
    let (rows, manifest) = (published.join("rows.parquet"), published.join("_manifest.json"));
    let before = [&rows, &manifest].map(|path| (path.clone(), fs::read(path).unwrap()));
    let mut frame = ParquetReader::new(File::open(&rows).unwrap()).finish().unwrap();
    let amounts = frame.column("amount").unwrap().f64().unwrap();
    let amounts: Float64Chunked =
        amounts.iter().enumerate().map(|(at, amount)| if at == 0 { Some(8.5) } else { amount }).collect();
    frame.with_column(amounts.with_name("amount".into()).into_column()).unwrap();
    ParquetWriter::new(File::create(&rows).unwrap()).finish(&mut frame).unwrap();
    let mut told: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    told["outputs"]["rows.parquet"]["blake3"] = hash(&rows).into();
    told["outputs"]["rows.parquet"]["bytes"] = rows.metadata().unwrap().len().into();
    fs::write(&manifest, told.to_string()).unwrap();
    Box::new(move || before.into_iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap()))
}

/// Copies a file, or a folder of files.
fn copy(from: &Path, to: &Path) -> Mend {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
    }
    for path in [vec![from.to_owned()], walk(from)].concat().into_iter().filter(|path| !path.is_dir()) {
        let name = path.strip_prefix(from).unwrap();
        fs::copy(&path, if name.as_os_str().is_empty() { to.to_owned() } else { to.join(name) }).unwrap();
    }
    remove_later(to)
}

/// Makes a file and the folder it lies in.
fn new(path: &Path) -> Mend {
    let folder = path.parent().unwrap();
    let made = !folder.exists();
    fs::create_dir_all(folder).unwrap();
    fs::write(path, "x").unwrap();
    remove_later(if made { folder } else { path })
}

fn remove_later(path: &Path) -> Mend {
    let path = path.to_owned();
    Box::new(move || if path.is_dir() { fs::remove_dir_all(&path).unwrap() } else { fs::remove_file(&path).unwrap() })
}
