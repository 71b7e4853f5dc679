//! How the daemon ends and begins again: nothing half done, nothing lost, nothing twice.

use std::process::ExitStatus;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Daemon, Project, files_under, read_parquet, wait_for};

/// Rows of a file that takes long enough to be caught in the middle.
const MANY: u32 = if cfg!(debug_assertions) { 300_000 } else { 3_000_000 };

/// A project with one worker and a pipeline named `p`.
fn project(drain: &str) -> Project {
    Project::with_config(&config(drain, ""))
}

fn config(drain: &str, more: &str) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
{more}

[paths]
base = "data"

[limits]
workers = 1
drain = "{drain}"

[pipelines.p]
settle = "60ms"
scan_interval = "1s"

[pipelines.p.columns]
id = "int64"
name = "string"
amount = "float64"
day = "date"
"#
    )
}

fn text(rows: u32) -> String {
    let rows = (0..rows).map(|id| format!("{id},somebody number {id},{id}.25,2024-02-29\n"));
    std::iter::once("id,name,amount,day\n".to_owned()).chain(rows).collect()
}

/// Drops a large file and waits until it is being read.
fn caught_in_the_middle(project: &Project) -> Daemon {
    let daemon = project.start();
    project.drop_file("p", "big.csv", text(MANY));
    wait_for("the large file to be under way", || {
        let rows = daemon.scrape().metric("forebay_in_flight_rows").value();
        (rows > 0.0).then_some(())
    });
    daemon
}

fn code(status: ExitStatus) -> i32 {
    status.code().expect("it ended by itself, not by the signal")
}

/// What the ledger says of the one file there is.
fn ledger(project: &Project) -> Value {
    let files = project.cli().args(["files", "--json"]).run().expect_code(0).json();
    let files = files.as_array().or_else(|| files["files"].as_array()).unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn nothing_is_half_done(project: &Project) {
    let staged: Vec<_> = files_under(&project.path("data/out/p/.forebay"));
    assert!(staged.is_empty(), "left in staging: {staged:?}");
}

fn all_is_done(project: &Project) {
    let published = project.published("p");
    assert_eq!(published.len(), 1, "published once");
    let rows = u64::from(MANY);
    assert_eq!(published[0].rows(), [rows, rows, 0, 0]);
    assert_eq!(read_parquet(&published[0].path.join("rows.parquet")).height(), MANY as usize);
    assert_eq!(project.archived("p").len(), 1);
    assert!(files_under(&project.path("data/in/p/.forebay")).is_empty(), "nothing is left claimed");
    nothing_is_half_done(project);
}

#[test]
fn the_first_sigterm_finishes_what_is_in_progress_and_begins_nothing_new() {
    let project = project("60s");
    let mut daemon = caught_in_the_middle(&project);
    daemon.signal(Signal::TERM);
    wait_for("the drain", || daemon.log().contains("drain").then_some(()));
    project.drop_file("p", "late.csv", text(3));
    if let Ok(answer) = daemon.try_get("/-/ready") {
        assert_eq!(answer.code, 503, "a draining daemon is not ready");
    }
    assert_eq!(code(daemon.wait_exit()), 0, "{}", daemon.log());
    all_is_done(&project);
    assert_eq!(project.left_in_inbox("p"), ["late.csv"]);
    let daemon = project.start();
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 2);
    daemon.stop();
}

#[test]
fn sigint_is_a_sigterm() {
    let project = project("60s");
    let mut daemon = project.start();
    daemon.signal(Signal::INT);
    assert_eq!(code(daemon.wait_exit()), 0, "{}", daemon.log());
}

#[test]
fn the_second_signal_stops_at_once_and_the_next_start_goes_on() {
    let project = project("60s");
    let mut daemon = caught_in_the_middle(&project);
    daemon.signal(Signal::TERM);
    wait_for("the drain", || daemon.log().contains("drain").then_some(()));
    daemon.signal(Signal::TERM);
    assert_eq!(code(daemon.wait_exit()), 0, "{}", daemon.log());
    stopped_in_the_middle(&project);
    let daemon = project.start();
    daemon.wait_processed("p", 1);
    daemon.stop();
    all_is_done(&project);
}

#[test]
fn a_drain_that_takes_too_long_puts_the_file_back_in_line() {
    let project = project("10ms");
    let mut daemon = caught_in_the_middle(&project);
    daemon.signal(Signal::TERM);
    assert_eq!(code(daemon.wait_exit()), 0, "{}", daemon.log());
    stopped_in_the_middle(&project);
    let daemon = project.start();
    daemon.wait_processed("p", 1);
    daemon.stop();
    all_is_done(&project);
}

/// The file was cancelled: ours, unpublished, and no attempt counts.
fn stopped_in_the_middle(project: &Project) {
    assert!(project.published("p").is_empty(), "the file was to be caught before it was done");
    nothing_is_half_done(project);
    let file = ledger(project);
    assert_eq!(file["state"], "claimed", "{file}");
    assert_eq!(file["attempts_counted"], 0, "a stop is not the file's fault: {file}");
    assert_eq!(files_under(&project.path("data/in/p/.forebay")).len(), 1, "it waits where it was claimed");
}

#[test]
fn a_killed_daemon_goes_on_where_it_was() {
    let project = project("60s");
    let mut daemon = caught_in_the_middle(&project);
    daemon.signal(Signal::KILL);
    assert_eq!(daemon.wait_exit().code(), None);
    assert!(project.published("p").is_empty());
    let daemon = project.start();
    daemon.wait_processed("p", 1);
    assert_eq!(ledger(&project)["attempts_counted"], 0, "dying is the daemon's fault, not the file's");
    daemon.stop();
    all_is_done(&project);
}

#[test]
fn sighup_never_ends_the_daemon_and_says_what_came_of_it() {
    let project = project("60s");
    let daemon = project.start();
    let successful = || daemon.scrape().metric("forebay_config_last_reload_successful").value() > 0.5;
    assert!(successful());
    project.configure("[pipelines.p]\nfoo = 1\n");
    daemon.signal(Signal::HUP);
    wait_for("the broken config to be told", || (!successful()).then_some(()));
    project.configure(&config("60s", ""));
    daemon.signal(Signal::HUP);
    wait_for("the unchanged config to be fine", || successful().then_some(()));
    project.configure(&config("59s", ""));
    daemon.signal(Signal::HUP);
    wait_for("the change to be taken up", || daemon.log().contains("taken up").then_some(()));
    assert!(successful(), "{}", daemon.log());
    project.drop_file("p", "a.csv", text(3));
    daemon.wait_processed("p", 1);
    daemon.stop();
}

#[test]
fn reload_over_http_needs_to_be_allowed() {
    let refused = project("60s");
    let daemon = refused.start();
    assert_eq!(daemon.post("/-/reload", &[]).code, 403);
    daemon.stop();
    let allowed = Project::with_config(&config("60s", "enable_lifecycle = true"));
    let daemon = allowed.start();
    assert_eq!(daemon.post("/-/reload", &[]).code, 200);
    allowed.configure("nonsense = ");
    let answer = daemon.post("/-/reload", &[]);
    assert!(answer.code == 500 && answer.body.contains("forebay.toml"), "{answer:?}");
    daemon.stop();
}

#[test]
fn a_config_that_cannot_work_is_exit_code_2_and_a_taken_address_70() {
    let project = project("60s");
    project.configure(&config("60s", "").replace("int64", "int65"));
    project.cli().arg("run").run().expect_code(2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    project.configure(&config("60s", "").replace("127.0.0.1:0", &address));
    let ran = project.cli().arg("run").run().expect_code(70);
    assert!(ran.stderr.contains("server.listen"), "{}", ran.stderr);
}

#[test]
fn a_busy_port_ends_the_start_with_a_message_and_its_exit_code() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let project = Project::with_config(&config("1s", "").replace("127.0.0.1:0", &address));
    let ran = project.cli().args(["run", "--log-format", "json"]).run().expect_code(70);
    for part in [address.as_str(), "Address already in use", "server.listen"] {
        assert!(ran.stderr.contains(part), "{part} in {}", ran.stderr);
    }
}
