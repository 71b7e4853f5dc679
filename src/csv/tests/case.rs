//! One question put to both readers, and their answer.

use std::collections::BTreeMap;
use std::fmt;

use super::values::Cell;
use crate::config::{Column, CsvOptions, Drift};
use crate::job::{DriftKind, QuarantineReason, RejectReason};

/// A text and how it is to be read.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) text: Vec<u8>,
    pub(super) csv: CsvOptions,
    pub(super) columns: Vec<Column>,
    pub(super) drift: Drift,
    /// Bytes of a byte order mark that were taken off before.
    pub(super) bom: u64,
}

/// What both readers must agree on.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// Why the whole file is refused: then nothing else counts.
    pub(super) refused: Option<QuarantineReason>,
    pub(super) drift: BTreeMap<DriftKind, u64>,
    /// Names of the columns.
    pub(super) names: Vec<String>,
    /// Values of sound records; `None` is null.
    pub(super) rows: Vec<Vec<Option<Cell>>>,
    pub(super) rejects: Vec<Rejected>,
    pub(super) records: u64,
    pub(super) lines: u64,
    pub(super) blank_lines: u64,
}

impl Reading {
    /// Without a record nobody is told of lines.
    pub(super) fn told(mut self) -> Self {
        if self.records == 0 {
            self.lines = 0;
        }
        self
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) record: u64,
    pub(super) line: u64,
    pub(super) offset: u64,
    pub(super) column: Option<String>,
    pub(super) reason: RejectReason,
    pub(super) raw: Vec<u8>,
}

impl Rejected {
    /// Stands for the offset nobody knows.
    pub(super) const NO_OFFSET: u64 = u64::MAX;
}

impl fmt::Debug for Case {
    /// Short enough to be read, whole enough to be made a test of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "text: b\"{}\"", self.text.escape_ascii())?;
        writeln!(f, "csv: {:?}", self.csv)?;
        for column in &self.columns {
            writeln!(f, "column: {column:?}")?;
        }
        write!(f, "drift: {:?}, bom: {}", self.drift, self.bom)
    }
}
