//! Power cuts: the disk is an image inside a filesystem that can clone it in an instant. What the clone holds is what had
//! reached the disk; the daemon dies, the clone takes the disk's place, and life goes on from there.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::feed::Feed;
use crate::ledger::{self, Arrival};
use crate::measure::{count, figures, has_tool, left_out, random};
use crate::mounts::{Mount, run};
use crate::oracle;
use crate::producer::Producer;
use crate::site::{Setting, Site};

/// Bytes of a volume. XFS takes no smaller one.
const VOLUME: u64 = 320 << 20;

/// Cuts one filesystem sees before a fresh one takes its place.
const CUTS: usize = 10;

/// A filesystem to be cut off.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Words for its `mkfs`.
    make: &'static [&'static str],
    /// Options for its `mount`.
    mount: &'static str,
}

#[test]
fn power_loss_on_ext4() {
    power_loss(Kind { name: "ext4", make: &["-q", "-F"], mount: "loop" });
}

#[test]
fn power_loss_on_xfs() {
    power_loss(Kind { name: "xfs", make: &["-q", "-f"], mount: "loop,nouuid" });
}

fn power_loss(kind: Kind) {
    let title = format!("power_loss on {}", kind.name);
    if !has_tool(&title, "mkfs.xfs", &["-V"]) {
        return;
    }
    let images = count("IMAGES", 6, 1_000);
    let (mut rng, seed) = random();
    let (mut cut, mut files, mut acknowledged) = (0, 0, 0);
    let mut episode = 0;
    while cut < images {
        // In every other one ledger and output have volumes of their own: the syncs of one do not carry the others along.
        let split = episode % 2 == 1;
        let mut disk = match Disk::new(kind, split) {
            Ok(disk) => disk,
            Err(why) if cut > 0 => panic!("{title}: {why}"),
            Err(why) => return left_out(&title, &format!("no images can be mounted here: {why}")),
        };
        let site = Arc::new(disk.site());
        let mut feed = Feed::new(rng.fork());
        let until = (cut + CUTS.min(images.div_ceil(2))).min(images);
        for number in cut..until {
            let when = format!("{title}, image {number} (seed {seed})");
            let acks;
            (feed, acks) = live(&site, feed, &mut disk, &mut rng, &when);
            acknowledged += acks.len();
            oracle::demand(&oracle::at_any_moment(&site), &when);
            oracle::recover(&site, &when);
            oracle::demand(&oracle::no_attempt_spent(&site), &when);
            kept(&site, &acks, &when);
        }
        (cut, episode) = (until, episode + 1);
        files += site.dropped().len();
    }
    figures(
        &title,
        &format!(
            "{images} images, {files} files, {acknowledged} acknowledgements before a cut, all kept; 0 lost, 0 doubled, 0 \
             human actions (seed {seed})"
        ),
    );
}

/// Lives until the power goes. Returns the feed, and what the ledger had acknowledged before the cut.
fn live(site: &Arc<Site>, feed: Feed, disk: &mut Disk, rng: &mut fastrand::Rng, when: &str) -> (Feed, Vec<Arrival>) {
    let mut daemon = Daemon::start(site);
    let producer = Producer::start(site, feed);
    std::thread::sleep(Duration::from_millis(rng.u64(20..400)));
    let mut feed = producer.stop();
    if rng.u8(..3) == 0 {
        // Right after an acknowledgement, with nothing else writing: a later sync would hide one that is missing.
        assert_eq!(daemon.wait_done(site, PATIENCE), Waited::Done, "{when}: {}", daemon.log());
        while !site.drop_file(feed.next()) {}
        assert_eq!(daemon.wait_done(site, PATIENCE), Waited::Done, "{when}: {}", daemon.log());
    }
    let acks = ledger::arrivals(&site.state).into_iter().filter(|arrival| arrival.state == "done").collect();
    disk.clone_now();
    daemon.kill();
    disk.power_returns();
    (feed, acks)
}

/// Everything acknowledged is as it was.
fn kept(site: &Site, acks: &[Arrival], when: &str) {
    let now = ledger::arrivals(&site.state);
    for ack in acks {
        let same = now.iter().any(|arrival| {
            (&arrival.id, &arrival.outcome, &arrival.resting) == (&ack.id, &ack.outcome, &ack.resting)
                && arrival.manifest_hash == ack.manifest_hash
        });
        assert!(same, "{when}: lost: {ack:?} was acknowledged");
        let resting = ack.resting.as_ref().unwrap();
        assert!(std::path::Path::new(resting).exists(), "{when}: lost: {resting} was acknowledged");
    }
}

/// An image with one filesystem or three, inside a filesystem that clones.
struct Disk {
    /// In the order they are unmounted.
    live: Vec<Mount>,
    _pool: Mount,
    folder: tempfile::TempDir,
    kind: Kind,
    split: bool,
}

impl Disk {
    fn new(kind: Kind, split: bool) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("forebay-faults-").tempdir().unwrap();
        let image = folder.path().join("pool.img");
        File::create(&image).unwrap().set_len(4 * VOLUME).unwrap();
        run("mkfs.xfs", &["-q", "-m", "reflink=1", &image.display().to_string()])?;
        let pool = Mount::new("xfs", "loop,nouuid", &image, &folder.path().join("pool"))?;
        let mut disk = Self { live: Vec::new(), _pool: pool, folder, kind, split };
        let image = disk.image("disk");
        File::create(&image).unwrap().set_len(VOLUME * disk.volumes()).unwrap();
        for at in 0..disk.volumes() {
            let (offset, size) = ((at * VOLUME).to_string(), VOLUME.to_string());
            let image = image.display().to_string();
            let device = run("losetup", &["-f", "--show", "-o", &offset, "--sizelimit", &size, &image])?;
            let written = run(&format!("mkfs.{}", kind.name), &[kind.make, &[device.as_str()]].concat());
            run("losetup", &["-d", &device])?;
            written?;
        }
        disk.mount()?;
        Ok(disk)
    }

    const fn volumes(&self) -> u64 {
        if self.split { 3 } else { 1 }
    }

    fn image(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("pool/{name}.img"))
    }

    fn mount(&mut self) -> Result<(), String> {
        for at in 0..self.volumes() {
            let options = format!("{},offset={},sizelimit={VOLUME}", self.kind.mount, at * VOLUME);
            let place = self.folder.path().join(format!("volume-{at}"));
            self.live.push(Mount::new(self.kind.name, &options, &self.image("disk"), &place)?);
        }
        Ok(())
    }

    fn site(&self) -> Site {
        let root = self.folder.path().to_owned();
        let data = root.join("volume-0/data");
        if !self.split {
            let state = data.join("state");
            return Site::at(root, data, state, Setting::default());
        }
        let (state, output) = (root.join("volume-1/state"), root.join("volume-2/out"));
        Site::at(root, data, state, Setting::default()).with_output(output)
    }

    /// Holds fast what is on the disk at this moment.
    fn clone_now(&self) {
        let disk = File::open(self.image("disk")).unwrap();
        let cut = File::create(self.image("cut")).unwrap();
        rustix::fs::ioctl_ficlone(cut.as_fd(), disk.as_fd()).unwrap();
    }

    /// Puts what was held fast in the disk's place. Nobody may use the disk any more.
    fn power_returns(&mut self) {
        for mount in self.live.drain(..).rev() {
            mount.unmount().unwrap();
        }
        // The loop device lets go of the image a moment later.
        let began = Instant::now();
        std::fs::rename(self.image("cut"), self.image("disk")).unwrap();
        while let Err(why) = self.mount() {
            self.live.clear();
            assert!(began.elapsed() < PATIENCE, "{why}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
