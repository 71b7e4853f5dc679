//! `forebay demo`: a daemon, a feed that sends files of every kind, and what becomes of them. Nothing to set up.

mod feed;
mod producer;
mod scrape;
mod summary;
mod watch;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinError;

use super::console::{Console, Tone};
use super::exit::{Exit, Failure};
use super::{Global, run, shared, worker};
use crate::config::{self, Config};
use crate::daemon::{self, DaemonError, DaemonOptions};
use crate::lifecycle::Lifecycle;
use crate::worker::WorkerCommand;
use feed::Drop;
use watch::Watch;

/// The configuration it writes.
const CONFIG: &str = include_str!("demo/forebay.toml");
/// The port used if it is free.
const PORT: u16 = 17170;
/// How long the last file may take before the demo gives up on it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Options of `forebay demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The folder to work in, made if it is missing; it must be empty. Default: a fresh one in the temporary folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The port of the status page and /metrics; default: 17170, or a free one.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// How many files are dropped; from 20 on every kind is among them.
    #[arg(long, value_name = "N", default_value_t = 24)]
    files: usize,
    /// Stops when the files are done and prints the summary.
    #[arg(long)]
    exit: bool,
    /// Makes another feed; the same number gives the same one.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Prints the summary as one JSON document.
    #[arg(long, requires = "exit")]
    json: bool,
}

/// A demo that is set up.
struct Demo<'d> {
    config: Config,
    base: PathBuf,
    drops: Vec<Drop>,
    worker: WorkerCommand,
    args: &'d DemoArgs,
    console: &'d Console,
}

pub(super) fn demo(global: &Global, args: &DemoArgs, console: &Console) -> Result<Exit, Failure> {
    let dir = folder(args.dir.as_deref())?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port(args.port)?));
    let path = dir.join("forebay.toml");
    let text = CONFIG.replace("@LISTEN@", &listen.to_string());
    let failed = |error: std::io::Error| Failure::internal(format!("cannot write to {}: {error}", dir.display()));
    let base = dir.join("data");
    for pipeline in [feed::RIDES, feed::AIR] {
        std::fs::create_dir_all(base.join("in").join(pipeline)).map_err(failed)?;
    }
    write(&path, text.as_bytes()).map_err(failed)?;
    let config = config::load(&path).map_err(Failure::internal)?;
    // Errors only: what becomes of the files is told by the demo itself.
    shared::logging(global, console, global.verbosity() - 2)?;

    let drops = feed::feed(args.files, args.seed);
    let demo = Demo { config, base, drops, worker: worker::command(global, global.verbosity() - 2), args, console };
    demo.introduce(&path);
    let runtime = daemon::runtime(&demo.config).map_err(|error| run::failure(&error))?;
    let exit = runtime.block_on(demo.play());
    // A task that is still writing a file must not keep the program.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

impl Demo<'_> {
    /// Returns where the endpoint is to be found: the demo's own config names one address.
    fn listen(&self) -> SocketAddr {
        self.config.listen.first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn introduce(&self, config: &Path) {
        let url = format!("http://{}", self.listen());
        let lines = [
            format!("{}    {}", self.console.err(Tone::Strong, "config"), config.display()),
            format!("{}   {}/<pipeline>", self.console.err(Tone::Strong, "inboxes"), self.base.join("in").display()),
            format!(
                "{}   {}/<pipeline>/*/*/rows.parquet",
                self.console.err(Tone::Strong, "results"),
                self.base.join("out").display()
            ),
            format!("{}    {url}/", self.console.err(Tone::Strong, "status")),
            format!("{}   {url}/metrics", self.console.err(Tone::Strong, "metrics")),
            String::new(),
        ];
        for line in &lines {
            self.console.say(line);
        }
    }

    /// Runs daemon and producer side by side until the files are done, or until somebody stops it.
    async fn play(&self) -> Result<Exit, Failure> {
        let life = Lifecycle::new();
        life.listen_to_signals().map_err(Failure::internal)?;
        let (tell, notices) = unbounded_channel();
        let worker = Some(self.worker.clone());
        let options = DaemonOptions { notices: Some(tell), worker, ..DaemonOptions::default() };
        let mut daemon = tokio::spawn(daemon::run(self.config.clone(), options, life.clone()));
        let mut watch = Watch::new(notices, self.listen(), &self.drops, self.console);
        let complete = tokio::select! {
            ended = &mut daemon => return Err(early(ended)),
            () = life.draining().cancelled() => false,
            done = self.show(&mut watch) => done.map(|()| true)?,
        };
        if complete && !self.args.exit {
            self.console.say(&format!(
                "\n{} the daemon goes on: drop your own files, look around, stop with Ctrl-C",
                self.console.err(Tone::Good, "all files are done;")
            ));
            tokio::select! {
                ended = &mut daemon => return Err(early(ended)),
                () = life.draining().cancelled() => {}
                () = watch.go_on() => {}
            }
        }
        let exposition = watch.last_scrape().await;
        life.drain("the demo is over");
        match daemon.await {
            Ok(Ok(())) => {}
            ended => return Err(early(ended)),
        }
        let summary = summary::summary(&self.config, &self.drops, &exposition)?;
        // Somebody who stopped it early, or dropped files of their own, did not ask for a judgement.
        Ok(self.tell(&summary, complete && self.args.exit))
    }

    /// Drops the files and tells what becomes of them, until all are done.
    async fn show(&self, watch: &mut Watch<'_>) -> Result<(), Failure> {
        watch.ready(PATIENCE).await?;
        let dropped = async {
            for drop in &self.drops {
                producer::deliver(&self.base, drop).await?;
            }
            Ok::<(), std::io::Error>(())
        };
        let (dropped, ()) = tokio::join!(dropped, watch.until_done(PATIENCE));
        dropped.map_err(|error| Failure::internal(format!("cannot drop a file: {error}")))
    }

    fn tell(&self, summary: &summary::Summary, judged: bool) -> Exit {
        if self.args.json {
            self.console.json(&summary.document());
        } else {
            self.console.say("");
            for line in summary.table(judged) {
                self.console.result(&line);
            }
        }
        if !judged || summary.faults.is_empty() {
            return Exit::Done;
        }
        for fault in &summary.faults {
            self.console.warn(&format!("{} {fault}", self.console.err(Tone::Alarm, "does not add up:")));
        }
        Exit::SomeFailed
    }
}

/// The daemon ended although the demo was not over.
fn early(ended: Result<Result<(), DaemonError>, JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::internal("the daemon stopped before the demo was over"),
        Ok(Err(error)) => run::failure(&error),
        Err(error) => Failure::internal(format!("the daemon crashed: {error}")),
    }
}

/// Returns the folder to work in, which exists and is empty.
fn folder(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match wanted {
        Some(dir) => std::path::absolute(dir).map_err(Failure::usage)?,
        None => std::env::temp_dir().join(format!("forebay-demo-{:08x}", fastrand::u32(..))),
    };
    let shown = dir.display();
    std::fs::create_dir_all(&dir).map_err(|error| Failure::usage(format!("cannot make {shown}: {error}")))?;
    let mut entries = dir.read_dir().map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    if entries.next().is_some() {
        return Err(Failure::usage(format!("{shown} is not empty"))
            .hint(format!("name another folder; to go on with an earlier demo: forebay run -c {shown}/forebay.toml")));
    }
    Ok(dir)
}

/// Returns a port that is free at this moment.
fn port(wanted: Option<u16>) -> Result<u16, Failure> {
    let free = |port: u16| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.local_addr().map(|address| address.port())
    };
    match wanted {
        Some(port) => {
            free(port).map_err(|error| Failure::usage(format!("port {port}: {error}")).hint("name another with --port"))
        }
        None => free(PORT).or_else(|_| free(0)).map_err(|error| Failure::internal(format!("no free port: {error}"))),
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::io::Write::write_all(&mut std::fs::File::create(path)?, bytes)
}
