//! Text to read, from a seeded generator: the same bytes on every machine.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use forebay::config::{self, Pipeline};
use forebay::csv::block::Chunk;
use forebay::csv::{Dialect, Header, Layout, Parser};

/// The header of a taxi file.
pub(crate) const HEADER: &str = "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,\
    pickup_longitude,pickup_latitude,RateCodeID,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,\
    fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount";

/// Fields of a taxi record.
pub(crate) const WIDTH: usize = 19;

/// Records of one block of the daemon: about 4 MiB.
pub(crate) const RECORDS: usize = 26_000;

/// Every so many records one is broken, where 1 % are.
const BAD_EVERY: usize = 100;

/// What the text is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every record is sound, no field is quoted.
    Clean,
    /// Every record is sound, one field of each is quoted.
    Quoted,
    /// One record in a hundred is broken, in one of three ways.
    Dirty,
}

/// Returns the records of one block, like those of the yellow taxis, without the header.
pub(crate) fn taxi(kind: Kind) -> Vec<u8> {
    taxi_records(kind, RECORDS)
}

/// Returns so many records.
pub(crate) fn taxi_records(kind: Kind, records: usize) -> Vec<u8> {
    let mut rng = Rng::with_seed(1);
    let mut text = String::new();
    for number in 0..records {
        let broken = kind == Kind::Dirty && number % BAD_EVERY == BAD_EVERY / 2;
        let defect = if broken { Some(number / BAD_EVERY % 3) } else { None };
        taxi_record(&mut text, &mut rng, kind == Kind::Quoted, defect);
    }
    text.into_bytes()
}

fn taxi_record(text: &mut String, rng: &mut Rng, quoted: bool, defect: Option<usize>) {
    let (day, hour, minute, second) = (rng.u8(1..=28), rng.u8(0..23), rng.u8(0..60), rng.u8(0..60));
    let flag = if quoted { "\"N\"" } else { "N" };
    let fare = if defect == Some(0) { "$12.50".to_owned() } else { format!("{}.5", rng.u8(2..60)) };
    write!(text, "{},2015-01-{day:02} {hour:02}:{minute:02}:{second:02},", rng.u8(1..=2)).unwrap();
    write!(text, "2015-01-{day:02} {:02}:{minute:02}:{second:02},{},", hour + 1, rng.u8(1..=6)).unwrap();
    // As in the real files, about three in a hundred break a rule.
    let distance = if rng.u8(0..100) < 3 { ".00".to_owned() } else { hundredths(rng, 1_000) };
    write!(text, "{distance},").unwrap();
    write!(text, "{},{},1,{flag},", coordinate(rng, -73.98), coordinate(rng, 40.75)).unwrap();
    write!(text, "{},{},", coordinate(rng, -73.98), coordinate(rng, 40.75)).unwrap();
    if defect != Some(1) {
        write!(text, "{},{fare},0.5,0.5,{},0,0.3,", rng.u8(1..=2), hundredths(rng, 1_000)).unwrap();
    }
    text.push_str(&hundredths(rng, 8_000));
    text.push_str(if defect == Some(2) { ",surplus\r\n" } else { "\r\n" });
}

/// A short decimal, as amounts are written: `12.34`, and `.50` below one.
pub(crate) fn hundredths(rng: &mut Rng, below: u32) -> String {
    let value = rng.u32(1..below);
    let whole = if value < 100 { String::new() } else { (value / 100).to_string() };
    format!("{whole}.{:02}", value % 100)
}

/// A coordinate as the taxis write them: a 32-bit float with all the digits of a 64-bit one.
fn coordinate(rng: &mut Rng, near: f32) -> f64 {
    f64::from(near + (rng.f32() - 0.5) / 10.0)
}

/// Returns the only pipeline of a configuration.
pub(crate) fn pipeline(config: &str) -> Arc<Pipeline> {
    let config = config::parse(config, Path::new("/nowhere/forebay.toml")).unwrap();
    Arc::clone(config.pipelines.first().unwrap())
}

/// Returns the pipeline of the comparison with other programs.
pub(crate) fn taxi_pipeline() -> Arc<Pipeline> {
    pipeline(include_str!("../compare/compare.toml"))
}

/// Returns how `header` is read.
pub(crate) fn layout(pipeline: &Pipeline, header: &str) -> Layout {
    let ends: Vec<_> = header.match_indices(',').map(|(at, _)| at).chain([header.len()]).collect();
    let ends: Vec<_> = ends.into_iter().map(|end| u32::try_from(end).unwrap()).collect();
    Header::parse(header.as_bytes(), &ends, None).unwrap().layout(pipeline).unwrap()
}

/// Returns a parser of taxi records.
pub(crate) fn taxi_parser(pipeline: &Pipeline) -> Parser {
    Parser::new(&pipeline.csv, &layout(pipeline, HEADER))
}

/// Returns how the pipeline's text is cut.
pub(crate) fn dialect(pipeline: &Pipeline) -> Dialect {
    Dialect::from(&pipeline.csv)
}

/// Returns `text` as the only chunk of a file.
pub(crate) fn chunk(text: Vec<u8>) -> Chunk {
    Chunk { text, ..Chunk::default() }
}
