//! Files that no event tells of, and files that are not finished when an event does: none missed, none taken half.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemon::{Daemon, Waited};
use crate::feed::{Content, Input, Kind};
use crate::ledger;
use crate::measure::{count, figures};
use crate::oracle;
use crate::site::{OnSuccess, Setting, Site};

/// No scan but the first: only events and what follows a lost one can find a file.
const SETTING: Setting = Setting { workers: 2, settle: "1s", scan_interval: "1h", on_success: OnSuccess::Archive };

/// Without progress for so long, files were missed.
const STALLED: Duration = Duration::from_secs(15);

/// Files of each manner of the second part.
const EACH: usize = 8;

#[test]
fn watcher() {
    let burst = count("BURST", 3_000, 100_000);
    let site = Site::new(SETTING);
    let mut daemon = Daemon::start(&site);
    let before = ledger::arrivals(&site.state);
    lose_events(&site, &daemon, burst);
    finish(&site, &mut daemon);
    let overflows = daemon.scrape().unwrap().metric("forebay_watch_overflows_total").value();
    assert!(overflows > 0.5, "no event was lost: this tests nothing");
    let unfinished = producers(&site);
    finish(&site, &mut daemon);
    oracle::demand(&oracle::settled(&site), "watcher");
    oracle::demand(&oracle::metrics_agree(&site, &daemon, &before, oracle::Ask::All), "watcher");
    assert!(daemon.stop().success());
    oracle::recover(&site, "watcher");
    figures(
        "watcher",
        &format!(
            "{burst} files while events were lost ({overflows} overflows), {unfinished} slow, renamed, overwritten or deleted; \
             0 missed, 0 taken half, 0 lost, 0 doubled"
        ),
    );
}

/// Drops files while the daemon stands still and its queue of events is full: none of them is told of.
fn lose_events(site: &Site, daemon: &Daemon, burst: usize) {
    daemon.signal(Signal::STOP);
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let names = [site.inbox().join(".even.tmp"), site.inbox().join(".odd.tmp")];
    for name in &names {
        fs::write(name, "").unwrap();
    }
    // Two in turn: the same event twice in a row would be one.
    for at in 0..queue + 1_000 {
        let mode = if at % 4 < 2 { 0o600 } else { 0o644 };
        fs::set_permissions(&names[at % 2], Permissions::from_mode(mode)).unwrap();
    }
    for name in &names {
        fs::remove_file(name).unwrap();
    }
    for number in 0..burst {
        let kind = if number % 10 == 0 { Kind::Dirty } else { Kind::Good };
        let input = Input { name: format!("{number:06}.csv"), content: Content::new(kind, number, 10) };
        fs::write(site.inbox().join(&input.name), &input.content.bytes).unwrap();
        site.note_drop(input);
    }
    daemon.signal(Signal::CONT);
}

/// Waits until all is done, for as long as it goes on.
fn finish(site: &Site, daemon: &mut Daemon) {
    let mut known = 0;
    loop {
        match daemon.wait_done(site, STALLED) {
            Waited::Done => return,
            Waited::Ended(status) => panic!("the daemon ended with {status}:\n{}", daemon.log()),
            Waited::InVain => {}
        }
        let now = ledger::arrivals(&site.state).len();
        assert!(now > known, "missed: {now} of {} files are known, and no more for {STALLED:?}", site.dropped().len());
        known = now;
    }
}

/// Producers of many manners at once. Returns how many files they made.
fn producers(site: &Site) -> usize {
    let mut made = 0;
    let mut content = || {
        made += 1;
        Content::new(Kind::Good, 500_000 + made, 200)
    };
    let inbox = site.inbox();
    std::thread::scope(|scope| {
        for number in 0..EACH {
            let (slow, renamed, old, new, gone) = (content(), content(), content(), content(), content());
            let inbox = &inbox;
            let write = |name: &str, content: &Content| fs::write(inbox.join(name), &content.bytes).unwrap();
            // Written bit by bit, with pauses shorter than `settle`.
            let name = format!("slow-{number}.csv");
            note(site, &name, &slow);
            scope.spawn(move || trickle(&inbox.join(name), &slow.bytes));
            // Renamed twice, the last time to its name.
            let name = format!("renamed-{number}.csv");
            write(&format!("renamed-{number}.part"), &renamed);
            fs::rename(inbox.join(format!("renamed-{number}.part")), inbox.join(format!("early-{number}.csv")))
                .unwrap();
            fs::rename(inbox.join(format!("early-{number}.csv")), inbox.join(&name)).unwrap();
            note(site, &name, &renamed);
            // Overwritten before it has settled, in place and by a rename.
            let name = format!("overwritten-{number}.csv");
            write(&name, &old);
            if number % 2 == 0 {
                write(&name, &new);
            } else {
                write(".new.tmp", &new);
                fs::rename(inbox.join(".new.tmp"), inbox.join(&name)).unwrap();
            }
            note(site, &name, &new);
            // Deleted before it has settled.
            write(&format!("gone-{number}.csv"), &gone);
            fs::remove_file(inbox.join(format!("gone-{number}.csv"))).unwrap();
        }
    });
    made
}

fn note(site: &Site, name: &str, content: &Arc<Content>) {
    site.note_drop(Input { name: name.to_owned(), content: Arc::clone(content) });
}

/// Writes bit by bit for twice as long as `settle`.
fn trickle(path: &std::path::Path, bytes: &[u8]) {
    let began = Instant::now();
    for part in bytes.chunks(bytes.len() / 20 + 1) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "too slow to say anything");
}
