//! The reader alone: `read_file CONFIG FILE` reads a file as the daemon would, on as many threads, and keeps every typed
//! column in memory; no rules, nothing written. Prints one line of JSON. `benches/compare/run.py` runs it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for one purpose: it prints, or stops at once")]

use std::path::{Path, PathBuf};

use forebay::clock::{Clock as _, SystemClock};
use forebay::config;
use forebay::job::{FileId, Job};
use forebay::pipeline::flow;
use forebay::pipeline::meter::Meter;
use forebay::storage::entry_of;
use tokio_util::sync::CancellationToken;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match arguments.as_slice() {
        [config, file] => read(config, file),
        // `cargo bench` runs every benchmark, and gives them no files.
        _ => println!("read_file CONFIG FILE: nothing to read; benches/compare/run.py --what reader runs this"),
    }
}

fn read(config: &Path, file: &Path) {
    let config = config::load(config).unwrap();
    let pipeline = config.pipelines.first().unwrap();
    let job = job(file);
    let began = SystemClock.monotonic();
    let mut frames = Vec::new();
    let meter = Meter::new(&SystemClock, &job);
    let totals = flow::run(pipeline, &job, &CancellationToken::new(), &meter, &|_| {}, &mut |batch| {
        frames.push(batch.frame.clone());
        Ok(())
    });
    let seconds = SystemClock.monotonic().saturating_sub(began).as_secs_f64();
    let rows = totals.unwrap().rows;
    let kept: usize = frames.iter().map(polars::prelude::DataFrame::height).sum();
    println!("{}", serde_json::json!({ "seconds": seconds, "rows": kept, "rejected": rows.rejected }));
}

fn job(file: &Path) -> Job {
    let input = file.canonicalize().unwrap();
    Job {
        id: FileId::parse("read").unwrap(),
        pipeline: "read".to_owned(),
        stamp: entry_of(&input.metadata().unwrap()).stamp,
        input,
        name: "read".to_owned(),
        arrived_at: SystemClock.now(),
        staging: PathBuf::new(),
        attempt: 1,
        trace_id: String::new(),
    }
}
