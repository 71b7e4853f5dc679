//! The exactly-once path: from a claimed file to a published directory, an archived original and a line in the ledger.
//!
//! Delivery is at least once, *effects* are once: every name derives from the id, and every step is "do if not done".
//!
//! | step | what | where |
//! |---|---|---|
//! | 1-3 | look, intend, claim | [`Publisher::claim`] |
//! | 4 | count the attempt, then work; the input is the same before and after | [`Publisher::begin`] |
//! | 5, 6 | sync outputs, manifest last; own sums agree with the files | `gate` |
//! | 7 | ledger STAGED, which reserves the content: from here on it will be published | [`Publisher::publish`] |
//! | 8, 9 | one rename makes it visible; ledger PUBLISHED | `visible` |
//! | 10, 11 | the original moves; ledger DONE | `steps` |
//!
//! A restart goes through the same steps from wherever the ledger says the file is (`recover`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::admit::{self, Arrival, Claim, Found, PutBack};
use crate::clock::Clock;
use crate::config::Pipeline;
use crate::job::{
    FileId, Job, JobReport, Outcome, QuarantineReason, RejectReason, RetryReason, RowCounts, Timestamp, places,
};
use crate::ledger::{
    ArchiveDecision, AttemptEnd, FileRow, FileState, Ledger, QuarantineDecision, Reservation, StagedFacts,
};
use crate::planted::{self, Bug};
use crate::storage::{Operation, Storage, StorageError};

mod audit;
mod error;
mod explain;
mod gate;
pub mod manifest;
mod names;
mod plain;
mod rebuild;
mod recover;
mod release;
mod replay;
mod results;
mod steps;
mod visible;

pub use audit::{Audit, Audited, Finding, FindingKind};
pub use error::PublishError;
pub use manifest::Manifest;
pub use names::{ERROR_SUFFIX, MANIFEST, REJECTS, REJECTS_SUFFIX, beside};
pub use plain::Plain;
pub use rebuild::{Gathered, gather};
pub use recover::Recovered;
pub use release::release;
pub use replay::{CannotReplay, Followed, Replay, follow, original_to_replay, replay};
pub use results::any_result;
use steps::{Driven, Trust};

/// Carries files through their durable steps. Blocking; may be shared by threads, each with a file of its own.
pub struct Publisher {
    storage: Arc<dyn Storage>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

/// What beginning an attempt came to.
#[derive(Debug, Clone)]
pub enum Begun {
    /// There is work to do.
    Job(Job),
    /// There was none: the outcome had been settled before, and what was left of the steps is done now.
    Finished(Box<Finished>),
}

/// A file that has reached its outcome, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// Everything the ledger knows of it.
    pub row: FileRow,
}

/// Why a file is refused or given up.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// `Quarantined` or `Failed`.
    pub outcome: Outcome,
    /// Why, in one word.
    pub reason: QuarantineReason,
    /// What happened and where, for a person.
    pub message: &'a str,
    /// What to do.
    pub hint: &'a str,
    /// Rows read until then.
    pub rows: RowCounts,
    /// Rejects by reason until then.
    pub rejects: &'a BTreeMap<RejectReason, u64>,
    /// What ended the last attempt, if it is given up.
    pub ended_by: Option<RetryReason>,
}

/// A content that is in the ledger already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// BLAKE3 of the bytes, lower-case hex.
    pub blake3: String,
    /// The file it was published as.
    pub original: FileId,
}

impl Publisher {
    /// Returns a publisher over this disk and this ledger.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, ledger: Arc<Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self { storage, ledger, clock }
    }

    /// Returns the ledger.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Makes a settled file ours. See [`admit::claim`].
    pub fn claim(&self, pipeline: &Pipeline, found: &Found) -> Result<Claim, PublishError> {
        let _company = self.storage.join();
        Ok(admit::claim(&*self.storage, &self.ledger, pipeline, found)?)
    }

    /// Begins an attempt: counted durably, then an empty staging directory that only this attempt ever has.
    ///
    /// A file whose outcome is settled already (an error or a crash came after) is not processed again; what is left of its
    /// steps is done, and it comes back finished. If what it staged is lost, that is this attempt's end: it may be lost as often
    /// as it is made. Nothing is begun while its output is gone.
    pub fn begin(&self, pipeline: &Pipeline, arrival: &Arrival) -> Result<Begun, PublishError> {
        if self.output_is_gone(pipeline)? && self.ledger.get(&arrival.id)?.state == FileState::Claimed {
            return Err(PublishError::OutputGone(visible::not_mounted(&pipeline.output)));
        }
        let trace_id = trace_id();
        let row = self.ledger.start(&arrival.id, &trace_id)?;
        if row.state != FileState::Claimed {
            return self.finished(pipeline, row).map(|finished| Begun::Finished(Box::new(finished)));
        }
        let staging = names::staging(&pipeline.output, &row.id, row.starts);
        self.storage.make_dirs(&places::staging(&pipeline.output))?;
        self.storage.remove_tree(&staging)?;
        // Until it is published nobody minds if it is lost.
        self.storage.make_scratch_dir(&staging)?;
        Ok(Begun::Job(Job {
            name: row.display_name(),
            id: row.id,
            pipeline: row.pipeline,
            input: row.input_path,
            stamp: row.stamp,
            arrived_at: row.arrived_at,
            staging,
            attempt: row.starts,
            trace_id,
        }))
    }

    /// Returns whether this content was published before, without processing it. Reads the file only if one of the same size
    /// was, and not to its end once `stop` says so. A content whose replay is asked for is to be processed.
    pub fn known_content(
        &self,
        pipeline: &Pipeline,
        job: &Job,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Known>, PublishError> {
        if !self.ledger.size_seen(&job.pipeline, job.stamp.size)? {
            return Ok(None);
        }
        let blake3 = gate::fingerprint_of_input(job, stop)?;
        self.still_the_same(job)?;
        let Some(original) = self.ledger.published_as(&job.pipeline, &blake3)? else { return Ok(None) };
        let replayed = self.replay_is_asked(pipeline, &original)?;
        Ok((!replayed).then_some(Known { blake3, original }))
    }

    /// Publishes what a job staged, steps 5 to 11; or archives the input as a duplicate if its content is there already.
    pub fn publish(&self, pipeline: &Pipeline, job: &Job, report: &JobReport) -> Result<Finished, PublishError> {
        let _company = self.storage.join();
        self.still_the_same(job)?;
        let content = &*planted::identity(&job.name, &report.input.blake3);
        let replaces = match self.ledger.published_as(&job.pipeline, content)? {
            Some(original) if !self.replay_is_asked(pipeline, &original)? => {
                let blake3 = report.input.blake3.clone();
                return self.archive_duplicate(pipeline, job, &Known { blake3, original });
            }
            replaces => replaces,
        };
        if let Some(old) = &replaces
            && let Some(refused) = self.refuse_lost(pipeline, job, old)?
        {
            return Ok(refused);
        }
        // Steps 5 and 6. The manifest is last: whoever sees it sees everything it names.
        gate::check(&*self.storage, &job.staging, report)?;
        let row = self.ledger.get(&job.id)?;
        let mut manifest = Manifest::of(pipeline, job, report, row.started_at, self.clock.now());
        manifest.replaces.clone_from(&replaces);
        let manifest_hash = gate::make_durable(&*self.storage, &job.staging, report, &manifest)?;
        if planted::is(Bug::PublishBeforeStaged) {
            let early = names::published(&pipeline.output, &row.id, row.arrived_at);
            self.storage.make_dirs(early.parent().unwrap_or(&early))?;
            self.storage.rename_noreplace(&job.staging, &early)?;
        }
        // Step 7.
        let (disposal, resting) = names::after_success(pipeline, &row);
        let reserved = self.ledger.stage(
            &job.id,
            &StagedFacts {
                blake3: content,
                manifest_hash: &manifest_hash,
                final_dir: &names::published(&pipeline.output, &row.id, row.arrived_at),
                rows: report.rows,
                disposal,
                resting: resting.as_deref(),
                replaces: replaces.as_ref(),
            },
        )?;
        match reserved {
            Reservation::Ours => {}
            Reservation::TakenBy(original) => {
                let blake3 = report.input.blake3.clone();
                return self.archive_duplicate(pipeline, job, &Known { blake3, original });
            }
        }
        // Steps 8 to 11.
        let staged = self.ledger.get(&job.id).map_err(|err| PublishError::unfinished(&job.id, err))?;
        match self.drive(pipeline, staged, Trust::JustStaged)? {
            Driven::Finished(finished) => Ok(*finished),
            Driven::Again(row) => Err(PublishError::StagingLost { message: row.last_error.unwrap_or_default() }),
        }
    }

    /// Ends a file as duplicate: its content was published before.
    pub fn archive_duplicate(&self, pipeline: &Pipeline, job: &Job, known: &Known) -> Result<Finished, PublishError> {
        let message = format!("same content as {}", known.original);
        let decision = (Outcome::Duplicate, Some(known), message.as_str());
        self.archive(pipeline, job, decision)
    }

    /// Ends a file as empty.
    pub fn archive_empty(&self, pipeline: &Pipeline, job: &Job) -> Result<Finished, PublishError> {
        self.still_the_same(job)?;
        self.archive(pipeline, job, (Outcome::Empty, None, "it holds no text"))
    }

    fn archive(
        &self,
        pipeline: &Pipeline,
        job: &Job,
        (outcome, known, message): (Outcome, Option<&Known>, &str),
    ) -> Result<Finished, PublishError> {
        let row = self.ledger.get(&job.id)?;
        if row.state != FileState::Claimed {
            return self.finished(pipeline, row);
        }
        let (disposal, resting) = names::after_archiving(pipeline, &row);
        let row = self.ledger.decide_archive(
            &job.id,
            &ArchiveDecision {
                outcome,
                blake3: known.map(|known| known.blake3.as_str()),
                duplicate_of: known.map(|known| &known.original),
                message,
                disposal,
                resting: resting.as_deref(),
            },
        )?;
        self.finished(pipeline, row)
    }

    /// Refuses a file or gives it up: the original goes to quarantine with an explanation beside it. A file whose outcome
    /// is settled already keeps that outcome.
    pub fn quarantine(&self, pipeline: &Pipeline, job: &Job, refusal: &Refusal<'_>) -> Result<Finished, PublishError> {
        let row = self.ledger.get(&job.id)?;
        if row.state != FileState::Claimed {
            return self.finished(pipeline, row);
        }
        self.sync_rejects(&job.staging)?;
        let resting = names::quarantined(pipeline, &row);
        let explanation = explain::text(&row, refusal, self.clock.now());
        let row = self.ledger.decide_quarantine(
            &job.id,
            FileState::Claimed,
            &QuarantineDecision {
                outcome: refusal.outcome,
                reason: Some(refusal.reason),
                message: refusal.message,
                explanation: &explanation,
                rows: refusal.rows,
                resting: Some(&resting),
                ended_by: refusal.ended_by,
            },
        )?;
        self.finished(pipeline, row)
    }

    /// Ends a claimed file that is gone: there is nothing to move, but it is told as failed.
    pub fn vanished(&self, pipeline: &Pipeline, id: &FileId, message: &str) -> Result<Finished, PublishError> {
        let row = self.ledger.get(id)?;
        if row.state != FileState::Claimed {
            return self.finished(pipeline, row);
        }
        if let Some(work) = self.missing_work_root(pipeline, &row)? {
            let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "it is missing: is its volume mounted?");
            return Err(StorageError::new(Operation::Stat, &work, missing).into());
        }
        let row = self.ledger.decide_quarantine(
            id,
            FileState::Claimed,
            &QuarantineDecision {
                outcome: Outcome::Failed,
                reason: None,
                message,
                explanation: "",
                rows: RowCounts::default(),
                resting: None,
                ended_by: None,
            },
        )?;
        self.finished(pipeline, row)
    }

    /// Ends an attempt that came to nothing: what it staged is removed, and the ledger knows whether it counts. Returns the
    /// arrival for the next attempt.
    pub fn give_up_attempt(&self, job: &Job, end: &AttemptEnd<'_>) -> Result<Arrival, PublishError> {
        // What is staged goes first: on a full disk that makes room for the ledger.
        if self.ledger.get(&job.id)?.state == FileState::Claimed {
            self.storage.remove_tree(&job.staging)?;
        }
        Ok(Arrival::of(&self.ledger.give_up(&job.id, end)?))
    }

    /// Gives a file back to its inbox that changed while it was read.
    pub fn put_back(&self, pipeline: &Pipeline, job: &Job) -> Result<PutBack, PublishError> {
        self.storage.remove_tree(&job.staging)?;
        let row = self.ledger.get(&job.id)?;
        Ok(admit::put_back(&*self.storage, &self.ledger, pipeline, &row)?)
    }

    /// Returns the folder the claimed file lies in if that is gone too: a volume that is not mounted looks just like lost
    /// files, and is waited for instead of giving them all up.
    fn missing_work_root(&self, pipeline: &Pipeline, row: &FileRow) -> Result<Option<PathBuf>, PublishError> {
        if !row.in_place {
            let work = places::claimed(&pipeline.input);
            return Ok(self.storage.stat(&work)?.is_none().then_some(work));
        }
        // Nothing of ours lies in an inbox that files stay in. An empty folder on another device than the file was on may be
        // all that is left of one that is not mounted.
        let there = match self.storage.stat(&pipeline.input.join("."))? {
            Some(inbox) if inbox.stamp.dev == row.stamp.dev => true,
            Some(_) => !self.storage.list(&pipeline.input)?.is_empty(),
            None => false,
        };
        Ok((!there).then(|| pipeline.input.clone()))
    }

    /// The input is still what was claimed.
    fn still_the_same(&self, job: &Job) -> Result<(), PublishError> {
        match self.storage.stat(&job.input)? {
            Some(entry) if entry.stamp == job.stamp => Ok(()),
            Some(_) => Err(PublishError::Changed { name: job.name.clone() }),
            None => Err(PublishError::Vanished { name: job.name.clone() }),
        }
    }

    /// Does what is left to do for a file whose outcome is settled.
    fn finished(&self, pipeline: &Pipeline, row: FileRow) -> Result<Finished, PublishError> {
        match self.finish(pipeline, row)? {
            Driven::Finished(finished) => Ok(*finished),
            Driven::Again(row) => Err(PublishError::StagingLost { message: row.last_error.unwrap_or_default() }),
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Returns 32 random hex digits, not all zero.
fn trace_id() -> String {
    format!("{:032x}", fastrand::u128(1..))
}

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod given_up_tests;
#[cfg(test)]
mod moved_tests;
#[cfg(test)]
mod rebuild_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod sync_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
