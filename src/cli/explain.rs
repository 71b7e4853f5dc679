//! `forebay explain`: one file's whole story.

use std::ffi::OsString;

use clap::Args;
use serde_json::{Value, json};

use super::console::{Console, bytes, columns, count, rows, seconds};
use super::exit::{Exit, Failure};
use super::verdict::told;
use super::{Global, shared};
use crate::clock::rfc3339;
use crate::job::Timestamp;
use crate::ledger::{FileRow, StoryLine};
use crate::publish::Manifest;

/// Options of `forebay explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Its id, the beginning of its id, or its name (then the newest arrival of that name).
    #[arg(value_name = "ID|NAME")]
    file: OsString,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn explain(global: &Global, args: &ExplainArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let ledger = shared::ledger(&config)?;
    let row = shared::find(&ledger, &args.file, console)?;
    let story = ledger.story(&row.id).map_err(|error| shared::ledger_failure(&error))?;
    // A directory that somebody tidied away is no reason to tell nothing.
    let manifest = row.final_dir.as_deref().filter(|_| row.replaced_by.is_none()).map(Manifest::read);
    if args.json {
        let manifest = manifest.and_then(Result::ok);
        console.json(&document(&row, &story, manifest.as_ref()));
        return Ok(Exit::Done);
    }
    let mut facts = summary(&row);
    match manifest {
        Some(Ok(manifest)) => facts.extend(details(&manifest)),
        Some(Err(error)) => console.warn(&format!("its {error}")),
        None => {}
    }
    for line in columns(&facts, &[]) {
        console.result(&line);
    }
    console.result("");
    let table: Vec<Vec<String>> = story
        .iter()
        .map(|line| vec![format!("  {}", rfc3339(line.at)), line.what.clone(), line.message.clone()])
        .collect();
    for line in columns(&table, &[]) {
        console.result(&line);
    }
    Ok(Exit::Done)
}

/// The ledger's fields and the story; for a published file the manifest, whose fields win.
fn document(row: &FileRow, story: &[StoryLine], manifest: Option<&Manifest>) -> Value {
    let mut document = json!(row);
    if let (Some(document), Some(Value::Object(manifest))) =
        (document.as_object_mut(), manifest.map(|manifest| json!(manifest)))
    {
        document.extend(manifest);
    }
    if let Some(document) = document.as_object_mut() {
        document.insert("hint".to_owned(), json!(Some(hint(row)).filter(|hint| !hint.is_empty())));
        document.insert("story".to_owned(), json!(story));
    }
    document
}

/// Returns names and values of what the ledger knows.
fn summary(row: &FileRow) -> Vec<Vec<String>> {
    let mut facts = Facts::default();
    facts.add("file", row.display_name());
    facts.add("id", row.id.to_string());
    facts.add("pipeline", row.pipeline.clone());
    facts.add("state", row.standing().to_owned());
    facts.add("reason", row.reason.map(|reason| reason.to_string()).unwrap_or_default());
    facts.add("message", row.message.clone());
    facts.add("hint", hint(row));
    facts.add("last error", row.last_error.clone().filter(|error| *error != row.message).unwrap_or_default());
    facts.add("size", format!("{} ({} bytes)", bytes(row.stamp.size), count(row.stamp.size)));
    facts.add("blake3", row.blake3.clone().unwrap_or_default());
    facts.add("duplicate of", row.duplicate_of.as_ref().map(ToString::to_string).unwrap_or_default());
    facts.add("replaces", row.replaces.as_ref().map(ToString::to_string).unwrap_or_default());
    facts.add("replaced by", row.replaced_by.as_ref().map(ToString::to_string).unwrap_or_default());
    let time = |at: Option<Timestamp>| at.map(rfc3339).unwrap_or_default();
    facts.add("arrived", time(Some(row.arrived_at)));
    facts.add("begun", time(row.started_at));
    facts.add("finished", time(row.finished_at));
    facts.add("next attempt", time(row.next_attempt_at));
    if row.starts > 1 {
        facts.add("attempts", row.starts.to_string());
    }
    facts.add("rows", row.rows.map(|rows| told(rows, row.final_dir.is_some())).unwrap_or_default());
    facts.add("output", row.final_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    facts.add("original", row.resting.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    facts.add("trace id", row.trace_id.clone().unwrap_or_default());
    facts.0
}

/// Returns what to do about a refused file, from its `.error.json`.
fn hint(row: &FileRow) -> String {
    let explanation = row.explanation.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let hint = explanation.as_ref().and_then(|explanation| explanation.get("hint")?.as_str());
    hint.unwrap_or_default().to_owned()
}

/// Returns names and values of what only the manifest knows.
fn details(manifest: &Manifest) -> Vec<Vec<String>> {
    let list = |counts: Vec<(String, u64)>| {
        let some: Vec<String> =
            counts.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {}", count(n))).collect();
        some.join(", ")
    };
    let mut facts = Facts::default();
    facts.add("encoding", manifest.input.encoding.clone());
    facts.add("rejects", list(manifest.rejects.iter().map(|(reason, n)| (reason.to_string(), *n)).collect()));
    facts.add("rules failed", list(manifest.rule_violations.iter().map(|(rule, n)| (rule.clone(), *n)).collect()));
    facts.add("drift", list(manifest.drift.iter().map(|(kind, n)| (kind.to_string(), *n)).collect()));
    let busy: Vec<String> =
        manifest.stages.iter().map(|(stage, cost)| format!("{stage} {}", seconds(cost.busy_seconds))).collect();
    facts.add("busy", busy.join(", "));
    facts.add("peak rss", bytes(manifest.peak_rss_bytes));
    for (name, file) in &manifest.outputs {
        facts.add(name, format!("{}, {}", rows(file.rows), bytes(file.bytes)));
    }
    facts.0
}

/// Names and values; a value that is empty is no fact.
#[derive(Debug, Default)]
struct Facts(Vec<Vec<String>>);

impl Facts {
    fn add(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.0.push(vec![name.to_owned(), value]);
        }
    }
}
