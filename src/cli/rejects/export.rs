//! Rejected records as a file that can be mended and dropped again: the original's header, then the records, in the
//! original's encoding and with its line ends.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use polars::prelude::DataFrame;

use crate::cli::console::Console;
use crate::cli::exit::Failure;
use crate::cli::shared;
use crate::config::{CsvOptions, Pipeline};
use crate::csv::reject::RAW_CAP;
use crate::ledger::FileRow;

/// As much of the original as is read to find its header.
const HEAD_BYTES: u64 = 4 << 20;

/// Prints the export of one file, whose `raw` column is given.
pub(super) fn export(
    row: &FileRow,
    pipeline: Option<&Pipeline>,
    raw: &DataFrame,
    console: &Console,
) -> Result<(), Failure> {
    let options = pipeline.map(|pipeline| pipeline.csv.clone()).unwrap_or_default();
    let head = Head::of(row, &options, console);
    let names = || pipeline.map(header_line).unwrap_or_default();
    console.result_bytes(head.bom());
    if options.header {
        head.print(head.header.clone().unwrap_or_else(names).as_bytes(), console);
    }
    let raw = raw.column("raw").and_then(|column| column.binary().cloned()).map_err(Failure::internal)?;
    let mut cut = 0;
    for record in raw.iter().flatten() {
        cut += usize::from(record.len() >= RAW_CAP);
        head.print(record, console);
    }
    if cut > 0 {
        console.warn(&format!("{cut} of the records are cut: only their first {RAW_CAP} bytes are kept"));
    }
    Ok(())
}

/// What the start of the original says.
#[derive(Debug)]
struct Head {
    encoding: &'static Encoding,
    header: Option<String>,
    line_end: &'static str,
}

impl Head {
    fn of(row: &FileRow, options: &CsvOptions, console: &Console) -> Self {
        let places = row.resting.iter().chain(std::iter::once(&row.input_path));
        let start = places.into_iter().find_map(|path| shared::text_start(path, HEAD_BYTES).ok());
        let Some((bytes, _)) = start else {
            if options.header {
                console.warn("the original is gone: the header is made from the configuration");
            }
            return Self { encoding: options.encoding, header: None, line_end: "\n" };
        };
        let (encoding, bom) = Encoding::for_bom(&bytes).unwrap_or((options.encoding, 0));
        let (text, _) = encoding.decode_without_bom_handling(bytes.get(bom..).unwrap_or_default());
        let header = first_record(&text, options).map(str::to_owned);
        let crlf = text.find('\n').is_some_and(|at| at > 0 && text.as_bytes().get(at - 1) == Some(&b'\r'));
        Self { encoding, header, line_end: if crlf { "\r\n" } else { "\n" } }
    }

    /// A file in UTF-16 is not recognised without its BOM.
    fn bom(&self) -> &'static [u8] {
        if self.encoding == UTF_16LE {
            b"\xff\xfe"
        } else if self.encoding == UTF_16BE {
            b"\xfe\xff"
        } else {
            b""
        }
    }

    fn print(&self, record: &[u8], console: &Console) {
        console.result_bytes(&encode(record, self.encoding));
        console.result_bytes(&encode(self.line_end.as_bytes(), self.encoding));
    }
}

/// Returns a record in the original's encoding. In UTF-8 files it is still as it came, sound or not; in others it was
/// decoded before it was rejected.
fn encode(record: &[u8], encoding: &'static Encoding) -> Vec<u8> {
    if encoding == UTF_8 {
        return record.to_vec();
    }
    let text = String::from_utf8_lossy(record);
    if encoding == UTF_16LE {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    } else if encoding == UTF_16BE {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    } else {
        encoding.encode(&text).0.into_owned()
    }
}

/// Returns the first record of a text as it stands there, without its line end.
fn first_record<'t>(text: &'t str, options: &CsvOptions) -> Option<&'t str> {
    let mut rest = text;
    let behind_line = |text: &'t str| match text.find(['\r', '\n']) {
        Some(at) => {
            let rest = text.get(at..).unwrap_or_default();
            rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or_default()
        }
        None => "",
    };
    for _ in 0..options.skip_lines {
        rest = behind_line(rest);
    }
    loop {
        if rest.starts_with(['\r', '\n']) || options.comment.is_some_and(|mark| rest.as_bytes().first() == Some(&mark))
        {
            rest = behind_line(rest);
        } else {
            break;
        }
    }
    let mut quoted = false;
    let end = rest.bytes().position(|byte| {
        quoted ^= Some(byte) == options.quote;
        !quoted && (byte == b'\n' || byte == b'\r')
    });
    let record = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    (!record.is_empty()).then_some(record)
}

/// Returns a header made of the configured columns.
fn header_line(pipeline: &Pipeline) -> String {
    let delimiter = char::from(pipeline.csv.delimiter);
    let field = |name: &str| {
        if name.contains([delimiter, '"', '\r', '\n']) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            name.to_owned()
        }
    };
    let names: Vec<String> = pipeline.columns.iter().map(|column| field(&column.name)).collect();
    names.join(&delimiter.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str, skip_lines: u64, comment: Option<u8>) -> Option<&str> {
        first_record(text, &CsvOptions { comment, skip_lines, ..CsvOptions::default() })
    }

    #[test]
    fn the_header_is_found_as_it_stands() {
        assert_eq!(first("a,\"b\n\"\"c\"\"\",d\r\n1,2,3\n", 0, None), Some("a,\"b\n\"\"c\"\"\",d"));
        assert_eq!(first("\n\na,b", 0, None), Some("a,b"));
        assert_eq!(first("title\r\n# x\na,b\n1,2", 1, Some(b'#')), Some("a,b"));
        assert_eq!(first("", 0, None), None);
        assert_eq!(first("only", 3, None), None);
    }

    #[test]
    fn records_go_back_into_the_encoding_they_came_in() {
        assert_eq!(encode("Zürich".as_bytes(), encoding_rs::WINDOWS_1252), b"Z\xfcrich");
        assert_eq!(encode("ü".as_bytes(), UTF_16LE), b"\xfc\0");
        assert_eq!(encode("ü".as_bytes(), UTF_16BE), b"\0\xfc");
        assert_eq!(encode(b"caf\xe9", UTF_8), b"caf\xe9");
    }
}
