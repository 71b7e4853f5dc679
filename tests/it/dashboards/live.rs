//! A daemon to which everything happens that a panel shows, a Prometheus that scrapes it, and every question of every
//! dashboard put to it. There is no list of what may stay without an answer.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use super::events::{CONFIG, GONE, happen};
use super::grafana::{Chosen, NAMES, Query, annotations, list, panels, queries, shipped, text, variables};
use super::lint::label_values;
use super::runbooks;
use crate::support::{Project, Prometheus};

/// What may show nothing but 0: it counts what only a fault of forebay could make of it. It is answered, too.
const ZERO: &[&str] = &["Rows unaccounted for / rows"];

/// The job of a process that is not forebay: Prometheus scrapes itself, too.
const STRANGER: &str = "prometheus";

/// Everything one question was answered with.
struct Answer {
    series: Vec<Value>,
    values: Vec<f64>,
}

fn ask(prometheus: &Prometheus, query: &Query, chosen: &Chosen) -> Answer {
    let expr = chosen.put_into(&query.expr);
    let data = if query.instant { prometheus.instant(&expr) } else { prometheus.range(&expr, chosen.range) };
    let series = list(&data, "result").to_vec();
    let samples = series.iter().flat_map(|series| list(series, "values").iter().chain(series.get("value")));
    let values = samples.filter_map(|sample| sample[1].as_str()?.parse().ok()).filter(|value: &f64| value.is_finite());
    Answer { values: values.collect(), series }
}

/// Returns what is wrong with an answer.
fn fault(query: &Query, answer: &Answer) -> Option<String> {
    let say = |what: String| Some(format!("{}: {what}: {}", query.place, query.expr));
    if answer.values.is_empty() {
        return say(format!("no data in {} series", answer.series.len()));
    }
    let zero = answer.values.iter().all(|value| *value == 0.0);
    let may_be = query.kind == "annotation" || ZERO.iter().any(|place| query.place.ends_with(place));
    if zero && !may_be {
        return say("nothing but 0".to_owned());
    }
    let labels = query.legend.split("{{").skip(1).filter_map(|label| label.split("}}").next());
    let missing =
        |label: &&str| query.kind != "annotation" && answer.series.iter().any(|of| of["metric"][label].is_null());
    let missing: Vec<&str> = labels.filter(missing).collect();
    if missing.is_empty() { None } else { say(format!("without {missing:?}")) }
}

/// Puts every question, with everything and with single values chosen, until all are answered or time is up.
fn faults(prometheus: &Prometheus, began: Instant, instance: &str) -> Vec<String> {
    let all: Vec<Query> = NAMES.iter().map(|name| shipped(name)).flat_map(|of| every(&of)).collect();
    let mut found = Vec::new();
    let chosen = |job: &[&str], instance: &[&str], pipeline: &[&str]| {
        let owned = |values: &[&str]| values.iter().map(ToString::to_string).collect();
        let values = vec![("job", owned(job)), ("instance", owned(instance)), ("pipeline", owned(pipeline))];
        Chosen { values, range: began.elapsed().as_secs() + 1 }
    };
    for chosen in [chosen(&[], &[], &[]), chosen(&["forebay"], &[instance, GONE], &["p", "large", "waiting"])] {
        found.extend(all.iter().filter_map(|query| fault(query, &ask(prometheus, query, &chosen))));
    }
    // A stranger is not shown, even if it is all that is chosen: all jobs are all that Prometheus has.
    let stranger = chosen(&[STRANGER], &[], &[]);
    let shown = all.iter().filter(|query| !ask(prometheus, query, &stranger).series.is_empty());
    found.extend(shown.map(|query| format!("{}: shows a process that is not forebay", query.place)));
    found
}

fn every(dashboard: &Value) -> Vec<Query> {
    queries(dashboard).into_iter().chain(annotations(dashboard)).collect()
}

/// A question to which there is no answer, one answered with nothing but 0, and a name without its label.
fn assert_faults_are_found(prometheus: &Prometheus) {
    let chosen = Chosen { values: vec![("job", vec![])], range: 10 };
    let like = |expr: &str, legend: &str| Query {
        expr: expr.to_owned(),
        legend: legend.to_owned(),
        ..queries(&shipped("overview")).pop().unwrap()
    };
    for (query, words) in [
        (like("forebay_gone{job=~\"$job\"}", ""), "no data"),
        (like("0 * up{job=~\"$job\"} / 0", ""), "no data"),
        (like("forebay_draining{job=~\"$job\"}", ""), "nothing but 0"),
        (like("sum(up{job=~\"$job\"})", "{{instance}}"), "without"),
    ] {
        let found = fault(&query, &ask(prometheus, &query, &chosen)).unwrap_or_default();
        assert!(found.contains(words), "{query:?}: {found}");
    }
}

/// The variables offer what there is.
fn assert_variables(prometheus: &Prometheus, instance: &str) {
    for name in NAMES {
        let dashboard = shipped(name);
        let mut offered = Vec::new();
        for variable in variables(&dashboard, "query") {
            let (series, label) = label_values(text(&variable["query"], "query")).unwrap();
            let all = Chosen { values: vec![("job", vec![]), ("instance", vec![])], range: 0 };
            offered.push((label.to_owned(), prometheus.label_values(&all.put_into(series), label)));
        }
        let expected =
            [("job", vec!["forebay"]), ("instance", vec![instance]), ("pipeline", vec!["large", "p", "waiting"])];
        let expected =
            expected.map(|(name, values)| (name.to_owned(), values.iter().map(ToString::to_string).collect()));
        assert_eq!(offered, expected, "{name}");
    }
}

/// Fields that panels rename or make a link of are labels of what they show; exemplars are there.
fn assert_fields_and_exemplars(prometheus: &Prometheus, range: u64) {
    let all = Chosen { values: vec![("job", vec![]), ("instance", vec![]), ("pipeline", vec![])], range };
    for dashboard in NAMES.map(shipped) {
        for panel in panels(&dashboard) {
            let own = queries(&dashboard).into_iter().filter(|query| query.panel == text(panel, "title"));
            let own: Vec<Query> = own.filter(|query| query.kind == text(panel, "type")).collect();
            let series: Vec<Value> = own.iter().flat_map(|query| ask(prometheus, query, &all).series).collect();
            let fields = list(&panel["fieldConfig"], "overrides").iter().map(|of| &of["matcher"]);
            for field in fields.filter(|of| of["id"] == "byName").map(|of| text(of, "options")) {
                let value = field == "Value" || field.strip_prefix("Value #").is_some_and(|id| "ABCDEFGH".contains(id));
                let label = series.iter().all(|series| series["metric"][field].is_string());
                assert!(value || label, "{}: no {field}", text(panel, "title"));
            }
        }
        for query in queries(&dashboard).iter().filter(|query| query.exemplars) {
            let found = prometheus.wait_exemplars(&all.put_into(&query.expr));
            assert!(found.iter().all(|exemplar| exemplar["labels"]["file_id"].is_string()), "{}", query.place);
        }
    }
}

#[test]
fn every_question_of_every_dashboard_is_answered() {
    let project = Project::with_config(CONFIG);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/forebay.rules.yml"), project.path("rules.yml")).unwrap();
    let daemon = project.start();
    let instance = daemon.address().to_owned();
    let job =
        |name: &str, target: &str| format!("  - job_name: {name}\n    static_configs: [{{targets: [\"{target}\"]}}]\n");
    let jobs =
        job("forebay", &format!("{instance}\", \"{GONE}")) + &job(STRANGER, "ITSELF") + "rule_files: [rules.yml]\n";
    let began = Instant::now();
    let Some(prometheus) = Prometheus::start(&project, &jobs) else { return };
    prometheus.wait_value(&format!("count(process_resident_memory_bytes{{job=\"{STRANGER}\"}})"), |seen| seen > 0.0);
    let _stopped = happen(&project, &daemon, &prometheus);
    let answered = Instant::now();
    let mut faults_left = faults(&prometheus, began, &instance);
    while !faults_left.is_empty() && answered.elapsed().as_secs() < 20 {
        faults_left = faults(&prometheus, began, &instance);
    }
    assert!(faults_left.is_empty(), "{faults_left:#?}");
    assert_faults_are_found(&prometheus);
    assert_variables(&prometheus, &instance);
    assert_fields_and_exemplars(&prometheus, began.elapsed().as_secs());
    assert_eq!(runbooks::faults(&prometheus), Vec::<String>::new());
    let places: Vec<String> = NAMES.iter().flat_map(|name| queries(&shipped(name))).map(|query| query.place).collect();
    for place in ZERO {
        assert!(places.iter().any(|of| of.ends_with(place)), "no panel shows {place}");
    }
}
