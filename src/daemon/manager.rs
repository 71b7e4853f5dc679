//! Tells the service manager where the daemon is in its life, if one listens (`NOTIFY_SOCKET`: systemd, `Type=notify`).

use sd_notify::NotifyState;

/// Recovery and the first scans are done, or a reload is.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it, whatever came of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no time to tell the service manager"),
    }
}

/// Nothing new is begun any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The engine is alive (`WatchdogSec=`).
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    // A manager that cannot be told is no reason to stop: it has its own ways to find out.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
