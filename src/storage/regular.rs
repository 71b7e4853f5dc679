//! Opening a file that somebody else put there.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::open_dir;
use super::{EntryKind, Operation, StorageError, entry_of};
use crate::job::FileStamp;

/// What came of opening a name.
#[derive(Debug)]
pub enum Opened {
    /// A regular file, open for reading, and what it looks like.
    File(File, FileStamp),
    /// Nothing has this name.
    Missing,
    /// Something that is not opened, or cannot be.
    NotAFile(&'static str),
}

/// Opens what lies at `path` if it is a regular file, see [`open_regular`].
pub fn open_at(path: &Path) -> Result<Opened, StorageError> {
    let name = path.file_name().ok_or_else(|| StorageError::new(Operation::Read, path, Errno::INVAL))?;
    open_regular(super::disk::parent(path), name)
}

/// Opens `name` in `dir` if it is a regular file. It never follows a link, never blocks on a pipe and never touches a
/// device: those are only looked at.
pub fn open_regular(dir: &Path, name: &OsStr) -> Result<Opened, StorageError> {
    let failed = |errno: Errno| StorageError::new(Operation::Read, &dir.join(name), errno);
    let held = open_dir(dir)?;
    let seen = match rustix::fs::statat(&held, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(seen) => FileType::from_raw_mode(seen.st_mode),
        Err(Errno::NOENT) => return Ok(Opened::Missing),
        Err(errno) => return Err(failed(errno)),
    };
    match seen {
        FileType::RegularFile => {}
        FileType::Directory => return Ok(Opened::NotAFile("directory")),
        FileType::Symlink => return Ok(Opened::NotAFile("symlink")),
        FileType::Fifo => return Ok(Opened::NotAFile("fifo")),
        FileType::Socket => return Ok(Opened::NotAFile("socket")),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            return Ok(Opened::NotAFile("device"));
        }
    }
    // It may have been swapped since: these flags make even that harmless, and the open file tells what it really is.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&held, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(Opened::Missing),
        Err(Errno::LOOP) => return Ok(Opened::NotAFile("symlink")),
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Opened::NotAFile("unreadable")),
        Err(errno) => return Err(failed(errno)),
    };
    let metadata = file.metadata().map_err(|err| StorageError::new(Operation::Stat, &dir.join(name), err))?;
    let entry = entry_of(&metadata);
    match entry.kind {
        EntryKind::File => Ok(Opened::File(file, entry.stamp)),
        EntryKind::Directory | EntryKind::Symlink | EntryKind::Fifo | EntryKind::Socket | EntryKind::Device => {
            Ok(Opened::NotAFile(entry.kind.as_str()))
        }
    }
}
