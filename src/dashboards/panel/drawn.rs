//! A panel as Grafana reads it: the JSON of its kind.

use serde_json::{Map, Value, json};

use super::{Drawn, Field, Limit, Panel, datasource};

impl Panel {
    /// Writes it as Grafana reads it.
    pub(in crate::dashboards) fn json(&self, id: usize, place: &Value, runbooks: &str) -> Value {
        let links: Vec<Value> = self.runbooks.iter().map(|alert| runbook(runbooks, alert)).collect();
        json!({
            "id": id,
            "type": self.kind(),
            "title": self.title,
            "description": self.about,
            "datasource": datasource(),
            "gridPos": place,
            "links": links,
            "fieldConfig": { "defaults": self.defaults(), "overrides": self.overrides() },
            "options": self.options(),
            "targets": self.targets,
            "transformations": self.transformations(),
        })
    }

    const fn kind(&self) -> &'static str {
        match self.drawn {
            Drawn::Stat => "stat",
            Drawn::Lines | Drawn::Stack | Drawn::Bars => "timeseries",
            Drawn::Heatmap => "heatmap",
            Drawn::Table => "table",
        }
    }

    fn defaults(&self) -> Value {
        let first = json!({ "color": if self.drawn == Drawn::Stat { "green" } else { "transparent" }, "value": null });
        let steps = self.limits.iter().map(|Limit(value, color)| json!({ "color": color, "value": value }));
        let steps: Vec<Value> = std::iter::once(first).chain(steps).collect();
        let mut defaults = Map::new();
        let mut put = |key: &str, value: Value| defaults.insert(key.to_owned(), value);
        put("unit", json!(self.unit.grafana()));
        put("noValue", json!(self.empty));
        if self.drawn != Drawn::Table {
            put("min", json!(0));
        }
        if self.full_scale {
            put("max", json!(1));
        }
        put("color", json!({ "mode": if self.drawn == Drawn::Stat { "thresholds" } else { "palette-classic" } }));
        put("thresholds", json!({ "mode": "absolute", "steps": steps }));
        put("custom", self.custom());
        Value::Object(defaults)
    }

    fn custom(&self) -> Value {
        let stacked = json!({ "group": "A", "mode": "normal" });
        let thresholds = json!({ "mode": if self.limits.is_empty() { "off" } else { "dashed" } });
        match self.drawn {
            Drawn::Lines => json!({ "drawStyle": "line", "fillOpacity": 5, "lineWidth": 1, "showPoints": "auto",
                "spanNulls": false, "thresholdsStyle": thresholds }),
            Drawn::Stack => json!({ "drawStyle": "line", "fillOpacity": 40, "lineWidth": 1, "showPoints": "never",
                "spanNulls": false, "stacking": stacked, "thresholdsStyle": thresholds }),
            Drawn::Bars => json!({ "drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "showPoints": "never",
                "stacking": stacked, "thresholdsStyle": thresholds }),
            Drawn::Table => json!({ "align": "auto", "filterable": false }),
            Drawn::Stat | Drawn::Heatmap => json!({}),
        }
    }

    fn overrides(&self) -> Vec<Value> {
        let dashed = self.dashed.iter().map(|id| {
            json!({ "matcher": { "id": "byFrameRefID", "options": id }, "properties": [
                { "id": "custom.drawStyle", "value": "line" },
                { "id": "custom.lineStyle", "value": { "dash": [10, 10], "fill": "dash" } },
                { "id": "custom.fillOpacity", "value": 0 },
                { "id": "custom.stacking", "value": { "group": "A", "mode": "none" } },
            ] })
        });
        let columns = self.columns.iter().map(|column| {
            // Grafana adds the letter where there are several questions.
            let field = match &column.field {
                Field::Label(label) => label.clone(),
                Field::Answer(_) if self.targets.len() == 1 => "Value".to_owned(),
                Field::Answer(letter) => format!("Value #{letter}"),
            };
            let mut properties = vec![json!({ "id": "displayName", "value": column.title })];
            properties.extend(column.unit.map(|unit| json!({ "id": "unit", "value": unit.grafana() })));
            properties.extend(column.link.as_ref().map(|(place, url)| {
                json!({ "id": "links", "value": [{ "title": place, "url": url, "targetBlank": false }] })
            }));
            json!({ "matcher": { "id": "byName", "options": field }, "properties": properties })
        });
        dashed.chain(columns).collect()
    }

    fn options(&self) -> Value {
        match self.drawn {
            Drawn::Stat => json!({
                "colorMode": "background", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false }, "textMode": "auto",
            }),
            Drawn::Lines | Drawn::Stack | Drawn::Bars => json!({
                "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Drawn::Heatmap => json!({
                "calculate": false, "cellGap": 1, "cellValues": { "unit": "short" },
                "color": { "mode": "scheme", "scheme": "Oranges", "steps": 64 }, "exemplars": { "color": "rgba(0,0,0,0.7)" },
                "filterValues": { "le": 1e-9 }, "legend": { "show": true }, "rowsFrame": { "layout": "auto" },
                "tooltip": { "mode": "single", "yHistogram": false },
                "yAxis": { "axisPlacement": "left", "unit": self.unit.grafana() },
            }),
            Drawn::Table => json!({ "cellHeight": "sm", "showHeader": true }),
        }
    }

    /// Joins the answers of a table by their labels, and leaves out what nobody reads.
    fn transformations(&self) -> Vec<Value> {
        if self.drawn != Drawn::Table {
            return Vec::new();
        }
        let always = ["Time", "__name__"].into_iter().chain(self.hidden.iter().copied());
        let hidden: Map<String, Value> = always.map(|field| (field.to_owned(), Value::Bool(true))).collect();
        vec![
            json!({ "id": "merge", "options": {} }),
            json!({ "id": "organize", "options": { "excludeByName": hidden, "indexByName": {}, "renameByName": {} } }),
        ]
    }
}

fn runbook(runbooks: &str, alert: &str) -> Value {
    json!({ "title": format!("Runbook: {alert}"), "url": format!("{runbooks}/{alert}.md"), "targetBlank": true })
}
