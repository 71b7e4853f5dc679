//! Writing the proposed configuration as TOML with comments. Pure.

use std::ffi::OsStr;

use super::Survey;
use super::guess::{Column, Guess};
use crate::cli::console::count;
use crate::job::display_name;

/// Where a proposal comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// Name of the pipeline.
    pub(super) pipeline: String,
    /// The file's name, escaped for display.
    pub(super) file: String,
    /// What is behind its last dot.
    pub(super) extension: Option<String>,
}

/// Makes a pipeline name out of a file name: `yellow_tripdata_2015-01.csv` is one drop of `yellow_tripdata`.
pub(super) fn pipeline_name(file: &str) -> String {
    let stem = file.split('.').next().unwrap_or_default();
    let words: Vec<String> = stem
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.bytes().any(|byte| byte.is_ascii_alphabetic()))
        .map(str::to_ascii_lowercase)
        .collect();
    let name: String = words.join("_").chars().take(64).collect();
    if name.is_empty() { "feed".to_owned() } else { name }
}

/// Returns the whole configuration.
pub(super) fn config(origin: &Origin, found: &Survey) -> String {
    let Origin { pipeline, file, .. } = origin;
    let mut toml = String::new();
    let seen = match (found.rows, found.cut) {
        (0, _) => "the header alone".to_owned(),
        (1, false) => "the one row".to_owned(),
        (rows, false) => format!("all {} rows", count(rows)),
        (rows, true) => format!("the first {} rows", count(rows)),
    };
    for line in [
        format!("# forebay configuration, proposed from {seen} of {file}."),
        "# Types fit every value seen; go through them once, then try:".to_owned(),
        "#   forebay check FILE           which rows would be rejected, and why".to_owned(),
        "#   forebay once FILE --out DIR  the result of one file, without a daemon".to_owned(),
        format!("#   forebay run                  the daemon: drop files into data/in/{pipeline}"),
        String::new(),
        format!("[pipelines.{pipeline}]"),
        files(origin.extension.as_deref()),
        String::new(),
    ] {
        toml.push_str(&line);
        toml.push('\n');
    }
    csv_section(&mut toml, pipeline, found);
    columns_section(&mut toml, pipeline, found);
    closing(&mut toml, pipeline, found);
    toml
}

fn files(extension: Option<&str>) -> String {
    let globs = match extension {
        None | Some("csv" | "gz" | "zst") => vec!["*.csv".to_owned(), "*.csv.gz".to_owned(), "*.csv.zst".to_owned()],
        Some(other) if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            vec![format!("*.{other}"), format!("*.{other}.gz"), format!("*.{other}.zst")]
        }
        Some(_) => vec!["*".to_owned()],
    };
    format!("files = [{}]", globs.iter().map(|glob| quoted(glob)).collect::<Vec<_>>().join(", "))
}

fn csv_section(toml: &mut String, pipeline: &str, found: &Survey) {
    let mut tokens: Vec<&str> = Vec::new();
    for (_, column) in &found.columns {
        if !matches!(column.guess(), Guess::Plain("string")) {
            for token in &column.tokens {
                if !tokens.contains(token) {
                    tokens.push(token);
                }
            }
        }
    }
    let mut lines = vec![format!("[pipelines.{pipeline}.csv]")];
    lines.push(format!("delimiter = {}", quoted(&char::from(found.delimiter).to_string())));
    lines.push(format!("encoding = {}", quoted(&found.encoding)));
    if !found.header {
        lines.push("header = false                            # columns by position, in the order below".to_owned());
    }
    if !tokens.is_empty() {
        let list: Vec<String> = std::iter::once("").chain(tokens).map(quoted).collect();
        lines.push(format!("null_values = [{}]   # these keep a column from being typed", list.join(", ")));
    }
    toml.push_str(&lines.join("\n"));
    toml.push_str("\n\n");
}

fn columns_section(toml: &mut String, pipeline: &str, found: &Survey) {
    let keys: Vec<String> = found.columns.iter().map(|(name, _)| key(name)).collect();
    let width = widest(&keys, 32);
    let entries: Vec<String> = keys
        .iter()
        .zip(&found.columns)
        .map(|(key, (_, column))| format!("{key:<width$} = {}", value(column)))
        .collect();
    let width = widest(&entries, 80);
    let heading = format!("[pipelines.{pipeline}.columns]");
    let lines =
        entries.iter().zip(&found.columns).map(|(entry, (_, column))| format!("{entry:<width$} # {}", comment(column)));
    for line in std::iter::once(heading).chain(lines).chain([String::new()]) {
        toml.push_str(&line);
        toml.push('\n');
    }
}

/// Returns the width of the widest text that is not wider than `limit`.
fn widest(texts: &[String], limit: usize) -> usize {
    texts.iter().map(|text| text.chars().count()).filter(|width| *width <= limit).max().unwrap_or(0)
}

fn value(column: &Column) -> String {
    let (kind, extra) = match column.guess() {
        Guess::Plain(kind) => (kind, None),
        Guess::DecimalComma => ("float64", Some("decimal_comma = true".to_owned())),
        Guess::Formatted(kind, format) => (kind, Some(format!("format = {}", quoted(format)))),
        Guess::DayOrMonth(..) => ("string", None),
    };
    let trim = (kind != "string" && column.padded > 0).then(|| "trim = true".to_owned());
    let extras: Vec<String> = extra.into_iter().chain(trim).collect();
    if extras.is_empty() { quoted(kind) } else { format!("{{ type = {}, {} }}", quoted(kind), extras.join(", ")) }
}

fn comment(column: &Column) -> String {
    let mut notes = Vec::new();
    if column.filled == 0 {
        notes.push(if column.empty == 0 { "no value to go by" } else { "empty in every row" }.to_owned());
    } else {
        let example: String = column.example.chars().take(24).collect();
        notes.push(display_name(OsStr::new(&example)));
        notes.push(match column.empty {
            0 => "never empty".to_owned(),
            empty => format!("{} empty", count(empty)),
        });
    }
    if column.leading_zeros > 0 {
        notes.push(format!("{} with leading zeros a number would lose", count(column.leading_zeros)));
    }
    if column.whole_numbers_as_floats() {
        notes.push("whole numbers written as floats".to_owned());
    }
    if let Guess::DayOrMonth(kind, [day_first, month_first]) = column.guess() {
        notes.push(format!(
            "day or month first? {{ type = \"{kind}\", format = \"{day_first}\" }} or \"{month_first}\": both fit"
        ));
    }
    if column.padded > 0 {
        notes.push(format!("blanks around {} values", count(column.padded)));
    }
    notes.join("; ")
}

fn closing(toml: &mut String, pipeline: &str, found: &Survey) {
    let numbers =
        |guesses: &'static [Guess]| found.columns.iter().rfind(|(_, column)| guesses.contains(&column.guess()));
    let number = numbers(&[Guess::Plain("float64"), Guess::DecimalComma]).or_else(|| numbers(&[Guess::Plain("int64")]));
    let name = number.map_or("amount", |(name, _)| name.as_str());
    let name = format!("\"{}\"", name.replace('"', "\"\""));
    let lines = [
        "# Rules are SQL over one row: false rejects the row, NULL passes. For example:".to_owned(),
        format!("# [pipelines.{pipeline}.rules]"),
        format!("# not_negative = {}", quoted(&format!("{} >= 0", display_name(OsStr::new(&name))))),
        String::new(),
        "# A file is quarantined when its rejects exceed both of these.".to_owned(),
        format!("[pipelines.{pipeline}.accept]"),
        "max_reject_ratio = 0.05".to_owned(),
        "max_rejects = 10".to_owned(),
        String::new(),
        "# One Parquet file per aggregate, beside the rows. For example:".to_owned(),
        format!("# [pipelines.{pipeline}.aggregates.total]"),
        "# sql = \"SELECT COUNT(*) AS row_count FROM rows\"".to_owned(),
    ];
    toml.push_str(&lines.join("\n"));
    toml.push('\n');
}

/// Returns `text` as a TOML basic string: JSON's escapes are TOML's too, but for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Returns `name` as a TOML key, bare if it may be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::super::{sample, survey};
    use super::*;

    fn proposal(text: &[u8]) -> String {
        let found = survey(&sample::decode(text, false).unwrap(), false);
        let origin =
            Origin { pipeline: "feed".to_owned(), file: "feed.csv".to_owned(), extension: Some("csv".to_owned()) };
        config(&origin, &found)
    }

    #[test]
    fn names_of_drops_become_names_of_feeds() {
        for (file, name) in [
            ("yellow_tripdata_2015-01.csv", "yellow_tripdata"),
            ("flights_on_time_performance_1987_10.csv", "flights_on_time_performance"),
            ("2010-12-01.csv", "feed"),
            ("white space in filename.csv.gz", "white_space_in_filename"),
            ("Überweisung.csv", "berweisung"),
            ("", "feed"),
        ] {
            assert_eq!(pipeline_name(file), name);
        }
    }

    #[test]
    fn a_proposal_is_sound_toml_whatever_the_names_hold() {
        let text = b"plain,\"with \"\"quotes\"\" and, comma\",\"two\nlines\",caf\xe9,\"\x7f\"\n1,2.5,x,2020-01-02,\n";
        let toml = proposal(text);
        let parsed: toml::Table = toml.parse().unwrap();
        let pipeline = &parsed["pipelines"]["feed"];
        let columns = pipeline["columns"].as_table().unwrap();
        let names: Vec<&String> = columns.keys().collect();
        assert_eq!(names, ["plain", "with \"quotes\" and, comma", "two\nlines", "café", "\x7f"]);
        assert_eq!(columns["plain"].as_str(), Some("int64"));
        assert_eq!(columns["café"]["format"].as_str(), Some("%Y-%m-%d"));
        assert_eq!(pipeline["csv"]["encoding"].as_str(), Some("windows-1252"));
    }

    #[test]
    fn a_semicolon_file_with_decimal_commas() {
        let parsed: toml::Table = proposal(b"a;b\n1,5;x\n-0,25;NA\n").parse().unwrap();
        let pipeline = &parsed["pipelines"]["feed"];
        assert_eq!(pipeline["csv"]["delimiter"].as_str(), Some(";"));
        assert_eq!(pipeline["columns"]["a"]["decimal_comma"].as_bool(), Some(true));
        assert!(pipeline["csv"].get("null_values").is_none(), "NA is text in a column of text");
    }

    #[test]
    fn without_a_header_columns_get_numbers() {
        let parsed: toml::Table = proposal(b"1,x\n2,y\n").parse().unwrap();
        let pipeline = &parsed["pipelines"]["feed"];
        assert_eq!(pipeline["csv"]["header"].as_bool(), Some(false));
        assert_eq!(pipeline["columns"]["column_2"].as_str(), Some("string"));
    }

    #[test]
    fn a_proposal_says_what_it_was_made_from() {
        for (text, seen) in [("a\n", "the header alone"), ("a\n1\n", "the one row"), ("a\n1\n2\n", "all 2 rows")] {
            let toml = proposal(text.as_bytes());
            let told = format!("# forebay configuration, proposed from {seen} of feed.csv.\n");
            assert!(toml.starts_with(&told), "{toml}");
        }
        assert!(proposal(b"a\n").contains("a = \"string\" # no value to go by\n"));
    }

    #[test]
    fn unnamed_and_repeated_columns_are_left_out_and_told() {
        let found = survey(&sample::decode(b"a,,a,b,\n1,2,3,4,\n", false).unwrap(), false);
        let names: Vec<&str> = found.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let warnings = [
            "2 columns have no name and are left out",
            "column 'a' is there twice: forebay refuses such files (duplicate_header)",
        ];
        assert_eq!(found.warnings, warnings);
        let one = survey(&sample::decode(b"a,\n1,2\n", false).unwrap(), false);
        assert_eq!(one.warnings, ["1 column has no name and is left out"]);
    }
}
