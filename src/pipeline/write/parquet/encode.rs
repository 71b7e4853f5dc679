//! A column of a row group into compressed pages. No I/O: the bytes depend on the rows alone.

use polars::prelude::*;
use polars_parquet::write::{
    CompressedPage, DynIter, Encoding, Page, ParquetType, WriteOptions, array_to_columns, get_dtype_encoding,
};

use super::dictionary::{self, Choice};
use super::{compress, indices};

/// The pages of each leaf of one column.
pub type Pages = Vec<Vec<CompressedPage>>;

/// Encodes and compresses one column of a row group.
pub fn column(column: &Column, kind: &ParquetType, options: WriteOptions) -> PolarsResult<Pages> {
    let series = column.as_materialized_series();
    let pieces: Vec<_> = (0..series.n_chunks()).map(|piece| series.to_arrow(piece, CompatLevel::newest())).collect();
    let compressed = |page: PolarsResult<_>| compress::page(page?, options.compression);
    let leaves = match dictionary::choose(&pieces) {
        Choice::Dictionary(dictionary) => {
            let pages = indices::pages(&dictionary, kind, options)?;
            return Ok(vec![pages.into_iter().map(Ok).map(compressed).collect::<PolarsResult<_>>()?]);
        }
        Choice::Plain => encode(whole(series), kind, options, &[Encoding::Plain]),
        Choice::Unjudged => {
            let whole = whole(series);
            let encodings = get_dtype_encoding(whole.dtype());
            encode(whole, kind, options, &encodings)
        }
    };
    leaves?.into_iter().map(|pages| pages.map(compressed).collect()).collect()
}

/// The encodings are one for each leaf of the column's type.
fn encode(
    array: ArrayRef,
    kind: &ParquetType,
    options: WriteOptions,
    encodings: &[Encoding],
) -> PolarsResult<Vec<DynIter<'static, PolarsResult<Page>>>> {
    array_to_columns(array, kind.clone(), options, encodings)
}

fn whole(series: &Series) -> ArrayRef {
    series.rechunk().to_arrow(0, CompatLevel::newest())
}
