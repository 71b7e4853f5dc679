//! Where delimiters, line ends and quotes are, 64 bytes at a time.
//!
//! Calling a search per field costs more than the fields are long; one pass tells them all, as one bit per byte.

use wide::u8x16;

/// Bytes looked at in one step: as many as a word has bits.
pub const STEP: usize = 64;

/// What a step of [`STEP`] bytes holds, the first byte in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Bytes between fields.
    pub delimiters: u64,
    /// Bytes that end a line: LF, and CR. The LF of a CRLF is not among them, for the line has ended before it.
    pub line_ends: u64,
    /// Quotes at the start of a field: anywhere else, a quote is text.
    pub quotes: u64,
}

/// The bytes to look for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    delimiter: u8x16,
    quote: Option<u8x16>,
}

/// Finds the marks of a text that starts where a record does, step by step.
#[derive(Debug)]
pub struct Finder<'t> {
    rest: &'t [u8],
    wanted: Wanted,
    /// 1 if the byte before `rest` ends a field.
    behind_field: u64,
    /// 1 if the byte before `rest` is a CR.
    behind_cr: u64,
}

impl Wanted {
    /// Looks for `delimiter`, line ends, and `quote` if there is one.
    #[must_use]
    pub fn new(delimiter: u8, quote: Option<u8>) -> Self {
        Self { delimiter: u8x16::splat(delimiter), quote: quote.map(u8x16::splat) }
    }
}

impl<'t> Finder<'t> {
    /// Starts at the start of `text`.
    #[must_use]
    pub const fn new(text: &'t [u8], wanted: Wanted) -> Self {
        Self { rest: text, wanted, behind_field: 1, behind_cr: 0 }
    }

    fn marks(&mut self, step: &[u8; STEP], known: u64) -> Marks {
        let (quarters, _) = step.as_chunks::<16>();
        let bits = |wanted: u8x16| {
            quarters
                .iter()
                .rev()
                .fold(0, |bits, quarter| bits << 16 | u64::from(u8x16::new(*quarter).simd_eq(wanted).to_bitmask()))
                & known
        };
        let (lf, cr) = (bits(u8x16::splat(b'\n')), bits(u8x16::splat(b'\r')));
        let delimiters = bits(self.wanted.delimiter);
        let ends = delimiters | lf | cr;
        let quotes = self.wanted.quote.map_or(0, bits) & (ends << 1 | self.behind_field);
        let line_ends = cr | lf & !(cr << 1 | self.behind_cr);
        (self.behind_field, self.behind_cr) = (ends >> 63, cr >> 63);
        Marks { delimiters, line_ends, quotes }
    }
}

impl Iterator for Finder<'_> {
    type Item = Marks;

    fn next(&mut self) -> Option<Marks> {
        if let Some((step, rest)) = self.rest.split_first_chunk::<STEP>() {
            self.rest = rest;
            return Some(self.marks(step, u64::MAX));
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut step = [0; STEP];
        for (to, from) in step.iter_mut().zip(self.rest) {
            *to = *from;
        }
        let known = (1 << self.rest.len()) - 1;
        self.rest = &[];
        Some(self.marks(&step, known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_marked_as_what_it_is(text in "[,\"\r\na]{0,200}") {
            let text = text.as_bytes();
            let steps: Vec<_> = Finder::new(text, Wanted::new(b',', Some(b'"'))).collect();
            prop_assert_eq!(steps.len(), text.len().div_ceil(STEP));
            for (at, byte) in text.iter().enumerate() {
                let marks = steps[at / STEP];
                let is = |bits: u64| bits >> (at % STEP) & 1 == 1;
                let before = at.checked_sub(1).map(|before| text[before]);
                prop_assert_eq!(is(marks.delimiters), *byte == b',');
                prop_assert_eq!(is(marks.line_ends), *byte == b'\r' || *byte == b'\n' && before != Some(b'\r'));
                prop_assert_eq!(is(marks.quotes), *byte == b'"' && before.is_none_or(|before| b",\r\n".contains(&before)));
            }
        }
    }
}
