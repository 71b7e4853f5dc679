//! Files in other encodings, against Python's decoders and Python's reader.

use super::{once, texts};
use crate::support::{Project, Published, published_under, python, shared_data};

/// File, our name of its encoding (none: its byte order mark tells), Python's name, and whether it has a header.
const FILES: [(&str, Option<&str>, &str, bool); 10] = [
    ("duckdb-encodings/latin1.csv", Some("iso-8859-1"), "latin-1", true),
    ("duckdb-encodings/latin1.csv.gz", Some("iso-8859-1"), "latin-1", true),
    ("duckdb-encodings/only_latin1.csv", Some("iso-8859-1"), "latin-1", false),
    ("duckdb-encodings/all_latin1.csv", Some("iso-8859-1"), "latin-1", false),
    ("duckdb-encodings/utf16.csv", None, "utf-16", true),
    ("duckdb-encodings/utf16.csv.gz", None, "utf-16", true),
    ("duckdb-encodings/only_utf16.csv", None, "utf-16", false),
    ("duckdb-encodings/all_utf16.csv", None, "utf-16", false),
    ("duckdb-encodings/shift_jis.csv", Some("shift_jis"), "shift_jis", true),
    ("csvlint/invalid-byte-sequence.csv", Some("iso-8859-1"), "latin-1", true),
];

/// Every column as text, by the header's names or so many by position.
fn config(encoding: Option<&str>, header: bool, width: usize) -> String {
    let encoding = encoding.map_or_else(String::new, |name| format!("encoding = \"{name}\"\n"));
    let columns: String = (1..=width).map(|n| format!("column_{n} = \"string\"\n")).collect();
    let columns =
        if header { "[pipelines.p.drift]\nextra = \"keep\"\n" } else { &format!("[pipelines.p.columns]\n{columns}") };
    format!("[pipelines.p.csv]\n{encoding}header = {header}\n{columns}[pipelines.p.accept]\nmax_reject_ratio = 1.0\n")
}

/// The records of a file as Python reads it, the header among them.
fn by_python(name: &str, encoding: &str) -> Option<(std::path::PathBuf, Vec<Vec<String>>)> {
    let file = shared_data(&format!("torture/{name}"))?;
    let records = python("exact/decode.py", &[file.to_str().unwrap(), encoding])?;
    Some((file, serde_json::from_str(&records).unwrap()))
}

/// The same of what was published. Python knows no null, and no name for a blank one.
fn by_us(published: &Published, header: bool) -> Vec<Vec<String>> {
    let (names, rows) = texts(published);
    let name =
        |(n, name): (usize, &String)| if *name == format!("column_{}", n + 1) { String::new() } else { name.clone() };
    let names = names.iter().enumerate().map(name).collect();
    let rows = rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect());
    header.then_some(names).into_iter().chain(rows).collect()
}

#[test]
fn every_file_is_decoded_to_the_text_python_decodes_it_to() {
    for (name, encoding, theirs, header) in FILES {
        let Some((file, expected)) = by_python(name, theirs) else { return };
        let (_project, published) = once(&config(encoding, header, expected[0].len()), &file);
        let found = by_us(&published, header);
        let differs = found.iter().zip(&expected).find(|(ours, theirs)| ours != theirs);
        assert_eq!((differs, found.len()), (None, expected.len()), "{name}");
        assert_eq!(published.rows()[2], 0, "{name}");
        assert_ne!(published.manifest["input"]["encoding"], "utf-8", "{name} proves nothing");
    }
}

#[test]
fn read_as_utf_8_they_are_refused_or_rejected_but_never_misread() {
    for (name, _, theirs, header) in FILES.into_iter().filter(|(_, encoding, ..)| encoding.is_some()) {
        let Some((file, expected)) = by_python(name, theirs) else { return };
        let project = Project::new(&config(None, header, expected[0].len()));
        let ran = project.cli().args(["once", "-p", "p", "--out", "out", "--json"]).arg(&file).run().json();
        let told = &ran["files"][0];
        if told["outcome"] == "quarantined" {
            assert_eq!(told["reason"], "wrong_encoding", "{name}");
            continue;
        }
        assert!(told["rejects"]["invalid_encoding"].as_u64().unwrap() > 0, "{name}");
        let found = published_under(&project.path("out"))
            .iter()
            .flat_map(|published| by_us(published, header))
            .collect::<Vec<_>>();
        assert!(found.iter().all(|row| expected.contains(row)), "{name}: a value nobody sent");
    }
}

/// Our name of an encoding, Python's of the same, how many characters beyond ASCII it has at least, and how many of them the
/// tables of the WHATWG, which are ours, have elsewhere: signs beside their like of full width, a letter of a later edition.
const TABLES: [(&str, &str, usize, usize); 19] = [
    ("windows-1252", "cp1252", 123, 0),
    ("windows-1250", "cp1250", 123, 0),
    ("windows-1251", "cp1251", 127, 0),
    ("windows-1253", "cp1253", 111, 0),
    ("windows-1254", "cp1254", 121, 0),
    ("windows-1257", "cp1257", 116, 0),
    ("iso-8859-2", "iso8859-2", 128, 0),
    ("iso-8859-5", "iso8859-5", 128, 0),
    ("iso-8859-15", "iso8859-15", 128, 0),
    ("koi8-r", "koi8-r", 128, 0),
    ("ibm866", "cp866", 128, 0),
    ("macintosh", "mac-roman", 127, 0),
    ("euc-kr", "cp949", 17_000, 0),
    ("gbk", "gbk", 21_000, 0),
    ("gb18030", "gb18030", 56_000, 1),
    ("big5", "big5hkscs", 13_000, 11),
    ("euc-jp", "euc_jp", 13_000, 6),
    ("iso-2022-jp", "iso2022_jp", 6_800, 6),
    ("shift_jis", "cp932", 7_300, 0),
];

#[test]
fn every_character_of_an_encoding_is_the_one_python_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("characters.csv");
    for (encoding, theirs, at_least, elsewhere) in TABLES {
        let Some(rows) = python("exact/encode.py", &[file.to_str().unwrap(), theirs]) else { return };
        let expected: Vec<String> = serde_json::from_str(&rows).unwrap();
        assert!(expected.len() >= at_least, "{encoding}: only {} characters", expected.len());
        let (_project, published) = once(&config(Some(encoding), true, 1), &file);
        let found: Vec<_> = texts(&published).1.into_iter().flatten().map(Option::unwrap_or_default).collect();
        assert_eq!(found.len(), expected.len(), "{encoding}");
        let differ: Vec<_> = found.iter().zip(&expected).filter(|(ours, theirs)| ours != theirs).collect();
        assert_eq!(differ.len(), elsewhere, "{encoding}: {:?}", &differ[..differ.len().min(20)]);
    }
}
