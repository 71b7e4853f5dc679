//! `forebay retry`: a quarantined file goes back to its inbox, and arrives anew.

use std::ffi::OsString;

use clap::Args;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::publish::release;
use crate::storage::Disk;

/// Options of `forebay retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Its id, the beginning of its id, or its name (then the newest arrival of that name).
    #[arg(value_name = "ID|NAME")]
    file: OsString,
}

/// Safe while the daemon runs: only the file moves, and the daemon sees that it left.
pub(super) fn retry(global: &Global, args: &RetryArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let ledger = shared::ledger(&config)?;
    let row = shared::find(&ledger, &args.file, console)?;
    let name = row.display_name();
    let pipeline = shared::pipeline_of(&config, &row)?;
    let moved = release(&Disk::default(), pipeline, &row).map_err(|error| shared::not_moved(&error))?;
    let Some(path) = moved else {
        let hint = format!("`forebay explain {}` tells what became of it", row.id);
        return Err(Failure::file(format!("{name} does not lie in quarantine")).hint(hint));
    };
    console.say(&format!("{name} is back in its inbox as {}; the daemon takes it in as a new arrival", path.display()));
    shared::mind_what_it_waits_for(console, pipeline, &row);
    Ok(Exit::Done)
}
