//! Event to log line: the only place that words an event.
//!
//! WARN: nothing is lost. ERROR: something is, or somebody must act. Values are fields, names arrive escaped, rows never
//! appear. Per-block progress and gauges are not logged.

use tracing::{debug, error, info, warn};

use super::event::{Event, Loaded};
use super::topic::Topic;
use crate::job::{JobReport, Outcome, QuarantineReason, RowCounts};

/// Writes the log line of one event, if it has one.
pub(super) fn tell(event: &Event<'_>) {
    match Topic::of(event) {
        Topic::File => tell_file(event),
        Topic::Inbox => tell_inbox(event),
        Topic::Workers => tell_workers(event),
        Topic::Daemon => tell_daemon(event),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or are not logged")]
fn tell_file(event: &Event<'_>) {
    match *event {
        Event::FileDiscovered { pipeline, name, bytes, source, .. } => {
            debug!(pipeline, name, bytes, source = source.as_str(), "file seen");
        }
        Event::FileIgnored { pipeline, name, kind: "unreadable" } => {
            warn!(pipeline, name, kind = "unreadable", "may not be read: left where it is, and tried again");
        }
        Event::FileIgnored { pipeline, name, kind } => {
            warn!(pipeline, name, kind, "not a regular file: left where it is");
        }
        Event::FileClaimed { pipeline, id, name, bytes } => {
            debug!(pipeline, file_id = id.as_str(), name, bytes, "file claimed");
        }
        Event::FileStarted { pipeline, id, name, attempt, trace_id, wait } => {
            let file_id = id.as_str();
            debug!(pipeline, file_id, name, attempt, trace_id, wait_seconds = wait.as_secs_f64(), "file started");
        }
        Event::FileRetried { pipeline, id, name, reason, message, attempt, delay } => {
            let (file_id, reason, delay_seconds) = (id.as_str(), reason.as_str(), delay.as_secs_f64());
            warn!(
                pipeline,
                file_id,
                name,
                attempt,
                reason,
                detail = message,
                delay_seconds,
                "file will be tried again"
            );
        }
        Event::FileFinished { .. } => finished(event),
        _ => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or are not logged")]
fn tell_inbox(event: &Event<'_>) {
    match *event {
        Event::Scanned { pipeline, missed, .. } if missed > 0 => {
            info!(pipeline, missed, "scan found files that no file event told of");
        }
        Event::Scanned { pipeline, .. } => debug!(pipeline, "inbox scanned"),
        Event::ScanFailed { pipeline, message } => {
            warn!(pipeline, detail = message, "inbox could not be scanned");
        }
        Event::Watch { pipeline, up: true, .. } => debug!(pipeline, "file events are delivered"),
        Event::Watch { pipeline, up: false, message } => {
            warn!(pipeline, detail = message, "no file events: scans alone find files now");
        }
        Event::WatchOverflow => warn!("the kernel dropped file events: a full scan follows"),
        _ => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or are not logged")]
fn tell_workers(event: &Event<'_>) {
    match *event {
        Event::Limits { workers, memory_budget } => debug!(workers, memory_budget, "limits"),
        Event::WorkerCrashed { cause, pipeline, id, message } => {
            error!(cause = cause.as_str(), pipeline, file_id = id, detail = message, "a worker crashed");
        }
        Event::Backpressure { reason, active: true } => warn!(reason = reason.as_str(), "work waits"),
        Event::Backpressure { reason, active: false } => info!(reason = reason.as_str(), "work goes on"),
        _ => {}
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or are not logged")]
fn tell_daemon(event: &Event<'_>) {
    match *event {
        Event::Starting { pipelines, listen } => {
            let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
            info!(version = env!("CARGO_PKG_VERSION"), pipelines, listen = listen.join(","), "starting");
        }
        Event::Exposed { listen, missing } => {
            warn!(%listen, missing, "other machines can reach this address; see server.web_config_file");
        }
        Event::Ready => info!("ready"),
        Event::Draining { cause } => info!(cause, "draining: files in progress are finished first"),
        Event::Stopped => info!("stopped"),
        Event::LedgerOperation { op, took, failed } => {
            // Whoever handles the failure words it; here only its cost is told.
            debug!(op, seconds = took.as_secs_f64(), failed, "ledger operation");
        }
        Event::ConfigLoaded { outcome: Loaded::Refused, message, .. } => {
            error!(detail = message, "config refused: the one before stays in force");
        }
        Event::ConfigLoaded { message: "", .. } => info!("config loaded"),
        Event::ConfigLoaded { message, .. } => info!(detail = message, "config loaded"),
        Event::HttpRequest { handler, code } => debug!(handler, code, "request answered"),
        Event::Error { component, kind, message } => error!(component, kind, detail = message, "operation failed"),
        _ => {}
    }
}

fn finished(event: &Event<'_>) {
    let Event::FileFinished {
        pipeline, id, name, trace_id, outcome, duration, latency, report, reason, message, ..
    } = *event
    else {
        return;
    };
    let RowCounts { read, written, rejected, dropped } =
        report.map(|report: &JobReport| report.rows).unwrap_or_default();
    let file_id = id.as_str();
    let (duration_seconds, latency_seconds) = (duration.as_secs_f64(), latency.as_secs_f64());
    let reason = reason.map(QuarantineReason::as_str);
    // One line per outcome, at its level: tracing fixes the level of a line where it is written.
    match outcome {
        Outcome::Succeeded => info!(
            pipeline,
            file_id,
            name,
            trace_id,
            outcome = outcome.as_str(),
            read,
            written,
            rejected,
            dropped,
            duration_seconds,
            latency_seconds,
            "file finished"
        ),
        Outcome::Duplicate | Outcome::Empty => {
            info!(pipeline, file_id, name, trace_id, outcome = outcome.as_str(), duration_seconds, "file finished");
        }
        Outcome::Quarantined => warn!(
            pipeline,
            file_id,
            name,
            trace_id,
            outcome = outcome.as_str(),
            reason,
            detail = message,
            duration_seconds,
            "file refused"
        ),
        Outcome::Failed => error!(
            pipeline,
            file_id,
            name,
            trace_id,
            outcome = outcome.as_str(),
            reason,
            detail = message,
            duration_seconds,
            "file given up"
        ),
    }
}
