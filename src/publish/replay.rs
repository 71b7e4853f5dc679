//! Processing a file anew that is done: for `forebay replay`, and what the daemon makes of it.
//!
//! The verb leaves a marker with the old id in the inbox's own folder, then moves the original from the archive to the inbox.
//! It does not touch the ledger, so it is safe while the daemon runs. The original arrives anew, under a new id; by the marker
//! its content is not taken for a duplicate, and its result replaces the old one:
//!
//! | step | after | if it dies right after |
//! |---|---|---|
//! | 7 | ledger: the new one staged, and it replaces the old one | the steps below |
//! | 7a | the old directory is out of sight, in `.forebay/retired/` | does 8; puts it back if the new one is damaged |
//! | 8, 9 | the new directory is visible; ledger: published | marker and old directory are removed |
//!
//! So readers see the old rows, for a moment neither, then the new ones; never both.

use std::path::{Path, PathBuf};

use super::{PublishError, Publisher, names};
use crate::config::Pipeline;
use crate::job::{FileId, Outcome};
use crate::ledger::{Disposal, FileRow, FileState};
use crate::planted::{self, Bug};
use crate::storage::{Operation, Storage, StorageError};

/// Why a file cannot be replayed. The message goes on from its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotReplay {
    /// It is in progress.
    #[error("is still {0}")]
    Unfinished(FileState),
    /// Nothing was published of it, since its content was there before.
    #[error("is a duplicate{}", of(.0.as_ref()))]
    Duplicate(Option<FileId>),
    /// It holds nothing.
    #[error("is empty: there is nothing to process")]
    Empty,
    /// It was refused or given up: that is what `retry` is for.
    #[error("was not published, it is {0}")]
    Refused(Outcome),
    /// It was replayed before.
    #[error("was replayed before, as {0}")]
    Replaced(FileId),
    /// `on_success = "delete"`.
    #[error("cannot be processed anew: its original was deleted after it was published (on_success = \"delete\")")]
    Deleted,
    /// `on_success = "keep"`, or somebody took it.
    #[error(
        "cannot be processed anew: its original is not in the archive (on_success was \"keep\", or it was taken away)"
    )]
    NotArchived,
}

impl CannotReplay {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self, row: &FileRow) -> String {
        match self {
            Self::Unfinished(_) => format!("`forebay explain {}` tells how far it is", row.id),
            Self::Duplicate(Some(id)) | Self::Replaced(id) => format!("replay that one: `forebay replay {id}`"),
            Self::Duplicate(None) | Self::Empty => format!("`forebay explain {}` tells its story", row.id),
            Self::Refused(_) => format!("`forebay retry {}` puts it back into its inbox", row.id),
            Self::Deleted | Self::NotArchived => format!(
                "with a copy of it, `forebay once -p {} FILE --out DIR` makes a new result beside the published one; \
                 with on_success = \"archive\" later files can be replayed",
                row.pipeline
            ),
        }
    }
}

fn of(original: Option<&FileId>) -> String {
    original.map_or_else(String::new, |original| format!(" of {original}"))
}

/// What asking for a replay came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// The original lies in the inbox now, under this path.
    InInbox(PathBuf),
    /// It was asked for before, and the original has left the archive.
    UnderWay,
    /// The original is not where the ledger says.
    Missing,
}

/// Returns the archived original of a file that can be replayed.
pub fn original_to_replay(row: &FileRow) -> Result<&Path, CannotReplay> {
    if row.state != FileState::Done {
        return Err(CannotReplay::Unfinished(row.state));
    }
    match row.outcome {
        Some(Outcome::Succeeded) => {}
        Some(Outcome::Duplicate) => return Err(CannotReplay::Duplicate(row.duplicate_of.clone())),
        Some(Outcome::Empty) => return Err(CannotReplay::Empty),
        Some(outcome @ (Outcome::Quarantined | Outcome::Failed)) => return Err(CannotReplay::Refused(outcome)),
        None => return Err(CannotReplay::Unfinished(row.state)),
    }
    if let Some(replay) = &row.replaced_by {
        return Err(CannotReplay::Replaced(replay.clone()));
    }
    row.resting.as_deref().ok_or(match row.disposal {
        Some(Disposal::Delete) => CannotReplay::Deleted,
        Some(Disposal::Keep | Disposal::Move) | None => CannotReplay::NotArchived,
    })
}

/// Asks for the replay of a file and gives its archived `original` back to the inbox.
pub fn replay(
    storage: &dyn Storage,
    pipeline: &Pipeline,
    row: &FileRow,
    original: &Path,
) -> Result<Replay, PublishError> {
    let marker = names::replay_marker(pipeline, &row.id);
    if storage.stat(original)?.is_none() {
        let asked = storage.stat(&marker)?.is_some();
        return Ok(if asked { Replay::UnderWay } else { Replay::Missing });
    }
    // The marker first: without it the original would arrive as a duplicate of itself.
    storage.make_dirs(marker.parent().unwrap_or(&marker))?;
    storage.write_file(&marker, b"")?;
    let target = pipeline.input.join(&row.name);
    match storage.rename_noreplace(original, &target) {
        Ok(()) => Ok(Replay::InInbox(target)),
        Err(err) if err.is_missing() => Ok(Replay::UnderWay),
        Err(err) => {
            storage.remove_file(&marker)?;
            // The path in the message is the one that is in the way.
            Err(if err.is_taken() { StorageError::new(err.operation, &target, err.cause).into() } else { err.into() })
        }
    }
}

impl Publisher {
    /// Returns whether somebody asked to publish anew what this file was published from.
    pub(super) fn replay_is_asked(&self, pipeline: &Pipeline, original: &FileId) -> Result<bool, PublishError> {
        Ok(self.storage.stat(&names::replay_marker(pipeline, original))?.is_some())
    }

    /// Takes the directory that a replay replaces out of sight, if it is not yet.
    pub(super) fn retire_replaced(&self, row: &FileRow) -> Result<(), PublishError> {
        let Some(old) = self.predecessor(row)?.filter(|_| !planted::is(Bug::ReplayBesideOld)) else { return Ok(()) };
        if self.storage.stat(&old.visible)?.is_some() {
            self.storage.make_dirs(old.aside.parent().unwrap_or(&old.aside))?;
            return Ok(self.storage.rename_noreplace(&old.visible, &old.aside)?);
        }
        if self.storage.stat(&old.work)?.is_none() {
            // It would come back with its volume, beside the new one.
            let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "it is missing: is its volume mounted?");
            return Err(StorageError::new(Operation::Stat, &old.work, missing).into());
        }
        // Seen is not synced.
        self.sync_parents(&old)
    }

    /// Puts the directory back that a replay was to replace: the replay comes to nothing.
    pub(super) fn restore_replaced(&self, row: &FileRow) -> Result<(), PublishError> {
        let Some(old) = self.predecessor(row)? else { return Ok(()) };
        if self.storage.stat(&old.aside)?.is_some() {
            self.storage.make_dirs(old.visible.parent().unwrap_or(&old.visible))?;
            self.storage.rename_noreplace(&old.aside, &old.visible)?;
        }
        self.sync_parents(&old)
    }

    /// Removes what is left of a replay that is published: the marker that asked for it, and what it replaced.
    pub(super) fn forget_replaced(&self, pipeline: &Pipeline, row: &FileRow) -> Result<(), PublishError> {
        let (Some(id), Some(old)) = (&row.replaces, self.predecessor(row)?) else { return Ok(()) };
        self.storage.remove_tree(&old.aside)?;
        self.storage.remove_file(&names::replay_marker(pipeline, id))?;
        Ok(())
    }

    fn predecessor(&self, row: &FileRow) -> Result<Option<Replaced>, PublishError> {
        let Some(id) = &row.replaces else { return Ok(None) };
        let old = self.ledger.get(id)?;
        let Some(visible) = old.final_dir else { return Ok(None) };
        let Some(output) = names::output_of(&visible) else { return Ok(None) };
        let retired = names::retired_root(output);
        let work = retired.parent().unwrap_or(output).to_owned();
        Ok(Some(Replaced { aside: retired.join(id.as_str()), work, visible }))
    }

    fn sync_parents(&self, old: &Replaced) -> Result<(), PublishError> {
        for dir in [old.visible.parent(), old.aside.parent()].into_iter().flatten() {
            if self.storage.stat(dir)?.is_some() {
                self.storage.sync_dir(dir)?;
            }
        }
        Ok(())
    }
}

/// Where the directory lies that a replay replaces.
struct Replaced {
    /// While readers see it.
    visible: PathBuf,
    /// Out of their sight.
    aside: PathBuf,
    /// Our folder in its output: there as long as the output is.
    work: PathBuf,
}
