//! How many series the catalogue makes: what a pipeline costs the Prometheus that stores it, before anybody adds one.
//!
//! Counted in OpenMetrics, the larger of the two formats: there every counter and histogram also tells when it was created,
//! and Prometheus keeps that as one more series.

use std::fmt::Write as _;
use std::ops::AddAssign;

use super::catalog::{Kind, Metric, Name, Scope, Values};

/// Most series one pipeline may bring, its rules apart. A test holds the catalogue to it.
pub const PER_PIPELINE: usize = 350;

/// Most series the daemon itself may have, without any pipeline. A test holds the catalogue to it.
pub const FIXED: usize = 400;

/// A number of series, by what brings them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// There in any case.
    pub fixed: usize,
    /// For each pipeline.
    pub per_pipeline: usize,
    /// For each rule of each pipeline.
    pub per_rule: usize,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.fixed += other.fixed;
        self.per_pipeline += other.per_pipeline;
        self.per_rule += other.per_rule;
    }
}

/// Workers there are by default at most; `limits.workers` may ask for more.
const WORKERS: usize = 8;

impl Cost {
    /// Returns what one metric of the daemon costs at most, whatever happens.
    #[must_use]
    pub fn of(metric: &Metric) -> Self {
        // Every sample line of one label set, the creation time included.
        let lines = match metric.kind {
            Kind::Gauge => 1,
            Kind::Counter => 2,
            Kind::Histogram(ladder) => ladder.bounds().len() + 4,
        };
        let mut sets = 1;
        let (mut pipeline, mut rule) = (false, false);
        for label in metric.labels {
            match label.values {
                Values::Pipeline => pipeline = true,
                Values::Rule => rule = true,
                Values::Set(words) => sets *= words().len(),
                // The words of the label before it are counted with their own.
                Values::PerWord(words) => sets = words.iter().map(|(_, own)| own.len()).sum(),
                Values::Build => {}
                Values::Worker => sets *= WORKERS,
            }
        }
        let series = lines * sets;
        match (pipeline, rule) {
            (_, true) => Self { per_rule: series, ..Self::default() },
            (true, false) => Self { per_pipeline: series, ..Self::default() },
            (false, false) => Self { fixed: series, ..Self::default() },
        }
    }

    /// Returns what the daemon costs in all.
    #[must_use]
    pub fn total() -> Self {
        let mut total = Self::default();
        metrics().for_each(|metric| total += Self::of(metric));
        total
    }
}

/// What the daemon exports; a one-shot run's metrics are another page.
fn metrics() -> impl Iterator<Item = &'static Metric> {
    Name::ALL.iter().map(|name| name.metric()).filter(|metric| metric.scope != Scope::OneShot)
}

/// Returns the budget as a table, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Series budget\n\nSeries that Prometheus stores at most, from the catalogue of this version. No name of a file, \
         path, id or text is a label, so no number of files changes them.\n\n\
         | metric | fixed | per pipeline | per rule |\n|---|--:|--:|--:|\n",
    );
    let mut row = |name: &str, cost: Cost| {
        let written = writeln!(text, "| {name} | {} | {} | {} |", cost.fixed, cost.per_pipeline, cost.per_rule);
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    };
    for metric in metrics() {
        row(&format!("`{}`", metric.name), Cost::of(metric));
    }
    row("**in all**", Cost::total());
    row("**budget**", Cost { fixed: FIXED, per_pipeline: PER_PIPELINE, per_rule: Cost::total().per_rule });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_keeps_its_budget() {
        let total = Cost::total();
        assert!(total.per_pipeline <= PER_PIPELINE && total.fixed <= FIXED && total.per_rule <= 2, "{total:?}");
    }

    #[test]
    fn the_table_adds_up() {
        let table = markdown();
        let cells = |line: &str| -> Vec<usize> {
            line.split(" | ").filter_map(|cell| cell.trim_end_matches(" |").parse().ok()).collect()
        };
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
        let sums: Vec<usize> = (0..3).map(|column| rows.iter().map(|row| row[column]).sum()).collect();
        let told = table.lines().find(|line| line.starts_with("| **in all**")).map(cells).unwrap();
        assert_eq!(sums, told);
    }
}
