//! Replays: one file's result takes the place of another's, in the transaction that settles it.

use rusqlite::{Connection, params};

use super::LedgerError;
use super::write::tell;
use crate::job::{FileId, Timestamp};

/// Lets the content of `old` be published as `new` instead.
pub(super) fn take_place(tx: &Connection, new: &FileId, old: &FileId, at: Timestamp) -> Result<(), LedgerError> {
    tx.prepare_cached("UPDATE files SET replaced_by = ?2 WHERE id = ?1")?
        .execute(params![old.as_str(), new.as_str()])?;
    tx.prepare_cached("UPDATE files SET replaces = ?2 WHERE id = ?1")?.execute(params![new.as_str(), old.as_str()])?;
    tell(tx, old, at, "replaced", &format!("a replay takes its place: {new}"))
}

/// Takes [`take_place`] back, if `new` is a replay: its result will not be published.
pub(super) fn give_place_back(tx: &Connection, new: &FileId, at: Timestamp) -> Result<(), LedgerError> {
    let old: Option<String> =
        tx.prepare_cached("SELECT replaces FROM files WHERE id = ?")?.query_row([new.as_str()], |row| row.get(0))?;
    let Some(old) = old.as_deref().and_then(FileId::parse) else { return Ok(()) };
    tx.prepare_cached("UPDATE files SET replaces = NULL WHERE id = ?")?.execute([new.as_str()])?;
    tx.prepare_cached("UPDATE files SET replaced_by = NULL WHERE id = ?")?.execute([old.as_str()])?;
    tell(tx, &old, at, "restored", &format!("its replay {new} came to nothing"))
}
