//! What became of a given file, or would: the common tongue of `once` and `check`, for people and as JSON.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use serde_json::{Map, Value, json};

use super::console::{self, Console, Tone, columns, count};
use crate::csv::Reject;
use crate::job::{JobError, JobReport, Outcome, RejectReason, RowCounts, display_name};

/// How many rejected rows a person is shown.
pub(super) const SHOWN_REJECTS: usize = 10;

/// One file's end.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The file's name, escaped.
    pub(super) name: String,
    /// The pipeline.
    pub(super) pipeline: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Why it was not taken, in one word; empty if it was.
    pub(super) reason: &'static str,
    /// Why, for a person.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: String,
    /// The counts so far.
    pub(super) rows: RowCounts,
    /// Rejects by reason.
    pub(super) rejects: BTreeMap<RejectReason, u64>,
    /// The first rejected rows.
    pub(super) first: Vec<Reject>,
    /// Further fields of the JSON form: the manifest, or what a report knows.
    pub(super) facts: Map<String, Value>,
}

impl Verdict {
    /// A file that was taken, or would be.
    pub(super) fn sound(pipeline: &str, report: &JobReport) -> Self {
        Self {
            name: report.input.name.clone(),
            pipeline: pipeline.to_owned(),
            outcome: Outcome::Succeeded,
            reason: "",
            message: String::new(),
            hint: String::new(),
            rows: report.rows,
            rejects: report.rejects.clone(),
            first: Vec::new(),
            facts: report_facts(report),
        }
    }

    /// A file that was not taken, or would not be.
    pub(super) fn unsound(pipeline: &str, name: &str, error: &JobError) -> Self {
        let verdict = |outcome, reason, message: &str, hint: &str| Self {
            name: name.to_owned(),
            pipeline: pipeline.to_owned(),
            outcome,
            reason,
            message: message.to_owned(),
            hint: hint.to_owned(),
            rows: RowCounts::default(),
            rejects: BTreeMap::new(),
            first: Vec::new(),
            facts: Map::new(),
        };
        match error {
            JobError::Quarantine { reason, message, hint, rows, rejects, .. } => Self {
                rows: *rows,
                rejects: rejects.clone(),
                ..verdict(Outcome::Quarantined, reason.as_str(), message, hint)
            },
            JobError::Retry { reason, message } => verdict(Outcome::Failed, reason.as_str(), message, "try again"),
            JobError::Vanished { .. } => verdict(Outcome::Failed, "vanished", &error.to_string(), ""),
            JobError::Empty { .. } => verdict(Outcome::Empty, "", "it holds no text", ""),
            JobError::Cancelled => verdict(Outcome::Failed, "stopped", "stopped before it was done", "run it again"),
        }
    }

    /// A file that could not even be tried.
    pub(super) fn unreadable(pipeline: &str, name: String, message: String) -> Self {
        let vanished = JobError::Vanished { message: String::new() };
        Self { name, message, reason: "io", ..Self::unsound(pipeline, "", &vanished) }
    }

    /// Returns whether the file is all right: taken, or nothing in it to take.
    pub(super) fn fine(&self) -> bool {
        matches!(self.outcome, Outcome::Succeeded | Outcome::Empty | Outcome::Duplicate)
    }

    /// Returns the JSON form, with the manifest's field names.
    pub(super) fn document(&self) -> Value {
        let mut document = json!({
            "pipeline": self.pipeline,
            "outcome": self.outcome,
            "input": { "name": self.name },
            "rows": self.rows,
            "rejects": self.rejects,
        });
        let Some(fields) = document.as_object_mut() else { return document };
        fields.extend(self.facts.clone());
        if !self.fine() {
            for (name, text) in [("reason", self.reason), ("message", &self.message), ("hint", &self.hint)] {
                fields.insert(name.to_owned(), json!(text));
            }
        }
        document
    }

    /// Tells a person about it: one line, and what is needed to do something about it. `would`: nothing was really done.
    pub(super) fn tell(&self, console: &Console, would: bool) {
        let tone = if self.fine() { Tone::Good } else { Tone::Alarm };
        let outcome = match self.outcome {
            Outcome::Succeeded if would => "would be accepted",
            Outcome::Quarantined if would => "would be quarantined",
            Outcome::Failed if would => "cannot be tried",
            Outcome::Succeeded | Outcome::Duplicate | Outcome::Empty | Outcome::Quarantined | Outcome::Failed => {
                self.outcome.as_str()
            }
        };
        let rows = match self.outcome {
            Outcome::Succeeded | Outcome::Quarantined => format!(": {}", told(self.rows, self.fine())),
            Outcome::Duplicate | Outcome::Empty | Outcome::Failed => String::new(),
        };
        console.say(&format!("{}: {}{rows}", self.name, console.err(tone, outcome)));
        if !self.fine() {
            let reason = if self.reason.is_empty() { String::new() } else { format!("{}: ", self.reason) };
            console.warn(&format!("  {reason}{}", self.message));
            if !self.hint.is_empty() {
                console.warn(&format!("  {} {}", console.err(Tone::Strong, "hint:"), self.hint));
            }
        }
        let by_reason: Vec<String> =
            self.rejects.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| format!("{reason} {}", count(*n))).collect();
        if !by_reason.is_empty() {
            console.say(&format!("  rejects: {}", by_reason.join(", ")));
        }
        for line in table(&self.first) {
            console.say(&format!("    {line}"));
        }
        if self.rows.rejected > self.first.len() as u64 && !self.first.is_empty() {
            console.say(&format!("    ... and {} more", count(self.rows.rejected - self.first.len() as u64)));
        }
    }
}

/// Returns the counts as a sentence that adds up. Of a file that was not published nothing was written in the end.
pub(super) fn told(rows: RowCounts, published: bool) -> String {
    let RowCounts { read, written, rejected, dropped } = rows;
    let read = console::rows(read);
    let [written, rejected, dropped] = [written, rejected, dropped].map(count);
    if !published {
        return format!("{read} read, {rejected} rejected, nothing published");
    }
    format!("{read} read = {written} written + {rejected} rejected + {dropped} dropped")
}

/// Returns the rejected rows as lines of a table.
fn table(rejects: &[Reject]) -> Vec<String> {
    let head = ["line", "column", "reason", "detail"].map(str::to_owned).to_vec();
    let rows = rejects.iter().map(|reject| {
        let reason = match &reject.rule {
            Some(rule) => format!("{} {rule}", reject.reason),
            None => reject.reason.to_string(),
        };
        // What comes from a file must not talk to the terminal.
        let shown = |text: &str| display_name(OsStr::new(text));
        vec![
            reject.line.to_string(),
            shown(reject.column.as_deref().unwrap_or_default()),
            reason,
            shown(&reject.detail),
        ]
    });
    let table: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    if table.len() == 1 { Vec::new() } else { columns(&table, &[0]) }
}

/// Returns one rejected row with the names of `rejects.parquet`. Its bytes need not be text, so they are shown escaped.
pub(super) fn reject_document(reject: &Reject) -> Value {
    json!({
        "record": reject.record,
        "line": reject.line,
        "byte_offset": reject.byte_offset,
        "column": reject.column,
        "reason": reject.reason,
        "rule": reject.rule,
        "detail": reject.detail,
        "raw": reject.raw.escape_ascii().to_string(),
    })
}

/// Returns what a report knows, under the manifest's names.
fn report_facts(report: &JobReport) -> Map<String, Value> {
    let input = &report.input;
    let facts = json!({
        "input": {
            "name": input.name,
            "bytes": input.bytes,
            "blake3": input.blake3,
            "encoding": input.encoding,
            "compression": input.compression,
        },
        "blank_lines": report.blank_lines,
        "rejects_by_rule": report.rejects_by_rule,
        "rule_violations": report.rule_violations,
        "drift": report.drift,
        "text_bytes": report.text_bytes,
    });
    if let Value::Object(facts) = facts { facts } else { Map::new() }
}
