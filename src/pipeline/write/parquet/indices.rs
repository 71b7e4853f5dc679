//! A dictionary and its indices as Parquet pages: the format's hybrid of repeated values and packed bits.
//!
//! Polars' own writer goes value by value through an iterator and looks for repetitions of eight; here whole stretches are
//! one or the other, which is several times faster and, after compression, as small.

use polars::prelude::*;
use polars_arrow::bitmap::Bitmap;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::encoding::{bitpacked, ceil8, uleb128};
use polars_parquet::parquet::page::{DataPage, DataPageHeader, DataPageHeaderV1, DictPage};
use polars_parquet::write::{Encoding, Page, ParquetType, Version, WriteOptions, array_to_columns, write_def_levels};

use super::dictionary::Dictionary;

/// Indices per stretch; a multiple of those packed at once.
const STRETCH: usize = 8 << 10;

/// Indices packed at once.
const BLOCK: usize = 32;

/// Returns the dictionary page and the data page of a column that may hold nulls.
pub fn pages(dictionary: &Dictionary, kind: &ParquetType, options: WriteOptions) -> PolarsResult<[Page; 2]> {
    let Dictionary { values, keys, valid } = dictionary;
    let rows = valid.as_ref().map_or(keys.len(), Bitmap::len);
    // The distinct values as Polars would write them: their bytes are the dictionary, their extremes those of the column.
    let plain = array_to_columns(values.clone(), kind.clone(), options, &[Encoding::Plain])?;
    let Some(Page::Data(page)) = plain.into_iter().flatten().next().transpose()? else { return Err(not_plain()) };
    let DataPageHeader::V1(header) = page.header() else { return Err(not_plain()) };
    let statistics = header.statistics.clone().map(|mut statistics| {
        statistics.null_count = statistics.null_count.map(|_| count(rows - keys.len()));
        statistics
    });
    let dictionary = DictPage::new(CowBuffer::Owned(without_levels(page.buffer())?.to_vec()), values.len(), false);

    let mut buffer = Vec::with_capacity(rows * 2);
    write_def_levels(&mut buffer, true, valid.as_ref(), rows, Version::V1)?;
    let width = width(values.len());
    buffer.push(u8::try_from(width).map_err(|_| not_plain())?);
    pack(keys, width, &mut buffer);
    let header = DataPageHeaderV1 {
        num_values: i32::try_from(rows).map_err(|_| not_plain())?,
        encoding: Encoding::RleDictionary.into(),
        definition_level_encoding: Encoding::Rle.into(),
        repetition_level_encoding: Encoding::Rle.into(),
        statistics,
    };
    let data = DataPage::new(DataPageHeader::V1(header), CowBuffer::Owned(buffer), page.descriptor, rows);
    Ok([Page::Dict(dictionary), Page::Data(data)])
}

fn count(nulls: usize) -> i64 {
    i64::try_from(nulls).unwrap_or(i64::MAX)
}

fn not_plain() -> PolarsError {
    polars_err!(ComputeError: "a column of numbers is not written as one plain page")
}

/// Returns the values of a plain page; its levels come first, after their length.
fn without_levels(buffer: &[u8]) -> PolarsResult<&[u8]> {
    let (length, rest) = buffer.split_first_chunk::<4>().ok_or_else(not_plain)?;
    rest.get(u32::from_le_bytes(*length) as usize..).ok_or_else(not_plain)
}

/// Returns the bits of an index, at least one: some readers stumble over none.
fn width(distinct: usize) -> usize {
    (usize::BITS - distinct.saturating_sub(1).leading_zeros()).max(1) as usize
}

/// Appends indices of `width` bits.
fn pack(keys: &[u32], width: usize, out: &mut Vec<u8>) {
    for stretch in keys.chunks(STRETCH) {
        let first = stretch.first().copied().unwrap_or_default();
        if stretch.iter().all(|key| *key == first) {
            begin(stretch.len() << 1, out);
            out.extend(first.to_le_bytes().iter().take(ceil8(width)));
            continue;
        }
        begin(ceil8(stretch.len()) << 1 | 1, out);
        for block in stretch.chunks(BLOCK) {
            let mut packed = [0; BLOCK * size_of::<u32>()];
            bitpacked::encode_pack(block, width, &mut packed);
            out.extend(packed.iter().take(ceil8(block.len()) * width));
        }
    }
}

/// Appends the head of a stretch.
fn begin(head: usize, out: &mut Vec<u8>) {
    let mut bytes = [0; 10];
    let used = uleb128::encode(head as u64, &mut bytes);
    out.extend(bytes.iter().take(used));
}

#[cfg(test)]
mod tests {
    use polars_parquet::parquet::encoding::hybrid_rle::HybridRleDecoder;
    use proptest::prelude::*;

    use super::*;

    fn unpack(bytes: &[u8], width: usize, keys: usize) -> Vec<u32> {
        HybridRleDecoder::new(bytes, u32::try_from(width).unwrap(), keys).collect().unwrap()
    }

    #[test]
    fn an_index_has_as_many_bits_as_it_takes() {
        assert_eq!([1, 2, 3, 4, 5, 256, 257].map(width), [1, 1, 2, 2, 3, 8, 9]);
    }

    proptest! {
        #[test]
        fn indices_are_read_back(
            distinct in 1_u32..70_000, seed: u64, length in 0_usize..40_000, still in 0_usize..3,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            // Stretches that repeat one value, and others.
            let mut keys: Vec<u32> = (0..length).map(|_| random.u32(0..distinct)).collect();
            keys.chunks_mut(STRETCH).skip(still).step_by(2).for_each(|stretch| stretch.fill(distinct - 1));
            let mut packed = Vec::new();
            pack(&keys, width(distinct as usize), &mut packed);
            prop_assert_eq!(unpack(&packed, width(distinct as usize), keys.len()), keys);
        }
    }
}
