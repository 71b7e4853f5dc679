//! Typed columns, grown some rows at a time: straight into the buffers Polars will hold.
//!
//! Column by column, not row by row, so that the loop for one type is tight; a tile of rows at a time, so that their text is
//! still in the cache for the next column.

use std::ops::Range;

use polars::prelude::*;
use polars_arrow::array::BooleanArray;
use polars_arrow::bitmap::{Bitmap, BitmapBuilder};

use super::column::{ColumnReader, Faults, Fields};
use super::value::{self, decimal::decimal, float::float64, number};
use crate::config::ColumnType;

/// Rows whose text and index stay in the second-level cache while all their columns are read.
pub const TILE_ROWS: usize = 1024;

/// Grows one column.
pub trait Builder {
    /// Appends `rows` of the chunk; rows at fault hold a null and are told in `faults`.
    fn append(&mut self, fields: Fields<'_>, rows: Range<usize>, faults: &mut Faults);

    /// Returns the column.
    fn finish(self: Box<Self>) -> PolarsResult<Column>;
}

/// Returns a builder for what `reader` reads, with room for `rows`.
pub(super) fn of(reader: &ColumnReader, rows: usize) -> Box<dyn Builder + '_> {
    let kind = &reader.column().kind;
    if reader.field().is_none() {
        return Box::new(Missing { reader, rows: 0 });
    }
    match kind {
        ColumnType::String => Box::new(Strings { reader, values: StringChunkedBuilder::new(PlSmallStr::EMPTY, rows) }),
        ColumnType::Bool => bools(reader, rows),
        ColumnType::Int(8) => numbers::<Int8Type>(reader, rows, |text| number::signed(text)?.try_into().ok()),
        ColumnType::Int(16) => numbers::<Int16Type>(reader, rows, |text| number::signed(text)?.try_into().ok()),
        ColumnType::Int(32) => numbers::<Int32Type>(reader, rows, |text| number::signed(text)?.try_into().ok()),
        ColumnType::Int(_) => numbers::<Int64Type>(reader, rows, number::signed),
        ColumnType::UInt(8) => numbers::<UInt8Type>(reader, rows, |text| number::unsigned(text)?.try_into().ok()),
        ColumnType::UInt(16) => numbers::<UInt16Type>(reader, rows, |text| number::unsigned(text)?.try_into().ok()),
        ColumnType::UInt(32) => numbers::<UInt32Type>(reader, rows, |text| number::unsigned(text)?.try_into().ok()),
        ColumnType::UInt(_) => numbers::<UInt64Type>(reader, rows, number::unsigned),
        ColumnType::Float32 => numbers::<Float32Type>(reader, rows, point(reader, number::float32)),
        ColumnType::Float64 => numbers::<Float64Type>(reader, rows, point(reader, float64)),
        ColumnType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            let parse = point(reader, move |text: &[u8]| decimal(text, precision, scale));
            Box::new(Values::new(reader, rows, parse, move |values, validity| {
                let digits = Int128Chunked::from_vec_validity(PlSmallStr::EMPTY, values, validity);
                Ok(digits.into_decimal(usize::from(precision), usize::from(scale))?.into_series())
            }))
        }
        ColumnType::Date { .. } => numbers::<Int32Type>(reader, rows, |text| reader.times().date(text)),
        ColumnType::Time { .. } => numbers::<Int64Type>(reader, rows, |text| reader.times().time(text)),
        ColumnType::Datetime { .. } => numbers::<Int64Type>(reader, rows, |text| reader.times().datetime(text)),
    }
}

fn numbers<'r, T: PolarsNumericType>(
    reader: &'r ColumnReader,
    rows: usize,
    parse: impl Fn(&[u8]) -> Option<T::Native> + 'r,
) -> Box<dyn Builder + 'r>
where
    ChunkedArray<T>: IntoSeries,
{
    Box::new(Values::new(reader, rows, parse, |values, validity| {
        Ok(ChunkedArray::<T>::from_vec_validity(PlSmallStr::EMPTY, values, validity).into_series())
    }))
}

/// Packs one byte per value into one bit.
fn bools(reader: &ColumnReader, rows: usize) -> Box<dyn Builder + '_> {
    Box::new(Values::new(reader, rows, value::bool, |values, validity| {
        let bits = BooleanArray::new(ArrowDataType::Boolean, Bitmap::from_iter(values), validity);
        Ok(BooleanChunked::with_chunk(PlSmallStr::EMPTY, bits).into_series())
    }))
}

/// Wraps a parser of `1.5` so that it reads `1,5` if the column says so.
fn point<'r, N>(reader: &'r ColumnReader, parse: impl Fn(&[u8]) -> Option<N> + 'r) -> impl Fn(&[u8]) -> Option<N> + 'r {
    let comma = reader.column().decimal_comma;
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

/// Values of one native type; times among them, which are stored as the integers they are.
struct Values<'r, N, P, S> {
    reader: &'r ColumnReader,
    parse: P,
    into_series: S,
    collected: Vec<N>,
    validity: Validity,
}

impl<'r, N, P, S> Values<'r, N, P, S>
where
    P: Fn(&[u8]) -> Option<N>,
    S: FnOnce(Vec<N>, Option<Bitmap>) -> PolarsResult<Series>,
{
    fn new(reader: &'r ColumnReader, rows: usize, parse: P, into_series: S) -> Self {
        Self { reader, parse, into_series, collected: Vec::with_capacity(rows), validity: Validity(None) }
    }
}

impl<N, P, S> Builder for Values<'_, N, P, S>
where
    N: Default,
    P: Fn(&[u8]) -> Option<N>,
    S: FnOnce(Vec<N>, Option<Bitmap>) -> PolarsResult<Series>,
{
    fn append(&mut self, fields: Fields<'_>, rows: Range<usize>, faults: &mut Faults) {
        let Self { reader, parse, collected, validity, .. } = self;
        reader.each(fields, rows, faults, |text| {
            let value = match text {
                None => None,
                Some(text) => Some(parse(text)?),
            };
            validity.push(value.is_some(), collected.len());
            collected.push(value.unwrap_or_default());
            Some(())
        });
    }

    fn finish(self: Box<Self>) -> PolarsResult<Column> {
        let Self { reader, into_series, collected, validity, .. } = *self;
        let series = into_series(collected, validity.0.map(BitmapBuilder::freeze))?;
        let column = reader.column();
        // Times get their name here; for every other type this changes nothing.
        Ok(series.cast(&column.kind.dtype())?.with_name(column.name.as_str().into()).into_column())
    }
}

/// Which values are there. Most columns have no null: no bit is kept before the first.
struct Validity(Option<BitmapBuilder>);

impl Validity {
    /// Tells whether the value behind `before` others is there.
    #[inline]
    fn push(&mut self, valid: bool, before: usize) {
        if let Some(bits) = &mut self.0 {
            bits.push(valid);
        } else if !valid {
            let mut bits = BitmapBuilder::with_capacity(before + TILE_ROWS);
            bits.extend_constant(before, true);
            bits.push(false);
            self.0 = Some(bits);
        }
    }
}

struct Strings<'r> {
    reader: &'r ColumnReader,
    values: StringChunkedBuilder,
}

impl Builder for Strings<'_> {
    fn append(&mut self, fields: Fields<'_>, rows: Range<usize>, faults: &mut Faults) {
        let Self { reader, values } = self;
        reader.each(fields, rows, faults, |text| {
            match text {
                None => values.append_null(),
                // Sound records are valid UTF-8, and field ends are ASCII bytes.
                Some(text) => values.append_value(std::str::from_utf8(text).ok()?),
            }
            Some(())
        });
    }

    fn finish(self: Box<Self>) -> PolarsResult<Column> {
        let name = self.reader.column().name.as_str().into();
        Ok(self.values.finish().with_name(name).into_column())
    }
}

/// A column the file does not have: null in every row.
struct Missing<'r> {
    reader: &'r ColumnReader,
    rows: usize,
}

impl Builder for Missing<'_> {
    fn append(&mut self, _fields: Fields<'_>, rows: Range<usize>, _faults: &mut Faults) {
        self.rows += rows.len();
    }

    fn finish(self: Box<Self>) -> PolarsResult<Column> {
        let column = self.reader.column();
        Ok(Column::full_null(column.name.as_str().into(), self.rows, &column.kind.dtype()))
    }
}
