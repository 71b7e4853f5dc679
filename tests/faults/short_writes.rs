//! Short writes: no file may grow beyond a limit, so one write ends in its middle, and the next one fails. First for a worker,
//! which writes the results, then for the daemon, which writes all else.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::{Content, Feed, Input, Kind};
use crate::ledger;
use crate::measure::{count, figures, random};
use crate::oracle;
use crate::site::{OnSuccess, Setting, Site};

/// How long a daemon may try under a limit: less than five attempts take.
const TRIES: Duration = Duration::from_secs(2);

/// Bytes that results of the workload reach, large and small.
const OF_A_WORKER: std::ops::Range<u64> = 100..30_000;

/// Blocks of 512 bytes that the ledger's log reaches.
const OF_THE_DAEMON: std::ops::Range<u32> = 2..300;

#[test]
fn short_writes() {
    let cycles = count("CYCLES", 6, 200);
    let (mut rng, seed) = random();
    let (mut felt, mut ended, mut attempts) = (0, 0, 0);
    for cycle in 0..cycles {
        let site =
            Site::new(Setting { workers: 1, settle: "10ms", scan_interval: "300ms", on_success: OnSuccess::Archive });
        // The ledger is there before: without one there would be nothing to tell.
        assert!(Daemon::start(&site).stop().success());
        let when = if cycle % 2 == 0 {
            let bytes = rng.u64(OF_A_WORKER);
            let when = format!("a worker's files end at {bytes} bytes (seed {seed})");
            limit_a_worker(&site, bytes, &when);
            when
        } else {
            let blocks = rng.u32(OF_THE_DAEMON);
            let when = format!("files end at {blocks} blocks of 512 bytes (seed {seed})");
            ended += usize::from(limit_the_daemon(&site, blocks, &when));
            when
        };
        oracle::demand(&oracle::at_any_moment(&site), &when);
        let spent: i64 = ledger::arrivals(&site.state).iter().map(|arrival| arrival.attempts).sum();
        felt += usize::from(spent > 0);
        attempts += spent;
        oracle::recover(&site, &when);
    }
    figures(
        "short_writes",
        &format!(
            "{cycles} limits: {ended} ended the daemon, {felt} failed {attempts} attempts; 0 lost, 0 doubled, 0 human actions \
             (seed {seed})"
        ),
    );
    assert!(felt > 0 && ended > 0, "{felt} limits were felt by a worker, {ended} by the daemon: this tests little");
}

/// Runs the workload with a first worker whose files have a limit. The daemon gets over it by itself.
fn limit_a_worker(site: &Site, bytes: u64, when: &str) {
    let mut daemon = Daemon::spawn(site, &ignoring_the_signal(""));
    assert_eq!(daemon.wait_ready(), Waited::Done, "{when}:\n{}", daemon.log());
    let [worker] = daemon.workers()[..] else { panic!("{when}: there is to be one worker: {:?}", daemon.workers()) };
    prlimit(Some(worker), Resource::Fsize, Rlimit { current: Some(bytes), maximum: Some(bytes) }).unwrap();
    drop_all(site);
    assert_eq!(daemon.wait_done(site, PATIENCE), Waited::Done, "{when}:\n{}", daemon.log());
    daemon.stop();
}

/// Runs the workload with a daemon whose files have a limit. Returns whether that ended it.
fn limit_the_daemon(site: &Site, blocks: u32, when: &str) -> bool {
    drop_all(site);
    let mut daemon = Daemon::spawn(site, &ignoring_the_signal(&format!("ulimit -f {blocks}; ")));
    // With its log cut short it may not tell where it listens.
    daemon.excuse();
    let waited = daemon.wait_done(site, TRIES);
    if let Waited::Ended(status) = waited {
        assert_eq!(status.code(), Some(70), "{when}:\n{}", daemon.log());
    }
    daemon.kill();
    matches!(waited, Waited::Ended(_))
}

fn drop_all(site: &Site) {
    let long = Input { name: "long.csv".to_owned(), content: Content::new(Kind::Dirty, 9, 50_000) };
    for input in Feed::one_of_each().into_iter().chain([long]) {
        assert!(site.drop_file(input));
    }
}

/// The words before the program: a shell that stays, and sees to it that a call above a limit answers instead of killing.
fn ignoring_the_signal(then: &str) -> Vec<String> {
    let script = format!("trap '' XFSZ; {then}\"$0\" \"$@\"; exit $?");
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}
