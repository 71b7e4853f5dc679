//! Why the daemon did not start, or ended.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigErrors;
use crate::http::WebConfigError;
use crate::ledger::LedgerError;
use crate::publish::PublishError;
use crate::storage::StorageError;

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The folders of the configuration do not fit together.
    #[error("{0}")]
    Folders(ConfigErrors),
    /// The endpoint's address cannot be had.
    #[error("cannot listen on {address}: {cause}; free it, or set server.listen to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The web config is not sound.
    #[error("{0}")]
    Web(#[from] WebConfigError),
    /// The process cannot have threads or signals.
    #[error("the daemon cannot start: {0}")]
    Runtime(std::io::Error),
    /// The process may not have enough open files.
    #[error(
        "at most {limit} files may be open, and this takes {needed}: raise the limit (`ulimit -Hn`, LimitNOFILE= in a unit)"
    )]
    Files {
        /// How many it may have.
        limit: u64,
        /// How many it may need.
        needed: u64,
    },
    /// A folder cannot be made.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no ledger, and there are results of one.
    #[error(
        "there is no ledger in {}, but {} was published under one: mount the volume of the state folder or restore it, or make it anew with `forebay ledger rebuild` (an empty one would publish every file again)",
        .state.display(), .result.display()
    )]
    LedgerLost {
        /// The state folder.
        state: PathBuf,
        /// A result.
        result: PathBuf,
    },
    /// Another daemon works in a folder of ours.
    #[error("{0}")]
    Shared(String),
    /// What an earlier run began cannot be finished.
    #[error("recovery: {0}")]
    Recovery(PublishError),
    /// No worker can be started.
    #[error("no worker can be started: {0}")]
    Workers(String),
    /// A part of the daemon ended that it cannot live without.
    #[error("{name} ended: {message}")]
    Task {
        /// Which part.
        name: &'static str,
        /// Why.
        message: String,
    },
}

impl DaemonError {
    /// Returns the exit code of the process: 2 for a configuration that cannot work, 70 for everything else.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Folders(_) | Self::Web(_) => 2,
            Self::Runtime(_)
            | Self::Files { .. }
            | Self::Listen { .. }
            | Self::Storage(_)
            | Self::Ledger(_)
            | Self::LedgerLost { .. }
            | Self::Shared(_)
            | Self::Recovery(_)
            | Self::Workers(_)
            | Self::Task { .. } => 70,
        }
    }
}
