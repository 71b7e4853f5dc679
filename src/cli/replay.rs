//! `forebay replay`: a file that is done is processed anew, and its new result takes the place of the old one.

use std::ffi::OsString;

use clap::Args;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::publish::{Replay, original_to_replay, replay as ask};
use crate::storage::Disk;

/// Options of `forebay replay`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReplayArgs {
    /// Its id, the beginning of its id, or its name (then the newest arrival of that name).
    #[arg(value_name = "ID|NAME")]
    file: OsString,
}

const AFTER_HELP: &str = "\
The archived original goes back to its inbox and is processed under the configuration in force, as a new arrival with a \
new id. When its result is published, the old one is withdrawn: readers see the old rows, for a moment none, then the new \
ones, and never both. If it is refused this time, it goes to quarantine and the old result stays.
Files whose originals were deleted or kept (on_success) cannot be replayed.";

/// Safe while the daemon runs; without it the file is taken up at the next start.
pub(super) fn replay(global: &Global, args: &ReplayArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let ledger = shared::ledger(&config)?;
    let row = shared::find(&ledger, &args.file, console)?;
    let name = row.display_name();
    let pipeline = shared::pipeline_of(&config, &row)?;
    let original =
        original_to_replay(&row).map_err(|cannot| Failure::file(format!("{name} {cannot}")).hint(cannot.hint(&row)))?;
    if !pipeline.files.is_match(&row.name) {
        let message = format!("pipeline '{}' no longer takes files named like {name}", row.pipeline);
        return Err(Failure::usage(message).hint("its key `files` says which it takes"));
    }
    match ask(&Disk::default(), pipeline, &row, original).map_err(|error| shared::not_moved(&error))? {
        Replay::InInbox(path) => {
            let path = path.display();
            console.say(&format!("{name} is back in its inbox as {path}; its new result will replace {}", row.id));
            shared::mind_what_it_waits_for(console, pipeline, &row);
            Ok(Exit::Done)
        }
        Replay::UnderWay => {
            console.say(&format!("the replay of {name} was asked for before and is under way"));
            Ok(Exit::Done)
        }
        Replay::Missing => Err(Failure::file(format!("{name} is not in the archive: {} is gone", original.display()))
            .hint(format!("`forebay explain {}` tells what became of it", row.id))),
    }
}
