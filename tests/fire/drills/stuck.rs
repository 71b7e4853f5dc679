//! Workers that are stopped in the middle of a file.

use rustix::process::Signal;

use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::Drill;
use crate::inbox::COLUMNS;
use crate::process::send;
use crate::range::Range;

/// One worker stops, and the one that takes its place; each has a file, the next one waits. A pipeline gets no third.
pub(crate) fn stuck(range: &Range) -> Result<(), String> {
    let config = format!(
        "[limits]\nworkers = 1\n\n[pipelines.p]\nsettle = \"50ms\"\n{COLUMNS}\nobjectives = {{ latency = \"5s\" }}\n"
    );
    let daemon = Daemon::start(range, "stuck", &config);
    daemon.publish("p", "first.csv", 10);
    let of = |alert: Alert| alert.of("p");
    let stop = || daemon.workers().iter().for_each(|worker| send(*worker, Signal::STOP));
    stop();
    let mut stuck = Drill::begin(range, of(Alert::warning("ForebayFileStuck", "stuck")), "a worker stopped (SIGSTOP)");
    daemon.inbox("p").drop_rows("stuck.csv", 10, 0);
    daemon.wait_metric("forebay_files_in_flight", &[], 1.0);
    // It holds nobody up: another worker is started beside it.
    daemon.publish("p", "second.csv", 10);
    stop();
    let mut stalled =
        Drill::begin(range, of(Alert::critical("ForebayPipelineStalled", "stuck")), "its workers stopped (SIGSTOP)");
    daemon.inbox("p").drop_rows("stuck too.csv", 10, 0);
    daemon.wait_metric("forebay_files_in_flight", &[], 2.0);
    daemon.inbox("p").drop_rows("waiting.csv", 10, 0);
    stuck.wait_page();
    stalled.wait_page();
    // It fired before, and is of no interest now: the cause is known.
    range.wait_inhibited(&of(Alert::warning("ForebayOldestPendingTooOld", "stuck")));
    for worker in daemon.workers() {
        send(worker, Signal::CONT);
    }
    let mended = std::time::Instant::now();
    stuck.wait_resolved_since("SIGCONT", mended);
    stalled.wait_resolved_since("SIGCONT", mended);
    Ok(())
}
