//! Text into values, strictly: what is not wholly a value of the type is none.
//!
//! Pure functions, `None` for anything else. No blanks, thousands separators or units are forgiven here; `trim` and
//! `decimal_comma` are applied before. The exact grammar of each type is in `docs/CSV.md`.

pub mod decimal;
pub mod float;
pub mod number;
pub mod time;

/// Returns the truth value of `true t yes y 1` and `false f no n 0`, in any case.
#[must_use]
pub fn bool(text: &[u8]) -> Option<bool> {
    const TRUE: [&[u8]; 5] = [b"true", b"t", b"yes", b"y", b"1"];
    const FALSE: [&[u8]; 5] = [b"false", b"f", b"no", b"n", b"0"];
    if TRUE.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        Some(true)
    } else if FALSE.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn booleans_are_a_closed_set() {
        assert_eq!(super::bool(b"True"), Some(true));
        assert_eq!(super::bool(b"0"), Some(false));
        for text in ["", "on", "2", "tru", " true"] {
            assert_eq!(super::bool(text.as_bytes()), None, "{text:?}");
        }
    }
}
