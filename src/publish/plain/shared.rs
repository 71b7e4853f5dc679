//! The folder that one-shot runs share to stage in. Whoever works in it holds a lock on it, which the system takes from him when
//! he dies; who finds it free removes what is left in it.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::job::places;
use crate::publish::names;
use crate::storage::{Operation, Storage, StorageError, entry_of};

/// Joins those who work in `folder`, until the answer is dropped. If there are none it is swept first. `None`: it is not there.
pub(super) fn join(storage: &dyn Storage, folder: &Path) -> Result<Option<File>, StorageError> {
    let Some(dir) = open(folder)? else { return Ok(None) };
    sweep(storage, folder, &dir)?;
    // Where the filesystem knows no locks nothing is swept either.
    flock(&dir, FlockOperation::LockShared).ok();
    Ok(Some(dir))
}

/// Removes what runs left in an output that were killed.
pub(in crate::publish) fn sweep_abandoned(storage: &dyn Storage, output: &Path) -> Result<(), StorageError> {
    let folder = places::once(output);
    let Some(dir) = open(&folder)? else { return Ok(()) };
    sweep(storage, &folder, &dir)?;
    storage.remove_empty_dir(&folder).map(drop)
}

/// Whether this is `folder` still. Others remove it when it is empty, and make it anew.
pub(super) fn is(dir: &File, storage: &dyn Storage, folder: &Path) -> Result<bool, StorageError> {
    let held = entry_of(&dir.metadata().map_err(|err| StorageError::new(Operation::Stat, folder, err))?);
    Ok(storage
        .stat(folder)?
        .is_some_and(|there| (there.stamp.dev, there.stamp.ino) == (held.stamp.dev, held.stamp.ino)))
}

fn sweep(storage: &dyn Storage, folder: &Path, dir: &File) -> Result<(), StorageError> {
    if flock(dir, FlockOperation::NonBlockingLockExclusive).is_err() || !is(dir, storage, folder)? {
        return Ok(());
    }
    let names = storage.list(folder)?;
    let mut staged = names.iter().filter(|name| names::staging_owner(name).is_some());
    staged.try_for_each(|name| storage.remove_tree(&folder.join(name)))
}

fn open(folder: &Path) -> Result<Option<File>, StorageError> {
    match File::open(folder) {
        Ok(dir) => Ok(Some(dir)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(StorageError::new(Operation::Read, folder, err)),
    }
}
