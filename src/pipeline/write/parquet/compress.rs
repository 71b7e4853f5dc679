//! Pages into compressed pages, with one zstd context per thread: making one costs more than compressing a small page.

use std::cell::RefCell;

use polars::prelude::*;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::page::{CompressedDictPage, DataPage, DictPage};
use polars_parquet::write::{CompressedDataPage, CompressedPage, CompressionOptions, Page, compress};
use zstd::bulk::Compressor;

/// Compresses one page. Data pages must be of version 1: those of version 2 keep their levels apart.
pub fn page(page: Page, compression: CompressionOptions) -> PolarsResult<CompressedPage> {
    let CompressionOptions::Zstd(level) = compression else { return Ok(compress(page, Vec::new(), compression)?) };
    let level = level.map(|level| level.compression_level()).unwrap_or_default();
    Ok(match page {
        Page::Data(page) => CompressedPage::Data(data(page, level, compression)?),
        Page::Dict(DictPage { buffer, num_values, is_sorted }) => {
            let packed = CowBuffer::Owned(zstd(&buffer, level)?);
            CompressedPage::Dict(CompressedDictPage::new(
                packed,
                compression.into(),
                buffer.len(),
                num_values,
                is_sorted,
            ))
        }
    })
}

fn data(page: DataPage, level: i32, compression: CompressionOptions) -> PolarsResult<CompressedDataPage> {
    let rows = page.num_rows.ok_or_else(|| polars_err!(ComputeError: "a page without a number of rows"))?;
    let packed = CowBuffer::Owned(zstd(page.buffer(), level)?);
    let (header, bytes) = (page.header().clone(), page.buffer().len());
    Ok(CompressedDataPage::new(header, packed, compression.into(), bytes, page.descriptor, rows))
}

thread_local! {
    /// The context of this thread and its level.
    static CONTEXT: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
}

fn zstd(bytes: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    CONTEXT.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some((of, context)) if of == level => context,
            _ => Compressor::new(level)?,
        };
        let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
        context.compress_to_buffer(bytes, &mut packed)?;
        *kept = Some((level, context));
        Ok(packed)
    })
}
