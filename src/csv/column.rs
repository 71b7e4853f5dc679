//! One field of every sound record into one typed column.
//!
//! Column by column, not row by row: the loop for one type is tight, and the first fault of a record is the leftmost
//! because fields are read from the left.

use std::collections::BTreeMap;

use polars::prelude::*;
use polars_arrow::bitmap::{Bitmap, BitmapBuilder};

use super::header::Source;
use super::index::Index;
use super::reject::quoted;
use super::value::{self, decimal::decimal, number, time::TimeReader};
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

    /// Returns the column; rows at fault hold a null and are told in `faults`.
    pub fn read(&self, fields: Fields<'_>, faults: &mut Faults) -> PolarsResult<Column> {
        let name = PlSmallStr::from_str(&self.source.column.name);
        let kind = &self.source.column.kind;
        if self.source.field.is_none() {
            return Ok(Column::full_null(name, fields.index.len(), &kind.dtype()));
        }
        let series = match kind {
            ColumnType::String => self.strings(fields, faults).into_series(),
            ColumnType::Bool => self.bools(fields, faults).into_series(),
            ColumnType::Int(8) => {
                self.numbers::<Int8Type>(fields, faults, |text| number::signed(text)?.try_into().ok())
            }
            ColumnType::Int(16) => {
                self.numbers::<Int16Type>(fields, faults, |text| number::signed(text)?.try_into().ok())
            }
            ColumnType::Int(32) => {
                self.numbers::<Int32Type>(fields, faults, |text| number::signed(text)?.try_into().ok())
            }
            ColumnType::Int(_) => self.numbers::<Int64Type>(fields, faults, number::signed),
            ColumnType::UInt(8) => {
                self.numbers::<UInt8Type>(fields, faults, |text| number::unsigned(text)?.try_into().ok())
            }
            ColumnType::UInt(16) => {
                self.numbers::<UInt16Type>(fields, faults, |text| number::unsigned(text)?.try_into().ok())
            }
            ColumnType::UInt(32) => {
                self.numbers::<UInt32Type>(fields, faults, |text| number::unsigned(text)?.try_into().ok())
            }
            ColumnType::UInt(_) => self.numbers::<UInt64Type>(fields, faults, number::unsigned),
            ColumnType::Float32 => self.numbers::<Float32Type>(fields, faults, self.point(number::float32)),
            ColumnType::Float64 => self.numbers::<Float64Type>(fields, faults, self.point(number::float64)),
            ColumnType::Decimal { precision, scale } => {
                let (precision, scale) = (*precision, *scale);
                let parse = self.point(move |text: &[u8]| decimal(text, precision, scale));
                let (values, validity) = self.values(fields, faults, parse);
                let digits = Int128Chunked::from_vec_validity(name.clone(), values, validity);
                digits.into_decimal(usize::from(precision), usize::from(scale))?.into_series()
            }
            ColumnType::Date { .. } => self.times::<Int32Type>(fields, faults, |text| self.times.date(text))?,
            ColumnType::Time { .. } => self.times::<Int64Type>(fields, faults, |text| self.times.time(text))?,
            ColumnType::Datetime { .. } => self.times::<Int64Type>(fields, faults, |text| self.times.datetime(text))?,
        };
        Ok(series.with_name(name).into_column())
    }

    fn numbers<T: PolarsNumericType>(
        &self,
        fields: Fields<'_>,
        faults: &mut Faults,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> Series
    where
        ChunkedArray<T>: IntoSeries,
    {
        let (values, validity) = self.values(fields, faults, parse);
        ChunkedArray::<T>::from_vec_validity(PlSmallStr::EMPTY, values, validity).into_series()
    }

    /// Times are stored as the integers they are; the cast only changes the type's name.
    fn times<T: PolarsNumericType>(
        &self,
        fields: Fields<'_>,
        faults: &mut Faults,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
    ) -> PolarsResult<Series>
    where
        ChunkedArray<T>: IntoSeries,
    {
        self.numbers::<T>(fields, faults, parse).cast(&self.source.column.kind.dtype())
    }

    fn values<N: Default>(
        &self,
        fields: Fields<'_>,
        faults: &mut Faults,
        parse: impl Fn(&[u8]) -> Option<N>,
    ) -> (Vec<N>, Option<Bitmap>) {
        let mut values = Vec::with_capacity(fields.index.len());
        let mut validity = BitmapBuilder::with_capacity(fields.index.len());
        self.each(fields, faults, |value| {
            let value = match value {
                None => None,
                Some(text) => Some(parse(text)?),
            };
            validity.push(value.is_some());
            values.push(value.unwrap_or_default());
            Some(())
        });
        (values, validity.into_opt_validity())
    }

    fn bools(&self, fields: Fields<'_>, faults: &mut Faults) -> BooleanChunked {
        let (values, validity) = self.values(fields, faults, value::bool);
        let valid = |row: usize| validity.as_ref().is_none_or(|bits| bits.get(row) == Some(true));
        values.into_iter().enumerate().map(|(row, value)| valid(row).then_some(value)).collect()
    }

    fn strings(&self, fields: Fields<'_>, faults: &mut Faults) -> StringChunked {
        let mut builder = StringChunkedBuilder::new(PlSmallStr::EMPTY, fields.index.len());
        self.each(fields, faults, |value| {
            match value {
                None => builder.append_null(),
                // Sound records are valid UTF-8, and field ends are ASCII bytes.
                Some(text) => builder.append_value(std::str::from_utf8(text).ok()?),
            }
            Some(())
        });
        builder.finish()
    }

    /// Hands every row's value to `take`, which must append exactly one row, and answers `None`, without appending, to a
    /// value that is not of the type; the row then gets a null and a fault.
    fn each(&self, fields: Fields<'_>, faults: &mut Faults, mut take: impl FnMut(Option<&[u8]>) -> Option<()>) {
        let Some(number) = self.source.field else { return };
        let mut scratch = Vec::new();
        for row in 0..fields.index.len() {
            let field = fields.index.field(fields.text, row, number);
            let fault = match self.text(field, &mut scratch) {
                Text::Null if self.source.column.nullable => {
                    take(None);
                    continue;
                }
                Text::Null => self.null_fault(),
                Text::Value(value) => {
                    if take(Some(value)).is_some() {
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

    /// Wraps a parser of `1.5` so that it reads `1,5` if the column says so.
    fn point<N>(&self, parse: impl Fn(&[u8]) -> Option<N>) -> impl Fn(&[u8]) -> Option<N> {
        let comma = self.source.column.decimal_comma;
        move |text| {
            if !comma {
                return parse(text);
            }
            if text.contains(&b'.') {
                return None;
            }
            let pointed: Vec<u8> = text.iter().map(|byte| if *byte == b',' { b'.' } else { *byte }).collect();
            parse(&pointed)
        }
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
