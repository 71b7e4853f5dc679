//! How a pipeline does, in one word and the reasons for it. The alerts compare the same numbers with the same objectives.

use std::time::Duration;

use super::text::{counted, span};
use crate::telemetry::{DaemonNow, PipelineNow, Readiness};

/// Without an objective a file may wait so long.
const LONG_WAIT: Duration = Duration::from_hours(1);

/// So long a file may be in progress in any case.
const LONG_WORK: Duration = Duration::from_mins(30);

/// The one word; later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// Nothing to do.
    Ok,
    /// Files wait for something that is not theirs.
    Paused,
    /// A person should look: files lie in quarantine, one does not come to an end, or file events do not arrive.
    Attention,
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
            Self::Attention => "attention",
            Self::Late => "late",
            Self::Failing => "failing",
        }
    }

    /// Returns a sign for those who see no colour.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Paused => "‖",
            Self::Attention => "?",
            Self::Late => "!",
            Self::Failing => "✕",
        }
    }
}

/// Why a pipeline does not do well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// In words.
    pub(super) words: String,
    /// Where there is more about it.
    pub(super) link: Option<String>,
}

/// How a pipeline does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The worst of what follows.
    pub(super) health: Health,
    /// Why, worst first.
    pub(super) reasons: Vec<Reason>,
}

/// Judges a pipeline.
pub(super) fn judge(pipeline: &PipelineNow, daemon: &DaemonNow) -> Verdict {
    let asked = [miscounted, refused, stale, waits, in_quarantine, in_progress, unwatched, paused];
    let mut found: Vec<(Health, Reason)> = asked.iter().filter_map(|ask| ask(pipeline, daemon)).collect();
    found.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    let health = found.first().map_or(Health::Ok, |(health, _)| *health);
    Verdict { health, reasons: found.into_iter().map(|(_, reason)| reason).collect() }
}

type Found = Option<(Health, Reason)>;

fn because(health: Health, words: impl Into<String>) -> (Health, Reason) {
    (health, Reason { words: words.into(), link: None })
}

fn miscounted(pipeline: &PipelineNow, _: &DaemonNow) -> Found {
    if pipeline.rows.conserved() {
        return None;
    }
    Some(because(
        Health::Failing,
        "rows read are not rows written, rejected and dropped: a fault of forebay, keep the archive",
    ))
}

fn refused(pipeline: &PipelineNow, daemon: &DaemonNow) -> Found {
    let failed = pipeline.last_failure?;
    if pipeline.last_success.is_some_and(|good| good >= failed) {
        return None;
    }
    let ago = span(daemon.at.since(failed));
    Some(because(Health::Failing, format!("a file was refused or given up {ago} ago, and none was published since")))
}

fn stale(pipeline: &PipelineNow, daemon: &DaemonNow) -> Found {
    let objective = pipeline.freshness?;
    let (age, words) = match pipeline.last_success {
        Some(at) => (daemon.at.since(at), "nothing was published for"),
        None => (daemon.up, "nothing was ever published, and it has run for"),
    };
    if age <= objective {
        return None;
    }
    Some(because(Health::Late, format!("{words} {}; the objective is {}", span(age), span(objective))))
}

fn waits(pipeline: &PipelineNow, daemon: &DaemonNow) -> Found {
    let waited = daemon.at.since(pipeline.oldest_pending?);
    if waited <= pipeline.latency.unwrap_or(LONG_WAIT) {
        return None;
    }
    let limit =
        pipeline.latency.map_or("no objective is set".to_owned(), |of| format!("the objective is {}", span(of)));
    Some(because(Health::Late, format!("a file has waited for {}; {limit}", span(waited))))
}

fn in_quarantine(pipeline: &PipelineNow, _: &DaemonNow) -> Found {
    if pipeline.quarantined == 0 {
        return None;
    }
    let words = format!("{} in quarantine, for a person to decide about", counted(pipeline.quarantined, "file"));
    let link = Some(format!("/files?pipeline={}&state=quarantined", pipeline.name));
    Some((Health::Attention, Reason { words, link }))
}

fn in_progress(pipeline: &PipelineNow, daemon: &DaemonNow) -> Found {
    let taken = daemon.at.since(pipeline.oldest_in_flight.filter(|_| pipeline.in_flight > 0)?);
    if taken <= pipeline.latency.unwrap_or_default().max(LONG_WORK) {
        return None;
    }
    Some(because(Health::Attention, format!("a file has been in progress for {}", span(taken))))
}

fn unwatched(pipeline: &PipelineNow, daemon: &DaemonNow) -> Found {
    if pipeline.watching || daemon.readiness == Readiness::Starting {
        return None;
    }
    Some(because(Health::Attention, "file events do not arrive: files are found by scans only"))
}

fn paused(pipeline: &PipelineNow, daemon: &DaemonNow) -> Found {
    if daemon.readiness == Readiness::Draining {
        return Some(because(Health::Paused, "the daemon is draining: nothing new is begun"));
    }
    if pipeline.pending == 0 || daemon.waits_for.is_empty() {
        return None;
    }
    let resources: Vec<&str> = daemon.waits_for.iter().copied().collect();
    Some(because(Health::Paused, format!("files wait for {}", resources.join(" and "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Timestamp;

    const fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000_000)
    }

    /// At second 10,000 of the wall clock, 1,000 s after the start.
    fn judged(change: impl FnOnce(&mut PipelineNow, &mut DaemonNow)) -> (Health, String) {
        let mut daemon = DaemonNow { at: at(10_000), up: Duration::from_secs(1000), ..DaemonNow::default() };
        daemon.readiness = Readiness::Ready;
        let mut pipeline = PipelineNow { name: "p".to_owned(), watching: true, ..PipelineNow::default() };
        change(&mut pipeline, &mut daemon);
        let verdict = judge(&pipeline, &daemon);
        let words: Vec<String> = verdict.reasons.into_iter().map(|reason| reason.words).collect();
        (verdict.health, words.join(" | "))
    }

    #[test]
    fn what_is_well_needs_no_reason() {
        assert_eq!(judged(|_, _| {}), (Health::Ok, String::new()));
        let (health, reasons) = judged(|pipeline, daemon| {
            (pipeline.last_success, pipeline.last_failure) = (Some(at(9_990)), Some(at(9_980)));
            (pipeline.freshness, pipeline.latency) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(10)));
            pipeline.oldest_pending = Some(at(9_990));
            // Nothing is in progress: what was, is history.
            pipeline.oldest_in_flight = Some(at(1));
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
    fn what_an_alert_would_tell_of_is_told() {
        let slow = |waited: i64| judged(|pipeline, _| pipeline.oldest_pending = Some(at(10_000 - waited)));
        assert_eq!(slow(3600).0, Health::Ok);
        assert_eq!(slow(3601), (Health::Late, "a file has waited for 1 h; no objective is set".to_owned()));
        let taken = |seconds: i64, latency: u64| {
            judged(|pipeline, _| {
                (pipeline.in_flight, pipeline.oldest_in_flight) = (1, Some(at(10_000 - seconds)));
                pipeline.latency = Some(Duration::from_secs(latency));
            })
        };
        assert_eq!((taken(1800, 5).0, taken(1801, 5).0), (Health::Ok, Health::Attention));
        assert_eq!((taken(2000, 2000).0, taken(2001, 2000).0), (Health::Ok, Health::Attention));
        let unwatched = judged(|pipeline, _| pipeline.watching = false);
        assert!(unwatched.0 == Health::Attention && unwatched.1.contains("by scans only"), "{unwatched:?}");
        let starting = judged(|pipeline, daemon| {
            (pipeline.watching, daemon.readiness) = (false, Readiness::Starting);
        });
        assert_eq!(starting.0, Health::Ok, "no inbox is watched before its first scan");
        let miscounted = judged(|pipeline, _| pipeline.rows.read = 1);
        assert!(miscounted.0 == Health::Failing && miscounted.1.contains("keep the archive"), "{miscounted:?}");
    }

    /// A later success mends nothing: the file still waits for a person, and so says the alert.
    #[test]
    fn a_quarantine_that_is_not_empty_is_told_whatever_came_after() {
        let daemon = DaemonNow { at: at(10_000), readiness: Readiness::Ready, ..DaemonNow::default() };
        let (failed, good) = (Some(at(9_000)), Some(at(9_990)));
        let pipeline = PipelineNow { name: "p".to_owned(), watching: true, quarantined: 2, ..PipelineNow::default() };
        let pipeline = PipelineNow { last_failure: failed, last_success: good, ..pipeline };
        let verdict = judge(&pipeline, &daemon);
        let reason = Reason {
            words: "2 files in quarantine, for a person to decide about".to_owned(),
            link: Some("/files?pipeline=p&state=quarantined".to_owned()),
        };
        assert_eq!(verdict, Verdict { health: Health::Attention, reasons: vec![reason] });
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
