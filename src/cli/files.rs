//! `forebay files`: what the ledger knows, newest first.

use clap::Args;
use serde_json::json;

use super::console::{Console, Tone, columns, count};
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::clock::rfc3339;
use crate::job::Outcome;
use crate::ledger::{FileRow, Filter};

/// Options of `forebay files`.
#[derive(Debug, Args)]
pub(super) struct FilesArgs {
    /// Only files of this pipeline.
    #[arg(short, long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Only files in this state or with this outcome: claimed, staged, published, done; succeeded, quarantined, replaced, ...
    #[arg(short, long, value_name = "STATE")]
    state: Option<String>,
    /// At most so many, the newest; 0: all.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn files(global: &Global, args: &FilesArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let mut filter = Filter { pipeline: args.pipeline.clone(), limit: args.limit, ..Filter::default() };
    if let Some(word) = &args.state {
        filter.state_or_outcome(word).map_err(Failure::usage)?;
    }
    let ledger = shared::ledger(&config)?;
    let rows = ledger.files(&filter).map_err(|error| shared::ledger_failure(&error))?;
    if let (Some(name), true) = (&args.pipeline, rows.is_empty()) {
        // One that the config has no more may still have files.
        let any = Filter { pipeline: Some(name.clone()), limit: 1, ..Filter::default() };
        let known = ledger.files(&any).map_err(|error| shared::ledger_failure(&error))?;
        if known.is_empty() {
            shared::pipeline(&config, Some(name))?;
        }
    }
    if args.json {
        console.json(&json!({ "files": rows }));
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        console.say("no such files in the ledger");
        return Ok(Exit::Done);
    }
    let head = ["ARRIVED", "ID", "PIPELINE", "STATE", "READ", "REJECTED", "NAME"].map(str::to_owned).to_vec();
    let table: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(line)).collect();
    for (index, line) in columns(&table, &[4, 5]).iter().enumerate() {
        let row = index.checked_sub(1).and_then(|index| rows.get(index));
        console.result(&console.out(row.map_or(Tone::Strong, tone), line));
    }
    if args.limit > 0 && rows.len() == args.limit {
        console.say(&format!("the newest {} are shown; -n 0 shows all", args.limit));
    }
    Ok(Exit::Done)
}

fn line(row: &FileRow) -> Vec<String> {
    let rows =
        |pick: fn(&crate::job::RowCounts) -> u64| row.rows.as_ref().map_or_else(String::new, |rows| count(pick(rows)));
    vec![
        rfc3339(row.arrived_at).get(..19).unwrap_or_default().to_owned(),
        row.id.to_string(),
        row.pipeline.clone(),
        row.standing().to_owned(),
        rows(|rows| rows.read),
        rows(|rows| rows.rejected),
        match &row.replaced_by {
            Some(replay) => format!("{}, replaced by {replay}", row.display_name()),
            None => row.display_name(),
        },
    ]
}

/// Returns the colour of an end.
pub(super) fn tone(row: &FileRow) -> Tone {
    match row.outcome {
        Some(Outcome::Succeeded) if row.replaced_by.is_some() => Tone::Faint,
        Some(Outcome::Succeeded) => Tone::Good,
        Some(Outcome::Duplicate | Outcome::Empty) => Tone::Faint,
        Some(Outcome::Quarantined | Outcome::Failed) => Tone::Alarm,
        None => Tone::Caution,
    }
}
