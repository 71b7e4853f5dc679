//! A folder with a config, inboxes and outputs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Cli, Daemon};

/// A fresh folder with a `forebay.toml`; gone at the end of the test.
#[derive(Debug)]
pub(crate) struct Project {
    folder: TempDir,
}

/// One published directory.
#[derive(Debug)]
pub(crate) struct Published {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its manifest.
    pub(crate) manifest: Value,
}

impl Published {
    /// Returns `read`, `written`, `rejected`, `dropped`.
    #[track_caller]
    pub(crate) fn rows(&self) -> [u64; 4] {
        ["read", "written", "rejected", "dropped"].map(|name| self.manifest["rows"][name].as_u64().unwrap())
    }

    /// Returns the name the input had in the inbox, as the manifest shows it.
    #[track_caller]
    pub(crate) fn input_name(&self) -> &str {
        self.manifest["input"]["name"].as_str().unwrap()
    }
}

impl Project {
    /// Makes a project whose config is `pipelines` behind a `[server]` on a free port and a short `[paths]`.
    pub(crate) fn new(pipelines: &str) -> Self {
        Self::with_config(&format!("[server]\nlisten = \"127.0.0.1:0\"\n\n[paths]\nbase = \"data\"\n\n{pipelines}"))
    }

    /// Makes a project with exactly this config.
    pub(crate) fn with_config(config: &str) -> Self {
        let project = Self { folder: tempfile::Builder::new().prefix("forebay-it-").tempdir().unwrap() };
        project.configure(config);
        project
    }

    /// Replaces the config.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.path("forebay.toml"), config).unwrap();
    }

    /// Returns a path in the project.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Returns a pipeline's inbox, which exists afterwards.
    pub(crate) fn inbox(&self, pipeline: &str) -> PathBuf {
        let inbox = self.path("data/in").join(pipeline);
        fs::create_dir_all(&inbox).unwrap();
        inbox
    }

    /// Puts a file into an inbox the way a careful producer does: it appears whole. Returns its path.
    pub(crate) fn drop_file(&self, pipeline: &str, name: impl AsRef<OsStr>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let inbox = self.inbox(pipeline);
        let aside = inbox.join(".arriving.tmp");
        fs::write(&aside, bytes).unwrap();
        let path = inbox.join(name.as_ref());
        fs::rename(&aside, &path).unwrap();
        path
    }

    /// Returns the program in this project's folder.
    pub(crate) fn cli(&self) -> Cli {
        Cli::at(self.folder.path())
    }

    /// Starts the daemon and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self)
    }

    /// Returns what a pipeline has published, oldest first.
    pub(crate) fn published(&self, pipeline: &str) -> Vec<Published> {
        published_under(&self.path("data/out").join(pipeline))
    }

    /// Returns the paths of all files in a pipeline's archive.
    pub(crate) fn archived(&self, pipeline: &str) -> Vec<PathBuf> {
        files_under(&self.path("data/archive").join(pipeline))
    }

    /// Returns the `.error.json` documents in a pipeline's quarantine.
    pub(crate) fn quarantined(&self, pipeline: &str) -> Vec<Value> {
        files_under(&self.path("data/quarantine").join(pipeline))
            .iter()
            .filter(|path| path.to_string_lossy().ends_with(".error.json"))
            .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
            .collect()
    }

    /// Returns the names left in an inbox, forebay's own folder apart.
    pub(crate) fn left_in_inbox(&self, pipeline: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.inbox(pipeline))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".forebay")
            .collect();
        names.sort_unstable();
        names
    }
}

/// Returns what is published below an output folder (`<folder>/ingest_date=…/<id>`), oldest first.
pub(crate) fn published_under(folder: &Path) -> Vec<Published> {
    let mut found: Vec<Published> = files_under(folder)
        .into_iter()
        .filter(|path| path.file_name() == Some(OsStr::new("_manifest.json")))
        .filter(|path| !path.components().any(|part| part.as_os_str() == ".forebay"))
        .map(|path| Published {
            manifest: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
            path: path.parent().unwrap().to_owned(),
        })
        .collect();
    found.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
    found
}

/// Returns every file below a folder, sorted; none if the folder is not there.
pub(crate) fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder may vanish while the daemon works.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    files.sort_unstable();
    files
}
