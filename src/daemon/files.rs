//! How many files the daemon may have open: as many as the system lets it, and enough, or it does not begin. A daemon that runs
//! out of them fails at something else each time, and none of it says why.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::DaemonError;
use crate::config::Config;

/// What any daemon may have open at once: connections, the ledger, and the files whose steps it takes side by side.
const AT_LEAST: u64 = 384;

/// A worker's pipes, and what is open while one is started and its outputs are synced.
const PER_WORKER: u64 = 8;

/// The locks of its folders, and the folders themselves.
const PER_PIPELINE: u64 = 4;

/// Takes as many open files as the system lets us have, as the usual soft limit is from another age.
///
/// # Errors
///
/// They are not enough for any configuration.
pub fn enough() -> Result<(), DaemonError> {
    take(AT_LEAST)
}

pub(super) fn enough_for(config: &Config) -> Result<(), DaemonError> {
    let count = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
    take(AT_LEAST + PER_WORKER * count(config.workers) + PER_PIPELINE * count(config.pipelines.len()))
}

fn take(needed: u64) -> Result<(), DaemonError> {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let had = if limit.current == limit.maximum || setrlimit(Resource::Nofile, highest).is_err() {
        limit.current
    } else {
        limit.maximum
    };
    match had {
        Some(limit) if limit < needed => Err(DaemonError::Files { limit, needed }),
        Some(_) | None => Ok(()),
    }
}
