//! A daemon to do harm to. It has an address of its own, which it keeps when it is started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::inbox::Inbox;
use crate::process::{Process, free_address, get};
use crate::range::Range;
use crate::scrape::Scrape;
use crate::wait_for;

/// A daemon and its folders.
#[derive(Debug)]
pub(crate) struct Daemon<'r> {
    range: &'r Range,
    /// What Prometheus calls it.
    pub(crate) instance: &'static str,
    pub(crate) address: String,
    program: PathBuf,
    folder: TempDir,
    process: Option<Process>,
}

impl<'r> Daemon<'r> {
    /// Starts a daemon, and waits until Prometheus knows of it. `config` comes behind `[server]`; `BASE` in it is the folder.
    pub(crate) fn start(range: &'r Range, instance: &'static str, config: &str) -> Self {
        Self::start_program(range, instance, config, Path::new(env!("CARGO_BIN_EXE_forebay")))
    }

    /// The same with another program.
    pub(crate) fn start_program(range: &'r Range, instance: &'static str, config: &str, program: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("forebay-fire-").tempdir().unwrap();
        let (address, program) = (free_address(), program.to_owned());
        let mut daemon = Self { range, instance, address, program, folder, process: None };
        daemon.configure(config);
        daemon.start_again();
        range.scrape("forebay", instance, &daemon.address);
        daemon.wait_scraped();
        daemon
    }

    /// Writes its configuration.
    pub(crate) fn configure(&self, config: &str) {
        let (base, address) = (self.path("data").display().to_string(), &self.address);
        let config = config.replace("BASE", &base);
        let paths = if config.contains("[paths]") { String::new() } else { format!("[paths]\nbase = \"{base}\"\n") };
        fs::write(self.path("forebay.toml"), format!("[server]\nlisten = \"{address}\"\n\n{paths}\n{config}")).unwrap();
    }

    /// Replaces the program; the next start takes it.
    pub(crate) fn replace_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Starts it, after it was killed, and waits until it is ready.
    pub(crate) fn start_again(&mut self) {
        self.start_into(&self.path("daemon.log"));
        self.wait_ready();
    }

    /// Waits until it takes files in.
    pub(crate) fn wait_ready(&self) {
        wait_for(&format!("{} to be ready", self.instance), || get(&self.address, "/-/ready"));
    }

    /// Starts it, and lets it write its log there.
    pub(crate) fn start_into(&mut self, log: &Path) {
        let mut command = Command::new(&self.program);
        command.args(["run", "--log-format", "json"]).current_dir(self.folder.path());
        // Only a program with planted bugs heeds it.
        command.env("FOREBAY_PLANTED_BUG", "miscount-rows");
        self.process = Some(Process::start(command, log));
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Returns its process.
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// Returns the numbers of its workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process().id())).into_iter().flatten().flatten();
        let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
        children.collect::<Vec<_>>().join(" ").split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Waits until Prometheus has scraped this very process twice: then it has seen its counters at 0.
    pub(crate) fn wait_scraped(&self) {
        let instance = self.instance;
        let started = self.metric("process_start_time_seconds", &[]);
        let query = format!(
            "count_over_time(process_start_time_seconds{{job=\"forebay\", instance=\"{instance}\"}}[10s]) > 1 and \
             process_start_time_seconds > {}",
            started - 0.5
        );
        wait_for(&format!("Prometheus to scrape {instance}"), || self.range.query(&query));
    }

    /// Returns the sum of a metric, as the daemon tells it.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = wait_for(&format!("{} to answer", self.instance), || get(&self.address, "/metrics"));
        let scrape = Scrape::parse(&text);
        labels.iter().fold(scrape.metric(name), |metric, (label, value)| metric.label(label, value)).sum()
    }

    /// Waits until a metric is at least so much.
    pub(crate) fn wait_metric(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        wait_for(&format!("{name} of {}", self.instance), || (self.metric(name, labels) >= least).then_some(()));
    }

    /// Returns a path in its folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Returns the inbox of a pipeline.
    pub(crate) fn inbox(&self, pipeline: &str) -> Inbox {
        Inbox::at(self.path("data/in").join(pipeline))
    }

    /// Drops a file of so many rows and waits until it is published.
    pub(crate) fn publish(&self, pipeline: &str, name: &str, rows: usize) {
        let labels = [("pipeline", pipeline), ("outcome", "succeeded")];
        let before = self.metric("forebay_files_processed_total", &labels);
        self.inbox(pipeline).drop_rows(name, rows, 0);
        self.wait_metric("forebay_files_processed_total", &labels, before + 1.0);
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            crate::report::tell(&format!("--- the last of {}\n{}", self.instance, tail.join("\n")));
        } else {
            // In good order: nobody is paged for a daemon that Prometheus has forgotten before it ends.
            self.range.retire(self.instance);
        }
    }
}
