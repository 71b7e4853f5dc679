//! One child process, seen from the daemon.

use std::ffi::OsString;
use std::io::{self, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_util::sync::CancellationToken;

use super::pool::WorkerCommand;
use super::protocol::{Reply, Request, VERSION, receive, send};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::job::{CrashCause, Job, JobError, JobReport, Progress};
use crate::telemetry::process::processor_ticks_of;

/// How soon a stop is passed on.
const GLANCE: Duration = Duration::from_millis(200);

/// A greeting takes a moment: programs are loaded and SQL is planned.
const GREETING: Duration = Duration::from_mins(1);

/// A worker and the pipes to it. Dropping it kills the process.
pub(super) struct Process {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// How a job ended in a worker that lives on.
pub(super) struct Ended {
    pub(super) result: Result<JobReport, JobError>,
    pub(super) panicked: bool,
    pub(super) resident: u64,
}

/// How a worker came to its end.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) cause: CrashCause,
    pub(super) message: String,
}

impl Process {
    /// Starts a worker that knows `config`.
    ///
    /// Returns it with what it may still reach although no job needs it, if the kernel would not take that from it.
    pub(super) fn start(command: &WorkerCommand, config: &Config) -> Result<(Self, Option<String>), Death> {
        let mut process = Self::spawn(command)?;
        let hello = Request::Hello {
            version: VERSION.to_owned(),
            file: OsString::from(&config.file),
            text: config.text.to_string(),
        };
        if let Reply::Ready { version, unconfined } = process.greet(&hello)?
            && version == VERSION
        {
            return Ok((process, unconfined));
        }
        Err(process.death(&"it answered the greeting with something else"))
    }

    /// Has a process of its own say what is wrong with a configuration: whatever the SQL in it does, it does it to that one.
    pub(super) fn check(command: &WorkerCommand, file: &Path, text: &str) -> Result<Vec<ConfigError>, Death> {
        let mut process = Self::spawn(command)?;
        let check = Request::Check { version: VERSION.to_owned(), file: OsString::from(file), text: text.to_owned() };
        let Reply::Checked { errors } = process.greet(&check)? else {
            return Err(process.death(&"it answered the check with something else"));
        };
        Ok(errors)
    }

    fn spawn(command: &WorkerCommand) -> Result<Self, Death> {
        let spawned = Command::new(&command.program)
            .args(&command.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let spawned = spawned.and_then(|mut child| match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(replies)) => Ok(Self { child, requests, replies: BufReader::new(replies) }),
            _ => Err(io::Error::other("no pipes")),
        });
        spawned.map_err(|error| Death {
            cause: CrashCause::Exit,
            message: format!("cannot start {}: {error}", command.program.display()),
        })
    }

    /// Says the first word and waits for the answer.
    fn greet(&mut self, request: &Request) -> Result<Reply, Death> {
        send(&mut self.requests, request).map_err(|error| self.death(&error))?;
        if !self.wait(GREETING)? {
            return Err(self.hang(GREETING));
        }
        match receive(&mut self.replies) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.death(&"it left without an answer")),
            Err(error) => Err(self.death(&error)),
        }
    }

    /// Runs one job. After `stall` without a word the worker is taken for hung, and killed.
    pub(super) fn run(
        &mut self,
        job: &Job,
        stop: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
        clock: &dyn Clock,
        stall: Duration,
    ) -> Result<Ended, Death> {
        send(&mut self.requests, &Request::Run(Box::new(job.clone()))).map_err(|error| self.death(&error))?;
        let mut stopping = false;
        let mut heard = clock.monotonic();
        let mut ticks = processor_ticks_of(self.id());
        loop {
            if stop.is_cancelled() && !std::mem::replace(&mut stopping, true) {
                send(&mut self.requests, &Request::Stop).map_err(|error| self.death(&error))?;
            }
            if !self.wait(GLANCE)? {
                if clock.monotonic().saturating_sub(heard) >= stall {
                    return Err(self.hang(stall));
                }
                // Without a word, but not without work: somebody may take its place who would otherwise wait.
                let now = processor_ticks_of(self.id());
                if std::mem::replace(&mut ticks, now) != now {
                    progress(Progress::Alive);
                }
                continue;
            }
            heard = clock.monotonic();
            match receive(&mut self.replies) {
                Ok(Some(Reply::Progress(told))) => progress(told),
                Ok(Some(Reply::Ended { result, panicked, resident })) => {
                    return Ok(Ended { result: result.map(|report| *report), panicked, resident });
                }
                Ok(Some(Reply::Ready { .. } | Reply::Checked { .. })) => {
                    return Err(self.death(&"it answered a job with something else"));
                }
                Ok(None) => return Err(self.death(&"its answers ended")),
                Err(error) => return Err(self.death(&error)),
            }
        }
    }

    /// Returns the process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until there is something to read, or the end of it. Returns false if the time is over first.
    fn wait(&mut self, time: Duration) -> Result<bool, Death> {
        if !self.replies.buffer().is_empty() {
            return Ok(true);
        }
        let time = Timespec::try_from(time).ok();
        let ready = poll(&mut [PollFd::new(self.replies.get_ref(), PollFlags::IN)], time.as_ref());
        match ready {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(self.death(&error)),
        }
    }

    fn hang(&mut self, silence: Duration) -> Death {
        self.end();
        let message = format!("no word for {silence:?}: killed");
        Death { cause: CrashCause::Hang, message }
    }

    /// Finds out how the worker ended, or ends it: it cannot be understood any more.
    fn death(&mut self, error: &dyn std::fmt::Display) -> Death {
        match self.end() {
            Some(status) => Death { cause: cause(status), message: status.to_string() },
            None => Death { cause: CrashCause::Exit, message: error.to_string() },
        }
    }

    /// Ends the process; returns how it ended if it did so by itself.
    fn end(&mut self) -> Option<ExitStatus> {
        // Its pipes close a moment before it is gone.
        let pipes_closed = PollFlags::HUP;
        let mut fds = [PollFd::new(self.replies.get_ref(), pipes_closed)];
        let gone = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
        if gone {
            return self.child.wait().ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn cause(status: ExitStatus) -> CrashCause {
    match status.signal() {
        Some(6) => CrashCause::Abort,
        Some(4 | 7 | 8 | 11) => CrashCause::Segfault,
        Some(_) => CrashCause::Killed,
        None => CrashCause::Exit,
    }
}
