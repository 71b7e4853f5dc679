//! The dashboards: they keep the linter's rules, name only what there is, and every question in them is answered by a real
//! Prometheus that scraped a real daemon (`live`).

mod events;
mod grafana;
mod lint;
mod live;
mod promql;
mod runbooks;
mod units;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::alerts::{behind, catalogue, fault, tool};
use crate::support::{Cli, Project};
use grafana::{Chosen, NAMES, Query, annotations, list, panels, queries, shipped, text};
use promql::selectors;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn every_query() -> Vec<Query> {
    NAMES.iter().map(|name| shipped(name)).flat_map(|of| queries(&of).into_iter().chain(annotations(&of))).collect()
}

#[test]
fn the_dashboards_keep_the_rules_of_the_linter() {
    for name in NAMES {
        let faults = lint::faults(&shipped(name));
        assert!(faults.is_empty(), "{name}: {faults:#?}");
    }
}

/// Spoils one thing of a dashboard.
type Spoil = fn(&mut Value);

/// Every rule, and what it must find.
const SPOILED: &[(&str, Spoil)] = &[
    ("template-datasource-rule", |of| of["templating"]["list"][0]["name"] = json!("source")),
    ("template-job-rule", |of| of["templating"]["list"][1]["multi"] = json!(false)),
    ("template-instance-rule", |of| of["templating"]["list"][2]["allValue"] = json!(".*")),
    ("template-pipeline-rule", |of| of["templating"]["list"][3]["label"] = json!("Feed")),
    ("template-label-promql-rule", |of| of["templating"]["list"][1]["query"]["query"] = json!("label_values(job)")),
    ("template-on-time-change-reload-rule", |of| of["templating"]["list"][2]["refresh"] = json!(1)),
    ("template-unused-rule", |of| {
        *of = serde_json::from_str(&of.to_string().replace("pipeline=~\\\"$pipeline", "pipeline=~\\\".+")).unwrap();
    }),
    ("uneditable-dashboard-rule", |of| of["editable"] = json!(true)),
    ("no-inputs", |of| of["panels"][1]["datasource"]["uid"] = json!("${DS_PROMETHEUS}")),
    ("fixed-uid", |of| of["id"] = json!(7)),
    ("panel-ids", |of| of["panels"][2]["id"] = json!(2)),
    ("panel-places", |of| of["panels"][2]["gridPos"]["x"] = json!(1)),
    ("panel-title-description-rule", |of| of["panels"][1]["description"] = json!("Instances.")),
    ("panel-title-description-rule", |of| of["panels"][1]["title"] = json!("")),
    ("panel-units-rule", |of| of["panels"][1]["fieldConfig"]["defaults"]["unit"] = json!("rows")),
    ("panel-empty", |of| of["panels"][1]["fieldConfig"]["defaults"]["noValue"] = json!("")),
    ("panel-no-targets-rule", |of| of["panels"][1]["targets"] = json!([])),
    ("panel-datasource-rule", |of| of["panels"][1]["datasource"]["uid"] = json!("prometheus")),
    ("panel-type", |of| of["panels"][1]["type"] = json!("graph")),
    ("target-job-rule", |of| asking(of, "up")),
    ("target-job-rule", |of| asking(of, "up{job=\"forebay\", instance=~\"$instance\"}")),
    ("target-instance-rule", |of| asking(of, "up{job=~\"$job\"}")),
    ("target-instance-rule", |of| asking(of, "up{job=~\"$job\", instance=~\"$instance|\"}")),
    ("target-instance-rule", |of| asking(of, "ALERTS{job=~\"$job\", instance=~\"$instance\"}")),
    ("target-counter-agg-rule", |of| asking(of, "a_total{job=~\"$job\", instance=~\"$instance\"}")),
    ("target-counter-agg-rule", |of| asking(of, "delta(a_total{job=~\"$job\", instance=~\"$instance\"}[$__range])")),
    ("target-rate-interval-rule", |of| asking(of, "rate(a_total{job=~\"$job\", instance=~\"$instance\"}[5m])")),
    ("fixed-window", |of| asking(of, "increase(a_total{job=~\"$job\", instance=~\"$instance\"}[5m])")),
];

fn asking(dashboard: &mut Value, expr: &str) {
    dashboard["panels"][1]["targets"][0]["expr"] = json!(expr);
}

#[test]
fn every_rule_can_fail() {
    for (rule, spoil) in SPOILED {
        let mut dashboard = shipped("overview");
        spoil(&mut dashboard);
        let faults = lint::faults(&dashboard);
        assert!(faults.iter().any(|fault| fault.starts_with(&format!("{rule}: "))), "{rule} in {faults:#?}");
    }
}

/// Lets promtool read expressions as it would read rules; `None` without it.
fn promtool(exprs: &[String]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    let rule = |(number, expr)| json!({ "record": format!("dashboards:query{number}:asked"), "expr": expr });
    let rules: Vec<Value> = exprs.iter().enumerate().map(rule).collect();
    fs::write(&path, json!({ "groups": [{ "name": "dashboards", "rules": rules }] }).to_string()).unwrap();
    tool("promtool", &["check", "rules", path.to_str().unwrap()])
}

fn with_everything_chosen(expr: &str) -> String {
    Chosen { values: vec![("job", vec![]), ("instance", vec![]), ("pipeline", vec![])], range: 3600 }.put_into(expr)
}

#[test]
fn prometheus_understands_every_expression() {
    let exprs: Vec<String> = every_query().iter().map(|query| with_everything_chosen(&query.expr)).collect();
    assert!(exprs.len() > 80, "{}", exprs.len());
    promtool(&exprs);
}

#[test]
#[should_panic(expected = "promtool")]
fn what_is_no_expression_is_refused() {
    assert!(promtool(&["sum by (up".to_owned()]).is_some(), "promtool is not here to refuse it");
}

/// Nothing is scraped: then the alert that says so is all there is to be seen, whatever is chosen.
#[test]
fn an_alert_without_an_instance_is_shown() {
    let one = |name: &'static str, value: &str| (name, vec![value.to_owned()]);
    let chosen = [
        vec![("job", vec![]), ("instance", vec![]), ("pipeline", vec![])],
        vec![one("job", "forebay"), one("instance", "127.0.0.1:17170"), one("pipeline", "p")],
    ];
    let alert = "ALERTS{alertname=\"ForebayAbsent\", alertstate=\"firing\", job=\"forebay\", severity=\"critical\"}";
    let asking: Vec<Query> = every_query().into_iter().filter(|query| query.expr.starts_with("ALERTS{")).collect();
    assert!(asking.len() >= 4, "{asking:?}");
    let mut questions = Vec::new();
    for values in chosen {
        let chosen = Chosen { values, range: 3600 };
        let exprs = asking.iter().map(|query| chosen.put_into(&query.expr));
        questions.extend(
            exprs.map(
                |expr| json!({ "expr": expr, "eval_time": "10m", "exp_samples": [{ "labels": alert, "value": 1 }] }),
            ),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.yml");
    let rules = Path::new(ROOT).join("alerts/forebay.rules.yml");
    let test = json!({ "interval": "1m", "promql_expr_test": questions });
    fs::write(&path, json!({ "rule_files": [rules], "tests": [test] }).to_string()).unwrap();
    tool("promtool", &["test", "rules", path.to_str().unwrap()]);
}

/// Returns what names a metric, a label, a value or a record that is not there.
fn unknown(query: &Query, records: &str) -> Vec<String> {
    let catalogue = catalogue();
    let mut found = Vec::new();
    for selector in selectors(&query.expr) {
        let name = selector.name;
        if name.contains(':') {
            if !records.contains(&format!("- record: {name}\n")) {
                found.push(format!("{}: there is no record {name}", query.place));
            }
        } else if let Some(metric) = behind(&catalogue, name) {
            let own = selector.matchers.iter().filter(|(label, ..)| !["job", "instance"].contains(label));
            let faults = own.filter_map(|(label, _, value)| fault(metric, label, value));
            found.extend(faults.map(|fault| format!("{}: {fault}", query.place)));
        } else if !["up", "ALERTS"].contains(&name) {
            found.push(format!("{}: there is no {name}", query.place));
        }
    }
    found
}

#[test]
fn expressions_name_only_what_there_is() {
    let records = read("alerts/forebay.rules.yml");
    let faults: Vec<String> = every_query().iter().flat_map(|query| unknown(query, &records)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for spoiled in ["forebay_gone_total{}", "a:gone:ratio{}", "forebay_ready{pipeline=\"p\"}"] {
        let query = Query { expr: spoiled.to_owned(), ..every_query().pop().unwrap() };
        assert_eq!(unknown(&query, &records).len(), 1, "{spoiled}");
    }
}

#[test]
fn units_are_those_of_the_metrics() {
    let catalogue = catalogue();
    let all: Vec<Query> = NAMES.iter().flat_map(|name| queries(&shipped(name))).collect();
    let faults: Vec<String> = all.iter().filter_map(|query| units::fault(&catalogue, query)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for query in all {
        let unit = if query.unit == "s" { "bytes" } else { "s" }.to_owned();
        let spoiled = Query { unit, ..query };
        assert!(units::fault(&catalogue, &spoiled).is_some(), "{spoiled:?}");
    }
}

#[test]
fn latencies_lead_to_the_files_behind_them() {
    let buckets = ["forebay_file_latency_seconds", "forebay_file_wait_seconds", "forebay_file_duration_seconds"];
    let mut with_exemplars = 0;
    for query in every_query() {
        let of_files = buckets.iter().any(|metric| query.expr.contains(&format!("{metric}_bucket")));
        assert_eq!(query.exemplars, of_files, "{}", query.place);
        with_exemplars += usize::from(of_files);
    }
    assert!(with_exemplars >= 6, "{with_exemplars}");
}

#[test]
fn links_lead_somewhere() {
    let uids: Vec<Value> = NAMES.iter().map(|name| shipped(name)["uid"].clone()).collect();
    assert_eq!(uids, ["forebay", "forebay-pipeline", "forebay-resources"], "links from elsewhere name them");
    let mut shown = BTreeSet::new();
    for name in NAMES {
        let dashboard = shipped(name);
        assert_eq!(dashboard["tags"], json!(["forebay"]), "the links between dashboards go by this tag");
        assert!(
            list(&dashboard, "links").iter().any(|link| link["type"] == "dashboards" && link["includeVars"] == true)
        );
        let links = panels(&dashboard).flat_map(|panel| list(panel, "links")).chain(list(&dashboard, "links"));
        for link in links.filter(|link| link["type"] != "dashboards") {
            let page = text(link, "url").strip_prefix("https://forebay.example.com/docs/runbooks/").expect("a runbook");
            assert!(Path::new(ROOT).join("docs/runbooks").join(page).is_file(), "{name}: {page}");
            shown.insert((page.trim_end_matches(".md").to_owned(), text(&dashboard, "uid").to_owned()));
        }
        for inner in dashboard.to_string().split("\"/d/").skip(1).map(first_word) {
            assert!(uids.contains(&json!(inner)), "{name} leads to {inner}");
        }
    }
    // An alert leads to a dashboard where a panel shows what it is about, which leads to its runbook.
    let rules = read("alerts/forebay.rules.yml");
    for alert in rules.split("- alert: ").skip(1) {
        let uid = alert.split("https://grafana.example.com/d/").nth(1).map(first_word).expect("a dashboard");
        let (name, uid) = (first_word(alert), uid);
        assert!(shown.contains(&(name.clone(), uid.clone())), "no panel of {uid} is about {name}");
    }
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

#[test]
fn the_program_prints_what_is_shipped() {
    let project = Project::new("");
    let print = |args: &[&str]| project.cli().args(["print", "dashboards"]).args(args).run();
    for name in NAMES {
        assert_eq!(print(&[name]).expect_code(0).stdout, read(&format!("grafana/dashboards/{name}.json")));
    }
    print(&["--dir", "new/dashboards"]).expect_code(0);
    for name in NAMES {
        let written = fs::read_to_string(project.path(format!("new/dashboards/{name}.json"))).unwrap();
        assert_eq!(written, read(&format!("grafana/dashboards/{name}.json")));
    }
    let other = print(&["overview", "--runbooks", "https://wiki/r/"]).expect_code(0).stdout;
    assert!(other.contains("https://wiki/r/ForebayDown.md") && other.contains("https://wiki/r/${__value.raw}.md"));
    assert!(!other.contains("example.com"), "every address can be replaced");
    print(&[]).expect_code(2);
    print(&["gone"]).expect_code(2);
    print(&["--dir", "forebay.toml"]).expect_code(2);
}

/// Runs what the README says, up to the servers themselves; what they would read is checked by their own tools.
#[test]
fn the_readme_makes_configurations_that_the_tools_take() {
    let readme = read("README.md");
    let block = readme.split("## Watch it\n").nth(1).and_then(|rest| rest.split("```sh\n").nth(1)).unwrap();
    let lines: Vec<&str> = block.lines().skip_while(|line| !line.starts_with("forebay print")).collect();
    let end = lines.iter().position(|line| *line == "END").unwrap();
    let project = Project::new("[pipelines.p]\ncolumns.a = \"int64\"\n");
    let programs = Path::new(env!("CARGO_BIN_EXE_forebay")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let script = lines[..=end].join("\n");
    let mut shell = std::process::Command::new("sh");
    let ran = shell.args(["-ec", &script]).env("PATH", path).current_dir(project.path("")).status();
    assert!(ran.unwrap().success(), "{script}");
    let file = |name: &str| project.path(name).to_str().unwrap().to_owned();
    tool("promtool", &["check", "config", &file("prometheus.yml")]);
    tool("amtool", &["check-config", &file("alertmanager.yml")]);
    let config = fs::read_to_string(project.path("prometheus.yml")).unwrap();
    let servers = lines[end + 1..].join("\n");
    for (asked, told) in [("127.0.0.1:9093", &config), ("--config.file=prometheus.yml", &servers)] {
        assert!(told.contains(asked) && servers.contains(asked), "{asked}");
    }
    assert!(servers.contains("--enable-feature=exemplar-storage"), "{servers}");
}

#[test]
fn provisioning_finds_the_dashboards_and_the_files_behind_exemplars() {
    let provider = read("grafana/provisioning/dashboards/forebay.yml");
    assert!(provider.contains("path: /etc/grafana/dashboards/forebay\n"), "{provider}");
    for source in ["grafana/provisioning/datasources/forebay.yml", "deploy/compose/datasource.yml"] {
        let source = read(source);
        // The page for people. Two dollars: Grafana puts the environment in place of one.
        let link = "url: http://127.0.0.1:17170/files/$${__value.raw}\n";
        assert!(source.contains(link) && source.contains("- name: file_id\n"), "{source}");
        assert!(source.contains("type: prometheus\n"), "{source}");
    }
    let readme = read("grafana/README.md");
    assert!(readme.contains("/etc/grafana/dashboards/forebay"), "the README puts them where the provider looks");
    let help = Cli::at(Path::new(ROOT)).args(["print", "dashboards", "--help"]).run().expect_code(0).stdout;
    for option in ["--dir", "--runbooks"] {
        assert!(help.contains(option) && readme.contains(option), "{option}");
    }
}
