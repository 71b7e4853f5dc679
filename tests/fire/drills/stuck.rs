//! A worker that is stopped in the middle of a file.

use rustix::process::Signal;

use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::Drill;
use crate::inbox::COLUMNS;
use crate::process::send;
use crate::range::Range;

/// The only worker stops; one file is in progress, the next one waits.
pub(crate) fn stuck(range: &Range) -> Result<(), String> {
    let config = format!(
        "[limits]\nworkers = 1\n\n[pipelines.p]\nsettle = \"50ms\"\n{COLUMNS}\nobjectives = {{ latency = \"5s\" }}\n"
    );
    let daemon = Daemon::start(range, "stuck", &config);
    daemon.publish("p", "first.csv", 10);
    let workers = daemon.workers();
    for worker in &workers {
        send(*worker, Signal::STOP);
    }
    let of = |alert: Alert| alert.of("p");
    let mut stuck = Drill::begin(range, of(Alert::warning("ForebayFileStuck", "stuck")), "a worker stopped (SIGSTOP)");
    let mut stalled =
        Drill::begin(range, of(Alert::critical("ForebayPipelineStalled", "stuck")), "the only worker stopped");
    daemon.inbox("p").drop_rows("stuck.csv", 10, 0);
    daemon.wait_metric("forebay_files_in_flight", &[], 1.0);
    daemon.inbox("p").drop_rows("waiting.csv", 10, 0);
    stuck.wait_page();
    stalled.wait_page();
    // It fired before, and is of no interest now: the cause is known.
    range.wait_inhibited(&of(Alert::warning("ForebayOldestPendingTooOld", "stuck")));
    for worker in &workers {
        send(*worker, Signal::CONT);
    }
    let mended = std::time::Instant::now();
    stuck.wait_resolved_since("SIGCONT", mended);
    stalled.wait_resolved_since("SIGCONT", mended);
    Ok(())
}
