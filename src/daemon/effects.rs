//! Carries out what the engine wants. Blocking; each effect ends in the one event the engine waits for.

use std::sync::Arc;
use std::time::Duration;

use super::failing::Fatal;
use super::flight::{Flight, Pulse};
use super::setup::claimed;
use super::{Held, Lane, Notice, Shared, Staged, Told};
use crate::admit::{Claim, Found, PutBack};
use crate::config::Pipeline;
use crate::discover::Name;
use crate::engine::{Action, ClaimResult, Disposition, Event};
use crate::job::{
    FileId, FileStamp, Job, JobError, JobReport, Outcome, Progress, QuarantineReason, RetryReason, RowCounts, Stage,
    Timestamp, display_name, places,
};
use crate::ledger::AttemptEnd;
use crate::publish::{Begun, Finished, Manifest, PublishError, Refusal};

impl Shared {
    /// Carries out one action that is not a tell.
    pub(super) fn carry_out(&self, action: Action) -> Result<Option<Event>, Fatal> {
        match action {
            Action::Look { pipeline, names } => Ok(self.lane(&pipeline).map(|lane| self.look(&lane, names))),
            Action::Scan { pipeline } => Ok(self.lane(&pipeline).map(|lane| self.scan(&lane))),
            Action::Claim { pipeline, name, stamp, first_seen } => {
                let result = match self.lane(&pipeline) {
                    Some(lane) => self.claim(&lane, &name, stamp, first_seen)?,
                    // A reload removed the pipeline: its inbox is left alone.
                    None => ClaimResult::Vanished,
                };
                Ok(Some(Event::ClaimDone { pipeline, name, result }))
            }
            Action::Start { id } => self.start(id).map(Some),
            Action::Publish { id } => self.publish(id).map(Some),
            Action::Conclude { id, disposition } => self.conclude(id, disposition).map(Some),
            Action::Tell(tell) => {
                self.tell(tell);
                Ok(None)
            }
        }
    }

    fn claim(
        &self,
        lane: &Arc<Lane>,
        name: &Name,
        stamp: FileStamp,
        first_seen: Timestamp,
    ) -> Result<ClaimResult, Fatal> {
        let pipeline = &lane.pipeline;
        if !lane.locks.are_ours(pipeline)
            && let Err(why) = self.locks.lock(&*self.storage, lane)
        {
            return Ok(ClaimResult::Failed { disk_full: false, message: why.to_string() });
        }
        let found = Found { name: (**name).to_owned(), path: pipeline.input.join(&**name), stamp, first_seen };
        Ok(match self.publisher.claim(pipeline, &found) {
            Ok(Claim::Claimed(arrival)) => {
                self.telemetry.emit(Told::FileClaimed {
                    pipeline: &lane.key,
                    id: &arrival.id,
                    name: &display_name(name),
                    bytes: arrival.stamp.size,
                });
                let known = claimed(self, &arrival);
                let held = Held { lane: Arc::clone(lane), job: None, arrival };
                self.files().insert(known.id.clone(), held);
                ClaimResult::Claimed(known)
            }
            Ok(Claim::Changed) => ClaimResult::Changed,
            Ok(Claim::Vanished) => ClaimResult::Vanished,
            Ok(Claim::NotAFile(kind)) => ClaimResult::NotAFile(kind),
            Err(error) => {
                let error = self.survivable(error)?;
                ClaimResult::Failed { disk_full: error.is_full(), message: error.to_string() }
            }
        })
    }

    /// Runs one attempt from its beginning until its outputs are staged.
    fn start(&self, id: FileId) -> Result<Event, Fatal> {
        let Some((pipeline, held)) = self.held(&id) else { return Ok(Event::Finished { id }) };
        let job = match self.publisher.begin(&pipeline, &held.arrival) {
            Ok(Begun::Job(job)) => job,
            Ok(Begun::Finished(finished)) => return Ok(self.finished(&finished, None)),
            Err(error) => return self.broke(id, error),
        };
        if let Some(held) = self.files().get_mut(&id) {
            held.job = Some(job.clone());
        }
        let flight = Flight::of(job.clone(), self.telemetry.clone());
        self.tell_started(&job);
        // Cheaper than processing it: only a content of a size seen before is read for this.
        let duplicate = self
            .publisher
            .known_content(&pipeline, &job, &|| self.cancel.is_cancelled())
            .and_then(|known| known.map(|known| self.publisher.archive_duplicate(&pipeline, &job, &known)).transpose());
        match duplicate {
            Ok(None) => {}
            Ok(Some(finished)) => return Ok(self.finished(&finished, None)),
            Err(error) if self.cancel.is_cancelled() && !error.must_stop() => {
                return Ok(Event::Failed { id, error: JobError::Cancelled });
            }
            Err(error) => return self.broke(id, error),
        }
        let pulse = Pulse::default();
        let progress = |told| {
            flight.progress(told);
            if pulse.is_due(self.clock.monotonic()) {
                // An engine that has ended waits for nobody.
                drop(self.events.send(Event::Alive { id: id.clone() }));
            }
        };
        match self.runner.run(&held.lane.config, &pipeline, &job, &self.cancel, &progress) {
            Ok(report) => {
                let peak_memory = report.peak_rss_bytes;
                self.staged().insert(id.clone(), Staged { flight, report });
                Ok(Event::Processed { id, peak_memory })
            }
            Err(error) => Ok(Event::Failed { id, error }),
        }
    }

    /// Publishes what an attempt staged.
    fn publish(&self, id: FileId) -> Result<Event, Fatal> {
        let staged = self.staged().remove(&id);
        let (Some(Staged { flight, mut report }), Some((pipeline, Held { job: Some(job), .. }))) =
            (staged, self.held(&id))
        else {
            return Ok(Event::Finished { id });
        };
        flight.progress(Progress::Stage(Stage::Publish));
        let began = self.clock.monotonic();
        let finished = match self.publisher.publish(&pipeline, &job, &report) {
            Ok(finished) => finished,
            Err(error) => return self.broke(id, error),
        };
        let cost = report.stages.entry(Stage::Publish).or_default();
        cost.busy_seconds += self.clock.monotonic().saturating_sub(began).as_secs_f64();
        cost.peak_rss_bytes = cost.peak_rss_bytes.max(crate::telemetry::process::resident_bytes());
        Ok(self.finished(&finished, Some(&report)))
    }

    /// Ends an attempt the way the engine decided.
    fn conclude(&self, id: FileId, disposition: Disposition) -> Result<Event, Fatal> {
        let Some((pipeline, held)) = self.held(&id) else { return Ok(Event::Concluded { id, held: false }) };
        let job = held.job.clone().unwrap_or_else(|| without_attempt(&held, &pipeline));
        let ended = match disposition {
            Disposition::Retry { reason, counted, delay, message } => {
                let next_attempt_at = Some(self.clock.now().plus(delay)).filter(|_| !delay.is_zero());
                self.give_up(&job, &AttemptEnd { reason: Some(reason), message: &message, counted, next_attempt_at })
            }
            Disposition::Abandon => {
                let message = "the daemon stopped before the file was done";
                self.give_up(&job, &AttemptEnd { reason: None, message, counted: false, next_attempt_at: None })
            }
            Disposition::Quarantine(error) => self.refuse(&pipeline, &job, *error),
            Disposition::GiveUp { reason, attempts, message } => {
                let refusal = Refusal {
                    outcome: Outcome::Failed,
                    reason: QuarantineReason::AttemptsExhausted,
                    message: &format!("given up after {attempts} attempts; the last one ended so: {message}"),
                    hint: hint(reason),
                    rows: RowCounts::default(),
                    rejects: &std::collections::BTreeMap::new(),
                    ended_by: Some(reason),
                };
                self.publisher.quarantine(&pipeline, &job, &refusal).map(|finished| self.concluded(&finished))
            }
            Disposition::Empty(_) => match self.publisher.archive_empty(&pipeline, &job) {
                Ok(finished) => Ok(self.concluded(&finished)),
                // It was empty when it was read and is not any more.
                Err(PublishError::Changed { .. }) => self.put_back(&pipeline, &job),
                Err(PublishError::Vanished { name }) => self.vanished(&pipeline, &job, &name),
                Err(error) => Err(error),
            },
            Disposition::PutBack { .. } => self.put_back(&pipeline, &job),
            Disposition::Forget { message } => self.vanished(&pipeline, &job, &message),
        };
        match ended {
            Ok(held) => Ok(Event::Concluded { id, held }),
            Err(error) => {
                let error = self.survivable(error)?;
                Ok(self.stuck(id, &error))
            }
        }
    }

    fn give_up(&self, job: &Job, end: &AttemptEnd<'_>) -> Result<bool, PublishError> {
        let arrival = self.publisher.give_up_attempt(job, end)?;
        if let Some(held) = self.files().get_mut(&job.id) {
            held.arrival = arrival;
            held.job = None;
        }
        Ok(false)
    }

    fn refuse(&self, pipeline: &Pipeline, job: &Job, error: JobError) -> Result<bool, PublishError> {
        let JobError::Quarantine { reason, message, hint, rows, rejects, drift } = error else { return Ok(false) };
        let refusal = Refusal {
            outcome: Outcome::Quarantined,
            reason,
            message: &message,
            hint: &hint,
            rows,
            rejects: &rejects,
            ended_by: None,
        };
        let finished = self.publisher.quarantine(pipeline, job, &refusal)?;
        self.telemetry.emit(Told::SchemaDrift { pipeline: &pipeline.name, drift: &drift });
        Ok(self.concluded(&finished))
    }

    fn vanished(&self, pipeline: &Pipeline, job: &Job, message: &str) -> Result<bool, PublishError> {
        // It was away with its volume, and both are back: it arrives anew.
        if job.input.symlink_metadata().is_ok() {
            return self.put_back(pipeline, job);
        }
        let finished = self.publisher.vanished(pipeline, &job.id, message)?;
        Ok(self.concluded(&finished))
    }

    fn put_back(&self, pipeline: &Pipeline, job: &Job) -> Result<bool, PublishError> {
        match self.publisher.put_back(pipeline, job)? {
            PutBack::InInbox => {
                self.files().remove(&job.id);
                Ok(false)
            }
            PutBack::Held(arrival) => {
                if let Some(held) = self.files().get_mut(&job.id) {
                    held.arrival = arrival;
                    held.job = None;
                }
                Ok(true)
            }
        }
    }

    fn held(&self, id: &FileId) -> Option<(Arc<Pipeline>, Held)> {
        let held = self.files().get(id).cloned()?;
        Some((Arc::clone(&held.lane.pipeline), held))
    }

    fn tell_started(&self, job: &Job) {
        self.telemetry.emit(Told::FileStarted {
            pipeline: &job.pipeline,
            id: &job.id,
            name: &job.name,
            attempt: job.attempt,
            trace_id: &job.trace_id,
            wait: self.clock.now().since(job.arrived_at),
        });
        let (pipeline, id, name) = (&job.pipeline, &job.id, &job.name);
        self.notice(|| Notice::Started { pipeline: pipeline.clone(), id: id.clone(), name: name.clone() });
    }

    /// Returns false: nothing of the file is held any more.
    fn concluded(&self, finished: &Finished) -> bool {
        drop(self.finished(finished, None));
        false
    }

    fn finished(&self, finished: &Finished, report: Option<&JobReport>) -> Event {
        self.files().remove(&finished.row.id);
        self.tell_finished(finished, report);
        Event::Finished { id: finished.row.id.clone() }
    }

    /// Tells of an outcome.
    pub(super) fn tell_finished(&self, finished: &Finished, report: Option<&JobReport>) {
        let row = &finished.row;
        let refused = matches!(finished.outcome, Outcome::Quarantined | Outcome::Failed);
        let read = row.rows.unwrap_or_default().read;
        // Published by another attempt than the one that read it: the manifest knows what the report would have said.
        let told = (report.is_none() && finished.outcome == Outcome::Succeeded)
            .then(|| row.final_dir.as_deref().and_then(|published| Manifest::read(published).ok()))
            .flatten()
            .map(Manifest::into_report);
        let report = report.or(told.as_ref());
        if refused {
            self.holdings_soon();
        }
        self.telemetry.emit(Told::FileFinished {
            pipeline: &row.pipeline,
            id: &row.id,
            name: &row.display_name(),
            trace_id: row.trace_id.as_deref().unwrap_or_default(),
            outcome: finished.outcome,
            at: finished.at,
            duration: row.started_at.map_or(Duration::ZERO, |started| finished.at.since(started)),
            latency: finished.at.since(row.arrived_at),
            report: report.filter(|_| finished.outcome == Outcome::Succeeded),
            reason: row.reason,
            message: if refused { &row.message } else { "" },
            rows_quarantined: if refused { read } else { 0 },
        });
        self.notice(|| Notice::Finished(Box::new(row.clone())));
    }
}

/// What to do about a file whose attempts are used up.
const fn hint(reason: RetryReason) -> &'static str {
    match reason {
        RetryReason::Crash => {
            "keep the file and report it with the log: no file should do that; then mend or remove it"
        }
        RetryReason::OutOfMemory => "give the daemon more memory or run fewer workers, then drop the file again",
        RetryReason::Io | RetryReason::DiskFull | RetryReason::Changed | RetryReason::NoWorker => {
            "mend the storage the message names, then drop the file again"
        }
    }
}

/// A job for a file whose attempt could not even begin: there is nothing staged.
fn without_attempt(held: &Held, pipeline: &Pipeline) -> Job {
    let arrival = &held.arrival;
    Job {
        id: arrival.id.clone(),
        pipeline: arrival.pipeline.clone(),
        input: arrival.path.clone(),
        name: display_name(&arrival.name),
        stamp: arrival.stamp,
        arrived_at: arrival.arrived_at,
        staging: places::staging(&pipeline.output).join(format!("{}-0", arrival.id)),
        attempt: 0,
        trace_id: String::new(),
    }
}
