//! Cuts text into chunks that end where a record ends.
//!
//! Memory is one block and the tail of the one before: a record over the limit is skipped as it streams by, never
//! collected. No chunk depends on what the reads happened to return.
#![expect(clippy::indexing_slicing, reason = "every index was found by searching the same buffer")]

use std::io::{self, Read};

use super::index::too_large;
use super::marks::{Finder, Wanted};
use super::record::{Dialect, ENDLESS, Scan, count_line_ends, line_end, scan};
use super::reject::{RAW_CAP, Reject};
use crate::job::RejectReason;

/// Lines that end a chunk early: of a file of tiny or broken records, a block would hold more than is good to hold.
const CHUNK_LINES: usize = 64 << 10;

/// Whole records, and perhaps one oversized record behind them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Bytes that start and end where a record does.
    pub text: Vec<u8>,
    /// Offset of the first byte in the text.
    pub offset: u64,
    /// A line too long to be buffered follows `text`.
    pub oversized: Option<Oversized>,
}

/// A line that was skipped as it streamed by.
#[derive(Debug)]
pub struct Oversized {
    /// A record's reject (record 1, line 1, offset from the chunk's start); `None` for a comment.
    pub reject: Option<Reject>,
    /// Physical lines it spans.
    pub lines: u64,
}

/// Why the text cannot be cut.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// Reading, decompressing or decoding failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A record that does not end.
    #[error("the record at byte {offset} has no line end within {limit} bytes")]
    Endless {
        /// Where it starts.
        offset: u64,
        /// [`ENDLESS`] times the limit.
        limit: usize,
    },
}

/// What stands before the data.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The header record, if one was asked for and found.
    pub header: Option<Vec<u8>>,
    /// Ends of its fields.
    pub ends: Vec<u32>,
    /// What is wrong with it.
    pub fault: Option<String>,
    /// Physical lines up to and including the header.
    pub lines: u64,
    /// Empty lines among them.
    pub blank_lines: u64,
}

/// The text of one file, as chunks.
#[derive(Debug)]
pub struct Blocks<R> {
    source: R,
    dialect: Dialect,
    block: usize,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are done with: moved out only when more is read, so that many short lines
    /// before the header cost nothing.
    done: usize,
    /// Offset in the text of the first byte not done with.
    offset: u64,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    /// Reads `source` in blocks of about `block` bytes; `offset` bytes (a BOM) were taken from the text before.
    pub fn new(source: R, dialect: Dialect, block: usize, offset: u64) -> Self {
        Self { source, dialect, block: block.max(1), buffer: Vec::new(), done: 0, offset, ended: false }
    }

    /// Skips `skip_lines` lines and reads the header record, if `header`. Call it before the first chunk.
    pub fn head(&mut self, skip_lines: u64, header: bool) -> Result<Head, BlockError> {
        let mut head = Head::default();
        while head.lines < skip_lines {
            let Some((_, next)) = self.find_line_end()? else { return Ok(head) };
            head.lines += 1;
            self.consume(next);
        }
        while header && head.header.is_none() && head.fault.is_none() {
            if self.text().is_empty() {
                self.fill(self.block)?;
            }
            let mut ends = Vec::new();
            match scan(self.text(), 0, self.ended, &self.dialect, &mut ends) {
                Scan::Blank { next } => {
                    head.lines += 1;
                    head.blank_lines += 1;
                    self.consume(next);
                }
                Scan::Comment { next } => {
                    head.lines += 1;
                    self.consume(next);
                }
                Scan::Record { end, next, .. } => {
                    head.lines += 1 + count_line_ends(&self.text()[..end]);
                    head.header = Some(self.text()[..end].to_vec());
                    head.ends = ends;
                    self.consume(next);
                }
                Scan::BadQuote { .. } => head.fault = Some("a quote in it is not closed".to_owned()),
                Scan::TooLarge { end, .. } => head.fault = Some(too_large(end, self.dialect.max_record)),
                // However long it is, and the last line or not.
                Scan::NeedMore { comment: true, .. } => {
                    head.lines += 1;
                    let next = self.find_line_end()?.map_or(0, |(_, next)| next);
                    self.consume(next);
                }
                Scan::NeedMore { .. } if self.hopeless() => {
                    head.fault = Some(format!("it is longer than csv.max_record_bytes ({})", self.dialect.max_record));
                }
                Scan::NeedMore { .. } => self.fill(self.text().len() + self.block)?,
                Scan::End => break,
            }
        }
        Ok(head)
    }

    /// Returns the next chunk, `None` at the end. `spare` is a buffer to reuse.
    pub fn next_chunk(&mut self, mut spare: Vec<u8>) -> Result<Option<Chunk>, BlockError> {
        let mut target = self.block;
        loop {
            self.fill(target)?;
            if self.text().is_empty() {
                return Ok(None);
            }
            let cut = self.boundary();
            if cut > 0 {
                self.buffer.drain(..self.done);
                self.done = 0;
                spare.clear();
                spare.extend_from_slice(&self.buffer[cut..]);
                self.buffer.truncate(cut);
                let text = std::mem::replace(&mut self.buffer, spare);
                let offset = self.offset;
                self.offset += cut as u64;
                return Ok(Some(Chunk { text, offset, oversized: None }));
            }
            if self.hopeless() {
                let offset = self.offset;
                let oversized = Some(self.skip_record()?);
                return Ok(Some(Chunk { text: Vec::new(), offset, oversized }));
            }
            target = self.text().len() + self.block;
        }
    }

    /// Returns whether the record at the start of the buffer, not ended yet, is over the limit for certain: one byte more
    /// is allowed for a CR whose LF is not read yet.
    fn hopeless(&self) -> bool {
        self.text().len() > self.dialect.max_record + 1
    }

    /// Returns a position of the text at which a record is known to begin (or the text to end), 0 if none is: the last one,
    /// unless there are too many records before it.
    fn boundary(&self) -> usize {
        let text = self.text();
        let quotes = self.dialect.quote.is_some_and(|quote| memchr::memchr(quote, text).is_some());
        // Only a quote at the start of a field can hide a line end; a stray one is text.
        let wanted = Wanted::new(self.dialect.delimiter, self.dialect.quote);
        if quotes && Finder::new(text, wanted).any(|step| step.quotes != 0) {
            self.quoted_boundary()
        } else {
            self.plain_boundary()
        }
    }

    fn plain_boundary(&self) -> usize {
        let text = self.text();
        // The last byte may be a CR whose LF is not read yet.
        let open = usize::from(text.last() == Some(&b'\r') && !self.ended);
        let sure = &text[..text.len() - open];
        // Counting is many times faster than finding, and nearly always all that is needed.
        let lines = memchr::memchr_iter(b'\n', sure).count() + memchr::memchr_iter(b'\r', sure).count();
        if lines > CHUNK_LINES
            && let Some(many) = memchr::memchr2_iter(b'\n', b'\r', sure).nth(CHUNK_LINES)
        {
            return line_end(text, many, self.ended).map_or(0, |(_, next)| next);
        }
        if self.ended { text.len() } else { memchr::memrchr2(b'\n', b'\r', sure).map_or(0, |found| found + 1) }
    }

    fn quoted_boundary(&self) -> usize {
        let mut at = 0;
        for _ in 0..CHUNK_LINES {
            match scan(self.text(), at, self.ended, &self.dialect, &mut ()) {
                Scan::Record { next, .. }
                | Scan::BadQuote { next, .. }
                | Scan::TooLarge { next, .. }
                | Scan::Blank { next }
                | Scan::Comment { next } => at = next,
                Scan::NeedMore { .. } | Scan::End => break,
            }
        }
        at
    }

    /// Passes over the record at the start of the buffer without keeping more of it than a reject shows.
    fn skip_record(&mut self) -> Result<Oversized, BlockError> {
        let limit = self.dialect.max_record.saturating_mul(ENDLESS);
        let start = self.offset;
        let Scan::NeedMore { mut resume, comment } = scan(self.text(), 0, false, &self.dialect, &mut ()) else {
            return Err(io::Error::other("the record skipped is not oversized").into());
        };
        let mut raw = Vec::new();
        keep(&mut raw, &self.text()[..resume]);
        let inner_lines = if comment { 0 } else { count_line_ends(&self.text()[..resume]) };
        loop {
            if let Some((end, next)) = line_end(self.text(), resume, self.ended) {
                let length = usize::try_from(self.offset - start).unwrap_or(usize::MAX) + end;
                if length > limit && !comment {
                    return Err(BlockError::Endless { offset: start, limit });
                }
                keep(&mut raw, &self.text()[resume..end]);
                self.consume(next);
                let reject = (!comment).then(|| self.oversized_reject(length, raw));
                return Ok(Oversized { reject, lines: inner_lines + 1 });
            }
            // Only a final CR, perhaps half of a CRLF, is still needed.
            let sure = self.text().len() - usize::from(self.text().last() == Some(&b'\r'));
            keep(&mut raw, &self.text()[resume..sure]);
            self.consume(sure);
            resume = 0;
            if self.offset - start > limit as u64 && !comment {
                return Err(BlockError::Endless { offset: start, limit });
            }
            self.fill(self.block.max(2))?;
        }
    }

    fn oversized_reject(&self, length: usize, raw: Vec<u8>) -> Reject {
        Reject {
            record: 1,
            line: 1,
            byte_offset: Some(0),
            column: None,
            reason: RejectReason::RecordTooLarge,
            rule: None,
            detail: too_large(length, self.dialect.max_record),
            raw,
        }
    }

    /// Returns the first line end of the buffer, reading on and dropping what lies before; `None` at the end of the text.
    fn find_line_end(&mut self) -> Result<Option<(usize, usize)>, BlockError> {
        loop {
            if self.text().is_empty() {
                self.fill(self.block)?;
            }
            if self.text().is_empty() {
                return Ok(None);
            }
            if let Some(found) = line_end(self.text(), 0, self.ended) {
                return Ok(Some(found));
            }
            let sure = self.text().len() - usize::from(self.text().last() == Some(&b'\r'));
            self.consume(sure);
            self.fill(self.text().len() + self.block)?;
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.done += bytes;
        self.offset += bytes as u64;
    }

    /// What is read and not done with.
    fn text(&self) -> &[u8] {
        &self.buffer[self.done..]
    }

    /// Reads until the buffer holds `target` bytes or the text ends.
    fn fill(&mut self, target: usize) -> Result<(), BlockError> {
        let missing = target.saturating_sub(self.text().len());
        if missing > 0 && !self.ended {
            self.buffer.drain(..self.done);
            self.done = 0;
            let read = self.source.by_ref().take(missing as u64).read_to_end(&mut self.buffer)?;
            self.ended = read < missing;
        }
        Ok(())
    }
}

/// Appends to the bytes of a record that a reject shows, as long as there is room: however the record was cut by reads.
fn keep(raw: &mut Vec<u8>, more: &[u8]) {
    let room = RAW_CAP.saturating_sub(raw.len());
    raw.extend_from_slice(&more[..more.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(max_record: usize) -> Dialect {
        Dialect { delimiter: b',', quote: Some(b'"'), comment: Some(b'#'), max_record }
    }

    fn chunks(text: &[u8], block: usize, max_record: usize) -> Vec<Chunk> {
        let mut blocks = Blocks::new(text, dialect(max_record), block, 0);
        let mut all = Vec::new();
        while let Some(chunk) = blocks.next_chunk(Vec::new()).unwrap() {
            all.push(chunk);
        }
        all
    }

    #[test]
    fn chunks_end_where_records_end_and_add_up_to_the_text() {
        let text = b"a,b\r\n\"c\r\nd\",e\r\nf,g\r\n".repeat(5);
        for block in 1..40 {
            let all = chunks(&text, block, 30);
            let joined: Vec<u8> = all.iter().flat_map(|chunk| chunk.text.clone()).collect();
            assert_eq!(joined, text, "block {block}");
            for chunk in &all {
                assert!(
                    chunk.text.starts_with(b"a,b") || chunk.text.starts_with(b"\"c") || chunk.text.starts_with(b"f,g")
                );
            }
        }
    }

    #[test]
    fn an_oversized_record_streams_by_and_costs_one_reject() {
        let text = [b"a,b\n".to_vec(), b"x".repeat(100), b"\nc,d\n".to_vec()].concat();
        for block in [1, 3, 7, 16] {
            let all = chunks(&text, block, 10);
            let rejects: Vec<_> = all.iter().filter_map(|chunk| chunk.oversized.as_ref()).collect();
            assert_eq!(rejects.len(), 1, "block {block}");
            assert_eq!(rejects[0].reject.as_ref().unwrap().detail, "100 bytes, csv.max_record_bytes is 10");
            assert_eq!(rejects[0].reject.as_ref().unwrap().raw, [b'x'; 100], "block {block}");
            assert_eq!(all.last().unwrap().text, b"c,d\n");
        }
    }

    #[test]
    fn an_endless_line_is_refused_without_buffering_it() {
        let mut blocks = Blocks::new(io::repeat(b'x'), dialect(10), 16, 0);
        let error = blocks.next_chunk(Vec::new()).unwrap_err();
        assert!(matches!(error, BlockError::Endless { offset: 0, limit: 640 }), "{error}");
        assert!(blocks.buffer.capacity() < 1000);
    }

    #[test]
    fn the_head_is_found_behind_skipped_lines_comments_and_blank_lines() {
        let text: &[u8] = b"title,\"x\nby us\n\n# note\n\"a\nb\",c\n1,2\n";
        for block in 1..40 {
            let mut blocks = Blocks::new(text, dialect(30), block, 0);
            let head = blocks.head(2, true).unwrap();
            assert_eq!(head.header.as_deref(), Some(b"\"a\nb\",c".as_slice()), "block {block}");
            assert_eq!((head.lines, head.blank_lines, head.ends.as_slice()), (6, 1, [5, 7].as_slice()));
            assert_eq!(blocks.next_chunk(Vec::new()).unwrap().unwrap().text, b"1,2\n");
        }
    }

    #[test]
    fn a_comment_before_the_header_may_be_of_any_length() {
        for end in ["\n", "\r\n", ""] {
            let text = format!("#{}{end}a,b\n", "x".repeat(100));
            for block in 1..200 {
                let mut blocks = Blocks::new(text.as_bytes(), dialect(9), block, 0);
                let head = blocks.head(0, true).unwrap();
                let header = (!end.is_empty()).then_some(b"a,b".as_slice());
                assert_eq!((head.header.as_deref(), head.fault), (header, None), "block {block}, {end:?}");
            }
        }
    }

    #[test]
    fn a_text_without_header_says_so() {
        assert_eq!(Blocks::new(b"\n\n".as_slice(), dialect(9), 4, 0).head(0, true).unwrap().header, None);
        let head = Blocks::new(b"xxxxxxxxxxxxxxxxxxxxxxx".as_slice(), dialect(9), 4, 0).head(0, true).unwrap();
        assert!(head.fault.unwrap().contains("max_record_bytes"));
    }
}
