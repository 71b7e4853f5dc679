//! What is wrong with a web config file. Never says a value that may be a secret.

use std::path::{Path, PathBuf};

/// A fault, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line in the file, 1-based, if the fault has a place.
    pub line: Option<u64>,
    /// Full path of the key; empty if none is at fault.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl WebConfigError {
    /// Returns a fault of the whole file.
    pub(super) fn whole(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, key: String::new(), message: message.into() }
    }
}

impl std::fmt::Display for WebConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for WebConfigError {}

/// A fault whose file is not known yet.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) key: String,
    pub(super) line: Option<u64>,
    pub(super) message: String,
}

impl Fault {
    /// Returns a fault of a key.
    pub(super) fn of(key: &str, line: impl Into<Option<u64>>, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), line: line.into(), message: message.into() }
    }

    /// Names the file.
    pub(super) fn in_file(self, file: &Path) -> WebConfigError {
        WebConfigError { file: file.to_owned(), line: self.line, key: self.key, message: self.message }
    }
}
