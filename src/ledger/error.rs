//! What can go wrong with the ledger.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::job::FileId;
use crate::ledger::FileState;
use crate::storage::{StorageError, holder};

/// The ledger refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process holds the state folder.
    #[error("another forebay ({}) uses this state folder: {}; stop it or give this one its own", holder(*.pid), .dir.display())]
    Locked {
        /// The state folder.
        dir: PathBuf,
        /// The process that holds it, if it said so.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {cause}; check the owner and the permissions of the state folder", .path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// There is a ledger and it cannot be read.
    #[error(
        "the ledger {} cannot be read: {detail}; restore it from a backup or make it anew with `forebay ledger rebuild` (an empty one would publish every file again)",
        .path.display()
    )]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There is a ledger, and nobody could look into it.
    #[error(
        "the ledger {} cannot be opened: {detail}; check its owner, its permissions, and how many files may be open",
        .path.display()
    )]
    NotOpened {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        detail: String,
    },
    /// A newer version wrote it.
    #[error(
        "the ledger {} was written by a newer forebay (version {found}, this one knows {known}): run that one",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// An older version wrote it, and only the daemon brings it up to date.
    #[error("the ledger {} is of an older forebay (version {found}): start `forebay run` once", .path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It is to be made anew, and nothing is wrong with it.
    #[error("the ledger {} is sound: it knows more than can be rebuilt (attempts, messages, times)", .path.display())]
    Sound {
        /// The database.
        path: PathBuf,
    },
    /// There is no ledger to read.
    #[error("there is no ledger in {}: has `forebay run` been started with this config?", .dir.display())]
    Missing {
        /// The state folder.
        dir: PathBuf,
    },
    /// The database was removed or replaced under the process that holds it.
    #[error(
        "the ledger {} was removed or replaced while forebay ran: put it back or restore it from a backup, or make it anew with `forebay ledger rebuild`",
        .path.display()
    )]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// The state folder cannot be made.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// `SQLite` failed.
    #[error("ledger {op}: {cause}")]
    Sql {
        /// What was tried.
        op: &'static str,
        /// What `SQLite` said.
        cause: rusqlite::Error,
    },
    /// No file has this id.
    #[error("the ledger knows no file {id}")]
    NoSuchFile {
        /// The id asked for.
        id: FileId,
    },
    /// The file is not in the state this step begins from.
    #[error("file {id} is {found}, not {wanted}")]
    State {
        /// The file.
        id: FileId,
        /// Its state.
        found: FileState,
        /// The state this step begins from.
        wanted: FileState,
    },
}

impl LedgerError {
    pub(super) const fn sql(op: &'static str, cause: rusqlite::Error) -> Self {
        Self::Sql { op, cause }
    }

    /// Names the operation in an error that `?` made on the way.
    pub(super) fn during(self, op: &'static str) -> Self {
        if let Self::Sql { cause, .. } = self { Self::Sql { op, cause } } else { self }
    }

    /// Returns whether the disk under the ledger is full: the commit did not happen and may work later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.sql_code() == Some(ErrorCode::DiskFull) || matches!(self, Self::Storage(err) if err.is_full())
    }

    /// Returns whether nothing may be done any more with this ledger: the process ends and recovers at its next start.
    /// After a failed sync nobody knows what is on the disk, and a damaged ledger must not be written to.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        matches!(
            self.sql_code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
            )
        )
    }

    fn sql_code(&self) -> Option<ErrorCode> {
        if let Self::Sql { cause, .. } = self { cause.sqlite_error_code() } else { None }
    }

    pub(super) const fn is_sql(&self) -> bool {
        matches!(self, Self::Sql { .. })
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sql { op: "query", cause }
    }
}
