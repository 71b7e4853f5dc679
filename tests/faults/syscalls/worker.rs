//! The same for a worker: it costs an attempt of one file at most, and the daemon goes on.

use super::{ERRORS, Point, SETTING, draw};
use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::Feed;
use crate::ledger;
use crate::measure::{figures, random};
use crate::oracle;
use crate::site::Site;
use crate::strace::{self, Attached};

/// Runs the workload with a worker that is traced from before its first file on. Returns the site and its daemon, done.
fn run(injection: Option<&Point>, when: &str) -> (Site, Daemon) {
    let site = Site::new(SETTING);
    let mut daemon = Daemon::start(&site);
    let [worker] = daemon.workers()[..] else { panic!("{when}: there is to be one worker: {:?}", daemon.workers()) };
    let calls: Vec<&str> = injection.map_or_else(|| strace::CHANGING.to_vec(), |point| vec![&point.call]);
    let traced = Attached::to(worker, &site, &calls, injection.map(Point::injection).as_deref());
    for input in Feed::one_of_each() {
        assert!(site.drop_file(input));
    }
    assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done, "{when}: {}", daemon.log());
    drop(traced);
    (site, daemon)
}

/// Runs the workload undisturbed and returns every point there is.
fn points() -> Vec<(String, usize)> {
    let (site, mut daemon) = run(None, "undisturbed");
    assert!(daemon.stop().success());
    oracle::demand(&oracle::settled(&site), "undisturbed");
    let matters = |call: &strace::Call| strace::changes(call, &site.data) || strace::answers(call);
    let points = strace::points(&site, matters);
    let points: Vec<_> =
        points.into_iter().flat_map(|(call, numbers)| numbers.into_iter().map(move |n| (call.clone(), n))).collect();
    assert!(points.len() > 10, "a worker does too little to strike at: {points:?}");
    points
}

/// Strikes at one point, and judges. Returns whether the worker felt it, and how many attempts that cost.
fn strike(point: &Point, when: &str) -> (bool, i64) {
    let (site, mut daemon) = run(Some(point), when);
    let crashes = daemon.scrape().unwrap().metric("forebay_worker_crashes_total").sum();
    assert!(daemon.stop().success(), "{when}: no clean stop");
    oracle::demand(&oracle::settled(&site), when);
    let spent: i64 = ledger::arrivals(&site.state).iter().map(|arrival| arrival.attempts).sum();
    let (here, elsewhere) = strace::struck(&site);
    if point.error.is_none() {
        // A worker that dies between two files costs nothing.
        assert!(spent <= 1 && crashes < 1.5, "{when}: {spent} attempts and {crashes} crashes:\n{}", daemon.log());
    } else {
        let most = i64::try_from(here + elsewhere).unwrap();
        assert!(spent <= most, "{when}: {most} failures cost {spent} attempts:\n{}", daemon.log());
    }
    oracle::recover(&site, when);
    (crashes > 0.5 || here + elsewhere > 0, spent)
}

#[test]
fn syscalls_worker_kill() {
    if !strace::is_here("syscalls_worker_kill") {
        return;
    }
    let (mut rng, seed) = random();
    let all: Vec<Point> = points().into_iter().map(|(call, number)| Point { call, number, error: None }).collect();
    sweep("syscalls_worker_kill", &draw(all.clone(), 10, &mut rng), all.len(), seed);
}

#[test]
fn syscalls_worker_fail() {
    if !strace::is_here("syscalls_worker_fail") {
        return;
    }
    let (mut rng, seed) = random();
    let of =
        |(call, number): (String, usize)| ERRORS.map(|error| Point { call: call.clone(), number, error: Some(error) });
    let all: Vec<Point> = points().into_iter().flat_map(of).collect();
    sweep("syscalls_worker_fail", &draw(all.clone(), 10, &mut rng), all.len(), seed);
}

fn sweep(title: &str, drawn: &[Point], there: usize, seed: u64) {
    let costs = drawn.iter().map(|point| strike(point, &format!("{title}: {point} (seed {seed})")));
    let costs: Vec<(bool, i64)> = costs.collect();
    let felt = costs.iter().filter(|(felt, _)| *felt).count();
    let attempts: i64 = costs.iter().map(|(_, spent)| spent).sum();
    let text = format!(
        "{} of {there} points, {felt} felt, {attempts} attempts spent, 0 lost, 0 doubled, 0 human actions (seed {seed})",
        drawn.len()
    );
    figures(title, &text);
    assert!(felt * 2 > drawn.len(), "only {felt} of {} strikes were felt: this tests nothing", drawn.len());
}
