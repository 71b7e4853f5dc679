//! What is looked after every few seconds: gauges that no event moves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::steps::Steps;
use super::{Shared, Told};
use crate::config::Config;
use crate::telemetry::process;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(2);

/// Rounds between two looks into the quarantine folders.
const QUARANTINE: u64 = 10;

/// Counting the ledger may take so long at every file that goes to quarantine.
const CHEAP: Duration = Duration::from_millis(5);

/// What the volumes had last, by a folder on each: bytes free and in all.
type Rooms = Mutex<BTreeMap<PathBuf, (u64, u64)>>;

/// Looks after the gauges until it is dropped. Every folder is looked at on its own: one volume that hangs keeps nobody from
/// the others.
pub(super) async fn keep(shared: Arc<Shared>) -> Result<(), String> {
    let mut ticks = interval(ROUND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut steps, rooms) = (Steps::default(), Arc::<Rooms>::default());
    let mut round = 0_u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                begin(&shared, &mut steps, &rooms, round);
                round += 1;
            }
            ended = steps.ended() => ended?,
        }
    }
}

/// One piece of it.
type Act = Box<dyn FnOnce(&Shared) -> Result<(), String> + Send>;

/// Begins everything that is to be looked after in this round.
fn begin(shared: &Arc<Shared>, steps: &mut Steps, rooms: &Arc<Rooms>, round: u64) {
    let mut step = |name: String, act: Act| {
        let shared = Arc::clone(shared);
        steps.begin(name, move || act(&shared));
    };
    step(
        "processes".to_owned(),
        Box::new(|shared| {
            shared.telemetry.run_upkeep();
            shared.telemetry.emit(Told::WorkersResident { workers: &shared.runner.resident() });
            // Those that have ended first: who ends in between is counted later, not twice.
            let ended = process::processor_ticks_of_ended();
            let time = process::time_of(ended + shared.runner.processor_ticks());
            shared.telemetry.emit(Told::WorkersProcessor { time });
            Ok(())
        }),
    );
    step(
        "ledger".to_owned(),
        Box::new(|shared| {
            shared.publisher.ledger().still_there().map_err(|error| error.to_string())?;
            shared.holdings();
            Ok(())
        }),
    );
    let plan = shared.plan();
    for folder in VOLUMES.iter().flat_map(|(_, folders)| folders(&plan.config)) {
        let rooms = Arc::clone(rooms);
        step(
            format!("room in {}", folder.display()),
            Box::new(move |shared| {
                shared.look_at(folder, &rooms);
                Ok(())
            }),
        );
    }
    if round.is_multiple_of(QUARANTINE) {
        for lane in plan.lanes.values().cloned() {
            step(
                format!("quarantine of {}", lane.key),
                Box::new(move |shared| {
                    if let Err(error) = shared.publisher.reconcile_quarantine(&lane.pipeline) {
                        shared.error("publish", "quarantine", &error.to_string());
                    }
                    Ok(())
                }),
            );
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
    /// Looks how much room there is in one folder, and tells what that changes: of several volumes the one with the least.
    fn look_at(&self, folder: PathBuf, rooms: &Rooms) {
        let room = room(&folder);
        let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
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
