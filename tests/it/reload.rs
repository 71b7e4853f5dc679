//! A live daemon takes up another configuration: all of it or nothing, and no file is lost or done twice.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Daemon, Project, files_under, wait_for, write_certificates};

/// Rows of a file that takes long enough to be caught in the middle.
const MANY: u32 = if cfg!(debug_assertions) { 2_500_000 } else { 10_000_000 };

const SERVER: &str = "listen = \"127.0.0.1:0\"\nenable_lifecycle = true\n";

/// A pipeline whose rule is `id >= least`.
fn pipeline(name: &str, least: i64) -> String {
    format!(
        "[pipelines.{name}]\nsettle = \"50ms\"\nscan_interval = \"1s\"\ncolumns = {{ id = \"int64\", who = \"string\" }}\n\
         accept.max_reject_ratio = 1.0\nrules.least_{least} = \"id >= {least}\"\n"
    )
}

fn config(pipelines: &[String]) -> String {
    format!("[server]\n{SERVER}\n[limits]\nworkers = 2\n\n{}", pipelines.concat())
}

fn project(pipelines: &[String]) -> Project {
    Project::with_config(&config(pipelines))
}

/// Reloads by HTTP. Returns code and words.
#[track_caller]
fn reload(daemon: &Daemon) -> (u16, String) {
    let answer = daemon.post("/-/reload", &[]);
    (answer.code, answer.body)
}

/// Writes this configuration and expects it to be taken up with these words.
#[track_caller]
fn taken_up(project: &Project, daemon: &Daemon, text: &str, words: &str) {
    project.configure(text);
    assert_eq!(reload(daemon), (200, format!("forebay.toml: taken up; {words}\n")));
    assert!(daemon.scrape().metric("forebay_config_last_reload_successful").value() > 0.5);
}

/// Drops a large file and waits until it is being read.
fn caught_in_the_middle(project: &Project, daemon: &Daemon) {
    let rows: String = (0..MANY).map(|id| format!("{id},somebody\n")).collect();
    project.drop_file("p", "big.csv", format!("id,who\n{rows}"));
    wait_for("the large file to be under way", || {
        let rows = daemon.scrape().metric("forebay_in_flight_rows").label("pipeline", "p").value();
        (rows > 0.0).then_some(())
    });
}

fn still_in_the_middle(project: &Project) {
    assert!(project.published("p").is_empty(), "the large file was to be in progress still");
}

#[test]
fn a_new_pipeline_is_there_at_once_with_everything_it_needs() {
    let project = project(&[pipeline("p", 0)]);
    let daemon = project.start();
    taken_up(&project, &daemon, &config(&[pipeline("p", 0), pipeline("q", 0)]), "added q");
    let scrape = daemon.scrape();
    for (metric, label, value) in [
        ("forebay_files_processed_total", "outcome", "quarantined"),
        ("forebay_rows_rejected_total", "reason", "rule"),
        ("forebay_rule_violations_total", "rule", "least_0"),
        ("forebay_files_discovered_total", "source", "startup"),
    ] {
        let series = scrape.metric(metric).label("pipeline", "q").label(label, value).value();
        assert!(series < 0.5, "{metric} is born at 0");
    }
    // What the first scan finds out is told from then on.
    wait_for("all series of q", || {
        let scrape = daemon.scrape();
        let series = |pipeline: &str| scrape.text().matches(&format!("{{pipeline=\"{pipeline}\"")).count();
        (series("p") == series("q")).then_some(())
    });
    assert!(project.path("data/in/q").is_dir(), "its inbox is made");
    project.drop_file("q", "a.csv", "id,who\n1,me\n");
    daemon.wait_processed("q", 1);
    assert_eq!(project.published("q")[0].rows(), [1, 1, 0, 0]);
    for path in ["/-/config", "/api/v1/status", "/", "/api/v1/files?pipeline=q"] {
        let answer = daemon.get(path);
        assert!(answer.code == 200 && answer.body.contains('q'), "{path}: {}", answer.body);
    }
    assert!(daemon.get("/-/config").body.contains("[pipelines.q]"));
    daemon.stop();
}

#[test]
fn a_removed_pipeline_finishes_its_file_and_leaves_its_inbox_and_the_metrics_alone() {
    let project = project(&[pipeline("p", 0), pipeline("q", 0)]);
    let daemon = project.start();
    caught_in_the_middle(&project, &daemon);
    taken_up(&project, &daemon, &config(&[pipeline("q", 0)]), "removed p");
    project.drop_file("p", "late.csv", "id,who\n1,me\n");
    // The backlog is told every 200 ms.
    let scrape = wait_for("the file to be told of until it is done", || {
        let scrape = daemon.scrape();
        (scrape.metric("forebay_files_in_flight").label("pipeline", "p").sum() > 0.5).then_some(scrape)
    });
    still_in_the_middle(&project);
    assert!(scrape.metric("forebay_pipeline_info").label("pipeline", "p").is_absent());
    assert!(scrape.metric("forebay_freshness_objective_seconds").label("pipeline", "p").is_absent());
    wait_for("its series to be gone", || (!daemon.scrape().text().contains("pipeline=\"p\"")).then_some(()));
    let rows = u64::from(MANY);
    assert_eq!(project.published("p")[0].rows(), [rows, rows, 0, 0]);
    assert_eq!(project.left_in_inbox("p"), ["late.csv"]);
    // The ledger keeps its files, and the pages list them.
    for path in ["/files?pipeline=p", "/api/v1/files?pipeline=p"] {
        let answer = daemon.get(path);
        assert!(answer.code == 200 && answer.body.contains("big.csv"), "{path}: {} {}", answer.code, answer.body);
    }
    assert!(daemon.get("/files").body.contains("<option value=\"p\">p</option>"), "it can be chosen");
    let never = daemon.get("/api/v1/files?pipeline=moon");
    assert!(never.code == 400 && never.body.contains("there is: q, p"), "{}", never.body);
    taken_up(&project, &daemon, &config(&[pipeline("p", 0), pipeline("q", 0)]), "added p");
    // The counters go on where they were: a series that comes back smaller would look like a restart.
    daemon.wait_processed("p", 2);
    assert!(project.left_in_inbox("p").is_empty());
    daemon.stop();
}

#[test]
fn a_removed_pipeline_says_what_stays_in_its_quarantine() {
    let both = config(&[pipeline("p", 0), pipeline("q", 0)]);
    let project = Project::with_config(&both);
    let daemon = project.start();
    for (number, words) in
        [(1, "removed p (1 file stays in its quarantine)"), (2, "removed p (2 files stay in its quarantine)")]
    {
        project.drop_file("p", format!("{number}.csv"), format!("other\n{number}\n"));
        daemon.wait_processed("p", number);
        let quarantined = || daemon.scrape().metric("forebay_files_quarantined").label("pipeline", "p").value();
        assert_eq!(format!("{}", quarantined()), number.to_string());
        taken_up(&project, &daemon, &config(&[pipeline("q", 0)]), words);
        let told = format!("forebay.toml: taken up; {words}");
        assert!(daemon.log().contains(&told), "{}", daemon.log());
        assert!(!daemon.scrape().text().contains("forebay_files_quarantined{pipeline=\"p\"}"));
        taken_up(&project, &daemon, &both, "added p");
        assert_eq!(format!("{}", quarantined()), number.to_string(), "it is back, and so are its files, at once");
    }
    project.configure(&config(&[pipeline("q", 0)]));
    daemon.stop();
    let daemon = project.start();
    taken_up(&project, &daemon, &both, "added p");
    let quarantined = daemon.scrape().metric("forebay_files_quarantined").label("pipeline", "p").value();
    assert_eq!(format!("{quarantined}"), "2", "also if this process has never seen it");
    daemon.stop();
}

#[test]
fn a_reload_without_a_change_leaves_the_time_of_the_last_one() {
    let project = project(&[pipeline("p", 0)]);
    let daemon = project.start();
    let since = || {
        let page = daemon.get("/").body;
        let at = page.split("in force since <time datetime=\"").nth(1).and_then(|rest| rest.split('"').next());
        at.unwrap_or_else(|| panic!("{page}")).to_owned()
    };
    let started = since();
    assert_eq!(reload(&daemon), (200, "forebay.toml has not changed\n".to_owned()));
    assert_eq!(since(), started);
    project.configure("nonsense");
    assert_eq!(reload(&daemon).0, 500);
    assert!(daemon.get("/").body.contains("<b>not taken up</b>") && since() == started);
    taken_up(&project, &daemon, &config(&[pipeline("p", 1)]), "changed p");
    assert!(since() > started && !daemon.get("/").body.contains("not taken up"));
    daemon.stop();
}

#[test]
fn a_changed_rule_holds_for_the_next_file_and_not_for_the_one_in_progress() {
    let project = project(&[pipeline("p", 0)]);
    let daemon = project.start();
    caught_in_the_middle(&project, &daemon);
    taken_up(&project, &daemon, &config(&[pipeline("p", 10)]), "changed p");
    still_in_the_middle(&project);
    project.drop_file("p", "small.csv", "id,who\n1,me\n10,you\n");
    daemon.wait_processed("p", 2);
    let published: BTreeMap<String, _> =
        project.published("p").into_iter().map(|of| (of.input_name().to_owned(), of)).collect();
    let rows = u64::from(MANY);
    assert_eq!(published["big.csv"].rows(), [rows, rows, 0, 0], "the rule of before holds");
    assert_eq!(published["small.csv"].rows(), [2, 1, 1, 0], "the new rule holds");
    let hash = |name: &str| published[name].manifest["config_hash"].as_str().unwrap().to_owned();
    assert_ne!(hash("big.csv"), hash("small.csv"));
    let scrape = daemon.scrape();
    let violations = scrape.metric("forebay_rule_violations_total").label("pipeline", "p");
    assert!(violations.label("rule", "least_10").value() > 0.5);
    assert!(scrape.metric("forebay_rule_violations_total").label("rule", "least_0").is_absent(), "a removed rule");
    daemon.stop();
}

#[test]
fn a_file_claimed_before_and_started_after_keeps_the_rule_it_was_claimed_under() {
    let one_worker = |least| config(&[pipeline("p", least)]).replace("workers = 2", "workers = 1");
    let project = Project::with_config(&one_worker(0));
    let daemon = project.start();
    caught_in_the_middle(&project, &daemon);
    project.drop_file("p", "small.csv", "id,who\n1,me\n10,you\n");
    let claimed = project.path("data/in/p/.forebay");
    wait_for("the small file to be claimed", || (files_under(&claimed).len() == 2).then_some(()));
    taken_up(&project, &daemon, &one_worker(10), "changed p");
    still_in_the_middle(&project);
    daemon.wait_processed("p", 2);
    let published = project.published("p");
    let small = published.iter().find(|of| of.input_name() == "small.csv").unwrap();
    assert_eq!(small.rows(), [2, 2, 0, 0], "the rule of before holds");
    daemon.stop();
}

#[test]
fn a_file_that_waits_is_judged_by_the_names_of_now() {
    let slow = pipeline("p", 0).replace("50ms", "2s");
    let project = project(std::slice::from_ref(&slow));
    let daemon = project.start();
    project.drop_file("p", "a.csv", "id,who\n1,me\n");
    let pending = || daemon.scrape().metric("forebay_files_pending").label("pipeline", "p").value();
    wait_for("the file to settle", || (pending() > 0.5).then_some(()));
    let marked = slow.replace("settle", "files = [\"b*.csv\"]\nsettle");
    taken_up(&project, &daemon, &config(&[marked]), "changed p");
    wait_for("the file to be nobody's", || (pending() < 0.5).then_some(()));
    project.drop_file("p", "b.csv", "id,who\n2,me\n");
    daemon.wait_processed("p", 1);
    assert_eq!(project.left_in_inbox("p"), ["a.csv"]);
    daemon.stop();
}

#[test]
fn what_is_not_sound_changes_nothing_and_says_why() {
    let good = config(&[pipeline("p", 0)]);
    let project = Project::with_config(&good);
    let daemon = project.start();
    let succeeded = || daemon.scrape().metric("forebay_config_last_reload_success_timestamp_seconds").value();
    let before = succeeded();
    project.configure(&good.replace("int64", "int65"));
    let (code, words) = reload(&daemon);
    let line = 1 + good.lines().position(|line| line.contains("int64")).unwrap();
    assert_eq!(code, 500);
    let told = format!("500: forebay.toml: it is not sound\nforebay.toml:{line}: pipelines.p.columns.id: ");
    assert!(words.starts_with(&told) && words.ends_with("; the running configuration stays\n"), "{words}");
    refused(&daemon, &words);
    assert!((succeeded() - before).abs() < 1e-6, "the last success stays");
    assert!(daemon.get("/-/config").body.contains("int64"));
    project.drop_file("p", "a.csv", "id,who\n1,me\n");
    daemon.wait_processed("p", 1);
    project.configure(&good);
    assert_eq!(reload(&daemon), (200, "forebay.toml has not changed\n".to_owned()));
    assert!(succeeded() > before && daemon.scrape().metric("forebay_config_last_reload_successful").value() > 0.5);
    daemon.stop();
}

/// The metrics and the log say that the reload failed, with the words of the answer.
#[track_caller]
fn refused(daemon: &Daemon, words: &str) {
    let scrape = daemon.scrape();
    assert!(scrape.metric("forebay_config_last_reload_successful").value() < 0.5);
    let errors = scrape.metric("forebay_errors_total").label("component", "config").label("kind", "reload");
    assert!(errors.value() > 0.5);
    let detail = words.trim_start_matches("500: ").trim_end();
    let lines = daemon.log();
    let logged = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let logged: Vec<Value> = logged.filter(|line| line["level"] == "ERROR").collect();
    assert!(logged.iter().any(|line| line["detail"] == detail), "{detail}\nis not in\n{logged:?}");
}

#[test]
fn what_cannot_change_live_refuses_the_whole_reload_by_name() {
    let good = config(&[pipeline("p", 0)]);
    let project = Project::with_config(&good);
    let daemon = project.start();
    let matrix = [
        ("127.0.0.1:0", "127.0.0.1:1", "server.listen"),
        ("enable_lifecycle = true\n", "", "server.enable_lifecycle"),
        ("[server]", "[server]\nweb_config_file = \"web.yml\"", "server.web_config_file"),
        ("[server]", "[paths]\nstate = \"data/other\"\n[server]", "paths.state"),
        ("[pipelines.p]", "[pipelines.p]\ninput = \"data/other\"", "pipelines.p.input"),
        ("[pipelines.p]", "[pipelines.p]\non_success = \"keep\"", "pipelines.p.on_success"),
        ("[server]", "[paths]\nbase = \"other\"\n[server]", "paths.state, pipelines.p.input"),
    ];
    for (from, to, keys) in matrix {
        // A change that could be taken up comes along, and is not.
        project.configure(&format!("{}{}", good.replace(from, to), pipeline("q", 0)));
        let (code, words) = reload(&daemon);
        let told = "cannot change while forebay runs, restart it to take the new file up";
        assert_eq!(words, format!("500: forebay.toml: {keys}: {told}; the running configuration stays\n"));
        assert_eq!(code, 500);
        refused(&daemon, &words);
        assert!(!daemon.scrape().text().contains("pipeline=\"q\"") && !project.path("data/in/q").exists());
    }
    let overlap = good.replace("[pipelines.p]", "[pipelines.p]\narchive = \"data/in/p/archive\"");
    project.configure(&overlap);
    assert!(reload(&daemon).1.contains("lies within"));
    fs::write(project.path("a-file"), "").unwrap();
    project.configure(&good.replace("[pipelines.p]", "[pipelines.p]\narchive = \"a-file/archive\""));
    assert!(reload(&daemon).1.contains("a-file is not a folder"));
    daemon.stop();
}

#[test]
fn limits_and_objectives_are_taken_up() {
    let before = format!("{}objectives.freshness = \"2h\"\n", config(&[pipeline("p", 0)]));
    let project = Project::with_config(&before);
    let daemon = project.start();
    let after = before.replace("workers = 2", "workers = 1\nmemory = \"1GiB\"").replace("2h", "3h");
    taken_up(&project, &daemon, &after, "changed p");
    let scrape = daemon.scrape();
    let value = |name: &str| format!("{}", scrape.metric(name).value());
    assert_eq!(value("forebay_workers"), "1");
    assert_eq!(value("forebay_memory_budget_bytes"), (1 << 30).to_string());
    assert_eq!(value("forebay_freshness_objective_seconds"), "10800");
    taken_up(&project, &daemon, &after.replace("workers = 1", "workers = 2"), "no pipeline has changed");
    project.drop_file("p", "a.csv", "id,who\n1,me\n");
    daemon.wait_processed("p", 1);
    daemon.stop();
}

#[test]
fn the_web_config_is_looked_at_too() {
    let project = project(&[pipeline("p", 0)]);
    let headers = |value: &str| format!("http_server_config:\n  headers:\n    X-Frame-Options: {value}\n");
    fs::write(project.path("web.yml"), headers("deny")).unwrap();
    project.configure(&config(&[pipeline("p", 0)]).replace("[server]", "[server]\nweb_config_file = \"web.yml\""));
    let daemon = project.start();
    fs::write(project.path("web.yml"), "nonsense: true\n").unwrap();
    let (code, words) = reload(&daemon);
    assert!(code == 500 && words.contains("web.yml") && words.contains("nonsense"), "{words}");
    write_certificates(&project);
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
    fs::write(project.path("web.yml"), tls).unwrap();
    let (code, words) = reload(&daemon);
    assert!(code == 500 && words.contains("whether there is TLS cannot change"), "{words}");
    fs::write(project.path("web.yml"), headers("sameorigin")).unwrap();
    assert_eq!(reload(&daemon).0, 200);
    assert!(daemon.scrape().metric("forebay_config_last_reload_successful").value() > 0.5);
    daemon.stop();
}

#[test]
fn a_draining_daemon_takes_up_nothing_new() {
    let project = project(&[pipeline("p", 0)]);
    let mut daemon = project.start();
    caught_in_the_middle(&project, &daemon);
    daemon.signal(Signal::TERM);
    wait_for("the drain", || daemon.log().contains("drain").then_some(()));
    project.configure(&config(&[pipeline("p", 10)]));
    let draining = "500: forebay.toml: forebay is draining, it takes up nothing new; the running configuration stays\n";
    assert_eq!(reload(&daemon), (500, draining.to_owned()));
    still_in_the_middle(&project);
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.log());
    assert_eq!(project.published("p").len(), 1);
}

#[test]
fn a_claimed_file_waits_for_its_pipeline_to_come_back() {
    let project = project(&[pipeline("p", 0), pipeline("q", 0)]);
    let mut daemon = project.start();
    caught_in_the_middle(&project, &daemon);
    daemon.signal(Signal::KILL);
    assert_eq!(daemon.wait_exit().code(), None);
    still_in_the_middle(&project);
    project.configure(&config(&[pipeline("q", 0)]));
    let daemon = project.start();
    project.drop_file("q", "a.csv", "id,who\n1,me\n");
    daemon.wait_processed("q", 1);
    assert_eq!(files_under(&project.path("data/in/p/.forebay")).len(), 1, "it lies where it was claimed");
    taken_up(&project, &daemon, &config(&[pipeline("p", 10), pipeline("q", 0)]), "added p");
    daemon.wait_processed("p", 1);
    let rows = u64::from(MANY);
    assert_eq!(project.published("p")[0].rows(), [rows, rows - 10, 10, 0], "by the configuration of now");
    assert!(files_under(&project.path("data/in/p/.forebay")).is_empty());
    daemon.stop();
}

#[test]
fn two_hundred_reloads_under_load_lose_nothing_and_do_nothing_twice() {
    const RELOADS: usize = 200;
    let [p, q, other_p] = [pipeline("p", 0), pipeline("q", 0), pipeline("p", 1)];
    let both = config(&[p.clone(), q.clone()]);
    let plans = [config(&[other_p, q.clone()]), both.clone(), config(std::slice::from_ref(&p)), config(&[q])];
    let project = Project::with_config(&both);
    let daemon = project.start();
    let dropped = std::thread::scope(|scope| {
        let reloading = scope.spawn(|| {
            for round in 0..RELOADS {
                project.configure(&plans[round % plans.len()]);
                let (code, words) = reload(&daemon);
                assert_eq!(code, 200, "{words}");
            }
            project.configure(&both);
            // By the signal and by HTTP at once: one after the other.
            daemon.signal(Signal::HUP);
            assert_eq!(reload(&daemon).0, 200);
        });
        let mut dropped = 0;
        while !reloading.is_finished() {
            for name in ["p", "q"] {
                project.drop_file(name, format!("{dropped}.csv"), format!("id,who\n1,{dropped}\n2,{name}\n"));
                dropped += 1;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        reloading.join().unwrap();
        dropped
    });
    assert!(dropped >= 200, "only {dropped} files: that was no load");
    let terminal = || {
        let files = project.cli().args(["files", "--json", "-n", "0"]).run().expect_code(0).json();
        let mut seen: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for file in files.as_array().or_else(|| files["files"].as_array()).unwrap() {
            let word = |key: &str| file[key].as_str().unwrap_or_default().to_owned();
            seen.entry((word("pipeline"), word("name"))).or_default().push(word("outcome"));
        }
        seen
    };
    let seen = wait_for("every file to reach its end", || {
        let seen = terminal();
        let over = seen.len() == dropped && seen.values().flatten().all(|outcome| !outcome.is_empty());
        over.then_some(seen)
    });
    let odd: Vec<_> = seen.iter().filter(|(_, outcomes)| **outcomes != ["succeeded"]).collect();
    assert!(odd.is_empty(), "every file ends exactly once: {odd:?}");
    let published = ["p", "q"].map(|name| project.published(name).len());
    assert_eq!(published.iter().sum::<usize>(), dropped);
    assert_eq!(["p", "q"].map(|name| project.archived(name).len()), published);
    for name in ["p", "q"] {
        assert!(project.left_in_inbox(name).is_empty());
        let all = |read, [r, _, _, _]: [u64; 4]| read + r;
        let read = project.published(name).iter().map(super::support::Published::rows).fold(0, all);
        let counted = daemon.scrape().metric("forebay_rows_read_total").label("pipeline", name).value();
        assert_eq!(format!("{counted}"), read.to_string(), "the counters outlive every reload");
    }
    daemon.stop();
}
