//! Very many files that wait when the daemon starts: it is there at once, answers all the while, takes them oldest first, and
//! what it has not come to is left as it was.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Project, files_under, wait_for};

/// Files that wait. `FOREBAY_BACKLOG=200000` measures the promise.
fn backlog() -> usize {
    std::env::var("FOREBAY_BACKLOG").map_or(5_000, |files| files.parse().unwrap())
}

/// Files it must get through before the test stops it.
const ENOUGH: f64 = 200.0;

#[test]
fn a_backlog_at_a_start_makes_neither_it_nor_a_scrape_late() {
    let files = backlog();
    let project = Project::new(
        "[pipelines.p]\nsettle = \"60ms\"\nscan_interval = \"2s\"\n[pipelines.p.columns]\nid = \"int64\"\n",
    );
    let inbox = project.inbox("p");
    fs::create_dir_all(&inbox).unwrap();
    for number in 0..files {
        fs::write(inbox.join(format!("{number:06}.csv")), format!("id\n{number}\n")).unwrap();
    }
    let began = Instant::now();
    let daemon = project.start();
    let ready = began.elapsed();
    let (mut slowest, mut most) = (Duration::ZERO, 0.0_f64);
    wait_for("the first files", || {
        let asked = Instant::now();
        let scrape = daemon.scrape();
        slowest = slowest.max(asked.elapsed());
        let pending = scrape.metric("forebay_files_pending").sum();
        most = most.max(pending);
        (scrape.metric("forebay_files_processed_total").sum() >= ENOUGH).then_some(())
    });
    let took = began.elapsed();
    daemon.stop();
    println!(
        "{files} files: ready after {} ms, {most} of them pending, {ENOUGH} processed after {} ms; slowest scrape {} ms",
        ready.as_millis(),
        took.as_millis(),
        slowest.as_millis()
    );
    let (left, archived) = (project.left_in_inbox("p"), project.archived("p"));
    // Who was claimed goes on with the next start.
    let claimed = files_under(&inbox.join(".forebay/claimed"));
    assert_eq!(left.len() + claimed.len() + archived.len(), files, "every file is in one place");
    assert_eq!(project.published("p").len(), archived.len());
    let gone = archived.iter().filter_map(|path| path.file_stem()?.to_str()?.rsplit_once('-')?.1.parse::<usize>().ok());
    let newest = gone.max().unwrap();
    assert!(newest < archived.len() + 200, "file {newest} went before older ones: {} are done", archived.len());
    assert!(ready < Duration::from_secs(2), "ready after {ready:?}");
    assert!(slowest < Duration::from_secs(1), "a scrape took {slowest:?}");
}
