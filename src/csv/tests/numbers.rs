//! Integers against the standard library, decimals against digits moved by hand.

use fastrand::Rng;

use super::sweep::{check, count, digits, nonsense, read, sign};
use super::values::Cell;
use crate::config::ColumnType;

const WIDTHS: [u8; 4] = [8, 16, 32, 64];

fn integers() -> Vec<ColumnType> {
    WIDTHS.into_iter().flat_map(|bits| [ColumnType::Int(bits), ColumnType::UInt(bits)]).collect()
}

#[test]
fn integers_of_every_length() {
    let mut random = Rng::new();
    for kind in integers() {
        check(&kind, count(), || {
            let (zeros, length) = (random.usize(0..4) * random.usize(0..9), random.usize(1..22));
            format!("{}{}{}", sign(&mut random), "0".repeat(zeros), digits(&mut random, length))
        });
    }
}

#[test]
fn integers_around_the_bounds_of_every_width() {
    let mut random = Rng::new();
    for kind in integers() {
        check(&kind, count(), || {
            let power = 1_i128 << random.choice([7, 8, 15, 16, 31, 32, 63, 64]).unwrap();
            let value = power * random.choice([-1, 0, 1]).unwrap() + i128::from(random.i8(-3..=3));
            let plus = if value >= 0 && random.bool() { "+" } else { "" };
            format!("{plus}{value}")
        });
    }
}

#[test]
fn what_is_no_integer() {
    let mut random = Rng::new();
    for kind in integers() {
        check(&kind, count(), || nonsense(&mut random, b"0123456789+-. _xeE/:", 5));
    }
}

fn decimal(random: &mut Rng) -> (u8, u8) {
    let precision = random.u8(1..=38);
    (precision, random.u8(0..=precision))
}

#[test]
fn decimals_of_every_size_against_digits_moved_by_hand() {
    let mut random = Rng::new();
    for _ in 0..200 {
        let (precision, scale) = decimal(&mut random);
        check(&ColumnType::Decimal { precision, scale }, count() / 20, || {
            let longest = usize::from(precision - scale) + 2;
            let (before, behind) = (random.usize(0..=longest), random.usize(0..=usize::from(scale) + 2));
            let zeros = if random.u8(0..4) == 0 { "0".repeat(random.usize(0..50)) } else { String::new() };
            let point = if behind > 0 || random.bool() { "." } else { "" };
            let text = format!(
                "{}{}{point}{}{zeros}",
                sign(&mut random),
                digits(&mut random, before),
                digits(&mut random, behind)
            );
            if text.is_empty() { ".".to_owned() } else { text }
        });
    }
}

#[test]
fn decimals_made_of_a_known_number_give_it_back() {
    let mut random = Rng::new();
    for _ in 0..200 {
        let (precision, scale) = decimal(&mut random);
        let bound = 10_i128.pow(precision.into());
        let numbers: Vec<i128> = (0..count() / 20)
            .map(|_| match random.u8(0..8) {
                0 => bound - 1,
                1 => 1 - bound,
                _ => random.i128(1 - bound..bound) / 10_i128.pow(random.u8(0..precision).into()),
            })
            .collect();
        let unit = 10_u128.pow(scale.into());
        let texts: Vec<_> = numbers
            .iter()
            .map(|number| {
                let sign = if *number < 0 { "-" } else { "" };
                let (whole, fraction) = (number.unsigned_abs() / unit, number.unsigned_abs() % unit);
                format!("{sign}{whole}.{fraction:0>width$}", width = usize::from(scale))
            })
            .map(|text| if scale == 0 { text.split_once('.').unwrap().0.to_owned() } else { text })
            .collect();
        let found = read(&ColumnType::Decimal { precision, scale }, &texts);
        for ((found, number), text) in found.into_iter().zip(numbers).zip(texts) {
            assert_eq!(found, Some(Cell::Whole(number)), "{text} as decimal({precision},{scale})");
        }
    }
}

#[test]
fn what_is_no_decimal() {
    let mut random = Rng::new();
    for (precision, scale) in [(5, 2), (38, 0), (38, 38), (1, 1)] {
        let kind = ColumnType::Decimal { precision, scale };
        check(&kind, count(), || nonsense(&mut random, b"0000123459..+-e _,x/:", 8));
    }
}
