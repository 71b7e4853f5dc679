//! The worker's side: takes jobs one after another until its daemon is gone.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Stdin, Stdout, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::confine;
use super::contain::contain;
use super::protocol::{Reply, Request, VERSION, receive, send};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Pipeline};
use crate::job::{Job, JobError, Progress, RetryReason, Stage};
use crate::telemetry::process::resident_bytes;

/// Progress is told this often at most; what happened in between is told together.
const TOLD_EVERY: Duration = Duration::from_millis(50);

/// Stops the job that runs.
type Running = Arc<Mutex<CancellationToken>>;

/// The pipelines of the configuration, by name.
type Pipelines = BTreeMap<String, Arc<Pipeline>>;

/// Runs jobs until stdin ends, then returns why if that was no ordinary end. Anything else on stdout would be taken for an
/// answer.
pub fn serve() -> io::Result<()> {
    confine::be_the_first_to_go();
    confine::give_way();
    let (mut stdin, mut out) = (BufReader::new(io::stdin()), io::stdout());
    let running: Running = Arc::default();
    // No thread is started before the rights are given up: it would keep them.
    let (requests, pipelines) = match receive(&mut stdin) {
        Ok(Some(Request::Hello { version, file, text })) => {
            same(&version)?;
            let unconfined = confine::to_pipelines(&folders(Path::new(&file), &text)?).err();
            let requests = listen(stdin, Arc::clone(&running))?;
            (requests, hello(Path::new(&file), &text, unconfined, &mut out)?)
        }
        Ok(Some(Request::Check { version, file, text })) => {
            same(&version)?;
            confine::to_pipelines(&[]).ok();
            let _nothing_more = listen(stdin, running)?;
            return check(Path::new(&file), &text, &mut out);
        }
        Ok(_) | Err(_) => {
            return Err(unexpected("no greeting: this command is for the daemon, which starts its workers itself"));
        }
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    while let Ok(request) = requests.recv() {
        let Request::Run(job) = request else { return Err(unexpected("neither a job nor a stop")) };
        let stop = CancellationToken::new();
        *running.lock().unwrap_or_else(PoisonError::into_inner) = stop.clone();
        let ended = run(&pipelines, &job, &stop, &*clock);
        send(&mut out, &ended)?;
    }
    Ok(())
}

/// Hears stops while a job runs, and ends the process when the daemon is gone: nobody waits for the result any more, and the
/// staging folder is the next start's to remove.
fn listen(mut stdin: BufReader<Stdin>, running: Running) -> io::Result<Receiver<Request>> {
    let (tell, requests) = channel();
    let listen = move || {
        loop {
            match receive(&mut stdin) {
                Ok(Some(Request::Stop)) => running.lock().unwrap_or_else(PoisonError::into_inner).cancel(),
                Ok(Some(request)) => {
                    if tell.send(request).is_err() {
                        return;
                    }
                }
                Ok(None) | Err(_) => leave(),
            }
        }
    };
    std::thread::Builder::new().name("listen".to_owned()).spawn(listen)?;
    Ok(requests)
}

#[expect(clippy::exit, reason = "a job may be running on the other threads, for nobody")]
fn leave() -> ! {
    std::process::exit(0)
}

/// Returns the pipelines, of which only the folders are known.
fn folders(file: &Path, text: &str) -> io::Result<Vec<Arc<Pipeline>>> {
    config::parse_outline(text, file).map(|config| config.pipelines).map_err(|errors| unexpected(&errors.to_string()))
}

/// Takes the configuration in, and says so.
fn hello(file: &Path, text: &str, unconfined: Option<String>, out: &mut Stdout) -> io::Result<Pipelines> {
    let config = config::parse_planned(text, file).map_err(|errors| unexpected(&errors.to_string()))?;
    send(out, &Reply::Ready { version: VERSION.to_owned(), unconfined })?;
    Ok(config.pipelines.into_iter().map(|pipeline| (pipeline.name.clone(), pipeline)).collect())
}

/// Says what is wrong with a configuration. Its SQL is run over no rows, which needs no right to anything.
fn check(file: &Path, text: &str, out: &mut Stdout) -> io::Result<()> {
    let errors = config::parse(text, file).map_or_else(|errors| errors.errors, |_| Vec::new());
    send(out, &Reply::Checked { errors })
}

fn same(version: &str) -> io::Result<()> {
    if version == VERSION {
        return Ok(());
    }
    Err(unexpected(&format!("the daemon is {version}, this worker is {VERSION}")))
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn run(pipelines: &Pipelines, job: &Job, stop: &CancellationToken, clock: &dyn Clock) -> Reply {
    let reporter = Mutex::new(Reporter { clock, told: clock.monotonic(), read: None, wrote: 0 });
    let progress = |progress| reporter.lock().unwrap_or_else(PoisonError::into_inner).add(progress);
    let result = match pipelines.get(&job.pipeline) {
        Some(pipeline) => contain(|| crate::pipeline::run(pipeline, job, stop, clock, &progress)),
        None => Err(JobError::Retry {
            reason: RetryReason::Io,
            message: format!("the worker knows no pipeline {}", job.pipeline),
        }),
    };
    reporter.lock().unwrap_or_else(PoisonError::into_inner).tell();
    let panicked = matches!(result, Err(JobError::Retry { reason: RetryReason::Crash, .. }));
    Reply::Ended { result: result.map(Box::new), panicked, resident: resident_bytes() }
}

/// Gathers progress, so that a small file costs no message but its last.
struct Reporter<'c> {
    clock: &'c dyn Clock,
    told: Duration,
    read: Option<(u64, u64)>,
    wrote: u64,
}

impl Reporter<'_> {
    fn add(&mut self, progress: Progress) {
        match progress {
            Progress::Read { bytes, rows } => {
                let (bytes_before, rows_before) = self.read.unwrap_or_default();
                self.read = Some((bytes_before + bytes, rows_before + rows));
            }
            Progress::Wrote { bytes } => self.wrote += bytes,
            Progress::Stage(stage) => self.stage(stage),
            // The daemon sees that for itself.
            Progress::Alive => {}
        }
        let now = self.clock.monotonic();
        if now.saturating_sub(self.told) >= TOLD_EVERY {
            self.told = now;
            self.tell();
        }
    }

    /// A stage that begins is told at once if the job has taken long enough for somebody to wonder.
    fn stage(&self, stage: Stage) {
        if self.clock.monotonic().saturating_sub(self.told) >= TOLD_EVERY {
            out(&Reply::Progress(Progress::Stage(stage)));
        }
    }

    fn tell(&mut self) {
        if let Some((bytes, rows)) = self.read.take() {
            out(&Reply::Progress(Progress::Read { bytes, rows }));
        }
        if self.wrote > 0 {
            out(&Reply::Progress(Progress::Wrote { bytes: std::mem::take(&mut self.wrote) }));
        }
    }
}

/// Without a daemon to hear it, the listening thread is ending this process already.
fn out(reply: &Reply) {
    send(&mut io::stdout(), reply).ok();
    io::stdout().flush().ok();
}
