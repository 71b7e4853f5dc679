//! What is known of one name in an inbox, from its first sight until it is claimed. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::Wants;
use crate::discover::{Name, Settle};
use crate::engine::Now;
use crate::job::{DiscoverySource, FileId, Timestamp};

/// One name of an inbox.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// When it arrived, as far as anybody knows: when it was first seen, or what [`arrival`] makes of it.
    pub(super) first_seen: Timestamp,
    pub(super) source: DiscoverySource,
    /// An event spoke of it.
    pub(super) hinted: bool,
    /// It was told of as discovered.
    pub(super) told: bool,
    /// When the newest look taken in began: older ones that come late are dropped.
    pub(super) seen_at: Duration,
    /// A look is under way, asked for at this time.
    pub(super) looking: Option<Duration>,
    /// An event came while a look or a claim was under way or while the file was being processed in place.
    pub(super) again: bool,
    /// Claims that failed in a row.
    pub(super) claim_failures: u32,
    /// Why a claim refused the file as it is; told once, tried again quietly, and not pending meanwhile.
    pub(super) refused: Option<&'static str>,
    pub(super) settle: Option<Settle>,
    pub(super) phase: Phase,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Known by name only.
    New,
    /// Seen; may still grow.
    Settling,
    /// Whole, but its marker is missing.
    Unmarked,
    /// Whole.
    Ready,
    /// Whole, but its claim failed: not before this time.
    Held(Duration),
    /// Being claimed.
    Claiming,
    /// Being processed where it lies (`on_success = "keep"`).
    Taken(FileId),
    /// Done with, still where it lies (`on_success = "keep"`).
    Kept,
    /// No regular file.
    NotAFile(&'static str),
}

impl Candidate {
    pub(super) const fn new(source: DiscoverySource, now: Now) -> Self {
        Self {
            first_seen: now.wall,
            source,
            hinted: false,
            told: false,
            seen_at: Duration::ZERO,
            looking: None,
            again: false,
            claim_failures: 0,
            refused: None,
            settle: None,
            phase: Phase::New,
        }
    }

    /// Asks for a look at it, unless one is under way.
    pub(super) fn look(&mut self, name: &Name, now: Now, wants: &mut Wants) {
        if self.looking.is_none() {
            self.looking = Some(now.monotonic);
            wants.looks.push(Arc::clone(name));
        }
    }
}

/// Returns when a file arrived that lay in the inbox before anybody looked: nobody saw it come, but the last write and the
/// rename into the inbox are what the file system remembers of it. So a restart does not make waiting files young again.
///
/// The limits: whatever else changes the inode (`chmod`, a hard link) makes it younger; a file system that does not note
/// renames tells of the last write, which may be older; one that remembers nothing has 0, and a clock that was ahead tells of
/// the future: then it arrives now.
pub(super) fn arrival(changed: Timestamp, now: Timestamp) -> Timestamp {
    if changed > Timestamp(0) { changed.min(now) } else { now }
}
