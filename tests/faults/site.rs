//! A place to run at: a config, the folders, and a list of everything ever dropped.

use std::fmt::Write as _;
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
    /// The results, if they do not lie with the rest of the data.
    apart: Option<PathBuf>,
    /// The pipeline that is dropped for.
    pub(crate) pipeline: &'static str,
    pub(crate) on_success: OnSuccess,
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
    pub(crate) on_success: OnSuccess,
}

/// What becomes of an original once it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnSuccess {
    Archive,
    Delete,
    Keep,
}

impl OnSuccess {
    pub(crate) const ALL: [Self; 3] = [Self::Archive, Self::Delete, Self::Keep];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Delete => "delete",
            Self::Keep => "keep",
        }
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self { workers: 2, settle: "20ms", scan_interval: "1s", on_success: OnSuccess::Archive }
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
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nenable_lifecycle = true\n\n[paths]\nbase = \"{}\"\nstate = \"{}\"\n\n\
             [limits]\nworkers = {}\n\n{}",
            data.display(),
            state.display(),
            setting.workers,
            section("p", setting, "")
        );
        fs::write(root.join("forebay.toml"), config).unwrap();
        Self::of("p", root, data, state, setting)
    }

    /// Adds a pipeline to the config of this site, with folders elsewhere, to be started and judged together with it.
    pub(crate) fn beside(&self, pipeline: &'static str, data: PathBuf, setting: Setting) -> Self {
        let mut keys = String::new();
        for (key, folder) in [("input", "in"), ("output", "out"), ("archive", "archive"), ("quarantine", "quarantine")]
        {
            writeln!(keys, "{key} = \"{}\"", data.join(folder).join(pipeline).display()).unwrap();
        }
        self.configure(&format!("{}\n{}", self.config(), section(pipeline, setting, &keys)));
        Self::of(pipeline, self.root.clone(), data, self.state.clone(), setting)
    }

    fn of(pipeline: &'static str, root: PathBuf, data: PathBuf, state: PathBuf, setting: Setting) -> Self {
        let on_success = setting.on_success;
        let dropped = Mutex::default();
        let site = Self { root, data, state, apart: None, pipeline, on_success, dropped, own: None };
        fs::create_dir_all(site.inbox()).unwrap();
        site
    }

    /// Puts the output into this folder, which may be on another filesystem. Before the first start.
    pub(crate) fn with_output(mut self, output: PathBuf) -> Self {
        let section = format!("[pipelines.{}]\n", self.pipeline);
        let with = format!("{section}output = \"{}\"\n", output.display());
        self.configure(&self.config().replacen(&section, &with, 1));
        self.apart = Some(output);
        self
    }

    /// Returns the text of the config.
    pub(crate) fn config(&self) -> String {
        fs::read_to_string(self.root.join("forebay.toml")).unwrap()
    }

    /// Puts another text in its place, in one step.
    pub(crate) fn configure(&self, text: &str) {
        let aside = self.root.join("forebay.toml.new");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, self.root.join("forebay.toml")).unwrap();
    }

    pub(crate) fn inbox(&self) -> PathBuf {
        self.data.join("in").join(self.pipeline)
    }

    pub(crate) fn claimed(&self) -> PathBuf {
        self.inbox().join(".forebay/claimed")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.apart.clone().unwrap_or_else(|| self.data.join("out").join(self.pipeline))
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.data.join("archive").join(self.pipeline)
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.data.join("quarantine").join(self.pipeline)
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

/// Returns the part of a config that describes a pipeline.
fn section(pipeline: &str, setting: Setting, folders: &str) -> String {
    let Setting { settle, scan_interval, on_success, .. } = setting;
    let rest = PIPELINE.replace("[pipelines.p.", &format!("[pipelines.{pipeline}."));
    format!(
        "[pipelines.{pipeline}]\n{folders}settle = \"{settle}\"\nscan_interval = \"{scan_interval}\"\non_success = \"{}\"\n{rest}",
        on_success.word()
    )
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
