//! Compares the ledger with the disk, and changes neither: for `forebay ledger verify`.
//!
//! It may run beside the daemon. What looks wrong is looked at again with what the ledger says by then, so a file on its way
//! is no finding: the ledger is always told before the disk is changed, and what was announced has been done soon after.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{PublishError, names};
use crate::config::Pipeline;
use crate::job::{FileId, Outcome};
use crate::ledger::{FileRow, FileState, LedgerReader};
use crate::storage::{EntryKind, Storage};

mod finding;
mod output;
mod place;

pub use finding::{Finding, FindingKind};

/// Rows of the ledger taken in at once.
const PAGE: usize = 1_000;

/// How often a file that looks wrong is looked at until it is told.
const LOOKS: usize = 4;

/// A comparison of ledger and disk.
pub struct Audit<'a> {
    /// The pipelines of the configuration.
    pub pipelines: &'a [Arc<Pipeline>],
    /// The ledger.
    pub ledger: &'a LedgerReader,
    /// The disk.
    pub storage: &'a dyn Storage,
    /// Whether outputs and originals are read and their hashes compared, not only their sizes.
    pub contents: bool,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audited {
    /// Files of the ledger.
    pub files: u64,
    /// Published directories found on the disk.
    pub outputs: u64,
}

impl Audit<'_> {
    /// Compares everything and tells each finding. Fails only if the ledger cannot be asked.
    pub fn run(&self, tell: &mut dyn FnMut(Finding)) -> Result<Audited, PublishError> {
        let mut audited = Audited::default();
        for damage in self.ledger.integrity()? {
            tell(Finding::of_ledger(damage));
        }
        let mut after = None;
        loop {
            let page = self.ledger.page(after.as_ref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for row in page {
                audited.files += 1;
                self.file(row)?.into_iter().for_each(&mut *tell);
            }
        }
        for pipeline in self.pipelines {
            audited.outputs += self.unknown_outputs(pipeline, tell)?;
        }
        Ok(audited)
    }

    fn file(&self, mut row: FileRow) -> Result<Vec<Finding>, PublishError> {
        let mut findings = Vec::new();
        for _ in 0..LOOKS {
            findings = self.look(&row)?;
            if findings.is_empty() {
                break;
            }
            // Forgotten meanwhile: it was given back to its inbox.
            let Some(now) = self.ledger.get(&row.id)? else { return Ok(Vec::new()) };
            row = now;
        }
        Ok(findings)
    }

    fn look(&self, row: &FileRow) -> Result<Vec<Finding>, PublishError> {
        let mut found = Vec::new();
        match (row.state, row.outcome) {
            (FileState::Claimed, _) => found.extend(self.claimed(row)),
            // On their way: what is on the disk may be before or after the step.
            (FileState::Staged | FileState::Archiving | FileState::Quarantining, _) | (FileState::Done, None) => {}
            (FileState::Published, _) => self.output(row, &mut found),
            (FileState::Done, Some(Outcome::Succeeded)) => {
                if let Some(replay) = &row.replaced_by {
                    found.extend(self.withdrawn(row, replay)?);
                } else {
                    self.output(row, &mut found);
                    found.extend(self.archived(row));
                }
            }
            (FileState::Done, Some(Outcome::Duplicate | Outcome::Empty)) => found.extend(self.archived(row)),
            (FileState::Done, Some(Outcome::Quarantined | Outcome::Failed)) => found.extend(self.refused(row)?),
        }
        Ok(found)
    }

    /// The result that a replay replaced is not there any more.
    fn withdrawn(&self, row: &FileRow, replay: &FileId) -> Result<Option<Finding>, PublishError> {
        let replaced = self
            .ledger
            .get(replay)?
            .is_some_and(|replay| matches!(replay.state, FileState::Published | FileState::Done));
        let Some(dir) = row.final_dir.as_deref().filter(|_| replaced) else { return Ok(None) };
        let there = self.storage.stat(dir)?.is_some();
        let message = format!("its replay {replay} is published, and the old result is still to be seen");
        Ok(there.then(|| Finding::of(row, FindingKind::OutputReplaced, dir, message)))
    }

    /// Looks for published directories that the ledger does not know. Returns how many directories there are.
    fn unknown_outputs(&self, pipeline: &Pipeline, tell: &mut dyn FnMut(Finding)) -> Result<u64, PublishError> {
        let mut seen = 0;
        for day in self.storage.list(&pipeline.output)? {
            if !day.as_bytes().starts_with(names::DAY.as_bytes()) {
                continue;
            }
            let day = pipeline.output.join(day);
            // Somebody's archive of a day, say.
            if self.storage.stat(&day)?.is_none_or(|entry| entry.kind == EntryKind::File) {
                continue;
            }
            for name in self.storage.list(&day)? {
                let dir = day.join(&name);
                if self.storage.stat(&dir)?.is_none_or(|entry| entry.kind != EntryKind::Directory) {
                    continue;
                }
                seen += 1;
                let known = name.to_str().and_then(FileId::parse).map(|id| self.ledger.get(&id)).transpose()?.flatten();
                if known.is_none_or(|row| row.final_dir.as_deref() != Some(&dir)) {
                    tell(Finding::unknown_output(pipeline, &dir));
                }
            }
        }
        Ok(seen)
    }

    fn pipeline(&self, row: &FileRow) -> Option<&Arc<Pipeline>> {
        self.pipelines.iter().find(|pipeline| pipeline.name == row.pipeline)
    }

    fn is_there(&self, path: &Path) -> bool {
        // What cannot be looked at is told where its content is needed.
        self.storage.stat(path).is_ok_and(|entry| entry.is_some())
    }
}

impl std::fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("contents", &self.contents).finish_non_exhaustive()
    }
}
