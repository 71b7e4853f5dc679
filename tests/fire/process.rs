//! Programs that end with the test.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A program that was started. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program that writes what it says into `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self(started)
    }

    /// Returns its number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.id(), signal);
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may be gone already.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process, which may have ended this very moment.
pub(crate) fn send(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal).ok();
}

/// Returns an address that was free a moment ago: not every program can choose one and say which.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Asks over HTTP; `None` unless somebody answers with 200.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    ureq::get(format!("http://{address}{path}")).call().ok()?.body_mut().read_to_string().ok()
}
