//! Every name on the durable path, derived from the id.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::clock::utc_day;
use crate::config::{OnSuccess, Pipeline};
use crate::job::{FileId, SUFFIX_MAX, Timestamp, kept_name, places};
use crate::ledger::{Disposal, FileRow};

/// The manifest in a published directory.
pub const MANIFEST: &str = "_manifest.json";
/// The rejected records in a published directory.
pub const REJECTS: &str = "rejects.parquet";
/// What the explanation beside a quarantined file is called: its name and this.
pub const ERROR_SUFFIX: &str = ".error.json";
/// What the rejected records beside a quarantined file are called: its name and this.
pub const REJECTS_SUFFIX: &str = ".rejects.parquet";

/// How the folders of days begin in an output.
pub(super) const DAY: &str = "ingest_date=";

const _: () = assert!(REJECTS_SUFFIX.len() <= SUFFIX_MAX && ERROR_SUFFIX.len() <= SUFFIX_MAX);

/// Returns the staging directory of one attempt. The number goes up with every attempt, so no name is used twice.
pub(super) fn staging(output: &Path, id: &FileId, attempt: u32) -> PathBuf {
    places::staging(output).join(format!("{id}-{attempt}"))
}

/// Returns whose staging directory this is.
pub(super) fn staging_owner(name: &OsStr) -> Option<(FileId, u32)> {
    let (id, attempt) = name.to_str()?.rsplit_once('-')?;
    Some((FileId::parse(id)?, attempt.parse().ok()?))
}

/// Returns the file that asks for a replay of this one: its content is to be published anew.
pub(super) fn replay_marker(pipeline: &Pipeline, id: &FileId) -> PathBuf {
    places::replays(&pipeline.input).join(id.as_str())
}

/// Returns the directory a file is published as.
pub(super) fn published(output: &Path, id: &FileId, arrived_at: Timestamp) -> PathBuf {
    output.join(format!("{DAY}{}", utc_day(arrived_at))).join(id.as_str())
}

/// Returns the output a published directory belongs to: the reverse of [`published`].
pub(super) fn output_of(published: &Path) -> Option<&Path> {
    published.parent()?.parent()
}

/// Returns the directory a published one would be in this output.
pub(super) fn in_output(output: &Path, published: &Path) -> Option<PathBuf> {
    Some(output.join(published.parent()?.file_name()?).join(published.file_name()?))
}

/// Returns what happens to an original after success, and where it goes.
pub(super) fn after_success(pipeline: &Pipeline, row: &FileRow) -> (Disposal, Option<PathBuf>) {
    if !row.in_place && pipeline.on_success == OnSuccess::Delete {
        return (Disposal::Delete, None);
    }
    after_archiving(pipeline, row)
}

/// Returns what happens to an original of which nothing is published: it is never deleted.
pub(super) fn after_archiving(pipeline: &Pipeline, row: &FileRow) -> (Disposal, Option<PathBuf>) {
    if row.in_place {
        return (Disposal::Keep, None);
    }
    (Disposal::Move, Some(archived(pipeline, row)))
}

/// Returns where an archived original goes.
pub(super) fn archived(pipeline: &Pipeline, row: &FileRow) -> PathBuf {
    pipeline.archive.join(utc_day(row.arrived_at)).join(kept_name(&row.id, &row.name))
}

/// Returns where a refused original goes.
pub(super) fn quarantined(pipeline: &Pipeline, row: &FileRow) -> PathBuf {
    pipeline.quarantine.join(kept_name(&row.id, &row.name))
}

/// Returns the path of something that lies beside a quarantined file, see [`ERROR_SUFFIX`] and [`REJECTS_SUFFIX`].
#[must_use]
pub fn beside(original: &Path, suffix: &str) -> PathBuf {
    let mut name = original.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> FileId {
        FileId::parse("01kah5zq8v3w01kah5zq8v3w01").unwrap()
    }

    #[test]
    fn staging_names_read_back() {
        let dir = staging(Path::new("/out"), &id(), 3);
        assert_eq!(staging_owner(dir.file_name().unwrap()), Some((id(), 3)));
        assert_eq!(staging_owner(OsStr::new("something else")), None);
        let dir = published(Path::new("/out"), &id(), Timestamp(1_795_168_800_000_000_000));
        assert_eq!(dir, Path::new("/out/ingest_date=2026-11-20").join(id().as_str()));
        assert_eq!(output_of(&dir), Some(Path::new("/out")));
        assert_eq!(in_output(Path::new("/out"), &dir).as_ref(), Some(&dir));
    }
}
