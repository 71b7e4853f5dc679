//! One alert: its fault is caused, the page arrives, the fault is mended, the page is taken back.

use std::path::Path;
use std::time::Instant;

use crate::alert::Alert;
use crate::range::{RUNBOOKS, Range};
use crate::receiver::Heard;
use crate::report::Row;
use crate::wait_for;

/// An alert whose fault has just been caused.
#[derive(Debug)]
pub(crate) struct Drill<'r> {
    range: &'r Range,
    alert: Alert,
    fault: &'static str,
    since: Instant,
    paged: Option<Instant>,
}

impl<'r> Drill<'r> {
    /// Begins now. `fault` says in a few words what is done.
    pub(crate) fn begin(range: &'r Range, alert: Alert, fault: &'static str) -> Self {
        range.allow(alert.clone());
        Self { range, alert, fault, since: Instant::now(), paged: None }
    }

    /// Waits for the page, which must say what a person needs.
    #[track_caller]
    pub(crate) fn wait_page(&mut self) {
        let (range, alert) = (self.range, &self.alert);
        let heard = wait_for(&format!("the page {alert}"), || range.receiver().first(alert, true, self.since));
        check(&heard);
        self.paged = Some(heard.at);
    }

    /// Waits until the page is taken back, the fault having been mended just now. `mended` says how.
    #[track_caller]
    pub(crate) fn wait_resolved(self, mended: &'static str) {
        self.wait_resolved_since(mended, Instant::now());
    }

    /// The same for a fault that was mended a while ago.
    #[track_caller]
    pub(crate) fn wait_resolved_since(self, mended: &'static str, since: Instant) {
        let (range, alert) = (self.range, &self.alert);
        let paged = self.paged.unwrap();
        let heard = wait_for(&format!("{alert} to be taken back"), || range.receiver().first(alert, false, since));
        range.note(Row {
            alert: self.alert,
            fault: self.fault,
            paged: paged - self.since,
            mended,
            resolved: Some(heard.at - since),
        });
    }
}

/// Stops the drill unless a message went to the right person and can be read.
#[track_caller]
pub(crate) fn check(heard: &Heard) {
    let Alert { name, severity, .. } = &heard.alert;
    let receiver = match severity.as_str() {
        "critical" => "oncall",
        "warning" => "team",
        _ => "heartbeat",
    };
    assert_eq!(heard.receiver, receiver, "{}", heard.alert);
    assert_eq!(heard.annotations["runbook_url"], format!("{RUNBOOKS}/{name}.md"));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/runbooks/{name}.md")).is_file());
    for text in ["summary", "description", "dashboard_url"] {
        let text = heard.annotations[text].as_str().unwrap_or_else(|| panic!("{name} has no {text}"));
        // What Prometheus writes in place of a template that fails, of a value that is missing, and of an odd number.
        for fault in ["{{", "}}", "<error", "<no value>", "NaN", "Inf", "%!"] {
            assert!(!text.contains(fault), "{name}: {text:?}");
        }
        assert!(!text.is_empty() && !text.contains("  "), "{name}: {text:?}");
    }
    // Whoever reads it must know which daemon, and which pipeline.
    let said =
        heard.annotations["summary"].as_str().unwrap().to_owned() + heard.annotations["description"].as_str().unwrap();
    assert!(said.contains(&heard.alert.instance) && said.contains(&heard.alert.pipeline), "{name}: {said}");
}
