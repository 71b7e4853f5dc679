//! A record that is no row, with everything needed to find and mend it.

use crate::job::RejectReason;

/// Most bytes of a record kept in [`Reject::raw`].
pub const RAW_CAP: usize = 64 << 10;

/// Most characters of a value quoted in [`Reject::detail`].
const QUOTED_CAP: usize = 80;

/// A rejected record: one row of `rejects.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Number of the data record in the file, from 1.
    pub record: u64,
    /// Physical line on which it starts, from 1.
    pub line: u64,
    /// Offset of its first byte in the decompressed file, a BOM included; `None` for transcoded input.
    pub byte_offset: Option<u64>,
    /// The column at fault; `None` if the whole record is.
    pub column: Option<String>,
    /// Why.
    pub reason: RejectReason,
    /// The rule that failed.
    pub rule: Option<String>,
    /// What was found and what was expected.
    pub detail: String,
    /// The record's bytes without its line end, at most [`RAW_CAP`].
    pub raw: Vec<u8>,
}

impl Reject {
    /// Turns positions within a chunk into positions within the file.
    pub fn shift(&mut self, base: &Position) {
        self.record += base.records;
        self.line += base.lines;
        self.byte_offset = match (self.byte_offset, base.offset) {
            (Some(own), Some(base)) => Some(own + base),
            (_, None) | (None, _) => None,
        };
    }
}

/// Where a chunk begins: what lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Data records before the chunk.
    pub records: u64,
    /// Physical lines before the chunk.
    pub lines: u64,
    /// Bytes before the chunk; `None` for transcoded input, whose offsets would mean nothing to the sender.
    pub offset: Option<u64>,
}

/// Returns the first bytes of a record that a reject keeps.
#[must_use]
pub fn raw(record: &[u8]) -> Vec<u8> {
    record.get(..RAW_CAP).unwrap_or(record).to_vec()
}

/// Returns a value fit for a message: in quotes, invalid bytes as U+FFFD, cut when long.
#[must_use]
pub fn quoted(value: &[u8]) -> String {
    let head = value.get(..QUOTED_CAP * 4).unwrap_or(value);
    let text = String::from_utf8_lossy(head);
    let mut shown: String = text.chars().take(QUOTED_CAP).flat_map(char::escape_debug).collect();
    if shown.len() < value.len() && text.chars().count() > QUOTED_CAP || head.len() < value.len() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}
