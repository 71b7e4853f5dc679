//! The contract of `docs/CSV.md` spelled out: slow, over the whole text at once, and without a line of the reader's code.

use std::collections::BTreeMap;
use std::ops::Range;

use super::case::{Case, Reading, Rejected};
use super::header::{self, Fit};
use super::values::{Cell, cell};
use crate::config::CsvOptions;
use crate::job::{QuarantineReason, RejectReason};

/// Reads a case the way the contract says.
pub(super) fn read(case: &Case) -> Reading {
    let text = Text { bytes: &case.text, csv: &case.csv };
    let (mut reading, mut at) = (Reading::default(), 0);
    while reading.lines < case.csv.skip_lines && at < case.text.len() {
        at = text.line_end(at).1;
        reading.lines += 1;
    }
    let mut fit = header::positional(&case.columns);
    if case.csv.header {
        at = text.pass_over(at, &mut reading);
        match text.header(at) {
            Err(reason) => return Reading::refused(reason),
            Ok((names, next)) => {
                reading.lines += count_lines(&case.text[at..next]);
                at = next;
                match header::fit(&names, case) {
                    Err(reason) => return Reading::refused(reason),
                    Ok(found) => fit = found,
                }
            }
        }
    }
    text.records(at, case, &fit, reading)
}

struct Text<'t> {
    bytes: &'t [u8],
    csv: &'t CsvOptions,
}

/// One record and what is wrong with its form.
struct Record {
    fault: Option<RejectReason>,
    fields: Vec<Range<usize>>,
    end: usize,
    next: usize,
}

impl Text<'_> {
    fn records(&self, mut at: usize, case: &Case, fit: &Fit, mut reading: Reading) -> Reading {
        reading.names = fit.columns.iter().map(|(column, _)| column.name.clone()).collect();
        reading.drift.clone_from(&fit.drift);
        loop {
            at = self.pass_over(at, &mut reading);
            if at >= self.bytes.len() {
                return reading.told();
            }
            let record = self.record(at);
            let bytes = &self.bytes[at..record.end];
            if bytes.len() > self.csv.max_record_bytes * 64 {
                return Reading::refused(QuarantineReason::RecordTooLarge);
            }
            reading.records += 1;
            match self.values(&record, bytes, fit) {
                Ok(row) => reading.rows.push(row),
                Err((reason, column)) => reading.rejects.push(Rejected {
                    record: reading.records,
                    line: reading.lines + 1,
                    offset: case.bom + at as u64,
                    column,
                    reason,
                    raw: bytes[..bytes.len().min(65_536)].to_vec(),
                }),
            }
            reading.lines += count_lines(&self.bytes[at..record.next]);
            at = record.next;
        }
    }

    /// Passes over empty lines and comments.
    fn pass_over(&self, mut at: usize, reading: &mut Reading) -> usize {
        while let Some(first) = self.bytes.get(at) {
            let blank = is_line_end(*first);
            if !blank && Some(*first) != self.csv.comment {
                break;
            }
            reading.blank_lines += u64::from(blank);
            reading.lines += 1;
            at = self.line_end(at).1;
        }
        at
    }

    /// The row, or the first fault in the order of the contract.
    fn values(
        &self,
        record: &Record,
        bytes: &[u8],
        fit: &Fit,
    ) -> Result<Vec<Option<Cell>>, (RejectReason, Option<String>)> {
        let whole = |reason| Err((reason, None));
        if bytes.len() > self.csv.max_record_bytes {
            return whole(RejectReason::RecordTooLarge);
        }
        if let Some(fault) = record.fault {
            return whole(fault);
        }
        if std::str::from_utf8(bytes).is_err() {
            return whole(RejectReason::InvalidEncoding);
        }
        if record.fields.len() < fit.width {
            return whole(RejectReason::TooFewFields);
        }
        if record.fields.len() > fit.width {
            return whole(RejectReason::TooManyFields);
        }
        let mut row = vec![None; fit.columns.len()];
        let mut from_the_left: Vec<_> =
            (0..fit.columns.len()).filter_map(|n| fit.columns[n].1.map(|field| (field, n))).collect();
        from_the_left.sort_unstable();
        for (field, n) in from_the_left {
            let column = &fit.columns[n].0;
            let text = &self.bytes[record.fields[field].clone()];
            row[n] = cell(text, column, self.csv).map_err(|reason| (reason, Some(column.name.clone())))?;
        }
        Ok(row)
    }

    /// The names of the header record at `at`, and where the data begins.
    fn header(&self, at: usize) -> Result<(Vec<String>, usize), QuarantineReason> {
        let record = self.record(at);
        let length = record.end - at;
        if length == 0 || record.fault.is_some() || length > self.csv.max_record_bytes {
            return Err(QuarantineReason::HeaderMismatch);
        }
        let name = |field: &Range<usize>| {
            let text = super::values::text_of(&self.bytes[field.clone()], self.csv.quote).0;
            String::from_utf8(text).map(|name| name.trim().to_owned()).map_err(|_| QuarantineReason::WrongEncoding)
        };
        Ok((record.fields.iter().map(name).collect::<Result<_, _>>()?, record.next))
    }

    /// The record at `start`: one field after the other.
    fn record(&self, start: usize) -> Record {
        let mut fields = Vec::new();
        let mut from = start;
        let stop = |fault, fields, behind| {
            let (end, next) = self.line_end(behind);
            Record { fault, fields, end, next }
        };
        loop {
            if from > start + self.csv.max_record_bytes {
                return stop(Some(RejectReason::RecordTooLarge), fields, from);
            }
            let to = match self.field(from, start) {
                Ok(to) => to,
                Err(behind) => return stop(Some(RejectReason::BadQuote), fields, behind),
            };
            fields.push(from..to);
            if self.bytes.get(to) != Some(&self.csv.delimiter) {
                return stop(None, fields, to);
            }
            from = to + 1;
        }
    }

    /// The end of the field at `from`; or, if its quotes are at fault, where to look for the line end to go on behind.
    fn field(&self, from: usize, record: usize) -> Result<usize, usize> {
        let ends = |at: usize| self.bytes.get(at).is_none_or(|byte| *byte == self.csv.delimiter || is_line_end(*byte));
        let mut at = from;
        if self.csv.quote.is_none() || self.bytes.get(from).copied() != self.csv.quote {
            while !ends(at) {
                at += 1;
            }
            return Ok(at);
        }
        at += 1;
        loop {
            if at >= self.bytes.len() || at >= record + self.csv.max_record_bytes {
                return Err(from);
            }
            let is_quote = Some(self.bytes[at]) == self.csv.quote;
            let doubled = is_quote && self.bytes.get(at + 1).copied() == self.csv.quote;
            at += if doubled { 2 } else { 1 };
            if is_quote && !doubled {
                return if ends(at) { Ok(at) } else { Err(at) };
            }
        }
    }

    /// The first line end at or behind `from`: where it starts and where it ends. The end of the text is one.
    fn line_end(&self, from: usize) -> (usize, usize) {
        let end = (from..self.bytes.len()).find(|at| is_line_end(self.bytes[*at])).unwrap_or(self.bytes.len());
        let next = match self.bytes.get(end..) {
            Some([b'\r', b'\n', ..]) => end + 2,
            Some([_, ..]) => end + 1,
            _ => end,
        };
        (end, next)
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// Physical lines of whole lines; the last one needs no end.
fn count_lines(bytes: &[u8]) -> u64 {
    let ends = |(at, byte): (usize, &u8)| *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    let ended = bytes.iter().enumerate().filter(|pair| ends(*pair)).count() as u64;
    ended + u64::from(bytes.last().is_some_and(|last| !is_line_end(*last)))
}

impl Reading {
    pub(super) fn refused(reason: QuarantineReason) -> Self {
        Self { refused: Some(reason), drift: BTreeMap::new(), ..Self::default() }
    }
}
