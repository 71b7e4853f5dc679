//! One daemon per folder: a lock on our own folder in it. The kernel gives it back when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::beneath::open_ours;
use super::{Operation, StorageError};

/// The lock of one folder, held until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    place: (u64, u64),
}

/// Why a folder is not ours alone.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another forebay ({}) works there", holder(*.0))]
    Held(Option<u32>),
    /// Nobody can tell.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl FolderLock {
    /// Locks `dir`, in which there must be a folder `.forebay` of ours: that is what is locked, so nothing is added.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let file = open_ours(dir)?;
        let failed = |err: std::io::Error| StorageError::new(Operation::Lock, dir, err);
        let found = file.metadata().map_err(failed)?;
        match lock_soon(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder_of(found.ino()))),
            Err(TryLockError::Error(err)) if has_no_locks(&err) => {
                tracing::warn!(dir = %dir.display(), "this filesystem has no locks: see that no other forebay works there");
            }
            Err(TryLockError::Error(err)) => return Err(failed(err).into()),
        }
        Ok(Self { file, place: (found.dev(), found.ino()) })
    }

    /// Returns which folder this is a lock of, to be compared with [`place_of`].
    #[must_use]
    pub const fn place(&self) -> (u64, u64) {
        self.place
    }
}

impl Drop for FolderLock {
    /// Closing the file is not enough: a child being born holds a copy of it until it runs its own program.
    fn drop(&mut self) {
        drop(self.file.unlock());
    }
}

/// Locks a file, unless another process keeps it locked for a second.
///
/// A daemon that was killed while it started a worker leaves its locks to that child, until it runs its own program: the next
/// start may well come before that.
pub fn lock_soon(file: &File) -> Result<(), TryLockError> {
    const TRIES: u32 = 50;
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(Duration::from_secs(1) / TRIES),
            answer => return answer,
        }
    }
    file.try_lock()
}

/// Returns what a lock of `dir` would be a lock of.
pub fn place_of(dir: &Path) -> Result<(u64, u64), StorageError> {
    let found = open_ours(dir)?.metadata().map_err(|err| StorageError::new(Operation::Stat, dir, err))?;
    Ok((found.dev(), found.ino()))
}

/// Network filesystems: some have none, some want a file that is open for writing.
fn has_no_locks(err: &std::io::Error) -> bool {
    [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::BADF]
        .iter()
        .any(|errno| err.raw_os_error() == Some(errno.raw_os_error()))
}

/// Returns the process that holds the lock of this inode, if the kernel tells us.
fn holder_of(inode: u64) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let inode = format!(":{inode}");
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let flock = words.next() == Some("FLOCK");
        let (pid, place) = (words.nth(2)?, words.next()?);
        (flock && place.ends_with(&inode)).then(|| pid.parse().ok().filter(|pid| *pid > 0))?
    })
}

/// Says who holds a lock.
#[must_use]
pub fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "its number is unknown".to_owned(), |pid| format!("pid {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Disk, Storage as _};

    #[test]
    fn a_folder_has_one_lock_and_its_holder_is_known() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(FolderLock::take(dir.path()), Err(LockError::Storage(err)) if err.is_missing()));
        Disk::new().make_dirs(&dir.path().join(".forebay")).unwrap();
        let lock = FolderLock::take(dir.path()).unwrap();
        assert_eq!(lock.place(), place_of(dir.path()).unwrap());
        let held = FolderLock::take(dir.path()).unwrap_err();
        assert!(matches!(held, LockError::Held(Some(pid)) if pid == std::process::id()), "{held:?}");
        let given_back_late = std::thread::spawn(move || {
            std::thread::park_timeout(Duration::from_millis(100));
            drop(lock);
        });
        FolderLock::take(dir.path()).expect("it was given back while it was waited for");
        given_back_late.join().unwrap();
    }
}
