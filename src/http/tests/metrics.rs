//! `/metrics` over a socket: formats, codings, filters and limits.

use std::io::Read as _;

use super::*;

impl Running {
    /// Asks for `/metrics` and returns the code, the head, and the body as bytes.
    fn scrape(&self, method: &str, query: &str, headers: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request =
            format!("{method} /metrics{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end + 2].to_vec()).unwrap().to_ascii_lowercase();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end + 4..].to_vec())
    }
}

const QUIET: &str = "?name[]=forebay_ready&name[]=forebay_rows_read_total";
const QUIET_TEXT: &str = "# HELP forebay_ready 1 once the ledger is open, recovery is done and every inbox was scanned; 0 while draining, and after a minute in which the engine gave no sign of life.\n\
    # TYPE forebay_ready gauge\nforebay_ready 0\n\
    # HELP forebay_rows_read_total Records read of published files.\n\
    # TYPE forebay_rows_read_total counter\nforebay_rows_read_total{pipeline=\"taxi\"} 0\n";

#[test]
fn a_body_comes_as_it_was_asked_for() {
    let endpoint = Running::start(None);
    let gunzip = |body: &[u8]| {
        let mut text = String::new();
        flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
        text
    };
    let unzstd = |body: &[u8]| String::from_utf8(zstd::decode_all(body).unwrap()).unwrap();
    let plain = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    for (headers, coding) in [
        ("", None),
        ("Accept-Encoding: gzip\r\n", Some("gzip")),
        ("Accept-Encoding: gzip;q=0.5, zstd\r\n", Some("zstd")),
        ("Accept-Encoding: br\r\n", None),
    ] {
        let (code, head, body) = endpoint.scrape("GET", QUIET, headers);
        let text = match coding {
            Some("gzip") => gunzip(&body),
            Some(_) => unzstd(&body),
            None => plain(&body),
        };
        assert_eq!((code, text.as_str()), (200, QUIET_TEXT), "{headers}");
        assert!(head.contains("\r\nvary: accept, accept-encoding\r\n"), "{head}");
        let told = head.lines().find_map(|line| line.strip_prefix("content-encoding: "));
        assert_eq!(told, coding, "{headers}");
        // HEAD tells the same, without the body.
        let (code, without, body) = endpoint.scrape("HEAD", QUIET, headers);
        let lines =
            |head: &str| head.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!((code, body.len(), lines(&without)), (200, 0, lines(&head)));
    }
}

#[test]
fn openmetrics_is_for_those_who_ask_for_it() {
    let endpoint = Running::start(None);
    let (_, head, body) = endpoint.scrape("GET", "", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(
        head.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(body.ends_with(b"\n# EOF\n"));
    let (_, head, body) = endpoint.scrape("GET", "", "Accept: application/json\r\n");
    assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(!body.ends_with(b"# EOF\n"));
}

#[test]
fn a_filter_that_fits_nothing_is_an_empty_page() {
    let endpoint = Running::start(None);
    let (code, _, body) = endpoint.scrape("GET", "?name%5B%5D=up", "");
    assert_eq!((code, body.len()), (200, 0));
    let (code, _, body) = endpoint.scrape("GET", "?other=1&name%5B%5D=forebay_ready", "");
    assert!(code == 200 && body.starts_with(b"# HELP forebay_ready ") && body.ends_with(b"\nforebay_ready 0\n"));
}

#[test]
fn a_head_beyond_all_measure_is_refused() {
    let endpoint = Running::start(None);
    let (code, ..) = endpoint.scrape("GET", "", &format!("X-Long: {}\r\n", "x".repeat(20_000)));
    assert_eq!(code, 431);
    let many: String =
        (0..100).flat_map(|number| ["X-".to_owned(), number.to_string(), ": y\r\n".to_owned()]).collect();
    let (code, ..) = endpoint.scrape("GET", "", &many);
    assert_eq!(code, 431);
    assert_eq!(endpoint.get("/-/healthy").0, 200);
}

#[test]
fn a_daemon_that_is_busy_with_itself_still_answers() {
    // All the threads the daemon has: one for tasks, one for what blocks. Both are stuck until the end.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let endpoint = Endpoint { telemetry: Telemetry::new(&[]), view: Arc::new(OneFile), reload: None, web: None };
    let served = runtime.spawn(serve_apart(vec![listener], endpoint, stop.clone()));
    let (free_task, stuck_task) = std::sync::mpsc::channel::<()>();
    let (free_block, stuck_block) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || stuck_block.recv().unwrap_or_default());
    // The endpoint must have been started by the one worker before it is stuck.
    let up = (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(10));
        TcpStream::connect(address).is_ok_and(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            drop(stream.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n"));
            stream.read(&mut [0; 16]).is_ok_and(|read| read > 0)
        })
    });
    assert!(up, "the endpoint never came up");
    runtime.spawn(async move { stuck_task.recv().unwrap_or_default() });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\nforebay_ready 0\n"), "{answer}");
    drop((free_task, free_block));
    stop.cancel();
    runtime.block_on(served).unwrap().unwrap();
}

/// A ledger on a disk that hangs until the end of the test.
pub(super) struct Hanging(pub(super) std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl ReadView for Hanging {
    fn outcomes(&self) -> Result<OutcomeCounts, ViewError> {
        self.0.lock().unwrap().recv().unwrap_or_default();
        Ok(OutcomeCounts::new())
    }

    fn pipelines(&self) -> Result<Vec<String>, ViewError> {
        Ok(Vec::new())
    }

    fn files(&self, _: &FileFilter) -> Result<Vec<FileSummary>, ViewError> {
        Ok(Vec::new())
    }

    fn config(&self) -> String {
        String::new()
    }

    fn file(&self, _: &FileId) -> Result<Option<Value>, ViewError> {
        Ok(None)
    }

    fn story(&self, _: &FileId) -> Result<Option<Story>, ViewError> {
        Ok(None)
    }
}

#[test]
fn a_ledger_that_hangs_keeps_no_scrape_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (free, hangs) = std::sync::mpsc::channel();
    let view = Arc::new(Hanging(std::sync::Mutex::new(hangs)));
    let (telemetry, stop) = (Telemetry::new(&[]), CancellationToken::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let endpoint = Endpoint { telemetry, view, reload: None, web: None };
    let served = runtime.spawn(serve_apart(vec![listener], endpoint, stop.clone()));
    let ask = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let waiting: Vec<TcpStream> = (0..2 * BLOCKING).map(|_| ask("/api/v1/status")).collect();
    let mut answer = String::new();
    ask("/metrics").read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\nforebay_ready 0\n"), "{answer}");
    drop((waiting, free));
    stop.cancel();
    runtime.block_on(served).unwrap().unwrap();
}
