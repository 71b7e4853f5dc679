//! What a new ledger is made of when the old one is lost: manifests, the archive, the quarantine. For `forebay ledger rebuild`.
//!
//! A content that was published or archived is known afterwards, so nothing is published twice. Files in progress are not put
//! in: the daemon gives those in the work folders back to their inboxes at its start. What cannot be had back: attempts that
//! failed, their messages and times; results that replays replaced; files that ended without leaving anything.
//!
//! Pipelines may share archives and quarantines. Whose a file is tell the result published of it, or one with its content, and
//! its explanation; what nothing tells of is left out and said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{MANIFEST, Manifest, PublishError, gate};
use crate::admit::claimed_path;
use crate::clock::Clock;
use crate::config::Pipeline;
use crate::job::{FileId, FileStamp, Timestamp, display_name, is_legal_name, kept_name, places, split_kept_name};
use crate::ledger::{FileRow, FileState, LedgerError, StoryLine};
use crate::storage::{EntryKind, Storage};

mod archived;
mod published;
mod refused;

/// What was found, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gathered {
    /// Published results.
    pub published: u64,
    /// Archived originals without one: duplicates, empty files, and such whose result is gone.
    pub archived: u64,
    /// Files in quarantine.
    pub quarantined: u64,
    /// What could not be made sense of: where, and why.
    pub left: Vec<(PathBuf, String)>,
}

/// Takes in one file of the new ledger.
pub(super) type Take<'a> = dyn FnMut(&FileRow, &[StoryLine]) -> Result<(), LedgerError> + 'a;

/// Gathers what is known of every file of these pipelines.
pub fn gather(
    storage: &dyn Storage,
    clock: &dyn Clock,
    pipelines: &[Arc<Pipeline>],
    take: &mut Take<'_>,
) -> Result<Gathered, PublishError> {
    let mut gatherer = Gatherer {
        storage,
        pipelines,
        now: clock.now(),
        originals: originals(storage, pipelines)?,
        contents: HashMap::new(),
        ids: BTreeSet::new(),
        take,
        found: Gathered::default(),
    };
    // The results of all first: they tell whose the originals are in an archive that pipelines share.
    for pipeline in pipelines {
        gatherer.published(pipeline)?;
    }
    gatherer.archived()?;
    gatherer.refused()?;
    Ok(gatherer.found)
}

struct Gatherer<'a, 'b> {
    storage: &'a dyn Storage,
    pipelines: &'a [Arc<Pipeline>],
    now: Timestamp,
    /// Archived originals whose result was not found yet.
    originals: BTreeMap<FileId, PathBuf>,
    /// Who has published which content.
    contents: HashMap<(String, String), FileId>,
    /// What is put in already.
    ids: BTreeSet<FileId>,
    take: &'a mut Take<'b>,
    found: Gathered,
}

impl<'a> Gatherer<'a, '_> {
    /// Returns the pipelines whose archive or quarantine this is.
    fn owners(&self, is_of: impl Fn(&Pipeline) -> bool) -> Vec<&'a Pipeline> {
        self.pipelines.iter().map(|pipeline| &**pipeline).filter(|pipeline| is_of(pipeline)).collect()
    }

    /// Puts a file in, with what is known of its story.
    fn put(&mut self, row: &FileRow, from: &str) -> Result<(), PublishError> {
        let line = |at, what: &str, message: String| StoryLine { at, what: what.to_owned(), message };
        let mut story =
            vec![line(row.arrived_at, "claimed", format!("{} ({} bytes)", row.display_name(), row.stamp.size))];
        if let (Some(outcome), Some(at)) = (row.outcome, row.finished_at) {
            story.push(line(at, outcome.as_str(), row.message.clone()));
        }
        story.push(line(self.now, "rebuilt", format!("the ledger was made anew; this is known from {from}")));
        self.ids.insert(row.id.clone());
        Ok((self.take)(row, &story)?)
    }

    /// Whether a file of this id is in already; if so, this one is left out: whoever mends a file leaves copies beside it.
    fn is_in(&mut self, id: &FileId, path: &Path) -> bool {
        let is_in = self.ids.contains(id);
        if is_in {
            self.leave(path, format!("the ledger has a file {id} already"));
        }
        is_in
    }

    fn leave(&mut self, path: &Path, why: impl Into<String>) {
        self.found.left.push((path.to_owned(), why.into()));
    }

    fn stamp(&self, path: &Path) -> Result<Option<FileStamp>, PublishError> {
        let entry = self.storage.stat(path)?;
        Ok(entry.filter(|entry| entry.kind == EntryKind::File).map(|entry| entry.stamp))
    }

    /// Returns the name of the claimed file of this id, if one lies in the work folder.
    fn in_work(&self, pipeline: &Pipeline, id: &FileId) -> Result<Option<OsString>, PublishError> {
        let names = self.storage.list(&places::claimed(&pipeline.input))?;
        Ok(names.iter().filter_map(|kept| split_kept_name(kept)).find(|(owner, _)| owner == id).map(|(_, name)| name))
    }

    /// Returns a file that is done, with nothing but its identity.
    fn row(pipeline: &Pipeline, id: &FileId, name: OsString, stamp: FileStamp, arrived_at: Timestamp) -> FileRow {
        FileRow {
            id: id.clone(),
            pipeline: pipeline.name.clone(),
            state: FileState::Done,
            outcome: None,
            reason: None,
            message: String::new(),
            explanation: None,
            stamp,
            in_place: false,
            input_path: claimed_path(pipeline, id, &name),
            name,
            blake3: None,
            duplicate_of: None,
            starts: 0,
            attempts: 0,
            crashes: 0,
            running: false,
            trace_id: None,
            last_error: None,
            arrived_at,
            claimed_at: arrived_at,
            started_at: None,
            finished_at: Some(arrived_at),
            next_attempt_at: None,
            manifest_hash: None,
            final_dir: None,
            disposal: None,
            resting: None,
            rows: None,
            replaces: None,
            replaced_by: None,
        }
    }
}

/// Returns the archived originals by their ids.
fn originals(storage: &dyn Storage, pipelines: &[Arc<Pipeline>]) -> Result<BTreeMap<FileId, PathBuf>, PublishError> {
    let mut found = BTreeMap::new();
    let archives: BTreeSet<&Path> = pipelines.iter().map(|pipeline| pipeline.archive.as_path()).collect();
    for archive in archives {
        for day in storage.list(archive)? {
            let day = archive.join(day);
            if storage.stat(&day)?.is_none_or(|entry| entry.kind != EntryKind::Directory) {
                continue;
            }
            for name in storage.list(&day)? {
                if let Some((id, _)) = split_kept_name(&name) {
                    found.insert(id, day.join(name));
                }
            }
        }
    }
    Ok(found)
}

/// Says that nothing tells whose a file is.
fn nobodys(owners: &[&Pipeline]) -> String {
    let names: Vec<_> = owners.iter().map(|pipeline| pipeline.name.as_str()).collect();
    format!("the pipelines {} share this folder, and nothing tells whose it is", names.join(", "))
}

/// Returns the name a file had in its inbox. `kept` is what follows the id on the disk: its very bytes, but cut if it was long;
/// `told` is what a manifest or an explanation has: whole, but fit to be shown. Of a name that was both cut and escaped only
/// the cut one is a name.
fn real_name(id: &FileId, kept: &OsStr, told: &str) -> OsString {
    if told.is_empty() || display_name(kept) == told {
        return kept.to_owned();
    }
    let kept_as = |name: &OsStr| split_kept_name(&kept_name(id, name)).is_some_and(|(_, cut)| cut == kept);
    let escaped = told.contains(['\\', '…']);
    if is_legal_name(told.as_ref()) && (!escaped || kept_as(told.as_ref())) { told.into() } else { kept.to_owned() }
}

/// Returns when an id was given, from the id itself.
fn given_at(id: &FileId) -> Timestamp {
    let millis = ulid::Ulid::from_string(id.as_str()).map_or(0, |id| id.timestamp_ms());
    Timestamp(i64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000))
}
