//! A daemon to which no harm is done: its files come in time, and nobody may be paged for it.

use crate::daemon::Daemon;
use crate::inbox::COLUMNS;
use crate::range::Range;
use crate::wait_for;

/// The daemon, which both jobs scrape at first.
#[derive(Debug)]
pub(crate) struct Control<'r>(Daemon<'r>);

impl<'r> Control<'r> {
    /// Starts it and waits until both jobs have it.
    pub(crate) fn start(range: &'r Range) -> Self {
        let config = format!("[pipelines.p]\nsettle = \"50ms\"\n{COLUMNS}\n");
        let daemon = Daemon::start(range, "control", &config);
        daemon.publish("p", "a.csv", 100);
        range.scrape("departing", daemon.instance, &daemon.address);
        wait_for("both jobs to be scraped", || range.query("count(up == 1) == 2"));
        Self(daemon)
    }

    /// Stops the test unless it does its work as ever. That nobody was paged for it is seen with all other pages.
    #[track_caller]
    pub(crate) fn expect_sound(&self) {
        self.0.publish("p", "b.csv", 100);
    }
}
