//! The whole page in both formats, and that its size has nothing to do with what files are called.

use super::super::budget::Cost;
use super::super::*;
use super::{AT, a_busy_day, fresh, pipeline, report};
use crate::clock::ManualClock;
use crate::job::{
    CrashCause, DiscoverySource, DriftKind, FileId, Outcome, RejectReason, RetryReason, RowCounts, StageCost,
};

fn written(telemetry: &Telemetry, format: Format) -> String {
    telemetry.exposition().write(format, &BTreeSet::new())
}

/// Sample lines, without values: what Prometheus would keep as series.
fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(" # ").next().unwrap().rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn the_same_moment_is_written_the_same_whenever() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    let exposition = telemetry.exposition();
    for format in Format::ALL {
        let [first, second] = [(), ()].map(|()| exposition.write(*format, &BTreeSet::new()));
        assert!(first == second && first.len() > 10_000, "{format:?}");
    }
}

#[test]
fn the_last_file_of_a_bucket_is_its_exemplar_in_openmetrics_only() {
    let clock = Arc::new(ManualClock::at(AT));
    let telemetry = Telemetry::with_clock(&[pipeline("taxi")], clock);
    a_busy_day(&telemetry);
    let text = written(&telemetry, Format::OpenMetrics);
    let trace = "trace_id=\"0af7651916cd43dd8448eb211c80319c\",file_id=\"01kah5zq8v3w\"";
    for line in [
        format!(
            "forebay_file_latency_seconds_bucket{{pipeline=\"taxi\",le=\"2.5\"}} 1 # {{{trace}}} 2 1800000000.000"
        ),
        format!(
            "forebay_file_duration_seconds_bucket{{pipeline=\"taxi\",outcome=\"quarantined\",le=\"0.025\"}} 1 # {{{trace}}} 0.02 1800000000.000"
        ),
        "forebay_file_wait_seconds_bucket{pipeline=\"taxi\",le=\"5.0\"} 1 # {file_id=\"01kah5zq8v3w\"} 3 1800000000.000".to_owned(),
        "forebay_file_latency_seconds_created{pipeline=\"taxi\"} 1800000000".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!written(&telemetry, Format::Text).contains(" # {"), "the text format has no exemplars");
}

#[test]
fn a_pipeline_that_comes_later_is_born_later() {
    let clock = Arc::new(ManualClock::at(AT));
    let telemetry = Telemetry::with_clock(&[pipeline("taxi")], Arc::clone(&clock) as _);
    clock.advance(Duration::from_secs(5));
    telemetry.set_pipelines(&[pipeline("taxi"), pipeline("birds")]);
    let text = written(&telemetry, Format::OpenMetrics);
    for line in [
        "forebay_rows_read_created{pipeline=\"taxi\"} 1800000000\n",
        "forebay_rows_read_created{pipeline=\"birds\"} 1800000005\n",
        "forebay_watch_overflows_created 1800000000\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn the_engine_is_not_stuck_before_its_first_beat() {
    let clock = Arc::new(ManualClock::at(AT));
    let telemetry = Telemetry::with_clock(&[], Arc::clone(&clock) as _);
    clock.advance(Duration::from_mins(5));
    assert_eq!(telemetry.stuck(), None);
    telemetry.beat();
    clock.advance(Duration::from_mins(1));
    assert_eq!(telemetry.stuck(), None);
    clock.advance(Duration::from_secs(7));
    assert_eq!(telemetry.stuck(), Some(Duration::from_secs(67)));
}

/// Lets everything a pipeline can tell of become known.
fn know_everything(telemetry: &Telemetry, pipeline: &str) {
    let at = Some(AT);
    telemetry.emit(Event::Restored {
        pipeline,
        last_success: at,
        last_completion: at,
        last_failure: at,
        last_arrival: at,
    });
    telemetry.emit(Event::Scanned { pipeline, at: AT, missed: 0 });
    telemetry.emit(Event::Watch { pipeline, up: true, message: "" });
    telemetry.emit(Event::Quarantine { pipeline, files: 0 });
    telemetry.emit(Event::Backlog {
        pipeline,
        pending: 0,
        queued: 0,
        pending_bytes: 0,
        oldest_pending: None,
        in_flight: 0,
        oldest_in_flight: None,
    });
    let mut whole = report(RowCounts::default());
    whole.stages =
        Stage::ALL.iter().map(|stage| (*stage, StageCost { busy_seconds: 1.0, peak_rss_bytes: 1 })).collect();
    whole.drift = DriftKind::ALL.iter().map(|kind| (*kind, 1)).collect();
    whole.rejects = RejectReason::ALL.iter().map(|reason| (*reason, 1)).collect();
    for outcome in Outcome::ALL {
        let id = FileId::parse("01k").unwrap();
        telemetry.emit(Event::FileFinished {
            pipeline,
            id: &id,
            name: "x",
            trace_id: "",
            outcome: *outcome,
            at: AT,
            duration: Duration::ZERO,
            latency: Duration::ZERO,
            report: Some(&whole),
            reason: None,
            message: "",
            rows_quarantined: 1,
        });
    }
}

#[test]
fn the_budget_is_what_a_pipeline_really_costs() {
    let grown = |names: &[&str]| {
        let infos: Vec<_> = names.iter().map(|name| pipeline(name)).collect();
        let telemetry = Telemetry::new(&infos);
        for name in names {
            know_everything(&telemetry, name);
        }
        series(&written(&telemetry, Format::OpenMetrics)).len()
    };
    let (none, one, two) = (grown(&[]), grown(&["taxi"]), grown(&["taxi", "weather"]));
    let cost = Cost::total();
    let rules = pipeline("taxi").rules.len();
    assert_eq!(one - none, cost.per_pipeline + rules * cost.per_rule);
    assert_eq!(two - one, one - none);
    assert!(none <= cost.fixed, "{none} {cost:?}");
}

#[test]
fn a_hundred_thousand_names_add_no_series() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    // What is known once: every outcome's times.
    know_everything(&telemetry, "taxi");
    let before = series(&written(&telemetry, Format::OpenMetrics));
    for number in 0..100_000_u32 {
        let name = format!("drop-{number:05}-\u{202e}\n\".csv");
        let id = FileId::parse(&format!("01k{number:09}")).unwrap();
        let trace_id = format!("{number:032x}");
        let (pipeline, bytes, at) = ("taxi", u64::from(number), AT);
        telemetry.emit(Event::FileDiscovered { pipeline, name: &name, bytes, source: DiscoverySource::Event, at });
        telemetry.emit(Event::FileIgnored { pipeline, name: &name, kind: "fifo" });
        telemetry.emit(Event::FileClaimed { pipeline, id: &id, name: &name, bytes });
        let wait = Duration::from_millis(u64::from(number));
        telemetry.emit(Event::FileStarted { pipeline, id: &id, name: &name, attempt: 1, trace_id: &trace_id, wait });
        let (reason, message, attempt) = (RetryReason::Crash, &*name, 1);
        telemetry.emit(Event::FileRetried { pipeline, id: &id, name: &name, reason, message, attempt, delay: wait });
        telemetry.emit(Event::WorkerCrashed { cause: CrashCause::Killed, pipeline, id: id.as_str(), message });
        telemetry.emit(Event::FileFinished {
            pipeline,
            id: &id,
            name: &name,
            trace_id: &trace_id,
            outcome: Outcome::ALL[number as usize % Outcome::ALL.len()],
            at,
            duration: wait,
            latency: wait,
            report: None,
            reason: None,
            message,
            rows_quarantined: 0,
        });
        telemetry.emit(Event::Error { component: "publish", kind: "archive", message });
    }
    let text = written(&telemetry, Format::OpenMetrics);
    assert_eq!(series(&text), before);
    assert!(text.contains("forebay_files_discovered_total{pipeline=\"taxi\",source=\"event\"} 100000\n"));
    assert!(!text.contains("drop-"), "a file's name is on the page");
}
