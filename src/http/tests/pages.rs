//! The pages for people.

use std::sync::mpsc;

use super::*;
use crate::job::{RejectReason, Stage, StageCost};

/// The story of a file that brings everything that could become markup.
pub(super) fn story(file: FileSummary) -> Story {
    let rows = RowCounts { read: 10, written: 6, rejected: 3, dropped: 1 };
    let rejects = BTreeMap::from([(RejectReason::BadType, 2), (RejectReason::Rule, 1)]);
    let file = FileSummary { rows: Some(rows), rejects, message: Some("<b>&'\"".to_owned()), ..file };
    let turn = |millis: i64, what: &str| Turn {
        at: Timestamp(file.arrived_at.0 + millis * 1_000_000),
        what: what.to_owned(),
        message: "<i>".to_owned(),
    };
    let reject = RejectedRow { line: 7, raw: "1,</code><script>".to_owned(), ..RejectedRow::default() };
    let published = PublishedAs {
        directory: "/out/<x>".to_owned(),
        outputs: BTreeMap::new(),
        stages: BTreeMap::from([(Stage::Parse, StageCost { busy_seconds: 0.25, peak_rss_bytes: 1 << 20 })]),
        rejects_by_rule: BTreeMap::from([("positive".to_owned(), 1)]),
        rule_violations: BTreeMap::new(),
        drift: BTreeMap::new(),
    };
    Story {
        hint: String::new(),
        what_next: Vec::new(),
        last_error: None,
        duplicate_of: None,
        started_at: None,
        next_attempt_at: None,
        turns: vec![turn(250, "claimed"), turn(1750, "published")],
        published: Some(published),
        unreadable: None,
        sample: vec![reject],
        facts: vec![("trace id", "<t>".to_owned())],
        file,
    }
}

#[test]
fn the_status_page_is_whole_without_a_script() {
    let endpoint = Running::start(None);
    let (_, body) = endpoint.get("/");
    assert!(body.contains("The ledger is being opened") && body.contains("<h1>Starting</h1>"), "{body}");
    endpoint.telemetry.emit(Event::Ready);
    endpoint.telemetry.emit(Event::Watch { pipeline: "taxi", up: true, message: "" });
    let (code, head, body) = endpoint.ask("GET", "/");
    assert!(code == 200 && head.contains("content-type: text/html; charset=utf-8"), "{head}");
    for words in ["a&lt;b.csv", "succeeded <b>4</b>", "The pipeline is well", "<title>The pipeline is well – forebay"]
    {
        assert!(body.contains(words), "{words} in {body}");
    }
    // Nothing inline: the policy would refuse it.
    for inline in ["<script>", "<style", " style=", " onclick", " onload"] {
        assert!(!body.contains(inline), "{inline} in {body}");
    }
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let (code, head, body) = endpoint.ask("HEAD", "/");
    assert!(code == 200 && head.contains("text/html") && body.is_empty(), "{head}");
}

#[test]
fn the_assets_are_our_own() {
    let endpoint = Running::start(None);
    for (path, kind) in [("page.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")] {
        let (code, head, body) = endpoint.ask("GET", &format!("/static/{path}"));
        assert!(code == 200 && head.contains(&format!("content-type: {kind}")) && body.len() > 200, "{head}");
        assert!(!body.replace("http://www.w3.org", "").contains("http"), "{path} asks for something elsewhere");
    }
    assert_eq!((endpoint.get("/static/x").0, endpoint.ask("POST", "/static/page.js").0), (404, 405));
}

#[test]
fn a_files_story_is_told_and_nothing_it_brings_becomes_markup() {
    let endpoint = Running::start(None);
    let (code, body) = endpoint.get(&format!("/files/{ID}"));
    assert_eq!(code, 200);
    for words in [
        "<h1><bdi>a&lt;b.csv</bdi></h1>",
        "&lt;b&gt;&amp;'&quot;",
        "<b>10</b> read",
        "<b>3</b> rejected",
        "1,&lt;/code&gt;&lt;script&gt;",
        ">+1.50 s</td>",
        ">published</th><td class=\"text\" role=\"cell\">&lt;i&gt;</td>",
        "<code>forebay rejects 01kah5zq8v3w --csv</code>",
        "/out/&lt;x&gt;",
        "positive",
        "250 ms",
    ] {
        assert!(body.contains(words), "{words} in {body}");
    }
    assert!(!body.contains("<script>") && !body.contains("<i>"), "{body}");
    for absent in ["0", "..%2F..%2Fetc", "%FF", "UPPER"] {
        let (code, head, body) = endpoint.ask("GET", &format!("/files/{absent}"));
        assert_eq!(code, 404, "{absent}");
        assert!(head.contains("text/html") && body.contains("knows no file with this id"), "{body}");
    }
}

#[test]
fn files_are_listed_by_pipeline_and_state() {
    let endpoint = Running::start(None);
    let (code, body) = endpoint.get("/files?pipeline=taxi&state=succeeded");
    assert!(code == 200 && body.contains("a&lt;b.csv"), "{body}");
    let chosen = "<option value=\"succeeded\" selected>succeeded</option>";
    assert!(body.contains("<option value=\"taxi\" selected>taxi</option>") && body.contains(chosen), "{body}");
    let (code, body) = endpoint.get("/files?pipeline=gone");
    assert!(code == 200 && body.contains("<option value=\"gone\" selected>gone</option>"), "{body}");
    for (query, code, words) in [
        ("limit=0", 400, "limit is 0"),
        ("colour=red", 400, "colour"),
        ("state=odd", 400, "'odd' is no state"),
        ("state=broken", 500, "disk on fire"),
        ("state=early", 503, "forebay is starting"),
    ] {
        let (found, head, body) = endpoint.ask("GET", &format!("/files?{query}"));
        assert_eq!(head.contains("\r\nretry-after: 5\r\n"), code == 503, "{query}: {head}");
        assert!(found == code && body.contains(words) && body.contains("<main"), "{query}: {found} {body}");
    }
}

#[test]
fn a_ledger_that_hangs_delays_neither_the_page_for_long_nor_a_scrape() {
    let (release, hanging) = mpsc::channel();
    let telemetry = Telemetry::new(&[]);
    let endpoint = Running::over(Arc::new(metrics::Hanging(std::sync::Mutex::new(hanging))), None, telemetry, None);
    endpoint.telemetry.emit(Event::Ready);
    let pages: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(endpoint.address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let clock = crate::clock::SystemClock;
    let before = crate::clock::Clock::monotonic(&clock);
    let (code, body) = endpoint.get("/metrics");
    let took = crate::clock::Clock::monotonic(&clock).saturating_sub(before);
    assert!(code == 200 && body.contains("forebay_ready 1\n") && took < Duration::from_secs(3), "{took:?}");
    for mut page in pages {
        page.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        page.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("did not answer within 5 s"), "{answer}");
    }
    drop(release);
}
