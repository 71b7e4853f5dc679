//! Finds what lies in an inbox and says when it is whole. Never opens a file for reading, never moves one.
//!
//! A full [`scan()`] is the truth. File events ([`watch`]) are hints that only make it faster, because kernels drop events
//! and some file systems never send any. A name becomes a file worth taking when two looks at least `settle` apart show
//! the same stamp ([`settle`]), whatever its modification time says.

pub mod names;
pub mod scan;
pub mod settle;
pub mod sighting;
pub mod watch;

pub use names::{Kind, Names};
pub use scan::{FolderId, Listing, ScanError, identify, look, scan};
pub use settle::{Settle, Verdict};
pub use sighting::{Name, Sighting};
pub use watch::{Inbox, Note, WatchError, Watcher};
