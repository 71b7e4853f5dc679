//! `.error.json`: why a file lies in quarantine and what to do about it, readable without forebay.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Refusal;
use crate::clock::rfc3339;
use crate::job::{FileId, Outcome, QuarantineReason, RejectReason, RowCounts, Timestamp};
use crate::ledger::FileRow;

/// What the file says, in reading order.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    id: &'a FileId,
    name: String,
    pipeline: &'a str,
    outcome: Outcome,
    reason: Option<QuarantineReason>,
    message: &'a str,
    hint: &'a str,
    rows: RowCounts,
    rejects: &'a BTreeMap<RejectReason, u64>,
    bytes: u64,
    attempts: u32,
    last_error: Option<&'a str>,
    arrived_at: String,
    started_at: Option<String>,
    finished_at: String,
    trace_id: Option<&'a str>,
    what_next: Vec<String>,
}

/// Returns the explanation of a refusal.
pub(super) fn text(row: &FileRow, refusal: &Refusal<'_>, now: Timestamp) -> String {
    let rows = refusal.rows;
    let mut what_next = Vec::new();
    if rows.rejected > 0 {
        what_next.push(format!(
            "`forebay rejects {}` shows the rejected rows, with `--csv` ready to mend and drop again",
            row.id
        ));
    }
    if refusal.outcome == Outcome::Failed {
        what_next.push("see to what the message names".to_owned());
    } else {
        what_next
            .push("mend the file and drop it into the inbox again, or mend the config if the file is right".to_owned());
    }
    what_next.push(format!("`forebay retry {}` then takes this file in again", row.id));
    what_next.push(format!("`forebay explain {}` tells its whole story", row.id));
    write(&Explanation {
        reason: Some(refusal.reason),
        hint: refusal.hint,
        rejects: refusal.rejects,
        ..explanation(row, refusal.outcome, refusal.message, rows, now, what_next)
    })
}

/// Returns the explanation of a file that cannot be published as things are in the output.
pub(super) fn conflict(row: &FileRow, message: &str, advice: &str, now: Timestamp) -> String {
    let what_next = vec![advice.to_owned(), format!("`forebay retry {}` then takes this file in again", row.id)];
    let rows = row.rows.unwrap_or_default();
    write(&explanation(row, Outcome::Failed, message, rows, now, what_next))
}

fn explanation<'a>(
    row: &'a FileRow,
    outcome: Outcome,
    message: &'a str,
    rows: RowCounts,
    now: Timestamp,
    what_next: Vec<String>,
) -> Explanation<'a> {
    static NO_REJECTS: BTreeMap<RejectReason, u64> = BTreeMap::new();
    Explanation {
        id: &row.id,
        name: row.display_name(),
        pipeline: &row.pipeline,
        outcome,
        reason: None,
        message,
        hint: "",
        rows,
        rejects: &NO_REJECTS,
        bytes: row.stamp.size,
        attempts: row.starts,
        last_error: row.last_error.as_deref(),
        arrived_at: rfc3339(row.arrived_at),
        started_at: row.started_at.map(rfc3339),
        finished_at: rfc3339(now),
        trace_id: row.trace_id.as_deref(),
        what_next,
    }
}

fn write(explanation: &Explanation<'_>) -> String {
    // Plain data with string keys always serialises; the message is what matters should that ever change.
    serde_json::to_string_pretty(explanation).unwrap_or_else(|_| explanation.message.to_owned()) + "\n"
}
