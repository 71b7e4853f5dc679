//! The last hour of a few counters, in memory, for the small curves of the status page.
//!
//! A fixed number of samples, whatever the age of the process: at first one per second, and whenever the ring is full, every
//! other sample goes and the pace halves, until the ring holds an hour. Scrapes neither wait for it nor see it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry::{DaemonNow, PipelineNow, Telemetry};

/// Samples kept.
const SAMPLES: usize = 240;
/// Time between two of them at first.
const FIRST: Duration = Duration::from_secs(1);
/// Time between two of them once the ring covers an hour.
const LAST: Duration = Duration::from_secs(16);
/// Most points of a curve.
const POINTS: usize = 60;

/// The samples.
#[derive(Debug, Default)]
pub(super) struct Trend {
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    pace: Duration,
    /// Since the process started.
    at: VecDeque<Duration>,
    /// Bytes.
    resident: VecDeque<u64>,
    /// Rows seen so far, by pipeline. A pipeline that came later has fewer samples; the last ones belong together.
    rows: BTreeMap<String, VecDeque<u64>>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { pace: FIRST, at: VecDeque::new(), resident: VecDeque::new(), rows: BTreeMap::new() }
    }
}

/// A curve over time.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Curve {
    /// What time it covers.
    pub(super) span: Duration,
    /// Its points, oldest first, at equal distances.
    pub(super) points: Vec<f64>,
}

impl Trend {
    /// Samples for ever.
    pub(super) async fn keep(self: Arc<Self>, telemetry: Telemetry) {
        loop {
            self.take(&telemetry.daemon_now(), &telemetry.now());
            let pace = self.ring().pace;
            tokio::time::sleep(pace).await;
        }
    }

    /// Takes one sample.
    fn take(&self, daemon: &DaemonNow, pipelines: &[PipelineNow]) {
        let mut ring = self.ring();
        ring.at.push_back(daemon.up);
        ring.resident.push_back(daemon.resident + daemon.workers_resident);
        ring.rows.retain(|name, _| pipelines.iter().any(|now| now.name == *name));
        for now in pipelines {
            match ring.rows.get_mut(&now.name) {
                Some(rows) => rows.push_back(now.rows_seen),
                None => drop(ring.rows.insert(now.name.clone(), VecDeque::from([now.rows_seen]))),
            }
        }
        ring.bound();
    }

    /// Returns resident memory, of daemon and workers together, in bytes.
    pub(super) fn resident(&self) -> Curve {
        let ring = self.ring();
        let stride = stride(ring.resident.len());
        let highest = |samples: &[u64]| samples.iter().copied().max().map_or(0.0, number);
        let samples: Vec<u64> = ring.resident.iter().copied().collect();
        Curve { span: ring.span(samples.len()), points: samples.chunks(stride).map(highest).collect() }
    }

    /// Returns a pipeline's rows per second.
    pub(super) fn rows_per_second(&self, pipeline: &str) -> Curve {
        let ring = self.ring();
        let Some(rows) = ring.rows.get(pipeline) else { return Curve::default() };
        let at = ring.at.iter().skip(ring.at.len().saturating_sub(rows.len()));
        let samples: Vec<(Duration, u64)> = at.copied().zip(rows.iter().copied()).collect();
        let picked: Vec<(Duration, u64)> = samples.iter().rev().step_by(stride(samples.len())).rev().copied().collect();
        let rate = |pair: &[(Duration, u64)]| match pair {
            [(before, had), (after, has)] if after > before => {
                number(has.saturating_sub(*had)) / after.saturating_sub(*before).as_secs_f64()
            }
            _ => 0.0,
        };
        Curve { span: ring.span(samples.len()), points: picked.windows(2).map(rate).collect() }
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Keeps the ring within its bounds.
    fn bound(&mut self) {
        if self.at.len() <= SAMPLES {
            return;
        }
        if self.pace < LAST {
            self.pace *= 2;
            thin(&mut self.at);
            thin(&mut self.resident);
            self.rows.values_mut().for_each(thin);
        } else {
            self.at.pop_front();
            self.resident.pop_front();
            for rows in self.rows.values_mut().filter(|rows| rows.len() > SAMPLES) {
                rows.pop_front();
            }
        }
    }

    /// Returns the time the last so many samples cover.
    fn span(&self, samples: usize) -> Duration {
        let first = self.at.len().checked_sub(samples.max(1)).and_then(|at| self.at.get(at));
        match (first, self.at.back()) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        }
    }
}

/// Drops every other sample, the newest stays.
fn thin<T>(series: &mut VecDeque<T>) {
    let mut left = series.len();
    series.retain(|_| {
        left -= 1;
        left.is_multiple_of(2)
    });
}

/// Returns how many samples make one point.
fn stride(samples: usize) -> usize {
    samples.div_ceil(POINTS).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "a curve is a few pixels high")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(trend: &Trend, second: u64, rows: u64, names: &[&str]) {
        let daemon = DaemonNow {
            up: Duration::from_secs(second),
            resident: second,
            workers_resident: 1,
            ..DaemonNow::default()
        };
        let now = |name: &&str| PipelineNow { name: (*name).to_owned(), rows_seen: rows, ..PipelineNow::default() };
        trend.take(&daemon, &names.iter().map(now).collect::<Vec<_>>());
    }

    #[test]
    fn a_day_fits_and_the_last_hour_is_exact() {
        let trend = Trend::default();
        let (mut second, mut samples) = (0, 0);
        while second < 24 * 3600 {
            sample(&trend, second, second * 10, &["a"]);
            let ring = trend.ring();
            samples += 1;
            assert!(ring.at.len() <= SAMPLES && ring.at.len() == ring.rows["a"].len());
            assert_eq!(ring.at.len(), ring.resident.len());
            second += ring.pace.as_secs();
        }
        assert!(samples < 24 * 3600 / 16 + 5 * SAMPLES, "{samples}");
        let curve = trend.rows_per_second("a");
        assert!(curve.span >= Duration::from_hours(1) && curve.span < Duration::from_mins(70), "{:?}", curve.span);
        assert!(curve.points.len() > 50 && curve.points.len() < 64, "{}", curve.points.len());
        assert!(curve.points.iter().all(|rate| (rate - 10.0).abs() < 1e-9), "{:?}", curve.points);
        assert!(trend.resident().points.is_sorted());
    }

    #[test]
    fn pipelines_come_and_go() {
        let trend = Trend::default();
        assert_eq!(trend.rows_per_second("a"), Curve::default());
        sample(&trend, 0, 0, &["a"]);
        assert_eq!(trend.rows_per_second("a").points, Vec::<f64>::new());
        sample(&trend, 2, 10, &["a"]);
        sample(&trend, 4, 10, &["a", "b"]);
        sample(&trend, 8, 30, &["a", "b"]);
        assert_eq!(trend.rows_per_second("a").points, [5.0, 0.0, 5.0]);
        let late = trend.rows_per_second("b");
        assert_eq!((late.span, late.points), (Duration::from_secs(4), vec![5.0]));
        sample(&trend, 9, 30, &["b"]);
        assert_eq!(trend.rows_per_second("a"), Curve::default());
        assert_eq!(trend.resident().points, [1.0, 3.0, 5.0, 9.0, 10.0]);
    }
}
