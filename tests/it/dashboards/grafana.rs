//! Reads dashboards as Grafana does: panels, what they ask, and what the variables become.

use std::collections::BTreeMap;

use serde_json::Value;

/// The names of the shipped dashboards.
pub(super) const NAMES: [&str; 3] = ["overview", "pipeline", "resources"];

/// One question to Prometheus.
#[derive(Debug)]
pub(super) struct Query {
    /// Dashboard, panel and what the answer is called, for messages.
    pub(super) place: String,
    /// The panel's title.
    pub(super) panel: String,
    /// The type of the panel; `annotation` for one.
    pub(super) kind: String,
    /// PromQL with variables in it.
    pub(super) expr: String,
    /// What the answers are called.
    pub(super) legend: String,
    /// The unit the answers are shown in.
    pub(super) unit: String,
    /// Whether only the newest value is asked for.
    pub(super) instant: bool,
    /// Whether exemplars are asked for, too.
    pub(super) exemplars: bool,
}

/// Returns a shipped dashboard.
pub(super) fn shipped(name: &str) -> Value {
    let path = format!("{}/grafana/dashboards/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).unwrap()
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Returns the panels that show something: headings left out.
pub(super) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter().filter(|panel| panel["type"] != "row")
}

/// Returns the variables of a type.
pub(super) fn variables<'d>(dashboard: &'d Value, kind: &'d str) -> impl Iterator<Item = &'d Value> {
    list(&dashboard["templating"], "list").iter().filter(move |variable| variable["type"] == kind)
}

/// Returns what the panels ask.
pub(super) fn queries(dashboard: &Value) -> Vec<Query> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        let targets = list(panel, "targets");
        for target in targets {
            let letter = if targets.len() == 1 { String::new() } else { format!(" #{}", text(target, "refId")) };
            found.push(Query {
                place: format!(
                    "{} / {} / {}",
                    text(dashboard, "uid"),
                    text(panel, "title"),
                    text(target, "legendFormat")
                ),
                panel: text(panel, "title").to_owned(),
                kind: text(panel, "type").to_owned(),
                expr: text(target, "expr").to_owned(),
                legend: text(target, "legendFormat").to_owned(),
                unit: unit(panel, &format!("Value{letter}")),
                instant: target["instant"] == true,
                exemplars: target["exemplar"] == true,
            });
        }
    }
    found
}

/// Returns what the annotations ask.
pub(super) fn annotations(dashboard: &Value) -> Vec<Query> {
    let all = list(&dashboard["annotations"], "list").iter();
    all.map(|annotation| Query {
        place: format!("{} / annotation {}", text(dashboard, "uid"), text(annotation, "name")),
        panel: text(annotation, "name").to_owned(),
        kind: "annotation".to_owned(),
        expr: text(annotation, "expr").to_owned(),
        legend: format!("{} {}", text(annotation, "titleFormat"), text(annotation, "textFormat")),
        unit: String::new(),
        instant: false,
        exemplars: false,
    })
    .collect()
}

/// Returns the properties that a panel gives to one field.
pub(super) fn overrides<'p>(panel: &'p Value, field: &str) -> BTreeMap<&'p str, &'p Value> {
    let fitting = list(&panel["fieldConfig"], "overrides").iter();
    let fitting = fitting.filter(|of| of["matcher"]["id"] == "byName" && of["matcher"]["options"] == field);
    fitting.flat_map(|of| list(of, "properties")).map(|property| (text(property, "id"), &property["value"])).collect()
}

fn unit(panel: &Value, field: &str) -> String {
    let own = overrides(panel, field).get("unit").and_then(|unit| unit.as_str()).map(str::to_owned);
    own.unwrap_or_else(|| text(&panel["fieldConfig"]["defaults"], "unit").to_owned())
}

/// What is chosen on top of a dashboard, and the time it shows.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Variable -> the values; none: "All".
    pub(super) values: Vec<(&'static str, Vec<String>)>,
    /// Seconds.
    pub(super) range: u64,
}

impl Chosen {
    /// Puts values in place of variables, as Grafana does for Prometheus: "All" is the variable's `allValue`, chosen values are
    /// escaped and joined. The step and the scrape interval are a second.
    pub(super) fn put_into(&self, expr: &str) -> String {
        // The larger of step + scrape interval and four scrape intervals.
        let mut expr = expr.replace("$__rate_interval", "4s").replace("$__interval_ms", "1000");
        expr = expr.replace("$__range", &format!("{}s", self.range));
        for (variable, values) in &self.values {
            let escaped: Vec<String> = values.iter().map(|value| value.replace('.', "\\\\.")).collect();
            let value = match escaped.as_slice() {
                [] => ".+".to_owned(),
                [one] => one.clone(),
                several => format!("({})", several.join("|")),
            };
            expr = expr.replace(&format!("${variable}"), &value);
        }
        assert!(!expr.contains('$'), "a variable nobody knows: {expr}");
        expr
    }
}

#[test]
fn variables_become_what_grafana_makes_of_them() {
    let chosen = Chosen { values: vec![("job", vec![]), ("instance", vec!["a.b:1".to_owned()])], range: 60 };
    let put = chosen.put_into("increase(x{job=~\"$job\", instance=~\"$instance\"}[$__range])");
    assert_eq!(put, "increase(x{job=~\".+\", instance=~\"a\\\\.b:1\"}[60s])");
    let two = Chosen { values: vec![("pipeline", vec!["p".to_owned(), "q".to_owned()])], range: 60 };
    assert_eq!(two.put_into("x{pipeline=~\"$pipeline|\"}[$__rate_interval]"), "x{pipeline=~\"(p|q)|\"}[4s]");
}
