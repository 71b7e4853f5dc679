//! What lies in the folders, against what was dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use polars::prelude::{AnyValue, DataFrame, ParquetReader, SerReader as _};

use super::Verdict;
use crate::feed::{AMOUNT, Content, Input, Kind, Reject, Row};
use crate::inventory::{Found, Inventory, Published, hash};
use crate::ledger::Arrival;
use crate::site::{OnSuccess, Site, walk};

/// Contents by their hash.
type Contents = BTreeMap<String, Arc<Content>>;

/// Returns the contents that were dropped, by their hash.
pub(super) fn contents(dropped: &[Input]) -> Contents {
    dropped.iter().map(|input| (input.content.hash.clone(), Arc::clone(&input.content))).collect()
}

const fn is_published(kind: Kind) -> bool {
    matches!(kind, Kind::Good | Kind::Dirty)
}

const fn is_refused(kind: Kind) -> bool {
    matches!(kind, Kind::Broken | Kind::Refused)
}

/// Every input lies in one place, with its own bytes, and nothing else does. Where originals are deleted, one input of each
/// published content may be gone.
pub(super) fn places(site: &Site, dropped: &[Input], inventory: &Inventory, verdict: &mut Verdict) {
    let mut balance: BTreeMap<(String, String), i64> = BTreeMap::new();
    for input in dropped {
        *balance.entry((input.name.clone(), input.content.hash.clone())).or_default() -= 1;
    }
    for found in inventory.originals() {
        *balance.entry((found.name.clone(), found.hash.clone())).or_default() += 1;
    }
    let mut deletable: BTreeSet<&str> = match site.on_success {
        OnSuccess::Delete => inventory.published.iter().map(Published::input).collect(),
        OnSuccess::Archive | OnSuccess::Keep => BTreeSet::new(),
    };
    for ((name, hash), balance) in balance {
        match balance {
            0 => {}
            -1 if deletable.remove(hash.as_str()) => {}
            ..0 => verdict.lost.push(format!("{name} ({hash}) is nowhere")),
            _ => verdict.doubled.push(format!("{name} ({hash}) lies somewhere {balance} times too often")),
        }
    }
}

/// Every content that is put away is published, and none twice. Between two renames that of a replay is out of sight.
/// A duplicate may be put away once its original is staged: that one is still claimed then.
pub(super) fn once(inventory: &Inventory, contents: &Contents, arrivals: &[Arrival], verdict: &mut Verdict) {
    let mut published: BTreeMap<&str, Vec<&Published>> = BTreeMap::new();
    for one in &inventory.published {
        published.entry(one.input()).or_default().push(one);
    }
    for (hash, found) in &published {
        if found.len() > 1 {
            let paths: Vec<_> = found.iter().map(|one| one.path.display().to_string()).collect();
            verdict.doubled.push(format!("{hash} is published as {}", paths.join(" and ")));
        }
    }
    for found in &inventory.archive {
        let wanted = contents.get(&found.hash).is_some_and(|content| is_published(content.kind));
        if !wanted || published.contains_key(found.hash.as_str()) || inventory.retired.contains(&found.hash) {
            continue;
        }
        let arrival = arrivals.iter().find(|arrival| arrival.id == found.id);
        let is_duplicate = arrival.is_some_and(|arrival| arrival.outcome.as_deref() == Some("duplicate"));
        let staged = |original: &&Found| {
            let of_ledger = arrivals.iter().find(|arrival| arrival.id == original.id);
            original.hash == found.hash && of_ledger.is_some_and(|arrival| arrival.state == "staged")
        };
        if !is_duplicate || !inventory.claimed.iter().any(|original| staged(&original)) {
            verdict.lost.push(format!("{} is archived and not published: {arrival:?}", found.path.display()));
        }
    }
}

/// Every published directory is sound; of so many, drawn at random, also the cells are read.
pub(super) fn published(inventory: &Inventory, contents: &Contents, read: usize, verdict: &mut Verdict) {
    let mut drawn: Vec<usize> = (0..inventory.published.len()).collect();
    fastrand::shuffle(&mut drawn);
    let drawn: BTreeSet<usize> = drawn.into_iter().take(read).collect();
    for (at, one) in inventory.published.iter().enumerate() {
        judge(one, contents, drawn.contains(&at), verdict);
    }
}

/// Everything is finished: every original is where its kind belongs, and nothing else lies about.
pub(super) fn ends(site: &Site, inventory: &Inventory, contents: &Contents, verdict: &mut Verdict) {
    let keeps = site.on_success == OnSuccess::Keep;
    let unfinished = inventory.inbox.iter().filter(|_| !keeps).chain(&inventory.claimed);
    verdict.stuck.extend(unfinished.map(|found| format!("{} is not finished", found.path.display())));
    verdict.stuck.extend(inventory.litter.iter().map(|path| format!("{} is left over", path.display())));
    let refused = |found: &&Found| contents.get(&found.hash).is_some_and(|content| is_refused(content.kind));
    let kept = inventory.inbox.iter().filter(|_| keeps);
    for found in inventory.archive.iter().chain(kept.clone()).filter(refused) {
        verdict.contradicted.push(format!("{} is put away and should be refused", found.path.display()));
    }
    for found in inventory.quarantine.iter().filter(|found| !refused(found)) {
        verdict.stuck.push(format!("{} is in quarantine and sound", found.path.display()));
    }
    for found in &inventory.quarantine {
        let explanation = format!("{}.error.json", found.path.display());
        let readable =
            fs::read(&explanation).is_ok_and(|text| serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        if !readable {
            verdict.contradicted.push(format!("{explanation} is missing or no JSON"));
        }
        let rejected = contents.get(&found.hash).map_or(0, |content| content.rows[2]);
        let rejects = format!("{}.rejects.parquet", found.path.display());
        let kept = File::open(&rejects).map_or(0, |file| ParquetReader::new(file).num_rows().unwrap_or_default());
        if kept as u64 != rejected {
            verdict.lost.push(format!("{rejects} holds {kept} of {rejected} rejected rows"));
        }
    }
    for one in &inventory.published {
        let archived = inventory.archive.iter().any(|found| found.id == one.id && found.hash == one.input());
        let (sound, where_to) = match site.on_success {
            OnSuccess::Archive => (archived, "is not in the archive under its id"),
            OnSuccess::Keep => (kept.clone().any(|found| found.hash == one.input()), "is not in the inbox"),
            OnSuccess::Delete => (!archived, "is not deleted"),
        };
        if !sound {
            verdict.contradicted.push(format!("the original of {} {where_to}", one.path.display()));
        }
    }
    for found in kept {
        let wanted = contents.get(&found.hash).is_some_and(|content| is_published(content.kind));
        if wanted && !inventory.published.iter().any(|one| one.input() == found.hash) {
            verdict.lost.push(format!("{} is done with and not published", found.path.display()));
        }
    }
}

/// A published directory is what its manifest says, and its manifest says what its input held.
fn judge(one: &Published, contents: &Contents, read: bool, verdict: &mut Verdict) {
    let place = one.path.display();
    let Some(content) = contents.get(one.input()).filter(|content| is_published(content.kind)) else {
        verdict.contradicted.push(format!("{place} is made of an input that should not be published"));
        return;
    };
    if one.manifest["id"] != one.id.as_str() {
        verdict.contradicted.push(format!("{place} is not named after its id {}", one.manifest["id"]));
    }
    let rows = ["read", "written", "rejected", "dropped"].map(|name| one.manifest["rows"][name].as_u64());
    if rows != content.rows.map(Some) {
        verdict.lost.push(format!("{place}: rows {rows:?} instead of {:?}", content.rows));
    }
    let outputs = one.manifest["outputs"].as_object().cloned().unwrap_or_default();
    let mut lying: BTreeSet<String> =
        walk(&one.path).iter().map(|path| path.strip_prefix(&one.path).unwrap().display().to_string()).collect();
    lying.remove("_manifest.json");
    for (name, facts) in &outputs {
        let path = one.path.join(name);
        if !lying.remove(name) {
            verdict.lost.push(format!("{place}: {name} is missing"));
        } else if facts["blake3"] != hash(&path).as_str()
            || facts["bytes"].as_u64() != Some(path.metadata().unwrap().len())
        {
            verdict.lost.push(format!("{place}: {name} is not what the manifest says"));
        } else if read && let Err(fault) = read_output(&path, name, facts["rows"].as_u64(), content) {
            verdict.lost.push(format!("{place}: {fault}"));
        }
    }
    verdict.contradicted.extend(lying.into_iter().map(|name| format!("{place}: {name} is not in the manifest")));
}

/// The rows of a Parquet file are those the input held, cell by cell.
fn read_output(path: &Path, name: &str, rows: Option<u64>, content: &Content) -> Result<(), String> {
    let frame = ParquetReader::new(File::open(path).unwrap()).finish().map_err(|error| format!("{name}: {error}"))?;
    if Some(frame.height() as u64) != rows {
        return Err(format!("{name} has {} rows, the manifest says {rows:?}", frame.height()));
    }
    let sound = match name {
        "rows.parquet" => holds(&frame, ["id", "amount", "word"], true, &written(content)),
        "rejects.parquet" => holds(&frame, ["record", "byte_offset", "reason", "raw"], false, &rejected(content)),
        _ => holds(&frame, ["word", "n", "total"], true, &words(content)),
    };
    sound.map_err(|fault| format!("{name} holds other cells than its input: {fault}"))
}

/// Whether a frame has these columns, in this order and no others if they are all, and these cells.
fn holds<const N: usize>(
    frame: &DataFrame,
    names: [&str; N],
    all: bool,
    cells: &[[AnyValue<'_>; N]],
) -> Result<(), String> {
    if all && frame.get_column_names() != names {
        return Err(format!("columns {:?}", frame.get_column_names()));
    }
    let columns: Result<Vec<_>, _> = names.iter().map(|name| frame.column(name)).collect();
    let columns = columns.map_err(|error| error.to_string())?;
    if frame.height() != cells.len() {
        return Err(format!("{} rows instead of {}", frame.height(), cells.len()));
    }
    for (at, expected) in cells.iter().enumerate() {
        for ((name, column), expected) in names.iter().zip(&columns).zip(expected) {
            let found = column.get(at).unwrap();
            if found != *expected {
                return Err(format!("{name} of row {at} is {found} instead of {expected}"));
            }
        }
    }
    Ok(())
}

fn written(content: &Content) -> Vec<[AnyValue<'static>; 3]> {
    let row = |row: &Row| [AnyValue::Int64(row.id), AnyValue::Float64(AMOUNT), word(row.word)];
    content.written.iter().map(row).collect()
}

fn rejected(content: &Content) -> Vec<[AnyValue<'_>; 4]> {
    content.rejected.iter().map(reject).collect()
}

const fn reject(reject: &Reject) -> [AnyValue<'_>; 4] {
    [
        AnyValue::UInt64(reject.record),
        AnyValue::UInt64(reject.byte_offset),
        AnyValue::String(reject.reason),
        AnyValue::Binary(reject.raw.as_bytes()),
    ]
}

/// The aggregate: how many rows have each word, and what they add up to.
fn words(content: &Content) -> Vec<[AnyValue<'static>; 3]> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for row in &content.written {
        *counts.entry(format!("word {}", row.word)).or_default() += 1;
    }
    let row = |(word, n): (String, u32)| {
        [AnyValue::StringOwned(word.into()), AnyValue::UInt32(n), AnyValue::Float64(f64::from(n) * AMOUNT)]
    };
    counts.into_iter().map(row).collect()
}

fn word(number: u8) -> AnyValue<'static> {
    AnyValue::StringOwned(format!("word {number}").into())
}
