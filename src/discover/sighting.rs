//! What one look at one name showed. Pure data.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::job::{FileStamp, Timestamp};

/// A name in an inbox: raw bytes, cheap to copy, because one candidate is known in several queues.
pub type Name = Arc<OsStr>;

/// What one look at one name showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// A regular file.
    File {
        /// Its identity, size and modification time.
        stamp: FileStamp,
        /// When anything of it last changed (ctime), by the file system's clock: its bytes, its name, its rights.
        changed: Timestamp,
        /// Whether its done marker exists; always true without `done_marker`.
        marked: bool,
    },
    /// Something else, left alone: `symlink`, `directory`, `fifo`, `device`, `socket`, `unreadable`.
    NotAFile(&'static str),
    /// Nothing of that name.
    Gone,
}
