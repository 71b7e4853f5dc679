//! Metrics of a run without a daemon: one page, left as a text file for the node exporter or pushed to a gateway.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::catalog::Name;
use super::exposition::Page;
use super::push::{self, PushError};
use crate::job::{Outcome, RowCounts, Timestamp};

/// What a run of `forebay once` did.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// The pipeline.
    pub pipeline: String,
    /// Counts over the files that were published.
    pub rows: RowCounts,
    /// Start to end.
    pub duration: Duration,
    /// When it ended.
    pub completed_at: Timestamp,
    /// Files by outcome; an outcome that is missing counts 0.
    pub files: BTreeMap<Outcome, u64>,
    /// Files that were given and not begun: somebody interrupted the run.
    pub not_taken: u64,
}

/// Why a text file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("metrics of the run could not be written to {}", path.display())]
pub struct TextfileError {
    path: PathBuf,
    source: std::io::Error,
}

impl RunSummary {
    /// Returns whether every file was taken and none was quarantined or failed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        let refused = [Outcome::Quarantined, Outcome::Failed];
        self.not_taken == 0 && refused.iter().all(|outcome| self.count(*outcome) == 0)
    }

    /// Returns the run's metrics as text. After a failure the last success is left out: it is not this run's to tell.
    #[must_use]
    pub fn render(&self) -> String {
        self.page(None).text()
    }

    /// Writes the metrics to `path`, whole or not at all, readable by everyone. A run that failed keeps the last success
    /// the file tells of.
    pub fn write_textfile(&self, path: &Path) -> Result<(), TextfileError> {
        let fail = |source| TextfileError { path: path.to_owned(), source };
        let before = match std::fs::read_to_string(path) {
            Ok(text) => self.last_success_in(&text).map(str::to_owned),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        replace(path, self.page(before.as_deref()).text().as_bytes()).map_err(fail)
    }

    /// Sends the metrics to a Pushgateway, one request. `url` may name a group (`http://host:9091/metrics/job/nightly`), which
    /// `/pipeline/<name>` is added to unless it names a `pipeline`; without a path it is
    /// `/metrics/job/forebay/pipeline/<name>`. A run that failed leaves the last success as it was.
    pub fn push(&self, url: &str) -> Result<(), PushError> {
        // PUT replaces the group, and with it a last success this page does not tell; POST replaces what it does tell.
        let method = if self.succeeded() { "PUT" } else { "POST" };
        push::send(method, url, &self.pipeline, &self.render())
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.files.get(&outcome).copied().unwrap_or(0)
    }

    fn page(&self, before: Option<&str>) -> Page {
        let mut page = Page::default();
        let of = [self.pipeline.as_str()];
        page.add(Name::RunRowsRead, &of, self.rows.read);
        page.add(Name::RunRowsWritten, &of, self.rows.written);
        page.add(Name::RunRowsRejected, &of, self.rows.rejected);
        page.add(Name::RunRowsDropped, &of, self.rows.dropped);
        page.add(Name::RunDuration, &of, self.duration.as_secs_f64());
        page.add(Name::RunCompletion, &of, self.completed_at.as_seconds());
        for outcome in Outcome::ALL {
            page.add(Name::RunFiles, &[of[0], outcome.as_str()], self.count(*outcome));
        }
        page.add(Name::RunFilesNotTaken, &of, self.not_taken);
        if self.succeeded() {
            page.add(Name::RunLastSuccess, &of, self.completed_at.as_seconds());
        } else if let Some(before) = before {
            page.add(Name::RunLastSuccess, &of, before);
        }
        page
    }

    fn last_success_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let series = format!("{}{{pipeline=\"{}\"}} ", Name::RunLastSuccess.metric().name, self.pipeline);
        let value = text.lines().find_map(|line| line.strip_prefix(&series))?;
        value.parse::<f64>().is_ok_and(f64::is_finite).then_some(value)
    }
}

/// Replaces a file in one step: temporary file beside it, sync, rename. The collector may read at any moment.
#[expect(
    clippy::disallowed_methods,
    reason = "a report for another program, not a user's data; `storage` never replaces"
)]
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    // The collector reads *.prom only.
    hidden.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let write = || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        // Best effort: the first error is the one to tell.
        drop(std::fs::remove_file(&temporary));
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn run(at: i64, outcome: Outcome) -> RunSummary {
        RunSummary {
            pipeline: "taxi".to_owned(),
            rows: RowCounts { read: 10, written: 7, rejected: 2, dropped: 1 },
            duration: Duration::from_millis(1500),
            completed_at: Timestamp(at * 1_000_000_000),
            files: BTreeMap::from([(outcome, 1)]),
            not_taken: 0,
        }
    }

    #[test]
    fn a_run_tells_every_metric_of_its_catalogue() {
        let text = run(100, Outcome::Succeeded).render();
        for metric in
            Name::ALL.iter().map(|name| name.metric()).filter(|m| m.scope == super::super::catalog::Scope::OneShot)
        {
            assert!(text.contains(&format!("# TYPE {} gauge\n", metric.name)), "{} in {text}", metric.name);
        }
        assert!(text.contains("forebay_run_files{pipeline=\"taxi\",outcome=\"failed\"} 0\n"), "{text}");
        assert!(
            text.contains("forebay_run_duration_seconds{pipeline=\"taxi\"} 1.5\n") && text.ends_with('\n'),
            "{text}"
        );
    }

    #[test]
    fn a_failed_run_keeps_the_last_success_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("forebay.prom");
        run(90, Outcome::Quarantined).write_textfile(&path).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("last_success"));
        run(100, Outcome::Succeeded).write_textfile(&path).unwrap();
        run(200, Outcome::Failed).write_textfile(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("forebay_run_last_success_timestamp_seconds{pipeline=\"taxi\"} 100\n"), "{text}");
        assert!(text.contains("forebay_run_completion_timestamp_seconds{pipeline=\"taxi\"} 200\n"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_run_that_left_files_out_is_no_success() {
        let whole = run(100, Outcome::Succeeded);
        let part = RunSummary { not_taken: 1, ..whole.clone() };
        assert!(whole.succeeded() && !part.succeeded());
        let text = part.render();
        assert!(text.contains("forebay_run_files_not_taken{pipeline=\"taxi\"} 1\n"), "{text}");
        assert!(!text.contains("last_success"), "{text}");
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let error = run(1, Outcome::Succeeded).write_textfile(Path::new("/nonexistent/x.prom")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/x.prom"), "{error}");
    }
}
