//! What a run of `forebay once` leaves for monitoring, read by those it is left for: the node exporter and the Pushgateway.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Peer, Project, Scrape, published_under, wait_for};

const METRICS: [&str; 9] = [
    "forebay_run_rows_read",
    "forebay_run_rows_written",
    "forebay_run_rows_rejected",
    "forebay_run_rows_dropped",
    "forebay_run_duration_seconds",
    "forebay_run_completion_timestamp_seconds",
    "forebay_run_last_success_timestamp_seconds",
    "forebay_run_files",
    "forebay_run_files_not_taken",
];

fn project() -> Project {
    let pipeline = |name: &str| format!("[pipelines.{name}]\ncolumns.id = \"int64\"\naccept.max_rejects = 1\n");
    let project = Project::new(&[pipeline("p"), pipeline("q")].concat());
    std::fs::write(project.path("good.csv"), "id\n1\n2\nx\n").unwrap();
    std::fs::write(project.path("other.csv"), "id\n5\n").unwrap();
    std::fs::write(project.path("bad.csv"), "something\n1\n").unwrap();
    project
}

/// Starts a Pushgateway that knows nothing yet: Debian's keeps what it was told in one place for all.
#[track_caller]
fn pushgateway(project: &Project) -> Option<Peer> {
    let memory = format!("--persistence.file={}", project.path("pushgateway.data").display());
    Peer::start(project, "prometheus-pushgateway", &[memory])
}

/// Runs `once` on a file and expects it to fare so.
#[track_caller]
fn once(project: &Project, pipeline: &str, file: &str, export: [&str; 2], code: i32) {
    project.cli().args(["once", "-p", pipeline, file, "--out", "out"]).args(export).run().expect_code(code);
}

fn value(scrape: &Scrape, metric: &str, pipeline: &str) -> f64 {
    scrape.metric(metric).label("pipeline", pipeline).value()
}

fn files(scrape: &Scrape, outcome: &str) -> f64 {
    scrape.metric("forebay_run_files").label("pipeline", "p").label("outcome", outcome).value()
}

/// Follows a pipeline through a failed, a good and two more failed runs, whoever keeps the metrics.
fn from_failure_to_success_and_back(project: &Project, export: [&str; 2], scrape: &dyn Fn() -> Scrape) {
    let success = |scrape: &Scrape| value(scrape, "forebay_run_last_success_timestamp_seconds", "p");
    let completion = |scrape: &Scrape| value(scrape, "forebay_run_completion_timestamp_seconds", "p");

    once(project, "p", "bad.csv", export, 1);
    let first = scrape();
    assert!(files(&first, "quarantined") > 0.5 && files(&first, "succeeded") < 0.5, "a failed run is told too");
    let none = first.metric("forebay_run_last_success_timestamp_seconds").label("pipeline", "p");
    assert!(none.is_absent(), "there was no success yet");

    once(project, "p", "good.csv", export, 0);
    let good = scrape();
    for metric in METRICS {
        assert!(!good.metric(metric).label("pipeline", "p").is_absent(), "{metric} in\n{}", good.text());
    }
    let rows = ["read", "written", "rejected", "dropped"];
    let rows = rows.map(|rows| format!("{}", value(&good, &format!("forebay_run_rows_{rows}"), "p")));
    assert_eq!(rows, ["3", "2", "1", "0"]);
    assert!((success(&good) - completion(&good)).abs() < 1e-6 && completion(&good) > completion(&first));
    assert!(files(&good, "succeeded") > 0.5 && files(&good, "quarantined") < 0.5);

    for (file, outcome) in [("bad.csv", "quarantined"), ("not-there.csv", "failed")] {
        once(project, "p", file, export, 1);
        let bad = scrape();
        assert_eq!(success(&bad).to_bits(), success(&good).to_bits(), "a failed run is no success, and hides none");
        assert!(completion(&bad) > completion(&good), "{file}");
        assert!(files(&bad, outcome) > 0.5 && files(&bad, "succeeded") < 0.5, "{file}");
        assert!(value(&bad, "forebay_run_rows_written", "p") < 0.5, "{file}");
    }
}

#[test]
fn the_node_exporter_reads_the_text_files() {
    let project = project();
    let folder = project.path("textfile");
    std::fs::create_dir(&folder).unwrap();
    let collector = format!("--collector.textfile.directory={}", folder.display());
    let args = ["--collector.disable-defaults".to_owned(), "--collector.textfile".to_owned(), collector];
    let Some(exporter) = Peer::start(&project, "prometheus-node-exporter", &args) else { return };
    // One file per pipeline: the collector refuses a folder whose files do not agree about a metric.
    once(&project, "q", "other.csv", ["--textfile", "textfile/q.prom"], 0);
    from_failure_to_success_and_back(&project, ["--textfile", "textfile/p.prom"], &|| {
        let scrape = exporter.scrape();
        assert!(scrape.metric("node_textfile_scrape_error").value() < 0.5, "{}", scrape.text());
        assert!(value(&scrape, "forebay_run_rows_written", "q") > 0.5, "the other pipeline's file is read beside it");
        scrape
    });
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2, "nothing else is left there");
}

#[test]
fn the_pushgateway_takes_what_is_pushed() {
    let project = project();
    let Some(gateway) = pushgateway(&project) else { return };
    let url = gateway.url();
    once(&project, "q", "other.csv", ["--push", &url], 0);
    from_failure_to_success_and_back(&project, ["--push", &url], &|| {
        let scrape = gateway.scrape();
        let pushed = |name: &str| scrape.metric(name).label("job", "forebay").label("pipeline", "p").value();
        assert!(pushed("push_time_seconds") > 0.5 && pushed("push_failure_time_seconds") < 0.5, "{}", scrape.text());
        assert!(value(&scrape, "forebay_run_rows_written", "q") > 0.5, "the other pipeline's group stays");
        scrape
    });
    // A group of the caller's choice, for one pipeline after the other, and a place where none can be.
    let group = format!("{url}/metrics/job/nightly/instance/one");
    once(&project, "p", "good.csv", ["--push", &group], 0);
    once(&project, "q", "other.csv", ["--push", &group], 0);
    let scrape = gateway.scrape();
    for (pipeline, rows) in [("p", 3.0), ("q", 1.0)] {
        let nightly = |metric: &str| {
            scrape.metric(metric).label("job", "nightly").label("instance", "one").label("pipeline", pipeline).value()
        };
        assert!((nightly("forebay_run_rows_read") - rows).abs() < 0.5, "{pipeline}");
        assert!(nightly("forebay_run_last_success_timestamp_seconds") > 1e9, "{pipeline}");
    }
    let nowhere = format!("{url}/nowhere");
    let ran = project.cli().args(["once", "-p", "p", "good.csv", "--out", "out", "--push", &nowhere]).run();
    assert!(ran.expect_code(70).stderr.contains("refused the metrics: HTTP/1.1 404"));
}

#[test]
fn an_interrupted_run_is_no_success_and_says_what_it_left() {
    const FILES: u32 = 400;
    let project = project();
    let export = ["--textfile", "run.prom"];
    let read = || Scrape::parse(&std::fs::read_to_string(project.path("run.prom")).unwrap());
    once(&project, "q", "other.csv", export, 0);
    let success = value(&read(), "forebay_run_last_success_timestamp_seconds", "q");
    let given = (0..FILES).map(|_| "other.csv");
    let command = project.cli().args(["once", "-p", "q", "--json", "--out", "many"]).args(export).args(given);
    let mut command = command.into_command();
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("a few files to be done", || (published_under(&project.path("many")).len() > 2).then_some(()));
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    let ran = run.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    let scrape = read();
    let left = value(&scrape, "forebay_run_files_not_taken", "q");
    let begun = scrape.metric("forebay_run_files").label("pipeline", "q").sum();
    assert!(left > 0.5 && begun > 2.5, "{left} left of {FILES}, {begun} begun");
    assert!((left + begun - f64::from(FILES)).abs() < 0.5, "{left} left of {FILES}, {begun} begun");
    assert!(told.contains(&format!("interrupted: {left} of {FILES} files were not begun")), "{told}");
    let document: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(document["not_taken"].as_f64(), Some(left));
    let kept = value(&scrape, "forebay_run_last_success_timestamp_seconds", "q");
    assert_eq!(kept.to_bits(), success.to_bits(), "what was the last success still is");
}

#[test]
fn a_text_file_that_cannot_be_written_does_not_keep_the_push_back() {
    let project = project();
    let Some(gateway) = pushgateway(&project) else { return };
    let nobody = "http://127.0.0.1:1";
    let run = |push: &str| {
        let command = project.cli().args(["once", "-p", "q", "other.csv", "--out", "out"]);
        command.args(["--textfile", "nowhere/run.prom", "--push", push]).run().expect_code(70).stderr
    };
    let told = run(&gateway.url());
    assert!(told.contains("nowhere/run.prom"), "{told}");
    assert!(value(&gateway.scrape(), "forebay_run_rows_written", "q") > 0.5, "it was pushed all the same");
    let told = run(nobody);
    assert!(told.contains("nowhere/run.prom") && told.contains("cannot push to 127.0.0.1:1"), "{told}");
}
