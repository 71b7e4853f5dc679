//! Integers and floats.

/// Returns the integer: an optional sign and digits, nothing else, and in range.
#[must_use]
pub fn signed(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    let value = magnitude(digits)?;
    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Returns the unsigned integer: an optional `+` and digits, nothing else, and in range. `-0` is none.
#[must_use]
pub fn unsigned(text: &[u8]) -> Option<u64> {
    magnitude(text.strip_prefix(b"+").unwrap_or(text))
}

/// Takes one sign off a number and tells whether it was a minus.
#[must_use]
pub fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, text),
    }
}

fn magnitude(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    // 19 digits always fit: only longer texts need the checked sum.
    if digits.len() <= 19 {
        digits.iter().try_fold(0_u64, |sum, byte| digit(*byte).map(|value| sum * 10 + value))
    } else {
        digits.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(10)?.checked_add(digit(*byte)?))
    }
}

fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(u64::from(value))
}

/// Returns the nearest 64-bit float of a decimal number (`1`, `-.5`, `1.`, `6.02e23`). `nan`, infinities and numbers too
/// large for the type are none: a sum with one of them is lost.
#[must_use]
pub fn float64(text: &[u8]) -> Option<f64> {
    if let Some(value) = short_decimal(text) {
        return Some(value);
    }
    starts_like_a_number(text)
        .then(|| fast_float2::parse::<f64, _>(text).ok())
        .flatten()
        .filter(|value| value.is_finite())
}

/// Powers of ten that a 64-bit float holds exactly.
const EXACT_TENS: [f64; 16] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Returns a number of at most 15 digits, as nearly all are: its digits and its power of ten are exact floats, so their
/// quotient is rounded once, and correctly. `None` for anything else, also for what is no number.
#[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
fn short_decimal(text: &[u8]) -> Option<f64> {
    let (negative, unsigned) = split_sign(text);
    if !(1..=16).contains(&unsigned.len()) {
        return None;
    }
    let (mut digits, mut count, mut behind_point) = (0_u64, 0, None);
    for byte in unsigned {
        let value = byte.wrapping_sub(b'0');
        if value <= 9 {
            digits = digits * 10 + u64::from(value);
            count += 1;
        } else if *byte == b'.' && behind_point.is_none() {
            behind_point = Some(count);
        } else {
            return None;
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let scale = EXACT_TENS.get(count - behind_point.unwrap_or(count))?;
    let value = digits as f64 / scale;
    Some(if negative { -value } else { value })
}

/// Returns the nearest 32-bit float; see [`float64`].
#[must_use]
pub fn float32(text: &[u8]) -> Option<f32> {
    starts_like_a_number(text)
        .then(|| fast_float2::parse::<f32, _>(text).ok())
        .flatten()
        .filter(|value| value.is_finite())
}

/// Keeps out the words the float parser knows (`nan`, `inf`, `infinity`).
fn starts_like_a_number(text: &[u8]) -> bool {
    let (_, unsigned) = split_sign(text);
    unsigned.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_strict() {
        for (text, value) in [("0", 0), ("+1", 1), ("-0", 0), ("007", 7), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(signed(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", "-", "+", "1.0", " 1", "1 ", "1_000", "0x5", "--1", "9223372036854775808", "12abc", "１"] {
            assert_eq!(signed(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        assert_eq!(unsigned(b"-0"), None);
    }

    #[test]
    fn floats_are_finite_decimal_numbers() {
        for (text, value) in [
            ("1", 1.0),
            (".50", 0.5),
            ("1.", 1.0),
            ("-.5", -0.5),
            ("+2e3", 2000.0),
            ("11.529000000000002", 11.529_000_000_000_002),
        ] {
            assert_eq!(float64(text.as_bytes()), Some(value), "{text}");
        }
        for text in
            ["", ".", "-", "nan", "inf", "-Infinity", "1e400", "1,5", " 1", "1 ", "0x1p3", "12.5O", "$1", "1e", "1..2"]
        {
            assert_eq!(float64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(float32(b"1e39"), None);
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(text in "[-+]?[0-9]{0,21}") {
            prop_assert_eq!(signed(text.as_bytes()), text.parse::<i64>().ok());
        }

        #[test]
        fn floats_agree_with_the_standard_library(text in "[-+]?[0-9]{0,20}(\\.[0-9]{0,25})?(e[-+]?[0-9]{0,3})?") {
            let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
            prop_assert_eq!(float64(text.as_bytes()).map(f64::to_bits), expected.map(f64::to_bits), "{}", text);
        }

        #[test]
        fn every_float_reads_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            prop_assert_eq!(float64(value.to_string().as_bytes()).map(f64::to_bits), Some(value.to_bits()));
        }
    }
}
