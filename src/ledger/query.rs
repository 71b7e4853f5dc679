//! Questions to the ledger, for its one writer and for readers alike.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::PoisonError;

use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::row::{stamp, unhex};
use super::{FileRow, FileState, Ledger, LedgerError, StoryLine};
use crate::job::{FileId, FileStamp, Outcome, Timestamp};

/// Named, as the planner would rather walk the whole ledger in the order of the ids.
pub(super) const UNFINISHED: &str = "SELECT * FROM files INDEXED BY files_unfinished WHERE state <> 'done' ORDER BY id";

/// What lies in an inbox and was taken, oldest first.
pub(super) const KEPT: &str =
    "SELECT name, dev, ino, size, mtime_ns FROM files WHERE pipeline = ? AND in_place = 1 ORDER BY name, id";

/// What is published of a content now: a result that a replay took the place of is not.
pub(super) const PUBLISHED_AS: &str =
    "SELECT id FROM files WHERE pipeline = ? AND blake3 = ? AND outcome = 'succeeded' AND replaced_by IS NULL";

/// The word for a result that a replay has taken the place of.
pub(super) const REPLACED: &str = "replaced";

/// Which files to list. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this pipeline.
    pub pipeline: Option<String>,
    /// Only those in this state.
    pub state: Option<FileState>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// Only those whose result a replay has taken the place of.
    pub replaced: bool,
    /// At most so many; 0 is no limit.
    pub limit: usize,
}

impl Filter {
    /// Sets the state or the outcome from one word of either set, or `replaced`: people do not tell them apart, nor need to.
    pub fn state_or_outcome(&mut self, word: &str) -> Result<(), String> {
        if word == REPLACED {
            self.replaced = true;
            return Ok(());
        }
        if let Ok(state) = word.parse() {
            self.state = Some(state);
            return Ok(());
        }
        let outcome = word.parse::<Outcome>().map_err(|_| {
            let states = FileState::ALL.iter().map(|state| state.as_str());
            let all: Vec<_> =
                states.chain(Outcome::ALL.iter().map(|outcome| outcome.as_str())).chain([REPLACED]).collect();
            format!("'{word}' is none of: {}", all.join(", "))
        })?;
        self.outcome = Some(outcome);
        Ok(())
    }
}

/// How many files the ledger holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By state; every state is there.
    pub by_state: BTreeMap<FileState, u64>,
    /// By pipeline and outcome, finished or about to be.
    pub by_outcome: BTreeMap<(String, Outcome), u64>,
    /// Originals lying in quarantine, by pipeline.
    pub in_quarantine: BTreeMap<String, u64>,
}

/// When things last happened in one pipeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PipelineTimes {
    /// Last `succeeded`.
    pub last_success: Option<Timestamp>,
    /// Last end of any kind.
    pub last_completion: Option<Timestamp>,
    /// Last `quarantined` or `failed`.
    pub last_failure: Option<Timestamp>,
    /// Last file claimed, by the time it was first seen.
    pub last_arrival: Option<Timestamp>,
}

impl Ledger {
    /// Returns one file by its id.
    pub fn get(&self, id: &FileId) -> Result<FileRow, LedgerError> {
        self.read("query", |connection| get(connection, id))?.ok_or_else(|| LedgerError::NoSuchFile { id: id.clone() })
    }

    /// Returns the files that are not done, oldest first.
    pub fn unfinished(&self) -> Result<Vec<FileRow>, LedgerError> {
        self.read("query", |connection| rows(connection, UNFINISHED, ()))
    }

    /// Returns the files that match, newest first.
    pub fn files(&self, filter: &Filter) -> Result<Vec<FileRow>, LedgerError> {
        self.read("query", |connection| files(connection, filter))
    }

    /// Returns the files with this id, this name, or an id that begins so; newest first.
    pub fn find(&self, what: &OsStr) -> Result<Vec<FileRow>, LedgerError> {
        self.read("query", |connection| find(connection, what))
    }

    /// Returns the story of a file, oldest line first.
    pub fn story(&self, id: &FileId) -> Result<Vec<StoryLine>, LedgerError> {
        self.read("query", |connection| story(connection, id))
    }

    /// Returns how many files there are. Cheap when nothing changed since the last call.
    pub fn counts(&self) -> Result<Counts, LedgerError> {
        let now = self.group.commits();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counts)) = counted.as_ref().filter(|(at, _)| *at == now) {
            return Ok(counts.clone());
        }
        let counts = self.read("query", counts)?;
        *counted = Some((now, counts.clone()));
        Ok(counts)
    }

    /// Returns when things last happened in a pipeline.
    pub fn times(&self, pipeline: &str) -> Result<PipelineTimes, LedgerError> {
        self.read("query", |connection| times(connection, pipeline))
    }

    /// Returns the file this content was published (or is about to be) as, if it was. `blake3` is lower-case hex.
    pub fn published_as(&self, pipeline: &str, blake3: &str) -> Result<Option<FileId>, LedgerError> {
        let Some(hash) = unhex(blake3) else { return Ok(None) };
        self.read("query", |connection| published_as(connection, pipeline, &hash))
    }

    /// Returns whether anything of this pipeline was published in this output, or surely will be.
    pub fn has_results_in(&self, pipeline: &str, output: &Path) -> Result<bool, LedgerError> {
        let below = [output.as_os_str().as_bytes(), b"/"].concat();
        self.read("query", |connection| {
            connection
                .prepare_cached(
                    "SELECT 1 FROM files
                     WHERE pipeline = ?1 AND outcome = 'succeeded' AND substr(final_dir, 1, length(?2)) = ?2 LIMIT 1",
                )?
                .exists(params![pipeline, below])
        })
    }

    /// Returns whether any file of so many bytes was published: only then can a new one be a duplicate.
    pub fn size_seen(&self, pipeline: &str, bytes: u64) -> Result<bool, LedgerError> {
        self.read("query", |connection| {
            connection
                .prepare_cached(
                    "SELECT 1 FROM files WHERE pipeline = ? AND size = ? AND outcome = 'succeeded' LIMIT 1",
                )?
                .exists(params![pipeline, bytes.cast_signed()])
        })
    }

    /// Returns the files taken in place (`on_success = "keep"`), in progress or done, by name: each as it was when it was
    /// last taken. One that still looks so is not taken again.
    pub fn kept(&self, pipeline: &str) -> Result<HashMap<OsString, FileStamp>, LedgerError> {
        self.read("query", |connection| {
            let mut kept = connection.prepare_cached(KEPT)?;
            // Oldest first, so that the newest of a name stays in the map.
            kept.query_map([pipeline], |row| Ok((OsString::from_vec(row.get("name")?), stamp(row)?)))?.collect()
        })
    }

    /// Returns the originals that should lie in this pipeline's quarantine.
    pub fn in_quarantine(&self, pipeline: &str) -> Result<Vec<FileRow>, LedgerError> {
        self.read("query", |connection| {
            rows(
                connection,
                "SELECT * FROM files WHERE pipeline = ? AND outcome IN ('quarantined', 'failed')
                 AND resting IS NOT NULL ORDER BY id",
                [pipeline],
            )
        })
    }

    /// Returns the claims under way for this name.
    pub(crate) fn claims_of(&self, pipeline: &str, name: &OsStr) -> Result<Vec<FileRow>, LedgerError> {
        self.read("query", |connection| {
            rows(
                connection,
                "SELECT * FROM files WHERE pipeline = ? AND name = ? AND state <> 'done' AND state = 'claimed'",
                params![pipeline, name.as_bytes()],
            )
        })
    }
}

pub(super) fn get(connection: &Connection, id: &FileId) -> rusqlite::Result<Option<FileRow>> {
    connection.prepare_cached("SELECT * FROM files WHERE id = ?")?.query_row([id.as_str()], FileRow::read).optional()
}

pub(super) fn newest_id(connection: &Connection) -> rusqlite::Result<Option<FileId>> {
    let id: Option<String> = connection.query_row("SELECT max(id) FROM files", (), |row| row.get(0))?;
    Ok(id.and_then(|id| FileId::parse(&id)))
}

pub(super) fn files(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<FileRow>> {
    // Few files are unfinished, whatever the ledger holds; the planner would rather walk all of it in the order of the ids.
    let unfinished = filter.state.is_some_and(|state| state != FileState::Done);
    let index = if unfinished { " INDEXED BY files_unfinished" } else { "" };
    let mut sql = format!("SELECT * FROM files{index} WHERE 1");
    let mut values: Vec<&str> = Vec::new();
    if let Some(pipeline) = &filter.pipeline {
        sql.push_str(" AND pipeline = ?");
        values.push(pipeline);
    }
    match filter.state {
        Some(FileState::Done) => sql.push_str(" AND state = 'done'"),
        Some(state) => {
            sql.push_str(" AND state <> 'done' AND state = ?");
            values.push(state.as_str());
        }
        None => {}
    }
    if let Some(outcome) = filter.outcome {
        sql.push_str(" AND outcome = ?");
        values.push(outcome.as_str());
    }
    if filter.replaced {
        sql.push_str(" AND outcome = 'succeeded' AND replaced_by IS NOT NULL");
    }
    sql.push_str(" ORDER BY id DESC LIMIT ");
    let limit = if filter.limit == 0 { -1 } else { i64::try_from(filter.limit).unwrap_or(-1) };
    sql.push_str(&limit.to_string());
    rows(connection, &sql, rusqlite::params_from_iter(values))
}

/// From one name to the next by the index: `DISTINCT` would read an entry of it for every file.
pub(super) const PIPELINES: &str = "WITH RECURSIVE names(name) AS (
        SELECT min(pipeline) FROM files
        UNION ALL SELECT (SELECT min(pipeline) FROM files WHERE pipeline > name) FROM names WHERE name IS NOT NULL
    ) SELECT name FROM names WHERE name IS NOT NULL";

pub(super) fn pipelines(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(PIPELINES)?.query_map((), |row| row.get(0))?.collect()
}

pub(super) fn page(connection: &Connection, after: Option<&FileId>, limit: usize) -> rusqlite::Result<Vec<FileRow>> {
    let after = after.map_or("", FileId::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    rows(connection, "SELECT * FROM files WHERE id > ? ORDER BY id LIMIT ?", params![after, limit])
}

pub(super) fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut damage = Vec::new();
    let mut check = connection.prepare("PRAGMA integrity_check(20)")?;
    for line in check.query_map((), |row| row.get::<_, String>(0))? {
        damage.push(line?);
    }
    damage.retain(|line| line != "ok");
    let mut orphans = connection.prepare("PRAGMA foreign_key_check")?;
    let orphans = orphans.query_map((), |_| Ok(()))?.count();
    if orphans > 0 {
        damage.push(format!("{orphans} lines of stories belong to no file"));
    }
    Ok(damage)
}

pub(super) fn find(connection: &Connection, what: &OsStr) -> rusqlite::Result<Vec<FileRow>> {
    let lower = what.to_str().map(str::to_ascii_lowercase).unwrap_or_default();
    if let Some(row) = FileId::parse(&lower).map(|id| get(connection, &id)).transpose()?.flatten() {
        return Ok(vec![row]);
    }
    let named = rows(connection, "SELECT * FROM files WHERE name = ? ORDER BY id DESC", [what.as_bytes()])?;
    // Fewer characters would find half the ledger by accident.
    if !named.is_empty() || lower.len() < 4 || FileId::parse(&lower).is_none() {
        return Ok(named);
    }
    rows(
        connection,
        "SELECT * FROM files WHERE id >= :prefix AND id < :prefix || '~' ORDER BY id DESC",
        named_params! { ":prefix": lower },
    )
}

pub(super) fn story(connection: &Connection, id: &FileId) -> rusqlite::Result<Vec<StoryLine>> {
    connection
        .prepare_cached("SELECT at, what, message FROM events WHERE file = ? ORDER BY seq")?
        .query_map([id.as_str()], |row| {
            Ok(StoryLine { at: Timestamp(row.get(0)?), what: row.get(1)?, message: row.get(2)? })
        })?
        .collect()
}

pub(super) fn published_as(
    connection: &Connection,
    pipeline: &str,
    hash: &[u8; 32],
) -> rusqlite::Result<Option<FileId>> {
    let id: Option<String> =
        connection.prepare_cached(PUBLISHED_AS)?.query_row(params![pipeline, hash], |row| row.get(0)).optional()?;
    Ok(id.and_then(|id| FileId::parse(&id)))
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts::default();
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let all: i64 = connection.query_row("SELECT count(*) FROM files", (), |row| row.get(0))?;
    counts.by_state = FileState::ALL.iter().map(|state| (*state, 0)).collect();
    let mut done = number(all);
    let mut unfinished =
        connection.prepare_cached("SELECT state, count(*) FROM files WHERE state <> 'done' GROUP BY state")?;
    for found in unfinished.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (state, files) = found?;
        done = done.saturating_sub(number(files));
        if let Ok(state) = state.parse() {
            counts.by_state.insert(state, number(files));
        }
    }
    counts.by_state.insert(FileState::Done, done);
    let mut outcomes = connection.prepare_cached(
        "SELECT pipeline, outcome, count(*) FROM files WHERE outcome IS NOT NULL GROUP BY pipeline, outcome",
    )?;
    for found in
        outcomes.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?
    {
        let (pipeline, outcome, files) = found?;
        if let Ok(outcome) = outcome.parse() {
            counts.by_outcome.insert((pipeline, outcome), number(files));
        }
    }
    let mut quarantined = connection.prepare_cached(
        "SELECT pipeline, count(*) FROM files
         WHERE outcome IN ('quarantined', 'failed') AND resting IS NOT NULL GROUP BY pipeline",
    )?;
    for found in quarantined.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (pipeline, files) = found?;
        counts.in_quarantine.insert(pipeline, number(files));
    }
    Ok(counts)
}

pub(super) fn times(connection: &Connection, pipeline: &str) -> rusqlite::Result<PipelineTimes> {
    let mut finished =
        connection.prepare_cached("SELECT max(finished_at) FROM files WHERE pipeline = ? AND outcome = ?")?;
    let mut last = |outcome: Outcome| -> rusqlite::Result<Option<Timestamp>> {
        let at: Option<i64> = finished.query_row(params![pipeline, outcome.as_str()], |row| row.get(0))?;
        Ok(at.map(Timestamp))
    };
    let mut times = PipelineTimes { last_success: last(Outcome::Succeeded)?, ..PipelineTimes::default() };
    times.last_failure = last(Outcome::Quarantined)?.max(last(Outcome::Failed)?);
    times.last_completion =
        times.last_success.max(times.last_failure).max(last(Outcome::Duplicate)?).max(last(Outcome::Empty)?);
    let arrived: Option<i64> = connection
        .prepare_cached("SELECT max(arrived_at) FROM files WHERE pipeline = ?")?
        .query_row([pipeline], |row| row.get(0))?;
    times.last_arrival = arrived.map(Timestamp);
    Ok(times)
}

fn rows(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<FileRow>> {
    connection.prepare_cached(sql)?.query_map(params, FileRow::read)?.collect()
}
