//! [`Storage`] on the real disk.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use rustix::fs::{AtFlags, OFlags, RenameFlags};
use rustix::io::Errno;

use super::beneath::open_dir;
use super::making::{Making, missing};
use super::together::{Company, Together};
use super::{Entry, Operation, Storage, StorageError, entry_of};
use crate::planted::{self, Bug};

/// Bytes of a file whose sync takes so long that nobody should wait for it.
const LONG: u64 = 1 << 20;

/// The local disk.
#[derive(Debug, Default)]
pub struct Disk {
    making: Making,
    together: Together,
}

impl Disk {
    /// Returns the disk.
    #[must_use]
    pub const fn new() -> Self {
        Self { making: Making::new(), together: Together::new() }
    }

    /// Makes one directory, and syncs its parent.
    fn make_dir(&self, dir: &Path) -> Result<(), StorageError> {
        match fs::create_dir(dir) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(StorageError::new(Operation::MakeDir, dir, err)),
        }
        self.sync_dir(parent(dir))
    }

    /// Makes a file of what `write` puts into it, all or nothing.
    fn fill(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), StorageError> {
        let failed = |err: io::Error| StorageError::new(Operation::Write, path, err);
        let beside = beside(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(nofollow())
            .open(&beside)
            .map_err(failed)?;
        let written = write(&mut file).and_then(|()| file.sync_all());
        if let Err(err) = written {
            // What is left of it only takes room; the error that matters is the first.
            drop(self.remove_file(&beside));
            return Err(failed(err));
        }
        let dir = open_dir(parent(path))?;
        let (from, to) = (file_name(&beside)?, file_name(path)?);
        rustix::fs::renameat(&dir, from, &dir, to).map_err(|errno| failed(errno.into()))?;
        self.sync_held(&dir, parent(path))
    }

    /// Syncs a directory that is held open, with whoever wants the same.
    fn sync_held(&self, dir: &File, path: &Path) -> Result<(), StorageError> {
        let failed = |errno| StorageError::new(Operation::Sync, path, errno);
        if planted::is(Bug::NoDirFsync) {
            return Ok(());
        }
        let found = rustix::fs::fstat(dir).map_err(failed)?;
        self.together.sync((found.st_dev, found.st_ino), || rustix::fs::fsync(dir)).map_err(failed)
    }
}

impl Storage for Disk {
    fn join(&self) -> Company<'_> {
        self.together.join()
    }

    fn make_dirs(&self, dir: &Path) -> Result<(), StorageError> {
        let (_, device) = missing(dir)?;
        let volume = self.making.volume(device);
        let _guard = volume.lock().unwrap_or_else(PoisonError::into_inner);
        missing(dir)?.0.into_iter().rev().try_for_each(|dir| self.make_dir(dir))
    }

    fn make_scratch_dir(&self, dir: &Path) -> Result<(), StorageError> {
        fs::create_dir(dir).map_err(|err| StorageError::new(Operation::MakeDir, dir, err))
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        self.fill(path, |file| file.write_all(bytes))
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        let mut source = OpenOptions::new()
            .read(true)
            .custom_flags(nofollow())
            .open(from)
            .map_err(|err| StorageError::new(Operation::Read, from, err))?;
        self.fill(to, |file| io::copy(&mut source, file).map(drop))
    }

    fn sync_file(&self, path: &Path) -> Result<(), StorageError> {
        if planted::is(Bug::NoFileFsync) {
            return Ok(());
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nofollow())
            .open(path)
            .map_err(|err| StorageError::new(Operation::Sync, path, err))?;
        let bytes = file.metadata().map_err(|err| StorageError::new(Operation::Sync, path, err))?.len();
        let _aside = (bytes > LONG).then(|| self.together.step_aside());
        rustix::fs::fsync(&file).map_err(|errno| StorageError::new(Operation::Sync, path, errno))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.sync_held(&open_dir(dir)?, dir)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        let (from_dir, to_dir) = (open_dir(parent(from))?, open_dir(parent(to))?);
        let (from_name, to_name) = (file_name(from)?, file_name(to)?);
        let before = self.stat(from)?;
        match rename_at(&from_dir, from_name, &to_dir, to_name) {
            Ok(()) => {}
            Err(errno) => {
                // A network filesystem may do it and still answer with an error: believe our eyes.
                let done = before.is_some() && self.stat(from)?.is_none() && same(before, self.stat(to)?);
                if !done {
                    return Err(StorageError::new(Operation::Rename, from, errno));
                }
            }
        }
        self.sync_held(&to_dir, parent(to))?;
        if parent(from) == parent(to) {
            return Ok(());
        }
        self.sync_held(&from_dir, parent(from))
    }

    fn remove_file(&self, path: &Path) -> Result<bool, StorageError> {
        #[expect(clippy::disallowed_methods, reason = "this is the storage others must use")]
        match fs::remove_file(path) {
            Ok(()) => self.sync_dir(parent(path)).map(|()| true),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(StorageError::new(Operation::Remove, path, err)),
        }
    }

    fn remove_empty_dir(&self, dir: &Path) -> Result<bool, StorageError> {
        match fs::remove_dir(dir) {
            Ok(()) => Ok(true),
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(false),
            Err(err) => Err(StorageError::new(Operation::Remove, dir, err)),
        }
    }

    fn remove_tree(&self, dir: &Path) -> Result<(), StorageError> {
        #[expect(clippy::disallowed_methods, reason = "this is the storage others must use")]
        match fs::remove_dir_all(dir) {
            Ok(()) => Ok(()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(err) => Err(StorageError::new(Operation::Remove, dir, err)),
        }
    }

    fn stat(&self, path: &Path) -> Result<Option<Entry>, StorageError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(entry_of(&metadata))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(StorageError::new(Operation::Stat, path, err)),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, StorageError> {
        let failed = |err: io::Error| StorageError::new(Operation::List, dir, err);
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(failed(err)),
        };
        let mut names =
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        fs::read(path).map_err(|err| StorageError::new(Operation::Read, path, err))
    }
}

/// Renames without replacing, also where the filesystem does not know how to.
fn rename_at(from_dir: &File, from: &OsStr, to_dir: &File, to: &OsStr) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        answer => return answer,
    }
    move_to_free(from_dir, from, to_dir, to)
}

/// The same for NFS and some others: a hard link fails when the name is taken, and so does renaming over a directory with
/// content.
fn move_to_free(from_dir: &File, from: &OsStr, to_dir: &File, to: &OsStr) -> rustix::io::Result<()> {
    let found = rustix::fs::statat(from_dir, from, AtFlags::SYMLINK_NOFOLLOW)?;
    if rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Directory {
        return match rustix::fs::statat(to_dir, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::renameat(from_dir, from, to_dir, to),
            Err(errno) => Err(errno),
        };
    }
    rustix::fs::linkat(from_dir, from, to_dir, to, AtFlags::empty())?;
    rustix::fs::unlinkat(from_dir, from, AtFlags::empty())
}

fn same(before: Option<Entry>, after: Option<Entry>) -> bool {
    matches!((before, after), (Some(a), Some(b)) if a.stamp.dev == b.stamp.dev && a.stamp.ino == b.stamp.ino)
}

fn nofollow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed()
}

pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn file_name(path: &Path) -> Result<&OsStr, StorageError> {
    path.file_name().ok_or_else(|| StorageError::new(Operation::Rename, path, Errno::INVAL))
}

/// Returns the dot-name a file is first written under: the same each time, so that what a crash left is overwritten.
fn beside(path: &Path) -> PathBuf {
    let hash = blake3::hash(path.as_os_str().as_bytes()).to_hex();
    parent(path).join(format!(".{}.tmp", hash.get(..16).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        Disk::new().write_file(path, text.as_bytes()).unwrap();
    }

    #[test]
    fn a_rename_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write(&a, "first");
        write(&b, "second");
        let err = Disk::new().rename_noreplace(&a, &b).unwrap_err();
        assert!(err.is_taken(), "{err}");
        assert_eq!(fs::read(&a).unwrap(), b"first");
        assert_eq!(fs::read(&b).unwrap(), b"second");
        let err = Disk::new().rename_noreplace(&dir.path().join("none"), &dir.path().join("c")).unwrap_err();
        assert!(err.is_missing(), "{err}");
    }

    #[test]
    fn directories_are_made_with_their_ancestors_and_made_twice_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        Disk::new().make_dirs(&deep).unwrap();
        Disk::new().make_dirs(&deep).unwrap();
        assert!(deep.is_dir());
        write(&dir.path().join("file"), "");
        let err = Disk::new().make_dirs(&dir.path().join("file/x")).unwrap_err();
        assert_eq!(err.operation, Operation::MakeDir);
    }

    #[test]
    fn a_written_file_leaves_nothing_beside_it_and_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("x".repeat(255));
        write(&name, "one");
        write(&name, "two");
        assert_eq!(fs::read(&name).unwrap(), b"two");
        assert_eq!(Disk::new().list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_copy_goes_to_another_filesystem_where_a_rename_does_not() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let (from, to) = (here.path().join("a"), there.path().join("b"));
        write(&from, "rows");
        let refused = Disk::new().rename_noreplace(&from, &to).unwrap_err();
        assert!(refused.is_exdev(), "{refused}: this needs /dev/shm on a filesystem of its own");
        Disk::new().copy_file(&from, &to).unwrap();
        // Said again by whoever died before he could tell.
        Disk::new().copy_file(&from, &to).unwrap();
        assert_eq!((fs::read(&to).unwrap(), fs::read(&from).unwrap()), (b"rows".to_vec(), b"rows".to_vec()));
        assert_eq!(Disk::new().list(there.path()).unwrap(), ["b"]);
        assert!(Disk::new().copy_file(&here.path().join("none"), &to).unwrap_err().is_missing());
        assert_eq!(fs::read(&to).unwrap(), b"rows");
    }

    #[test]
    fn what_is_not_there_is_not_an_error_to_remove() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert!(!Disk::new().remove_file(&none).unwrap());
        assert!(!Disk::new().remove_empty_dir(&none).unwrap());
        Disk::new().remove_tree(&none).unwrap();
        assert_eq!(Disk::new().stat(&none).unwrap(), None);
        assert!(Disk::new().list(&none).unwrap().is_empty());
        write(&dir.path().join("full"), "");
        assert!(!Disk::new().remove_empty_dir(dir.path()).unwrap(), "it is not empty");
    }

    #[test]
    fn links_are_seen_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let entry = Disk::new().stat(&link).unwrap().unwrap();
        assert_eq!(entry.kind.as_str(), "symlink");
        assert!(Disk::new().sync_file(&link).is_err());
    }

    #[test]
    fn where_a_filesystem_cannot_rename_without_replacing_nothing_is_replaced_either() {
        let dir = tempfile::tempdir().unwrap();
        let held = open_dir(dir.path()).unwrap();
        let moved = |from: &str, to: &str| move_to_free(&held, from.as_ref(), &held, to.as_ref());
        write(&dir.path().join("a"), "first");
        write(&dir.path().join("b"), "second");
        fs::create_dir(dir.path().join("dir")).unwrap();
        assert_eq!(moved("a", "b"), Err(Errno::EXIST));
        assert_eq!(moved("dir", "b"), Err(Errno::EXIST));
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"second");
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"first");
        moved("a", "c").unwrap();
        moved("dir", "other").unwrap();
        let mut names = Disk::new().list(dir.path()).unwrap();
        names.sort();
        assert_eq!(names, ["b", "c", "other"]);
    }
}
