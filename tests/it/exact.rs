//! Exactness from outside: files whose right answer others know, through the real program.

mod csvlint;
mod encodings;
mod spectrum;
mod threads;
mod truth;

use std::path::Path;

use crate::support::{Project, Published, published_under, read_parquet};

/// A pipeline that takes every column of a file as text.
const AS_TEXT: &str = "[pipelines.p.drift]\nextra = \"keep\"\n[pipelines.p.accept]\nmax_reject_ratio = 1.0\n";

/// Runs `once` over a file where it lies; the project goes with what it published.
fn once(config: &str, file: &Path) -> (Project, Published) {
    let project = Project::new(config);
    project.cli().args(["once", "-p", "p", "--out", "out"]).arg(file).run().expect_code(0);
    let published = published_under(&project.path("out")).remove(0);
    (project, published)
}

/// Returns names and values of `rows.parquet`, all of whose columns are text.
fn texts(published: &Published) -> (Vec<String>, Vec<Vec<Option<String>>>) {
    let frame = read_parquet(&published.path.join("rows.parquet"));
    let names = frame.get_column_names().into_iter().map(ToString::to_string).collect();
    let columns: Vec<_> = frame.columns().iter().map(|column| column.str().unwrap()).collect();
    let row = |row| columns.iter().map(|column| column.get(row).map(str::to_owned)).collect();
    (names, (0..frame.height()).map(row).collect())
}
