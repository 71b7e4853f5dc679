//! Rows split into Hive partitions: `day=2015-01-01/rows.parquet`, without the partition columns inside.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use polars::prelude::*;

use super::rows::{RowWriter, file_name};
use super::sink::Staging;
use crate::config::Rows;
use crate::job::{JobError, OutputFile, QuarantineReason};
use crate::pipeline::flow::query_failed;

/// Partitions one file may have: each keeps a file and a row group open.
const MAX_PARTITIONS: usize = 1000;

/// Bytes a file system allows in one name.
const MAX_NAME: usize = 255;

/// The name Hive gives to a null, known to `DuckDB`, Spark and Polars.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Writes each partition to its own file.
pub struct PartitionWriter<'p> {
    staging: Staging<'p>,
    rows: Rows,
    open: BTreeMap<String, RowWriter<'p>>,
}

impl<'p> PartitionWriter<'p> {
    /// Creates no file until its first rows.
    #[must_use]
    pub const fn new(staging: Staging<'p>, rows: Rows) -> Self {
        Self { staging, rows, open: BTreeMap::new() }
    }

    /// Appends rows to their partitions, keeping their order within each.
    pub fn write(&mut self, frame: &DataFrame) -> Result<(), JobError> {
        if frame.height() == 0 {
            return Ok(());
        }
        let keys = self.rows.partition_by.clone();
        let parts =
            frame.partition_by_stable(keys.iter().map(String::as_str), true).map_err(|error| query_failed(&error))?;
        for part in parts {
            let directory = directory(&part, &keys).map_err(|error| query_failed(&error))?;
            check_length(&directory)?;
            let part = part.drop_many(keys.iter().map(String::as_str));
            self.writer(directory, part.schema())?.write(&part)?;
        }
        Ok(())
    }

    fn writer(&mut self, directory: String, schema: &Schema) -> Result<&mut RowWriter<'p>, JobError> {
        if !self.open.contains_key(&directory) && self.open.len() >= MAX_PARTITIONS {
            return Err(JobError::refuse(
                QuarantineReason::Query,
                format!("rows.partition_by gives more than {MAX_PARTITIONS} partitions in one file"),
                "partition by a column of fewer values, for instance a day instead of a time",
            ));
        }
        match self.open.entry(directory) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let name = format!("{}/{}", entry.key(), file_name(&self.rows));
                Ok(entry.insert(RowWriter::new(&self.staging, &name, &self.rows, schema)?))
            }
        }
    }

    /// Ends all files and returns their facts by path.
    pub fn finish(self) -> Result<BTreeMap<String, OutputFile>, JobError> {
        let name = file_name(&self.rows);
        self.open.into_iter().map(|(directory, writer)| Ok((format!("{directory}/{name}"), writer.finish()?))).collect()
    }
}

/// A value that makes no folder name is the file's fault, not the disk's.
fn check_length(directory: &str) -> Result<(), JobError> {
    if directory.split('/').all(|level| level.len() <= MAX_NAME) {
        return Ok(());
    }
    Err(JobError::refuse(
        QuarantineReason::Query,
        format!("rows.partition_by gives a folder name of more than {MAX_NAME} bytes"),
        "partition by a column of short values",
    ))
}

/// Returns `a=1/b=x` for a frame whose rows share these values.
fn directory(part: &DataFrame, keys: &[String]) -> PolarsResult<String> {
    let levels = keys.iter().map(|key| {
        let value = part.column(key)?.get(0)?;
        let value = match value.get_str() {
            // A text that spells the null must not read back as one.
            Some(NULL_VALUE) => NULL_VALUE.replacen('_', "%5F", 1),
            Some(text) => encode(text),
            None if value.is_null() => NULL_VALUE.to_owned(),
            None => encode(&value.to_string()),
        };
        Ok(format!("{}={value}", encode(key)))
    });
    Ok(levels.collect::<PolarsResult<Vec<_>>>()?.join("/"))
}

/// Percent-encodes what could leave the directory or confuse a reader of it.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b' ' => encoded.push(char::from(byte)),
            b'.' if !encoded.is_empty() => encoded.push('.'),
            // Writing to a string cannot fail.
            _ => write!(encoded, "%{byte:02X}").unwrap_or_default(),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_harmless_directory_names() {
        assert_eq!(encode("2015-01-01"), "2015-01-01");
        assert_eq!(encode("a/b=c"), "a%2Fb%3Dc");
        assert_eq!(encode(".."), "%2E.");
        assert_eq!(encode("é"), "%C3%A9");
        assert_eq!(encode("1.5"), "1.5");
    }

    #[test]
    fn nulls_and_several_keys_are_named_as_hive_does() {
        let frame = df!("day" => ["2015-01-01"], "n" => [None::<i64>]).unwrap();
        let keys = ["day".to_owned(), "n".to_owned()];
        assert_eq!(directory(&frame, &keys).unwrap(), "day=2015-01-01/n=__HIVE_DEFAULT_PARTITION__");
    }
}
