//! Daemons and workers that die, hold too much, or count wrong.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode};
use rustix::process::Signal;

use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::Drill;
use crate::inbox::{COLUMNS, text};
use crate::process::send;
use crate::range::Range;
use crate::wait_for;

/// A daemon is down for a while; then it is killed again and again.
pub(crate) fn restarts(range: &Range) -> Result<(), String> {
    let mut daemon = Daemon::start(range, "restarting", &format!("[pipelines.p]\n{COLUMNS}\n"));
    daemon.kill();
    let mut down = Drill::begin(range, Alert::critical("ForebayDown", daemon.instance), "kill -9");
    down.wait_page();
    daemon.start_again();
    down.wait_resolved("a start");
    let mut looping =
        Drill::begin(range, Alert::critical("ForebayCrashLooping", daemon.instance), "kill -9, three starts");
    for _ in 0..3 {
        daemon.wait_scraped();
        // The time of a start is told in whole seconds.
        std::thread::sleep(Duration::from_millis(1_100));
        daemon.kill();
        daemon.start_again();
    }
    looping.wait_page();
    looping.wait_resolved("no more kills");
    Ok(())
}

/// A start hangs in its first scan: it has more to say than fits into a log that nobody reads.
pub(crate) fn hanging(range: &Range) -> Result<(), String> {
    let mut daemon = Daemon::start(range, "hanging", &format!("[pipelines.p]\n{COLUMNS}\n"));
    daemon.kill();
    // Until the endpoint of the new process answers.
    range.allow(Alert::critical("ForebayDown", daemon.instance));
    let inbox = daemon.inbox("p");
    for number in 0..2_000 {
        std::os::unix::fs::symlink("/dev/null", inbox.path().join(format!("{number}.csv"))).unwrap();
    }
    let log = daemon.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &log, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // One end alone cannot be opened.
    let both_ends = File::options().read(true).write(true).open(&log).unwrap();
    let mut drill = Drill::begin(range, Alert::critical("ForebayNotReady", daemon.instance), "a log that nobody reads");
    daemon.start_into(&log);
    let mut reader = File::open(&log).unwrap();
    drop(both_ends);
    drill.wait_page();
    assert!(daemon.metric("forebay_ready", &[]) < 0.5);
    // It ends with the daemon.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    daemon.wait_ready();
    drill.wait_resolved("it is read");
    Ok(())
}

/// The budget is less than daemon and workers hold.
pub(crate) fn memory(range: &Range) -> Result<(), String> {
    let config = |memory| format!("[limits]\nworkers = 4\nmemory = \"{memory}\"\n\n[pipelines.p]\n{COLUMNS}\n");
    let mut daemon = Daemon::start(range, "hungry", &config("64MiB"));
    let alert = Alert::warning("ForebayMemoryNearLimit", daemon.instance);
    let mut drill = Drill::begin(range, alert, "a budget of 64 MiB for four workers");
    drill.wait_page();
    daemon.configure(&config("4GiB"));
    daemon.kill();
    daemon.start_again();
    drill.wait_resolved("4 GiB, a restart");
    Ok(())
}

/// Every worker that takes a file is killed, until the file is given up. Then the daemon is killed, too.
pub(crate) fn crashes(range: &Range) -> Result<(), String> {
    let mut daemon = Daemon::start(range, "crashing", &format!("[limits]\nworkers = 1\n[pipelines.p]\n{COLUMNS}\n"));
    let instance = daemon.instance;
    daemon.inbox("p").drop_file("large.csv", &text(4_000_000, 0));
    let mut crashing = Drill::begin(range, Alert::warning("ForebayWorkerCrashing", instance), "a worker killed");
    let mut failing =
        Drill::begin(range, Alert::warning("ForebayFilesFailing", instance).of("p"), "three workers killed");
    let given_up = [("pipeline", "p"), ("outcome", "failed")];
    wait_for("the file to be given up", || {
        if daemon.metric("forebay_in_flight_bytes", &[]) > 0.5 {
            for worker in daemon.workers() {
                send(worker, Signal::KILL);
            }
        }
        (daemon.metric("forebay_files_processed_total", &given_up) > 0.5).then_some(())
    });
    let mended = Instant::now();
    crashing.wait_page();
    failing.wait_page();
    range.wait_inhibited(&Alert::warning("ForebayQuarantineNotEmpty", instance).of("p"));
    daemon.kill();
    let mut down = Drill::begin(range, Alert::critical("ForebayDown", instance), "kill -9, other alerts firing");
    down.wait_page();
    range.wait_inhibited(&Alert::warning("ForebayWorkerCrashing", instance));
    range.wait_inhibited(&Alert::warning("ForebayFilesFailing", instance).of("p"));
    daemon.start_again();
    down.wait_resolved("a start");
    crashing.wait_resolved_since("no more kills", mended);
    failing.wait_resolved_since("no more kills", mended);
    Ok(())
}

/// A program that counts a row too few, and then the one that does not.
pub(crate) fn miscount(range: &Range) -> Result<(), String> {
    let planted = std::env::var_os("FOREBAY_PLANTED_BIN").map(PathBuf::from);
    let planted = planted.ok_or("FOREBAY_PLANTED_BIN names no program with planted bugs, see docs/RELIABILITY.md")?;
    let mut daemon = Daemon::start_program(range, "miscounting", &format!("[pipelines.p]\n{COLUMNS}\n"), &planted);
    daemon.publish("p", "a.csv", 20);
    let alert = Alert::critical("ForebayRowsUnaccounted", daemon.instance).of("p");
    let mut drill = Drill::begin(range, alert, "a planted bug: one row not counted");
    drill.wait_page();
    daemon.kill();
    daemon.replace_program(env!("CARGO_BIN_EXE_forebay").as_ref());
    daemon.start_again();
    daemon.publish("p", "b.csv", 20);
    drill.wait_resolved("a program without it");
    Ok(())
}
