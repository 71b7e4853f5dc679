//! The gate before publication: what a job reported must be what lies on the disk, and it must lie there for good.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use polars::prelude::{ParquetReader, SerReader as _};

use super::{MANIFEST, Manifest, PublishError, REJECTS};
use crate::admit::fingerprint;
use crate::job::{Job, JobReport};
use crate::ledger::FileRow;
use crate::storage::{EntryKind, Opened, Operation, Storage, StorageError, open_at};

/// Step 6: own sums agree, every output has the bytes and rows it claims, and nothing else lies there.
pub(super) fn check(storage: &dyn Storage, staging: &Path, report: &JobReport) -> Result<(), PublishError> {
    let gate = |message: String| Err(PublishError::Gate { message });
    if let Some(message) = miscounted(report) {
        return gate(message);
    }
    if blake3::Hash::from_hex(&report.input.blake3).is_err() {
        return gate(format!("'{}' is no hash of the input", report.input.blake3));
    }
    let mut found = tree(storage, staging)?.files;
    found.remove(MANIFEST);
    for (name, facts) in &report.outputs {
        match found.remove(name) {
            Some(bytes) if bytes == facts.bytes => {}
            Some(bytes) => return gate(format!("{name} has {bytes} bytes instead of {}", facts.bytes)),
            None => return gate(format!("{name} is missing")),
        }
        if let Some(rows) = parquet_rows(&staging.join(name))?
            && rows != facts.rows
        {
            return gate(format!("{name} has {rows} rows instead of {}", facts.rows));
        }
    }
    if let Some(name) = found.keys().next() {
        return gate(format!("{name} is not in the report"));
    }
    sums(report).map_or(Ok(()), gate)
}

/// Returns which of a report's own sums do not agree.
pub(super) fn unaccounted(report: &JobReport) -> Option<String> {
    miscounted(report).or_else(|| sums(report))
}

/// Every row is written, rejected or dropped, and every reject has a reason.
fn miscounted(report: &JobReport) -> Option<String> {
    let rows = report.rows;
    if !rows.conserved() {
        return Some(format!(
            "{} rows read, but {} written + {} rejected + {} dropped",
            rows.read, rows.written, rows.rejected, rows.dropped
        ));
    }
    let rejects: u64 = report.rejects.values().sum();
    if rejects != rows.rejected {
        return Some(format!("{} rows rejected, but {rejects} by reason", rows.rejected));
    }
    None
}

/// The row files hold the rows written, and the reject file the rows rejected.
fn sums(report: &JobReport) -> Option<String> {
    let is_rows = |name: &str| {
        let file = Path::new(name).file_stem().and_then(|stem| stem.to_str());
        file.is_some_and(|stem| stem == "rows" || stem.starts_with("rows."))
    };
    let row_files: Vec<u64> =
        report.outputs.iter().filter(|(name, _)| is_rows(name)).map(|(_, facts)| facts.rows).collect();
    let written: u64 = row_files.iter().sum();
    if !row_files.is_empty() && written != report.rows.written {
        return Some(format!("{} rows written, but {written} in the row files", report.rows.written));
    }
    let rejected = report.outputs.get(REJECTS).map(|facts| facts.rows);
    (rejected.unwrap_or(0) != report.rows.rejected)
        .then(|| format!("{} rows rejected, but {} in {REJECTS}", report.rows.rejected, rejected.unwrap_or(0)))
}

/// Step 5: syncs every output, writes the manifest last, syncs the directories. Returns the manifest's hash.
pub(super) fn make_durable(
    storage: &dyn Storage,
    staging: &Path,
    report: &JobReport,
    manifest: &Manifest,
) -> Result<String, PublishError> {
    for name in report.outputs.keys() {
        storage.sync_file(&staging.join(name))?;
    }
    for dir in tree(storage, staging)?.dirs {
        storage.sync_dir(&dir)?;
    }
    let text = manifest.text().map_err(|err| PublishError::Gate { message: err.to_string() })?;
    // This syncs the staging directory too; its own entry comes last.
    storage.write_file(&staging.join(MANIFEST), &text)?;
    storage.sync_dir(staging.parent().unwrap_or(staging))?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// Syncs everything in a directory that somebody else may have written, and its own entry.
pub(super) fn sync(storage: &dyn Storage, dir: &Path) -> Result<(), PublishError> {
    let Tree { files, dirs } = tree(storage, dir)?;
    for name in files.keys() {
        storage.sync_file(&dir.join(name))?;
    }
    for dir in dirs.iter().map(PathBuf::as_path).chain([dir]).chain(dir.parent()) {
        storage.sync_dir(dir)?;
    }
    Ok(())
}

/// Whether a directory holds exactly what was staged for this file, byte for byte; if not, why not.
pub(super) fn verify(storage: &dyn Storage, dir: &Path, row: &FileRow) -> Result<Result<(), String>, PublishError> {
    if !has_manifest_of(storage, dir, row)? {
        return Ok(Err(format!("{} is missing or not the one staged", dir.join(MANIFEST).display())));
    }
    let manifest = match Manifest::parse(&storage.read(&dir.join(MANIFEST))?) {
        Ok(manifest) => manifest,
        Err(err) => return Ok(Err(err.to_string())),
    };
    let found = tree(storage, dir)?.files;
    for (name, facts) in &manifest.outputs {
        if found.get(name) != Some(&facts.bytes) {
            return Ok(Err(format!("{name} is missing or has another size")));
        }
        if fingerprint_of(&dir.join(name))? != facts.blake3 {
            return Ok(Err(format!("{name} has other content than the manifest says")));
        }
    }
    Ok(Ok(()))
}

/// Whether the manifest in `dir` is the one the ledger knows for this file.
pub(super) fn has_manifest_of(storage: &dyn Storage, dir: &Path, row: &FileRow) -> Result<bool, PublishError> {
    let path = dir.join(MANIFEST);
    if storage.stat(&path)?.is_none() {
        return Ok(false);
    }
    let hash = blake3::hash(&storage.read(&path)?).to_hex();
    Ok(row.manifest_hash.as_deref() == Some(hash.as_str()))
}

/// Returns the hash of a file's bytes, lower-case hex.
pub(super) fn fingerprint_of(path: &Path) -> Result<String, PublishError> {
    let failed = |err: std::io::Error| StorageError::new(Operation::Read, path, err);
    let file = match open_at(path)? {
        Opened::File(file, _) => file,
        Opened::Missing => return Err(failed(std::io::ErrorKind::NotFound.into()).into()),
        Opened::NotAFile("unreadable") => return Err(failed(std::io::ErrorKind::PermissionDenied.into()).into()),
        Opened::NotAFile(kind) => return Err(failed(std::io::Error::other(format!("it is a {kind}"))).into()),
    };
    Ok(fingerprint(file).map_err(failed)?.to_hex().to_string())
}

/// Returns the hash of a job's input, which must still be the file that was claimed. Fails once `stop` says so.
pub(super) fn fingerprint_of_input(job: &Job, stop: &dyn Fn() -> bool) -> Result<String, PublishError> {
    let name = || job.name.clone();
    let file = match open_at(&job.input)? {
        Opened::File(file, stamp) if stamp == job.stamp => file,
        Opened::File(..) | Opened::NotAFile(_) => return Err(PublishError::Changed { name: name() }),
        Opened::Missing => return Err(PublishError::Vanished { name: name() }),
    };
    let hash = fingerprint(Stoppable { file, stop });
    Ok(hash.map_err(|err| StorageError::new(Operation::Read, &job.input, err))?.to_hex().to_string())
}

/// A file that ends with an error once it is to be read no further.
struct Stoppable<'s> {
    file: File,
    stop: &'s dyn Fn() -> bool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if (self.stop)() {
            return Err(std::io::Error::other("asked to stop"));
        }
        self.file.read(buffer)
    }
}

/// Returns the rows a Parquet file says it has; `None` for other files.
fn parquet_rows(path: &Path) -> Result<Option<u64>, PublishError> {
    if path.extension().is_none_or(|extension| extension != "parquet") {
        return Ok(None);
    }
    let file = File::open(path).map_err(|err| StorageError::new(Operation::Read, path, err))?;
    match ParquetReader::new(file).num_rows() {
        Ok(rows) => Ok(Some(rows as u64)),
        Err(err) => {
            let message = format!("{} is no Parquet file: {err}", path.display());
            Err(PublishError::Gate { message })
        }
    }
}

/// Whether a Parquet file was written to its end and holds anything.
pub(super) fn has_rows(path: &Path) -> bool {
    matches!(parquet_rows(path), Ok(Some(1..)))
}

/// What lies below a directory.
pub(super) struct Tree {
    /// Files by their path below it, with their sizes.
    pub(super) files: BTreeMap<String, u64>,
    /// Directories below it, deepest first.
    dirs: Vec<PathBuf>,
}

pub(super) fn tree(storage: &dyn Storage, root: &Path) -> Result<Tree, PublishError> {
    let mut tree = Tree { files: BTreeMap::new(), dirs: Vec::new() };
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for name in storage.list(&dir)? {
            let path = dir.join(name);
            let below = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned);
            let odd = || PublishError::Gate { message: format!("{} does not belong there", path.display()) };
            match (storage.stat(&path)?.map(|entry| (entry.kind, entry.stamp.size)), below) {
                (Some((EntryKind::File, bytes)), Some(below)) => {
                    tree.files.insert(below, bytes);
                }
                (Some((EntryKind::Directory, _)), Some(_)) => {
                    tree.dirs.push(path.clone());
                    open.push(path);
                }
                _ => return Err(odd()),
            }
        }
    }
    tree.dirs.reverse();
    Ok(tree)
}
