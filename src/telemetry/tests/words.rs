//! Nothing is exported that nothing moves: every label value has its event, and every event its place in the code that runs.

use std::path::Path;

use super::super::catalog::{ERROR_KINDS, HANDLER_CODES};
use super::*;

/// Returns the words of the last label of a metric.
fn words(name: Name) -> Vec<&'static str> {
    match name.metric().labels.last().map(|label| label.values) {
        Some(Values::Set(words)) => words(),
        other => panic!("{name:?} has no closed set: {other:?}"),
    }
}

/// Emits an event for every word of every label, beside a busy day.
fn every_word(telemetry: &Telemetry) {
    a_busy_day(telemetry);
    let (pipeline, name, id) = ("taxi", "x.csv", FileId::parse("01kah5zq8v3w").unwrap());
    for source in DiscoverySource::ALL {
        telemetry.emit(Event::FileDiscovered { pipeline, name, bytes: 1, source: *source, at: AT });
    }
    for reason in RetryReason::ALL {
        let (reason, message, attempt, delay) = (*reason, "", 1, Duration::ZERO);
        telemetry.emit(Event::FileRetried { pipeline, id: &id, name, reason, message, attempt, delay });
    }
    let mut whole = report(RowCounts { read: 10, written: 6, rejected: 3, dropped: 1 });
    let cost = StageCost { busy_seconds: 1.0, peak_rss_bytes: 1 };
    whole.stages = Stage::ALL.iter().map(|stage| (*stage, cost)).collect();
    whole.drift = DriftKind::ALL.iter().map(|kind| (*kind, 1)).collect();
    whole.rejects = RejectReason::ALL.iter().map(|reason| (*reason, 1)).collect();
    whole.rule_violations = super::pipeline(pipeline).rules.into_iter().map(|rule| (rule, 1)).collect();
    for outcome in Outcome::ALL {
        finish(telemetry, *outcome, Some(&whole));
    }
    for cause in CrashCause::ALL {
        telemetry.emit(Event::WorkerCrashed { cause: *cause, pipeline, id: "01a", message: "" });
    }
    for reason in Resource::ALL {
        telemetry.emit(Event::Backpressure { reason: *reason, active: true });
    }
    for kind in words(Name::WatchEvents) {
        telemetry.emit(Event::WatchEvent { kind });
    }
    for op in words(Name::LedgerErrors) {
        telemetry.emit(Event::LedgerOperation { op, took: Duration::ZERO, failed: true });
    }
    let files: Vec<_> = words(Name::LedgerFiles).into_iter().map(|state| (state, 1)).collect();
    telemetry.emit(Event::LedgerHolds { files: &files, bytes: 1 });
    for volume in words(Name::FilesystemFree) {
        telemetry.emit(Event::Filesystem { volume, free: 1, size: 2 });
    }
    for (component, kinds) in ERROR_KINDS {
        for kind in *kinds {
            telemetry.emit(Event::Error { component, kind, message: "" });
        }
    }
    for (handler, codes) in HANDLER_CODES {
        for code in *codes {
            telemetry.emit(Event::HttpRequest { handler, code: code.parse().unwrap_or(599) });
        }
    }
}

#[test]
fn every_series_is_moved_by_some_event() {
    let telemetry = fresh();
    every_word(&telemetry);
    telemetry.emit(Event::Ready);
    let text = telemetry.render();
    let found = samples(&text);
    for metric in Name::ALL.iter().map(|name| name.metric()).filter(|metric| metric.scope != Scope::OneShot) {
        // Draining gave way to ready, nobody set up logging here, and there is no latency objective.
        if ["forebay_draining", "forebay_log_events_total", "forebay_latency_objective_seconds"].contains(&metric.name)
        {
            continue;
        }
        let suffix = if matches!(metric.kind, Kind::Histogram(_)) { "_count" } else { "" };
        for set in promised(metric.labels, &[pipeline("taxi")]) {
            let labels: Vec<String> = set.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let series = format!("{}{suffix}{labels}", metric.name);
            assert!(found.get(series.as_str()).is_some_and(|value| *value != 0.0), "{series} never moved");
        }
    }
}

/// Returns the code that runs: everything but tests, and what only lists the words.
fn code_that_runs() -> String {
    let mut code = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let tests = name.ends_with("tests") || name == "testing" || name == "sets" || name == "catalog";
            if path.is_dir() && !tests {
                folders.push(path);
            } else if !tests {
                let text = std::fs::read_to_string(&path).unwrap();
                code.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }
    code
}

#[test]
fn every_word_is_spoken_somewhere_in_the_code_that_runs() {
    fn variants<T: std::fmt::Debug>(set: &str, all: &[T]) -> Vec<Vec<String>> {
        all.iter().map(|value| vec![format!("{set}::{value:?}")]).collect()
    }
    let spoken = |name: Name, ways: &[&str]| -> Vec<Vec<String>> {
        let ways = |word: &str| ways.iter().map(|way| way.replace('*', word)).collect();
        words(name).into_iter().map(ways).collect()
    };
    let mut wanted = variants("Outcome", Outcome::ALL);
    wanted.extend(variants("DiscoverySource", DiscoverySource::ALL));
    wanted.extend(variants("RetryReason", RetryReason::ALL));
    wanted.extend(variants("RejectReason", RejectReason::ALL));
    wanted.extend(variants("DriftKind", DriftKind::ALL));
    wanted.extend(variants("CrashCause", CrashCause::ALL));
    wanted.extend(variants("Stage", Stage::ALL));
    wanted.extend(variants("Resource", Resource::ALL));
    wanted.extend(spoken(Name::LedgerErrors, &["(\"*\", |", "op: \"*\""]));
    wanted.extend(spoken(Name::WatchEvents, &["Some((\"*\", "]));
    wanted.extend(spoken(Name::FilesystemFree, &["(\"*\", |config|"]));
    for (component, kinds) in ERROR_KINDS.iter().filter(|(component, _)| *component != "telemetry") {
        wanted.extend(kinds.iter().map(|kind| match (*component, *kind) {
            // A task of the daemon that ended: its component is worked out.
            ("http" | "worker", "other") => vec!["component, kind: \"other\"".to_owned()],
            ("storage", "disk_full") => vec!["const FULL: [&str; 2] = [\"storage\", \"disk_full\"]".to_owned()],
            _ => vec![
                format!("\"{component}\", \"{kind}\""),
                format!("component: \"{component}\", kind: \"{kind}\""),
                format!("NotAFile(\"{kind}\")"),
            ],
        }));
    }
    let code = code_that_runs();
    assert!(code.len() > 500_000, "{} bytes of code were found", code.len());
    let silent: Vec<_> = wanted.iter().filter(|ways| !ways.iter().any(|way| code.contains(way.as_str()))).collect();
    assert!(silent.is_empty(), "exported, and never told: {silent:#?}");
}
