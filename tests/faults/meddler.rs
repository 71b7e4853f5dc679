//! Operators who replay files and reload the configuration while the daemon runs, dies, and starts.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemon::{Daemon, program};
use crate::ledger;
use crate::site::{OnSuccess, Site};

/// Asks for something every now and then.
#[derive(Debug)]
pub(crate) struct Meddler {
    rng: fastrand::Rng,
    /// `forebay replay` under way; they may outlive the daemon.
    asked: Vec<Child>,
    /// Replays that were taken on.
    pub(crate) replays: usize,
    /// Reloads that were asked for.
    pub(crate) reloads: usize,
}

impl Meddler {
    pub(crate) const fn new(rng: fastrand::Rng) -> Self {
        Self { rng, asked: Vec::new(), replays: 0, reloads: 0 }
    }

    /// Meddles with a daemon for so long, if it lives.
    pub(crate) fn meddle(&mut self, site: &Site, daemon: &mut Daemon, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && daemon.ended().is_none() {
            match self.rng.u8(..8) {
                0 if daemon.is_ready() => self.reload(site, daemon),
                1..4 if site.on_success == OnSuccess::Archive => self.replay(site),
                _ => {}
            }
            let pause = Duration::from_millis(self.rng.u64(5..80));
            std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Asks for the replay of any file that is published, and does not wait for the answer.
    fn replay(&mut self, site: &Site) {
        let Some(id) = self.rng.choice(ledger::replayable(&site.state)) else { return };
        let mut command = Command::new(program());
        command.args(["replay", &id]).current_dir(&site.root);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.asked.push(command.spawn().unwrap());
    }

    /// Changes what changes no result, and has it taken up, one way or the other.
    fn reload(&mut self, site: &Site, daemon: &Daemon) {
        let change = |line: &str, rng: &mut fastrand::Rng| match line.split_once(" = ") {
            Some(("workers", _)) => format!("workers = {}", rng.u8(1..4)),
            Some(("scan_interval", _)) => format!("scan_interval = \"{}ms\"", rng.u16(500..3_000)),
            _ => line.to_owned(),
        };
        let lines: Vec<String> = site.config().lines().map(|line| change(line, &mut self.rng)).collect();
        site.configure(&(lines.join("\n") + "\n"));
        if self.rng.bool() {
            daemon.signal(Signal::HUP);
        } else if let Some((code, said)) = daemon.post("/-/reload") {
            assert_eq!(code, 200, "a sound config is refused: {said}");
        }
        self.reloads += 1;
    }

    /// Waits for everybody who asked. A file that went its way meanwhile may be refused, in words.
    pub(crate) fn finish(&mut self) {
        for child in self.asked.drain(..) {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => self.replays += 1,
                Some(1) => {}
                _ => panic!("forebay replay ended with {}: {said}", output.status),
            }
        }
    }
}
