//! The ledger as an outsider reads it: the database file, read only.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

/// One arrival.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) outcome: Option<String>,
    pub(crate) attempts: i64,
    /// BLAKE3 of `_manifest.json`, lower-case hex.
    pub(crate) manifest_hash: Option<String>,
    pub(crate) final_dir: Option<String>,
    pub(crate) resting: Option<String>,
    /// The replay that took its place.
    pub(crate) replaced_by: Option<String>,
}

/// Opens the ledger of a state folder.
fn open(state: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(state.join("ledger.db"), flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// Returns every arrival, oldest first; none while there is no ledger, or one that died in its first moment.
pub(crate) fn arrivals(state: &Path) -> Vec<Arrival> {
    if !state.join("ledger.db").exists() {
        return Vec::new();
    }
    let read = || -> rusqlite::Result<Vec<Arrival>> {
        let connection = open(state)?;
        let mut statement = connection.prepare(
            "SELECT id, name, state, outcome, attempts, lower(hex(manifest_hash)), final_dir, resting, pipeline, replaced_by
             FROM files ORDER BY id",
        )?;
        statement.query_map((), arrival)?.collect()
    };
    let answer = match read() {
        // A change in a rollback journal is under way: only a writer can take it back, as the daemon would.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => roll_back(state).and_then(|()| read()),
        answer => answer,
    };
    answer.unwrap_or_else(|error| panic!("{}: {error}", state.display()))
}

fn roll_back(state: &Path) -> rusqlite::Result<()> {
    Connection::open(state.join("ledger.db"))?.query_row("SELECT COUNT(*) FROM files", (), |_| Ok(()))
}

fn arrival(row: &Row<'_>) -> rusqlite::Result<Arrival> {
    let text = |at: usize| -> rusqlite::Result<Option<String>> {
        Ok(match row.get_ref(at)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
        })
    };
    Ok(Arrival {
        id: row.get(0)?,
        name: text(1)?.unwrap_or_default(),
        state: row.get(2)?,
        outcome: row.get(3)?,
        attempts: row.get(4)?,
        manifest_hash: text(5)?.filter(|hash| !hash.is_empty()),
        final_dir: text(6)?,
        resting: text(7)?,
        pipeline: row.get(8)?,
        replaced_by: row.get(9)?,
    })
}

/// Returns how many arrivals a pipeline has had, replays counted once with what they replaced, and how many of them have not
/// reached their end; `None` while the ledger cannot be asked.
pub(crate) fn counts(state: &Path, pipeline: &str) -> Option<(i64, i64)> {
    let count =
        "SELECT COUNT(*) - COUNT(replaced_by), COUNT(*) FILTER (WHERE state <> 'done') FROM files WHERE pipeline = ?";
    open(state).ok()?.query_row(count, [pipeline], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

/// Returns the most attempts that an unfinished file has had; `None` while the ledger cannot be asked.
pub(crate) fn most_attempts(state: &Path) -> Option<i64> {
    let most = "SELECT COALESCE(MAX(attempts), 0) FROM files WHERE state <> 'done'";
    open(state).ok()?.query_row(most, (), |row| row.get(0)).ok()
}

/// Returns the ids of the published files that could be replayed; none while the ledger cannot be asked.
pub(crate) fn replayable(state: &Path) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let connection = open(state)?;
        let mut statement = connection.prepare(
            "SELECT id FROM files WHERE state = 'done' AND outcome = 'succeeded' AND replaced_by IS NULL ORDER BY id",
        )?;
        statement.query_map((), |row| row.get(0))?.collect()
    };
    read().unwrap_or_default()
}

/// Returns every row of every table as text, to be compared.
pub(crate) fn dump(state: &Path) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let connection = open(state)?;
        let mut lines = Vec::new();
        for table in ["files", "events"] {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1"))?;
            let columns = statement.column_count();
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                let values: Result<Vec<_>, _> =
                    (0..columns).map(|at| row.get_ref(at).map(|v| format!("{v:?}"))).collect();
                lines.push(format!("{table}: {}", values?.join(" ")));
            }
        }
        Ok(lines)
    };
    read().unwrap_or_else(|error| panic!("{}: {error}", state.display()))
}
