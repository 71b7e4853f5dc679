//! Where records and fields end, and what the header says.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use forebay::csv::index::Index;
use forebay::csv::{Blocks, Header};
use forebay::pipeline::flow::BLOCK_BYTES;

use crate::data::{self, HEADER, Kind, WIDTH};

pub(crate) fn bench(criterion: &mut Criterion) {
    records(criterion);
    fields(criterion);
    header(criterion);
}

/// Text into chunks of whole records, the copy out of the source included.
fn records(criterion: &mut Criterion) {
    let dialect = data::dialect(&data::taxi_pipeline());
    let mut group = criterion.benchmark_group("records");
    for (name, kind) in [("plain", Kind::Clean), ("quoted", Kind::Quoted)] {
        let text = data::taxi(kind).repeat(4);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            let mut spare = Vec::new();
            bencher.iter(|| {
                let mut blocks = Blocks::new(text.as_slice(), dialect, BLOCK_BYTES, 0);
                while let Some(chunk) = blocks.next_chunk(std::mem::take(&mut spare)).unwrap() {
                    spare = black_box(chunk).text;
                }
            });
        });
    }
    group.finish();
}

/// A chunk into the positions of its fields.
fn fields(criterion: &mut Criterion) {
    let dialect = data::dialect(&data::taxi_pipeline());
    let mut group = criterion.benchmark_group("fields");
    for (name, kind) in [("plain", Kind::Clean), ("quoted", Kind::Quoted), ("1 % bad", Kind::Dirty)] {
        let text = data::taxi(kind);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| Index::build(black_box(&text), WIDTH, &dialect)));
    }
    group.finish();
}

/// The header record into names, and the names against the config.
fn header(criterion: &mut Criterion) {
    let pipeline = data::taxi_pipeline();
    let text = format!("{HEADER}\r\n1,2\r\n");
    criterion.bench_function("header", |bencher| {
        bencher.iter(|| {
            let mut blocks = Blocks::new(black_box(text.as_bytes()), data::dialect(&pipeline), BLOCK_BYTES, 0);
            let head = blocks.head(0, true).unwrap();
            let header = Header::parse(&head.header.unwrap(), &head.ends, pipeline.csv.quote).unwrap();
            header.layout(&pipeline).unwrap()
        });
    });
}
