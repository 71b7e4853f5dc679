//! What several commands need: the config, one of its pipelines, the ledger, one file of it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Global;
use super::console::Console;
use super::exit::Failure;
use crate::config::{self, Config, ConfigErrors, Pipeline};
use crate::job::display_name;
use crate::ledger::{FileRow, LedgerError, LedgerReader};
use crate::publish::PublishError;
use crate::telemetry::logging;

/// Loads and validates the configuration.
pub(super) fn config(global: &Global) -> Result<Config, Failure> {
    config::load(&global.config).map_err(|errors| not_sound(&errors))
}

/// Says what is wrong with the configuration.
pub(super) fn not_sound(errors: &ConfigErrors) -> Failure {
    Failure::usage(format!("the configuration is not sound\n{errors}"))
}

/// Returns the pipeline of this name; without a name the only one there is.
pub(super) fn pipeline<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Arc<Pipeline>, Failure> {
    let names = || config.pipelines.iter().map(|pipeline| pipeline.name.as_str());
    let listed = || format!("the config has: {}", names().collect::<Vec<_>>().join(", "));
    let Some(name) = name else {
        return match config.pipelines.as_slice() {
            [only] => Ok(only),
            _ => Err(Failure::usage("which pipeline? the config has several: add -p PIPELINE").hint(listed())),
        };
    };
    config.pipelines.iter().find(|pipeline| pipeline.name == name).ok_or_else(|| {
        let nearest = config::nearest(name, names());
        Failure::usage(match nearest {
            Some(nearest) => format!("there is no pipeline '{name}', did you mean '{nearest}'?"),
            None => format!("there is no pipeline '{name}'"),
        })
        .hint(listed())
    })
}

/// Returns the pipeline that a file of the ledger belongs to.
pub(super) fn pipeline_of<'c>(config: &'c Config, row: &FileRow) -> Result<&'c Arc<Pipeline>, Failure> {
    config.pipelines.iter().find(|pipeline| pipeline.name == row.pipeline).ok_or_else(|| {
        let (name, pipeline) = (row.display_name(), &row.pipeline);
        Failure::usage(format!("{name} belongs to pipeline '{pipeline}', which the config does not have"))
    })
}

/// Says why a file did not get back to its inbox.
pub(super) fn not_moved(error: &PublishError) -> Failure {
    if let PublishError::Storage(taken) = error
        && taken.is_taken()
    {
        let path = taken.path.parent().unwrap_or(&taken.path).join(shown_name(&taken.path));
        return Failure::file(format!("another file lies in its place: {}", path.display()))
            .hint("say it again once that one is taken in, or move it out of the inbox");
    }
    Failure::file(chain(error))
}

/// Reminds of what a file that is back in its inbox needs: the config that was changed for it, and its marker.
pub(super) fn mind_what_it_waits_for(console: &Console, pipeline: &Pipeline, row: &FileRow) {
    console.say("a changed config holds once the daemon has reloaded it (SIGHUP) or was started anew");
    if let Some(marker) = &pipeline.done_marker {
        let marker = marker.replace("{name}", &row.display_name());
        console.say(&format!("it is taken once its marker {marker} is there"));
    }
}

/// Sets logging up for a command that talks to a person: warnings only, unless more is asked for.
pub(super) fn quiet_logging(global: &Global, console: &Console) -> Result<(), Failure> {
    logging(global, console, global.verbosity() - 1)
}

/// Sets logging up at this verbosity.
pub(super) fn logging(global: &Global, console: &Console, verbosity: i8) -> Result<(), Failure> {
    logging::init(global.log_format, verbosity, console.coloured()).map_err(Failure::usage)
}

/// Opens the ledger for reading; the daemon may run meanwhile.
pub(super) fn ledger(config: &Config) -> Result<LedgerReader, Failure> {
    LedgerReader::open(&config.state).map_err(|error| ledger_failure(&error))
}

/// Turns what the ledger says into what the command says.
pub(super) fn ledger_failure(error: &LedgerError) -> Failure {
    if matches!(error, LedgerError::Missing { .. } | LedgerError::NoSuchFile { .. }) {
        Failure::file(error)
    } else {
        Failure::internal(error)
    }
}

/// Others of the same name that are told of.
const OTHERS: usize = 5;

/// Returns the file meant by an id, the beginning of one, or a name. Of several arrivals of one name it is the newest, and
/// the person is told so.
pub(super) fn find(ledger: &LedgerReader, what: &OsStr, console: &Console) -> Result<FileRow, Failure> {
    let found = ledger.find(what).map_err(|error| ledger_failure(&error))?;
    match found.as_slice() {
        [] => Err(Failure::file(format!("the ledger knows no file '{}'", display_name(what)))
            .hint("`forebay files` lists those it knows; a file still in its inbox is not in the ledger yet")),
        [newest, older @ ..] => {
            // Several arrivals of one name have an order; the beginning of several ids names none of them.
            if !older.is_empty() && newest.name != what {
                let message = format!("{} files have an id that begins with '{}'", found.len(), display_name(what));
                return Err(Failure::usage(message).hint(format!("name more of it: {}", ids(&found))));
            }
            if !older.is_empty() {
                let (id, others) = (&newest.id, ids(older));
                console.say(&format!("{id} is the newest of {} arrivals of this name; earlier: {others}", found.len()));
            }
            Ok(newest.clone())
        }
    }
}

/// Returns the first ids of a list of files.
fn ids(files: &[FileRow]) -> String {
    let ids: Vec<&str> = files.iter().take(OTHERS).map(|row| row.id.as_str()).collect();
    let more = if files.len() > OTHERS { " ..." } else { "" };
    format!("{}{more}", ids.join(", "))
}

/// Returns an error and everything below it in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        // Some errors print their cause themselves.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        below = cause.source();
    }
    text
}

/// Returns a file's name fit to be shown.
pub(super) fn shown_name(path: &Path) -> String {
    display_name(path.file_name().map_or_else(|| OsString::from(path), OsString::from).as_os_str())
}

/// Returns where a file that a person named really lies, and what it looks like. A link is followed; the daemon does not.
pub(super) fn regular_file(file: &Path) -> Result<(PathBuf, Metadata), String> {
    let path = display_name(file.as_os_str());
    let failed = |error: std::io::Error| format!("cannot open {path}: {error}");
    let real = file.canonicalize().map_err(failed)?;
    let metadata = real.metadata().map_err(failed)?;
    if metadata.is_file() { Ok((real, metadata)) } else { Err(format!("{path} is no regular file")) }
}

/// Reads at most `limit` bytes from the start of a file, decompressed, and says whether there is more.
pub(super) fn text_start(path: &Path, limit: u64) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let whole = std::io::Cursor::new(magic.clone()).chain(file);
    let mut text: Box<dyn Read> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    };
    let mut bytes = Vec::new();
    text.by_ref().take(limit).read_to_end(&mut bytes)?;
    let cut = text.read(&mut [0])? > 0;
    Ok((bytes, cut))
}
