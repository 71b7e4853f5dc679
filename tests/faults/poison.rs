//! One file whose worker aborts or hangs, time and again: the other files of its own pipeline are not kept waiting.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::{Content, Input, Kind};
use crate::ledger;
use crate::measure::figures;
use crate::oracle;
use crate::site::{OnSuccess, Setting, Site, walk};

/// What poison may add to the time another file takes.
const MOST: Duration = Duration::from_secs(1);

/// Attempts that come to a bad end. The next would be the last.
const DEATHS: usize = 2;

/// Time between two files beside the poison.
const EVERY: Duration = Duration::from_millis(100);

/// Files without poison.
const PLAIN: usize = 30;

const POISON: &str = "poison.csv";

#[test]
fn poison_with_one_worker() {
    poison(1);
}

#[test]
fn poison_with_two_workers() {
    poison(2);
}

fn poison(workers: usize) {
    let mut told = Vec::new();
    let plain = run(workers, None);
    let usual = plain[plain.len() / 2];
    for (name, signal) in [("aborts", Signal::ABORT), ("hangs", Signal::STOP)] {
        let slowest = *run(workers, Some(signal)).last().unwrap();
        let added = slowest.saturating_sub(usual);
        assert!(added < MOST, "{workers} workers, it {name}: a file took {slowest:?} instead of {usual:?}");
        told.push(format!("{} ms if it {name}", added.as_millis()));
    }
    let text = format!(
        "{workers} workers: a file takes {} ms at the median, and beside poison at most {} more",
        usual.as_millis(),
        told.join(", ")
    );
    figures("poison", &text);
}

/// Drops files at a steady pace, beside poison or not. Returns how long each took to its end, the fastest first.
fn run(workers: usize, signal: Option<Signal>) -> Vec<Duration> {
    let site = Site::new(Setting { workers, settle: "20ms", scan_interval: "1s", on_success: OnSuccess::Archive });
    // Longer than anybody is to wait.
    site.configure(&site.config().replace("[limits]\n", "[limits]\nstall_timeout = \"2s\"\n"));
    let mut daemon = Daemon::start(&site);
    let took = if let Some(signal) = signal {
        // Long enough to be caught.
        let content = Content::long(Kind::Good, 100, 1_000_000);
        assert!(site.drop_file(Input { name: POISON.to_owned(), content }));
        std::thread::scope(|scope| {
            let deaths = scope.spawn(|| (1..=DEATHS).for_each(|death| strike(&site, &daemon, signal, death)));
            others(&site, |_| deaths.is_finished())
        })
    } else {
        others(&site, |dropped| dropped == PLAIN)
    };
    assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done, "{}", daemon.log());
    oracle::demand(&oracle::settled(&site), "after the poison");
    let spent = ledger::arrivals(&site.state).into_iter().filter(|arrival| arrival.attempts > 0);
    let spent: Vec<(String, i64)> = spent.map(|arrival| (arrival.name, arrival.attempts)).collect();
    let wanted = signal.map(|_| (POISON.to_owned(), i64::try_from(DEATHS).unwrap()));
    assert_eq!(spent, wanted.into_iter().collect::<Vec<_>>(), "{}", daemon.log());
    assert!(daemon.stop().success());
    took
}

/// Strikes the worker that has the poison, and waits until that attempt is over.
fn strike(site: &Site, daemon: &Daemon, signal: Signal, death: usize) {
    let began = Instant::now();
    let holder = loop {
        if let Some(holder) = daemon.workers().into_iter().find(|worker| holds_poison(*worker)) {
            break holder;
        }
        assert!(began.elapsed() < PATIENCE, "nobody reads the poison");
        std::thread::sleep(Duration::from_millis(1));
    };
    kill_process(holder, signal).unwrap();
    let counted = || ledger::arrivals(&site.state).iter().map(|arrival| arrival.attempts).sum::<i64>();
    while counted() < i64::try_from(death).unwrap() {
        assert!(began.elapsed() < PATIENCE, "death {death} is not counted");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn holds_poison(worker: Pid) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", worker.as_raw_pid())).into_iter().flatten().flatten();
    open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path.to_string_lossy().ends_with(POISON))
}

/// Drops other files until `enough`, and waits for each in the archive.
fn others(site: &Site, enough: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut waiting: BTreeMap<String, Instant> = BTreeMap::new();
    let (mut took, mut dropped, mut full) = (Vec::new(), 0, false);
    let began = Instant::now();
    while !full || !waiting.is_empty() {
        full = full || enough(dropped);
        if !full && began.elapsed() >= EVERY * u32::try_from(dropped).unwrap() {
            let name = format!("{dropped:03}.csv");
            assert!(
                site.drop_file(Input { name: name.clone(), content: Content::new(Kind::Good, 1_000 + dropped, 50) })
            );
            waiting.insert(name, Instant::now());
            dropped += 1;
        }
        for path in walk(&site.archive()) {
            let name = path.file_name().unwrap().to_string_lossy();
            let done = name.split_once('-').and_then(|(_, name)| waiting.remove(name));
            took.extend(done.map(|since| since.elapsed()));
        }
        assert!(began.elapsed() < PATIENCE, "{} of {dropped} files are not done", waiting.len());
        std::thread::sleep(Duration::from_millis(5));
    }
    took.sort_unstable();
    took
}
