//! The whole daemon in this process: real folders, real files, real SQLite.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::job::Outcome;

const PIPELINE: &str = r#"
[pipelines.p]
settle = "100ms"
scan_interval = "1s"

[pipelines.p.columns]
id = "int64"
amount = "float64"

[pipelines.p.accept]
max_rejects = 1

[pipelines.p.rules]
positive = "amount > 0"
"#;

/// A daemon on a thread of its own.
struct Running {
    life: Lifecycle,
    thread: JoinHandle<Result<(), DaemonError>>,
    notices: UnboundedReceiver<Notice>,
    address: SocketAddr,
}

impl Running {
    fn start(dir: &Path, pipelines: &str) -> Self {
        let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n[paths]\nbase = \"data\"\n{pipelines}");
        let config = crate::config::parse(&text, &dir.join("forebay.toml")).unwrap();
        let (tell, mut notices) = unbounded_channel();
        let options = DaemonOptions { notices: Some(tell), ..DaemonOptions::default() };
        let life = Lifecycle::new();
        let thread = std::thread::spawn({
            let life = life.clone();
            move || start(config, options, &life)
        });
        let Some(Notice::Listening(address)) = notices.blocking_recv() else { panic!("the address comes first") };
        Self { life, thread, notices, address }
    }

    /// Waits until `wanted` comes back with something.
    fn wait<T>(&mut self, mut wanted: impl FnMut(Notice) -> Option<T>) -> T {
        loop {
            let notice = self.notices.blocking_recv().expect("the daemon ended before it happened");
            if let Some(found) = wanted(notice) {
                return found;
            }
        }
    }

    fn wait_finished(&mut self, files: usize) -> BTreeMap<String, (Outcome, FileRow)> {
        let mut seen = BTreeMap::new();
        for _ in 0..files {
            let row = self.wait(|notice| if let Notice::Finished(row) = notice { Some(row) } else { None });
            seen.insert(row.display_name(), (row.outcome.unwrap(), *row));
        }
        seen
    }

    fn get(&self, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        let host = self.address;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until a line of `/metrics` is there.
    fn wait_metric(&self, line: &str) {
        for _ in 0..100 {
            if self.get("/metrics").lines().any(|found| found == line) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        panic!("never came: {line}\n{}", self.get("/metrics"));
    }

    fn stop(self) {
        self.life.drain("test");
        self.thread.join().unwrap().unwrap();
    }
}

fn put(dir: &Path, name: &str, text: &str) {
    let inbox = dir.join("data/in/p");
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::File::create(inbox.join(".x.tmp")).unwrap().write_all(text.as_bytes()).unwrap();
    rustix::fs::rename(inbox.join(".x.tmp"), inbox.join(name)).unwrap();
}

#[test]
fn files_of_every_fate_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "early.csv", "id,amount\n1,2.5\n2,-1\n");
    let mut daemon = Running::start(dir.path(), PIPELINE);
    let early = daemon.wait_finished(1);
    assert_eq!(early["early.csv"].0, Outcome::Succeeded);
    put(dir.path(), "again.csv", "id,amount\n1,2.5\n2,-1\n");
    put(dir.path(), "empty.csv", "");
    put(dir.path(), "broken.csv", "other\n1\n");
    put(dir.path(), "late.csv", "id,amount\n3,4\n");
    let seen = daemon.wait_finished(4);
    let quarantined = "forebay_files_quarantined{pipeline=\"p\"} 1";
    assert!(daemon.get("/metrics").contains(quarantined), "the gauge is there as soon as the outcome is");
    assert_eq!(seen["again.csv"].0, Outcome::Duplicate);
    assert_eq!(seen["empty.csv"].0, Outcome::Empty);
    assert_eq!(seen["broken.csv"].0, Outcome::Quarantined);
    assert_eq!(seen["late.csv"].0, Outcome::Succeeded);
    daemon.wait_metric("forebay_files_processed_total{pipeline=\"p\",outcome=\"succeeded\"} 2");
    daemon.wait_metric("forebay_rows_read_total{pipeline=\"p\"} 3");
    daemon.wait_metric("forebay_rows_written_total{pipeline=\"p\"} 2");
    daemon.wait_metric("forebay_files_in_flight{pipeline=\"p\"} 0");
    daemon.wait_metric("forebay_files_pending{pipeline=\"p\"} 0");
    daemon.wait_metric("forebay_in_flight_rows{pipeline=\"p\"} 0");
    daemon.wait_metric("forebay_watch_up{pipeline=\"p\"} 1");
    assert!(daemon.get("/-/ready").starts_with("HTTP/1.1 200"));
    let id = seen["late.csv"].1.id.as_str();
    assert!(daemon.get(&format!("/api/v1/files/{id}")).contains("\"story\""));
    assert!(daemon.get("/api/v1/files?state=duplicate").contains("again.csv"));
    assert!(daemon.get("/api/v1/files?pipeline=q").starts_with("HTTP/1.1 400"));
    daemon.stop();
    let published = std::fs::read_dir(dir.path().join("data/out/p")).unwrap().count();
    assert!(published >= 1, "something was published");
}

#[test]
fn a_restart_knows_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.csv", "id,amount\n1,1\n");
    let mut daemon = Running::start(dir.path(), PIPELINE);
    assert_eq!(daemon.wait_finished(1)["a.csv"].0, Outcome::Succeeded);
    daemon.stop();
    put(dir.path(), "b.csv", "id,amount\n1,1\n");
    let mut daemon = Running::start(dir.path(), PIPELINE);
    assert_eq!(daemon.wait_finished(1)["b.csv"].0, Outcome::Duplicate);
    assert!(daemon.get("/metrics").contains("forebay_last_success_timestamp_seconds{pipeline=\"p\"}"));
    daemon.stop();
}

#[test]
fn an_output_that_is_not_mounted_at_a_start_is_waited_for_and_the_other_pipelines_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let both = format!("{PIPELINE}{}", PIPELINE.replace("pipelines.p", "pipelines.q"));
    put(dir.path(), "a.csv", "id,amount\n1,1\n");
    let mut daemon = Running::start(dir.path(), &both);
    assert_eq!(daemon.wait_finished(1)["a.csv"].0, Outcome::Succeeded);
    daemon.stop();
    let (output, away) = (dir.path().join("data/out/p"), dir.path().join("away"));
    rustix::fs::rename(&output, &away).unwrap();
    std::fs::create_dir(&output).unwrap();
    put(dir.path(), "b.csv", "id,amount\n2,2\n");
    let mut daemon = Running::start(dir.path(), &both);
    daemon.wait_metric("forebay_errors_total{component=\"publish\",kind=\"recover\"} 1");
    std::fs::File::create(dir.path().join("data/in/q/c.csv")).unwrap().write_all(b"id,amount\n3,3\n").unwrap();
    let other = daemon.wait_finished(1);
    assert_eq!(other["c.csv"].0, Outcome::Succeeded);
    daemon.wait_metric("forebay_files_pending{pipeline=\"p\"} 1");
    assert_eq!(std::fs::read_dir(&output).unwrap().count(), 0, "nothing is made where it should be mounted");
    std::fs::remove_dir(&output).unwrap();
    rustix::fs::rename(&away, &output).unwrap();
    let (outcome, row) = daemon.wait_finished(1).remove("b.csv").unwrap();
    assert_eq!((outcome, row.attempts), (Outcome::Succeeded, 0));
    daemon.stop();
}

#[test]
fn an_output_that_is_gone_for_good_is_made_anew_once_its_folder_is_there() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.csv", "id,amount\n1,1\n");
    let mut daemon = Running::start(dir.path(), PIPELINE);
    assert_eq!(daemon.wait_finished(1)["a.csv"].0, Outcome::Succeeded);
    daemon.stop();
    let output = dir.path().join("data/out/p");
    rustix::fs::rename(&output, dir.path().join("gone")).unwrap();
    put(dir.path(), "b.csv", "id,amount\n2,2\n");
    let mut daemon = Running::start(dir.path(), PIPELINE);
    daemon.wait_metric("forebay_errors_total{component=\"publish\",kind=\"claim\"} 1");
    std::fs::create_dir_all(output.join(".forebay")).unwrap();
    let (outcome, row) = daemon.wait_finished(1).remove("b.csv").unwrap();
    assert_eq!((outcome, row.attempts), (Outcome::Succeeded, 0));
    daemon.stop();
}

#[test]
fn kept_files_stay_and_are_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let keep = PIPELINE.replace("settle", "on_success = \"keep\"\nsettle");
    put(dir.path(), "a.csv", "id,amount\n1,1\n");
    let mut daemon = Running::start(dir.path(), &keep);
    assert_eq!(daemon.wait_finished(1)["a.csv"].0, Outcome::Succeeded);
    daemon.stop();
    assert!(dir.path().join("data/in/p/a.csv").try_exists().unwrap());
    let mut daemon = Running::start(dir.path(), &keep);
    daemon.wait_metric("forebay_ready 1");
    put(dir.path(), "b.csv", "id,amount\n2,2\n");
    let seen = daemon.wait_finished(1);
    assert_eq!(seen["b.csv"].0, Outcome::Succeeded);
    assert!(daemon.get("/metrics").contains("forebay_files_discovered_total{pipeline=\"p\",source=\"startup\"} 0"));
    daemon.stop();
}

#[test]
fn a_taken_address_is_an_internal_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!("[server]\nlisten = \"{address}\"\n[paths]\nbase = \"data\"\n{PIPELINE}");
    let config = crate::config::parse(&text, &dir.path().join("forebay.toml")).unwrap();
    let error = start(config, DaemonOptions::default(), &Lifecycle::new()).unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert!(error.to_string().contains("server.listen"), "{error}");
}

#[test]
fn two_daemons_never_share_a_state_folder() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Running::start(dir.path(), PIPELINE);
    daemon.wait_metric("forebay_ready 1");
    let second = Running::start(dir.path(), PIPELINE);
    let error = second.thread.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("another forebay"), "{error}");
    daemon.stop();
}

/// Supervises an engine that drains when asked to, and one more task that ends as it likes.
async fn with_a_task(
    name: &'static str,
    task: impl Future<Output = Result<(), String>> + Send + 'static,
) -> (Result<(), DaemonError>, Lifecycle) {
    let (life, end) = (Lifecycle::new(), CancellationToken::new());
    let mut tasks = Tasks::default();
    let asked = life.draining().clone();
    tasks.spawn("engine", async move {
        asked.cancelled().await;
        Ok(())
    });
    tasks.spawn("upkeep", until(end.clone(), std::future::pending()));
    tasks.spawn(name, task);
    (supervise(tasks, &Telemetry::new(&[]), &life, &end).await, life)
}

#[tokio::test]
async fn a_lost_listener_drains_the_daemon_and_is_an_internal_error() {
    let (ended, life) = with_a_task("http", async { Err("accept: bad file descriptor".to_owned()) }).await;
    let error = ended.unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert_eq!(error.to_string(), "http ended: accept: bad file descriptor");
    assert_eq!(life.cause(), "http", "what is in progress is finished first");
}

#[tokio::test]
async fn a_task_that_panics_or_just_ends_is_named() {
    let (ended, _) = with_a_task("reload", async { Ok(()) }).await;
    assert!(ended.unwrap_err().to_string().starts_with("reload ended: "));
    let (ended, _) = with_a_task("reload", async { panic!("on purpose") }).await;
    assert!(ended.unwrap_err().to_string().starts_with("reload ended: "));
}

#[tokio::test]
async fn an_asked_for_end_is_no_fault() {
    let (life, end) = (Lifecycle::new(), CancellationToken::new());
    let mut tasks = Tasks::default();
    tasks.spawn("engine", async { Ok(()) });
    tasks.spawn("http", until(end.clone(), std::future::pending()));
    life.drain("test");
    supervise(tasks, &Telemetry::new(&[]), &life, &end).await.unwrap();
    assert!(end.is_cancelled());
}

#[tokio::test]
async fn an_engine_that_ends_by_itself_is_a_fault() {
    let (life, end) = (Lifecycle::new(), CancellationToken::new());
    let mut tasks = Tasks::default();
    tasks.spawn("engine", async { Ok(()) });
    let error = supervise(tasks, &Telemetry::new(&[]), &life, &end).await.unwrap_err();
    assert_eq!(error.exit_code(), 70);
}

#[tokio::test]
async fn an_engine_that_panics_ends_the_daemon_as_an_internal_error() {
    let (life, end) = (Lifecycle::new(), CancellationToken::new());
    let mut tasks = Tasks::default();
    tasks.spawn("engine", async { panic!("on purpose") });
    tasks.spawn("http", until(end.clone(), std::future::pending()));
    let telemetry = Telemetry::new(&[]);
    let ended = tokio::time::timeout(LAST_WORDS * 2, supervise(tasks, &telemetry, &life, &end)).await;
    let error = ended.expect("it does not hang").unwrap_err();
    assert_eq!(error.exit_code(), 70);
    assert!(error.to_string().starts_with("engine ended: "), "{error}");
    assert!(end.is_cancelled(), "and takes the others with it");
}

#[test]
fn a_ledger_that_is_not_open_yet_is_no_failure() {
    use crate::http::{FileFilter, ReadView as _, ViewError};
    let config = crate::config::parse(PIPELINE, Path::new("/srv/forebay.toml")).unwrap();
    let view = LedgerView::new(&config);
    let (id, filter) = (FileId::parse("01kah5zq8v3w").unwrap(), FileFilter { state: None, pipeline: None, limit: 1 });
    let answers = [
        view.outcomes().map(drop),
        view.pipelines().map(drop),
        view.files(&filter).map(drop),
        view.file(&id).map(drop),
        view.story(&id).map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(ViewError::Starting)), "{answer:?}");
    }
}

#[tokio::test]
async fn who_asks_for_a_reload_during_a_start_is_not_left_waiting() {
    let (ask, mut asked) = tokio::sync::mpsc::channel::<ReloadRequest>(1);
    let refused = async {
        for _ in 0..3 {
            let (answer, answered) = tokio::sync::oneshot::channel();
            ask.send(answer).await.unwrap();
            assert!(answered.await.is_err(), "it is told that nobody takes it");
        }
    };
    tokio::select! {
        () = refused => {}
        never = refuse_reloads(&mut asked) => match never {},
    }
}
