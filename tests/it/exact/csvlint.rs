//! csvlint's fixtures: tiny files with one defect each, and what becomes of it here.

use super::AS_TEXT;
use crate::support::{Project, published_under, rejects, shared_data};

/// What a file should become.
enum Becomes {
    /// So many rows, and no rejects.
    Rows(u64),
    /// So many rows, and one reject on a line for a reason.
    Reject(u64, u64, &'static str),
    /// Nothing: the whole file is refused.
    Refused(&'static str),
}
use Becomes::{Refused, Reject, Rows};

/// File, what becomes of it, and why, where csvlint's own tests expect something else.
const FILES: &[(&str, Becomes, &str)] = &[
    ("valid.csv", Rows(2), ""),
    ("white space in filename.csv", Rows(2), ""),
    ("valid_many_rows.csv", Rows(6), ""),
    ("crlf-line-endings.csv", Rows(2), ""),
    ("lf-line-endings.csv", Rows(2), ""),
    ("windows-line-endings.csv", Rows(1), ""),
    ("cr-line-endings.csv", Rows(2), "an error there, where LF is demanded; here CR ends a line, as LF does"),
    ("inconsistent-line-endings.csv", Rows(2), "an error there; here every line may have an end of its own"),
    ("inconsistent-line-endings-unquoted.csv", Rows(2), "as above"),
    ("invalid-byte-sequence.csv", Refused("wrong_encoding"), ""),
    (
        "invalid_many_rows.csv",
        Reject(9, 4, "bad_quote"),
        "an error more there: the blank line 8, which is counted here",
    ),
    ("title-row.csv", Rows(3), "a warning there; without names to look for, any line can be a header"),
    ("spreadsheet.xls", Refused("wrong_encoding"), ""),
    ("spreadsheet.xlsx", Refused("wrong_encoding"), ""),
];

fn check(config: &str, name: &str, becomes: &Becomes) -> Option<()> {
    let file = shared_data(&format!("torture/csvlint/{name}"))?;
    let project = Project::new(config);
    let ran = project.cli().args(["once", "-p", "p", "--out", "out", "--json"]).arg(&file).run();
    let told = &ran.json()["files"][0];
    let published = published_under(&project.path("out"));
    match becomes {
        Refused(reason) => {
            assert_eq!(
                (told["outcome"].as_str(), told["reason"].as_str()),
                (Some("quarantined"), Some(*reason)),
                "{name}"
            );
            assert!(published.is_empty(), "{name} was refused and published");
        }
        Rows(rows) => assert_eq!(published[0].rows(), [*rows, *rows, 0, 0], "{name}"),
        Reject(rows, line, reason) => {
            assert_eq!(published[0].rows(), [rows + 1, *rows, 1, 0], "{name}");
            let (_, at, _, why, _) = rejects(&published[0].path).remove(0);
            assert_eq!((at, why.as_str()), (*line, *reason), "{name}");
        }
    }
    Some(())
}

#[test]
fn every_defect_becomes_what_the_contract_says() {
    for (name, becomes, _) in FILES {
        let Some(()) = check(AS_TEXT, name, becomes) else { return };
    }
    let Some(folder) = shared_data("torture/csvlint") else { return };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unlisted: Vec<_> =
        files.filter(|file| file != "LICENSE" && FILES.iter().all(|(name, ..)| name != file)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn a_title_row_is_refused_by_who_knows_the_columns_and_skipped_by_who_knows_of_it() {
    let columns = "[pipelines.p.columns]\nFoo = \"string\"\nBsr = \"string\"\nBaz = \"string\"\n";
    let Some(()) = check(columns, "title-row.csv", &Refused("header_mismatch")) else { return };
    check(&format!("[pipelines.p.csv]\nskip_lines = 1\n{columns}"), "title-row.csv", &Rows(2));
}
