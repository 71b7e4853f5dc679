//! What is wrong, where, and what to do about it.

use std::path::{Path, PathBuf};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::config::Pipeline;
use crate::job::{FileId, display_name};
use crate::ledger::FileRow;

/// What is wrong, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// `SQLite` finds the database damaged.
    LedgerDamaged,
    /// A published directory is gone, or lacks a file.
    OutputMissing,
    /// A published file is not what its manifest says.
    OutputChanged,
    /// A directory among the published ones that the ledger does not know.
    OutputUnknown,
    /// A result that a replay replaced is still to be seen: its rows count twice.
    OutputReplaced,
    /// The manifest is not the one published, or disagrees with the ledger.
    ManifestDiffers,
    /// Rows read are not rows written, rejected and dropped.
    RowsUnaccounted,
    /// An original is not where it belongs.
    OriginalMissing,
    /// An archived original has other bytes than it had.
    OriginalChanged,
    /// A quarantined file lies there without its `.error.json`.
    ExplanationMissing,
    /// Something cannot be read.
    Unreadable,
}

impl FindingKind {
    /// Returns the one spelling of this kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LedgerDamaged => "ledger_damaged",
            Self::OutputMissing => "output_missing",
            Self::OutputChanged => "output_changed",
            Self::OutputUnknown => "output_unknown",
            Self::OutputReplaced => "output_replaced",
            Self::ManifestDiffers => "manifest_differs",
            Self::RowsUnaccounted => "rows_unaccounted",
            Self::OriginalMissing => "original_missing",
            Self::OriginalChanged => "original_changed",
            Self::ExplanationMissing => "explanation_missing",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, in one word.
    pub kind: FindingKind,
    /// The file, if it concerns one.
    pub id: Option<FileId>,
    /// Where.
    pub path: Option<PathBuf>,
    /// What, for a person.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Finding {
    pub(super) fn of(row: &FileRow, kind: FindingKind, path: &Path, message: String) -> Self {
        Self { kind, id: Some(row.id.clone()), path: Some(path.to_owned()), message, hint: hint(kind, row) }
    }

    /// Returns the finding of a damaged ledger.
    #[must_use]
    pub fn of_ledger(damage: String) -> Self {
        let hint = "stop the daemon and restore the ledger from a backup, or make it anew: `forebay ledger rebuild`";
        Self { kind: FindingKind::LedgerDamaged, id: None, path: None, message: damage, hint: hint.to_owned() }
    }

    pub(super) fn unknown_output(pipeline: &Pipeline, dir: &Path) -> Self {
        let hint = "whoever wrote it wrote around the daemon (`forebay once` without --out does): its rows may be there \
                    twice; move it out of the output";
        Self {
            kind: FindingKind::OutputUnknown,
            id: None,
            path: Some(dir.to_owned()),
            message: format!("the ledger knows of no such result of pipeline '{}'", pipeline.name),
            hint: hint.to_owned(),
        }
    }

    /// Returns the path fit to be shown.
    #[must_use]
    pub fn shown_path(&self) -> Option<String> {
        self.path.as_ref().map(|path| display_name(path.as_os_str()))
    }
}

fn hint(kind: FindingKind, row: &FileRow) -> String {
    let id = &row.id;
    match kind {
        FindingKind::OutputMissing | FindingKind::OutputChanged | FindingKind::ManifestDiffers => {
            let gone = if kind == FindingKind::OutputMissing { "--result-gone " } else { "" };
            if row.resting.is_some() {
                format!("restore it from a backup, or make it anew: `forebay replay {gone}{id}`")
            } else {
                "restore it from a backup: its original is not in the archive".to_owned()
            }
        }
        FindingKind::OutputReplaced => "remove it: its rows are counted twice".to_owned(),
        FindingKind::RowsUnaccounted => format!("keep it and report it, with `forebay explain {id} --json`"),
        FindingKind::OriginalMissing | FindingKind::OriginalChanged => {
            "restore it from a backup; the published result does not depend on it".to_owned()
        }
        FindingKind::ExplanationMissing => format!("`forebay explain {id}` tells it too"),
        FindingKind::Unreadable => "mend what the message names, then ask again".to_owned(),
        FindingKind::LedgerDamaged | FindingKind::OutputUnknown => String::new(),
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 5)?;
        out.serialize_field("kind", self.kind.as_str())?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("path", &self.shown_path())?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("hint", &self.hint)?;
        out.end()
    }
}
