//! The stage table: what each stage cost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cli::console::{bytes, columns, seconds, thousands};
use crate::clock::Clock;
use crate::job::{JobReport, RowCounts, Stage, StageCost};

/// When the stages of one job began, by the clock on the wall.
pub(super) struct Walls<'c> {
    clock: &'c dyn Clock,
    begun: Mutex<BTreeMap<Stage, Duration>>,
}

impl<'c> Walls<'c> {
    pub(super) fn new(clock: &'c dyn Clock) -> Self {
        Self { clock, begun: Mutex::new(BTreeMap::new()) }
    }

    /// A stage begins.
    pub(super) fn begin(&self, stage: Stage) {
        let now = self.clock.monotonic();
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).entry(stage).or_insert(now);
    }

    /// Returns how long each stage lasted. Load, parse, clean and write flow at the same time, so they share one stretch:
    /// from the first byte to the last row written.
    fn last(&self) -> BTreeMap<Stage, Duration> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.clock.monotonic();
        let start = |stage| begun.get(&stage).copied();
        let publish = start(Stage::Publish).unwrap_or(end);
        let aggregate = start(Stage::Aggregate).unwrap_or(publish);
        let load = start(Stage::Load).unwrap_or(aggregate);
        let flow = aggregate.saturating_sub(load);
        BTreeMap::from([
            (Stage::Load, flow),
            (Stage::Parse, flow),
            (Stage::Clean, flow),
            (Stage::Write, flow),
            (Stage::Aggregate, publish.saturating_sub(aggregate)),
            (Stage::Publish, end.saturating_sub(publish)),
        ])
    }
}

/// Costs summed over the files of a run.
#[derive(Debug, Default)]
pub(super) struct Stages {
    costs: BTreeMap<Stage, StageCost>,
    walls: BTreeMap<Stage, Duration>,
    text_bytes: u64,
    peak_rss_bytes: u64,
}

impl Stages {
    /// Adds one file that has just been published.
    pub(super) fn add(&mut self, report: &JobReport, walls: &Walls<'_>) {
        let last = walls.last();
        for (stage, cost) in &report.stages {
            let sum = self.costs.entry(*stage).or_default();
            sum.busy_seconds += cost.busy_seconds;
            sum.peak_rss_bytes = sum.peak_rss_bytes.max(cost.peak_rss_bytes);
        }
        if let Some(took) = last.get(&Stage::Publish) {
            let publish = self.costs.entry(Stage::Publish).or_default();
            publish.busy_seconds += took.as_secs_f64();
        }
        for (stage, took) in last {
            *self.walls.entry(stage).or_default() += took;
        }
        self.text_bytes += report.text_bytes;
        self.peak_rss_bytes = self.peak_rss_bytes.max(report.peak_rss_bytes);
    }

    /// Returns the table: speeds of a stage over its busy time, of the whole over the wall clock.
    pub(super) fn table(&self, rows: &RowCounts, duration: Duration) -> Vec<String> {
        let head = ["stage", "wall", "busy", "rows/s", "MB/s", "peak RSS"].map(str::to_owned).to_vec();
        let mut table = vec![head];
        for stage in Stage::ALL {
            let Some(cost) = self.costs.get(stage) else { continue };
            let wall = self.walls.get(stage).map_or(0.0, Duration::as_secs_f64);
            // Publishing syncs and renames: it moves files, not rows.
            let over = if *stage == Stage::Publish { 0.0 } else { cost.busy_seconds };
            let [rows, text] = self.speeds(rows, over);
            let (wall, busy) = (seconds(wall), seconds(cost.busy_seconds));
            table.push(vec![stage.to_string(), wall, busy, rows, text, memory(cost.peak_rss_bytes)]);
        }
        let busy: f64 = self.costs.values().map(|cost| cost.busy_seconds).sum();
        let wall = duration.as_secs_f64();
        let [rows, text] = self.speeds(rows, wall);
        table.push(vec!["total".to_owned(), seconds(wall), seconds(busy), rows, text, memory(self.peak_rss_bytes)]);
        columns(&table, &[1, 2, 3, 4, 5])
    }

    fn speeds(&self, rows: &RowCounts, over: f64) -> [String; 2] {
        [
            speed(rows.read, over).map_or_else(String::new, |speed| thousands(&format!("{speed:.0}"))),
            speed(self.text_bytes, over).map_or_else(String::new, |speed| format!("{:.1}", speed / 1e6)),
        ]
    }
}

fn memory(rss: u64) -> String {
    if rss == 0 { String::new() } else { bytes(rss) }
}

/// Returns so many per second; nothing where too little time passed to tell.
#[expect(clippy::cast_precision_loss, reason = "a speed needs no more than 53 bits")]
fn speed(amount: u64, seconds: f64) -> Option<f64> {
    (seconds > 1e-4).then(|| amount as f64 / seconds)
}
