//! `/metrics` of a running daemon. The exposition of fresh telemetry, byte for byte, is tested beside the code; here it is
//! the daemon's wiring: which series are there, and that the numbers are those of the files.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};

use crate::support::{Project, Scrape, wait_for};

const TAXI: &str = r#"
[pipelines.taxi]
settle = "100ms"
scan_interval = "1s"

[pipelines.taxi.columns]
fare = "float64"
longitude = "float64"

[pipelines.taxi.rules]
positive_fare = "fare > 0"
in_new_york = { check = "longitude BETWEEN -74.3 AND -73.7", action = "drop" }

[pipelines.taxi.accept]
max_reject_ratio = 0.9

[pipelines.taxi.objectives]
freshness = "2h"
"#;

/// Families that appear once their value is known.
const LATE: [&str; 21] = [
    "forebay_config_last_reload_success_timestamp_seconds",
    "forebay_files_in_flight",
    "forebay_files_pending",
    "forebay_files_quarantined",
    "forebay_files_queued",
    "forebay_filesystem_free_bytes",
    "forebay_filesystem_size_bytes",
    "forebay_last_arrival_timestamp_seconds",
    "forebay_last_completion_timestamp_seconds",
    "forebay_last_failure_timestamp_seconds",
    "forebay_last_success_timestamp_seconds",
    "forebay_ledger_files",
    "forebay_ledger_size_bytes",
    "forebay_memory_budget_bytes",
    "forebay_oldest_in_flight_start_timestamp_seconds",
    "forebay_oldest_pending_file_timestamp_seconds",
    "forebay_pending_bytes",
    "forebay_stage_peak_rss_bytes",
    "forebay_watch_last_scan_timestamp_seconds",
    "forebay_watch_up",
    "forebay_worker_resident_memory_bytes",
];

/// The names of the series, labels included; the build's own labels are its own.
fn series(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("forebay_build_info"));
    samples.map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

fn assert_conserved(scrape: &Scrape) {
    let rows = |what: &str| scrape.metric(&format!("forebay_rows_{what}_total")).label("pipeline", "taxi").sum();
    assert!(
        (rows("read") - rows("written") - rows("rejected") - rows("dropped")).abs() < 0.5,
        "rows are lost in\n{}",
        scrape.text()
    );
}

#[test]
fn a_fresh_daemon_tells_every_series_of_the_golden_file() {
    let golden = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/metrics.txt")).unwrap();
    let project = Project::new(TAXI);
    let daemon = project.start();
    let answer = daemon.get("/metrics");
    assert_eq!(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
    let (expected, found) = (series(&golden), series(&answer.body));
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");
    let extra = found.difference(&expected).filter(|series| !LATE.contains(&series.split('{').next().unwrap()));
    assert_eq!(extra.collect::<Vec<_>>(), Vec::<&&str>::new(), "a metric that is not in the golden file");
    let scrape = daemon.scrape();
    for (metric, value) in [
        ("forebay_ready", 1.0),
        ("forebay_draining", 0.0),
        ("forebay_config_last_reload_successful", 1.0),
        ("forebay_freshness_objective_seconds", 7200.0),
        ("forebay_files_processed_total", 0.0),
        ("forebay_rows_read_total", 0.0),
    ] {
        let told = scrape.metric(metric).sum();
        assert!((told - value).abs() < 0.5, "{metric} is {told}");
    }
    for metric in ["forebay_files_pending", "forebay_files_quarantined", "forebay_ledger_files", "forebay_watch_up"] {
        assert!(!scrape.metric(metric).is_absent(), "{metric} is known by the time the first scrape is answered");
    }
    assert!(scrape.metric("forebay_workers").value() >= 1.0);
    assert!(scrape.metric("forebay_memory_budget_bytes").value() > 0.0);
    assert!(scrape.metric("forebay_last_success_timestamp_seconds").is_absent(), "a success that never was");
    daemon.stop();
}

#[test]
fn the_numbers_are_those_of_the_files() {
    let project = Project::new(TAXI);
    let daemon = project.start();
    // Two good rows, one refused by a rule, one of the wrong type, one dropped.
    project.drop_file("taxi", "a.csv", "fare,longitude\n5,-74\n6,-74\n-1,-74\nx,-74\n7,0\n");
    daemon.wait_processed("taxi", 1);
    project.drop_file(
        "taxi",
        "b.csv",
        "fare,longitude\nx,1\nx,2\nx,3\nx,4\nx,5\nx,6\nx,7\nx,8\nx,9\nx,10\nx,11\nx,12\n",
    );
    wait_for("both files to have an outcome", || {
        let scrape = daemon.scrape();
        // Every scrape on the way must add up, not only the last.
        assert_conserved(&scrape);
        (scrape.metric("forebay_files_processed_total").sum() > 1.5).then_some(())
    });
    let scrape = daemon.scrape();
    assert_conserved(&scrape);
    let told = |metric: &str, label: (&str, &str)| scrape.metric(metric).label(label.0, label.1).sum();
    for (metric, label, value) in [
        ("forebay_files_processed_total", ("outcome", "succeeded"), 1.0),
        ("forebay_files_processed_total", ("outcome", "quarantined"), 1.0),
        ("forebay_rows_read_total", ("pipeline", "taxi"), 5.0),
        ("forebay_rows_written_total", ("pipeline", "taxi"), 2.0),
        ("forebay_rows_dropped_total", ("pipeline", "taxi"), 1.0),
        ("forebay_rows_rejected_total", ("reason", "bad_type"), 1.0),
        ("forebay_rows_rejected_total", ("reason", "rule"), 1.0),
        ("forebay_rule_violations_total", ("rule", "positive_fare"), 1.0),
        ("forebay_rule_violations_total", ("rule", "in_new_york"), 1.0),
        ("forebay_rows_quarantined_total", ("pipeline", "taxi"), 12.0),
        ("forebay_file_latency_seconds_count", ("pipeline", "taxi"), 1.0),
        ("forebay_errors_total", ("component", "telemetry"), 0.0),
    ] {
        let told = told(metric, label);
        assert!((told - value).abs() < 0.5, "{metric} {label:?} is {told}, not {value}");
    }
    assert!(scrape.metric("forebay_last_success_timestamp_seconds").value() > 1.7e9);
    check_with_promtool(scrape.text());
    daemon.stop();
}

#[test]
fn two_thousand_names_add_no_series() {
    const FILES: u32 = 2_000;
    let project = Project::new(TAXI);
    let daemon = project.start();
    let names = || -> BTreeSet<String> {
        let text = daemon.get("/metrics").body;
        // Workers are known by small numbers, and there may be one more for a while.
        series(&text).into_iter().filter(|series| !series.contains("{worker=")).map(str::to_owned).collect()
    };
    let drop_both = |number: u32| {
        let name = |kind: &str| format!("{kind}-{number:05}-\u{202e}\"{{}}\\.csv");
        project.drop_file("taxi", name("good"), format!("fare,longitude\n{number},-74\nx,-74\n"));
        // The header is at fault, and never the same.
        project.drop_file("taxi", name("bad"), format!("fare{number}\n1\n"));
    };
    drop_both(0);
    daemon.wait_processed("taxi", 2);
    let before = names();
    (1..FILES / 2).for_each(drop_both);
    daemon.wait_processed("taxi", u64::from(FILES));
    let after = names();
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    let outcome =
        |outcome: &str| daemon.scrape().metric("forebay_files_processed_total").label("outcome", outcome).sum();
    assert!((outcome("succeeded") - f64::from(FILES / 2)).abs() < 0.5, "{} succeeded", outcome("succeeded"));
    assert!((outcome("quarantined") - f64::from(FILES / 2)).abs() < 0.5, "{} quarantined", outcome("quarantined"));
    daemon.stop();
}

#[test]
fn an_archive_that_cannot_be_written_is_told_in_a_word_of_its_own() {
    let project = Project::new(TAXI);
    let daemon = project.start();
    let archive = project.path("data/archive/taxi");
    std::fs::remove_dir_all(&archive).unwrap();
    std::fs::write(&archive, "in the way").unwrap();
    project.drop_file("taxi", "a.csv", "fare,longitude\n5,-74\n");
    let waits = |scrape: &Scrape| scrape.metric("forebay_backpressure_active").label("reason", "output").value() > 0.5;
    let scrape = wait_for("the failure to be told", || Some(daemon.scrape()).filter(waits));
    let failed = |kind: &str| scrape.metric("forebay_errors_total").label("component", "publish").label("kind", kind);
    assert!(failed("archive").value() > 0.5, "{}", scrape.text());
    assert!(failed("publish").value() < 0.5, "it was published");
    std::fs::remove_file(&archive).unwrap();
    daemon.wait_processed("taxi", 1);
    wait_for("the wait to be over", || (!waits(&daemon.scrape())).then_some(()));
    daemon.stop();
}

#[test]
fn the_workers_time_is_told_and_never_falls() {
    let project = Project::new(TAXI);
    let daemon = project.start();
    let time = || daemon.scrape().metric("forebay_worker_cpu_seconds_total").value();
    let rows: String = (0..300_000).map(|row| format!("{row},-74\n")).collect();
    project.drop_file("taxi", "a.csv", format!("fare,longitude\n{rows}"));
    daemon.wait_processed("taxi", 1);
    let before = wait_for("the work to be told", || Some(time()).filter(|time| *time > 0.0));
    crate::workers::the_worker(&daemon);
    for worker in crate::workers::workers(&daemon) {
        kill_process(worker, Signal::KILL).unwrap();
    }
    project.drop_file("taxi", "b.csv", format!("fare,longitude\n{rows}0,0\n"));
    let mut last = before;
    let after = wait_for("more work to be told", || {
        let now = time();
        assert!(now >= last, "{now} after {last}");
        last = now;
        let done = daemon.scrape().metric("forebay_files_processed_total").sum() > 1.5;
        (done && now > before).then_some(now)
    });
    assert!(after < before + 60.0, "{after} s of work");
    daemon.stop();
}

/// Lets promtool judge the text, if it is here.
fn check_with_promtool(text: &str) {
    let started = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    match started {
        Ok(mut promtool) => {
            promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            assert!(promtool.wait().unwrap().success(), "promtool refuses\n{text}");
        }
        Err(error) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "promtool is required: {error}");
            eprintln!("LEFT OUT: promtool not installed");
        }
    }
}
