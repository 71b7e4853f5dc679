//! Integers, and floats of 32 bits. Those of 64 bits are in [`super::float`].

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

/// Returns the nearest 32-bit float; see [`super::float::float64`].
#[must_use]
pub fn float32(text: &[u8]) -> Option<f32> {
    starts_like_a_number(text)
        .then(|| fast_float2::parse::<f32, _>(text).ok())
        .flatten()
        .filter(|value| value.is_finite())
}

/// Keeps out the words the float parser knows (`nan`, `inf`, `infinity`).
pub(super) fn starts_like_a_number(text: &[u8]) -> bool {
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
    fn floats_of_32_bits_are_finite() {
        assert_eq!(float32(b"16777217"), Some(16_777_216.0));
        assert_eq!(float32(b"1e39"), None);
        assert_eq!(float32(b"nan"), None);
    }

    proptest! {
        #[test]
        fn integers_agree_with_the_standard_library(text in "[-+]?[0-9]{0,21}") {
            prop_assert_eq!(signed(text.as_bytes()), text.parse::<i64>().ok());
        }
    }
}
