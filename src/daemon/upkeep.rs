//! What is looked after every few seconds: gauges that no event moves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Shared, Told};
use crate::telemetry::process;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(2);

/// Rounds between two looks into the quarantine folders.
const QUARANTINE: u64 = 10;

/// Counting the ledger may take so long at every file that goes to quarantine.
const CHEAP: Duration = Duration::from_millis(5);

/// Looks after the gauges until it is dropped.
pub(super) async fn keep(shared: Arc<Shared>) -> Result<(), String> {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u64.. {
        ticks.tick().await;
        let shared = Arc::clone(&shared);
        let done = tokio::task::spawn_blocking(move || shared.round(round)).await;
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

impl Shared {
    fn round(&self, round: u64) -> Result<(), String> {
        self.publisher.ledger().still_there().map_err(|error| error.to_string())?;
        self.telemetry.run_upkeep();
        self.volumes();
        self.telemetry.emit(Told::WorkersResident { workers: &self.runner.resident() });
        // Those that have ended first: who ends in between is counted later, not twice.
        let ended = process::processor_ticks_of_ended();
        let time = process::time_of(ended + self.runner.processor_ticks());
        self.telemetry.emit(Told::WorkersProcessor { time });
        if round.is_multiple_of(QUARANTINE) {
            for lane in self.plan().lanes.values() {
                if let Err(error) = self.publisher.reconcile_quarantine(&lane.pipeline) {
                    self.error("publish", "quarantine", &error.to_string());
                }
            }
        }
        self.holdings();
        Ok(())
    }

    /// Tells what the ledger holds now, if counting it is cheap; the next round does it in any case.
    pub(super) fn holdings_soon(&self) {
        if Duration::from_nanos(self.counting_took.load(Ordering::Relaxed)) < CHEAP {
            self.holdings();
        }
    }

    /// Tells what the ledger holds.
    pub(super) fn holdings(&self) {
        let ledger = self.publisher.ledger();
        let began = self.clock.monotonic();
        let counts = match ledger.counts() {
            Ok(counts) => counts,
            Err(error) => return self.error("ledger", "query", &error.to_string()),
        };
        let took = self.clock.monotonic().saturating_sub(began);
        self.counting_took.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let files: Vec<_> = counts.by_state.iter().map(|(state, files)| (state.as_str(), *files)).collect();
        self.telemetry.emit(Told::LedgerHolds { files: &files, bytes: ledger.size_bytes() });
        for pipeline in self.plan().lanes.keys() {
            let files = counts.in_quarantine.get(&**pipeline).copied().unwrap_or(0);
            self.telemetry.emit(Told::Quarantine { pipeline, files });
        }
    }

    /// Tells the room on the volumes: of several the one with the least.
    fn volumes(&self) {
        let least = |volume: &'static str, paths: &mut dyn Iterator<Item = &Path>| {
            if let Some((free, size)) = paths.filter_map(room).min() {
                self.telemetry.emit(Told::Filesystem { volume, free, size });
            }
        };
        let plan = self.plan();
        let pipelines = || plan.config.pipelines.iter();
        least("input", &mut pipelines().map(|pipeline| pipeline.input.as_path()));
        least("output", &mut pipelines().map(|pipeline| pipeline.output.as_path()));
        least("state", &mut std::iter::once(plan.config.state.as_path()));
    }
}

/// Returns the bytes free for us and the bytes in all; `None` for a folder that is gone, which the scan tells of.
fn room(path: &Path) -> Option<(u64, u64)> {
    let volume = rustix::fs::statvfs(path).ok()?;
    Some((volume.f_bavail.saturating_mul(volume.f_frsize), volume.f_blocks.saturating_mul(volume.f_frsize)))
}
