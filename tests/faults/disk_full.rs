//! Volumes that fill up and are freed, again and again: the daemon waits, goes on by itself, and spends no attempt on it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::daemon::{Daemon, PATIENCE, Waited, is_done};
use crate::feed::{Content, Input, Kind};
use crate::measure::{count, figures, left_out, random};
use crate::mounts::Mount;
use crate::oracle;
use crate::site::{Setting, Site};

/// What runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scarce {
    /// Bytes where the inputs and the results lie.
    Bytes,
    /// Inodes there.
    Inodes,
    /// Bytes where the results lie, and nothing else.
    Output,
    /// Bytes where the ledger lies.
    Ledger,
}

#[test]
fn disk_full() {
    disk("disk_full", Scarce::Bytes, "size=16m", count("CYCLES", 3, 100));
}

#[test]
fn no_inodes() {
    disk("no_inodes", Scarce::Inodes, "size=32m,nr_inodes=4000", count("CYCLES", 2, 100));
}

#[test]
fn output_full() {
    disk("output_full", Scarce::Output, "size=16m", count("CYCLES", 2, 100));
}

#[test]
fn ledger_full() {
    disk("ledger_full", Scarce::Ledger, "size=16m", count("CYCLES", 2, 100));
}

fn disk(title: &str, scarce: Scarce, options: &str, cycles: usize) {
    let folder = tempfile::Builder::new().prefix("forebay-faults-").tempdir().unwrap();
    let volume = folder.path().join("volume");
    let mount = match Mount::new("tmpfs", options, Path::new("forebay-faults"), &volume) {
        Ok(mount) => mount,
        Err(why) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{why}");
            return left_out(title, &why);
        }
    };
    let root = folder.path().to_owned();
    let (data, state) = match scarce {
        Scarce::Bytes | Scarce::Inodes => (volume.join("data"), root.join("state")),
        Scarce::Output => (root.join("data"), root.join("state")),
        Scarce::Ledger => (root.join("data"), volume.join("state")),
    };
    let mut site = Site::at(root, data, state, Setting::default());
    if scarce == Scarce::Output {
        site = site.with_output(volume.join("out"));
    }
    let (mut rng, seed) = random();
    let (mut pressed, mut killed) = (0, 0);
    let mut daemon = Daemon::start(&site);
    for cycle in 0..cycles {
        let when = format!("{title}, cycle {cycle} (seed {seed})");
        if scarce == Scarce::Ledger {
            // A ledger that was closed has no room of its own left.
            assert!(daemon.stop().success());
            daemon = Daemon::start(&site);
        }
        // The producer got its files in before the disk was full: under a name that is not taken yet.
        let inputs = inputs(cycle);
        let hidden: Vec<PathBuf> = inputs.iter().map(|input| hide(&site, input)).collect();
        let ballast = Ballast::fill(&volume, scarce);
        for (input, path) in inputs.iter().zip(&hidden) {
            fs::rename(path, site.inbox().join(&input.name)).unwrap();
            site.note_drop(input.clone());
        }
        let came = daemon.wait(PATIENCE, |daemon| is_pressed(daemon) || is_done(&site));
        assert_eq!(came, Waited::Done, "{when}: no back-pressure:\n{}", daemon.log());
        pressed += usize::from(is_pressed(&daemon));
        if rng.u8(..3) == 0 {
            killed += 1;
            daemon.kill();
            oracle::demand(&oracle::at_any_moment(&site), &when);
            daemon = start_on_full(&site, scarce, &when);
        }
        drop(ballast);
        if daemon.ended().is_some() {
            daemon = Daemon::start(&site);
        }
        assert_eq!(daemon.wait_done(&site, PATIENCE), Waited::Done, "{when}: needs a human:\n{}", daemon.log());
        oracle::demand(&oracle::settled(&site), &when);
        oracle::demand(&oracle::no_attempt_spent(&site), &when);
    }
    assert!(daemon.stop().success());
    oracle::recover(&site, title);
    figures(
        title,
        &format!(
            "{cycles} times filled and freed, {pressed} times back-pressure, {killed} kills meanwhile, {} files; 0 lost, 0 \
             doubled, 0 attempts spent, 0 human actions (seed {seed})",
            site.dropped().len()
        ),
    );
    assert!(pressed * 2 >= cycles, "only {pressed} of {cycles} fillings were felt: this tests little");
    drop(daemon);
    mount.unmount().unwrap();
}

/// Starts on a full disk. Only a ledger without room for a byte may refuse, and leaves it to the next start.
fn start_on_full(site: &Site, scarce: Scarce, when: &str) -> Daemon {
    let mut daemon = Daemon::spawn(site, &[]);
    match daemon.wait_ready() {
        Waited::Done => {}
        Waited::Ended(status) if scarce == Scarce::Ledger && status.code() == Some(70) => {}
        other @ (Waited::Ended(_) | Waited::InVain) => {
            panic!("{when}: {other:?} at a start on a full disk:\n{}", daemon.log())
        }
    }
    daemon
}

/// Returns a sound file, one with rejects, a broken one, and one with too many rejects.
fn inputs(cycle: usize) -> Vec<Input> {
    let kinds = [Kind::Good, Kind::Dirty, Kind::Broken, Kind::Refused];
    let input = |(at, kind)| {
        let serial = cycle * kinds.len() + at + 1;
        Input { name: format!("{serial:06}.csv"), content: Content::new(kind, serial, 500) }
    };
    kinds.into_iter().enumerate().map(input).collect()
}

/// Puts a file into the inbox under a name that is never taken.
fn hide(site: &Site, input: &Input) -> PathBuf {
    let path = site.inbox().join(format!(".{}.tmp", input.name));
    fs::write(&path, &input.content.bytes).unwrap();
    path
}

fn is_pressed(daemon: &Daemon) -> bool {
    daemon.scrape().is_some_and(|scrape| scrape.metric("forebay_backpressure_active").sum() > 0.5)
}

/// What takes all the room; gone when it is dropped.
struct Ballast(PathBuf);

impl Ballast {
    /// Takes everything there is.
    fn fill(volume: &Path, scarce: Scarce) -> Self {
        let folder = volume.join("ballast");
        fs::create_dir(&folder).unwrap();
        if scarce == Scarce::Inodes {
            for number in 0.. {
                if File::create(folder.join(number.to_string())).is_err() {
                    break;
                }
            }
        } else {
            let mut file = File::create(folder.join("0")).unwrap();
            while file.write_all(&[7; 4096]).is_ok() {}
        }
        Self(folder)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
