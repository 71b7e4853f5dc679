//! `forebay ledger rebuild`: a new ledger from what lies on the disk.

use std::path::Path;

use clap::Args;

use crate::cli::console::{Console, count};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{Global, shared};
use crate::clock::SystemClock;
use crate::job::display_name;
use crate::ledger::{Begin, LedgerError, Rebuild};
use crate::publish::{Gathered, gather};
use crate::storage::Disk;

/// Options of `forebay ledger rebuild`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct RebuildArgs {
    /// Does it also if the ledger is sound. It is moved aside, not deleted.
    #[arg(long)]
    force: bool,
}

const AFTER_HELP: &str = "\
Stop the daemon first. The new ledger is made from the manifests of published results, the archive, and the explanations \
in quarantine, of the pipelines in the configuration. No content that was published or archived is published again.
What cannot be had back: failed attempts with their messages and times, results that replays replaced, files that left \
nothing.
Files in progress go back to their inboxes when the daemon starts.";

pub(super) fn rebuild(global: &Global, args: &RebuildArgs, console: &Console) -> Result<Exit, Failure> {
    let config = shared::config(global)?;
    let rebuild = match Rebuild::begin(&config.state, args.force).map_err(|error| failure(&error))? {
        Begin::New(rebuild) => rebuild,
        Begin::Resumed(old) => {
            console.say("an earlier rebuild was whole but for its name: it is the ledger now");
            tell_old(old.as_deref(), console);
            return Ok(Exit::Done);
        }
    };
    let mut take = |row: &_, story: &[_]| rebuild.insert(row, story);
    let gathered = gather(&Disk::default(), &SystemClock, &config.pipelines, &mut take)
        .map_err(|error| Failure::internal(shared::chain(&error)))?;
    let old = rebuild.finish().map_err(|error| failure(&error))?;
    let Gathered { published, archived, quarantined, left } = gathered;
    console.say(&format!(
        "the ledger is made anew: {} published, {} archived without a result, {} in quarantine",
        count(published),
        count(archived),
        count(quarantined)
    ));
    tell_old(old.as_deref(), console);
    for (path, why) in &left {
        console.warn(&format!("left out: {}: {why}", display_name(path.as_os_str())));
    }
    Ok(if left.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn tell_old(old: Option<&Path>, console: &Console) {
    if let Some(old) = old {
        console.say(&format!("the old one lies in {}", old.display()));
    }
}

fn failure(error: &LedgerError) -> Failure {
    if matches!(error, LedgerError::Sound { .. }) {
        return Failure::usage(error).hint("--force makes it anew all the same");
    }
    Failure::internal(error)
}
