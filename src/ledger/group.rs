//! One transaction, and so one sync, for everybody who writes at the same time.
//!
//! While a commit is on its way to the disk, those who come wait in line. Then each makes its change in the transaction
//! that is open, behind a savepoint of its own, and the last in line commits for all. Whoever is alone commits at once:
//! nobody ever waits for company. No one is answered before the commit that holds his change, and a commit that fails is
//! told to everyone in it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ffi};

use super::LedgerError;

/// Changes in one transaction, at most: with more, the first would wait too long for the last.
const MOST: usize = 64;

/// The one writing connection, and the line before it.
pub(super) struct Group {
    /// Callers between their first step and their place in the line: while there are any, one of them will commit.
    coming: AtomicUsize,
    line: Mutex<Line>,
    commits: AtomicU64,
}

struct Line {
    connection: Connection,
    /// The transaction that is open.
    open: Option<Open>,
}

#[derive(Default)]
struct Open {
    fate: Arc<Fate>,
    changes: usize,
}

impl Group {
    pub(super) const fn new(connection: Connection) -> Self {
        let line = Mutex::new(Line { connection, open: None });
        Self { coming: AtomicUsize::new(0), line, commits: AtomicU64::new(0) }
    }

    /// Makes a change, all or nothing. It is on the disk when this returns.
    pub(super) fn write<T>(
        &self,
        op: &'static str,
        act: impl FnOnce(&Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.coming.fetch_add(1, Ordering::SeqCst);
        let mut line = self.line();
        self.coming.fetch_sub(1, Ordering::SeqCst);
        let fate = line.begin().map_err(|cause| LedgerError::sql(op, cause))?;
        let changed = line.change(act);
        if self.coming.load(Ordering::SeqCst) == 0 || line.is_full() {
            self.commit(&mut line);
        }
        drop(line);
        let value = changed.unwrap_or_else(|panic| resume_unwind(panic)).map_err(|err| err.during(op))?;
        fate.wait().map_err(|broken| LedgerError::sql(op, broken.into()))?;
        Ok(value)
    }

    /// Uses the connection outside of any transaction.
    pub(super) fn alone<T>(&self, act: impl FnOnce(&Connection) -> T) -> T {
        let mut line = self.line();
        self.commit(&mut line);
        act(&line.connection)
    }

    /// Returns how many commits there have been.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    fn commit(&self, line: &mut Line) {
        let Some(open) = line.open.take() else { return };
        let ended = line.run("COMMIT");
        if ended.is_err() {
            line.roll_back();
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        open.fate.settle(ended.map_err(|cause| Broken::of(&cause)));
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Returns the fate of the transaction that is open, or of a new one.
    fn begin(&mut self) -> rusqlite::Result<Arc<Fate>> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.run("BEGIN IMMEDIATE").map(|()| Open::default())?,
        };
        let fate = Arc::clone(&open.fate);
        self.open = Some(Open { changes: open.changes + 1, ..open });
        Ok(fate)
    }

    fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.changes >= MOST)
    }

    /// Makes one change, or none of it. Also one that panics leaves the line in order: the others have made theirs.
    fn change<T>(&mut self, act: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Caught<T> {
        if let Err(cause) = self.run("SAVEPOINT change") {
            return Ok(Err(cause.into()));
        }
        let changed = catch_unwind(AssertUnwindSafe(|| act(&self.connection)));
        let ended = match &changed {
            Ok(Ok(_)) => self.run("RELEASE change"),
            Ok(Err(_)) | Err(_) => self.run("ROLLBACK TO change").and_then(|()| self.run("RELEASE change")),
        };
        if let Err(cause) = ended {
            // This change cannot be told from the others any more: none of them happens. (After some failures, a full
            // disk say, SQLite has taken them all back by itself.)
            let first = if let Ok(Err(LedgerError::Sql { cause, .. })) = &changed { cause } else { &cause };
            self.break_off(Broken::of(first));
        }
        changed
    }

    /// Ends the transaction without any of its changes.
    fn break_off(&mut self, broken: Broken) {
        self.roll_back();
        if let Some(open) = self.open.take() {
            open.fate.settle(Err(broken));
        }
    }

    fn roll_back(&self) {
        // If it cannot be done, the next BEGIN tells.
        if !self.connection.is_autocommit() {
            drop(self.run("ROLLBACK"));
        }
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute(()).map(drop)
    }
}

/// What a change came to, a panic included.
type Caught<T> = std::thread::Result<Result<T, LedgerError>>;

/// What becomes of a transaction.
#[derive(Default)]
struct Fate {
    answer: Mutex<Option<Result<(), Broken>>>,
    told: Condvar,
}

impl Fate {
    fn settle(&self, answer: Result<(), Broken>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.told.notify_all();
    }

    fn wait(&self) -> Result<(), Broken> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_while(answer, |answer| answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(Ok(()))
    }
}

/// Why a transaction failed, for each of those who were in it.
#[derive(Clone)]
struct Broken {
    code: ffi::Error,
    message: String,
}

impl Broken {
    fn of(cause: &rusqlite::Error) -> Self {
        let code = cause.sqlite_error().copied().unwrap_or_else(|| ffi::Error::new(ffi::SQLITE_ERROR));
        Self { code, message: cause.to_string() }
    }
}

impl From<Broken> for rusqlite::Error {
    fn from(broken: Broken) -> Self {
        Self::SqliteFailure(broken.code, Some(broken.message))
    }
}

#[cfg(test)]
mod tests;
