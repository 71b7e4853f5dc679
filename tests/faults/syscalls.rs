//! Death and failure at the system calls that change something, one at a time, over a workload of every kind of file.

mod worker;

use std::fmt;
use std::time::Duration;

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::Feed;
use crate::ledger;
use crate::measure::{count, figures, is_full, is_in_part, random};
use crate::oracle;
use crate::site::{OnSuccess, Setting, Site};
use crate::strace::{self, Trace};

/// One worker, so that a number means the same call from run to run, as far as threads allow.
const SETTING: Setting = Setting { workers: 1, settle: "10ms", scan_interval: "300ms", on_success: OnSuccess::Archive };

/// The errors a call may answer with.
const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EMFILE", "EACCES"];

/// Numbers tried beyond those of the run that was counted: threads share their work out anew in every run.
const BEYOND: usize = 3;

/// Where to strike: the `number`th `call` of any one thread.
#[derive(Debug, Clone)]
struct Point {
    call: String,
    number: usize,
    /// What the call answers; death if none.
    error: Option<&'static str>,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} {}", self.error.unwrap_or("SIGKILL"), self.call, self.number)
    }
}

impl Point {
    fn injection(&self) -> String {
        let what = self.error.map_or_else(|| "signal=SIGKILL".to_owned(), |error| format!("error={error}"));
        format!("{}:{what}:when={}", self.call, self.number)
    }
}

/// A site with the workload in its inbox.
fn site() -> Site {
    let site = Site::new(SETTING);
    for input in Feed::one_of_each() {
        assert!(site.drop_file(input));
    }
    site
}

/// Runs the workload undisturbed and returns every point there is.
fn points() -> Vec<(String, usize)> {
    let site = site();
    let mut daemon = Daemon::spawn(&site, &strace::words(&site, strace::CHANGING, Trace::Daemon));
    assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done, "{}", daemon.log());
    assert!(daemon.stop().success());
    oracle::demand(&oracle::settled(&site), "undisturbed");
    let mut points = Vec::new();
    for (call, numbers) in strace::points(&site, |call| strace::changes(call, &site.data)) {
        let last = *numbers.last().unwrap();
        let beyond = last + 1..=last + BEYOND;
        points.extend(numbers.into_iter().chain(beyond).map(|number| (call.clone(), number)));
    }
    assert!(points.len() > 50, "the sweep found too little to strike at: {points:?}");
    points
}

/// Draws so many; at full length all, in order.
fn draw(mut points: Vec<Point>, bounded: usize, rng: &mut fastrand::Rng) -> Vec<Point> {
    let most = count("POINTS", bounded, usize::MAX);
    points.retain(|point| is_in_part(point.number));
    if !is_full() || most < points.len() {
        rng.shuffle(&mut points);
        points.truncate(most);
    }
    points
}

#[test]
fn syscalls_kill() {
    if !strace::is_here("syscalls_kill") {
        return;
    }
    let (mut rng, seed) = random();
    let all: Vec<Point> = points().into_iter().map(|(call, number)| Point { call, number, error: None }).collect();
    let there = all.len();
    let drawn = draw(all, 30, &mut rng);
    let mut killed = 0;
    for point in &drawn {
        let when = format!("{point} (seed {seed})");
        let site = site();
        let mut daemon = Daemon::spawn(&site, &strace::words(&site, &[&point.call], Trace::Strike(&point.injection())));
        let waited = daemon.wait_done(&site, PATIENCE);
        assert_ne!(waited, Waited::InVain, "{when}: neither done nor dead:\n{}", daemon.log());
        // Some points lie in the stop.
        let status = if let Waited::Ended(status) = waited { status } else { daemon.stop() };
        killed += usize::from(!status.success());
        oracle::demand(&oracle::at_any_moment(&site), &when);
        oracle::recover(&site, &when);
        oracle::demand(&oracle::no_attempt_spent(&site), &when);
    }
    figures(
        "syscalls_kill",
        &format!(
            "{} of {there} points, {killed} deaths, 0 lost, 0 doubled, 0 human actions (seed {seed})",
            drawn.len()
        ),
    );
    assert!(killed * 2 > drawn.len(), "only {killed} of {} runs were killed: this tests nothing", drawn.len());
}

/// How a daemon got over the failures of calls on a file or folder of ours.
#[derive(Debug, Default)]
struct Got {
    healed: usize,
    ended: usize,
    /// It waits longer than we do here.
    waiting: usize,
    /// No such call failed: no thread came that far, or it was one that no disk answers.
    missed: usize,
}

#[test]
fn syscalls_fail() {
    if !strace::is_here("syscalls_fail") {
        return;
    }
    let (mut rng, seed) = random();
    let points = points();
    let all: Vec<Point> = points
        .iter()
        .flat_map(|(call, number)| {
            ERRORS.map(|error| Point { call: call.clone(), number: *number, error: Some(error) })
        })
        .collect();
    let there = all.len();
    let drawn = draw(all, 24, &mut rng);
    let mut got = Got::default();
    for point in &drawn {
        fail_once(point, &format!("{point} (seed {seed})"), &mut got);
    }
    let Got { healed, ended, waiting, missed } = got;
    let struck = drawn.len() - missed;
    figures(
        "syscalls_fail",
        &format!(
            "{} of {there} points, {struck} failures: {healed} healed, {ended} ended and healed by the next start, {waiting} still waiting \
             when restarted; 0 lost, 0 doubled, 0 human actions (seed {seed})",
            drawn.len()
        ),
    );
    assert!(struck * 3 > drawn.len(), "only {struck} of {} runs had a failure: this tests nothing", drawn.len());
}

fn fail_once(point: &Point, when: &str, got: &mut Got) {
    let site = site();
    let mut daemon = Daemon::spawn(&site, &strace::words(&site, &[&point.call], Trace::Strike(&point.injection())));
    let patience = Duration::from_secs(if is_full() { 90 } else { 8 });
    let waited = daemon.wait_done(&site, patience);
    if strace::struck(&site).1 > 0 {
        // The endpoint's own wakers may have been struck.
        daemon.excuse();
    }
    match waited {
        Waited::Done => {
            daemon.stop();
        }
        Waited::Ended(status) => {
            // An error no disk would give, on an eventfd say, may end it in any way.
            let sound = status.code() == Some(70) || strace::struck(&site).1 > 0;
            assert!(sound, "{when}: ended with {status}:\n{}", daemon.log());
        }
        Waited::InVain => {
            let sound = !is_full() || strace::struck(&site).1 > 0;
            assert!(sound, "{when}: not done after {patience:?}:\n{}", daemon.log());
            daemon.kill();
        }
    }
    let (here, elsewhere) = strace::struck(&site);
    *match waited {
        _ if here == 0 => &mut got.missed,
        Waited::Done => &mut got.healed,
        Waited::Ended(_) => &mut got.ended,
        Waited::InVain => &mut got.waiting,
    } += 1;
    let panicked = daemon.log().contains("panicked");
    assert!(!panicked || elsewhere > 0, "{when}: a panic:\n{}", daemon.log());
    oracle::demand(&oracle::at_any_moment(&site), when);
    oracle::recover(&site, when);
    let spent: i64 = ledger::arrivals(&site.state).iter().map(|arrival| arrival.attempts).sum();
    let most = if point.error == Some("ENOSPC") { 0 } else { i64::try_from(here + elsewhere).unwrap() };
    assert!(spent <= most, "{when}: {here} failures cost {spent} attempts");
}
