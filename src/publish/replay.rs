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
//! So readers see the old rows, for a moment neither, then the new ones; never both. A replay whose old result is not to be
//! found is refused (`withdraw`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{PublishError, Publisher, names};
use crate::config::Pipeline;
use crate::job::{FileId, Outcome};
use crate::ledger::{Disposal, FileRow, FileState};
use crate::storage::{Storage, StorageError};

mod follow;
mod withdraw;

pub use follow::{Followed, follow};
use withdraw::Places;

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
    /// It was asked for before, and the original has left the archive: [`follow`] it.
    UnderWay,
    /// The original is not where the ledger says.
    Missing,
    /// The old result is not where it was published, nor in the output of the configuration: it could not be withdrawn.
    Lost {
        /// What was looked for and where.
        message: String,
        /// What to do.
        advice: String,
    },
}

/// What the marker of a replay says. One of an earlier version is empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Asked {
    /// There is no old result any more that could come back.
    result_gone: bool,
    /// The inode of the original, by which it is known wherever it goes.
    inode: Option<u64>,
}

impl Asked {
    fn read(storage: &dyn Storage, marker: &Path) -> Result<Self, StorageError> {
        if storage.stat(marker)?.is_none() {
            return Ok(Self::default());
        }
        Ok(serde_json::from_slice(&storage.read(marker)?).unwrap_or_default())
    }

    fn write(&self, storage: &dyn Storage, marker: &Path) -> Result<(), StorageError> {
        storage.make_dirs(marker.parent().unwrap_or(marker))?;
        // Plain data always serialises; an empty marker would ask for less.
        storage.write_file(marker, &serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Whether whoever asked for the replay of `old` said that its result is gone for good.
fn is_given_up(storage: &dyn Storage, pipeline: &Pipeline, old: &FileId) -> Result<bool, StorageError> {
    Ok(Asked::read(storage, &names::replay_marker(pipeline, old))?.result_gone)
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

/// Asks for the replay of a file and gives its archived `original` back to the inbox. Unless the old result is known to be
/// `result_gone`, it must be where forebay can withdraw it.
pub fn replay(
    storage: &dyn Storage,
    pipeline: &Pipeline,
    row: &FileRow,
    original: &Path,
    result_gone: bool,
) -> Result<Replay, PublishError> {
    let marker = names::replay_marker(pipeline, &row.id);
    let Some(entry) = storage.stat(original)? else {
        if storage.stat(&marker)?.is_none() {
            return Ok(Replay::Missing);
        }
        if result_gone {
            Asked { result_gone, ..Asked::read(storage, &marker)? }.write(storage, &marker)?;
        }
        return Ok(Replay::UnderWay);
    };
    let places = Places::of(row, [pipeline.output.as_path()]);
    if !result_gone && !places.hold_it(storage)? {
        return Ok(Replay::Lost { message: places.searched(&row.id), advice: withdraw::advice(&row.id) });
    }
    // The marker first: without it the original would arrive as a duplicate of itself.
    Asked { result_gone, inode: Some(entry.stamp.ino) }.write(storage, &marker)?;
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
}
