//! What alerts look at is right from the first scrape after a kill, whatever stage the file in progress had reached.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Daemon, Project, Scrape, wait_for};

const CONFIG: &str = "
[pipelines.p]
settle = \"50ms\"
scan_interval = \"1s\"
columns = { id = \"int64\" }
accept.max_rejects = 0
accept.max_reject_ratio = 0.0
objectives = { freshness = \"2h\", latency = \"5m\" }
";

/// Where the daemon dies: at the first rename that touches which folder, and whether that one still happens.
const STAGES: [(&str, Option<(&str, bool)>); 7] = [
    ("announced", Some((INBOX, false))),
    ("claimed", Some((INBOX, true))),
    ("processing", None),
    ("staged", Some((STAGING, false))),
    ("visible", Some((STAGING, true))),
    ("published", Some((ARCHIVE, false))),
    ("archived", Some((ARCHIVE, true))),
];
const INBOX: &str = "data/in/p";
const STAGING: &str = "data/out/p/.forebay/staging";
/// The folders of days are in it.
const ARCHIVE: &str = "data/archive/p";

/// A project with a success and a file in quarantine behind it.
fn project() -> Project {
    let project = Project::new(CONFIG);
    let daemon = project.start();
    project.drop_file("p", "good.csv", "id\n1\n");
    project.drop_file("p", "bad.csv", "id\nx\n");
    daemon.wait_processed("p", 2);
    daemon.stop();
    project
}

/// Runs the daemon until it dies with a file at this stage.
fn die(project: &Project, at: Option<(&str, bool)>) {
    let run = ["run", "--log-format", "json"];
    let mut command = Command::new("strace");
    if let Some((folder, happens)) = at {
        let error = if happens { "" } else { ":error=EIO" };
        let inject = format!("inject=renameat2{error}:signal=KILL:when=1");
        command.args(["-f", "-qq", "-b", "execve", "-o", "/dev/null", "-e", "trace=renameat2", "-e", &inject]);
        // Not by number: strace counts the calls of each thread.
        for folder in [folder.into()].into_iter().chain(days(project, folder)) {
            command.arg("-P").arg(project.path(&folder));
        }
        command.arg(env!("CARGO_BIN_EXE_forebay")).args(run).current_dir(project.path(""));
    } else {
        command = project.cli().args(run).into_command();
    }
    let mut daemon = Daemon::launch(project, command);
    wait_for("ready", || (daemon.try_get("/-/ready").ok()?.code == 200).then_some(()));
    if at.is_some() {
        project.drop_file("p", "next.csv", "id\n2\n3\n");
    } else {
        let rows: String = (0..400_000).map(|id| format!("{id}\n")).collect();
        project.drop_file("p", "next.csv", format!("id\n{rows}"));
        wait_for("the file to be under way", || {
            (daemon.scrape().metric("forebay_in_flight_rows").value() > 0.0).then_some(())
        });
        daemon.signal(Signal::KILL);
    }
    let status = daemon.wait_exit();
    assert_eq!(status.code(), None, "killed: {status}\n{}", daemon.log());
}

/// Returns the folders in a folder.
fn days(project: &Project, folder: &str) -> Vec<String> {
    let found = fs::read_dir(project.path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    found
        .map(|name| format!("{folder}/{}", name.to_str().unwrap()))
        .filter(|path| project.path(path).is_dir())
        .collect()
}

/// Returns what the ledger says of every file, by name.
fn ledger(project: &Project) -> BTreeMap<String, Value> {
    let files = project.cli().args(["files", "--json"]).run().expect_code(0).json();
    let files = files.as_array().or_else(|| files["files"].as_array()).unwrap().clone();
    files.into_iter().map(|file| (file["name"].as_str().unwrap().to_owned(), file)).collect()
}

/// Returns when a file ended, in seconds since the epoch.
fn ended(file: &Value) -> Option<f64> {
    time(file, "finished_at")
}

fn time(file: &Value, field: &str) -> Option<f64> {
    let at = chrono::DateTime::parse_from_rfc3339(file[field].as_str()?).unwrap();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are exact in an f64")]
    Some(at.timestamp_millis() as f64 / 1e3)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.002
}

/// Returns when the file system saw the last change of a file that waits in the inbox, in seconds since the epoch.
fn changed(project: &Project, name: &str) -> Option<f64> {
    let facts = project.inbox("p").join(name).metadata().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are exact in an f64")]
    Some((facts.ctime() * 1_000 + facts.ctime_nsec() / 1_000_000) as f64 / 1e3)
}

/// Compares the first scrape with the ledger, as it was before the start and as it is in the end, and with the inbox: when
/// the file that waits there arrived, and the one that may wait there or was begun.
fn right(scrape: &Scrape, before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>, arrived: [f64; 2]) {
    let value = |name: &str| scrape.metric(name).label("pipeline", "p").value();
    assert!(scrape.metric("forebay_ready").value() > 0.5, "everything is known, or the scrape would not be answered");
    assert!(close(value("forebay_files_quarantined"), 1.0));
    assert!(close(value("forebay_last_failure_timestamp_seconds"), ended(&before["bad.csv"]).unwrap()));
    // The file in progress may have ended by now: then its end is the last.
    let last = [ended(&before["good.csv"]), ended(&after["next.csv"])];
    let success = value("forebay_last_success_timestamp_seconds");
    assert!(last.iter().flatten().any(|last| close(*last, success)), "{success} is none of {last:?}");
    let completion = value("forebay_last_completion_timestamp_seconds");
    assert!(completion >= success && completion >= ended(&before["bad.csv"]).unwrap() - 0.002);
    let last_arrival = value("forebay_last_arrival_timestamp_seconds");
    assert!(close(last_arrival, arrived[0]), "{last_arrival}, not {}", arrived[0]);
    assert!(close(value("forebay_freshness_objective_seconds"), 7200.0));
    assert!(close(value("forebay_watch_up"), 1.0));
    assert!(close(value("forebay_rows_read_total"), value("forebay_rows_written_total")));
    // One file lies in the inbox, and the one in progress may not be done yet.
    let waiting = value("forebay_files_pending") + value("forebay_files_in_flight");
    let in_progress = u8::from(close(success, ended(&before["good.csv"]).unwrap()));
    assert!(waiting > 0.5 && waiting < f64::from(1 + in_progress) + 0.5, "{waiting} wait");
    let oldest = value("forebay_oldest_pending_file_timestamp_seconds");
    assert!(arrived.iter().any(|arrived| close(oldest, *arrived)), "{oldest} is none of {arrived:?}");
    let states: f64 = scrape.metric("forebay_ledger_files").sum();
    #[expect(clippy::cast_precision_loss, reason = "few files")]
    let known = [before.len() as f64, after.len() as f64];
    assert!(states > known[0] - 1.5 && states < known[1] + 0.5, "{states} files in the ledger, {known:?}");
}

#[test]
fn the_first_scrape_after_a_kill_is_right_at_every_stage() {
    if let Err(error) = Command::new("strace").args(["-o", "/dev/null", "true"]).output() {
        assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "strace is required: {error}");
        eprintln!("LEFT OUT: strace not installed");
        return;
    }
    for (stage, at) in STAGES {
        let project = project();
        die(&project, at);
        let before = ledger(&project);
        let state = before.get("next.csv").map(|file| file["state"].as_str().unwrap().to_owned());
        // What waits in the inbox waits for longer than the first scrape takes.
        project.configure(&fs::read_to_string(project.path("forebay.toml")).unwrap().replace("50ms", "4s"));
        project.drop_file("p", "waits.csv", "id\n4\n");
        let begun = || time(&before["next.csv"], "arrived_at").unwrap();
        let arrived = [changed(&project, "waits.csv").unwrap(), changed(&project, "next.csv").unwrap_or_else(begun)];
        // Younger than this it would be if the start took its own time for the file's.
        std::thread::sleep(Duration::from_millis(500));
        let daemon = Daemon::spawn(&project, &[]);
        let first = daemon.scrape();
        wait_for("everything to be done", || {
            let files = ledger(&project);
            let over = files.len() == 4 && files.values().all(|file| file["state"] == "done");
            over.then_some(())
        });
        let after = ledger(&project);
        assert_eq!(after["next.csv"]["outcome"], "succeeded", "{stage}");
        eprintln!("died {stage}: the ledger says {state:?}");
        right(&first, &before, &after, arrived);
        daemon.stop();
    }
}

#[test]
fn a_file_that_waits_does_not_become_young_again_when_the_daemon_is_killed() {
    let project = Project::new(&CONFIG.replace("settle =", "done_marker = \"{name}.done\"\nsettle ="));
    let daemon = project.start();
    let told = |daemon: &Daemon| {
        let scrape = daemon.scrape();
        let value = |name: &str| scrape.metric(name).label("pipeline", "p").value();
        let pending = value("forebay_files_pending") > 0.5;
        let names = ["forebay_oldest_pending_file_timestamp_seconds", "forebay_last_arrival_timestamp_seconds"];
        pending.then(|| names.map(value))
    };
    project.drop_file("p", "waits.csv", "id\n1\n");
    let before = wait_for("the file to be seen", || told(&daemon));
    std::thread::sleep(Duration::from_secs(2));
    // Killed, not stopped.
    drop(daemon);
    let daemon = project.start();
    let after = wait_for("the file to be seen again", || told(&daemon));
    assert!(before.iter().zip(after).all(|(before, after)| (before - after).abs() < 1.0), "{before:?} -> {after:?}");
    fs::write(project.inbox("p").join("waits.csv.done"), "").unwrap();
    daemon.wait_processed("p", 1);
    let latency = daemon.scrape().metric("forebay_file_latency_seconds_sum").value();
    assert!(latency > 2.0, "it waited for {latency} s, the time before the kill included");
    daemon.stop();
}
