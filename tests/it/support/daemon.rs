//! A running daemon.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Project, Scrape, wait_for};

/// A daemon that is ready. Killed at the end of the test, if it still runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: std::path::PathBuf,
    /// Where it listens.
    addresses: Vec<String>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) code: u16,
    /// The body.
    pub(crate) body: String,
    /// `Content-Type`.
    pub(crate) content_type: String,
}

impl Daemon {
    /// Starts the daemon of a project and waits until `/-/ready` says 200.
    #[track_caller]
    pub(crate) fn start(project: &Project) -> Self {
        Self::spawn(project, &[]).until_ready()
    }

    /// Starts the daemon as the user nobody, for whom there are files that cannot be read. Needs root and `setpriv`.
    #[track_caller]
    pub(crate) fn start_as_nobody(project: &Project) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_forebay"), "run", "--log-format", "json"]);
        command.current_dir(project.path(""));
        Self::launch(project, command).until_ready()
    }

    #[track_caller]
    fn until_ready(self) -> Self {
        wait_for("the daemon to be ready", || (self.try_get("/-/ready").ok()?.code == 200).then_some(()));
        self
    }

    /// Starts the daemon and waits only until it listens.
    #[track_caller]
    pub(crate) fn spawn(project: &Project, args: &[&str]) -> Self {
        Self::launch(project, project.cli().arg("run").args(["--log-format", "json"]).args(args).into_command())
    }

    /// Starts the daemon of a project by this command, and waits only until it listens.
    #[track_caller]
    pub(crate) fn launch(project: &Project, mut command: Command) -> Self {
        let number = (1..1000).find(|number| !project.path(format!("daemon-{number}.log")).exists()).unwrap();
        let log = project.path(format!("daemon-{number}.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().expect("the daemon starts");
        let mut daemon = Self { child, log, addresses: Vec::new() };
        daemon.addresses = wait_for("the daemon to listen", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended with {status} before it listened:\n{}", daemon.log());
            }
            daemon.log().lines().find_map(addresses)
        });
        daemon
    }

    /// Returns all it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns every address it listens on.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    /// Returns the first address it listens on.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// Asks for a path.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// Asks for a path with these headers.
    #[track_caller]
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(path, headers).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }

    /// Asks for a path, and may find nobody there.
    pub(crate) fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.ask(path, &[])
    }

    /// Posts nothing to a path, with these headers.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("http://{}{path}", self.address()));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut answer = request.send_empty().unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.log()));
        let body = answer.body_mut().read_to_string().unwrap();
        Answer { code: answer.status().as_u16(), content_type: String::new(), body }
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(std::time::Duration::from_secs(20)))
            .build()
            .into();
        let request = agent.get(format!("http://{}{path}", self.address()));
        let mut answer = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).call()?;
        let content_type =
            answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Answer {
            code: answer.status().as_u16(),
            content_type: content_type.to_owned(),
            body: answer.body_mut().read_to_string()?,
        })
    }

    /// Scrapes `/metrics`.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        Scrape::parse(&self.get("/metrics").body)
    }

    /// Waits until so many files of a pipeline have reached an outcome.
    #[track_caller]
    pub(crate) fn wait_processed(&self, pipeline: &str, files: u64) {
        wait_for(&format!("{files} files of {pipeline} to be processed"), || {
            let done = self.scrape().metric("forebay_files_processed_total").label("pipeline", pipeline).sum();
            #[expect(clippy::cast_precision_loss, reason = "tests count few files")]
            let enough = done >= files as f64;
            enough.then_some(())
        });
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        wait_for("the daemon to end", || self.child.try_wait().unwrap())
    }

    /// Sends SIGTERM, waits for the end, and stops the test unless it was a clean one.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "the daemon did not stop cleanly:\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
        // A second panic would hide the first.
        if std::thread::panicking()
            && let Ok(log) = std::fs::read(&self.log)
        {
            eprintln!("--- daemon log\n{}", String::from_utf8_lossy(&log));
        }
    }
}

/// Finds the address in a JSON log line: the value of `listen`.
fn addresses(line: &str) -> Option<Vec<String>> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let listen = line.get("listen").or_else(|| line.get("fields")?.get("listen"))?.as_str()?;
    (!listen.ends_with(":0")).then(|| listen.split(',').map(str::to_owned).collect())
}
