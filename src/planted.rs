//! Bugs for the fault suites to find: each breaks the promise in one place. They exist only with the feature `planted-bugs`,
//! which nothing but the proof of those suites turns on, and there only the one that `FOREBAY_PLANTED_BUG` names.

use std::borrow::Cow;
use std::path::Path;

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Outputs are published without being synced.
    NoFileFsync,
    /// Folders are never synced.
    NoDirFsync,
    /// Outputs become visible before the ledger says STAGED.
    PublishBeforeStaged,
    /// The original goes to the archive before its outputs are visible.
    ArchiveBeforePublished,
    /// A file counts as known by its name, not by its content.
    IdentityIsName,
    /// Lost file events are not made good by a scan.
    NoRescan,
    /// Attempts are not counted in the ledger.
    ForgetAttempts,
    /// The name of the published directory is another one at every attempt to publish it.
    RandomFinalName,
    /// One row of each published file is not counted as written.
    MiscountRows,
    /// A replay's result becomes visible beside the one it replaces.
    ReplayBesideOld,
}

/// Returns whether this bug is planted.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: Bug) -> bool {
    let word = match bug {
        Bug::NoFileFsync => "no-file-fsync",
        Bug::NoDirFsync => "no-dir-fsync",
        Bug::PublishBeforeStaged => "publish-before-staged",
        Bug::ArchiveBeforePublished => "archive-before-published",
        Bug::IdentityIsName => "identity-is-name",
        Bug::NoRescan => "no-rescan",
        Bug::ForgetAttempts => "forget-attempts",
        Bug::RandomFinalName => "random-final-name",
        Bug::MiscountRows => "miscount-rows",
        Bug::ReplayBesideOld => "replay-beside-old",
    };
    std::env::var_os("FOREBAY_PLANTED_BUG").is_some_and(|wish| wish == word)
}

/// Returns false: there are no planted bugs in this build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}

/// Returns what a content is known by.
pub(crate) fn identity<'a>(name: &str, content: &'a str) -> Cow<'a, str> {
    if is(Bug::IdentityIsName) { blake3::hash(name.as_bytes()).to_string().into() } else { content.into() }
}

/// Returns the rows to count as written.
pub(crate) fn written(rows: u64) -> u64 {
    rows - u64::from(rows > 0 && is(Bug::MiscountRows))
}

/// Returns the directory to publish as.
pub(crate) fn final_name(target: &Path) -> Cow<'_, Path> {
    if is(Bug::RandomFinalName) { target.with_file_name(fastrand::u64(..).to_string()).into() } else { target.into() }
}
