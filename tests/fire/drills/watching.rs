//! The watching itself, and the configuration.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::{Drill, check};
use crate::inbox::COLUMNS;
use crate::range::Range;
use crate::report::Row;
use crate::wait_for;

/// The heartbeat comes again and again.
pub(crate) fn heartbeat(range: &Range) -> Result<(), String> {
    let watchdog = Alert { severity: "none".into(), job: String::new(), ..Alert::critical("Watchdog", "") };
    range.allow(watchdog.clone());
    let beats = || range.receiver().heard().into_iter().filter(|heard| heard.alert == watchdog).collect::<Vec<_>>();
    let first = wait_for("the first heartbeat", || beats().into_iter().next());
    check(&first);
    let wanted = beats().len() + 5;
    wait_for("five more heartbeats", || (beats().len() >= wanted).then_some(()));
    let beats = beats();
    let longest = beats.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(longest < Duration::from_secs(10), "{longest:?} without a heartbeat, which should be one second");
    assert!(beats.iter().all(|beat| beat.firing), "a heartbeat that ends is none");
    let paged = first.at - range.began();
    range.note(Row { alert: watchdog, fault: "none", paged, mended: "nothing", resolved: None });
    Ok(())
}

/// A job's only target goes away, and comes back.
pub(crate) fn absent(range: &Range) -> Result<(), String> {
    let daemon = Daemon::start(range, "leaving", &format!("[pipelines.p]\n{COLUMNS}\n"));
    range.forget("departing", "control");
    let mut drill =
        Drill::begin(range, Alert::critical("ForebayAbsent", "").of_job("departing"), "the target taken away");
    drill.wait_page();
    range.scrape("departing", "leaving", &daemon.address);
    drill.wait_resolved("a target");
    Ok(())
}

/// A configuration with a fault is loaded, and mended.
pub(crate) fn reload(range: &Range) -> Result<(), String> {
    let daemon = Daemon::start(range, "reloaded", &format!("[pipelines.p]\n{COLUMNS}\n"));
    let path = daemon.path("forebay.toml");
    let sound = fs::read_to_string(&path).unwrap();
    fs::write(&path, sound.replace("int64", "int65")).unwrap();
    daemon.process().signal(Signal::HUP);
    let alert = Alert::warning("ForebayConfigReloadFailed", daemon.instance);
    let mut drill = Drill::begin(range, alert, "an unknown type, SIGHUP");
    drill.wait_page();
    fs::write(&path, sound).unwrap();
    daemon.process().signal(Signal::HUP);
    drill.wait_resolved_since("the old text, SIGHUP", Instant::now());
    Ok(())
}
