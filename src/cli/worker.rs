//! `forebay worker`: a child of the daemon that runs jobs. Hidden: nobody starts it by hand.

use clap::ValueEnum as _;

use super::console::Console;
use super::exit::{Exit, Failure};
use super::{Global, shared};
use crate::worker::{self, WorkerCommand};

pub(super) fn worker(global: &Global, console: &Console) -> Result<Exit, Failure> {
    shared::logging(global, console, global.verbosity())?;
    worker::log_panics();
    worker::serve().map(|()| Exit::Done).map_err(|error| Failure::internal(format!("the worker gave up: {error}")))
}

/// Returns how a daemon with these options starts its workers: this very program file, even if another one lies in its place
/// by now.
pub(super) fn command(global: &Global, verbosity: i8) -> WorkerCommand {
    let format = global.log_format.to_possible_value().map(|value| value.get_name().to_owned());
    let mut args = vec!["worker".into(), "--log-format".into(), format.unwrap_or_default().into()];
    let louder = if verbosity < 0 { "-q" } else { "-v" };
    args.extend((0..verbosity.unsigned_abs()).map(|_| louder.into()));
    WorkerCommand { program: "/proc/self/exe".into(), args }
}
