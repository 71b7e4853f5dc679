//! How a pipeline does, in one word and the reasons for it. The alerts compare the same numbers with the same objectives.

use super::text::span;
use crate::telemetry::{DaemonNow, PipelineNow, Readiness};

/// The one word; later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// Nothing to do.
    Ok,
    /// Files wait for something that is not theirs.
    Paused,
    /// An objective is missed.
    Late,
    /// The last file that ended was refused or given up, and none was published since.
    Failing,
}

impl Health {
    /// Returns the word, which is its class too.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Paused => "paused",
            Self::Late => "late",
            Self::Failing => "failing",
        }
    }

    /// Returns a sign for those who see no colour.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Paused => "‖",
            Self::Late => "!",
            Self::Failing => "✕",
        }
    }
}

/// How a pipeline does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The worst of what follows.
    pub(super) health: Health,
    /// Why, worst first.
    pub(super) reasons: Vec<String>,
}

/// Judges a pipeline.
pub(super) fn judge(pipeline: &PipelineNow, daemon: &DaemonNow) -> Verdict {
    let mut found: Vec<(Health, String)> = Vec::new();
    let now = daemon.at;
    if let Some(failed) = pipeline.last_failure.filter(|failed| pipeline.last_success.is_none_or(|good| good < *failed))
    {
        let ago = span(now.since(failed));
        found
            .push((Health::Failing, format!("a file was refused or given up {ago} ago, and none was published since")));
    }
    if let Some(objective) = pipeline.freshness {
        let (age, words) = match pipeline.last_success {
            Some(at) => (now.since(at), "nothing was published for"),
            None => (daemon.up, "nothing was ever published, and it has run for"),
        };
        if age > objective {
            found.push((Health::Late, format!("{words} {}; the objective is {}", span(age), span(objective))));
        }
    }
    if let (Some(objective), Some(oldest)) = (pipeline.latency, pipeline.oldest_pending) {
        let waits = now.since(oldest);
        if waits > objective {
            let words = format!("a file has waited for {}; the objective is {}", span(waits), span(objective));
            found.push((Health::Late, words));
        }
    }
    if daemon.readiness == Readiness::Draining {
        found.push((Health::Paused, "the daemon is draining: nothing new is begun".to_owned()));
    } else if pipeline.pending > 0 && !daemon.waits_for.is_empty() {
        let resources: Vec<&str> = daemon.waits_for.iter().copied().collect();
        found.push((Health::Paused, format!("files wait for {}", resources.join(" and "))));
    }
    found.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    let health = found.first().map_or(Health::Ok, |(health, _)| *health);
    Verdict { health, reasons: found.into_iter().map(|(_, reason)| reason).collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::Timestamp;

    const fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000_000)
    }

    /// At second 10,000 of the wall clock, 1,000 s after the start.
    fn judged(change: impl FnOnce(&mut PipelineNow, &mut DaemonNow)) -> (Health, String) {
        let mut daemon = DaemonNow { at: at(10_000), up: Duration::from_secs(1000), ..DaemonNow::default() };
        daemon.readiness = Readiness::Ready;
        let mut pipeline = PipelineNow::default();
        change(&mut pipeline, &mut daemon);
        let verdict = judge(&pipeline, &daemon);
        (verdict.health, verdict.reasons.join(" | "))
    }

    #[test]
    fn what_is_well_needs_no_reason() {
        assert_eq!(judged(|_, _| {}), (Health::Ok, String::new()));
        let (health, reasons) = judged(|pipeline, daemon| {
            (pipeline.last_success, pipeline.last_failure) = (Some(at(9_990)), Some(at(9_980)));
            (pipeline.freshness, pipeline.latency) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(10)));
            pipeline.oldest_pending = Some(at(9_990));
            daemon.waits_for.insert("disk");
        });
        assert_eq!((health, reasons.as_str()), (Health::Ok, ""), "nothing is pending, and a limit is not yet passed");
    }

    #[test]
    fn an_objective_that_is_missed_is_late() {
        let stale = judged(|pipeline, _| {
            (pipeline.freshness, pipeline.last_success) = (Some(Duration::from_secs(10)), Some(at(9_900)));
        });
        assert_eq!(stale, (Health::Late, "nothing was published for 1 min; the objective is 10 s".to_owned()));
        let never = judged(|pipeline, _| pipeline.freshness = Some(Duration::from_secs(10)));
        assert!(never.0 == Health::Late && never.1.contains("ever published, and it has run for 16 min"), "{never:?}");
        let slow = judged(|pipeline, _| {
            (pipeline.latency, pipeline.oldest_pending) = (Some(Duration::from_secs(5)), Some(at(9_994)));
        });
        assert_eq!(slow, (Health::Late, "a file has waited for 6 s; the objective is 5 s".to_owned()));
    }

    #[test]
    fn the_worst_is_the_word_and_every_reason_is_told() {
        let (health, reasons) = judged(|pipeline, daemon| {
            (pipeline.freshness, pipeline.last_failure) = (Some(Duration::from_secs(10)), Some(at(9_990)));
            pipeline.pending = 1;
            daemon.waits_for.extend(["disk", "memory"]);
        });
        assert_eq!(health, Health::Failing);
        let parts: Vec<&str> = reasons.split(" | ").collect();
        assert!(parts[0].starts_with("a file was refused or given up 10 s ago"), "{reasons}");
        assert_eq!((parts.len(), parts[2]), (3, "files wait for disk and memory"));
        let draining = judged(|_, daemon| daemon.readiness = Readiness::Draining);
        assert_eq!(draining.0, Health::Paused);
    }
}
