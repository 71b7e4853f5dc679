//! `forebay run`: the daemon.

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared, worker};
use crate::daemon::{self, DaemonError, DaemonOptions};
use crate::lifecycle::Lifecycle;
use crate::worker::{LoadError, load};

pub(super) fn run(global: &Global, console: &Console) -> Result<Exit, Failure> {
    let worker = worker::command(global, global.verbosity());
    let config = load(&worker, &global.config).map_err(|error| match error {
        LoadError::Config(errors) => shared::not_sound(&errors),
        LoadError::Unchecked(_) => Failure::internal(error),
    })?;
    shared::logging(global, console, global.verbosity())?;
    let runtime = shared::runtime()?;
    let options =
        DaemonOptions { config_path: Some(global.config.clone()), worker: Some(worker), ..DaemonOptions::default() };
    let ended = runtime.block_on(async {
        let life = Lifecycle::new();
        life.listen_to_signals().map_err(|error| Failure::internal(format!("cannot listen for signals: {error}")))?;
        // On a task: a panic must end the process, and not wait on its way for jobs that nobody stops any more.
        Ok(tokio::spawn(daemon::run(config, options, life)).await)
    })?;
    // A job that does not hear the stop must not keep the process: it is taken up again at the next start.
    runtime.shutdown_background();
    let ended = ended.map_err(|error| Failure::internal(format!("the daemon ended badly: {error}")))?;
    ended.map(|()| Exit::Done).map_err(|error| failure(&error))
}

/// Turns why the daemon ended into how the program ends.
pub(super) fn failure(error: &DaemonError) -> Failure {
    let message = shared::chain(error);
    if error.exit_code() == Exit::Usage as u8 { Failure::usage(message) } else { Failure::internal(message) }
}
