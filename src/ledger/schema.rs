//! Opening the database: making it whole, checking it, bringing it up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::rebuild::REBUILT;
use super::soundness::{PATIENCE, Soundness};
use super::{DATABASE, LedgerError};
use crate::storage::{Disk, Storage as _, StorageError};

/// The version this program writes. Raise it with a step for [`open_or_create`], each its own transaction.
const VERSION: i64 = 2;

const SCHEMA: &str = include_str!("schema.sql");

/// From version 1 to 2: replays.
const REPLAYS: &str = "
    ALTER TABLE files ADD COLUMN replaces TEXT;
    ALTER TABLE files ADD COLUMN replaced_by TEXT;
    DROP INDEX files_published_once;
    CREATE UNIQUE INDEX files_published_once ON files (pipeline, blake3)
        WHERE outcome = 'succeeded' AND replaced_by IS NULL;
    PRAGMA user_version = 2;
";

/// How long a statement waits for an operator's reader that is in the way.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Statements kept prepared: more than there are.
const STATEMENTS: usize = 64;

/// Returns whether there is nothing of a ledger in `dir`.
pub(super) fn is_new(dir: &Path) -> Result<bool, StorageError> {
    let wal = format!("{DATABASE}-wal");
    for name in [DATABASE, &wal, REBUILT] {
        if Disk::new().stat(&dir.join(name))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens the ledger of `dir` for writing. A new one is made under another name and renamed when it is whole, so an empty or
/// headless `ledger.db` is never a first start but always damage.
pub(super) fn open_or_create(dir: &Path) -> Result<(Connection, Soundness), LedgerError> {
    let path = dir.join(DATABASE);
    let disk = Disk::new();
    if disk.stat(&dir.join(REBUILT))?.is_some() {
        let detail = "a rebuild was interrupted, say `forebay ledger rebuild` again".to_owned();
        return Err(LedgerError::Unreadable { path, detail });
    }
    if disk.stat(&path)?.is_none() {
        if disk.stat(&dir.join(format!("{DATABASE}-wal")))?.is_some() {
            let detail = "its log is here but the database itself is missing".to_owned();
            return Err(LedgerError::Unreadable { path, detail });
        }
        create(&disk, dir, &path)?;
    }
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|err| unreadable(&path, &err))?;
    let found = version(&connection, &path)?;
    // Not before the line above: it takes a rollback journal back, which readers cannot.
    let soundness = Soundness::check(&path, PATIENCE)?;
    prepare(&connection).map_err(|cause| LedgerError::sql("open", cause))?;
    if found < VERSION {
        let step = format!("BEGIN IMMEDIATE; {REPLAYS} COMMIT;");
        connection.execute_batch(&step).map_err(|cause| LedgerError::sql("open", cause))?;
    }
    Ok((connection, soundness))
}

/// Opens the ledger of `dir` for reading, while the daemon writes it or not.
pub(super) fn open_for_reading(dir: &Path) -> Result<Connection, LedgerError> {
    let path = dir.join(DATABASE);
    if Disk::new().stat(&path)?.is_none() {
        return Err(LedgerError::Missing { dir: dir.to_owned() });
    }
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|err| unreadable(&path, &err))?;
    connection.busy_timeout(BUSY).map_err(|err| unreadable(&path, &err))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // In KiB. Every commit of the writer empties it, so a large one is memory and no gain.
    connection.pragma_update(None, "cache_size", -256).map_err(|err| unreadable(&path, &err))?;
    let found = version(&connection, &path)?;
    if found < VERSION {
        return Err(LedgerError::Older { path, found });
    }
    Ok(connection)
}

fn create(disk: &Disk, dir: &Path, path: &Path) -> Result<(), LedgerError> {
    let new = dir.join(format!("{DATABASE}.new"));
    disk.remove_file(&new)?;
    disk.remove_file(&dir.join(format!("{DATABASE}.new-journal")))?;
    let made = || -> rusqlite::Result<()> { create_at(&new)?.close().map_err(|(_, err)| err) };
    made().map_err(|cause| LedgerError::sql("create", cause))?;
    disk.sync_file(&new)?;
    disk.rename_noreplace(&new, path)?;
    Ok(())
}

/// Makes a database with our tables and nothing in them.
pub(super) fn create_at(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A switch that fails is no error to SQLite: it goes on with a rollback journal, in which readers and writer block
    // each other.
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let told = format!("the write-ahead log cannot be used, the journal mode stays '{mode}'");
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(told)));
    }
    // FULL: a commit is on the disk when it returns. NORMAL loses the last ones in a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // In KiB. Half of SQLite's own: 10,000 small files take no longer with it.
    connection.pragma_update(None, "cache_size", -1024)?;
    // What a savepoint would take back: a few pages per change, which would be files in /var/tmp otherwise.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)
}

fn version(connection: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let found: i64 =
        connection.query_row("PRAGMA user_version", (), |row| row.get(0)).map_err(|err| unreadable(path, &err))?;
    match found {
        ..=0 => {
            let detail = "it is empty, or was not written by forebay".to_owned();
            Err(LedgerError::Unreadable { path: path.to_owned(), detail })
        }
        found if found > VERSION => Err(LedgerError::Newer { path: path.to_owned(), found, known: VERSION }),
        found => Ok(found),
    }
}

fn unreadable(path: &Path, err: &rusqlite::Error) -> LedgerError {
    // Nothing was read yet, so nothing is known to be wrong with it.
    if err.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        return LedgerError::NotOpened { path: path.to_owned(), detail: err.to_string() };
    }
    LedgerError::Unreadable { path: path.to_owned(), detail: err.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_without_its_write_ahead_log_is_refused() {
        // A database in memory has none, and SQLite says so without an error.
        let err = prepare(&Connection::open_in_memory().unwrap()).unwrap_err();
        assert!(err.to_string().contains("write-ahead log"), "{err}");
    }
}
