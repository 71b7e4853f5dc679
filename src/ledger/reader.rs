//! A second, read-only door to the ledger: for the operator's verbs and for HTTP, also while the daemon writes.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{Counts, FileRow, Filter, LedgerError, PipelineTimes, StoryLine, query, schema};
use crate::job::FileId;

/// Reads the ledger; never writes, never takes the lock of the state folder.
pub struct LedgerReader {
    connection: Mutex<Connection>,
}

impl LedgerReader {
    /// Opens the ledger in the state folder `dir`.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        let connection = schema::open_for_reading(dir)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Returns the files that match, newest first.
    pub fn files(&self, filter: &Filter) -> Result<Vec<FileRow>, LedgerError> {
        self.read(|connection| query::files(connection, filter))
    }

    /// Returns the files with this id, this name, or an id that begins so (four characters or more); newest first.
    pub fn find(&self, what: &OsStr) -> Result<Vec<FileRow>, LedgerError> {
        self.read(|connection| query::find(connection, what))
    }

    /// Returns one file by its id, if there is one.
    pub fn get(&self, id: &FileId) -> Result<Option<FileRow>, LedgerError> {
        self.read(|connection| query::get(connection, id))
    }

    /// Returns at most `limit` files whose ids come after `after`, oldest first.
    pub fn page(&self, after: Option<&FileId>, limit: usize) -> Result<Vec<FileRow>, LedgerError> {
        self.read(|connection| query::page(connection, after, limit))
    }

    /// Returns what is damaged in the database, for a person; nothing if it is sound. Reads all of it.
    pub fn integrity(&self) -> Result<Vec<String>, LedgerError> {
        self.read(query::integrity)
    }

    /// Returns every pipeline it holds files of, by name.
    pub fn pipelines(&self) -> Result<Vec<String>, LedgerError> {
        self.read(query::pipelines)
    }

    /// Returns the story of a file, oldest line first.
    pub fn story(&self, id: &FileId) -> Result<Vec<StoryLine>, LedgerError> {
        self.read(|connection| query::story(connection, id))
    }

    /// Returns how many files there are.
    pub fn counts(&self) -> Result<Counts, LedgerError> {
        self.read(query::counts)
    }

    /// Returns when things last happened in a pipeline.
    pub fn times(&self, pipeline: &str) -> Result<PipelineTimes, LedgerError> {
        self.read(|connection| query::times(connection, pipeline))
    }

    fn read<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        act(&connection).map_err(|cause| LedgerError::sql("query", cause))
    }
}

impl std::fmt::Debug for LedgerReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerReader").finish_non_exhaustive()
    }
}
