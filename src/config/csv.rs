//! `[pipelines.X.csv]`: how text is cut into records and fields.

use super::CsvOptions;
use super::decode::{Item, Section};

/// Reads the `csv` table.
pub(super) fn read(section: Section<'_>) -> CsvOptions {
    let default = CsvOptions::default();
    let delimiter = section.opt("delimiter");
    let quote = section.opt("quote");
    let comment = section.opt("comment");
    let size = section.opt("max_record_bytes").and_then(|item| item.size(64..=256 << 20));
    let mut options = CsvOptions {
        delimiter: delimiter.as_ref().and_then(byte).flatten().unwrap_or(default.delimiter),
        quote: quote.as_ref().map_or(default.quote, |item| byte(item).flatten()),
        encoding: section.opt("encoding").as_ref().and_then(encoding).unwrap_or(default.encoding),
        null_values: Vec::new(),
        header: section.opt("header").and_then(|item| item.flag()).unwrap_or(default.header),
        comment: comment.as_ref().and_then(|item| byte(item).flatten()),
        skip_lines: section.opt("skip_lines").and_then(|item| item.whole(0..=1_000_000)).unwrap_or(default.skip_lines),
        max_record_bytes: size.and_then(|size| usize::try_from(size).ok()).unwrap_or(default.max_record_bytes),
    };
    check_roles(&options, delimiter.as_ref(), quote.as_ref(), comment.as_ref());
    options.null_values = section.opt("null_values").map_or_else(Vec::new, |item| null_values(&item, &options));
    section.finish();
    options
}

/// One byte, or none for the empty string.
#[expect(clippy::option_option, reason = "the outer one is: reported as faulty")]
fn byte(item: &Item<'_>) -> Option<Option<u8>> {
    let text = item.text()?;
    match text.as_bytes() {
        [] => Some(None),
        [byte] if !matches!(byte, b'\r' | b'\n' | 0 | 0x80..) => Some(Some(*byte)),
        _ => {
            let hint = match text {
                r"\t" => "write it in double quotes: \"\\t\"".to_owned(),
                _ => "one ASCII character that is no line end".to_owned(),
            };
            item.wrong(format!("expected one character, found {text:?}"), hint);
            None
        }
    }
}

fn check_roles(
    options: &CsvOptions,
    delimiter: Option<&Item<'_>>,
    quote: Option<&Item<'_>>,
    comment: Option<&Item<'_>>,
) {
    if let Some(item) = delimiter.filter(|item| item.text() == Some("")) {
        item.wrong("a delimiter cannot be empty", ());
    }
    if options.quote == Some(options.delimiter)
        && let Some(item) = quote.or(delimiter)
    {
        item.wrong("quote and delimiter are the same character", ());
    }
    let taken = |comment: u8| comment == options.delimiter || Some(comment) == options.quote;
    if let (Some(byte), Some(item)) = (options.comment, comment)
        && taken(byte)
    {
        item.wrong("the comment character is also the quote or the delimiter", ());
    }
}

fn encoding(item: &Item<'_>) -> Option<&'static encoding_rs::Encoding> {
    let text = item.text()?;
    let found = encoding_rs::Encoding::for_label_no_replacement(text.as_bytes());
    if found.is_none() {
        item.wrong(
            format!("{text:?} is no known encoding"),
            "a WHATWG name: utf-8, utf-16le, windows-1252, iso-8859-15, shift_jis, gbk ...",
        );
    }
    found
}

/// The empty field is null in any case, so it need not be kept.
fn null_values(item: &Item<'_>, options: &CsvOptions) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    for (item, text) in item.texts().unwrap_or_default() {
        let bytes = text.as_bytes();
        if bytes.iter().any(|byte| *byte == options.delimiter || matches!(byte, b'\r' | b'\n')) {
            item.wrong(
                format!("{text:?} can never be a field"),
                "it holds the delimiter or a line end, and quoted fields are never null",
            );
        } else if !bytes.is_empty() && !values.iter().any(|value| value == bytes) {
            values.push(bytes.to_owned());
        }
    }
    values
}
