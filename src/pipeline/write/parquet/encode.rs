//! A column of a row group into compressed pages. No I/O: the bytes depend on the rows alone.

use polars::prelude::*;
use polars_arrow::datatypes::PhysicalType;
use polars_parquet::write::{
    CompressedPage, Encoding, ParquetType, WriteOptions, array_to_columns, compress, get_dtype_encoding,
};

use super::dictionary;

/// The pages of each leaf of one column.
pub type Pages = Vec<Vec<CompressedPage>>;

/// Encodes and compresses one column of a row group.
pub fn column(column: &Column, kind: &ParquetType, options: WriteOptions) -> PolarsResult<Pages> {
    let array = column.as_materialized_series().rechunk().to_arrow(0, CompatLevel::newest());
    let leaves = if let Some(dictionary) = dictionary::of(array.as_ref()) {
        array_to_columns(dictionary.boxed(), kind.clone(), options, &[Encoding::RleDictionary])?
    } else {
        array_to_columns(&array, kind.clone(), options, &encodings(array.dtype()))?
    };
    let compressed = |page: PolarsResult<_>| Ok(compress(page?, Vec::new(), options.compression)?);
    leaves.into_iter().map(|pages| pages.map(compressed).collect()).collect()
}

/// Returns the encoding of each leaf: Polars may still find a dictionary for those we do not judge.
fn encodings(dtype: &ArrowDataType) -> Vec<Encoding> {
    let judged = matches!(dtype.to_physical_type(), PhysicalType::Primitive(kind) if dictionary::judges(kind));
    if judged { vec![Encoding::Plain] } else { get_dtype_encoding(dtype) }
}
