//! `forebay once`: given files through a pipeline in the foreground. No daemon, no ledger; the inputs stay where they are.

mod stages;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::verdict::{SHOWN_REJECTS, Verdict};
use super::{Global, shared};
use crate::clock::{Clock, SystemClock};
use crate::config::Pipeline;
use crate::job::{Job, JobError, Outcome, Progress, RetryReason, RowCounts};
use crate::pipeline;
use crate::publish::{Plain, PublishError, REJECTS};
use crate::storage::Disk;
use crate::telemetry::oneshot::RunSummary;
use stages::Stages;

/// Options of `forebay once`.
#[derive(Debug, Args)]
pub(super) struct OnceArgs {
    /// The pipeline; may be left out if the config has only one.
    #[arg(short, long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// The files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Publishes below this folder, as the daemon does below its output; default: the pipeline's output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Writes the run's metrics for the node exporter's textfile collector.
    #[arg(long, value_name = "PATH.prom")]
    textfile: Option<PathBuf>,
    /// Pushes the run's metrics to a Pushgateway.
    #[arg(long, value_name = "URL")]
    push: Option<String>,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// What one run needs.
struct Run<'r> {
    pipeline: &'r Pipeline,
    plain: Plain,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    console: &'r Console,
}

pub(super) fn once(global: &Global, args: &OnceArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let pipeline = shared::pipeline(&config, args.pipeline.as_deref())?;
    shared::quiet_logging(global, console)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let root = args.out.as_ref().map_or_else(|| pipeline.output.clone(), |out| out.join(&pipeline.name));
    let root = std::path::absolute(&root).unwrap_or(root);
    let run = Run {
        pipeline,
        plain: Plain::new(Arc::new(Disk::new()), Arc::clone(&clock), root),
        clock,
        stop: CancellationToken::new(),
        console,
    };
    let _signals = stop_on_signal(&run.stop)?;

    let began = run.clock.monotonic();
    let mut verdicts = Vec::new();
    let mut stages = Stages::default();
    for file in &args.files {
        let verdict = run.file(file, &mut stages);
        if !args.json {
            verdict.tell(console, false);
            if let Some(output) = verdict.facts.get("output").and_then(Value::as_str) {
                console.result(output);
            }
        }
        verdicts.push(verdict);
        if run.stop.is_cancelled() {
            break;
        }
    }
    let duration = run.clock.monotonic().saturating_sub(began);
    let summary = summary(&run, &verdicts, args.files.len(), duration);
    if args.json {
        console.json(&document(&verdicts, &summary));
    } else if summary.rows.read > 0 {
        for line in stages.table(&summary.rows, duration) {
            console.say(&line);
        }
    }
    if summary.not_taken > 0 {
        console.warn(&format!("interrupted: {} of {} files were not begun", summary.not_taken, args.files.len()));
    }
    export(args, &summary)?;
    let all = summary.not_taken == 0 && verdicts.iter().all(Verdict::fine);
    Ok(if all { Exit::Done } else { Exit::SomeFailed })
}

impl Run<'_> {
    /// Takes one file through the pipeline and publishes it.
    fn file(&self, file: &Path, stages: &mut Stages) -> Verdict {
        let name = shared::shown_name(file);
        if let Err(message) = shared::regular_file(file) {
            return Verdict::unreadable(&self.pipeline.name, name, message);
        }
        let job = match self.plain.job(self.pipeline, file) {
            Ok(job) => job,
            Err(error) => return Verdict::unreadable(&self.pipeline.name, name, shared::chain(&error)),
        };
        let done = self.work(&job, stages);
        done.unwrap_or_else(|error| {
            let mut verdict = Verdict::unsound(&self.pipeline.name, &name, &error);
            // Discarding what was staged takes the rejected rows with it; tell the first of them before.
            verdict.first = super::rejects::first(&job.staging.join(REJECTS), SHOWN_REJECTS);
            if let Err(error) = self.plain.discard(&job) {
                self.console.warn(&format!("{}: {}", job.staging.display(), shared::chain(&error)));
            }
            verdict
        })
    }

    fn work(&self, job: &Job, stages: &mut Stages) -> Result<Verdict, JobError> {
        const BAR: &str = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let bar = self.console.bar(job.stamp.size, BAR).with_message(job.name.clone());
        let walls = stages::Walls::new(&*self.clock);
        let progress = |progress: Progress| match progress {
            Progress::Read { bytes, .. } => bar.inc(bytes),
            Progress::Stage(stage) => walls.begin(stage),
            Progress::Wrote { .. } | Progress::Alive => {}
        };
        let report = pipeline::run(self.pipeline, job, &self.stop, &*self.clock, &progress);
        bar.finish_and_clear();
        let report = report?;
        walls.begin(crate::job::Stage::Publish);
        let (output, manifest) =
            self.plain.publish(self.pipeline, job, &report).map_err(|error| not_published(&error))?;
        stages.add(&report, &walls);
        let mut verdict = Verdict::sound(&self.pipeline.name, &report);
        if let Ok(Value::Object(manifest)) = serde_json::to_value(&manifest) {
            verdict.facts.extend(manifest);
        }
        verdict.facts.insert("output".to_owned(), json!(output.display().to_string()));
        Ok(verdict)
    }
}

fn not_published(error: &PublishError) -> JobError {
    JobError::Retry { reason: RetryReason::Io, message: format!("cannot publish: {}", shared::chain(error)) }
}

/// Lets SIGINT and SIGTERM stop the run at the next block. The signals are heard as long as the result lives.
fn stop_on_signal(stop: &CancellationToken) -> Result<tokio::runtime::Runtime, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::internal(format!("cannot listen for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let stop = stop.clone();
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    Ok(runtime)
}

fn summary(run: &Run<'_>, verdicts: &[Verdict], given: usize, duration: Duration) -> RunSummary {
    let mut rows = RowCounts::default();
    let mut files = std::collections::BTreeMap::new();
    for verdict in verdicts {
        *files.entry(verdict.outcome).or_insert(0) += 1;
        if verdict.outcome == Outcome::Succeeded {
            rows += verdict.rows;
        }
    }
    RunSummary {
        pipeline: run.pipeline.name.clone(),
        rows,
        duration,
        completed_at: run.clock.now(),
        files,
        not_taken: given.saturating_sub(verdicts.len()) as u64,
    }
}

fn document(verdicts: &[Verdict], summary: &RunSummary) -> Value {
    json!({
        "pipeline": summary.pipeline,
        "rows": summary.rows,
        "duration_seconds": summary.duration.as_secs_f64(),
        "not_taken": summary.not_taken,
        "files": verdicts.iter().map(Verdict::document).collect::<Vec<_>>(),
    })
}

/// Leaves the metrics wherever they were asked for: a place that fails takes nothing from the other.
fn export(args: &OnceArgs, summary: &RunSummary) -> Result<(), Failure> {
    let written =
        args.textfile.as_ref().map(|path| summary.write_textfile(path).map_err(|error| shared::chain(&error)));
    let pushed = args.push.as_ref().map(|url| summary.push(url).map_err(|error| shared::chain(&error)));
    let failed: Vec<String> = [written, pushed].into_iter().flatten().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::internal(failed.join("; "))) }
}
