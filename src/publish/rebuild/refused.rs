//! Quarantined files, from the explanations beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Gatherer, PublishError, given_at, nobodys, real_name, split_kept_name};
use crate::clock::parse_rfc3339;
use crate::config::Pipeline;
use crate::job::{FileId, Outcome, QuarantineReason, RowCounts, Timestamp, is_legal_name, kept_name};
use crate::ledger::Disposal;
use crate::publish::{ERROR_SUFFIX, REJECTS_SUFFIX, names};

/// What an explanation tells a program.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    name: String,
    pipeline: String,
    outcome: Option<Outcome>,
    reason: Option<QuarantineReason>,
    message: String,
    rows: RowCounts,
    attempts: u32,
    last_error: Option<String>,
    arrived_at: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    trace_id: Option<String>,
}

impl Gatherer<'_, '_> {
    pub(super) fn refused(&mut self) -> Result<(), PublishError> {
        let folders: BTreeSet<&Path> = self.pipelines.iter().map(|pipeline| pipeline.quarantine.as_path()).collect();
        folders.into_iter().try_for_each(|folder| self.refused_in(folder))
    }

    fn refused_in(&mut self, folder: &Path) -> Result<(), PublishError> {
        let owners = self.owners(|pipeline| pipeline.quarantine == folder);
        let mut found: BTreeMap<FileId, Vec<(PathBuf, OsString)>> = BTreeMap::new();
        for kept in self.storage.list(folder)? {
            let path = folder.join(&kept);
            let Some((id, name)) = split_kept_name(&kept) else { continue };
            if self.is_beside(&path)? {
                // It was cut short: the original is still in the work folder, and will be refused again under another id.
                if self.in_any_work(&owners, &id)? {
                    self.storage.remove_file(&path)?;
                }
                continue;
            }
            found.entry(id).or_default().push((path, name));
        }
        for (id, mut files) in found {
            // The first is taken in, the others are told.
            if files.len() > 1 {
                files.sort_by_cached_key(|(path, name)| self.doubt(&id, path, name));
            }
            for (path, name) in files {
                self.one_refused(&owners, &id, &path, &name)?;
            }
        }
        Ok(())
    }

    fn in_any_work(&self, owners: &[&Pipeline], id: &FileId) -> Result<bool, PublishError> {
        for pipeline in owners {
            if self.in_work(pipeline, id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How much speaks against this file being the one that forebay laid there: nothing if the explanation beside it tells
    /// its name. Somebody may have made a copy, of both even.
    fn doubt(&self, id: &FileId, path: &Path, name: &OsStr) -> u8 {
        // What cannot be read is told when it is taken in.
        let Ok(Some(text)) = self.explanation(path) else { return 2 };
        let told = serde_json::from_slice(&text).unwrap_or_else(|_| Told::default()).name;
        let laid_as = kept_name(id, &real_name(id, name, &told));
        u8::from(told.is_empty() || path.file_name() != Some(&laid_as))
    }

    /// Whether this is the explanation or the rejected rows of another file. No original lies there without an explanation
    /// of its own, whatever its name.
    fn is_beside(&self, path: &Path) -> Result<bool, PublishError> {
        let text = path.to_string_lossy();
        let named = [ERROR_SUFFIX, REJECTS_SUFFIX].iter().any(|suffix| text.ends_with(suffix));
        Ok(named && self.explanation(path)?.is_none())
    }

    /// Returns the text of the explanation beside a file, if there is one.
    fn explanation(&self, path: &Path) -> Result<Option<Vec<u8>>, PublishError> {
        let beside = names::beside(path, ERROR_SUFFIX);
        // Beside a name that is as long as a name can be there is none.
        if !beside.file_name().is_some_and(is_legal_name) || self.storage.stat(&beside)?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.storage.read(&beside)?))
    }

    fn one_refused(
        &mut self,
        owners: &[&Pipeline],
        id: &FileId,
        path: &Path,
        name: &OsStr,
    ) -> Result<(), PublishError> {
        let Some(stamp) = self.stamp(path)? else {
            self.leave(path, "it is no regular file");
            return Ok(());
        };
        if self.is_in(id, path) {
            return Ok(());
        }
        let text = self.explanation(path)?.unwrap_or_default();
        let told: Told = serde_json::from_slice(&text).unwrap_or_else(|err| {
            let why = format!("its explanation cannot be read: {err}");
            self.leave(path, why);
            Told::default()
        });
        let named = || owners.iter().find(|pipeline| pipeline.name == told.pipeline);
        let Some(pipeline) = (if let [only] = owners { Some(only) } else { named() }) else {
            self.leave(path, nobodys(owners));
            return Ok(());
        };
        let time = |text: Option<&String>| -> Option<Timestamp> { parse_rfc3339(text?).ok() };
        let name = real_name(id, name, &told.name);
        let arrived_at = time(told.arrived_at.as_ref()).unwrap_or_else(|| given_at(id));
        let mut row = Self::row(pipeline, id, name, stamp, arrived_at);
        row.outcome = Some(told.outcome.unwrap_or(Outcome::Quarantined));
        row.reason = told.reason;
        row.message = told.message;
        row.explanation = Some(String::from_utf8_lossy(&text).into_owned());
        row.rows = Some(told.rows);
        row.starts = told.attempts;
        row.last_error = told.last_error;
        row.trace_id = told.trace_id;
        row.started_at = time(told.started_at.as_ref());
        row.finished_at = Some(time(told.finished_at.as_ref()).unwrap_or(arrived_at));
        row.disposal = Some(Disposal::Move);
        row.resting = Some(path.to_owned());
        self.found.quarantined += 1;
        self.put(&row, "its explanation in quarantine")
    }
}
