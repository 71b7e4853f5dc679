//! The daemon has its configuration checked by a child: it stays small, and what crashes a check does not crash the daemon.

use std::fs;

use rustix::process::Signal;

use crate::support::{Daemon, Project, wait_for};
use crate::workers::the_worker;

/// A pipeline with SQL of every kind, none of which can be computed in steps alone.
const PIPELINE: &str = "
[pipelines.p]
settle = \"50ms\"
scan_interval = \"200ms\"
columns = { id = \"int64\", who = \"string\" }
derive.double = \"id * 2\"
rules.positive = \"double > 0\"
aggregates.middle.sql = \"SELECT who, MEDIAN(id) AS id FROM rows GROUP BY who\"
";

/// So many terms that whoever plans them runs out of stack.
fn crashing() -> String {
    let sum = vec!["id"; 20_000].join(" + ");
    PIPELINE.replace("double > 0", &format!("{sum} > 0"))
}

/// Whether a process has Polars' own threads, which start with the first query it runs.
fn has_polars(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while we look.
    let mut names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.any(|name| name.starts_with("polars-"))
}

fn reload(daemon: &Daemon) -> (u16, String) {
    let answer = daemon.post("/-/reload", &[]);
    (answer.code, answer.body)
}

fn project() -> Project {
    Project::with_config(&format!("[server]\nlisten = \"127.0.0.1:0\"\nenable_lifecycle = true\n{PIPELINE}"))
}

#[test]
fn the_daemon_never_wakes_polars() {
    let project = project();
    let daemon = project.start();
    project.configure(&fs::read_to_string(project.path("forebay.toml")).unwrap().replace("id * 2", "id * 3"));
    assert_eq!(reload(&daemon), (200, "forebay.toml: taken up; changed p\n".to_owned()));
    project.drop_file("p", "a.csv", "id,who\n1,me\n3,me\n-1,you\n");
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p")[0].rows(), [3, 2, 1, 0], "{}", daemon.log());
    let worker = u32::try_from(the_worker(&daemon).as_raw_pid()).unwrap();
    assert!(has_polars(worker), "the median woke it, so that this test can tell");
    assert!(!has_polars(daemon.pid()), "neither start nor reload nor file");
    daemon.stop();
}

#[test]
fn a_start_and_a_reload_say_what_check_says() {
    let project = project();
    let daemon = project.start();
    let wrong = fs::read_to_string(project.path("forebay.toml")).unwrap();
    // Found by whoever reads it, by whoever plans it, and by whoever runs it.
    let wrong = wrong.replace("settle", "setle").replace("id * 2", "ident * 2").replace("double > 0", "who > 5");
    project.configure(&wrong);
    let [checked, started] = ["check", "run"].map(|verb| project.cli().arg(verb).run().expect_code(2).stderr);
    assert_eq!(started, checked);
    let faults = checked.split_once("the configuration is not sound\n").unwrap().1;
    assert_eq!(faults.lines().count(), 3, "{faults}");
    let refused =
        format!("500: forebay.toml: it is not sound\n{}; the running configuration stays\n", faults.trim_end());
    assert_eq!(reload(&daemon), (500, refused));
    daemon.stop();
}

#[test]
fn a_configuration_that_crashes_its_check_is_refused_by_a_start() {
    let project = Project::new(&crashing());
    let told = project.cli().arg("run").run().expect_code(2).stderr;
    let why = "error: the configuration is not sound\nforebay.toml: checking it crashed (signal: 6 (SIGABRT)) (some SQL in it is";
    assert!(told.contains(why), "{told}");
    assert!(!project.path("data").exists(), "nothing was begun");
}

#[test]
fn a_configuration_that_crashes_its_check_is_refused_by_a_reload_and_the_daemon_lives() {
    let project = project();
    let daemon = project.start();
    let good = fs::read_to_string(project.path("forebay.toml")).unwrap();
    project.configure(&good.replace(PIPELINE, &crashing()));
    let (code, words) = reload(&daemon);
    assert_eq!(code, 500, "{words}");
    assert!(words.contains("checking it crashed (signal: 6 (SIGABRT))"), "{words}");
    assert!(words.ends_with("; the running configuration stays\n"), "{words}");
    daemon.signal(Signal::HUP);
    let failed = || daemon.scrape().metric("forebay_errors_total").label("kind", "reload").sum();
    wait_for("the second refusal", || (failed() > 1.5).then_some(()));
    project.drop_file("p", "a.csv", "id,who\n1,me\n");
    daemon.wait_processed("p", 1);
    assert_eq!(project.published("p").len(), 1);
    daemon.stop();
}
