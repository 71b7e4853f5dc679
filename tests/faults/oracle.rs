//! The one judge of all suites: holds what lies at a site, what its ledger says and what its metrics say against what was
//! dropped there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polars::prelude::{AnyValue, ParquetReader, SerReader as _};

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::{Content, Input, Kind};
use crate::inventory::{Found, Inventory, Published, difference, hash, snapshot};
use crate::ledger::{self, Arrival};
use crate::scrape::Scrape;
use crate::site::{Site, walk};

/// Published directories whose Parquet is read to the last cell at one check; of more, so many are drawn.
const READ: usize = 200;

/// What is wrong, by the part of the promise it breaks.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// An input or a row is nowhere, or its bytes are not its own any more.
    pub(crate) lost: Vec<String>,
    /// An input, a content or a row is somewhere twice.
    pub(crate) doubled: Vec<String>,
    /// Somebody would have to act: not finished, in the wrong place, something left over.
    pub(crate) stuck: Vec<String>,
    /// Folders, manifests, ledger and metrics do not agree.
    pub(crate) contradicted: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_sound(&self) -> bool {
        [&self.lost, &self.doubled, &self.stuck, &self.contradicted].iter().all(|faults| faults.is_empty())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("needs a human", &self.stuck),
            ("contradiction", &self.contradicted),
        ];
        for (what, faults) in parts {
            for fault in faults.iter().take(10) {
                writeln!(f, "{what}: {fault}")?;
            }
            if faults.len() > 10 {
                writeln!(f, "{what}: and {} more", faults.len() - 10)?;
            }
        }
        Ok(())
    }
}

/// Stops the test if the verdict is not sound.
#[track_caller]
pub(crate) fn demand(verdict: &Verdict, when: &str) {
    assert!(verdict.is_sound(), "{when}:\n{verdict}");
}

/// Judges a site whose daemon is dead, before any recovery: every input is in one place only, and nothing is put away before
/// its result is visible.
pub(crate) fn at_any_moment(site: &Site) -> Verdict {
    let mut verdict = Verdict::default();
    // The producer waits until the look is over.
    let dropped = site.dropped();
    let inventory = Inventory::of(site);
    places(&dropped, &inventory, &mut verdict);
    let published: BTreeSet<&str> = inventory.published.iter().map(Published::input).collect();
    let contents = contents(&dropped);
    for found in &inventory.archive {
        let wanted = contents.get(&found.hash).is_some_and(|content| is_published(content.kind));
        if wanted && !published.contains(found.hash.as_str()) {
            verdict.lost.push(format!("{} is archived and not published", found.path.display()));
        }
    }
    for one in &inventory.published {
        judge_published(one, &contents, false, &mut verdict);
    }
    verdict
}

/// Judges a site where everything is done. The daemon may run or not.
pub(crate) fn settled(site: &Site) -> Verdict {
    let mut verdict = Verdict::default();
    let dropped = site.dropped();
    let inventory = Inventory::of(site);
    places(&dropped, &inventory, &mut verdict);
    let unfinished = inventory.inbox.iter().chain(&inventory.claimed);
    verdict.stuck.extend(unfinished.map(|found| format!("{} is not finished", found.path.display())));
    verdict.stuck.extend(inventory.litter.iter().map(|path| format!("{} is left over", path.display())));
    let contents = contents(&dropped);
    ends(&inventory, &contents, &mut verdict);
    once(&inventory, &contents, &mut verdict);
    let drawn = draw(inventory.published.len());
    for (at, one) in inventory.published.iter().enumerate() {
        judge_published(one, &contents, drawn.contains(&at), &mut verdict);
    }
    account(&site.state, dropped.len(), &inventory, &mut verdict);
    verdict
}

/// Starts the daemon, waits until all is done, judges, and starts it once more, which must change nothing.
/// Returns how long each start took until it was ready.
#[track_caller]
pub(crate) fn recover(site: &Site, when: &str) -> [Duration; 2] {
    let before = ledger::arrivals(&site.state);
    let mut daemon = Daemon::spawn(site, &[]);
    let first = ready(&mut daemon, when);
    let waited = daemon.wait_done(site, PATIENCE);
    assert_eq!(waited, Waited::Done, "{when}: needs a human: not done after a restart\n{}", settled(site));
    demand(&settled(site), when);
    demand(&metrics_agree(site, &daemon, &before, Ask::Counters), when);
    assert!(daemon.stop().success(), "{when}: no clean stop");
    let after = snapshot(site);
    let before = ledger::arrivals(&site.state);
    let mut daemon = Daemon::spawn(site, &[]);
    let second = ready(&mut daemon, when);
    demand(&metrics_agree(site, &daemon, &before, Ask::All), when);
    assert!(daemon.stop().success(), "{when}: no clean stop");
    let changed = difference(&after, &snapshot(site));
    assert!(changed.is_empty(), "{when}: a second recovery changed something:\n{}", changed.join("\n"));
    [first, second]
}

#[track_caller]
fn ready(daemon: &mut Daemon, when: &str) -> Duration {
    let waited = daemon.wait_ready();
    assert_eq!(waited, Waited::Done, "{when}: needs a human: the daemon does not start\n{}", daemon.log());
    daemon.age()
}

/// Returns the contents that were dropped, by their hash.
fn contents(dropped: &[Input]) -> BTreeMap<String, Arc<Content>> {
    dropped.iter().map(|input| (input.content.hash.clone(), Arc::clone(&input.content))).collect()
}

const fn is_published(kind: Kind) -> bool {
    matches!(kind, Kind::Good | Kind::Dirty)
}

/// Every input lies in one place, with its own bytes, and nothing else does.
fn places(dropped: &[Input], inventory: &Inventory, verdict: &mut Verdict) {
    let mut balance: BTreeMap<(String, String), i64> = BTreeMap::new();
    for input in dropped {
        *balance.entry((input.name.clone(), input.content.hash.clone())).or_default() -= 1;
    }
    for found in inventory.originals() {
        *balance.entry((found.name.clone(), found.hash.clone())).or_default() += 1;
    }
    for ((name, hash), balance) in balance {
        match balance {
            0 => {}
            ..0 => verdict.lost.push(format!("{name} ({hash}) is nowhere")),
            _ => verdict.doubled.push(format!("{name} ({hash}) lies somewhere {balance} times too often")),
        }
    }
}

/// Every original is where its kind belongs.
fn ends(inventory: &Inventory, contents: &BTreeMap<String, Arc<Content>>, verdict: &mut Verdict) {
    let refused = |found: &&Found| contents.get(&found.hash).is_some_and(|content| content.kind == Kind::Broken);
    for found in inventory.archive.iter().filter(refused) {
        verdict.contradicted.push(format!("{} is archived and should be refused", found.path.display()));
    }
    for found in inventory.quarantine.iter().filter(|found| !refused(found)) {
        verdict.stuck.push(format!("{} is in quarantine and sound", found.path.display()));
    }
    for found in &inventory.quarantine {
        let explanation = format!("{}.error.json", found.path.display());
        let readable =
            fs::read(&explanation).is_ok_and(|text| serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        if !readable {
            verdict.contradicted.push(format!("{explanation} is missing or no JSON"));
        }
    }
}

/// Every content that was to be published is published once, under the id of its archived original.
fn once(inventory: &Inventory, contents: &BTreeMap<String, Arc<Content>>, verdict: &mut Verdict) {
    let mut published: BTreeMap<&str, Vec<&Published>> = BTreeMap::new();
    for one in &inventory.published {
        published.entry(one.input()).or_default().push(one);
    }
    for (hash, found) in &published {
        if found.len() > 1 {
            let paths: Vec<_> = found.iter().map(|one| one.path.display().to_string()).collect();
            verdict.doubled.push(format!("{hash} is published as {}", paths.join(" and ")));
        }
    }
    for found in &inventory.archive {
        let wanted = contents.get(&found.hash).is_some_and(|content| is_published(content.kind));
        if wanted && !published.contains_key(found.hash.as_str()) {
            verdict.lost.push(format!("{} is archived and not published", found.path.display()));
        }
    }
    for one in &inventory.published {
        if !inventory.archive.iter().any(|found| found.id == one.id && found.hash == one.input()) {
            verdict.contradicted.push(format!("{} has no original of its id in the archive", one.path.display()));
        }
    }
}

/// Draws which of so many published directories are read to the last cell.
fn draw(published: usize) -> BTreeSet<usize> {
    let mut all: Vec<usize> = (0..published).collect();
    fastrand::shuffle(&mut all);
    all.into_iter().take(READ).collect()
}

/// A published directory is what its manifest says, and its manifest says what its input held.
fn judge_published(one: &Published, contents: &BTreeMap<String, Arc<Content>>, read: bool, verdict: &mut Verdict) {
    let place = one.path.display();
    let Some(content) = contents.get(one.input()).filter(|content| is_published(content.kind)) else {
        verdict.contradicted.push(format!("{place} is made of an input that should not be published"));
        return;
    };
    if one.manifest["id"] != one.id.as_str() {
        verdict.contradicted.push(format!("{place} is not named after its id {}", one.manifest["id"]));
    }
    let rows = ["read", "written", "rejected", "dropped"].map(|name| one.manifest["rows"][name].as_u64());
    if rows != content.rows.map(Some) {
        verdict.lost.push(format!("{place}: rows {rows:?} instead of {:?}", content.rows));
    }
    let outputs = one.manifest["outputs"].as_object().cloned().unwrap_or_default();
    let mut lying: BTreeSet<String> =
        walk(&one.path).iter().map(|path| path.strip_prefix(&one.path).unwrap().display().to_string()).collect();
    lying.remove("_manifest.json");
    for (name, facts) in &outputs {
        let path = one.path.join(name);
        if !lying.remove(name) {
            verdict.lost.push(format!("{place}: {name} is missing"));
        } else if facts["blake3"] != hash(&path).as_str()
            || facts["bytes"].as_u64() != Some(path.metadata().unwrap().len())
        {
            verdict.lost.push(format!("{place}: {name} is not what the manifest says"));
        } else if read && let Err(fault) = read_output(&path, name, facts["rows"].as_u64(), content) {
            verdict.lost.push(format!("{place}: {fault}"));
        }
    }
    verdict.contradicted.extend(lying.into_iter().map(|name| format!("{place}: {name} is not in the manifest")));
}

/// The rows of a Parquet file are those the input held.
fn read_output(path: &Path, name: &str, rows: Option<u64>, content: &Content) -> Result<(), String> {
    let frame = ParquetReader::new(File::open(path).unwrap()).finish().map_err(|error| format!("{name}: {error}"))?;
    if Some(frame.height() as u64) != rows {
        return Err(format!("{name} has {} rows, the manifest says {rows:?}", frame.height()));
    }
    match name {
        "rows.parquet" => {
            let ids = frame.column("id").map_err(|error| error.to_string())?;
            let ids: Vec<i64> = (0..frame.height()).map(|row| ids.get(row).unwrap().extract().unwrap()).collect();
            (ids == content.written).then_some(()).ok_or_else(|| format!("{name} holds other rows than its input"))
        }
        "rejects.parquet" => {
            let rejected = content.rows[2];
            (frame.height() as u64 == rejected).then_some(()).ok_or_else(|| format!("{name} lacks some of {rejected}"))
        }
        _ => {
            let counts = frame.column("n").map_err(|error| error.to_string())?;
            let sum: u64 = (0..frame.height()).map(|row| number(&counts.get(row).unwrap())).sum();
            (sum == content.rows[1]).then_some(()).ok_or_else(|| format!("{name} counts {sum} rows"))
        }
    }
}

fn number(value: &AnyValue<'_>) -> u64 {
    value.extract().unwrap()
}

/// The ledger knows every file, in the place where it lies, once.
fn account(state: &Path, dropped: usize, inventory: &Inventory, verdict: &mut Verdict) {
    let arrivals = ledger::arrivals(state);
    let by_id: BTreeMap<&str, &Arrival> = arrivals.iter().map(|arrival| (arrival.id.as_str(), arrival)).collect();
    if arrivals.len() != dropped {
        verdict.contradicted.push(format!("{dropped} files were dropped, the ledger knows {}", arrivals.len()));
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
    for one in &inventory.published {
        let known = by_id.get(one.id.as_str()).is_some_and(|arrival| {
            arrival.manifest_hash.as_ref() == Some(&one.manifest_hash)
                && arrival.final_dir.as_deref() == one.path.to_str()
        });
        if !known {
            verdict.contradicted.push(format!("{} is not as the ledger knows it", one.path.display()));
        }
    }
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
    for arrival in ledger::arrivals(&site.state).iter().filter(|arrival| arrival.attempts > 0) {
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
    let arrivals = ledger::arrivals(&site.state);
    let ended: Vec<&Arrival> = arrivals
        .iter()
        .filter(|arrival| arrival.state == "done" && !done_before.contains(arrival.id.as_str()))
        .collect();
    let mut expect = |what: &str, found: f64, wanted: f64| {
        if (found - wanted).abs() > 0.1 {
            verdict.contradicted.push(format!("{what} is {found}, the ledger says {wanted}"));
        }
    };
    for outcome in ["succeeded", "duplicate", "empty", "quarantined", "failed"] {
        let counted = scrape.metric("forebay_files_processed_total").label("outcome", outcome).value();
        let known = ended.iter().filter(|arrival| arrival.outcome.as_deref() == Some(outcome)).count();
        expect(&format!("files_processed_total of {outcome}"), counted, float(known));
    }
    expect("files_pending", scrape.metric("forebay_files_pending").value(), 0.0);
    expect("files_in_flight", scrape.metric("forebay_files_in_flight").value(), 0.0);
    let rows = rows_of(&ended);
    for (name, wanted) in ["read", "written", "rejected", "dropped"].iter().zip(rows) {
        expect(&format!("rows_{name}_total"), sum(&scrape, &format!("forebay_rows_{name}_total")), wanted);
    }
    if ask == Ask::All {
        let refused = |arrival: &&Arrival| {
            matches!(arrival.outcome.as_deref(), Some("quarantined" | "failed")) && arrival.resting.is_some()
        };
        let held = scrape.metric("forebay_files_quarantined").value();
        expect("files_quarantined", held, float(arrivals.iter().filter(refused).count()));
        let done = scrape.metric("forebay_ledger_files").label("state", "done").value();
        expect("ledger_files of done", done, float(arrivals.len()));
    }
    verdict
}

/// Returns the rows read, written, rejected and dropped of published files, as their manifests say.
fn rows_of(ended: &[&Arrival]) -> [f64; 4] {
    let mut rows = [0.0; 4];
    for directory in ended.iter().filter_map(|arrival| arrival.final_dir.as_deref()) {
        let text = fs::read(Path::new(directory).join("_manifest.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        for (sum, name) in rows.iter_mut().zip(["read", "written", "rejected", "dropped"]) {
            *sum += manifest["rows"][name].as_f64().unwrap_or(f64::NAN);
        }
    }
    rows
}

fn sum(scrape: &Scrape, name: &str) -> f64 {
    scrape.metric(name).sum()
}

#[expect(clippy::cast_precision_loss, reason = "suites count far fewer files than an f64 can")]
fn float(count: usize) -> f64 {
    count as f64
}
