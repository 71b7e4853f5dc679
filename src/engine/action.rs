//! What the engine is told and what it wants done. Closed sets.

use std::sync::Arc;
use std::time::Duration;

use super::{Disposition, Limits, Rules, Tally};
use crate::discover::{Name, Sighting};
use crate::job::{DiscoverySource, FileId, FileStamp, JobError, RetryReason, Timestamp};

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Everything kept and recovered has been told: scan the inboxes and go.
    Begin,
    /// Time has passed: nothing else happened.
    Tick,
    /// A file event spoke of this name.
    Hint {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// The candidate.
        name: Name,
    },
    /// Events of this inbox may be lost.
    Rescan {
        /// Its pipeline.
        pipeline: Arc<str>,
    },
    /// The looks of an [`Action::Look`] are done.
    Looked {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// When they began, by the monotonic clock.
        taken: Duration,
        /// What they showed. A name whose look failed is [`Sighting::Gone`]: the next scan sees it again.
        seen: Vec<(Name, Sighting)>,
    },
    /// An [`Action::Scan`] is done.
    Scanned {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// When it began, by the monotonic clock.
        taken: Duration,
        /// Everything there is.
        seen: Vec<(Name, Sighting)>,
    },
    /// An [`Action::Scan`] failed.
    ScanFailed {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// When it began, by the monotonic clock.
        taken: Duration,
        /// For a person.
        message: String,
    },
    /// Before the first scan of its inbox: this file in place (`on_success = "keep"`) was done with.
    Kept {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// What it looked like then.
        stamp: FileStamp,
    },
    /// Before the first scan of its inbox: this file was claimed by an earlier run and is to be processed.
    Recovered {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// What the ledger knows.
        claimed: Claimed,
    },
    /// An [`Action::Claim`] is done.
    ClaimDone {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// How it went.
        result: ClaimResult,
    },
    /// The work on the file is done and its outputs are staged: its worker is free.
    Processed {
        /// Its id.
        id: FileId,
        /// Bytes of memory its worker had at most.
        peak_memory: u64,
    },
    /// The file reached its outcome: published, a duplicate, or empty.
    Finished {
        /// Its id.
        id: FileId,
    },
    /// The attempt ended without an outcome.
    Failed {
        /// Its id.
        id: FileId,
        /// Why.
        error: JobError,
    },
    /// An [`Action::Conclude`] is done.
    Concluded {
        /// Its id.
        id: FileId,
        /// It could not be put back, as its name is taken: it stays claimed and settles there.
        held: bool,
    },
    /// A step that must not be skipped failed: it is to be repeated.
    Stuck {
        /// Its id.
        id: FileId,
        /// Whether its outcome is settled, so that starting it again finishes it, whatever step it was.
        settled: bool,
        /// Whether a disk is full.
        disk_full: bool,
        /// For a person.
        message: String,
    },
    /// An attempt gives a sign of life.
    Alive {
        /// Its id.
        id: FileId,
    },
    /// From now on these are the pipelines and the limits. A pipeline that is not among them takes nothing more; what it has
    /// claimed is finished first, and then it is [`Tell::Gone`].
    Reload {
        /// The pipelines.
        rules: Vec<Rules>,
        /// The limits.
        limits: Limits,
        /// What was kept and recovered for pipelines that come anew.
        then: Vec<Event>,
    },
    /// From now on nothing new is begun.
    Drain,
}

/// What the ledger knows of a claimed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its id.
    pub id: FileId,
    /// Its size.
    pub bytes: u64,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// Attempts that counted, in earlier runs.
    pub tally: Tally,
    /// How long it still has to wait after its last failure.
    pub delay: Duration,
}

/// How a claim went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimResult {
    /// It is ours.
    Claimed(Claimed),
    /// It no longer looks as it did: let it settle again.
    Changed,
    /// It is gone.
    Vanished,
    /// It is no regular file.
    NotAFile(&'static str),
    /// The claim failed; the file lies where it was, or the ledger will find it.
    Failed {
        /// Whether a disk is full.
        disk_full: bool,
        /// For a person.
        message: String,
    },
}

/// Something to do. Each ends in the event named with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Look at these names: [`Event::Looked`].
    Look {
        /// Their pipeline.
        pipeline: Arc<str>,
        /// The names.
        names: Vec<Name>,
    },
    /// List the inbox: [`Event::Scanned`] or [`Event::ScanFailed`].
    Scan {
        /// The pipeline.
        pipeline: Arc<str>,
    },
    /// Claim a whole file: [`Event::ClaimDone`].
    Claim {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// What it looked like when it was found whole.
        stamp: FileStamp,
        /// When it was first seen.
        first_seen: Timestamp,
    },
    /// Run one attempt, or do what is left of a file whose outcome is settled: [`Event::Processed`], [`Event::Finished`],
    /// [`Event::Failed`] or [`Event::Stuck`].
    Start {
        /// Its id.
        id: FileId,
    },
    /// Publish what an attempt staged: [`Event::Finished`], [`Event::Failed`] or [`Event::Stuck`].
    Publish {
        /// Its id.
        id: FileId,
    },
    /// End the attempt this way: [`Event::Concluded`] or [`Event::Stuck`].
    Conclude {
        /// Its id.
        id: FileId,
        /// What becomes of the file.
        disposition: Disposition,
    },
    /// Tell people.
    Tell(Tell),
}

/// Something worth telling that only the engine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// A file is seen for the first time.
    Discovered {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// Its size so far.
        bytes: u64,
        /// Who told of it.
        source: DiscoverySource,
        /// When it arrived.
        at: Timestamp,
    },
    /// Something that is no file: told once for as long as it lies there.
    Ignored {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// What it is.
        kind: &'static str,
    },
    /// A full scan ended.
    Scanned {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Files that turned out whole since the last scan and that no event had told of.
        missed: u64,
    },
    /// A full scan failed.
    ScanFailed {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// For a person.
        message: String,
    },
    /// A claim failed and is tried again.
    ClaimFailed {
        /// Its pipeline.
        pipeline: Arc<str>,
        /// Its name.
        name: Name,
        /// Whether a disk is full.
        disk_full: bool,
        /// For a person.
        message: String,
        /// When it is tried again.
        delay: Duration,
    },
    /// An attempt is tried again.
    Retried {
        /// Its id.
        id: FileId,
        /// Why.
        reason: RetryReason,
        /// For a person.
        message: String,
        /// When.
        delay: Duration,
    },
    /// A step got stuck and is repeated.
    Stuck {
        /// Its id.
        id: FileId,
        /// For a person.
        message: String,
        /// When.
        delay: Duration,
    },
    /// Whether any pipeline waits for room on a disk.
    DiskWait {
        /// Whether one does.
        active: bool,
    },
    /// Whether any file cannot get to its end, as a step after its outcome fails, and not for want of room.
    OutputWait {
        /// Whether one cannot.
        active: bool,
    },
    /// Whether the file whose turn it is waits for memory.
    MemoryWait {
        /// Whether it does.
        active: bool,
    },
    /// Every inbox has been scanned once.
    FirstScanDone,
    /// A pipeline that a reload removed has finished all it had claimed.
    Gone {
        /// The pipeline.
        pipeline: Arc<str>,
    },
}
