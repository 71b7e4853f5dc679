//! One job through its stages: load, parse, clean, aggregate, write.
//!
//! Blocks of a few MiB flow one way, so memory depends on the block size and the threads, never on the file:
//!
//! ```text
//! load ──chunks──► parse + clean + aggregate (a few threads) ──batches──► write, in file order ──► what aggregates are left
//! ```
//!
//! Writes only below the job's staging directory, makes nothing durable and nothing visible: that is [`crate::publish`].

pub mod aggregate;
mod alone;
pub mod clean;
pub mod flow;
pub mod load;
pub mod meter;
pub mod write;

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Accept, Pipeline};
use crate::csv::Reject;
use crate::job::{Job, JobError, JobReport, Progress, QuarantineReason, RejectReason, RowCounts, Stage};
use aggregate::Aggregates;
use alone::Alone;
use flow::{Batches, Totals};
use meter::Meter;
use write::Outputs;

/// Runs `job` and returns its report; its outputs lie in `job.staging`, which must exist and be empty.
///
/// Blocks the calling thread. A refused file leaves at most `rejects.parquet` behind, for the quarantine.
pub fn run(
    pipeline: &Pipeline,
    job: &Job,
    stop: &CancellationToken,
    clock: &dyn Clock,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<JobReport, JobError> {
    let meter = Meter::new(clock, job);
    // The work on a small file is not worth the telling of other threads, and they have small files of their own.
    let _alone = (job.stamp.size <= flow::BLOCK_BYTES as u64).then(Alone::begin);
    let mut outputs = Outputs::new(pipeline, &job.staging, progress);
    let mut aggregates = Aggregates::new(pipeline);
    let ended = flow::run(pipeline, job, stop, &meter, progress, &mut |batch: Batches<'_>| {
        meter.time(Stage::Write, || outputs.write(&batch))?;
        aggregates.add(batch.parts)
    });
    let rejects_file = meter.time(Stage::Write, || outputs.finish_rejects());
    let totals = ended?;
    rejects_file?;
    accept(&pipeline.accept, &totals)?;
    progress(Progress::Stage(Stage::Write));
    meter.time(Stage::Write, || outputs.finish_rows())?;
    progress(Progress::Stage(Stage::Aggregate));
    aggregates.finish(totals.rows.written, &mut outputs, &meter)?;
    Ok(report(pipeline, totals, outputs.into_files(), &meter))
}

/// Runs `job` without writing anything; returns what [`run`] would report and the first `max_rejects` rejects.
///
/// Aggregates are not computed and `outputs` is empty.
pub fn dry_run(
    pipeline: &Pipeline,
    job: &Job,
    clock: &dyn Clock,
    max_rejects: usize,
) -> Result<(JobReport, Vec<Reject>), (JobError, Vec<Reject>)> {
    let meter = Meter::new(clock, job);
    let mut first = Vec::new();
    let pipeline = &Pipeline { aggregates: Vec::new(), ..pipeline.clone() };
    let ended = flow::run(pipeline, job, &CancellationToken::new(), &meter, &|_| {}, &mut |batch: Batches<'_>| {
        let room = max_rejects.saturating_sub(first.len());
        first.extend(batch.rejects.iter().take(room).cloned());
        Ok(())
    });
    let accepted = ended.and_then(|totals| accept(&pipeline.accept, &totals).map(|()| totals));
    match accepted {
        Ok(totals) => Ok((report(pipeline, totals, BTreeMap::new(), &meter), first)),
        Err(error) => Err((error, first)),
    }
}

/// Decides whether a file with these rejects is good enough. Pure.
fn accept(limits: &Accept, totals: &Totals) -> Result<(), JobError> {
    let RowCounts { read, rejected, .. } = totals.rows;
    let refuse = |reason, message: String, hint: &str| {
        Err(JobError::Quarantine {
            reason,
            message,
            hint: hint.to_owned(),
            rows: totals.rows,
            rejects: totals.rejects.clone(),
            drift: totals.drift.clone(),
        })
    };
    let ratio = share(rejected, read);
    if rejected > limits.max_rejects && ratio > limits.max_reject_ratio {
        let most = totals.rejects.iter().max_by_key(|(_, count)| **count);
        let most = most.map_or_else(String::new, |(reason, count)| format!("; most are {reason} ({count})"));
        let message = format!(
            "{rejected} of {read} rows were rejected ({:.1} %), more than accept.max_rejects = {} and accept.max_reject_ratio = {}{most}",
            ratio * 100.0,
            limits.max_rejects,
            limits.max_reject_ratio,
        );
        return refuse(
            QuarantineReason::TooManyRejects,
            message,
            "look at the rejected rows; then mend the file and drop it again, or mend the config",
        );
    }
    if read < limits.min_rows {
        let message = format!("{read} rows, fewer than accept.min_rows = {}", limits.min_rows);
        return refuse(QuarantineReason::TooFewRows, message, "ask the sender whether the file is whole");
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn report(
    pipeline: &Pipeline,
    totals: Totals,
    outputs: BTreeMap<String, crate::job::OutputFile>,
    meter: &Meter<'_>,
) -> JobReport {
    let names = pipeline.rules.iter().map(|rule| rule.name.clone());
    JobReport {
        input: totals.input,
        rows: totals.rows,
        blank_lines: totals.blank_lines,
        rejects: totals.rejects,
        rejects_by_rule: names.clone().zip(totals.rejects_by_rule).collect(),
        rule_violations: names.zip(totals.violations).collect(),
        drift: totals.drift,
        outputs,
        stages: meter.costs(),
        peak_rss_bytes: meter.peak_rss_bytes(),
        text_bytes: totals.text_bytes,
    }
}

/// Returns a map with every reason at zero.
fn no_rejects() -> BTreeMap<RejectReason, u64> {
    RejectReason::ALL.iter().map(|reason| (*reason, 0)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
