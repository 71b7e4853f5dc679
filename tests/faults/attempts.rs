//! Attempts that fail are counted durably: a daemon that dies between them does not begin to count anew, and does not count
//! its own deaths.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::Feed;
use crate::inventory::Inventory;
use crate::ledger;
use crate::measure::{count, figures, left_out};
use crate::oracle;
use crate::site::{OnSuccess, Setting, Site};

/// A folder in which nobody can make a folder, root included, and that can be listed and synced all the same.
const NO_ROOM: &str = "/dev/pts";

/// Failures after which the next one is the last.
const ALL: i64 = 4;

#[test]
fn attempts() {
    if !Path::new(NO_ROOM).is_dir() {
        return left_out("attempts", "there is no /dev/pts");
    }
    // Waiting for all of them takes 40 s.
    let wanted = i64::try_from(count("ATTEMPTS", 2, 4)).unwrap();
    let site =
        Site::new(Setting { workers: 1, settle: "10ms", scan_interval: "300ms", on_success: OnSuccess::Archive });
    fs::create_dir_all(site.output().join(".forebay")).unwrap();
    let staging = site.output().join(".forebay/staging");
    std::os::unix::fs::symlink(NO_ROOM, &staging).unwrap();
    assert!(site.drop_file(Feed::one_of_each().remove(0)));
    let mut deaths = 0;
    while counted(&site) < wanted {
        let before = counted(&site);
        let mut daemon = Daemon::start(&site);
        assert!(counted(&site) >= before, "a restart forgets attempts");
        let patience = Duration::from_secs(if wanted == ALL { 60 } else { 10 });
        let came = daemon.wait(patience, |_| counted(&site) > before);
        assert_eq!(came, Waited::Done, "attempt {} is not counted:\n{}", before + 1, daemon.log());
        daemon.kill();
        deaths += 1;
    }
    assert_eq!(counted(&site), wanted, "an attempt is counted twice");
    if wanted == ALL {
        // The wait before the fifth attempt is the longest: 27 s.
        let mut daemon = Daemon::start(&site);
        assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done, "{}", daemon.log());
        let arrivals = ledger::arrivals(&site.state);
        assert_eq!(arrivals[0].outcome.as_deref(), Some("failed"), "{arrivals:?}");
        assert_eq!(Inventory::of(&site).quarantine.len(), 1, "the original is kept");
        assert_eq!(counted(&site), ALL + 1, "the last attempt counts too");
    } else {
        fs::remove_file(&staging).unwrap();
        oracle::recover(&site, "after the failures");
        assert_eq!(counted(&site), wanted);
    }
    figures("attempts", &format!("{wanted} failed attempts, {deaths} times kill -9 after one, all counted, once"));
}

/// The wait before the next attempt is in the ledger, so a restart must not cut it short: a daemon that is started again and
/// again would spend all attempts at once.
#[test]
fn a_restart_does_not_cut_the_wait_short() {
    let site =
        Site::new(Setting { workers: 1, settle: "10ms", scan_interval: "300ms", on_success: OnSuccess::Archive });
    fs::create_dir_all(site.output().join(".forebay")).unwrap();
    std::os::unix::fs::symlink(NO_ROOM, site.output().join(".forebay/staging")).unwrap();
    assert!(site.drop_file(Feed::one_of_each().remove(0)));
    for number in 1..=2 {
        // The first failure is followed by a wait of 0.5 to 1 s, the second by one of 1.5 to 3 s.
        let mut daemon = Daemon::start(&site);
        assert_eq!(daemon.wait(PATIENCE, |_| counted(&site) >= number), Waited::Done, "{}", daemon.log());
        daemon.kill();
    }
    let mut daemon = Daemon::start(&site);
    assert_eq!(daemon.wait(Duration::from_secs(1), |_| counted(&site) > 2), Waited::InVain, "the third came at once");
}

fn counted(site: &Site) -> i64 {
    ledger::arrivals(&site.state).iter().map(|arrival| arrival.attempts).sum()
}
