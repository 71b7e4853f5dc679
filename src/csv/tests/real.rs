//! Cases cut out of real files and changed.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::case::Case;
use super::{generate, pieces};
use crate::config::{Column, CsvOptions, Drift, OnExtra, OnMissing};

/// Bytes of a real file that are looked at: more only repeats.
const MOST: usize = 1 << 20;

/// A file or folder of the shared data, or none, said loudly; with `FOREBAY_REQUIRE_DATA=1` none stops the test.
pub(super) fn shared(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if full.try_exists().unwrap() {
        return Some(full);
    }
    assert!(std::env::var_os("FOREBAY_REQUIRE_DATA").is_none_or(|value| value != "1"), "{path} is absent and required");
    eprintln!("LEFT OUT: ../shared/data/{path} absent");
    None
}

/// The shared files.
pub(super) fn files() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    if let Some(folder) = shared("") {
        collect(&folder, &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "csv" || extension == "xls") {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(MOST);
            files.push(bytes);
        }
    }
}

/// A header and some lines from anywhere in a file, changed here and there, under its own dialect or another one.
pub(super) fn cases(files: Vec<Vec<u8>>) -> impl Strategy<Value = Case> {
    let kinds = prop::collection::vec((generate::kinds(), any::<bool>(), any::<bool>()), 6);
    let csv = prop_oneof![2 => Just(None), 1 => generate::options().prop_map(Some)];
    let window = (any::<Index>(), 1_usize..3000);
    (select(files), window, csv, kinds, pieces::changes(), 40_usize..2000).prop_map(
        |(file, (at, length), csv, kinds, changes, max_record_bytes)| {
            let csv = csv.unwrap_or_else(|| CsvOptions { max_record_bytes, ..guess(&file) });
            let first = file.iter().position(|byte| *byte == b'\n' || *byte == b'\r').map_or(file.len(), |end| end + 1);
            let at = at.index(file.len());
            let columns = columns(&file[..first], csv.delimiter, kinds);
            let text = [&file[..first], &file[at..file.len().min(at + length)]].concat();
            let drift = Drift { extra: OnExtra::Keep, missing: OnMissing::Null };
            let mut case = Case { text, csv, columns, drift, bom: 0 };
            pieces::change(&mut case, &changes);
            case
        },
    )
}

fn guess(file: &[u8]) -> CsvOptions {
    let head = &file[..file.len().min(200)];
    let count = |delimiter: u8| memchr::memchr_iter(delimiter, head).count();
    let delimiter =
        [b',', b';', b'\t'].into_iter().max_by_key(|delimiter| (count(*delimiter), *delimiter == b',')).unwrap();
    CsvOptions { delimiter, ..CsvOptions::default() }
}

/// Columns of some names of the header, of any type.
fn columns(header: &[u8], delimiter: u8, kinds: Vec<(crate::config::ColumnType, bool, bool)>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (field, (kind, nullable, trim)) in header.split(|byte| *byte == delimiter).zip(kinds) {
        let name = String::from_utf8_lossy(field);
        let name = name.trim().trim_matches('"').trim();
        if !name.is_empty() && !columns.iter().any(|column| column.name == name) {
            columns.push(Column { kind, nullable, trim, ..Column::plain(name) });
        }
    }
    if columns.is_empty() { vec![Column::plain("a")] } else { columns }
}
