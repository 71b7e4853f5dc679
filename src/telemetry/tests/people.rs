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
    assert_eq!(now.config, Some(ConfigNow { since: AT, refused: None }));
    assert!(now.resident > 1 << 20, "{}", now.resident);
    telemetry.emit(Event::Backpressure { reason: Resource::Disk, active: false });
    assert!(telemetry.daemon_now().waits_for.is_empty());
}

#[test]
fn a_configuration_is_in_force_until_another_one_is_taken_up() {
    let telemetry = fresh();
    let looked = |seconds: i64, outcome: Loaded| {
        let at = Timestamp(AT.0 + seconds * 1_000_000_000);
        telemetry.emit(Event::ConfigLoaded { at, outcome, message: "line 3" });
        let config = telemetry.daemon_now().config.unwrap();
        ((config.since.0 - AT.0) / 1_000_000_000, config.refused.map(|(at, why)| ((at.0 - AT.0) / 1_000_000_000, why)))
    };
    assert_eq!(looked(1, Loaded::TakenUp), (1, None));
    assert_eq!(looked(2, Loaded::Unchanged), (1, None));
    assert_eq!(looked(3, Loaded::Refused), (1, Some((3, "line 3".to_owned()))));
    assert_eq!(looked(4, Loaded::Unchanged), (1, None), "what was in force all the time is found again");
    assert_eq!(looked(5, Loaded::TakenUp), (5, None));
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
