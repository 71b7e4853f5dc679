//! `forebay ledger`: the ledger itself, for when something happened to it or to the disk.

mod rebuild;
mod verify;

use clap::Subcommand;

use super::Global;
use super::console::Console;
use super::exit::{Exit, Failure};

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Compares the ledger with outputs, archive and quarantine. Changes nothing; the daemon may run meanwhile.
    Verify(verify::VerifyArgs),
    /// Makes a new ledger from manifests, archive and quarantine, when the old one is lost or broken.
    Rebuild(rebuild::RebuildArgs),
}

pub(super) fn ledger(global: &Global, command: &LedgerCommand, console: &Console) -> Result<Exit, Failure> {
    match command {
        LedgerCommand::Verify(args) => verify::verify(global, args, console),
        LedgerCommand::Rebuild(args) => rebuild::rebuild(global, args, console),
    }
}
