//! Where delimiters and line ends are, sixteen bytes at a time.
//!
//! Calling a search per field costs more than the fields are long. Without quotes every such byte means what it says, so
//! one pass finds them all.

use wide::u8x16;

/// Bytes looked at in one step.
const STEP: usize = 16;

/// Calls `found` with the position of every byte of `text` that is one of `wanted`, in order.
pub fn each(text: &[u8], wanted: [u8; 3], mut found: impl FnMut(usize)) {
    let (steps, rest) = text.as_chunks::<STEP>();
    let lanes = wanted.map(u8x16::splat);
    let mut start = 0;
    for step in steps {
        let mut mask = mask(*step, lanes);
        while mask != 0 {
            found(start + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
        start += STEP;
    }
    for (at, byte) in rest.iter().enumerate() {
        if wanted.contains(byte) {
            found(start + at);
        }
    }
}

/// Returns one bit per byte, the first byte lowest: set where it is wanted.
fn mask(step: [u8; STEP], wanted: [u8x16; 3]) -> u32 {
    let bytes = u8x16::new(step);
    let [a, b, c] = wanted.map(|byte| bytes.simd_eq(byte));
    (a | b | c).to_bitmask()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wanted_byte_is_found_once_in_order(text in prop::collection::vec(any::<u8>(), 0..100), wanted in any::<[u8; 3]>()) {
            let mut found = Vec::new();
            super::each(&text, wanted, |at| found.push(at));
            let expected: Vec<_> = (0..text.len()).filter(|at| wanted.contains(&text[*at])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
