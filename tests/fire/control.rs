//! A daemon to which no harm is done: its files come in time, if slowly, and nobody may be paged for it.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::inbox::COLUMNS;
use crate::range::Range;
use crate::wait_for;

/// The daemon, which both jobs scrape at first.
#[derive(Debug)]
pub(crate) struct Control<'r> {
    daemon: Daemon<'r>,
    over: Arc<AtomicBool>,
}

impl<'r> Control<'r> {
    /// Starts it and waits until both jobs have it.
    pub(crate) fn start(range: &'r Range) -> Self {
        let objectives = "objectives = { latency = \"10m\" }";
        let config = format!(
            "[pipelines.p]\nsettle = \"50ms\"\n{COLUMNS}\n[pipelines.slow]\nsettle = \"30s\"\n{COLUMNS}\n{objectives}\n"
        );
        let daemon = Daemon::start(range, "control", &config);
        daemon.publish("p", "a.csv", 100);
        let over = Arc::default();
        send_slowly(&daemon, Arc::clone(&over));
        range.scrape("departing", daemon.instance, &daemon.address);
        wait_for("both jobs to be scraped", || range.query("count(up == 1) == 2"));
        Self { daemon, over }
    }

    /// Stops the test unless it does its work as ever. That nobody was paged for it is seen with all other pages.
    #[track_caller]
    pub(crate) fn expect_sound(&self) {
        self.daemon.publish("p", "b.csv", 100);
        let files = |name| self.daemon.metric(name, &[("pipeline", "slow")]);
        assert!(files("forebay_files_pending") > 0.5, "the slow sender was not slow enough");
        assert!(files("forebay_files_queued") < 0.5, "a file that is still written does not wait for forebay");
    }
}

impl Drop for Control<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Writes one file for as long as the test lasts.
fn send_slowly(daemon: &Daemon<'_>, over: Arc<AtomicBool>) {
    let mut file = File::create(daemon.inbox("slow").path().join("slow.csv")).unwrap();
    writeln!(file, "id,amount").unwrap();
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            writeln!(file, "1,2.5").unwrap();
            std::thread::sleep(Duration::from_millis(500));
        }
    });
}
