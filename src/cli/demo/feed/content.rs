//! What the files of the feed hold: rides, readings, and what may be wrong with a row. Pure.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::job::{RejectReason, RowCounts};

/// Header of the rides.
pub(super) const RIDES_HEADER: &str = "vendor_id,pickup_at,dropoff_at,passengers,distance_miles,pickup_lon,pickup_lat,payment_type,fare_amount,tip_amount,total_amount";
/// Header of the readings.
const AIR_HEADER: &str = "station;measured_at;pm10;temperature";

/// What is wrong with a ride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Type,
    Short,
    Long,
    Quote,
    Encoding,
    NegativeFare,
    TestRide,
}

/// A CSV text that grows, with the truth about it.
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: RowCounts,
    pub(super) rejects: BTreeMap<RejectReason, u64>,
}

impl Text {
    pub(super) fn new(header: &str) -> Self {
        let mut bytes = header.as_bytes().to_vec();
        bytes.push(b'\n');
        Self::of(bytes)
    }

    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, rows: RowCounts::default(), rejects: BTreeMap::new() }
    }

    fn good(&mut self, line: &str) {
        self.push(line.as_bytes());
        self.rows.written += 1;
    }

    fn dropped(&mut self, line: &str) {
        self.push(line.as_bytes());
        self.rows.dropped += 1;
    }

    fn rejected(&mut self, line: &[u8], reason: RejectReason) {
        self.push(line);
        self.rows.rejected += 1;
        *self.rejects.entry(reason).or_default() += 1;
    }

    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.rows.read += 1;
    }
}

/// One ride's fields, in the order of [`RIDES_HEADER`].
fn ride(number: usize, day: u32, rng: &mut Rng) -> [String; 11] {
    let minutes = rng.u32(2..55);
    let start = rng.u32(0..86_400 - minutes * 60 - 60);
    let end = start + minutes * 60 + rng.u32(0..60);
    let clock =
        |second: u32| format!("2026-03-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    let miles = f64::from(minutes) * rng.f64().mul_add(0.25, 0.1);
    let fare = f64::from(rng.u32(8..16)).mul_add(0.25, miles * 2.5).mul_add(2.0, 0.5).round() / 2.0;
    let tip = if rng.u8(0..10) < 6 { (fare * 20.0).round() / 100.0 } else { 0.0 };
    [
        (1 + number % 2).to_string(),
        clock(start),
        clock(end),
        rng.u8(1..6).to_string(),
        format!("{miles:.2}"),
        format!("{:.6}", rng.f64().mul_add(0.3, -74.1)),
        format!("{:.6}", rng.f64().mul_add(0.25, 40.6)),
        rng.u8(1..4).to_string(),
        fare.to_string(),
        tip.to_string(),
        format!("{:.2}", fare + tip),
    ]
}

/// A file of rides, with the fault that `fault` wants in row `n`.
pub(super) fn rides(rows: usize, day: u32, rng: &mut Rng, fault: impl Fn(usize) -> Option<Fault>) -> Text {
    let mut text = Text::new(RIDES_HEADER);
    for number in 0..rows {
        let mut fields = ride(number, day, rng);
        let [vendor, .., payment, fare, _, _] = &mut fields;
        match fault(number) {
            None => text.good(&fields.join(",")),
            Some(Fault::Type) => {
                "twelve".clone_into(fare);
                text.rejected(fields.join(",").as_bytes(), RejectReason::BadType);
            }
            Some(Fault::Short) => {
                let line = fields.join(",");
                let cut = line.rfind(',').unwrap_or(0);
                text.rejected(line.as_bytes().get(..cut).unwrap_or_default(), RejectReason::TooFewFields);
            }
            Some(Fault::Long) => {
                text.rejected(format!("{},thank you", fields.join(",")).as_bytes(), RejectReason::TooManyFields);
            }
            Some(Fault::Quote) => {
                "\"cash\"!".clone_into(payment);
                text.rejected(fields.join(",").as_bytes(), RejectReason::BadQuote);
            }
            Some(Fault::Encoding) => {
                let line = fields.join(",");
                let mut bytes = line.into_bytes();
                bytes.extend_from_slice(b"\xe9");
                text.rejected(&bytes, RejectReason::InvalidEncoding);
            }
            Some(Fault::NegativeFare) => {
                "-3.5".clone_into(fare);
                text.rejected(fields.join(",").as_bytes(), RejectReason::Rule);
            }
            Some(Fault::TestRide) => {
                "0".clone_into(vendor);
                text.dropped(&fields.join(","));
            }
        }
    }
    text
}

/// Rides with their columns in another order and one more: `vendor_id` last, and what the driver remarked.
pub(super) fn reordered(rows: usize, day: u32, rng: &mut Rng) -> Text {
    let turn = |line: &str, extra: &str| {
        let (first, rest) = line.split_once(',').unwrap_or((line, ""));
        format!("{rest},{first},{extra}")
    };
    let mut text = Text::new(&turn(RIDES_HEADER, "remark"));
    for number in 0..rows {
        let fields = ride(number, day, rng);
        text.good(&turn(&fields.join(","), "\"traffic, rain\""));
    }
    text
}

/// A file that belongs somewhere else.
pub(super) fn stranger() -> Text {
    let mut text = Text::new("order,customer,amount");
    text.push(b"1,Ada,12.50");
    text
}

/// A file of readings: semicolons, decimal commas, windows-1252.
pub(super) fn air(dirty: bool, day: u32, rng: &mut Rng) -> Text {
    let mut text = Text::new(AIR_HEADER);
    for quarter in 0..96 {
        for station in ["Z\u{fc}rich", "Gen\u{e8}ve", "Bern", "Lugano"] {
            let number = |value: f64| format!("{value:.1}").replace('.', ",");
            let pm10 = number(rng.f64().mul_add(40.0, 5.0));
            let temperature = number(rng.f64().mul_add(25.0, -6.0));
            let (hour, minute) = (quarter / 4, quarter % 4 * 15);
            let broken = dirty && station == "Bern" && quarter % 16 == 3;
            let pm10 = if broken { "offline" } else { pm10.as_str() };
            let line = format!("{station};{day:02}.03.2026 {hour:02}:{minute:02};{pm10};{temperature}");
            let (line, _, _) = encoding_rs::WINDOWS_1252.encode(&line);
            if broken {
                text.rejected(&line, RejectReason::BadType);
            } else {
                text.push(&line);
                text.rows.written += 1;
            }
        }
    }
    text
}
