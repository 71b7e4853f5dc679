//! Running a command to its end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, to be run with arguments.
#[derive(Debug)]
pub(crate) struct Cli {
    command: Command,
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// What it printed as its result.
    pub(crate) stdout: String,
    /// What it printed for people.
    pub(crate) stderr: String,
    /// The result as bytes.
    pub(crate) stdout_bytes: Vec<u8>,
}

impl Cli {
    /// Returns the program in a working folder.
    pub(crate) fn at(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("NO_COLOR");
        Self { command }
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ran {
        Ran::from(self.command.output().expect("the program starts"))
    }

    /// Gives the command to those who want to do something special with it.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout_bytes: output.stdout,
        }
    }
}

impl Ran {
    /// Stops the test unless the command ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Returns the result as a JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}
