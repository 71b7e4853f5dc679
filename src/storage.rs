//! The one door to the disk for everything that must survive a power cut.
//!
//! Each operation is right by itself: what it made is on the disk when it returns, with the directory entries that lead to
//! it; those who change one directory at the same time share its sync (`together`). Nothing here decides what happens to a
//! file. What a job writes into its staging directory is written by [`crate::pipeline`], and made durable here.
//!
//! A failed sync is never tried again on the same file: the kernel marks the pages clean. The caller drops the file and
//! writes it anew.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::job::{FileStamp, display_name};

mod beneath;
mod disk;
#[cfg(test)]
pub(crate) mod failing;
mod lock;
mod making;
mod regular;
mod together;

pub use beneath::refuse_links;
pub use disk::Disk;
pub use lock::{FolderLock, LockError, holder, lock_soon, place_of};
pub use regular::{Opened, open_at, open_regular};
pub use together::Company;

/// The few operations on files and directories that the durable path is made of.
pub trait Storage: Send + Sync {
    /// Tells that the caller is on the durable path until he drops the answer: he may share syncs with those who are on
    /// it with him, and waits for them a little.
    fn join(&self) -> Company<'_> {
        Company::ALONE
    }

    /// Makes `dir` and whatever of its ancestors is missing, and syncs the parent of every directory it made. For
    /// directories that several files share.
    fn make_dirs(&self, dir: &Path) -> Result<(), StorageError>;

    /// Makes one directory whose content may be lost until its parent is synced; it must not be there.
    fn make_scratch_dir(&self, dir: &Path) -> Result<(), StorageError>;

    /// Writes `bytes` as the file `path`, all or nothing: a dot-name beside it, synced, renamed over, directory synced.
    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError>;

    /// Writes the bytes of the file `from` as the file `to`, as [`Self::write_file`] does: for where no rename leads, to
    /// another filesystem.
    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), StorageError>;

    /// Syncs a file somebody else wrote.
    fn sync_file(&self, path: &Path) -> Result<(), StorageError>;

    /// Syncs a directory.
    fn sync_dir(&self, dir: &Path) -> Result<(), StorageError>;

    /// Renames a file or directory to a name that must not be taken, and syncs both parents.
    fn rename_noreplace(&self, from: &Path, to: &Path) -> Result<(), StorageError>;

    /// Removes a file and syncs its directory; `false` if it was not there.
    fn remove_file(&self, path: &Path) -> Result<bool, StorageError>;

    /// Removes a directory if it is empty; `false` if it was not there or not empty. Not synced: whoever finds it again
    /// removes it again.
    fn remove_empty_dir(&self, dir: &Path) -> Result<bool, StorageError>;

    /// Removes a directory with everything in it; a missing one is fine. Not synced, see [`Self::remove_empty_dir`].
    fn remove_tree(&self, dir: &Path) -> Result<(), StorageError>;

    /// Looks at a name without following it; `None` if there is nothing.
    fn stat(&self, path: &Path) -> Result<Option<Entry>, StorageError>;

    /// Returns the names in a directory, sorted; none if it does not exist.
    fn list(&self, dir: &Path) -> Result<Vec<OsString>, StorageError>;

    /// Reads a small file whole.
    fn read(&self, path: &Path) -> Result<Vec<u8>, StorageError>;
}

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// How to recognise it.
    pub stamp: FileStamp,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block or character device.
    Device,
}

impl EntryKind {
    /// Returns the one spelling of this kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device => "device",
        }
    }
}

/// Returns what `metadata` (of `fstat`, or of `lstat`: not following) says.
#[must_use]
pub fn entry_of(metadata: &std::fs::Metadata) -> Entry {
    let kind = metadata.file_type();
    let kind = if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else if kind.is_fifo() {
        EntryKind::Fifo
    } else if kind.is_socket() {
        EntryKind::Socket
    } else {
        EntryKind::Device
    };
    let nanos = metadata.mtime().saturating_mul(1_000_000_000);
    Entry {
        kind,
        stamp: FileStamp {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.len(),
            mtime_ns: nanos.saturating_add(metadata.mtime_nsec()),
        },
    }
}

/// What was tried when an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making a directory.
    MakeDir,
    /// Writing a file.
    Write,
    /// Syncing a file or directory.
    Sync,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Looking at a name.
    Stat,
    /// Listing a directory.
    List,
    /// Opening or reading a file.
    Read,
    /// Locking a folder.
    Lock,
}

impl Operation {
    /// Returns what was tried, to follow "cannot".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MakeDir => "make directory",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "move",
            Self::Remove => "remove",
            Self::Stat => "look at",
            Self::List => "list",
            Self::Read => "read",
            Self::Lock => "lock",
        }
    }
}

/// An operation on the disk failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {} {}: {cause}{}", .operation.as_str(), shown(.path), hint(self))]
pub struct StorageError {
    /// What was tried.
    pub operation: Operation,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl StorageError {
    /// Returns the error of one operation on one path.
    pub fn new(operation: Operation, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self { operation, path: path.to_owned(), cause: cause.into() }
    }

    /// Returns whether the disk, the inodes or the quota are used up: it may work again when there is room. A file that is
    /// too large for its filesystem (EFBIG) is not of this kind, as no amount of room helps.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is(Errno::NOSPC) || self.is(Errno::DQUOT)
    }

    /// Returns whether something was not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is(Errno::NOENT)
    }

    /// Returns whether the new name is taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is(Errno::EXIST) || self.is(Errno::NOTEMPTY)
    }

    /// Returns whether the two names lie on different filesystems.
    #[must_use]
    pub fn is_exdev(&self) -> bool {
        self.is(Errno::XDEV)
    }

    /// Returns whether the permissions or a read-only filesystem forbid it.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.is(Errno::ACCESS) || self.is(Errno::PERM) || self.is(Errno::ROFS)
    }

    fn is(&self, errno: Errno) -> bool {
        self.cause.raw_os_error() == Some(errno.raw_os_error())
    }
}

/// Returns what to do, where we know it.
fn hint(err: &StorageError) -> &'static str {
    if err.is_exdev() {
        " (archive and quarantine must be on the filesystem of the input)"
    } else if err.is_forbidden() {
        " (check the owner and the permissions of its folder)"
    } else {
        ""
    }
}

/// Returns a path fit for a message: its last part may be a hostile name.
fn shown(path: &Path) -> String {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(display_name(name)).display().to_string(),
        _ => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: Errno) -> StorageError {
        StorageError::new(Operation::Rename, Path::new("/in/a\nb.csv"), errno)
    }

    #[test]
    fn errors_say_what_where_and_what_to_do() {
        let text = error(Errno::XDEV).to_string();
        assert!(text.starts_with("cannot move /in/a\\nb.csv: "), "{text}");
        assert!(text.ends_with("(archive and quarantine must be on the filesystem of the input)"), "{text}");
        assert!(error(Errno::ACCESS).to_string().ends_with("permissions of its folder)"));
    }

    #[test]
    fn only_what_room_would_mend_counts_as_full() {
        assert!(error(Errno::NOSPC).is_full());
        assert!(error(Errno::DQUOT).is_full());
        assert!(!error(Errno::FBIG).is_full());
        assert!(!error(Errno::IO).is_full());
        assert!(error(Errno::NOENT).is_missing());
        assert!(error(Errno::EXIST).is_taken());
    }
}
