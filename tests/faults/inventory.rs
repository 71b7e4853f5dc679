//! What lies where: everything a site's folders hold, by the bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ledger;
use crate::site::{Site, walk};

/// A file that was dropped, wherever it lies now.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// The id in front of its name; empty in the inbox.
    pub(crate) id: String,
    /// The name it was dropped under.
    pub(crate) name: String,
    /// BLAKE3 of its bytes.
    pub(crate) hash: String,
}

/// A directory with a manifest that readers see.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) path: PathBuf,
    /// The name of the directory.
    pub(crate) id: String,
    pub(crate) manifest: Value,
    pub(crate) manifest_hash: String,
}

impl Published {
    /// Returns the hash of the input it was made of.
    pub(crate) fn input(&self) -> &str {
        self.manifest["input"]["blake3"].as_str().unwrap_or_default()
    }
}

/// Everything that lies at a site.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) inbox: Vec<Found>,
    pub(crate) claimed: Vec<Found>,
    pub(crate) archive: Vec<Found>,
    pub(crate) quarantine: Vec<Found>,
    pub(crate) published: Vec<Published>,
    /// Hashes of the inputs whose result is out of sight, to be replaced by that of a replay.
    pub(crate) retired: Vec<String>,
    /// What should not be there once everything is done: staged, half written, of no known kind.
    pub(crate) litter: Vec<PathBuf>,
}

impl Inventory {
    /// Looks at everything.
    pub(crate) fn of(site: &Site) -> Self {
        let mut inventory = Self::default();
        inventory.look_into_inbox(site);
        inventory.look_into_output(&site.output());
        for path in files(&site.archive()) {
            match kept(&path) {
                Some(found) => inventory.archive.push(found),
                None => inventory.litter.push(path),
            }
        }
        for path in files(&site.quarantine()) {
            let name = path.to_string_lossy();
            match kept(&path) {
                _ if name.ends_with(".error.json") || name.ends_with(".rejects.parquet") => {}
                Some(found) => inventory.quarantine.push(found),
                None => inventory.litter.push(path),
            }
        }
        inventory
    }

    fn look_into_inbox(&mut self, site: &Site) {
        let (inbox, claimed) = (site.inbox(), site.claimed());
        for path in files(&inbox) {
            if path.starts_with(&claimed) {
                match kept(&path) {
                    Some(found) => self.claimed.push(found),
                    None => self.litter.push(path),
                }
            } else if path.parent() == Some(&inbox) && !name(&path).starts_with('.') {
                self.inbox.push(Found { hash: hash(&path), id: String::new(), name: name(&path), path });
            } else if name(&path) != Site::ASIDE {
                self.litter.push(path);
            }
        }
        self.litter.extend(walk(&claimed).into_iter().filter(|path| path.is_dir()));
    }

    fn look_into_output(&mut self, output: &Path) {
        for path in files(&output.join(".forebay/retired")) {
            if name(&path) == "_manifest.json" {
                let manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_default();
                self.retired.extend(manifest["input"]["blake3"].as_str().map(str::to_owned));
            }
            self.litter.push(path);
        }
        let hidden = |path: &Path| path.strip_prefix(output).unwrap().to_string_lossy().starts_with('.');
        let staging = output.join(".forebay/staging");
        self.litter.extend(walk(&staging));
        for path in files(output).into_iter().filter(|path| !hidden(path)) {
            let directory = path.parent().unwrap().to_owned();
            if name(&path) == "_manifest.json" {
                let bytes = fs::read(&path).unwrap();
                self.published.push(Published {
                    id: name(&directory),
                    // One that cannot be read shows in every check.
                    manifest: serde_json::from_slice(&bytes).unwrap_or_default(),
                    manifest_hash: blake3::hash(&bytes).to_hex().to_string(),
                    path: directory,
                });
            } else if !directory.join("_manifest.json").exists() {
                self.litter.push(path);
            }
        }
    }

    /// Returns all places an original may lie in.
    pub(crate) fn originals(&self) -> impl Iterator<Item = &Found> {
        self.inbox.iter().chain(&self.claimed).chain(&self.archive).chain(&self.quarantine)
    }
}

/// Returns everything a second recovery could change: every path with the hash of its bytes, and the ledger.
pub(crate) fn snapshot(site: &Site) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        ledger::dump(&site.state).into_iter().enumerate().map(|(at, line)| (format!("ledger {at}"), line)).collect();
    let folders = [site.inbox(), site.output(), site.archive(), site.quarantine()];
    for path in folders.iter().flat_map(|folder| walk(folder)) {
        let content = if path.is_dir() { "a folder".to_owned() } else { hash(&path) };
        all.insert(path.display().to_string(), content);
    }
    all
}

/// Returns what differs between two snapshots.
pub(crate) fn difference(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let gone =
        before.iter().filter(|(key, value)| after.get(*key) != Some(*value)).map(|one| format!("before: {one:?}"));
    let new = after.iter().filter(|(key, value)| before.get(*key) != Some(*value)).map(|one| format!("after: {one:?}"));
    gone.chain(new).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    walk(folder).into_iter().filter(|path| !path.is_dir()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Returns the BLAKE3 of a file's bytes, lower-case hex.
pub(crate) fn hash(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    blake3::hash(&bytes).to_hex().to_string()
}

/// Reads `<id>-<name>`.
fn kept(path: &Path) -> Option<Found> {
    let whole = name(path);
    let (id, rest) = whole.split_once('-').filter(|(id, _)| !id.starts_with('.'))?;
    Some(Found { hash: hash(path), id: id.to_owned(), name: rest.to_owned(), path: path.to_owned() })
}
