//! Filesystems that hang: whoever writes there waits for as long as they do. The endpoint answers, other pipelines go on, and
//! when the filesystems come back all ends well.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, PATIENCE, Waited, is_done};
use crate::feed::{Content, Input, Kind};
use crate::measure::{figures, left_out};
use crate::mounts::{Mount, run};
use crate::oracle;
use crate::site::{Setting, Site};

/// What a file of a pipeline that hangs nowhere may take, at most.
const MOST: Duration = Duration::from_secs(3);

/// How long the filesystems hang.
const FROZEN: Duration = Duration::from_secs(6);

/// Files of each pipeline that hangs: more than there are workers.
const FILES: usize = 8;

#[test]
fn stuck_filesystems() {
    let folder = tempfile::Builder::new().prefix("forebay-faults-").tempdir().unwrap();
    let root = folder.path().to_owned();
    let site = Site::at(root.clone(), root.join("data"), root.join("state"), Setting::default());
    // One pipeline has everything on a volume of its own, another only what it publishes.
    let volumes = [("ext4", root.join("volume")), ("xfs", root.join("elsewhere/out/outputs"))];
    let volumes = volumes.map(|(kind, at)| volume(kind, &at, &root));
    let [Ok(whole), Ok(outputs)] = &volumes else {
        let why = volumes.iter().find_map(|volume| volume.as_ref().err()).unwrap();
        return left_out("stuck", &format!("no volumes can be mounted here: {why}"));
    };
    // These settle when their volumes hang already.
    let slow = Setting { settle: "1s", ..Setting::default() };
    let all_of_it = site.beside("everything", root.join("volume"), slow);
    let only_output = site.beside("outputs", root.join("elsewhere"), slow);
    let mut daemon = Daemon::start(&site);
    for (at, stuck) in [&all_of_it, &only_output].into_iter().enumerate() {
        for number in 0..FILES {
            assert!(stuck.drop_file(input(100 * (at + 1) + number)));
        }
    }
    let frozen = [whole, outputs].map(Frozen::new);
    let slowest = live(&site, &mut daemon);
    let stuck = [&all_of_it, &only_output].map(|site| !is_done(site));
    assert_eq!(stuck, [true, true], "what hangs is done: this tests nothing");
    drop(frozen);
    for site in [&site, &all_of_it, &only_output] {
        assert_eq!(daemon.wait_done(site, PATIENCE), Waited::Done, "{}: {}", site.pipeline, daemon.log());
        oracle::demand(&oracle::settled(site), &format!("{} after the thaw", site.pipeline));
        oracle::demand(&oracle::no_attempt_spent(site), site.pipeline);
    }
    assert!(daemon.stop().success());
    assert!(slowest < MOST, "a file that lies elsewhere took {slowest:?}");
    let text = format!(
        "an inbox and an output hang for {} s with {} files: a file elsewhere took {} ms at most, all is done after the thaw",
        FROZEN.as_secs(),
        2 * FILES,
        slowest.as_millis()
    );
    figures("stuck", &text);
    drop(daemon);
    for volume in volumes {
        volume.unwrap().mount.unmount().unwrap();
    }
}

fn input(serial: usize) -> Input {
    Input { name: format!("{serial:06}.csv"), content: Content::new(Kind::Good, serial, 200) }
}

/// Lets the pipeline that hangs nowhere work, and asks for the daemon's health. Returns how long the slowest file took.
fn live(site: &Site, daemon: &mut Daemon) -> Duration {
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for serial in 1_000.. {
        let dropped = Instant::now();
        assert!(site.drop_file(input(serial)));
        assert_eq!(daemon.wait_done(site, PATIENCE), Waited::Done, "a file elsewhere: {}", daemon.log());
        slowest = slowest.max(dropped.elapsed());
        let asked = Instant::now();
        assert_eq!(daemon.get("/-/healthy").map(|(code, _)| code), Some(200), "{}", daemon.log());
        assert!(asked.elapsed() < Duration::from_secs(1), "/-/healthy took {:?}", asked.elapsed());
        if began.elapsed() > FROZEN {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    slowest
}

/// A filesystem in an image of its own.
struct Volume {
    mount: Mount,
    at: PathBuf,
}

fn volume(kind: &str, at: &Path, root: &Path) -> Result<Volume, String> {
    let image = root.join(format!("{kind}.img"));
    File::create(&image).unwrap().set_len(320 << 20).unwrap();
    run(&format!("mkfs.{kind}"), &["-q", &image.display().to_string()])?;
    Ok(Volume { mount: Mount::new(kind, "loop", &image, at)?, at: at.to_owned() })
}

/// A volume that hangs, until this is dropped.
struct Frozen(PathBuf);

impl Frozen {
    fn new(volume: &Volume) -> Self {
        run("fsfreeze", &["-f", &volume.at.display().to_string()]).unwrap();
        Self(volume.at.clone())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Whoever waits there cannot even be killed before.
        run("fsfreeze", &["-u", &self.0.display().to_string()]).ok();
    }
}
