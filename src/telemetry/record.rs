//! Event to metrics: the only place where a number changes.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use metrics::Counter;

use super::event::{Event, Loaded};
use super::handles::{DaemonHandles, PipelineHandles, pair};
use super::registry::{Late, PerWord, Samples, Whose, number};
use super::{Inner, Readiness};
use crate::job::{DiscoverySource, DriftKind, JobReport, Outcome, Progress, RetryReason, Timestamp};
use crate::planted;

impl Inner {
    /// Moves the metrics of one event.
    #[expect(clippy::too_many_lines, reason = "one arm per event is the table it looks like")]
    pub(super) fn record(&self, event: &Event<'_>) {
        let daemon = &self.daemon;
        match *event {
            Event::Starting { .. } | Event::Exposed { .. } | Event::Stopped => {}
            Event::Limits { workers, memory_budget } => {
                daemon.workers.set_count(u64::try_from(workers).unwrap_or(u64::MAX));
                if let Some(bytes) = memory_budget {
                    daemon.memory_budget.set_count(bytes);
                }
            }
            Event::Ready => self.enter(Readiness::Ready),
            Event::Draining { .. } => self.enter(Readiness::Draining),
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
                match reason {
                    RetryReason::Io => self.error("storage", "io"),
                    RetryReason::DiskFull => self.error("storage", "disk_full"),
                    // Of the file, or told as a crash.
                    RetryReason::Changed | RetryReason::OutOfMemory | RetryReason::Crash => {}
                }
            }
            Event::FileFinished {
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
            } => {
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
            Event::SchemaDrift { pipeline, drift } => self.with(pipeline, |of| drifted(of, drift)),
            Event::FileLeftFlight { pipeline, rows, bytes } => self.with(pipeline, |of| {
                of.in_flight_rows.lower(rows);
                of.in_flight_bytes.lower(bytes);
            }),
            Event::Backlog {
                pipeline,
                pending,
                queued,
                pending_bytes,
                oldest_pending,
                in_flight,
                oldest_in_flight,
            } => {
                self.with(pipeline, |of| {
                    of.pending.set_count(pending);
                    of.queued.set_count(queued);
                    of.pending_bytes.set_count(pending_bytes);
                    of.oldest_pending.set(seconds_or_zero(oldest_pending));
                    of.in_flight.set_count(in_flight);
                    of.oldest_in_flight.set(seconds_or_zero(oldest_in_flight));
                    of.now(|now| {
                        (now.pending, now.pending_bytes, now.oldest_pending) = (pending, pending_bytes, oldest_pending);
                        (now.in_flight, now.oldest_in_flight) = (in_flight, oldest_in_flight);
                    });
                });
            }
            Event::WorkerCrashed { cause, .. } => one(&daemon.worker_crashes, cause.as_str()),
            Event::WorkersResident { workers } => {
                *self.workers_resident.lock().unwrap_or_else(PoisonError::into_inner) = workers.to_vec();
            }
            Event::WorkersProcessor { time } => {
                // Who ended a moment ago may be missing: a counter does not fall.
                let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.workers_processor.fetch_max(time, Ordering::Relaxed);
            }
            Event::WorkersBusy { workers, reserved_memory } => {
                daemon.workers_busy.set_count(u64::try_from(workers).unwrap_or(u64::MAX));
                daemon.memory_reserved.set_count(reserved_memory);
            }
            Event::Quarantine { pipeline, files } => self.with(pipeline, |of| {
                of.quarantined.set_count(files);
                of.now(|now| now.quarantined = files);
            }),
            Event::Scanned { pipeline, at, missed } => {
                daemon.watch_missed.increment(missed);
                self.with(pipeline, |of| of.watch_last_scan.set(at.as_seconds()));
            }
            Event::ScanFailed { .. } => self.error("discover", "scan"),
            Event::Watch { pipeline, up, .. } => {
                self.with(pipeline, |of| {
                    of.watch_up.set(f64::from(u8::from(up)));
                    of.now(|now| now.watching = up);
                });
                if !up {
                    self.error("discover", "watch");
                }
            }
            Event::WatchEvent { kind } => one(&daemon.watch_events, kind),
            Event::WatchOverflow => daemon.watch_overflows.increment(1),
            Event::Backpressure { reason, active } => {
                if let Some(gauge) = daemon.backpressure.get(reason.as_str()) {
                    gauge.set(f64::from(u8::from(active)));
                }
            }
            Event::LedgerOperation { op, took, failed } => {
                sample(&daemon.ledger_duration, op, took.as_secs_f64());
                if failed {
                    one(&daemon.ledger_errors, op);
                }
            }
            Event::LedgerHolds { files, bytes } => holds(daemon, files, bytes),
            Event::Filesystem { volume, free, size } => {
                if let (Some(left), Some(all)) =
                    (daemon.filesystem_free.get(volume), daemon.filesystem_size.get(volume))
                {
                    left.set_count(free);
                    all.set_count(size);
                }
            }
            Event::Restored { pipeline, last_success, last_completion, last_failure, last_arrival } => {
                self.with(pipeline, |of| {
                    of.now(|now| {
                        restore(&of.last_success, &mut now.last_success, last_success);
                        restore(&of.last_completion, &mut now.last_completion, last_completion);
                        restore(&of.last_failure, &mut now.last_failure, last_failure);
                        restore(&of.last_arrival, &mut now.last_arrival, last_arrival);
                    });
                });
            }
            Event::ConfigLoaded { at, outcome, .. } => {
                let ok = outcome != Loaded::Refused;
                daemon.reload_successful.set(f64::from(u8::from(ok)));
                if ok {
                    daemon.reload_time.set(at.as_seconds());
                } else {
                    self.error("config", "reload");
                }
            }
            Event::HttpRequest { handler, code } => {
                let counter = pair(&daemon.http, handler, &code.to_string()).or_else(|| {
                    self.error("telemetry", "unknown_word");
                    pair(&daemon.http, "other", "other")
                });
                if let Some(counter) = counter {
                    counter.increment(1);
                }
            }
            Event::Error { component, kind, .. } => self.error(component, kind),
        }
    }

    /// Counts a failure; a word the catalogue does not know is counted as `other` of its component.
    fn error(&self, component: &'static str, kind: &'static str) {
        let errors = &self.daemon.errors;
        let counter = pair(errors, component, kind)
            .or_else(|| pair(errors, component, "other"))
            .or_else(|| pair(errors, "telemetry", "unknown_word"));
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }

    fn enter(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Release);
        self.daemon.draining.set(f64::from(u8::from(readiness == Readiness::Draining)));
    }
}

fn one(counters: &PerWord<Counter>, word: &str) {
    if let Some(counter) = counters.get(word) {
        counter.increment(1);
    }
}

fn sample(samples: &PerWord<Samples>, word: &str, value: f64) {
    if let Some(samples) = samples.get(word) {
        samples.add(value);
    }
}

fn restore(gauge: &Late, now: &mut Option<Timestamp>, at: Option<Timestamp>) {
    if let Some(at) = at {
        gauge.set(at.as_seconds());
        *now = Some(at);
    }
}

fn seconds_or_zero(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, Timestamp::as_seconds)
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

fn holds(daemon: &DaemonHandles, files: &[(&'static str, u64)], bytes: u64) {
    daemon.ledger_size.set_count(bytes);
    for (state, gauge) in daemon.ledger_files.iter() {
        let count = files.iter().find(|(known, _)| known == state).map_or(0, |(_, count)| *count);
        gauge.set_count(count);
    }
}
