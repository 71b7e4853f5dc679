//! The ledger: what is known of every file that ever arrived, in one SQLite database.
//!
//! It is written before the disk is touched, so that whatever a crash leaves behind can be told from it. One process holds
//! it, by a lock on the state folder; one connection writes. A commit is on the disk when it returns, and those who write
//! at the same time share one (`group`). Questions go over a second connection, which sees what is committed and nothing
//! else. A ledger that cannot be read stops the start: it is never taken for an empty one, as that would publish everything
//! again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::clock::Clock;
use crate::job::FileId;
use crate::storage::{Disk, Storage as _, lock_soon};

mod error;
mod group;
mod ids;
mod query;
mod reader;
mod rebuild;
mod replace;
mod row;
mod schema;
mod soundness;
mod write;

pub use error::LedgerError;
use group::Group;
pub use ids::IdSource;
pub use query::{Counts, Filter, PipelineTimes};
pub use reader::LedgerReader;
pub use rebuild::{Begin, Rebuild};
pub use row::{Disposal, FileRow, FileState, StoryLine};
pub use write::{ArchiveDecision, AttemptEnd, Intent, QuarantineDecision, Reservation, StagedFacts};

/// File name of the database in the state folder.
pub const DATABASE: &str = "ledger.db";
/// File name of the lock in the state folder.
pub const LOCK: &str = "lock";

/// Told of every operation: its name, how long it took, whether it failed.
pub type Observer = Box<dyn Fn(&'static str, Duration, bool) + Send + Sync>;

/// The one writer of the ledger. Every call blocks until it is on the disk.
pub struct Ledger {
    /// Before the writer, so that the writer is closed last and puts its log away.
    reader: Mutex<Connection>,
    group: Group,
    soundness: soundness::Soundness,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    dir: PathBuf,
    /// Device and inode of the database.
    place: (u64, u64),
    observer: OnceLock<Observer>,
    /// The counts, and after how many commits they were taken: only then anew when something changed.
    counted: Mutex<Option<(u64, Counts)>>,
    /// Held as long as the ledger lives. Last, so that the database is closed before it is given back.
    _lock: StateLock,
}

impl Ledger {
    /// Opens the ledger in the state folder `dir`, or makes a new one if there is none; takes the lock of the folder.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, LedgerError> {
        Disk::new().make_dirs(dir)?;
        let lock = take_lock(dir)?;
        let (connection, soundness) = schema::open_or_create(dir)?;
        let found = Disk::new().stat(&dir.join(DATABASE))?.ok_or(LedgerError::Missing { dir: dir.to_owned() })?;
        let newest = query::newest_id(&connection).map_err(|cause| LedgerError::sql("open", cause))?;
        Ok(Self {
            reader: Mutex::new(schema::open_for_reading(dir)?),
            group: Group::new(connection),
            soundness,
            clock,
            ids: IdSource::after(newest.as_ref()),
            dir: dir.to_owned(),
            place: (found.stamp.dev, found.stamp.ino),
            observer: OnceLock::new(),
            counted: Mutex::new(None),
            _lock: lock,
        })
    }

    /// Returns whether opening the ledger in `dir` would make the first one there.
    pub fn would_be_new(dir: &Path) -> Result<bool, LedgerError> {
        Ok(schema::is_new(dir)?)
    }

    /// Returns an error, now and at every write from now on, if the database is not the file any more that it was when it was
    /// opened: what is written to that one is seen by nobody, and the next start would begin with whatever lies there.
    pub fn still_there(&self) -> Result<(), LedgerError> {
        let path = self.dir.join(DATABASE);
        let entry = Disk::new().stat(&path)?;
        if entry.is_some_and(|entry| (entry.stamp.dev, entry.stamp.ino) == self.place) {
            return Ok(());
        }
        let error = LedgerError::Replaced { path };
        self.soundness.refuse(error.to_string());
        Err(error)
    }

    /// Sets who is told of every operation from now on. Only the first call counts.
    pub fn observe(&self, observer: Observer) {
        drop(self.observer.set(observer));
    }

    /// Returns an id greater than every one before it.
    #[must_use]
    pub fn new_id(&self) -> FileId {
        self.ids.next(self.clock.now())
    }

    /// Returns the bytes of the database on the disk, its log included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let size = |name: String| std::fs::metadata(self.dir.join(name)).map_or(0, |found| found.len());
        size(DATABASE.to_owned()) + size(format!("{DATABASE}-wal"))
    }

    /// Moves the log into the database. For idle moments: nothing depends on it.
    pub fn checkpoint(&self) -> Result<(), LedgerError> {
        self.observed("checkpoint", || {
            let moved =
                |connection: &Connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
            self.group.alone(moved).map_err(|cause| LedgerError::sql("checkpoint", cause))
        })
    }

    /// Makes one change, all or nothing, that is on the disk when this returns.
    fn write<T>(
        &self,
        op: &'static str,
        act: impl FnOnce(&Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.observed(op, || {
            self.soundness.verdict(op)?;
            self.group.write(op, act)
        })
    }

    fn read<T>(
        &self,
        op: &'static str,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let reader = || self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        self.observed(op, || act(&reader()).map_err(|cause| LedgerError::sql(op, cause)))
    }

    fn observed<T>(&self, op: &'static str, act: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let began = self.clock.monotonic();
        let answer = act();
        if let Some(observer) = self.observer.get() {
            // A state that is not the expected one is an answer of the ledger, not a failure of it.
            let failed = answer.as_ref().is_err_and(LedgerError::is_sql);
            observer(op, self.clock.monotonic().saturating_sub(began), failed);
        }
        answer
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Locks the state folder for this process. The kernel gives the lock back when the process ends, however it ends.
fn take_lock(dir: &Path) -> Result<StateLock, LedgerError> {
    let path = dir.join(LOCK);
    let failed = |cause: std::io::Error| LedgerError::Lock { path: path.clone(), cause };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match lock_soon(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Whoever holds it wrote its number there; without it the message is only less helpful.
            let known = file.read_to_string(&mut holder).is_ok();
            let pid = holder.trim().parse().ok().filter(|_| known);
            return Err(LedgerError::Locked { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(failed)?;
    Ok(StateLock(file))
}

/// The lock of the state folder.
struct StateLock(File);

impl Drop for StateLock {
    /// Closing the file is not enough: a child being born holds a copy of it until it runs its own program.
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

#[cfg(test)]
mod tests;
