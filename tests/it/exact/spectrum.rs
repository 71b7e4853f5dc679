//! csv-spectrum: valid files and what they say.

use serde_json::Value;

use super::{AS_TEXT, once, texts};
use crate::support::{Published, shared_data};

const FILES: [&str; 11] = [
    "comma_in_quotes",
    "empty",
    "empty_crlf",
    "escaped_quotes",
    "json",
    "newlines",
    "newlines_crlf",
    "quotes_and_newlines",
    "simple",
    "simple_crlf",
    "utf8",
];

/// The published rows as the list of objects the set expects.
fn objects(published: &Published) -> Value {
    let (names, rows) = texts(published);
    let object = |row: Vec<Option<String>>| -> Value {
        names
            .iter()
            .zip(row)
            .map(|(name, value)| (name.clone(), value.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    rows.into_iter().map(object).collect()
}

/// Line ends inside values, of one kind.
fn with_crlf(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace(r"\r\n", r"\n").replace(r"\n", r"\r\n")).unwrap()
}

#[test]
fn every_file_holds_what_its_json_says() {
    for name in FILES {
        let Some(file) = shared_data(&format!("torture/csv-spectrum/{name}.csv")) else { return };
        let Some(expected) = shared_data(&format!("torture/csv-spectrum/expected/{name}.json")) else { return };
        let mut expected: Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
        let crlf = with_crlf(&expected);
        if name == "newlines_crlf" {
            // The file in the repository holds LF, its JSON does not; the text inside quotes is what the file has.
            expected = serde_json::from_str(&expected.to_string().replace(r"\r\n", r"\n")).unwrap();
        }
        let (project, published) = once(AS_TEXT, &file);
        assert_eq!(objects(&published), expected, "{name}");
        // What the CRLF files were meant to be.
        let text = std::fs::read_to_string(&file).unwrap().replace('\n', "\r\n");
        std::fs::write(project.path("crlf.csv"), text).unwrap();
        let (_crlf, published) = once(AS_TEXT, &project.path("crlf.csv"));
        assert_eq!(objects(&published), crlf, "{name} with CRLF");
    }
}
