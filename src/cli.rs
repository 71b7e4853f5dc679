//! The command line: one file per command, and the only room that prints.
//!
//! A command returns how the program ends ([`Exit`]) or why it gave up ([`Failure`]); [`main`] is the one place that turns
//! either into an exit code and a message.

mod check;
mod console;
mod demo;
mod exit;
mod explain;
mod files;
mod init;
mod ledger;
mod once;
mod print;
mod rejects;
mod replay;
mod retry;
mod run;
mod shared;
mod verdict;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::telemetry::logging::LogFormat;
use console::{Console, Tone};
pub use exit::{Exit, Failure};

/// What `forebay --version` and `/version` call this build.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("FOREBAY_REVISION"), ")");

/// Takes CSV drops in: each file once, every row accounted for, and Prometheus told.
#[derive(Debug, Parser)]
#[command(name = "forebay", version = VERSION, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
   0 done
   1 some file failed, was quarantined or was not found, or `ledger verify` found something
   2 usage or config error
  70 internal error, or something it needs is not to be had (its port, its state folder)

Try it without any set-up: forebay demo";

const OF_ALL: &str = "Options of all commands";

/// Options every command takes.
#[derive(Debug, Args)]
struct Global {
    /// The configuration file.
    #[arg(short, long, global = true, help_heading = OF_ALL, value_name = "FILE", default_value = "forebay.toml")]
    config: PathBuf,
    /// Logs more: -v debug, -vv trace.
    #[arg(short, long, global = true, help_heading = OF_ALL, action = ArgAction::Count)]
    verbose: u8,
    /// Logs less: -q warnings, -qq errors; and leaves out what is only nice to know.
    #[arg(short, long, global = true, help_heading = OF_ALL, action = ArgAction::Count, conflicts_with = "verbose")]
    quiet: u8,
    /// How log lines look; auto: pretty on a terminal, else json.
    #[arg(long, global = true, help_heading = OF_ALL, value_enum, default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
}

impl Global {
    /// Returns the verbosity as one number: 0 is info, more is more.
    fn verbosity(&self) -> i8 {
        i8::try_from(self.verbose).unwrap_or(i8::MAX) - i8::try_from(self.quiet).unwrap_or(i8::MAX)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows it all without any set-up: a daemon, a feed that drops files of every kind, and what becomes of them.
    Demo(demo::DemoArgs),
    /// Runs the daemon.
    Run,
    /// Takes the given files through a pipeline in the foreground, without a daemon.
    Once(once::OnceArgs),
    /// Validates the config and, with files, says what would become of them. Writes nothing.
    Check(check::CheckArgs),
    /// Prints a ready config for a CSV file: delimiter, encoding, columns and types.
    Init(init::InitArgs),
    /// Lists the files of the ledger.
    Files(files::FilesArgs),
    /// Tells a file's whole story.
    Explain(explain::ExplainArgs),
    /// Shows a file's rejected rows, or exports them ready to fix and drop again.
    Rejects(rejects::RejectsArgs),
    /// Puts a quarantined file back into its inbox, once the config or the world is mended.
    Retry(retry::RetryArgs),
    /// Processes a file anew that is done; its new result takes the place of the old one.
    Replay(replay::ReplayArgs),
    /// Compares the ledger with the disk, or makes it anew from what lies there.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// A child of the daemon that runs jobs. The daemon starts it; nobody else does.
    #[command(hide = true)]
    Worker,
    /// Prints references and assets built into this program, so they always match its version.
    Print(print::PrintArgs),
}

/// Parses the command line, runs the command, and turns its end into an exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no error. A closed pipe leaves nobody to tell.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let console = Console::new(cli.global.quiet > 0);
    let exit = dispatch(&cli, &console).unwrap_or_else(|failure| {
        console.warn(&format!("{} {}", console.err(Tone::Alarm, "error:"), failure.message));
        if let Some(hint) = &failure.hint {
            console.warn(&format!("{} {hint}", console.err(Tone::Strong, "hint:")));
        }
        failure.exit
    });
    if console.finish() { exit.into() } else { Exit::Internal.into() }
}

fn dispatch(cli: &Cli, console: &Console) -> Result<Exit, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(args) => demo::demo(global, args, console),
        Command::Run => run::run(global, console),
        Command::Once(args) => once::once(global, args, console),
        Command::Check(args) => check::check(global, args, console),
        Command::Init(args) => init::init(args, console),
        Command::Files(args) => files::files(global, args, console),
        Command::Explain(args) => explain::explain(global, args, console),
        Command::Rejects(args) => rejects::rejects(global, args, console),
        Command::Retry(args) => retry::retry(global, args, console),
        Command::Replay(args) => replay::replay(global, args, console),
        Command::Ledger(command) => ledger::ledger(global, command, console),
        Command::Worker => worker::worker(global, console),
        Command::Print(args) => print::print(global, args, console),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_all_commands_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from(["forebay", "run", "-c", "x.toml", "-vv"]).unwrap();
        assert_eq!((cli.global.config, cli.global.verbose), (PathBuf::from("x.toml"), 2));
    }

    #[test]
    fn quiet_and_verbose_exclude_each_other() {
        assert!(Cli::try_parse_from(["forebay", "-q", "-v", "run"]).is_err());
    }
}
