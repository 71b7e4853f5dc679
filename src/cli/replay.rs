//! `forebay replay`: a file that is done is processed anew, and its new result takes the place of the old one.

use std::ffi::OsString;

use clap::Args;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::config::{OnSuccess, Pipeline};
use crate::ledger::{FileRow, LedgerReader};
use crate::publish::{Followed, Replay, follow, original_to_replay, replay as ask};
use crate::storage::Disk;

/// Options of `forebay replay`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReplayArgs {
    /// Its id, the beginning of its id, or its name (then the newest arrival of that name).
    #[arg(value_name = "ID|NAME")]
    file: OsString,
    /// Its old result is gone for good and cannot come back: nothing has to be withdrawn.
    #[arg(long)]
    result_gone: bool,
}

const AFTER_HELP: &str = "\
The archived original goes back to its inbox and is processed under the configuration in force, as a new arrival with a \
new id. When its result is published, the old one is withdrawn: readers see the old rows, for a moment none, then the new \
ones, and never both. If it is refused this time, it goes to quarantine and the old result stays.
The old result must be where it was published, or in the output of the configuration; where it is in neither the replay is \
refused, since it might come back and stand beside the new one. With --result-gone you say that it cannot.
Files whose originals were deleted or kept (on_success = \"delete\" or \"keep\") cannot be replayed: there is nothing of \
them in the archive. The on_success in force decides about a replay too: under either of these it is the last one of its file.";

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
    let asked = ask(&Disk::default(), pipeline, &row, original, args.result_gone);
    match asked.map_err(|error| shared::not_moved(&error))? {
        Replay::InInbox(path) => {
            let path = path.display();
            console.say(&format!("{name} is back in its inbox as {path}; its new result will replace {}", row.id));
            if let Some(last) = last_one(pipeline.on_success) {
                console.say(last);
            }
            shared::mind_what_it_waits_for(console, pipeline, &row);
            Ok(Exit::Done)
        }
        Replay::UnderWay => under_way(&ledger, pipeline, &row, console),
        Replay::Lost { message, advice } => Err(Failure::file(format!("{name} is left alone: {message}")).hint(advice)),
        Replay::Missing => Err(Failure::file(format!("{name} is not in the archive: {} is gone", original.display()))
            .hint(format!("`forebay explain {}` tells what became of it", row.id))),
    }
}

/// Returns why a file replayed now cannot be replayed again.
const fn last_one(on_success: OnSuccess) -> Option<&'static str> {
    match on_success {
        OnSuccess::Archive => None,
        OnSuccess::Delete => Some(
            "on_success is \"delete\" now: once the new result is published its original is deleted, and it cannot be \
             replayed again",
        ),
        OnSuccess::Keep => Some(
            "on_success is \"keep\" now: once the new result is published its original stays in the inbox, nothing of it is \
             in the archive, and it cannot be replayed again",
        ),
    }
}

/// Tells where a replay is that was asked for before; it is a failure if nothing will happen by itself.
fn under_way(ledger: &LedgerReader, pipeline: &Pipeline, row: &FileRow, console: &Console) -> Result<Exit, Failure> {
    let name = row.display_name();
    let followed = follow(&Disk::default(), pipeline, row, &|name| ledger.find(name));
    match followed.map_err(|error| Failure::file(shared::chain(&error)))? {
        Followed::InInbox => {
            console.say(&format!("the replay of {name} was asked for before and is under way: it waits in its inbox"));
            shared::mind_what_it_waits_for(console, pipeline, row);
            Ok(Exit::Done)
        }
        Followed::InProgress(replay) => {
            let (id, state) = (&replay.id, replay.state);
            console.say(&format!("the replay of {name} was asked for before and is under way: it is {state} as {id}"));
            Ok(Exit::Done)
        }
        Followed::Refused(replay) => {
            let (id, outcome) = (&replay.id, replay.standing());
            let message =
                format!("the replay of {name} is {outcome} as {id}, and the old result stays: {}", replay.message);
            Err(Failure::file(message).hint(format!("mend what it names; then `forebay retry {id}` goes on with it")))
        }
        Followed::Over(replay) => {
            let id = replay.as_ref().map_or(&row.id, |replay| &replay.id);
            let message = format!("the replay of {name} came to nothing, and its original is no longer in the archive");
            Err(Failure::file(message).hint(format!("`forebay explain {id}` tells what became of it")))
        }
    }
}
