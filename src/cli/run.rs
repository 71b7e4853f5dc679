//! `forebay run`: the daemon.

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared, worker};
use crate::daemon::{self, DaemonError, DaemonOptions};
use crate::lifecycle::Lifecycle;
use crate::worker::{LoadError, load};

pub(super) fn run(global: &Global, console: &Console) -> Result<Exit, Failure> {
    daemon::enough_files().map_err(|error| failure(&error))?;
    let worker = worker::command(global, global.verbosity());
    let config = load(&worker, &global.config).map_err(|error| match error {
        LoadError::Config(errors) => shared::not_sound(&errors),
        LoadError::Unchecked(_) => Failure::internal(error),
    })?;
    shared::logging(global, console, global.verbosity())?;
    let options =
        DaemonOptions { config_path: Some(global.config.clone()), worker: Some(worker), ..DaemonOptions::default() };
    let ended = daemon::start(config, options, &Lifecycle::new());
    ended.map(|()| Exit::Done).map_err(|error| failure(&error))
}

/// Turns why the daemon ended into how the program ends.
pub(super) fn failure(error: &DaemonError) -> Failure {
    let message = shared::chain(error);
    if error.exit_code() == Exit::Usage as u8 { Failure::usage(message) } else { Failure::internal(message) }
}
