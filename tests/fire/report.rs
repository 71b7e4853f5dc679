//! What is run, and what came of it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::PACE;
use crate::alert::Alert;

/// What came of one drill.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) alert: Alert,
    pub(crate) fault: &'static str,
    /// From the fault to the page.
    pub(crate) paged: Duration,
    pub(crate) mended: &'static str,
    /// From its end to the all-clear; `None` for an alert that never ends.
    pub(crate) resolved: Option<Duration>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn of(mut rows: Vec<Row>) -> Self {
        rows.sort_by(|a, b| {
            (&a.alert.name, &a.alert.severity, a.fault).cmp(&(&b.alert.name, &b.alert.severity, b.fault))
        });
        Self(rows)
    }

    /// Prints a table in Markdown.
    pub(crate) fn print(&self, took: Duration) {
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        tell(&format!("fire: {} pages at pace {PACE}, in {}", self.0.len(), seconds(took)));
        tell("| alert | severity | fault | page after | mended by | taken back after |\n|---|---|---|---|---|---|");
        for Row { alert, fault, paged, mended, resolved } in &self.0 {
            let (page, back) = (seconds(*paged), resolved.map_or("never".to_owned(), seconds));
            tell(&format!("| {} | {} | {fault} | {page} | {mended} | {back} |", alert.name, alert.severity));
        }
    }

    /// Stops the test if an alert of the rules never paged, unless its drill was left out.
    #[track_caller]
    pub(crate) fn expect_all_alerts(&self, excused: &BTreeSet<&str>) {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/forebay.rules.yml");
        let rules = std::fs::read_to_string(rules).unwrap();
        let all: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        let paged: BTreeSet<&str> = self.0.iter().map(|row| row.alert.name.as_str()).collect();
        let missing: Vec<_> = all.difference(&paged).filter(|name| !excused.contains(**name)).collect();
        assert!(missing.is_empty(), "no drill for {missing:?}");
        assert!(all.len() > 20, "{all:?}");
    }
}

/// Returns whether every drill is run.
pub(crate) fn is_full() -> bool {
    std::env::var_os("FOREBAY_FIRE").is_some_and(|value| value == "full")
}

/// Writes to the real stderr: the one of `eprintln!` is kept back for tests that pass.
pub(crate) fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Says loudly what is not run, and why.
pub(crate) fn left_out(drill: &str, why: &str) {
    tell(&format!("LEFT OUT: fire: {drill}: {why}"));
}

/// Returns whether the tools are here. With `FOREBAY_REQUIRE_TOOLS` (as in CI) a missing one stops the test.
pub(crate) fn has_tools() -> bool {
    ["prometheus", "prometheus-alertmanager"].into_iter().all(|tool| {
        let here = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
        assert!(here || std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "{tool} is required here");
        if !here {
            left_out("all drills", &format!("{tool} is not installed"));
        }
        here
    })
}
