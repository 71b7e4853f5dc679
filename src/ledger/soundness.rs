//! Whether the database is whole: checked at every start, without making a large one late.
//!
//! The check reads every page. What a small ledger needs for it is not felt; one with a million files would keep the daemon
//! from its work for seconds. So the start waits only so long, and then the check goes on beside the work. Damage it finds
//! late ends the daemon at its next write, as damage that `SQLite` itself runs into does.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ffi};

use super::LedgerError;

/// How long a start waits for the check.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What the check found, once it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Soundness {
    damage: Arc<OnceLock<String>>,
}

impl Soundness {
    /// Checks the database at `path`, and waits for the verdict for at most `patience`.
    pub(super) fn check(path: &Path, patience: Duration) -> Result<Self, LedgerError> {
        let soundness = Self::default();
        let (tell, told) = channel();
        let (damage, file) = (Arc::clone(&soundness.damage), path.to_owned());
        let check = move || {
            let found = quick_check(&file);
            if let Some(found) = &found
                && damage.set(found.clone()).is_ok()
            {
                tracing::error!(path = %file.display(), damage = found, "the ledger is damaged");
            }
            // Whoever waited may have gone on without it.
            drop(tell.send(found));
        };
        let unreadable = |detail: String| LedgerError::Unreadable { path: path.to_owned(), detail };
        let begun = std::thread::Builder::new().name("ledger-check".to_owned()).spawn(check);
        begun.map_err(|err| unreadable(format!("it cannot be checked: {err}")))?;
        match told.recv_timeout(patience) {
            Ok(None) => Ok(soundness),
            Ok(Some(damage)) => Err(unreadable(damage)),
            Err(RecvTimeoutError::Timeout) => {
                tracing::info!(path = %path.display(), "the ledger is large: its check goes on beside the work");
                Ok(soundness)
            }
            Err(RecvTimeoutError::Disconnected) => Err(unreadable("its check ended without a verdict".to_owned())),
        }
    }

    /// Lets every verdict from now on be this.
    pub(super) fn refuse(&self, damage: String) {
        drop(self.damage.set(damage));
    }

    /// Refuses if the database is known to be damaged.
    pub(super) fn verdict(&self, op: &'static str) -> Result<(), LedgerError> {
        let Some(damage) = self.damage.get() else { return Ok(()) };
        let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
        Err(LedgerError::sql(op, rusqlite::Error::SqliteFailure(code, Some(damage.clone()))))
    }

    #[cfg(test)]
    pub(super) fn damaged(damage: &str) -> Self {
        let soundness = Self::default();
        soundness.damage.set(damage.to_owned()).unwrap();
        soundness
    }
}

/// Returns what is wrong with the database, if anything is.
fn quick_check(path: &Path) -> Option<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let verdict = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(super::schema::BUSY)?;
        connection.query_row("PRAGMA quick_check(1)", (), |row| row.get::<_, String>(0))
    });
    match verdict {
        Ok(verdict) => (verdict != "ok").then_some(verdict),
        Err(err) => Some(err.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_comes_late_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no.db");
        let soundness = Soundness::check(&path, Duration::ZERO);
        // Either the check was faster than no time at all, or it is told later: there is no such database.
        let Ok(soundness) = soundness else { return };
        while soundness.verdict("claim").is_ok() {
            std::thread::yield_now();
        }
        assert!(soundness.verdict("claim").unwrap_err().must_stop());
    }
}
