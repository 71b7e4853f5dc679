//! The Grafana dashboards, made of the catalogue: a metric that is not in there cannot be drawn, and a panel's unit is the
//! unit of what it shows.
//!
//! `forebay print dashboards` prints them, `grafana/dashboards/` holds them as they are shipped, and a test holds the two
//! together. Never asks anything, never writes anything.

mod frame;
mod overview;
mod panel;
mod pipeline;
mod promql;
mod resources;

use self::panel::Panel;

/// A dashboard, before it is written.
struct Dashboard {
    /// Its word on the command line, and the name of its file without `.json`.
    name: &'static str,
    /// What links name it by: never to be changed. The alerts lead to `forebay`.
    uid: &'static str,
    title: &'static str,
    about: &'static str,
    rows: Vec<Row>,
}

/// Panels under one heading.
struct Row {
    title: &'static str,
    panels: Vec<Panel>,
}

/// A dashboard as Grafana reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its word on the command line, and the name of its file without `.json`.
    pub name: &'static str,
    /// The JSON, with a line end.
    pub text: String,
}

/// Writes every dashboard; `runbooks` is where the runbooks are to be read, without a slash at its end.
#[must_use]
pub fn all(runbooks: &str) -> Vec<Written> {
    let dashboards = [overview::dashboard(runbooks), pipeline::dashboard(), resources::dashboard()];
    let write = |dashboard: &Dashboard| Written {
        name: dashboard.name,
        text: format!("{:#}\n", frame::json(dashboard, runbooks)),
    };
    dashboards.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_shipped_dashboards_are_these() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/grafana/dashboards");
        for dashboard in all("https://forebay.example.com/docs/runbooks") {
            let path = format!("{folder}/{}.json", dashboard.name);
            if std::env::var_os("FOREBAY_UPDATE").is_some() {
                std::fs::File::create(&path).unwrap().write_all(dashboard.text.as_bytes()).unwrap();
            }
            let shipped = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(shipped == dashboard.text, "{path} is stale: run the tests once with FOREBAY_UPDATE=1");
        }
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3, "a file in {folder} that nobody makes");
    }
}
