//! Floats against the standard library's parser, which is another one than ours, and against the bits they were printed
//! from.

use fastrand::Rng;

use super::sweep::{check, count, digits, nonsense, read, sign};
use super::values::Cell;
use crate::config::ColumnType;

/// Checks so many texts in both widths.
fn both(mut make: impl FnMut(&mut Rng) -> String) {
    let mut random = Rng::new();
    for kind in [ColumnType::Float64, ColumnType::Float32] {
        check(&kind, count(), || make(&mut random));
    }
}

/// Digits with a point anywhere in them, also before the first and behind the last.
fn pointed(random: &mut Rng, count: usize) -> String {
    let mut text = digits(random, count);
    text.insert(random.usize(0..=count), '.');
    text
}

#[test]
fn short_numbers() {
    both(|random| {
        let count = random.usize(1..9);
        format!("{}{}", sign(random), if random.bool() { pointed(random, count) } else { digits(random, count) })
    });
}

#[test]
fn numbers_of_15_to_20_digits() {
    both(|random| {
        let count = random.usize(15..=20);
        let zeros = "0".repeat(if random.bool() { 0 } else { random.usize(0..12) });
        format!("{}{zeros}{}", sign(random), if random.bool() { pointed(random, count) } else { digits(random, count) })
    });
}

#[test]
fn long_mantissas_and_exponents() {
    both(|random| {
        let (before, behind) = (random.usize(0..40), random.usize(1..400));
        let (e, power) = (random.choice(["e", "E", "e+", "e-"]).unwrap(), random.u32(0..450));
        format!("{}{}.{}{e}{power}", sign(random), digits(random, before), digits(random, behind))
    });
}

#[test]
fn exponents_beyond_all_bounds() {
    both(|random| {
        let (e, length, count) =
            (random.choice(["e", "E-", "e-", "e+"]).unwrap(), random.usize(1..25), random.usize(1..4));
        let zeros = "0".repeat(random.usize(0..400));
        let mantissa = if random.bool() {
            format!("0.{zeros}{}", digits(random, count))
        } else {
            format!("{}{zeros}", digits(random, count))
        };
        format!("{mantissa}{e}{}", digits(random, length))
    });
}

#[test]
fn every_float_as_the_shortest_and_as_17_digits() {
    both(|random| {
        let value = f64::from_bits(random.u64(..));
        let narrow = f32::from_bits(random.u32(..));
        match random.u8(0..6) {
            0 => value.to_string(),
            1 => format!("{value:e}"),
            2 => format!("{value:.16e}"),
            3 => narrow.to_string(),
            4 => format!("{narrow:.8e}"),
            // As the taxi files have them: a 32-bit coordinate with 17 digits.
            _ => format!("{:.15}", f64::from(random.f32() * 180.0)),
        }
    });
}

/// Needs no other parser to be right: printing is another art.
#[test]
fn what_was_printed_reads_back_to_the_bit() {
    let mut random = Rng::new();
    let wide = std::iter::repeat_with(|| random.u64(..)).filter(|bits| f64::from_bits(*bits).is_finite());
    for bits in wide.take(count()).collect::<Vec<_>>().chunks(10_000) {
        let texts: Vec<_> = bits.iter().map(|bits| format!("{:e}", f64::from_bits(*bits))).collect();
        for ((text, bits), found) in texts.iter().zip(bits).zip(read(&ColumnType::Float64, &texts)) {
            assert_eq!(found, Some(Cell::Bits(*bits)), "{text}");
        }
    }
    let narrow = std::iter::repeat_with(|| random.u32(..)).filter(|bits| f32::from_bits(*bits).is_finite());
    for bits in narrow.take(count()).collect::<Vec<_>>().chunks(10_000) {
        let texts: Vec<_> = bits.iter().map(|bits| format!("{:e}", f32::from_bits(*bits))).collect();
        for ((text, bits), found) in texts.iter().zip(bits).zip(read(&ColumnType::Float32, &texts)) {
            assert_eq!(found, Some(Cell::Bits((*bits).into())), "{text}");
        }
    }
}

#[test]
fn subnormal_numbers_and_the_smallest_normal_ones() {
    both(|random| {
        if random.bool() {
            let value = f64::from_bits(random.u64(0..1 << 53) >> random.u32(0..53));
            if random.bool() { format!("{value:e}") } else { format!("{value:.30e}") }
        } else {
            let value = f32::from_bits(random.u32(0..1 << 24) >> random.u32(0..24));
            if random.bool() { format!("{value:e}") } else { format!("{value:.20e}") }
        }
    });
}

#[test]
fn numbers_halfway_between_two_floats_and_a_hair_beside() {
    both(|random| {
        let exact = if random.bool() { halfway64(random) } else { halfway32(random) };
        match random.u8(0..4) {
            0 => format!("{exact}0000000000000000000000000000000000001"),
            1 => below(&exact),
            _ => exact,
        }
    });
}

/// A number halfway between two neighbouring 32-bit floats: a 64-bit float holds it.
fn halfway32(random: &mut Rng) -> String {
    let bits = random.u32(0..f32::MAX.to_bits());
    let (low, high) = (f64::from(f32::from_bits(bits)), f64::from(f32::from_bits(bits + 1)));
    format!("{:.160}", f64::midpoint(low, high))
}

/// The same of 64-bit floats: no float holds it, so half the sum of their exact digits is taken by hand.
fn halfway64(random: &mut Rng) -> String {
    let bits = random.u64(0..f64::MAX.to_bits());
    let [low, high] = [bits, bits + 1].map(|bits| format!("{:0>400.1100}", f64::from_bits(bits)));
    let width = low.len().max(high.len());
    let digits = |text: &str| {
        format!("{text:0>width$}").bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect::<Vec<_>>()
    };
    let mut carry = 0;
    let mut sum: Vec<u8> = digits(&low)
        .into_iter()
        .zip(digits(&high))
        .rev()
        .map(|(a, b)| {
            let digit = a + b + carry;
            carry = digit / 10;
            digit % 10
        })
        .collect();
    sum.push(carry);
    sum.reverse();
    let mut rest = 0;
    let mut half: String = sum
        .into_iter()
        .chain([0])
        .map(|digit| {
            let all = rest * 10 + digit;
            rest = all % 2;
            char::from(b'0' + all / 2)
        })
        .collect();
    half.insert(half.len() - 1101, '.');
    half
}

/// The decimal number a unit of its last digit below one that is not 0.
fn below(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in bytes.iter_mut().rev().filter(|byte| **byte != b'.') {
        if *byte > b'0' {
            *byte -= 1;
            break;
        }
        *byte = b'9';
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_halves_are_made_right() {
    let mut random = Rng::with_seed(1);
    for _ in 0..200 {
        let half = halfway64(&mut random);
        // Rounds to even, and a hair less or more to the two neighbours.
        let (low, high): (f64, f64) = (below(&half).parse().unwrap(), format!("{half}1").parse().unwrap());
        assert_eq!(low.to_bits() + 1, high.to_bits(), "{half}");
        let even: f64 = half.parse().unwrap();
        assert!(
            even.to_bits().is_multiple_of(2) && (even.to_bits() == low.to_bits() || even.to_bits() == high.to_bits())
        );
    }
}

#[test]
fn the_largest_numbers_and_a_hair_more() {
    let bounds = [
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1.797693134862315807e308",
        "17976931348623158079372897140530341507993413271003782693617377898044496829276475094664901797758720709633028641669288791094655554785194040263065748867150582068190890200070838367627385484581771153176447573027006985557136695962284291481986083493647529271907416844436551070434271155969950809304288017790417449779.999",
        "3.4028234e38",
        "3.4028235e38",
        "3.4028236e38",
        "3.40282356e38",
        "340282356779733661637539395458142568447.9",
        "340282356779733661637539395458142568448",
        "1.401298464324817e-45",
        "7.006492321624085e-46",
        "7.006492321624086e-46",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "2.2250738585072014e-308",
        "9007199254740993",
        "9007199254740992.5",
        "16777217",
        "16777216.9999999",
    ];
    let mut bounds = bounds.iter().cycle();
    both(|_| (*bounds.next().unwrap()).to_owned());
}

#[test]
fn what_is_no_number() {
    both(|random| nonsense(random, b"0012345679+-.eE", 9));
    both(|random| nonsense(random, b"01.eE+- _xXnNaAiIfFtTyY,pd%$\0", 6));
    let mut words = [
        "nan",
        "-NaN",
        "inf",
        "+Infinity",
        "infinit",
        "1e",
        "1e+",
        ".e1",
        "1e1.5",
        "1e5_",
        "0x1p3",
        "1f",
        "1d",
        "１",
        "½",
    ]
    .iter()
    .cycle();
    both(|_| (*words.next().unwrap()).to_owned());
}
