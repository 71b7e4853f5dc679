//! Who makes shared directories: one at a time on each volume, so that whoever finds one made by another thread may rely on
//! it being synced. Volumes do not wait for each other: one of them may hang.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::{Operation, StorageError};

/// The locks of all volumes, by device.
#[derive(Debug, Default)]
pub(super) struct Making(Mutex<BTreeMap<u64, Arc<Mutex<()>>>>);

impl Making {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Returns what to hold while directories are made on this device.
    pub(super) fn volume(&self, device: u64) -> Arc<Mutex<()>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(device).or_default())
    }
}

/// Returns the directories on the way to `dir` that are not there, the deepest first, and the device of the one that is.
pub(super) fn missing(dir: &Path) -> Result<(Vec<&Path>, u64), StorageError> {
    let mut missing = Vec::new();
    let mut at = dir;
    loop {
        match fs::metadata(at) {
            Ok(found) if found.is_dir() => return Ok((missing, found.dev())),
            Ok(_) => return Err(StorageError::new(Operation::MakeDir, at, Errno::NOTDIR)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => missing.push(at),
            Err(err) => return Err(StorageError::new(Operation::MakeDir, at, err)),
        }
        at = super::disk::parent(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_do_not_wait_for_each_other() {
        let making = Making::new();
        let one = making.volume(1);
        let held = one.lock().unwrap();
        assert!(making.volume(1).try_lock().is_err(), "one at a time");
        assert!(making.volume(2).try_lock().is_ok());
        drop(held);
        assert!(making.volume(1).try_lock().is_ok());
    }
}
