//! `forebay explain`: one file's whole story.

use std::ffi::OsString;

use clap::Args;
use serde_json::{Value, json};

use super::console::{Console, bytes, columns, count, seconds};
use super::exit::{Exit, Failure};
use super::{Global, files, shared};
use crate::clock::rfc3339;
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
    let row = shared::find(&ledger, &args.file, |older| {
        let ids: Vec<&str> = older.iter().map(|row| row.id.as_str()).collect();
        console.say(&format!("the newest of several arrivals; the others: {}", ids.join(", ")));
    })?;
    let story = ledger.story(&row.id).map_err(|error| shared::ledger_failure(&error))?;
    // A directory that somebody tidied away is no reason to tell nothing.
    let manifest = row.final_dir.as_deref().map(Manifest::read);
    if args.json {
        let manifest = manifest.and_then(Result::ok);
        console.json(&document(&row, &story, manifest.as_ref()));
        return Ok(Exit::Done);
    }
    for line in summary(&row) {
        console.result(&line);
    }
    match manifest {
        Some(Ok(manifest)) => {
            for line in details(&manifest) {
                console.result(&line);
            }
        }
        Some(Err(error)) => console.warn(&format!("its {error}")),
        None => {}
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
        document.insert("story".to_owned(), json!(story));
    }
    document
}

fn summary(row: &FileRow) -> Vec<String> {
    let mut table = vec![
        ["file", &row.display_name()].map(str::to_owned).to_vec(),
        ["id", row.id.as_str()].map(str::to_owned).to_vec(),
        ["pipeline", &row.pipeline].map(str::to_owned).to_vec(),
        ["state", files::state(row)].map(str::to_owned).to_vec(),
    ];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.push(vec![name.to_owned(), value]);
        }
    };
    add("reason", row.reason.map(|reason| reason.to_string()));
    add("message", Some(row.message.clone()));
    add("last error", row.last_error.clone().filter(|error| *error != row.message));
    add("size", Some(format!("{} ({} bytes)", bytes(row.stamp.size), count(row.stamp.size))));
    add("blake3", row.blake3.clone());
    add("duplicate of", row.duplicate_of.as_ref().map(ToString::to_string));
    add("attempts", (row.starts > 1).then(|| row.starts.to_string()));
    add(
        "rows",
        row.rows.map(|rows| {
            format!(
                "{} read = {} written + {} rejected + {} dropped",
                count(rows.read),
                count(rows.written),
                count(rows.rejected),
                count(rows.dropped)
            )
        }),
    );
    add("output", row.final_dir.as_ref().map(|path| path.display().to_string()));
    add("original", row.resting.as_ref().map(|path| path.display().to_string()));
    add("trace id", row.trace_id.clone());
    columns(&table, &[])
}

/// What only the manifest knows.
fn details(manifest: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    let list = |counts: Vec<(String, u64)>| {
        let some: Vec<String> =
            counts.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {}", count(n))).collect();
        some.join(", ")
    };
    let mut add = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("{name:<12}  {text}"));
        }
    };
    add("encoding", manifest.input.encoding.clone());
    add("rejects", list(manifest.rejects.iter().map(|(reason, n)| (reason.to_string(), *n)).collect()));
    add("rules failed", list(manifest.rule_violations.iter().map(|(rule, n)| (rule.clone(), *n)).collect()));
    add("drift", list(manifest.drift.iter().map(|(kind, n)| (kind.to_string(), *n)).collect()));
    let busy: Vec<String> =
        manifest.stages.iter().map(|(stage, cost)| format!("{stage} {}", seconds(cost.busy_seconds))).collect();
    add("busy", busy.join(", "));
    add("peak rss", bytes(manifest.peak_rss_bytes));
    for (name, file) in &manifest.outputs {
        add("", format!("{name}: {} rows, {}", count(file.rows), bytes(file.bytes)));
    }
    lines
}
