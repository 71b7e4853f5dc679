//! Whole records: a block of taxi rows into a typed frame and its rejects, and the rules over that frame.

use criterion::{BatchSize, Criterion, Throughput};
use forebay::csv::Batch;
use forebay::pipeline::clean::Cleaner;

use crate::data::{self, Kind, RECORDS};

pub(crate) fn bench(criterion: &mut Criterion) {
    let pipeline = data::taxi_pipeline();
    let parser = data::taxi_parser(&pipeline);
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, kind) in [("clean", Kind::Clean), ("one field quoted", Kind::Quoted), ("1 % bad", Kind::Dirty)] {
        let text = data::taxi(kind);
        let chunk = || data::chunk(text.clone());
        check(&parser.parse(chunk()).unwrap(), kind);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(chunk, |chunk| parser.parse(chunk).unwrap(), BatchSize::PerIteration);
        });
    }
    let text = data::taxi(Kind::Clean);
    let cleaner = Cleaner::new(&pipeline);
    group.bench_function("derive and rules", |bencher| {
        let batch = || parser.parse(data::chunk(text.clone())).unwrap();
        assert!(cleaner.clean(batch()).unwrap().frame.height() < RECORDS, "some rows break a rule");
        bencher.iter_batched(batch, |batch| cleaner.clean(batch).unwrap(), BatchSize::PerIteration);
    });
    group.finish();
}

/// A benchmark of text that is not what its name says would measure something else.
fn check(batch: &Batch, kind: Kind) {
    let bad = if kind == Kind::Dirty { RECORDS / 100 } else { 0 };
    assert_eq!((batch.records, batch.rejects.len()), (RECORDS as u64, bad));
    assert_eq!(batch.frame.height(), RECORDS - bad);
}
