//! What every dashboard has around its panels: variables, annotations, links, and the panels' places.

use serde_json::{Value, json};

use super::panel::{Panel, datasource};
use super::promql::{alerts, of};
use super::{Dashboard, Row};
use crate::telemetry::catalog::Name;

/// Panels stand in so many columns.
const COLUMNS: u8 = 24;

/// Writes a dashboard as Grafana reads it.
pub(super) fn json(dashboard: &Dashboard, runbooks: &str) -> Value {
    json!({
        "annotations": { "list": annotations() },
        "description": dashboard.about,
        "editable": false,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": null,
        "links": links(runbooks),
        "panels": panels(&dashboard.rows, runbooks),
        "refresh": "1m",
        "schemaVersion": 39,
        "tags": ["forebay"],
        "templating": { "list": variables() },
        "time": { "from": "now-6h", "to": "now" },
        "timepicker": {},
        "timezone": "",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
        "weekStart": "",
    })
}

fn variables() -> Vec<Value> {
    let chosen = |labels: &[&str]| labels.iter().map(|label| format!("{label}=~\"${label}\"")).collect::<Vec<_>>();
    let variable = |name: &str, label: &str, metric: Name, labels: &[&str]| {
        let (metric, chosen) = (metric.metric().name, chosen(labels));
        let series = if chosen.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", chosen.join(", ")) };
        let query = format!("label_values({series}, {name})");
        json!({
            "allValue": ".+",
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
            "datasource": datasource(),
            "definition": query,
            "hide": 0,
            "includeAll": true,
            "label": label,
            "multi": true,
            "name": name,
            "options": [],
            "query": { "qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery" },
            "refresh": 2,
            "regex": "",
            "skipUrlSync": false,
            "sort": 1,
            "type": "query",
        })
    };
    let source = json!({
        "current": { "selected": false, "text": "default", "value": "default" },
        "hide": 0,
        "includeAll": false,
        "label": "Data source",
        "multi": false,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": false,
        "type": "datasource",
    });
    vec![
        source,
        variable("job", "Job", Name::BuildInfo, &[]),
        variable("instance", "Instance", Name::BuildInfo, &["job"]),
        variable("pipeline", "Pipeline", Name::PipelineInfo, &["job", "instance"]),
    ]
}

/// What happened to forebay, over every panel. Starts and reloads tell their own time, so they stand where they were however
/// wide the view is; a start loads the configuration, too, and is told once.
fn annotations() -> Vec<Value> {
    let (started, loaded) = (of(Name::ProcessStart), of(Name::ReloadTime));
    let reloaded = format!("({loaded} > on (job, instance) ({started} + 10)) * 1000");
    let refused = format!("{} == 0", of(Name::ReloadSuccessful));
    vec![
        annotation("Starts", "blue", &format!("{started} * 1000"), true, "forebay started", "{{instance}}"),
        annotation("Reloads", "green", &reloaded, true, "configuration reloaded", "{{instance}}"),
        annotation("Reloads refused", "orange", &refused, false, "configuration refused", "{{instance}}"),
        annotation("Alerts", "red", &alerts("firing"), false, "{{alertname}}", "{{instance}} {{pipeline}}"),
    ]
}

fn annotation(name: &str, colour: &str, expr: &str, value_is_time: bool, title: &str, text: &str) -> Value {
    json!({
        "datasource": datasource(),
        "enable": true,
        "expr": expr,
        "hide": false,
        "iconColor": colour,
        "name": name,
        "tagKeys": "job",
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": value_is_time,
    })
}

fn links(runbooks: &str) -> Vec<Value> {
    vec![
        json!({ "asDropdown": false, "icon": "dashboard", "includeVars": true, "keepTime": true, "tags": ["forebay"],
            "targetBlank": false, "title": "forebay", "tooltip": "", "type": "dashboards", "url": "" }),
        json!({ "asDropdown": false, "icon": "doc", "includeVars": false, "keepTime": false, "tags": [],
            "targetBlank": true, "title": "Runbooks", "tooltip": "What to do about each alert", "type": "link",
            "url": format!("{runbooks}/README.md") }),
    ]
}

/// Gives every panel its number and its place: from left to right, a new line where the next one does not fit.
fn panels(rows: &[Row], runbooks: &str) -> Vec<Value> {
    let mut written: Vec<Value> = Vec::new();
    let mut y: u32 = 0;
    for row in rows {
        written.push(json!({ "collapsed": false, "gridPos": { "h": 1, "w": COLUMNS, "x": 0, "y": y },
            "id": written.len() + 1, "panels": [], "title": row.title, "type": "row" }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in &row.panels {
            if x + panel.width > COLUMNS {
                y += u32::from(height);
                (x, height) = (0, 0);
            }
            let place = json!({ "h": panel.height, "w": panel.width, "x": x, "y": y });
            written.push(Panel::json(panel, written.len() + 1, &place, runbooks));
            x += panel.width;
            height = height.max(panel.height);
        }
        y += u32::from(height);
    }
    written
}
