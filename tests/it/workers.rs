//! Worker processes: whatever ends one costs an attempt of the file it had, and nothing else.

#![expect(clippy::float_cmp, reason = "metrics here count a few things, which floats do exactly")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Daemon, Project, wait_for};

/// Rows of a file that takes long enough to be caught in the middle.
const MANY: u32 = if cfg!(debug_assertions) { 2_000_000 } else { 10_000_000 };

fn project(limits: &str) -> Project {
    Project::with_config(&format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[paths]\nbase = \"data\"\n[limits]\nworkers = 1\n{limits}\n\
         [pipelines.p]\nsettle = \"60ms\"\nscan_interval = \"1s\"\n\
         [pipelines.p.columns]\nid = \"int64\"\nname = \"string\"\n\
         [pipelines.q]\nsettle = \"60ms\"\nscan_interval = \"1s\"\n[pipelines.q.columns]\nid = \"int64\"\n"
    ))
}

pub(crate) fn large() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let rows = (0..MANY).map(|id| format!("{id},somebody number {id}\n"));
        std::iter::once("id,name\n".to_owned()).chain(rows).collect()
    });
    &TEXT
}

/// The processes the daemon has started.
pub(crate) fn workers(daemon: &Daemon) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap_or_default();
    let every_thread = fs::read_dir(format!("/proc/{}/task", daemon.pid()))
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    let all: String = every_thread.chain([children]).collect::<Vec<_>>().join(" ");
    let mut pids: Vec<i32> = all.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

pub(crate) fn the_worker(daemon: &Daemon) -> Pid {
    wait_for("a worker", || workers(daemon).first().copied())
}

fn rows_in_flight(daemon: &Daemon) -> f64 {
    daemon.scrape().metric("forebay_in_flight_rows").label("pipeline", "p").value()
}

fn crashes(daemon: &Daemon, cause: &str) -> f64 {
    daemon.scrape().metric("forebay_worker_crashes_total").label("cause", cause).value()
}

/// Waits until the large file is being read, and does something to its worker.
fn strike(daemon: &Daemon, signal: Signal) {
    wait_for("the large file to be under way", || (rows_in_flight(daemon) > 0.0).then_some(()));
    kill_process(the_worker(daemon), signal).unwrap();
}

fn outcome(daemon: &Daemon, pipeline: &str, outcome: &str) -> f64 {
    let scrape = daemon.scrape();
    scrape.metric("forebay_files_processed_total").label("pipeline", pipeline).label("outcome", outcome).value()
}

fn survives(signal: Signal, cause: &str) {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "big.csv", large());
    strike(&daemon, signal);
    daemon.wait_processed("p", 1);
    assert_eq!(outcome(&daemon, "p", "succeeded"), 1.0, "{}", daemon.log());
    assert_eq!(crashes(&daemon, cause), 1.0, "{}", daemon.log());
    assert_eq!(daemon.scrape().metric("forebay_file_retries_total").label("reason", "crash").sum(), 1.0);
    let published = project.published("p");
    assert_eq!(published.len(), 1, "published once");
    assert_eq!(published[0].rows()[0], u64::from(MANY));
    assert_eq!(published[0].manifest["attempt"], 2);
    assert_eq!(rows_in_flight(&daemon), 0.0, "what the dead worker had read is no longer in flight");
}

#[test]
fn a_killed_worker_costs_one_attempt() {
    survives(Signal::KILL, "killed");
}

#[test]
fn an_aborted_worker_costs_one_attempt() {
    survives(Signal::ABORT, "abort");
}

#[test]
fn a_worker_that_touches_foreign_memory_costs_one_attempt() {
    // Rust's runtime lets the first SIGSEGV pass that no access caused.
    survives(Signal::ILL, "segfault");
}

#[test]
fn a_worker_that_hangs_is_killed_and_costs_one_attempt() {
    let project = project("stall_timeout = \"1s\"");
    let daemon = project.start();
    project.drop_file("p", "big.csv", large());
    strike(&daemon, Signal::STOP);
    daemon.wait_processed("p", 1);
    assert_eq!(outcome(&daemon, "p", "succeeded"), 1.0, "{}", daemon.log());
    assert_eq!(crashes(&daemon, "hang"), 1.0, "{}", daemon.log());
}

#[test]
fn a_file_that_takes_for_ever_is_given_up() {
    let project = project("job_timeout = \"1s\"");
    let daemon = project.start();
    project.drop_file("p", "big.csv", large());
    for attempt in 1..=3 {
        // It would be silent for ten minutes before anybody minded.
        strike(&daemon, Signal::STOP);
        wait_for("its time to be over", || (crashes(&daemon, "hang") >= f64::from(attempt)).then_some(()));
    }
    daemon.wait_processed("p", 1);
    assert_eq!(outcome(&daemon, "p", "failed"), 1.0, "{}", daemon.log());
    let explained = project.cli().args(["explain", "big.csv"]).run().expect_code(0).stdout;
    assert!(explained.contains("limits.job_timeout"), "{explained}");
}

#[test]
fn a_file_that_kills_its_worker_every_time_ends_in_quarantine_and_holds_nobody_up() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "poison.csv", large());
    for death in 1..=3 {
        strike(&daemon, Signal::KILL);
        wait_for("the crash to be counted", || (crashes(&daemon, "killed") >= f64::from(death)).then_some(()));
        // The one worker is gone: another feed's file must not wait for more than a new one.
        let dropped = Instant::now();
        project.drop_file("q", format!("{death}.csv"), format!("id\n{death}\n"));
        daemon.wait_processed("q", u64::try_from(death).unwrap());
        assert!(dropped.elapsed() < Duration::from_secs(5), "{:?}", dropped.elapsed());
    }
    daemon.wait_processed("p", 1);
    assert_eq!(outcome(&daemon, "p", "failed"), 1.0, "{}", daemon.log());
    let explained = project.cli().args(["explain", "poison.csv"]).run().expect_code(0).stdout;
    assert!(explained.contains("killed") && explained.contains("signal: 9"), "{explained}");
    assert!(project.published("p").is_empty());
    let told = project.cli().args(["explain", "poison.csv", "--json"]).run().expect_code(0).json();
    assert_eq!((&told["attempt"], &told["attempts_counted"]), (&json!(3), &json!(3)), "the last attempt counts too");
}

#[test]
fn workers_do_not_outlive_a_killed_daemon() {
    let project = project("");
    let daemon = project.start();
    project.drop_file("p", "big.csv", large());
    wait_for("the large file to be under way", || (rows_in_flight(&daemon) > 0.0).then_some(()));
    let worker = the_worker(&daemon);
    daemon.signal(Signal::KILL);
    drop(daemon);
    let gone = || (!Path::new(&format!("/proc/{}", worker.as_raw_pid())).exists()).then_some(());
    wait_for("the worker to be gone", gone);
    let daemon = project.start();
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 1);
}

#[test]
fn the_memory_of_every_worker_is_told() {
    let project = project("");
    let daemon = project.start();
    let resident = wait_for("the first look at the workers", || {
        let scrape = daemon.scrape();
        let resident = scrape.metric("forebay_worker_resident_memory_bytes").label("worker", "0").sum();
        (resident > 0.0).then_some(resident)
    });
    assert!(resident > 1e6, "{resident}");
    assert_eq!(workers(&daemon).len(), 1);
}

/// A worker of our own, spoken to as the daemon does.
struct Worker {
    child: std::process::Child,
    replies: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(project: &Project) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        let mut worker = Self { child, replies };
        let config = project.path("forebay.toml");
        let version = project.cli().arg("--version").run().expect_code(0).stdout;
        let version = format!("{}, protocol 2", version.trim().strip_prefix("forebay ").unwrap());
        let text = fs::read_to_string(&config).unwrap();
        worker.say(&json!({ "Hello": { "version": version, "file": path(&config), "text": text } }));
        assert_eq!(worker.hear()["Ready"]["unconfined"], Value::Null, "this kernel confines workers");
        worker
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn run(&mut self, input: &Path, staging: &Path) -> Value {
        use std::os::unix::fs::MetadataExt as _;
        let stamp = fs::metadata(input).unwrap();
        let stamp = json!({ "dev": stamp.dev(), "ino": stamp.ino(), "size": stamp.size(),
            "mtime_ns": stamp.mtime() * 1_000_000_000 + stamp.mtime_nsec() });
        self.say(
            &json!({ "Run": { "id": "01a", "pipeline": "q", "input": path(input), "name": "x.csv", "stamp": stamp,
            "arrived_at": 0, "staging": path(staging), "attempt": 1, "trace_id": "" } }),
        );
        loop {
            let reply = self.hear();
            if let Some(ended) = reply.get("Ended") {
                return ended["result"].clone();
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn path(path: &Path) -> Value {
    json!({ "Unix": path.as_os_str().as_bytes() })
}

#[test]
fn a_worker_reads_its_inboxes_and_writes_its_staging_folders_and_nothing_else() {
    let project = project("");
    for folder in ["data/in/q", "data/out/q/.forebay/staging/a", "data/out/q/.forebay/staging/b", "elsewhere"] {
        fs::create_dir_all(project.path(folder)).unwrap();
    }
    let (input, foreign) = (project.path("data/in/q/x.csv"), project.path("elsewhere/x.csv"));
    fs::write(&input, "id\n1\n").unwrap();
    fs::write(&foreign, "id\n1\n").unwrap();
    let mut worker = Worker::start(&project);
    let done = worker.run(&input, &project.path("data/out/q/.forebay/staging/a"));
    assert_eq!(done["Ok"]["rows"]["written"], 1, "{done}");
    let refused = worker.run(&foreign, &project.path("data/out/q/.forebay/staging/b"));
    assert!(refused.to_string().contains("ermission denied"), "a file outside the inboxes: {refused}");
    let refused = worker.run(&input, &project.path("elsewhere"));
    assert!(refused.to_string().contains("ermission denied"), "a folder outside staging: {refused}");
    assert!(!project.path("elsewhere/rows.parquet").exists());
}
