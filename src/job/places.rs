//! Where our own folders lie: one in every inbox, one in every output.

use std::path::{Path, PathBuf};

/// The name of our folder in an inbox or an output.
pub const OURS: &str = ".forebay";

/// In our folder of an inbox: the files that were taken.
const CLAIMED: &str = "claimed";

/// In our folder of an inbox: what asks for replays.
const REPLAYS: &str = "replay";

/// What of ours is in inboxes, where others may write.
pub const IN_INBOXES: [&str; 2] = [CLAIMED, REPLAYS];

/// Returns our folder in an inbox or an output: there as long as that is.
#[must_use]
pub fn ours(dir: &Path) -> PathBuf {
    dir.join(OURS)
}

/// Returns the folder of an inbox in which claimed files lie. They share it, and so its syncs.
#[must_use]
pub fn claimed(inbox: &Path) -> PathBuf {
    ours(inbox).join(CLAIMED)
}

/// Returns the folder of an inbox in which lies what asks for replays.
#[must_use]
pub fn replays(inbox: &Path) -> PathBuf {
    ours(inbox).join(REPLAYS)
}

/// Returns the folder of an output below which attempts write until they are published.
#[must_use]
pub fn staging(output: &Path) -> PathBuf {
    ours(output).join("staging")
}

/// Returns the folder of an output below which one-shot runs write: beside the daemon's, which the daemon sweeps at its start.
#[must_use]
pub fn once(output: &Path) -> PathBuf {
    ours(output).join("once")
}

/// Returns the folder of an output in which results lie that a replay is about to replace.
#[must_use]
pub fn retired(output: &Path) -> PathBuf {
    ours(output).join("retired")
}
