//! Where a record ends: the one decision that block splitting and field indexing share.
//!
//! Pure and restartable. Given the same bytes it gives the same answer whatever the block size, because a decision that
//! would need bytes not yet read is [`Scan::NeedMore`], and a record's length limit bounds how far it ever looks.
#![expect(clippy::indexing_slicing, reason = "every index was found by searching the same slice")]

use memchr::{memchr, memchr2, memchr3};

use crate::config::CsvOptions;

/// A record without a line end within this many times `max_record_bytes` is none: the file is refused.
pub const ENDLESS: usize = 64;

/// What the scanner must know of the text.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Byte between fields.
    pub delimiter: u8,
    /// Byte around quoted fields.
    pub quote: Option<u8>,
    /// Lines starting with it are no records.
    pub comment: Option<u8>,
    /// Longest record in bytes, without its line end.
    pub max_record: usize,
}

impl From<&CsvOptions> for Dialect {
    fn from(options: &CsvOptions) -> Self {
        Self {
            delimiter: options.delimiter,
            quote: options.quote,
            comment: options.comment,
            max_record: options.max_record_bytes,
        }
    }
}

/// What starts at a position. `end` excludes the line end, `next` is where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// A record whose quotes are sound and whose length is allowed.
    Record {
        /// First byte behind the record.
        end: usize,
        /// First byte behind its line end.
        next: usize,
        /// Whether a quoted field was met: only then can it hold line ends.
        quoted: bool,
    },
    /// A record with a quote fault.
    BadQuote {
        /// First byte behind the record.
        end: usize,
        /// First byte behind its line end.
        next: usize,
        /// What is wrong.
        fault: QuoteFault,
    },
    /// A record over the limit.
    TooLarge {
        /// First byte behind the record.
        end: usize,
        /// First byte behind its line end.
        next: usize,
    },
    /// An empty line.
    Blank {
        /// First byte behind its line end.
        next: usize,
    },
    /// A comment line.
    Comment {
        /// First byte behind its line end.
        next: usize,
    },
    /// The bytes end before the decision; a line end is not to be found before `resume`.
    NeedMore {
        /// Where the search for a line end has to go on, should the record turn out too large.
        resume: usize,
        /// Whether the line is a comment.
        comment: bool,
    },
    /// Nothing left.
    End,
}

/// What is wrong with a quoted field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteFault {
    /// Text between the closing quote and the next delimiter or line end.
    TextAfterQuote {
        /// Position of that text.
        at: usize,
    },
    /// No closing quote within the limit.
    Unclosed {
        /// Position of the opening quote.
        at: usize,
    },
}

/// Receives the end of every field of a record; the last one ends where the record ends.
pub trait Fields {
    /// A field ends before `end`.
    fn field(&mut self, end: usize);
}

/// Ignores fields.
impl Fields for () {
    fn field(&mut self, _end: usize) {}
}

impl Fields for Vec<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "a chunk is far smaller than 4 GiB: `block` sees to it")]
    fn field(&mut self, end: usize) {
        self.push(end as u32);
    }
}

/// Returns what starts at `start`, telling `fields` where each field of a sound record ends.
///
/// `last` says that no byte follows `text`. On anything but [`Scan::Record`], what was told to `fields` means nothing.
pub fn scan(text: &[u8], start: usize, last: bool, dialect: &Dialect, fields: &mut impl Fields) -> Scan {
    let Some(&first) = text.get(start) else { return Scan::End };
    if first == b'\n' || first == b'\r' {
        return match line_end(text, start, last) {
            Some((_, next)) => Scan::Blank { next },
            None => Scan::NeedMore { resume: start, comment: false },
        };
    }
    if dialect.comment == Some(first) {
        return match line_end(text, start, last) {
            Some((_, next)) => Scan::Comment { next },
            None => Scan::NeedMore { resume: resume_at(text), comment: true },
        };
    }
    scan_record(text, start, last, dialect, fields)
}

fn scan_record(text: &[u8], start: usize, last: bool, dialect: &Dialect, fields: &mut impl Fields) -> Scan {
    let limit = start.saturating_add(dialect.max_record);
    let mut at = start;
    let mut quoted = false;
    loop {
        if at > limit {
            return bounded(text, at, last, limit, |_, _| None);
        }
        let search = if dialect.quote.is_some() && text.get(at).copied() == dialect.quote {
            quoted = true;
            match close_quote(text, at, last, limit, dialect) {
                Close::At(behind) => behind,
                Close::NeedMore => return Scan::NeedMore { resume: resume_at(text), comment: false },
                Close::Fault(fault) => {
                    let (QuoteFault::TextAfterQuote { at } | QuoteFault::Unclosed { at }) = fault;
                    return bounded(text, at, last, limit, |end, next| Some(Scan::BadQuote { end, next, fault }));
                }
            }
        } else {
            at
        };
        match memchr3(dialect.delimiter, b'\n', b'\r', &text[search..]).map(|found| search + found) {
            Some(found) if text[found] == dialect.delimiter => {
                fields.field(found);
                at = found + 1;
            }
            Some(_) | None => {
                return bounded(text, search, last, limit, |end, next| {
                    fields.field(end);
                    Some(Scan::Record { end, next, quoted })
                });
            }
        }
    }
}

/// Finds the line end at or behind `from` and lets `sound` name the result, unless the record ends behind `limit`.
fn bounded(
    text: &[u8],
    from: usize,
    last: bool,
    limit: usize,
    sound: impl FnOnce(usize, usize) -> Option<Scan>,
) -> Scan {
    match line_end(text, from, last) {
        Some((end, next)) if end > limit => Scan::TooLarge { end, next },
        Some((end, next)) => sound(end, next).unwrap_or(Scan::TooLarge { end, next }),
        None => Scan::NeedMore { resume: resume_at(text), comment: false },
    }
}

/// Where to look for a line end once more bytes came: a final CR may be half of a CRLF.
fn resume_at(text: &[u8]) -> usize {
    text.len() - usize::from(text.last() == Some(&b'\r'))
}

/// Returns the next line end at or behind `from` as (its first byte, the byte behind it); the end of the text is one too
/// if it is the last.
#[must_use]
pub fn line_end(text: &[u8], from: usize, last: bool) -> Option<(usize, usize)> {
    let Some(found) = memchr2(b'\n', b'\r', &text[from..]).map(|found| from + found) else {
        return last.then_some((text.len(), text.len()));
    };
    if text[found] == b'\n' {
        return Some((found, found + 1));
    }
    match text.get(found + 1) {
        Some(b'\n') => Some((found, found + 2)),
        Some(_) => Some((found, found + 1)),
        None => last.then_some((found, found + 1)),
    }
}

enum Close {
    /// The byte behind the closing quote; it is a delimiter, a line end or the end of the text.
    At(usize),
    Fault(QuoteFault),
    NeedMore,
}

/// Finds the quote that closes the one at `open`.
fn close_quote(text: &[u8], open: usize, last: bool, limit: usize, dialect: &Dialect) -> Close {
    let quote = text[open];
    let window = text.len().min(limit);
    let mut from = open + 1;
    loop {
        let found = text.get(from..window).and_then(|inside| memchr(quote, inside)).map(|found| from + found);
        let Some(found) = found else {
            let decided = last || text.len() >= limit;
            return if decided { Close::Fault(QuoteFault::Unclosed { at: open }) } else { Close::NeedMore };
        };
        match text.get(found + 1) {
            Some(&byte) if byte == quote => from = found + 2,
            Some(&byte) if byte == dialect.delimiter || byte == b'\n' || byte == b'\r' => return Close::At(found + 1),
            Some(_) => return Close::Fault(QuoteFault::TextAfterQuote { at: found + 1 }),
            None if last => return Close::At(found + 1),
            None => return Close::NeedMore,
        }
    }
}

/// Returns how many physical lines end inside `text`.
#[must_use]
pub fn count_line_ends(text: &[u8]) -> u64 {
    let mut count = 0;
    let mut from = 0;
    while let Some((end, next)) = line_end(text, from, true) {
        if end == text.len() {
            break;
        }
        count += 1;
        from = next;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), comment: None, max_record: 40 };

    fn scan_all(text: &[u8]) -> Scan {
        scan(text, 0, true, &PLAIN, &mut ())
    }

    #[test]
    fn line_ends_of_all_kinds_end_a_record() {
        assert_eq!(scan_all(b"a,b\nc"), Scan::Record { end: 3, next: 4, quoted: false });
        assert_eq!(scan_all(b"a,b\r\nc"), Scan::Record { end: 3, next: 5, quoted: false });
        assert_eq!(scan_all(b"a,b\rc"), Scan::Record { end: 3, next: 4, quoted: false });
        assert_eq!(scan_all(b"a,b"), Scan::Record { end: 3, next: 3, quoted: false });
        assert_eq!(scan_all(b"\r\na"), Scan::Blank { next: 2 });
    }

    #[test]
    fn a_cr_at_the_end_of_a_block_waits_for_its_lf() {
        assert_eq!(scan(b"a,b\r", 0, false, &PLAIN, &mut ()), Scan::NeedMore { resume: 3, comment: false });
        assert_eq!(scan(b"a,b\r", 0, true, &PLAIN, &mut ()), Scan::Record { end: 3, next: 4, quoted: false });
    }

    #[test]
    fn quoted_fields_hold_delimiters_line_ends_and_doubled_quotes() {
        let mut ends: Vec<u32> = Vec::new();
        let text = b"\"a,\n\"\"b\",c\nd";
        assert_eq!(scan(text, 0, true, &PLAIN, &mut ends), Scan::Record { end: 10, next: 11, quoted: true });
        assert_eq!(ends, [8, 10]);
    }

    #[test]
    fn text_behind_a_closing_quote_costs_its_record_only() {
        let fault = QuoteFault::TextAfterQuote { at: 3 };
        assert_eq!(scan_all(b"\"a\" ,b\nc,d"), Scan::BadQuote { end: 6, next: 7, fault });
    }

    #[test]
    fn an_unclosed_quote_costs_the_line_it_stands_on() {
        let fault = QuoteFault::Unclosed { at: 2 };
        assert_eq!(scan_all(b"a,\"b\nc,d\ne,f"), Scan::BadQuote { end: 4, next: 5, fault });
    }

    #[test]
    fn a_quote_inside_an_unquoted_field_is_text() {
        assert_eq!(scan_all(b"1\"60,b\nc"), Scan::Record { end: 6, next: 7, quoted: false });
    }

    #[test]
    fn a_record_over_the_limit_ends_at_its_line_end() {
        let long = [b"x".repeat(41), b"\nb".to_vec()].concat();
        assert_eq!(scan_all(&long), Scan::TooLarge { end: 41, next: 42 });
        let fits = [b"x".repeat(40), b"\nb".to_vec()].concat();
        assert_eq!(scan_all(&fits), Scan::Record { end: 40, next: 41, quoted: false });
    }

    #[test]
    fn comments_are_whole_lines() {
        let dialect = Dialect { comment: Some(b'#'), ..PLAIN };
        assert_eq!(scan(b"#a,\"b\nc", 0, true, &dialect, &mut ()), Scan::Comment { next: 6 });
        assert_eq!(scan(b"a,#b\nc", 0, true, &dialect, &mut ()), Scan::Record { end: 4, next: 5, quoted: false });
    }

    #[test]
    fn line_ends_are_counted_once_each() {
        assert_eq!(count_line_ends(b"a\nb\r\nc\rd"), 3);
        assert_eq!(count_line_ends(b""), 0);
        assert_eq!(count_line_ends(b"a\r\n"), 1);
    }
}
