//! `forebay print`: references and assets of this very version.

use clap::{Args, Subcommand};

use super::Global;
use super::console::Console;
use super::exit::{Exit, Failure};
use crate::telemetry::reference;

/// Options of `forebay print`.
#[derive(Debug, Args)]
pub(super) struct PrintArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every metric with type, labels and meaning, as Markdown.
    Metrics,
}

pub(super) fn print(_global: &Global, args: &PrintArgs, console: &Console) -> Result<Exit, Failure> {
    let text = match args.what {
        What::Metrics => reference::markdown(),
    };
    console.result(text.trim_end());
    Ok(Exit::Done)
}
