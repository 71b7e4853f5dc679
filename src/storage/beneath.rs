//! Folders of ours that lie where others may write. An inbox belongs to whoever drops files there, who could put a link in the
//! place of our work folder and have us move foreign files, or move ours elsewhere: so no link is followed in there.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Operation, StorageError};
use crate::job::places::{IN_INBOXES, OURS};

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Refuses a work folder of an inbox if a link leads to it. One that is not there yet is fine.
pub fn refuse_links(dir: &Path) -> Result<(), StorageError> {
    match open_dir(dir) {
        Err(err) if !err.is_missing() => Err(err),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens a directory; on the way through our own folder in an inbox it follows no link.
pub(super) fn open_dir(dir: &Path) -> Result<File, StorageError> {
    let failed = |errno: Errno| StorageError::new(Operation::Read, dir, errno);
    let Some((inbox, rest)) = in_inbox(dir) else {
        return rustix::fs::open(dir, FLAGS, Mode::empty()).map(File::from).map_err(failed);
    };
    let mut held = File::from(rustix::fs::open(or_here(inbox), FLAGS, Mode::empty()).map_err(failed)?);
    let mut at = inbox.to_owned();
    for name in rest {
        at.push(name);
        held = open_own(&held, name).map_err(|cause| StorageError::new(Operation::Read, &at, cause))?;
    }
    Ok(held)
}

/// Opens our folder in `dir`, whatever `dir` leads to, if it is a folder and no link.
pub(super) fn open_ours(dir: &Path) -> Result<File, StorageError> {
    let held = rustix::fs::open(dir, FLAGS, Mode::empty());
    let held = held.map_err(|errno| StorageError::new(Operation::Read, dir, errno))?;
    open_own(&File::from(held), OsStr::new(OURS))
        .map_err(|cause| StorageError::new(Operation::Read, &dir.join(OURS), cause))
}

fn open_own(dir: &File, name: &OsStr) -> io::Result<File> {
    match rustix::fs::openat(dir, name, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(opened) => Ok(opened.into()),
        Err(Errno::LOOP | Errno::NOTDIR) if is_link(dir, name) => {
            Err(io::Error::other("it is a symbolic link, and forebay follows none to its own folders: remove it"))
        }
        Err(errno) => Err(errno.into()),
    }
}

fn is_link(dir: &File, name: &OsStr) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// Returns the inbox, and the way from there to a work folder of ours.
fn in_inbox(dir: &Path) -> Option<(&Path, impl Iterator<Item = &OsStr>)> {
    let inbox = dir.ancestors().find(|at| at.file_name().is_some_and(|name| name == OURS))?.parent()?;
    let rest = dir.strip_prefix(inbox).ok()?;
    let kind = rest.iter().nth(1)?;
    IN_INBOXES.iter().any(|name| kind == *name).then(|| (inbox, rest.iter()))
}

fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::storage::{Disk, Storage as _};

    #[test]
    fn no_link_is_followed_to_a_work_folder_of_an_inbox() {
        let dir = tempfile::tempdir().unwrap();
        let (inbox, victim) = (dir.path().join("in"), dir.path().join("victim"));
        for made in [&victim.join("claimed"), &inbox.join(OURS)] {
            Disk::new().make_dirs(made).unwrap();
        }
        Disk::new().write_file(&victim.join("x"), b"foreign").unwrap();
        Disk::new().write_file(&victim.join("claimed/x"), b"foreign").unwrap();
        let claimed = inbox.join(OURS).join("claimed");
        refuse_links(&claimed).expect("what is not there yet is fine");
        symlink(&victim, &claimed).unwrap();
        assert!(refuse_links(&claimed).unwrap_err().to_string().contains("symbolic link"));
        let moved = Disk::new().rename_noreplace(&claimed.join("x"), &inbox.join("x"));
        assert!(moved.is_err() && !inbox.join("x").is_file(), "{moved:?}");
        rustix::fs::unlink(&claimed).unwrap();
        Disk::new().remove_empty_dir(&inbox.join(OURS)).unwrap();
        symlink(&victim, inbox.join(OURS)).unwrap();
        let refused = refuse_links(&claimed).unwrap_err().to_string();
        assert!(refused.contains("in/.forebay: it is a symbolic link"), "{refused}");
        Disk::new().write_file(&inbox.join("y"), b"ours").unwrap();
        let moved = Disk::new().rename_noreplace(&inbox.join("y"), &claimed.join("y"));
        assert!(moved.is_err() && inbox.join("y").is_file(), "{moved:?}");
        assert!(open_ours(&inbox).is_err());
    }

    #[test]
    fn an_inbox_itself_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        Disk::new().make_dirs(&real.join(OURS).join("claimed")).unwrap();
        symlink(&real, &link).unwrap();
        refuse_links(&link.join(OURS).join("claimed")).unwrap();
        assert!(open_ours(&link).is_ok());
    }
}
