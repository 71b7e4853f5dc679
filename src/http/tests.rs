//! The endpoint over a real socket.

mod metrics;
mod pages;
mod tls;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::job::{FileId, Outcome, RowCounts, Timestamp};
use crate::telemetry::PipelineInfo;
use crate::telemetry::event::Event;

const ID: &str = "01kah5zq8v3w";

/// A ledger with one file.
pub(super) struct OneFile;

impl ReadView for OneFile {
    fn outcomes(&self) -> Result<OutcomeCounts, ViewError> {
        Ok(BTreeMap::from([("taxi".to_owned(), BTreeMap::from([(Outcome::Succeeded, 4)]))]))
    }

    fn files(&self, filter: &FileFilter) -> Result<Vec<FileSummary>, ViewError> {
        match filter.state.as_deref() {
            Some("broken") => return Err(ViewError::Failed("disk on fire".to_owned())),
            Some("odd") => return Err(ViewError::Refused("'odd' is no state".to_owned())),
            Some("early") => return Err(ViewError::Starting),
            _ => {}
        }
        Ok(vec![FileSummary {
            id: FileId::parse(ID).unwrap(),
            pipeline: "taxi".to_owned(),
            name: "a<b.csv".to_owned(),
            bytes: 10,
            state: "done".to_owned(),
            outcome: Some(Outcome::Succeeded),
            attempts: 1,
            arrived_at: Timestamp(1_800_000_000_000_000_000),
            finished_at: None,
            rows: Some(RowCounts::default()),
            rejects: BTreeMap::new(),
            reason: None,
            message: None,
            replaces: None,
            replaced_by: None,
        }])
    }

    fn pipelines(&self) -> Result<Vec<String>, ViewError> {
        Ok(vec!["taxi".to_owned(), "gone".to_owned()])
    }

    fn config(&self) -> String {
        "listen = [\"127.0.0.1:1\"]\n".to_owned()
    }

    fn file(&self, id: &FileId) -> Result<Option<Value>, ViewError> {
        Ok((id.as_str() == ID).then(|| json!({ "id": ID })))
    }

    fn story(&self, id: &FileId) -> Result<Option<Story>, ViewError> {
        let [file] = <[FileSummary; 1]>::try_from(self.files(&EVERYTHING)?).unwrap();
        Ok((*id == file.id).then(|| pages::story(file)))
    }
}

const EVERYTHING: FileFilter = FileFilter { state: None, pipeline: None, limit: 1 };

/// A running endpoint; dropped with its runtime.
struct Running {
    runtime: tokio::runtime::Runtime,
    address: std::net::SocketAddr,
    telemetry: Telemetry,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(reload: Option<mpsc::Sender<ReloadRequest>>) -> Self {
        let (name, scan_interval) = ("taxi".to_owned(), Duration::from_secs(30));
        let info = PipelineInfo { name, rules: Vec::new(), freshness: None, latency: None, scan_interval };
        Self::with(reload, Telemetry::new(&[info]), None)
    }

    fn with(reload: Option<mpsc::Sender<ReloadRequest>>, telemetry: Telemetry, web: Option<Arc<Web>>) -> Self {
        Self::over(Arc::new(OneFile), reload, telemetry, web)
    }

    fn over(
        view: Arc<dyn ReadView>,
        reload: Option<mpsc::Sender<ReloadRequest>>,
        telemetry: Telemetry,
        web: Option<Arc<Web>>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let endpoint = Endpoint { telemetry: telemetry.clone(), view, reload, web };
        let serving = runtime.spawn(serve(vec![listener], endpoint, stop.clone()));
        Self { runtime, address, telemetry, stop, serving }
    }

    /// Sends `request` as it is and returns head and body.
    fn raw(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let (head, body) =
            self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head, body)
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (code, _, body) = self.ask("GET", path);
        (code, body)
    }
}

#[test]
fn metrics_have_their_content_type_and_head_works() {
    let endpoint = Running::start(None);
    let (code, head, body) = endpoint.ask("GET", "/metrics");
    assert_eq!(code, 200);
    assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(body.contains("forebay_http_requests_total{handler=\"metrics\",code=\"200\"} 0\n") && body.ends_with('\n'));
    let (code, head, body) = endpoint.ask("HEAD", "/metrics");
    assert_eq!((code, body.as_str()), (200, ""));
    assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    let (_, body) = endpoint.get("/metrics");
    assert!(body.contains("forebay_http_requests_total{handler=\"metrics\",code=\"200\"} 2\n"));
}

#[test]
fn ready_follows_the_life_of_the_daemon() {
    let endpoint = Running::start(None);
    assert_eq!(endpoint.get("/-/healthy").0, 200);
    let (code, words) = endpoint.get("/-/ready");
    assert!(code == 503 && words.starts_with("starting"), "{code} {words}");
    endpoint.telemetry.emit(Event::Ready);
    assert_eq!((endpoint.get("/-/ready").0, endpoint.get("/readyz").0), (200, 200));
    endpoint.telemetry.emit(Event::Draining { cause: "SIGTERM" });
    let (code, words) = endpoint.get("/-/ready");
    assert!(code == 503 && words.starts_with("draining"), "{code} {words}");
    assert_eq!(endpoint.get("/-/healthy").0, 200);
}

#[test]
fn an_engine_without_a_sign_of_life_is_not_healthy() {
    let clock = Arc::new(ManualClock::default());
    let telemetry = Telemetry::with_clock(&[], Arc::clone(&clock) as _);
    let endpoint = Running::with(None, telemetry, None);
    let (healthy, ready) = (|| endpoint.get("/-/healthy"), || endpoint.get("/-/ready"));
    let exported = || endpoint.telemetry.render().contains("\nforebay_ready 1\n");
    clock.advance(Duration::from_hours(1));
    assert_eq!(healthy().0, 200, "a start may take its time");
    assert!(ready().0 == 503 && !exported(), "but it is not ready");
    endpoint.telemetry.beat();
    endpoint.telemetry.emit(Event::Ready);
    clock.advance(Duration::from_mins(1));
    assert_eq!((healthy().0, endpoint.get("/healthz").0, ready().0, exported()), (200, 200, 200, true));
    clock.advance(Duration::from_secs(1));
    assert_eq!(healthy(), (503, "503: the engine has given no sign of life for 61 s\n".to_owned()));
    assert_eq!(ready(), (503, "stuck: the engine has given no sign of life for 61 s\n".to_owned()));
    assert!(!exported(), "what does nothing is not ready");
    endpoint.telemetry.beat();
    assert_eq!((healthy().0, ready().0, exported()), (200, 200, true));
}

#[test]
fn the_config_in_force_is_shown() {
    let endpoint = Running::start(None);
    let (code, head, body) = endpoint.ask("GET", "/-/config");
    assert!(code == 200 && head.contains("\r\ncontent-type: application/toml; charset=utf-8\r\n"), "{head}");
    assert_eq!(body, "listen = [\"127.0.0.1:1\"]\n");
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_apart() {
    let endpoint = Running::start(None);
    for path in ["/nothing", "/metrics/", "/api/v1/", "/api/v1/files/a/b"] {
        assert_eq!(endpoint.get(path).0, 404, "{path}");
    }
    for (method, path, allowed) in [
        ("POST", "/metrics", "get"),
        ("DELETE", "/", "get"),
        ("GET", "/-/reload", "post"),
        ("PUT", "/api/v1/files", "get"),
        ("POST", "/-/config", "get"),
        ("DELETE", "/-/healthy", "get"),
    ] {
        let (code, head, _) = endpoint.ask(method, path);
        assert_eq!(code, 405, "{method} {path}");
        let allow = head.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap();
        let all = if allowed == "get" { ["get", "head"] } else { ["post", "put"] };
        assert_eq!(allow.split(',').collect::<Vec<_>>(), all, "{method} {path}");
    }
    let (_, metrics) = endpoint.get("/metrics");
    assert!(metrics.contains("forebay_http_requests_total{handler=\"other\",code=\"404\"} 4\n"), "{metrics}");
    assert!(metrics.contains("forebay_http_requests_total{handler=\"reload\",code=\"405\"} 1\n"));
}

#[test]
fn the_api_speaks_json_also_when_it_refuses() {
    let endpoint = Running::start(None);
    let json = |path: &str| -> (u16, Value) {
        let (code, body) = endpoint.get(path);
        (code, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
    };
    let (code, status) = json("/api/v1/status");
    assert_eq!((code, &status["state"]), (200, &"starting".into()));
    assert_eq!(
        status["pipelines"][0]["files"],
        json!({ "succeeded": 4, "duplicate": 0, "empty": 0, "quarantined": 0, "failed": 0 })
    );
    let (code, files) = json("/api/v1/files?pipeline=taxi&limit=5&state=");
    assert_eq!((code, &files["files"][0]["arrived_at"]), (200, &"2027-01-15T08:00:00.000Z".into()));
    assert_eq!(json(&format!("/api/v1/files/{ID}")).0, 200);
    assert_eq!(json("/version").1["version"], env!("CARGO_PKG_VERSION"));
    for (path, code, words) in [
        ("/api/v1/files/0", 404, "no file has this id"),
        ("/api/v1/files/..%2F..%2Fetc", 404, "no file has this id"),
        ("/api/v1/files/%FF", 404, "no file has this id"),
        ("/api/v1/files?limit=0", 400, "limit is 0, it must be 1 to 1000"),
        ("/api/v1/files?limit=x", 400, "limit"),
        ("/api/v1/files?colour=red", 400, "colour"),
        ("/api/v1/files?state=odd", 400, "'odd' is no state"),
        ("/api/v1/files?state=broken", 500, "the ledger cannot be read: disk on fire"),
        ("/api/v1/files?state=early", 503, "forebay is starting and has not opened its ledger yet"),
    ] {
        let (found, body) = json(path);
        let error = body["error"].as_str().unwrap().to_owned();
        assert!(found == code && error.contains(words), "{path}: {found} {error}");
        let (_, head, _) = endpoint.ask("GET", path);
        assert_eq!(head.contains("\r\nretry-after: 5\r\n"), code == 503, "{path}: {head}");
    }
}

#[test]
fn a_name_that_is_not_this_machines_is_refused() {
    let endpoint = Running::start(None);
    for request in [
        "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        let (head, body) = endpoint.raw(request);
        assert!(head.starts_with("http/1.1 403") && !body.contains("forebay_"), "{head}");
    }
    let post = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    let (head, body) = endpoint.raw(post);
    assert!(head.starts_with("http/1.1 403") && body.contains("another site"), "{head} {body}");
    let (head, _) = endpoint.raw("GET /metrics HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("http/1.0 200"), "{head}");
}

#[test]
fn reload_is_refused_unless_enabled_and_then_tells_what_came_of_it() {
    assert_eq!(Running::start(None).ask("POST", "/-/reload").0, 403);
    let (requests, mut received) = mpsc::channel::<ReloadRequest>(1);
    let endpoint = Running::start(Some(requests));
    endpoint.runtime.spawn(async move {
        for outcome in [Ok("config reloaded".to_owned()), Err("line 3: no".to_owned())] {
            received.recv().await.unwrap().send(outcome).unwrap();
        }
    });
    let (code, _, body) = endpoint.ask("POST", "/-/reload");
    assert_eq!((code, body.as_str()), (200, "config reloaded\n"));
    let (code, _, body) = endpoint.ask("POST", "/-/reload");
    assert_eq!((code, body.as_str()), (500, "500: line 3: no\n"));
    let (code, head, body) = endpoint.ask("POST", "/-/reload");
    assert!(code == 503 && head.contains("\r\nretry-after: 5\r\n"), "nobody takes reloads any more: {head}");
    assert_eq!(body, "503: no reload now: forebay is starting or stopping\n");
}

#[test]
fn a_stop_ends_the_server_even_with_a_silent_client() {
    let endpoint = Running::start(None);
    let silent = TcpStream::connect(endpoint.address).unwrap();
    assert_eq!(endpoint.get("/-/healthy").0, 200);
    endpoint.stop.cancel();
    let ended =
        endpoint.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), endpoint.serving).await });
    ended.expect("the server ends").unwrap().unwrap();
    drop(silent);
}

#[test]
fn losing_the_listener_is_an_error() {
    // A socket that is connected, not listening: accepting on it fails for ever.
    let real = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(real.local_addr().unwrap()).unwrap();
    let connected = real.accept().unwrap().0;
    connected.set_nonblocking(true).unwrap();
    peer.write_all(b"wake up").unwrap();
    let fake = std::net::TcpListener::from(std::os::fd::OwnedFd::from(connected));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let listener = TcpListener::from_std(fake).unwrap();
        let endpoint = Endpoint { telemetry: Telemetry::new(&[]), view: Arc::new(OneFile), reload: None, web: None };
        let served = serve(vec![listener], endpoint, CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(20), served).await
    });
    assert!(ended.expect("the server ends").is_err());
}
