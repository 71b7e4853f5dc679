//! The daemon as a process: started bare or under a tracer, killed, stopped, asked.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::ledger;
use crate::scrape::Scrape;
use crate::scraper::Scraper;
use crate::site::{OnSuccess, Site, walk};

/// How long anything may take before a suite gives up. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon that was started. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The daemon, or the tracer it is the only child of.
    child: Child,
    traced: bool,
    log: PathBuf,
    began: Instant,
    ended: Option<ExitStatus>,
    /// Asks for `/metrics` all the while.
    scraper: Option<Scraper>,
    /// What was done to it may keep it from answering.
    excused: bool,
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// What was waited for is so.
    Done,
    /// The daemon ended first.
    Ended(ExitStatus),
    /// Neither, in the time given.
    InVain,
}

/// Returns the program under test: the one cargo built, or the one that `FOREBAY_BIN` names.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("FOREBAY_BIN").map_or_else(|| env!("CARGO_BIN_EXE_forebay").into(), PathBuf::from)
}

impl Daemon {
    /// Starts the daemon of a site behind the words of `tracer`, which may be none.
    pub(crate) fn spawn(site: &Site, tracer: &[String]) -> Self {
        let log = site.root.join("daemon.log");
        let program = program();
        let mut command = match tracer.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(["run", "--log-format", "json"]).current_dir(&site.root);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().expect("the daemon starts");
        let (behind, root) = (!tracer.is_empty(), child.id());
        let scraper = Some(Scraper::start(log.clone(), move || lives(root, behind)));
        Self { child, traced: behind, log, began: Instant::now(), ended: None, scraper, excused: false }
    }

    /// Starts the daemon of a site and waits until it is ready. Stops the test if it does not get there.
    #[track_caller]
    pub(crate) fn start(site: &Site) -> Self {
        let mut daemon = Self::spawn(site, &[]);
        match daemon.wait_ready() {
            Waited::Done => daemon,
            other @ (Waited::Ended(_) | Waited::InVain) => {
                panic!("not ready, but {other:?} after {:?}:\n{}", daemon.began.elapsed(), daemon.log())
            }
        }
    }

    /// Returns how long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns what it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Returns how it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Polls until `probe` says so, the daemon ends, or the time is over.
    pub(crate) fn wait(&mut self, patience: Duration, mut probe: impl FnMut(&Self) -> bool) -> Waited {
        let began = Instant::now();
        loop {
            // The end first: who ended may have done it all before.
            let ended = self.ended();
            if let Some(status) = ended {
                return Waited::Ended(status);
            }
            if probe(self) {
                return Waited::Done;
            }
            if began.elapsed() > patience {
                return Waited::InVain;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until `/-/ready` says 200.
    pub(crate) fn wait_ready(&mut self) -> Waited {
        self.wait(PATIENCE, Self::is_ready)
    }

    /// Waits until nothing lies in the inbox, nothing is claimed, and the ledger knows of nothing unfinished.
    pub(crate) fn wait_done(&mut self, site: &Site, patience: Duration) -> Waited {
        self.wait(patience, |_| is_done(site))
    }

    /// Whether `/-/ready` says 200.
    pub(crate) fn is_ready(&self) -> bool {
        self.get("/-/ready").is_some_and(|(code, _)| code == 200)
    }

    /// Asks for a path; `None` if nobody answers.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask("GET", path)
    }

    /// Posts nothing to a path; `None` if nobody answers.
    pub(crate) fn post(&self, path: &str) -> Option<(u16, String)> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let address = self.log().lines().find_map(listen)?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into();
        let url = format!("http://{address}{path}");
        let mut answer = if method == "POST" { agent.post(url).send_empty() } else { agent.get(url).call() }.ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    /// Scrapes `/metrics`; `None` if nobody answers.
    pub(crate) fn scrape(&self) -> Option<Scrape> {
        self.get("/metrics").map(|(_, text)| Scrape::parse(&text))
    }

    /// Forgives it if it did not answer: what was done to it is more than a disk would do.
    pub(crate) fn excuse(&mut self) {
        self.excused = true;
    }

    /// Stops asking for `/metrics`. Whoever lived and did not answer fails the suite.
    fn hear_out(&mut self) {
        let faults = self.scraper.take().map(Scraper::end).unwrap_or_default();
        assert!(
            faults.is_empty() || self.excused || std::thread::panicking(),
            "a live daemon did not answer:\n{}\n{}",
            faults.join("\n"),
            self.log()
        );
    }

    /// Sends a signal to the daemon, not to its tracer.
    pub(crate) fn signal(&self, signal: Signal) {
        if let (Signal::STOP | Signal::CONT, Some(scraper)) = (signal, &self.scraper) {
            scraper.excuse();
        }
        if let Some(pid) = self.pid() {
            // It may have ended this very moment.
            kill_process(pid, signal).ok();
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(pid(self.child.id(), self.traced)?)
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.hear_out();
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            if self.pid().is_none() {
                // A tracer without a child.
                self.child.kill().ok();
            }
            self.ended = Some(self.child.wait().unwrap());
        }
    }

    /// Kills one of its workers, if it has one at the moment.
    pub(crate) fn kill_a_worker(&self, rng: &mut fastrand::Rng) {
        if let Some(worker) = rng.choice(self.workers()) {
            // It may have ended this very moment.
            kill_process(worker, Signal::KILL).ok();
        }
    }

    /// Returns its workers.
    pub(crate) fn workers(&self) -> Vec<Pid> {
        let Some(pid) = self.pid() else { return Vec::new() };
        let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).into_iter().flatten().flatten();
        let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
        let children = children.collect::<Vec<_>>().join(" ");
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw).collect()
    }

    /// Asks it to stop and returns how it ended.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.hear_out();
        self.signal(Signal::TERM);
        match self.wait(PATIENCE, |_| false) {
            Waited::Ended(status) => status,
            other @ (Waited::Done | Waited::InVain) => panic!("it does not stop, {other:?}:\n{}", self.log()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            crate::measure::figures("daemon log", &tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Returns the process id of the daemon: that of `child`, or of the one child this tracer has.
fn pid(child: u32, traced: bool) -> Option<i32> {
    if !traced {
        return i32::try_from(child).ok();
    }
    let children = fs::read_to_string(format!("/proc/{child}/task/{child}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Whether the daemon lives: a process that has ended and is not waited for does not.
fn lives(child: u32, traced: bool) -> bool {
    let Some(pid) = pid(child, traced) else { return false };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether everything dropped has reached its end, as far as the folders and the ledger tell.
pub(crate) fn is_done(site: &Site) -> bool {
    let keeps = site.on_success == OnSuccess::Keep;
    let Ok(entries) = fs::read_dir(site.inbox()) else { return false };
    let waiting = entries.flatten().any(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let ours = walk(&site.claimed()).iter().all(|path| path.is_dir());
    // Last: who has just left the inbox and the work folder is not finished in here yet.
    let Some((known, unfinished)) = ledger::counts(&site.state, site.pipeline) else { return false };
    ours && unfinished == 0 && if keeps { usize::try_from(known) == Ok(site.dropped().len()) } else { !waiting }
}

/// Finds the address in a JSON log line: the value of `listen`.
pub(crate) fn listen(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let listen = line.get("listen").or_else(|| line.get("fields")?.get("listen"))?.as_str()?;
    (!listen.ends_with(":0")).then(|| listen.to_owned())
}
