//! `forebay init`: prints a ready configuration for a CSV file.

mod guess;
mod render;
mod sample;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::shared;
use crate::job::display_name;

/// How much text is looked at. Files are often sorted, so a few rows say little; the whole of a common file fits.
const SAMPLE_BYTES: u64 = 64 << 20;

/// Options of `forebay init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The CSV file to look at (also gzip or zstd).
    file: PathBuf,
    /// Name of the pipeline; default: made from the file's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn init(args: &InitArgs, console: &Console) -> Result<Exit, Failure> {
    let name = args.file.file_name().unwrap_or(OsStr::new("feed"));
    let shown = display_name(name);
    let (real, _) = shared::regular_file(&args.file).map_err(Failure::file)?;
    let (bytes, cut) = shared::text_start(&real, SAMPLE_BYTES)
        .map_err(|error| Failure::file(format!("cannot read {}: {error}", display_name(args.file.as_os_str()))))?;
    let Some(decoded) = sample::decode(&bytes, cut) else {
        return Err(Failure::file(format!("{shown} holds NUL bytes and no UTF-16 BOM: that is no CSV text")).hint(
            "save a spreadsheet as CSV; name the encoding by hand in [pipelines.X.csv] if it is UTF-16 without a BOM",
        ));
    };
    let found = survey(&decoded, cut);
    if found.columns.is_empty() {
        return Err(Failure::file(format!("{shown} holds no record to look at"))
            .hint("give it at least a header, better some rows"));
    }
    for warning in &found.warnings {
        console.warn(&format!("{shown}: {warning}"));
    }
    let origin = render::Origin {
        pipeline: args.name.clone().unwrap_or_else(|| render::pipeline_name(&name.to_string_lossy())),
        file: shown,
        extension: Path::new(name).extension().map(|text| text.to_string_lossy().into_owned()),
    };
    console.result_bytes(render::config(&origin, &found).as_bytes());
    Ok(Exit::Done)
}

/// What a sample says about its file.
#[derive(Debug)]
struct Survey {
    delimiter: u8,
    encoding: String,
    header: bool,
    /// Whether there is more of the file than was looked at.
    cut: bool,
    rows: u64,
    columns: Vec<(String, guess::Column)>,
    warnings: Vec<String>,
}

/// Looks at every record of the sample.
fn survey(decoded: &sample::Decoded<'_>, cut: bool) -> Survey {
    let delimiter = sample::delimiter(&decoded.text);
    let mut records = sample::Records::new(&decoded.text, delimiter).peekable();
    let first = records.peek().cloned().unwrap_or_default();
    let header = sample::is_header(&first);
    let mut warnings = Vec::new();
    if decoded.guessed {
        warnings.push(
            "not valid UTF-8 and without a BOM: windows-1252 is a guess, set csv.encoding if names look wrong".into(),
        );
    }
    let names: Vec<String> = if header {
        records.next();
        first.iter().map(ToString::to_string).collect()
    } else {
        warnings.push("the first record holds values, so there seems to be no header".into());
        (1..=first.len()).map(|number| format!("column_{number}")).collect()
    };
    let mut columns: Vec<(String, guess::Column)> =
        names.into_iter().map(|name| (name, guess::Column::default())).collect();
    let (mut rows, mut ragged) = (0, 0);
    while let Some(record) = records.next() {
        // The end of the sample may have cut the last record.
        if cut && records.peek().is_none() {
            break;
        }
        rows += 1;
        if record.len() == columns.len() {
            for ((_, column), value) in columns.iter_mut().zip(&record) {
                column.see(value);
            }
        } else {
            ragged += 1;
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut unnamed, mut twice) = (0, Vec::new());
    columns.retain(|(name, _)| {
        let blank = name.trim().is_empty();
        unnamed += u64::from(blank);
        let new = seen.insert(name.clone());
        if !blank && !new {
            twice.push(name.clone());
        }
        !blank && new
    });
    if unnamed > 0 {
        let are = if unnamed == 1 { "column has no name and is" } else { "columns have no name and are" };
        warnings.push(format!("{unnamed} {are} left out"));
    }
    for name in twice {
        warnings.push(format!("column '{name}' is there twice: forebay refuses such files (duplicate_header)"));
    }
    if ragged > 0 {
        warnings.push(format!(
            "{ragged} of {rows} records do not have as many fields as the first line and would be rejected"
        ));
    }
    Survey { delimiter, encoding: decoded.encoding.clone(), header, cut, rows, columns, warnings }
}
