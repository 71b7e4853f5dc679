//! `forebay check`: is the configuration sound, and what would become of these files? Writes nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::console::{Console, Tone};
use super::exit::{Exit, Failure};
use super::verdict::{SHOWN_REJECTS, Verdict, reject_document};
use super::{Global, shared};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config, ConfigErrors, Pipeline};
use crate::http::{WebConfigError, check_web_config};
use crate::job::{FileId, Job};
use crate::pipeline;
use crate::storage;

/// Options of `forebay check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The pipeline the files are for; may be left out if the config has only one.
    #[arg(short, long, value_name = "PIPELINE", requires = "files")]
    pipeline: Option<String>,
    /// Files to try.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Shows at most so many rejected rows of each file.
    #[arg(short = 'n', long, value_name = "N", default_value_t = SHOWN_REJECTS)]
    limit: usize,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(global: &Global, args: &CheckArgs, console: &Console) -> Result<Exit, Failure> {
    let config = match config::load(&global.config).and_then(|config| config::check_folders(&config).map(|()| config)) {
        Ok(config) => config,
        Err(errors) => {
            if args.json {
                console.json(&invalid(global, &errors));
            }
            return Err(Failure::usage(format!("the configuration is not sound\n{errors}")));
        }
    };
    if let Some(error) = config.web_config_file.as_deref().and_then(|path| check_web_config(path).err()) {
        if args.json {
            console.json(&invalid_web(global, &error));
        }
        return Err(Failure::usage(format!("the web config is not sound\n{error}")));
    }
    shared::quiet_logging(global, console)?;
    let mut verdicts = Vec::new();
    if !args.files.is_empty() {
        let pipeline = shared::pipeline(&config, args.pipeline.as_deref())?;
        for file in &args.files {
            let verdict = try_file(pipeline, file, args.limit);
            if !args.json {
                verdict.tell(console, true);
            }
            verdicts.push(verdict);
        }
    }
    if args.json {
        console.json(&valid(global, &config, &verdicts));
    } else if args.files.is_empty() {
        let names: Vec<&str> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
        let sound = format!("{} is sound", global.config.display());
        console.result(&format!("{}: {}", console.out(Tone::Good, &sound), names.join(", ")));
    }
    Ok(if verdicts.iter().all(Verdict::fine) { Exit::Done } else { Exit::SomeFailed })
}

/// Runs the pipeline over a file without writing anything.
fn try_file(pipeline: &Pipeline, file: &Path, limit: usize) -> Verdict {
    let name = shared::shown_name(file);
    let job = match job(pipeline, file, &name) {
        Ok(job) => job,
        Err(message) => return Verdict::unreadable(&pipeline.name, name, message),
    };
    let (mut verdict, first) = match pipeline::dry_run(pipeline, &job, &SystemClock, limit) {
        Ok((report, first)) => (Verdict::sound(&pipeline.name, &report), first),
        Err((error, first)) => (Verdict::unsound(&pipeline.name, &name, &error), first),
    };
    let rejected: Vec<Value> = first.iter().map(reject_document).collect();
    verdict.facts.insert("rejected_rows".to_owned(), json!(rejected));
    verdict.first = first;
    verdict
}

fn job(pipeline: &Pipeline, file: &Path, name: &str) -> Result<Job, String> {
    let (input, metadata) = shared::regular_file(file)?;
    let id = FileId::parse("check").ok_or("no id")?;
    Ok(Job {
        id,
        pipeline: pipeline.name.clone(),
        input,
        name: name.to_owned(),
        stamp: storage::entry_of(&metadata).stamp,
        arrived_at: SystemClock.now(),
        staging: PathBuf::new(),
        attempt: 1,
        trace_id: String::new(),
    })
}

fn valid(global: &Global, config: &Config, verdicts: &[Verdict]) -> Value {
    let pipelines: Vec<Value> = config
        .pipelines
        .iter()
        .map(|pipeline| json!({ "pipeline": pipeline.name, "config_hash": pipeline.config_hash }))
        .collect();
    json!({
        "config": global.config.display().to_string(),
        "valid": true,
        "errors": [],
        "pipelines": pipelines,
        "files": verdicts.iter().map(Verdict::document).collect::<Vec<_>>(),
    })
}

fn invalid(global: &Global, errors: &ConfigErrors) -> Value {
    let errors = errors
        .errors
        .iter()
        .map(|error| json!({ "line": error.line, "key": error.key, "message": error.message, "hint": error.hint }))
        .collect::<Vec<_>>();
    refused(global, &errors)
}

fn invalid_web(global: &Global, error: &WebConfigError) -> Value {
    let file = error.file.display().to_string();
    let hint: Option<&str> = None;
    let told = json!({ "file": file, "line": error.line, "key": error.key, "message": error.message, "hint": hint });
    refused(global, &[told])
}

fn refused(global: &Global, errors: &[Value]) -> Value {
    json!({ "config": global.config.display().to_string(), "valid": false, "errors": errors, "pipelines": [], "files": [] })
}
