//! Derived columns and rules over one batch.
//!
//! Always on the thread that parsed it: the threads are busy with other batches already, and Polars' own, asked for one
//! column each, would only take the cores away from them.

use polars::prelude::*;

use crate::config::{Pipeline, Rule, RuleAction};
use crate::csv::{Batch, Reject};

/// The compiled expressions of one pipeline. Shared by threads.
pub struct Cleaner<'p> {
    pipeline: &'p Pipeline,
}

/// A batch whose rows passed the rules.
pub struct Cleaned {
    /// The batch as parsed: positions, rejects, text.
    pub batch: Batch,
    /// The rows that stay: the columns, then the derived ones.
    pub frame: DataFrame,
    /// Rows dropped by a rule.
    pub dropped: u64,
    /// Rows for which each rule is false, in config order.
    pub violations: Vec<u64>,
    /// Rows rejected by each rule, in config order.
    pub rejected_by: Vec<u64>,
    /// The first row that fails a `quarantine` rule.
    pub refused: Option<Reject>,
}

/// What the rules say of one row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
    Reject,
}

impl<'p> Cleaner<'p> {
    /// Returns a cleaner for the rows of `pipeline`.
    #[must_use]
    pub const fn new(pipeline: &'p Pipeline) -> Self {
        Self { pipeline }
    }

    /// Adds derived columns and applies the rules. Rejects of rules join those of the batch.
    pub fn clean(&self, mut batch: Batch) -> PolarsResult<Cleaned> {
        let rules = &self.pipeline.rules;
        let (frame, checks) = self.evaluate(std::mem::take(&mut batch.frame))?;
        let mut verdicts = vec![Verdict::Keep; frame.height()];
        let mut violations = Vec::with_capacity(rules.len());
        let mut rejected_by = Vec::with_capacity(rules.len());
        let mut refused = None;
        for (rule, check) in rules.iter().zip(&checks) {
            let failing = failing_rows(check)?;
            violations.push(failing.len() as u64);
            rejected_by.push(judge(rule, &failing, &mut verdicts, &mut batch));
            if rule.action == RuleAction::Quarantine && refused.is_none() {
                refused = failing.first().map(|row| batch.reject_row(*row, &rule.name, fails(rule)));
            }
        }
        let dropped = verdicts.iter().filter(|verdict| **verdict == Verdict::Drop).count() as u64;
        let frame = if verdicts.iter().all(|verdict| *verdict == Verdict::Keep) {
            frame
        } else {
            let mask: BooleanChunked = verdicts.iter().map(|verdict| *verdict == Verdict::Keep).collect();
            frame.filter_seq(&mask)?
        };
        Ok(Cleaned { batch, frame, dropped, violations, rejected_by, refused })
    }

    /// Returns the frame with its derived columns, and one boolean column per rule.
    fn evaluate(&self, frame: DataFrame) -> PolarsResult<(DataFrame, Vec<Column>)> {
        let Pipeline { derive, rules, .. } = self.pipeline;
        if derive.is_empty() && rules.is_empty() {
            return Ok((frame, Vec::new()));
        }
        let mut lazy = frame.lazy();
        for derive in derive {
            lazy = lazy.with_columns_seq([compiled(derive.expr.as_ref())?.alias(derive.name.as_str())]);
        }
        // No header can hold this byte in a name that is kept, so no column is shadowed.
        let name = |number: usize| format!("\0rule {number}");
        let check = |(n, rule): (usize, &Rule)| Ok(compiled(rule.expr.as_ref())?.alias(name(n)));
        let checks = rules.iter().enumerate().map(check).collect::<PolarsResult<Vec<_>>>()?;
        let mut frame = lazy.with_columns_seq(checks).collect()?;
        let checks = (0..rules.len()).map(|n| frame.drop_in_place(&name(n))).collect::<PolarsResult<_>>()?;
        Ok((frame, checks))
    }
}

/// An outline has nothing to run.
fn compiled(expr: Option<&Expr>) -> PolarsResult<Expr> {
    expr.cloned().ok_or_else(|| polars_err!(InvalidOperation: "the SQL was not compiled"))
}

/// Returns the rows for which the rule is false; a null passes, as in SQL's CHECK.
fn failing_rows(check: &Column) -> PolarsResult<Vec<usize>> {
    let check = check.bool()?;
    let passing_or_null = check.sum().unwrap_or(0) as usize + check.null_count();
    if passing_or_null == check.len() {
        return Ok(Vec::new());
    }
    Ok(check.iter().enumerate().filter(|(_, value)| *value == Some(false)).map(|(row, _)| row).collect())
}

/// Marks the rows that `rule` decides: those no earlier reject or drop rule has decided. Returns how many it rejected.
fn judge(rule: &Rule, failing: &[usize], verdicts: &mut [Verdict], batch: &mut Batch) -> u64 {
    let verdict = match rule.action {
        RuleAction::Reject => Verdict::Reject,
        RuleAction::Drop => Verdict::Drop,
        RuleAction::Warn | RuleAction::Quarantine => return 0,
    };
    let mut rejected = 0;
    for row in failing {
        let Some(open @ Verdict::Keep) = verdicts.get_mut(*row) else { continue };
        *open = verdict;
        if verdict == Verdict::Reject {
            let reject = batch.reject_row(*row, &rule.name, fails(rule));
            batch.rejects.push(reject);
            rejected += 1;
        }
    }
    rejected
}

fn fails(rule: &Rule) -> String {
    format!("fails {}", rule.sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_false_fails_and_what_is_no_verdict_passes_nothing() {
        let check = Column::new("check".into(), [Some(true), Some(false), None, Some(false)]);
        assert_eq!(failing_rows(&check).unwrap(), [1, 3]);
        assert_eq!(failing_rows(&Column::new("check".into(), [Some(true), None])).unwrap(), Vec::<usize>::new());
        assert!(failing_rows(&Column::new("check".into(), [0, 1])).is_err());
    }
}
