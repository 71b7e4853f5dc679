//! Originals: each in the one place where it belongs.

use std::path::Path;

use super::{Audit, Finding, FindingKind};
use crate::ledger::{Disposal, FileRow};
use crate::publish::{ERROR_SUFFIX, PublishError, gate, names, release};

impl Audit<'_> {
    /// A claimed file lies in the work folder, or still in the inbox.
    pub(super) fn claimed(&self, row: &FileRow) -> Option<Finding> {
        let in_inbox = self.pipeline(row).map(|pipeline| pipeline.input.join(&row.name));
        // Its step may be under way between the two looks: both, and in this order, before and after a rename.
        let there = self.is_there(&row.input_path) || in_inbox.is_some_and(|path| self.is_there(&path));
        let message = "it was claimed, and lies neither in the work folder nor in its inbox".to_owned();
        (!there).then(|| Finding::of(row, FindingKind::OriginalMissing, &row.input_path, message))
    }

    /// An archived original is there, byte for byte.
    pub(super) fn archived(&self, row: &FileRow) -> Option<Finding> {
        let path = row.resting.as_deref().filter(|_| row.disposal == Some(Disposal::Move))?;
        let finding = |kind, message: String| Some(Finding::of(row, kind, path, message));
        let entry = match self.storage.stat(path) {
            Ok(entry) => entry,
            Err(err) => return finding(FindingKind::Unreadable, err.to_string()),
        };
        let Some(entry) = entry else {
            let asked = self.pipeline(row).is_some_and(|p| self.is_there(&names::replay_marker(p, &row.id)));
            let message = "the archived original is gone".to_owned();
            return if asked { None } else { finding(FindingKind::OriginalMissing, message) };
        };
        if entry.stamp.size != row.stamp.size {
            let message = format!("it has {} bytes instead of {}", entry.stamp.size, row.stamp.size);
            return finding(FindingKind::OriginalChanged, message);
        }
        self.same_content(row, path)
    }

    fn same_content(&self, row: &FileRow, path: &Path) -> Option<Finding> {
        let wanted = row.blake3.as_deref().filter(|_| self.contents)?;
        match gate::fingerprint_of(path) {
            Ok(hash) if hash == wanted => None,
            Ok(_) => {
                let message = "its content is not what arrived".to_owned();
                Some(Finding::of(row, FindingKind::OriginalChanged, path, message))
            }
            Err(err) => Some(Finding::of(row, FindingKind::Unreadable, path, err.to_string())),
        }
    }

    /// A refused file is in quarantine with its explanation, or has arrived anew.
    pub(super) fn refused(&self, row: &FileRow) -> Result<Option<Finding>, PublishError> {
        let Some(path) = row.resting.as_deref() else { return Ok(None) };
        if !self.is_there(path) {
            let message = "the quarantined file is gone, and it did not arrive anew".to_owned();
            let gone = || Finding::of(row, FindingKind::OriginalMissing, path, message);
            return Ok((!self.released(row)?).then(gone));
        }
        let explanation = names::beside(path, ERROR_SUFFIX);
        let message = "the quarantined file has no explanation beside it".to_owned();
        Ok((!self.is_there(&explanation))
            .then(|| Finding::of(row, FindingKind::ExplanationMissing, &explanation, message)))
    }

    /// Whether somebody had it taken in again.
    fn released(&self, row: &FileRow) -> Result<bool, PublishError> {
        let Some(pipeline) = self.pipeline(row) else { return Ok(false) };
        release::is_let_out(self.storage, pipeline, row, &|name| self.ledger.find(name))
    }
}
