//! The end of a demo: what the ledger, the manifests and the metrics say, and whether they agree with each other and with
//! what was really in the files.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use serde_json::{Value, json};

use super::feed::{Delivery, Drop};
use super::scrape;
use crate::cli::console::{columns, count};
use crate::cli::exit::Failure;
use crate::cli::shared;
use crate::config::Config;
use crate::job::{Outcome, RowCounts, places};
use crate::ledger::{FileRow, Filter};
use crate::publish::Manifest;

/// What a demo came to.
#[derive(Debug)]
pub(super) struct Summary {
    /// By pipeline, in the order of the config.
    pipelines: Vec<(String, Sum)>,
    total: Sum,
    /// What does not add up; empty if all is well.
    pub(super) faults: Vec<String>,
}

/// The files and rows of one pipeline, or of all.
#[derive(Debug, Default, Clone)]
struct Sum {
    files: BTreeMap<Outcome, u64>,
    rows: RowCounts,
}

/// One file of the ledger, with its manifest if it was published.
type Ended = (FileRow, Option<Manifest>);

/// Reads ledger and manifests and compares everything with everything.
pub(super) fn summary(config: &Config, drops: &[Drop], exposition: &str) -> Result<Summary, Failure> {
    let mut rows = shared::ledger(config)?.files(&Filter::default()).map_err(|error| shared::ledger_failure(&error))?;
    rows.reverse();
    let mut faults = Vec::new();
    let ended: Vec<Ended> = rows
        .into_iter()
        .map(|row| {
            let manifest = row.final_dir.as_deref().map(Manifest::read).transpose().unwrap_or_else(|error| {
                faults.push(format!("{}: {error}", row.display_name()));
                None
            });
            (row, manifest)
        })
        .collect();
    let pipelines: Vec<(String, Sum)> =
        config.pipelines.iter().map(|pipeline| (pipeline.name.clone(), Sum::of(&pipeline.name, &ended))).collect();
    let mut total = Sum::default();
    for (name, sum) in &pipelines {
        total.add(sum);
        if !sum.rows.conserved() {
            faults.push(format!("{name}: rows are missing: {:?}", sum.rows));
        }
        against_metrics(name, sum, exposition, &mut faults);
    }
    against_truth(drops, &ended, &mut faults);
    left_behind(config, drops, &mut faults);
    Ok(Summary { pipelines, total, faults })
}

impl Sum {
    fn of(pipeline: &str, ended: &[Ended]) -> Self {
        let mut sum = Self::default();
        for (row, manifest) in ended.iter().filter(|(row, _)| row.pipeline == pipeline) {
            if let Some(outcome) = row.outcome {
                *sum.files.entry(outcome).or_default() += 1;
            }
            if let Some(manifest) = manifest {
                sum.rows += manifest.rows;
            }
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        for (outcome, files) in &other.files {
            *self.files.entry(*outcome).or_default() += files;
        }
        self.rows += other.rows;
    }

    fn line(&self, name: &str) -> Vec<String> {
        let files = Outcome::ALL.iter().map(|outcome| self.files.get(outcome).copied().unwrap_or(0));
        let RowCounts { read, written, rejected, dropped } = self.rows;
        let mut cells = vec![name.to_owned(), count(self.files.values().sum())];
        cells.extend(files.map(count));
        cells.extend([count(read), "=".to_owned(), count(written), "+".to_owned()]);
        cells.extend([count(rejected), "+".to_owned(), count(dropped)]);
        cells
    }

    fn document(&self, name: &str) -> Value {
        let files: BTreeMap<&str, u64> = Outcome::ALL
            .iter()
            .map(|outcome| (outcome.as_str(), self.files.get(outcome).copied().unwrap_or(0)))
            .collect();
        json!({ "pipeline": name, "files": files, "rows": self.rows })
    }
}

impl Summary {
    /// Returns the table for people; `judged`: with the verdict.
    pub(super) fn table(&self, judged: bool) -> Vec<String> {
        let head = ["pipeline", "files"].into_iter().chain(Outcome::ALL.iter().map(|outcome| outcome.as_str()));
        let head = head.chain(["rows read", "=", "written", "+", "rejected", "+", "dropped"]);
        let mut table = vec![head.map(str::to_owned).collect()];
        table.extend(self.pipelines.iter().map(|(name, sum)| sum.line(name)));
        table.push(self.total.line("total"));
        let mut lines = columns(&table, &[1, 2, 3, 4, 5, 6, 7, 9, 11, 13]);
        if judged && self.faults.is_empty() {
            lines.push(String::new());
            lines.push("every row is accounted for; ledger, manifests and /metrics agree".to_owned());
        }
        lines
    }

    /// Returns the JSON form.
    pub(super) fn document(&self) -> Value {
        let pipelines: Vec<Value> = self.pipelines.iter().map(|(name, sum)| sum.document(name)).collect();
        json!({ "pipelines": pipelines, "total": self.total.document("total"), "faults": self.faults })
    }
}

/// Compares the manifests' sums with the counters.
fn against_metrics(pipeline: &str, sum: &Sum, exposition: &str, faults: &mut Vec<String>) {
    let RowCounts { read, written, rejected, dropped } = sum.rows;
    let files = sum.files.values().sum();
    for (name, expected) in [
        ("forebay_rows_read_total", read),
        ("forebay_rows_written_total", written),
        ("forebay_rows_rejected_total", rejected),
        ("forebay_rows_dropped_total", dropped),
        ("forebay_files_processed_total", files),
    ] {
        let found = scrape::by_pipeline(exposition, name).get(pipeline).copied();
        // A counter is an f64, exact up to 2^53.
        let agrees = found.is_some_and(|found| format!("{found:.0}") == expected.to_string());
        if !agrees {
            let found = found.map_or_else(|| "is not there".to_owned(), |found| format!("says {found}"));
            faults.push(format!("{name}{{pipeline=\"{pipeline}\"}} {found}, the files say {expected}"));
        }
    }
}

/// Compares every file with what was put into it.
fn against_truth(drops: &[Drop], ended: &[Ended], faults: &mut Vec<String>) {
    for (index, drop) in drops.iter().enumerate() {
        let same = |other: &&Drop| other.name == drop.name && other.pipeline == drop.pipeline;
        let earlier = drops.iter().take(index).filter(same).count();
        let mut of_this_name =
            ended.iter().filter(|(row, _)| row.name == OsStr::new(&drop.name) && row.pipeline == drop.pipeline);
        let found = of_this_name.nth(earlier);
        let mut fault = |what: String| faults.push(format!("{} ({}): {what}", drop.name, drop.story));
        let Some(expected) = drop.truth.outcome else {
            if found.is_some() {
                fault("it was taken and should have been left alone".to_owned());
            }
            continue;
        };
        let Some((row, manifest)) = found else {
            fault("the ledger does not know it".to_owned());
            continue;
        };
        if row.outcome != Some(expected) {
            fault(format!("it is {}, it should be {expected}; {}", row.standing(), row.message));
        }
        if let Some(manifest) = manifest {
            if manifest.rows != drop.truth.rows {
                fault(format!("counted {:?}, it holds {:?}", manifest.rows, drop.truth.rows));
            }
            let rejects: BTreeMap<_, _> =
                manifest.rejects.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| (*reason, *n)).collect();
            if rejects != drop.truth.rejects {
                fault(format!("rejected {rejects:?}, it holds {:?}", drop.truth.rejects));
            }
        }
    }
}

/// Only what is no file may still lie in an inbox.
fn left_behind(config: &Config, drops: &[Drop], faults: &mut Vec<String>) {
    for pipeline in &config.pipelines {
        let Ok(entries) = pipeline.input.read_dir() else { continue };
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let link = drops.iter().any(|drop| drop.delivery == Delivery::Symlink && OsStr::new(&drop.name) == name);
            if !link && name != places::OURS {
                faults.push(format!("{} still lies in the inbox of {}", name.display(), pipeline.name));
            }
        }
    }
}
