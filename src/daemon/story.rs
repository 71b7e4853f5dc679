//! One file's whole story for the endpoint: the ledger's line, its manifest, its explanation, its first rejected rows.
//!
//! What it reads is bounded: one row and the turns of one file, one manifest, and the first row group of one file, if file and
//! group are small, for one page at a time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use polars::prelude::{AnyValue, DataFrame, ParallelStrategy, ParquetReader, SerReader as _};
use serde::Deserialize;

use super::view::summary;
use crate::http::{PublishedAs, RejectedRow, Story, Turn};
use crate::job::{FileId, RejectReason, display_name};
use crate::ledger::{FileRow, LedgerError, LedgerReader};
use crate::publish::{Manifest, REJECTS, REJECTS_SUFFIX, beside};

/// Rejected rows shown.
const SAMPLE: usize = 10;

/// A larger file of rejects is left to `forebay rejects`: a page must not cost the daemon its memory.
const SAMPLE_BYTES: u64 = 16 << 20;

/// The same of a first row group once it is unpacked, in bytes. Those that forebay writes end after 48 MiB.
const SAMPLE_UNPACKED: usize = 64 << 20;

/// Bytes of a rejected record shown.
const RAW: usize = 160;

/// What to do about a file whose result is none any more. The page leads to the replay.
const WITHDRAWN: &str = "Nothing: a replay took the place of its result.";

/// What the explanation of a refusal has for this page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Explanation {
    hint: String,
    what_next: Vec<String>,
    rejects: BTreeMap<RejectReason, u64>,
}

/// Reads a file's story; `None` if the ledger does not know the file.
pub(super) fn read(reader: &LedgerReader, sampler: &Sampler, id: &FileId) -> Result<Option<Story>, LedgerError> {
    let Some(row) = reader.get(id)? else { return Ok(None) };
    let turns = reader.story(id)?.into_iter().map(|line| Turn { at: line.at, what: line.what, message: line.message });
    let explanation: Explanation =
        row.explanation.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    // What a replay replaced is withdrawn: there is nothing to be read, and that is as it should be.
    let manifest = row.final_dir.as_deref().filter(|_| row.replaced_by.is_none()).map(Manifest::read);
    let (manifest, unreadable) = match manifest {
        Some(Ok(manifest)) => (Some(manifest), None),
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, None),
    };
    let sample = place(&row).map(|path| sampler.sample(&path)).unwrap_or_default();
    let facts = facts(&row, manifest.as_ref());
    let published = manifest.zip(row.final_dir.clone()).map(|(manifest, directory)| PublishedAs {
        directory: display_name(directory.as_os_str()),
        outputs: manifest.outputs,
        stages: manifest.stages,
        rejects_by_rule: manifest.rejects_by_rule,
        rule_violations: manifest.rule_violations,
        drift: manifest.drift,
    });
    let story = Story {
        hint: explanation.hint,
        what_next: if row.replaced_by.is_some() { vec![WITHDRAWN.to_owned()] } else { explanation.what_next },
        last_error: row.last_error.clone().filter(|error| *error != row.message),
        duplicate_of: row.duplicate_of.clone(),
        started_at: row.started_at,
        next_attempt_at: row.next_attempt_at,
        turns: turns.collect(),
        published,
        unreadable,
        sample,
        facts,
        file: summary(row),
    };
    Ok(Some(with_rejects(story, explanation.rejects)))
}

/// A refused file has no manifest: its explanation counts its rejects.
fn with_rejects(mut story: Story, rejects: BTreeMap<RejectReason, u64>) -> Story {
    if story.file.rejects.is_empty() {
        story.file.rejects = rejects;
    }
    story
}

fn facts(row: &FileRow, manifest: Option<&Manifest>) -> Vec<(&'static str, String)> {
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| display_name(path.as_os_str()));
    let of = |get: fn(&Manifest) -> String| manifest.map(get);
    let facts = [
        ("blake3", row.blake3.clone()),
        ("encoding", of(|manifest| manifest.input.encoding.clone())),
        ("compression", of(|manifest| manifest.input.compression.clone())),
        ("blank lines", of(|manifest| manifest.blank_lines.to_string())),
        ("attempts", Some(row.starts.to_string())),
        ("replaces", row.replaces.as_ref().map(ToString::to_string)),
        ("replaced by", row.replaced_by.as_ref().map(ToString::to_string)),
        ("output", shown(&row.final_dir)),
        ("original", shown(&row.resting).or_else(|| shown(&Some(row.input_path.clone())))),
        ("trace id", row.trace_id.clone()),
        ("config hash", of(|manifest| manifest.config_hash.clone())),
        ("forebay", of(|manifest| manifest.version.clone())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Returns where its rejected rows lie, if there are any.
fn place(row: &FileRow) -> Option<PathBuf> {
    let published = row.final_dir.as_ref().map(|dir| dir.join(REJECTS));
    let refused = row.resting.as_ref().map(|original| beside(original, REJECTS_SUFFIX));
    let fits = |path: &PathBuf| path.metadata().is_ok_and(|facts| facts.is_file() && facts.len() <= SAMPLE_BYTES);
    published.into_iter().chain(refused).find(fits)
}

/// Reads first rows, for one page at a time: however many ask, the memory of one row group is all it takes.
#[derive(Debug, Default)]
pub(super) struct Sampler(Mutex<()>);

impl Sampler {
    /// Returns the first rejected rows; none if they cannot be read, which `forebay rejects` tells of. Blocking.
    fn sample(&self, path: &Path) -> Vec<RejectedRow> {
        let _one = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sample(path).unwrap_or_default()
    }
}

fn sample(path: &Path) -> Option<Vec<RejectedRow>> {
    let mut reader = ParquetReader::new(File::open(path).ok()?).read_parallel(ParallelStrategy::None);
    // Rows that resemble each other pack a thousandfold: the size of the file says little.
    let first = reader.get_metadata().ok()?.row_groups.first()?;
    if first.total_byte_size() > SAMPLE_UNPACKED {
        return None;
    }
    let rows = first.num_rows().min(SAMPLE);
    let frame = reader.with_slice(Some((0, rows))).finish().ok()?;
    Some((0..frame.height()).map(|index| rejected(&frame, index)).collect())
}

fn rejected(frame: &DataFrame, index: usize) -> RejectedRow {
    let value = |name: &str| frame.column(name).ok().and_then(|column| column.get(index).ok());
    // What comes from a file must not talk to the page.
    let text = |name: &str| match value(name) {
        Some(value) if !value.is_null() => display_name(OsStr::new(&*value.str_value())),
        _ => String::new(),
    };
    let bytes = match value("raw") {
        Some(AnyValue::Binary(bytes)) => bytes.to_vec(),
        Some(AnyValue::BinaryOwned(bytes)) => bytes,
        _ => Vec::new(),
    };
    RejectedRow {
        line: value("line").and_then(|line| line.extract()).unwrap_or(0),
        column: text("column"),
        reason: text("reason"),
        rule: text("rule"),
        detail: text("detail"),
        raw: raw(&bytes),
    }
}

/// Returns the beginning of a record, escaped.
fn raw(bytes: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let shown = bytes.get(..RAW).unwrap_or(bytes).trim_ascii_end();
    let mut text = display_name(OsStr::from_bytes(shown));
    if bytes.len() > RAW {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use polars::prelude::{ParquetWriter, df};

    use super::*;

    #[test]
    fn a_record_is_cut_and_cannot_lie() {
        assert_eq!(raw(b"1,a\n"), "1,a");
        assert_eq!(raw(b"a\xe2\x80\xaeb\0\xff"), "a\\u{202e}b\\u{0}\\xff");
        assert_eq!(raw(&[b'x'; 500]).chars().count(), RAW + 1);
    }

    #[test]
    fn rows_that_cannot_be_read_are_no_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(REJECTS);
        assert_eq!(sample(&path), None);
        File::create(&path).unwrap();
        assert_eq!(sample(&path), None);
    }

    /// Writes rejects whose records are `bytes` zeros each, in groups of so many rows. Returns the size of the file.
    fn rejects(path: &Path, rows: usize, bytes: usize, group: usize) -> u64 {
        let lines: Vec<u64> = (1..).take(rows).collect();
        // Each is another one: of equal ones a dictionary holds one.
        let raw: Vec<Vec<u8>> =
            lines.iter().map(|line| [line.to_string().as_bytes(), &vec![b'0'; bytes]].concat()).collect();
        let mut frame = df!("line" => lines, "raw" => raw.iter().map(Vec::as_slice).collect::<Vec<&[u8]>>()).unwrap();
        let writer = ParquetWriter::new(File::create(path).unwrap()).with_row_group_size(Some(group));
        writer.with_data_page_size(Some(1 << 20)).finish(&mut frame).unwrap();
        path.metadata().unwrap().len()
    }

    #[test]
    fn a_small_file_that_unpacks_to_a_large_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(REJECTS);
        let packed = rejects(&path, 1_100, 64 << 10, 1_100);
        assert!(packed < SAMPLE_BYTES, "{packed} bytes would be refused for their number");
        assert_eq!(sample(&path), None);
        let packed = rejects(&path, 1_100, 64 << 10, 100);
        assert!(packed < SAMPLE_BYTES, "{packed}");
        let rows = sample(&path).expect("only the first group is unpacked, which is small");
        assert_eq!((rows.len(), rows[0].line, rows[9].line), (SAMPLE, 1, 10));
    }
}
