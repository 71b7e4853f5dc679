//! Claiming a file, and giving it back.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{AdmitError, Arrival, Claim, Found};
use crate::config::{OnSuccess, Pipeline};
use crate::job::{FileId, FileStamp, display_name, kept_name, places};
use crate::ledger::{FileRow, FileState, Intent, Ledger, LedgerError};
use crate::storage::{EntryKind, Opened, Storage, StorageError, open_regular, refuse_links};

/// Returns where a claimed file lies.
pub(crate) fn claimed_path(pipeline: &Pipeline, id: &FileId, name: &OsStr) -> PathBuf {
    places::claimed(&pipeline.input).join(kept_name(id, name))
}

/// Makes a settled file ours: intent, rename, sync. Whatever stops it on the way leaves the file in the inbox and nothing in
/// the ledger, or an intent that the next claim or the next start takes up.
pub fn claim(storage: &dyn Storage, ledger: &Ledger, pipeline: &Pipeline, found: &Found) -> Result<Claim, AdmitError> {
    // Step 1: a regular file, readable, and still what had settled. It stays open until it is ours.
    let held = match open_regular(&pipeline.input, &found.name)? {
        Opened::File(file, stamp) if stamp == found.stamp => file,
        Opened::File(..) => return Ok(Claim::Changed),
        Opened::Missing => return Ok(Claim::Vanished),
        Opened::NotAFile(kind) => return Ok(Claim::NotAFile(kind)),
    };
    // Step 2: the intent, durable before the file is touched.
    let row = match dangling_intent(storage, ledger, pipeline, found)? {
        Some(row) => row,
        None => intend(ledger, pipeline, found, remark(pipeline, &held, found))?,
    };
    if row.in_place {
        return Ok(Claim::Claimed(Arrival::of(&row)));
    }
    // Step 3: the rename.
    match take(storage, pipeline, &row, &found.path) {
        Ok(()) => {}
        Err(err) => return not_taken(storage, ledger, &row, found, err),
    }
    // A producer may have slipped another file under the name between the look and the rename.
    let Ok(there) = storage.stat(&row.input_path) else {
        // It is ours by now, and nobody else would look for it there; whoever begins with it finds out what it is.
        return Ok(Claim::Claimed(Arrival::of(&row)));
    };
    match there {
        Some(entry) if entry.kind == EntryKind::File && entry.stamp == found.stamp => {
            Ok(Claim::Claimed(Arrival::of(&row)))
        }
        _ => match put_back(storage, ledger, pipeline, &row)? {
            PutBack::InInbox => Ok(Claim::Changed),
            PutBack::Held(arrival) => Ok(Claim::Claimed(arrival)),
        },
    }
}

fn intend(ledger: &Ledger, pipeline: &Pipeline, found: &Found, remark: &str) -> Result<FileRow, AdmitError> {
    let in_place = pipeline.on_success == OnSuccess::Keep;
    let id = ledger.new_id();
    let input_path = if in_place { found.path.clone() } else { claimed_path(pipeline, &id, &found.name) };
    Ok(ledger.intend(&Intent {
        id: &id,
        pipeline: &pipeline.name,
        name: &found.name,
        stamp: found.stamp,
        in_place,
        input_path: &input_path,
        arrived_at: found.first_seen,
        remark,
    })?)
}

/// Warns of a file that has other names: whoever writes through one of them changes the original that we keep. Producers that
/// link their files into an inbox are in their right, so it is taken all the same.
fn remark(pipeline: &Pipeline, held: &File, found: &Found) -> &'static str {
    let alone = held.metadata().is_ok_and(|facts| facts.nlink() < 2);
    if alone || pipeline.on_success == OnSuccess::Keep {
        return "";
    }
    let name = display_name(&found.name);
    tracing::warn!(
        pipeline = pipeline.name,
        name,
        "the file has other names (hard links): write to none of them any more"
    );
    "; it has other names (hard links): what is written to them changes the original that is kept"
}

/// An intent for this very file that was never carried out, because the disk or the ledger failed in between.
fn dangling_intent(
    storage: &dyn Storage,
    ledger: &Ledger,
    pipeline: &Pipeline,
    found: &Found,
) -> Result<Option<FileRow>, AdmitError> {
    let in_place = pipeline.on_success == OnSuccess::Keep;
    for row in ledger.claims_of(&pipeline.name, &found.name)? {
        let never_begun = row.starts == 0 && row.stamp == found.stamp && row.in_place == in_place;
        if never_begun && (in_place || storage.stat(&row.input_path)?.is_none()) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

fn take(storage: &dyn Storage, pipeline: &Pipeline, row: &FileRow, from: &Path) -> Result<(), StorageError> {
    let work = places::claimed(&pipeline.input);
    refuse_links(&work)?;
    storage.make_dirs(&work)?;
    storage.rename_noreplace(from, &row.input_path)
}

/// Sorts out a rename that answered with an error: it may have happened, or not.
fn not_taken(
    storage: &dyn Storage,
    ledger: &Ledger,
    row: &FileRow,
    found: &Found,
    err: StorageError,
) -> Result<Claim, AdmitError> {
    if let Some(entry) = storage.stat(&row.input_path)?
        && same_file(entry.stamp, found.stamp)
    {
        // Moved, and only the sync failed. Either name is found at the next start, so nothing depends on that sync.
        return Ok(Claim::Claimed(Arrival::of(row)));
    }
    ledger.forget(&row.id)?;
    if err.is_missing() && storage.stat(&found.path)?.is_none() {
        return Ok(Claim::Vanished);
    }
    Err(err.into())
}

/// Where a file is that was to be put back.
#[derive(Debug, Clone, PartialEq)]
pub enum PutBack {
    /// In the inbox, and the ledger has forgotten it: it settles again and arrives anew.
    InInbox,
    /// Its old name is taken by a newer file, so it stays ours under its id, and the ledger knows what it looks like now.
    Held(Arrival),
}

/// Gives a claimed file back to its inbox: it changed while it was read.
pub fn put_back(
    storage: &dyn Storage,
    ledger: &Ledger,
    pipeline: &Pipeline,
    row: &FileRow,
) -> Result<PutBack, AdmitError> {
    if row.state != FileState::Claimed {
        let (id, found) = (row.id.clone(), row.state);
        return Err(LedgerError::State { id, found, wanted: FileState::Claimed }.into());
    }
    if row.in_place {
        ledger.forget(&row.id)?;
        return Ok(PutBack::InInbox);
    }
    match storage.rename_noreplace(&row.input_path, &pipeline.input.join(&row.name)) {
        Ok(()) => {}
        Err(err) if err.is_taken() => {
            let Some(entry) = storage.stat(&row.input_path)? else { return Err(err.into()) };
            let row = ledger.restamp(&row.id, entry.stamp)?;
            return Ok(PutBack::Held(Arrival::of(&row)));
        }
        Err(err) if err.is_missing() && storage.stat(&row.input_path)?.is_none() => {}
        Err(err) => return Err(err.into()),
    }
    ledger.forget(&row.id)?;
    Ok(PutBack::InInbox)
}

/// Whether two looks saw the same file, changed or not.
pub(crate) const fn same_file(a: FileStamp, b: FileStamp) -> bool {
    a.dev == b.dev && a.ino == b.ino
}
