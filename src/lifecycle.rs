//! Ends the process well. One object that everybody who runs or stops holds a copy of.
//!
//! The first SIGTERM or SIGINT asks for a drain: nothing new is begun, files in progress are finished. A second one, or the
//! limit of the drain, stops at once: files in progress are put back in line, their attempt does not count. SIGHUP never
//! ends the daemon.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How the process is asked to end. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    drain: CancellationToken,
    stop: CancellationToken,
    reload: Notify,
    cause: OnceLock<String>,
}

impl Lifecycle {
    /// Returns a life that nobody has asked to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a drain. Only the first cause is kept.
    pub fn drain(&self, cause: &str) {
        self.shared.cause.get_or_init(|| cause.to_owned());
        self.shared.drain.cancel();
    }

    /// Asks to stop at once.
    pub fn stop(&self, cause: &str) {
        self.drain(cause);
        self.shared.stop.cancel();
    }

    /// Asks to look at the configuration again.
    pub fn reload(&self) {
        self.shared.reload.notify_one();
    }

    /// Cancelled when a drain was asked for.
    #[must_use]
    pub fn draining(&self) -> &CancellationToken {
        &self.shared.drain
    }

    /// Cancelled when everything is to stop at once.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// Waits until somebody asks for a reload.
    pub async fn reload_asked(&self) {
        self.shared.reload.notified().await;
    }

    /// Returns why the drain was asked for; empty if it was not.
    #[must_use]
    pub fn cause(&self) -> &str {
        self.shared.cause.get().map_or("", String::as_str)
    }

    /// Takes over SIGTERM, SIGINT and SIGHUP for the rest of the process. Must be called inside a runtime.
    pub fn listen_to_signals(&self) -> std::io::Result<()> {
        let signals = Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        };
        drop(tokio::spawn(signals.serve(self.clone())));
        Ok(())
    }

    fn end(&self, cause: &str) {
        if self.draining().is_cancelled() {
            self.stop(cause);
        } else {
            self.drain(cause);
        }
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    async fn serve(mut self, life: Lifecycle) {
        loop {
            tokio::select! {
                _ = self.term.recv() => life.end("SIGTERM"),
                _ = self.int.recv() => life.end("SIGINT"),
                _ = self.hup.recv() => life.reload(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ask_drains_and_the_second_stops() {
        let life = Lifecycle::new();
        let other = life.clone();
        assert!(!life.draining().is_cancelled());
        other.end("SIGTERM");
        assert!(life.draining().is_cancelled() && !life.stopping().is_cancelled());
        other.end("SIGINT");
        assert!(life.stopping().is_cancelled());
        assert_eq!(life.cause(), "SIGTERM", "the first cause is the one");
    }

    #[test]
    fn a_stop_without_a_drain_is_both() {
        let life = Lifecycle::new();
        life.stop("test");
        assert!(life.draining().is_cancelled() && life.stopping().is_cancelled());
    }

    #[tokio::test]
    async fn a_reload_asked_for_before_anybody_waits_is_not_lost() {
        let life = Lifecycle::new();
        life.reload();
        life.reload_asked().await;
        assert!(!life.draining().is_cancelled(), "a reload ends nothing");
    }
}
