//! What became of a replay that was asked for: for saying the verb again, and for noticing that it was given up.

use std::ffi::OsStr;

use super::Asked;
use crate::config::Pipeline;
use crate::job::{FileId, places};
use crate::ledger::{FileRow, FileState, LedgerError};
use crate::publish::{PublishError, Publisher, names};
use crate::storage::Storage;

/// Where a replay is whose original has left the archive.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// It waits in the inbox.
    InInbox,
    /// It is in progress as this file.
    InProgress(Box<FileRow>),
    /// It was refused, and lies in quarantine as this file: `retry` goes on with it.
    Refused(Box<FileRow>),
    /// Nothing will happen any more: it ended as this file, or nobody knows where it is.
    Over(Option<Box<FileRow>>),
}

/// Finds the replay of `old` that was asked for. `find` returns the files of the ledger with a name.
pub fn follow(
    storage: &dyn Storage,
    pipeline: &Pipeline,
    old: &FileRow,
    find: &dyn Fn(&OsStr) -> Result<Vec<FileRow>, LedgerError>,
) -> Result<Followed, PublishError> {
    let followed = look(storage, pipeline, old, find)?;
    // It may have moved on between two looks, or back.
    if matches!(followed, Followed::Over(_)) { look(storage, pipeline, old, find) } else { Ok(followed) }
}

/// Looks once: at what the ledger knows of it, then into quarantine and inbox.
fn look(
    storage: &dyn Storage,
    pipeline: &Pipeline,
    old: &FileRow,
    find: &dyn Fn(&OsStr) -> Result<Vec<FileRow>, LedgerError>,
) -> Result<Followed, PublishError> {
    let asked = Asked::read(storage, &names::replay_marker(pipeline, &old.id))?;
    let inode = asked.inode.unwrap_or(old.stamp.ino);
    let mut later = find(&old.name)?;
    // Not by the device: its number may be another one after a restart.
    later.retain(|row| {
        (&row.pipeline, &row.name) == (&old.pipeline, &old.name) && row.id > old.id && row.stamp.ino == inode
    });
    let newest = later.into_iter().max_by(|a, b| a.id.cmp(&b.id)).map(Box::new);
    if let Some(row) = newest.as_ref().filter(|row| row.state != FileState::Done) {
        return Ok(Followed::InProgress(row.clone()));
    }
    if let Some(row) = &newest
        && let Some(resting) = row.resting.as_deref().filter(|_| row.is_in_quarantine())
        && storage.stat(resting)?.is_some()
    {
        return Ok(Followed::Refused(row.clone()));
    }
    if storage.stat(&pipeline.input.join(&old.name))?.is_some() {
        return Ok(Followed::InInbox);
    }
    Ok(Followed::Over(newest))
}

impl Publisher {
    /// Forgets replays that nobody can go on with: a marker that stayed would have a later drop of the content replace its
    /// result, unasked.
    pub(in crate::publish) fn forget_given_up(&self, pipeline: &Pipeline) -> Result<(), PublishError> {
        let markers = places::replays(&pipeline.input);
        for name in self.storage.list(&markers)? {
            let Some(id) = name.to_str().and_then(FileId::parse) else { continue };
            let Some(old) = self.known(&id)? else { continue };
            // The verb is about to move it; or died before it did, and saying it again does the rest.
            if let Some(original) = old.resting.as_deref()
                && self.storage.stat(original)?.is_some()
            {
                continue;
            }
            let followed = follow(&*self.storage, pipeline, &old, &|name| self.ledger.find(name))?;
            if matches!(followed, Followed::Over(_)) && self.storage.remove_file(&markers.join(name))? {
                let told = "its replay was refused or lost, and its original is gone: the result stays as it is";
                self.ledger.note(&old.id, "replay_given_up", told)?;
            }
        }
        Ok(())
    }
}
