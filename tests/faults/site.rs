//! A place to run at: a config, the folders, and a list of everything ever dropped.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use rustix::fs::RenameFlags;
use tempfile::TempDir;

use crate::feed::{Input, PIPELINE};

/// Folders with a `forebay.toml`, and what was dropped there.
#[derive(Debug)]
pub(crate) struct Site {
    /// The config and the logs: never on a disk that is made to fail.
    pub(crate) root: PathBuf,
    /// Input, output, archive and quarantine.
    pub(crate) data: PathBuf,
    /// The ledger.
    pub(crate) state: PathBuf,
    dropped: Mutex<Vec<Input>>,
    /// Removed with the site, if it is the site's own.
    own: Option<TempDir>,
}

/// What may differ between suites.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) workers: usize,
    pub(crate) settle: &'static str,
    pub(crate) scan_interval: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self { workers: 2, settle: "20ms", scan_interval: "1s" }
    }
}

impl Site {
    /// Makes a site of its own; gone when it is dropped.
    pub(crate) fn new(setting: Setting) -> Self {
        let own = tempfile::Builder::new().prefix("forebay-faults-").tempdir().unwrap();
        let root = own.path().to_owned();
        let (data, state) = (root.join("data"), root.join("data/state"));
        let mut site = Self::at(root, data, state, setting);
        site.own = Some(own);
        site
    }

    /// Makes a site on given folders.
    pub(crate) fn at(root: PathBuf, data: PathBuf, state: PathBuf, setting: Setting) -> Self {
        let Setting { workers, settle, scan_interval } = setting;
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\n[paths]\nbase = \"{}\"\nstate = \"{}\"\n\n[limits]\nworkers = {workers}\n\n\
             [pipelines.p]\nsettle = \"{settle}\"\nscan_interval = \"{scan_interval}\"\n{PIPELINE}",
            data.display(),
            state.display()
        );
        fs::write(root.join("forebay.toml"), config).unwrap();
        let site = Self { root, data, state, dropped: Mutex::default(), own: None };
        fs::create_dir_all(site.inbox()).unwrap();
        site
    }

    pub(crate) fn inbox(&self) -> PathBuf {
        self.data.join("in/p")
    }

    pub(crate) fn claimed(&self) -> PathBuf {
        self.inbox().join(".forebay/claimed")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.data.join("out/p")
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.data.join("archive/p")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.data.join("quarantine/p")
    }

    /// The name under which the producer writes before a file appears; a power cut may leave it.
    pub(crate) const ASIDE: &'static str = ".arriving.tmp";

    /// Drops a file the way a careful producer does: it appears whole, is on the disk, and replaces nothing. Returns false
    /// if its name is taken in the inbox. While somebody holds the list of drops, none is under way.
    pub(crate) fn drop_file(&self, input: Input) -> bool {
        let inbox = self.inbox();
        let aside = inbox.join(Self::ASIDE);
        let mut dropped = self.dropped();
        fs::write(&aside, &input.content.bytes).unwrap();
        fs::File::open(&aside).unwrap().sync_all().unwrap();
        let folder = fs::File::open(&inbox).unwrap();
        let moved = rustix::fs::renameat_with(
            folder.as_fd(),
            Self::ASIDE,
            folder.as_fd(),
            input.name.as_str(),
            RenameFlags::NOREPLACE,
        );
        if moved.is_err() {
            fs::remove_file(&aside).unwrap();
            return false;
        }
        folder.sync_all().unwrap();
        dropped.push(input);
        true
    }

    /// Adds a file to the list that somebody else has dropped.
    pub(crate) fn note_drop(&self, input: Input) {
        self.dropped().push(input);
    }

    /// Returns everything dropped so far, and keeps the producer from dropping more while it is held.
    pub(crate) fn dropped(&self) -> MutexGuard<'_, Vec<Input>> {
        self.dropped.lock().unwrap()
    }
}

/// Returns every path below a folder, folders before what is in them; none if it is not there.
pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    found
}
