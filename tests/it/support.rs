//! The harness: the real program, in folders of its own, watched from outside.

mod browser;
mod certificates;
mod cli;
mod daemon;
mod data;
mod exposition;
mod parquet;
mod peer;
mod project;
mod prometheus;
mod python;
mod scrape;

pub(crate) use browser::{Browser, Tab};
pub(crate) use certificates::{CLIENT, write_certificates};
pub(crate) use cli::Cli;
pub(crate) use daemon::Daemon;
pub(crate) use data::{shared_data, tool};
pub(crate) use exposition::{Exposition, Family};
pub(crate) use parquet::{read_parquet, rejects};
pub(crate) use peer::Peer;
pub(crate) use project::{Project, Published, files_under, published_under};
pub(crate) use prometheus::Prometheus;
pub(crate) use python::python;
pub(crate) use scrape::Scrape;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Polls `probe` until it gives something, and stops the test after [`PATIENCE`] with what was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
