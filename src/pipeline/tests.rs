//! One job against real files: what surroundings do to it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::{dry_run, run};
use crate::clock::SystemClock;
use crate::config::{Pipeline, parse};
use crate::job::{FileId, FileStamp, Job, JobError, Progress, RetryReason, Timestamp};

const CONFIG: &str =
    "[pipelines.p.columns]\nid = \"int64\"\nname = \"string\"\n[pipelines.p.accept]\nmax_reject_ratio = 0.9\n";

fn pipeline() -> Pipeline {
    let config = parse(CONFIG, Path::new("/nowhere/forebay.toml")).unwrap();
    config.pipelines[0].as_ref().clone()
}

/// Returns the job of a file that is put into the folder.
pub(crate) fn job(folder: &Path, text: &[u8]) -> Job {
    let input = folder.join("x.csv");
    std::fs::File::create(&input).and_then(|mut file| std::io::Write::write_all(&mut file, text)).unwrap();
    let found = std::fs::metadata(&input).unwrap();
    let staging = folder.join("staging");
    std::fs::create_dir(&staging).unwrap();
    let mtime_ns = found.mtime() * 1_000_000_000 + found.mtime_nsec();
    Job {
        id: FileId::parse("01test").unwrap(),
        pipeline: "p".to_owned(),
        input,
        name: "x.csv".to_owned(),
        stamp: FileStamp { dev: found.dev(), ino: found.ino(), size: found.size(), mtime_ns },
        arrived_at: Timestamp(0),
        staging,
        attempt: 1,
        trace_id: "0".repeat(32),
    }
}

fn run_plainly(job: &Job) -> Result<crate::job::JobReport, JobError> {
    run(&pipeline(), job, &CancellationToken::new(), &SystemClock, &|_| {})
}

/// Enough text for several blocks on several threads.
fn large() -> Vec<u8> {
    let rows: String =
        (0..1_500_000).map(|id| if id % 1000 == 7 { "x,bad\n".to_owned() } else { format!("{id},n\n") }).collect();
    format!("id,name\n{rows}").into_bytes()
}

#[test]
fn a_file_of_many_blocks_keeps_its_order_and_its_line_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let text = large();
    assert!(text.len() > 3 * super::flow::BLOCK_BYTES, "the threaded path is meant");
    let job = job(folder.path(), &text);
    let told = Mutex::new((0, 0));
    let report = run(&pipeline(), &job, &CancellationToken::new(), &SystemClock, &|progress| {
        if let Progress::Read { bytes, rows } = progress {
            let mut told = told.lock().unwrap();
            *told = (told.0 + bytes, told.1 + rows);
        }
    })
    .unwrap();
    assert!(report.rows.conserved());
    assert_eq!((report.rows.read, report.rows.rejected), (1_500_000, 1500));
    assert_eq!(*told.lock().unwrap(), (text.len() as u64, 1_500_000), "progress adds up to the file");
    let rows = read(&job.staging.join("rows.parquet"));
    let ids: Vec<i64> = rows.column("id").unwrap().i64().unwrap().iter().flatten().collect();
    assert!(ids.is_sorted() && ids.len() == 1_498_500);
    let rejects = read(&job.staging.join("rejects.parquet"));
    let lines: Vec<u64> = rejects.column("line").unwrap().u64().unwrap().iter().flatten().collect();
    assert!(lines.iter().copied().eq((0..1500).map(|n| n * 1000 + 9)));
    let offsets = rejects.column("byte_offset").unwrap().u64().unwrap();
    assert!(offsets.iter().flatten().all(|at| text[usize::try_from(at).unwrap()..].starts_with(b"x,bad\n")));
}

fn read(path: &Path) -> polars::prelude::DataFrame {
    use polars::prelude::SerReader as _;
    polars::prelude::ParquetReader::new(std::fs::File::open(path).unwrap()).finish().unwrap()
}

#[test]
fn an_input_that_is_not_what_was_claimed_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(folder.path(), b"id,name\n1,a\n");
    job.stamp.size += 1;
    assert!(matches!(run_plainly(&job), Err(JobError::Retry { reason: RetryReason::Changed, .. })));
}

#[test]
fn an_input_that_grows_while_it_is_read_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(folder.path(), b"id,name\n1,a\n");
    let grown = Mutex::new(false);
    let ended = run(&pipeline(), &job, &CancellationToken::new(), &SystemClock, &|progress| {
        let mut grown = grown.lock().unwrap();
        if matches!(progress, Progress::Read { .. }) && !*grown {
            *grown = true;
            let mut file = std::fs::OpenOptions::new().append(true).open(&job.input).unwrap();
            std::io::Write::write_all(&mut file, b"2,b\n").unwrap();
        }
    });
    assert!(matches!(ended, Err(JobError::Retry { reason: RetryReason::Changed, .. })), "{ended:?}");
}

#[test]
fn a_vanished_input_is_said_to_have_vanished() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(folder.path(), b"id,name\n");
    job.input = folder.path().join("gone.csv");
    assert!(matches!(run_plainly(&job), Err(JobError::Vanished { .. })));
}

#[test]
fn a_symlink_is_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(folder.path(), b"id,name\n");
    let link = folder.path().join("link.csv");
    std::os::unix::fs::symlink(&job.input, &link).unwrap();
    job.input = link;
    assert!(matches!(run_plainly(&job), Err(JobError::Retry { reason: RetryReason::Changed, .. })));
}

#[test]
fn a_stop_ends_the_job_between_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(folder.path(), b"id,name\n1,a\n");
    let stop = CancellationToken::new();
    stop.cancel();
    let ended = run(&pipeline(), &job, &stop, &SystemClock, &|_| {});
    assert_eq!(ended, Err(JobError::Cancelled));
}

#[test]
fn a_dry_run_writes_nothing_and_shows_the_first_rejects() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(folder.path(), b"id,name\n1,a\nx,b\ny,c\n");
    let (report, rejects) = dry_run(&pipeline(), &job, &SystemClock, 1).unwrap();
    assert_eq!((report.rows.read, report.rows.rejected, rejects.len()), (3, 2, 1));
    assert_eq!((rejects[0].line, rejects[0].detail.as_str()), (3, "\"x\" is not int64"));
    assert_eq!(std::fs::read_dir(&job.staging).unwrap().count(), 0);
}
