//! Volumes without room.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::Drill;
use crate::inbox::COLUMNS;
use crate::mounts::Mount;
use crate::range::Range;

/// A small volume. Unmounted when it is dropped.
struct Volume {
    _mount: Mount,
    folder: tempfile::TempDir,
}

impl Volume {
    /// Mounts one of 16 MiB. Needs root; tells why if it cannot be.
    fn mount() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("forebay-fire-").tempdir().unwrap();
        match Mount::new("tmpfs", "size=16m", Path::new("forebay-fire"), &folder.path().join("volume")) {
            Ok(mount) => Ok(Self { _mount: mount, folder }),
            Err(why) => {
                assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{why}");
                Err(format!("nothing can be mounted here, or not by this user: {why}"))
            }
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join("volume").join(relative)
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = File::create(self.path("ballast")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    /// Takes so many bytes more.
    fn take(&self, bytes: usize) {
        let mut file = File::options().create(true).append(true).open(self.path("ballast")).unwrap();
        file.write_all(&vec![7; bytes]).unwrap();
    }

    /// Gives back what was taken.
    fn free(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }
}

/// Returns a config whose data lie on a volume, and its ledger elsewhere; or the other way round.
fn config(base: &Path, state: &str) -> String {
    let base = base.display();
    format!("[paths]\nbase = \"{base}\"\nstate = \"{state}\"\n\n[pipelines.p]\nsettle = \"50ms\"\n{COLUMNS}\n")
}

/// There is no room for results: work waits, and is done when there is.
pub(crate) fn full(range: &Range) -> Result<(), String> {
    let volume = Volume::mount()?;
    let daemon = Daemon::start(range, "full", &config(&volume.path("data"), "BASE/state"));
    let inbox = crate::inbox::Inbox::at(volume.path("data/in/p"));
    inbox.drop_rows(".hidden", 1_000, 0);
    volume.fill();
    fs::rename(inbox.path().join(".hidden"), inbox.path().join("a.csv")).unwrap();
    daemon.wait_metric("forebay_backpressure_active", &[], 1.0);
    let mut drill =
        Drill::begin(range, Alert::critical("ForebayDiskFillingUp", daemon.instance), "a full volume, work waits");
    drill.wait_page();
    volume.free();
    let mended = Instant::now();
    daemon.wait_metric("forebay_files_processed_total", &[("outcome", "succeeded")], 1.0);
    drill.wait_resolved_since("room made", mended);
    Ok(())
}

/// There is no room for the ledger.
pub(crate) fn ledger(range: &Range) -> Result<(), String> {
    let volume = Volume::mount()?;
    let folder = tempfile::Builder::new().prefix("forebay-fire-").tempdir().unwrap();
    let state = volume.path("state").display().to_string();
    let daemon = Daemon::start(range, "forgetful", &config(folder.path(), &state));
    // It waits for room, and says that, too.
    range.allow(Alert::critical("ForebayDiskFillingUp", daemon.instance));
    let inbox = crate::inbox::Inbox::at(folder.path().join("in/p"));
    volume.fill();
    let mut files = 0;
    crate::wait_for("an error of the ledger", || {
        files += 1;
        inbox.drop_rows(&format!("{files}.csv"), 10, 0);
        (daemon.metric("forebay_ledger_errors_total", &[]) > 0.5).then_some(())
    });
    let alert = Alert::critical("ForebayLedgerErrors", daemon.instance);
    let mut drill = Drill::begin(range, alert, "no room where the ledger lies");
    drill.wait_page();
    volume.free();
    let mended = Instant::now();
    daemon.wait_metric("forebay_files_processed_total", &[("outcome", "succeeded")], f64::from(files));
    drill.wait_resolved_since("room made", mended);
    Ok(())
}

/// A volume fills up slowly, and would be full within a day.
pub(crate) fn filling(range: &Range) -> Result<(), String> {
    let volume = Volume::mount()?;
    let daemon = Daemon::start(range, "filling", &config(&volume.path("data"), "BASE/state"));
    volume.take(10 << 20);
    let mut drill =
        Drill::begin(range, Alert::warning("ForebayDiskFillingUp", daemon.instance), "a volume fills up slowly");
    let (done, began) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It ends in any case: a page that does not come ends the drill.
            while !done.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
                volume.take(8 << 10);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        drill.wait_page();
        done.store(true, Ordering::Relaxed);
    });
    volume.free();
    drill.wait_resolved("room made");
    Ok(())
}
