//! The exposition as a whole: complete from the first scrape, sound, sorted, and moved by events.

#![expect(clippy::float_cmp, reason = "counts are whole numbers, exact in f64")]

mod formats;
mod people;
mod words;

use super::catalog::{Born, Kind, Label, Scope, Values};
use super::event::{Loaded, Resource};
use super::*;
use crate::job::{
    CrashCause, DiscoverySource, DriftKind, FileId, InputFacts, JobReport, Outcome, Progress, QuarantineReason,
    RejectReason, RetryReason, RowCounts, StageCost,
};

const AT: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn pipeline(name: &str) -> PipelineInfo {
    PipelineInfo {
        name: name.to_owned(),
        rules: vec!["positive_fare".to_owned(), "in_new_york".to_owned()],
        freshness: Some(Duration::from_hours(2)),
        latency: None,
        scan_interval: Duration::from_secs(30),
    }
}

fn fresh() -> Telemetry {
    Telemetry::new(&[pipeline("taxi"), pipeline("weather")])
}

/// Samples by series, comments left out.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let before = samples.insert(series, value.parse().unwrap());
        assert!(before.is_none(), "{series} twice");
    }
    samples
}

fn report(rows: RowCounts) -> JobReport {
    JobReport {
        input: InputFacts {
            name: "x.csv".to_owned(),
            bytes: 100,
            blake3: String::new(),
            encoding: "utf-8".to_owned(),
            compression: "none".to_owned(),
            arrived_at: AT,
        },
        rows,
        blank_lines: 0,
        rejects: BTreeMap::from([(RejectReason::BadType, rows.rejected)]),
        rejects_by_rule: BTreeMap::new(),
        rule_violations: BTreeMap::from([("positive_fare".to_owned(), 5)]),
        drift: BTreeMap::from([(DriftKind::Extra, 3)]),
        outputs: BTreeMap::new(),
        stages: BTreeMap::from([(Stage::Parse, StageCost { busy_seconds: 0.5, peak_rss_bytes: 4096 })]),
        peak_rss_bytes: 4096,
        text_bytes: 100,
    }
}

fn finish(telemetry: &Telemetry, outcome: Outcome, report: Option<&JobReport>) {
    telemetry.emit(Event::FileFinished {
        pipeline: "taxi",
        id: &FileId::parse("01kah5zq8v3w").unwrap(),
        name: "x.csv",
        trace_id: "0af7651916cd43dd8448eb211c80319c",
        outcome,
        at: AT,
        duration: Duration::from_millis(20),
        latency: Duration::from_secs(2),
        report,
        reason: (outcome == Outcome::Quarantined).then_some(QuarantineReason::TooManyRejects),
        message: "",
        rows_quarantined: if outcome == Outcome::Quarantined { 9 } else { 0 },
    });
}

/// Emits at least one event for every metric.
fn a_busy_day(telemetry: &Telemetry) {
    let id = FileId::parse("01kah5zq8v3w").unwrap();
    let (pipeline, name, wait, took) = ("taxi", "x.csv", Duration::from_secs(3), Duration::from_millis(1));
    let listen = "0.0.0.0:17170".parse().unwrap();
    telemetry.emit(Event::Starting { pipelines: 2, listen: &[listen] });
    telemetry.emit(Event::Exposed { listen, missing: "" });
    telemetry.emit(Event::Limits { workers: 2, memory_budget: Some(1 << 30) });
    telemetry.emit(Event::Draining { cause: "SIGTERM" });
    telemetry.emit(Event::FileDiscovered { pipeline, name, bytes: 100, source: DiscoverySource::Scan, at: AT });
    telemetry.emit(Event::FileIgnored { pipeline, name, kind: "symlink" });
    telemetry.emit(Event::FileClaimed { pipeline, id: &id, name, bytes: 100 });
    telemetry.emit(Event::FileStarted { pipeline, id: &id, name, attempt: 1, trace_id: "", wait });
    telemetry.emit(Event::FileProgress { pipeline, progress: Progress::Read { bytes: 100, rows: 4 } });
    telemetry.emit(Event::FileProgress { pipeline, progress: Progress::Read { bytes: 50, rows: 2 } });
    telemetry.emit(Event::FileProgress { pipeline, progress: Progress::Wrote { bytes: 60 } });
    telemetry.emit(Event::FileLeftFlight { pipeline, rows: 4, bytes: 100 });
    let (reason, delay) = (RetryReason::Io, Duration::from_secs(1));
    telemetry.emit(Event::FileRetried { pipeline, id: &id, name, reason, message: "", attempt: 1, delay });
    finish(telemetry, Outcome::Succeeded, Some(&report(RowCounts { read: 10, written: 6, rejected: 3, dropped: 1 })));
    finish(telemetry, Outcome::Quarantined, None);
    telemetry.emit(Event::WorkersBusy { workers: 1, reserved_memory: 5 });
    telemetry.emit(Event::WorkersResident { workers: &[(0, 1 << 20)] });
    telemetry.emit(Event::WorkersProcessor { time: Duration::from_millis(1250) });
    telemetry.emit(Event::WorkersProcessor { time: Duration::from_secs(1) });
    telemetry.emit(Event::WorkerCrashed { cause: CrashCause::Killed, pipeline, id: "01a", message: "signal 9" });
    telemetry.emit(Event::Backlog {
        pipeline,
        pending: 2,
        queued: 1,
        pending_bytes: 200,
        oldest_pending: Some(AT),
        in_flight: 1,
        oldest_in_flight: Some(AT),
    });
    telemetry.emit(Event::Quarantine { pipeline, files: 1 });
    telemetry.emit(Event::Scanned { pipeline, at: AT, missed: 1 });
    telemetry.emit(Event::ScanFailed { pipeline, message: "" });
    telemetry.emit(Event::Watch { pipeline, up: true, message: "" });
    telemetry.emit(Event::WatchEvent { kind: "moved_to" });
    telemetry.emit(Event::WatchOverflow);
    telemetry.emit(Event::Backpressure { reason: Resource::Disk, active: true });
    telemetry.emit(Event::LedgerOperation { op: "claim", took, failed: true });
    telemetry.emit(Event::LedgerHolds { files: &[("done", 3)], bytes: 4096 });
    telemetry.emit(Event::Filesystem { volume: "state", free: 10, size: 20 });
    telemetry.emit(Event::Restored {
        pipeline,
        last_success: None,
        last_completion: None,
        last_failure: None,
        last_arrival: None,
    });
    telemetry.emit(Event::ConfigLoaded { at: AT, outcome: Loaded::TakenUp, message: "" });
    telemetry.emit(Event::HttpRequest { handler: "metrics", code: 200 });
    telemetry.emit(Event::Error { component: "publish", kind: "archive", message: "" });
}

/// Every label set the catalogue promises for these pipelines.
fn promised(labels: &[Label], infos: &[PipelineInfo]) -> Vec<Vec<(&'static str, String)>> {
    let mut sets: Vec<Vec<(&'static str, String)>> = vec![Vec::new()];
    for label in labels {
        let grown = |set: &Vec<(&'static str, String)>| -> Vec<Vec<(&'static str, String)>> {
            let before = set.last().map(|(_, value)| value.as_str()).unwrap_or_default();
            let words: Vec<String> = match label.values {
                Values::Pipeline => infos.iter().map(|info| info.name.clone()).collect(),
                Values::Rule => infos.iter().find(|info| info.name == before).unwrap().rules.clone(),
                Values::Set(words) => words().into_iter().map(str::to_owned).collect(),
                Values::PerWord(pairs) => {
                    let (_, words) = pairs.iter().find(|(word, _)| *word == before).unwrap();
                    words.iter().map(|word| (*word).to_owned()).collect()
                }
                Values::Worker => vec!["0".to_owned()],
                Values::Build => vec![BUILD.iter().find(|(name, _)| *name == label.name).unwrap().1.to_owned()],
            };
            words.into_iter().map(|word| set.iter().cloned().chain([(label.name, word)]).collect()).collect()
        };
        sets = sets.iter().flat_map(grown).collect();
    }
    sets
}

#[test]
fn every_promised_series_is_there_from_the_first_scrape_and_nothing_else() {
    let infos = [pipeline("taxi"), pipeline("weather")];
    let text = Telemetry::new(&infos).render();
    let found = samples(&text);
    let mut expected = BTreeSet::new();
    for metric in Name::ALL.iter().map(|name| name.metric()).filter(|metric| metric.scope != Scope::OneShot) {
        if metric.name.starts_with("process_") {
            expected.insert(metric.name.to_owned());
            continue;
        }
        if metric.born == Born::Known {
            assert!(!text.contains(metric.name), "{} is told before it is known", metric.name);
            continue;
        }
        for set in promised(metric.labels, &infos) {
            let labels: Vec<String> = set.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let series = |suffix: &str, labels: &[String]| match labels {
                [] => format!("{}{suffix}", metric.name),
                _ => format!("{}{suffix}{{{}}}", metric.name, labels.join(",")),
            };
            if let Kind::Histogram(ladder) = metric.kind {
                for le in ladder.bounds().iter().map(f64::to_string).chain(["+Inf".to_owned()]) {
                    let with_le: Vec<String> = labels.iter().cloned().chain([format!("le=\"{le}\"")]).collect();
                    expected.insert(series("_bucket", &with_le));
                }
                expected.extend([series("_sum", &labels), series("_count", &labels)]);
            } else {
                expected.insert(series("", &labels));
            }
        }
    }
    let found_names: BTreeSet<String> = found.keys().map(|series| (*series).to_owned()).collect();
    let (missing, extra): (Vec<_>, Vec<_>) =
        (expected.difference(&found_names).collect(), found_names.difference(&expected).collect());
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}, extra {extra:#?}");
    for (series, value) in found {
        let told =
            ["_info", "freshness_objective", "scan_interval", "process_"].iter().any(|part| series.contains(part));
        assert!(told || value == 0.0, "{series} {value}");
    }
}

#[test]
fn the_text_is_sound_whatever_happened() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    let text = telemetry.render();
    assert!(text.ends_with('\n') && !text.contains("\n\n") && !text.contains('\r'));
    assert!(!text.contains(" summary\n") && !text.contains("NaN") && !text.contains(" inf"));
    let mut families: Vec<&str> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("HELP expected: {line}"));
        let name = name.split_once(' ').unwrap().0;
        let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} {kind}");
        families.push(name);
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let series = sample.split(['{', ' ']).next().unwrap();
            let suffix = series.strip_prefix(name).unwrap_or_else(|| panic!("{sample} under {name}"));
            let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{sample} under {name}");
        }
    }
    assert!(families.is_sorted_by(|a, b| a < b), "{families:?}");
    assert!(!samples(&text).is_empty());
}

#[test]
fn numbers_land_where_they_belong() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    finish(&telemetry, Outcome::Duplicate, Some(&report(RowCounts { read: 10, written: 10, ..RowCounts::default() })));
    let text = telemetry.render();
    let found = samples(&text);
    for (series, value) in [
        ("forebay_rows_read_total{pipeline=\"taxi\"}", 10.0),
        ("forebay_rows_written_total{pipeline=\"taxi\"}", 6.0),
        ("forebay_rows_dropped_total{pipeline=\"taxi\"}", 1.0),
        ("forebay_rows_rejected_total{pipeline=\"taxi\",reason=\"bad_type\"}", 3.0),
        ("forebay_rows_read_total{pipeline=\"weather\"}", 0.0),
        ("forebay_rows_quarantined_total{pipeline=\"taxi\"}", 9.0),
        ("forebay_rule_violations_total{pipeline=\"taxi\",rule=\"positive_fare\"}", 5.0),
        ("forebay_files_processed_total{pipeline=\"taxi\",outcome=\"duplicate\"}", 1.0),
        ("forebay_file_latency_seconds_count{pipeline=\"taxi\"}", 1.0),
        ("forebay_file_rows_count{pipeline=\"taxi\"}", 1.0),
        ("forebay_in_flight_rows{pipeline=\"taxi\"}", 2.0),
        ("forebay_in_flight_bytes{pipeline=\"taxi\"}", 50.0),
        ("forebay_read_bytes_total{pipeline=\"taxi\"}", 150.0),
        ("forebay_schema_drift_total{pipeline=\"taxi\",kind=\"extra\"}", 2.0),
        ("forebay_stage_peak_rss_bytes{pipeline=\"taxi\",stage=\"parse\"}", 4096.0),
        ("forebay_last_success_timestamp_seconds{pipeline=\"taxi\"}", 1.8e9),
        ("forebay_ledger_files{state=\"done\"}", 3.0),
        ("forebay_workers_busy", 1.0),
        ("forebay_worker_cpu_seconds_total", 1.25),
        ("forebay_errors_total{component=\"discover\",kind=\"symlink\"}", 1.0),
        ("forebay_http_requests_total{handler=\"metrics\",code=\"200\"}", 1.0),
        ("forebay_draining", 1.0),
        // An attempt that was tried again for the disk, and not one word that is none.
        ("forebay_errors_total{component=\"storage\",kind=\"io\"}", 1.0),
        ("forebay_errors_total{component=\"telemetry\",kind=\"unknown_word\"}", 0.0),
    ] {
        assert_eq!(found.get(series), Some(&value), "{series}");
    }
    assert!(!text.contains("last_success_timestamp_seconds{pipeline=\"weather\"}"));
    assert_eq!(telemetry.readiness(), Readiness::Draining);
}

#[test]
fn what_is_not_in_the_catalogue_makes_no_series() {
    let telemetry = fresh();
    let series = |text: &str| samples(text).into_keys().map(str::to_owned).collect::<Vec<_>>();
    let before = series(&telemetry.render());
    telemetry.emit(Event::Quarantine { pipeline: "../../etc", files: 3 });
    telemetry.emit(Event::WatchEvent { kind: "teleport" });
    telemetry.emit(Event::Error { component: "ledger", kind: "gremlins", message: "" });
    telemetry.emit(Event::Error { component: "moon", kind: "phase", message: "" });
    telemetry.emit(Event::HttpRequest { handler: "metrics", code: 418 });
    telemetry.emit(Event::HttpRequest { handler: "teapot", code: 200 });
    let text = telemetry.render();
    assert_eq!(series(&text), before);
    let found = samples(&text);
    assert_eq!(found["forebay_errors_total{component=\"telemetry\",kind=\"unknown_word\"}"], 4.0);
    assert_eq!(found["forebay_http_requests_total{handler=\"other\",code=\"other\"}"], 2.0);
    assert_eq!(found["forebay_errors_total{component=\"ledger\",kind=\"other\"}"], 1.0);
}

#[test]
fn a_sample_that_is_no_number_is_refused() {
    let telemetry = fresh();
    let mut odd = report(RowCounts::default());
    odd.stages.insert(Stage::Parse, StageCost { busy_seconds: f64::NAN, peak_rss_bytes: 0 });
    odd.stages.insert(Stage::Load, StageCost { busy_seconds: f64::INFINITY, peak_rss_bytes: 0 });
    finish(&telemetry, Outcome::Succeeded, Some(&odd));
    let text = telemetry.render();
    assert!(!text.contains("NaN") && !text.contains("inf\n"), "{text}");
    assert_eq!(samples(&text)["forebay_stage_duration_seconds_count{pipeline=\"taxi\",stage=\"parse\"}"], 0.0);
}

#[test]
fn no_scrape_sees_half_of_a_file() {
    const FILES: u32 = 400;
    let telemetry = fresh();
    let emitter = telemetry.clone();
    let rows = RowCounts { read: 9, written: 4, rejected: 3, dropped: 2 };
    let thread = std::thread::spawn(move || {
        for _ in 0..FILES {
            finish(&emitter, Outcome::Succeeded, Some(&report(rows)));
        }
    });
    loop {
        let over = thread.is_finished();
        let text = telemetry.render();
        let found = samples(&text);
        let of = |metric: &str| -> f64 {
            let prefix = format!("forebay_rows_{metric}_total{{pipeline=\"taxi\"");
            found.iter().filter(|(series, _)| series.starts_with(&prefix)).map(|(_, value)| *value).sum()
        };
        assert_eq!(of("read"), of("written") + of("rejected") + of("dropped"));
        assert_eq!(of("read") / 9.0, found["forebay_files_processed_total{pipeline=\"taxi\",outcome=\"succeeded\"}"]);
        if over {
            assert_eq!(of("read"), f64::from(FILES) * 9.0);
            break;
        }
    }
    thread.join().unwrap();
}

#[test]
fn a_reload_adds_pipelines_at_zero_and_keeps_what_was_counted() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    telemetry.set_pipelines(&[pipeline("taxi"), pipeline("birds")]);
    let text = telemetry.render();
    let found = samples(&text);
    assert_eq!(found["forebay_rows_read_total{pipeline=\"taxi\"}"], 10.0);
    assert_eq!(found["forebay_rows_read_total{pipeline=\"birds\"}"], 0.0);
    assert!(found.contains_key("forebay_pipeline_info{pipeline=\"birds\"}"));
    assert!(!found.contains_key("forebay_pipeline_info{pipeline=\"weather\"}"));
    assert!(found.contains_key("forebay_rows_read_total{pipeline=\"weather\"}"), "it may have files in progress");
}

#[test]
fn words_nobody_configured_make_no_series() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    let before = telemetry.render();
    let rows = RowCounts { read: 3, written: 0, rejected: 3, dropped: 0 };
    let mut hostile = report(rows);
    hostile.rule_violations.insert("no_such_rule\"} 1\n".to_owned(), 3);
    finish(&telemetry, Outcome::Succeeded, Some(&hostile));
    for pipeline in ["no_such_pipeline", "taxi\",x=\"", ""] {
        telemetry.emit(Event::Quarantine { pipeline, files: 7 });
        telemetry.emit(Event::Watch { pipeline, up: true, message: "no\nsuch" });
        telemetry.emit(Event::FileRetried {
            pipeline,
            id: &FileId::parse("01kah5zq8v3w").unwrap(),
            name: "../../etc\n{evil=\"1\"}",
            reason: RetryReason::Io,
            message: "evil",
            attempt: 1,
            delay: Duration::ZERO,
        });
    }
    telemetry.emit(Event::Error { component: "no_such_component", kind: "no_such_kind", message: "evil" });
    let after = telemetry.render();
    let series = |text: &str| samples(text).into_keys().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(series(&after), series(&before));
}

#[test]
fn a_removed_pipeline_and_a_removed_rule_leave_no_series_and_may_come_back() {
    let telemetry = Telemetry::new(&[pipeline("taxi"), pipeline("weather")]);
    a_busy_day(&telemetry);
    let before = telemetry.render();
    let rule = "forebay_rule_violations_total{pipeline=\"taxi\",rule=";
    let rules = pipeline("taxi").rules;
    assert!(before.contains("\"weather\"") && rules.iter().all(|name| before.contains(&format!("{rule}\"{name}\""))));
    telemetry.set_pipelines(&[PipelineInfo { rules: rules[1..].to_vec(), ..pipeline("taxi") }]);
    telemetry.forget_pipeline("weather");
    telemetry.forget_pipeline("taxi");
    for format in Format::ALL {
        let text = telemetry.exposition().write(*format, &BTreeSet::new());
        assert!(!text.contains("weather"), "{text}");
        assert!(!text.contains(&format!("{rule}\"{}\"", rules[0])), "{text}");
        assert!(rules[1..].iter().all(|name| text.contains(&format!("{rule}\"{name}\""))), "{text}");
    }
    finish(&telemetry, Outcome::Empty, None);
    telemetry.set_pipelines(&[pipeline("taxi"), pipeline("weather")]);
    let again = telemetry.render();
    let series = [&before, &again].map(|text| samples(text).into_keys().filter(|of| of.contains("weather")).count());
    assert!(series[0] == series[1] && series[0] > 50, "{series:?}");
}

/// Values that differ from machine to machine become `*`.
fn masked(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let (series, _) = line.rsplit_once(' ').unwrap();
        if line.starts_with("process_") {
            shown.extend([series, " *\n"]);
        } else if line.starts_with("forebay_build_info{") {
            shown.push_str("forebay_build_info{version=\"*\",revision=\"*\",rustc=\"*\",polars=\"*\"} 1\n");
        } else {
            shown.extend([line, "\n"]);
        }
    }
    shown
}

#[test]
fn the_first_scrape_is_the_golden_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/metrics.txt");
    let shown = masked(&Telemetry::new(&[pipeline("taxi")]).render());
    if std::env::var_os("FOREBAY_UPDATE").is_some() {
        use std::io::Write as _;
        std::fs::File::create(path).unwrap().write_all(shown.as_bytes()).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    let changed: Vec<_> = golden.lines().zip(shown.lines()).filter(|(golden, shown)| golden != shown).take(5).collect();
    assert!(golden == shown, "tests/it/golden/metrics.txt differs, run once with FOREBAY_UPDATE=1: {changed:#?}");
}

#[test]
fn promtool_finds_no_fault() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let telemetry = fresh();
    a_busy_day(&telemetry);
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "promtool is required: {error}");
            eprintln!("LEFT OUT: promtool not installed");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(telemetry.render().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.trim().is_empty(), "{told}");
}
