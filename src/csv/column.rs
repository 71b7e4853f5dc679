//! One field of every sound record into one typed column.
//!
//! What holds for a column of any type: quotes, nulls, faults. The types are in [`super::builder`].

use std::collections::BTreeMap;
use std::ops::Range;

use super::builder::{self, Builder};
use super::header::Source;
use super::index::Index;
use super::reject::quoted;
use super::value::time::TimeReader;
use crate::config::{ColumnType, CsvOptions};
use crate::job::RejectReason;

/// The first fault of each faulty record, by its row in the [`Index`].
pub type Faults = BTreeMap<usize, Fault>;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the column.
    pub column: String,
    /// `bad_type` or `null_value`.
    pub reason: RejectReason,
    /// What was found and what was expected.
    pub detail: String,
}

/// Reads one column. Made once per file.
#[derive(Debug)]
pub struct ColumnReader {
    source: Source,
    quote: Option<u8>,
    null_values: Vec<Vec<u8>>,
    times: TimeReader,
}

/// A field without its quotes.
enum Text<'t> {
    Null,
    Value(&'t [u8]),
}

/// The chunk a column is read from.
#[derive(Clone, Copy)]
pub struct Fields<'t> {
    /// The chunk's bytes.
    pub text: &'t [u8],
    /// Its structure.
    pub index: &'t Index,
}

impl ColumnReader {
    /// Returns a reader for `source`.
    #[must_use]
    pub fn new(source: Source, options: &CsvOptions) -> Self {
        let times = match &source.column.kind {
            ColumnType::Date { format } | ColumnType::Time { format } => TimeReader::new(format.as_deref(), None),
            ColumnType::Datetime { format, time_zone } => TimeReader::new(format.as_deref(), *time_zone),
            ColumnType::String
            | ColumnType::Bool
            | ColumnType::Int(_)
            | ColumnType::UInt(_)
            | ColumnType::Float32
            | ColumnType::Float64
            | ColumnType::Decimal { .. } => TimeReader::new(None, None),
        };
        Self { source, quote: options.quote, null_values: options.null_values.clone(), times }
    }

    /// Returns the field number this column comes from, `None` if it is missing in the file.
    #[must_use]
    pub const fn field(&self) -> Option<usize> {
        self.source.field
    }

    /// Returns a builder of the column for up to `rows` rows.
    #[must_use]
    pub fn builder(&self, rows: usize) -> Box<dyn Builder + '_> {
        builder::of(self, rows)
    }

    /// Returns the column this reads.
    #[must_use]
    pub const fn column(&self) -> &crate::config::Column {
        &self.source.column
    }

    /// Returns how times of this column are read.
    #[must_use]
    pub const fn times(&self) -> &TimeReader {
        &self.times
    }

    /// Hands every row's value to `take`, which must append exactly one row, and answers `None`, without appending, to a
    /// value that is not of the type; the row then gets a null and a fault.
    pub(super) fn each(
        &self,
        fields: Fields<'_>,
        rows: Range<usize>,
        faults: &mut Faults,
        mut take: impl FnMut(Option<&[u8]>) -> Option<()>,
    ) {
        let Some(number) = self.source.field else { return };
        let mut scratch = Vec::new();
        // Nearly every chunk is plain: then a field is its value, and nothing is null.
        let plain = !fields.index.quoted && !self.source.column.trim && self.null_values.is_empty();
        for (row, field) in rows.clone().zip(fields.index.fields(fields.text, rows, number)) {
            if plain && !field.is_empty() && take(Some(field)).is_some() {
                continue;
            }
            let fault = match self.text(field, &mut scratch) {
                Text::Null if self.source.column.nullable => {
                    take(None);
                    continue;
                }
                Text::Null => self.null_fault(),
                Text::Value(value) => {
                    if !plain && take(Some(value)).is_some() {
                        continue;
                    }
                    self.type_fault(value)
                }
            };
            take(None);
            faults.entry(row).or_insert(fault);
        }
    }

    /// Takes the quotes off a field and decides whether it is null.
    fn text<'t>(&self, field: &'t [u8], scratch: &'t mut Vec<u8>) -> Text<'t> {
        let column = &self.source.column;
        let inner = match field.split_first() {
            Some((first, rest)) if Some(*first) == self.quote => {
                rest.strip_suffix(&[*first]).map(|inner| (*first, inner))
            }
            _ => None,
        };
        let Some((quote, inner)) = inner else {
            let value = if column.trim { field.trim_ascii() } else { field };
            let null = value.is_empty() || self.null_values.iter().any(|null| null == value);
            return if null { Text::Null } else { Text::Value(value) };
        };
        let value = if memchr::memchr(quote, inner).is_some() {
            undouble(inner, quote, scratch);
            scratch.as_slice()
        } else {
            inner
        };
        let value = if column.trim { value.trim_ascii() } else { value };
        // A quoted nothing is the empty string, and no value of any other type.
        if value.is_empty() && column.kind != ColumnType::String { Text::Null } else { Text::Value(value) }
    }

    fn null_fault(&self) -> Fault {
        Fault {
            column: self.source.column.name.clone(),
            reason: RejectReason::NullValue,
            detail: "null, but the column is not nullable".to_owned(),
        }
    }

    fn type_fault(&self, value: &[u8]) -> Fault {
        Fault {
            column: self.source.column.name.clone(),
            reason: RejectReason::BadType,
            detail: format!("{} is not {}", quoted(value), expected(&self.source.column.kind)),
        }
    }
}

/// Copies `inner` with doubled quotes made single.
fn undouble(inner: &[u8], quote: u8, scratch: &mut Vec<u8>) {
    scratch.clear();
    let mut rest = inner;
    while let Some(found) = memchr::memchr(quote, rest) {
        let (head, tail) = rest.split_at(found + 1);
        scratch.extend_from_slice(head);
        rest = tail.get(1..).unwrap_or_default();
    }
    scratch.extend_from_slice(rest);
}

/// Names a type as the config spells it, with its format.
fn expected(kind: &ColumnType) -> String {
    match kind {
        ColumnType::String => "string".to_owned(),
        ColumnType::Bool => "bool".to_owned(),
        ColumnType::Int(bits) => format!("int{bits}"),
        ColumnType::UInt(bits) => format!("uint{bits}"),
        ColumnType::Float32 => "float32".to_owned(),
        ColumnType::Float64 => "float64".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Date { format } => with_format("date", format.as_deref()),
        ColumnType::Time { format } => with_format("time", format.as_deref()),
        ColumnType::Datetime { format, .. } => with_format("datetime", format.as_deref()),
    }
}

fn with_format(kind: &str, format: Option<&str>) -> String {
    match format {
        Some(format) => format!("{kind} of format {format}"),
        None => format!("ISO 8601 {kind}"),
    }
}
