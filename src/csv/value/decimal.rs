//! Exact decimals.

use super::number::split_sign;

/// Returns the value times ten to the `scale`: an optional sign, digits, and digits behind a point. A value that needs
/// more digits than `precision` or `scale` allow is none, since rounding would change it; zeros at the end need none.
#[must_use]
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, unsigned) = split_sign(text);
    let (whole, fraction) = match memchr::memchr(b'.', unsigned) {
        Some(point) => (unsigned.get(..point)?, unsigned.get(point + 1..)?),
        None => (unsigned, [].as_slice()),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = usize::from(scale);
    let needed = fraction.len() - fraction.iter().rev().take_while(|byte| **byte == b'0').count();
    if needed > scale || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let kept = fraction.get(..scale).unwrap_or(fraction);
    let zeros = std::iter::repeat_n(&b'0', scale - kept.len());
    let mut value: i128 = 0;
    for byte in whole.iter().chain(kept).chain(zeros) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let bound = 10_i128.checked_pow(u32::from(precision))?;
    (value < bound).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, value) in
            [("1", 100), ("1.5", 150), ("-0.25", -25), (".5", 50), ("1.", 100), ("1.500", 150), ("+999.99", 99_999)]
        {
            assert_eq!(decimal(text.as_bytes(), 5, 2), Some(value), "{text}");
        }
        for text in ["", ".", "-", "1.505", "1000", "1e2", "1,5", " 1", "1.2.3", "1.0x", "nan"] {
            assert_eq!(decimal(text.as_bytes(), 5, 2), None, "{text:?}");
        }
        let widest = "9".repeat(38);
        assert_eq!(decimal(widest.as_bytes(), 38, 0), widest.parse().ok());
        assert_eq!(decimal("9".repeat(39).as_bytes(), 38, 0), None);
    }
}
