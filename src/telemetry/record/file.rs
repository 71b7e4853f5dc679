//! What happens to single files.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{one, restore, sample};
use crate::job::{DiscoverySource, DriftKind, JobReport, Outcome, Progress, RetryReason, Timestamp};
use crate::planted;
use crate::telemetry::Inner;
use crate::telemetry::event::Event;
use crate::telemetry::handles::PipelineHandles;
use crate::telemetry::registry::{Whose, number};

impl Inner {
    /// Moves the metrics of an event of one file.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or move nothing")]
    pub(super) fn record_file(&self, event: &Event<'_>) {
        match *event {
            Event::FileDiscovered { pipeline, source, at, .. } => self.with(pipeline, |of| {
                one(&of.discovered, source.as_str());
                of.now(|now| {
                    // What lay there at the start comes in any order, and may be older than what the ledger knows.
                    let known = now.last_arrival.filter(|_| source == DiscoverySource::Startup);
                    restore(&of.last_arrival, &mut now.last_arrival, Some(known.map_or(at, |known| known.max(at))));
                });
            }),
            Event::FileIgnored { kind, .. } => self.error("discover", kind),
            Event::FileClaimed { pipeline, bytes, .. } => self.with(pipeline, |of| of.file_size.add_count(bytes)),
            Event::FileStarted { pipeline, id, trace_id, attempt, wait, .. } => self.with(pipeline, |of| {
                if attempt <= 1 {
                    of.wait.add(wait.as_secs_f64(), &Whose { trace_id, id, at: self.clock.now() });
                }
            }),
            Event::FileProgress { pipeline, progress } => {
                self.with(pipeline, |of| moved(of, progress));
            }
            Event::FileRetried { pipeline, reason, .. } => {
                self.with(pipeline, |of| one(&of.retries, reason.as_str()));
                // The others are the file's, or are told as crashes.
                if reason == RetryReason::Io {
                    self.error("storage", "io");
                }
                if reason == RetryReason::DiskFull {
                    self.error("storage", "disk_full");
                }
            }
            Event::FileFinished { .. } => self.finished(event),
            Event::SchemaDrift { pipeline, drift } => self.with(pipeline, |of| drifted(of, drift)),
            Event::FileLeftFlight { pipeline, rows, bytes } => self.with(pipeline, |of| {
                of.in_flight_rows.lower(rows);
                of.in_flight_bytes.lower(bytes);
            }),
            _ => {}
        }
    }

    /// A file has its outcome.
    fn finished(&self, event: &Event<'_>) {
        let Event::FileFinished {
            pipeline,
            id,
            trace_id,
            outcome,
            at,
            duration,
            latency,
            report,
            rows_quarantined,
            ..
        } = *event
        else {
            return;
        };
        let trace = Whose { trace_id, id, at };
        // Shared among emitters, exclusive for a scrape: no scrape sees half of a file.
        let _whole = self.commit.read().unwrap_or_else(PoisonError::into_inner);
        self.with(pipeline, |of| {
            ended(of, outcome, at);
            if let Some(traced) = of.duration.get(outcome.as_str()) {
                traced.add(duration.as_secs_f64(), &trace);
            }
            if let Some(report) = report {
                worked(of, report);
            }
            match (outcome, report) {
                (Outcome::Succeeded, Some(report)) => {
                    of.latency.add(latency.as_secs_f64(), &trace);
                    published(of, report);
                }
                (Outcome::Succeeded, None) => of.latency.add(latency.as_secs_f64(), &trace),
                (Outcome::Quarantined | Outcome::Failed, _) => {
                    of.rows_quarantined.increment(rows_quarantined);
                }
                (Outcome::Duplicate | Outcome::Empty, _) => {}
            }
        });
    }
}

fn moved(of: &PipelineHandles, progress: Progress) {
    match progress {
        Progress::Read { bytes, rows } => {
            of.read_bytes.increment(bytes);
            of.in_flight_bytes.raise(bytes);
            of.in_flight_rows.raise(rows);
            of.now(|now| now.rows_seen += rows);
        }
        Progress::Wrote { bytes } => of.written_bytes.increment(bytes),
        Progress::Stage(_) | Progress::Alive => {}
    }
}

/// The file has its outcome.
fn ended(of: &PipelineHandles, outcome: Outcome, at: Timestamp) {
    one(&of.processed, outcome.as_str());
    of.now(|now| {
        restore(&of.last_completion, &mut now.last_completion, Some(at));
        match outcome {
            Outcome::Succeeded => restore(&of.last_success, &mut now.last_success, Some(at)),
            Outcome::Quarantined | Outcome::Failed => {
                restore(&of.last_failure, &mut now.last_failure, Some(at));
            }
            Outcome::Duplicate | Outcome::Empty => {}
        }
    });
}

/// The job ran to its end, whatever became of the file.
fn worked(of: &PipelineHandles, report: &JobReport) {
    for (stage, cost) in &report.stages {
        sample(&of.stages, stage.as_str(), cost.busy_seconds);
        let peak = of.stage_peaks.iter().find(|(known, _)| known == stage);
        if let (Some((_, gauge)), true) = (peak, cost.peak_rss_bytes > 0) {
            gauge.set_count(cost.peak_rss_bytes);
        }
    }
    drifted(of, &report.drift);
}

/// One file whose header differed, once per kind of difference.
fn drifted(of: &PipelineHandles, drift: &BTreeMap<DriftKind, u64>) {
    for kind in drift.iter().filter(|(_, columns)| **columns > 0).map(|(kind, _)| kind) {
        one(&of.drift, kind.as_str());
    }
}

/// The rows lie in the output: all their counters move together.
fn published(of: &PipelineHandles, report: &JobReport) {
    of.file_rows.add(number(report.rows.read));
    of.rows_read.increment(report.rows.read);
    of.rows_written.increment(planted::written(report.rows.written));
    of.rows_dropped.increment(report.rows.dropped);
    of.now(|now| {
        now.rows += report.rows;
        for (reason, rows) in &report.rejects {
            *now.rejects.entry(*reason).or_default() += rows;
        }
        for (rule, rows) in &report.rule_violations {
            *now.violations.entry(rule.clone()).or_default() += rows;
        }
    });
    for (reason, rows) in &report.rejects {
        if let Some(counter) = of.rejected.get(reason.as_str()) {
            counter.increment(*rows);
        }
    }
    for (rule, rows) in &report.rule_violations {
        if let Some(counter) = of.violations.get(rule) {
            counter.increment(*rows);
        }
    }
}
