//! One child process, seen from the daemon.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::pool::WorkerCommand;
use super::protocol::{Reply, Request, VERSION, send};
use super::replies::Replies;
use crate::clock::{Clock, SystemClock};
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
    replies: Replies,
}

/// When a worker is taken for hung.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// After so long without a word.
    silence: Duration,
    /// After so long with one job.
    job: Duration,
}

impl Patience {
    pub(super) const fn of(config: &Config) -> Self {
        Self { silence: config.stall_timeout, job: config.job_timeout }
    }

    /// Returns why it is over, if it is.
    fn is_over(self, job: Duration, silence: Duration) -> Option<String> {
        if silence >= self.silence {
            return Some(format!("no word for {:?} (limits.stall_timeout)", self.silence));
        }
        (job >= self.job).then(|| format!("not done after {:?} (limits.job_timeout)", self.job))
    }
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
            (Some(requests), Some(replies)) => Replies::new(replies).map(|replies| Self { child, requests, replies }),
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
        let began = SystemClock.monotonic();
        loop {
            let left = GREETING.saturating_sub(SystemClock.monotonic().saturating_sub(began));
            if let Some(reply) = self.hear(left)? {
                return Ok(reply);
            }
            if left.is_zero() {
                return Err(self.hang(&format!("no word for {GREETING:?}")));
            }
        }
    }

    /// Runs one job, and is not more patient than it was told: a worker that is taken for hung is killed.
    pub(super) fn run(
        &mut self,
        job: &Job,
        stop: &CancellationToken,
        progress: &(dyn Fn(Progress) + Sync),
        clock: &dyn Clock,
        patience: Patience,
    ) -> Result<Ended, Death> {
        send(&mut self.requests, &Request::Run(Box::new(job.clone()))).map_err(|error| self.death(&error))?;
        let mut stopping = false;
        let began = clock.monotonic();
        let mut heard = began;
        let mut ticks = processor_ticks_of(self.id());
        loop {
            if stop.is_cancelled() && !std::mem::replace(&mut stopping, true) {
                send(&mut self.requests, &Request::Stop).map_err(|error| self.death(&error))?;
            }
            let reply = self.hear(GLANCE)?;
            let now = clock.monotonic();
            if let Some(why) = patience.is_over(now.saturating_sub(began), now.saturating_sub(heard))
                && !matches!(reply, Some(Reply::Ended { .. }))
            {
                return Err(self.hang(&why));
            }
            let Some(reply) = reply else {
                // Without a word, but not without work: somebody may take its place who would otherwise wait.
                let now = processor_ticks_of(self.id());
                if std::mem::replace(&mut ticks, now) != now {
                    progress(Progress::Alive);
                }
                continue;
            };
            heard = now;
            match reply {
                Reply::Progress(told) => progress(told),
                Reply::Ended { result, panicked, resident } => {
                    return Ok(Ended { result: result.map(|report| *report), panicked, resident });
                }
                Reply::Ready { .. } | Reply::Checked { .. } => {
                    return Err(self.death(&"it answered a job with something else"));
                }
            }
        }
    }

    /// Returns the process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it says, if that comes within this time.
    fn hear(&mut self, time: Duration) -> Result<Option<Reply>, Death> {
        self.replies.next(time).map_err(|error| self.death(&error))
    }

    fn hang(&mut self, why: &str) -> Death {
        self.end();
        Death { cause: CrashCause::Hang, message: format!("{why}: killed") }
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
        if self.replies.ended() {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::job::{FileId, FileStamp, Timestamp};

    /// A job whose files nobody looks at.
    pub(in crate::worker) fn a_job() -> Job {
        Job {
            id: FileId::parse("01a").unwrap(),
            pipeline: "p".to_owned(),
            input: "/x".into(),
            name: "x".to_owned(),
            stamp: FileStamp { dev: 1, ino: 2, size: 3, mtime_ns: 4 },
            arrived_at: Timestamp(7),
            staging: "/y".into(),
            attempt: 1,
            trace_id: String::new(),
        }
    }

    /// How a job ends in a worker that greets well and then does this.
    fn fate(then: &str, patience: Patience) -> Death {
        let ready = serde_json::to_string(&Reply::Ready { version: VERSION.to_owned(), unconfined: None }).unwrap();
        let script = format!("read line; echo '{ready}'; read line; {then}");
        let command = WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
        let config = crate::config::parse("pipelines.p.columns.a = \"int64\"", Path::new("/f.toml")).unwrap();
        let (mut worker, _) = Process::start(&command, &config).unwrap();
        let job = a_job();
        let ended = worker.run(&job, &CancellationToken::new(), &|_| {}, &SystemClock, patience);
        ended.err().expect("it never answers")
    }

    const SHORT: Duration = Duration::from_millis(400);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_worker_that_stops_within_a_line_is_as_silent_as_one_that_says_nothing() {
        for then in ["printf '{\"Prog'; exec sleep 60", "exec sleep 60"] {
            let death = fate(then, Patience { silence: SHORT, job: LONG });
            assert_eq!(death.cause, CrashCause::Hang, "{death:?}");
            assert!(death.message.contains("limits.stall_timeout"), "{death:?}");
        }
    }

    #[test]
    fn an_answer_without_an_end_is_not_kept() {
        let death = fate("exec tr '\\0' x </dev/zero", Patience { silence: LONG, job: LONG });
        assert!(death.message.contains("without an end"), "{death:?}");
    }

    #[test]
    fn a_worker_that_is_never_done_is_killed_however_much_it_says() {
        let told = serde_json::to_string(&Reply::Progress(Progress::Wrote { bytes: 1 })).unwrap();
        let then = format!("while echo '{told}'; do :; done");
        let death = fate(&then, Patience { silence: LONG, job: SHORT });
        assert_eq!(death.cause, CrashCause::Hang, "{death:?}");
        assert!(death.message.contains("limits.job_timeout"), "{death:?}");
    }
}
