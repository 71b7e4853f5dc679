//! Making a new ledger in the place of one that is lost or broken. The old one is moved aside, never deleted.
//!
//! The new one is written whole under another name first. From the moment it is whole until it has its own name, nobody can
//! open a ledger here: a start that found none would begin with an empty one, and publish everything again.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, named_params, params};

use super::row::{bytes_of, unhex};
use super::{DATABASE, Disposal, FileRow, LedgerError, LedgerReader, StateLock, StoryLine, schema, take_lock};
use crate::job::{FileId, Outcome, QuarantineReason};
use crate::storage::{Disk, Storage as _};

/// The new ledger while it is written.
const REBUILDING: &str = "ledger.db.rebuilding";
/// The new ledger, whole, while the old one is moved aside.
pub(super) const REBUILT: &str = "ledger.db.rebuilt";

/// What beginning a rebuild came to.
#[derive(Debug)]
pub enum Begin {
    /// Put every file in, then finish.
    New(Rebuild),
    /// An earlier rebuild was whole and has its place now. The old ledger, if there was one, lies there.
    Resumed(Option<PathBuf>),
}

/// A new ledger in the making. Holds the lock of the state folder: no daemon runs meanwhile.
pub struct Rebuild {
    connection: Connection,
    dir: PathBuf,
    _lock: StateLock,
}

impl Rebuild {
    /// Begins a new ledger in the state folder `dir`. Refuses if the one there is sound, unless that is wanted.
    pub fn begin(dir: &Path, replace_sound: bool) -> Result<Begin, LedgerError> {
        let disk = Disk::new();
        disk.make_dirs(dir)?;
        let lock = take_lock(dir)?;
        if disk.stat(&dir.join(REBUILT))?.is_some() {
            return Ok(Begin::Resumed(take_place(&disk, dir)?));
        }
        if !replace_sound && is_sound(dir)? {
            return Err(LedgerError::Sound { path: dir.join(DATABASE) });
        }
        let new = dir.join(REBUILDING);
        for suffix in ["", "-journal", "-wal", "-shm"] {
            disk.remove_file(&dir.join(format!("{REBUILDING}{suffix}")))?;
        }
        let made = || -> rusqlite::Result<Connection> {
            let connection = schema::create_at(&new)?;
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = made().map_err(|cause| LedgerError::sql("rebuild", cause))?;
        Ok(Begin::New(Self { connection, dir: dir.to_owned(), _lock: lock }))
    }

    /// Puts a file in, with its story.
    pub fn insert(&self, row: &FileRow, story: &[StoryLine]) -> Result<(), LedgerError> {
        insert(&self.connection, row, story).map_err(|cause| LedgerError::sql("rebuild", cause))
    }

    /// Gives the new ledger its place. Returns where the old one lies now, if there was one.
    pub fn finish(self) -> Result<Option<PathBuf>, LedgerError> {
        let ended =
            self.connection.execute_batch("COMMIT").and_then(|()| self.connection.close().map_err(|(_, cause)| cause));
        ended.map_err(|cause| LedgerError::sql("rebuild", cause))?;
        let disk = Disk::new();
        disk.sync_file(&self.dir.join(REBUILDING))?;
        disk.rename_noreplace(&self.dir.join(REBUILDING), &self.dir.join(REBUILT))?;
        take_place(&disk, &self.dir)
    }
}

impl std::fmt::Debug for Rebuild {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rebuild").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Whether there is a ledger that can be read, one of another version included.
fn is_sound(dir: &Path) -> Result<bool, LedgerError> {
    match LedgerReader::open(dir) {
        Ok(ledger) => Ok(ledger.integrity().is_ok_and(|damage| damage.is_empty())),
        Err(LedgerError::Older { .. } | LedgerError::Newer { .. }) => Ok(true),
        Err(LedgerError::Missing { .. } | LedgerError::Unreadable { .. } | LedgerError::Sql { .. }) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Moves the old ledger aside, its log first, and gives the new one its name. Each step is "do if not done".
fn take_place(disk: &Disk, dir: &Path) -> Result<Option<PathBuf>, LedgerError> {
    let mut aside = String::new();
    for number in 1_u32.. {
        aside = format!("{DATABASE}.old-{number}");
        if disk.stat(&dir.join(&aside))?.is_none() {
            break;
        }
    }
    let mut old = None;
    // A journal that stayed would be played back into the new ledger.
    for suffix in ["-journal", "-wal", "-shm", ""] {
        let from = dir.join(format!("{DATABASE}{suffix}"));
        if disk.stat(&from)?.is_some() {
            let to = dir.join(format!("{aside}{suffix}"));
            disk.rename_noreplace(&from, &to)?;
            old = suffix.is_empty().then_some(to);
        }
    }
    disk.rename_noreplace(&dir.join(REBUILT), &dir.join(DATABASE))?;
    Ok(old)
}

fn insert(connection: &Connection, row: &FileRow, story: &[StoryLine]) -> rusqlite::Result<()> {
    let count = |pick: fn(&crate::job::RowCounts) -> u64| row.rows.as_ref().map(|rows| pick(rows).cast_signed());
    let columns = "id pipeline name state outcome reason message explanation dev ino size mtime_ns in_place input_path blake3 \
                   duplicate_of starts trace_id last_error arrived_at claimed_at started_at finished_at manifest_hash \
                   final_dir disposal resting rows_read rows_written rows_rejected rows_dropped replaces replaced_by";
    let names: Vec<&str> = columns.split(' ').collect();
    let sql = format!("INSERT INTO files ({}) VALUES (:{})", names.join(", "), names.join(", :"));
    connection.prepare_cached(&sql)?.execute(named_params! {
        ":id": row.id.as_str(),
        ":pipeline": row.pipeline,
        ":name": row.name.as_encoded_bytes(),
        ":state": row.state.as_str(),
        ":outcome": row.outcome.map(Outcome::as_str),
        ":reason": row.reason.map(QuarantineReason::as_str),
        ":message": row.message,
        ":explanation": row.explanation,
        ":dev": row.stamp.dev.cast_signed(),
        ":ino": row.stamp.ino.cast_signed(),
        ":size": row.stamp.size.cast_signed(),
        ":mtime_ns": row.stamp.mtime_ns,
        ":in_place": row.in_place,
        ":input_path": bytes_of(&row.input_path),
        ":blake3": row.blake3.as_deref().and_then(unhex),
        ":duplicate_of": row.duplicate_of.as_ref().map(FileId::as_str),
        ":starts": row.starts,
        ":trace_id": row.trace_id,
        ":last_error": row.last_error,
        ":arrived_at": row.arrived_at.0,
        ":claimed_at": row.claimed_at.0,
        ":started_at": row.started_at.map(|at| at.0),
        ":finished_at": row.finished_at.map(|at| at.0),
        ":manifest_hash": row.manifest_hash.as_deref().and_then(unhex),
        ":final_dir": row.final_dir.as_deref().map(bytes_of),
        ":disposal": row.disposal.map(Disposal::as_str),
        ":resting": row.resting.as_deref().map(bytes_of),
        ":rows_read": count(|rows| rows.read),
        ":rows_written": count(|rows| rows.written),
        ":rows_rejected": count(|rows| rows.rejected),
        ":rows_dropped": count(|rows| rows.dropped),
        ":replaces": row.replaces.as_ref().map(FileId::as_str),
        ":replaced_by": row.replaced_by.as_ref().map(FileId::as_str),
    })?;
    let mut tell = connection.prepare_cached("INSERT INTO events (file, at, what, message) VALUES (?, ?, ?, ?)")?;
    for line in story {
        tell.execute(params![row.id.as_str(), line.at.0, line.what, line.message])?;
    }
    Ok(())
}
