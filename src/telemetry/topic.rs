//! What an event is about: the table that a new event must be put into, and by which its metrics and its log line are found.

use super::event::Event;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// One file.
    File,
    /// An inbox, its watch, and what waits in it.
    Inbox,
    /// The workers, and what they need.
    Workers,
    /// The daemon itself.
    Daemon,
}

impl Topic {
    pub(super) const fn of(event: &Event<'_>) -> Self {
        match event {
            Event::FileDiscovered { .. }
            | Event::FileIgnored { .. }
            | Event::FileClaimed { .. }
            | Event::FileStarted { .. }
            | Event::FileProgress { .. }
            | Event::FileRetried { .. }
            | Event::FileFinished { .. }
            | Event::FileLeftFlight { .. }
            | Event::SchemaDrift { .. } => Self::File,
            Event::Backlog { .. }
            | Event::Quarantine { .. }
            | Event::Restored { .. }
            | Event::Scanned { .. }
            | Event::ScanFailed { .. }
            | Event::Watch { .. }
            | Event::WatchEvent { .. }
            | Event::WatchOverflow => Self::Inbox,
            Event::Limits { .. }
            | Event::WorkerCrashed { .. }
            | Event::WorkersResident { .. }
            | Event::WorkersProcessor { .. }
            | Event::WorkersBusy { .. }
            | Event::Backpressure { .. } => Self::Workers,
            Event::Starting { .. }
            | Event::Exposed { .. }
            | Event::Ready
            | Event::Draining { .. }
            | Event::Stopped
            | Event::LedgerOperation { .. }
            | Event::LedgerHolds { .. }
            | Event::Filesystem { .. }
            | Event::ConfigLoaded { .. }
            | Event::HttpRequest { .. }
            | Event::Error { .. } => Self::Daemon,
        }
    }
}
