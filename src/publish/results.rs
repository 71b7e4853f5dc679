//! Whether there is anything that a ledger would have to know of.

use std::path::PathBuf;

use super::{MANIFEST, names};
use crate::config::Pipeline;
use crate::job::{FileId, places};
use crate::storage::{EntryKind, Storage, StorageError};

/// Returns a result in the output of this pipeline, if a daemon has worked there. What `forebay once` published is known to
/// no ledger.
pub fn any_result(storage: &dyn Storage, pipeline: &Pipeline) -> Result<Option<PathBuf>, StorageError> {
    if storage.stat(&places::staging(&pipeline.output))?.is_none() {
        return Ok(None);
    }
    for day in storage.list(&pipeline.output)? {
        let folder = pipeline.output.join(&day);
        let is_day = day.to_str().is_some_and(|day| day.starts_with(names::DAY));
        if !is_day || storage.stat(&folder)?.is_none_or(|entry| entry.kind != EntryKind::Directory) {
            continue;
        }
        for name in storage.list(&folder)? {
            let result = folder.join(&name);
            let is_id = name.to_str().is_some_and(|name| FileId::parse(name).is_some());
            if is_id && storage.stat(&result.join(MANIFEST))?.is_some() {
                return Ok(Some(result));
            }
        }
    }
    Ok(None)
}
