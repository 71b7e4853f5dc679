//! Every question of every runbook, put to the Prometheus that the dashboards are tried on.

use serde_json::Value;

use super::grafana::list;
use crate::alerts::runbook_queries;
use crate::support::Prometheus;

/// Questions that are rightly answered with nothing, and why. What they ask about is there, all the same.
const EMPTY: &[(&str, &str)] = &[
    ("forebay_watch_up == 0", "every inbox is watched"),
    ("forebay_draining == 1 or forebay_ready == 0", "it is at work"),
    ("rate(prometheus_notifications_errors_total[5m])", "this Prometheus has no Alertmanager to fail"),
];

/// Series that only a Prometheus with an Alertmanager has.
const NOT_HERE: &[&str] = &["prometheus_notifications_errors_total"];

fn is_empty(prometheus: &Prometheus, query: &str) -> bool {
    let answer: Value = prometheus.instant(query);
    list(&answer, "result").is_empty()
}

/// Returns the names of series in a query.
fn series(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| {
        ["forebay_", "process_", "prometheus_"].iter().any(|of| word.starts_with(of)) || word.contains(":forebay")
    })
}

/// Returns what is wrong with the questions.
pub(super) fn faults(prometheus: &Prometheus) -> Vec<String> {
    let all = runbook_queries();
    assert!(all.len() > 60, "{}", all.len());
    let mut faults = Vec::new();
    for (runbook, query) in &all {
        let excused = EMPTY.iter().any(|(empty, _)| empty == query);
        if is_empty(prometheus, query) && !excused {
            faults.push(format!("{runbook}: no data: {query}"));
        }
        let absent = series(query).filter(|name| !NOT_HERE.contains(name) && is_empty(prometheus, name));
        faults.extend(absent.map(|name| format!("{runbook}: there is no {name}: {query}")));
    }
    let gone = EMPTY.iter().filter(|(empty, _)| !all.iter().any(|(_, query)| query == empty));
    faults.extend(gone.map(|(empty, _)| format!("no runbook asks {empty}")));
    faults
}
