//! The status page in a real browser, over a real daemon: what it shows, that it stays fresh, that nothing a file brings
//! does harm, and that everybody can read it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::support::{Browser, Daemon, Project, Tab, wait_for};
use crate::workers::workers;

const CONFIG: &str = "
[server]
listen = \"127.0.0.1:0\"
[paths]
base = \"data\"
[limits]
workers = 1

[pipelines.rides]
settle = \"50ms\"
scan_interval = \"200ms\"
columns = { ride = \"int64\", fare = { type = \"float64\", nullable = false } }
accept = { max_reject_ratio = 0.2, max_rejects = 5 }
objectives = { freshness = \"2h\", latency = \"5m\" }
[pipelines.rides.rules]
positive_fare = \"fare > 0\"
has_a_number = { check = \"ride <> 13\", action = \"drop\" }

[pipelines.air_quality]
settle = \"50ms\"
scan_interval = \"200ms\"
columns = { sensor = \"string\", pm10 = \"float64\" }
objectives = { freshness = \"5s\" }

[pipelines.orders]
settle = \"50ms\"
scan_interval = \"200ms\"
columns = { number = \"int64\" }
";

/// Rows of rides; every `bad`th has a fare that is a word.
fn rides(rows: u32, bad: u32) -> String {
    let row = |ride: u32| {
        let fare = if ride.is_multiple_of(bad) { "cheap".to_owned() } else { format!("{}.5", ride % 40 + 3) };
        format!("{ride},{fare}\n")
    };
    std::iter::once("ride,fare\n".to_owned()).chain((1..=rows).map(row)).collect()
}

/// A daemon that has seen a file of every outcome: `rides` has files in quarantine, `air_quality` is late, `orders` failing.
fn site() -> (Project, Daemon) {
    let project = Project::with_config(CONFIG);
    let daemon = project.start();
    // Long enough that it cannot be done between two looks at it.
    let fail = rides(1_500_000, 10_000_000);
    project.drop_file("rides", "kills_its_worker.csv", &fail);
    wait_for("the file that kills its worker to be given up", || {
        let scrape = daemon.scrape();
        let of = |name: &str| scrape.metric(name).label("pipeline", "rides");
        // A worker that dies before it has the file costs the file nothing.
        if of("forebay_in_flight_rows").value() > 0.5 {
            for worker in workers(&daemon) {
                // Gone by itself is fine.
                kill_process(worker, Signal::KILL).ok();
            }
        }
        (of("forebay_files_processed_total").label("outcome", "failed").value() > 0.5).then_some(())
    });
    project.drop_file("rides", "rides_2026-03-01.csv", rides(2000, 1_000_000));
    daemon.wait_processed("rides", 2);
    project.drop_file("rides", "rides_again.csv", rides(2000, 1_000_000));
    project.drop_file("rides", "nothing.csv", "");
    project.drop_file("rides", "rides_2026-03-02.csv", rides(500, 40) + "501,-4\n");
    project.drop_file("rides", "somebody_elses.csv", "a,b\n1,2\n");
    daemon.wait_processed("rides", 6);
    project.drop_file("rides", "rides_2026-03-03.csv", rides(900, 1_000_000));
    project.drop_file("air_quality", "air_001.csv", "sensor,pm10\nnorth,12.5\nsouth,8.25\n");
    project.drop_file("orders", "orders.csv", "article\nbread\n");
    daemon.wait_processed("rides", 7);
    daemon.wait_processed("air_quality", 1);
    daemon.wait_processed("orders", 1);
    (project, daemon)
}

fn url(daemon: &Daemon, path: &str) -> String {
    format!("http://{}{path}", daemon.address())
}

/// The story of a file, by its name.
fn story_of(daemon: &Daemon, name: &str) -> String {
    let files: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/files").body).unwrap();
    let found = files["files"].as_array().unwrap().iter().find(|file| file["name"] == name).expect(name);
    format!("/files/{}", found["id"].as_str().unwrap())
}

#[track_caller]
fn all_is_quiet(tab: &mut Tab<'_>) {
    let troubles = tab.troubles();
    assert!(troubles.is_empty(), "{troubles:#?}");
}

#[test]
fn the_page_shows_every_outcome_and_stays_fresh() {
    let (project, daemon) = site();
    let Some(mut browser) = Browser::start(&project) else { return };
    let mut tab = browser.tab();
    tab.screen(1280, 900, "light");
    tab.go(&url(&daemon, "/"));
    tab.wait_text("orders failing; air_quality late; rides needs attention; 3 files in quarantine");
    let text = tab.text();
    for words in [
        "succeeded 3",
        "duplicate 1",
        "empty 1",
        "quarantined 1",
        "failed 1",
        "3,401 read",
        "= 3,385 written",
        "+ 13 rejected",
        "+ 3 dropped",
        "bad_type 12",
        "positive_fare 1",
        "the objective is 5 s",
        "3 crashes",
        "of 1 busy",
        "rides_2026-03-02.csv",
    ] {
        assert!(text.contains(words), "{words:?} in\n{text}");
    }
    all_is_quiet(&mut tab);

    // A new file appears without a reload; focus and scrolling stay where they were.
    tab.eval("window.mark = 1; document.querySelector('a[href=\"/files?pipeline=rides\"]').focus(); scrollTo(0, 200)");
    let before = tab.eval("scrollY");
    project.drop_file("orders", "orders_mended.csv", "number\n7\n");
    tab.wait_text("orders_mended.csv");
    tab.wait_text("air_quality late");
    let kept = tab.eval("[window.mark, document.activeElement.getAttribute('href'), scrollY]");
    assert_eq!(kept, json!([1, "/files?pipeline=rides", before]));
    // A file that was published later takes none out of quarantine.
    let told = "air_quality late; rides, orders need attention; 3 files in quarantine";
    assert_eq!(tab.eval("document.title"), format!("{told} – forebay"));
    let ways = tab.eval("[...document.querySelectorAll('h1 a, #p-orders .reason a')].map(a => a.getAttribute('href'))");
    assert_eq!(ways, json!(["/files?state=quarantined", "/files?pipeline=orders&state=quarantined"]));
    let ids = tab.eval("[...document.querySelectorAll('[id]')].map(e => e.id)");
    let ids: Vec<&str> = ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    all_is_quiet(&mut tab);

    // From the list to a file's story, by clicking.
    tab.eval("[...document.querySelectorAll('a')].find(a => a.textContent === 'rides_2026-03-02.csv').click()");
    tab.wait_text("What to do next");
    let text = tab.text();
    for words in
        ["--csv gives them back", "501 read", "bad_type", "positive_fare", "cheap", "published", "rows.parquet"]
    {
        assert!(text.contains(words), "{words:?} in\n{text}");
    }
    all_is_quiet(&mut tab);
    tab.go(&url(&daemon, &story_of(&daemon, "somebody_elses.csv")));
    let text = tab.text();
    assert!(text.contains("header_mismatch") && text.contains("forebay retry"), "{text}");
    tab.go(&url(&daemon, &story_of(&daemon, "rides_again.csv")));
    tab.eval("document.querySelector('.steps a').click()");
    tab.wait_text("rides_2026-03-01.csv");
    tab.go(&url(&daemon, "/files?pipeline=rides&state=failed"));
    let text = tab.text();
    assert!(text.contains("kills_its_worker.csv") && !text.contains("rides_2026"), "{text}");
    all_is_quiet(&mut tab);

    // Without its daemon it says so.
    daemon.stop();
    tab.wait_text("Connection lost since ");
    assert_eq!(tab.eval("document.querySelector('#lost').getAttribute('role')"), "status");
}

#[test]
fn the_page_needs_no_script() {
    let project = Project::with_config(CONFIG);
    let daemon = project.start();
    project.drop_file("orders", "orders_1.csv", "number\n7\n");
    daemon.wait_processed("orders", 1);
    let Some(mut browser) = Browser::start(&project) else { return };
    let mut tab = browser.tab();
    tab.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    tab.go(&url(&daemon, "/"));
    let text = tab.text();
    assert!(text.contains("All 3 pipelines are well") || text.contains("air_quality late"), "{text}");
    assert!(text.contains("orders_1.csv") && text.contains("1 read"), "{text}");
    // It reloads itself.
    project.drop_file("orders", "orders_2.csv", "number\n8\n");
    tab.wait_text("orders_2.csv");
    let story = story_of(&daemon, "orders_2.csv");
    tab.go(&url(&daemon, &story));
    assert!(tab.text().contains("Nothing: every row is published"), "{}", tab.text());
    daemon.stop();
}

#[test]
fn names_that_mean_harm_are_only_shown() {
    let project = Project::with_config(CONFIG);
    let daemon = project.start();
    let names: [&[u8]; 6] = [
        b"<script>alert(1)<&script>.csv",
        b"\"'><img src=x onerror=alert(2)>.csv",
        "gpj.\u{202e}vsc.csv".as_bytes(),
        b"two\nlines.csv",
        b"\xff\xfe.csv",
        b"{{7*7}}&amp;.csv",
    ];
    for (number, name) in (1..).zip(names) {
        let cells = "number\n<script>alert(3)</script>\n<img src=x onerror=alert(4)>\n";
        let text = format!("{cells}{}{number}\n", (0..40).map(|n| format!("{n}\n")).collect::<String>());
        project.drop_file("orders", OsStr::from_bytes(name), text);
    }
    daemon.wait_processed("orders", 6);
    let Some(mut browser) = Browser::start(&project) else { return };
    let mut tab = browser.tab();
    for path in ["/", "/files"] {
        tab.go(&url(&daemon, path));
        let text = tab.text();
        for words in [
            "<script>alert(1)<&script>.csv",
            "\"'><img src=x onerror=alert(2)>.csv",
            "gpj.\\u{202e}vsc.csv",
            "two\\nlines.csv",
            "\\xff\\xfe.csv",
            "{{7*7}}&amp;.csv",
        ] {
            assert!(text.contains(words), "{words:?} in\n{text}");
        }
        assert!(!text.contains('\u{202e}'));
        all_is_quiet(&mut tab);
    }
    let files: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/files").body).unwrap();
    for file in files["files"].as_array().unwrap() {
        tab.go(&url(&daemon, &format!("/files/{}", file["id"].as_str().unwrap())));
        assert!(tab.text().contains("<script>alert(3)</script>"), "{}", tab.text());
        // Through the script that keeps it fresh, too.
        tab.eval("document.querySelector('footer').textContent = ''");
        tab.wait_text("As of ");
        assert_eq!(tab.eval("document.querySelectorAll('main img, main script').length"), 0);
        all_is_quiet(&mut tab);
    }
    // Were something to slip through all the same, the policy would stop it, and these tests would see that.
    for (name, property) in [("script", "textContent"), ("img", "src"), ("style", "textContent")] {
        let value = if name == "img" { "http://127.0.0.1:9/x.png" } else { "window.evil = 1" };
        tab.eval(&format!(
            "document.body.append(Object.assign(document.createElement('{name}'), {{ {property}: '{value}' }}))"
        ));
        let refusals = wait_for(&format!("the policy to refuse {name}"), || {
            Some(tab.troubles()).filter(|troubles| !troubles.is_empty())
        });
        assert!(refusals[0].contains("Content Security Policy"), "{name}: {refusals:?}");
    }
    assert_eq!(tab.eval("typeof window.evil"), "undefined");
    tab.go(&url(&daemon, "/files/%3Cscript%3Ealert(5)%3C%2Fscript%3E"));
    assert!(tab.text().contains("No such file"), "{}", tab.text());
    daemon.stop();
}

#[test]
fn everybody_can_read_it_on_any_screen() {
    let (project, daemon) = site();
    let Some(mut browser) = Browser::start(&project) else { return };
    let mut tab = browser.tab();
    let refused = story_of(&daemon, "somebody_elses.csv");
    let dirty = story_of(&daemon, "rides_2026-03-02.csv");
    let pages =
        [("overview", "/"), ("files", "/files"), ("refused", &refused), ("story", &dirty), ("absent", "/files/0")];
    for (name, path) in pages {
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")] {
            tab.screen(width, 900, scheme);
            tab.go(&url(&daemon, path));
            let what = format!("{path} {width} {scheme}");
            let wide = tab.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{what} is wider than the screen");
            let contrast = tab.eval(include_str!("page/contrast.js"));
            assert!(contrast["texts"].as_u64().unwrap() > 10 && contrast["faint"] == json!([]), "{what}: {contrast:#}");
            let faults = tab.eval(include_str!("page/basics.js"));
            assert_eq!(faults, json!([]), "{what}");
            let dark = tab.eval("getComputedStyle(document.documentElement).backgroundColor !== 'rgb(244, 246, 248)'");
            assert_eq!(dark, scheme == "dark", "{what}");
            tab.screenshot(&pictures().join(format!("{name}-{width}-{scheme}.png")), true);
        }
    }
    tab.go(&url(&daemon, "/"));
    let headline = "orders failing; air_quality late; rides needs attention; 3 files in quarantine";
    tab.wait_text(headline);
    let spoken = tab.spoken();
    for (role, name) in [
        ("heading", headline),
        ("navigation", "Pages"),
        ("link", "Skip to the content"),
        ("columnheader", "Outcome"),
        ("rowheader", "rides_2026-03-03.csv"),
        ("article", "rides"),
    ] {
        assert!(spoken.iter().any(|(r, n)| r == role && n == name), "{role} {name} in {spoken:#?}");
    }
    assert!(
        spoken.iter().any(|(role, name)| role == "image" && name.starts_with("Rows read per second")),
        "{spoken:#?}"
    );
    daemon.stop();
}

/// Where the pictures of the last run are.
fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The picture of the README: `FOREBAY_UPDATE=1 cargo test --locked --test it -- the_picture_of_the_page` makes it anew.
#[test]
fn the_picture_of_the_page_is_there_and_small() {
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status-page.png");
    if std::env::var_os("FOREBAY_UPDATE").is_some_and(|value| value == "1") {
        let (project, daemon) = site();
        let Some(mut browser) = Browser::start(&project) else { return };
        for round in 0_u32..40 {
            let rows = 3000 + 2500 * (round % 7) + 137 * round;
            project.drop_file("rides", format!("rides_{round:03}.csv"), rides(rows, 400));
            if round < 34 {
                let readings = (0..400 + 90 * (round % 5)).map(|n| format!("s{n},{}.{}\n", n % 31 + round, n % 10));
                let text: String = std::iter::once("sensor,pm10\n".to_owned()).chain(readings).collect();
                project.drop_file("air_quality", format!("air_{:03}.csv", round + 2), text);
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        for (pipeline, name, text) in [
            ("orders", "orders_002.csv", "article\nbutter\n".to_owned()),
            ("rides", "rides_000 (copy).csv", rides(3000, 400)),
            ("rides", "rides_040.csv", rides(8000, 400)),
        ] {
            project.drop_file(pipeline, name, text);
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        let mut tab = browser.tab();
        tab.screen(1180, 1000, "light");
        tab.go(&url(&daemon, "/"));
        tab.screenshot(&picture, false);
    }
    let bytes = fs::metadata(&picture).unwrap().len();
    assert!((10_000..=200_000).contains(&bytes), "{bytes} bytes");
}
