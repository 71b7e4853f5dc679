//! What is looked after every few seconds: gauges that no event moves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::apart::Apart;
use super::{Shared, Told};
use crate::config::Config;
use crate::telemetry::process;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(2);

/// Rounds between two looks into the quarantine folders.
const QUARANTINE: u64 = 10;

/// Counting the ledger may take so long at every file that goes to quarantine.
const CHEAP: Duration = Duration::from_millis(5);

/// What is known from the rounds before.
#[derive(Default)]
struct Known {
    apart: Apart,
    /// What the volumes had last, by a folder on each: bytes free and in all.
    rooms: Mutex<BTreeMap<PathBuf, (u64, u64)>>,
}

/// Looks after the gauges until it is dropped. One volume that hangs keeps nobody from the others: the next round begins all the
/// same, and leaves out what hangs.
pub(super) async fn keep(shared: Arc<Shared>) -> Result<(), String> {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut rounds, known) = (JoinSet::new(), Arc::<Known>::default());
    let mut round = 0_u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let (shared, known, number) = (Arc::clone(&shared), Arc::clone(&known), round);
                drop(rounds.spawn_blocking(move || shared.round(number, &known)));
                round += 1;
            }
            Some(done) = rounds.join_next() => done.map_err(|error| error.to_string())??,
        }
    }
}

/// The folders of a configuration that lie on each kind of volume.
type Folders = fn(&Config) -> Vec<PathBuf>;

/// The kinds of volumes.
const VOLUMES: [(&str, Folders); 3] = [
    ("input", |config| config.pipelines.iter().map(|pipeline| pipeline.input.clone()).collect()),
    ("output", |config| config.pipelines.iter().map(|pipeline| pipeline.output.clone()).collect()),
    ("state", |config| vec![config.state.clone()]),
];

impl Shared {
    fn round(&self, round: u64, known: &Known) -> Result<(), String> {
        self.telemetry.run_upkeep();
        self.telemetry.emit(Told::WorkersResident { workers: &self.runner.resident() });
        // Those that have ended first: who ends in between is counted later, not twice.
        let ended = process::processor_ticks_of_ended();
        let time = process::time_of(ended + self.runner.processor_ticks());
        self.telemetry.emit(Told::WorkersProcessor { time });
        known.apart.run("ledger", || self.look_at_the_ledger()).unwrap_or(Ok(()))?;
        let plan = self.plan();
        for folder in VOLUMES.iter().flat_map(|(_, folders)| folders(&plan.config)) {
            let name = format!("room in {}", folder.display());
            known.apart.run(&name, || self.look_at(folder, known));
        }
        for lane in plan.lanes.values().filter(|_| round.is_multiple_of(QUARANTINE)) {
            known.apart.run(&format!("quarantine of {}", lane.key), || {
                if let Err(error) = self.publisher.reconcile_quarantine(&lane.pipeline) {
                    self.error("publish", "quarantine", &error.to_string());
                }
            });
        }
        Ok(())
    }

    fn look_at_the_ledger(&self) -> Result<(), String> {
        self.publisher.ledger().still_there().map_err(|error| error.to_string())?;
        self.holdings();
        Ok(())
    }

    /// Looks how much room there is in one folder, and tells what that changes: of several volumes the one with the least.
    fn look_at(&self, folder: PathBuf, known: &Known) {
        let room = room(&folder);
        let mut rooms = known.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        match room {
            Some(room) => drop(rooms.insert(folder, room)),
            None => drop(rooms.remove(&folder)),
        }
        let plan = self.plan();
        for (volume, folders) in VOLUMES {
            if let Some((free, size)) = folders(&plan.config).iter().filter_map(|folder| rooms.get(folder)).min() {
                self.telemetry.emit(Told::Filesystem { volume, free: *free, size: *size });
            }
        }
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
}

/// Returns the bytes free for us and the bytes in all; `None` for a folder that is gone, which the scan tells of.
fn room(path: &Path) -> Option<(u64, u64)> {
    let volume = rustix::fs::statvfs(path).ok()?;
    Some((volume.f_bavail.saturating_mul(volume.f_frsize), volume.f_blocks.saturating_mul(volume.f_frsize)))
}
