//! The rules of Grafana's dashboard-linter, which is a program of its own that no package holds, and a few more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::grafana::{annotations, list, panels, queries, text, variables};
use super::promql::{bare, selectors};

/// Grafana's words for the units in use here.
const UNITS: [&str; 7] = ["bytes", "binBps", "s", "short", "cps", "reqps", "percentunit"];

/// Returns every fault of a dashboard, each beginning with the name of its rule.
pub(super) fn faults(dashboard: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    templates(dashboard, &mut faults);
    whole(dashboard, &mut faults);
    for panel in panels(dashboard) {
        let title = text(panel, "title");
        one_panel(panel, &mut |rule: &str, what: &str| faults.push(format!("{rule}: {title:?} {what}")));
    }
    for query in queries(dashboard).iter().chain(&annotations(dashboard)) {
        one_query(&query.expr, &mut |rule: &str, what: &str| faults.push(format!("{rule}: {}: {what}", query.place)));
    }
    faults
}

fn templates(dashboard: &Value, faults: &mut Vec<String>) {
    let mut tell = |rule: &str, what: &str| faults.push(format!("{rule}: {what}"));
    let sources: Vec<&Value> = variables(dashboard, "datasource").collect();
    let named = sources.iter().map(|source| ["name", "label", "query"].map(|key| text(source, key)));
    if named.ne([["datasource", "Data source", "prometheus"]]) {
        tell("template-datasource-rule", "one variable `datasource`, labelled Data source, of Prometheus");
    }
    for (name, label) in [("job", "Job"), ("instance", "Instance"), ("pipeline", "Pipeline")] {
        let rule = format!("template-{name}-rule");
        let found = variables(dashboard, "query").find(|variable| text(variable, "name") == name);
        let Some(variable) = found else {
            tell(&rule, "is missing");
            continue;
        };
        let right = text(variable, "label") == label
            && variable["multi"] == true
            && variable["includeAll"] == true
            && text(variable, "allValue") == ".+"
            && text(&variable["datasource"], "uid") == "${datasource}";
        if !right {
            tell(&rule, "wants its label, multi, all, allValue .+ and the chosen data source");
        }
    }
    for variable in variables(dashboard, "query") {
        let (name, query) = (text(variable, "name"), text(&variable["query"], "query"));
        if label_values(query).is_none_or(|(_, label)| label != name) || query != text(variable, "definition") {
            tell("template-label-promql-rule", &format!("{name}: {query}"));
        }
        if variable["refresh"] != 2 {
            tell("template-on-time-change-reload-rule", name);
        }
        let asked = queries(dashboard).iter().any(|query| query.expr.contains(&format!("\"${name}")));
        if !asked {
            tell("template-unused-rule", name);
        }
    }
}

/// Takes `label_values(SERIES, LABEL)` apart.
pub(super) fn label_values(query: &str) -> Option<(&str, &str)> {
    let (series, label) = query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")?;
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (plain(label) && plain(series.split('{').next()?)).then_some((series, label))
}

fn whole(dashboard: &Value, faults: &mut Vec<String>) {
    let mut tell = |rule: &str, what: &str| faults.push(format!("{rule}: {what}"));
    if dashboard["editable"] != false {
        tell("uneditable-dashboard-rule", "a provisioned dashboard cannot be saved");
    }
    let written = dashboard.to_string();
    if written.contains("__inputs") || written.contains("${DS_") {
        tell("no-inputs", "provisioning fills in nothing");
    }
    if !dashboard["id"].is_null() || text(dashboard, "uid").is_empty() {
        tell("fixed-uid", "id null, and a uid");
    }
    let ids: BTreeSet<u64> = list(dashboard, "panels").iter().filter_map(|panel| panel["id"].as_u64()).collect();
    if ids.len() != list(dashboard, "panels").len() {
        tell("panel-ids", "every panel has a number of its own");
    }
    if overlap(dashboard) {
        tell("panel-places", "panels lie on each other, or beyond the edge");
    }
}

fn overlap(dashboard: &Value) -> bool {
    let mut taken = BTreeSet::new();
    let at = |panel: &Value, key: &str| panel["gridPos"][key].as_u64().unwrap_or(99);
    list(dashboard, "panels").iter().any(|panel| {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| at(panel, key));
        x + w > 24 || (x..x + w).any(|x| (y..y + h).any(|y| !taken.insert((x, y))))
    })
}

fn one_panel(panel: &Value, tell: &mut impl FnMut(&str, &str)) {
    let about = text(panel, "description");
    let sentences = about.matches(". ").count() + 1;
    if text(panel, "title").is_empty() || about.len() < 60 || !about.ends_with(['.', '?']) || sentences > 2 {
        tell("panel-title-description-rule", &format!("wants a title and one or two sentences: {about:?}"));
    }
    let defaults = &panel["fieldConfig"]["defaults"];
    if !UNITS.contains(&text(defaults, "unit")) {
        tell("panel-units-rule", text(defaults, "unit"));
    }
    if text(defaults, "noValue").is_empty() {
        tell("panel-empty", "says nothing where there is nothing to show");
    }
    if list(panel, "targets").is_empty() {
        tell("panel-no-targets-rule", "asks nothing");
    }
    let mut sources = std::iter::once(panel).chain(list(panel, "targets")).map(|asking| &asking["datasource"]);
    if !sources.all(|source| text(source, "uid") == "${datasource}" && text(source, "type") == "prometheus") {
        tell("panel-datasource-rule", "asks another data source than the chosen one");
    }
    if !["timeseries", "stat", "table", "heatmap"].contains(&text(panel, "type")) {
        tell("panel-type", text(panel, "type"));
    }
}

fn one_query(expr: &str, tell: &mut impl FnMut(&str, &str)) {
    for series in bare(expr) {
        tell("target-job-rule", &series);
    }
    for selector in selectors(expr) {
        for (label, chosen) in [("job", "$job"), ("instance", instance(selector.name))] {
            if !selector.matchers.contains(&(label, "=~", chosen)) {
                tell(&format!("target-{label}-rule"), selector.name);
            }
        }
        let function = selector.range.map(|(function, _)| function);
        let counter = selector.name.ends_with("_total");
        if counter && !function.is_some_and(|function| ["rate", "irate", "increase"].contains(&function)) {
            tell("target-counter-agg-rule", selector.name);
        }
        match selector.range {
            Some(("rate" | "irate", range)) if range != "$__rate_interval" => tell("target-rate-interval-rule", range),
            Some((_, range)) if !["$__rate_interval", "$__range"].contains(&range) => tell("fixed-window", range),
            _ => {}
        }
    }
}

/// Alerts also without an instance: `ForebayAbsent` has none, there being nothing to scrape.
fn instance(series: &str) -> &'static str {
    if series == "ALERTS" { "$instance|" } else { "$instance" }
}
