//! What pages for people are told.

use super::*;
use crate::clock::ManualClock;

#[test]
fn the_daemons_own_state_is_what_the_events_told() {
    let clock = Arc::new(ManualClock::default());
    let telemetry = Telemetry::with_clock(&[pipeline("taxi")], Arc::clone(&clock) as _);
    assert_eq!((telemetry.daemon_now().readiness, telemetry.daemon_now().config), (Readiness::Starting, None));
    a_busy_day(&telemetry);
    clock.advance(Duration::from_secs(90));
    let now = telemetry.daemon_now();
    assert_eq!(
        (now.up, now.readiness, now.draining.as_str()),
        (Duration::from_secs(90), Readiness::Draining, "SIGTERM")
    );
    assert_eq!((now.workers, now.workers_busy, now.worker_crashes, now.workers_resident), (2, 1, 1, 1 << 20));
    assert_eq!((now.memory_budget, now.memory_reserved), (Some(1 << 30), 5));
    assert_eq!((now.waits_for.iter().copied().collect::<Vec<_>>(), now.volumes["state"]), (vec!["disk"], (10, 20)));
    assert_eq!(now.config, Some(ConfigNow { at: AT, ok: true, message: String::new() }));
    assert!(now.resident > 1 << 20, "{}", now.resident);
    telemetry.emit(Event::Backpressure { reason: "disk", active: false });
    telemetry.emit(Event::ConfigLoaded { at: AT, ok: false, message: "line 3" });
    let now = telemetry.daemon_now();
    assert!(now.waits_for.is_empty() && now.config.is_some_and(|config| !config.ok && config.message == "line 3"));
}

#[test]
fn a_pipelines_state_has_its_rejects_and_follows_its_objectives() {
    let telemetry = fresh();
    a_busy_day(&telemetry);
    let taxi = telemetry.now().remove(0);
    assert_eq!(taxi.rejects, BTreeMap::from([(RejectReason::BadType, 3)]));
    assert_eq!(taxi.violations, BTreeMap::from([("positive_fare".to_owned(), 5)]));
    assert_eq!((taxi.rows_seen, taxi.rows.read, taxi.oldest_in_flight), (6, 10, Some(AT)));
    assert_eq!((taxi.freshness, taxi.latency), (Some(Duration::from_hours(2)), None));
    telemetry.set_pipelines(&[PipelineInfo {
        latency: Some(Duration::from_secs(5)),
        freshness: None,
        ..pipeline("taxi")
    }]);
    let taxi = telemetry.now().remove(0);
    assert_eq!((taxi.freshness, taxi.latency, taxi.rows_seen), (None, Some(Duration::from_secs(5)), 6));
}
