//! `forebay rejects`: a file's rejected rows, to look at or to mend and drop again.

mod export;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};

use super::console::{Console, Tone, columns, count};
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::csv::Reject;
use crate::job::display_name;
use crate::ledger::FileRow;
use crate::publish::{REJECTS, REJECTS_SUFFIX, beside};

/// Options of `forebay rejects`.
#[derive(Debug, Args)]
pub(super) struct RejectsArgs {
    /// The file's id, the beginning of its id, or its name (then the newest arrival of that name).
    #[arg(value_name = "ID|NAME")]
    file: OsString,
    /// Prints the header and the rejected records as they came: mend them and drop them again.
    #[arg(long)]
    csv: bool,
    /// Shows at most so many; 0: all.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, conflicts_with = "csv")]
    limit: usize,
}

pub(super) fn rejects(global: &Global, args: &RejectsArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let ledger = shared::ledger(&config)?;
    let row = shared::find(&ledger, &args.file, console)?;
    let path = place(&row)?;
    if args.csv {
        let pipeline = config.pipelines.iter().find(|pipeline| pipeline.name == row.pipeline);
        let raw = read(&path, Some("raw"))?;
        export::export(&row, pipeline.map(AsRef::as_ref), &raw, console)?;
        return Ok(Exit::Done);
    }
    let frame = read(&path, None)?;
    let limit = if args.limit == 0 { frame.height() } else { args.limit };
    if frame.height() == 0 {
        console.say("no row of this file was rejected");
        return Ok(Exit::Done);
    }
    let lines = table(&frame, limit)?;
    for (index, line) in lines.iter().enumerate() {
        console.result(&console.out(if index == 0 { Tone::Strong } else { Tone::Faint }, line));
    }
    if frame.height() > limit {
        console.say(&format!("{limit} of {} are shown; -n 0 shows all", count(frame.height() as u64)));
    }
    Ok(Exit::Done)
}

/// Returns where a file's rejected rows lie.
fn place(row: &FileRow) -> Result<PathBuf, Failure> {
    let published = row.final_dir.as_ref().map(|dir| dir.join(REJECTS));
    let refused = row.resting.as_ref().map(|original| beside(original, REJECTS_SUFFIX));
    let there = |path: &PathBuf| path.try_exists().unwrap_or(false);
    published.into_iter().chain(refused).find(there).ok_or_else(|| {
        let state = row.standing();
        Failure::file(format!("there are no rejected rows of {} ({state})", row.display_name()))
            .hint(format!("`forebay explain {}` tells what became of it", row.id))
    })
}

fn read(path: &Path, column: Option<&str>) -> Result<DataFrame, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::internal(format!("cannot read {}: {}", path.display(), shared::chain(error)))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let columns = column.map(|name| vec![name.to_owned()]);
    ParquetReader::new(file).with_columns(columns).finish().map_err(|error| failed(&error))
}

/// Returns the first `limit` rejected rows in a file of them; none if it is not there or cannot be read.
pub(super) fn first(path: &Path, limit: usize) -> Vec<Reject> {
    let read = || {
        let frame = ParquetReader::new(File::open(path).ok()?).with_slice(Some((0, limit))).finish().ok()?;
        (0..frame.height()).map(|index| reject(&frame, index)).collect::<Option<Vec<_>>>()
    };
    read().unwrap_or_default()
}

fn reject(frame: &DataFrame, index: usize) -> Option<Reject> {
    let value = |name: &str| frame.column(name).ok()?.get(index).ok();
    let number = |name: &str| value(name)?.extract::<u64>();
    let text = |name: &str| value(name).filter(|value| !value.is_null()).map(|value| value.str_value().into_owned());
    Some(Reject {
        record: number("record")?,
        line: number("line")?,
        byte_offset: number("byte_offset"),
        column: text("column"),
        reason: text("reason")?.parse().ok()?,
        rule: text("rule"),
        detail: text("detail").unwrap_or_default(),
        raw: Vec::new(),
    })
}

fn table(frame: &DataFrame, limit: usize) -> Result<Vec<String>, Failure> {
    let names = ["line", "record", "column", "reason", "rule", "detail"];
    let mut table = vec![names.map(str::to_uppercase).to_vec()];
    let series = names.map(|name| frame.column(name));
    for index in 0..frame.height().min(limit) {
        let mut cells = Vec::with_capacity(names.len());
        for column in &series {
            let column = column.as_ref().map_err(Failure::internal)?;
            let value = column.get(index).map_err(Failure::internal)?;
            let text = if value.is_null() { String::new() } else { value.str_value().into_owned() };
            // What comes from a file must not talk to the terminal.
            cells.push(display_name(OsStr::new(&text)));
        }
        table.push(cells);
    }
    Ok(columns(&table, &[0, 1]))
}
