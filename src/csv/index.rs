//! Field positions of every sound record of a chunk, and a reject for every other one.
#![expect(clippy::indexing_slicing, reason = "positions come from the scanner over the same bytes")]

use std::ops::Range;

use super::marks::{Finder, STEP, Wanted};
use super::record::{Dialect, ENDLESS, Fields as _, QuoteFault, Scan, count_line_ends, scan};
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
    /// Whether any sound record has a quoted field.
    pub quoted: bool,
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
        let mut at = 0;
        while at < text.len() {
            at = index.plain(text, at, dialect, valid);
            at = index.scanned(text, at, dialect, valid);
        }
        index
    }

    /// Takes records from `at` on up to the first that has a quoted field or is a comment, and returns its start. Up to
    /// there every delimiter and line end means what it says.
    fn plain(&mut self, text: &[u8], at: usize, dialect: &Dialect, valid: bool) -> usize {
        let wanted = Wanted::new(dialect.delimiter, dialect.quote);
        let (mut start, mut told, mut quoted) = (at, self.ends.len(), false);
        for (base, step) in (at..).step_by(STEP).zip(Finder::new(&text[at..], wanted)) {
            let mut marks = step.delimiters | step.line_ends;
            let (mut line_ends, mut opening) = (step.line_ends, step.quotes);
            while line_ends != 0 {
                let up_to = line_ends ^ (line_ends - 1);
                quoted |= opening & up_to != 0;
                let end = base + line_ends.trailing_zeros() as usize;
                if quoted || dialect.comment == Some(text[start]) {
                    self.ends.truncate(told);
                    return start;
                }
                self.tell(base, marks & up_to);
                self.plain_record(text, start..end, told, dialect, valid);
                told = self.ends.len();
                start = end + 1 + usize::from(text[end] == b'\r' && text.get(end + 1) == Some(&b'\n'));
                (marks, opening) = (marks & !up_to, opening & !up_to);
                line_ends &= line_ends - 1;
            }
            quoted |= opening != 0;
            self.tell(base, marks);
        }
        if start < text.len() {
            if quoted || dialect.comment == Some(text[start]) {
                self.ends.truncate(told);
                return start;
            }
            self.ends.field(text.len());
            self.plain_record(text, start..text.len(), told, dialect, valid);
        }
        text.len()
    }

    /// Adds the position of every bit as the end of a field.
    fn tell(&mut self, base: usize, mut marks: u64) {
        while marks != 0 {
            self.ends.field(base + marks.trailing_zeros() as usize);
            marks &= marks - 1;
        }
    }

    /// Takes a record whose fields are already told.
    fn plain_record(&mut self, text: &[u8], record: Range<usize>, told: usize, dialect: &Dialect, valid: bool) {
        let Range { start, end } = record;
        if start == end {
            self.ends.truncate(told);
            self.line_count += 1;
            self.blank_lines += 1;
        } else if end - start > dialect.max_record {
            self.ends.truncate(told);
            self.oversized(text, start, end, dialect);
        } else {
            self.sound_record(text, start, end, told, valid);
        }
    }

    /// Takes records from `at` on one by one, up to the first without a quoted field, and returns what is behind it.
    fn scanned(&mut self, text: &[u8], mut at: usize, dialect: &Dialect, valid: bool) -> usize {
        loop {
            let told = self.ends.len();
            match scan(text, at, true, dialect, &mut self.ends) {
                Scan::Record { end, next, quoted } => {
                    self.sound_record(text, at, end, told, valid);
                    if !quoted {
                        return next;
                    }
                    self.quoted = true;
                    self.line_count += count_line_ends(&text[at..end]);
                    at = next;
                }
                Scan::BadQuote { end, next, fault } => {
                    self.ends.truncate(told);
                    self.reject(text, at, end, RejectReason::BadQuote, describe(fault, at));
                    self.line_count += count_line_ends(&text[at..end]);
                    at = next;
                }
                Scan::TooLarge { end, next } => {
                    self.ends.truncate(told);
                    self.oversized(text, at, end, dialect);
                    self.line_count += count_line_ends(&text[at..end]);
                    at = next;
                }
                Scan::Blank { next } => {
                    self.line_count += 1;
                    self.blank_lines += 1;
                    at = next;
                }
                Scan::Comment { next } => {
                    self.line_count += 1;
                    at = next;
                }
                // A whole chunk never asks for more: `last` is true.
                Scan::NeedMore { .. } | Scan::End => return text.len(),
            }
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

    /// Returns the bytes of field `column` of each of these sound records, quotes included.
    pub fn fields<'i, 't: 'i>(
        &'i self,
        text: &'t [u8],
        rows: Range<usize>,
        column: usize,
    ) -> impl Iterator<Item = &'t [u8]> + 'i {
        let starts = &self.starts[rows.clone()];
        let ends = self.ends[rows.start * self.width..rows.end * self.width].chunks_exact(self.width);
        starts.iter().zip(ends).map(move |(record, ends)| {
            let start = if column == 0 { *record } else { ends[column - 1] + 1 };
            &text[start as usize..ends[column] as usize]
        })
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
        let field = |column| index.fields(text, row..row + 1, column).next().unwrap();
        (0..index.width).map(|column| String::from_utf8_lossy(field(column)).into_owned()).collect()
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
