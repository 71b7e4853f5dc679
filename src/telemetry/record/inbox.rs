//! What is known of inboxes, and what waits in them.

use super::{one, restore};
use crate::job::Timestamp;
use crate::telemetry::Inner;
use crate::telemetry::event::Event;

impl Inner {
    /// Moves the metrics of an event of an inbox.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are about something else, or move nothing")]
    pub(super) fn record_inbox(&self, event: &Event<'_>) {
        let daemon = &self.daemon;
        match *event {
            Event::Backlog {
                pipeline,
                pending,
                queued,
                pending_bytes,
                oldest_pending,
                in_flight,
                oldest_in_flight,
            } => {
                self.with(pipeline, |of| {
                    of.pending.set_count(pending);
                    of.queued.set_count(queued);
                    of.pending_bytes.set_count(pending_bytes);
                    of.oldest_pending.set(seconds_or_zero(oldest_pending));
                    of.in_flight.set_count(in_flight);
                    of.oldest_in_flight.set(seconds_or_zero(oldest_in_flight));
                    of.now(|now| {
                        (now.pending, now.pending_bytes, now.oldest_pending) = (pending, pending_bytes, oldest_pending);
                        (now.in_flight, now.oldest_in_flight) = (in_flight, oldest_in_flight);
                    });
                });
            }
            Event::Quarantine { pipeline, files } => self.with(pipeline, |of| {
                of.quarantined.set_count(files);
                of.now(|now| now.quarantined = files);
            }),
            Event::Restored { pipeline, last_success, last_completion, last_failure, last_arrival } => {
                self.with(pipeline, |of| {
                    of.now(|now| {
                        restore(&of.last_success, &mut now.last_success, last_success);
                        restore(&of.last_completion, &mut now.last_completion, last_completion);
                        restore(&of.last_failure, &mut now.last_failure, last_failure);
                        restore(&of.last_arrival, &mut now.last_arrival, last_arrival);
                    });
                });
            }
            Event::Scanned { pipeline, at, missed } => {
                daemon.watch_missed.increment(missed);
                self.with(pipeline, |of| of.watch_last_scan.set(at.as_seconds()));
            }
            Event::ScanFailed { .. } => self.error("discover", "scan"),
            Event::Watch { pipeline, up, .. } => {
                self.with(pipeline, |of| {
                    of.watch_up.set(f64::from(u8::from(up)));
                    of.now(|now| now.watching = up);
                });
                if !up {
                    self.error("discover", "watch");
                }
            }
            Event::WatchEvent { kind } => one(&daemon.watch_events, kind),
            Event::WatchOverflow => daemon.watch_overflows.increment(1),
            _ => {}
        }
    }
}

fn seconds_or_zero(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, Timestamp::as_seconds)
}
