//! A disk that fails, for tests: at its n-th state-changing operation it answers with an error, or the process "dies".
//!
//! Dying is an unwinding panic with a payload of its own, so that no clean-up code runs which a dead process would not
//! run either. A process can die just before an operation takes effect or just after, before its caller hears of it.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::io::Errno;

use super::{Disk, Entry, Operation, Storage, StorageError};

/// How the operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies and the operation has no effect.
    DieBefore,
    /// The operation takes effect and the process dies.
    DieAfter,
    /// The operation has no effect and answers with this error.
    Error(Errno),
    /// The operation takes effect and answers with this error: what a failed sync looks like.
    ErrorAfter(Errno),
    /// From this operation on every one answers with this error.
    ErrorsFrom(Errno),
}

/// The payload of a simulated death.
#[derive(Debug)]
pub(crate) struct Died;

/// A disk whose n-th state-changing operation fails.
pub(crate) struct FailAt {
    disk: Disk,
    at: u64,
    fault: Fault,
    done: AtomicU64,
    seen: OnceLock<Seen>,
    blind: Mutex<Option<&'static str>>,
}

/// Told of every state-changing operation before it happens: its name, and the path it leads to.
pub(crate) type Seen = Box<dyn Fn(&'static str, &Path) + Send + Sync>;

impl std::fmt::Debug for FailAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FailAt").field("at", &self.at).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl FailAt {
    /// Returns a disk that fails at operation `at`, counted from 1.
    pub(crate) fn new(at: u64, fault: Fault) -> Self {
        Self { disk: Disk::new(), at, fault, done: AtomicU64::new(0), seen: OnceLock::new(), blind: Mutex::new(None) }
    }

    /// Returns a disk that does not fail.
    pub(crate) fn never() -> Self {
        Self::new(u64::MAX, Fault::DieBefore)
    }

    /// Tells `seen` of every operation from now on.
    pub(crate) fn tell(&self, seen: Seen) {
        drop(self.seen.set(seen));
    }

    /// Answers the next look at a path with `part` in it with an error.
    pub(crate) fn fail_a_look_at(&self, part: &'static str) {
        *self.blind.lock().unwrap() = Some(part);
    }

    /// Returns whether the fault has struck.
    pub(crate) fn struck(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.at
    }

    fn change<T>(
        &self,
        what: &'static str,
        path: &Path,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(seen) = self.seen.get() {
            seen(what, path);
        }
        let now = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let failed = |errno: Errno| Err(StorageError::new(Operation::Write, path, errno));
        match self.fault {
            Fault::ErrorsFrom(errno) if now >= self.at => failed(errno),
            _ if now != self.at => act(),
            Fault::DieBefore => resume_unwind(Box::new(Died)),
            Fault::DieAfter => {
                drop(act());
                resume_unwind(Box::new(Died))
            }
            Fault::Error(errno) | Fault::ErrorsFrom(errno) => failed(errno),
            Fault::ErrorAfter(errno) => {
                act()?;
                failed(errno)
            }
        }
    }
}

impl Storage for FailAt {
    fn make_dirs(&self, dir: &Path) -> Result<(), StorageError> {
        self.change("make_dirs", dir, || self.disk.make_dirs(dir))
    }
    fn make_scratch_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.change("make_scratch_dir", dir, || self.disk.make_scratch_dir(dir))
    }
    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        self.change("write_file", path, || self.disk.write_file(path, bytes))
    }
    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.change("copy_file", to, || self.disk.copy_file(from, to))
    }
    fn sync_file(&self, path: &Path) -> Result<(), StorageError> {
        self.change("sync_file", path, || self.disk.sync_file(path))
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.change("sync_dir", dir, || self.disk.sync_dir(dir))
    }
    fn rename_noreplace(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.change("rename_noreplace", to, || self.disk.rename_noreplace(from, to))
    }
    fn remove_file(&self, path: &Path) -> Result<bool, StorageError> {
        self.change("remove_file", path, || self.disk.remove_file(path))
    }
    fn remove_empty_dir(&self, dir: &Path) -> Result<bool, StorageError> {
        self.change("remove_empty_dir", dir, || self.disk.remove_empty_dir(dir))
    }
    fn remove_tree(&self, dir: &Path) -> Result<(), StorageError> {
        self.change("remove_tree", dir, || self.disk.remove_tree(dir))
    }
    fn stat(&self, path: &Path) -> Result<Option<Entry>, StorageError> {
        if self.blind.lock().unwrap().take_if(|part| path.to_string_lossy().contains(*part)).is_some() {
            return Err(StorageError::new(Operation::Stat, path, Errno::IO));
        }
        self.disk.stat(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<OsString>, StorageError> {
        self.disk.list(dir)
    }
    fn read(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        self.disk.read(path)
    }
}

/// Runs `act`; `None` if it "died". A real panic goes on as one.
pub(crate) fn until_death<T>(act: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Died>() => None,
        Err(payload) => resume_unwind(payload),
    }
}
