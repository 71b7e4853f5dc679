//! Reading what was published.

use std::path::Path;

use polars::prelude::*;

/// Returns the frame in a Parquet file.
#[track_caller]
pub(crate) fn read_parquet(path: &Path) -> DataFrame {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    ParquetReader::new(file).finish().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A rejected row: `(record, line, column, reason, rule)`.
pub(crate) type Rejected = (u64, u64, Option<String>, String, Option<String>);

/// Returns the rejects of an output directory.
#[track_caller]
pub(crate) fn rejects(directory: &Path) -> Vec<Rejected> {
    let frame = read_parquet(&directory.join("rejects.parquet"));
    let number = |name: &str, row: usize| -> u64 {
        frame.column(name).unwrap().get(row).unwrap().extract().unwrap_or_else(|| panic!("{name} of {row} is null"))
    };
    let text = |name: &str, row: usize| -> Option<String> {
        let value = frame.column(name).unwrap().get(row).unwrap();
        (!value.is_null()).then(|| value.str_value().into_owned())
    };
    (0..frame.height())
        .map(|row| {
            let reason = text("reason", row).unwrap_or_else(|| panic!("no reason in {row}"));
            (number("record", row), number("line", row), text("column", row), reason, text("rule", row))
        })
        .collect()
}
