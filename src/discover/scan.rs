//! Reads an inbox: one pass over its names, one `lstat` per candidate. No recursion, no symlink followed, nothing opened.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::names::{Kind, Names};
use super::sighting::{Name, Sighting};
use crate::job::{FileStamp, Timestamp};

/// Which directory an inbox path led to: after a remount or a swap it is another one, and its watch is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderId {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

/// Everything a scan found.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The directory that was read.
    pub folder: FolderId,
    /// Every candidate, in directory order.
    pub seen: Vec<(Name, Sighting)>,
}

/// Why an inbox could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Nothing there.
    #[error("the inbox {} is missing: create it again, or mount what belongs there", path.display())]
    Missing {
        /// The inbox.
        path: PathBuf,
    },
    /// Any other failure.
    #[error("the inbox {} cannot be read: {errno}", path.display())]
    Io {
        /// The inbox.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
}

impl ScanError {
    fn new(path: &Path, errno: Errno) -> Self {
        let path = path.to_owned();
        if errno == Errno::NOENT { Self::Missing { path } } else { Self::Io { path, errno } }
    }
}

/// Lists every candidate in `inbox` with its stamp.
pub fn scan(inbox: &Path, names: &Names) -> Result<Listing, ScanError> {
    let fail = |errno| ScanError::new(inbox, errno);
    let folder = open(inbox).map_err(fail)?;
    let (candidates, markers, all_marked) = read_names(&folder, names).map_err(fail)?;
    let mut seen = Vec::with_capacity(candidates.len());
    for name in candidates {
        let marked = !names.needs_marker() || all_marked || markers.contains(&*name);
        match stat(&folder, &name, marked) {
            // It left between the listing and the look: as if it had never been listed.
            Sighting::Gone => {}
            sighting @ (Sighting::File { .. } | Sighting::NotAFile(_)) => seen.push((name, sighting)),
        }
    }
    Ok(Listing { folder: folder_id(&folder).map_err(fail)?, seen })
}

/// Looks at single names in `inbox`.
pub fn look(inbox: &Path, names: &Names, wanted: Vec<Name>) -> Result<Vec<(Name, Sighting)>, ScanError> {
    let folder = open(inbox).map_err(|errno| ScanError::new(inbox, errno))?;
    let see = |name: Name| {
        // Since it was asked for, a reload may have said otherwise.
        if names.kind(&name) != Kind::Candidate {
            return (name, Sighting::Gone);
        }
        let marked = names
            .marker_for(&name)
            .is_none_or(|marker| rustix::fs::statat(&folder, marker.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok());
        let sighting = stat(&folder, &name, marked);
        (name, sighting)
    };
    Ok(wanted.into_iter().map(see).collect())
}

/// Returns which directory `inbox` leads to now.
pub fn identify(inbox: &Path) -> Result<FolderId, ScanError> {
    open(inbox).and_then(|folder| folder_id(&folder)).map_err(|errno| ScanError::new(inbox, errno))
}

fn open(inbox: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(inbox, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn folder_id(folder: &OwnedFd) -> Result<FolderId, Errno> {
    let stat = rustix::fs::fstat(folder)?;
    Ok(FolderId { dev: stat.st_dev, ino: stat.st_ino })
}

/// Returns the candidates, the candidates whose marker was seen, and whether the marker of all was seen.
fn read_names(folder: &OwnedFd, names: &Names) -> Result<(Vec<Name>, HashSet<OsString>, bool), Errno> {
    let mut candidates: Vec<Name> = Vec::new();
    let mut markers = HashSet::new();
    let mut all_marked = false;
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        match names.kind(name) {
            Kind::Candidate => candidates.push(name.into()),
            Kind::MarkerOf(inner) => drop(markers.insert(inner)),
            Kind::MarkerOfAll => all_marked = true,
            Kind::Ignored => {}
        }
    }
    Ok((candidates, markers, all_marked))
}

fn stat(folder: &OwnedFd, name: &OsStr, marked: bool) -> Sighting {
    let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Sighting::Gone,
        Err(_) => return Sighting::NotAFile("unreadable"),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Sighting::File { stamp: stamp(&stat), changed: changed(&stat), marked },
        FileType::Symlink => Sighting::NotAFile("symlink"),
        FileType::Directory => Sighting::NotAFile("directory"),
        FileType::Fifo => Sighting::NotAFile("fifo"),
        FileType::Socket => Sighting::NotAFile("socket"),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Sighting::NotAFile("device"),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "nanoseconds are below 1e9, of whatever type the platform makes them")]
#[expect(clippy::unnecessary_cast, reason = "the type differs between platforms")]
fn stamp(stat: &rustix::fs::Stat) -> FileStamp {
    FileStamp {
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: (stat.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "nanoseconds are below 1e9, of whatever type the platform makes them")]
#[expect(clippy::unnecessary_cast, reason = "the type differs between platforms")]
fn changed(stat: &rustix::fs::Stat) -> Timestamp {
    Timestamp((stat.st_ctime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_ctime_nsec as i64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt as _;

    use super::super::names::tests::names;
    use super::*;

    fn put(dir: &Path, name: &str, text: &str) {
        std::fs::File::create(dir.join(name))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .unwrap();
    }

    fn listed(dir: &Path, names: &Names) -> BTreeMap<OsString, Sighting> {
        scan(dir, names).unwrap().seen.into_iter().map(|(name, sighting)| ((*name).to_owned(), sighting)).collect()
    }

    #[test]
    fn every_kind_of_thing_is_told_apart_and_none_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        put(dir.path(), "file.csv", "a,b\n1,2\n");
        put(dir.path(), ".hidden.csv", "");
        put(dir.path(), "half.csv.tmp", "");
        put(dir.path(), "notes.txt", "");
        std::fs::create_dir(at("dir.csv")).unwrap();
        put(&at("dir.csv"), "inner.csv", "");
        std::os::unix::fs::symlink("file.csv", at("link.csv")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling.csv")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe.csv"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.csv")).unwrap();
        let seen = listed(dir.path(), &names(&["*.csv"], None));
        let meta = std::fs::metadata(at("file.csv")).unwrap();
        let stamp = FileStamp {
            dev: meta.dev(),
            ino: meta.ino(),
            size: 8,
            mtime_ns: meta.mtime() * 1_000_000_000 + meta.mtime_nsec(),
        };
        let changed = Timestamp(meta.ctime() * 1_000_000_000 + meta.ctime_nsec());
        let expected = [
            ("file.csv", Sighting::File { stamp, changed, marked: true }),
            ("dir.csv", Sighting::NotAFile("directory")),
            ("link.csv", Sighting::NotAFile("symlink")),
            ("dangling.csv", Sighting::NotAFile("symlink")),
            ("pipe.csv", Sighting::NotAFile("fifo")),
            ("socket.csv", Sighting::NotAFile("socket")),
        ];
        assert_eq!(seen, expected.into_iter().map(|(name, sighting)| (name.into(), sighting)).collect());
    }

    #[test]
    fn hostile_names_come_through_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let hostile = OsStr::from_bytes(b"\xff\n\x1b[31m.csv");
        std::fs::File::create(dir.path().join(hostile)).unwrap();
        assert!(listed(dir.path(), &names(&["*.csv"], None)).contains_key(hostile));
    }

    #[test]
    fn a_file_is_marked_once_its_marker_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let names = names(&["*.csv"], Some("{name}.done"));
        put(dir.path(), "a.csv", "");
        put(dir.path(), "b.csv", "");
        put(dir.path(), "b.csv.done", "");
        let marked = |sighting: &Sighting| matches!(sighting, Sighting::File { marked: true, .. });
        let seen = listed(dir.path(), &names);
        assert_eq!(seen.len(), 2);
        assert!(!marked(&seen[OsStr::new("a.csv")]));
        assert!(marked(&seen[OsStr::new("b.csv")]));
        let wanted = ["a.csv", "b.csv", "c.csv"].map(|name| Name::from(OsStr::new(name))).to_vec();
        let looked = look(dir.path(), &names, wanted).unwrap();
        assert!(!marked(&looked[0].1));
        assert!(marked(&looked[1].1));
        assert_eq!(looked[2].1, Sighting::Gone);
    }

    #[test]
    fn a_missing_inbox_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = scan(&dir.path().join("gone"), &names(&["*"], None)).unwrap_err();
        assert!(matches!(error, ScanError::Missing { .. }));
        assert!(error.to_string().contains("create it again"), "{error}");
    }

    #[test]
    fn a_swapped_inbox_has_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        assert_eq!(identify(&one).unwrap(), scan(&one, &names(&["*"], None)).unwrap().folder);
        assert_ne!(identify(&one).unwrap(), identify(&two).unwrap());
    }
}
