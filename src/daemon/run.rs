//! The engine's loop: the one task that owns its state. Events in, actions out, effects on threads that may block.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::failing::Fatal;
use super::{Inbox, LAST_BLOCK, Shared, Told, manager};
use crate::engine::{Action, Event, State, Tell};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Readiness;

/// Events taken in at once.
const BATCH: usize = 1_024;

/// Shortest time between two reports of the backlog.
const REPORT: Duration = Duration::from_millis(200);

/// Time between two signs of life.
const BEAT: Duration = Duration::from_secs(5);

type Done = Result<Option<Event>, Fatal>;

/// Drives the engine until it is drained.
pub(super) async fn drive(shared: Arc<Shared>, state: State, mut events: Inbox, life: Lifecycle) -> Result<(), String> {
    let mut driver = Driver { shared, state, effects: JoinSet::new(), changed: true, report_at: Duration::ZERO };
    // A stop may have come while the start was still at work: then nothing begins.
    if !life.draining().is_cancelled() {
        driver.apply(Event::Begin);
    }
    let mut batch = Vec::new();
    let mut beat = tokio::time::interval(BEAT);
    while !life.draining().is_cancelled() {
        driver.shared.telemetry.beat();
        let wake = driver.wake();
        tokio::select! {
            1.. = events.recv_many(&mut batch, BATCH) => {
                batch.drain(..).for_each(|event| driver.apply(event));
            }
            Some(done) = driver.effects.join_next() => driver.take(done)?,
            () = sleep(wake) => driver.apply(Event::Tick),
            _ = beat.tick() => manager::alive(),
            () = life.draining().cancelled() => {}
        }
        driver.report();
    }
    driver.drain(&life).await
}

/// Sleeps so long; for ever if nothing is to be waited for.
async fn sleep(wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep(wake).await,
        None => std::future::pending().await,
    }
}

struct Driver {
    shared: Arc<Shared>,
    state: State,
    effects: JoinSet<Done>,
    /// Something happened since the last report.
    changed: bool,
    /// When the next report may be made.
    report_at: Duration,
}

impl Driver {
    /// Returns how long until something is due: a time of the engine, or the report of a change.
    fn wake(&self) -> Option<Duration> {
        let report = self.changed.then_some(self.report_at);
        let due = [self.state.next_wake(), report].into_iter().flatten().min()?;
        Some(due.saturating_sub(self.shared.clock.monotonic()))
    }

    fn apply(&mut self, event: Event) {
        self.changed |= !matches!(event, Event::Tick | Event::Alive { .. });
        for action in self.state.apply(event, self.shared.now()) {
            if let Action::Tell(tell) = action {
                if tell == Tell::FirstScanDone {
                    // Who asks from now on must be told what was found.
                    self.report_at = Duration::ZERO;
                }
                self.shared.tell(tell);
            } else {
                let shared = Arc::clone(&self.shared);
                drop(self.effects.spawn_blocking(move || shared.carry_out(action)));
            }
        }
    }

    fn take(&mut self, done: Result<Done, JoinError>) -> Result<(), String> {
        // An effect that panicked left its file in the air: only a new start can tell what became of it.
        let event = done.map_err(|error| format!("an effect ended badly: {error}"))?;
        if let Some(event) = event.map_err(|fatal| fatal.to_string())? {
            self.apply(event);
        }
        Ok(())
    }

    /// Tells the backlog of every pipeline, not too often: it walks over the candidates.
    fn report(&mut self) {
        let began = self.shared.clock.monotonic();
        if !self.changed || began < self.report_at {
            return;
        }
        let reserved_memory = self.state.reserved_memory();
        self.shared.telemetry.emit(Told::WorkersBusy { workers: self.state.working(), reserved_memory });
        // Of an inbox nobody has looked into yet, "nothing waits" would be a guess.
        for pipeline in self.state.pipelines().filter(|pipeline| self.state.has_looked(pipeline)) {
            let backlog = self.state.backlog(pipeline);
            self.shared.telemetry.emit(Told::Backlog {
                pipeline,
                pending: backlog.pending,
                queued: backlog.queued,
                pending_bytes: backlog.pending_bytes,
                oldest_pending: backlog.oldest_pending,
                in_flight: backlog.in_flight,
                oldest_in_flight: backlog.oldest_in_flight,
            });
        }
        let ended = self.shared.clock.monotonic();
        self.changed = false;
        self.report_at = ended + REPORT.max(ended.saturating_sub(began) * 20);
        if self.shared.telemetry.readiness() != Readiness::Starting {
            self.shared.known.cancel();
        }
    }

    /// Finishes what is in flight; what takes longer than the limit is told to stop.
    async fn drain(mut self, life: &Lifecycle) -> Result<(), String> {
        manager::stopping();
        self.shared.telemetry.emit(Told::Draining { cause: life.cause() });
        self.apply(Event::Drain);
        let limit = tokio::time::sleep(self.shared.plan().config.drain);
        tokio::pin!(limit);
        let mut told_to_stop = false;
        let mut beat = tokio::time::interval(BEAT);
        while !self.state.is_drained() {
            self.shared.telemetry.beat();
            self.report_at = Duration::ZERO;
            self.report();
            tokio::select! {
                Some(done) = self.effects.join_next() => self.take(done)?,
                _ = beat.tick() => manager::alive(),
                () = limit.as_mut() => {
                    if told_to_stop {
                        let files = self.state.in_flight();
                        tracing::warn!(files, "left without the files that did not stop in time; the next start takes them up");
                        return Ok(());
                    }
                    told_to_stop = true;
                    self.stop_jobs("the drain limit is over", limit.as_mut());
                }
                () = life.stopping().cancelled(), if !told_to_stop => {
                    told_to_stop = true;
                    self.stop_jobs("asked to stop at once", limit.as_mut());
                }
            }
        }
        self.report_at = Duration::ZERO;
        self.report();
        Ok(())
    }

    fn stop_jobs(&self, why: &str, limit: std::pin::Pin<&mut tokio::time::Sleep>) {
        tracing::warn!(
            files = self.state.in_flight(),
            why,
            "stopping the files in progress; they are taken up again at the next start"
        );
        self.shared.cancel.cancel();
        limit.reset(tokio::time::Instant::now() + LAST_BLOCK);
    }
}
