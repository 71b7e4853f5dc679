//! Everything that a panel may show happens to one daemon.

use std::fs;

use rusqlite::TransactionBehavior;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Daemon, Project, Prometheus, wait_for};
use crate::workers::{large, the_worker};

pub(super) const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[paths]
base = "data"
[limits]
workers = 1
memory = "128MiB"

[pipelines.p]
settle = "60ms"
scan_interval = "1s"
[pipelines.p.columns]
id = "int64"
name = "string"
[pipelines.p.rules]
positive = "id > 0"
small = { check = "id < 1000", action = "drop" }
[pipelines.p.aggregates.names]
sql = "SELECT name, COUNT(*) AS n FROM rows GROUP BY name"
[pipelines.p.objectives]
freshness = "1s"
latency = "1m"

[pipelines.large]
settle = "60ms"
scan_interval = "1s"
columns.id = "int64"
columns.name = "string"

[pipelines.waiting]
settle = "5m"
scan_interval = "1s"
columns.id = "int64"
"#;

/// A target that is down: nobody listens there.
pub(super) const GONE: &str = "127.0.0.1:1";

/// Waits until Prometheus has seen something: what lasts less than a scrape is on no panel.
fn seen(prometheus: &Prometheus, expr: &str) {
    prometheus.wait_value(&format!("sum({expr})"), |value| value > 0.0);
}

/// Lets everything happen. A file stays in progress until what is returned is dropped.
pub(super) fn happen(project: &Project, daemon: &Daemon, prometheus: &Prometheus) -> Stopped {
    seen(prometheus, "up{job=\"forebay\"}");
    let sound = "id,name\n1,a\n2,b\n3,a\nx,c\n-1,d\n5000,e\n";
    for (name, text) in [
        ("sound.csv", sound.to_owned()),
        ("empty.csv", String::new()),
        ("another.csv", "other,header\n1,2\n".to_owned()),
        ("drift.csv", "name,id,more\na,1,1\nb,2,2\n".to_owned()),
        ("broken.csv", format!("id,name\n{}", "x,a\n".repeat(40))),
    ] {
        project.drop_file("p", name, text);
    }
    daemon.wait_processed("p", 5);
    project.drop_file("p", "again.csv", sound);
    daemon.wait_processed("p", 6);
    std::os::unix::fs::symlink("/dev/null", project.inbox("p").join("link.csv")).unwrap();
    project.drop_file("waiting", "new.csv", "id\n1\n");
    lose_events(project, daemon, prometheus);
    {
        // The reloads take longer than the ledger waits for whoever is in the way.
        let mut ledger = rusqlite::Connection::open(project.path("data/state/ledger.db")).unwrap();
        let _in_the_way = ledger.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        project.drop_file("p", "held.csv", "id,name\n7,g\n");
        refuse_a_reload(project, daemon, prometheus);
        seen(prometheus, "forebay_ledger_errors_total");
    }
    daemon.wait_processed("p", 8);
    // The first attempt is left alone until it was scraped; the third death is the last.
    project.drop_file("large", "large.csv", large());
    seen(prometheus, "forebay_in_flight_rows");
    for death in 1..=3 {
        wait_for("the large file to be under way", || (in_flight(daemon) > 0.0).then_some(()));
        kill_process(the_worker(daemon), Signal::KILL).unwrap();
        prometheus.wait_value("sum(forebay_worker_crashes_total)", |crashes| crashes >= f64::from(death));
    }
    daemon.wait_processed("large", 1);
    keep_one_in_progress(project, daemon, prometheus)
}

/// The kernel drops events, as nobody reads them: the file behind them is found by a scan.
fn lose_events(project: &Project, daemon: &Daemon, prometheus: &Prometheus) {
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    daemon.signal(Signal::STOP);
    // Each is made, closed and removed.
    for number in 0..most / 3 + 100 {
        let hidden = project.inbox("p").join(format!(".{number}"));
        fs::write(&hidden, "").unwrap();
        fs::remove_file(hidden).unwrap();
    }
    project.drop_file("p", "missed.csv", "id,name\n6,f\n");
    daemon.signal(Signal::CONT);
    daemon.wait_processed("p", 7);
    seen(prometheus, "forebay_watch_overflows_total");
    seen(prometheus, "forebay_watch_missed_files_total");
}

/// A worker that was stopped. It goes on when this is dropped, as it outlives its daemon otherwise.
pub(super) struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed for its silence.
        kill_process(self.0, Signal::CONT).ok();
    }
}

/// A file stays in progress, and the next one waits for the memory it holds.
fn keep_one_in_progress(project: &Project, daemon: &Daemon, prometheus: &Prometheus) -> Stopped {
    project.drop_file("large", "stuck.csv", large());
    wait_for("the stuck file to be under way", || (in_flight(daemon) > 0.0).then_some(()));
    let stopped = Stopped(the_worker(daemon));
    kill_process(stopped.0, Signal::STOP).unwrap();
    project.drop_file("p", "waiting.csv", "id,name\n8,h\n");
    seen(prometheus, "forebay_backpressure_active");
    // The others of this worker's number are gone, and so was its series for a moment.
    seen(prometheus, "forebay_worker_resident_memory_bytes");
    stopped
}

fn in_flight(daemon: &Daemon) -> f64 {
    daemon.scrape().metric("forebay_in_flight_rows").label("pipeline", "large").value()
}

/// A reload that is refused, and one that is not.
fn refuse_a_reload(project: &Project, daemon: &Daemon, prometheus: &Prometheus) {
    project.configure("[pipelines.p]\nfoo = 1\n");
    daemon.signal(Signal::HUP);
    seen(prometheus, "forebay_config_last_reload_successful == bool 0");
    project.configure(CONFIG);
    // Within ten seconds of its start a process is still starting.
    prometheus.wait_value("time() - process_start_time_seconds{job=\"forebay\"}", |age| age > 11.0);
    daemon.signal(Signal::HUP);
    seen(prometheus, "forebay_config_last_reload_successful");
}
