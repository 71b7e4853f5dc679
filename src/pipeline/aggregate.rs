//! Aggregates: SQL over the clean rows. What can be is computed batch by batch, on the thread that has the batch at hand; the
//! rest over the rows just written: streamed, and of a large file the groups in shares.

use polars::prelude::*;

use super::flow::query_failed;
use super::meter::Meter;
use super::write::Outputs;
use crate::config::{Aggregate, Pipeline};
use crate::job::{JobError, Stage};
use crate::sql::{self, Shares, Steps};

/// Groups that may wait to be put together with those of earlier batches.
const LOOSE_GROUPS: usize = 64 << 10;

/// Rows whose groups are computed at a time, where their values must be held; for each such share all rows are read.
const ROWS_OF_A_SHARE: u64 = 4 << 20;

/// Rows up to which a query is not worth a streaming engine.
const FEW_ROWS: u64 = 64 << 10;

/// Returns what a batch of clean rows comes to: one frame for each aggregate that is computed in steps.
pub fn parts(aggregates: &[Aggregate], rows: &DataFrame) -> PolarsResult<Vec<DataFrame>> {
    aggregates.iter().filter_map(|aggregate| aggregate.steps.as_ref()).map(|steps| steps.first(rows.clone())).collect()
}

/// The aggregates of one job, while its batches come.
#[derive(Debug)]
pub struct Aggregates<'p> {
    pipeline: &'p Pipeline,
    gathered: Vec<Gathered<'p>>,
}

/// What all batches so far come to.
#[derive(Debug)]
struct Gathered<'p> {
    steps: &'p Steps,
    parts: Option<DataFrame>,
    /// Groups that are together already.
    together: usize,
}

impl<'p> Aggregates<'p> {
    /// Starts without rows.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline) -> Self {
        let steps = pipeline.aggregates.iter().filter_map(|aggregate| aggregate.steps.as_ref());
        let gathered = steps.map(|steps| Gathered { steps, parts: None, together: 0 });
        Self { pipeline, gathered: gathered.collect() }
    }

    /// Adds the [`parts`] of a batch; in file order, so that the same file gives the same sums.
    pub fn add(&mut self, parts: &[DataFrame]) -> Result<(), JobError> {
        let added = self.gathered.iter_mut().zip(parts).try_for_each(|(gathered, part)| gathered.add(part));
        added.map_err(|error| query_failed(&error))
    }

    /// Computes every aggregate and writes it as `<name>.parquet`. `rows` were written.
    pub fn finish(self, rows: u64, outputs: &mut Outputs<'_>, meter: &Meter<'_>) -> Result<(), JobError> {
        let mut gathered = self.gathered.into_iter();
        for aggregate in &self.pipeline.aggregates {
            let part = aggregate.steps.as_ref().and_then(|_| gathered.next());
            let frame = meter.time(Stage::Aggregate, || match part {
                Some(Gathered { steps, parts, .. }) => steps.last(parts),
                None => compute(&aggregate.sql, rows, outputs),
            });
            let frame = frame.map_err(|error| query_failed(&error))?;
            meter.time(Stage::Write, || outputs.write_aggregate(&aggregate.name, &frame))?;
        }
        outputs.drop_spool()
    }
}

impl Gathered<'_> {
    fn add(&mut self, part: &DataFrame) -> PolarsResult<()> {
        let Some(parts) = &mut self.parts else {
            self.parts = Some(part.clone());
            return Ok(());
        };
        parts.vstack_mut(part)?;
        // Seldom enough to cost little however many groups there are.
        if parts.height() > LOOSE_GROUPS.max(2 * self.together) {
            *parts = self.steps.again(std::mem::take(parts))?;
            self.together = parts.height();
        }
        Ok(())
    }
}

fn compute(query: &str, rows: u64, outputs: &Outputs<'_>) -> PolarsResult<DataFrame> {
    let query = sql::run_aggregate(query, outputs.scan()?)?;
    if rows <= FEW_ROWS {
        return query.collect();
    }
    if rows > ROWS_OF_A_SHARE
        && let Some(shares) = Shares::of(&query)
    {
        return shares.collect(rows.div_ceil(ROWS_OF_A_SHARE));
    }
    // Only a query with several sinks has several results, and `run_aggregate` lets none through.
    Ok(query.collect_with_engine(Engine::Streaming)?.unwrap_single())
}
