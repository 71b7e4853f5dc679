//! Floats of 64 bits, correctly rounded.
//!
//! Up to 8 bytes (`12.50`), as money and counts are written, are read all at once in one register; everything else goes
//! through `fast_float2`.

use super::number::{split_sign, starts_like_a_number};

/// Returns the nearest 64-bit float of a decimal number (`1`, `-.5`, `1.`, `6.02e23`). `nan`, infinities and numbers too
/// large for the type are none: a sum with one of them is lost.
#[must_use]
#[inline]
pub fn float64(text: &[u8]) -> Option<f64> {
    let (negative, unsigned) = split_sign(text);
    if unsigned.len() <= 8 {
        // Not a number where there is none: an option would go through memory, and cost as much as the rest.
        let value = short(unsigned);
        if !value.is_nan() {
            return Some(if negative { -value } else { value });
        }
    }
    general(text)
}

#[inline(never)]
fn general(text: &[u8]) -> Option<f64> {
    if !starts_like_a_number(text) {
        return None;
    }
    fast_float2::parse::<f64, _>(text).ok().filter(|value| value.is_finite())
}

/// The powers of ten by which a number of at most 8 digits may be scaled. Both are exact floats, so their quotient is
/// rounded once, and correctly.
const TENS: [f64; 8] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

/// One byte in each byte of a word.
const fn each_byte(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Returns an unsigned number of at most 8 bytes, digits and perhaps a point; NaN if it is none.
#[inline]
fn short(text: &[u8]) -> f64 {
    let word = padded(text);
    let points = zero_bytes(word ^ each_byte(b'.'));
    let (digits, behind_point) = if points == 0 {
        (word, 0)
    } else {
        // The digits before the point move up over it.
        let point = points.trailing_zeros() / 8;
        let before = !(u64::MAX << (8 * point));
        let behind = u64::MAX << (8 * point) << 8;
        (word & behind | (word & before) << 8 | u64::from(b'0'), 7 - point)
    };
    let scale = TENS.get(behind_point as usize).copied().unwrap_or(f64::NAN);
    if text.len() > usize::from(points != 0) && all_digits(digits) {
        f64::from(eight_digits(digits)) / scale
    } else {
        f64::NAN
    }
}

/// Returns up to 8 bytes as a word, the last one highest, with digits 0 before the first.
#[inline]
fn padded(text: &[u8]) -> u64 {
    const ZEROS: u64 = each_byte(b'0');
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let missing = 8 * (8 - text.len().min(8));
        let zeros = ZEROS & !(u64::MAX << missing);
        return zeros | u64::from(u32::from_le_bytes(*first)) << missing | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    let high = |byte: u8, place: u32| u64::from(byte) << (8 * place);
    match *text {
        [a] => ZEROS >> 8 | high(a, 7),
        [a, b] => ZEROS >> 16 | high(a, 6) | high(b, 7),
        [a, b, c] => ZEROS >> 24 | high(a, 5) | high(b, 6) | high(c, 7),
        _ => ZEROS,
    }
}

/// Sets the high bit of every byte that is zero, and of none below the first of them.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(each_byte(1)) & !word & each_byte(0x80)
}

/// Returns whether all eight bytes are ASCII digits.
const fn all_digits(word: u64) -> bool {
    // A digit is at most 9 above `0`, so adding 0x76 does not reach the high bit.
    let above = word ^ each_byte(b'0');
    (above | above.wrapping_add(each_byte(0x76))) & each_byte(0x80) == 0
}

/// Returns the number of eight ASCII digits, the first one in the lowest byte: pairs, then fours, then all.
const fn eight_digits(word: u64) -> u32 {
    let pairs = (word & each_byte(0x0f)).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    ((fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_are_finite_decimal_numbers() {
        for (text, value) in [
            ("1", 1.0),
            (".50", 0.5),
            ("1.", 1.0),
            ("-.5", -0.5),
            ("12345678", 12_345_678.0),
            ("1234.567", 1234.567),
            ("+2e3", 2000.0),
            ("11.529000000000002", 11.529_000_000_000_002),
            ("-73.870964050292969", -73.870_964_050_292_97),
            ("9007199254740993", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(float64(text.as_bytes()), Some(value), "{text}");
        }
        for text in
            ["", ".", "-", "nan", "inf", "-Infinity", "1e400", "1,5", " 1", "1 ", "0x1p3", "12.5O", "$1", "1e", "1..2"]
        {
            assert_eq!(float64(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn floats_agree_with_the_standard_library(text in "[-+]?[0-9]{0,20}(\\.[0-9]{0,25})?(e[-+]?[0-9]{0,3})?") {
            let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
            prop_assert_eq!(float64(text.as_bytes()).map(f64::to_bits), expected.map(f64::to_bits), "{}", text);
        }

        #[test]
        fn every_path_agrees_with_the_standard_library(text in "[-+]?[0-9.]{0,9}|[-+]?[0-9]{0,9}\\.[0-9]{5,19}|[0-9./:]{1,8}") {
            let expected = text.parse::<f64>().ok();
            prop_assert_eq!(float64(text.as_bytes()).map(f64::to_bits), expected.map(f64::to_bits), "{}", text);
        }

        #[test]
        fn every_float_reads_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            prop_assert_eq!(float64(value.to_string().as_bytes()).map(f64::to_bits), Some(value.to_bits()));
        }
    }
}
