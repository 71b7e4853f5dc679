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
    /// For each worker.
    pub per_worker: usize,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.fixed += other.fixed;
        self.per_pipeline += other.per_pipeline;
        self.per_rule += other.per_rule;
        self.per_worker += other.per_worker;
    }
}

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
        let (mut pipeline, mut rule, mut worker) = (false, false, false);
        for label in metric.labels {
            match label.values {
                Values::Pipeline => pipeline = true,
                Values::Rule => rule = true,
                Values::Set(words) => sets *= words().len(),
                // The words of the label before it are counted with their own.
                Values::PerWord(words) => sets = words.iter().map(|(_, own)| own.len()).sum(),
                Values::Build => {}
                Values::Worker => worker = true,
            }
        }
        let series = lines * sets;
        match (pipeline, rule, worker) {
            (_, true, _) => Self { per_rule: series, ..Self::default() },
            (true, false, _) => Self { per_pipeline: series, ..Self::default() },
            (false, false, true) => Self { per_worker: series, ..Self::default() },
            (false, false, false) => Self { fixed: series, ..Self::default() },
        }
    }

    /// Returns what so many pipelines with so many rules in all, and so many workers, cost.
    #[must_use]
    pub const fn of_all(&self, pipelines: usize, rules: usize, workers: usize) -> usize {
        self.fixed + self.per_pipeline * pipelines + self.per_rule * rules + self.per_worker * workers
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
         | metric | fixed | per pipeline | per rule | per worker |\n|---|--:|--:|--:|--:|\n",
    );
    let mut row = |name: &str, cost: Cost| {
        let Cost { fixed, per_pipeline, per_rule, per_worker } = cost;
        let written = writeln!(text, "| {name} | {fixed} | {per_pipeline} | {per_rule} | {per_worker} |");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    };
    for metric in metrics() {
        row(&format!("`{}`", metric.name), Cost::of(metric));
    }
    row("**in all**", Cost::total());
    row("**budget**", Cost { fixed: FIXED, per_pipeline: PER_PIPELINE, ..Cost::total() });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_keeps_its_budget() {
        let total = Cost::total();
        assert!(total.per_pipeline <= PER_PIPELINE && total.fixed <= FIXED, "{total:?}");
        assert!(total.per_rule <= 2 && total.per_worker <= 1, "{total:?}");
    }

    #[test]
    fn the_operator_is_told_what_it_costs() {
        let Cost { fixed, per_pipeline, per_rule, per_worker } = Cost::total();
        let told = format!(
            "{fixed} series, and {per_pipeline} for each pipeline, {per_rule} for each rule and {per_worker} for each worker"
        );
        let document = include_str!("../../docs/OPERATING.md").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(document.contains(&told), "docs/OPERATING.md is to say: {told}");
        let three = Cost::total().of_all(3, 6, 4);
        let told = format!("3 pipelines with 2 rules each and 4 workers make {three}");
        assert!(document.contains(&told), "docs/OPERATING.md is to say: {told}");
    }

    #[test]
    fn the_table_adds_up() {
        let table = markdown();
        let cells = |line: &str| -> Vec<usize> {
            line.split(" | ").filter_map(|cell| cell.trim_end_matches(" |").parse().ok()).collect()
        };
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
        let sums: Vec<usize> = (0..4).map(|column| rows.iter().map(|row| row[column]).sum()).collect();
        let told = table.lines().find(|line| line.starts_with("| **in all**")).map(cells).unwrap();
        assert_eq!(sums, told);
    }
}
