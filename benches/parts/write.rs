//! One row group of taxi rows into a Parquet file: encoding, compression, hash and the copy into the page cache.

use criterion::{Criterion, Throughput};
use forebay::config::{Compression, RowFormat, Rows};
use forebay::pipeline::write::rows::RowWriter;
use forebay::pipeline::write::sink::Staging;
use polars::prelude::DataFrame;

use crate::data::{self, Kind};

/// Rows of the product's row group, as it was when this was written; more than one would measure two.
const GROUP_ROWS: usize = 128 << 10;

pub(crate) fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let staging = Staging::new(folder.path().to_owned(), &|_| {});
    let frame = row_group();
    let mut group = criterion.benchmark_group("row group");
    group.throughput(Throughput::Elements(frame.height() as u64)).sample_size(20);
    for (name, compression) in [("zstd", Compression::Zstd), ("uncompressed", Compression::None)] {
        let rows = Rows { format: RowFormat::Parquet, compression, partition_by: Vec::new() };
        group.bench_function(name, |bencher| bencher.iter(|| write(&staging, &rows, &frame)));
    }
    group.finish();
}

fn write(staging: &Staging<'_>, rows: &Rows, frame: &DataFrame) {
    const NAME: &str = "rows.parquet";
    let mut writer = RowWriter::new(staging, NAME, rows, frame.schema()).unwrap();
    writer.write(frame).unwrap();
    writer.finish().unwrap();
    staging.remove(NAME).unwrap();
}

fn row_group() -> DataFrame {
    let pipeline = data::taxi_pipeline();
    let parser = data::taxi_parser(&pipeline);
    parser.parse(data::chunk(data::taxi_records(Kind::Clean, GROUP_ROWS))).unwrap().frame
}
