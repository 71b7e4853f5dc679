//! The endpoint of a running daemon: formats, addresses, locks, and clients that mean no good.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Daemon, Exposition, Family, Project, wait_for, write_certificates};

const PIPELINE: &str = "
[pipelines.p]
settle = \"50ms\"
scan_interval = \"200ms\"
columns.a = \"int64\"
[pipelines.p.rules]
positive = \"a > 0\"
";

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Families that move by themselves between two scrapes.
fn is_restless(name: &str) -> bool {
    [
        "process_",
        "forebay_http_",
        "forebay_log_",
        "forebay_watch_",
        "forebay_ledger_",
        "forebay_filesystem_",
        "forebay_worker_",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

#[test]
fn both_formats_tell_the_same() {
    let project = Project::new(PIPELINE);
    let daemon = project.start();
    project.drop_file("p", "good.csv", "a\n1\n2\n-3\n");
    project.drop_file("p", "bad.csv", "b\n1\n");
    daemon.wait_processed("p", 2);
    let text = Exposition::text(&daemon.get("/metrics").body);
    let answer = daemon.get_with("/metrics", &[("Accept", OPENMETRICS)]);
    assert_eq!(answer.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let openmetrics = Exposition::openmetrics(&answer.body);
    assert!(text.families.len() > 50 && text.families.keys().eq(openmetrics.families.keys()));
    for (name, family) in &text.families {
        let other = &openmetrics.families[name];
        assert_eq!((&family.kind, &family.help), (&other.kind, &other.help), "{name}");
        let seconds = name.trim_end_matches("_total").ends_with("_seconds");
        assert_eq!(other.unit.as_deref() == Some("seconds"), seconds, "{name}");
        let samples = |of: &Family| -> Vec<_> {
            let told = of.samples.iter().filter(|((suffix, _), _)| suffix != "_created");
            told.map(|(series, value)| (series.clone(), value.to_bits())).collect()
        };
        let (ours, theirs) = (samples(family), samples(other));
        if is_restless(name) {
            assert!(ours.iter().map(|(series, _)| series).eq(theirs.iter().map(|(series, _)| series)), "{name}");
        } else {
            assert_eq!(ours, theirs, "{name}");
        }
    }
    let exemplars = |name: &str| openmetrics.families[name].exemplars.values().cloned().collect::<Vec<_>>();
    let published = project.published("p");
    let (labels, _) = &exemplars("forebay_file_latency_seconds")[0];
    assert_eq!(labels["file_id"], published[0].path.file_name().unwrap().to_str().unwrap());
    assert_eq!(labels["trace_id"], published[0].manifest["trace_id"].as_str().unwrap());
    assert!(
        !exemplars("forebay_file_duration_seconds").is_empty() && !exemplars("forebay_file_wait_seconds").is_empty()
    );
    daemon.stop();
}

#[test]
fn several_addresses_answer_and_the_config_in_force_is_told() {
    let text = format!("[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n{PIPELINE}");
    let project = Project::with_config(&text);
    let daemon = project.start();
    let addresses = daemon.addresses();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for address in &addresses {
        let mut answer = ureq::get(format!("http://{address}/-/healthy")).call().unwrap();
        assert_eq!(answer.body_mut().read_to_string().unwrap(), "forebay is healthy\n", "{address}");
    }
    let config = daemon.get("/-/config");
    assert_eq!((config.code, config.content_type.as_str()), (200, "application/toml; charset=utf-8"));
    assert!(
        config.body.contains("settle = \"50ms\"\n") && config.body.contains("on_success = \"archive\"\n"),
        "{}",
        config.body
    );
    // It can be used as it is.
    fs::write(project.path("copy.toml"), &config.body).unwrap();
    project.cli().args(["check", "-c", "copy.toml"]).run().expect_code(0);
    assert!(!daemon.log().contains("other machines can reach"), "loopback is no reason to warn");
    daemon.stop();
}

#[test]
fn an_address_that_others_can_reach_is_warned_of_unless_it_is_locked() {
    let config = |web: &str| format!("[server]\nlisten = \"0.0.0.0:0\"\n{web}{PIPELINE}");
    let project = Project::with_config(&config(""));
    let daemon = project.start();
    assert!(daemon.log().contains("there are neither TLS nor users"), "{}", daemon.log());
    daemon.stop();
    write_certificates(&project);
    let hash = bcrypt::hash("x", 4).unwrap();
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
    fs::write(project.path("web.yml"), format!("{tls}basic_auth_users:\n  prometheus: {hash}\n")).unwrap();
    project.configure(&config("web_config_file = \"web.yml\"\n"));
    let daemon = Daemon::spawn(&project, &[]);
    wait_for("the daemon to be ready", || daemon.log().contains("\"ready\"").then_some(()));
    assert!(!daemon.log().contains("other machines can reach"), "{}", daemon.log());
}

#[test]
fn a_web_config_that_is_not_sound_is_found_before_it_matters() {
    let project = Project::with_config(&format!("[server]\nweb_config_file = \"web.yml\"\n{PIPELINE}"));
    let check = || project.cli().arg("check").run();
    assert!(check().expect_code(2).stderr.contains("web.yml: the web config cannot be read"));
    fs::write(project.path("web.yml"), "basic_auth_users:\n  alice: secret\n").unwrap();
    let refused = check().expect_code(2).stderr;
    assert!(refused.contains("web.yml:2: basic_auth_users.alice: this is no bcrypt hash"), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
    let json = project.cli().args(["check", "--json"]).run().expect_code(2).json();
    assert_eq!((&json["valid"], &json["errors"][0]["line"]), (&false.into(), &2.into()));
    let run = project.cli().arg("run").run().expect_code(2);
    assert!(run.stderr.contains("this is no bcrypt hash"), "{}", run.stderr);
    fs::write(project.path("web.yml"), "rate_limit:\n  interval: 1s\n  burst: 3\n").unwrap();
    check().expect_code(0);
}

#[test]
fn promtool_finds_nothing_in_what_the_daemon_tells() {
    let project = Project::new(PIPELINE);
    let daemon = project.start();
    let body = daemon.get("/metrics").body;
    daemon.stop();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = match command.spawn() {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "promtool is required: {error}");
            eprintln!("LEFT OUT: promtool not installed");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()));
}

#[test]
fn two_hundred_slow_clients_do_not_delay_a_scrape() {
    let project = Project::new(PIPELINE);
    let daemon = project.start();
    let quiet = time_of_scrapes(&daemon);
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        // Silent, half a request line, half a head, or an answer that nobody reads.
        let begun: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /metr",
            2 => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
            _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        stream.write_all(begun).unwrap();
        slow.push(stream);
    }
    let crowded = time_of_scrapes(&daemon);
    // Other tests have the machine, too: one scrape may meet them.
    let [nearly_all, all] = crowded;
    assert!(nearly_all < Duration::from_millis(100), "{crowded:?} among slow clients, {quiet:?} alone");
    assert!(all < quiet[1] + Duration::from_millis(500), "{crowded:?} among slow clients, {quiet:?} alone");
    // And they are gone in the end: those that were in the way at once.
    let gone = slow.into_iter().filter_map(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let over = stream.read_to_end(&mut Vec::new()).is_ok() || stream.write_all(b"x").is_err();
        over.then_some(())
    });
    assert!(gone.count() >= 60, "200 clients, 128 seats");
    daemon.stop();
}

/// Makes 50 scrapes, each over a connection of its own, and returns the time that all but one kept, and all.
fn time_of_scrapes(daemon: &Daemon) -> [Duration; 2] {
    let scrape = |_| {
        let start = Instant::now();
        assert!(daemon.scrape().text().contains("forebay_ready 1\n"));
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..50).map(scrape).collect();
    times.sort_unstable();
    [times[48], times[49]]
}

#[test]
fn noise_at_the_port_never_ends_the_daemon() {
    let project = Project::new(PIPELINE);
    let daemon = project.start();
    make_noise(&daemon, 400);
    assert!(daemon.scrape().metric("forebay_ready").value() > 0.5);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    daemon.stop();

    let locked = Project::with_config(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nweb_config_file = \"web.yml\"\n{PIPELINE}"
    ));
    write_certificates(&locked);
    fs::write(locked.path("web.yml"), "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n").unwrap();
    let daemon = Daemon::spawn(&locked, &[]);
    make_noise(&daemon, 200);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    daemon.stop();
}

/// Throws bytes at the endpoint that are no request, or hardly one.
fn make_noise(daemon: &Daemon, rounds: u32) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    for round in 0..rounds {
        let mut bytes: Vec<u8> = match round % 3 {
            0 => (0..next(3000)).map(|_| u8::try_from(next(256)).unwrap()).collect(),
            1 => REQUEST.to_vec(),
            // The beginning of a TLS handshake, and then anything.
            _ => {
                [0x16, 3, 1, 2, 0, 1, 0].into_iter().chain((0..600).map(|_| u8::try_from(next(256)).unwrap())).collect()
            }
        };
        // A few bytes changed, cut off anywhere.
        for _ in 0..next(6) {
            let at = next(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(next(256)).unwrap();
            }
        }
        if next(3) == 0 {
            bytes.truncate(next(bytes.len() + 1));
        }
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        // Refused before everything is written: fine.
        drop(stream.write_all(&bytes));
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        drop(stream.read(&mut [0; 512]));
    }
}

const REQUEST: &[u8] = b"GET /metrics?name[]=forebay_ready HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\
    Accept-Encoding: gzip\r\nAuthorization: Basic eDp5\r\nContent-Length: 5\r\n\r\n";

/// What alerts compare, and what is known only once ledger and inbox were looked at.
const STATES: [&str; 9] = [
    "forebay_files_pending",
    "forebay_files_queued",
    "forebay_files_in_flight",
    "forebay_files_quarantined",
    "forebay_pending_bytes",
    "forebay_oldest_pending_file_timestamp_seconds",
    "forebay_oldest_in_flight_start_timestamp_seconds",
    "forebay_watch_up",
    "forebay_ledger_files",
];

/// Another program keeps the ledger to itself: the start waits for it, and whoever asks meanwhile must not.
#[test]
fn a_start_that_takes_its_time_says_so() {
    let project =
        Project::with_config(&format!("[server]\nlisten = \"127.0.0.1:0\"\nenable_lifecycle = true\n{PIPELINE}"));
    project.start().stop();
    let ledger = rusqlite::Connection::open(project.path("data/state/ledger.db")).unwrap();
    ledger.execute_batch("PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE").unwrap();
    let daemon = Daemon::spawn(&project, &[]);
    for path in ["/files", "/files/01kah5zq8v3w", "/api/v1/files", "/api/v1/files/01kah5zq8v3w", "/api/v1/status"] {
        let answer = daemon.get(path);
        assert_eq!(answer.code, 503, "{path}: {}", answer.body);
        assert!(
            answer.body.contains("forebay is starting and has not opened its ledger yet"),
            "{path}: {}",
            answer.body
        );
    }
    let answer = daemon.post("/-/reload", &[]);
    assert_eq!((answer.code, answer.body.as_str()), (503, "503: no reload now: forebay is starting or stopping\n"));
    assert!(daemon.get("/").body.contains("<h1>Starting</h1>"));
    let scrape = daemon.scrape();
    let errors = scrape.metric("forebay_errors_total").label("component", "http").sum();
    assert!(errors < 0.5, "a start is no fault");
    assert!(scrape.metric("forebay_ready").value() < 0.5 && scrape.metric("forebay_workers").value() > 0.5);
    // A quarantine that is empty because nobody has looked yet would call off an alert.
    let told = STATES.iter().filter(|metric| !scrape.metric(metric).is_absent()).collect::<Vec<_>>();
    assert!(told.is_empty(), "told before anybody knows: {told:?}");
    drop(ledger);
    wait_for("the start to go on", || (daemon.get("/-/ready").code == 200).then_some(()));
    assert_eq!((daemon.get("/files").code, daemon.post("/-/reload", &[]).code), (200, 200));
    wait_for("everything to be known", || {
        let scrape = daemon.scrape();
        STATES.iter().all(|metric| !scrape.metric(metric).is_absent()).then_some(())
    });
    daemon.stop();
}
