//! The parts of the reader and the writer, each alone and in memory: `cargo bench --bench parts`. Reading is on one thread;
//! Polars encodes the columns of a row group on all.
//!
//! `cargo bench --bench parts -- values` runs what has `values` in its name. The text is made here, the same every time.
#![expect(clippy::unwrap_used, reason = "a broken benchmark should stop at once")]

mod data;
mod rows;
mod structure;
mod values;
mod write;

use std::time::Duration;

use criterion::Criterion;

/// Enough for a few percent, and the whole of it ends within three minutes.
const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let criterion = Criterion::default().sample_size(30).warm_up_time(SECOND).measurement_time(3 * SECOND);
    let mut criterion = criterion.configure_from_args();
    structure::bench(&mut criterion);
    values::bench(&mut criterion);
    rows::bench(&mut criterion);
    write::bench(&mut criterion);
    criterion.final_summary();
}
