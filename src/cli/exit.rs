//! The exit codes, which are interface: scripts and service managers read them.

use std::fmt;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: everything asked for was done.
    Done = 0,
    /// 1: the program worked, but some file failed, was quarantined or would be (`once`, `check`), was not found
    /// (`explain`, `rejects`), or the figures of a demo do not add up.
    SomeFailed = 1,
    /// 2: wrong usage, or a configuration that is not sound. Trying again without a change cannot help.
    Usage = 2,
    /// 70: an internal error, or something the program needs is gone (also when `/metrics` is lost).
    Internal = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command gave up: its exit code, what happened, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// The code to end with.
    pub exit: Exit,
    /// What happened, for a person.
    pub message: String,
    /// What to do, if there is something.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of the user's making: wrong usage or config.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string(), hint: None }
    }

    /// Some file is at fault, or not there.
    #[must_use]
    pub fn file(message: impl fmt::Display) -> Self {
        Self { exit: Exit::SomeFailed, message: message.to_string(), hint: None }
    }

    /// Neither the user nor a file is at fault.
    #[must_use]
    pub fn internal(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Internal, message: message.to_string(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
