//! Every change of the ledger: one function per turn of a file's life, each one transaction with its line of the story.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rusqlite::{Connection, Params, named_params, params};

use super::row::{bytes_of, unhex};
use super::{Disposal, FileRow, FileState, Ledger, LedgerError, query, replace};
use crate::job::{FileId, FileStamp, Outcome, QuarantineReason, RetryReason, RowCounts, Timestamp, display_name};
use crate::planted::{self, Bug};

/// A file about to be claimed.
#[derive(Debug, Clone)]
pub struct Intent<'a> {
    /// Its id.
    pub id: &'a FileId,
    /// Its pipeline.
    pub pipeline: &'a str,
    /// Its name in the inbox.
    pub name: &'a OsStr,
    /// What it looks like.
    pub stamp: FileStamp,
    /// It stays in the inbox.
    pub in_place: bool,
    /// Where it will lie while in progress.
    pub input_path: &'a Path,
    /// When it was first seen.
    pub arrived_at: Timestamp,
}

/// How an attempt ended without an outcome.
#[derive(Debug, Clone, Copy)]
pub struct AttemptEnd<'a> {
    /// Why; `None` when the daemon is stopping.
    pub reason: Option<RetryReason>,
    /// For a person.
    pub message: &'a str,
    /// Whether it counts towards giving up: not for a full disk, a changed file, or a stop.
    pub counted: bool,
    /// When the next attempt may begin.
    pub next_attempt_at: Option<Timestamp>,
}

/// What is known when the outputs of a file are whole and synced.
#[derive(Debug, Clone, Copy)]
pub struct StagedFacts<'a> {
    /// BLAKE3 of the input, lower-case hex.
    pub blake3: &'a str,
    /// BLAKE3 of `_manifest.json`, lower-case hex.
    pub manifest_hash: &'a str,
    /// The directory they will be published as.
    pub final_dir: &'a Path,
    /// Row counts.
    pub rows: RowCounts,
    /// What happens to the original then.
    pub disposal: Disposal,
    /// Where it goes, if it is moved.
    pub resting: Option<&'a Path>,
    /// The file it is a replay of: its result takes the place of that one's.
    pub replaces: Option<&'a FileId>,
}

/// Whether a content may be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// It may, and by nobody else.
    Ours,
    /// Another file has published it, or surely will.
    TakenBy(FileId),
}

/// A file that ends without anything published and without a fault: duplicate or empty.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveDecision<'a> {
    /// `Duplicate` or `Empty`.
    pub outcome: Outcome,
    /// BLAKE3 of the input, lower-case hex, if it was read.
    pub blake3: Option<&'a str>,
    /// The file published before with the same content.
    pub duplicate_of: Option<&'a FileId>,
    /// For a person.
    pub message: &'a str,
    /// What happens to the original.
    pub disposal: Disposal,
    /// Where it goes, if it is moved.
    pub resting: Option<&'a Path>,
}

/// A file that is refused or given up.
#[derive(Debug, Clone, Copy)]
pub struct QuarantineDecision<'a> {
    /// `Quarantined` or `Failed`.
    pub outcome: Outcome,
    /// Why, in one word; `None` when the content is not at fault (it vanished, its place is taken).
    pub reason: Option<QuarantineReason>,
    /// Why, for a person.
    pub message: &'a str,
    /// The text of its `.error.json`.
    pub explanation: &'a str,
    /// Rows read until then.
    pub rows: RowCounts,
    /// Where the original goes; `None` if there is none any more.
    pub resting: Option<&'a Path>,
    /// What ended the last attempt, if the file is given up: that one counts too.
    pub ended_by: Option<RetryReason>,
}

impl Ledger {
    /// Writes down that a file is about to be claimed.
    pub fn intend(&self, intent: &Intent<'_>) -> Result<FileRow, LedgerError> {
        self.write("claim", |tx| {
            let now = self.clock.now();
            tx.prepare_cached(
                "INSERT INTO files (id, pipeline, name, state, dev, ino, size, mtime_ns, in_place, input_path,
                                    arrived_at, claimed_at)
                 VALUES (:id, :pipeline, :name, 'claimed', :dev, :ino, :size, :mtime_ns, :in_place, :input_path,
                         :arrived_at, :now)",
            )?
            .execute(named_params! {
                ":id": intent.id.as_str(),
                ":pipeline": intent.pipeline,
                ":name": intent.name.as_bytes(),
                ":dev": intent.stamp.dev.cast_signed(),
                ":ino": intent.stamp.ino.cast_signed(),
                ":size": intent.stamp.size.cast_signed(),
                ":mtime_ns": intent.stamp.mtime_ns,
                ":in_place": intent.in_place,
                ":input_path": bytes_of(intent.input_path),
                ":arrived_at": intent.arrived_at.0,
                ":now": now.0,
            })?;
            let size = intent.stamp.size;
            let told = format!("{} ({size} bytes)", display_name(intent.name));
            tell(tx, intent.id, now, "claimed", &told)?;
            wanted(tx, intent.id)
        })
    }

    /// Forgets a claim that came to nothing: the file is back in the inbox, or was replaced there.
    pub fn forget(&self, id: &FileId) -> Result<(), LedgerError> {
        self.write("claim", |tx| {
            tx.prepare_cached("DELETE FROM files WHERE id = ? AND state = 'claimed'")?.execute([id.as_str()])?;
            Ok(())
        })
    }

    /// Writes down what a claimed file looks like now.
    pub fn restamp(&self, id: &FileId, stamp: FileStamp) -> Result<FileRow, LedgerError> {
        self.write("claim", |tx| {
            let sql =
                "UPDATE files SET dev = ?2, ino = ?3, size = ?4, mtime_ns = ?5 WHERE id = ?1 AND state = 'claimed'";
            let (dev, ino) = (stamp.dev.cast_signed(), stamp.ino.cast_signed());
            let values = params![id.as_str(), dev, ino, stamp.size.cast_signed(), stamp.mtime_ns];
            turn(tx, id, FileState::Claimed, sql, values)?;
            let told = format!("it has {} bytes now", stamp.size);
            tell(tx, id, self.clock.now(), "changed", &told)?;
            wanted(tx, id)
        })
    }

    /// Counts an attempt as begun, before its work begins. A file that is past `claimed` is returned as it is.
    pub fn start(&self, id: &FileId, trace_id: &str) -> Result<FileRow, LedgerError> {
        self.write("attempt", |tx| {
            let row = wanted(tx, id)?;
            if row.state != FileState::Claimed {
                return Ok(row);
            }
            let now = self.clock.now();
            tx.prepare_cached(
                "UPDATE files SET starts = starts + 1, running = 1, started_at = ?2, trace_id = ?3,
                                  next_attempt_at = NULL
                 WHERE id = ?1",
            )?
            .execute(params![id.as_str(), now.0, trace_id])?;
            let told = format!("attempt {}, trace {trace_id}", row.starts + 1);
            tell(tx, id, now, "started", &told)?;
            wanted(tx, id)
        })
    }

    /// Writes down that an attempt ended without an outcome. A file that is past `claimed` only gets the line.
    pub fn give_up(&self, id: &FileId, end: &AttemptEnd<'_>) -> Result<FileRow, LedgerError> {
        self.write("attempt", |tx| {
            let crashed = end.counted && end.reason == Some(RetryReason::Crash);
            tx.prepare_cached(
                "UPDATE files SET running = 0, attempts = attempts + ?2, crashes = crashes + ?3, last_error = ?4,
                                  next_attempt_at = ?5
                 WHERE id = ?1 AND state = 'claimed'",
            )?
            .execute(params![
                id.as_str(),
                end.counted && !planted::is(Bug::ForgetAttempts),
                crashed,
                end.message,
                end.next_attempt_at.map(|at| at.0)
            ])?;
            let what = if end.reason.is_some() { "retried" } else { "interrupted" };
            let told = end.reason.map_or_else(|| end.message.to_owned(), |reason| format!("{reason}: {}", end.message));
            tell(tx, id, self.clock.now(), what, &told)?;
            wanted(tx, id)
        })
    }

    /// Writes down that the daemon died during an attempt, once. Such an attempt does not count.
    pub fn interrupted(&self, id: &FileId) -> Result<(), LedgerError> {
        self.write("attempt", |tx| {
            let changed = tx
                .prepare_cached("UPDATE files SET running = 0 WHERE id = ? AND running = 1")?
                .execute([id.as_str()])?;
            if changed == 1 {
                tell(tx, id, self.clock.now(), "interrupted", "the daemon ended during the attempt")?;
            }
            Ok(())
        })
    }

    /// Writes down that the outputs are whole, and reserves their content. From here on the file will be published.
    pub fn stage(&self, id: &FileId, facts: &StagedFacts<'_>) -> Result<Reservation, LedgerError> {
        self.write("stage", |tx| {
            let row = wanted(tx, id)?;
            let hash = unhex(facts.blake3);
            if let Some(hash) = &hash
                && let Some(other) = query::published_as(tx, &row.pipeline, hash)?
            {
                if facts.replaces != Some(&other) {
                    return Ok(Reservation::TakenBy(other));
                }
                replace::take_place(tx, id, &other, self.clock.now())?;
            }
            let rows = facts.rows;
            turn(
                tx,
                id,
                FileState::Claimed,
                "UPDATE files SET state = 'staged', outcome = 'succeeded', running = 0, last_error = NULL,
                                  blake3 = ?2, manifest_hash = ?3, final_dir = ?4, disposal = ?5, resting = ?6,
                                  rows_read = ?7, rows_written = ?8, rows_rejected = ?9, rows_dropped = ?10
                 WHERE id = ?1 AND state = 'claimed'",
                params![
                    id.as_str(),
                    hash,
                    unhex(facts.manifest_hash),
                    bytes_of(facts.final_dir),
                    facts.disposal.as_str(),
                    facts.resting.map(bytes_of),
                    rows.read.cast_signed(),
                    rows.written.cast_signed(),
                    rows.rejected.cast_signed(),
                    rows.dropped.cast_signed(),
                ],
            )?;
            let told = format!("{} rows read, {} written, {} rejected", rows.read, rows.written, rows.rejected);
            tell(tx, id, self.clock.now(), "staged", &told)?;
            Ok(Reservation::Ours)
        })
    }

    /// Writes down that what is staged lies in another output by now, and will be published there as `final_dir`.
    pub fn moved(&self, id: &FileId, final_dir: &Path) -> Result<FileRow, LedgerError> {
        self.write("stage", |tx| {
            let sql = "UPDATE files SET final_dir = ?2 WHERE id = ?1 AND state = 'staged'";
            turn(tx, id, FileState::Staged, sql, params![id.as_str(), bytes_of(final_dir)])?;
            tell(tx, id, self.clock.now(), "moved", &format!("its output was moved: {}", final_dir.display()))?;
            wanted(tx, id)
        })
    }

    /// Takes STAGED back: its outputs are lost or damaged and nothing is published. The file will be processed again; whoever
    /// asked for this step tells the end of the attempt ([`Self::give_up`]).
    pub fn unstage(&self, id: &FileId, why: &str) -> Result<FileRow, LedgerError> {
        self.write("stage", |tx| {
            turn(
                tx,
                id,
                FileState::Staged,
                "UPDATE files SET state = 'claimed', outcome = NULL, blake3 = NULL, manifest_hash = NULL,
                                  final_dir = NULL, disposal = NULL, resting = NULL, last_error = ?2,
                                  rows_read = NULL, rows_written = NULL, rows_rejected = NULL, rows_dropped = NULL
                 WHERE id = ?1 AND state = 'staged'",
                params![id.as_str(), why],
            )?;
            replace::give_place_back(tx, id, self.clock.now())?;
            tell(tx, id, self.clock.now(), "unstaged", why)?;
            wanted(tx, id)
        })
    }

    /// Writes down that the outputs are visible.
    pub fn published(&self, id: &FileId) -> Result<FileRow, LedgerError> {
        self.write("publish", |tx| {
            let sql = "UPDATE files SET state = 'published' WHERE id = ?1 AND state = 'staged'";
            turn(tx, id, FileState::Staged, sql, [id.as_str()])?;
            let row = wanted(tx, id)?;
            let told = row.final_dir.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default();
            tell(tx, id, self.clock.now(), "published", &told)?;
            Ok(row)
        })
    }

    /// Decides that a file ends as duplicate or empty.
    pub fn decide_archive(&self, id: &FileId, decision: &ArchiveDecision<'_>) -> Result<FileRow, LedgerError> {
        self.write("finish", |tx| {
            turn(
                tx,
                id,
                FileState::Claimed,
                "UPDATE files SET state = 'archiving', running = 0, outcome = ?2, blake3 = ?3, duplicate_of = ?4,
                                  message = ?5, disposal = ?6, resting = ?7
                 WHERE id = ?1 AND state = 'claimed'",
                params![
                    id.as_str(),
                    decision.outcome.as_str(),
                    decision.blake3.and_then(unhex),
                    decision.duplicate_of.map(FileId::as_str),
                    decision.message,
                    decision.disposal.as_str(),
                    decision.resting.map(bytes_of),
                ],
            )?;
            tell(tx, id, self.clock.now(), decision.outcome.as_str(), decision.message)?;
            wanted(tx, id)
        })
    }

    /// Decides that a file is refused or given up. From `claimed`, or from `staged` when its place is taken.
    pub fn decide_quarantine(
        &self,
        id: &FileId,
        from: FileState,
        decision: &QuarantineDecision<'_>,
    ) -> Result<FileRow, LedgerError> {
        self.write("finish", |tx| {
            let rows = decision.rows;
            turn(
                tx,
                id,
                from,
                "UPDATE files SET state = 'quarantining', running = 0, outcome = ?3, reason = ?4, message = ?5,
                                  explanation = ?6, rows_read = ?7, rows_written = ?8, rows_rejected = ?9,
                                  rows_dropped = ?10, disposal = 'move', resting = ?11,
                                  attempts = attempts + ?12, crashes = crashes + ?13,
                                  final_dir = NULL, manifest_hash = NULL
                 WHERE id = ?1 AND state = ?2",
                params![
                    id.as_str(),
                    from.as_str(),
                    decision.outcome.as_str(),
                    decision.reason.map(QuarantineReason::as_str),
                    decision.message,
                    decision.explanation,
                    rows.read.cast_signed(),
                    rows.written.cast_signed(),
                    rows.rejected.cast_signed(),
                    rows.dropped.cast_signed(),
                    decision.resting.map(bytes_of),
                    decision.ended_by.is_some(),
                    decision.ended_by == Some(RetryReason::Crash),
                ],
            )?;
            if from == FileState::Staged {
                replace::give_place_back(tx, id, self.clock.now())?;
            }
            let told = decision
                .reason
                .map_or_else(|| decision.message.to_owned(), |reason| format!("{reason}: {}", decision.message));
            tell(tx, id, self.clock.now(), decision.outcome.as_str(), &told)?;
            wanted(tx, id)
        })
    }

    /// Writes down that everything is where it belongs. `resting` is where the original really is, if anywhere of ours;
    /// `in_inbox`, whether one that was taken in place lies there still. One that does not is a new arrival should it come back.
    pub fn done(
        &self,
        id: &FileId,
        resting: Option<&Path>,
        in_inbox: bool,
        told: &str,
    ) -> Result<FileRow, LedgerError> {
        self.write("finish", |tx| {
            let now = self.clock.now();
            tx.prepare_cached(
                "UPDATE files SET state = 'done', finished_at = ?2, resting = ?3, next_attempt_at = NULL,
                                  in_place = in_place AND ?4
                 WHERE id = ?1 AND state IN ('published', 'archiving', 'quarantining')",
            )?
            .execute(params![id.as_str(), now.0, resting.map(bytes_of), in_inbox])?;
            tell(tx, id, now, "done", told)?;
            wanted(tx, id)
        })
    }

    /// Writes down that an original is no longer in quarantine: somebody mended, retried or removed it.
    pub fn left_quarantine(&self, id: &FileId, told: &str) -> Result<(), LedgerError> {
        self.write("finish", |tx| {
            tx.prepare_cached("UPDATE files SET resting = NULL WHERE id = ? AND state = 'done'")?
                .execute([id.as_str()])?;
            tell(tx, id, self.clock.now(), "left_quarantine", told)
        })
    }

    /// Adds a line to a file's story.
    pub fn note(&self, id: &FileId, what: &str, message: &str) -> Result<(), LedgerError> {
        self.write("finish", |tx| tell(tx, id, self.clock.now(), what, message))
    }
}

/// Runs one state change and refuses if the file is not in the state it begins from.
fn turn(tx: &Connection, id: &FileId, from: FileState, sql: &str, values: impl Params) -> Result<(), LedgerError> {
    if tx.prepare_cached(sql)?.execute(values)? == 1 {
        return Ok(());
    }
    let found = wanted(tx, id)?.state;
    Err(LedgerError::State { id: id.clone(), found, wanted: from })
}

fn wanted(tx: &Connection, id: &FileId) -> Result<FileRow, LedgerError> {
    query::get(tx, id)?.ok_or_else(|| LedgerError::NoSuchFile { id: id.clone() })
}

pub(super) fn tell(tx: &Connection, id: &FileId, at: Timestamp, what: &str, message: &str) -> Result<(), LedgerError> {
    tx.prepare_cached("INSERT INTO events (file, at, what, message) VALUES (?, ?, ?, ?)")?.execute(params![
        id.as_str(),
        at.0,
        what,
        message
    ])?;
    Ok(())
}
