//! Field positions of every sound record of a chunk, and a reject for every other one.
#![expect(clippy::indexing_slicing, reason = "positions come from the scanner over the same bytes")]

use std::ops::Range;

use super::marks;
use super::record::{Dialect, ENDLESS, QuoteFault, Scan, count_line_ends, scan};
use super::reject::{Reject, raw};
use crate::job::RejectReason;

/// The structure of a chunk. Records that are rejected here have no fields.
#[derive(Debug, Default)]
pub struct Index {
    /// Fields per record.
    width: usize,
    /// Start of each sound record.
    starts: Vec<u32>,
    /// End of each field of each sound record, `width` per record; the last one is the end of the record.
    ends: Vec<u32>,
    /// Number of each sound record within the chunk, from 1.
    records: Vec<u32>,
    /// Physical line of each sound record within the chunk, from 1.
    lines: Vec<u32>,
    /// Records that are no rows for their structure, in order. Positions are relative to the chunk.
    pub rejects: Vec<Reject>,
    /// All records of the chunk.
    pub record_count: u64,
    /// All physical lines of the chunk.
    pub line_count: u64,
    /// Empty lines.
    pub blank_lines: u64,
    /// Start of a record so long that the file is none of records.
    pub endless: Option<u64>,
}

impl Index {
    /// Finds the fields of every record of `text`, which starts and ends where a record does. Records with another number
    /// of fields than `width` are rejected.
    #[must_use]
    pub fn build(text: &[u8], width: usize, dialect: &Dialect) -> Self {
        // One check of the whole chunk spares one per record: nearly every chunk is valid.
        let valid = std::str::from_utf8(text).is_ok();
        let mut index = Self { width, ..Self::default() };
        index.reserve(text);
        let quotes = dialect.quote.is_some_and(|quote| memchr::memchr(quote, text).is_some());
        if !quotes && dialect.comment.is_none() {
            index.plain(text, dialect, valid);
            return index;
        }
        let mut at = 0;
        loop {
            let told = index.ends.len();
            match scan(text, at, true, dialect, &mut index.ends) {
                Scan::Record { end, next, quoted } => {
                    index.sound_record(text, at, end, told, valid);
                    index.line_count += if quoted { count_line_ends(&text[at..end]) } else { 0 };
                    at = next;
                }
                Scan::BadQuote { end, next, fault } => {
                    index.ends.truncate(told);
                    index.reject(text, at, end, RejectReason::BadQuote, describe(fault, at));
                    index.line_count += count_line_ends(&text[at..end]);
                    at = next;
                }
                Scan::TooLarge { end, next } => {
                    index.ends.truncate(told);
                    index.oversized(text, at, end, dialect);
                    index.line_count += count_line_ends(&text[at..end]);
                    at = next;
                }
                Scan::Blank { next } => {
                    index.line_count += 1;
                    index.blank_lines += 1;
                    at = next;
                }
                Scan::Comment { next } => {
                    index.line_count += 1;
                    at = next;
                }
                // A whole chunk never asks for more: `last` is true.
                Scan::NeedMore { .. } | Scan::End => return index,
            }
        }
    }

    /// The same for a text without quotes and comments: every delimiter and line end means what it says.
    #[expect(clippy::cast_possible_truncation, reason = "a chunk is far smaller than 4 GiB: `block` sees to it")]
    fn plain(&mut self, text: &[u8], dialect: &Dialect, valid: bool) {
        let (mut start, mut told) = (0, 0);
        marks::each(text, [dialect.delimiter, b'\n', b'\r'], |at| {
            let byte = text[at];
            if byte == dialect.delimiter {
                self.ends.push(at as u32);
            } else if byte == b'\n' && at > 0 && text[at - 1] == b'\r' {
                // The second half of a CRLF: the line ended before it.
                start = at + 1;
            } else {
                self.plain_record(text, start..at, told, dialect, valid);
                start = at + 1;
                told = self.ends.len();
            }
        });
        if start < text.len() {
            self.plain_record(text, start..text.len(), told, dialect, valid);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a chunk is far smaller than 4 GiB: `block` sees to it")]
    fn plain_record(&mut self, text: &[u8], record: Range<usize>, told: usize, dialect: &Dialect, valid: bool) {
        let Range { start, end } = record;
        if start == end {
            self.line_count += 1;
            self.blank_lines += 1;
        } else if end - start > dialect.max_record {
            self.ends.truncate(told);
            self.oversized(text, start, end, dialect);
        } else {
            self.ends.push(end as u32);
            self.sound_record(text, start, end, told, valid);
        }
    }

    fn oversized(&mut self, text: &[u8], start: usize, end: usize, dialect: &Dialect) {
        if end - start > dialect.max_record.saturating_mul(ENDLESS) {
            self.endless.get_or_insert(start as u64);
        }
        self.reject(text, start, end, RejectReason::RecordTooLarge, too_large(end - start, dialect.max_record));
    }

    /// Guesses the number of records from the first line: regrowing large vectors costs more than a wrong guess.
    fn reserve(&mut self, text: &[u8]) {
        let first_line = memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len()) + 1;
        let guess = (text.len() / first_line + 16).min(text.len() / 2 + 1);
        self.starts.reserve(guess);
        self.records.reserve(guess);
        self.lines.reserve(guess);
        self.ends.reserve(guess.saturating_mul(self.width).min(text.len() + self.width + 1));
    }

    #[expect(clippy::cast_possible_truncation, reason = "a chunk is far smaller than 4 GiB: `block` sees to it")]
    fn sound_record(&mut self, text: &[u8], start: usize, end: usize, told: usize, valid: bool) {
        let record = &text[start..end];
        let invalid = if valid { None } else { std::str::from_utf8(record).err() };
        let fields = self.ends.len() - told;
        let fault = if let Some(error) = invalid {
            let at = error.valid_up_to();
            Some((RejectReason::InvalidEncoding, format!("byte 0x{:02x} at byte {at} of the record", record[at])))
        } else if fields < self.width {
            Some((RejectReason::TooFewFields, format!("{fields} fields, expected {}", self.width)))
        } else if fields > self.width {
            Some((RejectReason::TooManyFields, format!("{fields} fields, expected {}", self.width)))
        } else {
            None
        };
        if let Some((reason, detail)) = fault {
            self.ends.truncate(told);
            self.reject(text, start, end, reason, detail);
            return;
        }
        self.record_count += 1;
        self.line_count += 1;
        self.starts.push(start as u32);
        self.records.push(self.record_count as u32);
        self.lines.push(self.line_count as u32);
    }

    fn reject(&mut self, text: &[u8], start: usize, end: usize, reason: RejectReason, detail: String) {
        self.record_count += 1;
        self.line_count += 1;
        self.rejects.push(Reject {
            record: self.record_count,
            line: self.line_count,
            byte_offset: Some(start as u64),
            column: None,
            reason,
            rule: None,
            detail,
            raw: raw(&text[start..end]),
        });
    }

    /// Returns the number of sound records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns whether there is no sound record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Returns the bytes of field `column` of sound record `row`, quotes included.
    #[must_use]
    pub fn field<'t>(&self, text: &'t [u8], row: usize, column: usize) -> &'t [u8] {
        let ends = &self.ends[row * self.width..];
        let start = if column == 0 { self.starts[row] } else { ends[column - 1] + 1 };
        &text[start as usize..ends[column] as usize]
    }

    /// Returns a reject for sound record `row`, positions relative to the chunk.
    #[must_use]
    pub fn reject_row(&self, text: &[u8], row: usize, reason: RejectReason, detail: String) -> Reject {
        let start = self.starts[row];
        let end = self.ends[(row + 1) * self.width - 1];
        Reject {
            record: u64::from(self.records[row]),
            line: u64::from(self.lines[row]),
            byte_offset: Some(u64::from(start)),
            column: None,
            reason,
            rule: None,
            detail,
            raw: raw(&text[start as usize..end as usize]),
        }
    }
}

/// Returns the message for a record of `length` bytes.
pub(super) fn too_large(length: usize, max_record: usize) -> String {
    format!("{length} bytes, csv.max_record_bytes is {max_record}")
}

fn describe(fault: QuoteFault, start: usize) -> String {
    match fault {
        QuoteFault::TextAfterQuote { at } => {
            format!("text after the closing quote, at byte {} of the record", at - start)
        }
        QuoteFault::Unclosed { at } => {
            format!("no closing quote for the one at byte {} of the record", at - start)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), comment: None, max_record: 1 << 20 };

    fn fields(index: &Index, text: &[u8], row: usize) -> Vec<String> {
        (0..index.width).map(|column| String::from_utf8_lossy(index.field(text, row, column)).into_owned()).collect()
    }

    #[test]
    fn sound_records_have_fields_and_the_others_are_rejects() {
        let text = b"1,2\n\n3\n\"4\n5\",6\n7,8,9\n\xff,1\n10,";
        let index = Index::build(text, 2, &DIALECT);
        assert_eq!(index.len(), 3);
        assert_eq!(fields(&index, text, 0), ["1", "2"]);
        assert_eq!(fields(&index, text, 1), ["\"4\n5\"", "6"]);
        assert_eq!(fields(&index, text, 2), ["10", ""]);
        assert_eq!((index.record_count, index.blank_lines), (6, 1));
        let told: Vec<_> = index.rejects.iter().map(|r| (r.record, r.line, r.byte_offset, r.reason)).collect();
        assert_eq!(
            told,
            [
                (2, 3, Some(5), RejectReason::TooFewFields),
                (4, 6, Some(15), RejectReason::TooManyFields),
                (5, 7, Some(21), RejectReason::InvalidEncoding),
            ]
        );
        assert_eq!(index.line_count, 8);
    }

    #[test]
    fn lines_count_on_through_a_bad_quote() {
        let text = b"\"a\nb\"x,1\n2,3\n";
        let index = Index::build(text, 2, &DIALECT);
        assert_eq!(index.rejects[0].line, 1);
        assert_eq!(index.rejects[0].reason, RejectReason::BadQuote);
        assert_eq!(index.lines, [3]);
    }
}
