//! Taking a file in: looking at it without being fooled, and making it ours.
//!
//! A claim is an intent in the ledger first and a rename into the work folder, under its id, second, so that after a crash the
//! ledger knows where to look. Nothing here reads a file's content but [`fingerprint`], and nothing but a regular file is
//! ever opened.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::job::{FileId, FileStamp, Timestamp};
use crate::ledger::{FileRow, LedgerError};
use crate::storage::StorageError;

mod claim;

pub use claim::{PutBack, claim, put_back};
pub(crate) use claim::{claimed_path, same_file};

/// A settled file in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name, byte for byte.
    pub name: OsString,
    /// The inbox joined with the name.
    pub path: PathBuf,
    /// What it looked like when it had settled.
    pub stamp: FileStamp,
    /// When it was first seen.
    pub first_seen: Timestamp,
}

/// What became of the attempt to claim a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// It is ours.
    Claimed(Arrival),
    /// It is no longer what had settled: let it settle again.
    Changed,
    /// It is gone.
    Vanished,
    /// It is no regular file, or not ours to read; it stays where it is. `symlink`, `directory`, `fifo`, `socket`, `device`
    /// or `unreadable`.
    NotAFile(&'static str),
}

/// A claimed file: everything needed to begin an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Its id.
    pub id: FileId,
    /// Its pipeline.
    pub pipeline: String,
    /// Its name in the inbox, byte for byte.
    pub name: OsString,
    /// Where it lies now.
    pub path: PathBuf,
    /// What it looked like when it was claimed.
    pub stamp: FileStamp,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// Attempts so far that count towards giving up.
    pub attempts: u32,
    /// Those of them that took the worker with them.
    pub crashes: u32,
    /// When the next attempt may begin, if one failed before.
    pub next_attempt_at: Option<Timestamp>,
}

impl Arrival {
    /// Returns the arrival as the ledger knows it.
    #[must_use]
    pub fn of(row: &FileRow) -> Self {
        Self {
            id: row.id.clone(),
            pipeline: row.pipeline.clone(),
            name: row.name.clone(),
            path: row.input_path.clone(),
            stamp: row.stamp,
            arrived_at: row.arrived_at,
            attempts: row.attempts,
            crashes: row.crashes,
            next_attempt_at: row.next_attempt_at,
        }
    }
}

/// A claim could not be carried out, or not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Returns the hash by which a content is known. Reads to the end.
pub fn fingerprint(mut input: impl Read) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(read) => {
                hasher.update(buffer.get(..read).unwrap_or_default());
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
}

#[cfg(test)]
mod tests;
