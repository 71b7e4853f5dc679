//! Senders that are silent, or send what they should not.

use std::fs;
use std::time::Instant;

use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::Drill;
use crate::inbox::{COLUMNS, text};
use crate::range::Range;

fn pipeline(name: &str, more: &str) -> String {
    format!("[pipelines.{name}]\nsettle = \"50ms\"\nscan_interval = \"1s\"\n{COLUMNS}\n{more}\n")
}

/// One pipeline gets no more files, another one never had any.
pub(crate) fn silent(range: &Range) -> Result<(), String> {
    let freshness = "objectives = { freshness = \"10s\" }";
    let config = pipeline("stale", freshness) + &pipeline("never", freshness);
    let daemon = Daemon::start(range, "silent", &config);
    let alert = Alert::warning("ForebayNeverSucceeded", "silent").of("never");
    let mut never = Drill::begin(range, alert, "no file ever, freshness 10 s");
    daemon.publish("stale", "a.csv", 10);
    let alert = Alert::critical("ForebayDataStale", "silent").of("stale");
    let mut stale = Drill::begin(range, alert, "no more files, freshness 10 s");
    // It is stale in its turn, once it has succeeded and the drill goes on.
    range.allow(Alert::critical("ForebayDataStale", "silent").of("never"));
    range.allow(Alert::warning("ForebayNeverSucceeded", "silent").of("stale"));
    never.wait_page();
    daemon.publish("never", "b.csv", 10);
    let succeeded = Instant::now();
    stale.wait_page();
    daemon.publish("stale", "c.csv", 10);
    stale.wait_resolved("a file");
    never.wait_resolved_since("a file", succeeded);
    Ok(())
}

/// A file without its marker, one that is refused, one with many rejects; and an inbox that is gone.
pub(crate) fn bad(range: &Range) -> Result<(), String> {
    let config = pipeline("waiting", "done_marker = \"{name}.done\"\nobjectives = { latency = \"5s\" }")
        + &pipeline("refused", "")
        + &pipeline("rejects", "accept = { max_reject_ratio = 0.5 }")
        + &pipeline("moved", "");
    let daemon = Daemon::start(range, "fed", &config);
    std::thread::scope(|scope| {
        scope.spawn(|| waiting(range, &daemon));
        scope.spawn(|| refused(range, &daemon));
        scope.spawn(|| rejects(range, &daemon));
        moved(range, &daemon);
    });
    Ok(())
}

fn waiting(range: &Range, daemon: &Daemon<'_>) {
    let inbox = daemon.inbox("waiting");
    inbox.drop_rows("a.csv", 10, 0);
    let alert = Alert::warning("ForebayOldestPendingTooOld", daemon.instance).of("waiting");
    let mut drill = Drill::begin(range, alert, "no done marker, latency 5 s");
    drill.wait_page();
    inbox.mark("a.csv");
    drill.wait_resolved("the marker");
}

fn refused(range: &Range, daemon: &Daemon<'_>) {
    daemon.inbox("refused").drop_rows("a.csv", 30, 20);
    let alert = Alert::warning("ForebayQuarantineNotEmpty", daemon.instance).of("refused");
    let mut drill = Drill::begin(range, alert, "a file with 20 bad rows of 30");
    drill.wait_page();
    let quarantine = daemon.path("data/quarantine/refused");
    for entry in fs::read_dir(quarantine).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    drill.wait_resolved("the file taken away");
}

fn rejects(range: &Range, daemon: &Daemon<'_>) {
    let inbox = daemon.inbox("rejects");
    inbox.drop_rows("a.csv", 200, 40);
    let alert = Alert::warning("ForebayRejectRatioHigh", daemon.instance).of("rejects");
    let mut drill = Drill::begin(range, alert, "a file with 40 rejects of 200 rows");
    drill.wait_page();
    daemon.publish("rejects", "b.csv", 10_000);
    drill.wait_resolved("a large file without");
}

/// The watch is lost, and scans fail: both are told, of the pipeline and of the daemon.
fn moved(range: &Range, daemon: &Daemon<'_>) {
    let inbox = daemon.inbox("moved");
    let aside = daemon.path("aside");
    fs::rename(inbox.path(), &aside).unwrap();
    let alert = Alert::warning("ForebayWatcherUnhealthy", daemon.instance);
    let mut lost = Drill::begin(range, alert.clone().of("moved"), "the inbox moved away: no events");
    let mut unseen = Drill::begin(range, alert, "the inbox moved away: no scans");
    lost.wait_page();
    unseen.wait_page();
    fs::rename(&aside, inbox.path()).unwrap();
    let mended = Instant::now();
    lost.wait_resolved_since("it is back", mended);
    unseen.wait_resolved_since("it is back", mended);
}

/// A header with a column more.
pub(crate) fn drift(range: &Range) -> Result<(), String> {
    let daemon = Daemon::start(range, "drifting", &pipeline("p", ""));
    daemon.publish("p", "a.csv", 10);
    let more = text(10, 0).replace("id,amount", "id,amount,extra").replace(".5", ".5,x");
    daemon.inbox("p").drop_file("b.csv", &more);
    let alert = Alert::warning("ForebaySchemaDrift", daemon.instance).of("p");
    let mut drill = Drill::begin(range, alert, "a column more in the header");
    drill.wait_page();
    daemon.publish("p", "c.csv", 10);
    drill.wait_resolved("the old header again");
    Ok(())
}
