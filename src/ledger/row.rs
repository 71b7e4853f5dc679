//! What the ledger says of one file.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::clock::rfc3339;
use crate::job::{FileId, FileStamp, Outcome, QuarantineReason, RowCounts, Timestamp, display_name};

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileState {
    /// Ours, and to be processed. No outcome yet.
    Claimed,
    /// Its outputs are whole and will be published: nothing is decided any more from here on.
    Staged,
    /// Its outputs are visible; the original is still in the work folder.
    Published,
    /// Nothing to publish (duplicate, empty); the original is still in the work folder.
    Archiving,
    /// Refused or given up; the original is still in the work folder.
    Quarantining,
    /// Everything is where it belongs.
    Done,
}

impl FileState {
    /// Every state, in the order of a file's life.
    pub const ALL: &'static [Self] =
        &[Self::Claimed, Self::Staged, Self::Published, Self::Archiving, Self::Quarantining, Self::Done];

    /// Returns the one spelling of this state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Staged => "staged",
            Self::Published => "published",
            Self::Archiving => "archiving",
            Self::Quarantining => "quarantining",
            Self::Done => "done",
        }
    }
}

impl std::fmt::Display for FileState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for FileState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|state| state.as_str() == text).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("'{text}' is none of: {}", all.join(", "))
        })
    }
}

/// What happens to the original once its outcome is settled. Decided with the outcome, so that a later change of the config
/// does not reach back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposal {
    /// Moved to [`FileRow::resting`].
    Move,
    /// Deleted.
    Delete,
    /// Left where it is.
    Keep,
}

impl Disposal {
    /// Returns the one spelling of this value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Delete => "delete",
            Self::Keep => "keep",
        }
    }
}

impl std::str::FromStr for Disposal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Move, Self::Delete, Self::Keep]
            .into_iter()
            .find(|value| value.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no disposal"))
    }
}

/// One file, as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRow {
    /// Its id.
    pub id: FileId,
    /// Its pipeline.
    pub pipeline: String,
    /// Its name in the inbox, byte for byte.
    pub name: OsString,
    /// How far it has come.
    pub state: FileState,
    /// How it ends, as soon as that is settled.
    pub outcome: Option<Outcome>,
    /// Why it was refused, in one word.
    pub reason: Option<QuarantineReason>,
    /// Why it ended as it did, for a person. Empty when there is nothing to say.
    pub message: String,
    /// The text of its `.error.json`.
    pub explanation: Option<String>,
    /// What it looked like when it was claimed.
    pub stamp: FileStamp,
    /// It stays in the inbox while in progress (`on_success = "keep"`).
    pub in_place: bool,
    /// Where it lies while in progress.
    pub input_path: PathBuf,
    /// BLAKE3 of its bytes, lower-case hex, once it was read whole.
    pub blake3: Option<String>,
    /// The file published before with the same content.
    pub duplicate_of: Option<FileId>,
    /// Attempts begun.
    pub starts: u32,
    /// Attempts that count towards giving up.
    pub attempts: u32,
    /// Those of them that took the worker with them.
    pub crashes: u32,
    /// An attempt has begun and nobody has told of its end.
    pub running: bool,
    /// Trace id of the last attempt.
    pub trace_id: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// When it got its id.
    pub claimed_at: Timestamp,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
    /// When the next attempt may begin.
    pub next_attempt_at: Option<Timestamp>,
    /// BLAKE3 of `_manifest.json`, lower-case hex.
    pub manifest_hash: Option<String>,
    /// The published directory.
    pub final_dir: Option<PathBuf>,
    /// What happens to the original.
    pub disposal: Option<Disposal>,
    /// Where the original lies in the end: archive or quarantine.
    pub resting: Option<PathBuf>,
    /// Its row counts, if it was read.
    pub rows: Option<RowCounts>,
    /// The file whose result its own takes the place of: it is a replay.
    pub replaces: Option<FileId>,
    /// The replay whose result took the place of its own, which is withdrawn.
    pub replaced_by: Option<FileId>,
}

impl FileRow {
    /// Returns its name fit for messages.
    #[must_use]
    pub fn display_name(&self) -> String {
        display_name(&self.name)
    }

    /// Returns whether its original lies in quarantine, as far as the ledger knows.
    #[must_use]
    pub const fn is_in_quarantine(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Quarantined | Outcome::Failed)) && self.resting.is_some()
    }

    /// Returns how it ended, or how far it is, in one word; `replaced` if its result is withdrawn.
    #[must_use]
    pub fn standing(&self) -> &'static str {
        if self.replaced_by.is_some() {
            return super::query::REPLACED;
        }
        self.outcome.map_or(self.state.as_str(), Outcome::as_str)
    }

    /// Reads a row of `SELECT * FROM files`.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let id: String = row.get("id")?;
        Ok(Self {
            id: FileId::parse(&id).ok_or_else(|| invalid(format!("'{id}' is no id")))?,
            pipeline: row.get("pipeline")?,
            name: OsString::from_vec(row.get("name")?),
            state: parsed(&row.get::<_, String>("state")?)?,
            outcome: row.get::<_, Option<String>>("outcome")?.as_deref().map(parsed).transpose()?,
            // A reason of a newer version is no reason to refuse the whole ledger.
            reason: row.get::<_, Option<String>>("reason")?.and_then(|text| text.parse().ok()),
            message: row.get("message")?,
            explanation: row.get("explanation")?,
            stamp: stamp(row)?,
            in_place: row.get("in_place")?,
            input_path: path(row.get("input_path")?),
            blake3: row.get::<_, Option<[u8; 32]>>("blake3")?.map(hex),
            duplicate_of: row.get::<_, Option<String>>("duplicate_of")?.and_then(|id| FileId::parse(&id)),
            starts: row.get("starts")?,
            attempts: row.get("attempts")?,
            crashes: row.get("crashes")?,
            running: row.get("running")?,
            trace_id: row.get("trace_id")?,
            last_error: row.get("last_error")?,
            arrived_at: Timestamp(row.get("arrived_at")?),
            claimed_at: Timestamp(row.get("claimed_at")?),
            started_at: row.get::<_, Option<i64>>("started_at")?.map(Timestamp),
            finished_at: row.get::<_, Option<i64>>("finished_at")?.map(Timestamp),
            next_attempt_at: row.get::<_, Option<i64>>("next_attempt_at")?.map(Timestamp),
            manifest_hash: row.get::<_, Option<[u8; 32]>>("manifest_hash")?.map(hex),
            final_dir: row.get::<_, Option<Vec<u8>>>("final_dir")?.map(path),
            disposal: row.get::<_, Option<String>>("disposal")?.as_deref().map(parsed).transpose()?,
            resting: row.get::<_, Option<Vec<u8>>>("resting")?.map(path),
            rows: rows(row)?,
            replaces: row.get::<_, Option<String>>("replaces")?.and_then(|id| FileId::parse(&id)),
            replaced_by: row.get::<_, Option<String>>("replaced_by")?.and_then(|id| FileId::parse(&id)),
        })
    }
}

/// For `--json` and the HTTP interface: the manifest's field names, times as RFC 3339, paths and names fit to be shown.
impl Serialize for FileRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |at: Option<Timestamp>| at.map(rfc3339);
        let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut out = serializer.serialize_struct("FileRow", 25)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("pipeline", &self.pipeline)?;
        out.serialize_field("name", &self.display_name())?;
        out.serialize_field("state", self.state.as_str())?;
        out.serialize_field("outcome", &self.outcome)?;
        out.serialize_field("reason", &self.reason)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("bytes", &self.stamp.size)?;
        out.serialize_field("blake3", &self.blake3)?;
        out.serialize_field("duplicate_of", &self.duplicate_of)?;
        out.serialize_field("replaces", &self.replaces)?;
        out.serialize_field("replaced_by", &self.replaced_by)?;
        out.serialize_field("attempt", &self.starts)?;
        out.serialize_field("attempts_counted", &self.attempts)?;
        out.serialize_field("trace_id", &self.trace_id)?;
        out.serialize_field("last_error", &self.last_error)?;
        out.serialize_field("arrived_at", &rfc3339(self.arrived_at))?;
        out.serialize_field("claimed_at", &rfc3339(self.claimed_at))?;
        out.serialize_field("started_at", &time(self.started_at))?;
        out.serialize_field("finished_at", &time(self.finished_at))?;
        out.serialize_field("next_attempt_at", &time(self.next_attempt_at))?;
        out.serialize_field("rows", &self.rows)?;
        out.serialize_field("output", &shown(&self.final_dir))?;
        out.serialize_field("original", &shown(&self.resting))?;
        out.serialize_field("input_path", &self.input_path.display().to_string())?;
        out.end()
    }
}

/// One line of a file's story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoryLine {
    /// When.
    #[serde(serialize_with = "as_rfc3339")]
    pub at: Timestamp,
    /// What, in one word: `claimed`, `started`, `retried`, `interrupted`, `staged`, `published`, ...
    pub what: String,
    /// The rest, for a person.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn as_rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

/// Reads what a file looked like when it was claimed.
pub(super) fn stamp(row: &Row<'_>) -> rusqlite::Result<FileStamp> {
    Ok(FileStamp {
        dev: row.get::<_, i64>("dev")?.cast_unsigned(),
        ino: row.get::<_, i64>("ino")?.cast_unsigned(),
        size: row.get::<_, i64>("size")?.cast_unsigned(),
        mtime_ns: row.get("mtime_ns")?,
    })
}

fn rows(row: &Row<'_>) -> rusqlite::Result<Option<RowCounts>> {
    let count = |column: &str| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
    };
    let Some(read) = count("rows_read")? else { return Ok(None) };
    Ok(Some(RowCounts {
        read,
        written: count("rows_written")?.unwrap_or(0),
        rejected: count("rows_rejected")?.unwrap_or(0),
        dropped: count("rows_dropped")?.unwrap_or(0),
    }))
}

fn parsed<T: std::str::FromStr<Err = String>>(text: &str) -> rusqlite::Result<T> {
    text.parse().map_err(invalid)
}

fn invalid(message: String) -> rusqlite::Error {
    let cause = FromSqlError::Other(message.into());
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(cause))
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

pub(super) fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

pub(super) fn hex(hash: [u8; 32]) -> String {
    blake3::Hash::from_bytes(hash).to_hex().to_string()
}

/// Returns the bytes of a hash in hex, `None` if it is none: then nothing has it.
pub(super) fn unhex(hash: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(hash).ok().map(|hash| *hash.as_bytes())
}
