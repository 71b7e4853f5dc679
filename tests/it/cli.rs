//! The command line from outside: what is printed where, exit codes, JSON shapes, and what is left on disk.

mod init;
mod ledger;
mod replay;
mod verbs;

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Cli, Project, files_under, published_under, wait_for};

/// A pipeline that takes numbers and rejects what is none.
pub(crate) const NUMBERS: &str = r#"
[pipelines.numbers]
settle = "100ms"
scan_interval = "1s"

[pipelines.numbers.columns]
id = "int64"
amount = "float64"

[pipelines.numbers.rules]
positive = "amount > 0"

[pipelines.numbers.accept]
max_reject_ratio = 0.5
max_rejects = 1
"#;

/// Two of its four rows are no good: line 3 by type, line 4 by rule.
pub(crate) const HALF_GOOD: &str = "id,amount\n1,2.5\n2,many\n3,-1\n4,5\n";
/// Three of its four rows are no good.
const MOSTLY_BAD: &str = "id,amount\n1,2.5\nx,1\n2,many\n3,-1\n";

fn here() -> Cli {
    Cli::at(Path::new("."))
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = here().arg("--help").run().expect_code(0);
    for command in
        ["demo", "run", "once", "check", "init", "files", "explain", "rejects", "retry", "replay", "ledger", "print"]
    {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}");
        let own = here().args([command, "--help"]).run().expect_code(0);
        assert!(own.stdout.contains("Usage: forebay"), "{command}: {}", own.stdout);
    }
    for code in ["0 done", "1 some file failed", "2 usage", "70 internal"] {
        assert!(help.stdout.contains(code), "{code} in {}", help.stdout);
    }
    assert_eq!(help.stderr, "");
    let own = here().args(["demo", "--help"]).run().expect_code(0).stdout;
    let [of_demo, of_all] = ["--exit", "--log-format"].map(|option| own.find(option).unwrap());
    assert!(of_demo < own.find("Options of all commands:").unwrap() && of_demo < of_all, "{own}");
    for verb in [&["replay"][..], &["ledger", "rebuild"]] {
        let own = here().args(verb).arg("--help").run().expect_code(0).stdout;
        assert!(own.lines().all(|line| line.chars().count() <= 100), "{own}");
        assert!(!own.contains("\nid. ") && !own.contains("\nquarantine, of"), "broken twice:\n{own}");
    }
}

#[test]
fn version_tells_the_build() {
    let version = here().arg("--version").run().expect_code(0);
    assert!(version.stdout.starts_with(concat!("forebay ", env!("CARGO_PKG_VERSION"), " (")), "{}", version.stdout);
}

#[test]
fn wrong_usage_ends_with_2_and_says_why_on_stderr() {
    for args in
        [&["destroy"][..], &["once"], &["run", "--no-such-option"], &["print", "secrets"], &["-q", "-v", "run"], &[]]
    {
        let ran = here().args(args).run().expect_code(2);
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(ran.stderr.contains("Usage: forebay") || ran.stderr.contains("error:"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_missing_config_ends_with_2_and_a_way_out() {
    let project = Project::new(NUMBERS);
    for command in [&["run"][..], &["once", "x.csv"], &["check"], &["files"], &["explain", "x"], &["rejects", "x"]] {
        let ran = project.cli().args(command).args(["-c", "elsewhere.toml"]).run().expect_code(2);
        assert!(ran.stderr.contains("elsewhere.toml"), "{command:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches("forebay init FILE.csv > forebay.toml").count(), 1, "{}", ran.stderr);
        assert_eq!(ran.stdout, "", "{command:?}");
    }
    let folder = project.cli().args(["check", "-c", "."]).run().expect_code(2);
    assert!(folder.stderr.contains("name the file in it with -c"), "{}", folder.stderr);
}

#[test]
fn a_broken_pipe_is_the_readers_choice() {
    let mut command = here().args(["print", "metrics"]).into_command();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut start = [0; 16];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut start).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn a_result_that_cannot_be_printed_is_an_internal_error() {
    let mut command = here().args(["print", "metrics"]).into_command();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(70), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("cannot write the result"));
}

#[test]
fn nothing_is_coloured_or_animated_without_a_terminal() {
    let project = Project::new(NUMBERS);
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    for args in [&["once", "x.csv"][..], &["check", "x.csv"], &["check"], &["init", "x.csv"], &["--help"]] {
        let ran = project.cli().args(args).run();
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(['\u{1b}', '\r']), "{args:?}: {text:?}");
        }
    }
}

#[test]
fn check_shows_every_error_of_a_config_at_once() {
    let project = Project::with_config(
        "[pipelines.p]\nsettel = \"1s\"\n\n[pipelines.p.columns]\na = \"int65\"\n\n[pipelines.p.rules]\nr = \"b > 0\"\n",
    );
    let ran = project.cli().arg("check").run().expect_code(2);
    for part in ["forebay.toml:2:", "settel", "settle", "forebay.toml:5:", "int65", "forebay.toml:8:", "b"] {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    assert_eq!(ran.stdout, "");

    let json = project.cli().args(["check", "--json"]).run().expect_code(2).json();
    assert_eq!(json["valid"], false);
    let lines: Vec<u64> =
        json["errors"].as_array().unwrap().iter().filter_map(|error| error["line"].as_u64()).collect();
    assert_eq!(lines, [2, 5, 8]);
    for error in json["errors"].as_array().unwrap() {
        assert!(error["message"].is_string() && error["key"].is_string(), "{error}");
    }
}

#[test]
fn check_tells_what_would_become_of_files_and_writes_nothing() {
    let project = Project::new(NUMBERS);
    for (name, text) in
        [("half.csv", HALF_GOOD), ("bad.csv", MOSTLY_BAD), ("other.csv", "who,what\n1,2\n"), ("empty.csv", "")]
    {
        fs::write(project.path(name), text).unwrap();
    }
    let before = files_under(&project.path(""));
    project.cli().arg("check").run().expect_code(0);
    let half = project.cli().args(["check", "half.csv"]).run().expect_code(0);
    for part in ["would be accepted", "4 rows read = 2 written + 2 rejected", "many", "bad_type", "rule positive"] {
        assert!(half.stderr.contains(part), "{part} in\n{}", half.stderr);
    }
    let all = ["check", "-p", "numbers", "half.csv", "bad.csv", "other.csv", "empty.csv", "missing.csv"];
    let text = project.cli().args(all).run().expect_code(1).stderr;
    for part in ["too_many_rejects", "header_mismatch", "hint:", "missing.csv"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let json = project.cli().args(all).arg("--json").run().expect_code(1).json();
    let outcomes: Vec<&str> =
        json["files"].as_array().unwrap().iter().map(|file| file["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["succeeded", "quarantined", "quarantined", "empty", "failed"]);
    let half = &json["files"][0];
    assert_eq!(half["rows"], serde_json::json!({ "read": 4, "written": 2, "rejected": 2, "dropped": 0 }));
    let rejected = half["rejected_rows"].as_array().unwrap();
    assert_eq!((rejected[0]["line"].as_u64(), rejected[0]["column"].as_str()), (Some(3), Some("amount")));
    assert_eq!((rejected[0]["byte_offset"].as_u64(), rejected[0]["raw"].as_str()), (Some(16), Some("2,many")));
    assert_eq!((rejected[1]["line"].as_u64(), rejected[1]["rule"].as_str()), (Some(4), Some("positive")));
    assert_eq!(json["files"][1]["reason"], "too_many_rejects");
    assert_eq!(files_under(&project.path("")), before, "check writes nothing");
}

#[test]
fn which_pipeline_must_be_clear() {
    let project = Project::new(&format!("{NUMBERS}\n{}", NUMBERS.replace("numbers", "others")));
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    for args in [&["once", "x.csv"][..], &["check", "x.csv"], &["once", "-p", "number", "x.csv"]] {
        let ran = project.cli().args(args).run().expect_code(2);
        assert!(ran.stderr.contains("numbers, others"), "{args:?}: {}", ran.stderr);
    }
    let ran = project.cli().args(["once", "-p", "number", "x.csv"]).run();
    assert!(ran.stderr.contains("did you mean 'numbers'"), "{}", ran.stderr);
}

#[test]
fn once_publishes_like_the_daemon_and_leaves_its_input_alone() {
    let project = Project::new(NUMBERS);
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    let ran = project.cli().args(["once", "x.csv", "--out", "result", "--json"]).run().expect_code(0);
    let json = ran.json();
    let published = published_under(&project.path("result/numbers"));
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].rows(), [4, 2, 2, 0]);
    let file = &json["files"][0];
    for (name, value) in published[0].manifest.as_object().unwrap() {
        assert_eq!(&file[name], value, "{name} is the manifest's");
    }
    assert_eq!(file["outcome"], "succeeded");
    assert_eq!(file["output"], published[0].path.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(json["rows"], file["rows"]);
    assert_eq!(fs::read_to_string(project.path("x.csv")).unwrap(), HALF_GOOD);
    assert!(!project.path("data").exists(), "neither ledger nor folders of the daemon");
    let left: Vec<String> = fs::read_dir(project.path("result/numbers"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| name.starts_with("ingest_date=")), "no staging stays: {left:?}");
}

#[test]
fn once_prints_where_the_result_is_and_a_stage_table() {
    let project = Project::new(NUMBERS);
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    let ran = project.cli().args(["once", "x.csv"]).run().expect_code(0);
    let published = project.published("numbers");
    assert_eq!(ran.stdout.trim_end(), published[0].path.canonicalize().unwrap().to_str().unwrap());
    let head = ran.stderr.lines().find(|line| line.starts_with("stage")).unwrap_or_else(|| panic!("{}", ran.stderr));
    assert_eq!(head.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).count(), 6, "{head}");
    for stage in ["load", "parse", "clean", "write", "publish", "total"] {
        assert!(ran.stderr.lines().any(|line| line.starts_with(stage)), "{stage} in\n{}", ran.stderr);
    }
}

#[test]
fn once_ends_with_1_when_a_file_is_refused_and_goes_on_with_the_others() {
    let project = Project::new(NUMBERS);
    for (name, text) in [("bad.csv", MOSTLY_BAD), ("half.csv", HALF_GOOD)] {
        fs::write(project.path(name), text).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(project.path("socket.csv")).unwrap();
    let files = ["bad.csv", "missing.csv", "socket.csv", "half.csv"];
    let ran = project.cli().arg("once").args(files).args(["--out", "r"]).run().expect_code(1);
    for part in ["io: cannot open missing.csv: ", "io: socket.csv is no regular file"] {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    for part in
        ["bad.csv: quarantined", "too_many_rejects", "hint:", "bad_type", "missing.csv: failed", "half.csv: succeeded"]
    {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    let names: Vec<String> =
        published_under(&project.path("r")).iter().map(|one| one.input_name().to_owned()).collect();
    assert_eq!(names, ["half.csv"]);
    let strays: Vec<_> = files_under(&project.path("r"))
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".forebay"))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn once_can_be_stopped_and_leaves_nothing_half_done() {
    let project = Project::new(NUMBERS);
    let mut text = String::from("id,amount\n");
    for id in 0..2_000_000 {
        writeln!(text, "{id},{id}.5").unwrap();
    }
    fs::write(project.path("large.csv"), &text).unwrap();
    let mut command = project.cli().args(["once", "large.csv", "next.csv", "--out", "r"]).into_command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the work to begin", || (!files_under(&project.path("r")).is_empty()).then_some(()));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = wait_for("the end", || child.try_wait().unwrap()).code();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("stopped"), "{stderr}");
    assert!(!stderr.contains("next.csv"), "the next file is not begun: {stderr}");
    assert_eq!(files_under(&project.path("r")), Vec::<std::path::PathBuf>::new());
    assert_eq!(fs::metadata(project.path("large.csv")).unwrap().len(), text.len() as u64);
}

#[test]
fn once_leaves_metrics_for_the_textfile_collector() {
    let project = Project::new(NUMBERS);
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    project.cli().args(["once", "x.csv", "--out", "r", "--textfile", "run.prom"]).run().expect_code(0);
    let text = fs::read_to_string(project.path("run.prom")).unwrap();
    let scrape = crate::support::Scrape::parse(&text);
    for (name, value) in [("read", 4.0), ("written", 2.0), ("rejected", 2.0), ("dropped", 0.0)] {
        let found = scrape.metric(&format!("forebay_run_rows_{name}")).label("pipeline", "numbers").value();
        assert!((found - value).abs() < f64::EPSILON, "{name}: {found}");
    }
}

#[test]
fn once_pushes_metrics_to_a_gateway() {
    let project = Project::new(NUMBERS);
    fs::write(project.path("x.csv"), HALF_GOOD).unwrap();
    let gateway = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gateway.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = gateway.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&request).contains("forebay_run_rows_written") {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&piece[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    project.cli().args(["once", "x.csv", "--out", "r", "--push", &url]).run().expect_code(0);
    assert!(heard.join().unwrap().starts_with("PUT /metrics/job/forebay/pipeline/numbers "));
    let nobody = project.cli().args(["once", "x.csv", "--out", "r", "--push", &url]).run().expect_code(70);
    assert!(nobody.stderr.contains("cannot push"), "{}", nobody.stderr);
}

#[test]
fn printed_references_are_those_of_this_build() {
    let project = Project::with_config(&format!("[server]\nlisten = \"127.0.0.1:4711\"\n{NUMBERS}"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let metrics = project.cli().args(["print", "metrics"]).run().expect_code(0);
    assert_eq!(metrics.stdout, fs::read_to_string(root.join("docs/METRICS.md")).unwrap());
    let schema = project.cli().args(["print", "config-schema"]).run().expect_code(0).json();
    assert_eq!(schema["title"], "forebay configuration");
    assert!(schema.to_string().contains("max_reject_ratio"));
    let scrape = project.cli().args(["print", "scrape-config"]).run().expect_code(0);
    assert!(scrape.stdout.contains("targets: [\"127.0.0.1:4711\"]"), "{}", scrape.stdout);
}

#[test]
fn the_readme_shows_a_config_that_works() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let config = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let project = Project::with_config(config);
    let ran = project.cli().arg("check").run().expect_code(0);
    assert!(ran.stdout.contains("yellow_taxi"), "{}", ran.stdout);
    let scrape = project.cli().args(["print", "scrape-config"]).run().expect_code(0);
    let snippet = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(scrape.stdout.contains(snippet), "{snippet} in\n{}", scrape.stdout);
}

#[test]
fn a_demo_adds_up() {
    let project = Project::new(NUMBERS);
    let ran = project
        .cli()
        .args(["demo", "--exit", "--json", "--files", "20", "--dir", "demo", "--port", &free_port()])
        .run();
    let json = ran.expect_code(0).json();
    assert_eq!(json["faults"], Value::Array(Vec::new()));
    let files = &json["total"]["files"];
    let counts = ["succeeded", "duplicate", "empty", "quarantined", "failed"].map(|name| files[name].as_u64().unwrap());
    assert_eq!(counts, [15, 1, 1, 3, 0]);
    let rows = |at: &Value| ["read", "written", "rejected", "dropped"].map(|name| at["rows"][name].as_u64().unwrap());
    let [read, written, rejected, dropped] = rows(&json["total"]);
    assert!(written > 0 && rejected > 0 && dropped > 0);
    assert_eq!(read, written + rejected + dropped);
    let of_pipelines: u64 = json["pipelines"].as_array().unwrap().iter().map(|pipeline| rows(pipeline)[0]).sum();
    assert_eq!(of_pipelines, read);
    assert!(project.path("demo/data/in/rides/rides_link.csv").is_symlink(), "a link is left alone");

    let again = project.cli().args(["demo", "--exit", "--dir", "demo"]).run().expect_code(2);
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);
}

fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}
