//! The alerts: promtool, amtool and an Alertmanager judge them; and rules, tests, runbooks, links and catalogue are in step.

mod alertmanager;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use forebay::telemetry::catalog::{Kind, Metric, Name, Values};

use crate::support::{Cli, files_under, wait_for};
use alertmanager::Alertmanager;
use text::{Rule, commands, metrics, queries, rules, selectors};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RULES: &str = "alerts/forebay.rules.yml";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names of the files of a folder without their extension, the README left out.
fn stems(folder: &str) -> BTreeSet<String> {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let all = files_under(&Path::new(ROOT).join(folder));
    all.iter().map(|path| stem(path)).filter(|stem| stem != "README").collect()
}

fn alerts() -> Vec<Rule> {
    rules(&read(RULES)).into_iter().filter(|rule| rule.kind == "alert").collect()
}

pub(crate) fn alert_names() -> BTreeSet<String> {
    alerts().into_iter().map(|rule| rule.name).collect()
}

/// Runs a tool that must be content, and returns what it printed. Without the tool the test is left out, loudly.
#[track_caller]
pub(crate) fn tool(program: &str, args: &[&str]) -> Option<String> {
    match Command::new(program).args(args).current_dir(ROOT).output() {
        Ok(output) => {
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{program} {}\n{out}{err}", args.join(" "));
            Some(out.into_owned())
        }
        Err(error) => {
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{program} is required: {error}");
            eprintln!("LEFT OUT: {program} not installed");
            None
        }
    }
}

#[test]
fn promtool_takes_the_rules_and_their_tests_pass() {
    tool("promtool", &["check", "rules", "--lint=all", "--lint-fatal", RULES]);
    let tests: Vec<String> = stems("alerts/tests").iter().map(|stem| format!("alerts/tests/{stem}.yml")).collect();
    let args: Vec<&str> = ["test", "rules"].into_iter().chain(tests.iter().map(String::as_str)).collect();
    tool("promtool", &args);
}

#[test]
fn every_alert_has_tests_and_a_message() {
    let messages = read("alerts/tests/texts.yml");
    let tests: String = stems("alerts/tests").iter().map(|stem| read(&format!("alerts/tests/{stem}.yml"))).collect();
    for name in alert_names() {
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "no test asks whether {name} fires");
        assert!(messages.contains(&format!("alertname: {name}\n")), "no test holds the message of {name}");
    }
}

#[test]
fn every_alert_is_labelled_and_explained() {
    for rule in alerts() {
        let name = &rule.name;
        let severity = rule.field("severity").unwrap_or_default();
        assert!(["critical", "warning", "info", "none"].contains(&severity), "{name}: severity {severity:?}");
        assert!(rule.field("summary").is_some_and(|text| text.ends_with('.')), "{name} has no summary");
        assert_eq!(rule.field("description"), Some(">-"), "{name} has no description");
        let runbook = format!("https://forebay.example.com/docs/runbooks/{name}.md");
        assert_eq!(rule.field("runbook_url"), Some(runbook.as_str()), "{name}");
        let dashboard = rule.field("dashboard_url").unwrap_or_default();
        assert!(dashboard.starts_with("https://grafana.example.com/d/"), "{name}: {dashboard:?}");
    }
}

#[test]
fn alerts_and_runbooks_are_the_same() {
    let names = alert_names();
    assert_eq!(names, stems("docs/runbooks"), "an alert without a runbook, or a runbook without an alert");
    let index = read("docs/runbooks/README.md");
    let listed = index.split("](").skip(1).filter_map(|link| link.split_once(".md)"));
    let listed: BTreeSet<String> = listed.map(|(name, _)| name.to_owned()).filter(|name| !name.contains('/')).collect();
    assert_eq!(names, listed, "the index of the runbooks");
    let readme = read("alerts/README.md");
    for name in &names {
        assert!(readme.contains(&format!("| {name} | ")), "alerts/README.md does not list {name}");
        let page = read(&format!("docs/runbooks/{name}.md"));
        let heads: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(heads, ["Meaning", "Impact", "Diagnosis", "Mitigation", "When to escalate"], "{name}");
        assert!(page.starts_with(&format!("# {name}\n")), "{name} has another title");
        for (link, _) in page.split("](").skip(1).filter_map(|link| link.split_once(".md)")) {
            assert!(names.contains(link), "{name} links to {link}, which is no runbook");
        }
    }
}

#[test]
fn the_operator_gets_the_same_rules() {
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    let expected: String = read(RULES).lines().map(indented).collect();
    let custom = read("alerts/prometheusrule.yaml");
    let (head, spec) = custom.split_once("\nspec:\n").expect("a spec");
    assert!(head.contains("\nkind: PrometheusRule\n"), "{head}");
    assert!(spec == expected, "alerts/prometheusrule.yaml: make it anew, alerts/README.md says how");
}

#[test]
fn every_selector_can_be_rendered_for_another_job() {
    for rule in rules(&read(RULES)) {
        let expr = rule.expr();
        for selector in selectors(&expr) {
            assert_eq!(selector.matchers.first(), Some(&("job", "forebay")), "{}: {}", rule.name, selector.name);
        }
        let selected = |metric| selectors(&expr).iter().filter(|selector| selector.name == metric).count();
        for metric in metrics(&expr) {
            let named = metrics(&expr).filter(|other| *other == metric).count();
            assert_eq!(named, selected(metric), "{}: {metric} without a job", rule.name);
        }
    }
}

pub(crate) fn catalogue() -> BTreeMap<&'static str, &'static Metric> {
    Name::ALL.iter().map(|name| name.metric()).map(|metric| (metric.name, metric)).collect()
}

/// Returns the metric behind the name of a series: histograms are written as several.
pub(crate) fn behind<'c>(catalogue: &BTreeMap<&str, &'c Metric>, series: &str) -> Option<&'c Metric> {
    let histogram = |suffix: &str| catalogue.get(series.strip_suffix(suffix)?);
    let histogram = || ["_bucket", "_sum", "_count"].into_iter().find_map(histogram);
    let plain = catalogue.get(series).filter(|metric| !matches!(metric.kind, Kind::Histogram(_)));
    plain.or_else(|| histogram().filter(|metric| matches!(metric.kind, Kind::Histogram(_)))).copied()
}

/// Returns what is wrong with a matcher, if something is.
pub(crate) fn fault(metric: &Metric, label: &str, value: &str) -> Option<String> {
    let Some(known) = metric.labels.iter().find(|known| known.name == label) else {
        return Some(format!("{} has no label {label}", metric.name));
    };
    let words: Vec<&str> = match known.values {
        Values::Set(set) => set(),
        Values::PerWord(sets) => sets.iter().flat_map(|(_, set)| set.iter().copied()).collect(),
        Values::Pipeline | Values::Rule | Values::Build | Values::Worker => return None,
    };
    let unknown = value.split('|').find(|word| !words.contains(word))?;
    Some(format!("{} has no {label}=\"{unknown}\"", metric.name))
}

#[test]
fn rules_and_runbooks_name_only_what_the_catalogue_has() {
    let catalogue = catalogue();
    let mut texts: Vec<(String, String)> =
        rules(&read(RULES)).iter().map(|rule| (rule.name.clone(), rule.expr())).collect();
    for name in stems("docs/runbooks") {
        texts.push((format!("{name}.md"), queries(&read(&format!("docs/runbooks/{name}.md"))).join("\n")));
    }
    let mut faults = BTreeSet::new();
    for (place, text) in &texts {
        for series in metrics(text).filter(|series| behind(&catalogue, series).is_none()) {
            faults.insert(format!("{place}: there is no {series}"));
        }
        for selector in selectors(text) {
            let Some(metric) = behind(&catalogue, selector.name) else { continue };
            let ours = selector.matchers.iter().filter(|(label, _)| *label != "job");
            faults.extend(ours.filter_map(|(label, value)| Some(format!("{place}: {}", fault(metric, label, value)?))));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Returns what the runbooks ask Prometheus, each with the name of its runbook.
pub(crate) fn runbook_queries() -> Vec<(String, String)> {
    let of = |name: String| {
        let asked = queries(&read(&format!("docs/runbooks/{name}.md")));
        asked.into_iter().map(move |query| (name.clone(), query))
    };
    stems("docs/runbooks").into_iter().flat_map(of).collect()
}

#[test]
fn runbooks_ask_what_prometheus_understands() {
    let mut rules = vec!["groups:\n  - name: runbooks\n    rules:\n".to_owned()];
    for (number, (name, query)) in runbook_queries().iter().enumerate() {
        let expr = serde_json::to_string(query).unwrap();
        rules.push(format!("      - record: runbook:{name}:query{number}\n        expr: {expr}\n"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    fs::write(&path, rules.concat()).unwrap();
    tool("promtool", &["check", "rules", path.to_str().unwrap()]);
}

#[test]
fn rules_and_runbooks_name_commands_that_exist() {
    let mut pages = vec![read(RULES), read("alerts/README.md"), read("docs/runbooks/README.md")];
    pages.extend(stems("docs/runbooks").iter().map(|name| read(&format!("docs/runbooks/{name}.md"))));
    let help = |args: &[&str]| Cli::at(Path::new(ROOT)).args(args).arg("--help").run().expect_code(0).stdout;
    for command in pages.iter().flat_map(|page| commands(page)) {
        // Options of the whole program stand before or behind the command, or without one. What is printed is one, too.
        let words = if command.first() == Some(&"print") { 2 } else { 1 };
        let verb: Vec<&str> = command.iter().copied().take_while(|word| !word.starts_with('-')).take(words).collect();
        let told = help(&verb);
        let known: BTreeSet<&str> = told.split(|c: char| c.is_whitespace() || c == ',').collect();
        for flag in command.iter().filter(|word| word.starts_with('-')) {
            assert!(known.contains(flag), "forebay {}: there is no {flag}", command.join(" "));
        }
    }
}

#[test]
fn alerts_are_routed_by_severity() {
    tool("amtool", &["check-config", "alerts/alertmanager.yml"]);
    for (receiver, alertname, severity) in [
        ("heartbeat", "Watchdog", "none"),
        ("oncall", "ForebayDown", "critical"),
        ("team", "ForebayFileStuck", "warning"),
        ("team", "SomethingElse", "info"),
    ] {
        let (verify, name) = (format!("--verify.receivers={receiver}"), format!("alertname={alertname}"));
        let (config, severity) = ("--config.file=alerts/alertmanager.yml", format!("severity={severity}"));
        tool("amtool", &["config", "routes", "test", config, &verify, &name, &severity]);
    }
}

#[test]
fn of_one_trouble_only_the_cause_is_told() {
    if tool("amtool", &["--version"]).is_none() {
        return;
    }
    let manager = Alertmanager::start();
    for labels in [
        "alertname=ForebayDown severity=critical instance=down",
        "alertname=ForebayDataStale severity=critical instance=down pipeline=p",
        "alertname=ForebayCrashLooping severity=critical instance=down",
        "alertname=ForebayDataStale severity=critical instance=up pipeline=p",
        "alertname=ForebayPipelineStalled severity=critical instance=up pipeline=q",
        "alertname=ForebayDataStale severity=critical instance=up pipeline=q",
        "alertname=ForebayNotReady severity=critical instance=down",
        "alertname=ForebayNotReady severity=critical instance=starting",
        "alertname=ForebayDataStale severity=critical instance=starting pipeline=p",
        "alertname=ForebayWatcherUnhealthy severity=warning instance=starting pipeline=p",
        "alertname=ForebayLedgerErrors severity=critical instance=starting op=open",
        "alertname=ForebayDiskFillingUp severity=critical instance=full volume=output",
        "alertname=ForebayDiskFillingUp severity=warning instance=full volume=output",
        "alertname=ForebayDiskFillingUp severity=warning instance=full volume=state",
        "alertname=ForebayDiskFillingUp severity=warning instance=up volume=state",
        "alertname=ForebayFilesFailing severity=warning instance=up pipeline=p",
        "alertname=ForebayQuarantineNotEmpty severity=warning instance=up pipeline=p",
        "alertname=ForebayQuarantineNotEmpty severity=warning instance=up pipeline=q",
        "alertname=Watchdog severity=none",
    ] {
        manager.add(labels);
    }
    let expected = BTreeSet::from([
        "ForebayDataStale down p -".to_owned(),
        "ForebayNotReady down - -".to_owned(),
        "ForebayDataStale starting p -".to_owned(),
        "ForebayWatcherUnhealthy starting p -".to_owned(),
        "ForebayDataStale up q -".to_owned(),
        "ForebayDiskFillingUp full - output".to_owned(),
        "ForebayQuarantineNotEmpty up p -".to_owned(),
    ]);
    let inhibited = wait_for("these alerts to be held back", || {
        let inhibited = manager.inhibited();
        inhibited.is_superset(&expected).then_some(inhibited)
    });
    assert_eq!(inhibited, expected, "held back, and should not be");
}

#[test]
fn the_program_prints_what_is_shipped_and_for_another_job_what_is_asked_for() {
    let print = |args: &[&str]| Cli::at(Path::new(ROOT)).arg("print").args(args).run();
    assert_eq!(print(&["rules"]).expect_code(0).stdout, read(RULES));
    assert_eq!(print(&["alertmanager"]).expect_code(0).stdout, read("alerts/alertmanager.yml"));
    let other = ["rules", "--job", "feeds", "--runbooks", "https://wiki/r/", "--grafana", "https://graphs"];
    let other = print(&other).expect_code(0).stdout;
    assert!(other.contains("job=\"feeds\"") && !other.contains("job=\"forebay\""));
    assert!(other.contains("https://wiki/r/ForebayDown.md") && other.contains("https://graphs/"));
    assert!(!other.contains("example.com"), "every address can be replaced");
    print(&["rules", "--job", "a\"b"]).expect_code(2);
}

#[test]
fn at_another_pace_the_rules_are_sound_too() {
    let folder = tempfile::tempdir().unwrap();
    let print = |what: &str, pace: &str| Cli::at(Path::new(ROOT)).args(["print", what, "--pace", pace]).run();
    for pace in ["60", "600"] {
        for (what, checker, checks) in
            [("rules", "promtool", ["check", "rules"].as_slice()), ("alertmanager", "amtool", &["check-config"])]
        {
            let path = folder.path().join(format!("{what}-{pace}.yml"));
            fs::write(&path, print(what, pace).expect_code(0).stdout).unwrap();
            tool(checker, &[checks, &[path.to_str().unwrap()]].concat());
        }
    }
    assert_eq!(print("rules", "1").expect_code(0).stdout, read(RULES));
    print("rules", "0").expect_code(2);
}
