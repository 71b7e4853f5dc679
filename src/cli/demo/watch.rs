//! Watching the daemon while the demo runs: ready, files done, the last scrape.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::mpsc::UnboundedReceiver;

use super::feed::Drop;
use super::scrape;
use crate::cli::console::{self, Console, Tone, count};
use crate::cli::exit::Failure;
use crate::cli::files;
use crate::daemon::Notice;
use crate::job::RowCounts;
use crate::ledger::FileRow;

/// Listens to a running daemon.
pub(super) struct Watch<'w> {
    notices: UnboundedReceiver<Notice>,
    address: SocketAddr,
    console: &'w Console,
    drops: &'w [Drop],
    bar: ProgressBar,
    /// Files done, by name.
    done: HashMap<OsString, usize>,
    rows: RowCounts,
}

impl<'w> Watch<'w> {
    /// Returns a watch over a daemon that is told to listen on `address`.
    pub(super) fn new(
        notices: UnboundedReceiver<Notice>,
        address: SocketAddr,
        drops: &'w [Drop],
        console: &'w Console,
    ) -> Self {
        let bar = console.bar(wanted(drops) as u64, "{bar:30} {pos}/{len} files, {msg}, {elapsed}");
        Self { notices, address, console, drops, bar, done: HashMap::new(), rows: RowCounts::default() }
    }

    /// Waits until the daemon is ready.
    pub(super) async fn ready(&mut self, patience: Duration) -> Result<(), Failure> {
        let ready = async {
            while let Some(notice) = self.notices.recv().await {
                match notice {
                    Notice::Listening(address) => self.address = address,
                    Notice::Ready => return Ok(()),
                    Notice::Started { .. } | Notice::Finished(_) => {}
                }
            }
            Err(Failure::internal("the daemon ended before it was ready"))
        };
        let late = || Failure::internal(format!("the daemon was not ready within {patience:?}"));
        tokio::time::timeout(patience, ready).await.unwrap_or_else(|_| Err(late()))
    }

    /// Tells of every file that is done, until all are. Gives up when nothing happens for `patience`: the summary then says
    /// what is missing.
    pub(super) async fn until_done(&mut self, patience: Duration) {
        while self.done.values().sum::<usize>() < wanted(self.drops) {
            match tokio::time::timeout(patience, self.notices.recv()).await {
                Ok(Some(Notice::Finished(row))) => self.tell(&row),
                Ok(Some(Notice::Listening(_) | Notice::Ready | Notice::Started { .. })) => {}
                Ok(None) => break,
                Err(_) => {
                    self.console.warn(&format!("no news for {patience:?}, and not all files are done"));
                    break;
                }
            }
        }
        self.bar.finish_and_clear();
    }

    /// Goes on telling of files that are done, for ever.
    pub(super) async fn go_on(&mut self) {
        while let Some(notice) = self.notices.recv().await {
            if let Notice::Finished(row) = notice {
                self.tell(&row);
            }
        }
        std::future::pending::<()>().await;
    }

    /// Returns the metrics as they are now; empty if the daemon does not answer.
    pub(super) async fn last_scrape(&self) -> String {
        scrape::get(self.address, "/metrics").await.map(|(_, body)| body).unwrap_or_default()
    }

    fn tell(&mut self, row: &FileRow) {
        self.bar.inc(1);
        self.rows += row.rows.unwrap_or_default();
        self.bar.set_message(format!("{} rows, {} rejected", count(self.rows.read), count(self.rows.rejected)));
        // Two drops may have one name: the later story belongs to the later file.
        let earlier = self.done.entry(row.name.clone()).or_default();
        let story = self.drops.iter().filter(|drop| OsStr::new(&drop.name) == row.name).nth(*earlier);
        *earlier += 1;
        let outcome = format!("{:<11}", row.standing());
        let line = format!(
            "{} {:<29} {:<36} {}",
            self.console.err(files::tone(row), &outcome),
            row.display_name(),
            row.rows.map(told).unwrap_or_default(),
            self.console.err(Tone::Faint, story.map_or("", |drop| drop.story)),
        );
        let line = line.trim_end();
        if self.console.lively() {
            self.bar.println(line);
        } else {
            self.console.say(line);
        }
    }
}

/// Returns how many files must reach an outcome.
fn wanted(drops: &[Drop]) -> usize {
    drops.iter().filter(|drop| drop.truth.outcome.is_some()).count()
}

fn told(rows: RowCounts) -> String {
    let part = |name: &str, rows: u64| if rows > 0 { format!(", {} {name}", count(rows)) } else { String::new() };
    format!("{}{}{}", console::rows(rows.read), part("rejected", rows.rejected), part("dropped", rows.dropped))
}
