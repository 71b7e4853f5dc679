//! kill -9 at random moments under load, again and again: at the start, in recovery, in the middle of everything.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::Feed;
use crate::ledger;
use crate::measure::{count, figures, is_full, left_out, random};
use crate::meddler::Meddler;
use crate::oracle;
use crate::producer::Producer;
use crate::site::{OnSuccess, Setting, Site};

/// A start that is not ready by then is one a human would look at.
const READY: Duration = Duration::from_secs(2);

/// Kills at one site at most, before the next one: the oracle reads everything after each.
const ROUND: usize = 50;

#[test]
fn random_kill() {
    let kills = count("KILLS", 25, 1_000);
    let (mut rng, seed) = random();
    let (mut starts, mut files, mut killed) = (Vec::new(), 0, 0);
    let mut meddler = Meddler::new(rng.fork());
    // The originals are archived, deleted and kept in turn.
    let each = ROUND.min(kills.div_ceil(OnSuccess::ALL.len()));
    for (turn, on_success) in OnSuccess::ALL.into_iter().cycle().enumerate() {
        let round = (kills - killed).min(each);
        if round == 0 {
            break;
        }
        let mut site = Site::new(Setting { on_success, ..Setting::default() });
        // Every other one has its output on another filesystem.
        let memory = (turn % 2 == 1).then(|| another_filesystem(&site)).flatten();
        if let Some(memory) = &memory {
            site = site.with_output(memory.path().join("out"));
        }
        let site = Arc::new(site);
        let producer = Producer::start(&site, Feed::new(rng.fork()));
        for kill in 0..round {
            let when = format!("kill {} with on_success = {} (seed {seed})", killed + kill, on_success.word());
            kill_once(&site, &mut meddler, &mut rng, &when);
        }
        killed += round;
        producer.stop();
        let when = format!("after {killed} kills, the last with on_success = {} (seed {seed})", on_success.word());
        starts.extend(oracle::recover(&site, &when));
        oracle::demand(&oracle::no_attempt_spent(&site), &when);
        files += site.dropped().len();
    }
    starts.sort_unstable();
    let (median, longest) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    let Meddler { replays, reloads, .. } = meddler;
    figures(
        "random_kill",
        &format!(
            "{kills} kills, {files} files, {replays} replays, {reloads} reloads, 0 lost, 0 doubled, 0 human actions; ready \
             after {} ms at the median, {} ms at most (seed {seed})",
            median.as_millis(),
            longest.as_millis()
        ),
    );
    // A machine that runs other tests at the same time may stall; half of the starts do not.
    let slowest = if is_full() { longest } else { median };
    assert!(slowest < READY, "a start took {slowest:?}");
    assert!(replays * 8 > kills && reloads * 8 > kills, "too little was meddled: this tests little");
}

/// Returns a folder on another filesystem than the data of a site.
fn another_filesystem(site: &Site) -> Option<TempDir> {
    let memory = tempfile::Builder::new().prefix("forebay-faults-").tempdir_in("/dev/shm").ok();
    let device = |path: &Path| path.metadata().unwrap().dev();
    let another = memory.filter(|memory| device(memory.path()) != device(&site.root));
    if another.is_none() {
        let why = "/dev/shm is no filesystem of its own here";
        assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{why}");
        left_out("random_kill with the output on another filesystem", why);
    }
    another
}

/// Lets a daemon live for a moment; one in three dies during its start.
fn kill_once(site: &Site, meddler: &mut Meddler, rng: &mut fastrand::Rng, when: &str) {
    let mut daemon = Daemon::spawn(site, &[]);
    let life = if rng.u8(..3) == 0 { rng.u64(..60) } else { rng.u64(60..700) };
    meddler.meddle(site, &mut daemon, Duration::from_millis(life));
    let ended = daemon.ended();
    assert!(ended.is_none(), "{when}: the daemon had ended by itself with {ended:?}:\n{}", daemon.log());
    daemon.kill();
    meddler.finish();
    oracle::demand(&oracle::at_any_moment(site), when);
}

/// The same for the workers of one daemon: each that dies costs an attempt of one file at most.
#[test]
fn random_worker_kill() {
    let kills = count("KILLS", 25, 1_000);
    let (mut rng, seed) = random();
    let (mut files, mut killed) = (0, 0);
    while killed < kills {
        let round = (kills - killed).min(ROUND);
        let site = Arc::new(Site::new(Setting::default()));
        let producer = Producer::start(&site, Feed::new(rng.fork()));
        let mut daemon = Daemon::start(&site);
        for kill in 0..round {
            std::thread::sleep(Duration::from_millis(rng.u64(..120)));
            let when = format!("worker kill {} (seed {seed})", killed + kill);
            let ended = daemon.ended();
            assert!(ended.is_none(), "{when}: the daemon ended with {ended:?}:\n{}", daemon.log());
            // Three deaths make a file a poison file, as they should; this is about those that are not.
            let spared = daemon.wait(PATIENCE, |_| ledger::most_attempts(&site.state).is_some_and(|most| most < 2));
            assert_eq!(spared, Waited::Done, "{when}: a file does not get done:\n{}", daemon.log());
            daemon.kill_a_worker(&mut rng);
        }
        killed += round;
        producer.stop();
        drop(daemon);
        oracle::recover(&site, &format!("after {killed} kills of workers (seed {seed})"));
        files += site.dropped().len();
    }
    let text = format!("{kills} kills of workers, {files} files, 0 lost, 0 doubled, 0 human actions (seed {seed})");
    figures("random_worker_kill", &text);
}
