//! Both readers must agree, whatever the case and whatever the block size.
//!
//! `cargo test` looks for a disagreement for some seconds; `FOREBAY_FUZZ_SECONDS=600 cargo test --release fuzz` for longer.
#![expect(clippy::disallowed_methods, reason = "the search is bounded by the time of the machine it runs on")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use super::case::Case;
use super::{generate, reader, real, reference};
use crate::job::{DriftKind, RejectReason};

/// Seconds of searching where nothing else is said.
const SECONDS: u64 = 5;

/// Checks that the reader agrees with the reference in blocks of several sizes.
fn agree(case: &Case, blocks: &[usize]) -> Result<(), TestCaseError> {
    let expected = reference::read(case);
    for block in blocks {
        prop_assert_eq!(&reader::read(case, *block), &expected, "blocks of {}", block);
    }
    Ok(())
}

fn blocks() -> impl Strategy<Value = [usize; 3]> {
    (1_usize..40, 1_usize..400).prop_map(|(small, medium)| [small, medium, 1 << 16])
}

proptest! {
    #![proptest_config(Config::with_cases(4000))]

    #[test]
    fn the_reader_agrees_with_the_reference_at_every_block_size(case in generate::cases(), blocks in blocks()) {
        agree(&case, &blocks)?;
    }
}

/// A search that never comes by a rule of the contract proves nothing about it.
#[test]
fn the_cases_come_by_every_rule() {
    let mut met = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..6000 {
        let case = generate::cases().new_tree(&mut runner).unwrap().current();
        let reading = reference::read(&case);
        met.extend(reading.refused.map(|reason| format!("refused: {reason}")));
        met.extend(reading.drift.keys().map(|kind| format!("drift: {kind}")));
        met.extend(reading.rejects.iter().map(|reject| format!("reject: {}", reject.reason)));
        met.extend((reading.blank_lines > 0).then(|| "blank lines".to_owned()));
        for (row, column) in reading.rows.iter().flat_map(|row| row.iter().zip(&case.columns)) {
            let what = if row.is_some() { "value" } else { "null" };
            let how = if column.decimal_comma { " with a comma" } else { "" };
            met.insert(format!("{what}: {:?}{how}", column.kind));
        }
    }
    let reasons = RejectReason::ALL.iter().filter(|reason| **reason != RejectReason::Rule);
    let mut missed: Vec<_> = reasons.map(|reason| format!("reject: {reason}")).collect();
    missed.extend(
        ["header_mismatch", "duplicate_header", "wrong_encoding", "record_too_large"].map(|r| format!("refused: {r}")),
    );
    missed.extend(DriftKind::ALL.iter().map(|kind| format!("drift: {kind}")));
    missed
        .extend(generate::all_kinds().iter().flat_map(|kind| [format!("value: {kind:?}"), format!("null: {kind:?}")]));
    missed.extend(
        generate::all_kinds()
            .iter()
            .filter(|kind| generate::fractional(kind))
            .map(|kind| format!("value: {kind:?} with a comma")),
    );
    missed.retain(|rule| !met.contains(rule));
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Runs cases until the time is over; returns how many.
fn search<S: Strategy<Value = Case>>(cases: &S, seconds: u64) -> u64 {
    const ROUND: u32 = 100;
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        // A new runner has a new seed.
        let config = Config { cases: ROUND, failure_persistence: None, max_shrink_iters: 1 << 16, ..Config::default() };
        let found = TestRunner::new(config).run(&(cases, blocks()), |(case, blocks)| agree(&case, &blocks));
        assert!(found.is_ok(), "after {done} cases: {}", found.unwrap_err());
        done += u64::from(ROUND);
    }
    done
}

#[test]
fn fuzz() {
    let seconds = std::env::var("FOREBAY_FUZZ_SECONDS").map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let made = search(&generate::cases(), seconds.div_ceil(2));
    let files = real::files();
    let mutated = if files.is_empty() { 0 } else { search(&real::cases(files), seconds.div_ceil(2)) };
    assert!(made > 0);
    eprintln!("{made} made cases and {mutated} of real files in {seconds} s: no disagreement");
}
