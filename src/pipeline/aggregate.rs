//! Aggregates: SQL over the rows just written, streamed, so that they need no more memory than their result.

use polars::prelude::*;

use super::flow::query_failed;
use super::meter::Meter;
use super::write::Outputs;
use crate::config::Pipeline;
use crate::job::{JobError, Stage};
use crate::sql;

/// Computes every aggregate of `pipeline` and writes it as `<name>.parquet`.
pub fn run(pipeline: &Pipeline, outputs: &mut Outputs<'_>, meter: &Meter<'_>) -> Result<(), JobError> {
    for aggregate in &pipeline.aggregates {
        let frame = meter.time(Stage::Aggregate, || compute(&aggregate.sql, outputs));
        let frame = frame.map_err(|error| query_failed(&error))?;
        meter.time(Stage::Write, || outputs.write_aggregate(&aggregate.name, &frame))?;
    }
    outputs.drop_spool()
}

fn compute(query: &str, outputs: &Outputs<'_>) -> PolarsResult<DataFrame> {
    let result = sql::run_aggregate(query, outputs.scan()?)?.collect_with_engine(Engine::Streaming)?;
    // Only a query with several sinks has several results, and `run_aggregate` lets none through.
    Ok(result.unwrap_single())
}
