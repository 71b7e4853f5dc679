//! What the ledger says, against the folders; what `/metrics` says, against the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Verdict;
use crate::daemon::Daemon;
use crate::inventory::{Found, Inventory, Published};
use crate::ledger::{self, Arrival};
use crate::site::Site;

/// The ledger knows every file, in the place where it lies, once. A replay is an arrival that takes the place of another.
pub(super) fn account(site: &Site, dropped: usize, inventory: &Inventory, verdict: &mut Verdict) {
    let arrivals = of(site, ledger::arrivals(&site.state));
    let by_id: BTreeMap<&str, &Arrival> = arrivals.iter().map(|arrival| (arrival.id.as_str(), arrival)).collect();
    let current = || arrivals.iter().filter(|arrival| arrival.replaced_by.is_none());
    if current().count() != dropped {
        verdict.contradicted.push(format!("{dropped} files were dropped, the ledger knows {}", current().count()));
    }
    for arrival in arrivals.iter().filter(|arrival| arrival.state != "done") {
        verdict.stuck.push(format!("the ledger says {} ({}) is {}", arrival.id, arrival.name, arrival.state));
    }
    let published: BTreeMap<&str, &Published> = inventory.published.iter().map(|one| (one.id.as_str(), one)).collect();
    for (found, outcomes) in originals_with(inventory, &published) {
        let path = found.path.display().to_string();
        match by_id.get(found.id.as_str()) {
            Some(arrival)
                if arrival.name == found.name
                    && arrival.resting.as_ref() == Some(&path)
                    && arrival.outcome.as_deref().is_some_and(|outcome| outcomes.contains(&outcome)) => {}
            other => verdict.contradicted.push(format!("{path} should be {outcomes:?}, the ledger says {other:?}")),
        }
    }
    for arrival in current().filter(|arrival| arrival.outcome.as_deref() == Some("succeeded")) {
        if !published.contains_key(arrival.id.as_str()) {
            verdict.lost.push(format!("the ledger says {} ({}) is published", arrival.id, arrival.name));
        }
    }
    for one in &inventory.published {
        let known = by_id.get(one.id.as_str()).is_some_and(|arrival| {
            arrival.manifest_hash.as_ref() == Some(&one.manifest_hash)
                && arrival.replaced_by.is_none()
                && arrival.final_dir.as_deref() == one.path.to_str()
        });
        if !known {
            verdict.contradicted.push(format!("{} is not as the ledger knows it", one.path.display()));
        }
    }
}

/// Returns the arrivals of this site's pipeline.
fn of(site: &Site, arrivals: Vec<Arrival>) -> Vec<Arrival> {
    arrivals.into_iter().filter(|arrival| arrival.pipeline == site.pipeline).collect()
}

/// Returns every original at rest, and how the ledger must say it ended.
fn originals_with<'a>(
    inventory: &'a Inventory,
    published: &BTreeMap<&str, &Published>,
) -> Vec<(&'a Found, &'static [&'static str])> {
    let archived = inventory.archive.iter().map(|found| {
        let outcomes: &[&str] =
            if published.contains_key(found.id.as_str()) { &["succeeded"] } else { &["duplicate", "empty"] };
        (found, outcomes)
    });
    archived.chain(inventory.quarantine.iter().map(|found| (found, &["quarantined"][..]))).collect()
}

/// No attempt was counted against any file.
pub(crate) fn no_attempt_spent(site: &Site) -> Verdict {
    let mut verdict = Verdict::default();
    for arrival in of(site, ledger::arrivals(&site.state)).iter().filter(|arrival| arrival.attempts > 0) {
        verdict.contradicted.push(format!("{} attempts of {} are counted", arrival.attempts, arrival.name));
    }
    verdict
}

/// What is asked of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What has been counted since the start.
    Counters,
    /// Also what the ledger holds: told at the start and every two seconds.
    All,
}

/// `/metrics` of a daemon says what its ledger says; `before` is the ledger as it was when the daemon began.
pub(crate) fn metrics_agree(site: &Site, daemon: &Daemon, before: &[Arrival], ask: Ask) -> Verdict {
    let began = Instant::now();
    loop {
        // The last file is told of a moment after its last commit.
        let verdict = compare_metrics(site, daemon, before, ask);
        if verdict.is_sound() || began.elapsed() > Duration::from_secs(10) {
            return verdict;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn compare_metrics(site: &Site, daemon: &Daemon, before: &[Arrival], ask: Ask) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(scrape) = daemon.scrape() else {
        verdict.contradicted.push("/metrics does not answer".to_owned());
        return verdict;
    };
    let done_before: BTreeSet<&str> =
        before.iter().filter(|arrival| arrival.state == "done").map(|arrival| arrival.id.as_str()).collect();
    let arrivals = of(site, ledger::arrivals(&site.state));
    let ended: Vec<&Arrival> = arrivals
        .iter()
        .filter(|arrival| arrival.state == "done" && !done_before.contains(arrival.id.as_str()))
        .collect();
    let of_us = |name: &str| scrape.metric(name).label("pipeline", site.pipeline);
    let mut expect = |what: &str, found: f64, wanted: f64| {
        if (found - wanted).abs() > 0.1 {
            verdict.contradicted.push(format!("{what} is {found}, the ledger says {wanted}"));
        }
    };
    for outcome in ["succeeded", "duplicate", "empty", "quarantined", "failed"] {
        let counted = of_us("forebay_files_processed_total").label("outcome", outcome).value();
        let known = ended.iter().filter(|arrival| arrival.outcome.as_deref() == Some(outcome)).count();
        expect(&format!("files_processed_total of {outcome}"), counted, float(known));
    }
    expect("files_pending", of_us("forebay_files_pending").value(), 0.0);
    expect("files_in_flight", of_us("forebay_files_in_flight").value(), 0.0);
    let rows = rows_of(&ended, &arrivals);
    for (name, wanted) in ["read", "written", "rejected", "dropped"].iter().zip(rows) {
        expect(&format!("rows_{name}_total"), of_us(&format!("forebay_rows_{name}_total")).sum(), wanted);
    }
    if ask == Ask::All {
        let refused = |arrival: &&Arrival| {
            matches!(arrival.outcome.as_deref(), Some("quarantined" | "failed")) && arrival.resting.is_some()
        };
        let held = of_us("forebay_files_quarantined").value();
        expect("files_quarantined", held, float(arrivals.iter().filter(refused).count()));
        let done = scrape.metric("forebay_ledger_files").label("state", "done").value();
        expect("ledger_files of done", done, float(ledger::arrivals(&site.state).len()));
    }
    verdict
}

/// Returns the rows read, written, rejected and dropped of published files, as their manifests say; those of a file that was
/// replayed are the replay's.
fn rows_of(ended: &[&Arrival], all: &[Arrival]) -> [f64; 4] {
    let by_id: BTreeMap<&str, &Arrival> = all.iter().map(|arrival| (arrival.id.as_str(), arrival)).collect();
    let mut rows = [0.0; 4];
    for mut arrival in ended.iter().copied().filter(|arrival| arrival.final_dir.is_some()) {
        while let Some(replay) = arrival.replaced_by.as_deref().and_then(|id| by_id.get(id)) {
            arrival = replay;
        }
        let directory = Path::new(arrival.final_dir.as_deref().unwrap_or_default());
        let text = fs::read(directory.join("_manifest.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        for (sum, name) in rows.iter_mut().zip(["read", "written", "rejected", "dropped"]) {
            *sum += manifest["rows"][name].as_f64().unwrap_or(f64::NAN);
        }
    }
    rows
}

#[expect(clippy::cast_precision_loss, reason = "suites count far fewer files than an f64 can")]
fn float(count: usize) -> f64 {
    count as f64
}
