//! The accounts of one file: every row, in file order.

use std::collections::BTreeMap;

use super::{Batches, Worked};
use crate::config::Pipeline;
use crate::csv::Reject;
use crate::csv::block::Head;
use crate::csv::reject::Position;
use crate::job::{DriftKind, InputFacts, JobError, QuarantineReason, RejectReason, RowCounts};
use crate::pipeline::clean::Cleaned;
use crate::pipeline::no_rejects;

/// What a whole file added up to.
#[derive(Debug, Clone)]
pub struct Totals {
    /// The input as read.
    pub input: InputFacts,
    /// The counts.
    pub rows: RowCounts,
    /// Empty lines.
    pub blank_lines: u64,
    /// Rejects by reason, every reason present.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Rows rejected by each rule, in config order.
    pub rejects_by_rule: Vec<u64>,
    /// Rows failing each rule, in config order.
    pub violations: Vec<u64>,
    /// How the header differs from the config.
    pub drift: BTreeMap<DriftKind, u64>,
    /// Bytes of text parsed.
    pub text_bytes: u64,
}

/// Adds up batches in file order.
pub(super) struct Accounts {
    at: Position,
    transcoded: bool,
    rows: RowCounts,
    blank_lines: u64,
    rejects: BTreeMap<RejectReason, u64>,
    rejects_by_rule: Vec<u64>,
    violations: Vec<u64>,
    drift: BTreeMap<DriftKind, u64>,
    text_bytes: u64,
}

impl Accounts {
    /// Starts after the header; offsets of a transcoded text are not told.
    pub(super) fn new(pipeline: &Pipeline, drift: BTreeMap<DriftKind, u64>, head: &Head, transcoded: bool) -> Self {
        Self {
            at: Position { records: 0, lines: head.lines, offset: None },
            transcoded,
            rows: RowCounts::default(),
            blank_lines: head.blank_lines,
            rejects: no_rejects(),
            rejects_by_rule: vec![0; pipeline.rules.len()],
            violations: vec![0; pipeline.rules.len()],
            drift,
            text_bytes: 0,
        }
    }

    /// Accounts for a batch, hands it on, and returns its buffer.
    pub(super) fn take(
        &mut self,
        Worked { cleaned, parts }: Worked,
        take: &mut dyn FnMut(Batches<'_>) -> Result<(), JobError>,
    ) -> Result<Vec<u8>, JobError> {
        let Cleaned { mut batch, frame, dropped, violations, rejected_by, refused } = cleaned;
        self.at.offset = (!self.transcoded).then(|| batch.offset());
        batch.shift(&self.at);
        self.rows += RowCounts {
            read: batch.records,
            written: frame.height() as u64,
            rejected: batch.rejects.len() as u64,
            dropped,
        };
        for reject in &batch.rejects {
            *self.rejects.entry(reject.reason).or_insert(0) += 1;
        }
        add(&mut self.rejects_by_rule, &rejected_by);
        add(&mut self.violations, &violations);
        self.blank_lines += batch.blank_lines;
        self.text_bytes += batch.text_bytes();
        // Also of a refused file: its rejects are kept beside it.
        take(Batches { frame: &frame, rejects: &batch.rejects, parts: &parts })?;
        if let Some(mut reject) = refused {
            reject.shift(&self.at);
            return Err(self.refuse(&reject));
        }
        self.at.records += batch.records;
        self.at.lines += batch.lines;
        Ok(batch.into_buffer())
    }

    fn refuse(&self, reject: &Reject) -> JobError {
        let rule = reject.rule.as_deref().unwrap_or_default();
        JobError::Quarantine {
            reason: QuarantineReason::Rule,
            message: format!("record {} on line {} {} (rule {rule})", reject.record, reject.line, reject.detail),
            hint: "the rule has action = \"quarantine\": mend the file and drop it again, or mend the rule".to_owned(),
            rows: self.rows,
            rejects: self.rejects.clone(),
            drift: self.drift.clone(),
        }
    }

    /// Returns what it all came to.
    pub(super) fn totals(self, input: InputFacts) -> Totals {
        Totals {
            input,
            rows: self.rows,
            blank_lines: self.blank_lines,
            rejects: self.rejects,
            rejects_by_rule: self.rejects_by_rule,
            violations: self.violations,
            drift: self.drift,
            text_bytes: self.text_bytes,
        }
    }
}

fn add(sums: &mut [u64], more: &[u64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
