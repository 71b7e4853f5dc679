//! Looking at a sample: compression, encoding, delimiter, header. Pure.

use std::borrow::Cow;

/// What the bytes of a text turned out to be written in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded<'a> {
    /// The text, without a BOM.
    pub(super) text: Cow<'a, str>,
    /// WHATWG name in lower case.
    pub(super) encoding: String,
    /// Whether this is a guess: neither a BOM nor valid UTF-8 says so.
    pub(super) guessed: bool,
}

/// Decodes a sample. A BOM decides; else valid UTF-8 is UTF-8; else it is read as windows-1252, in which nearly every byte
/// means something. `cut` says that the sample ends in the middle of the file, maybe in the middle of a character.
///
/// Returns `None` for what is no text: NUL bytes without a BOM of UTF-16.
pub(super) fn decode(bytes: &[u8], cut: bool) -> Option<Decoded<'_>> {
    if let Some((encoding, bom)) = encoding_rs::Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(bytes.get(bom..).unwrap_or_default());
        return Some(Decoded { text, encoding: encoding.name().to_ascii_lowercase(), guessed: false });
    }
    if bytes.contains(&0) {
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        // `error_len` is `None` when the end of input cut a character short.
        Err(error) if cut && error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).and_then(|sound| std::str::from_utf8(sound).ok())
        }
        Err(_) => None,
    };
    if let Some(text) = text {
        return Some(Decoded { text: Cow::Borrowed(text), encoding: "utf-8".to_owned(), guessed: false });
    }
    let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
    Some(Decoded { text, encoding: "windows-1252".to_owned(), guessed: true })
}

/// Cuts text into records and fields, with the same meaning of a quote as the real reader, but without its accounting.
#[derive(Debug, Clone)]
pub(super) struct Records<'a> {
    rest: &'a str,
    delimiter: u8,
}

impl<'a> Records<'a> {
    pub(super) fn new(text: &'a str, delimiter: u8) -> Self {
        Self { rest: text, delimiter }
    }

    /// Cuts one field off `rest` and says what came behind it.
    fn field(&mut self) -> (Cow<'a, str>, End) {
        if let Some(behind) = self.rest.strip_prefix('"') {
            let mut text = String::new();
            let mut rest = behind;
            while let Some((part, behind)) = rest.split_once('"') {
                text.push_str(part);
                if let Some(behind) = behind.strip_prefix('"') {
                    text.push('"');
                    rest = behind;
                } else {
                    // Text after the closing quote makes the record faulty; here it is simply read on.
                    self.rest = behind;
                    let (tail, end) = self.plain();
                    text.push_str(tail);
                    return (Cow::Owned(text), end);
                }
            }
        }
        let (text, end) = self.plain();
        (Cow::Borrowed(text), end)
    }

    fn plain(&mut self) -> (&'a str, End) {
        let delimiter = self.delimiter;
        let found = self.rest.bytes().position(|byte| byte == delimiter || byte == b'\n' || byte == b'\r');
        let (text, rest) = self.rest.split_at(found.unwrap_or(self.rest.len()));
        let (end, rest) = if let Some(rest) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\r', '\n'])) {
            (End::Line, rest)
        } else if let Some(rest) = rest.strip_prefix(char::from(delimiter)) {
            (End::Field, rest)
        } else {
            (End::Text, rest)
        };
        self.rest = rest;
        (text, end)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Field,
    Line,
    Text,
}

impl<'a> Iterator for Records<'a> {
    type Item = Vec<Cow<'a, str>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_start_matches(['\r', '\n']);
        if self.rest.is_empty() {
            return None;
        }
        let mut record = Vec::new();
        loop {
            let (text, end) = self.field();
            record.push(text);
            if end != End::Field {
                return Some(record);
            }
        }
    }
}

/// How many records [`delimiter`] looks at.
const RECORDS_FOR_DELIMITER: usize = 1000;

/// Returns the delimiter that cuts most records into the same number of fields, at least two; with none, a comma (a file
/// of one column has no delimiter to find).
pub(super) fn delimiter(text: &str) -> u8 {
    let score = |delimiter: u8| {
        let mut counts = std::collections::BTreeMap::new();
        let mut records = 0_usize;
        for record in Records::new(text, delimiter).take(RECORDS_FOR_DELIMITER) {
            *counts.entry(record.len()).or_insert(0_usize) += 1;
            records += 1;
        }
        let (fields, agree) = counts.into_iter().max_by_key(|&(_, agree)| agree).unwrap_or((0, 0));
        // Agreement in percent first, then the number of fields.
        (fields >= 2).then(|| (agree * 100 / records.max(1), fields))
    };
    let mut best = (b',', None);
    for candidate in [b',', b';', b'\t', b'|'] {
        let score = score(candidate);
        if score > best.1 {
            best = (candidate, score);
        }
    }
    best.0
}

/// Returns whether the first record names the columns: it has a name, and none of its fields looks like a value.
pub(super) fn is_header(first: &[Cow<'_, str>]) -> bool {
    let value = |field: &str| {
        let field = field.trim();
        field.starts_with(|c: char| c.is_ascii_digit())
            || (field.starts_with(['-', '+', '.']) && field.chars().any(|c| c.is_ascii_digit()))
    };
    first.iter().any(|field| !field.trim().is_empty()) && !first.iter().any(|field| value(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str, delimiter: u8) -> Vec<Vec<String>> {
        Records::new(text, delimiter).map(|record| record.into_iter().map(Cow::into_owned).collect()).collect()
    }

    #[test]
    fn records_are_cut_with_quotes_and_any_line_end() {
        assert_eq!(
            records("a,b\r\n1,\"x,\ny\"\"z\"\n\n3,", b','),
            [vec!["a", "b"], vec!["1", "x,\ny\"z"], vec!["3", ""]]
        );
        assert_eq!(records("a\rb", b','), [["a"], ["b"]]);
        assert_eq!(records("", b','), Vec::<Vec<String>>::new());
    }

    #[test]
    fn faults_in_quoting_do_not_stop_the_sample() {
        assert_eq!(records("\"a\"x,b\n1\"60,2\n", b','), [["ax", "b"], ["1\"60", "2"]]);
        assert_eq!(records("\"never,closed\n1,2", b','), [["\"never", "closed"], ["1", "2"]]);
    }

    #[test]
    fn the_delimiter_that_cuts_evenly_wins() {
        assert_eq!(delimiter("a;b;c\n1,5;2,5;3\n4;5,1;6\n"), b';');
        assert_eq!(delimiter("a,b\n\"x;y;z\",1\n\"q\",2\n"), b',');
        assert_eq!(delimiter("a\tb\n1\t2\n"), b'\t');
        assert_eq!(delimiter("name|text\nx|a,b,c\ny|d\n"), b'|');
        assert_eq!(delimiter("only\none\ncolumn\n"), b',');
        assert_eq!(delimiter(""), b',');
    }

    #[test]
    fn a_header_holds_no_values() {
        let header = |line: &str| is_header(&Records::new(line, b',').next().unwrap());
        assert!(header("VendorID,fare_amount,,\"a b\""));
        assert!(!header("1,2015-01-02"));
        assert!(!header("Zurich,-3.5"));
        assert!(!header(",,"));
    }

    #[test]
    fn encodings_by_bom_then_utf8_then_a_guess() {
        let of = |bytes: &[u8]| decode(bytes, false).map(|d| (d.text.into_owned(), d.encoding, d.guessed));
        let expect = |text: &str, encoding: &str, guessed| Some((text.to_owned(), encoding.to_owned(), guessed));
        assert_eq!(of(b"\xef\xbb\xbfa"), expect("a", "utf-8", false));
        assert_eq!(of("é".as_bytes()), expect("é", "utf-8", false));
        assert_eq!(of(b"caf\xe9"), expect("café", "windows-1252", true));
        assert_eq!(of(b"\xff\xfea\0"), expect("a", "utf-16le", false));
        assert_eq!(of(b"PK\x03\x04\0\0"), None);
    }

    #[test]
    fn a_character_cut_by_the_end_of_the_sample_is_no_fault() {
        let bytes = "aé".as_bytes();
        assert_eq!(decode(&bytes[..2], true).map(|d| d.encoding), Some("utf-8".to_owned()));
        assert_eq!(decode(&bytes[..2], false).map(|d| d.encoding), Some("windows-1252".to_owned()));
    }
}
