//! One type at a time: eight columns of it, from text to a frame, the index included.

use criterion::{BatchSize, Criterion, Throughput};
use fastrand::Rng;
use forebay::csv::{Layout, Parser};

use crate::data;

/// Columns of the type.
const COLUMNS: usize = 8;

/// Records of the text.
const RECORDS: usize = 32 << 10;

/// Makes the text of one value.
type Value = fn(&mut Rng) -> String;

/// Name, type as the config spells it, and how a value looks.
const TYPES: &[(&str, &str, Value)] = &[
    ("int", r#""int64""#, |rng| rng.u32(0..100_000).to_string()),
    ("float, short", r#""float64""#, |rng| data::hundredths(rng, 10_000)),
    ("float, 17 digits", r#""float64""#, |rng| {
        format!("-{}.{:015}", rng.u8(10..99), rng.u64(0..1_000_000_000_000_000))
    }),
    ("decimal", r#""decimal(12,2)""#, |rng| data::hundredths(rng, 10_000)),
    ("datetime", r#"{ type = "datetime", format = "%Y-%m-%d %H:%M:%S" }"#, |rng| {
        format!("{} {}", date(rng), time(rng))
    }),
    ("datetime, own format", r#"{ type = "datetime", format = "%d.%m.%Y %H:%M:%S" }"#, |rng| {
        format!("{:02}.{:02}.2015 {}", rng.u8(1..=28), rng.u8(1..=12), time(rng))
    }),
    ("date", r#""date""#, date),
    ("bool", r#""bool""#, |rng| rng.bool().to_string()),
    ("string", r#""string""#, |rng| text(rng)),
    ("string, quoted", r#""string""#, |rng| format!("\"{}, {}\"", text(rng), text(rng))),
    ("string, doubled quotes", r#""string""#, |rng| format!("\"{} \"\"x\"\"\"", text(rng))),
    ("null", r#""float64""#, |_| String::new()),
];

fn date(rng: &mut Rng) -> String {
    format!("2015-{:02}-{:02}", rng.u8(1..=12), rng.u8(1..=28))
}

fn time(rng: &mut Rng) -> String {
    format!("{:02}:{:02}:{:02}", rng.u8(0..24), rng.u8(0..60), rng.u8(0..60))
}

fn text(rng: &mut Rng) -> String {
    let length = rng.usize(3..20);
    (0..length).map(|_| rng.lowercase()).collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("values");
    for (name, kind, value) in TYPES {
        let columns: Vec<_> = (0..COLUMNS).map(|number| format!("c{number} = {kind}\n")).collect();
        let config = format!("[pipelines.p]\ncsv.header = false\n[pipelines.p.columns]\n{}", columns.concat());
        let pipeline = data::pipeline(&config);
        let parser = Parser::new(&pipeline.csv, &Layout::positional(&pipeline.columns));
        let mut rng = Rng::with_seed(1);
        let text: String = (0..RECORDS).map(|_| record(&mut rng, *value)).collect();
        group.throughput(Throughput::Elements((RECORDS * COLUMNS) as u64));
        group.bench_function(*name, |bencher| {
            let chunk = || data::chunk(text.clone().into_bytes());
            bencher.iter_batched(chunk, |chunk| parser.parse(chunk).unwrap(), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn record(rng: &mut Rng, value: Value) -> String {
    let values: Vec<_> = (0..COLUMNS).map(|_| value(rng)).collect();
    format!("{}\n", values.join(","))
}
